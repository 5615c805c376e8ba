// What status, metrics and the admin API look at: the running process, seen by a reader. Counters are
// per reactor, in shared memory; here they are summed. Reading takes no lock and stops nobody.
import type { ClosingRow } from "../shared/closing.ts";
import type { Shared } from "../shared/servers.ts";
import type { Sources } from "../shared/sources.ts";
import type { Count, Stats } from "../shared/stats.ts";
import type { TableMemory, TableSizes } from "../shared/tables.ts";
import type { Plan } from "../plan/plan.ts";
import type { AccessLog } from "./access_log.ts";
import type { AcmeStatus } from "./acme/acme.ts";
import type { Presented } from "./certificates/presented.ts";
import type { CertificateStatus } from "./certificates/store.ts";
import type { SocketNumbers } from "./config/compile_sockets.ts";
import type { Config } from "./config/schema.ts";
import type { Hide } from "./config/substitution.ts";
import type { LeavingView } from "./departures.ts";
import type { Directory } from "./directory.ts";
import type { NameView } from "./discovery.ts";
import type { HealthHistory } from "./health_history.ts";
import type { AcceptQueue } from "./listeners.ts";
import type { ListStatus } from "./lists.ts";
import type { Log } from "./log.ts";
import type { ReloadAnswer, Reloads } from "./reload_answer.ts";
import type { Overrides } from "./overrides.ts";
import type { Upgrades } from "./upgrade/answer.ts";

export type Phase = "starting" | "ready" | "draining" | "stopped";

/** A Worker as a reader sees it; `Reactor` of reactors.ts is one. */
export interface ReactorView {
  readonly room: number;
  readonly role: "reactor" | "health";
  readonly stats: Stats;
  readonly sizes: TableSizes;
  /** Others once it was replaced. */
  readonly tables: TableMemory;
  /** Undefined while there is no Worker in the room. */
  readonly worker: unknown;
}

/** The generation that was published last. */
export interface Published {
  readonly plan: Plan;
  /** What it was compiled from. */
  readonly config: Config;
  readonly settings: SocketNumbers;
  /** Keys of timeouts that are no defaults (explain/world.ts). */
  readonly written: ReadonlySet<string>;
  readonly hide: Hide;
}

/** What happened in the last minutes. */
export interface RecentView {
  /** How long a while. */
  readonly seconds: number;
  /** Connections that came, requests that began. */
  readonly connections: number;
  readonly requests: number;
  /** How connections and requests ended, by reason; reasons that did not come are left out. */
  readonly ended: Readonly<Record<string, number>>;
  readonly accept_pauses: number;
  readonly redispatches: number;
  readonly bugs: number;
  readonly records_dropped: number;
}

export interface Sight {
  /** Wall clock at the start of the process. */
  readonly startedAtMs: number;
  readonly phase: () => Phase;
  readonly generation: () => number;
  /** Undefined before the first. */
  readonly published: () => Published | undefined;
  /** Client connections at once; the rest waits in the kernel. */
  readonly maxConnections: number;
  readonly reactors: readonly ReactorView[];
  /** The reactors' clock, CLOCK_MONOTONIC in milliseconds. */
  readonly clockMs: () => number;
  /** Copies the peer record of a slot's client (see ffi/sluice.h); false when that slot has no socket. */
  readonly peerOf: (room: number, slot: number, into: Uint8Array) => boolean;
  /** Has a reactor close connections; outcomes in the order of the rows (reactors.ts). */
  readonly close: (room: number, rows: readonly ClosingRow[]) => Promise<Uint8Array>;
  /** By listener, connections that the kernel has and no reactor yet; none of those of which it does not tell. */
  readonly acceptQueues: () => ReadonlyMap<number, AcceptQueue>;
  /** Datagrams that the kernel dropped because the receive buffers of listening sockets were full. */
  readonly datagramsLost: () => number;
  /** Workers that died by a bug and were replaced. */
  readonly deaths: () => number;
  readonly shared: Shared;
  readonly upgrading: Upgrades;
  /** What an operator says of servers. */
  readonly overrides: Overrides;
  readonly sources: Sources;
  /** The files of lists. */
  readonly lists: () => readonly ListStatus[];
  /** Why connections to an upstream's servers cannot be made as things are now, by its name. */
  readonly settingProblems: () => ReadonlyMap<string, string>;
  readonly directory: Directory;
  readonly health: HealthHistory;
  /** Every host name of the configuration, by name. */
  readonly names: ReadonlyMap<string, NameView>;
  /** Every certificate that is presented. */
  readonly certificates: () => readonly CertificateStatus[];
  /** Those of a listener, in the order in which they count. */
  readonly presented: (listener: string) => readonly Presented[];
  /** What is issued to us; undefined: nothing is. */
  readonly acme: () => AcmeStatus | undefined;
  readonly recent: () => RecentView;
  /** Goes by the file as it is now. `by`: who wants it. Never rejects. */
  readonly reload: (by: string) => Promise<ReloadAnswer>;
  readonly reloads: () => Reloads;
  /** Listeners that a reload took away, while there are connections of them. */
  readonly leaving: () => readonly LeavingView[];
  readonly log: Log;
  readonly accessLog: AccessLog;
}

/** The columns of doubles among a reactor's counters. */
export type Column = { [K in keyof Stats]: Stats[K] extends Float64Array ? K : never }[keyof Stats];

/** Element `index` of one column, summed over reactors. */
export function sum(reactors: readonly ReactorView[], column: Column, index: number): number {
  let total = 0;
  for (const { stats } of reactors) total += stats[column][index];
  return total;
}

/** A counter that belongs to no listener and no server, summed over reactors. */
export function sumCount(reactors: readonly ReactorView[], which: Count): number {
  return sum(reactors, "count", which);
}
