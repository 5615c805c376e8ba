import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatProblem } from "../../../src/control/config/errors.ts";
import { pathText, readConfigFile, whereOf } from "../../../src/control/config/file.ts";
import type { Path } from "../../../src/control/config/finding.ts";

const TEXT = `listeners:
  web:
    bind: [http://:80, http://:81]
    routes:
      - match:
          path: /a
        to: x
      - { to: y }
upstreams:
  "x y":
    servers: &servers
      - a:1
  z:
    servers: *servers
empty:
`;

function read(name: string, text: string) {
  return readConfigFile(name, new TextEncoder().encode(text));
}

test("a place is the value's, the key's where it is about the key, and the nearest key of what is missing", () => {
  const file = read("f.yaml", TEXT);
  ok(!("problems" in file));
  const cases: [path: Path, isKey: boolean, want: string, why: string][] = [
    [["listeners", "web", "bind", 1], false, "3:24", "an entry of a list in brackets"],
    [["listeners", "web", "bind"], false, "3:11", "a list in brackets"],
    [["listeners", "web", "bind"], true, "3:5", "its key"],
    [["listeners", "web"], false, "2:3", "a section is called by its key"],
    [["listeners", "web", "routes", 0, "match", "path"], false, "6:17", "deep in a list"],
    [["listeners", "web", "routes", 0], false, "5:9", "an entry that is a section"],
    [["listeners", "web", "routes", 1, "to"], false, "8:15", "a section in braces"],
    [["listeners", "web", "to"], false, "2:3", "what is missing"],
    [["upstreams", "x y", "servers", 0], false, "12:9", "a name in quotes"],
    [["upstreams", "z", "servers"], false, "14:14", "an alias"],
    [["upstreams", "z", "servers", 0], false, "12:9", "behind an alias"],
    [["empty"], false, "15:1", "nothing"],
    [["nowhere"], false, "1:1", "not there at all"],
    [[], false, "1:1", "the whole"],
  ];
  for (const [path, isKey, want, why] of cases) {
    const finding = { path, what: "", remedy: "", severity: "error", ...(isKey ? { isKey } : {}) } as const;
    equal(whereOf(file.place(finding as Parameters<typeof file.place>[0]).spot), `f.yaml:${want}`, why);
  }
});

test("what a file holds is plain", () => {
  const file = read(
    "f",
    "a: off\nb: on\nc: 0x10\nd: 1.5\ne: ~\nf: 2001-01-01\n1: x\n",
  );
  ok(!("problems" in file));
  const raw = file.raw as Record<string, unknown>;
  deepEqual([raw.a, raw.b, raw.c, raw.d, raw.e, raw.f, raw["1"]], [
    "off",
    "on",
    16,
    1.5,
    null,
    "2001-01-01",
    "x",
  ]);
  const prototype = read("f", "a: { __proto__: { g: 1 } }\n");
  ok("problems" in prototype, "no prototype comes from a file");
  deepEqual(prototype.problems.map(({ where, what }) => [where, what]), [[
    "f:1:6",
    '"__proto__" cannot be a name',
  ]]);
});

test("a file that is no YAML says where", () => {
  const bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" +
    [..."bcdefgh"].map((name, at) => `${name}: &${name} [${Array(9).fill(`*${"abcdefgh"[at]}`).join()}]\n`)
      .join("");
  const cases: [text: string, where: string, why: string][] = [
    ["a: 1\na: 2\n", "f:2:1", "a key twice"],
    ["a: [1\n", "f:1:4", "no end"],
    ["a:\n\tb: 1\n", "f:2:1", "a tab"],
    ["a: *b\n", "f:1:4", "an alias without anchor"],
    ["a: 1\n---\nb: 2\n", "f:2:1", "two documents"],
    ["a: 'b\n", "f:1:4", "no closing quote"],
    [bomb, "f:7:32", "aliases of aliases"],
  ];
  for (const [text, where, why] of cases) {
    const file = read("f", text);
    ok("problems" in file, why);
    equal(file.problems[0].where, where, why);
    ok(file.problems.every(({ what, remedy }) => what !== "" && remedy !== ""), why);
  }
});

test("a second document is told in words of ours", () => {
  const file = read("f", "a: 1\n---\nb: 2\n");
  deepEqual("problems" in file && file.problems.map(formatProblem), [
    'f:2:1: one document only; remove what follows "---"',
  ]);
});

test("an empty file is nothing, not an error of its own", () => {
  const file = read("f", "# nothing\n");
  ok(!("problems" in file) && file.raw === null);
});

test("pathText", () => {
  const cases: [path: Path, want: string][] = [
    [[], ""],
    [["a"], "a"],
    [["listeners", "web", "routes", 2, "to"], "listeners.web.routes[2].to"],
    [["a", "b\nc"], "a.b\\nc"],
  ];
  for (const [path, want] of cases) equal(pathText(path), want);
});

test("no text makes readConfigFile throw, and what it says is one line", () => {
  const near = fc.array(
    fc.constantFrom("a", ":", " ", "\n", "- ", "[", "]", "{", "}", "&a", "*a", "'", '"', "\t", "|"),
  )
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), near), (text) => {
      const file = read("f", text);
      if (!("problems" in file)) return;
      for (const problem of file.problems) ok(!/[\x00-\x1f\x7f-\x9f]/.test(formatProblem(problem)));
    }),
    { numRuns: 1_000 },
  );
});
