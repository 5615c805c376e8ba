// What TLS makes of a socket of Sluice's (ffi/tls.c), as far as anybody above the FFI can see it: a handshake
// that takes some events; bytes that come in records, which wait inside where no event tells of them; records
// that may not change once they are begun; an end of stream that may come without its close_notify. On the
// wire the bytes are the clear ones: how they are sealed is not what is simulated.
import { EAGAIN, ECONNRESET, EINPROGRESS, ENOTCONN, EPIPE, EPROTO } from "../../src/sys/errno.ts";
import { Fault } from "../../src/proto/tls_fault.ts";
import type { Random } from "./random.ts";
import type { Socket } from "./socket.ts";

const RECORD_BYTES_MAX = 16_384;
const FLIGHTS_MAX = 3;
const FLIGHT_MS = 15;
const TICKET_MS = 400;
/** Once in so many. */
const ASKS = 12;
const TICKETS = 3;
const SMALL_RECORDS = 3;

/** What may go wrong: something that is no TLS, an alert (40: handshake_failure), nothing in common. */
const FAULTS = [Fault.NotTls, Fault.Alert | 40 << 8, Fault.Cipher];

/** What the kernel does for it. */
export interface SessionWorld {
  /** A broken promise is an error. */
  check(condition: boolean, promise: string): void;
  /** Calls back after a while. */
  later(ms: number, then: () => void): void;
  /** epoll is to look at the socket again. */
  edge(): void;
  /** The socket says no for once, though it could say yes: an edge follows. */
  isSpurious(): boolean;
}

/** What becomes of a session. */
export interface Fate {
  /** Its peer says how its stream ends. */
  readonly notifies: boolean;
  /** Its handshake fails, or never comes to an end. */
  readonly handshake: "well" | "fails" | "silent";
}

export class Session {
  /** Its handshake is done. */
  open = false;
  fault = 0;
  /** Something of TLS itself has come, no bytes of anybody's: epoll says that there is something to read. */
  arrived = false;
  /** There was no certificate for the name that was asked for. */
  asked = false;
  /** Bytes inside. */
  length = 0;
  /** We have said how our stream ends. */
  said = false;
  readonly #socket: Socket;
  readonly #random: Random;
  readonly #world: SessionWorld;
  readonly #fate: Fate;
  readonly #smallRecords: boolean;
  #records: Uint8Array[] = [];
  #flightsLeft: number;
  /** The first flight is ours. */
  #isOurs: boolean;
  #asks: boolean;
  /** It goes on when it is called, without an event. */
  #suspended = false;
  /** The socket was empty when it was last read, and no event has come since. */
  #dry = false;
  #ended = false;
  #broken = 0;
  /** A record that was begun and that the socket did not take. */
  #begun: Uint8Array | undefined;

