import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import type { Gone } from "../../src/control/departures.ts";
import {
  changeLines,
  goneViews,
  namedChanges,
  type Reloaded,
  summaryOf,
} from "../../src/control/reload_answer.ts";

const NO = namedChanges({ added: [], removed: [], changed: [] });
const NOTHING: Reloaded = {
  reloaded: true,
  generation: 7,
  took_ms: 12.4,
  changed: false,
  listeners: NO,
  upstreams: NO,
  servers: NO,
  settings: [],
  lists: [],
  certificates: [],
  gone: [],
  gone_left_out: 0,
  warnings: [],
};

const gone = (number: number, policy: Gone["policy"] = { kind: "keep" }): Gone => ({
  kind: "servers",
  number,
  name: `s${number}`,
  policy,
});

describe("what a reload says", () => {
  it("nothing has changed: no line but the summary", () => {
    deepEqual(changeLines(NOTHING), []);
    strictEqual(summaryOf(NOTHING), "reloaded: nothing has changed; generation 7, in 12 ms");
    strictEqual(summaryOf({ ...NOTHING, changed: true }), "reloaded; generation 7, in 12 ms");
  });

  it("a line for each thing that changed", () => {
    const lines = changeLines({
      ...NOTHING,
      listeners: namedChanges({ added: ["a"], removed: ["b", "c"], changed: [] }),
      servers: namedChanges({ added: [], removed: [], changed: ["10.0.0.1:80 of x"] }),
      settings: ["log", "user"],
      lists: ["bad.txt"],
    });
    deepEqual(lines, [
      "1 listener added: a",
      "2 listeners removed: b, c",
      "1 server changed: 10.0.0.1:80 of x",
      "settings changed: log, user",
      "lists changed: bad.txt",
    ]);
  });

  it("what becomes of connections, in words; where there are none, none", () => {
    const views = goneViews([
      gone(0),
      gone(1),
      gone(2),
      gone(3, { kind: "reset" }),
      gone(4, { kind: "drain", ms: 90_000 }),
    ], ({ number }) => number);
    deepEqual(changeLines({ ...NOTHING, ...views }), [
      "server s4 is gone: 4 connections have 1m30s to end",
      "server s3 is gone: 3 connections are ended",
      "server s2 is gone: 2 connections go on",
      "server s1 is gone: 1 connection goes on",
    ]);
    const one = (policy: Gone["policy"]) =>
      changeLines({ ...NOTHING, ...goneViews([gone(9, policy)], () => 1) })[0];
    strictEqual(one({ kind: "reset" }), "server s9 is gone: 1 connection is ended");
    strictEqual(one({ kind: "drain", ms: 100 }), "server s9 is gone: 1 connection has 100ms to end");
  });

  it("of a hundred names and more a hundred are told, and how many there are", () => {
    const names = Array.from({ length: 250 }, (_, at) => `n${at}`);
    const named = namedChanges({ added: names.slice(0, 100), removed: names, changed: names.slice(0, 101) });
    deepEqual([named.added, named.removed, named.changed].map((it) => [it.count, it.names.length]), [
      [100, 100],
      [250, 100],
      [101, 100],
    ]);
    const [whole, most, one] = changeLines({ ...NOTHING, servers: named });
    deepEqual([
      whole.endsWith("n98, n99"),
      most.endsWith("n99, and 150 more"),
      one.endsWith("n99, and 1 more"),
    ], [
      true,
      true,
      true,
    ]);
  });

  it("of what is gone those with the most connections are told", () => {
    const { gone: views, gone_left_out: left } = goneViews(
      Array.from({ length: 130 }, (_, number) => gone(number)),
      ({ number }) => number,
    );
    deepEqual([views.length, left, views[0].name, views[99].name], [100, 30, "s129", "s30"]);
  });
});
