// What a generation is made of: listeners, upstreams, servers and probes get numbers that they keep for as long as
// they are there, and the directory learns their names.
import {
  LISTENERS_MAX,
  NONE,
  PROBES_MAX,
  PROFILES_MAX,
  ROUTES_MAX,
  SERVERS_MAX,
  SERVERS_PER_UPSTREAM_MAX,
  SOCKETS_MAX,
  UPSTREAMS_MAX,
} from "../../base/limits.ts";
import { SendProxy } from "../../plan/plan.ts";
import type { Directory } from "../directory.ts";
import type { OverridesView } from "../overrides.ts";
import { beginProxy, finishProxy } from "../../proto/proxy_print.ts";
import { Numbers } from "../numbers.ts";
import {
  type Address,
  addressText,
  authorityOf,
  encodeAddress,
  type LiteralAddress,
  targetText,
} from "./address.ts";
import type { NumberedListener } from "./compile_listeners.ts";
import { probeSocketOf, type SocketNumbers, socketNumbers, socketOf } from "./compile_sockets.ts";
import {
  type ProfileNumbers,
  profileNumbers,
  profileOfBind,
  type ServerSession,
  sessionOf,
} from "./compile_tls.ts";
import type { HealthCheck } from "./health_schema.ts";
import { requestOf, statusSet } from "./http_check.ts";
import { onlyByDatagrams, upstreamsOf } from "./leads.ts";
import type { ListFiles } from "./list_files.ts";
import { sendProxyBits } from "./proxy_schema.ts";
import type { Config } from "./schema.ts";
import type { Server as ConfiguredServer } from "./upstream_schema.ts";

/** A header without addresses; its writer asks for room for the longest ones. */
const LOCAL_BYTES_MAX = 256;

/** A listening socket that is open. */
export interface OpenSocket {
  /** Its index in C. */
  readonly socket: number;
  /** The configured listener, and which of its binds. */
  readonly listener: string;
  readonly bind: string;
  /** Where the kernel bound it. */
  readonly bound: string;
  /** 0: a unix socket. */
  readonly port: number;
}

/** Numbers of everything that has an identity, for the life of the process. */
export class Identities {
  readonly listeners = new Numbers(LISTENERS_MAX);
  readonly upstreams = new Numbers(UPSTREAMS_MAX);
  readonly servers = new Numbers(SERVERS_MAX);
  readonly probes = new Numbers(PROBES_MAX);
  readonly routes = new Numbers(ROUTES_MAX);
  /** Configured listeners that count their connections: rows of shared/sources.ts. */
  readonly limiters = new Numbers(LISTENERS_MAX);
  /** Settings of sockets, and TLS profiles, as C has them. */
  readonly sockets = new Numbers(SOCKETS_MAX);
  readonly profiles = new Numbers(PROFILES_MAX);
}

const KINDS = [
  "listeners",
  "upstreams",
  "servers",
  "probes",
  "routes",
  "limiters",
  "sockets",
  "profiles",
] as const satisfies readonly (keyof Identities)[];

export interface CompileInput {
  readonly config: Config;
  readonly generation: number;
  readonly sockets: readonly OpenSocket[];
  /** The addresses a target stands for now. */
  readonly resolve: (target: Address) => readonly LiteralAddress[];
  /** The number of a compiled regular expression. */
  readonly patternOf: (source: Uint8Array) => number;
  /** Of the ACME account's key (RFC 8555 section 8.1), where certificates are had by themselves: every HTTP listener
   * answers challenges with it. */
  readonly acmeThumbprint?: string;
  /** What the files of lists hold now; as they were when the configuration was read if not given. */
  readonly listFiles?: ListFiles;
  /** What an operator says of servers; nothing if not given. */
  readonly overrides?: OverridesView;
  /** What the configuration has no more, for those who came by it. */
  readonly leaving?: Leaving;
}

