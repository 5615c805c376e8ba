// Lines of the access log as people write them: text with {names} of what is known of a request or a
// connection. What is read here becomes operations of the Plan (compile_log.ts), which the reactors print;
// the built-in formats are such lines as well.
// A template that is a JSON object once its values are there is written as JSON: a value outside quotes is a
// number, a word or a text in quotes of its own, or null; inside quotes it is escaped as JSON wants it.
import {
  FIELD_BYTES_TOLD,
  HOST_BYTES_TOLD,
  LOG_LINE_BYTES_MAX,
  METHOD_BYTES_MAX,
  TARGET_BYTES_TOLD,
} from "../../base/limits.ts";
import { Told, TOLD_OF_REQUESTS } from "../../plan/log_lines.ts";
import { didYouMean, quoted, type Reading, refused, shown, taken } from "./errors.ts";

/** One operation: a value, the texts around it, and the one instead of all three when there is no value. */
export interface LinePiece {
  readonly told: Told;
  readonly before: string;
  readonly behind: string;
  readonly none: string;
  /** Of a field: its name in lower case. */
  readonly argument: string;
}

/** A line, without the newline at its end. */
export interface LineTemplate {
  readonly json: boolean;
  readonly pieces: readonly LinePiece[];
}

/** The lines of requests, of plain connections and of sessions of datagrams. */
export interface AccessLines {
  readonly http: LineTemplate;
  readonly tcp: LineTemplate;
  readonly udp: LineTemplate;
}

export type AccessFormat = "text" | "json" | "combined";

/** What a configuration says of its lines; a template is good (`readLogTemplate`). */
export interface AccessWords {
  readonly format: AccessFormat;
  readonly template?: string | { readonly http?: string; readonly tcp?: string; readonly udp?: string };
}

const NAMES: Readonly<Record<string, Told>> = {
  time: Told.Time,
  "time.clf": Told.ClfTime,
  client: Told.Client,
  "client.address": Told.ClientAddress,
  "client.port": Told.ClientPort,
  proxy: Told.Proxy,
  protocol: Told.Protocol,
  method: Told.Method,
  target: Told.Target,
  path: Told.Path,
  host: Told.Host,
  request_line: Told.RequestLine,
  request_id: Told.RequestId,
  status: Told.Status,
  listener: Told.Listener,
  route: Told.Route,
  upstream: Told.Upstream,
  server: Told.Server,
  up_bytes: Told.UpBytes,
  down_bytes: Told.DownBytes,
  up_datagrams: Told.UpDatagrams,
  down_datagrams: Told.DownDatagrams,
  queue_ms: Told.QueueMs,
  connect_ms: Told.ConnectMs,
  first_byte_ms: Told.FirstByteMs,
  duration_ms: Told.DurationMs,
  tried: Told.Tried,
  reused: Told.Reused,
  reason: Told.Reason,
  type: Told.Type,
  errno: Told.Errno,
  detail: Told.Detail,
  tls: Told.Tls,
  cipher: Told.Cipher,
  sni: Told.Sni,
  alpn: Told.Alpn,
  resumed: Told.Resumed,
  client_cert: Told.ClientCertificate,
};
/** A field of the request's head. */
const FIELD_PREFIX = "request.";
const REQUEST_ID_FIELD = "x-request-id";

/** Values that JSON writes without quotes. */
const NUMBERS: ReadonlySet<Told> = new Set([
  Told.ClientPort,
  Told.Status,
  Told.UpBytes,
  Told.DownBytes,
  Told.UpDatagrams,
  Told.DownDatagrams,
  Told.QueueMs,
  Told.ConnectMs,
  Told.FirstByteMs,
  Told.DurationMs,
  Told.Tried,
]);

/** The names that a template may have, for what is said to people. */
export const LOG_NAMES: readonly string[] = [...Object.keys(NAMES), `${FIELD_PREFIX}NAME`];

export const TEMPLATE_CHARACTERS_MAX = 4_096;
/** What a name of the configuration is reckoned with. */
const NAME_BYTES = 256;
/** A value that no client has a say in. */
const VALUE_BYTES = 128;

const value = (told: Told, before: string, behind = "", none = `${before}-`): LinePiece => ({
  told,
  before,
  behind,
  none,
  argument: "",
});

