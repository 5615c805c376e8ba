import { ok } from "node:assert/strict";
import { describe, it } from "node:test";
import { Checked, checkMade } from "./http1_check.ts";
import { make } from "./http1_generator.ts";

describe("the HTTP/1 codec, fuzzed (without other parsers: `npm run fuzz` has those)", () => {
  it("keeps its promises for 20,000 inputs", () => {
    const counts = [0, 0, 0];
    for (let number = 0; number < 20_000; number++) {
      try {
        counts[checkMade(make(1, number))]++;
      } catch (error) {
        throw new Error(`npm run fuzz -- --seed 1 --first ${number} --inputs 1`, { cause: error });
      }
    }
    // A generator that makes nothing but rubbish tests nothing.
    for (const checked of [Checked.Refused, Checked.Short, Checked.Whole]) {
      ok(counts[checked] > 300, `outcome ${checked}: ${counts[checked]}`);
    }
  });
});
