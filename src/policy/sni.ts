// Which upstream a TLS connection goes to that is not decrypted, by the host name it asks for and the protocols it
// offers. Deciding alone: pure functions of the Plan and the hello. The exact name comes first, then the longest
// wildcard that it is below, at any depth as in routes, then the default; of the choices for one name the first
// whose protocol is offered.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { chooserOf } from "../plan/sni.ts";
import { Octet } from "../proto/octet.ts";
import { hostHash, hostPlace, sameFolded } from "./route.ts";

/** After `chooseByName`: where in its bytes begins what of the name has matched: all of it, or what it is below;
 * `end`: none, it was the default. */
export let sniMatchedAt = 0;

/**
 * The choice (a row of plan.sni) of a listener that chooses by name, for the name in `bytes[from, end)`, which
 * is as `readHello` gives it, but for the case of its letters; empty: the client asks for none. NONE: nothing
 * fits, and there is no default.
 */
export function chooseByName(
  plan: Plan,
  listener: number,
  bytes: Uint8Array,
  from: number,
  end: number,
): number {
  const { sni } = plan, chooser = chooserOf(sni, listener);
  assert(chooser !== NONE, "sni: a listener that does not choose by name");
  if (end > from && sni.chooserMask[chooser] >= 0) {
    const exact = findName(plan, chooser, bytes, from, end);
    sniMatchedAt = from;
    if (exact !== NONE && sni.nameExact[exact] !== NONE) return sni.nameExact[exact];
    for (let below = from; below < end; below++) {
      if (bytes[below] !== Octet.Dot) continue;
      const wild = findName(plan, chooser, bytes, below + 1, end);
      sniMatchedAt = below + 1;
      if (wild !== NONE && sni.nameWild[wild] !== NONE) return sni.nameWild[wild];
    }
  }
  sniMatchedAt = end;
  return sni.chooserAny[chooser];
}

/** The first of the choices from `choice` on whose protocol is in the list at `bytes[from, end)`, which is as
 * `readHello` gives it; or which is for all. NONE: none fits. */
export function chooseByProtocol(
  { sni, arena }: Plan,
  choice: number,
  bytes: Uint8Array,
  from: number,
  end: number,
): number {
  let fits = choice;
  for (; fits !== NONE; fits = sni.choiceNext[fits]) {
    const length = sni.choiceProtocolBytes[fits];
    if (length === 0 || offers(bytes, from, end, arena, sni.choiceProtocolAt[fits], length)) break;
  }
  return fits;
}

/** Whether one of the protocols in the list is that of the Plan: lengths are compared with the rest. */
function offers(
  bytes: Uint8Array,
  from: number,
  end: number,
  arena: Uint8Array,
  protocol: number,
  length: number,
): boolean {
  for (let at = from; at + length <= end; at += 1 + bytes[at]) {
    let same = 0;
    while (same < length && bytes[at + same] === arena[protocol + same]) same++;
    if (same === length) return true;
  }
  return false;
}

/** The row of a name, or NONE. */
function findName(plan: Plan, chooser: number, bytes: Uint8Array, from: number, end: number): number {
  const { chooserFirst, chooserMask, nameTextAt, nameTextBytes } = plan.sni;
  const first = chooserFirst[chooser], mask = chooserMask[chooser];
  for (let place = hostPlace(hostHash(bytes, from, end), mask);; place = (place + 1) & mask) {
    const row = first + place, textAt = nameTextAt[row];
    if (textAt === NONE) return NONE; // compiled with room to spare: there is an end
    if (nameTextBytes[row] !== end - from) continue;
    if (sameFolded(bytes, from, plan.arena, textAt, end - from)) return row;
  }
}
