// What the log Worker, those who have lines for it, and the control plane tell each other: one for the process.
// Whoever has lines rings only while the Worker sleeps, so a busy reactor makes no call for them.
import { ADDRESS_BYTES } from "../base/limits.ts";

const enum Word {
  /** 1 while the Worker sleeps, or is about to. */
  Asleep,
  /** 1: write what is there, then leave. */
  Leave,
  /** 1 while there is a Worker, from when it has all it works with. */
  Running,
  /** The errno of the failure that holds; 0 while lines are written. */
  Failure,
  /** Raised when the address begins to change, and when it has changed: odd in between. */
  Address,
  Length = 8,
}

const ADDRESS_AT = Word.Length * 4;
const LOST_AT = ADDRESS_AT + ADDRESS_BYTES;
const BYTES = LOST_AT + 8;

export class LogState {
  readonly #words: Int32Array;
  readonly #address: Uint8Array;
  readonly #lost: Float64Array;

  static make(): SharedArrayBuffer {
    return new SharedArrayBuffer(BYTES);
  }

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, Word.Length);
    this.#address = new Uint8Array(memory, ADDRESS_AT, ADDRESS_BYTES);
    this.#lost = new Float64Array(memory, LOST_AT, 1);
  }

  /** There are lines: wakes the Worker if it sleeps. To be called once they can be seen. */
  wake(): void {
    if (Atomics.load(this.#words, Word.Asleep) === 0) return;
    if (Atomics.exchange(this.#words, Word.Asleep, 0) !== 0) Atomics.notify(this.#words, Word.Asleep);
  }

  /** The Worker sleeps until somebody wakes it, at most `timeoutMs`; not at all if `isWanted`. Bun waits by the
   * wall clock: while that is set back, nothing but being woken ends the sleep. */
  sleep(isWanted: () => boolean, timeoutMs: number): void {
    Atomics.store(this.#words, Word.Asleep, 1);
    if (!isWanted() && !this.leaving) Atomics.wait(this.#words, Word.Asleep, 1, timeoutMs);
    Atomics.store(this.#words, Word.Asleep, 0);
  }

  /** Tells the Worker to write what is there and to leave. */
  leave(): void {
    Atomics.store(this.#words, Word.Leave, 1);
    this.wake();
  }

  /** Whoever writes next stays. */
  stay(): void {
    Atomics.store(this.#words, Word.Leave, 0);
  }

  get running(): boolean {
    return Atomics.load(this.#words, Word.Running) !== 0;
  }

  set running(on: boolean) {
    Atomics.store(this.#words, Word.Running, on ? 1 : 0);
  }

  get leaving(): boolean {
    return Atomics.load(this.#words, Word.Leave) !== 0;
  }

  /** The errno of the failure that holds; 0 while lines are written. The Worker's to set. */
  get failure(): number {
    return Atomics.load(this.#words, Word.Failure);
  }

  set failure(errno: number) {
    if (Atomics.exchange(this.#words, Word.Failure, errno) !== errno) {
      Atomics.notify(this.#words, Word.Failure);
    }
  }

  /** Resolves when the failure is no longer `known`, at the latest after `timeoutMs`. */
  async failureChange(known: number, timeoutMs: number): Promise<void> {
    const waiting = Atomics.waitAsync(this.#words, Word.Failure, known, timeoutMs);
    if (waiting.async) await waiting.value;
  }

  /** Ends `failureChange` without a change. */
  wakeWatcher(): void {
    Atomics.notify(this.#words, Word.Failure);
  }

  /** Lines that could not be written; the Worker's to raise. */
  get lostLines(): number {
    return this.#lost[0];
  }

  lose(lines: number): void {
    this.#lost[0] += lines;
  }

  /** Which address it is: changes with it. */
  get addressVersion(): number {
    return Atomics.load(this.#words, Word.Address);
  }

  /** Puts the address that lines are sent to, as a record (see ffi/sluice.h); family 0: not known. */
  putAddress(record: Uint8Array): void {
    Atomics.add(this.#words, Word.Address, 1);
    this.#address.set(record);
    Atomics.add(this.#words, Word.Address, 1);
  }

  /** Copies the address into `record`. @returns its version, or -1 while it is being changed */
  getAddress(record: Uint8Array): number {
    const before = this.addressVersion;
    record.set(this.#address);
    return (before & 1) === 0 && this.addressVersion === before ? before : -1;
  }
}
