// One run: a reactor with everything above sys/ as it is, on a fake kernel, through a scenario. What must
// always hold is asserted after every turn, what must hold at the end at the end. A reactor that is made
// to die is accounted for and replaced, as the control plane does it.
import { strayOf } from "../../src/control/settle.ts";
import {
  ARENA_BYTES,
  BLOCKS_MAX,
  CONTROL_ARENA_BYTES,
  NONE,
  SMALL_BLOCKS_MAX,
} from "../../src/base/limits.ts";
import { BugError } from "../../src/base/assert.ts";
import { blocksTaken, giveBlock, takeBlock, takeBlockFor } from "../../src/net/blocks.ts";
import { delaysCheck, delaysWaiting } from "../../src/net/delays.ts";
import { pipesCheck, pipesOpenCount, pipesTaken } from "../../src/net/pipes.ts";
import { slotGen, slotsCheck, slotsEnd, slotsTaken } from "../../src/net/slots.ts";
import { timersArmed, timersCheck } from "../../src/net/timers.ts";
import type { Plan } from "../../src/plan/plan.ts";
import { plansHeld } from "../../src/proxy/context.ts";
import { exchangesTaken, exUpstream } from "../../src/proxy/exchanges.ts";
import { pacesCheck } from "../../src/proxy/pace.ts";
import { reactorOpen, reactorRun } from "../../src/proxy/reactor.ts";
import { tunnelsCheck } from "../../src/proxy/tunnel.ts";
import { makeTable } from "../../src/shared/columns.ts";
import { makeAsks, openAsks, questionOf } from "../../src/shared/asks.ts";
import { type ClosingRow, makeClosing, openClosing, Outcome } from "../../src/shared/closing.ts";
import { Field, LogRing, RecordKind } from "../../src/shared/log_ring.ts";
import { LogState } from "../../src/shared/log_state.ts";
import type { Message, WorkerBirth } from "../../src/shared/mailbox.ts";
import { Reason } from "../../src/shared/reason.ts";
import { makeShared, openShared, PER_LINE } from "../../src/shared/servers.ts";
import { makeSources, openSources, sourceGive } from "../../src/shared/sources.ts";
import { Count, makeStats, openStats } from "../../src/shared/stats.ts";
import {
  EXCHANGES,
  ExFlag,
  ExState,
  FLOWS,
  openExchanges,
  SLOTS,
  type TableMemory,
  type TableSizes,
  TIMERS,
} from "../../src/shared/tables.ts";
import { clockMs, enterRoom, sys, useProvider } from "../../src/sys/sys.ts";
import type { Provider } from "../../src/sys/symbols.ts";
import { fakeProvider, injected, type Tally } from "./calls.ts";
import { Clock } from "./clock.ts";
import { FakeKernel, type Weather } from "./kernel.ts";
import type { Random } from "./random.ts";
import type { Socket } from "./socket.ts";

/** The reactor's room, and one whose thread is not simulated: what is handed to it is only counted. */
export const ROOM = 1;
export const OTHER_ROOM = 2;

const START_MS = 5_000;
const ASK_SALT = 0xa5c;
const CLOSE_SALT = 0xc105e;
/** Who asks waits for longer than a run does. */
const ANSWER_MS = 500;
/** Longer than any deadline of a run, behind a head that was read at once and is paid for at the least rate there is: after
 * this long without work nothing will happen any more. */
const QUIET_MS = 15_000;
/** Turns in a row without work and without sleep until it is a busy loop. */
const RESTLESS_TURNS_MAX = 300;
const SLEEP_MS = 1;
const TURNS_MAX = 1_000_000;
/** Rows of the statistics that runs use. */
const NUMBERS_MAX = 64;
/** Elements of a counter's column that a run may touch: reasons, those of each listener, buckets. */
const TOUCHED_MAX = 4_096;

/** Beyond any generation that a slot has while a message waits. */
const NEVER_GEN = 1_000_000;

/** Connections that an operator wants closed, and whether they were there. */
interface Closing {
  readonly rows: readonly (ClosingRow & { readonly isThere: boolean })[];
  readonly closing: SharedArrayBuffer;
}

/** What must hold does not. */
export class Broken extends Error {
  override name = "Broken";
}

export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Broken(what);
}

