// Moves bytes one way: from a slot to its peer. Small messages are copied through the reactor's one
// receive block; when a read fills it, or the sink does not take all, the direction goes on by splice
// through a borrowed pipe. To a sink with TLS it goes on by wide copies: a quarter of a megabyte is peeked
// at, and what the sink took of it is skipped; from a source with TLS by reads of two records.
// Back-pressure is one rule: a source is not read while its sink is full, except to top up the pipe that
// is held for it by as much as the sink last took.
// A source that is shaped is read as far as pace.ts lends it bytes, and parked when nothing is left to lend.
// Knows nothing of what the bytes mean but where their message ends (body.ts tells), nor of what happens
// then.
import { assert } from "../base/assert.ts";
import {
  ARENA_RECEIVE,
  ARENA_WIDE,
  BLOCK_BYTES,
  NONE,
  RECEIVE_BYTES,
  SPLICE_FIRST_BYTES,
  SPLICE_LEAST_BYTES,
  TURN_BYTES,
  WIDE_BYTES,
} from "../base/limits.ts";
import { holdGive, holdLeftover, holdPipe, holdsLeft, holdUnread } from "../net/holds.ts";
import { pipeCapacity } from "../net/pipes.ts";
import { Ready, readyAdd, readyClear, readyDry, readyMute, runAgain } from "../net/ready.ts";
import {
  slotBody,
  slotBodyLeft,
  slotFlags,
  slotFullMs,
  slotHold,
  slotHoldBytes,
  slotHoldFrom,
  slotMovedBytes,
  slotPeer,
  slotReady,
  slotTookKiB,
  slotUnread,
  slotUnreadBytes,
} from "../net/slots.ts";
import { readable, readUnread, unreadGive } from "../net/unread.ts";
import { Count } from "../shared/stats.ts";
import { Body, SlotFlag } from "../shared/tables.ts";
import { EAGAIN, EBUG, ECONNRESET } from "../sys/errno.ts";
import { clockMs, sys } from "../sys/sys.ts";
import { bodyRefusal, bodySpliced, bodyTake } from "./body.ts";
import { count } from "./context.ts";
import { paceLend, pacePay } from "./pace.ts";

const KIB = 1_024;
const KIB_MAX = 65_535;

/** What became of a direction. */
export const enum Pumped {
  /** Nothing more to do until the kernel or the again-list says so. */
  Waiting,
  /** The same, and it is the sink that is waited for: it is full. */
  Full,
  /** The source has ended its stream, and its sink was told just now: the other direction goes on. */
  Half,
  /** Both directions have ended and everything is delivered. */
  Done,
  SourceBroken,
  SinkBroken,
  /** The message is complete, and all of it is delivered. */
  Ended,
  /** The source ended before its message did. */
  Truncated,
  /** What the source sent is no body: pumpErrno is the Refusal. */
  Malformed,
  /** There is no block for bytes that were read too early. */
  NoRoom,
  /** Internal to a step: go on. */
  Moved,
}

/** The errno behind the last SourceBroken or SinkBroken, or the Refusal of Malformed. */
export let pumpErrno = 0;

/** Whether the last `pump` or `flush` moved anything, be it only what was held. */
export let pumpProgress = false;

/** Bytes of a body that the last `pump` took from its source to send them on: what lies behind the body's end,
 * and framing that is taken out, is read, and is none of it. */
export let pumpBody = 0;

/** The value of slotMovedBytes at which the source that is served has had its turn, or what it was lent. */
let stop = 0;

/** Serves the direction from `from` to its peer, within a turn's budget. */
export function pump(from: number): Pumped {
  pumpProgress = false;
  pumpBody = 0;
  if (!(slotFlags[from] & SlotFlag.Shaped)) {
    stop = slotMovedBytes[from] + TURN_BYTES;
    return move(from, slotPeer[from]);
  }
  const asks = slotBody[from] !== Body.Ended && readable(from) && slotReady[slotPeer[from]] & Ready.Out;
  stop = slotMovedBytes[from] + (asks ? paceLend(from) : 0);
  const pumped = move(from, slotPeer[from]);
  pacePay(from);
  return pumped;
}

