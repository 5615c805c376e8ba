// Every bound of Sluice that is not the user's to set, with its unit and what happens at it.
// They check each other when this file is loaded.
import { assert } from "./assert.ts";

/** Row 0 of every table is never used, so a zeroed table is an empty table and 0 means "none". */
export const NONE = 0;

/** Reactors of one process. Asking for more is refused on the command line. */
export const REACTORS_MAX = 64;
/** The control plane's room in C; reactors are 1..n, the health Worker is n + 1. */
export const CONTROL_ROOM = 0;
/** Rooms that C has. */
export const ROOMS_MAX = 80;

/** Listening sockets (in reuseport mode one for each reactor). More are refused at start. */
export const LISTENERS_MAX = 4096;
/** Numbers of upstreams, servers and probes: the shared columns' size. More are refused at start. */
export const UPSTREAMS_MAX = 16_384;
export const SERVERS_MAX = 131_072;
export const PROBES_MAX = 131_072;
export const ROUTES_MAX = 1 << 20;
/** Numbers of settings of sockets, and of TLS profiles: those that C has. */
export const SOCKETS_MAX = 32_768;
export const PROFILES_MAX = 8_192;
/** Servers of one upstream: exchange columns count them in 16 bits. */
export const SERVERS_PER_UPSTREAM_MAX = 65_535;

/** Events taken by one poll. */
export const EVENTS_MAX = 256;
/** One reactor's receive block: a read that fills it makes its stream a bulk stream (splice). */
export const RECEIVE_BYTES = 16_384;
/** What a bulk stream that cannot be spliced is looked at at once: only what its sink took is then read. */
export const WIDE_BYTES = 1 << 18;
/** A block holds what a sink did not take when no pipe is to be had, and what was read too early. */
export const BLOCK_BYTES = 2 * RECEIVE_BYTES;
/** Blocks of one reactor. When all are taken, bytes are peeked at and only what was sent is read. */
export const BLOCKS_MAX = 16_384;

/** A pipe between two sockets of a bulk stream. */
export const PIPE_BYTES = 1 << 20;
/** Pipes of one reactor (two fds each). When all are taken, bytes are copied. */
export const PIPES_MAX = 256;
/** Empty pipes that a reactor keeps open for the next stream; more are closed. */
export const PIPES_KEPT_MAX = 8;
/** What is spliced into an empty pipe for a sink that has not yet shown what it takes. */
export const SPLICE_FIRST_BYTES = 1 << 18;
/** The least that is spliced at once, however slow the sink. */
export const SPLICE_LEAST_BYTES = 1 << 16;
/** An open pipe smaller than this cannot take a leftover: it is closed and bytes are copied. */
export const PIPE_BYTES_MIN = 65_536;

/** Bytes moved for one direction of one connection before others have their turn. */
export const TURN_BYTES = 2 << 20;
/** Connections taken from one listening socket before others have their turn. */
export const ACCEPTS_PER_TURN = 64;
/** Lines of the access log that each reactor writes in a second of refused connections, for each reason; more are
 * counted only. */
export const REFUSALS_TOLD = 10;
/** How long a handshake waits for a certificate that is being issued. */
export const ASK_MS = 30_000;
/** Steps of TLS handshakes before others have their turn. */
export const HANDSHAKES_PER_TURN = 8;
/** How long accepting pauses when fds or memory have run out, and when all connections are taken. */
export const ACCEPT_PAUSE_MS = 100;
export const ACCEPT_FULL_PAUSE_MS = 5;
/** So long without a pause, and accepting is said to go on. */
export const ACCEPT_QUIET_MS = 1_000;
/** A client whose last answer is out is listened to until it is silent for so long, or so long in all, and so
 * many bytes of it are dropped. */
export const LINGER_MS = 2_000;
export const LINGER_WHOLE_MS = 30_000;
export const LINGER_BYTES_MAX = 64 << 20;
/** Deadlines served, and connects of one exchange that fail at once, before others have their turn. */
export const TIMEOUTS_PER_TURN = 256;
export const CONNECTS_PER_TURN = 16;
/** Slots beyond two for each connection: connects given up in this turn wait there for the sweep. */
export const SLOTS_SPARE = 1_024;

