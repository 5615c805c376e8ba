// The text of a health check: what is sent, and what the answer is looked through for. Bytes may be
// written as \n \r \t \\ \xHH; everything else stands for itself, in UTF-8. The same rule holds on the
// command line and in a file. Regular expressions are only cut out here; PCRE2 compiles them.
import { PROBE_TEXT_BYTES_MAX } from "../../base/limits.ts";
import { quoted, type Reading, refused, taken } from "./errors.ts";

/** What a good answer holds: these bytes somewhere in it, or a match of this PCRE2 pattern. */
export type Expectation =
  | { readonly kind: "text"; readonly bytes: Uint8Array }
  | { readonly kind: "pattern"; readonly source: Uint8Array };

const SIMPLE: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, "\\": 92 };

/**
 * Reads a text with escapes: `PING\r\n`. @returns its 1 to 4,096 bytes; an error for an empty text,
 * for anything else after a backslash, and for a text that is not Unicode (a lone surrogate).
 */
export function readEscapes(text: string): Reading<Uint8Array> {
  if (text === "") return refused("empty", "write the text, with \\n \\r \\t \\xHH for other bytes");
  if (!text.isWellFormed()) return refused("not valid Unicode", "write other bytes as \\xHH");
  if (text.length > PROBE_TEXT_BYTES_MAX * 4) return tooLong();
  const bytes: number[] = [];
  const encoder = new TextEncoder();
  for (let at = 0; at < text.length;) {
    if (text[at] !== "\\") {
      const end = text.indexOf("\\", at);
      const plain = encoder.encode(end === -1 ? text.slice(at) : text.slice(at, end));
      for (const byte of plain) bytes.push(byte);
      at = end === -1 ? text.length : end;
      continue;
    }
    const letter = text[at + 1] ?? "";
    if (letter === "x") {
      const hex = text.slice(at + 2, at + 4);
      if (!/^[0-9a-fA-F]{2}$/.test(hex)) {
        return refused(`${quoted("\\x" + hex)} is no byte`, "write two hexadecimal digits, such as \\x0A");
      }
      bytes.push(Number.parseInt(hex, 16));
      at += 4;
    } else if (Object.hasOwn(SIMPLE, letter)) {
      bytes.push(SIMPLE[letter]);
      at += 2;
    } else {
      const what = letter === ""
        ? "a backslash at the end"
        : `unknown escape ${quoted("\\" + wholeCharacter(text, at + 1))}`;
      return refused(what, "the escapes are \\n \\r \\t \\\\ \\xHH; write \\\\ for a backslash");
    }
  }
  return bytes.length > PROBE_TEXT_BYTES_MAX ? tooLong() : taken(Uint8Array.from(bytes));
}

/**
 * Reads what an answer must hold. A text that begins and ends with `/` is a regular expression: the
 * bytes between are its PCRE2 source, escapes left to PCRE2 (`\/` is a slash there too). Any other
 * text is read by `readEscapes`; one that begins with a slash is written `\x2F...`.
 * @returns 1 to 4,096 bytes of text or of source.
 */
export function readExpectation(text: string): Reading<Expectation> {
  if (!text.startsWith("/")) {
    const bytes = readEscapes(text);
    return bytes.ok ? taken({ kind: "text", bytes: bytes.value }) : bytes;
  }
  const backslashes = /(\\*)\/$/.exec(text)?.[1].length ?? 0;
  if (text.length < 2 || !text.endsWith("/") || backslashes % 2 === 1) {
    return refused(
      "begins with / and has no closing /",
      "write /PATTERN/ for a regular expression, \\x2F for a plain slash at the beginning",
    );
  }
  const source = text.slice(1, -1);
  if (source === "") return refused("the regular expression is empty", "write /PATTERN/, such as /^\\+PONG/");
  if (!source.isWellFormed()) return refused("not valid Unicode", "write other bytes as \\xHH");
  const bytes = new TextEncoder().encode(source);
  return bytes.length > PROBE_TEXT_BYTES_MAX ? tooLong() : taken({ kind: "pattern", source: bytes });
}

function wholeCharacter(text: string, at: number): string {
  return String.fromCodePoint(text.codePointAt(at) ?? 0);
}

function tooLong(): Reading<never> {
  return refused(`longer than ${PROBE_TEXT_BYTES_MAX} bytes`, "write a shorter text");
}
