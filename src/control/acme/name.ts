// What is known of one name: its certificate, its failures, when something is to be done next.
import type { PairFacts } from "./x509.ts";

/**
 * - `waiting`: there is no certificate yet, an order comes
 * - `issuing`: ordered by us
 * - `elsewhere`: another instance that shares the storage is ordering
 * - `valid`: nothing to do until the renewal
 * - `failed`: the last attempt failed, another one comes; an earlier certificate goes on
 */
export type NameState = "waiting" | "issuing" | "elsewhere" | "valid" | "failed";

/** What handshakes for the name are given. */
export type Serving = "issued" | "placeholder" | "nothing";

/** For status and metrics. Times are by the wall clock. */
export interface NameStatus {
  readonly name: string;
  readonly state: NameState;
  readonly serving: Serving;
  readonly isOnDemand: boolean;
  /** In a row. */
  readonly failures: number;
  /** The last failure, while nothing has succeeded since. */
  readonly failure: { readonly atMs: number; readonly why: string } | undefined;
  /** When the next attempt comes, or the renewal. */
  readonly nextMs: number;
  /** Of the issued certificate. */
  readonly notAfterMs: number | undefined;
}

export class Name implements NameStatus {
  readonly name: string;
  isOnDemand: boolean;
  state: NameState = "waiting";
  serving: Serving = "nothing";
  failures = 0;
  failure: NameStatus["failure"];
  nextMs = 0;
  facts: PairFacts | undefined;
  /** When the certificate in `facts` is to be renewed. */
  renewMs = 0;
  /** Somebody is at it: one at a time. */
  isBusy = false;
  /** Those who wait for a certificate or a failure. */
  readonly #waiters = new Set<() => void>();

  constructor(name: string, isOnDemand: boolean) {
    this.name = name;
    this.isOnDemand = isOnDemand;
  }

  get notAfterMs(): number | undefined {
    return this.facts?.notAfterMs;
  }

  /** Whether handshakes get a certificate that is still good. */
  isGood(nowMs: number): boolean {
    return this.serving === "issued" && this.facts !== undefined && this.facts.notAfterMs > nowMs;
  }

  wait(run: () => void): () => void {
    this.#waiters.add(run);
    return () => this.#waiters.delete(run);
  }

  wake(): void {
    for (const run of [...this.#waiters]) run();
  }

  view(): NameStatus {
    const { name, state, serving, isOnDemand, failures, failure, nextMs, notAfterMs } = this;
    return { name, state, serving, isOnDemand, failures, failure, nextMs, notAfterMs };
  }
}
