// One look at all connections. It goes by in slices, between which the control plane does its other work; reactors
// never wait for it. Scans take turns: what one needs is bounded, and so is what all of them need.
import type { Sight } from "../sight.ts";
import { exchangesOf } from "./exchanges.ts";
import { flowsOf } from "./flows.ts";
import { emptyRow, type Row, Seen, type Source } from "./row.ts";

/** Rows read before others have their turn. */
export const ROWS_PER_SLICE = 2_048;

export interface Scanned {
  /** Rows that were looked at. */
  readonly rows: number;
  /** Connections that were read. */
  readonly connections: number;
  /** Rows that changed as fast as they were read. */
  readonly changed: number;
  /** The reactors' clock when it was over. */
  readonly atMs: number;
}

/** Every table that has connections. */
export function sourcesOf(sight: Sight): Source[] {
  return sight.reactors.filter(({ role }) => role === "reactor").flatMap((reactor) => [
    exchangesOf(reactor, sight.peerOf),
    flowsOf(reactor, sight.peerOf),
  ]);
}

/** The control plane's other work goes on. */
export function othersTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Calls `take` for each connection, always with the same object. */
export async function scan(sight: Sight, take: (row: Row) => void): Promise<Scanned> {
  const row = emptyRow();
  let rows = 0, connections = 0, changed = 0;
  for (const { read, end, isCurrent } of sourcesOf(sight)) {
    for (let at = 1; isCurrent() && at < end(); at++) {
      if (++rows % ROWS_PER_SLICE === 0) {
        await othersTurn();
        if (!isCurrent()) break;
      }
      const seen = read(at, row);
      if (seen === Seen.Changed) changed++;
      if (seen !== Seen.One) continue;
      connections++;
      take(row);
    }
  }
  return { rows, connections, changed, atMs: sight.clockMs() };
}
