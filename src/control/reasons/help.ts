// What a reason means to whoever runs Sluice: when exactly it is given, why that happens, what to look at,
// what to change. Words in backticks are code: tests hold that keys of the file, metrics and flags among them
// exist.

import type { Fault } from "../../proto/tls_fault.ts";

export interface ReasonHelp {
  /** When Sluice gives this reason. */
  readonly means: string;
  /** What is behind it, the usual first. */
  readonly causes: readonly string[];
  readonly look: readonly string[];
  /** Empty where there is nothing to change. */
  readonly change: readonly string[];
  /** What the errno beside it tells. */
  readonly errnos?: readonly (readonly [name: string, text: string])[];
  /** Whose message the detail beside it is about; or the faults of TLS that it tells. */
  readonly details?: "request" | "answer" | "proxy" | readonly Fault[];
}
