// Which route a request takes. Deciding alone: a pure function of the Plan, a head, the decoded path and the
// client's address. Hosts are found by hash, paths by a radix tree over bytes; what neither can order
// (conditions, named parts, expressions) is tried by rank, the most specific first, and the first whose
// conditions hold is it.
//
// Precedence: host (exact, longer wildcard, any); then path (exact; the longer text before the first named
// part, where a pattern comes before a prefix; expressions; any, which "/" is as well); then more conditions;
// then order. A route whose conditions fail lets the next be tried, at last in a less specific host.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { CAPTURES_MAX, Condition, NESTED_MAX, NodeAt, PathKind, type Routing } from "../plan/routing.ts";
import { FieldAt, type Head, Method, Name } from "../proto/head.ts";
import { hexValue, Octet, OCTETS, Of } from "../proto/octet.ts";
import { isIn } from "./prefix.ts";

/** What came of looking at a route whose host and path, as far as a tree can tell, fit. */
export const enum RouteVerdict {
  Chosen,
  Pattern,
  Regex,
  /** The expression took too many steps: it counts as not found. */
  RegexLimit,
  Method,
  Header,
  Query,
  Cookie,
  Client,
}

/** Told of every candidate, in the order they are tried. */
export interface RouteRecorder {
  tried(route: number, verdict: RouteVerdict): void;
}

/** Whether a compiled expression is found in `bytes` bytes at `at`: 1, 0, or < 0 when it could not be told.
 */
export type RegexMatch = (regex: number, at: number, bytes: number) => number;

/** Parts of the path by number, [2n] from and [2n + 1] end, relative to the path. Valid until the next route
 * is tried: {rest} of a prefix is part 0, a pattern's named parts are in their order. */
export const captured = new Int32Array(2 * CAPTURES_MAX);

/** Labels of a host that are looked at, from the right: a name that a route can have is no longer. */
const LABELS_MAX = 128;
const dotAt = new Int32Array(LABELS_MAX);
const dotHash = new Int32Array(LABELS_MAX);

/** Places in the lists that the path met: all of them are candidates, the best rank is next. */
const places = new Int32Array(NESTED_MAX);

/** Hash of a host, whatever the case of its letters. From its end, so that each suffix's is found on the way.
 */
export function hostHash(bytes: Uint8Array, from: number, end: number): number {
  let hash = HASH_FIRST;
  for (let at = end - 1; at >= from; at--) hash = hashNext(hash, bytes[at]);
  return hash;
}

const HASH_FIRST = 0x811c9dc5 | 0;

function hashNext(hash: number, byte: number): number {
  return Math.imul(hash ^ (byte | Octet.Lower), 0x01000193);
}

/** Where in a table of hosts a hash belongs: the low bits of a product know little of its high ones. */
export function hostPlace(hash: number, mask: number): number {
  return (hash ^ (hash >>> 15)) & mask;
}

/** An expression took too many steps to say whether its route is the one: the next one must not have what this
 * one may be there to refuse. */
export const UNDECIDED = -1;

/**
 * The route of a request, NONE or UNDECIDED. `head` is in `bytes`, the decoded path (proto/path.ts) is path[pathAt,
 * pathEnd), the client's address record (see ffi/sluice.h) is at client[clientAt]. `match` is asked about
 * bytes at `pathAt`: whoever gives it sees to it that they lie where it looks.
 */
export function route(
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
): number {
  const routing = plan.routing, mask = routing.routerHostMask[router];
  assert(router > NONE && router < routing.sizes.routers, "route: no such router");
  const from = head.at + head.host;
  let end = head.at + head.hostEnd;
  if (end > from && bytes[end - 1] === Octet.Dot) end--; // the root's dot: the same name
  if (mask >= 0 && end > from) {
    let hash = HASH_FIRST, dots = 0;
    for (let at = end - 1; at >= from; at--) {
      if (bytes[at] === Octet.Dot && at > from && dots < LABELS_MAX) {
        dotAt[dots] = at + 1;
        dotHash[dots++] = hash;
      }
      hash = hashNext(hash, bytes[at]);
    }
    const host = findHost(plan, router, bytes, from, end, hash);
    const exact = host < 0 ? NONE : routing.hostExact[host];
    if (exact !== NONE) {
      const found = routeIn(plan, exact, bytes, head, path, pathAt, pathEnd, client, clientAt, match, seen);
      if (found !== NONE) return found;
    }
    if (routing.routerWildcards[router] === 0) dots = 0;
    while (dots-- > 0) {
      const below = findHost(plan, router, bytes, dotAt[dots], end, dotHash[dots]);
      if (below < 0 || routing.hostWild[below] === NONE) continue;
      const scope = routing.hostWild[below];
      const found = routeIn(plan, scope, bytes, head, path, pathAt, pathEnd, client, clientAt, match, seen);
      if (found !== NONE) return found;
    }
  }
  const any = routing.routerAny[router];
  if (any === NONE) return NONE;
  return routeIn(plan, any, bytes, head, path, pathAt, pathEnd, client, clientAt, match, seen);
}

