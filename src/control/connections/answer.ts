// What /connections answers: the rows that were asked for, or counts of them, and how much that is of all there is.
// Names are in snake case, as in /status; nothing here may change its meaning.
import { NONE } from "../../base/limits.ts";
import { formatAddress } from "../config/address.ts";
import type { Sight } from "../sight.ts";
import { Group, Groups } from "./groups.ts";
import type { Column, GroupColumn } from "./columns.ts";
import type { Query } from "./query.ts";
import { Rates, type Sample } from "./rates.ts";
import { copyOf, DOINGS, type Row, SPOKEN } from "./row.ts";
import { idOf } from "./tags.ts";
import { othersTurn, ROWS_PER_SLICE, scan, type Scanned } from "./scan.ts";
import { Best, comparing, filterOf, type Keyed, keyOf } from "./select.ts";

/** Bytes each way: up is what clients send. */
interface BothWays {
  readonly up: number;
  readonly down: number;
}

export interface ConnectionView {
  /** By which it can be closed; no other connection ever has the same. */
  readonly id: string;
  readonly client: string | null;
  readonly listener: string | null;
  readonly upstream: string | null;
  readonly server: string | null;
  readonly protocol: string;
  readonly state: string;
  readonly opened: string;
  readonly age_seconds: number;
  readonly idle_seconds: number;
  readonly bytes: BothWays;
  /** Bytes in a second; null: not asked for, or not known. */
  readonly rates: BothWays | null;
  /** Of this connection so far; null: it has none. */
  readonly requests: number | null;
  readonly reactor: number;
}

export interface GroupView {
  /** Null: they have none. */
  readonly name: string | null;
  readonly connections: number;
  readonly bytes: BothWays;
  readonly rates: BothWays | null;
}

export interface ConnectionsAnswer {
  readonly at: string;
  /** Connections there are, and those that the filters let through. */
  readonly total: number;
  readonly matched: number;
  /** Entries of this answer; fewer than there are if it is truncated. */
  readonly shown: number;
  readonly truncated: boolean;
  /** Rows of the tables that were read, and of those the ones that changed too fast to be told. */
  readonly rows_read: number;
  readonly rows_changed: number;
  readonly sort: string;
  /** What rates are measured over; null without. */
  readonly rates_over_seconds: number | null;
  readonly connections?: readonly ConnectionView[];
  readonly by?: string;
  readonly groups?: readonly GroupView[];
  /** Of more groups than can be told apart; null: all of them were. */
  readonly others?: GroupView | null;
}

/** Answers questions about connections, one after the other. */
export class Connections {
  readonly #sight: Sight;
  readonly #rates: Rates;
  #last: Promise<unknown> = Promise.resolve();

  constructor(sight: Sight) {
    this.#sight = sight;
    this.#rates = new Rates(sight);
  }

  async answer(query: Query): Promise<ConnectionsAnswer> {
    const sample = query.rates ? await this.#rates.sample() : undefined;
    const turn = this.#last.then(() =>
      query.by === undefined ? list(this.#sight, query, sample) : group(this.#sight, query, sample)
    );
    this.#last = turn.catch(() => {});
    return await turn;
  }
}

async function list(sight: Sight, query: Query, sample: Sample | undefined): Promise<ConnectionsAnswer> {
  const startMs = sight.clockMs();
  const key = keyOf(query.sort as Column, sight.directory, startMs, sample);
  const best = new Best<Keyed & { readonly row: Row }>(query.limit, comparing(query.descending));
  const isAsked = filterOf(query, () => startMs);
  let matched = 0;
  const scanned = await scan(sight, (row) => {
    if (isAsked(row)) best.push({ key: key(row), order: matched++, row: copyOf(row) });
  });
  const epochMs = Date.now() - scanned.atMs;
  const connections: ConnectionView[] = [];
  for (const { row } of best.take()) {
    if (connections.push(viewOf(sight, row, scanned.atMs, epochMs, sample)) % ROWS_PER_SLICE === 0) {
      await othersTurn();
    }
  }
  return { ...headOf(query, scanned, matched, connections.length, matched, sample), connections };
}

