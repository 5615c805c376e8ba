import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressText } from "../../../src/control/config/address.ts";
import { formatProblem, formatProblems } from "../../../src/control/config/errors.ts";
import { asksFor, FLAGS } from "../../../src/control/config/command_line.ts";
import { VERBS_LATER } from "../../../src/control/config/verbs.ts";
import { parseFlags } from "../../../src/control/config/flags.ts";
import type { Config } from "../../../src/control/config/schema.ts";

const L = "tcp://:9000=10.0.0.1:9001";
const L2 = "tcp://:9100=10.0.0.1:9101";

function parse(argv: string[]) {
  return parseFlags(argv, {}, 0);
}

function good(argv: string[]): Config {
  const result = parse(argv);
  ok("config" in result, "problems" in result ? formatProblems(result.problems) : "");
  deepEqual(result.warnings, []);
  return result.config;
}

/** The lines that a user sees, without the program's name. */
function lines(argv: string[]): string[] {
  const result = parse(argv);
  const problems = "problems" in result ? result.problems : result.warnings;
  return problems.map((problem) => formatProblem(problem).replace(/^sluice: /, ""));
}

test("the command line of the README", () => {
  const config = good([
    "tcp://:9000=10.0.0.1:9001,10.0.0.2:9002",
    ...["--reactors", "4", "--health-send", "PING\\n", "--health-expect", "PONG", "--health-interval", "2s"],
    ...["--health-timeout", "1s", "--health-fall", "3", "--health-rise", "2", "--connect-timeout", "3s"],
    ...["--admin", "http://127.0.0.1:9900"],
  ]);
  equal(config.reactors, 4);
  equal(config.admin.kind, "http");
  deepEqual(Object.keys(config.listeners), ["tcp://:9000"]);
  equal(config.listeners["tcp://:9000"].to, "tcp://:9000");
  const { servers, health, timeouts } = config.upstreams["tcp://:9000"];
  deepEqual(servers.map(({ address }) => addressText(address)), ["10.0.0.1:9001", "10.0.0.2:9002"]);
  deepEqual(health, {
    tcp: false,
    http: undefined,
    send: new TextEncoder().encode("PING\n"),
    expect: { kind: "text", bytes: new TextEncoder().encode("PONG") },
    interval: 2_000,
    timeout: 1_000,
    fall: 3,
    rise: 2,
  });
  equal(timeouts.connect, 3_000);
});

test("one value of each flag, in both spellings", () => {
  const cases: [
    flag: string,
    value: string,
    read: (config: Config) => unknown,
    want: unknown,
    why: string,
  ][] = [
    ["--reactors", "auto", (config) => config.reactors, "auto", "the default, said aloud"],
    ["--reactors", "64", (config) => config.reactors, 64, "the most"],
    ["--accept", "reuseport", (config) => config.accept, "reuseport", "word"],
    ["--admin", "off", (config) => config.admin.kind, "off", "word"],
    ["--admin", "unix:/tmp/a.sock", (config) => config.admin.kind, "unix", "path"],
    ["--admin", "http://localhost:0/", (config) => config.admin.kind, "http", "as pasted from a browser"],
    ["--admin-token", "secret", (config) => config["admin-token"], "secret", "text"],
    [
      "--max-connections",
      "1000000",
      (config) => config["max-connections"],
      { most: 1_000_000, byDefault: false },
      "the most",
    ],
    ["--drain-timeout", "0s", (config) => config["drain-timeout"], 0, "at once"],
    ["--access-log", "off", (config) => config.log.access.to, { kind: "off" }, "word"],
    ["--access-log", "stdout", (config) => config.log.access.to, { kind: "stdout" }, "word"],
    ["--access-log", "./off", (config) => config.log.access.to, { kind: "file", path: "./off" }, "a file"],
    [
      "--access-log",
      "access.log",
      (config) => config.log.access.to,
      { kind: "file", path: "access.log" },
      "a file",
    ],
    ["--log-level", "debug", (config) => config.log.level, "debug", "word"],
    ["--log-format", "json", (config) => config.log.format, "json", "the log"],
    ["--log-format", "json", (config) => config.log.access.format, "json", "and the access log"],
    [
      "--tunnel-idle",
      "10m",
      (config) => config.listeners["tcp://:9000"].timeouts["tunnel-idle"],
      600_000,
      "duration",
    ],
    [
      "--connect-timeout",
      "100ms",
      (config) => config.upstreams["tcp://:9000"].timeouts.connect,
      100,
      "the least",
    ],
    [
      "--balance",
      "random-two",
      (config) => config.upstreams["tcp://:9000"].balance.rule,
      "random-two",
      "word",
    ],
    ["--health", "off", (config) => config.upstreams["tcp://:9000"].health, "off", "word"],
  ];
  for (const [flag, value, read, want, why] of cases) {
    deepEqual(read(good([L, flag, value])), want, `${flag}: ${why}`);
    deepEqual(read(good([`${flag}=${value}`, L])), want, `${flag}=: ${why}, before`);
  }
});

