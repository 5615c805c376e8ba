// ffi/udp.c through this runtime's FFI, on sockets of loopback: what its contracts promise at their edges. What
// reactors do with it is tested elsewhere.
import { deepEqual, strictEqual } from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  ADDRESS_BYTES,
  ARENA_ANSWERING as BATCH,
  ARENA_BYTES,
  ARENA_EVENTS,
  ARENA_SCRATCH,
  DATAGRAM_BYTES,
  DATAGRAM_INTS,
  DATAGRAMS_PER_CALL,
  PEER_BYTES,
} from "../../src/base/limits.ts";
import { EADDRINUSE, EAGAIN, EBUG, ECONNREFUSED, EMSGSIZE, EOPNOTSUPP } from "../../src/sys/errno.ts";
import { libraryPath } from "../../src/sys/library.ts";
import { DatagramAt, EventKind, QUEUE_WAITING, UDP_DRY, UDP_JOIN, UDP_SHARE } from "../../src/sys/symbols.ts";
import { arenaBytes, arenaInts, enterRoom, openLibrary, sys } from "../../src/sys/sys.ts";

const ROOM = 1;
const LISTENER = 7, JOINED = 8, OTHER = 9;
const SLOT = 2;

/** Lays an address of loopback into the scratch page. */
function loopback(port: number, at = ARENA_SCRATCH): void {
  arenaBytes.fill(0, at, at + ADDRESS_BYTES);
  arenaBytes.set([4, 0, port >> 8, port & 0xff, 127, 0, 0, 1], at);
}

function portOf(listener: number): number {
  strictEqual(sys.listener_address(listener, ARENA_SCRATCH), 0);
  return arenaBytes[ARENA_SCRATCH + 2] << 8 | arenaBytes[ARENA_SCRATCH + 3];
}

function field(record: number, what: number): number {
  return arenaInts[BATCH / 4 + record * DATAGRAM_INTS + what];
}

function payload(record: number): Uint8Array {
  const at = BATCH + DATAGRAMS_PER_CALL * DATAGRAM_INTS * 4 + record * DATAGRAM_BYTES;
  return arenaBytes.subarray(at, at + field(record, DatagramAt.Bytes));
}

/** Fills a record that is to be sent. */
function place(record: number, bytes: number, value = record): void {
  const ints = BATCH / 4 + record * DATAGRAM_INTS;
  arenaInts.fill(0, ints, ints + DatagramAt.Client);
  arenaInts[ints + DatagramAt.Bytes] = bytes;
  payload(record).fill(value);
}

function polled(what: number): number[] {
  for (let tries = 0; tries < 40; tries++) {
    const count = sys.poll(ARENA_EVENTS, 16, 50);
    for (let event = 0; event < count; event++) {
      const triple = [...arenaInts.subarray(ARENA_EVENTS / 4 + event * 3, ARENA_EVENTS / 4 + event * 3 + 3)];
      if (triple[0] === what) return triple;
    }
  }
  throw new Error("the event did not come");
}

let port = 0;