const listenerText = value(Told.Listener, ' listener="', '"', ' listener=""');
const upstreamText = value(Told.Upstream, ' upstream="', '"', ' upstream=""');
const reasonText = [
  value(Told.Reason, " reason="),
  value(Told.Type, " type=", "", ""),
  value(Told.Errno, ' errno="', '"', ""),
  value(Told.Detail, ' detail="', '"', ""),
];

/** `format: text`; what is absent is left out where no template can say so. */
const TEXT: AccessLines = {
  http: {
    json: false,
    pieces: [
      value(Told.Time, "", "Z"),
      value(Told.Client, " "),
      value(Told.Request, ' "', '"', ' "-"'),
      value(Told.Host, " "),
      value(Told.Status, " "),
      value(Told.Server, " -> "),
      listenerText,
      value(Told.Route, ' route="', '"', ' route=""'),
      upstreamText,
      value(Told.UpBytes, " up="),
      value(Told.DownBytes, " down="),
      value(Told.QueueMs, " queue="),
      value(Told.ConnectMs, " connect="),
      value(Told.FirstByteMs, " first="),
      value(Told.DurationMs, " ms="),
      value(Told.Tried, " tried="),
      value(Told.Reused, " reused=1", "", " reused=0"),
      ...reasonText,
    ],
  },
  tcp: connectionText(),
  udp: connectionText(
    value(Told.UpDatagrams, " up_datagrams="),
    value(Told.DownDatagrams, " down_datagrams="),
  ),
};

function connectionText(...more: LinePiece[]): LineTemplate {
  return {
    json: false,
    pieces: [
      value(Told.Time, "", "Z"),
      value(Told.Client, " "),
      value(Told.Server, " -> "),
      listenerText,
      upstreamText,
      value(Told.UpBytes, " up="),
      value(Told.DownBytes, " down="),
      ...more,
      value(Told.DurationMs, " ms="),
      value(Told.Tried, " tried="),
      ...reasonText,
    ],
  };
}

const fields = (...names: string[]): string => `{${names.map((name) => `"${name}":{${name}}`).join()}}`;
const ENDING = ["reason", "type", "errno", "detail"];
const JSON_HTTP = fields(
  ...["time", "client", "method", "target", "host", "status", "server", "listener", "route", "upstream"],
  ...["up_bytes", "down_bytes", "queue_ms", "connect_ms", "first_byte_ms", "duration_ms", "tried", "reused"],
  ...ENDING,
);
const OF_CONNECTION = ["time", "client", "listener", "upstream", "server", "up_bytes", "down_bytes"];
const JSON_TCP = fields(...OF_CONNECTION, "duration_ms", ...ENDING, "tried");
const JSON_UDP = fields(
  ...OF_CONNECTION,
  ...["up_datagrams", "down_datagrams", "duration_ms", ...ENDING, "tried"],
);
/** The combined log format of Apache and nginx. */
const COMBINED = '{client.address} - - [{time.clf}] "{request_line}" {status} {down_bytes} ' +
  '"{request.referer}" "{request.user-agent}"';

/** What the built-in lines tell of PROXY headers and of TLS, if there is something to tell: nothing of a client that
 * came without. */
const BESIDES: readonly {
  readonly when: keyof TlsTold;
  readonly text: LinePiece;
  readonly json: LinePiece;
}[] = [
  {
    when: "proxies",
    text: value(Told.Proxy, " proxy=", "", ""),
    json: value(Told.Proxy, ',"proxy":"', '"', ""),
  },
  {
    when: "ends",
    text: value(Told.Tls, " tls=", "", ""),
    json: value(Told.Tls, ',"tls":"', '"', ""),
  },
  {
    when: "names",
    text: value(Told.Sni, ' sni="', '"', ""),
    json: value(Told.Sni, ',"sni":"', '"', ""),
  },
  {
    when: "asks",
    text: value(Told.ClientCertificate, ' client_cert="', '"', ""),
    json: value(Told.ClientCertificate, ',"client_cert":"', '"', ""),
  },
];

/** Whether proxies introduce clients, whether listeners end TLS, whether names are known by which clients ask, since TLS ends or is passed on by name,
 * and whether certificates of clients are asked for. */
export interface TlsTold {
  readonly proxies: boolean;
  readonly ends: boolean;
  readonly names: boolean;
  readonly asks: boolean;
}
const NO_TLS: TlsTold = { proxies: false, ends: false, names: false, asks: false };

