// How connections come in. The main reactor takes them from the listening sockets and hands each to
// the reactor with the fewest, by adding it to that one's epoll set; there it appears as a newcomer and
// gets its slot. With one reactor, or in reuseport mode, a reactor hands to itself: one path.
// When slots, connections or fds run out, accepting pauses: the queue waits in the kernel.
import { assertTable } from "../base/assert.ts";
import {
  ACCEPT_FULL_PAUSE_MS,
  ACCEPT_PAUSE_MS,
  ACCEPT_QUIET_MS,
  ACCEPTS_PER_TURN,
  ARENA_SCRATCH,
  FLOWS_SHARE,
  NONE,
} from "../base/limits.ts";
import { flowOldest } from "../net/flows.ts";
import { slotFlags, slotGen, slotsLeft, takeSlot } from "../net/slots.ts";
import { guardOf } from "../plan/guards.ts";
import { Protocol } from "../plan/plan.ts";
import { expectsProxy } from "../policy/trust.ts";
import { Field, RecordKind } from "../shared/log_ring.ts";
import { Reason } from "../shared/reason.ts";
import { PER_LINE, reactorCurrent } from "../shared/servers.ts";
import { sourceGive } from "../shared/sources.ts";
import { Count } from "../shared/stats.ts";
import { SlotFlag, SlotState } from "../shared/tables.ts";
import { EAGAIN, EBUG, EMFILE, ENFILE, ENOBUFS, ENOMEM } from "../sys/errno.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { refusedLine } from "./access_line.ts";
import { admitted, admittedSource, charged, charging, unchargeLost } from "./admission.ts";
import { count, countEnded, log, plan, room, shared, sources } from "./context.ts";
import { exchangesLeft } from "./exchanges.ts";
import { exchangeOpen } from "./exchange.ts";
import { poolShrink } from "./pool.ts";
import { hasLine, refusesByReset } from "./refusals.ts";

/** Kept connections to servers that make room for a client when slots are short. */
const SHRINK_AT_ONCE = 4;

/** Slots that a connection may need at once: its two ends, and a connect given up in this turn. */
const SLOTS_OF_A_CONNECTION = 3;
/** Turns' worth of connections taken from a queue that is given up: more than a queue can hold. */
const UNWATCH_TURNS_MAX = 1_024;

/** Reactors that connections are handed to; those that count against the limit. */
let handTo: readonly number[];
let counted: readonly number[];
let maxConnections: number;
/** Ends a flow that may give way to a connection. */
let giveWay: () => void;
let watched: number[];
let pausedUntilMs: number;
/** Told once for each time of trouble, not for each pause in it: it is over after a while without one. */
let pauseTold: boolean;
let lastPauseMs: number;
let nextChoice: number;

export function acceptOpen(
  rooms: readonly number[],
  all: readonly number[],
  connections: number,
  flowGivesWay: () => void,
): void {
  handTo = rooms;
  counted = all;
  maxConnections = connections;
  giveWay = flowGivesWay;
  watched = [];
  pausedUntilMs = 0;
  pauseTold = false;
  lastPauseMs = 0;
  nextChoice = 0;
}

/** Watches listening sockets, besides those it watches already. */
export function acceptWatch(sockets: readonly number[]): void {
  for (const socket of sockets) {
    if (!watched.includes(socket)) watched.push(socket);
  }
  if (pausedUntilMs === 0) watchAll();
  Atomics.store(shared.reactorAccepting, room, watched.length);
}

/** Watches every socket (again); when the kernel has no memory for that, after a pause. */
function watchAll(): void {
  for (const socket of watched) {
    const result = sys.watch(socket, 1);
    if (result < 0 && result !== -EBUG) return pause(-result, ACCEPT_PAUSE_MS);
  }
}

/** Takes what waits in the queues, as far as there is room, and watches them no more. */
export function acceptUnwatch(sockets: readonly number[]): void {
  for (const socket of sockets) {
    for (let turns = 0; turns < UNWATCH_TURNS_MAX && pausedUntilMs === 0; turns++) {
      if (acceptFrom(socket) < ACCEPTS_PER_TURN) break;
    }
    sys.watch(socket, 0);
    watched = watched.filter((other) => other !== socket);
  }
  Atomics.store(shared.reactorAccepting, room, watched.length);
}

