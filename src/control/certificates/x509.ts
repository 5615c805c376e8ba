// What a certificate, a list of revoked ones or an answer of OCSP says (RFC 5280, RFC 6960), as far as somebody
// must be told of it. Nothing is verified here but a key against a key: who may be believed is decided by
// OpenSSL when a peer shows a certificate.
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";
import {
  contentsOf,
  type Element,
  elementAt,
  elementsIn,
  hexOf,
  NoDer,
  partsOf,
  Tag,
  timeOf,
  wholeOf,
} from "./der.ts";

export interface Certificate {
  readonly der: Uint8Array;
  /** Names of hosts, in lower case; `*.NAME` is one label below NAME. */
  readonly names: readonly string[];
  /** Addresses: four decimals, or RFC 5952. */
  readonly addresses: readonly string[];
  /** Whose it is and who vouches for it, for people: the common name, else the organisation. */
  readonly subject: string;
  readonly issuer: string;
  /** The same as they stand there, to be compared. */
  readonly subjectDer: Uint8Array;
  readonly issuerDer: Uint8Array;
  /** In hexadecimal. */
  readonly serial: string;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Its public key, SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** SHA-256 of it all, in hexadecimal. */
  readonly fingerprint: string;
  readonly isAuthority: boolean;
  /** Signed by itself, as far as its names tell. */
  readonly isSelfIssued: boolean;
  /** For what it may be used; undefined: for anything. */
  readonly uses: readonly Use[] | undefined;
  /** It says where its issuer's certificate is: one that is no root, as a rule. */
  readonly namesIssuer: boolean;
  /** What signs it is broken: MD5 or SHA-1. */
  readonly isWeaklySigned: boolean;
}

export type Use = "server" | "client" | "other";

/** A list of revoked certificates. */
export interface RevocationList {
  readonly issuer: string;
  readonly thisUpdate: number;
  /** When the next one is due; undefined: that is not said. */
  readonly nextUpdate: number | undefined;
  readonly count: number;
}

/** What an authority says of a certificate. */
export interface OcspAnswer {
  readonly serial: string;
  readonly status: "good" | "revoked" | "unknown";
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
}

const VERSION = 0xa0, EXTENSIONS = 0xa3;
const DNS_NAME = 0x82, IP_ADDRESS = 0x87;
const COMMON_NAME = "550403", ORGANISATION = "55040a", UNIT = "55040b";
const ALTERNATIVE_NAMES = "551d11",
  CONSTRAINTS = "551d13",
  USES = "551d25",
  ISSUER_ACCESS = "2b06010505070101";
const ISSUER_IS_AT = "2b06010505073002";
const USE_BY_ID: Readonly<Record<string, Use>> = {
  "2b06010505070301": "server",
  "2b06010505070302": "client",
};
const ANY_USE = "551d2500";
/** Signatures with MD5 and SHA-1: of RSA, ECDSA and DSA. */
const WEAK_SIGNATURES = ["2a864886f70d010104", "2a864886f70d010105", "2a8648ce3d0401", "2a8648ce380403"];

/** Reads a certificate; undefined if it is none. */
export function certificateOf(der: Uint8Array): Certificate | undefined {
  return unlessNoDer(() => {
    const [tbs, algorithm] = partsOf(der, whole(der), Tag.Sequence);
    const parts = partsOf(der, tbs, Tag.Sequence);
    if (parts[0]?.tag === VERSION) parts.shift();
    const [serial, , issuer, validity, subject, spki, ...more] = parts;
    if (spki === undefined) throw new NoDer("no certificate");
    const [notBefore, notAfter] = partsOf(der, validity, Tag.Sequence);
    const holder = more.find(({ tag }) => tag === EXTENSIONS);
    const found = holder === undefined ? new Map<string, Element>() : extensionsIn(der, holder);
    const issuerDer = wholeOf(der, issuer), subjectDer = wholeOf(der, subject);
    return {
      der,
      ...alternativeNames(der, found.get(ALTERNATIVE_NAMES)),
      subject: nameText(der, subject),
      issuer: nameText(der, issuer),
      subjectDer,
      issuerDer,
      serial: hexOf(der, serial),
      notBefore: timeOf(der, notBefore),
      notAfter: timeOf(der, notAfter),
      spki: wholeOf(der, spki),
      fingerprint: createHash("sha256").update(der).digest("hex"),
      isAuthority: isAuthority(der, found.get(CONSTRAINTS)),
      isSelfIssued: Buffer.compare(issuerDer, subjectDer) === 0,
      uses: usesOf(der, found.get(USES)),
      namesIssuer: namesIssuer(der, found.get(ISSUER_ACCESS)),
      isWeaklySigned: WEAK_SIGNATURES.includes(hexOf(der, partsOf(der, algorithm, Tag.Sequence)[0])),
    };
  });
}

/** Reads a list of revoked certificates; undefined if it is none. */
export function revocationListOf(der: Uint8Array): RevocationList | undefined {
  return unlessNoDer(() => {
    const [tbs] = partsOf(der, whole(der), Tag.Sequence);
    const parts = partsOf(der, tbs, Tag.Sequence);
    if (parts[0]?.tag === Tag.Integer) parts.shift(); // version 2
    const [, issuer, thisUpdate, ...more] = parts;
    const next = isTime(more[0]) ? more.shift() : undefined;
    const revoked = more[0]?.tag === Tag.Sequence ? elementsIn(der, more[0]).length : 0;
    return {
      issuer: nameText(der, issuer),
      thisUpdate: timeOf(der, thisUpdate),
      nextUpdate: next === undefined ? undefined : timeOf(der, next),
      count: revoked,
    };
  });
}

