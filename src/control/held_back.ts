// What keeps something from a server that is up, for now: whom datagrams did not reach, who has just come up, who has as
// many connections as it may have.
import { TICK_MS } from "../base/limits.ts";
import type { Sight } from "./sight.ts";

export interface HeldBack {
  /** Until when new sessions of datagrams pass it over, since it met them with a refusal; wall clock, milliseconds. */
  readonly avoidedUntilMs: number | undefined;
  /** Until when it has less than its weight. */
  readonly slowStartUntilMs: number | undefined;
  /** It has as many connections in use as it may have; more wait, or go to others. */
  readonly isFull: boolean;
}

export function heldBack({ shared, published, clockMs }: Sight, server: number): HeldBack {
  const plan = published()?.plan, nowMs = clockMs();
  const until = (ms: number) => ms > nowMs ? Date.now() + ms - nowMs : undefined; // of the reactors' clock
  const upMs = shared.serverUpMs[server], most = plan?.serverConnectionsMax[server] ?? 0;
  const slowMs = plan === undefined || upMs === 0 ? 0 : plan.upstreamSlowStartMs[plan.serverUpstream[server]];
  return {
    avoidedUntilMs: until(shared.serverAvoided[server] * TICK_MS),
    slowStartUntilMs: slowMs === 0 ? undefined : until(upMs + slowMs),
    isFull: most > 0 && Atomics.load(shared.serverInUse, server) >= most,
  };
}
