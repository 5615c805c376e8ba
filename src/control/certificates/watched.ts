// Files that are looked after: whatever makes a path lead to other bytes is told of. Directories are watched,
// since files are replaced: those of the file itself and of every link on the way to it (certbot turns the link
// at the end, Kubernetes one in the middle). What nobody tells of (network file systems, more directories than
// are watched) is found by looking, once a minute.
import { type FSWatcher, lstatSync, readlinkSync, statSync, watch } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/** Files are written in steps: they are read when they have been quiet for so long. */
const QUIET_MS = 200;
/** Somebody else's files in the same directory may never be quiet. */
const PATIENCE_MS = 2_000;
const LOOK_MS = 60_000;
/** As the kernel counts links of one path. */
const LINKS_MAX = 40;
const DIRECTORIES_MAX = 4_096;

/** Stands for every name of a directory; no file is called so. */
const ANY = "/";

/** Names in directories. */
export type Entries = Map<string, Set<string>>;

interface Watched {
  readonly watcher: FSWatcher;
  readonly inode: number;
  names: ReadonlySet<string>;
}

export class WatchedFiles {
  readonly #paths: readonly string[];
  readonly #directories: readonly string[];
  readonly #changed: () => void;
  readonly #untold: (why: string) => void;
  readonly #watched = new Map<string, Watched>();
  #look: ReturnType<typeof setInterval> | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;
  /** When what is waited to become quiet began; 0: nothing is. */
  #since = 0;
  #isTold = false;

  /** `changed` is called when any of them may have changed, and once a minute; `untold` once, with why changes may
   * be seen that late. `directories`: whatever comes there or goes counts as well. */
  constructor(
    paths: readonly string[],
    changed: () => void,
    untold: (why: string) => void,
    directories: readonly string[] = [],
  ) {
    this.#paths = paths;
    this.#directories = directories;
    this.#changed = changed;
    this.#untold = untold;
    this.#follow();
    this.#look = setInterval(() => this.#tell(), LOOK_MS);
    this.#look.unref();
  }

  close(): void {
    clearInterval(this.#look);
    clearTimeout(this.#settling);
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
  }

  #tell(): void {
    this.#since = 0;
    this.#changed();
    this.#follow();
  }

  #settle(): void {
    const now = performance.now();
    if (this.#since === 0) this.#since = now;
    else if (now - this.#since > PATIENCE_MS) return; // it is set
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#tell(), QUIET_MS);
    this.#settling.unref();
  }

  /** Watches where the paths lead through now. What has changed before somebody watched is found by one more look. */
  #follow(): void {
    const entries = entriesOf(this.#paths);
    for (const directory of this.#directories) entries.set(resolve(directory), new Set([ANY]));
    const before = this.#watched.size;
    for (const [directory, { watcher, inode }] of this.#watched) {
      if (entries.has(directory) && inodeOf(directory) === inode) continue;
      watcher.close(); // gone, or another one by the same name
      this.#watched.delete(directory);
    }
    const kept = this.#watched.size;
    for (const [directory, names] of entries) this.#watch(directory, names);
    if (this.#watched.size > kept || kept < before) this.#settle();
  }

  #watch(directory: string, names: ReadonlySet<string>): void {
    const known = this.#watched.get(directory);
    if (known !== undefined) {
      known.names = names;
      return;
    }
    if (this.#watched.size === DIRECTORIES_MAX) {
      return this.#tellUntold(`files are in more than ${DIRECTORIES_MAX} directories`);
    }
    try {
      const own = basename(directory);
      const watcher = watch(directory, (_, name) => {
        if (name === null || name === own || this.#isMeant(directory, name)) this.#settle();
      });
      watcher.on("error", ({ message }) => this.#tellUntold(`cannot watch ${directory}: ${message}`));
      watcher.unref?.();
      this.#watched.set(directory, { watcher, inode: inodeOf(directory), names });
    } catch (error) {
      this.#tellUntold(`cannot watch ${directory}: ${error instanceof Error ? error.message : error}`);
    }
  }

  #isMeant(directory: string, name: string): boolean {
    const names = this.#watched.get(directory)?.names;
    return names !== undefined && (names.has(name) || names.has(ANY));
  }

  #tellUntold(why: string): void {
    if (!this.#isTold) this.#untold(why);
    this.#isTold = true;
  }
}

/** What the files of these paths are by now; another text when any of them was written or replaced. */
export function stampOf(paths: readonly string[]): string {
  return paths.map((path) => {
    try {
      const { dev, ino, size, mtimeMs, ctimeMs } = statSync(path);
      return `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? "unknown";
    }
  }).join(" ");
}

/** Every name in a directory that decides where a path leads: the file's own, and those of the links to it. */
export function entriesOf(paths: Iterable<string>): Entries {
  const entries: Entries = new Map(), links = new Map<string, string | undefined>();
  for (const path of new Set(paths)) {
    let at = "/", rest = partsOf(resolve(path)), followed = 0;
    while (rest.length > 0) {
      const [name, ...more] = rest, here = join(at, name);
      rest = more;
      if (name === "..") at = dirname(at);
      if (name === "..") continue;
      if (!links.has(here)) links.set(here, linkAt(here));
      const link = links.get(here);
      if (link !== undefined || rest.length === 0) {
        const names = entries.get(at) ?? new Set();
        entries.set(at, names.add(name));
      }
      if (link === undefined) at = here;
      else if (++followed > LINKS_MAX) break;
      else {
        rest = [...partsOf(link), ...rest];
        if (link.startsWith("/")) at = "/";
      }
    }
  }
  return entries;
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** Where a link leads; undefined: it is none, or not there. */
function linkAt(path: string): string | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined;
  } catch {
    return undefined; // not for us to see: who reads the file says so
  }
}

/** 0: it is not there. */
function inodeOf(directory: string): number {
  try {
    return statSync(directory, { throwIfNoEntry: false })?.ino ?? 0;
  } catch {
    return 0;
  }
}