function move(from: number, to: number): Pumped {
  const movedBefore = slotMovedBytes[from];
  for (;;) {
    if (slotHold[from] !== NONE) {
      const drained = drain(from, to);
      if (drained !== Pumped.Moved) return drained;
      // A tunnel's first bytes: to who counts what it moves they come now.
      if (slotUnread[from] !== NONE && slotBody[from] === Body.Raw) slotMovedBytes[from] += pumpUnread(from);
    }
    if (slotBody[from] !== Body.Raw) {
      if (slotBody[from] === Body.Ended) return Pumped.Ended;
      if (slotFlags[from] & SlotFlag.Finished) return endOfBody(from);
      if (!readable(from) || !(slotReady[to] & Ready.Out)) return Pumped.Waiting;
    } else {
      if (slotFlags[from] & SlotFlag.Finished) return passFin(from, to);
      if (!(slotReady[from] & Ready.In) || !(slotReady[to] & Ready.Out)) return Pumped.Waiting;
    }
    if (slotMovedBytes[from] >= stop) return turnOver(from);
    const bulk = slotFlags[from] & SlotFlag.Bulk && !(slotFlags[from] & SlotFlag.Sealed) && splices(from);
    const filled = bulk && slotFlags[to] & SlotFlag.Sealed
      ? copyWide(from, to)
      : bulk && holdPipe(from)
      ? fillPipe(from, movedBefore)
      : slotBody[from] !== Body.Raw
      ? copyBody(from, to)
      : holdsLeft()
      ? copy(from, to)
      : copyPeeked(from, to);
    if (filled !== Pumped.Moved) return filled;
  }
}

/** A source has had its turn, or what it was lent. It is served again in the next round, behind others; a shaped one
 * that would be lent nothing is parked until then. */
function turnOver(from: number): Pumped {
  const shaped = slotFlags[from] & SlotFlag.Shaped;
  if (!shaped || (!(slotFlags[from] & SlotFlag.Parked) && paceLend(from) > 0)) runAgain(from);
  return Pumped.Waiting;
}

/** Of `most` bytes as many as may be read now. */
function within(from: number, most: number): number {
  return slotFlags[from] & SlotFlag.Shaped ? Math.min(most, stop - slotMovedBytes[from]) | 0 : most;
}

/** What an end of stream means to a body. After a reset it is none. */
function endOfBody(from: number): Pumped {
  if (slotReady[from] & Ready.Err) {
    pumpErrno = ECONNRESET;
    return Pumped.SourceBroken;
  }
  if (slotBody[from] !== Body.UntilClose) return Pumped.Truncated;
  return sys.truncated(from) === 1 ? Pumped.Truncated : Pumped.Ended;
}

/** Whether what comes from a slot may go by unseen: nobody has to look where it ends, and nothing that was
 * read before is to go first. */
function splices(from: number): boolean {
  const body = slotBody[from];
  return body === Body.Raw ||
    ((body === Body.Length || body === Body.UntilClose) && slotUnread[from] === NONE);
}

/** One read into the receive block, one send from it. */
function copy(from: number, to: number): Pumped {
  const most = readBytes(from), read = sys.recv(from, ARENA_RECEIVE, most);
  if (read <= 0) return sourceSays(from, read);
  slotMovedBytes[from] += read;
  let next = Pumped.Moved;
  if (read === most) becomeBulk(from);
  else next = shortRead(from);
  const sent = sys.send(to, ARENA_RECEIVE, read, 0);
  if (sent === read) return next;
  if (sent < 0 && sent !== -EAGAIN) return sinkBroken(to, sent);
  becomeBulk(from);
  const taken = sent < 0 ? 0 : sent;
  slotFullMs[from] = 0;
  holdLeftover(from, ARENA_RECEIVE + taken, read - taken);
  return Pumped.Moved;
}