/** The row of a host, or -1. */
function findHost(
  plan: Plan,
  router: number,
  bytes: Uint8Array,
  from: number,
  end: number,
  hash: number,
): number {
  const { routerHostFirst, routerHostMask, hostTextAt, hostTextBytes } = plan.routing;
  const first = routerHostFirst[router], mask = routerHostMask[router];
  for (let place = hostPlace(hash, mask);; place = (place + 1) & mask) {
    const textAt = hostTextAt[first + place];
    if (textAt === NONE) return -1; // compiled with room to spare: there is an end
    if (hostTextBytes[first + place] !== end - from) continue;
    if (sameFolded(bytes, from, plan.arena, textAt, end - from)) return first + place;
  }
}

/** The route among those of one host, NONE or UNDECIDED. */
function routeIn(
  plan: Plan,
  scope: number,
  bytes: Uint8Array,
  head: Head,
  path: Uint8Array,
  pathAt: number,
  pathEnd: number,
  client: Uint8Array,
  clientAt: number,
  match: RegexMatch,
  seen: RouteRecorder | undefined,
): number {
  const routing = plan.routing, { listRoute, routeRank } = routing;
  let count = gather(plan, scope, path, pathAt, pathEnd);
  while (count > 0) {
    let best = 0;
    for (let place = 1; place < count; place++) {
      if (routeRank[listRoute[places[place]]] < routeRank[listRoute[places[best]]]) best = place;
    }
    const candidate = listRoute[places[best]++];
    if (listRoute[places[best]] === NONE) places[best] = places[--count];
    let verdict = pathVerdict(plan, candidate, path, pathAt, pathEnd, match);
    if (verdict === RouteVerdict.Chosen && hasConditions(routing, candidate)) {
      verdict = conditionsVerdict(plan, candidate, bytes, head, client, clientAt);
    }
    if (seen !== undefined) seen.tried(candidate, verdict);
    if (verdict === RouteVerdict.Chosen) return candidate;
    if (verdict === RouteVerdict.RegexLimit) return UNDECIDED;
  }
  return NONE;
}

/** Walks the path down a scope's tree; returns how many lists it met, in `places`. */
function gather(plan: Plan, scope: number, path: Uint8Array, pathAt: number, pathEnd: number): number {
  const routing = plan.routing, arena = plan.arena, nodes = routing.node;
  let count = 0, node = routing.scopeNode[scope], at = pathAt;
  while (node !== NONE) {
    const bytes = nodes[node + NodeAt.TextBytes];
    if (bytes > pathEnd - at || !sameBytes(path, at, arena, nodes[node + NodeAt.TextAt], bytes)) break;
    at += bytes;
    const pattern = nodes[node + NodeAt.Pattern], prefix = nodes[node + NodeAt.Prefix];
    if (pattern !== NONE) places[count++] = pattern;
    if (prefix !== NONE && isBorder(path, at, pathEnd)) places[count++] = prefix;
    if (at === pathEnd) {
      const exact = nodes[node + NodeAt.Exact];
      if (exact !== NONE) places[count++] = exact;
      break;
    }
    const child = path[at] - nodes[node + NodeAt.Low];
    if (child < 0 || child >= nodes[node + NodeAt.Span]) break;
    node = routing.nodeChild[nodes[node + NodeAt.First] + child];
  }
  const regex = routing.scopeRegex[scope], any = routing.scopeAny[scope];
  if (regex !== NONE) places[count++] = regex;
  if (any !== NONE) places[count++] = any;
  return count;
}

/** Whether a prefix may end here: behind a slash, before one, or at the end. */
function isBorder(path: Uint8Array, at: number, pathEnd: number): boolean {
  return at === pathEnd || path[at] === Octet.Slash || path[at - 1] === Octet.Slash;
}

/** Whether a route's path is this one, given that the tree led to it; sets `captured`. */
function pathVerdict(
  plan: Plan,
  candidate: number,
  path: Uint8Array,
  pathAt: number,
  pathEnd: number,
  match: RegexMatch,
): RouteVerdict {
  if (plan.routing.routePath[candidate] === PathKind.Regex) {
    const found = match(plan.routing.routeRegex[candidate], pathAt, pathEnd - pathAt);
    return found > 0 ? RouteVerdict.Chosen : found === 0 ? RouteVerdict.Regex : RouteVerdict.RegexLimit;
  }
  return capture(plan, candidate, path, pathAt, pathEnd) ? RouteVerdict.Chosen : RouteVerdict.Pattern;
}

