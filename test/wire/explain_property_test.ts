// Explain and reality are one: configurations and requests by chance, and for each request what the running
// process says will become of it, what it says from the file alone, and what then becomes of it.
import { deepEqual, equal, ok } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { before, describe, it } from "node:test";
import fc from "fast-check";
import type { Explanation } from "../../src/control/explain/explanation.ts";
import { NEW_NUMBER } from "../../src/control/explain/explanation.ts";
import { answerTo, openRoom, worldOf } from "../control/explain/explain_fixture.ts";
import { command, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import type { RequestLine } from "../support/http_proxy.ts";
import { Peer } from "../support/peer.ts";
import { freePort, sayAndEnd, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

const SEED = 20_261;
const CONFIGS = 14;
const REQUESTS = 30;
const CONNECTIONS = 4;

const name = fc.constantFrom("a.example", "b.a.example", "c.example");
const segment = fc.constantFrom("a", "b", "ab");
const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((segments) => `/${segments.join("/")}`);
const matchPath = fc.oneof(
  path,
  path.map((text) => `${text}/`),
  path.map((text) => `${text}/{id}`),
  fc.constantFrom<unknown>("/{one}/b", "/a/{rest...}", { regex: "b$" }, { regex: "^/(a|ab)/" }, {
    prefix: "/a",
  }),
);
const some = <T>(value: fc.Arbitrary<T>, weight = 3) => fc.option(value, { nil: undefined, freq: weight });
const match = fc.record({
  host: some(fc.oneof(name, name.map((text) => `*.${text}`), fc.tuple(name, name).map((names) => names)), 1),
  path: some(matchPath, 2),
  method: fc.constantFrom(undefined, undefined, undefined, "GET", ["POST", "FOO"]),
  header: fc.constantFrom(undefined, undefined, undefined, { "x-h": "1" }),
  query: fc.constantFrom(undefined, undefined, undefined, { q: "1" }),
  cookie: fc.constantFrom(undefined, undefined, undefined, { c: "1" }),
  client: fc.constantFrom(undefined, undefined, undefined, "127.0.0.0/8", "::1"),
});
const upstreamName = fc.constantFrom("u0", "u1", "u2");
const headers = fc.constantFrom<unknown>(
  undefined,
  undefined,
  { request: { set: { "X-Client": "{client-ip}", "X-Forwarded-Proto": "https" }, remove: ["X-H"] } },
  {
    request: { add: { "X-Way": "{method} {path}" }, rename: { "X-H": "X-Renamed" } },
    response: { remove: "Date" },
  },
);
const rewrite = fc.constantFrom<unknown>(
  undefined,
  undefined,
  { "strip-prefix": "/a" },
  { "add-prefix": "/before" },
  { path: "/to{path}", host: "{host}.inner" },
  { host: "fixed.example:81" },
);
const route = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      match,
      to: upstreamName,
      headers,
      rewrite,
      "body-max": fc.constantFrom(undefined, undefined, undefined, "3B"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      match,
      redirect: fc.constant({ to: "http://{host}/at{path}?{query}", status: 307 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ match, respond: fc.constant({ status: 203, body: "by itself" }) }) },
);
const forwarded = fc.constantFrom<unknown>(
  undefined,
  { "x-forwarded-for": "replace", forwarded: "append", "x-request-id": "leave" },
  { "x-forwarded-host": "off", "x-real-ip": "replace", via: "off", traceparent: "append" },
);
const web = fc.record({
  routes: fc.array(route, { minLength: 1, maxLength: 9, size: "max" }),
  to: some(upstreamName, 1),
  trust: fc.constantFrom(undefined, "127.0.0.0/8"),
  forwarded,
});
const servers = fc.oneof<fc.MaybeWeightedArbitrary<number[]>[]>(
  { weight: 3, arbitrary: fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom<number[]>([4], [5, 4]) },
);
const balance = fc.constantFrom<unknown>(
  "round-robin",
  "least-connections",
  "random-two",
  "peak-ewma",
  "source-hash",
  { "source-hash": { "prefix-v4": 24, "prefix-v6": 64 } },
  "consistent-hash",
  "first",
);
/** Behind each server's address, in turn. */
const options = fc.constantFrom<string[]>(
  [""],
  [""],
  [";weight=3", ""],
  ["", ";weight=2", ";weight=0"],
  [";backup", ""],
  [";weight=2", ";backup;weight=4", ";backup"],
);
/** Which of six servers, of which four are there; whether they are checked; a base path; how they are chosen. */
const upstream = fc.record({
  servers,
  checked: fc.boolean(),
  base: fc.constantFrom("", "", "/base"),
  balance,
  options,
});
const configs = fc.record({ web, upstreams: fc.array(upstream, { minLength: 4, maxLength: 4 }) });

const asked = fc.record({
  listener: fc.constantFrom(1, 1, 1, 2),
  method: fc.constantFrom("GET", "GET", "POST", "FOO"),
  host: fc.oneof(name, fc.constantFrom("other.example", "A.Example.", "a.example:80")),
  path: fc.oneof({ weight: 6, arbitrary: path }, {
    weight: 1,
    arbitrary: fc.constantFrom("/", "/%61/b", "/a/../b", "/../a", "/a/%zz", "/a//b", "/a/%2Fb/"),
  }),
  query: fc.constantFrom("", "&q=1", "&q=2"),
  fields: fc.uniqueArray(
    fc.constantFrom(
      "X-H: 1",
      "x-h: 2",
      "Cookie: c=1; d=2",
      "X-Forwarded-For: 203.0.113.9",
      "X-Request-ID: 7",
      "Connection: x-h",
      "Content-Length: 5",
      "Max-Forwards: 3",
      "traceparent: 00-1-2-01",
    ),
    { maxLength: 3 },
  ),
  bad: fc.constantFrom(...Array<string[]>(15).fill([]), ["Bad Name: 1"]),
  six: fc.boolean(),
});

type Asked = typeof asked extends fc.Arbitrary<infer T> ? T : never;
type Given = typeof configs extends fc.Arbitrary<infer T> ? T : never;

/** What stands behind every configuration: servers of HTTP and of TCP that say their address. */
class Servers {
  readonly http: HttpOrigin[] = [];
  readonly tcp: Server[] = [];
  dead: number[] = [];

  static async listen(): Promise<Servers> {
    const servers = new Servers();
    for (let at = 0; at < 4; at++) {
      servers.http.push(await HttpOrigin.listen(() => answered("from a server")));
      servers.tcp.push(await Server.listen(sayAndEnd(`tcp ${at}`)));
    }
    servers.dead = [await freePort(), await freePort()];
    return servers;
  }

  /** The address of a server; 4 and 5 are nobody's. */
  address(kind: "http" | "tcp", at: number): string {
    return at < 4 ? this[kind][at].address : `127.0.0.1:${this.dead[at - 4]}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [...this.http, ...this.tcp]) await server[Symbol.asyncDispose]();
  }
}

function fileOf({ web, upstreams }: Given, servers: Servers): string {
  const [db, ...others] = upstreams.map(({ servers: places, checked, base, balance, options }, at) => ({
    balance,
    servers: places.map((place, nth) => {
      const more = options[nth % options.length].replace(balance === "first" ? /;weight=[^;]*/ : /^$/, "");
      return (at === 0 ? servers.address("tcp", place) : `http://${servers.address("http", place)}${base}`) +
        more;
    }),
    health: checked ? { tcp: true, interval: "100ms", timeout: "100ms", fall: 1 } : "off",
  }));
  return JSON.stringify({
    reactors: 2,
    log: { access: { format: "json" } },
    listeners: {
      db: { bind: "tcp://127.0.0.1:0", to: "db" },
      web: { bind: "http://:0", ...web },
      plain: { bind: "http://:0", to: "u1", forwarded: web.forwarded },
    },
    upstreams: { db, u0: others[0], u1: others[1], u2: others[2] },
  });
}

