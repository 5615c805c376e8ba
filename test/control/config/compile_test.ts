import { deepEqual, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import {
  type Address,
  formatAddress,
  ipAddress,
  type LiteralAddress,
} from "../../../src/control/config/address.ts";
import { compile } from "../../../src/control/config/compile.ts";
import { Identities, type Leaving, type OpenSocket } from "../../../src/control/config/parts.ts";
import { socketNumbers } from "../../../src/control/config/compile_sockets.ts";
import { profileNumbers } from "../../../src/control/config/compile_tls.ts";
import { parseFlags } from "../../../src/control/config/flags.ts";
import { Directory } from "../../../src/control/directory.ts";
import { Numbers } from "../../../src/control/numbers.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import type { Config } from "../../../src/control/config/schema.ts";
import { LINES, linesNeed, Needs } from "../../../src/plan/log_lines.ts";
import {
  ACCESS_SHARE_ALL,
  ForwardedShift,
  Forwarding,
  type Plan,
  ProbeKind,
  Protocol,
  ProxyStatus,
  STATUS_FIRST,
} from "../../../src/plan/plan.ts";
import { Certificates } from "../../support/certificates.ts";
import { among, type Files } from "./files.ts";

/** One process's compiles: identities live as long as it does. */
class Bench {
  readonly identities = new Identities();
  readonly directory = new Directory();
  names: Record<string, string[]> = {};
  /** What the next ones have besides. */
  leaving: Leaving | undefined;
  #generation = 0;

  compile(...argv: string[]): Plan {
    const parsed = parseFlags([...argv, "--admin", "off"], {});
    if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
    return this.#compile(parsed.config);
  }

  /** The same from a file. */
  compileFile(text: string): Plan {
    const parsed = parseRun(["run", "-c", "f", "--admin", "off"], among({ f: text }));
    if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
    return this.#compile(parsed.config);
  }

  #compile(config: Config): Plan {
    const sockets: OpenSocket[] = Object.entries(config.listeners).flatMap(([listener, { bind }]) =>
      bind.map(({ text, address }) => {
        const port = address.kind === "unix" ? 0 : address.port;
        return { listener, bind: text, bound: text, port, socket: 0 };
      })
    ).map((socket, index) => ({ ...socket, socket: index }));
    const resolve = (target: Address): readonly LiteralAddress[] =>
      target.kind === "name"
        ? (this.names[target.name] ?? []).flatMap((ip) => ipAddress(ip, target.port) ?? [])
        : [target];
    const { leaving } = this, generation = ++this.#generation;
    const input = { config, sockets, generation, resolve, patternOf: () => 5, leaving };
    return compile(input, this.identities, this.directory).plan;
  }

  /** Servers of the first upstream, as address -> number, in the Plan's order. */
  servers(plan: Plan): [string, number][] {
    const first = plan.upstreamFirst[1], count = plan.upstreamCount[1];
    return Array.from(plan.upstreamMember.subarray(first, first + count), (server) => [
      formatAddress(plan.arena, plan.serverAddressAt[server]),
      server,
    ]);
  }
}

