// The calls into C, as data: one table, opened by bun.ts, by deno.ts and by the fake kernel of the
// tests, so the three cannot drift apart. ffi/sluice.h has each call's contract; C's names carry the
// prefix "sl_". Results are >= 0 or -errno. `ERRNOS` lists the errors that each contract names.

/** `bytes`: memory of TypeScript's own, shared or not, that C reads during the call. */
type CType = "i32" | "u32" | "ptr" | "bytes";

/** Raised together with SL_ABI in ffi/sluice.h. */
export const ABI = 7;

export const SYMBOLS = {
  abi: [[], "i32"],
  record_bytes: [["i32"], "i32"], // which
  setup: [[], "i32"],
  machine: [["i32"], "i32"], // which: see MachineFact
  run_soon: [[], "i32"],

  room_open: [["i32", "i32", "i32", "u32"], "i32"], // room, slots, pipes, arena bytes
  room_close: [["i32"], "i32"],
  arena: [["i32"], "ptr"], // room
  enter: [["i32"], "i32"],
  leave: [[], "i32"],
  reap: [["i32"], "i32"],
  wake: [["i32"], "i32"],
  peer_of: [["i32", "i32", "u32"], "i32"], // room, slot, offset
  held: [["i32", "i32"], "i32"], // room, which
  hear: [["i32", "i32"], "i32"], // slot, on
  poll: [["u32", "i32", "i32"], "i32"], // offset of the events, how many, timeout ms

  listen: [["i32", "u32", "i32", "i32", "i32"], "i32"], // listener, address offset, flags, backlog, settings
  listener_address: [["i32", "u32"], "i32"],
  listener_queue: [["i32", "i32"], "i32"], // listener, which: waiting, or how many may
  listener_stop: [["i32"], "i32"],
  listener_path: [["i32", "i32"], "i32"], // listener, whether it is unlinked
  listener_close: [["i32"], "i32"],
  watch: [["i32", "i32"], "i32"], // listener, on
  accept: [["i32"], "i32"], // listener -> token
  caller: [["i32", "u32"], "i32"], // token, offset
  charge: [["i32", "i32"], "i32"], // token, source
  charged: [["i32"], "i32"], // token -> source
  hand: [["i32", "i32"], "i32"], // token, room
  newcomer: [["i32"], "i32"], // token -> listener
  adopt: [["i32", "i32", "u32"], "i32"], // token, slot, generation
  refuse: [["i32", "i32"], "i32"], // token, reset

  inherited: [["i32", "u32"], "i32"], // fd, offset of its address -> bits of INHERITED_
  inherited_close: [["i32"], "i32"], // fd
  listener_adopt: [["i32", "i32"], "i32"], // listener, fd
  listener_tune: [["i32", "i32", "i32"], "i32"], // listener, backlog, settings

  notify: [["bytes", "i32", "bytes", "i32"], "i32"], // path, its length, text, its length
  become: [["u32", "u32", "bytes", "i32", "u32"], "i32"], // uid, gid, groups, how many, capabilities to keep
  may_open: [["bytes", "i32", "u32", "u32", "bytes", "i32"], "i32"], // path, to write, uid, gid, groups, how many

  connect: [["i32", "u32", "u32", "i32"], "i32"], // slot, generation, address offset, how
  outcome: [["i32"], "i32"],
  recv: [["i32", "u32", "i32"], "i32"], // slot, offset, bytes
  peek: [["i32", "u32", "i32"], "i32"],
  skip: [["i32", "u32", "i32"], "i32"], // slot, offset, bytes
  send: [["i32", "u32", "i32", "i32"], "i32"], // slot, offset, bytes, more
  shutdown: [["i32"], "i32"],
  close: [["i32", "i32"], "i32"], // slot, reset
  option: [["i32", "i32", "i32"], "i32"], // slot, option, value
  client: [["i32", "u32"], "i32"],
  introduce: [["i32", "u32", "i32"], "i32"], // slot, introduction, its length
  introduction: [["i32", "u32", "i32"], "i32"], // slot, offset, bytes
  introducer: [["i32", "u32"], "i32"],
  sockname: [["i32", "u32"], "i32"],
  peername: [["i32", "u32"], "i32"],

  udp_listen: [["i32", "u32", "i32"], "i32"], // listener, address offset, flags
  udp_lost: [["i32"], "i32"], // listener
  udp_connect: [["i32", "u32", "u32", "i32", "u32", "i32"], "i32"], // slot, generation, address offset, listener, client offset, how
  udp_recv: [["i32", "u32", "i32"], "i32"], // listener, batch offset, how many
  udp_read: [["i32", "u32", "i32", "i32"], "i32"], // slot, batch offset, from which record on, how many
  udp_preface: [["i32", "u32", "i32"], "i32"], // slot, what its datagrams begin with, its length
  udp_send: [["i32", "u32", "i32", "i32"], "i32"], // slot, batch offset, from which record on, how many
  udp_answer: [["i32", "u32", "i32", "i32"], "i32"], // listener, batch offset, from which record on, how many

  handover_pair: [["bytes"], "i32"], // fds
  handover_take: [["i32"], "i32"], // fd
  handover_send: [["i32", "bytes", "i32", "bytes", "i32"], "i32"], // fd, message, its length, fds, how many
  handover_recv: [["i32", "bytes", "i32", "bytes"], "i32"], // fd, message, room for it, fds
  handover_close: [["i32"], "i32"],
  memfd_make: [["bytes", "i32"], "i32"], // content, its length -> fd
  memfd_bytes: [["i32"], "i32"],
  memfd_read: [["i32", "bytes", "i32", "i32"], "i32"], // fd, into, bytes, from
  spawn: [["bytes", "i32", "bytes", "i32", "i32"], "i32"], // words, their length, environment, its length, fd -> process
  spawned: [["i32"], "i32"], // process -> status
  listener_fd: [["i32"], "i32"],
  slot_fd: [["i32", "i32"], "i32"], // room, slot
  udp_adopt: [["i32", "u32", "i32", "i32", "u32"], "i32"], // slot, generation, fd, listener, client offset
  udp_yield: [["i32"], "i32"], // slot

  socket_open: [["i32"], "i32"], // settings
  socket_set: [["i32", "i32", "i32"], "i32"], // settings, option, value
  socket_source: [["i32", "u32"], "i32"], // settings, address offset
  socket_device: [["i32", "u32", "i32"], "i32"], // settings, name, its length
  socket_try: [["i32", "i32"], "i32"], // settings, family
  socket_flaw: [[], "i32"],

  pipe_open: [["i32", "i32"], "i32"], // pipe, bytes
  pipe_close: [["i32"], "i32"],
  pipe_write: [["i32", "u32", "i32"], "i32"],
  can_splice: [["i32"], "i32"],
  splice_in: [["i32", "i32", "i32"], "i32"], // slot, pipe, bytes
  splice_out: [["i32", "i32", "i32", "i32"], "i32"], // pipe, slot, bytes, more

  log_open: [["bytes", "i32"], "i32"], // path, fd to replace
  log_kind: [["i32"], "i32"],
  log_ready: [["i32", "i32"], "i32"], // fd, timeout ms
  log_write: [["i32", "bytes", "i32", "bytes", "u32", "u32", "u32"], "i32"], // fd, before, its length, ring, its size, from, length
  log_send: [["i32", "bytes", "i32", "bytes", "u32", "u32", "u32"], "i32"],
  log_connect: [["bytes", "i32"], "i32"], // address, stream
  log_outcome: [["i32"], "i32"],
  log_close: [["i32"], "i32"],

  cert_open: [["bytes", "i32", "bytes", "i32"], "i32"], // chain, its length, key, its length -> certificate
  cert_close: [["i32"], "i32"],
  cert_staple: [["i32", "bytes", "i32"], "i32"], // certificate, OCSP response, its length
  names_begin: [["i32"], "i32"], // profile
  names_add: [["bytes", "i32", "i32"], "i32"], // name, its length, certificate
  names_set: [["i32", "bytes", "i32", "i32"], "i32"], // profile, name, its length, certificate
  names_commit: [[], "i32"],
  challenge: [["bytes", "i32", "i32"], "i32"], // name, its length, certificate
  ticket_keys: [["bytes", "i32"], "i32"], // keys, how many
  profile_open: [["i32", "i32", "i32", "i32", "i32"], "i32"], // profile, kind, policy, verify, flags
  profile_set: [["i32", "i32", "bytes", "i32"], "i32"], // profile, what, bytes, length
  profile_own: [["i32", "i32"], "i32"], // profile, certificate
  profile_close: [["i32"], "i32"],
  tls_error: [["u32", "i32"], "i32"],

  tls_accept: [["i32", "i32", "u32"], "i32"], // slot, profile, bits
  tls_connect: [["i32", "i32", "u32", "i32", "i32", "u32"], "i32"], // slot, profile, name, its length, server, bits
  handshake: [["i32"], "i32"],
  tls_refuse: [["i32"], "i32"],
  tls_fault: [["i32"], "i32"],
  tls_drop: [["i32"], "i32"],
  truncated: [["i32"], "i32"],
  tls_named: [["i32", "u32", "i32"], "i32"], // slot, name, its length
  tls_fact: [["i32", "i32", "u32", "i32"], "i32"], // slot, which, offset, bytes
  tls_covers: [["i32", "u32", "i32"], "i32"], // slot, host, its length

  pattern_compile: [["u32", "i32", "u32"], "i32"], // offset, bytes, error offset
  pattern_match: [["i32", "u32", "i32"], "i32"],
  pattern_free: [["i32"], "i32"],
} as const satisfies Record<string, readonly [readonly CType[], CType]>;

