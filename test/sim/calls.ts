// The fake calls: the table of src/sys/symbols.ts, each answered as its contract in ffi/ says. Same seed,
// same answers. The bytes are honest, the timing is hostile. What sits on no socket stays the library's.
import {
  ADDRESS_BYTES,
  ARENA_BYTES,
  ARENA_CLOCK,
  DATAGRAM_BYTES,
  DATAGRAM_INTS,
  DATAGRAMS_PER_CALL,
  EVENT_INTS,
  HANDSHAKES_PER_TURN,
  LISTENERS_MAX,
  PEER_BYTES,
} from "../../src/base/limits.ts";
import { BugError, TableError } from "../../src/base/assert.ts";
import {
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAGAIN,
  EBUG,
  EBUSY,
  ECONNABORTED,
  EEXIST,
  EHOSTDOWN,
  EINPROGRESS,
  EINVAL,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOTCONN,
  EOPNOTSUPP,
  EPROTO,
  errnoName,
} from "../../src/sys/errno.ts";
import {
  ABI,
  DATAGRAM_SYMBOLS,
  HANDOVER_SYMBOLS,
  INHERITED_SYMBOLS,
  type Kernel,
  LIBRARY_SYMBOLS,
  LOG_SYMBOLS,
  type Provider,
  QUEUE_MOST,
  QUEUE_WAITING,
  SERVICE_SYMBOLS,
  SOCKET_STORE_SYMBOLS,
  type SymbolName,
  TLS_STORE_SYMBOLS,
  TlsFact,
} from "../../src/sys/symbols.ts";
import { BrokenContract, type FakeKernel, ROOMS_MAX, type Row } from "./kernel.ts";
import { Pipe } from "./pipe.ts";
import { Session, type SessionWorld } from "./session.ts";

/** Wall clock when the simulated machine was started. */
const EPOCH_MS = 1_750_000_000_000;

const PATTERNS_MAX = 4096;
const EVENTS_MAX = 512;
const ERRNOS_MAX = 256;
/** The most calls between two staged bugs. */
const BUGS_APART = 400;
/** How long a call that lied about being unready takes until epoll tells the truth. */
const LATE_EDGE_MS = 20;
const PRIVILEGED_PORTS = 1024;
/** What every client asks for. */
const NAME_ASKED = new TextEncoder().encode("a.example");

/** Which errors the calls have returned, and how often, over all runs. */
export class Tally {
  readonly #counts = new Map<string, Uint32Array>();

  /** The counts of one symbol, by errno. */
  of(symbol: string): Uint32Array {
    let counts = this.#counts.get(symbol);
    if (counts === undefined) this.#counts.set(symbol, counts = new Uint32Array(ERRNOS_MAX));
    return counts;
  }

  /** "symbol ERRNO" -> how often. */
  get named(): Map<string, number> {
    const named = new Map<string, number>();
    for (const [symbol, counts] of this.#counts) {
      counts.forEach((count, errno) => count > 0 && named.set(`${symbol} ${errnoName(errno)}`, count));
    }
    return named;
  }
}

/** What was thrown on purpose: told apart from what Sluice threw. */
export const injected = new WeakSet<Error>();

type Call = (a: number, b: number, c: number, d: number) => number;

/** Allowed behind a close in one turn: the sweep is the last thing that a turn does. */
const IN_SWEEP: ReadonlySet<string> = new Set(["close", "pipe_close", "poll", "leave"]);
/** Calls that move nothing on. */
const IDLE: ReadonlySet<string> = new Set([
  "poll",
  "watch",
  "wake",
  "held",
  "can_splice",
  "truncated",
  "tls_fault",
  "tls_named",
  "tls_fact",
  "tls_covers",
  "introducer",
]);
/** Between a record and its account nothing can throw. */
const IN_RECORD: ReadonlySet<string> = new Set(["client", "refuse", "tls_fact", "introducer"]);
/** Where a broken promise about one connection is staged. */
const OF_ONE: ReadonlySet<string> = new Set([
  "recv",
  "send",
  "splice_in",
  "splice_out",
  "shutdown",
  "outcome",
]);

