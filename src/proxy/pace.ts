// How fast bytes may go: what the connection, its source and its listener have left, each way. Who reads a slot that
// is shaped is lent so many bytes first, by all of its meters at once; what it did not read is given back. Where too
// little is left for a quantum, that much is taken from what is still to come, and the slot is parked until then: so
// those who share a meter stand in line, and nobody looks twice. A source that is parked and ready is muted, as one
// is whose sink is full: a stream that keeps to its limit costs that once.
// It is our timer that paces, not the kernel's (SO_MAX_PACING_RATE): that knows single TCP connections alone, no
// burst, and takes megabytes from us first.
// Heads are read whole and counted behind: the next one waits until they are paid for.
import { assert, assertTable } from "../base/assert.ts";
import { DELAY_MS_MAX, METER_UNITS_PER_MS, NONE, SPLICE_LEAST_BYTES, TURN_BYTES } from "../base/limits.ts";
import { random } from "../base/random.ts";
import { delayClear, delayIsSet, delaySet } from "../net/delays.ts";
import { Ready, readyMute } from "../net/ready.ts";
import {
  slotEx,
  slotFlags,
  slotLentBytes,
  slotMovedBytes,
  slotPaidBytes,
  slotReady,
  slotsEnd,
} from "../net/slots.ts";
import { PaceOf, paceRow, PaceWay } from "../plan/paces.ts";
import { METER_WORDS, meterFill, meterLevel, meterTake } from "../shared/meters.ts";
import { SlotFlag } from "../shared/tables.ts";
import { clockMs } from "../sys/sys.ts";
import { plan, sources } from "./context.ts";
import { exDown, exListener, exMeters, exSource, exUp } from "./exchanges.ts";

/** What is looked at now: the first of its three rows, and where each of their meters is. */
let row = NONE;
const places = new Int32Array(PaceOf.Length);

/** Looks at one way of an exchange; false: nothing of it is limited. */
function look(ex: number, way: PaceWay): boolean {
  row = paceRow(plan.paces, exListener[ex], way);
  if (row === NONE) return false;
  const source = exSource[ex], limiter = sources.sourceLimiter[source];
  places[PaceOf.Connection] = placeOf(ex, way);
  const ofAll = limiter === NONE ? source : limiter;
  places[PaceOf.Source] = source === ofAll ? NONE : placeOf(source, way);
  places[PaceOf.Listener] = ofAll === NONE ? NONE : placeOf(ofAll, way);
  return true;
}

/** Where a row's meter of one way is: of the exchange's own, and of who it is counted for (shared/sources.ts). */
function placeOf(who: number, way: PaceWay): number {
  return (who * PaceWay.Length + way) * METER_WORDS;
}

function lookAt(slot: number): boolean {
  return look(slotEx[slot], slotFlags[slot] & SlotFlag.Down ? PaceWay.FromClient : PaceWay.ToClient);
}

/** A client's connection begins: what goes through it is counted if its listener is limited. */
export function paceBegin(ex: number): void {
  if (paceRow(plan.paces, exListener[ex], PaceWay.FromClient) === NONE) return;
  for (let way = 0; way < PaceWay.Length; way++) {
    meterFill(exMeters, placeOf(ex, way), clockMs());
  }
  paceJoin(exDown[ex]);
}

/** A slot is read for a shaped connection from here on. */
export function paceJoin(slot: number): void {
  slotFlags[slot] |= SlotFlag.Shaped;
  slotPaidBytes[slot] = slotMovedBytes[slot];
  slotLentBytes[slot] = 0;
}

/** And no more: what it was lent is given back, and it waits for nothing. Its exchange is still its own. */
export function paceLeave(slot: number): void {
  paceUnpark(slot);
  pacePay(slot);
  slotFlags[slot] &= ~SlotFlag.Shaped;
}

/** Its delay is over, or called off. */
export function paceUnpark(slot: number): void {
  delayClear(slot);
  slotFlags[slot] &= ~SlotFlag.Parked;
}

/** Whether one of an exchange's two ends may not be read yet: whoever waits for its bytes waits for us. */
export function isParked(ex: number): boolean {
  return ((slotFlags[exDown[ex]] | slotFlags[exUp[ex]]) & SlotFlag.Parked) !== 0;
}

/** How many bytes may be read from a shaped slot that has some: they are lent until `pacePay`. 0: it is parked. */
export function paceLend(from: number): number {
  if (slotFlags[from] & SlotFlag.Parked) return 0;
  payRead(from);
  if (slotLentBytes[from] > 0) return slotLentBytes[from]; // what it has waited for
  if (!lookAt(from)) return TURN_BYTES; // its listener is limited no more
  const quantum = plan.paces.paceQuantum[row], left = bytesLeft();
  if (left >= quantum) {
    // Of what others share no more than one's part, even where some is left over.
    const isShared = isMetered(PaceOf.Source) || isMetered(PaceOf.Listener);
    slotLentBytes[from] = Math.min(left, isShared ? quantum : Math.max(quantum, SPLICE_LEAST_BYTES));
    take(slotLentBytes[from]);
    return slotLentBytes[from];
  }
  const waitMs = msUntil(quantum);
  if (waitMs > DELAY_MS_MAX) { // too much is before it, and some of it may be given back
    park(from, DELAY_MS_MAX * (1 + random()) / 2);
    return 0;
  }
  slotLentBytes[from] = quantum;
  take(quantum);
  park(from, waitMs);
  return 0;
}

