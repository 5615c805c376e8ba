// Chunked bodies (RFC 9112 section 7.1), put in order where they lie: what comes out is canonical framing
// (no extensions, no fields among the trailers that a recipient might take for the head's), or none at
// all. Sizes and fields are not decoded before their line is complete, so no state is finer than a line.
// Invariant: from <= wrote <= read <= end, and what was written depends on no border between two calls.
import { assert } from "../base/assert.ts";
import { CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX } from "../base/limits.ts";
import { Name } from "./head.ts";
import { nameOf } from "./names.ts";
import { ascii, hexValue, Octet, OCTETS, Of, sameText } from "./octet.ts";
import { Refusal } from "./refusal.ts";

/** Where in a chunked body its reader is. */
export const enum ChunkPhase {
  /** Before a size line. */
  Size,
  /** Within data: `left` bytes of it are to come. */
  Data,
  /** Before the CRLF behind data. */
  DataEnd,
  /** Before a line of the trailer section, of which `left` bytes have gone by. */
  Trailer,
  Done,
}

/** What is kept between two calls, and what a call found. Zeros begin a body. */
export interface Chunks {
  phase: ChunkPhase;
  /** See ChunkPhase. Below 2^53. */
  left: number;
  /** Bytes behind `read` that are known not to end the line they begin: offered again, not looked at
   * again, so that a sender that drips costs O(n). */
  scanned: number;

  /** Results. How far the input was consumed; what lies behind is to be offered again, with more bytes, or
   * belongs to the next message when `done`. */
  read: number;
  /** The end of what is to be forwarded; it begins where the input did. */
  wrote: number;
  /** Bytes of data among what was read. */
  data: number;
  done: boolean;
}

export function makeChunks(): Chunks {
  return { phase: ChunkPhase.Size, left: 0, scanned: 0, read: 0, wrote: 0, data: 0, done: false };
}

/** 52 bits: a number that a double holds. */
const SIZE_DIGITS_MAX = 13;

/** The line that was read last: its end (behind its LF), a chunk's size or the length of a trailer's name (0:
 * the last chunk, the empty line), and where those digits or that name end. */
let lineEnd = 0;
let size = 0;
let wordEnd = 0;

/**
 * Reads `bytes[from, end)` and rewrites it in place to what is to be forwarded. `keep`: chunk framing stays
 * as it is, less extensions (RFC 9112 section 7.1.1) and trailer fields that must not be merged (RFC 9110
 * section 6.5.1); otherwise all framing and all trailers go, for a sink that does not know them.
 *
 * @returns 0, with results in `chunks`; or the negative of a Refusal: nothing of this call is to be sent.
 */
export function feedChunks(
  bytes: Uint8Array,
  from: number,
  end: number,
  chunks: Chunks,
  keep: boolean,
): number {
  assert(chunks.phase !== ChunkPhase.Done, "chunks: fed behind its end");
  let at = from, to = from;
  chunks.done = false;
  chunks.data = 0;
  while (!chunks.done) {
    if (chunks.phase === ChunkPhase.Data) {
      const count = Math.min(chunks.left, end - at);
      if (to !== at) bytes.copyWithin(to, at, at + count);
      at += count;
      to += count;
      chunks.left -= count;
      chunks.data += count;
      if (chunks.left > 0) break;
      chunks.phase = ChunkPhase.DataEnd;
    }
    const line = at;
    const found = nextLine(bytes, at, end, chunks);
    if (found < 0) return found;
    if (found === 0) break;
    at = lineEnd;
    if (keep) to = keepLine(bytes, to, line, chunks.phase);
    chunks.done = advance(line, chunks);
  }
  chunks.read = at;
  chunks.wrote = to;
  return 0;
}

/** Reads the line at `at`: > 0; 0: it is not complete. */
function nextLine(bytes: Uint8Array, at: number, end: number, chunks: Chunks): number {
  switch (chunks.phase) {
    case ChunkPhase.DataEnd:
      if (at < end && bytes[at] !== Octet.Cr) return -Refusal.BadChunkEnd;
      if (at + 1 < end && bytes[at + 1] !== Octet.Lf) return -Refusal.BadChunkEnd;
      lineEnd = at + 2;
      return at + 1 < end ? 1 : 0;
    case ChunkPhase.Size: {
      const found = findLine(bytes, at, end, chunks, CHUNK_LINE_BYTES_MAX);
      if (found <= 0) return found < 0 ? -Refusal.ChunkLineTooLong : 0;
      return readSize(bytes, at, lineEnd);
    }
    default: {
      const found = findLine(bytes, at, end, chunks, TRAILER_BYTES_MAX - chunks.left);
      if (found <= 0) return found < 0 ? -Refusal.TrailerTooLong : 0;
      return readTrailer(bytes, at, lineEnd);
    }
  }
}

/** Looks for a line's LF: 1, with `lineEnd` behind it; 0: not there yet; -1: more than `max` bytes. */
function findLine(bytes: Uint8Array, from: number, end: number, chunks: Chunks, max: number): number {
  const limit = Math.min(end, from + max);
  for (let at = from + chunks.scanned; at < limit; at++) {
    if (bytes[at] !== Octet.Lf) continue;
    lineEnd = at + 1;
    chunks.scanned = 0;
    return 1;
  }
  chunks.scanned = limit - from;
  return limit - from >= max ? -1 : 0;
}

