// One line for each connection, at its end; those of requests come printed from the reactors. Formatting
// shares a core with traffic: no object is built for a line, the date is made once a second. Lines go into a ring
// as those of reactors do, and the log Worker writes them all.
import { REASONS } from "../shared/reason.ts";
import { LogRing } from "../shared/log_ring.ts";
import { LogState } from "../shared/log_state.ts";
import { errnoName } from "../sys/errno.ts";
import { shown } from "./config/errors.ts";
import type { AccessRecord } from "./access_record.ts";
import type { AccessLogTarget } from "./config/log_place.ts";
import { counted } from "./config/units.ts";
import { FailureSampler } from "./failure_sampler.ts";
import type { Log } from "./log.ts";
import { LogTarget, LogTargetError, type Resolve } from "./log_target.ts";
import { LogThread } from "./log_thread.ts";

export interface AccessLogOptions {
  readonly to: AccessLogTarget;
  readonly format: "text" | "json";
  readonly log: Log;
}

export interface LogThreadOptions {
  /** The log Worker's entry. */
  readonly worker: URL;
  /** Path of the C library. */
  readonly library: string;
  /** Of those who put lines. */
  readonly rings: readonly SharedArrayBuffer[];
}

/** Text gathered beyond this is handed on at once: a drain may hold many thousands of records. */
const BATCH_CHARACTERS = 1 << 16;
/** Names that have been made fit to print, kept so that it is done once for each. */
const NAMES_KEPT_MAX = 4_096;
/** A failure is looked for at least so often, so that an ended log leaves nothing behind for longer. */
const WATCH_MS = 1_000;