/** The same for a body: what lies behind its end stays unread. */
function copyBody(from: number, to: number): Pumped {
  if (!holdsLeft()) return Pumped.NoRoom;
  const most = readBytes(from), read = readUnread(from, most);
  if (read <= 0) return sourceSays(from, read);
  pumpProgress = true;
  const bytes = bodyTake(from, ARENA_RECEIVE, read);
  if (bytes < 0) {
    pumpErrno = bodyRefusal;
    return bodyRefusal === 0 ? Pumped.NoRoom : Pumped.Malformed;
  }
  if (read === most && (slotBody[from] === Body.Length || slotBody[from] === Body.UntilClose)) {
    becomeBulk(from);
  }
  if (bytes === 0) return Pumped.Moved;
  pumpBody += bytes;
  const sent = sys.send(to, ARENA_RECEIVE, bytes, 0);
  if (sent === bytes) return Pumped.Moved;
  if (sent < 0 && sent !== -EAGAIN) return sinkBroken(to, sent);
  const taken = sent < 0 ? 0 : sent;
  holdLeftover(from, ARENA_RECEIVE + taken, bytes - taken);
  return Pumped.Moved;
}

/** The same when there is no place for a leftover: bytes stay in the kernel until the sink took them. */
function copyPeeked(from: number, to: number): Pumped {
  count(Count.Peeked);
  const seen = sys.peek(from, ARENA_RECEIVE, within(from, RECEIVE_BYTES));
  if (seen <= 0) return sourceSays(from, seen);
  const sent = sys.send(to, ARENA_RECEIVE, seen, 0);
  if (sent === -EAGAIN) return sinkFull(from, to, 0);
  if (sent < 0) return sinkBroken(to, sent);
  slotFullMs[from] = 0;
  const skipped = skip(from, sent);
  return skipped <= 0 ? sourceSays(from, skipped) : Pumped.Moved;
}

/** Reads what was peeked at and is sent: in more than one piece when urgent data lies between. @returns how much; or, as
 * a read does, why not */
function skip(from: number, sent: number): number {
  for (let left = sent; left > 0;) {
    const skipped = sys.skip(from, ARENA_WIDE, left);
    if (skipped <= 0) return skipped;
    slotMovedBytes[from] += skipped;
    left -= skipped;
  }
  return sent;
}

/** As much as there is, and as a session takes. What it does not take stays in the kernel, and needs no place. */
function copyWide(from: number, to: number): Pumped {
  const wide = within(from, WIDE_BYTES);
  const most = slotBody[from] === Body.Length ? Math.min(wide, slotBodyLeft[from]) : wide;
  const seen = sys.peek(from, ARENA_WIDE, most);
  if (seen <= 0) return sourceSays(from, seen);
  let sent = 0, taken = 0;
  for (; sent < seen; sent += taken) { // fewer than asked is not yet full
    taken = sys.send(to, ARENA_WIDE + sent, seen - sent, 0);
    if (taken <= 0) break;
  }
  if (taken < 0 && taken !== -EAGAIN) return sinkBroken(to, taken);
  if (sent > 0) {
    const skipped = skip(from, sent);
    if (skipped <= 0) return sourceSays(from, skipped);
    pumpProgress = true;
    pumpBody += sent;
    if (slotBody[from] === Body.Length) bodySpliced(from, sent);
  }
  if (sent < seen) return sinkFull(from, to, sent); // what it did not take comes again the same way
  slotFullMs[from] = 0;
  if (seen < RECEIVE_BYTES && seen < most) slotFlags[from] &= ~SlotFlag.Bulk; // small messages have come back
  if (seen === most || slotBody[from] !== Body.Raw) return Pumped.Moved;
  return shortRead(from);
}

