import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { substitute } from "../../../src/control/config/substitution.ts";
import { diskOf } from "./files.ts";

const ENV = { PORT: "8080", HOST: "db.example", EMPTY: "", REF: "${PORT}", A: "ab" };
const FILES = {
  "/run/token": "s3cret-token\n",
  "/run/odd": "quäle",
  "/run/two": "one\ntwo\r\n",
  "/run/bytes": new Uint8Array([0x61, 0xff]),
  "/run/long": "x".repeat((64 << 10) + 1),
  "/run/shut": Object.assign(new Error("no"), { code: "EACCES" }),
};

function run(raw: unknown) {
  return substitute(raw, { env: ENV, disk: diskOf(FILES) });
}

test("references become what they name, wherever a text stands", () => {
  const cases: [raw: unknown, want: unknown, why: string][] = [
    ["${PORT}", "8080", "the whole"],
    ["tcp://${HOST}:${PORT}", "tcp://db.example:8080", "parts"],
    ["${EMPTY}", "", "nothing"],
    ["${REF}", "${PORT}", "what came is not looked into again"],
    ["$${PORT}", "${PORT}", "written twice, the sign stands for itself"],
    ["$$${PORT}", "$${PORT}", "once"],
    ["$PORT {PORT} $", "$PORT {PORT} $", "no reference"],
    ["${file:/run/token}", "s3cret-token", "a file without the end of its line"],
    ["${file:/run/two}", "one\ntwo", "only the last"],
    [["${PORT}", { a: "${PORT}" }], ["8080", { a: "8080" }], "deep inside"],
    [5, 5, "a number"],
    [null, null, "nothing"],
    [{ "${PORT}": 1 }, { "${PORT}": 1 }, "keys are not looked at"],
  ];
  for (const [raw, want, why] of cases) {
    const { values, findings } = run(raw);
    deepEqual(findings, [], why);
    deepEqual(values, want, why);
  }
});

test("the values are a copy", () => {
  const raw = { a: ["${PORT}"] };
  run(raw);
  deepEqual(raw, { a: ["${PORT}"] });
});

test("what cannot be found is told, with the path of the value", () => {
  const cases: [text: string, what: string, why: string][] = [
    ["${NONE}", "${NONE}: there is no such variable", "not set"],
    ["${toString}", "${toString}: there is no such variable", "of the language"],
    ["${PO RT}", "${PO RT} names no variable", "no name"],
    ["${}", "${} names no variable", "empty"],
    ["${PORT", '"${" without its "}"', "no end"],
    ["${file:}", "${file:}: no path", "no path"],
    ["${file:/none}", "${file:/none}: there is no such file", "no file"],
    ["${file:/run/shut}", "${file:/run/shut}: this user may not read it", "not for us"],
    ["${file:/run/bytes}", "${file:/run/bytes}: no text in UTF-8", "no text"],
    ["${file:/run/long}", "${file:/run/long}: longer than 65536 bytes", "too long"],
  ];
  for (const [text, what, why] of cases) {
    const { findings } = run({ a: [text] });
    equal(findings.length, 1, why);
    deepEqual([findings[0].path, findings[0].what], [["a", 0], what], why);
    ok(findings[0].remedy !== "", why);
  }
  equal(run(["${NONE} ${NONE}", "${NONE}"]).findings.length, 3, "each place is told");
});

test("hide puts the reference where its value stands", () => {
  const { hide } = run(["${file:/run/token}", "${PORT}", "${HOST}", "${A}", "${file:/run/two}"]);
  const cases: [text: string, want: string, why: string][] = [
    ['"s3cret-token" is no token', '"${file:/run/token}" is no token', "a file's"],
    ["port 8080 of db.example", "port ${PORT} of ${HOST}", "two"],
    ["able", "able", "too short to be told from other text"],
    ['"one\\ntwo"', '"${file:/run/two}"', "as messages escape it"],
  ];
  for (const [text, want, why] of cases) equal(hide(text), want, why);
  const { hideSecrets } = run({
    bind: "tcp://:${PORT}",
    servers: ["${HOST}:1"],
    body: "${A} ${file:/run/token}",
  });
  equal(
    hideSecrets("8080 db.example s3cret-token"),
    "8080 db.example ${file:/run/token}",
    "addresses are none",
  );
  const { hide: odd } = run("${file:/run/odd}");
  equal(
    odd("<qu\\xC3\\xA4le> <qu\xc3\xa4le> <quäle>"),
    "<${file:/run/odd}> <${file:/run/odd}> <${file:/run/odd}>",
    "bytes",
  );
  const { hide: dollars } = substitute("${file:/a$&b}", { env: {}, disk: diskOf({ "/a$&b": "value" }) });
  equal(dollars("value"), "${file:/a$&b}", "a path is no pattern");
});