test("flags before the first LISTEN=TARGETS hold for all, flags after one for it", () => {
  const argv = [
    "--connect-timeout",
    "1s",
    "--health-fall",
    "5",
    L,
    "--connect-timeout",
    "2s",
    L2,
    "--health",
    "off",
  ];
  const { upstreams } = good(argv);
  equal(upstreams["tcp://:9000"].timeouts.connect, 2_000, "its own");
  equal(upstreams["tcp://:9100"].timeouts.connect, 1_000, "the shared one");
  const { health } = upstreams["tcp://:9000"];
  ok(health !== "off" && health.fall === 5, "the shared one");
  equal(upstreams["tcp://:9100"].health, "off", "its own off wins over shared details");
});

test("one LISTEN's kind of check wins over the shared kind", () => {
  const health = (argv: string[]) => good(argv).upstreams["tcp://:9000"].health;
  const text = health(["--health", "off", L, "--health-send", "a", "--health-expect", "b"]);
  ok(text !== "off" && !text.tcp, "text instead of off");
  const half = health(["--health-send", "a", "--health-expect", "b", L, "--health-expect", "c"]);
  ok(half !== "off" && half.send.length === 1 && half.expect?.kind === "text" && half.expect.bytes[0] === 99);
  const tcp = health(["--health-send", "a", "--health-expect", "b", L, "--health", "tcp"]);
  ok(tcp !== "off" && tcp.tcp, "tcp instead of text");
  const first = health([L, "--health-expect", "220"]);
  ok(first !== "off" && first.send.length === 0, "the server speaks first");
});

test("process-wide flags stand anywhere", () => {
  for (const argv of [["--reactors", "2", L, L2], [L, "--reactors", "2", L2], [L, L2, "--reactors=2"]]) {
    equal(good(argv).reactors, 2);
  }
  equal(good(["--reactors", "2", L, "--reactors=2"]).reactors, 2, "the same value twice is no contradiction");
});

test("names are as typed; port 0 may be given more than once", () => {
  const argv = [
    "tcp://localhost:0=a:1",
    "tcp://localhost:0=b:1",
    "unix:/s?protocol=tcp=unix:/t",
    "tcp://[::1]:1=c:1",
  ];
  const names = ["tcp://localhost:0", "tcp://localhost:0#2", "unix:/s?protocol=tcp", "tcp://[::1]:1"];
  const config = good(argv);
  deepEqual(Object.keys(config.listeners), names);
  deepEqual(Object.keys(config.upstreams), names);
});

test("LISTENs of HTTP on one address are one listener with routes", () => {
  const { listeners, upstreams } = good([
    "http://shop.example:8080/api/=http://127.0.0.1:3000/base",
    "http://:8080=127.0.0.1:4000",
    "http://*.shop.example:8080=127.0.0.1:5000",
  ]);
  deepEqual(Object.keys(listeners), ["http://:8080"]);
  const { to, routes } = listeners["http://:8080"];
  equal(to, "http://:8080");
  deepEqual(routes.map(({ match, action }) => [match.host, match.path, action]), [
    [["shop.example"], { kind: "prefix", text: "/api/" }, {
      kind: "upstream",
      to: "http://shop.example:8080/api/",
    }],
    [["*.shop.example"], undefined, { kind: "upstream", to: "http://*.shop.example:8080" }],
  ]);
  deepEqual(Object.keys(upstreams), [
    "http://shop.example:8080/api/",
    "http://:8080",
    "http://*.shop.example:8080",
  ]);
  equal(upstreams["http://shop.example:8080/api/"].servers[0].base, "/base");
});

test("a path of LISTEN is exact, a prefix or a pattern", () => {
  const { routes } =
    good(["http://:1/a=a:1", "http://:1/b/=a:1", "http://:1/c/{id}=a:1"]).listeners["http://:1"];
  deepEqual(routes.map(({ match }) => match.path), [
    { kind: "exact", text: "/a" },
    { kind: "prefix", text: "/b/" },
    { kind: "pattern", text: "/c/{id}" },
  ]);
});

test("LISTENs of HTTP share a port that the kernel chooses unless they ask for the same", () => {
  const { listeners } = good(["http://:0/a=a:1", "http://:0=b:1", "http://:0=c:1", "http://127.0.0.1:0=d:1"]);
  deepEqual(Object.entries(listeners).map(([name, { to, routes }]) => [name, to, routes.length]), [
    ["http://:0", "http://:0", 1],
    ["http://:0#2", "http://:0#2", 0],
    ["http://127.0.0.1:0", "http://127.0.0.1:0", 0],
  ]);
});