export function fakeProvider(kernel: FakeKernel, library: Provider, tally: Tally): Provider {
  const arena = library.arena(1, ARENA_BYTES);
  const calls = makeCalls(kernel, new Uint8Array(arena));
  const kept: ReadonlySet<string> = new Set(LIBRARY_SYMBOLS);
  const guarded = Object.fromEntries(
    Object.entries(calls).map((
      [name, call],
    ) => [name, guard(kernel, name as SymbolName, call as Call, tally)]),
  );
  for (const name of kept) guarded[name] = library.kernel[name as keyof Kernel] as Call;
  const foreign = [
    ...LOG_SYMBOLS,
    ...TLS_STORE_SYMBOLS,
    ...DATAGRAM_SYMBOLS,
    ...SOCKET_STORE_SYMBOLS,
    ...INHERITED_SYMBOLS,
    ...HANDOVER_SYMBOLS,
    ...SERVICE_SYMBOLS,
  ];
  for (const name of foreign) {
    guarded[name] = () => {
      throw new BrokenContract(`${name}: no reactor calls it`);
    };
  }
  return { kernel: guarded as unknown as Kernel, arena: () => arena };
}

/** A call takes time, may be the thread's last one, and is noted with its result. */
function guard(kernel: FakeKernel, name: SymbolName, call: Call, tally: Tally): Call {
  const { weather, clock, random } = kernel;
  const errnos = tally.of(name), length = call.length;
  const isIdle = IDLE.has(name), isOfOne = OF_ONE.has(name), mayEnd = IN_SWEEP.has(name);
  const mayDie = !IN_RECORD.has(name);
  return (a, b, c, d) => {
    if (kernel.me > 0) {
      if (weather.deathAfter > 0 && mayDie && --weather.deathAfter === 0) {
        throw stage(new TableError(`staged in ${name}`));
      }
      if (weather.bugAfter > 0 && isOfOne && --weather.bugAfter === 0) {
        weather.bugAfter = random.between(1, BUGS_APART);
        kernel.bugs++;
        throw stage(new BugError(`staged in ${name}`));
      }
      if (weather.callMs > 0 && name !== "poll") {
        clock.advance(clock.nowMs + (random.below(1000) * weather.callMs) / 1000);
      }
    }
    try {
      kernel.check(!kernel.sweeping || mayEnd, "a socket was closed before the end of the turn");
      kernel.check(
        kernel.held === 0 || ["caller", "charge", "charged", "hand", "refuse"].includes(name),
        "an accepted connection was left lying",
      );
      const result = call(a, b, c, d);
      kernel.note(name, length, a, b, c, d, result);
      if (result < 0) errnos[-result]++;
      else if (!isIdle) kernel.work++;
      return result;
    } catch (error) {
      if (error instanceof BrokenContract) {
        error.message = `${name}(${[a, b, c, d].slice(0, length).join(", ")}): ${error.message}`;
      }
      throw error;
    }
  };
}

function stage(error: Error): Error {
  injected.add(error);
  return error;
}

type Fake = Omit<
  Kernel,
  (
    | typeof LIBRARY_SYMBOLS
    | typeof LOG_SYMBOLS
    | typeof TLS_STORE_SYMBOLS
    | typeof DATAGRAM_SYMBOLS
    | typeof SOCKET_STORE_SYMBOLS
    | typeof HANDOVER_SYMBOLS
    | typeof INHERITED_SYMBOLS
    | typeof SERVICE_SYMBOLS
  )[number]
>;

