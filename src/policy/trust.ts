// Who may say who the client is: addresses of proxies before us, as prefixes in the Plan.
import type { Plan } from "../plan/plan.ts";
import { isIn } from "./prefix.ts";

/** Whether the address record at `from` (see ffi/sluice.h) is one of the listener's trusted ones. Mapped
 * IPv4 counts as IPv4. */
export function isTrusted(plan: Plan, listener: number, record: Uint8Array, from: number): boolean {
  const first = plan.listenerTrustedFirst[listener];
  return isAmong(plan, first, first + plan.listenerTrustedCount[listener], record, from);
}

/** Whether whoever comes to a listener begins with a PROXY header. */
export function expectsProxy(plan: Plan, listener: number): boolean {
  return plan.listenerProxyCount[listener] !== 0;
}

/** Whether a PROXY header is believed that comes from this address. */
export function mayIntroduce(plan: Plan, listener: number, record: Uint8Array, from: number): boolean {
  const first = plan.listenerProxyFirst[listener];
  return isAmong(plan, first, first + plan.listenerProxyCount[listener], record, from);
}

function isAmong(plan: Plan, first: number, end: number, record: Uint8Array, from: number): boolean {
  for (let row = first; row < end; row++) {
    if (isIn(plan.arena, plan.trustedAt[row], record, from)) return true;
  }
  return false;
}
