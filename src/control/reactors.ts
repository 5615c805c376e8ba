// The Workers: born, told of new Plans, watched, and when one dies by a bug, accounted for and
// replaced. What a dead reactor held is closed by C; what its tables say is settled here: an access
// record for each of its connections, gauges, the count of those that ended. The replacement takes
// over the same room, epoll set and waiting newcomers included; the other reactors never notice.
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { ARENA_BYTES, PROBES_IN_FLIGHT_MAX, PROBES_MAX, SLOTS_SPARE } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { type Layout, makeTable } from "../shared/columns.ts";
import { type Asks, makeAsks, openAsks } from "../shared/asks.ts";
import { type ClosingRow, makeClosing, openClosing, Outcome } from "../shared/closing.ts";
import { LogRing } from "../shared/log_ring.ts";
import type { Message, WorkerBirth } from "../shared/mailbox.ts";
import {
  makeShared,
  openShared,
  PER_LINE,
  reactorCurrent,
  type Shared,
  type SharedMemory,
  Verdict,
} from "../shared/servers.ts";
import { makeSources, openSources, type Sources, type SourcesMemory } from "../shared/sources.ts";
import {
  Count,
  LISTENER_STATS,
  makeStats,
  openStats,
  SERVER_STATS,
  type Stats,
  type StatsMemory,
  UPSTREAM_STATS,
} from "../shared/stats.ts";
import { EXCHANGES, FLOWS, SLOTS, type TableMemory, type TableSizes, TIMERS } from "../shared/tables.ts";
import { errnoName } from "../sys/errno.ts";
import { sys } from "../sys/sys.ts";
import { type LostConnection, settle } from "./settle.ts";

/** A Worker that dies more often than this in a minute takes the process with it: something is broken
 * for good, and a service manager must see it. */
const DEATHS_PER_MINUTE_MAX = 10;
const BIRTH_DEADLINE_MS = 10_000;
/** For connections that an operator wants closed. */
const CLOSE_DEADLINE_MS = 5_000;

/** The Workers could not be started: one line. */
export class ReactorError extends Error {
  override name = "ReactorError";
}

export interface ReactorEvents {
  /** A Worker died by a bug; `lost` are its connections. It is being replaced. */
  died(room: number, role: string, error: string, lost: readonly LostConnection[]): void;
  /** It cannot go on. */
  hopeless(why: string): void;
}

export interface ReactorOptions {
  /** The Workers' entry. */
  readonly worker: URL;
  /** Path of the C library. */
  readonly library: string;
  readonly reactors: number;
  readonly accept: "balanced" | "reuseport";
  /** Client connections of the process. */
  readonly connections: number;
  /** Of the log Worker (see shared/log_state.ts). */
  readonly logState: SharedArrayBuffer;
  /** Pipes of one reactor: each takes two fds. */
  readonly pipes: number;
}

/** One Worker and its memory. */
export interface Reactor {
  readonly room: number;
  readonly role: "reactor" | "health";
  readonly sizes: TableSizes;
  readonly statsMemory: StatsMemory;
  readonly stats: Stats;
  readonly logMemory: SharedArrayBuffer;
  readonly log: LogRing;
  readonly asksMemory: SharedArrayBuffer;
  readonly asks: Asks;
  tables: TableMemory;
  worker: Worker | undefined;
  /** The control plane's end of its mailbox. */
  mailbox: MessagePort | undefined;
  /** Set when it was told to leave, or the process is ending. */
  leaving: boolean;
  /** Workers that there were here, and what the present one was told: shared.reactorObeyed says what it has obeyed. */
  births: number;
  told: number;
}

export class Reactors {
  readonly all: Reactor[];
  readonly shared: Shared;
  readonly sources: Sources;
  readonly #sharedMemory: SharedMemory = makeShared();
  readonly #sourcesMemory: SourcesMemory;
  readonly #options: ReactorOptions;
  readonly #events: ReactorEvents;
  #plan!: Plan;
  /** Listening sockets by room. */
  #listeners = new Map<number, readonly number[]>();
  #deaths: number[] = [];
  #hopeless = false;
  /** Workers that died and were replaced. */
  deaths = 0;
  /** Whether there are rooms and Workers to be ended. */
  started = false;

