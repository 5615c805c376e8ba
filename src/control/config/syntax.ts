// What is wrong with the YAML of a file, in words that say what to do about it: what its parser found, and what
// is YAML but hardly what was meant. Knows no key.
import { type Document, isAlias, isCollection, isMap, isPair, isScalar, isSeq, type Node, visit } from "yaml";
import type { Scalar, YAMLError, YAMLMap } from "yaml";
import { quoted, shown } from "./errors.ts";

/** A flaw in text[from, end). */
export interface Flaw {
  readonly from: number;
  readonly end: number;
  readonly what: string;
  readonly remedy: string;
}

const ALIASES_MAX = 10_000;
/** What all aliases together may stand for, as far as it was written out. */
const ALIASED_CHARACTERS_MAX = 16 << 20;
/** Sections and lists within one another. */
const DEPTH_MAX = 64;
const TOO_DEEP = {
  what: `more than ${DEPTH_MAX} lists and sections in one another`,
  remedy: "leave some out",
};
const ALIKE = "indent the keys of one section alike";
/** Spaces that look like one and are none to YAML. */
const ODD_SPACE = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000\ufeff]/;

/** Flaws that leave no doubt about what follows them. */
const LOCAL: readonly string[] = ["BAD_SCALAR_START", "BAD_DQ_ESCAPE", "TAG_RESOLVE_FAILED", "TAB_AS_INDENT"];

/** Everything that is wrong, in the order of the file. What only follows from something before is left out.
 * @param targets gets what each alias stands for
 */
export function syntaxFlaws(document: Document, text: string, targets: Map<unknown, Node>): Flaw[] {
  const found = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  const flaws: Flaw[] = [];
  let toldUntil = -1, tabs = 0;
  for (const flaw of found) {
    const isTab = flaw.code === "TAB_AS_INDENT";
    if (isTab && tabs++ > 0) continue;
    // What comes behind a bracket that closes too early is no section any more.
    if (flaws.length > 0 && (flaw.pos[0] < toldUntil || flaw.message.includes("in YAML stream"))) continue;
    const told = flawOf(flaw, found, document, text);
    flaws.push(told);
    toldUntil = lineEnd(text, Math.max(told.from, flaw.pos[0]));
  }
  if (tabs > 1) {
    const at = flaws.findIndex(({ what }) => what === TAB);
    flaws[at] = { ...flaws[at], what: `${TAB}, as in ${tabs} lines` };
  }
  return found.every(({ code }) => LOCAL.includes(code))
    ? [...flaws, ...misuses(document, text, targets)]
    : flaws;
}

const TAB = "a tab at the beginning of a line";

function flawOf(flaw: YAMLError, all: readonly YAMLError[], document: Document, text: string): Flaw {
  const [from, end] = flaw.pos;
  if (flaw.message.includes("call stack")) return { from, end, ...TOO_DEEP };
  const told = (what: string, remedy: string, at = from, until = end): Flaw => ({
    from: at,
    end: Math.min(until, lineEnd(text, at)),
    what,
    remedy,
  });
  switch (flaw.code) {
    case "TAB_AS_INDENT":
      return told(TAB, "indent with spaces", from, from + 1);
    case "MULTIPLE_DOCS":
      return told("one document only", 'remove what follows "---"', from, from + 3);
    case "MULTILINE_IMPLICIT_KEY":
      return told(...withoutColon(lineFrom(text, from)));
    case "BLOCK_AS_IMPLICIT_KEY": {
      const isContinued = all.some((other) =>
        other.code === "MULTILINE_IMPLICIT_KEY" && other.pos[0] === from
      );
      if (isContinued) {
        const next = indentedAt(text, lineEnd(text, from) + 1);
        return told("indented deeper than the key before it, as a part of its value", ALIKE, next, next + 1);
      }
      const value = lineFrom(text, from).replace(/ +#.*$/, "").trim();
      return told('a value that holds ": "', inQuotes(value), from, from + value.length);
    }
    case "BLOCK_IN_FLOW":
      return told(
        'a ": " within a value in braces or brackets',
        "put a comma before the key, or the value in quotes",
      );
    case "BAD_SCALAR_START": {
      const [value] = /^[^\s,}\]]*/.exec(lineFrom(text, from)) ?? [""];
      const bare = /^`(.*)`$/.exec(value)?.[1];
      return bare === undefined
        ? told(`a value that begins with ${quoted(text[from])}`, inQuotes(value), from, from + value.length)
        : told("backticks are no quotes", `write ${quoted(bare)}`, from, from + value.length);
    }
    case "BAD_DQ_ESCAPE": {
      const escape = text.slice(from, from + 2);
      return told(
        `${quoted(escape)} means nothing in double quotes`,
        `write ${quoted(`\\${escape}`)} for a backslash, or put the text in single quotes`,
        from,
        from + 2,
      );
    }
    case "TAG_RESOLVE_FAILED":
      return text.startsWith("!include", from)
        ? told("!include is no word of YAML", "write include: FILE at the top of the file")
        : told(
          `${quoted(text.slice(from, end))} is a tag in YAML, and of no use here`,
          'leave it out, or put a text that begins with "!" in quotes',
        );
    case "MISSING_CHAR":
    case "BAD_INDENT":
      return unclosed(flaw, document, text) ?? misindented(flaw, text) ?? told(...inWordsOfTheLibrary(flaw));
    case "UNEXPECTED_TOKEN":
      return unexpected(flaw, text) ?? told(...inWordsOfTheLibrary(flaw));
    default:
      return told(...inWordsOfTheLibrary(flaw));
  }
}

