// ClientHellos for tests, from their parts: sound unless a part says otherwise.
import {
  Hello,
  helloAlpnAt,
  helloAlpnBytes,
  helloNameAt,
  helloNameBytes,
  helloNeeds,
  helloVersion,
  readHello,
} from "../../src/proto/client_hello.ts";
import { HELLO_SPARE_BYTES } from "../../src/base/limits.ts";

export const latin1 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
export const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

export const bytes8 = (number: number): Uint8Array => Uint8Array.of(number & 255);
export const bytes16 = (number: number): Uint8Array => Uint8Array.of((number >> 8) & 255, number & 255);
/** Bytes with their length before them. */
export const vector8 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const all = join(...parts);
  return join(bytes8(all.length), all);
};
export const vector16 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const all = join(...parts);
  return join(bytes16(all.length), all);
};

export const extension = (type: number, ...body: readonly Uint8Array[]): Uint8Array =>
  join(bytes16(type), vector16(...body));
export const serverName = (name: string): Uint8Array =>
  extension(0, vector16(bytes8(0), vector16(latin1(name))));
export const alpn = (...names: readonly string[]): Uint8Array =>
  extension(16, vector16(...names.map((name) => vector8(latin1(name)))));
export const versions = (...numbers: readonly number[]): Uint8Array =>
  extension(43, vector8(...numbers.map(bytes16)));
export const keyShare = (group: number, bytes: number): Uint8Array =>
  extension(51, vector16(bytes16(group), vector16(new Uint8Array(bytes).fill(0x5a))));
/** RFC 9849: an outer hello's, its payload sealed, here with bytes that look like another hello's. */
export const encryptedHello = (payload: Uint8Array): Uint8Array =>
  extension(
    0xfe0d,
    bytes8(0),
    bytes16(1),
    bytes16(1),
    bytes8(42),
    vector16(new Uint8Array(32)),
    vector16(payload),
  );

export interface Parts {
  readonly version?: Uint8Array;
  readonly session?: Uint8Array;
  readonly ciphers?: Uint8Array;
  readonly compressions?: Uint8Array;
  /** Undefined: the block is not there at all. */
  readonly extensions?: readonly Uint8Array[] | undefined;
}

/** A handshake message. */
export function message(type: number, body: Uint8Array): Uint8Array {
  return join(bytes8(type), bytes8(body.length >> 16), bytes16(body.length), body);
}

/** A ClientHello in one piece, with its handshake header. */
export function hello(parts: Parts): Uint8Array {
  return message(
    1,
    join(
      parts.version ?? bytes16(0x0303),
      new Uint8Array(32).fill(0xa7),
      parts.session ?? vector8(new Uint8Array(32).fill(1)),
      parts.ciphers ?? vector16(bytes16(0x1301), bytes16(0x1302), bytes16(0xc02b)),
      parts.compressions ?? vector8(bytes8(0)),
      parts.extensions === undefined ? new Uint8Array(0) : vector16(...parts.extensions),
    ),
  );
}

export function helloOf(...extensions: readonly Uint8Array[]): Uint8Array {
  return hello({ extensions });
}

export function record(fragment: Uint8Array, type = 22, version = 0x0301): Uint8Array {
  return join(bytes8(type), bytes16(version), vector16(fragment));
}

/** A message in records that end at those places of it, and in as few as it takes between them. */
export function records(message: Uint8Array, cuts: readonly number[] = []): Uint8Array {
  const parts: Uint8Array[] = [];
  let from = 0;
  for (const end of [...cuts, message.length]) {
    for (; from < end; from = Math.min(from + 16_384, end)) {
      parts.push(record(message.subarray(from, Math.min(from + 16_384, end))));
    }
  }
  return join(...parts);
}

/** What a hello says. */
export interface Said {
  readonly verdict: Hello;
  readonly name: string;
  readonly alpn: readonly string[];
  readonly version: number;
  readonly needs: number;
}

const FROM = 7;
const GAP = 3;
const FILL = 0xee;
/** Used again and again: what is left of the last hello must not be taken for this one's. */
let arena = new Uint8Array(0);

/**
 * Reads a connection's bytes as a reactor has them: between others, with the spare place behind them.
 * @throws when anything but the spare place was written
 */
export function read(bytes: Uint8Array, count = bytes.length): Said {
  const end = FROM + count, spare = end + GAP, spareEnd = spare + HELLO_SPARE_BYTES;
  if (arena.length < spareEnd + GAP) arena = new Uint8Array(2 * (spareEnd + GAP));
  const given = bytes.subarray(0, count);
  arena.fill(FILL, 0, FROM).set(given, FROM);
  arena.fill(FILL, end, spare).fill(FILL, spareEnd, spareEnd + GAP);
  const verdict = readHello(arena, FROM, end, spare);
  if (Buffer.compare(arena.subarray(FROM, end), given) !== 0) throw new Error("the hello was written to");
  for (const [from, to] of [[0, FROM], [end, spare], [spareEnd, spareEnd + GAP]]) {
    if (arena.subarray(from, to).some((byte) => byte !== FILL)) {
      throw new Error("written beside the spare place");
    }
  }
  const found = verdict === Hello.Found;
  return {
    verdict,
    name: found ? textOf(arena.subarray(helloNameAt, helloNameAt + helloNameBytes)) : "",
    alpn: found ? listOf(arena.subarray(helloAlpnAt, helloAlpnAt + helloAlpnBytes)) : [],
    version: found ? helloVersion : 0,
    needs: verdict === Hello.NeedMore ? helloNeeds : 0,
  };
}

function listOf(bytes: Uint8Array): string[] {
  const names: string[] = [];
  for (let at = 0; at < bytes.length; at += 1 + bytes[at]) {
    names.push(textOf(bytes.subarray(at + 1, at + 1 + bytes[at])));
  }
  return names;
}
