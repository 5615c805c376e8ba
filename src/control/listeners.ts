// Listening sockets: opened and kept by the control plane, so that bind errors come before anything
// starts and no death of a Worker loses a queue. Reactors only watch them.
import { accessSync, constants, lstatSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { ADDRESS_BYTES, ARENA_SCRATCH, LISTENERS_MAX, NONE } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EMFILE, ENOENT, errnoName } from "../sys/errno.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import {
  INHERITED_SHARED,
  INHERITED_V6ONLY,
  LISTEN_DRY,
  LISTEN_REUSEPORT,
  QUEUE_MOST,
  QUEUE_WAITING,
  UDP_DRY,
  UDP_JOIN,
  UDP_SHARE,
} from "../sys/symbols.ts";
import {
  type Address,
  addressText,
  encodeAddress,
  formatAddress,
  isWildcard,
  type LiteralAddress,
} from "./config/address.ts";
import type { SocketNumbers } from "./config/compile_sockets.ts";
import { shown } from "./config/errors.ts";
import type { OpenSocket } from "./config/parts.ts";
import type { Config } from "./config/schema.ts";
import type { ListenerSocket } from "./config/socket_schema.ts";
import { type Inherited, notToListenWith } from "./inherited.ts";
import { settingFlaw } from "./sockets.ts";

/** Of an address record (see ffi/sluice.h). */
const FAMILY_UNIX = 1;

/** The kernel cuts it to net.core.somaxconn. */
export const BACKLOG = 65_535;

export interface Socket extends OpenSocket {
  /** The reactor that watches it, counted from 0; in balanced mode always the main one, but for datagrams. */
  readonly reactor: number;
  /** Its clients send datagrams. */
  readonly datagrams: boolean;
  /** What it is kept by when the configuration changes. */
  readonly key: string;
  /** What it was made with. */
  readonly made: ListenerSocket;
  /** A service manager has it too: it listens on when we stop. */
  readonly isLent: boolean;
}

/** A listener that could not be opened: one line with the remedy. */
export class ListenError extends Error {
  override name = "ListenError";
}

/** Sockets that are open already, and whom to tell what is not as it was asked for. */
export interface Inheritance {
  readonly inherited: Inherited;
  readonly warn: (line: string) => void;
}

/** What a configuration listens on, all of it open, and not yet in force. */
export interface Opening {
  readonly sockets: readonly Socket[];
  /** Those among them that were not open before. */
  readonly opened: readonly Socket[];
  /** Those that were, and are to be other than they are: by which settings. */
  readonly changed: readonly { readonly socket: number; readonly backlog: number; readonly number: number }[];
}

/** The listening sockets of the process. One that is there stays open while the configuration listens on its address,
 * whatever else it says about it: nobody who waits in its queue is lost. */
export class Listeners {
  readonly #reactors: number;
  readonly #isSet: boolean;
  #open: readonly Socket[] = [];
  #leaving: readonly Socket[] = [];

  /** `accept`: "reuseport" gives each reactor a TCP socket of its own. */
  constructor(reactors: number, accept: Config["accept"]) {
    this.#reactors = reactors;
    this.#isSet = accept === "reuseport";
  }

  /** Those of the configuration in force. */
  get open(): readonly Socket[] {
    return this.#open;
  }

  /** Those that it has no more, as long as they are not closed. */
  get leaving(): readonly Socket[] {
    return this.#leaving;
  }

