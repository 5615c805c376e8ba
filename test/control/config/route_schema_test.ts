import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { checkConfig } from "../../../src/control/config/check.ts";
import type { Config } from "../../../src/control/config/schema.ts";

const ROOT = { env: {}, uid: 0 };

/** A listener of HTTP with one route, and keys put over it; another one uses every upstream. */
function web(route: unknown, over: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    listeners: {
      web: { bind: "http://:8080", routes: [route], ...over },
      all: { bind: "http://:8081", routes: [{ match: { path: "/site/" }, to: "site" }], to: "api" },
    },
    upstreams: { api: { servers: ["10.0.0.1:80"] }, site: { servers: ["10.0.0.2:80"] } },
  };
}

function good(raw: unknown): Config["listeners"][string] {
  const { config, findings } = checkConfig(raw, ROOT);
  deepEqual(findings, []);
  ok(config);
  return config.listeners.web;
}

const NO_EDITS = { set: {}, add: {}, remove: [], rename: {} };

test("a route gets every default", () => {
  const [route] = good(web({ to: "api" })).routes;
  deepEqual(route, {
    match: { host: [], path: undefined, method: [], header: {}, query: {}, cookie: {}, client: [] },
    rewrite: {},
    headers: { request: NO_EDITS, response: NO_EDITS },
    "body-max": 0,
    action: { kind: "upstream", to: "api" },
  });
});

test("a route has all that the format says", () => {
  const [route] = good(web({
    match: {
      host: ["Shop.example", "*.shop.example"],
      path: "/api/",
      method: ["GET", "POST"],
      header: { "x-beta": "1" },
      query: { v: "2", empty: "" },
      cookie: { tier: "gold" },
      client: "10.0.0.0/8",
    },
    rewrite: { "strip-prefix": "/api", "add-prefix": "/v2", host: "{host}.internal" },
    headers: {
      request: {
        set: { "X-Tier": "gold" },
        add: { "X-Seen": "{path}" },
        remove: "X-Internal",
        rename: { A: "B" },
      },
      response: { set: { "X-Frame-Options": "DENY" } },
    },
    "body-max": "10MiB",
    to: "api",
  })).routes;
  deepEqual(route.match.host, ["shop.example", "*.shop.example"]);
  deepEqual(route.match.path, { kind: "prefix", text: "/api/" });
  deepEqual(route.match.method, ["GET", "POST"]);
  deepEqual(route.match.query, { v: "2", empty: "" });
  deepEqual(route.match.client.map(({ text }) => text), ["10.0.0.0/8"]);
  deepEqual(route.rewrite, { "strip-prefix": "/api", "add-prefix": "/v2", host: "{host}.internal" });
  deepEqual(route.headers.request, {
    set: { "X-Tier": "gold" },
    add: { "X-Seen": "{path}" },
    remove: ["X-Internal"],
    rename: { A: "B" },
  });
  equal(route["body-max"], 10 * 2 ** 20);
});

test("what a route does besides forwarding", () => {
  const action = (route: unknown) => good(web(route)).routes[0].action;
  deepEqual(action({ redirect: { to: "/new" } }), { kind: "redirect", to: "/new", status: 308 });
  deepEqual(action({ redirect: { to: "https://{host}/{path}", status: "301" } }), {
    kind: "redirect",
    to: "https://{host}/{path}",
    status: 301,
  });
  deepEqual(action({ respond: {} }), {
    kind: "respond",
    status: 200,
    body: "",
    type: "text/plain; charset=utf-8",
  });
  deepEqual(action({ respond: { status: 410 } }), { kind: "page", status: 410 }, "an error page");
  deepEqual(action({ respond: { status: 410, body: "" } }).kind, "respond", "no page where a body is given");
  deepEqual(action({ respond: { status: 399 } }).kind, "respond", "no page where it is no error");
  deepEqual(action({ respond: { status: 503, body: "back soon", type: "text/html" } }), {
    kind: "respond",
    status: 503,
    body: "back soon",
    type: "text/html",
  });
});

