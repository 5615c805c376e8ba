// How a configuration reads the disk: through one seam, bounded, and with words for what goes wrong.
import { closeSync, constants, openSync, readdirSync, readSync } from "node:fs";
import { shown } from "./errors.ts";

export interface Disk {
  /** Reads a file, or at most so many bytes of it. @throws an error of node:fs */
  readonly read: (path: string, bytesMax: number) => Uint8Array;
  /** Names in a directory. @throws an error of node:fs */
  readonly list: (directory: string) => readonly string[];
}

export const DISK: Disk = { read: readAtMost, list: (directory) => readdirSync(directory) };

/** The same disk; `files` learns what is read from it. */
export function remembering(disk: Disk, files: Set<string>): Disk {
  return {
    ...disk,
    read: (path, bytesMax) => {
      const bytes = disk.read(path, bytesMax);
      files.add(path);
      return bytes;
    },
  };
}

/** What a file holds, or why that is no text. */
export function textOfFile(
  path: string,
  disk: Disk,
  bytesMax: number,
): { readonly text: string; readonly bytes: Uint8Array } | {
  readonly what: string;
  readonly remedy: string;
} {
  const bytes = bytesOfFile(path, disk, bytesMax + 1);
  if (!(bytes instanceof Uint8Array)) return bytes;
  if (bytes.length > bytesMax) {
    return { what: `longer than ${bytesMax} bytes`, remedy: "make the file shorter" };
  }
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), bytes };
  } catch {
    return { what: "no text in UTF-8", remedy: "save the file as UTF-8" };
  }
}

/** At most so many bytes of a file, or why it cannot be read. */
export function bytesOfFile(
  path: string,
  disk: Disk,
  bytesMax: number,
): Uint8Array | { readonly what: string; readonly remedy: string } {
  try {
    return disk.read(path, bytesMax);
  } catch (error) {
    return unreadable(error, path);
  }
}

/** In words: why a path could not be opened. */
export function unreadable(error: unknown, path: string): { readonly what: string; readonly remedy: string } {
  const { code = String(error) } = error as NodeJS.ErrnoException;
  const from = path.startsWith("/") ? "" : ", from the working directory on";
  const remedy = `write the path of a file${from}`;
  switch (code) {
    case "ENOENT":
      return { what: "there is no such file", remedy };
    case "EACCES":
      return { what: "this user may not read it", remedy: "change its owner or its mode" };
    case "EISDIR":
      return { what: "a directory", remedy };
    default:
      return { what: `cannot be read: ${shown(code)}`, remedy };
  }
}

/** A device or a pipe has no size that could be asked for. */
function readAtMost(path: string, bytesMax: number): Uint8Array {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK); // a pipe without a writer is empty
  try {
    const parts: Uint8Array[] = [];
    let length = 0;
    for (let read = -1; length < bytesMax && read !== 0; length += read) {
      read = readSync(file, scratch, 0, Math.min(bytesMax - length, scratch.length), null);
      parts.push(scratch.slice(0, read));
    }
    return Buffer.concat(parts);
  } finally {
    closeSync(file);
  }
}

/** What is read goes through here: a large place for each of thousands of small files would cost more than they. */
const scratch = new Uint8Array(1 << 16);