  constructor(options: ReactorOptions, events: ReactorEvents) {
    this.#options = options;
    this.#events = events;
    this.shared = openShared(this.#sharedMemory);
    this.#sourcesMemory = makeSources(options.connections, anySeed());
    this.sources = openSources(this.#sourcesMemory);
    this.all = Array.from(
      { length: options.reactors + 1 },
      (_, index) => makeReactor(index + 1, index < options.reactors ? "reactor" : "health", options),
    );
  }

  /** Those that carry traffic. */
  get traffic(): Reactor[] {
    return this.all.filter(({ role }) => role === "reactor");
  }

  /** Opens the rooms and starts the Workers; resolves when all of them work by `plan`. Rejects with one
   * line when a Worker cannot be started. */
  async start(plan: Plan, listeners: ReadonlyMap<number, readonly number[]>): Promise<void> {
    this.#plan = plan;
    this.#listeners = new Map(listeners);
    this.started = true;
    for (const { room, sizes } of this.all) {
      const result = sys.room_open(room, sizes.slots, sizes.pipes, ARENA_BYTES);
      if (result < 0) throw new ReactorError(`cannot open the tables of room ${room}: ${errnoName(-result)}`);
    }
    const { traffic } = this, health = this.all.filter(({ role }) => role === "health");
    for (const reactors of [traffic, health]) { // traffic first: who starts beside it slows it down
      for (const reactor of reactors) this.#spawn(reactor);
      await this.#confirmed(plan.generation, reactors);
    }
  }

  /** Resolves when all have obeyed what they were told so far, at the latest after `deadlineMs`. @returns whether they
   * have */
  async settled(deadlineMs: number): Promise<boolean> {
    return await this.#obeyed(this.all, deadlineMs);
  }

  /** Publishes a new generation. */
  publish(plan: Plan): void {
    this.#plan = plan;
    this.#tell(this.all, { kind: "plan", plan: plan.memory });
  }

  /**
   * Has a reactor close connections of its own.
   * @param rows at most CLOSING_MAX
   * @returns outcomes in their order: Gone of all if it died meanwhile, Asked where it did not say in time
   */
  async close(room: number, rows: readonly ClosingRow[]): Promise<Uint8Array> {
    const reactor = this.all.find((reactor) => reactor.room === room)!, { tables } = reactor;
    const closing = makeClosing(rows), { closingDone, closingOutcome } = openClosing(closing, rows.length);
    this.#tell([reactor], { kind: "close", rows: rows.length, closing });
    const isLost = () => reactor.tables !== tables || reactor.worker === undefined;
    await until(() => Atomics.load(closingDone, 0) === 1 || isLost(), CLOSE_DEADLINE_MS);
    if (Atomics.load(closingDone, 0) === 0 && isLost()) closingOutcome.fill(Outcome.Gone);
    return closingOutcome;
  }

  /** From here on these listening sockets, by room, are watched besides. */
  watch(sockets: ReadonlyMap<number, readonly number[]>): void {
    for (const reactor of this.traffic) {
      const listeners = sockets.get(reactor.room) ?? [];
      if (listeners.length === 0) continue;
      this.#listeners.set(reactor.room, [
        ...new Set([...this.#listeners.get(reactor.room) ?? [], ...listeners]),
      ]);
      this.#tell([reactor], { kind: "watch", listeners });
    }
  }

  /** Takes what waits in the queues of these sockets and watches them no more, but for those of datagrams, whose
   * sessions go on. Resolves when that is so, at the latest after `deadlineMs`. @returns whether it is */
  async unwatch(sockets: ReadonlyMap<number, readonly number[]>, deadlineMs: number): Promise<boolean> {
    return await this.#leave("unwatch", sockets, deadlineMs);
  }

  /** Watches these sockets of datagrams no more, likewise. */
  async forget(sockets: ReadonlyMap<number, readonly number[]>, deadlineMs: number): Promise<boolean> {
    return await this.#leave("forget", sockets, deadlineMs);
  }

  async #leave(
    kind: "unwatch" | "forget",
    sockets: ReadonlyMap<number, readonly number[]>,
    deadlineMs: number,
  ): Promise<boolean> {
    const asked = this.traffic.filter(({ room }) => (sockets.get(room) ?? []).length > 0);
    for (const reactor of asked) {
      const listeners = sockets.get(reactor.room)!;
      const others = this.#listeners.get(reactor.room)?.filter((socket) => !listeners.includes(socket));
      this.#listeners.set(reactor.room, others ?? []);
      this.#tell([reactor], { kind, listeners });
    }
    return await this.#obeyed(asked, deadlineMs);
  }

  /** No request is awaited any more. */
  drain(): void {
    this.#tell(this.traffic, { kind: "drain" });
  }

  /** Ends what came by these listeners, goes to these servers, or took these routes. */
  remove(gone: Omit<Extract<Message, { kind: "remove" }>, "kind">): void {
    this.#tell(this.traffic, { kind: "remove", ...gone });
  }

  /** Resolves when these have obeyed all that they were told so far; who died meanwhile was born by it. */
  async #obeyed(reactors: readonly Reactor[], deadlineMs: number): Promise<boolean> {
    const asked = reactors.map((reactor) => ({ reactor, births: reactor.births, told: reactor.told }));
    const done = () =>
      asked.every(({ reactor, births, told }) =>
        reactor.births !== births || Atomics.load(this.shared.reactorObeyed, reactor.room) >= told
      );
    return await until(done, deadlineMs);
  }

