// What each octet may be part of (RFC 9110 section 5.6, RFC 3986), as bits of one table: a parser's loop
// is one look-up per byte. A table of 256 bytes stays in the first cache.

export const enum Octet {
  Tab = 9,
  Lf = 10,
  Cr = 13,
  Space = 32,
  Quote = 34,
  Comma = 44,
  Dash = 45,
  Dot = 46,
  Slash = 47,
  Zero = 48,
  Nine = 57,
  Colon = 58,
  Semicolon = 59,
  Equals = 61,
  Question = 63,
  At = 64,
  BracketOpen = 91,
  Backslash = 92,
  BracketClose = 93,
  Underscore = 95,
  Delete = 127,
  /** The bit that tells a lower-case letter from its upper case. */
  Lower = 32,
}

/** What an octet may be part of: bits of OCTETS. */
export const enum Of {
  /** tchar: methods, field names, options (RFC 9110 section 5.6.2). */
  Token = 1,
  /** A field's value, a reason phrase: HTAB, SP, VCHAR, obs-text (section 5.5). */
  Value = 2,
  /** A request target before its "?": visible ASCII but "?" and "#". RFC 3986 allows less; "{", "|" and
   * their like are common, and every parser we know takes them as they are. */
  Path = 4,
  /** The same behind the "?", which may hold more of them. */
  Query = 8,
  /** A name in an authority: unreserved and sub-delims. No "%": whoever decodes it would see another host
   * than the one we route by. */
  HostName = 16,
  Digit = 32,
  Hex = 64,
  /** SP and HTAB. */
  Blank = 128,
}

export const OCTETS: Uint8Array = makeOctets();

function makeOctets(): Uint8Array {
  const octets = new Uint8Array(256);
  const mark = (text: string, bit: Of) => {
    for (let index = 0; index < text.length; index++) octets[text.charCodeAt(index)] |= bit;
  };
  const digits = "0123456789";
  const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  mark(digits + letters + "!#$%&'*+-.^_`|~", Of.Token);
  mark(digits + letters + "-._~!$&'()*+,;=", Of.HostName);
  mark(digits, Of.Digit);
  mark(digits + "abcdefABCDEF", Of.Hex);
  mark(" \t", Of.Blank);
  for (let octet = 0x20; octet < 256; octet++) if (octet !== Octet.Delete) octets[octet] |= Of.Value;
  octets[Octet.Tab] |= Of.Value;
  for (let octet = 0x21; octet < 0x7f; octet++) octets[octet] |= Of.Query;
  octets[0x23] &= ~Of.Query; // "#": a fragment never travels (RFC 9110 section 4.2.5)
  for (let octet = 0; octet < 256; octet++) if (octets[octet] & Of.Query) octets[octet] |= Of.Path;
  octets[Octet.Question] &= ~Of.Path;
  return octets;
}

/** The octets of a text in ASCII, made when a module is loaded. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** The value of a hexadecimal digit. */
export function hexValue(octet: number): number {
  return octet <= Octet.Nine ? octet - Octet.Zero : (octet | Octet.Lower) - 87;
}

/** Whether [from, end) is that text, whatever the case of its letters. `text` is in lower case and holds
 * nothing but letters, digits, "-" and what else has the bit of Octet.Lower set. */
export function sameText(bytes: Uint8Array, from: number, end: number, text: Uint8Array): boolean {
  if (end - from !== text.length) return false;
  for (let index = 0; index < text.length; index++) {
    // A control would pass for a visible octet here: what is compared has been checked to hold none.
    if ((bytes[from + index] | Octet.Lower) !== text[index]) return false;
  }
  return true;
}

/** Whether [from, end) is that text in lower case, or it with underscores where the text has hyphens: CGI and WSGI read both alike. It has no underscores. */
export function likeText(bytes: Uint8Array, from: number, end: number, text: Uint8Array): boolean {
  if (end - from !== text.length) return false;
  for (let at = 0; at < text.length; at++) {
    const octet = bytes[from + at] === Octet.Underscore ? Octet.Dash : lower(bytes[from + at]);
    if (octet !== text[at]) return false;
  }
  return true;
}

/** Where in [from, end) that text begins first, as `sameText` compares; -1: nowhere. */
export function findText(bytes: Uint8Array, from: number, end: number, text: Uint8Array): number {
  for (let at = from; at + text.length <= end; at++) {
    if (sameText(bytes, at, at + text.length, text)) return at;
  }
  return -1;
}

/** A letter in lower case; any other octet as it is. */
export function lower(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet | Octet.Lower : octet;
}

/** Whether two runs of the same length are the same, whatever the case of their letters. */
export function sameRuns(bytes: Uint8Array, one: number, other: number, length: number): boolean {
  for (let index = 0; index < length; index++) {
    const a = bytes[one + index], b = bytes[other + index];
    if (a === b) continue;
    const low = a | Octet.Lower;
    if (low !== (b | Octet.Lower) || low < 0x61 || low > 0x7a) return false;
  }
  return true;
}

/** Where the blanks (SP, HTAB) at the beginning of [from, end) end. */
export function skipBlanks(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && (OCTETS[bytes[at]] & Of.Blank) !== 0) at++;
  return at;
}

/** Where [from, end) ends without the blanks at its end. */
export function trimEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = end;
  while (at > from && (OCTETS[bytes[at - 1]] & Of.Blank) !== 0) at--;
  return at;
}