test("flags about silence hold for HTTP and TCP, and the defaults for HTTP alone", () => {
  const { listeners, upstreams } = good([
    ...["--client-idle", "5s", "--server-idle", "6s", L, "http://:1/a=a:1", "--server-idle", "7s"],
    ...["http://:1=b:1", "--client-idle", "8s"],
  ]);
  equal(listeners["http://:1"].timeouts["client-idle"], 8_000, "one of its groups has its own");
  equal(upstreams["http://:1/a"].timeouts["server-idle"], 7_000, "its own");
  equal(upstreams["http://:1"].timeouts["server-idle"], 6_000, "the shared one");
  equal(listeners["tcp://:9000"].timeouts["client-idle"], 5_000, "the shared one");
  const without = good([L, "http://:1=a:1"]);
  equal(without.listeners["tcp://:9000"].timeouts["client-idle"], 0, "no limit without HTTP");
  equal(without.listeners["http://:1"].timeouts["client-idle"], 60_000, "the default");
});

test("flags of UDP hold for its listeners, those of connections for the others", () => {
  const { listeners, upstreams } = good([
    ...["--udp-idle", "5s", "--responses", "1", "--tunnel-idle", "6s", "--connect-timeout", "7s"],
    ...["udp://:53=a:1", "udp://:54=b:1", "--responses", "2", L],
  ]);
  deepEqual(listeners["udp://:53"].udp, { idle: 5_000, responses: 1 });
  deepEqual(listeners["udp://:54"].udp, { idle: 5_000, responses: 2 });
  deepEqual(listeners["tcp://:9000"].udp, { idle: 30_000 }, "the default, without a use");
  equal(listeners["tcp://:9000"].timeouts["tunnel-idle"], 6_000);
  equal(upstreams["udp://:53"].health, "off", "servers of UDP need not take connections");
  const health = good(["udp://:53=a:1", "--health", "tcp"]).upstreams["udp://:53"].health;
  ok(health !== "off" && health.tcp);
});

test("a check by a request, from flags", () => {
  const health = (argv: string[]) => good(argv).upstreams["http://:1"].health;
  const listen = "http://:1=a:1";
  const plain = health([listen, "--health-http", "GET /healthz"]);
  ok(plain !== "off" && !plain.tcp);
  deepEqual(plain.http, {
    method: "GET",
    target: "/healthz",
    host: undefined,
    header: {},
    statuses: [[200, 299]],
  });
  const statuses = health([listen, "--health-http", "HEAD /h?x=1", "--health-expect", "200,300-399"]);
  ok(statuses !== "off" && statuses.expect === undefined);
  deepEqual(statuses.http?.statuses, [[200, 200], [300, 399]]);
  const own = health(["--health-send", "a", "--health-expect", "b", listen, "--health-http", "/h"]);
  ok(own !== "off" && own.http?.target === "/h" && own.send.length === 0, "its own kind wins whole");
  const text = health(["--health-http", "/h", listen, "--health-send", "a", "--health-expect", "b"]);
  ok(text !== "off" && text.http === undefined && text.send.length === 1, "its own kind wins whole");
});

test("-- ends the flags", () => {
  deepEqual(Object.keys(good(["--reactors", "2", "--", L]).listeners), ["tcp://:9000"]);
});

