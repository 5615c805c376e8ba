import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { ascii } from "../../src/proto/octet.ts";
import {
  FULL,
  print,
  printBegin,
  printBytes,
  printDecimal,
  printEnd,
  printHex,
  printIp,
  printOpen,
  printQuoted,
  printRun,
  printTenths,
  printThree,
  text,
} from "../../src/proto/http1_print.ts";

const bytes = new Uint8Array(4_096);
printOpen(bytes);
const AT = 1_024;

/** What is printed by `piece`, with room for `most` bytes. */
function printed(piece: () => void, most = 512): string | undefined {
  bytes.fill(0x21, AT);
  printBegin(AT, AT + most + 3);
  piece();
  const end = printEnd();
  return end === FULL ? undefined : new TextDecoder().decode(bytes.subarray(AT, end));
}

function record(family: number, ...ip: number[]): Uint8Array {
  const at = new Uint8Array(24);
  at[0] = family;
  at.set(ip, 4);
  return at;
}

const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

describe("http1_print", () => {
  it("writes whole numbers", () => {
    const numbers = [0, 7, 10, 99, 100, 999, 1_000, 1_001, 65_535, 999_999, 1_000_000, 123_456_789];
    for (const value of [...numbers, 999_999_999, 1e9, 1e9 + 1, 4_294_967_296, 2 ** 53 - 1]) {
      strictEqual(printed(() => printDecimal(value)), String(value));
    }
  });

  it("writes three digits, tenths and hexadecimal words", () => {
    for (const [value, want] of [[0, "000"], [5, "005"], [42, "042"], [678, "678"]] as const) {
      strictEqual(printed(() => printThree(value)), want);
    }
    for (
      const [value, want] of [[0, "0.0"], [0.04, "0.0"], [0.05, "0.1"], [12.34, "12.3"], [
        99999.96,
        "100000.0",
      ]] as const
    ) {
      strictEqual(printed(() => printTenths(value)), want);
    }
    for (const value of [0, 1, 0xdeadbeef, 0x0a0b0c0d]) {
      strictEqual(printed(() => printHex(value)), value.toString(16).padStart(8, "0"));
    }
  });

  it("writes addresses as RFC 5952 has them, mapped ones as IPv4", () => {
    const cases: [Uint8Array, string, string][] = [
      [record(4, 127, 0, 0, 1), "127.0.0.1", "IPv4"],
      [record(4, 255, 10, 100, 9), "255.10.100.9", "digits of every length"],
      [record(6, ...mapped, 10, 0, 0, 1), "10.0.0.1", "mapped"],
      [record(6), "::", "all zero"],
      [record(6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), "::1", "loopback"],
      [record(6, 0x20, 1, 0xd, 0xb8), "2001:db8::", "zeroes at the end"],
      [
        record(6, 0x20, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3),
        "2001:0:1::2:0:3",
        "the longest run, not the first",
      ],
      [
        record(6, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4),
        "1::2:0:0:3:4",
        "the first of equal runs",
      ],
      [record(6, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 0), "1:2:3:4:5:6:7:0", "one zero group stays"],
      [record(1), "", "a unix socket has none"],
    ];
    for (const [address, want, why] of cases) strictEqual(printed(() => printIp(address, 0)), want, why);
  });

  it("escapes what a client sent", () => {
    const sent = ascii('GET "\\\x01\x7f\xe9 end');
    bytes.set(sent, 100);
    strictEqual(
      printed(() => printQuoted(100, 100 + sent.length, false)),
      "GET \\x22\\x5c\\x01\\x7f\\xe9 end",
    );
    strictEqual(
      printed(() => printQuoted(100, 100 + sent.length, true)),
      "GET \\u0022\\u005c\\u0001\\u007f\\u00e9 end",
    );
    strictEqual(JSON.parse('"GET \\u0022\\u005c\\u0001\\u007f\\u00e9 end"'), 'GET "\\\x01\x7f\xe9 end');
  });

  it("copies runs of every length exactly, and says when there is no room", () => {
    for (let at = 0; at < 300; at++) bytes[at] = 0x41 + at % 26;
    const source = new DataView(bytes.slice(0, 304).buffer);
    for (let length = 0; length < 300; length++) {
      const want = new TextDecoder().decode(bytes.subarray(0, length));
      strictEqual(printed(() => printRun(0, length)), want);
      strictEqual(printed(() => printBytes(source, 0, length)), want);
      strictEqual(printed(() => print(text(want))), want);
      strictEqual(printed(() => printRun(0, length), length), want, "exactly as much room");
      if (length > 0) strictEqual(printed(() => printRun(0, length), length - 1), undefined, "one byte less");
    }
  });

  it("stays full once a piece did not fit", () => {
    strictEqual(
      printed(() => {
        print(text("too long"));
        print(text("a"));
      }, 4),
      undefined,
    );
  });
});
