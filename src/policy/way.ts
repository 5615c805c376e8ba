// Which way a request goes, once its head is whole: to us alone, to an upstream, or to an answer that its
// route gives. Deciding alone; what follows is the walk's.
import { NONE, TOKEN_BYTES_MAX, VIA_MAX } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { RouteAction } from "../plan/routing.ts";
import { chooserOf } from "../plan/sni.ts";
import { Framing, type Head, Method } from "../proto/head.ts";
import { ascii, lower, Octet } from "../proto/octet.ts";
import { hopsLeft, viaPasses } from "./edit.ts";
import { bodyBytesMax, type RegexMatch, route, type RouteRecorder, UNDECIDED } from "./route.ts";
import { chooseByName } from "./sni.ts";

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
  /** An authority asks for proof that the host is ours. */
  Challenge,
  /** It is to come by https:// instead. */
  ToHttps,
  /** It should, and does not say to whom. */
  NoHost,
  /** Its host is not one that its connection is for. */
  Misdirected,
}

/** Whether a request's way ends before any route is looked at; Upstream: it goes on. An authority asks by plain
 * HTTP, which is why it is answered before anybody is sent to https://. */
export function wayAtOnce(plan: Plan, listener: number, bytes: Uint8Array, head: Head): Way {
  if (head.method === Method.Connect) return Way.Connect;
  if (
    plan.listenerThumbprintBytes[listener] !== 0 && isChallenge(bytes, head) && isIssued(plan, bytes, head)
  ) {
    return Way.Challenge;
  }
  if (hopsLeft(bytes, head) === 0) return Way.LastHop;
  if (viaPasses(bytes, head) > VIA_MAX) return Way.Loop;
  if (plan.listenerToHttps[listener] === 0) return Way.Upstream;
  return head.host === head.hostEnd ? Way.NoHost : Way.ToHttps;
}

const CHALLENGE = ascii("/.well-known/acme-challenge/");
/** Where in the path of a challenge its token begins. */
export const TOKEN_AT = CHALLENGE.length;

/** Whether a request fetches a key authorization (RFC 8555 section 8.3): that path, with a token in base64url
 * behind it and no more. As it was written: no authority writes it in another way. */
function isChallenge(bytes: Uint8Array, head: Head): boolean {
  if (head.method !== Method.Get && head.method !== Method.Head) return false;
  const token = head.pathEnd - head.path - TOKEN_AT;
  if (token < 1 || token > TOKEN_BYTES_MAX || head.pathEnd !== head.targetEnd) return false;
  const path = head.at + head.path, end = head.at + head.pathEnd;
  for (let at = 0; at < TOKEN_AT; at++) if (bytes[path + at] !== CHALLENGE[at]) return false;
  for (let at = path + TOKEN_AT; at < end; at++) {
    if (!isBase64Url(bytes[at])) return false;
  }
  return true;
}

/** Whether certificates are issued for a request's host: of other hosts, somebody behind us proves that they are his. */
function isIssued(plan: Plan, bytes: Uint8Array, head: Head): boolean {
  return chooserOf(plan.sni, NONE) !== NONE &&
    chooseByName(plan, NONE, bytes, head.at + head.host, head.at + head.hostEnd) !== NONE;
}

function isBase64Url(byte: number): boolean {
  const letter = lower(byte);
  return (letter >= 0x61 && letter <= 0x7a) || (byte >= Octet.Zero && byte <= Octet.Nine) ||
    byte === Octet.Dash || byte === Octet.Underscore;
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
