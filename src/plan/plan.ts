// The Plan: the only thing both planes know about the configuration. Flat arrays of integers and
// bytes in shared memory, written once by the control plane (control/config/compile.ts), never
// changed, with a generation. Numbers of listeners, upstreams, servers and probes are stable across
// generations and index these columns directly: what is not in this generation has zeroes.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import { checkGuards, GUARDS, type Guards, type GuardsSizes } from "./guards.ts";
import { checkLogLines, LOG_LINES, type LogLines, type LogLinesSizes } from "./log_lines.ts";
import { checkPages, PAGES, type Pages, type PagesSizes } from "./pages.ts";
import { checkPaces, PACES, type Paces, type PacesSizes } from "./paces.ts";
import { makePart, openPart, partBytes } from "./part.ts";
import { checkRouting, ROUTING, type Routing, type RoutingSizes } from "./routing.ts";
import { checkSni, SNI, type Sni, type SniSizes } from "./sni.ts";

/** How a health check looks at a server. */
export const enum ProbeKind {
  None,
  /** The connection succeeds. */
  Connect,
  /** Send a text (or nothing), expect a text (or nothing) in the answer. */
  Text,
  /** Send a request, expect a status, and a text (or nothing) in the answer's body. */
  Http,
  /** Send a text as a datagram, expect an answer, with a text (or nothing) in it. */
  Datagram,
}

/** Statuses that an HTTP check expects: a bit for each status from the first to below the end, the lowest
 * bit of the first byte is the first status's. */
export const STATUS_FIRST = 100;
export const STATUS_END = 600;
export const STATUS_SET_BYTES = 63;

/** What a listener's clients speak. */
export const enum Protocol {
  Tcp = 1,
  Http,
  Udp,
}

/** How one of an upstream's servers is chosen (policy/balance.ts). Zero is round robin. */
export const enum Balance {
  RoundRobin,
  LeastConnections,
  RandomTwo,
  PeakEwma,
  SourceHash,
  ConsistentHash,
  First,
}

/** What of a client decides where it goes, by rules that hash. */
export const enum HashKey {
  /** Its address, or a prefix of it. */
  Client,
  /** Of a request, the path as it came. */
  Path,
  /** The value of a field; without it, the client's address. */
  Field,
  /** The value of a cookie; without it, the client's address. */
  Cookie,
}

/** What becomes of a field that tells a server about its client, two bits each in listenerForwarded at
 * the shift named below. A value that came from who is not trusted is never kept. */
export const enum Forwarding {
  /** As it came, if it came from a trusted proxy. */
  Leave,
  /** Ours is put behind what came, or set when nothing came. */
  Append,
  /** Ours alone. */
  Replace,
  /** Removed. */
  Off,
}
export const enum ForwardedShift {
  XForwardedFor = 0,
  XForwardedProto = 2,
  XForwardedHost = 4,
  XForwardedPort = 6,
  XRealIp = 8,
  Forwarded = 10,
  Via = 12,
  XRequestId = 14, // Append: set when nothing came
  Traceparent = 16,
  // Of the client's certificate. Leave: no listener asks for one, and what comes is nothing to us; Replace: this
  // one does, what came is removed, whoever sent it; Append: another one does, what came is removed unless a
  // trusted proxy sent it.
  ClientCert = 18,
  ClientCertSubject = 20,
  ClientCertFingerprint = 22,
}

/** accessShare of every line. */
export const ACCESS_SHARE_ALL = 1 << 30;

/** What a server is told of its client before the client's first byte (PROXY protocol): the version, and bits. */
export const enum SendProxy {
  Off,
  V1,
  V2,
  /** The bits of the version. */
  Version = 3,
  /** Of version 2: a unique id, a checksum, what is known of the client's TLS. */
  UniqueId = 4,
  Checksum = 8,
  Tls = 16,
}

/** Which answers carry Proxy-Status (RFC 9209). */
export const enum ProxyStatus {
  Off,
  /** Our own. */
  Own,
  /** Forwarded ones as well, with next-hop. */
  All,
}

