// Three hundred seeds, thirty clients each, through the whole data plane of HTTP on the fake kernel. One
// seed again: SLUICE_SIM_SEED=n. More of them: SLUICE_SIM_SEEDS=n.
import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Tally } from "./calls.ts";
import { openMemory, runHttpSeed } from "./seeds.ts";

const ONE = Number(process.env.SLUICE_SIM_SEED ?? 0);
const SEEDS = Number(process.env.SLUICE_SIM_SEEDS ?? ("Deno" in globalThis ? 120 : 320));
const GROUPS = 10;
/** Far more than a seed takes. */
const SEED_MS = 1_000;

const memory = await openMemory();
const tally = new Tally();

if (ONE !== 0) {
  it(`seed ${ONE}`, () => {
    const { turns, deaths } = runHttpSeed(ONE, memory, tally);
    console.log(`seed ${ONE}: ${turns} turns, ${deaths} deaths`);
  });
} else describe("HTTP on a fake kernel", run);

function run(): void {
  const group = Math.ceil(SEEDS / GROUPS);
  let turns = 0, deaths = 0;
  for (let first = 1; first <= SEEDS; first += group) {
    const last = Math.min(SEEDS, first + group - 1);
    it(`seeds ${first} to ${last}`, { timeout: 60_000 + group * SEED_MS }, () => {
      for (let seed = first; seed <= last; seed++) {
        const done = runHttpSeed(seed, memory, tally);
        turns += done.turns;
        deaths += done.deaths;
      }
    });
  }

  it("is the same run for the same seed", () => {
    const [once, again] = [runHttpSeed(7, memory, tally), runHttpSeed(7, memory, tally)];
    strictEqual(again.turns, once.turns);
    strictEqual(again.clock.nowMs, once.clock.nowMs);
    deepStrictEqual(again.kernel.lastCalls, once.kernel.lastCalls);
    notStrictEqual(turns, 0);
    console.log(`${SEEDS} seeds, ${turns} turns, ${deaths} reactors taken over`);
  });
}
