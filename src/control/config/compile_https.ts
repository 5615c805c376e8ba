// The columns of listeners that say what HTTP does about TLS: where plain requests are sent, what keeps browsers to
// https://, and what proves to an authority that a host is ours.
import { NONE } from "../../base/limits.ts";
import type { Plan } from "../../plan/plan.ts";
import type { ArenaWriter, Span } from "./arena.ts";
import type { SniOwner } from "./compile_sni.ts";
import type { Config } from "./schema.ts";
import type { SniChoice } from "./sni_schema.ts";
import { acmeNames } from "./tls_checks.ts";
import { SNI_DEFAULT } from "./tls_values.ts";

type Configured = Config["listeners"][string];

const PORT_HTTPS = 443;
const SECOND_MS = 1_000;

/** A listening socket: which bind of which listener it is, and the port that the kernel gave it. */
interface Bound {
  readonly listener: string;
  readonly bind: string;
  readonly port: number;
}

/** What listeners say, by the name of each, and where its bytes are. */
export interface PlacedHttps {
  /** The port that plain requests are sent to, of who sends them. */
  readonly ports: ReadonlyMap<string, number>;
  /** Strict-Transport-Security. */
  readonly hsts: ReadonlyMap<string, Span>;
  /** Of the ACME account. */
  readonly thumbprint: Span;
}

/** Adds it to the arena. `thumbprint`: empty without ACME. */
export function placeHttps(
  arena: ArenaWriter,
  { listeners }: Config,
  sockets: readonly Bound[],
  thumbprint: string,
): PlacedHttps {
  const place = (text: string): Span => {
    const bytes = new TextEncoder().encode(text);
    return { at: arena.add(bytes), bytes: bytes.length };
  };
  const named = Object.entries(listeners);
  return {
    ports: new Map(
      named.filter(([, { "redirect-to-https": sent }]) => sent)
        .map(([name]) => [name, httpsPort(name, listeners, sockets)]),
    ),
    hsts: new Map(
      named.flatMap(([name, { hsts }]) => hsts === undefined ? [] : [[name, place(hstsLine(hsts))] as const]),
    ),
    thumbprint: place(thumbprint),
  };
}

/** The hosts that certificates are issued for, as names that nobody listens by: whatever they lead to is no upstream.
 * With on-demand any host may be one. */
export function issuedHosts({ listeners }: Config): SniOwner[] {
  const all = Object.values(listeners).filter(({ tls }) => tls?.acme !== undefined);
  if (all.length === 0) return [];
  const hosts = all.flatMap((listener) => acmeNames(listener));
  if (all.some(({ tls }) => tls?.acme?.["on-demand"] !== undefined)) hosts.push(SNI_DEFAULT);
  const itself: SniChoice = [{ to: "", terminate: true, protocol: undefined, path: [] }];
  return [{ number: NONE, choices: Object.fromEntries(hosts.map((host) => [host, itself])) }];
}

/** Where https:// is to be found: on the listener's own addresses, or on those of others; on the usual port if there
 * are several. */
function httpsPort(name: string, listeners: Config["listeners"], sockets: readonly Bound[]): number {
  const secure = sockets.filter(({ listener, bind, port }) =>
    port !== 0 &&
    listeners[listener]?.bind.some(({ text, protocol, tls }) => text === bind && protocol === "http" && tls)
  );
  const own = secure.filter(({ listener }) => listener === name);
  const ports = (own.length > 0 ? own : secure).map(({ port }) => port);
  return ports.length === 0 || ports.includes(PORT_HTTPS) ? PORT_HTTPS : ports[0];
}

/** RFC 6797 section 6.1. */
function hstsLine({ "max-age": ageMs, subdomains, preload }: NonNullable<Configured["hsts"]>): string {
  const directives = [
    `max-age=${ageMs / SECOND_MS}`,
    ...(subdomains ? ["includeSubDomains"] : []),
    ...(preload ? ["preload"] : []),
  ];
  return `Strict-Transport-Security: ${directives.join("; ")}\r\n`;
}

const NOTHING: Span = { at: 0, bytes: 0 };

/** Writes the columns of one HTTP listener. `secure`: TLS ends on this address of it. */
export function writeHttps(
  plan: Plan,
  number: number,
  name: string,
  secure: boolean,
  { ports, hsts, thumbprint }: PlacedHttps,
): void {
  if (!secure) plan.listenerToHttps[number] = ports.get(name) ?? 0;
  const line = secure ? hsts.get(name) ?? NOTHING : NOTHING;
  plan.listenerHstsAt[number] = line.at;
  plan.listenerHstsBytes[number] = line.bytes;
  plan.listenerThumbprintAt[number] = thumbprint.at;
  plan.listenerThumbprintBytes[number] = thumbprint.bytes;
}
