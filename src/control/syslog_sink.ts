// Lines to a syslog, by RFC 5424: one datagram each over a unix socket or UDP, counted octets over TCP (RFC 6587,
// 3.4.1). A syslog that is away is tried again once a second; meanwhile lines stay in the rings, as far as
// there is room. What UDP loses on its way nobody knows.
import { ADDRESS_BYTES, LOG_LINES_BYTES } from "../base/limits.ts";
import type { LogRing } from "../shared/log_ring.ts";
import type { LogState } from "../shared/log_state.ts";
import { EAGAIN, ECONNREFUSED, EDESTADDRREQ, EMSGSIZE, ETIMEDOUT } from "../sys/errno.ts";
import { FdReady } from "../sys/symbols.ts";
import { sys } from "../sys/sys.ts";
import { AGAIN_MS, pause, type Sink, WAIT_MS, WriteHealth } from "./log_sink.ts";

export interface SyslogBirth {
  readonly kind: "syslog";
  readonly transport: "unix" | "udp" | "tcp";
  /** Of this machine, as `hostnameFit` gives it. */
  readonly hostname: string;
  readonly pid: number;
}

/** Between two tries to connect. */
const RETRY_MS = 1_000;
const CONNECT_MS = 1_000;
/** More than one try: a UDP syslog that is away takes a datagram each time before it refuses. */
const QUIET_MS = 3_000;

const MASK = LOG_LINES_BYTES - 1;
/** Facility local0 (16), severity informational (6). */
const PRIORITY = 16 * 8 + 6;
/** Octets of HOSTNAME. */
const HOSTNAME_BYTES_MAX = 255;
/** Room for the count of octets and its space. */
const COUNT_BYTES = 12;
const TIMESTAMP_BYTES = 24;

/** A name as HOSTNAME takes it: printable ASCII without spaces; "-" if it is none. */
export function hostnameFit(name: string): string {
  return /^[\x21-\x7e]+$/.test(name) ? name.slice(0, HOSTNAME_BYTES_MAX) : "-";
}

/** What goes before a line. Constant but for the time, which is when the line is sent: many collectors replace
 * a message without a time by one of their own, and a line has the time of its request in itself. */
class Header {
  readonly #bytes: Uint8Array;
  readonly #timeAt: number;
  readonly #counted: boolean;

  constructor({ transport, hostname, pid }: SyslogBirth) {
    const begin = `<${PRIORITY}>1 `, rest = ` ${hostname} sluice ${pid} access - `;
    this.#timeAt = COUNT_BYTES + begin.length;
    this.#bytes = new TextEncoder().encode(
      " ".repeat(COUNT_BYTES) + begin + "-".repeat(TIMESTAMP_BYTES) + rest,
    );
    this.#counted = transport === "tcp";
  }

  setTime(ms: number): void {
    new TextEncoder().encodeInto(
      new Date(ms).toISOString(),
      this.#bytes.subarray(this.#timeAt, this.#timeAt + TIMESTAMP_BYTES),
    );
  }

  /** The header of a line of so many bytes, without its newline; valid until the next call. */
  before(lineBytes: number): Uint8Array {
    let at = COUNT_BYTES;
    if (this.#counted) {
      at--; // the space
      let count = this.#bytes.length - COUNT_BYTES + lineBytes;
      for (; count > 0; count = Math.floor(count / 10)) this.#bytes[--at] = 0x30 + count % 10;
    }
    return this.#bytes.subarray(at);
  }
}

export class SyslogSink implements Sink {
  readonly #birth: SyslogBirth;
  readonly #state: LogState;
  readonly #health: WriteHealth;
  readonly #header: Header;
  readonly #address = new Uint8Array(ADDRESS_BYTES);
  #addressVersion = -1;
  #fd = -1;
  #triedAtMs = -Infinity;
  /** Bytes of the message under way that a stream has taken, and its header. */
  #sent = 0;
  #before: Uint8Array = new Uint8Array(0);

  constructor(birth: SyslogBirth, state: LogState) {
    this.#birth = birth;
    this.#state = state;
    this.#health = new WriteHealth(state, QUIET_MS);
    this.#header = new Header(birth);
    this.#connect(); // one that is away is told of before there are lines for it
  }

  write(ring: LogRing, end: number): boolean {
    if (!this.#isConnected() && !this.#connect()) return false;
    this.#header.setTime(Date.now());
    for (let from = ring.linesFrom; from !== end;) {
      const next = ring.endOfLine(from, end), lineBytes = ((next - from) | 0) - 1;
      if (this.#sent === 0) this.#before = this.#header.before(lineBytes);
      const before = this.#before.subarray(Math.min(this.#sent, this.#before.length));
      const skip = Math.max(0, this.#sent - this.#before.length);
      const at = (from + skip) & MASK;
      const n = sys.log_send(
        this.#fd,
        before,
        before.length,
        ring.lines,
        LOG_LINES_BYTES,
        at,
        lineBytes - skip,
      );
      if (n === -EAGAIN) {
        if (sys.log_ready(this.#fd, WAIT_MS) !== 0) pause(this.#state, AGAIN_MS); // it may only say that it is
        return false;
      }
      if (n === -EMSGSIZE) this.#health.failed(EMSGSIZE, 1);
      else if (n < 0) return this.#away(-n);
      else {
        this.#sent += n;
        if (this.#sent < this.#before.length + lineBytes) continue;
        this.#health.worked();
      }
      this.#sent = 0;
      from = next;
      ring.readTo(from);
    }
    return true;
  }

  close(): void {
    if (this.#fd >= 0) sys.log_close(this.#fd);
    this.#fd = -1;
    this.#sent = 0; // a message that was cut off is sent again, whole
  }

  #isConnected(): boolean {
    if (this.#fd < 0) return false;
    const isStream = this.#birth.transport === "tcp";
    const gone = isStream && (sys.log_ready(this.#fd, 0) & FdReady.Gone) !== 0;
    if (!gone && this.#state.addressVersion === this.#addressVersion) return true;
    this.close();
    return false;
  }

  /** At most once in RETRY_MS; if it is too early, waits a while. */
  #connect(): boolean {
    const early = this.#triedAtMs + RETRY_MS - performance.now();
    if (early > 0) {
      pause(this.#state, Math.min(early, WAIT_MS));
      return false;
    }
    this.#triedAtMs = performance.now();
    this.#addressVersion = this.#state.getAddress(this.#address);
    if (this.#addressVersion < 0) return false; // it changes this very moment
    if (this.#address[0] === 0) return this.#away(EDESTADDRREQ);
    const isStream = this.#birth.transport === "tcp";
    const fd = sys.log_connect(this.#address, isStream ? 1 : 0);
    if (fd < 0) return this.#away(-fd);
    this.#fd = fd;
    if (!isStream) return true;
    const byMs = performance.now() + CONNECT_MS;
    while (sys.log_ready(fd, WAIT_MS) === 0) {
      if (performance.now() > byMs) return this.#away(ETIMEDOUT);
    }
    const outcome = sys.log_outcome(fd);
    return outcome === 0 || this.#away(-outcome);
  }

  /** It cannot be reached. Lines stay where they are; but UDP tells only now that the one before is lost. */
  #away(errno: number): boolean {
    this.close();
    this.#health.failed(errno, this.#birth.transport === "udp" && errno === ECONNREFUSED ? 1 : 0);
    return false;
  }
}
