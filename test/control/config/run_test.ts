import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { formatProblem, formatProblems } from "../../../src/control/config/errors.ts";
import { parseFlags } from "../../../src/control/config/flags.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import type { Config } from "../../../src/control/config/schema.ts";
import { among } from "./files.ts";

const SMALL =
  "listeners: { a: { bind: 'tcp://:1', to: u } }\nupstreams: { u: { servers: ['10.0.0.1:1'] } }\n";

function run(text: string, ...flags: string[]) {
  return parseRun(["run", "-c", "f.yaml", ...flags], among({ "f.yaml": text }));
}

function good(text: string, ...flags: string[]): Config {
  const result = run(text, ...flags);
  ok("config" in result, "problems" in result ? formatProblems(result.problems) : "");
  deepEqual(result.warnings, []);
  return result.config;
}

function lines(result: ReturnType<typeof parseRun>): string[] {
  const problems = "problems" in result ? result.problems : result.warnings;
  return problems.map((problem) => formatProblem(problem).replace(/^sluice: /, ""));
}

test("flags and a file give the same configuration", () => {
  const cases: [argv: string[], text: string, why: string][] = [
    [
      ["tcp://:5432=10.0.0.1:5432,10.0.0.2:5432", "--health-send", "PING\\r\\n", "--health-expect", "+PONG"],
      `
listeners: { "tcp://:5432": { bind: "tcp://:5432", to: "tcp://:5432" } }
upstreams:
  "tcp://:5432":
    servers: [10.0.0.1:5432, 10.0.0.2:5432]
    health: { send: 'PING\\r\\n', expect: +PONG }
`,
      "TCP",
    ],
    [
      [
        ...[
          "http://shop.example:8080/api/=http://127.0.0.1:3000/base;max-connections=5",
          "--server-idle",
          "9s",
        ],
        ...["http://:8080=127.0.0.1:4000", "--client-idle", "8s", "--health-http", "GET /up"],
        ...["--health-expect", "200,204", "--reactors", "2", "--admin", "off", "--log-format", "json"],
      ],
      `
reactors: 2
admin: off
log: { format: json }
listeners:
  http://:8080:
    bind: http://:8080
    timeouts: { client-idle: 8s }
    routes:
      - match: { host: shop.example, path: /api/ }
        to: http://shop.example:8080/api/
    to: http://:8080
upstreams:
  http://shop.example:8080/api/:
    servers: [{ address: "http://127.0.0.1:3000/base", max-connections: 5 }]
    timeouts: { server-idle: 9s }
  http://:8080:
    servers: [127.0.0.1:4000]
    health: { http: GET /up, expect: [200, 204] }
`,
      "HTTP",
    ],
  ];
  for (const [argv, text, why] of cases) {
    const flags = parseFlags(argv, {}, 0);
    ok("config" in flags, "problems" in flags ? formatProblems(flags.problems) : "");
    deepEqual(good(text), flags.config, why);
  }
});

test("flags of the process go before what the file says", () => {
  const text = `reactors: 3\nlog: { level: warn }\n${SMALL}`;
  const config = good(text, "--reactors", "2", "--log-format=json", "--admin", "off", "--access-log", "off");
  deepEqual([config.reactors, config.log.level, config.log.format, config.admin.kind], [
    2,
    "warn",
    "json",
    "off",
  ]);
  deepEqual(config.log.access.to, { kind: "off" });
  equal(good(`log:\n${SMALL}`.replace("log:", "log: {}"), "--log-level", "debug").log.level, "debug");
});

test("the file may be named in four ways", () => {
  for (const words of [["-c", "f"], ["--config", "f"], ["--config=f"], ["-cf"]]) {
    const here = among({ f: SMALL });
    ok("config" in parseRun(["run", ...words, "--reactors", "1"], here), words.join(" "));
    ok("config" in parseRun(["run", "--reactors", "1", ...words], here), words.join(" "));
  }
});

test("problems of the command line", () => {
  const cases: [argv: string[], want: string[], why: string][] = [
    [[], ["run: no file; write sluice run -c FILE"], "nothing given"],
    [["-c"], ["-c: no value; write -c FILE"], "no value"],
    [["-c", "f", "--config", "b"], ["--config: a second file; leave one of them out"], "two files"],
    [["f"], ["f: neither a flag nor the file; write sluice run -c FILE; see sluice --help"], "no flag"],
    [
      ["-c", "f", "tcp://:1=a:1"],
      ["tcp://:1=a:1: LISTEN=TARGETS besides a file; write a listener in the file"],
      "both modes",
    ],
    [
      ["-c", "f", "--client-idle", "5s"],
      [
        "--client-idle: holds for a LISTEN=TARGETS, not for a file; " +
        "write listeners.NAME.timeouts.client-idle in the file",
      ],
      "a listener's",
    ],
    [["-c", "f", "--reaktors", "2"], ['--reaktors: unknown flag; did you mean "--reactors"?'], "a slip"],
    [
      ["-c", "f", "--udp-idle", "1s"],
      ["--udp-idle: holds for a LISTEN=TARGETS, not for a file; write listeners.NAME.udp.idle in the file"],
      "one of a listener's keys",
    ],
    [
      ["-c", "f", "--cert", "x"],
      [
        "--cert: holds for a LISTEN=TARGETS, not for a file; " +
        "write listeners.NAME.tls.certificates[0].cert in the file",
      ],
      "a listener's",
    ],
    [
      ["-c", "f", "--reactors", "0"],
      ['--reactors: "0" is too small; write auto or a number from 1 to 64'],
      "a bad value",
    ],
    [["-c", "nowhere"], [
      "nowhere: there is no such file; write the path of a file, from the working directory on",
    ], "no file"],
    [
      ["-c", "folder"],
      ["folder: a directory; write the path of a file, from the working directory on"],
      "a folder",
    ],
  ];
  const folder = Object.assign(new Error("no"), { code: "EISDIR" });
  const here = among({ f: SMALL, folder });
  for (const [argv, want, why] of cases) {
    const result = parseRun(["run", ...argv], here);
    ok("problems" in result, why);
    deepEqual(lines(result), want, why);
  }
});

