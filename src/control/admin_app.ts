// What the admin API answers. To GET and HEAD, which change nothing; what changes something is a POST of JSON, which
// no page in a browser can send here: it would ask first, and is answered nothing that lets it. Who may ask: with a token, whoever has it
// (/healthz needs none); on a loopback port also nobody whose Host names another machine, or a page in
// the user's browser could ask by DNS rebinding. No CORS.
import { createHash, timingSafeEqual } from "node:crypto";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { Connections } from "./connections/answer.ts";
import { readQuery } from "./connections/query.ts";
import { type ConfigProblem, formatProblems, shown } from "./config/errors.ts";
import { unready } from "./directory.ts";
import { type DrainAnswer, type DrainQuestion, readDrainQuestion } from "./drains.ts";
import { askedOf, explainLive } from "./explain/live.ts";
import { explanationText } from "./explain/text.ts";
import { metricsText } from "./metrics.ts";
import { PROMETHEUS_TYPE } from "./prometheus.ts";
import { type Sight, sum } from "./sight.ts";
import { answerServers, readServersQuery } from "./servers.ts";
import { statusOf } from "./status.ts";

export interface AdminAppOptions {
  readonly sight: Sight;
  readonly token: () => string | undefined;
  /** Refuse a Host that is not this machine's loopback. */
  readonly checkHost: boolean;
}

const PATHS: Readonly<Record<string, string>> = {
  "/metrics": "counters for Prometheus",
  "/status": "listeners, servers with their health, connections; JSON",
  "/servers": "servers: ?upstream=&server=&health=&sort=COLUMN[:desc]&limit=N; JSON",
  "/connections":
    "connections as they are: ?listener=&upstream=&server=&client=IP[/BITS][:PORT]&state=&min-age=30s&sort=COLUMN[:desc]&limit=N&rates=on, or &by=source counted; JSON",
  "/explain":
    "what becomes of ?to=URL&method=&from=&proxied=&sni=&header=...: the answer of sluice explain; JSON, or &format=text",
  "/drain":
    'a server gets nothing new, or does again; POST of { "server": ADDRESS, "upstream": NAME, "undo": true }; JSON',
  "/healthz": "200 while the process works",
  "/readyz": "200 while connections are taken and every listener has a server; else 503 with the reason",
};
/** Answered without a token: what probes of service managers can ask. */
const OPEN_PATH = "/healthz";
/** What changes something. */
const POST_PATH = "/drain";
const BODY_BYTES_MAX = 4_096;

export function adminApp({ sight, token, checkHost }: AdminAppOptions): Hono {
  const app = new Hono(), connections = new Connections(sight);
  app.use(async (context, next) => {
    await next();
    context.header("Connection", "close");
    context.header("Cache-Control", "no-store");
    context.header("X-Content-Type-Options", "nosniff");
  });
  if (checkHost) app.use(refuseForeignHost);
  app.use(askToken(token));

  app.get(
    "/metrics",
    (context) => context.body(metricsText(sight), 200, { "Content-Type": PROMETHEUS_TYPE }),
  );
  app.get("/status", (context) => json(context, statusOf(sight)));
  app.get("/servers", (context) => {
    const query = readServersQuery(parametersOf(context), sight.directory);
    if ("problems" in query) return context.text(formatProblems(query.problems), 400);
    return json(context, answerServers(sight, query));
  });
  app.get("/connections", async (context) => {
    const query = readQuery(parametersOf(context), sight.directory);
    if ("problems" in query) return context.text(formatProblems(query.problems), 400);
    return json(context, await connections.answer(query));
  });
  app.get("/explain", (context) => {
    const query = parametersOf(context);
    const answer = explainLive(sight, askedOf(query));
    if (answer === undefined) return context.text("starting: nothing is decided yet\n", 503);
    if ("problems" in answer) return context.text(formatProblems(answer.problems), 400);
    if (query.get("format") === "text") return context.text(explanationText(answer));
    return json(context, answer);
  });
  app.post("/drain", async (context) => {
    if (!/^application\/json *(;|$)/i.test(context.req.header("content-type") ?? "")) {
      return context.text("send JSON: Content-Type: application/json\n", 415);
    }
    const bytes = Number(context.req.header("content-length") ?? NaN);
    if (!(bytes <= BODY_BYTES_MAX)) {
      return context.text(`a Content-Length of at most ${BODY_BYTES_MAX} is asked for\n`, 413);
    }
    const question = readDrainQuestion(await context.req.text());
    if ("problems" in question) return context.text(formatProblems(question.problems), 400);
    const answer = drain(sight, question);
    if ("problems" in answer) return context.text(formatProblems(answer.problems), 400);
    return json(context, answer);
  });
  app.get("/healthz", (context) => context.text("ok\n"));
  app.get("/readyz", (context) => {
    const reasons = unready(sight);
    return reasons.length === 0 ? context.text("ready\n") : context.text(reasons.join("\n") + "\n", 503);
  });
  app.all("*", (context) => isKnown(context) ? refuseMethod(context) : notFound(context));
  app.onError((error, context) => {
    sight.log.error("admin", `${context.req.path}: ${error.stack ?? error.message}`);
    return context.text("an error of Sluice; its log says more\n", 500);
  });
  return app;
}

