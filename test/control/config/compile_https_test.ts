// What the Plan knows of https://: where plain requests are sent, Strict-Transport-Security, thumbprints, fields of
// clients' certificates. Certificates are real files: a configuration without them is none.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { compile } from "../../../src/control/config/compile.ts";
import { Identities } from "../../../src/control/config/parts.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import { Directory } from "../../../src/control/directory.ts";
import { ForwardedShift, Forwarding, type Plan } from "../../../src/plan/plan.ts";
import { Certificates } from "../../support/certificates.ts";
import { among } from "./files.ts";

const world = new Certificates();
after(() => world[Symbol.dispose]());
const shop = world.leaf("shop.example");
const FILES = {
  "c.pem": readFileSync(shop.cert),
  "c.key": readFileSync(shop.key),
  "ca.pem": readFileSync(world.root.cert),
};
const TLS = "tls: { certificates: [{ cert: c.pem, key: c.key }] }";

/** The Plan of these listeners, and the number of each bind in it. */
function planOf(
  listeners: readonly string[],
  thumbprint?: string,
): { plan: Plan; at: (bind: string) => number } {
  const text = `listeners:\n${listeners.map((line) => `  ${line}\n`).join("")}upstreams:\n` +
    "  a: { servers: [127.0.0.1:1] }\n";
  const parsed = parseRun(["run", "-c", "f", "--admin", "off"], among({ f: text, ...FILES }));
  ok("config" in parsed, JSON.stringify(parsed));
  const { config } = parsed;
  const binds = Object.entries(config.listeners).flatMap(([listener, { bind }]) =>
    bind.map(({ text, address }) => ({
      listener,
      bind: text,
      bound: text,
      port: address.kind === "unix" ? 0 : address.port,
    }))
  );
  const sockets = binds.map((bind, socket) => ({ ...bind, socket }));
  const input = {
    config,
    sockets,
    generation: 1,
    resolve: () => [],
    patternOf: () => 1,
    acmeThumbprint: thumbprint,
  };
  const { plan } = compile(input, new Identities(), new Directory());
  const numbers = new Map(sockets.map(({ bind, socket }) => [bind, plan.socketListener[socket]]));
  return { plan, at: (bind) => numbers.get(bind)! };
}

function textAt(plan: Plan, at: number, bytes: number): string {
  return new TextDecoder().decode(plan.arena.slice(at, at + bytes));
}

describe("redirect-to-https", () => {
  const sent = "redirect-to-https: true";
  const cases: [listeners: string[], port: number, why: string][] = [
    [[`web: { bind: ["http://:80", "https://:443"], ${TLS}, ${sent}, to: a }`], 443, "its own"],
    [[`web: { bind: ["http://:80", "https://:8443"], ${TLS}, ${sent}, to: a }`], 8443, "on another port"],
    [
      [`web: { bind: ["http://:80", "https://:8443", "https://:443"], ${TLS}, ${sent}, to: a }`],
      443,
      "the usual one of several",
    ],
    [
      [`web: { bind: ["http://:80", "https://:8443", "https://:9443"], ${TLS}, ${sent}, to: a }`],
      8443,
      "else the first",
    ],
    [
      [
        `other: { bind: "https://:443", ${TLS}, to: a }`,
        `web: { bind: ["http://:80", "https://:8443"], ${TLS}, ${sent}, to: a }`,
      ],
      8443,
      "its own before another's",
    ],
    [
      [`web: { bind: "http://:80", ${sent} }`, `other: { bind: "https://:8443", ${TLS}, to: a }`],
      8443,
      "another's, if it has none",
    ],
    [
      [
        `web: { bind: "http://:80", ${sent} }`,
        `db: { bind: "tls://:6380", ${TLS}, to: t }`,
        `other: { bind: "https://:8443", ${TLS}, to: a }`,
      ].map((line) => line.replace("to: t", "to: a")).filter((line) => !line.startsWith("db")),
      8443,
      "of HTTP",
    ],
    [
      [`web: { bind: ["http://:80", "unix:/run/s?protocol=https"], ${TLS}, ${sent}, to: a }`],
      443,
      "a path has no port",
    ],
    [[`web: { bind: ["http://:80", "https://:443"], ${TLS}, to: a }`], 0, "nobody asks for it"],
  ];
  for (const [listeners, port, why] of cases) {
    it(`${why}: ${port}`, () => {
      const { plan, at } = planOf(listeners);
      equal(plan.listenerToHttps[at("http://:80")], port);
      for (const bind of ["https://:443", "https://:8443", "https://:9443"]) {
        if (at(bind) !== undefined) equal(plan.listenerToHttps[at(bind)], 0, "nobody is sent where he is");
      }
    });
  }
});

