// DER (X.690), as far as certificates need it: elements within elements, names and times. What is no DER is
// thrown out of here and caught by whoever began to read; no length is believed beyond its holder's end.

/** One element. */
export interface Element {
  readonly tag: number;
  /** Where it begins, with its tag. */
  readonly at: number;
  /** Its contents: bytes[from, end). */
  readonly from: number;
  readonly end: number;
}

export const Tag = {
  Boolean: 0x01,
  Integer: 0x02,
  BitString: 0x03,
  OctetString: 0x04,
  ObjectId: 0x06,
  Enumerated: 0x0a,
  UtcTime: 0x17,
  GeneralizedTime: 0x18,
  Sequence: 0x30,
} as const;

const LENGTH_BYTES_MAX = 4;

export class NoDer extends Error {}

/** The element at `at`. @throws NoDer */
export function elementAt(bytes: Uint8Array, at: number, end: number): Element {
  if (at + 2 > end) throw new NoDer("cut short");
  const tag = bytes[at], first = bytes[at + 1];
  let from = at + 2, length = first;
  if (first > 0x80) {
    const count = first & 0x7f;
    if (count > LENGTH_BYTES_MAX || from + count > end) throw new NoDer("no length");
    length = 0;
    for (let nth = 0; nth < count; nth++) length = length * 256 + bytes[from++];
  } else if (first === 0x80) throw new NoDer("no length");
  if (from + length > end) throw new NoDer("longer than what holds it");
  return { tag, at, from, end: from + length };
}

/** The elements in an element. @throws NoDer */
export function elementsIn(bytes: Uint8Array, { from, end }: Element): Element[] {
  const elements: Element[] = [];
  for (let at = from; at < end;) {
    const element = elementAt(bytes, at, end);
    elements.push(element);
    at = element.end;
  }
  return elements;
}

/** The same of one that must have a tag. @throws NoDer */
export function partsOf(bytes: Uint8Array, element: Element | undefined, tag: number): Element[] {
  if (element?.tag !== tag) throw new NoDer("another element is expected");
  return elementsIn(bytes, element);
}

/** The contents in hexadecimal: how object identifiers are compared. */
export function hexOf(bytes: Uint8Array, element: Element | undefined): string {
  return element === undefined ? "" : Buffer.from(contentsOf(bytes, element)).toString("hex");
}

export function contentsOf(bytes: Uint8Array, { from, end }: Element): Uint8Array {
  return bytes.subarray(from, end);
}

/** The element as it stands there, tag and all. */
export function wholeOf(bytes: Uint8Array, { at, end }: Element): Uint8Array {
  return bytes.subarray(at, end);
}

/** A point in time, in milliseconds since 1970 (RFC 5280 section 4.1.2.5). @throws NoDer */
export function timeOf(bytes: Uint8Array, element: Element | undefined): number {
  if (element === undefined) throw new NoDer("no time");
  const text = new TextDecoder("latin1").decode(contentsOf(bytes, element));
  const digits = element.tag === Tag.UtcTime
    ? `${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text}`
    : element.tag === Tag.GeneralizedTime
    ? text
    : "";
  const [, year, month, day, hour, minute, second] =
    /^([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z$/.exec(digits) ?? [];
  if (year === undefined) throw new NoDer("no time");
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
}
