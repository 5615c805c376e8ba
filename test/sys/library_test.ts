// The C library through this runtime's FFI: the handshake, its contracts at their edges, and sockets of
// loopback. What reactors do with it is tested elsewhere.
import { deepEqual, strictEqual, throws } from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  ADDRESS_BYTES,
  ARENA_EVENTS,
  ARENA_RECEIVE,
  ARENA_SCRATCH,
  CONTROL_ARENA_BYTES,
} from "../../src/base/limits.ts";
import { EAGAIN, EBUG, ECONNREFUSED, EINPROGRESS, EINVAL, errnoName } from "../../src/sys/errno.ts";
import { libraryPath } from "../../src/sys/library.ts";
import {
  ABI,
  CLOCK_ASTRAY,
  EventKind,
  type Kernel,
  MachineFact,
  type Provider,
  QUEUE_MOST,
  QUEUE_WAITING,
  SYMBOLS,
} from "../../src/sys/symbols.ts";
import {
  arenaBytes,
  arenaInts,
  clockMs,
  enterRoom,
  openLibrary,
  sys,
  useProvider,
} from "../../src/sys/sys.ts";
import { openFds } from "../support/status.ts";

const CONTROL = 0, ROOM = 1;
const LISTENER = 3;

function loopback(port: number): void {
  arenaBytes.fill(0, ARENA_SCRATCH, ARENA_SCRATCH + ADDRESS_BYTES);
  arenaBytes.set([4, 0, port >> 8, port & 0xff, 127, 0, 0, 1], ARENA_SCRATCH);
}

/** Polls until `wanted` comes, at most two seconds. */
function event(wanted: (what: number, who: number, bits: number) => boolean): [number, number, number] {
  for (let tries = 0; tries < 40; tries++) {
    const count = sys.poll(ARENA_EVENTS, 16, 50);
    for (let index = 0; index < count; index++) {
      const [what, who, bits] = arenaInts.subarray(ARENA_EVENTS / 4 + index * 3);
      if (wanted(what, who, bits)) return [what, who, bits];
    }
  }
  throw new Error("the event did not come");
}

