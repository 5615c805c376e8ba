import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Buffer } from "node:buffer";
import { LOG_LINES_BYTES, LOG_LINES_NEAR_BYTES, LOG_RECORDS } from "../../src/base/limits.ts";
import { Field, LogRing } from "../../src/shared/log_ring.ts";
import { LogState } from "../../src/shared/log_state.ts";

function put(ring: LogRing, detail: number): boolean {
  const row = ring.room();
  if (row < 0) return false;
  ring.numbers[row + Field.Detail] = detail;
  ring.setPeer(row, Uint8Array.from({ length: 24 }, (_, byte) => detail + byte), 0);
  ring.push();
  return true;
}

function take(ring: LogRing): number[] {
  const details: number[] = [];
  ring.drain((numbers, peer) => {
    details.push(numbers[Field.Detail]);
    strictEqual(peer[23], (numbers[Field.Detail] + 23) & 0xff, "the peer is of the same record");
  });
  return details;
}

describe("LogRing", () => {
  it("gives records in order, over the ring's end and again", () => {
    const memory = LogRing.make(), writer = new LogRing(memory), reader = new LogRing(memory);
    let next = 0;
    for (let round = 0; round < 5; round++) {
      const want = Array.from({ length: LOG_RECORDS - 7 }, () => next++);
      for (const detail of want) strictEqual(put(writer, detail), true);
      deepEqual(take(reader), want);
    }
  });

  it("refuses the record that has no room, and loses none that had", () => {
    const memory = LogRing.make(), writer = new LogRing(memory), reader = new LogRing(memory);
    for (let detail = 0; detail < LOG_RECORDS; detail++) put(writer, detail);
    strictEqual(put(writer, -1), false);
    strictEqual(take(reader).length, LOG_RECORDS);
    strictEqual(put(writer, 1), true);
  });

  it("a record is not seen before it is pushed", () => {
    const memory = LogRing.make(), writer = new LogRing(memory), reader = new LogRing(memory);
    writer.numbers[writer.room() + Field.Detail] = 1;
    deepEqual(take(reader), []);
  });

  it("the bell wakes a reader, and never sleeps over what is there", async () => {
    const memory = LogRing.make(), writer = new LogRing(memory), reader = new LogRing(memory);
    put(writer, 1);
    await reader.bell(60_000); // at once: there is something
    take(reader);
    const alive = setInterval(() => {}, 1_000); // Deno ends a process that only waits for a bell
    const woken = reader.bell(60_000);
    put(writer, 2);
    writer.ring();
    await woken;
    clearInterval(alive);
    deepEqual(take(reader), [2]);
  });

  it("after a death the replacement goes on where the ring stands", () => {
    const memory = LogRing.make(), reader = new LogRing(memory);
    put(new LogRing(memory), 1);
    put(new LogRing(memory), 2);
    deepEqual(take(reader), [1, 2]);
  });
});

const NEAR = LOG_LINES_NEAR_BYTES;

/** Bytes that `putLine` may read three bytes behind the end of. */
const page = new Uint8Array(1 << 16), pageWords = new DataView(page.buffer);

/** Puts `text` as a reactor does. */
function putLine(ring: LogRing, text: string): boolean {
  const { written } = new TextEncoder().encodeInto(text, page);
  return ring.putLine(page, pageWords, 0, written);
}

function takeLines(ring: LogRing): string {
  let text = "";
  ring.drainLines((bytes) => text += Buffer.from(bytes).toString("latin1"));
  return text;
}

/** Moves both ends to `position` of an empty ring, as traffic would. */
function moveTo(ring: LogRing, position: number): void {
  ring.words[LINES_HEAD] =
    ring.words[LINES_TAIL] =
    ring.words[GAP_AT] =
    ring.words[GAP_END] =
      position;
}
const LINES_HEAD = 3, LINES_TAIL = 4, GAP_AT = 5, GAP_END = 6;

