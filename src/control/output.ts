// Where lines of the control plane go: stderr or stdout. What waits to be written is bounded: when the reader is
// stuck or the disk is full, lines are dropped and counted, and nobody waits. One write is under way at
// a time, so lines never interleave; everything for one place must go through its one Output.
import { write as writeFile } from "node:fs";
import { isatty } from "node:tty";

/** Text that may wait for a slow reader; what does not fit is dropped. */
export const PENDING_BYTES_MAX = 1 << 20;
/** The log Worker writes to the same pipes: so much is never torn apart there (pipe(7)). */
const PIECE_BYTES = 4_096;
const NEWLINE = 0x0a;
/** A pipe that others made non-blocking may say "not now": tried again after this. */
const AGAIN_MS = 20;

/**
 * Writes some of `bytes` without making this thread wait.
 * @returns how many were taken; rejects with an error whose `code` names the errno (EAGAIN: not now)
 */
export type Write = (bytes: Uint8Array) => Promise<number>;

interface Part {
  readonly bytes: Uint8Array;
  readonly lines: number;
}

export interface OutputOptions {
  readonly isTerminal?: boolean;
  readonly pendingBytesMax?: number;
}

const standard = new Map<1 | 2, Output>();

export class Output {
  /** Whether a person may be looking at it, in colour. */
  readonly isTerminal: boolean;
  readonly #pendingBytesMax: number;
  readonly #encoder = new TextEncoder();
  readonly #write: Write;
  /** What waits; the first part is being written while `#busy`. */
  #parts: Part[] = [];
  #pendingBytes = 0;
  #busy = false;
  #droppedLines = 0;
  #failure: string | undefined;
  /** For the moment when nothing waits. */
  #waiters: (() => void)[] = [];

  /** The process's standard error or output: the same one at every call. */
  static standard(which: "stderr" | "stdout"): Output {
    const fd = which === "stderr" ? 2 : 1;
    const known = standard.get(fd);
    if (known !== undefined) return known;
    const output = new Output(standardWrite(fd), { isTerminal: isatty(fd) });
    standard.set(fd, output);
    return output;
  }

  constructor(write: Write, options: OutputOptions = {}) {
    this.#pendingBytesMax = options.pendingBytesMax ?? PENDING_BYTES_MAX;
    this.#write = write;
    this.isTerminal = options.isTerminal ?? false;
  }

  /** Lines dropped since the start, because too much was waiting or because a write failed. */
  get droppedLines(): number {
    return this.#droppedLines;
  }

  /** Why the last write failed (ENOSPC, EPIPE, ...); undefined while writing goes well. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Takes `lines` whole lines, each with its newline, or drops them all. */
  put(text: string, lines: number): void {
    if (text === "") return;
    const bytes = this.#encoder.encode(text);
    if (this.#pendingBytes + bytes.length > this.#pendingBytesMax) {
      this.#droppedLines += lines;
      return;
    }
    this.#parts.push({ bytes, lines });
    this.#pendingBytes += bytes.length;
    if (!this.#busy) void this.#run();
  }

  /** Resolves when everything is written, at the latest after `deadlineMs`. */
  async flush(deadlineMs: number): Promise<void> {
    if (!this.#busy) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const written = new Promise<void>((resolve) => this.#waiters.push(resolve));
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, deadlineMs));
    await Promise.race([written, late]);
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#parts.length > 0) {
      const parts = this.#parts;
      this.#parts = [];
      await this.#writeAll(parts);
    }
    this.#busy = false;
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /** Writes parts in whole lines; what a failing place does not take is dropped. */
  async #writeAll(parts: readonly Part[]): Promise<void> {
    const bytes = joined(parts);
    let done = 0;
    while (done < bytes.length) {
      try {
        done += await this.#write(bytes.subarray(done, pieceEnd(bytes, done)));
        this.#failure = undefined;
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === "EAGAIN") {
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
          continue;
        }
        this.#failure = code ?? String(error);
        this.#droppedLines += parts.reduce((sum, part) => sum + part.lines, 0);
        break;
      }
    }
    this.#pendingBytes -= bytes.length;
  }
}

/** The end of the whole lines from `from` on that a pipe takes in one piece, or of the first one if it is longer. */
function pieceEnd(bytes: Uint8Array, from: number): number {
  if (bytes.length - from <= PIECE_BYTES) return bytes.length;
  const end = bytes.lastIndexOf(NEWLINE, from + PIECE_BYTES - 1);
  if (end >= from) return end + 1;
  const next = bytes.indexOf(NEWLINE, from);
  return next < 0 ? bytes.length : next + 1;
}

function joined(parts: readonly Part[]): Uint8Array {
  if (parts.length === 1) return parts[0].bytes;
  const all = new Uint8Array(parts.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  for (const { bytes } of parts) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}

/** Writes in a thread of the runtime's pool, where waiting hurts nobody. */
function fdWrite(fd: number): Write {
  return (bytes) =>
    new Promise((resolve, reject) => {
      writeFile(
        fd,
        bytes,
        0,
        bytes.length,
        null,
        (error, written) => error ? reject(error) : resolve(written),
      );
    });
}

/** Deno's node:fs makes the caller wait for stderr and stdout; its own streams do not. */
function standardWrite(fd: 1 | 2): Write {
  if (!("Deno" in globalThis)) return fdWrite(fd);
  const stream = fd === 1 ? Deno.stdout : Deno.stderr;
  return async (bytes) => {
    try {
      return await stream.write(bytes);
    } catch (error) {
      throw Object.assign(new Error(String(error)), { code: denoCode(error) });
    }
  };
}

function denoCode(error: unknown): string {
  if (error instanceof Deno.errors.WouldBlock) return "EAGAIN";
  const { code, name } = error as { code?: string; name?: string };
  return code ?? name ?? "unknown";
}