  /** Has every reactor stand still with its datagrams, for an upgrade, until `thaw` or `yield`. @returns whether all do;
   * a replacement of one that died meanwhile would not. */
  async freeze(deadlineMs: number): Promise<boolean> {
    const { deaths, traffic } = this;
    this.#tell(traffic, { kind: "freeze" });
    return await this.#obeyed(traffic, deadlineMs) && this.deaths === deaths;
  }

  thaw(): void {
    this.#tell(this.traffic, { kind: "thaw" });
  }

  /** Lets go of all listening sockets and sessions: another process has them. Resolves when every reactor has. */
  async yield(deadlineMs: number): Promise<boolean> {
    const watched = this.#listeners, { traffic } = this;
    this.#listeners = new Map();
    for (const reactor of traffic) {
      this.#tell([reactor], { kind: "yield", listeners: watched.get(reactor.room) ?? [] });
    }
    return await this.#obeyed(traffic, deadlineMs);
  }

  /** Goes on with the sessions of another process, then watches, where nothing was watched before. @returns whether
   * every reactor does */
  async takeOver(
    flows: ReadonlyMap<number, SharedArrayBuffer>,
    listeners: ReadonlyMap<number, readonly number[]>,
    deadlineMs: number,
  ): Promise<boolean> {
    for (const reactor of this.traffic) {
      const memory = flows.get(reactor.room);
      if (memory !== undefined) this.#tell([reactor], { kind: "adopt", flows: memory });
    }
    this.watch(listeners);
    return await this.#obeyed(this.traffic, deadlineMs);
  }

  /** Sessions of datagrams now. */
  get flows(): number {
    return this.traffic.reduce(
      (sum, { room }) => sum + Atomics.load(this.shared.reactorFlows, room * PER_LINE),
      0,
    );
  }

  /** What shows that each of them turns. */
  get pulses(): { readonly turns: number; readonly wake: () => void }[] {
    return this.all.map(({ room, stats }) => ({
      turns: stats.count[Count.Turns],
      wake: () => sys.wake(room),
    }));
  }