const HEADER = [
  "generation",
  "sockets", // rows of the socket columns: highest index + 1
  "listeners", // rows of the listener columns: highest number + 1
  "upstreams",
  "servers",
  "members", // entries of upstreamMember
  "probes",
  "probeMembers",
  "arenaBytes",
  "trusted", // rows of the columns of trusted addresses
  "accessAll", // 1: every connection is logged; 0: those that ended by an error
  "accessShare", // of ACCESS_SHARE_ALL: so many of those that ended well are logged
] as const;
type HeaderField = (typeof HEADER)[number];
/** Everything of the header that its maker decides. */
export type PlanSizes = Omit<Record<HeaderField, number>, "generation"> & {
  /** Without it the Plan has no router. */
  readonly routing?: RoutingSizes;
  /** Without it every error page is ours. */
  readonly pages?: PagesSizes;
  /** Without it there is no access log. */
  readonly lines?: LogLinesSizes;
  /** Without it no listener chooses by the name that TLS clients ask for. */
  readonly sni?: SniSizes;
  /** Without it bytes of no listener are limited. */
  readonly paces?: PacesSizes;
  /** Without it everybody may come in. */
  readonly guards?: GuardsSizes;
};

/** Of nothing. */
export const NO_SIZES = Object.fromEntries(
  HEADER.filter((field) => field !== "generation").map((field) => [field, 0]),
) as unknown as PlanSizes;

