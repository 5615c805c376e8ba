// What would become of a connection or a request, in the order of the walk: the listener, the route, who is
// believed, the server, what it gets, and how long each step may take. Every decision is made by the
// function that the data plane calls; here is their order, and why each said what it said. Nothing moves.
import { NONE } from "../../base/limits.ts";
import { Protocol } from "../../plan/plan.ts";
import { OwnField } from "../../plan/routing.ts";
import { needsPath } from "../../policy/request_head.ts";
import { cameByHttps } from "../../policy/secure.ts";
import { isTrusted } from "../../policy/trust.ts";
import { isIn } from "../../policy/prefix.ts";
import { TO_HTTPS_STATUS } from "../../policy/secure.ts";
import { Way, wayAtOnce, wayByRoute, wayRoute } from "../../policy/way.ts";
import { HeadFlag, Method } from "../../proto/head.ts";
import { Refusal, REFUSALS } from "../../proto/refusal.ts";
import { Reason, REASONS } from "../../shared/reason.ts";
import { arenaBytes, sys } from "../../sys/sys.ts";
import { addressText } from "../config/address.ts";
import { type ConfigProblem, shown } from "../config/errors.ts";
import { pathText } from "../config/file.ts";
import type { Route } from "../config/route_schema.ts";
import type { HeaderEdits } from "../config/routes.ts";
import type { ListenerEntry } from "../directory.ts";
import type { Hide } from "../config/substitution.ts";
import { type Admission, admission } from "./admission.ts";
import { bandwidthOf } from "./bandwidth.ts";
import { connection } from "./connection.ts";
import { datagram } from "./datagrams.ts";
import { decide, noCertificate, toServer } from "./decision.ts";
import type {
  AnswerView,
  ClientView,
  Decision,
  Explanation,
  ForwardedView,
  LineView,
  ListenerView,
  TimeoutView,
} from "./explanation.ts";
import { type Begun, introduction } from "./introduction.ts";
import { findListener, listenersOf, listenerView } from "./listener.ts";
import { clientOf, fromText, type Question, type RequestQuestion } from "./question.ts";
import {
  forwardedHead,
  inputs,
  placeClient,
  readPath,
  readRequest,
  requestView,
  templateText,
  toHttps,
} from "./request.ts";
import { Recorder, routeKey, routeViews } from "./routes.ts";
import { balance, noneText } from "./servers.ts";
import {
  ANSWER_TIMEOUTS,
  HANDSHAKE_TIMEOUTS,
  QUEUE_TIMEOUTS,
  REQUEST_TIMEOUTS,
  timeoutsOf,
  UPGRADE_TIMEOUTS,
} from "./timeouts.ts";
import { isForHost, tlsView } from "./tls.ts";
import type { World } from "./world.ts";

/** Of a fixed reply's body; the rest is cut. */
const BODY_CHARACTERS_MAX = 200;
/** Other listeners that are named where nobody listens. */
const ELSEWHERE_MAX = 16;

/** Takes this thread's arena (see request.ts). @returns what is wrong with the question, otherwise */
export function explain(world: World, question: Question): Explanation | { problems: ConfigProblem[] } {
  const answer = answerTo(world, question);
  return "problems" in answer ? answer : withoutSecrets(answer, world.hide);
}

/** A copy whose texts do not tell what files gave. */
function withoutSecrets<T>(value: T, hide: Hide): T {
  if (typeof value === "string") return hide(value) as T;
  if (Array.isArray(value)) return value.map((entry) => withoutSecrets(entry, hide)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, withoutSecrets(inner, hide)]),
  ) as T;
}

