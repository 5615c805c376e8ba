// The machine below the fake calls: rooms, the process's fds, listening sockets, epoll. It knows every
// promise that ffi/ asks of its callers, and a broken one is an error with the caller's name on it.
import type { Random } from "./random.ts";
import type { Session } from "./session.ts";
import type { Clock } from "./clock.ts";
import type { Pipe } from "./pipe.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, type Socket } from "./socket.ts";
import { errnoName } from "../../src/sys/errno.ts";
import { EventKind } from "../../src/sys/symbols.ts";
import { LISTENERS_MAX } from "../../src/base/limits.ts";

export const ROOMS_MAX = 80;
/** Standard input, output and error. */
const FDS_BEFORE = 3;
const STALE_KEPT = 8;
const CALLS_KEPT = 60;

/** Sluice broke a promise of ffi/: where C says -EBUG, and where C could not know. */
export class BrokenContract extends Error {
  override name = "BrokenContract";
}

/** How hostile the timing is: each number is "once in so many", 0 never. */
export interface Weather {
  /** Fds of the process. */
  fds: number;
  /** EAGAIN although it could, with an edge behind it. */
  spurious: number;
  /** Takes fewer bytes than it could. */
  short: number;
  /** An event of a slot's earlier life. */
  stale: number;
  /** Events of a batch out of order, or held back until the next. */
  disorder: number;
  /** A signal ends the wait. */
  signal: number;
  /** Accept and hand fail for want of memory and the like. */
  scarce: number;
  /** Pipes fail, or are small. */
  pipeTrouble: number;
  /** The most time that a call takes: the world goes on meanwhile. */
  callMs: number;
  /** Calls from now until the reactor's thread dies in one, or 0. */
  deathAfter: number;
  /** Calls from now until one breaks a promise about its connection, or 0. */
  bugAfter: number;
}

/** An fd of a connection: what C keeps in fds[]. */
export interface Row {
  readonly fd: number;
  readonly socket: Socket;
  peer: Uint8Array;
  /** What a proxy told of its client. */
  introduction: Uint8Array | undefined;
  /** Who did. */
  introducer: Uint8Array | undefined;
  room: number;
  /** 0: nobody has a slot for it yet. */
  slot: number;
  gen: number;
  /** Which accepted it; -1: a connection of ours. */
  readonly listener: number;
  /** Who a newcomer is counted for. */
  source: number;
  /** With the epoll set of its room. */
  registered: boolean;
  /** On that set's ready list. */
  ready: boolean;
  shut: boolean;
  /** Arriving bytes make no event. */
  muted: boolean;
  /** Bytes that a peek has shown: the next read finds them. */
  peeked: number;
}

export interface Room {
  readonly slotCount: number;
  readonly pipeCount: number;
  readonly slots: (Row | undefined)[];
  readonly pipes: (Pipe | undefined)[];
  readonly watched: Set<number>;
  readonly stale: [slot: number, gen: number][];
  /** The last generation each slot had: it must not come twice. */
  readonly gens: Map<number, number>;
  readonly fds: readonly number[];
  ready: Row[];
  woken: boolean;
  entered: boolean;
}

/** A client that the kernel has connected and nobody accepted. */
export interface Waiting {
  readonly socket: Socket;
  readonly peer: Uint8Array;
}

export interface Listener {
  readonly fd: number;
  readonly address: Uint8Array;
  readonly backlog: number;
  readonly queue: Waiting[];
  stopped: boolean;
}

/** What a connect to an address record comes to: an errno (no socket), or a socket. */
export interface World {
  connect(address: Uint8Array, slot: number): Socket | number;
  /** A client's connection became a slot. */
  adopted(socket: Socket, slot: number): void;
  /** The end of a stream is about to be sent. */
  shut(socket: Socket): void;
  /** Between two turns of the reactor. */
  betweenTurns(): void;
}

export class FakeKernel {
  readonly random: Random;
  readonly clock: Clock;
  readonly weather: Weather;
  readonly rooms: (Room | undefined)[] = new Array(ROOMS_MAX);
  readonly listeners: (Listener | undefined)[] = new Array(LISTENERS_MAX);
  readonly fds: (Row | string | undefined)[] = [];
  world!: World;
  /** The room of the thread that calls, or -1. */
  me = -1;
  fdCount = 0;
  /** Connections given out by accept. */
  accepted = 0;
  /** Broken promises that were staged and did not cost the reactor its life. */
  bugs = 0;
  /** A token between accept and hand, or 0. */
  held = 0;
  /** Steps of handshakes in this turn. */
  handshakeSteps = 0;
  /** A socket was closed in this turn: what follows may only close. */
  sweeping = false;
  /** What has happened so far, here and in the world: the watch against busy loops looks at it. */
  work = 0;
  #lowest = FDS_BEFORE;
  readonly #calls = Array.from({ length: CALLS_KEPT }, () => ({ atMs: 0, name: "", args: [0], result: 0 }));
  #noted = 0;

