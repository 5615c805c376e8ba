// Listening sockets as they come: opened, one or a set of them for an address, or taken as they are from who had them
// open before us.
import { ADDRESS_BYTES, ARENA_SCRATCH, LISTENERS_MAX, NONE } from "../base/limits.ts";
import { EADDRINUSE, errnoName } from "../sys/errno.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { INHERITED_SHARED, INHERITED_V6ONLY, LISTEN_REUSEPORT, UDP_JOIN, UDP_SHARE } from "../sys/symbols.ts";
import { formatAddress, isWildcard, type LiteralAddress } from "./config/address.ts";
import { shown } from "./config/errors.ts";
import type { OpenSocket } from "./config/parts.ts";
import type { ListenerSocket } from "./config/socket_schema.ts";
import { type Inherited, notToListenWith } from "./inherited.ts";
import { addressRecord, BACKLOG, ListenError, listenProblem } from "./listen_flaw.ts";
import { settingFlaw } from "./sockets.ts";

/** Of an address record (see ffi/sluice.h). */
const FAMILY_UNIX = 1;

export interface Socket extends OpenSocket {
  /** The reactor that watches it, counted from 0; in balanced mode always the main one, but for datagrams. */
  readonly reactor: number;
  /** Its clients send datagrams. */
  readonly datagrams: boolean;
  /** A service manager has it too: it listens on when we stop. */
  readonly isLent: boolean;
  /** What it is kept by when the configuration changes. */
  readonly key: string;
  /** What it was made with. */
  readonly made: ListenerSocket;
}

/** Sockets that are open already, and whom to tell what is not as it was asked for. */
export interface Inheritance {
  readonly inherited: Inherited;
  readonly warn: (line: string) => void;
}

/** What is to be listened on, and how. */
export interface Wanted {
  readonly listener: string;
  readonly bind: string;
  readonly address: LiteralAddress;
  readonly key: string;
  readonly made: ListenerSocket;
  /** Of its settings. */
  readonly number: number;
  readonly datagrams: boolean;
  /** One socket, or one for each reactor on the very same port. */
  readonly copies: number;
}

/** Adds the sockets of an address to `open`, under indices that are not `taken`. What is inherited is not opened.
 * @throws ListenError: some may have been added */
export function openSockets(
  open: Socket[],
  taken: Set<number>,
  wanted: Wanted,
  inheritance: Inheritance | undefined,
): void {
  const adopted = inheritance === undefined ? 0 : adoptCopies(open, taken, wanted, inheritance);
  openCopies(open, taken, wanted, adopted, inheritance?.warn ?? (() => {}));
}

export function closeSockets(sockets: readonly Socket[]): void {
  for (const { socket } of sockets) sys.listener_close(socket);
}

/** Whether unix paths go when their sockets are closed: no, once another Sluice listens there as well; and yes, once it
 * is we who have taken that over. Those of sockets that are lent stay. */
export function ownPaths(sockets: readonly Socket[], ours: boolean): void {
  for (const { socket, isLent } of sockets) {
    if (!isLent) sys.listener_path(socket, ours ? 1 : 0);
  }
}

/** The index in C for one more. */
function nextSocket(taken: Set<number>, bind: string): number {
  let socket = 0;
  while (taken.has(socket)) socket++;
  if (socket >= LISTENERS_MAX) throw new ListenError(`${bind}: more than ${LISTENERS_MAX} listening sockets`);
  taken.add(socket);
  return socket;
}

/** Takes what is open already at that address: all of it, since the kernel has shared clients out among them, spread
 * over the reactors that watch its copies. @returns how many of the copies need no opening */
function adoptCopies(
  open: Socket[],
  taken: Set<number>,
  { listener, bind, address, key, made, number, datagrams, copies }: Wanted,
  { inherited, warn }: Inheritance,
): number {
  const there = inherited.take(address, datagrams, Infinity), backlog = made.backlog ?? BACKLOG;
  let isShared = true;
  for (const [copy, { fd, isLent = false }] of there.entries()) {
    const socket = nextSocket(taken, bind), kind = sys.inherited(fd, ARENA_SCRATCH);
    const result = kind < 0 ? kind : sys.listener_adopt(socket, fd);
    if (result < 0) throw new ListenError(`${bind}: the inherited fd ${fd} is ${notToListenWith(-result)}`);
    const reactor = copy % copies;
    open.push({
      socket,
      listener,
      bind,
      ...boundOf(socket, bind),
      reactor,
      datagrams,
      isLent,
      key,
      made,
    });
    isShared &&= (kind & INHERITED_SHARED) !== 0;
    const tuned = datagrams ? 0 : sys.listener_tune(socket, backlog, number);
    const flaw = tuned < 0 && number !== NONE ? settingFlaw(-tuned, false) : undefined;
    if (flaw !== undefined) {
      const where = `listeners.${shown(listener)}.socket.${flaw.key}`;
      warn(`${bind}: ${where} does not hold for the socket that was inherited: ${flaw.what}`);
    }
    if (
      flaw === undefined && (kind & INHERITED_V6ONLY) !== 0 && isWildcard(address) && made.v6only !== true
    ) {
      warn(
        `${bind}: the socket that was inherited takes IPv6 alone; BindIPv6Only=both in the socket unit has both`,
      );
    }
  }
  if (datagrams && there.some(({ set }) => set !== undefined)) return copies; // it is kept whole
  if (there.length === 0 || there.length >= copies || isShared) return Math.min(there.length, copies);
  warn(tooFew(bind, there.length, copies));
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
  taken: Set<number>,
  { listener, bind, address, key, made, number, datagrams, copies }: Wanted,
  adopted: number,
  warn: (line: string) => void,
): void {
  const backlog = made.backlog ?? BACKLOG;
  let record = addressRecord(bind, address);
  if (adopted > 0 && address.kind === "ip") record = rememberPort(record, open.at(-1)!.port);
  for (let reactor = adopted; reactor < copies; reactor++) {
    const socket = nextSocket(taken, bind);
    arenaBytes.set(record, ARENA_SCRATCH);
    const result = datagrams
      ? sys.udp_listen(socket, ARENA_SCRATCH, reactor > 0 ? UDP_JOIN : copies > 1 ? UDP_SHARE : 0)
      : sys.listen(socket, ARENA_SCRATCH, copies > 1 ? LISTEN_REUSEPORT : 0, backlog, number);
    if (result === -EADDRINUSE && adopted > 0) return warn(tooFew(bind, reactor, copies)); // another user's port
    if (result < 0) {
      const flaw = number === NONE || datagrams ? undefined : settingFlaw(-result, made.mptcp === true);
      const why = flaw === undefined
        ? listenProblem(-result, address, datagrams)
        : `listeners.${shown(listener)}.socket.${flaw.key}: ${flaw.what}; ${flaw.remedy}`;
      throw new ListenError(`${bind}: ${why}`);
    }
    const where = boundOf(socket, bind);
    open.push({ socket, listener, bind, ...where, reactor, datagrams, isLent: false, key, made });
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

function rememberPort(record: Uint8Array, port: number): Uint8Array {
  const next = record.slice(0, ADDRESS_BYTES);
  next.set([port >> 8, port & 0xff], 2);
  return next;
}
