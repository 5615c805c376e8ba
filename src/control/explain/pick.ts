// What the rule of an upstream comes to now: the functions of policy/balance.ts on what reactors go by, with the cursor
// as it stands; and why each server was chosen, or not.
import { Balance } from "../../plan/plan.ts";
import {
  costOf,
  drawFirst,
  drawSecond,
  isHashed,
  pick,
  refreshCandidates,
  turnOf,
  walked,
  walkNext,
} from "../../policy/balance.ts";
import { type Candidates, candidatesFor, isSpare, isUsable, weightsOf } from "../../policy/candidates.ts";
import { clientKey, mix } from "../../policy/hash.ts";
import { requestKey } from "../../policy/request_key.ts";
import { isLoaded } from "../../policy/ring.ts";
import type { Head } from "../../proto/head.ts";
import { arenaBytes } from "../../sys/sys.ts";
import { counted } from "../config/units.ts";
import { inputs } from "./request.ts";
import type { World } from "./world.ts";

/** An upstream's members as one pick sees them. */
export interface Pick {
  readonly candidates: Candidates;
  /** By position, the place of those that may be picked in the columns of the candidates. */
  readonly places: ReadonlyMap<number, number>;
  /** Positions in the order in which they are tried, those without a place included. */
  readonly order: readonly number[];
  /** The one that it goes to: the first of them that has a place. */
  readonly chosen: number | undefined;
  /** By position, of those whose turn comes within TURNS_TOLD_MAX: how many turns from now. */
  readonly turns: ReadonlyMap<number, number>;
  /** Positions that were drawn. */
  readonly drawn: readonly number[];
  /** Whether a server is passed over as long as another one can be had. */
  readonly isAvoided: (server: number) => boolean;
}

/** Turns that are looked ahead for rules that go in turns. */
const TURNS_TOLD_MAX = 4_096;

/** The pick of a client; `head`: of its request, if it is one. */
export function pickOf(
  world: World,
  upstream: number,
  head: Head | undefined,
  isAvoided: (server: number) => boolean,
): Pick {
  const { plan, shared, monotonicMs: nowMs } = world, candidates = candidatesFor(plan);
  refreshCandidates(candidates, upstream, shared, nowMs);
  const first = plan.upstreamFirst[upstream], count = candidates.count[upstream];
  const places = new Map<number, number>();
  for (let at = first; at < first + count; at++) places.set(candidates.member[at], at);
  const none = { candidates, places, order: [], chosen: undefined, turns: new Map(), drawn: [], isAvoided };
  if (count === 0) return none;
  const cursor = Atomics.load(shared.upstreamCursor, upstream), key = keyOf(world, upstream, head, cursor);
  const member = pick(candidates, upstream, shared, cursor, key, nowMs);
  const start = isHashed(plan, upstream) ? key : member, order: number[] = [];
  for (let next = member; next >= 0; next = walkNext(plan, upstream, shared, start, walked, nowMs)) {
    order.push(next);
  }
  const one = drawFirst(candidates, upstream, cursor);
  const drawn = goesByDraw(world, upstream) ? [one, drawSecond(candidates, upstream, cursor, one)] : [];
  return {
    candidates,
    places,
    order,
    chosen: chosenOf(world, upstream, order, isAvoided) ?? chosenOf(world, upstream, order, () => false),
    isAvoided,
    turns: turnsOf(candidates, upstream, cursor),
    drawn: drawn.map((at) => candidates.member[at]),
  };
}

/** What rules that hash go by. */
function keyOf({ plan }: World, upstream: number, head: Head | undefined, cursor: number): number {
  if (!isHashed(plan, upstream)) return 0;
  const { clientAt } = inputs;
  const key = head === undefined
    ? clientKey(plan, upstream, arenaBytes, clientAt)
    : requestKey(plan, upstream, arenaBytes, head, arenaBytes, clientAt);
  return key || mix(cursor);
}

/** The first that has a place; a backup has none for who waits for others. */
function chosenOf(
  world: World,
  upstream: number,
  order: readonly number[],
  isAvoided: (server: number) => boolean,
): number | undefined {
  const { plan, shared } = world;
  let isCrowded = false;
  for (const member of order) {
    const server = serverOf(world, upstream, member);
    if (isCrowded && isSpare(plan, upstream, server, shared)) return undefined;
    if (isAvoided(server)) continue;
    if (hasPlace(world, server)) return member;
    isCrowded = true;
  }
  return undefined;
}

export function serverOf({ plan }: World, upstream: number, member: number): number {
  return plan.upstreamMember[plan.upstreamFirst[upstream] + member];
}

export function hasPlace({ plan, shared }: World, server: number): boolean {
  const most = plan.serverConnectionsMax[server];
  return most === 0 || Atomics.load(shared.serverInUse, server) < most;
}

