// The files that error pages are read from: each once, when the configuration is read, and never again.
import { bytesOfFile, DISK, type Disk } from "./disk.ts";
import type { ErrorPage, Form } from "./error_pages.ts";
import { quoted } from "./errors.ts";
import type { Finding, Path } from "./finding.ts";
import { OWN_BODY_BYTES_MAX } from "./http_values.ts";

/** What files hold, by the path as it was written. */
export type PageFiles = ReadonlyMap<string, Uint8Array>;

type Listeners = Readonly<Record<string, { readonly "error-pages": Readonly<Record<string, ErrorPage>> }>>;

/** All pages of a configuration together: every Plan has a copy. */
export const PAGES_BYTES_MAX = 16 << 20;

/** Reads every file that the listeners' pages name, once. */
export function readPageFiles(
  listeners: Listeners,
  disk: Disk = DISK,
): { files: PageFiles; findings: Finding[] } {
  const files = new Map<string, Uint8Array>(), findings: Finding[] = [];
  const flaws = new Map<string, Omit<Finding, "path" | "severity">>();
  const seen = new Set<string>();
  let bytes = 0;
  for (const { path, source } of sourcesOf(listeners)) {
    const known = keyOf(source);
    const isNew = !seen.has(known);
    seen.add(known);
    if (source.kind === "file" && isNew) {
      const found = readPage(source.path, disk);
      if (found instanceof Uint8Array) files.set(source.path, found);
      else flaws.set(source.path, found);
    }
    const flaw = source.kind === "file" ? flaws.get(source.path) : undefined;
    if (flaw !== undefined) findings.push({ ...flaw, path, severity: "error" });
    if (isNew) bytes += pageBytes(source, files)?.length ?? 0;
    if (bytes <= PAGES_BYTES_MAX) continue;
    const what = `the error pages are longer than ${PAGES_BYTES_MAX} bytes together, from here on`;
    findings.push({ path, what, remedy: "write shorter ones, or fewer", severity: "error" });
    break;
  }
  return { files, findings };
}

/** The same for sources that give the same bytes. */
export function keyOf(source: NonNullable<ErrorPage[Form]>): string {
  return source.kind === "file" ? `file\n${source.path}` : `text\n${source.text}`;
}

/** The bytes of a page; undefined: of a file that could not be read. */
export function pageBytes(source: NonNullable<ErrorPage[Form]>, files: PageFiles): Uint8Array | undefined {
  return source.kind === "file" ? files.get(source.path) : new TextEncoder().encode(source.text);
}

function* sourcesOf(listeners: Listeners) {
  for (const [name, { "error-pages": pages }] of Object.entries(listeners)) {
    for (const [status, page] of Object.entries(pages)) {
      for (const [form, source] of Object.entries(page)) {
        const path: Path = ["listeners", name, "error-pages", status, form];
        if (source !== undefined) yield { path, source };
      }
    }
  }
}

/** What a file holds, or why that is no page. */
function readPage(path: string, disk: Disk): Uint8Array | { what: string; remedy: string } {
  const bytes = bytesOfFile(path, disk, OWN_BODY_BYTES_MAX + 1);
  if (!(bytes instanceof Uint8Array)) return { ...bytes, what: `${quoted(path)}: ${bytes.what}` };
  if (bytes.length > OWN_BODY_BYTES_MAX) {
    const what = `${quoted(path)} is longer than ${OWN_BODY_BYTES_MAX} bytes`;
    return { what, remedy: "make the page shorter" };
  }
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return { what: `${quoted(path)} is no text in UTF-8`, remedy: "save it as UTF-8" };
  }
  return bytes;
}
