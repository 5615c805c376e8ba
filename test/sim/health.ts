// The health role: checks of servers that change their mind, and what must be known of each in the end.
import { ARENA_SCRATCH } from "../../src/base/limits.ts";
import { type Plan, ProbeKind } from "../../src/plan/plan.ts";
import { Field, RecordKind } from "../../src/shared/log_ring.ts";
import { Reason } from "../../src/shared/reason.ts";
import { Verdict } from "../../src/shared/servers.ts";
import type { TableSizes } from "../../src/shared/tables.ts";
import { ECONNREFUSED, EHOSTUNREACH, ENOENT } from "../../src/sys/errno.ts";
import { arenaBytes } from "../../src/sys/sys.ts";
import type { Weather } from "./kernel.ts";
import { type Manner, Peer, Trouble } from "./peer.ts";
import { buildPlan, ipAddress, type PlanSpec, type ProbeSpec, unixAddress } from "./plans.ts";
import type { Random } from "./random.ts";
import { type Memory, must, type Run, type Scenario } from "./run.ts";
import { Socket } from "./socket.ts";

const CHECKS = 50;
/** The last change of mind, and when everything must be known. */
const CHANGES_UNTIL_MS = 8_000;
const KNOWN_AFTER_MS = 45_000;
/** A deadline is late by at most two ticks, and by a poll. */
const LATE_MS = 400;

/** "well" and "slow" answer as expected; all from "mute" on can be connected to. */
const MINDS = ["refuses", "silent", "resets", "mute", "wrong", "talks", "slow", "well"] as const;
type Mind = (typeof MINDS)[number];

interface Server {
  readonly address: Uint8Array;
  readonly isUnix: boolean;
  readonly probe: ProbeSpec;
  mind: Mind;
  /** It was of one mind from the start. */
  steady: boolean;
  checks: number;
  verdict: Verdict;
}

const text = (words: string): Uint8Array => new TextEncoder().encode(words);
const PING = text("PING\n"),
  PONG = text("PONG"),
  ANSWER = text("hello PONG, and more"),
  NOPE = text("POPING");
const CHATTER = new Uint8Array(9_000).fill(0x2e);
const PATTERN = text("P[OQ]NG, .* m");

let pattern = 0;

export class Health implements Scenario {
  readonly role = "health";
  readonly weather: Weather;
  readonly sizes: TableSizes;
  readonly maxConnections = 0;
  readonly blocks: number;
  readonly handTo = [];
  readonly listeners = [];
  readonly #random: Random;
  readonly #memory: Memory;
  readonly #servers: Server[] = [];
  #wanted: ReadonlySet<Server> = new Set();
  #generation = 1;
  #plan!: Plan;
  #run!: Run;

  constructor(random: Random, memory: Memory) {
    this.#random = random;
    this.#memory = memory;
    const some = (...choices: number[]): number => random.pick(choices);
    this.weather = {
      fds: 10_000,
      spurious: some(0, 8),
      short: some(0, 3),
      stale: some(0, 3),
      disorder: some(0, 2),
      signal: some(0, 20),
      scarce: 0,
      pipeTrouble: 0,
      callMs: some(0, 0.1),
      deathAfter: some(0, 0, 0, random.between(1, 4_000)),
      bugAfter: 0,
    };
    const exchanges = some(12, 100);
    this.sizes = { slots: 2 * exchanges, exchanges, timers: 2 * exchanges + CHECKS + 1, pipes: 2 };
    this.blocks = exchanges;
  }

  plan(): Plan {
    return this.#plan;
  }

