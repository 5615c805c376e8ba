// Clients and servers with a reactor between them: what they say, how they misbehave, what the control
// plane changes meanwhile; and what both must have seen in the end.
import { type Plan, SendProxy } from "../../src/plan/plan.ts";
import { exDown, exFlags, exState, exUp } from "../../src/proxy/exchanges.ts";
import { isRefusal } from "../../src/proxy/refusals.ts";
import { RecordKind } from "../../src/shared/log_ring.ts";
import { Reason, REASONS } from "../../src/shared/reason.ts";
import { reactorCurrent, Verdict } from "../../src/shared/servers.ts";
import { Count } from "../../src/shared/stats.ts";
import { ExFlag, ExState, type TableSizes } from "../../src/shared/tables.ts";
import {
  EACCES,
  EADDRNOTAVAIL,
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EHOSTUNREACH,
  ENETUNREACH,
  ENOBUFS,
  ENODEV,
  ENOENT,
  ETIMEDOUT,
} from "../../src/sys/errno.ts";
import { arenaBytes, sys } from "../../src/sys/sys.ts";
import { ARENA_SCRATCH, BLOCKS_MAX, NONE, PEER_BYTES } from "../../src/base/limits.ts";
import { PROXIED, sealed, v2 } from "../proto/proxy_fixture.ts";
import { type Dialogue, Dice, someFate, weatherOf } from "./dice.ts";
import type { Weather } from "./kernel.ts";
import { checkPace, someLimits } from "./paced.ts";
import { Peer, Trouble } from "./peer.ts";
import {
  buildPlan,
  type GuardSpec,
  ipAddress,
  type PlanSpec,
  type ProxySpec,
  someBalance,
  type TlsSpec,
  unixAddress,
} from "./plans.ts";
import type { Random } from "./random.ts";
import { must, OTHER_ROOM, ROOM, type Run, type Scenario } from "./run.ts";
import { Socket } from "./socket.ts";

export const CONNECTIONS = 50;
const ARRIVE_WITHIN_MS = 2_000;
const BACKLOG = 40;
/** A client whose SYN found the queue full. */
const KNOCK_AGAIN_MS = 300;
const KNOCKS_MAX = 8;
const TLS_SALT = 0x715;
const PROXY_SALT = 0x9407;
/** The least that a socket takes in before which a header must be whole: as Linux has it, not a byte. */
const HEADER_ROOM = 256;
const PACE_SALT = 0xace;
/** Bytes per second of a connection that is limited. */
const PACE_LEAST = 40_000;
const PACE_MOST = 4_000_000;
const BALANCE_SALT = 0xba1;
const LIMITS_SALT = 0x11f1;
const GUARD_SALT = 0x6a7d;

type ServerMood = "well" | "slow" | "refuses" | "silent" | "unreachable" | "portless";

interface Server {
  readonly address: Uint8Array;
  readonly isUnix: boolean;
  mood: ServerMood;
}

interface Connection {
  readonly number: number;
  readonly listener: number;
  readonly client: Peer;
  readonly dialogue: Dialogue;
  readonly tried: Set<number>;
  server: Peer | undefined;
  /** The sockets of its server's side that were given up, or are not yet there. */
  attempts: Socket[];
  adopted: boolean;
  adoptedMs: number;
  /** It was open when its reactor died. */
  died: boolean;
  /** It was there when all were told to end. */
  endedByUs: boolean;
  reason: Reason;
}

/** What is looked at of a line of the access log. */
interface AccessLine {
  readonly client: string | null;
  readonly up_bytes: number;
  readonly down_bytes: number;
  readonly tried: number;
  readonly reason: string;
}

