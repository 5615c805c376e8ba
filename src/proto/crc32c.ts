// CRC-32C (Castagnoli; RFC 9260 appendix A): what a PROXY header of version 2 may be sealed with.

/** Reversed. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Int32Array.from({ length: 256 }, (_, octet) => {
  let crc = octet;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** The CRC of [from, end), where the four bytes at `zeroAt` count as zeroes: its own place. @returns 32 bits */
export function crc32c(bytes: Uint8Array, from: number, end: number, zeroAt: number): number {
  let crc = -1;
  for (let at = from; at < end; at++) {
    const octet = at >= zeroAt && at < zeroAt + 4 ? 0 : bytes[at];
    crc = (crc >>> 8) ^ TABLE[(crc ^ octet) & 255];
  }
  return ~crc >>> 0;
}
