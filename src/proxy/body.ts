// Where the body that comes from a slot ends: how much of what was read is to be sent on, what stays
// unread behind its end. Framing is proto's; the columns that carry it between two reads are here.
import { assert } from "../base/assert.ts";
import { slotBody, slotBodyLeft, slotBodyMost, slotFlags, slotPhase, slotScanned } from "../net/slots.ts";
import { unreadKeep } from "../net/unread.ts";
import { feedChunks, makeChunks } from "../proto/http1_body.ts";
import { Framing, type Head } from "../proto/head.ts";
import { Refusal } from "../proto/refusal.ts";
import { Body, SlotFlag } from "../shared/tables.ts";
import { arenaBytes } from "../sys/sys.ts";

/** Why the last `bodyTake` failed: a Refusal, or 0: there was no block for what is unread. */
export let bodyRefusal = 0;

const chunks = makeChunks();

/** A head has told how its body ends. `unchunk`: its sink does not know chunked framing. */
export function bodyBegin(slot: number, head: Head, unchunk: boolean): void {
  slotBodyLeft[slot] = 0;
  slotBodyMost[slot] = Infinity;
  slotPhase[slot] = 0;
  slotScanned[slot] = 0;
  slotFlags[slot] &= ~SlotFlag.Bulk; // what was known of the last message
  switch (head.framing) {
    case Framing.None:
      slotBody[slot] = Body.Ended;
      return;
    case Framing.Length:
      slotBodyLeft[slot] = head.length;
      slotBody[slot] = head.length === 0 ? Body.Ended : Body.Length;
      return;
    case Framing.Chunked:
      slotBody[slot] = unchunk ? Body.Unchunked : Body.Chunked;
      return;
    default:
      slotBody[slot] = Body.UntilClose;
  }
}

/**
 * Takes what belongs to the slot's body of `bytes` read at `at`: it is put in order there (chunk
 * extensions, or the whole framing, are taken out), what lies behind is kept as unread.
 *
 * @returns how many bytes at `at` are to be sent on; -1: see `bodyRefusal`.
 */
export function bodyTake(slot: number, at: number, bytes: number): number {
  switch (slotBody[slot]) {
    case Body.Length: {
      const taken = Math.min(bytes, slotBodyLeft[slot]) | 0; // an integer to the compiler, too
      bodySpliced(slot, taken);
      return keepRest(slot, at + taken, bytes - taken, false) ? taken : -1;
    }
    case Body.Chunked:
    case Body.Unchunked:
      return takeChunks(slot, at, bytes);
    case Body.UntilClose:
      return bytes;
    case Body.Ended:
      return keepRest(slot, at, bytes, false) ? 0 : -1;
    default:
      assert(false, "body: took bytes of no body");
      return -1;
  }
}

/** So many bytes of a body of known length went by. */
export function bodySpliced(slot: number, bytes: number): void {
  slotBodyLeft[slot] -= bytes;
  assert(slotBodyLeft[slot] >= 0, "body: more than its length");
  if (slotBodyLeft[slot] === 0) slotBody[slot] = Body.Ended;
}

function takeChunks(slot: number, at: number, bytes: number): number {
  chunks.phase = slotPhase[slot];
  chunks.left = slotBodyLeft[slot];
  chunks.scanned = slotScanned[slot];
  const refused = feedChunks(arenaBytes, at, at + bytes, chunks, slotBody[slot] === Body.Chunked);
  if (refused < 0) {
    bodyRefusal = -refused;
    return -1;
  }
  slotBodyMost[slot] -= chunks.data;
  if (slotBodyMost[slot] < 0) {
    bodyRefusal = Refusal.BodyTooLong;
    return -1;
  }
  slotPhase[slot] = chunks.phase;
  slotBodyLeft[slot] = chunks.left;
  slotScanned[slot] = chunks.scanned;
  if (chunks.done) slotBody[slot] = Body.Ended;
  return keepRest(slot, chunks.read, at + bytes - chunks.read, !chunks.done) ? chunks.wrote - at : -1;
}

function keepRest(slot: number, from: number, bytes: number, seen: boolean): boolean {
  if (bytes === 0 || unreadKeep(slot, from, bytes, seen)) return true;
  bodyRefusal = 0;
  return false;
}
