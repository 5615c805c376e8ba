// Which server of an upstream is next. Deciding is pure functions of the Plan, what reactors know of servers, a cursor
// and a key; committing moves the cursor, and nothing else (who is where is counted by who goes there). Members are
// positions in the upstream's list. What is drawn is drawn from the cursor, so that explain sees the same.
// "Each server at most once" needs no memory but one number, the walk: which servers an exchange has asked.
import { Balance, type Plan } from "../plan/plan.ts";
import {
  type Candidates,
  gather,
  isUsable,
  memberServer,
  placeOf,
  type Standing,
  weightOf,
  weightsOf,
} from "./candidates.ts";
import { mix, scaled } from "./hash.ts";
import { latencyCost } from "./latency.ts";
import { leastOf, plantTree, SCAN_MAX, scoreOf } from "./least.ts";
import { ringEnd, ringMember, ringNext, ringPick } from "./ring.ts";

/** Whether a rule sends a key to the same server always. */
export function isHashed(plan: Plan, upstream: number): boolean {
  const rule = plan.upstreamBalance[upstream];
  return rule === Balance.SourceHash || rule === Balance.ConsistentHash;
}

/** Writes an upstream's candidates, and what its rule needs besides. After a verdict, a drain or the clock changed
 * them. */
export function refreshCandidates(
  candidates: Candidates,
  upstream: number,
  standing: Standing,
  nowMs: number,
): void {
  gather(candidates, upstream, standing, nowMs);
  const rule = candidates.plan.upstreamBalance[upstream];
  const goesByLeast = rule === Balance.LeastConnections || rule === Balance.First;
  if (goesByLeast && candidates.count[upstream] > SCAN_MAX) plantTree(candidates, upstream, standing);
}

/** Commits a pick by a rule that goes in turns or draws: moves the cursor that all reactors share; returns where it
 * stood. */
export function cursorCommit(cursors: Int32Array, upstream: number): number {
  return Atomics.add(cursors, upstream, 1);
}

/** Whether picks of an upstream move its cursor. */
export function hasCursor(plan: Plan, upstream: number): boolean {
  return plan.upstreamBalance[upstream] !== Balance.First && !isHashed(plan, upstream);
}

/** The place of the candidate whose turn it is, by weight. There is one; the cursor may be any 32-bit integer. */
export function turnOf(candidates: Candidates, upstream: number, cursor: number): number {
  const first = candidates.plan.upstreamFirst[upstream], step = candidates.step[upstream];
  if (step === 0) return first + (cursor >>> 0) % candidates.count[upstream];
  const sum = weightsOf(candidates, upstream);
  return placeOf(candidates, upstream, ((cursor >>> 0) % sum) * step % sum);
}

/** The place that a cursor draws, by weight. */
export function drawFirst(candidates: Candidates, upstream: number, cursor: number): number {
  const bits = mix(Math.imul(cursor, 2) ^ mix(upstream));
  if (candidates.step[upstream] === 0) {
    return candidates.plan.upstreamFirst[upstream] + scaled(bits, candidates.count[upstream]);
  }
  return placeOf(candidates, upstream, scaled(bits, weightsOf(candidates, upstream)));
}

/** The place that it draws besides `one`, by weight as well: as if that one were not there. The same if there is no
 * other. */
export function drawSecond(candidates: Candidates, upstream: number, cursor: number, one: number): number {
  const bits = mix((Math.imul(cursor, 2) + 1) ^ mix(upstream));
  if (candidates.step[upstream] === 0) {
    const first = candidates.plan.upstreamFirst[upstream], others = candidates.count[upstream] - 1;
    const other = first + scaled(bits, others);
    return others === 0 ? one : other >= one ? other + 1 : other;
  }
  const { weight, weightEnd } = candidates;
  const point = scaled(bits, weightsOf(candidates, upstream) - weight[one]);
  return placeOf(candidates, upstream, point >= weightEnd[one] - weight[one] ? point + weight[one] : point);
}

/** What rules that compare go by, the least first. */
export function costOf(
  candidates: Candidates,
  upstream: number,
  at: number,
  standing: Standing,
  nowMs: number,
): number {
  const score = scoreOf(candidates, upstream, at, standing);
  if (candidates.plan.upstreamBalance[upstream] !== Balance.PeakEwma || score === Infinity) return score;
  return latencyCost(standing, memberServer(candidates, upstream, at), candidates.weight[at], nowMs);
}

/**
 * The member that is picked, of an upstream with candidates. By rules that hash `key` decides, which is 32 bits, by
 * others the cursor.
 *
 * @returns -1 when there is none after all. `walked` is the walk that begins with it.
 */
export function pick(
  candidates: Candidates,
  upstream: number,
  standing: Standing,
  cursor: number,
  key: number,
  nowMs: number,
): number {
  const { plan } = candidates;
  if (plan.upstreamBalance[upstream] === Balance.RoundRobin) {
    walked = candidates.begun[upstream];
    return candidates.member[turnOf(candidates, upstream, cursor)];
  }
  if (isHashed(plan, upstream)) {
    const weights = weightsOf(candidates, upstream);
    const place = ringPick(plan, upstream, standing, key, weights, nowMs);
    if (place < 0) return -1;
    walked = walkAt(place);
    return ringMember(plan, upstream, key, place);
  }
  const at = placePicked(candidates, upstream, standing, cursor, nowMs);
  const member = candidates.member[at];
  walked = walkFrom(plan, upstream, member);
  return member;
}

