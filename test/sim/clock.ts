// Virtual time, and what happens in the world outside at which moment. Events of one moment come in the
// order in which they were planned.

interface Planned {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

const before = (a: Planned, b: Planned): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

export class Clock {
  nowMs: number;
  /** A binary heap, the next one first. */
  readonly #heap: Planned[] = [];
  #planned = 0;

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  /** Plans `run` for `delayMs` from now. */
  in(delayMs: number, run: () => void): void {
    const planned = { atMs: this.nowMs + delayMs, order: this.#planned++, run };
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(planned, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = planned;
  }

  /** When the next event is due; Infinity: nothing is planned. */
  get nextMs(): number {
    return this.#heap.length === 0 ? Infinity : this.#heap[0].atMs;
  }

  /** Lets everything happen until `untilMs`, or until `enough`. */
  advance(untilMs: number, enough: () => boolean = () => false): void {
    while (this.nextMs <= untilMs) {
      if (enough()) return;
      const { atMs, run } = this.#pop();
      this.nowMs = Math.max(this.nowMs, atMs);
      run();
    }
    if (!enough()) this.nowMs = Math.max(this.nowMs, untilMs);
  }

  #pop(): Planned {
    const heap = this.#heap;
    const first = heap[0], last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
      if (!before(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
