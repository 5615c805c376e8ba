// The control plane's life, in order: start (everything that can fail does so before anything runs),
// what DNS changes, drain, end. Ordinary async TypeScript on the main thread.
import { availableParallelism } from "node:os";
import { CONTROL_ARENA_BYTES, CONTROL_ROOM, REACTORS_MAX } from "../base/limits.ts";
import { Certificates } from "./certificates/store.ts";
import { Issuing } from "./certificates/issuing.ts";
import { CertificateError } from "./certificates/profiles.ts";
import type { Plan } from "../plan/plan.ts";
import { errnoName } from "../sys/errno.ts";
import { enterRoom, openLibrary, sys } from "../sys/sys.ts";
import { questionOf } from "../shared/asks.ts";
import { BUCKET_REST_MS, ticksAt } from "../shared/buckets.ts";
import { sourcesRest } from "../shared/sources.ts";
import { Count } from "../shared/stats.ts";
import { AccessLog } from "./access_log.ts";
import { activated, closeUnwanted } from "./activation.ts";
import { Admin, AdminError } from "./admin.ts";
import { type Capacity, capacityOf } from "./capacity.ts";
import { compile } from "./config/compile.ts";
import { Identities } from "./config/parts.ts";
import type { SocketNumbers } from "./config/compile_sockets.ts";
import { toldOfTls } from "./config/compile_tls.ts";
import type { ConfigProblem } from "./config/errors.ts";
import { pathText } from "./config/file.ts";
import type { Tell } from "./config/finding.ts";
import type { Config } from "./config/schema.ts";
import type { Hide } from "./config/substitution.ts";
import { counted, formatDuration } from "./config/units.ts";
import { Directory } from "./directory.ts";
import { Drains } from "./drains.ts";
import { Discovery, namesOf } from "./discovery.ts";
import { timeoutsWritten } from "./explain/world.ts";
import { HealthHistory } from "./health_history.ts";
import {
  acceptQueuesOf,
  closeListeners,
  datagramsLost,
  ListenError,
  openListeners,
  type Socket,
  stopListeners,
} from "./listeners.ts";
import { Inherited } from "./inherited.ts";
import { Lists } from "./lists.ts";
import { openSettings, OwnerError, settingFindings, settingProblems } from "./sockets.ts";
import { Log } from "./log.ts";
import { LogTargetError } from "./log_target.ts";
import { patternFindings, patternNumber } from "./patterns.ts";
import { ReactorError, Reactors } from "./reactors.ts";
import { monotonicMs, peerOf } from "./control_room.ts";
import { Recent } from "./recent.ts";
import { Records } from "./records.ts";
import { type Phase, type Sight, sum, sumCount } from "./sight.ts";
import { statusOf } from "./status.ts";
import { becomeUser, prepareRunDirectory, UserError, userFindings } from "./user.ts";
import { ServiceManager } from "./service_manager.ts";
import type { Status } from "./status_view.ts";

/** How long Workers get to leave when told to; one that does not is left to the process's end. */
const LEAVE_DEADLINE_MS = 3_000;
const UNWATCH_DEADLINE_MS = 2_000;
const FLUSH_DEADLINE_MS = 1_000;
/** A second SIGTERM within so long of the first is the first one. */
const SAME_SIGNAL_MS = 1_000;
/** How often a drain looks whether everybody has gone. */
const DRAIN_LOOK_MS = 20;
/** How often numbers of things that are gone are looked through. */
const RELEASE_EVERY_MS = 5_000;

/** Where the parts of this very program are: they differ between the executable and the sources. */
export interface Parts {
  /** Path of the C library for dlopen. Asked once. */
  readonly library: () => string;
  /** The Workers' entry. */
  readonly worker: URL;
  /** The log Worker's. */
  readonly logWorker: URL;
}

export interface AppOptions extends Parts {
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
}

/** It could not start: what to tell, and the exit status (1 run time, 2 configuration). */
export class StartError extends Error {
  override name = "StartError";
  readonly lines: readonly string[];
  readonly status: 1 | 2;

