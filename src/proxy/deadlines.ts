// What the next step of a request may take: by whose turn it is to move or to take bytes, and never beyond what
// the whole exchange may. Both hang on the client's slot. What a passed deadline means is told in request.ts.
import { NONE } from "../base/limits.ts";
import { Ready } from "../net/ready.ts";
import { slotBody, slotHold, slotReady } from "../net/slots.ts";
import { timerSet } from "../net/timers.ts";
import { Body, ExFlag } from "../shared/tables.ts";
import { clockMs } from "../sys/sys.ts";
import { planOf } from "./context.ts";
import { exDown, exFlags, exGeneration, exListener, exStartMs, exUp, exUpstream } from "./exchanges.ts";

/** Gives the exchange's next step its time: the client's while its request comes, unless it waits for leave to
 * go on; then the server's. */
export function allow(ex: number): void {
  const held = planOf(exGeneration[ex]), upstream = exUpstream[ex], down = exDown[ex], up = exUp[ex];
  const ms = slotBody[down] !== Body.Ended && !(exFlags[ex] & ExFlag.Expects)
    ? up !== NONE && isStuck(down, up)
      ? held.upstreamWriteStallMs[upstream]
      : held.listenerBodyStallMs[exListener[ex]]
    : exFlags[ex] & ExFlag.Answered
    ? isStuck(up, down) ? held.listenerWriteStallMs[exListener[ex]] : held.upstreamServerIdleMs[upstream]
    : held.upstreamAnswerMs[upstream];
  allowUntil(ex, clockMs() + ms);
}

/** Whether a slot's bytes wait for its peer to take them: held, or, where they are peeked at, in the kernel still. */
export function isStuck(from: number, to: number): boolean {
  return slotHold[from] !== NONE || !(slotReady[to] & Ready.Out);
}

/** Gives it until `atMs`. */
export function allowUntil(ex: number, atMs: number): void {
  const whole = planOf(exGeneration[ex]).listenerExchangeMs[exListener[ex]];
  timerSet(exDown[ex], whole === 0 ? atMs : Math.min(atMs, exStartMs[ex] + whole));
}

/** Whether the exchange has had all the time that it may have. */
export function isOver(ex: number): boolean {
  const whole = planOf(exGeneration[ex]).listenerExchangeMs[exListener[ex]];
  return whole !== 0 && clockMs() >= exStartMs[ex] + whole;
}
