// HTTP clients and servers with a reactor between them: how they misbehave, what changes meanwhile, and
// what must have come of every request in the end.
import type { Plan } from "../../src/plan/plan.ts";
import { RecordKind } from "../../src/shared/log_ring.ts";
import { Reason, REASONS } from "../../src/shared/reason.ts";
import { Verdict } from "../../src/shared/servers.ts";
import { Count } from "../../src/shared/stats.ts";
import type { TableSizes } from "../../src/shared/tables.ts";
import {
  EACCES,
  EADDRNOTAVAIL,
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EHOSTUNREACH,
  ENETUNREACH,
  ENOBUFS,
  ENOENT,
  ETIMEDOUT,
} from "../../src/sys/errno.ts";
import { arenaBytes, sys } from "../../src/sys/sys.ts";
import { ARENA_SCRATCH, BLOCKS_MAX, PEER_BYTES, SMALL_BLOCKS_MAX } from "../../src/base/limits.ts";
import { checkHttp } from "./http_checks.ts";
import { type Farewell, HttpClient } from "./http_client.ts";
import { checkConnection } from "./http_outcome.ts";
import { MessageDice, type Request } from "./http_messages.ts";
import { HttpServer, type ServerWorld } from "./http_server.ts";
import type { Weather } from "./kernel.ts";
import { type Limits, someLimits } from "./paced.ts";
import { Trouble } from "./peer.ts";
import { someFate } from "./dice.ts";
import { buildPlan, ipAddress, type PlanSpec, someBalance, type TlsSpec, unixAddress } from "./plans.ts";
import type { Random } from "./random.ts";
import { must, ROOM, type Run, type Scenario } from "./run.ts";
import { Socket } from "./socket.ts";

export const CLIENTS = 30;
const REQUESTS_MAX = 6;
const ARRIVE_WITHIN_MS = 1_000;
const CHANGE_WITHIN_MS = 1_500;
const BACKLOG = 40;
/** Deadlines are late by at most two ticks; the least that a party must have been silent for one. */
const TICKS_MS = 250;
const FORWARDED_BITS = 18;
const TLS_SALT = 0x715;
const BALANCE_SALT = 0xba1;
const PACE_SALT = 0xace;
/** Bytes per second of a connection that is limited: a few of its messages. */
const PACE_LEAST = 0.5;
const PACE_MOST = 50;

const TROUBLES = [Trouble.Reset, Trouble.Reset, Trouble.Reset, Trouble.Vanish, Trouble.Close, Trouble.Stall];

type Mood = "well" | "slow" | "refuses" | "silent" | "unreachable" | "portless";

interface Server {
  readonly address: Uint8Array;
  readonly isUnix: boolean;
  mood: Mood;
}

export interface Connection {
  readonly number: number;
  readonly client: HttpClient;
  readonly listener: number;
  /** Requests that have a record. */
  recorded: number;
  adopted: boolean;
  /** It was open when its reactor died. */
  died: boolean;
  /** It was there when all were told to end. */
  endedByUs: boolean;
}

/** What is looked at of a line of the access log. */
interface AccessLine {
  readonly client: string | null;
  /** Undefined: a connection that ended in its handshake. */
  readonly target: string | null | undefined;
  readonly status: number | null;
  readonly reason: string;
}

/** What the world of a run is like, as far as it excuses anything. */
export interface Climate {
  /** Servers that cannot be reached, or verdicts and Plans that change. */
  readonly sick: boolean;
  /** Blocks, slots or fds run out. */
  readonly scarce: boolean;
  /** Places at servers are limited. */
  readonly limited: boolean;
  /** A bug or a death is staged. */
  readonly staged: boolean;
  /** An exchange has a limit as a whole. */
  readonly hurried: boolean;
  /** Calls take so long that a turn with many of them takes seconds. */
  readonly slow: boolean;
}

