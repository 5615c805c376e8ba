import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { checkConfig } from "../../../src/control/config/check.ts";

const ROOT = { env: {}, uid: 0 };

/** A listener and its upstream, with keys put over both. */
function one(bind: unknown, listener: Record<string, unknown>, upstream: Record<string, unknown> = {}) {
  return {
    listeners: { a: { bind, to: "u", ...listener } },
    upstreams: { u: { servers: ["10.0.0.1:80"], ...upstream } },
  };
}

test("what does not go with the protocol of a listener is refused", () => {
  const tcp = "tcp://:1", http = "http://:1";
  const cases: [raw: unknown, path: string, what: string, why: string][] = [
    [one([tcp, "http://:2"], {}), "listeners/a/bind", "tcp:// and http:// in one listener", "two protocols"],
    [one(tcp, { to: undefined }), "listeners/a/to", "missing", "nowhere to go"],
    [one(http, { to: undefined }), "listeners/a/to", "nothing becomes of the requests", "nowhere to go"],
    [
      one(http, { to: undefined, routes: [] }),
      "listeners/a/to",
      "nothing becomes of the requests",
      "no route",
    ],
    [
      one(tcp, { routes: [{ match: { path: "/a" }, to: "u" }] }),
      "listeners/a/routes",
      "only http:// has it",
      "no requests",
    ],
    [one(tcp, { trust: "10.0.0.0/8" }), "listeners/a/trust", "only http:// has it", "no fields"],
    [one(tcp, { forwarded: {} }), "listeners/a/forwarded", "only http:// has it", "no fields"],
    [
      one(tcp, { "proxy-status": "on" }),
      "listeners/a/proxy-status",
      "only http:// has it",
      "the default, but said",
    ],
    [
      one(tcp, { "error-pages": { 502: { text: "no" } } }),
      "listeners/a/error-pages",
      "only http:// has it",
      "no answers",
    ],
    [
      one(tcp, { timeouts: { "request-head": "5s" } }),
      "listeners/a/timeouts/request-head",
      "only http:// has it",
      "no heads",
    ],
    [
      one(tcp, {}, { timeouts: { answer: "5s" } }),
      "upstreams/u/timeouts/answer",
      "only http:// has it",
      "no heads",
    ],
    [one(tcp, {}, { "keep-alive": "off" }), "upstreams/u/keep-alive", "only http:// has it", "none is kept"],
    [
      one(tcp, {}, { servers: ["a:1", { address: "http://b/x" }] }),
      "upstreams/u/servers/1",
      '"http://b/x" is for HTTP, and listener "a" is for tcp://',
      "a base path",
    ],
  ];
  for (const [raw, path, what, why] of cases) {
    const { config, findings } = checkConfig(raw, ROOT);
    equal(config, undefined, why);
    deepEqual(findings.map((finding) => [finding.path.join("/"), finding.what]), [[path, what]], why);
    ok(findings[0].remedy !== "", why);
  }
});

test("what HTTP has beside TCP is refused for none of them", () => {
  const both = {
    defaults: { timeouts: { "client-idle": "5s", "server-idle": "6s" } },
    listeners: { t: { bind: "tcp://:1", to: "u" }, h: { bind: "http://:2", routes: [{ to: "u" }] } },
    upstreams: {
      u: { servers: ["10.0.0.1:80"], timeouts: { "server-idle": "5s", answer: "5s" }, "keep-alive": "off" },
      nobody: { servers: ["http://10.0.0.2/x"], timeouts: { answer: "5s" } },
    },
  };
  const { config, findings } = checkConfig(both, ROOT);
  deepEqual(findings.map(({ what }) => what), ['no listener leads to upstream "nobody"']);
  equal(config?.listeners.h.timeouts["client-idle"], 5_000);
  equal(config?.upstreams.nobody.timeouts["server-idle"], 6_000);
});

