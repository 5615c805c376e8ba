// What HTTP does differently behind TLS: what servers are told, where plain requests are sent, what browsers are
// told, for whom a connection is good, and what becomes of a client's certificate.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates, type Made } from "../support/certificates.ts";
import { command, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { type AnswerTo, HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { type Head, HttpPeer, type Message, statusOf, valuesOf } from "../support/http_peer.ts";
import { connectSecurely, type Secured } from "../support/https_peer.ts";
import { TlsEnd } from "../support/tls_end.ts";

const world = new Certificates();
after(() => world[Symbol.dispose]());
const shop = world.leaf("shop.example", "www.shop.example", "*.sub.example");
const other = world.leaf("other.example");

/** In the order of their binds. */
interface Ports {
  readonly plain: number;
  readonly secure: number;
}

class Site {
  readonly sluice: Sluice;
  readonly origin: HttpOrigin;
  readonly #clients: HttpPeer[] = [];

  constructor(sluice: Sluice, origin: HttpOrigin) {
    this.sluice = sluice;
    this.origin = origin;
  }

  get ports(): Ports {
    return { plain: this.sluice.port(0), secure: this.sluice.port(1) };
  }

  async plain(): Promise<HttpPeer> {
    return this.#kept(await HttpPeer.connect(this.ports.plain));
  }

  async secure(given: Partial<Secured> = {}): Promise<HttpPeer> {
    return this.#kept(await connectSecurely(this.ports.secure, { name: "shop.example", world, ...given }));
  }

  #kept(client: HttpPeer): HttpPeer {
    this.#clients.push(client);
    return client;
  }

  /** The request that its server got last. */
  get got(): Head {
    return this.origin.requests.at(-1)!.head;
  }

  async finish(): Promise<void> {
    for (const client of this.#clients) client[Symbol.dispose]();
    await this.origin[Symbol.asyncDispose]();
    await this.sluice.finish();
  }
}

/** Runs a test with a listener on http:// and https://, with further keys as JSON has them. */
async function withSite(
  listener: object,
  test: (site: Site) => Promise<void>,
  { tls = {}, answer = () => answerOk("body"), listeners = {}, upstreams = {}, timeouts = {} }: {
    readonly tls?: object;
    readonly answer?: AnswerTo;
    readonly listeners?: object;
    readonly upstreams?: object;
    readonly timeouts?: object;
  } = {},
): Promise<void> {
  using folder = new Folder();
  await using origin = await HttpOrigin.listen(answer);
  const certificates = [shop, other].map(({ cert, key }) => ({ cert, key }));
  const config = {
    reactors: 1,
    defaults: { timeouts },
    listeners: {
      web: {
        bind: ["http://127.0.0.1:0", "https://127.0.0.1:0"],
        tls: { certificates, ...tls },
        to: "app",
        ...listener,
      },
      ...listeners,
    },
    upstreams: { app: { servers: [origin.address], health: "off" }, ...upstreams },
  };
  writeFileSync(folder.at("sluice.yaml"), JSON.stringify(config));
  const run = [...command("executable"), "run", "-c", folder.at("sluice.yaml")];
  using sluice = await Sluice.start([], { command: run });
  const site = new Site(sluice, origin);
  try {
    await test(site);
    await site.finish();
  } catch (error) {
    throw new Error(`${(error as Error).message}; its log:\n${sluice.stderr.slice(-4_000)}`, {
      cause: error,
    });
  }
}

function get(path = "/", host = "shop.example", lines: readonly string[] = [], method = "GET"): string {
  return [`${method} ${path} HTTP/1.1`, `Host: ${host}`, ...lines, "", ""].join("\r\n");
}

function field(head: Head, name: string): string | undefined {
  const values = valuesOf(head, name);
  ok(values.length < 2, `${name}: ${values.join(" and ")}`);
  return values[0];
}

/** The connection ends with it, so that no test leaves one in the middle of something. */
const LAST = ["Connection: close"];

describe("what servers are told", () => {
  it("is https and the port of https://, where the client came so", async () => {
    await withSite({ forwarded: { forwarded: "append" } }, async (site) => {
      const { plain, secure } = site.ports;
      for (
        const [client, scheme, port] of [
          [await site.plain(), "http", plain],
          [await site.secure(), "https", secure],
          [await site.secure({ version: "TLSv1.2" }), "https", secure],
        ] as const
      ) {
        await client.ask(get("/", "shop.example", ["X-Forwarded-Proto: gopher"]));
        strictEqual(field(site.got, "x-forwarded-proto"), scheme);
        strictEqual(field(site.got, "x-forwarded-port"), String(port));
        strictEqual(field(site.got, "forwarded"), `for=127.0.0.1;host="shop.example";proto=${scheme}`);
      }
    });
  });

  it("stays what a trusted proxy says", async () => {
    await withSite({ trust: ["127.0.0.1"] }, async (site) => {
      const client = await site.secure();
      await client.ask(get("/", "shop.example", ["X-Forwarded-Proto: http", "X-Forwarded-Port: 80"]));
      strictEqual(field(site.got, "x-forwarded-proto"), "http");
      strictEqual(field(site.got, "x-forwarded-port"), "80");
    });
  });

  it("templates know the scheme, the port and the session", async () => {
    const set = {
      "X-Scheme": "{scheme}:{port}",
      "X-Session": "{tls-version} {tls-cipher} [{tls-sni}]",
      "X-Client": "[{client-cert-subject}]",
    };
    const routes = [
      { match: { path: "/go/" }, redirect: { to: "{scheme}://{host}:{port}/{rest}" } },
      { match: { path: "/sni" }, redirect: { to: "/at/{tls-sni}?v={tls-version}" } },
      { headers: { request: { set }, response: { set: { "X-Over": "{tls-version}" } } }, to: "app" },
    ];
    await withSite({ to: undefined, routes }, async (site) => {
      const plain = await site.plain(), secure = await site.secure(), { ports } = site;
      const old = await site.secure({ name: "", world: undefined, version: "TLSv1.2" });
      await plain.ask(get());
      strictEqual(field(site.got, "x-scheme"), `http:${ports.plain}`);
      strictEqual(field(site.got, "x-session"), "[]", "blanks at either end are no part of a value");
      const { head } = await secure.ask(get());
      strictEqual(field(site.got, "x-scheme"), `https:${ports.secure}`);
      match(field(site.got, "x-session")!, /^TLSv1\.3 TLS_[A-Z0-9_]+ \[shop\.example\]$/);
      strictEqual(field(site.got, "x-client"), "[]");
      strictEqual(field(head, "x-over"), "TLSv1.3");
      await old.ask(get());
      match(field(site.got, "x-session")!, /^TLSv1\.2 ECDHE-[A-Z0-9-]+ \[\]$/);
      for (
        const [client, scheme, port] of [[plain, "http", ports.plain], [
          secure,
          "https",
          ports.secure,
        ]] as const
      ) {
        const moved = await client.ask(get("/go/a?b"));
        strictEqual(field(moved.head, "location"), `${scheme}://shop.example:${port}/a`);
      }
      const named = await secure.ask(get("/sni"));
      strictEqual(field(named.head, "location"), "/at/shop.example?v=TLSv1.3");
      strictEqual(field((await plain.ask(get("/sni"))).head, "location"), "/at/?v=");
    });
  });
});

describe("redirect-to-https", () => {
  const SENT = { "redirect-to-https": true };

  it("sends plain requests to the port of https://, whatever they are, and serves the others", async () => {
    await withSite(SENT, async (site) => {
      const to = `https://shop.example:${site.ports.secure}`, client = await site.plain();
      for (
        const [request, location, why] of [
          [get("/a/b?c=d&e"), `${to}/a/b?c=d&e`, "as it came"],
          [get("/a%2Fb/../c//d"), `${to}/a%2Fb/../c//d`, "not decoded"],
          [get("//evil.example/"), `${to}//evil.example/`, "no other host"],
          [get("/", "shop.example:81"), `${to}/`, "another port"],
          [get("*", "shop.example", [], "OPTIONS"), `${to}/`, "of the whole server"],
          [get("http://shop.example"), `${to}/`, "without a path"],
          [get("http://shop.example/x?y"), `${to}/x?y`, "with its host in its target"],
          [get("/", "[::1]"), `https://[::1]:${site.ports.secure}/`, "an address"],
          [get("/b", "shop.example", ["Content-Length: 3"], "POST") + "abc", `${to}/b`, "with a body"],
        ] as const
      ) {
        const { head, body } = await client.ask(request);
        deepStrictEqual([statusOf(head), field(head, "location")], [308, location], why);
        strictEqual(body.length, 0);
        strictEqual(field(head, "content-length"), "0");
      }
      strictEqual(site.origin.requests.length, 0);
      const { body } = await (await site.secure()).ask(get());
      strictEqual(body.toString(), "body");
      strictEqual(site.origin.requests.length, 1);
      const head = (await client.ask(get("/", "shop.example", [], "HEAD"), "HEAD")).head;
      strictEqual(statusOf(head), 308);
    });
  });

  it("serves whom a trusted proxy has had by https:// already, and believes nobody else", async () => {
    const said = (...values: string[]) =>
      get("/", "shop.example", values.map((value) => `X-Forwarded-Proto: ${value}`));
    const cases: [values: string[], status: number, why: string][] = [
      [["https"], 200, "it would come back by this way without end"],
      [["HTTPS"], 200, "a scheme has no case"],
      [["http"], 308, "the proxy has no TLS either"],
      [["https, http"], 308, "by way of somebody without"],
      [["https", "https"], 308, "said twice: by two of them"],
      [[""], 308, "not said"],
    ];
    await withSite({ ...SENT, trust: ["127.0.0.1"] }, async (site) => {
      const proxy = await site.plain();
      for (const [values, status, why] of cases) {
        strictEqual(statusOf((await proxy.ask(said(...values))).head), status, why);
      }
      strictEqual(field(site.got, "x-forwarded-proto"), "HTTPS");
      using alone = await HttpPeer.connect(site.sluice.port(2));
      strictEqual(statusOf((await alone.ask(said("https"))).head), 308, "there is nowhere else to go");
      alone.end();
      await alone.ending();
    }, { listeners: { alone: { bind: "http://127.0.0.1:0", trust: ["127.0.0.1"], ...SENT } } });
    await withSite(SENT, async (site) => {
      strictEqual(statusOf((await (await site.plain()).ask(said("https"))).head), 308, "nobody is trusted");
    });
  });

  it("says 400 to who does not say whom it wants", async () => {
    await withSite(SENT, async (site) => {
      strictEqual(statusOf((await (await site.plain()).ask("GET / HTTP/1.0\r\n\r\n")).head), 400);
      strictEqual(statusOf((await (await site.plain()).ask(get("/", "", LAST))).head), 400);
      const records = await site.sluice.ended(2) as unknown as { reason: string; status: number }[];
      deepStrictEqual(
        records.map(({ reason, status }) => [reason, status]),
        Array(2).fill(["bad_request", 400]),
      );
    });
  });

  it("finds https:// at another listener, if it has none itself", async () => {
    const alone = { bind: "http://127.0.0.1:0", "redirect-to-https": true };
    await withSite({}, async (site) => {
      using client = await HttpPeer.connect(site.sluice.port(2));
      const { head } = await client.ask(get("/x", "a.example", LAST));
      deepStrictEqual([statusOf(head), field(head, "location")], [
        308,
        `https://a.example:${site.ports.secure}/x`,
      ]);
    }, { listeners: { alone } });
  });
});

describe("hsts", () => {
  const HSTS = { hsts: { "max-age": "365d", subdomains: true, preload: true } };
  const LINE = "max-age=31536000; includeSubDomains; preload";
  const transport = ({ head }: Message) => valuesOf(head, "strict-transport-security");

  it("is said over TLS alone, on whatever is said", async () => {
    const routes = [
      { match: { path: "/to" }, redirect: { to: "/x" } },
      { match: { path: "/fixed" }, respond: { body: "x" } },
      { match: { path: "/page" }, respond: { status: 403 } },
      { match: { host: "shop.example", path: "/app" }, to: "app" },
    ];
    await withSite({ ...HSTS, to: undefined, routes }, async (site) => {
      const secure = await site.secure(), plain = await site.plain();
      for (const path of ["/to", "/fixed", "/page", "/app", "/none"]) {
        deepStrictEqual(transport(await secure.ask(get(path))), [LINE], path);
        deepStrictEqual(transport(await plain.ask(get(path))), [], `${path}, plain`);
      }
      // A last hop, and what is no request.
      const options = get("*", "shop.example", ["Max-Forwards: 0"], "OPTIONS");
      deepStrictEqual(transport(await secure.ask(options)), [LINE]);
      const broken = await secure.ask("G@T / HTTP/1.1\r\n\r\n");
      deepStrictEqual([statusOf(broken.head), transport(broken)], [400, [LINE]]);
      // Plain HTTP on the port of https://.
      using lost = await HttpPeer.connect(site.ports.secure);
      const told = await lost.ask(get());
      deepStrictEqual([statusOf(told.head), transport(told)], [400, []]);
    });
  });

  it("leaves what the server says, and what the route does", async () => {
    const said: Record<string, string[]> = {
      "/own": ["strict-transport-security: max-age=0"],
      "/named": ["Strict-Transport-Security: max-age=1", "Connection: Strict-Transport-Security"],
      "/removed": ["Strict-Transport-Security: max-age=1"],
    };
    const edit = (path: string, response: object) => ({ match: { path }, headers: { response }, to: "app" });
    const routes = [
      edit("/set", { set: { "Strict-Transport-Security": "max-age=2" } }),
      edit("/add", { add: { "strict-transport-security": "max-age=3" } }),
      edit("/removed", { remove: ["Strict-Transport-Security"] }),
      {
        match: { path: "/fixed" },
        headers: { response: { set: { "Strict-Transport-Security": "max-age=4" } } },
        respond: { body: "x" },
      },
    ];
    await withSite({ ...HSTS, routes }, async (site) => {
      const client = await site.secure();
      for (
        const [path, want, why] of [
          ["/own", ["max-age=0"], "the server takes it back"],
          ["/named", [LINE], "what is not passed on is not said"],
          ["/removed", [], "the route wants none"],
          ["/set", ["max-age=2"], "the route's own"],
          ["/add", ["max-age=3"], "the route's own"],
          ["/fixed", ["max-age=4"], "the route's own"],
          ["/", [LINE], "nobody says anything"],
        ] as const
      ) {
        deepStrictEqual(transport(await client.ask(get(path))), want, why);
      }
    }, { answer: ({ head }) => answerOk("", said[head.line.split(" ")[1]]) });
  });

  it("with a max-age of nothing takes it back; interim answers do without", async () => {
    const answer: AnswerTo = () => `HTTP/1.1 103 Early Hints\r\n\r\n${answerOk()}`;
    await withSite({ hsts: { "max-age": "0s" } }, async (site) => {
      const client = await site.secure();
      const interim = await client.ask(get());
      deepStrictEqual([statusOf(interim.head), transport(interim)], [103, []]);
      deepStrictEqual(transport(await client.readAnswer()), ["max-age=0"]);
    }, { answer });
  });
});

describe("a connection is good for its certificate's names", () => {
  it("others are misdirected, and may try again elsewhere", async () => {
    await withSite({ hsts: {} }, async (site) => {
      const client = await site.secure();
      for (
        const [host, status, why] of [
          ["shop.example", 200, "the name that was asked for"],
          ["SHOP.example.:4711", 200, "however it is written"],
          ["www.shop.example", 200, "another name of the same certificate"],
          ["a.sub.example", 200, "by its wildcard"],
          ["other.example", 421, "a certificate that another connection would have"],
          ["OTHER.example.:1", 421, "however it is written"],
          ["app.internal", 200, "none here is for it: a proxy asks by the name that it has for us"],
          ["a.b.sub.example", 200, "nor for this: a wildcard is one label"],
          ["127.0.0.1", 200, "an address"],
          ["[::1]", 200, "an address"],
          ["hop.example", 200, "a part of a name"],
          ["shop.example", 200, "the connection goes on"],
        ] as const
      ) {
        const before = site.origin.requests.length, { head } = await client.ask(get("/", host));
        strictEqual(statusOf(head), status, `${host}: ${why}`);
        strictEqual(site.origin.requests.length - before, status === 200 ? 1 : 0);
      }
      const records = await site.sluice.ended(12) as unknown as { reason: string }[];
      strictEqual(records.filter(({ reason }) => reason === "misdirected").length, 2);
    });
  });

  it("the same when its session is resumed", async () => {
    await withSite({}, async (site) => {
      for (const version of ["1.2", "1.3"]) {
        const words = ["--name", "shop.example", "--version", version, "--resume"];
        using end = await TlsEnd.client(site.ports.secure, ...words);
        for (const resumed of ["0", "1"]) {
          const client = await HttpPeer.connect(end.port);
          strictEqual(statusOf((await client.ask(get("/", "other.example"))).head), 421, version);
          strictEqual(statusOf((await client.ask(get("/", "shop.example"))).head), 200, version);
          client.end();
          await client.ending();
          strictEqual((await end.handshakes(Number(resumed) + 1)).at(-1)!.resumed, resumed);
        }
      }
      const lines = await site.sluice.ended(8) as unknown as { sni: string }[];
      deepStrictEqual(lines.map(({ sni }) => sni), Array(8).fill("shop.example"));
    });
  });

  it("and for any, if none was asked for; over plain HTTP as well", async () => {
    await withSite({}, async (site) => {
      for (const client of [await site.secure({ name: "", world: undefined }), await site.plain()]) {
        for (const host of ["other.example", "nobody.example", ""]) {
          strictEqual(statusOf((await client.ask(get("/", host))).head), 200, host);
        }
      }
      const named = await site.secure();
      strictEqual(statusOf((await named.ask("GET / HTTP/1.0\r\n\r\n")).head), 200, "who names no host");
    });
  });

  it("a name that no certificate is for is good for itself and the first one's", async () => {
    await withSite({}, async (site) => {
      const client = await site.secure({ name: "nobody.example", world: undefined });
      for (
        const [host, status] of [["nobody.example", 200], ["shop.example", 200], [
          "other.example",
          421,
        ]] as const
      ) {
        strictEqual(statusOf((await client.ask(get("/", host))).head), status, host);
      }
    });
  });
});

describe("certificates of clients", () => {
  const user = world.client('Alice, "the" caf\u00e9');
  const spoofed = [
    "Client-Cert: :AAAA:",
    "client_cert: :AAAA:",
    "Client-Cert-Chain: :AAAA:",
    "X-Client-Cert-Subject: CN=root",
    "X_CLIENT-Cert_Subject: CN=root",
    "x-client-cert-fingerprint: 00",
    "X-Client-Cert-Issuer: stays",
    "X-Client-Cert: stays",
  ];
  const about = (head: Head) => head.fields.filter(([name]) => /client.cert/i.test(name));
  const STAYS = [["x-client-cert-issuer", "stays"], ["x-client-cert", "stays"]];

  /** What a server is to be told. */
  function told({ cert }: Made, subject: string): string[][] {
    const { raw } = new X509Certificate(readFileSync(cert));
    return [
      ...STAYS,
      ["client-cert", `:${raw.toString("base64")}:`],
      ["x-client-cert-subject", subject],
      ["x-client-cert-fingerprint", createHash("sha256").update(raw).digest("hex")],
    ];
  }

  const SUBJECT = String.raw`CN=Alice\, \"the\" caf\C3\A9`;
  const client = (mode: string) => ({ client: { mode, ca: world.root.cert } });

  it("are passed on where they are asked for, and nobody else's word is", async () => {
    await withSite({}, async (site) => {
      for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
        const known = await site.secure({ shown: user, version });
        for (let turn = 0; turn < 2; turn++) {
          await known.ask(get("/", "shop.example", spoofed));
          deepStrictEqual(about(site.got), told(user, SUBJECT), version);
        }
        const unknown = await site.secure({ version });
        await unknown.ask(get("/", "shop.example", spoofed));
        deepStrictEqual(about(site.got), STAYS, `${version}, none was shown`);
      }
      const plain = await site.plain();
      await plain.ask(get("/", "shop.example", spoofed));
      deepStrictEqual(about(site.got), STAYS, "nor over plain HTTP");
    }, { tls: client("ask") });
  });

  it("trusted proxies are not believed about them", async () => {
    await withSite({ trust: ["127.0.0.1"] }, async (site) => {
      await (await site.secure({ shown: user })).ask(get("/", "shop.example", spoofed));
      deepStrictEqual(about(site.got), told(user, SUBJECT));
    }, { tls: client("require") });
  });

  it("nobody claims them at a listener beside, but a trusted proxy", async () => {
    const beside = { bind: "http://127.0.0.1:0", to: "app" };
    await withSite({}, async (site) => {
      using stranger = await HttpPeer.connect(site.sluice.port(2));
      await stranger.ask(get("/", "shop.example", [...spoofed, ...LAST]));
      deepStrictEqual(about(site.got), STAYS);
      using proxy = await HttpPeer.connect(site.sluice.port(3));
      await proxy.ask(get("/", "shop.example", [...spoofed, ...LAST]));
      strictEqual(about(site.got).length, spoofed.length);
    }, { tls: client("require"), listeners: { beside, inner: { ...beside, trust: ["127.0.0.1"] } } });
  });

  it("where no listener asks for one, these fields are left alone", async () => {
    await withSite({}, async (site) => {
      for (const peer of [await site.secure({ shown: user }), await site.plain()]) {
        await peer.ask(get("/", "shop.example", spoofed));
        strictEqual(about(site.got).length, spoofed.length);
      }
    });
  });

  it("a route says these fields itself if it wants to", async () => {
    const routes = [{
      headers: {
        request: {
          set: {
            "X-Client-Cert-Subject": "[{client-cert-subject}]",
            "X-Who": "{client-cert-issuer} {client-cert-serial}",
            "X-Print": "{client-cert-fingerprint}",
          },
          remove: ["Client-Cert"],
          rename: { "X-Client-Cert-Fingerprint": "X-Old" },
        },
      },
      to: "app",
    }, { match: { path: "/who" }, redirect: { to: "/login?who={client-cert-subject}" } }];
    await withSite({ to: undefined, routes }, async (site) => {
      const peer = await site.secure({ shown: user });
      await peer.ask(get("/", "shop.example", spoofed));
      const certificate = new X509Certificate(readFileSync(user.cert));
      const print = createHash("sha256").update(certificate.raw).digest("hex");
      deepStrictEqual(about(site.got), [
        ...STAYS,
        ["x-client-cert-fingerprint", print],
        ["x-client-cert-subject", `[${SUBJECT}]`],
      ]);
      strictEqual(field(site.got, "x-old"), undefined, "what a client wrote is not renamed either");
      strictEqual(field(site.got, "x-who"), `CN=Test Root ${certificate.serialNumber}`);
      strictEqual(field(site.got, "x-print"), print);
      const { head } = await peer.ask(get("/who"));
      strictEqual(
        field(head, "location"),
        "/login?who=CN%3DAlice%5C%2C%20%5C%22the%5C%22%20caf%C3%A9",
      );
    }, { tls: client("require") });
  });
});

describe("who does not take what is sent to it", () => {
  const LARGE_BYTES = 64 << 20; // more than sockets hold
  const impatient = {
    "body-stall": "400ms",
    "server-idle": "400ms",
    answer: "400ms",
    "write-stall": "400ms",
  };

  it("is the client, behind TLS or not: write_timeout", async () => {
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${LARGE_BYTES}\r\n\r\n`;
    const answer = (_: Message, server: HttpPeer) => {
      server.send(head + "x".repeat(LARGE_BYTES)).catch(() => {}); // Sluice leaves before it is sent
    };
    await withSite({}, async (site) => {
      for (const [nth, client] of [await site.plain(), await site.secure()].entries()) {
        await client.send(get());
        await client.readHead();
        const record = (await site.sluice.ended(nth + 1))[nth];
        strictEqual(record.reason, "write_timeout");
        client.reset();
      }
    }, { answer, timeouts: impatient });
  });

  it("is the server, behind TLS or not: not its client's fault", async () => {
    await using deaf = await HttpOrigin.listen(undefined); // accepts, and reads nothing
    using sealed = await TlsEnd.server(deaf.port, "--cert", shop.cert, "--key", shop.key);
    const listeners = {
      plain: { bind: "http://127.0.0.1:0", to: "deaf" },
      sealed: { bind: "http://127.0.0.1:0", to: "sealed" },
    };
    const server = (port: number) => ({ servers: [`127.0.0.1:${port}`], health: "off" });
    const upstreams = { deaf: server(deaf.port), sealed: { ...server(sealed.port), tls: { verify: "off" } } };
    await withSite({}, async ({ sluice }) => {
      for (const nth of [0, 1]) {
        using client = await HttpPeer.connect(sluice.port(2 + nth));
        client.send(get("/", "shop.example", [`Content-Length: ${LARGE_BYTES}`], "PUT")).catch(() => {});
        client.send("x".repeat(LARGE_BYTES)).catch(() => {}); // Sluice leaves before it is sent
        strictEqual((await sluice.ended(nth + 1))[nth].reason, "answer_timeout");
      }
    }, { listeners, upstreams, timeouts: impatient });
  });
});
