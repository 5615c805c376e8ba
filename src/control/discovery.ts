// Host names -> addresses, for as long as DNS says they are good. A name that does not resolve is a
// warning and a server that is not there yet, never a reason not to start; when DNS fails later, the
// last good answer stays. The hosts file is looked at first, then DNS (which tells how long an answer
// holds), then the system's resolver (search domains, other sources).
import { readFileSync } from "node:fs";
import { lookup, Resolver } from "node:dns/promises";
import { type Address, ipAddress, type LiteralAddress, type NameAddress } from "./config/address.ts";
import type { Config } from "./config/schema.ts";

/** Bounds of how long an answer is believed, whatever its TTL says. */
const TTL_S_MIN = 1;
const TTL_S_MAX = 60;
/** For answers that come without a TTL. */
const TTL_S_UNKNOWN = 5;
/** Nobody waits longer for DNS at start: the other servers are there. */
const START_DEADLINE_MS = 5_000;
const QUERY_TIMEOUT_MS = 2_000;
const QUERY_TRIES = 2;
const HOSTS_FILE = "/etc/hosts";
/** Addresses of one name; more are left out. */
const ADDRESSES_MAX = 256;

interface Answer {
  readonly ips: readonly string[];
  readonly ttlS: number;
}

/** What is known of a name. Times are by the wall clock. */
export interface NameView {
  readonly name: string;
  /** As the last good answer said. */
  readonly ips: readonly string[];
  /** Whether the last question was answered; undefined before the first one was. */
  readonly resolves: boolean | undefined;
  /** Since when that is so. */
  readonly sinceMs: number | undefined;
  /** Time of the last good answer. */
  readonly answeredAtMs: number | undefined;
  /** The last failure. */
  readonly failure: { readonly atMs: number; readonly why: string } | undefined;
  /** Failures so far. */
  readonly failures: number;
}

class Name implements NameView {
  readonly name: string;
  ips: readonly string[] = [];
  resolves: boolean | undefined;
  sinceMs: number | undefined;
  answeredAtMs: number | undefined;
  failure: NameView["failure"];
  failures = 0;
  /** Each doubles the wait for the next try. */
  failuresInRow = 0;
  /** Who asked for it waits for the first answer, and needs not be told of it. */
  isAwaited = true;
  timer: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** @returns whether that is another answer than the one before */
  answered(ips: readonly string[]): boolean {
    const changed = ips.join() !== this.ips.join();
    this.ips = ips;
    this.answeredAtMs = Date.now();
    this.failuresInRow = 0;
    this.#turned(true, this.answeredAtMs);
    return changed;
  }

  failed(why: string): void {
    this.failure = { atMs: Date.now(), why };
    this.failures++;
    this.failuresInRow++;
    this.#turned(false, this.failure.atMs);
  }

  #turned(resolves: boolean, atMs: number): void {
    if (this.resolves !== resolves) this.sinceMs = atMs;
    this.resolves = resolves;
  }
}

export interface DiscoveryEvents {
  /** The addresses of some name changed: compile and publish. */
  changed(name: string, ips: readonly string[]): void;
  /** A name stopped resolving; said once until it resolves again. */
  failed(name: string, why: string, keeping: readonly string[]): void;
}

/** The host names of a configuration: where it listens and whom it connects to. */
export function namesOf(config: Config): string[] {
  const { to } = config.log.access;
  const addresses: Address[] = [
    ...(to.kind === "syslog" ? [to.address] : []),
    ...Object.values(config.listeners).flatMap(({ bind }) => bind.map(({ address }) => address)),
    ...Object.values(config.upstreams).flatMap(({ servers }) => servers.map(({ address }) => address)),
  ];
  return addresses.flatMap((address) => (address.kind === "name" ? [address.name] : []));
}

/** Asks where a name is. Exchanged in tests. */
export type Ask = (name: string) => Promise<Answer>;

export class Discovery {
  readonly #names = new Map<string, Name>();
  readonly #events: DiscoveryEvents;
  readonly #ask: Ask;
  #stopped = false;

  constructor(events: DiscoveryEvents, ask: Ask = askSystem) {
    this.#events = events;
    this.#ask = ask;
  }

