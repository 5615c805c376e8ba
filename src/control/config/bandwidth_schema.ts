// The part of the schema that is about how fast bytes may go.
import * as z from "zod";
import { METER_MS_MAX } from "../../base/limits.ts";
import { key, type KeyDoc, size, sizeDoc, text } from "./keys.ts";
import { formatDuration, formatSize, type Range, type Rate, readByteRate } from "./units.ts";

/** How fast bytes may go one way. */
export interface Pace {
  /** So many bytes in each window. */
  readonly rate: Rate;
  /** As many at once, after a time without any. */
  readonly burst: number;
}

/** How fast bytes may go to clients and from them; undefined: as fast as they can. */
export interface Bandwidth {
  readonly down: Pace | undefined;
  readonly up: Pace | undefined;
}

/** Bytes per second. */
const BYTES_PER_SECOND: Range = { min: 1_000, max: 100 * 2 ** 30 };
const RANGE = `${formatSize(BYTES_PER_SECOND.min)}/s to ${formatSize(BYTES_PER_SECOND.max)}/s`;
const BURST_BYTES: Range = { min: 1, max: 2 ** 40 };
/** What of its rate a burst is by default. */
const BURST_MS = 100;
/** And at least: a timer of 1 ms finds half of it there in time, even when it comes late. */
const BURST_MS_MIN = 10;

const rate = text((input) => readByteRate(input, BYTES_PER_SECOND));

function rateKey(description: string) {
  return key(rate.optional(), {
    description,
    placeholder: "RATE",
    range: RANGE,
    defaultText: "no limit",
    example: "1MiB/s",
  });
}

const short = rate.transform((both): Bandwidth => ({ down: paceOf(both), up: paceOf(both) }));

const fields = z.strictObject({
  down: rateKey("to clients"),
  up: rateKey("from clients"),
  burst: key(size(BURST_BYTES).optional(), {
    description:
      "as much at once, each way, after a time without any; of two rates the faster one says the least, " +
      "the slower one the most",
    ...sizeDoc(BURST_BYTES),
    range:
      `what comes in ${formatDuration(BURST_MS_MIN)} to what comes in ${formatDuration(METER_MS_MAX)}, ` +
      `${formatSize(BURST_BYTES.max)} at most`,
    defaultText: "what comes in 100ms",
    example: "1MiB",
  }),
}).superRefine((given, context) => {
  if (context.issues.length > 0) return;
  if (given.down === undefined && given.up === undefined) {
    const params = { remedy: "write down: RATE, up: RATE, or both" };
    context.addIssue({ code: "custom", message: "limits nothing", params });
  }
  const { burst } = given;
  if (burst === undefined) return;
  const rates = [given.down, given.up].filter((rate) => rate !== undefined);
  const least = Math.max(...rates.map((rate) => bytesIn(rate, BURST_MS_MIN)));
  const most = Math.min(...rates.map((rate) => bytesIn(rate, METER_MS_MAX)), BURST_BYTES.max);
  const flaw = burst < least
    ? ["less than comes in 10ms", `write at least ${formatSize(rounded(least))}`]
    : burst > most
    ? ["more than comes in an hour", `write at most ${formatSize(most)}`]
    : undefined;
  if (flaw === undefined) return;
  const [message, remedy] = flaw;
  context.addIssue({ code: "custom", path: ["burst"], message, params: { remedy } });
}).transform(({ down, up, burst }): Bandwidth => ({ down: paceOf(down, burst), up: paceOf(up, burst) }));

/** A size that is easily written: of more than a KiB whole ones. */
function rounded(bytes: number): number {
  return bytes < 1_024 ? bytes : Math.ceil(bytes / 1_024) * 1_024;
}

function bytesIn({ amount, windowMs }: Rate, ms: number): number {
  return Math.ceil(amount * ms / windowMs);
}

function paceOf(rate: Rate, burst?: number): Pace;
function paceOf(rate: Rate | undefined, burst?: number): Pace | undefined;
function paceOf(rate: Rate | undefined, burst?: number): Pace | undefined {
  return rate === undefined ? undefined : { rate, burst: burst ?? bytesIn(rate, BURST_MS) };
}

function bandwidth(doc: Pick<KeyDoc, "description" | "flag">) {
  return key(z.union([short, fields]).optional(), {
    ...doc,
    placeholder: "RATE",
    range: RANGE,
    defaultText: "no limit",
    example: "10MiB/s",
  });
}

/** Of the `limits` of a listener. */
export const BANDWIDTHS = {
  "bandwidth-per-connection": bandwidth({
    description: "how fast the bytes of each connection may go, each way",
    flag: "--bandwidth-per-connection",
  }),
  "bandwidth-per-source": bandwidth({
    description: "how fast those of all connections from one address may go",
  }),
  bandwidth: bandwidth({ description: "how fast those of all connections may go" }),
};
