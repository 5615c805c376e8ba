// Who is let in at a listener, by the address of the socket, and once more by the address that a PROXY header told.
// policy/guard.ts decides; here it is counted, so that what was decided is what happens: the source's shard is held
// meanwhile, and a listener's count and bucket, which all shards share, refuse by themselves what came too late.
import { ARENA_SCRATCH, NONE } from "../base/limits.ts";
import { guardOf, type Guards, Tracks } from "../plan/guards.ts";
import {
  listenerEveryTicks,
  listenerVerdict,
  listVerdict,
  socketVerdict,
  sourceEveryTicks,
  sourceVerdict,
} from "../policy/guard.ts";
import { expectsProxy } from "../policy/trust.ts";
import { bucketTake, ticksAt } from "../shared/buckets.ts";
import { Reason } from "../shared/reason.ts";
import { PER_LINE } from "../shared/servers.ts";
import {
  sourceEnter,
  sourceExit,
  sourceGive,
  sourceKey,
  sourceLock,
  sourceTake,
  sourceUnlock,
} from "../shared/sources.ts";
import { Count } from "../shared/stats.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { count, plan, room, shared, sources } from "./context.ts";
import { exDown, exListener, exSource } from "./exchanges.ts";

/** Who the connection that was admitted last is counted for; NONE: nobody. */
export let admittedSource: number = NONE;

/**
 * Asks `listener` about whoever is at the other end of a socket, whose peer record is in the arena at `at`, and counts
 * it if it may come in. Where a PROXY header is expected that is a proxy: no source itself, and `readmitted` follows.
 * Until a token or an exchange has `admittedSource` and `charged` is called, reactorCharging has it.
 *
 * @returns None, or why it is refused: nothing of it is counted then.
 */
export function admitted(listener: number, at: number): Reason {
  return counted(listener, at, socketVerdict(plan, listener, arenaBytes, at), expectsProxy(plan, listener));
}

/** The same for a client whom the header of a datagram told; whoever sent that has been asked about. */
export function admittedTold(listener: number, at: number): Reason {
  const { guards } = plan;
  return counted(
    listener,
    at,
    listVerdict(guards, guardOf(guards, listener), arenaBytes, at, false),
    false,
  );
}

/**
 * Counts a client that another process of ours has let in, at whichever limit: nobody is asked again.
 *
 * @param at its peer record in the arena
 * @returns who it is counted for, or NONE; until somebody has it, reactorCharging does
 */
export function admittedBefore(listener: number, at: number): number {
  const { guards } = plan, guard = guardOf(guards, listener);
  if (guard === NONE || guards.guardTracks[guard] === Tracks.Nothing) return NONE;
  const limiter = guards.guardLimiter[guard];
  const { guardPrefix4: v4, guardPrefix6: v6 } = guards;
  const isSource = guards.guardTracks[guard] === Tracks.Sources &&
    sourceKey(sources, limiter, arenaBytes, at, v4[guard], v6[guard]);
  const locked = isSource && sourceLock(sources, room);
  const source = locked ? sourceTake(sources, ticksAt(clockMs())) : NONE;
  sourceEnter(sources, limiter, 0);
  if (source !== NONE) sourceEnter(sources, source, 0);
  admittedSource = source === NONE ? limiter : source;
  charging(admittedSource, NONE);
  if (locked) sourceUnlock(sources);
  if (isSource && source === NONE) count(Count.SourcesFull);
  return admittedSource;
}

/** Counts whom the lists let in, if the limits do. */
function counted(listener: number, at: number, listed: Reason, isProxy: boolean): Reason {
  const { guards } = plan, guard = guardOf(guards, listener);
  admittedSource = NONE;
  let verdict = listed;
  if (verdict === Reason.None && guard !== NONE && guards.guardTracks[guard] !== Tracks.Nothing) {
    verdict = enter(guards, guard, at, isProxy, true);
  }
  return verdict;
}

/**
 * The same for a client that is in, and of whom a PROXY header told another address: it goes by the lists once more,
 * and is its new source's instead of the old one's. Its listener has counted it before.
 *
 * @returns None, or why it is refused: it is counted as it was, until its exchange ends.
 */
export function readmitted(ex: number): Reason {
  const { guards } = plan, listener = exListener[ex], guard = guardOf(guards, listener);
  if (guard === NONE) return Reason.None;
  sys.client(exDown[ex], ARENA_SCRATCH);
  let verdict = listVerdict(guards, guard, arenaBytes, ARENA_SCRATCH, false);
  if (verdict === Reason.None && guards.guardTracks[guard] !== Tracks.Nothing) {
    verdict = reenter(ex, guards, guard, ARENA_SCRATCH);
  }
  return verdict;
}

