// Stable identity: what keeps its meaning keeps its number across generations of the Plan, because
// run-time state (connections, counters, health, queues) hangs on the number. A number is given again
// only after every reactor works by a generation without it and nothing hangs on it any more.

/** Numbers of one kind of thing (listeners, upstreams, servers, probes). 0 is never one. */
export class Numbers {
  readonly #most: number;
  readonly #byKey = new Map<string, number>();
  /** Numbers whose thing is gone, and the first generation that did not have it. */
  readonly #resting = new Map<string, { readonly number: number; readonly since: number }>();
  readonly #free: number[] = [];
  #next = 1;

  /** @param most numbers are below this: the shared columns have no more rows. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The number of `key`; the one it had, if it comes back before that was given to another; else a new
   * one; 0 when there are no more. */
  take(key: string): number {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const number = this.#revive(key) ?? this.#free.pop() ?? (this.#next < this.#most ? this.#next++ : 0);
    if (number !== 0) this.#byKey.set(key, number);
    return number;
  }

  #revive(key: string): number | undefined {
    const resting = this.#resting.get(key);
    this.#resting.delete(key);
    return resting?.number;
  }

  /** Ends the identity of every key that generation `generation` no longer has. */
  retain(keys: ReadonlySet<string>, generation: number): void {
    for (const [key, number] of this.#byKey) {
      if (keys.has(key)) continue;
      this.#byKey.delete(key);
      this.#resting.set(key, { number, since: generation });
    }
  }

  /** Frees numbers whose last generation nobody works by (`oldest` is the oldest in use) and on which
   * nothing hangs. Returns the numbers that became free: their columns must be zeroed by the caller
   * where they are counters. */
  release(oldest: number, isIdle: (number: number) => boolean): number[] {
    const freed: number[] = [];
    for (const [key, { number, since }] of this.#resting) {
      if (since > oldest || !isIdle(number)) continue;
      freed.push(number);
      this.#resting.delete(key);
    }
    for (const number of freed) this.#free.push(number);
    return freed;
  }

  /** Those whose thing is gone, while they are not free. */
  get resting(): ReadonlyMap<string, { readonly number: number; readonly since: number }> {
    return this.#resting;
  }

  /** Highest number ever given, plus 1: rows of the Plan's columns. */
  get end(): number {
    return this.#next;
  }
}
