// Who may say who the client is: addresses of proxies before us, as prefixes in the Plan.
import type { Plan } from "../plan/plan.ts";
import { isIn } from "./prefix.ts";

/** Whether the address record at `from` (see ffi/sluice.h) is one of the listener's trusted ones. Mapped
 * IPv4 counts as IPv4. */
export function isTrusted(plan: Plan, listener: number, record: Uint8Array, from: number): boolean {
  const first = plan.listenerTrustedFirst[listener], end = first + plan.listenerTrustedCount[listener];
  for (let row = first; row < end; row++) {
    if (isIn(plan.arena, plan.trustedAt[row], record, from)) return true;
  }
  return false;
}
