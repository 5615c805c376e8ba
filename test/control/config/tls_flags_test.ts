// TLS on the command line: which certificates are whose, and what a LISTEN with a name comes to.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { assemble } from "../../../src/control/config/assembly.ts";
import { readCommandLine } from "../../../src/control/config/command_line.ts";
import { formatProblem, formatProblems } from "../../../src/control/config/errors.ts";
import { parseFlags } from "../../../src/control/config/flags.ts";
import { printConfig } from "../../../src/control/config/print.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import type { Config } from "../../../src/control/config/schema.ts";
import { Certificates } from "../../support/certificates.ts";
import { diskOf } from "./files.ts";

const all = new Certificates();
after(() => all[Symbol.dispose]());
const a = all.leaf("a.example"), rsa = all.rsa("a.example"), b = all.leaf("b.example");
const read = (path: string): string => readFileSync(path, "utf8");
const FILES = {
  "a.pem": read(a.cert),
  "a.key": read(a.key),
  "rsa.pem": read(rsa.cert),
  "rsa.key": read(rsa.key),
  "b.pem": read(b.cert),
  "b.key": read(b.key),
  "both.pem": read(b.cert) + read(b.key),
};
const disk = diskOf(FILES);
const A = ["--cert", "a.pem", "--key", "a.key"], RSA = ["--cert", "rsa.pem", "--key", "rsa.key"];
const B = ["--cert", "b.pem", "--key", "b.key"];
const REDIS = "tls://:6380=10.0.0.1:6379";

function good(argv: string[]): Config {
  const result = parseFlags(argv, {}, 0, { disk });
  ok("config" in result, "problems" in result ? formatProblems(result.problems) : "");
  deepEqual(result.warnings, []);
  return result.config;
}

/** The lines that a user sees, without the program's name. */
function lines(argv: string[]): string[] {
  const result = parseFlags(argv, {}, 0, { disk });
  const problems = "problems" in result ? result.problems : result.warnings;
  return problems.map((problem) => formatProblem(problem).replace(/^sluice: /, ""));
}

/** By listener: its certificates as CERT+KEY. */
function certificatesOf({ listeners }: Config): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(listeners).map(([name, { tls }]) => [
      name,
      (tls?.certificates ?? []).map(({ cert, key }) => `${cert}+${key}`),
    ]),
  );
}

describe("--cert and --key", () => {
  const own = "a.pem+a.key", second = "rsa.pem+rsa.key", other = "b.pem+b.key";
  const cases: [why: string, argv: string[], want: Record<string, string[]>][] = [
    ["a pair", [REDIS, ...A], { "tls://:6380": [own] }],
    ["a pair before all", [...A, REDIS], { "tls://:6380": [own] }],
    ["two pairs", [REDIS, ...A, ...RSA], { "tls://:6380": [own, second] }],
    ["two pairs, certificates first", [
      REDIS,
      "--cert=a.pem",
      "--cert=rsa.pem",
      "--key=a.key",
      "--key=rsa.key",
    ], {
      "tls://:6380": [own, second],
    }],
    ["a file of both", [REDIS, "--cert", "both.pem"], { "tls://:6380": ["both.pem+both.pem"] }],
    ["a pair, and a file of both", [REDIS, ...A, "--cert", "both.pem"], {
      "tls://:6380": [own, "both.pem+both.pem"],
    }],
    ["the same pair twice", [REDIS, ...A, ...A], { "tls://:6380": [own] }],
    ["each its own", [REDIS, ...A, "tls://:6381=10.0.0.1:1", ...B], {
      "tls://:6380": [own],
      "tls://:6381": [other],
    }],
    ["its own instead of all's", [...A, REDIS, "tls://:6381=10.0.0.1:1", ...B], {
      "tls://:6380": [own],
      "tls://:6381": [other],
    }],
    ["all's are not for those without TLS", [...A, REDIS, "tcp://:1=10.0.0.1:1", "http://:2=10.0.0.1:1"], {
      "tls://:6380": [own],
      "tcp://:1": [],
      "http://:2": [],
    }],
    [
      "those of one listener are together",
      ["https://a.example=10.0.0.1:1", ...A, "https://b.example=10.0.0.1:2", ...B],
      { "https://:443": [own, other] },
    ],
    [
      "all's are a listener's once",
      [...A, "https://a.example=10.0.0.1:1", "https://a.example/x=10.0.0.1:2"],
      {
        "https://:443": [own],
      },
    ],
  ];
  for (const [why, argv, want] of cases) it(why, () => deepEqual(certificatesOf(good(argv)), want));
});

