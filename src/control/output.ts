// Where lines go: stderr, stdout, or a file. What waits to be written is bounded: when the reader is
// stuck or the disk is full, lines are dropped and counted, and nobody waits. One write is under way at
// a time, so lines never interleave; everything for one place must go through its one Output.
import { closeSync, openSync, write as writeFile } from "node:fs";
import { isatty } from "node:tty";

/** Text that may wait for a slow reader; what does not fit is dropped. */
export const PENDING_BYTES_MAX = 1 << 20;
/** The same for a file: disks stall for moments, and a burst of records must survive that. */
export const FILE_PENDING_BYTES_MAX = 4 << 20;
/** A pipe that others made non-blocking may say "not now": tried again after this. */
const AGAIN_MS = 20;

/**
 * Writes some of `bytes` without making this thread wait.
 * @returns how many were taken; rejects with an error whose `code` names the errno (EAGAIN: not now)
 */
export type Write = (bytes: Uint8Array) => Promise<number>;

/** A place that could not be opened; the message says why and what to do. */
export class OutputError extends Error {
  override name = "OutputError";
}

const NEWLINE = 0x0a;

interface Part {
  readonly bytes: Uint8Array;
  /** -1: they are counted only if they are dropped. */
  readonly lines: number;
}

export interface OutputOptions {
  readonly isTerminal?: boolean;
  /** Of the file, for `reopen`. */
  readonly path?: string;
  readonly pendingBytesMax?: number;
}

const standard = new Map<1 | 2, Output>();

export class Output {
  /** Whether a person may be looking at it, in colour. */
  readonly isTerminal: boolean;
  readonly #path: string | undefined;
  readonly #pendingBytesMax: number;
  readonly #encoder = new TextEncoder();
  #write: Write;
  #fd = -1;
  /** What waits; the first part is being written while `#busy`. */
  #parts: Part[] = [];
  #pendingBytes = 0;
  #busy = false;
  #droppedLines = 0;
  #failure: string | undefined;
  /** For the moment between two writes; for the moment when nothing waits. */
  #between: (() => void)[] = [];
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

  /** Appends to a file; one that is not there is made with mode 0640. @throws OutputError */
  static file(path: string): Output {
    const fd = openAppending(path);
    const output = new Output(fdWrite(fd), { path, pendingBytesMax: FILE_PENDING_BYTES_MAX });
    output.#fd = fd;
    return output;
  }

  constructor(write: Write, options: OutputOptions = {}) {
    this.#pendingBytesMax = options.pendingBytesMax ?? PENDING_BYTES_MAX;
    this.#write = write;
    this.isTerminal = options.isTerminal ?? false;
    this.#path = options.path;
  }

  /** Lines dropped since the start, because too much was waiting or because a write failed. */
  get droppedLines(): number {
    return this.#droppedLines;
  }

  /** Why the last write failed (ENOSPC, EPIPE, ...); undefined while writing goes well. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Takes `lines` whole lines, each with its newline, to be written in one piece; or drops them all. */
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

  /** Takes whole lines, each with its newline; they are copied. */
  putBytes(lines: Uint8Array): void {
    if (this.#pendingBytes + lines.length > this.#pendingBytesMax) {
      for (const byte of lines) if (byte === NEWLINE) this.#droppedLines++;
      return;
    }
    const bytes = lines.slice();
    this.#parts.push({ bytes, lines: -1 });
    this.#pendingBytes += bytes.length;
    if (!this.#busy) void this.#run();
  }

  /** Opens the file's path again, for those who have renamed it. What waits goes to the new file; when
   * it cannot be opened, the old one stays in use. Nothing to do for stderr and stdout.
   * @throws OutputError */
  reopen(): void {
    if (this.#path === undefined) return;
    const fd = openAppending(this.#path);
    const old = this.#fd;
    this.#fd = fd;
    this.#write = fdWrite(fd);
    this.#whenFree(() => closeSync(old));
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

  /** Runs `then` when no write is under way: between two writes, or now. */
  #whenFree(then: () => void): void {
    if (!this.#busy) return then();
    this.#between.push(then);
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#parts.length > 0) {
      const parts = this.#parts;
      this.#parts = [];
      await this.#writeAll(parts);
      for (const then of this.#between.splice(0)) then();
    }
    this.#busy = false;
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /** Writes parts as one piece; what a failing place does not take is dropped. */
  async #writeAll(parts: readonly Part[]): Promise<void> {
    const bytes = joined(parts), write = this.#write; // a line that was begun ends in the same file
    let done = 0;
    while (done < bytes.length) {
      try {
        done += await write(bytes.subarray(done));
        this.#failure = undefined;
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === "EAGAIN") {
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
          continue;
        }
        this.#failure = code ?? String(error);
        this.#droppedLines += parts.reduce((sum, part) => sum + linesOf(part), 0);
        break;
      }
    }
    this.#pendingBytes -= bytes.length;
  }
}

function linesOf({ bytes, lines }: Part): number {
  return lines >= 0 ? lines : bytes.reduce((sum, byte) => sum + (byte === NEWLINE ? 1 : 0), 0);
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

function openAppending(path: string): number {
  try {
    return openSync(path, "a", 0o640);
  } catch (error) {
    const { code } = error as { code?: string };
    throw new OutputError(`cannot open ${path}: ${openProblem(code ?? String(error))}`);
  }
}

function openProblem(code: string): string {
  switch (code) {
    case "ENOENT":
      return "its directory does not exist; create it first";
    case "EACCES":
    case "EPERM":
      return "permission denied; choose a file that this user may write";
    case "EISDIR":
      return "it is a directory; write the path of a file";
    case "EROFS":
      return "the file system is read-only; choose another place";
    default:
      return code;
  }
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