  constructor(lines: readonly string[], status: 1 | 2) {
    super(lines.join("; "));
    this.lines = lines;
    this.status = status;
  }
}

export class App {
  readonly #config: Config;
  readonly #written: ReadonlySet<string>;
  readonly #hide: Hide;
  readonly #log: Log;
  readonly #identities = new Identities();
  readonly #directory = new Directory();
  readonly #health = new HealthHistory();
  readonly #discovery: Discovery;
  readonly #service: ServiceManager;
  readonly #certificates: Certificates;
  readonly #lists: Lists;
  #issuing: Issuing | undefined;
  readonly #stopping = new AbortController();
  readonly #startedAtMs = Date.now();
  #accessLog: AccessLog | undefined;
  #reactors: Reactors | undefined;
  #records: Records | undefined;
  #drains: Drains | undefined;
  #admin: Admin | undefined;
  #sight!: Sight;
  #recent: Recent | undefined;
  #sockets: Socket[] = [];
  /** What they and those to servers are made with. */
  #settings!: SocketNumbers;
  #generation = 0;
  #plan: Plan | undefined;
  #phase: Phase = "starting";
  #stale = false;
  #toldDropped = 0;
  #drainedAtMs = -Infinity;
  #releaseTimer: ReturnType<typeof setInterval> | undefined;
  #restTimer: ReturnType<typeof setInterval> | undefined;
  #toldUncounted = 0;
  #finish!: (status: number) => void;

