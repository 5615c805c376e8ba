// Delays: a wheel of 1 ms ticks for what goes on by itself in less than a second. A row (a slot) waits until its
// tick comes, or is called off; unlike a deadline, a delay never moves. Empty when nobody uses it, and then it costs
// nothing. Knows nothing of what waits, nor why.
// Invariant: a row hangs in the bucket that delayBucket names, and that bucket comes within one round.
import { assert, assertTable } from "../base/assert.ts";
import { DELAY_BUCKETS, DELAYS_PER_TURN, NONE } from "../base/limits.ts";

/** By row: the bucket it hangs in, plus 1; 0: in none. */
let delayBucket: Uint16Array;
let delayNext: Uint32Array;
let delayPrev: Uint32Array;
/** First row hanging in each bucket. */
let buckets: Uint32Array;
/** The last tick that was looked at: a millisecond of the clock. No integer of 32 bits: those last for 49 days. */
let tick: number;
let waiting: number;

export function delaysOpen(rows: number, nowMs: number): void {
  delayBucket = new Uint16Array(rows);
  delayNext = new Uint32Array(rows);
  delayPrev = new Uint32Array(rows);
  buckets = new Uint32Array(DELAY_BUCKETS);
  tick = Math.floor(nowMs);
  waiting = 0;
}

/** Lets a row wait until `untilMs`: never short of it, and a tick too long at most. */
export function delaySet(row: number, untilMs: number): void {
  assert(delayBucket[row] === 0, "delays: a row waits twice");
  const due = Math.min(Math.max(Math.ceil(untilMs), tick + 1), tick + DELAY_BUCKETS - 1);
  const bucket = due % DELAY_BUCKETS, head = buckets[bucket];
  delayNext[row] = head;
  delayPrev[row] = NONE;
  if (head !== NONE) delayPrev[head] = row;
  buckets[bucket] = row;
  delayBucket[row] = bucket + 1;
  waiting++;
}

/** It waits no longer. */
export function delayClear(row: number): void {
  if (delayBucket[row] === 0) return;
  const bucket = delayBucket[row] - 1, next = delayNext[row], prev = delayPrev[row];
  if (prev === NONE) {
    assertTable(buckets[bucket] === row, "delays: the head of a bucket is not the row that says so");
    buckets[bucket] = next;
  } else {
    delayNext[prev] = next;
  }
  if (next !== NONE) delayPrev[next] = prev;
  delayBucket[row] = 0;
  waiting--;
}

/** Whether a row waits. */
export function delayIsSet(row: number): boolean {
  return delayBucket[row] !== 0;
}

/**
 * Turns the wheel to `nowMs` and calls `due` for each row whose time has come, at most DELAYS_PER_TURN of them; the
 * row waits no longer by then, and may be made to wait again.
 *
 * @returns whether some are left, for the next turn.
 */
export function delaysAdvance(nowMs: number, due: (row: number) => void): boolean {
  const now = Math.floor(nowMs);
  let budget = DELAYS_PER_TURN;
  // After a long sleep one round of the wheel sees every row.
  for (let next = Math.max(tick + 1, now - DELAY_BUCKETS + 1); waiting > 0 && next <= now; next++) {
    const bucket = next % DELAY_BUCKETS;
    for (let row = buckets[bucket]; row !== NONE; row = buckets[bucket]) {
      if (budget-- === 0) {
        tick = next - 1; // this bucket once more
        return true;
      }
      tick = next; // who waits again from here on waits for a later one
      delayClear(row);
      due(row);
    }
  }
  tick = Math.max(tick, now);
  return false;
}

/** Rows that wait. */
export function delaysWaiting(): number {
  return waiting;
}

/** Milliseconds until the next row's time comes; -1 when none waits. A scan of the buckets: asked only by a reactor
 * that is about to sleep. */
export function delaysSleepMs(nowMs: number): number {
  if (waiting === 0) return -1;
  let ahead = 1;
  while (ahead < DELAY_BUCKETS && buckets[(tick + ahead) % DELAY_BUCKETS] === NONE) ahead++;
  return Math.max(1, Math.ceil(tick + ahead - nowMs));
}

/** Every bucket's list is whole. For tests. */
export function delaysCheck(): void {
  let seen = 0;
  for (let bucket = 0; bucket < DELAY_BUCKETS; bucket++) {
    let prev = NONE;
    for (let row = buckets[bucket]; row !== NONE; row = delayNext[row]) {
      assertTable(delayBucket[row] === bucket + 1, "delays: a row hangs where it does not say");
      assertTable(delayPrev[row] === prev, "delays: a list is broken");
      prev = row;
      seen++;
    }
  }
  assertTable(seen === waiting, "delays: rows that wait are not the rows on the wheel");
}
