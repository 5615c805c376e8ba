// The first message of a TLS connection, the ClientHello (RFC 8446 section 4.1.2), for whoever passes the
// connection on and never decrypts it: the host name it asks for (RFC 6066 section 3), the protocols it offers
// (RFC 7301), the highest version. What is inside an encrypted hello is none of ours, the outer one's name
// counts. Nothing is kept between two calls, nothing is allocated, one call is one pass over what is there.
// Strict where two readers could find two names in one hello; what else is wrong with it is its server's to say.
// Invariant: each beginning of a connection gives NeedMore or the verdict that all of it gives.
import { assert } from "../base/assert.ts";
import { HELLO_BYTES_MAX, HELLO_RECORDS_MAX, HELLO_SPARE_BYTES, SERVER_NAME_PLACE } from "../base/limits.ts";
import { isIp4 } from "./authority.ts";
import { ascii, lower, Octet } from "./octet.ts";

export const enum Hello {
  /** More bytes are needed: `helloNeeds` of them. */
  NeedMore,
  /** A whole hello; what it says is in the variables below. */
  Found,
  /** Something else than TLS, or TLS that does not begin with a handshake. */
  NotTls,
  /** The same, and it begins as a request of HTTP does. */
  PlainHttp,
  /** More than HELLO_BYTES_MAX, or in more than HELLO_RECORDS_MAX records. */
  TooLarge,
  Malformed,
  /** A hello whose host name is none: an address, an empty label, an octet that no name has. */
  BadName,
}

/** After NeedMore: with less than so many bytes behind `from`, the next call cannot find a whole hello either.
 * Never more than HELLO_PEEK_BYTES. */
export let helloNeeds = 0;
/** After Found: where the host name is, in lower case and without a dot at its end. No bytes: it names none. */
export let helloNameAt = 0;
export let helloNameBytes = 0;
/** After Found: where the list of protocols is, each a byte with its length and so many bytes, in the client's
 * order. No bytes: it offers none. */
export let helloAlpnAt = 0;
export let helloAlpnBytes = 0;
/** After Found: the highest version that it offers, as RFC 8446 numbers them (0x0304 is TLS 1.3). 0: none that
 * is one of TLS. */
export let helloVersion = 0;

/** RFC 8446 section 5.1: type, legacy version, length. */
const RECORD_HEADER_BYTES = 5;
const RECORD_BYTES_MAX = 16_384;
const RECORD_HANDSHAKE = 22;
/** All of SSL 3.0 and TLS, in records and as legacy_version. */
const MAJOR = 3;
/** Type and length of a handshake message (section 4). */
const MESSAGE_HEADER_BYTES = 4;
const CLIENT_HELLO = 1;
const VERSION_BYTES = 2;
const RANDOM_BYTES = 32;
const SESSION_BYTES_MAX = 32;
/** The most that a hello can offer by legacy_version alone (section 4.2.1). */
const TLS12 = 0x0303;

const enum Extension {
  ServerName = 0,
  Alpn = 16,
  SupportedVersions = 43,
}
const SEEN_SERVER_NAME = 1;
const SEEN_ALPN = 2;
const SEEN_VERSIONS = 4;

const NAME_TYPE_HOST = 0;
/** RFC 1035 section 2.3.4; 253 visible octets are the 255 that a name has on the wire. */
const NAME_BYTES_MAX = 253;
const LABEL_BYTES_MAX = 63;

/** PRI is the preface of HTTP/2. */
const METHODS = [
  "GET ",
  "POST ",
  "HEAD ",
  "PUT ",
  "DELETE ",
  "OPTIONS ",
  "CONNECT ",
  "PATCH ",
  "TRACE ",
  "PRI ",
].map(ascii);

/** Octets of a host name, each as it is in lower case; 0: not of one. No name in DNS needs the underscore, but
 * many have it. */
const NAME_OCTETS = makeNameOctets();