  /** `client`: the session is ours with a server, and begins with our own flight. */
  constructor(socket: Socket, random: Random, world: SessionWorld, fate: Fate, client: boolean) {
    this.#socket = socket;
    this.#random = random;
    this.#world = world;
    this.#fate = fate;
    this.#smallRecords = random.oneIn(SMALL_RECORDS);
    this.#flightsLeft = random.between(1, FLIGHTS_MAX);
    this.#asks = !client && random.oneIn(ASKS);
    this.#isOurs = client;
    if (!client) this.#await();
    else if (random.oneIn(TICKETS)) world.later(random.below(TICKET_MS), () => this.#arrive());
  }

  // ---- the handshake ----

  /** The peer's next flight is on its way. */
  #await(): void {
    if (this.#fate.handshake === "silent" && this.#flightsLeft === 1) return;
    this.#world.later(this.#random.below(FLIGHT_MS), () => this.#arrive());
  }

  #arrive(): void {
    if (this.#socket.broken || this.#socket.closed) return;
    this.arrived = true;
    this.#world.edge();
  }

  handshake(): number {
    const world = this.#world, socket = this.#socket;
    world.check(!this.open && this.#broken === 0, "its handshake is over");
    if (socket.broken) return this.#break(-socket.takeError() || ECONNRESET);
    if (this.#isOurs) {
      this.#isOurs = false;
      this.#await();
    }
    if (!this.arrived && !this.#suspended) return -EAGAIN;
    this.arrived = this.#suspended = false;
    if (this.#asks) {
      this.#asks = false;
      this.asked = this.#suspended = true;
      return -EINPROGRESS;
    }
    if (this.#flightsLeft > 1) {
      this.#flightsLeft--;
      this.#await();
      return -EAGAIN;
    }
    if (this.#fate.handshake === "fails") {
      this.fault = this.#random.pick(FAULTS);
      return this.#break(EPROTO);
    }
    this.open = true;
    return 0;
  }

  /** There will be no certificate. */
  refuse(): number {
    this.#world.check(this.#suspended && this.#broken === 0, "it waits for nothing");
    return this.#break(EPROTO);
  }

  #break(errno: number): number {
    this.#broken = errno;
    return -errno;
  }

  // ---- what is read ----

  /** An event of the socket was told: `something` to read, an end or an error. */
  told(something: boolean): void {
    if (something) this.#dry = false;
  }

  recv(most: number, give: (view: Uint8Array) => void): number {
    const ready = this.#fill();
    if (ready <= 0) return ready;
    const record = this.#records[0], taken = Math.min(most, record.length);
    give(record.subarray(0, taken));
    if (taken === record.length) this.#records.shift();
    else this.#records[0] = record.subarray(taken);
    this.length -= taken;
    return taken;
  }

  /** Like recv, and nothing is taken. */
  peek(most: number, give: (view: Uint8Array) => void): number {
    const ready = this.#fill();
    if (ready <= 0) return ready;
    const view = this.#records[0].subarray(0, most);
    give(view);
    return view.length;
  }

  /** Positive: there is a record. All that has arrived is taken from the socket with the first of it. */
  #fill(): number {
    const socket = this.#socket;
    this.#world.check(this.open, "reads before its handshake is done");
    if (this.#records.length > 0) return 1;
    if (this.#ended) return 0;
    if (this.#broken !== 0) return -this.#broken;
    if (this.#dry) return -EAGAIN;
    this.arrived = false;
    if (socket.rx.length > 0 && this.#world.isSpurious()) { // half a record
      this.#dry = true;
      return -EAGAIN;
    }
    const read = socket.recv(Infinity, (view) => this.#unseal(view));
    if (read > 0) return read;
    if (read === -EAGAIN) this.#dry = true;
    else if (read === 0) this.#ended = true;
    else this.#broken = -read;
    return read;
  }

  #unseal(view: Uint8Array): void {
    for (let at = 0; at < view.length;) {
      const record = view.subarray(at, at + this.#recordBytes());
      this.#records.push(record);
      at += record.length;
      this.length += record.length;
    }
  }

  #recordBytes(): number {
    return this.#random.size(this.#smallRecords ? 200 : RECORD_BYTES_MAX);
  }

  /** The end that was read came without its close_notify. */
  get truncated(): boolean {
    return this.#ended && !this.#fate.notifies;
  }

  // ---- what is sent ----

  /** Records go whole or not at all; one that was begun is the first of the next call. */
  send(bytes: Uint8Array): number {
    const socket = this.#socket, world = this.#world;
    world.check(this.open, "sends before its handshake is done");
    if (this.#broken !== 0) return -EPIPE;
    for (let sent = 0; sent < bytes.length;) {
      const begun = this.#begun;
      if (begun !== undefined) {
        const again = bytes.subarray(sent, sent + begun.length);
        world.check(
          Buffer.compare(again, begun) === 0,
          "records may not change: other bytes than were begun",
        );
      }
      const record = begun ?? bytes.slice(sent, sent + this.#recordBytes());
      const room = socket.tx.length > 0 && world.isSpurious() ? -EAGAIN : socket.room();
      if (room < 0) {
        if (room === -EAGAIN) this.#begun = record;
        else this.#broken = -room;
        return sent > 0 ? sent : room;
      }
      this.#begun = undefined;
      socket.send(record, record.length > room);
      sent += record.length;
    }
    return bytes.length;
  }

  /** Says close_notify; 0, or why the socket is not to be shut. */
  shutdown(): number {
    if (!this.open || this.#broken !== 0) return -ENOTCONN;
    this.#world.check(this.#begun === undefined, "ends its stream within a record");
    const room = this.#socket.tx.length > 0 && this.#world.isSpurious() ? -EAGAIN : this.#socket.room();
    if (room === -EAGAIN) return room;
    if (room < 0) this.#broken = -room;
    else this.said = true;
    return 0;
  }

  /** Its socket is about to be closed, not reset: the peer is told if there is room for it. */
  close(): void {
    if (this.open && this.#broken === 0 && this.#begun === undefined && this.#socket.room() > 0) {
      this.said = true;
    }
  }
}
