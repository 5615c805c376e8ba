// What holds between the keys of TLS: each row is a small configuration, and what is said of it. The words as a
// file's reader sees them are in broken/.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { checkConfig } from "../../../src/control/config/check.ts";
import { acmeNames, endsTls } from "../../../src/control/config/tls_checks.ts";
import { Certificates } from "../../support/certificates.ts";
import { diskOf } from "./files.ts";

const all = new Certificates();
after(() => all[Symbol.dispose]());
const read = (path: string) => readFileSync(path);
const leaf = all.leaf("shop.example", "*.shop.example");
const disk = diskOf({ "c.pem": read(leaf.chain), "k.pem": read(leaf.key), "ca.pem": read(all.root.cert) });
const tls = { certificates: [{ cert: "c.pem", key: "k.pem" }] };
const https = { bind: "https://:443", to: "api", tls };
const route = (host: unknown) => ({ match: { host }, to: "api" });

type Raw = Record<string, unknown>;

function check(listeners: Raw, upstreams: Raw = {}, more: Raw = {}) {
  const raw = { listeners, upstreams: { api: { servers: ["10.0.0.1:80"] }, ...upstreams }, ...more };
  const { config, findings } = checkConfig(raw, { env: {}, uid: 0, disk });
  const told = findings.filter(({ what }) => !what.startsWith("no listener leads to upstream"))
    .map(({ path, severity, what, remedy }) => {
      ok(remedy !== "");
      return `${severity === "error" ? "" : "warning "}${path.join("/")}: ${what}`;
    });
  return { config, told };
}