/** What a run is about. */
export interface Scenario {
  readonly role: WorkerBirth["role"];
  readonly weather: Weather;
  readonly sizes: TableSizes;
  readonly maxConnections: number;
  /** Blocks that the reactor has, and small ones; the others are taken away. */
  readonly blocks: number;
  readonly smallBlocks?: number;
  readonly handTo: readonly number[];
  readonly listeners: readonly number[];
  /** The Plan of now. */
  plan(): Plan;
  /** Plans what the world does. */
  start(run: Run): void;
  connect(run: Run, address: Uint8Array, slot: number): Socket | number;
  adopted(socket: Socket, slot: number): void;
  /** Sluice ends its stream to a socket. */
  shut(socket: Socket): void;
  /** A record of the log. */
  record(kind: RecordKind, numbers: Float64Array, peer: Uint8Array): void;
  /** A line of the access log. */
  line?(line: string): void;
  /** Between two turns: what must always hold of it. */
  turned?(run: Run): void;
  /** The world has nothing more planned: whether the reactor may be told to end. */
  isThrough(run: Run): boolean;
  /** The reactor's thread is about to be reaped. */
  died(): void;
  /** At the end, when everything has been given back. */
  check(run: Run): void;
}

/** Kept from run to run: what is large is made once. */
export class Memory {
  readonly library: Provider;
  readonly stats = makeStats();
  readonly shared = makeShared();
  readonly sources = makeSources(1, 1);
  readonly log = LogRing.make();
  readonly logState = LogState.make();
  readonly asks = makeAsks();

  constructor(library: Provider) {
    this.library = library;
    library.kernel.setup();
    library.kernel.room_open(ROOM, 1, 1, ARENA_BYTES);
    library.kernel.enter(ROOM);
  }

  clear(): void {
    for (
      const column of [...Object.values(openStats(this.stats)), ...Object.values(openShared(this.shared))]
    ) {
      column.fill(0, 0, TOUCHED_MAX);
    }
    const { sourceHash, sourceConnections, sourceMeters, sourceNew } = openSources(this.sources);
    for (const column of [sourceHash, sourceConnections, sourceMeters, sourceNew]) column.fill(0);
    openAsks(this.asks).askState.fill(0);
  }
}

export class Run {
  readonly seed: number;
  readonly random: Random;
  readonly clock = new Clock(START_MS);
  readonly kernel: FakeKernel;
  readonly stats;
  readonly shared;
  readonly sources;
  readonly messages: Message[] = [];
  readonly lost: { exchange: number; down: number; hadRequest: boolean }[] = [];
  deaths = 0;
  /** Of the fake clock. */
  longestTurnMs = 0;
  turns = 0;
  /** Connections handed to the room that is only counted. */
  elsewhere = 0;
  /** Accepted, and lost with their reactor before they were handed on. */
  unhanded = 0;
  stage: "running" | "unwatching" | "ending" | "leaving" = "running";
  readonly #scenario: Scenario;
  readonly #memory: Memory;
  readonly #ring: LogRing;
  #tables!: TableMemory;
  #work = 0;
  #workMs = START_MS;
  #turnMs = START_MS;
  #restlessTurns = 0;
  readonly #reserved: number[] = [];
  /** For what only runs with TLS ask. */
  readonly #chance: Random;
  /** For who closes connections. */
  readonly #operator: Random;
  readonly #closings: Closing[] = [];

  constructor(seed: number, random: Random, scenario: Scenario, memory: Memory, tally: Tally) {
    this.seed = seed;
    this.random = random;
    this.#chance = random.fork(ASK_SALT);
    this.#operator = random.fork(CLOSE_SALT);
    this.#scenario = scenario;
    this.#memory = memory;
    memory.clear();
    this.stats = openStats(memory.stats);
    this.shared = openShared(memory.shared);
    this.sources = openSources(memory.sources);
    this.#ring = new LogRing(memory.log);
    this.#ring.drain(() => {}); // of a run that failed
    this.#ring.drainLines(() => {});
    this.kernel = new FakeKernel(random, this.clock, scenario.weather);
    this.kernel.world = {
      connect: (address, slot) => scenario.connect(this, address, slot),
      adopted: (socket, slot) => scenario.adopted(socket, slot),
      shut: (socket) => scenario.shut(socket),
      betweenTurns: () => this.#betweenTurns(),
    };
    useProvider(fakeProvider(this.kernel, memory.library, tally));
  }

