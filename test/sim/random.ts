// Chance by seed: one stream of numbers per run, so that the same seed is the same run.

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
    for (let round = 0; round < 4; round++) this.next();
  }

  /** Another stream, without a step of this one. */
  fork(salt: number): Random {
    return new Random(this.#state ^ salt);
  }

  /** 32 bits (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** An integer in [0, end). */
  below(end: number): number {
    return Math.floor((this.next() / 0x100000000) * end);
  }

  /** An integer in [first, last]. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** True once in `times`; never if that is 0. */
  oneIn(times: number): boolean {
    return times > 0 && this.below(times) === 0;
  }

  /** In [1, most]: one byte as often as many. */
  size(most: number): number {
    const bits = this.below(32 - Math.clz32(most)) + 1;
    return Math.min(most, 1 + this.below(2 ** bits));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  shuffle<T>(items: T[]): void {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      [items[last], items[other]] = [items[other], items[last]];
    }
  }
}
