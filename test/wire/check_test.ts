// `sluice check` as a user has it: what it says and where, its exit status, colour for people only, JSON for
// programs. What is said about which mistake is test/control/config/broken's.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { EXECUTABLE, ROOT, run } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";

const BROKEN = `${ROOT}test/control/config/broken/`;

function golden(name: string): string {
  return readFileSync(`${BROKEN}${name}.txt`, "utf8");
}

/** Runs a command in a terminal of its own; what it writes has the line ends of one. */
async function inTerminal(command: string, env: Readonly<Record<string, string>>): Promise<string> {
  const words = ["--quiet", "--return", "--command", command, "/dev/null"];
  const { stdout } = await run(words, { command: ["script"], cwd: BROKEN, env });
  return stdout.replaceAll("\r\n", "\n");
}

describe("sluice check", () => {
  for (
    const name of ["keys_misspelled", "wide_characters", "tab_indent", "expressions", "include_same_upstream"]
  ) {
    it(`says of ${name}.yaml what the text beside it says, with status 2`, async () => {
      const { status, stdout, stderr } = await run(["check", "-c", `${name}.yaml`], { cwd: BROKEN });
      equal(stdout, golden(name));
      equal(stderr, "");
      equal(status, 2);
    });
  }

  it("has status 0 for a good file, and for one that is only odd", async () => {
    using folder = new Folder();
    const file = folder.at("good.yaml");
    writeFileSync(
      file,
      `admin: off
listeners: { web: { bind: "unix:${folder.at("s")}?protocol=http", to: api } }
upstreams: { api: { servers: ["127.0.0.1:1"] }, old: { servers: ["127.0.0.1:1"] } }
`,
    );
    const { status, stdout } = await run(["check", "-c", file]);
    ok(stdout.includes('warning: upstreams: no listener leads to upstream "old"'), stdout);
    ok(stdout.includes("good: 1 listener, 2 upstreams, 2 servers; "), stdout);
    equal(status, 0);
  });

  it("has status 2 for a file that is not there, and for a flag that it does not know", async () => {
    const none = await run(["check", "-c", "/nowhere/sluice.yaml"]);
    deepEqual([none.status, none.stdout], [
      2,
      "sluice: /nowhere/sluice.yaml: there is no such file; write the path of a file\n",
    ]);
    const flag = await run(["check", "-c", "keys_misspelled.yaml", "--formt", "json"], { cwd: BROKEN });
    equal(flag.status, 2);
    ok(flag.stdout.includes("--formt: unknown flag"), flag.stdout);
  });

  it("a start from such a file says the same to standard error, with status 2", async () => {
    const { status, stdout, stderr } = await run(["run", "-c", "json.yaml"], { cwd: BROKEN });
    deepEqual([status, stdout, stderr], [2, "", golden("json")]);
  });

  it("a start that fails while it runs has status 1", async () => {
    using folder = new Folder();
    const file = folder.at("taken.yaml"), nowhere = folder.at("no/such/folder/s");
    writeFileSync(
      file,
      `admin: off
listeners: { db: { bind: "unix:${nowhere}", to: db } }
upstreams: { db: { servers: ["127.0.0.1:1"], health: off } }
`,
    );
    const { status, stderr } = await run(["run", "-c", file]);
    equal(status, 1, stderr);
  });

  it("paints in a terminal only, and not for who asks for none", async () => {
    const command = `${EXECUTABLE} check -c keys_misspelled.yaml`;
    const painted = await inTerminal(command, { NO_COLOR: "" });
    ok(painted.includes("\x1b[1;31merror:\x1b[0m unknown key"), painted);
    equal(painted.replace(/\x1b\[[0-9;]*m/g, "").replaceAll(" error: ", " "), golden("keys_misspelled"));
    equal(await inTerminal(command, { NO_COLOR: "1" }), golden("keys_misspelled"));
    const piped = await run(["check", "-c", "keys_misspelled.yaml"], { cwd: BROKEN, env: { NO_COLOR: "" } });
    equal(piped.stdout, golden("keys_misspelled"));
  });

  it("says the same in JSON", async () => {
    const words = ["check", "-c", "include_misread.yaml", "--format", "json"];
    const { status, stdout } = await run(words, { cwd: BROKEN });
    equal(status, 2);
    const { problems } = JSON.parse(stdout);
    deepEqual(problems[problems.length - 1], {
      severity: "error",
      where: "parts/mistaken.yaml:4:5",
      message: 'upstreams.api: unknown key "helth"',
      remedy: 'did you mean "health"?',
      file: "parts/mistaken.yaml",
      line: 4,
      column: 5,
      length: 5,
    });
    const lines = golden("include_misread").split("\n").filter((line) => /^\S+:[0-9]+:[0-9]+: /.test(line));
    deepEqual(
      problems.map(({ where, message, remedy }: Record<string, string>) => `${where}: ${message}; ${remedy}`),
      lines,
    );
  });
});
