// The tables of one reactor, as both planes see them: only the reactor writes, the control plane
// lists connections from them and settles the accounts when their reactor died.
import type { Layout } from "./columns.ts";
import { openTable } from "./columns.ts";

/** What a slot (one socket) is doing. Zero is Free, so a zeroed table is an empty table. */
export const enum SlotState {
  Free,
  Connecting,
  Open,
  Closing,
}

/** Flags of a slot. */
export const enum SlotFlag {
  /** On the again-list. */
  Queued = 1,
  /** Last seen to fill a whole read: its bytes go by splice. */
  Bulk = 2,
  /** Its end of stream was read: no more bytes will come from it. */
  Finished = 4,
  /** Our end of stream was sent to it. */
  FinSent = 8,
  /** What it read and its sink did not take is in a pipe (else, if anything, in a block). */
  HoldsPipe = 16,
  /** Arriving bytes make no event: its sink is full, and it counts as ready to be read until EAGAIN. */
  Muted = 32,
  /** The accepted side of a connection. */
  Down = 64,
  /** To be closed with a reset. */
  Reset = 128,
}

/** One row per socket. */
export const SLOTS = {
  slotState: [Uint8Array, 1], // SlotState
  slotFlags: [Uint16Array, 1], // SlotFlag bits
  slotReady: [Uint8Array, 1], // Ready bits: what the kernel has told us and not taken back
  slotGen: [Uint32Array, 1], // raised on free; guards late events and timers
  slotPeer: [Uint32Array, 1], // the slot at the other end, or NONE
  slotEx: [Uint32Array, 1], // its exchange, or NONE; on a free slot the next free one
  slotHold: [Uint32Array, 1], // the pipe or block with bytes read here and not yet sent, or NONE
  slotHoldFrom: [Uint16Array, 1], // where they begin (blocks)
  slotHoldBytes: [Uint32Array, 1], // how many they are
  slotTookKiB: [Uint16Array, 1], // what its sink took since it was last full: how much to splice next
  slotMovedBytes: [Float64Array, 1], // read from this socket since it was taken
} as const satisfies Layout;

/** What an exchange is doing. */
export const enum ExState {
  Free,
  Connect,
  Tunnel,
  Probe,
  Done,
}

/** One row per connection through us, or per health check under way. */
export const EXCHANGES = {
  exState: [Uint8Array, 1], // ExState
  exReason: [Uint8Array, 1], // Reason: why it ended
  exErrno: [Uint16Array, 1], // the errno behind the reason, or 0
  exTried: [Uint16Array, 1], // servers tried or passed over so far
  exListener: [Uint16Array, 1], // the listener it came through
  exDown: [Uint32Array, 1], // the client's end, or NONE (a probe); on a free row the next free one
  exUp: [Uint32Array, 1], // the server's end, or NONE
  exUpstream: [Uint16Array, 1],
  exServer: [Uint32Array, 1], // server now in use, or NONE
  exFirst: [Uint32Array, 1], // the upstream's member that was picked first (a probe: its number)
  exGeneration: [Uint32Array, 1], // the Plan it was opened by; 0 once it needs none
  exIdleTicks: [Uint32Array, 1], // ticks without traffic until it is ended; 0: no limit
  exStartMs: [Float64Array, 1], // clock at the start
} as const satisfies Layout;

/** Deadlines: a row per slot, then a row per health check waiting for its turn. */
export const TIMERS = {
  timerTick: [Uint32Array, 1], // when it is due; 0: not armed
  timerBucket: [Uint16Array, 1], // bucket it hangs in, plus 1; 0: in none
  timerNext: [Uint32Array, 1],
  timerPrev: [Uint32Array, 1],
} as const satisfies Layout;

/** Sizes of a reactor's tables, row 0 of each included. */
export interface TableSizes {
  readonly slots: number;
  readonly exchanges: number;
  readonly timers: number;
  readonly pipes: number;
}

/** Memory of a reactor's tables. */
export interface TableMemory {
  readonly slots: SharedArrayBuffer;
  readonly exchanges: SharedArrayBuffer;
  readonly timers: SharedArrayBuffer;
}

export const openSlots = (memory: SharedArrayBuffer, rows: number) => openTable(SLOTS, memory, rows);
export const openExchanges = (memory: SharedArrayBuffer, rows: number) => openTable(EXCHANGES, memory, rows);
