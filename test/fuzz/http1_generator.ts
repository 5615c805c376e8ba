// Messages of HTTP/1 by the grammar, and what becomes of them when it is bent: each is made from a seed
// and its number alone, so that one that fails can be made again.
import { random, randomBits, randomSeed } from "../../src/base/random.ts";
import { ascii } from "../../src/proto/octet.ts";

export const MESSAGE_BYTES_MAX = 65_536;

/** The message that was made last: [0, madeBytes) of `made`. */
export const made = new Uint8Array(MESSAGE_BYTES_MAX);
export let madeBytes = 0;

/** What kind of message it is. */
export const enum Kind {
  Request,
  /** An answer to GET. */
  Answer,
  /** An answer to HEAD. */
  AnswerToHead,
}

const list = (...texts: string[]) => texts.map(ascii);

// A choice that stands several times is made as often.
const METHODS = list(
  "GET",
  "GET",
  "POST",
  "POST",
  "PUT",
  "HEAD",
  "DELETE",
  "OPTIONS",
  "CONNECT",
  "PATCH",
  "TRACE",
);
const ODD_METHODS = list("get", "PROPFIND", "M-SEARCH", "X", "", "GET ", "PRI", "A".repeat(33), "G@T");
const TARGETS = list("/", "/", "/a/b?c=d", "/a%20b", "//a", "/?", "/a/../b;c", "/%7e/[x]|{y}^", "/a?b?c");
const ODD_TARGETS = list(
  "*",
  "a.example:80",
  "[::1]:443",
  "http://a.example",
  "http://a.example/b?c",
  "HTTP://A.example:80/",
  "https://[::1]/",
  "http://u:p@a.example/",
  "http:///",
  "/a#b",
  "/%zz",
  "",
  "a",
  "/\x80",
  "\\a",
  `/${"a".repeat(8_200)}`,
);
const VERSIONS = list("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0");
const ODD_VERSIONS = list(
  "HTTP/2.0",
  "HTTP/0.9",
  "HTTP/1.2",
  "http/1.1",
  "HTTP/1.10",
  "",
  "HTTP/1.1 ",
  "HTTP/01.1",
);
const STATUSES = list(
  "200 OK",
  "200",
  "204 No",
  "304 ",
  "404 N\xe9",
  "100 Continue",
  "101 S",
  "206 P",
  "500 E",
  "999 ?",
);
const ODD_STATUSES = list("99", "600 X", "2000", " 200", "20x", "200\t", "");
const HOSTS = list("a.example", "a.example", "a.example:80", "[::1]:443", "A.Example", "127.0.0.1");
const ODD_HOSTS = list("", "a b", "a,b", "a:b", "[::1", "u@a", "a:65536", "%61", ":80", "a/b", "\x80", "a_b");
const FIELDS = list(
  "Accept: */*",
  "User-Agent: x (y; z)",
  "Cookie: a=b; c=d",
  "X-Empty:",
  "X-Obs: \x80\xff",
  "X-Tab:\ta\tb\t",
  "Connection: close",
  "Connection: keep-alive",
  "Connection: keep-alive, X-Tab",
  "Connection: upgrade\r\nUpgrade: websocket",
  "Upgrade: h2c",
  "Expect: 100-continue",
  "TE: trailers",
  "Trailer: X-T",
  "Keep-Alive: timeout=5",
  "X-Forwarded-For: 1.2.3.4",
  "Proxy-Connection: keep-alive",
);
const ODD_FIELDS = list(
  " folded",
  "X : y",
  "X",
  ": y",
  "X\x00: y",
  "X: \x00",
  "X: a\rb",
  "X: a\nb",
  "X: a\n b",
  "Content-Length: 0",
  "Content-Length: 3",
  "Content-Length: +3",
  "Content-Length: 3, 3",
  "Content-Length:",
  "Content-Length: 0x3",
  "Content-Length : 3",
  "Content-Length: 003",
  "Content-Length: 99999999999999999999",
  "Content_Length: 3",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: Chunked ",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding: chunked, chunked",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding:\x0bchunked",
  "Transfer-Encoding: ,chunked",
  "Transfer-Encoding: chunked;q=1",
  "Transfer-Encoding : chunked",
  "Transfer-Encoding:",
  "Connection: ,,close,",
  "Connection: a b",
  "Connection: Content-Length, Host",
  "Expect: 200-ok",
  "Host: b.example",
);
const SIZES = list("1", "5", "a", "A", "1f", "05", "0000005", "3");
const ODD_SIZES = list(
  "",
  "0x5",
  " 5",
  "5 ",
  "+5",
  "-5",
  "5g",
  "fffffffffffff",
  "ffffffffffffffff",
  "00000000000005",
);
const EXTENSIONS = list(
  ";a",
  ";a=b",
  ';a="b c"',
  ';a="\\""',
  ";a;b=c",
  ";",
  ";=",
  ';a="',
  "; a",
  " ;a",
  ";a\x00",
);
const TRAILERS = list(
  "X-T: a",
  "X-T:",
  "Content-Length: 5",
  "Host: b",
  "Transfer-Encoding: chunked",
  " x",
  "X",
  "X : y",
);
const BYTES = ascii('\r\n\0\t :;,#%@[]/?="\\0159aAzZ-_\x0b\x7f\x80\xff');

function upTo(count: number): number {
  return randomBits() % count;
}