function answerTo(world: World, question: Question): Explanation | { problems: ConfigProblem[] } {
  const isDatagram = question.kind === "connection" && question.datagram;
  const found = findListener(world, question.to, question.text, isDatagram);
  if ("problems" in found) return found;
  const empty = emptyExplanation(world, question), { phase } = world.state;
  if (phase === "draining" || phase === "stopped") {
    return { ...empty, decision: decide("nobody", `Sluice is ${phase}: it takes no new connection`) };
  }
  const { entry } = found;
  if (entry === undefined) {
    const place = addressText(question.to), other = otherKind(world, question, isDatagram);
    const elsewhere = listenersOf(world).slice(0, ELSEWHERE_MAX).map((other) => listenerView(world, other));
    return {
      ...empty,
      elsewhere,
      decision: decide(
        "nobody",
        other === undefined
          ? `nobody listens on ${place}`
          : `nobody listens on ${place} by ${isDatagram ? "UDP" : "TCP"}: listener ${
            shown(other.name)
          } is for ` +
            `${other.protocol}://; ask with ${other.protocol}://${place}`,
      ),
    };
  }
  const certified = world.config.listeners[entry.name].tls?.client.mode === "require";
  const begun = introduction(world, entry, question, certified);
  if ("problems" in begun) return begun;
  const { view, refusal } = letIn(world, entry, question, certified, begun);
  const known = { ...empty, listener: listenerView(world, entry), introduction: begun.view, admission: view };
  if (isDatagram) return { ...known, ...datagram(world, entry, refusal ?? begun.decision) };
  if (refusal !== undefined) return { ...known, decision: refusal };
  if (begun.decision !== undefined) {
    const timeouts = timeoutsOf(world, "listeners", entry.name, HANDSHAKE_TIMEOUTS);
    return { ...known, timeouts, decision: begun.decision };
  }
  const served = { ...known, bandwidth: bandwidthOf(world, entry.name) };
  if (world.plan.listenerProtocol[entry.number] !== Protocol.Http) {
    return {
      ...served,
      ...connection(world, entry, { alpn: [], datagram: false, ...question, kind: "connection" }),
    };
  }
  if (question.kind === "request") return { ...served, ...request(world, entry, question) };
  const isSecure = world.plan.listenerTls[entry.number] !== NONE;
  const ask = question.to.kind === "unix"
    ? "which explain asks of TCP listeners alone"
    : `ask with [METHOD] ${isSecure ? "https" : "http"}://HOST/PATH`;
  return {
    ...served,
    tls: isSecure ? tlsView(world, entry, question.sni) : null,
    timeouts: requestTimeouts(world, entry),
    decision: decide(
      "ask",
      `listener ${shown(entry.name)} speaks HTTP: it depends on each request; ${ask}`,
    ),
  };
}

/** The listener at the same address that is for streams where datagrams were asked for, or the other way round: ports of
 * UDP are others than those of TCP. */
function otherKind(world: World, { to, text }: Question, isDatagram: boolean): ListenerView | undefined {
  const found = findListener(world, to, text, !isDatagram);
  return "problems" in found || found.entry === undefined ? undefined : listenerView(world, found.entry);
}

/** What lists and limits say: of who connects, and of whom it introduces. Leaves the client in the arena. */
function letIn(
  world: World,
  entry: ListenerEntry,
  question: Question,
  certified: boolean,
  { view: introduced, decision }: Begun,
): Admission {
  if (introduced === null) return admission(world, entry, "own");
  placeClient({ ...question, proxied: null }, certified);
  const first = admission(world, entry, introduced.by === null ? "stranger" : "proxy");
  if (first.refusal !== undefined || decision !== undefined) return first;
  placeClient(question, certified);
  if (question.proxied === "local") return first;
  const second = admission(world, entry, "told");
  if (first.view === null || second.view === null) return second;
  const steps = [...first.view.steps, ...second.view.steps];
  return { view: { ...second.view, steps }, refusal: second.refusal };
}

function emptyExplanation({ state }: World, question: Question): Explanation {
  return {
    question: { text: question.text, from: fromText(question) },
    state,
    decision: decide("nobody", ""),
    listener: null,
    admission: null,
    introduction: null,
    tls: null,
    elsewhere: [],
    request: null,
    routes: [],
    routes_left_out: 0,
    client: null,
    forwarded: null,
    answer: null,
    upstream: null,
    bandwidth: [],
    timeouts: [],
  };
}

