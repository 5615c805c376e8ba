// What the health checks have said, kept for those who ask why: by check, the last result, the verdict,
// since when it holds, and what made it so. As many entries as the Plan has checks.
import type { Heard } from "../shared/log_ring.ts";
import { Reason } from "../shared/reason.ts";
import { Verdict } from "../shared/servers.ts";

/** A result of a check that differed from the one before, as the health Worker tells it. */
export interface ProbeResult {
  readonly probe: number;
  /** Wall clock. */
  readonly atMs: number;
  /** The same by the reactors' clock, which nobody sets. */
  readonly clockMs: number;
  readonly reason: Reason;
  readonly errno: number;
  /** What came of an answer, if it failed by that; and the status or the Refusal that belongs to it, or 0. */
  readonly heard: Heard;
  readonly heardNumber: number;
  readonly durationMs: number;
  /** Results in a row that speak against the verdict. */
  readonly streak: number;
  /** After this result. */
  readonly verdict: Verdict;
}

/** What is known of one check. */
export interface ProbeHealth {
  /** The last result that differed from the one before it; later ones were the same. */
  readonly last: ProbeResult;
  readonly verdict: Verdict;
  /** Wall clock since when the verdict holds. */
  readonly sinceMs: number;
  /** The last failure, if there was one since the check was made. */
  readonly lastFailure: ProbeResult | undefined;
  /** The result that made the verdict what it is, and the verdict before it. */
  readonly change: { readonly from: Verdict; readonly cause: ProbeResult } | undefined;
}

export class HealthHistory {
  readonly #byProbe = new Map<number, ProbeHealth>();

  /** Keeps a result. @returns what was known before it */
  note(result: ProbeResult): ProbeHealth | undefined {
    const before = this.#byProbe.get(result.probe);
    const from = before?.verdict ?? Verdict.Unchecked;
    // A replaced health Worker begins anew; what reactors work by stays until it has a verdict.
    const verdict = result.verdict === Verdict.Unchecked ? from : result.verdict;
    const changed = verdict !== from;
    this.#byProbe.set(result.probe, {
      last: result,
      verdict,
      sinceMs: changed || before === undefined ? result.atMs : before.sinceMs,
      lastFailure: result.reason === Reason.Healthy ? before?.lastFailure : result,
      change: changed ? { from, cause: result } : before?.change,
    });
    return before;
  }

  of(probe: number): ProbeHealth | undefined {
    return this.#byProbe.get(probe);
  }

  /** Forgets the checks that are no longer there: their numbers will be given again. */
  retain(probes: ReadonlySet<number>): void {
    for (const probe of this.#byProbe.keys()) if (!probes.has(probe)) this.#byProbe.delete(probe);
  }
}

/** What took a server out that is down; of another its last failure. `isDown`: what reactors go by, which is there
 * before the word of what made it. */
export function causeOf(known: ProbeHealth | undefined, isDown: boolean): ProbeResult | undefined {
  const isTold = isDown && known?.verdict === Verdict.Down;
  return isTold ? known?.change?.cause ?? known?.lastFailure : known?.lastFailure;
}