test("ways to write a path", () => {
  const path = (written: unknown) => good(web({ match: { path: written }, to: "api" })).routes[0].match.path;
  deepEqual(path("/a"), { kind: "exact", text: "/a" });
  deepEqual(path({ exact: "/a/" }), { kind: "exact", text: "/a/" });
  deepEqual(path({ prefix: "/a" }), { kind: "prefix", text: "/a" });
  deepEqual(path({ pattern: "/a/{b}/{rest...}" }), { kind: "pattern", text: "/a/{b}/{rest...}" });
  deepEqual(path({ regex: "^/a[0-9]+$" }), { kind: "regex", source: "^/a[0-9]+$" });
});

test("a listener of HTTP has to, routes, or both", () => {
  equal(good(web({ match: { path: "/a" }, to: "api" }, { to: "site" })).to, "site");
  const only = good({
    listeners: { web: { bind: "http://:1", to: "api" } },
    upstreams: { api: { servers: ["a:1"] } },
  });
  deepEqual([only.to, only.routes], ["api", []]);
});

test("what a listener of HTTP has besides", () => {
  const listener = good(web({ to: "api" }, {
    trust: ["10.0.0.0/8", "::1"],
    forwarded: { forwarded: "append", via: "off", "x-real-ip": "replace" },
    "proxy-status": "all",
    timeouts: { "client-idle": "5s", "request-head": "6s", "body-stall": "7s", exchange: "8s" },
  }));
  deepEqual(listener.trust.map(({ text }) => text), ["10.0.0.0/8", "::1/128"]);
  const { forwarded, via, "x-real-ip": realIp, "x-forwarded-for": xff } = listener.forwarded;
  deepEqual([forwarded, via, realIp, xff], ["append", "off", "replace", "append"]);
  equal(listener["proxy-status"], "all");
  deepEqual(listener.timeouts, {
    "write-stall": 60_000,
    "half-closed": 60_000,
    "tunnel-idle": 3_600_000,
    "client-idle": 5_000,
    "request-head": 6_000,
    "body-stall": 7_000,
    exchange: 8_000,
    handshake: 10_000,
  });
});

