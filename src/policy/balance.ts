// Which server of an upstream comes next. Deciding is pure functions of the Plan, the verdicts and a
// cursor; committing moves the cursor, and nothing else. Members are positions in the upstream's list, so that "each
// at most once" needs no memory but where it began and how far it went.
import type { Plan } from "../plan/plan.ts";
import { Verdict } from "../shared/servers.ts";

/**
 * Writes the positions of an upstream's servers that may be picked into `candidates[first..]`, where
 * `first` is the upstream's own. Done when a verdict changed, so that a pick is one division.
 *
 * @returns how many they are.
 */
export function candidatesOf(
  plan: Plan,
  upstream: number,
  verdicts: Uint8Array,
  candidates: Uint32Array,
): number {
  const first = plan.upstreamFirst[upstream], count = plan.upstreamCount[upstream];
  let found = 0;
  for (let member = 0; member < count; member++) {
    const server = plan.upstreamMember[first + member];
    if (verdicts[server] !== Verdict.Down) candidates[first + found++] = member;
  }
  return found;
}

/** Round robin: the candidate whose turn it is. `count` > 0; the cursor may be any 32-bit integer. */
export function roundRobin(candidates: Uint32Array, first: number, count: number, cursor: number): number {
  return candidates[first + (cursor >>> 0) % count];
}

/** Commits a pick by round robin: moves the cursor that all reactors share; returns where it stood. */
export function roundRobinCommit(cursors: Int32Array, upstream: number): number {
  return Atomics.add(cursors, upstream, 1);
}

/**
 * The next server to try after a failed connect: the first one, `tried` or more places after the
 * member that was picked at first, that is not down.
 *
 * @returns how many places after (the new `tried` is one more), or -1: none is left.
 */
export function redispatch(
  plan: Plan,
  upstream: number,
  verdicts: Uint8Array,
  firstMember: number,
  tried: number,
): number {
  const first = plan.upstreamFirst[upstream], count = plan.upstreamCount[upstream];
  for (let places = tried; places < count; places++) {
    const server = plan.upstreamMember[first + (firstMember + places) % count];
    if (verdicts[server] !== Verdict.Down) return places;
  }
  return -1;
}
