import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import {
  ARENA_RECEIVE,
  ARENA_SCRATCH,
  BLOCK_BYTES,
  BLOCKS_FOR_HOLDS,
  NONE,
  RECEIVE_BYTES,
} from "../../src/base/limits.ts";
import { blocksLeft, blocksTaken, takeBlockFor } from "../../src/net/blocks.ts";
import { Ready, readyAdd } from "../../src/net/ready.ts";
import {
  slotFlags,
  slotGen,
  slotMovedBytes,
  slotReady,
  slotSetState,
  slotUnread,
  slotUnreadBytes,
  takeSlot,
} from "../../src/net/slots.ts";
import { readable, readUnread, unreadGive, unreadKeep } from "../../src/net/unread.ts";
import { SlotFlag, SlotState } from "../../src/shared/tables.ts";
import { EAGAIN, ECONNRESET } from "../../src/sys/errno.ts";
import { arenaBytes, sys } from "../../src/sys/sys.ts";
import type { Weather } from "../sim/kernel.ts";
import { someBytes } from "../sim/bytes.ts";
import { ipAddress } from "../sim/plans.ts";
import { Random } from "../sim/random.ts";
import type { Socket } from "../sim/socket.ts";
import { openTables } from "./tables.ts";

let weather: Weather, slot: number, socket: Socket;

beforeEach(openOne);

/** New tables, with one open slot. */
function openOne(): void {
  const opened = openTables();
  weather = opened.weather;
  slot = takeSlot(SlotState.Connecting);
  arenaBytes.set(ipAddress(10, 1, 80), ARENA_SCRATCH);
  strictEqual(sys.connect(slot, slotGen[slot], ARENA_SCRATCH, 0), 0);
  slotSetState(slot, SlotState.Open);
  ({ socket } = opened.kernel.slot(slot));
}

const latin1 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));

/** Bytes come, and an event has told of them. */
function arrive(text: string): void {
  socket.arrive(latin1(text));
  readyAdd(slot, Ready.In);
}

/** Keeps a text as if it had just been received. */
function keep(text: string, seen: boolean): boolean {
  arenaBytes.set(latin1(text), ARENA_RECEIVE);
  return unreadKeep(slot, ARENA_RECEIVE, text.length, seen);
}

/** What a read comes to: the bytes, or their number where it is none above 0. The receive block holds
 * something else before. */
function read(most = RECEIVE_BYTES): string | number {
  arenaBytes.fill(0x23, ARENA_RECEIVE, ARENA_RECEIVE + BLOCK_BYTES);
  const bytes = readUnread(slot, most);
  if (bytes <= 0) return bytes;
  return Buffer.from(arenaBytes.slice(ARENA_RECEIVE, ARENA_RECEIVE + bytes)).toString("latin1");
}

/** That it holds nothing, in its columns and in the blocks. */
function holdsNothing(): void {
  const flag = slotFlags[slot] & SlotFlag.Unseen;
  deepStrictEqual([slotUnread[slot], slotUnreadBytes[slot], flag, blocksTaken()], [NONE, 0, 0, 0]);
}

describe("readUnread", () => {
  it("reads the socket, where nothing is unread", () => {
    arrive("abc");
    strictEqual(read(), "abc");
    holdsNothing();
    strictEqual(slotMovedBytes[slot], 3);
  });

  it("puts what was seen before what comes, in one piece", () => {
    keep("GET / HT", true);
    arrive("TP/1.1");
    strictEqual(read(), "GET / HTTP/1.1");
    holdsNothing();
    strictEqual(slotMovedBytes[slot], 6, "what was unread was counted when it was read");
  });

  it("does not show again what was seen, when nothing new has come", () => {
    keep("GET /", true);
    strictEqual(readable(slot), false);
    strictEqual(read(), -EAGAIN);
    readyAdd(slot, Ready.In); // an event that has nothing behind it
    strictEqual(read(), -EAGAIN);
    deepStrictEqual([slotUnreadBytes[slot], blocksTaken()], [5, 1], "it is still kept");
  });

  it("shows what nobody has seen, when nothing new has come", () => {
    keep("GET / HTTP/1.1", false);
    strictEqual(readable(slot), true);
    strictEqual(read(), "GET / HTTP/1.1");
    holdsNothing();
    strictEqual(readable(slot), false);
    strictEqual(read(), -EAGAIN);
  });

  it("asks the socket only when it is said to be ready", () => {
    keep("a", false);
    socket.arrive(latin1("b")); // no event has told yet
    strictEqual(read(), "a");
    strictEqual(slotMovedBytes[slot], 0);
  });

  it("tells an end of stream behind the bytes, not in place of them", () => {
    keep("last", false);
    socket.arriveFin();
    readyAdd(slot, Ready.In | Ready.Fin);
    strictEqual(read(), "last");
    strictEqual(read(), 0);
  });

  it("tells an end of stream at once, where the bytes were seen", () => {
    keep("half", true);
    socket.arriveFin();
    readyAdd(slot, Ready.In | Ready.Fin);
    strictEqual(read(), 0);
    strictEqual(slotUnreadBytes[slot], 4, "the bytes are still kept");
  });

  for (const seen of [true, false]) {
    it(`tells that the connection broke, before bytes that were ${seen ? "" : "not "}seen`, () => {
      keep("half", seen);
      socket.arriveReset();
      readyAdd(slot, Ready.In | Ready.Fin | Ready.Err);
      strictEqual(read(), -ECONNRESET);
      strictEqual(blocksTaken(), 1, "the bytes are still kept");
    });
  }

  it("reads at most what it was asked to, whatever is unread", () => {
    keep("abc", false);
    arrive("defgh");
    strictEqual(read(2), "abcde");
    strictEqual(slotReady[slot] & Ready.In, Ready.In, "a read that was filled proves nothing");
    strictEqual(read(4), "fgh");
    strictEqual(slotReady[slot] & Ready.In, 0, "a short one does");
  });

  const notEmpty: [bits: number, why: string][] = [
    [Ready.Fin, "an end of stream is behind them"],
    [Ready.Err, "an error is behind them"],
    [Ready.Pieces, "they come in pieces"],
  ];
  for (const [bits, why] of notEmpty) {
    it(`reads on after a short read: ${why}`, () => {
      arrive("abc");
      readyAdd(slot, bits);
      strictEqual(read(), "abc");
      strictEqual(slotReady[slot] & Ready.In, Ready.In);
      if (bits === Ready.Fin) return;
      strictEqual(read(), -EAGAIN);
      strictEqual(slotReady[slot] & Ready.In, 0);
    });
  }

  it("does not fill more than the receive block and the room before it", () => {
    const before = BLOCK_BYTES - 3;
    keep("x".repeat(before), false);
    arrive("abcdefgh");
    strictEqual(read(), "x".repeat(before) + "abc");
    strictEqual(read(), "defgh");
  });

  it("shows a whole block of unseen bytes without reading", () => {
    keep("x".repeat(BLOCK_BYTES), false);
    arrive("y");
    strictEqual(read(), "x".repeat(BLOCK_BYTES));
    strictEqual(read(), "y");
  });

  it("has no use for a whole block that was seen", () => {
    keep("x".repeat(BLOCK_BYTES), true);
    arrive("y");
    throws(() => read(), { name: "BugError" });
  });
});

