// What the results of health checks make of a server. Pure: verdict, streak and one more result in,
// verdict and streak out. A streak counts results that speak against the verdict; one that agrees with
// it ends the streak.
import { Verdict } from "../shared/servers.ts";

/** After a result that speaks against the verdict, look again this many times sooner. */
const RECHECK_FASTER = 4;
const RECHECK_MS_MIN = 100;
/** Checks of many servers must not march in step: each interval is drawn from 1 +- this share. */
const JITTER = 0.1;

/** Verdict and streak in one integer, so that judging allocates nothing. */
export const verdictOf = (judged: number): Verdict => judged & 0xff;
export const streakOf = (judged: number): number => judged >>> 8;

/**
 * @param fall failed checks in a row that take a server out (1..100)
 * @param rise passed checks in a row that bring it back (1..100)
 */
export function judge(verdict: Verdict, streak: number, passed: boolean, fall: number, rise: number): number {
  if (verdict === Verdict.Down) {
    if (!passed) return pack(Verdict.Down, 0);
    return streak + 1 >= rise ? pack(Verdict.Up, 0) : pack(Verdict.Down, streak + 1);
  }
  if (passed) return pack(Verdict.Up, 0);
  return streak + 1 >= fall ? pack(Verdict.Down, 0) : pack(verdict, streak + 1);
}

/** Milliseconds until the next check. `chance` is random in [0, 1). */
export function nextCheckMs(intervalMs: number, streak: number, chance: number): number {
  const base = streak > 0
    ? Math.min(intervalMs, Math.max(RECHECK_MS_MIN, intervalMs / RECHECK_FASTER))
    : intervalMs;
  return base * (1 - JITTER + 2 * JITTER * chance);
}

function pack(verdict: Verdict, streak: number): number {
  return verdict | (streak << 8);
}
