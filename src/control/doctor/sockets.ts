// What the kernel keeps of TCP: queues, ports, TIME-WAIT, the tracking of connections.
import { BACKLOG } from "../listen_flaw.ts";
import { quoted } from "../config/errors.ts";
import { counted } from "../config/units.ts";
import { type Check, grouped, sysctlChange, unseen } from "./check.ts";
import { bindsOf, type Load } from "./load.ts";
import { type Machine, sysctl } from "./machine.ts";

/** How long a closed connection keeps its port: a constant of Linux. */
const TIME_WAIT_S = 60;
/** The kernel's own since 5.4; 128 before. */
const SOMAXCONN_USUAL = 4_096;
const SYN_BACKLOG_LEAST = 1_024;
const PORTS_FEW = 16_384;
/** Entries of conntrack for one proxied connection: its client's, its server's. */
const TRACKED_PER_CONNECTION = 2;

export function socketChecks(machine: Machine, load: Load): Check[] {
  return [
    somaxconn(machine),
    synQueue(machine),
    ports(machine, load),
    reservedPorts(machine, load),
    timeWait(machine),
    conntrack(machine, load),
    ...fastOpen(machine, load),
  ];
}

/** Bits of net.ipv4.tcp_fastopen, and what it is where nobody has set it. */
const FASTOPEN_ASKS = 1;
const FASTOPEN_SERVES = 2;

/** Only where it is asked for. */
function fastOpen(machine: Machine, { config: { listeners, upstreams } }: Load): Check[] {
  const serves = Object.values(listeners).some(({ socket }) => socket["fast-open"] !== undefined);
  const asks = Object.values(upstreams).some(({ socket }) => socket["fast-open"] === true);
  const needed = (serves ? FASTOPEN_SERVES : 0) | (asks ? FASTOPEN_ASKS : 0);
  if (needed === 0) return [];
  const name = "TCP Fast Open", key = "net.ipv4.tcp_fastopen", found = sysctl(machine, key)?.[0];
  const limits = "bytes that go with a SYN: 1 to servers, 2 from clients, 3 both; else they come behind it";
  if (found === undefined) return [unseen(name, key, limits)];
  return [{
    name,
    found: String(found),
    verdict: (found & needed) === needed ? "ok" : "warn",
    limits,
    change: sysctlChange(key, found | needed),
  }];
}

/** A counter of /proc/net/netstat, since the machine started. */
function netstat({ read }: Machine, name: string): number | undefined {
  const [names, values] = (read("/proc/net/netstat") ?? "").split("\n").filter((line) =>
    line.startsWith("TcpExt:")
  ).map((line) => line.split(" "));
  const at = names?.indexOf(name) ?? -1;
  return at < 0 ? undefined : Number(values?.[at]);
}

function somaxconn(machine: Machine): Check {
  const name = "accept queue (somaxconn)", most = sysctl(machine, "net.core.somaxconn")?.[0];
  if (most === undefined) return unseen(name, "net.core.somaxconn", "connections that wait to be accepted");
  const queue = Math.min(most, BACKLOG), lost = netstat(machine, "ListenOverflows") ?? 0;
  const few = most < SOMAXCONN_USUAL;
  return {
    name,
    found: grouped(most) +
      (lost > 0 ? `; ${counted(lost, "connection")} found some queue full since the machine started` : ""),
    verdict: few ? "warn" : lost > 0 && most < BACKLOG ? "note" : "ok",
    limits: `${grouped(queue)} connections wait on each listener while Sluice is busy: ` +
      `${
        grouped(queue / 10)
      } ms of a rush of 10,000 a second; further ones are dropped, and come a second late`,
    change: [
      ...sysctlChange("net.core.somaxconn", BACKLOG),
      { when: "instead", command: "then start Sluice again: a queue has the length it was opened with" },
    ],
  };
}

/** Connections that were dropped for another reason than a full accept queue: too many half-open, or no memory. */
function droppedElsewhere(machine: Machine): number {
  return Math.max(0, (netstat(machine, "ListenDrops") ?? 0) - (netstat(machine, "ListenOverflows") ?? 0));
}

