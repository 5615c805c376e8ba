import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { Buffer } from "node:buffer";
import { before, describe, it } from "node:test";
import { LOG_LINES_BYTES } from "../../src/base/limits.ts";
import { FdSink } from "../../src/control/fd_sink.ts";
import type { Sink } from "../../src/control/log_sink.ts";
import { LogWriter, Round } from "../../src/control/log_writer.ts";
import { hostnameFit, SyslogSink } from "../../src/control/syslog_sink.ts";
import { LogRing } from "../../src/shared/log_ring.ts";
import { LogState } from "../../src/shared/log_state.ts";
import { EAGAIN, ECONNREFUSED, EMSGSIZE, ENOSPC, EPIPE } from "../../src/sys/errno.ts";
import { libraryPath } from "../../src/sys/library.ts";
import { FdKind, FdReady, type Kernel } from "../../src/sys/symbols.ts";
import { openLibrary, sys, useProvider } from "../../src/sys/sys.ts";

const FD = 77;
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
const bytesOf = (text: string) => new TextEncoder().encode(text);

let real: Kernel;
before(async () => {
  await openLibrary(libraryPath());
  real = sys;
});

/** A place of the test's own, instead of the kernel's. */
class Place {
  kind: FdKind = FdKind.File;
  ready = FdReady.Writable;
  /** What the next calls say: how many bytes are taken at most, or -errno. Then everything is taken. */
  answers: number[] = [];
  writes: string[] = [];
  connects: number[] = [];
  connected = 0;
  closed = 0;

  constructor() {
    const put: Kernel["log_write"] = (fd, before, beforeLength, ring, ringBytes, from, length) => {
      strictEqual(fd, FD);
      const all = textOf(before.subarray(0, beforeLength)) + textOf(ring.subarray(from, from + length)) +
        textOf(ring.subarray(0, Math.max(0, from + length - ringBytes)));
      const answer = this.answers.shift() ?? Infinity;
      if (answer < 0) return answer;
      this.writes.push(all.slice(0, answer));
      return Math.min(answer, all.length);
    };
    const kernel: Kernel = {
      ...real,
      log_kind: () => this.kind,
      log_ready: () => this.ready,
      log_write: put,
      log_send: put,
      log_connect: () => this.connects.shift() ?? (this.connected++, FD),
      log_outcome: () => 0,
      log_close: () => (this.closed++, 0),
    };
    useProvider({ kernel, arena: () => new ArrayBuffer(0) });
  }

  get text(): string {
    return this.writes.join("");
  }
}

function setUp(): { place: Place; state: LogState; ring: LogRing; ringMemory: SharedArrayBuffer } {
  const ringMemory = LogRing.make();
  return {
    place: new Place(),
    state: new LogState(LogState.make()),
    ring: new LogRing(ringMemory),
    ringMemory,
  };
}

/** Puts lines of these texts. */
function put(ring: LogRing, ...lines: string[]): void {
  strictEqual(ring.putLines(bytesOf(lines.map((line) => line + "\n").join(""))), true);
}

/** Takes everything, or nothing; or so many bytes of the lines and then nothing. */
class Taker implements Sink {
  text = "";
  most = Infinity;

  write(ring: LogRing, end: number): boolean {
    const from = ring.linesFrom, length = Math.min((end - from) | 0, this.most);
    this.text += textOf(ring.lines.subarray(from, from + length));
    this.most -= length;
    ring.readTo((from + length) | 0);
    return ((from + length) | 0) === end;
  }

  close(): void {}
}

describe("LogWriter", () => {
  it("writes every ring once around, and says when there was nothing", () => {
    const rings = [1, 2, 3].map(() => new LogRing(LogRing.make())), sink = new Taker();
    const writer = new LogWriter(rings, sink);
    strictEqual(writer.round(), Round.Idle);
    strictEqual(writer.hasLines, false);
    put(rings[2], "c");
    put(rings[0], "a", "b");
    strictEqual(writer.hasLines, true);
    strictEqual(writer.round(), Round.Wrote);
    strictEqual(sink.text, "a\nb\nc\n");
    strictEqual(writer.round(), Round.Idle);
  });

  it("goes on with the ring that got stuck, to where its lines ended then, so that all have their turn", () => {
    const rings = [1, 2].map(() => new LogRing(LogRing.make())), sink = new Taker();
    const writer = new LogWriter(rings, sink);
    put(rings[0], "aaaa");
    put(rings[1], "b");
    sink.most = 2; // in the middle of a line
    strictEqual(writer.round(), Round.Stuck);
    put(rings[0], "later");
    sink.most = Infinity;
    strictEqual(writer.round(), Round.Wrote);
    strictEqual(sink.text, "aaaa\nb\n");
    strictEqual(writer.round(), Round.Wrote);
    strictEqual(sink.text, "aaaa\nb\nlater\n");
  });
});

