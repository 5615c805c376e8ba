// Expressions of a configuration compiled by PCRE2, in the real library.
import { deepEqual, ok, strictEqual } from "node:assert/strict";
import { before, test } from "node:test";
import { CONTROL_ARENA_BYTES, CONTROL_ROOM } from "../../src/base/limits.ts";
import { parseRun } from "../../src/control/config/run.ts";
import { formatProblem } from "../../src/control/config/errors.ts";
import { compilePattern, patternFindings } from "../../src/control/patterns.ts";
import { libraryPath } from "../../src/sys/library.ts";
import { enterRoom, openLibrary, sys } from "../../src/sys/sys.ts";
import { among } from "./config/files.ts";

before(async () => {
  await openLibrary(libraryPath());
  ok(sys.setup() > 0);
  sys.room_open(CONTROL_ROOM, 1, 1, CONTROL_ARENA_BYTES);
  enterRoom(CONTROL_ROOM);
});

test("every expression that does not compile is told by its key and its place in the file", () => {
  const text = `listeners:
  w:
    bind: http://:80
    routes:
      - match: { path: { regex: "^/a(" } }
        to: u
      - match: { path: { regex: "^/b$" } }
        to: v
    to: x
upstreams:
  u: { servers: 10.0.0.1:1, health: { http: GET /, body: "/(/" } }
  v: { servers: 10.0.0.1:1, health: { expect: "/[/" } }
  x: { servers: 10.0.0.1:1, health: { expect: "/good/" } }
`;
  const parsed = parseRun(["run", "-c", "f.yaml"], among({ "f.yaml": text }));
  ok("config" in parsed);
  const end = "; mend it there; see pcre2pattern(3)";
  deepEqual(parsed.tell(patternFindings(parsed.config)).map(formatProblem), [
    "f.yaml:5:33: listeners.w.routes[0].match.path.regex: at byte 4 of the expression: " +
    `missing closing parenthesis${end}`,
    "f.yaml:11:58: upstreams.u.health.body: at byte 1 of the expression: " +
    `missing closing parenthesis${end}`,
    "f.yaml:12:47: upstreams.v.health.expect: at byte 1 of the expression: " +
    `missing terminating ] for character class${end}`,
  ]);
});

test("an expression is compiled once", () => {
  const source = new TextEncoder().encode("^once$");
  const first = compilePattern(source), again = compilePattern(source);
  ok("number" in first && "number" in again);
  strictEqual(first.number, again.number);
});