/** The same line with what is told besides, before how it ended. */
function withTls({ json, pieces }: LineTemplate, tls: TlsTold): LineTemplate {
  const more = BESIDES.filter(({ when }) => tls[when]).map((told) => json ? told.json : told.text);
  const at = pieces.findIndex(({ told }) => told === Told.Reason);
  return { json, pieces: [...pieces.slice(0, at), ...more, ...pieces.slice(at)] };
}

/** The lines that a configuration asks for. Its own tell of TLS what they name, the built-in ones what there is. */
export function accessLines({ format, template }: AccessWords, tls = NO_TLS): AccessLines {
  const own = typeof template === "string"
    ? { http: template, tcp: template, udp: template }
    : template ?? {};
  const known = format === "json"
    ? { http: JSON_HTTP, tcp: JSON_TCP, udp: JSON_UDP }
    : { http: COMBINED, tcp: COMBINED, udp: COMBINED };
  const read = (name: keyof AccessLines, given: string | undefined): LineTemplate => {
    if (given === undefined && format === "text") return withTls(TEXT[name], tls);
    const reading = readLogTemplate(given ?? known[name]);
    if (!reading.ok) throw new Error(`log templates: one was not checked: ${reading.what}`);
    const told = given === undefined && format === "json" ? withTls(reading.value, tls) : reading.value;
    return name === "http" ? told : ofConnections(told, name);
  };
  return { http: read("http", own.http), tcp: read("tcp", own.tcp), udp: read("udp", own.udp ?? own.tcp) };
}

/** A line for plain connections, or sessions: what only requests have is absent. */
function ofConnections({ json, pieces }: LineTemplate, protocol: "tcp" | "udp"): LineTemplate {
  const literal = (text: string): LinePiece => value(Told.Literal, text, "", "");
  return {
    json,
    pieces: pieces.map((piece) => {
      if (piece.told === Told.Protocol) return literal(piece.before + protocol + piece.behind);
      return piece.told < TOLD_OF_REQUESTS ? piece : literal(piece.none);
    }),
  };
}

/** A part of a template: text, or a name. */
type Part = { readonly literal: string } | { readonly name: string };

/** Reads a template. */
export function readLogTemplate(text: string): Reading<LineTemplate> {
  const flaw = flawOf(text);
  if (flaw !== undefined) return flaw;
  const parts = partsOf(text);
  if (!parts.ok) return parts;
  const wrong = parts.value.map((part) => "name" in part ? nameFlaw(part.name) : undefined);
  const unknown = wrong.find((reading) => reading !== undefined);
  if (unknown !== undefined) return unknown;
  const filled = parts.value.map((part) => "name" in part ? "0" : part.literal).join("");
  const json = isObject(filled);
  if (!json && /^\s*\{\s*"/.test(filled)) {
    return refused(
      "begins like JSON, but is no object of JSON once its values are there",
      "mend its commas, quotes and braces",
    );
  }
  const template = { json, pieces: piecesOf(parts.value, json) };
  const bytes = mostBytes(template);
  if (bytes <= LOG_LINE_BYTES_MAX) return taken(template);
  return refused(
    `its lines may have ${bytes} bytes`,
    `leave out some of its names: at most ${LOG_LINE_BYTES_MAX} bytes are written`,
  );
}

function flawOf(text: string): Reading<never> | undefined {
  if (text === "") return refused("empty", `write a text with names such as {client} and {status}`);
  if (text.length > TEMPLATE_CHARACTERS_MAX) {
    return refused(`a template of ${text.length} characters`, `write at most ${TEMPLATE_CHARACTERS_MAX}`);
  }
  if (/[\r\n]/.test(text)) {
    return refused("has more than one line", 'write it in one line; in YAML, ">-" joins several');
  }
  if (!text.isWellFormed() || /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]/.test(text)) {
    return refused(`${quoted(text)} holds a control character`, "write printable characters");
  }
  return undefined;
}

/** Cuts a template at its {names}. "{{" is a brace, and so is the "}}" that belongs to one; every other brace
 * that begins no name is itself. */
