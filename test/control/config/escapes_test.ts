import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readEscapes, readExpectation } from "../../../src/control/config/escapes.ts";

/** Bytes as text, one character for each. */
function binary(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

test("readEscapes", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["PING", "PING", "as it is"],
    ["PING\\r\\n", "PING\r\n", "CR LF"],
    ["a\\tb", "a\tb", "tab"],
    ["a\\\\n", "a\\n", "an escaped backslash, then n"],
    ["\\x00\\xff\\xFF", "\0\xff\xff", "any byte, digits in either case"],
    ["\\x410", "A0", "two digits, no more"],
    ["ü", "\xc3\xbc", "UTF-8"],
    ["\u{1F600}", "\xf0\x9f\x98\x80", "UTF-8 beyond the BMP"],
    ["a\nb\0", "a\nb\0", "a file's own control characters stand for themselves"],
    ["/x", "/x", "a slash is a slash"],
  ];
  for (const [text, want, why] of cases) {
    const reading = readEscapes(text);
    equal(reading.ok ? binary(reading.value) : reading.what, want, why);
  }
  const refusals: [text: string, want: string, why: string][] = [
    ["", "empty", "nothing to send"],
    ["a\\", "a backslash at the end", "escape cut off"],
    ["\\q", 'unknown escape "\\q"', "no such escape"],
    ["\\0", 'unknown escape "\\0"', "NUL is \\x00"],
    ["\\N", 'unknown escape "\\N"', "case counts"],
    ["\\/", 'unknown escape "\\/"', "only inside /.../"],
    ["\\\u{1F600}", 'unknown escape "\\\u{1F600}"', "a whole character is named"],
    ["\\x", '"\\x" is no byte', "no digits"],
    ["\\x4", '"\\x4" is no byte', "one digit"],
    ["\\xg0", '"\\xg0" is no byte', "no digit"],
    ["\\x 1", '"\\x 1" is no byte', "no digit"],
    ["\ud800", "not valid Unicode", "a lone surrogate"],
    ["x".repeat(4_097), "longer than 4096 bytes", "one too many"],
    ["ü".repeat(2_049), "longer than 4096 bytes", "bytes count, not characters"],
    ["x".repeat(10_000_000), "longer than 4096 bytes", "huge"],
  ];
  for (const [text, want, why] of refusals) {
    const reading = readEscapes(text);
    equal(reading.ok ? "taken" : reading.what, want, why);
  }
  equal(readEscapes("x".repeat(4_096)).ok, true, "4096 bytes are fine");
  equal(readEscapes("\\x00".repeat(4_096)).ok, true, "4096 escaped bytes are fine");
});

test("readEscapes gives back any bytes written as \\xHH", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), (bytes) => {
    const text = Array.from(bytes, (byte) => "\\x" + byte.toString(16).padStart(2, "0")).join("");
    deepEqual(readEscapes(text), { ok: true, value: bytes });
  }));
});

test("readExpectation", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["+PONG", "text:+PONG", "plain text"],
    ["a/b/", "text:a/b/", "a slash further on is plain"],
    ["\\x2Fa/", "text:/a/", "a plain slash at the beginning"],
    ["/^\\+PONG/", "pattern:^\\+PONG", "escapes are left to PCRE2"],
    ["/a\\/b/", "pattern:a\\/b", "an escaped slash"],
    ["/HTTP/1.1/", "pattern:HTTP/1.1", "a slash between the first and the last"],
    ["/\\\\/", "pattern:\\\\", "an escaped backslash before the closing slash"],
    ["/ü/", "pattern:\xc3\xbc", "UTF-8"],
    ["/", "begins with / and has no closing /", "one slash only"],
    ["//", "the regular expression is empty", "it would match anything"],
    ["/abc", "begins with / and has no closing /", "plain or pattern?"],
    ["/abc\\/", "begins with / and has no closing /", "the closing slash is escaped"],
    ["/abc/i", "begins with / and has no closing /", "no flags"],
    ["", "empty", "it would match anything"],
    ["\\d", 'unknown escape "\\d"', "no pattern without slashes"],
    ["/\ud800/", "not valid Unicode", "a lone surrogate"],
    [`/${"x".repeat(4_097)}/`, "longer than 4096 bytes", "too long"],
  ];
  for (const [text, want, why] of cases) {
    const reading = readExpectation(text);
    if (!reading.ok) equal(reading.what, want, why);
    else if (reading.value.kind === "text") equal(`text:${binary(reading.value.bytes)}`, want, why);
    else equal(`pattern:${binary(reading.value.source)}`, want, why);
  }
});
