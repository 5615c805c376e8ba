// Templates as people write them: text with {names} that stand for parts of a request; "{{" is a brace. What
// is read here becomes operations of the Plan (policy/template.ts), which says how the parts are encoded.
// A template that could send a client or a server elsewhere by what the client wrote is refused.
import { Op, TemplateFor } from "../../plan/routing.ts";
import { TlsFact } from "../../sys/symbols.ts";
import { didYouMean, quoted, type Reading, refused, shown, taken } from "./errors.ts";

/** One operation. */
export interface TemplateOp {
  readonly op: Op;
  /** Of a literal: its bytes. */
  readonly bytes: Uint8Array;
  /** Of a captured part: its number; of a part of the client's TLS: which. */
  readonly which: number;
  readonly strict: boolean;
}

/** Parts of a request that every route knows. */
const PARTS: Readonly<Record<string, Op>> = {
  host: Op.Host,
  path: Op.Path,
  query: Op.Query,
  scheme: Op.Scheme,
  "client-ip": Op.ClientIp,
  method: Op.Method,
  "request-id": Op.RequestId,
  port: Op.Port,
};

/** Parts of the client's TLS; of its certificate, if it was asked for one and has shown it. Empty otherwise. */
const SESSION_PARTS: Readonly<Record<string, TlsFact>> = {
  "tls-version": TlsFact.Version,
  "tls-cipher": TlsFact.Cipher,
  "tls-sni": TlsFact.Name,
  "client-cert-subject": TlsFact.Subject,
  "client-cert-issuer": TlsFact.Issuer,
  "client-cert-serial": TlsFact.Serial,
  "client-cert-fingerprint": TlsFact.Fingerprint,
};

/** Names that a part of a path cannot have. */
export const RESERVED: readonly string[] = [...Object.keys(PARTS), ...Object.keys(SESSION_PARTS)];

/** A piece of a text with names: literal text, or a name. */
export type Piece = { readonly literal: string } | { readonly name: string };

/** Cuts a text at its {names}; "{{" stands for "{". */
export function readPieces(text: string): Reading<Piece[]> {
  const pieces: Piece[] = [];
  let literal = "";
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== "{") {
      literal += text[at];
      continue;
    }
    if (text[at + 1] === "{") {
      literal += "{";
      at++;
      continue;
    }
    const end = text.indexOf("}", at);
    if (end === -1) {
      return refused(`${quoted(text)} has a "{" that nothing closes`, 'write "{{" for a brace');
    }
    if (literal !== "") pieces.push({ literal });
    literal = "";
    pieces.push({ name: text.slice(at + 1, end) });
    at = end;
  }
  if (literal !== "") pieces.push({ literal });
  return taken(pieces);
}

/** Reads a template. `captures`: the names of parts of the route's path, in their order. */
export function readTemplate(
  text: string,
  kind: TemplateFor,
  captures: readonly string[],
): Reading<TemplateOp[]> {
  const pieces = readPieces(text);
  if (!pieces.ok) return pieces;
  const flaw = pieces.value.reduce<Reading<never> | undefined>(
    (flaw, piece) =>
      flaw ?? ("literal" in piece ? literalFlaw(piece.literal, kind) : nameFlaw(piece.name, captures)),
    undefined,
  ) ?? placeFlaw(pieces.value, text, kind);
  if (flaw !== undefined) return flaw;
  let before = "";
  return taken(pieces.value.map((piece): TemplateOp => {
    if ("literal" in piece) {
      before += piece.literal;
      return { op: Op.Literal, bytes: new TextEncoder().encode(piece.literal), which: 0, strict: false };
    }
    const isOpen = before.includes("?") || (isInAuthority(before) && !isPath(piece));
    const strict = kind === TemplateFor.Host || (kind === TemplateFor.Location && isOpen);
    before += isPath(piece) ? "/" : NAME_MARK;
    const capture = captures.indexOf(piece.name), bytes = new Uint8Array();
    if (capture !== -1) return { op: Op.Capture, bytes, which: capture, strict };
    if (!Object.hasOwn(SESSION_PARTS, piece.name)) return { op: PARTS[piece.name], bytes, which: 0, strict };
    const which = SESSION_PARTS[piece.name];
    return { op: Op.Session, bytes, which, strict: kind !== TemplateFor.FieldValue };
  }));
}

/** {path} begins with a slash, which ends an authority. */
function isPath(piece: { readonly name: string }): boolean {
  return piece.name === "path";
}

/** Stands for a name in the text before a place. */
const NAME_MARK = "\u0001";

