// A disk of files that are only in a test.
import type { Disk } from "../../../src/control/config/disk.ts";

export type Files = Readonly<Record<string, string | Uint8Array | Error>>;

/** `told`: each path that is read. */
export function diskOf(files: Files, told: string[] = []): Disk {
  const none = () => Object.assign(new Error("no"), { code: "ENOENT" });
  return {
    read: (path, bytesMax) => {
      told.push(path);
      const found = files[path] ?? none();
      if (found instanceof Error) throw found;
      const bytes = typeof found === "string" ? new TextEncoder().encode(found) : found;
      return bytes.slice(0, bytesMax);
    },
    list: (directory) => {
      const base = directory === "." ? "" : `${directory.replace(/\/$/, "")}/`;
      const names = Object.keys(files).filter((path) => path.startsWith(base))
        .map((path) => path.slice(base.length).split("/")[0]).filter((name) => name !== "");
      if (names.length === 0) throw none();
      return [...new Set(names)].filter((name) => name !== "");
    },
  };
}

/** The surroundings of a root who has such a disk and nothing in the environment. */
export function among(files: Files, told?: string[]) {
  return { env: {}, uid: 0, disk: diskOf(files, told) };
}
