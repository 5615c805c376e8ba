// The files of addresses that listeners' lists name, while Sluice runs: read again when they change. A broken one is
// told with its lines and changes nothing: what was read before stays in use until the file can be read as a whole.
import { stampOf, WatchedFiles } from "./certificates/watched.ts";
import { LIST_ENTRIES_MAX, type ListEntries } from "./config/list_entries.ts";
import { type ListFiles, listPaths, readListFile, toldOf } from "./config/list_files.ts";
import type { Config } from "./config/schema.ts";
import type { Log } from "./log.ts";

/** A file of a list. */
export interface ListStatus {
  readonly file: string;
  readonly entries: number;
  /** When what is in use was read. */
  readonly readAtMs: number;
  /** Why the file as it is now is not used; undefined: it is. */
  readonly problem: string | undefined;
}

interface Read {
  entries: ListEntries;
  stamp: string;
  readAtMs: number;
  problem: string | undefined;
}

export class Lists {
  readonly #log: Log;
  readonly #read = new Map<string, Read>();
  #watched: WatchedFiles | undefined;
  #changed: () => void = () => {};
  #files: ListFiles;

  /** @param config with its files as they were when it was read */
  constructor(config: Config, log: Log) {
    this.#log = log;
    this.#files = config["list-files"];
    for (const path of listPaths(config.listeners)) {
      const entries = this.#files.get(path)!, readAtMs = Date.now();
      // It may have changed since it was read, so the first look reads it again.
      this.#read.set(path, { entries, stamp: "", readAtMs, problem: undefined });
    }
  }

  /** Goes by another configuration, with its files as they were when it was read. @returns those that hold something
   * else than was known of them */
  adopt(config: Config): readonly string[] {
    const files = config["list-files"], paths = listPaths(config.listeners), readAtMs = Date.now();
    const changed: string[] = [];
    for (const path of this.#read.keys()) if (!paths.includes(path)) this.#read.delete(path);
    for (const path of paths) {
      const entries = files.get(path)!, known = this.#read.get(path);
      if (known !== undefined && isSame(known.entries, entries)) continue;
      this.#read.set(path, { entries, stamp: "", readAtMs, problem: undefined });
      if (known !== undefined) changed.push(path);
    }
    this.#files = files;
    this.#follow();
    return changed;
  }

  /** What the files hold; another map whenever any of them holds something else. */
  get files(): ListFiles {
    return this.#files;
  }

  status(): ListStatus[] {
    return [...this.#read].map(([file, { entries, readAtMs, problem }]) => ({
      file,
      entries: entries.count,
      readAtMs,
      problem,
    }));
  }

  /** Looks after the files from here on, until `close`; `changed` is called when `files` is another. */
  watch(changed: () => void): void {
    this.#changed = changed;
    this.#follow();
  }

  #follow(): void {
    this.#watched?.close();
    this.#watched = undefined;
    if (this.#read.size === 0) return;
    const look = (): void => {
      if (this.reread()) this.#changed();
    };
    this.#watched = new WatchedFiles([...this.#read.keys()], look, (why) => {
      this.#log.warn("lists", `${why}; files there are looked at once a minute`);
    });
    look();
  }

  close(): void {
    this.#watched?.close();
  }

  /** Reads every file that has changed. @returns whether any holds something else now */
  reread(): boolean {
    let isChanged = false;
    for (const [path, read] of this.#read) if (this.#reread(path, read)) isChanged = true;
    if (isChanged) this.#files = new Map([...this.#read].map(([path, { entries }]) => [path, entries]));
    return isChanged;
  }

  #reread(path: string, read: Read): boolean {
    const stamp = stampOf([path]);
    if (stamp === read.stamp) return false;
    const found = readListFile(path), isFirst = read.stamp === "";
    if ("flaws" in found) {
      read.stamp = stamp;
      return this.#refuse(path, read, found.flaws.map((flaw) => toldOf(path, flaw)));
    }
    if (stampOf([path]) !== stamp) return false; // it is being written: the next look finds it whole
    read.stamp = stamp;
    const others = [...this.#read.values()].reduce(
      (sum, other) => other === read ? sum : sum + other.entries.count,
      0,
    );
    if (others + found.count > LIST_ENTRIES_MAX) {
      const what = `with ${path} the lists have more than ${LIST_ENTRIES_MAX} entries together`;
      return this.#refuse(path, read, [{ what, remedy: "write wider prefixes" }]);
    }
    const wasBroken = read.problem !== undefined;
    read.problem = undefined;
    if (isSame(read.entries, found)) {
      if (wasBroken) this.#log.info("lists", `${path} is as it was before`, { file: path });
      return false;
    }
    read.entries = found;
    read.readAtMs = Date.now();
    const again = isFirst ? "has changed since the start" : "was read again";
    this.#log.info("lists", `${path} ${again}: ${entriesText(found)}`, {
      file: path,
      entries: found.count,
    });
    return true;
  }

  #refuse(path: string, read: Read, told: readonly { what: string; remedy: string }[]): false {
    const problem = told.map(({ what }) => what).join("; ");
    if (problem === read.problem) return false;
    read.problem = problem;
    for (const { what, remedy } of told) this.#log.error("lists", `${what}; ${remedy}`, { file: path });
    const inUse = entriesText(read.entries);
    this.#log.error("lists", `${path} cannot be used as it is: what was read before stays in use, ${inUse}`, {
      file: path,
    });
    return false;
  }
}

function isSame(one: ListEntries, other: ListEntries): boolean {
  const { count } = one;
  if (count !== other.count) return false;
  for (let entry = 0; entry < count; entry++) {
    if (
      one.bits[entry] !== other.bits[entry] || one.family[entry] !== other.family[entry] ||
      one.line[entry] !== other.line[entry]
    ) return false;
  }
  for (let word = 0; word < 4 * count; word++) if (one.ip[word] !== other.ip[word]) return false;
  return true;
}

function entriesText({ count }: ListEntries): string {
  return `${count} ${count === 1 ? "entry" : "entries"}`;
}
