// What every part of the schema is made of: a key with its documentation, and values that are read from
// text. This file knows no key by name.
import * as z from "zod";
import type { Reading } from "./errors.ts";
import { formatDuration, formatSize, type Range, readCount, readDuration, readSize } from "./units.ts";

/** What is said about a key wherever it is documented. */
export interface KeyDoc {
  readonly description: string;
  /** How the value is written: `DURATION`, `auto|N`. */
  readonly placeholder?: string;
  /** The flag of the quick mode that gives this value, with its dashes. */
  readonly flag?: string;
  /** The flag may be given more than once: each is one more of a list. */
  readonly many?: true;
  /** And its value may be several of them, with commas. */
  readonly commas?: true;
  readonly example?: string;
  /** The unit of the converted value. */
  readonly unit?: "ms" | "count" | "bytes";
  readonly range?: string;
  /** The default in words, where it is no plain value of the schema. */
  readonly defaultText?: string;
  /** Keys or values that are designed but not supported in this version. */
  readonly later?: readonly string[];
  /** Of a section: the key that is meant by a value alone. */
  readonly short?: string;
  /** The value is never shown, not in an error either. */
  readonly secret?: boolean;
}

/** The documentation of every key, found by the key's own schema. */
export const docs = z.registry<KeyDoc>();

/** Attaches a key's documentation to its schema, which must be this key's alone. */
export function key<S extends z.ZodType>(schema: S, doc: KeyDoc): S {
  docs.add(schema, doc);
  return schema;
}

/** A text that `reader` converts; its error and remedy become the issue. */
export function text<T>(reader: (text: string) => Reading<T>) {
  return z.string().transform((input, context): T => give(reader(input), context));
}

/** A whole number, written as a number or as digits. */
export function count(range: Range) {
  return z.union([z.number(), z.string()]).transform((input, context): number =>
    give(readCount(input, range), context)
  );
}

export function duration(range: Range) {
  return text((input) => readDuration(input, range));
}

export function size(range: Range) {
  return text((input) => readSize(input, range));
}

/** One value, or a list of them. */
export function oneOrList<S extends z.ZodType>(schema: S) {
  return z.union([schema, z.array(schema).min(1)]).transform((value): z.output<S>[] =>
    Array.isArray(value) ? value : [value]
  );
}

/** A section whose keys are names of the user's, its values text that is read. */
export function textsByName(
  name: (text: string) => Reading<string>,
  value: (text: string) => Reading<string>,
) {
  return z.record(z.string(), text(value)).superRefine((texts, context) => {
    for (const given of Object.keys(texts)) {
      const reading = name(given);
      if (reading.ok) continue;
      const { what: message, remedy } = reading;
      context.addIssue({ code: "custom", path: [given], message, params: { remedy, isKey: true } });
    }
  }).prefault({});
}

/** Makes a finding of a reading that failed. */
export function give<T>(reading: Reading<T>, context: z.RefinementCtx): T {
  if (reading.ok) return reading.value;
  context.addIssue({ code: "custom", message: reading.what, params: { remedy: reading.remedy } });
  return z.NEVER;
}

export function durationDoc(range: Range): Pick<KeyDoc, "placeholder" | "unit" | "range"> {
  const words = `${formatDuration(range.min)} to ${formatDuration(range.max)}`;
  return { placeholder: "DURATION", unit: "ms", range: words };
}

export function countDoc(range: Range): Pick<KeyDoc, "placeholder" | "unit" | "range"> {
  return { placeholder: "N", unit: "count", range: `${range.min} to ${range.max}` };
}

export function sizeDoc(range: Range): Pick<KeyDoc, "placeholder" | "unit" | "range"> {
  const words = `${formatSize(range.min)} to ${formatSize(range.max)}`;
  return { placeholder: "SIZE", unit: "bytes", range: words };
}
