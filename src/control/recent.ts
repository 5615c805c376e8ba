// What happened in the last minutes: the counters of now, less those of a while ago. Counters never go backwards, so
// what is between two looks is what happened.
import { REASON_COUNT, REASONS } from "../shared/reason.ts";
import { Count } from "../shared/stats.ts";
import { type ReactorView, type RecentView, sum, sumCount } from "./sight.ts";

/** Between two looks, and how many are kept: five minutes. */
const LOOK_EVERY_MS = 10_000;
const LOOKS_KEPT = 31;

/** The counters at one time. */
interface Look {
  readonly atMs: number;
  readonly ended: readonly number[];
  readonly connections: number;
  readonly requests: number;
  readonly acceptPauses: number;
  readonly redispatches: number;
  readonly bugs: number;
  readonly dropped: number;
}

export class Recent {
  readonly #reactors: readonly ReactorView[];
  readonly #nowMs: () => number;
  /** The oldest first. */
  readonly #looks: Look[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param nowMs any clock that never goes backwards */
  constructor(reactors: readonly ReactorView[], nowMs: () => number = () => performance.now()) {
    this.#reactors = reactors;
    this.#nowMs = nowMs;
    this.look();
  }

  /** Looks from now on until it is stopped. */
  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  look(): void {
    this.#looks.push(this.#now());
    if (this.#looks.length > LOOKS_KEPT) this.#looks.shift();
  }

  /** What happened since the oldest look. */
  view(): RecentView {
    const [then] = this.#looks, now = this.#now();
    const ended = REASONS.flatMap(({ name }, reason) => {
      const count = now.ended[reason] - then.ended[reason];
      return count > 0 ? [[name, count] as const] : [];
    });
    return {
      seconds: Math.round(now.atMs - then.atMs) / 1_000,
      connections: now.connections - then.connections,
      requests: now.requests - then.requests,
      ended: Object.fromEntries(ended),
      accept_pauses: now.acceptPauses - then.acceptPauses,
      redispatches: now.redispatches - then.redispatches,
      bugs: now.bugs - then.bugs,
      records_dropped: now.dropped - then.dropped,
    };
  }

  #now(): Look {
    const reactors = this.#reactors;
    return {
      atMs: this.#nowMs(),
      ended: Array.from({ length: REASON_COUNT }, (_, reason) => sum(reactors, "ended", reason)),
      connections: sumCount(reactors, Count.Opened),
      requests: sumCount(reactors, Count.Requests),
      acceptPauses: sumCount(reactors, Count.AcceptPauses),
      redispatches: sumCount(reactors, Count.Redispatches),
      bugs: sumCount(reactors, Count.Bugs),
      dropped: sumCount(reactors, Count.LogDropped),
    };
  }
}