/** The words that ask explain about a request to a port. */
function wordsOf(
  { method, host, path, query, fields, bad, six }: Asked,
  port: number,
  nth: number,
): string[] {
  const url = `http://${six ? "[::1]" : "127.0.0.1"}:${port}${path}?n=${nth}${query}`;
  const all = [`Host: ${host}`, ...fields, ...bad];
  return [method, url, "--from", six ? "::1" : "127.0.0.1", ...all.flatMap((field) => ["-H", field])];
}

async function live(sluice: Sluice, words: readonly string[]): Promise<Explanation> {
  const query = new URLSearchParams();
  for (let at = 0; at < words.length; at++) {
    if (words[at] === "-H") query.append("header", words[++at]);
    else if (words[at] === "--from") query.append("from", words[++at]);
    else query.append(words[at].includes("://") ? "to" : "method", words[at]);
  }
  // What was asked before may not have left its server yet.
  return await until("nobody to be at a server", async () => {
    const said = await sluice.explain(`${query}`);
    return said.upstream?.servers.some(({ in_use: used }) => used !== null && used > 0) ? undefined : said;
  });
}

/** The server that gets it, given who is there: the chosen one, or the next. */
function reached({ decision, upstream }: Explanation, there: readonly string[]): string | undefined {
  if (decision.kind !== "server") return undefined;
  return [decision.server!, ...upstream!.then].find((address) => there.includes(address));
}

