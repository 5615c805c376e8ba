// What goes with the protocol of a listener, and with those that use an upstream. A key that would change
// nothing is refused: whoever wrote it expects something of it.
import { addressText } from "./address.ts";
import { BANDWIDTHS } from "./bandwidth_schema.ts";
import { checkBalance } from "./balance_checks.ts";
import { NOT_SUPPORTED, quoted } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import { ledToBy, upstreamsOf } from "./leads.ts";
import type { Config } from "./schema.ts";
import { upstreamSocket } from "./socket_schema.ts";

const LISTENER_HTTP = ["routes", "trust", "forwarded", "proxy-status", "error-pages"];
const LISTENER_TIMEOUTS_HTTP = ["request-head", "body-stall", "exchange"];
const UPSTREAM_TIMEOUTS_HTTP = ["answer"];
/** Of silence: where datagrams are, sessions have one of their own. */
const LISTENER_SILENCES = ["tunnel-idle", "client-idle"];
const LISTENER_TIMEOUTS_STREAM = ["write-stall", "half-closed"];
const UPSTREAM_SILENCES = ["server-idle"];
const UPSTREAM_TIMEOUTS_STREAM = ["connect", "write-stall", "queue"];
/** All of it but the interface. */
const UPSTREAM_SOCKET_STREAM = Object.keys(upstreamSocket.shape).filter((key) => key !== "interface");
const FOR_HTTP = "only http:// has it";
const FOR_UDP = "only udp:// has it";
const FOR_STREAMS = "udp:// does not have it";
const SESSIONS = "write udp: { idle: DURATION } in the listener, or --udp-idle DURATION";
const NO_TLS = "which has no TLS";

type Protocol = Config["listeners"][string]["bind"][number]["protocol"];

/** The listeners that use an upstream, one of each protocol. */
type Users = ReadonlyMap<Protocol, string>;

/** `raw` is what `config` was made of: it tells what somebody wrote. */
export function checkProtocols(config: Config, raw: unknown): Finding[] {
  const users = usersOf(config);
  return [
    ...Object.entries(config.listeners).flatMap(([name, listener]) => ofListener(name, listener, raw)),
    ...Object.entries(config.upstreams).flatMap(([name, upstream]) =>
      ofUpstream(name, upstream, users.get(name), raw)
    ),
  ];
}

function error(path: Path, what: string, remedy: string): Finding {
  return { path, what, remedy, severity: "error" };
}

/** The findings for those of `keys` that somebody wrote. */
function written(
  raw: unknown,
  base: Path,
  keys: readonly string[],
  what: string,
  remedy = "leave it out",
): Finding[] {
  return keys.map((key) => [...base, key]).filter((path) => valueAt(raw, path) !== undefined)
    .map((path) => error(path, what, remedy));
}

function ofListener(name: string, listener: Config["listeners"][string], raw: unknown): Finding[] {
  const path = ["listeners", name];
  const protocols = new Set(listener.bind.map(({ protocol }) => protocol));
  if (protocols.size > 1) {
    const schemes = (["tcp", "http", "udp"] as const).filter((protocol) => protocols.has(protocol)).map((
      protocol,
    ) => schemeOf(listener.bind.find((bind) => bind.protocol === protocol)!));
    const all = `${schemes.slice(0, -1).join(", ")} and ${schemes.at(-1)}`;
    return [error([...path, "bind"], `${all} in one listener`, "write a listener for each")];
  }
  if (protocols.has("udp")) return ofDatagrams(path, listener, raw);
  const forUdp = written(raw, path, ["udp"], FOR_UDP);
  if (protocols.has("http")) {
    if (listener.to !== undefined || listener.routes.length > 0 || isRedirectAlone(listener)) return forUdp;
    return [
      ...forUdp,
      error([...path, "to"], "nothing becomes of the requests", "write UPSTREAM, or routes"),
    ];
  }
  return [
    ...forUdp,
    ...(listener.to === undefined && listener.sni === undefined
      ? [error([...path, "to"], "missing", "write UPSTREAM")]
      : []),
    ...written(raw, path, LISTENER_HTTP, FOR_HTTP),
    ...written(raw, [...path, "timeouts"], LISTENER_TIMEOUTS_HTTP, FOR_HTTP),
  ];
}

