// Connections to servers that are kept for the next exchange: per reactor and server a stack, the newest
// first, since it is the least likely to be closed by the server. A kept connection has no exchange: any
// event ends it, for its server closed it or said something nobody asked for.
// Invariant: idle slots of a server are linked through slotPeer, and idleCount[server] of them.
import { assertTable } from "../base/assert.ts";
import { ARENA_SCRATCH, NONE, SERVERS_MAX } from "../base/limits.ts";
import { Ready, readyDry } from "../net/ready.ts";
import { slotEx, slotPeer, slotReady, slotServer, slotSetState, slotUnreadBytes } from "../net/slots.ts";
import { timerClear, timerSet } from "../net/timers.ts";
import { SlotState } from "../shared/tables.ts";
import { EAGAIN } from "../sys/errno.ts";
import { clockMs, sys } from "../sys/sys.ts";
import { closeSlot } from "./close.ts";

/** The newest idle connection of each server, or NONE, and how many there are. */
let idleFirst: Uint32Array;
let idleCount: Uint32Array;
let idleAll: number;

export function poolOpen(): void {
  idleFirst = new Uint32Array(SERVERS_MAX);
  idleCount = new Uint32Array(SERVERS_MAX);
  idleAll = 0;
}

/** Takes a kept connection to a server, its slot open and without exchange; NONE when there is none. */
export function poolTake(server: number): number {
  const slot = idleFirst[server];
  if (slot === NONE) return NONE;
  unlink(server, NONE, slot);
  slotSetState(slot, SlotState.Open);
  return slot;
}

/** Whether a connection says nothing: what its last read left open, a look decides. */
function isQuiet(slot: number): boolean {
  if (slotUnreadBytes[slot] > 0 || slotReady[slot] & (Ready.Fin | Ready.Err)) return false;
  if (!(slotReady[slot] & Ready.In)) return true;
  if (sys.peek(slot, ARENA_SCRATCH, 1) !== -EAGAIN) return false;
  readyDry(slot);
  return true;
}

/** Keeps a server's connection for at most `keepMs`, unless there are `most` already or it is not quiet:
 * then it is closed. */
export function poolGive(slot: number, server: number, most: number, keepMs: number): void {
  const quiet = isQuiet(slot);
  slotEx[slot] = NONE;
  slotPeer[slot] = NONE;
  if (!quiet || idleCount[server] >= most || keepMs <= 0) return closeSlot(slot, false);
  slotSetState(slot, SlotState.Idle);
  slotServer[slot] = server;
  slotPeer[slot] = idleFirst[server];
  idleFirst[server] = slot;
  idleCount[server]++;
  idleAll++;
  timerSet(slot, clockMs() + keepMs);
}

/** An event of a kept connection: that it may be written to says nothing. */
export function poolEvent(slot: number, bits: number): void {
  if (bits & ~Ready.Out) poolDrop(slot);
}

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