describe("FdSink", () => {
  it("a file takes all there is in one write, over the ring's end too", () => {
    const { place, state, ring } = setUp(), sink = new FdSink(FD, state);
    ring.words[3] = ring.words[4] = LOG_LINES_BYTES - 4; // head and tail
    ring.words[5] = ring.words[6] = LOG_LINES_BYTES - 4;
    const lines = Array.from({ length: 100 }, (_, line) => `line ${line}`);
    ring.lines.set(bytesOf("one\n"), LOG_LINES_BYTES - 4);
    ring.words[3] = LOG_LINES_BYTES;
    put(ring, ...lines);
    strictEqual(sink.write(ring, ring.linesEnd), true);
    deepStrictEqual(place.writes, ["one\n" + lines.join("\n") + "\n"]);
    strictEqual(ring.hasLines, false);
  });

  it("a pipe takes at most 4096 bytes of whole lines at once; a longer line goes alone", () => {
    const { place, state, ring } = setUp(), sink = new FdSink(FD, state);
    place.kind = FdKind.Pipe;
    put(ring, "a".repeat(3_000), "b".repeat(1_000), "c".repeat(200), "d".repeat(6_000), "e");
    strictEqual(sink.write(ring, ring.linesEnd), true);
    deepStrictEqual(place.writes.map(({ length }) => length), [4_002, 201, 6_001, 2]);
  });

  it("a pipe that is full keeps what it did not take in the ring, to the byte", () => {
    const { place, state, ring } = setUp(), sink = new FdSink(FD, state);
    place.kind = FdKind.Pipe;
    put(ring, "first line", "second line");
    const end = ring.linesEnd;
    place.ready = 0 as FdReady;
    strictEqual(sink.write(ring, end), false);
    place.ready = FdReady.Writable;
    place.answers = [4, -EAGAIN];
    strictEqual(sink.write(ring, end), false);
    strictEqual(ring.linesLeft, 2);
    strictEqual(sink.write(ring, end), true);
    strictEqual(place.text, "first line\nsecond line\n");
    deepStrictEqual([state.failure, state.lostLines], [0, 0]);
  });

  it("what fails is lost and counted; a line that was cut off is ended before the next", () => {
    const { place, state, ring } = setUp(), sink = new FdSink(FD, state);
    put(ring, "whole", "cut off", "gone");
    place.answers = [9, -ENOSPC];
    strictEqual(sink.write(ring, ring.linesEnd), true);
    deepStrictEqual([state.failure, state.lostLines, ring.hasLines], [ENOSPC, 2, false]);
    put(ring, "gone too");
    place.answers = [-ENOSPC];
    sink.write(ring, ring.linesEnd);
    put(ring, "next");
    place.answers = [1]; // no more than the newline
    sink.write(ring, ring.linesEnd);
    put(ring, "last");
    sink.write(ring, ring.linesEnd);
    strictEqual(place.text, "whole\ncut\nnext\nlast\n");
    strictEqual(state.lostLines, 3);
  });

  it("a failure ends only once writing has gone well for a second", async () => {
    const { place, state, ring } = setUp(), sink = new FdSink(FD, state);
    const write = (...answers: number[]) => {
      put(ring, "line");
      place.answers = answers;
      sink.write(ring, ring.linesEnd);
    };
    write(-EPIPE);
    write();
    strictEqual(state.failure, EPIPE);
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    strictEqual(state.failure, EPIPE, "nothing was tried");
    write();
    strictEqual(state.failure, 0);
  });
});