  run(): void {
    const { sizes } = this.#scenario;
    sys.room_open(0, 1, 1, CONTROL_ARENA_BYTES);
    sys.room_open(ROOM, sizes.slots, sizes.pipes, ARENA_BYTES);
    sys.room_open(OTHER_ROOM, 1, 1, ARENA_BYTES);
    enterRoom(0);
    this.#scenario.start(this);
    sys.leave();
    while (!this.#liveUntilItLeavesOrDies());
    sys.leave();
    this.#checkEnd();
    this.#scenario.check(this);
  }

  /** Tells the reactor something, as the control plane does. */
  tell(message: Message): void {
    this.messages.push(message);
    this.wake();
  }

  /** In some runs an operator closes connections, and some that there are not, at any time until `withinMs`. */
  operate(withinMs: number, before: () => void): void {
    if (!this.#operator.oneIn(6)) return;
    for (let turn = this.#operator.between(1, 4); turn > 0; turn--) {
      this.clock.in(this.#operator.below(withinMs), () => {
        before();
        this.#closeSome();
      });
    }
  }

  #closeSome(): void {
    const rows = Array.from({ length: this.#operator.between(1, 8) }, () => {
      const slot = 1 + this.#operator.below(slotsEnd()), isThere = !this.#operator.oneIn(4);
      return { slot, gen: slotGen[slot] + (isThere ? 0 : NEVER_GEN), isThere };
    });
    const closing = makeClosing(rows);
    this.#closings.push({ rows, closing });
    this.tell({ kind: "close", rows: rows.length, closing });
  }

