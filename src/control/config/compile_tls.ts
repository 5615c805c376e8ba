// What the Plan knows of TLS: the numbers of profiles, and whom a server's certificate must be for. What a
// profile is made of goes to C (control/certificates/), not into the Plan.
import type { Address } from "./address.ts";
import type { TlsTold } from "./log_templates.ts";
import type { Config } from "./schema.ts";
import { endedNames } from "./sni_schema.ts";
import { endsTls } from "./tls_checks.ts";

/** Of every listener and upstream that has TLS, by name; from 1. */
export interface ProfileNumbers {
  readonly listeners: ReadonlyMap<string, number>;
  readonly upstreams: ReadonlyMap<string, number>;
}

/** Numbers the profiles of a configuration. A profile is its owner's alone, and another one when it is to be other than
 * it was: but for a listener's certificates, which may change at any time, as what files hold may. */
export function profileNumbers(config: Config, numberOf: (key: string) => number): ProfileNumbers {
  const ofListeners = new Map<string, number>(), ofUpstreams = new Map<string, number>();
  const http = httpUpstreams(config);
  for (const [name, { bind, tls }] of Object.entries(config.listeners)) {
    if (tls === undefined) continue;
    const { policy, client, alpn, acme } = tls;
    const fixed = [bind[0].protocol === "http", policy, client, alpn, acme?.["on-demand"] !== undefined];
    ofListeners.set(name, numberOf(`listener\n${name}\n${JSON.stringify(fixed)}`));
  }
  for (const [name, { tls }] of Object.entries(config.upstreams)) {
    if (tls === undefined) continue;
    const fixed = [http.has(name), tls.verify, tls.pins, tls.ca, tls.crl, tls.cert, tls.key];
    ofUpstreams.set(name, numberOf(`upstream\n${name}\n${JSON.stringify(fixed)}`));
  }
  return { listeners: ofListeners, upstreams: ofUpstreams };
}

/** The upstreams that requests go to: their servers are told so by ALPN. */
export function httpUpstreams({ listeners }: Config): ReadonlySet<string> {
  const names = Object.values(listeners).flatMap(({ bind, to, routes }) =>
    bind[0].protocol !== "http"
      ? []
      : [to ?? "", ...routes.map(({ action }) => action.kind === "upstream" ? action.to : "")]
  );
  return new Set(names);
}

/** The profile of one bound address, for all of its connections or those whose name ends TLS here; 0: none. */
export function profileOfBind(
  numbers: ProfileNumbers,
  name: string,
  configured: Config["listeners"][string],
  bind: string,
): number {
  const ends = endedNames(configured).length > 0;
  const secure = ends || configured.bind.some(({ text, tls }) => tls && text === bind);
  return secure ? numbers.listeners.get(name) ?? 0 : 0;
}

/** A server's TLS. */
export interface ServerSession {
  /** 0: none. */
  readonly profile: number;
  /** The name, or the address as text, that its certificate must have; empty: a unix socket has none. */
  readonly name: string;
}

export function sessionOf(
  numbers: ProfileNumbers,
  upstream: string,
  configured: Config["upstreams"][string],
  server: Config["upstreams"][string]["servers"][number],
): ServerSession {
  if (!server.tls) return { profile: 0, name: "" };
  return {
    profile: numbers.upstreams.get(upstream) ?? 0,
    name: configured.tls?.["server-name"] ?? hostOf(server.address),
  };
}

function hostOf(address: Address): string {
  switch (address.kind) {
    case "name":
      return address.name;
    case "ip":
      return address.ip;
    case "unix":
      return "";
  }
}

/** What the built-in lines of the access log may have to tell besides. */
export function toldOfTls({ listeners }: Config): TlsTold {
  const ends = Object.values(listeners).filter(endsTls);
  return {
    proxies: Object.values(listeners).some(({ "accept-proxy": proxies }) => proxies.length > 0),
    ends: ends.length > 0,
    names: ends.length > 0 || Object.values(listeners).some(({ sni }) => sni !== undefined),
    asks: ends.some(({ tls }) => tls !== undefined && tls.client.mode !== "off"),
  };
}
