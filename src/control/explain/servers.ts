// What the balancer does for an upstream as it is now, and what is known of each server. Nothing moves.
import { NONE } from "../../base/limits.ts";
import { shareOf, weightOf } from "../../policy/candidates.ts";
import type { Head } from "../../proto/head.ts";
import type { Reason } from "../../shared/reason.ts";
import { Verdict } from "../../shared/servers.ts";
import type { Balancing } from "../config/balance_schema.ts";
import { shown } from "../config/errors.ts";
import { counted } from "../config/units.ts";
import type { ServerEntry } from "../directory.ts";
import { resultText } from "../events.ts";
import { causeOf } from "../health_history.ts";
import { noneLeft } from "../none_left.ts";
import type { ReasonHelp } from "../reasons/help.ts";
import { TLS_HELP } from "../reasons/tls.ts";
import type { ServerView, UpstreamView } from "./explanation.ts";
import { type Pick, pickOf, scoreOf, whyPicked } from "./pick.ts";
import { serverTlsName, serverTlsView } from "./tls.ts";
import { placeOf, type World } from "./world.ts";

/** What the balancer comes to. */
export interface Balanced {
  readonly view: UpstreamView;
  /** The number of the server that is tried first; NONE: there is none, or all are full. */
  readonly server: number;
  /** There are servers that are not down, and none has a place. */
  readonly full: boolean;
  /** Why there is none. */
  readonly none: string;
}

/** Servers of one upstream that are told, and those that are named as next ones; more are counted. */
const SERVERS_TOLD_MAX = 256;
const THEN_MAX = 16;

/** What an upstream is asked for. */
export interface Wanted {
  /** Of the request that it is for, if it is one. */
  readonly head?: Head;
  /** Whether a server is passed over as long as another one can be had. */
  readonly isAvoided?: (server: number) => boolean;
}

export function balance(
  world: World,
  upstream: number,
  { head, isAvoided = () => false }: Wanted = {},
): Balanced {
  const { plan, shared, directory, config } = world;
  const entry = directory.upstreams.get(upstream)!;
  const first = plan.upstreamFirst[upstream], count = plan.upstreamCount[upstream];
  const numbers = [...plan.upstreamMember.subarray(first, first + count)];
  const pick = pickOf(world, upstream, head, isAvoided), { order, chosen } = pick;
  const servers = toldOf(numbers.length, order, chosen).map((member) =>
    serverView(world, directory.servers.get(numbers[member])!, upstream, member, pick)
  );
  const behind = chosen === undefined ? [] : order.slice(order.indexOf(chosen) + 1);
  return {
    view: {
      name: entry.name,
      ...placeOf(world, ["upstreams", entry.name]),
      balance: config.upstreams[entry.name]?.balance.rule ?? "round-robin",
      by: byText(config.upstreams[entry.name]?.balance),
      tls: serverTlsView(world, entry.name),
      send_proxy: sendProxyText(world, entry.name),
      source: sourceOf(world, entry.name),
      source_flaw: world.sourceFlaw(entry.name),
      waiting: Atomics.load(shared.upstreamWaiting, upstream),
      servers,
      servers_left_out: numbers.length - servers.length,
      then: behind.slice(0, THEN_MAX).map((member) => directory.servers.get(numbers[member])!.address),
      then_left_out: Math.max(0, behind.length - THEN_MAX),
      unresolved: unresolved(world, upstream),
    },
    server: chosen === undefined ? NONE : numbers[chosen],
    full: order.length > 0 && chosen === undefined,
    none: noneLeft(numbers.map((server) => ({
      isDown: shared.serverVerdict[server] === Verdict.Down,
      isDisabled: directory.servers.get(server)?.disabled ?? false,
      isDrained: shared.serverDrained[server] === 1,
      weight: weightOf(plan, server),
    }))),
  };
}

/** Why an upstream has nobody for what comes. */
export function noneText({ view: { name }, none }: Balanced): string {
  return `upstream ${shown(name)} has no server to ask: ${none}`;
}

/** Where connections to an upstream's servers come from. */
function sourceOf({ config }: World, upstream: string): string | null {
  const source = config.upstreams[upstream]?.source;
  return source === undefined ? null : source === "client" ? source : source.ip;
}

/** What rules that hash go by, for people. */
function byText(balance: Balancing | undefined): string | null {
  if (balance === undefined || !["source-hash", "consistent-hash"].includes(balance.rule)) return null;
  const { by, "prefix-v4": four, "prefix-v6": six } = balance;
  if (by.kind === "path") return "the path";
  if ("name" in by) return `the ${by.kind} ${by.name}`;
  const bits = [...(four === 32 ? [] : [`/${four}`]), ...(six === 128 ? [] : [`/${six} of IPv6`])];
  return `the client's address${bits.length === 0 ? "" : `, of which ${bits.join(" and ")} counts`}`;
}

