// Datagrams: from clients to servers and back, by flows (net/flows.ts; users call them sessions). Each reactor has one
// socket of every listener's set; a client is always the same one's. What a client sends goes to its flow's server
// through a socket of the flow's own, connected, so that what comes there is the server's; what the server sends goes
// back through the listening socket, from the address that the client asked. Datagrams are dropped where TCP would
// wait: when a buffer is full, when there is no room for a flow. Each drop is counted.
import { assert, assertTable } from "../base/assert.ts";
import {
  ARENA_ANSWERING,
  ARENA_ASKING,
  ARENA_SCRATCH,
  ARENA_WIDE,
  AVOID_MS,
  BATCHES_PER_TURN,
  CONNECTS_PER_TURN,
  DATAGRAM_BYTES,
  DATAGRAM_INTS,
  DATAGRAMS_PER_CALL,
  LISTENERS_MAX,
  NONE,
  PEER_BYTES,
  WIDE_BYTES,
} from "../base/limits.ts";
import {
  flowAddress,
  flowAnswered,
  flowDownBytes,
  flowDownDatagrams,
  flowFind,
  flowFlags,
  flowIdleTicks,
  flowListener,
  flowOldest,
  flowPut,
  flowRemove,
  flowResponses,
  flowServer,
  flowSocket,
  flowSource,
  flowStartMs,
  flowTried,
  flowUpBytes,
  flowUpDatagrams,
  flowUpstream,
  isSameFlow,
} from "../net/flows.ts";
import { Ready, runAgain } from "../net/ready.ts";
import { giveUntouchedSlot, slotFlags, slotGen, slotsEnd, slotState, takeSlot } from "../net/slots.ts";
import { tickAt, timerExtend, timerSet } from "../net/timers.ts";
import { LIFE_BUCKETS, lifeBucket } from "../shared/histogram.ts";
import { Balance } from "../plan/plan.ts";
import { isHashed, walked, walkNext } from "../policy/balance.ts";
import { isSpare } from "../policy/candidates.ts";
import { latencySample } from "../policy/latency.ts";
import { Reason } from "../shared/reason.ts";
import { PER_LINE, Verdict } from "../shared/servers.ts";
import { sourceGive } from "../shared/sources.ts";
import { Count } from "../shared/stats.ts";
import { FlowFlag, SlotFlag, SlotState } from "../shared/tables.ts";
import {
  EADDRNOTAVAIL,
  EAGAIN,
  EBUG,
  ECONNREFUSED,
  EINVAL,
  EMFILE,
  EMSGSIZE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENOSPC,
  EPERM,
} from "../sys/errno.ts";
import { DatagramAt, SocketOption } from "../sys/symbols.ts";
import { arenaBytes, arenaInts, clockMs, sys } from "../sys/sys.ts";
import { isFull } from "./accept.ts";
import { admitted, admittedSource, charged, unadmit } from "./admission.ts";
import { closeSlot } from "./close.ts";
import { count, countEnded, plan, room, shared, sources, stats } from "./context.ts";
import { printDatagramHeader } from "./greeting.ts";
import { recordFlow, recordRefused } from "./flow_record.ts";
import { givePlaceBack, takePlace } from "./places.ts";
import { queueHand, queueWake } from "./queue.ts";
import { isAnyUp, keyOfRecord, pickMember } from "./server.ts";

/** What is read of a server at first: most answers are one datagram. More, once it fills this. */
const READ_FIRST = 4;
/** What the kernel may keep of a server that sends many at once; it grants less if net.core.rmem_max is less. */
const FLOW_BUFFER_BYTES = 1 << 20;
const ASKING_INTS = ARENA_ASKING / 4;
/** Behind the records of a batch are their datagrams. */
const ASKING_PAYLOADS = ARENA_ASKING + DATAGRAMS_PER_CALL * DATAGRAM_INTS * 4;
const ANSWERING_INTS = ARENA_ANSWERING / 4;
/** Integers of a row of flowAddress: the record's from DatagramAt.Client on. */
const ADDRESS_INTS = DATAGRAM_INTS - DatagramAt.Client;

/** By listening socket. */
let watched: Uint8Array;
/** 1: its clients get no new flow. */
let closing: Uint8Array;
/** Sockets that could not be watched yet, for want of memory. */
let unwatched: number[];
/** Answers that wait for the end of the turn: records [answerFrom, answerEnd) of one listening socket. */
let answerFrom: number;
let answerEnd: number;
let answerSocket: number;

