// Who of an upstream's servers may be picked, and with what weight: written once when a verdict, a drain or a weight
// changed, so that a pick looks at nobody in vain. Backups are candidates while none of the others is. A server that
// joins or comes back has a tenth of its weight at first, and all of it when its slow start is over.
import { type Plan, serverIsThere } from "../plan/plan.ts";
import { type Shared, Verdict } from "../shared/servers.ts";

/** What reactors know of servers. */
export type Standing = Pick<
  Shared,
  | "serverVerdict"
  | "serverDrained"
  | "serverUpMs"
  | "serverInUse"
  | "serverLatencyMs"
  | "serverLatencyAtMs"
  | "upstreamInUse"
>;

/** Of a Plan; those of an upstream have the places of its servers in `upstreamMember`. */
export interface Candidates {
  readonly plan: Plan;
  /** Positions in the upstream's list, in its order. */
  readonly member: Uint32Array;
  /** As of now: in slow start less than the whole, all of them then in finer parts. */
  readonly weight: Uint32Array;
  /** Weights of the candidates up to here, this one's included. */
  readonly weightEnd: Uint32Array;
  // By upstream.
  readonly count: Uint32Array;
  /** The walk by list that has asked one of them (balance.ts): backups come in its second round. */
  readonly begun: Uint32Array;
  /** Of weighted round robin, see `turnOf`; 0: all have the same weight. */
  readonly step: Uint32Array;
  /** When weights are to be looked at again; Infinity: they stay as they are. */
  readonly untilMs: Float64Array;
  /** Least scores as far as they are known, see least.ts: of each candidate, and the tree over them. */
  readonly score: Float64Array;
  readonly winner: Uint32Array;
  readonly looked: Uint32Array;
}

export function candidatesFor(plan: Plan): Candidates {
  return {
    plan,
    member: new Uint32Array(plan.members),
    weight: new Uint32Array(plan.members),
    weightEnd: new Uint32Array(plan.members),
    count: new Uint32Array(plan.upstreams),
    begun: new Uint32Array(plan.upstreams),
    step: new Uint32Array(plan.upstreams),
    untilMs: new Float64Array(plan.upstreams),
    score: new Float64Array(plan.members),
    winner: new Uint32Array(2 * plan.members),
    looked: new Uint32Array(plan.upstreams),
  };
}

/** 0 to 256; a server of weight 0 gets nothing new. */
export function weightOf(plan: Plan, server: number): number {
  return 1 + plan.serverWeightMore[server];
}

/** Whether anything new may go to a server. */
export function isUsable(plan: Plan, server: number, standing: Standing): boolean {
  return standing.serverVerdict[server] !== Verdict.Down && standing.serverDrained[server] === 0 &&
    plan.serverWeightMore[server] >= 0;
}

/** Whether a backup may not take anything, since others are there: that they are full is no reason. */
export function isSpare(plan: Plan, upstream: number, server: number, standing: Standing): boolean {
  if (plan.serverBackup[server] === 0) return false;
  const first = plan.upstreamFirst[upstream], end = first + plan.upstreamCount[upstream];
  for (let at = first; at < end; at++) {
    const other = plan.upstreamMember[at];
    if (plan.serverBackup[other] === 0 && isUsable(plan, other, standing)) return true;
  }
  return false;
}

/** Of the weight, at the beginning of a slow start. */
const SLOW_LEAST = 0.1;
/** Parts that a weight is cut into while one of them rises; fewer where sums would grow too large. */
const SLOW_PARTS = 100;
const WEIGHTS_MOST = 2 ** 26;
/** Weights rise in so many steps, at least so far apart. */
const SLOW_STEPS = 50;
const SLOW_STEP_MS_MIN = 100;

/** The share of its weight that a server has: 1, or less in its slow start. */
export function shareOf(
  plan: Plan,
  upstream: number,
  server: number,
  standing: Standing,
  nowMs: number,
): number {
  const slowMs = plan.upstreamSlowStartMs[upstream], upMs = standing.serverUpMs[server];
  if (slowMs === 0 || upMs === 0) return 1;
  return Math.min(1, Math.max(SLOW_LEAST, (nowMs - upMs) / slowMs));
}

