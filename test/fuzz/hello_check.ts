// What must hold for the reader of hellos whatever it is given: it says what a plain reader says, each beginning
// gives NeedMore or the final verdict, what it asks for is no more than it needs, and how a hello is cut into
// records is all the same. (That it writes nothing but its spare place is checked wherever a test reads.)
import { deepEqual, strictEqual } from "node:assert/strict";
import { HELLO_PEEK_BYTES, HELLO_RECORDS_MAX } from "../../src/base/limits.ts";
import { Hello } from "../../src/proto/client_hello.ts";
import { read, type Said } from "../proto/hello_fixture.ts";
import { Random } from "../sim/random.ts";
import { inRecords } from "./hello_generator.ts";
import { expected } from "./hello_oracle.ts";

const RECORD_HEADER_BYTES = 5;

/** Checks one beginning of a connection. Throws when something does not hold; returns the verdict. */
export function checkHello(stream: Uint8Array, number: number): Hello {
  const said = read(stream), { message, ...want } = expected(stream), random = new Random(number);
  if (want.verdict !== Hello.NeedMore) deepEqual(wordsOf(said), want, "as a plain reader says it");
  else strictEqual(said.verdict !== Hello.Found, true, "what has not come is not found");
  checkNeeds(said, stream.length);
  checkCut(stream, said, random);
  if (said.verdict === Hello.Found) checkRecords(message, said, random);
  return said.verdict;
}

function wordsOf({ verdict, name, alpn, version }: Said): Omit<Said, "needs"> {
  return { verdict, name, alpn, version };
}

function checkNeeds({ verdict, needs }: Said, bytes: number): void {
  if (verdict !== Hello.NeedMore) return;
  strictEqual(needs > bytes, true, "it asks for more than it has");
  strictEqual(needs <= HELLO_PEEK_BYTES, true, "and for no more than there is room for");
}

function checkCut(stream: Uint8Array, whole: Said, random: Random): void {
  const cut = random.below(random.oneIn(2) ? Math.min(stream.length, 64) + 1 : stream.length + 1);
  const got = read(stream, cut);
  if (got.verdict !== Hello.NeedMore) return deepEqual(got, whole, `cut at ${cut}`);
  checkNeeds(got, cut);
  if (whole.verdict === Hello.Found) {
    strictEqual(got.needs <= stream.length, true, "what is enough is enough");
  }
  if (cut === stream.length) return;
  const more = random.between(cut + 1, stream.length);
  if (more < got.needs) {
    strictEqual(
      read(stream, more).verdict !== Hello.Found,
      true,
      `${more} of ${got.needs} bytes are too few`,
    );
  }
}

function checkRecords(message: Uint8Array, whole: Said, random: Random): void {
  const stream = inRecords(random, message, false), got = read(stream);
  const records = (stream.length - message.length) / RECORD_HEADER_BYTES;
  if (records > HELLO_RECORDS_MAX) strictEqual(got.verdict, Hello.TooLarge, `in ${records} records`);
  else deepEqual(got, whole, "in other records it says the same");
}
