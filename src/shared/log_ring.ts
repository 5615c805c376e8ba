// Records from a reactor to the control plane, of fixed size, and lines of the access log, ready to be
// written: one writer, one reader, no lock. The reader sleeps in Atomics.waitAsync on the doorbell; the writer rings once a turn, and only if it wrote.
// When the ring is full the record is dropped and the writer counts it: traffic never waits for a log.
import { assert } from "../base/assert.ts";
import { LOG_LINES_BYTES, LOG_RECORDS, PEER_BYTES } from "../base/limits.ts";

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
  LinesHead, // bytes of lines written, modulo 2^32
  LinesTail, // bytes of lines read
  Length = 16,
}

/** Lines are copied in words of four bytes, the last one whole. */
const WORD_BYTES = 4;
const LINES_AT = Word.Length * 4 + LOG_RECORDS * RECORD_BYTES;

export class LogRing {
  readonly words: Int32Array;
  readonly #numbers: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #lines: Uint8Array;
  readonly #lineWords: DataView;
  #rung = 0;
  #linesRung = 0;

  static make(): SharedArrayBuffer {
    return new SharedArrayBuffer(LINES_AT + LOG_LINES_BYTES);
  }

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory, 0, Word.Length);
    this.#numbers = new Float64Array(memory, Word.Length * 4);
    this.#bytes = new Uint8Array(memory, Word.Length * 4);
    this.#lines = new Uint8Array(memory, LINES_AT, LOG_LINES_BYTES);
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
    const head = this.words[Word.LinesHead], length = end - from;
    const used = (head - Atomics.load(this.words, Word.LinesTail)) | 0;
    if (used + length + WORD_BYTES > LOG_LINES_BYTES) return false;
    const at = head & (LOG_LINES_BYTES - 1);
    if (at + length + WORD_BYTES <= LOG_LINES_BYTES) {
      for (let byte = 0; byte < length; byte += WORD_BYTES) {
        this.#lineWords.setInt32(at + byte, words.getInt32(from + byte, true), true);
      }
    } else {
      for (let byte = 0; byte < length; byte++) {
        this.#lines[(at + byte) & (LOG_LINES_BYTES - 1)] = source[from + byte];
      }
    }
    Atomics.store(this.words, Word.LinesHead, (head + length) | 0);
    return true;
  }

  /** Reads every whole line there is, in one or two pieces; a piece is valid during the call only. Returns how
   * many bytes they were. */
  drainLines(take: (bytes: Uint8Array) => void): number {
    const head = Atomics.load(this.words, Word.LinesHead), tail = this.words[Word.LinesTail];
    const length = (head - tail) | 0;
    if (length === 0) return 0;
    const from = tail & (LOG_LINES_BYTES - 1);
    const first = Math.min(length, LOG_LINES_BYTES - from);
    take(this.#lines.subarray(from, from + first));
    if (length > first) take(this.#lines.subarray(0, length - first));
    Atomics.store(this.words, Word.LinesTail, head);
    return length;
  }

  /** Rings the bell if anything was pushed since the last ring. Once a turn. */
  ring(): void {
    const head = this.words[Word.Head], lines = this.words[Word.LinesHead];
    if (head === this.#rung && lines === this.#linesRung) return;
    this.#rung = head;
    this.#linesRung = lines;
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

  /** Resolves when the bell rings, or at once when there is something to read. */
  async bell(timeoutMs: number): Promise<void> {
    if (Atomics.load(this.words, Word.Head) !== this.words[Word.Tail]) return;
    if (Atomics.load(this.words, Word.LinesHead) !== this.words[Word.LinesTail]) return;
    const waiting = Atomics.waitAsync(this.words, Word.Bell, 0, timeoutMs);
    if (waiting.async) await waiting.value;
  }
}
