// Listeners whose bytes may go only so fast: what the dice make of it, and whether they kept to it.
import type { Bandwidth } from "../../src/control/config/bandwidth_schema.ts";
import type { LimitedListener } from "../../src/control/config/compile_paces.ts";
import type { Random } from "./random.ts";
import { must } from "./run.ts";

export type Limits = LimitedListener["configured"]["limits"];

const SECOND_MS = 1_000;
/** What rounding may add up to, and what of it comes at once. */
const TOLERANCE = 1.02;
const SLACK_BYTES = 4_096;

/** In a quarter of the runs something is limited: rates of a connection from `least` to `most` bytes per second, and
 * what some have together is so many times as much. */
export function someLimits(random: Random, least: number, most: number, times: readonly number[]): Limits {
  if (!random.oneIn(4)) return {};
  const together = random.pick(times);
  const some = (factor: number): Bandwidth | undefined =>
    random.oneIn(2) ? someBandwidth(random, least * factor, most * factor) : undefined;
  return {
    "bandwidth-per-connection": some(1),
    "bandwidth-per-source": some(together),
    bandwidth: some(together),
  };
}

function someBandwidth(random: Random, least: number, most: number): Bandwidth {
  const some = () => {
    const amount = Math.floor(least * (most / least) ** (random.below(1000) / 1000));
    const burst = Math.ceil(amount * random.pick([0.01, 0.1, 0.1, 0.5]));
    return { rate: { amount, windowMs: SECOND_MS }, burst };
  };
  const down = random.oneIn(4) ? undefined : some();
  return { down, up: down === undefined || random.oneIn(2) ? some() : undefined };
}

/** Whether so many bytes may have gone one way in so long. */
export function checkPace(told: string, pace: Bandwidth["up"], bytes: number, ms: number): void {
  if (pace === undefined) return;
  const { rate: { amount, windowMs }, burst } = pace;
  const most = burst + amount * ms / windowMs * TOLERANCE + SLACK_BYTES;
  must(bytes <= most, `${told}: ${bytes} bytes in ${ms} ms, at most ${Math.floor(most)} may have gone`);
}
