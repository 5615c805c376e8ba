// The table of flows: found by all that tells them apart and by nothing else, through any order of coming and going.
import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { NONE } from "../../src/base/limits.ts";
import { randomSeed } from "../../src/base/random.ts";
import {
  flowAddress,
  flowAnswered,
  flowFind,
  flowHash,
  flowOldest,
  flowPut,
  flowRemove,
  flowsCheck,
  flowsOpen,
  flowsTaken,
  isSameFlow,
} from "../../src/net/flows.ts";
import { makeTable } from "../../src/shared/columns.ts";
import { FLOWS } from "../../src/shared/tables.ts";
import { DatagramAt } from "../../src/sys/symbols.ts";
import { Random } from "../sim/random.ts";

const ROWS = 64;
const RECORD_INTS = 16;

function open(seed = 1, rows = ROWS): void {
  randomSeed(seed);
  flowsOpen(makeTable(FLOWS, rows), rows);
}

/** The record of a datagram. */
function record(client: number, own = 0, port = 4_000): Int32Array {
  const ints = new Int32Array(RECORD_INTS);
  ints[DatagramAt.Client] = 4 | port << 16;
  ints[DatagramAt.Client + 1] = client;
  ints[DatagramAt.Own] = own === 0 ? 0 : 4;
  ints[DatagramAt.Own + 1] = own;
  return ints;
}

function put(slot: number, ints: Int32Array, socket = 0): void {
  strictEqual(flowFind(ints, 0, socket), NONE);
  flowPut(slot, ints, 0, socket);
}

describe("a flow", () => {
  beforeEach(() => open());

  it("is found by client, by our address, and by listening socket", () => {
    put(3, record(1, 7), 5);
    strictEqual(flowFind(record(1, 7), 0, 5), 3);
    const others: [ints: Int32Array, socket: number, why: string][] = [
      [record(2, 7), 5, "another client"],
      [record(1, 7, 4_001), 5, "another port of it"],
      [record(1, 8), 5, "another address of ours"],
      [record(1), 5, "ours is not told"],
      [record(1, 7), 6, "another socket"],
    ];
    for (const [ints, socket, why] of others) strictEqual(flowFind(ints, 0, socket), NONE, why);
    for (let word = 1; word < 5; word++) { // all of an IPv6 address
      const ints = record(1, 7);
      ints[DatagramAt.Client + word] ^= 1 << 31;
      strictEqual(flowFind(ints, 0, 5), NONE, `bit of word ${word}`);
    }
  });

  it("does not hang on the interface that our own address is on", () => {
    put(3, record(1, 7));
    const elsewhere = record(1, 7);
    elsewhere[DatagramAt.Own + 5] = 2;
    strictEqual(flowFind(elsewhere, 0, 0), 3);
    strictEqual(isSameFlow(Int32Array.of(...record(1, 7), ...elsewhere), 0, RECORD_INTS), true);
    strictEqual(isSameFlow(Int32Array.of(...record(1, 7), ...record(1, 8)), 0, RECORD_INTS), false);
  });

  it("keeps its addresses for its record when it is taken out", () => {
    put(3, record(1, 7));
    flowRemove(3);
    strictEqual(flowFind(record(1, 7), 0, 0), NONE);
    deepStrictEqual([...flowAddress.subarray(36, 48)], [...record(1, 7).subarray(4)]);
  });

  it("is hashed by keys that nobody can know beforehand", () => {
    put(3, record(1, 7));
    const before = flowHash[3];
    open(2);
    put(3, record(1, 7));
    notStrictEqual(flowHash[3], before);
  });
});

describe("flows without an answer", () => {
  beforeEach(() => open());

  it("give way in the order in which they came; one that was answered never", () => {
    for (let slot = 1; slot <= 4; slot++) put(slot, record(slot));
    strictEqual(flowOldest(), 1);
    flowAnswered(1);
    flowAnswered(1);
    strictEqual(flowOldest(), 2);
    flowRemove(3);
    flowRemove(2);
    strictEqual(flowOldest(), 4);
    flowRemove(4);
    strictEqual(flowOldest(), NONE);
    flowRemove(1);
    flowsCheck();
  });
});

describe("the table", () => {
  it("finds exactly what is in it, whatever comes and goes", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Random(seed), rows = random.pick([4, 16, ROWS, 1_024]);
      open(seed, rows);
      // Few clients, so that they come again; few bits that differ, so that hashes have something to do.
      const clients = Array.from(
        { length: rows },
        (_, nth) => record(random.below(2) << 31 | nth, random.below(3), random.between(1, 3)),
      );
      const known = new Map<number, number>(), free = Array.from({ length: rows - 1 }, (_, slot) => slot + 1);
      const order: number[] = [];
      for (let step = 0; step < 400; step++) {
        const client = random.below(clients.length), socket = client % 3, slot = known.get(client);
        strictEqual(flowFind(clients[client], 0, socket), slot ?? NONE, `seed ${seed}, step ${step}`);
        if (slot === undefined && known.size < rows / 2) {
          const taken = free.splice(random.below(free.length), 1)[0];
          flowPut(taken, clients[client], 0, socket);
          known.set(client, taken);
          order.push(taken);
        } else if (slot !== undefined && random.below(2) === 0) {
          flowRemove(slot);
          known.delete(client);
          free.push(slot);
          if (order.includes(slot)) order.splice(order.indexOf(slot), 1);
        } else if (slot !== undefined) {
          flowAnswered(slot);
          if (order.includes(slot)) order.splice(order.indexOf(slot), 1);
        }
        strictEqual(flowOldest(), order[0] ?? NONE, `seed ${seed}, step ${step}`);
        strictEqual(flowsTaken(), known.size);
        flowsCheck();
      }
    }
  });

  it("spreads the addresses of a network over its buckets", () => {
    const rows = 1 << 15, count = rows / 2;
    open(7, rows);
    const buckets = new Uint32Array(rows);
    for (let nth = 0; nth < count; nth++) {
      put(nth + 1, record(nth << 8, 1, 53));
      buckets[flowHash[nth + 1] & (rows - 1)]++;
    }
    // As balls in bins: at half a ball for each bin, more than 9 in one has a probability below 1e-5.
    strictEqual(buckets.reduce((most, balls) => Math.max(most, balls)) <= 9, true);
    flowsCheck();
  });
});
