import { equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FLAGS } from "../../../src/control/config/command_line.ts";
import { VERBS } from "../../../src/control/config/verbs.ts";
import { parseFlags } from "../../../src/control/config/flags.ts";
import { helpText } from "../../../src/control/config/help.ts";
import { Certificates } from "../../support/certificates.ts";
import { diskOf } from "./files.ts";

test("helpText names every flag with its default, every verb, and nothing that does not work", () => {
  const text = helpText().replace(/\s+/g, " ");
  for (const flag of FLAGS) {
    ok(text.includes(`${flag.name} ${flag.doc.placeholder} `), flag.name);
    if (flag.default !== undefined) {
      ok(text.includes(`default ${flag.default})`), `${flag.name}: ${flag.default}`);
    }
  }
  for (const { name } of VERBS) ok(text.includes(`sluice ${name} `), name);
});

test("helpText tells what a flag's name does not", () => {
  const text = helpText().replace(/\s+/g, " ");
  const said = [
    "unix:/PATH[?protocol=tcp]",
    "a quarter of it (at least 100ms) while results speak against its state",
  ];
  for (const words of said) ok(text.includes(words), words);
});

test("helpText fits a screen", () => {
  const lines = helpText().split("\n");
  ok(lines.length <= 110, `${lines.length} lines`);
  for (const line of lines) ok(line.length <= 110, line);
  equal(lines[lines.length - 1], "", "ends in a newline");
});

test("the examples of the help text are good command lines", () => {
  const lines = helpText().split("\n");
  const examples = lines.slice(lines.indexOf("Examples:") + 1).filter((line) => line.startsWith("  sluice "));
  ok(examples.length > 0);
  using certificates = new Certificates();
  const { cert, key } = certificates.leaf("redis.example");
  const disk = diskOf({ "redis.pem": readFileSync(cert), "redis.key": readFileSync(key) });
  for (const example of examples) {
    const argv = (example.match(/'[^']*'|\S+/g) ?? []).slice(1).map((word) => word.replace(/^'|'$/g, ""));
    ok("config" in parseFlags(argv, {}, 0, { disk }), example);
  }
});
