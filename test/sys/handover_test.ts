// ffi/handover.c through this runtime's FFI: messages with descriptors, sealed memory, programs, at their edges. What
// upgrades do with it is tested with the executable.
import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { CONTROL_ARENA_BYTES } from "../../src/base/limits.ts";
import { EAGAIN, EBADF, EBUG, EMSGSIZE, ENOENT, EPERM, EPIPE } from "../../src/sys/errno.ts";
import { libraryPath } from "../../src/sys/library.ts";
import { enterRoom, openLibrary, sys } from "../../src/sys/sys.ts";
import { openFds } from "../support/status.ts";
import { until } from "../support/waiting.ts";

const CONTROL = 0, FDS_MAX = 253;
const text = (words: readonly string[]) =>
  new TextEncoder().encode(words.map((word) => `${word}\0`).join(""));
const bytesOf = (ints: Int32Array) => new Uint8Array(ints.buffer);
const into = new Uint8Array(64), fds = new Int32Array(1 + FDS_MAX), none = new Uint8Array(4);

function pair(): [number, number] {
  const ends = new Int32Array(2);
  strictEqual(sys.handover_pair(bytesOf(ends)), 0);
  return [ends[0], ends[1]];
}

function receive(fd: number): [bytes: number, fds: number[]] {
  const bytes = sys.handover_recv(fd, into, into.length, bytesOf(fds));
  return [bytes, bytes < 0 ? [] : [...fds.subarray(1, 1 + fds[0])]];
}

describe("handover", () => {
  let open: readonly string[] = [];
  before(async () => {
    await openLibrary(libraryPath());
    strictEqual(sys.setup() > 0, true);
    strictEqual(sys.room_open(CONTROL, 8, 4, CONTROL_ARENA_BYTES), 0);
    enterRoom(CONTROL);
    open = openFds(process.pid);
  });
  after(() => {
    deepStrictEqual(openFds(process.pid).length, open.length, "nothing stays open");
    sys.leave();
    sys.room_close(CONTROL);
  });

  it("messages keep their borders and bring descriptors, as many as one may carry", () => {
    const [one, other] = pair(), file = openSync("/dev/null", "r");
    strictEqual(receive(other)[0], -EAGAIN);
    strictEqual(sys.handover_send(one, text(["a"]), 2, none, 0), 0);
    const sent = new Int32Array(FDS_MAX).fill(file);
    strictEqual(sys.handover_send(one, text(["bcd"]), 4, bytesOf(sent), FDS_MAX), 0);
    deepStrictEqual(receive(other), [2, []]);
    const [bytes, came] = receive(other);
    deepStrictEqual([bytes, came.length, new Set(came).size], [4, FDS_MAX, FDS_MAX]);
    for (const fd of came) strictEqual(sys.handover_close(fd), 0);
    strictEqual(sys.handover_send(one, text(["x"]), 2, bytesOf(new Int32Array([1_000_000])), 1), -EBADF);
    strictEqual(sys.handover_send(one, new Uint8Array(65), 65, bytesOf(sent), 1), 0);
    strictEqual(receive(other)[0], -EMSGSIZE, "longer than there is room for; what came with it is closed");
    strictEqual(sys.handover_close(one), 0);
    deepStrictEqual(receive(other), [0, []]);
    strictEqual(sys.handover_send(other, text(["x"]), 2, none, 0), -EPIPE);
    strictEqual(sys.handover_close(other), 0);
    closeSync(file);
  });

  it("a receiver that does not read is told as no room", () => {
    const [one, other] = pair();
    let result = 0, sent = 0;
    for (; result === 0 && sent < 100_000; sent++) {
      result = sys.handover_send(one, new Uint8Array(1_024), 1_024, none, 0);
    }
    strictEqual(result, -EAGAIN);
    sys.handover_close(one);
    sys.handover_close(other);
  });

  it("memory is sealed: who gets it can read it and not change it", () => {
    const fd = sys.memfd_make(text(["hello"]), 6);
    strictEqual(fd > 2, true);
    strictEqual(sys.memfd_bytes(fd), 6);
    strictEqual(sys.memfd_read(fd, into, 64, 1), 5);
    strictEqual(new TextDecoder().decode(into.subarray(0, 4)), "ello");
    strictEqual(sys.memfd_read(fd, into, 64, 6), 0);
    const again = openSync(`/proc/self/fd/${fd}`, "r+");
    for (
      const change of [
        () => writeSync(again, "x", 0),
        () => ftruncateSync(again, 1),
        () => ftruncateSync(again, 100),
      ]
    ) {
      throws(change, { code: "EPERM" });
    }
    closeSync(again);
    sys.handover_close(fd);
    const file = openSync("/dev/null", "r");
    strictEqual(sys.memfd_bytes(file), -EPERM, "whoever made it may still change it");
    closeSync(file);
  });

  it("a program has its words, its environment, descriptor 3, and nothing else of ours", async () => {
    const [one, other] = pair(), leak = openSync("/dev/null", "r");
    const script = 'echo "$0 $1 $A" >&3; exec sleep 30';
    const words = text(["/bin/sh", "sh", "-c", script, "zero", "one"]),
      env = text(["A=b", "PATH=/usr/bin:/bin"]);
    const pid = sys.spawn(words, words.length, env, env.length, other);
    strictEqual(pid > 0, true, `${pid}`);
    sys.handover_close(other);
    const said = await until("it to speak", () => {
      const [bytes] = receive(one);
      return Promise.resolve(bytes > 0 ? new TextDecoder().decode(into.subarray(0, bytes)) : undefined);
    });
    strictEqual(said, "zero one b\n");
    await until(
      "it to be but one program",
      () => Promise.resolve(openFds(pid).length === 4 ? true : undefined),
    );
    strictEqual(sys.spawned(pid), -EAGAIN);
    process.kill(pid, "SIGTERM");
    const { status } = await until("it to end", () => {
      const status = sys.spawned(pid);
      return Promise.resolve(status === -EAGAIN ? undefined : { status });
    });
    strictEqual(status, 256 + 15);
    strictEqual(sys.spawned(pid) < 0, true, "it is nobody's number now");
    sys.handover_close(one);
    closeSync(leak);
  });

  it("what cannot be started, and what broke a contract", () => {
    const [one, other] = pair(), words = text(["/nowhere", "x"]);
    strictEqual(sys.spawn(words, words.length, none, 0, other), -ENOENT);
    strictEqual(sys.spawn(words, words.length, none, 0, 2), -EBUG, "a standard stream is not to be kept");
    strictEqual(sys.handover_close(1), -EBUG);
    strictEqual(sys.listener_fd(0), -EBUG);
    strictEqual(sys.slot_fd(CONTROL, 1), -ENOENT);
    strictEqual(sys.slot_fd(CONTROL, 0), -EBUG);
    strictEqual(sys.handover_take(one), 0);
    sys.handover_close(one);
    sys.handover_close(other);
    strictEqual(sys.handover_take(one), -EBADF);
  });
});
