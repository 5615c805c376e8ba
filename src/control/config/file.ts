// One file of a configuration: YAML becomes the raw values that the schema checks, and every key has a place
// in the file that a message can name. Knows the file's syntax and no key.
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import type { Pair, YAMLMap } from "yaml";
import { bounded, type ConfigProblem, quoted, shown, type Spot, withoutSecrets } from "./errors.ts";
import type { Finding, Path } from "./finding.ts";
import { hasRange, isFlow, rangeOf, syntaxFlaws } from "./syntax.ts";

/** Longer files are no configuration. */
export const FILE_BYTES_MAX = 64 << 20;
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
  const spotAt = spotsOf(file, text, lines);
  const targets = new Map<unknown, Node>();
  let document: Document, raw: unknown;
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      logLevel: "error",
      resolveKnownTags: false,
      uniqueKeys: false, // looked for by syntax.ts: the library compares each key with every other
    });
    const flaws = syntaxFlaws(document, text, targets);
    if (flaws.length > 0) {
      return {
        problems: bounded(flaws.map(({ from, end, what, remedy }) => {
          const spot = spotAt(from, end), line = text.slice(text.lastIndexOf("\n", from - 1) + 1, end);
          const isSecret =
            withoutSecrets(line.slice(0, LINE_CHARACTERS_MAX)) !== line.slice(0, LINE_CHARACTERS_MAX);
          const words = (said: string) => isSecret ? said.replace(/"(?:[^"\\]|\\.)*"/g, '"***"') : said;
          return error(whereOf(spot), withoutSecrets(words(what)), withoutSecrets(words(remedy)), spot);
        })),
      };
    }
    raw = document.toJS({ maxAliasCount: -1 }); // syntaxFlaws has counted them
  } catch (cause) {
    return { problems: [error(file, ...unreadable(cause))] };
  }
  const contents = document.contents as Node | null;
  const resolve = (node: unknown) => isAlias(node) ? targets.get(node) : node;
  const pairOf = pairsByName();
  const place: ConfigFile["place"] = (finding) => {
    const [from, end] = rangeAt(contents, finding, resolve, pairOf);
    return { spot: spotAt(from, end), offset: from };
  };
  return { name: file, raw, place };
}

/** A path as it is written: `listeners.web.routes[2].to`. */
export function pathText(path: Path): string {
  return path.map((step, at) =>
    typeof step === "number"
      ? `[${step}]`
      : `${at === 0 ? "" : "."}${/^$| /.test(step) ? quoted(step) : shown(step)}`
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
      return { file, line, column, length: 1, text: withoutSecrets(text.slice(0, LINE_CHARACTERS_MAX)) };
    }
    from = end + 1;
  }
  return { file, line, column: 1, length: 1, text: "" };
}

/** Makes places of text[from, end), each cut at the end of its first line. */
function spotsOf(file: string, text: string, lines: LineCounter): (from: number, end: number) => Spot {
  // Counting characters again from the beginning of a line would take forever where one line is all there is.
  let last = { lineFrom: -1, lineEnd: 0, from: 0, column: 1 };
  return (from, end) => {
    const { line, col } = lines.linePos(from);
    const lineFrom = from - Math.max(col - 1, 0);
    if (last.lineFrom !== lineFrom) {
      const newline = text.indexOf("\n", lineFrom);
      last = { lineFrom, lineEnd: newline < 0 ? text.length : newline, from: lineFrom, column: 1 };
    } else if (last.from > from) last = { ...last, from: lineFrom, column: 1 };
    const { lineEnd } = last, column = last.column + charactersOf(text, last.from, from);
    last = { ...last, from, column };
    const until = Math.max(Math.min(end, lineEnd), from);
    const shownFrom = Math.max(lineFrom, wholeFrom(text, from - LINE_CHARACTERS_MAX));
    const part = text.slice(shownFrom, Math.min(lineEnd, from + LINE_CHARACTERS_MAX));
    return {
      file,
      line: Math.max(line, 1),
      column,
      length: Math.max(
        [...text.slice(from, Math.min(until, from + LINE_CHARACTERS_MAX)).trimEnd()].length,
        1,
      ),
      text: withoutSecrets(part.replace(/\r$/, "")),
      ...(shownFrom > lineFrom ? { cut: column - 1 - charactersOf(text, shownFrom, from) } : {}),
    };
  };
}

function charactersOf(text: string, from: number, end: number): number {
  let count = 0;
  for (let at = from; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code < 0xdc00 || code > 0xdfff) count++; // the second half of a character
  }
  return count;
}

/** Where the character at `at` begins. */
function wholeFrom(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at - 1 : at;
}

/** What the parser gives up on: what would take more room than there is. */
function unreadable(cause: unknown): [what: string, remedy: string] {
  if (cause instanceof RangeError) return ["too many lists and sections in one another", "write fewer"];
  return [`no YAML: ${shown(cause instanceof Error ? cause.message : String(cause), 200)}`, "mend the file"];
}

/** Where the value of a path is, or its key; of a path that is not there the nearest key above it. */
function rangeAt(
  root: Node | null,
  { path, isKey }: Pick<Finding, "path" | "isKey">,
  resolve: (node: unknown) => unknown,
  pairOf: ReturnType<typeof pairsByName>,
): [from: number, end: number] {
  let node: unknown = root, range: [number, number] = [root?.range?.[0] ?? 0, 0];
  for (const [at, step] of path.entries()) {
    const collection = resolve(node);
    if (isSeq(collection) && typeof step === "number" && step < collection.items.length) {
      node = collection.items[step];
      if (hasRange(node)) range = rangeOf(node);
      continue;
    }
    const pair = isMap(collection) ? pairOf(collection, String(step)) : undefined;
    if (pair === undefined) return range;
    node = pair.value;
    const isWanted = at === path.length - 1 && isKey !== true && isWritten(node) && hasRange(node);
    if (isWanted) range = rangeOf(node as Node);
    else if (hasRange(pair.key)) range = rangeOf(pair.key);
  }
  return range;
}

/** Finds a key in a section; each section that is asked for is gone through once. */
function pairsByName(): (section: YAMLMap, name: string) => Pair | undefined {
  const known = new WeakMap<YAMLMap, Map<string, Pair>>();
  return (section, name) => {
    let pairs = known.get(section);
    if (pairs === undefined) {
      pairs = new Map(section.items.map((pair) => [keyText(pair.key), pair]));
      known.set(section, pairs);
    }
    return pairs.get(name);
  };
}

/** A collection in block style begins where its first key does: its own key is what to name. */
function isWritten(node: unknown): boolean {
  return isScalar(node) ? node.source !== "" || node.type !== "PLAIN" : isAlias(node) || isFlow(node);
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : "";
}
