// PROXY headers for tests, written by the specification and not by Sluice's own writer; and what the reader says.
import { PROXY_BYTES_MAX } from "../../src/base/limits.ts";
import { ProxyFlaw } from "../../src/proto/proxy_flaw.ts";
import {
  INTRODUCTION_REST,
  Proxy,
  proxyBytes,
  proxyEnd,
  proxyFlaw,
  readProxy,
} from "../../src/proto/proxy_header.ts";

export const SIGNATURE = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10];
export const LOCAL = 0x20;
export const PROXIED = 0x21;

export const latin1 = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));

export function v2(
  command: number,
  family: number,
  rest: readonly number[],
  length = rest.length,
): Uint8Array {
  return Uint8Array.from([...SIGNATURE, command, family, length >> 8, length & 255, ...rest]);
}

export const tlv = (type: number, value: readonly number[], length = value.length): number[] => [
  type,
  length >> 8,
  length & 255,
  ...value,
];

/** 192.0.2.1:56324 to 198.51.100.7:443. */
export const IP4 = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb];
/** [2001:db8::1]:56324 to [2001:db8::7]:443. */
export const IP6 = [
  ...[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  ...[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
  ...[0xdc, 0x04, 0x01, 0xbb],
];
const path = (text: string): number[] => [...latin1(text), ...new Array<number>(108 - text.length).fill(0)];
export const PATHS = [...path("/run/client"), ...path("/run/server")];

/** Bit by bit, as RFC 9260 appendix A has it: not by a table. */
export function crc32cOf(bytes: Uint8Array): number {
  let crc = ~0;
  for (const octet of bytes) {
    crc ^= octet;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** A header whose last field is its checksum. */
export function sealed(command: number, family: number, rest: readonly number[]): Uint8Array {
  const bytes = v2(command, family, [...rest, ...tlv(3, [0, 0, 0, 0])]);
  new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32cOf(bytes));
  return bytes;
}

/** What a reader said. */
export interface Said {
  readonly verdict: Proxy;
  readonly bytes: number;
  readonly flaw: ProxyFlaw;
  /** `IP:PORT`, unix, or "" when nobody was introduced. */
  readonly source: string;
  readonly destination: string;
  /** What is kept behind the records. */
  readonly rest: number[];
}

const AT = 7;

/** Reads the first `count` bytes, in a place where what lies behind them is not zero. */
export function read(header: Uint8Array, count = header.length, datagram = false): Said {
  const into = AT + header.length + 64;
  const memory = new Uint8Array(into + PROXY_BYTES_MAX + INTRODUCTION_REST + 64).fill(0xa5);
  memory.set(header, AT);
  memory.fill(0x5a, AT + count, into);
  const verdict = readProxy(memory, AT, AT + count, into, datagram);
  const found = verdict === Proxy.Found && proxyEnd > 0;
  return {
    verdict,
    bytes: verdict === Proxy.Found ? proxyBytes : 0,
    flaw: verdict === Proxy.Malformed ? proxyFlaw : ProxyFlaw.None,
    source: found ? addressOf(memory.subarray(into, into + 24)) : "",
    destination: found ? addressOf(memory.subarray(into + 24, into + 48)) : "",
    rest: found ? [...memory.subarray(into + INTRODUCTION_REST, proxyEnd)] : [],
  };
}

/** An address record as text. */
export function addressOf(record: Uint8Array): string {
  const port = record[2] << 8 | record[3];
  if (record[0] === 1) return "unix";
  if (record[0] === 4) return `${record.subarray(4, 8).join(".")}:${port}`;
  if (record[0] !== 6) return "?";
  const groups = Array.from({ length: 8 }, (_, at) => record[4 + 2 * at] << 8 | record[5 + 2 * at]);
  return `[${groups.map((group) => group.toString(16)).join(":")}]:${port}`;
}
