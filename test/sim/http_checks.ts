// What must hold of every exchange over HTTP between two turns: what it owns adds up, its deadline is
// armed, and nothing that is ready and wanted is left lying.
import { isSpare } from "../../src/policy/candidates.ts";
import { NONE } from "../../src/base/limits.ts";
import { blocksTaken } from "../../src/net/blocks.ts";
import { Ready } from "../../src/net/ready.ts";
import {
  slotBody,
  slotFlags,
  slotHold,
  slotHoldBytes,
  slotReady,
  slotsEnd,
  slotState,
  slotUnread,
  slotUnreadBytes,
} from "../../src/net/slots.ts";
import { timerTick } from "../../src/net/timers.ts";
import { readable } from "../../src/net/unread.ts";
import { plan, planOf, plansHeld } from "../../src/proxy/context.ts";
import {
  exchangesEnd,
  exDown,
  exFlags,
  exGeneration,
  exKept,
  exListener,
  exReason,
  exServer,
  exState,
  exUp,
  exUpstream,
} from "../../src/proxy/exchanges.ts";
import { poolIdle } from "../../src/proxy/pool.ts";
import { queueLength } from "../../src/proxy/queue.ts";
import { Count } from "../../src/shared/stats.ts";
import { Body, ExFlag, ExState, SlotFlag, SlotState } from "../../src/shared/tables.ts";
import { Verdict } from "../../src/shared/servers.ts";
import { Reason } from "../../src/shared/reason.ts";
import { must, type Run } from "./run.ts";

/** Higher numbers are not in use. */
const NUMBERS_MAX = 16;
/** States in which the client's slot has the deadline. */
const TIMED: ReadonlySet<ExState> = new Set([
  ExState.Head,
  ExState.Queue,
  ExState.Forward,
  ExState.Answer,
  ExState.Linger,
]);
/** States in which the head of the request is kept; of a tunnel for its record. */
const KEEPING: ReadonlySet<ExState> = new Set([
  ExState.Queue,
  ExState.Connect,
  ExState.Forward,
  ExState.Answer,
  ExState.Tunnel,
]);

const current = new Int32Array(NUMBERS_MAX), placed = new Int32Array(NUMBERS_MAX);
const listening = new Int32Array(NUMBERS_MAX);

export function checkHttp(run: Run): void {
  const blocks = checkSlots() + checkExchanges(run);
  must(blocksTaken() === run.blocksReserved + blocks, `${blocks} blocks are named, ${blocksTaken()} taken`);
  for (let number = 0; number < NUMBERS_MAX; number++) {
    const { serverCurrent, listenerCurrent } = run.stats;
    must(serverCurrent[number] === current[number], `server ${number}: gauge ${serverCurrent[number]}`);
    must(
      listenerCurrent[number] === listening[number],
      `listener ${number}: gauge ${listenerCurrent[number]}`,
    );
    const inUse = run.shared.serverInUse[number];
    must(inUse === placed[number], `server ${number}: ${inUse} places taken, ${placed[number]} named`);
  }
  if (run.stats.count[Count.Turns] === 0) return;
  must(
    run.stats.count[Count.Idle] === poolIdle() || run.deaths > 0,
    "the gauge of idle connections is wrong",
  );
}

/** Returns how many blocks slots name. */
function checkSlots(): number {
  let blocks = 0, idle = 0;
  for (let slot = 1; slot < slotsEnd(); slot++) {
    if (slotState[slot] === SlotState.Free) continue;
    const isHeld = slotHold[slot] !== NONE, isUnread = slotUnread[slot] !== NONE;
    if (slotState[slot] === SlotState.Idle) {
      idle++;
      must(!isHeld && !isUnread, "an idle connection owns something");
      must(timerTick[slot] !== 0, "an idle connection has no deadline");
    }
    if (isHeld && !(slotFlags[slot] & SlotFlag.HoldsPipe)) blocks++;
    if (isUnread) blocks++;
    must(isUnread === slotUnreadBytes[slot] > 0, "unread bytes without a block, or a block without");
    must(isHeld || slotHoldBytes[slot] === 0, "held bytes without a place");
  }
  must(idle === poolIdle(), `${idle} connections are idle, ${poolIdle()} pooled`);
  return blocks;
}