  /** The exit status, once everything has ended. */
  readonly done: Promise<number> = new Promise((resolve) => this.#finish = resolve);

  /** Starts; when it resolves, connections are served. @throws StartError: nothing is left running */
  static async start(options: AppOptions): Promise<App> {
    const app = new App(options);
    try {
      await app.#start(options);
    } catch (error) {
      const told = startError(error);
      app.#service.status(`cannot start: ${told instanceof Error ? told.message : String(told)}`);
      await app.#release();
      throw told;
    }
    return app;
  }

  private constructor({ config, raw, hide = (text) => text }: AppOptions) {
    this.#config = config;
    this.#written = timeoutsWritten(raw);
    this.#hide = hide;
    this.#log = Log.open(config.log);
    this.#certificates = new Certificates(this.#log);
    this.#lists = new Lists(config, this.#log);
    this.#service = new ServiceManager(process.env, process.pid, (line) => this.#log.warn("service", line));
    this.#discovery = new Discovery({
      changed: (name, ips) => this.#nameChanged(name, ips),
      failed: (name, why, keeping) => {
        const then = keeping.length > 0
          ? `keeping ${keeping.join(", ")}`
          : "its servers are missing until it resolves";
        this.#log.warn("discovery", `cannot resolve ${name}: ${why}; ${then}`, { name, why });
      },
    });
  }

  /** Tells a service manager that clients are served, and from then on that we are alive. For who hears signals by then:
   * it may send one at once. */
  tellReady(): void {
    if (this.#phase !== "ready") return;
    this.#service.ready(`serving ${counted(this.listeners.length, "listener")}`);
    this.#service.watch(() => this.#reactors!.pulses);
  }

  get draining(): boolean {
    return this.#phase === "draining";
  }

  /** What listens, and where the kernel bound it. */
  get listeners(): readonly { name: string; bind: string; upstream: string }[] {
    return [...this.#directory.current.listeners].map((number) => this.#directory.listeners.get(number)!);
  }

  status(): Status {
    return statusOf(this.#sight);
  }

  reopenLogs(): void {
    this.#accessLog?.reopen();
  }

  /** SIGHUP: there is nothing to reload, and a terminal that closes is no reason to end. */
  hangUp(): void {
    this.#log.info(
      "signals",
      "SIGHUP changes nothing: this version has no reload; SIGUSR1 reopens the access log",
    );
  }

  /** Stops accepting, lets connections finish for at most the drain timeout, then ends. */
  async drain(): Promise<void> {
    if (this.#phase !== "ready") return;
    this.#phase = "draining";
    this.#drainedAtMs = performance.now();
    const reactors = this.#reactors!, timeoutMs = this.#config["drain-timeout"];
    await this.#stopAccepting(reactors);
    if (!this.draining) return; // a second signal came meanwhile
    const open = reactors.connections;
    const have = `${counted(open, "connection")} ${open === 1 ? "has" : "have"}`;
    const stopped = `stopped accepting; ${have} ${formatDuration(timeoutMs)} to finish`;
    this.#service.stopping(stopped, timeoutMs);
    this.#log.info("drain", stopped, { open });
    const end = performance.now() + timeoutMs;
    while (this.draining && reactors.connections > 0 && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS));
    }
    if (this.draining) await this.end();
  }

  /** A signal ends it now; one that cuts a drain short is told. The same SIGTERM may come twice: timeout(1) and
   * terminals signal a process and its group. */
  async endBy(signal: NodeJS.Signals): Promise<void> {
    if (signal === "SIGTERM" && performance.now() - this.#drainedAtMs < SAME_SIGNAL_MS) return;
    if (this.draining) this.#log.info("drain", `a second signal, ${signal}, ends it now`, { signal });
    await this.end();
  }

  /** Ends now: connections that are left are closed, each with its reason. */
  async end(status = 0): Promise<void> {
    if (this.#phase === "stopped") return;
    this.#phase = "stopped";
    const left = this.#reactors?.connections ?? 0;
    if (left > 0) this.#log.warn("drain", `closing ${counted(left, "connection")}`, { left });
    this.#service.stopping(left > 0 ? `closing ${counted(left, "connection")}` : "ending");
    await this.#release();
    this.#finish(status);
  }

  async #start(
    { library, worker, logWorker, warnings = [], files, tell = tellKeys }: AppOptions,
  ): Promise<void> {
    const config = this.#config, path = library();
    await openLibrary(path);
    const fds = sys.setup();
    if (fds < 0) throw new StartError([`cannot set up the process: ${errnoName(-fds)}`], 1);
    sys.room_open(CONTROL_ROOM, 1, 1, CONTROL_ARENA_BYTES);
    enterRoom(CONTROL_ROOM);
    for (const warning of warnings) this.#log.warn("config", lineOf(warning));
    checkPatterns(config, tell);
    this.#told("user", tell(userFindings(config, process.getuid?.() ?? 0, files)));
    this.#certificates.open(config);
    this.#issuing = await Issuing.open(config, this.#certificates, this.#log);
    this.#accessLog = new AccessLog({ ...config.log.access, log: this.#log, tls: toldOfTls(config) });

    await this.#discovery.start(namesOf(config));
    this.#accessLog.resolve(this.#discovery.resolve);
    const reactors = config.reactors === "auto"
      ? Math.min(availableParallelism(), REACTORS_MAX)
      : config.reactors;
    this.#openSettings(config, tell);
    this.#sockets = this.#openListeners(config, reactors);
    const capacity = this.#capacity(fds, reactors);
    const logState = this.#accessLog.stateMemory;
    const parts = { worker, library: path, logState };
    this.#reactors = new Reactors({ ...parts, reactors, accept: config.accept, ...capacity }, {
      died: (room, role, error, lost) => {
        this.#log.error(
          "reactors",
          `the ${role} Worker in room ${room} died and is replaced; ` +
            `${counted(lost.length, "connection")} ${lost.length === 1 ? "is" : "are"} lost: ${error}`,
          {
            room,
            role,
            lost: lost.length,
          },
        );
        this.#records?.lost(lost);
      },
      hopeless: (why) => {
        this.#log.error("reactors", `${why}; Sluice ends`);
        if (this.#phase !== "starting") void this.end(1);
      },
    });
    this.#records = new Records({
      rings: this.#reactors.all,
      directory: this.#directory,
      health: this.#health,
      accessLog: this.#accessLog,
      log: this.#log,
      maxConnections: capacity.connections,
      asked: (room, row) => this.#asked(room, row),
    });
    this.#drains = new Drains(this.#directory, this.#reactors.shared);
    this.#sight = this.#makeSight(this.#reactors, this.#accessLog, capacity.connections);
    prepareRunDirectory(config);
    this.#admin = await Admin.open({ admin: config.admin, token: config["admin-token"], sight: this.#sight });
    const became = becomeUser(config, this.#admin?.where);
    if (became !== undefined) this.#log.info("user", became);
    await this.#issuing?.start(); // who looks whether a name is ours already waits in our queues
    await this.#reactors.start(this.#compile(), watchedBy(this.#sockets));
    const rings = this.#reactors.all.map(({ logMemory }) => logMemory);
    this.#accessLog.start({ worker: logWorker, library: path, rings });
    this.#records.start(this.#stopping.signal);
    this.#certificates.watch();
    this.#releaseTimer = setInterval(() => {
      this.#releaseNumbers();
      this.#tellDropped();
      this.#tellUncounted();
    }, RELEASE_EVERY_MS);
    this.#recent!.start();
    this.#phase = "ready";
    if (this.#stale) this.#reactors.publish(this.#compile()); // DNS answered while we were starting
    this.#lists.watch(() => this.#reactors!.publish(this.#compile()));
    this.#restTimer = setInterval(
      () => sourcesRest(this.#reactors!.sources, ticksAt(monotonicMs())),
      BUCKET_REST_MS,
    );
    for (const { bind, upstream } of this.listeners) {
      this.#log.info("listen", `listening on ${bind}`, { bind, upstream });
    }
    if (this.#admin !== undefined) this.#log.info("admin", `admin API on ${this.#admin.where}`);
  }

  /** A handshake waits for a certificate. */
  #asked(room: number, row: number): void {
    const reactor = this.#reactors!.all.find((reactor) => reactor.room === room)!;
    const question = questionOf(reactor.asks, row);
    const answer = (yes: boolean): void => {
      question.answer(yes);
      if (this.#phase !== "stopped") sys.wake(room);
    };
    if (this.#issuing === undefined) return answer(false);
    void this.#issuing.ask(question.text).then(answer);
  }

  #makeSight(reactors: Reactors, accessLog: AccessLog, maxConnections: number): Sight {
    const recent = this.#recent = new Recent(reactors.all);
    return {
      startedAtMs: this.#startedAtMs,
      phase: () => this.#phase,
      generation: () => this.#generation,
      published: () => {
        const plan = this.#plan;
        return plan === undefined
          ? undefined
          : { plan, config: this.#config, written: this.#written, hide: this.#hide };
      },
      maxConnections,
      reactors: reactors.all,
      clockMs: monotonicMs,
      peerOf,
      acceptQueues: () => acceptQueuesOf(this.#sockets, this.#plan),
      datagramsLost: () => datagramsLost(this.#sockets),
      deaths: () => reactors.deaths,
      shared: reactors.shared,
      drains: this.#drains!,
      sources: reactors.sources,
      lists: () => this.#lists.status(),
      settingProblems: () => settingProblems(this.#config, this.#settings),
      directory: this.#directory,
      health: this.#health,
      names: this.#discovery.names,
      certificates: () => this.#certificates.status(),
      presented: (listener) => this.#certificates.presented(listener),
      acme: () => this.#issuing?.status(),
      recent: () => recent.view(),
      log: this.#log,
      accessLog,
    };
  }

  /** What a service manager has opened for us is not opened again; what it has opened for nobody is told. */
  #openListeners(config: Config, reactors: number): Socket[] {
    const warn = (line: string) => this.#log.warn("sockets", line);
    const inherited = new Inherited(activated(process.env, process.pid, warn));
    try {
      return openListeners(config, reactors, this.#discovery.resolve, { inherited, warn });
    } finally {
      closeUnwanted(inherited.left, warn);
    }
  }

  /** What sockets are made with; what of it does not work here ends a start, or is told. */
  #openSettings(config: Config, tell: Tell): void {
    try {
      this.#settings = openSettings(config);
    } catch (error) {
      if (error instanceof OwnerError) {
        throw new ListenError(`${error.message}; write one of those, or a number`);
      }
      throw error;
    }
    this.#told("sockets", tell(settingFindings(config, this.#settings)));
  }

  /** What does not work here ends a start, or is told. */
  #told(topic: string, problems: readonly ConfigProblem[]): void {
    const lines = (of: string) => problems.filter(({ severity }) => severity === of).map(lineOf);
    const errors = lines("error");
    if (errors.length > 0) throw new StartError(errors, 1);
    for (const line of lines("warning")) this.#log.warn(topic, line);
  }

  #compile(): Plan {
    const { plan, warnings } = compile(
      {
        config: this.#config,
        generation: ++this.#generation,
        sockets: this.#sockets,
        resolve: this.#discovery.resolve,
        patternOf: patternNumber,
        acmeThumbprint: this.#issuing?.thumbprint,
        listFiles: this.#lists.files,
      },
      this.#identities,
      this.#directory,
    );
    for (const warning of warnings) this.#log.warn("config", warning);
    this.#plan = plan;
    this.#drains?.apply();
    return plan;
  }

  #nameChanged(name: string, ips: readonly string[]): void {
    this.#log.info("discovery", `${name} is now ${ips.join(", ") || "nowhere"}`, { name });
    this.#accessLog?.resolve(this.#discovery.resolve);
    if (this.#phase === "ready") this.#reactors!.publish(this.#compile());
    else this.#stale = true;
  }

  /** How many connections the limit on fds carries. Fewer than asked is a warning; fewer than the default,
   * which nobody asked for, is only said. */
  #capacity(fds: number, reactors: number): Capacity {
    const { most: asked, byDefault } = this.#config["max-connections"];
    const servers = Object.values(this.#config.upstreams).reduce(
      (sum, { servers }) => sum + servers.length,
      0,
    );
    const capacity = capacityOf(fds, {
      connections: asked,
      reactors,
      listeners: this.#sockets.length,
      servers,
    });
    if (capacity.connections < 1) {
      throw new StartError(
        [`the limit of ${fds} file descriptors is too low to work; raise it (ulimit -n)`],
        1,
      );
    }
    if (capacity.connections < asked) {
      const carried = `${fds} file descriptors carry ${counted(capacity.connections, "connection")}`;
      const remedy = "raise the limit (ulimit -n, LimitNOFILE=)";
      const fields = { fds, connections: capacity.connections };
      if (byDefault) this.#log.info("limits", `${carried}; ${remedy} if there should be more`, fields);
      else this.#log.warn("limits", `${carried}, not ${asked}; ${remedy} or lower --max-connections`, fields);
    }
    return capacity;
  }

  /** Numbers of what is gone are given again once nobody works by them and nothing hangs on them. */
  #releaseNumbers(): void {
    const reactors = this.#reactors!, oldest = reactors.oldestGeneration;
    const { listeners, upstreams, servers, probes, limiters } = this.#identities;
    const idle = (column: "listenerCurrent" | "serverCurrent") => (number: number) =>
      sum(reactors.all, column, number) === 0;
    for (const number of listeners.release(oldest, idle("listenerCurrent"))) {
      this.#directory.listeners.delete(number);
      reactors.clearListener(number);
    }
    for (const number of servers.release(oldest, idle("serverCurrent"))) {
      this.#directory.servers.delete(number);
      reactors.clearServer(number);
    }
    const withServers = new Set([...this.#directory.servers.values()].map(({ upstream }) => upstream));
    const deserted = (number: number) => !withServers.has(this.#directory.upstreams.get(number)?.name ?? "");
    for (const number of upstreams.release(oldest, deserted)) {
      this.#directory.upstreams.delete(number);
      reactors.clearUpstream(number);
    }
    for (const number of limiters.release(oldest, (limiter) => reactors.isIdleLimiter(limiter))) {
      reactors.clearLimiter(number);
    }
    for (const number of probes.release(oldest, () => true)) this.#directory.probes.delete(number);
    this.#health.retain(new Set(this.#directory.probes.keys()));
  }

  /** Lines of the access log that found no room: who reads it does not keep up. */
  #tellDropped(): void {
    const dropped = this.#reactors!.all.reduce((sum, { stats }) => sum + stats.count[Count.LogDropped], 0);
    const more = dropped - this.#toldDropped;
    if (more > 0) {
      const lines = counted(more, "record");
      this.#log.warn("access-log", `${lines} found no room and ${more === 1 ? "is" : "are"} lost`, {
        lost: more,
      });
    }
    this.#toldDropped = dropped;
  }

  /** Connections whose source found no row: more sources than the table has are at it at once. */
  #tellUncounted(): void {
    const uncounted = sumCount(this.#reactors!.all, Count.SourcesFull),
      more = uncounted - this.#toldUncounted;
    if (more > 0) {
      const came = `${
        counted(more, "connection")
      } came from sources that found no place in the table of sources`;
      this.#log.warn("limits", `${came}: they are let in without limits of their own`, { uncounted: more });
    }
    this.#toldUncounted = uncounted;
  }

  async #stopAccepting(reactors: Reactors): Promise<void> {
    const streams = this.#sockets.filter(({ datagrams }) => !datagrams);
    stopListeners(streams);
    await reactors.unwatch(UNWATCH_DEADLINE_MS);
    closeListeners(streams);
    this.#sockets = this.#sockets.filter(({ datagrams }) => datagrams); // sessions answer through them
  }

  /** Gives everything back, as far as it was taken. */
  async #release(): Promise<void> {
    this.#discovery.stop();
    this.#certificates.close();
    await this.#issuing?.stop();
    clearInterval(this.#releaseTimer);
    this.#recent?.stop();
    clearInterval(this.#restTimer);
    this.#lists.close();
    if (this.#reactors?.started) {
      await this.#stopAccepting(this.#reactors);
      await this.#reactors.stop(LEAVE_DEADLINE_MS);
      closeListeners(this.#sockets);
      this.#sockets = [];
    } else if (this.#sockets.length > 0) {
      closeListeners(this.#sockets);
      this.#sockets = [];
    }
    this.#stopping.abort();
    this.#records?.drainNow();
    this.#admin?.close();
    await this.#accessLog?.close(FLUSH_DEADLINE_MS);
    this.#service.close();
    await this.#log.close(FLUSH_DEADLINE_MS);
  }
}

/** What the user can mend has its line and status; anything else is a bug and stays what it is. */
function startError(error: unknown): unknown {
  const told = [ListenError, AdminError, LogTargetError, ReactorError, CertificateError, UserError].some((
    kind,
  ) => error instanceof kind);
  if (error instanceof Error && told) {
    return new StartError([error.message], 1);
  }
  return error;
}

/** Every regular expression compiles, or Sluice does not start. */
function checkPatterns(config: Config, tell: Tell): void {
  const findings = patternFindings(config);
  if (findings.length > 0) throw new StartError(tell(findings).map(lineOf), 2);
}

/** By key alone: nobody knows where it was written. */
const tellKeys: Tell = (findings) =>
  findings.map(({ path, what, remedy, severity }) => ({ where: pathText(path), what, remedy, severity }));

function lineOf({ where, what, remedy }: ConfigProblem): string {
  return `${where === "" ? "" : `${where}: `}${what}; ${remedy}`;
}

/** Listening sockets by the room that watches them. */
function watchedBy(sockets: readonly Socket[]): Map<number, number[]> {
  const watched = new Map<number, number[]>();
  for (const { socket, reactor } of sockets) {
    const room = reactor + 1;
    watched.set(room, [...(watched.get(room) ?? []), socket]);
  }
  return watched;
}
