// Addresses as people write them, and servers with theirs; listen.ts is about where to listen. Also their
// binary form, which the Plan and C know: see ffi/sluice.h for the record. Names are kept as names; whoever
// opens or connects resolves them. Reading touches neither network nor disk.
import { networkInterfaces } from "node:os";
import { isIPv4, isIPv6 } from "node:net";
import { domainToASCII } from "node:url";
import ipaddr from "ipaddr.js";
import { ADDRESS_BYTES } from "../../base/limits.ts";
import { didYouMean, NOT_SUPPORTED, quoted, type Reading, refused, shown, taken } from "./errors.ts";
import { type Range, readCount } from "./units.ts";

/** An IP address and a port. `ip` is canonical: four decimals, or RFC 5952 without brackets and scope. */
export interface IpAddress {
  readonly kind: "ip";
  readonly family: 4 | 6;
  readonly ip: string;
  /** The interface of a link-local address, by name or number; "" if none was given. */
  readonly scope: string;
  /** 0 to 65535; 0 asks the kernel to choose (listening only). */
  readonly port: number;
}

/** A host name (lower case) and a port. */
export interface NameAddress {
  readonly kind: "name";
  readonly name: string;
  readonly port: number;
}

/** The path of a unix socket, 1 to 107 bytes; a relative one is relative to the working directory. */
export interface UnixAddress {
  readonly kind: "unix";
  readonly path: string;
}

/** An address that needs no resolving. */
export type LiteralAddress = IpAddress | UnixAddress;
export type Address = LiteralAddress | NameAddress;

/** One server as it is written. */
export interface Target {
  readonly address: Address;
  /** Whether its scheme says so: https:// and tls://. */
  readonly tls: boolean;
  /** The path that goes before every request's, without a slash at its end; "" for none. */
  readonly base: string;
  /** Connections in use at once; 0: no limit. */
  readonly maxConnections: number;
  /** Its share beside the others'; 0: it gets nothing new. */
  readonly weight: number;
  /** Only for when none of the others is to be had. */
  readonly backup: boolean;
}

type Options = Pick<Target, "maxConnections" | "weight" | "backup">;

const TARGET_OPTIONS = ["max-connections", "weight", "backup"];
/** 0: nothing new goes there. */
export const SERVER_WEIGHT: Range = { min: 0, max: 256 };
/** Connections to one server at once. */
export const SERVER_CONNECTIONS: Range = { min: 1, max: 1_000_000 };

/** No address is longer; what is longer is refused before anything looks closer. */
const TEXT_CHARACTERS_MAX = 512;
/** sun_path without its closing NUL. */
const UNIX_PATH_BYTES_MAX = 107;
const NAME_CHARACTERS_MAX = 253;
const LABEL_CHARACTERS_MAX = 63;

const FAMILY_UNIX = 1;

/**
 * Splits `TARGET,TARGET`. No target is looked into. Fails for an empty list and for an empty place in
 * it (a comma too many).
 */
export function splitTargets(text: string): Reading<string[]> {
  if (text === "") return refused("no targets", "write HOST:PORT,HOST:PORT");
  const targets = text.split(",");
  if (!targets.includes("")) return taken(targets);
  return refused("a comma with no target beside it", "write HOST:PORT,HOST:PORT without spaces");
}

