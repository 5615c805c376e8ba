// The header of the PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt),
// by which a proxy says whose connection it passes on. It comes before everything else; what lies behind it belongs
// to the stream. Nothing is kept between two calls, nothing is allocated: whoever has more bytes asks again.
// Strict: one way to write it, every field looked at; what is left over is a flaw, not padding.
// Invariant: each beginning of a stream gives NeedMore or the verdict that all of it gives.
import { PEER_BYTES, PROXY_BYTES_MAX } from "../base/limits.ts";
import { crc32c } from "./crc32c.ts";
import { ascii, hexValue, Octet, OCTETS, Of } from "./octet.ts";
import { ProxyFlaw } from "./proxy_flaw.ts";

export const enum Proxy {
  /** More bytes are needed; of a datagram never. */
  NeedMore,
  /** A whole header; what it says is in the variables below. */
  Found,
  /** Something else: it begins as neither version does. */
  Missing,
  /** `proxyFlaw` says why. */
  Malformed,
  /** A line of version 1 without an end, or more than PROXY_BYTES_MAX of version 2. */
  TooLong,
}

/** After Found: the bytes of the header, to be skipped. */
export let proxyBytes = 0;
/** After Found: where the introduction ends that was written; 0: the header introduces nobody (LOCAL, UNKNOWN, the
 * family UNSPEC), and the connection's own addresses hold. */
export let proxyEnd = 0;
/** After Malformed. */
export let proxyFlaw: ProxyFlaw = ProxyFlaw.None;

/** An introduction: the record of the source, that of the destination (ffi/sluice.h, without their unix paths), both
 * paths as they came if the source is a unix socket, and the fields (TLV) that are to be passed on. */
export const INTRODUCTION_DESTINATION = PEER_BYTES;
export const INTRODUCTION_REST = 2 * PEER_BYTES;
/** Both paths of unix sockets. */
export const PROXY_PATHS_BYTES = 216;

/** Types of fields (TLV), section 2.2 of the specification. */
export const enum Tlv {
  Alpn = 0x01,
  Authority = 0x02,
  Crc32c = 0x03,
  Noop = 0x04,
  UniqueId = 0x05,
  Ssl = 0x20,
  SslVersion = 0x21,
  SslCommonName = 0x22,
  SslCipher = 0x23,
}
/** Type and length of a field. */
export const TLV_HEADER_BYTES = 3;

/** Version 2 begins so; its address family and transport, and how many bytes its addresses have. */
export const PROXY_SIGNATURE = Uint8Array.from([13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]);
export const PROXY_FIXED_BYTES = 16;
export const enum ProxyFamily {
  Unspec = 0,
  Ip4 = 1,
  Ip6 = 2,
  Unix = 3,
}
const ADDRESSES_BYTES: readonly number[] = [0, 12, 36, PROXY_PATHS_BYTES];
const STREAM = 1;
const DATAGRAM = 2;

const LINE_BEGIN = ascii("PROXY ");
/** Of version 1, with its end. */
const LINE_BYTES_MAX = 107;
const TCP4 = ascii("TCP4");
const TCP6 = ascii("TCP6");
const UNKNOWN = ascii("UNKNOWN");
/** Of a record: family, port, IP. */
const PORT = 2;
const IP = 4;
const UNIQUE_ID_BYTES_MAX = 128;
const CHECKSUM_BYTES = 4;

/**
 * Reads the header in `bytes[from, end)`. `datagram`: all that came in one (UDP), where only version 2 is known.
 * What it says is written to `into` as an introduction (see above), which takes at most PROXY_BYTES_MAX.
 */
export function readProxy(
  bytes: Uint8Array,
  from: number,
  end: number,
  into: number,
  datagram: boolean,
): Proxy {
  proxyBytes = 0;
  proxyEnd = 0;
  proxyFlaw = ProxyFlaw.None;
  if (from === end) return datagram ? Proxy.Missing : Proxy.NeedMore;
  if (bytes[from] === LINE_BEGIN[0] && !datagram) return readLine(bytes, from, end, into);
  return readBinary(bytes, from, end, into, datagram);
}

function flawed(flaw: ProxyFlaw): Proxy {
  proxyFlaw = flaw;
  return Proxy.Malformed;
}

