// What keeps every name from being ordered: a CA that cannot be reached or refuses our account, a limit of
// the account's. The names themselves are not to blame, and what they have tried does not count.
import { backOffMs } from "./back_off.ts";
import type { Clock } from "./clock.ts";
import type { AcmeError } from "./problem.ts";

/** When a limit of the CA's is met, the other names wait for so long as well: it may be the account's. */
const LIMIT_MS = 60_000;

export interface Held {
  readonly why: string;
  /** Wall clock. */
  readonly untilMs: number;
}

export class Hold {
  readonly #clock: Clock;
  #held: Held | undefined;
  /** Of the CA, in a row. */
  #failures = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** undefined if nothing keeps from ordering now. */
  get now(): Held | undefined {
    return this.#held !== undefined && this.#held.untilMs > this.#clock.nowMs() ? this.#held : undefined;
  }

  /** The CA has done what it is for. */
  worked(): void {
    this.#failures = 0;
    this.#held = undefined;
  }

  /** Those that were under way at the same time fail by the same cause: it counts once. */
  failed(error: AcmeError): Held {
    const held = this.now;
    if (held !== undefined) return held;
    const waitMs = backOffMs(++this.#failures, error, this.#clock.random());
    return this.#held = { why: error.message, untilMs: this.#clock.nowMs() + waitMs };
  }

  limited(error: AcmeError): void {
    const untilMs = this.#clock.nowMs() + LIMIT_MS;
    if ((this.now?.untilMs ?? 0) < untilMs) this.#held = { why: error.message, untilMs };
  }
}