test("problems name the argument and the remedy", () => {
  const cases: [argv: string[], want: string, why: string][] = [
    [[], "no LISTEN=TARGETS; write sluice tcp://:5432=10.0.0.1:5432, or see sluice --help", "nothing given"],
    [
      ["--reactors", "2"],
      "no LISTEN=TARGETS; write sluice tcp://:5432=10.0.0.1:5432, or see sluice --help",
      "flags only",
    ],
    [["tcp://:9000"], "tcp://:9000: no TARGETS; write tcp://:9000=HOST:PORT,HOST:PORT", "no targets"],
    [
      ["tcp://:9000="],
      "tcp://:9000=: no TARGETS after the =; write tcp://:9000=HOST:PORT,HOST:PORT",
      "no targets",
    ],
    [["=a:1"], "=a:1: no LISTEN before the =; write tcp://:PORT=HOST:PORT", "no LISTEN"],
    [
      ["tcp://:9000=a:1,"],
      "tcp://:9000=a:1,: a comma with no target beside it; write HOST:PORT,HOST:PORT without spaces",
      "trailing comma",
    ],
    [
      ["tcp://:9000=,"],
      "tcp://:9000=,: a comma with no target beside it; write HOST:PORT,HOST:PORT without spaces",
      "a comma alone",
    ],
    [
      ["tcp://:9000=a:1, b:1"],
      'tcp://:9000=a:1, b:1: " b:1" holds whitespace; write addresses without spaces',
      "whitespace",
    ],
    [["tcp://:9000=a"], 'tcp://:9000=a: "a" has no port; write a:PORT', "missing port"],
    [
      ["tcp://:9000=a:0"],
      'tcp://:9000=a:0: port "0" is out of range; write a port from 1 to 65535',
      "bad port",
    ],
    [
      ["tcp://:9000=::1:80"],
      'tcp://:9000=::1:80: "::1:80" is an IPv6 address without brackets; write [::1]:80',
      "no brackets",
    ],
    [
      ["tcp://:9000=a:1;weight=300"],
      'tcp://:9000=a:1;weight=300: weight: "300" is too large; write a value from 0 to 256',
      "later",
    ],
    [
      ["tcp://9000=a:1"],
      'tcp://9000=a:1: "9000" is a port without a host; write tcp://:9000',
      "the colon is missing",
    ],
    [[":9000=a:1"], ':9000=a:1: ":9000" has no scheme; write http://:9000 or tcp://:9000', "no scheme"],
    [["tpc://:9000=a:1"], 'tpc://:9000=a:1: unknown scheme "tpc"; did you mean "tcp"?', "a slip"],
    [
      ["https://:443=a:1"],
      'https://:443=a:1: "https://:443" has no certificate; give a certificate (tls.certificates, or --cert and ' +
      "--key), or have one issued (tls.acme, or --acme-email)",
      "no certificate",
    ],
    [
      ["udp://:53=unix:/a"],
      'udp://:53=unix:/a: "unix:/a" is a unix socket, and listener "udp://:53" is for udp://; write HOST:PORT',
      "later",
    ],
    [
      [L, "--client-idle", "99ms"],
      '--client-idle: "99ms" is too small; write a value from 100ms to 7d',
      "a reactor's tick",
    ],
    [
      ["tcp://:1=http://a:1/b"],
      'tcp://:1=http://a:1/b: "http://a:1/b" is for HTTP, and listener "tcp://:1" is for tcp://; write a:1',
      "a base path means something to HTTP alone",
    ],
    [
      ["tcp://:1=a:1/b"],
      'tcp://:1=a:1/b: "a:1/b" is for HTTP, and listener "tcp://:1" is for tcp://; write a:1',
      "with or without its scheme",
    ],
    [
      ["http://:1=a:1", "http://:1/=b:1"],
      'http://:1/=b:1: "http://:1/" is given twice; put all targets behind one LISTEN, or choose another port',
      "a slash is no path",
    ],
    [
      ["http://127.0.0.1:1/a=a:1", "http://localhost:1/a=b:1"],
      'http://localhost:1/a=b:1: "http://localhost:1/a" is given twice; put all targets behind one LISTEN, or choose another port',
      "the same address",
    ],
    [
      ["http://shop.example:1/a?b=c:1"],
      'http://shop.example:1/a?b=c:1: "/a?b" holds "?", which no path has; write /a',
      "a query",
    ],
    [
      ["http://a_-:1=c:1"],
      'http://a_-:1=c:1: "a_-" is no host; write a host such as shop.example or *.shop.example',
      "a label ends with a hyphen",
    ],
    [
      ["http://:1/a=a:1", "--client-idle", "1s", "http://:1/b=b:1", "--client-idle", "2s"],
      '--client-idle (argument 5): given twice for the same listener, "1s" and "2s"; leave one of them out',
      "one listener has one value",
    ],
    [
      ["http://:1=a:1", "--health-http", "GET"],
      '--health-http: "GET" is no path to ask for; write "GET /PATH"',
      "no path",
    ],
    [
      ["http://:1=a:1", "--health-http", "/h", "--health-expect", "OK"],
      '--health-expect: "OK" is no status; write statuses from 100 to 599, such as 200-299 or 200,204',
      "a request's answer has a status",
    ],
    [
      ["http://:1=a:1", "--health-http", "/h", "--health-send", "x"],
      "--health-send: contradicts http, which says what is sent; leave out one of them",
      "two kinds of check",
    ],
    [
      ["http://:1=a:1", "--health", "tcp", "--health-http", "/h"],
      "--health-http: contradicts --health tcp; leave out --health-http, or --health tcp",
      "contradiction",
    ],
    [
      [`unix:/${"p".repeat(107)}=a:1`],
      `unix:/${
        "p".repeat(66)
      }...: a path of 108 bytes; unix sockets take at most 107 bytes; choose a shorter one`,
      "sun_path",
    ],
    [
      [L, L],
      'tcp://:9000=10.0.0.1:9001 (argument 2): "tcp://:9000" is given twice; put all targets behind one LISTEN, or choose another port',
      "twice",
    ],
    [
      [L, "tcp://127.0.0.1:9000=a:1"],
      'tcp://127.0.0.1:9000=a:1: listener "tcp://127.0.0.1:9000" listens on "127.0.0.1:9000", taken by listener "tcp://:9000"; choose another port or address',
      "overlap",
    ],
    [
      ["--helth-send", "PING", L],
      '--helth-send: unknown flag; did you mean "--health-send"?',
      "its value is not one more mistake",
    ],
    [
      ["--helth-send=PING", L],
      '--helth-send: unknown flag; did you mean "--health-send"?',
      "without its value",
    ],
    [
      ["--helth-send", L],
      '--helth-send: unknown flag; did you mean "--health-send"?',
      "what follows is no value",
    ],
    [[L, "--colour", "red"], "--colour: unknown flag; see sluice --help", "nothing like it"],
    [[L, "--REACTORS", "2"], '--REACTORS: unknown flag; did you mean "--reactors"?', "case counts"],
    [[L, "-reactors", "2"], '-reactors: unknown flag; did you mean "--reactors"?', "one dash"],
    [[L, "-x"], "-x: unknown flag; see sluice --help", "short"],
    [[L, "---accept", "x"], '---accept: unknown flag; did you mean "--accept"?', "three dashes"],
    [[L, "--=x"], "--: unknown flag; see sluice --help", "no name"],
    [[L, "--__proto__", "x"], "--__proto__: unknown flag; see sluice --help", "no property of Object"],
    [[L, "--no-accept"], '--no-accept: unknown flag; did you mean "--accept"?', "no negation"],
    [[L, "--reactors"], "--reactors: no value; write --reactors auto|N", "at the end"],
    [["--reactors", L], "--reactors: no value; write --reactors auto|N", "LISTEN=TARGETS is no value"],
    [
      [L, "--reactors", "--accept"],
      "--reactors: no value; write --reactors auto|N, or --reactors=--accept if the value begins with --",
      "a flag is no value",
    ],
    [[L, "--reactors="], '--reactors: "" is no whole number; write auto or a number from 1 to 64', "empty"],
    [
      [L, "--reactors", "0"],
      '--reactors: "0" is too small; write auto or a number from 1 to 64',
      "at least 1",
    ],
    [
      [L, "--reactors", "65"],
      '--reactors: "65" is too large; write auto or a number from 1 to 64',
      "at most 64",
    ],
    [[L, "--reactors", "Auto"], '--reactors: "Auto" is no whole number; did you mean "auto"?', "case counts"],
    [
      [L, "--max-connections", "-5"],
      '--max-connections: "-5" is too small; write a value from 1 to 1000000',
      "negative",
    ],
    [
      [L, "--max-connections", "1e6"],
      '--max-connections: "1e6" is no whole number; write a number from 1 to 1000000',
      "no exponent",
    ],
    [[L, "--accept", "balance"], '--accept: unknown value "balance"; did you mean "balanced"?', "a slip"],
    [[L, "--drain-timeout", "30"], '--drain-timeout: "30" has no unit; write 30s or 30ms', "no unit"],
    [
      [L, "--log-level", "trace"],
      '--log-level: unknown value "trace"; write debug, info, warn or error',
      "no such level",
    ],
    [[L, "--log-format", "jsn"], '--log-format: unknown value "jsn"; did you mean "json"?', "a slip"],
    [
      [L, "--access-log", "stdrr"],
      '--access-log: "stdrr" is neither off, stderr, stdout nor syslog; did you mean "stderr"? A file of that name is ./stdrr',
      "a slip",
    ],
    [[L, "--access-log", ""], "--access-log: empty; write off, stderr, stdout, syslog or a PATH", "empty"],
    [
      [L, "--access-log", "a\0b"],
      '--access-log: "a\\x00b" holds a control character; write a path in printable characters',
      "NUL",
    ],
    [
      [L, "--admin", "9900"],
      '--admin: "9900" is no admin address; write unix:/PATH, http://HOST:PORT or off',
      "no form",
    ],
    [
      [L, "--admin", "http://127.0.0.1"],
      '--admin: "127.0.0.1" has no port; write 127.0.0.1:PORT',
      "missing port",
    ],
    [
      [L, "--admin", "http://:9900"],
      '--admin: "[::]:9900" can be reached from other machines, and there is no admin token; give an admin token, or listen on 127.0.0.1',
      "no token",
    ],
    [
      [L, "--admin", "http://127.0.0.1:9000"],
      '--admin: the admin API listens on "127.0.0.1:9000", taken by listener "tcp://:9000"; choose another port or address',
      "the same port",
    ],
    [
      [L, "--admin-token", "pass word"],
      "--admin-token: holds a character that HTTP cannot carry; write printable ASCII without spaces",
      "the secret is not repeated",
    ],
    [
      [L, "--balance", "fist"],
      '--balance: unknown value "fist"; did you mean "first"?',
      "later",
    ],
    [
      [L, "--balance", "round-robbin"],
      '--balance: unknown value "round-robbin"; did you mean "round-robin"?',
      "a slip",
    ],
    [[L, "--health", "http"], '--health: unknown value "http"; write off or tcp', "it is --health-http"],
    [
      [L, "--health", "on"],
      '--health: unknown value "on"; leave it out, or write off or tcp',
      "no such word",
    ],
    [
      [L, "--health-send", "a\\q", "--health-expect", "b"],
      '--health-send: unknown escape "\\q"; the escapes are \\n \\r \\t \\\\ \\xHH; write \\\\ for a backslash',
      "escape",
    ],
    [
      [L, "--health-send", "a"],
      "--health-send: nothing says what a good answer is; give the text to expect as well",
      "send alone",
    ],
    [
      [L, "--health-expect", "/a"],
      "--health-expect: begins with / and has no closing /; write /PATTERN/ for a regular expression, \\x2F for a plain slash at the beginning",
      "pattern",
    ],
    [
      [L, "--health-interval", "99ms"],
      '--health-interval: "99ms" is too small; write a value from 100ms to 1h',
      "bound",
    ],
    [
      [L, "--health-timeout", "2h"],
      '--health-timeout: "2h" is too large; write a value from 100ms to 1h',
      "bound",
    ],
    [[L, "--health-fall", "0"], '--health-fall: "0" is too small; write a value from 1 to 100', "bound"],
    [[L, "--health-rise", "101"], '--health-rise: "101" is too large; write a value from 1 to 100', "bound"],
    [
      [L, "--connect-timeout", "99ms"],
      '--connect-timeout: "99ms" is too small; write a value from 100ms to 1h',
      "a tick of the timers",
    ],
    [
      [L, "--health-timeout", "99ms"],
      '--health-timeout: "99ms" is too small; write a value from 100ms to 1h',
      "a tick of the timers",
    ],
    [
      [L, "--tunnel-idle", "99ms"],
      '--tunnel-idle: "99ms" is too small; write a value from 100ms to 7d',
      "a tick of the timers",
    ],
    [[L, "--connect-timeout", "1"], '--connect-timeout: "1" has no unit; write 1s', "no unit"],
    [[L, "--tunnel-idle", "8d"], '--tunnel-idle: "8d" is too large; write a value from 100ms to 7d', "bound"],
    [
      ["--health-interval", "1", L, L2],
      '--health-interval: "1" has no unit; write 1s',
      "told once, not for each LISTEN",
    ],
    [
      ["--health-interval", "1", L, "--health-interval", "1s"],
      '--health-interval (argument 1): "1" has no unit; write 1s',
      "looked at even where it does not count",
    ],
    [
      [L, "--health", "off", "--health-send", "a"],
      "--health-send: contradicts --health off; leave out --health-send, or --health off",
      "contradiction",
    ],
    [
      [L, "--health", "off", "--health-fall", "2"],
      "--health-fall: contradicts --health off; leave out --health-fall, or --health off",
      "contradiction",
    ],
    [
      ["--health-expect", "a", "--health", "tcp", L],
      "--health-expect: contradicts --health tcp; leave out --health-expect, or --health tcp",
      "contradiction",
    ],
    [
      ["--reactors", "2", L, "--reactors", "3"],
      '--reactors (argument 4): given twice for the whole process, "2" and "3"; leave one of them out',
      "contradiction",
    ],
    [
      [L, "--health-fall", "2", "--health-fall=3"],
      '--health-fall (argument 4): given twice for the same LISTEN=TARGETS, "2" and "3"; leave one of them out',
      "contradiction",
    ],
    [
      ["--admin-token", "a1", L, "--admin-token", "b2"],
      "--admin-token (argument 4): given twice for the whole process, two values; leave one of them out",
      "the secret is not repeated",
    ],
    [["chek"], 'chek: neither a command nor LISTEN=TARGETS; did you mean "check"?', "a word"],
    [["dmeo"], 'dmeo: neither a command nor LISTEN=TARGETS; did you mean "demo"?', "a slip"],
    [
      ["diff", "sluice.yaml"],
      "diff: this command is not supported in this version; see sluice --help",
      "what follows is the command's",
    ],
    [[L, "demo"], "demo: a command among other arguments; write sluice demo", "not the first"],
    [["9000"], "9000: not LISTEN=TARGETS; write tcp://:PORT=HOST:PORT, or see sluice --help", "a number"],
    [[""], '"": not LISTEN=TARGETS; write tcp://:PORT=HOST:PORT, or see sluice --help', "an empty argument"],
    [["-"], "-: not LISTEN=TARGETS; write tcp://:PORT=HOST:PORT, or see sluice --help", "a dash"],
    [
      ["--", "--reactors"],
      "--reactors: not LISTEN=TARGETS; write tcp://:PORT=HOST:PORT, or see sluice --help",
      "after -- nothing is a flag",
    ],
    [["größe"], "größe: not LISTEN=TARGETS; write tcp://:PORT=HOST:PORT, or see sluice --help", "not ASCII"],
    [
      ["tcp://:1=größe:1"],
      'tcp://:1=größe:1: "größe:1" is not ASCII; write xn--gre-6ka8i:1',
      "not ASCII",
    ],
    [
      ["tcp://:1=a\0:1"],
      'tcp://:1=a\\x00:1: "a\\x00:1" holds a control character; write addresses in printable characters',
      "NUL",
    ],
    [
      ["tcp://:1\x1b[2J=a:1"],
      'tcp://:1\\x1B[2J=a:1: "tcp://:1\\x1B[2J" holds a control character; write addresses in printable characters',
      "an escape sequence",
    ],
    [
      ["\x1b[31mred"],
      "\\x1B[31mred: not LISTEN=TARGETS; write tcp://:PORT=HOST:PORT, or see sluice --help",
      "an escape sequence",
    ],
    [[L, "--\x1b[2J"], "--\\x1B[2J: unknown flag; see sluice --help", "an escape sequence"],
    [[L, "--" + "x".repeat(1_000_000)], `--${"x".repeat(70)}...: unknown flag; see sluice --help`, "huge"],
    [
      ["tcp://:1=" + "a".repeat(1_000_000)],
      `tcp://:1=${"a".repeat(63)}...: an address of 1000000 characters; write at most 512`,
      "huge",
    ],
    [
      [L, "--health-send", "x".repeat(5_000), "--health-expect", "y"],
      "--health-send: longer than 4096 bytes; write a shorter text",
      "too long",
    ],
  ];
  for (const [argv, want, why] of cases) {
    equal(lines(argv)[0], want, why);
    ok("problems" in parse(argv), why);
    equal(lines(argv).length, 1, `${why}: one mistake, one line: ${lines(argv).join("\n")}`);
  }
});