export class Traffic implements Scenario {
  readonly role = "reactor";
  readonly weather: Weather;
  readonly sizes: TableSizes;
  readonly maxConnections: number;
  readonly blocks: number;
  readonly handTo: readonly number[];
  readonly listeners: readonly number[];
  readonly connections: Connection[] = [];
  readonly #random: Random;
  readonly #servers: Server[];
  readonly #spec: PlanSpec;
  readonly #bySlot = new Map<number, Connection>();
  readonly #dice: Dice;
  /** What TLS is about has chances of its own: runs without are as they were before there was any. */
  readonly #tls: Random;
  /** The same of PROXY headers. */
  readonly #proxy: Random;
  /** So do limits: of silence, of stalls, of connections to a server. */
  readonly #limits: Random;
  /** Nothing changes on the way. */
  readonly #steady: boolean;
  #plan: Plan;
  #run!: Run;
  #bugs = 0;
  #refused = 0;
  /** Told to have been refused by a limit; of many, some are told. */
  #turnedAway = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#dice = new Dice(random);
    this.#tls = random.fork(TLS_SALT);
    this.#proxy = random.fork(PROXY_SALT);
    this.#limits = random.fork(LIMITS_SALT);
    this.#steady = random.oneIn(2);
    this.maxConnections = random.pick([3, 20, 200, 200]);
    this.blocks = random.pick([1, 2, 6, BLOCKS_MAX - 1, BLOCKS_MAX - 1]);
    this.handTo = random.oneIn(6) ? [ROOM, OTHER_ROOM] : [ROOM];
    this.listeners = random.oneIn(2) ? [0] : [0, 1];
    this.weather = weatherOf(random);
    const slots = random.oneIn(8)
      ? random.between(6, 30)
      : 2 * this.maxConnections + (this.maxConnections >>> 3) + 64;
    this.sizes = {
      slots,
      exchanges: this.maxConnections + 1,
      timers: slots,
      pipes: random.pick([2, 3, 9, 257]),
    };
    const sick = random.pick([0, 0, 3, 8]);
    this.#servers = Array.from({ length: random.between(1, 6) }, (_, index) => {
      const isUnix = random.oneIn(6);
      return {
        address: isUnix ? unixAddress(index + 1) : ipAddress(10, index + 1, 80),
        isUnix,
        mood: sick > 0 && random.oneIn(10 - sick) ? this.#someMood() : "well",
      };
    });
    const idleMs = random.pick([0, 0, 1_500, 4_000]);
    const upstreams = random.oneIn(2) ? 1 : 2;
    const ms = () => this.#limits.pick([0, 0, 400, 1_500, 5_000]);
    const limited = this.#limits.oneIn(3), bounded = this.#limits.oneIn(2);
    const ofListener = bounded ? { silenceMs: ms(), stallMs: ms(), halfMs: ms() } : {};
    const ofUpstream = {
      ...(bounded ? { silenceMs: ms(), stallMs: ms() } : {}),
      queueMs: this.#limits.pick([200, 2_000]),
    };
    const pace = random.fork(PACE_SALT);
    this.#spec = {
      generation: 1,
      listeners: this.listeners.map((index) => {
        const limits = someLimits(pace, PACE_LEAST, PACE_MOST, [8]);
        return { upstream: 1 + index % upstreams, idleMs, ...ofListener, limits };
      }),
      upstreams: Array.from({ length: upstreams }, () => ({
        servers: this.#someServers(),
        connectMs: random.pick([200, 1_000, 3_000]),
        ...ofUpstream,
      })),
      ...(limited ? { connectionsMax: this.#limits.pick([1, 2, 7]) } : {}),
      addresses: [undefined, ...this.#servers.map(({ address }) => address)],
      probes: [],
      tls: this.#someTls(),
      proxy: this.#someProxy(upstreams),
      balance: someBalance(random.fork(BALANCE_SALT), this.#servers.length),
      guard: this.#someGuard(random.fork(GUARD_SALT)),
    };
    this.#plan = buildPlan(this.#spec);
  }

  /** In a third of the runs some speak TLS. */
  #someTls(): TlsSpec | undefined {
    const random = this.#tls;
    if (!random.oneIn(3)) return undefined;
    const some = (count: number) =>
      new Set(Array.from({ length: count }, (_, index) => index + 1).filter(() => random.oneIn(2)));
    return {
      listeners: some(this.listeners.length),
      servers: some(this.#servers.length),
      handshakeMs: random.pick([300, 2_000]),
    };
  }

  /** In a third of the runs some are behind a proxy, or before servers who want to know of their clients. */
  #someProxy(upstreams: number): ProxySpec | undefined {
    const random = this.#proxy;
    if (!random.oneIn(3)) return undefined;
    const some = (count: number) =>
      Array.from({ length: count }, (_, index) => index + 1).filter(() => random.oneIn(2));
    const sends = [SendProxy.V1, SendProxy.V2, SendProxy.V2 | SendProxy.Checksum];
    return {
      listeners: new Set(some(this.listeners.length)),
      upstreams: new Map(some(upstreams).map((upstream) => [upstream, random.pick(sends)])),
      headerMs: random.pick([300, 5_000]),
    };
  }

  #isIntroduced(listener: number): boolean {
    return this.#spec.proxy?.listeners.has(listener + 1) === true;
  }

  /** In half of the runs clients are counted, in some of those until there are too many. */
  #someGuard(random: Random): GuardSpec | undefined {
    if (random.oneIn(2)) return undefined;
    return { connections: random.pick([0, 0, 4, 30]), perSource: random.pick([0, 1, 3, 25]) };
  }

  plan(): Plan {
    return this.#plan;
  }

  // ---- the world's doings ----

  start(run: Run): void {
    this.#run = run;
    const random = this.#random;
    for (const listener of this.listeners) {
      arenaBytes.set(ipAddress(127, 1, 8000 + listener), ARENA_SCRATCH);
      must(sys.listen(listener, ARENA_SCRATCH, 0, BACKLOG, 0) === 0, "cannot listen");
    }
    const within = random.pick([0, 100, ARRIVE_WITHIN_MS]);
    for (let number = 1; number <= CONNECTIONS; number++) {
      run.clock.in(random.below(within + 1), () => this.#arrive(this.#make(number)));
    }
    if (this.#steady) return;
    for (let change = random.between(1, 12); change > 0; change--) {
      run.clock.in(random.below(ARRIVE_WITHIN_MS), () => this.#change());
    }
    if (random.oneIn(12)) {
      run.clock.in(random.below(ARRIVE_WITHIN_MS), () => {
        for (const connection of this.connections) connection.endedByUs = true;
        run.tell({ kind: "end-all" });
      });
    }
    run.operate(ARRIVE_WITHIN_MS, () => {
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
        const spec = {
          ...this.#spec,
          generation: this.#plan.generation + 1,
          upstreams: this.#spec.upstreams.map((upstream) => ({ ...upstream, servers: this.#someServers() })),
        };
        this.#plan = buildPlan(spec);
        return this.#run.tell({ kind: "plan", plan: this.#plan.memory });
      }
      default:
        shared.serverVerdict[server + 1] = random.pick([Verdict.Unchecked, Verdict.Up, Verdict.Down]);
        Atomics.add(shared.verdictVersion, 0, 1);
    }
  }

  #make(number: number): Connection {
    const random = this.#random;
    const dialogue = this.#dice.dialogue();
    const { up, down, client } = dialogue;
    let socket = this.#dice.socket(dialogue, false);
    const fate = someFate(this.#tls), listener = random.pick(this.listeners);
    const isIntroduced = this.#isIntroduced(listener);
    if (isIntroduced) socket = new Socket(Math.max(HEADER_ROOM, socket.rxMax), socket.txMax, false);
    socket.fate = fate;
    const peer = new Peer(`client ${number}`, socket, up, down, client, this.#run.clock, random);
    if (isIntroduced) peer.preamble = introductionOf(number, this.#proxy.oneIn(2));
    const connection: Connection = {
      number,
      listener,
      client: peer,
      dialogue,
      tried: new Set(),
      server: undefined,
      attempts: [],
      adopted: false,
      adoptedMs: 0,
      died: false,
      endedByUs: false,
      reason: Reason.None,
    };
    this.connections.push(connection);
    return connection;
  }

  #arrive(connection: Connection, knocks = 1): void {
    const { client, listener, number } = connection;
    const waiting = { socket: client.socket, peer: ipAddress(10, 200, number).slice(0, PEER_BYTES) };
    if (this.#run.kernel.knock(listener, waiting)) client.start(0);
    else if (knocks < KNOCKS_MAX) {
      this.#run.clock.in(KNOCK_AGAIN_MS, () => this.#arrive(connection, knocks + 1));
    } else client.vanished = client.socket.closed = true;
  }

  adopted(socket: Socket, slot: number): void {
    const connection = this.connections.find(({ client }) => client.socket === socket)!;
    connection.adopted = true;
    connection.adoptedMs = this.#run.clock.nowMs;
    this.#bySlot.set(slot, connection);
  }

  connect(run: Run, address: Uint8Array, _slot: number): Socket | number {
    const index = this.#servers.findIndex((server) =>
      Buffer.compare(server.address, address) === 0 ||
      (!server.isUnix &&
        Buffer.compare(server.address.subarray(0, PEER_BYTES), address.subarray(0, PEER_BYTES)) === 0)
    );
    must(index >= 0, "connects to an address that no server has");
    const connection = this.#connecting();
    const again = this.#spec.connectionsMax !== undefined; // from the queue the one that refused is asked again
    const isNew = again || !connection.tried.has(index);
    must(isNew, `connection ${connection.number}: server ${index + 1} is tried twice`);
    connection.tried.add(index);
    const random = this.#random, { mood, isUnix } = this.#servers[index];
    if (isUnix && mood !== "well") return random.pick([ENOENT, ECONNREFUSED, EAGAIN, EACCES]);
    if (mood === "portless") return random.pick([EADDRNOTAVAIL, ENOBUFS, ENODEV]);
    if (mood === "refuses" && random.oneIn(2)) return ECONNREFUSED;
    if (mood === "unreachable" && random.oneIn(2)) return random.pick([ENETUNREACH, EHOSTUNREACH]);

    const socket = this.#dice.socket(connection.dialogue, !isUnix);
    socket.fate = someFate(this.#tls);
    connection.attempts.push(socket);
    connection.server = undefined; // one that was given up in its handshake
    socket.pieces = isUnix;
    if (isUnix) this.#serve(connection, socket);
    else if (mood === "well" || mood === "slow") {
      run.clock.in(mood === "well" ? random.below(20) : random.below(4_000), () => {
        socket.established();
        if (!socket.closed) this.#serve(connection, socket);
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

  /** The one exchange that is about to connect: those who have got a place have not come to it yet. */
  #connecting(): Connection {
    for (let ex = 1; ex < exState.length; ex++) {
      if (exState[ex] !== ExState.Connect || exUp[ex] !== NONE || exFlags[ex] & ExFlag.Granted) continue;
      return this.#bySlot.get(exDown[ex])!;
    }
    throw new Error("a connect without an exchange");
  }

  #serve(connection: Connection, socket: Socket): void {
    const { dialogue: { up, down, server }, number } = connection;
    const random = this.#random;
    const peer = new Peer(`server of ${number}`, socket, down, up, server, this.#run.clock, random);
    const sends = this.#spec.proxy?.upstreams.get(this.#spec.listeners[connection.listener].upstream) ?? 0;
    peer.greeting = greetingOf(number, sends, this.#isIntroduced(connection.listener));
    peer.start(random.oneIn(4) ? random.below(500) : 0);
    if (connection.attempts.at(-1) === socket) connection.server = peer; // else it was given up already
  }

  /** An end of stream is passed on only when it was read: after a reset there is none. */
  shut(socket: Socket): void {
    for (const { client, server, number } of this.connections) {
      if (server === undefined || (client.socket !== socket && server.socket !== socket)) continue;
      const from = client.socket === socket ? server : client;
      const wasRead = from.socket.finIn && from.socket.unread === 0;
      must(wasRead, `connection ${number}: an end of stream is passed on that ${from.name} did not send`);
    }
  }

  record(kind: RecordKind): void {
    must(kind !== RecordKind.Access, "a record of a connection instead of its line");
    if (kind === RecordKind.Bug) this.#bugs++;
  }

  line(line: string): void {
    const told = JSON.parse(line) as AccessLine;
    const reason: Reason = REASONS.findIndex(({ name }) => name === told.reason);
    if (reason === Reason.LimitReached) {
      this.#refused++;
      return;
    }
    const connection = this.connections.find(({ number }) => told.client!.endsWith(`:${number}`));
    must(connection !== undefined, "a line of nobody");
    must(connection.reason === Reason.None, `connection ${connection.number}: two lines`);
    connection.reason = reason;
    if (isRefusal(reason)) {
      must(this.#spec.guard !== undefined, "somebody is refused, and there is no limit");
      // Once by the socket's address, and once more by the one that its header told.
      const isKnown = this.#isIntroduced(connection.listener);
      must(isKnown || !connection.adopted, `connection ${connection.number}: it was let in, and refused`);
      if (!connection.adopted) this.#turnedAway++;
      return;
    }
    this.#checkDeadline(connection, told);
    if (this.#run.stage !== "running") connection.endedByUs = true;
    const { client, server } = connection;
    if (reason === Reason.Finished && this.#isIntroduced(connection.listener)) {
      must(
        told.client === `${INTRODUCED}:${connection.number}`,
        `connection ${connection.number}: of somebody else`,
      );
    }
    must(told.up_bytes <= client.sent, `connection ${connection.number}: read more than was sent`);
    if (server !== undefined) {
      must(told.down_bytes <= server.sent, `connection ${connection.number}: read more than was sent`);
    }
    if (this.#spec.connectionsMax !== undefined) return;
    must(told.tried >= connection.tried.size, `connection ${connection.number}: tried more than it says`);
  }

  /** Ended by a deadline: that is a limit which it has, it was not reached too early, and what it is about is so. */
  #checkDeadline({ number, listener, client, server, reason }: Connection, told: AccessLine): void {
    const own = this.#spec.listeners[listener], upstream = this.#spec.upstreams[own.upstream - 1];
    const touchedMs = Math.max(client.socket.touchedMs, server?.socket.touchedMs ?? 0);
    const name = `connection ${number} (${REASONS[reason].name})`;
    const after = (limitMs: number, sinceMs: number) => {
      const ms = this.#run.clock.nowMs - sinceMs;
      must(limitMs > 0, `${name}: ended without a limit`);
      must(ms >= limitMs - 1, `${name}: ended after ${ms} of ${limitMs} ms`);
    };
    switch (reason) {
      case Reason.TunnelIdle:
        return after(own.idleMs, touchedMs);
      case Reason.ClientIdle:
        must(
          told.up_bytes === 0 || told.down_bytes > 0 || server?.finSent === true,
          `${name}: it was the server's turn`,
        );
        return after(own.silenceMs ?? 0, touchedMs);
      case Reason.ServerIdle:
        must(told.up_bytes > 0 || client.finSent, `${name}: nobody asked the server anything`);
        return after(upstream.silenceMs ?? 0, touchedMs);
      case Reason.HalfClosed:
        must(client.finSent || server?.finSent === true, `${name}: nobody has ended its stream`);
        return after(own.halfMs ?? 0, touchedMs);
      case Reason.WriteStall:
        must(told.down_bytes > client.received, `${name}: there is nothing for the client`);
        return after(own.stallMs ?? 0, client.socket.tookMs - this.#run.longestTurnMs); // reactors know when a turn began
      case Reason.ServerWriteStall:
        must(
          server !== undefined && told.up_bytes > server.received,
          `${name}: there is nothing for the server`,
        );
        return after(upstream.stallMs ?? 0, (server?.socket.tookMs ?? 0) - this.#run.longestTurnMs);
      case Reason.QueueFull:
      case Reason.QueueTimeout:
        return must(this.#spec.connectionsMax !== undefined, `${name}: it has nothing to wait for`);
    }
  }

  died(): void {
    for (const connection of this.connections) {
      if (connection.adopted && !connection.client.socket.closed) connection.died = true;
      const { server } = connection;
      if (server !== undefined && !server.socket.closed) connection.died = true;
    }
    this.#bySlot.clear();
  }

  // ---- what must have come of it ----

  turned(run: Run): void {
    this.#spec.listeners.forEach(({ limits = {} }, listener) => {
      const { "bandwidth-per-connection": each, "bandwidth-per-source": some, bandwidth: all } = limits;
      if ((each ?? some ?? all) === undefined) return;
      let up = 0, down = 0, firstMs = Infinity;
      for (const connection of this.connections) {
        if (connection.listener !== listener || !connection.adopted) continue;
        const { number, client, server, adoptedMs } = connection;
        const ms = run.clock.nowMs - adoptedMs, told = `connection ${number}`;
        firstMs = Math.min(firstMs, adoptedMs);
        up += server?.received ?? 0;
        // What a server said before it broke is delivered at once.
        if (server === undefined || server.resetSent || server.vanished) continue;
        down += client.received;
        checkPace(told, each?.up, server.received, ms);
        checkPace(told, each?.down, client.received, ms);
      }
      if (firstMs === Infinity) return;
      const ms = run.clock.nowMs - firstMs, told = `listener ${listener + 1}`;
      for (const together of [some, all]) { // all clients are one source
        checkPace(told, together?.up, up, ms);
        checkPace(told, together?.down, down, ms);
      }
    });
  }

  isThrough(run: Run): boolean {
    if (this.connections.every(({ client }) => client.socket.closed)) return true;
    if (!run.isQuiet) return false;
    this.#checkNoStall(run);
    return true;
  }

  #checkNoStall(run: Run): void {
    const { kernel, shared } = run;
    const open = this.handTo.reduce((sum, room) => sum + reactorCurrent(shared, room), 0);
    const isFull = open >= this.maxConnections || kernel.fdCount >= this.weather.fds;
    for (const { number, adopted, client, server, listener } of this.connections) {
      if (client.socket.closed) continue;
      if (!adopted) {
        must(isFull, `stall: client ${number} waits to be accepted, though there is room`);
        continue;
      }
      const vanished = client.vanished || server?.vanished === true;
      must(vanished, `stall: connection ${number} is not through, though both its peers are there`);
      const { idleMs } = this.#spec.listeners[listener];
      must(idleMs === 0, `stall: connection ${number} has outlived its idle limit`);
    }
  }

  check(run: Run): void {
    const { stats, kernel } = run;
    let records = 0;
    for (const connection of this.connections) {
      if (connection.reason !== Reason.None) records++;
      this.#checkConnection(connection);
    }
    const opened = stats.count[Count.Opened], lost = run.lost.length;
    records -= this.#turnedAway;
    // Of those that are refused by whom their header told, some have a line.
    const { guard, proxy } = this.#spec, some = guard !== undefined && (proxy?.listeners.size ?? 0) > 0;
    const isWhole = records + lost === opened || (some && records + lost < opened);
    must(isWhole, `${opened} connections opened, ${records} lines, ${lost} lost`);
    const ended = stats.ended.reduce((sum, count) => sum + count, 0);
    must(stats.ended[Reason.LimitReached] >= this.#refused, "a refused newcomer has two lines");
    const expected = kernel.accepted - run.elsewhere - run.unhanded;
    must(ended === expected, `${kernel.accepted} connections accepted, ${ended} ended, ${expected} expected`);
    const counted = run.sources.sourceConnections.reduce((sum, count) => sum + Math.abs(count), 0);
    must(counted === 0, `${counted} connections are counted for sources, and nobody is there`);
    must(this.#bugs === kernel.bugs, `${kernel.bugs} bugs staged, ${this.#bugs} contained`);
  }

  #checkConnection(connection: Connection): void {
    const { number, client, reason } = connection;
    const server = UNSERVED.has(reason) ? undefined : connection.server;
    if (!connection.adopted || connection.died) return;
    const told = `connection ${number} (${REASONS[reason].name})`;
    must(client.socket.closed, `${told}: the client's socket is open`);
    for (const socket of connection.attempts) {
      must(socket.closed, `${told}: a server's socket is open`);
      if (socket !== server?.socket) {
        must(socket.rx.length === 0 || !socket.finOut, `${told}: a given-up connect ended well`);
      }
    }
    this.#checkHandshake(connection, told);
    const byUs = connection.endedByUs || BY_US.has(reason);
    if (server !== undefined && reason !== Reason.Bug) {
      if (!byUs) checkPassedOn(told, client, server), checkPassedOn(told, server, client);
      const isClean = isPolite(client) && isPolite(server);
      if (isClean && !byUs) checkComplete(told, client, server, reason);
    } else if (server === undefined && !byUs && isPolite(client)) {
      const isReset = client.socket.resetOut || !REASONS[reason].reset;
      must(isReset, `${told}: nobody served the client, and it got no reset`);
      if (this.#steady && this.weather.fds > 500) this.#checkAllTried(connection, told);
    }
  }

  /** A handshake that cannot end well ends by what is wrong with it, and no other does. */
  #checkHandshake({ client, listener, reason, endedByUs }: Connection, told: string): void {
    const { fate: { handshake }, session } = client.socket;
    const isSealed = this.#spec.tls?.listeners.has(listener + 1) === true;
    if (SHAKEN.has(reason)) must(isSealed && handshake === "fails", `${told}: its handshake would have done`);
    if (reason === Reason.HandshakeTimeout) must(isSealed, `${told}: it has no handshake`);
    if (reason === Reason.NoCertificate) must(session?.asked === true, `${told}: it has a certificate`);
    if (!isSealed || handshake === "well" || session === undefined || session.asked) return;
    if (endedByUs || reason === Reason.Bug || reason === Reason.OutOfResources || !isPolite(client)) return;
    must(
      SHAKEN.has(reason) || reason === Reason.HandshakeTimeout,
      `${told}: its handshake cannot have ended`,
    );
  }

  /** No server was left: then all of them were tried. Only where nothing changed meanwhile. */
  #checkAllTried({ tried, client, listener, reason }: Connection, told: string): void {
    if (reason === Reason.Bug || reason === Reason.None || this.#spec.connectionsMax !== undefined) return;
    const isSealed = this.#spec.tls?.listeners.has(listener + 1) === true;
    if (isSealed && client.socket.session?.open !== true) return; // it came no further than its handshake
    if (this.#isIntroduced(listener) && tried.size === 0) return; // no further than its header
    const { servers } = this.#spec.upstreams[this.#spec.listeners[listener].upstream - 1];
    const slotsWereShort = this.sizes.slots < 2 * CONNECTIONS;
    must(
      tried.size === servers.length || slotsWereShort,
      `${told}: ${tried.size} of ${servers.length} servers were tried`,
    );
  }

  // ---- what the dice say ----

  #someMood(): ServerMood {
    return this.#random.pick(["slow", "refuses", "silent", "unreachable", "portless"]);
  }

  #someServers(): number[] {
    const all = this.#servers.map((_, index) => index + 1);
    this.#random.shuffle(all);
    return all.slice(0, this.#random.oneIn(15) ? 0 : this.#random.between(1, all.length));
  }
}

/** Whom headers tell; its port is the connection's number. */
const INTRODUCED = "192.0.2.1";
const TO = "198.51.100.7";
const ADDRESSES = [192, 0, 2, 1, 198, 51, 100, 7];

/** The header that a client begins with, of either version. */
function introductionOf(number: number, isOld: boolean): Uint8Array {
  return isOld
    ? new TextEncoder().encode(`PROXY TCP4 ${INTRODUCED} ${TO} ${number} 443\r\n`)
    : v2(PROXIED, 0x11, [...ADDRESSES, number >> 8, number & 255, 1, 187]);
}

/** What a server hears first of such a client; of another nothing is known here but that it has one. */
function greetingOf(number: number, sends: number, isIntroduced: boolean): Uint8Array {
  if (sends === SendProxy.Off) return new Uint8Array(0);
  if (sends === SendProxy.V1) {
    return isIntroduced ? introductionOf(number, true) : new TextEncoder().encode("PROXY UNKNOWN\r\n");
  }
  const write = (sends & SendProxy.Checksum) === 0 ? v2 : sealed;
  return isIntroduced
    ? write(PROXIED, 0x11, [...ADDRESSES, number >> 8, number & 255, 1, 187])
    : write(PROXIED, 0, []);
}

/** No server was reached, as far as Sluice could know: one may have answered in the moment of giving up. */
const UNSERVED: ReadonlySet<Reason> = new Set([
  Reason.ConnectionRefused,
  Reason.ConnectionTimeout,
  Reason.Unroutable,
  Reason.DestinationUnavailable,
  Reason.OutOfResources,
  Reason.NoSource,
  Reason.ServerTls,
  Reason.ServerAlert,
  Reason.ServerHandshakeTimeout,
  Reason.QueueTimeout,
  Reason.QueueFull,
]);

/** What we end, whatever its ends have to say. */
const BY_US: ReadonlySet<Reason> = new Set([
  Reason.TunnelIdle,
  Reason.ClientIdle,
  Reason.ServerIdle,
  Reason.WriteStall,
  Reason.ServerWriteStall,
  Reason.HalfClosed,
  Reason.Drained,
  Reason.ClosedByOperator,
]);

/** By these a client's handshake ends that fails. */
const SHAKEN: ReadonlySet<Reason> = new Set([Reason.NotTls, Reason.ClientAlert, Reason.HandshakeFailed]);

/** It neither reset nor left: what it was sent it would have read. */
function isPolite(peer: Peer): boolean {
  return peer.manner.trouble === Trouble.None || peer.manner.trouble === Trouble.Stall;
}

/** What `from` did to its stream is what `to` has seen of it. */
function checkPassedOn(told: string, from: Peer, to: Peer): void {
  const sawFin = to.socket.finOut || to.finSeen, sawReset = to.socket.resetOut;
  const complete = from.finSent && (to.received === from.sent || !isPolite(to));
  if (sawFin) must(complete, `${told}: ${to.name} saw an end of stream that ${from.name} did not send`);
  if (!from.resetSent || to.resetSent || to.socket.broken !== sawReset) return;
  const wasOver = from.finSent && to.finSent;
  if (!wasOver) must(sawReset, `${told}: ${from.name} reset, and ${to.name} was not told`);
}

/** Nobody misbehaved: everything has arrived, both ways, and nothing was reset. */
function checkComplete(told: string, client: Peer, server: Peer, reason: Reason): void {
  for (const [from, to] of [[client, server], [server, client]]) {
    must(!to.socket.resetOut, `${told}: ${to.name} was reset for nothing`);
    must(
      to.received === from.outgoing.length,
      `${told}: ${to.name} got ${to.received} of ${from.outgoing.length} bytes`,
    );
    must(to.finSeen, `${told}: ${to.name} did not see the end of the stream`);
  }
  must(reason === Reason.Finished, `${told}: it did not say that it finished`);
}