/** TLS that nothing here has is tls_checks.ts's. */
function ofDatagrams(path: Path, listener: Config["listeners"][string], raw: unknown): Finding[] {
  const timeouts = [...path, "timeouts"];
  return [
    ...(listener.to === undefined ? [error([...path, "to"], "missing", "write UPSTREAM")] : []),
    ...written(raw, path, LISTENER_HTTP, FOR_HTTP),
    ...written(raw, timeouts, LISTENER_TIMEOUTS_HTTP, FOR_HTTP),
    ...written(raw, path, ["socket"], FOR_STREAMS),
    ...written(raw, timeouts, LISTENER_SILENCES, FOR_STREAMS, SESSIONS),
    ...written(raw, timeouts, LISTENER_TIMEOUTS_STREAM, FOR_STREAMS),
    ...written(
      raw,
      [...path, "limits"],
      Object.keys(BANDWIDTHS),
      `for udp:// it is ${NOT_SUPPORTED}`,
      "leave it out; limits.connections, connections-per-source and new-connections count sessions",
    ),
    ...written(raw, [...path, "limits"], ["refuse"], "udp:// has nothing to end: datagrams are dropped"),
  ];
}

/** A listener that has nothing but http://, and answers by sending its clients to https://. */
export function isRedirectAlone(listener: Config["listeners"][string]): boolean {
  return listener["redirect-to-https"] &&
    listener.bind.every(({ protocol, tls }) => protocol === "http" && !tls);
}

/** As an address to listen on begins. */
export function schemeOf({ protocol, tls }: Config["listeners"][string]["bind"][number]): string {
  if (protocol === "udp") return "udp://";
  return protocol === "http" ? (tls ? "https://" : "http://") : tls ? "tls://" : "tcp://";
}

/** Timeouts that hold without HTTP where they are set, and whose defaults are for HTTP: where nobody has set them they
 * must not be written, or they would. */
export function silentDefaults({ listeners, upstreams }: Pick<Config, "listeners" | "upstreams">): Path[] {
  const tcp = Object.entries(listeners).filter(([, { bind }]) => bind[0].protocol === "tcp");
  const used = ledToBy(Object.values(listeners), "tcp");
  return [
    ...tcp.map(([name]) => ["listeners", name, "timeouts", "client-idle"]),
    ...Object.keys(upstreams).filter((name) => used.has(name)).map((
      name,
    ) => ["upstreams", name, "timeouts", "server-idle"]),
  ];
}

/** A server as somebody wrote it. */
export function serverText(raw: unknown, upstream: string, at: number): string {
  const servers = ["upstreams", upstream, "servers"];
  return String(
    valueAt(raw, [...servers, at, "address"]) ?? valueAt(raw, [...servers, at]) ?? valueAt(raw, servers),
  );
}

/** By upstream. */
function usersOf({ listeners }: Config): Map<string, Users> {
  const users = new Map<string, Map<Protocol, string>>();
  for (const [name, listener] of Object.entries(listeners)) {
    for (const upstream of upstreamsOf(listener)) {
      const known = users.get(upstream) ?? new Map();
      users.set(upstream, known.set(listener.bind[0].protocol, name));
    }
  }
  return users;
}

