// What a reload takes away, and those who came by it. A listener that is gone stays in the Plan, with where it leads,
// for as long as connections of it are open; they, and those of servers and routes that are gone, have the time that
// `on-remove` gave them. What is back before that is over is nobody's departure any more.
import { targetText } from "./config/address.ts";
import { type Leaving, listenerKey, type OpenSocket } from "./config/parts.ts";
import { upstreamsOf } from "./config/leads.ts";
import { type OnRemove } from "./config/remove_schema.ts";
import type { Config } from "./config/schema.ts";
import type { Directory, ServerEntry } from "./directory.ts";

export type GoneKind = "listeners" | "servers" | "routes";

/** Something that a reload took away. */
export interface Gone {
  readonly kind: GoneKind;
  readonly number: number;
  /** For people. */
  readonly name: string;
  readonly policy: OnRemove;
}

/** What was there, by number. */
export interface Present {
  readonly listeners: ReadonlyMap<number, { readonly name: string; readonly bind: string }>;
  readonly servers: ReadonlyMap<number, ServerEntry>;
  readonly routes: ReadonlyMap<number, string>;
}

export function presentOf({ current, listeners, servers, routes }: Directory): Present {
  return {
    listeners: new Map([...current.listeners].map((number) => [number, listeners.get(number)!])),
    servers: new Map([...current.servers].map((number) => [number, servers.get(number)!])),
    routes,
  };
}

/** What was there before and is not any more, by the policies of the configuration that had it. A server that is gone
 * because its name has other addresses now is none: its connections stay, as they do without a reload. */
export function goneBetween(before: Present, after: Present, was: Config, is: Config): Gone[] {
  const gone: Gone[] = [];
  for (const [number, { name, bind }] of before.listeners) {
    if (after.listeners.has(number)) continue;
    const policy = was.listeners[name]["on-remove"];
    gone.push({ kind: "listeners", number, name: `${name} (${bind})`, policy });
  }
  const targets = targetsOf(is);
  for (const [number, { upstream, target, address }] of before.servers) {
    if (after.servers.has(number) || targets.has(`${upstream}\n${target}`)) continue;
    const policy = was.upstreams[upstream]["on-remove"];
    gone.push({ kind: "servers", number, name: `${address} of ${upstream}`, policy });
  }
  for (const [number, name] of before.routes) {
    if (after.routes.has(number)) continue;
    const at = name.lastIndexOf("#"), listener = was.listeners[at < 0 ? name : name.slice(0, at)];
    if (listener === undefined) continue; // it had left before
    const route = at < 0 ? undefined : listener.routes[Number(name.slice(at + 1)) - 1];
    gone.push({ kind: "routes", number, name, policy: route?.["on-remove"] ?? listener["on-remove"] });
  }
  return gone;
}

/** Upstream and target, as the directory has them. */
function targetsOf({ upstreams }: Config): ReadonlySet<string> {
  return new Set(
    Object.entries(upstreams).flatMap(([name, { servers }]) =>
      servers.map((server) => `${name}\n${targetText(server)}`)
    ),
  );
}

/** In place of a socket, where there is none any more. */
const CLOSED = -1;

/** A listener that is gone. */
interface Ghost {
  readonly number: number;
  /** One, or a set of them on the very same port: each may have sessions. */
  sockets: readonly OpenSocket[];
  readonly configured: Config["listeners"][string];
  readonly upstreams: Config["upstreams"];
}

/** A listener that is gone, and how many are there that came by it. */
export interface LeavingView {
  readonly listener: string;
  readonly bind: string;
  readonly connections: number;
}

/** Numbers of what is to end. */
export type Ending = Readonly<Record<GoneKind, ReadonlySet<number>>>;

export class Departures {
  /** By `listenerKey`. */
  readonly #ghosts = new Map<string, Ghost>();
  #due: { readonly atMs: number; readonly gone: readonly Gone[] }[] = [];

