// The timeouts of listeners and upstreams: each stands once among the defaults, and where it holds.
import { TICK_MS } from "../../base/limits.ts";
import { quoted, type Reading, refused, taken } from "./errors.ts";
import { durationDoc, key, type KeyDoc, text } from "./keys.ts";
import { type Range, readDuration } from "./units.ts";

/** Nothing that a reactor times is shorter than one of its ticks; it would only be rounded up. */
export const CONNECT_MS: Range = { min: TICK_MS, max: 3_600_000 };
export const IDLE_MS: Range = { min: TICK_MS, max: 7 * 86_400_000 };

/** Timeouts that stand as defaults and where they hold. */
const TIMEOUTS = {
  "client-idle": [
    "60s",
    "longest silence of an HTTP client between requests; without HTTP, if set, of a client whose turn it is",
  ],
  "request-head": ["30s", "longest wait for the whole head of a request"],
  "body-stall": ["60s", "longest silence within the body of a request"],
  exchange: ["off", "longest time for a request and its answer as a whole"],
  answer: ["60s", "longest wait for the head of an HTTP server's answer"],
  "server-idle": [
    "60s",
    "longest silence of an HTTP server within a body; without HTTP, if set, of a server whose turn it is",
  ],
  "write-stall": ["60s", stallOf("peer")],
  "half-closed": ["60s", "longest silence of one side once the other has ended its stream"],
  handshake: [
    "10s",
    "longest wait for a client to do its part of a TLS handshake, and for a PROXY header",
  ],
  queue: ["5s", "longest wait for a server while all have the connections they may have"],
} as const;

export function stallOf(whom: string): string {
  return `longest time in which a ${whom} takes nothing of what is held for it`;
}

function timeout(name: keyof typeof TIMEOUTS) {
  return text((input) => name === "exchange" ? readLimit(input) : readDuration(input, IDLE_MS));
}

/** A duration, or off, which is 0. */
function readLimit(input: string): Reading<number> {
  if (input === "off") return taken(0);
  if (["0", "0s", "no", "none", "never"].includes(input)) {
    return refused(`${quoted(input)} is no limit`, 'did you mean "off"?');
  }
  const reading = readDuration(input, IDLE_MS);
  return reading.ok ? reading : refused(reading.what, `${reading.remedy}, or off`);
}

function timeoutDoc(name: keyof typeof TIMEOUTS): KeyDoc {
  const placeholder = name === "exchange" ? "off|DURATION" : "DURATION";
  return { description: TIMEOUTS[name][1], ...durationDoc(IDLE_MS), placeholder };
}

export function defaultTimeout(name: keyof typeof TIMEOUTS) {
  return key(timeout(name).prefault(TIMEOUTS[name][0]), timeoutDoc(name));
}

export function ownTimeout(
  name: keyof typeof TIMEOUTS,
  flag?: string,
  description: string = TIMEOUTS[name][1],
) {
  const doc = { ...timeoutDoc(name), description, defaultText: TIMEOUTS[name][0] };
  return key(timeout(name).optional(), flag === undefined ? doc : { ...doc, flag });
}
