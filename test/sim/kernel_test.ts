// The fake kernel itself: what it refuses to put up with, and what it must tell as Linux does.
import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { ARENA_BYTES, ARENA_EVENTS, ARENA_SCRATCH } from "../../src/base/limits.ts";
import { EAGAIN, ECONNRESET, EPIPE } from "../../src/sys/errno.ts";
import type { Kernel, Provider } from "../../src/sys/symbols.ts";
import { fakeProvider, Tally } from "./calls.ts";
import { Clock } from "./clock.ts";
import { CALM } from "./contracts.ts";
import { FakeKernel } from "./kernel.ts";
import { ipAddress } from "./plans.ts";
import { Random } from "./random.ts";
import { Socket } from "./socket.ts";

const PEER = new Uint8Array(24);
const IN = 1, OUT = 2, FIN = 4, ERR = 8;
const arena = new ArrayBuffer(ARENA_BYTES);

let kernel: FakeKernel, sys: Kernel, socket: Socket;

beforeEach(() => {
  kernel = new FakeKernel(new Random(1), new Clock(1_000), { ...CALM });
  kernel.world = {
    connect: () => new Socket(1_000, 1_000, false),
    adopted() {},
    shut() {},
    betweenTurns() {},
  };
  sys = fakeProvider(kernel, { kernel: {}, arena: () => arena } as unknown as Provider, new Tally()).kernel;
  sys.room_open(0, 1, 1, 1);
  sys.room_open(1, 8, 8, 1);
  sys.enter(0);
  new Uint8Array(arena).set(ipAddress(127, 1, 8_000), ARENA_SCRATCH);
  sys.listen(0, ARENA_SCRATCH, 0, 8, 0);
  sys.leave();
  sys.enter(1);
  sys.watch(0, 1);
  socket = new Socket(1_000, 1_000, false);
  kernel.knock(0, { socket, peer: PEER });
});

/** The client's connection, as slot 3 of generation 5. */
function adopt(): number {
  const token = sys.accept(0);
  sys.hand(token, 1);
  sys.adopt(token, 3, 5);
  return token;
}

function poll(): number[][] {
  const count = sys.poll(ARENA_EVENTS, 16, 0);
  const ints = new Int32Array(arena);
  return Array.from({ length: count }, (_, event) => {
    const at = ARENA_EVENTS / 4 + 3 * event;
    return [...ints.subarray(at, at + 3)];
  });
}

describe("a broken promise names the call", () => {
  const cases: [what: string, call: () => unknown, message: RegExp][] = [
    ["a slot without a socket", () => sys.recv(4, 0, 1), /^recv\(4, 0, 1\): slot 4 has no socket/],
    ["a slot out of range", () => sys.close(8, 0), /^close\(8, 0\): slot 8 is out of range/],
    ["adopted twice", () => sys.adopt(adopt(), 4, 1), /^adopt.*has a slot already/],
    ["a generation used before", () => {
      adopt();
      sys.close(3, 0);
      poll();
      sys.connect(3, 5, ARENA_SCRATCH, 0);
    }, /^connect.*generation 5 before/],
    ["closed twice", () => {
      adopt();
      sys.close(3, 0);
      sys.close(3, 0);
    }, /^close.*no socket/],
    ["read after a close in the same turn", () => {
      adopt();
      sys.connect(4, 0, ARENA_SCRATCH, 0);
      sys.close(3, 0);
      sys.recv(4, 0, 1);
    }, /^recv.*before the end of the turn/],
    ["accepted and left lying", () => {
      sys.accept(0);
      poll();
    }, /^poll.*left lying/],
    ["a pipe that is not open", () => sys.pipe_close(1), /^pipe_close\(1\): pipe 1 is not open/],
    ["sent behind its own end", () => {
      adopt();
      sys.shutdown(3);
      sys.send(3, 0, 1, 0);
    }, /^send.*its own end of stream/],
    ["a room entered twice", () => sys.enter(1), /^enter.*in a room already/],
    ["out of the arena", () => {
      adopt();
      sys.recv(3, ARENA_BYTES - 1, 2);
    }, /^recv.*out of the arena/],
  ];
  for (const [what, call, message] of cases) {
    it(what, () => void throws(call, { name: "BrokenContract", message }));
  }
});

describe("readiness", () => {
  it("a listening socket is told of as long as somebody waits", () => {
    deepStrictEqual(poll(), [[-2, 0, 1]]);
    deepStrictEqual(poll(), [[-2, 0, 1]]);
    adopt();
    deepStrictEqual(poll(), [[3, 5, OUT]]);
    deepStrictEqual(poll(), []);
  });

  it("an edge is told once, with all that is so by then", () => {
    adopt();
    socket.arrive(new Uint8Array(3));
    socket.arriveFin();
    deepStrictEqual(poll(), [[3, 5, IN | OUT | FIN]]);
    deepStrictEqual(poll(), []);
    strictEqual(sys.recv(3, 0, 10), 3);
    strictEqual(sys.recv(3, 0, 10), 0);
  });

  it("an error is told once; after it a read says 0", () => {
    adopt();
    socket.arrive(new Uint8Array(3));
    socket.arriveReset();
    deepStrictEqual(poll(), [[3, 5, IN | OUT | FIN | ERR]]);
    strictEqual(sys.recv(3, 0, 10), 3);
    strictEqual(sys.send(3, 0, 1, 0), -ECONNRESET);
    strictEqual(sys.recv(3, 0, 10), 0);
    strictEqual(sys.send(3, 0, 1, 0), -EPIPE);
  });

  it("room to write is told to whom lacked it, when a third is free", () => {
    adopt();
    poll();
    strictEqual(sys.send(3, 0, 2_000, 0), 1_000);
    strictEqual(sys.send(3, 0, 1, 0), -EAGAIN);
    socket.pull(300, () => {});
    deepStrictEqual(poll(), []);
    socket.pull(100, () => {});
    deepStrictEqual(poll(), [[3, 5, OUT]]);
  });

  it("a close with unread bytes is a reset", () => {
    adopt();
    socket.arrive(new Uint8Array(1));
    sys.close(3, 0);
    strictEqual(socket.resetOut, true);
  });

  it("a splice's EAGAIN is the dry socket's or the full pipe's", () => {
    adopt();
    sys.pipe_open(1, 4_096);
    strictEqual(sys.splice_in(3, 1, 100), -EAGAIN);
    socket.arrive(new Uint8Array(200));
    strictEqual(sys.splice_in(3, 1, 100), 100);
    strictEqual(sys.splice_in(3, 1, 100), -EAGAIN, "its one buffer is taken");
  });

  it("newcomers of a dead reactor are told of again", () => {
    sys.hand(sys.accept(0), 1);
    strictEqual(poll().length, 1);
    kernel.threadDied();
    strictEqual(sys.reap(1), 0);
    sys.enter(1);
    const events = poll();
    deepStrictEqual(events.map(([what]) => what), [-1]);
  });
});