/** Sets `captured` for a path that a route was chosen for, when another was routed since; false when the path
 * is not the route's. */
export function capture(
  plan: Plan,
  chosen: number,
  path: Uint8Array,
  pathAt: number,
  pathEnd: number,
): boolean {
  const routing = plan.routing;
  switch (routing.routePath[chosen]) {
    case PathKind.Pattern:
      return capturePattern(plan, chosen, path, pathAt, pathEnd);
    case PathKind.Prefix:
    case PathKind.Any: {
      // The slash between a prefix and its rest belongs to neither.
      let from = pathAt + routing.routePathBytes[chosen];
      if (
        from < pathEnd && path[from] === Octet.Slash && (from === pathAt || path[from - 1] !== Octet.Slash)
      ) {
        from++;
      }
      captured[0] = Math.min(from, pathEnd) - pathAt;
      captured[1] = pathEnd - pathAt;
      return true;
    }
    default:
      return true;
  }
}

function capturePattern(
  plan: Plan,
  chosen: number,
  path: Uint8Array,
  pathAt: number,
  pathEnd: number,
): boolean {
  const {
    partRest,
    partTextAt,
    partTextBytes,
    partTailBytes,
    routePartFirst,
    routePartCount,
    routePathBytes,
  } = plan.routing;
  const first = routePartFirst[chosen], count = routePartCount[chosen];
  let at = pathAt + routePathBytes[chosen];
  for (let part = 0; part < count; part++) {
    const row = first + part;
    let end = pathEnd;
    if (partRest[row] === 0) {
      end = at;
      while (end < pathEnd && path[end] !== Octet.Slash) end++;
      end -= partTailBytes[row];
      if (end <= at) return false;
    }
    captured[2 * part] = at - pathAt;
    captured[2 * part + 1] = end - pathAt;
    const text = partTextBytes[row];
    if (text > pathEnd - end || !sameBytes(path, end, plan.arena, partTextAt[row], text)) return false;
    at = end + text;
  }
  return at === pathEnd;
}

function hasConditions(routing: Routing, candidate: number): boolean {
  return (routing.routeMethods[candidate] | routing.routeConditionCount[candidate]) !== 0;
}

/** The first condition that does not hold. */
function conditionsVerdict(
  plan: Plan,
  candidate: number,
  bytes: Uint8Array,
  head: Head,
  client: Uint8Array,
  clientAt: number,
): RouteVerdict {
  const routing = plan.routing, methods = routing.routeMethods[candidate];
  if (methods !== 0 && ((methods >>> head.method) & 1) === 0) return RouteVerdict.Method;
  const first = routing.routeConditionFirst[candidate];
  const end = first + routing.routeConditionCount[candidate];
  let method = methods === 0 || head.method !== Method.Other, clients = false, isClient = false;
  for (let row = first; row < end; row++) {
    switch (routing.conditionKind[row]) {
      case Condition.Method:
        method ||= isMethod(plan, row, bytes, head);
        break;
      case Condition.Header:
        if (!hasHeader(plan, row, bytes, head)) return RouteVerdict.Header;
        break;
      case Condition.Query:
        if (!hasQuery(plan, row, bytes, head)) return RouteVerdict.Query;
        break;
      case Condition.Cookie:
        if (!hasCookie(plan, row, bytes, head)) return RouteVerdict.Cookie;
        break;
      default: // Client
        clients = true;
        isClient ||= isIn(plan.arena, routing.conditionNameAt[row], client, clientAt);
    }
  }
  if (!method) return RouteVerdict.Method;
  return clients && !isClient ? RouteVerdict.Client : RouteVerdict.Chosen;
}

function isMethod({ routing, arena }: Plan, row: number, bytes: Uint8Array, head: Head): boolean {
  const length = routing.conditionNameBytes[row];
  return head.methodEnd === length && sameBytes(bytes, head.at, arena, routing.conditionNameAt[row], length);
}

/** Some field of that name has just that value. */
function hasHeader({ routing, arena }: Plan, row: number, bytes: Uint8Array, head: Head): boolean {
  const name = routing.conditionNameAt[row], nameBytes = routing.conditionNameBytes[row];
  const value = routing.conditionValueAt[row], valueBytes = routing.conditionValueBytes[row];
  for (let field = 0; field < head.fieldCount; field++) {
    const at = field * FieldAt.Length, fields = head.fields;
    if (fields[at + FieldAt.NameEnd] - fields[at + FieldAt.Name] !== nameBytes) continue;
    if (fields[at + FieldAt.ValueEnd] - fields[at + FieldAt.Value] !== valueBytes) continue;
    if (!sameFolded(bytes, head.at + fields[at + FieldAt.Name], arena, name, nameBytes)) continue;
    if (sameBytes(bytes, head.at + fields[at + FieldAt.Value], arena, value, valueBytes)) return true;
  }
  return false;
}