/** A request, as far as it comes. */
function request(world: World, entry: ListenerEntry, question: RequestQuestion): Partial<Explanation> {
  const { plan } = world, listener = entry.number;
  const timeouts = requestTimeouts(world, entry);
  const client = clientView(world, entry, question);
  const isSecure = plan.listenerTls[listener] !== NONE;
  if (isSecure && !question.secure) return { client, timeouts, decision: refused(Reason.PlainHttp, 400) };
  if (question.secure && !isSecure) return { client, timeouts, decision: malformed(Refusal.TlsOnPlain) };
  const tls = isSecure ? tlsView(world, entry, question.sni) : null;
  if (tls?.by === "none") return { tls, client, timeouts, decision: noCertificate(tls) };
  const refusal = readRequest(question);
  if (refusal !== Refusal.None) return { tls, client, timeouts, decision: malformed(refusal) };
  const { head } = inputs, router = plan.listenerRouter[listener];
  const path = readPath(),
    known = { tls, client, timeouts, request: requestView(question, path === Refusal.None) };
  switch (wayAtOnce(plan, listener, arenaBytes, head)) {
    case Way.Connect:
      return { ...known, decision: refused(Reason.BadRequest, 501, "there is no forward proxy for CONNECT") };
    case Way.LastHop:
      return { ...known, decision: lastHop(head.method) };
    case Way.Loop:
      return { ...known, decision: refused(Reason.Loop, 502) };
    case Way.Challenge:
      return {
        ...known,
        decision: own(200, "its token, with the thumbprint of the ACME account (RFC 8555)"),
      };
    case Way.NoHost:
      return { ...known, decision: malformed(Refusal.NoHost) };
    case Way.ToHttps:
      if (cameByHttps(plan, listener, arenaBytes, head, arenaBytes, inputs.clientAt)) break;
      return { ...known, ...sentToHttps(world, entry) };
  }
  if (isSecure && !isForHost(world, entry, question.sni, known.request.host)) {
    return { ...known, decision: refused(Reason.Misdirected, REASONS[Reason.Misdirected].status) };
  }
  if (router === NONE) {
    const by = `listeners.${shown(entry.name)}.to`;
    return {
      ...known,
      ...toUpstream(world, entry, plan.listenerUpstream[listener], NONE, path, by, timeouts),
    };
  }
  if (path !== Refusal.None) return { ...known, decision: malformed(path) };
  const recorder = new Recorder();
  const { pathAt, pathEnd, clientAt } = inputs;
  const way = wayByRoute(
    plan,
    router,
    arenaBytes,
    head,
    arenaBytes,
    pathAt,
    pathEnd,
    arenaBytes,
    clientAt,
    sys.pattern_match,
    recorder,
  );
  const route = wayRoute;
  const { method, host, path: decoded } = known.request;
  const routed = { head, pathAt, pathEnd, clientAt, method, host, path: decoded ?? "" };
  const { views, leftOut } = routeViews(world, entry, routed, recorder);
  const walked = { ...known, routes: views, routes_left_out: leftOut };
  if (way === Way.None) {
    return { ...walked, decision: refused(Reason.NoRoute, REASONS[Reason.NoRoute].status) };
  }
  if (way === Way.Undecided) {
    return { ...walked, decision: refused(Reason.PatternLimit, REASONS[Reason.PatternLimit].status) };
  }
  return { ...walked, ...byRoute(world, entry, way, route, timeouts) };
}

/** What the chosen route does with it. */
function byRoute(
  world: World,
  entry: ListenerEntry,
  way: Way,
  route: number,
  timeouts: readonly TimeoutView[],
): Partial<Explanation> {
  const { plan } = world, listener = entry.number;
  const { path, name } = routeKey(world, entry, route), key = pathText(path);
  const by = key.endsWith(".to") ? key : `route ${key}`;
  switch (way) {
    case Way.TooLong: {
      const { text, status } = REASONS[Reason.RequestTooLong];
      return { decision: refused(Reason.RequestTooLong, status, `${text} (${key}.body-max)`, name) };
    }
    case Way.Redirect:
    case Way.Page:
    case Way.Respond: {
      const answer = answerOf(world, listener, route, way, configured(world, entry, path));
      const what = way === Way.Redirect
        ? `${answer.status} to ${answer.location ?? "(none)"}`
        : way === Way.Page
        ? `${answer.status}, an error page`
        : `${answer.status}`;
      const more = { route: name, status: answer.status, reason: REASONS[Reason.Answered].name };
      return {
        answer,
        decision: decide(way === Way.Redirect ? "redirect" : "respond", `${what}, by ${by}`, more),
      };
    }
    default: {
      const upstream = plan.routing.routeUpstream[route];
      return toUpstream(world, entry, upstream, route, Refusal.None, by, timeouts);
    }
  }
}

