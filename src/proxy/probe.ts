// A health check: an exchange without client, on the very path of traffic. This file knows what a
// check says and hears, and keeps the books of each check: verdict, streak, when it is due again.
// Verdicts go to shared memory, where every reactor's picks read them.
import { ARENA_SCRATCH, NONE, PROBE_TEXT_BYTES_MAX, PROBES_MAX, SERVERS_MAX } from "../base/limits.ts";
import { random } from "../base/random.ts";
import { holdBlock } from "../net/holds.ts";
import { Ready, readyClear } from "../net/ready.ts";
import { slotHold, slotHoldBytes, slotReady } from "../net/slots.ts";
import { timerClear, timerSet } from "../net/timers.ts";
import { type Plan, ProbeKind, STATUS_END, STATUS_FIRST } from "../plan/plan.ts";
import { makeHead, Method } from "../proto/head.ts";
import { parseAnswer } from "../proto/http1_head.ts";
import { markJoined } from "../policy/candidates.ts";
import { judge, nextCheckMs, streakOf, verdictOf } from "../policy/health.ts";
import { Field, Heard, HEARD_UNIT, RecordKind } from "../shared/log_ring.ts";
import { Reason } from "../shared/reason.ts";
import { Verdict } from "../shared/servers.ts";
import { Count } from "../shared/stats.ts";
import { EAGAIN, ECONNREFUSED } from "../sys/errno.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { count, log, plan, shared } from "./context.ts";
import { exErrno, exFirst, exReason, exStartMs, exStatus, exUp } from "./exchanges.ts";
import { isAlerted } from "./handshake.ts";
import { queueWakeAll } from "./queue.ts";

/** First checks of many servers are spread over this, or one interval if that is shorter. */
const FIRST_SPREAD_MS = 1_000;
/** Below this many checks there is nothing to spread. */
const SPREAD_FROM = 16;
/** A check that found no room is tried again after this. */
const LATE_MS = 200;

/** By probe number. */
let probeVerdict: Uint8Array;
let probeStreak: Uint8Array;
let probeLastReason: Uint8Array;
let probeLastErrno: Uint16Array;
let probeLastHeard: Uint16Array;
let probeKnown: Uint8Array;
/** Row of probe 0 in the timer table. */
let timerRows: number;
/** Highest probe number of any Plan so far, plus 1. */
let probesEnd: number;

export function probesOpen(firstTimerRow: number): void {
  probeVerdict = new Uint8Array(PROBES_MAX);
  probeStreak = new Uint8Array(PROBES_MAX);
  probeLastReason = new Uint8Array(PROBES_MAX);
  probeLastErrno = new Uint16Array(PROBES_MAX);
  probeLastHeard = new Uint16Array(PROBES_MAX);
  probeKnown = new Uint8Array(PROBES_MAX);
  timerRows = firstTimerRow;
  probesEnd = 1;
}

/** Servers that the Plan before did not have begin their slow start, where they have one. */
export function serversJoined(before: Plan): void {
  if (markJoined(before, plan, shared.serverUpMs, clockMs())) Atomics.add(shared.verdictVersion, 0, 1);
}

/** Servers that the Plan before checked and this one does not count as unchecked: nobody looks after them now. */
export function serversUnchecked(before: Plan): void {
  const checked = new Uint8Array(SERVERS_MAX);
  for (let probe = 1; probe < plan.probes; probe++) {
    const first = plan.probeFirst[probe], end = first + plan.probeCount[probe];
    for (let member = first; member < end; member++) checked[plan.probeMember[member]] = 1;
  }
  let changed = false;
  for (let probe = 1; probe < before.probes; probe++) {
    const first = before.probeFirst[probe], end = first + before.probeCount[probe];
    for (let member = first; member < end; member++) {
      const server = before.probeMember[member];
      if (checked[server] === 1 || shared.serverVerdict[server] === Verdict.Unchecked) continue;
      shared.serverVerdict[server] = Verdict.Unchecked;
      changed = true;
    }
  }
  if (changed) Atomics.add(shared.verdictVersion, 0, 1);
}

/** Takes up the checks of a new Plan and lets go of those it no longer has. */
export function probesSchedule(): void {
  probesEnd = Math.max(probesEnd, plan.probes);
  for (let probe = 1; probe < probesEnd; probe++) {
    const wanted = probe < plan.probes && plan.probeKind[probe] !== ProbeKind.None;
    if (!wanted) {
      if (probeKnown[probe] === 1) forget(probe);
      continue;
    }
    if (probeKnown[probe] === 1) {
      publish(probe); // servers that joined since
      continue;
    }
    probeKnown[probe] = 1;
    // What was known of its servers holds until it is checked: a health Worker that died, or another
    // check that asked before, need not be paid for with a server that is down.
    if (plan.probeCount[probe] > 0) {
      probeVerdict[probe] = shared.serverVerdict[plan.probeMember[plan.probeFirst[probe]]];
    }
    publish(probe);
    const spread = plan.probes < SPREAD_FROM ? 0 : Math.min(FIRST_SPREAD_MS, plan.probeIntervalMs[probe]);
    timerSet(timerRows + probe, clockMs() + spread * random());
  }
}

