// `--watch`: the files that a configuration was read from are looked after, and it is read again when any of them has
// become another. Whatever it is made of counts: included files, files that values refer to, error pages, and the
// directories of patterns, where a file may come.
import { stampOf, WatchedFiles } from "./certificates/watched.ts";
import { DISK, type Disk } from "./config/disk.ts";

/** What was read, by path. */
export interface Read {
  readonly files: ReadonlySet<string>;
  readonly directories: ReadonlySet<string>;
}

/** A disk, and what is read from it while `read` runs. */
export function recording<T>(read: (disk: Disk) => T): { readonly result: T; readonly read: Read } {
  const files = new Set<string>(), directories = new Set<string>();
  const result = read({
    read: (path, bytesMax) => {
      files.add(path);
      return DISK.read(path, bytesMax);
    },
    list: (directory) => {
      directories.add(directory);
      return DISK.list(directory);
    },
  });
  return { result, read: { files, directories } };
}

export class ConfigWatch {
  readonly #changed: () => void;
  readonly #untold: (why: string) => void;
  #watched: WatchedFiles | undefined;
  #stamp = "";

  /** `changed` is called when anything may be another than it was at the last `follow`; `untold`, once, with why that may
   * be seen late. */
  constructor(changed: () => void, untold: (why: string) => void) {
    this.#changed = changed;
    this.#untold = untold;
  }

  /** Looks after what was read from here on. */
  follow({ files, directories }: Read): void {
    this.#watched?.close();
    const stamp = () => stampOf([...files, ...directories]);
    this.#stamp = stamp();
    this.#watched = new WatchedFiles(
      [...files],
      () => {
        const now = stamp();
        if (now === this.#stamp) return;
        this.#stamp = now; // whether or not it is taken: it is told once
        this.#changed();
      },
      this.#untold,
      [...directories],
    );
  }

  close(): void {
    this.#watched?.close();
  }
}