/** Column -> the header field that gives its length. All are int32. */
const COLUMNS = {
  // A listening socket, and the listener it is of (in reuseport mode a listener has one per reactor).
  socketListener: "sockets",
  // A listener: one bound address.
  // Names as the access log has them, escaped for it. A listener, an upstream or a server that has left has
  // its name for as long as connections may hang on its number.
  listenerNameAt: "listeners",
  listenerNameBytes: "listeners",
  listenerPort: "listeners", // the port it is bound to; 0: none (unix)
  listenerUpstream: "listeners", // NONE: HTTP and routes alone, or a number that is not in use
  listenerTunnelIdleMs: "listeners", // 0: no limit
  listenerTls: "listeners", // the profile that its clients' TLS goes by (ffi/sluice.h); 0: plain
  listenerHandshakeMs: "listeners", // for a client's TLS handshake, and for its PROXY header before that
  // Proxies that a PROXY header is expected from, refused is everybody else: trustedAt[first .. first + count).
  listenerProxyFirst: "listeners",
  listenerProxyCount: "listeners", // 0: no header is expected
  listenerWriteStallMs: "listeners", // a client that takes nothing of what is held for it; 0: no limit
  listenerHalfClosedMs: "listeners", // a tunnel of which one direction has ended; 0: no limit
  listenerSilenceMs: "listeners", // no HTTP: silence while it is the client's turn; 0: no limit of its own
  listenerProtocol: "listeners", // Protocol; 0: this number is not in use
  // For datagrams.
  listenerFlowIdleMs: "listeners", // a session without a datagram for so long is ended
  listenerResponses: "listeners", // answers expected for each datagram of a client; below 0: any number
  // The rest is for HTTP. Its router; NONE: everything goes to its upstream.
  listenerRouter: "listeners",
  listenerClientIdleMs: "listeners",
  listenerRequestHeadMs: "listeners",
  listenerBodyStallMs: "listeners",
  listenerExchangeMs: "listeners", // from a request's head to its answer's end; 0: no limit
  listenerForwarded: "listeners", // Forwarding, by ForwardedShift
  listenerProxyStatus: "listeners", // ProxyStatus
  listenerLeaves: "listeners", // 1: it is there no more but for those who came by it: no further request is awaited of them
  listenerToHttps: "listeners", // the port of https:// that its requests are sent to; 0: they are served here
  listenerHstsAt: "listeners", // Strict-Transport-Security, the whole line
  listenerHstsBytes: "listeners",
  listenerThumbprintAt: "listeners", // of the ACME account; without it no challenge is answered
  listenerThumbprintBytes: "listeners",
  // Addresses whose fields are believed: trustedAt[first .. first + count), records in the arena of
  // [0] family, [1] bits of the prefix, [4..19] IP.
  listenerTrustedFirst: "listeners",
  listenerTrustedCount: "listeners",
  trustedAt: "trusted",
  // An upstream: its servers are upstreamMember[first .. first + count).
  upstreamNameAt: "upstreams",
  upstreamNameBytes: "upstreams",
  upstreamFirst: "upstreams",
  upstreamCount: "upstreams",
  upstreamConnectMs: "upstreams",
  upstreamAnswerMs: "upstreams",
  upstreamServerIdleMs: "upstreams", // a body's server that says nothing for so long
  upstreamQueueMs: "upstreams",
  upstreamWriteStallMs: "upstreams", // a server that takes nothing of what is held for it; 0: no limit
  upstreamSilenceMs: "upstreams", // no HTTP: silence while it is the server's turn; 0: no limit of its own
  upstreamKeepMax: "upstreams", // idle connections kept by each reactor for each server
  upstreamKeepMs: "upstreams", // for so long; -1: as the server says
  upstreamSendProxy: "upstreams", // SendProxy
  upstreamMember: "members",
  upstreamBalance: "upstreams", // Balance
  upstreamSlowStartMs: "upstreams", // a server that joins or comes back has its whole weight so much later
  upstreamCounted: "upstreams", // 1: every exchange at its servers takes a place, since the rule counts them
  upstreamLoadMax: "upstreams", // of the average load, in percent: what a server may have; 0: any
  upstreamTableAt: "upstreams", // Maglev table: positions of its servers, two bytes each, low byte first
  upstreamTableSize: "upstreams", // entries; a prime, or 0: none of its servers has weight
  upstreamKey: "upstreams", // HashKey
  upstreamKeyAt: "upstreams", // the name of the field or cookie; a field's in lower case
  upstreamKeyBytes: "upstreams",
  upstreamPrefix4: "upstreams", // bits of an address that count: 0 to 32, 0 to 128
  upstreamPrefix6: "upstreams",
  // A server.
  serverNameAt: "servers", // its address, for the access log
  serverNameBytes: "servers",
  serverAddressAt: "servers", // an address record in the arena; 0: not in use
  serverUpstream: "servers",
  serverBaseAt: "servers", // base path, without its last slash
  serverBaseBytes: "servers",
  serverAuthorityAt: "servers", // what Host says when the client said nothing
  serverAuthorityBytes: "servers",
  serverTls: "servers", // the profile; 0: plain
  serverTlsNameAt: "servers", // whom its certificate must be for
  serverTlsNameBytes: "servers",
  serverSocket: "servers", // settings of its connections, and what they need (sys/symbols.ts, HOW_); 0: none
  serverConnectionsMax: "servers", // in use at once, by all reactors; 0: no limit
  serverWeightMore: "servers", // its weight beyond 1; -1: weight 0, it gets nothing new
  serverBackup: "servers", // 1: only for when none of the others is to be had
  // A health check, and the servers whose verdict it gives: probeMember[first .. first + count).
  probeKind: "probes", // ProbeKind; None: not in use
  probeAddressAt: "probes",
  probeTls: "probes", // as those of a server
  probeSendProxy: "probes", // as that of an upstream
  probeTlsNameAt: "probes",
  probeTlsNameBytes: "probes",
  probeSocket: "probes", // as that of a server
  probeFirst: "probes",
  probeCount: "probes",
  probeIntervalMs: "probes",
  probeTimeoutMs: "probes",
  probeFall: "probes",
  probeRise: "probes",
  probeSendAt: "probes",
  probeSendBytes: "probes",
  probeExpectAt: "probes",
  probeExpectBytes: "probes",
  probePattern: "probes", // a compiled expression (sys.pattern_match), or NONE: a substring
  probeStatusAt: "probes", // HTTP: the statuses expected (STATUS_SET_BYTES)
  probeMember: "probeMembers",
} as const satisfies Record<string, HeaderField>;
type ColumnName = keyof typeof COLUMNS;

