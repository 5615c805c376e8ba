// Which upstream a TLS connection goes to that is not decrypted, by the host name it asks for. Deciding alone:
// a pure function of the Plan and the name. The exact name comes first, then the longest wildcard that it is
// below, at any depth as in routes, then the default.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { chooserOf } from "../plan/sni.ts";
import { Octet } from "../proto/octet.ts";
import { hostHash, hostPlace, sameFolded } from "./route.ts";

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
    if (exact !== NONE && sni.nameExact[exact] !== NONE) return sni.nameExact[exact];
    for (let below = from; below < end; below++) {
      if (bytes[below] !== Octet.Dot) continue;
      const wild = findName(plan, chooser, bytes, below + 1, end);
      if (wild !== NONE && sni.nameWild[wild] !== NONE) return sni.nameWild[wild];
    }
  }
  return sni.chooserAny[chooser];
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
