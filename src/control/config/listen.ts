// Where to listen, as people write it: a scheme, which is a protocol with or without TLS, and an address.
// Reading touches neither network nor disk.
import {
  type Address,
  portOf,
  readHostPort,
  readUnixPath,
  schemeOf,
  splitAuthority,
  unreadable,
  withPort,
} from "./address.ts";
import { didYouMean, NOT_SUPPORTED, quoted, type Reading, refused, shown, taken } from "./errors.ts";

/** What is spoken behind a scheme. */
interface Scheme {
  readonly protocol: "tcp" | "http" | "udp";
  readonly tls: boolean;
}

/** Where a listener listens. */
export interface Listen extends Scheme {
  /** As the user wrote it. */
  readonly text: string;
  /** `:PORT` and `[::]:PORT` are the IPv6 wildcard, which takes IPv4 too. */
  readonly address: Address;
}

const SCHEMES: Readonly<Record<string, Scheme>> = {
  tcp: { protocol: "tcp", tls: false },
  http: { protocol: "http", tls: false },
  tls: { protocol: "tcp", tls: true },
  https: { protocol: "http", tls: true },
  udp: { protocol: "udp", tls: false },
};
const NAMES = Object.keys(SCHEMES);
const LISTEN_FORMS = "write http://:PORT or tcp://:PORT";
const ALL_FORMS = "write tcp://:PORT, tls://:PORT, http://:PORT, https://:PORT, udp://:PORT or unix:/PATH";
const UNIX_NAMES = NAMES.filter((name) => name !== "udp");
const UNIX_FORMS = `write ${
  UNIX_NAMES.slice(0, -1).map((name) => `?protocol=${name}`).join(", ")
} or ?protocol=${UNIX_NAMES.at(-1)}`;

/**
 * Splits `LISTEN=TARGETS` at the first `=` that is not part of `?protocol=`. Neither half is looked
 * into. Fails if there is no such `=`, or nothing before or after it.
 */
export function splitListenTargets(text: string): Reading<{ listen: string; targets: string }> {
  let at = text.indexOf("=");
  while (at !== -1 && text.slice(0, at).endsWith("?protocol")) at = text.indexOf("=", at + 1);
  if (at === -1) return refused("no TARGETS", `write ${shown(text)}=HOST:PORT,HOST:PORT`);
  const listen = text.slice(0, at);
  const targets = text.slice(at + 1);
  if (listen === "") return refused("no LISTEN before the =", "write tcp://:PORT=HOST:PORT");
  if (targets === "") return refused("no TARGETS after the =", `write ${shown(listen)}=HOST:PORT,HOST:PORT`);
  return taken({ listen, targets });
}

/**
 * Reads where to listen: `tcp://:9000` (all addresses, IPv4 and IPv6), `tcp://127.0.0.1:9000`,
 * `tcp://[::1]:9000`, `tcp://localhost:9000` (127.0.0.1), `tcp://NAME:9000`, `unix:/path` and
 * `unix:/path?protocol=tcp`; `tls://` and, but for unix sockets, `udp://` likewise; `http://` and `https://` too, with port 80 and 443 if there is
 * none, but without a name: that is for routes to match. Ports 0 to 65535; with 0 the kernel chooses.
 * @returns the address, or what was expected.
 */
export function readListen(text: string): Reading<Listen> {
  const flaw = unreadable(text);
  if (flaw !== undefined) return flaw;
  if (text.startsWith("unix:")) return readUnixListen(text);
  const name = schemeOf(text);
  if (name === undefined) {
    return refused(`${quoted(text)} has no scheme`, withScheme(text));
  }
  if (!Object.hasOwn(SCHEMES, name)) {
    return refused(
      `unknown scheme ${quoted(name)}`,
      didYouMean(name, NAMES, ALL_FORMS),
    );
  }
  const scheme = SCHEMES[name], behind = text.slice(`${name}://`.length);
  if (behind.startsWith("unix:")) return refuseScheme(name, behind);
  if (scheme.protocol === "http") return readHttpListen(text, name);
  const { authority, rest } = splitAuthority(text);
  if (rest !== "") return refused(`${quoted(rest)} after the port`, `write ${name}://${shown(authority)}`);
  if (/^[0-9]+$/.test(authority)) {
    return refused(`${quoted(authority)} is a port without a host`, `write ${name}://:${authority}`);
  }
  const address = readHostPort(authority, "listen");
  return address.ok ? taken({ text, ...scheme, address: address.value }) : address;
}

