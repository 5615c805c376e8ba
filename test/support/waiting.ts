// Waiting for what another process or the kernel will make true: every wait has a deadline and says what
// it waited for. Events are awaited where there are any; this is for what can only be looked at.
import { setTimeout as sleep } from "node:timers/promises";

/** How long any single thing may take on a busy machine. */
export const PATIENCE_MS = 15_000;
const LOOK_EVERY_MS = 5;

/** Looks until `look` returns a value that is neither undefined nor false. @throws with `what` at the deadline */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs: number = PATIENCE_MS,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await sleep(LOOK_EVERY_MS);
  }
}

/** The promise's value. @throws with `what` when it takes too long */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  deadlineMs: number = PATIENCE_MS,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${deadlineMs} ms for ${what}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
