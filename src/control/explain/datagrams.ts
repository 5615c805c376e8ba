// What becomes of a datagram whose client has no session yet: the server that its session would get. A client that
// has one keeps its server.
import { ARENA_EVENTS, NONE, TICK_MS } from "../../base/limits.ts";
import { Reason, REASONS } from "../../shared/reason.ts";
import { clockMs, sys } from "../../sys/sys.ts";
import { shown } from "../config/errors.ts";
import type { ListenerEntry } from "../directory.ts";
import { decide, toServer } from "./decision.ts";
import type { Decision, Explanation } from "./explanation.ts";
import { balance, noneText } from "./servers.ts";
import { sessionTimeouts } from "./timeouts.ts";
import type { World } from "./world.ts";

/** @param refusal for want of a header, or of its lists and limits; undefined: its client is let in */
export function datagram(
  world: World,
  { name, number }: ListenerEntry,
  refusal: Decision | undefined,
): Partial<Explanation> {
  if (refusal?.kind === "ask") return { decision: refusal };
  if (refusal !== undefined) {
    return { decision: { ...refusal, text: refusal.text.replace(/^.*?(?= \()/, "the datagram is dropped") } };
  }
  const upstream = world.plan.listenerUpstream[number], timeouts = sessionTimeouts(world, name);
  if (upstream === NONE) return { timeouts, decision: dropped(Reason.DestinationUnavailable, null) };
  sys.poll(ARENA_EVENTS, 1, 0); // sets the clock
  const now = Math.ceil(clockMs() / TICK_MS);
  const balanced = balance(world, upstream, {
    isAvoided: (server) => world.shared.serverAvoided[server] > now,
  });
  const { view, server, full } = balanced;
  return {
    upstream: view,
    timeouts,
    decision: full
      ? dropped(Reason.LimitReached, view.name)
      : server === NONE
      ? dropped(Reason.DestinationUnavailable, view.name, noneText(balanced))
      : view.source_flaw !== null
      ? dropped(Reason.NoSource, view.name)
      : toServer(world, balanced, `listeners.${shown(name)}.to`, null),
  };
}

function dropped(reason: Reason, upstream: string | null, why = REASONS[reason].text) {
  const { name } = REASONS[reason];
  return decide("unavailable", `the datagram is dropped (${name}): ${why}`, { upstream, reason: name });
}