export type Plan =
  & { readonly [K in ColumnName]: Int32Array }
  & Readonly<Record<HeaderField, number>>
  & {
    readonly routing: Routing;
    readonly pages: Pages;
    readonly lines: LogLines;
    readonly sni: Sni;
    readonly paces: Paces;
    readonly guards: Guards;
    readonly arena: Uint8Array;
    /** The arena for who copies it in words: it goes on for ARENA_SLACK_BYTES. */
    readonly arenaWords: DataView;
    readonly memory: SharedArrayBuffer;
  };

/** A trusted prefix in the arena. */
export const TRUSTED_BYTES = 20;
/** Offset 0 of the arena is never used: an offset of 0 means "none". */
export const ARENA_FIRST = 8;

function columnLength(sizes: PlanSizes, name: ColumnName): number {
  return sizes[COLUMNS[name]];
}

/** Texts are copied up to four words of four bytes at once, the last ones whole. */
export const ARENA_SLACK_BYTES = 16;

/** A zeroed Plan of the given sizes, to be filled and then published. */
export function makePlan(generation: number, sizes: PlanSizes): Plan {
  const columns = (Object.keys(COLUMNS) as ColumnName[]).reduce(
    (sum, name) => sum + columnLength(sizes, name),
    0,
  );
  const routingAt = (HEADER.length + columns) * 4;
  const pagesAt = routingAt + partBytes(ROUTING, sizes.routing);
  const linesAt = pagesAt + partBytes(PAGES, sizes.pages);
  const sniAt = linesAt + partBytes(LOG_LINES, sizes.lines);
  const guardsAt = sniAt + partBytes(SNI, sizes.sni);
  const pacesAt = guardsAt + partBytes(GUARDS, sizes.guards);
  const arenaAt = pacesAt + partBytes(PACES, sizes.paces);
  const memory = new SharedArrayBuffer(arenaAt + sizes.arenaBytes + ARENA_SLACK_BYTES);
  makePart(memory, routingAt, ROUTING, sizes.routing);
  makePart(memory, pagesAt, PAGES, sizes.pages);
  makePart(memory, linesAt, LOG_LINES, sizes.lines);
  makePart(memory, sniAt, SNI, sizes.sni);
  makePart(memory, guardsAt, GUARDS, sizes.guards);
  makePart(memory, pacesAt, PACES, sizes.paces);
  const header = new Int32Array(memory, 0, HEADER.length);
  HEADER.forEach((field, index) => header[index] = field === "generation" ? generation : sizes[field]);
  return openPlan(memory);
}

/** Views published memory as a Plan. */
export function openPlan(memory: SharedArrayBuffer): Plan {
  const header = new Int32Array(memory, 0, HEADER.length);
  const sizes = Object.fromEntries(HEADER.map((field, index) => [field, header[index]])) as Record<
    HeaderField,
    number
  >;
  const columns: Record<string, Int32Array> = {};
  let at = HEADER.length * 4;
  for (const name of Object.keys(COLUMNS) as ColumnName[]) {
    columns[name] = new Int32Array(memory, at, columnLength(sizes, name));
    at += columnLength(sizes, name) * 4;
  }
  const routing = openPart(memory, at, ROUTING);
  at += partBytes(ROUTING, routing.sizes);
  const pages = openPart(memory, at, PAGES);
  at += partBytes(PAGES, pages.sizes);
  const lines = openPart(memory, at, LOG_LINES);
  at += partBytes(LOG_LINES, lines.sizes);
  const sni = openPart(memory, at, SNI);
  at += partBytes(SNI, sni.sizes);
  const guards = openPart(memory, at, GUARDS);
  at += partBytes(GUARDS, guards.sizes);
  const paces = openPart(memory, at, PACES);
  at += partBytes(PACES, paces.sizes);
  const arena = new Uint8Array(memory, at, sizes.arenaBytes);
  const arenaWords = new DataView(memory, at, sizes.arenaBytes + ARENA_SLACK_BYTES);
  const flat = columns as { [K in ColumnName]: Int32Array };
  return { ...sizes, ...flat, routing, pages, lines, sni, guards, paces, arena, arenaWords, memory };
}

