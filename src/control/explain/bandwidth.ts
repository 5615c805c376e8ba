// How fast the bytes of a connection may go, and which key says so.
import type { Pace } from "../config/bandwidth_schema.ts";
import { formatSize } from "../config/units.ts";
import type { BandwidthView, PaceView } from "./explanation.ts";
import { placeOf, type World } from "./world.ts";

const LIMITS = [
  ["bandwidth-per-connection", "connection"],
  ["bandwidth-per-source", "source"],
  ["bandwidth", "listener"],
] as const;

const WINDOWS: Readonly<Record<number, string>> = {
  1_000: "s",
  60_000: "m",
  3_600_000: "h",
  86_400_000: "d",
};

/** The limits of a listener that are set, the narrowest first. */
export function bandwidthOf(world: World, listener: string): BandwidthView[] {
  const { limits } = world.config.listeners[listener];
  return LIMITS.flatMap(([key, of]) => {
    const given = limits[key];
    if (given === undefined) return [];
    const path = ["listeners", listener, "limits", key];
    return [{ of, down: paceView(given.down), up: paceView(given.up), ...placeOf(world, path) }];
  });
}

function paceView(pace: Pace | undefined): PaceView | null {
  if (pace === undefined) return null;
  const { rate: { amount, windowMs }, burst } = pace;
  return { bytes: amount, window_ms: windowMs, burst_bytes: burst };
}

/** `10MiB/s, 1MiB at once`. */
export function paceText({ bytes, window_ms: ms, burst_bytes: burst }: PaceView): string {
  return `${formatSize(bytes)}/${WINDOWS[ms]}, ${formatSize(burst)} at once`;
}