  /** Resolves every name that is not known yet for the first time, at once; then each again when its answer has aged.
   * Waits for at most START_DEADLINE_MS: what comes later is told as a change. */
  async start(names: Iterable<string>): Promise<void> {
    const fresh = [...new Set(names)].filter((name) => !this.#names.has(name)).map((name) => new Name(name));
    if (fresh.length === 0) return;
    for (const entry of fresh) this.#names.set(entry.name, entry);
    const answered = Promise.all(fresh.map((entry) => this.#refresh(entry)));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, START_DEADLINE_MS));
    await Promise.race([answered, late]);
    clearTimeout(timer);
    for (const entry of fresh) entry.isAwaited = false;
  }

  /** Looks after these alone from here on. */
  retain(names: Iterable<string>): void {
    const kept = new Set(names);
    for (const [name, entry] of this.#names) {
      if (kept.has(name)) continue;
      clearTimeout(entry.timer);
      this.#names.delete(name);
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#names.values()) clearTimeout(timer);
  }

  /** What is known of every name, for those who look. */
  get names(): ReadonlyMap<string, NameView> {
    return this.#names;
  }

  /** The addresses that a target stands for now. */
  readonly resolve = (target: Address): readonly LiteralAddress[] => {
    if (target.kind !== "name") return [target];
    return this.#ips(target).flatMap((ip) => ipAddress(ip, target.port) ?? []);
  };

  #ips(target: NameAddress): readonly string[] {
    return this.#names.get(target.name)?.ips ?? [];
  }

  async #refresh(entry: Name): Promise<void> {
    const { name } = entry;
    let again: number, tell = false;
    try {
      const { ips, ttlS } = await this.#ask(name);
      again = Math.min(Math.max(ttlS, TTL_S_MIN), TTL_S_MAX);
      const sorted = [...new Set(ips)].sort().slice(0, ADDRESSES_MAX);
      tell = entry.answered(sorted) && !entry.isAwaited;
    } catch (error) {
      const why = error instanceof Error
        ? (error as NodeJS.ErrnoException).code ?? error.message
        : String(error);
      again = Math.min(TTL_S_MIN * 2 ** entry.failuresInRow, TTL_S_MAX);
      entry.failed(why);
      if (entry.failuresInRow === 1 && this.#isWanted(entry)) this.#events.failed(name, why, entry.ips);
    }
    if (!this.#isWanted(entry)) return;
    if (tell) this.#events.changed(name, entry.ips);
    entry.timer = setTimeout(() => void this.#refresh(entry), again * 1_000);
  }

  #isWanted(entry: Name): boolean {
    return !this.#stopped && this.#names.get(entry.name) === entry;
  }
}

export async function askSystem(name: string): Promise<Answer> {
  const hosts = fromHostsFile(name);
  if (hosts.length > 0) return { ips: hosts, ttlS: TTL_S_UNKNOWN };
  const dns = await fromDns(name);
  if (dns !== undefined) return dns;
  const found = await lookup(name, { all: true });
  return { ips: found.map(({ address }) => address), ttlS: TTL_S_UNKNOWN };
}

/** Addresses of a name in hosts(5) form; case does not matter. */
export function hostsAddresses(text: string, name: string): string[] {
  const wanted = name.toLowerCase();
  return text.split("\n").flatMap((line) => {
    const [ip, ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    return names.some((other) => other.toLowerCase() === wanted) ? [ip] : [];
  });
}

function fromHostsFile(name: string): string[] {
  try {
    return hostsAddresses(readFileSync(HOSTS_FILE, "utf8"), name);
  } catch {
    return [];
  }
}

/** What DNS says when a name has no address of a family, as opposed to not being able to say. */
const NOTHING_THERE = ["ENODATA", "ENOTFOUND", "ENONAME"];

/** A and AAAA records with the smaller TTL; undefined when DNS has neither. Rejects when one family's
 * question was not answered: half an answer would take the other half's servers away. */
async function fromDns(name: string): Promise<Answer | undefined> {
  const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES });
  const answers = await Promise.allSettled([
    resolver.resolve4(name, { ttl: true }),
    resolver.resolve6(name, { ttl: true }),
  ]);
  const records = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  const unanswered = answers.find((answer) =>
    answer.status === "rejected" && !NOTHING_THERE.includes(answer.reason?.code)
  );
  if (records.length > 0 && unanswered?.status === "rejected") throw unanswered.reason;
  if (records.length === 0) return undefined;
  return { ips: records.map(({ address }) => address), ttlS: Math.min(...records.map(({ ttl }) => ttl)) };
}