/** Whether a server's number means a server in this generation. */
export function serverIsThere(plan: Plan, server: number): boolean {
  return server < plan.servers && plan.serverAddressAt[server] !== NONE;
}

/** Whether connections to a server that one generation makes are what another makes: to nobody else, protected no less, and
 * from the same place. */
export function serverStays(before: Plan, plan: Plan, server: number): boolean {
  if (before === plan) return true;
  return serverIsThere(before, server) && serverIsThere(plan, server) &&
    before.serverTls[server] === plan.serverTls[server] &&
    before.serverSocket[server] === plan.serverSocket[server] &&
    before.upstreamSendProxy[before.serverUpstream[server]] ===
      plan.upstreamSendProxy[plan.serverUpstream[server]] &&
    hasTlsName(before, server, plan);
}

/** Whether its certificate must be for the same name in both. */
function hasTlsName(before: Plan, server: number, plan: Plan): boolean {
  const bytes = plan.serverTlsNameBytes[server], at = plan.serverTlsNameAt[server];
  if (before.serverTlsNameBytes[server] !== bytes) return false;
  const beforeAt = before.serverTlsNameAt[server];
  for (let byte = 0; byte < bytes; byte++) {
    if (before.arena[beforeAt + byte] !== plan.arena[at + byte]) return false;
  }
  return true;
}

/** What must hold of any Plan before it is published; a broken one is our own bug. */
export function checkPlan(plan: Plan): void {
  checkRouting(plan.routing, plan.upstreams, plan.arenaBytes);
  checkPages(plan.pages, plan.arenaBytes);
  checkLogLines(plan.lines, plan.accessAll !== 0, plan.arenaBytes);
  checkSni(plan.sni, plan.upstreams, plan.arenaBytes);
  checkPaces(plan.paces);
  checkGuards(plan.guards);
  assert(
    plan.accessShare >= 0 && plan.accessShare <= ACCESS_SHARE_ALL,
    "plan: a share of the access log that is none",
  );
  for (let socket = 0; socket < plan.sockets; socket++) {
    assert(plan.socketListener[socket] < plan.listeners, "plan: a socket names a listener that is not there");
  }
  for (let listener = 1; listener < plan.listeners; listener++) checkListener(plan, listener);
  for (let upstream = 1; upstream < plan.upstreams; upstream++) checkUpstream(plan, upstream);
  for (let server = 1; server < plan.servers; server++) checkServer(plan, server);
  for (let probe = 1; probe < plan.probes; probe++) checkProbe(plan, probe);
}

function checkListener(plan: Plan, listener: number): void {
  const upstream = plan.listenerUpstream[listener], protocol = plan.listenerProtocol[listener];
  assert(
    protocol !== Protocol.Udp || plan.listenerFlowIdleMs[listener] > 0,
    "plan: sessions of datagrams without a deadline",
  );
  assert(
    upstream >= NONE && upstream < plan.upstreams,
    "plan: a listener names an upstream that is not there",
  );
  const router = plan.listenerRouter[listener];
  assert(
    router === NONE || (router > NONE && router < plan.routing.sizes.routers),
    "plan: a listener names a router that is not there",
  );
  checkPrefixes(plan, plan.listenerProxyFirst[listener], plan.listenerProxyCount[listener]);
  if (protocol !== Protocol.Http) return;
  assert(
    plan.listenerClientIdleMs[listener] > 0 && plan.listenerRequestHeadMs[listener] > 0 &&
      plan.listenerBodyStallMs[listener] > 0 && plan.listenerWriteStallMs[listener] > 0,
    "plan: an HTTP listener without deadlines",
  );
  assert(
    plan.listenerHstsAt[listener] + plan.listenerHstsBytes[listener] <= plan.arenaBytes &&
      plan.listenerThumbprintAt[listener] + plan.listenerThumbprintBytes[listener] <= plan.arenaBytes,
    "plan: a listener's texts are out of range",
  );
  assert(
    plan.listenerTls[listener] !== NONE || plan.listenerHstsBytes[listener] === 0,
    "plan: Strict-Transport-Security without TLS",
  );
  assert(
    plan.listenerTls[listener] === NONE || plan.listenerToHttps[listener] === 0,
    "plan: requests that came by https:// are sent there",
  );
  checkPrefixes(plan, plan.listenerTrustedFirst[listener], plan.listenerTrustedCount[listener]);
}

