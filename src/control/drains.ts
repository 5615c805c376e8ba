// Servers that are drained: they get nothing new, what they have goes on. By upstream and address, so that one which
// leaves DNS and comes back is drained still; until it is undone, or the process ends.
import type { Shared } from "../shared/servers.ts";
import { type ConfigProblem, didYouMean, shown } from "./config/errors.ts";
import type { Directory, ServerEntry } from "./directory.ts";

/** What is asked of a server. */
export interface DrainQuestion {
  /** Its address, as it is configured, or its host alone. */
  readonly server: string;
  /** Undefined: in every upstream that has it. */
  readonly upstream?: string;
  /** It gets connections again. */
  readonly undo?: boolean;
}

/** A server that was meant, and whether anything has changed for it. */
export interface Drained {
  readonly entry: ServerEntry;
  readonly changed: boolean;
}

export class Drains {
  readonly #directory: Directory;
  readonly #shared: Pick<Shared, "serverDrained" | "verdictVersion">;
  /** Upstream and address. */
  readonly #keys = new Set<string>();

  constructor(directory: Directory, shared: Pick<Shared, "serverDrained" | "verdictVersion">) {
    this.#directory = directory;
    this.#shared = shared;
  }

  /** Drains all servers that are meant, or undoes it. */
  set({ server, upstream, undo = false }: DrainQuestion): Drained[] | { problems: ConfigProblem[] } {
    const all = this.#present().filter((entry) => upstream === undefined || entry.upstream === upstream);
    const meant = all.filter((entry) => namesOf(entry).includes(server));
    if (meant.length === 0) return { problems: [this.#noServer(server, upstream, all)] };
    const done = meant.map((entry): Drained => {
      const key = keyOf(entry), changed = this.#keys.has(key) === undo;
      if (undo) this.#keys.delete(key);
      else this.#keys.add(key);
      return { entry, changed };
    });
    this.apply();
    return done;
  }

  /** Tells reactors of it: after a change, and when a Plan has other servers than the one before. */
  apply(): void {
    const { serverDrained, verdictVersion } = this.#shared;
    let changed = false;
    for (const entry of this.#directory.servers.values()) {
      const drained = this.#keys.has(keyOf(entry)) ? 1 : 0;
      if (serverDrained[entry.number] === drained) continue;
      serverDrained[entry.number] = drained;
      changed = true;
    }
    if (changed) Atomics.add(verdictVersion, 0, 1);
  }

  #present(): ServerEntry[] {
    const { current, servers } = this.#directory;
    return [...current.servers].flatMap((number) => servers.get(number) ?? []);
  }

  #noServer(server: string, upstream: string | undefined, all: readonly ServerEntry[]): ConfigProblem {
    const upstreams = [...new Set(this.#present().map((entry) => entry.upstream))];
    if (upstream !== undefined && !upstreams.includes(upstream)) {
      const remedy = didYouMean(upstream, upstreams, "sluice servers lists them");
      return {
        where: "upstream",
        what: `there is no upstream ${shown(upstream)}`,
        remedy,
        severity: "error",
      };
    }
    const remedy = didYouMean(server, all.flatMap(namesOf), "sluice servers lists them");
    return { where: "server", what: `there is no server ${shown(server)}`, remedy, severity: "error" };
  }
}

function keyOf({ upstream, address }: ServerEntry): string {
  return `${upstream}\n${address}`;
}

/** What a server is called: its address and what is configured, each with its port or without. */
function namesOf({ address, target }: ServerEntry): string[] {
  return [address, target].flatMap((name) => [name, name.replace(/:[0-9]+(\/.*)?$/, "")]);
}

/** The answer of /drain. */
export interface DrainAnswer {
  readonly servers: readonly {
    readonly upstream: string;
    readonly address: string;
    readonly drained: boolean;
    /** Whether it was not so before. */
    readonly changed: boolean;
    /** That go on. */
    readonly connections: number;
  }[];
}

/** Reads the body of a question to /drain. */
export function readDrainQuestion(text: string): DrainQuestion | { problems: ConfigProblem[] } {
  const problem = (where: string, what: string, remedy: string): { problems: ConfigProblem[] } => ({
    problems: [{ where, what, remedy, severity: "error" }],
  });
  const form = 'write { "server": "10.0.0.1:80", "upstream": "NAME", "undo": true }, the last two if wanted';
  let asked: unknown;
  try {
    asked = JSON.parse(text);
  } catch {
    return problem("", "no JSON", form);
  }
  if (typeof asked !== "object" || asked === null || Array.isArray(asked)) {
    return problem("", "no object", form);
  }
  const { server, upstream, undo, ...others } = asked as Record<string, unknown>;
  const [other] = Object.keys(others);
  if (other !== undefined) return problem(shown(other), "unknown key", form);
  if (typeof server !== "string" || server === "") return problem("server", "no text", form);
  if (upstream !== undefined && typeof upstream !== "string") return problem("upstream", "no text", form);
  if (undo !== undefined && typeof undo !== "boolean") return problem("undo", "neither true nor false", form);
  return { server, upstream, undo };
}
