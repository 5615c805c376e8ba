// Keys, certificate requests and self-signed certificates: all ECDSA on P-256. The runtimes read
// certificates but cannot write any, hence der.ts.
//
// No package does this for us: the ACME clients on npm bring an HTTP client, a second implementation of
// all cryptography and an ASN.1 compiler with them, several times the size of src/control/ altogether, and
// none lets us bound its waits or choose the CA that its connection is verified with on both runtimes.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import {
  bitString,
  boolean,
  explicit,
  implicit,
  integer,
  octets,
  oid,
  sequence,
  set,
  time,
  utf8,
} from "./der.ts";

const COMMON_NAME = "2.5.4.3";
const KEY_USAGE = "2.5.29.15";
const ALTERNATIVE_NAMES = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1";
const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
const ECDSA_SHA256 = "1.2.840.10045.4.3.2";
/** RFC 8737 section 6.1. */
const ACME_IDENTIFIER = "1.3.6.1.5.5.7.1.31";
/** GeneralName's choice of a DNS name. */
const DNS_NAME = 2;

const SERIAL_BYTES = 16;
/** Clocks of those who look may be behind. */
const EARLIER_MS = 3_600_000;

/** A chain, leaf first, and the leaf's private key. */
export interface Pair {
  readonly chainPem: string;
  readonly keyPem: string;
}

/** A new private key, PKCS#8. */
export function newKeyPem(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

/** PKCS#10 (RFC 2986), DER. The names stand where RFC 8555 wants them, the subject is left to the CA. */
export function certificateRequest(names: readonly string[], keyPem: string): Uint8Array {
  const key = createPrivateKey(keyPem);
  const wanted = sequence(oid(EXTENSION_REQUEST), set(sequence(alternativeNames(names, false))));
  return signed(sequence(integer(Uint8Array.of(0)), sequence(), publicKeyOf(key), explicit(0, wanted)), key);
}

/**
 * A certificate that no one trusts: while the real one is being issued, or (with `acmeDigest`) to prove that
 * the name is ours (RFC 8737 section 3: one name, and the digest in a critical extension).
 */
export function selfSigned(
  name: string,
  keyPem: string,
  times: { readonly fromMs: number; readonly untilMs: number },
  acmeDigest?: Uint8Array,
): string {
  const key = createPrivateKey(keyPem);
  const who = sequence(set(sequence(oid(COMMON_NAME), utf8("Sluice, not issued by a CA"))));
  const extensions = [
    extension(BASIC_CONSTRAINTS, true, sequence()),
    extension(KEY_USAGE, true, Uint8Array.of(0x03, 0x02, 0x07, 0x80)), // digitalSignature alone, 7 bits unused
    extension(EXTENDED_KEY_USAGE, false, sequence(oid(SERVER_AUTHENTICATION))),
    alternativeNames([name], false),
    ...(acmeDigest === undefined ? [] : [extension(ACME_IDENTIFIER, true, octets(acmeDigest))]),
  ];
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = (serial[0] & 0x7f) | 0x40; // never zero, never negative
  const body = sequence(
    explicit(0, integer(Uint8Array.of(2))), // version 3
    integer(serial),
    algorithm(),
    who,
    sequence(time(times.fromMs - EARLIER_MS), time(times.untilMs)),
    who,
    publicKeyOf(key),
    explicit(3, sequence(...extensions)),
  );
  return pem("CERTIFICATE", signed(body, key));
}

/** What a stored or issued pair is good for. Times are by the wall clock. */
export interface PairFacts {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SHA-256 of the leaf. */
  readonly fingerprint: string;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** Certificates of one chain; more are no chain. */
const CHAIN_MAX = 16;

/**
 * Reads a pair that was issued or stored for `name`.
 * @returns what it is good for, or what is wrong with it. An expired one is not wrong.
 */
export function pairFacts(name: string, { chainPem, keyPem }: Pair): PairFacts | { readonly flaw: string } {
  const certificates = chainPem.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) return { flaw: "there is no certificate in it" };
  if (certificates.length > CHAIN_MAX) return { flaw: `a chain of ${certificates.length} certificates` };
  let leaf: X509Certificate, key: KeyObject;
  try {
    [leaf] = certificates.map((text) => new X509Certificate(text));
  } catch (error) {
    return { flaw: `a certificate of the chain cannot be read: ${wordsOf(error)}` };
  }
  try {
    key = createPrivateKey(keyPem);
  } catch (error) {
    return { flaw: `the private key cannot be read: ${wordsOf(error)}` };
  }
  if (!Buffer.from(publicKeyOf(key)).equals(spkiOf(leaf.publicKey))) {
    return { flaw: "the private key is not the certificate's" };
  }
  if (leaf.checkHost(name) === undefined) return { flaw: `the certificate is not for ${name}` };
  const notBeforeMs = Date.parse(leaf.validFrom), notAfterMs = Date.parse(leaf.validTo);
  if (!(notBeforeMs < notAfterMs)) return { flaw: `valid from ${leaf.validFrom} to ${leaf.validTo}` };
  return { notBeforeMs, notAfterMs, fingerprint: leaf.fingerprint256 };
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function publicKeyOf(key: KeyObject): Uint8Array {
  return spkiOf(createPublicKey(key));
}

function spkiOf(key: KeyObject): Uint8Array {
  return key.export({ type: "spki", format: "der" });
}

function algorithm(): Uint8Array {
  return sequence(oid(ECDSA_SHA256));
}

/** What PKCS#10 and X.509 share: a body, how it is signed, the signature. */
function signed(body: Uint8Array, key: KeyObject): Uint8Array {
  return sequence(body, algorithm(), bitString(sign("sha256", body, key)));
}

function extension(id: string, isCritical: boolean, value: Uint8Array): Uint8Array {
  return sequence(oid(id), ...(isCritical ? [boolean(true)] : []), octets(value));
}

function alternativeNames(names: readonly string[], isCritical: boolean): Uint8Array {
  const general = names.map((name) => implicit(DNS_NAME, Buffer.from(name, "latin1")));
  return extension(ALTERNATIVE_NAMES, isCritical, sequence(...general));
}

function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
