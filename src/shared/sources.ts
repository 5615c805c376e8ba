// Who connections come from: a bounded table of addresses (or prefixes) that all reactors share, with what is counted
// for each. A row below SOURCES_FIRST is a limiter: all clients of one configured listener together. The others are a
// hash table of single sources, each of one limiter, in shards with a lock of their own. A row is taken by whoever
// comes from there, and given to another source once nobody hangs on it (no connection, every bucket full).
// Whoever is counted is counted once: by the row in exSource (or with a newcomer's token), and with it by its limiter.
import { LISTENERS_MAX, NONE } from "../base/limits.ts";
import { bucketIsFull, bucketRest, TICKS_PER_MS } from "./buckets.ts";
import { type Columns, type Layout, makeTable, openTable } from "./columns.ts";
import { METER_WORDS, meterFill, meterIsIdle } from "./meters.ts";
import { PER_LINE } from "./servers.ts";

/** By source. Connections and buckets are moved atomically, by any reactor; the rest changes under the shard's lock. */
const SOURCES = {
  sourceConnections: [Int32Array, 1], // those that are counted for it now
  sourceNew: [Int32Array, 1], // bucket of new connections (shared/buckets.ts)
  sourceMeters: [Int32Array, 2 * METER_WORDS], // of its bytes: from clients, and to them (shared/meters.ts)
  sourceHash: [Int32Array, 1], // 0: this row was never used
  sourceLimiter: [Uint16Array, 1], // whose source it is; NONE: it is a limiter itself
  sourceIp: [Int32Array, 4], // the prefix, in network order; IPv4 is mapped into IPv6 (::ffff:0:0/96)
  sourceBits: [Uint8Array, 1], // of the prefix: 96 more than IPv4 has
} as const satisfies Layout;

const LOCKS = { lock: [Int32Array, PER_LINE] } as const satisfies Layout;
const SEEDS = { hashSeed: [Int32Array, 1] } as const satisfies Layout;

export type Sources = Columns<typeof SOURCES> & Columns<typeof LOCKS> & Columns<typeof SEEDS> & {
  /** Rows of a shard - 1: a power of two. */
  readonly shardMask: number;
};

export interface SourcesMemory {
  readonly rows: number;
  readonly sources: SharedArrayBuffer;
  readonly locks: SharedArrayBuffer;
  readonly seed: SharedArrayBuffer;
}

/** The first row of a single source; limiters are below. */
export const SOURCES_FIRST = LISTENERS_MAX;
const SHARDS = 64;
/** Rows of one shard that a source may be in. */
const REACH = 64;
/** Single sources at least and at most, however many connections there may be: powers of two. */
const SOURCES_MIN = 1 << 14;
const SOURCES_MAX = 1 << 21;

/** Looks at a lock before sleeping, and times to sleep for a millisecond: a holder needs less than a microsecond,
 * unless its thread is not running. */
const SPINS = 2_000;
const SLEEPS = 20;

const V4_BITS = 96;

/** For so many client connections twice as many sources: those that left may have buckets that are not full yet. */
export function makeSources(connections: number, seed: number): SourcesMemory {
  let singles = SOURCES_MIN;
  while (singles < 2 * connections && singles < SOURCES_MAX) singles *= 2;
  const rows = SOURCES_FIRST + singles;
  const memory = {
    rows,
    sources: makeTable(SOURCES, rows),
    locks: makeTable(LOCKS, SHARDS),
    seed: makeTable(SEEDS, 1),
  };
  openSources(memory).hashSeed[0] = seed;
  return memory;
}

export function openSources({ rows, sources, locks, seed }: SourcesMemory): Sources {
  return {
    ...openTable(SOURCES, sources, rows),
    ...openTable(LOCKS, locks, SHARDS),
    ...openTable(SEEDS, seed, 1),
    shardMask: (rows - SOURCES_FIRST) / SHARDS - 1,
  };
}

/** The key that is looked for: set by `sourceKey`, used by the next call. */
let limiter: number, hash: number, bits: number;
let ip0: number, ip1: number, ip2: number, ip3: number;

/**
 * Makes the address in a peer record (see ffi/sluice.h) the key that `sourceLock`, `sourceFind` and `sourceTake` look
 * for: its first `v4` or `v6` bits, as a source of limiter `of`. False if it has no IP address: who comes through a
 * unix socket is nobody's source.
 */