/** One splice from the source into the empty pipe it holds. */
function fillPipe(from: number, movedBefore: number): Pumped {
  const pipe = slotHold[from];
  const read = sys.splice_in(from, pipe, within(from, spliceLength(from, pipe)));
  if (read > 0) {
    spliced(from, read);
    return Pumped.Moved;
  }
  // The pipe was empty: EAGAIN is the socket's word. After a burst that a read would have held, small
  // messages have come back.
  holdGive(from, true);
  if (slotMovedBytes[from] - movedBefore < RECEIVE_BYTES) slotFlags[from] &= ~SlotFlag.Bulk;
  return sourceSays(from, read);
}

/** The sink is full and the pipe is not: takes as much more as the sink took since it was last full, so
 * that its next readiness finds a load worth a call. EAGAIN here may mean either; nothing is concluded
 * from it, and the source is read again when the pipe is empty. */
function topUp(from: number): void {
  const pipe = slotHold[from];
  const room = within(from, spliceLength(from, pipe) - slotHoldBytes[from]);
  if (room <= 0 || !(slotReady[from] & Ready.In) || !splices(from)) return;
  const read = sys.splice_in(from, pipe, room);
  if (read > 0) return spliced(from, read);
  assert(read !== -EBUG, "pump: a splice broke its contract");
  // The kernel tells a socket's error once: remembered here, `passFin` knows that its end was no end.
  if (read < 0 && read !== -EAGAIN) readyAdd(from, Ready.Err);
}

function spliced(from: number, bytes: number): void {
  slotMovedBytes[from] += bytes;
  slotHoldBytes[from] += bytes;
  pumpProgress = true;
  pumpBody += bytes;
  if (slotBody[from] === Body.Length) bodySpliced(from, bytes);
  count(Count.SplicedBytes, bytes);
}

/** How much a pipe should hold for this sink: twice what it last took, so that a slow reader pins little
 * of the kernel's memory and a fast one finds its pipe full. */
function spliceLength(from: number, pipe: number): number {
  const took = slotTookKiB[from] * KIB;
  const wanted = took === 0 ? SPLICE_FIRST_BYTES : Math.max(SPLICE_LEAST_BYTES, 2 * took);
  const most = Math.min(wanted, 2 * pipeCapacity(pipe));
  return slotBody[from] === Body.Length ? Math.min(most, slotBodyLeft[from] + slotHoldBytes[from]) | 0 : most;
}

/** Bytes as a column of 16 bits keeps them: rounded up, so that something is never nothing. */
function kibOf(bytes: number): number {
  return Math.min(KIB_MAX, (bytes + KIB - 1) >>> 10);
}

/** Sends what was read too early on its way, before a tunnel begins. What the sink does not take is held;
 * that it is broken, its own next event tells. @returns how many bytes that were: no read counts them again */
export function pumpUnread(from: number): number {
  if (slotUnread[from] === NONE || slotHold[from] !== NONE) return 0;
  const to = slotPeer[from], bytes = slotUnreadBytes[from], at = slotUnread[from];
  const sent = sys.send(to, at, bytes, 0);
  assert(sent !== -EBUG, "pump: a send broke its contract");
  const taken = Math.max(0, sent);
  if (taken < bytes && (sent >= 0 || sent === -EAGAIN)) holdUnread(from, taken);
  else unreadGive(from);
  return bytes;
}

/** Sends what `from` holds to `to`, without reading on. Moved: it is gone. */
export function flush(from: number, to: number): Pumped {
  pumpProgress = false;
  return slotHold[from] === NONE ? Pumped.Moved : drain(from, to);
}

