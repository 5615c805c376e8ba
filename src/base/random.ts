// Random numbers for jitter and spreading: xorshift32, one stream per thread, seeded so that a test
// can replay a run. Not for secrets.

let state = 0x9e3779b9;

export function randomSeed(seed: number): void {
  state = (seed | 0) === 0 ? 0x9e3779b9 : seed | 0;
}

/** 32 bits. */
export function randomBits(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
}

/** In [0, 1). */
export function random(): number {
  return randomBits() / 0x100000000;
}
