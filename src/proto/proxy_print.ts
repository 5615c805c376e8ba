// The header of the PROXY protocol as we write it: see proxy_header.ts, which reads it.
import { crc32c } from "./crc32c.ts";
import { FULL, print, printBegin, printDecimal, printEnd, printIp, text } from "./http1_print.ts";
import {
  INTRODUCTION_DESTINATION,
  INTRODUCTION_REST,
  PROXY_FIXED_BYTES,
  PROXY_PATHS_BYTES,
  PROXY_SIGNATURE,
  ProxyFamily,
  Tlv,
  TLV_HEADER_BYTES,
} from "./proxy_header.ts";

const LOCAL = 0x20;
const PROXY = 0x21;
const STREAM = 1;
const DATAGRAM = 2;
/** Of a record. */
const PORT = 2;
const IP = 4;
const CHECKSUM_BYTES = 4;
/** Where a header has its length. */
const LENGTH = 14;

const TCP4 = text("PROXY TCP4 ");
const TCP6 = text("PROXY TCP6 ");
const UNKNOWN = text("PROXY UNKNOWN\r\n");
const MAPPED = text("::ffff:");
const SPACE = text(" ");
const CRLF = text("\r\n");
const NOTHING = text("");

/**
 * Prints a line of version 1 into the arena (http1_print.ts). `from`: where its introduction is, in `records`; -1:
 * the connection is our own.
 *
 * @returns where it ends
 */
export function printProxyLine(at: number, to: number, records: Uint8Array, from: number): number {
  const destination = from + INTRODUCTION_DESTINATION;
  const source = from < 0 ? 0 : records[from];
  printBegin(at, to);
  if (!isIp(source) || !isIp(records[destination])) print(UNKNOWN);
  else {
    const isOld = source === 4 && records[destination] === 4;
    print(isOld ? TCP4 : TCP6);
    printAddress(records, from, isOld);
    print(SPACE);
    printAddress(records, destination, isOld);
    print(SPACE);
    printDecimal(portOf(records, from));
    print(SPACE);
    printDecimal(portOf(records, destination));
    print(CRLF);
  }
  return printEnd();
}

function isIp(family: number): boolean {
  return family === 4 || family === 6;
}

/** Two addresses of different families are both written as IPv6. */
function printAddress(records: Uint8Array, record: number, isOld: boolean): void {
  print(!isOld && records[record] === 4 ? MAPPED : NOTHING);
  printIp(records, record);
}

function portOf(records: Uint8Array, record: number): number {
  return records[record + PORT] << 8 | records[record + PORT + 1];
}

/**
 * Writes a header of version 2 with its addresses, to which fields may be added (`putTlv`) before it is finished
 * (`finishProxy`). `from`: its introduction, of which the fields are not written; -1: the connection is our own
 * (LOCAL). A source without an address (UNSPEC) has none either. `datagram`: for UDP.
 *
 * @returns where it ends, or FULL
 */
export function beginProxy(
  bytes: Uint8Array,
  at: number,
  to: number,
  from: number,
  datagram: boolean,
): number {
  const family = from < 0 ? ProxyFamily.Unspec : familyOf(bytes, from);
  if (at + PROXY_FIXED_BYTES + PROXY_PATHS_BYTES > to) return FULL;
  bytes.set(PROXY_SIGNATURE, at);
  bytes[at + PROXY_SIGNATURE.length] = from < 0 ? LOCAL : PROXY;
  bytes[at + PROXY_SIGNATURE.length + 1] = family === ProxyFamily.Unspec
    ? 0
    : family << 4 | (datagram ? DATAGRAM : STREAM);
  const addresses = at + PROXY_FIXED_BYTES, destination = from + INTRODUCTION_DESTINATION;
  switch (family) {
    case ProxyFamily.Unspec:
      return addresses;
    case ProxyFamily.Unix: {
      const paths = from + INTRODUCTION_REST;
      bytes.copyWithin(addresses, paths, paths + PROXY_PATHS_BYTES);
      return addresses + PROXY_PATHS_BYTES;
    }
    default:
      break;
  }
  const ipBytes = family === ProxyFamily.Ip4 ? 4 : 16, ports = addresses + 2 * ipBytes;
  putAddress(bytes, addresses, from, ipBytes);
  putAddress(bytes, addresses + ipBytes, destination, ipBytes);
  bytes.copyWithin(ports, from + PORT, from + PORT + 2);
  bytes.copyWithin(ports + 2, destination + PORT, destination + PORT + 2);
  return ports + 4;
}

/** The family that both addresses of an introduction can be written in. */
function familyOf(bytes: Uint8Array, from: number): ProxyFamily {
  const source = bytes[from], destination = bytes[from + INTRODUCTION_DESTINATION];
  if (source === 1 && destination === 1) return ProxyFamily.Unix;
  if (!isIp(source) || !isIp(destination)) return ProxyFamily.Unspec;
  return source === 4 && destination === 4 ? ProxyFamily.Ip4 : ProxyFamily.Ip6;
}

function putAddress(bytes: Uint8Array, at: number, record: number, ipBytes: number): void {
  if (ipBytes === 4 || bytes[record] === 6) {
    bytes.copyWithin(at, record + IP, record + IP + ipBytes);
    return;
  }
  bytes.fill(0, at, at + 10);
  bytes.fill(255, at + 10, at + 12);
  bytes.copyWithin(at + 12, record + IP, record + IP + 4);
}

/** Begins a field whose value the caller writes. @returns where that goes */
export function beginTlv(bytes: Uint8Array, at: number, type: Tlv): number {
  bytes[at] = type;
  return at + TLV_HEADER_BYTES;
}

/** The field at `at` has its value, which ends at `end`. */
export function finishTlv(bytes: Uint8Array, at: number, end: number): number {
  const length = end - at - TLV_HEADER_BYTES;
  bytes[at + 1] = length >> 8;
  bytes[at + 2] = length & 255;
  return end;
}

/** Writes the length of a header that began at `from`, and seals it with a checksum. @returns where it ends */
export function finishProxy(bytes: Uint8Array, from: number, end: number, checksum: boolean): number {
  let all = end;
  if (checksum) {
    const value = beginTlv(bytes, end, Tlv.Crc32c);
    bytes.fill(0, value, value + CHECKSUM_BYTES);
    all = finishTlv(bytes, end, value + CHECKSUM_BYTES);
  }
  const length = all - from - PROXY_FIXED_BYTES;
  bytes[from + LENGTH] = length >> 8;
  bytes[from + LENGTH + 1] = length & 255;
  if (!checksum) return all;
  const crc = crc32c(bytes, from, all, all - CHECKSUM_BYTES);
  for (let octet = 0; octet < CHECKSUM_BYTES; octet++) {
    bytes[all - CHECKSUM_BYTES + octet] = (crc >>> (24 - 8 * octet)) & 255;
  }
  return all;
}