/** How many of [from, end) are as `text` begins; -1: one is not. */
function begins(bytes: Uint8Array, from: number, end: number, text: Uint8Array): number {
  const count = Math.min(text.length, end - from);
  for (let at = 0; at < count; at++) if (bytes[from + at] !== text[at]) return -1;
  return count;
}

/** Version 1: `PROXY TCP4 SOURCE DESTINATION PORT PORT` and CR LF. */
function readLine(bytes: Uint8Array, from: number, end: number, into: number): Proxy {
  const begun = begins(bytes, from, end, LINE_BEGIN);
  if (begun < 0) return Proxy.Missing;
  if (begun < LINE_BEGIN.length) return Proxy.NeedMore;
  const most = Math.min(end, from + LINE_BYTES_MAX);
  let at = from + begun;
  while (at < most && bytes[at] >= Octet.Space && bytes[at] < Octet.Delete) at++;
  if (at >= from + LINE_BYTES_MAX - 1) return Proxy.TooLong;
  if (at === end) return Proxy.NeedMore;
  if (bytes[at] !== Octet.Cr) return flawed(ProxyFlaw.ControlCharacter);
  if (at + 1 === end) return Proxy.NeedMore;
  if (bytes[at + 1] !== Octet.Lf) return flawed(ProxyFlaw.ControlCharacter);
  proxyBytes = at + 2 - from;
  return readWords(bytes, from + begun, at, into);
}

function readWords(bytes: Uint8Array, from: number, end: number, into: number): Proxy {
  const protocolEnd = wordEnd(bytes, from, end);
  if (isText(bytes, from, protocolEnd, UNKNOWN)) return Proxy.Found; // whatever else it says
  const family = isText(bytes, from, protocolEnd, TCP4) ? 4 : isText(bytes, from, protocolEnd, TCP6) ? 6 : 0;
  if (family === 0) return flawed(ProxyFlaw.BadProtocol);
  const sourceEnd = wordEnd(bytes, protocolEnd + 1, end), destinationEnd = wordEnd(bytes, sourceEnd + 1, end);
  const portEnd = wordEnd(bytes, destinationEnd + 1, end), lastEnd = wordEnd(bytes, portEnd + 1, end);
  if (portEnd >= end || lastEnd !== end) return flawed(ProxyFlaw.BadLine);
  const destination = into + INTRODUCTION_DESTINATION;
  bytes.fill(0, into, into + INTRODUCTION_REST);
  if (
    !readIp(bytes, protocolEnd + 1, sourceEnd, family, into) ||
    !readIp(bytes, sourceEnd + 1, destinationEnd, family, destination)
  ) return flawed(ProxyFlaw.BadAddress);
  if (
    !readPort(bytes, destinationEnd + 1, portEnd, into) || !readPort(bytes, portEnd + 1, lastEnd, destination)
  ) return flawed(ProxyFlaw.BadPort);
  proxyEnd = into + INTRODUCTION_REST;
  return Proxy.Found;
}

function wordEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && bytes[at] !== Octet.Space) at++;
  return at;
}

function isText(bytes: Uint8Array, from: number, end: number, text: Uint8Array): boolean {
  return end - from === text.length && begins(bytes, from, end, text) === text.length;
}

/** 0 to 65535, without leading zeroes. */
function readPort(bytes: Uint8Array, from: number, end: number, record: number): boolean {
  const value = decimal(bytes, from, end, 5);
  if (value < 0 || value > 65_535) return false;
  bytes[record + PORT] = value >> 8;
  bytes[record + PORT + 1] = value & 255;
  return true;
}

/** A number of at most `digits` digits, without leading zeroes; -1: it is none. */
function decimal(bytes: Uint8Array, from: number, end: number, digits: number): number {
  if (end <= from || end - from > digits || (bytes[from] === Octet.Zero && end - from > 1)) return -1;
  let value = 0;
  for (let at = from; at < end; at++) {
    if (!(OCTETS[bytes[at]] & Of.Digit)) return -1;
    value = value * 10 + bytes[at] - Octet.Zero;
  }
  return value;
}