function makeNameOctets(): Uint8Array {
  const octets = new Uint8Array(256);
  const legal = ascii("-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
  for (const octet of legal) octets[octet] = lower(octet);
  return octets;
}

/** Of the hello that `walk` has found: the records it is in, and its bytes without their headers. */
let records = 0;
let messageBytes = 0;

/**
 * Reads the ClientHello that begins at `from`, of which [from, end) has come. What is behind it is not looked
 * at; HELLO_PEEK_BYTES are always enough for a verdict.
 *
 * Two things it may have to write: the name in lower case, and the whole hello in one piece where it came in
 * several records. Both go to `bytes[spare, spare + HELLO_SPARE_BYTES)`, which is no part of [from, end).
 */
export function readHello(bytes: Uint8Array, from: number, end: number, spare: number): Hello {
  assert(
    spare >= end || spare + HELLO_SPARE_BYTES <= from,
    "readHello: the spare place is where the hello lies",
  );
  assert(spare + HELLO_SPARE_BYTES <= bytes.length, "readHello: the spare place is too short");
  helloNeeds =
    helloNameBytes =
    helloAlpnBytes =
    helloVersion =
      0;
  if (from === end) return needMore(1);
  const walked = walk(bytes, from, end);
  if (walked !== Hello.Found) return walked;
  let at = from + RECORD_HEADER_BYTES;
  if (records > 1) {
    at = spare + SERVER_NAME_PLACE;
    gather(bytes, from, at);
  }
  return readMessage(bytes, at + MESSAGE_HEADER_BYTES, at + messageBytes, spare);
}

/** Goes from record to record until the hello is whole. Found: it is in [from, end), not yet looked into. */
function walk(bytes: Uint8Array, from: number, end: number): Hello {
  let at = from, got = 0; // bytes of the message in the records before `at`
  let header = 0, length = 0; // as far as its first bytes are there; 0: not yet
  for (records = 1;; records++) {
    if (at < end && bytes[at] !== RECORD_HANDSHAKE) {
      return records > 1 ? Hello.Malformed : notTls(bytes, from, end);
    }
    if (at + 1 < end && bytes[at + 1] !== MAJOR) return records > 1 ? Hello.Malformed : Hello.NotTls;
    const fragment = at + RECORD_HEADER_BYTES;
    if (fragment > end) return needMore(fragment - from + Math.max(length - got, 1));
    const fragmentBytes = uint16(bytes, at + 3);
    // No empty ones: a hello could come in any number of them (RFC 8446 section 5.1).
    if (fragmentBytes === 0 || fragmentBytes > RECORD_BYTES_MAX) return Hello.Malformed;
    const known = Math.min(got + Math.min(fragmentBytes, end - fragment), MESSAGE_HEADER_BYTES);
    for (let place = got; place < known; place++) {
      header = (header << 8) | bytes[fragment + place - got];
      if (place === 0 && header !== CLIENT_HELLO) return Hello.Malformed;
    }
    at = fragment + fragmentBytes;
    got += fragmentBytes;
    if (known === MESSAGE_HEADER_BYTES) {
      length = MESSAGE_HEADER_BYTES + (header & 0xffffff);
      if (length > HELLO_BYTES_MAX) return Hello.TooLarge;
      // Nothing may follow a hello before its answer, least of all in the same record.
      if (got > length) return Hello.Malformed;
      if (got < length && records === HELLO_RECORDS_MAX) return Hello.TooLarge;
    }
    if (at > end) return needMore(at - from + (got < length ? RECORD_HEADER_BYTES + length - got : 0));
    if (got === length) {
      messageBytes = length;
      return Hello.Found;
    }
  }
}

function needMore(bytes: number): Hello {
  helloNeeds = bytes;
  return Hello.NeedMore;
}

/** What begins with anything else than a handshake record. */
function notTls(bytes: Uint8Array, from: number, end: number): Hello {
  let maybe = false;
  for (let method = 0; method < METHODS.length; method++) {
    const text = METHODS[method];
    let same = 0;
    while (same < text.length && from + same < end && bytes[from + same] === text[same]) same++;
    if (same === text.length) return Hello.PlainHttp;
    if (from + same === end) maybe = true;
  }
  return maybe ? needMore(end - from + 1) : Hello.NotTls;
}

/** Puts the fragments of all records together, at `to`. */
function gather(bytes: Uint8Array, from: number, to: number): void {
  let at = from, place = to;
  for (let record = 0; record < records; record++) {
    const fragment = at + RECORD_HEADER_BYTES, fragmentBytes = uint16(bytes, at + 3);
    bytes.copyWithin(place, fragment, fragment + fragmentBytes);
    place += fragmentBytes;
    at = fragment + fragmentBytes;
  }
}

/** The hello behind its handshake header, in one piece: RFC 8446 section 4.1.2. */
function readMessage(bytes: Uint8Array, from: number, end: number, nameTo: number): Hello {
  let at = from;
  if (end - at <= VERSION_BYTES + RANDOM_BYTES) return Hello.Malformed;
  if (bytes[at] !== MAJOR) return Hello.Malformed;
  helloVersion = Math.min(uint16(bytes, at), TLS12);
  at += VERSION_BYTES + RANDOM_BYTES;
  if (bytes[at] > SESSION_BYTES_MAX) return Hello.Malformed;
  at += 1 + bytes[at];
  if (end - at < 2) return Hello.Malformed;
  const cipherBytes = uint16(bytes, at);
  if (cipherBytes === 0 || (cipherBytes & 1) !== 0) return Hello.Malformed;
  at += 2 + cipherBytes;
  if (at >= end || bytes[at] === 0) return Hello.Malformed;
  at += 1 + bytes[at]; // compression methods
  // Before TLS 1.3 a hello may end without extensions.
  if (at === end) return Hello.Found;
  if (end - at < 2 || uint16(bytes, at) !== end - at - 2) return Hello.Malformed;
  return readExtensions(bytes, at + 2, end, nameTo);
}

/** Section 4.2. Those that we read may be there once; of the rest, GREASE (RFC 8701) among them, only the
 * lengths are looked at. */
function readExtensions(bytes: Uint8Array, from: number, end: number, nameTo: number): Hello {
  let seen = 0;
  for (let at = from; at < end;) {
    if (end - at < 4) return Hello.Malformed;
    const body = at + 4, next = body + uint16(bytes, at + 2);
    if (next > end) return Hello.Malformed;
    let read = Hello.Found, bit = 0;
    switch (uint16(bytes, at)) {
      case Extension.ServerName:
        bit = SEEN_SERVER_NAME;
        read = readServerNames(bytes, body, next, nameTo);
        break;
      case Extension.Alpn:
        bit = SEEN_ALPN;
        read = readAlpn(bytes, body, next);
        break;
      case Extension.SupportedVersions:
        bit = SEEN_VERSIONS;
        read = readVersions(bytes, body, next);
        break;
      default: // none of ours
    }
    if ((seen & bit) !== 0) return Hello.Malformed;
    if (read !== Hello.Found) return read;
    seen |= bit;
    at = next;
  }
  return Hello.Found;
}

/** RFC 6066 section 3. Just one host name: OpenSSL and BoringSSL take nothing else either, and of two names the
 * server might see the other one. */
function readServerNames(bytes: Uint8Array, from: number, end: number, to: number): Hello {
  if (end - from < 5 || uint16(bytes, from) !== end - from - 2) return Hello.Malformed;
  if (bytes[from + 2] !== NAME_TYPE_HOST || uint16(bytes, from + 3) !== end - from - 5) {
    return Hello.Malformed;
  }
  if (end - from === 5) return Hello.Malformed;
  helloNameAt = to;
  helloNameBytes = copyServerName(bytes, from + 5, end, to);
  return helloNameBytes === 0 ? Hello.BadName : Hello.Found;
}

/**
 * Copies a host name in lower case, to at most SERVER_NAME_PLACE bytes at `to`: letters, digits, "-", "_" and
 * dots, at most 253, in labels of at most 63. RFC 6066 has neither addresses nor a dot at the end: the one is
 * refused, the other, the root's, is left out, as it is of Host.
 *
 * @returns how many bytes; 0: that is no name.
 */
export function copyServerName(bytes: Uint8Array, from: number, end: number, to: number): number {
  const last = end > from && bytes[end - 1] === Octet.Dot ? end - 1 : end;
  if (last === from || last - from > NAME_BYTES_MAX) return 0;
  let label = from;
  for (let at = from; at < last; at++) {
    const octet = NAME_OCTETS[bytes[at]];
    if (octet === 0) return 0;
    if (octet === Octet.Dot) {
      if (at === label || at - label > LABEL_BYTES_MAX) return 0;
      label = at + 1;
    }
    bytes[to + at - from] = octet;
  }
  if (label === last || last - label > LABEL_BYTES_MAX) return 0;
  return isIp4(bytes, to, to + last - from) ? 0 : last - from;
}

/** RFC 7301 section 3.1. */
function readAlpn(bytes: Uint8Array, from: number, end: number): Hello {
  if (end - from < 4 || uint16(bytes, from) !== end - from - 2) return Hello.Malformed;
  let at = from + 2;
  while (at < end) {
    if (bytes[at] === 0) return Hello.Malformed;
    at += 1 + bytes[at];
  }
  helloAlpnAt = from + 2;
  helloAlpnBytes = end - from - 2;
  return at === end ? Hello.Found : Hello.Malformed;
}

/** RFC 8446 section 4.2.1. Drafts and GREASE have another major number. */
function readVersions(bytes: Uint8Array, from: number, end: number): Hello {
  const count = end - from - 1;
  if (count < 2 || (count & 1) !== 0 || bytes[from] !== count) return Hello.Malformed;
  helloVersion = 0;
  for (let at = from + 1; at < end; at += 2) {
    if (bytes[at] === MAJOR) helloVersion = Math.max(helloVersion, uint16(bytes, at));
  }
  return Hello.Found;
}

function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}
