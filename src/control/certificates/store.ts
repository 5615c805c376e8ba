// Certificates, alive: those of files are read at start and again when a file changes, those that are issued
// come when they come. Each is parsed once into C's store; which name has which is a table of the listener's
// profile, swapped whole: handshakes under way and connections are never touched. What is broken changes
// nothing, and is told.
import { type FSWatcher, readFileSync, watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { ARENA_SCRATCH } from "../../base/limits.ts";
import { EKEYREJECTED, ENOKEY, errnoName } from "../../sys/errno.ts";
import { arenaBytes, sys } from "../../sys/sys.ts";
import { profileNumbers } from "../config/compile_tls.ts";
import type { CertificateFiles } from "../config/tls_schema.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../log.ts";
import { DAY_MS, endsSoon, endText, namesText } from "./expiry.ts";
import { pemBlocks } from "./pem.ts";
import type { Presented } from "./presented.ts";
import { CertificateError, openListenerProfile, openUpstreamProfile, readPem } from "./profiles.ts";
import { ROTATE_MS, TicketKeys } from "./tickets.ts";
import { type Certificate, certificateOf } from "./x509.ts";

/** Files are written in steps: they are read when they have been quiet for so long. */
const QUIET_MS = 200;
/** Where nobody tells of changes (network file systems), files are looked at so often. */
const LOOK_MS = 60_000;
const ERROR_BYTES = 256;

/** A certificate in C's store. */
interface Stored {
  readonly number: number;
  readonly leaf: Certificate;
}

/** A pair of files, and what they were when they were read last. */
interface Pair {
  readonly files: CertificateFiles;
  stored: Stored;
  chain: Uint8Array;
  key: Uint8Array;
  staple: Uint8Array | undefined;
  /** Why the files as they are now are not used; undefined: they are. */
  problem: string | undefined;
}

interface ListenerProfile {
  readonly number: number;
  readonly pairs: readonly Pair[];
  /** By name, of those that were issued. */
  readonly issued: Map<string, Stored>;
}

/** What is told of a certificate. */
export interface CertificateStatus {
  /** Who presents it to clients, and who to servers. */
  readonly listeners: readonly string[];
  readonly upstreams: readonly string[];
  /** Its file; undefined: it was issued. */
  readonly file: string | undefined;
  readonly names: readonly string[];
  readonly issuer: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly fingerprint: string;
  readonly problem: string | undefined;
}

export class Certificates {
  readonly #log: Log;
  readonly #listeners = new Map<string, ListenerProfile>();
  readonly #pairs = new Map<string, Pair>();
  readonly #challenges = new Map<string, number>();
  /** By upstream: what is shown to its servers. */
  readonly #own = new Map<string, Pair>();
  readonly #watchers: FSWatcher[] = [];
  #tickets: TicketKeys | undefined;
  #timers: ReturnType<typeof setInterval>[] = [];
  #settling: ReturnType<typeof setTimeout> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Makes the profiles of a configuration. Does nothing where there is no TLS. @throws CertificateError */
  open(config: Config): void {
    const numbers = profileNumbers(config);
    for (const [name, { bind, tls }] of Object.entries(config.listeners)) {
      if (tls === undefined) continue;
      const where = `listeners.${name}.tls`, number = numbers.listeners.get(name)!;
      openListenerProfile(number, where, tls, bind[0].protocol === "http");
      const pairs = tls.certificates.map((files) => this.#pair(where, files));
      this.#listeners.set(name, { number, pairs, issued: new Map() });
      this.#present(name);
    }
    for (const [name, { tls }] of Object.entries(config.upstreams)) {
      if (tls === undefined) continue;
      const where = `upstreams.${name}.tls`, number = numbers.upstreams.get(name)!;
      const http = Object.values(config.listeners).some(({ bind, to, routes }) =>
        bind[0].protocol === "http" &&
        (to === name || routes.some(({ action }) => action.kind === "upstream" && action.to === name))
      );
      openUpstreamProfile(number, where, tls, http);
      if (tls.cert !== undefined) {
        const pair = this.#pair(where, { cert: tls.cert, key: tls.key ?? tls.cert });
        sys.profile_own(number, pair.stored.number);
        this.#own.set(name, pair);
      }
    }
    if (this.#listeners.size === 0) return;
    try {
      this.#tickets = new TicketKeys(config["tls-ticket-keys"]);
    } catch (error) {
      throw new CertificateError(`tls-ticket-keys: ${(error as Error).message}`);
    }
  }

  /** Looks after files and keys from here on, until `close`. */
  watch(): void {
    const paths = [...this.#pairs.values()].flatMap((
      { files },
    ) => [files.cert, files.key, files.ocsp ?? files.cert]);
    if (this.#tickets?.path !== undefined) paths.push(this.#tickets.path);
    for (const directory of new Set(paths.map((path) => dirname(resolve(path))))) {
      const names = new Set(
        paths.filter((path) => dirname(resolve(path)) === directory).map((path) => basename(path)),
      );
      try {
        // Links that are turned round (..data of Kubernetes) change under other names: any name will do.
        const watcher = watch(directory, () => this.#settle());
        watcher.on("error", (error) => this.#untold(directory, error));
        watcher.unref?.();
        this.#watchers.push(watcher);
      } catch (error) {
        this.#untold(`${directory} (${[...names].join(", ")})`, error);
      }
    }
    if (paths.length > 0) this.#every(LOOK_MS, () => this.reread());
    this.#tellEnding(Date.now()); // what has ended was told with the configuration
    this.#every(DAY_MS, () => this.#tellEnding(-Infinity));
    if (this.#tickets !== undefined) this.#every(ROTATE_MS, () => this.#tickets!.rotate());
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close();
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#settling);
    this.#watchers.length = 0;
    this.#timers = [];
  }

  /** Reads every file that may have changed. What is broken is told once and changes nothing. */
  reread(): void {
    let changed = false;
    for (const pair of this.#pairs.values()) changed = this.#rereadPair(pair) || changed;
    if (changed) { for (const name of this.#listeners.keys()) this.#present(name); }
    if (this.#tickets?.path === undefined) return;
    try {
      if (this.#tickets.read()) {
        this.#log.info("certificates", `ticket keys were read from ${this.#tickets.path}`);
      }
    } catch (error) {
      this.#log.warn("certificates", `${(error as Error).message}; the keys before stay`);
    }
  }

  /** Presents an issued certificate for the names of a listener. @throws CertificateError */
  install(listener: string, names: readonly string[], chain: string, key: string): void {
    const profile = this.#listeners.get(listener);
    if (profile === undefined) return;
    const stored = store(`listeners.${listener}.tls.acme`, Buffer.from(chain), Buffer.from(key));
    const before = new Set<number>();
    for (const name of names) {
      const old = profile.issued.get(name);
      if (old !== undefined) before.add(old.number);
      profile.issued.set(name, stored);
    }
    this.#present(listener);
    const used = new Set([...profile.issued.values()].map(({ number }) => number));
    for (const number of before) if (!used.has(number)) sys.cert_close(number);
  }

  /** Presents an issued certificate no more. */
  uninstall(listener: string, names: readonly string[]): void {
    const profile = this.#listeners.get(listener);
    const gone = names.flatMap((name) => profile?.issued.get(name) ?? []);
    if (profile === undefined || gone.length === 0) return;
    for (const name of names) profile.issued.delete(name);
    this.#present(listener);
    const used = new Set([...profile.issued.values()].map(({ number }) => number));
    for (const number of new Set(gone.map(({ number }) => number))) {
      if (!used.has(number)) sys.cert_close(number);
    }
  }

  /** Shows a certificate to who looks whether the name is ours (TLS-ALPN-01, RFC 8737). */
  challenge(name: string, chain: string, key: string): void {
    const { number } = store(`the challenge of ${name}`, Buffer.from(chain), Buffer.from(key));
    setChallenge(name, number);
    const before = this.#challenges.get(name);
    if (before !== undefined) sys.cert_close(before);
    this.#challenges.set(name, number);
  }

  unchallenge(name: string): void {
    const number = this.#challenges.get(name);
    if (number === undefined) return;
    setChallenge(name, 0);
    sys.cert_close(number);
    this.#challenges.delete(name);
  }

  /** Every certificate that is presented, to clients or to servers. */
  status(): CertificateStatus[] {
    interface Row {
      readonly stored: Stored;
      readonly pair: Pair | undefined;
      readonly listeners: Set<string>;
      readonly upstreams: Set<string>;
    }
    const rows = new Map<number, Row>();
    const rowOf = (stored: Stored, pair: Pair | undefined): Row => {
      const row = rows.get(stored.number) ?? { stored, pair, listeners: new Set(), upstreams: new Set() };
      rows.set(stored.number, row);
      return row;
    };
    for (const [listener, { pairs, issued }] of this.#listeners) {
      for (const pair of pairs) rowOf(pair.stored, pair).listeners.add(listener);
      for (const stored of issued.values()) rowOf(stored, undefined).listeners.add(listener);
    }
    for (const [upstream, pair] of this.#own) rowOf(pair.stored, pair).upstreams.add(upstream);
    return [...rows.values()].map(({ stored: { leaf }, listeners, upstreams, pair }) => ({
      listeners: [...listeners],
      upstreams: [...upstreams],
      file: pair?.files.cert,
      names: [...leaf.names, ...leaf.addresses],
      issuer: leaf.issuer,
      notBefore: leaf.notBefore,
      notAfter: leaf.notAfter,
      fingerprint: leaf.fingerprint,
      problem: pair?.problem,
    }));
  }

  /** Those that a listener presents, in the order in which they count. */
  presented(listener: string): Presented[] {
    const known = this.#listeners.get(listener);
    if (known === undefined) return [];
    return [
      ...known.pairs.map(({ files, stored }) => ({ file: files.cert, certificate: stored.leaf })),
      ...[...new Set(known.issued.values())].map(({ leaf }) => ({ file: undefined, certificate: leaf })),
    ];
  }

  #pair(where: string, files: CertificateFiles): Pair {
    const key = [files.cert, files.key, files.ocsp ?? ""].join("\n");
    const known = this.#pairs.get(key);
    if (known !== undefined) return known;
    const chainBytes = readPem(where, files.cert), keyBytes = readPem(where, files.key);
    const pair: Pair = {
      files,
      stored: store(`${where}: ${files.cert}`, chainBytes, keyBytes),
      chain: chainBytes,
      key: keyBytes,
      staple: undefined,
      problem: undefined,
    };
    if (files.ocsp !== undefined) staple(pair, readPem(where, files.ocsp));
    this.#pairs.set(key, pair);
    return pair;
  }

  /** The table of a listener's names, as they are now. Of a name's certificates with one kind of key the first
   * counts; the first of all is for whoever asks for no name, or for an unknown one. */
  #present(listener: string): void {
    const { number, pairs, issued } = this.#listeners.get(listener)!;
    const begun = sys.names_begin(number);
    if (begun < 0) return this.#log.error("certificates", `names of ${listener}: ${errnoName(-begun)}`);
    const all = [...pairs.map(({ stored }) => stored), ...issued.values()];
    const first = all[0]?.leaf.names.join("\n");
    for (const { number: certificate, leaf } of all) {
      for (const name of leaf.names) addName(name, certificate);
      if (leaf.names.join("\n") === first) addName("", certificate);
    }
    sys.names_commit();
  }

  #rereadPair(pair: Pair): boolean {
    const { files } = pair;
    let chain: Uint8Array, key: Uint8Array;
    try {
      chain = readFileSync(files.cert);
      key = readFileSync(files.key);
      if (files.ocsp !== undefined) staple(pair, readFileSync(files.ocsp));
    } catch (error) {
      this.#problem(pair, (error as Error).message);
      return false;
    }
    if (same(chain, pair.chain) && same(key, pair.key)) {
      pair.problem = undefined;
      return false;
    }
    let stored: Stored;
    try {
      stored = store(files.cert, chain, key);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      this.#problem(pair, error.message);
      return false;
    }
    const before = pair.stored.number;
    Object.assign(pair, { stored, chain, key, problem: undefined });
    if (pair.staple !== undefined) sys.cert_staple(stored.number, pair.staple, pair.staple.length);
    sys.cert_close(before);
    const until = new Date(stored.leaf.notAfter).toISOString();
    this.#log.info(
      "certificates",
      `${files.cert} was read again: ${stored.leaf.names.join(", ")}, until ${until}`,
      {
        file: files.cert,
      },
    );
    return true;
  }

  /** Told once for each state of the files: they may be in the middle of being replaced. */
  #problem(pair: Pair, why: string): void {
    if (pair.problem === why) return;
    pair.problem = why;
    this.#log.warn("certificates", `${why}; the certificate before stays in use`, { file: pair.files.cert });
  }

  /** Warns of every certificate that ends soon, or has ended since `from`. */
  #tellEnding(from: number): void {
    const now = Date.now();
    for (const certificate of this.status()) {
      const { file, names, notAfter } = certificate;
      if (notAfter < from || !endsSoon(certificate, now)) continue;
      const what = [file ?? "the one that was issued", names.length === 0 ? "" : `(${namesText(names)})`];
      const remedy = file === undefined
        ? "its renewal has not succeeded yet"
        : "renew it: new files are taken as they come";
      const message = `the certificate ${what.join(" ").trim()} ${endText(certificate, now)}; ${remedy}`;
      this.#log.warn("certificates", message, {
        file: file ?? null,
        not_after: new Date(notAfter).toISOString(),
      });
    }
  }

  #settle(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.reread(), QUIET_MS);
    this.#settling.unref();
  }

  #every(ms: number, what: () => void): void {
    const timer = setInterval(what, ms);
    timer.unref();
    this.#timers.push(timer);
  }

  #untold(what: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.#log.warn("certificates", `cannot watch ${what}: ${why}; files are looked at once a minute`);
  }
}