/** Returns how many blocks exchanges name. */
function checkExchanges(run: Run): number {
  let blocks = 0, plans = 0, waiting = 0;
  current.fill(0);
  placed.fill(0);
  listening.fill(0);
  for (let ex = 1; ex < exchangesEnd(); ex++) {
    const state = exState[ex];
    if (state === ExState.Free) continue;
    must(state !== ExState.Done, "an exchange is done and not given back");
    if (exKept[ex] !== NONE) blocks++;
    must(exKept[ex] === NONE || KEEPING.has(state), `a head is kept in state ${state}`);
    if (exGeneration[ex] !== 0) plans++;
    if (state === ExState.Queue) waiting++;
    if (state === ExState.Queue && !run.isWoken) checkWaiting(run, ex);
    listening[exListener[ex]]++;
    if (exUp[ex] !== NONE) current[exServer[ex]]++;
    if (exFlags[ex] & ExFlag.Placed) placed[exServer[ex]]++;
    if (exFlags[ex] & ExFlag.Http) checkExchange(ex, state);
  }
  must(plans === plansHeld(), `${plans} exchanges hold a Plan, ${plansHeld()} are held`);
  must(waiting === queueLength(), `${waiting} exchanges wait, ${queueLength()} are queued`);
  return blocks;
}

/** Nobody waits where there is a place, unless somebody is about to try: its turn has come, or a server
 * refused it, and is asked again by the tick. Who gets through offers on. */
function checkWaiting({ shared }: Run, ex: number): void {
  const held = planOf(exGeneration[ex]), upstream = exUpstream[ex];
  const first = held.upstreamFirst[upstream], end = first + held.upstreamCount[upstream];
  if (held !== plan) return; // it waits for servers that others do not have
  const hasPlace = held.upstreamMember.subarray(first, end).some((server) =>
    shared.serverVerdict[server] !== Verdict.Down && !isSpare(held, upstream, server, shared) &&
    shared.serverInUse[server] < held.serverConnectionsMax[server]
  );
  if (!hasPlace) return;
  for (let other = 1; other < exchangesEnd(); other++) {
    const state = exState[other], failed = exReason[other] !== Reason.None;
    if (exUpstream[other] !== upstream) continue;
    if (state === ExState.Connect && failed) return; // it offers on once it is connected somewhere
    if (state === ExState.Queue && (failed || slotFlags[exDown[other]] & SlotFlag.Queued)) return;
  }
  must(false, "stall: somebody waits for a place, and there is one");
}

function checkExchange(ex: number, state: ExState): void {
  const down = exDown[ex], up = exUp[ex];
  must(!TIMED.has(state) || timerTick[down] !== 0, `an exchange in state ${state} has no deadline`);
  const isDownQueued = (slotFlags[down] & SlotFlag.Queued) !== 0;
  const isDownParked = (slotFlags[down] & SlotFlag.Parked) !== 0;
  switch (state) {
    case ExState.Head:
      must(isDownQueued || isDownParked || !readable(down), "stall: a request is there, and nobody looks");
      return;
    case ExState.Connect:
      must(up === NONE ? isDownQueued : timerTick[up] !== 0, "a connect without deadline");
      return;
    case ExState.Linger:
      must(isDownQueued || !(slotReady[down] & Ready.In), "stall: bytes to be dropped are there");
      return;
    case ExState.Forward:
      if (!(exFlags[ex] & ExFlag.Deaf)) checkWay(down, up, "request");
      checkWay(up, down, "answer");
  }
}

/** One direction: what is ready and wanted is on the again-list. */
function checkWay(from: number, to: number, what: string): void {
  if (slotFlags[from] & SlotFlag.Queued) return;
  const takes = (slotReady[to] & Ready.Out) !== 0, body = slotBody[from];
  if (slotHold[from] !== NONE) {
    return must(!takes, `stall: the ${what} is held for a sink that would take it`);
  }
  if (body === Body.Ended || slotFlags[from] & SlotFlag.Parked) return; // or it waits until a time
  if (body === Body.Head) return must(!readable(from), `stall: a head of the ${what} is there`);
  must(
    !takes || !readable(from),
    `stall: bytes of the ${what} are ready and wanted body ${body} flags ${slotFlags[from]} ready ${
      slotReady[from]
    } unread ${slotUnreadBytes[from]} to ${slotReady[to]} tob ${slotBody[to]}`,
  );
}