/** Writes an upstream's candidates. */
export function gather(candidates: Candidates, upstream: number, standing: Standing, nowMs: number): void {
  const { plan } = candidates;
  let rising = collect(candidates, upstream, standing, nowMs, 0);
  const isOfBackups = candidates.count[upstream] === 0;
  if (isOfBackups) rising = collect(candidates, upstream, standing, nowMs, 1);
  candidates.begun[upstream] = isOfBackups ? plan.upstreamCount[upstream] + 1 : 1;
  const first = plan.upstreamFirst[upstream], count = candidates.count[upstream];
  const slowMs = plan.upstreamSlowStartMs[upstream];
  candidates.untilMs[upstream] = rising ? nowMs + Math.max(SLOW_STEP_MS_MIN, slowMs / SLOW_STEPS) : Infinity;
  let whole = 0;
  for (let at = first; at < first + count; at++) {
    whole += weightOf(plan, memberServer(candidates, upstream, at));
  }
  const parts = rising ? Math.min(SLOW_PARTS, Math.max(1, Math.floor(WEIGHTS_MOST / whole))) : 1;
  let sum = 0, isEven = true;
  for (let at = first; at < first + count; at++) {
    const server = memberServer(candidates, upstream, at);
    const share = rising ? shareOf(plan, upstream, server, standing, nowMs) : 1;
    const weight = Math.max(1, Math.round(weightOf(plan, server) * parts * share));
    if (weight !== candidates.weight[first] && at > first) isEven = false;
    candidates.weight[at] = weight;
    candidates.weightEnd[at] = sum += weight;
  }
  candidates.step[upstream] = isEven ? 0 : stepOf(sum);
}

/** Writes the members of one kind that may be picked, backups or the others; returns whether the weight of one of
 * them still rises. */
function collect(
  { plan, member, count }: Candidates,
  upstream: number,
  standing: Standing,
  nowMs: number,
  backup: number,
): boolean {
  const first = plan.upstreamFirst[upstream], members = plan.upstreamCount[upstream];
  let found = 0, rising = false;
  for (let at = 0; at < members; at++) {
    const server = plan.upstreamMember[first + at];
    if (plan.serverBackup[server] !== backup || !isUsable(plan, server, standing)) continue;
    member[first + found++] = at;
    if (shareOf(plan, upstream, server, standing, nowMs) < 1) rising = true;
  }
  count[upstream] = found;
  return rising;
}

/** The number of the server of the candidate at a place of the columns. */
export function memberServer({ plan, member }: Candidates, upstream: number, at: number): number {
  return plan.upstreamMember[plan.upstreamFirst[upstream] + member[at]];
}

/** What all candidates of an upstream weigh. */
export function weightsOf({ plan, count, weightEnd }: Candidates, upstream: number): number {
  return count[upstream] === 0 ? 0 : weightEnd[plan.upstreamFirst[upstream] + count[upstream] - 1];
}

/** The place of the candidate whose weight covers `point`, a number below the sum of all. */
export function placeOf(candidates: Candidates, upstream: number, point: number): number {
  const { plan, count, weightEnd } = candidates;
  let low = plan.upstreamFirst[upstream], high = low + count[upstream] - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (weightEnd[middle] > point) high = middle;
    else low = middle + 1;
  }
  return low;
}

const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Points so far apart visit all of `sum` before one comes again, and are spread as evenly as can be at any time
 * (Weyl, by the golden ratio): after `sum` turns each candidate has had as many as it weighs. */
function stepOf(sum: number): number {
  let step = Math.max(1, Math.round(sum * GOLDEN));
  while (divisor(step, sum) !== 1) step++;
  return step;
}

function divisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/** Servers of a new Plan that one before did not have begin their slow start. True: some do. */
export function markJoined(before: Plan, plan: Plan, serverUpMs: Float64Array, nowMs: number): boolean {
  let marked = false;
  for (let server = 1; server < plan.servers; server++) {
    if (!serverIsThere(plan, server) || serverIsThere(before, server)) continue;
    if (plan.upstreamSlowStartMs[plan.serverUpstream[server]] === 0) continue;
    serverUpMs[server] = nowMs;
    marked = true;
  }
  return marked;
}
