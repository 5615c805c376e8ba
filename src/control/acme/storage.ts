// What automatic certificates keep on disk. Several instances, on one machine or on a shared file system,
// may use one folder at the same time; people may read and copy it.
//
//   STORAGE/                            folders 0700, files 0600
//     accounts/CA/key.pem               the account's private key (PKCS#8)
//     accounts/CA/account.json          { directory, url, contact }
//     certificates/CA/NAME.pem          private key, then the chain, leaf first
//     attempts/CA/NAME.json             failures in a row, while there are any: Attempts
//     locks/CA/NAME/N                   who is ordering (lock.ts)
//     *.broken-TIME                     what could not be read as what it should be; kept for whoever looks
//
// CA is the host of the directory's URL and a part of the SHA-256 of the whole of it: certificates of a
// CA for trials never pass for those of the real one. A certificate and its key are one file, so that they
// are changed together. Every file is written under another name, synced and renamed; reading takes no lock.
import { createHash, randomUUID } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Pair, type PairFacts, pairFacts } from "./x509.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** No file of ours is larger. */
const FILE_BYTES_MAX = 1 << 20;
/** Begins the names of files that are being written. */
const UNFINISHED = ".unfinished-";
/** Writing takes milliseconds: an unfinished file this old is nobody's. */
const UNFINISHED_MS = 3_600_000;
const ERROR_CHARACTERS_MAX = 1_000;

export interface Account {
  readonly directory: string;
  /** The CA's name for it. */
  readonly url: string;
  readonly contact: readonly string[];
}

/** Failures in a row, as every instance goes by them. Times are by the wall clock. */
export interface Attempts {
  readonly failures: number;
  readonly error: string;
  /** When the last one failed. */
  readonly atMs: number;
  /** Nobody tries again before. */
  readonly nextMs: number;
  /** Until when the CA itself wants us to wait; 0 if it said nothing. */
  readonly toldMs: number;
}

export type StoredPair = Pair & PairFacts;

/** Tells of something in the storage that is not as it should be; nobody is stopped by it. */
export type TellStorage = (what: string) => void;

export class Storage {
  readonly path: string;
  readonly #ca: string;
  readonly #tell: TellStorage;

  /** Makes the folders. @throws if that cannot be done */
  static async open(path: string, directory: string, tell: TellStorage): Promise<Storage> {
    const storage = new Storage(path, directory, tell);
    for (const room of ["accounts", "certificates", "attempts", "locks"]) {
      await mkdir(dirname(storage.#at(room, "any")), { recursive: true, mode: FOLDER_MODE });
    }
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8);
      tell(`${path} has mode ${octal}: others of this machine may look into it (chmod 700 ${path})`);
    }
    for (const room of ["accounts", "certificates", "attempts"]) await storage.#sweep(room);
    return storage;
  }

  private constructor(path: string, directory: string, tell: TellStorage) {
    this.path = path;
    this.#ca = folderOf(directory);
    this.#tell = tell;
  }

  /**
   * The account's key. The first instance makes it with `make`; whoever comes at the same time gets that one.
   * @param check throws if the text is no key
   */
  async accountKey(make: () => string, check: (keyPem: string) => void): Promise<string> {
    const path = this.#at("accounts", "key.pem");
    const known = await this.#read(path, check);
    if (known !== undefined) return known;
    const unfinished = await this.#write(path, make());
    try {
      await link(unfinished, path);
      await syncFolder(dirname(path));
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    } finally {
      await unlink(unfinished);
    }
    const text = await readBounded(path);
    check(text);
    return text;
  }

