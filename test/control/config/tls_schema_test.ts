// The parts of a Config that are about TLS, and what is refused of them key by key.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { checkConfig } from "../../../src/control/config/check.ts";
import type { Config } from "../../../src/control/config/schema.ts";
import { Certificates } from "../../support/certificates.ts";
import { diskOf } from "./files.ts";

const all = new Certificates();
after(() => all[Symbol.dispose]());
const shop = all.leaf("shop.example"), client = all.client("sluice");
const text = (path: string): string => readFileSync(path, "utf8");
const disk = diskOf({
  "shop.pem": text(shop.cert),
  "shop.key": text(shop.key),
  "both.pem": text(shop.cert) + text(shop.key),
  "client.pem": text(client.cert) + text(client.key),
  "ca.pem": text(all.root.cert),
  "ca.crl": text(all.revoked(all.root, [])),
});
const PIN = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
const CERTIFICATES = [{ cert: "shop.pem", key: "shop.key" }];

function good(raw: unknown, env = {}, uid = 0): Config {
  const { config, findings } = checkConfig(raw, { env, uid, disk });
  deepEqual(findings, []);
  ok(config);
  return config;
}

function listener(over: Record<string, unknown>): Record<string, unknown> {
  return { listeners: { web: over }, upstreams: { api: { servers: ["10.0.0.1:80"] } } };
}

function upstream(over: Record<string, unknown>): Record<string, unknown> {
  return {
    listeners: { web: { bind: "http://:80", to: "api" } },
    upstreams: { api: { servers: ["10.0.0.1:80"], ...over } },
  };
}

describe("tls of a listener", () => {
  it("has defaults for all but its certificates", () => {
    const { web } =
      good(listener({ bind: "https://:443", to: "api", tls: { certificates: CERTIFICATES } })).listeners;
    deepEqual(web.bind[0], {
      text: "https://:443",
      protocol: "http",
      tls: true,
      address: { kind: "ip", family: 6, ip: "::", scope: "", port: 443 },
    });
    deepEqual(web.tls, { certificates: CERTIFICATES, policy: "modern", client: { mode: "off" } });
    equal(web.timeouts.handshake, 10_000);
    deepEqual([web["redirect-to-https"], web.hsts, web.sni], [false, undefined, undefined]);
  });

  it("takes a file that holds certificate and key", () => {
    const certificates = [{ cert: "both.pem" }];
    const { web } = good(listener({ bind: "tls://:443", to: "api", tls: { certificates } })).listeners;
    deepEqual(web.tls?.certificates, [{ cert: "both.pem", key: "both.pem" }]);
  });

  it("takes everything that it has", () => {
    const tls = {
      certificates: CERTIFICATES,
      policy: "compatible",
      client: { mode: "require", ca: "ca.pem", crl: "ca.crl" },
      alpn: ["redis", "x"],
    };
    const { web } =
      good(listener({ bind: ["tls://:443", "tcp://:80"], to: "api", timeouts: { handshake: "5s" }, tls }))
        .listeners;
    deepEqual(web.tls, tls);
    equal(web.timeouts.handshake, 5_000);
    deepEqual(web.bind.map(({ protocol, tls }) => [protocol, tls]), [["tcp", true], ["tcp", false]]);
  });

  it("inherits the deadline of its handshakes", () => {
    const raw = listener({ bind: "https://:443", to: "api", tls: { certificates: CERTIFICATES } });
    const { web } = good({ ...raw, defaults: { timeouts: { handshake: "3s" } } }).listeners;
    equal(web.timeouts.handshake, 3_000);
  });

  it("redirects, and has browsers keep to it", () => {
    const { web } = good(listener({
      bind: ["http://:80", "https://:443"],
      to: "api",
      tls: { certificates: CERTIFICATES },
      "redirect-to-https": true,
      hsts: { subdomains: true },
    })).listeners;
    equal(web["redirect-to-https"], true);
    deepEqual(web.hsts, { "max-age": 365 * 86_400_000, subdomains: true, preload: false });
  });
});

describe("acme of a listener", () => {
  const routes = [{ match: { host: "shop.example" }, to: "api" }];
  const of = (acme: unknown, env = {}, uid = 0) =>
    good(listener({ bind: "https://:443", routes, tls: { acme } }), env, uid).listeners.web.tls?.acme;

  it("has defaults for everything", () => {
    deepEqual(of({}), {
      storage: "/var/lib/sluice/acme",
      directory: "https://acme-v02.api.letsencrypt.org/directory",
      "while-issuing": "self-signed",
    });
  });

  it("keeps what is issued where its user may write", () => {
    const cases: [env: Record<string, string>, uid: number, want: string][] = [
      [{ HOME: "/home/a", XDG_STATE_HOME: "/state" }, 0, "/var/lib/sluice/acme"],
      [{ HOME: "/home/a", XDG_STATE_HOME: "/state" }, 1, "/state/sluice/acme"],
      [{ HOME: "/home/a", XDG_STATE_HOME: "state" }, 1, "/home/a/.local/state/sluice/acme"],
      [{ HOME: "/home/a" }, 1, "/home/a/.local/state/sluice/acme"],
    ];
    const admin = { XDG_RUNTIME_DIR: "/run/user/1" };
    for (const [env, uid, want] of cases) equal(of({}, { ...env, ...admin }, uid)?.storage, want);
    equal(of({ storage: "/elsewhere/" }, { HOME: "/home/a", ...admin }, 1)?.storage, "/elsewhere");
    const raw = listener({ bind: "https://:443", routes, tls: { acme: {} } });
    const { config, findings } = checkConfig(raw, { env: admin, uid: 1, disk });
    equal(config, undefined);
    deepEqual(findings.map(({ path, what }) => [path.join("/"), what]), [
      ["listeners/web/tls/acme/storage", "HOME gives no place for what is issued"],
    ]);
  });

  it("takes everything that it has", () => {
    const acme = {
      email: "ops@shop.example",
      storage: "/acme",
      directory: "https://acme.example/dir",
      ca: "ca.pem",
      challenges: ["tls-alpn-01"],
      "external-account": { "key-id": "kid", "hmac-key": "A".repeat(43) },
      "on-demand": { allow: "http://127.0.0.1:9000/x" },
      "while-issuing": "refuse",
    };
    deepEqual(of(acme), acme);
  });
});

