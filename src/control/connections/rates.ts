// Rates of connections: what each had moved a moment ago, against what it has moved now. One sample at a time is
// kept, for everybody who asks meanwhile; nothing is kept when nobody asks.
import type { Sight } from "../sight.ts";
import { type Row, Speaks } from "./row.ts";
import { scan } from "./scan.ts";

/** How long what is measured may be apart. */
export const RATE_WINDOW_MS = 1_000;

/** What was moved until a moment ago. */
export class Sample {
  readonly atMs: number;
  readonly #moved: ReadonlyMap<number, Moved>;

  private constructor(atMs: number, moved: ReadonlyMap<number, Moved>) {
    this.atMs = atMs;
    this.#moved = moved;
  }

  static async take(sight: Sight): Promise<Sample> {
    const moved = new Map<number, Moved>();
    const startMs = sight.clockMs();
    await scan(sight, (row) => {
      let table = moved.get(tableOf(row));
      if (table === undefined) moved.set(tableOf(row), table = new Moved());
      table.note(row);
    });
    return new Sample((startMs + sight.clockMs()) / 2, moved);
  }

  /** Bytes that a connection has moved since, in a second; NaN for one that is not known. */
  since(row: Row, nowMs: number, column: "upBytes" | "downBytes"): number {
    const before = this.#moved.get(tableOf(row))?.of(row, column) ?? (row.openedMs >= this.atMs ? 0 : NaN);
    return Math.max(0, row[column] - before) * 1_000 / Math.max(1, nowMs - this.atMs);
  }
}

/** A number for the table that a row is in. */
function tableOf({ room, speaks }: Row): number {
  return speaks === Speaks.Udp ? -room : room;
}

/** What the connections of one table had moved, by their places. */
class Moved {
  #identity = new Float64Array(1_024);
  #up = new Float64Array(1_024);
  #down = new Float64Array(1_024);

  note({ at, identity, upBytes, downBytes }: Row): void {
    if (at >= this.#identity.length) this.#grow(at);
    this.#identity[at] = identity;
    this.#up[at] = upBytes;
    this.#down[at] = downBytes;
  }

  of({ at, identity }: Row, column: "upBytes" | "downBytes"): number | undefined {
    if (this.#identity[at] !== identity) return undefined;
    return column === "upBytes" ? this.#up[at] : this.#down[at];
  }

  #grow(at: number): void {
    const length = Math.max(at + 1, 2 * this.#identity.length);
    const grown = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const larger = new Float64Array(length);
      larger.set(column);
      return larger;
    };
    this.#identity = grown(this.#identity);
    this.#up = grown(this.#up);
    this.#down = grown(this.#down);
  }
}

/** Gives samples that are RATE_WINDOW_MS old, or less where somebody else had asked before. */
export class Rates {
  readonly #sight: Sight;
  #pending: Promise<Sample> | undefined;

  constructor(sight: Sight) {
    this.#sight = sight;
  }

  sample(): Promise<Sample> {
    return this.#pending ??= this.#take().finally(() => this.#pending = undefined);
  }

  async #take(): Promise<Sample> {
    const sample = await Sample.take(this.#sight);
    await new Promise((resolve) => setTimeout(resolve, RATE_WINDOW_MS));
    return sample;
  }
}