describe("lines of a LogRing", () => {
  it("come out whole and in order, over the ring's end and over 2^32 positions", () => {
    for (const start of [0, LOG_LINES_BYTES - 10, 2 ** 31 - 10, -10]) {
      const memory = LogRing.make(), writer = new LogRing(memory), reader = new LogRing(memory);
      moveTo(writer, start);
      let want = "";
      for (let line = 0; line < 100; line++) {
        want += `line ${line}\n`;
        strictEqual(putLine(writer, `line ${line}\n`), true);
      }
      strictEqual(writer.putLines(new TextEncoder().encode("more\nlines\n")), true);
      strictEqual(takeLines(reader), want + "more\nlines\n", `from ${start}`);
      strictEqual(reader.hasLines, false);
    }
  });

  it("a line that has no room is refused, whatever the ring's state, and nothing else is lost", () => {
    const memory = LogRing.make(), writer = new LogRing(memory), reader = new LogRing(memory);
    const line = "x".repeat(60_000) + "\n";
    for (let round = 0; round < 3; round++) {
      putLine(writer, "first\n");
      let lines = 0;
      while (putLine(writer, line)) lines++;
      strictEqual(lines, Math.floor((LOG_LINES_BYTES - 10) / line.length));
      strictEqual(writer.putLines(new TextEncoder().encode(line)), false);
      strictEqual(reader.linesLeft, lines + 1);
      const text = takeLines(reader);
      strictEqual(text.length, 6 + lines * line.length);
      strictEqual(text.endsWith(line), true);
    }
    strictEqual(writer.putLines(new Uint8Array(LOG_LINES_BYTES)), false, "more than a whole ring");
  });

  it("a reader that keeps up lets the ring begin anew, and its far end is never touched", () => {
    const memory = LogRing.make(), writer = new LogRing(memory), reader = new LogRing(memory);
    const line = "x".repeat(999) + "\n";
    for (let round = 0; round < 3 * LOG_LINES_BYTES / line.length; round++) {
      strictEqual(putLine(writer, line), true);
      if (round % 50 === 49) strictEqual(takeLines(reader), line.repeat(50));
    }
    strictEqual(reader.lines.subarray(NEAR + 51 * line.length).every((byte) => byte === 0), true);
  });

  it("the place that was skipped is room again, even before the reader has looked", () => {
    const memory = LogRing.make(), writer = new LogRing(memory), reader = new LogRing(memory);
    moveTo(writer, NEAR + 5);
    const line = "x".repeat(60_000) + "\n";
    let lines = 0;
    while (putLine(writer, line)) lines++;
    strictEqual(lines, Math.floor((LOG_LINES_BYTES - 4) / line.length), "all of it");
    strictEqual(reader.linesFrom & (LOG_LINES_BYTES - 1), 0);
    strictEqual(putLine(writer, line), false, "no more after the reader has skipped it too");
    strictEqual(takeLines(reader), line.repeat(lines));
  });

  it("a gap that was skipped once is never skipped again", () => {
    const memory = LogRing.make(), writer = new LogRing(memory), reader = new LogRing(memory);
    const start = NEAR + 100;
    moveTo(writer, start);
    putLine(writer, "one\n");
    strictEqual(takeLines(reader), "one\n");
    strictEqual(writer.words[LINES_HEAD], LOG_LINES_BYTES + 4, "the ring began anew");
    writer.words[LINES_TAIL] = start; // 4 GiB later
    writer.words[LINES_HEAD] = start + 4;
    strictEqual(reader.linesFrom, start);
  });

  it("endOfLines cuts between lines, and takes one that is longer alone", () => {
    const memory = LogRing.make(), ring = new LogRing(memory);
    moveTo(ring, LOG_LINES_BYTES - 20); // over the end
    for (const text of ["aaaaaaaaa\n", "bbbbbbbbb\n", "ccccccccccccccc\n", "d\n"]) putLine(ring, text);
    const from = ring.linesFrom, end = ring.linesEnd;
    const cases: [from: number, most: number, length: number][] = [
      [0, 100, 38],
      [0, 38, 38],
      [0, 37, 36],
      [0, 29, 20],
      [0, 20, 20],
      [0, 19, 10],
      [0, 5, 10],
      [20, 10, 16],
    ];
    for (const [skip, most, length] of cases) {
      strictEqual(ring.endOfLines(from + skip, end, most) - from - skip, length, `${skip}, ${most}`);
    }
    strictEqual(ring.countLines(from, end), 4);
    strictEqual(ring.linesLeft, 4);
  });

  it("ring wakes the log Worker's bell for lines, and the other one for records", () => {
    const stateMemory = LogState.make(), state = new LogState(stateMemory);
    const writer = new LogRing(LogRing.make(), new LogState(stateMemory));
    const words = new Int32Array(stateMemory);
    words[0] = 1; // the Worker sleeps
    put(writer, 1);
    writer.ring();
    strictEqual(words[0], 1, "nothing for it");
    putLine(writer, "line\n");
    strictEqual(words[0], 1, "not before the ring");
    writer.ring();
    strictEqual(words[0], 0);
    words[0] = 1;
    writer.ring();
    strictEqual(words[0], 1, "once for each");
    state.sleep(() => true, 60_000); // at once: there is something
    state.leave();
    state.sleep(() => false, 60_000); // at once: it is to leave
    strictEqual(state.leaving, true);
  });
});

describe("LogState", () => {
  it("an address is never half of one and half of another", () => {
    const memory = LogState.make(), writer = new LogState(memory), reader = new LogState(memory);
    const record = new Uint8Array(112);
    strictEqual(reader.getAddress(record), 0);
    writer.putAddress(new Uint8Array(112).fill(7));
    const version = reader.getAddress(record);
    strictEqual(version, reader.addressVersion);
    strictEqual(record.every((byte) => byte === 7), true);
    new Int32Array(memory)[4]++; // it is being changed
    strictEqual(reader.getAddress(record), -1);
  });

  it("failureChange resolves at a change, and at once when it was missed", async () => {
    const memory = LogState.make(), worker = new LogState(memory), watcher = new LogState(memory);
    const alive = setInterval(() => {}, 1_000);
    const change = watcher.failureChange(0, 60_000);
    worker.failure = 28;
    await change;
    await watcher.failureChange(0, 60_000);
    clearInterval(alive);
    strictEqual(watcher.failure, 28);
    worker.lose(3);
    strictEqual(watcher.lostLines, 3);
  });
});
