// The columns of listeners: their protocol, deadlines, whom they trust and what they tell of a client.
import { Forwarding, type Plan, Protocol, ProxyStatus, TRUSTED_BYTES } from "../../plan/plan.ts";
import type { ArenaWriter, Span } from "./arena.ts";
import type { Cidr } from "./cidr.ts";
import { type PlacedHttps, writeHttps } from "./compile_https.ts";
import {
  CERTIFICATE_SHIFTS,
  FORWARDED_NAMES,
  FORWARDED_SHIFTS,
  type ForwardingWord,
} from "./forwarding_schema.ts";
import type { Config } from "./schema.ts";

type Configured = Config["listeners"][string];

/** A listener of one generation: one bound address. */
export interface NumberedListener {
  readonly number: number;
  readonly name: string;
  readonly configured: Configured;
  /** Where it is bound; 0: a unix socket. */
  readonly port: number;
  /** Of its TLS; 0: what it speaks is plain. */
  readonly profile: number;
  /** It is there no more but for those who came by it. */
  readonly leaves: boolean;
}

/** The prefixes of those whom listeners believe, in a row: those of one configured listener are there once. */
export interface Trusted {
  /** Offsets of records in the arena. */
  readonly at: readonly number[];
  /** By listener: whose fields are believed, and whose PROXY headers. */
  readonly trusted: ReadonlyMap<string, Rows>;
  readonly proxies: ReadonlyMap<string, Rows>;
}

interface Rows {
  readonly first: number;
  readonly count: number;
}

const NOBODY: Rows = { first: 0, count: 0 };
/** As many answers as servers like. */
const ANY_RESPONSES = -1;

const FAMILY = 0;
const PREFIX_BITS = 1;
const IP = 4;

/** Adds what listeners trust to the arena. */
export function placeTrusted(arena: ArenaWriter, config: Config): Trusted {
  const at: number[] = [];
  const add = (cidrs: readonly Cidr[]): Rows => {
    const first = at.length;
    for (const cidr of cidrs) at.push(arena.add(trustedRecord(cidr)));
    return { first, count: cidrs.length };
  };
  const listeners = Object.entries(config.listeners);
  return {
    at,
    trusted: new Map(listeners.map(([name, { trust }]) => [name, add(trust)])),
    proxies: new Map(listeners.map(([name, { "accept-proxy": proxies }]) => [name, add(proxies)])),
  };
}

function trustedRecord({ family, bits, ip }: Cidr): Uint8Array {
  const record = new Uint8Array(TRUSTED_BYTES);
  record[FAMILY] = family;
  record[PREFIX_BITS] = bits;
  record.set(ip, IP);
  return record;
}

/** Whether any HTTP listener asks its clients for certificates. */
export function isAnyCertified({ listeners }: Config): boolean {
  return Object.values(listeners).some((listener) =>
    listener.bind[0].protocol === "http" && asksForCertificates(listener)
  );
}

function asksForCertificates({ tls }: Configured): boolean {
  return tls !== undefined && tls.client.mode !== "off";
}

/** Writes the columns of one listener. `upstream`: the number of where it leads, or NONE; `certified`: servers are
 * told of certificates, by whichever listener. */
export function writeListener(
  plan: Plan,
  { number, name, configured, port, profile, leaves }: NumberedListener,
  upstream: number,
  trusted: Trusted,
  logName: Span,
  https: PlacedHttps,
  certified: boolean,
): void {
  const { timeouts } = configured;
  plan.listenerNameAt[number] = logName.at;
  plan.listenerNameBytes[number] = logName.bytes;
  plan.listenerUpstream[number] = upstream;
  plan.listenerTunnelIdleMs[number] = timeouts["tunnel-idle"];
  plan.listenerWriteStallMs[number] = timeouts["write-stall"];
  plan.listenerHalfClosedMs[number] = timeouts["half-closed"];
  plan.listenerTls[number] = profile;
  plan.listenerLeaves[number] = leaves ? 1 : 0;
  plan.listenerPort[number] = port;
  plan.listenerHandshakeMs[number] = timeouts.handshake;
  const proxies = trusted.proxies.get(name) ?? NOBODY;
  plan.listenerProxyFirst[number] = proxies.first;
  plan.listenerProxyCount[number] = proxies.count;
  const { protocol } = configured.bind[0];
  if (protocol === "udp") {
    const { idle, responses = ANY_RESPONSES } = configured.udp;
    plan.listenerProtocol[number] = Protocol.Udp;
    plan.listenerFlowIdleMs[number] = idle;
    plan.listenerResponses[number] = responses;
    return;
  }
  if (protocol === "tcp") {
    plan.listenerProtocol[number] = Protocol.Tcp;
    plan.listenerSilenceMs[number] = timeouts["client-idle"];
    return;
  }
  plan.listenerProtocol[number] = Protocol.Http;
  plan.listenerClientIdleMs[number] = timeouts["client-idle"];
  plan.listenerRequestHeadMs[number] = timeouts["request-head"];
  plan.listenerBodyStallMs[number] = timeouts["body-stall"];
  plan.listenerExchangeMs[number] = timeouts.exchange;
  plan.listenerForwarded[number] = forwardedBits(configured.forwarded) |
    certificateBits(configured, certified);
  plan.listenerProxyStatus[number] = proxyStatus(configured["proxy-status"]);
  const { first, count } = trusted.trusted.get(name) ?? NOBODY;
  plan.listenerTrustedFirst[number] = first;
  plan.listenerTrustedCount[number] = count;
  writeHttps(plan, number, name, profile !== 0, https);
}

/** On its plain addresses as well, and on listeners beside it that may lead to the same servers: what no client could
 * prove there, none may claim. There a trusted proxy may have asked for it. */
function certificateBits(configured: Configured, certified: boolean): number {
  if (!certified) return 0;
  const how = asksForCertificates(configured) ? Forwarding.Replace : Forwarding.Append;
  return Object.values(CERTIFICATE_SHIFTS).reduce<number>((bits, shift) => bits | how << shift, 0);
}

function forwardedBits(words: Configured["forwarded"]): number {
  return FORWARDED_NAMES.reduce((bits, name) => bits | word(words[name]) << FORWARDED_SHIFTS[name], 0);
}

function word(given: ForwardingWord): Forwarding {
  switch (given) {
    case "append":
      return Forwarding.Append;
    case "replace":
      return Forwarding.Replace;
    case "leave":
      return Forwarding.Leave;
    case "off":
      return Forwarding.Off;
  }
}

function proxyStatus(given: Configured["proxy-status"]): ProxyStatus {
  switch (given) {
    case "on":
      return ProxyStatus.Own;
    case "all":
      return ProxyStatus.All;
    case "off":
      return ProxyStatus.Off;
  }
}