  /** Those among `before` that another configuration has no more; who is back has not left. The socket of one may be
   * another's now: who came by it came by the listener that it was then.
   * @param numberOf the number of a listener */
  leave(
    before: readonly OpenSocket[],
    wanted: readonly OpenSocket[],
    { listeners, upstreams }: Config,
    numberOf: (key: string) => number,
  ): void {
    for (const socket of wanted) this.#ghosts.delete(listenerKey(socket));
    const stays = new Set(wanted.map(listenerKey)), taken = new Set(wanted.map(({ socket }) => socket));
    for (const [key, those] of Map.groupBy(before, listenerKey)) {
      const configured = listeners[those[0].listener];
      if (stays.has(key) || this.#ghosts.has(key) || configured === undefined) continue;
      const sockets = those.map((open) => taken.has(open.socket) ? { ...open, socket: CLOSED } : open);
      const led = upstreamsOf(configured).filter((name) => Object.hasOwn(upstreams, name));
      const to = Object.fromEntries(led.map((name) => [name, upstreams[name]]));
      this.#ghosts.set(key, { number: numberOf(key), sockets, configured, upstreams: to });
    }
  }

  /** Sockets that are closed: only connections are left of their listeners. */
  closed(sockets: readonly OpenSocket[]): void {
    const gone = new Set(sockets.map(({ socket }) => socket));
    for (const ghost of this.#ghosts.values()) {
      ghost.sockets = ghost.sockets.map((open) => gone.has(open.socket) ? { ...open, socket: CLOSED } : open);
    }
  }

  /** What the Plan has besides the configuration. */
  get leaving(): Leaving {
    const ghosts = [...this.#ghosts.values()];
    return {
      sockets: ghosts.flatMap(({ sockets }) => sockets),
      listeners: Object.fromEntries(
        ghosts.map(({ sockets, configured }) => [sockets[0].listener, configured]),
      ),
      upstreams: Object.fromEntries(ghosts.flatMap(({ upstreams }) => Object.entries(upstreams))),
    };
  }

  /** What is gone ends when its time is over; what is back has never been gone. */
  schedule(gone: readonly Gone[], nowMs: number, { current, routes }: Directory): void {
    const isBack = { listeners: current.listeners, servers: current.servers, routes };
    this.#due = this.#due.map(({ atMs, gone }) => ({
      atMs,
      gone: gone.filter(({ kind, number }) => !isBack[kind].has(number)),
    })).filter(({ gone }) => gone.length > 0);
    const timed = gone.filter(({ policy }) => policy.kind !== "keep");
    for (const [ms, those] of Map.groupBy(timed, ({ policy }) => policy.kind === "drain" ? policy.ms : 0)) {
      this.#due.push({ atMs: nowMs + ms, gone: those });
    }
  }

  /** Takes what is to end now; undefined: nothing. */
  due(nowMs: number): Ending | undefined {
    const due = this.#due.filter(({ atMs }) => atMs <= nowMs).flatMap(({ gone }) => gone);
    if (due.length === 0) return undefined;
    this.#due = this.#due.filter(({ atMs }) => atMs > nowMs);
    const of = (kind: GoneKind): ReadonlySet<number> =>
      new Set(due.flatMap((gone) => gone.kind === kind ? [gone.number] : []));
    return { listeners: of("listeners"), servers: of("servers"), routes: of("routes") };
  }

  /** Milliseconds until something is due; Infinity: nothing is. */
  nextMs(nowMs: number): number {
    return this.#due.reduce((least, { atMs }) => Math.min(least, Math.max(0, atMs - nowMs)), Infinity);
  }

  /** Listeners that are gone, for who looks. */
  view(connectionsOf: (listener: number) => number): LeavingView[] {
    return [...this.#ghosts.values()].map(({ number, sockets: [{ listener, bound }] }) => ({
      listener,
      bind: bound,
      connections: connectionsOf(number),
    }));
  }

  /** The sockets of each listener that is gone and has no connection any more. */
  left(connectionsOf: (listener: number) => number): readonly (readonly OpenSocket[])[] {
    return [...this.#ghosts.values()].filter(({ number }) => connectionsOf(number) === 0)
      .map(({ sockets }) => sockets);
  }

  /** Nothing is left of these. */
  forget(sockets: readonly OpenSocket[]): void {
    for (const socket of sockets) this.#ghosts.delete(listenerKey(socket));
  }

  /** Whether anything is looked after. */
  get isIdle(): boolean {
    return this.#ghosts.size === 0 && this.#due.length === 0;
  }
}