export function datagramsOpen(): void {
  watched = new Uint8Array(LISTENERS_MAX);
  closing = new Uint8Array(LISTENERS_MAX);
  unwatched = [];
  answerFrom = answerEnd = answerSocket = 0;
}

/** Watches listening sockets of datagrams, besides those it watches already. */
export function datagramsWatch(sockets: readonly number[]): void {
  for (const socket of sockets) if (watched[socket] === 0) unwatched.push(socket);
  watchLeft();
}

function watchLeft(): void {
  unwatched = unwatched.filter((socket) => {
    const result = sys.watch(socket, 1);
    if (result === 0) watched[socket] = 1;
    return result !== 0 && result !== -EBUG;
  });
}

/** Takes no new clients from these sockets; those that have a flow keep it. */
export function datagramsDrain(sockets: readonly number[]): void {
  for (const socket of sockets) closing[socket] = 1;
}

/** The slot of the flow that is being served, or NONE: whom a broken promise would be about. */
export let servedFlow = NONE;

/** Datagrams of clients wait at a listening socket: moves a turn's worth of them. */
export function datagramsFrom(socket: number): void {
  servedFlow = NONE;
  if (watched[socket] === 0) return; // an event from before it was given up
  for (let budget = BATCHES_PER_TURN; budget > 0; budget--) {
    const came = sys.udp_recv(socket, ARENA_ASKING, DATAGRAMS_PER_CALL);
    if (came <= 0) return;
    askedEnd = came;
    for (askedNext = 0; askedNext < came;) askedNext = forward(socket, askedNext, came);
    if (came < DATAGRAMS_PER_CALL) return;
  }
}

/** Records of the batch that is being forwarded: those from the next one on are not looked at yet. */
let askedNext = 0;
let askedEnd = 0;

/** A broken promise ended the turn of a listening socket: what was left of its batch is dropped. */
export function datagramsGiveUp(): void {
  count(Count.DatagramsRefused, datagramsIn(ASKING_INTS, askedNext, askedEnd));
  askedNext = askedEnd = 0;
  if (Atomics.load(shared.reactorCharging, room * PER_LINE) !== NONE) unadmit(); // it was on its way to a flow
}

/** Forwards the datagrams from record `from` on that one client sent in a row; returns the next record. */
function forward(socket: number, from: number, came: number): number {
  const first = ASKING_INTS + from * DATAGRAM_INTS;
  if (arenaInts[first + DatagramAt.Cut] !== 0) {
    count(Count.DatagramsCut);
    return from + 1;
  }
  let end = from + 1;
  for (; end < came; end++) {
    const at = ASKING_INTS + end * DATAGRAM_INTS;
    if (arenaInts[at + DatagramAt.Cut] !== 0 || !isSameFlow(arenaInts, first, at)) break;
  }
  let slot = flowFind(arenaInts, first, socket);
  if (slot !== NONE && isStranded(slot)) {
    flowEnd(slot, Reason.SessionMoved, 0);
    slot = flowFind(arenaInts, first, socket);
  }
  for (let at = from, budget = CONNECTS_PER_TURN; at < end;) {
    if (slot === NONE && --budget > 0) {
      slot = begin(socket, first);
      if (slot !== NONE && plan.upstreamSendProxy[flowUpstream[slot]] !== 0) {
        servedFlow = slot;
        if (introduce(slot, at)) at++;
        slot = flowFind(arenaInts, first, socket); // it may have ended
        continue;
      }
    }
    if (slot === NONE) {
      count(Count.DatagramsRefused, datagramsIn(ASKING_INTS, at, end));
      break;
    }
    servedFlow = slot;
    const sent = sys.udp_send(slot, ARENA_ASKING, at, end - at);
    assert(sent !== 0 && sent !== -EBUG, "datagram: a send broke its contract");
    if (sent > 0) {
      settleUp(slot, at, at + sent);
      at += sent;
    } else if (isNobody(-sent)) {
      fail(slot, -sent); // it tells of an earlier one: this one goes to another server
      slot = flowFind(arenaInts, first, socket);
    } else {
      const lost = isFullBuffer(-sent) ? end : at + 1;
      count(Count.DatagramsUnsent, datagramsIn(ASKING_INTS, at, lost));
      at = lost;
    }
  }
  return end;
}