describe("hsts", () => {
  const cases: [hsts: string, want: string][] = [
    ["{}", "max-age=31536000"],
    ["{ max-age: 1h }", "max-age=3600"],
    ["{ max-age: 0s }", "max-age=0"],
    ["{ max-age: 730d, subdomains: true }", "max-age=63072000; includeSubDomains"],
    ["{ subdomains: true, preload: true }", "max-age=31536000; includeSubDomains; preload"],
  ];
  for (const [hsts, want] of cases) {
    it(`${hsts}: ${want}`, () => {
      const { plan, at } = planOf([
        `web: { bind: ["http://:80", "https://:443"], ${TLS}, hsts: ${hsts}, to: a }`,
        `other: { bind: "https://:8443", ${TLS}, to: a }`,
      ]);
      const line = (bind: string) =>
        textAt(plan, plan.listenerHstsAt[at(bind)], plan.listenerHstsBytes[at(bind)]);
      equal(line("https://:443"), `Strict-Transport-Security: ${want}\r\n`);
      equal(line("http://:80"), "", "never on plain HTTP");
      equal(line("https://:8443"), "", "nor where nobody asks for it");
    });
  }
});

describe("the account's thumbprint", () => {
  const listeners = [
    `web: { bind: ["http://:80", "https://:443"], ${TLS}, to: a }`,
    `other: { bind: "http://:81", to: a }`,
  ];

  it("is every HTTP listener's", () => {
    const { plan, at } = planOf(listeners, "Prin_t");
    for (const bind of ["http://:80", "https://:443", "http://:81"]) {
      const number = at(bind);
      equal(textAt(plan, plan.listenerThumbprintAt[number], plan.listenerThumbprintBytes[number]), "Prin_t");
    }
  });

  it("is nobody's without an account", () => {
    const { plan } = planOf(listeners);
    ok(plan.listenerThumbprintBytes.every((bytes) => bytes === 0));
  });
});

describe("fields of clients' certificates", () => {
  const shifts = [
    ForwardedShift.ClientCert,
    ForwardedShift.ClientCertSubject,
    ForwardedShift.ClientCertFingerprint,
  ];
  for (
    const [mode, how] of [
      ["off", Forwarding.Leave],
      ["ask", Forwarding.Replace],
      ["require", Forwarding.Replace],
    ] as const
  ) {
    it(`client: ${mode}`, () => {
      const ca = mode === "off" ? "" : ", ca: ca.pem";
      const tls = TLS.replace(" }", ` }`).replace(/ }$/, `, client: { mode: ${mode}${ca} } }`);
      const { plan, at } = planOf([
        `web: { bind: ["http://:80", "https://:443"], ${tls}, to: a }`,
        `other: { bind: "http://:81", to: a }`,
      ]);
      for (const bind of ["http://:80", "https://:443"]) {
        deepEqual(
          shifts.map((shift) => (plan.listenerForwarded[at(bind)] >>> shift) & 3),
          [how, how, how],
          bind,
        );
      }
      deepEqual(
        shifts.map((shift) => (plan.listenerForwarded[at("http://:81")] >>> shift) & 3),
        Array(3).fill(mode === "off" ? Forwarding.Leave : Forwarding.Append),
        "another listener",
      );
    });
  }

  it("and what a route says of them", () => {
    const route =
      '{ headers: { request: { set: { client-cert: x }, remove: ["X-Client-Cert-Fingerprint"] } }, to: a }';
    const { plan } = planOf([`web: { bind: "http://:80", routes: [${route}] }`]);
    const ways = plan.routing.routeForwardedOff[1];
    deepEqual(shifts.map((shift) => (ways >>> shift) & 3), [
      Forwarding.Off,
      Forwarding.Leave,
      Forwarding.Off,
    ]);
  });
});
