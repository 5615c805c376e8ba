// Error pages of one's own: which text a client gets, in which form, and that everything else about such an
// answer stays as it is.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { command, run, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok } from "../support/http_origin.ts";
import { HttpPeer, type Message, statusOf, valuesOf } from "../support/http_peer.ts";
import { type Proxy, withConfiguredProxy } from "../support/http_proxy.ts";
import { freePort } from "../support/servers.ts";

const TEXT = "text/plain; charset=utf-8";
const HTML = "text/html; charset=utf-8";
const JSON_TYPE = "application/json";
const PROBLEM = "application/problem+json";

const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

function get(target: string, ...fields: readonly string[]): string {
  return [`GET ${target} HTTP/1.1`, "Host: a", ...fields, "", ""].join("\r\n");
}

function accept(value: string): string {
  return `Accept: ${value}`;
}

/** Status, form and text of an answer. */
function said({ head, body }: Message): [status: number, type: string, text: string] {
  return [statusOf(head), valuesOf(head, "content-type").join(), body.toString()];
}

/** Only what begins with /app/ has a route, so that everything else is answered 404. */
const ROUTES = { to: undefined, routes: [{ match: { path: "/app/" }, to: "app" }] };

/** Runs with these pages, in front of a server that is not asked. */
async function withPages(pages: object, test: (client: HttpPeer, proxy: Proxy) => Promise<void>) {
  await withConfiguredProxy(
    () => ok("served"),
    { listener: { ...ROUTES, "error-pages": pages } },
    async (proxy) => test(await proxy.connect(), proxy),
  );
}

