import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { checkConfig } from "../../../src/control/config/check.ts";
import { type Config, configSchema, KEYS } from "../../../src/control/config/schema.ts";

const ROOT = { env: {}, uid: 0 };

/** A small good configuration, with parts put over it. */
function sample(over: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    listeners: { db: { bind: "tcp://:5432", to: "db" } },
    upstreams: { db: { servers: ["10.0.0.1:5432"] } },
    ...over,
  };
}

/** The sample with keys put over its upstream. */
function upstream(over: Record<string, unknown>): Record<string, unknown> {
  return sample({ upstreams: { db: { servers: ["10.0.0.1:5432"], ...over } } });
}

/** The sample with keys put over its listener. */
function listener(over: Record<string, unknown>): Record<string, unknown> {
  return sample({ listeners: { db: { bind: "tcp://:5432", to: "db", ...over } } });
}

function good(raw: unknown): Config {
  const { config, findings } = checkConfig(raw, ROOT);
  deepEqual(findings, []);
  ok(config);
  return config;
}

test("the shortest configuration gets every default", () => {
  const config = good(sample());
  deepEqual(config, {
    reactors: "auto",
    accept: "balanced",
    admin: { kind: "unix", address: { kind: "unix", path: "/run/sluice.sock" }, byDefault: true },
    log: { level: "info", format: "text", access: { to: { kind: "stderr" }, format: "text", sample: 1 } },
    "page-files": new Map(),
    "list-files": new Map(),
    "drain-timeout": 30_000,
    "max-connections": { most: 100_000, byDefault: true },
    defaults: {
      timeouts: {
        connect: 3_000,
        "tunnel-idle": 3_600_000,
        "client-idle": 60_000,
        "request-head": 30_000,
        "body-stall": 60_000,
        exchange: 0,
        answer: 60_000,
        "server-idle": 60_000,
        "write-stall": 60_000,
        "half-closed": 60_000,
        queue: 5_000,
        handshake: 10_000,
      },
      "on-remove": { kind: "drain", ms: 30_000 },
    },
    listeners: {
      db: {
        bind: [{
          text: "tcp://:5432",
          protocol: "tcp",
          tls: false,
          address: { kind: "ip", family: 6, ip: "::", scope: "", port: 5432 },
        }],
        to: "db",
        "redirect-to-https": false,
        routes: [],
        udp: { idle: 30_000 },
        trust: [],
        "accept-proxy": [],
        forwarded: {
          "x-forwarded-for": "append",
          "x-forwarded-proto": "append",
          "x-forwarded-host": "append",
          "x-forwarded-port": "append",
          "x-real-ip": "append",
          forwarded: "off",
          via: "append",
          "x-request-id": "append",
          traceparent: "leave",
        },
        "proxy-status": "on",
        "error-pages": {},
        socket: {},
        limits: { refuse: "reset" },
        "on-remove": { kind: "drain", ms: 30_000 },
        timeouts: {
          "tunnel-idle": 3_600_000,
          "client-idle": 0,
          "write-stall": 60_000,
          "half-closed": 60_000,
          "request-head": 30_000,
          "body-stall": 60_000,
          exchange: 0,
          handshake: 10_000,
        },
      },
    },
    upstreams: {
      db: {
        balance: {
          rule: "round-robin",
          "prefix-v4": 32,
          "prefix-v6": 128,
          by: { kind: "client" },
          load: 0,
        },
        servers: [{
          address: { kind: "ip", family: 4, ip: "10.0.0.1", scope: "", port: 5432 },
          tls: false,
          base: "",
          "max-connections": 0,
          weight: 1,
          backup: false,
        }],
        health: {
          tcp: true,
          http: undefined,
          send: new Uint8Array(0),
          expect: undefined,
          interval: 2_000,
          timeout: 1_000,
          fall: 3,
          rise: 2,
        },
        "keep-alive": { "max-idle": 256, idle: "auto" },
        "on-remove": { kind: "drain", ms: 30_000 },
        socket: {},
        timeouts: {
          connect: 3_000,
          answer: 60_000,
          "server-idle": 60_000,
          silence: 0,
          "write-stall": 60_000,
          queue: 5_000,
        },
      },
    },
  });
});