export type SymbolName = keyof typeof SYMBOLS;

/** The calls that sit on no socket of a room: a fake kernel keeps the real ones. */
export const LIBRARY_SYMBOLS = [
  "machine",
  "run_soon",
  "pattern_compile",
  "pattern_match",
  "pattern_free",
] as const;

/** The log Worker's calls: no reactor makes them, and a fake kernel refuses them. */
export const LOG_SYMBOLS = [
  "log_open",
  "log_kind",
  "log_ready",
  "log_write",
  "log_send",
  "log_connect",
  "log_outcome",
  "log_close",
] as const;

/** The calls that move datagrams: a fake kernel of connections refuses them, and they have one of their own. */
export const DATAGRAM_SYMBOLS = [
  "udp_listen",
  "udp_lost",
  "udp_connect",
  "udp_recv",
  "udp_read",
  "udp_preface",
  "udp_send",
  "udp_answer",
  "udp_adopt",
  "udp_yield",
] as const;

/** What upgrades ask of the kernel: reactors only close what they have no room for, and a fake kernel refuses them. */
export const HANDOVER_SYMBOLS = [
  "handover_pair",
  "handover_take",
  "handover_send",
  "handover_recv",
  "handover_close",
  "memfd_make",
  "memfd_bytes",
  "memfd_read",
  "spawn",
  "spawned",
  "listener_fd",
  "slot_fd",
] as const;

