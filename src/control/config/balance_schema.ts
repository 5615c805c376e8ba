// The part of the schema that is about choosing servers: the rule of an upstream, and what a server counts.
import * as z from "zod";
import { SERVER_WEIGHT } from "./address.ts";
import { quoted, type Reading, refused, taken } from "./errors.ts";
import { readFieldName } from "./http_values.ts";
import { count, countDoc, duration, durationDoc, give, key, text } from "./keys.ts";
import type { Range } from "./units.ts";

export const RULES = [
  "round-robin",
  "least-connections",
  "random-two",
  "peak-ewma",
  "source-hash",
  "consistent-hash",
  "first",
] as const;
export type Rule = typeof RULES[number];

/** What of a client or its request a rule hashes. */
export type HashBy =
  | { readonly kind: "client" | "path" }
  | { readonly kind: "header" | "cookie"; readonly name: string };

/** How an upstream's servers are chosen. */
export interface Balancing {
  readonly rule: Rule;
  /** Bits of the client's address that count, where it is hashed. */
  readonly "prefix-v4": number;
  readonly "prefix-v6": number;
  readonly by: HashBy;
  /** What a server may have of the average, in percent; 0: anything. */
  readonly load: number;
}

const SLOW_START_MS: Range = { min: 1_000, max: 3_600_000 };
const PREFIX_4: Range = { min: 1, max: 32 };
const PREFIX_6: Range = { min: 1, max: 128 };
const LOAD_PERCENT: Range = { min: 100, max: 1_000 };
const LOAD_TEXT = "125%";

const WHOLE = { "prefix-v4": PREFIX_4.max, "prefix-v6": PREFIX_6.max, by: { kind: "client" } } as const;

function readLoad(input: string): Reading<number> {
  const form = `write a share from ${LOAD_PERCENT.min}% to ${LOAD_PERCENT.max}%, or off`;
  if (input === "off") return taken(0);
  if (/^[0-9]+$/.test(input)) return refused(`${quoted(input)} has no unit`, `write ${input}%`);
  const percent = /^([0-9]{1,5})%$/.exec(input)?.[1];
  if (percent === undefined) return refused(`${quoted(input)} is no whole share`, form);
  const load = Number(percent);
  return load < LOAD_PERCENT.min || load > LOAD_PERCENT.max
    ? refused(`${quoted(input)} is out of range`, form)
    : taken(load);
}

function readBy(input: string): Reading<HashBy> {
  const form = "write client, path, header:NAME or cookie:NAME";
  if (input === "client" || input === "path") return taken({ kind: input });
  const [, kind, name] = /^(header|cookie):(.*)$/s.exec(input) ?? [];
  if (kind === undefined) return refused(`${quoted(input)} is nothing to go by`, form);
  const reading = readFieldName(name);
  if (!reading.ok) return reading;
  return taken({ kind: kind as "header" | "cookie", name: kind === "header" ? name.toLowerCase() : name });
}

/** For each rule anew: a key's schema is that key's alone. */
function prefixes() {
  return {
    "prefix-v4": key(count(PREFIX_4).prefault(PREFIX_4.max), {
      description: "bits of an IPv4 address that count: with 24 a network of 256 goes to one server",
      ...countDoc(PREFIX_4),
    }),
    "prefix-v6": key(count(PREFIX_6).prefault(PREFIX_6.max), {
      description: "bits of an IPv6 address that count: 64 is what one client usually has",
      ...countDoc(PREFIX_6),
    }),
  };
}

const bySource = z.strictObject(prefixes()).transform((value): Balancing => ({
  ...value,
  rule: "source-hash",
  by: WHOLE.by,
  load: 0,
}));

const consistent = z.strictObject({
  by: key(text(readBy).prefault("client"), {
    description: "what is hashed; a request without that header or cookie goes by its client",
    placeholder: "client|path|header:NAME|cookie:NAME",
    example: "header:x-user",
  }),
  load: key(text(readLoad).prefault(LOAD_TEXT), {
    description: "of the average load what a server may have; beyond it, keys go to their next server",
    placeholder: "SHARE|off",
    range: `${LOAD_PERCENT.min}% to ${LOAD_PERCENT.max}%`,
  }),
  ...prefixes(),
}).transform((value): Balancing => ({ ...value, rule: "consistent-hash" }));

function ofRule(rule: Rule): Balancing {
  return { ...WHOLE, rule, load: rule === "consistent-hash" ? Number.parseInt(LOAD_TEXT) : 0 };
}

/** `balance`: a rule, or one with its options. */
export const balance = z.union([
  z.enum(RULES).transform(ofRule),
  z.strictObject({
    "source-hash": key(bySource.optional(), {
      description: "by the client's address",
      defaultText: "",
    }),
    "consistent-hash": key(consistent.optional(), {
      description: "by a key, with the load of each server bounded",
      defaultText: "",
    }),
  }).transform((given, context): Balancing => {
    const [rule, second] = [given["source-hash"], given["consistent-hash"]].filter((one) =>
      one !== undefined
    );
    if (rule !== undefined && second === undefined) return rule;
    const what = rule === undefined ? "no rule" : "two rules";
    return give(refused(what, "write source-hash or consistent-hash, with its options"), context);
  }),
]).prefault("round-robin");

export const weight = key(count(SERVER_WEIGHT).optional(), {
  description: "its share, beside those of the others; with 0 it gets nothing new",
  defaultText: "1",
  ...countDoc(SERVER_WEIGHT),
});

export const backup = key(z.boolean().optional(), {
  description: "only for when none of the others is to be had",
  placeholder: "true|false",
  defaultText: "false",
});

export const slowStart = key(duration(SLOW_START_MS).optional(), {
  description:
    "a server that joins or comes back has a tenth of its weight at first, all of it after so long",
  defaultText: "none",
  ...durationDoc(SLOW_START_MS),
});
