// One line for each connection, at its end; those of requests come printed from the reactors. Formatting
// shares a core with traffic: no object is built for a line, the date is made once a second, and all lines
// of a drain are one write.
import { REASONS } from "../shared/reason.ts";
import { errnoName } from "../sys/errno.ts";
import { shown } from "./config/errors.ts";
import type { AccessRecord } from "./access_record.ts";
import type { AccessLogTarget } from "./config/log_schema.ts";
import { FailureSampler } from "./failure_sampler.ts";
import type { Log } from "./log.ts";
import { Output, OutputError } from "./output.ts";

export interface AccessLogOptions {
  readonly to: AccessLogTarget;
  readonly format: "text" | "json";
  readonly log: Log;
}

/** Text gathered beyond this is handed on at once: a drain may hold many thousands of records. */
const BATCH_CHARACTERS = 1 << 16;
/** Names that have been made fit to print, kept so that it is done once for each. */
const NAMES_KEPT_MAX = 4_096;

export class AccessLog {
  readonly #log: Log;
  /** Undefined when it is off. */
  readonly #output: Output | undefined;
  readonly #format: (record: AccessRecord) => string;
  readonly #sampler: FailureSampler;
  #batch = "";
  #lines = 0;
  #secondMs = NaN;
  #second = "";
  readonly #names = new Map<string, string>();
  #toldFailure: string | undefined;

  /** Opens where records go. @throws OutputError when a file cannot be opened */
  static open(options: AccessLogOptions): AccessLog {
    const { to } = options;
    switch (to.kind) {
      case "off":
        return new AccessLog(options, undefined);
      case "stderr":
        return new AccessLog(options, Output.standard("stderr"));
      case "stdout":
        return new AccessLog(options, Output.standard("stdout"));
      case "file":
        return new AccessLog(options, Output.file(to.path));
    }
  }

  /** @param output where lines go; undefined: only failures are told, as samples, by the log */
  constructor(options: Pick<AccessLogOptions, "format" | "log">, output: Output | undefined) {
    this.#log = options.log;
    this.#output = output;
    this.#format = options.format === "json"
      ? (record) => this.#json(record)
      : (record) => this.#text(record);
    this.#sampler = new FailureSampler(options.log);
  }

  /** Takes whole lines that a reactor has printed. */
  addLines(lines: Uint8Array): void {
    this.flush(); // what ended before comes first
    this.#output?.putBytes(lines);
  }

  /** Takes one record; `flush` writes it. */
  add(record: AccessRecord): void {
    if (this.#output === undefined) return this.#sampler.add(record);
    this.#batch += this.#format(record);
    this.#lines++;
    if (this.#batch.length >= BATCH_CHARACTERS) this.flush();
  }

  /** One write for all records since the last flush. */
  flush(): void {
    if (this.#output === undefined) return;
    const lines = this.#lines;
    if (lines > 0) this.#output.put(this.#batch, lines);
    this.#batch = "";
    this.#lines = 0;
    this.#tellFailure(this.#output.failure);
  }

  /** Opens the file again, after it was renamed. A failure is logged, and the old file stays in use. */
  reopen(): void {
    try {
      this.flush();
      this.#output?.reopen();
    } catch (error) {
      if (!(error instanceof OutputError)) throw error;
      this.#log.error("access-log", `${error.message}; the old file stays in use`);
    }
  }

  /** Records that were dropped because the output was stuck or failed. */
  get droppedLines(): number {
    return this.#output === undefined || this.#output === this.#log.output ? 0 : this.#output.droppedLines;
  }

  /** Writes what is left, for up to `deadlineMs`. */
  async close(deadlineMs: number): Promise<void> {
    this.#sampler.close();
    this.flush();
    await this.#output?.flush(deadlineMs);
  }

  /** Says once that writing fails, and once that it works again. */
  #tellFailure(failure: string | undefined): void {
    if (failure === this.#toldFailure) return;
    this.#toldFailure = failure;
    if (this.#output === this.#log.output) return;
    if (failure === undefined) this.#log.info("access-log", "records are written again");
    else {this.#log.error("access-log", `cannot write: ${failure}; records are lost until it works again`, {
        errno: failure,
      });}
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
