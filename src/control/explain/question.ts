// What explain is asked: a connection or a request that somebody might make, from where. Reading touches
// neither network nor disk. The same for the command line and for /explain.
import { HEAD_BYTES_MAX } from "../../base/limits.ts";
import { type Address, addressText, type IpAddress, ipAddress, readTarget } from "../config/address.ts";
import { type ConfigProblem, quoted, type Reading, refused, shown, taken } from "../config/errors.ts";
import { readListen } from "../config/listen.ts";
import { ALPN_MAX } from "../config/tls_schema.ts";
import { readProtocol, readServerName } from "../config/tls_values.ts";

export interface ConnectionQuestion {
  readonly kind: "connection";
  /** As it was asked. */
  readonly text: string;
  /** Where the client connects to; a name, or all addresses, stands for whatever listens on the port. */
  readonly to: Address;
  readonly from: IpAddress;
  /** Whom the PROXY header tells that comes first; local: that of the proxy's own connection; null: none comes. */
  readonly proxied: IpAddress | "local" | null;
  /** Whether it is no connection, but the datagram that begins a session: udp://. */
  readonly datagram: boolean;
  /** Whether it is said to come by TLS: tls://. */
  readonly secure: boolean;
  /** The name that its client asks for by TLS, in lower case; null: none. */
  readonly sni: string | null;
  /** The protocols that its client offers by TLS (ALPN), in its order. */
  readonly alpn: readonly string[];
}

export interface RequestQuestion {
  readonly kind: "request";
  readonly text: string;
  readonly to: Address;
  readonly from: IpAddress;
  readonly proxied: IpAddress | "local" | null;
  /** Whether it comes by https://. */
  readonly secure: boolean;
  /** The name that its client asks for by TLS: the URL's, if nobody says otherwise. */
  readonly sni: string | null;
  readonly method: string;
  /** As the client would send it. */
  readonly target: string;
  /** Lines without their ends; Host is among them. */
  readonly fields: readonly string[];
}

export type Question = ConnectionQuestion | RequestQuestion;

/** A question as it was given. */
export interface Asked {
  /** An address or a URL. */
  readonly what: string;
  readonly method?: string;
  readonly from?: string;
  /** As `from`, or local. */
  readonly proxied?: string;
  /** A name to be asked for by TLS, in place of the one in `what`. */
  readonly sni?: string;
  /** `PROTOCOL[,PROTOCOL]...`: what is offered behind TLS. */
  readonly alpn?: string;
  /** `NAME: VALUE` each. */
  readonly headers: readonly string[];
}

/** Who asks when nobody is named. A port as the kernel might choose it. */
const FROM: IpAddress = { kind: "ip", family: 4, ip: "127.0.0.1", scope: "", port: 50_000 };
export const FORMS =
  "write tcp://HOST:PORT, udp://HOST:PORT, unix:/PATH or [METHOD] http://HOST[:PORT]/PATH; tls:// and https:// likewise";
/** What the parser would refuse for its length is refused by the parser; more is no question. */
const CHARACTERS_MAX = 4 * HEAD_BYTES_MAX;

/** Reads a question. @returns all that is wrong with it, otherwise */
export function readQuestion(asked: Asked): Question | { problems: ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  const take = <T>(where: string, reading: Reading<T>): T | undefined => {
    if (reading.ok) return reading.value;
    problems.push({ where: shown(where), what: reading.what, remedy: reading.remedy, severity: "error" });
    return undefined;
  };
  const { what, method, headers } = asked;
  const from = asked.from === undefined ? FROM : take("--from", readFrom(asked.from));
  const proxied = asked.proxied === undefined ? null : take("--proxied", readProxied(asked.proxied));
  const isRequest = /^[^:/]*:\/\//.test(what) && !/^(tcp|tls|udp):/.test(what);
  const sni = asked.sni === undefined ? undefined : take("--sni", readSni(asked.sni, what));
  const alpn = asked.alpn === undefined ? [] : take("--alpn", readProtocols(asked.alpn, isRequest));
  for (const header of headers) take("-H", readField(header));
  if (!isRequest) {
    const listen = take(what, readPlace(what));
    if (method !== undefined) {
      take(method, refused("a method without a URL", "write METHOD http://HOST[:PORT]/PATH"));
    }
    if (headers.length > 0) {
      take("-H", refused("a connection has no fields", "ask with a URL, or leave it out"));
    }
    return listen === undefined || from === undefined || proxied === undefined || problems.length > 0
      ? { problems }
      : {
        kind: "connection",
        text: what + (asked.sni === undefined ? "" : ` for ${asked.sni}`) +
          (asked.alpn === undefined ? "" : ` offering ${asked.alpn}`),
        to: listen,
        from,
        proxied,
        datagram: what.startsWith("udp:"),
        secure: what.startsWith("tls:"),
        sni: sni ?? (what.startsWith("tls:") ? nameOf(listen) : null),
        alpn: alpn!,
      };
  }
  const url = take(what, readUrl(what));
  if (method !== undefined) take(method, readMethod(method));
  const length = [what, ...headers].reduce((sum, text) => sum + text.length, 0);
  if (length > CHARACTERS_MAX) {
    take("", refused(`a request of ${length} characters`, `ask with at most ${CHARACTERS_MAX}`));
  }
  if (url === undefined || from === undefined || proxied === undefined || problems.length > 0) {
    return { problems };
  }
  const own = headers.some((header) => /^host *:/i.test(header)) ? [] : [`Host: ${url.authority}`];
  const verb = method ?? "GET";
  return {
    kind: "request",
    text: `${verb} ${what}`,
    to: url.to,
    from,
    proxied,
    secure: url.secure,
    sni: url.secure ? sni ?? nameOf(url.to) : null,
    method: verb,
    target: url.target,
    fields: [...own, ...headers],
  };
}

