// What /status says, as types: an interface, on which dashboards and scripts hang. Names are in snake case, as in the
// log; times are RFC 3339, durations in seconds; "up" is what clients send, "down" what servers send.
import type { Rule } from "./config/balance_schema.ts";
import type { AcceptQueue } from "./listeners.ts";
import type { Level } from "./log.ts";
import type { Phase, RecentView } from "./sight.ts";

export interface Status {
  readonly version: string;
  readonly pid: number;
  readonly phase: Phase;
  readonly started: string;
  readonly uptime_seconds: number;
  /** Upgrades that led to this process, and the version that was before the last one. */
  readonly upgrades: { readonly count: number; readonly from: string | null };
  readonly runtime: { readonly name: "bun" | "deno"; readonly version: string };
  /** The least severe lines of the log that are written, and what the configuration says of it. */
  readonly log_level: { readonly now: Level; readonly configured: Level };
  /** Of the Plan that was published last. */
  readonly generation: number;
  /** What became of reloads; `why`: of the last one, if it was refused. */
  readonly reloads: {
    readonly done: number;
    readonly refused: number;
    readonly last: { readonly at: string; readonly reloaded: boolean; readonly why: string | null } | null;
  };
  /** Listeners that a reload took away, while there are connections of them. */
  readonly leaving: readonly {
    readonly listener: string;
    readonly bind: string;
    readonly connections: number;
  }[];
  readonly totals: TotalsStatus;
  readonly reactors: readonly ReactorStatus[];
  readonly listeners: readonly ListenerStatus[];
  readonly upstreams: readonly UpstreamStatus[];
  readonly certificates: readonly CertificateView[];
  /** The files of addresses that listeners' lists name. */
  readonly lists: readonly ListView[];
  /** Null: none are issued to us. */
  readonly acme: AcmeView | null;
  /** What happened in the last minutes. */
  readonly recent: RecentView;
  /** What is wrong, a sentence each. */
  readonly trouble: readonly string[];
}

/** Certificates that are issued to us. */
export interface AcmeView {
  readonly directory: string;
  /** Why nothing is ordered now, whatever the name; null: nothing speaks against it. */
  readonly held: { readonly why: string; readonly until: string } | null;
  /** Since the start. */
  readonly issued: number;
  readonly failed: number;
  readonly names: readonly {
    readonly name: string;
    /** What its clients get: issued, placeholder (one that vouches for itself), or nothing. */
    readonly serving: string;
    readonly state: string;
    readonly on_demand: boolean;
    /** The last failure, while nothing has succeeded since. */
    readonly problem: string | null;
    /** When the next attempt comes, or the renewal. */
    readonly next: string | null;
  }[];
}

/** A file of a list. */
export interface ListView {
  readonly file: string;
  readonly entries: number;
  /** When what is in use was read. */
  readonly read: string;
  /** Why the file as it is now is not used; null: it is. */
  readonly problem: string | null;
}

/** A certificate in use. */
export interface CertificateView {
  readonly names: readonly string[];
  /** Who presents it to clients, and who to servers. */
  readonly listeners: readonly string[];
  readonly upstreams: readonly string[];
  /** Null: it was issued to us. */
  readonly file: string | null;
  readonly issuer: string;
  /** SHA-256, in hexadecimal. */
  readonly fingerprint: string;
  readonly until: string;
  /** Whole days; below 0 when it has ended. */
  readonly days_left: number;
  /** Why the files as they are now are not used; null: they are. */
  readonly problem: string | null;
}

export interface Bytes {
  readonly up: number;
  readonly down: number;
}

export interface TotalsStatus {
  readonly connections: { readonly now: number; readonly max: number; readonly total: number };
  readonly bytes: Bytes & { readonly spliced: number };
  readonly datagrams: Bytes & {
    /** Not forwarded: the kernel had to cut them; they could not be sent; their client got no session; the receive
     * buffers of listening sockets were full. */
    readonly dropped: {
      readonly cut: number;
      readonly unsent: number;
      readonly refused: number;
      readonly full: number;
    };
  };
  /** How connections ended, by reason; reasons that never came are left out. */
  readonly ended: Readonly<Record<string, number>>;
  /** Requests, connects to servers, requests on a connection that was kept, requests sent once more. */
  readonly requests: number;
  readonly connects: number;
  readonly reused: number;
  readonly repeats: number;
  /** TLS handshakes that were done. */
  readonly handshakes: { readonly client: number; readonly server: number };
  readonly redispatches: number;
  readonly accept_pauses: number;
  readonly bugs: number;
  readonly reactor_deaths: number;
  /** What writes the access log; null when it is off. */
  readonly log_worker: { readonly alive: boolean; readonly deaths: number } | null;
  /** Records that found no room on their way to the log, and lines that the outputs did not take. */
  readonly log_dropped: { readonly records: number; readonly log: number; readonly access_log: number };
}

