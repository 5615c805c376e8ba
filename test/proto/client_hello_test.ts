import { deepEqual, ok, strictEqual, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import {
  HELLO_BYTES_MAX,
  HELLO_PEEK_BYTES,
  HELLO_RECORDS_MAX,
  HELLO_SPARE_BYTES,
} from "../../src/base/limits.ts";
import { copyServerName, Hello, readHello } from "../../src/proto/client_hello.ts";
import {
  alpn,
  bytes16,
  bytes8,
  encryptedHello,
  extension,
  hello,
  helloOf,
  join,
  keyShare,
  latin1,
  message,
  type Parts,
  read,
  record,
  records,
  type Said,
  serverName,
  textOf,
  vector16,
  vector8,
  versions,
} from "./hello_fixture.ts";

const SIMPLE = helloOf(serverName("a.example"));
const EMPTY = new Uint8Array(0);
/** Key shares of X25519MLKEM768 and X25519: what browsers send. */
const POST_QUANTUM = helloOf(
  extension(0x3a3a),
  serverName("pq.example"),
  versions(0x2a2a, 0x0304, 0x0303),
  alpn("h2", "http/1.1"),
  keyShare(0x11ec, 1_216),
  keyShare(0x001d, 32),
  encryptedHello(new Uint8Array(240)),
  extension(0x5a5a, bytes8(0)),
);
const LONGEST = helloOf(
  serverName("long.example"),
  extension(21, new Uint8Array(HELLO_BYTES_MAX - helloOf(serverName("long.example"), extension(21)).length)),
);

/** Every beginning of a connection gives NeedMore or the final verdict, and asks for what it says. */
function cutAnywhere(bytes: Uint8Array, step = 1): void {
  const whole = read(bytes);
  for (let cut = 0; cut < bytes.length; cut += step) {
    const got = read(bytes, cut);
    if (got.verdict !== Hello.NeedMore) {
      deepEqual(got, whole, `cut at ${cut}`);
      continue;
    }
    ok(got.needs > cut && got.needs <= HELLO_PEEK_BYTES, `cut at ${cut}: needs ${got.needs}`);
    if (whole.verdict === Hello.Found) ok(got.needs <= bytes.length, `cut at ${cut}: needs ${got.needs}`);
  }
}

function says(bytes: Uint8Array): Omit<Said, "needs"> {
  const { verdict, name, alpn, version } = read(bytes);
  return { verdict, name, alpn, version };
}

describe("readHello finds", () => {
  const cases: [message: Uint8Array, name: string, alpn: string[], version: number, why: string][] = [
    [SIMPLE, "a.example", [], 0x0303, "a name"],
    [hello({}), "", [], 0x0303, "no extensions at all, as SSL 3.0 had it"],
    [hello({ extensions: [] }), "", [], 0x0303, "an empty block of extensions"],
    [helloOf(alpn("h2")), "", ["h2"], 0x0303, "no name"],
    [hello({ version: bytes16(0x0301), session: bytes8(0) }), "", [], 0x0301, "TLS 1.0, no session"],
    [hello({ version: bytes16(0x0300) }), "", [], 0x0300, "SSL 3.0"],
    [hello({ version: bytes16(0x0304) }), "", [], 0x0303, "1.3 is not offered by legacy_version"],
    [hello({ version: bytes16(0x03ff) }), "", [], 0x0303, "a version there is not"],
    [helloOf(versions(0x0304)), "", [], 0x0304, "TLS 1.3"],
    [helloOf(versions(0x0303, 0x0304, 0x0302)), "", [], 0x0304, "the highest, wherever it stands"],
    [helloOf(versions(0x0302)), "", [], 0x0302, "less than legacy_version says: that one counts no more"],
    [helloOf(versions(0xfafa, 0x0303)), "", [], 0x0303, "GREASE is higher than everything, and nothing"],
    [helloOf(versions(0x0a0a)), "", [], 0, "GREASE alone"],
    [helloOf(versions(0x7f1c, 0x0303)), "", [], 0x0303, "a draft of 1.3"],
    [helloOf(versions(0x0305, 0x0304)), "", [], 0x0305, "what comes after 1.3"],
    [helloOf(alpn("h2", "http/1.1")), "", ["h2", "http/1.1"], 0x0303, "protocols, in their order"],
    [helloOf(alpn("\x0a\x0a", "h2")), "", ["\x0a\x0a", "h2"], 0x0303, "a GREASE protocol is one like others"],
    [helloOf(alpn("x".repeat(255))), "", ["x".repeat(255)], 0x0303, "the longest name of a protocol"],
    [helloOf(serverName("A.EXAMPLE")), "a.example", [], 0x0303, "a name in capitals"],
    [helloOf(serverName("a.example.")), "a.example", [], 0x0303, "the root's dot is left out"],
    [helloOf(serverName("localhost")), "localhost", [], 0x0303, "one label"],
    [helloOf(serverName("_x-1.a_b.example")), "_x-1.a_b.example", [], 0x0303, "underscores"],
    [helloOf(serverName("xn--bcher-kva.example")), "xn--bcher-kva.example", [], 0x0303, "an IDN"],
    [helloOf(serverName("1.2.3")), "1.2.3", [], 0x0303, "digits that are no address"],
    [helloOf(serverName("1.2.3.256")), "1.2.3.256", [], 0x0303, "nor these"],
    [
      helloOf(extension(0x4a4a), serverName("g.example"), extension(0xdada, bytes8(0)), alpn("h2")),
      "g.example",
      ["h2"],
      0x0303,
      "GREASE extensions",
    ],
    [
      hello({ ciphers: vector16(bytes16(0x8a8a), bytes16(0x1301)), extensions: [serverName("a")] }),
      "a",
      [],
      0x0303,
      "a GREASE cipher suite",
    ],
    [
      helloOf(serverName("outer.example"), encryptedHello(helloOf(serverName("inner.example")))),
      "outer.example",
      [],
      0x0303,
      "an encrypted hello: the outer name",
    ],
    [
      helloOf(encryptedHello(serverName("inner.example"))),
      "",
      [],
      0x0303,
      "an encrypted hello without an outer name",
    ],
    [
      helloOf(extension(21, serverName("padding.example")), serverName("a.example")),
      "a.example",
      [],
      0x0303,
      "what looks like a name in the padding",
    ],
    [POST_QUANTUM, "pq.example", ["h2", "http/1.1"], 0x0304, "post-quantum keys"],
    [LONGEST, "long.example", [], 0x0303, "the longest there may be"],
  ];
  for (const [bytes, name, protocols, version, why] of cases) {
    it(why, () => {
      const want = { verdict: Hello.Found, name, alpn: protocols, version };
      deepEqual(says(records(bytes)), want);
      deepEqual(says(join(records(bytes), latin1("early data"))), want, "with bytes behind it");
      deepEqual(says(records(bytes, [1, 2, 3, 4, 5])), want, "its beginning in records of one byte");
      cutAnywhere(records(bytes), bytes.length > 4_096 ? 97 : 1);
      cutAnywhere(records(bytes, [1, 2, 40]), bytes.length > 4_096 ? 97 : 1);
    });
  }
});

describe("readHello, of a hello in several records", () => {
  const wanted = (bytes: Uint8Array): Omit<Said, "needs"> => says(records(bytes));

  it("finds the same wherever they are cut", () => {
    for (const bytes of [SIMPLE, POST_QUANTUM]) {
      const want = wanted(bytes);
      strictEqual(want.verdict, Hello.Found);
      for (let cut = 1; cut < bytes.length; cut++) deepEqual(says(records(bytes, [cut])), want, `at ${cut}`);
    }
  });

  it("finds the same in records of one byte", () => {
    const cuts = Array.from({ length: SIMPLE.length - 1 }, (_, at) => at + 1);
    deepEqual(says(records(SIMPLE, cuts)), wanted(SIMPLE));
    cutAnywhere(records(SIMPLE, cuts));
  });

  it("takes each record's version for what it is: nothing", () => {
    for (const version of [0x0300, 0x0301, 0x0303, 0x0304, 0x03ff]) {
      const parts = [record(SIMPLE.subarray(0, 9), 22, version), record(SIMPLE.subarray(9), 22, 0x0302)];
      deepEqual(says(join(...parts)), wanted(SIMPLE));
    }
  });

  const spread = (bytes: Uint8Array, count: number): Uint8Array =>
    records(bytes, Array.from({ length: count - 1 }, (_, at) => at + 1));

  it("takes as many as it says, and no more", () => {
    const bytes = helloOf(serverName("a.example"), extension(21, new Uint8Array(1_000)));
    strictEqual(read(spread(bytes, HELLO_RECORDS_MAX)).verdict, Hello.Found);
    strictEqual(read(spread(bytes, HELLO_RECORDS_MAX + 1)).verdict, Hello.TooLarge);
    cutAnywhere(spread(bytes, HELLO_RECORDS_MAX + 1));
  });

  it("knows by HELLO_PEEK_BYTES what it is, however it is cut", () => {
    for (const count of [1, 2, HELLO_RECORDS_MAX - 1, HELLO_RECORDS_MAX]) {
      const bytes = spread(LONGEST, count);
      strictEqual(bytes.length, LONGEST.length + 5 * count);
      ok(bytes.length <= HELLO_PEEK_BYTES);
      strictEqual(read(bytes).verdict, Hello.Found);
      for (let cut = 0; cut < bytes.length; cut += 499) {
        strictEqual(read(bytes, cut).verdict, Hello.NeedMore, `${count} records, cut at ${cut}`);
      }
    }
    strictEqual(LONGEST.length, HELLO_BYTES_MAX);
    strictEqual(spread(LONGEST, HELLO_RECORDS_MAX).length, HELLO_PEEK_BYTES);
  });

  it("asks for what can make it whole: two looks at a hello in one record that comes in many segments", () => {
    const bytes = records(POST_QUANTUM);
    strictEqual(read(bytes, 0).needs, 1);
    strictEqual(read(bytes, 1).needs, 6);
    strictEqual(read(bytes, 6).needs, bytes.length);
    strictEqual(read(bytes, bytes.length - 1).needs, bytes.length);
  });

  it("asks for the next record's header, and at least for what is left of the hello", () => {
    const bytes = records(POST_QUANTUM, [2, 100]), left = POST_QUANTUM.length - 100;
    strictEqual(read(bytes, 4).needs, 6);
    strictEqual(read(bytes, 5).needs, 7, "the length of the hello is not known yet");
    strictEqual(read(bytes, 7).needs, 13);
    strictEqual(read(bytes, 17).needs, 7 + 5 + 98 + 5 + left);
    strictEqual(read(bytes, 7 + 5 + 98).needs, 7 + 5 + 98 + 5 + left);
    strictEqual(read(bytes, 7 + 5 + 98 + 4).needs, bytes.length);
  });
});

describe("readHello refuses", () => {
  const body = (bytes: Uint8Array): Uint8Array => bytes.subarray(4);
  const withExtension = (...parts: readonly Uint8Array[]): Uint8Array => records(helloOf(...parts));
  const withParts = (parts: Parts): Uint8Array => records(hello({ extensions: [serverName("a")], ...parts }));
  /** A message whose header says that it is longer. */
  const claiming = (length: number): Uint8Array => {
    const bytes = SIMPLE.slice();
    bytes.set([1, length >> 16, length >> 8, length]);
    return bytes;
  };
  const cases: [bytes: Uint8Array, want: Hello, why: string][] = [
    [latin1("SSH-2.0-x\r\n"), Hello.NotTls, "SSH"],
    [latin1("\0"), Hello.NotTls, "a zero"],
    [latin1("\x80\x2e\x01\x03\x01"), Hello.NotTls, "a hello of SSL 2.0"],
    [latin1("\x16\x02\0\0\x01"), Hello.NotTls, "a record of version 2"],
    [latin1("\x16\xfe\xfd\0\0"), Hello.NotTls, "DTLS"],
    [record(latin1("\x02\x28"), 21), Hello.NotTls, "an alert"],
    [record(latin1("x"), 23), Hello.NotTls, "application data"],
    [latin1("GET / HTTP/1.1\r\n"), Hello.PlainHttp, "GET"],
    [latin1("OPTIONS * HTTP/1.1\r\n"), Hello.PlainHttp, "OPTIONS"],
    [latin1("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Hello.PlainHttp, "the preface of HTTP/2"],
    [latin1("PUT x"), Hello.PlainHttp, "PUT, which begins as POST does"],
    [latin1("GETS / HTTP/1.1\r\n"), Hello.NotTls, "more than a method"],
    [latin1("get / HTTP/1.1\r\n"), Hello.NotTls, "no method: they have capitals"],
    [latin1("EHLO a.example\r\n"), Hello.NotTls, "mail"],
    [record(message(2, body(SIMPLE))), Hello.Malformed, "a ServerHello"],
    [record(latin1("\0\0\0\0")), Hello.Malformed, "a HelloRequest"],
    [latin1("\x16\x03\x01\0\0"), Hello.Malformed, "an empty record"],
    [
      join(record(SIMPLE.subarray(0, 9)), latin1("\x16\x03\x01\0\0")),
      Hello.Malformed,
      "an empty record later",
    ],
    [latin1("\x16\x03\x01\x40\x01"), Hello.Malformed, "a record of more than 2^14"],
    [join(record(SIMPLE.subarray(0, 9)), record(SIMPLE.subarray(9), 23)), Hello.Malformed, "data within"],
    [join(record(SIMPLE.subarray(0, 9)), record(bytes8(1), 20)), Hello.Malformed, "a CCS within"],
    [
      join(record(SIMPLE.subarray(0, 9)), record(SIMPLE.subarray(9), 22, 0x0201)),
      Hello.Malformed,
      "another major version within",
    ],
    [record(join(SIMPLE, bytes8(0))), Hello.Malformed, "a byte behind the hello in its record"],
    [join(record(SIMPLE.subarray(0, 9)), record(join(SIMPLE.subarray(9), SIMPLE))), Hello.Malformed, "two"],
    [records(claiming(HELLO_BYTES_MAX - 3)), Hello.TooLarge, "one byte more than may be"],
    [records(claiming(0xffffff)), Hello.TooLarge, "the longest a message can be"],
    [record(message(1, EMPTY)), Hello.Malformed, "an empty hello"],
    [record(message(1, body(SIMPLE).subarray(0, 34))), Hello.Malformed, "a hello that ends with random"],
    [record(message(1, body(SIMPLE).subarray(0, 40))), Hello.Malformed, "one that ends in the session"],
    [record(message(1, body(SIMPLE).subarray(0, 67))), Hello.Malformed, "one that ends behind it"],
    [record(message(1, body(SIMPLE).subarray(0, 71))), Hello.Malformed, "one that ends in the ciphers"],
    [record(message(1, body(SIMPLE).subarray(0, 75))), Hello.Malformed, "one that ends behind them"],
    [withParts({ version: bytes16(0x0403) }), Hello.Malformed, "legacy_version 4"],
    [withParts({ session: vector8(new Uint8Array(33)) }), Hello.Malformed, "a session of 33 bytes"],
    [withParts({ ciphers: bytes16(0) }), Hello.Malformed, "no cipher suite"],
    [withParts({ ciphers: vector16(new Uint8Array(3)) }), Hello.Malformed, "one and a half of them"],
    [withParts({ ciphers: join(bytes16(0xffff), bytes16(0x1301)) }), Hello.Malformed, "more than there are"],
    [withParts({ compressions: bytes8(0) }), Hello.Malformed, "no compression method"],
    [withParts({ compressions: bytes8(255) }), Hello.Malformed, "more of them than there are"],
    [record(message(1, join(body(hello({})), bytes8(0)))), Hello.Malformed, "half a length of extensions"],
    [record(message(1, join(body(hello({})), bytes16(1)))), Hello.Malformed, "extensions that are not there"],
    [
      record(message(1, join(body(hello({ extensions: [] })), bytes8(0)))),
      Hello.Malformed,
      "a byte behind the extensions",
    ],
    [withExtension(bytes8(0)), Hello.Malformed, "a quarter of an extension"],
    [
      withExtension(join(bytes16(5), bytes16(1))),
      Hello.Malformed,
      "an extension that goes on behind the end",
    ],
    [withExtension(serverName("a"), serverName("a")), Hello.Malformed, "two names"],
    [withExtension(serverName("a"), serverName("1.2.3.4")), Hello.Malformed, "two, of which one is none"],
    [withExtension(alpn("a"), alpn("b")), Hello.Malformed, "two lists of protocols"],
    [withExtension(versions(0x0304), versions(0x0303)), Hello.Malformed, "two lists of versions"],
    [withExtension(extension(0)), Hello.Malformed, "an empty extension for a name, as servers send it"],
    [withExtension(extension(0, bytes16(0))), Hello.Malformed, "an empty list of names"],
    [withExtension(serverName("")), Hello.Malformed, "an empty name"],
    [
      withExtension(
        extension(0, vector16(bytes8(0), vector16(latin1("a")), bytes8(0), vector16(latin1("b")))),
      ),
      Hello.Malformed,
      "two names in one list",
    ],
    [
      withExtension(extension(0, vector16(bytes8(7), vector16(latin1("a"))))),
      Hello.Malformed,
      "a name that is no host's",
    ],
    [
      withExtension(extension(0, bytes16(9), bytes8(0), vector16(latin1("a")))),
      Hello.Malformed,
      "a list longer than its extension",
    ],
    [
      withExtension(extension(0, vector16(bytes8(0), bytes16(2), latin1("a")))),
      Hello.Malformed,
      "a name longer than its list",
    ],
    [
      withExtension(extension(0, vector16(bytes8(0), vector16(latin1("a"))), bytes8(0))),
      Hello.Malformed,
      "a byte behind the list",
    ],
    [withExtension(extension(16)), Hello.Malformed, "an empty extension for protocols"],
    [withExtension(extension(16, bytes16(0))), Hello.Malformed, "an empty list of them"],
    [withExtension(alpn("")), Hello.Malformed, "a protocol without a name"],
    [withExtension(alpn("h2", "")), Hello.Malformed, "a second one without"],
    [withExtension(extension(16, vector16(bytes8(9), latin1("h2")))), Hello.Malformed, "a name too long"],
    [withExtension(extension(16, bytes16(9), vector8(latin1("h2")))), Hello.Malformed, "a list too long"],
    [withExtension(extension(43)), Hello.Malformed, "an empty extension for versions"],
    [withExtension(extension(43, bytes8(0))), Hello.Malformed, "an empty list of them"],
    [withExtension(extension(43, vector8(bytes8(3)))), Hello.Malformed, "half a version"],
    [withExtension(extension(43, bytes8(4), bytes16(0x0304))), Hello.Malformed, "more than there are"],
    [
      withExtension(extension(43, bytes8(2), bytes16(0x0304), bytes16(0))),
      Hello.Malformed,
      "some behind them",
    ],
    [withExtension(serverName("192.0.2.1")), Hello.BadName, "an address (RFC 6066 section 3)"],
    [withExtension(serverName("192.0.2.1.")), Hello.BadName, "the same with a dot"],
    [withExtension(serverName("2001:db8::1")), Hello.BadName, "an IPv6 address"],
    [withExtension(serverName("[::1]")), Hello.BadName, "the same in brackets"],
    [withExtension(serverName("a.example:443")), Hello.BadName, "a port"],
    [withExtension(serverName("*.example")), Hello.BadName, "a wildcard"],
    [withExtension(serverName("a b")), Hello.BadName, "a space"],
    [withExtension(serverName("a\0.example")), Hello.BadName, "a zero"],
    [withExtension(serverName("b\xfccher.example")), Hello.BadName, "Latin-1"],
    [withExtension(serverName(".")), Hello.BadName, "the root alone"],
    [withExtension(serverName("a..")), Hello.BadName, "two dots at the end"],
    [withExtension(serverName("a..b")), Hello.BadName, "two dots"],
    [withExtension(serverName(".a")), Hello.BadName, "a dot first"],
    [withExtension(serverName("a".repeat(2_000))), Hello.BadName, "a name of 2,000 octets"],
  ];
  for (const [bytes, want, why] of cases) {
    it(why, () => {
      strictEqual(read(bytes).verdict, want);
      cutAnywhere(bytes);
    });
  }

  it("bytes before it knows what a record is only as far as it must", () => {
    strictEqual(read(latin1("G")).verdict, Hello.NeedMore);
    strictEqual(read(latin1("GX")).verdict, Hello.NotTls);
    strictEqual(read(latin1("CONNECT")).needs, 8);
    strictEqual(read(latin1("\x16")).verdict, Hello.NeedMore);
    strictEqual(read(EMPTY).verdict, Hello.NeedMore);
  });

  it("a spare place that is none", () => {
    const bytes = new Uint8Array(100 + HELLO_SPARE_BYTES);
    throws(() => readHello(bytes, 0, 101, 100), /spare place is where/);
    throws(() => readHello(bytes, 0, 10, 101), /too short/);
    strictEqual(readHello(bytes, HELLO_SPARE_BYTES, HELLO_SPARE_BYTES + 9, 0), Hello.NotTls);
  });
});

describe("copyServerName", () => {
  const label = "a".repeat(63), longest = `${`${label}.`.repeat(3)}${"b".repeat(61)}`;
  const cases: [text: string, want: string, why: string][] = [
    [longest, longest, "253 octets"],
    [`${longest}.`, longest, "and a dot"],
    [`${longest}b`, "", "254 octets"],
    [`${label}.b`, `${label}.b`, "a label of 63"],
    [`${label}a.b`, "", "a label of 64"],
    [`b.${label}`, `b.${label}`, "a last one of 63"],
    [`b.${label}a`, "", "a last one of 64"],
    ["-a-.b-", "-a-.b-", "dashes: what DNS makes of them is not ours to say"],
    ["0.0.0.0", "", "an address"],
    ["01.2.3.4", "01.2.3.4", "none that any client means"],
    ["", "", "nothing"],
  ];
  for (const [text, want, why] of cases) {
    it(why, () => {
      const bytes = join(latin1(`x${text}y`), new Uint8Array(300)), to = 2 + text.length;
      const count = copyServerName(bytes, 1, 1 + text.length, to);
      strictEqual(textOf(bytes.subarray(to, to + count)), want);
    });
  }

  it("knows each octet for what it is", () => {
    const legal = /^[a-z0-9_-]$/i;
    for (let octet = 0; octet < 256; octet++) {
      const text = String.fromCharCode(octet), bytes = join(latin1(`a${text}z`), new Uint8Array(256));
      const count = copyServerName(bytes, 0, 3, 3), copy = textOf(bytes.subarray(3, 3 + count));
      strictEqual(copy, legal.test(text) || text === "." ? `a${text.toLowerCase()}z` : "", `octet ${octet}`);
    }
  });
});
