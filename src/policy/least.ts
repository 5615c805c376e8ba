// The candidate with the least score: its connections by weight, or its place in the list while it is not full. Few
// are looked at one by one. Of many a tree knows the least, each node the better of two below. Others move counts
// unseen: so each pick looks at a few scores in turn, and at that of whoever won, before it is believed.
import { Balance } from "../plan/plan.ts";
import { type Candidates, memberServer, type Standing } from "./candidates.ts";

/** More than these are kept in a tree. */
export const SCAN_MAX = 64;
/** Scores that each pick looks at, in turn. */
const LOOKS = 16;
/** How often the winner may turn out to be none before it is taken as it is. */
const WINNERS_MAX = 8;

/** What a candidate is chosen by, the least first; Infinity: it is full. */
export function scoreOf(candidates: Candidates, upstream: number, at: number, standing: Standing): number {
  const { plan } = candidates, server = memberServer(candidates, upstream, at);
  const most = plan.serverConnectionsMax[server], inUse = Atomics.load(standing.serverInUse, server);
  if (most > 0 && inUse >= most) return Infinity;
  return plan.upstreamBalance[upstream] === Balance.First ? at : inUse / candidates.weight[at];
}

/** The place of the candidate with the least score: `start` if it is as good as any, else the first from there on,
 * around the end. */
export function leastOf(candidates: Candidates, upstream: number, standing: Standing, start: number): number {
  const count = candidates.count[upstream], first = candidates.plan.upstreamFirst[upstream];
  if (count > SCAN_MAX) {
    const winner = winnerOf(candidates, upstream, standing);
    const isBetter = candidates.score[winner] < scoreOf(candidates, upstream, start, standing);
    return isBetter ? winner : start;
  }
  let best = start, least = scoreOf(candidates, upstream, start, standing);
  for (let past = 1; past < count && least > 0; past++) {
    const turned = start + past, at = turned < first + count ? turned : turned - count;
    const score = scoreOf(candidates, upstream, at, standing);
    if (score >= least) continue;
    best = at;
    least = score;
  }
  return best;
}

/** Makes the tree of an upstream with more than SCAN_MAX candidates anew. */
export function plantTree(candidates: Candidates, upstream: number, standing: Standing): void {
  const { plan, score, winner } = candidates;
  const first = plan.upstreamFirst[upstream], count = candidates.count[upstream];
  for (let leaf = 0; leaf < count; leaf++) {
    score[first + leaf] = scoreOf(candidates, upstream, first + leaf, standing);
    winner[2 * first + count + leaf] = first + leaf;
  }
  for (let node = count - 1; node > 0; node--) settle(candidates, 2 * first, node);
  candidates.looked[upstream] = 0;
}

/** Node n's two below are 2n and 2n + 1, leaves are count to 2 * count - 1, the root is 1. */
function settle({ score, winner }: Candidates, root: number, node: number): void {
  const left = winner[root + 2 * node], right = winner[root + 2 * node + 1];
  winner[root + node] = score[right] < score[left] ? right : left;
}

function winnerOf(candidates: Candidates, upstream: number, standing: Standing): number {
  const { plan, winner, looked } = candidates;
  const first = plan.upstreamFirst[upstream], count = candidates.count[upstream], root = 2 * first;
  let next = looked[upstream];
  for (let look = 0; look < LOOKS; look++) {
    if (next >= count) next = 0;
    update(candidates, upstream, first + next++, standing);
  }
  looked[upstream] = next;
  for (let tries = 0; tries < WINNERS_MAX; tries++) {
    const best = winner[root + 1];
    if (!update(candidates, upstream, best, standing)) return best;
  }
  return winner[root + 1];
}

/** Looks at a candidate's score; true: it is another than the tree knew. */
function update(candidates: Candidates, upstream: number, at: number, standing: Standing): boolean {
  const score = scoreOf(candidates, upstream, at, standing);
  if (score === candidates.score[at]) return false;
  const first = candidates.plan.upstreamFirst[upstream], count = candidates.count[upstream];
  candidates.score[at] = score;
  for (let node = (count + at - first) >>> 1; node > 0; node >>>= 1) settle(candidates, 2 * first, node);
  return true;
}
