// Long streams through a listener whose bytes may go only so fast, with nobody in their way: they must go just so
// fast. What is lent and forgotten, or waited for too long, makes them slower; what is not counted makes them faster;
// who looks more often than a quantum comes together turns round for nothing.
import { ARENA_SCRATCH, BLOCKS_MAX, NONE, PEER_BYTES } from "../../src/base/limits.ts";
import type { Bandwidth, Pace } from "../../src/control/config/bandwidth_schema.ts";
import { quantumOf } from "../../src/control/config/compile_paces.ts";
import { PaceOf } from "../../src/plan/paces.ts";
import type { Plan } from "../../src/plan/plan.ts";
import { exDown, exState, exUp } from "../../src/proxy/exchanges.ts";
import { ExState, type TableSizes } from "../../src/shared/tables.ts";
import { arenaBytes, sys } from "../../src/sys/sys.ts";
import { someBytes, STREAM_BYTES_MAX } from "./bytes.ts";
import type { Weather } from "./kernel.ts";
import { checkPace, type Limits } from "./paced.ts";
import { type Manner, Peer, Trouble } from "./peer.ts";
import { buildPlan, ipAddress } from "./plans.ts";
import type { Random } from "./random.ts";
import { must, ROOM, type Run, type Scenario } from "./run.ts";
import { Socket } from "./socket.ts";

/** Bytes per second that all of a way have together. */
const RATE_LEAST = 20_000;
const RATE_MOST = 40_000_000;
const LASTS_MS = 2_500;
const SECOND_MS = 1_000;
/** Within so much of what was asked. */
const TOLERANCE = 1.05;
/** Behind the last quantum: the way to the peers, and the end of the streams. */
const LATE_MS = 60;
const LOOK_MS = 2;
const SOCKET_BYTES = 4 << 20;
/** Of so many bursts each has its part; of less, who comes first has more. */
const BURSTS = 15;
/** Turns for what comes and goes by itself: connects, ends, edges. */
const TURNS_EACH = 150;

type Way = "up" | "down";
const WAYS: readonly Way[] = ["up", "down"];

interface Stream {
  readonly client: Peer;
  readonly up: Uint8Array;
  readonly down: Uint8Array;
  server: Peer | undefined;
  done: { up: number; down: number };
}

export class Steady implements Scenario {
  readonly role = "reactor";
  readonly weather: Weather;
  readonly sizes: TableSizes = { slots: 100, exchanges: 33, timers: 100, pipes: 33 };
  readonly maxConnections = 32;
  readonly blocks = BLOCKS_MAX - 1;
  readonly handTo = [ROOM];
  readonly listeners = [0];
  readonly #random: Random;
  readonly #limits: Limits;
  readonly #count: number;
  /** Which limit they come up against, and its bytes per second for all of them together. */
  readonly #together: Readonly<Record<Way, Pace | undefined>>;
  readonly #plan: Plan;
  readonly #streams: Stream[] = [];
  readonly #bySlot = new Map<number, Stream>();
  #startMs = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#count = random.pick([1, 2, 5, 12]);
    const short = random.pick([0, 0, 4]);
    this.weather = {
      fds: 10_000,
      spurious: 0,
      short,
      stale: short,
      disorder: short,
      signal: random.pick([0, 8]),
      scarce: 0,
      pipeTrouble: 0,
      callMs: random.pick([0, 0.005]),
      deathAfter: 0,
      bugAfter: 0,
    };
    const which = random.pick(["up", "down", "both"] as const);
    const pace = (way: Way) => which === way || which === "both" ? this.#somePace() : undefined;
    this.#together = { up: pace("up"), down: pace("down") };
    const tight = random.pick(["bandwidth-per-connection", "bandwidth-per-source", "bandwidth"] as const);
    const parts = tight === "bandwidth-per-connection" ? this.#count : 1;
    const ample = (factor: number): Bandwidth | undefined =>
      random.oneIn(2) ? undefined : bandwidth(this.#together, factor);
    this.#limits = {
      "bandwidth-per-connection": ample(2),
      "bandwidth-per-source": ample(3),
      bandwidth: ample(4),
      [tight]: bandwidth(this.#together, 1 / parts),
    };
    this.#plan = buildPlan({
      generation: 1,
      listeners: [{ upstream: 1, idleMs: random.pick([0, 300]), limits: this.#limits }],
      upstreams: [{ servers: [1], connectMs: 3_000 }],
      addresses: [undefined, ipAddress(10, 1, 80)],
      probes: [],
    });
  }

  #somePace(): Pace {
    const share = this.#random.below(1_000) / 1_000;
    const amount = Math.floor(RATE_LEAST * (RATE_MOST / RATE_LEAST) ** share) * this.#count;
    return {
      rate: { amount, windowMs: SECOND_MS },
      burst: Math.ceil(amount / this.#random.pick([10, 10, 25])),
    };
  }

  plan(): Plan {
    return this.#plan;
  }

