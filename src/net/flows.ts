// Flows of datagrams: a row per flow, found by its client's address, ours that it asked, and the listening socket; and
// by whom a proxy introduced, if one did: many clients may come from one address of it.
// A row has the number of its slot. Knows no server and sends nothing (proxy/datagram.ts does).
// Invariant: a flow is found by probing from its home bucket on, without a gap; there are at least twice as many
// buckets as flows may be.
import { assertTable } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import { randomBits } from "../base/random.ts";
import { FlowFlag, openFlows } from "../shared/tables.ts";
import { DatagramAt } from "../sys/symbols.ts";

export let flowAddress: Int32Array;
export let flowTold: Int32Array;
export let flowSource: Uint32Array;
export let flowHash: Uint32Array;
export let flowSocket: Uint16Array;
export let flowListener: Uint16Array;
export let flowUpstream: Uint16Array;
export let flowServer: Uint32Array;
export let flowTried: Uint16Array;
export let flowFlags: Uint8Array;
export let flowIdleTicks: Uint32Array;
export let flowHeardTick: Uint32Array;
export let flowResponses: Int32Array;
export let flowUpDatagrams: Float64Array;
export let flowDownDatagrams: Float64Array;
export let flowUpBytes: Float64Array;
export let flowDownBytes: Float64Array;
export let flowStartMs: Float64Array;
export let flowNext: Uint32Array;
export let flowBefore: Uint32Array;

/** Integers of flowAddress in a row; those of them that tell flows apart: not the interface that our own address is
 * on, which is its last. */
const ADDRESS_INTS = 12;
const KEY_INTS = ADDRESS_INTS - 1;
/** Integers of flowTold in a row. */
const TOLD_INTS = 6;
/** Two keys of the hash for each half of a word: of the addresses, of the socket, and of whom a proxy introduced. */
const HASH_KEYS = 4 * (KEY_INTS + 1 + TOLD_INTS);

/** They are being handed to another process: none is read, made or ended. */
export let flowsFrozen = false;

let buckets: Uint32Array;
let mask: number;
const keys = new Uint32Array(HASH_KEYS);
/** Ends of the list of flows that their server has not answered, in the order in which they began. */
let oldest: number;
let newest: number;
let taken: number;

/** @param rows as many as there are slots; flows take at most half of them */
export function flowsOpen(memory: SharedArrayBuffer, rows: number): void {
  ({
    flowAddress,
    flowTold,
    flowSource,
    flowHash,
    flowSocket,
    flowListener,
    flowUpstream,
    flowServer,
    flowTried,
    flowFlags,
    flowIdleTicks,
    flowHeardTick,
    flowResponses,
    flowUpDatagrams,
    flowDownDatagrams,
    flowUpBytes,
    flowDownBytes,
    flowStartMs,
    flowNext,
    flowBefore,
  } = openFlows(memory, rows));
  let size = 2;
  while (size < rows) size *= 2;
  buckets = new Uint32Array(size);
  mask = size - 1;
  for (let key = 0; key < HASH_KEYS; key++) keys[key] = randomBits();
  oldest = newest = NONE;
  taken = 0;
  flowsFrozen = false;
}

export function flowsFreeze(frozen: boolean): void {
  flowsFrozen = frozen;
}

/** Multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast", 2014), on halves of words: who
 * does not know the keys cannot choose addresses that meet in one bucket. Words of 0 add nothing. */
function hashOf(ints: Int32Array, at: number, socket: number, told: number): number {
  const words = KEY_INTS + 1 + (told === NONE ? 0 : TOLD_INTS);
  let high = 0, low = 0;
  for (let word = 0; word < words; word++) {
    const value = word < KEY_INTS
      ? ints[at + word]
      : word === KEY_INTS
      ? socket + 1
      : ints[told + word - KEY_INTS - 1];
    if (value === 0) continue;
    const key = 4 * word, first = value & 0xffff, second = value >>> 16;
    high = (high + Math.imul(keys[key], first) + Math.imul(keys[key + 1], second)) | 0;
    low = (low + Math.imul(keys[key + 2], first) + Math.imul(keys[key + 3], second)) | 0;
  }
  return ((high & 0xffff0000) | (low >>> 16)) >>> 0;
}

/** The hash of the last `flowFind`: a flow that it did not find is put there. */
let hashed = 0;

/** The flow that the datagram whose record begins at `ints[at]` belongs to, or NONE. `told`: where the peer record of
 * the client is that a proxy introduced, or NONE. */
export function flowFind(ints: Int32Array, at: number, socket: number, told: number = NONE): number {
  const key = at + DatagramAt.Client;
  hashed = hashOf(ints, key, socket, told);
  for (let bucket = hashed & mask;; bucket = (bucket + 1) & mask) {
    const slot = buckets[bucket];
    if (slot === NONE) return NONE;
    if (flowHash[slot] === hashed && flowSocket[slot] === socket && isOf(slot, ints, key, told)) return slot;
  }
}