function inWordsOfTheLibrary({ message }: YAMLError): [what: string, remedy: string] {
  return [`no YAML: ${shown(message, 200)}`, "mend it there"];
}

function inQuotes(value: string): string {
  return value.includes('"') ? "put it in single quotes" : `put it in quotes: ${quoted(value)}`;
}

/** A line that should be a key with its value. */
function withoutColon(line: string): [what: string, remedy: string] {
  const told = line.trim();
  if (told.startsWith("//") || told.startsWith(";")) {
    return [`${quoted(told.slice(0, 2))} begins no comment`, 'write "#"'];
  }
  const [, key, mark = "", value = ""] =
    /^("[^"]*"|'[^']*'|[^\s:=\uff1a]+)\s*([:=\uff1a]?)(.*)$/.exec(told) ??
      [];
  if (key === undefined) return ["neither a key nor an entry of a list", "write KEY: VALUE"];
  const meant = value.replace(ODD_SPACE, "").trim();
  const remedy = `write ${shown(key)}:${meant === "" ? "" : ` ${shown(meant)}`}`;
  switch (mark) {
    case ":":
      return ODD_SPACE.test(value)
        ? ["the space behind the colon is none to YAML", "write a plain space"]
        : ["no space behind the colon", remedy];
    case "=":
      return ['"=" where a colon is expected', remedy];
    case "\uff1a":
      return ["a wide colon, which is none to YAML", remedy];
    default:
      return [`no colon behind ${quoted(key)}`, remedy];
  }
}

/** A quote or a bracket without its end: where it begins. */
function unclosed(flaw: YAMLError, document: Document, text: string): Flaw | undefined {
  if (flaw.message.includes("followed by map values")) {
    const [what, remedy] = withoutColon(lineFrom(text, flaw.pos[0]));
    return { from: flaw.pos[0], end: lineEnd(text, flaw.pos[0]), what, remedy };
  }
  const isQuote = flaw.message.includes("quote");
  let open: number | undefined;
  visit(document, (_, node) => {
    if (!hasRange(node)) return;
    const [from, end] = rangeOf(node);
    if (from > flaw.pos[0]) return;
    const isOpen = isFlow(node) && /[[{]/.test(text[from]) && !/[\]}]/.test(text[end - 1] ?? "");
    if (isQuote ? isUnclosedQuote(node, text) : isOpen) {
      open = Math.max(from, open ?? 0);
    }
  });
  if (open === undefined) return undefined;
  const mark = text[open], closing = mark === "[" ? "]" : mark === "{" ? "}" : mark;
  const what = `nothing closes ${isQuote ? "this quote" : quoted(mark)}`;
  const where = isQuote ? "at the end of the text" : `behind the last ${mark === "[" ? "entry" : "key"}`;
  return { from: open, end: open + 1, what, remedy: `write ${closing} ${where}` };
}