describe("unreadKeep", () => {
  it("keeps what is not at the beginning", () => {
    arenaBytes.set(latin1("--abc--"), ARENA_RECEIVE);
    strictEqual(unreadKeep(slot, ARENA_RECEIVE + 2, 3, false), true);
    strictEqual(read(), "abc");
  });

  it("forgets that the bytes before were not seen", () => {
    keep("abc", false);
    unreadGive(slot);
    keep("abc", true);
    strictEqual(readable(slot), false);
  });

  it("is for one block, with something in it", () => {
    strictEqual(keep("abc", false), true);
    throws(() => keep("def", false), { name: "BugError" });
    unreadGive(slot);
    throws(() => unreadKeep(slot, ARENA_RECEIVE, 0, false), { name: "BugError" });
    throws(() => unreadKeep(slot, ARENA_RECEIVE, BLOCK_BYTES + 1, false), { name: "BugError" });
    holdsNothing();
  });

  it("says when there is no block, and keeps nothing", () => {
    for (const bytes of [BLOCK_BYTES, 1]) while (takeBlockFor(bytes) !== NONE);
    strictEqual(blocksLeft(), BLOCKS_FOR_HOLDS);
    strictEqual(keep("abc", false), false);
    deepStrictEqual([slotUnread[slot], slotUnreadBytes[slot]], [NONE, 0]);
    strictEqual(readable(slot), false);
  });
});

it("unreadGive gives the block back, once", () => {
  keep("abc", false);
  unreadGive(slot);
  holdsNothing();
  unreadGive(slot);
  holdsNothing();
  strictEqual(readable(slot), false);
});

it("a stream that is read and kept in whatever pieces stays itself", () => {
  let pieces = 0;
  for (let seed = 1; seed <= 100; seed++) {
    const random = new Random(seed), stream = someBytes(random, 100_000);
    openOne();
    pieces += readInPieces(random, stream, seed);
  }
  strictEqual(pieces > 1_000, true, `${pieces} reads are no test`);
});

/** Reads a stream that comes bit by bit, keeping some of most reads; returns how many reads there were. */
function readInPieces(random: Random, stream: Uint8Array, seed: number): number {
  weather.spurious = 5;
  let sent = 0, done = 0, reads = 0;
  while (done < stream.length) {
    const come = Math.min(random.size(20_000), stream.length - sent, socket.window);
    socket.arrive(stream.slice(sent, sent += come));
    if (socket.rx.length > 0) readyAdd(slot, Ready.In);
    const before = slotUnreadBytes[slot];
    const bytes = readUnread(slot, random.size(RECEIVE_BYTES));
    if (bytes < 0) {
      strictEqual(bytes, -EAGAIN, `seed ${seed}`);
      continue;
    }
    reads++;
    strictEqual(bytes >= before, true, `seed ${seed}: what was kept comes first`);
    const got = arenaBytes.slice(ARENA_RECEIVE, ARENA_RECEIVE + bytes);
    deepStrictEqual(got, stream.slice(done, done + bytes), `seed ${seed} at ${done}`);
    // Never a whole block: one that was seen has no room for more.
    const left = random.oneIn(3) ? 0 : random.below(Math.min(bytes, RECEIVE_BYTES) + 1);
    done += bytes - left;
    if (left === 0) continue;
    strictEqual(unreadKeep(slot, ARENA_RECEIVE + bytes - left, left, random.oneIn(2)), true);
    if (sent === stream.length) slotFlags[slot] |= SlotFlag.Unseen; // nothing new will come
  }
  strictEqual(blocksTaken(), 0, `seed ${seed}`);
  return reads;
}
