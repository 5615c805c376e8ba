// What the schema refuses, in the words of whoever wrote the file: a wrong kind, an unknown key, a word that is
// none of those that may stand there. Each with what to write instead.
import type * as z from "zod";
import { editDistance, NOT_SUPPORTED, quoted, shown } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import { keyAt, keysIn, meantBy, unknownKey } from "./known_keys.ts";
import type { Key } from "./schema.ts";

const MISSING = "missing";
/** What people write for off and on. */
const OFF_WORDS = ["no", "false", "none", "never", "disabled", "disable"];
const ON_WORDS = ["yes", "true", "on", "enabled", "enable"];
/** Keys that may be left out by themselves, and hardly are. */
const NEEDED = ["listeners", "upstreams", "listeners.*.to"];
/** What the schema calls a kind, and what people do. */
const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  object: "a section of keys",
  record: "a section of keys",
  array: "a list",
  number: "a number",
  boolean: "true or false",
};

/** All that a schema refuses. What an unknown key was meant to be is not missed as well.
 * @param raw the value whose path has `rawDepth` steps
 */
export function findingsOfIssues(
  issues: readonly z.core.$ZodIssue[],
  base: Path,
  raw: unknown,
  rawDepth = 0,
): Finding[] {
  const findings = issues.flatMap((issue) => findingsOf(issue, base, raw, rawDepth));
  const meant = new Set(
    findings.flatMap(({ path, meant }) =>
      meant === undefined ? [] : [[...path.slice(0, -1), meant].join("\n")]
    ),
  );
  return findings.filter(({ path, what }) => what !== MISSING || !meant.has(path.join("\n")));
}

function findingsOf(issue: z.core.$ZodIssue, base: Path, raw: unknown, rawDepth: number): Finding[] {
  const path: Path = [...base, ...issue.path.map((step) => typeof step === "number" ? step : String(step))];
  const input = valueAt(raw, path.slice(rawDepth));
  const error = (what: string, remedy: string): Finding[] => [{ path, what, remedy, severity: "error" }];
  switch (issue.code) {
    case "custom": {
      const { remedy = "see sluice --help", isKey } = issue.params ?? {};
      return error(issue.message, String(remedy)).map((one) => isKey === true ? { ...one, isKey } : one);
    }
    case "unrecognized_keys":
      return issue.keys.map((unknown) => unknownKey(path, unknown, input));
    case "invalid_union":
      return bestOption(issue.errors).flatMap((inner) => findingsOf(inner, path, raw, rawDepth));
    case "invalid_key":
      return issue.issues.flatMap((inner) => findingsOf(inner, path, raw, rawDepth)).map((finding) => ({
        ...finding,
        what: `${quoted(String(path[path.length - 1]))} ${finding.what}`,
        isKey: true,
      }));
    case "invalid_value":
      // A flag has no braces.
      return error(...invalidValue(path, input, issue.values.map(String), rawDepth === 0));
    case "too_small":
      return error("empty", "give at least one");
    case "invalid_type":
      if (input === undefined) return error(MISSING, `write ${formOf(keyAt(path)) ?? "a value"}`);
      return (issue.expected === "string" ? flawOfText(path, input) : undefined) ??
        error(...invalidType(path, input, issue.expected));
    default:
      return error(issue.message, "see sluice --help");
  }
}

/** Of a union's failures the one that came closest: the option that accepted the value's kind. */
function bestOption(options: readonly z.core.$ZodIssue[][]): readonly z.core.$ZodIssue[] {
  const isKind = (issue: z.core.$ZodIssue): boolean =>
    issue.code === "invalid_type" && issue.path.length === 0;
  const isValue = (issue: z.core.$ZodIssue): boolean =>
    issue.code === "invalid_value" && issue.path.length === 0;
  return options.find((issues) => !issues.some((issue) => isKind(issue) || isValue(issue))) ??
    options.find((issues) => !issues.some(isKind)) ?? options[0];
}

