// The part of the schema that is about who may come in at a listener: lists of addresses, and limits on connections.
// What lists read from files is list_files.ts's.
import * as z from "zod";
import { BUCKET_MS_MAX } from "../../shared/buckets.ts";
import { BANDWIDTHS } from "./bandwidth_schema.ts";
import { type Cidr, readCidr } from "./cidr.ts";
import { quoted, type Reading, refused, taken } from "./errors.ts";
import { count, countDoc, give, key, oneOrList, text } from "./keys.ts";
import { readFilePath } from "./tls_values.ts";
import { counted, formatDuration, type Range, type Rate, readRate } from "./units.ts";

/** An entry of a list: a prefix, or a file that has one on each line. */
export type ListEntry =
  | { readonly kind: "prefix"; readonly cidr: Cidr }
  | { readonly kind: "file"; readonly path: string };

/** Connections of one source at once. */
export interface PerSource {
  readonly count: number;
  /** Bits of an address that make a source; undefined: nobody said it. */
  readonly prefix4: number | undefined;
  readonly prefix6: number | undefined;
}

/** New connections: a bucket of `burst` that fills at `rate`. */
export interface NewConnections extends Rate {
  readonly burst: number;
  readonly prefix4: number | undefined;
  readonly prefix6: number | undefined;
}

export const REFUSE_WORDS = ["reset", "close"] as const;

/** What stands before the path of a file of addresses. */
export const FILE = "file:";
const CONNECTIONS: Range = { min: 1, max: 1_000_000 };
/** A bucket counts in ticks of 5 us, of which an event takes two at least (shared/buckets.ts). */
const NEW: Range = { min: 1, max: 100_000 };
const SECOND_MS = 1_000;
const PREFIX4: Range = { min: 1, max: 32 };
const PREFIX6: Range = { min: 1, max: 128 };