test("what a key inherits is written into it, unless it has its own", () => {
  const config = good({
    defaults: { timeouts: { connect: "1s", "tunnel-idle": "2h" } },
    log: { format: "json" },
    listeners: {
      a: { bind: ["tcp://:1", "unix:/a"], to: "x" },
      b: { bind: "tcp://:2", to: "y", timeouts: { "tunnel-idle": "5s" } },
    },
    upstreams: { x: { servers: [{ address: "a:1" }] }, y: { servers: ["a:1"], timeouts: { connect: "5s" } } },
  });
  equal(config.listeners.a.timeouts["tunnel-idle"], 7_200_000);
  equal(config.listeners.b.timeouts["tunnel-idle"], 5_000);
  equal(config.upstreams.x.timeouts.connect, 1_000);
  equal(config.upstreams.y.timeouts.connect, 5_000);
  equal(config.log.access.format, "json");
  equal(config.listeners.a.bind.length, 2);
});

test("the access log has a format or a template, and a share", () => {
  const access = (given: object) => good(sample({ log: { access: given } })).log.access;
  equal(access({}).format, "text");
  equal(access({ format: "combined" }).format, "combined");
  equal(access({ template: "{client}" }).template, "{client}");
  deepEqual(access({ template: { tcp: "{client}" } }).template, { tcp: "{client}" });
  equal(access({ sample: "12.5%" }).sample, 0.125);
  const flaws: [given: object, path: string, what: string, why: string][] = [
    [{ template: "{client}", format: "json" }, "template", "there is a format as well", "both"],
    [{ template: "{clinet}" }, "template", "{clinet} stands for nothing", "a slip"],
    [{ template: { http: "{clinet}" } }, "template.http", "{clinet} stands for nothing", "in one of two"],
    [{ template: {} }, "template", "empty", "neither"],
    [
      { template: { http: "x", quic: "x" } },
      "template.quic",
      'unknown key "quic"',
      "no protocol of ours",
    ],
    [{ format: "combinde" }, "format", 'unknown value "combinde"', "a slip"],
    [{ sample: 10 }, "sample", '"10" has no unit', "of what?"],
    [{ sample: "200%" }, "sample", '"200%" is too large', "more than all"],
  ];
  for (const [given, path, what, why] of flaws) {
    const { findings } = checkConfig(sample({ log: { access: given } }), { uid: 0, env: {} });
    deepEqual(findings.map((finding) => [finding.path.join("."), finding.what]), [
      [`log.access.${path}`, what],
    ], why);
  }
});

test("health has three forms", () => {
  equal(good(upstream({ health: "off" })).upstreams.db.health, "off");
  const tcp = good(upstream({ health: { tcp: true, interval: "5s" } })).upstreams.db.health;
  ok(tcp !== "off" && tcp.tcp && tcp.interval === 5_000);
  const text =
    good(upstream({ health: { send: "PING\r\n", expect: "+PONG", fall: "5" } })).upstreams.db.health;
  ok(
    text !== "off" && !text.tcp && text.send.length === 6 && text.expect?.kind === "text" && text.fall === 5,
  );
  const speaksFirst = good(upstream({ health: { expect: "/^220/" } })).upstreams.db.health;
  ok(speaksFirst !== "off" && !speaksFirst.tcp && speaksFirst.send.length === 0);
});

test("the default of admin depends on who runs the process", () => {
  const admin = (uid: number, env: Record<string, string>) => checkConfig(sample(), { uid, env });
  deepEqual(admin(1000, { XDG_RUNTIME_DIR: "/run/user/1000" }).config?.admin, {
    kind: "unix",
    address: { kind: "unix", path: "/run/user/1000/sluice.sock" },
    byDefault: true,
  });
  for (const env of [{}, { XDG_RUNTIME_DIR: "" }, { XDG_RUNTIME_DIR: "relative" }]) {
    const { config, findings } = admin(1000, env as Record<string, string>);
    deepEqual(config?.admin, { kind: "off", byDefault: true });
    deepEqual(findings.map((finding) => [finding.path, finding.severity]), [[["admin"], "warning"]]);
  }
});

test("a long XDG_RUNTIME_DIR gives no admin rather than a broken path", () => {
  const { config } = checkConfig(sample(), { uid: 1000, env: { XDG_RUNTIME_DIR: "/" + "x".repeat(200) } });
  deepEqual(config?.admin, { kind: "off", byDefault: true });
});

