// Somebody who speaks HTTP at the other end of one of our sockets: says what it has queued in pieces, reads
// in pieces, and at some point may misbehave. What it says when is its kind's.
import { Bytes } from "./bytes.ts";
import type { Clock } from "./clock.ts";
import { Trouble } from "./peer.ts";
import type { Random } from "./random.ts";
import type { Socket } from "./socket.ts";

/** Longer than any deadline of a run. */
export const STALL_MS = 7_000;
/** Once in so many calls that touch its socket. */
const AMBUSH = 12;

/** How a talker goes about it. */
export interface Pace {
  /** The most time between two of its steps. */
  readonly paceMs: number;
  /** Bytes of one write and one read. */
  readonly pieceBytes: number;
}

export abstract class Talker {
  readonly name: string;
  readonly socket: Socket;
  trouble = Trouble.None;
  /** After so many bytes either way. */
  troubleAfterBytes = 0;
  ambushesWrites = false;
  sent = 0;
  received = 0;
  lastSentMs = 0;
  /** When Sluice sent something to it. */
  lastToldMs = 0;
  finSent = false;
  finSeen = false;
  resetSent = false;
  resetSeen = false;
  vanished = false;
  /** It paused for longer than anybody waits. */
  stalled = false;
  /** Its descriptor is closed: what still comes is answered with a reset. */
  closed = false;
  protected readonly clock: Clock;
  protected readonly random: Random;
  protected readonly out = new Bytes();
  readonly #pace: Pace;
  #planned = false;

  constructor(name: string, socket: Socket, pace: Pace, clock: Clock, random: Random) {
    this.name = name;
    this.socket = socket;
    this.#pace = pace;
    this.clock = clock;
    this.random = random;
  }

  /** Reads, and what it has to say is in `out`: says more, or ends. */
  protected abstract act(): void;

  start(delayMs: number): void {
    this.lastSentMs = this.lastToldMs = this.clock.nowMs;
    this.plan(delayMs);
    this.socket.onFar = () => this.plan(this.#paceMs());
    if (this.trouble === Trouble.Reset) {
      this.socket.onTouch = (writing) => writing === this.ambushesWrites && this.#ambush();
    }
  }

  /** It is through: nothing it does or sees can change any more. */
  get over(): boolean {
    return this.resetSent || this.resetSeen || this.vanished || (this.finSeen && this.finSent);
  }

  plan(delayMs: number): void {
    if (this.#planned || this.over) return;
    this.#planned = true;
    this.clock.in(delayMs, () => {
      this.#planned = false;
      if (!this.over) this.#step();
    });
  }

  /** Takes a step then, whatever else happens. */
  protected wakeAt(ms: number): void {
    this.clock.in(Math.max(0, ms - this.clock.nowMs), () => {
      if (!this.over) this.#step();
    });
  }

  protected sayFin(): void {
    if (this.finSent) return;
    this.finSent = true;
    this.socket.arriveFin();
  }

  /** close(2): with bytes unread it is a reset. */
  protected close(): void {
    if (this.socket.tx.length > 0) return this.reset();
    this.sayFin();
    this.closed = true;
  }

  reset(): void {
    this.resetSent = true;
    this.socket.arriveReset();
  }

  #paceMs(): number {
    return (this.random.below(1000) * this.#pace.paceMs) / 1000;
  }

  /** Often a whole piece: nobody is so slow that Sluice would not see it move. */
  #pieceBytes(): number {
    const { pieceBytes } = this.#pace;
    return this.random.oneIn(2) ? pieceBytes : this.random.size(pieceBytes);
  }

  #step(): void {
    const { socket } = this;
    if (socket.resetOut) {
      this.resetSeen = true;
      return;
    }
    if (this.closed) {
      if (socket.tx.length > 0) this.reset();
      else if (socket.finOut) this.finSeen = true;
      return;
    }
    if (this.#isTroubled() && this.#misbehave()) return;
    if (socket.tx.length > 0) {
      this.received += socket.pull(this.#pieceBytes(), () => {});
    }
    if (socket.finOut) this.finSeen = true;
    this.act();
    if (this.over || this.closed) return;
    this.#write();
    const goesOn = socket.tx.length > 0 || (this.out.length > 0 && socket.window > 0) || this.#isTroubled();
    if (goesOn) this.plan(this.#paceMs());
  }

  #write(): void {
    const { socket, out } = this;
    const most = Math.min(socket.window, out.length, this.#pieceBytes());
    if (this.finSent || most === 0) return;
    this.sent += out.take(most, (view) => socket.arrive(view));
    this.lastSentMs = this.clock.nowMs;
    if (out.length === 0) this.plan(0); // what is due behind the last byte
  }

  #isTroubled(): boolean {
    return this.trouble !== Trouble.None && !this.stalled &&
      this.sent + this.received >= this.troubleAfterBytes;
  }

  /** True if it has nothing else to do now. */
  #misbehave(): boolean {
    switch (this.trouble) {
      case Trouble.Reset:
        this.reset();
        return true;
      case Trouble.Vanish:
        return this.vanished = true;
      case Trouble.Close:
        this.close();
        return true;
      case Trouble.Stall:
        this.stalled = true;
        this.plan(STALL_MS);
        return true;
      case Trouble.None:
        return false;
    }
  }

  /** Resets in the middle of a turn, right before the call that finds out. */
  #ambush(): void {
    const done = this.sent + this.received;
    if (!this.over && done > 0 && 2 * done >= this.troubleAfterBytes && this.random.oneIn(AMBUSH)) {
      this.reset();
    }
  }
}
