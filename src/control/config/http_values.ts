// What is written about HTTP messages: hosts, paths, methods, fields, statuses. Strict where a value that
// is accepted could never match or could break a message; what they mean to a request is policy's.
import { isIPv4, isIPv6 } from "node:net";
import { domainToASCII } from "node:url";
import { STATUS_END, STATUS_FIRST } from "../../plan/plan.ts";
import { ipAddress } from "./address.ts";
import { quoted, type Reading, refused, shown, taken } from "./errors.ts";
import { FORWARDED_NAMES } from "./forwarding_schema.ts";

/** How a route's path is compared with a request's. */
export type PathMatch =
  | { readonly kind: "exact" | "prefix"; readonly text: string }
  | { readonly kind: "pattern"; readonly text: string }
  | { readonly kind: "regex"; readonly source: string };

/** Statuses from the first to the last, both included. */
export type StatusRange = readonly [first: number, last: number];

const HOST_CHARACTERS_MAX = 253;
const PATH_CHARACTERS_MAX = 2_048;
const METHOD_CHARACTERS_MAX = 32;
const FIELD_NAME_CHARACTERS_MAX = 128;
const FIELD_VALUE_CHARACTERS_MAX = 4_096;
/** An answer of our own is printed in one piece. */
export const OWN_BODY_BYTES_MAX = 16_384;
/** tchar of RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Fields that frame a message or belong to one connection: no edit may touch them (RFC 9110 section 7.6.1). */
const UNTOUCHABLE = [
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/**
 * Reads the host of a route: `shop.example`, `*.shop.example` (any depth below it), an IP address as a
 * client would write it. @returns it in lower case, without a dot at its end.
 */
export function readHost(text: string): Reading<string> {
  const form = "write a host such as shop.example or *.shop.example";
  if (text === "") return refused("empty", form);
  if (isIPv4(text)) return taken(text);
  const bracketed = /^\[([^\]]*)\]$/.exec(text)?.[1];
  if (bracketed !== undefined && isIPv6(bracketed) && !bracketed.includes("%")) {
    return taken(`[${ipAddress(bracketed, 0)!.ip}]`);
  }
  const port = /^(.*):[0-9]*$/.exec(text)?.[1];
  if (port !== undefined && !port.includes(":")) {
    return refused(`${quoted(text)} has a port, which is not looked at`, `write ${shown(port)}`);
  }
  if (text === "*") return refused("every host is what no host at all means", "leave it out");
  const name = text.toLowerCase().replace(/\.$/, "");
  const labels = name.replace(/^\*\./, "").split(".");
  const legal = labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label));
  if (!legal || name.length > HOST_CHARACTERS_MAX) {
    return refused(`${quoted(text)} is no host`, hostMeant(text) ?? form);
  }
  return taken(name);
}

/** What was meant by a host that is more than one, or written in another way. */
function hostMeant(text: string): string | undefined {
  const scheme = /^https?:\/\/([^/]+)\/?$/.exec(text)?.[1];
  if (scheme !== undefined && readHost(scheme).ok) return `write ${shown(scheme)}`;
  const [, host, path] = /^([^/]+)(\/.*)$/.exec(text) ?? [];
  if (host !== undefined && path !== undefined && readHost(host).ok) {
    return `write ${shown(host)}, and the path as match.path`;
  }
  const below = /^\*([^.*].*)$/.exec(text)?.[1];
  if (below !== undefined && readHost(`*.${below}`).ok) return `write *.${shown(below)}, or ${shown(below)}`;
  if (text.includes("*")) return "write a star only before a name: *.shop.example";
  const ascii = /[^\x21-\x7e]/.test(text) ? domainToASCII(text) : "";
  return ascii === "" ? undefined : `write ${shown(ascii)}`;
}

/** Reads a path of a route: with `{name}` in it a pattern, with a slash at its end a prefix, else exact. */
export function readPath(text: string): Reading<PathMatch> {
  if (/\{[^}]*\}/.test(text)) return readPattern(text);
  return text.endsWith("/") ? readPrefix(text) : readExact(text);
}

export function readExact(text: string): Reading<PathMatch> {
  return pathText(text, (path) => ({ kind: "exact", text: path }));
}

