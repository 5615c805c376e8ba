// A health check over HTTP as bytes: the request it sends, and the set of statuses that it expects.
import { STATUS_FIRST, STATUS_SET_BYTES } from "../../plan/plan.ts";
import type { StatusRange } from "./http_values.ts";

/** What a check over HTTP asks, and which statuses are good. */
export interface HttpCheck {
  readonly method: string;
  readonly target: string;
  /** What Host says; undefined: the server's address. */
  readonly host: string | undefined;
  readonly header: Readonly<Record<string, string>>;
  readonly statuses: readonly StatusRange[];
}

/** Sent unless the check has fields of its own by these names. */
const FIELDS = { "User-Agent": "sluice", Accept: "*/*" } as const;

/** The request for a server that is called `authority`. One check is one connection. */
export function requestOf({ method, target, host, header }: HttpCheck, authority: string): Uint8Array {
  const own = new Set(Object.keys(header).map((name) => name.toLowerCase()));
  const fields = [
    ["Host", host ?? authority],
    ...Object.entries(FIELDS).filter(([name]) => !own.has(name.toLowerCase())),
    ...Object.entries(header),
    ["Connection", "close"],
  ];
  const lines = [`${method} ${target} HTTP/1.1`, ...fields.map(([name, value]) => `${name}: ${value}`)];
  return new TextEncoder().encode(lines.map((line) => `${line}\r\n`).join("") + "\r\n");
}

/** A bit for each status: see probeStatusAt in the Plan. */
export function statusSet(statuses: readonly StatusRange[]): Uint8Array {
  const set = new Uint8Array(STATUS_SET_BYTES);
  for (const [first, last] of statuses) {
    for (let bit = first - STATUS_FIRST; bit <= last - STATUS_FIRST; bit++) set[bit >> 3] |= 1 << (bit & 7);
  }
  return set;
}