/** The prefixes of those whom a listener believes. */
function checkPrefixes(plan: Plan, first: number, count: number): void {
  assert(
    first >= 0 && count >= 0 && first + count <= plan.trusted,
    "plan: whom a listener trusts is out of range",
  );
  for (let row = first; row < first + count; row++) {
    const at = plan.trustedAt[row];
    assert(at >= ARENA_FIRST && at + TRUSTED_BYTES <= plan.arenaBytes, "plan: a trusted prefix has no bytes");
    const bits = plan.arena[at] === 4 ? 32 : 128;
    assert(plan.arena[at + 1] <= bits, "plan: a trusted prefix is longer than an address");
  }
}

function checkUpstream(plan: Plan, upstream: number): void {
  const first = plan.upstreamFirst[upstream], count = plan.upstreamCount[upstream];
  assert(
    first >= 0 && count >= 0 && first + count <= plan.members,
    "plan: an upstream's servers are out of range",
  );
  for (let member = first; member < first + count; member++) {
    const server = plan.upstreamMember[member];
    assert(server > NONE && server < plan.servers, "plan: an upstream names a server that is not there");
    assert(plan.serverAddressAt[server] >= ARENA_FIRST, "plan: a server has no address");
  }
  const table = plan.upstreamTableAt[upstream], entries = plan.upstreamTableSize[upstream];
  assert(
    table >= 0 && entries >= 0 && table + 2 * entries <= plan.arenaBytes,
    "plan: an upstream's table is out of range",
  );
  assert(
    plan.upstreamKeyAt[upstream] + plan.upstreamKeyBytes[upstream] <= plan.arenaBytes,
    "plan: the name of an upstream's key is out of range",
  );
  const sends = plan.upstreamSendProxy[upstream];
  assert((sends & SendProxy.Version) <= SendProxy.V2, "plan: a version of the PROXY protocol that is none");
  assert(
    sends === SendProxy.Off || plan.upstreamKeepMax[upstream] === 0,
    "plan: connections that are one client's are kept for others",
  );
  assert(plan.upstreamKeepMs[upstream] >= -1, "plan: connections are kept for a time that is none");
  assert(plan.upstreamKeepMax[upstream] >= 0, "plan: a number of kept connections that is none");
}

function checkServer(plan: Plan, server: number): void {
  const base = plan.serverBaseAt[server], authority = plan.serverAuthorityAt[server];
  assert(
    base >= 0 && base + plan.serverBaseBytes[server] <= plan.arenaBytes,
    "plan: a server's base path is out of range",
  );
  assert(
    authority >= 0 && authority + plan.serverAuthorityBytes[server] <= plan.arenaBytes,
    "plan: a server's authority is out of range",
  );
  assert(plan.serverConnectionsMax[server] >= 0, "plan: a limit of connections that is none");
}

function checkProbe(plan: Plan, probe: number): void {
  if (plan.probeKind[probe] === ProbeKind.None) return;
  assert(
    plan.probeIntervalMs[probe] > 0 && plan.probeTimeoutMs[probe] > 0,
    "plan: a probe without interval",
  );
  const end = plan.probeFirst[probe] + plan.probeCount[probe];
  assert(end <= plan.probeMembers, "plan: a probe's servers are out of range");
  if (plan.probeKind[probe] !== ProbeKind.Http) return;
  assert(plan.probeSendBytes[probe] > 0, "plan: an HTTP check without a request");
  const statuses = plan.probeStatusAt[probe];
  assert(
    statuses >= ARENA_FIRST && statuses + STATUS_SET_BYTES <= plan.arenaBytes,
    "plan: an HTTP check without statuses",
  );
}
