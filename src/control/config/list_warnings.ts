// Lists that let nobody in: possible, and hardly what was meant. Only what is plain to see: an entry is denied where one
// entry of `deny` has all of it, not where several together have.
import { quoted } from "./errors.ts";
import type { Finding } from "./finding.ts";
import type { ListEntry } from "./limits_schema.ts";
import { ListEntries } from "./list_entries.ts";
import type { Listeners, ListFiles } from "./list_files.ts";

/** A warning for each listener whose `allow` lets nobody in. */
export function listWarnings(listeners: Listeners, files: ListFiles): Finding[] {
  return Object.entries(listeners).flatMap(([name, { allow, deny }]): Finding[] => {
    if (allow === undefined) return [];
    const path = ["listeners", name, "allow"];
    const allowed = partsOf(allow, files), denied = partsOf(deny ?? [], files);
    if (allowed === undefined || denied === undefined) return [];
    if (allowed.every(({ count }) => count === 0)) {
      const paths = allow.flatMap((entry) => entry.kind === "file" ? [quoted(entry.path)] : []);
      const what = `nobody is let in: there is no address in ${[...new Set(paths)].join(", ")}`;
      return [{ path, what, remedy: "write addresses into it, or leave allow out", severity: "warning" }];
    }
    if (!areAllDenied(allowed, denied)) return [];
    const what = "nobody is let in: deny has all of these addresses";
    return [{ path, what, remedy: "take them out of deny, or allow others", severity: "warning" }];
  });
}

/** The entries of the configuration itself and of each file; undefined: a file could not be read, which is told. */
function partsOf(list: readonly ListEntry[], files: ListFiles): ListEntries[] | undefined {
  const inline = new ListEntries(), parts = [inline];
  for (const entry of list) {
    const file = entry.kind === "file" ? files.get(entry.path) : undefined;
    if (entry.kind === "prefix") inline.add(entry.cidr, 0);
    else if (file === undefined) return undefined;
    else parts.push(file);
  }
  return parts;
}

function areAllDenied(allowed: readonly ListEntries[], denied: readonly ListEntries[]): boolean {
  // Most lists are told by the first entry, so that those of 100,000 cost little.
  const first = allowed.find(({ count }) => count > 0)!;
  if (!denied.some((part) => hasAll(part, first))) return false;
  const known = new Set(
    denied.flatMap((part) => Array.from({ length: part.count }, (_, at) => keyOf(part, at))),
  );
  return allowed.every((part) => {
    for (let at = 0; at < part.count; at++) if (!isDenied(known, part, at)) return false;
    return true;
  });
}

/** Whether one entry of a list has all of the other list's first one. */
function hasAll(denied: ListEntries, allowed: ListEntries): boolean {
  for (let at = 0; at < denied.count; at++) {
    const bits = denied.bits[at];
    const isWider = denied.family[at] === allowed.family[0] && bits <= allowed.bits[0];
    if (isWider && isSameStart(denied.ip, 4 * at, allowed.ip, bits)) return true;
  }
  return false;
}

/** Whether the first `bits` of two addresses are the same, of which one is at `at`, the other one the first. */
function isSameStart(ip: Uint32Array, at: number, other: Uint32Array, bits: number): boolean {
  for (let word = 0; word < 4 && bits > 32 * word; word++) {
    const ignored = Math.max(0, 32 * (word + 1) - bits);
    if ((ip[at + word] ^ other[word]) >>> ignored !== 0) return false;
  }
  return true;
}

function isDenied(known: ReadonlySet<string>, allowed: ListEntries, at: number): boolean {
  for (let bits = allowed.bits[at]; bits >= 0; bits--) if (known.has(keyOf(allowed, at, bits))) return true;
  return false;
}

/** The first `bits` of an entry. */
function keyOf({ family, ip, bits: all }: ListEntries, at: number, bits = all[at]): string {
  const words = [0, 1, 2, 3].map((word) => {
    const here = bits - 32 * word;
    return here <= 0 ? 0 : here >= 32 ? ip[4 * at + word] : (ip[4 * at + word] & (-1 << (32 - here))) >>> 0;
  });
  return `${family[at]}/${bits}/${words.join(".")}`;
}
