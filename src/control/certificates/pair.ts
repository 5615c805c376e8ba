// A certificate with those that lead to its authority, and its private key: whether they are good, and what they
// are good for. Looks at what the files hold and knows neither where they are nor who uses them. The key leaves
// this file as PEM only.
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { quoted } from "../config/errors.ts";
import { type PemBlock, pemBlocks } from "./pem.ts";
import { type Certificate, certificateOf, publicKeyOf, type Use } from "./x509.ts";

/** A file holds no more. */
export const FILE_BYTES_MAX = 1 << 20;
/** Certificates from one to its authority. */
const CHAIN_MAX = 16;
const RSA_BITS_MIN = 2_048;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export type KeyKind = "ec" | "rsa" | "ed25519";

/** A certificate that can be used, and its key. */
export interface Pair {
  readonly certificate: Certificate;
  /** Those that lead from it to its authority, as far as they were given. */
  readonly chain: readonly Certificate[];
  readonly kind: KeyKind;
  /** Of the key: bits of RSA's modulus; 0 if the kind says it. */
  readonly bits: number;
  /** PEM of certificate and chain, and of the key, without what stood around them. */
  readonly certPem: string;
  readonly keyPem: string;
}

/** Something that is wrong with one of the two files, in words that follow its path. */
export interface Flaw {
  readonly about: "cert" | "key";
  readonly what: string;
  readonly remedy: string;
  readonly severity: "error" | "warning";
}

