// Hashes that decide where a client goes. They are part of the interface: every Sluice with the same servers
// sends the same client to the same one, whatever its version. Not for secrets: who knows them can aim.
import type { Plan } from "../plan/plan.ts";
import { isMapped } from "../proto/http1_print.ts";

/** FNV-1a of 32 bits (draft-eastlake-fnv). */
export const HASH_FIRST = 0x811c9dc5 | 0;
const HASH_PRIME = 0x01000193;

export function hashByte(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, HASH_PRIME);
}

/** The hash of bytes[from, end). */
export function hashBytes(bytes: Uint8Array, from: number, end: number, first = HASH_FIRST): number {
  let hash = first;
  for (let at = from; at < end; at++) hash = hashByte(hash, bytes[at]);
  return mix(hash);
}

/** Spreads 32 bits over 32 bits, one to one: numbers that follow one another become as good as drawn (the end of
 * MurmurHash3). */
export function mix(bits: number): number {
  let hash = bits ^ (bits >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Whole numbers below `below`, each as likely, of 32 bits as good as drawn. */
export function scaled(bits: number, below: number): number {
  return Math.floor((bits / 0x100000000) * below);
}

/** Of a client that has no address. */
export const NO_KEY = 0;

const IP = 4;
const MAPPED_IP = 16;

/**
 * The key of the client whose address record (see ffi/sluice.h) is at `from`: of as many bits of its address as
 * the upstream says. IPv4 in IPv6's clothes is IPv4.
 *
 * @returns 32 bits, never NO_KEY; NO_KEY for a client of a unix socket, which has no address.
 */
export function clientKey(plan: Plan, upstream: number, record: Uint8Array, from: number): number {
  const family = record[from];
  if (family !== 4 && family !== 6) return NO_KEY;
  const four = family === 4 || isMapped(record, from);
  const bits = four ? plan.upstreamPrefix4[upstream] : plan.upstreamPrefix6[upstream];
  const ip = from + (four && family === 6 ? MAPPED_IP : IP), whole = bits >> 3, rest = bits & 7;
  let hash = hashByte(HASH_FIRST, four ? 4 : 6);
  for (let at = ip; at < ip + whole; at++) hash = hashByte(hash, record[at]);
  if (rest !== 0) hash = hashByte(hash, record[ip + whole] & (0xff00 >> rest));
  return mix(hash) || 1;
}