/** The members that are told: all, or those that are tried next and others. */
function toldOf(count: number, order: readonly number[], chosen: number | undefined): number[] {
  const all = Array.from({ length: count }, (_, member) => member);
  if (count <= SERVERS_TOLD_MAX) return all;
  const first = chosen === undefined ? [] : [chosen];
  const told = new Set([...first, ...order.slice(0, SERVERS_TOLD_MAX / 2), ...all]);
  return [...told].slice(0, SERVERS_TOLD_MAX).sort((a, b) => a - b);
}

function serverView(
  world: World,
  entry: ServerEntry,
  upstream: number,
  member: number,
  pick: Pick,
): ServerView {
  const { plan, shared, health, monotonicMs: nowMs } = world, { number, address, target, probe } = entry;
  const verdict: Verdict = shared.serverVerdict[number];
  const known = probe === NONE ? undefined : health.of(probe);
  const most = plan.serverConnectionsMax[number];
  const isCounted = most > 0 || plan.upstreamCounted[upstream] === 1;
  const why = verdict === Verdict.Down ? downText(world, entry) : null;
  const isDrained = shared.serverDrained[number] === 1;
  return {
    address,
    target,
    tls_name: serverTlsName(world, number),
    health: verdict === Verdict.Up ? "up" : verdict === Verdict.Down ? "down" : "unchecked",
    since: known === undefined || verdict === Verdict.Unchecked
      ? null
      : new Date(known.sinceMs).toISOString(),
    why,
    change: verdict === Verdict.Down ? changeOf(world, entry) : [],
    weight: weightOf(plan, number),
    configured_weight: entry.configuredWeight,
    slow_start: roundShare(shareOf(plan, upstream, number, shared, nowMs)),
    backup: plan.serverBackup[number] === 1,
    drained: isDrained && !entry.disabled,
    disabled: entry.disabled,
    in_use: isCounted ? Atomics.load(shared.serverInUse, number) : null,
    max_connections: most === 0 ? null : most,
    score: scoreOf(world, upstream, member, pick),
    turn: pick.turns.get(member) ?? null,
    chosen: member === pick.chosen,
    text: why !== null
      ? `not a candidate: ${why}`
      : entry.disabled
      ? "not a candidate: it is disabled"
      : isDrained
      ? "not a candidate: it is drained"
      : whyPicked(world, upstream, member, pick),
  };
}

/** In slow start what a server has of its weight; null: all of it. */
function roundShare(share: number): number | null {
  return share >= 1 ? null : Math.round(share * 100) / 100;
}

/** `down since TIME, 3 failed checks: the server refused the connection` */
function downText({ health, directory }: World, { probe }: ServerEntry): string {
  const known = health.of(probe), entry = directory.probes.get(probe);
  const cause = causeOf(known, true);
  if (known === undefined || cause === undefined) return "down, as its checks say";
  const checks = counted(entry?.fall ?? 1, "failed check");
  return `down since ${new Date(known.sinceMs).toISOString()}, ${checks}: ${resultText(cause, entry)}`;
}

/** What helps where its TLS is what its checks fail by: the same as `sluice why` says. */
function changeOf({ health }: World, { probe }: ServerEntry): readonly string[] {
  const cause = causeOf(health.of(probe), true);
  const help: Readonly<Partial<Record<Reason, ReasonHelp>>> = TLS_HELP;
  return cause === undefined ? [] : help[cause.reason]?.change ?? [];
}

/** Host names of an upstream that give it no server now. */
function unresolved({ directory, config }: World, upstream: number): string[] {
  const entry = directory.upstreams.get(upstream);
  if (entry === undefined) return [];
  const there = new Set(entry.servers.flatMap((server) => directory.servers.get(server)?.target ?? []));
  const targets = config.upstreams[entry.name]?.servers ?? [];
  return [
    ...new Set(targets.flatMap(({ address, base }) => {
      if (address.kind !== "name") return [];
      const text = `${address.name}:${address.port}`;
      return there.has(text + base) ? [] : [text];
    })),
  ];
}

/** What servers are told of the client before anything else; null: nothing. */
function sendProxyText({ config }: World, upstream: string): string | null {
  const given = config.upstreams[upstream]?.["send-proxy"];
  if (given === undefined) return null;
  const also = (["unique-id", "crc32c", "tls"] as const).filter((name) => given[name]);
  return given.version + (also.length === 0 ? "" : ` with ${also.join(", ")}`);
}
