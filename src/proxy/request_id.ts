// The number by which a request is known to everybody it meets: the X-Request-ID of a trusted proxy, or one
// of our own. Where templates may ask for it, it is settled before the request is forwarded and kept behind
// its head, so that request, answer and what Sluice says itself tell the same one.
import { ARENA_SCRATCH } from "../base/limits.ts";
import { randomBits } from "../base/random.ts";
import type { Plan } from "../plan/plan.ts";
import { keepsId } from "../policy/request_head.ts";
import { FieldAt, findField, Name } from "../proto/head.ts";
import { putHex } from "../proto/http1_print.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { exDown, exKept, exKeptBytes, exListener } from "./exchanges.ts";
import { inputs, prepareTemplates } from "./routing.ts";
import { request } from "./wire_h1.ts";

/** What lies behind a kept head: nothing yet, that the field is believed, or the first of so many digits. */
const UNSETTLED = 0;
const BELIEVED = 1;
const WORDS = 4;
const DIGITS_PER_WORD = 8;
export const REQUEST_ID_BYTES = WORDS * DIGITS_PER_WORD;

/** A head was kept: its number is not settled. */
export function unsettleId(ex: number): void {
  arenaBytes[exKept[ex] + exKeptBytes[ex]] = UNSETTLED;
}

/** Whether the number of a kept head is what its own field says; or one of ours, which lies behind it. */
export function believedId(ex: number): boolean {
  return arenaBytes[exKept[ex] + exKeptBytes[ex]] === BELIEVED;
}
export function settledId(ex: number): boolean {
  return arenaBytes[exKept[ex] + exKeptBytes[ex]] > BELIEVED;
}

/** Makes `inputs` know the number of the request in `request`. The client's record is in the scratch page. */
export function settleId(ex: number, held: Plan): void {
  const at = exKept[ex] + exKeptBytes[ex];
  if (arenaBytes[at] === UNSETTLED) settle(held, exListener[ex], at);
  if (arenaBytes[at] !== BELIEVED) {
    inputs.idAt = at;
    inputs.idEnd = at + REQUEST_ID_BYTES;
    return;
  }
  const row = findField(request, Name.XRequestId) * FieldAt.Length;
  inputs.idAt = request.at + request.fields[row + FieldAt.Value];
  inputs.idEnd = request.at + request.fields[row + FieldAt.ValueEnd];
}

/** Prepares the templates of an answer, which are made from its request. */
export function prepareAnswerTemplates(ex: number, held: Plan): void {
  prepareTemplates(ex, held);
  sys.client(exDown[ex], ARENA_SCRATCH);
  settleId(ex, held);
}

function settle(held: Plan, listener: number, at: number): void {
  if (keepsId(held, listener, inputs)) {
    arenaBytes[at] = BELIEVED;
    return;
  }
  for (let word = 0; word < WORDS; word++) putHex(arenaBytes, at + word * DIGITS_PER_WORD, randomBits());
}
