// What explain says, word for word, of questions to one configuration; and of servers that are down, full or
// have had their turn.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, describe, it } from "node:test";
import { explain } from "../../../src/control/explain/explain.ts";
import type { Explanation } from "../../../src/control/explain/explanation.ts";
import { readQuestion } from "../../../src/control/explain/question.ts";
import { explanationText } from "../../../src/control/explain/text.ts";
import { timeoutsWritten, type World } from "../../../src/control/explain/world.ts";
import { Heard } from "../../../src/shared/log_ring.ts";
import { Reason } from "../../../src/shared/reason.ts";
import { Verdict } from "../../../src/shared/servers.ts";
import { ECONNREFUSED } from "../../../src/sys/errno.ts";
import { answerTo, CONFIG, openRoom, worldOf } from "./explain_fixture.ts";

before(openRoom);

/** The file that has the answer, and what is asked. */
const GOLDEN: readonly (readonly [file: string, words: readonly string[]])[] = [
  ["connection", ["tcp://127.0.0.1:5432", "--from", "10.1.2.3:55555"]],
  ["unix", ["unix:/run/lonely.sock"]],
  ["nobody", ["tcp://127.0.0.1:5433"]],
  ["ask", ["tcp://127.0.0.1:8081"]],
  ["edited", [
    "GET",
    "http://shop.example:8080/api/x?a=b",
    "--from",
    "10.1.2.3",
    "-H",
    "X-Beta: 1",
    "-H",
    "X-Internal: y",
    "-H",
    "X-Forwarded-For: 203.0.113.9",
  ]],
  ["untrusted", ["http://shop.example:8080/api/", "-H", "X-Beta: 1", "-H", "X-Forwarded-For: 203.0.113.9"]],
  ["redirect", ["http://a.shop.example:8081/users/7"]],
  ["respond", ["PUT", "http://127.0.0.1:8080/ping"]],
  ["conditions", ["http://x.example:8080/v2/", "-H", "Cookie: c=3"]],
  ["method", ["DELETE", "http://shop.example:8080/api/"]],
  ["no_route", ["http://b.example:8083/"]],
  ["too_long", ["POST", "http://x.example:8080/up/", "-H", "Content-Length: 1025"]],
  ["bad_path", ["http://x.example:8080/a/../../b"]],
  ["bad_base", ["http://x.example:8082/../b"]],
  ["base", ["http://x.example:8082/b"]],
  ["bad_request", ["http://x.example:8080/", "-H", "A b: c"]],
  ["upgrade", ["http://x.example:8082/", "-H", "Connection: upgrade", "-H", "Upgrade: websocket"]],
];

describe("explain, word for word", () => {
  for (const [file, words] of GOLDEN) {
    it(words.join(" "), async () => {
      const said = explanationText(answerTo(await worldOf(), words));
      equal(said, readFileSync(new URL(`golden/${file}.txt`, import.meta.url), "utf8"));
    });
  }
});

function serversOf(answer: Explanation): [address: string, chosen: boolean, text: string][] {
  return answer.upstream!.servers.map(({ address, chosen, text }) => [address, chosen, text]);
}

function numberOf({ directory }: World, address: string): number {
  const entry = [...directory.servers.values()].find((server) => server.address === address);
  ok(entry !== undefined);
  return entry.number;
}

