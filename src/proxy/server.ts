// Servers seen from inside a reactor: who may be picked now, and a socket on its way to one. Decides nothing
// about what follows a failure (exchange.ts does).
import { ADDRESS_BYTES, ARENA_SCRATCH, NONE, PEER_BYTES } from "../base/limits.ts";
import { Ready } from "../net/ready.ts";
import { giveUntouchedSlot, slotEx, slotGen, slotReady, takeSlot } from "../net/slots.ts";
import type { Plan } from "../plan/plan.ts";
import { cursorCommit, hasCursor, pick, refreshCandidates } from "../policy/balance.ts";
import { type Candidates, candidatesFor } from "../policy/candidates.ts";
import { clientKey, mix } from "../policy/hash.ts";
import { requestKey } from "../policy/request_key.ts";
import { ExFlag, SlotState } from "../shared/tables.ts";
import { EINPROGRESS, EMFILE } from "../sys/errno.ts";
import { HOW_CLIENT, HOW_SPEAKS } from "../sys/symbols.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { plan, shared } from "./context.ts";
import { exDown, exFlags } from "./exchanges.ts";
import { request } from "./wire_h1.ts";

/** Who may be picked, for each upstream of the current Plan. */
let candidates: Candidates;
/** The verdicts' version that an upstream's candidates were written from, plus 1. */
let candidateVersion: Int32Array;

function refresh(upstream: number): void {
  if (candidates === undefined || candidates.plan !== plan) {
    candidates = candidatesFor(plan);
    candidateVersion = new Int32Array(plan.upstreams);
  }
  const version = (Atomics.load(shared.verdictVersion, 0) + 1) | 0;
  if (candidateVersion[upstream] === version && clockMs() < candidates.untilMs[upstream]) return;
  candidateVersion[upstream] = version;
  refreshCandidates(candidates, upstream, shared, clockMs());
}

/** The member of an upstream of the current Plan that is next by its rule, or -1 when none may be picked. `key`:
 * what rules that hash go by. Moves the cursor that all reactors share; `walked` (balance.ts) is the walk that
 * begins with it. */
export function pickMember(upstream: number, key: number): number {
  refresh(upstream);
  if (candidates.count[upstream] === 0) return -1;
  const cursor = hasCursor(plan, upstream) ? cursorCommit(shared.upstreamCursor, upstream) : 0;
  return pick(candidates, upstream, shared, cursor, key, clockMs());
}

/** The same without moving the cursor, for who may find no place there: `memberTaken` moves it once one is taken. */
export function peekMember(upstream: number, key: number): number {
  refresh(upstream);
  if (candidates.count[upstream] === 0) return -1;
  const cursor = Atomics.load(shared.upstreamCursor, upstream);
  return pick(candidates, upstream, shared, cursor, key, clockMs());
}

/** The member that was peeked at, or the next of its walk, is taken. */
export function memberTaken(upstream: number): void {
  if (hasCursor(plan, upstream)) cursorCommit(shared.upstreamCursor, upstream);
}

/** Whether an upstream of the current Plan has a server that may be picked. */
export function isAnyUp(upstream: number): boolean {
  refresh(upstream);
  return candidates.count[upstream] > 0;
}

/** What rules that hash go by of a client; drawn for one that has no address. */
export function keyOfClient(held: Plan, upstream: number, down: number): number {
  sys.client(down, ARENA_SCRATCH);
  return keyOfRecord(held, upstream, ARENA_SCRATCH);
}

/** The same of the client whose record is at `at` of the arena. */
export function keyOfRecord(held: Plan, upstream: number, at: number): number {
  return clientKey(held, upstream, arenaBytes, at) || drawKey(upstream);
}

/** The same of the request in `request`. */
export function keyOfRequest(held: Plan, upstream: number, down: number): number {
  sys.client(down, ARENA_SCRATCH);
  return requestKey(held, upstream, arenaBytes, request, arenaBytes, ARENA_SCRATCH) || drawKey(upstream);
}

function drawKey(upstream: number): number {
  return mix(cursorCommit(shared.upstreamCursor, upstream));
}

/** A socket of datagrams that serves no client of a listener. */
const OF_NO_CLIENT = -1;

/** The slot of the last successful `connectTo`. */
export let connectedSlot = NONE;

/** What `connect` needs to know beside the settings: whether bytes follow at once, since only they let a SYN go that
 * is to carry some; and the client's address, where that is to be ours. */
function howOf(ex: number, socket: number): number {
  let how = socket;
  if (how & HOW_SPEAKS) {
    const speaks = exFlags[ex] & ExFlag.Http || slotReady[exDown[ex]] & Ready.In;
    if (!speaks) how &= ~HOW_SPEAKS;
  }
  if (how & HOW_CLIENT) sys.client(exDown[ex], ARENA_SCRATCH + ADDRESS_BYTES);
  return how;
}

/**
 * Takes a slot for exchange `ex` and starts its connection to the address at `addressAt` of the Plan, by settings
 * `socket` (NONE: none); `datagrams`: a socket that only notes where its datagrams go.
 *
 * @returns 0: connected; -EINPROGRESS: on its way (both: the slot is `connectedSlot`); another -errno:
 *          failed, nothing was taken. -EMFILE also when there is no slot.
 */
export function connectTo(
  ex: number,
  held: Plan,
  addressAt: number,
  socket: number,
  datagrams = false,
): number {
  const slot = takeSlot(SlotState.Connecting);
  if (slot === NONE) return -EMFILE;
  const bytes = held.arena[addressAt] === 1 ? ADDRESS_BYTES : PEER_BYTES; // a unix path is longer
  for (let byte = 0; byte < bytes; byte++) arenaBytes[ARENA_SCRATCH + byte] = held.arena[addressAt + byte];
  const result = datagrams
    ? sys.udp_connect(slot, slotGen[slot], ARENA_SCRATCH, OF_NO_CLIENT, ARENA_SCRATCH, socket)
    : sys.connect(slot, slotGen[slot], ARENA_SCRATCH, socket === NONE ? 0 : howOf(ex, socket));
  if (result !== 0 && result !== -EINPROGRESS) {
    giveUntouchedSlot(slot);
    return result;
  }
  slotEx[slot] = ex;
  connectedSlot = slot;
  return result;
}