/** Whether a flow's server is down and others are not. A client that goes on sending would never see its session end:
 * nobody tells it that a host is gone. */
function isStranded(slot: number): boolean {
  return shared.serverVerdict[flowServer[slot]] === Verdict.Down &&
    isAnyUp(plan.listenerUpstream[flowListener[slot]]);
}

/** Sends the first datagram of a new flow, behind a header that tells its server whose it is. True: it was all of its
 * record, else the rest is there. One that cannot be sent so is lost, and with it the flow: the next begins another. */
function introduce(slot: number, record: number): boolean {
  const at = ASKING_INTS + record * DATAGRAM_INTS, payload = ASKING_PAYLOADS + record * DATAGRAM_BYTES;
  const client = (at + DatagramAt.Client) * 4, own = (at + DatagramAt.Own) * 4;
  const all = arenaInts[at + DatagramAt.Bytes], segment = arenaInts[at + DatagramAt.Segment];
  const bytes = segment === 0 ? all : Math.min(segment, all), listener = flowListener[slot];
  const sends = plan.upstreamSendProxy[flowUpstream[slot]], port = plan.listenerPort[listener];
  const end = printDatagramHeader(ARENA_WIDE, ARENA_WIDE + WIDE_BYTES, slot, client, own, port, sends);
  arenaBytes.copyWithin(end, payload, payload + bytes);
  const sent = sys.send(slot, ARENA_WIDE, end - ARENA_WIDE + bytes, 0);
  arenaInts[at + DatagramAt.Bytes] = bytes; // of this one alone
  if (sent > 0) settleUp(slot, record, record + 1);
  else {
    assert(sent !== -EBUG, "datagram: a first send broke its contract");
    count(Count.DatagramsUnsent);
    flowEnd(slot, Reason.OutOfResources, -sent);
  }
  if (bytes === all) return true;
  arenaInts[at + DatagramAt.Bytes] = all - bytes;
  arenaBytes.copyWithin(payload, payload + bytes, payload + all);
  return false;
}

/** A flow for the client whose datagram's record is at `at`; NONE: it gets none, which is counted. */
function begin(socket: number, at: number): number {
  const listener = plan.socketListener[socket], upstream = plan.listenerUpstream[listener];
  const refusal = admitted(listener, (at + DatagramAt.Client) * 4, false);
  if (refusal !== Reason.None) return refuse(listener, at, refusal, 0);
  if (closing[socket] === 1) return refuse(listener, at, Reason.Drained, 0);
  if (isFull() && !flowGivesWay()) return refuse(listener, at, Reason.LimitReached, 0);
  const clientAt = (at + DatagramAt.Client) * 4;
  const key = upstream !== NONE && isHashed(plan, upstream) ? keyOfRecord(plan, upstream, clientAt) : 0;
  const member = upstream === NONE ? -1 : pickMember(upstream, key), walk = walked;
  if (member < 0) return refuse(listener, at, Reason.DestinationUnavailable, 0);
  const slot = takeSlot(SlotState.Flow);
  if (slot === NONE) return refuse(listener, at, Reason.LimitReached, 0);
  if (
    !reach(slot, socket, upstream, member, key, walk, at, false) &&
    !(passedOver && reach(slot, socket, upstream, member, key, walk, at, true))
  ) {
    giveUntouchedSlot(slot);
    return refuse(listener, at, failedBy, failedErrno);
  }
  flowFind(arenaInts, at, socket); // who gave way may have moved what was found
  flowPut(slot, arenaInts, at, socket);
  flowSource[slot] = admittedSource;
  charged();
  if (reachedPlace) flowFlags[slot] |= FlowFlag.Placed;
  flowListener[slot] = listener;
  flowUpstream[slot] = upstream;
  flowServer[slot] = reachedServer;
  flowTried[slot] = reachedTried;
  flowResponses[slot] = plan.listenerResponses[listener];
  flowIdleTicks[slot] = tickAt(plan.listenerFlowIdleMs[listener]);
  flowStartMs[slot] = clockMs();
  slotFlags[slot] = SlotFlag.Down;
  Atomics.add(shared.reactorHanded, room * PER_LINE, 1);
  count(Count.Opened);
  count(Count.Connects);
  stats.listenerOpened[listener]++;
  stats.listenerCurrent[listener]++;
  if (slot >= stats.count[Count.FlowsEnd]) stats.count[Count.FlowsEnd] = slot + 1;
  stats.serverOpened[reachedServer]++;
  stats.serverCurrent[reachedServer]++;
  timerSet(slot, clockMs() + plan.listenerFlowIdleMs[listener]);
  return slot;
}