/** By these a connection may end on which no request is under way. */
const SILENT: ReadonlySet<Reason> = new Set([
  Reason.ClientReset,
  Reason.ClientGone,
  Reason.ClientIdle,
  Reason.Drained,
  Reason.ClosedByOperator,
  Reason.Bug,
  Reason.NotTls,
  Reason.ClientAlert,
  Reason.HandshakeFailed,
  Reason.HandshakeTimeout,
  Reason.NoCertificate,
]);

export class HttpTraffic implements Scenario {
  readonly role = "reactor";
  readonly weather: Weather;
  readonly sizes: TableSizes;
  readonly maxConnections = 100;
  readonly blocks: number;
  readonly smallBlocks: number;
  readonly handTo = [ROOM];
  readonly listeners = [0];
  readonly climate: Climate;
  readonly connections: Connection[] = [];
  readonly #random: Random;
  readonly #dice: MessageDice;
  /** What TLS is about has chances of its own: runs without are as they were before there was any. */
  readonly #tls: Random;
  readonly #world: ServerWorld;
  readonly #servers: Server[];
  readonly #spec: PlanSpec;
  readonly #requests = new Map<string, Request>();
  /** Every connection to a server that came to be. */
  readonly #served: HttpServer[] = [];
  /** Small messages through small buffers. */
  readonly #isSmall: boolean;
  readonly #troubles: number;
  readonly #wicked: number;
  #plan: Plan;
  #run!: Run;
  #bugs = 0;
  #refused = 0;
  #records = 0;
  /** The same by reason. */
  readonly #recorded = new Int32Array(REASONS.length);