/** Listeners that are there no more but for the connections that they have, and where those go. */
export interface Leaving {
  readonly sockets: readonly OpenSocket[];
  readonly listeners: Config["listeners"];
  readonly upstreams: Config["upstreams"];
}

const NOBODY_LEAVES: Leaving = { sockets: [], listeners: {}, upstreams: {} };

/** A configuration with what leaves it, as far as it has nothing of the same name. */
export function withLeaving(config: Config, { listeners, upstreams }: Leaving): Config {
  return {
    ...config,
    listeners: { ...listeners, ...config.listeners },
    upstreams: { ...upstreams, ...config.upstreams },
  };
}

/** Something that does not fit: told, and left out. */
export type CompileWarning = string;

export interface Upstream {
  readonly number: number;
  readonly name: string;
  readonly configured: Config["upstreams"][string];
  readonly servers: readonly number[];
}

export interface Server {
  readonly number: number;
  readonly upstream: number;
  readonly address: LiteralAddress;
  readonly configured: ConfiguredServer;
  readonly session: ServerSession;
  /** See Plan, serverSocket. */
  readonly socket: number;
}

export interface Probe {
  readonly number: number;
  readonly check: HealthCheck;
  readonly address: LiteralAddress;
  /** What it says. */
  readonly send: Uint8Array;
  /** It goes by datagrams. */
  readonly datagrams: boolean;
  readonly servers: number[];
  readonly session: ServerSession;
  /** How it says that it is nobody's (SendProxy). */
  readonly sends: number;
  readonly socket: number;
}

/** What a generation is made of, numbered. */
export interface Parts {
  /** By `listenerKey`. */
  readonly listeners: ReadonlyMap<string, NumberedListener>;
  readonly upstreams: readonly Upstream[];
  readonly servers: readonly Server[];
  readonly probes: readonly Probe[];
}

/** One generation on its way: what it is compiled from, and who learns of it. */
export interface Compiling {
  /** Its configuration is the one with what leaves it. */
  readonly input: CompileInput;
  /** Upstreams that the configuration has still are none of it. */
  readonly leaving: Leaving;
  readonly numbers: Numbering;
  readonly directory: Directory;
  readonly warnings: CompileWarning[];
  readonly profiles: ProfileNumbers;
  readonly sockets: SocketNumbers;
}

/** Begins a generation. */
export function beginCompiling(
  given: CompileInput,
  identities: Identities,
  directory: Directory,
): Compiling {
  const numbers = new Numbering(identities), { leaving = NOBODY_LEAVES } = given;
  const input = { ...given, config: withLeaving(given.config, leaving) };
  directory.begin();
  const gone = Object.entries(leaving.upstreams).filter(([name]) =>
    !Object.hasOwn(given.config.upstreams, name)
  );
  return {
    input,
    leaving: { ...leaving, upstreams: Object.fromEntries(gone) },
    numbers,
    directory,
    warnings: [],
    profiles: profileNumbers(input.config, (key) => numbers.take("profiles", key)),
    sockets: socketNumbers(input.config, (key) => numbers.take("sockets", key)),
  };
}

/** Gives numbers to the things of one generation, and remembers which are in use. */
export class Numbering {
  readonly #identities: Identities;
  readonly #kept = Object.fromEntries(KINDS.map((kind) => [kind, new Set()])) as Record<
    keyof Identities,
    Set<string>
  >;

  constructor(identities: Identities) {
    this.#identities = identities;
  }

  /** NONE when there are no more. */
  take(kind: keyof Identities, key: string): number {
    const number = this.#identities[kind].take(key);
    if (number !== NONE) this.#kept[kind].add(key);
    return number;
  }

  /** Ends the identity of everything that this generation did not take. */
  retain(generation: number): void {
    for (const kind of KINDS) {
      this.#identities[kind].retain(this.#kept[kind], generation);
    }
  }
}