/** What is asked of a certificate. */
export interface Wanted {
  readonly use: Exclude<Use, "other">;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * Reads a certificate and its key from what their files hold, which may be one and the same.
 * @returns the pair unless a flaw is an error; what is odd about it comes either way.
 */
export function readPair(
  cert: Uint8Array,
  key: Uint8Array,
  wanted: Wanted,
): { readonly pair: Pair | undefined; readonly flaws: readonly Flaw[] } {
  const flaws: Flaw[] = [];
  const all = readChain(cert, flaws), secret = readKey(key, cert === key, flaws);
  if (all === undefined || secret === undefined) return { pair: undefined, flaws };
  const [certificate, ...chain] = all.certificates;
  const known = publicKeyOf(certificate);
  const { kind, bits } = kindOf(known);
  if (known === undefined || kind === undefined) {
    flaws.push(error("cert", "a public key of a kind that is not known", "use EC P-256, RSA or Ed25519"));
    return { pair: undefined, flaws };
  }
  if (!fits(secret.key, known)) {
    flaws.push(misfit(secret.key, all.certificates));
    return { pair: undefined, flaws };
  }
  if (kind === "rsa" && bits < RSA_BITS_MIN) {
    flaws.push(error(
      "cert",
      `an RSA key of ${bits} bits, which can be broken`,
      `make one of ${RSA_BITS_MIN} bits, or an EC one`,
    ));
  }
  flaws.push(...oddities(certificate, chain, wanted));
  if (flaws.some(({ severity }) => severity === "error")) return { pair: undefined, flaws };
  return { pair: { certificate, chain, kind, bits, certPem: all.pem, keyPem: secret.pem }, flaws };
}

/** Whether a certificate is for a name in lower case: its own, or one label below what a star stands for; of a name
 * with a star, whether it has just that. */
export function coversName({ names }: Pick<Certificate, "names">, name: string): boolean {
  return names.includes(name) ||
    (!name.startsWith("*.") && names.includes(`*${name.slice(name.indexOf("."))}`));
}

/** A day and a time that people read. */
export function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** How long ago, or until then: `3 days`, `5 hours`, `1 minute`. */
export function spanText(ms: number): string {
  const [count, unit] = ms >= 2 * DAY_MS
    ? [Math.floor(ms / DAY_MS), "day"]
    : ms >= 120 * MINUTE_MS
    ? [Math.floor(ms / (60 * MINUTE_MS)), "hour"]
    : [Math.max(Math.floor(ms / MINUTE_MS), 1), "minute"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

function error(about: Flaw["about"], what: string, remedy: string): Flaw {
  return { about, what, remedy, severity: "error" };
}

function warning(about: Flaw["about"], what: string, remedy: string): Flaw {
  return { about, what, remedy, severity: "warning" };
}

const CERTIFICATES = ["CERTIFICATE", "X509 CERTIFICATE"];
const KEYS = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
const ENCRYPTED_KEY = "ENCRYPTED PRIVATE KEY";

/** What a file holds that is no PEM, or none of what is looked for; in words that follow its path. */
export function foreign(bytes: Uint8Array, blocks: readonly PemBlock[]): { what: string; remedy: string } {
  if (bytes.length === 0) return { what: "empty", remedy: "write the path of a file in PEM" };
  const labels = new Set(blocks.map(({ label }) => label));
  if (labels.has("CERTIFICATE REQUEST") || labels.has("NEW CERTIFICATE REQUEST")) {
    return {
      what: "a request for a certificate, and no certificate",
      remedy: "have it signed, and write the path of what comes back",
    };
  }
  if (labels.has("PKCS7")) {
    return {
      what: "certificates in PKCS #7",
      remedy: "convert it: openssl pkcs7 -print_certs -in FILE -out cert.pem",
    };
  }
  if (labels.has("TRUSTED CERTIFICATE")) {
    return {
      what: "a certificate with trust settings of OpenSSL's",
      remedy: "convert it: openssl x509 -in FILE",
    };
  }
  if (labels.has("OPENSSH PRIVATE KEY")) {
    return {
      what: "a key of OpenSSH's",
      remedy: "make a key for TLS: openssl ecparam -genkey -name prime256v1",
    };
  }
  const [label] = labels;
  if (label !== undefined) return { what: `holds "${label}"`, remedy: "write the path of another file" };
  if (bytes[0] === 0x30) {
    const remedy = "convert it to PEM: openssl x509 -inform der, or openssl pkcs12 -nodes";
    return { what: "binary, as DER and PKCS #12 are", remedy };
  }
  return { what: "no PEM", remedy: "write the path of a file that has -----BEGIN ...----- in it" };
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes); // PEM is ASCII, and what stands around it may be anything
}

function readChain(
  bytes: Uint8Array,
  flaws: Flaw[],
): { certificates: Certificate[]; pem: string } | undefined {
  const blocks = pemBlocks(textOf(bytes));
  const given = blocks.filter(({ label }) => CERTIFICATES.includes(label));
  if (given.length === 0) {
    const hasKey = blocks.some(({ label }) => isKey(label));
    const { what, remedy } = foreign(bytes, blocks);
    flaws.push(
      hasKey
        ? error(
          "cert",
          "holds a private key and no certificate",
          "write the certificate's path here, and this one as key",
        )
        : error("cert", what, remedy),
    );
    return undefined;
  }
  if (given.length > CHAIN_MAX) {
    const what = `${given.length} certificates, and the first one alone is presented`;
    flaws.push(error("cert", what, `keep it and those that lead to its authority, at most ${CHAIN_MAX}`));
    return undefined;
  }
  const certificates: Certificate[] = [];
  for (const [at, { der }] of given.entries()) {
    const certificate = certificateOf(der);
    if (certificate === undefined) {
      const which = given.length === 1 ? "what it holds" : `the ${nth(at)} in it`;
      flaws.push(error("cert", `${which} is no certificate`, "copy it anew"));
      return undefined;
    }
    certificates.push(certificate);
  }
  return { certificates, pem: given.map(({ text }) => `${text}\n`).join("") };
}

function isKey(label: string): boolean {
  return KEYS.includes(label) || label === ENCRYPTED_KEY;
}

function readKey(
  bytes: Uint8Array,
  isBoth: boolean,
  flaws: Flaw[],
): { key: KeyObject; pem: string } | undefined {
  const blocks = pemBlocks(textOf(bytes)), keys = blocks.filter(({ label }) => isKey(label));
  const refuse = (what: string, remedy: string): undefined => {
    flaws.push(error(isBoth ? "cert" : "key", what, remedy));
  };
  if (keys.length === 0) {
    const certificates = blocks.filter(({ label }) => CERTIFICATES.includes(label));
    if (isBoth && certificates.length > 0) {
      return refuse("holds no private key", "write the path of the key as well");
    }
    if (isBoth) return undefined; // told of the certificate already
    if (certificates.length > 0) {
      return refuse("holds a certificate and no private key", "write the key's path here");
    }
    if (blocks.some(({ label }) => label === "PUBLIC KEY")) {
      return refuse("holds a public key", "write the path of the private key");
    }
    const { what, remedy } = foreign(bytes, blocks);
    return refuse(what, remedy);
  }
  if (keys.length > 1) return refuse(`holds ${keys.length} private keys`, "keep the one of the certificate");
  const [{ label, text }] = keys;
  if (label === ENCRYPTED_KEY || /^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    const remedy =
      "take the passphrase off, since nobody is there to type it: openssl pkey -in FILE -out key.pem";
    return refuse("the private key is encrypted", remedy);
  }
  try {
    return { key: createPrivateKey({ key: text, format: "pem" }), pem: `${text}\n` };
  } catch {
    return refuse("the private key cannot be read", "copy it anew; it is EC P-256, RSA or Ed25519 in PEM");
  }
}

function kindOf(key: KeyObject | undefined): { kind: KeyKind | undefined; bits: number } {
  switch (key?.asymmetricKeyType) {
    case "ec":
      return { kind: "ec", bits: 0 };
    case "ed25519":
      return { kind: "ed25519", bits: 0 };
    case "rsa":
    case "rsa-pss":
      return { kind: "rsa", bits: key.asymmetricKeyDetails?.modulusLength ?? 0 };
    default:
      return { kind: undefined, bits: 0 };
  }
}

/** Whether what one signs the other verifies; they need not be written in the same way. */
function fits(key: KeyObject, known: KeyObject): boolean {
  if (key.asymmetricKeyType !== known.asymmetricKeyType) return false;
  const written = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });
  if (written(createPublicKey(key)).equals(written(known))) return true;
  const text = Buffer.from("whether these two belong together"),
    hash = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  return verify(hash, text, known, sign(hash, text, key));
}