test("all problems come at once, in the order of the arguments", () => {
  deepEqual(
    lines(["--reactors", "x", "tcp://:1=a", "--helth", "off", "--allow", "x", "tcp=b", "--health-fall=0"]),
    [
      '--reactors: "x" is no whole number; write auto or a number from 1 to 64',
      'tcp://:1=a: "a" has no port; write a:PORT',
      '--helth: unknown flag; did you mean "--health"?',
      '--allow: "x" is no prefix of IP addresses; write a prefix such as 10.0.0.0/8 or 2001:db8::/32, or unix',
      'tcp=b: "tcp" has no scheme; write http://:PORT or tcp://:PORT',
      'tcp=b: "b" has no port; write b:PORT',
      '--health-fall: "0" is too small; write a value from 1 to 100',
    ],
  );
});

test("a target that is a listener is told with its argument, and with nothing else", () => {
  const why = "a connection would come round until there is no room for more; " +
    "write the address of a server, or listen on another port or path";
  const cases: [argv: string[], want: string][] = [
    [
      ["tcp://127.0.0.1:9000=127.0.0.1:9000"],
      `tcp://127.0.0.1:9000=127.0.0.1:9000: "127.0.0.1:9000" is listener "tcp://127.0.0.1:9000" itself: ${why}`,
    ],
    [
      ["tcp://:1=127.0.0.1:2", "--health", "off", "tcp://:2=10.0.0.1:2,[::1]:1"],
      `tcp://:2=10.0.0.1:2,[::1]:1: "[::1]:1" is listener "tcp://:1", which leads back here: ${why}`,
    ],
    [
      ["tcp://:1=,"],
      "tcp://:1=,: a comma with no target beside it; write HOST:PORT,HOST:PORT without spaces",
    ],
  ];
  for (const [argv, want] of cases) deepEqual(lines(argv), [want]);
});