test("checkConfig says what is wrong, and where", () => {
  const cases: [raw: unknown, path: string, what: string, why: string][] = [
    [null, "", "nothing is in it", "an empty file"],
    [[], "", "a list where a section of keys is expected", "a list"],
    [{}, "listeners", "nothing to listen on", "no listeners"],
    [sample({ reactor: 1 }), "reactor", 'unknown key "reactor"', "a slip"],
    [sample({ stores: {} }), "stores", '"stores" is not supported in this version', "known, later"],
    [sample({ reactors: 65 }), "reactors", '"65" is too large', "at most 64"],
    [sample({ reactors: "autp" }), "reactors", '"autp" is no whole number', "a slip"],
    [sample({ reactors: true }), "reactors", "true where a number is expected", "no number"],
    [sample({ accept: "balance" }), "accept", 'unknown value "balance"', "a slip"],
    [sample({ accept: 3 }), "accept", 'unknown value "3"', "no word"],
    [sample({ "drain-timeout": 30 }), "drain-timeout", '"30" has no unit', "seconds or milliseconds?"],
    [sample({ "drain-timeout": true }), "drain-timeout", '"true" is no duration', "no text"],
    [listener({ bind: 8080 }), "listeners/db/bind", '"8080" has no scheme', "a port alone"],
    [listener({ bind: ["tcp://:1", 8080] }), "listeners/db/bind/1", '"8080" has no scheme', "in a list"],
    [
      listener({ timeouts: { connect: "1s" } }),
      "listeners/db/timeouts/connect",
      '"connect" belongs to an upstream',
      "at the wrong place",
    ],
    [
      upstream({ timeouts: { "tunnel-idle": "1s" } }),
      "upstreams/db/timeouts/tunnel-idle",
      '"tunnel-idle" belongs to a listener',
      "at the wrong place",
    ],
    [upstream({ servers: "b" }), "upstreams/db/servers", '"b" has no port', "one server without a list"],
    [upstream({ servers: 3 }), "upstreams/db/servers", '"3" is a port without a host', "no server"],
    [
      upstream({ servers: "http://a:1" }),
      "upstreams/db/servers/0",
      '"http://a:1" is for HTTP, and listener "db" is for tcp://',
      "one server without a list",
    ],
    [upstream({ "keep-alive": "on" }), "upstreams/db/keep-alive", 'unknown value "on"', "it is by default"],
    [sample({ "drain-timeout": "25h" }), "drain-timeout", '"25h" is too large', "at most a day"],
    [sample({ "max-connections": 0 }), "max-connections", '"0" is too small', "at least 1"],
    [sample({ "max-connections": 1.5 }), "max-connections", '"1.5" is no whole number', "a fraction"],
    [sample({ log: "info" }), "log", "text where a section of keys is expected", "a section"],
    [sample({ log: { level: "warning" } }), "log/level", 'unknown value "warning"', "it is warn"],
    [sample({ log: { acces: {} } }), "log/acces", 'unknown key "acces"', "a slip"],
    [
      sample({ log: { access: { to: "stdrr" } } }),
      "log/access/to",
      '"stdrr" is neither off, stderr, stdout nor syslog',
      "a slip, no file",
    ],
    [sample({ admin: "9900" }), "admin", '"9900" is no admin address', "no form of it"],
    [sample({ admin: "http://admin.example:1" }), "admin", '"admin.example" is a name', "who can reach it?"],
    [
      sample({ admin: "http://0.0.0.0:9900" }),
      "admin",
      '"0.0.0.0:9900" can be reached from other machines, and there is no admin token',
      "no token",
    ],
    [
      sample({ admin: "http://:9900" }),
      "admin",
      '"[::]:9900" can be reached from other machines, and there is no admin token',
      "no token",
    ],
    [
      sample({ admin: "http://127.0.0.1:5432" }),
      "admin",
      'the admin API listens on "127.0.0.1:5432", taken by listener "db"',
      "same port",
    ],
    [sample({ "admin-token": "a b" }), "admin-token", "holds a character that HTTP cannot carry", "a space"],
    [
      sample({ stores: {} }),
      "stores",
      '"stores" is not supported in this version',
      "known, later",
    ],
    [sample({ listeners: { db: { to: "db" } } }), "listeners/db/bind", "missing", "required"],
    [
      listener({ to: "bd" }),
      "listeners/db/to",
      'listener "db" goes to upstream "bd", which does not exist',
      "a slip",
    ],
    [
      listener({ to: "toString" }),
      "listeners/db/to",
      'listener "db" goes to upstream "toString", which does not exist',
      "no property of Object",
    ],
    [listener({ bind: [] }), "listeners/db/bind", "empty", "an empty list"],
    [
      listener({ bind: "quic://:53" }),
      "listeners/db/bind",
      'unknown scheme "quic"',
      "known, later",
    ],
    [
      listener({ bind: ["tcp://:1", "tcp://"] }),
      "listeners/db/bind/1",
      '"" has no port',
      "which of the list",
    ],
    [
      listener({ bind: ["tcp://:1", "tcp://0.0.0.0:1"] }),
      "listeners/db/bind/1",
      'listener "db" listens on "0.0.0.0:1", taken by listener "db"',
      "a wildcard takes both families",
    ],
    [
      listener({ bind: ["tcp://10.0.0.1:1", "tcp://0.0.0.0:1"] }),
      "listeners/db/bind/1",
      'listener "db" listens on "0.0.0.0:1", taken by listener "db"',
      "a wildcard takes every address",
    ],
    [
      listener({ bind: ["unix:/a", "unix:/a"] }),
      "listeners/db/bind/1",
      'listener "db" listens on "unix:/a" twice',
      "the same path",
    ],
    [
      listener({ bind: { port: 1 } }),
      "listeners/db/bind",
      "a section of keys where text is expected",
      "no form of it",
    ],
    [
      listener({ ban: [] }),
      "listeners/db/ban",
      '"ban" is not supported in this version',
      "known, later",
    ],
    [
      listener({ timeouts: { "tunel-idle": "1s" } }),
      "listeners/db/timeouts/tunel-idle",
      'unknown key "tunel-idle"',
      "a slip",
    ],
    [
      sample({ listeners: { "a\nb": { bind: "tcp://:1", to: "db" } } }),
      "listeners/a\nb",
      '"a\\nb" is no name',
      "a control character",
    ],
    [
      sample({ listeners: { "": { bind: "tcp://:1", to: "db" } } }),
      "listeners/",
      '"" is no name',
      "empty name",
    ],
    [sample({ upstreams: { db: {} } }), "upstreams/db/servers", "missing", "required"],
    [upstream({ servers: [] }), "upstreams/db/servers", "empty", "an empty list"],
    [upstream({ servers: ["a:1", "b"] }), "upstreams/db/servers/1", '"b" has no port', "which of the list"],
    [
      upstream({ servers: [{ address: "b" }] }),
      "upstreams/db/servers/0/address",
      '"b" has no port',
      "the long form",
    ],
    [upstream({ servers: [{}] }), "upstreams/db/servers/0/address", "missing", "the long form"],
    [
      upstream({ servers: [{ address: "a:1", weight: 300 }] }),
      "upstreams/db/servers/0/weight",
      '"300" is too large',
      "256 at most",
    ],
    [
      upstream({ servers: [{ address: "a:1", wieght: 3 }] }),
      "upstreams/db/servers/0/wieght",
      'unknown key "wieght"',
      "a slip",
    ],
    [
      upstream({ balance: { "source-hash": { "prefix-v4": 33 } } }),
      "upstreams/db/balance/source-hash/prefix-v4",
      '"33" is too large',
      "an address has 32 bits",
    ],
    [
      upstream({ balance: { "source-hash": {}, "consistent-hash": {} } }),
      "upstreams/db/balance",
      "two rules",
      "one at a time",
    ],
    [upstream({ balance: {} }), "upstreams/db/balance", "no rule", "which one?"],
    [
      upstream({ balance: { "consistent-hash": { load: "99%" } } }),
      "upstreams/db/balance/consistent-hash/load",
      '"99%" is out of range',
      "less than the average is not to be had",
    ],
    [
      upstream({ balance: { "consistent-hash": { load: "125" } } }),
      "upstreams/db/balance/consistent-hash/load",
      '"125" has no unit',
      "a share",
    ],
    [
      upstream({ balance: { "consistent-hash": { by: "header:x-user" } } }),
      "upstreams/db/balance/consistent-hash/by",
      "listener db is for tcp://, and a connection has no header",
      "for HTTP alone",
    ],
    [
      upstream({ balance: { "consistent-hash": { by: "header" } } }),
      "upstreams/db/balance/consistent-hash/by",
      '"header" is nothing to go by',
      "which header?",
    ],
    [
      upstream({ balance: { "consistent-hash": { by: "cookie:a b" } } }),
      "upstreams/db/balance/consistent-hash/by",
      '"a b" is no name of a field',
      "a token",
    ],
    [
      upstream({ "slow-start": "10s", balance: "first" }),
      "upstreams/db/slow-start",
      "first goes by no weight",
      "no use",
    ],
    [
      upstream({ "slow-start": "10s", health: "off", servers: ["10.0.0.1:1"] }),
      "upstreams/db/slow-start",
      "no server ever joins or comes back: there are no checks, and no names",
      "no use",
    ],
    [
      upstream({ balance: "first", servers: ["a:1;weight=2", "a:2"] }),
      "upstreams/db/servers/0",
      "weight, and first goes by none",
      "no use",
    ],
    [upstream({ balance: "round-robbin" }), "upstreams/db/balance", 'unknown value "round-robbin"', "a slip"],
    [upstream({ helth: "off" }), "upstreams/db/helth", 'unknown key "helth"', "a slip"],
    [upstream({ health: "of" }), "upstreams/db/health", 'unknown value "of"', "a slip"],
    [
      upstream({ health: { tcp: false } }),
      "upstreams/db/health/tcp",
      'unknown value "false"',
      "off is said otherwise",
    ],
    [
      upstream({ health: { tcp: true, expect: "x" } }),
      "upstreams/db/health/tcp",
      "a check of the connection alone contradicts send, expect and http",
      "one or the other",
    ],
    [
      upstream({ health: { send: "x" } }),
      "upstreams/db/health/send",
      "nothing says what a good answer is",
      "send alone",
    ],
    [
      upstream({ health: { expect: "\\q" } }),
      "upstreams/db/health/expect",
      'unknown escape "\\q"',
      "an escape",
    ],
    [
      upstream({ health: { interval: "99ms" } }),
      "upstreams/db/health/interval",
      '"99ms" is too small',
      "at least 100ms",
    ],
    [
      upstream({ health: { timeout: "99ms" } }),
      "upstreams/db/health/timeout",
      '"99ms" is too small',
      "at least 100ms",
    ],
    [upstream({ health: { fall: 101 } }), "upstreams/db/health/fall", '"101" is too large', "at most 100"],
    [
      upstream({ health: { rise: {} } }),
      "upstreams/db/health/rise",
      "a section of keys where a number is expected",
      "no number",
    ],
    [
      upstream({ timeouts: { connect: "2h" } }),
      "upstreams/db/timeouts/connect",
      '"2h" is too large',
      "at most 1h",
    ],
  ];
  for (const [raw, path, what, why] of cases) {
    const { config, findings } = checkConfig(raw, ROOT);
    equal(config, undefined, why);
    const told = findings.filter((finding) => finding.severity === "error")
      .map((finding) => [finding.path.join("/"), finding.what]);
    deepEqual(told, [[path, what]], why);
    ok(findings.every((finding) => finding.remedy !== ""), why);
  }
});