describe("SyslogSink", () => {
  const birth = { kind: "syslog", transport: "unix", hostname: "door", pid: 42 } as const;
  const HEAD = /<134>1 [0-9-]{10}T[0-9:.]{12}Z door sluice 42 access - /;

  function syslog(transport: "unix" | "udp" | "tcp" = "unix") {
    const given = setUp();
    given.state.putAddress(new Uint8Array(112).fill(1));
    return { ...given, sink: new SyslogSink({ ...birth, transport }, given.state) };
  }

  it("one message for each line, without its newline", () => {
    const { place, ring, sink } = syslog();
    put(ring, "one", "two");
    strictEqual(sink.write(ring, ring.linesEnd), true);
    strictEqual(place.writes.length, 2);
    match(place.writes[0], new RegExp(`^${HEAD.source}one$`));
    match(place.writes[1], new RegExp(`^${HEAD.source}two$`));
  });

  it("a stream has counted octets, and each message goes on where it was cut", () => {
    const { place, ring, sink } = syslog("tcp");
    put(ring, "one", "x".repeat(2_000));
    place.answers = [1, 5, -EAGAIN];
    strictEqual(sink.write(ring, ring.linesEnd), false);
    place.answers = [54, 1, 1, 70, 5];
    while (!sink.write(ring, ring.linesEnd));
    let rest = place.text;
    for (const line of ["one", "x".repeat(2_000)]) {
      const [, count] = /^([0-9]+) /.exec(rest)!;
      const from = count.length + 1, end = from + Number(count);
      match(rest.slice(from, end), new RegExp(`^${HEAD.source}${line}$`));
      rest = rest.slice(end);
    }
    strictEqual(rest, "");
    strictEqual(ring.hasLines, false);
  });

  it("a connection that breaks in a message: it comes again, whole, on the next", () => {
    const { place, state, ring, sink } = syslog("tcp");
    put(ring, "one");
    place.answers = [20, -EPIPE];
    strictEqual(sink.write(ring, ring.linesEnd), false);
    strictEqual(place.closed, 1);
    strictEqual(state.failure, EPIPE);
    strictEqual(ring.linesLeft, 1, "it is still there");
    place.writes = [];
    const fromMs = performance.now();
    while (!sink.write(ring, ring.linesEnd));
    const waitedMs = performance.now() - fromMs;
    strictEqual(waitedMs > 900 && waitedMs < 5_000, true, `tried again after ${waitedMs} ms`);
    match(place.text, new RegExp(`^[0-9]+ ${HEAD.source}one$`));
    strictEqual(state.lostLines, 0);
  });

  it("the other end is gone before anything is sent: a new connection, and nobody is told", () => {
    const { place, state, ring, sink } = syslog("tcp");
    place.ready = FdReady.Writable | FdReady.Gone;
    put(ring, "one");
    const end = ring.linesEnd;
    sink.write(ring, end);
    strictEqual(place.closed, 1);
    place.ready = FdReady.Writable;
    while (!sink.write(ring, end));
    strictEqual(place.connected, 2);
    strictEqual(state.failure, 0);
  });

  it("UDP that is refused has lost the line before; one that is too long is lost alone", () => {
    const { place, state, ring, sink } = syslog("udp");
    put(ring, "one", "two", "three");
    place.answers = [Infinity, -EMSGSIZE, -ECONNREFUSED];
    strictEqual(sink.write(ring, ring.linesEnd), false);
    strictEqual(state.lostLines, 2);
    strictEqual(ring.linesLeft, 1);
  });

  it("another address means another connection", () => {
    const { place, state, ring, sink } = syslog();
    put(ring, "one");
    sink.write(ring, ring.linesEnd);
    state.putAddress(new Uint8Array(112).fill(2));
    put(ring, "two");
    while (!sink.write(ring, ring.linesEnd));
    deepStrictEqual([place.connected, place.closed], [2, 1]);
  });

  it("a machine's name that HOSTNAME cannot take is left out", () => {
    const cases: [name: string, want: string][] = [
      ["door", "door"],
      ["", "-"],
      ["two words", "-"],
      ["tür", "-"],
      ["x".repeat(300), "x".repeat(255)],
    ];
    for (const [name, want] of cases) strictEqual(hostnameFit(name), want, name);
  });
});
