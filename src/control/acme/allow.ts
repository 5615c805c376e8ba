// Whether a name that somebody has connected for is one of ours: an endpoint of the user's says so. Names
// come from strangers, so all of it is bounded: questions under way, answers kept, time.
import { call } from "./call.ts";
import type { Clock } from "./clock.ts";
import { wordsOf } from "./problem.ts";

const DEADLINE_MS = 3_000;
/** Questions under way; whoever comes then is refused. */
const UNDER_WAY_MAX = 16;
/** Answers kept; the oldest go first. */
const KEPT_MAX = 10_000;
const KEPT_MS = 60_000;
/** For how long an endpoint that cannot be asked is left alone about a name. */
const UNKNOWN_MS = 5_000;

/** `unknown`: nobody could say. Both of the others refuse. */
export type Said = {
  readonly kind: "yes" | "no" | "unknown";
  /** For people. */
  readonly why: string;
};

export class Allow {
  readonly #url: string;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  /** In the order of their questions. */
  readonly #kept = new Map<string, { readonly said: Said; readonly untilMs: number }>();
  readonly #underWay = new Map<string, Promise<Said>>();

  constructor(url: string, clock: Clock, signal: AbortSignal) {
    this.#url = url;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** What is known without asking. */
  known(name: string): Said | undefined {
    const kept = this.#kept.get(name);
    return kept !== undefined && kept.untilMs > this.#clock.nowMs() ? kept.said : undefined;
  }

  /** Whoever asks for a name that is being asked for gets the same answer. */
  async ask(name: string): Promise<Said> {
    const known = this.known(name);
    if (known !== undefined) return known;
    const underWay = this.#underWay.get(name);
    if (underWay !== undefined) return await underWay;
    if (this.#underWay.size >= UNDER_WAY_MAX) {
      return { kind: "unknown", why: `${UNDER_WAY_MAX} names are being asked for already` };
    }
    const asking = this.#askEndpoint(name);
    this.#underWay.set(name, asking);
    try {
      const said = await asking;
      this.#keep(name, said);
      return said;
    } finally {
      this.#underWay.delete(name);
    }
  }

  async #askEndpoint(name: string): Promise<Said> {
    const url = new URL(this.#url);
    url.searchParams.set("domain", name);
    try {
      const { status } = await call({
        method: "GET",
        url: url.href,
        deadlineMs: DEADLINE_MS,
        signal: this.#signal,
      });
      if (status === 200) return { kind: "yes", why: "the allow endpoint answered 200" };
      const why = `the allow endpoint answered ${status}`;
      return { kind: status >= 500 ? "unknown" : "no", why };
    } catch (error) {
      return { kind: "unknown", why: `the allow endpoint cannot be asked: ${wordsOf(error)}` };
    }
  }

  #keep(name: string, said: Said): void {
    this.#kept.delete(name);
    const forMs = said.kind === "unknown" ? UNKNOWN_MS : KEPT_MS;
    this.#kept.set(name, { said, untilMs: this.#clock.nowMs() + forMs });
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_MAX) break;
      this.#kept.delete(oldest);
    }
  }
}