export function readPrefix(text: string): Reading<PathMatch> {
  return pathText(text, (path) => ({ kind: "prefix", text: path }));
}

export function readPattern(text: string): Reading<PathMatch> {
  return pathText(text, (path) => ({ kind: "pattern", text: path }));
}

/** The source of a PCRE2 expression, which is compiled later. */
export function readRegex(text: string): Reading<PathMatch> {
  const flaw = textFlaw(text, PATH_CHARACTERS_MAX);
  if (flaw !== undefined) return flaw;
  const bytes = new TextEncoder().encode(text).length;
  if (bytes <= PATH_CHARACTERS_MAX) return taken({ kind: "regex", source: text });
  return refused(`a text of ${bytes} bytes`, `write at most ${PATH_CHARACTERS_MAX}`);
}

/** What a request's path is compared with once it is decoded: it has no escapes and no dot segments left. */
function pathText(text: string, make: (path: string) => PathMatch): Reading<PathMatch> {
  const flaw = readPathText(text);
  if (!flaw.ok) return flaw;
  if (text.split("/").some((segment) => segment === "." || segment === "..")) {
    return refused(`${quoted(text)} has a segment of dots, which no request's path has`, "leave it out");
  }
  return taken(make(text));
}

/** Reads a path or the beginning of one. */
export function readPathText(text: string): Reading<string> {
  if (text === "") return refused("empty", "write a path such as /api/");
  const flaw = textFlaw(text, PATH_CHARACTERS_MAX);
  if (flaw !== undefined) return flaw;
  if (!text.startsWith("/")) {
    const regex = /^(?:~\*? *)?(\^.*)$/.exec(text)?.[1];
    const remedy = regex === undefined
      ? `write /${shown(text)}`
      : `write { regex: ${quoted(regex)} } for an expression`;
    return refused(`${quoted(text)} does not begin with a slash`, remedy);
  }
  const extra = text.search(/[?#\s]/);
  if (extra === -1) return taken(text);
  const path = text.replace(/[?#].*$/, "").replace(/\s/g, encodeURIComponent);
  return refused(`${quoted(text)} holds ${quoted(text[extra])}, which no path has`, `write ${shown(path)}`);
}

/** Methods are case-sensitive (RFC 9110 section 9.1). */
export function readMethod(text: string): Reading<string> {
  const several = text.split(/[ ,|]+/);
  if (several.length > 1 && several.every((one) => TOKEN.test(one))) {
    return refused(`${quoted(text)} is more than one method`, `write [${shown(several.join(", "))}]`);
  }
  if (!TOKEN.test(text) || text.length > METHOD_CHARACTERS_MAX) {
    return refused(`${quoted(text)} is no method`, "write a method such as GET");
  }
  const upper = text.toUpperCase();
  return text === upper ? taken(text) : refused(`${quoted(text)} is not in capitals`, `write ${upper}`);
}

export function readFieldName(text: string): Reading<string> {
  if (TOKEN.test(text) && text.length <= FIELD_NAME_CHARACTERS_MAX) return taken(text);
  return refused(`${quoted(text)} is no name of a field`, "write a name such as X-Tier");
}

/** The name of a field that a route may set or remove. */
export function readEditableName(text: string): Reading<string> {
  const name = readFieldName(text);
  if (!name.ok) return name;
  const lower = text.toLowerCase();
  if (lower === "host") return refused("the host is rewritten elsewhere", "write rewrite: { host: NAME }");
  if (!UNTOUCHABLE.includes(lower)) return name;
  return refused(`${quoted(text)} belongs to a message's framing or its connection`, "leave it out");
}

/** The same of a request. Via is how loops are found, and no route may take it away. */
export function readEditableRequestName(text: string): Reading<string> {
  if (text.toLowerCase() !== "via") return readEditableName(text);
  return refused("Via is written by the listener", "write forwarded: { via: off } there, or leave it out");
}

/** The same of a field that is to be called otherwise: those that are written anew at each hop are not. */
export function readRenamedRequestName(text: string): Reading<string> {
  if (!(FORWARDED_NAMES as string[]).includes(text.toLowerCase())) return readEditableRequestName(text);
  return refused(
    `${quoted(text)} is written anew by the listener`,
    "set the other field, from {client-ip} or {request-id}, or forward it as it came: forwarded",
  );
}

/** A field's value, or what one is made from. */
export function readFieldValue(text: string): Reading<string> {
  const flaw = text === "" ? undefined : textFlaw(text, FIELD_VALUE_CHARACTERS_MAX);
  if (flaw !== undefined) return flaw;
  if (/^\s|\s$/.test(text)) {
    return refused(`${quoted(text)} has white space at an end, which is not sent`, "leave it out");
  }
  return taken(text);
}

/** Any text that must not be empty. */
export function readText(text: string): Reading<string> {
  return textFlaw(text, FIELD_VALUE_CHARACTERS_MAX) ?? taken(text);
}

/** Reads the body of an answer of our own, which may be empty. */
export function readOwnBody(text: string): Reading<string> {
  if (!text.isWellFormed()) return refused("not valid Unicode", "write printable characters");
  const bytes = new TextEncoder().encode(text).length;
  if (bytes <= OWN_BODY_BYTES_MAX) return taken(text);
  return refused(`a body of ${bytes} bytes`, `write at most ${OWN_BODY_BYTES_MAX}`);
}

/** Reads `GET /healthz`; `/healthz` alone is a GET. */
export function readRequestLine(text: string): Reading<{ method: string; target: string }> {
  const [first, second, ...more] = text.split(" ");
  const [methodText, target] = second === undefined ? ["GET", first] : [first, second];
  const form = 'write "GET /PATH"';
  if (more.length > 0) return refused(`${quoted(text)} is no method and path`, form);
  if (methodText.startsWith("/")) {
    return refused(`${quoted(text)} holds a space`, "write %20 for a space in a path");
  }
  const method = readMethod(methodText);
  if (!method.ok) return refused(method.what, `${method.remedy} /PATH`);
  if (method.value === "CONNECT") return refused("CONNECT asks for a tunnel", form);
  if (!/^\/[\x21-\x7e]*$/.test(target) || target.includes("#")) {
    const path = /^https?:\/\/[^/]+(\/[\x21-\x7e]*)$/.exec(target)?.[1];
    const remedy = path === undefined ? form : `write "${method.value} ${shown(path)}", and the host as host`;
    return refused(`${quoted(target)} is no path to ask for`, remedy);
  }
  if (target.length > PATH_CHARACTERS_MAX) {
    return refused(`a path of ${target.length} characters`, `write at most ${PATH_CHARACTERS_MAX}`);
  }
  return taken({ method: method.value, target });
}

/** Reads the Host that a check sends. */
export function readHostField(text: string): Reading<string> {
  const legal = /^(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?$/i.test(text);
  if (legal && text.length <= HOST_CHARACTERS_MAX) return taken(text);
  return refused(`${quoted(text)} is no host`, "write a host such as shop.example");
}

/** Reads `200`, `200-299`, and several of them with commas between. */
export function readStatuses(text: string): Reading<StatusRange[]> {
  const form = `write statuses from ${STATUS_FIRST} to ${STATUS_END - 1}, such as 200-299 or 200,204`;
  const ranges: StatusRange[] = [];
  for (const part of text.split(",")) {
    const [, first, last = first] = /^ *([0-9]{3})(?:-([0-9]{3}))? *$/.exec(part) ?? [];
    if (first === undefined) return refused(`${quoted(part)} is no status`, form);
    const range: StatusRange = [Number(first), Number(last)];
    if (range[0] < STATUS_FIRST || range[1] >= STATUS_END || range[0] > range[1]) {
      return refused(`${quoted(part)} is out of range`, form);
    }
    ranges.push(range);
  }
  return taken(ranges);
}

/** What no text may be that goes into a message. */
function textFlaw(text: string, charactersMax: number): Reading<never> | undefined {
  if (text === "") return refused("empty", "write the text");
  if (text.length > charactersMax) {
    return refused(`a text of ${text.length} characters`, `write at most ${charactersMax}`);
  }
  if (/[\p{Cc}\p{Cs}]/u.test(text)) {
    return refused(`${quoted(text)} holds a control character`, "write printable characters");
  }
  return undefined;
}
