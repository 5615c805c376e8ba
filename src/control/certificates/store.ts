// Certificates, alive: those of files are read at start and again when a file changes, those that are issued
// come when they come. Each is parsed once into C's store; which name has which is a table of the listener's
// profile, swapped whole: handshakes under way and connections are never touched. What is broken changes
// nothing, and is told.
import { createHash } from "node:crypto";
import { ARENA_SCRATCH } from "../../base/limits.ts";
import { EKEYREJECTED, ENOKEY, errnoName } from "../../sys/errno.ts";
import { arenaBytes, sys } from "../../sys/sys.ts";
import { httpUpstreams, type ProfileNumbers } from "../config/compile_tls.ts";
import type { CertificateFiles } from "../config/tls_schema.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../log.ts";
import { readOcsp } from "./bundle.ts";
import { DAY_MS, endsSoon, endText, namesText } from "./expiry.ts";
import { readPair, timeText } from "./pair.ts";
import { pemBlocks } from "./pem.ts";
import type { Presented } from "./presented.ts";
import {
  CertificateError,
  openListenerProfile,
  openUpstreamProfile,
  readPem,
  type TrustFiles,
} from "./profiles.ts";
import { LOOK_MS, type OwnKeys, TicketKeys } from "./tickets.ts";
import { Trust } from "./trust.ts";
import { stampOf, WatchedFiles } from "./watched.ts";
import { type Certificate, certificateOf, ocspAnswerOf } from "./x509.ts";

const ERROR_BYTES = 256;
/** Names in DNS have no more (RFC 1035 section 2.3.4); nobody can ask for a longer one. */
const NAME_BYTES_MAX = 253;

/** A certificate in C's store. */
interface Stored {
  readonly number: number;
  readonly leaf: Certificate;
}

/** A pair of files. */
interface Pair {
  readonly files: CertificateFiles;
  stored: Stored;
  /** What the files were when they were read last, and what the two of `stored` held. */
  stamp: string;
  digest: string;
  /** When the OCSP response that is shown is no longer to be shown; 0: none is shown. */
  stapledUntil: number;
  /** Why the files as they are now are not used; undefined: they are. */
  problem: string | undefined;
}

/** Other files that are read again: trust, ticket keys. */
interface Reread {
  readonly paths: readonly string[];
  /** True if they say something else now. @throws Error, and nothing has changed */
  read(): boolean;
  /** In words, that it should have been replaced since then. */
  overdue?(from: number, now: number): string | undefined;
}

interface ListenerProfile {
  readonly number: number;
  readonly pairs: readonly Pair[];
  /** By name, of those that were issued. */
  readonly issued: Map<string, Stored>;
  /** Names that get their own or none. */
  readonly awaited: Set<string>;
}

/** What a configuration needs of certificates, as it is made. */
interface Preparing {
  readonly listeners: Map<string, ListenerProfile>;
  readonly own: Map<string, { readonly number: number; readonly pair: Pair }>;
  readonly pairs: Map<string, Pair>;
  readonly trust: Map<number, Trust>;
  tickets: TicketKeys | undefined;
  /** Numbers of what was not there before. */
  readonly profiles: number[];
  readonly certificates: number[];
}

