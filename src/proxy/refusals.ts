// Connections that lists and limits refuse are counted one by one, and told in samples: a flood of them must not be
// one of lines.
import { NONE, REFUSALS_TOLD } from "../base/limits.ts";
import { guardOf } from "../plan/guards.ts";
import { Reason, REASON_COUNT } from "../shared/reason.ts";
import { clockMs } from "../sys/sys.ts";
import { plan } from "./context.ts";

/** Lines of the second under way, by reason. */
const told = new Uint32Array(REASON_COUNT);
let toldSecond = 0;

/** Whether somebody was not let in by that reason. */
export function isRefusal(reason: Reason): boolean {
  return reason >= Reason.Denied && reason <= Reason.ListenerRate;
}

/** Whether the next end by a reason has a line in the access log: of refusals, the first ones of each second. */
export function hasLine(reason: Reason): boolean {
  if (!isRefusal(reason) && reason !== Reason.ProxyUntrusted) return true;
  const second = Math.floor(clockMs() / 1_000);
  if (second !== toldSecond) told.fill(0);
  toldSecond = second;
  return ++told[reason] <= REFUSALS_TOLD;
}

/** Whether those who are refused at a listener are reset, not closed. */
export function refusesByReset(listener: number): boolean {
  const guard = guardOf(plan.guards, listener);
  return guard === NONE || plan.guards.guardReset[guard] === 1;
}
