// Which rows are shown, and in which order: the filters of a query, and the best of what they let through, of which
// never more is kept than a small multiple of what is shown.
import { NONE } from "../../base/limits.ts";
import { isIn } from "../../policy/prefix.ts";
import type { Directory } from "../directory.ts";
import { DOINGS, type Row } from "./row.ts";
import type { Column } from "./columns.ts";
import type { Client, Query } from "./query.ts";
import type { Sample } from "./rates.ts";

const BITS_AT = 1;
const PORT_AT = 2;
const IP_AT = 4;
const PREFIX_BYTES = 20;

/** A client as `isIn` reads a prefix. */
function prefixOf({ cidr }: Client): Uint8Array {
  const prefix = new Uint8Array(PREFIX_BYTES);
  prefix[0] = cidr.family;
  prefix[BITS_AT] = cidr.bits;
  prefix.set(cidr.ip, IP_AT);
  return prefix;
}

/** Whether a query lets a row through. */
export function filterOf(query: Query, nowMs: () => number): (row: Row) => boolean {
  const { listeners, upstreams, servers, clients, states, minAgeMs } = query;
  const prefixes = clients.map((client) => ({ prefix: prefixOf(client), port: client.port }));
  const isOf = ({ peer }: Row): boolean =>
    prefixes.some(({ prefix, port }) =>
      isIn(prefix, 0, peer, 0) && (port === 0 || port === (peer[PORT_AT] << 8 | peer[PORT_AT + 1]))
    );
  return (row) =>
    (listeners.size === 0 || listeners.has(row.listener)) &&
    (upstreams.size === 0 || upstreams.has(row.upstream)) &&
    (servers.size === 0 || servers.has(row.server)) &&
    (states.size === 0 || states.has(row.doing)) &&
    (minAgeMs === 0 || nowMs() - row.openedMs >= minAgeMs) &&
    (prefixes.length === 0 || isOf(row));
}

/** What a row is sorted by. */
export function keyOf(
  column: Column,
  directory: Directory,
  nowMs: number,
  sample: Sample | undefined,
): (row: Row) => number | string {
  const rate = (row: Row, which: "upBytes" | "downBytes"): number => {
    const rate = sample?.since(row, nowMs, which) ?? 0;
    return Number.isNaN(rate) ? 0 : rate;
  };
  switch (column) {
    case "client":
      return ({ peer }) => clientKey(peer);
    case "listener":
      return ({ listener }) => directory.listeners.get(listener)?.name ?? "";
    case "upstream":
      return ({ upstream }) => directory.upstreams.get(upstream)?.name ?? "";
    case "server":
      return ({ server }) => server === NONE ? "" : directory.servers.get(server)?.address ?? "";
    case "state":
      return ({ doing }) => DOINGS[doing][0];
    case "age":
      return ({ openedMs }) => nowMs - openedMs;
    case "idle":
      return ({ seenMs }) => nowMs - seenMs;
    case "up":
      return ({ upBytes }) => upBytes;
    case "down":
      return ({ downBytes }) => downBytes;
    case "bytes":
      return ({ upBytes, downBytes }) => upBytes + downBytes;
    case "up-rate":
      return (row) => rate(row, "upBytes");
    case "down-rate":
      return (row) => rate(row, "downBytes");
    case "rate":
      return (row) => rate(row, "upBytes") + rate(row, "downBytes");
    case "requests":
      return ({ requests }) => requests;
  }
}

/** An address as text that sorts as its numbers do, the port last. */
function clientKey(peer: Uint8Array): string {
  return String.fromCharCode(peer[0], ...peer.subarray(IP_AT, IP_AT + 16), peer[PORT_AT], peer[PORT_AT + 1]);
}

/** The first `limit` of all that are pushed. */
export class Best<T> {
  readonly #limit: number;
  readonly #compare: (one: T, other: T) => number;
  #kept: T[] = [];

  constructor(limit: number, compare: (one: T, other: T) => number) {
    this.#limit = limit;
    this.#compare = compare;
  }

  push(one: T): void {
    if (this.#kept.push(one) >= 2 * this.#limit + 64) this.#cut();
  }

  /** They, in order. */
  take(): T[] {
    this.#cut();
    return this.#kept;
  }

  #cut(): void {
    this.#kept.sort(this.#compare);
    this.#kept.length = Math.min(this.#kept.length, this.#limit);
  }
}

/** Orders by keys; equals keep their order. */
export function comparing(descending: boolean): (one: Keyed, other: Keyed) => number {
  const sign = descending ? -1 : 1;
  return (one, other) => one.key < other.key ? -sign : one.key > other.key ? sign : one.order - other.order;
}

export interface Keyed {
  readonly key: number | string;
  /** When it came. */
  readonly order: number;
}