/** Listeners, and what is said; each is an error if it does not begin with "warning". */
const cases: [why: string, listeners: Raw, want: string[], upstreams?: Raw][] = [
  ["a certificate is enough", { a: https }, []],
  ["several binds, one with TLS", { a: { ...https, bind: ["http://:80", "https://:443"] } }, []],
  ["TLS without a certificate", { a: { bind: "https://:443", to: "api" } }, [
    'listeners/a/bind: "https://:443" has no certificate',
  ]],
  ["a section without one", { a: { ...https, tls: { policy: "modern" } } }, [
    "listeners/a/tls: no certificate",
  ]],
  ["a certificate without TLS", { a: { ...https, bind: "http://:80" } }, [
    "listeners/a/tls: nothing here has TLS to be ended",
  ]],
  ["TLS that goes on as it came", { a: { bind: "tcp://:1", sni: { "x.example": "api" }, tls } }, [
    "listeners/a/tls: nothing here has TLS to be ended",
  ]],
  ["a deadline of nothing", { a: { bind: "tcp://:1", to: "api", timeouts: { handshake: "1s" } } }, [
    "listeners/a/timeouts/handshake: nothing here has TLS",
  ]],
  ["ALPN of HTTP", { a: { ...https, tls: { ...tls, alpn: ["h2"] } } }, [
    "listeners/a/tls/alpn: https:// offers the protocols of HTTP itself",
  ]],
  ["clients without authorities", { a: { ...https, tls: { ...tls, client: { mode: "ask" } } } }, [
    "listeners/a/tls/client/ca: nobody's certificates would be taken",
  ]],
  ["authorities without clients", { a: { ...https, tls: { ...tls, client: { ca: "ca.pem" } } } }, [
    "listeners/a/tls/client/ca: no client is asked for a certificate",
  ]],
  ["sni beside to", { a: { bind: "tcp://:1", to: "api", sni: { "x.example": "api" } } }, [
    "listeners/a/to: contradicts sni, which says where connections go",
  ]],
  ["sni of HTTP", { a: { bind: "http://:1", to: "api", sni: { "x.example": "api" } } }, [
    "listeners/a/sni: only tcp:// has it",
  ]],
  ["sni behind the end of TLS", { a: { bind: "tls://:1", sni: { default: { terminate: "api" } }, tls } }, [
    "listeners/a/sni: sni looks at the name before TLS begins, and tls:// ends TLS for all names",
  ]],
  ["sni to nobody", { a: { bind: "tcp://:1", sni: { "x.example": "nobody" } } }, [
    'listeners/a/sni/x.example: listener "a" goes to upstream "nobody", which does not exist',
  ]],
  ["sni without a certificate", { a: { bind: "tcp://:1", sni: { "x.example": { terminate: "api" } } } }, [
    'listeners/a/sni/x.example: TLS of "x.example" has no certificate',
  ]],
  ["acme without a name", { a: { ...https, tls: { acme: {} } } }, [
    "listeners/a/tls/acme: no certificate could be asked for: no route has a host",
  ]],
  ["acme without a name, but certificates", { a: { ...https, tls: { ...tls, acme: {} } } }, [
    "listeners/a/tls/acme: no certificate could be asked for: no route has a host",
  ]],
  ["acme on demand needs none", {
    a: { ...https, tls: { acme: { "on-demand": { allow: "http://127.0.0.1:1" } } } },
  }, []],
  ["acme for what sni ends", {
    a: { bind: "tcp://:1", sni: { "shop.example": { terminate: "api" } }, tls: { acme: {} } },
  }, []],
  ["acme of a star", { a: { bind: "https://:443", routes: [route("*.pay.example")], tls: { acme: {} } } }, [
    'listeners/a/routes/0/match/host: no certificate for "*.pay.example" can be issued: that needs dns-01, which ' +
    "is not supported in this version",
  ]],
  ["acme of a star that has a certificate", {
    a: { bind: "https://:443", routes: [route(["*.shop.example", "b.example"])], tls: { ...tls, acme: {} } },
  }, []],
  ["a name that nobody vouches for", {
    a: { bind: "https://:443", routes: [route("db.internal")], tls: { acme: {} } },
  }, [
    'warning listeners/a/tls/acme/directory: "db.internal" is a name that no public authority gives certificates for',
  ]],
  ["one's own authority does", {
    a: {
      bind: "https://:443",
      routes: [route("db.internal")],
      tls: { acme: { directory: "https://ca.internal/dir" } },
    },
  }, []],
  ["http-01 without http://", {
    a: { bind: "https://:443", routes: [route("b.example")], tls: { acme: { challenges: ["http-01"] } } },
  }, ["listeners/a/tls/acme/challenges: http-01 is answered on http://, where nothing listens"]],
  ["a challenge twice", {
    a: {
      bind: "https://:443",
      routes: [route("b.example")],
      tls: { acme: { challenges: ["tls-alpn-01", "tls-alpn-01"] } },
    },
  }, ["warning listeners/a/tls/acme/challenges: one of them is given twice"]],
  ["a star on demand", {
    a: {
      bind: "https://:443",
      routes: [route("*.pay.example")],
      tls: { acme: { "on-demand": { allow: "http://127.0.0.1:1" } } },
    },
  }, []],
  ["http-01 of another listener", {
    a: { bind: "https://:443", routes: [route("b.example")], tls: { acme: { challenges: ["http-01"] } } },
    b: { bind: "http://:80", to: "api" },
  }, []],
  ["two accounts", {
    a: { bind: "https://:443", routes: [route("b.example")], tls: { acme: { email: "a@b.example" } } },
    b: { bind: "https://:444", routes: [route("c.example")], tls: { acme: { email: "b@b.example" } } },
  }, ['listeners/b/tls/acme/email: "email" differs from that of listener "a", and both share one account']],
  ["two listeners of one account", {
    a: { bind: "https://:443", routes: [route("b.example")], tls: { acme: { email: "a@b.example" } } },
    b: { bind: "https://:444", routes: [route("c.example")], tls: { acme: { email: "a@b.example" } } },
  }, []],
  ["a name that nobody issues for", {
    a: { bind: "https://:443", routes: [route("a_b.example")], tls: { acme: {} } },
  }, [
    'listeners/a/routes/0/match/host: no certificate for "a_b.example" can be issued: authorities take letters, ' +
    "digits and hyphens",
  ]],
  ["a redirect without http://", { a: { ...https, "redirect-to-https": true } }, [
    "listeners/a/redirect-to-https: nothing comes over http:// here",
  ]],
  ["a redirect to nowhere", { a: { bind: "http://:80", "redirect-to-https": true } }, [
    "listeners/a/redirect-to-https: nothing listens on https://",
  ]],
  ["a redirect to another listener", { a: { bind: "http://:80", "redirect-to-https": true }, b: https }, []],
  [
    "a redirect that takes all",
    { a: { bind: "http://:80", "redirect-to-https": true, to: "api" }, b: https },
    [
      "listeners/a/to: no request comes here: redirect-to-https takes all of them before",
    ],
  ],
  ["a redirect beside https://", {
    a: { ...https, bind: ["http://:80", "https://:443"], "redirect-to-https": true },
  }, []],
  ["hsts without https://", { a: { bind: "http://:80", to: "api", hsts: {} } }, [
    "listeners/a/hsts: only https:// has it",
  ]],
  ["hsts that no browser builds in", { a: { ...https, hsts: { preload: true } } }, [
    "warning listeners/a/hsts/preload: no browser builds it in like that",
  ]],
  ["hsts that browsers build in", { a: { ...https, hsts: { preload: true, subdomains: true } } }, []],
  ["two protocols", { a: { ...https, bind: ["https://:443", "tls://:444"] } }, [
    "listeners/a/bind: tls:// and https:// in one listener",
  ]],
  ["one port for both", { a: { ...https, bind: ["https://:443", "http://:443"] } }, [
    'listeners/a/bind/1: listener "a" listens on "[::]:443" twice',
  ]],
  ["a server without TLS in an upstream with it", { a: https }, [
    'upstreams/api/servers/0: "http://b.example" is without TLS, and the upstream has tls',
  ], { api: { servers: ["http://b.example"], tls: {} } }],
  ["a unix socket without a name", { a: https }, [
    'upstreams/api/servers/1: "unix:/run/a.sock" has no name that a certificate could have',
  ], { api: { servers: ["b.example:443", "unix:/run/a.sock"], tls: {} } }],
  ["a unix socket with a name", { a: https }, [], {
    api: { servers: ["unix:/run/a.sock"], tls: { "server-name": "b.example" } },
  }],
  ["nothing is verified", { a: https }, [
    "upstreams/api/tls/ca: nothing is verified",
    "warning upstreams/api/tls/verify: whoever answers is taken for the server, and reads and changes what is sent",
  ], { api: { servers: ["https://b.example"], tls: { verify: "off", ca: "ca.pem" } } }],
  ["tls:// for HTTP", { a: https }, [
    'upstreams/api/servers/0: "tls://b.example:443" is for TCP, and listener "a" is for http://',
  ], { api: { servers: ["tls://b.example:443"] } }],
  ["https:// for TCP", { a: { bind: "tcp://:1", to: "api" } }, [
    'upstreams/api/servers/0: "https://b.example" is for HTTP, and listener "a" is for tcp://',
  ], { api: { servers: ["https://b.example"] } }],
  ["the same server with and without TLS", { a: https }, [], {
    api: { servers: ["https://b.example:8443", "http://b.example:8443"] },
  }],
  ["the same server twice", { a: https }, [
    'warning upstreams/api/servers/1: "b.example:443" is given twice and gets twice the share',
  ], { api: { servers: ["https://b.example", "https://b.example:443"] } }],
];