/** The server that gets a request, and what it gets. `path`: why its path is none, where no route has looked. */
function toUpstream(
  world: World,
  entry: ListenerEntry,
  upstream: number,
  route: number,
  path: Refusal,
  by: string,
  timeouts: readonly TimeoutView[],
): Partial<Explanation> {
  const { plan } = world;
  const at = route === NONE ? undefined : routeKey(world, entry, route), name = at?.name ?? null;
  if (upstream === NONE) {
    return { decision: refused(Reason.NoRoute, REASONS[Reason.NoRoute].status, undefined, name) };
  }
  const balanced = balance(world, upstream, { head: inputs.head }), { view, server, full } = balanced;
  const limited = view.servers.some(({ max_connections: most }) => most !== null);
  const known: Partial<Explanation> = {
    upstream: view,
    timeouts: [
      ...timeouts.filter(({ name }) => name !== "client-idle"),
      ...(limited ? timeoutsOf(world, "upstreams", view.name, QUEUE_TIMEOUTS) : []),
      ...timeoutsOf(world, "upstreams", view.name, ANSWER_TIMEOUTS),
      ...(inputs.head.flags & HeadFlag.Upgrade
        ? timeoutsOf(world, "listeners", entry.name, UPGRADE_TIMEOUTS)
        : []),
      ...timeouts.filter(({ name }) => name === "client-idle"),
    ],
  };
  const called = shown(view.name);
  if (full || (server !== NONE && view.waiting > 0)) {
    const why = full ? "has no server that takes another" : `has ${view.waiting} waiting before it`;
    const text = `waits for a place: upstream ${called} ${why}, by ${by}`;
    return { ...known, decision: decide("queue", text, { upstream: view.name, route: name }) };
  }
  if (server === NONE) {
    const { status } = REASONS[Reason.DestinationUnavailable], why = `${noneText(balanced)}, by ${by}`;
    const decision = refused(Reason.DestinationUnavailable, status, why, name);
    return { ...known, decision: { ...decision, kind: "unavailable", upstream: view.name } };
  }
  if (needsPath(plan, server, route) && path !== Refusal.None) return { ...known, decision: malformed(path) };
  const printed = forwardedHead(plan, entry.number, server, route);
  if ("refusal" in printed) return { ...known, decision: malformed(printed.refusal, name) };
  const given = at === undefined ? undefined : configured(world, entry, at.path);
  const forwarded: ForwardedView = {
    came: firstLine(),
    line: printed.line,
    fields: given === undefined ? printed.fields : printed.fields.map((line) => hidden(line, given)),
    answer_edits: given === undefined ? [] : editTexts(given.headers.response),
  };
  return { ...known, forwarded, decision: toServer(world, balanced, by, name) };
}

function requestTimeouts(world: World, { name, number }: ListenerEntry): TimeoutView[] {
  const first = world.plan.listenerTls[number] === NONE ? [] : HANDSHAKE_TIMEOUTS;
  return timeoutsOf(world, "listeners", name, [...first, ...REQUEST_TIMEOUTS]);
}

/** The first line as it came. */
function firstLine(): string {
  const { head } = inputs;
  return shown(new TextDecoder("latin1").decode(arenaBytes.slice(head.at, head.at + head.lineEnd)), Infinity);
}

/** The route of a key; undefined for a listener's `to`. */
function configured(
  { config }: World,
  { name }: ListenerEntry,
  path: readonly (string | number)[],
): Route | undefined {
  const at = path[3];
  return typeof at === "number" ? config.listeners[name].routes[at] : undefined;
}

