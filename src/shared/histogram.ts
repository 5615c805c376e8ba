// Histograms of times, with buckets that never change: dashboards and alerts hang on their bounds. A reactor finds
// a bucket by counting the bits of an integer; names, units and sums over reactors are metrics.ts's.

/** Of what waits for the network: buckets up to 0.25 ms, 0.5 ms, 1 ms, ... 32.768 s, and one for what took longer. */
export const LATENCY_BUCKETS = 19;
const LATENCY_LAST = LATENCY_BUCKETS - 1;
/** Quarters of a millisecond. */
const LATENCY_UNITS = 4;

/** Of how long connections live: buckets up to 1 ms, 4 ms, 16 ms, ... 18.6 h, and one for those that lived longer. */
export const LIFE_BUCKETS = 15;
const LIFE_LAST = LIFE_BUCKETS - 1;

/** Upper bounds in milliseconds, inclusive; the last bucket has none. */
export const LATENCY_BOUNDS_MS: readonly number[] = Array.from(
  { length: LATENCY_LAST },
  (_, bucket) => 2 ** bucket / LATENCY_UNITS,
);
export const LIFE_BOUNDS_MS: readonly number[] = Array.from(
  { length: LIFE_LAST },
  (_, bucket) => 4 ** bucket,
);

const LATENCY_MOST_MS = LATENCY_BOUNDS_MS[LATENCY_LAST - 1];
const LIFE_MOST_MS = LIFE_BOUNDS_MS[LIFE_LAST - 1];

/** The bucket of a latency. @param ms any number; below 0 counts as 0 */
export function latencyBucket(ms: number): number {
  if (ms > LATENCY_MOST_MS) return LATENCY_LAST;
  if (ms <= LATENCY_BOUNDS_MS[0]) return 0;
  return 32 - Math.clz32(Math.ceil(ms * LATENCY_UNITS) - 1); // what is just at a bound is below it
}

/** The bucket of a life. @param ms any number; below 0 counts as 0 */
export function lifeBucket(ms: number): number {
  if (ms > LIFE_MOST_MS) return LIFE_LAST;
  if (ms <= LIFE_BOUNDS_MS[0]) return 0;
  return (33 - Math.clz32(Math.ceil(ms) - 1)) >> 1;
}
