// Deadlines: a wheel of 100 ms ticks. A row (a slot, or a health check that waits) has one deadline, a
// column. Moving it further away is one store (`extend`): the wheel looks at the row when the old
// deadline comes and hangs it up again. Knows nothing of what a deadline means.
// Invariant: a row hangs in the bucket timerBucket names, and timerTick is never before that bucket.
import { assertTable } from "../base/assert.ts";
import { NONE, TICK_MS, TIMEOUTS_PER_TURN, WHEEL_BUCKETS } from "../base/limits.ts";
import { openTable } from "../shared/columns.ts";
import { TIMERS } from "../shared/tables.ts";

export let timerTick: Uint32Array;
let timerBucket: Uint16Array;
let timerNext: Uint32Array;
let timerPrev: Uint32Array;

/** First row hanging in each bucket. */
let buckets: Uint32Array;
/** The last tick that was looked at. */
let tick: number;
let armed: number;

export function timersOpen(memory: SharedArrayBuffer, rows: number, nowMs: number): void {
  ({ timerTick, timerBucket, timerNext, timerPrev } = openTable(TIMERS, memory, rows));
  buckets = new Uint32Array(WHEEL_BUCKETS);
  tick = tickAt(nowMs);
  armed = 0;
}

/** The tick that a time falls into, rounded up. Ticks of the monotonic clock fit 32 bits for 13 years. */
export function tickAt(ms: number): number {
  return Math.ceil(ms / TICK_MS) >>> 0;
}

/** Arms or moves a row's deadline. A deadline that is already past is due at the next tick. */
export function timerSet(row: number, deadlineMs: number): void {
  const due = Math.max(tickAt(deadlineMs), tick + 1);
  timerTick[row] = due;
  const bucket = timerBucket[row];
  if (bucket !== 0) {
    // Later than it hangs: the wheel will find out. Earlier: hang it up anew.
    if (due - tick >= distance(bucket - 1)) return; // it hangs there already, or earlier
    unlink(row);
  }
  hang(row);
}

/** Moves an armed deadline further away: one store, for every activity of a connection. */
export function timerExtend(row: number, due: number): void {
  timerTick[row] = due;
}

/** Takes a row off the wheel. */
export function timerClear(row: number): void {
  if (timerBucket[row] !== 0) unlink(row);
  timerTick[row] = 0;
}

/**
 * Turns the wheel to `nowMs` and calls `due` for each row whose deadline is past, at most
 * TIMEOUTS_PER_TURN of them; the row is off the wheel by then and may be armed again.
 *
 * @returns whether some are left, for the next turn.
 */
export function timersAdvance(nowMs: number, due: (row: number) => void): boolean {
  const now = Math.floor(nowMs / TICK_MS);
  if (now <= tick) return false;
  let budget = TIMEOUTS_PER_TURN;
  // After a long sleep one round of the wheel sees every row.
  let first = Math.max(tick + 1, now - WHEEL_BUCKETS + 1);
  for (; first <= now; first++) {
    tick = first;
    budget = turnBucket(first % WHEEL_BUCKETS, now, due, budget);
    if (budget === 0) {
      tick = first - 1; // this bucket once more
      return true;
    }
  }
  tick = now;
  return false;
}

/** A row may be hung up again, by us or by `due`, but never into this bucket: it is one round away.
 * Returns what is left of the budget; 0: there may be more in this bucket. */
function turnBucket(bucket: number, now: number, due: (row: number) => void, budget: number): number {
  for (let row = buckets[bucket]; row !== NONE && budget > 0; row = buckets[bucket]) {
    unlink(row);
    if (timerTick[row] > now) {
      hang(row);
    } else {
      timerTick[row] = 0;
      budget--;
      due(row);
    }
  }
  return budget;
}

/** Ticks until the wheel comes to a bucket. */
function distance(bucket: number): number {
  return (bucket - (tick % WHEEL_BUCKETS) + WHEEL_BUCKETS) % WHEEL_BUCKETS;
}

function hang(row: number): void {
  const due = Math.min(Math.max(timerTick[row], tick + 1), tick + WHEEL_BUCKETS - 1);
  const bucket = due % WHEEL_BUCKETS;
  const head = buckets[bucket];
  timerNext[row] = head;
  timerPrev[row] = NONE;
  if (head !== NONE) timerPrev[head] = row;
  buckets[bucket] = row;
  timerBucket[row] = bucket + 1;
  armed++;
}

function unlink(row: number): void {
  const bucket = timerBucket[row] - 1;
  assertTable(bucket >= 0, "timers: unlinked a row that hangs nowhere");
  const next = timerNext[row], prev = timerPrev[row];
  if (prev === NONE) {
    assertTable(buckets[bucket] === row, "timers: the head of a bucket is not the row that says so");
    buckets[bucket] = next;
  } else {
    timerNext[prev] = next;
  }
  if (next !== NONE) timerPrev[next] = prev;
  timerNext[row] = NONE;
  timerPrev[row] = NONE;
  timerBucket[row] = 0;
  armed--;
}

/** Rows on the wheel. */
export function timersArmed(): number {
  return armed;
}

/** Milliseconds until the wheel has something to look at, at most `mostMs`; -1 when it is empty. A scan
 * of the buckets: asked only by a reactor that is about to sleep. */
export function timersSleepMs(nowMs: number, mostMs: number): number {
  if (armed === 0) return -1;
  const most = Math.min(WHEEL_BUCKETS, Math.ceil(mostMs / TICK_MS));
  let ahead = 1;
  while (ahead < most && buckets[(tick + ahead) % WHEEL_BUCKETS] === NONE) ahead++;
  return Math.max(1, Math.min(mostMs, Math.ceil((tick + ahead) * TICK_MS - nowMs)));
}

/** Every bucket's list is whole. For tests. */
export function timersCheck(): void {
  let seen = 0;
  for (let bucket = 0; bucket < WHEEL_BUCKETS; bucket++) {
    let prev = NONE;
    for (let row = buckets[bucket]; row !== NONE; row = timerNext[row]) {
      assertTable(timerBucket[row] === bucket + 1, "timers: a row hangs where it does not say");
      assertTable(timerPrev[row] === prev, "timers: a list is broken");
      assertTable(timerTick[row] >= tick, "timers: a row was passed over");
      prev = row;
      seen++;
    }
  }
  assertTable(seen === armed, "timers: armed rows are not the rows on the wheel");
}
