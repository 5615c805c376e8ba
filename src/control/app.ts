// The control plane's life, in order: start (everything that can fail does so before anything runs),
// what DNS changes, reloads, drain, end. Ordinary async TypeScript on the main thread.
import { CONTROL_ARENA_BYTES, CONTROL_ROOM } from "../base/limits.ts";
import { CertificateError } from "./certificates/profiles.ts";
import { errnoName } from "../sys/errno.ts";
import { enterRoom, openLibrary, sys } from "../sys/sys.ts";
import { questionOf } from "../shared/asks.ts";
import { BUCKET_REST_MS, ticksAt } from "../shared/buckets.ts";
import { sourcesRest } from "../shared/sources.ts";
import { AccessLog } from "./access_log.ts";
import { activated, closeUnwanted } from "./activation.ts";
import { Admin, AdminError } from "./admin.ts";
import { type Capacity, capacityOf } from "./capacity.ts";
import {
  Configured,
  type GivenConfig,
  lineOf,
  StartError,
  type Step,
  tellKeys,
  warningsOf,
} from "./configured.ts";
import { toldOfTls } from "./config/compile_tls.ts";
import { counted, formatDuration } from "./config/units.ts";
import { Directory } from "./directory.ts";
import { HealthHistory } from "./health_history.ts";
import { Inherited } from "./inherited.ts";
import { ListenError } from "./listen_flaw.ts";
import { type Inheritance, ownPaths } from "./listen_sockets.ts";
import { Listeners } from "./listeners.ts";
import { Losses } from "./losses.ts";
import { Log } from "./log.ts";
import { LogTargetError } from "./log_target.ts";
import { Overrides } from "./overrides.ts";
import { ReactorError, Reactors } from "./reactors.ts";
import { reactorsOf, Reloading, type Reread, watchedBy } from "./reload.ts";
import type { ReloadAnswer } from "./reload_answer.ts";
import { monotonicMs } from "./control_room.ts";
import { Recent } from "./recent.ts";
import { Records } from "./records.ts";
import type { Phase, Sight } from "./sight.ts";
import { sightOf } from "./sight_of.ts";
import { statusOf } from "./status.ts";
import { ServiceManager } from "./service_manager.ts";
import { ChannelError } from "./upgrade/channel.ts";
import type { Succession } from "./upgrade/succession.ts";
import { restoreServers } from "./upgrade/state.ts";
import { Upgrading } from "./upgrade/upgrading.ts";
import type { Status } from "./status_view.ts";
import { becomeUser, prepareDirectories, UserError, userFindings } from "./user.ts";

/** How long Workers get to leave when told to; one that does not is left to the process's end. */
const LEAVE_DEADLINE_MS = 3_000;
const UNWATCH_DEADLINE_MS = 2_000;
const FLUSH_DEADLINE_MS = 1_000;
/** A second SIGTERM within so long of the first is the first one. */
const SAME_SIGNAL_MS = 1_000;
const STARTING = "it is still starting; try again";
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

export interface AppOptions extends Parts, GivenConfig {
  /** Reads the same configuration again; none where there is no file. */
  readonly reread?: Reread;
  /** It is read again by itself when it changes. */
  readonly watch?: boolean;
  /** The process before this one, which this one is to follow. */
  readonly succession?: Succession;
}

export { StartError } from "./configured.ts";

export class App {
  readonly #log: Log;
  readonly #directory = new Directory();
  readonly #health = new HealthHistory();
  readonly #configured: Configured;
  readonly #service: ServiceManager;
  readonly #stopping = new AbortController();
  readonly #startedAtMs = Date.now();
  #accessLog: AccessLog | undefined;
  #reactors: Reactors | undefined;
  #records: Records | undefined;
  #overrides: Overrides | undefined;
  #admin: Admin | undefined;
  #sight!: Sight;
  #upgrading: Upgrading | undefined;
  /** Another process listens at our sockets: whatever is done to one is done to its as well. */
  #sharesSockets = false;
  #recent: Recent | undefined;
  #reloading: Reloading | undefined;
  #phase: Phase = "starting";
  #stale = false;
  #drainedAtMs = -Infinity;
  #releaseTimer: ReturnType<typeof setInterval> | undefined;
  #restTimer: ReturnType<typeof setInterval> | undefined;
  #finish!: (status: number) => void;

