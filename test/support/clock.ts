// A wall clock that leaps, for one process: what it asks the kernel for the time goes through clock.c. Takes gcc.
import { execFileSync } from "node:child_process";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { ROOT } from "./executable.ts";
import { Folder } from "./folder.ts";

export class Clock {
  readonly #folder = new Folder();
  readonly #fd: number;
  #leapMs = 0;
  /** Of a process whose clock this is. */
  readonly env: Readonly<Record<string, string>>;

  constructor() {
    const shim = this.#folder.at("clock.so"), leap = this.#folder.at("leap");
    const words = ["-shared", "-fPIC", "-O1", "-o", shim, `${ROOT}test/support/clock.c`, "-ldl", "-lpthread"];
    execFileSync("gcc", words, { timeout: 60_000 });
    writeFileSync(leap, new Uint8Array(8));
    this.#fd = openSync(leap, "r+");
    this.env = { LD_PRELOAD: shim, SLUICE_TEST_CLOCK: leap };
  }

  /** From now on it is so many hours later than it is; below 0: earlier. */
  set hours(hours: number) {
    this.#leapMs = hours * 3_600_000;
    writeSync(this.#fd, new BigInt64Array([BigInt(Math.round(hours * 3_600))]), 0, 8, 0);
  }

  /** The time by it, in milliseconds. */
  get nowMs(): number {
    return Date.now() + this.#leapMs;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    this.#folder[Symbol.dispose]();
  }
}
