// The timeouts that hold for a connection or a request, and which key gives each.
import { pathText } from "../config/file.ts";
import { KEYS } from "../config/schema.ts";
import type { TimeoutView } from "./explanation.ts";
import { placeOf, type World } from "./world.ts";

type Section = "listeners" | "upstreams";

/** Of a listener with TLS, before anything else. */
export const HANDSHAKE_TIMEOUTS = ["handshake"];
/** Of a listener that moves bytes; of one that speaks HTTP. In the order in which they come to hold. */
export const TUNNEL_TIMEOUTS = ["tunnel-idle", "client-idle", "write-stall", "half-closed"];
export const UPGRADE_TIMEOUTS = ["tunnel-idle", "half-closed"];
export const REQUEST_TIMEOUTS = ["request-head", "body-stall", "exchange", "write-stall", "client-idle"];
/** Of an upstream, likewise; `queue` holds where servers have limits. */
export const CONNECT_TIMEOUTS = ["connect"];
/** Of one whose servers get connections instead of requests: `silence` is server-idle, where that is set. */
export const SERVER_TIMEOUTS = ["silence", "write-stall"];
export const ANSWER_TIMEOUTS = ["connect", "answer", "server-idle"];
export const QUEUE_TIMEOUTS = ["queue"];

/** Without HTTP these are none unless they are set. */
const OWN_ONLY = ["client-idle", "silence"];

export function timeoutsOf(
  world: World,
  section: Section,
  owner: string,
  names: readonly string[],
): TimeoutView[] {
  const values: Readonly<Record<string, number>> = world.config[section][owner]?.timeouts ?? {};
  const unset = (name: string) => OWN_ONLY.includes(name) && (values[name] ?? 0) === 0;
  return names.filter((name) => !unset(name)).map((key) => {
    const name = key === "silence" ? "server-idle" : key;
    const own = [section, owner, "timeouts", name], general = ["defaults", "timeouts", name];
    const path = [own, general].find((path) => world.written.has(pathText(path)));
    return {
      name,
      ms: values[key] ?? 0,
      text: description(section, name),
      from: path === undefined ? null : placeOf(world, path),
    };
  });
}

/** Of a session of datagrams. */
export function sessionTimeouts(world: World, owner: string): TimeoutView[] {
  const key = KEYS.find(({ path }) => path[0] === "listeners" && path[2] === "udp" && path[3] === "idle");
  const path = ["listeners", owner, "udp", "idle"], isWritten = world.written.has(pathText(path));
  return [{
    name: "udp.idle",
    ms: world.config.listeners[owner]?.udp.idle ?? 0,
    text: key?.doc.description ?? "",
    from: isWritten ? placeOf(world, path) : null,
  }];
}

function description(section: Section, name: string): string {
  const key = KEYS.find(({ path }) => path[0] === section && path[2] === "timeouts" && path[3] === name);
  return key?.doc.description ?? "";
}
