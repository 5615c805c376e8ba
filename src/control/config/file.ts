// A configuration file: YAML becomes the raw values that the schema checks, and every key has a place in
// the file that a message can name. Knows the file's syntax and no key.
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import type { YAMLError } from "yaml";
import { type ConfigProblem, NOT_SUPPORTED, shown } from "./errors.ts";
import type { Finding, Path } from "./finding.ts";

/** Longer texts are no configuration. */
const TEXT_CHARACTERS_MAX = 64 << 20;
/** How often nodes may be repeated by aliases. */
const ALIASES_MAX = 10_000;

/** What a file holds, and where. */
export interface ConfigFile {
  readonly raw: unknown;
  /** What a finding is about: `FILE:LINE:COLUMN`, and how far into the file that is. */
  readonly place: (finding: Finding) => { readonly where: string; readonly offset: number };
}

/** @returns the file, or everything that is wrong with its syntax. */
export function readConfigFile(name: string, text: string): ConfigFile | { problems: ConfigProblem[] } {
  const file = shown(name);
  if (text.length > TEXT_CHARACTERS_MAX) {
    const what = `${text.length} characters`;
    return { problems: [error(file, what, `write at most ${TEXT_CHARACTERS_MAX}`)] };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "error" });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
  };
  const flaws = [...document.errors, ...document.warnings];
  if (flaws.length > 0) {
    return {
      problems: flaws.map((flaw) => {
        const what = flaw.code === "MULTIPLE_DOCS" ? "one document only" : shown(flaw.message, 200);
        return error(at(flaw.pos[0]), what, remedyOf(flaw));
      }),
    };
  }
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (cause) {
    const what = cause instanceof Error ? shown(cause.message, 200) : "cannot be read";
    return { problems: [error(file, what, "write without aliases")] };
  }
  const contents = document.contents as Node | null;
  const place = (finding: Finding) => {
    const offset = offsetOf(contents, finding, (node) => isAlias(node) ? node.resolve(document) : node);
    return { where: at(offset), offset };
  };
  return { raw, place };
}

/** Findings for what a later version will put another value for. */
export function findSubstitutions(raw: unknown, path: Path = []): Finding[] {
  if (typeof raw === "string") {
    const found = /\$\{[^}]*\}/.exec(raw)?.[0];
    if (found === undefined) return [];
    const what = `${shown(found)} for a value from elsewhere is ${NOT_SUPPORTED}`;
    return [{ path, what, remedy: "write the value itself", severity: "error" }];
  }
  if (Array.isArray(raw)) return raw.flatMap((value, at) => findSubstitutions(value, [...path, at]));
  if (typeof raw !== "object" || raw === null) return [];
  return Object.entries(raw).flatMap(([key, value]) => findSubstitutions(value, [...path, key]));
}

/** A path as it is written: `listeners.web.routes[2].to`. */
export function pathText(path: Path): string {
  return path.map((step, at) =>
    typeof step === "number" ? `[${step}]` : `${at === 0 ? "" : "."}${shown(step)}`
  )
    .join("");
}

function error(where: string, what: string, remedy: string): ConfigProblem {
  return { where, what, remedy, severity: "error" };
}

function remedyOf({ code }: YAMLError): string {
  switch (code) {
    case "TAB_AS_INDENT":
      return "indent with spaces";
    case "DUPLICATE_KEY":
      return "leave one of them out";
    case "MULTIPLE_DOCS":
      return 'remove what follows "---"';
    case "BAD_ALIAS":
      return "name an anchor that stands before it";
    default:
      return "mend the YAML there";
  }
}

/** Where the value of a path begins, or its key; of a path that is not there the nearest key above it. */
function offsetOf(
  root: Node | null,
  { path, isKey }: Finding,
  resolve: (node: unknown) => unknown,
): number {
  let node: unknown = root, offset = root?.range?.[0] ?? 0;
  for (const [at, step] of path.entries()) {
    const collection = resolve(node);
    if (isSeq(collection) && typeof step === "number" && step < collection.items.length) {
      node = collection.items[step];
      offset = startOf(node) ?? offset;
      continue;
    }
    const pair = isMap(collection)
      ? collection.items.find(({ key }) => keyText(key) === String(step))
      : undefined;
    if (pair === undefined) return offset;
    node = pair.value;
    const isWanted = at === path.length - 1 && isKey !== true;
    offset = (isWanted && isWritten(node) ? startOf(node) : undefined) ?? startOf(pair.key) ?? offset;
  }
  return offset;
}

/** A collection in block style begins where its first key does: its own key is what to name. */
function isWritten(node: unknown): boolean {
  return isScalar(node) ? node.source !== "" : isAlias(node) || isFlow(node);
}

function isFlow(node: unknown): boolean {
  return (isMap(node) || isSeq(node)) && node.flow === true;
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null)?.range?.[0];
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : "";
}
