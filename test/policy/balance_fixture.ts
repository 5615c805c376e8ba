// An upstream for the tests of balancing: a Plan of a few numbers, and what reactors know of its servers.
import { Balance, makePlan, NO_SIZES, type Plan } from "../../src/plan/plan.ts";
import { hasCursor, isHashed, pick, refreshCandidates, walked, walkNext } from "../../src/policy/balance.ts";
import { type Candidates, candidatesFor } from "../../src/policy/candidates.ts";
import { hashBytes } from "../../src/policy/hash.ts";
import { maglevTable } from "../../src/policy/maglev.ts";
import { makeShared, openShared, type Shared, Verdict } from "../../src/shared/servers.ts";

export interface Given {
  readonly rule?: Balance;
  /** By member; a weight of 1 if there is none. */
  readonly weights?: readonly number[];
  readonly backups?: readonly number[];
  readonly slowStartMs?: number;
  /** In percent. */
  readonly load?: number;
  /** Places of every server; 0: any number. */
  readonly most?: number;
  /** What the servers are, by member; those of the same name are the same to a hash. */
  readonly names?: readonly string[];
}

/** The upstream's number; servers have the numbers of their members, plus 1. */
export const UPSTREAM = 1;
const ARENA_TABLE = 8;

/** A Plan with one upstream of `count` servers, behind another's two. */
export function planOf(count: number, given: Given = {}): Plan {
  const { rule = Balance.RoundRobin, weights = [], backups = [], slowStartMs = 0, load = 0, most = 0 } =
    given;
  const hashes = rule === Balance.SourceHash || rule === Balance.ConsistentHash;
  const seats = Array.from({ length: hashes ? count : 0 }, (_, member) => {
    const bytes = new TextEncoder().encode(given.names?.[member] ?? `server ${member}`);
    const [offset, stride] = [1, 2].map((seed) => hashBytes(bytes, 0, bytes.length, seed));
    return { member, offset, stride, weight: weights[member] ?? 1 };
  }).filter(({ member, weight }) => weight > 0 && !backups.includes(member));
  const table = maglevTable(seats);
  const plan = makePlan(1, {
    ...NO_SIZES,
    listeners: 1,
    upstreams: 3,
    servers: count + 3,
    members: count + 2,
    arenaBytes: ARENA_TABLE + table.length,
  });
  plan.arena.set(table, ARENA_TABLE);
  plan.upstreamCount[2] = 2;
  plan.upstreamFirst[UPSTREAM] = 2;
  plan.upstreamCount[UPSTREAM] = count;
  plan.upstreamBalance[UPSTREAM] = rule;
  plan.upstreamSlowStartMs[UPSTREAM] = slowStartMs;
  plan.upstreamLoadMax[UPSTREAM] = load;
  plan.upstreamTableAt[UPSTREAM] = ARENA_TABLE;
  plan.upstreamTableSize[UPSTREAM] = table.length / 2;
  for (let member = 0; member < count; member++) {
    const server = member + 1;
    plan.upstreamMember[2 + member] = server;
    plan.serverUpstream[server] = UPSTREAM;
    plan.serverAddressAt[server] = ARENA_TABLE;
    plan.serverWeightMore[server] = (weights[member] ?? 1) - 1;
    plan.serverBackup[server] = backups.includes(member) ? 1 : 0;
    plan.serverConnectionsMax[server] = most;
  }
  return plan;
}

/** An upstream with its servers, as a reactor has it. The clock stands unless it is set. */
export class Upstream {
  readonly plan: Plan;
  readonly shared: Shared = openShared(makeShared());
  readonly candidates: Candidates;
  nowMs = 1_000_000;

  constructor(count: number, given: Given = {}) {
    this.plan = planOf(count, given);
    this.candidates = candidatesFor(this.plan);
    this.refresh();
  }

  refresh(): void {
    refreshCandidates(this.candidates, UPSTREAM, this.shared, this.nowMs);
  }

  down(...members: number[]): this {
    this.shared.serverVerdict.fill(Verdict.Up, 0, this.plan.servers);
    for (const member of members) this.shared.serverVerdict[member + 1] = Verdict.Down;
    this.refresh();
    return this;
  }

  /** The next pick's member; it goes nowhere. */
  pick(key = 0): number {
    if (this.candidates.count[UPSTREAM] === 0) return -1;
    const moves = hasCursor(this.plan, UPSTREAM);
    const cursor = moves ? this.shared.upstreamCursor[UPSTREAM]++ : 0;
    return pick(this.candidates, UPSTREAM, this.shared, cursor, key, this.nowMs);
  }

  /** The next pick's member, where one more is in use then. */
  take(key = 0): number {
    const member = this.pick(key);
    this.shared.serverInUse[member + 1]++;
    this.shared.upstreamInUse[UPSTREAM]++;
    return member;
  }

  give(member: number): void {
    this.shared.serverInUse[member + 1]--;
    this.shared.upstreamInUse[UPSTREAM]--;
  }

  /** All members that an exchange asks when every connect fails, in order. */
  walk(key = 0): number[] {
    const first = this.pick(key), seen: number[] = [];
    const start = isHashed(this.plan, UPSTREAM) ? key : first;
    for (
      let member = first;
      member >= 0 && seen.length <= 2 * this.plan.upstreamCount[UPSTREAM];
      member = walkNext(this.plan, UPSTREAM, this.shared, start, walked, this.nowMs)
    ) seen.push(member);
    return seen;
  }

  /** How often each member comes in `picks` picks. */
  spread(picks: number, next: (nth: number) => number = () => this.pick()): number[] {
    const seen: number[] = Array(this.plan.upstreamCount[UPSTREAM]).fill(0);
    for (let nth = 0; nth < picks; nth++) seen[next(nth)]++;
    return seen;
  }
}

/** Pearson's chi-square of counts against shares that are expected. */
export function chiSquare(seen: readonly number[], shares: readonly number[]): number {
  const all = seen.reduce((sum, count) => sum + count, 0),
    whole = shares.reduce((sum, share) => sum + share, 0);
  return seen.reduce((sum, count, at) => {
    const expected = all * shares[at] / whole;
    return expected === 0 ? sum : sum + (count - expected) ** 2 / expected;
  }, 0);
}

/** What chi-square stays below in all but one of a thousand cases (Wilson and Hilferty). */
export function chiSquareMax(freedom: number): number {
  const part = 2 / (9 * freedom);
  return freedom * (1 - part + 3.0902 * Math.sqrt(part)) ** 3;
}
