// What is told behind a reason: why a message was refused, or why a handshake failed. One row of numbers for
// both, since one column keeps them.
import { REFUSALS } from "./refusal.ts";
import { TLS_FAULTS } from "./tls_fault.ts";

/** By detail; the first one is none. */
export const DETAILS: readonly string[] = [
  "",
  ...REFUSALS.slice(1).map(({ text }) => text),
  ...TLS_FAULTS.map(({ text }) => text),
];
