import { deepEqual, ok, strictEqual, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import { BugError } from "../../src/base/assert.ts";
import { CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX } from "../../src/base/limits.ts";
import { random, randomSeed } from "../../src/base/random.ts";
import { type Chunks, feedChunks, makeChunks } from "../../src/proto/http1_body.ts";
import { ascii } from "../../src/proto/octet.ts";
import { Refusal, REFUSALS } from "../../src/proto/refusal.ts";

interface Fed {
  /** 0 or the negative of a Refusal. */
  verdict: number;
  /** What is to be forwarded. */
  out: string;
  done: boolean;
  /** Bytes that were not consumed. */
  rest: string;
}

const AT = 3;

/** Feeds `input` in pieces that end at `cuts`, as a slot does: what was not consumed is offered again, in
 * front of the next piece, and the state is all that is kept. */
function feed(input: string, cuts: readonly number[], keep: boolean): Fed {
  const stream = ascii(input);
  const state = { phase: 0, left: 0, scanned: 0 };
  const chunks: Chunks = makeChunks();
  let out = "", from = 0;
  for (const cut of [...cuts, stream.length]) {
    const bytes = new Uint8Array(AT + cut - from + 4).fill(0x30);
    bytes.set(stream.subarray(from, cut), AT);
    const end = AT + cut - from;
    Object.assign(chunks, state);
    const verdict = feedChunks(bytes, AT, end, chunks, keep);
    if (verdict < 0) return { verdict, out, done: false, rest: input.slice(from) };
    ok(chunks.wrote >= AT && chunks.wrote <= chunks.read && chunks.read <= end, "offsets are in order");
    deepEqual([...bytes.subarray(0, AT)], [0x30, 0x30, 0x30], "nothing is written before the input");
    deepEqual([...bytes.subarray(end)], [0x30, 0x30, 0x30, 0x30], "nor behind it");
    out += String.fromCharCode(...bytes.subarray(AT, chunks.wrote));
    state.phase = chunks.phase;
    state.left = chunks.left;
    state.scanned = chunks.scanned;
    from += chunks.read - AT;
    if (chunks.done) return { verdict: 0, out, done: true, rest: input.slice(from) };
  }
  return { verdict: 0, out, done: false, rest: input.slice(from) };
}

/** The same, whole, in every two pieces, and byte by byte: all must agree. */
function feedAllWays(input: string, keep: boolean): Fed {
  const whole = feed(input, [], keep);
  const ways = Array.from({ length: input.length }, (_, cut) => [cut]);
  ways.push(Array.from({ length: input.length }, (_, cut) => cut));
  for (const cuts of ways) {
    const got = feed(input, cuts, keep);
    // What came before a fault is forwarded if it came in an earlier read.
    const want = whole.verdict < 0 ? { ...whole, out: got.out, rest: got.rest } : whole;
    deepEqual(got, want, `${JSON.stringify(input)} cut at ${cuts.length === 1 ? cuts[0] : "every byte"}`);
  }
  return whole;
}

describe("feedChunks takes", () => {
  const cases: [input: string, kept: string, stripped: string, rest: string, why: string][] = [
    ["0\r\n\r\n", "0\r\n\r\n", "", "", "the last chunk alone"],
    ["5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello", "", "one chunk"],
    ["1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc", "", "two chunks"],
    ["0\r\n\r\nGET /", "0\r\n\r\n", "", "GET /", "what follows stays where it is"],
    ["0\r\n\r\n\r\n", "0\r\n\r\n", "", "\r\n", "an empty line that follows"],
    ["A\r\n0123456789\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n", "0123456789", "", "a capital digit"],
    ["a\r\n0123456789\r\n0\r\n\r\n", "a\r\n0123456789\r\n0\r\n\r\n", "0123456789", "", "a small one"],
    [
      "0000000000001\r\na\r\n000\r\n\r\n",
      "0000000000001\r\na\r\n000\r\n\r\n",
      "a",
      "",
      "13 digits; many zeros",
    ],
    ["4\r\n\r\n0\r\r\n0\r\n\r\n", "4\r\n\r\n0\r\r\n0\r\n\r\n", "\r\n0\r", "", "data that looks like framing"],
    ["2\r\n\r\n\r\n0\r\n\r\n", "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "", "data that is CRLF"],
    ["1;a\r\nb\r\n0;c\r\n\r\n", "1\r\nb\r\n0\r\n\r\n", "b", "", "extensions are not forwarded"],
    ["1;a=b;c=d\r\ne\r\n0\r\n\r\n", "1\r\ne\r\n0\r\n\r\n", "e", "", "with values"],
    ['1;a="b c;\\"\\\\\td"\r\ne\r\n0\r\n\r\n', "1\r\ne\r\n0\r\n\r\n", "e", "", "with quoted values"],
    ['1;a=""\r\ne\r\n0\r\n\r\n', "1\r\ne\r\n0\r\n\r\n", "e", "", "with an empty quoted value"],
    ["0\r\nX-Y: z\r\n\r\n", "0\r\nX-Y: z\r\n\r\n", "", "", "a trailer"],
    ["0\r\nX-Y:\r\nB:c \r\n\r\n", "0\r\nX-Y:\r\nB:c \r\n\r\n", "", "", "two, one of them empty"],
    ["0\r\ngrpc-status: 0\r\n\r\n", "0\r\ngrpc-status: 0\r\n\r\n", "", "", "gRPC's"],
    ["0\r\nProxy-Status: a\r\n\r\n", "0\r\nProxy-Status: a\r\n\r\n", "", "", "RFC 9209 2 allows it"],
    ["0\r\nContent-Length: 5\r\n\r\n", "0\r\n\r\n", "", "", "framing is dropped"],
    [
      "0\r\nA: 1\r\nTRANSFER-encoding: x\r\nB: 2\r\n\r\n",
      "0\r\nA: 1\r\nB: 2\r\n\r\n",
      "",
      "",
      "between others",
    ],
    [
      "0\r\nHost: a\r\nConnection: b\r\nTrailer: c\r\n\r\n",
      "0\r\n\r\n",
      "",
      "",
      "routing and hop-by-hop are",
    ],
    ["0\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n", "0\r\n\r\n", "", "", "who the client is cannot be told here"],
    ["0\r\nAuthorization: a\r\nSet-Cookie: b\r\n\r\n", "0\r\n\r\n", "", "", "neither who the user is"],
    ["0\r\nContent-Type: a\r\nIf-None-Match: b\r\n\r\n", "0\r\n\r\n", "", "", "nor what was in the head"],
    ["", "", "", "", "nothing yet"],
    ["5", "", "", "5", "a size that may go on"],
    ["5\r", "", "", "5\r", "half a line's end"],
    ["5\r\nhel", "5\r\nhel", "hel", "", "data that goes on"],
    ["1\r\na\r", "1\r\na", "a", "\r", "half the end of data"],
    ["0\r\nA: b\r\nC", "0\r\nA: b\r\n", "", "C", "a trailer that goes on"],
    ["fffffffffffff\r\na", "fffffffffffff\r\na", "a", "", "2^52 - 1 bytes"],
    [
      `1;${"a".repeat(CHUNK_LINE_BYTES_MAX - 4)}\r\nb\r\n0\r\n\r\n`,
      "1\r\nb\r\n0\r\n\r\n",
      "b",
      "",
      "the longest size line",
    ],
  ];
  for (const [input, kept, stripped, rest, why] of cases) {
    const done = kept.endsWith("\r\n\r\n") && /0\r\n(?:[^\r].*\r\n)*\r\n$/.test(kept);
    it(why, () => {
      deepEqual(feedAllWays(input, true), { verdict: 0, out: kept, done, rest });
      deepEqual(feedAllWays(input, false), { verdict: 0, out: stripped, done, rest });
    });
  }

  it("the longest trailer section", () => {
    const line = `A: ${"b".repeat(1000)}\r\n`;
    const count = Math.floor((TRAILER_BYTES_MAX - 2) / line.length);
    const trailers = line.repeat(count) + "C".repeat(TRAILER_BYTES_MAX - 2 - count * line.length - 3) +
      ":\r\n";
    strictEqual(trailers.length, TRAILER_BYTES_MAX - 2);
    const input = `0\r\n${trailers}\r\n`;
    deepEqual(feed(input, [], true), { verdict: 0, out: input, done: true, rest: "" });
    strictEqual(feed(`0\r\nD${trailers}\r\n`, [], true).verdict, -Refusal.TrailerTooLong);
  });
});

describe("feedChunks refuses", () => {
  const cases: [input: string, want: Refusal, why: string][] = [
    ["\r\n", Refusal.BadChunkSize, "RFC 9112 7.1: at least one digit"],
    ["\n", Refusal.BareLf, "LF for a size line"],
    ["5\nhello", Refusal.BareLf, "LF behind a size"],
    ["5;a\nhello", Refusal.BareLf, "LF behind an extension"],
    ["5\rhello\n", Refusal.BareCr, "CR behind a size"],
    ["5\r\r\n", Refusal.BareCr, "two of them"],
    [" 5\r\n", Refusal.BadChunkSize, "space before the size"],
    ["5 \r\n", Refusal.BadChunkSize, "space behind the size"],
    ["5\t\r\n", Refusal.BadChunkSize, "HTAB behind the size"],
    ["+5\r\n", Refusal.BadChunkSize, "a plus sign"],
    ["-5\r\n", Refusal.BadChunkSize, "a minus sign"],
    ["0x5\r\n", Refusal.BadChunkSize, "a prefix"],
    ["5g\r\n", Refusal.BadChunkSize, "not a digit"],
    ["5,5\r\n", Refusal.BadChunkSize, "a list"],
    ["1_0\r\n", Refusal.BadChunkSize, "an underscore"],
    ["\x005\r\n", Refusal.BadChunkSize, "NUL"],
    ["10000000000000\r\n", Refusal.ChunkTooLarge, "14 digits: 2^52"],
    ["00000000000001\r\n", Refusal.ChunkTooLarge, "14 digits, whatever they are"],
    ["ffffffffffffffffffffff\r\n", Refusal.ChunkTooLarge, "no number overflows"],
    ["5;\r\n", Refusal.BadChunkExtension, "an extension without name"],
    ["5;a;\r\n", Refusal.BadChunkExtension, "a second one without"],
    ["5;a=\r\n", Refusal.BadChunkExtension, "without value"],
    ["5;=b\r\n", Refusal.BadChunkExtension, "a value without name"],
    ["5; a\r\n", Refusal.BadChunkExtension, "white space, which nobody may send"],
    ["5 ;a\r\n", Refusal.BadChunkSize, "white space before it"],
    ["5;a =b\r\n", Refusal.BadChunkExtension, "white space within"],
    ["5;a\0\r\n", Refusal.BadChunkExtension, "NUL"],
    ["5;a\x80\r\n", Refusal.BadChunkExtension, "not ASCII"],
    ['5;a="b\r\n', Refusal.BadChunkExtension, "a quote that does not end"],
    ['5;a="b\\"\r\n', Refusal.BadChunkExtension, "its end escaped"],
    ['5;a="\n"\r\n', Refusal.BadChunkExtension, "LF within quotes"],
    ['5;a="\\\n"\r\n', Refusal.BadChunkExtension, "LF escaped within quotes"],
    ['5;a="\r\n"\r\n', Refusal.BadChunkExtension, "CRLF within quotes"],
    ['5;a="b"c\r\n', Refusal.BadChunkExtension, "something behind the quotes"],
    ["5;a\rb\r\n", Refusal.BareCr, "CR in an extension"],
    [
      `5;${"a".repeat(CHUNK_LINE_BYTES_MAX - 3)}\r\n`,
      Refusal.ChunkLineTooLong,
      "one byte more than is taken",
    ],
    ["5;" + "a".repeat(1000), Refusal.ChunkLineTooLong, "without end"],
    ["1\r\nab", Refusal.BadChunkEnd, "more data than announced"],
    ["1\r\na\n", Refusal.BadChunkEnd, "LF behind data"],
    ["1\r\na\rb", Refusal.BadChunkEnd, "CR behind data"],
    ["1\r\na0\r\n", Refusal.BadChunkEnd, "nothing behind data"],
    ["0\r\n\n", Refusal.BareLf, "LF as the empty line"],
    ["0\r\n\r\r\n", Refusal.BareCr, "CR before it"],
    ["0\r\n A: b\r\n", Refusal.ObsFold, "space before a trailer"],
    ["0\r\nA: b\r\n c\r\n\r\n", Refusal.ObsFold, "a folded trailer"],
    ["0\r\nA : b\r\n", Refusal.SpaceBeforeColon, "space before its colon"],
    ["0\r\nA\r\n", Refusal.NoColon, "no colon"],
    ["0\r\n: b\r\n", Refusal.BadFieldName, "no name"],
    ["0\r\nA(: b\r\n", Refusal.BadFieldName, "not a token"],
    ["0\r\nA: b\0\r\n", Refusal.ControlCharacter, "NUL"],
    ["0\r\nA: b\x7f\r\n", Refusal.ControlCharacter, "DEL"],
    ["0\r\nA: b\rc\r\n", Refusal.BareCr, "CR in a value"],
    ["0\r\nA: b\n\r\n", Refusal.BareLf, "LF behind a trailer"],
    ["0\r\nA\n\r\n", Refusal.BareLf, "LF behind a name"],
  ];
  for (const [input, want, why] of cases) {
    it(`${REFUSALS[want].text} ${why}`, () => {
      strictEqual(feedAllWays(input, true).verdict, -want);
      strictEqual(feedAllWays(input, false).verdict, -want);
    });
  }

  it("The trailer section is too long, one line or many", () => {
    strictEqual(feed(`0\r\nA: ${"b".repeat(TRAILER_BYTES_MAX)}`, [], true).verdict, -Refusal.TrailerTooLong);
    const many = `0\r\n${"A: b\r\n".repeat(TRAILER_BYTES_MAX / 6 + 1)}`;
    const everyByte = Array.from({ length: many.length }, (_, cut) => cut);
    strictEqual(feed(many, [], true).verdict, -Refusal.TrailerTooLong);
    strictEqual(feed(many, everyByte, true).verdict, -Refusal.TrailerTooLong);
  });
});

describe("feedChunks", () => {
  it("looks at each byte of an incomplete line once", () => {
    const bytes = ascii(`1;${"a".repeat(200)}\r\nb`);
    const chunks = makeChunks();
    feedChunks(bytes, 0, 100, chunks, true);
    deepEqual([chunks.read, chunks.wrote, chunks.scanned], [0, 0, 100]);
    bytes[50] = 10; // would end the line, were it looked at again
    feedChunks(bytes, 0, 150, chunks, true);
    deepEqual([chunks.read, chunks.wrote, chunks.scanned], [0, 0, 150]);
  });

  it("is not to be fed behind its end", () => {
    const chunks = makeChunks();
    strictEqual(feedChunks(ascii("0\r\n\r\n"), 0, 5, chunks, true), 0);
    strictEqual(chunks.done, true);
    throws(() => feedChunks(ascii("0"), 0, 1, chunks, true), BugError);
  });

  it("gives the body that was chunked, however it was chunked and however it came", () => {
    randomSeed(20_250_101);
    const upTo = (count: number) => Math.floor(random() * count);
    for (let round = 0; round < 2_000; round++) {
      let body = "", kept = "", input = "";
      for (let left = upTo(6); left > 0; left--) {
        const data = Array.from({ length: 1 + upTo(40) }, () => String.fromCharCode(upTo(256))).join("");
        const zeros = "0".repeat(upTo(4)), digits = zeros + data.length.toString(16);
        body += data;
        kept += `${digits}\r\n${data}\r\n`;
        input += `${digits}${[";a", ';b="c;"', "", ""][upTo(4)]}\r\n${data}\r\n`;
      }
      const trailers = ["", "A: b\r\n", "Host: c\r\n"][upTo(3)];
      kept += `0\r\n${trailers.startsWith("A") ? trailers : ""}\r\n`;
      input += `0\r\n${trailers}\r\n`;
      const cuts = Array.from({ length: upTo(8) }, () => upTo(input.length)).sort((a, b) => a - b);
      deepEqual(feed(`${input}next`, cuts, true), { verdict: 0, out: kept, done: true, rest: "next" });
      deepEqual(feed(`${input}next`, cuts, false), { verdict: 0, out: body, done: true, rest: "next" });
    }
  });
});
