// Streams that may go only so fast go just so fast, by seed. One seed again: SLUICE_SIM_SEED=n. More of them:
// SLUICE_SIM_SEEDS=n.
import { describe, it } from "node:test";
import { Tally } from "./calls.ts";
import { openMemory, runSteadySeed } from "./seeds.ts";

const ONE = Number(process.env.SLUICE_SIM_SEED ?? 0);
const SEEDS = Number(process.env.SLUICE_SIM_SEEDS ?? ("Deno" in globalThis ? 20 : 100));
const GROUPS = 5;
const SEED_MS = 2_000;

const memory = await openMemory();
const tally = new Tally();

if (ONE !== 0) it(`seed ${ONE}`, () => void runSteadySeed(ONE, memory, tally));
else {
  describe("paced streams on a fake kernel", () => {
    const group = Math.ceil(SEEDS / GROUPS);
    for (let first = 1; first <= SEEDS; first += group) {
      const last = Math.min(SEEDS, first + group - 1);
      it(`seeds ${first} to ${last}`, { timeout: 30_000 + group * SEED_MS }, () => {
        for (let seed = first; seed <= last; seed++) runSteadySeed(seed, memory, tally);
      });
    }
  });
}
