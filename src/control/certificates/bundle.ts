// Files beside certificates: the authorities that are believed, the lists of what they revoked, what they say of
// one certificate, and the keys of session tickets.
import { quoted } from "../config/errors.ts";
import { dateFlaw, foreign, spanText, timeText } from "./pair.ts";
import { BLOCKS_MAX, pemBlocks } from "./pem.ts";
import { type Certificate, certificateOf, ocspAnswerOf, revocationListOf } from "./x509.ts";

/** Something that is wrong with a file, in words that follow its path. */
export interface FileFlaw {
  readonly what: string;
  readonly remedy: string;
  readonly severity: "error" | "warning";
}

/** How many there are in a file, and what is wrong with them. */
export interface Counted {
  readonly count: number;
  readonly flaws: readonly FileFlaw[];
}

/** A ticket key: its name, an HMAC key and an AES key (nginx has them so). */
export const TICKET_KEY_BYTES = 80;
/** What nginx takes as well: an AES key of half the length. */
const SHORT_TICKET_KEY_BYTES = 48;
export const TICKET_KEYS_MAX = 16;
/** Names that one message has room for. */
const TOLD_MAX = 3;

function error(what: string, remedy: string): FileFlaw {
  return { what, remedy, severity: "error" };
}

function warning(what: string, remedy: string): FileFlaw {
  return { what, remedy, severity: "warning" };
}

/** Reads the authorities in a file. */
export function readAuthorities(bytes: Uint8Array, now: number): Counted {
  const blocks = pemBlocks(new TextDecoder("latin1").decode(bytes));
  const given = blocks.filter(({ label }) => label === "CERTIFICATE" || label === "X509 CERTIFICATE");
  if (given.length === 0) {
    const { what, remedy } = foreign(bytes, blocks);
    return { count: 0, flaws: [error(what, remedy)] };
  }
  if (given.length > BLOCKS_MAX) {
    return { count: 0, flaws: [error(`more than ${BLOCKS_MAX} certificates`, "keep those that are needed")] };
  }
  const certificates = given.map(({ der }) => certificateOf(der));
  const bad = certificates.indexOf(undefined);
  if (bad >= 0) {
    const which = given.length === 1 ? "what it holds" : `certificate ${bad + 1} of ${given.length} in it`;
    return { count: 0, flaws: [error(`${which} is no certificate`, "copy it anew")] };
  }
  const all = certificates as Certificate[], flaws: FileFlaw[] = [];
  const late = all.filter((one) => dateFlaw(one, now) !== undefined);
  if (late.length === all.length) {
    const [first] = late;
    flaws.push(warning(
      all.length === 1
        ? `${quoted(first.subject)} ${dateFlaw(first, now)!.what}`
        : `none of its ${all.length} certificates is valid now`,
      "write the path of a newer file",
    ));
  } else if (late.length > 0) {
    flaws.push(warning(
      `${late.length} of its ${all.length} certificates ${late.length === 1 ? "is" : "are"} not valid now: ${
        listed(late)
      }`,
      "take them out, or write the path of a newer file",
    ));
  }
  const others = all.filter(({ isAuthority, isSelfIssued }) => !isAuthority && !isSelfIssued);
  if (others.length > 0) {
    flaws.push(warning(`no authority's certificate: ${listed(others)}`, "write the path of the authority's"));
  }
  return { count: all.length, flaws };
}

function listed(certificates: readonly Certificate[]): string {
  const names = certificates.slice(0, TOLD_MAX).map(({ subject }) => quoted(subject)).join(", ");
  return certificates.length > TOLD_MAX ? `${names}, ...` : names;
}

