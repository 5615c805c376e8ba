// The configuration in force, and the way to another one: everything of it that can fail is prepared beside what runs,
// and nothing is touched before all of it is there. Then one step, which cannot fail, puts it in force.
import { Certificates, type PreparedCertificates } from "./certificates/store.ts";
import { Issuing } from "./certificates/issuing.ts";
import type { OwnKeys } from "./certificates/tickets.ts";
import type { Plan } from "../plan/plan.ts";
import type { AccessLog, PreparedTarget } from "./access_log.ts";
import { type SocketNumbers, socketNumbers } from "./config/compile_sockets.ts";
import { profileNumbers, toldOfTls } from "./config/compile_tls.ts";
import { type ConfigProblem } from "./config/errors.ts";
import { pathText } from "./config/file.ts";
import type { Tell } from "./config/finding.ts";
import type { Read } from "./config_watch.ts";
import { withLeaving } from "./config/parts.ts";
import type { Config } from "./config/schema.ts";
import type { Hide } from "./config/substitution.ts";
import { Departures } from "./departures.ts";
import type { Directory } from "./directory.ts";
import { Discovery, type DiscoveryEvents, namesOf } from "./discovery.ts";
import { timeoutsWritten } from "./explain/world.ts";
import { Generations, type Kept } from "./generations.ts";
import { ListenError } from "./listen_flaw.ts";
import type { Inheritance, Socket } from "./listen_sockets.ts";
import { type Listeners, type Opening } from "./listeners.ts";
import { Lists } from "./lists.ts";
import type { Log } from "./log.ts";
import type { Overrides } from "./overrides.ts";
import { patternFindings } from "./patterns.ts";
import { OwnerError, settingFindings, Settings } from "./sockets.ts";

/** A configuration as it was read. */
export interface GivenConfig {
  readonly config: Config;
  /** The values that it was made of: which of them were given. */
  readonly raw?: unknown;
  readonly warnings?: readonly ConfigProblem[];
  /** Files that it was read from, and that it names. */
  readonly files?: ReadonlySet<string>;
  /** Puts references in place of secrets. */
  readonly hide?: Hide;
  /** Says where the configuration has what is wrong with it. */
  readonly tell?: Tell;
  /** What it was read from. */
  readonly read?: Read;
}

/** It cannot be put in force: what to tell, and the exit status of a start (1 run time, 2 configuration). */
export class StartError extends Error {
  override name = "StartError";
  readonly lines: readonly string[];
  readonly status: 1 | 2;
  /** The whole of it for people, with the lines of the file, if it is about one. */
  readonly text: string;

  constructor(lines: readonly string[], status: 1 | 2, text = lines.map((line) => `${line}\n`).join("")) {
    super(lines.join("; "));
    this.lines = lines;
    this.status = status;
    this.text = text;
  }
}

/** What is in force. */
export interface InForce {
  readonly config: Config;
  readonly written: ReadonlySet<string>;
  readonly hide: Hide;
  /** What listening sockets, and those to servers, are made with. */
  readonly settings: SocketNumbers;
  /** Undefined: nothing is to be issued. */
  readonly issuing: Issuing | undefined;
}

/** Everything that a configuration needs is there, and nobody works by it. */
export interface Prepared extends InForce {
  readonly opening: Opening;
  readonly certificates: PreparedCertificates;
  /** Where access records go; undefined: where they go now. */
  readonly target: PreparedTarget | undefined;
  /** What works otherwise than it was asked for. */
  readonly warnings: readonly string[];
}

/** What is there already when a process starts. */
export interface Inherited {
  readonly inheritance?: Inheritance;
  /** Keys of session tickets from the process before this one. */
  readonly tickets?: OwnKeys;
}

/** What came of a step to another configuration. */
export interface Step {
  /** Sockets that nobody watched before, and those that are wanted no more. */
  readonly watched: readonly Socket[];
  readonly gone: readonly Socket[];
  /** Files of lists that hold something else. */
  readonly lists: readonly string[];
}

export interface ConfiguredParts {
  readonly log: Log;
  readonly directory: Directory;
  readonly listeners: Listeners;
  readonly names: DiscoveryEvents;
}

export class Configured {
  readonly #log: Log;
  readonly #directory: Directory;
  readonly listeners: Listeners;
  readonly certificates: Certificates;
  readonly discovery: Discovery;
  readonly lists: Lists;
  readonly settings = new Settings();
  readonly generations: Generations;
  readonly departures = new Departures();
  /** What an operator says of servers; set once there are reactors. */
  overrides: Overrides | undefined;
  #inForce: InForce;
  #isPreparing = false;

  /** @param config the first one, of which nothing is in force yet */
  constructor({ config, raw, hide = (text) => text }: GivenConfig, parts: ConfiguredParts) {
    const { log, directory, listeners, names } = parts;
    this.#log = log;
    this.#directory = directory;
    this.listeners = listeners;
    this.certificates = new Certificates(log);
    this.lists = new Lists(config, log);
    this.generations = new Generations(directory, log);
    this.discovery = new Discovery(names);
    const settings = { listeners: new Map(), upstreams: new Map() };
    this.#inForce = { config, written: timeoutsWritten(raw), hide, settings, issuing: undefined };
  }

  get inForce(): InForce {
    return this.#inForce;
  }

  get config(): Config {
    return this.#inForce.config;
  }