/** Every upstream with its servers, and the checks that they need. */
export function gatherUpstreams(compiling: Compiling): Omit<Parts, "listeners"> {
  const { input, leaving, numbers, directory, warnings, profiles, sockets } = compiling;
  const upstreams: Upstream[] = [], servers: Server[] = [];
  const probes = new Map<string, Probe>();
  const byDatagrams = onlyByDatagrams(Object.values(input.config.listeners));
  for (const [name, configured] of Object.entries(input.config.upstreams)) {
    const { servers: targets, health } = configured;
    const number = numbers.take("upstreams", name);
    if (number === NONE) {
      warnings.push(`upstream "${name}": more than ${UPSTREAMS_MAX - 1} upstreams; it is left out`);
      continue;
    }
    const members: number[] = [], isLeaving = Object.hasOwn(leaving.upstreams, name);
    for (const { key, target: configuredTarget, address } of resolvedServers(name, targets, input.resolve)) {
      const server = numberServer(compiling, name, key, address, members.length);
      if (server === NONE) continue;
      members.push(server);
      const own = {
        upstream: name,
        target: targetText(configuredTarget),
        address: addressText(address),
      };
      const weight = input.overrides?.weightOf(own, configuredTarget.weight) ?? configuredTarget.weight;
      const disabled = input.overrides?.isDisabled(own) ?? false;
      const target = weight === configuredTarget.weight ? configuredTarget : { ...configuredTarget, weight };
      const session = sessionOf(profiles, name, configured, target);
      const socket = socketOf(sockets, name, configured);
      const placed = { number: server, upstream: number, address, configured: target, session, socket };
      servers.push(placed);
      const probe = health === "off" || disabled ? NONE : addProbe(probes, numbers, health, placed, {
        sendsProxy: sendProxyBits(configured["send-proxy"]),
        datagrams: byDatagrams.has(name) && isText(health),
      });
      directory.add("servers", {
        ...own,
        number: server,
        probe,
        weight,
        configuredWeight: configuredTarget.weight,
        disabled,
        backup: target.backup,
      }, isLeaving);
    }
    upstreams.push({ number, name, configured, servers: members });
    directory.add("upstreams", { number, name, servers: members, names: namesOf(targets) }, isLeaving);
  }
  for (const { number, address, servers, check } of probes.values()) {
    directory.add("probes", {
      number,
      address: addressText(address),
      servers,
      intervalMs: check.interval,
      fall: check.fall,
      rise: check.rise,
      check,
    });
  }
  return { upstreams, servers, probes: [...probes.values()] };
}

/** The addresses that the targets of an upstream stand for now, each with the key of its identity: the same
 * address of the same target again is another server. */
function* resolvedServers(
  upstream: string,
  targets: readonly ConfiguredServer[],
  resolve: CompileInput["resolve"],
): Generator<{ key: string; target: ConfiguredServer; address: LiteralAddress }> {
  const seen = new Map<string, number>();
  for (const target of targets) {
    for (const address of resolve(target.address)) {
      const key = `${upstream}\n${targetText(target)}\n${addressText(address)}`;
      const nth = (seen.get(key) ?? 0) + 1;
      seen.set(key, nth);
      yield { key: `${key}\n${nth}`, target, address };
    }
  }
}

/** The number of one more server of an upstream that has `count`; NONE, and a warning, if it is left out. */
function numberServer(
  { numbers, warnings }: Compiling,
  upstream: string,
  key: string,
  address: LiteralAddress,
  count: number,
): number {
  const text = addressText(address), record = recordOf(address);
  if (typeof record === "string") {
    warnings.push(`upstream "${upstream}": ${text} is left out: ${record}`);
    return NONE;
  }
  const server = count < SERVERS_PER_UPSTREAM_MAX ? numbers.take("servers", key) : NONE;
  if (server === NONE) warnings.push(`upstream "${upstream}": too many servers; ${text} is left out`);
  return server;
}

