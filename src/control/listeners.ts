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
  encodeAddress,
  formatAddress,
  isWildcard,
  type LiteralAddress,
} from "./config/address.ts";
import { socketNumbers } from "./config/compile_sockets.ts";
import { shown } from "./config/errors.ts";
import type { OpenSocket } from "./config/parts.ts";
import type { Config } from "./config/schema.ts";
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

/** Opens every listener of a configuration, or none: on the first failure those already open are
 * closed again. The settings of their sockets are open. What is inherited is not opened. @throws ListenError */
export function openListeners(
  config: Config,
  reactors: number,
  resolve: (address: Address) => readonly LiteralAddress[],
  inheritance?: Inheritance,
): Socket[] {
  const open: Socket[] = [], numbers = socketNumbers(config);
  try {
    for (const [name, listener] of Object.entries(config.listeners)) {
      const how = {
        number: numbers.listeners.get(name) ?? NONE,
        backlog: listener.socket.backlog ?? BACKLOG,
        mptcp: listener.socket.mptcp === true,
        v6only: listener.socket.v6only === true,
      };
      for (const bind of listener.bind) {
        const addresses = resolve(bind.address);
        if (addresses.length === 0) {
          throw new ListenError(`${bind.text}: the name does not resolve; write an address of this machine`);
        }
        for (const address of addresses) {
          const datagrams = bind.protocol === "udp";
          const isSet = datagrams || (config.accept === "reuseport" && address.kind === "ip");
          const copies = isSet ? reactors : 1, kind = { ...how, datagrams };
          const adopted = inheritance === undefined
            ? 0
            : adoptCopies(open, name, bind.text, address, copies, kind, inheritance);
          openCopies(open, name, bind.text, address, copies, kind, adopted, inheritance?.warn ?? (() => {}));
        }
      }
    }
  } catch (error) {
    closeListeners(open);
    throw error;
  }
  return open;
}

/** Lets nobody further into the queues; those who are in can still be taken. The queue of a socket that is lent goes
 * on: who comes late is served by whom the service manager starts next. */
export function stopListeners(sockets: readonly Socket[]): void {
  for (const { socket, isLent } of sockets) if (!isLent) sys.listener_stop(socket);
}

export function closeListeners(sockets: readonly Socket[]): void {
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

interface Kind {
  /** Of its settings. */
  readonly number: number;
  readonly backlog: number;
  readonly mptcp: boolean;
  readonly v6only: boolean;
  readonly datagrams: boolean;
}

/** The index in C for one more. */
function nextSocket(open: readonly Socket[], bind: string): number {
  if (open.length < LISTENERS_MAX) return open.length;
  throw new ListenError(`${bind}: more than ${LISTENERS_MAX} listening sockets`);
}

/** Takes what is open already at that address: all of it, since the kernel has shared clients out among them, spread
 * over the reactors that watch `copies`. @returns how many of the copies need no opening */
function adoptCopies(
  open: Socket[],
  listener: string,
  bind: string,
  address: LiteralAddress,
  copies: number,
  { number, backlog, datagrams, v6only }: Kind,
  { inherited, warn }: Inheritance,
): number {
  const taken = inherited.take(address, datagrams, Infinity);
  let isShared = true;
  for (const [copy, { fd, isLent = false }] of taken.entries()) {
    const socket = nextSocket(open, bind), kind = sys.inherited(fd, ARENA_SCRATCH);
    const result = kind < 0 ? kind : sys.listener_adopt(socket, fd);
    if (result < 0) throw new ListenError(`${bind}: the inherited fd ${fd} is ${notToListenWith(-result)}`);
    open.push({
      socket,
      listener,
      bind,
      ...boundOf(socket, bind),
      reactor: copy % copies,
      datagrams,
      isLent,
    });
    isShared &&= (kind & INHERITED_SHARED) !== 0;
    const tuned = datagrams ? 0 : sys.listener_tune(socket, backlog, number);
    const flaw = tuned < 0 && number !== NONE ? settingFlaw(-tuned, false) : undefined;
    if (flaw !== undefined) {
      const key = `listeners.${shown(listener)}.socket.${flaw.key}`;
      warn(`${bind}: ${key} does not hold for the socket that was inherited: ${flaw.what}`);
    }
    if (flaw === undefined && (kind & INHERITED_V6ONLY) !== 0 && isWildcard(address) && !v6only) {
      warn(
        `${bind}: the socket that was inherited takes IPv6 alone; BindIPv6Only=both in the socket unit has both`,
      );
    }
  }
  if (datagrams && taken.some(({ set }) => set !== undefined)) return copies; // it is kept whole
  if (taken.length === 0 || taken.length >= copies || isShared) return Math.min(taken.length, copies);
  warn(tooFew(bind, taken.length, copies));
  return copies;
}

function tooFew(bind: string, sockets: number, reactors: number): string {
  const those = sockets === 1 ? "one reactor" : `${sockets} reactors`;
  return `${bind}: ${those} of ${reactors} will serve it, since nobody else may share the port that was inherited; ` +
    `write its line ${reactors} times in the socket unit, with ReusePort=yes`;
}

/** One socket, or one for each reactor on the very same port; the first `adopted` are there already. */
function openCopies(
  open: Socket[],
  listener: string,
  bind: string,
  address: LiteralAddress,
  copies: number,
  { number, backlog, datagrams, mptcp }: Kind,
  adopted: number,
  warn: (line: string) => void,
): void {
  let record = addressRecord(bind, address);
  if (adopted > 0 && address.kind === "ip") record = rememberPort(record, open.at(-1)!.port);
  for (let reactor = adopted; reactor < copies; reactor++) {
    const socket = nextSocket(open, bind);
    arenaBytes.set(record, ARENA_SCRATCH);
    const result = datagrams
      ? sys.udp_listen(socket, ARENA_SCRATCH, reactor > 0 ? UDP_JOIN : copies > 1 ? UDP_SHARE : 0)
      : sys.listen(socket, ARENA_SCRATCH, copies > 1 ? LISTEN_REUSEPORT : 0, backlog, number);
    if (result === -EADDRINUSE && adopted > 0) return warn(tooFew(bind, reactor, copies)); // another user's port
    if (result < 0) {
      const flaw = number === NONE || datagrams ? undefined : settingFlaw(-result, mptcp);
      const why = flaw === undefined
        ? listenProblem(-result, address, datagrams)
        : `listeners.${shown(listener)}.socket.${flaw.key}: ${flaw.what}; ${flaw.remedy}`;
      throw new ListenError(`${bind}: ${why}`);
    }
    const where = boundOf(socket, bind);
    open.push({ socket, listener, bind, ...where, reactor, datagrams, isLent: false });
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
