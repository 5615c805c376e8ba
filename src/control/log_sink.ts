// What the log Worker writes to, whatever it is, and what it tells of how that goes.
import type { LogRing } from "../shared/log_ring.ts";
import type { LogState } from "../shared/log_state.ts";
import { sys } from "../sys/sys.ts";

/** A place that lines go to. */
export interface Sink {
  /** Writes the lines of a ring up to the position `end`, or loses them and says so.
   * @returns false: not now, come back; the lines that were not written are still in the ring */
  write(ring: LogRing, end: number): boolean;
  close(): void;
}

/** One wait for a place that takes nothing now. */
export const WAIT_MS = 100;
/** A place that says it is ready and takes nothing all the same is left alone for so long. */
export const AGAIN_MS = 5;
/** A pause of a Worker that is to leave. */
const LEAVING_PAUSE_MS = 5;
const NO_FD = -1;

/** The Worker waits for `ms` of the clock that nobody sets. Atomics.wait goes by the wall clock: with that set back
 * by an hour, it would wait for an hour. */
export function pause(state: LogState, ms: number): void {
  sys.log_ready(NO_FD, Math.ceil(state.leaving ? Math.min(ms, LEAVING_PAUSE_MS) : ms));
}

/** What the control plane is to know of the writing: failures at once, their end once it has lasted. */
export class WriteHealth {
  readonly #state: LogState;
  readonly #quietMs: number;
  #failedAtMs = -Infinity;

  /** @param quietMs so long after the last failure, a write that goes well ends it */
  constructor(state: LogState, quietMs: number) {
    this.#state = state;
    this.#quietMs = quietMs;
  }

  failed(errno: number, lines: number): void {
    this.#failedAtMs = performance.now();
    this.#state.lose(lines);
    this.#state.failure = errno;
  }

  worked(): void {
    if (this.#state.failure === 0) return;
    if (performance.now() - this.#failedAtMs >= this.#quietMs) this.#state.failure = 0;
  }
}