/** Reads the lists of revoked certificates in a file. */
export function readRevocations(bytes: Uint8Array, now: number): Counted {
  const blocks = pemBlocks(new TextDecoder("latin1").decode(bytes));
  const given = blocks.filter(({ label }) => label === "X509 CRL");
  if (given.length === 0) {
    const isDer = revocationListOf(bytes) !== undefined;
    const { what, remedy } = isDer
      ? { what: "a list in DER", remedy: "convert it: openssl crl -inform der -in FILE -out crl.pem" }
      : foreign(bytes, blocks);
    return { count: 0, flaws: [error(what, remedy)] };
  }
  const lists = given.map(({ der }) => revocationListOf(der)), bad = lists.indexOf(undefined);
  if (bad >= 0) {
    const which = given.length === 1 ? "what it holds" : `list ${bad + 1} of ${given.length} in it`;
    return { count: 0, flaws: [error(`${which} is no list of revoked certificates`, "fetch it anew")] };
  }
  const flaws = lists.flatMap((list): FileFlaw[] => {
    const { issuer, thisUpdate, nextUpdate } = list!;
    if (nextUpdate !== undefined && now > nextUpdate) {
      const what = `the list of ${quoted(issuer)} was due anew ${spanText(now - nextUpdate)} ago, on ` +
        `${timeText(nextUpdate)}: until it is, none of its certificates is taken`;
      return [warning(what, "fetch it anew")];
    }
    if (now >= thisUpdate) return [];
    const what = `the list of ${quoted(issuer)} is of ${timeText(thisUpdate)}, which is yet to come`;
    return [warning(what, "look at this machine's clock")];
  });
  return { count: lists.length, flaws };
}

/** Reads what an authority says of a certificate. */
export function readOcsp(bytes: Uint8Array, certificate: Certificate | undefined, now: number): FileFlaw[] {
  const answer = ocspAnswerOf(bytes);
  if (answer === undefined) {
    return [error("no answer of OCSP in DER", "fetch it anew: openssl ocsp -respout FILE")];
  }
  const { serial, status, nextUpdate } = answer, flaws: FileFlaw[] = [];
  if (certificate !== undefined && serial !== certificate.serial) {
    flaws.push(error("about another certificate", "fetch the one of this certificate"));
  }
  if (status !== "good") {
    const what = status === "revoked"
      ? "the certificate is revoked"
      : "the authority does not know the certificate";
    flaws.push(warning(`${what}, and clients are told so`, "have it issued anew"));
  }
  if (nextUpdate !== undefined && now > nextUpdate) {
    const what = `was due anew ${spanText(now - nextUpdate)} ago, on ${timeText(nextUpdate)}`;
    flaws.push(warning(what, "fetch it anew, or leave it out"));
  }
  return flaws;
}

/** Reads a file of ticket keys. */
export function readTicketKeys(bytes: Uint8Array): Counted {
  const make = `head -c ${TICKET_KEY_BYTES} /dev/urandom > FILE`;
  const count = bytes.length / TICKET_KEY_BYTES;
  if (bytes.length === 0) return { count: 0, flaws: [error("empty", `make a key: ${make}`)] };
  if (!Number.isInteger(count)) {
    const isShort = bytes.length % SHORT_TICKET_KEY_BYTES === 0;
    const what = isShort
      ? `keys of ${SHORT_TICKET_KEY_BYTES} bytes: keys have ${TICKET_KEY_BYTES}`
      : `${bytes.length} bytes: keys have ${TICKET_KEY_BYTES} each`;
    return { count: 0, flaws: [error(what, `make a key: ${make}`)] };
  }
  if (count > TICKET_KEYS_MAX) {
    return { count: 0, flaws: [error(`${count} keys`, `keep the newest, at most ${TICKET_KEYS_MAX}`)] };
  }
  const keys = Array.from(
    { length: count },
    (_, at) => bytes.subarray(at * TICKET_KEY_BYTES, (at + 1) * TICKET_KEY_BYTES),
  );
  if (keys.some((key) => key.every((byte) => byte === key[0]))) {
    return { count: 0, flaws: [error("a key that is the same byte over and over", `make a key: ${make}`)] };
  }
  return { count, flaws: [] };
}