  start(run: Run): void {
    this.#run = run;
    if (pattern === 0) {
      arenaBytes.set(PATTERN, ARENA_SCRATCH);
      pattern = this.#memory.library.kernel.pattern_compile(
        ARENA_SCRATCH,
        PATTERN.length,
        ARENA_SCRATCH + 512,
      );
      must(pattern > 0, "the pattern does not compile");
    }
    for (let number = 1; number <= CHECKS; number++) this.#servers.push(this.#make(number));
    this.#publish(this.#servers);
    const random = this.#random;
    for (let change = random.below(40); change > 0; change--) {
      run.clock.in(random.below(CHANGES_UNTIL_MS), () => {
        const server = random.pick(this.#servers);
        server.mind = this.#someMind(server.probe);
        server.steady = false;
      });
    }
    if (random.oneIn(2)) run.clock.in(random.below(CHANGES_UNTIL_MS), () => this.#change());
    run.clock.in(KNOWN_AFTER_MS, () => {});
  }

  /** Some checks go, and may come back. */
  #change(): void {
    const random = this.#random;
    const gone = new Set(this.#servers.filter(() => random.oneIn(3)));
    for (const server of gone) server.steady = false;
    this.#publish(this.#servers.filter((server) => !gone.has(server)));
    this.#run.tell({ kind: "plan", plan: this.#plan.memory });
    if (random.oneIn(2)) return;
    this.#run.clock.in(random.below(CHANGES_UNTIL_MS), () => {
      this.#publish(this.#servers);
      this.#run.tell({ kind: "plan", plan: this.#plan.memory });
    });
  }

  #publish(wanted: readonly Server[]): void {
    this.#wanted = new Set(wanted);
    const spec: PlanSpec = {
      generation: this.#generation++,
      listeners: [],
      upstreams: [],
      addresses: [undefined, ...this.#servers.map(({ address }) => address)],
      probes: this.#servers.map((server) =>
        this.#wanted.has(server) ? server.probe : { ...server.probe, kind: ProbeKind.None }
      ),
    };
    this.#plan = buildPlan(spec);
  }

  #make(number: number): Server {
    const random = this.#random;
    const kind = random.oneIn(3) ? ProbeKind.Connect : ProbeKind.Text;
    const byPattern = random.oneIn(3);
    const probe: ProbeSpec = {
      server: number,
      kind,
      intervalMs: random.between(500, 2_000),
      timeoutMs: random.between(200, 500),
      fall: random.between(1, 3),
      rise: random.between(1, 3),
      send: random.oneIn(4) ? new Uint8Array() : PING,
      expect: random.oneIn(4) ? new Uint8Array() : byPattern ? PATTERN : PONG,
      pattern: byPattern ? pattern : 0,
    };
    const isUnix = random.oneIn(5);
    return {
      address: isUnix ? unixAddress(number) : ipAddress(10, number, 80),
      isUnix,
      probe,
      mind: this.#someMind(probe),
      steady: true,
      checks: 0,
      verdict: Verdict.Unchecked,
    };
  }

  /** A reset without an answer to wait for may come too late to be noticed. */
  #someMind(probe: ProbeSpec): Mind {
    const mind = this.#random.oneIn(2) ? "well" : this.#random.pick(MINDS);
    return mind === "resets" && !awaits(probe) ? "refuses" : mind;
  }

  connect(run: Run, address: Uint8Array): Socket | number {
    const server = this.#servers.find((server) =>
      Buffer.compare(server.address, address) === 0 ||
      (!server.isUnix && Buffer.compare(server.address.subarray(0, 24), address.subarray(0, 24)) === 0)
    );
    must(server !== undefined, "checks an address that no server has");
    const random = this.#random;
    server.checks++;
    const { mind, isUnix } = server;
    const isDown = mind === "refuses" || mind === "silent";
    if (isDown && isUnix) return random.pick([ENOENT, ECONNREFUSED]);
    if (mind === "refuses" && random.oneIn(2)) return random.pick([ECONNREFUSED, EHOSTUNREACH]);
    const socket = new Socket(random.pick([300, 20_000]), 20_000, !isUnix);
    socket.pieces = isUnix;
    if (mind === "refuses") run.clock.in(random.below(50), () => socket.failed(ECONNREFUSED));
    else if (isUnix) this.#answer(server, socket);
    else if (mind !== "silent") {
      run.clock.in(random.below(20), () => {
        socket.established();
        if (!socket.closed) this.#answer(server, socket);
      });
    }
    return socket;
  }

  #answer({ mind, probe }: Server, socket: Socket): void {
    const manner: Manner = {
      paceMs: mind === "slow" ? 15 : 2,
      pieceBytes: mind === "slow" ? 8 : 4_000,
      talkAfterBytes: probe.send.length,
      talkAfterFin: false,
      finAfterBytes: mind === "wrong" ? 0 : Infinity,
      urgent: this.#random.oneIn(10),
      trouble: mind === "resets" ? Trouble.Reset : Trouble.None,
      ambushesWrites: false,
      troubleAfterBytes: 0,
    };
    const said = mind === "mute"
      ? new Uint8Array()
      : mind === "wrong" || mind === "resets"
      ? NOPE
      : mind === "talks"
      ? CHATTER
      : ANSWER;
    new Peer(`server ${probe.server}`, socket, said, probe.send, manner, this.#run.clock, this.#random).start(
      0,
    );
  }

  adopted(): void {}

  shut(): void {
    must(false, "a check has no end of stream to send");
  }

  record(kind: RecordKind, numbers: Float64Array): void {
    must(kind === RecordKind.Probe, "a record that is no check's");
    const server = this.#servers[numbers[Field.Server] - 1];
    const { probe, steady, checks } = server;
    server.verdict = numbers[Field.Detail] & 0xff;
    const reason: Reason = numbers[Field.Reason], ms = numbers[Field.DurationMs];
    must(ms <= probe.timeoutMs + LATE_MS, `check ${probe.server}: took ${ms} of ${probe.timeoutMs} ms`);
    const late = reason === Reason.NoAnswer || reason === Reason.ConnectionTimeout;
    must(
      !late || ms >= probe.timeoutMs,
      `check ${probe.server}: gave up after ${ms} of ${probe.timeoutMs} ms`,
    );
    const before: Verdict = numbers[Field.Detail] >> 8;
    if (server.verdict !== Verdict.Down || before === Verdict.Down || !steady || this.#run.deaths > 0) return;
    must(
      checks === probe.fall,
      `check ${probe.server}: down after ${checks} checks, ${probe.fall} make it fall`,
    );
  }

  died(): void {}

  isThrough({ clock }: Run): boolean {
    return clock.nowMs > KNOWN_AFTER_MS;
  }

  check({ shared }: Run): void {
    for (const server of this.#servers) {
      if (!this.#wanted.has(server)) continue;
      const number = server.probe.server, verdict: Verdict = shared.serverVerdict[number];
      const expected = isWell(server) ? Verdict.Up : Verdict.Down;
      must(verdict === expected, `check ${number}: a server that is ${server.mind} has verdict ${verdict}`);
      if (this.#run.deaths === 0) {
        must(server.verdict === verdict, `check ${number}: its verdict was not logged`);
      }
    }
  }
}

/** The check listens to what the server says. */
function awaits({ kind, expect }: ProbeSpec): boolean {
  return kind === ProbeKind.Text && expect.length > 0;
}

function isWell({ mind, probe }: Server): boolean {
  if (mind === "refuses" || mind === "silent" || mind === "resets") return false;
  return !awaits(probe) || mind === "well" || mind === "slow";
}