describe("error pages of one's own", () => {
  it("each form, chosen by Accept", () =>
    withPages(
      { 404: { text: "own text", html: "<h1>Nö</h1>", json: '{"own":"json"}', problem: '{"type":"own"}' } },
      async (client) => {
        const cases: [fields: string[], type: string, text: string][] = [
          [[], TEXT, "own text"],
          [[accept("*/*")], TEXT, "own text"],
          [[accept("text/plain")], TEXT, "own text"],
          [[accept(BROWSER)], HTML, "<h1>Nö</h1>"],
          [[accept("application/json")], JSON_TYPE, '{"own":"json"}'],
          [[accept("application/problem+json, application/json")], PROBLEM, '{"type":"own"}'],
          [[accept("image/png")], TEXT, "own text"],
        ];
        for (const [fields, type, text] of cases) {
          const answer = await client.ask(get("/nowhere", ...fields));
          deepStrictEqual(said(answer), [404, type, text], fields.join());
        }
      },
    ));

  it("are what a route answers that gives a status and no body", () => {
    const response = { set: { "X-Why": "{path}" }, remove: "Date" };
    const routes = [{ match: { path: "/gone/" }, respond: { status: 410 }, headers: { response } }];
    const listener = { to: undefined, routes, "error-pages": { 410: { html: "<h1>Gone</h1>" } } };
    return withConfiguredProxy(undefined, { listener }, async (proxy) => {
      const client = await proxy.connect();
      const page = await client.ask(get("/gone/x", accept(BROWSER)));
      deepStrictEqual(said(page), [410, HTML, "<h1>Gone</h1>"]);
      deepStrictEqual(["x-why", "date", "proxy-status"].map((name) => valuesOf(page.head, name)), [
        ["/gone/x"],
        [],
        [],
      ]);
      const text = await client.ask(get("/gone/x", accept("text/plain")));
      deepStrictEqual(said(text), [410, TEXT, "410 Gone: Sluice answered by its configuration\n"]);
      const [record] = await proxy.records(2);
      deepStrictEqual([record.status, record.reason, record.route], [410, "answered", "web#1"]);
    });
  });

  it("a form that is not given stays Sluice's", () =>
    withPages({ 404: { html: "<p>own</p>" } }, async (client) => {
      const plain = await client.ask(get("/", accept("text/plain")));
      deepStrictEqual(said(plain), [404, TEXT, "404 Not Found: no route matches the request\n"]);
      const json = await client.ask(get("/", accept("application/json")));
      deepStrictEqual(said(json).slice(0, 2), [404, JSON_TYPE]);
      strictEqual(JSON.parse(json.body.toString()).title, "Not Found");
    }));

  it("who asks for no form gets text if the page has it, else the first that it has", async () => {
    const forms = { html: "h", json: "j", problem: "p" };
    const { html: _, ...withoutHtml } = forms;
    const cases: [page: object, type: string, text: string][] = [
      [{ ...forms, text: "t" }, TEXT, "t"],
      [{ problem: "p", json: "j", html: "h" }, HTML, "h"],
      [withoutHtml, JSON_TYPE, "j"],
      [{ problem: "p" }, PROBLEM, "p"],
    ];
    for (const [page, type, text] of cases) {
      await withPages({ 404: page }, async (client) => {
        for (const fields of [[], [accept("*/*")], [accept("")]]) {
          deepStrictEqual(said(await client.ask(get("/", ...fields))), [404, type, text], fields.join());
        }
      });
    }
  });

  it("that of the very status goes before that of its class, as a whole", () =>
    withPages(
      { "4xx": { text: "some", json: "{}" }, 404: { html: "<p>none</p>" }, "5xx": { text: "ours" } },
      async (client) => {
        deepStrictEqual(said(await client.ask(get("/"))), [404, HTML, "<p>none</p>"]);
        const json = await client.ask(get("/", accept("application/json")));
        strictEqual(JSON.parse(json.body.toString()).status, 404);
        const trace = await client.ask("TRACE /app/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
        deepStrictEqual(said(trace), [501, TEXT, "ours"]);
        // The connection goes on until here: this is not understood, so it is its last.
        const bad = await client.ask("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        deepStrictEqual(said(bad), [400, TEXT, "some"]);
      },
    ));

  it("nothing else of the answer is another one", () =>
    withPages({ 404: { html: "<p>own</p>", text: "" } }, async (client) => {
      const date = /^Date: [^\r]+\r\n/m;
      const lines = ["HTTP/1.1 404 Not Found", "Content-Length: 10", `Content-Type: ${HTML}`];
      const status =
        'Proxy-Status: sluice; error=destination_not_found; details="no route matches the request"';
      const html = await client.ask(get("/", accept("text/html")));
      match(html.head.text, date);
      strictEqual(html.head.text.replace(date, ""), [...lines, "Vary: Accept", status, "", ""].join("\r\n"));
      // An empty one is one.
      const empty = await client.ask(get("/"));
      deepStrictEqual(said(empty), [404, TEXT, ""]);
      deepStrictEqual(valuesOf(empty.head, "content-length"), ["0"]);
    }));

  it("HEAD: its length, and the next answer behind it", () =>
    withPages({ 404: { html: "<p>own</p>" } }, async (client) => {
      for (let turn = 0; turn < 3; turn++) {
        const { head } = await client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD");
        deepStrictEqual([statusOf(head), valuesOf(head, "content-length")], [404, ["10"]]);
        deepStrictEqual(valuesOf(head, "content-type"), [HTML]);
        deepStrictEqual(said(await client.ask(get("/"))), [404, HTML, "<p>own</p>"]);
      }
    }));

  it("the connection goes on, to servers as well; the record tells the page's bytes", () =>
    withPages({ 404: { text: "own" } }, async (client, proxy) => {
      for (let turn = 0; turn < 3; turn++) {
        const { head, body } = await client.ask(get("/"));
        deepStrictEqual(valuesOf(head, "connection"), []);
        strictEqual(body.toString(), "own");
        strictEqual((await client.ask(get("/app/"))).body.toString(), "served");
        const record = (await proxy.records(2 * turn + 2))[2 * turn];
        deepStrictEqual([record.status, record.reason, record.down_bytes], [
          404,
          "no_route",
          head.text.length + 3,
        ]);
      }
      const old = await client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
      deepStrictEqual(valuesOf(old.head, "connection"), ["keep-alive"]);
      const last = await client.ask(get("/", "Connection: close"));
      deepStrictEqual([said(last)[2], valuesOf(last.head, "connection")], ["own", ["close"]]);
      deepStrictEqual(await client.readToEnd(), { text: "", ending: "fin" });
    }));

  it("what a server or a route answers is left as it is", async () => {
    const pages = { "4xx": { text: "own" }, "5xx": { text: "own" } };
    const respond = { match: { path: "/fixed" }, respond: { status: 503, body: "fixed" } };
    await withConfiguredProxy(
      () => "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nserver",
      { listener: { routes: [respond], "error-pages": pages } },
      async (proxy) => {
        const client = await proxy.connect();
        strictEqual((await client.ask(get("/"))).body.toString(), "server");
        strictEqual((await client.ask(get("/fixed"))).body.toString(), "fixed");
      },
    );
  });
});

/** One page of each class, in two forms. */
const CLASSES = {
  "4xx": { html: "<p>yours</p>", json: '"yours"' },
  "5xx": { html: "<p>ours</p>", json: '"ours"' },
};
const ASKS_JSON = accept("application/json");

describe("whatever it is that went wrong", () => {
  it("a request that is not understood: nobody knows what it accepts", () =>
    withConfiguredProxy(() => ok(), { listener: { "error-pages": CLASSES } }, async (proxy) => {
      const bad: [request: string, status: number][] = [
        [`GET / HTTP/1.1\r\nHost: a\r\n${ASKS_JSON}\r\nBad Field: x\r\n\r\n`, 400],
        [`GET /${"a".repeat(9_000)} HTTP/1.1\r\n`, 414],
        [`GET / HTTP/1.1\r\nHost: a\r\nA: ${"a".repeat(17_000)}`, 431],
      ];
      for (const [request, status] of bad) {
        const client = await proxy.connect();
        const answer = await client.ask(request);
        deepStrictEqual(said(answer), [status, HTML, "<p>yours</p>"]);
        deepStrictEqual(valuesOf(answer.head, "connection"), ["close"]);
        strictEqual((await client.readToEnd()).text, "");
      }
    }));

  it("a head that takes too long: 408", () =>
    withConfiguredProxy(
      () => ok(),
      { listener: { "error-pages": CLASSES, timeouts: { "request-head": "200ms" } } },
      async (proxy) => {
        const client = await proxy.connect();
        deepStrictEqual(said(await client.ask("GET / HTTP/1.1\r\n")), [408, HTML, "<p>yours</p>"]);
      },
    ));

  it("a body that is too long: 413, by its length or as it comes", () =>
    withConfiguredProxy(
      undefined,
      {
        listener: { to: undefined, routes: [{ "body-max": "10B", to: "app" }], "error-pages": CLASSES },
      },
      async (proxy) => {
        const long = await proxy.connect();
        const head = `POST / HTTP/1.1\r\nHost: a\r\n${ASKS_JSON}\r\n`;
        const answer = await long.ask(`${head}Content-Length: 11\r\n\r\n`);
        deepStrictEqual(said(answer), [413, JSON_TYPE, '"yours"']);
        const chunked = await proxy.connect();
        const chunks = `${head}Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n`;
        deepStrictEqual(said(await chunked.ask(chunks)), [413, JSON_TYPE, '"yours"']);
      },
    ));

  it("a server that refuses: 502", async () => {
    const upstream = { servers: [`127.0.0.1:${await freePort()}`] };
    await withConfiguredProxy(
      undefined,
      { listener: { "error-pages": CLASSES }, upstream },
      async (proxy) => {
        const client = await proxy.connect();
        for (let turn = 0; turn < 3; turn++) {
          deepStrictEqual(said(await client.ask(get("/", ASKS_JSON))), [502, JSON_TYPE, '"ours"']);
          deepStrictEqual(said(await client.ask(get("/"))), [502, HTML, "<p>ours</p>"]);
        }
      },
    );
  });

  it("a server whose answer is none, or too late: 502, 504", () =>
    withConfiguredProxy(
      ({ head }) => head.line.startsWith("GET /bad") ? "hello\r\n\r\n" : undefined,
      { listener: { "error-pages": CLASSES }, upstream: { timeouts: { answer: "200ms" } } },
      async (proxy) => {
        const client = await proxy.connect();
        deepStrictEqual(said(await client.ask(get("/bad", ASKS_JSON))), [502, JSON_TYPE, '"ours"']);
        // Its head is long forgotten where it was read, and was kept.
        deepStrictEqual(said(await client.ask(get("/late", ASKS_JSON))), [504, JSON_TYPE, '"ours"']);
        deepStrictEqual(said(await client.ask(get("/late"))), [504, HTML, "<p>ours</p>"]);
      },
    ));

  it("no server that is healthy: 503", async () => {
    const health = { tcp: true, interval: "100ms", fall: 1 };
    const upstream = { servers: [`127.0.0.1:${await freePort()}`], health };
    await withConfiguredProxy(
      undefined,
      { listener: { "error-pages": CLASSES }, upstream },
      async (proxy) => {
        await proxy.sluice.until(
          "the server to be down",
          ({ upstreams: [{ servers }] }) => servers[0].health === "down",
        );
        const client = await proxy.connect();
        deepStrictEqual(said(await client.ask(get("/", ASKS_JSON))), [503, JSON_TYPE, '"ours"']);
        deepStrictEqual(said(await client.ask(get("/"))), [503, HTML, "<p>ours</p>"]);
        strictEqual((await proxy.records(2))[0].reason, "no_server");
      },
    );
  });

  it("a queue that takes too long: 503, in the form that its request asked for", async () => {
    await using origin = await HttpOrigin.listen();
    const upstream = {
      servers: [{ address: origin.address, "max-connections": 1 }],
      timeouts: { queue: "200ms" },
    };
    const listener = { "error-pages": { ...CLASSES, 503: { text: "busy", json: '"busy"' } } };
    await withConfiguredProxy(undefined, { listener, upstream }, async (proxy) => {
      const first = await proxy.connect();
      await first.send(get("/"));
      using connection = await origin.accept();
      await connection.readRequest();
      // The head that was read last is another's: each was kept.
      const json = await proxy.connect(), any = await proxy.connect();
      await Promise.all([json.send(get("/", ASKS_JSON)), any.send(get("/"))]);
      deepStrictEqual(said(await json.readAnswer()), [503, JSON_TYPE, '"busy"']);
      deepStrictEqual(said(await any.readAnswer()), [503, TEXT, "busy"]);
      strictEqual((await proxy.records(2))[0].reason, "queue_timeout");
      await connection.send(ok("served"));
      strictEqual((await first.readAnswer()).body.toString(), "served");
      connection.end();
    });
  });
});

/** As long as a page may be, each byte known by its place. */
const LONGEST = Array.from({ length: 16_384 }, (_, at) => String.fromCharCode(97 + at % 23)).join("");
/** More than a connection's buffers take. */
const MANY = 1_500;

describe("a page as long as may be", () => {
  it("is whole, with all that can stand before it", () =>
    withPages({ 404: { html: LONGEST, json: LONGEST.slice(1) } }, async (client) => {
      strictEqual((await client.ask(get("/"))).body.toString(), LONGEST);
      const json = await client.ask(get("/", ASKS_JSON));
      strictEqual(json.body.toString(), LONGEST.slice(1));
    }));

  it("comes whole to who reads late", () =>
    withPages({ 404: { text: LONGEST } }, async (client, proxy) => {
      await client.send(get("/").repeat(MANY));
      await proxy.sluice.ended(1);
      for (let answers = 0; answers < MANY; answers++) {
        const { head, body } = await client.readAnswer();
        strictEqual(statusOf(head), 404);
        strictEqual(body.toString(), LONGEST, `answer ${answers}`);
      }
      strictEqual((await client.ask(get("/app/"))).body.toString(), "served");
    }));

  it("stops for who does not read, and is forgotten with it", () =>
    withPages({ 404: { text: LONGEST } }, async (client, proxy) => {
      await client.send(get("/").repeat(MANY));
      await proxy.sluice.ended(1);
      client.reset();
      const other = await proxy.connect();
      strictEqual((await other.ask(get("/"))).body.toString(), LONGEST);
    }));
});

describe("pages in files", () => {
  const config = (html: string) =>
    JSON.stringify({
      reactors: 1,
      listeners: {
        web: {
          bind: "http://127.0.0.1:0",
          routes: [{ match: { path: "/app/" }, to: "app" }],
          "error-pages": { 404: { html } },
        },
      },
      upstreams: { app: { servers: ["127.0.0.1:1"], health: "off" } },
    });

  it("are read once, from where Sluice was started", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("none.html"), "<h1>Nö</h1>");
    writeFileSync(folder.at("sluice.yaml"), config("file:none.html"));
    const words = [...command("executable"), "run", "-c", "sluice.yaml"];
    using sluice = await Sluice.start([], { command: words, cwd: folder.path });
    using client = await HttpPeer.connect(sluice.port());
    strictEqual((await client.ask(get("/"))).body.toString(), "<h1>Nö</h1>");
    writeFileSync(folder.at("none.html"), "<h1>Later</h1>");
    strictEqual((await client.ask(get("/"))).body.toString(), "<h1>Nö</h1>");
    client[Symbol.dispose]();
    await sluice.finish();
  });

  it("that are not there stop the start, with status 2", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("sluice.yaml"), config("file:/nowhere/none.html"));
    const outcome = await run(["run", "-c", folder.at("sluice.yaml")]);
    strictEqual(outcome.status, 2);
    match(
      outcome.stderr,
      /sluice\.yaml:1:\d+: listeners\.web\.error-pages\.404\.html: "\/nowhere\/none\.html": there is no such file; /,
    );
  });
});