  constructor(random: Random) {
    this.#random = random;
    this.#isSmall = !random.oneIn(3);
    this.#troubles = random.pick([0, 0, 4]);
    this.#wicked = random.pick([0, 0, 6]);
    this.climate = {
      sick: random.oneIn(4),
      scarce: random.oneIn(6),
      limited: random.oneIn(3),
      staged: random.oneIn(6),
      hurried: random.oneIn(6),
      slow: random.oneIn(3),
    };
    this.weather = this.#someWeather();
    const { scarce, limited } = this.climate;
    this.blocks = scarce ? random.pick([0, 1, 3, 8]) : BLOCKS_MAX - 1;
    this.smallBlocks = scarce && random.oneIn(2) ? random.pick([0, 2, 6]) : SMALL_BLOCKS_MAX - 1;
    const slots = scarce && random.oneIn(3) ? random.between(6, 30) : 400;
    this.sizes = { slots, exchanges: 101, timers: slots, pipes: random.pick([2, 3, 9, 257]) };
    this.#dice = new MessageDice(random, this.#isSmall ? 3_000 : 100_000, random.pick([0, 0, 20, 6]));
    this.#world = {
      dice: this.#dice,
      races: random.pick([0, 0, 20, 4]),
      idleMs: random.pick([0, 0, 20, 400]),
      find: (id) => this.#find(id),
    };
    this.#tls = random.fork(TLS_SALT);
    this.#servers = Array.from({ length: random.between(1, 4) }, (_, index) => {
      const isUnix = random.oneIn(6);
      return {
        address: isUnix ? unixAddress(index + 1) : ipAddress(10, index + 1, 80),
        isUnix,
        mood: this.climate.sick && random.oneIn(3) ? this.#someMood() : "well",
      };
    });
    this.#spec = this.#someSpec(limited);
    this.#plan = buildPlan(this.#spec);
  }

  plan(): Plan {
    return this.#plan;
  }

  #find(id: string): Request {
    const request = this.#requests.get(id);
    must(request !== undefined, `a request that nobody sent: ${id}`);
    return request;
  }

  // ---- what the dice say ----

  #someWeather(): Weather {
    const random = this.#random, { scarce, slow, staged } = this.climate;
    const calm = random.oneIn(5);
    const some = (...choices: number[]): number => calm ? 0 : random.pick(choices);
    const dies = staged && random.oneIn(2);
    return {
      fds: scarce ? random.pick([14, 40, 90, 10_000, 10_000]) : 10_000,
      spurious: some(0, 30, 8),
      short: some(0, 20, 4),
      stale: some(0, 10, 2),
      disorder: some(0, 4, 2),
      signal: some(0, 20),
      scarce: scarce ? some(0, 60) : 0,
      pipeTrouble: some(0, 10, 2),
      callMs: slow ? 0.2 : some(0, 0.02),
      deathAfter: dies ? random.between(1, 3_000) : 0,
      bugAfter: staged && !dies ? random.between(1, 1_000) : 0,
    };
  }

  #someSpec(limited: boolean): PlanSpec {
    const random = this.#random;
    const ms = () => random.pick([1_500, 2_500, 4_000]);
    return {
      generation: 1,
      listeners: [{
        upstream: 1,
        idleMs: random.pick([0, 2_000]),
        limits: this.#someLimits(),
        http: {
          clientIdleMs: ms(),
          requestHeadMs: ms(),
          bodyStallMs: ms(),
          exchangeMs: this.climate.hurried ? random.between(300, 6_000) : 0,
          forwarded: random.below(1 << FORWARDED_BITS),
        },
      }],
      upstreams: [{
        servers: this.#someServers(),
        connectMs: this.climate.sick ? random.pick([200, 1_000]) : 3_000,
        http: {
          answerMs: ms(),
          serverIdleMs: ms(),
          queueMs: ms(),
          keepMax: random.pick([0, 2, 64]),
          keepMs: random.pick([-1, 300, 60_000]),
        },
      }],
      connectionsMax: limited ? random.between(1, 4) : 0,
      addresses: [undefined, ...this.#servers.map(({ address }) => address)],
      probes: [],
      tls: this.#someTls(),
      balance: someBalance(random.fork(BALANCE_SALT), this.#servers.length),
    };
  }

  #someLimits(): Limits {
    const messageBytes = this.#isSmall ? 3_000 : 100_000;
    return someLimits(this.#random.fork(PACE_SALT), PACE_LEAST * messageBytes, PACE_MOST * messageBytes, [
      1,
      8,
    ]);
  }

  /** In a third of the runs some speak TLS. */
  #someTls(): TlsSpec | undefined {
    const random = this.#tls;
    if (!random.oneIn(3)) return undefined;
    const servers = this.#servers.map((_, index) => index + 1).filter(() => random.oneIn(2));
    const listeners = servers.length === 0 || random.oneIn(2) ? [1] : [];
    return { listeners: new Set(listeners), servers: new Set(servers), handshakeMs: 2_000 };
  }

  #isSealed(server: number): boolean {
    return this.#spec.tls?.servers.has(server + 1) === true;
  }

  #someMood(): Mood {
    return this.#random.pick(["slow", "refuses", "silent", "unreachable", "portless"]);
  }

  #someServers(): number[] {
    const all = this.#servers.map((_, index) => index + 1);
    this.#random.shuffle(all);
    return all.slice(
      0,
      this.climate.sick && this.#random.oneIn(10) ? 0 : this.#random.between(1, all.length),
    );
  }

  /** Tiny buffers only for little: nobody waits an hour. */
  #socket(connecting: boolean): Socket {
    const random = this.#random;
    const some = () =>
      this.#isSmall
        ? random.oneIn(12) ? 1 : random.pick([random.between(1, 300), 4_096, 16_384])
        : random.pick([4_096, 16_384, 70_000]);
    return new Socket(some(), some(), connecting);
  }

  #pace() {
    const random = this.#random;
    return {
      paceMs: random.pick([0, 0, 0.5, 3, 10]),
      pieceBytes: this.#isSmall ? random.pick([200, 1_000, 20_000]) : random.pick([4_000, 20_000, 1 << 20]),
    };
  }

  // ---- the world's doings ----

  start(run: Run): void {
    this.#run = run;
    const random = this.#random;
    arenaBytes.set(ipAddress(127, 1, 8000), ARENA_SCRATCH);
    must(sys.listen(0, ARENA_SCRATCH, 0, BACKLOG, 0) === 0, "cannot listen");
    const within = random.pick([0, 100, ARRIVE_WITHIN_MS]);
    for (let number = 1; number <= CLIENTS; number++) {
      run.clock.in(random.below(within + 1), () => this.#arrive(number));
    }
    if (!this.climate.sick) return;
    for (let change = random.between(0, 8); change > 0; change--) {
      run.clock.in(random.below(CHANGE_WITHIN_MS), () => this.#change());
    }
    if (random.oneIn(6)) {
      run.clock.in(random.below(CHANGE_WITHIN_MS), () => {
        for (const connection of this.connections) connection.endedByUs = true;
        run.tell({ kind: "end-all" });
      });
    }
    run.operate(CHANGE_WITHIN_MS, () => {
      for (const connection of this.connections) connection.endedByUs = true;
    });
  }

  #change(): void {
    const random = this.#random, { shared } = this.#run;
    const server = random.below(this.#servers.length);
    switch (random.below(4)) {
      case 0:
        this.#servers[server].mood = random.oneIn(2) ? "well" : this.#someMood();
        return;
      case 1: {
        const { generation } = this.#plan;
        const upstreams = this.#spec.upstreams.map((upstream) => ({
          ...upstream,
          servers: this.#someServers(),
        }));
        this.#plan = buildPlan({ ...this.#spec, generation: generation + 1, upstreams });
        return this.#run.tell({ kind: "plan", plan: this.#plan.memory });
      }
      default:
        shared.serverVerdict[server + 1] = random.pick([Verdict.Unchecked, Verdict.Up, Verdict.Down]);
        Atomics.add(shared.verdictVersion, 0, 1);
        this.#run.wake();
    }
  }

  #arrive(number: number): void {
    const random = this.#random, { clock, kernel } = this.#run;
    const count = random.between(1, REQUESTS_MAX);
    const isWicked = random.oneIn(this.#wicked);
    const requests = Array.from({ length: count }, (_, index) => {
      const isFinal = index === count - 1;
      return this.#dice.request(`${number}.${index}`, isFinal, isWicked && isFinal);
    });
    for (const request of requests) this.#requests.set(request.id, request);
    const farewell = random.pick<Farewell>(["close", "close", "wait", "half-close"]);
    const socket = this.#socket(false);
    if (this.#spec.tls?.listeners.has(1) === true) socket.fate = someFate(this.#tls);
    const client = new HttpClient(
      `client ${number}`,
      socket,
      this.#pace(),
      requests,
      farewell,
      clock,
      random,
    );
    if (random.oneIn(this.#troubles)) {
      client.trouble = random.pick(TROUBLES);
      client.troubleAfterBytes = random.oneIn(4) ? 0 : random.below(this.#isSmall ? 1_500 : 30_000);
      client.ambushesWrites = random.oneIn(2);
    }
    const connection: Connection = {
      number,
      client,
      listener: 0,
      recorded: 0,
      adopted: false,
      died: false,
      endedByUs: false,
    };
    this.connections.push(connection);
    const waiting = { socket: client.socket, peer: ipAddress(10, 200, number).slice(0, PEER_BYTES) };
    if (kernel.knock(0, waiting)) client.start(0);
    else client.vanished = client.socket.closed = true;
  }

  adopted(socket: Socket): void {
    this.connections.find(({ client }) => client.socket === socket)!.adopted = true;
  }

  connect(run: Run, address: Uint8Array, slot: number): Socket | number {
    const index = this.#servers.findIndex((server) =>
      Buffer.compare(server.address, address) === 0 ||
      (!server.isUnix &&
        Buffer.compare(server.address.subarray(0, PEER_BYTES), address.subarray(0, PEER_BYTES)) === 0)
    );
    must(index >= 0, "connects to an address that no server has");
    const random = this.#random, { mood, isUnix } = this.#servers[index];
    if (isUnix && mood !== "well") return random.pick([ENOENT, ECONNREFUSED, EAGAIN, EACCES]);
    if (mood === "portless") return random.pick([EADDRNOTAVAIL, ENOBUFS]);
    if (mood === "refuses" && random.oneIn(2)) return ECONNREFUSED;
    if (mood === "unreachable" && random.oneIn(2)) return random.pick([ENETUNREACH, EHOSTUNREACH]);

    const socket = this.#socket(!isUnix);
    if (this.#isSealed(index)) {
      const fate = someFate(this.#tls);
      socket.fate = this.climate.sick ? fate : { ...fate, handshake: "well" };
    }
    socket.pieces = isUnix;
    const name = `server ${index + 1}, slot ${slot}`;
    if (isUnix) this.#serve(name, socket);
    else if (mood === "well" || mood === "slow") {
      run.clock.in(mood === "well" ? random.below(20) : random.below(4_000), () => {
        socket.established();
        if (!socket.closed) this.#serve(name, socket);
      });
    } else {
      const errno = mood === "refuses"
        ? random.pick([ECONNREFUSED, ECONNREFUSED, ECONNRESET])
        : mood === "silent"
        ? ETIMEDOUT
        : EHOSTUNREACH;
      if (mood !== "silent" || random.oneIn(2)) run.clock.in(random.below(400), () => socket.failed(errno));
    }
    return socket;
  }

  #serve(name: string, socket: Socket): void {
    const server = new HttpServer(name, socket, this.#pace(), this.#world, this.#run.clock, this.#random);
    this.#served.push(server);
    server.start(0);
  }

  shut(): void {}

  turned(run: Run): void {
    checkHttp(run);
  }

  // ---- records ----

  record(kind: RecordKind): void {
    if (kind === RecordKind.Bug) this.#bugs++;
    const isLine = kind === RecordKind.Request || kind === RecordKind.Access;
    must(!isLine, "a record of a request instead of its line");
  }

  line(line: string): void {
    const { client, target, status, reason } = JSON.parse(line) as AccessLine;
    if (reason === REASONS[Reason.LimitReached].name) {
      this.#refused++;
      return;
    }
    const connection = this.connections.find(({ number }) => client === `10.0.0.200:${number}`);
    must(connection !== undefined, `a record of nobody: ${client}`);
    if (target === undefined) {
      const isOpen = connection.client.socket.session?.open === true;
      must(!isOpen, `client ${connection.number}: a record of its connection`);
      return;
    }
    this.#records++;
    const request = connection.client.requests[connection.recorded++];
    must(
      request !== undefined && request.begunMs >= 0,
      `client ${connection.number}: more records than requests`,
    );
    const told = `request ${request.id} (${reason})`;
    must(target === null || target.endsWith(`/${request.id}`), `${told}: its record is of ${target}`);
    const code = REASONS.findIndex(({ name }) => name === reason);
    this.#recorded[code]++;
    request.record = {
      reason: code,
      status: status ?? 0,
      atMs: this.#run.clock.nowMs,
    };
    if (this.#run.stage !== "running") connection.endedByUs = true;
    this.#checkTimeout(told, connection, request);
  }

  /** Who is said to have been silent for too long was. */
  #checkTimeout(told: string, { client }: Connection, request: Request): void {
    const { listeners: [{ http: listener }], upstreams: [{ http: upstream }] } = this.#spec;
    const nowMs = this.#run.clock.nowMs, attempt = request.attempts.at(-1);
    const { bodyStallMs, requestHeadMs, clientIdleMs } = listener!, { answerMs, serverIdleMs } = upstream!;
    // A deadline counts from the start of the turn in which something moved.
    const early = TICKS_MS + this.#run.longestTurnMs;
    const silentFor = (sinceMs: number, limitMs: number) =>
      must(nowMs - sinceMs >= limitMs - early, `${told}: after ${nowMs - sinceMs} of ${limitMs} ms`);
    switch (request.record!.reason) {
      case Reason.RequestTimeout:
        if (client.stalled) return; // its record waits until it has read what it was told
        if (attempt === undefined) {
          const isWhole = client.hasSent && request.refusal === 0 && client.trouble === Trouble.None;
          must(!isWhole, `${told}: all of it was sent`);
          return silentFor(request.begunMs, Math.min(requestHeadMs, bodyStallMs));
        }
        must(client.socket.unread === 0, `${told}: what the client sent was not read`);
        return silentFor(client.lastSentMs, Math.min(answerMs, bodyStallMs, serverIdleMs));
      case Reason.AnswerTimeout: {
        const server = this.#served.findLast(({ attempts }) => attempts.includes(attempt!));
        if (server === undefined) return must(client.trouble !== Trouble.None, `${told}: no server had it`);
        must(attempt!.narrow || server.socket.unread === 0, `${told}: what the server sent was not read`);
        // A head that drips, or an interim one, gives no more time.
        const hasBegun = request.told?.attempt !== undefined;
        const sinceMs = Math.max(hasBegun ? server.lastSentMs : 0, server.lastToldMs);
        return silentFor(sinceMs, Math.min(answerMs, bodyStallMs, serverIdleMs));
      }
      case Reason.ExchangeTimeout:
        must(listener!.exchangeMs > 0, `${told}: there is no such limit`);
        // Its line may be whole long before the rest of its head is, or it waits its turn in the pipeline.
        return must(
          this.#run.clock.nowMs - request.begunMs >= listener!.exchangeMs - early,
          `${told}: after ${nowMs - request.begunMs} of ${listener!.exchangeMs} ms`,
        );
      case Reason.WriteTimeout:
        return silentFor(client.lastToldMs, Math.min(clientIdleMs, bodyStallMs, serverIdleMs, answerMs));
    }
  }

  died(): void {
    for (const connection of this.connections) {
      if (connection.adopted && !connection.client.socket.closed) connection.died = true;
    }
  }

  // ---- what must have come of it ----

  /** What has a record is counted by its reason; connections that end between requests are counted besides. */
  #checkEnded(ended: Float64Array): void {
    let silent = 0;
    for (const [reason, { name }] of REASONS.entries()) {
      if (reason === Reason.ReactorDied || reason === Reason.LimitReached) continue;
      const untold = ended[reason] - this.#recorded[reason];
      const isUnhanded = reason === Reason.OutOfResources && this.weather.scarce > 0;
      must(
        untold === 0 || (untold > 0 && (SILENT.has(reason) || isUnhanded)),
        `${untold} ended by ${name} and have no record`,
      );
      if (!isUnhanded) silent += untold;
    }
    must(silent <= this.connections.length, `${silent} connections ended between requests`);
  }

  isThrough(run: Run): boolean {
    const open = this.connections.filter(({ client }) => !client.socket.closed);
    if (open.length === 0 && this.connections.length === CLIENTS) return true;
    if (!run.isQuiet) return false;
    for (const { number, adopted, client } of open) {
      must(adopted || this.climate.scarce, `stall: client ${number} waits to be accepted`);
      const isTunnel = client.switched !== undefined && this.#spec.listeners[0].idleMs === 0;
      must(!adopted || isTunnel, `stall: client ${number} is not through`);
    }
    return true;
  }

  check(run: Run): void {
    const { stats, kernel } = run;
    for (const connection of this.connections) checkConnection(this.climate, connection);
    const lost = run.lost.filter(({ hadRequest }) => hadRequest).length;
    const begun = stats.count[Count.Requests];
    must(this.#records + lost === begun, `${begun} requests begun, ${this.#records} recorded, ${lost} lost`);
    this.#checkEnded(stats.ended);
    must(stats.ended[Reason.LimitReached] >= this.#refused, "a refused newcomer has two records");
    must(this.#bugs === kernel.bugs, `${kernel.bugs} bugs staged, ${this.#bugs} contained`);
    for (const { name, socket } of this.#served) must(socket.closed, `${name}: its socket is open`);
  }
}