describe("sni of a listener", () => {
  it("keeps its targets, names in lower case", () => {
    const sni = {
      "A.example": "api",
      "*.b.example": "api",
      "own.example": { terminate: "api" },
      default: "api",
    };
    const tls = { certificates: CERTIFICATES };
    const { config, findings } = checkConfig(listener({ bind: "tcp://:443", sni, tls }), {
      env: {},
      uid: 0,
      disk,
    });
    // The certificate is for another name.
    deepEqual(findings.map(({ severity }) => severity), ["warning", "warning"]);
    const all = (name: string) => [{ to: "api", terminate: false, protocol: undefined, path: [name] }];
    deepEqual(config?.listeners.web.sni, {
      "a.example": all("A.example"),
      "*.b.example": all("*.b.example"),
      "own.example": [
        { to: "api", terminate: true, protocol: undefined, path: ["own.example", "terminate"] },
      ],
      default: all("default"),
    });
    equal(config?.listeners.web.to, undefined);
  });

  it("goes by protocols in the order they are written, then to what is for all", () => {
    const sni = { "a.example": { to: "api", alpn: { h2: "api", "acme-tls/1": { terminate: "api" } } } };
    const tls = { certificates: CERTIFICATES };
    const { config } = checkConfig(listener({ bind: "tcp://:443", sni, tls }), { env: {}, uid: 0, disk });
    const targets = config?.listeners.web.sni?.["a.example"] ?? [];
    deepEqual(targets.map(({ terminate, protocol, path }) => [protocol, terminate, path.slice(1)]), [
      ["h2", false, ["alpn", "h2"]],
      ["acme-tls/1", true, ["alpn", "acme-tls/1", "terminate"]],
      [undefined, false, ["to"]],
    ]);
  });

  const wrong: [target: object, message: string, remedy: string][] = [
    [
      { to: "api", terminate: "api" },
      "contradicts terminate, which is for all as well",
      "leave one of them out",
    ],
    [{}, "leads nowhere", "write UPSTREAM, or { terminate: UPSTREAM }"],
    [{ alpn: {} }, "leads nowhere", "write UPSTREAM, or { terminate: UPSTREAM }"],
    [
      { alpn: { "h2,http/1.1": "api" } },
      '"h2,http/1.1" is more than one protocol',
      "write [h2, http/1.1]",
    ],
  ];
  for (const [target, message, remedy] of wrong) {
    it(`refuses ${JSON.stringify(target)}`, () => {
      const config = listener({ bind: "tcp://:443", sni: { "a.example": target } });
      const { findings } = checkConfig(config, { env: {}, uid: 0, disk });
      const [found] = findings.filter(({ severity }) => severity === "error");
      deepEqual([found?.what, found?.remedy], [message, remedy]);
    });
  }

  it("needs no certificate where TLS does not end", () => {
    good(listener({ bind: "tcp://:443", sni: { "a.example": "api" } }));
  });

  it("has at most so many names", () => {
    const names = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at}.example`, "api"]));
    good(listener({ bind: "tcp://:443", sni: names(16_384) }));
    const { findings } = checkConfig(listener({ bind: "tcp://:443", sni: names(16_385) }), {
      env: {},
      uid: 0,
      disk,
    });
    deepEqual(findings.map(({ what, remedy }) => [what, remedy]), [["16385 of them", "give at most 16384"]]);
  });
});

describe("tls of an upstream", () => {
  it("is there where a server has it, and nowhere else", () => {
    const { api } = good(upstream({ servers: ["https://a.example/x", "http://b.example"] })).upstreams;
    deepEqual(api.servers.map(({ tls, base }) => [tls, base]), [[true, "/x"], [false, ""]]);
    deepEqual(api.tls, { pins: [], verify: "on" });
    ok(!("tls" in good(upstream({})).upstreams.api));
  });

  it("makes all of its servers have it", () => {
    const servers = [
      "a.example:8443",
      { address: "10.0.0.2:8443", "max-connections": 5 },
      "unix:/run/app.sock",
    ];
    const tls = {
      ca: "ca.pem",
      "server-name": "API.internal",
      cert: "client.pem",
      pins: [PIN],
      crl: "ca.crl",
    };
    const { api } = good(upstream({ servers, tls })).upstreams;
    deepEqual(api.servers.map(({ tls }) => tls), [true, true, true]);
    deepEqual(api.tls, { ...tls, "server-name": "api.internal", key: "client.pem", verify: "on" });
  });

  it("of TCP is tls://", () => {
    const raw = {
      listeners: { db: { bind: "tcp://:1", to: "db" } },
      upstreams: { db: { servers: "tls://db.example:5432" } },
    };
    deepEqual(good(raw).upstreams.db.servers.map(({ tls, address }) => [tls, address.kind]), [[
      true,
      "name",
    ]]);
  });
});