/** What the control plane gives to TLS: no reactor makes these calls, and a fake kernel refuses them. */
export const TLS_STORE_SYMBOLS = [
  "cert_open",
  "cert_close",
  "cert_staple",
  "names_begin",
  "names_add",
  "names_commit",
  "names_set",
  "challenge",
  "ticket_keys",
  "profile_open",
  "profile_set",
  "profile_own",
  "profile_close",
  "tls_error",
] as const;

/** What the control plane says of sockets, likewise. */
export const SOCKET_STORE_SYMBOLS = [
  "socket_open",
  "socket_set",
  "socket_source",
  "socket_device",
  "socket_try",
  "socket_flaw",
] as const;

/** The calls about sockets that were open before: only the control plane makes them, and a fake kernel, which has no
 * such sockets, refuses them. */
export const INHERITED_SYMBOLS = [
  "inherited",
  "inherited_close",
  "listener_adopt",
  "listener_tune",
  "listener_path",
] as const;

/** What the control plane says to a service manager, and does for the process as a whole, likewise. */
export const SERVICE_SYMBOLS = ["notify", "become", "may_open"] as const;

/** Behind the number of settings in `connect`'s how, as ffi/sluice.h has them. */
export const HOW_SOCKET = 0x7fff;
/** The client's address record lies behind the server's: the connection is to come from there. */
export const HOW_CLIENT = 1 << 16;
/** What is to be sent comes at once. */
export const HOW_SPEAKS = 1 << 17;

/** `profile_open`: whose profile it is. */
export const enum ProfileKind {
  Listener,
  Upstream,
}

