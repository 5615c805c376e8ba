// A thousand seeds, fifty connections each, through the whole data plane on the fake kernel. One seed
// again: SLUICE_SIM_SEED=n. More of them: SLUICE_SIM_SEEDS=n.
import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Tally } from "./calls.ts";
import { namedErrors, provoke } from "./contracts.ts";
import { openMemory, runSeed } from "./seeds.ts";

const ONE = Number(process.env.SLUICE_SIM_SEED ?? 0);
/** Every tenth is about health checks alone: more than a thousand have their fifty connections. Deno is slower
 * at this and runs the same code: a third of the seeds will do. */
const SEEDS = Number(process.env.SLUICE_SIM_SEEDS ?? ("Deno" in globalThis ? 340 : 1_120));
const GROUPS = 10;
/** Fewer cannot be expected to meet every error. */
const SEEDS_FOR_ALL = 300;
/** Far more than a seed takes. */
const SEED_MS = 1_000;

const memory = await openMemory();
const tally = new Tally();

if (ONE !== 0) {
  it(`seed ${ONE}`, () => {
    const { turns, deaths } = runSeed(ONE, memory, tally);
    console.log(`seed ${ONE}: ${turns} turns, ${deaths} deaths`);
  });
} else describe("the data plane on a fake kernel", run);

function run(): void {
  const group = Math.ceil(SEEDS / GROUPS);
  let turns = 0, deaths = 0;
  for (let first = 1; first <= SEEDS; first += group) {
    const last = Math.min(SEEDS, first + group - 1);
    it(`seeds ${first} to ${last}`, { timeout: 60_000 + group * SEED_MS }, () => {
      for (let seed = first; seed <= last; seed++) {
        const done = runSeed(seed, memory, tally);
        turns += done.turns;
        deaths += done.deaths;
      }
    });
  }

  it("returns every error that a contract names", () => {
    provoke(memory, tally);
    const counts = [...tally.named].sort().map(([name, count]) => `${name} ${count}`);
    console.log(`${SEEDS} seeds, ${turns} turns, ${deaths} reactors taken over; errors returned:`);
    console.log(`  ${counts.join(", ")}`);
    const returned = tally.named;
    if (SEEDS < SEEDS_FOR_ALL) return;
    deepStrictEqual(namedErrors().filter((name) => !returned.has(name)), []);
    notStrictEqual(deaths, 0);
  });

  it("is the same run for the same seed", () => {
    const [once, again] = [runSeed(7, memory, tally), runSeed(7, memory, tally)];
    strictEqual(again.turns, once.turns);
    strictEqual(again.clock.nowMs, once.clock.nowMs);
    deepStrictEqual(again.kernel.lastCalls, once.kernel.lastCalls);
  });
}