test("remedies name what was meant", () => {
  const cases: [raw: unknown, want: string][] = [
    [sample({ reactor: 1 }), 'did you mean "reactors"?'],
    [listener({ to: "bd" }), 'did you mean "db"?'],
    [listener({ to: "elsewhere" }), 'the upstreams are "db"'],
    [upstream({ helth: "off" }), 'did you mean "health"?'],
    [upstream({ balance: "round-robbin" }), 'did you mean "round-robin"?'],
    [upstream({ servers: [{ address: "a:1", wieght: 3 }] }), 'did you mean "weight"?'],
    [sample({ log: { access: { colour: 1 } } }), "the keys here are to, format, template, sample"],
    [sample({ "drain-timeout": 30 }), "write 30s or 30ms"],
    [sample({ "drain-timeout": true }), "write a duration such as 500ms, 2s, 1m30s, 1h"],
    [sample({ admin: false }), 'did you mean "off"?'],
    [sample({ "admin-token": 12345 }), "write it in quotes"],
    [upstream({ health: { interval: 5 } }), "write 5s"],
    [listener({ bind: 8080 }), "write http://:8080 or tcp://:8080"],
    [listener({ timeouts: { connect: "1s" } }), "write it under upstreams.NAME.timeouts"],
    [upstream({ timeouts: { "tunnel-idle": "1s" } }), "write it under listeners.NAME.timeouts"],
    [
      upstream({ timeouts: { "tunel-idle": "1s" } }),
      "the keys here are connect, answer, server-idle, write-stall, queue",
    ],
    [upstream({ "keep-alive": 64 }), "write off or { max-idle: 64 }"],
    [upstream({ "keep-alive": 0 }), "write off or { max-idle: 256 }"],
    [upstream({ "keep-alive": "on" }), "leave it out, or write off or { max-idle: 256 }"],
    [upstream({ "keep-alive": true }), "leave it out, or write off or { max-idle: 256 }"],
    [null, "write listeners and upstreams"],
    [sample({ log: { level: "verbose" } }), "write debug, info, warn or error"],
  ];
  for (const [raw, want] of cases) equal(checkConfig(raw, ROOT).findings[0].remedy, want);
});

