// The record of an exchange at its end: what the access log, the counters and the samples of failures are
// made of. A plain connection has one, a request has one. With an access log it is a line, printed here;
// without one, failures go as numbers to the control plane, which tells some of them.
import { ARENA_SCRATCH, NONE } from "../base/limits.ts";
import { randomBits } from "../base/random.ts";
import { slotMovedBytes } from "../net/slots.ts";
import { ACCESS_SHARE_ALL, type Plan } from "../plan/plan.ts";
import { LATENCY_BUCKETS, latencyBucket } from "../shared/histogram.ts";
import { Field, RecordKind } from "../shared/log_ring.ts";
import { REASONS, tellsDetail } from "../shared/reason.ts";
import { ANSWER_CLASSES, Count } from "../shared/stats.ts";
import { ExFlag } from "../shared/tables.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { accessLine } from "./access_line.ts";
import { count, countEnded, log, plan, planOf, stats } from "./context.ts";
import {
  exConnectMs,
  exDown,
  exDownBytes,
  exErrno,
  exFirstMs,
  exFlags,
  exGeneration,
  exListener,
  exReason,
  exServer,
  exStartMs,
  exStatus,
  exTried,
  exUp,
  exUpBytes,
  exUpstream,
} from "./exchanges.ts";
import { hasLine } from "./refusals.ts";

/** Reasons that are errors, by code. */
export const isError = Uint8Array.from(REASONS, (reason) => (reason.type === null ? 0 : 1));

/** Answers from here on are told whatever the share is: whoever reads a sample wants all that went wrong. */
const STATUS_FAILED = 500;
/** ACCESS_SHARE_ALL has two bits fewer than a random number. */
const SHARE_SHIFT = 2;

/** Whether one of those that ended well is among the share that is logged. */
export function isDrawn({ accessShare }: Plan): boolean {
  return accessShare === ACCESS_SHARE_ALL || randomBits() >>> SHARE_SHIFT < accessShare;
}

/** Counts a server's answer; without one, what was sent are our own words. */
function answered(ex: number): void {
  const upstream = exUpstream[ex], firstMs = exFirstMs[ex] - exConnectMs[ex];
  stats.serverDownBytes[exServer[ex]] += exDownBytes[ex];
  stats.upstreamFirsts[upstream * LATENCY_BUCKETS + latencyBucket(firstMs)]++;
  stats.upstreamFirstMs[upstream] += firstMs;
}

/** Counts an exchange that has ended, with exReason, and records it if its kind is to be. */
export function record(ex: number): void {
  const reason = exReason[ex], http = (exFlags[ex] & ExFlag.Http) !== 0;
  const listener = exListener[ex], server = exServer[ex];
  countEnded(listener, reason);
  if (http) {
    const kind = Math.min(ANSWER_CLASSES - 1, (exStatus[ex] / 100) | 0);
    stats.listenerRequests[listener]++;
    stats.listenerAnswers[listener * ANSWER_CLASSES + kind]++;
    stats.listenerUpBytes[listener] += exUpBytes[ex];
    stats.listenerDownBytes[listener] += exDownBytes[ex];
    const tookMs = clockMs() - exStartMs[ex];
    stats.listenerTimes[listener * LATENCY_BUCKETS + latencyBucket(tookMs)]++;
    stats.listenerTimeMs[listener] += tookMs;
    if (server !== NONE) {
      stats.serverUpBytes[server] += exUpBytes[ex];
      if (exFirstMs[ex] !== 0) answered(ex);
    }
  }
  const held = exGeneration[ex] === 0 ? plan : planOf(exGeneration[ex]);
  const failed = isError[reason] === 1 || (http && exStatus[ex] >= STATUS_FAILED);
  if (held.accessAll !== 0) {
    if ((!failed && !isDrawn(held)) || !hasLine(reason)) return;
    sys.client(exDown[ex], ARENA_SCRATCH);
    if (!accessLine(ex, held)) count(Count.LogDropped);
    return;
  }
  if (isError[reason] === 0) return;
  const down = exDown[ex], up = exUp[ex];
  sys.client(down, ARENA_SCRATCH);
  const row = log.begin(http ? RecordKind.Request : RecordKind.Access, clockMs());
  if (row < 0) return count(Count.LogDropped);
  const numbers = log.numbers;
  numbers[row + Field.Listener] = listener;
  numbers[row + Field.Upstream] = exUpstream[ex];
  numbers[row + Field.Server] = server;
  numbers[row + Field.Reason] = reason;
  numbers[row + (tellsDetail(reason) ? Field.Detail : Field.Errno)] = exErrno[ex];
  numbers[row + Field.UpBytes] = http ? exUpBytes[ex] : slotMovedBytes[down];
  numbers[row + Field.DownBytes] = http ? exDownBytes[ex] : up === NONE ? 0 : slotMovedBytes[up];
  numbers[row + Field.DurationMs] = clockMs() - exStartMs[ex];
  numbers[row + Field.Tried] = exTried[ex];
  log.setPeer(row, arenaBytes, ARENA_SCRATCH);
  log.push();
}
