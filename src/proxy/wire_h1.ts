// HTTP/1 on a slot, either side: the next head off it, a head on to it. Bodies are body.ts's and the
// pump's. Knows the codec and the slot's unread bytes; knows nothing of what a head leads to.
import { assert } from "../base/assert.ts";
import { ARENA_RECEIVE, HEAD_BYTES_MAX, RECEIVE_BYTES } from "../base/limits.ts";
import { Ready } from "../net/ready.ts";
import { slotFlags, slotReady, slotScanned } from "../net/slots.ts";
import { readable, readUnread, unreadKeep } from "../net/unread.ts";
import { type Head, makeHead, type Method } from "../proto/head.ts";
import { findHeadEnd, parseAnswer, parseRequest } from "../proto/http1_head.ts";
import { Refusal } from "../proto/refusal.ts";
import { SlotFlag } from "../shared/tables.ts";
import { EAGAIN, EBUG, ECONNRESET } from "../sys/errno.ts";
import { arenaBytes } from "../sys/sys.ts";
import { paceHead, pacePay } from "./pace.ts";

/** What became of asking for a head. */
export const enum Next {
  /** It is there: `request` or `answer`, with `restBytes` bytes behind it at `restAt`. */
  Head,
  /** More bytes are needed. */
  Waiting,
  /** The stream ended, with nothing begun. */
  Gone,
  /** The stream ended within a head. */
  Cut,
  /** The connection is broken: `nextErrno`. */
  Broken,
  /** It is no head that we understand: `nextRefusal`. */
  Refused,
  /** There is no block for what came of it. */
  NoRoom,
}

/** The head that was parsed last, of each side. Valid until the next one is, while its bytes lie where
 * they are. */
export const request: Head = makeHead();
export const answer: Head = makeHead();

/** The exchange whose request is still where it was read, or NONE: others have theirs in a block. */
export let freshEx = 0;

export function setFresh(ex: number): void {
  freshEx = ex;
}

/** Bytes behind the last head, in the receive block. */
export let restAt = 0;
export let restBytes = 0;
export let nextRefusal = 0;
export let nextErrno = 0;

/** The next request of a client. */
export function nextRequest(slot: number): Next {
  return next(slot, request, -1);
}

/** The next answer of a server, to a request of that method. */
export function nextAnswer(slot: number, method: Method): Next {
  return next(slot, answer, method);
}

function next(slot: number, head: Head, method: Method | -1): Next {
  for (;;) {
    if (!readable(slot)) return Next.Waiting;
    const shaped = slotFlags[slot] & SlotFlag.Shaped;
    if (shaped && !paceHead(slot)) return Next.Waiting;
    const read = readUnread(slot, RECEIVE_BYTES);
    if (shaped) pacePay(slot);
    if (read <= 0) return silence(slot, read);
    const end = ARENA_RECEIVE + read;
    const scanned = slotScanned[slot];
    // Who drips is parsed once, when the end is there: what was looked at is not looked at again.
    const found = scanned === 0 ? 1 : findHeadEnd(arenaBytes, ARENA_RECEIVE, end, ARENA_RECEIVE + scanned);
    const used = found <= 0
      ? found
      : method === -1
      ? parseRequest(arenaBytes, ARENA_RECEIVE, end, head)
      : parseAnswer(arenaBytes, ARENA_RECEIVE, end, head, method);
    if (used > 0) {
      slotScanned[slot] = 0;
      restAt = ARENA_RECEIVE + used;
      restBytes = read - used;
      return Next.Head;
    }
    nextRefusal = used < 0 ? -used : read >= HEAD_BYTES_MAX ? Refusal.HeadTooLong : 0;
    if (nextRefusal !== 0) {
      if (found <= 0 && method === -1) parseRequest(arenaBytes, ARENA_RECEIVE, end, head); // its first line
      return Next.Refused;
    }
    if (!unreadKeep(slot, ARENA_RECEIVE, read, true)) return Next.NoRoom;
    slotScanned[slot] = read;
    if (slotFlags[slot] & SlotFlag.Finished) return Next.Cut;
  }
}

/** What a read of nothing means to a head. */
function silence(slot: number, read: number): Next {
  assert(read !== -EBUG, "wire: a read broke its contract");
  if (read === -EAGAIN) return Next.Waiting;
  if (read === 0) {
    slotFlags[slot] |= SlotFlag.Finished;
    nextErrno = ECONNRESET;
    if (slotReady[slot] & Ready.Err) return Next.Broken;
    return slotScanned[slot] === 0 ? Next.Gone : Next.Cut;
  }
  nextErrno = -read;
  return Next.Broken;
}
