// The answer of explain as one object: what --format json prints and /explain answers. Keys are stable, in
// snake case as in /status; times are RFC 3339. What does not apply is null, or an empty list.
import type { Rule } from "../config/balance_schema.ts";

export interface Explanation {
  readonly question: QuestionView;
  readonly state: StateView;
  readonly decision: Decision;
  /** Who takes the connection; null: nobody does. */
  readonly listener: ListenerView | null;
  /** What the listener's lists and limits say; null: it has none. */
  readonly admission: AdmissionView | null;
  /** The PROXY header that the connection begins with; null: none is expected. */
  readonly introduction: IntroductionView | null;
  /** Of the client's connection; null: it has none, or there is nothing that would be told. */
  readonly tls: TlsView | null;
  /** Where something listens, when nothing does where the question leads to. */
  readonly elsewhere: readonly ListenerView[];
  /** What the routes are asked about; null for what is no request, or none that is understood. */
  readonly request: RequestView | null;
  /** The routes that were tried, in order, then others; each once. */
  readonly routes: readonly RouteView[];
  /** Routes that are not told: of very many, some. */
  readonly routes_left_out: number;
  readonly client: ClientView | null;
  readonly forwarded: ForwardedView | null;
  readonly answer: AnswerView | null;
  readonly upstream: UpstreamView | null;
  /** Limits of the listener, the narrowest first. */
  readonly bandwidth: readonly BandwidthView[];
  readonly timeouts: readonly TimeoutView[];
}

export interface QuestionView {
  readonly text: string;
  /** `IP:PORT`; unix for a unix socket's client. */
  readonly from: string;
}

export interface StateView {
  /** configuration: nothing runs, all servers count as up. running: as the process had it at `at`. */
  readonly source: "configuration" | "running";
  readonly generation: number | null;
  readonly at: string | null;
  /** Of the process: starting, ready, draining, stopped. */
  readonly phase: string | null;
}

/** server: it goes to one. queue: it waits for a place at one. unavailable: no server is left. redirect, respond:
 * its route answers, or redirect-to-https. refused: Sluice says no. own: Sluice answers by itself (OPTIONS with
 * Max-Forwards: 0, a challenge of ACME).
 * nobody: nobody listens there. ask: it depends on the request. */
export type DecisionKind =
  | "server"
  | "queue"
  | "unavailable"
  | "redirect"
  | "respond"
  | "refused"
  | "own"
  | "nobody"
  | "ask";

export interface Decision {
  readonly kind: DecisionKind;
  /** The same as a sentence. */
  readonly text: string;
  /** The address of the server, for `server`. */
  readonly server: string | null;
  readonly upstream: string | null;
  /** As the access log has it. */
  readonly route: string | null;
  /** Of the answer, where it is Sluice's. */
  readonly status: number | null;
  /** Of the access log; null where it is not settled. */
  readonly reason: string | null;
}

export interface Place {
  /** In the configuration: listeners.web.routes[2]. */
  readonly key: string;
  /** FILE:LINE:COLUMN, or the argument that gave it; null where that is not known. */
  readonly where: string | null;
}

export interface ListenerView extends Place {
  readonly name: string;
  readonly bind: string;
  readonly protocol: "tcp" | "tls" | "http" | "https" | "udp";
}

/** Whether a client is let in. */
export interface AdmissionView {
  readonly admitted: boolean;
  /** The address or prefix that it is counted for; null: no source has limits there, or it is nobody's. */
  readonly source: string | null;
  /** What was asked, in order, up to what refuses it. */
  readonly steps: readonly AdmissionStep[];
}

export interface AdmissionStep extends Place {
  /** Whose address it looks at: a proxy's that tells for whom it comes, or the client's. */
  readonly of: "proxy" | "client";
  readonly name:
    | "deny"
    | "allow"
    | "connections-per-source"
    | "new-connections-per-source"
    | "connections"
    | "new-connections";
  readonly passed: boolean;
  readonly text: string;
}

/** Whom a proxy introduces. */
export interface IntroductionView {
  /** Who connects. */
  readonly proxy: string;
  /** The prefix of accept-proxy that it is in; null: it is in none, and refused. */
  readonly by: string | null;
  /** Whom its header makes the client, itself for `local`; null: there is no header in the question. */
  readonly client: string | null;
}

/** The TLS of a client's connection. */
export interface TlsView {
  /** listener: it ends there. server: it goes on to the server as it is. */
  readonly at: "listener" | "server";
  /** The name that the client asks for (SNI); null: none. */
  readonly name: string | null;
  /** What of the listener's sni the name leads to; null: it does not go by names, or has nothing for this one. */
  readonly sni: Place | null;
  /** Why these certificates are presented: one has this very name, one a star for it, or the listener's first is for
   * all other names. Without any: it was or will be issued (issued, on_demand), or the handshake fails (none). Null:
   * the server presents its own. */
  readonly by: "exact" | "wildcard" | "first" | "issued" | "on_demand" | "none" | null;
  /** At most one for each kind of key: the client takes its choice. */
  readonly certificates: readonly ShownView[];
  readonly policy: "modern" | "compatible" | null;
  /** ALPN, preferred first. */
  readonly protocols: readonly string[];
  /** What is asked of the client. */
  readonly client: {
    readonly mode: "off" | "ask" | "require";
    readonly ca: string | null;
    readonly crl: string | null;
  } | null;
  /** The field of answers that keeps browsers to https://. */
  readonly hsts: string | null;
}

/** A certificate that is presented. */
export interface ShownView {
  /** Null: it was issued to us. */
  readonly file: string | null;
  /** EC, RSA, ED25519. */
  readonly key: string;
  readonly names: readonly string[];
  readonly names_left_out: number;
  readonly until: string;
  /** The same for people. */
  readonly until_text: string;
}