function json(context: Context, answer: object): Response {
  return context.body(JSON.stringify(answer, null, 2) + "\n", 200, { "Content-Type": "application/json" });
}

function parametersOf(context: Context): URLSearchParams {
  return new URL(context.req.url).searchParams;
}

/** Drains, or undoes it, and says so in the log. */
function drain(sight: Sight, question: DrainQuestion): DrainAnswer | { problems: ConfigProblem[] } {
  const done = sight.drains.set(question);
  if ("problems" in done) return done;
  const drained = question.undo !== true;
  const servers = done.map(({ entry: { number, upstream, address }, changed }) => ({
    upstream,
    address,
    drained,
    changed,
    connections: sum(sight.reactors, "serverCurrent", number),
  }));
  for (const { upstream, address, changed, connections } of servers) {
    if (!changed) continue;
    const text = drained
      ? `is drained: it gets nothing new, ${connections} of its connections go on`
      : "is not drained any more";
    sight.log.info("drain", `${address} of upstream ${shown(upstream)} ${text}`, {
      upstream,
      server: address,
    });
  }
  return { servers };
}

function isKnown(context: Context): boolean {
  return Object.hasOwn(PATHS, context.req.path);
}

function refuseMethod(context: Context): Response {
  if (context.req.path === POST_PATH) return context.text("only POST\n", 405, { Allow: "POST" });
  return context.text("only GET and HEAD\n", 405, { Allow: "GET, HEAD" });
}

function notFound(context: Context): Response {
  const paths = Object.entries(PATHS).map(([path, what]) => `  ${path.padEnd(14)}${what}\n`).join("");
  return context.text(`not found; there is\n${paths}`, 404);
}

const refuseForeignHost: MiddlewareHandler = async (context, next) => {
  if (!isLoopbackHost(context.req.header("host") ?? "")) {
    return context.text(
      "the Host of the request is not this machine: use 127.0.0.1, [::1] or localhost\n",
      403,
    );
  }
  return await next();
};

/** `localhost`, an address of 127.0.0.0/8 or `[::1]`, with or without a port. */
function isLoopbackHost(host: string): boolean {
  const name = host.replace(/:[0-9]{1,5}$/, "").toLowerCase();
  return name === "localhost" || name === "[::1]" || /^127(\.[0-9]{1,3}){3}$/.test(name);
}

/** Asks for `Authorization: Bearer TOKEN`, where there is one. Comparing takes the same time however much of it is right. */
function askToken(tokenNow: () => string | undefined): MiddlewareHandler {
  return async (context, next) => {
    const token = tokenNow();
    if (token === undefined) return await next();
    const expected = digest(token);
    const given = /^Bearer +([^ ]+) *$/i.exec(context.req.header("authorization") ?? "")?.[1];
    const right = timingSafeEqual(digest(given ?? ""), expected);
    if (context.req.path === OPEN_PATH || (right && given !== undefined)) return await next();
    return context.text("give the admin token: Authorization: Bearer TOKEN\n", 401, {
      "WWW-Authenticate": 'Bearer realm="sluice"',
    });
  };
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
