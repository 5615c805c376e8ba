// An explanation for people: the decision first, then the steps that led to it, in the order of the walk. A
// "+" is what was taken or written, a "-" what was not.
import { shown } from "../config/errors.ts";
import { counted, formatDuration } from "../config/units.ts";
import { paceText } from "./bandwidth.ts";
import type {
  AdmissionView,
  AnswerView,
  BandwidthView,
  ClientView,
  Explanation,
  ForwardedView,
  IntroductionView,
  LineView,
  ListenerView,
  Place,
  RequestView,
  RouteView,
  ServerTlsView,
  ServerView,
  ShownView,
  StateView,
  TimeoutView,
  TlsView,
  UpstreamView,
} from "./explanation.ts";

/** Lines, each with its newline. */
export function explanationText(explanation: Explanation): string {
  const {
    question,
    state,
    decision,
    listener,
    introduction,
    tls,
    request,
    client,
    forwarded,
    answer,
    upstream,
  } = explanation;
  const lines = [
    `${shown(question.text, Infinity)} from ${question.from}`,
    decision.text,
    stateText(state),
    ...(listener === null ? [] : [`listener: ${listenerText(listener)}`]),
    ...(explanation.admission === null ? [] : admissionLines(explanation.admission)),
    ...(explanation.elsewhere.length === 0 ? [] : ["listeners:"]),
    ...explanation.elsewhere.map((other) => `  ${listenerText(other)}`),
    ...(introduction === null ? [] : [introductionText(introduction)]),
    ...(tls === null ? [] : tlsLines(tls)),
    ...(request === null ? [] : [requestText(request)]),
    ...routeLines(explanation.routes, explanation.routes_left_out),
    ...(client === null ? [] : [clientText(client)]),
    ...(upstream === null ? [] : upstreamLines(upstream)),
    ...(forwarded === null ? [] : forwardedLines(forwarded)),
    ...(answer === null ? [] : answerLines(answer)),
    ...bandwidthLines(explanation.bandwidth),
    ...timeoutLines(explanation.timeouts),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function stateText({ source, generation, at, phase }: StateView): string {
  if (source === "configuration") {
    return "by the configuration alone: every server counts as up, and nobody was served";
  }
  return `by the running process, ${phase ?? "running"}, generation ${generation ?? 0}, at ${
    at ?? "an unknown time"
  }`;
}

function introductionText({ proxy, by, client }: IntroductionView): string {
  if (by === null) return `PROXY header: not from ${proxy}, which is in no prefix of accept-proxy`;
  return `PROXY header: from ${proxy}, in ${by}${client === null ? "" : `: the client is ${client}`}`;
}

function placed({ key, where }: Place): string {
  return where === null ? shown(key, Infinity) : `${shown(key, Infinity)}, ${where}`;
}

function listenerText(listener: ListenerView): string {
  return `${shown(listener.name)}, ${listener.protocol} on ${listener.bind} (${placed(listener)})`;
}

function admissionLines({ admitted, steps }: AdmissionView): string[] {
  return [
    `the client is ${admitted ? "let in" : "refused"}:`,
    ...steps.map((step) => `  ${step.passed ? "+" : "-"} ${step.name}: ${step.text} (${placed(step)})`),
  ];
}

function tlsLines(tls: TlsView): string[] {
  const { at, name, sni, certificates, policy, protocols, client, hsts } = tls;
  const asked = name === null ? "no name" : shown(name);
  const by = sni === null ? "" : `, by ${placed(sni)}`;
  if (at === "server") return [`TLS: for ${asked}${by}: it goes on as it is, and is not looked into`];
  return [
    `TLS: for ${asked}${by}, ended here${policy === null ? "" : `, ${policy}`}`,
    ...certificates.map((one, at) =>
      `  + ${shownText(one)}: ${at === 0 ? byText(tls.by) : "for who does not take that"}`
    ),
    ...(certificates.length > 0 ? [] : [`  - no certificate: ${byText(tls.by)}`]),
    ...(client === null || client.mode === "off" ? [] : [`  ${clientTlsText(client)}`]),
    ...(protocols.length === 0 ? [] : [`  ALPN: ${protocols.join(", ")}`]),
    ...(hsts === null ? [] : [`  answers say ${hsts}`]),
  ];
}

function shownText({ file, key, names, names_left_out: more, until_text: until }: ShownView): string {
  const all = `${names.map((name) => shown(name)).join(", ")}${
    more === 0 ? "" : ` and ${counted(more, "more name")}`
  }`;
  return `${file === null ? "one that was issued" : shown(file, Infinity)}, ${key}, for ${
    all || "no name"
  } until ${until}`;
}

function byText(by: TlsView["by"]): string {
  switch (by) {
    case "exact":
      return "it has that very name";
    case "wildcard":
      return "it has a star for that name";
    case "first":
      return "the listener's first, for names that no other has";
    case "issued":
      return "ACME has it issued; --live says which there is";
    case "on_demand":
      return "ACME has it issued on demand, if it may";
    default:
      return "the handshake fails (no_certificate)";
  }
}

function clientTlsText({ mode, ca, crl }: NonNullable<TlsView["client"]>): string {
  const by = `${ca === null ? "" : `, signed by one of ${shown(ca, Infinity)}`}${
    crl === null ? "" : `, not revoked by ${shown(crl, Infinity)}`
  }`;
  return mode === "require"
    ? `the client must show a certificate${by}`
    : `the client may show a certificate${by}`;
}

function serverTlsText({ verify, ca, pins, crl, cert }: ServerTlsView): string {
  const how = verify
    ? `verified by ${ca === null ? "the system's authorities" : shown(ca, Infinity)}`
    : "not verified";
  return [
    `  TLS: ${how}`,
    ...(pins.length === 0
      ? []
      : [pins.length === 1 ? "with the pinned key" : `with one of ${pins.length} pinned keys`]),
    ...(crl === null ? [] : [`not revoked by ${shown(crl, Infinity)}`]),
    ...(cert === null ? [] : [`they are shown ${shown(cert, Infinity)}`]),
  ].join(", ");
}

function requestText({ method, path, host }: RequestView): string {
  const where = path === null ? "a path that is none" : `path ${path}`;
  return `request: ${method}, ${where}, host ${host === "" ? "(none)" : host}`;
}

function routeLines(routes: readonly RouteView[], leftOut: number): string[] {
  if (routes.length === 0) return [];
  return [
    "routes:",
    ...routes.map((route) => {
      const how = route.tried ? "" : "not tried: ";
      return `  ${route.cause === "chosen" ? "+" : "-"} ${shown(route.name)} (${
        placed(route)
      }): ${how}${route.text}`;
    }),
    ...(leftOut === 0 ? [] : [`  and ${counted(leftOut, "more route")}`]),
  ];
}

function clientText({ ip, trusted, by }: ClientView): string {
  return trusted
    ? `client: ${ip}, trusted${
      by === null ? "" : ` as one of ${by}`
    }: what it says of its own clients is believed`
    : `client: ${ip}, not trusted: what it says of other clients is not believed`;
}

function upstreamLines(upstream: UpstreamView): string[] {
  const { name, balance, by, waiting, servers, then, unresolved } = upstream;
  const { servers_left_out: leftOut, then_left_out: moreThen } = upstream;
  const others = moreThen === 0 ? "" : `, and ${moreThen} more`;
  return [
    `upstream: ${shown(name)}, ${balance}${by === null ? "" : ` by ${shown(by)}`} (${placed(upstream)})`,
    ...(upstream.send_proxy === null
      ? []
      : [`  its servers are told of the client first: PROXY ${upstream.send_proxy}`]),
    ...(upstream.source === null ? [] : [
      `  its servers see the connection come from ${
        upstream.source === "client" ? "the client's own address" : upstream.source
      }${upstream.source_flaw === null ? "" : `, which cannot be: ${upstream.source_flaw}`}`,
    ]),
    ...(upstream.tls === null ? [] : [serverTlsText(upstream.tls)]),
    ...servers.flatMap((
      server,
    ) => [serverText(server), ...server.change.map((text) => `      change: ${text}`)]),
    ...(leftOut === 0 ? [] : [`  and ${leftOut} more`]),
    ...(servers.length === 0 ? ["  it has no server"] : []),
    ...unresolved.map((target) => `  - ${target}: the name does not resolve, or has not yet`),
    ...(waiting === 0 ? [] : [`  ${waiting} wait for a place`]),
    ...(then.length === 0
      ? []
      : [`  when a connect fails, each at most once: ${then.join(", then ")}${others}`]),
  ];
}

function serverText(server: ServerView): string {
  const { address, target, tls_name: tls, health, in_use: used, max_connections: most, chosen, text } =
    server;
  const name = target === address ? "" : ` of ${shown(target)}`;
  const places = most === null ? "" : `, ${used} of ${counted(most, "connection")} in use`;
  const asked = tls === null ? "" : tls === "" ? ", TLS" : `, TLS for ${shown(tls)}`;
  return `  ${chosen ? "+" : "-"} ${address}${name}${asked}, ${health}${
    weightText(server)
  }${places}: ${text}`;
}

/** What of its weight is not as usual. */
function weightText({ weight, slow_start: share, backup }: ServerView): string {
  return [
    ...(weight === 1 ? [] : [`, weight ${weight}`]),
    ...(share === null ? [] : [`, ${Math.round(share * 100)}% of it in slow start`]),
    ...(backup ? [", backup"] : []),
  ].join("");
}

function forwardedLines({ came, line, fields, answer_edits: edits }: ForwardedView): string[] {
  return [
    "the server gets:",
    ...(came === line ? [`    ${line}`] : [`  + ${line}`, `  - ${came}`]),
    ...fields.map(({ how, text }) => `  ${MARKS[how]} ${text}`),
    ...(edits.length === 0 ? [] : [`the route edits the answer: ${edits.join(", ")}`]),
  ];
}

const MARKS: Readonly<Record<LineView["how"], string>> = { kept: " ", new: "+", removed: "-" };

function answerLines({ status, location, type, body, edits }: AnswerView): string[] {
  return [
    "the client gets:",
    `  status ${status}`,
    ...(location === null ? [] : [`  Location: ${location}`]),
    ...(type === null ? [] : [`  Content-Type: ${type}`]),
    ...(body === null || body === "" ? [] : [`  body: ${body}`]),
    ...(edits.length === 0 ? [] : [`  edits: ${edits.join(", ")}`]),
  ];
}

function bandwidthLines(limits: readonly BandwidthView[]): string[] {
  if (limits.length === 0) return [];
  return [
    "bandwidth:",
    ...limits.map((limit) => {
      const ways = [
        ...(limit.down === null ? [] : [`to clients ${paceText(limit.down)}`]),
        ...(limit.up === null ? [] : [`from clients ${paceText(limit.up)}`]),
      ];
      return `  ${TOGETHER[limit.of]}: ${ways.join("; ")} (${placed(limit)})`;
    }),
  ];
}

const TOGETHER: Readonly<Record<BandwidthView["of"], string>> = {
  connection: "each connection",
  source: "all from one address",
  listener: "all of the listener",
};

function timeoutLines(timeouts: readonly TimeoutView[]): string[] {
  if (timeouts.length === 0) return [];
  const values = timeouts.map(({ ms }) => ms === 0 ? "off" : formatDuration(ms));
  const width = (texts: readonly string[]) => Math.max(...texts.map((text) => text.length));
  const names = width(timeouts.map(({ name }) => name)), numbers = width(values);
  return [
    "timeouts:",
    ...timeouts.map(({ name, text, from }, at) => {
      const origin = from === null ? "default" : placed(from);
      return `  ${name.padEnd(names)}  ${values[at].padEnd(numbers)}  ${text} (${origin})`;
    }),
  ];
}
