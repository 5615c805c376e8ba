// Which way a request goes, once its head is whole: to us alone, to an upstream, or to an answer that its
// route gives. Deciding alone; what follows is the walk's.
import { NONE, VIA_MAX } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { RouteAction } from "../plan/routing.ts";
import { Framing, type Head, Method } from "../proto/head.ts";
import { hopsLeft, viaPasses } from "./edit.ts";
import { bodyBytesMax, type RegexMatch, route, type RouteRecorder, UNDECIDED } from "./route.ts";

/** Where a request goes. */
export const enum Way {
  /** To an upstream. */
  Upstream,
  Redirect,
  Respond,
  /** An error page. */
  Page,
  /** No route takes it. */
  None,
  /** An expression could not say. */
  Undecided,
  /** Its path is none (see proto/path.ts). */
  BadPath,
  /** Its body is longer than the route allows. */
  TooLong,
  /** It asks for a tunnel to somewhere: this is no forward proxy. */
  Connect,
  /** It goes no further than to us, as its Max-Forwards says. */
  LastHop,
  /** It has passed a Sluice too often. */
  Loop,
}

/** Whether a request's way ends before any route is looked at; Upstream: it goes on. */
export function wayAtOnce(bytes: Uint8Array, head: Head): Way {
  if (head.method === Method.Connect) return Way.Connect;
  if (hopsLeft(bytes, head) === 0) return Way.LastHop;
  return viaPasses(bytes, head) > VIA_MAX ? Way.Loop : Way.Upstream;
}

/** The route of the last `wayByRoute`, or NONE. */
export let wayRoute = NONE;

/** The way that the routes of a router give; the arguments are those of `route`. */
export function wayByRoute(
  plan: Plan,
  router: number,
  bytes: Uint8Array,
  head: Head,
  path: Uint8Array,
  pathAt: number,
  pathEnd: number,
  client: Uint8Array,
  clientAt: number,
  match: RegexMatch,
  seen?: RouteRecorder,
): Way {
  const chosen = route(plan, router, bytes, head, path, pathAt, pathEnd, client, clientAt, match, seen);
  wayRoute = chosen === UNDECIDED ? NONE : chosen;
  if (chosen === NONE) return Way.None;
  if (chosen === UNDECIDED) return Way.Undecided;
  const { routing } = plan;
  if ((routing.routeBodyMaxLow[chosen] | routing.routeBodyMaxHigh[chosen]) !== 0) {
    if (head.framing === Framing.Length && head.length > bodyBytesMax(routing, chosen)) return Way.TooLong;
  }
  switch (routing.routeAction[chosen]) {
    case RouteAction.Redirect:
      return Way.Redirect;
    case RouteAction.Respond:
      return Way.Respond;
    case RouteAction.Page:
      return Way.Page;
    default:
      return Way.Upstream;
  }
}
