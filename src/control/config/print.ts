// A configuration as a file: whatever it was put together from, one text that comes to the same. References
// (`${NAME}`) stay references, and what is secret is left out.
import { Document, isMap, isPair, isScalar, isSeq, type Node, type Pair } from "yaml";
import * as z from "zod";
import { checkConfig } from "./check.ts";
import type { Disk } from "./disk.ts";
import { type Path, valueAt } from "./finding.ts";
import { silentDefaults } from "./protocols.ts";
import { configSchema, type Key, KEYS } from "./schema.ts";
import { refers } from "./substitution.ts";

/** Says where the value of a path comes from; undefined: from nowhere that could be named. */
export type OriginOf = (path: Path) => string | undefined;

export interface PrintOptions {
  /** Defaults, too, and what is inherited. */
  readonly all: boolean;
  /** A comment behind each value. */
  readonly originOf: OriginOf | undefined;
}

type Section = Record<string, unknown>;

/** Stands where a value is not shown. */
const NOT_SHOWN = "secret, not shown: give it anew";

/**
 * @param raw as files and flags gave it, nothing substituted, and good
 * @param values the same with everything substituted
 */
export function printConfig(raw: unknown, { all, originOf }: PrintOptions, values: unknown = raw): string {
  const origins = new Map<string, string>();
  const hidden: Path[] = [];
  const shownRaw = withoutSecrets(raw, [], hidden);
  const whole = all ? withDefaults(shownRaw, values, raw, origins) : shownRaw;
  const document = new Document(whole, { aliasDuplicateObjects: false });
  if (originOf !== undefined) {
    comment(document.contents as Node, [], (path) => origins.get(path.join("\n")) ?? originOf(path));
  }
  const notes = hidden.map((path) => `# ${path.join(".")}: ${NOT_SHOWN}\n`).join("");
  return notes + document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

/** A copy without the values that nobody is shown; a reference to one may be. */
function withoutSecrets(raw: unknown, path: Path, hidden: Path[]): unknown {
  if (Array.isArray(raw)) return raw.map((entry, at) => withoutSecrets(entry, [...path, at], hidden));
  if (typeof raw !== "object" || raw === null) return raw;
  const copy: Section = {};
  for (const [key, value] of Object.entries(raw)) {
    const inner = [...path, key];
    if (keyAt(inner)?.doc.secret && !(typeof value === "string" && isReference(value))) hidden.push(inner);
    else copy[key] = withoutSecrets(value, inner, hidden);
  }
  return copy;
}

/** Nothing but a reference: what stands beside one may be the secret. */
function isReference(text: string): boolean {
  return refers(text) && /^\$\{[^}]*\}$/.test(text);
}

/** The whole with defaults, but for those that do not go with the rest: what is for HTTP at a TCP listener. */
function withDefaults(
  section: unknown,
  values: unknown,
  raw: unknown,
  origins: Map<string, string>,
): unknown {
  const whole = filled(section, [], raw, origins), surroundings = { env: {}, uid: 0, disk: NO_DISK };
  const { data } = configSchema.safeParse(values);
  for (const path of data === undefined ? [] : silentDefaults(data)) {
    const holder = valueAt(whole, path.slice(0, -1));
    if (origins.has(path.join("\n")) && isSection(holder)) delete holder[path[path.length - 1]];
  }
  const { findings } = checkConfig(filled(values, [], raw, new Map()), surroundings);
  for (const { path, severity } of findings) {
    const holder = valueAt(whole, path.slice(0, -1));
    const isDefault = [...origins.keys()].some((known) => `${known}\n`.startsWith(`${path.join("\n")}\n`));
    if (severity === "error" && isDefault && isSection(holder)) delete holder[path[path.length - 1]];
  }
  return whole;
}

/** Files are not read once more. */
const NO_DISK: Disk = { read: () => new Uint8Array(0), list: () => [] };

/** A copy with every default that can be written, section by section, keys in the order of the schema. */
function filled(section: unknown, path: Path, raw: unknown, origins: Map<string, string>): unknown {
  if (Array.isArray(section)) return section.map((entry, at) => filled(entry, [...path, at], raw, origins));
  if (!isSection(section)) return section;
  const copy: Section = {};
  for (const key of keysBelow(path)) {
    const name = key.path[path.length], inner = [...path, name];
    if (Object.hasOwn(section, name)) {
      copy[name] = filled(section[name], inner, raw, origins);
      continue;
    }
    const inherited = inheritedOf(key, raw), { schema } = key;
    if (inherited !== undefined) {
      copy[name] = inherited;
      origins.set(inner.join("\n"), `defaults.timeouts.${name}`);
    } else if (key.default !== undefined && isWritable(key)) {
      copy[name] = key.default;
      origins.set(inner.join("\n"), "default");
    } else if (schema instanceof z.ZodPrefault && isSection(schema.def.defaultValue)) {
      const inside = filled({}, inner, raw, origins);
      if (isSection(inside) && Object.keys(inside).length > 0) copy[name] = inside;
    }
  }
  for (const [name, value] of Object.entries(section)) {
    if (!Object.hasOwn(copy, name)) copy[name] = filled(value, [...path, name], raw, origins);
  }
  return copy;
}

/** The timeouts that a listener or an upstream does not give itself. */
function inheritedOf({ path }: Key, raw: unknown): unknown {
  if (path.length !== 4 || path[2] !== "timeouts") return undefined;
  const { defaults } = isSection(raw) ? raw : {};
  const timeouts = isSection(defaults) ? defaults.timeouts : undefined;
  return isSection(timeouts) ? timeouts[path[3]] : undefined;
}

/** Defaults in words are none that a file could say; those of timeouts are. */
function isWritable({ path, doc }: Key): boolean {
  return doc.defaultText === undefined || path.includes("timeouts");
}

function keysBelow(path: Path): Key[] {
  return KEYS.filter((key) =>
    key.path.length === path.length + 1 && fits(key.path, path) && key.path.at(-1) !== "*"
  );
}

function keyAt(path: Path): Key | undefined {
  return KEYS.find((key) => key.path.length === path.length && fits(key.path, path));
}

function fits(pattern: readonly string[], path: Path): boolean {
  return path.every((step, at) => pattern[at] === "*" || pattern[at] === step);
}

function isSection(value: unknown): value is Section {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Puts an origin behind every value, and before a list or a section that is written in one line. */
function comment(node: unknown, path: Path, originOf: OriginOf): void {
  if (isMap(node)) {
    for (const pair of node.items) commentPair(pair, path, originOf);
  } else if (isSeq(node)) {
    node.items.forEach((item, at) => {
      const inner = [...path, at];
      if (isScalar(item)) item.comment = say(originOf(inner)) ?? null;
      else comment(item, inner, originOf);
    });
  }
}

function commentPair(pair: Pair, path: Path, originOf: OriginOf): void {
  if (!isPair(pair) || !isScalar(pair.key)) return;
  const inner = [...path, String(pair.key.value)];
  if (isScalar(pair.value)) pair.value.comment = say(originOf(inner)) ?? null;
  else comment(pair.value, inner, originOf);
}

function say(origin: string | undefined): string | undefined {
  return origin === undefined ? undefined : ` ${origin}`;
}
