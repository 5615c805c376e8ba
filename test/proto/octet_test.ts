import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { ascii, hexValue, OCTETS, Of, sameRuns, sameText } from "../../src/proto/octet.ts";

describe("OCTETS", () => {
  const cases: [bit: Of, legal: RegExp, why: string][] = [
    [Of.Token, /[!#$%&'*+\-.^_`|~0-9A-Za-z]/, "RFC 9110 5.6.2: tchar"],
    [Of.Value, /[\t\x20-\x7e\x80-\xff]/, "RFC 9110 5.5: field-content"],
    [Of.Query, /[\x21\x22\x24-\x7e]/, "visible ASCII but a fragment's mark"],
    [Of.Path, /[\x21\x22\x24-\x3e\x40-\x7e]/, "and but a query's"],
    [Of.HostName, /[A-Za-z0-9\-._~!$&'()*+,;=]/, "RFC 3986 3.2.2: unreserved and sub-delims"],
    [Of.Digit, /[0-9]/, "DIGIT"],
    [Of.Hex, /[0-9A-Fa-f]/, "HEXDIG"],
    [Of.Blank, /[ \t]/, "SP and HTAB"],
  ];
  for (const [bit, legal, why] of cases) {
    it(why, () => {
      for (let octet = 0; octet < 256; octet++) {
        strictEqual((OCTETS[octet] & bit) !== 0, legal.test(String.fromCharCode(octet)), `octet ${octet}`);
      }
    });
  }

  it("hexValue is a digit's value", () => {
    for (const digit of "0123456789abcdefABCDEF") {
      strictEqual(hexValue(digit.charCodeAt(0)), parseInt(digit, 16), digit);
    }
  });
});

describe("sameText and sameRuns", () => {
  const cases: [one: string, other: string, want: boolean, why: string][] = [
    ["ab-c1", "ab-c1", true, "the same"],
    ["Ab-C1", "ab-c1", true, "another case"],
    ["ab-c", "ab-d", false, "another letter"],
    ["", "", true, "nothing"],
  ];
  for (const [one, other, want, why] of cases) {
    it(why, () => {
      const bytes = ascii(one + other);
      strictEqual(sameText(bytes, 0, one.length, ascii(other)), want);
      strictEqual(sameRuns(bytes, 0, one.length, one.length), want);
    });
  }
  it("lengths differ", () => strictEqual(sameText(ascii("abc"), 0, 2, ascii("abc")), false));
  it("only letters have a case", () => {
    strictEqual(sameRuns(ascii("[{"), 0, 1, 1), false);
    strictEqual(sameRuns(ascii("@`"), 0, 1, 1), false);
    strictEqual(sameRuns(ascii("Zz"), 0, 1, 1), true);
  });
});
