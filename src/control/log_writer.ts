// What the log Worker does: it writes what the rings hold, straight from their memory, and nothing else. A ring's
// tail moves by what was written, so the ring is the buffer: when a disk or a reader is stuck, this thread waits,
// the rings fill, and who finds no room drops its line and counts it. It wakes at most every 10 ms.
import { LogRing } from "../shared/log_ring.ts";
import { LogState } from "../shared/log_state.ts";
import { FdSink } from "./fd_sink.ts";
import { pause, type Sink } from "./log_sink.ts";
import { type SyslogBirth, SyslogSink } from "./syslog_sink.ts";

/** What the Worker is born with. */
export interface LogBirth {
  /** Path of the C library. */
  readonly library: string;
  readonly state: SharedArrayBuffer;
  readonly rings: readonly SharedArrayBuffer[];
  readonly to: { readonly kind: "fd"; readonly fd: number } | SyslogBirth;
}

/** Lines gather so long before the next write. */
const GATHER_MS = 10;
/** The Worker sleeps at most so long before it looks by itself. */
const SLEEP_MS = 1_000;
/** How long the Worker goes on once it was told to leave; the process waits a little longer. */
const LEAVE_MS = 800;

/** Writes until it is told to leave. */
export function writeLogs(birth: LogBirth): void {
  const state = new LogState(birth.state);
  const rings = birth.rings.map((memory) => new LogRing(memory, state));
  const sink = birth.to.kind === "fd" ? new FdSink(birth.to.fd, state) : new SyslogSink(birth.to, state);
  const writer = new LogWriter(rings, sink);
  let leaveByMs = Infinity;
  state.running = true;
  while (performance.now() < leaveByMs) {
    const leaving = state.leaving; // before looking: what came before that is written
    if (leaving && leaveByMs === Infinity) leaveByMs = performance.now() + LEAVE_MS;
    const round = writer.round();
    if (round === Round.Idle && leaving) break;
    if (round === Round.Idle) state.sleep(() => writer.hasLines, SLEEP_MS);
    else if (round === Round.Wrote && !leaving) pause(state, GATHER_MS);
  }
  sink.close();
}

export const enum Round {
  /** There was nothing to write. */
  Idle,
  Wrote,
  /** The place takes no more now; it was waited for. */
  Stuck,
}

export class LogWriter {
  readonly #rings: readonly LogRing[];
  readonly #sink: Sink;
  /** The ring whose turn it is, and where its lines ended when its turn began: none is served for ever. A ring
   * that got stuck goes on first, since its line may be half written. */
  #turn = 0;
  #end: number | undefined;

  constructor(rings: readonly LogRing[], sink: Sink) {
    this.#rings = rings;
    this.#sink = sink;
  }

  get hasLines(): boolean {
    return this.#rings.some(({ hasLines }) => hasLines);
  }

  /** Writes what each ring holds, once around. */
  round(): Round {
    let result = Round.Idle;
    for (let turns = 0; turns < this.#rings.length; turns++) {
      const ring = this.#rings[this.#turn];
      if (ring.hasLines) {
        this.#end ??= ring.linesEnd;
        if (!this.#sink.write(ring, this.#end)) return Round.Stuck;
        result = Round.Wrote;
      }
      this.#end = undefined;
      this.#turn = (this.#turn + 1) % this.#rings.length;
    }
    return result;
  }
}
