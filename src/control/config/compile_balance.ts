// How an upstream's servers are chosen, as the Plan has it: numbers of rules and keys, weights, Maglev tables.
import { Balance, HashKey, type Plan } from "../../plan/plan.ts";
import { hashBytes } from "../../policy/hash.ts";
import { maglevTable, type Seat } from "../../policy/maglev.ts";
import { encodeAddress } from "./address.ts";
import type { ArenaWriter, Span } from "./arena.ts";
import type { HashBy, Rule } from "./balance_schema.ts";
import type { Server, Upstream } from "./parts.ts";

export const RULE_NUMBERS: Readonly<Record<Rule, Balance>> = {
  "round-robin": Balance.RoundRobin,
  "least-connections": Balance.LeastConnections,
  "random-two": Balance.RandomTwo,
  "peak-ewma": Balance.PeakEwma,
  "source-hash": Balance.SourceHash,
  "consistent-hash": Balance.ConsistentHash,
  first: Balance.First,
};
const KEY_NUMBERS: Readonly<Record<HashBy["kind"], HashKey>> = {
  client: HashKey.Client,
  path: HashKey.Path,
  header: HashKey.Field,
  cookie: HashKey.Cookie,
};
/** Rules that go by how many exchanges are at a server. */
const COUNTING: readonly Rule[] = ["least-connections", "random-two", "peak-ewma"];
const HASHING: readonly Rule[] = ["source-hash", "consistent-hash"];

/** Where the arena has what an upstream's rule needs. */
export interface PlacedBalance {
  readonly table: Span;
  readonly key: Span;
}

/** For each upstream, in the order of the parts. */
export function placeBalance(
  arena: ArenaWriter,
  upstreams: readonly Upstream[],
  servers: readonly Server[],
): PlacedBalance[] {
  const span = (bytes: Uint8Array): Span => ({ at: arena.add(bytes), bytes: bytes.length });
  const byNumber = new Map(servers.map((server) => [server.number, server]));
  const made = new Map<string, Uint8Array>();
  const placed = upstreams.map(({ configured: { balance: { rule, by } }, servers: numbers }) => {
    const members = HASHING.includes(rule) ? numbers.map((number) => byNumber.get(number)!) : [];
    const name = "name" in by ? by.name : "";
    return { table: span(tableOf(members, made)), key: span(new TextEncoder().encode(name)) };
  });
  tables = made;
  return placed;
}

/** Those of the last Plan, by what they are made of: a name that changes does not cost all others theirs. */
let tables: ReadonlyMap<string, Uint8Array> = new Map();

const SEED_OFFSET = 0x2545f491;
const SEED_STRIDE = 0x6c8e9cf5;

/** The same servers have the same table in whatever order they are, but for their positions. */
function tableOf(members: readonly Server[], made: Map<string, Uint8Array>): Uint8Array {
  const times = new Map<string, number>();
  const seats = members.flatMap(({ address, configured: { weight, backup } }, member): Seat[] => {
    if (weight === 0 || backup) return [];
    const record = encodeAddress(address), text = String(record), nth = times.get(text) ?? 0;
    times.set(text, nth + 1);
    const hash = (seed: number) => hashBytes(record, 0, record.length, seed + nth);
    return [{ member, offset: hash(SEED_OFFSET), stride: hash(SEED_STRIDE), weight }];
  }).sort((a, b) => a.offset - b.offset || a.stride - b.stride);
  const key = JSON.stringify(seats);
  const table = made.get(key) ?? tables.get(key) ?? maglevTable(seats);
  made.set(key, table);
  return table;
}

export function writeBalance(
  plan: Plan,
  { number, configured }: Upstream,
  { table, key }: PlacedBalance,
): void {
  const { rule, load, by, "prefix-v4": four, "prefix-v6": six } = configured.balance;
  plan.upstreamBalance[number] = RULE_NUMBERS[rule];
  plan.upstreamSlowStartMs[number] = configured["slow-start"] ?? 0;
  plan.upstreamCounted[number] = COUNTING.includes(rule) || load > 0 ? 1 : 0;
  plan.upstreamLoadMax[number] = load;
  plan.upstreamTableAt[number] = table.at;
  plan.upstreamTableSize[number] = table.bytes / 2;
  plan.upstreamKey[number] = KEY_NUMBERS[by.kind];
  plan.upstreamKeyAt[number] = key.at;
  plan.upstreamKeyBytes[number] = key.bytes;
  plan.upstreamPrefix4[number] = four;
  plan.upstreamPrefix6[number] = six;
}