/** Whether a URI reference that begins so is in its authority at its end. */
function isInAuthority(before: string): boolean {
  return /^(https?|\u0001):\/\/[^/?#]*$/.test(before);
}

function nameFlaw(name: string, captures: readonly string[]): Reading<never> | undefined {
  if (captures.includes(name) || RESERVED.includes(name)) return undefined;
  const names = [...captures, ...RESERVED];
  if (name === "rest") {
    return refused("{rest} is what follows a prefix, and this route has none", "leave it out");
  }
  const all = `the names are ${names.map((known) => `{${known}}`).join(" ")}; "{{" is a brace`;
  return refused(`{${shown(name)}} stands for nothing`, didYouMean(name, names, all));
}

/** Characters that a URI may hold, in its path and query (RFC 3986). */
const URI = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*$/;
const HOST = /^[A-Za-z0-9._~!$&'()*+,;=:[\]-]*$/;

function literalFlaw(literal: string, kind: TemplateFor): Reading<never> | undefined {
  switch (kind) {
    case TemplateFor.FieldValue:
      if (literal.isWellFormed() && !/[\x00-\x08\x0a-\x1f\x7f]/.test(literal)) return undefined;
      return refused(`${quoted(literal)} holds a control character`, "write printable characters");
    case TemplateFor.Host:
      if (HOST.test(literal)) return undefined;
      return refused(`${quoted(literal)} is no part of a host`, "write a host such as shop.example");
    case TemplateFor.Location:
      // A Location may have a fragment (RFC 9110 section 10.2.2).
      return uriFlaw(literal.replaceAll("#", ""));
    default:
      return uriFlaw(literal);
  }
}

/** What is wrong with a text that is written into a path or a Location as it is. */
export function uriFlaw(literal: string): Reading<never> | undefined {
  if (URI.test(literal)) return undefined;
  if (!literal.isWellFormed()) {
    return refused(`${quoted(literal)} is not valid Unicode`, "write printable characters");
  }
  const mended = encodeURI(literal).replaceAll("#", "%23");
  return refused(`${quoted(literal)} is no part of a URI`, `write ${shown(mended)}`);
}

/** What is wrong with the place of a name. */
function placeFlaw(pieces: readonly Piece[], text: string, kind: TemplateFor): Reading<never> | undefined {
  if (kind === TemplateFor.FieldValue) return undefined;
  if (kind === TemplateFor.Host) return hostFlaw(pieces);
  const first = pieces[0];
  const root = first !== undefined &&
    ("literal" in first ? first.literal.startsWith("/") : first.name === "path");
  if (kind === TemplateFor.Path) {
    if (!root) return refused(`${quoted(text)} is no path`, "write a path that begins with / or {path}");
    const query = pieces.some((piece) =>
      "literal" in piece ? piece.literal.includes("?") : piece.name === "query"
    );
    return query ? refused("the query is forwarded as it came", "leave it out of the path") : undefined;
  }
  const absolute = /^(https?|\{scheme\}):\/\/./.test(text);
  if (!(root && !text.startsWith("//")) && !absolute) {
    return refused(`${quoted(text)} leads nowhere`, "write /PATH, https://HOST/PATH or {scheme}://HOST/PATH");
  }
  const literals = pieces.map((piece) => "literal" in piece ? piece.literal : "").join("");
  if (literals.split("#").length > 2) {
    return refused(`${quoted(text)} has two fragments`, 'write "%23" for a # within one');
  }
  return locationFlaw(pieces);
}

const NO_HOSTS: readonly string[] = ["path", "query", "method", "client-ip", ...Object.keys(SESSION_PARTS)];

function hostFlaw(pieces: readonly Piece[]): Reading<never> | undefined {
  for (const piece of pieces) {
    if (!("name" in piece) || !NO_HOSTS.includes(piece.name)) continue;
    return refused(`{${piece.name}} is no part of a host`, "leave it out");
  }
  return undefined;
}

/** Whether what comes next keeps a name below it in a domain. */
function isDomain(piece: Piece | undefined): boolean {
  return piece !== undefined && "literal" in piece && /^\.[a-z0-9-]/i.test(piece.literal);
}

const NO_HOSTS_BUT_PATHS: readonly string[] = [
  ...["rest", "method", "client-ip", "request-id"],
  ...Object.keys(SESSION_PARTS),
];

/** A client must not choose another host by what its path says: https://shop.example{rest}. */
function locationFlaw(pieces: readonly Piece[]): Reading<never> | undefined {
  let before = "";
  for (const [index, piece] of pieces.entries()) {
    if ("literal" in piece) {
      before += piece.literal;
      continue;
    }
    const { name } = piece;
    if (name === "query" && !before.includes("?")) {
      return refused("{query} stands before any question mark", 'write "?{query}"');
    }
    if (isInAuthority(before) && NO_HOSTS_BUT_PATHS.includes(name)) {
      return refused(`{${name}} is part of the host there`, `write "/{${name}}"`);
    }
    if (isInAuthority(before) && !RESERVED.includes(name) && !isDomain(pieces[index + 1])) {
      return refused(
        `{${name}} could be any host there`,
        `write a domain behind it: "{${name}}.shop.example"`,
      );
    }
    before += isPath(piece) ? "/" : NAME_MARK;
  }
  return undefined;
}
