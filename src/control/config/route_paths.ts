// The path of a route as a router compares it: decoded as a request's path is (proto/path.ts), so that
// "/caf%C3%A9" and "/café" are one text, and cut at its named parts.
import { CAPTURES_MAX, PathKind } from "../../plan/routing.ts";
import { BadPath, decodePath } from "../../proto/path.ts";
import { quoted, type Reading, refused, shown, taken } from "./errors.ts";
import { type Piece, readPieces, RESERVED } from "./templates.ts";

/** How a route tells its paths. */
export type PathSpec =
  | { readonly kind: "any" }
  | { readonly kind: "exact" | "prefix" | "pattern"; readonly text: string }
  | { readonly kind: "regex"; readonly source: string };

/** A named part, and the text behind it. */
export interface PathPart {
  readonly rest: boolean;
  readonly text: Uint8Array;
  /** Bytes of the text that are of the same segment. */
  readonly tailBytes: number;
}

/** A path of a route, read. */
export interface RoutePath {
  readonly kind: PathKind;
  /** What a path begins with: the whole, or the text before the first named part. */
  readonly text: Uint8Array;
  readonly parts: readonly PathPart[];
  /** Names that templates know, in the order of `captured` (policy/route.ts). */
  readonly captures: readonly string[];
  readonly source: Uint8Array;
}

const NOTHING = new Uint8Array();
const SLASH = 0x2f;
/** No path of a configuration holds it: stands for a named part while the text around is decoded. */
const MARK = "\u0001";
/** Source of an expression; what compiles it has no more room. */
const REGEX_BYTES_MAX = 4_096;

export function readRoutePath(spec: PathSpec): Reading<RoutePath> {
  switch (spec.kind) {
    case "any":
      return taken(anyPath());
    case "regex": {
      const source = new TextEncoder().encode(spec.source);
      if (source.length > REGEX_BYTES_MAX) {
        return refused(`an expression of ${source.length} bytes`, `write at most ${REGEX_BYTES_MAX}`);
      }
      return taken({ kind: PathKind.Regex, text: NOTHING, parts: [], captures: [], source });
    }
    case "pattern":
      return readPattern(spec.text);
    default: {
      const text = decodedText(spec.text);
      if (!text.ok) return text;
      const exact = spec.kind === "exact";
      // Every path begins with "/": to say so says nothing, and must not stand before patterns.
      if (!exact && text.value.length === 1) return taken(anyPath());
      const kind = exact ? PathKind.Exact : PathKind.Prefix;
      return taken({ kind, text: text.value, parts: [], captures: exact ? [] : ["rest"], source: NOTHING });
    }
  }
}

function anyPath(): RoutePath {
  return { kind: PathKind.Any, text: NOTHING, parts: [], captures: ["rest"], source: NOTHING };
}

/** A text as the decoded path of a request has it. Messages show it as `written`. */
export function decodedText(text: string, written = text): Reading<Uint8Array> {
  const name = quoted(written);
  if (!text.startsWith("/")) {
    return refused(`${name} does not begin with a slash`, `write /${shown(written)}`);
  }
  if (/[?#]/.test(text)) return refused(`${name} is more than a path`, "leave out the query");
  if (text.replace(/%2e/gi, ".").split("/").some((segment) => segment === "." || segment === "..")) {
    return refused(`${name} has a segment of dots, which no request's path has`, "leave it out");
  }
  const bytes = new TextEncoder().encode(text), out = new Uint8Array(bytes.length);
  const end = decodePath(bytes, 0, bytes.length, out, 0);
  if (end === BadPath.Nul) return refused(`${name} holds %00, which no request's path has`, "leave it out");
  if (end < 0) return refused(`${name} has a "%" that is no escape`, 'write "%25" for a percent sign');
  return taken(out.slice(0, end));
}

function readPattern(pattern: string): Reading<RoutePath> {
  const pieces = readPieces(pattern);
  if (!pieces.ok) return pieces;
  const captures = pieces.value.flatMap((piece) =>
    "name" in piece ? [piece.name.replace(/\.\.\.$/, "")] : []
  );
  const flaw = namesFlaw(captures) ?? placesFlaw(pieces.value, pattern);
  if (flaw !== undefined) return flaw;
  const skeleton = pieces.value.map((piece) => "name" in piece ? MARK : piece.literal).join("");
  const decoded = decodedText(skeleton, pattern);
  if (!decoded.ok) return decoded;
  const [text, ...texts] = cut(decoded.value);
  if (texts.length !== captures.length) {
    return refused(`${quoted(pattern)} holds a control character`, "leave it out");
  }
  const rest = pattern.endsWith("...}");
  const parts = texts.map((text, part) => {
    const slash = text.indexOf(SLASH);
    return {
      rest: rest && part === texts.length - 1,
      text,
      tailBytes: slash === -1 ? text.length : slash,
    };
  });
  return taken({ kind: PathKind.Pattern, text, parts, captures, source: NOTHING });
}

/** The texts between named parts. */
function cut(bytes: Uint8Array): Uint8Array[] {
  const texts: Uint8Array[] = [];
  let from = 0;
  for (let at = bytes.indexOf(1); at !== -1; at = bytes.indexOf(1, from)) {
    texts.push(bytes.subarray(from, at));
    from = at + 1;
  }
  return [...texts, bytes.subarray(from)];
}

function namesFlaw(names: readonly string[]): Reading<never> | undefined {
  if (names.length === 0) return refused("a pattern without a named part", "write exact or prefix");
  if (names.length > CAPTURES_MAX) {
    return refused(`a pattern of ${names.length} named parts`, `write at most ${CAPTURES_MAX}`);
  }
  for (const [index, name] of names.entries()) {
    if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(name)) {
      return refused(`{${shown(name)}} is no name`, "write letters, digits, - and _: {id}, {rest...}");
    }
    if (RESERVED.includes(name)) {
      return refused(`{${name}} stands for the request's own ${name}`, "give the part another name");
    }
    if (names.indexOf(name) !== index) {
      return refused(`{${name}} is there twice`, "give each part its own name");
    }
  }
  return undefined;
}

/** One named part in a segment: two could be told apart in several ways. */
function placesFlaw(pieces: readonly Piece[], pattern: string): Reading<never> | undefined {
  const last = pieces.length - 1;
  for (const [index, piece] of pieces.entries()) {
    if (!("name" in piece)) continue;
    const before = pieces[index - 1];
    const text = before !== undefined && "literal" in before ? before.literal : "";
    if (index > 1 && !text.includes("/")) {
      return refused(`${quoted(pattern)} has two named parts in one segment`, "put a slash between them");
    }
    if (!piece.name.endsWith("...")) continue;
    if (index !== last) return refused(`{${shown(piece.name)}} is not at the end`, "put it at the end");
    if (!text.endsWith("/")) {
      return refused(`{${shown(piece.name)}} does not begin a segment`, "put a slash before it");
    }
  }
  return undefined;
}
