import { deepEqual, match, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { type OnRemove, onRemoveText, readOnRemove } from "../../../src/control/config/remove_schema.ts";

describe("on-remove", () => {
  const GOOD: [text: string, means: OnRemove, again: string][] = [
    ["keep", { kind: "keep" }, "keep"],
    ["reset", { kind: "reset" }, "reset"],
    ["drain", { kind: "drain", ms: 30_000 }, "drain 30s"],
    ["drain 100ms", { kind: "drain", ms: 100 }, "drain 100ms"],
    ["  drain   1m30s ", { kind: "drain", ms: 90_000 }, "drain 1m30s"],
    ["drain 24h", { kind: "drain", ms: 86_400_000 }, "drain 1d"],
  ];
  for (const [text, means, again] of GOOD) {
    it(`"${text}" is understood, and said again as "${again}"`, () => {
      const reading = readOnRemove(text);
      deepEqual(reading, { ok: true, value: means });
      strictEqual(onRemoveText(means), again);
      deepEqual(readOnRemove(again), reading);
    });
  }

  const NONE_OF = /none of keep, drain TIME, reset/;
  const BAD: [text: string, why: RegExp][] = [
    ["", NONE_OF],
    ["close", NONE_OF],
    ["Keep", NONE_OF],
    ["keep 5s", NONE_OF],
    ["reset 5s", NONE_OF],
    ["drain 5s now", NONE_OF],
    ["30s", NONE_OF],
    ["drain 5", /5/],
    ["drain 0s", /100ms/],
    ["drain 99ms", /100ms/],
    ["drain 25h", /1d/],
    ["drain never", /cannot be off/],
  ];
  for (const [text, why] of BAD) {
    it(`"${text}" is refused`, () => {
      const reading = readOnRemove(text);
      strictEqual(reading.ok, false);
      match(JSON.stringify(reading), why);
    });
  }
});