function synQueue(machine: Machine): Check {
  const name = "half-open connections", cookies = sysctl(machine, "net.ipv4.tcp_syncookies")?.[0];
  const backlog = sysctl(machine, "net.ipv4.tcp_max_syn_backlog")?.[0];
  if (cookies === undefined || backlog === undefined) {
    return unseen(name, "net.ipv4.tcp_syncookies", "what a flood of SYNs does");
  }
  const dropped = droppedElsewhere(machine);
  const found = `tcp_max_syn_backlog ${grouped(backlog)}, tcp_syncookies ${cookies}` +
    (dropped > 0
      ? `; ${counted(dropped, "connection")} dropped for want of room or memory since the machine started`
      : "");
  if (cookies === 1) {
    return {
      name,
      found,
      verdict: "ok",
      limits: "beyond it cookies answer: a flood locks nobody out",
      change: [],
    };
  }
  if (cookies === 2) {
    const limits =
      "cookies for every connection: those without TCP timestamps lose window scaling, and are slow";
    return { name, found, verdict: "note", limits, change: sysctlChange("net.ipv4.tcp_syncookies", 1) };
  }
  return {
    name,
    found,
    verdict: "warn",
    limits: `no cookies: ${grouped(backlog)} SYNs that nobody follows up keep everybody else out`,
    change: [
      ...sysctlChange("net.ipv4.tcp_syncookies", 1),
      ...(backlog < SYN_BACKLOG_LEAST ? sysctlChange("net.ipv4.tcp_max_syn_backlog", 8_192) : []),
    ],
  };
}

/** Local ports for connections to one server's address; undefined when nobody says. */
function portRange(machine: Machine): { first: number; last: number; count: number } | undefined {
  const range = sysctl(machine, "net.ipv4.ip_local_port_range");
  if (range === undefined || range.length < 2) return undefined;
  const [first, last] = range;
  const reserved = reservedRanges(machine).reduce(
    (sum, [from, to]) => sum + Math.max(0, Math.min(to, last) - Math.max(from, first) + 1),
    0,
  );
  return { first, last, count: last - first + 1 - reserved };
}

/** ip_local_reserved_ports: 8080,9148-9150 */
function reservedRanges({ read }: Machine): [from: number, to: number][] {
  const text = read("/proc/sys/net/ipv4/ip_local_reserved_ports") ?? "";
  return text.split(",").filter((part) => part !== "").map((part) => {
    const [from, to = from] = part.split("-").map(Number);
    return [from, to];
  });
}

function ports(machine: Machine, { config, capacity, given, byDefault }: Load): Check {
  const name = "ports to servers", range = portRange(machine);
  if (range === undefined) {
    return unseen(name, "net.ipv4.ip_local_port_range", "connections to one server's address");
  }
  const each = `${grouped(range.count)} connections at once to one server's address and port`;
  const upstreams = Object.entries(config.upstreams).flatMap(([upstream, { servers }]) => {
    const addresses = servers.filter(({ address }) => address.kind !== "unix").length;
    return addresses === 0 || addresses < servers.length ? [] : [{ upstream, addresses }];
  });
  const [fewest] = upstreams.sort((one, other) => one.addresses - other.addresses);
  const carried = range.count * (fewest?.addresses ?? 1);
  const short = given && fewest !== undefined && carried < capacity.connections;
  const few = range.count < PORTS_FEW;
  return {
    name,
    found: `${range.first} to ${range.last}: ${grouped(range.count)}`,
    verdict: few ? "warn" : short ? byDefault ? "note" : "warn" : "ok",
    limits: short
      ? `${each}; upstream ${quoted(fewest.upstream)} has ${
        counted(fewest.addresses, "address")
      }, which carry ` +
        `${grouped(carried)} of ${grouped(capacity.connections)}`
      : each,
    change: [
      ...sysctlChange("net.ipv4.ip_local_port_range", "1024 65535"),
      ...(short
        ? [{ when: "instead", command: `more addresses under upstreams.${fewest.upstream}.servers` } as const]
        : []),
    ],
  };
}

