// The bytes of a Plan, gathered before its size is known.
import { ARENA_FIRST } from "../../plan/plan.ts";

/** Bytes in the arena. */
export interface Span {
  readonly at: number;
  readonly bytes: number;
}

/** Gathers the arena's bytes; what is added twice is there twice (addresses are short). */
export class ArenaWriter {
  readonly #parts: { at: number; bytes: Uint8Array }[] = [];
  bytes = ARENA_FIRST;

  /** Returns the offset; 0 for nothing. */
  add(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    const at = this.bytes;
    this.#parts.push({ at, bytes });
    this.bytes += bytes.length;
    return at;
  }

  copyTo(arena: Uint8Array): void {
    for (const { at, bytes } of this.#parts) arena.set(bytes, at);
  }
}
