// What goes with the protocol of a listener, and with those that use an upstream. A key that would change
// nothing is refused: whoever wrote it expects something of it.
import { addressText } from "./address.ts";
import { NOT_SUPPORTED, quoted } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import { upstreamsOf } from "./route_specs.ts";
import type { Config } from "./schema.ts";

const LISTENER_HTTP = ["routes", "trust", "forwarded", "proxy-status", "error-pages"];
const LISTENER_TIMEOUTS_HTTP = ["request-head", "body-stall", "exchange"];
const UPSTREAM_TIMEOUTS_HTTP = ["answer", "queue"];
const FOR_HTTP = "only http:// has it";

/** The listeners that use an upstream, one of each protocol. */
type Users = ReadonlyMap<Config["listeners"][string]["bind"][number]["protocol"], string>;

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
function written(raw: unknown, base: Path, keys: readonly string[], what: string): Finding[] {
  return keys.map((key) => [...base, key]).filter((path) => valueAt(raw, path) !== undefined)
    .map((path) => error(path, what, "leave it out"));
}

function ofListener(name: string, listener: Config["listeners"][string], raw: unknown): Finding[] {
  const path = ["listeners", name];
  const protocols = new Set(listener.bind.map(({ protocol }) => protocol));
  if (protocols.size > 1) {
    const [tcp, http] = (["tcp", "http"] as const).map((protocol) =>
      schemeOf(listener.bind.find((bind) => bind.protocol === protocol)!)
    );
    return [error([...path, "bind"], `${tcp} and ${http} in one listener`, "write a listener for each")];
  }
  if (protocols.has("http")) {
    if (listener.to !== undefined || listener.routes.length > 0 || isRedirectAlone(listener)) return [];
    return [error([...path, "to"], "nothing becomes of the requests", "write UPSTREAM, or routes")];
  }
  return [
    ...(listener.to === undefined && listener.sni === undefined
      ? [error([...path, "to"], "missing", "write UPSTREAM")]
      : []),
    ...written(raw, path, LISTENER_HTTP, FOR_HTTP),
    ...written(raw, [...path, "timeouts"], LISTENER_TIMEOUTS_HTTP, FOR_HTTP),
    ...written(raw, [...path, "timeouts"], ["client-idle"], `for tcp:// it is ${NOT_SUPPORTED}`),
  ];
}

/** A listener that has nothing but http://, and answers by sending its clients to https://. */
export function isRedirectAlone(listener: Config["listeners"][string]): boolean {
  return listener["redirect-to-https"] &&
    listener.bind.every(({ protocol, tls }) => protocol === "http" && !tls);
}

/** As an address to listen on begins. */
export function schemeOf({ protocol, tls }: Config["listeners"][string]["bind"][number]): string {
  return protocol === "http" ? (tls ? "https://" : "http://") : tls ? "tls://" : "tcp://";
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
  const users = new Map<string, Map<"tcp" | "http", string>>();
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
  if (users === undefined) return [];
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
  const findings = upstream.servers.flatMap(({ address, base, "max-connections": most }, at) => {
    const given = [...path, "servers", at], text = serverText(raw, name, at);
    const told: Finding[] = [];
    if (/^https?:\/\//.test(text) || base !== "") {
      const what = `${quoted(text)} is for HTTP, and listener ${quoted(tcp)} is for tcp://`;
      told.push(
        error(given, what, `write ${text.startsWith("https:") ? "tls://" : ""}${addressText(address)}`),
      );
    }
    if (most !== 0) told.push(error(given, `for tcp:// max-connections is ${NOT_SUPPORTED}`, "leave it out"));
    return told;
  });
  if (http !== undefined) return [...overTls, ...findings, ...pooled];
  return [
    ...findings,
    ...written(raw, path, ["keep-alive"], FOR_HTTP),
    ...written(raw, [...path, "timeouts"], UPSTREAM_TIMEOUTS_HTTP, FOR_HTTP),
    ...written(raw, [...path, "timeouts"], ["server-idle"], `for tcp:// it is ${NOT_SUPPORTED}`),
  ];
}
