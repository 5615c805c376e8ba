// TLS settings as C knows them: a profile for each listener and each upstream that has TLS. Its certificates and
// whom it believes change while it is in use (store.ts, trust.ts), everything else is set once.
import { existsSync } from "node:fs";
import { PROFILE_ASKS, ProfileKind, ProfilePart } from "../../sys/symbols.ts";
import { errnoName } from "../../sys/errno.ts";
import { sys } from "../../sys/sys.ts";
import { DISK } from "../config/disk.ts";
import type { ListenerTls, ServerTls } from "../config/tls_schema.ts";
import { protocolList } from "../config/tls_values.ts";

/** Something that TLS needs is not there or does not fit: one line with the remedy. */
export class CertificateError extends Error {
  override name = "CertificateError";
}

/** Where systems keep the authorities that are trusted, in the order in which they are looked for. */
const SYSTEM_AUTHORITIES = [
  "/etc/ssl/certs/ca-certificates.crt", // Debian, Arch, Gentoo, Alpine
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Red Hat
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem", // SUSE
  "/etc/ssl/cert.pem",
];

/** Bundles of authorities have a quarter of a MiB. */
const FILE_BYTES_MOST = 16 << 20;

const VERIFY = { off: 0, ask: 1, require: 2 } as const;
const POLICY = { modern: 0, compatible: 1 } as const;

/** The file of the system's authorities, or the one that SSL_CERT_FILE names; undefined: there is none. */
export function systemAuthorities(
  env: Readonly<Record<string, string | undefined>> = process.env,
  isThere: (path: string) => boolean = existsSync,
): string | undefined {
  const named = env.SSL_CERT_FILE;
  return named !== undefined && named !== "" ? named : SYSTEM_AUTHORITIES.find(isThere);
}

/** What listeners that speak HTTP agree on (RFC 7301 section 6), preferred first. */
export const HTTP_PROTOCOLS: readonly string[] = ["http/1.1", "http/1.0"];

/** Files of authorities that a profile believes, and of their revocation lists. */
export interface TrustFiles {
  /** Where the configuration names them. */
  readonly where: string;
  readonly ca: string | undefined;
  readonly crl: string | undefined;
  /** The authorities are the system's, which nobody here has judged. */
  readonly isSystems: boolean;
}

/** Makes the profile of a listener. `http`: it speaks HTTP behind TLS. @returns whom it is to believe; undefined:
 * it asks nobody. @throws CertificateError */
export function openListenerProfile(
  profile: number,
  where: string,
  tls: ListenerTls,
  http: boolean,
): TrustFiles | undefined {
  const asks = tls.acme?.["on-demand"] === undefined ? 0 : PROFILE_ASKS;
  open(profile, where, ProfileKind.Listener, POLICY[tls.policy], VERIFY[tls.client.mode], asks);
  setProtocols(profile, where, http ? HTTP_PROTOCOLS : tls.alpn ?? []);
  const { mode, ca, crl } = tls.client;
  return mode === "off" ? undefined : { where: `${where}.client`, ca, crl, isSystems: false };
}

/** Makes the profile of an upstream. @returns whom it is to believe. @throws CertificateError */
export function openUpstreamProfile(
  profile: number,
  where: string,
  tls: ServerTls,
  http: boolean,
): TrustFiles {
  open(
    profile,
    where,
    ProfileKind.Upstream,
    POLICY.modern,
    tls.verify === "on" ? VERIFY.require : VERIFY.off,
    0,
  );
  setProtocols(profile, where, http ? ["http/1.1"] : []);
  if (tls.pins.length > 0) {
    const pins = Buffer.concat(tls.pins.map((pin) => Buffer.from(pin, "base64")));
    const set = sys.profile_set(profile, ProfilePart.Pins, pins, pins.length);
    if (set < 0) throw new CertificateError(`${where}.pins: ${errnoName(-set)}`);
  }
  const ca = tls.ca ?? (tls.verify === "on" ? systemAuthorities() : undefined);
  if (ca === undefined && tls.verify === "on") {
    throw new CertificateError(
      `${where}: this system has no file of authorities; install ca-certificates or write ca: FILE`,
    );
  }
  return { where, ca, crl: tls.crl, isSystems: tls.ca === undefined };
}

function open(
  profile: number,
  where: string,
  kind: ProfileKind,
  policy: number,
  verify: number,
  flags: number,
): void {
  const opened = sys.profile_open(profile, kind, policy, verify, flags);
  if (opened < 0) throw new CertificateError(`${where}: ${errnoName(-opened)}`);
}

function setProtocols(profile: number, where: string, names: readonly string[]): void {
  if (names.length === 0) return;
  const bytes = protocolList(names);
  const set = sys.profile_set(profile, ProfilePart.Alpn, bytes, bytes.length);
  if (set < 0) throw new CertificateError(`${where}.alpn: ${errnoName(-set)}`);
}

/** What a file of certificates or keys holds; who names `where` it is configured is told that too. Never waits, as for
 * a pipe it would. @throws CertificateError */
export function readPem(path: string, where?: string): Uint8Array {
  const what = where === undefined ? path : `${where}: ${path}`;
  let bytes: Uint8Array;
  try {
    bytes = DISK.read(path, FILE_BYTES_MOST + 1);
  } catch (error) {
    throw new CertificateError(`${what}: ${(error as NodeJS.ErrnoException).code ?? error}`);
  }
  if (bytes.length > FILE_BYTES_MOST) {
    throw new CertificateError(`${what}: longer than ${FILE_BYTES_MOST} bytes`);
  }
  return bytes;
}