describe("explain, by state", () => {
  const db = "tcp://127.0.0.1:5432", api = "http://x.example:8080/up/";

  it("says whose turn it is by the cursor, and moves nothing", async () => {
    const world = await worldOf(), { upstreamCursor } = world.shared;
    const upstream = [...world.directory.upstreams.values()].find(({ name }) => name === "db")!.number;
    for (const [cursor, chosen] of [[0, 5], [1, 6], [2, 7], [3, 5], [-1, 5]] as const) {
      upstreamCursor[upstream] = cursor;
      const { decision, upstream: view } = answerTo(world, [db]);
      // -1 as an unsigned integer is 4,294,967,295, which three divide.
      equal(decision.server, `10.0.0.${chosen}:5432`, `cursor ${cursor}`);
      equal(upstreamCursor[upstream], cursor);
      equal(view!.then.length, 2);
    }
  });

  it("passes over who is down, with the check that said so", async () => {
    const world = await worldOf(), server = numberOf(world, "10.0.0.5:5432");
    world.shared.serverVerdict[server] = Verdict.Down;
    world.health.note({
      probe: world.directory.servers.get(server)!.probe,
      atMs: Date.UTC(2026, 0, 2, 3, 4, 5),
      clockMs: 0,
      reason: Reason.ConnectionRefused,
      errno: ECONNREFUSED,
      heard: Heard.Nothing,
      heardNumber: 0,
      durationMs: 1,
      streak: 0,
      verdict: Verdict.Down,
    });
    const answer = answerTo(world, [db]), down = "down since 2026-01-02T03:04:05.000Z, 2 failed checks: ";
    deepEqual(serversOf(answer), [
      ["10.0.0.5:5432", false, `not a candidate: ${down}the server refused the connection`],
      ["10.0.0.6:5432", true, "chosen: its turn is now"],
      ["10.0.0.7:5432", false, "not chosen: its turn comes 1 later"],
    ]);
    deepEqual(answer.upstream!.then, ["10.0.0.7:5432"]);
    equal(answer.upstream!.servers[0].since, "2026-01-02T03:04:05.000Z");
  });

  it("says what happens when all are down", async () => {
    const world = await worldOf();
    for (const number of world.directory.servers.keys()) world.shared.serverVerdict[number] = Verdict.Down;
    const connection = answerTo(world, [db]).decision, request = answerTo(world, [api]).decision;
    const none = "upstream db has no server to ask: all 3 servers are down";
    equal(connection.text, `the connection is reset (no_server): ${none}`);
    deepEqual([connection.kind, connection.status], ["unavailable", null]);
    deepEqual([request.kind, request.status, request.reason], ["unavailable", 503, "no_server"]);
  });

  it("says of servers that are drained or of weight 0 that they are", async () => {
    const datagrams = "\n  dns: { bind: 'udp://127.0.0.1:53', to: db }\nupstreams:";
    const world = await worldOf(
      CONFIG.replace("\nupstreams:", datagrams).replace("10.0.0.7:5432]", '"10.0.0.7:5432;weight=0"]'),
    );
    const [first, second] = ["10.0.0.5:5432", "10.0.0.6:5432"].map((address) => numberOf(world, address));
    for (const number of [first, second]) world.shared.serverDrained[number] = 1;
    const none = "upstream db has no server to ask: of 3 servers ",
      drained = "2 are drained and 1 is of weight 0";
    const textOf = (question: string) => answerTo(world, [question]).decision.text;
    equal(textOf(db), `the connection is reset (no_server): ${none}${drained}`);
    equal(textOf("udp://127.0.0.1:53"), `the datagram is dropped (no_server): ${none}${drained}`);
    world.shared.serverVerdict[first] = Verdict.Down; // what is down and drained is down
    const mixed = "1 is down, 1 is drained and 1 is of weight 0";
    equal(textOf(db), `the connection is reset (no_server): ${none}${mixed}`);
    for (const { number } of world.directory.servers.values()) world.shared.serverDrained[number] = 1;
    const all = "upstream api has no server to ask: all 2 servers are drained";
    ok(textOf(api).includes(all), textOf(api));
  });

  it("says who listens by TCP where UDP was asked for, and the other way round", async () => {
    const world = await worldOf(
      CONFIG.replace("\nupstreams:", "\n  dns: { bind: 'udp://:53', to: db }\nupstreams:"),
    );
    const cases: [question: string, want: string][] = [
      [
        "udp://127.0.0.1:5432",
        "nobody listens on 127.0.0.1:5432 by UDP: listener db is for tcp://; ask with tcp://127.0.0.1:5432",
      ],
      [
        "udp://127.0.0.1:8080",
        "nobody listens on 127.0.0.1:8080 by UDP: listener web is for http://; ask with http://127.0.0.1:8080",
      ],
      [
        "tcp://10.0.0.1:53",
        "nobody listens on 10.0.0.1:53 by TCP: listener dns is for udp://; ask with udp://10.0.0.1:53",
      ],
      [
        "http://127.0.0.1:53/",
        "nobody listens on 127.0.0.1:53 by TCP: listener dns is for udp://; ask with udp://127.0.0.1:53",
      ],
      ["udp://127.0.0.1:54", "nobody listens on 127.0.0.1:54"],
    ];
    for (const [question, want] of cases) equal(answerTo(world, [question]).decision.text, want);
  });

  it("passes over who is full, and waits when all are", async () => {
    const world = await worldOf(CONFIG.replace("10.0.0.1:80/base,", "10.0.0.1:80;max-connections=1,"));
    world.shared.serverInUse[numberOf(world, "10.0.0.1:80")] = 1;
    const passed = answerTo(world, [api]);
    equal(passed.decision.server, "10.0.0.2:80");
    deepEqual(serversOf(passed), [
      ["10.0.0.1:80", false, "passed over: all its connections are in use"],
      ["10.0.0.2:80", true, "chosen: those whose turn is before are passed over"],
    ]);
    world.shared.serverInUse[numberOf(world, "10.0.0.2:80")] = 3;
    const waits = answerTo(world, [api]);
    deepEqual([waits.decision.kind, waits.decision.server, waits.forwarded], ["queue", null, null]);
    ok(waits.timeouts.some(({ name, ms }) => name === "queue" && ms === 5_000));
  });

  it("lets nobody pass who waits already", async () => {
    const world = await worldOf();
    const upstream = [...world.directory.upstreams.values()].find(({ name }) => name === "api")!.number;
    world.shared.upstreamWaiting[upstream] = 2;
    const { decision } = answerTo(world, [api]);
    equal(decision.kind, "queue");
    ok(decision.text.includes("has 2 waiting before it"), decision.text);
  });

  it("takes no connection while it drains", async () => {
    const world = await worldOf();
    const draining = { ...world, state: { ...world.state, source: "running", phase: "draining" } } as const;
    const { decision, listener } = answerTo(draining, [db]);
    deepEqual([decision.kind, listener], ["nobody", null]);
    equal(decision.text, "Sluice is draining: it takes no new connection");
  });

  it("tells at most 256 servers, the chosen one among them", async () => {
    const servers = Array.from({ length: 400 }, (_, at) => `10.0.${at >> 8}.${at & 255}:80`);
    const world = await worldOf(
      `listeners: { a: { bind: "tcp://:90", to: u } }\nupstreams: { u: { servers: [${servers.join()}] } }`,
    );
    world.shared.upstreamCursor[1] = 399;
    const { upstream, decision } = answerTo(world, ["tcp://:90"]);
    deepEqual([upstream!.servers.length, upstream!.servers_left_out], [256, 144]);
    equal(decision.server, servers[399]);
    equal(upstream!.servers.find(({ chosen }) => chosen)?.address, servers[399]);
    deepEqual([upstream!.then.length, upstream!.then_left_out], [16, 383]);
  });

  it("tells at most 64 routes that were not tried", async () => {
    const routes = Array.from({ length: 100 }, (_, at) => `{ match: { path: /r${at} }, to: u }`);
    const world = await worldOf(
      `listeners: { a: { bind: "http://:90", routes: [${routes.join()}] } }\nupstreams: { u: { servers: 10.0.0.1:1 } }`,
    );
    const { routes: told, routes_left_out: left } = answerTo(world, ["http://x:90/r99"]);
    deepEqual([told.length, left, told[0].name], [65, 35, "a#100"]);
  });

  it("tells a route once that was tried for each of its hosts", async () => {
    const world = await worldOf(
      `listeners: { a: { bind: "http://:90", routes: [{ match: { host: [x.y, "*.y"], method: PUT }, to: u }] } }
upstreams: { u: { servers: 10.0.0.1:1 } }`,
    );
    const { routes, routes_left_out: left } = answerTo(world, ["http://x.y:90/"]);
    deepEqual([routes.map(({ cause }) => cause), left], [["method"], 0]);
  });

  it("tells at most 256 routes that were tried, the chosen one among them", async () => {
    const routes = Array.from(
      { length: 400 },
      (_, at) => `{ match: { path: /, header: { x: "${at}" } }, to: u }`,
    );
    const world = await worldOf(
      `listeners: { a: { bind: "http://:90", routes: [${routes.join()}] } }\nupstreams: { u: { servers: 10.0.0.1:1 } }`,
    );
    const { routes: told, routes_left_out: left, decision } = answerTo(world, [
      "http://x:90/",
      "-H",
      "X: 399",
    ]);
    deepEqual([told.length, left, told[255].cause], [256, 144, "chosen"]);
    equal(decision.route, "a#400");
  });
});

