// The columns of listeners that say what HTTP does about TLS: where plain requests are sent, what keeps browsers to
// https://, and what proves to an authority that a host is ours.
import type { Plan } from "../../plan/plan.ts";
import type { ArenaWriter } from "./arena.ts";
import type { OpenSocket } from "./compile.ts";
import type { Span } from "./compile_listeners.ts";
import type { Config } from "./schema.ts";

type Configured = Config["listeners"][string];

const PORT_HTTPS = 443;
const SECOND_MS = 1_000;

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
  sockets: readonly OpenSocket[],
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

/** Where https:// is to be found: on the listener's own addresses, or on those of others; on the usual port if there
 * are several. */
function httpsPort(name: string, listeners: Config["listeners"], sockets: readonly OpenSocket[]): number {
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