/** Reads an answer of OCSP, of several certificates the first; undefined if it is none, or none that says anything. */
export function ocspAnswerOf(der: Uint8Array): OcspAnswer | undefined {
  return unlessNoDer(() => {
    const [status, holder] = partsOf(der, whole(der), Tag.Sequence);
    if (status?.tag !== Tag.Enumerated || der[status.from] !== 0 || holder === undefined) {
      throw new NoDer("no answer");
    }
    const [, octets] = partsOf(der, elementsIn(der, holder)[0], Tag.Sequence);
    if (octets?.tag !== Tag.OctetString) throw new NoDer("no answer");
    const [data] = partsOf(der, elementAt(der, octets.from, octets.end), Tag.Sequence);
    const parts = partsOf(der, data, Tag.Sequence);
    const responses = parts.find(({ tag }) => tag === Tag.Sequence);
    const [first] = partsOf(der, responses, Tag.Sequence);
    const [id, state, thisUpdate, next] = partsOf(der, first, Tag.Sequence);
    const serial = partsOf(der, id, Tag.Sequence)[3];
    if (serial?.tag !== Tag.Integer || state === undefined) throw new NoDer("no answer");
    const kind = state.tag & 0x1f;
    return {
      serial: hexOf(der, serial),
      status: kind === 0 ? "good" : kind === 1 ? "revoked" : "unknown",
      thisUpdate: timeOf(der, thisUpdate),
      nextUpdate: next?.tag === VERSION ? timeOf(der, elementsIn(der, next)[0]) : undefined,
    };
  });
}

/** The public key of a certificate; undefined if the runtime does not know its kind. */
export function publicKeyOf({ spki }: Certificate): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}

function whole(der: Uint8Array): Element {
  const element = elementAt(der, 0, der.length);
  if (element.end !== der.length) throw new NoDer("bytes behind the end");
  return element;
}

function unlessNoDer<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof NoDer) return undefined;
    throw error;
  }
}

function isTime(element: Element | undefined): boolean {
  return element?.tag === Tag.UtcTime || element?.tag === Tag.GeneralizedTime;
}

/** By object identifier: what each extension holds. */
function extensionsIn(der: Uint8Array, holder: Element): Map<string, Element> {
  const found = new Map<string, Element>();
  for (const extension of partsOf(der, elementsIn(der, holder)[0], Tag.Sequence)) {
    const parts = partsOf(der, extension, Tag.Sequence), value = parts.at(-1);
    if (value?.tag !== Tag.OctetString) throw new NoDer("no extension");
    found.set(hexOf(der, parts[0]), elementAt(der, value.from, value.end));
  }
  return found;
}

function alternativeNames(der: Uint8Array, extension: Element | undefined) {
  const names = new Set<string>(), addresses = new Set<string>();
  const given = extension === undefined ? [] : partsOf(der, extension, Tag.Sequence);
  for (const name of given) {
    const contents = contentsOf(der, name);
    if (name.tag === DNS_NAME) names.add(latin1(contents).toLowerCase().replace(/\.$/, ""));
    else if (name.tag === IP_ADDRESS && (contents.length === 4 || contents.length === 16)) {
      const address = ipaddr.fromByteArray([...contents]);
      const text = address.toString();
      addresses.add(isIPv4(text) ? text : (address as ipaddr.IPv6).toRFC5952String());
    }
  }
  return { names: [...names], addresses: [...addresses] };
}

/** The common name of a name, else what it has of an organisation; "" if it has none of these. */
function nameText(der: Uint8Array, name: Element): string {
  const texts = new Map<string, string>();
  for (const set of partsOf(der, name, Tag.Sequence)) {
    for (const pair of elementsIn(der, set)) {
      const [id, value] = partsOf(der, pair, Tag.Sequence);
      if (value === undefined) throw new NoDer("no name");
      texts.set(hexOf(der, id), textOf(der, value));
    }
  }
  return texts.get(COMMON_NAME) ?? texts.get(ORGANISATION) ?? texts.get(UNIT) ?? "";
}

const BMP_STRING = 0x1e;

function textOf(der: Uint8Array, value: Element): string {
  const contents = contentsOf(der, value);
  if (value.tag !== BMP_STRING) return new TextDecoder("utf-8").decode(contents);
  const codes = Array.from(
    { length: contents.length >> 1 },
    (_, at) => contents[2 * at] << 8 | contents[2 * at + 1],
  );
  return codes.map((code) => String.fromCharCode(code)).join("");
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}

function isAuthority(der: Uint8Array, extension: Element | undefined): boolean {
  if (extension === undefined) return false;
  const [first] = partsOf(der, extension, Tag.Sequence);
  return first?.tag === Tag.Boolean && der[first.from] !== 0;
}

function usesOf(der: Uint8Array, extension: Element | undefined): Use[] | undefined {
  if (extension === undefined) return undefined;
  const ids = partsOf(der, extension, Tag.Sequence).map((use) => hexOf(der, use));
  return ids.includes(ANY_USE) ? undefined : ids.map((id) => USE_BY_ID[id] ?? "other");
}

function namesIssuer(der: Uint8Array, extension: Element | undefined): boolean {
  if (extension === undefined) return false;
  return partsOf(der, extension, Tag.Sequence).some((access) =>
    hexOf(der, partsOf(der, access, Tag.Sequence)[0]) === ISSUER_IS_AT
  );
}