function invalidValue(
  path: Path,
  input: unknown,
  values: readonly string[],
  inFile: boolean,
): [what: string, remedy: string] {
  const key = keyAt(path), short = inFile ? shortForm(path, input) : undefined;
  const form = `write ${alternatives(short === undefined ? values : [...values, short])}`;
  const later = key?.doc.later ?? [];
  const word = typeof input === "object" && input !== null ? Object.keys(input)[0] ?? "" : String(input);
  if (input === undefined) return [MISSING, form];
  if (input === null) return ["no value", form + orNothing(key)];
  if (later.includes(word)) return [`${quoted(word)} is ${NOT_SUPPORTED}`, form];
  if (typeof input === "object") return [`${kindOf(input)} is not expected here`, form];
  const what = `unknown value ${quoted(word)}`;
  if (OFF_WORDS.includes(word)) {
    if (values.includes("off")) return [what, 'did you mean "off"?'];
    if (values.includes("true")) return [what, "leave it out"];
  }
  if (ON_WORDS.includes(word)) {
    if (values.includes("on")) return [what, 'did you mean "on"?'];
    const fallback = key?.default;
    if (fallback !== "off" && values.includes("off")) {
      return fallback === undefined
        ? [what, `leave it out, or ${form}`]
        : [what, `did you mean ${quoted(fallback)}?`];
    }
  }
  const meant = meantBy(word, [...values, ...later]);
  if (meant === undefined) return [what, form];
  const far = (value: string) => editDistance(word.toLowerCase(), value);
  const isOneOfMany = values.some((value) => value !== meant && far(value) === far(meant)); // v3: v1, or v2?
  return [what, isOneOfMany ? form : `did you mean ${quoted(meant)}?`];
}

function invalidType(path: Path, input: unknown, expected: string): [what: string, remedy: string] {
  const key = keyAt(path);
  if (path.length === 0) {
    const what = input === null ? "nothing is in it" : `${kindOf(input)} where ${KINDS.object} is expected`;
    return [what, "write listeners and upstreams"];
  }
  if (path.length === 2 && path[1] === "include") {
    return [
      `${quoted("include")} would be the name of one of the ${path[0]}`,
      "write it at the top of the file",
    ];
  }
  const kind = KINDS[expected] ?? expected;
  if (expected === "boolean" && typeof input === "string") {
    const meant = [true, false].find((value) =>
      (value ? ON_WORDS : [...OFF_WORDS, "off"]).includes(input.toLowerCase())
    );
    return [`unknown value ${quoted(input)}`, meant === undefined ? `write ${kind}` : `write ${meant}`];
  }
  if (input === null) return ["no value", `write ${wanted(path, expected)}${orNothing(key)}`];
  if (typeof input === "number" && expected === "number") { // infinite, or none at all
    return [`${quoted(String(input))} is no whole number`, `write a number from ${key?.doc.range ?? "0 on"}`];
  }
  return [`${kindOf(input)} where ${kind} is expected`, `write ${meantInstead(path, input, expected)}`];
}

/** What to write where something of another kind stands. */
function meantInstead(path: Path, input: unknown, expected: string): string {
  const key = keyAt(path), short = shortForm(path, input);
  if (short !== undefined) return short;
  if (Array.isArray(input) && expected !== "array") {
    const [first, ...more] = input;
    if (more.length === 0 && isPlain(first) && (key === undefined || accepts(key, first))) {
      return shown(String(first));
    }
    if (expected === "record") return `${formOf(key) ?? "each under its name"}, without a dash`;
    if (path.includes("match")) return "one of them, and a route for each of the others";
    if (expected === "object") return `its keys without a dash: ${keysIn(path).join(", ")}`;
    if (key?.doc.placeholder === "UPSTREAM") return "one of them; an upstream may have many servers";
    return key === undefined ? "one of them" : `one of them: ${formOf(key)}`;
  }
  if (expected === "array" && isPlain(input) && key !== undefined && accepts(key, [input])) {
    return `[${inBraces(String(input))}]`;
  }
  if (expected === "string") {
    const meant = textMeant(path, input);
    if (meant !== undefined) return meant;
  }
  if (typeof input === "object" && key !== undefined && accepts(key, [input])) {
    return "it as an entry of a list, with a dash before it";
  }
  return wanted(path, expected);
}

/** What a place is for, in words that follow "write". */
function wanted(path: Path, expected: string): string {
  const key = keyAt(path), form = formOf(key);
  if (form !== undefined) return form;
  switch (expected) {
    case "object":
      return `its keys: ${keysIn(path).join(", ")}`;
    case "record":
      return "each under its name";
    case "array":
      return "a list of them";
    case "string":
      return key === undefined ? 'the text, or "" for an empty one' : "the text";
    default:
      return KINDS[expected] ?? expected;
  }
}

