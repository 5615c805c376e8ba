// A reload, in order: the file is read and judged, what it needs is prepared, it is put in force, reactors take it up,
// sockets that nobody wants any more are let go. Whatever is wrong ends it before anything has changed. One at a time.
import { availableParallelism } from "node:os";
import { REACTORS_MAX } from "../base/limits.ts";
import { Count } from "../shared/stats.ts";
import { ExFlag, ExState, openExchanges } from "../shared/tables.ts";
import type { AccessLog } from "./access_log.ts";
import type { Issuing } from "./certificates/issuing.ts";
import { changesBetween, isNothing } from "./changes.ts";
import type { Configured, GivenConfig, Step } from "./configured.ts";
import { lineOf, StartError } from "./configured.ts";
import { type ConfigProblem, formatProblems, quoted } from "./config/errors.ts";
import type { Config } from "./config/schema.ts";
import { ConfigWatch, type Read } from "./config_watch.ts";
import { counted } from "./config/units.ts";
import { type Gone, goneBetween, presentOf } from "./departures.ts";
import type { Directory } from "./directory.ts";
import type { Socket } from "./listen_sockets.ts";
import type { Log } from "./log.ts";
import type { Reactors } from "./reactors.ts";
import {
  changeLines,
  goneViews,
  namedChanges,
  type ReloadAnswer,
  type Reloaded,
  type Reloads,
  summaryOf,
} from "./reload_answer.ts";
import type { ServiceManager } from "./service_manager.ts";
import { sum } from "./sight.ts";

/** For reactors to take what waits in the queues of a socket, and to look at it no more. */
const UNWATCH_DEADLINE_MS = 2_000;
/** For every reactor to work by the new Plan. */
const ADOPT_DEADLINE_MS = 5_000;
/** How often listeners that are gone are looked at for their last connection. */
const LOOK_MS = 500;

/** Reads the configuration anew, as it was given at the start. */
export type Reread = () => GivenConfig | {
  readonly problems: readonly ConfigProblem[];
  readonly read?: Read;
};

export interface ReloadingParts {
  readonly configured: Configured;
  readonly directory: Directory;
  readonly reactors: Reactors;
  readonly accessLog: AccessLog;
  readonly log: Log;
  /** Undefined: there is no file. */
  readonly reread: Reread | undefined;
  /** What it was read from, to be looked after; undefined: nobody wants that. */
  readonly watched: Read | undefined;
  /** What ends a start, as lines; undefined: it is a bug. */
  readonly problemOf: (error: unknown) => StartError | undefined;
  readonly service: ServiceManager;
  /** Why there may be no reload now; undefined: there may. */
  readonly refusal: () => string | undefined;
  readonly isUpgrading: () => boolean;
}

export class Reloading {
  readonly #parts: ReloadingParts;
  #last: Promise<unknown> = Promise.resolve();
  /** The one that has not begun. */
  #waiting: Promise<ReloadAnswer> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;
  #reloads: Reloads = { done: 0, refused: 0, last: undefined };
  #watch: ConfigWatch | undefined;

  constructor(parts: ReloadingParts) {
    const { log, watched } = this.#parts = parts;
    if (watched === undefined) return;
    const untold = (why: string) => log.warn("reload", `${why}; changes are seen once a minute`);
    this.#watch = new ConfigWatch(() => void this.reload("the file has changed"), untold);
    this.#watch.follow(watched);
  }