/** What an upstream asks of its servers by TLS. */
export interface ServerTlsView {
  readonly verify: boolean;
  /** The authorities that count; null: the system's. */
  readonly ca: string | null;
  readonly pins: readonly string[];
  readonly crl: string | null;
  /** What is shown to them; null: nothing. */
  readonly cert: string | null;
}

export interface RequestView {
  readonly method: string;
  /** As it came. */
  readonly target: string;
  /** Decoded: what routes compare. Bytes beyond ASCII are \xHH. Null: it is no path. */
  readonly path: string | null;
  /** Without its port. */
  readonly host: string;
}

/**
 * later: it fits, but another was chosen before it was tried. host, path, host_and_path: it was not tried, since
 * that does not fit. The others: it was tried, and that failed;
 * regex_limit: its expression took too many steps.
 */
export type RouteCause =
  | "chosen"
  | "pattern"
  | "regex"
  | "regex_limit"
  | "method"
  | "header"
  | "query"
  | "cookie"
  | "client"
  | "host"
  | "path"
  | "host_and_path"
  | "later";

export interface RouteView extends Place {
  /** As the access log has it. */
  readonly name: string;
  readonly tried: boolean;
  readonly cause: RouteCause;
  readonly text: string;
}

export interface ClientView {
  readonly ip: string;
  /** Whether what it says of other clients is believed. */
  readonly trusted: boolean;
  /** The prefix that makes it so. */
  readonly by: string | null;
}

/** A line of the head that the server gets. */
export interface LineView {
  /** kept: as it came. new: ours, or changed. removed: it came, and is not passed on. */
  readonly how: "kept" | "new" | "removed";
  /** `NAME: VALUE`; NEW_NUMBER stands for what is made anew for each request. */
  readonly text: string;
}

/** Stands where a number is written that is drawn for each request. */
export const NEW_NUMBER = "a-new-number";

export interface ForwardedView {
  readonly came: string;
  /** The first line that the server gets. */
  readonly line: string;
  readonly fields: readonly LineView[];
  /** What the route does to the answer's fields: `set X-Frame-Options`. */
  readonly answer_edits: readonly string[];
}

export interface AnswerView {
  readonly status: number;
  readonly location: string | null;
  readonly type: string | null;
  /** The beginning of its body; null: it is a redirect, or says a reason. */
  readonly body: string | null;
  /** What the route does to its fields. */
  readonly edits: readonly string[];
}

export interface UpstreamView extends Place {
  readonly name: string;
  readonly balance: Rule;
  /** What a rule that hashes goes by; null for others. */
  readonly by: string | null;
  /** Null: its servers are spoken to without TLS. */
  readonly tls: ServerTlsView | null;
  /** The PROXY header that each server's connection begins with: `v2 with unique-id, crc32c`; null: none. */
  readonly send_proxy: string | null;
  /** Where its servers' connections come from: an address, or `client`, its own; null: whatever routes say. */
  readonly source: string | null;
  /** Why they cannot come from there now; null: they can, or it is not known. */
  readonly source_flaw: string | null;
  /** Requests and connections that wait for a place; of all reactors. */
  readonly waiting: number;
  readonly servers: readonly ServerView[];
  readonly servers_left_out: number;
  /** Servers that are tried in turn when a connect fails. */
  readonly then: readonly string[];
  readonly then_left_out: number;
  /** Host names among its targets that have no address. */
  readonly unresolved: readonly string[];
}

export interface ServerView {
  readonly address: string;
  /** As configured: a host name may stand for several addresses. */
  readonly target: string;
  /** The name that it is asked for by TLS, and that its certificate must have; "": none. Null: no TLS. */
  readonly tls_name: string | null;
  /** What reactors go by; "unchecked" counts as up. */
  readonly health: "up" | "down" | "unchecked";
  readonly since: string | null;
  readonly why: string | null;
  /** What to change where TLS is why. */
  readonly change: readonly string[];
  /** 0: it gets nothing new. */
  readonly weight: number;
  /** Without what was said of it at run time. */
  readonly configured_weight: number;
  /** In slow start, what it has of its weight; null: all of it. */
  readonly slow_start: number | null;
  readonly backup: boolean;
  /** It gets nothing new; disabled: and is not checked, whether it is drained as well or not. */
  readonly drained: boolean;
  readonly disabled: boolean;
  /** Connections and requests at it; null: they are not counted. */
  readonly in_use: number | null;
  /** Null: they are not limited. */
  readonly max_connections: number | null;
  /** What the rule compares, the least first: those in use by weight, or milliseconds; null: nothing. */
  readonly score: number | null;
  /** How many picks from now its turn comes: 0 is the next one; null: it goes by no turn, or has none soon. */
  readonly turn: number | null;
  readonly chosen: boolean;
  /** Why it was chosen, or not. */
  readonly text: string;
}

/** How fast bytes may go; null: as fast as they can. */
export interface BandwidthView extends Place {
  /** Whose bytes are counted together: those of the connection, of all from its address, of all. */
  readonly of: "connection" | "source" | "listener";
  /** To clients, and from them. */
  readonly down: PaceView | null;
  readonly up: PaceView | null;
}

/** So many bytes in so long, and so many at once after a time without any. */
export interface PaceView {
  readonly bytes: number;
  readonly window_ms: number;
  readonly burst_bytes: number;
}

export interface TimeoutView {
  /** As in the file: answer. */
  readonly name: string;
  /** 0: off. */
  readonly ms: number;
  /** What it bounds. */
  readonly text: string;
  /** The key that gives it, with its place; null: nobody wrote one, it is the default. */
  readonly from: Place | null;
}