describe("datagrams of the C library", () => {
  before(async () => {
    await openLibrary(libraryPath());
    strictEqual(sys.setup() > 0, true);
    strictEqual(sys.room_open(ROOM, 8, 4, ARENA_BYTES), 0);
    enterRoom(ROOM);
    loopback(0);
    strictEqual(sys.udp_listen(LISTENER, ARENA_SCRATCH, UDP_SHARE), 0);
    port = portOf(LISTENER);
    sys.watch(LISTENER, 1);
  });
  after(() => {
    strictEqual(sys.held(ROOM, 0), 0, "no socket is left");
    for (const listener of [LISTENER, JOINED]) strictEqual(sys.listener_close(listener), 0);
    sys.leave();
    sys.room_close(ROOM);
  });

  it("a port is shared by those who join, and by nobody else", () => {
    loopback(port);
    strictEqual(sys.udp_listen(OTHER, ARENA_SCRATCH, 0), -EADDRINUSE);
    strictEqual(sys.udp_listen(OTHER, ARENA_SCRATCH, UDP_DRY), -EADDRINUSE);
    strictEqual(sys.udp_listen(OTHER, ARENA_SCRATCH, UDP_SHARE), -EADDRINUSE);
    strictEqual(sys.udp_listen(JOINED, ARENA_SCRATCH, UDP_JOIN), 0);
    strictEqual(portOf(JOINED), port);
    loopback(0);
    strictEqual(sys.udp_listen(OTHER, ARENA_SCRATCH, UDP_DRY), 0);
    strictEqual(sys.udp_lost(OTHER), -EBUG, "only tried");
    strictEqual(sys.udp_lost(LISTENER), 0);
  });

  it("a broken contract is an error, and ends nothing", () => {
    loopback(port);
    const cases: [what: string, result: number][] = [
      ["taken", sys.udp_listen(LISTENER, ARENA_SCRATCH, 0)],
      ["no listener", sys.udp_recv(OTHER, BATCH, 1)],
      ["none of them", sys.udp_recv(LISTENER, BATCH, 0)],
      ["too many", sys.udp_recv(LISTENER, BATCH, DATAGRAMS_PER_CALL + 1)],
      ["out of the batch", sys.udp_answer(LISTENER, BATCH, DATAGRAMS_PER_CALL - 1, 2)],
      ["out of the arena", sys.udp_recv(LISTENER, ARENA_BYTES - 4, 1)],
      ["no multiple of 4", sys.udp_recv(LISTENER, BATCH - 2, 1)],
      ["no socket", sys.udp_send(SLOT, BATCH, 0, 1)],
      ["slot 0", sys.udp_connect(0, 1, ARENA_SCRATCH, -1, ARENA_SCRATCH, 0)],
      ["no settings", sys.udp_connect(SLOT, 1, ARENA_SCRATCH, -1, ARENA_SCRATCH, 77)],
      ["connections", sys.accept(LISTENER)],
    ];
    for (const [what, result] of cases) strictEqual(result, -EBUG, what);
    strictEqual(sys.listener_queue(LISTENER, QUEUE_WAITING), -EOPNOTSUPP);
  });

  it("what is sent arrives with its borders, tells who sent it, and goes back", () => {
    loopback(port);
    strictEqual(sys.udp_connect(SLOT, 5, ARENA_SCRATCH, -1, ARENA_SCRATCH, 0), 0);
    const sizes = [1_200, 1_200, 1_200, 700, 0, 1_200, 9_000, 65_507];
    sizes.forEach((bytes, record) => place(record, bytes));
    for (let sent = 0; sent < sizes.length;) {
      const taken = sys.udp_send(SLOT, BATCH, sent, sizes.length - sent);
      strictEqual(taken > 0, true, `send: ${taken}`);
      sent += taken;
    }
    sys.watch(JOINED, 1);
    const [, listener] = polled(EventKind.Datagrams); // whichever the hash says
    const came: number[] = [], values: number[] = [];
    for (let got = sys.udp_recv(listener, BATCH, 16); got > 0; got = sys.udp_recv(listener, BATCH, 16)) {
      for (let record = 0; record < got; record++) {
        const bytes = field(record, DatagramAt.Bytes), segment = field(record, DatagramAt.Segment) || bytes;
        strictEqual(field(record, DatagramAt.Cut), 0);
        strictEqual(field(record, DatagramAt.Own) & 0xff, 4);
        strictEqual(field(record, DatagramAt.Own + 1), 0x0100007f, "127.0.0.1");
        for (let at = 0; at < bytes || at === 0; at += segment || 1) {
          came.push(Math.min(segment, bytes - at));
          values.push(bytes === 0 ? -1 : payload(record)[at]);
        }
      }
    }
    deepEqual(came, sizes);
    deepEqual(values, [0, 1, 2, 3, -1, 5, 6, 7]);

    place(0, 65_508);
    strictEqual(sys.udp_send(SLOT, BATCH, 0, 1), -EMSGSIZE);
    place(0, 10);
    strictEqual(sys.udp_send(SLOT, BATCH, 0, 1), 1);
    polled(EventKind.Datagrams);
    strictEqual(sys.udp_recv(listener, BATCH, 4), 1);
    for (let record = 1; record < 4; record++) { // to the same client, three more
      arenaInts.copyWithin((BATCH >> 2) + record * DATAGRAM_INTS, BATCH >> 2, (BATCH >> 2) + DATAGRAM_INTS);
      payload(record).fill(record);
    }
    strictEqual(sys.udp_answer(listener, BATCH, 0, 4), 4);
    const [, gen, bits] = polled(SLOT);
    deepEqual([gen, bits & 1], [5, 1]);
    strictEqual(sys.udp_read(SLOT, BATCH, 3, 8), 4);
    deepEqual([3, 4, 5, 6].map((record) => [...payload(record)][9]), [0, 1, 2, 3]);
    strictEqual(sys.udp_read(SLOT, BATCH, 0, 1), -EAGAIN);
    strictEqual(sys.close(SLOT, 0), 0);
  });

  it("ICMP is told once, by SO_ERROR or by the next call; the client's address is kept with the slot", () => {
    loopback(0);
    sys.udp_listen(OTHER, ARENA_SCRATCH, 0);
    const closed = portOf(OTHER);
    sys.listener_close(OTHER);
    loopback(closed);
    loopback(4_242, ARENA_SCRATCH + ADDRESS_BYTES);
    strictEqual(sys.udp_connect(SLOT, 6, ARENA_SCRATCH, LISTENER, ARENA_SCRATCH + ADDRESS_BYTES, 0), 0);
    sys.client(SLOT, ARENA_SCRATCH + 512);
    deepEqual([...arenaBytes.subarray(ARENA_SCRATCH + 512, ARENA_SCRATCH + 512 + PEER_BYTES)].slice(0, 8), [
      ...[4, 0, 4_242 >> 8, 4_242 & 0xff, 127, 0, 0, 1],
    ]);
    place(0, 3);
    strictEqual(sys.udp_send(SLOT, BATCH, 0, 1), 1);
    strictEqual((polled(SLOT)[2] & 8) !== 0, true, "an error");
    strictEqual(sys.outcome(SLOT), -ECONNREFUSED);
    strictEqual(sys.outcome(SLOT), 0);
    strictEqual(sys.udp_send(SLOT, BATCH, 0, 1), 1);
    polled(SLOT);
    strictEqual(sys.udp_send(SLOT, BATCH, 0, 1), -ECONNREFUSED);
    strictEqual(sys.close(SLOT, 0), 0);
  });

  it("of several that the kernel would not send as one, those that it did not send are told", () => {
    loopback(0);
    sys.udp_listen(OTHER, ARENA_SCRATCH, 0);
    const closed = portOf(OTHER), record = BATCH / 4;
    sys.listener_close(OTHER);
    const pieces = 201, piece = 100, bytes = (pieces - 1) * piece + 7; // more than UDP_MAX_SEGMENTS
    for (const preface of [0, 16]) {
      loopback(closed);
      strictEqual(sys.udp_connect(SLOT, 7, ARENA_SCRATCH, -1, ARENA_SCRATCH, 0), 0);
      if (preface > 0) strictEqual(sys.udp_preface(SLOT, ARENA_SCRATCH, preface), 0);
      place(0, bytes);
      arenaInts[record + DatagramAt.Segment] = piece;
      // Every other one is told that the one before met nobody, instead of being sent.
      strictEqual(sys.udp_send(SLOT, BATCH, 0, 1), 1);
      strictEqual(field(0, DatagramAt.Unsent), 100);
      strictEqual(field(0, DatagramAt.Bytes), 100 * piece + 7);
      place(0, bytes);
      arenaInts[record + DatagramAt.Segment] = piece;
      strictEqual(sys.udp_send(SLOT, BATCH, 0, 1), -ECONNREFUSED, "the first was not sent");
      deepEqual([field(0, DatagramAt.Bytes), field(0, DatagramAt.Unsent)], [bytes, 0], "nothing is done");
      strictEqual(sys.close(SLOT, 0), 0);
    }
  });
});