/** Counts what was read from a shaped slot. What it was lent beyond that is given back, unless it waits for it. */
export function pacePay(from: number): void {
  payRead(from);
  const left = slotLentBytes[from];
  if (left === 0 || slotFlags[from] & SlotFlag.Parked) return;
  slotLentBytes[from] = 0;
  if (lookAt(from)) take(-left);
}

/** Whether a head may be read from a shaped slot that has something to read. If not it is parked until it may. */
export function paceHead(from: number): boolean {
  if (slotFlags[from] & SlotFlag.Parked) return false;
  // What we said ourselves was read from nobody: its client pays for it before it asks for more.
  if (slotFlags[from] & SlotFlag.Down && look(slotEx[from], PaceWay.ToClient)) {
    const debt = -levelOf(PaceOf.Connection) / METER_UNITS_PER_MS;
    if (debt > 0) {
      park(from, Math.min(debt, DELAY_MS_MAX));
      return false;
    }
  }
  return paceLend(from) > 0;
}

/** Counts what Sluice itself says to a client. */
export function paceSaid(ex: number, bytes: number): void {
  if (look(ex, PaceWay.ToClient)) take(bytes);
}

/** What was read uses up what was lent; what goes beyond, as heads may, is owed. */
function payRead(from: number): void {
  const read = slotMovedBytes[from] - slotPaidBytes[from], lent = slotLentBytes[from];
  if (read === 0) return;
  slotPaidBytes[from] = slotMovedBytes[from];
  slotLentBytes[from] = Math.max(0, lent - read);
  if (read > lent && lookAt(from)) take(read - lent);
}

function park(from: number, ms: number): void {
  assert(!delayIsSet(from), "pace: parked a slot that is parked");
  slotFlags[from] |= SlotFlag.Parked;
  delaySet(from, clockMs() + ms);
  if (slotReady[from] & Ready.In) readyMute(from);
}

/** What all three meters have, at most a turn's worth; below 0 if one of them is in debt. */
function bytesLeft(): number {
  const { paceBytes, paceMs } = plan.paces;
  let left = TURN_BYTES;
  for (let of = 0; of < PaceOf.Length; of++) {
    if (!isMetered(of)) continue;
    const ms = levelOf(of) / METER_UNITS_PER_MS;
    left = Math.min(left, Math.floor(ms * paceBytes[row + of] / paceMs[row + of]));
  }
  return left | 0;
}

/** Milliseconds until all three meters have so many bytes. */
function msUntil(bytes: number): number {
  const { paceBytes, paceMs } = plan.paces;
  let most = 0;
  for (let of = 0; of < PaceOf.Length; of++) {
    if (!isMetered(of)) continue;
    const ms = bytes * paceMs[row + of] / paceBytes[row + of];
    most = Math.max(most, ms - levelOf(of) / METER_UNITS_PER_MS);
  }
  return most;
}

/** Takes bytes from all three meters, or gives them back. */
function take(bytes: number): void {
  const { paceBytes, paceMs, paceMost } = plan.paces;
  for (let of = 0; of < PaceOf.Length; of++) {
    if (!isMetered(of)) continue;
    const units = bytes * paceMs[row + of] * METER_UNITS_PER_MS / paceBytes[row + of];
    // Rounded by chance, so that no rounding adds up.
    meterTake(metersOf(of), places[of], clockMs(), paceMost[row + of], Math.floor(units + random()) | 0);
  }
}

/** In units of time; 0 of what is not limited. */
function levelOf(of: PaceOf): number {
  if (!isMetered(of)) return 0;
  return meterLevel(metersOf(of), places[of], clockMs(), plan.paces.paceMost[row + of]);
}

/** Whether a limit is set, and there is who it is counted for: nobody's source is a client of a unix socket. */
function isMetered(of: PaceOf): boolean {
  return plan.paces.paceBytes[row + of] !== 0 && (of === PaceOf.Connection || places[of] !== NONE);
}

function metersOf(of: PaceOf): Int32Array {
  return of === PaceOf.Connection ? exMeters : sources.sourceMeters;
}

/** Who is parked waits for its delay, and for nothing else. For tests. */
export function pacesCheck(): void {
  for (let slot = 1; slot < slotsEnd(); slot++) {
    const parked = (slotFlags[slot] & SlotFlag.Parked) !== 0;
    assertTable(parked === delayIsSet(slot), "pace: a slot is parked without a delay, or has one without");
    assertTable(
      !parked || (slotFlags[slot] & SlotFlag.Shaped) !== 0,
      "pace: parked a slot that is not shaped",
    );
  }
}
