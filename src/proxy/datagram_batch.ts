// What is in a batch of datagrams (ffi/udp.c): a record may stand for several that the kernel joined.
import { DATAGRAM_INTS } from "../base/limits.ts";
import { DatagramAt } from "../sys/symbols.ts";
import { arenaInts } from "../sys/sys.ts";

/** The bytes of records [from, end) of the batch at `ints`. */
export function bytesIn(ints: number, from: number, end: number): number {
  let bytes = 0;
  for (let record = from; record < end; record++) {
    bytes += arenaInts[ints + record * DATAGRAM_INTS + DatagramAt.Bytes];
  }
  return bytes;
}

/** How many of the datagrams that they stood for the kernel did not send. */
export function unsentIn(ints: number, from: number, end: number): number {
  let datagrams = 0;
  for (let record = from; record < end; record++) {
    datagrams += arenaInts[ints + record * DATAGRAM_INTS + DatagramAt.Unsent];
  }
  return datagrams;
}

/** How many datagrams they are. */
export function datagramsIn(ints: number, from: number, end: number): number {
  let datagrams = 0;
  for (let record = from; record < end; record++) {
    const at = ints + record * DATAGRAM_INTS, segment = arenaInts[at + DatagramAt.Segment];
    datagrams += segment === 0 ? 1 : Math.ceil(arenaInts[at + DatagramAt.Bytes] / segment);
  }
  return datagrams;
}
