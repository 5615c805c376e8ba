// The record of an exchange at its end: what the access log, the counters and the samples of failures are
// made of. A plain connection has one, a request has one.
import { ARENA_SCRATCH, NONE } from "../base/limits.ts";
import { slotMovedBytes } from "../net/slots.ts";
import { Field, RecordKind } from "../shared/log_ring.ts";
import { Reason, REASONS } from "../shared/reason.ts";
import { ANSWER_CLASSES, Count } from "../shared/stats.ts";
import { ExFlag } from "../shared/tables.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { accessLine } from "./access_line.ts";
import { count, log, plan, planOf, stats } from "./context.ts";
import {
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

/** Reasons that are errors, by code. */
const isError = Uint8Array.from(REASONS, (reason) => (reason.type === null ? 0 : 1));

/** Counts an exchange that has ended, with exReason, and records it if its kind is to be. */
export function record(ex: number): void {
  const reason = exReason[ex], http = (exFlags[ex] & ExFlag.Http) !== 0;
  stats.ended[reason]++;
  const listener = exListener[ex], server = exServer[ex];
  if (http) {
    const kind = Math.min(ANSWER_CLASSES - 1, (exStatus[ex] / 100) | 0);
    stats.listenerRequests[listener]++;
    stats.listenerAnswers[listener * ANSWER_CLASSES + kind]++;
    stats.listenerUpBytes[listener] += exUpBytes[ex];
    stats.listenerDownBytes[listener] += exDownBytes[ex];
    if (server !== NONE) {
      stats.serverUpBytes[server] += exUpBytes[ex];
      if (exFirstMs[ex] !== 0) stats.serverDownBytes[server] += exDownBytes[ex]; // else they are our own words
    }
  }
  if (plan.accessAll === 0 && isError[reason] === 0) return;
  const down = exDown[ex], up = exUp[ex];
  sys.client(down, ARENA_SCRATCH);
  if (http && plan.accessAll !== 0) {
    const held = exGeneration[ex] === 0 ? plan : planOf(exGeneration[ex]);
    if (!accessLine(ex, held)) count(Count.LogDropped);
    return;
  }
  const row = log.begin(http ? RecordKind.Request : RecordKind.Access, clockMs());
  if (row < 0) return count(Count.LogDropped);
  const numbers = log.numbers;
  numbers[row + Field.Listener] = listener;
  numbers[row + Field.Upstream] = exUpstream[ex];
  numbers[row + Field.Server] = server;
  numbers[row + Field.Reason] = reason;
  const refused = reason === Reason.BadRequest || reason === Reason.BadAnswer;
  numbers[row + (refused ? Field.Detail : Field.Errno)] = exErrno[ex];
  numbers[row + Field.UpBytes] = http ? exUpBytes[ex] : slotMovedBytes[down];
  numbers[row + Field.DownBytes] = http ? exDownBytes[ex] : up === NONE ? 0 : slotMovedBytes[up];
  numbers[row + Field.DurationMs] = clockMs() - exStartMs[ex];
  numbers[row + Field.Tried] = exTried[ex];
  log.setPeer(row, arenaBytes, ARENA_SCRATCH);
  log.push();
}
