// Automatic certificates: each name gets one of its own from a CA, is renewed when two thirds of its time
// are over, and keeps what it has whatever fails. One Acme is one storage at one CA; it knows no listeners
// and no TLS: what it has is handed to `hooks`, and HTTP-01 is answered by whoever knows `thumbprint`.
//
// One name is one certificate, so that one that cannot be had keeps no other from being renewed. A name
// does one thing at a time, ORDERS_MAX names at once, and all of it is driven by one timer.
import { AccountKey } from "./account_key.ts";
import { Allow } from "./allow.ts";
import { backOffMs, renewAtMs } from "./back_off.ts";
import { type Clock, SYSTEM_CLOCK } from "./clock.ts";
import { type Held, Hold } from "./hold.ts";
import { Lock } from "./lock.ts";
import { Name, type NameStatus } from "./name.ts";
import { canonical, nameFlaw } from "./names.ts";
import { type ChallengeKind, obtain, type Proofs } from "./order.ts";
import { AcmeError, acmeError, wordsOf } from "./problem.ts";
import { type ExternalAccount, Session } from "./session.ts";
import { Storage, type StoredPair } from "./storage.ts";
import { type AcmeLog, Told } from "./told.ts";
import { newKeyPem, type Pair, selfSigned } from "./x509.ts";

export interface AcmeOptions {
  /** Exact names. */
  readonly names: readonly string[];
  /** A folder. */
  readonly storage: string;
  /** URL of the CA's directory. */
  readonly directory: string;
  readonly email?: string | undefined;
  /** In the order in which they are tried; both if not given. */
  readonly challenges?: readonly ChallengeKind[] | undefined;
  readonly externalAccount?: ExternalAccount | undefined;
  /** A file of PEM certificates to verify the CA's own server with, instead of the runtime's. */
  readonly ca?: string | undefined;
  /** URL that says by 200 whether a name may be issued for. */
  readonly allow?: string | undefined;
  /** What a listed name without certificate is given. */
  readonly whileIssuing: "self-signed" | "refuse";
}

export interface AcmeHooks extends Proofs {
  /** From now on handshakes for these names get this chain; again with each renewal. */
  install(names: readonly string[], chainPem: string, keyPem: string): void;
  /** They get nothing any more. */
  uninstall?(names: readonly string[]): void;
  readonly log: AcmeLog;
  readonly clock?: Clock;
}

export interface AcmeStatus {
  readonly directory: string;
  readonly names: readonly NameStatus[];
  /** Why nothing is ordered now, whatever the name. */
  readonly held: Held | undefined;
  /** Since the start. */
  readonly issued: number;
  readonly failed: number;
}

/** What a handshake that waits is told. */
export type Asked = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** Orders under way. */
const ORDERS_MAX = 4;
/** Files read at once at start. */
const READS_MAX = 16;
/** Names that strangers have brought and that were allowed. */
const ON_DEMAND_MAX = 10_000;
/** Handshakes that wait. */
const ASKS_MAX = 1_024;
const ASK_DEADLINE_MS = 60_000;
/** Between two looks whether another instance is done. */
const ELSEWHERE_MS = 5_000;
/** The timer never sleeps longer: wall clocks are corrected, machines are suspended. */
const TICK_MS_MAX = 600_000;
/** After what should not have happened. */
const BUG_MS = 60_000;
/** When what could not be written is tried again. */
const UNSAVED_MS = 60_000;
/** A failure from before the start keeps from trying for no longer: it may be mended. CAs bear one this often. */
const MENDED_MS = 12 * 60_000;
const PLACEHOLDER_MS = 365 * 24 * 3_600_000;

export class Acme {
  /** HTTP-01: `/.well-known/acme-challenge/TOKEN` is answered with TOKEN.thumbprint, for any token. */
  readonly thumbprint: string;
  readonly #options: AcmeOptions;
  readonly #hooks: AcmeHooks;
  readonly #clock: Clock;
  readonly #told: Told;
  readonly #hold: Hold;
  readonly #storage: Storage;
  readonly #session: Session;
  readonly #allow: Allow | undefined;
  readonly #names = new Map<string, Name>();
  readonly #stopping: AbortController;
  readonly #startedAtMs: number;
  readonly #works = new Set<Promise<void>>();
  /** What could not be written to the disk. */
  readonly #unsaved = new Map<string, Pair>();
  /** Names of the configuration. */
  #listed = 0;
  #cancelTick = () => {};
  #started = false;
  #asks = 0;
  #issued = 0;
  #failed = 0;