describe("explain, by listener", () => {
  const two = `listeners:
  one: { bind: "tcp://127.0.0.1:90", to: u }
  two: { bind: "tcp://127.0.0.2:90", to: u }
  six: { bind: "tcp://[::1]:91", to: u }
  four: { bind: "tcp://0.0.0.0:92", to: u }
  all: { bind: "tcp://:93", to: u }
upstreams: { u: { servers: 10.0.0.1:1 } }`;
  const cases: readonly (readonly [to: string, name: string | null, why: string])[] = [
    ["tcp://127.0.0.1:90", "one", "the very address"],
    ["tcp://127.0.0.2:90", "two", "the very address"],
    ["tcp://localhost:90", "one", "localhost is 127.0.0.1"],
    ["tcp://127.0.0.3:90", null, "another address of the port"],
    ["tcp://[::1]:91", "six", "IPv6"],
    ["tcp://127.0.0.1:91", null, "another family"],
    ["tcp://10.0.0.9:92", "four", "all of IPv4"],
    ["tcp://[::1]:92", null, "0.0.0.0 is not IPv6"],
    ["tcp://10.0.0.9:93", "all", "[::] takes IPv4"],
    ["tcp://[2001:db8::1]:93", "all", "and IPv6"],
    ["tcp://[::ffff:10.0.0.9]:93", "all", "mapped IPv4"],
    ["tcp://db.example:91", "six", "a name: whoever listens on the port"],
    ["tcp://:92", "four", "all addresses: likewise"],
    ["unix:/run/x", null, "no such path"],
  ];
  for (const [to, name, why] of cases) {
    it(`${to}: ${why}`, async () => {
      equal(answerTo(await worldOf(two), [to]).listener?.name ?? null, name);
    });
  }

  it("asks back when several may be meant", async () => {
    const question = readQuestion({ what: "tcp://db.example:90", headers: [] });
    ok("kind" in question);
    const answer = explain(await worldOf(two), question);
    ok("problems" in answer);
    equal(
      answer.problems[0].what,
      'several listen on port 90: "one" at 127.0.0.1:90, "two" at 127.0.0.2:90',
    );
  });
});

it("timeoutsWritten knows what somebody wrote", () => {
  const raw = {
    defaults: { timeouts: { answer: "1s" } },
    listeners: { a: { timeouts: { exchange: "off" } }, b: null, c: { bind: "x" } },
    upstreams: { "a.b": { timeouts: null } },
  };
  deepEqual([...timeoutsWritten(raw)], ["defaults.timeouts.answer", "listeners.a.timeouts.exchange"]);
  deepEqual([...timeoutsWritten(undefined)], []);
});
