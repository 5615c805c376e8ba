// Exchanges that wait for a place at a server, because every server that could take them has as many in
// use as it may have. First come, first served, per reactor; bounded, each with its deadline.
// A place that gets free is handed to whoever waits for it here, without ever being free; where somebody
// waits elsewhere as well, every other one is. It is given back then, and those reactors are woken: each
// looks for places itself, on behalf of who waits there. Nobody passes who waits: newcomers stand behind.
// Between reactors a word may come too late, or to one that has no use for it any more: therefore who waits
// looks for itself as well, every QUEUE_LOOK_MS.
// Invariant: exactly the exchanges in state Queue are linked, through exNext and exBefore, in the order in
// which they first came; `here` counts them by upstream.
import { NONE, QUEUE_MAX, UPSTREAMS_MAX } from "../base/limits.ts";
import { runAgain } from "../net/ready.ts";
import type { Plan } from "../plan/plan.ts";
import { isHashed, walked, walkNext, walkTo } from "../policy/balance.ts";
import { isSpare, isUsable } from "../policy/candidates.ts";
import { type Layout, makeTable, openTable } from "../shared/columns.ts";
import { Reason } from "../shared/reason.ts";
import { PER_LINE } from "../shared/servers.ts";
import { ExFlag, ExState } from "../shared/tables.ts";
import { clockMs, sys } from "../sys/sys.ts";
import { plan, planOf, room, shared } from "./context.ts";
import {
  exBefore,
  exDown,
  exFirst,
  exFlags,
  exGeneration,
  exNext,
  exQueuedMs,
  exReason,
  exServer,
  exSetState,
  exTried,
  exUnqueuedMs,
  exUpstream,
  exWalk,
} from "./exchanges.ts";
import { takePlace, tooManyPlaces } from "./places.ts";
import { memberTaken, peekMember } from "./server.ts";

/** By upstream; committed by touch. */
const UPSTREAMS = {
  here: [Uint16Array, 1], // exchanges of this reactor that wait for it
  ours: [Uint8Array, 1], // whether the last place for which somebody waited elsewhere, too, was handed on here
  looked: [Uint32Array, 1], // the look (of queueRetry) that it was part of last
} as const satisfies Layout;

let here: Uint16Array;
let ours: Uint8Array;
let looked: Uint32Array;
let look: number;
let first: number;
let last: number;
let length: number;
/** Rooms that this one may wake. */
let rooms: readonly number[];

export function queueOpen(all: readonly number[]): void {
  ({ here, ours, looked } = openTable(UPSTREAMS, makeTable(UPSTREAMS, UPSTREAMS_MAX), UPSTREAMS_MAX));
  look = 0;
  first = NONE;
  last = NONE;
  length = 0;
  rooms = all.filter((other) => other !== room);
  tell();
}

/** Takes its place in the queue, by when it first joined one: behind whoever came before, and who tried in vain
 * is where it was. False when the queue is full. */
export function queueJoin(ex: number): boolean {
  if (length === QUEUE_MAX) return false;
  let before = last;
  while (before !== NONE && exQueuedMs[before] > exQueuedMs[ex]) before = exBefore[before];
  const next = before === NONE ? first : exNext[before];
  exNext[ex] = next;
  exBefore[ex] = before;
  if (before === NONE) first = ex;
  else exNext[before] = ex;
  if (next === NONE) last = ex;
  else exBefore[next] = ex;
  length++;
  here[exUpstream[ex]]++;
  Atomics.add(shared.upstreamWaiting, exUpstream[ex], 1);
  tell();
  return true;
}

export function queueLeave(ex: number): void {
  const before = exBefore[ex], next = exNext[ex];
  if (before === NONE) first = next;
  else exNext[before] = next;
  if (next === NONE) last = before;
  else exBefore[next] = before;
  exNext[ex] = NONE;
  exBefore[ex] = NONE;
  length--;
  here[exUpstream[ex]]--;
  Atomics.sub(shared.upstreamWaiting, exUpstream[ex], 1);
  tell();
}

/** Tells all who wait for one of an upstream's servers that there may be a place: here, and elsewhere. */
export function queueTell(upstream: number): void {
  queueLook(upstream);
  queueWake(upstream);
}

/** Whether somebody waits here for a place at one of an upstream's servers. */
export function queueWaits(upstream: number): boolean {
  return length > 0 && here[upstream] > 0;
}

/** Who waits longest for a place at a server that is being given up; NONE: nobody here does, or it is another reactor's
 * turn. `queueHand` gives it. */