  constructor(random: Random, clock: Clock, weather: Weather) {
    this.random = random;
    this.clock = clock;
    this.weather = weather;
  }

  check(condition: boolean, promise: string): asserts condition {
    if (!condition) throw new BrokenContract(promise);
  }

  // ---- who called what, for the report of a failure ----

  note(name: string, length: number, a: number, b: number, c: number, d: number, result: number): void {
    const call = this.#calls[this.#noted++ % CALLS_KEPT];
    call.atMs = this.clock.nowMs;
    call.name = name;
    call.args.length = length;
    if (length > 0) call.args[0] = a;
    if (length > 1) call.args[1] = b;
    if (length > 2) call.args[2] = c;
    if (length > 3) call.args[3] = d;
    call.result = result;
  }

  /** The last ones, the latest at the end. */
  get lastCalls(): string[] {
    const first = Math.max(0, this.#noted - CALLS_KEPT);
    return Array.from({ length: this.#noted - first }, (_, index) => {
      const { atMs, name, args, result } = this.#calls[(first + index) % CALLS_KEPT];
      return `${atMs.toFixed(3)} ${name}(${args.join(", ")}) = ${result < 0 ? errnoName(-result) : result}`;
    });
  }

  // ---- fds ----

  /** The lowest free number, as Linux gives it; -1 when there is none left. */
  takeFd(what: Row | string): number {
    if (this.fdCount >= this.weather.fds) return -1;
    let fd = this.#lowest;
    while (this.fds[fd] !== undefined) fd++;
    this.fds[fd] = what;
    this.#lowest = fd + 1;
    this.fdCount++;
    return fd;
  }

  takeRow(socket: Socket, peer: Uint8Array, listener: number): Row | undefined {
    const fd = this.takeFd("connection");
    if (fd < 0) return undefined;
    const row: Row = {
      fd,
      socket,
      peer,
      introduction: undefined,
      introducer: undefined,
      listener,
      source: 0,
      room: this.me,
      slot: 0,
      gen: 0,
      registered: false,
      ready: false,
      shut: false,
      muted: false,
      peeked: 0,
    };
    this.fds[fd] = row;
    socket.onEdge = (bytes) => this.edge(row, bytes);
    return row;
  }

  giveFd(fd: number): void {
    this.check(this.fds[fd] !== undefined, `close: fd ${fd} is not open`);
    this.fds[fd] = undefined;
    this.fdCount--;
    this.#lowest = Math.min(this.#lowest, fd);
  }

  closeRow(row: Row, reset: boolean): void {
    this.giveFd(row.fd);
    row.ready = false;
    row.registered = false;
    row.socket.close(reset);
  }

  // ---- rooms and arguments ----

  room(index: number): Room {
    this.check(index >= 0 && index < ROOMS_MAX, `room ${index} is out of range`);
    const room = this.rooms[index];
    this.check(room !== undefined, `room ${index} is not open`);
    return room;
  }

  get mine(): Room {
    this.check(this.me >= 0, "the thread has entered no room");
    return this.rooms[this.me]!;
  }

  /** The row of a slot that has a socket. */
  slot(slot: number): Row {
    const room = this.mine;
    this.check(slot > 0 && slot < room.slotCount, `slot ${slot} is out of range`);
    const row = room.slots[slot];
    this.check(row !== undefined, `slot ${slot} has no socket`);
    return row;
  }

  /** A slot that is to get a socket: free, and of a generation it never had. */
  freeSlot(slot: number, gen: number): Room {
    const room = this.mine;
    this.check(slot > 0 && slot < room.slotCount, `slot ${slot} is out of range`);
    this.check(room.slots[slot] === undefined, `slot ${slot} has a socket already`);
    this.check((room.gens.get(slot) ?? -1) < gen, `slot ${slot} had generation ${gen} before`);
    room.gens.set(slot, gen);
    return room;
  }

  pipe(pipe: number): Pipe {
    const room = this.mine;
    this.check(pipe > 0 && pipe < room.pipeCount, `pipe ${pipe} is out of range`);
    const open = room.pipes[pipe];
    this.check(open !== undefined, `pipe ${pipe} is not open`);
    return open;
  }

  listener(index: number): Listener {
    const listener = this.listeners[index];
    this.check(listener !== undefined, `listening socket ${index} is not open`);
    return listener;
  }

  /** The row of a connection that has no slot. */
  token(token: number): Row {
    const row = this.fds[token];
    this.check(row !== undefined && typeof row !== "string", `token ${token} is no connection`);
    this.check(row.listener >= 0 && row.slot === 0, `token ${token} has a slot already`);
    return row;
  }

  // ---- epoll ----

  /** epoll_ctl with ADD or MOD: looks at once. */
  register(row: Row, room: number): void {
    row.room = room;
    row.registered = true;
    this.edge(row);
  }

  /** Something happened to a socket: it goes on the ready list, once. */
  edge(row: Row, bytes = false): void {
    this.work++;
    if (bytes && row.muted) return;
    if (!row.registered || row.ready) return;
    row.ready = true;
    this.rooms[row.room]!.ready.push(row);
  }

  /** Whether a poll of this room has something to tell. */
  isReady(room: Room): boolean {
    if (room.woken) return true;
    for (const index of room.watched) if (this.listeners[index]!.queue.length > 0) return true;
    return room.ready.some((row) => row.ready && eventsOf(row) !== 0);
  }

  /** Takes at most `most` events off the ready list. */
  takeEvents(room: Room, most: number): [what: number, who: number, bits: number][] {
    const { random, weather } = this;
    const events: [what: number, who: number, bits: number][] = [];
    const late: Row[] = [];
    const disorder = random.oneIn(weather.disorder);
    if (disorder) random.shuffle(room.ready);
    if (room.woken) events.push([EventKind.Woken, 0, 1]);
    room.woken = false;
    for (const index of room.watched) {
      if (this.listeners[index]!.queue.length > 0) events.push([EventKind.Listener, index, 1]);
    }
    for (const row of room.ready) {
      if (!row.ready) continue;
      if (events.length >= most || (disorder && events.length > 0 && random.oneIn(3))) {
        late.push(row);
        continue;
      }
      row.ready = false;
      let bits = bitsOf(eventsOf(row));
      if (bits === 0) continue;
      if (row.socket.session !== undefined) bits = sealed(row.socket.session, bits);
      row.socket.touchedMs = this.clock.nowMs;
      if (row.slot === 0) events.push([EventKind.Newcomer, row.fd, bits]);
      else events.push([row.slot, row.gen, bits]);
    }
    room.ready = late;
    if (room.stale.length > 0 && random.oneIn(weather.stale) && events.length < most) {
      events.push([...random.pick(room.stale), 1 + random.below(31)]);
    }
    if (disorder) random.shuffle(events);
    return events;
  }

  /** Remembers who a slot was, for an event that comes too late. */
  remember(room: Room, slot: number, gen: number): void {
    room.stale.push([slot, gen]);
    if (room.stale.length > STALE_KEPT) room.stale.shift();
  }

  // ---- what only the outside may do ----

  /** The thread that was in a room is gone. */
  threadDied(): void {
    this.me = -1;
    this.held = 0;
    this.sweeping = false;
  }

  /** A client's SYN: its place in the queue of a listening socket, or false. */
  knock(index: number, waiting: Waiting): boolean {
    const listener = this.listeners[index];
    if (listener === undefined || listener.stopped || listener.queue.length >= listener.backlog) return false;
    listener.queue.push(waiting);
    return true;
  }

  /** Newcomers of a room whose thread is not simulated are turned away; returns how many. */
  turnAway(index: number, charged: (source: number) => void = () => {}): number {
    let count = 0;
    for (const row of this.fds) {
      if (row === undefined || typeof row === "string" || row.room !== index || row.slot !== 0) continue;
      charged(row.source);
      this.closeRow(row, true);
      count++;
    }
    return count;
  }
}

/** What epoll tells of a socket: what it is registered for, and what is always told. */
function eventsOf({ socket, muted }: Row): number {
  return muted ? socket.events() & ~(EPOLLIN | EPOLLPRI) : socket.events();
}

/** As sl_tls_event in ffi/tls.c. */
function sealed(session: Session, bits: number): number {
  session.told((bits & (1 | 4 | 8)) !== 0);
  return bits | 16;
}

/** As bits_of in ffi/poll.c. */
function bitsOf(events: number): number {
  let bits = 0;
  if (events & EPOLLIN) bits |= 1;
  if (events & EPOLLOUT) bits |= 2;
  if (events & EPOLLRDHUP) bits |= 1 | 4;
  if (events & EPOLLHUP) bits |= 1 | 2 | 4;
  if (events & EPOLLERR) bits |= 1 | 2 | 8;
  if (events & EPOLLPRI) bits |= 16;
  return bits;
}
