// The files of addresses that listeners' lists name: read with the configuration, and again when they change.
import { DISK, type Disk, textOfFile } from "./disk.ts";
import { quoted } from "./errors.ts";
import type { Finding, Path } from "./finding.ts";
import type { ListEntry } from "./limits_schema.ts";
import { type LineFlaw, LIST_ENTRIES_MAX, type ListEntries, readList } from "./list_entries.ts";

/** What files hold, by the path as it was written. */
export type ListFiles = ReadonlyMap<string, ListEntries>;

/** As long as LIST_ENTRIES_MAX lines of IPv6 may be. */
const FILE_BYTES_MAX = 64 << 20;

export type Listeners = Readonly<
  Record<string, { readonly allow?: readonly ListEntry[]; readonly deny?: readonly ListEntry[] }>
>;

/** The files that lists name, each once, in the order in which they stand. */
export function listPaths(listeners: Listeners): string[] {
  return [...new Set([...sourcesOf(listeners)].map(({ path }) => path))];
}

/** Reads every file that the listeners' lists name, once. */
export function readListFiles(
  listeners: Listeners,
  disk: Disk = DISK,
): { files: ListFiles; findings: Finding[] } {
  const files = new Map<string, ListEntries>(), findings: Finding[] = [];
  const seen = new Set<string>();
  let count = 0;
  for (const { path: file, key } of sourcesOf(listeners)) {
    if (seen.has(file)) continue;
    seen.add(file);
    const found = readListFile(file, disk);
    if ("flaws" in found) {
      findings.push(
        ...found.flaws.map((flaw): Finding => ({ path: key, ...toldOf(file, flaw), severity: "error" })),
      );
      continue;
    }
    files.set(file, found);
    count += found.count;
    if (count <= LIST_ENTRIES_MAX) continue;
    const what = `the lists have more than ${LIST_ENTRIES_MAX} entries together, from here on`;
    findings.push({ path: key, what, remedy: "write wider prefixes", severity: "error" });
    break;
  }
  return { files, findings };
}

/** What one file holds, or what is wrong with it. Line 0 is the file as a whole. */
export function readListFile(
  path: string,
  disk: Disk = DISK,
): ListEntries | { readonly flaws: readonly LineFlaw[] } {
  const found = textOfFile(path, disk, FILE_BYTES_MAX);
  return "text" in found ? readList(found.text) : { flaws: [{ line: 0, ...found }] };
}

/** A flaw with its file and line. */
export function toldOf(file: string, { line, what, remedy }: LineFlaw): { what: string; remedy: string } {
  return { what: `${quoted(file)}${line === 0 ? "" : ` line ${line}`}: ${what}`, remedy };
}

function* sourcesOf(listeners: Listeners): Generator<{ path: string; key: Path }> {
  for (const [name, listener] of Object.entries(listeners)) {
    for (const list of ["deny", "allow"] as const) {
      for (const [at, entry] of (listener[list] ?? []).entries()) {
        if (entry.kind === "file") yield { path: entry.path, key: ["listeners", name, list, at] };
      }
    }
  }
}