test("an upstream of HTTP", () => {
  const { config, findings } = checkConfig(
    one("http://:1", {}, {
      servers: [
        "http://10.0.0.1:3000/base/",
        { address: "10.0.0.2:80;max-connections=3" },
        { address: "10.0.0.3:80", "max-connections": 500 },
      ],
      "keep-alive": { "max-idle": 8, idle: "5s" },
      timeouts: { answer: "1s", queue: "2s" },
    }),
    ROOT,
  );
  deepEqual(findings, []);
  const { servers, "keep-alive": keepAlive, timeouts } = config!.upstreams.u;
  deepEqual(servers.map((server) => [server.base, server["max-connections"]]), [["/base", 0], ["", 3], [
    "",
    500,
  ]]);
  deepEqual(keepAlive, { "max-idle": 8, idle: 5_000 });
  deepEqual([timeouts.answer, timeouts.queue, timeouts["server-idle"]], [1_000, 2_000, 60_000]);
});

test("keep-alive", () => {
  const kept = (given: unknown) => {
    const { config, findings } = checkConfig(one("http://:1", {}, { "keep-alive": given }), ROOT);
    return config?.upstreams.u["keep-alive"] ??
      findings.map(({ path, what }) => [path.slice(3).join("/"), what]);
  };
  const cases: [given: unknown, want: unknown, why: string][] = [
    [undefined, { "max-idle": 256, idle: "auto" }, "the default"],
    [{}, { "max-idle": 256, idle: "auto" }, "the default"],
    ["off", { "max-idle": 0, idle: 0 }, "none"],
    [{ idle: "30s" }, { "max-idle": 256, idle: 30_000 }, "for so long"],
    ["on", [["", 'unknown value "on"']], "it is what there is anyway"],
    [{ "max-idle": 0 }, [["max-idle", '"0" is too small']], "that is off"],
    [{ idle: "soon" }, [["idle", '"soon" is no duration']], "no duration"],
    [{ iddle: "1s" }, [["iddle", 'unknown key "iddle"']], "a slip"],
  ];
  for (const [given, want, why] of cases) deepEqual(kept(given), want, why);
});

test("a check by a request", () => {
  const health = (given: Record<string, unknown>) => {
    const { config, findings } = checkConfig(one("http://:1", {}, { health: given }), ROOT);
    const found = config?.upstreams.u.health;
    return found === undefined || found === "off" ? findings : found;
  };
  const whole = health({
    http: "HEAD /h",
    expect: [200, "300-399"],
    host: "a.example",
    header: { "X-A": "b" },
    body: "/ok/",
  });
  ok(!Array.isArray(whole) && !whole.tcp && whole.expect?.kind === "pattern");
  deepEqual(whole.http, {
    method: "HEAD",
    target: "/h",
    host: "a.example",
    header: { "X-A": "b" },
    statuses: [[200, 200], [300, 399]],
  });
  const single = health({ http: "/h", expect: 204 });
  ok(!Array.isArray(single) && single.expect === undefined);
  deepEqual(single.http?.statuses, [[204, 204]]);
  const cases: [given: Record<string, unknown>, key: string, what: string][] = [
    [{ expect: 200 }, "expect", "statuses are what a check by a request expects"],
    [{ http: "/h", expect: "OK" }, "expect", '"OK" is no status'],
    [{ http: "/h", send: "x" }, "send", "contradicts http, which says what is sent"],
    [{ host: "a" }, "host", "is part of a check by a request"],
    [{ body: "a", expect: "b" }, "body", "is part of a check by a request"],
    [{ header: { A: "b" } }, "header", "is part of a check by a request"],
    [{ http: "/h", header: { Host: "b" } }, "header/Host", "the host is rewritten elsewhere"],
    [{ http: "/h", header: { A: "b".repeat(4_000) } }, "http", "a request of 4343 bytes"],
    [{ tcp: true, http: "/h" }, "tcp", "a check of the connection alone contradicts send, expect and http"],
  ];
  for (const [given, key, what] of cases) {
    const found = health(given);
    ok(Array.isArray(found), what);
    deepEqual(found.map((finding) => [finding.path.slice(3).join("/"), finding.what]), [[key, what]]);
  }
});
