import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { PROXY_BYTES_MAX } from "../../src/base/limits.ts";
import { crc32c } from "../../src/proto/crc32c.ts";
import { PROXY_FLAWS, ProxyFlaw } from "../../src/proto/proxy_flaw.ts";
import { Proxy } from "../../src/proto/proxy_header.ts";
import { Random } from "../sim/random.ts";
import {
  crc32cOf,
  IP4,
  IP6,
  latin1,
  LOCAL,
  PATHS,
  PROXIED,
  read,
  type Said,
  sealed,
  SIGNATURE,
  tlv,
  v2,
} from "./proxy_fixture.ts";

const line = (text: string): Uint8Array => Uint8Array.from(latin1(text));
const NOISE = Uint8Array.from([1, 2, 3, 13, 10, 80]);

/** Every beginning gives NeedMore or what the whole gives, and so does the whole with more behind it. */
function cutAnywhere(header: Uint8Array, whole: Said, why: string): void {
  for (let cut = 0; cut < header.length; cut++) {
    const said = read(header, cut);
    if (said.verdict !== Proxy.NeedMore) deepStrictEqual(said, whole, `${why}, cut at ${cut}`);
    else if (whole.verdict === Proxy.Found) ok(cut < whole.bytes, `${why}: needs no more at ${cut}`);
  }
  const longer = new Uint8Array([...header, ...NOISE]);
  if (whole.verdict !== Proxy.NeedMore) deepStrictEqual(read(longer), whole, `${why}, with more behind it`);
}

describe("readProxy finds", () => {
  const ip4 = ["192.0.2.1:56324", "198.51.100.7:443"],
    ip6 = ["[2001:db8:0:0:0:0:0:1]:56324", "[2001:db8:0:0:0:0:0:7]:443"];
  const fields = [...tlv(2, latin1("a.example")), ...tlv(5, latin1("id")), ...tlv(0xea, [1, 2])];
  const longest = `PROXY UNKNOWN ${"f".repeat(91)}\r\n`;
  const cases: [header: Uint8Array, addresses: readonly string[], rest: number[], why: string][] = [
    [line("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"), ip4, [], "version 1, IPv4"],
    [
      line("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"),
      ["0.0.0.0:0", "255.255.255.255:65535"],
      [],
      "edges",
    ],
    [line("PROXY TCP6 2001:db8::1 2001:DB8::7 56324 443\r\n"), ip6, [], "version 1, IPv6"],
    [
      line("PROXY TCP6 2001:0db8:0:0:0:0:0:1 2001:db8:0::0:7 56324 443\r\n"),
      ip6,
      [],
      "other ways to write it",
    ],
    [line("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6407 56324 443\r\n"), ip4, [], "mapped IPv4 is IPv4"],
    [line("PROXY TCP6 :: ::1 1 2\r\n"), ["[0:0:0:0:0:0:0:0]:1", "[0:0:0:0:0:0:0:1]:2"], [], "the shortest"],
    [
      line("PROXY TCP6 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1 2\r\n"),
      ["[1:2:3:4:5:6:7:0]:1", "[0:2:3:4:5:6:7:8]:2"],
      [],
      ":: for one",
    ],
    [
      line("PROXY TCP6 64:ff9b::1.2.3.4 1:2:3:4:5:6:7:8 1 2\r\n"),
      ["[64:ff9b:0:0:0:0:102:304]:1", "[1:2:3:4:5:6:7:8]:2"],
      [],
      "dots at the end",
    ],
    [line("PROXY UNKNOWN\r\n"), ["", ""], [], "UNKNOWN"],
    [line("PROXY UNKNOWN ffff::1 what ever 1 2\r\n"), ["", ""], [], "UNKNOWN with what nobody reads"],
    [line(longest), ["", ""], [], "107 bytes"],
    [v2(PROXIED, 0x11, IP4), ip4, [], "version 2, IPv4"],
    [v2(PROXIED, 0x21, IP6), ip6, [], "version 2, IPv6"],
    [v2(PROXIED, 0x31, PATHS), ["unix", "unix"], PATHS, "unix, with its paths"],
    [v2(PROXIED, 0x11, [...IP4, ...fields]), ip4, fields, "fields are kept"],
    [v2(PROXIED, 0x11, [...IP4, ...tlv(4, [0, 0, 0]), ...tlv(4, [])]), ip4, [], "padding is not"],
    [sealed(PROXIED, 0x21, [...IP6, ...fields]), ip6, fields, "a checksum that holds, and is not kept"],
    [v2(PROXIED, 0x00, []), ["", ""], [], "UNSPEC"],
    [sealed(PROXIED, 0x00, tlv(5, [1])), ["", ""], [], "UNSPEC with fields"],
    [v2(LOCAL, 0x00, []), ["", ""], [], "LOCAL"],
    [v2(LOCAL, 0xff, [9, 9, 9]), ["", ""], [], "LOCAL: whatever else it says is skipped"],
    [v2(LOCAL, 0x11, IP4), ["", ""], [], "LOCAL with addresses that do not count"],
    [
      v2(PROXIED, 0x11, [...IP4, ...tlv(0xe0, new Array<number>(PROXY_BYTES_MAX - 31).fill(7))]),
      ip4,
      tlv(0xe0, new Array<number>(PROXY_BYTES_MAX - 31).fill(7)),
      "as long as may be",
    ],
  ];
  for (const [header, [source, destination], rest, why] of cases) {
    it(why, () => {
      const said = read(header);
      deepStrictEqual(said, {
        verdict: Proxy.Found,
        bytes: header.length,
        flaw: 0,
        source,
        destination,
        rest,
      });
      if (header.length < 500) cutAnywhere(header, said, why);
    });
  }
});