  get all(): readonly Socket[] {
    return [...this.#open, ...this.#leaving];
  }

  /** Opens what a configuration listens on, as far as it is not open yet, or nothing. The settings of its sockets are
   * open. What is inherited is not opened. @throws ListenError */
  prepare(
    config: Config,
    numbers: SocketNumbers,
    resolve: (address: Address) => readonly LiteralAddress[],
    inheritance?: Inheritance,
  ): Opening {
    const sockets: Socket[] = [], opened: Socket[] = [], changed: Opening["changed"][number][] = [];
    const there = Map.groupBy(this.all, ({ key }) => key);
    const taken = new Set(this.all.map(({ socket }) => socket));
    try {
      for (const [name, listener] of Object.entries(config.listeners)) {
        const number = numbers.listeners.get(name) ?? NONE, backlog = listener.socket.backlog ?? BACKLOG;
        for (const bind of listener.bind) {
          for (const { key, address } of this.#addressesOf(name, bind, resolve)) {
            const kept = there.get(key);
            if (kept !== undefined) {
              for (const socket of kept) {
                sockets.push({ ...socket, listener: name, bind: bind.text, made: listener.socket });
                if (!isChanged(name, socket, listener.socket)) continue;
                changed.push({ socket: socket.socket, backlog, number });
              }
              continue;
            }
            const datagrams = bind.protocol === "udp";
            const isSet = datagrams || (this.#isSet && address.kind === "ip");
            const how = { key, made: listener.socket, number, backlog, datagrams };
            const first = opened.length, place = { listener: name, bind: bind.text, address };
            openCopies(opened, taken, place, isSet ? this.#reactors : 1, how, inheritance);
            sockets.push(...opened.slice(first));
          }
        }
      }
    } catch (error) {
      closeListeners(opened);
      throw error;
    }
    return { sockets, opened, changed };
  }

  /** What was prepared is not wanted. */
  abandon({ opened }: Opening): void {
    closeListeners(opened);
  }

  /** What was prepared is in force. @returns those to be watched, and those that are wanted no more: to be closed once
   * reactors look at them no more */
  commit(
    { sockets, changed }: Opening,
  ): { readonly watched: readonly Socket[]; readonly gone: readonly Socket[] } {
    const kept = new Set(sockets.map(({ socket }) => socket));
    const before = new Set(this.#open.map(({ socket }) => socket));
    const gone = this.#open.filter(({ socket }) => !kept.has(socket));
    this.#leaving = [...this.#leaving.filter(({ socket }) => !kept.has(socket)), ...gone];
    this.#open = sockets;
    for (const { socket, backlog, number } of changed) sys.listener_set(socket, backlog, number);
    return { watched: sockets.filter(({ socket }) => !before.has(socket)), gone };
  }

  /** Lets nobody further into the queues of these; those who are in can still be taken. The queue of a socket that is
   * lent goes on: who comes late is served by whom the service manager starts next. */
  stop(sockets: readonly Socket[]): void {
    for (const { socket, isLent } of sockets) if (!isLent) sys.listener_stop(socket);
  }

  /** Closes these. */
  close(sockets: readonly Socket[]): void {
    const gone = new Set(sockets.map(({ socket }) => socket));
    closeListeners(sockets);
    this.#leaving = this.#leaving.filter(({ socket }) => !gone.has(socket));
    this.#open = this.#open.filter(({ socket }) => !gone.has(socket));
  }

  /** Where a bind is to be, with the key of each place. A name stays where it was opened. A port that the kernel is to
   * choose is the listener's own. */
  #addressesOf(
    listener: string,
    { text, address, protocol }: Config["listeners"][string]["bind"][number],
    resolve: (address: Address) => readonly LiteralAddress[],
  ): { readonly key: string; readonly address: LiteralAddress }[] {
    const kind = protocol === "udp" ? "udp" : "stream";
    const keyOf = (at: LiteralAddress): string =>
      at.kind === "ip" && at.port === 0 ? `${kind} ${listener} ${text}` : `${kind} ${addressText(at)}`;
    const known = address.kind === "name" ? this.all.filter(({ bind }) => bind === text) : [];
    if (known.length > 0) {
      return [...new Set(known.map(({ key }) => key))].map((key) => ({ key, address: NOWHERE }));
    }
    const addresses = resolve(address);
    if (addresses.length > 0) return addresses.map((address) => ({ key: keyOf(address), address }));
    throw new ListenError(`${text}: the name does not resolve; write an address of this machine`);
  }
}

/** Of a socket that is open already, which nobody asks for. */
const NOWHERE: LiteralAddress = { kind: "unix", path: "" };

/** Keys of `socket` that a socket takes on while it listens. */
const LIVE: ReadonlySet<string> = new Set([
  "nodelay",
  "keep-alive",
  "user-timeout",
  "receive-buffer",
  "send-buffer",
  "defer-accept",
  "fast-open",
  "backlog",
]);

/** Whether a socket that is open is to be made with something else. @throws ListenError: it cannot be */
function isChanged(listener: string, { bind, made }: Socket, wanted: ListenerSocket): boolean {
  const before: Readonly<Record<string, unknown>> = made, after: Readonly<Record<string, unknown>> = wanted;
  let changed = false;
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (JSON.stringify(before[key]) === JSON.stringify(after[key])) continue;
    changed = true;
    if (LIVE.has(key) && (after[key] !== undefined || key === "backlog")) continue;
    throw new ListenError(
      `listeners.${
        shown(listener)
      }.socket.${key}: ${bind} is open, and sockets keep that for as long as they are; ` +
        `restart Sluice, or listen on another address`,
    );
  }
  return changed;
}

function closeListeners(sockets: readonly Socket[]): void {
  for (const { socket } of sockets) sys.listener_close(socket);
}

/** Whether unix paths go when their sockets are closed: no, once another Sluice listens there as well; and yes, once it
 * is we who have taken that over. Those of sockets that are lent stay. */
export function ownPaths(sockets: readonly Socket[], ours: boolean): void {
  for (const { socket, isLent } of sockets) {
    if (!isLent) sys.listener_path(socket, ours ? 1 : 0);
  }
}

/** Datagrams that were lost because a receive buffer was full. */
export function datagramsLost(sockets: readonly Socket[]): number {
  return sockets.filter(({ datagrams }) => datagrams)
    .reduce((sum, { socket }) => sum + Math.max(0, sys.udp_lost(socket)), 0);
}

/** Connections that wait in the kernel until a reactor accepts them, and how many may. */
export interface AcceptQueue {
  readonly waiting: number;
  readonly max: number;
  /** How full the fullest of its queues is, 0 to 1 (the kernel takes one more): each reactor may have one. */
  readonly fullest: number;
}

/** The queues of each listener's sockets, as one, by the listener's number. None of those that have none, or of which
 * the kernel does not tell: datagrams, unix sockets, none at all. */
export function acceptQueuesOf(
  sockets: readonly Socket[],
  plan: Pick<Plan, "sockets" | "socketListener"> | undefined,
): Map<number, AcceptQueue> {
  const queues = new Map<number, AcceptQueue>();
  for (const { socket, datagrams } of sockets) {
    const max = datagrams || plan === undefined || socket >= plan.sockets
      ? 0
      : sys.listener_queue(socket, QUEUE_MOST);
    if (max <= 0) continue;
    const listener = plan!.socketListener[socket], others = queues.get(listener);
    const waiting = Math.max(0, sys.listener_queue(socket, QUEUE_WAITING));
    queues.set(listener, {
      waiting: waiting + (others?.waiting ?? 0),
      max: max + (others?.max ?? 0),
      fullest: Math.max(waiting / max, others?.fullest ?? 0),
    });
  }
  return queues;
}

/** Why an address could not be listened on. `inUse`: by somebody who may be gone when it matters. */
export interface AddressFlaw {
  readonly what: string;
  readonly remedy: string;
  readonly inUse: boolean;
  /** The key under `socket` that it is about; without it, the address. */
  readonly key?: string;
}

/** Why an address could not be listened on now with settings `number`, found without listening. In use may mean: by
 * the running Sluice. */
export function addressFlaw(
  address: LiteralAddress,
  { number = NONE, datagrams = false, mptcp = false }: {
    readonly number?: number;
    readonly datagrams?: boolean;
    readonly mptcp?: boolean;
  } = {},
): AddressFlaw | undefined {
  if (address.kind === "unix") return pathFlaw(address.path);
  const flaw = (text: string) => {
    const [what, ...remedy] = text.split("; ");
    return { what, remedy: remedy.join("; "), inUse: false };
  };
  let record: Uint8Array;
  try {
    record = addressRecord(address.ip, address);
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    return flaw(error.message);
  }
  arenaBytes.set(record, ARENA_SCRATCH);
  const result = datagrams
    ? sys.udp_listen(LISTENERS_MAX - 1, ARENA_SCRATCH, UDP_DRY)
    : sys.listen(LISTENERS_MAX - 1, ARENA_SCRATCH, LISTEN_DRY, BACKLOG, number);
  if (result === 0) return undefined;
  const setting = number === NONE || datagrams ? undefined : settingFlaw(-result, mptcp);
  if (setting !== undefined) return { ...setting, inUse: false };
  if (result !== -EADDRINUSE) return flaw(listenProblem(-result, address, datagrams));
  return {
    what: "the address is in use now, maybe by the running Sluice",
    remedy: `${shownBy(datagrams)} shows by whom`,
    inUse: true,
  };
}

function pathFlaw(path: string): AddressFlaw | undefined {
  const directory = dirname(path);
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT"
      ? { what: "the directory of that path does not exist", remedy: "create it first", inUse: false }
      : {
        inUse: false,
        what: "this user may not make a socket there",
        remedy: `change the owner or the mode of ${directory}`,
      };
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  return found.isSocket()
    ? {
      what: "a socket is there now, maybe of the running Sluice",
      remedy: "ss -lxp shows whose it is",
      inUse: true,
    }
    : {
      what: "a file is there that is no socket",
      remedy: "remove it, or choose another path",
      inUse: false,
    };
}

/** Where a listener is bound. */
interface Place {
  readonly listener: string;
  readonly bind: string;
  readonly address: LiteralAddress;
}

interface Kind {
  readonly key: string;
  readonly made: ListenerSocket;
  /** Of its settings. */
  readonly number: number;
  readonly backlog: number;
  readonly datagrams: boolean;
}

/** The index in C for one more, which is taken. */
function takeSocket(taken: Set<number>, bind: string): number {
  let socket = 0;
  while (taken.has(socket)) socket++;
  if (socket >= LISTENERS_MAX) throw new ListenError(`${bind}: more than ${LISTENERS_MAX} listening sockets`);
  taken.add(socket);
  return socket;
}

/** Takes what is open already at that place: all of it, since the kernel has shared clients out among them, spread over
 * the reactors that watch `copies`. @returns how many of the copies need no opening */
function adoptCopies(
  open: Socket[],
  taken: Set<number>,
  { listener, bind, address }: Place,
  copies: number,
  { key, made, number, backlog, datagrams }: Kind,
  { inherited, warn }: Inheritance,
): number {
  const given = inherited.take(address, datagrams, Infinity);
  let isShared = true;
  for (const [copy, { fd, isLent = false }] of given.entries()) {
    const socket = takeSocket(taken, bind), kind = sys.inherited(fd, ARENA_SCRATCH);
    const result = kind < 0 ? kind : sys.listener_adopt(socket, fd);
    if (result < 0) throw new ListenError(`${bind}: the inherited fd ${fd} is ${notToListenWith(-result)}`);
    const where = boundOf(socket, bind), reactor = copy % copies;
    open.push({ socket, listener, bind, ...where, reactor, datagrams, key, made, isLent });
    isShared &&= (kind & INHERITED_SHARED) !== 0;
    const set = `${bind}: listeners.${shown(listener)}.socket`;
    if (!datagrams && sys.listener_set(socket, backlog, number) < 0) {
      warn(`${set}: the kernel refuses a part of it for the socket that was inherited`);
    }
    if (copy === 0 && isLent) { for (const key of unitsKeys(made, address, kind)) warn(`${set}.${key}`); }
  }
  if (given.length === 0 || given.length >= copies || isShared) return Math.min(given.length, copies);
  warn(tooFew(bind, given.length, copies));
  return copies;
}

/** What a socket is made with that a socket unit has to say, and who opens it. */
const UNIT: readonly (readonly [key: keyof ListenerSocket, directive: string])[] = [
  ["interface", "BindToDevice="],
  ["transparent", "Transparent=yes"],
  ["mptcp", "SocketProtocol=mptcp"],
  ["mode", "SocketMode="],
  ["user", "SocketUser="],
  ["group", "SocketGroup="],
];

/** Keys that the service manager's socket is not made with, each with what is to be done. */
function unitsKeys(made: ListenerSocket, address: LiteralAddress, kind: number): string[] {
  const isV6Only = (kind & INHERITED_V6ONLY) !== 0, asked = made.v6only === true;
  const both = isWildcard(address) && address.kind === "ip" && address.family === 6 && isV6Only !== asked;
  return [
    ...UNIT.filter(([key]) => made[key] !== undefined && made[key] !== false)
      .map(([key, directive]) => `${key} is for the socket unit to say (${directive}), which has opened it`),
    ...(both
      ? [`v6only is ${isV6Only}, as the socket unit has it (BindIPv6Only=${asked ? "ipv6-only" : "both"})`]
      : []),
  ];
}

function tooFew(bind: string, sockets: number, reactors: number): string {
  const those = sockets === 1 ? "one reactor" : `${sockets} reactors`;
  return `${bind}: ${those} of ${reactors} will serve it, since nobody else may share the port that was inherited; ` +
    `write its line ${reactors} times in the socket unit, with ReusePort=yes`;
}

/** One socket, or one for each reactor on the very same port; those that are inherited are there already. */
function openCopies(
  open: Socket[],
  taken: Set<number>,
  place: Place,
  copies: number,
  kind: Kind,
  inheritance: Inheritance | undefined,
): void {
  const { listener, bind, address } = place, { key, made, number, backlog, datagrams } = kind;
  const adopted = inheritance === undefined ? 0 : adoptCopies(open, taken, place, copies, kind, inheritance);
  let record = addressRecord(bind, address);
  if (adopted > 0 && address.kind === "ip") record = rememberPort(record, open.at(-1)!.port);
  for (let reactor = adopted; reactor < copies; reactor++) {
    const socket = takeSocket(taken, bind);
    arenaBytes.set(record, ARENA_SCRATCH);
    const result = datagrams
      ? sys.udp_listen(socket, ARENA_SCRATCH, reactor > 0 ? UDP_JOIN : copies > 1 ? UDP_SHARE : 0)
      : sys.listen(socket, ARENA_SCRATCH, copies > 1 ? LISTEN_REUSEPORT : 0, backlog, number);
    if (result === -EADDRINUSE && adopted > 0) { // another user's port
      inheritance!.warn(tooFew(bind, reactor, copies));
      return;
    }
    if (result < 0) {
      const flaw = number === NONE || datagrams ? undefined : settingFlaw(-result, made.mptcp === true);
      const why = flaw === undefined
        ? listenProblem(-result, address, datagrams)
        : `listeners.${shown(listener)}.socket.${flaw.key}: ${flaw.what}; ${flaw.remedy}`;
      throw new ListenError(`${bind}: ${why}`);
    }
    const where = boundOf(socket, bind);
    open.push({ socket, listener, bind, ...where, reactor, datagrams, key, made, isLent: false });
    // Port 0: the others share the port that the kernel chose for the first.
    if (address.kind === "ip" && address.port === 0) record = rememberPort(record, where.port);
  }
}

/** Where the kernel has it. */
function boundOf(socket: number, bind: string): { bound: string; port: number } {
  const told = sys.listener_address(socket, ARENA_SCRATCH);
  if (told < 0) {
    sys.listener_close(socket);
    throw new ListenError(`${bind}: ${errnoName(-told)}`);
  }
  const isIp = arenaBytes[ARENA_SCRATCH] !== FAMILY_UNIX;
  return {
    bound: formatAddress(arenaBytes, ARENA_SCRATCH),
    port: isIp ? arenaBytes[ARENA_SCRATCH + 2] << 8 | arenaBytes[ARENA_SCRATCH + 3] : 0,
  };
}

/** @throws ListenError when the address names an interface that is not there */
function addressRecord(bind: string, address: LiteralAddress): Uint8Array {
  try {
    return encodeAddress(address);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ListenError(`${bind}: ${why}; \`ip -6 addr\` lists the interfaces`);
  }
}

function rememberPort(record: Uint8Array, port: number): Uint8Array {
  const next = record.slice(0, ADDRESS_BYTES);
  next.set([port >> 8, port & 0xff], 2);
  return next;
}

/** The command that shows who has a port. */
function shownBy(datagrams: boolean): string {
  return datagrams ? "ss -lunp" : "ss -ltnp";
}

function listenProblem(errno: number, address: LiteralAddress, datagrams: boolean): string {
  switch (errno) {
    case EADDRINUSE:
      return address.kind === "unix"
        ? "the address is already in use; stop what listens there (ss -lxp shows it), remove a file that is no " +
          "socket, or choose another path"
        : `the address is already in use; stop what listens there (${
          shownBy(datagrams)
        } shows it) or choose another port`;
    case EACCES:
      return address.kind === "ip" && address.port < unprivilegedPort()
        ? `port ${address.port} is privileged; run as root, grant CAP_NET_BIND_SERVICE, or choose a port of ` +
          `${unprivilegedPort()} or more`
        : "permission denied; choose a path or port that this user may use";
    case EADDRNOTAVAIL:
      return "this machine has no such address; `ip addr` lists those it has";
    case ENOENT:
      return "the directory of that path does not exist; create it first";
    case EAFNOSUPPORT:
      return "this machine has no IPv6; write the address as 0.0.0.0:PORT";
    case EMFILE:
      return "no file descriptors left; raise the limit (ulimit -n)";
    default:
      return errnoName(errno);
  }
}

function unprivilegedPort(): number {
  try {
    return Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8")) || 1024;
  } catch {
    return 1024;
  }
}
