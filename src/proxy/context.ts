// What one reactor works by and writes to: its Plan, its counters, what it shares with the others, its
// log ring. Set once when the Worker starts; the Plan is swapped between two turns.
// An exchange that still has to pick servers keeps the Plan it began with: old Plans are kept until
// the last such exchange has let go.
import { assertTable } from "../base/assert.ts";
import { openPlan, type Plan } from "../plan/plan.ts";
import { LogRing } from "../shared/log_ring.ts";
import { LogState } from "../shared/log_state.ts";
import type { WorkerBirth } from "../shared/mailbox.ts";
import { type Reason, REASON_COUNT } from "../shared/reason.ts";
import { openShared, type Shared } from "../shared/servers.ts";
import { openSources, type Sources } from "../shared/sources.ts";
import { Count, openStats, type Stats } from "../shared/stats.ts";

export let room: number;
export let plan: Plan;
export let stats: Stats;
export let shared: Shared;
export let sources: Sources;
export let log: LogRing;

/** Exchanges that hold the current Plan, and older Plans with theirs. */
let holders: number;
let older: { plan: Plan; holders: number }[];

export function contextOpen(birth: WorkerBirth): void {
  room = birth.room;
  plan = openPlan(birth.plan);
  stats = openStats(birth.stats);
  shared = openShared(birth.shared);
  sources = openSources(birth.sources);
  log = new LogRing(birth.log, new LogState(birth.logState));
  holders = 0;
  older = [];
  confirm();
}

/** Works by a new Plan from here on. */
export function planSwap(memory: SharedArrayBuffer): void {
  if (holders > 0) older.push({ plan, holders });
  plan = openPlan(memory);
  holders = 0;
  confirm();
}

/** Holds the current Plan; returns its generation, to be given back by `planGive`. */
export function planHold(): number {
  holders++;
  return plan.generation;
}

export function planGive(generation: number): void {
  if (generation === plan.generation) {
    holders--;
    assertTable(holders >= 0, "context: a Plan was given back once too often");
    return;
  }
  const at = older.findIndex((held) => held.plan.generation === generation);
  assertTable(at >= 0, "context: gave back a Plan that is not held");
  if (--older[at].holders === 0) {
    older.splice(at, 1);
    confirm();
  }
}

/** A held Plan. */
export function planOf(generation: number): Plan {
  if (generation === plan.generation) return plan;
  const held = older.find((held) => held.plan.generation === generation);
  assertTable(held !== undefined, "context: asked for a Plan that is not held");
  return held!.plan;
}

/** Exchanges that hold any Plan. For tests. */
export function plansHeld(): number {
  return older.reduce((sum, held) => sum + held.holders, holders);
}

/** Tells the control plane the oldest generation in use: numbers of older ones may be given again. */
function confirm(): void {
  const oldest = older.length > 0 ? older[0].plan.generation : plan.generation;
  Atomics.store(shared.reactorGeneration, room, oldest);
}

export function count(what: Count, by = 1): void {
  stats.count[what] += by;
}

/** Counts the end of a connection or request of a listener; NONE: nobody knows which. */
export function countEnded(listener: number, reason: Reason): void {
  stats.ended[reason]++;
  stats.listenerEnded[listener * REASON_COUNT + reason]++;
}
