// Datagrams: from clients to servers and back, by flows (net/flows.ts; users call them sessions). Each reactor has one
// socket of every listener's set; a client is always the same one's. What a client sends goes to its flow's server
// through a socket of the flow's own, connected, so that what comes there is the server's; what the server sends goes
// back through the listening socket, from the address that the client asked. Datagrams are dropped where TCP would
// wait: when a buffer is full, when there is no room for a flow. Each drop is counted.
import { assert, assertTable } from "../base/assert.ts";
import {
  ARENA_ANSWERING,
  ARENA_ASKING,
  BATCHES_PER_TURN,
  CONNECTS_PER_TURN,
  DATAGRAM_INTS,
  DATAGRAMS_PER_CALL,
  LISTENERS_MAX,
  LOOKS_PER_BATCH,
  LOOKS_PER_TURN,
  NONE,
} from "../base/limits.ts";
import {
  flowAddress,
  flowAnswered,
  flowDownBytes,
  flowDownDatagrams,
  flowFind,
  flowFlags,
  flowHeardTick,
  flowIdleTicks,
  flowListener,
  flowPut,
  flowResponses,
  flowServer,
  flowsFrozen,
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
import { giveUntouchedSlot, slotFlags, slotState, takeSlot } from "../net/slots.ts";
import { tickAt, timerExtend, timerSet } from "../net/timers.ts";
import { guardOf } from "../plan/guards.ts";
import { isHashed, walked } from "../policy/balance.ts";
import { Reason } from "../shared/reason.ts";
import { PER_LINE } from "../shared/servers.ts";
import { Count } from "../shared/stats.ts";
import { FlowFlag, SlotFlag, SlotState } from "../shared/tables.ts";
import { EAGAIN, EBUG, ENOMEM } from "../sys/errno.ts";
import { DatagramAt, SocketOption } from "../sys/symbols.ts";
import { arenaInts, clockMs, sys } from "../sys/sys.ts";
import { isFullOfFlows } from "./accept.ts";
import { admittedSource, charged, charging, unadmit, unchargeLost } from "./admission.ts";
import { closeSlot } from "./close.ts";
import { count, countEnded, plan, room, shared, stats } from "./context.ts";
import { bytesIn, datagramsIn, unsentIn } from "./datagram_batch.ts";
import {
  admittedThrough,
  introducedAt,
  introduceItself,
  preface,
  unwrap,
  unwrapAlike,
  unwrapDetail,
} from "./datagram_header.ts";
import { flowEnd, flowFail, flowGivesWay, flowSample, tellFlows } from "./flow_end.ts";
import { recordRefused } from "./flow_record.ts";
import {
  failedBy,
  failedErrno,
  flowGivePlace,
  isFullBuffer,
  isNobody,
  isStranded,
  looks,
  looksBegin,
  passedOver,
  reach,
  reachedServer,
  reachedTried,
} from "./flow_server.ts";
import { isAnyUp, keyOfRecord, pickMember } from "./server.ts";

/** What is read of a server at first: most answers are one datagram. More, once it fills this. */
const READ_FIRST = 4;
/** What the kernel may keep of a server that sends many at once; it grants less if net.core.rmem_max is less. */
const FLOW_BUFFER_BYTES = 1 << 20;
const ASKING_INTS = ARENA_ASKING / 4;
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
  for (const socket of sockets) {
    closing[socket] = 0;
    if (watched[socket] === 0) unwatched.push(socket);
  }
  watchLeft();
}

function watchLeft(): void {
  unwatched = unwatched.filter((socket) => {
    const result = sys.watch(socket, 1);
    if (result === 0) watched[socket] = 1;
    return result !== 0 && result !== -EBUG;
  });
}

/** Watches none of its listening sockets any more: what comes waits in the kernel. @returns which they were */
export function datagramsUnwatch(): number[] {
  const before = unwatched;
  unwatched = [];
  for (let socket = 0; socket < LISTENERS_MAX; socket++) {
    if (watched[socket] === 0) continue;
    sys.watch(socket, 0);
    watched[socket] = 0;
    before.push(socket);
  }
  return before;
}

/** Takes no new clients from these sockets; those that have a flow keep it. */
export function datagramsDrain(sockets: readonly number[]): void {
  for (const socket of sockets) closing[socket] = 1;
}

/** Listens to these sockets no more: what still comes there waits for whoever has them next. */
export function datagramsForget(sockets: readonly number[]): void {
  for (const socket of sockets) {
    if (watched[socket] === 1) sys.watch(socket, 0);
    watched[socket] = closing[socket] = 0;
  }
  unwatched = unwatched.filter((socket) => !sockets.includes(socket));
}

/** The slot of the flow that is being served, or NONE: whom a broken promise would be about. */
export let servedFlow = NONE;