/** What a client asks for that connects there: no address is asked for (RFC 6066 section 3). */
function nameOf(to: Address): string | null {
  return to.kind === "name" ? to.name.toLowerCase() : null;
}

function readSni(text: string, what: string): Reading<string> {
  if (what.startsWith("udp:")) return refused("a name of TLS, and udp:// has none", "leave it out");
  if (/^http:/i.test(what)) return refused("a name of TLS, and no TLS", "ask with https://");
  const name = readServerName(text);
  if (!name.ok) return refused(`${quoted(text)} is no name`, "write a name such as shop.example");
  return /^[0-9.]+$|:/.test(name.value)
    ? refused(`${quoted(text)} is an address, which no client asks for by name`, "leave it out")
    : name;
}

function readProtocols(text: string, isRequest: boolean): Reading<string[]> {
  if (isRequest) {
    return refused("what a URL's clients offer is known", "leave it out, or ask with tls://HOST:PORT");
  }
  const protocols = text.split(",");
  if (protocols.length > ALPN_MAX) {
    return refused(`${protocols.length} protocols`, `give at most ${ALPN_MAX}`);
  }
  for (const protocol of protocols) {
    const reading = readProtocol(protocol);
    if (!reading.ok) return reading;
  }
  return taken(protocols);
}

function readPlace(text: string): Reading<Address> {
  if (!/^(tcp|tls|udp):\/\//.test(text) && !text.startsWith("unix:")) {
    return refused("neither an address nor a URL", FORMS);
  }
  const listen = readListen(text);
  return listen.ok ? taken(listen.value.address) : listen;
}

/** The parts of `http://HOST[:PORT]/PATH?QUERY`, or https://. Nothing but a fragment is taken off: what a server would be sent
 * is what is looked at. */
function readUrl(
  text: string,
): Reading<{ to: Address; secure: boolean; authority: string; target: string }> {
  const scheme = text.slice(0, text.indexOf("://")).toLowerCase(), secure = scheme === "https";
  if (!secure && scheme !== "http") return refused(`${quoted(scheme)} is no scheme to ask with`, FORMS);
  const whole = text.slice(`${scheme}://`.length).split("#", 1)[0];
  if (/[\r\n\0]/.test(whole)) return refused("holds a control character", "write it as %HH");
  const at = whole.search(/[/?]/);
  const authority = at === -1 ? whole : whole.slice(0, at), rest = at === -1 ? "" : whole.slice(at);
  if (/[@,;]/.test(authority)) {
    return refused(`${quoted(authority)} is no HOST:PORT`, `write ${scheme}://HOST[:PORT]/PATH`);
  }
  const place = readTarget(`${scheme}://${authority}`);
  if (!place.ok) return place;
  return taken({
    to: place.value.address,
    secure,
    authority,
    target: rest.startsWith("/") ? rest : `/${rest}`,
  });
}

function readMethod(text: string): Reading<string> {
  if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text)) return taken(text);
  return refused(`${quoted(text)} is no method`, "write a method such as GET");
}

function readField(text: string): Reading<string> {
  const form = "write -H 'NAME: VALUE'";
  if (/[\r\n\0]/.test(text)) return refused("more than one line", `${form} for each field`);
  return text.indexOf(":") > 0 ? taken(text) : refused(`${quoted(text)} is no field`, form);
}

/** `IP`, `IP:PORT`, `[IPv6]:PORT`. */
function readFrom(text: string): Reading<IpAddress> {
  const form = "write an IP address, with or without a port: 10.1.2.3:55555 or [2001:db8::1]:55555";
  const bare = ipAddress(text.replace(/^\[(.*)\]$/, "$1"), FROM.port);
  if (bare !== undefined) return taken(bare);
  const target = /[/;,]/.test(text) ? undefined : readTarget(text);
  if (target?.ok && target.value.address.kind === "ip") return taken(target.value.address);
  return refused(`${quoted(text)} is no address of a client`, form);
}

function readProxied(text: string): Reading<IpAddress | "local"> {
  if (text.toLowerCase() === "local") return taken("local");
  const reading = readFrom(text);
  return reading.ok ? reading : refused(reading.what, `${reading.remedy}, or local`);
}

/** Whom its listener takes for the client; null: whoever is behind a unix socket. */
export function clientOf({ to, from, proxied }: Question): IpAddress | null {
  if (proxied !== null && proxied !== "local") return proxied;
  return to.kind === "unix" ? null : from;
}

/** The bytes of a request as its client would send them. Characters beyond ASCII are UTF-8. */
export function requestBytes({ method, target, fields }: RequestQuestion): Uint8Array {
  return new TextEncoder().encode(`${method} ${target} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`);
}

/** A client as answers name it. */
export function fromText(question: Question): string {
  return question.to.kind === "unix" ? "unix" : addressText(question.from);
}
