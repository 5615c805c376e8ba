import { deepEqual, equal, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { completionScript, SHELLS } from "../../../src/control/config/completion.ts";
import { FLAGS } from "../../../src/control/config/command_line.ts";
import { VERBS } from "../../../src/control/config/verbs.ts";

const TIMEOUT_MS = 20_000;

/** What bash offers for a line that is typed so far. */
function offered(...words: string[]): string[] {
  const script = `${completionScript("bash")}
COMP_WORDS=(sluice ${words.map((word) => `'${word}'`).join(" ")})
COMP_CWORD=${words.length}
_sluice
printf '%s\\n' "\${COMPREPLY[@]}"
`;
  const { status, stdout, stderr } = spawnSync("bash", ["--norc", "-c", script], {
    encoding: "utf8",
    timeout: TIMEOUT_MS,
    cwd: new URL("../../../examples", import.meta.url),
  });
  equal(status, 0, stderr);
  return stdout.split("\n").filter((line) => line !== "");
}

test("bash offers verbs, flags and the words that a flag may have", () => {
  const verbs = VERBS.map(({ name }) => name);
  deepEqual(offered("").filter((word) => !word.startsWith("-")), verbs);
  deepEqual(offered("ch"), ["check"]);
  deepEqual(offered("--log-l"), ["--log-level"]);
  deepEqual(offered("--log-level", "w"), ["warn"]);
  deepEqual(offered("check", "--form"), ["--format"]);
  deepEqual(offered("check", "--format", ""), ["text", "json"]);
  deepEqual(offered("check", "-c", "http"), ["http.yaml"]);
  deepEqual(offered("completion", ""), [...SHELLS]);
  deepEqual(offered("explain", "--from", ""), []);
  deepEqual(offered("why", "server_al"), ["server_alert"]);
  deepEqual(offered("why", "x"), []);
  ok(offered("run", "--reac").includes("--reactors"));
  deepEqual(offered("why", "--reac"), [], "a verb without a configuration has no such flag");
});

test("every verb and every flag is known to every shell", () => {
  for (const shell of SHELLS) {
    const script = completionScript(shell);
    for (const { name } of VERBS) ok(script.includes(name), `${shell}: ${name}`);
    for (const { name } of FLAGS) {
      ok(script.includes(shell === "fish" ? `-l ${name.slice(2)}` : name), `${shell}: ${name}`);
    }
  }
});

/** Shells that are not on every machine read the script without a complaint where they are. */
for (const [shell, args] of [["bash", ["-n"]], ["zsh", ["-n"]], ["fish", ["--no-execute"]]] as const) {
  const isHere = spawnSync(shell, ["--version"], { timeout: TIMEOUT_MS }).status === 0;
  test(`${shell} can read its script`, { skip: isHere ? false : `${shell} is not on this machine` }, () => {
    const { status, stderr } = spawnSync(shell, args, {
      input: completionScript(shell),
      timeout: TIMEOUT_MS,
    });
    equal(status, 0, String(stderr));
    equal(String(stderr), "");
  });
}