/** Parses a pair into C's store. @throws CertificateError */
function store(where: string, chain: Uint8Array, key: Uint8Array): Stored {
  const block = pemBlocks(Buffer.from(chain).toString("latin1")).find(({ label }) =>
    label.endsWith("CERTIFICATE")
  );
  const leaf = block === undefined ? undefined : certificateOf(block.der);
  if (leaf === undefined) throw new CertificateError(`${where}: no certificate in PEM`);
  const number = sys.cert_open(chain, chain.length, key, key.length);
  if (number > 0) return { number, leaf };
  if (number === -EKEYREJECTED) throw new CertificateError(`${where}: the key is not the certificate's`);
  if (number === -ENOKEY) {
    throw new CertificateError(`${where}: no private key in PEM, or one behind a password`);
  }
  const bytes = sys.tls_error(ARENA_SCRATCH, ERROR_BYTES);
  const said = new TextDecoder("latin1").decode(
    arenaBytes.slice(ARENA_SCRATCH, ARENA_SCRATCH + Math.max(0, bytes)),
  );
  throw new CertificateError(`${where}: ${said || errnoName(-number)}`);
}

function staple(pair: Pair, der: Uint8Array): void {
  if (pair.staple !== undefined && same(der, pair.staple)) return;
  pair.staple = der;
  sys.cert_staple(pair.stored.number, der, der.length);
}

function addName(name: string, certificate: number): void {
  const bytes = new TextEncoder().encode(name);
  // Bun's FFI takes no empty array: any byte will do.
  const added = sys.names_add(bytes.length === 0 ? NO_NAME : bytes, bytes.length, certificate);
  if (added < 0) throw new CertificateError(`names: ${errnoName(-added)}`);
}

function setChallenge(name: string, certificate: number): void {
  const bytes = new TextEncoder().encode(name);
  const set = sys.challenge(bytes, bytes.length, certificate);
  if (set < 0) throw new CertificateError(`the challenge of ${name}: ${errnoName(-set)}`);
}

const NO_NAME = new Uint8Array(1);

function same(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
