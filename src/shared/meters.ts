// Meters: how many bytes may pass in a time, a generic cell rate algorithm (GCRA, ITU-T I.371) that reactors share
// without a lock. A meter is two words. The first is the time up to which what has passed is paid for: it moves on by
// what is taken, one atomic addition for a whole quantum, and may be ahead of now: then the meter is in debt, and who
// took last waits longest. The second is the second in which it was last touched: times wrap, and a meter that nobody
// has used for long is full, whatever its first word seems to say.
// Times are CLOCK_MONOTONIC's: the clock on the wall may jump.
import { METER_MS_MAX, METER_UNITS_PER_MS } from "../base/limits.ts";

/** Words of a meter. */
export const METER_WORDS = 2;
/** Untouched for so long it is full. */
const FORGET_S = 2 * METER_MS_MAX / 1_000;

/** Untouched for so long, and not in debt, it may be another's. */
const REST_S = 2;

const SECOND_MS = 1_000;

/** A clock's milliseconds as a meter's time. */
export function meterTime(ms: number): number {
  return Math.floor(ms * METER_UNITS_PER_MS) | 0;
}

function second(ms: number): number {
  return Math.floor(ms / SECOND_MS) | 0;
}

/** Nothing was taken from it yet: it is as one that was forgotten. */
export function meterFill(words: Int32Array, at: number, nowMs: number): void {
  Atomics.store(words, at, meterTime(nowMs - METER_MS_MAX));
  Atomics.store(words, at + 1, second(nowMs) - FORGET_S - 1);
}

/** Whether a meter would not be missed: it is not in debt, and was not touched for a while, in which bursts of most
 * rates come together again. */
export function meterIsIdle(words: Int32Array, at: number, nowMs: number): boolean {
  const idle = (second(nowMs) - Atomics.load(words, at + 1)) | 0;
  const owes = (Atomics.load(words, at) - meterTime(nowMs)) | 0;
  return idle > FORGET_S || (idle > REST_S && owes <= 0);
}

/** What a meter that holds at most `most` has at `nowMs`, in units of time; below 0: so long until it has anything. */
export function meterLevel(words: Int32Array, at: number, nowMs: number, most: number): number {
  const now = meterTime(nowMs), paid = Atomics.load(words, at);
  const idle = (second(nowMs) - Atomics.load(words, at + 1)) | 0;
  return idle > FORGET_S ? most : Math.min(most, (now - paid) | 0);
}

/** Takes `units` of time, or gives back what was taken and not used (below 0). */
export function meterTake(words: Int32Array, at: number, nowMs: number, most: number, units: number): void {
  const now = meterTime(nowMs), touched = second(nowMs), full = (now - most) | 0;
  const paid = Atomics.load(words, at), before = Atomics.load(words, at + 1);
  const isOver = ((touched - before) | 0) > FORGET_S || ((now - paid) | 0) > most;
  // What would be more than it holds is gone. Whoever is beside us has done the same.
  if (isOver) Atomics.compareExchange(words, at, paid, full);
  if (touched !== before) Atomics.store(words, at + 1, touched);
  Atomics.add(words, at, units);
}
