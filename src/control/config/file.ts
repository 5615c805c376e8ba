// One file of a configuration: YAML becomes the raw values that the schema checks, and every key has a place
// in the file that a message can name. Knows the file's syntax and no key.
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from "yaml";
import type { YAMLError } from "yaml";
import { type ConfigProblem, quoted, shown, type Spot } from "./errors.ts";
import type { Finding, Path } from "./finding.ts";

/** Longer files are no configuration. */
export const FILE_BYTES_MAX = 64 << 20;
/** How often nodes may be repeated by aliases. */
const ALIASES_MAX = 10_000;
/** Characters of a line that a message shows. */
const LINE_CHARACTERS_MAX = 1_000;

/** What a file holds, and where. */
export interface ConfigFile {
  /** As messages name it. */
  readonly name: string;
  readonly raw: unknown;
  /** What a finding is about, and how far into the file that is. */
  readonly place: (
    finding: Pick<Finding, "path" | "isKey">,
  ) => { readonly spot: Spot; readonly offset: number };
}

/** @returns the file, or everything that is wrong with its syntax. */
export function readConfigFile(name: string, bytes: Uint8Array): ConfigFile | { problems: ConfigProblem[] } {
  const file = shown(name);
  if (bytes.length > FILE_BYTES_MAX) {
    return { problems: [error(file, `${bytes.length} bytes`, `write at most ${FILE_BYTES_MAX}`)] };
  }
  const text = textOf(bytes);
  if (text === undefined) {
    const spot = firstFlaw(file, bytes);
    return { problems: [error(whereOf(spot), "no UTF-8 from here on", "save the file as UTF-8", spot)] };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: "error",
    uniqueKeys: false, // looked for below: the library compares each key with every other
  });
  const spotAt = (from: number, end: number): Spot => spotOf(file, text, lines, from, end);
  const flaws = [...document.errors, ...document.warnings];
  if (flaws.length > 0) {
    return {
      problems: flaws.map((flaw) => {
        const spot = spotAt(flaw.pos[0], flaw.pos[1]);
        return error(whereOf(spot), ...syntaxProblem(flaw), spot);
      }),
    };
  }
  const misused = misuses(document, lines).map(({ node, what, remedy }) => {
    const spot = spotAt(...rangeOf(node));
    return error(whereOf(spot), what, remedy, spot);
  });
  if (misused.length > 0) return { problems: misused };
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (cause) {
    const what = cause instanceof Error ? shown(cause.message, 200) : "cannot be read";
    return { problems: [error(file, what, "write without aliases")] };
  }
  const contents = document.contents as Node | null;
  const resolve = (node: unknown) => isAlias(node) ? node.resolve(document) : node;
  const place: ConfigFile["place"] = (finding) => {
    const [from, end] = rangeAt(contents, finding, resolve);
    return { spot: spotAt(from, end), offset: from };
  };
  return { name: file, raw, place };
}

/** A path as it is written: `listeners.web.routes[2].to`. */
export function pathText(path: Path): string {
  return path.map((step, at) =>
    typeof step === "number" ? `[${step}]` : `${at === 0 ? "" : "."}${shown(step)}`
  )
    .join("");
}

/** `FILE:LINE:COLUMN` */
export function whereOf({ file, line, column }: Spot): string {
  return `${file}:${line}:${column}`;
}

function error(where: string, what: string, remedy: string, spot?: Spot): ConfigProblem {
  return { where, what, remedy, severity: "error", ...(spot === undefined ? {} : { spot }) };
}

/** Undefined if it is no UTF-8. A byte order mark is no part of it. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Where bytes stop being UTF-8. */
function firstFlaw(file: string, bytes: Uint8Array): Spot {
  let line = 1;
  for (let from = 0; from < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, from), end = newline < 0 ? bytes.length : newline;
    if (textOf(bytes.subarray(from, end)) === undefined) {
      const text = new TextDecoder().decode(bytes.subarray(from, end));
      let good = from; // whole characters before the flaw
      for (let at = from; at < end; at++) {
        if ((bytes[at] & 0xc0) === 0x80) continue; // inside a character, or part of the flaw
        if (textOf(bytes.subarray(good, at)) === undefined) break;
        good = at;
      }
      const column = [...new TextDecoder().decode(bytes.subarray(from, good))].length + 1;
      return { file, line, column, length: 1, text: text.slice(0, LINE_CHARACTERS_MAX) };
    }
    from = end + 1;
  }
  return { file, line, column: 1, length: 1, text: "" };
}