function placePicked(
  candidates: Candidates,
  upstream: number,
  standing: Standing,
  cursor: number,
  nowMs: number,
): number {
  switch (candidates.plan.upstreamBalance[upstream]) {
    case Balance.LeastConnections:
      return leastOf(candidates, upstream, standing, turnOf(candidates, upstream, cursor));
    case Balance.First:
      return leastOf(candidates, upstream, standing, candidates.plan.upstreamFirst[upstream]);
    case Balance.RandomTwo:
    case Balance.PeakEwma: {
      const one = drawFirst(candidates, upstream, cursor);
      const other = drawSecond(candidates, upstream, cursor, one);
      const isBetter = costOf(candidates, upstream, other, standing, nowMs) <
        costOf(candidates, upstream, one, standing, nowMs);
      return isBetter ? other : one;
    }
    default:
      return turnOf(candidates, upstream, cursor);
  }
}

/** The walk after the last `pick` or `walkNext`. */
export let walked = 0;

/** Upstreams of at most so many servers have a bit for each of them in the walks of rules that compare. */
const BITS_MAX = 32;
/** Walks of rules that hash: the next place of the key's order, and above it the place that was picked, plus 1, if
 * others were passed over for it. */
const PLACE_BITS = 18;
const PLACE_MASK = (1 << PLACE_BITS) - 1;
const AHEAD_MAX = (1 << (32 - PLACE_BITS)) - 2;

function hasBits(plan: Plan, upstream: number): boolean {
  const rule = plan.upstreamBalance[upstream];
  return (rule === Balance.LeastConnections || rule === Balance.RandomTwo || rule === Balance.PeakEwma) &&
    plan.upstreamCount[upstream] <= BITS_MAX;
}

/** The walk of an exchange that has asked the server at `place` of its key's order, and none before. */
function walkAt(place: number): number {
  return place === 0 || place > AHEAD_MAX ? place + 1 : ((place + 1) << PLACE_BITS) >>> 0;
}

/** The walk of an exchange that has asked one member, by rules that do not hash. By list, backups come when the others
 * have been asked; `walkNext` is to be told where it began. */
export function walkFrom(plan: Plan, upstream: number, member: number): number {
  if (hasBits(plan, upstream)) return (1 << member) >>> 0;
  const count = plan.upstreamCount[upstream];
  const backup = plan.serverBackup[plan.upstreamMember[plan.upstreamFirst[upstream] + member]];
  return backup === 0 ? 1 : count + 1;
}

/** The walk of an exchange that was sent to a member from outside its walk; `key`: by rules that hash. */
export function walkTo(plan: Plan, upstream: number, member: number, key: number): number {
  if (!isHashed(plan, upstream)) return walkFrom(plan, upstream, member);
  for (let place = 0, end = ringEnd(plan, upstream); place < end; place++) {
    if (ringMember(plan, upstream, key, place) === member) return walkAt(place);
  }
  return 0;
}

/**
 * The next server to try after a failed connect: the key's next one by rules that hash, the least of the rest by those
 * that compare (of many servers, and by all others, the next one in the list); backups last. Each at most once.
 *
 * @param start where the walk began: the member that was picked, or the key by rules that hash.
 * @param walk 0: nobody was asked.
 * @returns the member, or -1: none is left. `walked` is the walk that has it.
 */
export function walkNext(
  plan: Plan,
  upstream: number,
  standing: Standing,
  start: number,
  walk: number,
  nowMs: number,
): number {
  if (isHashed(plan, upstream)) return nextByKey(plan, upstream, standing, start, walk);
  if (hasBits(plan, upstream)) return nextByCost(plan, upstream, standing, walk, nowMs);
  const first = plan.upstreamFirst[upstream], count = plan.upstreamCount[upstream];
  for (let turn = walk; turn < 2 * count; turn++) {
    const member = (start + turn) % count, server = plan.upstreamMember[first + member];
    if (plan.serverBackup[server] !== (turn < count ? 0 : 1) || !isUsable(plan, server, standing)) continue;
    walked = turn + 1;
    return member;
  }
  return -1;
}

function nextByKey(plan: Plan, upstream: number, standing: Standing, key: number, walk: number): number {
  const ahead = (walk >>> PLACE_BITS) - 1;
  for (let from = walk & PLACE_MASK;;) {
    const place = ringNext(plan, upstream, standing, key, from);
    if (place < 0) return -1;
    from = place + 1;
    if (place === ahead) continue;
    walked = (walk - (walk & PLACE_MASK)) + from;
    return ringMember(plan, upstream, key, place);
  }
}

function nextByCost(plan: Plan, upstream: number, standing: Standing, walk: number, nowMs: number): number {
  const first = plan.upstreamFirst[upstream], count = plan.upstreamCount[upstream];
  let best = -1, least = Infinity, spare = 2;
  for (let member = 0; member < count; member++) {
    const server = plan.upstreamMember[first + member], backup = plan.serverBackup[server];
    if ((walk >>> member) & 1 || backup > spare || !isUsable(plan, server, standing)) continue;
    const cost = serverCost(plan, upstream, server, standing, nowMs);
    if (best >= 0 && backup === spare && cost >= least) continue;
    best = member;
    least = cost;
    spare = backup;
  }
  if (best >= 0) walked = (walk | (1 << best)) >>> 0;
  return best;
}

/** The same as `costOf`, of a server that may be no candidate; by its whole weight. */
function serverCost(plan: Plan, upstream: number, server: number, standing: Standing, nowMs: number): number {
  const most = plan.serverConnectionsMax[server], inUse = Atomics.load(standing.serverInUse, server);
  if (most > 0 && inUse >= most) return Infinity;
  const weight = weightOf(plan, server);
  return plan.upstreamBalance[upstream] === Balance.PeakEwma
    ? latencyCost(standing, server, weight, nowMs)
    : inUse / weight;
}