/** Some name=value of the query is that one, decoded as forms are: %XX, and "+" for a space. */
function hasQuery({ routing, arena }: Plan, row: number, bytes: Uint8Array, head: Head): boolean {
  const name = routing.conditionNameAt[row], nameBytes = routing.conditionNameBytes[row];
  const value = routing.conditionValueAt[row], valueBytes = routing.conditionValueBytes[row];
  const end = head.at + head.queryEnd;
  for (let at = head.at + head.query; at < end;) {
    let nameEnd = at;
    while (nameEnd < end && bytes[nameEnd] !== AMPERSAND && bytes[nameEnd] !== Octet.Equals) nameEnd++;
    let pairEnd = nameEnd;
    while (pairEnd < end && bytes[pairEnd] !== AMPERSAND) pairEnd++;
    const valueAt = Math.min(nameEnd + 1, pairEnd);
    if (
      sameDecoded(bytes, at, nameEnd, arena, name, nameBytes) &&
      sameDecoded(bytes, valueAt, pairEnd, arena, value, valueBytes)
    ) return true;
    at = pairEnd + 1;
  }
  return false;
}

/** Some cookie (RFC 6265 section 4.2.1) has that name and just that value. */
function hasCookie({ routing, arena }: Plan, row: number, bytes: Uint8Array, head: Head): boolean {
  const name = routing.conditionNameAt[row], nameBytes = routing.conditionNameBytes[row];
  const value = routing.conditionValueAt[row], valueBytes = routing.conditionValueBytes[row];
  for (let field = 0; field < head.fieldCount; field++) {
    const fieldAt = field * FieldAt.Length;
    if (head.fields[fieldAt + FieldAt.Known] !== Name.Cookie) continue;
    const end = head.at + head.fields[fieldAt + FieldAt.ValueEnd];
    for (let at = head.at + head.fields[fieldAt + FieldAt.Value]; at < end;) {
      let pairEnd = at;
      while (pairEnd < end && bytes[pairEnd] !== Octet.Semicolon) pairEnd++;
      const next = pairEnd + 1;
      while (at < pairEnd && OCTETS[bytes[at]] & Of.Blank) at++;
      while (pairEnd > at && OCTETS[bytes[pairEnd - 1]] & Of.Blank) pairEnd--;
      if (
        pairEnd - at === nameBytes + 1 + valueBytes && bytes[at + nameBytes] === Octet.Equals &&
        sameBytes(bytes, at, arena, name, nameBytes) &&
        sameBytes(bytes, at + nameBytes + 1, arena, value, valueBytes)
      ) return true;
      at = next;
    }
  }
  return false;
}

const AMPERSAND = 0x26;
const PERCENT = 0x25;
const PLUS = 0x2b;

function sameBytes(
  bytes: Uint8Array,
  at: number,
  other: Uint8Array,
  otherAt: number,
  count: number,
): boolean {
  for (let index = 0; index < count; index++) {
    if (bytes[at + index] !== other[otherAt + index]) return false;
  }
  return true;
}

/** `other` is in lower case. */
export function sameFolded(
  bytes: Uint8Array,
  at: number,
  other: Uint8Array,
  otherAt: number,
  count: number,
): boolean {
  for (let index = 0; index < count; index++) {
    const byte = bytes[at + index];
    const low = byte >= 0x41 && byte <= 0x5a ? byte | Octet.Lower : byte;
    if (low !== other[otherAt + index]) return false;
  }
  return true;
}

/** Whether [from, end), decoded as forms are, is `other`. An escape that is none stands for itself. */
function sameDecoded(
  bytes: Uint8Array,
  from: number,
  end: number,
  other: Uint8Array,
  otherAt: number,
  count: number,
): boolean {
  let matched = 0;
  for (let at = from; at < end; at++) {
    let byte = bytes[at];
    if (byte === PLUS) byte = Octet.Space;
    else if (byte === PERCENT && at + 2 < end && OCTETS[bytes[at + 1]] & OCTETS[bytes[at + 2]] & Of.Hex) {
      byte = (hexValue(bytes[at + 1]) << 4) | hexValue(bytes[at + 2]);
      at += 2;
    }
    if (matched === count || other[otherAt + matched] !== byte) return false;
    matched++;
  }
  return matched === count;
}

/** How many bytes a request's body may have for a route; 0: no limit. */
export function bodyBytesMax(routing: Routing, chosen: number): number {
  return routing.routeBodyMaxHigh[chosen] * BODY_LOW + routing.routeBodyMaxLow[chosen];
}

/** What routeBodyMaxHigh counts. */
export const BODY_LOW = 2 ** 30;