/** Exchanges of one reactor that wait for a place at a server; more are refused (503). */
export const QUEUE_MAX = 1_024;
/** How often each of them looks for a place itself, told of one or not; and asks the server again that refused
 * it, while the others are full. */
export const QUEUE_LOOK_MS = 300;

/** One tick of the deadline wheel. Deadlines are late by at most two. */
export const TICK_MS = 100;
/** Buckets of the wheel: deadlines further away are looked at again when they come near. */
export const WHEEL_BUCKETS = 1_024;

/** The wheel of 1 ms ticks: its buckets, the longest that anybody waits on it, and how many are served in a turn. */
export const DELAY_BUCKETS = 2_048;
export const DELAY_MS_MAX = 1_000;
export const DELAYS_PER_TURN = 256;

/** The time of a meter (shared/meters.ts): 1/16 ms, whole, in 32 bits, told apart over 37 hours. */
export const METER_UNITS_PER_MS = 16;
/** A meter never holds more than what comes in so long, and is never so far in debt. */
export const METER_MS_MAX = 3_600_000;
/** Bytes that a shaped direction waits for at least, where that is no tenth of a second: one segment; and at most:
 * what a pipe holds. */
export const QUANTUM_BYTES_MIN = 1_448;
export const QUANTUM_BYTES_MAX = 1 << 20;

/** Text that a health check sends, and the answer that it looks into. */
export const PROBE_TEXT_BYTES_MAX = 4_096;
/** Probes under way at once; the rest wait, and the stretched interval is reported. */
export const PROBES_IN_FLIGHT_MAX = 2_048;

/** Fields of one head; more are refused (431). */
export const FIELDS_MAX = 128;
/** Bytes of one head, first line and empty line included; more are refused (431, or 414 when the request
 * target alone is longer than TARGET_BYTES_MAX; an answer's head: 502). */
export const HEAD_BYTES_MAX = 16_384;
export const TARGET_BYTES_MAX = 8_192;
/** Bytes of a method: the longest registered one has 17. A longer one is not known (501). */
export const METHOD_BYTES_MAX = 32;
/** Bytes of a chunk's size line with its extensions, and of one trailer section; more are refused. */
export const CHUNK_LINE_BYTES_MAX = 256;
export const TRAILER_BYTES_MAX = 8_192;
/** Characters of an ACME token that is answered (RFC 8555 section 8.3). */
export const TOKEN_BYTES_MAX = 128;
/** How often a request may have passed a Sluice before, as its Via says; more is a loop (502). */
export const VIA_MAX = 16;
/** 1xx heads of one answer that are forwarded; a server that sends more is refused (502). */
export const INTERIM_MAX = 16;

/** Bytes of a ClientHello without the headers of its records, and how many records it may be cut into; more is
 * refused (the connection is reset). Hellos with post-quantum keys have about 2 KiB; what hides a name from
 * the network between cuts them into some hundred records. */
export const HELLO_BYTES_MAX = 16_384;
export const HELLO_RECORDS_MAX = 512;
/** So many bytes of a connection always tell what its hello is. */
export const HELLO_PEEK_BYTES = HELLO_BYTES_MAX + 5 * HELLO_RECORDS_MAX;
/** Where a hello's name is put in lower case, and what its reader needs beside it: that, and the whole hello. */
export const SERVER_NAME_PLACE = 256;
export const HELLO_SPARE_BYTES = SERVER_NAME_PLACE + HELLO_BYTES_MAX;

/** Bytes of a PROXY header that are read, its fields (TLV) included; more is refused. nginx reads as many. */
export const PROXY_BYTES_MAX = 4_096;

/** Records between a reactor and the control plane. When full, records are dropped and counted. */
export const LOG_RECORDS = 4_096;
/** Bytes of whole lines on their way from a reactor to where the log goes, and of one line. When full, lines
 * are dropped and counted: 100,000 lines a second of 300 bytes fill it in a second. Committed by touch, and
 * while lines are taken in time only the first LOG_LINES_NEAR_BYTES and what comes until the next look are. */
