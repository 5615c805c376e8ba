import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import {
  readCloseQuestion,
  readLevelQuestion,
  readServerQuestion,
} from "../../src/control/admin_questions.ts";
import type { ServerChange } from "../../src/control/overrides.ts";

test("a question about a server is an object with its name", () => {
  const good: [kind: ServerChange["kind"], text: string, change: ServerChange][] = [
    ["drain", '{"server":"a:1","upstream":"u","undo":true}', { kind: "drain", undo: true }],
    ["drain", '{"server":"a:1","upstream":"u"}', { kind: "drain", undo: false }],
    ["disable", '{"server":"a:1","upstream":"u"}', { kind: "disable" }],
    ["enable", '{"server":"a:1","upstream":"u"}', { kind: "enable" }],
    ["weight", '{"server":"a:1","upstream":"u","weight":0}', { kind: "weight", weight: 0 }],
    ["weight", '{"server":"a:1","upstream":"u","weight":256}', { kind: "weight", weight: 256 }],
    ["weight", '{"server":"a:1","upstream":"u","weight":null}', { kind: "weight", weight: undefined }],
  ];
  for (const [kind, text, change] of good) {
    deepEqual(readServerQuestion(kind, text), { meant: { server: "a:1", upstream: "u" }, change }, text);
  }
  const bad: [kind: ServerChange["kind"], text: string, what: string][] = [
    ["drain", "", "no JSON"],
    ["drain", "[]", "no object"],
    ["drain", "{}", "no text"],
    ["drain", '{"server":""}', "no text"],
    ["drain", '{"server":5}', "no text"],
    ["drain", '{"server":"a:1","upstream":5}', "no text"],
    ["drain", '{"server":"a:1","undo":"yes"}', "neither true nor false"],
    ["drain", '{"server":"a:1","un do":1}', "unknown key"],
    ["drain", '{"server":"a:1","__proto__":1}', "unknown key"],
    ["disable", '{"server":"a:1","undo":true}', "unknown key"],
    ["weight", '{"server":"a:1"}', "no whole number from 0 to 256"],
    ["weight", '{"server":"a:1","weight":257}', "no whole number from 0 to 256"],
    ["weight", '{"server":"a:1","weight":-1}', "no whole number from 0 to 256"],
    ["weight", '{"server":"a:1","weight":1.5}', "no whole number from 0 to 256"],
    ["weight", '{"server":"a:1","weight":"5"}', "no whole number from 0 to 256"],
  ];
  for (const [kind, text, what] of bad) {
    const answer = readServerQuestion(kind, text);
    ok("problems" in answer, text);
    equal(answer.problems[0].what, what, text);
  }
});

test("connections to be closed are named, filtered, or all, and never all by mistake", () => {
  deepEqual(readCloseQuestion('{"connections":["k3f9-17-3"]}'), { ids: ["k3f9-17-3"], filters: [] });
  deepEqual(readCloseQuestion('{"listener":"web","client":["10.0.0.0/8","::1"]}'), {
    ids: [],
    filters: [["listener", "web"], ["client", "10.0.0.0/8"], ["client", "::1"]],
  });
  deepEqual(readCloseQuestion('{"all":true}'), { ids: [], filters: [] });
  const bad: [text: string, what: string][] = [
    ["x", "no JSON"],
    ["{}", "nothing says which connections"],
    ['{"all":false}', "nothing says which connections"],
    ['{"connections":[]}', "nothing says which connections"],
    ['{"client":[]}', "nothing says which connections"],
    ['{"connections":["17"]}', '"17" is no connection\'s id'],
    ['{"connections":["k3f9-17-3 "]}', '"k3f9-17-3 " is no connection\'s id'],
    ['{"connections":["k3f9-17-9999999999"]}', '"k3f9-17-9999999999" is no connection\'s id'],
    ['{"connections":[17]}', "neither a text nor a list of texts"],
    ['{"connections":["k3f9-17-3"],"all":true}', "ids, filters and all exclude each other"],
    ['{"listener":"web","all":true}', "ids, filters and all exclude each other"],
    ['{"by":"source"}', "unknown key"],
  ];
  for (const [text, what] of bad) {
    const answer = readCloseQuestion(text);
    ok("problems" in answer, text);
    equal(answer.problems[0].what, what, text);
  }
});

test("a level is one of four, or the configured one", () => {
  deepEqual(readLevelQuestion('{"level":"debug"}'), { level: "debug" });
  deepEqual(readLevelQuestion('{"level":null}'), { level: undefined });
  for (
    const [text, what] of [["{}", "no text"], ['{"level":"loud"}', 'no level "loud"'], [
      '{"level":1}',
      "no text",
    ]]
  ) {
    const answer = readLevelQuestion(text);
    ok("problems" in answer, text);
    equal(answer.problems[0].what, what, text);
  }
});
