// Generations of the Plan: compiled one after the other from what the configuration, DNS, files and operators say,
// published, and let go of. What keeps its meaning keeps its number; the number of what is gone is given again once
// nobody works by a Plan that has it and nothing hangs on it.
import type { Plan } from "../plan/plan.ts";
import { openExchanges } from "../shared/tables.ts";
import { Count } from "../shared/stats.ts";
import { ExState } from "../shared/tables.ts";
import type { Certificates } from "./certificates/store.ts";
import { compile } from "./config/compile.ts";
import { type CompileInput, Identities } from "./config/parts.ts";
import type { Directory } from "./directory.ts";
import type { HealthHistory } from "./health_history.ts";
import type { Log } from "./log.ts";
import { patternOf, releasePatterns } from "./patterns.ts";
import type { Reactors } from "./reactors.ts";
import { sum } from "./sight.ts";
import type { Settings } from "./sockets.ts";
import { collectGarbage } from "../sys/garbage.ts";

/** What numbers are kept of besides, by those who give them back. */
export interface Kept {
  readonly reactors: Reactors;
  readonly settings: Settings;
  readonly certificates: Certificates;
  readonly health: HealthHistory;
}

/** Generations, each with the texts and tables of its making, that come before what is left of them is collected. */
const PER_COLLECTION = 16;

export class Generations {
  readonly identities = new Identities();
  readonly #directory: Directory;
  readonly #log: Log;
  #number = 0;
  #plan: Plan | undefined;

  constructor(directory: Directory, log: Log) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Of the last one. */
  get number(): number {
    return this.#number;
  }

  /** Undefined before the first. */
  get plan(): Plan | undefined {
    return this.#plan;
  }

  /** Compiles the next one, to be published. */
  compile(input: Omit<CompileInput, "generation" | "patternOf">): Plan {
    const generation = ++this.#number;
    if (generation % PER_COLLECTION === 0) collectGarbage(); // one after the other, they come faster than it is collected
    const { plan, warnings } = compile(
      { ...input, generation, patternOf: patternOf(generation) },
      this.identities,
      this.#directory,
    );
    for (const warning of warnings) this.#log.warn("config", warning);
    this.#plan = plan;
    return plan;
  }

  /** Gives back the numbers of what is gone. */
  release({ reactors, settings, certificates, health }: Kept): void {
    const oldest = reactors.oldestGeneration, directory = this.#directory;
    const { listeners, upstreams, servers, probes, routes, limiters, sockets, profiles } = this.identities;
    const idle = (column: "listenerCurrent" | "serverCurrent") => (number: number) =>
      sum(reactors.all, column, number) === 0;
    for (const number of listeners.release(oldest, idle("listenerCurrent"))) {
      directory.listeners.delete(number);
      reactors.clearListener(number);
    }
    for (const number of servers.release(oldest, idle("serverCurrent"))) {
      directory.servers.delete(number);
      reactors.clearServer(number);
    }
    const withServers = new Set([...directory.servers.values()].map(({ upstream }) => upstream));
    const deserted = (number: number) => !withServers.has(directory.upstreams.get(number)?.name ?? "");
    for (const number of upstreams.release(oldest, deserted)) {
      directory.upstreams.delete(number);
      reactors.clearUpstream(number);
    }
    if (routes.resting.size > 0) {
      const taken = routesTaken(reactors);
      routes.release(oldest, (route) => !taken.has(route));
    }
    for (const number of limiters.release(oldest, (limiter) => reactors.isIdleLimiter(limiter))) {
      reactors.clearLimiter(number);
    }
    for (const number of probes.release(oldest, () => true)) directory.probes.delete(number);
    health.retain(new Set(directory.probes.keys()));
    settings.forget(sockets.release(oldest, () => true));
    profiles.release(oldest, (profile) => certificates.forgetProfile(profile));
    releasePatterns(Math.min(oldest, this.#number));
  }
}

/** Routes that requests and tunnels took which are there still. */
function routesTaken({ all }: Reactors): ReadonlySet<number> {
  const taken = new Set<number>();
  for (const { tables, sizes, stats } of all) {
    const { exState, exRoute } = openExchanges(tables.exchanges, sizes.exchanges);
    for (let ex = 1; ex < stats.count[Count.ExchangesEnd]; ex++) {
      if (exState[ex] !== ExState.Free) taken.add(exRoute[ex]);
    }
  }
  return taken;
}