function isUnclosedQuote(node: unknown, text: string): boolean {
  if (!isScalar(node) || (node.type !== "QUOTE_DOUBLE" && node.type !== "QUOTE_SINGLE")) return false;
  const [from, end] = rangeOf(node);
  return /["']/.test(text[from]) && (end - from < 2 || text[end - 1] !== text[from] || end >= text.length);
}

function misindented({ code, message, pos: [at] }: YAMLError, text: string): Flaw | undefined {
  if (code !== "BAD_INDENT" || !message.includes("same column")) return undefined;
  const begin = text.lastIndexOf("\n", at - 1) + 1, from = indentedAt(text, begin);
  const before = text.slice(0, begin).split("\n").findLast((line) => line.trim() !== "") ?? "";
  const isBesideDash = before.startsWith(`${" ".repeat(from - begin)}- `);
  return {
    from,
    end: from + 1,
    what: isBesideDash ? "a key beside the entries of a list" : "indented unlike the keys around it",
    remedy: isBesideDash ? "indent it as far as the key behind the dash" : ALIKE,
  };
}

/** Something behind the end of a value. */
function unexpected({ message, pos: [from, end] }: YAMLError, text: string): Flaw | undefined {
  if (/ in YAML (stream|document)/.test(message)) {
    const token = text.slice(from, end);
    return /^[\]}]$/.test(token)
      ? { from, end, what: `${quoted(token)} closes nothing`, remedy: "leave it out" }
      : undefined;
  }
  if (message.startsWith("Block scalar header")) {
    const begin = text.lastIndexOf("\n", from - 1) + 1;
    const mark = begin + Math.max(text.slice(begin, from).search(/[|>][^|>]*$/), 0);
    const value = lineFrom(text, mark).trim();
    const what = `a value that begins with ${quoted(text[mark])}`;
    return { from: mark, end: mark + value.length, what, remedy: inQuotes(value) };
  }
  if (!message.endsWith("at node end")) return undefined;
  const begin = text.lastIndexOf("\n", from - 1) + 1, before = text.slice(begin, from);
  if (before.trim() === "") {
    return {
      from,
      end: lineEnd(text, from),
      what: "neither a key nor an entry of a list",
      remedy: "write KEY: VALUE",
    };
  }
  if (/["']$/.test(before)) {
    const remedy = before.endsWith("'")
      ? "put all of the value in quotes; '' is a quote in single ones"
      : 'put all of the value in quotes; \\" is a quote in double ones';
    return { from, end: lineEnd(text, from), what: "more text behind the closing quote", remedy };
  }
  const [first, last] = wholeValue(text, begin, from);
  const what = "a value with braces or brackets in it";
  return { from: first, end: last, what, remedy: inQuotes(text.slice(first, last)) };
}