function readIp(bytes: Uint8Array, from: number, end: number, family: number, record: number): boolean {
  bytes[record] = family;
  if (family === 4) return readIp4(bytes, from, end, record + IP);
  if (!readIp6(bytes, from, end, record + IP)) return false;
  unmap(bytes, record);
  return true;
}

function readIp4(bytes: Uint8Array, from: number, end: number, into: number): boolean {
  let at = from;
  for (let octet = 0; octet < 4; octet++) {
    let until = at;
    while (until < end && bytes[until] !== Octet.Dot) until++;
    const value = decimal(bytes, at, until, 3);
    if (value < 0 || value > 255 || (until === end) !== (octet === 3)) return false;
    bytes[into + octet] = value;
    at = until + 1;
  }
  return true;
}

/** RFC 4291 section 2.2: groups, one `::` for at least one of them, IPv4 in place of the last two. */
function readIp6(bytes: Uint8Array, from: number, end: number, into: number): boolean {
  let group = 0, gap = -1, at = from;
  if (at < end && bytes[at] === Octet.Colon) { // only `::` begins so
    if (at + 1 === end || bytes[at + 1] !== Octet.Colon) return false;
    gap = 0;
    at += 2;
  }
  while (at < end) {
    let until = at, value = 0;
    while (until < end && (OCTETS[bytes[until]] & Of.Hex) !== 0) {
      value = (value << 4) | hexValue(bytes[until++]);
      if (until - at > 4) return false;
    }
    if (until < end && bytes[until] === Octet.Dot) {
      if (group > 6 || !readIp4(bytes, at, end, into + 2 * group)) return false;
      group += 2;
      at = end;
      break;
    }
    if (until === at || group === 8) return false;
    bytes[into + 2 * group] = value >> 8;
    bytes[into + 2 * group + 1] = value & 255;
    group++;
    at = until;
    if (at === end) break;
    if (bytes[at] !== Octet.Colon || at + 1 === end) return false; // nothing ends in one colon
    at++;
    if (bytes[at] !== Octet.Colon) continue;
    if (gap >= 0) return false;
    gap = group;
    at++;
  }
  if (gap < 0) return group === 8;
  if (group > 7) return false;
  const moved = 2 * (group - gap);
  bytes.copyWithin(into + 16 - moved, into + 2 * gap, into + 2 * group);
  bytes.fill(0, into + 2 * gap, into + 16 - moved);
  return true;
}

/** IPv4 in IPv6's clothes is IPv4, as everywhere (ffi/address.c). */
function unmap(bytes: Uint8Array, record: number): void {
  const ip = record + IP;
  for (let at = 0; at < 12; at++) if (bytes[ip + at] !== (at < 10 ? 0 : 255)) return;
  bytes[record] = 4;
  bytes.copyWithin(ip, ip + 12, ip + 16);
  bytes.fill(0, ip + 4, ip + 16);
}

/** Version 2: twelve bytes of signature, version and command, family and transport, length; addresses, fields. */
function readBinary(bytes: Uint8Array, from: number, end: number, into: number, datagram: boolean): Proxy {
  const short = datagram ? Proxy.Malformed : Proxy.NeedMore;
  if (datagram) proxyFlaw = ProxyFlaw.Cut;
  const begun = begins(bytes, from, end, PROXY_SIGNATURE);
  if (begun < 0) return missing();
  const at = from + PROXY_SIGNATURE.length;
  if (at >= end) return short;
  if (bytes[at] >> 4 !== 2) return flawed(ProxyFlaw.BadVersion);
  const command = bytes[at] & 15;
  if (command > 1) return flawed(ProxyFlaw.BadCommand);
  const introduces = command === 1;
  if (at + 1 >= end) return short;
  const family = bytes[at + 1] >> 4, transport = bytes[at + 1] & 15;
  if (introduces) {
    const isUnspec = family === ProxyFamily.Unspec;
    if (family > ProxyFamily.Unix || transport > DATAGRAM || isUnspec !== (transport === 0)) {
      return flawed(ProxyFlaw.BadFamily);
    }
    if (!isUnspec && transport !== (datagram ? DATAGRAM : STREAM)) return flawed(ProxyFlaw.OtherTransport);
  }
  if (at + 4 > end) return short;
  const length = bytes[at + 2] << 8 | bytes[at + 3];
  if (PROXY_FIXED_BYTES + length > PROXY_BYTES_MAX) return Proxy.TooLong;
  if (introduces && length < ADDRESSES_BYTES[family]) return flawed(ProxyFlaw.ShortAddresses);
  if (at + 4 + length > end) return short;
  proxyFlaw = ProxyFlaw.None;
  proxyBytes = PROXY_FIXED_BYTES + length;
  if (!introduces) return Proxy.Found; // who checks us: nothing behind it counts
  const addresses = from + PROXY_FIXED_BYTES, fields = addresses + ADDRESSES_BYTES[family];
  const restAt = family === ProxyFamily.Unspec ? into : readAddresses(bytes, addresses, family, into);
  const restEnd = readFields(bytes, from, fields, from + proxyBytes, restAt);
  if (restEnd < 0) return Proxy.Malformed;
  if (family !== ProxyFamily.Unspec) proxyEnd = restEnd;
  return Proxy.Found;
}

