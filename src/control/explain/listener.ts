// Which listener takes a connection: the one at that very address, else one at all addresses of the port. A
// name in the question, or all addresses, stands for whatever listens on the port.
import { chooserOf } from "../../plan/sni.ts";
import { type Address, addressText, isWildcard } from "../config/address.ts";
import { readListen } from "../config/listen.ts";
import { type ConfigProblem, quoted } from "../config/errors.ts";
import { entries } from "../status.ts";
import type { ListenerEntry } from "../directory.ts";
import type { ListenerView } from "./explanation.ts";
import { NONE } from "../../base/limits.ts";
import { Protocol } from "../../plan/plan.ts";
import { placeOf, type World } from "./world.ts";

/** A listener, or nobody; or that it cannot be told which of several is meant. */
export type Found = { readonly entry: ListenerEntry | undefined } | { readonly problems: ConfigProblem[] };

export function findListener(world: World, to: Address, asked: string, datagram = false): Found {
  const { listenerProtocol } = world.plan;
  const all = listenersOf(world).filter(({ number }) =>
    (listenerProtocol[number] === Protocol.Udp) === datagram
  ).map((entry) => ({ entry, address: addressOf(entry) }));
  if (to.kind === "unix") return { entry: all.find(({ entry }) => entry.bind === addressText(to))?.entry };
  const onPort = all.filter(({ address }) => address?.kind === "ip" && address.port === to.port);
  const exact = isLocalhost(to) ? { ...to, kind: "ip", family: 4, ip: "127.0.0.1", scope: "" } as const : to;
  if (exact.kind === "ip" && !isWildcard(exact)) {
    const own = onPort.find(({ address }) => address?.kind === "ip" && address.ip === exact.ip);
    const wild = onPort.find(({ address }) =>
      address?.kind === "ip" && isWildcard(address) && (address.family === 6 || exact.family === 4)
    );
    return { entry: (own ?? wild)?.entry };
  }
  const whole = onPort.find(({ address }) => address !== undefined && isWildcard(address));
  const isOne = new Set(onPort.map(({ entry }) => entry.name)).size <= 1; // on several addresses, maybe
  if (whole !== undefined || isOne) return { entry: (whole ?? onPort[0])?.entry };
  const binds = onPort.map(({ entry }) => `${quoted(entry.name)} at ${entry.bind}`).join(", ");
  return {
    problems: [{
      where: asked,
      what: `several listen on port ${to.port}: ${binds}`,
      remedy: to.kind === "name"
        ? `ask with one of these addresses, and -H 'Host: ${to.name}'`
        : "ask with one of these addresses",
      severity: "error",
    }],
  };
}

function isLocalhost(to: Address): boolean {
  return to.kind === "name" && to.name === "localhost";
}

/** The listeners of the present generation. */
export function listenersOf({ directory }: World): ListenerEntry[] {
  return entries(directory.current.listeners, directory.listeners);
}

export function listenerView(world: World, entry: ListenerEntry): ListenerView {
  const { name, bind } = entry;
  const isHttp = world.plan.listenerProtocol[entry.number] === Protocol.Http;
  const { plan } = world, byName = chooserOf(plan.sni, entry.number) !== NONE;
  const isSecure = plan.listenerTls[entry.number] !== NONE && !byName;
  const isUdp = world.plan.listenerProtocol[entry.number] === Protocol.Udp;
  const protocol = isUdp ? "udp" : isHttp ? (isSecure ? "https" : "http") : isSecure ? "tls" : "tcp";
  return { name, bind, protocol, ...placeOf(world, ["listeners", name]) };
}

/** Where it is bound. */
function addressOf({ bind }: ListenerEntry): Address | undefined {
  const listen = readListen(bind.startsWith("unix:") ? bind : `tcp://${bind}`);
  return listen.ok ? listen.value.address : undefined;
}