/** The place of text[from, end), which is cut at the end of its first line. */
function spotOf(file: string, text: string, lines: LineCounter, from: number, end: number): Spot {
  const { line, col } = lines.linePos(from);
  const lineFrom = from - Math.max(col - 1, 0);
  const newline = text.indexOf("\n", lineFrom), lineEnd = newline < 0 ? text.length : newline;
  const until = Math.max(Math.min(end, lineEnd), from);
  return {
    file,
    line: Math.max(line, 1),
    column: [...text.slice(lineFrom, from)].length + 1,
    length: Math.max([...text.slice(from, until).trimEnd()].length, 1),
    text: text.slice(lineFrom, Math.min(lineEnd, lineFrom + LINE_CHARACTERS_MAX)).replace(/\r$/, ""),
  };
}

/** What is wrong with the syntax, in words that say what to do about it. */
function syntaxProblem(flaw: YAMLError): [what: string, remedy: string] {
  const what = shown(flaw.message, 200);
  switch (flaw.code) {
    case "TAB_AS_INDENT":
      return ["a tab at the beginning of a line", "indent with spaces"];
    case "MULTIPLE_DOCS":
      return ["one document only", 'remove what follows "---"'];
    case "BAD_ALIAS":
      return [what, "name an anchor that stands before it"];
    case "BLOCK_AS_IMPLICIT_KEY":
      return ['a value that holds ": " would be a section inside of a line', "put the value in quotes"];
    case "TAG_RESOLVE_FAILED":
      return [what, 'put a text that begins with "!" in quotes'];
    case "MISSING_CHAR":
      return [
        what,
        "close the quotes or brackets; a text that begins with one of them needs quotes around it",
      ];
    case "BAD_INDENT":
      return [what, "indent the keys of one section alike"];
    case "IMPOSSIBLE":
      return [what, "mend the YAML there"];
    default:
      if (/^Plain value cannot start with/.test(flaw.message)) return [what, "put the value in quotes"];
      return [what, "mend the YAML there"];
  }
}

/** Keys that stand twice in one section, and aliases of nothing: each with what is wrong. */
function misuses(document: Document, lines: LineCounter): { node: Node; what: string; remedy: string }[] {
  const found: { node: Node; what: string; remedy: string }[] = [];
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Map<string, Node>();
      for (const { key } of items as { key: unknown }[]) {
        if (!isScalar(key)) continue;
        const name = String(key.value), before = seen.get(name);
        if (before === undefined) seen.set(name, key as Node);
        else {
          const what = `${quoted(name)} stands here twice, first in line ${
            lines.linePos(rangeOf(before)[0]).line
          }`;
          found.push({ node: key as Node, what, remedy: "leave one of them out" });
        }
      }
    },
    Alias: (_, alias) => {
      if (alias.resolve(document) !== undefined) return;
      const written = `*${alias.source}`;
      const what = `${quoted(written)} is an alias in YAML, and no anchor of that name stands before it`;
      found.push({ node: alias, what, remedy: `put it in quotes: ${quoted(written)}` });
    },
  });
  return found;
}

/** Where the value of a path is, or its key; of a path that is not there the nearest key above it. */
function rangeAt(
  root: Node | null,
  { path, isKey }: Pick<Finding, "path" | "isKey">,
  resolve: (node: unknown) => unknown,
): [from: number, end: number] {
  let node: unknown = root, range: [number, number] = [root?.range?.[0] ?? 0, 0];
  for (const [at, step] of path.entries()) {
    const collection = resolve(node);
    if (isSeq(collection) && typeof step === "number" && step < collection.items.length) {
      node = collection.items[step];
      if (hasRange(node)) range = rangeOf(node);
      continue;
    }
    const pair = isMap(collection)
      ? collection.items.find(({ key }) => keyText(key) === String(step))
      : undefined;
    if (pair === undefined) return range;
    node = pair.value;
    const isWanted = at === path.length - 1 && isKey !== true && isWritten(node) && hasRange(node);
    if (isWanted) range = rangeOf(node as Node);
    else if (hasRange(pair.key)) range = rangeOf(pair.key);
  }
  return range;
}

/** A collection in block style begins where its first key does: its own key is what to name. */
function isWritten(node: unknown): boolean {
  return isScalar(node) ? node.source !== "" : isAlias(node) || isFlow(node);
}

function isFlow(node: unknown): boolean {
  return (isMap(node) || isSeq(node)) && node.flow === true;
}

function hasRange(node: unknown): node is Node {
  return ((node as Node | null)?.range ?? undefined) !== undefined;
}

/** Of a value without what follows it. */
function rangeOf(node: Node): [from: number, end: number] {
  return [node.range?.[0] ?? 0, node.range?.[1] ?? 0];
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : "";
}