function reenter(ex: number, guards: Guards, guard: number, at: number): Reason {
  const before = exSource[ex], limiter = limiterOf(before);
  const isNew = limiter !== guards.guardLimiter[guard]; // the guard is another one since it came
  const verdict = enter(guards, guard, at, false, isNew);
  if (verdict !== Reason.None) return verdict;
  charging(admittedSource, exDown[ex]);
  exSource[ex] = admittedSource;
  charged();
  if (isNew) sourceGive(sources, before);
  else if (before !== limiter) sourceExit(sources, before);
  return Reason.None;
}

/** The limiter that a row's connections are counted for: the row itself, or the one that it is a source of. */
function limiterOf(row: number): number {
  const limiter = sources.sourceLimiter[row];
  return limiter === NONE ? row : limiter;
}

/** Decides on one more connection and counts it, for the listener too if `isNew`. */
function enter(guards: Guards, guard: number, at: number, isProxy: boolean, isNew: boolean): Reason {
  const nowTicks = ticksAt(clockMs()), limiter = guards.guardLimiter[guard];
  const { guardPrefix4: v4, guardPrefix6: v6 } = guards;
  const isSource = !isProxy && guards.guardTracks[guard] === Tracks.Sources &&
    sourceKey(sources, limiter, arenaBytes, at, v4[guard], v6[guard]);
  const locked = isSource && sourceLock(sources, room);
  const source = locked ? sourceTake(sources, nowTicks) : NONE;
  let verdict = sourceVerdict(guards, guard, sources, source, nowTicks);
  if (verdict === Reason.None && isNew) verdict = enterListener(guards, guard, limiter, nowTicks);
  if (verdict === Reason.None) {
    if (source !== NONE) enterSource(guards, guard, source, nowTicks);
    admittedSource = source === NONE ? limiter : source;
    charging(admittedSource, NONE);
  }
  if (locked) sourceUnlock(sources);
  if (isSource && source === NONE) count(Count.SourcesFull);
  return verdict;
}

/** Counts one more connection for a listener as a whole; another reactor may have been faster. */
function enterListener(guards: Guards, guard: number, limiter: number, nowTicks: number): Reason {
  const verdict = listenerVerdict(guards, guard, sources, nowTicks);
  if (verdict !== Reason.None) return verdict;
  if (!sourceEnter(sources, limiter, guards.guardConnections[guard])) return Reason.ListenerLimit;
  if (guards.guardNew[guard] === 0) return Reason.None;
  const every = listenerEveryTicks(guards, guard), burst = guards.guardNewBurst[guard];
  if (bucketTake(sources.sourceNew, limiter, nowTicks, every, burst)) return Reason.None;
  sourceExit(sources, limiter);
  return Reason.ListenerRate;
}

/** Counts one more connection for a source whose shard is held: what was decided still holds. */
function enterSource(guards: Guards, guard: number, source: number, nowTicks: number): void {
  sourceEnter(sources, source, 0);
  if (guards.guardSourceNew[guard] === 0) return;
  const every = sourceEveryTicks(guards, guard), burst = guards.guardSourceNewBurst[guard];
  bucketTake(sources.sourceNew, source, nowTicks, every, burst);
}

/** Notes in shared memory who a connection is counted for until something else says so: this reactor may die just now.
 * `slot`: where it is going, once that is known: what is there then has it, and not the note (control/settle.ts). */
export function charging(source: number, slot: number): void {
  const at = room * PER_LINE;
  Atomics.store(shared.reactorCharging, at + 1, slot);
  Atomics.store(shared.reactorCharging, at, source);
}

/** The connection that was admitted last has somebody who gives it back. */
export function charged(): void {
  if (admittedSource !== NONE) Atomics.store(shared.reactorCharging, room * PER_LINE, NONE);
  admittedSource = NONE;
}

/** A broken promise ended what a connection was on its way to, which nobody has it for now. */
export function unchargeLost(): void {
  sourceGive(sources, Atomics.exchange(shared.reactorCharging, room * PER_LINE, NONE));
  admittedSource = NONE;
}

/** Takes back that a connection was admitted. */
export function unadmit(): void {
  sourceGive(sources, admittedSource);
  charged();
}