/** How the value of a key is written. */
function formOf(key: Key | undefined): string | undefined {
  const { placeholder, example } = key?.doc ?? {};
  if (placeholder === undefined) return undefined;
  if (placeholder === "UPSTREAM") return "the name of an upstream";
  const forms = alternatives(placeholder.split("|"));
  return example === undefined || placeholder.includes("|") ? forms : `${forms}, such as ${example}`;
}

function alternatives(forms: readonly string[]): string {
  return forms.join(", ").replace(/, ([^,]*)$/, " or $1");
}

function orNothing(key: Key | undefined): string {
  const isNeeded = key === undefined || NEEDED.includes(key.path.join("."));
  return !isNeeded && accepts(key, undefined) ? ", or leave the key out" : "";
}

function accepts(key: Key, input: unknown): boolean {
  return (key.schema as z.ZodType).safeParse(input).success;
}

function isPlain(value: unknown): value is string | number | boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** What YAML took for a number, a word of its own or a section, where a text was meant. */
function textMeant(path: Path, input: unknown): string | undefined {
  const key = keyAt(path);
  const isText = (text: string): boolean => key === undefined || accepts(key, text);
  if (typeof input === "number" || typeof input === "boolean") {
    if (key?.doc.secret) return "it in quotes";
    return isText(String(input)) ? `${quoted(String(input))}, in quotes` : undefined;
  }
  if (typeof input !== "object" || input === null || Array.isArray(input)) return undefined;
  const [[name, value] = ["", undefined], ...more] = Object.entries(input);
  if (value !== null || more.length > 0 || !isText(`{${name}}`)) return undefined;
  return `${quoted(`{${name}}`)}, in quotes`;
}

/** What is wrong with a number or a word of YAML where a text is expected, beyond its kind: 5 that should be 5s. */
function flawOfText(path: Path, input: unknown): Finding[] | undefined {
  if (typeof input !== "number" && typeof input !== "boolean") return undefined;
  const isEntry = typeof path[path.length - 1] === "number";
  const key = keyAt(path) ?? (isEntry ? keyAt(path.slice(0, -1)) : undefined);
  if (key === undefined || key.doc.secret) return undefined;
  if (input === false && accepts(key, "off")) {
    return [{ path, what: 'unknown value "false"', remedy: 'did you mean "off"?', severity: "error" }];
  }
  const result = (key.schema as z.ZodType).safeParse(String(input));
  const issue = result.success ? undefined : innermost(result.error.issues[0]);
  if (issue?.code !== "custom") return undefined;
  return [{ path, what: issue.message, remedy: String(issue.params?.remedy), severity: "error" }];
}

function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  return issue.code === "invalid_union" ? innermost(bestOption(issue.errors)[0]) : issue;
}

/** The section that a value alone stands for: { to: /new } for /new, or with the default of that key. */
function shortForm(path: Path, input: unknown): string | undefined {
  const { short } = keyAt(path)?.doc ?? {};
  if (short === undefined) return undefined;
  if (typeof input === "number") {
    const counts = keysIn(path).filter((name) => keyAt([...path, name])!.doc.unit === "count");
    const [count] = counts;
    if (counts.length === 1 && accepts(keyAt([...path, count])!, input)) return `{ ${count}: ${input} }`;
  }
  const key = keyAt([...path, short])!;
  const values = Array.isArray(input) ? input : [input];
  if (values.length > 0 && values.every(isPlain) && accepts(key, input)) {
    const texts = values.map((value) => inBraces(String(value))).join(", ");
    return `{ ${short}: ${Array.isArray(input) ? shown(`[${texts}]`) : texts} }`;
  }
  const value = (key.doc.defaultText === undefined ? key.default : undefined) ?? key.doc.example;
  return value === undefined || values.some((one) => typeof one === "object" && one !== null)
    ? undefined
    : `{ ${short}: ${inBraces(value)} }`;
}

/** A text as it may stand in braces. */
function inBraces(text: string): string {
  return /^[A-Za-z0-9/._-]([A-Za-z0-9/._ :-]*[A-Za-z0-9/._-])?$/.test(text) && !text.includes(": ")
    ? shown(text)
    : quoted(text);
}

function kindOf(value: unknown): string {
  if (value === null) return "no value";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a section of keys";
  if (typeof value === "string") return "text";
  return typeof value === "boolean" ? String(value) : `a ${typeof value}`;
}