describe("compile", () => {
  it("a listener leads to its upstream, an upstream to its servers, a server to its address", () => {
    const bench = new Bench();
    const plan = bench.compile("tcp://:1=10.0.0.1:80,[::1]:81,unix:/run/x", "tcp://:2=10.0.0.2:80");
    deepEqual(bench.servers(plan).map(([address]) => address), ["10.0.0.1:80", "[::1]:81", "unix:/run/x"]);
    const second = plan.listenerUpstream[plan.socketListener[1]];
    strictEqual(plan.upstreamCount[second], 1);
    strictEqual(bench.directory.upstreams.get(second)?.name, "tcp://:2");
  });

  it("the directory has each upstream that a listener leads to, once", () => {
    const bench = new Bench();
    bench.compileFile(`
listeners:
  many:
    bind: http://:1
    routes: [{ match: { path: /a/ }, to: a }, { match: { path: /b/ }, to: b }, { match: { path: /c }, to: a }]
    to: b
  none: { bind: "http://:2", routes: [{ respond: {} }] }
upstreams: { a: { servers: 10.0.0.1:1 }, b: { servers: 10.0.0.2:1 } }
`);
    const entries = [...bench.directory.listeners.values()];
    deepEqual(entries.map(({ name, upstreams, upstream }) => [name, upstreams, upstream]), [
      ["many", ["a", "b"], "a, b"],
      ["none", [], ""],
    ]);
  });

  it("a server keeps its number when others come and go", () => {
    const bench = new Bench();
    bench.names = { "a.example": ["10.0.0.1", "10.0.0.2"] };
    const before = new Map(bench.servers(bench.compile("tcp://:1=a.example:80,10.9.9.9:80")));
    bench.names = { "a.example": ["10.0.0.2", "10.0.0.3"] };
    const after = new Map(bench.servers(bench.compile("tcp://:1=a.example:80,10.9.9.9:80")));
    strictEqual(after.get("10.0.0.2:80"), before.get("10.0.0.2:80"));
    strictEqual(after.get("10.9.9.9:80"), before.get("10.9.9.9:80"));
    strictEqual(
      [...before.values()].includes(after.get("10.0.0.3:80")!),
      false,
      "a newcomer inherits nobody's",
    );
  });

  it("the same address named twice is two servers, probed once", () => {
    const bench = new Bench();
    const plan = bench.compile("tcp://:1=10.0.0.1:80,10.0.0.1:80", "tcp://:2=10.0.0.1:80");
    const servers = bench.servers(plan).map(([, server]) => server);
    strictEqual(new Set(servers).size, 2);
    strictEqual(bench.directory.current.probes.size, 1);
    strictEqual(plan.probeCount[[...bench.directory.current.probes][0]], 3);
  });

  it("checks that ask differently are different checks", () => {
    const bench = new Bench();
    bench.compile("tcp://:1=10.0.0.1:80", "--health-interval", "5s", "tcp://:2=10.0.0.1:80");
    strictEqual(bench.directory.current.probes.size, 2);
  });

  it("a check has its texts, kind and numbers", () => {
    const bench = new Bench();
    const flags = ["--health-send", "PING\\r\\n", "--health-expect", "PONG", "--health-interval", "2s"];
    const plan = bench.compile("tcp://:1=10.0.0.1:80", ...flags, "--health-fall", "4", "--health-rise", "5");
    strictEqual(plan.probeKind[1], ProbeKind.Text);
    const text = (at: number, bytes: number) => new TextDecoder().decode(plan.arena.slice(at, at + bytes));
    strictEqual(text(plan.probeSendAt[1], plan.probeSendBytes[1]), "PING\r\n");
    strictEqual(text(plan.probeExpectAt[1], plan.probeExpectBytes[1]), "PONG");
    deepEqual([plan.probeIntervalMs[1], plan.probeFall[1], plan.probeRise[1], plan.probePattern[1]], [
      2000,
      4,
      5,
      0,
    ]);
  });

  it("an expression goes by its number; off is no check at all", () => {
    strictEqual(new Bench().compile("tcp://:1=10.0.0.1:80", "--health-expect", "/^\\+P/").probePattern[1], 5);
    const off = new Bench();
    off.compile("tcp://:1=10.0.0.1:80", "--health", "off");
    strictEqual(off.directory.current.probes.size, 0);
  });

  it("an upstream knows its host names, each once", () => {
    const bench = new Bench();
    bench.compile("tcp://:1=b.example:80,10.0.0.1:80,b.example:81,a.example:80", "tcp://:2=[::1]:80");
    deepEqual([...bench.directory.upstreams.values()].map(({ names }) => names), [
      ["b.example", "a.example"],
      [],
    ]);
  });

  it("a name without an address is an upstream without servers, not an error", () => {
    strictEqual(new Bench().compile("tcp://:1=nowhere.example:80").upstreamCount[1], 0);
  });
});

/** Bytes of the arena as text. */
function text(plan: Plan, at: number, bytes: number): string {
  return new TextDecoder().decode(plan.arena.slice(at, at + bytes));
}

