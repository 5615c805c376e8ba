// What is told behind a reason: why a message was refused, why a handshake failed, what is wrong with a PROXY
// header. One row of numbers for all, since one column keeps them.
import { PROXY_FLAWS, type ProxyFlaw } from "./proxy_flaw.ts";
import { REFUSALS } from "./refusal.ts";
import { TLS_FAULTS } from "./tls_fault.ts";

/** By detail; the first one is none. */
export const DETAILS: readonly string[] = [
  "",
  ...REFUSALS.slice(1).map(({ text }) => text),
  ...TLS_FAULTS.map(({ text }) => text),
  ...PROXY_FLAWS.slice(1),
];

const FLAWS_FROM = REFUSALS.length + TLS_FAULTS.length;

/** The detail that stands for a flaw of a PROXY header in tables and logs. */
export function detailOfFlaw(flaw: ProxyFlaw): number {
  return FLAWS_FROM + flaw - 1;
}