function isOf(slot: number, ints: Int32Array, key: number, told: number): boolean {
  if (((flowFlags[slot] & FlowFlag.Introduced) !== 0) !== (told !== NONE)) return false;
  const row = slot * ADDRESS_INTS;
  for (let word = 0; word < KEY_INTS; word++) {
    if (flowAddress[row + word] !== ints[key + word]) return false;
  }
  if (told === NONE) return true;
  for (let word = 0; word < TOLD_INTS; word++) {
    if (flowTold[slot * TOLD_INTS + word] !== ints[told + word]) return false;
  }
  return true;
}

/** Whether the datagrams of two records belong to the same flow. */
export function isSameFlow(ints: Int32Array, at: number, other: number): boolean {
  for (let word = DatagramAt.Client; word < DatagramAt.Client + KEY_INTS; word++) {
    if (ints[at + word] !== ints[other + word]) return false;
  }
  return true;
}

/** Puts a flow at `slot` for the datagram that the last `flowFind` found none for. It has not been answered, and keeps
 * the place that it has at a server. */
export function flowPut(
  slot: number,
  ints: Int32Array,
  at: number,
  socket: number,
  told: number = NONE,
): void {
  assertTable(taken < mask, "flows: more than there are buckets for");
  const row = slot * ADDRESS_INTS, key = at + DatagramAt.Client;
  for (let word = 0; word < ADDRESS_INTS; word++) flowAddress[row + word] = ints[key + word];
  flowHash[slot] = hashed;
  flowSocket[slot] = socket;
  flowFlags[slot] = (flowFlags[slot] & FlowFlag.Placed) | (told === NONE ? 0 : FlowFlag.Introduced);
  if (told !== NONE) {
    for (let word = 0; word < TOLD_INTS; word++) flowTold[slot * TOLD_INTS + word] = ints[told + word];
  }
  flowTried[slot] = 0;
  flowUpDatagrams[slot] =
    flowDownDatagrams[slot] =
    flowUpBytes[slot] =
    flowDownBytes[slot] =
      0;
  let bucket = hashed & mask;
  while (buckets[bucket] !== NONE) bucket = (bucket + 1) & mask;
  buckets[bucket] = slot;
  flowBefore[slot] = newest;
  flowNext[slot] = NONE;
  if (newest === NONE) oldest = slot;
  else flowNext[newest] = slot;
  newest = slot;
  taken++;
}

/** Lays down the peer record of who sends a flow's datagrams, its client or a proxy. */
export function flowSender(slot: number, into: Int32Array, at: number): void {
  for (let word = 0; word < TOLD_INTS; word++) into[at + word] = flowAddress[slot * ADDRESS_INTS + word];
}

/** Takes a flow out of the table. Its columns stay, for its record. */
export function flowRemove(slot: number): void {
  let hole = flowHash[slot] & mask;
  while (buckets[hole] !== slot) {
    assertTable(buckets[hole] !== NONE, "flows: one that is not in the table was removed");
    hole = (hole + 1) & mask;
  }
  // Whoever stands behind moves up, unless it would come before its home (Knuth, TAOCP 3, algorithm 6.4 R).
  for (let next = (hole + 1) & mask; buckets[next] !== NONE; next = (next + 1) & mask) {
    const home = flowHash[buckets[next]] & mask;
    if (((next - home) & mask) < ((next - hole) & mask)) continue;
    buckets[hole] = buckets[next];
    hole = next;
  }
  buckets[hole] = NONE;
  if (!(flowFlags[slot] & FlowFlag.Answered)) unlink(slot);
  taken--;
}

/** Its server has answered: it gives way to nobody from here on. */
export function flowAnswered(slot: number): void {
  if (flowFlags[slot] & FlowFlag.Answered) return;
  flowFlags[slot] |= FlowFlag.Answered;
  unlink(slot);
}

function unlink(slot: number): void {
  const next = flowNext[slot], before = flowBefore[slot];
  if (before === NONE) oldest = next;
  else flowNext[before] = next;
  if (next === NONE) newest = before;
  else flowBefore[next] = before;
}

/** The oldest flow that its server has not answered and that may give way, or NONE. */
export function flowOldest(): number {
  return flowsFrozen ? NONE : oldest;
}

export function flowsTaken(): number {
  return taken;
}

/** The table is whole. For tests. */
export function flowsCheck(): void {
  let found = 0, unanswered = 0;
  for (let bucket = 0; bucket <= mask; bucket++) {
    const slot = buckets[bucket];
    if (slot === NONE) continue;
    found++;
    if (!(flowFlags[slot] & FlowFlag.Answered)) unanswered++;
    for (let at = flowHash[slot] & mask; at !== bucket; at = (at + 1) & mask) {
      assertTable(buckets[at] !== NONE, "flows: a gap before a flow's bucket");
    }
  }
  assertTable(found === taken, "flows: those in buckets are not those that were put");
  let before = NONE;
  for (let slot = oldest; slot !== NONE; slot = flowNext[slot]) {
    assertTable(flowBefore[slot] === before, "flows: the list is broken");
    before = slot;
    unanswered--;
  }
  assertTable(before === newest && unanswered === 0, "flows: the list is not of those without an answer");
}
