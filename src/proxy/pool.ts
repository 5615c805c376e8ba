// Connections to servers that are kept for the next exchange: per reactor and server a stack, the newest
// first, since it is the least likely to be closed by the server. A kept connection has no exchange: any
// event ends it, for its server closed it or said something nobody asked for.
// How long a server keeps a connection is learned: from its Keep-Alive field, and from when it closes one
// that is idle; what is never closed on us is kept a little longer each time.
// Invariant: idle slots of a server are linked through slotPeer, and idleCount[server] of them.
import { assertTable } from "../base/assert.ts";
import { ARENA_SCRATCH, NONE, SERVERS_MAX, SLOTS_SPARE } from "../base/limits.ts";
import { type Plan, serverIsThere, serverStays } from "../plan/plan.ts";
import { Ready, readyAdd, readyDry } from "../net/ready.ts";
import {
  slotEx,
  slotFlags,
  slotPeer,
  slotReady,
  slotServer,
  slotSetState,
  slotSinceMs,
  slotsLeft,
  slotUnreadBytes,
} from "../net/slots.ts";
import { timerClear, timerSet } from "../net/timers.ts";
import { SlotFlag, SlotState } from "../shared/tables.ts";
import { EAGAIN } from "../sys/errno.ts";
import { clockMs, sys } from "../sys/sys.ts";
import { type Layout, makeTable, openTable } from "../shared/columns.ts";
import { closeSlot } from "./close.ts";

/** By server; committed by touch, as all tables are. */
const SERVERS = {
  idleFirst: [Uint32Array, 1], // its newest idle connection, or NONE
  idleCount: [Uint32Array, 1], // how many there are
  learnedMs: [Uint32Array, 1], // how long one is kept when the server decides; 0: nothing is known
} as const satisfies Layout;

let idleFirst: Uint32Array;
let idleCount: Uint32Array;
let learnedMs: Uint32Array;
let idleAll: number;
/** Behind the highest server that anything was kept or learned of. */
let usedEnd: number;
/** The server that was asked last to give up connections. */
let shrinkNext: number;

export function poolOpen(): void {
  const table = makeTable(SERVERS, SERVERS_MAX);
  ({ idleFirst, idleCount, learnedMs } = openTable(SERVERS, table, SERVERS_MAX));
  idleAll = 0;
  usedEnd = 0;
  shrinkNext = NONE;
}

/** Takes a kept connection to a server, its slot open and without exchange; NONE when there is none. `sure`:
 * what is sent could not be sent again, so each is asked first whether it is still there. */
export function poolTake(server: number, sure: boolean): number {
  for (let slot = idleFirst[server]; slot !== NONE; slot = idleFirst[server]) {
    if (sure && sys.peek(slot, ARENA_SCRATCH, 1) !== -EAGAIN) {
      poolDrop(slot);
      continue;
    }
    unlink(server, NONE, slot);
    slotSetState(slot, SlotState.Open);
    return slot;
  }
  return NONE;
}

/** A new Plan: connections that it would make otherwise, or to nobody, are closed; what was learned of servers that it
 * does not have is forgotten. Their numbers may be given to others. */
export function poolKeepOnly(before: Plan, plan: Plan): void {
  for (let server = 1; server < usedEnd; server++) {
    if (idleFirst[server] !== NONE && !serverStays(before, plan, server)) {
      while (idleFirst[server] !== NONE) poolDrop(idleFirst[server]);
    }
    if (!serverIsThere(plan, server)) learnedMs[server] = 0;
  }
}

/** Whether a connection says nothing: what its last read left open, a look decides. */
function isQuiet(slot: number): boolean {
  if (slotUnreadBytes[slot] > 0 || slotReady[slot] & (Ready.Fin | Ready.Err)) return false;
  if (!(slotReady[slot] & Ready.In)) return true;
  if (sys.peek(slot, ARENA_SCRATCH, 1) !== -EAGAIN) return false;
  readyDry(slot);
  return true;
}

/** Kept so long while nothing is known, and at most. */
const KEEP_MS_MAX = 60_000;
/** Kept at least so long, whatever was seen: a server that closes at once may have been restarted. */
const KEEP_MS_MIN = 1_000;

