// The head of a request under way, kept in a block: it may have to be forwarded again, an answer's edits are
// made from it, its record tells of it. Once the answer's head is out only the record needs it: a large
// block, of which there are few, is given back then, whatever else the exchange still waits for.
import { assert } from "../base/assert.ts";
import { HOST_BYTES_TOLD, NONE, SMALL_BLOCK_BYTES, TARGET_BYTES_TOLD } from "../base/limits.ts";
import { giveBlock, takeBlockFor } from "../net/blocks.ts";
import { parseRequest } from "../proto/http1_head.ts";
import { linesNeed, Needs } from "../plan/log_lines.ts";
import { arenaBytes } from "../sys/sys.ts";
import { planOf } from "./context.ts";
import {
  exGeneration,
  exHost,
  exHostEnd,
  exKept,
  exKeptBytes,
  exMethodEnd,
  exTargetEnd,
} from "./exchanges.ts";
import { REQUEST_ID_BYTES, unsettleId } from "./request_id.ts";
import { request } from "./wire_h1.ts";

/** Keeps the head in `request`; false when there is no block for it. */
export function keepHead(ex: number): boolean {
  const head = request;
  const block = takeBlockFor(head.bytes + REQUEST_ID_BYTES);
  if (block === NONE) return false;
  arenaBytes.copyWithin(block, head.at, head.at + head.bytes);
  exKept[ex] = block;
  exKeptBytes[ex] = head.bytes;
  exMethodEnd[ex] = head.methodEnd;
  exTargetEnd[ex] = head.targetEnd;
  exHost[ex] = head.authority;
  exHostEnd[ex] = head.authorityEnd;
  unsettleId(ex);
  return true;
}

/** Keeps what its record tells of a request that was refused: method and target, if they were understood. */
export function keepLine(ex: number): void {
  const { at, methodEnd, targetEnd } = request;
  const block = targetEnd > methodEnd ? takeBlockFor(SMALL_BLOCK_BYTES) : NONE;
  if (block === NONE) return;
  const line = Math.min(targetEnd, methodEnd + 1 + TARGET_BYTES_TOLD);
  arenaBytes.copyWithin(block, at, at + line);
  exKept[ex] = block;
  exKeptBytes[ex] = line;
  exMethodEnd[ex] = methodEnd;
  exTargetEnd[ex] = line;
  unsettleId(ex);
}

/** Makes `request` the exchange's again, as it was kept. */
export function recallHead(ex: number): void {
  const parsed = parseRequest(arenaBytes, exKept[ex], exKept[ex] + exKeptBytes[ex], request);
  assert(parsed === exKeptBytes[ex], "kept head: it is no head any more");
}

/** Only the record needs it from here on: of a large one, its first line and its host stay. Where the log
 * tells other fields it stays whole, a block of BLOCK_BYTES for a head beyond SMALL_BLOCK_BYTES, until the
 * exchange ends, a tunnel's included. When blocks run out, requests with large heads are refused (503). */
export function trimHead(ex: number): void {
  if (linesNeed(planOf(exGeneration[ex]).lines, Needs.Head)) return;
  if (exKeptBytes[ex] + REQUEST_ID_BYTES <= SMALL_BLOCK_BYTES) return;
  const block = takeBlockFor(SMALL_BLOCK_BYTES), kept = exKept[ex];
  if (block === NONE) return;
  const line = Math.min(exTargetEnd[ex], exMethodEnd[ex] + 1 + TARGET_BYTES_TOLD);
  const host = Math.min(exHostEnd[ex] - exHost[ex], HOST_BYTES_TOLD);
  arenaBytes.copyWithin(block, kept, kept + line);
  arenaBytes.copyWithin(block + line, kept + exHost[ex], kept + exHost[ex] + host);
  giveBlock(kept);
  exKept[ex] = block;
  exKeptBytes[ex] = line + host;
  exTargetEnd[ex] = line;
  exHost[ex] = line;
  exHostEnd[ex] = line + host;
  unsettleId(ex);
}

/** The exchange has ended. */
export function forgetHead(ex: number): void {
  if (exKept[ex] === NONE) return;
  giveBlock(exKept[ex]);
  exKept[ex] = NONE;
}
