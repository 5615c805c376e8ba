// Records from a reactor to the control plane, of fixed size, and lines of the access log, ready to be
// written, to the log Worker: one writer, one reader each, no lock. The control plane sleeps in
// Atomics.waitAsync on the ring's own bell, the log Worker on the one it has for all rings (log_state.ts); the
// writer rings once a turn, and only if it wrote. When there is no room, what is new is dropped and the writer
// counts it: traffic never waits for a log.
import { assert } from "../base/assert.ts";
import { LOG_LINES_BYTES, LOG_LINES_NEAR_BYTES, LOG_RECORDS, PEER_BYTES } from "../base/limits.ts";
import { LogState } from "./log_state.ts";

/** What a record tells. The fields that each kind uses are named at its writer. */
export const enum RecordKind {
  /** A plain connection ended. */
  Access = 1,
  /** A health check passed or failed. */
  Probe,
  /** Accepting paused, or goes on. */
  AcceptPaused,
  AcceptResumed,
  /** A bug was contained to one connection. */
  Bug,
  /** A request was answered, or ended without. */
  Request,
  /** A question waits (shared/asks.ts); Detail is its row. */
  Ask,
}

/** The numbers of a record, in doubles. */
export const enum Field {
  Kind,
  AtMs, // the reactor's monotonic clock
  Listener,
  Upstream,
  Server,
  Reason,
  Errno,
  UpBytes,
  DownBytes,
  DurationMs,
  Tried,
  Detail,
  Heard, // a check: a Heard, plus HEARD_UNIT times its number
  Length,
}

/** What a check that did not pass has heard of an answer. */
export const enum Heard {
  /** Nothing, or nothing that is worth telling. */
  Nothing,
  /** The end of the stream, before any byte. */
  End,
  /** A part of an HTTP head. */
  HeadPart,
  /** More of an HTTP head than a check reads. */
  HeadTooLong,
  /** No valid HTTP. Its number: the Refusal. */
  Refused,
  /** A status that is not expected. Its number: the status. */
  Status,
  /** An answer without what it should hold, so far or to its end. Its number: the status, 0 without HTTP. */
  Without,
  /** The same of an answer that is longer than what a check reads. */
  WithoutLong,
  /** An answer on which the expression took too many steps. Its number: as above. */
  Steps,
}

/** More than there are kinds; with any status it fits into 16 bits. */
export const HEARD_UNIT = 16;

const RECORD_BYTES = 128;
const RECORD_DOUBLES = RECORD_BYTES / 8;
const PEER_AT = Field.Length * 8; // 24 bytes of peer address behind the numbers
assert(PEER_AT + PEER_BYTES <= RECORD_BYTES, "log ring: a record must hold its numbers and a peer");

/** Indices of the ring's own words. */
const enum Word {
  Head, // records written, modulo 2^32
  Tail, // records read
  Bell, // raised when there is something to read
  LinesHead, // position behind the last line written, modulo 2^32
  LinesTail, // position of what is to be read next
  GapAt, // at this position nothing is: go on at GapEnd; equal when there is no gap
  GapEnd,
  Length = 16,
}

/** Lines are copied in words of four bytes, the last one whole. */
const WORD_BYTES = 4;
const LINES_MASK = LOG_LINES_BYTES - 1;
const NEWLINE = 0x0a;
const LINES_AT = Word.Length * 4 + LOG_RECORDS * RECORD_BYTES;

export class LogRing {
  readonly words: Int32Array;
  readonly #numbers: Float64Array;
  readonly #bytes: Uint8Array;
  /** The lines' memory: a line begins at its position modulo LOG_LINES_BYTES, and may go on at 0. */
  readonly lines: Uint8Array;
  readonly #lineWords: DataView;
  readonly #state: LogState;
  #rung = 0;
  #linesRung = 0;
  /** Where the next line goes: set by #hasRoom. */
  #head = 0;

  static make(): SharedArrayBuffer {
    return new SharedArrayBuffer(LINES_AT + LOG_LINES_BYTES);
  }