function put(bytes: Uint8Array): void {
  if (madeBytes + bytes.length > MESSAGE_BYTES_MAX) return;
  made.set(bytes, madeBytes);
  madeBytes += bytes.length;
}

function putOne(choices: readonly Uint8Array[]): void {
  put(choices[upTo(choices.length)]);
}

/** One of the usual, or with this probability an odd one. */
function putEither(usual: readonly Uint8Array[], odd: readonly Uint8Array[], share: number): void {
  putOne(random() < share ? odd : usual);
}

const CRLF = ascii("\r\n"), LF = ascii("\n"), SPACE = ascii(" "), ZERO = ascii("0");
const HOST = ascii("Host: "),
  LENGTH = ascii("Content-Length: "),
  CHUNKED = ascii("Transfer-Encoding: chunked");
const NEXT = ascii("GET /next HTTP/1.1\r\nHost: c\r\n\r\n");
const SHORT_FIELD = ascii("a:b\r\n");

function putLineEnd(): void {
  put(upTo(400) === 0 ? LF : CRLF);
}

/** Makes message `number` of a seed, in `made`. */
export function make(seed: number, number: number): Kind {
  // Neighbours of xorshift's seeds begin alike: spread them first.
  randomSeed(Math.imul(seed ^ Math.imul(number, 0x9e3779b1), 0x85ebca6b) ^ (number >>> 15));
  randomBits();
  madeBytes = 0;
  const kind: Kind = upTo(4) > 0 ? Kind.Request : upTo(4) > 0 ? Kind.Answer : Kind.AnswerToHead;
  if (kind === Kind.Request) putRequestLine();
  else putStatusLine();
  if (kind === Kind.Request && random() < 0.97) {
    put(HOST);
    putEither(HOSTS, ODD_HOSTS, 0.04);
    putLineEnd();
  }
  putMessage();
  if (upTo(5) === 0) put(NEXT);
  for (let left = upTo(2) === 0 ? 0 : upTo(4); left > 0; left--) mutate();
  return kind;
}

function putRequestLine(): void {
  if (upTo(30) === 0) put(CRLF);
  putEither(METHODS, ODD_METHODS, 0.03);
  put(SPACE);
  putEither(TARGETS, ODD_TARGETS, 0.15);
  put(SPACE);
  putEither(VERSIONS, ODD_VERSIONS, 0.02);
  putLineEnd();
}

function putStatusLine(): void {
  putEither(VERSIONS, ODD_VERSIONS, 0.02);
  put(SPACE);
  putEither(STATUSES, ODD_STATUSES, 0.03);
  putLineEnd();
}

/** Fields, the empty line and a body that fits one of them. */
function putMessage(): void {
  for (let left = upTo(500) === 0 ? 130 : 0; left > 0; left--) put(SHORT_FIELD);
  const body = upTo(3), length = upTo(40), place = upTo(4);
  for (let field = 0; field < 4; field++) {
    if (field === place && body === 1) {
      put(LENGTH);
      put(ascii(String(length)));
      putLineEnd();
    } else if (field === place && body === 2) {
      put(CHUNKED);
      putLineEnd();
    } else if (upTo(2) === 0) {
      putEither(FIELDS, ODD_FIELDS, 0.06);
      putLineEnd();
    }
  }
  putLineEnd();
  if (body === 1) putData(length);
  else if (body === 2) putChunks();
}

function putData(length: number): void {
  for (let left = Math.min(length, 4096); left > 0 && madeBytes < MESSAGE_BYTES_MAX; left--) {
    made[madeBytes++] = upTo(4) === 0 ? BYTES[upTo(BYTES.length)] : randomBits() & 0xff;
  }
}

function putChunks(): void {
  for (let left = upTo(4); left > 0; left--) {
    const from = madeBytes;
    putEither(SIZES, ODD_SIZES, 0.02);
    const size = parseInt(String.fromCharCode(...made.subarray(from, madeBytes)), 16);
    if (upTo(8) === 0) putOne(EXTENSIONS);
    putLineEnd();
    putData(Number.isNaN(size) ? 5 : size);
    putLineEnd();
  }
  put(ZERO);
  if (upTo(12) === 0) putOne(EXTENSIONS);
  putLineEnd();
  for (let left = upTo(3) === 0 ? upTo(3) : 0; left > 0; left--) {
    putOne(TRAILERS);
    putLineEnd();
  }
  putLineEnd();
}

/** One of: an octet changed, one inserted, some removed, some doubled, the end cut off. */
function mutate(): void {
  if (madeBytes === 0) return;
  // Faults in the head are worth more than those in data.
  const at = upTo(Math.min(madeBytes, 1 + upTo(madeBytes) + 20));
  const count = Math.min(1 + upTo(12), madeBytes - at);
  switch (upTo(8)) {
    case 0:
      made[at] = randomBits() & 0xff;
      return;
    case 1:
    case 2:
      made[at] = BYTES[upTo(BYTES.length)];
      return;
    case 3:
    case 4:
      if (madeBytes === MESSAGE_BYTES_MAX) return;
      made.copyWithin(at + 1, at, madeBytes++);
      made[at] = BYTES[upTo(BYTES.length)];
      return;
    case 5:
      made.copyWithin(at, at + count, madeBytes);
      madeBytes -= count;
      return;
    case 6:
      if (madeBytes + count > MESSAGE_BYTES_MAX) return;
      made.copyWithin(at + count, at, madeBytes);
      madeBytes += count;
      return;
    default:
      if (upTo(2) === 0) madeBytes = at;
  }
}