export const LOG_LINES_BYTES = 32 << 20;
export const LOG_LINES_NEAR_BYTES = 1 << 18;
export const LOG_LINE_BYTES_MAX = 32_768;
/** An address record, as C and the Plan have it (see ffi/sluice.h). */
export const ADDRESS_BYTES = 112;
export const PEER_BYTES = 24;
export const EVENT_INTS = 3;

/** Datagrams moved by one call; integers of the record of one, and bytes of its buffer: any datagram fits (65,507
 * by IPv4, 65,527 by IPv6), and beginnings of buffers do not share lines of a cache. */
export const DATAGRAMS_PER_CALL = 32;
export const DATAGRAM_INTS = 16;
export const DATAGRAM_BYTES = 65_856;
/** A batch: its records, then their buffers. */
export const BATCH_BYTES = DATAGRAMS_PER_CALL * (DATAGRAM_INTS * 4 + DATAGRAM_BYTES);
/** Calls for one socket of datagrams before others have their turn. */
export const BATCHES_PER_TURN = 8;
/** Of max-connections, what sessions of datagrams may have where connections are served as well. */
export const FLOWS_SHARE = 0.75;
/** Servers that are asked for a place, for new clients of one socket of datagrams, before others have their turn. */
export const LOOKS_PER_TURN = 1 << 16;
/** More than one batch should need; new clients beyond it are refused. */
export const LOOKS_PER_BATCH = 4 * LOOKS_PER_TURN;
/** A server that refused datagrams is passed over for so long, if there is another. */
export const AVOID_MS = 10_000;
/** Lines of the log about clients that got no session, a second; the rest are only counted. */
export const REFUSALS_TOLD_PER_SECOND = 16;

/** Large blocks that only leftovers may take, so that what was read too early cannot stop what is sent. */
export const BLOCKS_FOR_HOLDS = 1_024;
/** A small block keeps the head of a request until its exchange ends; larger heads take a block. */
export const SMALL_BLOCK_BYTES = 2_048;
export const SMALL_BLOCKS_MAX = 131_072;
/** Of a request's target and host, as its record tells them; longer ones are cut. */
export const TARGET_BYTES_TOLD = 1_536;
export const HOST_BYTES_TOLD = 255;
/** The same of a field of its head. */
export const FIELD_BYTES_TOLD = 256;
/** A head as it is printed, with bytes of the body behind it; what does not fit waits for the next send. */
export const PRINT_BYTES = BLOCK_BYTES;

/** A reactor's arena: clock, events, a scratch page for addresses and texts, the receive block with room
 * before it for what was read too early, printed heads, a decoded path, facts of a session, what is looked at of a
 * bulk stream, small blocks, blocks, datagrams. */
export const ARENA_CLOCK = 0;
export const ARENA_EVENTS = 64;
export const ARENA_SCRATCH = 4_096;
export const SCRATCH_BYTES = 12_288;
export const ARENA_RECEIVE = ARENA_SCRATCH + SCRATCH_BYTES;
export const ARENA_PRINT = ARENA_RECEIVE + 2 * RECEIVE_BYTES;
export const ARENA_PATH = ARENA_PRINT + PRINT_BYTES;
export const PATH_BYTES = 8_192;
/** What is told of a client's session: one fact for a template, and its certificate for servers. */
export const ARENA_FACT = ARENA_PATH + PATH_BYTES;
export const FACT_BYTES = 4_096;
export const ARENA_CERTIFICATE = ARENA_FACT + FACT_BYTES;
export const CERTIFICATE_BYTES = 12_288;
export const ARENA_WIDE = ARENA_CERTIFICATE + CERTIFICATE_BYTES;
export const ARENA_SMALL_BLOCKS = ARENA_WIDE + WIDE_BYTES;
export const ARENA_BLOCKS = ARENA_SMALL_BLOCKS + SMALL_BLOCKS_MAX * SMALL_BLOCK_BYTES;
/** Datagrams from clients on their way to servers, and from servers on their way to clients. */
export const ARENA_ASKING = ARENA_BLOCKS + BLOCKS_MAX * BLOCK_BYTES;
export const ARENA_ANSWERING = ARENA_ASKING + BATCH_BYTES;
/** Whom a proxy introduced by the header of a datagram. */
export const ARENA_INTRODUCED = ARENA_ANSWERING + BATCH_BYTES;
export const ARENA_BYTES = ARENA_INTRODUCED + 2 * PROXY_BYTES_MAX;
/** The control plane's arena has no blocks. */
export const CONTROL_ARENA_BYTES = ARENA_SMALL_BLOCKS;

