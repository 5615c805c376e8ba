// Beginnings of TLS connections by the grammar, and what becomes of them when it is bent: each is made from a
// seed and its number alone, so that one that fails can be made again.
import {
  alpn,
  bytes16,
  bytes8,
  encryptedHello,
  extension,
  hello,
  join,
  keyShare,
  latin1,
  record,
  serverName,
  vector16,
  vector8,
  versions,
} from "../proto/hello_fixture.ts";
import { Random } from "../sim/random.ts";

// A choice that stands several times is made as often.
const NAMES = ["a.example", "a.example", "Shop.Example", "localhost", "_a-b.c", "a.example.", "x".repeat(63)];
const ODD_NAMES = [
  "",
  ".",
  ".a",
  "a..b",
  "1.2.3.4",
  "1.2.3.4.",
  "01.2.3.4",
  "::1",
  "a b",
  "\xfc.a",
  "a\0b",
  "x".repeat(64),
  `${"x".repeat(50)}.`.repeat(5),
  `${"x".repeat(50)}.`.repeat(4) + "y".repeat(49),
  `${"x".repeat(50)}.`.repeat(4) + "y".repeat(50),
];
const VERSIONS = [0x0304, 0x0303, 0x0302, 0x0a0a, 0xfafa, 0x0305, 0x7f1c, 0x03ff];
const PROTOCOLS = ["h2", "http/1.1", "\x2a\x2a", "", "x".repeat(255)];
const TEXTS = [
  "GET / HTTP/1.1\r\n",
  "PRI * HTTP/2.0\r\n",
  "POSTX",
  "CONNECT a:1",
  "SSH-2.0-x\r\n",
  "\0\0",
  "OPT",
];

export function make(seed: number, number: number): Uint8Array {
  const random = new Random(Math.imul(seed, 0x9e3779b1) ^ Math.imul(number, 0x85ebca6b));
  if (random.oneIn(20)) {
    const text = latin1(random.pick(TEXTS));
    return random.oneIn(2) ? bend(random, text, 2) : text;
  }
  let message = helloBy(random);
  if (random.oneIn(2)) {
    message = bend(random, message, 3);
    // With the right length in its header, what is bent is looked at.
    if (message.length > 4 && random.oneIn(2)) {
      const length = message.length - 4;
      message.set([length >> 16, length >> 8 & 255, length & 255], 1);
    }
  }
  let stream = inRecords(random, message, true);
  if (random.oneIn(5)) stream = bend(random, stream, 2);
  return random.oneIn(3) ? join(stream, record(new Uint8Array(random.size(100)), 23)) : stream;
}

function helloBy(random: Random): Uint8Array {
  const some = <T>(items: readonly T[], most: number): T[] =>
    Array.from({ length: random.below(most + 1) }, () => random.pick(items));
  const name = (): Uint8Array => serverName(random.pick(random.oneIn(4) ? ODD_NAMES : NAMES));
  const extensions = [
    ...(random.oneIn(5) ? [] : [name()]),
    ...(random.oneIn(2) ? [] : [alpn(...some(PROTOCOLS.slice(0, random.oneIn(8) ? 5 : 3), 4))]),
    ...(random.oneIn(2) ? [] : [versions(...some(VERSIONS, 4), 0x0303)]),
    ...(random.oneIn(3)
      ? [extension(random.pick([0x0a0a, 0x4a4a, 0xfafa]), new Uint8Array(random.below(3)))]
      : []),
    ...(random.oneIn(3) ? [keyShare(0x11ec, 1_216), keyShare(0x001d, 32)] : []),
    ...(random.oneIn(5) ? [encryptedHello(serverName("inner.example"))] : []),
    ...(random.oneIn(10) ? [extension(21, new Uint8Array(random.size(16_300)))] : []),
    ...(random.oneIn(20) ? [name()] : []),
  ];
  random.shuffle(extensions);
  return hello({
    version: bytes16(random.oneIn(10) ? random.below(65_536) : 0x0303),
    session: vector8(new Uint8Array(random.pick([0, 32, 32, random.oneIn(10) ? 33 : 16])).fill(3)),
    ciphers: vector16(...some([0x1301, 0x2a2a, 0xc02b], 5).map(bytes16), bytes16(0x1302)),
    compressions: vector8(bytes8(0)),
    extensions: random.oneIn(20) ? undefined : extensions,
  });
}

/** Changes at most so many things. */
function bend(random: Random, given: Uint8Array, most: number): Uint8Array {
  let bytes: Uint8Array = given.slice();
  for (let change = random.between(1, most); change > 0 && bytes.length > 0; change--) {
    // Often near the beginning, where the lengths are.
    const at = random.oneIn(2) ? random.below(Math.min(bytes.length, 100)) : random.below(bytes.length);
    switch (random.below(6)) {
      case 0:
        bytes[at] ^= 1 << random.below(8);
        break;
      case 1:
        bytes[at] = random.pick([0, 1, 255, 22, 3]);
        break;
      case 2:
        bytes[at] += random.pick([1, -1]);
        break;
      case 3:
        bytes = join(bytes.subarray(0, at), bytes.subarray(at + random.size(8)));
        break;
      case 4:
        bytes = join(bytes.subarray(0, at), new Uint8Array(random.size(8)).fill(at), bytes.subarray(at));
        break;
      default:
        bytes = bytes.slice(0, bytes.length - random.below(bytes.length));
    }
  }
  return bytes;
}

/** Cuts a message into records; `odd`: seldom one is none. */
export function inRecords(random: Random, message: Uint8Array, odd: boolean): Uint8Array {
  const few = message.length > 1_500; // more than a thousand records are as many as one too many
  const parts: Uint8Array[] = [],
    most = random.pick([16_384, 16_384, 16_384, 200, few ? 60 : 30, few ? 40 : 5, few ? 20 : 1]);
  for (let from = 0; from < message.length;) {
    const bytes = most === 16_384 ? most : random.size(most);
    const type = odd && random.oneIn(300) ? 23 : 22;
    if (odd && random.oneIn(300)) parts.push(record(new Uint8Array(0)));
    parts.push(record(message.subarray(from, from + bytes), type, random.pick([0x0301, 0x0303, 0x0300])));
    from += bytes;
  }
  return join(...parts);
}
