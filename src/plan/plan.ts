// The Plan: the only thing both planes know about the configuration. Flat arrays of integers and
// bytes in shared memory, written once by the control plane (control/config/compile.ts), never
// changed, with a generation. Numbers of listeners, upstreams, servers and probes are stable across
// generations and index these columns directly: what is not in this generation has zeroes.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";

/** How a health check looks at a server. */
export const enum ProbeKind {
  None,
  /** The connection succeeds. */
  Connect,
  /** Send a text (or nothing), expect a text (or nothing) in the answer. */
  Text,
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
  "accessAll", // 1: every connection is logged; 0: those that ended by an error
] as const;
type HeaderField = (typeof HEADER)[number];
/** Everything of the header that its maker decides. */
export type PlanSizes = Omit<Record<HeaderField, number>, "generation">;

/** Column -> the header field that gives its length. All are int32. */
const COLUMNS = {
  // A listening socket, and the listener it is of (in reuseport mode a listener has one per reactor).
  socketListener: "sockets",
  // A listener: one bound address.
  listenerUpstream: "listeners", // NONE: this number is not in use
  listenerTunnelIdleMs: "listeners", // 0: no limit
  // An upstream: its servers are upstreamMember[first .. first + count).
  upstreamFirst: "upstreams",
  upstreamCount: "upstreams",
  upstreamConnectMs: "upstreams",
  upstreamMember: "members",
  // A server.
  serverAddressAt: "servers", // an address record in the arena; 0: not in use
  serverUpstream: "servers",
  // A health check, and the servers whose verdict it gives: probeMember[first .. first + count).
  probeKind: "probes", // ProbeKind; None: not in use
  probeAddressAt: "probes",
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
  probeMember: "probeMembers",
} as const satisfies Record<string, HeaderField>;
type ColumnName = keyof typeof COLUMNS;

export type Plan =
  & { readonly [K in ColumnName]: Int32Array }
  & Readonly<Record<HeaderField, number>>
  & { readonly arena: Uint8Array; readonly memory: SharedArrayBuffer };

/** Offset 0 of the arena is never used: an offset of 0 means "none". */
export const ARENA_FIRST = 8;

function columnLength(sizes: PlanSizes, name: ColumnName): number {
  return sizes[COLUMNS[name]];
}

/** A zeroed Plan of the given sizes, to be filled and then published. */
export function makePlan(generation: number, sizes: PlanSizes): Plan {
  const columns = (Object.keys(COLUMNS) as ColumnName[]).reduce(
    (sum, name) => sum + columnLength(sizes, name),
    0,
  );
  const memory = new SharedArrayBuffer((HEADER.length + columns) * 4 + sizes.arenaBytes);
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
  const arena = new Uint8Array(memory, at, sizes.arenaBytes);
  return { ...sizes, ...(columns as { [K in ColumnName]: Int32Array }), arena, memory };
}

/** What must hold of any Plan before it is published; a broken one is our own bug. */
export function checkPlan(plan: Plan): void {
  for (let socket = 0; socket < plan.sockets; socket++) {
    assert(plan.socketListener[socket] < plan.listeners, "plan: a socket names a listener that is not there");
  }
  for (let listener = 1; listener < plan.listeners; listener++) {
    const upstream = plan.listenerUpstream[listener];
    assert(
      upstream >= NONE && upstream < plan.upstreams,
      "plan: a listener names an upstream that is not there",
    );
  }
  for (let upstream = 1; upstream < plan.upstreams; upstream++) {
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
  }
  for (let probe = 1; probe < plan.probes; probe++) {
    if (plan.probeKind[probe] === ProbeKind.None) continue;
    assert(
      plan.probeIntervalMs[probe] > 0 && plan.probeTimeoutMs[probe] > 0,
      "plan: a probe without interval",
    );
    const end = plan.probeFirst[probe] + plan.probeCount[probe];
    assert(end <= plan.probeMembers, "plan: a probe's servers are out of range");
  }
}
