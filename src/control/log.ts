// The log of Sluice itself: one line for each thing that a person running it may want to know. The
// library behind it is known to this file alone. Lines are plain sentences; as JSON they carry the
// facts once more as fields. Nothing from outside reaches a terminal unescaped.
import { configureSync, getLogger, type LogLevel, type LogRecord, resetSync } from "@logtape/logtape";
import { shown } from "./config/errors.ts";
import { Output } from "./output.ts";

/** The least severe first. */
export const LEVELS = ["debug", "info", "warn", "error"] as const;
export type Level = typeof LEVELS[number];
export type Fields = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

export interface LogOptions {
  /** The least severe lines that are written. */
  readonly level: Level;
  readonly format: "text" | "json";
  /** Standard error if not given. */
  readonly output?: Output;
  /** Colour for the level; if not given, where a terminal is and NO_COLOR is not. */
  readonly colour?: boolean;
}

/** The part of the process that a line is about: `health`, `accept`, `reactor`, `admin`, ... */
export type Topic = string;

/** A level that an operator has set, and the configured one in whose place it is. */
export interface LevelOverride {
  readonly level: Level;
  readonly replaced: Level;
}

/** A log. One process has one: opening another takes the library from the one before. */
export class Log {
  readonly output: Output;
  readonly #root = ["sluice"];
  #configured: Level;
  #set: Level | undefined;

  static open(options: LogOptions): Log {
    const log = new Log(options.output ?? Output.standard("stderr"), options.level);
    log.form(options);
    return log;
  }

  /** Writes lines of this form from here on. */
  form(options: Pick<LogOptions, "format" | "colour">): void {
    const colour = options.colour ?? (this.output.isTerminal && (process.env.NO_COLOR ?? "") === "");
    const line = options.format === "json" ? jsonLine : (record: LogRecord) => textLine(record, colour);
    configureSync({
      reset: true,
      sinks: { output: (record) => this.output.put(line(record), 1) },
      loggers: [
        { category: "sluice", lowestLevel: "debug", sinks: ["output"] }, // `write` knows the level
        { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["output"] },
      ],
    });
  }

  constructor(output: Output, level: Level) {
    this.output = output;
    this.#configured = level;
  }

  /** The least severe lines that are written now. */
  get level(): Level {
    return this.#set ?? this.#configured;
  }

  /** What the configuration says of it. */
  get configuredLevel(): Level {
    return this.#configured;
  }

  /** What an operator says of it; undefined: nothing. */
  get override(): LevelOverride | undefined {
    return this.#set === undefined ? undefined : { level: this.#set, replaced: this.#configured };
  }

  /** An operator wants another level, or again the configured one (undefined). */
  set(level: Level | undefined): void {
    this.#set = level;
  }

  /** A configuration is in force. What an operator has set stays, unless it is this very value that is another now:
   * then that is told. */
  configured(level: Level): void {
    const before = this.#configured, set = this.#set;
    this.#configured = level;
    if (set === undefined || level === before) return;
    this.#set = undefined;
    this.audit("log", `the level is ${level}, as configured now: ${set}, set at run time, has ended`, {
      level,
      ended: set,
    });
  }

  /** Takes over what an operator had set in a process before this one: it holds where the configured level is still
   * the one that it replaced. */
  restore({ level, replaced }: LevelOverride): void {
    if (replaced === this.#configured) this.#set = level;
  }

  debug(topic: Topic, message: string, fields: Fields = {}): void {
    this.write("debug", topic, message, fields);
  }

  info(topic: Topic, message: string, fields: Fields = {}): void {
    this.write("info", topic, message, fields);
  }

  warn(topic: Topic, message: string, fields: Fields = {}): void {
    this.write("warn", topic, message, fields);
  }

  error(topic: Topic, message: string, fields: Fields = {}): void {
    this.write("error", topic, message, fields);
  }

  /** What an operator has changed: information that is written whatever the level. */
  audit(topic: Topic, message: string, fields: Fields = {}): void {
    this.#put("info", topic, message, fields, Date.now());
  }

  /** @param atMs wall clock of what the line tells of; now if not given */
  write(level: Level, topic: Topic, message: string, fields: Fields, atMs: number = Date.now()): void {
    if (LEVELS.indexOf(level) >= LEVELS.indexOf(this.level)) this.#put(level, topic, message, fields, atMs);
  }

  #put(level: Level, topic: Topic, message: string, fields: Fields, atMs: number): void {
    getLogger([...this.#root, topic]).emit({
      level: LIBRARY_LEVEL[level],
      message: [message],
      rawMessage: message,
      timestamp: atMs,
      properties: fields,
    });
  }

  /** Lines that were dropped because the output was stuck. */
  get droppedLines(): number {
    return this.output.droppedLines;
  }

  /** Gives what is still to be written up to `deadlineMs`, and the library back. */
  async close(deadlineMs: number): Promise<void> {
    await this.output.flush(deadlineMs);
    resetSync();
  }
}

const LIBRARY_LEVEL: Readonly<Record<Level, LogLevel>> = {
  debug: "debug",
  info: "info",
  warn: "warning",
  error: "error",
};

const OUR_LEVEL: Readonly<Record<LogLevel, Level>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  fatal: "error",
};

/** SGR codes: dim, none, yellow, red. */
const COLOUR: Readonly<Record<Level, string>> = { debug: "2", info: "", warn: "33", error: "31" };

/** Characters of one line; stack traces are the longest. */
const LINE_CHARACTERS_MAX = 8_192;

/** `2026-01-02T03:04:05.678Z info  health: message` */
function textLine(record: LogRecord, colour: boolean): string {
  const level = OUR_LEVEL[record.level];
  const code = colour ? COLOUR[level] : "";
  const word = code === "" ? level.padEnd(5) : `\x1b[${code}m${level.padEnd(5)}\x1b[0m`;
  const message = shown(record.message.join(""), LINE_CHARACTERS_MAX);
  return `${new Date(record.timestamp).toISOString()} ${word} ${topicOf(record)}: ${message}\n`;
}

/** `time`, `level`, `topic` and `message`, then the fields; a field cannot take one of those names. */
function jsonLine(record: LogRecord): string {
  const own = {
    time: new Date(record.timestamp).toISOString(),
    level: OUR_LEVEL[record.level],
    topic: topicOf(record),
    message: record.message.join(""),
  };
  return JSON.stringify({ ...own, ...record.properties, ...own }) + "\n";
}

function topicOf(record: LogRecord): Topic {
  return record.category.slice(1).join(".");
}