export interface ReactorStatus {
  readonly room: number;
  readonly role: "reactor" | "health";
  readonly alive: boolean;
  /** Of the Plan that it works by. */
  readonly generation: number;
  readonly connections: { readonly now: number; readonly total: number };
  /** Requests that wait for a place at a server. */
  readonly queued: number;
  readonly turns: number;
  readonly events: number;
  readonly slots: number;
  readonly pipes: number;
  readonly blocks: number;
  readonly bugs: number;
}

export interface ListenerStatus {
  readonly name: string;
  readonly bind: string;
  readonly upstream: string;
  /** For datagrams: sessions. */
  readonly connections: { readonly now: number; readonly total: number };
  /** Connections that wait in the kernel to be accepted, and how many may, of all its sockets; null: the kernel does
   * not tell (datagrams, unix sockets). */
  readonly accept_queue: AcceptQueue | null;
  /** Connections that were turned away before anything was done for them, by reason; reasons that never came are left
   * out. */
  readonly refused: Readonly<Record<string, number>>;
  readonly requests: number;
  readonly bytes: Bytes;
  readonly datagrams: Bytes;
}

export interface UpstreamStatus {
  readonly name: string;
  /** How a server is chosen; null before there is a configuration. */
  readonly balance: Rule | null;
  /** Why none of its servers can be connected to from here: an address to come from, or an interface, that this
   * machine does not have now; null: nothing speaks against it. */
  readonly problem: string | null;
  /** Those that wait for a place at one of its servers. */
  readonly queued: number;
  readonly servers: readonly ServerStatus[];
  /** Empty when all targets are addresses. */
  readonly names: readonly NameStatus[];
}

/** A result of a check. */
export interface ResultStatus {
  readonly reason: string;
  /** As a sentence: what was heard and what was expected, or the reason. */
  readonly text: string;
  readonly errno: string | null;
  /** Of the answer, if the check heard one by HTTP and failed. */
  readonly status: number | null;
}

/** The result that changed something, at the time of that check. */
export interface ChangeStatus extends ResultStatus {
  readonly at: string;
}

/** What the last check heard, and since when all of them have heard just that: only changes are told. */
export interface LastCheckStatus extends ResultStatus {
  readonly since: string;
}

/** A host name among the targets of an upstream. */
export interface NameStatus {
  readonly name: string;
  /** What it stands for now: after a failure, what the last good answer said. */
  readonly addresses: readonly string[];
  /** Whether its last question was answered; null before the first one was. */
  readonly resolves: boolean | null;
  /** Since when that is so. */
  readonly since: string | null;
  /** The last good answer. */
  readonly last_answer: string | null;
  readonly last_failure: { readonly at: string; readonly why: string } | null;
}

export interface ServerStatus {
  readonly address: string;
  /** As configured; a host name may stand for several addresses. */
  readonly target: string;
  /** What reactors go by; "unchecked" counts as up. */
  readonly health: "up" | "down" | "unchecked";
  /** Since when that is so; null without a check. */
  readonly since: string | null;
  /** Why it is down; for one that is up, its last failure (of several that are the same, the first). */
  readonly why: ChangeStatus | null;
  readonly last_check: LastCheckStatus | null;
  /** 0: it gets nothing new. */
  readonly weight: number;
  /** Without what was said of it at run time. */
  readonly configured_weight: number;
  /** In slow start, what it has of its weight; null: all of it. */
  readonly slow_start: number | null;
  /** When it has all of it. */
  readonly slow_start_until: string | null;
  readonly backup: boolean;
  /** It gets nothing new; disabled: and is not checked. */
  readonly drained: boolean;
  readonly disabled: boolean;
  /** Datagrams to it met nobody: until then new sessions pass it over as long as there is another; null: they do not. */
  readonly avoided_until: string | null;
  /** It has as many connections in use as it may have. */
  readonly full: boolean;
  /** As peak-ewma sees it; null: nothing is known. */
  readonly latency_ms: number | null;
  readonly connections: { readonly now: number; readonly total: number; readonly failed: number };
  /** Requests that got a connection to it, new or kept. */
  readonly requests: number;
  readonly bytes: Bytes;
}

/** Everything but what is made of it. */
export type Told = Omit<Status, "trouble">;