function partsOf(text: string): Reading<Part[]> {
  const parts: Part[] = [];
  let literal = "", open = 0;
  for (let at = 0; at < text.length; at++) {
    if (text.startsWith("{{", at)) {
      literal += "{";
      open++;
      at++;
    } else if (open > 0 && text.startsWith("}}", at)) {
      literal += "}";
      open--;
      at++;
    } else if (text[at] === "{" && /[a-z]/.test(text[at + 1] ?? "")) {
      const end = text.indexOf("}", at);
      if (end === -1) {
        return refused(`${quoted(text.slice(at))} is not closed`, 'write "{{" for a brace');
      }
      if (literal !== "") parts.push({ literal });
      literal = "";
      parts.push({ name: text.slice(at + 1, end) });
      at = end;
    } else literal += text[at];
  }
  if (literal !== "") parts.push({ literal });
  return taken(parts);
}

function nameFlaw(name: string): Reading<never> | undefined {
  if (Object.hasOwn(NAMES, name)) return undefined;
  if (name.startsWith(FIELD_PREFIX)) {
    const field = name.slice(FIELD_PREFIX.length);
    if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(field)) return undefined;
    return refused(
      `${quoted(field)} is no field's name`,
      "write the name of a request's field, such as {request.user-agent}",
    );
  }
  const all = `the names are ${LOG_NAMES.map((known) => `{${known}}`).join(" ")}; "{{" is a brace`;
  return refused(`{${shown(name)}} stands for nothing`, didYouMean(name, Object.keys(NAMES), all));
}

function isObject(text: string): boolean {
  if (!/^\s*\{/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function piecesOf(parts: readonly Part[], json: boolean): LinePiece[] {
  const pieces: LinePiece[] = [];
  let before = "", inText = false;
  for (const part of parts) {
    if ("literal" in part) {
      before += part.literal;
      inText = (part.literal.match(/\\.|"/g) ?? []).reduce((is, mark) => mark === '"' ? !is : is, inText);
      continue;
    }
    const told = NAMES[part.name] ?? Told.RequestField;
    const argument = told === Told.RequestField
      ? part.name.slice(FIELD_PREFIX.length).toLowerCase()
      : told === Told.RequestId
      ? REQUEST_ID_FIELD
      : "";
    pieces.push({ told, argument, ...around(told, before, json, inText) });
    before = "";
  }
  if (before !== "") pieces.push(value(Told.Literal, before, "", ""));
  return pieces;
}

/** What stands around a value, and instead of it. */
function around(
  told: Told,
  before: string,
  json: boolean,
  inText: boolean,
): Pick<LinePiece, "before" | "behind" | "none"> {
  const zone = told === Told.Time ? "Z" : told === Told.ClfTime ? " +0000" : "";
  if (told === Told.Reused || told === Told.Resumed) {
    const [no, yes] = json ? ["false", "true"] : ["0", "1"];
    return { before: before + yes, behind: "", none: before + no };
  }
  if (!json || inText) return { before, behind: zone, none: `${before}-` };
  if (NUMBERS.has(told)) return { before, behind: "", none: `${before}null` };
  return { before: `${before}"`, behind: `${zone}"`, none: `${before}null` };
}

/** The longest that a line may become: a client cannot make its line so long that it is dropped. Names of the
 * configuration are reckoned with NAME_BYTES each. */
export function mostBytes({ json, pieces }: LineTemplate): number {
  const bytes = (text: string): number => new TextEncoder().encode(text).length;
  const escaped = json ? 6 : 4;
  return pieces.reduce((sum, { told, before, behind, none }) => {
    const around = Math.max(bytes(before) + bytes(behind), bytes(none));
    return sum + around + valueBytes(told, escaped);
  }, SLACK_BYTES);
}

/** The newline, and what a print needs behind it. */
const SLACK_BYTES = 8;

function valueBytes(told: Told, escaped: number): number {
  switch (told) {
    case Told.Literal:
    case Told.Reused:
    case Told.Resumed:
      return 0;
    case Told.Target:
    case Told.Path:
      return TARGET_BYTES_TOLD * escaped;
    case Told.Request:
    case Told.RequestLine:
      return METHOD_BYTES_MAX + TARGET_BYTES_TOLD * escaped + " HTTP/1.1 ".length;
    case Told.Host:
      return HOST_BYTES_TOLD; // nothing in it is ever escaped
    case Told.RequestField:
    case Told.RequestId:
    case Told.Sni:
    case Told.ClientCertificate:
      return FIELD_BYTES_TOLD * escaped;
    case Told.Listener:
    case Told.Route:
    case Told.Upstream:
    case Told.Server:
      return NAME_BYTES;
    default:
      return VALUE_BYTES;
  }
}