/** A listener's port within the range for connections may be taken by one of those at the next start. */
function reservedPorts(machine: Machine, { config, given }: Load): Check {
  const name = "ports of listeners", range = portRange(machine), reserved = reservedRanges(machine);
  const own = bindsOf(config).flatMap((address) => address.kind === "unix" ? [] : [address.port]);
  const open = range === undefined || !given
    ? []
    : [...new Set(own)].filter((port) =>
      port >= range.first && port <= range.last && !reserved.some(([from, to]) => port >= from && port <= to)
    ).sort((one, other) => one - other);
  if (open.length === 0) {
    const found = given ? "none is among the ports for connections" : "no file was given";
    return { name, found, verdict: "ok", limits: "", change: [] };
  }
  const all = [...reserved.map(([from, to]) => from === to ? `${from}` : `${from}-${to}`), ...open].join(",");
  return {
    name,
    found: `${open.slice(0, 8).join(", ")}${open.length > 8 ? ", ..." : ""}: among the ports for connections`,
    verdict: "warn",
    limits: "any connection of this machine may have taken the port when Sluice starts: address in use",
    change: sysctlChange("net.ipv4.ip_local_reserved_ports", all),
  };
}

function timeWait(machine: Machine): Check {
  const name = "ports in TIME-WAIT", reuse = sysctl(machine, "net.ipv4.tcp_tw_reuse")?.[0];
  const stamps = sysctl(machine, "net.ipv4.tcp_timestamps")?.[0] ?? 1;
  if (reuse === undefined) {
    return unseen(name, "net.ipv4.tcp_tw_reuse", "new connections to one server a second");
  }
  const range = portRange(machine), words = ["off", "on", "for loopback only"];
  const found = `tcp_tw_reuse ${reuse} (${words[reuse] ?? "unknown"})` +
    (stamps === 0 ? ", and tcp_timestamps 0, without which it does nothing" : "");
  if (reuse === 1 && stamps !== 0) {
    return { name, found, verdict: "ok", limits: "a port is used again after a second", change: [] };
  }
  const rate = range === undefined ? "" : `${grouped(range.count / TIME_WAIT_S)} `;
  return {
    name,
    found,
    verdict: reuse === 1 ? "warn" : "note",
    limits:
      `a connection that Sluice closed keeps its port for ${TIME_WAIT_S} s: at most ${rate}new ones a second ` +
      "to one server's address, where they are not kept",
    change: [
      ...(reuse === 1 ? [] : sysctlChange("net.ipv4.tcp_tw_reuse", 1)),
      ...(stamps === 0 ? sysctlChange("net.ipv4.tcp_timestamps", 1) : []),
    ],
  };
}

function conntrack(machine: Machine, { capacity, byDefault }: Load): Check {
  const name = "conntrack",
    most = sysctl(machine, "net.netfilter.nf_conntrack_max")?.[0];
  if (most === undefined) {
    return { name, found: "not loaded, or not to be seen from here", verdict: "ok", limits: "", change: [] };
  }
  const used = sysctl(machine, "net.netfilter.nf_conntrack_count")?.[0] ?? 0;
  const carried = most / TRACKED_PER_CONNECTION, wanted = Math.max(0, capacity.connections);
  const full = used >= most, nearly = used >= 0.75 * most, short = carried < wanted;
  const enough = Math.ceil((TRACKED_PER_CONNECTION * wanted * 1.5 + used) / 65_536) * 65_536;
  return {
    name,
    found: `${grouped(used)} of ${grouped(most)} entries in use`,
    verdict: full ? "fail" : nearly ? "warn" : short ? byDefault ? "note" : "warn" : "ok",
    limits: `${grouped(carried)} connections through Sluice, two entries each, if nobody else has any` +
      (full ? "; it is full: packets of new connections are dropped" : ""),
    change: [
      ...sysctlChange("net.netfilter.nf_conntrack_max", Math.max(enough, 2 * most)),
      {
        when: "instead",
        command: "do not track Sluice's ports: nft ... notrack, or iptables -t raw -j CT --notrack",
      },
    ],
  };
}