/** Without what is drawn by chance. */
function undrawn(head: string): string {
  return head.replace(/\b[0-9a-f]{32}\b(?!-)/g, NEW_NUMBER).replace(
    /^(traceparent: )00-[0-9a-f]{32}.*$/m,
    `$1${NEW_NUMBER}`,
  );
}

/** The head that explain says a server gets. */
function headOf({ forwarded }: Explanation): string {
  const lines = forwarded!.fields.filter(({ how }) => how !== "removed").map(({ text }) => text);
  return [forwarded!.line, ...lines, "", ""].join("\r\n");
}

interface Tally {
  readonly kinds: Map<string, number>;
  requests: number;
}

async function compareRequest(
  sluice: Sluice,
  servers: Servers,
  given: Asked,
  nth: number,
  tally: Tally,
  offline: (words: readonly string[]) => Explanation,
): Promise<{ said: Explanation; nth: number; server: string | undefined; status: number }> {
  const port = sluice.port(given.listener), words = wordsOf(given, port, nth);
  const said = await live(sluice, words), { decision } = said;
  const alone = offline(words);
  deepEqual(alone.decision.route, decision.route, "the route from the file alone");
  deepEqual(
    alone.routes.map(({ key, cause }) => [key, cause]),
    said.routes.map(({ key, cause }) => [key, cause]),
  );
  tally.kinds.set(decision.kind, (tally.kinds.get(decision.kind) ?? 0) + 1);
  tally.requests++;

  const before = servers.http.map(({ requests }) => requests.length);
  using client = await HttpPeer.connect({ host: given.six ? "::1" : "127.0.0.1", port });
  const fields = [`Host: ${given.host}`, ...given.fields, ...given.bad].map((field) => `${field}\r\n`).join(
    "",
  );
  const body = given.fields.includes("Content-Length: 5") ? "12345" : "";
  await client.send(`${given.method} ${given.path}?n=${nth}${given.query} HTTP/1.1\r\n${fields}\r\n${body}`);
  const answer = await client.readAnswer();
  const status = statusOf(answer.head);
  const there = servers.http.map(({ address }) => address), server = reached(said, there);
  const got = servers.http.flatMap(({ address, requests }, at) =>
    requests.slice(before[at]).map((request) => ({ address, request }))
  );
  const what = `${words.join(" ")}: ${decision.text}`;
  deepEqual(got.map(({ address }) => address), server === undefined ? [] : [server], what);
  if (server !== undefined) {
    // Where the first server is not there, the next one may have another base path; its fields are the same.
    equal(undrawn(got[0].request.head.text), headOf(said), what);
    equal(status, 200, what);
  } else if (decision.kind === "server") equal(status, 502, what);
  else equal(status, decision.status, what);
  if (said.answer !== null) {
    deepEqual(
      valuesOf(answer.head, "location"),
      said.answer.location === null ? [] : [said.answer.location],
      what,
    );
    equal(answer.body.toString(), said.answer.body ?? "", what);
  }
  return { said, nth, server, status };
}