export class AccessLog {
  readonly #log: Log;
  readonly #format: (record: AccessRecord) => string;
  readonly #sampler: FailureSampler;
  readonly #encoder = new TextEncoder();
  /** Undefined when it is off. */
  readonly #target: LogTarget | undefined;
  /** What those who put lines, and the log Worker, share. */
  readonly stateMemory = LogState.make();
  readonly #state = new LogState(this.stateMemory);
  readonly #ringMemory = LogRing.make();
  /** Of its own lines. */
  readonly ring = new LogRing(this.#ringMemory, this.#state);
  #rings: readonly LogRing[] = [];
  #thread: LogThread | undefined;
  #batch = "";
  #lines = 0;
  /** Lines that found no room in the ring, and those that were left at the end. */
  #refusedLines = 0;
  #lostBefore = 0;
  #closed = false;
  #secondMs = NaN;
  #second = "";
  readonly #names = new Map<string, string>();

  /** Opens where records go. @throws LogTargetError when a file cannot be opened */
  constructor({ to, format, log }: AccessLogOptions) {
    this.#log = log;
    this.#format = format === "json" ? (record) => this.#json(record) : (record) => this.#text(record);
    this.#sampler = new FailureSampler(log);
    this.#target = to.kind === "off" ? undefined : new LogTarget(to, this.#state);
  }

  /** Starts the log Worker. What was put before is written too. */
  start({ worker, library, rings }: LogThreadOptions): void {
    if (this.#target === undefined) return;
    const all = [...rings, this.#ringMemory];
    this.#rings = all.map((memory) => new LogRing(memory, this.#state));
    const birth = { library, state: this.stateMemory, rings: all, to: this.#target.birth };
    this.#thread = new LogThread(worker, birth, (error, tooMany) => {
      this.#state.running = false;
      const next = tooMany
        ? "the next is started in a minute; records wait, then they are lost"
        : "it is replaced";
      this.#log.error("access-log", `the log Worker died; ${next}: ${error}`);
    });
    void this.#watch();
  }

  /** Takes where a syslog's name leads to now. @throws LogTargetError */
  resolve(resolve: Resolve): void {
    this.#target?.resolve(resolve);
  }

  /** Takes one record; `flush` hands it on. */
  add(record: AccessRecord): void {
    if (this.#target === undefined) return this.#sampler.add(record);
    this.#batch += this.#format(record);
    this.#lines++;
    if (this.#batch.length >= BATCH_CHARACTERS) this.flush();
  }

  /** Hands all records since the last flush to the log Worker. */
  flush(): void {
    if (this.#lines === 0) return;
    if (!this.ring.putLines(this.#encoder.encode(this.#batch))) this.#refusedLines += this.#lines;
    this.#batch = "";
    this.#lines = 0;
    this.ring.ring();
  }

  /** Opens the file again, after it was renamed. A failure is logged, and the old file stays in use. */
  reopen(): void {
    try {
      this.#target?.reopen();
    } catch (error) {
      if (!(error instanceof LogTargetError)) throw error;
      this.#log.error("access-log", `${error.message}; the old file stays in use`);
    }
  }

  /** Lines that were lost behind the reactors: they could not be written, or found no room here. */
  get droppedLines(): number {
    return this.#refusedLines + this.#state.lostLines;
  }

  /** Of the log Worker; undefined when the log is off. */
  get writer(): { readonly alive: boolean; readonly deaths: number } | undefined {
    if (this.#target === undefined) return undefined;
    return { alive: this.#state.running, deaths: this.#thread?.deaths ?? 0 };
  }

  /** Writes what is left, for up to `deadlineMs`. */
  async close(deadlineMs: number): Promise<void> {
    this.#sampler.close();
    this.flush();
    if (this.#target === undefined || this.#closed) return;
    this.#closed = true;
    this.#state.leave();
    this.#state.wakeWatcher();
    const left = await this.#thread?.left(deadlineMs) ?? true;
    const lines = this.#rings.reduce((sum, ring) => sum + ring.linesLeft, 0);
    if (lines > 0) {
      this.#refusedLines += lines;
      this.#log.warn("access-log", `${counted(lines, "record")} could not be written before the end`, {
        lines,
      });
    }
    if (left) this.#target.close(); // else a stuck Worker has it, and the process ends
  }

  /** Says once that writing fails, and once that it works again. */
  async #watch(): Promise<void> {
    for (let known = 0; !this.#closed;) {
      await this.#state.failureChange(known, WATCH_MS);
      const failure = this.#state.failure;
      if (failure === known) continue;
      if (known === 0 || failure === 0) this.#tellFailure(failure);
      known = failure;
    }
  }

  #tellFailure(errno: number): void {
    const target = this.#target!;
    if (target.isStderr) return;
    if (errno !== 0) {
      this.#lostBefore = this.#state.lostLines;
      const fields = { errno: errnoName(errno) };
      this.#log.error("access-log", target.failureText(errno), fields);
    } else {
      this.#log.info("access-log", "records are written again", {
        lost: this.#state.lostLines - this.#lostBefore,
      });
    }
  }

  /** `2026-01-02T03:04:05.678Z CLIENT -> SERVER listener="..." up=12 down=34 ms=5.0 finished` */
  #text(record: AccessRecord): string {
    const { name, type } = REASONS[record.reason];
    let line = this.#time(record.atMs) + " " + (record.client === "" ? "-" : record.client) + " -> " +
      (record.server === "" ? "-" : this.#name(record.server)) + ' listener="' + this.#name(record.listener) +
      '" upstream="' + this.#name(record.upstream) + '" up=' + record.upBytes + " down=" + record.downBytes +
      " ms=" +
      milliseconds(record.durationMs, "-") + " tried=" + record.tried + " reason=" + name;
    if (type !== null) line += " type=" + type;
    if (record.errno !== 0) line += ' errno="' + errnoName(record.errno) + '"';
    return line + "\n";
  }

  #json(record: AccessRecord): string {
    const { name, type } = REASONS[record.reason];
    return '{"time":"' + this.#time(record.atMs) + '","client":' + textOrNull(record.client) +
      ',"listener":' +
      textOrNull(record.listener) + ',"upstream":' + textOrNull(record.upstream) + ',"server":' +
      textOrNull(record.server) + ',"up_bytes":' + record.upBytes + ',"down_bytes":' + record.downBytes +
      ',"duration_ms":' + milliseconds(record.durationMs, "null") + ',"reason":"' + name + '","type":' +
      (type === null ? "null" : '"' + type + '"') + ',"errno":' +
      (record.errno === 0 ? "null" : '"' + errnoName(record.errno) + '"') + ',"tried":' + record.tried +
      "}\n";
  }

  /** A name fit for a line: control characters escaped, quotes and backslashes too. */
  #name(name: string): string {
    let fit = this.#names.get(name);
    if (fit === undefined) {
      fit = shown(name.replace(/["\\]/g, "\\$&"), Infinity);
      if (this.#names.size >= NAMES_KEPT_MAX) this.#names.clear();
      this.#names.set(name, fit);
    }
    return fit;
  }

  /** RFC 3339 in UTC; the part up to the second is made once a second. */
  #time(atMs: number): string {
    const ms = Math.floor(atMs);
    const secondMs = ms - (ms % 1000);
    if (secondMs !== this.#secondMs) {
      this.#secondMs = secondMs;
      this.#second = new Date(secondMs).toISOString().slice(0, 20);
    }
    const rest = ms - secondMs;
    return this.#second + (rest < 10 ? "00" : rest < 100 ? "0" : "") + rest + "Z";
  }
}

function textOrNull(text: string): string {
  return text === "" ? "null" : JSON.stringify(text);
}

/** One decimal: 12.3. */
function milliseconds(ms: number, unknown: string): string {
  if (ms < 0) return unknown;
  const tenths = Math.round(ms * 10);
  return Math.floor(tenths / 10) + "." + tenths % 10;
}
