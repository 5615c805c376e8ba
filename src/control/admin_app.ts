// What the admin API answers. To GET and HEAD, which change nothing; what changes something is a POST (admin_changes.ts).
// Who may ask: with a token, whoever has it (/healthz needs none); on a loopback port also nobody whose Host names
// another machine, or a page in the user's browser could ask by DNS rebinding. No CORS: nobody's page is let.
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { addChanges, CHANGES } from "./admin_changes.ts";
import { type Asker, Audit } from "./audit.ts";
import { Connections } from "./connections/answer.ts";
import { readQuery } from "./connections/query.ts";
import { formatProblems } from "./config/errors.ts";
import { unready } from "./directory.ts";
import { askedOf, explainLive } from "./explain/live.ts";
import { explanationText } from "./explain/text.ts";
import { metricsText } from "./metrics.ts";
import { PROMETHEUS_TYPE } from "./prometheus.ts";
import type { Sight } from "./sight.ts";
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
  ...CHANGES,
  "/healthz": "200 while the process works",
  "/readyz": "200 while connections are taken and every listener has a server; else 503 with the reason",
};
/** Answered without a token: what probes of service managers can ask. */
const OPEN_PATH = "/healthz";

export function adminApp({ sight, token, checkHost }: AdminAppOptions): Hono {
  const app = new Hono(), connections = new Connections(sight), audit = new Audit(sight.log);
  app.use(async (context, next) => {
    await next();
    context.header("Connection", "close");
    context.header("Cache-Control", "no-store");
    context.header("X-Content-Type-Options", "nosniff");
  });
  app.use(onlyTheFirst());
  app.use(async (context, next) => {
    await next();
    const { status } = context.res;
    if (status !== 401 && status !== 403) return;
    const { method, path } = context.req, why = await context.res.clone().text();
    audit.refused(askerOf(context), `${method} ${path}`, status, why.trim());
  });
  if (checkHost) app.use(refuseForeignHost);
  app.use(askToken(token));
  app.use(refusePages);

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
  addChanges(app, sight, audit, askerOf, () => !checkHost || token() !== undefined);
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

/** Who asks: by unix socket whoever may open it, which is its owner and root. */
function askerOf(context: Context): Asker {
  const { remoteAddress: ip, remotePort: port } = socketOf(context) ?? {};
  const says = context.req.header("user-agent") ?? "";
  if (ip === undefined) return { from: "the unix socket", says };
  return { from: ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`, says };
}

function socketOf(context: Context): Socket | undefined {
  return (context.env as { incoming?: IncomingMessage } | undefined)?.incoming?.socket;
}

/** A connection is for one request: what a client sends behind it, before it has heard that, is not done. */
function onlyTheFirst(): MiddlewareHandler {
  const served = new WeakSet<Socket>();
  return async (context, next) => {
    const socket = socketOf(context);
    if (socket !== undefined && served.has(socket)) {
      return context.text("one request for each connection\n", 400);
    }
    if (socket !== undefined) served.add(socket);
    return await next();
  };
}

/** Pages in a browser say where they are from whenever they send what may change something. */
const refusePages: MiddlewareHandler = async (context, next) => {
  const { method } = context.req;
  if (method === "POST" && context.req.header("origin") !== undefined) {
    return context.text("a page of a website may change nothing here: no Origin\n", 403);
  }
  return await next();
};

function isKnown(context: Context): boolean {
  return Object.hasOwn(PATHS, context.req.path);
}

function refuseMethod(context: Context): Response {
  if (Object.hasOwn(CHANGES, context.req.path)) return context.text("only POST\n", 405, { Allow: "POST" });
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
