// The tables of one reactor, as both planes see them: only the reactor writes, the control plane
// lists connections from them and settles the accounts when their reactor died.
import type { Layout } from "./columns.ts";
import { openTable } from "./columns.ts";
import { METER_WORDS } from "./meters.ts";

/** What a slot (one socket) is doing. Zero is Free, so a zeroed table is an empty table. */
export const enum SlotState {
  Free,
  Connecting,
  /** TLS is being agreed on. */
  Handshake,
  Open,
  /** A server's connection that is kept for the next exchange. */
  Idle,
  /** A flow's socket to its server. */
  Flow,
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
  /** It holds unread bytes that nobody has looked at: no event will tell of them. */
  Unseen = 256,
  /** Its bytes are not those of its socket (TLS that the kernel does not do): none of them goes by splice. */
  Sealed = 512,
  /** Its handshake waits for a certificate. */
  Asked = 1024,
  /** How fast its bytes may come is limited: what is read from it is counted (proxy/pace.ts). */
  Shaped = 2048,
  /** It is not read before its delay is over (net/delays.ts), though it may be ready. */
  Parked = 4096,
}

/** What the bytes read from a slot are, and how their end is known. */
export const enum Body {
  /** The head of the next message. */
  Head,
  /** Whatever comes; the end of stream is passed on. */
  Raw,
  /** A body that lasts until the end of stream. */
  UntilClose,
  /** A body of known length: slotBodyLeft bytes are still to come. */
  Length,
  /** A chunked body; its framing is forwarded, or taken off for who does not know it. */
  Chunked,
  Unchunked,
  /** The message is complete. */
  Ended,
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
  slotLentBytes: [Uint32Array, 1], // shaped: taken from its meters, and not read yet
  slotPaidBytes: [Float64Array, 1], // shaped: slotMovedBytes as of when it was last counted
  slotTookKiB: [Uint16Array, 1], // what its sink took since it was last full: how much to splice next
  slotFullMs: [Float64Array, 1], // when its sink last took something, while it is full; 0: it is not
  slotMovedBytes: [Float64Array, 1], // read from this socket since it was taken
  slotBody: [Uint8Array, 1], // Body
  slotPhase: [Uint8Array, 1], // of a chunked body: where in its framing it is
  slotBodyLeft: [Float64Array, 1], // bytes of the body (of the chunk) still to come
  slotBodyMost: [Float64Array, 1], // bytes of data that a chunked body may still have
  slotUnread: [Uint32Array, 1], // the block with bytes that were read too early, or NONE
  slotUnreadBytes: [Uint16Array, 1], // how many they are
  slotScanned: [Uint16Array, 1], // how many of them are known not to hold the end that is waited for
  slotServer: [Uint32Array, 1], // a server's connection that is kept: the server
  slotSinceMs: [Float64Array, 1], // of a server's connection: since when it is kept; else when it was begun
} as const satisfies Layout;

/** What an exchange is doing. */
export const enum ExState {
  Free,
  /** The PROXY header of the proxy before us is awaited. */
  Introduction,
  /** A client's TLS handshake. */
  Handshake,
  /** A client's next request is awaited, or arriving. */
  Head,
  /** Every server that could take it is full: it waits for a place. */
  Queue,
  Connect,
  /** Request and answer are on their way. */
  Forward,
  /** What we say ourselves is being sent. */
  Answer,
  /** The answer is out; what the client still sends is read and dropped, so that no reset overtakes it. */
  Linger,
  Tunnel,
  Probe,
  Done,
}

/** What is to be remembered of a request. */
export const enum ExFlag {
  /** It came by HTTP; without it, a plain connection. */
  Http = 1,
  /** The request was HEAD: its answer has no body. */
  Bodiless = 2,
  /** The client speaks HTTP/1.0. */
  Old = 4,
  /** The client's connection ends with this exchange. */
  Last = 8,
  /** The server's connection ends with this exchange. */
  LastUp = 16,
  /** The request asks to switch protocols. */
  Upgrade = 32,
  /** The server's connection had carried other exchanges before. */
  Reused = 64,
  /** It may be sent again when a reused connection breaks: idempotent, and no byte of a body was taken. */
  Repeatable = 128,
  /** It was sent again. */
  Repeated = 256,
  /** The answer's head is out. */
  Answered = 512,
  /** It has one of the places that its server has. */
  Placed = 1024,
  /** Its server takes no more of the request, though it answers. */
  Deaf = 2048,
  /** A server was passed over because all its places are taken. */
  Crowded = 4096,
  /** The client said that this is its last request: it may end its stream and still listen. */
  Parting = 8192,
  /** It waited for a place, and has it at exServer: it goes there next. */
  Granted = 16384,
  /** The client waits for leave to send its body (100-continue): the server's turn, until either speaks. */
  Expects = 32768,
  /** A tunnel whose client or server has a limit of its own: whose turn it is must be known. */
  Turns = 65536,
}