describe("compile for HTTP", () => {
  const WEB = `
listeners:
  db: { bind: "tcp://:5432", to: api }
  web:
    bind: [http://127.0.0.1:8080, http://127.0.0.1:8081, "unix:/run/x?protocol=http"]
    trust: [10.0.0.0/8, "2001:db8::/32"]
    forwarded: { x-forwarded-for: replace, via: off, traceparent: append }
    proxy-status: all
    timeouts: { client-idle: 1s, request-head: 2s, body-stall: 3s, exchange: 4s }
    routes:
      - { match: { path: /api/ }, to: api }
      - { match: { path: /ping }, respond: { body: pong } }
    to: site
  plain: { bind: "http://:9000", to: site }
upstreams:
  api: { servers: [10.0.0.1:80] }
  site:
    servers: ["http://site.example:3000/base", 10.0.0.9:80;max-connections=7]
    timeouts: { answer: 5s, server-idle: 6s, queue: 7s }
    keep-alive: { max-idle: 8, idle: 9s }
    health: { http: GET /up, expect: 204, body: "ok" }
`;
  const bench = new Bench();
  bench.names = { "site.example": ["10.0.0.2", "10.0.0.3"] };
  const plan = bench.compileFile(WEB);
  const listener = (socket: number) => plan.socketListener[socket];
  const upstream = (name: string) =>
    [...bench.directory.upstreams.values()].find((entry) => entry.name === name)!.number;

  it("a listener has its protocol, port, deadlines and what it tells", () => {
    const [db, web, second, unix, plain] = [0, 1, 2, 3, 4].map(listener);
    const { listenerProtocol, listenerPort, listenerUpstream } = plan;
    deepEqual([db, web, unix].map((number) => listenerProtocol[number]), [
      Protocol.Tcp,
      Protocol.Http,
      Protocol.Http,
    ]);
    deepEqual([web, second, unix, plain].map((number) => listenerPort[number]), [8080, 8081, 0, 9000]);
    deepEqual([
      plan.listenerClientIdleMs[web],
      plan.listenerRequestHeadMs[web],
      plan.listenerBodyStallMs[web],
      plan.listenerExchangeMs[web],
      plan.listenerExchangeMs[plain],
    ], [1_000, 2_000, 3_000, 4_000, 0]);
    const how = (number: number, shift: ForwardedShift) => (plan.listenerForwarded[number] >> shift) & 3;
    deepEqual(
      [ForwardedShift.XForwardedFor, ForwardedShift.Via, ForwardedShift.Traceparent, ForwardedShift.Forwarded]
        .map((shift) => [how(web, shift), how(plain, shift)]),
      [
        [Forwarding.Replace, Forwarding.Append],
        [Forwarding.Off, Forwarding.Append],
        [Forwarding.Append, Forwarding.Leave],
        [Forwarding.Off, Forwarding.Off],
      ],
    );
    deepEqual([plan.listenerProxyStatus[web], plan.listenerProxyStatus[plain]], [
      ProxyStatus.All,
      ProxyStatus.Own,
    ]);
    deepEqual([db, web, plain].map((number) => listenerUpstream[number]), [
      upstream("api"),
      upstream("site"),
      upstream("site"),
    ]);
  });

  it("whom a listener trusts is a row of prefixes", () => {
    const web = listener(1), first = plan.listenerTrustedFirst[web], count = plan.listenerTrustedCount[web];
    const rows = Array.from(plan.trustedAt.subarray(first, first + count), (at) => [
      ...plan.arena.slice(at, at + 8),
    ]);
    deepEqual(rows, [[4, 8, 0, 0, 10, 0, 0, 0], [6, 32, 0, 0, 0x20, 1, 0x0d, 0xb8]]);
    strictEqual(plan.listenerTrustedCount[listener(4)], 0);
  });

  it("binds of one listener share a router; one without routes needs none", () => {
    const routers = [0, 1, 2, 3, 4].map((socket) => plan.listenerRouter[listener(socket)]);
    deepEqual(routers, [0, 1, 1, 1, 0]);
    deepEqual([...bench.directory.routes], [[1, "web#1"], [2, "web#2"], [3, "web"]]);
    strictEqual(plan.routing.routeUpstream[1], upstream("api"));
    strictEqual(plan.routing.routeUpstream[3], upstream("site"));
    strictEqual(text(plan, plan.routing.routeBodyAt[2], plan.routing.routeBodyBytes[2]), "pong");
  });

  it("the directory names all upstreams that a listener leads to", () => {
    deepEqual([...bench.directory.listeners.values()].map((entry) => entry.upstream), [
      "api",
      ...Array(3).fill("api, site"),
      "site",
    ]);
  });

  it("an upstream has its deadlines and what it keeps, a server its base path, name and limit", () => {
    const site = upstream("site"), api = upstream("api");
    deepEqual([
      plan.upstreamAnswerMs[site],
      plan.upstreamServerIdleMs[site],
      plan.upstreamQueueMs[site],
      plan.upstreamKeepMax[site],
      plan.upstreamKeepMs[site],
    ], [5_000, 6_000, 7_000, 8, 9_000]);
    deepEqual([plan.upstreamKeepMax[api], plan.upstreamKeepMs[api]], [256, -1], "as long as the server says");
    const first = plan.upstreamFirst[site];
    const servers = Array.from(
      plan.upstreamMember.subarray(first, first + plan.upstreamCount[site]),
      (server) => [
        formatAddress(plan.arena, plan.serverAddressAt[server]),
        text(plan, plan.serverBaseAt[server], plan.serverBaseBytes[server]),
        text(plan, plan.serverAuthorityAt[server], plan.serverAuthorityBytes[server]),
        plan.serverConnectionsMax[server],
      ],
    );
    deepEqual(servers, [
      ["10.0.0.2:3000", "/base", "site.example:3000", 0],
      ["10.0.0.3:3000", "/base", "site.example:3000", 0],
      ["10.0.0.9:80", "", "10.0.0.9", 7],
    ]);
  });

  it("a check by a request has its bytes and its statuses", () => {
    const [, probe] = [...bench.directory.current.probes];
    strictEqual(plan.probeKind[probe], ProbeKind.Http);
    const request = text(plan, plan.probeSendAt[probe], plan.probeSendBytes[probe]);
    strictEqual(request.startsWith("GET /up HTTP/1.1\r\nHost: site.example:3000\r\n"), true, request);
    strictEqual(text(plan, plan.probeExpectAt[probe], plan.probeExpectBytes[probe]), "ok");
    const at = plan.probeStatusAt[probe];
    const bit = (status: number) =>
      (plan.arena[at + ((status - STATUS_FIRST) >> 3)] >> ((status - STATUS_FIRST) & 7)) & 1;
    deepEqual([200, 203, 204, 205].map(bit), [0, 0, 1, 0]);
  });

  it("checks that say another Host are different checks", () => {
    const other = new Bench();
    other.names = { "a.example": ["10.0.0.1"], "b.example": ["10.0.0.1"] };
    other.compile("http://:1=a.example:80,b.example:80", "--health-http", "/up");
    strictEqual(other.directory.current.probes.size, 2);
    const same = new Bench();
    same.compile(
      "http://:1=10.0.0.1:80",
      "--health-http",
      "/up",
      "http://:2=10.0.0.1:80",
      "--health-http",
      "/up",
    );
    strictEqual(same.directory.current.probes.size, 1);
    const statuses = new Bench();
    statuses.compile(
      ...["http://:1=10.0.0.1:80", "--health-http", "/up"],
      ...["http://:2=10.0.0.1:80", "--health-http", "/up", "--health-expect", "204"],
    );
    strictEqual(statuses.directory.current.probes.size, 2);
  });

  it("what has left keeps its name for the log, and nothing else, until its number is given again", () => {
    const bench = new Bench();
    const nameOf = (plan: Plan, server: number) =>
      text(plan, plan.serverNameAt[server], plan.serverNameBytes[server]);
    bench.names = { "a.example": ["10.0.0.1", "10.0.0.2"] };
    const [[, first], [, second]] = bench.servers(bench.compile("tcp://:1=a.example:80"));
    bench.names = { "a.example": ["10.0.0.2"] };
    const plan = bench.compile("tcp://:1=a.example:80");
    deepEqual([nameOf(plan, first), nameOf(plan, second)], ["10.0.0.1:80", "10.0.0.2:80"]);
    deepEqual([plan.serverAddressAt[first], plan.upstreamCount[1]], [0, 1]);
    for (const number of bench.identities.servers.release(9, () => true)) {
      bench.directory.servers.delete(number);
    }
    const after = bench.compile("tcp://:1=a.example:80");
    deepEqual([nameOf(after, first), nameOf(after, second)], ["", "10.0.0.2:80"]);
  });

  it("the log's lines and share are those of its configuration; off has no lines", () => {
    const file = (log: string) =>
      new Bench().compileFile(
        `log: ${log}\nlisteners: { a: { bind: 'tcp://:1', to: a } }\nupstreams: { a: { servers: ['10.0.0.1:80'] } }\n`,
      );
    const some = file("{ access: { format: combined, sample: 25% } }");
    deepEqual([some.accessAll, some.accessShare, some.lines.sizes.lines], [1, ACCESS_SHARE_ALL / 4, LINES]);
    strictEqual(linesNeed(some.lines, Needs.Head), true);
    strictEqual(linesNeed(some.lines, Needs.Id), false);
    strictEqual(file("{ access: { sample: 0.0000000001% } }").accessShare, 1);
    strictEqual(file("{ access: { sample: 0% } }").accessShare, 0);
    const all = file("{}");
    deepEqual([all.accessShare, linesNeed(all.lines, Needs.Head)], [ACCESS_SHARE_ALL, false]);
    const off = file("{ access: { to: off } }");
    deepEqual([off.accessAll, off.lines.sizes.ops, linesNeed(off.lines, Needs.Head)], [0, 0, false]);
  });

  it("a base path is part of who a server is", () => {
    const keeper = new Bench();
    const [[, a], [, b]] = keeper.servers(keeper.compile("http://:1=http://10.0.0.1/a,http://10.0.0.1/b"));
    const [[, again]] = keeper.servers(keeper.compile("http://:1=http://10.0.0.1/b"));
    strictEqual(again, b);
    strictEqual(a === b, false);
  });

  it("ten thousand routes are compiled in a moment", () => {
    const routes = Array.from(
      { length: 10_000 },
      (_, at) => `      - { match: { path: /r${at}/ }, to: api }`,
    );
    const from = performance.now();
    const many = new Bench().compileFile(
      `listeners:\n  web:\n    bind: http://:1\n    routes:\n${routes.join("\n")}\n` +
        "upstreams: { api: { servers: ['10.0.0.1:80'] } }\n",
    );
    strictEqual(many.routing.sizes.routes, 10_001);
    strictEqual(performance.now() - from < 10_000, true, `${performance.now() - from} ms`);
  });
});