function misfit(key: KeyObject, certificates: readonly Certificate[]): Flaw {
  const at = certificates.findIndex((certificate) => {
    const known = publicKeyOf(certificate);
    return known !== undefined && fits(key, known);
  });
  return at < 0
    ? error("key", "not the key of that certificate", "write the path of the key that it was made with")
    : error("cert", `the key is that of the ${nth(at)} certificate in it`, "put that one first");
}

const NTH = ["first", "second", "third", "fourth", "fifth"];

function nth(at: number): string {
  return NTH[at] ?? `${at + 1}th`;
}

/** What can be used and is hardly meant. */
function oddities(certificate: Certificate, chain: readonly Certificate[], { use, now }: Wanted): Flaw[] {
  const flaws: Flaw[] = [];
  for (const [at, one] of [certificate, ...chain].entries()) {
    const which = at === 0 ? "" : `the ${nth(at)} certificate in it, ${quoted(one.subject)}, `;
    const flaw = dateFlaw(one, now);
    if (flaw !== undefined) flaws.push(warning("cert", which + flaw.what, flaw.remedy));
    if (one.isWeaklySigned && !one.isSelfIssued) {
      flaws.push(
        error("cert", `${which}is signed with SHA-1 or MD5, which nobody takes`, "have it issued anew"),
      );
    }
  }
  if (use === "server" && certificate.names.length + certificate.addresses.length === 0) {
    const what = "has no name that a client could ask for (a subject alternative name)";
    flaws.push(warning("cert", what, "have it issued anew, with the names"));
  }
  if (certificate.uses !== undefined && !certificate.uses.includes(use)) {
    const what = use === "server" ? "is not for servers" : "is not for clients";
    flaws.push(warning("cert", `${what}, as it says itself (extended key usage)`, "have one issued that is"));
  }
  return [...flaws, ...chainOddities([certificate, ...chain])];
}

/** In words that follow what a certificate is called. */
export function dateFlaw(
  { notBefore, notAfter }: Pick<Certificate, "notBefore" | "notAfter">,
  now: number,
): { what: string; remedy: string } | undefined {
  if (now > notAfter) {
    return { what: `expired ${spanText(now - notAfter)} ago, on ${timeText(notAfter)}`, remedy: "renew it" };
  }
  if (now >= notBefore) return undefined;
  const what = `is not valid before ${timeText(notBefore)}, in ${spanText(notBefore - now)}`;
  return { what, remedy: "wait until then, or look at this machine's clock" };
}

function chainOddities(all: readonly Certificate[]): Flaw[] {
  for (const [at, one] of all.entries()) {
    const next = all[at + 1];
    if (next === undefined || isIssuedBy(one, next)) continue;
    if (one.isSelfIssued) {
      const what = `${quoted(next.subject)} stands in it behind ${quoted(one.subject)}, which needs no other`;
      return [warning("cert", what, "leave it out")];
    }
    const isThere = all.some((other) => isIssuedBy(one, other));
    const what = isThere
      ? `its certificates are out of order: that of ${quoted(one.issuer)} comes after ${quoted(one.subject)}`
      : `${quoted(one.subject)} was issued by ${quoted(one.issuer)}, and what follows it is ${
        quoted(next.subject)
      }`;
    const remedy = isThere
      ? "put each certificate before that of its issuer"
      : `put the certificate of ${quoted(one.issuer)} behind it`;
    return [warning("cert", what, remedy)];
  }
  const [first] = all;
  if (all.length > 1 || first.isSelfIssued || !first.namesIssuer) return [];
  const what = `the certificate of its issuer is missing, ${
    quoted(first.issuer)
  }, and some clients do not find it`;
  return [warning("cert", what, "append it: authorities call such a file fullchain.pem")];
}

function isIssuedBy(one: Certificate, other: Certificate): boolean {
  return Buffer.compare(one.issuerDer, other.subjectDer) === 0;
}