/** Watches these sockets no more; what waits in their queues is another process's to take, which has them too. */
export function acceptYield(sockets: readonly number[]): void {
  for (const socket of sockets) sys.watch(socket, 0);
  watched = watched.filter((socket) => !sockets.includes(socket));
  Atomics.store(shared.reactorAccepting, room, watched.length);
}

/** Connections wait in a listening socket's queue: takes a turn's worth; returns how many. */
export function acceptFrom(socket: number): number {
  let taken = 0;
  if (!watched.includes(socket)) return taken; // an event from before it was given up
  for (; taken < ACCEPTS_PER_TURN; taken++) {
    // Datagrams say they come from whomever they like: they keep no connection out.
    const full = isFull();
    if (full && flowOldest() === NONE) {
      pause(0, ACCEPT_FULL_PAUSE_MS);
      return taken;
    }
    const token = sys.accept(socket);
    if (token < 0) {
      if (token === -EAGAIN) break;
      if (isExhaustion(-token)) {
        pause(-token, ACCEPT_PAUSE_MS);
        return taken;
      }
      if (token === -EBUG) return taken; // the control plane has closed it meanwhile
      continue; // accept(2): an error of that connection, which is gone; the next one may be well
    }
    const listener = socket < plan.sockets ? plan.socketListener[socket] : NONE;
    const guard = guardOf(plan.guards, listener);
    if ((guard !== NONE || expectsProxy(plan, listener)) && !letIn(token, listener)) continue;
    if (full) giveWay();
    const to = chooseReactor();
    if (sys.hand(token, to) < 0) {
      const source = guard === NONE ? NONE : sys.charged(token);
      if (source !== NONE) charging(source, NONE);
      sys.refuse(token, 1);
      if (source !== NONE) unchargeLost();
      countEnded(listener, Reason.OutOfResources);
      continue;
    }
    Atomics.add(shared.reactorHanded, to * PER_LINE, 1);
  }
  return taken;
}

/** Whether the process has all the connections that it may have, sessions of datagrams among them. */
export function isFull(): boolean {
  let total = 0;
  for (let index = 0; index < counted.length; index++) total += reactorCurrent(shared, counted[index]);
  return total >= maxConnections;
}

/** Whether sessions of datagrams have all that they may have. Who invents addresses has many of them answered by a server
 * that answers anybody, and those give way to nobody: where connections are served too, a part is kept for these. */
export function isFullOfFlows(): boolean {
  if (isFull()) return true;
  let flows = 0;
  for (let index = 0; index < counted.length; index++) {
    flows += Atomics.load(shared.reactorFlows, counted[index] * PER_LINE);
  }
  return flows >= maxConnections * FLOWS_SHARE && servesConnections();
}

function servesConnections(): boolean {
  for (let socket = 0; socket < plan.sockets; socket++) {
    const listener = plan.socketListener[socket];
    if (listener !== NONE && plan.listenerProtocol[listener] !== Protocol.Udp) return true;
  }
  return false;
}

/** Asks a listener about a connection. Who is refused costs nothing more: no slot, no reactor is woken. */
function letIn(token: number, listener: number): boolean {
  sys.caller(token, ARENA_SCRATCH);
  const reason = admitted(listener, ARENA_SCRATCH);
  if (reason === Reason.None) {
    if (admittedSource === NONE) return true;
    sys.charge(token, admittedSource);
    charged(); // C has it
    return true;
  }
  sys.refuse(token, reason === Reason.ProxyUntrusted || refusesByReset(listener) ? 1 : 0);
  countEnded(listener, reason);
  tellRefused(listener, reason);
  return false;
}

/** The reactor with the fewest connections. Equals take turns, so that short connections spread too. */
function chooseReactor(): number {
  let best = NONE, fewest = 0;
  for (let step = 0; step < handTo.length; step++) {
    const candidate = handTo[(nextChoice + step) % handTo.length];
    const current = reactorCurrent(shared, candidate);
    if (best === NONE || current < fewest) {
      best = candidate;
      fewest = current;
    }
  }
  nextChoice = (nextChoice + 1) % handTo.length;
  return best;
}

