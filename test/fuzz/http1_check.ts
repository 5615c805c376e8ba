// What must hold for our own codec whatever it is given: it never throws, each beginning of a message gives
// 0 or the final verdict, nothing depends on where bytes lie or how they were cut, offsets are in range.
import { strictEqual } from "node:assert/strict";
import { random } from "../../src/base/random.ts";
import { FieldAt, Framing, type Head, makeHead, Method } from "../../src/proto/head.ts";
import { type Chunks, feedChunks, makeChunks } from "../../src/proto/http1_body.ts";
import { findHeadEnd, parseAnswer, parseRequest } from "../../src/proto/http1_head.ts";
import { REFUSALS } from "../../src/proto/refusal.ts";
import { Kind, made, madeBytes, MESSAGE_BYTES_MAX } from "./http1_generator.ts";

export const head: Head = makeHead();
const other: Head = makeHead();
const moved = new Uint8Array(MESSAGE_BYTES_MAX + 64);
const pieces = new Uint8Array(MESSAGE_BYTES_MAX);

/** The message as it is forwarded, when `checkMade` says that it is whole: [0, forwardBytes). */
export const forward = new Uint8Array(MESSAGE_BYTES_MAX);
export let forwardBytes = 0;
/** Bytes of its body, without framing. */
export let bodyBytes = 0;

const chunks: Chunks = makeChunks();

function parse(kind: Kind, bytes: Uint8Array, from: number, end: number, into: Head): number {
  if (kind === Kind.Request) return parseRequest(bytes, from, end, into);
  return parseAnswer(bytes, from, end, into, kind === Kind.AnswerToHead ? Method.Head : Method.Get);
}

/** What became of the message. */
export const enum Checked {
  Refused,
  /** More bytes are needed, of the head or of the body. */
  Short,
  /** It is in `forward`. */
  Whole,
}

/** Checks the message that was made last. Throws when something does not hold. */
export function checkMade(kind: Kind): Checked {
  const verdict = parse(kind, made, 0, madeBytes, head);
  checkCut(kind, verdict);
  if (verdict < 0) {
    strictEqual(REFUSALS[-verdict] !== undefined, true, "a verdict is a Refusal");
    return Checked.Refused;
  }
  if (verdict === 0) return Checked.Short;
  checkHead(verdict);
  checkMoved(kind, verdict);
  return checkBody(verdict);
}

function checkCut(kind: Kind, verdict: number): void {
  // Often near the end of the head, where it matters most.
  const cut = Math.floor(random() * (random() < 0.5 && verdict > 0 ? verdict : madeBytes));
  const got = parse(kind, made, 0, cut, other);
  strictEqual(got === 0 || got === verdict, true, "a beginning gives 0 or the final verdict");
  if (verdict <= 0) return;
  if (cut < verdict) strictEqual(got, 0, "a head that is not whole needs more");
  strictEqual(
    findHeadEnd(made, 0, madeBytes, Math.min(cut, verdict - 1)),
    verdict,
    "the end of the head is found",
  );
  if (cut < verdict) strictEqual(findHeadEnd(made, 0, cut, 0), 0, "and not before it is there");
}

function checkHead(verdict: number): void {
  strictEqual(head.at + head.bytes, verdict, "a head ends where it was consumed to");
  let last = head.lineEnd + 2;
  for (let place = 0; place < head.fieldCount * FieldAt.Length; place += FieldAt.Length) {
    const at = head.fields;
    strictEqual(at[place + FieldAt.Name], last, "a field begins behind the line before it");
    const inOrder = at[place + FieldAt.NameEnd] > at[place + FieldAt.Name] &&
      at[place + FieldAt.Value] > at[place + FieldAt.NameEnd] &&
      at[place + FieldAt.ValueEnd] >= at[place + FieldAt.Value];
    strictEqual(inOrder, true, "a field's offsets are in order");
    last = head.at + at[place + FieldAt.ValueEnd];
    while (made[last] !== 10) last++;
    last += 1 - head.at;
  }
  strictEqual(last + 2, head.bytes, "the empty line is behind the last field");
  const inOrder = head.methodEnd <= head.target && head.target <= head.path && head.path <= head.pathEnd &&
    head.pathEnd <= head.query && head.query <= head.queryEnd && head.queryEnd <= head.targetEnd &&
    head.targetEnd <= head.lineEnd && head.authority === head.host && head.host <= head.hostEnd &&
    head.hostEnd <= head.authorityEnd && head.authorityEnd <= head.bytes;
  strictEqual(inOrder, true, "offsets of the first line are in order");
}

