// Runs by seed: which scenario a seed is, and what is told when it fails.
import { fileURLToPath } from "node:url";
import type { Tally } from "./calls.ts";
import { Health } from "./health.ts";
import { HttpTraffic } from "./http_traffic.ts";
import { Random } from "./random.ts";
import { Memory, Run, type Scenario } from "./run.ts";
import { Steady } from "./steady.ts";
import { Traffic } from "./traffic.ts";

/** Every so many seeds the reactor checks servers instead of serving clients. */
const HEALTH_EVERY = 10;

/** Opens the library once for this thread: its pattern calls and one room's arena are used. */
export async function openMemory(): Promise<Memory> {
  const path = fileURLToPath(new URL("../../dist/libsluice.so", import.meta.url));
  const opener = "Deno" in globalThis
    ? await import("../../src/sys/deno.ts")
    : await import("../../src/sys/bun.ts");
  return new Memory(opener.open(path));
}

/** @throws with the seed, what was broken, the last calls and how to see it again. */
export function runSeed(seed: number, memory: Memory, tally: Tally): Run {
  const random = new Random(seed);
  const scenario = seed % HEALTH_EVERY === 0 ? new Health(random, memory) : new Traffic(random);
  return runOf(seed, random, scenario, memory, tally, "sim_test.ts");
}

/** The same over HTTP. */
export function runHttpSeed(seed: number, memory: Memory, tally: Tally): Run {
  const random = new Random(seed);
  return runOf(seed, random, new HttpTraffic(random), memory, tally, "http_sim_test.ts");
}

/** Long streams that may go only so fast. */
export function runSteadySeed(seed: number, memory: Memory, tally: Tally): Run {
  const random = new Random(seed);
  return runOf(seed, random, new Steady(random), memory, tally, "steady_test.ts");
}

function runOf(
  seed: number,
  random: Random,
  scenario: Scenario,
  memory: Memory,
  tally: Tally,
  test: string,
): Run {
  const run = new Run(seed, random, scenario, memory, tally);
  try {
    run.run();
  } catch (error) {
    throw new Error(tellOf(run, scenario, error, test), { cause: error });
  }
  return run;
}

function tellOf(run: Run, scenario: Scenario, error: unknown, test: string): string {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return [
    `seed ${run.seed}: ${name}: ${message}`,
    ...(stack ?? "").split("\n").slice(1, 8),
    `weather ${JSON.stringify(scenario.weather)} sizes ${JSON.stringify(scenario.sizes)} stage ${run.stage}`,
    ...run.kernel.lastCalls.map((call) => `  ${call}`),
    `again: SLUICE_SIM_SEED=${run.seed} node_modules/.bin/bun test test/sim/${test}`,
  ].join("\n");
}