/** The slot of the newcomer that is being taken in, or NONE: whom a broken promise would be about. */
export let newcomerSlot = NONE;

/** A connection was handed to us: it gets its slot and its exchange. */
export function acceptNewcomer(token: number, bits: number): void {
  newcomerSlot = NONE;
  const socket = sys.newcomer(token);
  poolShrink(SHRINK_AT_ONCE);
  const source = sys.charged(token);
  const slot = slotsLeft() >= SLOTS_OF_A_CONNECTION && exchangesLeft() > 0 ? takeSlot(SlotState.Open) : NONE;
  const listener = socket < plan.sockets ? plan.socketListener[socket] : NONE;
  if (slot === NONE) return acceptRefuse(token, listener, source, Reason.LimitReached);
  slotFlags[slot] = SlotFlag.Down;
  if (source !== NONE) charging(source, slot);
  const adopted = sys.adopt(token, slot, slotGen[slot]);
  assertTable(adopted === 0, "accept: a newcomer could not have its slot");
  newcomerSlot = slot;
  exchangeOpen(slot, listener, bits, source);
}

/** Closes a connection that was handed to us and gets no slot, with its reason. */
function acceptRefuse(token: number, listener: number, source: number, reason: Reason): void {
  const refused = sys.refuse(token, 1);
  assertTable(refused === 0, "accept: a newcomer could not be refused");
  sourceGive(sources, source);
  arenaBytes[ARENA_SCRATCH] = 0; // its address is known to slots only
  tellRefused(listener, reason);
  Atomics.add(shared.reactorEnded, room * PER_LINE, 1);
  countEnded(listener, reason);
}

/** Tells of a connection that got no slot; its address record is in the scratch page. What goes to the control plane
 * is sampled there. */
function tellRefused(listener: number, reason: Reason): void {
  if (plan.accessAll !== 0) {
    if (hasLine(reason) && !refusedLine(listener, reason, plan)) count(Count.LogDropped);
    return;
  }
  const row = log.begin(RecordKind.Access, clockMs());
  if (row < 0) return count(Count.LogDropped);
  log.numbers[row + Field.Listener] = listener;
  log.numbers[row + Field.Reason] = reason;
  log.setPeer(row, arenaBytes, ARENA_SCRATCH);
  log.push();
}

function isExhaustion(errno: number): boolean {
  return errno === EMFILE || errno === ENFILE || errno === ENOBUFS || errno === ENOMEM;
}

/** Stops accepting for a while: 0 for the limit on connections, else the errno of what ran out. */
function pause(errno: number, ms: number): void {
  for (const socket of watched) sys.watch(socket, 0);
  lastPauseMs = clockMs();
  pausedUntilMs = lastPauseMs + ms;
  count(Count.AcceptPauses);
  if (!pauseTold) tell(RecordKind.AcceptPaused, errno);
  pauseTold = true;
}

/** Ends a pause whose time is over, and tells when the last one lies back long enough. Once a turn. */
export function acceptResume(): void {
  if (pausedUntilMs !== 0 && pausedUntilMs <= clockMs()) {
    pausedUntilMs = 0;
    watchAll();
  }
  if (pauseTold && pausedUntilMs === 0 && clockMs() >= lastPauseMs + ACCEPT_QUIET_MS) {
    pauseTold = false;
    tell(RecordKind.AcceptResumed, 0);
  }
}

/** Milliseconds until `acceptResume` has something to do, or -1. */
export function acceptPauseMs(): number {
  const due = pausedUntilMs !== 0 ? pausedUntilMs : pauseTold ? lastPauseMs + ACCEPT_QUIET_MS : 0;
  return due === 0 ? -1 : Math.max(1, Math.ceil(due - clockMs()));
}

function tell(kind: RecordKind, errno: number): void {
  const row = log.begin(kind, clockMs());
  if (row < 0) return count(Count.LogDropped);
  log.numbers[row + Field.Errno] = errno;
  log.push();
}
