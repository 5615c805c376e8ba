// Which of the names that we know a field has, found by its bytes. A hash of length, first octet and last
// but one leads to at most one candidate; only that one is compared.
import { assertTable } from "../base/assert.ts";
import { Name } from "./head.ts";
import { ascii, likeText, Octet, sameText } from "./octet.ts";

/** By Name, in lower case. */
export const NAMES: readonly Uint8Array[] = [
  "",
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "upgrade",
  "expect",
  "cookie",
  "date",
  "server",
  "via",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-real-ip",
  "x-request-id",
  "traceparent",
  "proxy-status",
  "referer",
  "user-agent",
  "max-forwards",
].map(ascii);

// Found by trying: no two names meet, and neither do a name and one of the usual other fields.
const FIRST = 3, LAST_BUT_ONE = 38;
const SLOTS = 256;

/** By hash: Name. */
const nameAt = new Uint8Array(SLOTS);

function hashOf(bytes: Uint8Array, from: number, end: number): number {
  const first = (bytes[from] | Octet.Lower) * FIRST;
  return (end - from + first + (bytes[end - 2] | Octet.Lower) * LAST_BUT_ONE) & (SLOTS - 1);
}

for (let name: Name = Name.Host; name < NAMES.length; name++) {
  const hash = hashOf(NAMES[name], 0, NAMES[name].length);
  assertTable(nameAt[hash] === Name.Other, "names: two have the same hash");
  nameAt[hash] = name;
}
assertTable(NAMES.length === Name.MaxForwards + 1, "names: one for each Name");

/** The name in [from, end), which holds a token: one of ours, whatever its case, Lookalike or Other. */
export function nameOf(bytes: Uint8Array, from: number, end: number): Name {
  if (end - from < 2) return Name.Other;
  const name: Name = nameAt[hashOf(bytes, from, end)];
  if (name === Name.Other || sameText(bytes, from, end, NAMES[name])) return name;
  // They have the same hash: underscores stand neither first nor last but one in any name.
  return likeText(bytes, from, end, NAMES[name]) ? Name.Lookalike : Name.Other;
}
