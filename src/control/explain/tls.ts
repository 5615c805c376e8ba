// TLS as explain tells it: what a listener presents to the client of a question and asks of it, and what an
// upstream asks of its servers. Which certificate has which name is known by the process, or read from the files.
import { NONE } from "../../base/limits.ts";
import { coversName, timeText } from "../certificates/pair.ts";
import { keyKind, type Presented, presentedFor } from "../certificates/presented.ts";
import { HTTP_PROTOCOLS } from "../certificates/profiles.ts";
import { acmeNames } from "../config/tls_checks.ts";
import type { ListenerEntry } from "../directory.ts";
import type { Place, ServerTlsView, ShownView, TlsView } from "./explanation.ts";
import type { World } from "./world.ts";

/** Of one certificate. */
const NAMES_TOLD_MAX = 8;

/** TLS that ends at the listener. */
export function tlsView(world: World, entry: ListenerEntry, name: string | null): TlsView {
  const { bind, tls } = world.config.listeners[entry.name];
  const known = presentedFor(world.certificates(entry.name), name);
  const found = known.by === "first" && awaits(world, entry, name) ? [] : known.found;
  const http = bind[0].protocol === "http";
  return {
    at: "listener",
    name,
    sni: null,
    by: found.length === 0 ? issuedOrNot(world, entry, name) : known.by,
    certificates: found.map(shownView),
    policy: tls?.policy ?? null,
    protocols: http ? HTTP_PROTOCOLS : tls?.alpn ?? [],
    client: tls === undefined
      ? null
      : { mode: tls.client.mode, ca: tls.client.ca ?? null, crl: tls.client.crl ?? null },
    hsts: hstsText(world, entry.number),
  };
}

/** TLS that goes on to a server as it is. */
export function passedView(name: string | null, sni: Place): TlsView {
  return {
    at: "server",
    name,
    sni,
    by: null,
    certificates: [],
    policy: null,
    protocols: [],
    client: null,
    hsts: null,
  };
}

/** Whether a certificate for a name is to be issued: it is shown nobody else's. */
function awaits({ config }: World, { name: listener }: ListenerEntry, name: string | null): boolean {
  const configured = config.listeners[listener];
  return name !== null && configured.tls?.acme !== undefined && acmeNames(configured).includes(name);
}

/** Whom nobody has a certificate for: it is to be issued, or the handshake fails. */
function issuedOrNot(
  { config }: World,
  { name: listener }: ListenerEntry,
  name: string | null,
): TlsView["by"] {
  const { tls } = config.listeners[listener];
  if (tls?.acme === undefined || name === null) return "none";
  if (acmeNames(config.listeners[listener]).includes(name)) return "issued";
  return tls.acme["on-demand"] === undefined ? "none" : "on_demand";
}

function shownView(one: Presented): ShownView {
  const { names, addresses, notAfter } = one.certificate, all = [...names, ...addresses];
  return {
    file: one.file ?? null,
    key: keyKind(one),
    names: all.slice(0, NAMES_TOLD_MAX),
    names_left_out: Math.max(0, all.length - NAMES_TOLD_MAX),
    until: new Date(notAfter).toISOString(),
    until_text: timeText(notAfter),
  };
}

/** Strict-Transport-Security, as answers have it. */
function hstsText({ plan }: World, listener: number): string | null {
  const at = plan.listenerHstsAt[listener], bytes = plan.listenerHstsBytes[listener];
  return bytes === 0 ? null : new TextDecoder().decode(plan.arena.slice(at, at + bytes)).trim();
}

/** Whether a request for a host belongs on a connection that was opened for `name` (RFC 9110 section 15.5.20); as
 * sl_tls_covers has it (ffi/tls_fact.c). */
export function isForHost(world: World, entry: ListenerEntry, name: string | null, host: string): boolean {
  const bare = host.toLowerCase().replace(/\.$/, "");
  if (name === null || bare === "" || bare === name) return true;
  const all = world.certificates(entry.name);
  return presentedFor(all, bare).by === "first" ||
    presentedFor(all, name).found.some(({ certificate }) => coversName(certificate, bare));
}

/** What is asked of the servers of an upstream; null: they are spoken to without TLS. */
export function serverTlsView({ config }: World, upstream: string): ServerTlsView | null {
  const { tls, servers } = config.upstreams[upstream] ?? {};
  if (tls === undefined || !servers?.some((server) => server.tls)) return null;
  return {
    verify: tls.verify === "on",
    ca: tls.ca ?? null,
    pins: tls.pins,
    crl: tls.crl ?? null,
    cert: tls.cert ?? null,
  };
}

/** The name that a server is asked for, and that its certificate must have; "": it has none. Null: no TLS. */
export function serverTlsName({ plan }: World, server: number): string | null {
  if (plan.serverTls[server] === NONE) return null;
  const at = plan.serverTlsNameAt[server], bytes = plan.serverTlsNameBytes[server];
  return new TextDecoder().decode(plan.arena.slice(at, at + bytes));
}