  async account(): Promise<Account | undefined> {
    let account: Account | undefined;
    await this.#read(this.#at("accounts", "account.json"), (text) => {
      const { directory, url, contact } = JSON.parse(text);
      const strings = [directory, url, ...contact];
      if (strings.some((value) => typeof value !== "string")) throw new Error("not what it should hold");
      account = { directory, url, contact };
    });
    return account;
  }

  async keepAccount(account: Account): Promise<void> {
    await this.#replace(this.#at("accounts", "account.json"), JSON.stringify(account, null, 2) + "\n");
  }

  /** The pair of a name, if there is a good one; a broken one is told and set aside. */
  async pair(name: string): Promise<StoredPair | undefined> {
    let pair: StoredPair | undefined;
    await this.#read(this.#at("certificates", `${name}.pem`), (text) => {
      const keyEnd = text.indexOf("-----BEGIN CERTIFICATE-----");
      if (keyEnd < 0) throw new Error("there is no certificate in it");
      const parts: Pair = { keyPem: text.slice(0, keyEnd), chainPem: text.slice(keyEnd) };
      const facts = pairFacts(name, parts);
      if ("flaw" in facts) throw new Error(facts.flaw);
      pair = { ...parts, ...facts };
    });
    return pair;
  }

  async keepPair(name: string, { chainPem, keyPem }: Pair): Promise<void> {
    await this.#replace(this.#at("certificates", `${name}.pem`), `${keyPem.trim()}\n${chainPem.trim()}\n`);
  }

  async attempts(name: string): Promise<Attempts | undefined> {
    let attempts: Attempts | undefined;
    await this.#read(this.#at("attempts", `${name}.json`), (text) => {
      const { failures, error, atMs, nextMs, toldMs } = JSON.parse(text);
      const areNumbers = [failures, atMs, nextMs, toldMs].every(Number.isSafeInteger);
      if (!areNumbers || failures < 1 || typeof error !== "string") {
        throw new Error("not what it should hold");
      }
      attempts = { failures, error: error.slice(0, ERROR_CHARACTERS_MAX), atMs, nextMs, toldMs };
    });
    return attempts;
  }

  async keepAttempts(name: string, attempts: Attempts): Promise<void> {
    await this.#replace(this.#at("attempts", `${name}.json`), JSON.stringify(attempts) + "\n");
  }

  async forgetAttempts(name: string): Promise<void> {
    await unlink(this.#at("attempts", `${name}.json`)).catch(unlessMissing);
  }

  /** Where the locks of a name are. */
  lockFolder(name: string): string {
    return this.#at("locks", name);
  }

  #at(room: string, file: string): string {
    return join(this.path, room, this.#ca, file);
  }

  /**
   * A file whose content `take` accepts. One that it does not is told and set aside: what is in it may be
   * worth something to a person.
   * @throws if the file is there and cannot be read
   */
  async #read(path: string, take: (text: string) => void): Promise<string | undefined> {
    let text: string;
    try {
      text = await readBounded(path);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
    try {
      take(text);
      return text;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const aside = `${path}.broken-${Date.now()}`;
      await rename(path, aside).catch(unlessMissing);
      this.#tell(`${path} is broken and now called ${aside}: ${why}`);
      return undefined;
    }
  }

  async #replace(path: string, text: string): Promise<void> {
    const unfinished = await this.#write(path, text);
    try {
      await rename(unfinished, path);
    } catch (error) {
      await unlink(unfinished).catch(() => {});
      throw error;
    }
    await syncFolder(dirname(path));
  }

  /** @returns the path of a synced file beside `path` that holds the text */
  async #write(path: string, text: string): Promise<string> {
    return await writeAside(dirname(path), text);
  }

  /** Removes what killed instances were writing. */
  async #sweep(room: string): Promise<void> {
    const folder = dirname(this.#at(room, "any"));
    for (const name of await readdir(folder)) {
      if (!name.startsWith(UNFINISHED)) continue;
      const path = join(folder, name);
      const modified = await stat(path).then(({ mtimeMs }) => mtimeMs, () => Infinity);
      if (Date.now() - modified > UNFINISHED_MS) await unlink(path).catch(unlessMissing);
    }
  }
}

/** A synced file with that text, under a name of its own, to be renamed or linked to where it belongs. */
export async function writeAside(folder: string, text: string): Promise<string> {
  const path = join(folder, `${UNFINISHED}${randomUUID()}`);
  const file = await open(path, "wx", FILE_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await unlink(path).catch(() => {});
    throw error;
  } finally {
    await file.close();
  }
  return path;
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

/** For what need not be there. */
export function unlessMissing(error: unknown): void {
  if (codeOf(error) !== "ENOENT") throw error;
}

/** `acme.example-1f3a09bc` */
function folderOf(directory: string): string {
  const host = new URL(directory).host.replace(/[^a-z0-9.-]/g, "_");
  return `${host}-${createHash("sha256").update(directory).digest("hex").slice(0, 8)}`;
}

async function readBounded(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > FILE_BYTES_MAX) throw new Error(`${path} has ${size} bytes, at most ${FILE_BYTES_MAX} are read`);
  return await readFile(path, "utf8");
}

/** The new name itself is on the disk. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
