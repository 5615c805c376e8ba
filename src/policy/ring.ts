// The order in which a key asks an upstream's servers, by rules that hash: some looks into the Maglev table, each at a
// place of its own, then the list in an order of the key's own, then the backups; each server once. It depends on the Plan and the key alone, so
// that whoever is passed over (down, drained, full, loaded) moves the keys that were its own and no others, and has
// them back when it is back; and nobody needs to remember who was asked.
import type { Plan } from "../plan/plan.ts";
import { isUsable, shareOf, type Standing, weightOf } from "./candidates.ts";
import { mix } from "./hash.ts";

/** Looks into the table. With 8 of 10 servers away, one key in 35 goes on to the list. */
const LOOKS = 16;
const GOLDEN = 0x9e3779b9;

/** Places of the order; behind the last one there is nobody. */
export function ringEnd(plan: Plan, upstream: number): number {
  return LOOKS + 2 * roundOf(plan, upstream);
}

/** Turns in which each server of the list comes once: a power of two, so that any odd stride visits all. */
function roundOf(plan: Plan, upstream: number): number {
  return 1 << (32 - Math.clz32(plan.upstreamCount[upstream] - 1));
}

/** The member at a place of a key's order, or -1: who would be there was asked before, or is asked later. */
export function ringMember(plan: Plan, upstream: number, key: number, place: number): number {
  const first = plan.upstreamFirst[upstream], count = plan.upstreamCount[upstream];
  if (place < LOOKS) {
    const member = tableMember(plan, upstream, key, place);
    for (let before = 0; before < place; before++) {
      if (tableMember(plan, upstream, key, before) === member) return -1;
    }
    return member;
  }
  const turn = place - LOOKS, round = roundOf(plan, upstream), backup = turn < round ? 0 : 1;
  const member = (mix(key) + Math.imul(turn, mix(key + 1) | 1)) & (round - 1);
  if (member >= count) return -1;
  if (plan.serverBackup[plan.upstreamMember[first + member]] !== backup) return -1;
  for (let before = 0; before < LOOKS; before++) {
    if (tableMember(plan, upstream, key, before) === member) return -1;
  }
  return member;
}

function tableMember(plan: Plan, upstream: number, key: number, look: number): number {
  const entries = plan.upstreamTableSize[upstream];
  if (entries === 0) return -1;
  const bits = look === 0 ? key : mix(key + Math.imul(look, GOLDEN));
  const at = plan.upstreamTableAt[upstream] + 2 * ((bits >>> 0) % entries);
  return plan.arena[at] | (plan.arena[at + 1] << 8);
}

/** The place of a key's order where its exchange goes, or -1: nowhere. Passes over who has more than its share of
 * the load, and who is in its slow start, by as many of its keys as it has no weight for yet. */
export function ringPick(
  plan: Plan,
  upstream: number,
  standing: Standing,
  key: number,
  weights: number,
  nowMs: number,
): number {
  const backups = ringEnd(plan, upstream) - roundOf(plan, upstream);
  const load = plan.upstreamLoadMax[upstream], slow = plan.upstreamSlowStartMs[upstream];
  if (load !== 0 || slow !== 0) {
    for (let place = 0; place < backups; place++) {
      const server = serverAt(plan, upstream, key, place);
      if (server < 0 || !isUsable(plan, server, standing)) continue;
      if (load !== 0 && isLoaded(plan, upstream, server, standing, weights)) continue;
      if (slow !== 0 && !isReady(plan, upstream, server, standing, key, nowMs)) continue;
      return place;
    }
  }
  return ringNext(plan, upstream, standing, key, 0);
}

/** The first place from `place` on where a server may be picked, or -1. */
export function ringNext(
  plan: Plan,
  upstream: number,
  standing: Standing,
  key: number,
  place: number,
): number {
  for (const end = ringEnd(plan, upstream); place < end; place++) {
    const server = serverAt(plan, upstream, key, place);
    if (server >= 0 && isUsable(plan, server, standing)) return place;
  }
  return -1;
}

function serverAt(plan: Plan, upstream: number, key: number, place: number): number {
  const member = ringMember(plan, upstream, key, place);
  return member < 0 ? -1 : plan.upstreamMember[plan.upstreamFirst[upstream] + member];
}

/** Whether one more would be more than a server may have: the upstream's share of the average load, by weight
 * (Mirrokni, Thorup, Zadimoghaddam, 2016). `weights`: of all candidates. */
export function isLoaded(
  plan: Plan,
  upstream: number,
  server: number,
  standing: Standing,
  weights: number,
): boolean {
  const load = plan.upstreamLoadMax[upstream];
  if (load === 0) return false;
  return Atomics.load(standing.serverInUse, server) >=
    loadMax(plan, upstream, server, Atomics.load(standing.upstreamInUse, upstream), weights);
}

/** What a server may have in use when an upstream has `inUse`. */
export function loadMax(
  plan: Plan,
  upstream: number,
  server: number,
  inUse: number,
  weights: number,
): number {
  const share = weightOf(plan, server) / weights;
  return Math.ceil((inUse + 1) * share * plan.upstreamLoadMax[upstream] / 100);
}

/** Whether a key may go to a server that is in its slow start: once it may, it always may. */
export function isReady(
  plan: Plan,
  upstream: number,
  server: number,
  standing: Standing,
  key: number,
  nowMs: number,
): boolean {
  const share = shareOf(plan, upstream, server, standing, nowMs);
  return share >= 1 || mix(key ^ Math.imul(server, GOLDEN)) < share * 0x100000000;
}
