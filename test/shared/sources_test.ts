import { deepEqual, equal, notEqual, ok } from "node:assert/strict";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { NONE } from "../../src/base/limits.ts";
import { bucketTake } from "../../src/shared/buckets.ts";
import {
  makeSources,
  openSources,
  sourceEnter,
  sourceExit,
  sourceFind,
  sourceGive,
  sourceIsIdle,
  sourceKey,
  sourceLock,
  type Sources,
  SOURCES_FIRST,
  sourcesRest,
  sourcesUnlock,
  sourceTake,
  sourceUnlock,
} from "../../src/shared/sources.ts";
import type { Race } from "./racer.ts";

const LIMITER = 7;

function v4(...ip: number[]): Uint8Array {
  return Uint8Array.from([4, 0, 9, 9, ...ip, ...Array(16).fill(0)]);
}

function v6(first: number, last: number): Uint8Array {
  const record = new Uint8Array(24);
  record[0] = 6;
  record[4] = 0x20;
  record[5] = first;
  record[19] = last;
  return record;
}

function take(
  sources: Sources,
  record: Uint8Array,
  { of = LIMITER, bits4 = 32, bits6 = 128, now = 1 } = {},
): number {
  ok(sourceKey(sources, of, record, 0, bits4, bits6));
  ok(sourceLock(sources, 1));
  const row = sourceTake(sources, now);
  sourceUnlock(sources);
  equal(sourceFind(sources), row);
  return row;
}

describe("sources", () => {
  it("the same address of the same limiter is the same source; its port is nothing", () => {
    const sources = openSources(makeSources(1, 1)), row = take(sources, v4(192, 0, 2, 1));
    ok(row >= SOURCES_FIRST);
    equal(take(sources, Uint8Array.from([4, 0, 1, 2, 192, 0, 2, 1, ...Array(16).fill(0)])), row);
    notEqual(take(sources, v4(192, 0, 2, 2)), row);
    notEqual(take(sources, v4(192, 0, 2, 1), { of: LIMITER + 1 }), row);
    equal(sources.sourceLimiter[row], LIMITER);
  });

  it("addresses that differ only behind the prefix are one source, of each family by itself", () => {
    const sources = openSources(makeSources(1, 1)), short = { bits4: 24, bits6: 16 };
    const four = take(sources, v4(192, 0, 2, 1), short), six = take(sources, v6(1, 1), short);
    equal(take(sources, v4(192, 0, 2, 200), short), four);
    notEqual(take(sources, v4(192, 0, 3, 1), short), four);
    equal(take(sources, v6(1, 99), short), six);
    notEqual(take(sources, v6(2, 1), short), six);
    notEqual(take(sources, v4(192, 0, 2, 0), { bits4: 32 }), four, "a single address is no prefix");
    for (let bits4 = 1; bits4 <= 32; bits4++) {
      const row = take(sources, v4(255, 255, 255, 255), { bits4 });
      equal(take(sources, v4(...flipped(bits4)), { bits4 }) === row, bits4 < 32, `${bits4} bits`);
    }
  });

  it("who has no address is nobody's source", () => {
    const sources = openSources(makeSources(1, 1));
    equal(sourceKey(sources, LIMITER, Uint8Array.from([1, ...Array(23).fill(0)]), 0, 32, 128), false);
    equal(sourceKey(sources, LIMITER, new Uint8Array(24), 0, 32, 128), false);
  });

  it("counts connections up to the limit, and gives them back with those of the limiter", () => {
    const sources = openSources(makeSources(1, 1)), row = take(sources, v4(10, 0, 0, 1));
    ok(sourceEnter(sources, row, 2) && sourceEnter(sources, row, 2));
    equal(sourceEnter(sources, row, 2), false);
    for (let nth = 0; nth < 2; nth++) sourceEnter(sources, LIMITER, 0);
    sourceGive(sources, row);
    deepEqual([sources.sourceConnections[row], sources.sourceConnections[LIMITER]], [1, 1]);
    ok(sourceEnter(sources, row, 2));
    sourceGive(sources, NONE);
    sourceExit(sources, LIMITER);
    deepEqual([sources.sourceConnections[row], sources.sourceConnections[LIMITER]], [2, 0]);
  });

  it("a full table has no row for another source, until one of those in it has nothing on it", () => {
    const sources = openSources(makeSources(1, 5)), rows: number[] = [];
    let refused = 0;
    for (let nth = 0; nth < 4 * 16_384; nth++) {
      const row = take(sources, v4(10, nth >> 16, nth >> 8, nth));
      if (row === NONE) refused++;
      else if (sourceEnter(sources, row, 0)) rows.push(row);
    }
    equal(new Set(rows).size, rows.length, "no row has two sources");
    ok(rows.length > 16_000 && rows.length <= 16_384, `${rows.length} rows`);
    equal(refused, 4 * 16_384 - rows.length);
    for (const row of rows) sourceExit(sources, row);
    for (let nth = 0; nth < 1_000; nth++) notEqual(take(sources, v4(11, 0, nth >> 8, nth)), NONE);
  });

  it("a row stays its source's while a bucket is not full, though nobody is connected", () => {
    const sources = openSources(makeSources(1, 1)), now = 1_000_000;
    const row = take(sources, v4(10, 0, 0, 1), { now });
    ok(sourceIsIdle(sources, row, now));
    bucketTake(sources.sourceNew, row, now, 200, 5);
    equal(sourceIsIdle(sources, row, now), false);
    ok(sourceIsIdle(sources, row, now + 400));
    sourcesRest(sources, now);
    notEqual(sources.sourceNew[row], 0);
    sourcesRest(sources, now + 400);
    equal(sources.sourceNew[row], 0);
  });

  it("the lock of a reactor that died is free again, that of another is not", () => {
    const sources = openSources(makeSources(1, 1));
    ok(sourceKey(sources, LIMITER, v4(1, 2, 3, 4), 0, 32, 128));
    ok(sourceLock(sources, 3));
    sourcesUnlock(sources, 2);
    equal(sourceLock(sources, 4), false, "whoever waits gives up in the end");
    sourcesUnlock(sources, 3);
    ok(sourceLock(sources, 4));
  });

  it("two threads never have more than the limit together, and give back all", async () => {
    const memory = makeSources(1, 1), words = new SharedArrayBuffer(8), sources = openSources(memory);
    const race = { memory, rounds: 60_000, sources: 5, most: 3, words };
    await Promise.all([1, 2, 3].map((room) => run({ ...race, room })));
    equal(new Int32Array(words)[0], 0, "a source was above its limit");
    equal(sources.sourceConnections.reduce((sum, count) => sum + count, 0), 0);
    const used = [...sources.sourceHash].filter((hash) => hash !== 0).length;
    equal(used, 5, "a source has one row, whoever comes first");
  });
});

/** 255.255.255.255 with the first bit behind a prefix the other way. */
function flipped(bits: number): number[] {
  const ip = [255, 255, 255, 255];
  if (bits < 32) ip[bits >> 3] ^= 0x80 >> (bits & 7);
  else ip[3] ^= 1;
  return ip;
}

function run(race: Race): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./racer.ts", import.meta.url), { workerData: race });
    worker.on("message", () => resolve());
    worker.on("error", reject);
  });
}
