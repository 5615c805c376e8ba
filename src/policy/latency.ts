// How fast a server is, as peak-ewma sees it: an average over the last seconds that rises at once and sinks slowly
// (Finagle's peak EWMA), so that a server that becomes slow is left alone after its first slow answer, and is asked
// again as time passes.
import type { Shared } from "../shared/servers.ts";

/** What it stands on. */
export type Latencies = Pick<Shared, "serverLatencyMs" | "serverLatencyAtMs" | "serverInUse">;

/** After so long without a sample, a third of what was known is left. */
export const LATENCY_DECAY_MS = 10_000;
/** Counts of one about which nothing is known, for each of its exchanges: the first goes to it, others wait for
 * what comes of that. */
const UNKNOWN_MS = 1_000;
/** An answer within a tick of the clock is no reason to be asked alone. */
const LATENCY_MS_MIN = 0.01;

/** Commits a sample: a connect, a first byte, or what a failure is to count as. */
export function latencySample(known: Latencies, server: number, sampleMs: number, nowMs: number): void {
  const before = known.serverLatencyMs[server], sample = Math.max(sampleMs, LATENCY_MS_MIN);
  const share = Math.exp(-Math.max(0, nowMs - known.serverLatencyAtMs[server]) / LATENCY_DECAY_MS);
  known.serverLatencyMs[server] = sample > before * share ? sample : before * share + sample * (1 - share);
  known.serverLatencyAtMs[server] = nowMs;
}

/** What is known of a server, in milliseconds, as of `nowMs`; 0: nothing. */
export function latencyOf(known: Latencies, server: number, nowMs: number): number {
  const before = known.serverLatencyMs[server];
  if (before === 0) return 0;
  return before * Math.exp(-Math.max(0, nowMs - known.serverLatencyAtMs[server]) / LATENCY_DECAY_MS);
}

/** What one more exchange at a server would cost: its latency for each that it then has. */
export function latencyCost(known: Latencies, server: number, weight: number, nowMs: number): number {
  const inUse = Atomics.load(known.serverInUse, server), latency = latencyOf(known, server, nowMs);
  if (latency === 0) return inUse === 0 ? 0 : UNKNOWN_MS * (inUse + 1) / weight;
  return latency * (inUse + 1) / weight;
}