export function sourceKey(
  { hashSeed }: Sources,
  of: number,
  record: Uint8Array,
  at: number,
  v4: number,
  v6: number,
): boolean {
  const family = record[at];
  if (family === 4) {
    bits = V4_BITS + v4;
    ip0 = ip1 = 0;
    ip2 = 0xffff;
    ip3 = masked(wordAt(record, at + 4), v4);
  } else if (family === 6) {
    bits = v6;
    ip0 = masked(wordAt(record, at + 4), v6);
    ip1 = masked(wordAt(record, at + 8), v6 - 32);
    ip2 = masked(wordAt(record, at + 12), v6 - 64);
    ip3 = masked(wordAt(record, at + 16), v6 - 96);
  } else {
    return false;
  }
  limiter = of;
  let mixed = mix(mix(hashSeed[0] ^ of, ip0) ^ bits, ip1);
  mixed = mix(mix(mixed, ip2), ip3);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  hash = (mixed ^ (mixed >>> 13)) | 1; // never 0
  return true;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

function masked(word: number, most: number): number {
  return most >= 32 ? word : most <= 0 ? 0 : word & (-1 << (32 - most));
}

/** One round of MurmurHash3: with a seed that nobody outside knows, nobody can choose addresses that meet. */
function mix(state: number, word: number): number {
  const scattered = Math.imul(word, 0xcc9e2d51);
  const turned = Math.imul((scattered << 15) | (scattered >>> 17), 0x1b873593) ^ state;
  return (Math.imul((turned << 13) | (turned >>> 19), 5) + 0xe6546b64) | 0;
}

function shardOf(): number {
  return (hash >>> 1) & (SHARDS - 1);
}

/** Takes the key's shard for the reactor of `room`; nothing may throw until it is given back. False when whoever has
 * it does not give it back in time. */
export function sourceLock({ lock }: Sources, room: number): boolean {
  const at = shardOf() * PER_LINE;
  for (let sleeps = 0;; sleeps++) {
    for (let spin = 0; spin < SPINS; spin++) {
      if (Atomics.load(lock, at) === 0 && Atomics.compareExchange(lock, at, 0, room) === 0) return true;
    }
    const holder = Atomics.load(lock, at);
    if (sleeps === SLEEPS) return false;
    if (holder !== 0) Atomics.wait(lock, at, holder, 1);
  }
}

export function sourceUnlock({ lock }: Sources): void {
  Atomics.store(lock, shardOf() * PER_LINE, 0);
}

/** Locks of a reactor that died. */
export function sourcesUnlock({ lock }: Sources, room: number): void {
  for (let shard = 0; shard < SHARDS; shard++) Atomics.compareExchange(lock, shard * PER_LINE, room, 0);
}

/** The key's row, or NONE. Without the lock it is only a look. */
export function sourceFind(sources: Sources): number {
  return search(sources, -1);
}

/** The key's row, a new one if it has none; NONE when those that it may have are all in use. Under the lock. */
export function sourceTake(sources: Sources, nowTicks: number): number {
  const found = search(sources, nowTicks);
  if (found !== NONE || spare === NONE) return found;
  const { sourceIp, sourceBits, sourceLimiter, sourceHash, sourceNew, sourceMeters } = sources;
  const ip = spare * 4;
  sourceIp[ip] = ip0;
  sourceIp[ip + 1] = ip1;
  sourceIp[ip + 2] = ip2;
  sourceIp[ip + 3] = ip3;
  sourceBits[spare] = bits;
  sourceLimiter[spare] = limiter;
  Atomics.store(sourceNew, spare, 0);
  const nowMs = nowTicks / TICKS_PER_MS, meters = spare * 2 * METER_WORDS;
  meterFill(sourceMeters, meters, nowMs);
  meterFill(sourceMeters, meters + METER_WORDS, nowMs);
  sourceHash[spare] = hash;
  return spare;
}

/** A row that the last search would give to the key. */
let spare: number;

/** Rows are given from one source to the next, never back to nobody: the first that was never used ends the search.
 * With `nowTicks` < 0 no spare row is looked for. */
function search(sources: Sources, nowTicks: number): number {
  const { sourceHash, sourceIp, sourceBits, sourceLimiter, shardMask } = sources;
  const first = SOURCES_FIRST + shardOf() * (shardMask + 1), start = hash >>> 7;
  spare = NONE;
  for (let step = 0; step < REACH; step++) {
    const row = first + ((start + step) & shardMask), known = sourceHash[row];
    if (known === 0) {
      if (spare === NONE) spare = row;
      return NONE;
    }
    if (known === hash && sourceLimiter[row] === limiter && sourceBits[row] === bits) {
      const ip = row * 4;
      if (
        sourceIp[ip] === ip0 && sourceIp[ip + 1] === ip1 && sourceIp[ip + 2] === ip2 &&
        sourceIp[ip + 3] === ip3
      ) return row;
    }
    if (nowTicks >= 0 && spare === NONE && sourceIsIdle(sources, row, nowTicks)) spare = row;
  }
  return NONE;
}

/** Whether nothing hangs on a row: who has it would notice no difference to a new one. */
export function sourceIsIdle(
  { sourceConnections, sourceNew, sourceMeters }: Sources,
  row: number,
  nowTicks: number,
): boolean {
  if (Atomics.load(sourceConnections, row) !== 0 || !bucketIsFull(sourceNew, row, nowTicks)) return false;
  const nowMs = nowTicks / TICKS_PER_MS, meters = row * 2 * METER_WORDS;
  return meterIsIdle(sourceMeters, meters, nowMs) && meterIsIdle(sourceMeters, meters + METER_WORDS, nowMs);
}

/** Counts one more connection for a row, unless it has `most` (0: as many as there are). */
export function sourceEnter({ sourceConnections }: Sources, row: number, most: number): boolean {
  for (;;) {
    const count = Atomics.load(sourceConnections, row);
    if (most > 0 && count >= most) return false;
    if (Atomics.compareExchange(sourceConnections, row, count, count + 1) === count) return true;
  }
}

/** Ends the count of one connection for one row. */
export function sourceExit({ sourceConnections }: Sources, row: number): void {
  Atomics.sub(sourceConnections, row, 1);
}

/** Ends the count of one connection for a row, and for the limiter that it is a source of. NONE is nobody. */
export function sourceGive(sources: Sources, row: number): void {
  if (row === NONE) return;
  const over = sources.sourceLimiter[row];
  sourceExit(sources, row);
  if (over !== NONE) sourceExit(sources, over);
}

/** Full buckets are made plain to see, before their ticks wrap. By the control plane, every BUCKET_REST_MS. */
export function sourcesRest({ sourceHash, sourceNew }: Sources, nowTicks: number): void {
  for (let row = 1; row < sourceNew.length; row++) {
    if (row < SOURCES_FIRST || sourceHash[row] !== 0) bucketRest(sourceNew, row, nowTicks);
  }
}