/** What `profile_set` sets. */
export const enum ProfilePart {
  Alpn,
  /** Authorities and their revocation lists, instead of those before. */
  Trust,
  Pins,
}

/** `profile_open`: a name without a certificate is asked for. */
export const PROFILE_ASKS = 1;

/** What `tls_fact` tells of a session. */
export const enum TlsFact {
  /** The name that was asked for (SNI). */
  Name,
  Version,
  Cipher,
  /** The protocol that was agreed on (ALPN). */
  Protocol,
  Subject,
  Issuer,
  Serial,
  Fingerprint,
  /** The peer's certificate as RFC 9440 writes it. */
  Certificate,
  Resumed,
  /** Of the subject. */
  CommonName,
}

/** What `log_kind` says of an fd. */
export const enum FdKind {
  File,
  Pipe,
  Socket,
}

/** Bits of `log_ready`. */
export const enum FdReady {
  Writable = 1,
  Gone = 2,
}

type Args<T extends readonly CType[]> = {
  -readonly [I in keyof T]: T[I] extends "bytes" ? Uint8Array : number;
};
export type Kernel = {
  [K in SymbolName as (typeof SYMBOLS)[K][1] extends "ptr" ? never : K]: (
    ...args: Args<(typeof SYMBOLS)[K][0]>
  ) => number;
};

/** Who answers the calls: a library opened by a runtime's FFI, or the fake kernel. */
export interface Provider {
  readonly kernel: Kernel;
  /** A view, without a copy, of the first `bytes` of a room's arena. */
  arena(room: number, bytes: number): ArrayBuffer;
}

/** Options of `option` (up to QuickAck) and of `socket_set`, in the order of ffi/socket.h. */
export const enum SocketOption {
  NoDelay,
  KeepAlive,
  KeepIdle,
  KeepIntvl,
  KeepCnt,
  UserTimeout,
  SndBuf,
  RcvBuf,
  QuickAck,
  UdpGro,
  DeferAccept,
  FastOpen,
  FastOpenConnect,
  V6Only,
  Transparent,
  Mptcp,
  Mode,
  Uid,
  Gid,
  Device,
  Source,
}

/** What `machine` tells, in the order of ffi/machine.c. */
export const enum MachineFact {
  PageBytes,
  /** 2036 is 2.36. */
  Glibc,
  /** As adjtimex(2): CLOCK_ASTRAY when nothing keeps it right. */
  Clock,
  Epoll,
  Splice,
  /** Of a pipe that is to have 1 MiB. */
  PipeBytes,
  DualStack,
  ReusePort,
  Memfd,
  OpenAt2,
  ReadNoWait,
  KernelTls,
  Mptcp,
  Transparent,
  Device,
}

/** TIME_ERROR of adjtimex(2). */
export const CLOCK_ASTRAY = 5;

/** Flags of `listen`. */
export const LISTEN_REUSEPORT = 1;
/** Only binds, and closes again; not for unix paths, which binding makes. */
export const LISTEN_DRY = 2;

/** Flags of `udp_listen`: further sockets may share its port; only binds, and closes again; it is a further one. */
export const UDP_SHARE = 1;
export const UDP_DRY = 2;
export const UDP_JOIN = 4;

/** Bits of `inherited`: it takes datagrams; others may share its port; it is of IPv6 alone. */
export const INHERITED_DATAGRAMS = 1;
export const INHERITED_SHARED = 2;
export const INHERITED_V6ONLY = 4;

/** What `listener_queue` tells. */
export const QUEUE_WAITING = 0;
export const QUEUE_MOST = 1;

/** Where the record of a datagram (see ffi/udp.c) has what, in int32. */
export const enum DatagramAt {
  Bytes,
  /** Of each datagram but the last, where the record stands for several; 0: it is one. */
  Segment,
  /** 1: it was cut, and is to be dropped. */
  Cut,
  /** The same place, once a record was sent: how many of those that it stood for were not. */
  Unsent = Cut,
  /** Where in its buffer it begins, in bytes: behind what a proxy put before it. */
  Skip,
  Client = 4,
  /** Our address that the client asked. */
  Own = 10,
}

/** What an event is about, when it is not a slot (a slot is > 0). */
export const enum EventKind {
  Woken = 0,
  Newcomer = -1,
  Listener = -2,
  Datagrams = -3,
}