test("checkConfig says what is wrong with a route, and where", () => {
  const at = "listeners/web/routes/0";
  const cases: [route: unknown, path: string, what: string, why: string][] = [
    [{}, at, "nothing becomes of the requests", "no action"],
    [{ to: "api", respond: {} }, `${at}/respond`, "contradicts to", "two actions"],
    [{ redirect: { to: "/a" }, respond: {} }, `${at}/respond`, "contradicts redirect", "two actions"],
    [{ to: "apl" }, `${at}/to`, 'listener "web" goes to upstream "apl", which does not exist', "a slip"],
    [{ to: "api", split: [] }, `${at}/split`, '"split" is not supported in this version', "known, later"],
    [{ files: {} }, `${at}/files`, '"files" is not supported in this version', "an action of later"],
    [{ to: "api", mach: {} }, `${at}/mach`, 'unknown key "mach"', "a slip"],
    [{ to: 3 }, `${at}/to`, "a number where text is expected", "no name"],
    [{ match: { hots: "a" }, to: "api" }, `${at}/match/hots`, 'unknown key "hots"', "a slip"],
    [
      { match: { host: "a:80" }, to: "api" },
      `${at}/match/host`,
      '"a:80" has a port, which is not looked at',
      "a port",
    ],
    [
      { match: { host: ["a", "b c"] }, to: "api" },
      `${at}/match/host/1`,
      '"b c" is no host',
      "which of the list",
    ],
    [{ match: { host: [] }, to: "api" }, `${at}/match/host`, "empty", "an empty list"],
    [
      { match: { path: "api" }, to: "api" },
      `${at}/match/path`,
      '"api" does not begin with a slash',
      "no slash",
    ],
    [{ match: { path: {} }, to: "api" }, `${at}/match/path`, "no path", "an empty section"],
    [
      { match: { path: { exact: "/a", prefix: "/b" } }, to: "api" },
      `${at}/match/path`,
      "several ways to compare one path",
      "which of them?",
    ],
    [
      { match: { path: { glob: "/a" } }, to: "api" },
      `${at}/match/path/glob`,
      'unknown key "glob"',
      "no such way",
    ],
    [
      { match: { method: "get" }, to: "api" },
      `${at}/match/method`,
      '"get" is not in capitals',
      "case counts",
    ],
    [
      { match: { header: { "a b": "c" } }, to: "api" },
      `${at}/match/header/a b`,
      '"a b" is no name of a field',
      "a space",
    ],
    [
      { match: { header: { "x-beta": 1 } }, to: "api" },
      `${at}/match/header/x-beta`,
      "a number where text is expected",
      "1 or 1.0?",
    ],
    [
      { match: { client: "10.0.0.1/8" }, to: "api" },
      `${at}/match/client`,
      "10.0.0.1/8 has bits behind its prefix",
      "a slip",
    ],
    [
      { redirect: { to: "/a", status: 200 } },
      `${at}/redirect/status`,
      '"200" sends nobody elsewhere',
      "no redirect",
    ],
    [{ redirect: {} }, `${at}/redirect/to`, "missing", "where to?"],
    [{ redirect: { to: "" } }, `${at}/redirect/to`, "empty", "where to?"],
    [{ respond: { status: 101 } }, `${at}/respond/status`, '"101" is too small', "not the end of anything"],
    [
      { respond: { status: 204, body: "x" } },
      `${at}/respond/body`,
      "an answer of status 204 has no body",
      "204",
    ],
    [{ respond: { body: "x".repeat(16_385) } }, `${at}/respond/body`, "a body of 16385 bytes", "too long"],
    [
      { respond: {}, rewrite: { path: "/a" } },
      `${at}/rewrite/path`,
      "changes requests that go to no server",
      "nothing is forwarded",
    ],
    [
      { respond: {}, headers: { request: { remove: "A" } } },
      `${at}/headers/request`,
      "changes requests that go to no server",
      "nothing is forwarded",
    ],
    [
      { to: "api", rewrite: { path: "/a", "strip-prefix": "/b" } },
      `${at}/rewrite/path`,
      "contradicts strip-prefix and add-prefix",
      "which of them?",
    ],
    [
      { to: "api", headers: { request: { set: { Host: "a" } } } },
      `${at}/headers/request/set/Host`,
      "the host is rewritten elsewhere",
      "rewrite.host",
    ],
    [
      { to: "api", headers: { response: { remove: ["Content-Length"] } } },
      `${at}/headers/response/remove/0`,
      '"Content-Length" belongs to a message\'s framing or its connection',
      "framing",
    ],
    [
      { to: "api", headers: { request: { remove: "via" } } },
      `${at}/headers/request/remove`,
      "Via is written by the listener",
      "loops are found by it",
    ],
    [
      { to: "api", headers: { request: { rename: { "X-Forwarded-For": "X-Client" } } } },
      `${at}/headers/request/rename/X-Forwarded-For`,
      '"X-Forwarded-For" is written anew by the listener',
      "there is nothing to be renamed",
    ],
    [
      { to: "api", headers: { response: { set: { A: "b\r\nc: d" } } } },
      `${at}/headers/response/set/A`,
      '"b\\r\\nc: d" holds a control character',
      "another field",
    ],
    [{ to: "api", "body-max": "10" }, `${at}/body-max`, '"10" has no unit', "bytes?"],
    [{ to: "api", "body-max": 1024 }, `${at}/body-max`, '"1024" has no unit', "bytes?"],
    [{ redirect: "/new" }, `${at}/redirect`, "text where a section of keys is expected", "no keys"],
    [
      { to: "api", headers: { request: { set: { "X-A": "1", "x-a": "2" } } } },
      `${at}/headers/request/set/x-a`,
      '"x-a" and "X-A" are one field',
      "which of them?",
    ],
    [
      { respond: {}, headers: { response: { rename: { "content-type": "X-Type" } } } },
      `${at}/headers/response/rename/content-type`,
      'Sluice writes "content-type" itself',
      "there is nothing to be renamed",
    ],
    [
      { redirect: { to: "/" }, headers: { response: { rename: { Location: "X-To" } } } },
      `${at}/headers/response/rename/Location`,
      'Sluice writes "Location" itself',
      "there is nothing to be renamed",
    ],
    [
      { redirect: { to: "/" }, headers: { response: { rename: { Date: "X-Date" } } } },
      `${at}/headers/response/rename/Date`,
      'Sluice writes "Date" itself',
      "there is nothing to be renamed",
    ],
    [{ redirect: { to: "/a#b#c" } }, `${at}/redirect/to`, '"/a#b#c" has two fragments', "one is legal"],
  ];
  for (const [route, path, what, why] of cases) {
    const { config, findings } = checkConfig(web(route), ROOT);
    equal(config, undefined, why);
    deepEqual(findings.map((finding) => [finding.path.join("/"), finding.what]), [[path, what]], why);
    ok(findings.every(({ remedy }) => remedy !== ""), why);
  }
});