/** How a connection ends of which nothing becomes; it may be over before it is there. */
async function endingOf(port: number): Promise<string> {
  let client: Peer;
  try {
    client = await Peer.connect(port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ECONNRESET") return "reset";
    throw error;
  }
  using peer = client;
  return await peer.ending();
}

async function compareConnection(sluice: Sluice, servers: Servers): Promise<void> {
  const port = sluice.port(0), said = await live(sluice, [`tcp://127.0.0.1:${port}`]);
  const server = reached(said, servers.tcp.map(({ address }) => address));
  if (server === undefined) {
    equal(await endingOf(port), "reset", said.decision.text);
    return;
  }
  using client = await Peer.connect(port);
  const at = servers.tcp.findIndex(({ address }) => address === server);
  equal((await client.read(5)).toString(), `tcp ${at}`, said.decision.text);
}

describe("explain", () => {
  before(openRoom);

  it("says what then happens, of any configuration and request", { timeout: 120_000 }, async () => {
    await using servers = await Servers.listen();
    const tally: Tally = { kinds: new Map(), requests: 0 };
    const samples = fc.sample(configs, { seed: SEED, numRuns: CONFIGS });
    for (const [number, given] of samples.entries()) {
      using folder = new Folder();
      const text = fileOf(given, servers), file = folder.at("sluice.yaml");
      writeFileSync(file, text);
      using sluice = await Sluice.start([], { command: [...command("executable"), "run", "-c", file] });
      await until("every check to have said something", async () => {
        const { upstreams } = await sluice.status();
        const checked = upstreams.filter((_, at) => given.upstreams[at].checked);
        return checked.every(({ servers }) => servers.every(({ health }) => health !== "unchecked"));
      });
      let listener = 0;
      const bound = text.replace(
        /(tcp|http):\/\/(127\.0\.0\.1)?:0"/g,
        (_, scheme, host = "") => `${scheme}://${host}:${sluice.port(listener++)}"`,
      );
      equal(listener, 3);
      const world = await worldOf(bound);
      const compared = [];
      const requests = fc.sample(asked, { seed: SEED + number, numRuns: REQUESTS });
      for (const [nth, request] of requests.entries()) {
        compared.push(
          await compareRequest(sluice, servers, request, nth, tally, (words) => answerTo(world, words)),
        );
      }
      for (let nth = 0; nth < CONNECTIONS; nth++) await compareConnection(sluice, servers);

      const records = await sluice.ended(REQUESTS + CONNECTIONS) as RequestLine[];
      for (const { said, nth, server, status } of compared) {
        if (said.request === null) continue; // a record of what is no request has no target
        const record = records.find(({ target }) =>
          target?.includes(`?n=${nth}&`) || target?.endsWith(`?n=${nth}`)
        );
        ok(record !== undefined, `${said.question.text}: no record`);
        const { decision } = said;
        equal(record.route, decision.route, said.question.text);
        equal(record.status, status);
        if (server !== undefined) equal(record.server, server);
        if (decision.reason !== null) equal(record.reason, decision.reason, said.question.text);
        if (decision.upstream !== null) equal(record.upstream, decision.upstream);
      }
      sluice.signal("SIGTERM");
      equal(await sluice.exit(), 0, sluice.stderr);
    }
    equal(tally.requests, CONFIGS * REQUESTS);
    for (const kind of ["server", "unavailable", "redirect", "respond", "refused"]) {
      ok((tally.kinds.get(kind) ?? 0) > 2, `${kind} is never met: ${JSON.stringify([...tally.kinds])}`);
    }
  });
});