/** Who was never answered gives way to others, the oldest first; false: there is nobody. */
export function flowGivesWay(): boolean {
  const oldest = flowOldest();
  if (oldest === NONE) return false;
  flowEnd(oldest, Reason.LimitReached, 0);
  return true;
}

/** What the last `reach` came to: the server, a place taken at it, how many were tried; or why there is none, and
 * whether one was passed over. */
let reachedServer = NONE;
let reachedPlace = false;
let reachedTried = 0;
let failedBy = Reason.None;
let failedErrno = 0;
let passedOver = false;

/** A socket for the slot to the member that was picked, where `begun` is its walk, or the next one that can be had; to
 * those that met nobody lately only if `anyhow`. */
function reach(
  slot: number,
  socket: number,
  upstream: number,
  picked: number,
  key: number,
  begun: number,
  at: number,
  anyhow: boolean,
): boolean {
  const first = plan.upstreamFirst[upstream], now = tickAt(clockMs());
  const start = isHashed(plan, upstream) ? key : picked, counts = plan.upstreamCounted[upstream] !== 0;
  failedBy = Reason.DestinationUnavailable;
  failedErrno = 0;
  passedOver = false;
  reachedTried = 0;
  let walk = begun, crowded = false;
  for (
    let member = picked, budget = CONNECTS_PER_TURN;
    member >= 0 && budget > 0;
    member = walkNext(plan, upstream, shared, start, walk, clockMs()), walk = walked
  ) {
    const server = plan.upstreamMember[first + member];
    if (crowded && isSpare(plan, upstream, server, shared)) break;
    reachedTried++;
    if (!anyhow && shared.serverAvoided[server] > now) {
      passedOver = true;
      continue;
    }
    const most = plan.serverConnectionsMax[server];
    const takes = most > 0 || counts;
    if (takes && !takePlace(upstream, server, most)) {
      failedBy = Reason.LimitReached;
      crowded = true;
      continue;
    }
    budget--;
    placeAddresses(plan.serverAddressAt[server], at);
    const result = sys.udp_connect(slot, slotGen[slot], ARENA_SCRATCH, socket, ARENA_SCRATCH + PEER_BYTES);
    if (result === 0) {
      reachedServer = server;
      reachedPlace = takes;
      return true;
    }
    if (takes) givePlaceBack(upstream, server);
    failedBy = reasonOf(-result);
    failedErrno = -result;
    if (failedBy === Reason.OutOfResources) return false;
    stats.serverFailed[server]++;
  }
  return false;
}

/** Lays the server's address and the client's record into the scratch page. */
function placeAddresses(addressAt: number, at: number): void {
  for (let byte = 0; byte < PEER_BYTES; byte++) {
    arenaBytes[ARENA_SCRATCH + byte] = plan.arena[addressAt + byte];
    arenaBytes[ARENA_SCRATCH + PEER_BYTES + byte] = arenaBytes[(at + DatagramAt.Client) * 4 + byte];
  }
}

function refuse(listener: number, at: number, reason: Reason, errno: number): number {
  unadmit();
  countEnded(listener, reason);
  recordRefused(listener, (at + DatagramAt.Client) * 4, reason, errno);
  return NONE;
}

/** What was sent to a flow's server. */
function settleUp(slot: number, from: number, end: number): void {
  const bytes = bytesIn(ASKING_INTS, from, end), datagrams = datagramsIn(ASKING_INTS, from, end);
  flowUpBytes[slot] += bytes;
  flowUpDatagrams[slot] += datagrams;
  stats.listenerUpBytes[flowListener[slot]] += bytes;
  stats.listenerUpDatagrams[flowListener[slot]] += datagrams;
  stats.serverUpBytes[flowServer[slot]] += bytes;
  timerExtend(slot, tickAt(clockMs()) + flowIdleTicks[slot]);
}