describe("readProxy refuses", () => {
  const cases: [header: Uint8Array, flaw: ProxyFlaw, why: string][] = [
    [line("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n"), ProxyFlaw.ControlCharacter, "LF alone"],
    [line("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\r\n"), ProxyFlaw.ControlCharacter, "CR twice"],
    [line("PROXY TCP4\t192.0.2.1 198.51.100.7 56324 443\r\n"), ProxyFlaw.ControlCharacter, "a tab"],
    [line("PROXY UNKNOWN \0\r\n"), ProxyFlaw.ControlCharacter, "NUL, in UNKNOWN as well"],
    [line("PROXY \r\n"), ProxyFlaw.BadProtocol, "no protocol"],
    [line("PROXY tcp4 192.0.2.1 198.51.100.7 56324 443\r\n"), ProxyFlaw.BadProtocol, "in lower case"],
    [
      line("PROXY UDP4 192.0.2.1 198.51.100.7 56324 443\r\n"),
      ProxyFlaw.BadProtocol,
      "UDP is none of version 1",
    ],
    [line("PROXY  TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"), ProxyFlaw.BadProtocol, "two spaces"],
    [line("PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n"), ProxyFlaw.BadLine, "two spaces, later"],
    [line("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n"), ProxyFlaw.BadLine, "a space at the end"],
    [line("PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n"), ProxyFlaw.BadLine, "a word is missing"],
    [line("PROXY TCP4\r\n"), ProxyFlaw.BadLine, "all are"],
    [line("PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n"), ProxyFlaw.BadLine, "a word more"],
    [line("PROXY TCP4 192.0.2.01 198.51.100.7 56324 443\r\n"), ProxyFlaw.BadAddress, "a leading zero"],
    [line("PROXY TCP4 192.0.2.256 198.51.100.7 56324 443\r\n"), ProxyFlaw.BadAddress, "256"],
    [line("PROXY TCP4 192.0.2 198.51.100.7 56324 443\r\n"), ProxyFlaw.BadAddress, "three numbers"],
    [line("PROXY TCP4 192.0.2.1.5 198.51.100.7 56324 443\r\n"), ProxyFlaw.BadAddress, "five"],
    [line("PROXY TCP4 ::1 198.51.100.7 56324 443\r\n"), ProxyFlaw.BadAddress, "IPv6 in TCP4"],
    [line("PROXY TCP6 192.0.2.1 ::1 56324 443\r\n"), ProxyFlaw.BadAddress, "IPv4 in TCP6"],
    [line("PROXY TCP6 ::1%lo ::1 1 2\r\n"), ProxyFlaw.BadAddress, "a zone"],
    [line("PROXY TCP6 1::2::3 ::1 1 2\r\n"), ProxyFlaw.BadAddress, ":: twice"],
    [line("PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n"), ProxyFlaw.BadAddress, "seven groups"],
    [line("PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n"), ProxyFlaw.BadAddress, "nine"],
    [line("PROXY TCP6 1:2:3:4:5:6:7:8:: ::1 1 2\r\n"), ProxyFlaw.BadAddress, "eight and ::"],
    [line("PROXY TCP6 12345:: ::1 1 2\r\n"), ProxyFlaw.BadAddress, "five digits"],
    [line("PROXY TCP6 :1:: ::1 1 2\r\n"), ProxyFlaw.BadAddress, "one colon first"],
    [line("PROXY TCP6 1:: ::1: 1 2\r\n"), ProxyFlaw.BadAddress, "one colon last"],
    [line("PROXY TCP6 ::: ::1 1 2\r\n"), ProxyFlaw.BadAddress, "three"],
    [line("PROXY TCP6 ::1.2.3.4:5 ::1 1 2\r\n"), ProxyFlaw.BadAddress, "dots in the middle"],
    [line("PROXY TCP6 [::1] ::1 1 2\r\n"), ProxyFlaw.BadAddress, "brackets"],
    [line("PROXY TCP4 1.1.1.1 2.2.2.2 65536 443\r\n"), ProxyFlaw.BadPort, "65536"],
    [line("PROXY TCP4 1.1.1.1 2.2.2.2 01 443\r\n"), ProxyFlaw.BadPort, "a leading zero"],
    [line("PROXY TCP4 1.1.1.1 2.2.2.2 -1 443\r\n"), ProxyFlaw.BadPort, "a sign"],
    [line("PROXY TCP4 1.1.1.1 2.2.2.2 1 4x\r\n"), ProxyFlaw.BadPort, "a letter"],
    [v2(0x11, 0x11, IP4), ProxyFlaw.BadVersion, "version 1 in binary"],
    [v2(0x31, 0x11, IP4), ProxyFlaw.BadVersion, "version 3"],
    [v2(0x22, 0x11, IP4), ProxyFlaw.BadCommand, "a command that is none"],
    [v2(PROXIED, 0x41, IP4), ProxyFlaw.BadFamily, "a family that is none"],
    [v2(PROXIED, 0x13, IP4), ProxyFlaw.BadFamily, "a transport that is none"],
    [v2(PROXIED, 0x10, IP4), ProxyFlaw.BadFamily, "a family without transport"],
    [v2(PROXIED, 0x01, IP4), ProxyFlaw.BadFamily, "a transport without family"],
    [v2(PROXIED, 0x12, IP4), ProxyFlaw.OtherTransport, "UDP by TCP"],
    [v2(PROXIED, 0x11, IP4.slice(1)), ProxyFlaw.ShortAddresses, "shorter than its addresses"],
    [v2(PROXIED, 0x21, IP4), ProxyFlaw.ShortAddresses, "IPv4 for IPv6"],
    [v2(PROXIED, 0x31, PATHS.slice(1)), ProxyFlaw.ShortAddresses, "shorter than its paths"],
    [v2(PROXIED, 0x11, [...IP4, 5, 0]), ProxyFlaw.BadTlv, "a field without length"],
    [
      v2(PROXIED, 0x11, [...IP4, ...tlv(5, [1, 2], 3)]),
      ProxyFlaw.BadTlv,
      "a field that goes on behind the header",
    ],
    [v2(PROXIED, 0x11, [...IP4, ...tlv(3, [0, 0, 0])]), ProxyFlaw.BadTlv, "a checksum of three bytes"],
    [v2(PROXIED, 0x11, [...IP4, ...tlv(5, [1]), ...tlv(5, [2])]), ProxyFlaw.BadTlv, "two unique ids"],
    [
      v2(PROXIED, 0x11, [...IP4, ...tlv(3, [0, 0, 0, 0])]),
      ProxyFlaw.BadChecksum,
      "a checksum that does not hold",
    ],
    [v2(PROXIED, 0x00, tlv(3, [0, 0, 0, 0])), ProxyFlaw.BadChecksum, "the same without addresses"],
    [
      v2(PROXIED, 0x11, [...IP4, ...tlv(5, new Array<number>(129).fill(1))]),
      ProxyFlaw.LongUniqueId,
      "129 bytes",
    ],
  ];
  for (const [header, flaw, why] of cases) {
    it(`${why}: ${PROXY_FLAWS[flaw]}`, () => {
      const said = read(header);
      deepStrictEqual(said, {
        verdict: Proxy.Malformed,
        bytes: 0,
        flaw,
        source: "",
        destination: "",
        rest: [],
      });
      cutAnywhere(header, said, why);
    });
  }

  it("two checksums", () => {
    const bytes = sealed(PROXIED, 0x11, [...IP4, ...tlv(3, [0, 0, 0, 0])]);
    strictEqual(read(bytes).flaw, ProxyFlaw.BadTlv);
  });

  it("every bit that is turned under a checksum", () => {
    const good = sealed(PROXIED, 0x11, [...IP4, ...tlv(5, [1, 2, 3])]);
    for (let bit = 0; bit < 8 * good.length; bit++) {
      const bytes = good.slice();
      bytes[bit >> 3] ^= 1 << (bit & 7);
      const { verdict, source } = read(bytes);
      // LOCAL has no checksum that counts, and what has another type is none.
      if (bit >> 3 === good.length - 7) continue;
      ok(verdict !== Proxy.Found || source === "", `bit ${bit}`);
    }
  });

  const missing: [bytes: Uint8Array, why: string][] = [
    [line("GET / HTTP/1.1\r\n"), "a request"],
    [line("PROXYTCP4 "), "no space"],
    [line("proxy TCP4 "), "lower case"],
    [line("POST / HTTP/1.1\r\n"), "what begins like it"],
    [Uint8Array.of(22, 3, 1, 2, 0, 1), "a ClientHello"],
    [line("\r\n\r\nGET"), "empty lines"],
    [Uint8Array.from([...SIGNATURE.slice(0, 11), 13]), "a signature with another end"],
    [Uint8Array.of(0), "NUL"],
  ];
  for (const [bytes, why] of missing) {
    it(`${why}: it is no header`, () => {
      const said = read(bytes);
      strictEqual(said.verdict, Proxy.Missing);
      cutAnywhere(bytes, said, why);
    });
  }

  const long: [bytes: Uint8Array, why: string][] = [
    [line(`PROXY UNKNOWN ${"f".repeat(92)}\r\n`), "108 bytes of version 1"],
    [line(`PROXY UNKNOWN ${"f".repeat(200)}`), "a line that does not end"],
    [v2(PROXIED, 0x11, IP4, PROXY_BYTES_MAX - 15), "one byte too many"],
    [v2(LOCAL, 0x00, [], 65_535), "as long as can be said, by LOCAL"],
  ];
  for (const [bytes, why] of long) {
    it(`${why}: too long`, () => {
      const said = read(bytes);
      strictEqual(said.verdict, Proxy.TooLong);
      cutAnywhere(bytes, said, why);
    });
  }
});