describe("checkTls", () => {
  for (const [why, listeners, want, upstreams] of cases) {
    it(why, () => {
      const { config, told } = check(listeners, upstreams);
      deepEqual(told, want);
      equal(config === undefined, want.some((line) => !line.startsWith("warning ")));
    });
  }

  it("refuses ticket keys where there are no tickets", () => {
    const { told } = check({ a: { bind: "http://:1", to: "api" } }, {}, { "tls-ticket-keys": "ca.pem" });
    deepEqual(told[0], "tls-ticket-keys: no listener has TLS");
  });

  it("finds a circle of TLS that goes on as it came, and none behind its end", () => {
    const self = { api: { servers: ["127.0.0.1:443"] } };
    const { told } = check({ a: { bind: "tcp://:443", sni: { "x.example": "api" } } }, self);
    ok(told[0]?.startsWith('upstreams/api/servers/0: "127.0.0.1:443" is listener "a" itself'), told[0]);
    const ended = { bind: "tcp://:443", sni: { "shop.example": { terminate: "api" } }, tls };
    deepEqual(check({ a: ended }, self).told, []);
  });

  it("knows upstreams that only sni leads to", () => {
    const raw = {
      listeners: { a: { bind: "tcp://:443", sni: { "x.example": "one", default: "two" } } },
      upstreams: { one: { servers: ["10.0.0.1:443"] }, two: { servers: ["10.0.0.2:443"] } },
    };
    deepEqual(checkConfig(raw, { env: {}, uid: 0, disk }).findings, []);
  });
});

describe("acmeNames", () => {
  it("are the hosts of routes, and the names that sni ends TLS for", () => {
    const web = check({
      a: {
        bind: "https://:443",
        routes: [
          route(["b.example", "*.shop.example", "10.0.0.1"]),
          { match: { path: "/" }, to: "api" },
          route("B.example"),
        ],
        tls: { ...tls, acme: {} },
      },
      b: {
        bind: "tcp://:8443",
        sni: { "c.example": { terminate: "api" }, "d.example": "api", default: { terminate: "api" } },
        tls: { acme: {} },
      },
      c: { bind: "tcp://:9443", sni: { "d.example": "api" } },
    }).config?.listeners;
    ok(web);
    deepEqual(acmeNames(web.a), ["b.example"]);
    deepEqual(acmeNames(web.a, [{ names: ["*.a.example"] }]), ["b.example"]);
    deepEqual(acmeNames(web.a, [{ names: ["*.a.example"] }, { names: ["*.example"] }]), []);
    deepEqual(acmeNames(web.b), ["c.example"]);
    deepEqual([web.a, web.b, web.c].map(endsTls), [true, true, false]);
  });
});