/** One row per connection through us, or per health check under way. */
export const EXCHANGES = {
  exState: [Uint8Array, 1], // ExState
  exReason: [Uint8Array, 1], // Reason: why it ended
  exErrno: [Uint16Array, 1], // the errno behind the reason, or 0
  exSource: [Uint32Array, 1], // who it is counted for (shared/sources.ts), or NONE
  exTried: [Uint16Array, 1], // servers tried or passed over so far
  exListener: [Uint16Array, 1], // the listener it came through
  exDown: [Uint32Array, 1], // the client's end, or NONE (a probe); on a free row the next free one
  exUp: [Uint32Array, 1], // the server's end, or NONE
  exUpstream: [Uint16Array, 1],
  exServer: [Uint32Array, 1], // server now in use, or NONE
  // Where the walk over its upstream's servers began: the member that was picked first, or the key that rules
  // that hash go by (a probe: its number).
  exFirst: [Uint32Array, 1],
  exWalk: [Uint32Array, 1], // which of them it has asked (policy/balance.ts)
  exReachMs: [Float64Array, 1], // when its server was chosen, where latency is looked at
  exGeneration: [Uint32Array, 1], // the Plan it was opened by; 0 once it needs none
  exIdleTicks: [Uint32Array, 1], // ticks without traffic until it is ended; 0: no limit
  exIdleReason: [Uint8Array, 1], // Reason by which it is ended then
  exTunnelTicks: [Uint32Array, 1], // Turns: what exIdleTicks is where nobody has less
  exClientTicks: [Uint32Array, 1], // Turns: while it is the client's turn; 0: no limit of its own
  exServerTicks: [Uint32Array, 1], // Turns: while it is the server's
  exHalfTicks: [Uint32Array, 1], // once one direction has ended
  exDownStallTicks: [Uint32Array, 1], // for which the client may take nothing of what is held for it
  exUpStallTicks: [Uint32Array, 1], // the server, likewise
  exStartMs: [Float64Array, 1], // clock at the start
  exSeenMs: [Float64Array, 1], // clock at the last event of one of its ends
  exMeters: [Int32Array, 2 * METER_WORDS], // of a shaped connection: from the client, to it
  // HTTP only: touched by nobody else.
  exFlags: [Uint32Array, 1], // ExFlag
  exRoute: [Uint32Array, 1], // the route that was taken, or NONE
  exStatus: [Uint16Array, 1], // of the answer; 0: none yet
  exKept: [Uint32Array, 1], // where in the arena the request's head is kept, or NONE
  exKeptBytes: [Uint16Array, 1], // its length
  exMethodEnd: [Uint16Array, 1], // in the kept head: the method [0, end), a space, the target
  exTargetEnd: [Uint16Array, 1],
  exHost: [Uint16Array, 1], // the authority
  exHostEnd: [Uint16Array, 1],
  exInterim: [Uint8Array, 1], // 1xx heads forwarded so far
  exRequests: [Uint32Array, 1], // requests of this client's connection so far
  exOpenedMs: [Float64Array, 1], // clock at the connection's start
  exUpBefore: [Float64Array, 1], // bytes of the requests and answers before; raised when it is back in Head
  exDownBefore: [Float64Array, 1],
  exUpBytes: [Float64Array, 1], // of this request and its answer
  exDownBytes: [Float64Array, 1],
  exNext: [Uint32Array, 1], // in the queue
  exBefore: [Uint32Array, 1],
  exConnectMs: [Float64Array, 1], // when a server's connection was there; 0: not yet
  exFirstMs: [Float64Array, 1], // when the answer's head came; 0: not yet
  exQueuedMs: [Float64Array, 1], // when it began to wait for a place; 0: never
  exUnqueuedMs: [Float64Array, 1], // when it was out of the queue; 0: it is in it, or never was
} as const satisfies Layout;

/** What is to be remembered of a flow. */
export const enum FlowFlag {
  /** Its server has answered: it is no longer in the list of those that give way. */
  Answered = 1,
  /** Its socket takes datagrams that the kernel joined. */
  Joined = 2,
  /** It has one of the places that its server has. */
  Placed = 4,
  /** A proxy introduced its client: flowTold says whom. */
  Introduced = 8,
  /** Its server is told of its client before each datagram. */
  Prefaced = 16,
}

/** A flow is the datagrams of one client, to one of our addresses and back: what users know as a session. Its row has
 * the number of its slot, the socket to its server. */
export const FLOWS = {
  flowAddress: [Int32Array, 12], // the client's peer record and our own, as in the record of a datagram
  flowTold: [Int32Array, 6], // the peer record of the client that a proxy introduced; of flowAddress's it is the proxy's
  flowSource: [Uint32Array, 1], // who it is counted for (shared/sources.ts), or NONE
  flowHash: [Uint32Array, 1],
  flowSocket: [Uint16Array, 1], // the listening socket that it came through
  flowListener: [Uint16Array, 1],
  flowUpstream: [Uint16Array, 1],
  flowServer: [Uint32Array, 1],
  flowTried: [Uint16Array, 1], // servers tried or passed over
  flowFlags: [Uint8Array, 1], // FlowFlag
  flowIdleTicks: [Uint32Array, 1], // ticks without a datagram until it is ended
  flowHeardTick: [Uint32Array, 1], // when its server answered last; before that, when it began
  flowResponses: [Int32Array, 1], // answers expected for each datagram of the client; below 0: any number
  flowUpDatagrams: [Float64Array, 1],
  flowDownDatagrams: [Float64Array, 1],
  flowUpBytes: [Float64Array, 1],
  flowDownBytes: [Float64Array, 1],
  flowStartMs: [Float64Array, 1],
  flowNext: [Uint32Array, 1], // among those that their server has not answered
  flowBefore: [Uint32Array, 1],
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
  readonly flows: SharedArrayBuffer;
}

export const openSlots = (memory: SharedArrayBuffer, rows: number) => openTable(SLOTS, memory, rows);
export const openExchanges = (memory: SharedArrayBuffer, rows: number) => openTable(EXCHANGES, memory, rows);
export const openFlows = (memory: SharedArrayBuffer, rows: number) => openTable(FLOWS, memory, rows);
