// What explain looks at: a Plan with its names and the memory that decides, of a process that runs or of
// nothing but a configuration.
import type { Plan } from "../../plan/plan.ts";
import type { Standing } from "../../policy/candidates.ts";
import type { Shared } from "../../shared/servers.ts";
import type { Sources } from "../../shared/sources.ts";
import type { Presented } from "../certificates/presented.ts";
import type { Config } from "../config/schema.ts";
import { type Path, valueAt } from "../config/finding.ts";
import { pathText } from "../config/file.ts";
import type { Directory } from "../directory.ts";
import type { HealthHistory } from "../health_history.ts";
import type { Hide } from "../config/substitution.ts";
import type { Place, StateView } from "./explanation.ts";

export interface World {
  readonly plan: Plan;
  /** What the Plan was compiled from. */
  readonly config: Config;
  readonly directory: Directory;
  readonly shared: Standing & Pick<Shared, "serverAvoided" | "upstreamCursor" | "upstreamWaiting">;
  /** Who is counted for what, and when that is (CLOCK_MONOTONIC in milliseconds). */
  readonly sources: Sources;
  readonly monotonicMs: number;
  readonly health: HealthHistory;
  /** Those of a listener, in its order. */
  readonly certificates: (listener: string) => readonly Presented[];
  readonly state: StateView;
  /** Keys of timeouts that somebody wrote, see `timeoutsWritten`. */
  readonly written: ReadonlySet<string>;
  readonly hide: Hide;
  /** Why connections to an upstream's servers cannot come from where they are to, now; null: they can, or nobody knows,
   * since this need not be the machine that it is for. */
  readonly sourceFlaw: (upstream: string) => string | null;
  /** Where a key was written; null where that is not known. */
  readonly whereIs: (path: Path) => string | null;
}

export function placeOf(world: World, path: Path): Place {
  return { key: pathText(path), where: world.whereIs(path) };
}

/** The timeouts of a raw configuration that are given, by their whole key: all others are defaults. */
export function timeoutsWritten(raw: unknown): ReadonlySet<string> {
  const written = new Set<string>();
  const look = (path: Path): void => {
    for (const section of ["timeouts", "udp"]) {
      for (const name of keysAt(raw, [...path, section])) written.add(pathText([...path, section, name]));
    }
  };
  look(["defaults"]);
  for (const section of ["listeners", "upstreams"]) {
    for (const name of keysAt(raw, [section])) look([section, name]);
  }
  return written;
}

function keysAt(raw: unknown, path: Path): string[] {
  const value = valueAt(raw, path);
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}