/** A server has said for how many seconds it keeps an idle connection. */
export function poolLearn(server: number, seconds: number): void {
  usedEnd = Math.max(usedEnd, server + 1);
  // A second less: the request must be there before the server gives up.
  learnedMs[server] = Math.min(KEEP_MS_MAX, Math.max(KEEP_MS_MIN, (seconds - 1) * 1_000));
}

/** Keeps a server's connection for at most `keepMs` (below 0: as long as was learned), unless there are `most`
 * already or it is not quiet: then it is closed. */
export function poolGive(slot: number, server: number, most: number, keepMs: number): void {
  const quiet = isQuiet(slot);
  slotEx[slot] = NONE;
  slotPeer[slot] = NONE;
  const forMs = keepMs >= 0 ? keepMs : learnedMs[server] === 0 ? KEEP_MS_MAX : learnedMs[server];
  if (!quiet || idleCount[server] >= most || forMs === 0) return closeSlot(slot, false);
  usedEnd = Math.max(usedEnd, server + 1);
  slotSetState(slot, SlotState.Idle);
  slotServer[slot] = server;
  slotPeer[slot] = idleFirst[server];
  idleFirst[server] = slot;
  idleCount[server]++;
  idleAll++;
  slotSinceMs[slot] = clockMs();
  timerSet(slot, clockMs() + forMs);
}

/** An event of a kept connection: that it may be written to says nothing. */
export function poolEvent(slot: number, bits: number): void {
  if (!(bits & ~(Ready.Out | Ready.Pieces))) return;
  // Of a session it may be what concerns TLS alone: tickets come when they like.
  if (slotFlags[slot] & SlotFlag.Sealed && !(bits & (Ready.Fin | Ready.Err))) {
    readyAdd(slot, bits);
    if (isQuiet(slot)) return;
  }
  const server = slotServer[slot], idleMs = clockMs() - slotSinceMs[slot];
  const known = learnedMs[server] === 0 ? KEEP_MS_MAX : learnedMs[server];
  if (idleMs > KEEP_MS_MIN && idleMs < known) learnedMs[server] = Math.max(KEEP_MS_MIN, idleMs * SHORTER);
  poolDrop(slot);
}

/** A connection was kept as long as it may be, and its server has not closed it: the next ones may be kept
 * longer. Of those that were kept at the same time, the first one has said it. */
export function poolTimeout(slot: number): void {
  const server = slotServer[slot], known = learnedMs[server];
  const asLong = clockMs() - slotSinceMs[slot] >= known;
  if (known !== 0 && asLong) learnedMs[server] = Math.min(KEEP_MS_MAX, known * LONGER);
  poolDrop(slot);
}

/** What is learned from a close, and from none. */
const SHORTER = 0.9;
const LONGER = 1.05;

/** Ends a kept connection. */
export function poolDrop(slot: number): void {
  const server = slotServer[slot];
  let before = NONE;
  for (let other = idleFirst[server]; other !== slot; other = slotPeer[other]) {
    assertTable(other !== NONE, "pool: an idle slot is not on its server's list");
    before = other;
  }
  unlink(server, before, slot);
  closeSlot(slot, false);
}

/** When slots run short, gives up at most `most` kept connections, of one server after the other. They are
 * free after the sweep. */
export function poolShrink(most: number): void {
  if (slotsLeft() >= SLOTS_SPARE) return;
  for (let left = Math.min(most, idleAll); left > 0;) {
    shrinkNext = (shrinkNext + 1) % usedEnd;
    for (; left > 0 && idleFirst[shrinkNext] !== NONE; left--) poolDrop(idleFirst[shrinkNext]);
  }
}

/** Closes whatever is kept. */
export function poolDropAll(): void {
  for (let server = 0; idleAll > 0 && server < SERVERS_MAX; server++) {
    while (idleFirst[server] !== NONE) poolDrop(idleFirst[server]);
  }
}

function unlink(server: number, before: number, slot: number): void {
  if (before === NONE) idleFirst[server] = slotPeer[slot];
  else slotPeer[before] = slotPeer[slot];
  slotPeer[slot] = NONE;
  idleCount[server]--;
  idleAll--;
  timerClear(slot);
}

/** Kept connections of this reactor. */
export function poolIdle(): number {
  return idleAll;
}