test("a refused value has no consequences that are told as well", () => {
  deepEqual(lines([L, "--admin", "http://0.0.0.0:1", "--admin-token", "a b"]), [
    "--admin-token: holds a character that HTTP cannot carry; write printable ASCII without spaces",
  ]);
  deepEqual(lines([L, "--health-send", "a", "--health-expect", "\\q"]), [
    '--health-expect: unknown escape "\\q"; the escapes are \\n \\r \\t \\\\ \\xHH; write \\\\ for a backslash',
  ]);
});

test("verbs of later versions say so", () => {
  for (const verb of VERBS_LATER) {
    deepEqual(lines([verb]), [`${verb}: this command is not supported in this version; see sluice --help`]);
  }
});

test("warnings name the argument and do not stop the start", () => {
  const cases: [argv: string[], want: string, why: string][] = [
    [
      [L, "--health-timeout", "5s"],
      "warning: --health-timeout: the timeout of a check, 5s, is longer than its interval, 2s; a check that hangs delays the next; choose a shorter timeout or a longer interval",
      "given",
    ],
    [
      ["--health-interval", "500ms", L, L2],
      "warning: --health-interval: the timeout of a check, 1s, is longer than its interval, 500ms; a check that hangs delays the next; choose a shorter timeout or a longer interval",
      "by default; told once",
    ],
    [
      ["tcp://:1=a:1,a:1"],
      'warning: tcp://:1=a:1,a:1: "a:1" is given twice and gets twice the share; leave one of them out',
      "twice the same server",
    ],
  ];
  for (const [argv, want, why] of cases) {
    ok("config" in parse(argv), why);
    deepEqual(lines(argv), [want], why);
  }
  const asUser = parseFlags([L], {}, 1000);
  ok("config" in asUser && asUser.config.admin.kind === "off");
  equal(asUser.warnings.length, 1, "no XDG_RUNTIME_DIR: no admin, and that is said");
});

