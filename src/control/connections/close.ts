// Closes connections: named ones, or all that filters let through. Each is closed only if it is still the one that was
// meant. Reactors do it in small parts, between which they serve the others.
import { CLOSING_MAX, type ClosingRow, Outcome } from "../../shared/closing.ts";
import type { Sight } from "../sight.ts";
import type { Query } from "./query.ts";
import { slotOf } from "./row.ts";
import { scan } from "./scan.ts";
import { filterOf } from "./select.ts";
import { readId, tagOf } from "./tags.ts";

export interface CloseAnswer {
  readonly closed: number;
  /** That had ended before. */
  readonly gone: number;
  /** Of the ones named, as they were named; of those that filters found none is. */
  readonly gone_connections: readonly string[];
  /** Of which their reactor said nothing in time. */
  readonly unanswered: number;
}

/** A connection that is meant. */
interface Meant extends ClosingRow {
  /** As it was named; "" if it was found. */
  readonly id: string;
}

/** Closes connections by name. @param ids well formed (tags.ts) */
export async function closeNamed(sight: Sight, ids: readonly string[]): Promise<CloseAnswer> {
  const rooms = new Map(sight.reactors.map(({ room, tables }) => [tagOf(tables), room]));
  const byRoom = new Map<number, Meant[]>(), gone: string[] = [];
  for (const id of new Set(ids)) {
    const { tag, slot, gen } = readId(id)!, room = rooms.get(tag);
    if (room === undefined) gone.push(id);
    else push(byRoom, room, { id, slot, gen });
  }
  return await closeAll(sight, byRoom, gone);
}

/** Closes all that filters let through now. */
export async function closeFound(sight: Sight, query: Query): Promise<CloseAnswer> {
  const byRoom = new Map<number, Meant[]>(), startMs = sight.clockMs();
  const isMeant = filterOf(query, () => startMs);
  await scan(sight, (row) => {
    if (isMeant(row)) push(byRoom, row.room, { id: "", ...slotOf(row.identity) });
  });
  return await closeAll(sight, byRoom, []);
}

function push(byRoom: Map<number, Meant[]>, room: number, meant: Meant): void {
  const all = byRoom.get(room);
  if (all === undefined) byRoom.set(room, [meant]);
  else all.push(meant);
}

async function closeAll(
  sight: Sight,
  byRoom: ReadonlyMap<number, readonly Meant[]>,
  goneBefore: readonly string[],
): Promise<CloseAnswer> {
  const counts = { closed: 0, gone: goneBefore.length, unanswered: 0 }, gone = [...goneBefore];
  await Promise.all([...byRoom].map(async ([room, all]) => {
    for (let at = 0; at < all.length; at += CLOSING_MAX) {
      const part = all.slice(at, at + CLOSING_MAX);
      const outcomes = await sight.close(room, part);
      part.forEach(({ id }, row) => {
        if (outcomes[row] === Outcome.Closed) counts.closed++;
        else if (outcomes[row] === Outcome.Asked) counts.unanswered++;
        else {
          counts.gone++;
          if (id !== "") gone.push(id);
        }
      });
      if (outcomes.includes(Outcome.Asked)) { // whoever says nothing is not asked for the rest
        counts.unanswered += Math.max(0, all.length - at - CLOSING_MAX);
        return;
      }
    }
  }));
  const { closed, unanswered } = counts;
  return { closed, gone: counts.gone, gone_connections: gone, unanswered };
}