/** Sends what is held, until it is gone or the sink is full. */
function drain(from: number, to: number): Pumped {
  if (!(slotReady[to] & Ready.Out)) return sinkFull(from, to, 0);
  const piped = (slotFlags[from] & SlotFlag.HoldsPipe) !== 0;
  const hold = slotHold[from];
  let took = 0;
  while (slotHoldBytes[from] > 0) {
    const sent = piped
      ? sys.splice_out(hold, to, slotHoldBytes[from], 0)
      : sys.send(to, hold + slotHoldFrom[from], slotHoldBytes[from], 0);
    if (sent === -EAGAIN) {
      sinkFull(from, to, took);
      slotTookKiB[from] = kibOf(took);
      if (piped && from !== to && !(slotFlags[from] & SlotFlag.Finished)) {
        topUp(from);
        readyMute(from);
      }
      return Pumped.Full;
    }
    if (sent <= 0) return sinkBroken(to, sent);
    assert(sent <= slotHoldBytes[from], "pump: the sink took more than was held");
    took += sent;
    pumpProgress = true;
    slotHoldBytes[from] -= sent;
    if (!piped) slotHoldFrom[from] += sent;
    assert(piped || slotHoldFrom[from] <= BLOCK_BYTES, "pump: ran over a block");
  }
  slotTookKiB[from] = Math.max(slotTookKiB[from], kibOf(took));
  slotFullMs[from] = 0;
  holdGive(from, true);
  return Pumped.Moved;
}

/** How much is read at once: a leftover of it fits a block. */
function readBytes(from: number): number {
  const bulk = slotFlags[from] & SlotFlag.Bulk && slotFlags[from] & SlotFlag.Sealed;
  return within(from, bulk ? BLOCK_BYTES : RECEIVE_BYTES);
}

/** From here on by splice, where both sockets can; else by more at once. */
function becomeBulk(from: number): void {
  slotFlags[from] |= SlotFlag.Bulk;
}

/** A read that did not fill its buffer has emptied the socket (epoll(7), question 9): no second call
 * only to hear EAGAIN; and with the end of stream announced before, it was the last. Not so when bytes
 * come in pieces, nor under an error: then only the next read tells, and no edge will. */
function shortRead(from: number): Pumped {
  const ready = slotReady[from];
  if (ready & (Ready.Err | Ready.Pieces)) return Pumped.Moved;
  if (ready & Ready.Fin) {
    slotFlags[from] |= SlotFlag.Finished;
    return Pumped.Moved;
  }
  readyDry(from);
  return Pumped.Waiting;
}

/** What a read of nothing means. */
function sourceSays(from: number, read: number): Pumped {
  assert(read !== -EBUG, "pump: a read broke its contract");
  if (read === 0) {
    slotFlags[from] |= SlotFlag.Finished;
    return Pumped.Moved;
  }
  if (read === -EAGAIN) {
    readyDry(from);
    return Pumped.Waiting;
  }
  pumpErrno = -read;
  return Pumped.SourceBroken;
}

/** The sink takes no more of what is there for it, after it took so many bytes: since when it takes nothing is
 * known from here on. */
function sinkFull(from: number, to: number, took: number): Pumped {
  readyClear(to, Ready.Out);
  if (took > 0 || slotFullMs[from] === 0) slotFullMs[from] = clockMs();
  return Pumped.Full;
}

/** The sink's error is remembered: the kernel has told it, and would call the sink's own stream ended. */
function sinkBroken(to: number, sent: number): Pumped {
  assert(sent !== -EBUG, "pump: a send broke its contract");
  readyAdd(to, Ready.In | Ready.Err);
  pumpErrno = -sent;
  return Pumped.SinkBroken;
}

/** Everything of a finished source is delivered: passes its end of stream on, once. When the other
 * direction had ended before, closing both says it and saves the call. A source that was reset after
 * its end of stream will take no more of the other direction: that is a broken source. */
function passFin(from: number, to: number): Pumped {
  if (slotReady[from] & Ready.Err) {
    pumpErrno = ECONNRESET;
    return Pumped.SourceBroken;
  }
  if (slotFlags[to] & SlotFlag.FinSent) return Pumped.Waiting;
  const last = (slotFlags[from] & SlotFlag.FinSent) !== 0;
  if (last && !(slotFlags[to] & SlotFlag.Sealed)) return Pumped.Done;
  const result = sys.shutdown(to);
  if (result === -EAGAIN) return sinkFull(from, to, 0); // no room for the close_notify of its session
  if (last) return Pumped.Done; // it may have closed already: nothing is lost with that
  if (result < 0) return sinkBroken(to, result);
  slotFlags[to] |= SlotFlag.FinSent;
  return Pumped.Half;
}