export type PreparedCertificates = Readonly<Preparing>;

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
  #listeners: ReadonlyMap<string, ListenerProfile> = new Map();
  #pairs: ReadonlyMap<string, Pair> = new Map();
  readonly #challenges = new Map<string, number>();
  /** By upstream: its profile, and what is shown to its servers. */
  #own: ReadonlyMap<string, { readonly number: number; readonly pair: Pair }> = new Map();
  /** By profile: whom it believes. */
  readonly #trust = new Map<number, Trust>();
  /** The profiles that C has. */
  readonly #profiles = new Set<number>();
  /** When all files were looked at last. */
  #readAt = Date.now();
  /** What was told of those that are broken. */
  readonly #broken = new Map<Reread, string>();
  #tickets: TicketKeys | undefined;
  #watched: WatchedFiles | undefined;
  #timers: ReturnType<typeof setInterval>[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  /** Makes what a configuration needs that is not there yet: profiles that nobody works by, and certificates that are
   * shown to nobody. `handed`: keys of session tickets from the process before this one. @throws CertificateError: then
   * nothing has been made */
  prepare(config: Config, numbers: ProfileNumbers, handed?: OwnKeys): PreparedCertificates {
    const prepared: Preparing = {
      listeners: new Map(),
      own: new Map(),
      pairs: new Map(),
      trust: new Map(),
      tickets: undefined,
      profiles: [],
      certificates: [],
    };
    try {
      this.#prepareListeners(config, numbers, prepared);
      this.#prepareUpstreams(config, numbers, prepared);
      if (prepared.listeners.size > 0) prepared.tickets = this.#ticketsOf(config["tls-ticket-keys"], handed);
    } catch (error) {
      this.abandon(prepared);
      throw error;
    }
    return prepared;
  }

  /** What was prepared is not wanted. */
  abandon({ profiles, certificates }: PreparedCertificates): void {
    for (const profile of profiles) this.forgetProfile(profile);
    for (const certificate of certificates) sys.cert_close(certificate);
  }

  /** Goes by what was prepared from the next handshake on. */
  commit({ listeners, own, pairs, trust, tickets, profiles }: PreparedCertificates): void {
    const before = new Set([...this.#listeners.values()].flatMap(({ issued }) => [...issued.values()]));
    const closed = [...this.#pairs].filter(([key]) => !pairs.has(key)).map(([, { stored }]) => stored.number);
    this.#listeners = listeners;
    for (const [name, { number, pair }] of own) {
      if (!profiles.includes(number) && this.#own.get(name)?.pair !== pair) showOwn(number, pair);
    }
    this.#own = own;
    this.#pairs = pairs;
    for (const [profile, whom] of trust) this.#trust.set(profile, whom);
    if (tickets !== this.#tickets) tickets?.use();
    this.#tickets = tickets;
    for (const name of listeners.keys()) this.#present(name);
    const after = new Set([...listeners.values()].flatMap(({ issued }) => [...issued.values()]));
    for (const stored of before) if (!after.has(stored)) closed.push(stored.number);
    for (const certificate of closed) sys.cert_close(certificate);
    if (this.#watched !== undefined) this.#watchFiles();
  }

  /** Gives the number of a profile back that no Plan has any more; false: a connection is of it still. */
  forgetProfile(profile: number): boolean {
    if (!this.#profiles.has(profile)) return true;
    if (sys.profile_close(profile) < 0) return false;
    this.#profiles.delete(profile);
    this.#trust.delete(profile);
    return true;
  }

  #prepareListeners(config: Config, numbers: ProfileNumbers, prepared: Preparing): void {
    for (const [name, { bind, tls }] of Object.entries(config.listeners)) {
      if (tls === undefined) continue;
      const where = `listeners.${name}.tls`, number = numbers.listeners.get(name)!;
      this.#profile(
        number,
        prepared,
        () => openListenerProfile(number, where, tls, bind[0].protocol === "http"),
      );
      const pairs = tls.certificates.map((files) => this.#pair(where, files, prepared));
      const known = tls.acme === undefined ? undefined : this.#listeners.get(name);
      prepared.listeners.set(name, {
        number,
        pairs,
        issued: known?.issued ?? new Map(),
        awaited: known?.awaited ?? new Set(),
      });
    }
  }

  #prepareUpstreams(config: Config, numbers: ProfileNumbers, prepared: Preparing): void {
    const http = httpUpstreams(config);
    for (const [name, { tls }] of Object.entries(config.upstreams)) {
      if (tls === undefined) continue;
      const where = `upstreams.${name}.tls`, number = numbers.upstreams.get(name)!;
      const isNew = this.#profile(
        number,
        prepared,
        () => openUpstreamProfile(number, where, tls, http.has(name)),
      );
      if (tls.cert === undefined) continue;
      const pair = this.#pair(where, { cert: tls.cert, key: tls.key ?? tls.cert }, prepared);
      prepared.own.set(name, { number, pair });
      if (isNew) showOwn(number, pair);
    }
  }

  /** The profile is there. `open` says whom it is to believe. @returns whether it was not before */
  #profile(number: number, prepared: Preparing, open: () => TrustFiles | undefined): boolean {
    if (this.#profiles.has(number)) return false;
    this.#profiles.add(number);
    prepared.profiles.push(number);
    const files = open();
    if (files !== undefined) prepared.trust.set(number, new Trust(number, files));
    return true;
  }

  /** @throws CertificateError */
  #ticketsOf(path: string | undefined, handed: OwnKeys | undefined): TicketKeys {
    if (this.#tickets !== undefined && this.#tickets.path === path) return this.#tickets;
    try {
      return new TicketKeys(path, handed);
    } catch (error) {
      throw new CertificateError(`tls-ticket-keys: ${(error as Error).message}`);
    }
  }

  /** Files that are read again, but for certificates. */
  get #rereads(): readonly Reread[] {
    return [...this.#trust.values(), ...(this.#tickets === undefined ? [] : [this.#tickets])];
  }

  /** Keys of session tickets that the next process must know. */
  get ownKeys(): OwnKeys | undefined {
    return this.#tickets?.own;
  }

  /** Looks after files and keys from here on, until `close`. */
  watch(): void {
    this.#watchFiles();
    this.#tellEnding(Date.now()); // what has ended was told with the configuration
    this.#every(DAY_MS, () => this.#tellEnding(-Infinity));
    this.#every(LOOK_MS, () => this.#tickets?.rotateIfDue());
  }

  #watchFiles(): void {
    this.#watched?.close();
    const paths = [
      ...[...this.#pairs.values()].flatMap(({ files }) => pathsOf(files)),
      ...this.#rereads.flatMap(({ paths }) => paths),
    ];
    this.#watched = new WatchedFiles(paths, () => this.reread(), (why) => {
      this.#log.warn("certificates", `${why}; files there are looked at once a minute`);
    });
  }

  close(): void {
    this.#watched?.close();
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  /** Reads every file that has changed. What is broken is told once and changes nothing. @returns the files that hold
   * something else now */
  reread(): string[] {
    const changed = new Set<Pair>(), others: string[] = [];
    for (const pair of this.#pairs.values()) if (this.#rereadPair(pair)) changed.add(pair);
    for (const [name, { pairs }] of this.#listeners) {
      if (pairs.some((pair) => changed.has(pair))) this.#present(name);
    }
    for (const { number, pair } of this.#own.values()) if (changed.has(pair)) showOwn(number, pair);
    for (const { files: { cert }, stored: { leaf: { names, notAfter } } } of changed) {
      const message = `${cert} was read again: ${namesText(names)}, until ${timeText(notAfter)}`;
      this.#log.info("certificates", message, { file: cert });
    }
    const now = Date.now();
    for (const other of this.#rereads) {
      const isNew = this.#rereadOther(other);
      if (isNew) others.push(...other.paths);
      const late = other.overdue?.(isNew ? 0 : this.#readAt, now);
      if (late !== undefined) this.#log.warn("certificates", late);
    }
    this.#readAt = now;
    return [...[...changed].map(({ files: { cert } }) => cert), ...others];
  }

  /** Until they are issued, there is no certificate for these names, not even another name's. */
  expect(listener: string, names: Iterable<string>): void {
    const profile = this.#listeners.get(listener);
    if (profile === undefined) return;
    for (const name of names) profile.awaited.add(name);
    this.#present(listener);
  }

  /** Presents an issued certificate for the names of a listener. @throws CertificateError */
  install(listener: string, names: readonly string[], chain: string, key: string): void {
    const profile = this.#listeners.get(listener);
    if (profile === undefined) return;
    const { number, pairs, issued } = profile;
    const stored = store(`listeners.${listener}.tls.acme`, Buffer.from(chain), Buffer.from(key));
    const before = new Set<number>();
    // The first of all is for other names as well; nothing else changes with one of thousands but its name.
    const isFirst = pairs.length === 0 && (issued.size === 0 || names.includes(issued.keys().next().value!));
    for (const name of names) {
      const old = issued.get(name);
      if (old !== undefined) before.add(old.number);
      issued.set(name, stored);
    }
    if (isFirst) this.#present(listener);
    else for (const name of names) setName(number, name, stored.number);
    if (before.size === 0) return;
    const used = new Set([...issued.values()].map(({ number }) => number));
    for (const number of before) if (!used.has(number)) sys.cert_close(number);
  }

  /** Names for which a listener presents what was issued. */
  issuedNames(listener: string): string[] {
    return [...this.#listeners.get(listener)?.issued.keys() ?? []];
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
    for (const [upstream, { pair }] of this.#own) rowOf(pair.stored, pair).upstreams.add(upstream);
    return [...rows.values()].map(({ stored: { leaf }, listeners, upstreams, pair }) => ({
      listeners: [...listeners],
      upstreams: [...upstreams],
      file: pair?.files.cert,
      names: [...leaf.names, ...leaf.addresses],
      issuer: leaf.issuer,
      notBefore: leaf.notBefore,
      notAfter: leaf.notAfter,
      fingerprint: leaf.fingerprint,
      problem: pair === undefined ? standIn(leaf) : pair.problem,
    }));
  }

  /** Those that a listener presents, in the order in which they count; or will, as it was prepared. */
  presented(
    listener: string,
    { listeners }: { readonly listeners: ReadonlyMap<string, ListenerProfile> } = {
      listeners: this.#listeners,
    },
  ): Presented[] {
    const known = listeners.get(listener);
    if (known === undefined) return [];
    return [
      ...known.pairs.map(({ files, stored }) => ({ file: files.cert, certificate: stored.leaf })),
      ...[...new Set(known.issued.values())].map(({ leaf }) => ({ file: undefined, certificate: leaf })),
    ];
  }

  /** A pair that is known, or one more. @throws CertificateError */
  #pair(where: string, files: CertificateFiles, prepared: Preparing): Pair {
    const key = [files.cert, files.key, files.ocsp ?? ""].join("\n");
    const known = prepared.pairs.get(key) ?? this.#pairs.get(key);
    if (known !== undefined) {
      prepared.pairs.set(key, known);
      return known;
    }
    const stamp = stampOf(pathsOf(files));
    const chain = readPem(files.cert, where), secret = readPem(files.key, where);
    const stored = store(`${where}: ${files.cert}`, chain, secret);
    prepared.certificates.push(stored.number);
    const digest = digestOf(chain, secret);
    const pair: Pair = { files, stored, stamp, digest, stapledUntil: 0, problem: undefined };
    if (files.ocsp !== undefined) staple(pair, readPem(files.ocsp, where));
    prepared.pairs.set(key, pair);
    return pair;
  }

  /** The table of a listener's names, as they are now. Of a name's certificates with one kind of key the first
   * counts; the first of all is for whoever asks for no name, or for an unknown one. */
  #present(listener: string): void {
    const { number, pairs, issued, awaited } = this.#listeners.get(listener)!;
    const begun = sys.names_begin(number);
    if (begun < 0) return this.#log.error("certificates", `names of ${listener}: ${errnoName(-begun)}`);
    const all = [...pairs.map(({ stored }) => stored), ...issued.values()];
    const first = all[0]?.leaf.names.join("\n");
    for (const { number: certificate, leaf } of all) {
      for (const name of leaf.names) addName(name, certificate);
      if (leaf.names.join("\n") === first) addName("", certificate);
    }
    for (const name of awaited) addName(name, 0);
    sys.names_commit();
  }

  /** True if it is another certificate now. */
  #rereadPair(pair: Pair): boolean {
    const { files, stored: { number: before } } = pair, stamp = stampOf(pathsOf(files));
    if (pair.stapledUntil !== 0 && Date.now() > pair.stapledUntil) {
      unstaple(pair);
      this.#problem(pair, `${files.ocsp} was due anew`, "it is shown no more");
    }
    if (stamp === pair.stamp) return false;
    pair.stamp = ""; // until all of them could be read
    let isOther: boolean;
    try {
      const chain = readPem(files.cert), key = readPem(files.key), digest = digestOf(chain, key);
      pair.stamp = stamp;
      isOther = digest !== pair.digest;
      if (isOther) {
        Object.assign(pair, {
          stored: this.#restore(pair, chain, key),
          digest,
          stapledUntil: 0,
          problem: undefined,
        });
      }
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      this.#problem(pair, error.message, "the certificate before stays in use");
      return false;
    }
    this.#restaple(pair);
    if (!isOther) return false;
    sys.cert_close(before);
    return true;
  }

  /** Parses a pair that was read again. It is judged as at the start: OpenSSL takes keys that it then refuses to use.
   * @throws CertificateError */
  #restore(pair: Pair, chain: Uint8Array, key: Uint8Array): Stored {
    const { cert, key: keyFile } = pair.files, stored = store(cert, chain, key);
    const use = [...this.#own.values()].some((own) => own.pair === pair) ? "client" : "server";
    const { flaws } = readPair(chain, keyFile === cert ? chain : key, { use, now: Date.now() });
    const flaw = flaws.find(({ severity }) => severity === "error");
    if (flaw === undefined) return stored;
    sys.cert_close(stored.number);
    throw new CertificateError(`${cert}: ${flaw.what}; ${flaw.remedy}`);
  }

  /** The pair is as it should be: that is told, and whether its OCSP response is. */
  #restaple(pair: Pair): void {
    const { cert, ocsp } = pair.files;
    try {
      const flaw = ocsp === undefined ? undefined : staple(pair, readPem(ocsp));
      if (flaw !== undefined) throw new CertificateError(`${ocsp}: ${flaw}`);
      if (pair.problem !== undefined) this.#log.info("certificates", `${cert} is in order again`);
      pair.problem = undefined;
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      const shown = pair.stapledUntil === 0 ? "no OCSP response is shown" : "the one before is shown";
      this.#problem(pair, error.message, shown);
    }
  }

  /** True if it says something else. */
  #rereadOther(other: Reread): boolean {
    const files = other.paths.join(" and ");
    let changed = false;
    try {
      changed = other.read();
      if (changed) this.#log.info("certificates", `read again: ${files}`);
      else if (this.#broken.has(other)) this.#log.info("certificates", `in order again: ${files}`);
      this.#broken.delete(other);
    } catch (error) {
      const { message } = error as Error;
      if (this.#broken.get(other) !== message) {
        this.#log.warn("certificates", `${message}; what was read before stays in use`);
      }
      this.#broken.set(other, message);
    }
    return changed;
  }

  /** Told once for each state of the files: they may be in the middle of being replaced. */
  #problem(pair: Pair, why: string, consequence: string): void {
    if (pair.problem === why) return;
    pair.problem = why;
    this.#log.warn("certificates", `${why}; ${consequence}`, { file: pair.files.cert });
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

  #every(ms: number, what: () => void): void {
    const timer = setInterval(what, ms);
    timer.unref();
    this.#timers.push(timer);
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

/** Shows an OCSP response with a certificate, unless that would do harm. @returns what is wrong with it */
function staple(pair: Pair, der: Uint8Array): string | undefined {
  const now = Date.now(), { number, leaf } = pair.stored, answer = ocspAnswerOf(der);
  const until = answer?.nextUpdate ?? Infinity;
  const flaw = readOcsp(der, leaf, now).find(({ severity }) => severity === "error")?.what;
  if (flaw !== undefined) return flaw;
  if (until < now) return `was due anew on ${timeText(until)}`;
  sys.cert_staple(number, der, der.length);
  pair.stapledUntil = until;
  return undefined;
}

function unstaple(pair: Pair): void {
  sys.cert_staple(pair.stored.number, NO_BYTES, 0);
  pair.stapledUntil = 0;
}

function showOwn(profile: number, { stored: { number }, files: { cert } }: Pair): void {
  const shown = sys.profile_own(profile, number);
  if (shown < 0) throw new CertificateError(`${cert}: ${errnoName(-shown)}`);
}

/** What is wrong with a certificate of ours: until one is issued, one vouches for itself. */
function standIn({ subjectDer, issuerDer }: Certificate): string | undefined {
  return Buffer.compare(subjectDer, issuerDer) === 0
    ? "nobody vouches for it: it stands in for one that is issued"
    : undefined;
}

function pathsOf({ cert, key, ocsp }: CertificateFiles): string[] {
  return ocsp === undefined ? [cert, key] : [cert, key, ocsp];
}

function digestOf(chain: Uint8Array, key: Uint8Array): string {
  return createHash("sha256").update(`${chain.length} `).update(chain).update(key).digest("base64");
}

function addName(name: string, certificate: number): void {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length > NAME_BYTES_MAX) return;
  const added = sys.names_add(bytes.length === 0 ? NO_BYTES : bytes, bytes.length, certificate);
  if (added < 0) throw new CertificateError(`names: ${errnoName(-added)}`);
}

function setName(profile: number, name: string, certificate: number): void {
  const bytes = new TextEncoder().encode(name);
  const set = sys.names_set(profile, bytes, bytes.length, certificate);
  if (set < 0) throw new CertificateError(`the name ${name}: ${errnoName(-set)}`);
}

function setChallenge(name: string, certificate: number): void {
  const bytes = new TextEncoder().encode(name);
  const set = sys.challenge(bytes, bytes.length, certificate);
  if (set < 0) throw new CertificateError(`the challenge of ${name}: ${errnoName(-set)}`);
}

/** Bun's FFI takes no empty array: any byte will do. */
const NO_BYTES = new Uint8Array(1);
