// Somebody at the other end of one of our sockets: sends what it has in pieces, reads in pieces, ends its
// stream when it is due, and some misbehave. What it reads is held against what it was to get.
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";
import type { Socket } from "./socket.ts";

export const enum Trouble {
  None,
  Reset,
  /** Neither sends nor reads any more, nor says so. */
  Vanish,
  /** close(2) without reading to the end. */
  Close,
  /** A long pause, then on as before. */
  Stall,
}

const STALL_MS = 6_000;

/** Once in so many calls that touch its socket. */
const AMBUSH = 12;

/** How a peer goes about it. */
export interface Manner {
  /** The most time between two of its steps. */
  paceMs: number;
  /** Bytes of one write and one read. */
  pieceBytes: number;
  /** Sends nothing before it has read this much, or the end. */
  talkAfterBytes: number;
  /** Nor before it has read the end. */
  talkAfterFin: boolean;
  /** Keeps its end of stream back until it has read this much, or the end. */
  finAfterBytes: number;
  /** Some of it is urgent. */
  urgent: boolean;
  trouble: Trouble;
  /** A reset may come right before we write to it, else right before we read. */
  ambushesWrites: boolean;
  /** After so many bytes either way. */
  troubleAfterBytes: number;
}

/** The proxy delivered something else than what was sent. */
export class Mismatch extends Error {
  override name = "Mismatch";
}

export class Peer {
  readonly name: string;
  readonly socket: Socket;
  readonly manner: Manner;
  readonly outgoing: Uint8Array;
  readonly expected: Uint8Array;
  /** What it says before everything else, whoever is to speak first; and what it is told so. Neither is counted. */
  preamble: Uint8Array = new Uint8Array(0);
  greeting: Uint8Array = new Uint8Array(0);
  #preambled = 0;
  #greeted = 0;
  sent = 0;
  received = 0;
  finSent = false;
  finSeen = false;
  resetSent = false;
  resetSeen = false;
  vanished = false;
  /** Its descriptor is closed: what still comes is answered with a reset. */
  #closed = false;
  #stalled = false;
  #planned = false;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(
    name: string,
    socket: Socket,
    outgoing: Uint8Array,
    expected: Uint8Array,
    manner: Manner,
    clock: Clock,
    random: Random,
  ) {
    this.name = name;
    this.socket = socket;
    this.outgoing = outgoing;
    this.expected = expected;
    this.manner = manner;
    this.#clock = clock;
    this.#random = random;
  }

  /** From `delayMs` on it takes part. */
  start(delayMs: number): void {
    this.#plan(delayMs);
    this.socket.onFar = () => this.#plan(this.#pace());
    if (this.manner.trouble === Trouble.Reset) {
      this.socket.onTouch = (writing) => writing === this.manner.ambushesWrites && this.#ambush();
    }
  }

  /** It is through: nothing it does or sees can change any more. */
  get over(): boolean {
    return this.resetSent || this.resetSeen || this.vanished || (this.finSeen && this.finSent);
  }

  #pace(): number {
    return (this.#random.below(1000) * this.manner.paceMs) / 1000;
  }

  #plan(delayMs: number): void {
    if (this.#planned || this.over) return;
    this.#planned = true;
    this.#clock.in(delayMs, () => {
      this.#planned = false;
      if (!this.over) this.#step();
    });
  }

  #step(): void {
    const { socket } = this;
    if (socket.resetOut) {
      this.resetSeen = true;
      return;
    }
    if (this.#closed) {
      if (socket.tx.length > 0) this.#reset();
      return;
    }
    if (this.#isTroubled() && this.#misbehave()) return;
    this.#read();
    this.#write();
    if (this.over) return;
    const begins = this.#preambled < this.preamble.length, left = this.sent < this.outgoing.length;
    const goesOn = socket.tx.length > 0 || (begins && socket.window > 0) ||
      (left && this.#mayTalk && socket.window > 0) ||
      (!left && !this.finSent && this.#mayFin) || this.#isTroubled();
    if (goesOn) this.#plan(this.#pace());
  }

  #read(): void {
    const { socket } = this;
    if (socket.tx.length > 0) {
      socket.pull(this.#random.size(this.manner.pieceBytes), (view) => {
        const greeted = Math.min(view.length, this.greeting.length - this.#greeted);
        const greeting = this.greeting.subarray(this.#greeted, this.#greeted += greeted);
        if (Buffer.compare(view.subarray(0, greeted), greeting) !== 0) {
          throw new Mismatch(`${this.name}: it is not told of its client as it should be`);
        }
        const rest = view.subarray(greeted), end = this.received + rest.length;
        if (Buffer.compare(rest, this.expected.subarray(this.received, end)) !== 0) {
          throw new Mismatch(`${this.name}: bytes ${this.received} to ${end} are not the ones sent`);
        }
        this.received = end;
      });
    }
    if (socket.finOut) this.finSeen = true;
  }

  #write(): void {
    const { socket, outgoing, manner } = this;
    if (this.finSent) return;
    if (this.#preambled < this.preamble.length) {
      const left = this.preamble.length - this.#preambled;
      const bytes = Math.min(socket.window, left, this.#random.size(this.manner.pieceBytes));
      if (bytes > 0) socket.arrive(this.preamble.subarray(this.#preambled, this.#preambled += bytes));
      return;
    }
    if (this.sent < outgoing.length) {
      if (!this.#mayTalk) return;
      const bytes = Math.min(
        socket.window,
        outgoing.length - this.sent,
        this.#random.size(this.manner.pieceBytes),
      );
      if (bytes === 0) return;
      if (manner.urgent && this.#random.oneIn(8)) socket.arriveUrgent();
      socket.arrive(outgoing.subarray(this.sent, this.sent + bytes));
      this.sent += bytes;
      if (this.sent < outgoing.length || this.#random.oneIn(2)) return;
    }
    if (!this.#mayFin) return;
    this.finSent = true;
    socket.arriveFin();
  }

  get #mayTalk(): boolean {
    const { talkAfterBytes, talkAfterFin } = this.manner;
    return this.finSeen || (!talkAfterFin && this.received >= talkAfterBytes);
  }

  get #mayFin(): boolean {
    return this.#mayTalk && (this.finSeen || this.received >= this.manner.finAfterBytes);
  }

  #isTroubled(): boolean {
    const { trouble, troubleAfterBytes } = this.manner;
    return trouble !== Trouble.None && !this.#stalled && this.sent + this.received >= troubleAfterBytes;
  }

  /** True if it has nothing else to do now. */
  #misbehave(): boolean {
    switch (this.manner.trouble) {
      case Trouble.Reset:
        this.#reset();
        return true;
      case Trouble.Vanish:
        return this.vanished = true;
      case Trouble.Close:
        if (this.socket.tx.length > 0) this.#reset();
        else if (!this.finSent) {
          this.finSent = true;
          this.socket.arriveFin();
        }
        return this.#closed = true;
      case Trouble.Stall:
        this.#stalled = true;
        this.#plan(STALL_MS);
        return true;
      case Trouble.None:
        return false;
    }
  }

  /** Resets in the middle of a turn, right before the call that finds out. */
  #ambush(): void {
    const done = this.sent + this.received;
    if (!this.over && done > 0 && 2 * done >= this.manner.troubleAfterBytes && this.#random.oneIn(AMBUSH)) {
      this.#reset();
    }
  }

  #reset(): void {
    this.resetSent = true;
    this.socket.arriveReset();
  }
}