function forget(probe: number): void {
  timerClear(timerRows + probe);
  probeKnown[probe] = 0;
  probeVerdict[probe] = Verdict.Unchecked;
  probeStreak[probe] = 0;
  probeLastReason[probe] = Reason.None;
  probeLastErrno[probe] = 0;
  probeLastHeard[probe] = 0;
}

/** The check that a timer row belongs to, or NONE: the row is a slot's. */
export function probeOfTimer(row: number): number {
  return row > timerRows ? row - timerRows : NONE;
}

/** A check that was due found no room: soon again. */
export function probeLate(probe: number): void {
  count(Count.ProbesLate);
  timerSet(timerRows + probe, clockMs() + LATE_MS);
}

/** The connection of a check is there: says what is to be said. Reason.None: an answer is awaited. */
export function probeConnected(ex: number): Reason {
  const probe = exFirst[ex], slot = exUp[ex];
  hear(ex, Heard.Nothing, 0);
  if (plan.probeKind[probe] < ProbeKind.Text) return Reason.Healthy; // or no longer wanted
  const at = plan.probeSendAt[probe], bytes = plan.probeSendBytes[probe];
  if (bytes > 0) {
    for (let byte = 0; byte < bytes; byte++) arenaBytes[ARENA_SCRATCH + byte] = plan.arena[at + byte];
    const sent = sys.send(slot, ARENA_SCRATCH, bytes, 0);
    if (sent < bytes) return sent < 0 && sent !== -EAGAIN ? Reason.ServerReset : Reason.OutOfResources;
  }
  // That a datagram was sent proves nothing: whatever its answer is, there must be one.
  if (plan.probeKind[probe] === ProbeKind.Text && plan.probeExpectBytes[probe] === 0) return Reason.Healthy;
  if (!holdBlock(slot)) return Reason.OutOfResources;
  timerSet(slot, exStartMs[ex] + plan.probeTimeoutMs[probe]);
  return probeAnswered(ex);
}

/** Reads an answer as far as it has come. Reason.None: the rest is awaited. */
export function probeAnswered(ex: number): Reason {
  const slot = exUp[ex], at = slotHold[slot];
  while (slotReady[slot] & Ready.In) {
    const had = slotHoldBytes[slot];
    if (had === PROBE_TEXT_BYTES_MAX) return tooLong(ex);
    const read = sys.recv(slot, at + had, PROBE_TEXT_BYTES_MAX - had);
    if (read === -EAGAIN) readyClear(slot, Ready.In);
    else if (read === 0) {
      if (had === 0) hear(ex, Heard.End, 0);
      return Reason.UnexpectedAnswer;
    } else if (read === -ECONNREFUSED) return Reason.ConnectionRefused; // ICMP: our datagram met nobody
    else if (read < 0) return isAlerted(slot, -read) ? Reason.ServerAlert : Reason.ServerReset;
    else {
      slotHoldBytes[slot] = had + read;
      const found = expected(ex, at, had, had + read);
      if (found !== 0) return found > 0 ? Reason.Healthy : Reason.UnexpectedAnswer;
    }
  }
  return Reason.None;
}

/** Notes what was heard, for those who will ask why. A check has no other use for this column. */
function hear(ex: number, heard: Heard, number: number): void {
  exStatus[ex] = heard + number * HEARD_UNIT;
}

/** There is more of the answer than a check reads. */
function tooLong(ex: number): Reason {
  const heard = exStatus[ex] % HEARD_UNIT, number = (exStatus[ex] / HEARD_UNIT) | 0;
  hear(ex, heard === Heard.HeadPart ? Heard.HeadTooLong : Heard.WithoutLong, number);
  return Reason.UnexpectedAnswer;
}

