// Decisions that several steps of explain come to.
import { Reason, REASONS } from "../../shared/reason.ts";
import { shown } from "../config/errors.ts";
import type { Decision, TlsView } from "./explanation.ts";
import type { Balanced } from "./servers.ts";
import type { World } from "./world.ts";

export function decide(kind: Decision["kind"], text: string, more: Partial<Decision> = {}): Decision {
  return { kind, text, server: null, upstream: null, route: null, status: null, reason: null, ...more };
}

/** A connection is reset before any server has it. */
export function ended(reason: Reason, upstream: string | null, why = REASONS[reason].text): Decision {
  const { name } = REASONS[reason];
  return decide("unavailable", `the connection is reset (${name}): ${why}`, { upstream, reason: name });
}

/** Why a handshake fails with a client that offers these protocols; undefined: it does not. */
export function handshakeFlaw(tls: TlsView, alpn: readonly string[]): Decision | undefined {
  if (tls.by === "none") return noCertificate(tls);
  const { protocols } = tls;
  if (alpn.length === 0 || protocols.length === 0 || alpn.some((one) => protocols.includes(one))) {
    return undefined;
  }
  const { name: reason } = REASONS[Reason.HandshakeFailed];
  const text = `it speaks ${protocols.join(", ")}, none of which is offered`;
  return decide("unavailable", `the handshake fails (${reason}): ${text}`, { reason });
}

/** The handshake fails. */
export function noCertificate({ name }: TlsView): Decision {
  const { name: reason, text } = REASONS[Reason.NoCertificate];
  const more = name === null ? "" : `: ${shown(name)}`;
  return decide("unavailable", `the handshake fails (${reason}): ${text}${more}`, { reason });
}

export function toServer(
  { directory }: World,
  { server, view }: Balanced,
  by: string,
  route: string | null,
): Decision {
  const { address } = directory.servers.get(server)!;
  return decide("server", `-> ${address}, by ${by}`, { server: address, upstream: view.name, route });
}
