// The loop: poll, dispatch, again-list, timers, messages, sweep, repeat. Synchronous; one thread each.
// Here is the door that every event passes: one whose slot has been freed since (another generation)
// or is being closed is dropped. And here is the single `try`: a broken promise about one connection
// ends that connection, everything else ends the Worker.
import { assert, BugError, unreachable } from "../base/assert.ts";
import { ARENA_EVENTS, EVENT_INTS, EVENTS_MAX, NONE } from "../base/limits.ts";
import { randomSeed } from "../base/random.ts";
import { blocksOpen, blocksTaken } from "../net/blocks.ts";
import { flowsOpen } from "../net/flows.ts";
import { poolIdle, poolKeepOnly, poolOpen } from "./pool.ts";
import { delaysAdvance, delaysOpen, delaysSleepMs } from "../net/delays.ts";
import { pipesClose, pipesOpen, pipesOpenCount } from "../net/pipes.ts";
import { againServe, againWaiting, Ready, readyOpen } from "../net/ready.ts";
import { slotEx, slotGen, slotReady, slotsOpen, slotsTaken, slotState } from "../net/slots.ts";
import { timersAdvance, timersOpen, timersSleepMs } from "../net/timers.ts";
import { Protocol } from "../plan/plan.ts";
import { printOpen } from "../proto/http1_print.ts";
import { Field, RecordKind } from "../shared/log_ring.ts";
import type { Message, WorkerBirth } from "../shared/mailbox.ts";
import { Count } from "../shared/stats.ts";
import { SlotState } from "../shared/tables.ts";
import { collectGarbage } from "../sys/garbage.ts";
import { arenaBytes, arenaInts, clockMs, sys } from "../sys/sys.ts";
import { EventKind } from "../sys/symbols.ts";
import {
  acceptFrom,
  acceptNewcomer,
  acceptOpen,
  acceptPauseMs,
  acceptResume,
  acceptUnwatch,
  acceptWatch,
  acceptYield,
  newcomerSlot,
} from "./accept.ts";
import { unchargeLost } from "./admission.ts";
import { askingOpen, askingServe } from "./asking.ts";
import { closeOpen, closeSweep } from "./close.ts";
import { contextOpen, count, log, plan, planSwap, room, shared, stats } from "./context.ts";
import {
  datagramsDrain,
  datagramsFlush,
  datagramsForget,
  datagramsFrom,
  datagramsGiveUp,
  datagramsOpen,
  datagramsWatch,
  flowEvent,
  servedFlow,
} from "./datagram.ts";
import { endAll, endAsked, endRemoved } from "./ending.ts";
import { exchangeAnswered, exchangeBug, exchangeEvent, exchangeProbe, exchangeTimeout } from "./exchange.ts";
import { flowBug, flowGivesWay, flowTimeout } from "./flow_end.ts";
import { flowsAdopt, flowsHalt, flowsResume, flowsYield } from "./flow_handover.ts";
import { greetingsOpen } from "./greeting.ts";
import { handshakesTurn } from "./handshake.ts";
import { exchangesEnd, exchangesOpen } from "./exchanges.ts";
import { paceUnpark } from "./pace.ts";
import { requestsDrain, requestsLeave, requestsReset } from "./request_end.ts";
import { queueOpen, queueRetry } from "./queue.ts";
import {
  probeLate,
  probeOfTimer,
  probesOpen,
  probesSchedule,
  serversJoined,
  serversUnchecked,
} from "./probe.ts";

/** Wakes up at least this often, to look after what has no event. */
const SLEEP_MS_MAX = 10_000;

/** Plans, each some 100 KiB of views, that come before what is left of them is collected in a turn in which nobody else
 * wants something, which takes some milliseconds; and at the latest. */
const PLANS_PER_COLLECTION = 16;
const PLANS_UNCOLLECTED_MAX = 128;

let leaving: boolean;
let uncollected: number;
let health: boolean;
/** Deadlines, and delays, that were due and must wait for the next turn. */
let timersLeft: boolean;
let delaysLeft: boolean;