/** Datagrams of clients wait at a listening socket: moves a turn's worth of them. */
export function datagramsFrom(socket: number): void {
  servedFlow = NONE;
  if (watched[socket] === 0) return; // an event from before it was given up
  const listener = plan.socketListener[socket], isTold = plan.listenerProxyCount[listener] !== 0;
  looksBegin(); // where all of many servers are full, each new client is asked about at each of them
  for (let budget = BATCHES_PER_TURN; budget > 0 && looks < LOOKS_PER_TURN; budget--) {
    const came = sys.udp_recv(socket, ARENA_ASKING, DATAGRAMS_PER_CALL);
    if (came <= 0) return;
    askedNext = 0;
    askedEnd = came;
    while (askedNext < came) {
      askedNext = isTold ? forwardTold(socket, listener, askedNext, came) : forward(socket, askedNext, came);
    }
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
  unchargeLost(); // it was on its way to a flow
}

/** Forwards the datagrams from record `from` on that one client sent in a row; returns the next record. */
function forward(socket: number, from: number, came: number): number {
  const first = ASKING_INTS + from * DATAGRAM_INTS;
  if (isCut(first)) return from + 1;
  let end = from + 1;
  for (; end < came; end++) {
    const at = ASKING_INTS + end * DATAGRAM_INTS;
    if (arenaInts[at + DatagramAt.Cut] !== 0 || !isSameFlow(arenaInts, first, at)) break;
  }
  send(socket, from, end, NONE);
  return end;
}

/** Whether the datagram whose record is at `at` was cut: it is dropped. */
function isCut(at: number): boolean {
  if (arenaInts[at + DatagramAt.Cut] === 0) return false;
  count(Count.DatagramsCut);
  return true;
}

/** The same of a listener whose clients are introduced by the header of each datagram, which is taken off. */
function forwardTold(socket: number, listener: number, from: number, came: number): number {
  const first = ASKING_INTS + from * DATAGRAM_INTS, segment = arenaInts[first + DatagramAt.Segment];
  if (isCut(first)) return from + 1;
  if (segment === 0) {
    if (!unwrapped(listener, first, from, 0, arenaInts[first + DatagramAt.Bytes])) return from + 1;
    const end = unwrapAlike(from, came);
    send(socket, from, end, introducedAt);
    return end;
  }
  // Joined on the way: each has a header of its own, and they need not be of one client.
  const all = arenaInts[first + DatagramAt.Bytes];
  arenaInts[first + DatagramAt.Segment] = 0;
  for (let skip = 0; skip < all; skip += segment) {
    if (unwrapped(listener, first, from, skip, Math.min(segment, all - skip))) {
      send(socket, from, from + 1, introducedAt);
    }
  }
  return from + 1;
}

/** Takes the header off the datagram of `bytes` that begins `skip` behind the beginning of its buffer; false: it is
 * refused. */
function unwrapped(listener: number, first: number, record: number, skip: number, bytes: number): boolean {
  const reason = unwrap(listener, record, skip, bytes);
  if (reason === Reason.None) return true;
  count(Count.DatagramsRefused);
  refuse(listener, (first + DatagramAt.Client) * 4, reason, unwrapDetail);
  return false;
}

/** Sends records [from, end) of one client to its server; `told`: where the record of the client is that a proxy
 * introduced, or NONE. */
function send(socket: number, from: number, end: number, told: number): void {
  const first = ASKING_INTS + from * DATAGRAM_INTS;
  let slot = flowFind(arenaInts, first, socket, told);
  if (slot !== NONE && isStranded(slot)) {
    flowEnd(slot, Reason.SessionMoved, 0);
    slot = flowFind(arenaInts, first, socket, told);
  }
  for (let at = from, budget = CONNECTS_PER_TURN; at < end;) {
    servedFlow = slot;
    if (slot === NONE && --budget > 0) slot = begin(socket, first, told);
    else if (told !== NONE && slot !== NONE && flowFlags[slot] & FlowFlag.Prefaced) {
      preface(slot, plan.upstreamSendProxy[flowUpstream[slot]]); // what was told besides may have changed
    }
    if (slot === NONE) {
      count(Count.DatagramsRefused, datagramsIn(ASKING_INTS, at, end));
      return;
    }
    servedFlow = slot;
    const sent = sys.udp_send(slot, ARENA_ASKING, at, end - at);
    assert(sent !== 0 && sent !== -EBUG, "datagram: a send broke its contract");
    if (sent > 0) {
      settleUp(slot, at, at + sent);
      at += sent;
    } else if (isNobody(-sent)) {
      flowFail(slot, -sent); // it tells of an earlier one: this one goes to another server
      slot = flowFind(arenaInts, first, socket, told);
    } else {
      const lost = isFullBuffer(-sent) ? end : at + 1;
      count(Count.DatagramsUnsent, datagramsIn(ASKING_INTS, at, lost));
      at = lost;
    }
  }
}

/** A flow for the client whose datagram's record is at `at`, or whom `told` says; NONE: it gets none, which is
 * counted. */
function begin(socket: number, at: number, told: number): number {
  const listener = plan.socketListener[socket], upstream = plan.listenerUpstream[listener];
  const senderAt = (at + DatagramAt.Client) * 4, clientAt = told === NONE ? senderAt : told * 4;
  if (closing[socket] === 1) return refuse(listener, clientAt, Reason.Drained, 0);
  const isGuarded = guardOf(plan.guards, listener) !== NONE;
  if (isGuarded) {
    const verdict = admittedThrough(listener, senderAt, clientAt);
    if (verdict !== Reason.None) return refuse(listener, clientAt, verdict, 0);
  }
  const slot = open(socket, listener, upstream, at, told, clientAt);
  if (slot === NONE) {
    if (isGuarded) unadmit();
    return NONE;
  }
  if (isGuarded) {
    charging(admittedSource, slot);
    flowSource[slot] = admittedSource;
    charged();
  }
  flowListener[slot] = listener;
  flowUpstream[slot] = upstream;
  flowServer[slot] = reachedServer;
  flowTried[slot] = reachedTried;
  flowResponses[slot] = plan.listenerResponses[listener];
  flowIdleTicks[slot] = tickAt(plan.listenerFlowIdleMs[listener]);
  flowStartMs[slot] = clockMs();
  flowHeardTick[slot] = tickAt(clockMs());
  slotFlags[slot] = SlotFlag.Down;
  Atomics.add(shared.reactorHanded, room * PER_LINE, 1);
  tellFlows();
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

/** A slot with a socket to a server, in the table of flows; NONE: refused. */
function open(
  socket: number,
  listener: number,
  upstream: number,
  at: number,
  told: number,
  clientAt: number,
): number {
  if (upstream === NONE || !isAnyUp(upstream)) { // nobody gives way for nothing
    return refuse(listener, clientAt, Reason.DestinationUnavailable, 0);
  }
  const isFull = looks >= LOOKS_PER_BATCH || (isFullOfFlows() && !flowGivesWay());
  if (isFull) return refuse(listener, clientAt, Reason.LimitReached, 0);
  const key = isHashed(plan, upstream) ? keyOfRecord(plan, upstream, clientAt) : 0;
  const member = pickMember(upstream, key), walk = walked;
  if (member < 0) return refuse(listener, clientAt, Reason.DestinationUnavailable, 0);
  const slot = takeSlot(SlotState.Flow);
  if (slot === NONE) return refuse(listener, clientAt, Reason.LimitReached, 0);
  if (
    !reach(slot, socket, upstream, member, key, walk, clientAt, false) &&
    !(passedOver && reach(slot, socket, upstream, member, key, walk, clientAt, true))
  ) {
    giveUntouchedSlot(slot);
    return refuse(listener, clientAt, failedBy, failedErrno);
  }
  const sends = plan.upstreamSendProxy[upstream];
  if (sends !== 0) {
    if (told === NONE) introduceItself(at, plan.listenerPort[listener]);
    if (!preface(slot, sends)) {
      flowGivePlace(slot, true);
      closeSlot(slot, false);
      return refuse(listener, clientAt, Reason.OutOfResources, ENOMEM);
    }
  }
  flowFind(arenaInts, at, socket, told); // who gave way may have moved what was found
  flowPut(slot, arenaInts, at, socket, told);
  if (sends !== 0) flowFlags[slot] |= FlowFlag.Prefaced;
  return slot;
}

/** `clientAt`: the peer record of who is refused. */
function refuse(listener: number, clientAt: number, reason: Reason, errno: number): number {
  countEnded(listener, reason);
  recordRefused(listener, clientAt, reason, errno);
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
  count(Count.DatagramsUnsent, unsentIn(ASKING_INTS, from, end));
  timerExtend(slot, tickAt(clockMs()) + flowIdleTicks[slot]);
}

/** An event of a flow's socket, or its turn on the again-list (`bits` 0): its server's datagrams, or the word that
 * ours met nobody. */
export function flowEvent(slot: number, bits: number): void {
  if (flowsFrozen) return;
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
  if (isNobody(errno)) flowFail(slot, errno);
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
  if (flowDownDatagrams[slot] === 0) flowSample(slot, clockMs() - flowStartMs[slot]);
  flowDownBytes[slot] += bytes;
  flowDownDatagrams[slot] += datagrams;
  stats.listenerDownBytes[listener] += bytes;
  stats.listenerDownDatagrams[listener] += datagrams;
  stats.serverDownBytes[flowServer[slot]] += bytes;
  flowAnswered(slot);
  flowHeardTick[slot] = tickAt(clockMs());
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
      count(Count.DatagramsUnsent, unsentIn(ANSWERING_INTS, from, from + sent));
      from += sent;
      continue;
    }
    const lost = isFullBuffer(-sent) || sent === -EBUG ? answerEnd : from + 1;
    count(Count.DatagramsUnsent, datagramsIn(ANSWERING_INTS, from, lost));
    from = lost;
  }
  answerFrom = answerEnd = next;
}

/** Tables and listening sockets belong together. For tests. */
export function datagramsCheck(): void {
  assertTable(answerFrom === 0 && answerEnd === 0, "datagram: answers were left lying");
}