test("all findings come at once", () => {
  const { findings } = checkConfig({
    reactors: 0,
    colour: 1,
    listeners: { a: { bind: "tcp://", to: 3 } },
    upstreams: { a: { servers: ["x", "y"], health: { fall: 0, foo: 1 } } },
  }, ROOT);
  deepEqual(findings.map((finding) => finding.path.join("/")).sort(), [
    "colour",
    "listeners/a/bind",
    "listeners/a/to",
    "reactors",
    "upstreams/a/health/fall",
    "upstreams/a/health/foo",
    "upstreams/a/servers/0",
    "upstreams/a/servers/1",
  ]);
});

test("what is odd but possible is a warning", () => {
  const cases: [raw: unknown, path: string, why: string][] = [
    [
      upstream({ health: { interval: "1s", timeout: "2s" } }),
      "upstreams/db/health/timeout",
      "checks overlap",
    ],
    [upstream({ servers: ["a:1", "b:1", "A:1"] }), "upstreams/db/servers/2", "twice the same server"],
    [sample({ admin: "http://:1", "admin-token": "short" }), "admin-token", "can be guessed"],
    [
      sample({ upstreams: { db: { servers: ["a:1"] }, other: { servers: ["b:1"] } } }),
      "upstreams/other",
      "nobody leads there",
    ],
  ];
  for (const [raw, path, why] of cases) {
    const { config, findings } = checkConfig(raw, ROOT);
    ok(config, why);
    deepEqual(
      findings.map((finding) => [finding.path.join("/"), finding.severity]),
      [[path, "warning"]],
      why,
    );
  }
});