/** An event of a flow's socket, or its turn on the again-list (`bits` 0): its server's datagrams, or the word that
 * ours met nobody. */
export function flowEvent(slot: number, bits: number): void {
  let errno = bits & Ready.Err ? -sys.outcome(slot) : 0; // first, or a read would be told it
  for (let budget = BATCHES_PER_TURN, most = READ_FIRST;; most = DATAGRAMS_PER_CALL) {
    if (answerEnd === DATAGRAMS_PER_CALL || answerSocket !== flowSocket[slot]) {
      datagramsFlush();
      answerSocket = flowSocket[slot];
    }
    const asked = Math.min(most, DATAGRAMS_PER_CALL - answerEnd);
    const came = sys.udp_read(slot, ARENA_ANSWERING, answerEnd, asked);
    if (came < 0) {
      assert(came !== -EBUG, "datagram: a read broke its contract");
      if (came !== -EAGAIN) errno = -came;
      break;
    }
    answer(slot, came);
    if (slotState[slot] !== SlotState.Flow) return; // all its answers are there
    if (came < asked) break;
    if (--budget === 0) {
      runAgain(slot);
      break;
    }
    join(slot);
  }
  if (isNobody(errno)) fail(slot, errno);
}

/** A server that sends many at once: the kernel may hand over several as one, and keep more until we come. */
function join(slot: number): void {
  if (flowFlags[slot] & FlowFlag.Joined) return;
  flowFlags[slot] |= FlowFlag.Joined;
  sys.option(slot, SocketOption.UdpGro, 1); // kernels that cannot, do not
  sys.option(slot, SocketOption.RcvBuf, FLOW_BUFFER_BYTES);
}

/** Datagrams of a flow's server have come: they wait for the end of the turn, with its client's address. */
function answer(slot: number, came: number): void {
  const row = slot * ADDRESS_INTS, first = answerEnd;
  let bytes = 0, datagrams = 0;
  for (let record = first; record < first + came; record++) {
    const at = ANSWERING_INTS + record * DATAGRAM_INTS;
    if (arenaInts[at + DatagramAt.Cut] !== 0) {
      count(Count.DatagramsCut);
      answerEnd = record;
      datagramsFlushTo(record + 1);
      continue;
    }
    for (let int = 0; int < ADDRESS_INTS; int++) {
      arenaInts[at + DatagramAt.Client + int] = flowAddress[row + int];
    }
    bytes += arenaInts[at + DatagramAt.Bytes];
    datagrams += datagramsIn(ANSWERING_INTS, record, record + 1);
  }
  answerEnd = first + came;
  if (datagrams === 0) return;
  const listener = flowListener[slot];
  if (flowDownDatagrams[slot] === 0) latencyCame(slot, clockMs() - flowStartMs[slot]);
  flowDownBytes[slot] += bytes;
  flowDownDatagrams[slot] += datagrams;
  stats.listenerDownBytes[listener] += bytes;
  stats.listenerDownDatagrams[listener] += datagrams;
  stats.serverDownBytes[flowServer[slot]] += bytes;
  flowAnswered(slot);
  timerExtend(slot, tickAt(clockMs()) + flowIdleTicks[slot]);
  const responses = flowResponses[slot];
  if (responses > 0 && flowDownDatagrams[slot] >= responses * flowUpDatagrams[slot]) {
    flowEnd(slot, Reason.SessionDone, 0);
  }
}

/** Sends the answers that wait. At the end of each turn, before the sweep. */
export function datagramsFlush(): void {
  datagramsFlushTo(0);
  if (unwatched.length > 0) watchLeft();
}

/** Sends the answers that wait, and goes on with record `next`. */
function datagramsFlushTo(next: number): void {
  for (let from = answerFrom; from < answerEnd;) {
    const sent = sys.udp_answer(answerSocket, ARENA_ANSWERING, from, answerEnd - from);
    if (sent > 0) {
      from += sent;
      continue;
    }
    const lost = isFullBuffer(-sent) || sent === -EBUG ? answerEnd : from + 1;
    count(Count.DatagramsUnsent, datagramsIn(ANSWERING_INTS, from, lost));
    from = lost;
  }
  answerFrom = answerEnd = next;
}