assert(REACTORS_MAX + 2 <= ROOMS_MAX, "limits: every reactor, control and health need a room");
assert(
  ARENA_EVENTS + EVENTS_MAX * EVENT_INTS * 4 <= ARENA_SCRATCH,
  "limits: the events of one poll must fit below the scratch page",
);
assert(ADDRESS_BYTES <= SCRATCH_BYTES, "limits: an address must fit the scratch page");
assert(DELAY_MS_MAX < DELAY_BUCKETS - 1, "limits: the longest delay must come within one round of its wheel");
assert(4 * METER_MS_MAX * METER_UNITS_PER_MS < 2 ** 31, "limits: a meter's times are compared in 32 bits");
assert(PROBE_TEXT_BYTES_MAX <= SCRATCH_BYTES, "limits: a probe's text must fit the scratch page");
assert((LOG_RECORDS & (LOG_RECORDS - 1)) === 0, "limits: the log ring's size is a power of two");
assert((LOG_LINES_BYTES & (LOG_LINES_BYTES - 1)) === 0, "limits: the size of the lines' ring is one, too");
assert(LOG_LINES_BYTES < 2 ** 30, "limits: positions of lines are compared in 32 bits");
assert(
  TIMEOUTS_PER_TURN + EVENTS_MAX <= SLOTS_SPARE,
  "limits: every connect given up in a turn must find a slot for the next",
);
assert(BLOCK_BYTES === 2 * RECEIVE_BYTES, "limits: what is read at once, and its leftover, must fit both");
assert(BLOCK_BYTES >= PRINT_BYTES, "limits: a leftover of a printed head must fit a block");
assert(BLOCK_BYTES >= HEAD_BYTES_MAX + RECEIVE_BYTES, "limits: what was read too early must fit a block");
assert(HELLO_PEEK_BYTES <= 2 * RECEIVE_BYTES, "limits: a whole hello must fit where it is peeked at");
assert(
  HELLO_SPARE_BYTES <= PRINT_BYTES,
  "limits: what reading a hello needs must fit where heads are printed",
);
assert(
  4 * PROXY_BYTES_MAX <= PRINT_BYTES && PROXY_BYTES_MAX <= RECEIVE_BYTES,
  "limits: a PROXY header, what it tells and what is told of that must fit where heads are read and printed",
);
assert(LOG_LINE_BYTES_MAX <= PRINT_BYTES, "limits: a line of the log is printed where heads are");
assert(TARGET_BYTES_MAX <= PATH_BYTES, "limits: a decoded path must fit its place");
assert(BLOCK_BYTES < 65_536, "limits: where bytes begin in a block is kept in 16 bits");
assert(
  TARGET_BYTES_TOLD + HOST_BYTES_TOLD + METHOD_BYTES_MAX < SMALL_BLOCK_BYTES,
  "limits: what is told of a request must fit a small block",
);
assert(
  6 * (TARGET_BYTES_TOLD + HOST_BYTES_TOLD) + METHOD_BYTES_MAX + 4_096 < LOG_LINE_BYTES_MAX &&
    LOG_LINE_BYTES_MAX <= PRINT_BYTES,
  "limits: a line must hold a request whose every octet is escaped, and names: nobody hides by being strange",
);
assert(PIPE_BYTES_MIN >= RECEIVE_BYTES, "limits: a leftover of the receive block must fit a pipe");
assert(ARENA_BYTES < 2 ** 32, "limits: offsets into the arena are 32 bits");