function goesByDraw({ plan }: World, upstream: number): boolean {
  const rule = plan.upstreamBalance[upstream];
  return rule === Balance.RandomTwo || rule === Balance.PeakEwma;
}

function turnsOf(candidates: Candidates, upstream: number, cursor: number): Map<number, number> {
  const turns = new Map<number, number>(), { plan, count } = candidates;
  if (plan.upstreamBalance[upstream] !== Balance.RoundRobin) return turns;
  const most = candidates.step[upstream] === 0
    ? count[upstream]
    : Math.min(TURNS_TOLD_MAX, weightsOf(candidates, upstream));
  for (let turn = 0; turn < most && turns.size < count[upstream]; turn++) {
    const member = candidates.member[turnOf(candidates, upstream, cursor + turn)];
    if (!turns.has(member)) turns.set(member, turn);
  }
  return turns;
}

/** What the rule compares, of a candidate: in use by weight, milliseconds, or null where it compares nothing. */
export function scoreOf(world: World, upstream: number, member: number, pick: Pick): number | null {
  const { plan, shared, monotonicMs: nowMs } = world, at = pick.places.get(member);
  const rule = plan.upstreamBalance[upstream];
  if (at === undefined || !(goesByDraw(world, upstream) || rule === Balance.LeastConnections)) return null;
  const cost = costOf(pick.candidates, upstream, at, shared, nowMs);
  return cost === Infinity ? null : Math.round(cost * 1_000) / 1_000;
}

/** Why a server that nothing speaks against was chosen, or not. */
export function whyPicked(world: World, upstream: number, member: number, pick: Pick): string {
  const { plan, shared } = world, server = serverOf(world, upstream, member);
  const isChosen = member === pick.chosen, nth = pick.order.indexOf(member);
  if (!isUsable(plan, server, shared)) return "not a candidate: it has weight 0";
  if (!pick.places.has(member)) return "not a candidate: a backup, and others are there";
  if (!hasPlace(world, server)) return "passed over: all its connections are in use";
  if (pick.isAvoided(server) && !isChosen) return "passed over: datagrams to it met nobody a moment ago";
  const before = isChosen && nth > 0 ? "those before it are passed over" : undefined;
  const said = isChosen ? "chosen" : "not chosen";
  switch (plan.upstreamBalance[upstream] as Balance) {
    case Balance.RoundRobin: {
      if (isChosen) {
        return `chosen: ${
          before === undefined ? "its turn is now" : "those whose turn is before are passed over"
        }`;
      }
      const turn = pick.turns.get(member);
      return `not chosen: its turn comes ${turn === undefined ? "much" : turn} later`;
    }
    case Balance.First:
      return isChosen ? `chosen: ${before ?? "it is the first"}` : "not chosen: one before it has a place";
    case Balance.LeastConnections:
      return `${said}: ${before ?? leastText(world, upstream, member, pick)}`;
    case Balance.RandomTwo:
    case Balance.PeakEwma:
      return `${said}: ${before ?? drawnText(world, upstream, member, pick)}`;
    default:
      return `${said}: ${before ?? hashedText(world, upstream, member, pick)}`;
  }
}

function leastText(world: World, upstream: number, member: number, pick: Pick): string {
  const used = inUse(world, upstream, member), score = scoreOf(world, upstream, member, pick);
  const least = pick.order.length === 0 ? null : scoreOf(world, upstream, pick.order[0], pick);
  if (member === pick.chosen) return `with ${used}, none has fewer for its weight`;
  return score === least ? `with ${used}, another's turn is before` : `with ${used}, more for its weight`;
}

function drawnText(world: World, upstream: number, member: number, pick: Pick): string {
  if (!pick.drawn.includes(member)) return "not one of the two that were drawn";
  const isEwma = world.plan.upstreamBalance[upstream] === Balance.PeakEwma;
  const score = scoreOf(world, upstream, member, pick), used = inUse(world, upstream, member);
  const cost = isEwma ? `at a cost of ${score} ms, with ${used}` : `with ${used}`;
  return member === pick.chosen
    ? `drawn, and ${cost} no worse than the other`
    : `drawn, but ${cost} no better than the other`;
}

function hashedText(world: World, upstream: number, member: number, pick: Pick): string {
  const { plan, shared } = world, server = serverOf(world, upstream, member);
  if (member === pick.chosen) return "the key's server";
  const weights = weightsOf(pick.candidates, upstream);
  if (isLoaded(plan, upstream, server, shared, weights)) {
    return `with ${inUse(world, upstream, member)} it has its share of the load`;
  }
  return "not the key's server";
}

function inUse(world: World, upstream: number, member: number): string {
  return `${
    counted(Atomics.load(world.shared.serverInUse, serverOf(world, upstream, member)), "connection")
  } in use`;
}