function missing(): Proxy {
  proxyFlaw = ProxyFlaw.None;
  return Proxy.Missing;
}

/** @returns where the rest of the introduction begins */
function readAddresses(bytes: Uint8Array, from: number, family: ProxyFamily, into: number): number {
  bytes.fill(0, into, into + INTRODUCTION_REST);
  const destination = into + INTRODUCTION_DESTINATION, rest = into + INTRODUCTION_REST;
  if (family === ProxyFamily.Unix) {
    bytes[into] = bytes[destination] = 1;
    bytes.copyWithin(rest, from, from + PROXY_PATHS_BYTES);
    return rest + PROXY_PATHS_BYTES;
  }
  const ipBytes = family === ProxyFamily.Ip4 ? 4 : 16, ports = from + 2 * ipBytes;
  bytes[into] = bytes[destination] = family === ProxyFamily.Ip4 ? 4 : 6;
  bytes.copyWithin(into + IP, from, from + ipBytes);
  bytes.copyWithin(destination + IP, from + ipBytes, ports);
  bytes.copyWithin(into + PORT, ports, ports + 2);
  bytes.copyWithin(destination + PORT, ports + 2, ports + 4);
  if (family === ProxyFamily.Ip6) {
    unmap(bytes, into);
    unmap(bytes, destination);
  }
  return rest;
}

/** Looks at the fields in [at, end) of the header at `from`; those that are passed on are copied to `into`. A
 * checksum is of this header alone, and padding is none of anybody's. @returns where they end; -1: malformed */
function readFields(bytes: Uint8Array, from: number, fields: number, end: number, into: number): number {
  let checksumAt = -1, uniqueIds = 0;
  for (let at = fields; at < end;) {
    if (end - at < TLV_HEADER_BYTES) return refused(ProxyFlaw.BadTlv);
    const type: Tlv = bytes[at], value = at + TLV_HEADER_BYTES;
    const length = bytes[at + 1] << 8 | bytes[at + 2], next = value + length;
    if (next > end) return refused(ProxyFlaw.BadTlv);
    if (type === Tlv.Crc32c) {
      if (length !== CHECKSUM_BYTES || checksumAt >= 0) return refused(ProxyFlaw.BadTlv);
      checksumAt = value;
    } else if (type === Tlv.UniqueId) {
      if (length > UNIQUE_ID_BYTES_MAX) return refused(ProxyFlaw.LongUniqueId);
      if (uniqueIds++ > 0) return refused(ProxyFlaw.BadTlv);
    }
    at = next;
  }
  if (checksumAt >= 0 && crc32c(bytes, from, end, checksumAt) !== word(bytes, checksumAt)) {
    return refused(ProxyFlaw.BadChecksum);
  }
  let kept = into;
  for (let at = fields; at < end;) {
    const type: Tlv = bytes[at], next = at + TLV_HEADER_BYTES + (bytes[at + 1] << 8 | bytes[at + 2]);
    if (type !== Tlv.Crc32c && type !== Tlv.Noop) {
      bytes.copyWithin(kept, at, next);
      kept += next - at;
    }
    at = next;
  }
  return kept;
}

function refused(flaw: ProxyFlaw): number {
  proxyFlaw = flaw;
  proxyBytes = 0;
  return -1;
}

/** 32 bits in network order. */
function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
}
