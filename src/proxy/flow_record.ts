// The record of a flow at its end, and of clients that got none: a line of the access log, or, where there is none,
// numbers for the control plane if something went wrong. Who sends datagrams need not be who it says: refusals are told
// a few a second, and counted all.
import { ARENA_SCRATCH, NONE, PEER_BYTES, REFUSALS_TOLD_PER_SECOND } from "../base/limits.ts";
import {
  flowDownBytes,
  flowListener,
  flowServer,
  flowStartMs,
  flowTried,
  flowUpBytes,
  flowUpstream,
} from "../net/flows.ts";
import { Field, RecordKind } from "../shared/log_ring.ts";
import type { Reason } from "../shared/reason.ts";
import { Count } from "../shared/stats.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { flowLine, unservedLine } from "./access_line.ts";
import { count, log, plan } from "./context.ts";
import { isDrawn, isError } from "./record.ts";

export function recordFlow(slot: number, reason: Reason, errno: number): void {
  const failed = isError[reason] === 1;
  if (plan.accessAll === 0 ? !failed : !failed && !isDrawn(plan)) return;
  sys.client(slot, ARENA_SCRATCH);
  if (plan.accessAll !== 0) {
    if (!flowLine(slot, reason, errno, plan)) count(Count.LogDropped);
    return;
  }
  const row = log.begin(RecordKind.Access, clockMs());
  if (row < 0) return count(Count.LogDropped);
  const numbers = log.numbers;
  numbers[row + Field.Listener] = flowListener[slot];
  numbers[row + Field.Upstream] = flowUpstream[slot];
  numbers[row + Field.Server] = flowServer[slot];
  numbers[row + Field.Reason] = reason;
  numbers[row + Field.Errno] = errno;
  numbers[row + Field.UpBytes] = flowUpBytes[slot];
  numbers[row + Field.DownBytes] = flowDownBytes[slot];
  numbers[row + Field.DurationMs] = clockMs() - flowStartMs[slot];
  numbers[row + Field.Tried] = flowTried[slot];
  log.setPeer(row, arenaBytes, ARENA_SCRATCH);
  log.push();
}

/** The second that refusals are counted in, and how many of it were told. */
let second = 0;
let told = 0;

/** Who got no flow; its peer record lies at `peerAt` of the arena. */
export function recordRefused(listener: number, peerAt: number, reason: Reason, errno: number): void {
  const now = Math.floor(clockMs() / 1_000);
  if (now !== second) {
    second = now;
    told = 0;
  }
  if (told++ >= REFUSALS_TOLD_PER_SECOND) return;
  arenaBytes.copyWithin(ARENA_SCRATCH, peerAt, peerAt + PEER_BYTES);
  const upstream = plan.listenerUpstream[listener];
  if (plan.accessAll !== 0) {
    if (!unservedLine(listener, upstream, reason, errno, plan)) count(Count.LogDropped);
    return;
  }
  const row = log.begin(RecordKind.Access, clockMs());
  if (row < 0) return count(Count.LogDropped);
  log.numbers[row + Field.Listener] = listener;
  log.numbers[row + Field.Upstream] = upstream;
  log.numbers[row + Field.Server] = NONE;
  log.numbers[row + Field.Reason] = reason;
  log.numbers[row + Field.Errno] = errno;
  log.setPeer(row, arenaBytes, ARENA_SCRATCH);
  log.push();
}
