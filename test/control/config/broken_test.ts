// What people get wrong in a file, and what they are told: broken/NAME.yaml and, beside it, every byte that
// `sluice check -c NAME.yaml` prints. After a change of words, SLUICE_GOLDEN=write writes the texts anew:
// read them as whoever made the mistake would. What depends on the machine (ports, names) is not looked at.
import { deepEqual, equal, ok } from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { CONTROL_ARENA_BYTES, CONTROL_ROOM } from "../../../src/base/limits.ts";
import { DISK } from "../../../src/control/config/disk.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import { patternFindings } from "../../../src/control/patterns.ts";
import { type Checked, checkReport } from "../../../src/control/verbs/check.ts";
import { certificatesOfTheBroken, TODAY } from "./broken_certificates.ts";
import { libraryPath } from "../../../src/sys/library.ts";
import { enterRoom, openLibrary, sys } from "../../../src/sys/sys.ts";

const FOLDER = fileURLToPath(new URL("broken/", import.meta.url));
const WRITES = process.env.SLUICE_GOLDEN === "write";

const certificates = certificatesOfTheBroken();

/** A shell in that folder, on the day that the certificates are made for. */
const HERE = {
  env: { TOKEN: "hush hush, not a word", KEY: "zaphod beeblebrox", PORT: "8080" },
  uid: 0,
  now: TODAY,
  disk: {
    read: (path: string, bytesMax: number) =>
      path.startsWith("certs/") ? certificates.read(path, bytesMax) : DISK.read(FOLDER + path, bytesMax),
    list: (path: string) => DISK.list(FOLDER + path),
  },
};

function checked(file: string): Checked {
  const parsed = parseRun(["check", "-c", file], HERE);
  if ("problems" in parsed) return { problems: parsed.problems, config: undefined };
  const { config, warnings, tell } = parsed;
  const patterns = patternFindings(config);
  return patterns.length > 0
    ? { problems: [...warnings, ...tell(patterns)], config: undefined }
    : { problems: warnings, config };
}

function namesOf(ending: string): string[] {
  return readdirSync(FOLDER).filter((name) => name.endsWith(ending)).map((name) =>
    name.slice(0, -ending.length)
  ).sort();
}

describe("broken files", () => {
  before(async () => {
    await openLibrary(libraryPath());
    ok(sys.setup() > 0);
    sys.room_open(CONTROL_ROOM, 1, 1, CONTROL_ARENA_BYTES);
    enterRoom(CONTROL_ROOM);
  });

  for (const name of namesOf(".yaml")) {
    it(`${name.replaceAll("_", " ")}`, () => {
      const found = checked(`${name}.yaml`);
      const { text } = checkReport(found, "text", false);
      const golden = `${FOLDER}${name}.txt`;
      if (WRITES) writeFileSync(golden, text);
      ok(existsSync(golden), `no ${name}.txt: SLUICE_GOLDEN=write bun test ${name}`);
      equal(text, readFileSync(golden, "utf8"), "SLUICE_GOLDEN=write writes what is said now");
      ok(found.problems.length > 0, "nothing is said about it");
    });
  }

  it("every text belongs to a file", () => {
    deepEqual(namesOf(".txt"), namesOf(".yaml"));
  });

  it("there are enough of them", () => ok(namesOf(".yaml").length >= 105));

  it("no text holds what a variable gave", () => {
    for (const name of namesOf(".txt")) {
      const text = readFileSync(`${FOLDER}${name}.txt`, "utf8");
      for (const secret of Object.values(HERE.env).filter((value) => value.includes(" "))) {
        for (const word of secret.split(" ")) {
          if (word.length > 5) ok(!text.includes(word), `${name}: ${word}`);
        }
      }
    }
  });
});