test("problems carry the position of their argument", () => {
  const result = parse([L, "--health-fall", "0", "--colour"]);
  ok("problems" in result);
  deepEqual(result.problems.map((problem) => problem.argument), [2, 4]);
});

test("asksFor finds the question wherever it stands", () => {
  const cases: [argv: string[], want: "help" | "version" | undefined, why: string][] = [
    [["--help"], "help", "alone"],
    [["-h"], "help", "short"],
    [["--version"], "version", "alone"],
    [["-V"], "version", "short"],
    [[L, "--reactors", "x", "--help"], "help", "after a mistake"],
    [["--version", "--help"], "version", "the first counts"],
    [["--health-send", "--help", L], undefined, "the value of a flag"],
    [["--health-send=--help", L], undefined, "the value of a flag"],
    [["--", "--help"], undefined, "after --"],
    [["-hx"], undefined, "a group is no question"],
    [["-xh"], undefined, "a group is no question"],
    [[L], undefined, "no question"],
    [[], undefined, "nothing"],
  ];
  for (const [argv, want, why] of cases) equal(asksFor(argv), want, why);
});

test("no command line makes parseFlags throw, and every line it prints is one line", () => {
  const word = fc.oneof(
    fc.constantFrom(
      ...FLAGS.map((flag) => flag.name),
      L,
      L2,
      "tcp://:0=a:1",
      "http://:0/a=a:1",
      "http://b.example:0=a:1;max-connections=2",
      "off",
      "1s",
      "3",
      "--",
      "-h",
      "x",
    ),
    fc.string({ unit: "binary", maxLength: 12 }),
    fc.string({ maxLength: 12 }).map((text) => `--${text}`),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 10 }), (argv) => {
      const result = parse(argv);
      const problems = "problems" in result ? result.problems : result.warnings;
      if ("problems" in result) {
        ok(problems.some((problem) => problem.severity === "error"), "a reason not to start");
      }
      for (const problem of problems) {
        ok(!/[\x00-\x1f\x7f-\x9f]/.test(formatProblem(problem)), formatProblem(problem));
      }
    }),
    { numRuns: 2_000 },
  );
});