describe("https://NAME", () => {
  it("is a listener of the port, and a route for the name", () => {
    const { listeners, upstreams } = good([...A, "https://a.example/api/=https://10.0.0.1/base"]);
    const { bind, routes, to } = listeners["https://:443"];
    deepEqual([bind[0].protocol, bind[0].tls, to], ["http", true, undefined]);
    deepEqual(routes.map(({ match: { host, path } }) => [host, path]), [[["a.example"], {
      kind: "prefix",
      text: "/api/",
    }]]);
    deepEqual(upstreams["https://a.example/api/"].servers.map(({ tls, base }) => [tls, base]), [[
      true,
      "/base",
    ]]);
  });

  it("is another listener than http://NAME, on the port of each", () => {
    const { listeners } = good([...A, "https://a.example=10.0.0.1:1", "http://a.example=10.0.0.1:1"]);
    deepEqual(Object.keys(listeners), ["https://:443", "http://:80"]);
    deepEqual(lines([...A, "https://:8443=10.0.0.1:1", "http://:8443=10.0.0.1:1"]), [
      'http://:8443=10.0.0.1:1: listener "http://:8443" listens on "[::]:8443", taken by listener ' +
      '"https://:8443"; choose another port or address',
    ]);
  });

  it("has its certificate issued", () => {
    const { listeners } = good(["https://shop.pub=10.0.0.1:1", "--acme-email", "ops@shop.pub"]);
    deepEqual(listeners["https://:443"].tls, {
      certificates: [],
      acme: {
        email: "ops@shop.pub",
        storage: "/var/lib/sluice/acme",
        directory: "https://acme-v02.api.letsencrypt.org/directory",
        "while-issuing": "self-signed",
      },
      policy: "modern",
      client: { mode: "off" },
    });
  });

  it("alone of all has the --acme-email of all", () => {
    const { listeners } = good([
      ...["--acme-email", "ops@shop.pub", "https://shop.pub=10.0.0.1:1", "http://shop.pub=10.0.0.1:1"],
      ...[REDIS, ...A],
    ]);
    deepEqual(Object.values(listeners).map(({ tls }) => tls?.acme?.email), [
      "ops@shop.pub",
      undefined,
      undefined,
    ]);
  });
});

