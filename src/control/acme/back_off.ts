// When to try again. CAs count failures: whoever repeats them at once is locked out for a week.
import type { AcmeError } from "./problem.ts";

const FIRST_MS = 60_000;
const MOST_MS = 24 * 3_600_000;
/** For what is wrong with the CA or the way to it: it may be back any time, and nobody's limit is used up. */
const AUTHORITY_MOST_MS = 3_600_000;
/** When the CA says that it is too much but not for how long. */
const RATE_LIMITED_MS = 3_600_000;
/** A CA that wants us to wait for longer is asked again all the same. */
const RETRY_AFTER_MS_MAX = 8 * 24 * 3_600_000;
/** Waits differ by so much of themselves, so that those who failed together do not come back together. */
const JITTER = 0.25;

/**
 * @param failures in a row, this one included
 * @param random in [0, 1)
 * @returns milliseconds from now
 */
export function backOffMs(
  failures: number,
  error: Pick<AcmeError, "scope" | "type" | "retryAfterMs">,
  random: number,
): number {
  const most = error.scope === "authority" ? AUTHORITY_MOST_MS : MOST_MS;
  const doubled = Math.min(FIRST_MS * 2 ** Math.min(failures - 1, 30), most);
  const jittered = Math.min(doubled * (1 - JITTER + 2 * JITTER * random), most);
  const told = error.retryAfterMs ?? (error.type === "rateLimited" ? RATE_LIMITED_MS : 0);
  const earliest = Math.min(told, RETRY_AFTER_MS_MAX);
  // Later than told by some of our own jitter: everybody else was told the same moment.
  return Math.round(earliest > jittered ? earliest + jittered * JITTER : jittered);
}

/** A third of the lifetime must be left when the new certificate is there; up to a twentieth earlier by chance. */
export function renewAtMs(
  { notBeforeMs, notAfterMs }: { readonly notBeforeMs: number; readonly notAfterMs: number },
  random: number,
): number {
  return notBeforeMs + (notAfterMs - notBeforeMs) * (2 / 3 - random / 20);
}
