// Moves bytes one way: from a slot to its peer. Small messages are copied through the reactor's one
// receive block; when a read fills it, or the sink does not take all, the direction goes on by splice
// through a borrowed pipe. Back-pressure is one rule: a source is not read while its sink is full or
// something is held for it; the sink's readiness to write takes it up again.
// Knows nothing of what the bytes mean, nor of what happens when a connection ends.
import { assert } from "../base/assert.ts";
import { ARENA_RECEIVE, BLOCK_BYTES, NONE, RECEIVE_BYTES, TURN_BYTES } from "../base/limits.ts";
import { blockAt } from "../net/blocks.ts";
import { holdGive, holdLeftover, holdPipe, holdsLeft, starve, unstarve } from "../net/holds.ts";
import { pipeCapacity } from "../net/pipes.ts";
import { Ready, readyClear, runAgain } from "../net/ready.ts";
import {
  slotFlags,
  slotHold,
  slotHoldBytes,
  slotHoldFrom,
  slotMovedBytes,
  slotPeer,
  slotReady,
} from "../net/slots.ts";
import { Count } from "../shared/stats.ts";
import { SlotFlag } from "../shared/tables.ts";
import { EAGAIN, ECONNRESET } from "../sys/errno.ts";
import { sys } from "../sys/sys.ts";
import { count } from "./context.ts";

/** What became of a direction. */
export const enum Pumped {
  /** Nothing more to do until the kernel, the again-list or a given-back block says so. */
  Waiting,
  /** Both directions have ended and everything is delivered. */
  Done,
  SourceBroken,
  SinkBroken,
  /** Internal to a step: go on. */
  Moved,
}

/** The errno behind the last SourceBroken or SinkBroken. */
export let pumpErrno = 0;

/** Serves the direction from `from` to its peer, within a turn's budget. */
export function pump(from: number): Pumped {
  const to = slotPeer[from];
  const movedBefore = slotMovedBytes[from];
  for (;;) {
    if (slotHold[from] !== NONE) {
      const drained = drain(from, to);
      if (drained !== Pumped.Moved) return drained;
    }
    if (slotFlags[from] & SlotFlag.Finished) return passFin(from, to);
    if (!(slotReady[from] & Ready.In) || !(slotReady[to] & Ready.Out)) return Pumped.Waiting;
    if (slotMovedBytes[from] - movedBefore >= TURN_BYTES) {
      runAgain(from);
      return Pumped.Waiting;
    }
    const filled = slotFlags[from] & SlotFlag.Bulk && holdPipe(from) ? fillPipe(from) : copy(from, to);
    if (filled !== Pumped.Moved) return filled;
  }
}

/** One read into the receive block, one send from it. */
function copy(from: number, to: number): Pumped {
  if (!holdsLeft()) {
    starve(from);
    count(Count.Starved);
    return Pumped.Waiting;
  }
  unstarve(from);
  const read = sys.recv(from, ARENA_RECEIVE, RECEIVE_BYTES);
  if (read <= 0) return sourceSays(from, read);
  slotMovedBytes[from] += read;
  if (read === RECEIVE_BYTES) slotFlags[from] |= SlotFlag.Bulk;
  else shortRead(from);
  const sent = sys.send(to, ARENA_RECEIVE, read, 0);
  if (sent === read) return Pumped.Moved;
  if (sent < 0 && sent !== -EAGAIN) return sinkBroken(sent);
  const taken = sent < 0 ? 0 : sent;
  slotFlags[from] |= SlotFlag.Bulk;
  holdLeftover(from, ARENA_RECEIVE + taken, read - taken);
  return Pumped.Moved;
}

/** One splice from the source into the empty pipe it holds. */
function fillPipe(from: number): Pumped {
  const pipe = slotHold[from];
  const read = sys.splice_in(from, pipe, pipeCapacity(pipe));
  if (read <= 0) {
    holdGive(from, true);
    return sourceSays(from, read); // the pipe was empty: EAGAIN is the socket's word
  }
  slotMovedBytes[from] += read;
  slotHoldBytes[from] = read;
  count(Count.SplicedBytes, read);
  if (read < RECEIVE_BYTES) slotFlags[from] &= ~SlotFlag.Bulk; // small messages again
  return Pumped.Moved;
}

/** Sends what is held, until it is gone or the sink is full. */
function drain(from: number, to: number): Pumped {
  if (!(slotReady[to] & Ready.Out)) return Pumped.Waiting;
  const piped = (slotFlags[from] & SlotFlag.HoldsPipe) !== 0;
  const hold = slotHold[from];
  while (slotHoldBytes[from] > 0) {
    const sent = piped
      ? sys.splice_out(hold, to, slotHoldBytes[from], 0)
      : sys.send(to, blockAt(hold) + slotHoldFrom[from], slotHoldBytes[from], 0);
    if (sent === -EAGAIN) {
      readyClear(to, Ready.Out);
      return Pumped.Waiting;
    }
    if (sent <= 0) return sinkBroken(sent);
    assert(sent <= slotHoldBytes[from], "pump: the sink took more than was held");
    slotHoldBytes[from] -= sent;
    if (!piped) slotHoldFrom[from] += sent;
    assert(piped || slotHoldFrom[from] <= BLOCK_BYTES, "pump: ran over a block");
  }
  holdGive(from, true);
  return Pumped.Moved;
}

/** A read that did not fill its buffer has emptied the socket (epoll(7), question 9): no second call
 * only to hear EAGAIN. With the peer's end of stream announced before, it was the last. Under an error
 * it was not: the next read tells which. */
function shortRead(from: number): void {
  const end = slotReady[from] & (Ready.Fin | Ready.Err);
  if (end === 0) readyClear(from, Ready.In);
  else if (end === Ready.Fin) slotFlags[from] |= SlotFlag.Finished;
}

/** What a read of nothing means. */
function sourceSays(from: number, read: number): Pumped {
  if (read === 0) {
    slotFlags[from] |= SlotFlag.Finished;
    return Pumped.Moved;
  }
  if (read === -EAGAIN) {
    readyClear(from, Ready.In);
    return Pumped.Waiting;
  }
  pumpErrno = -read;
  return Pumped.SourceBroken;
}

function sinkBroken(sent: number): Pumped {
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
  if (slotFlags[from] & SlotFlag.FinSent) return Pumped.Done;
  const result = sys.shutdown(to);
  if (result < 0) return sinkBroken(result);
  slotFlags[to] |= SlotFlag.FinSent;
  return Pumped.Waiting;
}
