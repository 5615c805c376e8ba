// Time as this room sees it, so that tests need not wait for two thirds of ninety days.
import { clearTimeout, setTimeout } from "node:timers";

export interface Clock {
  /** Wall clock: certificates and other instances go by it. */
  nowMs(): number;
  /** Runs once, unless cancelled by what is returned. Does not keep the process alive. */
  after(ms: number, run: () => void): () => void;
  /** In [0, 1). */
  random(): number;
}

/** Longer waits overflow a timer of the runtime and would be over at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const SYSTEM_CLOCK: Clock = {
  nowMs: () => Date.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, Math.min(Math.max(ms, 0), TIMER_MS_MAX)).unref();
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

/** Waits, for real. @throws the signal's reason when that comes first */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const aborted = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", aborted);
      resolve();
    }, ms).unref();
    signal.addEventListener("abort", aborted, { once: true });
  });
}