  start(run: Run): void {
    arenaBytes.set(ipAddress(127, 1, 8000), ARENA_SCRATCH);
    must(sys.listen(0, ARENA_SCRATCH, 0, 40, 0) === 0, "cannot listen");
    this.#startMs = run.clock.nowMs;
    for (let number = 1; number <= this.#count; number++) {
      const up = this.#someBytes("up"), down = this.#someBytes("down"), socket = someSocket(false);
      const client = new Peer(`client ${number}`, socket, up, down, MANNER, run.clock, this.#random);
      this.#streams.push({ client, up, down, server: undefined, done: { up: 0, down: 0 } });
      const peer = ipAddress(10, 200, number).slice(0, PEER_BYTES);
      must(run.kernel.knock(0, { socket, peer }), "there is no room in the queue");
      client.start(0);
    }
    this.#look(run);
  }

  #someBytes(way: Way): Uint8Array {
    const pace = this.#together[way];
    const bytes = pace === undefined ? 1_000 : pace.rate.amount * LASTS_MS / SECOND_MS / this.#count;
    return someBytes(this.#random, Math.floor(Math.min(bytes, STREAM_BYTES_MAX)));
  }

  connect(run: Run): Socket {
    const socket = someSocket(true), stream = this.#connecting();
    const { up, down } = stream;
    stream.server = new Peer("server", socket, down, up, MANNER, run.clock, this.#random);
    run.clock.in(0, () => {
      socket.established();
      stream.server!.start(0);
    });
    return socket;
  }

  /** The one exchange that is about to connect. */
  #connecting(): Stream {
    for (let ex = 1; ex < exState.length; ex++) {
      if (exState[ex] === ExState.Connect && exUp[ex] === NONE) return this.#bySlot.get(exDown[ex])!;
    }
    throw new Error("a connect without an exchange");
  }

  adopted(socket: Socket, slot: number): void {
    this.#bySlot.set(slot, this.#streams.find(({ client }) => client.socket === socket)!);
  }

  shut(): void {}
  record(): void {}
  line(): void {}
  died(): void {}

  /** Holds what has arrived against the clock, whatever the reactor does meanwhile. */
  #look(run: Run): void {
    const ms = run.clock.nowMs - this.#startMs;
    for (const way of WAYS) {
      let all = 0;
      for (const stream of this.#streams) {
        const to = way === "up" ? stream.server : stream.client, bytes = to?.received ?? 0;
        all += bytes;
        checkPace(`one ${way}`, this.#limits["bandwidth-per-connection"]?.[way], bytes, ms);
        if (stream.done[way] === 0 && bytes === stream[way].length) stream.done[way] = Math.max(1, ms);
      }
      checkPace(`all ${way}`, this.#limits["bandwidth-per-source"]?.[way], all, ms);
      checkPace(`all ${way}`, this.#limits.bandwidth?.[way], all, ms);
    }
    const isDone = this.#streams.every(({ done }) => done.up > 0 && done.down > 0);
    if (!isDone && ms < 10 * LASTS_MS) run.clock.in(LOOK_MS, () => this.#look(run));
  }

  isThrough(run: Run): boolean {
    if (this.#streams.every(({ client }) => client.socket.closed)) return true;
    must(!run.isQuiet, "nothing moves any more");
    return false;
  }

  check(run: Run): void {
    let quanta = 0;
    for (const way of WAYS) {
      const pace = this.#together[way];
      if (pace === undefined) continue;
      const { rate: { amount, windowMs }, burst } = pace, times = this.#streams.map(({ done }) => done[way]);
      const bytes = this.#streams.reduce((sum, stream) => sum + stream[way].length, 0);
      const dueMs = (bytes - burst) * windowMs / amount, lastMs = Math.max(...times);
      must(Math.min(...times) > 0, `a stream ${way} did not come to its end`);
      must(lastMs <= dueMs * TOLERANCE + LATE_MS, `${bytes} bytes ${way} took ${lastMs} ms, not ${dueMs}`);
      const firstMs = Math.min(...times);
      must(
        bytes < BURSTS * burst || firstMs > lastMs / 2,
        `one had its bytes ${way} after ${firstMs} ms, another after ${lastMs}`,
      );
      const least = Math.min(
        ...Object.values(this.#limits).map((one) => {
          const own = one?.[way];
          return own === undefined ? Infinity : quantumOf(own, PaceOf.Listener);
        }),
      );
      quanta += bytes / least;
    }
    const most = 2 * quanta + this.#count * TURNS_EACH + LASTS_MS / 4;
    must(run.turns < most, `${run.turns} turns, ${Math.ceil(most)} would do`);
  }
}

function bandwidth(together: Readonly<Record<Way, Pace | undefined>>, factor: number): Bandwidth {
  const part = (pace: Pace | undefined): Pace | undefined => {
    if (pace === undefined) return undefined;
    const { rate: { amount, windowMs }, burst } = pace;
    return { rate: { amount: Math.ceil(amount * factor), windowMs }, burst: Math.ceil(burst * factor) };
  };
  return { down: part(together.down), up: part(together.up) };
}

function someSocket(connecting: boolean): Socket {
  return new Socket(SOCKET_BYTES, SOCKET_BYTES, connecting);
}

const MANNER: Manner = {
  paceMs: 0.5,
  pieceBytes: 1 << 20,
  talkAfterBytes: 0,
  talkAfterFin: false,
  finAfterBytes: 0,
  urgent: false,
  trouble: Trouble.None,
  ambushesWrites: false,
  troubleAfterBytes: 0,
};
