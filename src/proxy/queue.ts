// Exchanges that wait for a place at a server, because every server that could take them has as many in
// use as it may have. First come, first served, per reactor; bounded, each with its deadline. A place that
// gets free is offered to whoever waits here; if nobody does, to a reactor where somebody does.
// Invariant: exactly the exchanges in state Queue are linked, through exNext and exBefore.
import { NONE, QUEUE_MAX } from "../base/limits.ts";
import { runAgain } from "../net/ready.ts";
import { PER_LINE } from "../shared/servers.ts";
import { sys } from "../sys/sys.ts";
import { room, shared } from "./context.ts";
import { exBefore, exDown, exNext, exQueuedMs, exUpstream } from "./exchanges.ts";

let first: number;
let last: number;
let length: number;
/** Rooms that this one may wake. */
let rooms: readonly number[];

export function queueOpen(all: readonly number[]): void {
  first = NONE;
  last = NONE;
  length = 0;
  rooms = all.filter((other) => other !== room);
  tell();
}

/** Takes its place in the queue, by when it first joined one: behind whoever came before, and who tries in vain
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
  tell();
}

/** A place at one of an upstream's servers is free: whoever waited longest for it has its turn. */
export function queueOffer(upstream: number): void {
  for (let ex = first; ex !== NONE; ex = exNext[ex]) {
    if (exUpstream[ex] === upstream) return runAgain(exDown[ex]);
  }
  queueWake();
}

/** What was offered to one that waits is no use to it: the next one has its turn. */
export function queuePass(ex: number): void {
  for (let next = exNext[ex]; next !== NONE; next = exNext[next]) {
    if (exUpstream[next] === exUpstream[ex]) return runAgain(exDown[next]);
  }
}

/** Wakes the other reactors where somebody waits, for whatever upstream: each looks itself. */
export function queueWake(): void {
  for (let index = 0; index < rooms.length; index++) {
    if (Atomics.load(shared.reactorWaiting, rooms[index] * PER_LINE) !== 0) sys.wake(rooms[index]);
  }
}

/** Leaves the queue without having got a place: if one was offered, it is the next one's. */
export function queueGiveUp(ex: number): void {
  queueLeave(ex);
  queueOffer(exUpstream[ex]);
}

/** Somebody woke this reactor: a place may be free for the first of each upstream that is waited for. */
export function queueRetry(): void {
  if (length === 0) return;
  for (let ex = first; ex !== NONE; ex = exNext[ex]) {
    const before = exBefore[ex];
    if (before === NONE || exUpstream[before] !== exUpstream[ex]) runAgain(exDown[ex]);
  }
}

export function queueLength(): number {
  return length;
}

function tell(): void {
  Atomics.store(shared.reactorWaiting, room * PER_LINE, length);
}
