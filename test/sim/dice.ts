// What clients and servers have to say to each other, through which buffers, and what the weather is like:
// everything about traffic that the dice decide.
import { someBytes } from "./bytes.ts";
import type { Weather } from "./kernel.ts";
import { type Manner, Trouble } from "./peer.ts";
import type { Random } from "./random.ts";
import type { Fate } from "./session.ts";
import { Socket } from "./socket.ts";

/** Resets find the most. */
const TROUBLES = [Trouble.Reset, Trouble.Reset, Trouble.Reset, Trouble.Vanish, Trouble.Close, Trouble.Stall];

/** What one client and its server have to say to each other. */
export interface Dialogue {
  readonly up: Uint8Array;
  readonly down: Uint8Array;
  readonly client: Manner;
  readonly server: Manner;
}

export class Dice {
  readonly random: Random;
  /** Streams of megabytes, through large buffers. */
  readonly bulky: boolean;
  /** Both sides speak at once and a lot, and many reset. */
  readonly crowded: boolean;

  constructor(random: Random) {
    this.random = random;
    this.bulky = random.oneIn(12);
    this.crowded = random.oneIn(6);
  }

  /** Tiny buffers only for little: nobody waits an hour. */
  socket({ up, down }: Dialogue, connecting: boolean): Socket {
    const { random } = this;
    const most = Math.max(up.length, down.length);
    const sizes = most < 5_000 ? [1, random.between(1, 300), 4_096] : [4_096, 16_384, 70_000, 300_000];
    if (this.crowded) sizes.length = 2;
    const some = () => random.pick(this.bulky ? [65_536, 4 << 20, 6 << 20] : sizes);
    return new Socket(some(), some(), connecting);
  }

  #length(): number {
    const { random } = this;
    if (this.crowded) return random.between(16_384, 100_000);
    if (this.bulky && random.oneIn(6)) return random.between(2 << 20, 5 << 20);
    return random.pick([
      0,
      1,
      random.below(200),
      random.below(5_000),
      16_384,
      16_385,
      32_768,
      random.below(120_000),
    ]);
  }

  dialogue(): Dialogue {
    const { random } = this;
    const up = someBytes(random, this.#length()), down = someBytes(random, this.#length());
    const client = this.#manner(up.length + down.length),
      server = this.#manner(up.length + down.length);
    switch (random.below(this.crowded ? 40 : 7)) { // else both speak at once
      case 0: // a request, then its answer
        server.talkAfterBytes = up.length;
        break;
      case 1: // the client hangs up first, once it has heard everything
        server.talkAfterBytes = random.below(up.length + 1);
        client.finAfterBytes = down.length;
        break;
      case 2: // the server speaks first
        client.talkAfterBytes = Math.min(1, down.length);
        break;
      case 3: // an answer only after the end of the question
        server.talkAfterFin = true;
        break;
    }
    if (random.oneIn(this.crowded ? 2 : 3)) {
      (random.oneIn(2) ? client : server).trouble = this.crowded ? Trouble.Reset : random.pick(TROUBLES);
    }
    return { up, down, client, server };
  }

  #manner(bytes: number): Manner {
    const { random } = this;
    return {
      paceMs: random.pick([0, 0.5, 5, 60]),
      pieceBytes: Math.max(1 + (bytes >>> 5), random.pick([1, 100, 20_000, 1 << 20])),
      talkAfterBytes: 0,
      talkAfterFin: false,
      finAfterBytes: 0,
      urgent: random.oneIn(20),
      trouble: Trouble.None,
      ambushesWrites: this.crowded || random.oneIn(2),
      troubleAfterBytes: random.oneIn(4) ? 0 : random.below(bytes + 1),
    };
  }
}

/** What becomes of a socket's session, if it gets one. */
export function someFate(random: Random): Fate {
  const handshake = random.oneIn(25) ? "fails" : random.oneIn(40) ? "silent" : "well";
  return { handshake, notifies: !random.oneIn(4) };
}

export function weatherOf(random: Random): Weather {
  const calm = random.oneIn(5);
  const some = (...choices: number[]): number => calm ? 0 : random.pick(choices);
  return {
    fds: calm ? 10_000 : random.pick([14, 40, 90, 10_000, 10_000, 10_000]),
    spurious: some(0, 30, 8),
    short: some(0, 20, 4),
    stale: some(0, 10, 2),
    disorder: some(0, 4, 2),
    signal: some(0, 20),
    scarce: some(0, 60),
    pipeTrouble: some(0, 10, 2),
    callMs: some(0, 0.02, 0.2),
    deathAfter: some(0, 0, 0, random.between(1, 3_000)),
    bugAfter: some(0, 0, 0, random.between(1, 1_000)),
  };
}
