// What of the control plane goes on in the next process: which sockets there are, what is known of servers, the keys of
// session tickets, what an operator said, and how often this has happened. Plain JSON, read with care: whoever wrote it
// may be of another version.
import { type Shared, Verdict } from "../../shared/servers.ts";
import type { OwnKeys } from "../certificates/tickets.ts";
import type { Config } from "../config/schema.ts";
import type { Directory, ServerEntry } from "../directory.ts";
import type { Socket } from "../listen_sockets.ts";

/** A listening socket; its descriptor comes in the same order. */
export interface HandedSocket {
  readonly listener: string;
  readonly bind: string;
  /** The configuration leaves the port to the kernel. */
  readonly anyPort: boolean;
  readonly datagrams: boolean;
  readonly isLent: boolean;
}

/** What is known of a server: its verdict, since when it is up, how fast it was; times by CLOCK_MONOTONIC in
 * milliseconds. */
export interface HandedServer {
  readonly upstream: string;
  readonly address: string;
  readonly verdict: number;
  readonly upMs: number;
  readonly latencyMs: number;
  readonly latencyAtMs: number;
}

export interface ControlState {
  /** Of the process that wrote it. */
  readonly version: string;
  readonly pid: number;
  /** Upgrades that led to it. */
  readonly upgrades: number;
  /** Where the admin API was: where the configuration leaves the port to the kernel, it is to stay. 0: no port. */
  readonly adminPort: number;
  readonly sockets: readonly HandedSocket[];
  readonly servers: readonly HandedServer[];
  readonly tickets?: OwnKeys;
  readonly overrides: unknown;
}

type Known = Readonly<Record<string, unknown>>;

export function readControlState(state: Known): ControlState {
  return {
    version: textOf(state.version),
    pid: numberOf(state.pid),
    upgrades: numberOf(state.upgrades),
    adminPort: numberOf(state.adminPort),
    sockets: listOf(state.sockets).map((socket) => ({
      listener: textOf(socket.listener),
      bind: textOf(socket.bind),
      anyPort: socket.anyPort === true,
      datagrams: socket.datagrams === true,
      isLent: socket.isLent === true,
    })),
    servers: listOf(state.servers).map((server) => ({
      upstream: textOf(server.upstream),
      address: textOf(server.address),
      verdict: numberOf(server.verdict),
      upMs: numberOf(server.upMs),
      latencyMs: numberOf(server.latencyMs),
      latencyAtMs: numberOf(server.latencyAtMs),
    })),
    tickets: ticketsOf(state.tickets),
    overrides: state.overrides,
  };
}

function ticketsOf(value: unknown): OwnKeys | undefined {
  const { keys, rotatedAtMs } = (value ?? {}) as Known;
  if (!Array.isArray(keys)) return undefined;
  return { keys: keys.filter((key) => typeof key === "string"), rotatedAtMs: numberOf(rotatedAtMs) };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function listOf(value: unknown): Known[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "object" && one !== null) : [];
}

export function handedSockets(sockets: readonly Socket[], { listeners }: Config): HandedSocket[] {
  return sockets.map(({ listener, bind, datagrams, isLent }) => {
    const address = listeners[listener]?.bind.find(({ text }) => text === bind)?.address;
    const anyPort = address !== undefined && address.kind !== "unix" && address.port === 0;
    return { listener, bind, anyPort, datagrams, isLent };
  });
}

type ServerColumns = Pick<Shared, "serverVerdict" | "serverUpMs" | "serverLatencyMs" | "serverLatencyAtMs">;

export function handedServers(directory: Directory, shared: ServerColumns): HandedServer[] {
  return [...directory.current.servers].flatMap((number) => directory.servers.get(number) ?? []).map((
    { number, upstream, address },
  ) => ({
    upstream,
    address,
    verdict: shared.serverVerdict[number],
    upMs: shared.serverUpMs[number],
    latencyMs: shared.serverLatencyMs[number],
    latencyAtMs: shared.serverLatencyAtMs[number],
  }));
}

/** Puts what was known of servers where everybody looks, before anybody does: a check begins with the verdict of its
 * servers. One that nobody checks any more has none. */
export function restoreServers(
  handed: readonly HandedServer[],
  directory: Directory,
  shared: ServerColumns,
): void {
  const known = new Map(handed.map((server) => [keyOf(server), server]));
  for (const number of directory.current.servers) {
    const entry = directory.servers.get(number), server = entry && known.get(keyOf(entry));
    if (entry === undefined || server === undefined) continue;
    const isVerdict = server.verdict === Verdict.Up || server.verdict === Verdict.Down;
    if (entry.probe !== 0 && isVerdict) shared.serverVerdict[number] = server.verdict;
    shared.serverUpMs[number] = server.upMs;
    shared.serverLatencyMs[number] = server.latencyMs;
    shared.serverLatencyAtMs[number] = server.latencyAtMs;
  }
}

export function keyOf({ upstream, address }: Pick<ServerEntry, "upstream" | "address">): string {
  return `${upstream}\n${address}`;
}