  /** @param state of the log Worker; without one nobody is woken for lines */
  constructor(memory: SharedArrayBuffer, state: LogState = new LogState(LogState.make())) {
    this.#state = state;
    this.words = new Int32Array(memory, 0, Word.Length);
    this.#numbers = new Float64Array(memory, Word.Length * 4);
    this.#bytes = new Uint8Array(memory, Word.Length * 4);
    this.lines = new Uint8Array(memory, LINES_AT, LOG_LINES_BYTES);
    this.#lineWords = new DataView(memory, LINES_AT, LOG_LINES_BYTES);
    this.#rung = this.words[Word.Head];
    this.#linesRung = this.words[Word.LinesHead];
  }

  /** Index of the first number of the next record's row, or -1 when the ring is full. The writer
   * fills `numbers` from there (and `setPeer`), then calls `push`. */
  room(): number {
    const head = this.words[Word.Head];
    if (((head - Atomics.load(this.words, Word.Tail)) | 0) >= LOG_RECORDS) return -1;
    return (head & (LOG_RECORDS - 1)) * RECORD_DOUBLES;
  }

  /** `room`, with the row's numbers zeroed and the two that every record has written. */
  begin(kind: RecordKind, atMs: number): number {
    const row = this.room();
    if (row < 0) return row;
    for (let field = 0; field < Field.Length; field++) this.#numbers[row + field] = 0;
    this.#numbers[row + Field.Kind] = kind;
    this.#numbers[row + Field.AtMs] = atMs;
    return row;
  }

  get numbers(): Float64Array {
    return this.#numbers;
  }

  /** Copies a peer record from `source[from..]` into the row that `room` gave. */
  setPeer(row: number, source: Uint8Array, from: number): void {
    const at = row * 8 + PEER_AT;
    for (let byte = 0; byte < PEER_BYTES; byte++) this.#bytes[at + byte] = source[from + byte];
  }

  /** Publishes the row. */
  push(): void {
    Atomics.store(this.words, Word.Head, (this.words[Word.Head] + 1) | 0);
  }

  /** Takes a whole line, `source[from, end)`; false when there is no room. `words` is the same memory as
   * `source`, and goes on for three bytes behind the line. */
  putLine(source: Uint8Array, words: DataView, from: number, end: number): boolean {
    const length = end - from;
    if (!this.#hasRoom(length)) return false;
    const head = this.#head, at = head & LINES_MASK;
    if (at + length + WORD_BYTES <= LOG_LINES_BYTES) {
      for (let byte = 0; byte < length; byte += WORD_BYTES) {
        this.#lineWords.setInt32(at + byte, words.getInt32(from + byte, true), true);
      }
    } else {
      for (let byte = 0; byte < length; byte++) {
        this.lines[(at + byte) & LINES_MASK] = source[from + byte];
      }
    }
    Atomics.store(this.words, Word.LinesHead, (head + length) | 0);
    return true;
  }

  /** The same for any number of whole lines, from memory that has nothing behind them: all or none. */
  putLines(source: Uint8Array): boolean {
    if (!this.#hasRoom(source.length)) return false;
    const head = this.#head, at = head & LINES_MASK;
    const first = Math.min(source.length, LOG_LINES_BYTES - at);
    this.lines.set(source.subarray(0, first), at);
    this.lines.set(source.subarray(first), 0);
    Atomics.store(this.words, Word.LinesHead, (head + source.length) | 0);
    return true;
  }

  /** Whether `length` bytes have room at #head, which is chosen here: when all lines have been read, the ring
   * begins anew, so that a reader that keeps up costs little memory. */
  #hasRoom(length: number): boolean {
    const words = this.words, head = words[Word.LinesHead], tail = Atomics.load(words, Word.LinesTail);
    this.#head = head;
    let used = (head - tail) | 0;
    if (used === 0) {
      if ((head & LINES_MASK) < LOG_LINES_NEAR_BYTES) return length + WORD_BYTES <= LOG_LINES_BYTES;
      this.#head = (head + LOG_LINES_BYTES - (head & LINES_MASK)) | 0;
      words[Word.GapEnd] = this.#head; // the reader looks at them only once LinesHead has moved
      words[Word.GapAt] = head;
      return length + WORD_BYTES <= LOG_LINES_BYTES;
    }
    if (words[Word.GapAt] === tail) used = (head - words[Word.GapEnd]) | 0;
    return used + length + WORD_BYTES <= LOG_LINES_BYTES;
  }

  /** Whether there are lines to be read. */
  get hasLines(): boolean {
    return Atomics.load(this.words, Word.LinesHead) !== this.words[Word.LinesTail];
  }

  /** Where the lines end that are there now. */
  get linesEnd(): number {
    return Atomics.load(this.words, Word.LinesHead);
  }

  /** Where the next line begins, or what is left of the one that was read in part. Of use only while there
   * are lines: it skips what the writer has skipped. */
  get linesFrom(): number {
    const from = this.#from;
    if (from === this.words[Word.LinesTail]) return from;
    // In this order: with the tail moved first, the gap is none by then, and a writer in between sees that.
    Atomics.store(this.words, Word.LinesTail, from);
    this.words[Word.GapAt] = from; // no gap; the writer makes the next one when all is read
    return from;
  }

  get #from(): number {
    const tail = Atomics.load(this.words, Word.LinesTail);
    return this.words[Word.GapAt] === tail ? this.words[Word.GapEnd] : tail;
  }

