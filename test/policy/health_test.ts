import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { judge, nextCheckMs, streakOf, verdictOf } from "../../src/policy/health.ts";
import { Verdict } from "../../src/shared/servers.ts";

const LETTERS = ["?", "U", "D"]; // Unchecked, Up, Down

/** The verdict after each of the results: `+` passed, `-` failed. */
function story(results: string, fall: number, rise: number, from = Verdict.Unchecked): string {
  let verdict: Verdict = from, streak = 0;
  return [...results].map((result) => {
    const judged = judge(verdict, streak, result === "+", fall, rise);
    verdict = verdictOf(judged);
    streak = streakOf(judged);
    return LETTERS[verdict];
  }).join("");
}

describe("judge", () => {
  const cases: [results: string, fall: number, rise: number, from: Verdict, want: string, why: string][] = [
    ["+", 3, 2, Verdict.Unchecked, "U", "the first pass says up"],
    ["---", 3, 2, Verdict.Unchecked, "??D", "unchecked counts as up, and falls like it"],
    ["--+---", 3, 2, Verdict.Up, "UUUUUD", "a pass ends the streak of failures"],
    ["-++", 3, 2, Verdict.Down, "DDU", "rise passes in a row bring it back"],
    ["+-+-++", 3, 2, Verdict.Down, "DDDDDU", "a failure ends the streak of passes"],
    ["-+", 1, 1, Verdict.Up, "DU", "1 and 1: each result is a verdict"],
    ["-".repeat(100), 100, 1, Verdict.Up, "U".repeat(99) + "D", "the largest fall"],
    ["+".repeat(100), 1, 100, Verdict.Down, "D".repeat(99) + "U", "the largest rise"],
  ];
  for (const [results, fall, rise, from, want, why] of cases) {
    it(`${results.slice(0, 8)} with fall ${fall}, rise ${rise}: ${why}`, () => {
      strictEqual(story(results, fall, rise, from), want);
    });
  }
});

describe("nextCheckMs", () => {
  const cases: [interval: number, streak: number, chance: number, want: number, why: string][] = [
    [2000, 0, 0.5, 2000, "the middle of the jitter is the interval"],
    [2000, 0, 0, 1800, "a tenth earlier at most"],
    [2000, 1, 0.5, 500, "in doubt: four times sooner"],
    [200, 1, 0.5, 100, "never sooner than 100 ms"],
    [100, 1, 0.5, 100, "nor later than the interval"],
  ];
  for (const [interval, streak, chance, want, why] of cases) {
    it(why, () => strictEqual(Math.round(nextCheckMs(interval, streak, chance)), want));
  }
});
