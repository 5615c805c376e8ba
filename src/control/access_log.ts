// One line for each request and each connection, at its end. They come printed from the reactors; what died
// with its reactor is printed here, into a ring of this thread's own. The log Worker writes them all.
import { LogRing } from "../shared/log_ring.ts";
import { LogState } from "../shared/log_state.ts";
import { errnoName } from "../sys/errno.ts";
import type { AccessRecord } from "./access_record.ts";
import { accessText } from "./access_text.ts";
import type { AccessLogTarget } from "./config/log_place.ts";
import { type AccessLines, accessLines, type AccessWords, type TlsTold } from "./config/log_templates.ts";
import { counted } from "./config/units.ts";
import { FailureSampler } from "./failure_sampler.ts";
import type { Log } from "./log.ts";
import { LogTarget, LogTargetError, type Resolve } from "./log_target.ts";
import { LogThread } from "./log_thread.ts";

export interface AccessLogOptions extends AccessWords {
  readonly to: AccessLogTarget;
  readonly log: Log;
  /** None if not given. */
  readonly tls?: TlsTold;
}

export interface LogThreadOptions {
  /** The log Worker's entry. */
  readonly worker: URL;
  /** Path of the C library. */
  readonly library: string;
  /** Of those who put lines. */
  readonly rings: readonly SharedArrayBuffer[];
}

/** Where records are to go, open. */
export interface PreparedTarget {
  readonly to: AccessLogTarget;
  /** Undefined: nowhere. */
  readonly target: LogTarget | undefined;
}

/** Text gathered beyond this is handed on at once: a drain may hold many thousands of records. */
const BATCH_CHARACTERS = 1 << 16;
/** A failure is looked for at least so often, so that an ended log leaves nothing behind for longer. */
const WATCH_MS = 1_000;

export class AccessLog {
  readonly #log: Log;
  #formats: AccessLines;
  readonly #sampler: FailureSampler;
  readonly #encoder = new TextEncoder();
  /** Undefined when it is off. */
  #target: LogTarget | undefined;
  #to: AccessLogTarget;
  /** What those who put lines, and the log Worker, share. */
  readonly stateMemory = LogState.make();
  readonly #state = new LogState(this.stateMemory);
  readonly #ringMemory = LogRing.make();
  /** Of its own lines. */
  readonly ring = new LogRing(this.#ringMemory, this.#state);
  #rings: readonly LogRing[] = [];
  #thread: LogThread | undefined;
  #threadOptions: LogThreadOptions | undefined;
  #deathsBefore = 0;
  #swapping = Promise.resolve();
  #resolve: Resolve = () => [];
  #batch = "";
  #lines = 0;
  /** Lines that found no room in the ring, and those that were left at the end. */
  #refusedLines = 0;
  #lostBefore = 0;
  #closed = false;

  /** Opens where records go. @throws LogTargetError when a file cannot be opened */
  constructor(options: AccessLogOptions) {
    const { to, log } = options;
    this.#log = log;
    this.#formats = accessLines(options, options.tls);
    this.#sampler = new FailureSampler(log);
    this.#to = to;
    this.#target = to.kind === "off" ? undefined : new LogTarget(to, this.#state);
  }

  /** Opens where records are to go by other options; undefined: where they go now. @throws LogTargetError */
  prepare({ to }: Pick<AccessLogOptions, "to">, resolve: Resolve): PreparedTarget | undefined {
    if (JSON.stringify(to) === JSON.stringify(this.#to)) return undefined;
    if (to.kind === "off") return { to, target: undefined };
    const target = new LogTarget(to, this.#state);
    target.check(resolve);
    return { to, target };
  }

  /** What was prepared is not wanted. */
  abandon(prepared: PreparedTarget | undefined): void {
    prepared?.target?.close();
  }

  /** Goes by other options. Records of before are written where they were to go, or dropped as they would have been; if
   * nothing can be written there now, those that come wait, as far as there is room. */
  adopt(options: Omit<AccessLogOptions, "log">, prepared: PreparedTarget | undefined): void {
    this.flush();
    this.#formats = accessLines(options, options.tls);
    if (prepared === undefined) return;
    this.#to = prepared.to;
    this.#swapping = this.#swapping.then(() => this.#swap(prepared)).catch((error) =>
      this.#log.error("access-log", `records go nowhere: ${(error as Error).message}`)
    );
  }

  /** Resolves once records that come are written where they are to go now, at the latest after `deadlineMs`. */
  async settled(deadlineMs: number): Promise<void> {
    const deadline = Promise.withResolvers<void>(), timer = setTimeout(deadline.resolve, deadlineMs);
    await Promise.race([this.#swapping, deadline.promise]);
    clearTimeout(timer);
  }

  async #swap({ target }: PreparedTarget): Promise<void> {
    const thread = this.#thread, before = this.#target;
    if (this.#closed) return target?.close();
    if (thread !== undefined) {
      this.#deathsBefore += thread.deaths;
      this.#state.leave();
      await thread.gone();
    }
    before?.close();
    this.#thread = undefined;
    this.#target = target;
    if (this.#closed) return;
    this.#state.stay();
    this.#state.failure = 0;
    this.resolve(this.#resolve);
    if (this.#threadOptions !== undefined) this.#startThread(this.#threadOptions);
  }

  /** Starts the log Worker. What was put before is written too. */
  start(options: LogThreadOptions): void {
    this.#threadOptions = options;
    this.#startThread(options);
    void this.#watch();
  }

  #startThread({ worker, library, rings }: LogThreadOptions): void {
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
  }

  /** Takes where a syslog's name leads to now. @throws LogTargetError */
  resolve(resolve: Resolve): void {
    this.#resolve = resolve;
    this.#target?.resolve(resolve);
  }

  /** Takes one record; `flush` hands it on. */
  add(record: AccessRecord): void {
    if (this.#target === undefined) return this.#sampler.add(record);
    this.#batch += accessText(this.#formats, record);
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
    return { alive: this.#state.running, deaths: this.#deathsBefore + (this.#thread?.deaths ?? 0) };
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
    const target = this.#target;
    if (target === undefined || target.isStderr) return;
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
}