  /** Everything before this position has been read. */
  readTo(position: number): void {
    Atomics.store(this.words, Word.LinesTail, position);
  }

  /** The end of the whole lines in [from, end) that are at most `most` bytes; if the first one is longer, its
   * own end. */
  endOfLines(from: number, end: number, most: number): number {
    const length = (end - from) | 0;
    if (length <= most) return end;
    for (let back = most; back > 0; back--) {
      if (this.lines[(from + back - 1) & LINES_MASK] === NEWLINE) return (from + back) | 0;
    }
    return this.endOfLine((from + most) | 0, end);
  }

  /** The position behind the next newline in [from, end). */
  endOfLine(from: number, end: number): number {
    let at = from;
    while (at !== end) {
      const byte = this.lines[at & LINES_MASK];
      at = (at + 1) | 0;
      if (byte === NEWLINE) break;
    }
    return at;
  }

  /** How many lines end in [from, end). */
  countLines(from: number, end: number): number {
    let count = 0;
    for (let at = from; at !== end; at = (at + 1) | 0) {
      if (this.lines[at & LINES_MASK] === NEWLINE) count++;
    }
    return count;
  }

  /** How many lines there are, for who is not the reader. */
  get linesLeft(): number {
    return this.hasLines ? this.countLines(this.#from, this.linesEnd) : 0;
  }

  /** Reads every whole line there is, in one or two pieces; a piece is valid during the call only. Returns how
   * many bytes they were. */
  drainLines(take: (bytes: Uint8Array) => void): number {
    if (!this.hasLines) return 0;
    const tail = this.linesFrom, head = this.linesEnd, length = (head - tail) | 0;
    const from = tail & LINES_MASK;
    const first = Math.min(length, LOG_LINES_BYTES - from);
    take(this.lines.subarray(from, from + first));
    if (length > first) take(this.lines.subarray(0, length - first));
    this.readTo(head);
    return length;
  }

  /** Rings for what was pushed since the last ring. Once a turn. */
  ring(): void {
    const head = this.words[Word.Head], lines = this.words[Word.LinesHead];
    if (lines !== this.#linesRung) {
      this.#linesRung = lines;
      this.#state.wake();
    }
    if (head === this.#rung) return;
    this.#rung = head;
    Atomics.store(this.words, Word.Bell, 1);
    Atomics.notify(this.words, Word.Bell);
  }

  /** Reads every record there is. `peer` is 24 bytes, valid during the call only. */
  drain(take: (numbers: Float64Array, peer: Uint8Array) => void): void {
    Atomics.store(this.words, Word.Bell, 0);
    const head = Atomics.load(this.words, Word.Head);
    let tail = this.words[Word.Tail];
    for (; tail !== head; tail = (tail + 1) | 0) {
      const row = (tail & (LOG_RECORDS - 1)) * RECORD_DOUBLES;
      const peerAt = row * 8 + PEER_AT;
      take(
        this.#numbers.subarray(row, row + Field.Length),
        this.#bytes.subarray(peerAt, peerAt + PEER_BYTES),
      );
      Atomics.store(this.words, Word.Tail, (tail + 1) | 0);
    }
  }

  /** Resolves when the bell rings, or at once when there is a record to read. */
  async bell(timeoutMs: number): Promise<void> {
    if (Atomics.load(this.words, Word.Head) !== this.words[Word.Tail]) return;
    const waiting = Atomics.waitAsync(this.words, Word.Bell, 0, timeoutMs);
    if (waiting.async) await waiting.value;
  }
}
