import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { LOG_RECORDS } from "../../src/base/limits.ts";
import { Field, LogRing } from "../../src/shared/log_ring.ts";

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
