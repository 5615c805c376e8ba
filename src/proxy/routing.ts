// Which way a request goes: the route that its head chooses, and what that route writes with. The path is
// decoded once to choose; a route that rewrites decodes it again when it does, since between the two the
// request may have waited for a server.
import { ARENA_FACT, ARENA_PATH, ARENA_SCRATCH, NONE, PATH_BYTES } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { bodyBytesMax, capture } from "../policy/route.ts";
import { cameByHttps } from "../policy/secure.ts";
import type { TemplateInputs } from "../policy/template.ts";
import { Way, wayAtOnce, wayByRoute, wayRoute } from "../policy/way.ts";
import type { Head } from "../proto/head.ts";
import { decodePath, isDecoded, refusalOf } from "../proto/path.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { isForUs } from "./session.ts";
import { slotBodyMost } from "../net/slots.ts";
import { Refusal } from "../proto/refusal.ts";
import { exDown, exListener, exRoute, exUpstream } from "./exchanges.ts";
import { request } from "./wire_h1.ts";

/** What a route's templates are made from; set by `chooseWay` and `prepareTemplates`. */
export const inputs: TemplateInputs = {
  bytes: new Uint8Array(0),
  head: request,
  path: new Uint8Array(0),
  pathAt: 0,
  pathEnd: 0,
  client: new Uint8Array(0),
  clientAt: ARENA_SCRATCH,
  id: new Uint8Array(0),
  idAt: 0,
  idEnd: 0,
  port: 0,
  secure: 0,
  fact: (slot, which, at, bytes) => sys.tls_fact(slot, which, at, bytes),
  slot: NONE,
  facts: new Uint8Array(0),
  factAt: ARENA_FACT,
  certificateAt: 0,
  certificateEnd: 0,
  subjectAt: 0,
  subjectEnd: 0,
  fingerprintAt: 0,
  fingerprintEnd: 0,
};

/** Why the last `readPath` said no. */
export let wayRefusal = Refusal.None;

/** Decodes a path into `inputs`; false: it is none, by what `wayRefusal` says. */
export function readPath(head: Head): boolean {
  if (decode(head)) return true;
  wayRefusal = refusalOf(inputs.pathEnd);
  return false;
}

/** Chooses the way of the request in `request`: sets exRoute and exUpstream. */
export function chooseWay(ex: number, held: Plan): Way {
  const listener = exListener[ex], router = held.listenerRouter[listener];
  const atOnce = wayAtOnce(held, listener, arenaBytes, request);
  if (atOnce !== Way.Upstream && (atOnce !== Way.ToHttps || !isFromHttps(ex, held))) return atOnce;
  if (held.listenerTls[listener] !== NONE && !isForUs(exDown[ex], request)) return Way.Misdirected;
  if (router === NONE) {
    exUpstream[ex] = held.listenerUpstream[listener];
    return exUpstream[ex] === NONE ? Way.None : Way.Upstream;
  }
  if (!readPath(request)) return Way.BadPath;
  sys.client(exDown[ex], ARENA_SCRATCH);
  const { path, pathAt, pathEnd } = inputs;
  const way = wayByRoute(
    held,
    router,
    arenaBytes,
    request,
    path,
    pathAt,
    pathEnd,
    arenaBytes,
    ARENA_SCRATCH,
    sys.pattern_match,
  );
  const chosen = wayRoute, routing = held.routing;
  if (chosen === NONE) return way;
  exRoute[ex] = chosen;
  if (way === Way.TooLong) return way;
  if ((routing.routeBodyMaxLow[chosen] | routing.routeBodyMaxHigh[chosen]) !== 0) {
    slotBodyMost[exDown[ex]] = bodyBytesMax(routing, chosen);
  }
  exUpstream[ex] = routing.routeUpstream[chosen];
  return way;
}

/** Whether a proxy before us ended the TLS of the request in `request`. */
function isFromHttps(ex: number, held: Plan): boolean {
  sys.client(exDown[ex], ARENA_SCRATCH);
  return cameByHttps(held, exListener[ex], arenaBytes, request, arenaBytes, ARENA_SCRATCH);
}

/** Makes `inputs` those of the request in `request`, on its route. The client's record is in the scratch
 * page. */
export function prepareTemplates(ex: number, held: Plan): void {
  decode(request); // it could be decoded when the route was chosen
  inputs.bytes = arenaBytes;
  inputs.client = arenaBytes;
  inputs.id = arenaBytes;
  inputs.idAt = inputs.idEnd = 0; // told by settleId, where it may be asked for
  inputs.port = held.listenerPort[exListener[ex]];
  inputs.secure = held.listenerTls[exListener[ex]] !== NONE ? 1 : 0;
  inputs.slot = exDown[ex];
  inputs.facts = arenaBytes;
  capture(held, exRoute[ex], inputs.path, inputs.pathAt, inputs.pathEnd);
}

/** Finds the decoded path: as it lies in the request, or decoded into its place in the arena. */
function decode(head: Head): boolean {
  const from = head.at + head.path, end = head.at + head.pathEnd;
  inputs.path = arenaBytes;
  if (isDecoded(arenaBytes, from, end)) {
    inputs.pathAt = from;
    inputs.pathEnd = end;
    return true;
  }
  inputs.pathAt = ARENA_PATH;
  inputs.pathEnd = decodePath(arenaBytes, from, end, arenaBytes, ARENA_PATH);
  return inputs.pathEnd >= 0 && inputs.pathEnd <= ARENA_PATH + PATH_BYTES;
}