/** Nothing came or went for the flow's idle time. */
export function flowTimeout(slot: number): void {
  const isAnswered = flowDownDatagrams[slot] > 0 || flowResponses[slot] <= 0;
  if (!isAnswered) {
    stats.serverFailed[flowServer[slot]]++;
    latencyCame(slot, clockMs() - flowStartMs[slot]);
  }
  flowEnd(slot, isAnswered ? Reason.SessionIdle : Reason.SessionUnanswered, 0);
}

/** A sample of how fast the flow's server is, where that is looked at: its first answer, or that there was none. */
function latencyCame(slot: number, tookMs: number): void {
  if (plan.upstreamBalance[flowUpstream[slot]] !== Balance.PeakEwma) return;
  latencySample(shared, flowServer[slot], tookMs, clockMs());
}

/** The flow's datagrams meet nobody: its server is passed over for a while. */
function fail(slot: number, errno: number): void {
  const server = flowServer[slot];
  stats.serverFailed[server]++;
  shared.serverAvoided[server] = tickAt(clockMs() + AVOID_MS);
  flowEnd(slot, reasonOf(errno), errno);
}

export function flowBug(slot: number): void {
  flowEnd(slot, Reason.Bug, 0);
}

/** The end of a flow, whatever came before: accounts, its slot marked, its record. */
function flowEnd(slot: number, reason: Reason, errno: number): void {
  const server = flowServer[slot];
  flowRemove(slot);
  sourceGive(sources, flowSource[slot]);
  flowSource[slot] = NONE;
  closeSlot(slot, false);
  stats.listenerCurrent[flowListener[slot]]--;
  stats.serverCurrent[server]--;
  if (flowFlags[slot] & FlowFlag.Placed && !queueHand(flowUpstream[slot], server)) {
    givePlaceBack(flowUpstream[slot], server);
    queueWake(flowUpstream[slot]);
  }
  countEnded(flowListener[slot], reason);
  const lifeMs = clockMs() - flowStartMs[slot];
  stats.listenerLives[flowListener[slot] * LIFE_BUCKETS + lifeBucket(lifeMs)]++;
  stats.listenerLifeMs[flowListener[slot]] += lifeMs;
  recordFlow(slot, reason, errno);
}

/** Ends every flow. */
export function flowsEndAll(reason: Reason): void {
  for (let slot = 1; slot < slotsEnd(); slot++) {
    if (slotState[slot] === SlotState.Flow) flowEnd(slot, reason, 0);
  }
}

/** What of records [from, end) of a batch are bytes, and how many datagrams they are. */
function bytesIn(ints: number, from: number, end: number): number {
  let bytes = 0;
  for (let record = from; record < end; record++) {
    bytes += arenaInts[ints + record * DATAGRAM_INTS + DatagramAt.Bytes];
  }
  return bytes;
}

function datagramsIn(ints: number, from: number, end: number): number {
  let datagrams = 0;
  for (let record = from; record < end; record++) {
    const at = ints + record * DATAGRAM_INTS, segment = arenaInts[at + DatagramAt.Segment];
    datagrams += segment === 0 ? 1 : Math.ceil(arenaInts[at + DatagramAt.Bytes] / segment);
  }
  return datagrams;
}

/** What a failed socket means, by errno. */
function reasonOf(errno: number): Reason {
  assert(errno !== EBUG, "datagram: a call broke its contract");
  switch (errno) {
    case ECONNREFUSED:
      return Reason.ConnectionRefused;
    case EADDRNOTAVAIL: // no port left
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
      return Reason.OutOfResources;
    default: // ENETUNREACH, EHOSTUNREACH, EACCES, ...
      return Reason.Unroutable;
  }
}

/** Whether an error tells that the server is not there (ICMP, or no route), and not of one datagram alone: too long
 * for the path (it is cut in pieces next time), forbidden by a firewall of ours, no room. */
function isNobody(errno: number): boolean {
  switch (errno) {
    case 0:
    case EAGAIN:
    case EMSGSIZE:
    case EPERM:
    case EINVAL:
    case ENOBUFS:
    case ENOMEM:
      return false;
    default:
      return true;
  }
}

function isFullBuffer(errno: number): boolean {
  return errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM;
}

/** Tables and listening sockets belong together. For tests. */
export function datagramsCheck(): void {
  assertTable(answerFrom === 0 && answerEnd === 0, "datagram: answers were left lying");
}