describe("readProxy of a datagram", () => {
  it("takes version 2 with what lies behind it", () => {
    const header = v2(PROXIED, 0x12, IP4);
    const said = read(Uint8Array.from([...header, 1, 2, 3]), header.length + 3, true);
    deepStrictEqual([said.verdict, said.bytes, said.source], [Proxy.Found, header.length, "192.0.2.1:56324"]);
    strictEqual(read(v2(LOCAL, 0, []), 16, true).verdict, Proxy.Found);
    strictEqual(read(v2(PROXIED, 0x22, IP6), 52, true).source, "[2001:db8:0:0:0:0:0:1]:56324");
  });

  it("never waits for more", () => {
    const header = sealed(PROXIED, 0x12, [...IP4, ...tlv(5, [1])]);
    for (let cut = 0; cut < header.length; cut++) {
      const { verdict, flaw } = read(header, cut, true);
      if (cut === 0) strictEqual(verdict, Proxy.Missing);
      else deepStrictEqual([verdict, flaw], [Proxy.Malformed, ProxyFlaw.Cut], `cut at ${cut}`);
    }
  });

  it("refuses version 1 and what is said to come by TCP", () => {
    strictEqual(read(line("PROXY UNKNOWN\r\n"), 15, true).verdict, Proxy.Missing);
    strictEqual(read(v2(PROXIED, 0x11, IP4), 28, true).flaw, ProxyFlaw.OtherTransport);
  });
});