  /** Reloads, after the one that is under way. Whoever asks while one waits for that shares its answer: it has not read
   * anything yet. `by`: who wants it. Never rejects. */
  reload(by: string): Promise<ReloadAnswer> {
    return this.#waiting ??= this.#next(() => {
      this.#waiting = undefined;
      return this.#reload(by);
    });
  }

  /** Does something once everything before it is done, whatever came of that. */
  #next<T>(act: () => Promise<T>): Promise<T> {
    const next = this.#last.then(act);
    this.#last = next.catch(() => undefined);
    return next;
  }

  /** Resolves once the last one that was asked for has come to its end. */
  async settled(): Promise<void> {
    await this.#last;
  }

  /** What became of those that there were. */
  get reloads(): Reloads {
    return this.#reloads;
  }

  stop(): void {
    this.#watch?.close();
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #reload(by: string): Promise<ReloadAnswer> {
    const { service, directory, refusal } = this.#parts;
    if (refusal() !== undefined) return await this.#attempt(by);
    service.reloading();
    const answer = await this.#attempt(by), listeners = counted(directory.current.listeners.size, "listener");
    const { done, refused } = this.#reloads, last = { atMs: Date.now(), answer };
    this.#reloads = answer.reloaded
      ? { done: done + 1, refused, last }
      : { done, refused: refused + 1, last };
    const how = answer.reloaded ? "" : `; the last reload was refused: ${answer.why[0]}`;
    service.ready(`serving ${listeners}${how}`);
    return answer;
  }

  async #attempt(by: string): Promise<ReloadAnswer> {
    const { log } = this.#parts;
    try {
      const answer = await this.#step();
      log.audit("reload", `${by}: ${summaryOf(answer)}`, {
        generation: answer.generation,
        took_ms: Math.round(answer.took_ms),
        changed: answer.changed,
      });
      for (const line of changeLines(answer)) log.audit("reload", line);
      return answer;
    } catch (error) {
      const problem = this.#parts.problemOf(error);
      const why = problem?.lines ?? ["an error of Sluice; its log says more"];
      log.error("reload", `${by}: not reloaded, what runs goes on as before`);
      if (problem === undefined) {
        log.error("reload", error instanceof Error ? error.stack ?? error.message : String(error));
      }
      for (const line of why) log.error("reload", line);
      return { reloaded: false, status: problem?.status ?? 1, why, text: problem?.text ?? `${why[0]}\n` };
    }
  }

  /** @throws StartError, and what is like it: nothing has changed */
  async #step(): Promise<Reloaded> {
    const { configured, directory, accessLog, reread, reactors } = this.#parts,
      begun = performance.now();
    this.#mustBeReady();
    if (reread === undefined) {
      const remedy =
        "write it to a file (sluice print ... > sluice.yaml) and start with sluice run -c sluice.yaml";
      throw new StartError([`the configuration came from the command line; ${remedy}`], 2);
    }
    const given = reread();
    if (given.read !== undefined) this.#watch?.follow(given.read);
    if ("problems" in given) {
      throw new StartError(given.problems.map(lineOf), 2, formatProblems(given.problems));
    }
    const was = configured.config, is = given.config;
    refuse(was, is);
    const prepared = await configured.prepare(given, accessLog);
    if (this.#parts.refusal() !== undefined) {
      configured.abandon(prepared, accessLog);
      this.#mustBeReady();
    }
    const changes = changesBetween(was, is),
      before = presentOf(directory),
      issued = configured.inForce.issuing;
    const step = configured.commit(prepared, accessLog);
    const plan = configured.compile();
    reactors.publish(plan);
    this.#tellLog(was, is);
    reactors.watch(watchedBy(step.watched));
    const gone = goneBetween(before, presentOf(directory), was, is);
    const views = goneViews(gone, connectionsOf(reactors));
    configured.departures.schedule(gone, performance.now(), directory);
    if (configured.inForce.issuing !== issued) await this.#issue(issued);
    const certificates = configured.certificates.reread();
    await this.#letGo(step);
    await Promise.all([reactors.settled(ADOPT_DEADLINE_MS), accessLog.settled(ADOPT_DEADLINE_MS)]);
    this.#look();
    return {
      reloaded: true,
      generation: plan.generation,
      took_ms: performance.now() - begun,
      changed: !isNothing(changes) || step.lists.length + certificates.length > 0,
      listeners: namedChanges(changes.listeners),
      upstreams: namedChanges(changes.upstreams),
      servers: namedChanges(changes.servers),
      settings: changes.settings,
      lists: step.lists,
      certificates,
      ...views,
      warnings: [...(given.warnings ?? []).map(lineOf), ...prepared.warnings, ...this.#unresolved()],
    };
  }

  /** Goes on with the certificates that the new configuration wants to be issued. What is there already is presented. */
  async #issue(before: Issuing | undefined): Promise<void> {
    const { configured, log } = this.#parts;
    try {
      await before?.stop();
      await configured.inForce.issuing?.start();
    } catch (error) {
      log.error(
        "acme",
        `no certificate is issued: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  /** Names that nobody knows. */
  #unresolved(): string[] {
    const names = [...this.#parts.configured.discovery.names.values()].filter(({ resolves }) =>
      resolves === false
    );
    return names.map(({ name, failure, ips }) => {
      const then = ips.length > 0
        ? "where it pointed last is used"
        : "what it stands for is missing until it does";
      return `${quoted(name)} does not resolve: ${failure?.why ?? "no answer"}; ${then}`;
    });
  }

  #mustBeReady(): void {
    const refusal = this.#parts.refusal();
    if (refusal !== undefined) throw new StartError([refusal], 1);
  }

  #tellLog(was: Config, is: Config): void {
    const { log } = this.#parts;
    log.configured(is.log.level);
    if (was.log.format !== is.log.format) log.form(is.log);
  }

  /** Closes sockets that nobody wants: who waits in their queues is taken first. Those of datagrams are read on for the
   * sessions that they have. */
  async #letGo({ gone }: Step): Promise<void> {
    if (gone.length === 0) return;
    const { configured: { listeners, departures }, reactors } = this.#parts;
    const streams = gone.filter(({ datagrams }) => !datagrams);
    listeners.stop(streams);
    await reactors.unwatch(watchedBy(gone), UNWATCH_DEADLINE_MS);
    listeners.close(streams);
    departures.closed(streams);
  }

  /** Ends what is due, and forgets listeners whose last connection has gone; comes back as long as there is something. */
  #look(): void {
    clearTimeout(this.#timer);
    const { configured: { departures } } = this.#parts;
    if (this.#stopped || departures.isIdle) return;
    const inMs = Math.min(LOOK_MS, departures.nextMs(performance.now()));
    this.#timer = setTimeout(() => void this.#next(() => this.#depart()), inMs);
  }

  async #depart(): Promise<void> {
    const { configured, reactors, log, isUpgrading } = this.#parts, { departures, listeners } = configured;
    if (isUpgrading()) return this.#look(); // what is handed over must not end meanwhile
    const ending = departures.due(performance.now());
    if (ending !== undefined) reactors.remove(ending);
    const left = departures.left((listener) => sum(reactors.all, "listenerCurrent", listener));
    if (left.length > 0) {
      const sockets = left.flat(), indices = new Set(sockets.map(({ socket }) => socket));
      const open = listeners.leaving.filter(({ socket }) => indices.has(socket));
      await reactors.forget(watchedBy(open), UNWATCH_DEADLINE_MS);
      listeners.close(open);
      departures.forget(sockets);
      reactors.publish(configured.compile());
      for (const [{ bound }] of left) log.info("listen", `${bound}: the last of its connections has ended`);
    }
    this.#look();
  }
}

/** What cannot change while connections are there: tables are sized by it, threads are as many. */
function refuse(was: Config, is: Config): void {
  const needs = "it needs a new process: sluice upgrade";
  const lines: string[] = [];
  const differs = (key: string, before: unknown, after: unknown): void => {
    if (before !== after) {
      lines.push(`${key}: it is ${String(before)}, the file says ${String(after)}; ${needs}`);
    }
  };
  differs("reactors", reactorsOf(was), reactorsOf(is));
  differs("accept", was.accept, is.accept);
  differs("max-connections", was["max-connections"].most, is["max-connections"].most);
  if (JSON.stringify([was.user, was.group]) !== JSON.stringify([is.user, is.group])) {
    lines.push("user: it has changed, and Sluice is for good who it is; restart Sluice");
  }
  if (JSON.stringify(was.admin) !== JSON.stringify(is.admin)) {
    lines.push(`admin: its address has changed; ${needs}`);
  }
  if (lines.length > 0) throw new StartError(lines, 1);
}

/** Threads that a configuration asks for on this machine. */
export function reactorsOf({ reactors }: Config): number {
  return reactors === "auto" ? Math.min(availableParallelism(), REACTORS_MAX) : reactors;
}

/** Listening sockets by the room that watches them. */
export function watchedBy(sockets: readonly Socket[]): Map<number, number[]> {
  const watched = new Map<number, number[]>();
  for (const { socket, reactor } of sockets) {
    const room = reactor + 1;
    watched.set(room, [...(watched.get(room) ?? []), socket]);
  }
  return watched;
}

/** How many connections there are that something which is gone concerns. */
function connectionsOf({ all }: Reactors): (gone: Gone) => number {
  const byRoute = new Map<number, number>();
  for (const { tables, sizes, stats } of all) {
    const { exState, exRoute, exFlags } = openExchanges(tables.exchanges, sizes.exchanges);
    for (let ex = 1; ex < stats.count[Count.ExchangesEnd]; ex++) {
      if (exState[ex] === ExState.Free || exState[ex] === ExState.Head || !(exFlags[ex] & ExFlag.Http)) {
        continue;
      }
      byRoute.set(exRoute[ex], (byRoute.get(exRoute[ex]) ?? 0) + 1);
    }
  }
  return ({ kind, number }) => {
    if (kind === "routes") return byRoute.get(number) ?? 0;
    return sum(all, kind === "listeners" ? "listenerCurrent" : "serverCurrent", number);
  };
}
