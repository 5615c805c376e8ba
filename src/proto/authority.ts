// A host with its port, as Host and request targets have it (RFC 9110 section 7.2, RFC 3986 section 3.2).
// Whoever routes by it compares bytes: what could be read in two ways is not taken.
import { Octet, OCTETS, Of } from "./octet.ts";
import { Refusal } from "./refusal.ts";

/** What the last `readAuthority` found: where the host ends, where the port begins (behind the end when
 * there is no colon), and whether the host is an address. */
export let hostEnd = 0;
export let portAt = 0;
export let hostLiteral = false;

/** Reads [from, end), which may be empty. Returns 0 or the negative of a Refusal. */
export function readAuthority(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  if (from < end && bytes[from] === Octet.BracketOpen) {
    while (at < end && bytes[at] !== Octet.BracketClose) at++;
    if (at === end || !isIp6(bytes, from + 1, at)) return -Refusal.BadHost;
    at++;
    hostLiteral = true;
  } else {
    while (at < end && (OCTETS[bytes[at]] & Of.HostName) !== 0) at++;
    hostLiteral = isIp4(bytes, from, at);
    // Two names for one host: the root's dot is one.
    if (at - from > 1 && bytes[at - 1] === Octet.Dot && bytes[at - 2] === Octet.Dot) return -Refusal.BadHost;
  }
  hostEnd = at;
  portAt = at + 1;
  if (at === end) return 0;
  if (bytes[at] === Octet.At) return -Refusal.UserInfo;
  if (bytes[at] !== Octet.Colon || at === from) return -Refusal.BadHost;
  return readPort(bytes, at + 1, end);
}

/** A port may be empty (RFC 3986 section 3.2.3): the scheme's own. */
function readPort(bytes: Uint8Array, from: number, end: number): number {
  let port = 0;
  for (let at = from; at < end; at++) {
    // "user:word@host" is no port.
    if ((OCTETS[bytes[at]] & Of.Digit) === 0) return userInfoOr(bytes, at, end, Refusal.BadPort);
    port = port * 10 + bytes[at] - Octet.Zero;
    if (at - from > 4 || port > 65_535) return userInfoOr(bytes, at, end, Refusal.BadPort);
  }
  return 0;
}

function userInfoOr(bytes: Uint8Array, from: number, end: number, refusal: Refusal): number {
  for (let at = from; at < end; at++) if (bytes[at] === Octet.At) return -Refusal.UserInfo;
  return -refusal;
}

/** Four decimal numbers up to 255, without leading zeros (RFC 3986 section 3.2.2: dec-octet). */
export function isIp4(bytes: Uint8Array, from: number, end: number): boolean {
  if (from === end || (OCTETS[bytes[from]] & Of.Digit) === 0) return false;
  let at = from;
  for (let part = 0; part < 4; part++) {
    if (part > 0 && (at >= end || bytes[at++] !== Octet.Dot)) return false;
    const begin = at;
    let value = 0;
    while (at < end && at - begin < 3 && (OCTETS[bytes[at]] & Of.Digit) !== 0) {
      value = value * 10 + bytes[at++] - Octet.Zero;
    }
    if (at === begin || value > 255) return false;
    if (at - begin > 1 && bytes[begin] === Octet.Zero) return false;
  }
  return at === end;
}

/** IPv6address of RFC 3986 section 3.2.2, without a zone: it means something to one machine only. */
export function isIp6(bytes: Uint8Array, from: number, end: number): boolean {
  let groups = 0;
  let gap = false;
  let at = from;
  if (at + 1 < end && bytes[at] === Octet.Colon) {
    if (bytes[at + 1] !== Octet.Colon) return false;
    gap = true;
    at += 2;
  }
  while (at < end) {
    const begin = at;
    while (at < end && at - begin < 4 && (OCTETS[bytes[at]] & Of.Hex) !== 0) at++;
    if (at === begin) return false;
    if (at < end && bytes[at] === Octet.Dot) {
      groups += 2;
      at = isIp4(bytes, begin, end) ? end : begin;
      if (at === begin) return false;
      break;
    }
    groups++;
    if (at === end) break;
    if (bytes[at++] !== Octet.Colon || at === end) return false;
    if (bytes[at] !== Octet.Colon) continue;
    if (gap) return false;
    gap = true;
    at++;
  }
  // "::" stands for at least one group of zeros.
  return gap ? groups <= 7 : groups === 8;
}
