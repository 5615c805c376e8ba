// What becomes of a connection whose bytes are moved: to the listener's upstream, or to the one that its `sni` has
// for the name that the client asks for and the protocols it offers, with TLS ended on the way or not.
import { NONE } from "../../base/limits.ts";
import { chooserOf } from "../../plan/sni.ts";
import { chooseByName, chooseByProtocol, sniMatchedAt } from "../../policy/sni.ts";
import { Reason } from "../../shared/reason.ts";
import { shown } from "../config/errors.ts";
import type { Path } from "../config/finding.ts";
import { pathText } from "../config/file.ts";
import { protocolList, SNI_DEFAULT } from "../config/tls_values.ts";
import type { ListenerEntry } from "../directory.ts";
import { decide, ended, handshakeFlaw, toServer } from "./decision.ts";
import type { Decision, Explanation } from "./explanation.ts";
import type { ConnectionQuestion } from "./question.ts";
import { balance, noneText } from "./servers.ts";
import {
  CONNECT_TIMEOUTS,
  HANDSHAKE_TIMEOUTS,
  QUEUE_TIMEOUTS,
  SERVER_TIMEOUTS,
  timeoutsOf,
  TUNNEL_TIMEOUTS,
} from "./timeouts.ts";
import { passedView, tlsView } from "./tls.ts";
import { placeOf, type World } from "./world.ts";

export function connection(
  world: World,
  entry: ListenerEntry,
  question: ConnectionQuestion,
): Partial<Explanation> {
  const { plan } = world, listener = entry.number;
  if (chooserOf(plan.sni, listener) !== NONE) return byName(world, entry, question);
  const ends = plan.listenerTls[listener] !== NONE;
  const tls = ends ? tlsView(world, entry, question.sni) : null;
  if (ends && !question.secure && question.to.kind !== "unix") {
    const text = `listener ${
      shown(entry.name)
    } speaks TLS, and ends what comes without (not_tls); ask with tls://`;
    return { tls, ...inHandshake(world, entry, decide("ask", text)) };
  }
  const flaw = tls === null ? undefined : handshakeFlaw(tls, question.alpn);
  if (flaw !== undefined) return { tls, ...inHandshake(world, entry, flaw) };
  return {
    tls,
    ...toUpstream(world, entry, plan.listenerUpstream[listener], ends, `listeners.${shown(entry.name)}.to`),
  };
}

/** To the upstream that its hello chooses. */
function byName(
  world: World,
  entry: ListenerEntry,
  { sni: name, alpn }: ConnectionQuestion,
): Partial<Explanation> {
  const { plan, config } = world, { sni = {} } = config.listeners[entry.name];
  const bytes = new TextEncoder().encode(name ?? ""), offered = protocolList(alpn);
  const named = chooseByName(plan, entry.number, bytes, 0, bytes.length);
  const key = matchedKey(name ?? "", sniMatchedAt);
  const choice = chooseByProtocol(plan, named, offered, 0, offered.length);
  if (choice === NONE) {
    const asked = name === null ? "who asks for no name" : shown(name);
    const list = alpn.length === 0 ? "no protocol" : alpn.map(shown).join(", ");
    const place = `listeners.${shown(entry.name)}.sni`;
    const text = named === NONE
      ? `the connection ends: ${place} has nothing for ${asked}, and no default`
      : `the connection ends: ${place} has nothing for ${asked} who offers ${list}, and nothing for all`;
    return inHandshake(world, entry, decide("unavailable", text));
  }
  let nth = 0;
  for (let before = named; before !== choice; before = plan.sni.choiceNext[before]) nth++;
  const path: Path = ["listeners", entry.name, "sni", ...sni[key][nth].path];
  const place = placeOf(world, path), ends = plan.sni.choiceTerminate[choice] === 1;
  const tls = ends ? { ...tlsView(world, entry, name), sni: place } : passedView(name, place);
  const flaw = ends ? handshakeFlaw(tls, alpn) : undefined;
  if (flaw !== undefined) return { tls, ...inHandshake(world, entry, flaw) };
  return { tls, ...toUpstream(world, entry, plan.sni.choiceUpstream[choice], ends, pathText(path)) };
}

/** It comes no further than its handshake. */
function inHandshake(world: World, { name }: ListenerEntry, decision: Decision): Partial<Explanation> {
  return { timeouts: timeoutsOf(world, "listeners", name, HANDSHAKE_TIMEOUTS), decision };
}

/** The key of `sni` that a name was chosen by, of which what begins at `at` has matched. */
function matchedKey(name: string, at: number): string {
  if (at === name.length) return SNI_DEFAULT;
  return at === 0 ? name : `*.${name.slice(at)}`;
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
  const balanced = balance(world, upstream), { view, server, full } = balanced;
  const limited = view.servers.some(({ max_connections: most }) => most !== null);
  const timeouts = [
    ...first,
    ...timeoutsOf(world, "upstreams", view.name, [...(limited ? QUEUE_TIMEOUTS : []), ...CONNECT_TIMEOUTS]),
    ...own,
    ...timeoutsOf(world, "upstreams", view.name, SERVER_TIMEOUTS),
  ];
  if (full || (server !== NONE && view.waiting > 0)) {
    const why = full ? "has no server that takes another" : `has ${view.waiting} waiting before it`;
    const text = `waits for a place: upstream ${shown(view.name)} ${why}, by ${by}`;
    return { upstream: view, timeouts, decision: decide("queue", text, { upstream: view.name }) };
  }
  return {
    upstream: view,
    timeouts,
    decision: server === NONE
      ? ended(Reason.DestinationUnavailable, view.name, noneText(balanced))
      : view.source_flaw !== null
      ? ended(Reason.NoSource, view.name)
      : toServer(world, balanced, by, null),
  };
}
