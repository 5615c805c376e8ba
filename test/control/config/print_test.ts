import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assemble } from "../../../src/control/config/assembly.ts";
import { readCommandLine } from "../../../src/control/config/command_line.ts";
import { formatProblems } from "../../../src/control/config/errors.ts";
import { parseFlags } from "../../../src/control/config/flags.ts";
import { printConfig } from "../../../src/control/config/print.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import type { Config } from "../../../src/control/config/schema.ts";
import { among } from "./files.ts";

const EXAMPLE = readFileSync(new URL("../../../examples/http.yaml", import.meta.url), "utf8");

function configOf(text: string, env: Record<string, string> = {}): Config {
  const parsed = parseRun(["run", "-c", "f"], { ...among({ f: text, "/run/token": "hush\n" }), env });
  ok("config" in parsed, "problems" in parsed ? formatProblems(parsed.problems) + text : "");
  return parsed.config;
}

function rawOf(text: string, env: Record<string, string> = {}): unknown {
  const parsed = parseRun(["run", "-c", "f"], { ...among({ f: text, "/run/token": "hush\n" }), env });
  ok("config" in parsed, "problems" in parsed ? formatProblems(parsed.problems) + text : "");
  return parsed.source.raw;
}

/** Nobody knows of a printed default that nobody gave it; where HTTP is spoken that changes nothing. */
function comparable(config: Config): unknown {
  const isHttp = Object.values(config.listeners).every(({ bind }) => bind[0].protocol === "http");
  const upstreams = Object.entries(config.upstreams).map(([name, { timeouts, ...upstream }]) => [
    name,
    { ...upstream, timeouts: isHttp ? { ...timeouts, silence: 0 } : timeouts },
  ]);
  return {
    ...config,
    upstreams: Object.fromEntries(upstreams),
    "max-connections": config["max-connections"].most,
  };
}

test("what is printed comes to the same configuration, with and without defaults", () => {
  const lines: (readonly string[])[] = [
    ["tcp://:5432=10.0.0.1:5432,10.0.0.2:5432", "--health-send", "PING\\r\\n", "--health-expect", "+PONG"],
    [
      "http://shop.example:8080/api/=127.0.0.1:3000",
      "http://:8080=http://127.0.0.1:4000/base;max-connections=5",
    ],
    ["--reactors", "2", "--admin", "off", "unix:/run/a.sock=unix:/run/b.sock", "--tunnel-idle", "2h"],
    [
      "http://:80=a:1",
      "--health-http",
      "GET /up",
      "--health-expect",
      "200-299,404",
      "--access-log",
      "/var/log/a b",
    ],
    ["tcp://:1=a:1", "--health", "off", "tcp://:2=a:2"],
  ];
  for (const argv of lines) {
    const parsed = parseFlags(argv, {}, 0);
    ok("config" in parsed);
    const { raw } = assemble(readCommandLine(argv), []);
    for (const all of [false, true]) {
      const text = printConfig(raw, { all, originOf: undefined });
      deepEqual(comparable(configOf(text)), comparable(parsed.config), text);
    }
  }
  for (const all of [false, true]) {
    for (const originOf of [undefined, () => "somewhere"]) {
      const text = printConfig(rawOf(EXAMPLE), { all, originOf });
      deepEqual(comparable(configOf(text)), comparable(configOf(EXAMPLE)), text);
    }
  }
});

test("references stay references, and what is secret is not shown", () => {
  const of = (token: string) =>
    `admin-token: ${token}
listeners: { a: { bind: "tcp://:${"${PORT}"}", to: u } }
upstreams: { u: { servers: "a:1" } }
`;
  const env = { PORT: "5432" };
  const file = printConfig(rawOf(of("${file:/run/token}"), env), { all: true, originOf: undefined });
  ok(file.includes("admin-token: ${file:/run/token}") && file.includes("tcp://:${PORT}"), file);
  for (const token of ["hunter2hunter2hunter2", "hunter2${PORT}"]) {
    const plain = printConfig(rawOf(of(token), env), { all: true, originOf: undefined });
    ok(!plain.includes("hunter2") && plain.startsWith("# admin-token: secret, not shown"), plain);
  }
  ok(!file.includes("hush") && !file.includes("5432\n"));
});

test("origins: of what was given, of what is inherited, of defaults", () => {
  const raw = {
    defaults: { timeouts: { connect: "9s" } },
    listeners: { a: { bind: "tcp://:1", to: "u" } },
    upstreams: { u: { servers: ["a:1", { address: "a:2" }] } },
  };
  const text = printConfig(raw, { all: true, originOf: (path) => path.join("/") });
  for (
    const line of [
      "    connect: 9s # defaults/timeouts/connect",
      "    bind: tcp://:1 # listeners/a/bind",
      "      tunnel-idle: 1h # default",
      "      connect: 9s # defaults.timeouts.connect",
      "      - a:1 # upstreams/u/servers/0",
      "      - address: a:2 # upstreams/u/servers/1/address",
      "reactors: auto # default",
    ]
  ) ok(text.split("\n").includes(line), `${line} in\n${text}`);
});

test("without --all nothing is added", () => {
  const raw = { listeners: { a: { bind: "tcp://:1", to: "u" } }, upstreams: { u: { servers: "a:1" } } };
  equal(
    printConfig(raw, { all: false, originOf: undefined }),
    "listeners:\n  a:\n    bind: tcp://:1\n    to: u\nupstreams:\n  u:\n    servers: a:1\n",
  );
});
