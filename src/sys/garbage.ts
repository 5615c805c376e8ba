// What a thread lets go of is collected when it allocates; a reactor does not, so that it says when.

/** Collects what this thread let go of, and ends once that is done: a few milliseconds. Nothing where the runtime has no
 * such call (Deno). */
export function collectGarbage(): void {
  (globalThis as { readonly Bun?: { gc(now: boolean): void } }).Bun?.gc(true);
}