/** The line has been read: where the body is now. Returns whether that is its end. */
function advance(line: number, chunks: Chunks): boolean {
  switch (chunks.phase) {
    case ChunkPhase.DataEnd:
      chunks.phase = ChunkPhase.Size;
      return false;
    case ChunkPhase.Size:
      chunks.phase = size > 0 ? ChunkPhase.Data : ChunkPhase.Trailer;
      chunks.left = size;
      return false;
    default:
      chunks.left += lineEnd - line;
      if (size > 0) return false;
      chunks.phase = ChunkPhase.Done;
      chunks.left = 0;
      return true;
  }
}

/** Puts what is kept of a line at `to`, and returns where that ends. */
function keepLine(bytes: Uint8Array, to: number, line: number, phase: ChunkPhase): number {
  if (phase === ChunkPhase.Trailer && size > 0 && isMerged(bytes, line, wordEnd)) return to;
  const end = phase === ChunkPhase.Size ? wordEnd : lineEnd - 2;
  if (to !== line) bytes.copyWithin(to, line, end);
  const at = to + end - line;
  bytes[at] = Octet.Cr;
  bytes[at + 1] = Octet.Lf;
  return at + 2;
}

/**
 * A size line in [from, end), its LF included. White space is taken
 * within quotes only: RFC 9110 section 5.6.3 forbids to send it elsewhere, and readers differ on it.
 */
function readSize(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  size = 0;
  while ((OCTETS[bytes[at]] & Of.Hex) !== 0) {
    if (at - from === SIZE_DIGITS_MAX) return -Refusal.ChunkTooLarge;
    size = size * 16 + hexValue(bytes[at++]);
  }
  wordEnd = at;
  if (at === from) return -(bytes[at] === Octet.Lf ? Refusal.BareLf : Refusal.BadChunkSize);
  while (bytes[at] === Octet.Semicolon) {
    at = skipExtension(bytes, at + 1);
    if (at === 0) return -Refusal.BadChunkExtension;
  }
  return lineCloses(bytes, at, end, at === wordEnd ? Refusal.BadChunkSize : Refusal.BadChunkExtension);
}

/** Whether the line ends at `at` as lines must; LF stands at end - 1 and nowhere before. */
function lineCloses(bytes: Uint8Array, at: number, end: number, other: Refusal): number {
  if (at === end - 2 && bytes[at] === Octet.Cr) return 1;
  if (bytes[at] === Octet.Lf) return -Refusal.BareLf;
  return bytes[at] === Octet.Cr ? -Refusal.BareCr : -other;
}

/** chunk-ext-name [ "=" ( token / quoted-string ) ], ended by whatever stands behind it; 0: malformed. No
 * loop passes the line's LF: it is part of nothing. */
function skipExtension(bytes: Uint8Array, from: number): number {
  let at = skipToken(bytes, from);
  if (at === from) return 0;
  if (bytes[at] !== Octet.Equals) return at;
  const value = at + 1;
  if (bytes[value] !== Octet.Quote) {
    at = skipToken(bytes, value);
    return at === value ? 0 : at;
  }
  for (at = value + 1; bytes[at] !== Octet.Quote; at++) {
    if (bytes[at] === Octet.Backslash) at++;
    if ((OCTETS[bytes[at]] & Of.Value) === 0) return 0;
  }
  return at + 1;
}

function skipToken(bytes: Uint8Array, from: number): number {
  let at = from;
  while ((OCTETS[bytes[at]] & Of.Token) !== 0) at++;
  return at;
}

/** A line of the trailer section in [from, end), its LF included. */
function readTrailer(bytes: Uint8Array, from: number, end: number): number {
  let at = skipToken(bytes, from);
  wordEnd = at;
  size = at - from;
  if (size === 0) {
    if ((OCTETS[bytes[at]] & Of.Blank) !== 0) return -Refusal.ObsFold;
    return lineCloses(bytes, at, end, Refusal.BadFieldName);
  }
  if (bytes[at] !== Octet.Colon) {
    if ((OCTETS[bytes[at]] & Of.Blank) !== 0) return -Refusal.SpaceBeforeColon;
    const closes = lineCloses(bytes, at, end, Refusal.BadFieldName);
    return closes < 0 ? closes : -Refusal.NoColon;
  }
  at++;
  while ((OCTETS[bytes[at]] & Of.Value) !== 0) at++;
  return lineCloses(bytes, at, end, Refusal.ControlCharacter);
}

/** RFC 9110 section 6.5.1: fields that frame, route, modify a request, authenticate, control an answer or
 * tell its format mean nothing in a trailer, unless someone merges them. Beside those that we know: */
const MERGED: readonly Uint8Array[] = [
  "age",
  "authorization",
  "cache-control",
  "content-encoding",
  "content-range",
  "content-type",
  "expires",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "location",
  "pragma",
  "range",
  "retry-after",
  "set-cookie",
  "vary",
  "warning",
  "www-authenticate",
].map(ascii);

function isMerged(bytes: Uint8Array, from: number, end: number): boolean {
  const known = nameOf(bytes, from, end);
  // RFC 9209 section 2 allows Proxy-Status in trailers.
  if (known !== Name.Other) return known !== Name.ProxyStatus;
  for (let name = 0; name < MERGED.length; name++) {
    if (sameText(bytes, from, end, MERGED[name])) return true;
  }
  return false;
}