export function queueHeir(upstream: number, server: number): number {
  if (!queueWaits(upstream)) return NONE;
  const isShared = waitsElsewhere(upstream);
  if (isShared && ours[upstream] === 1) {
    ours[upstream] = 0;
    return NONE;
  }
  for (let ex = first; ex !== NONE; ex = exNext[ex]) {
    if (exUpstream[ex] !== upstream) continue;
    const held = planOf(exGeneration[ex]), member = memberOf(held, upstream, server);
    if (member < 0) continue; // its Plan has no such server
    const isOpen = isUsable(held, server, shared) && !isSpare(held, upstream, server, shared) &&
      !tooManyPlaces(server, held.serverConnectionsMax[server]);
    if (!isOpen && held === plan) return NONE;
    if (!isOpen) continue; // whoever came later may go by another Plan
    if (isShared) ours[upstream] = 1;
    heirMember = member;
    return ex;
  }
  return NONE;
}

/** Which of its upstream's members the server is, to the last heir. */
let heirMember = 0;

/** Hands the place at a server to the heir that was found for it, which has it before anything else is done. */
export function queueHand(heir: number, server: number): void {
  grant(heir, server, heirMember, true);
  const upstream = exUpstream[heir];
  // A place that was given up for this reactor may be on its way, and nobody is left here to take it.
  if (here[upstream] === 0) queueWake(upstream);
}

/** Looks for places at an upstream's servers, for those that wait here, in their order. Where one by the
 * present Plan finds none, there is none for those behind it. Who was refused by a server would go round in
 * circles: it asks again in its own time, or is handed a place. */
export function queueLook(upstream: number): void {
  if (!queueWaits(upstream)) return;
  for (let ex = first, next; ex !== NONE; ex = next) {
    next = exNext[ex];
    if (exUpstream[ex] !== upstream || exReason[ex] !== Reason.None) continue;
    if (!lookFor(ex) && exGeneration[ex] === plan.generation) return;
  }
}

/** Somebody woke this reactor: there may be places at servers of any upstream that is waited for. */
export function queueRetry(): void {
  look++;
  for (let ex = first; ex !== NONE;) {
    const upstream = exUpstream[ex];
    if (looked[upstream] === look) {
      ex = exNext[ex];
      continue;
    }
    looked[upstream] = look;
    queueLook(upstream);
    ex = first;
  }
}

/** Wakes the other reactors if somebody waits there for one of an upstream's servers. */
export function queueWake(upstream: number): void {
  if (waitsElsewhere(upstream)) queueWakeAll();
}

/** Wakes the other reactors where somebody waits, for whatever upstream: each looks itself. */
export function queueWakeAll(): void {
  for (let index = 0; index < rooms.length; index++) {
    if (Atomics.load(shared.reactorWaiting, rooms[index] * PER_LINE) !== 0) sys.wake(rooms[index]);
  }
}

export function queueLength(): number {
  return length;
}

function waitsElsewhere(upstream: number): boolean {
  return Atomics.load(shared.upstreamWaiting, upstream) > here[upstream];
}

/** Takes a place for one that waits, if there is one. Looks in vain, of which there are many, move no cursor: the turns
 * of servers are those of places that are taken. */
function lookFor(ex: number): boolean {
  const held = planOf(exGeneration[ex]), upstream = exUpstream[ex], begin = held.upstreamFirst[upstream];
  const picked = peekMember(upstream, exFirst[ex]), start = isHashed(held, upstream) ? exFirst[ex] : picked;
  if (picked < 0) return false;
  let member = walkNext(held, upstream, shared, start, 0, clockMs());
  for (; member >= 0; member = walkNext(held, upstream, shared, start, walked, clockMs())) {
    const server = held.upstreamMember[begin + member], most = held.serverConnectionsMax[server];
    if (isSpare(held, upstream, server, shared)) return false;
    const takes = most > 0 || held.upstreamCounted[upstream] !== 0;
    if (takes && !takePlace(upstream, server, most)) continue;
    memberTaken(upstream);
    grant(ex, server, member, takes);
    return true;
  }
  return false;
}

/** It has a place: it goes there in its turn. */
function grant(ex: number, server: number, member: number, placed: boolean): void {
  exServer[ex] = server;
  exFlags[ex] = (exFlags[ex] & ~ExFlag.Crowded) | ExFlag.Granted | (placed ? ExFlag.Placed : 0);
  queueLeave(ex);
  exUnqueuedMs[ex] = clockMs();
  exSetState(ex, ExState.Connect);
  exReason[ex] = Reason.None;
  const held = planOf(exGeneration[ex]), upstream = exUpstream[ex];
  exWalk[ex] = walkTo(held, upstream, member, exFirst[ex]);
  if (!isHashed(held, upstream)) exFirst[ex] = member;
  exTried[ex] = 1;
  runAgain(exDown[ex]);
}

/** Which of an upstream's members a server is, or -1. */
function memberOf(
  { upstreamFirst, upstreamCount, upstreamMember }: Plan,
  upstream: number,
  server: number,
): number {
  const begin = upstreamFirst[upstream], members = upstreamCount[upstream];
  for (let member = 0; member < members; member++) {
    if (upstreamMember[begin + member] === server) return member;
  }
  return -1;
}

function tell(): void {
  Atomics.store(shared.reactorWaiting, room * PER_LINE, length);
}