/** Builds this thread's tables. The library is open and the room entered. */
export function reactorOpen(birth: WorkerBirth): void {
  slotsOpen(birth.tables.slots, birth.sizes.slots);
  exchangesOpen(birth.tables.exchanges, birth.sizes.exchanges);
  timersOpen(birth.tables.timers, birth.sizes.timers, clockMs());
  delaysOpen(birth.sizes.slots, clockMs());
  randomSeed(birth.seed);
  flowsOpen(birth.tables.flows, birth.sizes.slots);
  readyOpen(birth.sizes.slots);
  blocksOpen();
  pipesOpen(birth.sizes.pipes);
  closeOpen(birth.sizes.slots);
  poolOpen();
  printOpen(arenaBytes);
  requestsReset();
  contextOpen(birth);
  acceptOpen(birth.handTo, birth.counted, birth.maxConnections, flowGivesWay);
  queueOpen(birth.counted);
  datagramsOpen();
  askingOpen(birth.asks);
  probesOpen(birth.sizes.slots);
  greetingsOpen();
  leaving = false;
  uncollected = 0;
  timersLeft = false;
  delaysLeft = false;
  health = birth.role === "health";
  if (health) probesSchedule();
  watch(birth.listeners);
}

/** Runs until told to leave. `receive` gives the next message of the mailbox, or undefined. */
export function reactorRun(receive: () => Message | undefined): void {
  while (!leaving) reactorTurn(sleepMs(), receive);
  pipesClose();
}

/** One turn, sleeping at most `timeoutMs` for events. */
export function reactorTurn(timeoutMs: number, receive: () => Message | undefined): void {
  const events = sys.poll(ARENA_EVENTS, EVENTS_MAX, timeoutMs);
  assert(events >= 0, "reactor: poll failed");
  count(Count.Turns);
  handshakesTurn();
  count(Count.Events, events);
  let woken = false;
  for (let event = 0; event < events; event++) {
    const at = ARENA_EVENTS / 4 + event * EVENT_INTS;
    const what = arenaInts[at], who = arenaInts[at + 1], bits = arenaInts[at + 2];
    if (what > NONE) door(what, who, bits);
    else if (what === EventKind.Newcomer) newcomer(who, bits);
    else if (what === EventKind.Listener) acceptFrom(who);
    else if (what === EventKind.Datagrams) datagrams(who);
    else woken = true;
  }
  againServe(serveAgain);
  delaysLeft = delaysAdvance(clockMs(), serveParked);
  timersLeft = timersAdvance(clockMs(), timeout);
  acceptResume();
  if (woken) queueRetry();
  if (woken) askingServe(answered);
  if (woken) {
    for (let message = receive(); message !== undefined; message = receive()) {
      obey(message);
      Atomics.add(shared.reactorObeyed, room, 1);
    }
  }
  datagramsFlush();
  closeSweep();
  gauges();
  log.ring();
  if (uncollected >= PLANS_PER_COLLECTION) collect(events === (woken ? 1 : 0));
}

/** Only the present user of a slot gets its events. */
function door(slot: number, gen: number, bits: number): void {
  if (slotGen[slot] !== gen >>> 0) return;
  const state = slotState[slot];
  if (state === SlotState.Closing || state === SlotState.Free) return;
  serve(slot, bits);
}

function serveAgain(slot: number): void {
  serve(slot, 0);
}

/** An end of stream that was told while a slot was parked is told again: nobody looked. */
function serveParked(slot: number): void {
  paceUnpark(slot);
  if (slotState[slot] !== SlotState.Closing) serve(slot, slotReady[slot] & Ready.Fin);
}

function serve(slot: number, bits: number): void {
  const ex = slotEx[slot];
  try {
    if (slotState[slot] === SlotState.Flow) flowEvent(slot, bits);
    else exchangeEvent(slot, bits);
  } catch (error) {
    contain(slot, ex, error);
  }
}

function datagrams(socket: number): void {
  try {
    datagramsFrom(socket);
  } catch (error) {
    contain(servedFlow, NONE, error);
    datagramsGiveUp();
  }
}

function newcomer(token: number, bits: number): void {
  try {
    acceptNewcomer(token, bits);
  } catch (error) {
    contain(newcomerSlot, slotEx[newcomerSlot], error);
    unchargeLost();
  }
}

