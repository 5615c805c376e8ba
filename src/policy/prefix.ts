// Prefixes of IP addresses, as a Plan's arena has them: records of [0] family, [1] bits, [4..19] IP.
import { isMapped } from "../proto/http1_print.ts";

const FAMILY = 0;
const BITS = 1;
const IP = 4;
const MAPPED_IP = 16;

/** Whether the address record at `from` (see ffi/sluice.h) is in the prefix at `prefix` of the arena. IPv4 in
 * IPv6's clothes is IPv4; a unix socket's client is in the prefix of its family, which has no bits. */
export function isIn(arena: Uint8Array, prefix: number, record: Uint8Array, from: number): boolean {
  const family = record[from + FAMILY];
  const mapped = family === 6 && isMapped(record, from);
  if (arena[prefix + FAMILY] !== (mapped ? 4 : family)) return false;
  const ip = from + (mapped ? MAPPED_IP : IP), bits = arena[prefix + BITS], whole = bits >> 3;
  for (let byte = 0; byte < whole; byte++) {
    if (record[ip + byte] !== arena[prefix + IP + byte]) return false;
  }
  const rest = bits & 7;
  return rest === 0 || ((record[ip + whole] ^ arena[prefix + IP + whole]) >> (8 - rest)) === 0;
}
