// Settings of sockets by number: which listener and which upstream has which, what they are for C, and what the Plan
// knows of them. Who sets nothing has none, and costs nothing.
import { NONE } from "../../base/limits.ts";
import { HOW_CLIENT, HOW_SPEAKS, SocketOption } from "../../sys/symbols.ts";
import type { IpAddress } from "./address.ts";
import type { Config } from "./schema.ts";
import type { KeepAliveProbes, ListenerSocket, UpstreamSocket } from "./socket_schema.ts";
import type { Owner } from "./socket_values.ts";

type Listener = Config["listeners"][string];
type Upstream = Config["upstreams"][string];

/** Numbers from 1, by name; who is missing has no settings. */
export interface SocketNumbers {
  readonly listeners: ReadonlyMap<string, number>;
  readonly upstreams: ReadonlyMap<string, number>;
}

/** What sockets are made with. */
export interface SocketSettings {
  /** Values as C takes them. */
  readonly options: readonly (readonly [option: SocketOption, value: number])[];
  readonly device: string | undefined;
  readonly source: IpAddress | undefined;
}

/** Numbers the settings of a configuration: whoever has the same ones has the same number, in any configuration, and C
 * is told once what is never changed under those who work by it. */
export function socketNumbers(
  { listeners, upstreams }: Config,
  numberOf: (key: string) => number,
): SocketNumbers {
  const ofListeners = new Map<string, number>(), ofUpstreams = new Map<string, number>();
  for (const [name, listener] of Object.entries(listeners)) {
    if (isSet(ofListener(listener))) {
      ofListeners.set(name, numberOf(`from\n${JSON.stringify(listener.socket)}`));
    }
  }
  for (const [name, upstream] of Object.entries(upstreams)) {
    const { socket, source } = upstream;
    if (isSet(ofUpstream(upstream))) {
      ofUpstreams.set(name, numberOf(`to\n${JSON.stringify([socket, source])}`));
    }
  }
  return { listeners: ofListeners, upstreams: ofUpstreams };
}

function isSet({ options, device, source }: SocketSettings): boolean {
  return options.length > 0 || device !== undefined || source !== undefined;
}

const SECOND_MS = 1_000;

export function ofListener(
  { socket }: Listener,
  idOf: (owner: Owner, kind: "user" | "group") => number = () => 0,
): SocketSettings {
  const own: [SocketOption, number | undefined][] = [
    [SocketOption.DeferAccept, inSeconds(socket["defer-accept"])],
    [SocketOption.FastOpen, socket["fast-open"]],
    [SocketOption.V6Only, flag(socket.v6only)],
    [SocketOption.Transparent, flag(socket.transparent)],
    [SocketOption.Mode, socket.mode],
    [SocketOption.Uid, socket.user === undefined ? undefined : idOf(socket.user, "user")],
    [SocketOption.Gid, socket.group === undefined ? undefined : idOf(socket.group, "group")],
  ];
  return { options: given([...common(socket), ...own]), device: socket.interface, source: undefined };
}

export function ofUpstream({ socket, source }: Upstream): SocketSettings {
  const own: [SocketOption, number | undefined][] = [
    [SocketOption.FastOpenConnect, flag(socket["fast-open"])],
    [SocketOption.Transparent, source === "client" ? 1 : undefined],
  ];
  return {
    options: given([...common(socket), ...own]),
    device: socket.interface,
    source: source === "client" ? undefined : source,
  };
}

/** What connections to an upstream's servers need to know (Plan, serverSocket). */
export function socketOf(numbers: SocketNumbers, name: string, { socket, source }: Upstream): number {
  const number = numbers.upstreams.get(name) ?? NONE;
  if (number === NONE) return NONE;
  return number | (source === "client" ? HOW_CLIENT : 0) | (socket["fast-open"] === true ? HOW_SPEAKS : 0);
}

/** The same of its health checks: nobody's, from an address of our own, and without haste. */
export function probeSocketOf(how: number): number {
  return how & ~(HOW_CLIENT | HOW_SPEAKS);
}

function common(socket: ListenerSocket | UpstreamSocket): [SocketOption, number | undefined][] {
  const probes: KeepAliveProbes | "off" | undefined = socket["keep-alive"];
  const asks = probes === undefined || probes === "off" ? undefined : probes;
  return [
    [SocketOption.NoDelay, flag(socket.nodelay)],
    [SocketOption.KeepAlive, asks === undefined ? undefined : 1],
    [SocketOption.KeepIdle, inSeconds(asks?.idle)],
    [SocketOption.KeepIntvl, inSeconds(asks?.interval)],
    [SocketOption.KeepCnt, asks?.count],
    [SocketOption.UserTimeout, socket["user-timeout"]],
    [SocketOption.RcvBuf, socket["receive-buffer"]],
    [SocketOption.SndBuf, socket["send-buffer"]],
    [SocketOption.Mptcp, socket.mptcp === true ? 1 : undefined],
  ];
}

function given(options: [SocketOption, number | undefined][]): [SocketOption, number][] {
  return options.flatMap(([option, value]): [SocketOption, number][] =>
    value === undefined ? [] : [[option, value]]
  );
}

function flag(value: boolean | undefined): number | undefined {
  return value === undefined ? undefined : value ? 1 : 0;
}

function inSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / SECOND_MS;
}
