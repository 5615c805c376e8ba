// One line for each request and each connection, at its end. They come printed from the reactors; what died
// with its reactor is printed here. All lines of a drain are one write.
import type { AccessRecord } from "./access_record.ts";
import { accessText } from "./access_text.ts";
import type { AccessLogTarget } from "./config/log_schema.ts";
import { type AccessLines, accessLines, type AccessWords } from "./config/log_templates.ts";
import { FailureSampler } from "./failure_sampler.ts";
import type { Log } from "./log.ts";
import { Output, OutputError } from "./output.ts";

export interface AccessLogOptions extends AccessWords {
  readonly to: AccessLogTarget;
  readonly log: Log;
}

/** Text gathered beyond this is handed on at once: a drain may hold many thousands of records. */
const BATCH_CHARACTERS = 1 << 16;

export class AccessLog {
  readonly #log: Log;
  /** Undefined when it is off. */
  readonly #output: Output | undefined;
  readonly #formats: AccessLines;
  readonly #sampler: FailureSampler;
  #batch = "";
  #lines = 0;
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
  constructor(options: AccessWords & { readonly log: Log }, output: Output | undefined) {
    this.#log = options.log;
    this.#output = output;
    this.#formats = accessLines(options);
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
    this.#batch += accessText(this.#formats, record);
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
}
