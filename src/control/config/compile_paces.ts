// How fast the bytes of listeners may go, as rows of the Plan.
import { METER_UNITS_PER_MS, NONE, QUANTUM_BYTES_MAX, QUANTUM_BYTES_MIN } from "../../base/limits.ts";
import { PACE_ROWS, PaceOf, type Paces, type PacesSizes, PaceWay } from "../../plan/paces.ts";
import type { Bandwidth, Pace } from "./bandwidth_schema.ts";
import type { Config } from "./schema.ts";

type Limits = Pick<
  Config["listeners"][string]["limits"],
  "bandwidth-per-connection" | "bandwidth-per-source" | "bandwidth"
>;

/** A listener with a number; several may be of one name. */
export interface LimitedListener {
  readonly number: number;
  readonly name: string;
  readonly configured: { readonly limits: Limits };
}

export interface PlacedPaces {
  /** Undefined: nothing is limited. */
  readonly sizes: PacesSizes | undefined;
  fill(paces: Paces): void;
}

/** A quantum is what comes in so long, or a segment if that is more; but no more than comes in a tenth of a second,
 * than a pipe holds, and than half of the burst. So 64 kB/s go smoothly, and 1 Gbit/s in pieces that are worth it. */
const QUANTUM_MS = 8;
/** Of what many may share half as much: each has its turn sooner. */
const SHARED_QUANTUM_MS = 4;
const SLOW_QUANTUM_MS = 100;
/** Both of a rate are kept in 32 bits. */
const WHOLE_MAX = 2 ** 31 - 1;
const WINDOWS_MS = [1_000, 100, 10, 1];

/** Rows for the configured listeners that are limited: all addresses of one have the same. */
export function placePaces(listeners: Iterable<LimitedListener>): PlacedPaces {
  const all = [...listeners], firsts = new Map<string, number>(), given: Limits[] = [];
  for (const { name, configured: { limits } } of all) {
    const isLimited = bandwidthsOf(limits).some((bandwidth) => bandwidth !== undefined);
    if (!firsts.has(name)) firsts.set(name, isLimited ? 1 + (given.push(limits) - 1) * PACE_ROWS : NONE);
  }
  const end = Math.max(...all.map(({ number }) => number + 1));
  return {
    sizes: given.length === 0 ? undefined : { listeners: end, paces: 1 + given.length * PACE_ROWS },
    fill: (paces) => {
      if (given.length === 0) return;
      for (const { number, name } of all) paces.listenerPace[number] = firsts.get(name) ?? NONE;
      given.forEach((limits, index) => {
        const first = 1 + index * PACE_ROWS, bandwidths = bandwidthsOf(limits);
        fillWay(paces, first + PaceWay.FromClient * PaceOf.Length, bandwidths.map((one) => one?.up));
        fillWay(paces, first + PaceWay.ToClient * PaceOf.Length, bandwidths.map((one) => one?.down));
      });
    },
  };
}

/** By PaceOf. */
function bandwidthsOf(limits: Limits): readonly (Bandwidth | undefined)[] {
  return [limits["bandwidth-per-connection"], limits["bandwidth-per-source"], limits.bandwidth];
}

function fillWay(paces: Paces, first: number, given: readonly (Pace | undefined)[]): void {
  const present = given.filter((pace) => pace !== undefined);
  const quantum = Math.min(...given.map((pace, of) => pace === undefined ? Infinity : quantumOf(pace, of)));
  given.forEach((pace, of) => {
    if (pace === undefined) return;
    const { bytes, ms } = wholeRate(pace), units = pace.burst * ms / bytes * METER_UNITS_PER_MS;
    paces.paceBytes[first + of] = bytes;
    paces.paceMs[first + of] = ms;
    paces.paceMost[first + of] = Math.round(units);
    paces.paceQuantum[first + of] = quantum;
  });
  paces.paceQuantum[first] = present.length === 0 ? 0 : quantum;
}

/** The bytes that are worth waiting for. */
export function quantumOf({ rate: { amount, windowMs }, burst }: Pace, of: PaceOf): number {
  const perMs = amount / windowMs, fastMs = of === PaceOf.Connection ? QUANTUM_MS : SHARED_QUANTUM_MS;
  const smooth = Math.min(QUANTUM_BYTES_MIN, perMs * SLOW_QUANTUM_MS);
  const wanted = Math.min(Math.max(perMs * fastMs, smooth), burst / 2, QUANTUM_BYTES_MAX);
  return Math.max(1, Math.floor(wanted));
}

function wholeRate({ rate: { amount, windowMs } }: Pace): { bytes: number; ms: number } {
  if (amount <= WHOLE_MAX) return { bytes: amount, ms: windowMs };
  const ms = WINDOWS_MS.find((ms) => amount * ms / windowMs <= WHOLE_MAX) ?? 1;
  return { bytes: Math.round(amount * ms / windowMs), ms };
}
