// Messages from the control plane to a reactor: a MessagePort read without yielding, and an eventfd
// (sys.wake) that ends its sleep. What comes back goes by shared memory, never by message.
import type { TableMemory, TableSizes } from "./tables.ts";
import type { StatsMemory } from "./stats.ts";
import type { SharedMemory } from "./servers.ts";
import type { SourcesMemory } from "./sources.ts";

/** What a Worker is born with. */
export interface WorkerBirth {
  /** Path of the C library; every thread opens the same one. */
  readonly library: string;
  /** Its room in C. */
  readonly room: number;
  /** A reactor takes traffic; the health Worker only probes. */
  readonly role: "reactor" | "health";
  /** Rooms that it hands connections to: the main reactor to all, in reuseport mode each to itself. */
  readonly handTo: readonly number[];
  /** Rooms whose connections count against `maxConnections`. */
  readonly counted: readonly number[];
  /** Client connections of the whole process; more are left in the listening queue. */
  readonly maxConnections: number;
  readonly sizes: TableSizes;
  readonly tables: TableMemory;
  readonly stats: StatsMemory;
  readonly shared: SharedMemory;
  readonly sources: SourcesMemory;
  readonly log: SharedArrayBuffer;
  /** Of the log Worker, which is woken when there are lines. */
  readonly logState: SharedArrayBuffer;
  /** What it asks of the control plane. */
  readonly asks: SharedArrayBuffer;
  readonly plan: SharedArrayBuffer;
  /** Of its random numbers. */
  readonly seed: number;
  /** Listening sockets it watches from the start. */
  readonly listeners: readonly number[];
}

type Numbers = ReadonlySet<number>;

export type Message =
  /** Work by this Plan from the next turn on. */
  | { readonly kind: "plan"; readonly plan: SharedArrayBuffer }
  /** Watch these listening sockets. */
  | { readonly kind: "watch"; readonly listeners: readonly number[] }
  /** Take what waits in these queues, then watch them no more; the control plane closes them. Those of datagrams are
   * watched on for the sessions that are there, and get no new ones. */
  | { readonly kind: "unwatch"; readonly listeners: readonly number[] }
  /** No request is awaited any more, of nobody. */
  | { readonly kind: "drain" }
  /** Watch these listening sockets of datagrams no more. */
  | { readonly kind: "forget"; readonly listeners: readonly number[] }
  /** End what came by these listeners, goes to these servers, or took these routes. */
  | {
    readonly kind: "remove";
    readonly listeners: Numbers;
    readonly servers: Numbers;
    readonly routes: Numbers;
  }
  /** An upgrade is under way: read no datagram and change no flow, until the next word. */
  | { readonly kind: "freeze" }
  /** It came to nothing: go on. */
  | { readonly kind: "thaw" }
  /** Another process watches these queues from here on, and has the flows: let go of both. */
  | { readonly kind: "yield"; readonly listeners: readonly number[] }
  /** Go on with these flows of another process (shared/handed_flows.ts), whose sockets are watched next. */
  | { readonly kind: "adopt"; readonly flows: SharedArrayBuffer }
  /** Close these connections, where they are still there (closing.ts), and say so in the same memory. */
  | { readonly kind: "close"; readonly rows: number; readonly closing: SharedArrayBuffer }
  /** End every connection that is left, with this Reason. */
  | { readonly kind: "end-all" }
  /** Leave the room and return. */
  | { readonly kind: "exit" };