  #checkClosings(): void {
    for (const { rows, closing } of this.#closings) {
      const { closingDone, closingOutcome } = openClosing(closing, rows.length);
      if (closingDone[0] === 0) continue; // its reactor died
      rows.forEach(({ isThere }, row) => {
        must(closingOutcome[row] !== Outcome.Asked, "a connection that was to be closed is forgotten");
        must(
          isThere || closingOutcome[row] === Outcome.Gone,
          "another connection than the one that was meant is closed",
        );
      });
    }
  }

  /** As another reactor, or the health Worker, does when there may be a place at a server. */
  wake(): void {
    this.kernel.rooms[ROOM]!.woken = true;
  }

  /** It was woken, and has not been told yet. */
  get isWoken(): boolean {
    return this.kernel.rooms[ROOM]!.woken;
  }

  // ---- the control plane's part ----

  #liveUntilItLeavesOrDies(): boolean {
    try {
      this.#born(this.stage === "running" ? this.#scenario.listeners : []);
      if (this.stage === "ending") this.tell({ kind: "end-all" });
      if (this.stage === "leaving") this.tell({ kind: "exit" });
      reactorRun(() => this.messages.shift());
      return true;
    } catch (error) {
      if (!(error instanceof Error) || !injected.has(error)) throw error;
      if (error instanceof BugError) this.kernel.bugs--;
      this.#takeOver();
      return false;
    }
  }

  #born(listeners: readonly number[]): void {
    const { role, sizes, handTo, maxConnections, blocks, smallBlocks } = this.#scenario;
    this.#tables = {
      slots: makeTable(SLOTS, sizes.slots),
      exchanges: makeTable(EXCHANGES, sizes.exchanges),
      timers: makeTable(TIMERS, sizes.timers),
      flows: makeTable(FLOWS, sizes.slots),
    };
    enterRoom(ROOM);
    reactorOpen({
      library: "",
      room: ROOM,
      role,
      handTo,
      counted: handTo,
      maxConnections,
      sizes,
      tables: this.#tables,
      stats: this.#memory.stats,
      shared: this.#memory.shared,
      sources: this.#memory.sources,
      log: this.#memory.log,
      logState: this.#memory.logState,
      asks: this.#memory.asks,
      plan: this.#scenario.plan().memory,
      seed: this.random.next() | 1,
      listeners,
    });
    this.#reserved.length = 0;
    for (let left = BLOCKS_MAX - 1; left > blocks; left--) this.#reserved.push(takeBlock());
    const few = smallBlocks ?? SMALL_BLOCKS_MAX - 1;
    for (let left = SMALL_BLOCKS_MAX - 1; left > few; left--) this.#reserved.push(takeBlockFor(1));
  }

  /** As control/reactors.ts does when a Worker has died. */
  #takeOver(): void {
    this.deaths++;
    this.#drainLog();
    this.#scenario.died();
    this.unhanded += this.kernel.held === 0 ? 0 : 1;
    this.kernel.threadDied();
    this.#settle();
    const clients = sys.reap(ROOM);
    Atomics.add(this.shared.reactorEnded, ROOM * PER_LINE, Math.max(clients, 0));
    this.messages.length = 0;
  }

  #settle(): void {
    const { sizes } = this.#scenario;
    const table = openExchanges(this.#tables.exchanges, sizes.exchanges);
    const { exState, exDown, exGeneration, exFlags, exServer, exSource } = table;
    let lost = 0;
    sourceGive(this.sources, strayOf({ room: ROOM, sizes, tables: this.#tables }, this.shared));
    for (let exchange = 1; exchange < sizes.exchanges; exchange++) {
      const state = exState[exchange], down = exDown[exchange];
      if (state !== ExState.Free && down !== NONE) sourceGive(this.sources, exSource[exchange]);
      if (state === ExState.Free || state === ExState.Done || down === NONE) continue;
      const hadRequest = exGeneration[exchange] !== 0 || state === ExState.Tunnel;
      this.lost.push({ exchange, down, hadRequest });
      if (state === ExState.Queue) Atomics.sub(this.shared.upstreamWaiting, exUpstream[exchange], 1);
      if (exFlags[exchange] & ExFlag.Placed) {
        Atomics.sub(this.shared.serverInUse, exServer[exchange], 1);
        Atomics.sub(this.shared.upstreamInUse, exUpstream[exchange], 1);
      }
      lost++;
    }
    this.stats.ended[Reason.ReactorDied] += lost;
    this.stats.listenerCurrent.fill(0, 0, NUMBERS_MAX);
    this.stats.serverCurrent.fill(0, 0, NUMBERS_MAX);
    for (const gauge of [Count.PipesOpen, Count.BlocksTaken, Count.SlotsTaken]) this.stats.count[gauge] = 0;
  }

  // ---- what always holds ----

  #betweenTurns(): void {
    if (this.turns > 0) this.longestTurnMs = Math.max(this.longestTurnMs, this.clock.nowMs - clockMs());
    slotsCheck();
    pipesCheck();
    timersCheck();
    tunnelsCheck();
    delaysCheck();
    pacesCheck();
    this.#drainLog();
    this.#scenario.turned?.(this);
    this.#watchForBusyLoop();
    if (this.clock.nextMs === Infinity || this.random.oneIn(20)) this.#turnAway();
    if (this.stage === "leaving") return;
    if (this.stage === "running" && !this.#isThrough()) return;
    this.#endOrderly();
  }

  #isThrough(): boolean {
    return this.clock.nextMs === Infinity && this.#scenario.isThrough(this);
  }

  /** Blocks that were taken away from the reactor. */
  get blocksReserved(): number {
    return this.#reserved.length;
  }

  /** Nothing has happened for so long that nothing will. */
  get isQuiet(): boolean {
    return this.clock.nowMs - this.#workMs > QUIET_MS;
  }

  /** Stop accepting, end what is left, leave. */
  #endOrderly(): void {
    const accepting = Atomics.load(this.shared.reactorAccepting, ROOM);
    if (this.stage === "running") {
      this.stage = "unwatching";
      this.#ofListeners(sys.listener_stop);
      this.tell({ kind: "unwatch", listeners: this.#scenario.listeners });
      this.tell({ kind: "drain" });
    } else if (this.stage === "unwatching" && accepting === 0) {
      this.stage = "ending";
      this.#ofListeners(sys.listener_close);
      this.tell({ kind: "end-all" });
    } else if (this.stage === "ending" && exchangesTaken() === 0 && this.#newcomers === 0) {
      this.stage = "leaving";
      this.tell({ kind: "exit" });
    }
  }

  /** A call on each listening socket, by the control plane's thread. */
  #ofListeners(call: (listener: number) => number): void {
    this.kernel.me = 0;
    for (const listener of this.#scenario.listeners) call(listener);
    this.kernel.me = ROOM;
  }

  /** The room that is only counted has ended its connections. */
  #turnAway(): void {
    const other = this.kernel.rooms[OTHER_ROOM]!;
    if (other.ready.length === 0) return;
    other.ready = [];
    const gone = this.kernel.turnAway(OTHER_ROOM, (source) => sourceGive(this.sources, source));
    this.elsewhere += gone;
    Atomics.add(this.shared.reactorEnded, OTHER_ROOM * PER_LINE, gone);
  }

  get #newcomers(): number {
    return this.kernel.fds.filter((row) => typeof row === "object" && row.room === ROOM && row.slot === 0)
      .length;
  }

  #drainLog(): void {
    this.#ring.drain((numbers, peer) => {
      const kind = numbers[Field.Kind] as RecordKind;
      if (kind === RecordKind.Ask) this.#answer(numbers[Field.Detail]);
      else this.#scenario.record(kind, numbers, peer);
    });
    let lines = "";
    this.#ring.drainLines((bytes) => lines += Buffer.from(bytes).toString("latin1"));
    for (const line of lines.split("\n").slice(0, -1)) this.#scenario.line!(line);
  }

  /** What a reactor asks for comes after a while, or is refused. */
  #answer(row: number): void {
    const question = questionOf(openAsks(this.#memory.asks), row);
    must(question.text === "a.example", `asked for ${question.text}`);
    this.clock.in(this.#chance.below(ANSWER_MS), () => {
      question.answer(!this.#chance.oneIn(4));
      if (this.kernel.rooms[ROOM] !== undefined) this.wake();
    });
  }

  #watchForBusyLoop(): void {
    must(++this.turns < TURNS_MAX, `no end after ${TURNS_MAX} turns`);
    const slept = this.clock.nowMs - this.#turnMs >= SLEEP_MS, worked = this.kernel.work !== this.#work;
    this.#turnMs = this.clock.nowMs;
    this.#restlessTurns = slept || worked ? 0 : this.#restlessTurns + 1;
    must(
      this.#restlessTurns < RESTLESS_TURNS_MAX,
      `busy loop: ${RESTLESS_TURNS_MAX} turns without work or sleep`,
    );
    if (!worked) return;
    this.#work = this.kernel.work;
    this.#workMs = this.clock.nowMs;
  }

  #checkEnd(): void {
    const { kernel, stats, shared } = this;
    this.#drainLog();
    must(this.#reserved.length === blocksTaken(), "a block was not given back");
    for (const block of this.#reserved) giveBlock(block);
    must(exchangesTaken() === 0, "an exchange was not given back");
    this.#checkClosings();
    must(slotsTaken() === 0, "a slot was not given back");
    must(pipesTaken() === 0 && pipesOpenCount() === 0, "a pipe was not given back");
    must(plansHeld() === 0, "a Plan was not given back");
    must(delaysWaiting() === 0, "a slot is parked that is gone");
    if (this.#scenario.role === "reactor") must(timersArmed() === 0, "a timer was not given back");
    for (const room of [ROOM, OTHER_ROOM]) {
      const at = room * PER_LINE;
      const handed = Atomics.load(shared.reactorHanded, at), ended = Atomics.load(shared.reactorEnded, at);
      must(handed === ended, `room ${room}: ${handed} connections handed to it, ${ended} ended`);
    }
    for (let number = 0; number < NUMBERS_MAX; number++) {
      must(stats.listenerCurrent[number] === 0, `listener ${number}: gauge ${stats.listenerCurrent[number]}`);
      must(stats.serverCurrent[number] === 0, `server ${number}: gauge ${stats.serverCurrent[number]}`);
    }
    must(stats.count[Count.LogDropped] === 0, "a record was dropped");
    must(sys.held(ROOM, 0) === 0 && sys.held(ROOM, 1) === 0, "the room still holds sockets or pipes");
    for (const room of [0, ROOM, OTHER_ROOM]) sys.room_close(room);
    must(
      kernel.fdCount === 0,
      `${kernel.fdCount} fds leaked: ${
        kernel.fds.map((what) => typeof what === "string" ? what : "connection").join(" ")
      }`,
    );
  }
}