function checkMoved(kind: Kind, verdict: number): void {
  const at = 1 + Math.floor(random() * 60);
  moved.set(made.subarray(0, verdict), at);
  strictEqual(parse(kind, moved, at, at + verdict, other), verdict, "a head is the same wherever it lies");
  const same = other.at === head.at + at && other.flags === head.flags && other.framing === head.framing &&
    other.length === head.length && other.fieldCount === head.fieldCount && other.host === head.host;
  strictEqual(same, true, "and says the same");
}

function checkBody(verdict: number): Checked {
  const rest = madeBytes - verdict;
  forward.set(made.subarray(head.at, verdict));
  forwardBytes = bodyBytes = verdict - head.at;
  switch (head.framing) {
    case Framing.None:
      break;
    case Framing.Chunked: {
      const checked = checkChunks(verdict);
      if (checked !== Checked.Whole) return checked;
      break;
    }
    default: {
      const count = head.framing === Framing.UntilClose ? rest : head.length;
      if (count > rest) return Checked.Short;
      forward.set(made.subarray(verdict, verdict + count), forwardBytes);
      forwardBytes += count;
      bodyBytes += count;
    }
  }
  bodyBytes -= verdict - head.at;
  return Checked.Whole;
}

function begin(phase = 0, left = 0, scanned = 0): void {
  chunks.phase = phase;
  chunks.left = left;
  chunks.scanned = scanned;
}

/** Feeds the body that begins at `from`, first whole, then in pieces: the same must come of it. */
function checkChunks(from: number): Checked {
  const headBytes = forwardBytes;
  forward.set(made.subarray(from, madeBytes), headBytes);
  begin();
  const verdict = feedChunks(forward, headBytes, headBytes + madeBytes - from, chunks, true);
  const whole = { ...chunks, wrote: chunks.wrote - headBytes, read: chunks.read - headBytes };
  const pieced = feedPieces(from, headBytes, verdict === 0 ? whole.wrote : 0);
  strictEqual(pieced, verdict, "pieces get the verdict of the whole");
  if (verdict < 0) return Checked.Refused;
  strictEqual(chunks.done, whole.done, "pieces end where the whole does");
  if (!whole.done) return Checked.Short;
  forwardBytes = headBytes + whole.wrote;

  // What is forwarded is canonical: it comes out of another one of us as it went in.
  pieces.set(forward.subarray(headBytes, forwardBytes));
  begin();
  strictEqual(feedChunks(pieces, 0, whole.wrote, chunks, true), 0, "what is forwarded is taken");
  strictEqual(
    chunks.done && chunks.wrote === whole.wrote && chunks.read === whole.wrote,
    true,
    "and unchanged",
  );
  begin();
  strictEqual(feedChunks(pieces, 0, whole.wrote, chunks, false), 0, "it can be stripped");
  bodyBytes += chunks.wrote;
  return Checked.Whole;
}

/** Feeds the body in pieces of up to some bytes; what comes out must be what stands in `forward`. */
function feedPieces(from: number, at: number, wrote: number): number {
  const most = 1 + Math.floor(random() * 24);
  let offered = from, read = from, out = at;
  begin();
  chunks.done = false;
  while (!chunks.done && offered < madeBytes) {
    offered = Math.min(madeBytes, offered + 1 + Math.floor(random() * most));
    const bytes = offered - read;
    pieces.set(made.subarray(read, offered));
    const verdict = feedChunks(pieces, 0, bytes, chunks, true);
    if (verdict < 0) return verdict;
    if (wrote > 0) {
      for (let index = 0; index < chunks.wrote; index++) {
        if (forward[out + index] !== pieces[index]) throw new Error("pieces give other bytes than the whole");
      }
    }
    out += chunks.wrote;
    read += chunks.read;
  }
  if (wrote > 0) strictEqual(out - at, wrote, "pieces give as many bytes as the whole");
  return 0;
}