test("problems of the file come at once, in its order, each with its place", () => {
  const text = `reactors: 65
listeners:
  web:
    bind: http://shop.example:80
    bnd: 3
    routes:
      - match: { host: "shop.example:80", path: api }
        to: api
upstreams:
  api:
    helth: off
    servers: ["a:1;weight=300"]
admin-token: \${TOKEN}
`;
  deepEqual(lines(run(text)), [
    'f.yaml:1:11: reactors: "65" is too large; write auto or a number from 1 to 64',
    'f.yaml:4:11: listeners.web.bind: "shop.example" is a name, which is no address to listen on; ' +
    "write http://:80 and match the host in a route",
    'f.yaml:5:5: listeners.web: unknown key "bnd"; did you mean "bind"?',
    'f.yaml:7:24: listeners.web.routes[0].match.host: "shop.example:80" has a port, which is not looked at; ' +
    "write shop.example",
    'f.yaml:7:49: listeners.web.routes[0].match.path: "api" does not begin with a slash; write /api',
    'f.yaml:11:5: upstreams.api: unknown key "helth"; did you mean "health"?',
    'f.yaml:12:15: upstreams.api.servers[0]: weight: "300" is too large; write a value from 0 to 256',
    "f.yaml:13:1: admin-token: ${TOKEN}: there is no such variable; set it where Sluice is started",
  ]);
});

test("what is wrong between keys has a place, or the flag that is at fault", () => {
  deepEqual(
    lines(run(SMALL.replace("to: u", "to: v"))),
    [
      'f.yaml:1:46: listeners.a.to: listener "a" goes to upstream "v", which does not exist; did you mean "u"?',
    ].map((line) => line.replace("1:46", `1:${SMALL.indexOf("to: u") + 5}`)),
  );
  deepEqual(lines(run(SMALL, "--admin", "http://0.0.0.0:9900")), [
    '--admin: "0.0.0.0:9900" can be reached from other machines, and there is no admin token; ' +
    "give an admin token, or listen on 127.0.0.1",
  ]);
});

test("a mistake in the file is told where a flag goes before it, and one of the flag at the flag", () => {
  const text = `reactors: 65\nlog: { level: verbose }\n${SMALL}`;
  deepEqual(lines(run(text, "--reactors", "2", "--log-level", "debug")), [
    'f.yaml:1:11: reactors: "65" is too large; write auto or a number from 1 to 64',
    'f.yaml:2:15: log.level: unknown value "verbose"; write debug, info, warn or error',
  ]);
  deepEqual(lines(run(`reactors: 65\n${SMALL}`, "--reactors", "66")), [
    '--reactors: "66" is too large; write auto or a number from 1 to 64',
    'f.yaml:1:11: reactors: "65" is too large; write auto or a number from 1 to 64',
  ]);
  const secret = among({ "f.yaml": `admin-token: \${TOKEN}\n${SMALL}` });
  const told = lines(parseRun(["run", "-c", "f.yaml", "--admin-token", "abc"], secret));
  deepEqual(told, [
    "f.yaml:1:1: admin-token: ${TOKEN}: there is no such variable; set it where Sluice is started",
  ]);
});

test("a file of another shape is refused, whatever flags go before it", () => {
  deepEqual(lines(run("", "--reactors", "2")), [
    "f.yaml:1:1: nothing is in it; write listeners and upstreams",
  ]);
  deepEqual(lines(run("- a\n", "--reactors", "2")), [
    "f.yaml:1:1: a list where a section of keys is expected; write listeners and upstreams",
  ]);
  deepEqual(lines(run(`log: info\n${SMALL}`, "--log-level", "warn")), [
    "f.yaml:1:6: log: text where a section of keys is expected; write its keys: level, format, access",
  ]);
});

test("warnings do not stop the start", () => {
  const result = run(SMALL.replace("['10.0.0.1:1']", "['10.0.0.1:1', '10.0.0.1:1']"));
  ok("config" in result);
  equal(lines(result).length, 1);
  ok(lines(result)[0].startsWith("f.yaml:2:43: warning: "), lines(result)[0]);
});

test("findings that come later are told as those of the check", () => {
  const file = run(SMALL);
  ok("config" in file);
  const path = ["upstreams", "u", "servers", 0], of = { path, remedy: "do", severity: "error" } as const;
  deepEqual(file.tell([{ ...of, what: "odd" }]).map(formatProblem), [
    "f.yaml:2:29: upstreams.u.servers[0]: odd; do",
  ]);
  const argv = ["tcp://:1=a:1", "--health-expect", "/(/", "tcp://:2=a:1", "--health-expect=/(/"];
  const flags = parseFlags(argv, {}, 0);
  ok("config" in flags);
  const findings = ["tcp://:1", "tcp://:2"].map((name) => ({
    ...of,
    path: ["upstreams", name, "health", "expect"],
    what: "odd",
  }));
  deepEqual(flags.tell(findings).map(formatProblem), [
    "sluice: --health-expect (argument 2): odd; do",
    "sluice: --health-expect (argument 5): odd; do",
  ]);
});
