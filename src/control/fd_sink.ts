// Lines to an fd of the process, by write(2).
import { LOG_LINES_BYTES } from "../base/limits.ts";
import type { LogRing } from "../shared/log_ring.ts";
import type { LogState } from "../shared/log_state.ts";
import { EAGAIN } from "../sys/errno.ts";
import { FdKind } from "../sys/symbols.ts";
import { sys } from "../sys/sys.ts";
import { AGAIN_MS, pause, type Sink, WAIT_MS, WriteHealth } from "./log_sink.ts";

/** What one write to a pipe holds: others write to it too, and so much is never torn apart (pipe(7)). */
const PIPE_WRITE_BYTES = 4_096;
/** What one write to a file holds: the ring has room again after each. */
const FILE_WRITE_BYTES = 1 << 20;
/** A disk that is nearly full takes a line now and then: that is not yet its end. */
const QUIET_MS = 1_000;

const MASK = LOG_LINES_BYTES - 1;
const NOTHING = new Uint8Array(0);
const NEWLINE = Uint8Array.of(0x0a);

/** An fd of the process: a file, a pipe, a terminal, a stream socket. Which may change: the control plane opens
 * files again under the same number. */
export class FdSink implements Sink {
  readonly #fd: number;
  readonly #state: LogState;
  readonly #health: WriteHealth;
  /** The last line is not whole yet. */
  #inLine = false;
  /** It never will be: the next one begins with a newline. */
  #torn = false;

  constructor(fd: number, state: LogState) {
    this.#fd = fd;
    this.#state = state;
    this.#health = new WriteHealth(state, QUIET_MS);
  }

  write(ring: LogRing, end: number): boolean {
    const kind = sys.log_kind(this.#fd);
    if (kind < 0) return this.#lose(ring, end, -kind);
    const most = kind === FdKind.File ? FILE_WRITE_BYTES : PIPE_WRITE_BYTES;
    for (let from = ring.linesFrom; from !== end;) {
      if (kind !== FdKind.File) {
        const ready = sys.log_ready(this.#fd, WAIT_MS);
        if (ready < 0) return this.#lose(ring, end, -ready);
        if (ready === 0) return false;
      }
      const length = (ring.endOfLines(from, end, most) - from) | 0;
      const before = this.#torn ? NEWLINE : NOTHING;
      const put = kind === FdKind.Socket ? sys.log_send : sys.log_write;
      const n = put(this.#fd, before, before.length, ring.lines, LOG_LINES_BYTES, from & MASK, length);
      if (n === -EAGAIN) {
        pause(this.#state, AGAIN_MS); // it said it was ready
        return false;
      }
      if (n < 0) return this.#lose(ring, end, -n);
      this.#torn = false;
      from = (from + n - before.length) | 0;
      ring.readTo(from);
      this.#inLine = n > before.length && ring.lines[(from - 1) & MASK] !== NEWLINE[0];
      this.#health.worked();
    }
    return true;
  }

  /** What is to be written now is lost; whether the place works again, the next lines will show. */
  #lose(ring: LogRing, end: number, errno: number): boolean {
    this.#health.failed(errno, ring.countLines(ring.linesFrom, end));
    ring.readTo(end);
    this.#torn ||= this.#inLine;
    this.#inLine = false;
    return true;
  }

  /** The fd is the control plane's. */
  close(): void {}
}
