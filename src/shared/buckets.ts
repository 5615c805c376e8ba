// Token buckets that reactors share: the generic cell rate algorithm (GCRA, ITU-T I.371) in one word and one
// compare-and-swap. The word of a bucket is the tick at which it will be full again: a tick in the past, or 0, is a
// full bucket, and nobody has to fill it. Ticks are counted from the machine's start (CLOCK_MONOTONIC) and wrap: what
// lies in the past must be made 0 now and then (`bucketRest`), before it comes to look like the future.

/** 5 us: a rate of RATE_PER_SECOND_MAX takes two of them for each event. */
export const TICKS_PER_MS = 200;
/** A bucket is full again after at most so long. */
export const BUCKET_MS_MAX = 3_600_000;
/** What seems to be further ahead than this lies in the past. Ticks wrap at 2^32, after 5.9 hours: a word that nobody
 * has touched for 4.4 hours begins to look like one ahead. */
const TICKS_MAX = 1 << 30;
/** So often are words made to rest. */
export const BUCKET_REST_MS = 3_600_000;

/** Milliseconds of CLOCK_MONOTONIC as ticks, not wrapped. */
export function ticksAt(ms: number): number {
  return Math.floor(ms * TICKS_PER_MS);
}

/** A level's tick is rounded up, by half an event at most. */
const ROUNDED_UP = 0.25;

/** The level of a bucket that gets one event each `everyTicks` (2 at least): the number, counted from tick 0 on, of the
 * last event that it has given. Levels are whole numbers on a grid in time, so that no rounding adds up: exactly
 * `burst` events come through at once, and in any time at most one more than the rate and the burst say. */
function levelOf(word: number, nowTicks: number, everyTicks: number): number {
  const now = Math.floor(nowTicks / everyTicks), ahead = (word - nowTicks) | 0;
  if (word === 0 || ahead <= 0 || ahead > TICKS_MAX) return now;
  return Math.max(now, Math.floor((nowTicks + ahead) / everyTicks + ROUNDED_UP));
}

/** Whether a bucket of `burst` events has one left. Takes nothing. */
export function bucketHas(
  words: Int32Array,
  at: number,
  nowTicks: number,
  everyTicks: number,
  burst: number,
): boolean {
  const level = levelOf(Atomics.load(words, at), nowTicks, everyTicks);
  return level + 1 <= nowTicks / everyTicks + burst;
}

/** Takes one event; false, and nothing is taken, when there is none. */
export function bucketTake(
  words: Int32Array,
  at: number,
  nowTicks: number,
  everyTicks: number,
  burst: number,
): boolean {
  for (;;) {
    const word = Atomics.load(words, at), level = levelOf(word, nowTicks, everyTicks);
    if (level + 1 > nowTicks / everyTicks + burst) return false;
    const full = Math.ceil((level + 1) * everyTicks) | 0; // not down: it lies ahead
    if (Atomics.compareExchange(words, at, word, full === 0 ? 1 : full) === word) return true;
  }
}

/** Whole events that a bucket of `burst` has left. */
export function bucketLeft(
  words: Int32Array,
  at: number,
  nowTicks: number,
  everyTicks: number,
  burst: number,
): number {
  const level = levelOf(Atomics.load(words, at), nowTicks, everyTicks);
  return Math.max(0, Math.floor(nowTicks / everyTicks + burst - level));
}

/** Whether nothing is missing in a bucket, whatever its rate. */
export function bucketIsFull(words: Int32Array, at: number, nowTicks: number): boolean {
  const word = Atomics.load(words, at), ahead = (word - nowTicks) | 0;
  return word === 0 || ahead <= 0 || ahead > TICKS_MAX;
}

/** Makes a full bucket's word 0. */
export function bucketRest(words: Int32Array, at: number, nowTicks: number): void {
  const word = Atomics.load(words, at);
  if (word !== 0 && bucketIsFull(words, at, nowTicks)) Atomics.compareExchange(words, at, word, 0);
}