  /** Makes what another configuration needs. @throws what `startError` understands; then nothing has been made */
  async prepare(given: GivenConfig, accessLog: AccessLog, inherited: Inherited = {}): Promise<Prepared> {
    this.#isPreparing = true;
    try {
      return await this.#prepare(given, accessLog, inherited);
    } catch (error) {
      this.#lookAfterNames();
      throw error;
    } finally {
      this.#isPreparing = false;
    }
  }

  /** Gives back the numbers of what is gone. Not while some are taken that no Plan has yet. */
  release(kept: Pick<Kept, "reactors" | "health">): void {
    if (this.#isPreparing) return;
    this.generations.release({ ...kept, settings: this.settings, certificates: this.certificates });
  }

  async #prepare(
    { config, raw, hide = (text) => text, tell = tellKeys }: GivenConfig,
    accessLog: AccessLog,
    { inheritance, tickets }: Inherited,
  ): Promise<Prepared> {
    checkPatterns(config, tell);
    await this.discovery.start(namesOf(config));
    const { identities } = this.generations;
    const settings = socketNumbers(config, (key) => identities.sockets.take(key));
    const warnings = this.#openSettings(config, settings, tell);
    const profiles = profileNumbers(config, (key) => identities.profiles.take(key));
    const certificates = this.certificates.prepare(config, profiles, tickets);
    let issuing: Issuing | undefined, opening: Opening | undefined;
    try {
      issuing = await this.#issuingOf(config, certificates);
      opening = this.listeners.prepare(config, settings, this.discovery.resolve, inheritance);
      const target = accessLog.prepare(config.log.access, this.discovery.resolve);
      const written = timeoutsWritten(raw);
      return { config, written, hide, settings, issuing, certificates, opening, target, warnings };
    } catch (error) {
      if (opening !== undefined) this.listeners.abandon(opening);
      this.certificates.abandon(certificates);
      this.#abandonIssuing(issuing);
      throw error;
    }
  }

  #abandonIssuing(issuing: Issuing | undefined): void {
    if (issuing !== this.#inForce.issuing) void issuing?.stop();
  }

  /** What was prepared is not wanted. */
  abandon({ opening, certificates, target, issuing }: Prepared, accessLog: AccessLog): void {
    this.listeners.abandon(opening);
    this.certificates.abandon(certificates);
    this.#abandonIssuing(issuing);
    accessLog.abandon(target);
    this.#lookAfterNames();
  }

  /** Puts what was prepared in force. The Plan of it is to be compiled and published at once. */
  commit(prepared: Prepared, accessLog: AccessLog): Step {
    const { config, opening, certificates, target } = prepared, before = this.#inForce;
    const { listeners: numbers } = this.generations.identities;
    const { open } = this.listeners, { watched, gone } = this.listeners.commit(opening);
    this.departures.leave(open, opening.sockets, before.config, (key) => numbers.take(key));
    this.#inForce = prepared;
    const lists = this.lists.adopt(config);
    this.certificates.commit(certificates);
    accessLog.adopt({ ...config.log.access, tls: toldOfTls(config) }, target);
    this.#lookAfterNames();
    for (const warning of prepared.warnings) this.#log.warn("sockets", warning);
    return { watched, gone, lists };
  }

  /** Compiles what is in force, as names, files and operators say now. */
  compile(): Plan {
    const { config, issuing } = this.#inForce;
    const plan = this.generations.compile({
      config,
      sockets: this.listeners.open,
      leaving: this.departures.leaving,
      resolve: this.discovery.resolve,
      acmeThumbprint: issuing?.thumbprint,
      listFiles: this.lists.files,
      overrides: this.overrides,
    });
    this.overrides?.apply();
    return plan;
  }

  #lookAfterNames(): void {
    this.discovery.retain(namesOf(withLeaving(this.config, this.departures.leaving)));
  }

  async #issuingOf(config: Config, certificates: PreparedCertificates): Promise<Issuing | undefined> {
    const { issuing } = this.#inForce;
    if (issuing?.serves(config)) return issuing;
    return await Issuing.open(config, this.certificates, certificates, this.#log);
  }

  /** @returns what works otherwise than it was asked for */
  #openSettings(config: Config, numbers: SocketNumbers, tell: Tell): readonly string[] {
    try {
      this.settings.open(config, numbers);
    } catch (error) {
      if (!(error instanceof OwnerError)) throw error;
      throw new ListenError(`${error.message}; write one of those, or a number`);
    }
    return warningsOf(tell(settingFindings(config, numbers)));
  }
}

/** Those among what was found that are only to be told. @throws StartError: there is more */
export function warningsOf(problems: readonly ConfigProblem[]): string[] {
  const lines = (of: string) => problems.filter(({ severity }) => severity === of).map(lineOf);
  const errors = lines("error");
  if (errors.length > 0) throw new StartError(errors, 1);
  return lines("warning");
}

/** Every regular expression compiles, or the configuration is none. */
function checkPatterns(config: Config, tell: Tell): void {
  const findings = patternFindings(config);
  if (findings.length > 0) throw new StartError(tell(findings).map(lineOf), 2);
}

/** By key alone: nobody knows where it was written. */
export const tellKeys: Tell = (findings) =>
  findings.map(({ path, what, remedy, severity }) => ({ where: pathText(path), what, remedy, severity }));

export function lineOf({ where, what, remedy }: ConfigProblem): string {
  return `${where === "" ? "" : `${where}: `}${what}; ${remedy}`;
}