function answered(slot: number, yes: boolean): void {
  if (slotState[slot] === SlotState.Closing) return;
  const ex = slotEx[slot];
  try {
    exchangeAnswered(slot, yes);
  } catch (error) {
    contain(slot, ex, error);
  }
}

function timeout(row: number): void {
  const probe = health ? probeOfTimer(row) : NONE;
  if (probe === NONE && slotState[row] === SlotState.Closing) return;
  const ex = probe === NONE ? slotEx[row] : NONE;
  try {
    if (probe === NONE && slotState[row] === SlotState.Flow) flowTimeout(row);
    else if (probe === NONE) exchangeTimeout(row);
    else if (!exchangeProbe(probe)) probeLate(probe);
  } catch (error) {
    contain(probe === NONE ? row : NONE, ex, error);
  }
}

/** A broken promise about one connection ends that connection; anything else goes on up. `ex` is what the
 * slot belonged to before: a redispatch may have parted the two. */
function contain(slot: number, ex: number, error: unknown): void {
  if (!(error instanceof BugError) || slot === NONE) throw error;
  count(Count.Bugs);
  const row = log.begin(RecordKind.Bug, clockMs());
  if (row >= 0) {
    log.numbers[row + Field.Detail] = slot;
    log.push();
  }
  if (slotState[slot] === SlotState.Flow) flowBug(slot);
  else exchangeBug(slot, ex);
}

function collect(isQuiet: boolean): void {
  if (!isQuiet && uncollected < PLANS_UNCOLLECTED_MAX) return;
  uncollected = 0;
  collectGarbage();
}

/** Works by a new Plan from here on. Views of the one before are all the garbage that there ever is. */
function swap(memory: SharedArrayBuffer): void {
  const before = plan;
  planSwap(memory);
  poolKeepOnly(before, plan);
  requestsLeave();
  uncollected++;
  if (!health) return;
  serversJoined(before);
  serversUnchecked(before);
  probesSchedule();
}

function obey(message: Message): void {
  switch (message.kind) {
    case "plan":
      return swap(message.plan);
    case "watch":
      return watch(message.listeners);
    case "unwatch":
      acceptUnwatch(message.listeners.filter((socket) => !isOfDatagrams(socket)));
      return datagramsDrain(message.listeners.filter(isOfDatagrams));
    case "drain":
      return requestsDrain();
    case "forget":
      return datagramsForget(message.listeners);
    case "remove":
      return endRemoved(message, contain);
    case "freeze":
      return flowsHalt();
    case "thaw":
      return flowsResume();
    case "yield":
      acceptYield(message.listeners.filter((socket) => !isOfDatagrams(socket)));
      flowsYield();
      return requestsDrain();
    case "adopt":
      return flowsAdopt(message.flows);
    case "close":
      return endAsked(message.closing, message.rows, contain);
    case "end-all":
      return endAll();
    case "exit":
      endAll();
      leaving = true;
      return;
    default:
      return unreachable("reactor: a message of no kind");
  }
}

function watch(sockets: readonly number[]): void {
  acceptWatch(sockets.filter((socket) => !isOfDatagrams(socket)));
  datagramsWatch(sockets.filter(isOfDatagrams));
}

function isOfDatagrams(socket: number): boolean {
  return socket < plan.sockets && plan.listenerProtocol[plan.socketListener[socket]] === Protocol.Udp;
}

function gauges(): void {
  stats.count[Count.PipesOpen] = pipesOpenCount();
  stats.count[Count.BlocksTaken] = blocksTaken();
  stats.count[Count.SlotsTaken] = slotsTaken();
  stats.count[Count.Idle] = poolIdle();
  stats.count[Count.ExchangesEnd] = exchangesEnd();
}

function sleepMs(): number {
  if (againWaiting() || timersLeft || delaysLeft) return 0;
  const timers = sooner(SLEEP_MS_MAX, timersSleepMs(clockMs(), SLEEP_MS_MAX));
  return sooner(sooner(timers, acceptPauseMs()), delaysSleepMs(clockMs()));
}

/** The less of two times; the second is none if it is below 0. */
function sooner(ms: number, other: number): number {
  return other < 0 ? ms : Math.min(ms, other);
}
