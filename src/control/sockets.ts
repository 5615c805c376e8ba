// Settings of sockets on this machine: given to C before anything is opened with them, and tried, so that what the
// kernel refuses, or this user may not, is told before the first connection fails by it.
import { readFileSync } from "node:fs";
import { ARENA_SCRATCH, SOCKETS_MAX } from "../base/limits.ts";
import { EACCES, ENODEV, ENOPROTOOPT, EOPNOTSUPP, EPERM, errnoName } from "../sys/errno.ts";
import { MachineFact, SocketOption } from "../sys/symbols.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { encodeAddress } from "./config/address.ts";
import {
  ofListener,
  ofUpstream,
  type SocketNumbers,
  socketNumbers,
  type SocketSettings,
} from "./config/compile_sockets.ts";
import { quoted } from "./config/errors.ts";
import type { Finding, Path } from "./config/finding.ts";
import type { Config } from "./config/schema.ts";
import type { Owner } from "./config/socket_values.ts";
import { Numbers } from "./numbers.ts";

/** A user or a group that this machine does not know. */
export class OwnerError extends Error {
  override name = "OwnerError";
  readonly kind: "user" | "group";
  constructor(kind: "user" | "group", name: string) {
    super(`${quoted(name)} is no ${kind} of this machine`);
    this.kind = kind;
  }
}

const FILES = { user: "/etc/passwd", group: "/etc/group" } as const;

/** The number of a user or a group. @throws OwnerError */
export function idOf(owner: Owner, kind: "user" | "group"): number {
  if ("id" in owner) return owner.id;
  let text = "";
  try {
    text = readFileSync(FILES[kind], "utf8");
  } catch {
    // nobody is known then
  }
  const line = text.split("\n").find((line) => line.startsWith(`${owner.name}:`));
  const id = Number(line?.split(":")[2] ?? NaN);
  if (!Number.isInteger(id)) throw new OwnerError(kind, owner.name);
  return id;
}

/** The settings that C has, each given to it once: reactors read them as they are. */
export class Settings {
  readonly #open = new Set<number>();