/** Whether an answer has what is expected: 1, 0: not yet, below 0: it has not and will not. */
function expected(ex: number, at: number, searched: number, bytes: number): number {
  const probe = exFirst[ex];
  if (plan.probeKind[probe] !== ProbeKind.Http) return expectedText(ex, 0, at, searched, bytes);
  const end = at + bytes;
  let from = at, used = parseAnswer(arenaBytes, from, end, head, Method.Get);
  while (used > 0 && head.status < 200 && head.status !== 101) { // unasked, and not the answer (RFC 9110 section 15.2)
    from += used;
    used = parseAnswer(arenaBytes, from, end, head, Method.Get);
  }
  if (used <= 0) {
    hear(ex, used === 0 ? Heard.HeadPart : Heard.Refused, -used);
    return used;
  }
  if (head.status < 200 || !expectsStatus(probe, head.status)) {
    hear(ex, Heard.Status, head.status);
    return -1;
  }
  return plan.probeExpectBytes[probe] === 0
    ? 1
    : expectedText(ex, head.status, from + used, searched - (from + used - at), end - from - used);
}

const head = makeHead();

function expectsStatus(probe: number, status: number): boolean {
  const bit = status - STATUS_FIRST;
  return status < STATUS_END && (plan.arena[plan.probeStatusAt[probe] + (bit >> 3)] >> (bit & 7) & 1) === 1;
}

/** The same of a text, which came with that status (0: without HTTP). Below 0: the expression took too many
 * steps on it (-errno). What ended before `searched` was seen. */
function expectedText(ex: number, status: number, at: number, searched: number, bytes: number): number {
  const probe = exFirst[ex];
  hear(ex, Heard.Without, status);
  if (plan.probePattern[probe] !== NONE) {
    const found = sys.pattern_match(plan.probePattern[probe], at, bytes);
    if (found < 0) hear(ex, Heard.Steps, status);
    return found;
  }
  const text = plan.probeExpectAt[probe], length = plan.probeExpectBytes[probe];
  for (let from = Math.max(0, searched - length + 1); from + length <= bytes; from++) {
    let same = 0;
    while (same < length && arenaBytes[at + from + same] === plan.arena[text + same]) same++;
    if (same === length) return 1;
  }
  return 0;
}

/** The check is over, with exReason: judges, publishes, and makes it due again. What failed on our own
 * machine says nothing about the server. */
export function probeEnded(ex: number, held: Plan): void {
  const probe = exFirst[ex], reason = exReason[ex];
  if (probeKnown[probe] === 0 || reason === Reason.Drained) return; // no longer wanted
  const before: Verdict = probeVerdict[probe];
  const heard = reason === Reason.UnexpectedAnswer || reason === Reason.NoAnswer ? exStatus[ex] : 0;
  if (reason !== Reason.OutOfResources && reason !== Reason.Bug) {
    const judged = judge(
      before,
      probeStreak[probe],
      reason === Reason.Healthy,
      held.probeFall[probe],
      held.probeRise[probe],
    );
    probeVerdict[probe] = verdictOf(judged);
    probeStreak[probe] = streakOf(judged);
  }
  if (probeVerdict[probe] !== before) publish(probe);
  if (
    reason !== probeLastReason[probe] || exErrno[ex] !== probeLastErrno[probe] ||
    heard !== probeLastHeard[probe] || probeVerdict[probe] !== before
  ) {
    probeLastReason[probe] = reason;
    probeLastErrno[probe] = exErrno[ex];
    probeLastHeard[probe] = heard;
    tell(ex, probe, before);
  }
  timerSet(
    timerRows + probe,
    clockMs() + nextCheckMs(held.probeIntervalMs[probe], probeStreak[probe], random()),
  );
}

/** Writes a check's verdict to every server that it is about now. */
function publish(probe: number): void {
  const first = plan.probeFirst[probe], end = first + plan.probeCount[probe];
  let changed = false;
  for (let member = first; member < end; member++) {
    const server = plan.probeMember[member];
    if (shared.serverVerdict[server] === probeVerdict[probe]) continue;
    if (shared.serverVerdict[server] === Verdict.Down) shared.serverUpMs[server] = clockMs();
    shared.serverVerdict[server] = probeVerdict[probe];
    changed = true;
  }
  if (!changed) return;
  Atomics.add(shared.verdictVersion, 0, 1);
  if (probeVerdict[probe] === Verdict.Up) queueWakeAll(); // it has places
}

function tell(ex: number, probe: number, before: Verdict): void {
  const row = log.begin(RecordKind.Probe, clockMs());
  if (row < 0) return count(Count.LogDropped);
  const numbers = log.numbers;
  numbers[row + Field.Server] = probe;
  numbers[row + Field.Reason] = exReason[ex];
  numbers[row + Field.Errno] = exErrno[ex];
  numbers[row + Field.DurationMs] = clockMs() - exStartMs[ex];
  numbers[row + Field.Tried] = probeStreak[probe];
  numbers[row + Field.Detail] = probeVerdict[probe] | (before << 8);
  numbers[row + Field.Heard] = probeLastHeard[probe];
  log.push();
}
