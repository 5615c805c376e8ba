// Which certificates a listener presents to whom: what its table of names comes to, which store.ts makes and C
// looks into for each handshake. For who asks what would happen; nothing here presents anything.
import { pemBlocks } from "./pem.ts";
import { type Certificate, certificateOf, publicKeyOf } from "./x509.ts";

/** One of a listener's certificates. */
export interface Presented {
  /** Undefined: it was issued to us. */
  readonly file: string | undefined;
  readonly certificate: Certificate;
}

/** By what a certificate was found. first: by no name, as the listener's first one. */
export type FoundBy = "exact" | "wildcard" | "first";

/** The certificates for a name in lower case, at most one for each kind of key, which is what the client chooses by.
 * `all` is in the order of the listener. */
export function presentedFor(
  all: readonly Presented[],
  name: string | null,
): { readonly by: FoundBy; readonly found: readonly Presented[] } {
  const exact = name === null ? [] : withName(all, name);
  if (exact.length > 0) return { by: "exact", found: exact };
  const dot = name?.indexOf(".") ?? -1;
  const wild = name === null || dot < 0 ? [] : withName(all, `*${name.slice(dot)}`);
  if (wild.length > 0) return { by: "wildcard", found: wild };
  const first = all[0]?.certificate.names.join("\n");
  return {
    by: "first",
    found: ofEachKind(all.filter(({ certificate }) => certificate.names.join("\n") === first)),
  };
}

/** EC, RSA, ED25519: as people call the kind of its key. */
export function keyKind({ certificate }: Presented): string {
  return publicKeyOf(certificate)?.asymmetricKeyType?.toUpperCase() ?? "unknown";
}

/** The certificate that a file in PEM begins with; undefined if it holds none. */
export function firstOf(pem: string): Certificate | undefined {
  const block = pemBlocks(pem).find(({ label }) => label.endsWith("CERTIFICATE"));
  return block === undefined ? undefined : certificateOf(block.der);
}

function withName(all: readonly Presented[], name: string): Presented[] {
  return ofEachKind(all.filter(({ certificate }) => certificate.names.includes(name)));
}

function ofEachKind(all: readonly Presented[]): Presented[] {
  const kinds = new Map<string, Presented>();
  for (const one of all) if (!kinds.has(keyKind(one))) kinds.set(keyKind(one), one);
  return [...kinds.values()];
}
