// What becomes of a connection whose bytes are moved: to the listener's upstream, or to the one that its `sni` has
// for the name that the client asks for, with TLS ended on the way or not.
import { NONE } from "../../base/limits.ts";
import { Reason } from "../../shared/reason.ts";
import { shown } from "../config/errors.ts";
import type { Path } from "../config/finding.ts";
import { pathText } from "../config/file.ts";
import { SNI_DEFAULT } from "../config/tls_values.ts";
import type { SniTarget } from "../config/tls_schema.ts";
import type { ListenerEntry } from "../directory.ts";
import { decide, ended, noCertificate, toServer } from "./decision.ts";
import type { Explanation } from "./explanation.ts";
import type { ConnectionQuestion } from "./question.ts";
import { balance } from "./servers.ts";
import { CONNECT_TIMEOUTS, HANDSHAKE_TIMEOUTS, timeoutsOf, TUNNEL_TIMEOUTS } from "./timeouts.ts";
import { passedView, tlsView } from "./tls.ts";
import { placeOf, type World } from "./world.ts";

export function connection(
  world: World,
  entry: ListenerEntry,
  question: ConnectionQuestion,
): Partial<Explanation> {
  const { plan, config } = world, listener = entry.number;
  const ends = plan.listenerTls[listener] !== NONE;
  const { sni } = config.listeners[entry.name];
  if (sni !== undefined && !ends) return byName(world, entry, sni, question.sni);
  const tls = ends ? tlsView(world, entry, question.sni) : null;
  if (ends && !question.secure && question.to.kind !== "unix") {
    const text = `listener ${
      shown(entry.name)
    } speaks TLS, and ends what comes without (not_tls); ask with tls://`;
    return {
      tls,
      timeouts: timeoutsOf(world, "listeners", entry.name, HANDSHAKE_TIMEOUTS),
      decision: decide("ask", text),
    };
  }
  if (tls?.by === "none") {
    const timeouts = timeoutsOf(world, "listeners", entry.name, HANDSHAKE_TIMEOUTS);
    return { tls, timeouts, decision: noCertificate(tls) };
  }
  return {
    tls,
    ...toUpstream(world, entry, plan.listenerUpstream[listener], ends, `listeners.${shown(entry.name)}.to`),
  };
}

/** To the upstream of a name: the exact one comes first, then the star, which is one label, then all others'. */
function byName(
  world: World,
  entry: ListenerEntry,
  sni: Readonly<Record<string, SniTarget>>,
  name: string | null,
): Partial<Explanation> {
  const star = name === null || !name.includes(".") ? null : `*${name.slice(name.indexOf("."))}`;
  const key = [name, star, SNI_DEFAULT].find((key) => key !== null && Object.hasOwn(sni, key));
  const timeouts = timeoutsOf(world, "listeners", entry.name, HANDSHAKE_TIMEOUTS);
  if (key === undefined || key === null) {
    const asked = name === null ? "who asks for no name" : shown(name);
    const text = `the connection ends: listeners.${
      shown(entry.name)
    }.sni has nothing for ${asked}, and no default`;
    return { timeouts, decision: decide("unavailable", text) };
  }
  const path: Path = ["listeners", entry.name, "sni", key], target = sni[key];
  const ends = typeof target !== "string", to = typeof target === "string" ? target : target.terminate;
  const place = placeOf(world, path);
  const tls = ends ? { ...tlsView(world, entry, name), sni: place } : passedView(name, place);
  const upstream = [...world.directory.upstreams.values()].find((one) => one.name === to)?.number ?? NONE;
  return { tls, ...toUpstream(world, entry, upstream, ends, pathText(path)) };
}

function toUpstream(
  world: World,
  { name }: ListenerEntry,
  upstream: number,
  ends: boolean,
  by: string,
): Partial<Explanation> {
  const first = ends ? timeoutsOf(world, "listeners", name, HANDSHAKE_TIMEOUTS) : [];
  const own = timeoutsOf(world, "listeners", name, TUNNEL_TIMEOUTS);
  if (upstream === NONE) {
    return { timeouts: [...first, ...own], decision: ended(Reason.DestinationUnavailable, null) };
  }
  const balanced = balance(world, upstream), { view } = balanced;
  return {
    upstream: view,
    timeouts: [...first, ...timeoutsOf(world, "upstreams", view.name, CONNECT_TIMEOUTS), ...own],
    decision: balanced.server === NONE
      ? ended(balanced.full ? Reason.QueueFull : Reason.DestinationUnavailable, view.name)
      : toServer(world, balanced, by, null),
  };
}
