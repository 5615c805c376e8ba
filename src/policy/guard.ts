// Whether a client may come in, before anything is spent on it: lists first, deny before allow, then limits, those of
// its source before those that it shares with others: a flood uses up nothing of theirs. Decides only; what is decided
// is counted by proxy/admission.ts, which holds the source's shard meanwhile. `explain` asks the same functions.
import { NONE } from "../base/limits.ts";
import { guardOf, type Guards } from "../plan/guards.ts";
import type { Plan } from "../plan/plan.ts";
import { bucketHas, TICKS_PER_MS } from "../shared/buckets.ts";
import { Reason } from "../shared/reason.ts";
import type { Sources } from "../shared/sources.ts";
import { listFind } from "./lists.ts";
import { expectsProxy, mayIntroduce } from "./trust.ts";

/** What a guard's lists (NONE: there are none) say of the address in a peer record: Denied, NotAllowed or None. A proxy
 * that will tell for whom it comes need not be in the allow list: `allow` is about whom it tells. */
export function listVerdict(
  guards: Guards,
  guard: number,
  record: Uint8Array,
  at: number,
  isProxy: boolean,
): Reason {
  if (guard === NONE) return Reason.None;
  if (listFind(guards, guards.guardDeny[guard], record, at) !== NONE) return Reason.Denied;
  const allow = isProxy ? NONE : guards.guardAllow[guard];
  if (allow !== NONE && listFind(guards, allow, record, at) === NONE) return Reason.NotAllowed;
  return Reason.None;
}

/** What a listener says of a socket by the peer record of its other end: `deny` first; where a PROXY header is expected,
 * whether one is believed from there (ProxyUntrusted); else `allow`. */
export function socketVerdict(plan: Plan, listener: number, record: Uint8Array, at: number): Reason {
  const isProxy = expectsProxy(plan, listener);
  const listed = listVerdict(plan.guards, guardOf(plan.guards, listener), record, at, isProxy);
  if (listed !== Reason.None || !isProxy) return listed;
  return mayIntroduce(plan, listener, record, at) ? Reason.None : Reason.ProxyUntrusted;
}

/** What the limits on each source say of one more connection of that in row `source`; NONE: it has no row, and with
 * it no limit of its own. */
export function sourceVerdict(
  guards: Guards,
  guard: number,
  { sourceConnections, sourceNew }: Sources,
  source: number,
  nowTicks: number,
): Reason {
  if (source === NONE) return Reason.None;
  const most = guards.guardSourceConnections[guard];
  if (most > 0 && Atomics.load(sourceConnections, source) >= most) return Reason.SourceLimit;
  if (guards.guardSourceNew[guard] === 0) return Reason.None;
  const every = sourceEveryTicks(guards, guard), burst = guards.guardSourceNewBurst[guard];
  return bucketHas(sourceNew, source, nowTicks, every, burst) ? Reason.None : Reason.SourceRate;
}

/** What the limits on a listener as a whole say of one more connection. */
export function listenerVerdict(
  guards: Guards,
  guard: number,
  { sourceConnections, sourceNew }: Sources,
  nowTicks: number,
): Reason {
  const limiter = guards.guardLimiter[guard], most = guards.guardConnections[guard];
  if (most > 0 && Atomics.load(sourceConnections, limiter) >= most) return Reason.ListenerLimit;
  if (guards.guardNew[guard] === 0) return Reason.None;
  const every = listenerEveryTicks(guards, guard), burst = guards.guardNewBurst[guard];
  return bucketHas(sourceNew, limiter, nowTicks, every, burst) ? Reason.None : Reason.ListenerRate;
}

/** Between two new connections of one source, at its rate. */
export function sourceEveryTicks({ guardSourceNew, guardSourceNewWindowMs }: Guards, guard: number): number {
  return guardSourceNewWindowMs[guard] * TICKS_PER_MS / guardSourceNew[guard];
}

/** The same of the listener as a whole. */
export function listenerEveryTicks({ guardNew, guardNewWindowMs }: Guards, guard: number): number {
  return guardNewWindowMs[guard] * TICKS_PER_MS / guardNew[guard];
}