function makeCalls(kernel: FakeKernel, arena: Uint8Array): Fake {
  const { random, weather, clock } = kernel;
  const ints = new Int32Array(arena.buffer), doubles = new Float64Array(arena.buffer);

  const checkArena = (off: number, bytes: number) =>
    kernel.check(bytes >= 0 && off >= 0 && off + bytes <= arena.length, "out of the arena");
  const tellTime = () => {
    doubles[ARENA_CLOCK] = clock.nowMs;
    doubles[ARENA_CLOCK + 1] = EPOCH_MS + clock.nowMs;
  };
  const address = (off: number) => {
    checkArena(off, ADDRESS_BYTES);
    return arena.slice(off, off + ADDRESS_BYTES);
  };
  /** The kernel says no although it could say yes: an edge follows. */
  const isSpurious = (row: Row) => {
    if (!random.oneIn(weather.spurious)) return false;
    clock.in((random.below(1000) * LATE_EDGE_MS) / 1000, () => kernel.edge(row));
    return true;
  };
  /** Writes what it is given to the arena, one after the other. */
  const writer = (off: number) => (view: Uint8Array) => {
    arena.set(view, off);
    off += view.length;
  };
  /** The row of a slot whose socket is about to be read or written. */
  const touched = (slot: number, writing: boolean): Row => {
    const row = kernel.slot(slot);
    row.socket.onTouch(writing);
    return row;
  };
  const sessionOf = ({ socket, slot }: Row): Session => {
    kernel.check(socket.session !== undefined, `slot ${slot} has no session`);
    return socket.session;
  };
  /** Begins a session. */
  const seal = (slot: number, profile: number, client: boolean): number => {
    const row = kernel.slot(slot), { socket } = row;
    kernel.check(profile > 0, "no such profile");
    kernel.check(socket.session === undefined, `slot ${slot} has a session already`);
    if (random.oneIn(weather.scarce)) return -ENOMEM;
    const world: SessionWorld = {
      check: (condition, promise) => kernel.check(condition, promise),
      later: (ms, then) => clock.in(ms, then),
      edge: () => kernel.edge(row),
      isSpurious: () => isSpurious(row),
    };
    socket.session = new Session(socket, random, world, socket.fate, client);
    return 0;
  };
  const shortened = (bytes: number) => random.oneIn(weather.short) ? random.size(bytes) : bytes;

  const reap = (index: number) => {
    const room = kernel.room(index);
    kernel.check(kernel.me !== index, "its thread is not gone");
    let clients = 0;
    for (const row of room.slots) {
      if (row === undefined) continue;
      if (row.listener >= 0) clients++;
      kernel.closeRow(row, true);
    }
    room.slots.length = 0;
    for (const pipe of room.pipes) pipe?.fds.forEach((fd) => kernel.giveFd(fd));
    room.pipes.length = 0;
    room.gens.clear(); // the replacement's tables begin anew
    room.stale.length = 0;
    room.watched.clear();
    for (const row of kernel.fds) {
      if (row === undefined || typeof row === "string" || row.room !== index) continue;
      if (row.registered) kernel.edge(row);
      else kernel.closeRow(row, true);
    }
    room.entered = false;
    return clients;
  };

  return {
    abi: () => ABI,
    record_bytes: (which) =>
      [
        ...[ADDRESS_BYTES, PEER_BYTES, EVENT_INTS, ROOMS_MAX, LISTENERS_MAX, PATTERNS_MAX, EBUG],
        ...[DATAGRAMS_PER_CALL, DATAGRAM_INTS, DATAGRAM_BYTES],
      ][which] ?? -EINVAL,
    setup: () => weather.fds,

    room_open(index, slots, pipes, bytes) {
      kernel.check(index >= 0 && index < ROOMS_MAX && slots > 0 && pipes > 0 && bytes > 0, "bad sizes");
      if (kernel.rooms[index] !== undefined) return -EEXIST;
      kernel.rooms[index] = {
        slotCount: slots,
        pipeCount: pipes,
        slots: [],
        pipes: [],
        watched: new Set(),
        stale: [],
        gens: new Map(),
        fds: [kernel.takeFd("epoll"), kernel.takeFd("eventfd")],
        ready: [],
        woken: false,
        entered: false,
      };
      return 0;
    },
    room_close(index) {
      const room = kernel.room(index);
      kernel.check(!room.entered, "its thread has not left");
      reap(index);
      kernel.turnAway(index);
      for (const fd of room.fds) kernel.giveFd(fd);
      kernel.rooms[index] = undefined;
      return 0;
    },
    enter(index) {
      kernel.check(kernel.me === -1, "the thread is in a room already");
      const room = kernel.room(index);
      if (room.entered) return -EBUSY;
      room.entered = true;
      kernel.me = index;
      tellTime();
      return 0;
    },
    leave() {
      kernel.mine.entered = false;
      kernel.me = -1;
      kernel.sweeping = false;
      return 0;
    },
    reap,
    wake(index) {
      kernel.room(index).woken = true;
      return 0;
    },
    peer_of(index, slot, off) {
      const room = kernel.room(index);
      kernel.check(slot > 0 && slot < room.slotCount, `slot ${slot} is out of range`);
      checkArena(off, PEER_BYTES);
      const row = room.slots[slot];
      if (row === undefined) return -ENOENT;
      arena.set(row.peer, off);
      return 0;
    },
    held(index, which) {
      const room = kernel.room(index);
      kernel.check(which >= 0 && which <= 3, "there are four kinds");
      if (which === 0) return room.slots.filter((row) => row !== undefined).length;
      if (which === 1) return room.pipes.filter((pipe) => pipe !== undefined).length;
      const newcomers = kernel.fds.filter((row): row is Row =>
        typeof row === "object" && row.room === index && row.slot === 0
      );
      return which === 2 ? newcomers.length : newcomers.find(({ registered }) => !registered)?.source ?? 0;
    },
    hear(slot, on) {
      const row = kernel.slot(slot);
      row.muted = on === 0;
      kernel.edge(row);
      return 0;
    },
    poll(off, max, timeoutMs) {
      kernel.check(max > 0 && max <= EVENTS_MAX && off % 4 === 0, "bad events");
      kernel.check(timeoutMs >= 0, "would sleep for ever");
      checkArena(off, max * EVENT_INTS * 4);
      const room = kernel.mine;
      kernel.sweeping = false;
      kernel.handshakeSteps = 0;
      kernel.world.betweenTurns();
      const sleepMs = random.oneIn(weather.signal) ? random.below(timeoutMs + 1) : timeoutMs;
      if (sleepMs > 0 && !kernel.isReady(room)) {
        clock.advance(clock.nowMs + sleepMs, () => kernel.isReady(room));
      }
      tellTime();
      const events = kernel.takeEvents(room, max);
      events.forEach((event, index) => ints.set(event, off / 4 + index * EVENT_INTS));
      for (const [what, who, bits] of events) kernel.note("event", 3, what, who, bits, 0, 0);
      return events.length;
    },

    listen(index, addressOff, _flags, backlog) {
      kernel.check(index >= 0 && index < LISTENERS_MAX && backlog > 0, "bad listening socket");
      kernel.check(kernel.listeners[index] === undefined, `listening socket ${index} is open already`);
      const record = address(addressOff);
      const port = (record[2] << 8) | record[3];
      kernel.check([1, 4, 6].includes(record[0]), "no family");
      if (record[0] !== 1 && port < PRIVILEGED_PORTS) return -EACCES;
      if (record[0] === 4 && record[4] !== 127) return -EADDRNOTAVAIL;
      if (
        kernel.listeners.some((other) => other !== undefined && Buffer.compare(other.address, record) === 0)
      ) {
        return -EADDRINUSE;
      }
      const fd = kernel.takeFd("listener");
      if (fd < 0) return -EMFILE;
      kernel.listeners[index] = { fd, address: record, backlog, queue: [], stopped: false };
      return 0;
    },
    listener_address(index, off) {
      checkArena(off, ADDRESS_BYTES);
      arena.set(kernel.listener(index).address, off);
      return 0;
    },
    listener_queue(index, which) {
      kernel.check(which === QUEUE_WAITING || which === QUEUE_MOST, "no such fact of a queue");
      const { address, backlog, queue } = kernel.listener(index);
      if (address[0] === 1) return -EOPNOTSUPP;
      return which === QUEUE_WAITING ? queue.length : backlog;
    },
    listener_stop(index) {
      kernel.listener(index).stopped = true;
      return 0;
    },
    listener_close(index) {
      const listener = kernel.listener(index);
      for (const room of kernel.rooms) kernel.check(!room?.watched.has(index), "a reactor still watches it");
      for (const { socket } of listener.queue) socket.close(true);
      kernel.giveFd(listener.fd);
      kernel.listeners[index] = undefined;
      return 0;
    },
    watch(index, on) {
      kernel.listener(index);
      if (on) kernel.mine.watched.add(index);
      else kernel.mine.watched.delete(index);
      return 0;
    },
    accept(index) {
      const { queue } = kernel.listener(index);
      kernel.check(kernel.me > 0, "not a reactor");
      if (queue.length === 0 || random.oneIn(weather.spurious)) return -EAGAIN;
      if (random.oneIn(weather.scarce)) return -random.pick([ENFILE, ENOBUFS, ENOMEM]);
      const { socket, peer } = queue[0];
      if (socket.broken && random.oneIn(2)) {
        queue.shift();
        socket.close(true);
        return -random.pick([ECONNABORTED, ECONNABORTED, EPROTO, EHOSTDOWN]);
      }
      const row = kernel.takeRow(socket, peer, index);
      if (row === undefined) return -EMFILE;
      queue.shift();
      kernel.accepted++;
      return kernel.held = row.fd;
    },
    caller(token, off) {
      checkArena(off, PEER_BYTES);
      arena.set(kernel.token(token).peer, off);
      return 0;
    },
    charge(token, source) {
      const row = kernel.token(token);
      kernel.check(!row.registered, `token ${token} was handed on already`);
      row.source = source;
      return 0;
    },
    charged: (token) => kernel.token(token).source,
    hand(token, room) {
      const row = kernel.token(token);
      kernel.check(room > 0, "room 0 is no reactor");
      kernel.room(room);
      kernel.check(!row.registered, `token ${token} was handed on already`);
      if (random.oneIn(weather.scarce)) return -random.pick([ENOMEM, ENOSPC]);
      kernel.held = 0;
      kernel.register(row, room);
      return 0;
    },
    newcomer: (token) => kernel.token(token).listener,
    adopt(token, slot, gen) {
      const row = kernel.token(token);
      kernel.check(row.registered && row.room === kernel.me, `token ${token} was not handed to this room`);
      kernel.freeSlot(slot, gen).slots[slot] = row;
      row.slot = slot;
      row.gen = gen;
      kernel.world.adopted(row.socket, slot);
      return 0;
    },
    refuse(token, reset) {
      const row = kernel.token(token);
      kernel.held = 0;
      kernel.closeRow(row, reset === 1);
      return 0;
    },

    connect(slot, gen, addressOff, how) {
      kernel.check(how === 0, "no settings were made");
      const room = kernel.freeSlot(slot, gen), record = address(addressOff);
      kernel.check([1, 4, 6].includes(record[0]), "no family");
      if (kernel.fdCount >= weather.fds) return -EMFILE;
      const socket = kernel.world.connect(record, slot);
      if (typeof socket === "number") return -socket;
      const row = kernel.takeRow(socket, record.subarray(0, PEER_BYTES), -1)!;
      row.slot = slot;
      row.gen = gen;
      room.slots[slot] = row;
      kernel.register(row, kernel.me);
      return socket.connecting ? -EINPROGRESS : 0;
    },
    outcome: (slot) => kernel.slot(slot).socket.takeError(),
    recv(slot, off, bytes) {
      const row = touched(slot, false), { socket, peeked } = row;
      checkArena(off, bytes);
      kernel.check(bytes > 0, "reads nothing");
      row.peeked = 0;
      if (socket.session !== undefined) return socket.session.recv(bytes, writer(off));
      if (peeked === 0 && socket.rx.length > 0 && isSpurious(row)) return -EAGAIN;
      const isCut = peeked === 0 && socket.pieces && socket.rx.length > 0;
      return socket.recv(isCut ? shortened(Math.min(bytes, socket.rx.length)) : bytes, writer(off));
    },
    peek(slot, off, bytes) {
      const row = touched(slot, false), { socket } = row;
      checkArena(off, bytes);
      kernel.check(bytes > 0, "reads nothing");
      if (socket.session !== undefined) return socket.session.peek(bytes, writer(off));
      if (socket.rx.length > 0 && isSpurious(row)) return -EAGAIN;
      const shown = socket.peek(bytes, writer(off));
      row.peeked = Math.max(0, shown);
      return shown;
    },
    skip(slot, off, bytes) {
      const row = touched(slot, false), { socket } = row;
      checkArena(off, bytes);
      if (socket.session !== undefined) return socket.session.recv(bytes, writer(off));
      kernel.check(bytes > 0 && bytes <= row.peeked, "skips what was not peeked at");
      const skipped = socket.recv(bytes, writer(off));
      row.peeked -= Math.max(0, skipped);
      return skipped;
    },
    send(slot, off, bytes, _more) {
      const row = touched(slot, true);
      checkArena(off, bytes);
      kernel.check(bytes > 0, "sends nothing");
      kernel.check(!row.shut, "sends behind its own end of stream");
      if (row.socket.session !== undefined) {
        const taken = row.socket.session.send(arena.slice(off, off + bytes));
        if (taken > 0) row.socket.tookMs = clock.nowMs;
        return taken;
      }
      const room = row.socket.room();
      if (room < 0) return room;
      if (row.socket.tx.length === 0 && room >= bytes) { // nothing is in the way
        row.socket.send(arena.slice(off, off + bytes), false);
        row.socket.tookMs = clock.nowMs;
        return bytes;
      }
      if (isSpurious(row)) return -EAGAIN;
      const taken = shortened(Math.min(room, bytes));
      row.socket.send(arena.slice(off, off + taken), taken < bytes);
      row.socket.tookMs = clock.nowMs;
      return taken;
    },
    shutdown(slot) {
      const row = touched(slot, true);
      kernel.check(!row.shut, "has sent its end of stream already");
      const told = row.socket.session?.shutdown() ?? 0;
      if (told < 0) return told;
      row.shut = true;
      kernel.world.shut(row.socket);
      return row.socket.shutdown();
    },
    close(slot, reset) {
      const row = kernel.slot(slot), room = kernel.mine;
      if (reset === 0 && !row.shut) row.socket.session?.close();
      kernel.sweeping = true;
      room.slots[slot] = undefined;
      kernel.remember(room, slot, row.gen);
      kernel.closeRow(row, reset === 1);
      return 0;
    },
    option(slot, option, _value) {
      kernel.slot(slot);
      kernel.check(option >= 0 && option <= 8, "no such option");
      return 0;
    },
    client(slot, off) {
      checkArena(off, PEER_BYTES);
      arena.set(kernel.slot(slot).peer, off);
      return 0;
    },
    introduce(slot, off, bytes) {
      const row = kernel.slot(slot);
      checkArena(off, bytes);
      kernel.check(
        bytes >= PEER_BYTES && row.listener >= 0,
        `slot ${slot} is no client with an introduction`,
      );
      if (random.oneIn(weather.scarce)) return -ENOMEM;
      row.introduction = arena.slice(off, off + bytes);
      row.introducer = row.peer;
      row.peer = row.introduction.slice(0, PEER_BYTES);
      return 0;
    },
    introduction(slot, off, bytes) {
      const { introduction } = kernel.slot(slot);
      checkArena(off, bytes);
      if (introduction === undefined) return 0;
      arena.set(introduction.subarray(0, bytes), off);
      return introduction.length;
    },
    introducer(slot, off) {
      const { introducer } = kernel.slot(slot);
      checkArena(off, PEER_BYTES);
      if (introducer === undefined) return 0;
      arena.set(introducer, off);
      return 1;
    },
    sockname(slot, off) {
      kernel.slot(slot);
      checkArena(off, ADDRESS_BYTES);
      arena.fill(0, off, off + ADDRESS_BYTES);
      return 0;
    },
    peername(slot, off) {
      const { socket, peer } = kernel.slot(slot);
      checkArena(off, ADDRESS_BYTES);
      if (socket.connecting || socket.broken) return -ENOTCONN;
      arena.fill(0, off, off + ADDRESS_BYTES);
      arena.set(peer, off);
      return 0;
    },

    pipe_open(pipe, bytes) {
      const room = kernel.mine;
      kernel.check(pipe > 0 && pipe < room.pipeCount, `pipe ${pipe} is out of range`);
      kernel.check(room.pipes[pipe] === undefined && bytes > 0, `pipe ${pipe} is open already`);
      if (kernel.fdCount + 2 > weather.fds) return -EMFILE;
      const trouble = random.oneIn(weather.pipeTrouble);
      if (trouble && random.oneIn(2)) return -ENFILE;
      const capacity = trouble ? random.pick([4096, 8192, 65536]) : bytes;
      room.pipes[pipe] = new Pipe(capacity, [kernel.takeFd("pipe"), kernel.takeFd("pipe")]);
      return capacity;
    },
    pipe_close(pipe) {
      for (const fd of kernel.pipe(pipe).fds) kernel.giveFd(fd);
      kernel.mine.pipes[pipe] = undefined;
      return 0;
    },
    pipe_write(pipe, off, bytes) {
      const { bytes: inside, room } = kernel.pipe(pipe);
      checkArena(off, bytes);
      kernel.check(bytes > 0, "writes nothing");
      const trouble = random.oneIn(weather.pipeTrouble);
      if (room === 0 || (trouble && random.oneIn(2))) return -EAGAIN;
      const taken = trouble ? random.size(Math.min(room, bytes)) : Math.min(room, bytes);
      inside.push(arena.slice(off, off + taken));
      return taken;
    },
    can_splice: (slot) => kernel.slot(slot).socket.session === undefined ? 1 : 0,
    truncated: (slot) => kernel.slot(slot).socket.session?.truncated === true ? 1 : 0,
    tls_accept: (slot, profile) => seal(slot, profile, false),
    tls_connect(slot, profile, off, bytes) {
      checkArena(off, bytes);
      return seal(slot, profile, true);
    },
    handshake(slot) {
      kernel.check(++kernel.handshakeSteps <= HANDSHAKES_PER_TURN, "too many handshakes in one turn");
      const row = touched(slot, random.oneIn(2));
      return sessionOf(row).handshake();
    },
    tls_fault: (slot) => sessionOf(kernel.slot(slot)).fault,
    tls_refuse(slot) {
      return sessionOf(kernel.slot(slot)).refuse();
    },
    tls_drop(slot) {
      const row = kernel.slot(slot);
      kernel.check(!sessionOf(row).open, "drops a session that is open");
      row.socket.session = undefined;
      return 0;
    },
    tls_named(slot, off, bytes) {
      const { socket } = kernel.slot(slot);
      checkArena(off, bytes);
      kernel.check(bytes > 0 && socket.session === undefined, `slot ${slot} cannot have a name`);
      return 0;
    },
    tls_fact(slot, which, off, bytes) {
      checkArena(off, bytes);
      const { session } = kernel.slot(slot).socket;
      if (session === undefined || which !== TlsFact.Name) return 0;
      arena.set(NAME_ASKED.subarray(0, bytes), off);
      return Math.min(bytes, NAME_ASKED.length);
    },
    tls_covers(slot, off, bytes) {
      checkArena(off, bytes);
      kernel.check(sessionOf(kernel.slot(slot)).open, "asks before the handshake is done");
      return 1;
    },
    splice_in(slot, number, bytes) {
      const row = touched(slot, false), pipe = kernel.pipe(number);
      kernel.check(bytes > 0, "moves nothing");
      kernel.check(row.socket.session === undefined, "takes sealed bytes past the session");
      if (pipe.room === 0) return -EAGAIN;
      if (row.socket.rx.length > 0 && isSpurious(row)) return -EAGAIN;
      const most = shortened(Math.min(bytes, pipe.room));
      return row.socket.recv(most, (view) => pipe.bytes.push(view), pipe.buffersLeft);
    },
    splice_out(number, slot, bytes, _more) {
      const row = touched(slot, true), { bytes: inside } = kernel.pipe(number);
      kernel.check(bytes > 0, "moves nothing");
      kernel.check(row.socket.session === undefined, "sends bytes past the session");
      kernel.check(!row.shut, "sends behind its own end of stream");
      if (inside.length === 0) return -EAGAIN;
      const room = row.socket.room();
      if (room < 0) return room;
      if (isSpurious(row)) return -EAGAIN;
      const most = Math.min(bytes, inside.length), taken = shortened(Math.min(room, most));
      row.socket.tookMs = clock.nowMs;
      return inside.take(taken, (view) => row.socket.send(view, taken < most));
    },
  };
}
