// Servers seen from inside a reactor: who may be picked now, and a socket on its way to one. Decides nothing
// about what follows a failure (exchange.ts does).
import { ADDRESS_BYTES, ARENA_SCRATCH, NONE, PEER_BYTES } from "../base/limits.ts";
import { Ready } from "../net/ready.ts";
import { giveUntouchedSlot, slotEx, slotGen, slotReady, takeSlot } from "../net/slots.ts";
import type { Plan } from "../plan/plan.ts";
import { candidatesOf, redispatch, roundRobin, roundRobinCommit } from "../policy/balance.ts";
import { ExFlag, SlotState } from "../shared/tables.ts";
import { EINPROGRESS, EMFILE } from "../sys/errno.ts";
import { HOW_CLIENT, HOW_SPEAKS } from "../sys/symbols.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { plan, shared } from "./context.ts";
import { exDown, exFlags } from "./exchanges.ts";

/** Positions of the servers that may be picked, for each upstream of `candidatesPlan`. */
let candidatesPlan: Plan;
let candidates: Uint32Array;
let candidateCount: Uint32Array;
/** The verdicts' version that an upstream's candidates were written from, plus 1. */
let candidateVersion: Int32Array;

function refresh(upstream: number): void {
  if (candidatesPlan !== plan) {
    candidatesPlan = plan;
    candidates = new Uint32Array(plan.members);
    candidateCount = new Uint32Array(plan.upstreams);
    candidateVersion = new Int32Array(plan.upstreams);
  }
  const version = (Atomics.load(shared.verdictVersion, 0) + 1) | 0;
  if (candidateVersion[upstream] === version) return;
  candidateVersion[upstream] = version;
  candidateCount[upstream] = candidatesOf(plan, upstream, shared.serverVerdict, candidates);
}

/** The member of an upstream of the current Plan whose turn it is, or -1 when all servers are down.
 * Moves the cursor that all reactors share. */
export function pickMember(upstream: number): number {
  refresh(upstream);
  const count = candidateCount[upstream];
  if (count === 0) return -1;
  const cursor = roundRobinCommit(shared.upstreamCursor, upstream);
  return roundRobin(candidates, plan.upstreamFirst[upstream], count, cursor);
}

/** Whether an upstream of the current Plan has a server that is not down. */
export function isAnyUp(upstream: number): boolean {
  refresh(upstream);
  return candidateCount[upstream] > 0;
}

/** How many places after the first member the next one to try is, or -1. */
export function nextPlace(held: Plan, upstream: number, firstMember: number, tried: number): number {
  return redispatch(held, upstream, shared.serverVerdict, firstMember, tried);
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
    ? sys.udp_connect(slot, slotGen[slot], ARENA_SCRATCH, OF_NO_CLIENT, ARENA_SCRATCH)
    : sys.connect(slot, slotGen[slot], ARENA_SCRATCH, socket === NONE ? 0 : howOf(ex, socket));
  if (result !== 0 && result !== -EINPROGRESS) {
    giveUntouchedSlot(slot);
    return result;
  }
  slotEx[slot] = ex;
  connectedSlot = slot;
  return result;
}
