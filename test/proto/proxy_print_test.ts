// What is written is what the specification says, and what the reader reads: of every introduction that can be.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { FULL, printOpen } from "../../src/proto/http1_print.ts";
import { INTRODUCTION_REST, Proxy, Tlv } from "../../src/proto/proxy_header.ts";
import { beginProxy, beginTlv, finishProxy, finishTlv, printProxyLine } from "../../src/proto/proxy_print.ts";
import { Random } from "../sim/random.ts";
import {
  addressOf,
  IP4,
  IP6,
  latin1,
  LOCAL,
  PATHS,
  PROXIED,
  read,
  sealed,
  tlv,
  v2,
} from "./proxy_fixture.ts";

const memory = new Uint8Array(8_192), FROM = 100, AT = 4_096, END = memory.length;
printOpen(memory);

const ip4 = (ip: number[], port: number): number[] => record(4, ip, port);
const ip6 = (groups: number[], port: number): number[] =>
  record(6, groups.flatMap((group) => [group >> 8, group & 255]), port);
const unix = (): number[] => record(1, [], 0);
const nobody = (): number[] => record(0, [], 0);

function record(family: number, ip: readonly number[], port: number): number[] {
  const bytes = [family, 0, port >> 8, port & 255, ...ip];
  return [...bytes, ...new Array<number>(24 - bytes.length).fill(0)];
}

/** Puts an introduction into the memory. */
function introduce(source: number[], destination: number[], rest: readonly number[] = []): void {
  memory.fill(0xa5);
  memory.set([...source, ...destination, ...rest], FROM);
}

const line = (from = FROM): string => {
  const end = printProxyLine(AT, END, memory, from);
  return String.fromCharCode(...memory.subarray(AT, end));
};

function header(from = FROM, checksum = false, datagram = false): Uint8Array {
  const end = finishProxy(memory, AT, beginProxy(memory, AT, END, from, datagram), checksum);
  return memory.slice(AT, end);
}

const A4 = ip4([192, 0, 2, 1], 56_324), B4 = ip4([198, 51, 100, 7], 443);
const A6 = ip6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 56_324), B6 = ip6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 443);

describe("printProxyLine", () => {
  const cases: [source: number[], destination: number[], line: string][] = [
    [A4, B4, "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"],
    [A6, B6, "PROXY TCP6 2001:db8::1 2001:db8::7 56324 443\r\n"],
    [A4, B6, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::7 56324 443\r\n"],
    [A6, B4, "PROXY TCP6 2001:db8::1 ::ffff:198.51.100.7 56324 443\r\n"],
    [unix(), unix(), "PROXY UNKNOWN\r\n"],
    [A4, nobody(), "PROXY UNKNOWN\r\n"],
    [A4, unix(), "PROXY UNKNOWN\r\n"],
  ];
  for (const [source, destination, wanted] of cases) {
    it(wanted.trim(), () => {
      introduce(source, destination);
      strictEqual(line(), wanted);
    });
  }

  it("of a connection of our own", () => strictEqual(line(-1), "PROXY UNKNOWN\r\n"));

  it("has room for the longest", () => {
    const longest = ip6(new Array<number>(8).fill(0xffff), 65_535);
    introduce(longest, longest);
    strictEqual(line().length, 104); // the 107 of the specification are those of UNKNOWN with addresses
    strictEqual(read(Uint8Array.from(latin1(line()))).verdict, Proxy.Found);
  });
});

describe("a header of version 2", () => {
  const cases: [why: string, source: number[], destination: number[], rest: number[], wanted: Uint8Array][] =
    [
      ["IPv4", A4, B4, [], v2(PROXIED, 0x11, IP4)],
      ["IPv6", A6, B6, [], v2(PROXIED, 0x21, IP6)],
      ["unix", unix(), unix(), PATHS, v2(PROXIED, 0x31, PATHS)],
      ["nobody knows", A4, nobody(), [], v2(PROXIED, 0x00, [])],
      ["different kinds", A4, unix(), PATHS, v2(PROXIED, 0x00, [])],
    ];
  for (const [why, source, destination, rest, wanted] of cases) {
    it(why, () => {
      introduce(source, destination, rest);
      deepStrictEqual(header(), wanted);
    });
  }

  it("of different families is IPv6, and read as what it is", () => {
    introduce(A4, B6);
    const { source, destination } = read(header());
    deepStrictEqual([source, destination], ["192.0.2.1:56324", "[2001:db8:0:0:0:0:0:7]:443"]);
  });

  it("of our own is LOCAL, with a checksum if that is wanted", () => {
    deepStrictEqual(header(-1), v2(LOCAL, 0, []));
    deepStrictEqual(header(-1, true), sealed(LOCAL, 0, []));
  });

  it("for UDP", () => {
    introduce(A4, B4);
    deepStrictEqual(header(FROM, false, true), v2(PROXIED, 0x12, IP4));
    introduce(A6, B6);
    deepStrictEqual(header(FROM, true, true), sealed(PROXIED, 0x22, IP6));
  });

  it("with fields, one in the other", () => {
    introduce(A4, B4);
    let end = beginProxy(memory, AT, END, FROM, false);
    const outer = end, value = beginTlv(memory, outer, Tlv.Ssl);
    memory.set([1, 0, 0, 0, 0], value);
    const inner = value + 5, version = beginTlv(memory, inner, Tlv.SslVersion);
    memory.set(latin1("TLSv1.3"), version);
    end = finishTlv(memory, outer, finishTlv(memory, inner, version + 7));
    end = finishProxy(memory, AT, end, true);
    const wanted = [...IP4, ...tlv(0x20, [1, 0, 0, 0, 0, ...tlv(0x21, latin1("TLSv1.3"))])];
    deepStrictEqual(memory.slice(AT, end), sealed(PROXIED, 0x11, wanted));
  });

  it("says when there is no room", () => {
    introduce(A4, B4);
    strictEqual(beginProxy(memory, AT, AT + 100, FROM, false), FULL);
  });
});

describe("what is written", () => {
  it("is read as what it was", () => {
    const random = new Random(11);
    const some = (): number[] => {
      const port = random.below(65_536);
      if (random.oneIn(2)) return ip4(Array.from({ length: 4 }, () => random.below(256)), port);
      const groups = Array.from({ length: 8 }, () => random.oneIn(2) ? 0 : random.below(65_536));
      return ip6(groups, port);
    };
    for (let round = 0; round < 1_000; round++) {
      const source = some(), destination = some();
      introduce(source, destination);
      const wanted = [source, destination].map((one) => addressOf(Uint8Array.from(one)));
      const isMapped = wanted.some((text) => /^\[0:0:0:0:0:ffff:/.test(text));
      for (const bytes of [Uint8Array.from(latin1(line())), header(FROM, random.oneIn(2))]) {
        const said = read(bytes);
        strictEqual(said.bytes, bytes.length);
        if (!isMapped) deepStrictEqual([said.source, said.destination], wanted, `round ${round}`);
      }
    }
  });

  it("keeps what was introduced where it lies", () => {
    introduce(A4, B4);
    const before = memory.slice(FROM, FROM + INTRODUCTION_REST);
    header();
    line();
    deepStrictEqual(memory.slice(FROM, FROM + INTRODUCTION_REST), before);
  });
});