  /** Gives those of a configuration to C that it has not yet, from the control plane's room. @throws OwnerError */
  open(config: Config, { listeners, upstreams }: SocketNumbers): void {
    const add = (number: number, settings: () => SocketSettings): void => {
      if (this.#open.has(number)) return;
      open(number, settings());
      this.#open.add(number);
    };
    for (const [name, number] of listeners) add(number, () => ofListener(config.listeners[name], idOf));
    for (const [name, number] of upstreams) add(number, () => ofUpstream(config.upstreams[name]));
  }

  /** Nobody works by these any more: their numbers will mean others. */
  forget(numbers: Iterable<number>): void {
    for (const number of numbers) this.#open.delete(number);
  }
}

/** Gives all settings of a configuration to C that is the only one of this process. @throws OwnerError */
export function openSettings(config: Config): SocketNumbers {
  const all = new Numbers(SOCKETS_MAX), numbers = socketNumbers(config, (key) => all.take(key));
  new Settings().open(config, numbers);
  return numbers;
}

function open(number: number, { options, device, source }: SocketSettings): void {
  must(sys.socket_open(number));
  for (const [option, value] of options) must(sys.socket_set(number, option, value));
  if (device !== undefined) {
    const { written } = new TextEncoder().encodeInto(device, arenaBytes.subarray(ARENA_SCRATCH));
    must(sys.socket_device(number, ARENA_SCRATCH, written));
  }
  if (source !== undefined) {
    arenaBytes.set(encodeAddress(source), ARENA_SCRATCH);
    must(sys.socket_source(number, ARENA_SCRATCH));
  }
}

function must(result: number): void {
  if (result < 0) throw new Error(`sockets: settings could not be made: ${errnoName(-result)}`);
}

/** The key of each option, as it stands in `socket` (or beside it). */
const KEYS: Readonly<Partial<Record<SocketOption, string>>> = {
  [SocketOption.NoDelay]: "nodelay",
  [SocketOption.KeepAlive]: "keep-alive",
  [SocketOption.KeepIdle]: "keep-alive",
  [SocketOption.KeepIntvl]: "keep-alive",
  [SocketOption.KeepCnt]: "keep-alive",
  [SocketOption.UserTimeout]: "user-timeout",
  [SocketOption.SndBuf]: "send-buffer",
  [SocketOption.RcvBuf]: "receive-buffer",
  [SocketOption.DeferAccept]: "defer-accept",
  [SocketOption.FastOpen]: "fast-open",
  [SocketOption.FastOpenConnect]: "fast-open",
  [SocketOption.V6Only]: "v6only",
  [SocketOption.Transparent]: "transparent",
  [SocketOption.Mode]: "mode",
  [SocketOption.Uid]: "user",
  [SocketOption.Gid]: "group",
  [SocketOption.Device]: "interface",
};

/** Why the kernel refuses a setting. */
export interface SettingFlaw {
  /** The key under `socket`; undefined: it is about where connections come from. */
  readonly key: string | undefined;
  readonly what: string;
  readonly remedy: string;
}

/** What the last `listen` or `socket_try` failed by, if that was a setting; `mptcp` says whether it was to be a socket
 * of MPTCP, which lacks some that TCP has. */
export function settingFlaw(errno: number, mptcp: boolean): SettingFlaw | undefined {
  const option: SocketOption = sys.socket_flaw();
  if (option === SocketOption.Source) {
    return {
      key: undefined,
      what: errno === ENODEV
        ? "this machine has no such address, or not of the servers' family"
        : `the kernel refuses to come from there: ${errnoName(errno)}`,
      remedy: "`ip addr` lists those it has",
    };
  }
  const key = KEYS[option];
  if (key === undefined) return undefined;
  if (key === "interface" && errno === ENODEV) {
    return { key, what: "this machine has no such interface", remedy: "`ip link` lists those it has" };
  }
  if (errno === EPERM || errno === EACCES) return { key, ...rightOf(key) };
  if (errno === ENOPROTOOPT || errno === EOPNOTSUPP) {
    if (mptcp) {
      return {
        key,
        what: "the kernel does not have it with mptcp: true",
        remedy: `leave ${key} or mptcp out`,
      };
    }
    return { key, what: "the kernel does not have it for such a socket", remedy: "leave it out" };
  }
  return { key, what: `the kernel refuses it: ${errnoName(errno)}`, remedy: "leave it out" };
}

function rightOf(key: string): { what: string; remedy: string } {
  switch (key) {
    case "transparent":
      return { what: "this user may not take addresses that are not its own", remedy: GRANT };
    case "interface":
      return { what: "this user may not bind to an interface", remedy: "run as root, or grant CAP_NET_RAW" };
    case "user":
    case "group":
      return { what: "this user may not give files away", remedy: "run as root, or grant CAP_CHOWN" };
    default:
      return { what: "this user may not set it", remedy: "run as root, or leave it out" };
  }
}

const GRANT = "run as root, or grant CAP_NET_ADMIN (systemd: AmbientCapabilities=CAP_NET_ADMIN)";

/** What of the settings of upstreams does not work here; and of all what works otherwise than is asked for. The
 * settings are open. */
export function settingFindings(config: Config, { upstreams }: SocketNumbers): Finding[] {
  return [
    ...Object.entries(config.listeners).flatMap(([name, { socket }]) =>
      softOf(["listeners", name, "socket"], socket, SERVES)
    ),
    ...Object.entries(config.upstreams).flatMap(([name, upstream]) => [
      ...softOf(["upstreams", name, "socket"], upstream.socket, ASKS),
      ...triedOf(name, upstream, upstreams.get(name)),
    ]),
  ];
}

/** Why an upstream's servers cannot be connected to as things are now, by its name: an address or an interface may go
 * at any time. Some system calls for each that has settings; the settings are open. */
export function settingProblems(
  { upstreams: configured }: Config,
  numbers: SocketNumbers,
): Map<string, string> {
  const problems = new Map<string, string>();
  for (const [name, number] of numbers.upstreams) {
    const upstream = configured[name], { source } = upstream;
    for (const { path, what, remedy } of triedOf(name, upstream, number)) {
      const key = path.slice(2).join(".");
      const values: Readonly<Record<string, string | undefined>> = {
        source: source === "client" ? source : source?.ip,
        "socket.interface": upstream.socket.interface,
      };
      problems.set(name, `${key}${values[key] === undefined ? "" : ` ${values[key]}`}: ${what}; ${remedy}`);
    }
  }
  return problems;
}

function triedOf(
  name: string,
  { servers, source, socket }: Config["upstreams"][string],
  number: number | undefined,
): Finding[] {
  if (number === undefined) return [];
  const own = source === undefined || source === "client" ? [] : [source.family];
  const literal = servers.flatMap(({ address }) => address.kind === "ip" ? [address.family] : []);
  const families = new Set(own.length > 0 ? own : literal.length > 0 ? literal : [4 as const]);
  for (const family of families) {
    const result = sys.socket_try(number, family);
    const flaw = result < 0 ? settingFlaw(-result, socket.mptcp === true) : undefined;
    if (flaw === undefined) continue;
    const from = flaw.key === undefined || flaw.key === "transparent";
    const path: Path = ["upstreams", name, ...(from ? ["source"] : ["socket", flaw.key!])];
    // What is not there may come; what this user may not do stays so.
    const severity = result === -ENODEV ? "warning" : "error";
    return [{ path, what: flaw.what, remedy: flaw.remedy, severity }];
  }
  return [];
}

/** Why nothing can come from where an upstream's connections and datagrams are to, now; null: it can, or is the
 * client's own. The settings are open. */
export function sourceFlaw(config: Config, { upstreams }: SocketNumbers, upstream: string): string | null {
  const configured = config.upstreams[upstream], source = configured?.source;
  if (source === undefined || source === "client") return null;
  const [flaw] = triedOf(upstream, configured, upstreams.get(upstream));
  return flaw?.what ?? null;
}

/** Bits of net.ipv4.tcp_fastopen. */
const ASKS = 1;
const SERVES = 2;
const FASTOPEN_DEFAULT = 1;

/** What the kernel leaves out without a word. */
function softOf(
  path: Path,
  socket: Config["listeners"][string]["socket"] | Config["upstreams"][string]["socket"],
  bit: number,
): Finding[] {
  const warn = (key: string, what: string, remedy: string): Finding => ({
    path: [...path, key],
    what,
    remedy,
    severity: "warning",
  });
  const findings: Finding[] = [];
  if (socket.mptcp === true && sys.machine(MachineFact.Mptcp) !== 1) {
    findings.push(
      warn("mptcp", "the kernel has no MPTCP, or it is off: TCP is used", "sysctl -w net.mptcp.enabled=1"),
    );
  }
  const fastOpen = sysctl("net/ipv4/tcp_fastopen") ?? FASTOPEN_DEFAULT;
  if (socket["fast-open"] && (fastOpen & bit) === 0) {
    const what = `net.ipv4.tcp_fastopen is ${fastOpen}: the kernel does not do it on this side`;
    findings.push(warn("fast-open", what, `sysctl -w net.ipv4.tcp_fastopen=${fastOpen | bit}`));
  }
  const most = sysctl("net/core/somaxconn"), backlog = "backlog" in socket ? socket.backlog : undefined;
  if (backlog !== undefined && most !== undefined && backlog > most) {
    findings.push(
      warn("backlog", `the kernel cuts it to ${most}`, `sysctl -w net.core.somaxconn=${backlog}`),
    );
  }
  return findings;
}

function sysctl(name: string): number | undefined {
  try {
    const value = Number(readFileSync(`/proc/sys/${name}`, "utf8").trim());
    return Number.isInteger(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
