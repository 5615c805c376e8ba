// What is written about sockets: interfaces, modes and owners of a file, where connections come from, how long
// a silent peer is asked whether it is there. Reading touches neither network nor disk.
import { isIPv4, isIPv6 } from "node:net";
import { type IpAddress, ipAddress, isWildcard } from "./address.ts";
import { quoted, type Reading, refused, shown, taken } from "./errors.ts";
import { type Range, readDuration } from "./units.ts";

/** As the kernel has names of interfaces (IFNAMSIZ, with its end). */
const INTERFACE_CHARACTERS_MAX = 15;
const SECOND_MS = 1_000;
/** Of tcp(7): seconds in 16 bits, signed. */
export const KEEP_ALIVE_MS: Range = { min: SECOND_MS, max: 32_767_000 };
export const KEEP_ALIVE_COUNT: Range = { min: 1, max: 127 };
export const USER_TIMEOUT_MS: Range = { min: 100, max: 3_600_000 };
export const DEFER_ACCEPT_MS: Range = { min: SECOND_MS, max: 60_000 };
/** What may wait in a listening socket's queue; the kernel cuts it to net.core.somaxconn. */
export const BACKLOG: Range = { min: 1, max: 65_535 };
export const BUFFER_BYTES: Range = { min: 4_096, max: 1 << 30 };
const ID_MAX = 4_294_967_294;

/** Reads the name of an interface, which need not be there. */
export function readInterface(input: string): Reading<string> {
  const remedy = "write a name as `ip link` shows it, such as eth0";
  if (input === "") return refused("empty", remedy);
  if (new TextEncoder().encode(input).length > INTERFACE_CHARACTERS_MAX) {
    return refused(`${quoted(input)} is longer than ${INTERFACE_CHARACTERS_MAX} characters`, remedy);
  }
  if (isIPv4(input) || isIPv6(input)) {
    return refused(`${quoted(input)} is an address`, `${remedy}; an address to come from is "source"`);
  }
  // dev_valid_name of the kernel; what cannot be printed is none either.
  if (input === "." || input === ".." || /[/:\s\p{Cc}\p{Cf}\p{Cs}]/u.test(input)) {
    return refused(`${quoted(input)} is no name of an interface`, remedy);
  }
  return taken(input);
}

/** Where connections to servers come from: an address of this machine, or the client's own. */
export type Source = IpAddress | "client";

/** Reads `10.0.0.9`, `2001:db8::9` or `client`. */
export function readSource(input: string): Reading<Source> {
  if (input === "client") return taken("client");
  const bare = /^\[(.*)\]$/.exec(input)?.[1] ?? input;
  const address = isIPv4(bare) || (isIPv6(bare) && !bare.includes("%")) ? ipAddress(bare, 0) : undefined;
  if (address === undefined) {
    const withPort = /^\[?([0-9a-f.:]+?)\]?:[0-9]+$/i.exec(input)?.[1];
    const isAddress = withPort !== undefined && (isIPv4(withPort) || isIPv6(withPort));
    return refused(
      isAddress
        ? `${quoted(input)} has a port, which the kernel chooses`
        : `${quoted(input)} is no IP address`,
      isAddress ? `write ${shown(withPort)}` : "write an address of this machine such as 10.0.0.9, or client",
    );
  }
  if (isWildcard(address)) {
    return refused(`${quoted(input)} is every address`, "leave it out, or write an address of this machine");
  }
  return taken(address);
}

/** Reads the mode of a file as chmod(1) does in digits: `0660`, `660`. */
export function readMode(input: string): Reading<number> {
  if (!/^0?[0-7]{3}$/.test(input)) {
    return refused(`${quoted(input)} is no mode`, 'write three digits from 0 to 7 in quotes, such as "0660"');
  }
  return taken(parseInt(input, 8));
}

/** A user or a group: by name, or by number. */
export type Owner = { readonly name: string } | { readonly id: number };

export function readOwner(input: string): Reading<Owner> {
  const remedy = "write a name, or its number";
  if (/^(0|[1-9][0-9]{0,9})$/.test(input)) {
    return Number(input) <= ID_MAX
      ? taken({ id: Number(input) })
      : refused(`${quoted(input)} is too large`, remedy);
  }
  // As useradd(8) has them, and those of directories beside them.
  if (!/^[a-z_A-Z][a-zA-Z0-9_.@-]{0,63}\$?$/.test(input)) {
    return refused(input === "" ? "empty" : `${quoted(input)} is no name`, remedy);
  }
  return taken({ name: input });
}

/** Reads a duration that the kernel counts in whole seconds. */
export function readSeconds(input: string, range: Range): Reading<number> {
  const reading = readDuration(input, range);
  if (!reading.ok || reading.value % SECOND_MS === 0) return reading;
  return refused(
    `${quoted(input)} is no whole number of seconds`,
    `write ${Math.ceil(reading.value / SECOND_MS)}s`,
  );
}
