// Who may say who the client is: addresses of proxies before us, as prefixes in the Plan.
import type { Plan } from "../plan/plan.ts";

const FAMILY = 0;
const PREFIX_BITS = 1;
const IP = 4;
const MAPPED_IP = 16;

/** Whether the address record at `from` (see ffi/sluice.h) is one of the listener's trusted ones. Mapped
 * IPv4 counts as IPv4; a unix socket's client is on this machine, and trusted where anybody is. */
export function isTrusted(plan: Plan, listener: number, record: Uint8Array, from: number): boolean {
  const first = plan.listenerTrustedFirst[listener], end = first + plan.listenerTrustedCount[listener];
  if (first === end) return false;
  const family = record[from + FAMILY];
  if (family !== 4 && family !== 6) return true;
  const mapped = family === 6 && isMapped(record, from);
  const ip = from + (mapped ? MAPPED_IP : IP);
  for (let row = first; row < end; row++) {
    const at = plan.trustedAt[row];
    if (plan.arena[at + FAMILY] !== (mapped ? 4 : family)) continue;
    if (samePrefix(plan.arena, at + IP, record, ip, plan.arena[at + PREFIX_BITS])) return true;
  }
  return false;
}

function isMapped(record: Uint8Array, from: number): boolean {
  for (let byte = 0; byte < 10; byte++) if (record[from + IP + byte] !== 0) return false;
  return record[from + IP + 10] === 0xff && record[from + IP + 11] === 0xff;
}

function samePrefix(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, bits: number): boolean {
  const whole = bits >> 3;
  for (let byte = 0; byte < whole; byte++) if (a[aAt + byte] !== b[bAt + byte]) return false;
  const rest = bits & 7;
  return rest === 0 || ((a[aAt + whole] ^ b[bAt + whole]) >> (8 - rest)) === 0;
}
