// The part of the Plan that says how fast the bytes of listeners may go: by connection, by source, and all of a
// listener together, from clients and to them. Filled by control/config/compile_paces.ts, read by proxy/pace.ts.
// Row 0 is nobody. A listener that is limited has six rows, at its listenerPace and behind: see `paceRow`.
import { assert } from "../base/assert.ts";
import { METER_MS_MAX, METER_UNITS_PER_MS, NONE, QUANTUM_BYTES_MAX } from "../base/limits.ts";
import type { Part, Sizes } from "./part.ts";

export const PACES = {
  tables: ["listeners", "paces"],
  columns: {
    listenerPace: "listeners", // its first row; NONE: nothing of it is limited
    // So many bytes in so many milliseconds; 0 bytes: no limit.
    paceBytes: "paces",
    paceMs: "paces",
    paceMost: "paces", // what a meter holds, in units of time (shared/meters.ts)
    paceQuantum: "paces", // bytes worth waiting for: the same for the three of a direction
  },
} as const;
type PaceTable = typeof PACES.tables[number];

export type PacesSizes = Sizes<PaceTable>;
export type Paces = Part<PaceTable, keyof typeof PACES.columns>;

/** What a pace is of. */
export const enum PaceOf {
  Connection,
  Source,
  Listener,
  Length,
}

/** Which way bytes go. */
export const enum PaceWay {
  FromClient,
  ToClient,
  Length,
}

/** Rows of a listener that is limited. */
export const PACE_ROWS = PaceOf.Length * PaceWay.Length;

/** The first of the three rows for one way, or NONE. */
export function paceRow({ listenerPace }: Paces, listener: number, way: PaceWay): number {
  const first = listener < listenerPace.length ? listenerPace[listener] : NONE;
  return first === NONE ? NONE : first + way * PaceOf.Length;
}

/** What must hold of the paces of any Plan before it is published. */
export function checkPaces(paces: Paces): void {
  const { sizes } = paces;
  for (let listener = 0; listener < sizes.listeners; listener++) {
    const first = paces.listenerPace[listener];
    assert(
      first === NONE || (first > NONE && first + PACE_ROWS <= sizes.paces),
      "plan: how fast a listener's bytes may go is out of range",
    );
  }
  for (let row = 1; row < sizes.paces; row++) {
    if (paces.paceBytes[row] === 0) continue;
    const most = paces.paceMost[row], quantum = paces.paceQuantum[row];
    assert(paces.paceBytes[row] > 0 && paces.paceMs[row] > 0, "plan: a pace that is none");
    assert(most > 0 && most <= METER_MS_MAX * METER_UNITS_PER_MS, "plan: a burst that no meter can hold");
    const held = most / METER_UNITS_PER_MS * paces.paceBytes[row] / paces.paceMs[row];
    assert(
      quantum > 0 && quantum <= QUANTUM_BYTES_MAX && quantum <= held,
      "plan: a quantum that never comes together",
    );
  }
}
