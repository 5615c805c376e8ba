// Prefixes of IP addresses as people write them: 10.0.0.0/8, 2001:db8::/32, or an address alone; "unix" is
// whoever comes through a unix socket.
import { isIPv4, isIPv6 } from "node:net";
import { ipAddress } from "./address.ts";
import ipaddr from "ipaddr.js";
import { quoted, type Reading, refused, shown, taken } from "./errors.ts";

export interface Cidr {
  /** In canonical form, with its bits: `10.0.0.0/8`. */
  readonly text: string;
  /** As in an address record: 1 is unix. */
  readonly family: 1 | 4 | 6;
  readonly bits: number;
  /** 4 or 16 bytes; none of unix. */
  readonly ip: Uint8Array;
}

const UNIX: Cidr = { text: "unix", family: 1, bits: 0, ip: new Uint8Array() };

/** Longer texts are no prefix; refused before anything looks closer. */
const TEXT_CHARACTERS_MAX = 64;
const MAPPED_BITS = 96;

/**
 * Reads `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`, `::1`. IPv4-mapped IPv6 counts as IPv4. What the prefix
 * leaves out must be zero, because 10.1.2.3/8 is as likely a slip in the address as in the bits.
 */
export function readCidr(text: string): Reading<Cidr> {
  if (text === UNIX.text) return taken(UNIX);
  const form = "write a prefix such as 10.0.0.0/8 or 2001:db8::/32, or unix";
  const [ip, digits, ...more] = text.length > TEXT_CHARACTERS_MAX ? [] : text.split("/");
  if (["no", "off", "none"].includes(text)) {
    return refused(`${quoted(text)} is no prefix of IP addresses`, "leave it out");
  }
  if (text === "localhost") return refused(`${quoted(text)} is a name`, "write 127.0.0.0/8, or ::1");
  if (ip === undefined || more.length > 0 || !(isIPv4(ip) || (isIPv6(ip) && !ip.includes("%")))) {
    return refused(`${quoted(text)} is no prefix of IP addresses`, form);
  }
  const whole = isIPv4(ip) ? 32 : 128;
  if (digits !== undefined && !(/^(0|[1-9][0-9]{0,2})$/.test(digits) && Number(digits) <= whole)) {
    return refused(`${quoted(text)} has no length of 0 to ${whole} behind the slash`, form);
  }
  const address = ipAddress(ip, 0)!;
  const isMapped = address.family === 4 && whole === 128;
  const bits = (digits === undefined ? whole : Number(digits)) - (isMapped ? MAPPED_BITS : 0);
  if (bits < 0) return refused(`${quoted(text)} is wider than the mapped IPv4 addresses`, form);
  const bytes = Uint8Array.from(ipaddr.parse(address.ip).toByteArray());
  const network = masked(bytes, bits);
  const canonical = `${ipaddr.fromByteArray([...network]).toString()}/${bits}`;
  if (network.some((byte, at) => byte !== bytes[at])) {
    return refused(`${shown(text)} has bits behind its prefix`, `write ${canonical} or ${address.ip}`);
  }
  return taken({ text: `${address.ip}/${bits}`, family: address.family, bits, ip: bytes });
}

/** The first `bits` of an address, the rest zero. */
function masked(bytes: Uint8Array, bits: number): Uint8Array {
  return bytes.map((byte, at) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - at * 8))) & 0xff);
}
