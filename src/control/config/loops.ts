// Connections that would go round in a circle: a listener whose target is that listener again, at once or
// by way of other listeners here. Each of them takes two of the connections that there may be, until there
// are no more. Only what is certain before anything is resolved is found, since finding it refuses to start.
import { networkInterfaces } from "node:os";
import { resolve } from "node:path";
import { type Address, addressText, type IpAddress, ipAddress, isLoopback, isWildcard } from "./address.ts";
import { quoted } from "./errors.ts";
import type { Config } from "./schema.ts";
import { sniTargets } from "./sni_schema.ts";

/** Listeners on a circle that a message names; more are counted. */
const BETWEEN_NAMED_MAX = 3;

/** A target that leads to a listener. */
interface Step {
  /** Of the listener that has the target. */
  readonly from: string;
  readonly to: string;
  readonly target: Address;
  /** The target's place in the configuration. */
  readonly path: readonly (string | number)[];
}

export interface Loop {
  readonly path: readonly (string | number)[];
  readonly what: string;
}

/**
 * One for each target that closes a circle.
 * @param localIps the addresses of this machine's interfaces, link-local ones with their scope
 */
export function findLoops(config: Config, localIps: ReadonlySet<string> = interfaceIps()): Loop[] {
  const steps = stepsOf(config, localIps);
  const loops: Loop[] = [];
  const done = new Set<string>();
  const walk = (listener: string, way: readonly Step[]): void => {
    for (const step of steps.get(listener) ?? []) {
      const on = [...way, step];
      const back = on.findIndex(({ from }) => from === step.to);
      if (back >= 0) loops.push(loopOf(on.slice(back)));
      else if (!done.has(step.to)) walk(step.to, on);
    }
    done.add(listener);
  };
  for (const listener of Object.keys(config.listeners)) if (!done.has(listener)) walk(listener, []);
  return loops;
}

/** @param circle its last step leads to where its first one begins */
function loopOf(circle: readonly Step[]): Loop {
  const { target, to, path } = circle[circle.length - 1];
  const between = circle.slice(0, -2).map((step) => quoted(step.to));
  const by = between.length > BETWEEN_NAMED_MAX ? `${between.length} others` : between.join(" and ");
  const how = circle.length === 1 ? " itself" : `, which leads back here${by === "" ? "" : ` by ${by}`}`;
  const what = `${quoted(addressText(target))} is listener ${quoted(to)}${how}: ` +
    "a connection would come round until there is no room for more";
  return { path, what };
}

/** By listener, where its targets lead, as far as that is to a listener. */
function stepsOf(config: Config, localIps: ReadonlySet<string>): Map<string, Step[]> {
  const binds = new Map<string, { listener: string; address: Address }[]>();
  for (const [listener, { bind }] of Object.entries(config.listeners)) {
    for (const { address, protocol } of bind) {
      const place = placeOf(address, protocol === "udp");
      binds.set(place, [...(binds.get(place) ?? []), { listener, address }]);
    }
  }
  const steps = new Map<string, Step[]>();
  for (const [from, { bind, to, routes, sni }] of Object.entries(config.listeners)) {
    const isUdp = bind[0].protocol === "udp";
    // Which requests a route takes is not certain; Via ends their circles.
    if (routes.length > 0) continue;
    // What goes on as it came asks for the same name once more; what is behind the end of TLS asks for none.
    const passed = sniTargets({ sni }).filter(({ terminate }) => !terminate).map(({ to }) => to);
    const found: Step[] = [];
    for (const upstream of new Set(to === undefined ? passed : [...passed, to])) {
      (config.upstreams[upstream]?.servers ?? []).forEach(({ address: target }, at) => {
        const path = ["upstreams", upstream, "servers", at];
        for (const { listener: to, address } of binds.get(placeOf(target, isUdp)) ?? []) {
          if (leadsTo(target, address, localIps)) found.push({ from, to, target, path });
        }
      });
    }
    steps.set(from, found);
  }
  return steps;
}

/** What two addresses have in common if one leads to the other. */
function placeOf(address: Address, isUdp: boolean): string {
  if (address.kind !== "unix") return `${isUdp ? "udp" : ""} ${address.port}`;
  // ".." behind a symbolic link is elsewhere than the text says.
  return `unix:${address.path.includes("..") ? address.path : resolve(address.path)}`;
}

/** Whether a connection to `target` certainly comes to who listens on `bind`, which is of the same place. */
function leadsTo(target: Address, bind: Address, localIps: ReadonlySet<string>): boolean {
  if (bind.kind === "unix") return true;
  if (bind.kind === "name") return target.kind === "name" && target.name === bind.name;
  const to = destination(target);
  if (to === undefined) return false;
  if (!isWildcard(bind)) return to.ip === bind.ip && to.scope === bind.scope;
  if (bind.family === 4 && to.family === 6) return false;
  return isLoopback(to) || localIps.has(scoped(to.ip, to.scope));
}

/** The IP address that a connect goes to, if that is certain: localhost is what it is where one listens, and
 * a wildcard is loopback. */
function destination(target: Address): IpAddress | undefined {
  if (target.kind === "unix") return undefined;
  if (target.kind === "name") {
    return target.name === "localhost" ? ipAddress("127.0.0.1", target.port) : undefined;
  }
  if (!isWildcard(target)) return target;
  return ipAddress(target.family === 4 ? "127.0.0.1" : "::1", target.port);
}

function scoped(ip: string, scope: string): string {
  return scope === "" ? ip : `${ip}%${scope}`;
}

/** Empty where the system does not tell. */
function interfaceIps(): Set<string> {
  try {
    return new Set(
      Object.entries(networkInterfaces()).flatMap(([name, entries = []]) =>
        entries.flatMap((entry) => {
          const ip = ipAddress(entry.address, 0)?.ip ?? entry.address;
          return entry.family === "IPv6" && entry.scopeid
            ? [scoped(ip, name), scoped(ip, String(entry.scopeid))]
            : [ip];
        })
      ),
    );
  } catch {
    return new Set();
  }
}