function readListEntry(input: string): Reading<ListEntry> {
  if (!input.startsWith(FILE)) {
    const cidr = readCidr(input);
    if (cidr.ok) return taken({ kind: "prefix", cidr: cidr.value });
    const isPath = /^[./~]/.test(input);
    return isPath ? refused(cidr.what, `write ${FILE}${input} for a file of prefixes`) : cidr;
  }
  if (input === FILE) return refused(`${FILE} without a path`, `write ${FILE}PATH`);
  const path = readFilePath(input.slice(FILE.length).replace(/^\/\//, ""));
  return path.ok ? taken({ kind: "file", path: path.value }) : path;
}

/** Reads `50/s`, `20/m`, `100/h`. */
function readNew(input: string): Reading<Rate> {
  const rate = readRate(input, NEW);
  if (!rate.ok) return rate;
  const { amount, windowMs } = rate.value;
  if (amount * SECOND_MS <= NEW.max * windowMs) return rate;
  return refused(`${quoted(input)} is too fast`, `write at most ${NEW.max}/s`);
}

function prefix(family: string, range: Range, whole: string) {
  return key(count(range).optional(), {
    description: `leading bits of an ${family} address that make a source`,
    defaultText: whole,
    ...countDoc(range),
  });
}

const prefixes = () => ({
  "prefix-v4": prefix("IPv4", PREFIX4, "32: each address by itself"),
  "prefix-v6": prefix("IPv6", PREFIX6, "128: each address by itself"),
});

const perSource = z.union([
  z.strictObject({
    count: key(count(CONNECTIONS), {
      description: "connections of one source at once",
      ...countDoc(CONNECTIONS),
    }),
    ...prefixes(),
  }).transform(({ count, "prefix-v4": prefix4, "prefix-v6": prefix6 }): PerSource => ({
    count,
    prefix4,
    prefix6,
  })),
  count(CONNECTIONS).transform((count): PerSource => ({ count, prefix4: undefined, prefix6: undefined })),
]);

const BURST: Range = { min: 1, max: 1_000_000 };

function rateKey() {
  return key(text(readNew), {
    description: "so many in each window, evenly",
    placeholder: "RATE",
    example: "50/s",
    range: `1/h to ${NEW.max}/s`,
  });
}

function burstKey() {
  return key(count(BURST).optional(), {
    description: "so many at once, after a time without any",
    defaultText: "as many as the rate's number",
    ...countDoc(BURST),
  });
}

interface Written {
  readonly rate: Rate;
  readonly burst?: number;
  readonly "prefix-v4"?: number;
  readonly "prefix-v6"?: number;
}

/** A burst that takes longer to be made up for than a bucket can tell is refused. */
function withBurst(
  { rate, burst: given, "prefix-v4": prefix4, "prefix-v6": prefix6 }: Written,
  context: z.RefinementCtx,
): NewConnections {
  const burst = given ?? rate.amount, fullMs = burst * rate.windowMs / rate.amount;
  if (fullMs <= BUCKET_MS_MAX) return { ...rate, burst, prefix4, prefix6 };
  const what = `${counted(burst, "connection")} at once at that rate are made up for only in ${
    formatDuration(Math.round(fullMs))
  }`;
  const most = Math.floor(BUCKET_MS_MAX * rate.amount / rate.windowMs);
  const remedy = most >= 1 ? `write a burst of at most ${most}` : `write a rate of at least 1/h`;
  return give(refused(what, remedy), context);
}

const newOfListener = z.union([
  text(readNew).transform((rate, context) => withBurst({ rate }, context)),
  z.strictObject({ rate: rateKey(), burst: burstKey() }).transform(withBurst),
]);

const newOfSource = z.union([
  text(readNew).transform((rate, context) => withBurst({ rate }, context)),
  z.strictObject({ rate: rateKey(), burst: burstKey(), ...prefixes() }).transform(withBurst),
]);

/** The limits of a listener. */
export const limits = z.strictObject({
  connections: key(count(CONNECTIONS).optional(), {
    description: "connections of the listener at once, on all of its addresses",
    defaultText: "no limit but max-connections",
    ...countDoc(CONNECTIONS),
  }),
  "connections-per-source": key(perSource.optional(), {
    description: "connections of one client address at once",
    flag: "--max-connections-per-source",
    defaultText: "no limit",
    short: "count",
    ...countDoc(CONNECTIONS),
  }),
  "new-connections": key(newOfListener.optional(), {
    description: "new connections to the listener: a rate",
    placeholder: "RATE",
    example: "1000/s",
    defaultText: "no limit",
    short: "rate",
  }),
  "new-connections-per-source": key(newOfSource.optional(), {
    description: "new connections of one client address: a rate",
    flag: "--new-connections-per-source",
    placeholder: "RATE",
    example: "50/s",
    defaultText: "no limit",
    short: "rate",
  }),
  ...BANDWIDTHS,
  refuse: key(z.enum(REFUSE_WORDS).prefault("reset"), {
    description:
      "how a connection ends that limits or lists refuse: reset costs nothing more; close leaves a " +
      "socket in TIME-WAIT",
    placeholder: REFUSE_WORDS.join("|"),
  }),
}).superRefine((given, context) => {
  if (context.issues.length > 0) return;
  const { "connections-per-source": one, "new-connections-per-source": other } = given;
  for (const [name, bits] of [["prefix-v4", "prefix4"], ["prefix-v6", "prefix6"]] as const) {
    if (one?.[bits] === undefined || other?.[bits] === undefined || one[bits] === other[bits]) continue;
    context.addIssue({
      code: "custom",
      path: ["new-connections-per-source", name],
      message: `another ${name} than that of connections-per-source, and a listener has one kind of source`,
      params: { remedy: `write ${one[bits]}, or leave it out` },
    });
  }
});
export type Limits = z.output<typeof limits>;

function list(description: string, flag: string) {
  return key(oneOrList(text(readListEntry)).optional(), {
    description,
    placeholder: `CIDR|${FILE}PATH`,
    flag,
    many: true,
    commas: true,
    example: flag === "--deny" ? "192.0.2.0/24" : "10.0.0.0/8",
  });
}

export const allow = list("takes connections from these addresses alone", "--allow");
export const deny = list("refuses connections from these addresses, whatever allow says", "--deny");