/** A unix socket says its protocol behind its path. */
function refuseScheme(name: string, unix: string): Reading<Listen> {
  if (name === "udp") return refuseUnixDatagrams();
  const [path] = unix.split("?", 1);
  return refused(`${name}:// before a unix socket`, `write ${shown(path)}?protocol=${name}`);
}

function refuseUnixDatagrams(): Reading<Listen> {
  return refused(
    `datagrams by a unix socket are ${NOT_SUPPORTED}`,
    "write udp://:PORT, or for connections unix:/PATH",
  );
}

/** What was meant by an address without a scheme: those that could be read. */
function withScheme(text: string): string {
  const mistyped = /^(https?|tcp|tls|udp)(?::\/|\/\/)([^/].*)$/.exec(text);
  if (mistyped !== null) return `write ${mistyped[1]}://${shown(mistyped[2])}`;
  const place = /^[0-9]+$/.test(text) ? `:${text}` : text;
  const names = place.endsWith(":443")
    ? ["https", "tls"]
    : place.endsWith(":53")
    ? ["udp", "tcp"]
    : ["http", "tcp"];
  const forms = names.map((name) => `${name}://${place}`);
  const meant = place.includes(":") ? forms.filter((form) => readListen(form).ok) : [];
  return meant.length > 0 ? `write ${meant.map((form) => shown(form)).join(" or ")}` : LISTEN_FORMS;
}

function readHttpListen(text: string, name: string): Reading<Listen> {
  const { authority, rest } = splitAuthority(text);
  if (rest !== "" && rest !== "/") {
    return refused(
      `${quoted(rest)} after the port`,
      `write ${name}://${shown(authority)} and match the path in a route`,
    );
  }
  const address = readHostPort(withPort(authority, name), "listen");
  if (!address.ok) return address;
  if (address.value.kind === "ip") return taken({ text, ...SCHEMES[name], address: address.value });
  return refused(
    `${quoted(address.value.name)} is a name, which is no address to listen on`,
    `write ${name}://:${address.value.port} and match the host in a route`,
  );
}

/**
 * Takes `http://HOST:PORT/PATH` of the command line apart, or `https://`: where to bind, and the host and path
 * that its requests have. A name is a host to match, on all addresses of the port; an IP address or localhost
 * is where to bind. What cannot be read is left in `bind` for `readListen` to refuse.
 */
export function splitHttpListen(text: string): { bind: string; host?: string; path?: string } {
  const name = schemeOf(text);
  if (name !== "http" && name !== "https") return { bind: text };
  const { authority, rest } = splitAuthority(text);
  const path = rest === "" || rest === "/" ? {} : { path: rest };
  const [, host, port] = /^([^:[\]]*)(:[^:]*)?$/.exec(authority) ?? [];
  const isName = host !== undefined && /^(\*\.)?[a-z0-9_.-]*[a-z][a-z0-9_.-]*$/i.test(host) &&
    !/(^|\.)([0-9]+|0x[0-9a-f]*)$/i.test(host) && host.toLowerCase() !== "localhost";
  return isName
    ? { bind: `${name}://${port ?? `:${portOf(name)}`}`, host, ...path }
    : { bind: `${name}://${authority}`, ...path };
}

function readUnixListen(text: string): Reading<Listen> {
  const [path, ...queries] = text.slice("unix:".length).split("?");
  if (queries.length > 1) return refused("more than one ?", "write unix:/PATH?protocol=tcp");
  let name = "tcp";
  if (queries.length === 1) {
    const [key, protocol = ""] = queries[0].split("=", 2);
    if (key !== "protocol" || queries[0].split("=").length > 2) {
      return refused(`unknown option ${quoted(queries[0])}`, `write unix:${shown(path)}?protocol=tcp`);
    }
    if (protocol === "udp") {
      return refuseUnixDatagrams();
    }
    if (!Object.hasOwn(SCHEMES, protocol)) {
      return refused(`unknown protocol ${quoted(protocol)}`, UNIX_FORMS);
    }
    name = protocol;
  }
  const address = readUnixPath(path);
  return address.ok ? taken({ text, ...SCHEMES[name], address: address.value }) : address;
}
