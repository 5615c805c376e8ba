// Which reasons are refusals: clients that were turned away before anything was done for them.
import { Reason, REASON_COUNT, REASONS } from "../shared/reason.ts";
import { type ReactorView, sum } from "./sight.ts";

const REFUSALS: readonly Reason[] = [
  Reason.Denied,
  Reason.NotAllowed,
  Reason.SourceLimit,
  Reason.SourceRate,
  Reason.ListenerLimit,
  Reason.ListenerRate,
  Reason.LimitReached,
  Reason.OutOfResources,
  Reason.ProxyUntrusted,
];

/** Why clients of a listener were refused, and how many; reasons that never came are left out. */
export function refusalsOf(
  reactors: readonly ReactorView[],
  listener: number,
): [reason: string, count: number][] {
  return REFUSALS.flatMap((reason) => {
    const count = sum(reactors, "listenerEnded", listener * REASON_COUNT + reason);
    return count === 0 ? [] : [[REASONS[reason].name, count] as [string, number]];
  });
}