async function group(sight: Sight, query: Query, sample: Sample | undefined): Promise<ConnectionsAnswer> {
  const startMs = sight.clockMs();
  const groups = new Groups(query.by!, sight.directory), isAsked = filterOf(query, () => startMs);
  let matched = 0;
  const scanned = await scan(sight, (row) => {
    if (!isAsked(row)) return;
    matched++;
    groups.of(row).add(row, startMs, sample);
  });
  const key = groupKeyOf(query.sort as GroupColumn);
  const best = new Best<Keyed & { readonly group: Group }>(query.limit, comparing(query.descending));
  let count = 0;
  for (const group of groups.all) best.push({ key: key(group), order: count++, group });
  const told = best.take().map(({ group }) => groupView(group, sample));
  return {
    ...headOf(query, scanned, matched, told.length, count, sample),
    by: query.by!,
    groups: told,
    others: groups.others.connections === 0 ? null : groupView(groups.others, sample),
  };
}

function headOf(
  query: Query,
  { rows, connections, changed, atMs }: Scanned,
  matched: number,
  shown: number,
  entries: number,
  sample: Sample | undefined,
): ConnectionsAnswer {
  return {
    at: new Date().toISOString(),
    total: connections,
    matched,
    shown,
    truncated: shown < entries,
    rows_read: rows,
    rows_changed: changed,
    sort: `${query.sort}:${query.descending ? "desc" : "asc"}`,
    rates_over_seconds: sample === undefined ? null : seconds(atMs - sample.atMs),
  };
}

function viewOf(
  { directory }: Sight,
  row: Row,
  nowMs: number,
  epochMs: number,
  sample: Sample | undefined,
): ConnectionView {
  const server = row.server === NONE ? undefined : directory.servers.get(row.server);
  const up = sample?.since(row, nowMs, "upBytes") ?? NaN,
    down = sample?.since(row, nowMs, "downBytes") ?? NaN;
  return {
    id: idOf(row),
    client: row.peer[0] === 0 ? null : formatAddress(row.peer, 0),
    listener: directory.listeners.get(row.listener)?.name ?? null,
    upstream: server?.upstream ?? directory.upstreams.get(row.upstream)?.name ?? null,
    server: server?.address ?? null,
    protocol: SPOKEN[row.speaks],
    state: DOINGS[row.doing][0],
    opened: new Date(epochMs + row.openedMs).toISOString(),
    age_seconds: seconds(nowMs - row.openedMs),
    idle_seconds: seconds(nowMs - row.seenMs),
    bytes: { up: row.upBytes, down: row.downBytes },
    rates: Number.isNaN(up) || Number.isNaN(down) ? null : { up: Math.round(up), down: Math.round(down) },
    requests: row.requests < 0 ? null : row.requests,
    reactor: row.room,
  };
}

function groupView(
  { name, connections, upBytes, downBytes, upRate, downRate }: Group,
  sample: Sample | undefined,
): GroupView {
  return {
    name,
    connections,
    bytes: { up: upBytes, down: downBytes },
    rates: sample === undefined ? null : { up: Math.round(upRate), down: Math.round(downRate) },
  };
}

function groupKeyOf(column: GroupColumn): (group: Group) => number | string {
  switch (column) {
    case "name":
      return ({ name }) => name ?? "";
    case "connections":
      return ({ connections }) => connections;
    case "up":
      return ({ upBytes }) => upBytes;
    case "down":
      return ({ downBytes }) => downBytes;
    case "bytes":
      return ({ upBytes, downBytes }) => upBytes + downBytes;
    case "up-rate":
      return ({ upRate }) => upRate;
    case "down-rate":
      return ({ downRate }) => downRate;
    case "rate":
      return ({ upRate, downRate }) => upRate + downRate;
  }
}

/** Milliseconds as seconds with three decimals; not below 0, though clocks are told once a turn. */
function seconds(ms: number): number {
  return Math.max(0, Math.round(ms)) / 1_000;
}