/** What stands before `://`. */
export function schemeOf(text: string): string | undefined {
  return /^([^:/?#[\]=,]*):\/\//.exec(text)?.[1];
}

/** What stands behind `://`, cut before the path, query or fragment. */
export function splitAuthority(text: string): { authority: string; rest: string } {
  const whole = text.slice(text.indexOf("://") + "://".length);
  const at = whole.search(/[/?#]/);
  return at === -1
    ? { authority: whole, rest: "" }
    : { authority: whole.slice(0, at), rest: whole.slice(at) };
}

const PORT_HTTP = 80;
const PORT_HTTPS = 443;

/** `HOST:PORT` of an authority of http:// or https://, which may go without a port. */
export function withPort(authority: string, scheme: string): string {
  return /^(\[[^[\]]*\]|[^:[\]]*[^:[\]0-9][^:[\]]*)$/.test(authority)
    ? `${authority}:${portOf(scheme)}`
    : authority;
}

/** The port that http:// and https:// have if none is written. */
export function portOf(scheme: string): number {
  return scheme === "https" ? PORT_HTTPS : PORT_HTTP;
}

/**
 * Reads one server: `10.0.0.1:9001`, `[::1]:9001`, `[fe80::1%eth0]:9001`, `name:9001`, `unix:/path`,
 * `http://name:9001/base` and `https://`, `tls://name:9001`, and behind it options: `;weight=3;backup`,
 * `;max-connections=500`. Ports 1 to 65535; 80 for http:// and 443 for https:// if there is none. @returns the
 * server, or what was expected.
 */
export function readTarget(text: string): Reading<Target> {
  const flaw = unreadable(text);
  if (flaw !== undefined) return flaw;
  if (text.includes(",") && !text.startsWith("unix:")) {
    return refused(
      `${quoted(text)} is more than one server`,
      `write [${shown(text.split(/, */).join(", "))}]`,
    );
  }
  const [bare, ...options] = text.split(";");
  const given = readTargetOptions(options, bare);
  if (!given.ok) return given;
  const target = readBareTarget(bare);
  return target.ok ? taken({ ...target.value, ...given.value }) : target;
}

function readBareTarget(text: string): Reading<Omit<Target, keyof Options>> {
  const scheme = text.startsWith("unix:") ? undefined : schemeOf(text);
  const rest = scheme === undefined ? text : text.slice(scheme.length + "://".length);
  if (scheme === "udp" && rest.startsWith("unix:")) {
    return refused(`datagrams to a unix socket are ${NOT_SUPPORTED}`, "write HOST:PORT");
  }
  if (scheme === "http" && rest.startsWith("unix:")) {
    return refused("http:// before a unix socket", `write ${shown(rest)}`);
  }
  if (scheme === "http" || scheme === "https") return readHttpTarget(text, scheme);
  if (scheme !== undefined && scheme !== "tls") {
    return refused(`${quoted(text)} has a scheme that no target has`, `write ${shown(rest)}`);
  }
  // A base path needs no scheme: 10.0.0.1:80/base.
  const slash = rest.startsWith("unix:") ? -1 : rest.indexOf("/");
  if (slash > 0 && /:[0-9]+$/.test(rest.slice(0, slash))) {
    if (scheme === undefined) return readHttpTarget(`http://${text}`, "http");
    return refused(
      `${quoted(rest.slice(slash))} after the port`,
      `write tls://${shown(rest.slice(0, slash))}`,
    );
  }
  const address = rest.startsWith("unix:")
    ? readUnixPath(rest.slice("unix:".length))
    : readHostPort(rest, "target");
  if (address.ok) return taken({ address: address.value, tls: scheme === "tls", base: "" });
  const meant = scheme === undefined ? undefined : /^write (\S+:\S+)$/.exec(address.remedy)?.[1];
  return meant === undefined ? address : refused(address.what, `write ${scheme}://${meant}`);
}

function readHttpTarget(text: string, scheme: "http" | "https"): Reading<Omit<Target, keyof Options>> {
  const { authority, rest } = splitAuthority(text);
  const address = readHostPort(withPort(authority, scheme), "target");
  if (!address.ok) return address;
  const extra = rest.search(/[?#]/);
  if (extra !== -1) {
    const remedy = `write ${scheme}://${shown(authority + rest.slice(0, extra))}`;
    return refused(`${quoted(rest.slice(extra))} after the base path`, remedy);
  }
  if (!/^[\x21-\x7e]*$/.test(rest)) {
    return refused(`${quoted(rest)} is not ASCII`, "write other characters as %HH, their bytes in UTF-8");
  }
  return taken({ address: address.value, tls: scheme === "https", base: rest.replace(/\/+$/, "") });
}

/** The options behind a target, `NAME=VALUE` or `backup`, each at most once. */
function readTargetOptions(options: readonly string[], bare: string): Reading<Options> {
  const given = new Map<string, number>();
  for (const option of options) {
    const [name, ...values] = option.split("=");
    if (!TARGET_OPTIONS.includes(name)) return refuseOption(name, bare);
    if (given.has(name)) return refused(`option ${quoted(name)} is given twice`, "leave one of them out");
    if (name === "backup") {
      if (values.length > 0) return refused('option "backup" takes no value', "write ;backup");
      given.set(name, 1);
      continue;
    }
    const reading = readCount(values.join("="), name === "weight" ? SERVER_WEIGHT : SERVER_CONNECTIONS);
    if (!reading.ok) return refused(`${name}: ${reading.what}`, reading.remedy);
    given.set(name, reading.value);
  }
  return taken({
    maxConnections: given.get("max-connections") ?? 0,
    weight: given.get("weight") ?? 1,
    backup: given.has("backup"),
  });
}

/**
 * Reads `HOST:PORT` of an `http://` address for the admin API: an IP literal or localhost, so that it
 * is known beforehand who can reach it; ports 0 to 65535.
 */
export function readAdminHostPort(text: string): Reading<IpAddress> {
  const flaw = unreadable(text);
  if (flaw !== undefined) return flaw;
  const address = readHostPort(text, "listen");
  if (!address.ok) return address;
  if (address.value.kind === "ip") return taken(address.value);
  return refused(`${quoted(address.value.name)} is a name`, "write an IP address or localhost");
}

/** Reads the path of a unix socket: 1 to 107 bytes without control characters and without `,` `;` `?`. */
export function readUnixPath(path: string): Reading<UnixAddress> {
  const flaw = unreadable(path);
  if (flaw !== undefined) return path === "" ? refused("unix: without a path", "write unix:/PATH") : flaw;
  if (path.startsWith("@")) {
    return refused(
      `abstract unix sockets are ${NOT_SUPPORTED}`,
      `write ./${shown(path)} for a file of that name`,
    );
  }
  if (/[,;?]/.test(path)) {
    return refused(`${quoted(path)} holds one of , ; ?`, "choose a path without these characters");
  }
  if (path.endsWith("/")) return refused(`${quoted(path)} is a directory`, "write the path of a socket");
  const bytes = new TextEncoder().encode(path).length;
  if (bytes <= UNIX_PATH_BYTES_MAX) return taken({ kind: "unix", path });
  return refused(
    `a path of ${bytes} bytes`,
    `unix sockets take at most ${UNIX_PATH_BYTES_MAX} bytes; choose a shorter one`,
  );
}

/**
 * The address of an IP as text (a resolver's answer; `fe80::1%eth0` keeps its scope) and a port of 0
 * to 65535. IPv4-mapped IPv6 becomes IPv4. @returns undefined if `ip` is no IP address.
 */
export function ipAddress(ip: string, port: number): IpAddress | undefined {
  if (isIPv4(ip)) return { kind: "ip", family: 4, ip, scope: "", port };
  const [bare, scope = ""] = ip.split("%", 2);
  if (!isIPv6(bare)) return undefined;
  const address = ipaddr.IPv6.parse(bare);
  if (address.isIPv4MappedAddress()) {
    return { kind: "ip", family: 4, ip: address.toIPv4Address().toString(), scope: "", port };
  }
  return { kind: "ip", family: 6, ip: address.toRFC5952String(), scope, port };
}

/** Whether only this machine can reach the address: 127.0.0.0/8, ::1, any unix socket. */
export function isLoopback(address: LiteralAddress): boolean {
  if (address.kind === "unix") return true;
  return address.family === 4 ? address.ip.startsWith("127.") : address.ip === "::1";
}

/** Whether the address stands for all addresses of this machine: 0.0.0.0 and ::. */
export function isWildcard(address: Address): boolean {
  return address.kind === "ip" && (address.ip === "0.0.0.0" || address.ip === "::");
}

/** The address as `readTarget` reads it: `10.0.0.1:80`, `[fe80::1%eth0]:80`, `name:80`, `unix:/path`. */
export function addressText(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  if (address.kind === "name") return `${address.name}:${address.port}`;
  if (address.family === 4) return `${address.ip}:${address.port}`;
  return `[${address.ip}${address.scope === "" ? "" : "%" + address.scope}]:${address.port}`;
}

/** A server as it is configured, its base path behind its address. */
export function targetText({ address, base }: Pick<Target, "address" | "base">): string {
  return addressText(address) + base;
}

/** What the Host of a request for that server says (RFC 9110 section 7.2): without the port of its scheme, without
 * the scope, which is this machine's own matter; localhost for a unix socket. */
export function authorityOf(address: Address, tls: boolean): string {
  if (address.kind === "unix") return "localhost";
  const port = address.port === portOf(tls ? "https" : "http") ? "" : `:${address.port}`;
  if (address.kind === "name") return address.name.replace(/\.$/, "") + port;
  return (address.family === 4 ? address.ip : `[${address.ip}]`) + port;
}

/**
 * The binary form of an address, 112 bytes: [0] family (4, 6, 1 = unix), [1] length of a unix path,
 * [2..3] port (big endian), [4..19] IP bytes (IPv4 in the first four), [20..23] scope id (little
 * endian); a unix path has its bytes from [4] on.
 * @throws Error if the address names an interface that this machine does not have.
 */
export function encodeAddress(address: LiteralAddress): Uint8Array {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  if (address.kind === "unix") {
    const path = new TextEncoder().encode(address.path);
    if (path.length > UNIX_PATH_BYTES_MAX) throw new Error("a unix socket's path is longer than 107 bytes");
    bytes[0] = FAMILY_UNIX;
    bytes[1] = path.length;
    bytes.set(path, 4);
    return bytes;
  }
  bytes[0] = address.family;
  bytes[2] = address.port >> 8;
  bytes[3] = address.port;
  // Four numbers in the form that reading gave them: a large configuration has a hundred thousand of these.
  if (address.family === 4) address.ip.split(".").forEach((number, at) => bytes[4 + at] = Number(number));
  else bytes.set(ipaddr.parse(address.ip).toByteArray(), 4);
  if (address.scope !== "") new DataView(bytes.buffer).setUint32(20, scopeId(address.scope), true);
  return bytes;
}

/** The address of the record at `from`; undefined where it names none that could be listened at: a unix socket
 * without a path, or with one that is no UTF-8. A scope is the interface's number. */
export function decodeAddress(bytes: Uint8Array, from: number): LiteralAddress | undefined {
  const family = bytes[from];
  if (family === FAMILY_UNIX) {
    const path = bytes.slice(from + 4, from + 4 + bytes[from + 1]);
    try {
      return path.length === 0
        ? undefined
        : { kind: "unix", path: new TextDecoder("utf-8", { fatal: true }).decode(path) };
    } catch {
      return undefined;
    }
  }
  if (family !== 4 && family !== 6) return undefined;
  const port = (bytes[from + 2] << 8) | bytes[from + 3];
  if (family === 4) return { kind: "ip", family, ip: decimals(bytes, from + 4), scope: "", port };
  const ip = new ipaddr.IPv6(Array.from(bytes.subarray(from + 4, from + 20))).toRFC5952String();
  const scope = new DataView(bytes.buffer, bytes.byteOffset + from + 20, 4).getUint32(0, true);
  return { kind: "ip", family, ip, scope: scope === 0 ? "" : String(scope), port };
}

/**
 * The text of the binary address at `from`: `10.0.0.1:80`, `[::1]:80`, `[fe80::1%2]:80` (scopes as
 * numbers), `unix:/path` (bytes that are not printable as `\xHH`), `unknown` for family 0. IPv4-mapped
 * IPv6 is printed as IPv4. A record without room for a path (24 bytes) is read the same way.
 */
export function formatAddress(bytes: Uint8Array, from: number): string {
  const family = bytes[from];
  if (family === FAMILY_UNIX) {
    const path = bytes.slice(from + 4, from + 4 + bytes[from + 1]);
    return "unix:" + shown(new TextDecoder().decode(path), ADDRESS_BYTES);
  }
  const port = (bytes[from + 2] << 8) | bytes[from + 3];
  if (family === 4) return `${decimals(bytes, from + 4)}:${port}`;
  if (family !== 6) return "unknown";
  const ip = Array.from(bytes.subarray(from + 4, from + 20));
  const mapped = ip.slice(0, 10).every((byte) => byte === 0) && ip[10] === 0xff && ip[11] === 0xff;
  if (mapped) return `${decimals(bytes, from + 16)}:${port}`;
  const scope = new DataView(bytes.buffer, bytes.byteOffset + from + 20, 4).getUint32(0, true);
  return `[${new ipaddr.IPv6(ip).toRFC5952String()}${scope === 0 ? "" : "%" + scope}]:${port}`;
}

function decimals(bytes: Uint8Array, from: number): string {
  return `${bytes[from]}.${bytes[from + 1]}.${bytes[from + 2]}.${bytes[from + 3]}`;
}

/** The kernel's number of an interface, given by name or number; 0 for "". */
function scopeId(scope: string): number {
  if (scope === "") return 0;
  if (/^[0-9]+$/.test(scope)) return Number(scope);
  for (const entry of networkInterfaces()[scope] ?? []) {
    if (entry.family === "IPv6" && entry.scopeid) return entry.scopeid;
  }
  throw new Error(`no network interface ${quoted(scope)} with a link-local IPv6 address`);
}

/** What makes any address unreadable, whatever its kind. */
export function unreadable(text: string): Reading<never> | undefined {
  if (text === "") return refused("empty", "write HOST:PORT or unix:/PATH");
  if (text.length > TEXT_CHARACTERS_MAX) {
    return refused(`an address of ${text.length} characters`, `write at most ${TEXT_CHARACTERS_MAX}`);
  }
  const end = /^(\S+),\s*$/.exec(text)?.[1];
  if (end !== undefined && !end.includes(",")) {
    return refused(`${quoted(text)} ends with a comma`, `write ${shown(end)}`);
  }
  if (/^\S+#/.test(text)) {
    const before = text.slice(0, text.indexOf("#"));
    return refused(
      `${quoted(text)} holds "#"`,
      `write ${shown(before)}, with a space before the "#" of a comment`,
    );
  }
  const dashes = /^-(?:[0-9[]\S*:[0-9]+|\S+\s)/.exec(text);
  if (dashes !== null) {
    return refused(`${quoted(text)} begins with "-"`, "write a space behind the dash of an entry of a list");
  }
  if (/\s/.test(text)) {
    const parts = text.trim().split(/[\s,]+/), isMany = parts.every((part) => /:[0-9]+$|^unix:/.test(part));
    return isMany && parts.length > 1
      ? refused(`${quoted(text)} is more than one address`, `write [${shown(parts.join(", "))}]`)
      : refused(`${quoted(text)} holds whitespace`, "write addresses without spaces");
  }
  if (/[\p{Cc}\p{Cf}\p{Cs}]/u.test(text)) {
    return refused(`${quoted(text)} holds a control character`, "write addresses in printable characters");
  }
  return undefined;
}

function refuseOption(name: string, bare: string): Reading<never> {
  return refused(
    `unknown option ${quoted(name)}`,
    didYouMean(name, TARGET_OPTIONS, `write ${shown(bare)}`),
  );
}

type Use = "listen" | "target";

/** Reads `HOST:PORT`; to listen at, the host may be left out and the port be 0. */
export function readHostPort(text: string, use: Use): Reading<IpAddress | NameAddress> {
  if (!/^[\x21-\x7e]*$/.test(text)) {
    const ascii = domainToASCII(text.replace(/:[0-9]*$/, "")), port = /:[0-9]*$/.exec(text)?.[0] ?? "";
    const remedy = ascii === ""
      ? "write an international name in its xn-- form"
      : `write ${shown(ascii + port)}`;
    return refused(`${quoted(text)} is not ASCII`, remedy);
  }
  const example = use === "listen" ? "127.0.0.1:9000" : "10.0.0.1:9001";
  if (text.startsWith("[")) return readBracketed(text, use);
  const colons = text.split(":").length - 1;
  if (colons === 0) {
    if (/^[0-9]+$/.test(text)) {
      const remedy = use === "listen" ? `write :${shown(text)}` : `write 127.0.0.1:${shown(text)}`;
      return refused(`${quoted(text)} is a port without a host`, remedy);
    }
    return refused(
      `${quoted(text)} has no port`,
      text === "" ? `write ${example}` : `write ${shown(text)}:PORT`,
    );
  }
  if (colons > 1) return refuseBareColons(text);
  const host = text.slice(0, text.indexOf(":"));
  const port = readPort(text, use);
  if (!port.ok) return port;
  if (host === "") {
    if (use === "listen") return taken({ kind: "ip", family: 6, ip: "::", scope: "", port: port.value });
    return refused(`${quoted(text)} has no host`, `write 127.0.0.1:${port.value}`);
  }
  if (isIPv4(host)) return taken({ kind: "ip", family: 4, ip: host, scope: "", port: port.value });
  return readName(host, port.value, use);
}

/** `[IPv6]:PORT`, `[IPv6%SCOPE]:PORT`. */
function readBracketed(text: string, use: Use): Reading<IpAddress> {
  const match = /^\[([^[\]%]*)(%[^[\]]*)?\](.*)$/.exec(text);
  if (match === null) return refused(`${quoted(text)} has an unmatched bracket`, "write [IPV6]:PORT");
  const [, ip, scopeText = "", rest] = match;
  if (!isIPv6(ip)) {
    const remedy = isIPv4(ip) ? `write ${ip}${shown(rest)}` : "write [IPV6]:PORT, such as [::1]:9000";
    return refused(`${quoted(ip)} is no IPv6 address`, remedy);
  }
  if (!rest.startsWith(":")) {
    return refused(`${quoted(text)} has no port`, `write [${ip}${shown(scopeText)}]:PORT`);
  }
  const port = readPort(rest, use);
  if (!port.ok) return port;
  const address = ipAddress(ip, port.value);
  if (address === undefined) return refused(`${quoted(ip)} is no IPv6 address`, "write [IPV6]:PORT");
  if (scopeText === "") return taken(address);
  const scope = scopeText.slice(1);
  if (address.family === 4) {
    return refused("an IPv4 address takes no scope", `write ${address.ip}:${port.value}`);
  }
  const number = /^[0-9]+$/.test(scope) ? Number(scope) : 1;
  if (!/^[A-Za-z0-9_.@:-]{1,15}$/.test(scope) || number < 1 || number > 0xffff_ffff) {
    return refused(
      `${quoted(scope)} is no scope`,
      "write an interface's name or number: [fe80::1%eth0]:PORT",
    );
  }
  return taken({ ...address, scope });
}

function refuseBareColons(text: string): Reading<never> {
  const lastColon = text.lastIndexOf(":");
  const host = text.slice(0, lastColon);
  const port = text.slice(lastColon + 1);
  if (isIPv6(host) && /^[0-9]{1,5}$/.test(port)) {
    return refused(`${quoted(text)} is an IPv6 address without brackets`, `write [${host}]:${port}`);
  }
  if (isIPv6(text)) {
    return refused(`${quoted(text)} is an IPv6 address without a port`, `write [${text}]:PORT`);
  }
  return refused(`${quoted(text)} has too many colons`, "write HOST:PORT or [IPV6]:PORT");
}

/** The port at the end of `text`, after its last colon. */
function readPort(text: string, use: Use): Reading<number> {
  const digits = text.slice(text.lastIndexOf(":") + 1);
  const min = use === "listen" ? 0 : 1;
  const expected = `write a port from ${min} to 65535`;
  if (digits === "") return refused(`${quoted(text)} has no port after the colon`, expected);
  if (!/^[0-9]+$/.test(digits)) return refused(`${quoted(digits)} is no port`, expected);
  if (digits.length > 1 && digits.startsWith("0")) {
    return refused(`port ${quoted(digits)} begins with 0`, `write ${digits.replace(/^0+(?=.)/, "")}`);
  }
  const port = Number(digits);
  if (port < min || port > 65_535) return refused(`port ${quoted(digits)} is out of range`, expected);
  return taken(port);
}

/** A host name by RFC 1123, underscores allowed. Its last label is not all digits: that is a bad IPv4 address. */
function readName(host: string, port: number, use: Use): Reading<IpAddress | NameAddress> {
  const name = host.toLowerCase();
  const labels = name.replace(/\.$/, "").split(".");
  if (/^([0-9]+|0x[0-9a-f]*)$/.test(labels[labels.length - 1])) {
    return refused(
      `${quoted(host)} is no IPv4 address`,
      "write four numbers from 0 to 255, such as 10.0.0.1",
    );
  }
  if (name.length > NAME_CHARACTERS_MAX) {
    return refused(`a name of ${name.length} characters`, `names have at most ${NAME_CHARACTERS_MAX}`);
  }
  for (const label of labels) {
    const legal = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/.test(label) && label.length <= LABEL_CHARACTERS_MAX;
    if (!legal) {
      const remedy = host === "*" && use === "listen"
        ? `write :${port} for all addresses`
        : "write letters, digits, hyphens and dots";
      return refused(`${quoted(host)} is no host name`, remedy);
    }
  }
  const isLocal = use === "listen" && name === "localhost";
  if (isLocal) return taken({ kind: "ip", family: 4, ip: "127.0.0.1", scope: "", port });
  return taken({ kind: "name", name, port });
}
