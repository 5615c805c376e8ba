// What the balancer does for an upstream as it is now: the functions of policy/balance.ts on the verdicts,
// cursor and places that reactors go by. Nothing moves: the cursor is read.
import { NONE } from "../../base/limits.ts";
import { candidatesOf, redispatch, roundRobin } from "../../policy/balance.ts";
import type { Reason } from "../../shared/reason.ts";
import { Verdict } from "../../shared/servers.ts";
import { counted } from "../config/units.ts";
import type { ServerEntry } from "../directory.ts";
import { resultText } from "../events.ts";
import { causeOf } from "../health_history.ts";
import type { ReasonHelp } from "../reasons/help.ts";
import { TLS_HELP } from "../reasons/tls.ts";
import type { ServerView, UpstreamView } from "./explanation.ts";
import { serverTlsName, serverTlsView } from "./tls.ts";
import { placeOf, type World } from "./world.ts";

/** What the balancer comes to. */
export interface Balanced {
  readonly view: UpstreamView;
  /** The number of the server that is tried first; NONE: there is none, or all are full. */
  readonly server: number;
  /** There are servers that are not down, and none has a place. */
  readonly full: boolean;
}

/** Servers of one upstream that are told, and those that are named as next ones; more are counted. */
const SERVERS_TOLD_MAX = 256;
const THEN_MAX = 16;

/** An upstream's members as one pick sees them. */
interface Pick {
  /** By position, of those that may be picked: how many turns from now it is the first. */
  readonly turns: ReadonlyMap<number, number>;
  /** Positions in the order in which they are tried, those without a place included. */
  readonly order: readonly number[];
}

/** @param isAvoided whether a server is passed over as long as another one can be had */
export function balance(
  world: World,
  upstream: number,
  isAvoided: (server: number) => boolean = () => false,
): Balanced {
  const { plan, shared, directory } = world;
  const entry = directory.upstreams.get(upstream)!;
  const first = plan.upstreamFirst[upstream], count = plan.upstreamCount[upstream];
  const numbers = [...plan.upstreamMember.subarray(first, first + count)];
  const pick = pickOf(world, upstream);
  const free = pick.order.filter((member) => hasPlace(world, numbers[member]));
  const chosenMember = free.find((member) => !isAvoided(numbers[member])) ?? free[0];
  const servers = toldOf(numbers.length, pick, chosenMember).map((member) =>
    serverView(
      world,
      directory.servers.get(numbers[member])!,
      member,
      pick,
      chosenMember,
      isAvoided(numbers[member]),
    )
  );
  const behind = chosenMember === undefined ? [] : pick.order.slice(pick.order.indexOf(chosenMember) + 1);
  return {
    view: {
      name: entry.name,
      ...placeOf(world, ["upstreams", entry.name]),
      balance: "round-robin",
      tls: serverTlsView(world, entry.name),
      send_proxy: sendProxyText(world, entry.name),
      source: sourceOf(world, entry.name),
      waiting: Atomics.load(shared.upstreamWaiting, upstream),
      servers,
      servers_left_out: numbers.length - servers.length,
      then: behind.slice(0, THEN_MAX).map((member) => directory.servers.get(numbers[member])!.address),
      then_left_out: Math.max(0, behind.length - THEN_MAX),
      unresolved: unresolved(world, upstream),
    },
    server: chosenMember === undefined ? NONE : numbers[chosenMember],
    full: pick.order.length > 0 && chosenMember === undefined,
  };
}

/** Where connections to an upstream's servers come from. */
function sourceOf({ config }: World, upstream: string): string | null {
  const source = config.upstreams[upstream]?.source;
  return source === undefined ? null : source === "client" ? source : source.ip;
}

/** The members that are told: all, or those that are tried next and others. */
function toldOf(count: number, { order }: Pick, chosen: number | undefined): number[] {
  const all = Array.from({ length: count }, (_, member) => member);
  if (count <= SERVERS_TOLD_MAX) return all;
  const first = chosen === undefined ? [] : [chosen];
  const told = new Set([...first, ...order.slice(0, SERVERS_TOLD_MAX / 2), ...all]);
  return [...told].slice(0, SERVERS_TOLD_MAX).sort((a, b) => a - b);
}

function pickOf({ plan, shared }: World, upstream: number): Pick {
  const first = plan.upstreamFirst[upstream];
  const places = new Uint32Array(plan.members);
  const count = candidatesOf(plan, upstream, shared.serverVerdict, places);
  const candidates = [...places.subarray(first, first + count)];
  if (count === 0) return { turns: new Map(), order: [] };
  const cursor = Atomics.load(shared.upstreamCursor, upstream);
  const member = roundRobin(places, first, count, cursor);
  const order: number[] = [];
  const members = plan.upstreamCount[upstream];
  for (let tried = 0;;) {
    const place = redispatch(plan, upstream, shared.serverVerdict, member, tried);
    if (place < 0) break;
    order.push((member + place) % members);
    tried = place + 1;
  }
  const turn = candidates.indexOf(member);
  const turns = new Map(
    candidates.map((candidate, at) => [candidate, (at - turn + count) % count]),
  );
  return { turns, order };
}

function hasPlace({ plan, shared }: World, server: number): boolean {
  const most = plan.serverConnectionsMax[server];
  return most === 0 || Atomics.load(shared.serverInUse, server) < most;
}

function serverView(
  world: World,
  entry: ServerEntry,
  member: number,
  { turns, order }: Pick,
  chosenMember: number | undefined,
  avoided: boolean,
): ServerView {
  const { plan, shared, health } = world, { number, address, target, probe } = entry;
  const verdict: Verdict = shared.serverVerdict[number];
  const known = probe === NONE ? undefined : health.of(probe);
  const most = plan.serverConnectionsMax[number];
  const turn = turns.get(member) ?? null, chosen = member === chosenMember;
  const why = verdict === Verdict.Down ? downText(world, entry) : null;
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
    in_use: most === 0 ? null : Atomics.load(shared.serverInUse, number),
    max_connections: most === 0 ? null : most,
    turn,
    chosen,
    text: whyText(turn, chosen, order[0] === member, hasPlace(world, number), avoided, why),
  };
}

function whyText(
  turn: number | null,
  chosen: boolean,
  first: boolean,
  hasRoom: boolean,
  avoided: boolean,
  down: string | null,
): string {
  if (turn === null) return `not a candidate: ${down ?? "it is down"}`;
  if (!hasRoom) return "passed over: all its connections are in use";
  if (avoided && !chosen) return "passed over: datagrams to it met nobody a moment ago";
  if (chosen) {
    return first
      ? "chosen: its turn is now"
      : "chosen: those whose turn is before have no place, or are passed over";
  }
  return `not chosen: its turn comes ${turn} later`;
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