describe("mistakes", () => {
  const needs =
    "give a certificate (tls.certificates, or --cert and --key), or have one issued (tls.acme, or " +
    "--acme-email)";
  const cases: [why: string, argv: string[], want: string[]][] = [
    ["no certificate", [REDIS], [`${REDIS}: "tls://:6380" has no certificate; ${needs}`]],
    ["a key alone", [REDIS, "--key", "a.key"], [
      "--key: a key without a certificate; give --cert FILE as well",
      `${REDIS}: "tls://:6380" has no certificate; ${needs}`,
    ]],
    ["a key too many", [REDIS, ...A, "--key", "rsa.key"], [
      "--key (argument 6): a key without a certificate; give --cert FILE as well",
    ]],
    ["nothing to be ended", ["tcp://:1=10.0.0.1:1", ...A], [
      "--cert: nothing here has TLS to be ended; listen on https:// or tls://, or leave it out",
    ]],
    ["nothing to be ended, of all", [...A, "tcp://:1=10.0.0.1:1"], [
      "--cert: nothing here has TLS to be ended; listen on https:// or tls://, or leave it out",
    ]],
    ["no such file", [REDIS, "--cert", "no.pem", "--key", "a.key"], [
      '--cert: "no.pem": there is no such file; write the path of a file, from the working directory on',
    ]],
    ["a key of another", [REDIS, "--cert", "a.pem", "--key", "b.key"], [
      '--key: "b.key": not the key of that certificate; write the path of the key that it was made with',
    ]],
    ["which of several", [REDIS, ...A, "--cert", "rsa.pem", "--key", "b.key"], [
      '--key (argument 8): "b.key": not the key of that certificate; write the path of the key that it was made with',
    ]],
    ["no path", [REDIS, "--cert", "", "--key", "a.key"], [
      "--cert: empty; write the path of a file",
      "--key: a key without a certificate; give --cert FILE as well",
    ]],
    ["no value", [REDIS, "--cert"], [
      "--cert: no value; write --cert FILE",
      `${REDIS}: "tls://:6380" has no certificate; ${needs}`,
    ]],
    ["no name to issue for", ["https://:443=10.0.0.1:1", "--acme-email", "ops@shop.pub"], [
      "--acme-email: no certificate could be asked for: no route has a host; write match: { host: NAME } in a route " +
      "(https://NAME on the command line)",
    ]],
    ["names behind tls://", [REDIS, "--acme-email", "ops@shop.pub"], [
      "--acme-email: no certificate could be asked for: tls:// knows no names; give a certificate, or listen on " +
      "tcp:// with sni: { NAME: { terminate: UPSTREAM } }",
    ]],
    ["a star", ["https://*.shop.pub=10.0.0.1:1", "--acme-email", "ops@shop.pub"], [
      'https://*.shop.pub=10.0.0.1:1: no certificate for "*.shop.pub" can be issued: that needs dns-01, which is not ' +
      "supported in this version; give a certificate for it, write each name, or on-demand: { allow: URL }",
    ]],
    ["no address", ["https://shop.pub=10.0.0.1:1", "--acme-email", "ops"], [
      '--acme-email: "ops" is no e-mail address; write an address such as ops@shop.example',
    ]],
    ["two addresses", [
      ...["https://a.pub=10.0.0.1:1", "--acme-email", "a@a.pub"],
      ...["https://b.pub=10.0.0.1:2", "--acme-email", "b@b.pub"],
    ], [
      '--acme-email (argument 5): given twice for the same listener, "a@a.pub" and "b@b.pub"; leave one of them out',
    ]],
    ["another name", [...A, "https://c.example=10.0.0.1:1"], [
      'warning: https://c.example=10.0.0.1:1: no certificate is for "c.example": clients are shown that of ' +
      '"a.example", and most turn away; give one that is, or write acme',
      'warning: --cert: "a.pem": is for "a.example", none of which listener "https://:443" has a route for; write a ' +
      "route for it, or leave it out",
    ]],
  ];
  for (const [why, argv, want] of cases) {
    it(why, () => deepEqual(lines(argv).sort(), [...want].sort()));
  }
});

describe("print", () => {
  it("of a command line is a file that comes to the same", () => {
    const commands = [
      [REDIS, ...A, ...RSA],
      [
        ...A,
        "https://a.example=https://10.0.0.1/base",
        "http://a.example=10.0.0.1:1",
        "--balance",
        "round-robin",
      ],
      ["https://shop.pub=10.0.0.1:1", "--acme-email", "ops@shop.pub"],
    ];
    for (const argv of commands) {
      const { raw } = assemble(readCommandLine(argv), []);
      for (const all of [false, true]) {
        const text = printConfig(raw, { all, originOf: undefined });
        const parsed = parseRun(["run", "-c", "f"], { env: {}, uid: 0, disk: diskOf({ ...FILES, f: text }) });
        ok("config" in parsed, "problems" in parsed ? formatProblems(parsed.problems) + text : "");
        const { listeners, upstreams } = good(argv);
        deepEqual({ listeners: parsed.config.listeners, upstreams: parsed.config.upstreams }, {
          listeners,
          upstreams,
        }, text);
      }
    }
  });

  it("leaves a secret out, and the path of a key in", () => {
    const acme = { "external-account": { "key-id": "kid", "hmac-key": "zaphodbeeblebroxzaphodbeeblebrox" } };
    const raw = {
      listeners: {
        web: { bind: "https://:443", tls: { acme, certificates: [{ cert: "a.pem", key: "a.key" }] } },
      },
    };
    for (const all of [false, true]) {
      const text = printConfig(raw, { all, originOf: undefined });
      ok(!text.includes("beeblebrox"), text);
      ok(text.startsWith("# listeners.web.tls.acme.external-account.hmac-key: secret, not shown"), text);
      ok(text.includes("key: a.key"), text);
    }
  });

  it("with defaults says those of TLS where there is TLS", () => {
    const { raw } = assemble(readCommandLine([REDIS, ...A, "tcp://:1=10.0.0.1:1"]), []);
    const text = printConfig(raw, { all: true, originOf: undefined });
    equal(text.match(/policy: modern/g)?.length, 1, text);
    equal(text.match(/handshake: 10s/g)?.length, 2, "the default, and of the listener with TLS");
  });
});