/** The listeners that have a socket. */
export function gatherListeners(
  { input, leaving, numbers, directory, profiles }: Compiling,
): ReadonlyMap<string, NumberedListener> {
  const listeners = new Map<string, NumberedListener>();
  const add = (socket: OpenSocket, leaves: boolean): void => {
    const name = socket.listener, present = input.config.listeners[name], key = listenerKey(socket);
    if (present === undefined || listeners.has(key)) return;
    const before = leaves ? leaving.listeners[name] : undefined;
    // One of the same name goes by what that says now, unless it speaks another protocol.
    const isOther = before !== undefined && before.bind[0].protocol !== present.bind[0].protocol;
    const configured = isOther ? before : present;
    const number = numbers.take("listeners", key);
    const profile = profileOfBind(profiles, name, configured, socket.bind);
    listeners.set(key, { number, name, configured, port: socket.port, profile, leaves });
    const upstreams = upstreamsOf(configured), upstream = upstreams.join(", ");
    directory.add("listeners", { number, name, bind: socket.bound, upstreams, upstream }, leaves);
  };
  for (const socket of input.sockets) add(socket, false);
  for (const socket of leaving.sockets) add(socket, true);
  return listeners;
}

/** What a listener keeps its number by: copies of a socket are one. */
export function listenerKey({ listener, bind }: OpenSocket): string {
  return `${listener}\n${bind}`;
}

/** The host names among targets, each once. */
function namesOf(targets: Config["upstreams"][string]["servers"]): string[] {
  return [...new Set(targets.flatMap(({ address }) => address.kind === "name" ? [address.name] : []))];
}

/** The address as C has it; or why it has no such form: an interface that is not there. */
function recordOf(address: LiteralAddress): Uint8Array | string {
  try {
    return encodeAddress(address);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Whether a check says something of its own and hears something: where servers get datagrams, by them. */
function isText({ tcp, http }: HealthCheck): boolean {
  return !tcp && http === undefined;
}

/** One address is probed once, whoever names it, as long as it is asked the same thing. */
function addProbe(
  probes: Map<string, Probe>,
  numbers: Numbering,
  check: HealthCheck,
  { number: server, configured: target, address, session, socket: how }: Server,
  { sendsProxy, datagrams }: { readonly sendsProxy: number; readonly datagrams: boolean },
): number {
  const { http, interval, timeout, fall, rise } = check;
  const own = http === undefined ? check.send : requestOf(http, authorityOf(target.address, target.tls));
  const sends = datagrams ? 0 : sendsProxy & (SendProxy.Version | SendProxy.Checksum); // the rest is about clients
  const send = datagrams && sendsProxy !== 0
    ? localDatagram(own, (sendsProxy & SendProxy.Checksum) !== 0)
    : own;
  const expect = check.expect === undefined
    ? ""
    : check.expect.kind + hex(check.expect.kind === "text" ? check.expect.bytes : check.expect.source);
  const statuses = http === undefined ? "" : hex(statusSet(http.statuses));
  const socket = probeSocketOf(how);
  const asked = [
    sends,
    session.profile,
    session.name,
    datagrams,
    socket,
    check.tcp,
    hex(send),
    expect,
    statuses,
  ];
  const key = [addressText(address), ...asked, interval, timeout, fall, rise].join("\n");
  const known = probes.get(key);
  if (known !== undefined) {
    known.servers.push(server);
    return known.number;
  }
  const number = numbers.take("probes", key);
  if (number !== NONE) {
    probes.set(key, { number, check, address, send, datagrams, session, sends, socket, servers: [server] });
  }
  return number;
}

/** A datagram behind a PROXY header that says that it is nobody's. */
function localDatagram(datagram: Uint8Array, checksum: boolean): Uint8Array {
  const whole = new Uint8Array(LOCAL_BYTES_MAX + datagram.length);
  const end = finishProxy(whole, 0, beginProxy(whole, 0, LOCAL_BYTES_MAX, -1, true), checksum);
  whole.set(datagram, end);
  return whole.subarray(0, end + datagram.length);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