test("remedies are what somebody meant", () => {
  const cases: [route: unknown, want: string][] = [
    [{ to: "api", "body-max": 1024 }, "write 1024B or 1KiB"],
    [{ to: "api", "body-max": "0" }, "write a value from 1B to 1024TiB"],
    [{ redirect: "/new" }, "write { to: /new }"],
    [{ redirect: "/new/{rest}" }, 'write { to: "/new/{rest}" }'],
    [{ redirect: 301 }, 'write { to: "/new/{rest}" }'],
    [{ respond: "pong" }, "write { body: pong }"],
    [{ respond: "a, b" }, 'write { body: "a, b" }'],
    [{ respond: 404 }, "write { status: 404 }"],
    [{ to: "api", match: { header: { "x-beta": 1 } } }, 'write "1", in quotes'],
    [{ to: "api", headers: { request: { set: { "X-A": 1 } } } }, 'write "1", in quotes'],
    [
      { to: "api", headers: { request: { set: { "X-A": { "client-ip": null } } } } },
      'write "{client-ip}", in quotes',
    ],
    [{ to: "api", match: { path: "/a b" } }, "write /a%20b"],
    [
      { respond: {}, headers: { response: { rename: { Date: "X-Date" } } } },
      "set it, or remove it",
    ],
  ];
  for (const [route, want] of cases) {
    deepEqual(checkConfig(web(route), ROOT).findings.map(({ remedy }) => remedy), [want]);
  }
});

test("a redirect may lead to a fragment", () => {
  for (const to of ["/x#frag", "https://shop.example#top", "/x?{query}#{path}", "/{rest}#{rest}"]) {
    deepEqual(good(web({ match: { path: "/a/" }, redirect: { to } })).routes[0].action, {
      kind: "redirect",
      to,
      status: 308,
    });
  }
});

test("a server's answer may have its fields renamed", () => {
  good(web({ to: "api", headers: { response: { rename: { Date: "X-Date", "Content-Type": "X-Type" } } } }));
});

