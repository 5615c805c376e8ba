// Certificates held against the names of their listeners, and how often a file is read.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { checkConfig } from "../../../src/control/config/check.ts";
import { Certificates, type Made } from "../../support/certificates.ts";
import { diskOf } from "./files.ts";

const all = new Certificates();
after(() => all[Symbol.dispose]());
const made: Record<string, Made> = {
  a: all.leaf("a.example"),
  b: all.leaf("b.example", "www.b.example"),
  rsa: all.rsa("a.example"),
  again: all.make({ names: ["a.example"], until: new Date(Date.now() + 40 * 86_400_000) }),
  star: all.leaf("*.a.example"),
  ip: all.leaf("10.0.0.1", "::1"),
};
const files = Object.fromEntries(
  Object.entries(made).map((
    [name, { cert, key }],
  ) => [name, readFileSync(cert, "utf8") + readFileSync(key, "utf8")]),
);
const route = (host?: unknown) => ({ match: host === undefined ? {} : { host }, to: "api" });

function check(listeners: Record<string, unknown>, reads: string[] = []) {
  const raw = { listeners, upstreams: { api: { servers: ["10.0.0.1:80"] } } };
  const { findings } = checkConfig(raw, { env: {}, uid: 0, disk: diskOf(files, reads) });
  return findings.map(({ path, what, severity }) => `${severity} ${path.slice(2).join("/")}: ${what}`);
}

function web(names: string[], over: Record<string, unknown>, acme?: unknown) {
  const certificates = names.map((cert) => ({ cert }));
  return {
    web: { bind: "https://:443", tls: { certificates, ...(acme === undefined ? {} : { acme }) }, ...over },
  };
}

describe("names and certificates", () => {
  const none = (name: string, first: string) =>
    `no certificate is for "${name}": clients are shown that of ${first}, and most turn away`;
  const cases: [why: string, listeners: Record<string, unknown>, want: string[]][] = [
    ["each has its own", web(["a", "b"], { routes: [route("a.example"), route("b.example")] }), []],
    ["RSA beside EC", web(["a", "rsa"], { routes: [route("a.example")] }), []],
    ["two of a kind", web(["a", "again"], { routes: [route("a.example")] }), [
      'warning tls/certificates/1/cert: "again": never shown, because "a" is for "a.example" as well, with an EC key too',
    ]],
    ["a star is one label", web(["star"], { routes: [route(["x.a.example", "*.a.example"])] }), []],
    ["a star is no more than that", web(["star"], { routes: [route(["a.example", "y.x.a.example"])] }), [
      `warning routes/0/match/host/0: ${none("a.example", '"*.a.example"')}`,
      `warning routes/0/match/host/1: ${none("y.x.a.example", '"*.a.example"')}`,
      'warning tls/certificates/0/cert: "star": is for "*.a.example", none of which listener "web" has a route for',
    ]],
    [
      "a name without one",
      web(["b"], { routes: [route(["a.example", "A.example"]), route("b.example")] }),
      [
        `warning routes/0/match/host/0: ${none("a.example", '"b.example", "www.b.example"')}`,
      ],
    ],
    ["a name that is issued", web(["b"], { routes: [route("a.example"), route("b.example")] }, {}), []],
    ["a certificate without a name", web(["a", "b"], { routes: [route("a.example")] }), [
      'warning tls/certificates/1/cert: "b": is for "b.example", "www.b.example", none of which listener "web" has a ' +
      "route for",
    ]],
    ["one of its names is enough", web(["a", "b"], { routes: [route(["a.example", "www.b.example"])] }), []],
    ["a route for every name", web(["a", "b"], { routes: [route("a.example"), route()] }), []],
    ["to is for every name", web(["a", "b"], { routes: [route("a.example")], to: "api" }), []],
    ["an address", web(["ip"], { routes: [route(["10.0.0.1", "[::1]"])] }), []],
    [
      "addresses are asked for by nobody's name",
      web(["a"], { routes: [route(["a.example", "10.0.0.9"])] }),
      [],
    ],
    ["a name of sni", {
      web: {
        bind: "tcp://:1",
        sni: { "a.example": { terminate: "api" }, "b.example": "api", "c.example": { terminate: "api" } },
        tls: { certificates: [{ cert: "a" }, { cert: "b" }] },
      },
    }, [
      `warning sni/c.example: ${none("c.example", '"a.example"')}`,
      'warning tls/certificates/1/cert: "b": is for "b.example", "www.b.example", for none of which sni of listener ' +
      '"web" ends TLS',
    ]],
    ["the rest of sni", {
      web: {
        bind: "tcp://:1",
        sni: { default: { terminate: "api" } },
        tls: { certificates: [{ cert: "a" }, { cert: "b" }] },
      },
    }, []],
  ];
  for (const [why, listeners, want] of cases) it(why, () => deepEqual(check(listeners), want));

  it("of files that are none are not looked at", () => {
    deepEqual(check(web(["a", "nowhere"], { routes: [route("b.example")] })), [
      'error tls/certificates/1/cert: "nowhere": there is no such file',
    ]);
  });
});

describe("files", () => {
  it("are read once, however often they are named", () => {
    const reads: string[] = [];
    const tls = { certificates: [{ cert: "a" }] };
    check({ x: { bind: "https://:1", to: "api", tls }, y: { bind: "https://:2", to: "api", tls } }, reads);
    deepEqual(reads, ["a"]);
  });

  it("that are missing are told at every place", () => {
    const told = check({
      x: { bind: "https://:1", to: "api", tls: { certificates: [{ cert: "no" }] } },
      y: { bind: "https://:2", to: "api", tls: { certificates: [{ cert: "a", key: "no", ocsp: "no" }] } },
    });
    equal(told.length, 3);
    ok(told.every((line) => line.endsWith('"no": there is no such file')), told.join("\n"));
  });

  it("by the thousand are judged in seconds", () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`${at}.pem`, files.a]));
    const certificates = Object.keys(many).map((cert) => ({ cert }));
    const raw = {
      listeners: { web: { bind: "https://:443", to: "api", tls: { certificates } } },
      upstreams: { api: { servers: ["10.0.0.1:80"] } },
    };
    const began = performance.now();
    const { config, findings } = checkConfig(raw, { env: {}, uid: 0, disk: diskOf(many) });
    ok(config);
    equal(findings.length, 999, "all but the first are never shown");
    ok(performance.now() - began < 20_000);
  });
});