/** Values that a route writes into such a field may be secrets: that they are written is enough. */
const SECRET = /auth|cookie|key|password|secret|token/i;

function hidden(line: LineView, { headers: { request: { set, add } } }: Route): LineView {
  const name = line.text.slice(0, line.text.indexOf(":"));
  const isOurs = line.how === "new" && [...Object.keys(set), ...Object.keys(add)].includes(name);
  return isOurs && SECRET.test(name) ? { ...line, text: `${name}: (as the route has it)` } : line;
}

function editTexts({ set, add, remove, rename }: HeaderEdits): string[] {
  return [
    ...remove.map((name) => `remove ${shown(name)}`),
    ...Object.entries(rename).map(([name, to]) => `rename ${shown(name)} to ${shown(to)}`),
    ...Object.keys(set).map((name) => `set ${shown(name)}`),
    ...Object.keys(add).map((name) => `add ${shown(name)}`),
  ];
}

function answerOf(
  { plan }: World,
  listener: number,
  route: number,
  way: Way,
  given: Route | undefined,
): AnswerView {
  const { routing } = plan;
  const edits = given === undefined ? [] : editTexts(given.headers.response),
    status = routing.routeStatus[route];
  if (way === Way.Redirect) {
    const own = (routing.routeOwnOff[route] & OwnField.Location) === 0;
    const location = own ? templateText(plan, listener, route, routing.routeLocation[route]) : null;
    return { status, location, type: null, body: null, edits };
  }
  if (way === Way.Page) return { status, location: null, type: null, body: null, edits };
  const text = (at: number, bytes: number) => new TextDecoder().decode(plan.arena.slice(at, at + bytes));
  const { routeTypeAt, routeTypeBytes, routeBodyAt, routeBodyBytes } = routing;
  const type = shown(text(routeTypeAt[route], routeTypeBytes[route]));
  return {
    status,
    location: null,
    type: type === "" ? null : type,
    body: shown(text(routeBodyAt[route], routeBodyBytes[route]), BODY_CHARACTERS_MAX),
    edits,
  };
}

function clientView(
  { plan, config }: World,
  { number, name }: ListenerEntry,
  question: Question,
): ClientView {
  const { clientAt } = inputs, trusted = isTrusted(plan, number, arenaBytes, clientAt);
  const first = plan.listenerTrustedFirst[number];
  const by = config.listeners[name].trust.find((_, at) =>
    isIn(plan.arena, plan.trustedAt[first + at], arenaBytes, clientAt)
  );
  return {
    ip: clientOf(question)?.ip ?? "unix",
    trusted,
    by: trusted ? by?.text ?? null : null,
  };
}

function malformed(refusal: Refusal, route: string | null = null): Decision {
  const { status, text } = REFUSALS[refusal];
  return refused(Reason.BadRequest, status, text.replace(/\.$/, ""), route);
}

function refused(
  reason: Reason,
  status: number,
  why = REASONS[reason].text,
  route: string | null = null,
): Decision {
  const { name } = REASONS[reason];
  return decide("refused", `${status} (${name}): ${why}`, { route, status, reason: name });
}

/** Max-Forwards: 0. */
function lastHop(method: Method): Decision {
  if (method === Method.Trace) return refused(Reason.BadRequest, 501, "TRACE is not answered");
  return own(200, "its Max-Forwards is 0, and Sluice answers OPTIONS by itself");
}

function own(status: number, why: string): Decision {
  return decide("own", `${status}: ${why}`, { status, reason: REASONS[Reason.Answered].name });
}

/** The listener's redirect-to-https. */
function sentToHttps({ plan }: World, { name, number }: ListenerEntry): Partial<Explanation> {
  const status = TO_HTTPS_STATUS, location = toHttps(plan, number);
  const text = `${status} to ${location}, by listeners.${shown(name)}.redirect-to-https`;
  return {
    answer: { status, location, type: null, body: null, edits: [] },
    decision: decide("redirect", text, { status, reason: REASONS[Reason.Answered].name }),
  };
}
