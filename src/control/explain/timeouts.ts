// The timeouts that hold for a connection or a request, and which key gives each.
import { pathText } from "../config/file.ts";
import { KEYS } from "../config/schema.ts";
import type { TimeoutView } from "./explanation.ts";
import { placeOf, type World } from "./world.ts";

type Section = "listeners" | "upstreams";

/** Of a listener with TLS, before anything else. */
export const HANDSHAKE_TIMEOUTS = ["handshake"];
/** Of a listener that moves bytes; of one that speaks HTTP. In the order in which they come to hold. */
export const TUNNEL_TIMEOUTS = ["tunnel-idle"];
export const REQUEST_TIMEOUTS = ["request-head", "body-stall", "exchange", "client-idle"];
/** Of an upstream, likewise; `queue` holds where servers have limits. */
export const CONNECT_TIMEOUTS = ["connect"];
export const ANSWER_TIMEOUTS = ["connect", "answer", "server-idle"];
export const QUEUE_TIMEOUTS = ["queue"];

export function timeoutsOf(
  world: World,
  section: Section,
  owner: string,
  names: readonly string[],
): TimeoutView[] {
  const values: Readonly<Record<string, number>> = world.config[section][owner]?.timeouts ?? {};
  return names.map((name) => {
    const own = [section, owner, "timeouts", name], general = ["defaults", "timeouts", name];
    const path = [own, general].find((path) => world.written.has(pathText(path)));
    return {
      name,
      ms: values[name] ?? 0,
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
