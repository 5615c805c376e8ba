// A thread that opens and closes connections of a few sources as fast as it can, as reactors do.
import { parentPort, workerData } from "node:worker_threads";
import {
  openSources,
  sourceEnter,
  sourceGive,
  sourceKey,
  sourceLock,
  type SourcesMemory,
  sourceTake,
  sourceUnlock,
} from "../../src/shared/sources.ts";

export interface Race {
  readonly memory: SourcesMemory;
  readonly room: number;
  readonly rounds: number;
  /** Sources that come at once, and connections that each may have. */
  readonly sources: number;
  readonly most: number;
  /** Words: how often a source was seen above its limit; how many threads are done. */
  readonly words: SharedArrayBuffer;
}

const { memory, room, rounds, sources: count, most, words } = workerData as Race;
const sources = openSources(memory), told = new Int32Array(words);
const held: number[] = [];
const record = new Uint8Array(24);
let state = room;
for (let round = 0; round < rounds; round++) {
  state = Math.imul(state, 1_103_515_245) + 12_345 | 0;
  const who = (state >>> 16) % count;
  record[0] = 4;
  record[6] = who >> 8;
  record[7] = who;
  if (!sourceKey(sources, 1, record, 0, 32, 128) || !sourceLock(sources, room)) throw new Error("no lock");
  const row = sourceTake(sources, round);
  if (row !== 0 && sourceEnter(sources, row, most)) {
    if (Atomics.load(sources.sourceConnections, row) > most) Atomics.add(told, 0, 1);
    sourceEnter(sources, 1, 0);
    held.push(row);
  }
  sourceUnlock(sources);
  if (held.length > 8 || (state & 256) !== 0) {
    const row = held.shift();
    if (row !== undefined) sourceGive(sources, row);
  }
}
for (const row of held) sourceGive(sources, row);
parentPort!.postMessage("done");