  /** Connections of the process now. */
  get connections(): number {
    return this.traffic.reduce((sum, { room }) => sum + reactorCurrent(this.shared, room), 0);
  }

  /** The oldest generation that any reactor still works by. */
  get oldestGeneration(): number {
    return this.#oldestOf(this.all);
  }

  #oldestOf(reactors: readonly Reactor[]): number {
    return Math.min(...reactors.map(({ room }) => Atomics.load(this.shared.reactorGeneration, room)));
  }

  /** Zeroes what hung on a number that is free again. */
  clearListener(number: number): void {
    for (const { stats } of this.all) clear(LISTENER_STATS, stats, number);
  }

  clearUpstream(number: number): void {
    for (const { stats } of this.all) clear(UPSTREAM_STATS, stats, number);
  }

  /** Whether nobody is counted for a limiter (shared/sources.ts). */
  isIdleLimiter(limiter: number): boolean {
    return Atomics.load(this.sources.sourceConnections, limiter) === 0;
  }

  clearLimiter(limiter: number): void {
    Atomics.store(this.sources.sourceNew, limiter, 0);
  }

  clearServer(number: number): void {
    const { serverVerdict, serverDrained, serverUpMs, serverLatencyMs, serverLatencyAtMs } = this.shared;
    serverVerdict[number] = Verdict.Unchecked;
    serverDrained[number] = 0;
    serverUpMs[number] = serverLatencyMs[number] = serverLatencyAtMs[number] = 0;
    this.shared.serverAvoided[number] = 0;
    for (const { stats } of this.all) clear(SERVER_STATS, stats, number);
  }

  /** Ends every connection that is left, then every Worker, then closes the rooms. */
  async stop(deadlineMs: number): Promise<void> {
    for (const reactor of this.all) reactor.leaving = true;
    this.#tell(this.all, { kind: "exit" });
    await until(() => this.all.every(({ worker }) => worker === undefined), deadlineMs);
    for (const { room, worker } of this.all) if (worker === undefined) sys.room_close(room);
  }

  #tell(reactors: readonly Reactor[], message: Message): void {
    for (const reactor of reactors) {
      if (reactor.mailbox === undefined) continue; // its next Worker is born by what holds then
      reactor.told++;
      reactor.mailbox.postMessage(message);
      sys.wake(reactor.room);
    }
  }

  #spawn(reactor: Reactor): void {
    const { room, role } = reactor;
    const traffic = this.traffic.map(({ room }) => room);
    const handTo = role === "health"
      ? []
      : this.#options.accept === "reuseport"
      ? [room]
      : room === traffic[0]
      ? traffic
      : [];
    const birth: WorkerBirth = {
      library: this.#options.library,
      room,
      role,
      handTo,
      counted: traffic,
      maxConnections: this.#options.connections,
      sizes: reactor.sizes,
      tables: reactor.tables,
      stats: reactor.statsMemory,
      shared: this.#sharedMemory,
      sources: this.#sourcesMemory,
      log: reactor.logMemory,
      logState: this.#options.logState,
      asks: reactor.asksMemory,
      plan: this.#plan.memory,
      seed: anySeed(),
      listeners: this.#listeners.get(room) ?? [],
    };
    reactor.births++;
    reactor.told = 0;
    Atomics.store(this.shared.reactorObeyed, room, 0);
    const { port1, port2 } = new MessageChannel();
    port1.unref();
    const worker = new Worker(this.#options.worker, {
      workerData: { birth, mailbox: port2 },
      transferList: [port2],
    });
    reactor.worker = worker;
    reactor.mailbox = port1;
    let death: string | undefined;
    worker.on("error", (error: unknown) => {
      death = error instanceof Error ? error.stack ?? error.message : String(error);
    });
    worker.on("exit", (status: number) => {
      reactor.worker = undefined;
      reactor.mailbox = undefined;
      port1.close();
      if (!reactor.leaving) this.#died(reactor, death ?? `exit status ${status}`);
      else if (death !== undefined || status !== 0) sys.reap(room); // it did not leave, it died
    });
  }

  /** Settles the accounts of a dead Worker and starts its replacement. */
  #died(reactor: Reactor, error: string): void {
    const { room } = reactor;
    const lost = settle(reactor, this.shared, this.sources);
    const clients = sys.reap(room);
    Atomics.add(this.shared.reactorEnded, room * PER_LINE, Math.max(clients, 0));
    reactor.tables = makeTables(reactor.sizes);
    this.#events.died(room, reactor.role, error, lost);
    this.wakeWaiting(); // the places that it had at servers are free

    this.deaths++;
    const now = performance.now();
    this.#deaths = [...this.#deaths.filter((at) => now - at < 60_000), now];
    if (this.#deaths.length > DEATHS_PER_MINUTE_MAX) {
      reactor.leaving = true;
      this.#hopeless = true;
      return this.#events.hopeless(`${this.#deaths.length} Workers died within a minute`);
    }
    this.#spawn(reactor);
  }

  /** Reactors where somebody waits for a place at a server look for one. */
  wakeWaiting(): void {
    for (const { room } of this.all) {
      if (Atomics.load(this.shared.reactorWaiting, room * PER_LINE) !== 0) sys.wake(room);
    }
  }

  async #confirmed(generation: number, reactors: readonly Reactor[]): Promise<void> {
    const done = () => this.#oldestOf(reactors) >= generation || this.#hopeless;
    const inTime = await until(done, BIRTH_DEADLINE_MS);
    if (this.#hopeless) {
      throw new ReactorError("the Workers die as soon as they are started; the log says why");
    }
    if (!inTime) throw new ReactorError(`a Worker did not start within ${BIRTH_DEADLINE_MS / 1_000} s`);
  }
}

