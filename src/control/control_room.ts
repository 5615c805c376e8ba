// What the control plane asks of C in its own room: the reactors' clock, and who somebody's client is.
import { ARENA_EVENTS, ARENA_SCRATCH, PEER_BYTES } from "../base/limits.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";

/** The reactors' clock, CLOCK_MONOTONIC in milliseconds. A poll tells it; nothing else happens in this one. */
export function monotonicMs(): number {
  sys.poll(ARENA_EVENTS, 1, 0);
  return clockMs();
}

/** Copies the peer record (see ffi/sluice.h) of slot `slot` of `room`; false when that slot has no socket. */
export function peerOf(room: number, slot: number, into: Uint8Array): boolean {
  if (sys.peer_of(room, slot, ARENA_SCRATCH) !== 0) return false;
  for (let byte = 0; byte < PEER_BYTES; byte++) into[byte] = arenaBytes[ARENA_SCRATCH + byte];
  return true;
}
