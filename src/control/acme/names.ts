// Names that a certificate can be had for by the challenges that we speak: host names, exact ones.
import { isIP } from "node:net";

/** DNS has 253. What is kept of a name is in files that are called after it (storage.ts), at the longest
 * NAME.json.broken-TIME, and file systems take 255. */
const NAME_CHARACTERS_MAX = 255 - ".json.broken-1234567890123".length;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** As certificates and files have it. */
export function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

/** What keeps a canonical name from being issued for; undefined if nothing does. */
export function nameFlaw(name: string): string | undefined {
  if (name.includes("*")) return "wildcards need a DNS challenge, which is not supported";
  if (isIP(name) !== 0) return "that is an address, not a name";
  if (name.length === 0 || name.length > NAME_CHARACTERS_MAX) return "not a host name: too short or too long";
  const labels = name.split(".");
  const bad = labels.find((label) => !LABEL.test(label));
  if (bad !== undefined) return "not a host name: letters, digits and hyphens, in labels of at most 63";
  if (/^\d+$/.test(labels[labels.length - 1])) return "not a host name: the last label is a number";
  return undefined;
}
