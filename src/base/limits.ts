// Every bound of Sluice that is not the user's to set, with its unit and what happens at it.
// They check each other when this file is loaded.
import { assert } from "./assert.ts";

/** Row 0 of every table is never used, so a zeroed table is an empty table and 0 means "none". */
export const NONE = 0;

/** Reactors of one process. Asking for more is refused on the command line. */
export const REACTORS_MAX = 64;
/** The control plane's room in C; reactors are 1..n, the health Worker is n + 1. */
export const CONTROL_ROOM = 0;

/** Listening sockets (in reuseport mode one for each reactor). More are refused at start. */
export const LISTENERS_MAX = 4096;
/** Numbers of upstreams, servers and probes: the shared columns' size. More are refused at start. */
export const UPSTREAMS_MAX = 16_384;
export const SERVERS_MAX = 131_072;
export const PROBES_MAX = 131_072;
/** Servers of one upstream: exchange columns count them in 16 bits. */
export const SERVERS_PER_UPSTREAM_MAX = 65_535;

/** Events taken by one poll. */
export const EVENTS_MAX = 256;
/** One reactor's receive block: a read that fills it makes its stream a bulk stream (splice). */
export const RECEIVE_BYTES = 16_384;
/** A block holds what a sink did not take when no pipe is to be had. */
export const BLOCK_BYTES = RECEIVE_BYTES;
/** Blocks of one reactor. When all are taken, copying streams wait for one. */
export const BLOCKS_MAX = 4_096;

/** A pipe between two sockets of a bulk stream. */
export const PIPE_BYTES = 1 << 20;
/** Pipes of one reactor (two fds each). When all are taken, bytes are copied. */
export const PIPES_MAX = 256;
/** Empty pipes kept open for the next stream; more are closed. */
export const PIPES_KEPT_MAX = 32;
/** An open pipe smaller than this cannot take a leftover: it is closed and bytes are copied. */
export const PIPE_BYTES_MIN = 65_536;

/** Bytes moved for one direction of one connection before others have their turn. */
export const TURN_BYTES = 2 << 20;
/** Connections taken from one listening socket before others have their turn. */
export const ACCEPTS_PER_TURN = 64;
/** Events of one slot in one turn that may throw a BugError before the Worker is given up. */
export const ACCEPT_PAUSE_MS = 100;

/** One tick of the deadline wheel. Deadlines are late by at most two. */
export const TICK_MS = 100;
/** Buckets of the wheel: deadlines further away are looked at again when they come near. */
export const WHEEL_BUCKETS = 1_024;

/** Text that a health check sends, and the answer that it looks into. */
export const PROBE_TEXT_BYTES_MAX = 4_096;
/** Probes under way at once; the rest wait, and the stretched interval is reported. */
export const PROBES_IN_FLIGHT_MAX = 2_048;

/** Records between a reactor and the control plane. When full, records are dropped and counted. */
export const LOG_RECORDS = 4_096;
/** Messages from the control plane to one reactor in one turn. */
export const MESSAGES_PER_TURN = 16;

/** An address record, as C and the Plan have it (see ffi/sluice.h). */
export const ADDRESS_BYTES = 112;
export const PEER_BYTES = 24;
export const EVENT_INTS = 3;

/** A reactor's arena: clock, events, a scratch page for addresses and texts, receive block, blocks. */
export const ARENA_CLOCK = 0;
export const ARENA_EVENTS = 64;
export const ARENA_SCRATCH = 4_096;
export const SCRATCH_BYTES = 12_288;
export const ARENA_RECEIVE = ARENA_SCRATCH + SCRATCH_BYTES;
export const ARENA_BLOCKS = ARENA_RECEIVE + RECEIVE_BYTES;
export const ARENA_BYTES = ARENA_BLOCKS + BLOCKS_MAX * BLOCK_BYTES;
/** The control plane's arena has no blocks. */
export const CONTROL_ARENA_BYTES = ARENA_BLOCKS;

assert(
  ARENA_EVENTS + EVENTS_MAX * EVENT_INTS * 4 <= ARENA_SCRATCH,
  "limits: the events of one poll must fit below the scratch page",
);
assert(ADDRESS_BYTES <= SCRATCH_BYTES, "limits: an address must fit the scratch page");
assert(PROBE_TEXT_BYTES_MAX <= SCRATCH_BYTES, "limits: a probe's text must fit the scratch page");
assert(BLOCK_BYTES >= RECEIVE_BYTES, "limits: a leftover of the receive block must fit a block");
assert(PIPE_BYTES_MIN >= RECEIVE_BYTES, "limits: a leftover of the receive block must fit a pipe");
assert(ARENA_BYTES < 2 ** 32, "limits: offsets into the arena are 32 bits");
