// The listening sockets of the process: opened and kept by the control plane, so that bind errors come before anything
// starts and no death of a Worker, no reload and no upgrade loses a queue. Reactors only watch them.
import { NONE } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { sys } from "../sys/sys.ts";
import { QUEUE_MOST, QUEUE_WAITING } from "../sys/symbols.ts";
import { type Address, addressText, type LiteralAddress } from "./config/address.ts";
import type { SocketNumbers } from "./config/compile_sockets.ts";
import { shown } from "./config/errors.ts";
import type { Config } from "./config/schema.ts";
import type { ListenerSocket } from "./config/socket_schema.ts";
import { BACKLOG, ListenError } from "./listen_flaw.ts";
import { closeSockets, type Inheritance, openSockets, type Socket } from "./listen_sockets.ts";

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
            const datagrams = bind.protocol === "udp", first = opened.length;
            const isSet = datagrams || (this.#isSet && address.kind === "ip");
            const copies = isSet ? this.#reactors : 1, made = listener.socket;
            const wanted = { listener: name, bind: bind.text, address, key, made, number, datagrams, copies };
            openSockets(opened, taken, wanted, inheritance);
            sockets.push(...opened.slice(first));
          }
        }
      }
    } catch (error) {
      closeSockets(opened);
      throw error;
    }
    return { sockets, opened, changed };
  }

  /** What was prepared is not wanted. */
  abandon({ opened }: Opening): void {
    closeSockets(opened);
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
    for (const { socket, backlog, number } of changed) sys.listener_tune(socket, backlog, number);
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
    closeSockets(sockets);
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
