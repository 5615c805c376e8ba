// The room that talks to C, from the inside: who answers the calls, and the memory both sides see.
// One provider per thread. `sys.recv(slot, ...)` is the call itself: no wrapper, no string, no errno
// to fetch. The handshake compares the ABI and the sizes of records before anything else is called.
import {
  ADDRESS_BYTES,
  ARENA_BYTES,
  ARENA_CLOCK,
  CONTROL_ARENA_BYTES,
  CONTROL_ROOM,
  DATAGRAM_BYTES,
  DATAGRAM_INTS,
  DATAGRAMS_PER_CALL,
  EVENT_INTS,
  LISTENERS_MAX,
  PEER_BYTES,
  ROOMS_MAX,
} from "../base/limits.ts";
import { ABI, type Kernel, type Provider } from "./symbols.ts";
import { EBUG, errnoName } from "./errno.ts";

/** The calls. Set by `useProvider`, before anything above sys/ runs. */
export let sys: Kernel;
/** The entered room's arena, as bytes, as 32-bit integers (events) and as doubles (the clock). */
export let arenaBytes: Uint8Array;
export let arenaInts: Int32Array;
export let arenaDoubles: Float64Array;

let provider: Provider;

/** Opens the library for this thread. Each thread opens the same path and gets the same instance. */
export async function openLibrary(path: string): Promise<void> {
  const opener = "Deno" in globalThis ? await import("./deno.ts") : await import("./bun.ts");
  useProvider(opener.open(path));
}

/** Takes who answers the calls, after the handshake. */
export function useProvider(given: Provider): void {
  provider = given;
  sys = given.kernel;
  handshake();
}

/** Enters a room (see ffi/sluice.h) and views its arena. */
export function enterRoom(room: number): void {
  const result = sys.enter(room);
  if (result < 0) throw new Error("sys: cannot enter room " + room + ": " + errnoName(-result));
  const arena = provider.arena(room, room === CONTROL_ROOM ? CONTROL_ARENA_BYTES : ARENA_BYTES);
  arenaBytes = new Uint8Array(arena);
  arenaInts = new Int32Array(arena);
  arenaDoubles = new Float64Array(arena);
}

/** CLOCK_MONOTONIC in milliseconds, as of the last poll of this thread. */
export function clockMs(): number {
  return arenaDoubles[ARENA_CLOCK];
}

/** CLOCK_REALTIME in milliseconds, as of the last poll of this thread. */
export function wallMs(): number {
  return arenaDoubles[ARENA_CLOCK + 1];
}

function handshake(): void {
  const expected: [which: number, ours: number, what: string][] = [
    [0, ADDRESS_BYTES, "bytes of an address"],
    [1, PEER_BYTES, "bytes of a peer"],
    [2, EVENT_INTS, "integers of an event"],
    [3, ROOMS_MAX, "rooms"],
    [4, LISTENERS_MAX, "listening sockets"],
    [6, EBUG, "EBUG"],
    [7, DATAGRAMS_PER_CALL, "datagrams of a batch"],
    [8, DATAGRAM_INTS, "integers of a datagram"],
    [9, DATAGRAM_BYTES, "bytes of a datagram"],
  ];
  const abi = sys.abi();
  if (abi !== ABI) throw new Error(`sys: the library speaks ABI ${abi}, this build ${ABI}: build again`);
  for (const [which, ours, what] of expected) {
    const theirs = sys.record_bytes(which);
    if (theirs !== ours) throw new Error(`sys: ${what}: ${theirs} in the library, ${ours} here: build again`);
  }
}