test("what is odd about a route but possible is a warning", () => {
  const at = "listeners/web/routes/0",
    path = (path: unknown, strip: string) => ({
      match: path === undefined ? { method: "GET" } : { path },
      rewrite: { "strip-prefix": strip },
      to: "api",
    });
  const cases: [route: unknown, path: string, why: string][] = [
    [{ match: { path: "/star/*" }, to: "api" }, `${at}/match/path`, "a star is no wildcard"],
    [{ match: { path: { prefix: "/star/*" } }, to: "api" }, `${at}/match/path/prefix`, "in a prefix"],
    [{ match: { path: { exact: "/star/*" } }, to: "api" }, "", "exact is what it says"],
    [{ match: { path: "/star*" }, to: "api" }, "", "part of a segment"],
    [path("/api/", "/app"), `${at}/rewrite/strip-prefix`, "another path"],
    [path("/api/", "/ap"), `${at}/rewrite/strip-prefix`, "not at a whole segment"],
    [path("/api/", "/api/"), "", "the same"],
    [path({ prefix: "/api" }, "/api"), "", "the same without a slash"],
    [path("/api/v1/", "/api"), "", "a part of it"],
    [path("/api/", "/api/v1"), "", "some paths begin so"],
    [path("/caf%C3%A9/", "/caf\u00e9"), "", "spelled otherwise"],
    [path("/api", "/api"), "", "the whole path"],
    [path("/api", "/api/v1"), `${at}/rewrite/strip-prefix`, "longer than the one path"],
    [path("/users/{id}", "/users"), "", "before a named part"],
    [path("/users/{id}", "/users/1"), "", "a named part may be so"],
    [path("/users/{id}", "/groups"), `${at}/rewrite/strip-prefix`, "another path"],
    [path("/", "/api"), "", "any path"],
    [path({ regex: "^/x" }, "/api"), "", "nobody knows what an expression takes"],
    [path(undefined, "/api"), "", "any path"],
    [
      { to: "api", headers: { request: { set: { "X-A": "1" }, remove: "x-a" } } },
      `${at}/headers/request/remove`,
      "to set is to remove",
    ],
    [
      { to: "api", headers: { response: { set: { "X-A": "1" }, remove: ["B", "x-a"] } } },
      `${at}/headers/response/remove/1`,
      "to set is to remove",
    ],
    [{ to: "api", headers: { request: { add: { "X-A": "1" }, remove: "x-a" } } }, "", "that is another"],
  ];
  for (const [route, want, why] of cases) {
    const { config, findings } = checkConfig(web(route), ROOT);
    ok(config, why);
    deepEqual(
      findings.map(({ path, severity }) => [path.join("/"), severity]),
      want === "" ? [] : [[want, "warning"]],
      why,
    );
  }
});

test("patterns and templates are read before anything starts", () => {
  const told = (route: unknown) => checkConfig(web(route), ROOT).findings.map(({ path }) => path.join("/"));
  deepEqual(told({ match: { path: "/{a}/{a}" }, to: "api" }), ["listeners/web/routes/0/match/path"]);
  deepEqual(told({ redirect: { to: "/{nobody}" } }), ["listeners/web/routes/0/redirect/to"]);
  deepEqual(told({ to: "api", rewrite: { path: "/{rest" } }), ["listeners/web/routes/0/rewrite/path"]);
  deepEqual(told({ to: "api", headers: { request: { set: { A: "{nobody}" } } } }), [
    "listeners/web/routes/0/headers/request/set/A",
  ]);
});

test("a route that no request reaches is a warning", () => {
  const raw = web({ match: { path: "/a" }, to: "api" });
  const listener = (raw.listeners as { web: { routes: unknown[] } }).web;
  listener.routes.push({ match: { path: "/a" }, to: "site" }, {
    match: { path: "/a", method: "GET" },
    to: "site",
  });
  const { config, findings } = checkConfig(raw, ROOT);
  ok(config);
  deepEqual(findings.map(({ path, severity, what }) => [path.join("/"), severity, what]), [[
    "listeners/web/routes/1",
    "warning",
    "no request comes here: listeners.web.routes[0] takes the same ones before",
  ]]);
});

test("ten thousand routes are checked in a moment", () => {
  const routes = Array.from({ length: 10_000 }, (_, at) => ({ match: { path: `/r${at}/` }, to: "api" }));
  const from = performance.now();
  equal(good(web({ to: "site" }, { routes })).routes.length, 10_000);
  ok(performance.now() - from < 10_000, `${performance.now() - from} ms`);
});