  /** Opens the storage and the account's key, or makes them. @throws with words for people if that cannot be */
  static async open(options: AcmeOptions, hooks: AcmeHooks): Promise<Acme> {
    const told = new Told(hooks.log);
    try {
      const storage = await Storage.open(options.storage, options.directory, (what) => told.storage(what));
      const keyPem = await storage.accountKey(newKeyPem, (text) => new AccountKey(text));
      return new Acme(options, hooks, storage, new AccountKey(keyPem));
    } catch (error) {
      throw new AcmeError(`the storage of automatic certificates, ${options.storage}: ${wordsOf(error)}`, {
        scope: "authority",
        type: "storage",
      });
    }
  }

  private constructor(options: AcmeOptions, hooks: AcmeHooks, storage: Storage, key: AccountKey) {
    const { directory, email, externalAccount, ca, allow } = options;
    this.#options = options;
    this.#hooks = hooks;
    this.#clock = hooks.clock ?? SYSTEM_CLOCK;
    this.#told = new Told(hooks.log);
    this.#hold = new Hold(this.#clock);
    this.#startedAtMs = this.#clock.nowMs();
    this.#storage = storage;
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    this.thumbprint = key.thumbprint;
    this.#session = new Session({
      directory,
      key,
      email,
      externalAccount,
      ca,
      signal,
      account: () => storage.account(),
      keepAccount: (account) => storage.keepAccount(account),
      tell: (message) => this.#told.account(message),
    });
    this.#allow = allow === undefined ? undefined : new Allow(allow, this.#clock, signal);
  }

  /** Installs what is on the disk, and placeholders; then goes to work. Waits for no network. */
  async start(): Promise<void> {
    await this.#add(this.#options.names);
    this.#started = true;
    this.#tick();
  }

  /** The names of a new configuration: new ones are issued for, those that are gone are forgotten. */
  async setNames(names: readonly string[]): Promise<void> {
    const wanted = new Set(names.map(canonical));
    const gone = [...this.#names.values()].filter(({ name, isOnDemand }) => !isOnDemand && !wanted.has(name));
    for (const { name } of gone) this.#forget(name);
    await this.#add(names);
    this.#tick();
  }

  status(): AcmeStatus {
    return {
      directory: this.#options.directory,
      names: [...this.#names.values()].map((entry) => entry.view()),
      held: this.#hold.now,
      issued: this.#issued,
      failed: this.#failed,
    };
  }

  /**
   * A handshake for a name without certificate. Resolves when there is one (it is installed), when there will
   * be none for now, or at a deadline; never rejects.
   */
  async ask(asked: string): Promise<Asked> {
    const name = canonical(asked);
    const flaw = nameFlaw(name);
    if (flaw !== undefined) return refused(flaw);
    if (this.#asks >= ASKS_MAX) return refused(`${ASKS_MAX} handshakes are waiting already`);
    this.#asks++;
    try {
      const known = this.#names.get(name) ?? await this.#addOnDemand(name);
      if (!(known instanceof Name)) return known;
      return await this.#outcome(known);
    } catch (error) {
      return refused(wordsOf(error));
    } finally {
      this.#asks--;
    }
  }

  /** Ends everything under way. What was ordered and is not fetched is lost, nothing else. */
  async stop(): Promise<void> {
    this.#cancelTick();
    this.#stopping.abort(new AcmeError("Sluice is stopping", { scope: "authority", type: "stopped" }));
    for (const entry of this.#names.values()) entry.wake();
    await Promise.allSettled(this.#works);
  }

  async #add(names: readonly string[]): Promise<void> {
    const all = [...new Set(names.map(canonical))];
    this.#listed = all.length;
    const fresh = all.filter((name) => {
      const flaw = nameFlaw(name);
      if (flaw !== undefined) this.#told.noName(name, flaw);
      const known = this.#names.get(name);
      if (known !== undefined) known.isOnDemand = false;
      return flaw === undefined && known === undefined;
    });
    const placeholderKey = fresh.length > 0 ? newKeyPem() : "";
    const waiting = [...fresh];
    const lane = async (): Promise<void> => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        const entry = new Name(name, false);
        this.#names.set(name, entry);
        await this.#load(entry);
        if (entry.serving === "nothing" && this.#options.whileIssuing === "self-signed") {
          const fromMs = this.#clock.nowMs();
          const times = { fromMs, untilMs: fromMs + PLACEHOLDER_MS };
          if (
            this.#install(entry, {
              chainPem: selfSigned(name, placeholderKey, times),
              keyPem: placeholderKey,
            })
          ) {
            entry.serving = "placeholder";
          }
        }
      }
    };
    await Promise.all(Array.from({ length: READS_MAX }, lane));
  }

  /** What the disk has. A disk that cannot be read is told when it is the name's turn. */
  async #load(entry: Name): Promise<void> {
    try {
      const pair = await this.#storage.pair(entry.name);
      if (pair === undefined) return;
      const nowMs = this.#clock.nowMs();
      this.#adopt(entry, pair);
      entry.renewMs = renewAtMs(pair, this.#clock.random());
      if (entry.renewMs > nowMs) this.#rest(entry);
      if (!entry.isGood(nowMs)) this.#told.ended(entry.name, pair.notAfterMs);
    } catch (error) {
      this.#told.trouble("error", entry.name, `the certificate of ${entry.name} cannot be read`, error);
    }
  }

  async #addOnDemand(name: string): Promise<Name | Asked> {
    if (this.#allow === undefined) return refused("no certificates are issued on demand");
    const known = this.#allow.known(name);
    if (known !== undefined && known.kind !== "yes") return refused(known.why);
    if (this.#names.size - this.#listed >= ON_DEMAND_MAX) {
      return refused(`${ON_DEMAND_MAX} names have certificates on demand already`);
    }
    const entry = new Name(name, true);
    entry.nextMs = Infinity; // it is nobody's turn until it is allowed
    this.#names.set(name, entry);
    await this.#load(entry); // it was allowed when it was issued; its renewal asks anew
    if (!entry.isGood(this.#clock.nowMs())) {
      const said = await this.#allow.ask(name);
      if (said.kind !== "yes" && entry.isOnDemand) {
        entry.state = "failed";
        entry.failure = { atMs: this.#clock.nowMs(), why: said.why };
        this.#forget(name);
        entry.wake(); // those who asked for the same name meanwhile
        return refused(said.why);
      }
    }
    entry.nextMs = entry.renewMs;
    this.#tick();
    return entry;
  }

  #outcome(entry: Name): Promise<Asked> {
    const look = (): Asked | undefined => {
      const nowMs = this.#clock.nowMs();
      if (entry.isGood(nowMs)) return { ok: true };
      if (this.#stopping.signal.aborted) return refused("Sluice is stopping");
      const why = entry.failure?.why ?? "it has failed";
      if (entry.state === "failed" && entry.nextMs > nowMs) return refused(why);
      return this.#hold.now && refused(this.#hold.now.why);
    };
    const now = look();
    if (now !== undefined) return Promise.resolve(now);
    return new Promise((resolve) => {
      const end = (asked: Asked) => {
        cancelTimer();
        cancelWait();
        resolve(asked);
      };
      const cancelTimer = this.#clock.after(ASK_DEADLINE_MS, () => end(refused("it is still being issued")));
      const cancelWait = entry.wait(() => {
        const then = look();
        if (then !== undefined) end(then);
      });
    });
  }

  /** Starts what is due, as far as there is room, and sleeps until the next is. */
  #tick(): void {
    if (!this.#started || this.#stopping.signal.aborted) return;
    this.#cancelTick();
    const nowMs = this.#clock.nowMs(), heldMs = this.#hold.now?.untilMs ?? 0;
    const idle = [...this.#names.values()].filter(({ isBusy }) => !isBusy);
    if (heldMs === 0) {
      const due = idle.filter(({ nextMs }) => nextMs <= nowMs);
      // Those without any certificate first, then those that end first.
      due.sort((a, b) => (a.notAfterMs ?? 0) - (b.notAfterMs ?? 0));
      for (const entry of due.slice(0, Math.max(ORDERS_MAX - this.#works.size, 0))) this.#begin(entry);
    }
    const next = idle.filter(({ isBusy }) => !isBusy).reduce(
      (least, { nextMs }) => Math.min(least, nextMs),
      Infinity,
    );
    // With no room left, whoever ends gives the next tick.
    const isFull = heldMs === 0 && this.#works.size >= ORDERS_MAX;
    const waitMs = isFull ? TICK_MS_MAX : Math.max(next, heldMs) - nowMs;
    this.#cancelTick = this.#clock.after(Math.min(Math.max(waitMs, 0), TICK_MS_MAX), () => this.#tick());
  }

  #begin(entry: Name): void {
    entry.isBusy = true;
    const work = this.#work(entry).catch((error) => {
      this.#told.trouble("error", entry.name, `${entry.name} has met a bug`, error);
      entry.nextMs = this.#clock.nowMs() + BUG_MS;
    }).finally(() => {
      entry.isBusy = false;
      this.#works.delete(work);
      if (entry.state !== "elsewhere") entry.wake();
      this.#tick();
    });
    this.#works.add(work);
  }

  async #work(entry: Name): Promise<void> {
    const { name } = entry;
    let lock: Lock | undefined;
    try {
      if (await this.#isSettled(entry)) return;
      if (!(await this.#isStillAllowed(entry))) return;
      lock = await Lock.tryTake(this.#storage.lockFolder(name), this.#clock);
      if (lock === undefined) return this.#waitForOther(entry);
      if (await this.#isSettled(entry)) return; // by whoever had the lock before us
      entry.state = "issuing";
      const { challenges = ["http-01", "tls-alpn-01"] } = this.#options;
      const pair = await obtain(name, challenges, {
        session: this.#session,
        proofs: this.#hooks,
        clock: this.#clock,
        signal: AbortSignal.any([this.#stopping.signal, lock.lost]),
      });
      await this.#gained(entry, pair, pair.by);
    } catch (error) {
      if (!this.#stopping.signal.aborted) await this.#fail(entry, acmeError(error, "name", "storage"));
    } finally {
      await lock?.release().catch((error) => {
        this.#told.trouble("warn", name, `the lock of ${name} is not given back`, error);
      });
    }
  }

  /** Whether the disk says that there is nothing to do now: a certificate, or that it must not be tried yet. */
  async #isSettled(entry: Name): Promise<boolean> {
    const unsaved = this.#unsaved.get(entry.name);
    if (unsaved !== undefined) {
      await this.#storage.keepPair(entry.name, unsaved);
      await this.#storage.forgetAttempts(entry.name);
      this.#unsaved.delete(entry.name);
    }
    const pair = await this.#storage.pair(entry.name);
    if (pair !== undefined) this.#adopt(entry, pair);
    const nowMs = this.#clock.nowMs();
    if (entry.facts !== undefined && entry.renewMs > nowMs) {
      this.#rest(entry);
      return true;
    }
    const attempts = await this.#storage.attempts(entry.name);
    if (attempts === undefined) return false;
    const { failures, error, atMs, nextMs, toldMs } = attempts;
    entry.failures = failures;
    if (atMs > nowMs) return false; // by a clock that has been corrected since
    const fromMs = atMs < this.#startedAtMs ? Math.min(nextMs, Math.max(atMs + MENDED_MS, toldMs)) : nextMs;
    if (fromMs <= nowMs) return false;
    entry.state = "failed";
    entry.failure = { atMs, why: error };
    entry.nextMs = fromMs;
    if (entry.isOnDemand && entry.facts === undefined) this.#names.delete(entry.name);
    return true;
  }

  /** The renewal of a name that strangers brought asks anew. */
  async #isStillAllowed(entry: Name): Promise<boolean> {
    if (!entry.isOnDemand || this.#allow === undefined) return true;
    const { kind, why } = await this.#allow.ask(entry.name);
    if (kind === "unknown") throw new AcmeError(why, { scope: "name", type: "allow" });
    if (kind === "yes") return true;
    this.#told.notRenewed(entry.name, why);
    this.#forget(entry.name);
    return false;
  }

  #waitForOther(entry: Name): void {
    entry.state = "elsewhere";
    entry.nextMs = this.#clock.nowMs() + ELSEWHERE_MS * (0.75 + this.#clock.random() / 2);
    this.#told.elsewhere(entry.name);
  }

  async #gained(entry: Name, pair: StoredPair, by: string): Promise<void> {
    const { name } = entry;
    this.#issued++;
    this.#hold.worked();
    this.#adopt(entry, pair);
    try {
      await this.#storage.keepPair(name, pair);
      await this.#storage.forgetAttempts(name);
    } catch (error) {
      this.#unsaved.set(name, pair);
      const what = `the new certificate of ${name} is in use and cannot be written to the disk`;
      this.#told.trouble("error", name, what, error);
    }
    this.#rest(entry);
    if (this.#unsaved.has(name)) entry.nextMs = this.#clock.nowMs() + UNSAVED_MS;
    this.#told.issued(name, by, pair.notAfterMs);
  }

  async #fail(entry: Name, error: AcmeError): Promise<void> {
    const { name } = entry;
    const nowMs = this.#clock.nowMs();
    this.#failed++;
    entry.state = "failed";
    entry.failure = { atMs: nowMs, why: error.message };
    if (error.scope === "authority") {
      entry.nextMs = this.#hold.failed(error).untilMs;
    } else {
      entry.nextMs = nowMs + backOffMs(++entry.failures, error, this.#clock.random());
      if (error.type === "rateLimited") this.#hold.limited(error);
      const toldMs = error.retryAfterMs === undefined ? 0 : nowMs + error.retryAfterMs;
      const { failures, nextMs } = entry;
      await this.#storage.keepAttempts(name, { failures, error: error.message, atMs: nowMs, nextMs, toldMs })
        .catch((trouble) =>
          this.#told.trouble("warn", name, `the failure of ${name} is not on the disk`, trouble)
        );
    }
    this.#told.failed(entry, error, nowMs);
    // Nobody retries for strangers: whoever comes next does, when the time is over.
    if (entry.isOnDemand && entry.facts === undefined) this.#names.delete(name);
  }

  /** Takes what is newer than what is in use. */
  #adopt(entry: Name, pair: StoredPair): void {
    const { facts } = entry;
    if (this.#names.get(entry.name) !== entry) return; // it is gone from the configuration
    if (facts?.fingerprint === pair.fingerprint || (facts?.notAfterMs ?? 0) > pair.notAfterMs) return;
    const { notBeforeMs, notAfterMs, fingerprint } = pair;
    entry.facts = { notBeforeMs, notAfterMs, fingerprint };
    // One that cannot be used is not ordered again for that: the next would be just like it.
    if (this.#install(entry, pair)) entry.serving = "issued";
    // A clock that is wrong makes each new certificate look old: it is not replaced at once all the same.
    const soonestMs = this.#clock.nowMs() + (notAfterMs - notBeforeMs) / 10;
    entry.renewMs = Math.max(renewAtMs(pair, this.#clock.random()), soonestMs);
  }

  #rest(entry: Name): void {
    entry.state = "valid";
    entry.failures = 0;
    entry.failure = undefined;
    entry.nextMs = entry.renewMs;
  }

  #install({ name }: Name, { chainPem, keyPem }: Pair): boolean {
    try {
      this.#hooks.install([name], chainPem, keyPem);
      return true;
    } catch (error) {
      this.#told.trouble("error", name, `the certificate of ${name} cannot be used`, error);
      return false;
    }
  }

  #forget(name: string): void {
    this.#unsaved.delete(name);
    if (this.#names.delete(name)) this.#hooks.uninstall?.([name]);
  }
}

function refused(why: string): Asked {
  return { ok: false, why };
}
