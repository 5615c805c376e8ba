// ASN.1 in DER, written only: as much as a certificate request and a self-signed certificate need (x509.ts).
// Nothing is parsed: what others send is read by the runtime's X509Certificate.

const enum Tag {
  Boolean = 0x01,
  Integer = 0x02,
  BitString = 0x03,
  Octets = 0x04,
  Oid = 0x06,
  Utf8 = 0x0c,
  UtcTime = 0x17,
  GeneralizedTime = 0x18,
  Sequence = 0x30,
  Set = 0x31,
}

const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

export function sequence(...parts: Uint8Array[]): Uint8Array {
  return encoded(Tag.Sequence, parts);
}

export function set(...parts: Uint8Array[]): Uint8Array {
  return encoded(Tag.Set, parts);
}

/** `[number]` around whole values. */
export function explicit(number: number, ...parts: Uint8Array[]): Uint8Array {
  return encoded(CONTEXT | CONSTRUCTED | number, parts);
}

/** `[number]` in place of a primitive value's own tag. */
export function implicit(number: number, bytes: Uint8Array): Uint8Array {
  return encoded(CONTEXT | number, [bytes]);
}

/** A number that is not negative, big-endian. */
export function integer(bytes: Uint8Array): Uint8Array {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const sign = bytes[from] >= 0x80 ? [Uint8Array.of(0)] : [];
  return encoded(Tag.Integer, [...sign, bytes.subarray(from)]);
}

export function boolean(value: boolean): Uint8Array {
  return encoded(Tag.Boolean, [Uint8Array.of(value ? 0xff : 0)]);
}

export function octets(bytes: Uint8Array): Uint8Array {
  return encoded(Tag.Octets, [bytes]);
}

/** Whole bytes: no bit is unused. */
export function bitString(bytes: Uint8Array): Uint8Array {
  return encoded(Tag.BitString, [Uint8Array.of(0), bytes]);
}

export function utf8(text: string): Uint8Array {
  return encoded(Tag.Utf8, [Buffer.from(text, "utf8")]);
}

/** @param dotted `1.2.840.10045.4.3.2` */
export function oid(dotted: string): Uint8Array {
  const [first, second, ...rest] = dotted.split(".").map(Number);
  return encoded(Tag.Oid, [Uint8Array.from([first * 40 + second, ...rest].flatMap(base128))]);
}

/** To the second; in two forms, as RFC 5280 section 4.1.2.5 demands. */
export function time(atMs: number): Uint8Array {
  const at = new Date(atMs);
  const digits = at.toISOString().replace(/[-:T]|\.\d+/g, ""); // 20260102030405Z
  return at.getUTCFullYear() < 2050
    ? encoded(Tag.UtcTime, [Buffer.from(digits.slice(2), "latin1")])
    : encoded(Tag.GeneralizedTime, [Buffer.from(digits, "latin1")]);
}

function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let left = value >>> 7; left > 0; left >>>= 7) bytes.unshift(0x80 | (left & 0x7f));
  return bytes;
}

function encoded(tag: number, parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([Uint8Array.from([tag, ...lengthBytes(length)]), ...parts]);
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let left = length; left > 0; left >>>= 8) bytes.unshift(left & 0xff);
  return [0x80 | bytes.length, ...bytes];
}