  /** The exit status, once everything has ended. */
  readonly done: Promise<number> = new Promise((resolve) => this.#finish = resolve);

  /** Starts; when it resolves, connections are served. @throws StartError: nothing is left running */
  static async start(options: AppOptions): Promise<App> {
    const app = new App(options);
    try {
      await app.#start(options);
    } catch (error) {
      const told = startError(error) ?? error;
      app.#service.status(`cannot start: ${told instanceof Error ? told.message : String(told)}`);
      await app.#release();
      throw told;
    }
    return app;
  }

  private constructor(given: AppOptions) {
    const { config } = given, log = this.#log = Log.open(config.log);
    this.#service = new ServiceManager(process.env, process.pid, (line) => log.warn("service", line));
    this.#configured = new Configured(given, {
      log,
      directory: this.#directory,
      listeners: new Listeners(reactorsOf(config), config.accept),
      names: {
        changed: (name, ips) => this.#nameChanged(name, ips),
        failed: (name, why, keeping) => {
          const then = keeping.length > 0
            ? `keeping ${keeping.join(", ")}`
            : "its servers are missing until it resolves";
          log.warn("discovery", `cannot resolve ${name}: ${why}; ${then}`, { name, why });
        },
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

  /** Goes by the file as it is now. `by`: who wants it, for the log. Never rejects: what is wrong changes nothing. */
  async reload(by: string): Promise<ReloadAnswer> {
    const refused: ReloadAnswer = { reloaded: false, status: 1, why: [STARTING], text: `${STARTING}\n` };
    return await this.#reloading?.reload(by) ?? refused;
  }

  /** Goes on in a new process, of the executable as it is now. Never rejects: if that fails, this one goes on. */
  async upgrade(): Promise<void> {
    await this.#upgrading?.upgrade(undefined);
  }

  /** Stops accepting, lets connections finish for at most the drain timeout, then ends. */
  async drain(): Promise<void> {
    if (this.#phase !== "ready") return;
    this.#drainedAtMs = performance.now();
    await this.#upgrading?.cancel("this process was told to end");
    if (this.#phase !== "ready") return;
    this.#phase = "draining";
    await this.#reloading?.settled();
    if (!this.draining) return; // a second signal came meanwhile
    const reactors = this.#reactors!, timeoutMs = this.#configured.config["drain-timeout"];
    reactors.drain();
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
    await this.#upgrading?.cancel("this process was told to end");
    if (this.#phase === "stopped") return;
    this.#phase = "stopped";
    const left = this.#reactors?.connections ?? 0;
    if (left > 0) this.#log.warn("drain", `closing ${counted(left, "connection")}`, { left });
    this.#service.stopping(left > 0 ? `closing ${counted(left, "connection")}` : "ending");
    await this.#release();
    this.#finish(status);
  }

  async #start(given: AppOptions): Promise<void> {
    const { library, worker, logWorker, config, warnings = [], succession } = given, path = library();
    const configured = this.#configured;
    await openLibrary(path);
    const fds = sys.setup();
    if (fds < 0) throw new StartError([`cannot set up the process: ${errnoName(-fds)}`], 1);
    sys.room_open(CONTROL_ROOM, 1, 1, CONTROL_ARENA_BYTES);
    enterRoom(CONTROL_ROOM);
    for (const warning of warnings) this.#log.warn("config", lineOf(warning));
    this.#checkUser(given);
    const accessLog = this.#accessLog = new AccessLog({
      ...config.log.access,
      log: this.#log,
      tls: toldOfTls(config),
    });
    const { watched } = await this.#configure(given, accessLog);
    const capacity = this.#capacity(fds);
    const parts = { worker, library: path, logState: accessLog.stateMemory };
    const reactors = reactorsOf(config);
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
      accessLog,
      log: this.#log,
      maxConnections: capacity.connections,
      asked: (room, row) => this.#asked(room, row),
    });
    this.#overrides = configured.overrides = new Overrides({
      directory: this.#directory,
      shared: this.#reactors.shared,
      log: this.#log,
      clockMs: monotonicMs,
      changed: () => this.#recompile(),
      opened: () => this.#reactors!.wakeWaiting(),
    });
    if (succession !== undefined) this.#overrides.restore(succession.state.overrides);
    this.#upgrading = this.#makeUpgrading(succession);
    this.#reloading = this.#makeReloading(given, accessLog);
    const recent = this.#recent = new Recent(this.#reactors.all);
    this.#sight = sightOf({
      startedAtMs: this.#startedAtMs,
      phase: () => this.#phase,
      maxConnections: capacity.connections,
      configured,
      reactors: this.#reactors,
      directory: this.#directory,
      health: this.#health,
      overrides: this.#overrides,
      upgrading: this.#upgrading,
      reloading: this.#reloading,
      recent,
      log: this.#log,
      accessLog,
    });
    if (succession === undefined) await this.#openAdmin();
    this.#becomeUser();
    await configured.inForce.issuing?.start(); // who looks whether a name is ours already waits in our queues
    const plan = configured.compile();
    if (succession !== undefined) {
      restoreServers(succession.state.servers, this.#directory, this.#reactors.shared);
    }
    await this.#reactors.start(plan, succession === undefined ? watchedBy(watched) : new Map());
    const rings = this.#reactors.all.map(({ logMemory }) => logMemory);
    accessLog.start({ worker: logWorker, library: path, rings });
    this.#records.start(this.#stopping.signal);
    configured.certificates.watch();
    const losses = new Losses(this.#reactors.all, this.#log);
    this.#releaseTimer = setInterval(() => {
      configured.release({ reactors: this.#reactors!, health: this.#health });
      losses.tell();
    }, RELEASE_EVERY_MS);
    this.#recent!.start();
    if (succession !== undefined) await this.#takeOver(succession);
    this.#phase = "ready";
    // Whoever changed the file while the process before this one handed over was told that this one reads it.
    if (succession !== undefined && given.reread !== undefined) void this.reload("the upgrade");
    if (this.#stale) this.#recompile(); // DNS answered while we were starting
    configured.lists.watch(() => this.#recompile());
    this.#restTimer = setInterval(
      () => sourcesRest(this.#reactors!.sources, ticksAt(monotonicMs())),
      BUCKET_REST_MS,
    );
    for (const { bind, upstream } of this.listeners) {
      this.#log.info("listen", `listening on ${bind}`, { bind, upstream });
    }
    if (this.#admin !== undefined) this.#log.info("admin", `admin API on ${this.#admin.where}`);
  }

  /** @throws AdminError */
  async #openAdmin(before?: Succession): Promise<void> {
    const configured = this.#configured;
    this.#admin = await Admin.open({
      admin: configured.config.admin,
      token: () => configured.config["admin-token"],
      sight: this.#sight,
      takesOver: before?.state.adminPort,
    });
  }

  async #takeOver(succession: Succession): Promise<void> {
    await succession.takeOver({
      log: this.#log,
      reactors: this.#reactors!,
      directory: this.#directory,
      sockets: this.#configured.listeners.open,
      watched: watchedBy(this.#configured.listeners.open),
      restore: (overrides) => {
        this.#overrides!.restore(overrides);
        this.#recompile();
      },
      openAdmin: async () => {
        try {
          await this.#openAdmin(succession);
        } catch (error) {
          this.#log.error("admin", `no admin API: ${(error as Error).message}`);
        }
        return this.#admin?.where ?? null;
      },
    });
    this.#sharesSockets = false;
  }

  #makeUpgrading(succession: Succession | undefined): Upgrading {
    return new Upgrading({
      log: this.#log,
      phase: () => this.#phase,
      reactors: () => this.#reactors!,
      directory: this.#directory,
      config: () => this.#configured.config,
      sockets: () => this.#configured.listeners.open,
      tickets: () => this.#configured.certificates.ownKeys,
      overrides: () => this.#overrides!.saved(),
      before: succession?.state,
      settled: () => this.#reloading!.settled(),
      adminPort: () => this.#admin?.port ?? 0,
      letGo: () => {
        const { listeners } = this.#configured;
        ownPaths(listeners.all, false);
        listeners.close(listeners.all);
      },
      releaseAdmin: () => this.#admin?.release(),
      speaksForUs: (pid) => this.#service.mainPid(pid),
      succeeded: () => void this.drain(),
    });
  }

  /** @throws StartError: it cannot be that user */
  #checkUser({ config, files, tell = tellKeys }: GivenConfig): void {
    const problems = tell(userFindings(config, process.getuid?.() ?? 0, files));
    for (const warning of warningsOf(problems)) this.#log.warn("user", warning);
    prepareDirectories(config);
  }

  /** Everything that only root can get is there. @throws UserError */
  #becomeUser(): void {
    const became = becomeUser(this.#configured.config, this.#admin?.where);
    if (became !== undefined) this.#log.info("user", became);
  }

  /** A handshake waits for a certificate. */
  #asked(room: number, row: number): void {
    const reactor = this.#reactors!.all.find((reactor) => reactor.room === room)!;
    const question = questionOf(reactor.asks, row);
    const answer = (yes: boolean): void => {
      question.answer(yes);
      if (this.#phase !== "stopped") sys.wake(room);
    };
    const { issuing } = this.#configured.inForce;
    if (issuing === undefined) return answer(false);
    void issuing.ask(question.text).then(answer);
  }

  /** Puts the first configuration in force. What a service manager, or the process before this one, has opened for us is
   * not opened again; what is open for nobody is told. */
  async #configure(given: AppOptions, accessLog: AccessLog): Promise<Step> {
    const { succession } = given, warn = (line: string) => this.#log.warn("sockets", line);
    this.#sharesSockets = succession !== undefined;
    const inherited = succession?.inherited ?? new Inherited(activated(process.env, process.pid, warn));
    const inheritance: Inheritance = { inherited, warn }, tickets = succession?.state.tickets;
    try {
      const prepared = await this.#configured.prepare(given, accessLog, { inheritance, tickets });
      const step = this.#configured.commit(prepared, accessLog);
      accessLog.resolve(this.#configured.discovery.resolve);
      return step;
    } finally {
      if (succession === undefined) closeUnwanted(inherited.left, warn);
    }
  }

  #makeReloading({ reread, read, watch }: AppOptions, accessLog: AccessLog): Reloading {
    return new Reloading({
      configured: this.#configured,
      directory: this.#directory,
      reactors: this.#reactors!,
      accessLog,
      log: this.#log,
      service: this.#service,
      reread,
      watched: watch ? read : undefined,
      problemOf: startError,
      refusal: () => {
        if (this.#upgrading?.underWay) return "an upgrade is under way: the next process reads the file";
        return this.#phase === "ready" ? undefined : `this process is ${this.#phase}`;
      },
      isUpgrading: () => this.#upgrading?.underWay ?? false,
    });
  }

  #nameChanged(name: string, ips: readonly string[]): void {
    this.#log.info("discovery", `${name} is now ${ips.join(", ") || "nowhere"}`, { name });
    this.#accessLog?.resolve(this.#configured.discovery.resolve);
    this.#recompile();
  }

  /** Something that a generation is made of has changed. */
  #recompile(): void {
    if (this.#phase === "ready") this.#reactors!.publish(this.#configured.compile());
    else this.#stale = true;
  }

  /** How many connections the limit on fds carries. Fewer than asked is a warning; fewer than the default,
   * which nobody asked for, is only said. */
  #capacity(fds: number): Capacity {
    const { config, listeners } = this.#configured, { most: asked, byDefault } = config["max-connections"];
    const servers = Object.values(config.upstreams).reduce((sum, { servers }) => sum + servers.length, 0);
    const capacity = capacityOf(fds, {
      connections: asked,
      reactors: reactorsOf(config),
      listeners: listeners.all.length,
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

  async #stopAccepting(reactors: Reactors): Promise<void> {
    const { listeners } = this.#configured, streams = listeners.all.filter(({ datagrams }) => !datagrams);
    if (!this.#sharesSockets) listeners.stop(streams);
    await reactors.unwatch(watchedBy(listeners.all), UNWATCH_DEADLINE_MS);
    listeners.close(streams); // sessions answer through the others
  }

  /** Gives everything back, as far as it was taken. */
  async #release(): Promise<void> {
    const { discovery, certificates, inForce, lists, listeners } = this.#configured;
    this.#reloading?.stop();
    discovery.stop();
    certificates.close();
    await inForce.issuing?.stop();
    clearInterval(this.#releaseTimer);
    this.#recent?.stop();
    clearInterval(this.#restTimer);
    lists.close();
    if (this.#reactors?.started) {
      await this.#stopAccepting(this.#reactors);
      await this.#reactors.stop(LEAVE_DEADLINE_MS);
    }
    listeners.close(listeners.all);
    this.#stopping.abort();
    this.#records?.drainNow();
    await this.#admin?.close();
    await this.#accessLog?.close(FLUSH_DEADLINE_MS);
    this.#service.close();
    await this.#log.close(FLUSH_DEADLINE_MS);
  }
}

/** What the user can mend, as the lines that say so; undefined: it is a bug. */
function startError(error: unknown): StartError | undefined {
  if (error instanceof StartError) return error;
  const told = [
    ListenError,
    AdminError,
    ChannelError,
    LogTargetError,
    ReactorError,
    CertificateError,
    UserError,
  ];
  const isTold = error instanceof Error && told.some((kind) => error instanceof kind);
  return isTold ? new StartError([error.message], 1) : undefined;
}
