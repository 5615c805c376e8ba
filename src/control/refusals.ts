// Which reasons are refusals: clients that were turned away before anything was done for them.
import { Reason, REASON_COUNT } from "../shared/reason.ts";
import { type ReactorView, sum } from "./sight.ts";

export const REFUSALS: ReadonlySet<Reason> = new Set([Reason.LimitReached, Reason.OutOfResources]);

/** Clients of a listener that were refused. */
export function refusedBy(reactors: readonly ReactorView[], listener: number): number {
  let total = 0;
  for (const reason of REFUSALS) total += sum(reactors, "listenerEnded", listener * REASON_COUNT + reason);
  return total;
}