describe("the C library", () => {
  before(async () => {
    await openLibrary(libraryPath());
    strictEqual(sys.setup() > 0, true);
    strictEqual(sys.room_open(CONTROL, 8, 4, CONTROL_ARENA_BYTES), 0);
    enterRoom(CONTROL);
  });
  after(() => {
    strictEqual(sys.held(CONTROL, 0), 0, "no socket is left");
    strictEqual(sys.held(CONTROL, 1), 0, "no pipe is left");
    sys.leave();
    sys.room_close(CONTROL);
  });

  it("a library of another ABI is refused before anything is called", () => {
    const other = { abi: () => ABI + 1 } as unknown as Kernel;
    throws(() => useProvider({ kernel: other } as Provider), /ABI/);
  });

  it("every symbol of the table is there", async () => {
    await openLibrary(libraryPath());
    deepEqual(Object.keys(SYMBOLS).filter((name) => name !== "arena" && !(name in sys)), []);
    enterAgain();
  });

  it("the clock is told with the events", () => {
    sys.poll(ARENA_EVENTS, 1, 0);
    const before = clockMs();
    sys.poll(ARENA_EVENTS, 1, 20);
    const slept = clockMs() - before;
    strictEqual(slept >= 19 && slept < 2_000, true, `${slept} ms`);
  });

  it("a wake ends the sleep, however often it was called", () => {
    sys.wake(CONTROL);
    sys.wake(CONTROL);
    strictEqual(sys.poll(ARENA_EVENTS, 16, 1_000), 1);
    strictEqual(arenaInts[ARENA_EVENTS / 4], EventKind.Woken);
    strictEqual(sys.poll(ARENA_EVENTS, 16, 0), 0);
  });

  it("what the machine can do is tried, and nothing of it stays open", () => {
    const before = openFds(process.pid).length;
    strictEqual(sys.machine(MachineFact.PageBytes) % 4_096, 0);
    strictEqual(sys.machine(MachineFact.Glibc) >= 2_034, true);
    strictEqual(sys.machine(MachineFact.Clock) >= 0 && sys.machine(MachineFact.Clock) <= CLOCK_ASTRAY, true);
    for (const which of [MachineFact.Epoll, MachineFact.Splice, MachineFact.ReusePort, MachineFact.Memfd]) {
      strictEqual(sys.machine(which), 1, `${which}`);
    }
    strictEqual(sys.machine(MachineFact.PipeBytes) >= 4_096, true);
    for (
      const which of [
        MachineFact.DualStack,
        MachineFact.OpenAt2,
        MachineFact.ReadNoWait,
        MachineFact.KernelTls,
        MachineFact.Mptcp,
        MachineFact.Transparent,
        MachineFact.Device,
      ]
    ) {
      const result = sys.machine(which);
      strictEqual(result === 1 || (result < 0 && result !== -EINVAL), true, `${which}: ${result}`);
    }
    strictEqual(sys.machine(MachineFact.Device + 1), -EINVAL);
    strictEqual(openFds(process.pid).length, before);
  });

  it("arguments that break a contract are -EBUG, never a crash", () => {
    const calls: [number, string][] = [
      [sys.recv(0, ARENA_RECEIVE, 1), "slot 0 is nobody"],
      [sys.recv(8, ARENA_RECEIVE, 1), "past the table"],
      [sys.recv(-1, ARENA_RECEIVE, 1), "negative"],
      [sys.recv(1, ARENA_RECEIVE, 1), "a slot without socket"],
      [sys.recv(1, CONTROL_ARENA_BYTES - 1, 2), "past the arena"],
      [sys.send(1, 0xffffffff, 1, 0), "an offset that wraps"],
      [sys.recv(1, 0, 0), "nothing to read into"],
      [sys.poll(ARENA_EVENTS + 1, 1, 0), "unaligned"],
      [sys.poll(ARENA_EVENTS, 0, 0), "no room for events"],
      [sys.pipe_close(1), "a pipe that is not open"],
      [sys.watch(LISTENER, 1), "a listener that is not open"],
      [sys.accept(-1), "no such listener"],
      [sys.hand(5, 1), "a token nobody has"],
      [sys.pattern_match(1, 0, 4), "an expression nobody compiled"],
      [sys.enter(CONTROL), "a thread that is in a room already"],
    ];
    for (const [result, why] of calls) strictEqual(result, -EBUG, why);
  });

  it("a connection: listen, accept, hand, adopt, bytes both ways, end of stream, reset", () => {
    loopback(0);
    strictEqual(sys.listen(LISTENER, ARENA_SCRATCH, 0, 16, 0), 0);
    strictEqual(sys.listener_address(LISTENER, ARENA_SCRATCH), 0);
    const port = (arenaBytes[ARENA_SCRATCH + 2] << 8) | arenaBytes[ARENA_SCRATCH + 3];
    strictEqual(sys.watch(LISTENER, 1), 0);
    strictEqual(sys.watch(LISTENER, 1), 0, "watching twice is no error");

    loopback(port);
    const connecting = sys.connect(1, 77, ARENA_SCRATCH, 0);
    strictEqual(connecting === 0 || connecting === -EINPROGRESS, true);
    event((what, who) => what === EventKind.Listener && who === LISTENER);
    const queue =
      () => [sys.listener_queue(LISTENER, QUEUE_WAITING), sys.listener_queue(LISTENER, QUEUE_MOST)];
    deepEqual(queue(), [1, 16]);
    strictEqual(sys.listener_queue(LISTENER, 2), -EBUG);
    const token = sys.accept(LISTENER);
    deepEqual(queue(), [0, 16]);
    strictEqual(token > 0, true);
    strictEqual(sys.accept(LISTENER), -EAGAIN);
    strictEqual(sys.room_open(ROOM, 4, 4, 4096), 0);
    strictEqual(sys.hand(token, CONTROL), -EBUG, "room 0 takes no traffic");
    strictEqual(sys.hand(token, ROOM), 0);
    strictEqual(sys.held(ROOM, 2), 1, "a newcomer waits in the other room");
    strictEqual(sys.reap(ROOM), 0, "no slot had it");
    strictEqual(sys.held(ROOM, 2), 1, "a newcomer survives a death");
    strictEqual(sys.room_close(ROOM), 0);

    const [what, who] = event((what) => what === 1);
    deepEqual([what, who], [1, 77], "slot and generation come back with the event");
    strictEqual(sys.outcome(1) <= 0, true);
    strictEqual(sys.close(1, 1), 0);
    strictEqual(sys.close(1, 1), -EBUG, "nothing is closed twice");
    strictEqual(sys.listener_close(LISTENER), 0);
  });

  it("a port where nobody listens refuses", () => {
    loopback(0);
    sys.listen(LISTENER, ARENA_SCRATCH, 0, 1, 0);
    sys.listener_address(LISTENER, ARENA_SCRATCH);
    sys.listener_close(LISTENER);
    const result = sys.connect(2, 1, ARENA_SCRATCH, 0);
    if (result === -EINPROGRESS) {
      event((what) => what === 2);
      strictEqual(errnoName(-sys.outcome(2)), errnoName(ECONNREFUSED));
      sys.close(2, 0);
    } else strictEqual(result, -ECONNREFUSED);
  });

  it("a pipe gives what was written, and says when it is full or empty", () => {
    const bytes = sys.pipe_open(1, 65_536);
    strictEqual(bytes >= 65_536, true);
    let written = 0, took = 0;
    while ((took = sys.pipe_write(1, ARENA_RECEIVE, 4_096)) > 0) written += took;
    strictEqual(took, -EAGAIN);
    strictEqual(written, bytes);
    strictEqual(sys.pipe_close(1), 0);
  });

  it("an expression is compiled, found and not found; a wrong one says where", () => {
    const put = (
      text: string,
      at: number,
    ) => (arenaBytes.set(new TextEncoder().encode(text), at), text.length);
    const pattern = sys.pattern_compile(ARENA_SCRATCH, put("^\\+P(O)+NG", ARENA_SCRATCH), ARENA_RECEIVE);
    strictEqual(pattern > 0, true);
    strictEqual(sys.pattern_match(pattern, ARENA_RECEIVE, put("+POOONG\r\n", ARENA_RECEIVE)), 1);
    strictEqual(sys.pattern_match(pattern, ARENA_RECEIVE, put("-ERR", ARENA_RECEIVE)), 0);
    strictEqual(sys.pattern_free(pattern), 0);
    strictEqual(sys.pattern_compile(ARENA_SCRATCH, put("a(b", ARENA_SCRATCH), ARENA_RECEIVE), -EINVAL);
    strictEqual(new DataView(arenaBytes.buffer).getInt32(ARENA_RECEIVE, true), 3);
  });

  it("the worst expression ends by its limit", () => {
    const put = (
      text: string,
      at: number,
    ) => (arenaBytes.set(new TextEncoder().encode(text), at), text.length);
    const pattern = sys.pattern_compile(ARENA_SCRATCH, put("(a+)+$", ARENA_SCRATCH), ARENA_RECEIVE);
    strictEqual(
      sys.pattern_match(pattern, ARENA_RECEIVE, put("a".repeat(60) + "b", ARENA_RECEIVE)) < 0,
      true,
    );
    sys.pattern_free(pattern);
  });

  it("a room that was left can be entered again, and only then closed", () => {
    strictEqual(sys.room_open(ROOM, 4, 4, 4096), 0);
    sys.leave();
    strictEqual(sys.enter(ROOM), 0);
    strictEqual(sys.room_close(ROOM), -EBUG);
    sys.leave();
    enterRoom(CONTROL);
    strictEqual(sys.room_close(ROOM), 0);
  });
});

function enterAgain(): void {
  sys.leave();
  enterRoom(CONTROL);
}