/** The value, without quotes, that goes on at `at`. */
function wholeValue(text: string, begin: number, at: number): [from: number, end: number] {
  const before = text.slice(begin, at);
  let from = at;
  if (/[\]}]$/.test(before)) {
    let depth = 0;
    do {
      from--;
      if (/[\]}]/.test(text[from])) depth++;
      else if (/[[{]/.test(text[from])) depth--;
    } while (depth > 0 && from > begin);
  } else from = begin + before.search(/[^\s,[{]*$/);
  let end = from, depth = 0;
  for (; end < text.length; end++) {
    if (/[[{]/.test(text[end])) depth++;
    else if (/[\]}]/.test(text[end]) && depth-- === 0) break;
    else if (/\s/.test(text[end]) || (depth === 0 && text[end] === ",")) break;
  }
  return [from, end];
}

/** What YAML takes as it is, and who wrote it did not mean.
 * @param targets gets what each alias stands for
 */
function misuses(document: Document, text: string, targets: Map<unknown, Node>): Flaw[] {
  const found: Flaw[] = [];
  const tell = (node: Node, what: string, remedy: string, range = rangeOf(node)): void => {
    found.push({ from: range[0], end: range[1], what, remedy });
  };
  if (document.directives?.yaml.explicit && document.directives.yaml.version !== "1.2") {
    const from = text.indexOf("%YAML"), { version } = document.directives.yaml;
    const what = `YAML ${version}, in which on, off, yes and no are no words`;
    found.push({ from, end: lineEnd(text, from), what, remedy: "leave the line out" });
  }
  // The library would look through the whole file for each alias.
  const anchors = new Map<string, Node>();
  // By anchored node: characters that the aliases in it stand for.
  const more = new Map<unknown, number>();
  let characters = 0;
  visit(document, (_, node, path) => {
    if (isPair(node)) return void ofKey(node.key, text, tell);
    if (!hasRange(node)) return undefined;
    if (isAlias(node)) {
      const written = `*${node.source}`, meant = anchors.get(node.source);
      if (meant === undefined) {
        const what = `${quoted(written)} is an alias in YAML, and no anchor of that name stands before it`;
        tell(node, what, `put it in quotes: ${quoted(written)}`);
      } else if (path.includes(meant)) {
        tell(node, `${quoted(written)} is a part of itself`, "write out what it stands for");
      } else {
        const [from, end] = rangeOf(meant), size = end - from + (more.get(meant) ?? 0);
        for (const holder of path) if (more.has(holder)) more.set(holder, more.get(holder)! + size);
        characters += size;
        targets.set(node, meant);
        if (targets.size > ALIASES_MAX || characters > ALIASED_CHARACTERS_MAX) {
          tell(node, "aliases stand for too much, from here on", "write it out, or use fewer of them");
          return visit.BREAK;
        }
      }
      return undefined;
    }
    if (node.anchor !== undefined) {
      anchors.set(node.anchor, node);
      more.set(node, 0);
    }
    if (isScalar(node)) {
      if (node.type === "PLAIN") { for (const flaw of ofPlain(node, text)) tell(node, ...flaw); }
      return undefined;
    }
    if (path.filter(isCollection).length >= DEPTH_MAX) {
      tell(node, TOO_DEEP.what, TOO_DEEP.remedy);
      return visit.BREAK;
    }
    if (isMap(node)) twiceIn(node, text, tell);
    return undefined;
  });
  return found.sort((a, b) => a.from - b.from);
}

type Tell = (node: Node, what: string, remedy: string, range?: [number, number]) => void;

function ofKey(key: unknown, text: string, tell: Tell): void {
  if (!hasRange(key)) return;
  if (isScalar(key)) {
    if (key.value !== "<<") return;
    const remedy = "write their keys here; a value alone may be an alias: servers: *servers";
    tell(key, '"<<" joins no sections in this version of YAML', remedy);
    return;
  }
  const [from, end] = rangeOf(key), around = text.slice(from - 1, end + 1);
  if (around.startsWith("{{")) tell(key, ...unfilled(around), [from - 1, end + 1]);
  else tell(key, "a list or a section where a key is expected", "write a name");
}

/** Keys that stand twice in one section. */
function twiceIn({ items }: YAMLMap, text: string, tell: Tell): void {
  const seen = new Map<string, Node>();
  for (const { key } of items) {
    if (!isScalar(key) || !hasRange(key)) continue;
    const name = String(key.value), before = seen.get(name);
    if (name === "__proto__") tell(key, `${quoted(name)} cannot be a name`, "choose another one");
    if (before === undefined) seen.set(name, key);
    else {
      const what = `${quoted(name)} stands here twice, first in line ${lineOf(text, rangeOf(before)[0])}`;
      tell(key, what, "leave one of them out");
    }
  }
}

function unfilled(template: string): [what: string, remedy: string] {
  return [
    `${quoted(template)} is a place in a template that nobody filled in`,
    "fill it in, or put it in quotes",
  ];
}

/** What is odd about a text without quotes. */
function* ofPlain(
  node: Scalar,
  text: string,
): Generator<[what: string, remedy: string, range: [number, number]]> {
  const [from, end] = rangeOf(node as Node), source = text.slice(from, end);
  const odd = source.search(ODD_SPACE);
  if (odd >= 0 && (odd === 0 || odd === source.length - 1)) {
    const code = source.charCodeAt(odd).toString(16).toUpperCase().padStart(4, "0");
    yield [`U+${code} looks like a space and is none to YAML`, "write a plain space", [
      from + odd,
      from + odd + 1,
    ]];
  }
  const curved = /^[\u2018-\u201f](.*?)[\u2018-\u201f]?$/.exec(source)?.[1];
  if (curved !== undefined) {
    yield ["curved quotes are no quotes to YAML", `write ${quoted(curved)}`, [from, end]];
  }
  const template = /\{\{ .*? \}\}/.exec(source);
  if (template !== null) yield [...unfilled(template[0]), [from, end]];
}

function lineFrom(text: string, from: number): string {
  return text.slice(from, lineEnd(text, from));
}

function lineEnd(text: string, from: number): number {
  const newline = text.indexOf("\n", from);
  return newline < 0 ? text.length : newline;
}

function lineOf(text: string, at: number): number {
  let line = 1;
  for (let next = text.indexOf("\n"); next >= 0 && next < at; next = text.indexOf("\n", next + 1)) line++;
  return line;
}

/** Where a line that begins at `begin` has its first text. */
function indentedAt(text: string, begin: number): number {
  return begin + Math.max(text.slice(begin, lineEnd(text, begin)).search(/\S/), 0);
}

/** In braces or brackets. */
export function isFlow(node: unknown): boolean {
  return (isMap(node) || isSeq(node)) && node.flow === true;
}

export function hasRange(node: unknown): node is Node {
  return ((node as Node | null)?.range ?? undefined) !== undefined;
}

/** Of a value without what follows it. */
export function rangeOf(node: Node): [from: number, end: number] {
  return [node.range?.[0] ?? 0, node.range?.[1] ?? 0];
}