/** Zeroes a row; memory that nobody has touched stays untouched. */
function clear(layout: Layout, stats: Stats, row: number): void {
  for (const [name, [, perRow]] of Object.entries(layout)) {
    const column = stats[name as keyof Stats];
    for (let at = row * perRow; at < (row + 1) * perRow; at++) if (column[at] !== 0) column[at] = 0;
  }
}

function anySeed(): number {
  return crypto.getRandomValues(new Int32Array(1))[0] | 1;
}

/** Waits for what another thread will make true. */
async function until(condition: () => boolean, deadlineMs: number): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return true;
}

function makeReactor(room: number, role: Reactor["role"], options: ReactorOptions): Reactor {
  const sizes = role === "reactor" ? trafficSizes(options) : healthSizes();
  const statsMemory = makeStats();
  const logMemory = LogRing.make(), asksMemory = makeAsks();
  return {
    room,
    role,
    sizes,
    statsMemory,
    stats: openStats(statsMemory),
    logMemory,
    log: new LogRing(logMemory),
    asksMemory,
    asks: openAsks(asksMemory),
    tables: makeTables(sizes),
    worker: undefined,
    mailbox: undefined,
    leaving: false,
    births: 0,
    told: 0,
  };
}

/** Any reactor may come to hold every connection, if the others' end sooner: memory is committed by
 * touch. */
function trafficSizes({ connections, pipes }: ReactorOptions): TableSizes {
  const slots = 2 * connections + SLOTS_SPARE;
  return { slots, exchanges: connections + 1, timers: slots, pipes: pipes + 1 };
}

function healthSizes(): TableSizes {
  const slots = 2 * PROBES_IN_FLIGHT_MAX;
  return { slots, exchanges: PROBES_IN_FLIGHT_MAX, timers: slots + PROBES_MAX, pipes: 2 };
}

function makeTables(sizes: TableSizes): TableMemory {
  return {
    slots: makeTable(SLOTS, sizes.slots),
    exchanges: makeTable(EXCHANGES, sizes.exchanges),
    timers: makeTable(TIMERS, sizes.timers),
    flows: makeTable(FLOWS, sizes.slots),
  };
}