test("addresses that can be listened on together are not refused", () => {
  const binds = [
    ["tcp://:0", "tcp://:0"],
    ["tcp://127.0.0.1:1", "tcp://127.0.0.2:1"],
    ["tcp://127.0.0.1:1", "tcp://[::1]:1"],
    ["tcp://[fe80::1%1]:1", "tcp://[fe80::1%2]:1"],
    ["tcp://:1", "tcp://:2"],
    ["unix:/a", "unix:/b"],
  ];
  for (const bind of binds) good(listener({ bind }));
});

test("a secret is in no finding", () => {
  const secret = "s3cret value";
  const { findings } = checkConfig(sample({ "admin-token": secret, admin: "http://:1" }), ROOT);
  ok(findings.length > 0 && !JSON.stringify(findings).includes("s3cret"));
});

test("an upstream that nobody leads to is no news beside a name that leads nowhere", () => {
  const { findings } = checkConfig(listener({ to: "bd" }), ROOT);
  deepEqual(findings.map(({ path }) => path.join("/")), ["listeners/db/to"]);
});

test("one server needs no list", () => {
  deepEqual(good(upstream({ servers: "10.0.0.1:5432" })), good(upstream({ servers: ["10.0.0.1:5432"] })));
});

test("ten thousand upstreams are checked in a moment, too many are refused", () => {
  const servers = Array.from({ length: 10 }, (_, at) => `10.0.0.${at}:80`);
  const many = (count: number) =>
    sample({
      listeners: {
        web: {
          bind: "http://:80",
          routes: Array.from({ length: count }, (_, at) => ({ match: { path: `/${at}/` }, to: String(at) })),
          to: "db",
        },
      },
      upstreams: Object.fromEntries(
        ["db", ...Array(count).keys()].map((name) => [String(name), { servers }]),
      ),
    });
  good(many(10_000));
  deepEqual(checkConfig(many(20_000), ROOT).findings.map((finding) => finding.what), ["20001 upstreams"]);
});

test("every key is documented, and its default lies within its own bounds", () => {
  const json = JSON.stringify(z.toJSONSchema(configSchema, { io: "input" }));
  for (const { path, doc, default: fallback, schema } of KEYS) {
    const name = path.join(".");
    ok(doc.description.length > 0, name);
    const key = path[path.length - 1];
    if (key !== undefined && key !== "*") ok(json.includes(`"${key}"`), `${name} is in the JSON Schema`);
    if (fallback !== undefined && doc.defaultText === undefined) {
      ok((schema as z.ZodType).safeParse(fallback).success, `${name}: ${fallback}`);
    }
  }
  const count = (text: string): number => KEYS.filter((key) => key.path.join(".") === text).length;
  for (const { path } of KEYS) equal(count(path.join(".")), 1, `${path.join(".")} is documented once`);
});