function ofUpstream(
  name: string,
  upstream: Config["upstreams"][string],
  users: Users | undefined,
  raw: unknown,
): Finding[] {
  const path = ["upstreams", name], tcp = users?.get("tcp"), http = users?.get("http");
  const udp = users?.get("udp");
  const balanced = checkBalance(name, upstream, http !== undefined, tcp ?? udp, raw);
  if (users === undefined) return balanced;
  const isAlone = tcp === undefined && http === undefined;
  const forUdp = udp === undefined ? [] : ofDatagramServers(name, upstream, udp, isAlone, raw);
  if (isAlone) {
    return [
      ...balanced,
      ...forUdp,
      ...written(raw, path, ["keep-alive"], FOR_HTTP),
      ...written(raw, [...path, "socket"], UPSTREAM_SOCKET_STREAM, FOR_STREAMS),
      ...written(raw, [...path, "timeouts"], UPSTREAM_TIMEOUTS_HTTP, FOR_HTTP),
      ...written(raw, [...path, "timeouts"], UPSTREAM_SILENCES, FOR_STREAMS, SESSIONS),
      ...written(raw, [...path, "timeouts"], UPSTREAM_TIMEOUTS_STREAM, FOR_STREAMS),
    ];
  }
  return [...balanced, ...forUdp, ...ofStreamServers(name, upstream, tcp, http, raw)];
}

/** Servers that get datagrams. */
function ofDatagramServers(
  name: string,
  { servers, tls, "send-proxy": told }: Config["upstreams"][string],
  udp: string,
  isAlone: boolean,
  raw: unknown,
): Finding[] {
  const path = ["upstreams", name];
  const isOld = told?.version === "v1";
  const old = `listener ${quoted(udp)} is for udp://, which version 1 of the PROXY protocol does not know`;
  const forOld = isOld ? [error([...path, "send-proxy"], old, "write v2")] : [];
  const findings = servers.flatMap(({ address, base }, at) => {
    const given = [...path, "servers", at], text = serverText(raw, name, at);
    if (address.kind === "unix") {
      const what = `${quoted(text)} is a unix socket, and listener ${quoted(udp)} is for udp://`;
      return [error(given, what, "write HOST:PORT")];
    }
    if (!/^[a-z]+:\/\//.test(text) && base === "") return [];
    const kind = text.startsWith("tls:") ? "TCP" : "HTTP";
    const what = `${quoted(text)} is for ${kind}, and listener ${quoted(udp)} is for udp://`;
    return [error(given, what, `write ${addressText(address)}`)];
  });
  findings.push(...forOld);
  if (told?.tls === true && isAlone) {
    const path = ["upstreams", name, "send-proxy", "tls"];
    findings.push(error(path, `only udp:// leads here, ${NO_TLS}`, "leave it out"));
  }
  if (tls === undefined || valueAt(raw, [...path, "tls"]) === undefined) return findings;
  const what = `listener ${quoted(udp)} is for udp://, ${NO_TLS}`;
  return [...findings, error([...path, "tls"], what, "leave it out")];
}

/** Servers that get connections. */
function ofStreamServers(
  name: string,
  upstream: Config["upstreams"][string],
  tcp: string | undefined,
  http: string | undefined,
  raw: unknown,
): Finding[] {
  const path = ["upstreams", name];
  const pooled = upstream["send-proxy"] === undefined
    ? []
    : written(raw, path, ["keep-alive"], "with send-proxy no connection is kept: it is one client's");
  const overTls = upstream.servers.flatMap(({ address }, at) => {
    const text = serverText(raw, name, at);
    if (!text.startsWith("tls://") || http === undefined) return [];
    const what = `${quoted(text)} is for TCP, and listener ${quoted(http)} is for http://`;
    return [error([...path, "servers", at], what, `write https://${addressText(address)}`)];
  });
  if (tcp === undefined) return [...overTls, ...pooled];
  const findings = upstream.servers.flatMap(({ address, base }, at) => {
    const given = [...path, "servers", at], text = serverText(raw, name, at);
    const told: Finding[] = [];
    if (/^https?:\/\//.test(text) || base !== "") {
      const what = `${quoted(text)} is for HTTP, and listener ${quoted(tcp)} is for tcp://`;
      told.push(
        error(given, what, `write ${text.startsWith("https:") ? "tls://" : ""}${addressText(address)}`),
      );
    }
    return told;
  });
  if (http !== undefined) return [...overTls, ...findings, ...pooled];
  return [
    ...findings,
    ...written(raw, path, ["keep-alive"], FOR_HTTP),
    ...written(raw, [...path, "timeouts"], UPSTREAM_TIMEOUTS_HTTP, FOR_HTTP),
  ];
}
