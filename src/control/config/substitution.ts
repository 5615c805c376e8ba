// `${NAME}` and `${file:/path}` in the values of a file: what the environment and other files give. The raw
// values keep the reference; what it gave goes to the schema alone, and into no message.
import { shown } from "./errors.ts";
import type { Finding, Path } from "./finding.ts";
import { textOfFile } from "./disk.ts";
import type { Disk } from "./disk.ts";

/** What a reference may give. */
const VALUE_BYTES_MAX = 64 << 10;
/** Values as short as this are no secret that could be told from other text. */
const HIDDEN_CHARACTERS_MIN = 3;

/** Values with nothing left to substitute, and how to tell of them without what was substituted. */
export interface Substituted {
  readonly values: unknown;
  readonly findings: readonly Finding[];
  /** A text with references in place of what they gave. */
  readonly hide: Hide;
  /** The same where people look at what runs: addresses from elsewhere are no secrets there. */
  readonly hideSecrets: Hide;
}

export type Hide = (text: string) => string;

export interface Sources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly disk: Disk;
}

const FILE = "file:";
const REFERENCE = /\$(\$\{)|\$\{([^}]*)(\}?)/g;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Whether a text refers to something. */
export function refers(text: string): boolean {
  return text.includes("${");
}

/** Copies `raw` with every reference replaced. Files are read once each. */
export function substitute(raw: unknown, { env, disk }: Sources): Substituted {
  const findings: Finding[] = [];
  const given = new Map<string, string>(); // by reference
  const secret = new Set<string>(); // references that stand for more than addresses
  const failed = new Map<string, { what: string; remedy: string }>();
  const look = (reference: string): string | undefined => {
    const known = given.get(reference);
    if (known !== undefined || failed.has(reference)) return known;
    const found = lookUp(reference, env, disk);
    if (typeof found === "string") given.set(reference, found);
    else failed.set(reference, found);
    return typeof found === "string" ? found : undefined;
  };
  const replace = (text: string, path: Path): string =>
    text.replace(REFERENCE, (whole, escaped: string | undefined, reference: string, end: string) => {
      if (escaped !== undefined) return "${";
      const flaw = end === "" ? UNFINISHED : undefined;
      const value = flaw === undefined ? look(reference) : undefined;
      if (!isAddress(path)) secret.add(reference);
      if (value !== undefined) return value;
      findings.push({ path, ...(flaw ?? failed.get(reference)!), severity: "error" });
      return whole;
    });
  const copy = (value: unknown, path: Path): unknown => {
    if (typeof value === "string") return refers(value) ? replace(value, path) : value;
    if (Array.isArray(value)) return value.map((entry, at) => copy(entry, [...path, at]));
    if (typeof value !== "object" || value === null) return value;
    const copied: Record<string, unknown> = Object.create(null);
    for (const [key, entry] of Object.entries(value)) copied[key] = copy(entry, [...path, key]);
    return Object.setPrototypeOf(copied, Object.prototype);
  };
  const values = copy(raw, []);
  const secrets = [...given].filter(([reference]) => secret.has(reference));
  return { values, findings, hide: hiderOf([...given]), hideSecrets: hiderOf(secrets) };
}

/** Keys whose values are addresses: whoever looks at what runs sees these anyway. */
const ADDRESSES = ["bind", "servers", "address", "admin"];

function isAddress(path: Path): boolean {
  const key = path.findLast((step) => typeof step === "string");
  return typeof key === "string" && ADDRESSES.includes(key);
}

const UNFINISHED = {
  what: '"${" without its "}"',
  remedy: 'write ${NAME} or ${file:/PATH}; "$${" stands for itself',
};

function lookUp(
  reference: string,
  env: Sources["env"],
  disk: Disk,
): string | { what: string; remedy: string } {
  const name = shown(`\${${reference}}`);
  if (reference.startsWith(FILE)) {
    const path = reference.slice(FILE.length);
    if (path === "") return { what: `${name}: no path`, remedy: "write ${file:/PATH}" };
    const text = textOfFile(path, disk, VALUE_BYTES_MAX);
    return "text" in text
      ? text.text.replace(/\r?\n$/, "")
      : { what: `${name}: ${text.what}`, remedy: text.remedy };
  }
  if (!VARIABLE.test(reference)) {
    return { what: `${name} names no variable`, remedy: UNFINISHED.remedy };
  }
  const value = Object.hasOwn(env, reference) ? env[reference] : undefined;
  if (value !== undefined) return value;
  return { what: `${name}: there is no such variable`, remedy: "set it where Sluice is started" };
}

/** Longer values first: one may be part of another. Texts have them as they are, as messages escape and cut them,
 * or as bytes that were taken for characters. */
function hiderOf(given: readonly (readonly [reference: string, value: string])[]): Hide {
  const hidden: { reads: string; form: string }[] = [];
  for (const [reference, value] of given) {
    if (value.length < HIDDEN_CHARACTERS_MIN) continue;
    const bytes = Array.from(new TextEncoder().encode(value), (byte) => String.fromCharCode(byte)).join("");
    const escaped = bytes.replace(
      /[^\x20-\x7e]/g,
      (one) => `\\x${one.charCodeAt(0).toString(16).toUpperCase()}`,
    );
    const forms = [value, shown(value, Infinity), shown(value), bytes, shown(bytes, Infinity), escaped];
    for (const form of new Set(forms)) hidden.push({ reads: `\${${reference}}`, form });
  }
  hidden.sort((a, b) => b.form.length - a.form.length);
  return (text) => {
    for (const { reads, form } of hidden) {
      if (form.length <= text.length && text.includes(form)) text = text.replaceAll(form, () => reads);
    }
    return text;
  };
}