test("lists of addresses: several with commas, or by one flag each", () => {
  const [a, b, c] = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"];
  const spellings: [words: (flag: string) => string[], why: string][] = [
    [(flag) => [flag, `${a},${b},${c}`], "commas"],
    [(flag) => [flag, a, flag, b, flag, c], "by one flag each"],
    [(flag) => [`${flag}=${a},${b}`, `${flag}=${c}`, `${flag}=${a}`], "both, and one twice"],
  ];
  const flags = ["--allow", "--deny", "--accept-proxy"];
  deepEqual(FLAGS.filter(({ doc }) => doc.commas).map(({ name }) => name).sort(), flags.toSorted());
  for (const [words, why] of spellings) {
    const want = ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"];
    for (const flag of flags) {
      for (const argv of [[L, ...words(flag)], [...words(flag), L]]) {
        const { allow = [], deny = [], "accept-proxy": proxies = [] } = good(argv).listeners["tcp://:9000"];
        const lists = [...allow, ...deny].map((entry) =>
          entry.kind === "prefix" ? entry.cidr.text : entry.path
        );
        deepEqual([...lists, ...proxies.map(({ text }) => text)], want, `${flag}: ${why}`);
      }
    }
  }
  const own = good(["--accept-proxy", `${a},${b}`, L, "--accept-proxy", c, L2]);
  const lists = Object.values(own.listeners).map((listener) =>
    listener["accept-proxy"]?.map(({ text }) => text)
  );
  deepEqual(
    lists,
    [["2001:db8::/32"], ["10.0.0.0/8", "192.0.2.1/32"]],
    "a listener's own stand for the shared",
  );

  deepEqual(
    lines(["--deny", "file:/nowhere/a,b.txt", L]),
    ['--deny: "/nowhere/a,b.txt": there is no such file; write the path of a file'],
    "a path may have commas",
  );

  const form = "is no prefix of IP addresses; write a prefix such as 10.0.0.0/8 or 2001:db8::/32, or unix";
  const bad: [value: string, want: string[]][] = [
    [`${a},`, [`"${a}," has a comma with nothing beside it; leave it out`]],
    [`${a},,${b}`, [`"${a},,${b}" has a comma with nothing beside it; leave it out`]],
    [",", [`"," has a comma with nothing beside it; leave it out`]],
    [`x,${a},y`, [`"x" ${form}`, `"y" ${form}`]],
    [`${a}, ${b}`, [`" ${b}" ${form}`]],
  ];
  for (const flag of flags) {
    for (const [value, want] of bad) {
      deepEqual(
        lines([L, flag, value]),
        want.map((what) => `${flag}: ${what}`),
      );
    }
  }
});