/** What a file says, among others. */
function configOf(text: string, others: Files = {}): Config {
  const parsed = parseRun(["run", "-c", "f", "--admin", "off"], among({ ...others, f: text }));
  if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

describe("what keeps its number from one configuration to the next", () => {
  const web = (...routes: string[]) => `
listeners: { web: { bind: "http://:1", routes: [${routes.join(", ")}], to: a } }
upstreams: { a: { servers: 10.0.0.1:1 }, b: { servers: 10.0.0.2:1 } }
`;
  const A = "{ match: { path: /a/ }, to: a }", B = "{ match: { path: /b/ }, to: a }";
  const numbersOf = (bench: Bench) =>
    Object.fromEntries([...bench.directory.routes].map(([number, name]) => [name, number]));

  it("a route, wherever it stands; its name is its place", () => {
    const bench = new Bench();
    bench.compileFile(web(A, B));
    const before = numbersOf(bench);
    bench.compileFile(web("{ match: { path: /new }, to: b }", B, A));
    const after = numbersOf(bench);
    deepEqual([after["web#2"], after["web#3"], after.web], [before["web#2"], before["web#1"], before.web]);
    strictEqual(Object.values(before).includes(after["web#1"]), false, "a newcomer inherits nobody's");
  });

  it("a route that leads elsewhere is the same; one that asks something else is another", () => {
    const bench = new Bench();
    bench.compileFile(web(A, B));
    const before = numbersOf(bench);
    bench.compileFile(web(A.replace("to: a", "to: b"), B.replace("/b/", "/c/")));
    const after = numbersOf(bench);
    strictEqual(after["web#1"], before["web#1"]);
    strictEqual(Object.values(before).includes(after["web#2"]), false);
  });

  it("of routes that ask the same each has its own, by their order", () => {
    const bench = new Bench();
    bench.compileFile(web(A, A));
    const before = numbersOf(bench);
    strictEqual(before["web#1"] === before["web#2"], false);
    bench.compileFile(web(B, A, A));
    const after = numbersOf(bench);
    deepEqual([after["web#2"], after["web#3"]], [before["web#1"], before["web#2"]]);
    bench.compileFile(web(A));
    strictEqual(numbersOf(bench)["web#1"], before["web#1"]);
  });

  it("settings of sockets by what they say, whoever has them", () => {
    const numbers = new Numbers(100),
      of = (text: string) => socketNumbers(configOf(text), (key) => numbers.take(key));
    const file = (a: string, b: string) => `
listeners: { a: { bind: "tcp://:1", to: a${a} }, b: { bind: "tcp://:2", to: b${b} } }
upstreams: { a: { servers: 10.0.0.1:1${a} }, b: { servers: 10.0.0.2:1 } }
`;
    const quick = ", socket: { user-timeout: 5s }", slow = ", socket: { user-timeout: 9s }";
    const first = of(file(quick, quick));
    strictEqual(first.listeners.get("a"), first.listeners.get("b"));
    strictEqual(first.upstreams.has("b"), false, "who sets nothing has none");
    strictEqual(first.upstreams.get("a") === first.listeners.get("a"), false, "servers' are not clients'");
    const second = of(file(slow, quick));
    strictEqual(second.listeners.get("b"), first.listeners.get("b"));
    strictEqual([...first.listeners.values()].includes(second.listeners.get("a")!), false);
    deepEqual(of(file(quick, quick)), first);
  });

  it("a TLS profile until its owner's is to be another; certificates may change in it", () => {
    using world = new Certificates();
    const leaf = world.leaf("a.example"), c = readFileSync(leaf.cert), k = readFileSync(leaf.key);
    const numbers = new Numbers(100), files = { c, k, other: c };
    const of = (text: string) => profileNumbers(configOf(text, files), (key) => numbers.take(key));
    const file = (tls: string, up = "{ verify: off }") => `
listeners:
  a: { bind: "https://:1", to: a, tls: { certificates: [{ cert: c, key: k }]${tls} } }
  b: { bind: "https://:2", to: a, tls: { certificates: [{ cert: c, key: k }] } }
upstreams: { a: { servers: "https://10.0.0.1:1", tls: ${up} } }
`;
    const first = of(file(""));
    strictEqual(new Set([...first.listeners.values(), ...first.upstreams.values()]).size, 3, "nobody shares");
    deepEqual(of(file("")), first);
    deepEqual(of(file("").replace("cert: c", "cert: other")), first);
    const old = of(file(", policy: compatible"));
    strictEqual(old.listeners.get("a") === first.listeners.get("a"), false);
    deepEqual([old.listeners.get("b"), old.upstreams], [first.listeners.get("b"), first.upstreams]);
    const verified = of(file("", '{ pins: ["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="] }'));
    deepEqual(verified.listeners, first.listeners);
    strictEqual(verified.upstreams.get("a") === first.upstreams.get("a"), false);
    deepEqual(of(file("")), first, "who is back is who it was");
  });
});

describe("listeners that leave", () => {
  const OLD = `
listeners:
  web: { bind: "http://:1", routes: [{ match: { path: /a/ }, to: a }], to: b }
  db: { bind: "tcp://:2", to: c }
upstreams: { a: { servers: 10.0.0.1:1 }, b: { servers: 10.0.0.2:1 }, c: { servers: 10.0.0.3:1 } }
`;
  /** A Bench on which `web` of the old file leaves. */
  function leaving(): { bench: Bench; old: Plan; numbers: Record<string, number> } {
    const bench = new Bench(), old = bench.compileFile(OLD), { listeners, upstreams } = configOf(OLD);
    const numbers = Object.fromEntries([...bench.directory.routes].map(([number, name]) => [name, number]));
    bench.leaving = {
      sockets: [{ listener: "web", bind: "http://:1", bound: "http://:1", port: 1, socket: 7 }],
      listeners: { web: listeners.web },
      upstreams: { a: upstreams.a, b: upstreams.b },
    };
    return { bench, old, numbers };
  }
  const names = (bench: Bench, kind: "listeners" | "upstreams") =>
    [...bench.directory.current[kind]].map((number) => bench.directory[kind].get(number)!.name);

  it("are in the Plan with all they lead to, and not among what is there", () => {
    const { bench, old, numbers } = leaving();
    const plan = bench.compileFile(
      'listeners: { db: { bind: "tcp://:2", to: c } }\nupstreams: { c: { servers: 10.0.0.3:1 } }\n',
    );
    const web = old.socketListener[0], db = old.socketListener[1];
    deepEqual([plan.socketListener[7], plan.socketListener[0]], [web, db]);
    deepEqual([plan.listenerLeaves[web], plan.listenerLeaves[db]], [1, 0]);
    strictEqual(plan.listenerProtocol[web], Protocol.Http);
    strictEqual(plan.listenerUpstream[web], old.listenerUpstream[web]);
    strictEqual(plan.upstreamCount[plan.listenerUpstream[web]], 1);
    deepEqual([names(bench, "listeners"), names(bench, "upstreams")], [["db"], ["c"]]);
    deepEqual(
      [...bench.directory.current.servers].map((server) => bench.directory.servers.get(server)?.upstream),
      ["c"],
    );
    const routes = Object.fromEntries([...bench.directory.routes].map(([number, name]) => [name, number]));
    deepEqual(routes, numbers, "their routes are who they were");
    strictEqual(plan.listenerRouter[web] > 0, true);
  });

  it("leave what others lead to as it is", () => {
    const { bench } = leaving();
    bench.compileFile(`
listeners: { db: { bind: "tcp://:2", to: b } }
upstreams: { b: { servers: 10.0.0.2:1 } }
`);
    deepEqual(names(bench, "upstreams"), ["b"]);
    strictEqual(bench.directory.current.servers.size, 1);
  });

  it("go by what one of their name says now", () => {
    const { bench, old } = leaving(), web = old.socketListener[0];
    const plan = bench.compileFile(`
listeners: { web: { bind: "http://:9", to: c } }
upstreams: { c: { servers: 10.0.0.3:1 } }
`);
    strictEqual(plan.listenerUpstream[web], plan.listenerUpstream[plan.socketListener[0]]);
    strictEqual(plan.socketListener[0] === web, false);
    deepEqual([plan.listenerLeaves[web], plan.listenerLeaves[plan.socketListener[0]]], [1, 0]);
  });

  it("keep their own, routes too, when that speaks another protocol", () => {
    const { bench, old, numbers } = leaving(), web = old.socketListener[0];
    const plan = bench.compileFile(`
listeners: { web: { bind: "tcp://:9", to: c } }
upstreams: { c: { servers: 10.0.0.3:1 } }
`);
    const now = plan.socketListener[0];
    deepEqual([plan.listenerProtocol[web], plan.listenerProtocol[now]], [Protocol.Http, Protocol.Tcp]);
    deepEqual([plan.listenerUpstream[web], plan.listenerUpstream[now] !== plan.listenerUpstream[web]], [
      old.listenerUpstream[web],
      true,
    ]);
    const routes = Object.fromEntries([...bench.directory.routes].map(([number, name]) => [name, number]));
    deepEqual(routes, numbers);
    deepEqual([plan.listenerRouter[web] > 0, plan.listenerRouter[now] > 0], [true, false]);
  });

  it("whose socket is closed are there as well", () => {
    const { bench, old } = leaving(), web = old.socketListener[0];
    bench.leaving = {
      ...bench.leaving!,
      sockets: bench.leaving!.sockets.map((open) => ({ ...open, socket: -1 })),
    };
    const plan = bench.compileFile(
      'listeners: { db: { bind: "tcp://:2", to: c } }\nupstreams: { c: { servers: 10.0.0.3:1 } }\n',
    );
    deepEqual([plan.listenerLeaves[web], [...plan.socketListener].includes(web)], [1, false]);
  });
});