describe("readProxy of anything", () => {
  it("says one thing however it is cut, and reads no byte behind the end", () => {
    const random = new Random(7);
    const seeds = [
      line("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"),
      line("PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 56324 443\r\n"),
      v2(PROXIED, 0x11, [
        ...IP4,
        ...tlv(5, [1, 2, 3]),
        ...tlv(0x20, [1, 0, 0, 0, 0, ...tlv(0x21, latin1("TLSv1.3"))]),
      ]),
      sealed(PROXIED, 0x21, [...IP6, ...tlv(4, [0])]),
      v2(LOCAL, 0, tlv(3, [1, 2, 3, 4])),
    ];
    const verdicts = new Map<Proxy, number>();
    for (let round = 0; round < 4_000; round++) {
      const bytes = random.pick(seeds).slice();
      for (let changes = random.below(4); changes > 0; changes--) {
        bytes[random.below(bytes.length)] = random.oneIn(2)
          ? random.below(256)
          : random.pick(latin1(" :.\r\n0fP"));
      }
      const whole = read(bytes);
      verdicts.set(whole.verdict, (verdicts.get(whole.verdict) ?? 0) + 1);
      const cut = random.below(bytes.length), said = read(bytes, cut);
      if (said.verdict !== Proxy.NeedMore) deepStrictEqual(said, whole, `round ${round}, cut at ${cut}`);
    }
    for (const verdict of [Proxy.NeedMore, Proxy.Found, Proxy.Missing, Proxy.Malformed, Proxy.TooLong]) {
      ok((verdicts.get(verdict) ?? 0) > 20, `verdict ${verdict}: ${verdicts.get(verdict)}`);
    }
  });
});

describe("crc32c", () => {
  it("is Castagnoli's (RFC 3720 appendix B.4)", () => {
    const cases: [bytes: Uint8Array, crc: number][] = [
      [new Uint8Array(32), 0x8a9136aa],
      [new Uint8Array(32).fill(255), 0x62a8ab43],
      [Uint8Array.from({ length: 32 }, (_, at) => at), 0x46dd794e],
      [line("123456789"), 0xe3069283],
    ];
    for (const [bytes, crc] of cases) {
      strictEqual(crc32c(bytes, 0, bytes.length, bytes.length), crc);
      strictEqual(crc32cOf(bytes), crc);
    }
  });

  it("takes its own place for zeroes", () => {
    strictEqual(crc32c(Uint8Array.of(9, 7, 7, 7, 7, 9), 0, 6, 1), crc32cOf(Uint8Array.of(9, 0, 0, 0, 0, 9)));
  });
});
