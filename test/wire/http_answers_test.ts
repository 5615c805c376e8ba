// Answers on their way to a client: what arrives there, byte by byte; and what a client is told when there is
// none, or none that can be understood.
import { deepStrictEqual, match, ok as holds, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { BlackHole } from "../support/black_hole.ts";
import { Sluice, withSluice } from "../support/executable.ts";
import { HttpOrigin, ok } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import {
  ALONE,
  type Proxy,
  type RequestLine,
  withConfiguredProxy,
  withProxy,
} from "../support/http_proxy.ts";
import { freePort } from "../support/servers.ts";

const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const LAST_GET = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

function wireOf(lines: readonly string[], body = ""): string {
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

interface Passed {
  readonly why: string;
  readonly said: readonly string[];
  readonly body?: string;
  /** What arrives, if not the same, before Connection. */
  readonly arrives?: readonly string[];
  readonly framed?: string;
  readonly request?: string;
  /** The server ends its connection behind it. */
  readonly ends?: boolean;
}

const CHUNKED = "Transfer-Encoding: chunked";
const DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT";

/** With a Date: what has one gets no other. */
function dated([line, ...fields]: readonly string[]): string[] {
  return [line, DATE, ...fields];
}

const PASSED: readonly Passed[] = [
  { why: "Content-Length", said: ["HTTP/1.1 200 OK", "Content-Length: 5"], body: "hello" },
  { why: "an empty body", said: ["HTTP/1.1 404 Not Found", "Content-Length: 0"] },
  {
    why: "order, case and repetition of fields",
    said: [
      "HTTP/1.1 200 Fine",
      "set-COOKIE:a=1",
      "Content-Length: 2",
      "X:  y ",
      "Set-Cookie: b=2",
      "X-N: J\xf6rg",
    ],
    body: "ok",
  },
  { why: "no reason phrase", said: ["HTTP/1.1 200 ", "Content-Length: 2"], body: "ok" },
  { why: "neither phrase nor space", said: ["HTTP/1.1 299", "Content-Length: 2"], body: "ok" },
  { why: "chunks", said: ["HTTP/1.1 200 OK", CHUNKED], body: "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n" },
  {
    why: "chunks with trailers",
    said: ["HTTP/1.1 200 OK", "Trailer: X-Sum, X-Time", CHUNKED],
    body: "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Time: 2\r\n\r\n",
  },
  {
    why: "chunk extensions are dropped",
    said: ["HTTP/1.1 200 OK", CHUNKED],
    body: '5;a="b;\\"c"\r\nhello\r\n0;last\r\n\r\n',
    framed: "5\r\nhello\r\n0\r\n\r\n",
  },
  { why: "until the connection closes", said: ["HTTP/1.1 200 OK", "X: y"], body: "hello", ends: true },
  { why: "nothing until the connection closes", said: ["HTTP/1.1 200 OK"], ends: true },
  { why: "204", said: ["HTTP/1.1 204 No Content", "X: y"] },
  {
    why: "304 with the length of what is not sent",
    said: ["HTTP/1.1 304 Not Modified", "Content-Length: 5"],
  },
  {
    why: "HEAD with a length",
    request: LAST_GET.replace("GET", "HEAD"),
    said: ["HTTP/1.1 200 OK", "Content-Length: 500"],
  },
  { why: "HEAD with chunks", request: LAST_GET.replace("GET", "HEAD"), said: ["HTTP/1.1 200 OK", CHUNKED] },
  {
    why: "fields of one connection (RFC 9110 section 7.6.1)",
    said: [
      "HTTP/1.1 200 OK",
      "X-Hop: 1",
      "Connection: x-hop, keep-alive",
      "Keep-Alive: timeout=5",
      "Content-Length: 2",
      "Proxy-Connection: keep-alive",
      "Upgrade: h2c",
      "X-End: 1",
    ],
    body: "ok",
    arrives: ["HTTP/1.1 200 OK", "Content-Length: 2", "X-End: 1"],
  },
  {
    why: "HTTP/1.0",
    said: ["HTTP/1.0 200 OK", "X: y"],
    body: "old",
    arrives: ["HTTP/1.1 200 OK", "X: y"],
    ends: true,
  },
  {
    why: "HTTP/1.0 with a length",
    said: ["HTTP/1.0 200 OK", "Content-Length: 3", "Connection: keep-alive"],
    body: "old",
    arrives: ["HTTP/1.1 200 OK", "Content-Length: 3"],
  },
  {
    why: "chunks to a client of HTTP/1.0: only what is in them, until the connection closes",
    request: "GET / HTTP/1.0\r\n\r\n",
    said: ["HTTP/1.1 200 OK", CHUNKED, "Trailer: X-Sum"],
    body: "5\r\nhello\r\n6;x\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n",
    arrives: ["HTTP/1.1 200 OK"],
    framed: "hello world",
  },
  {
    why: "HEAD with chunks to a client of HTTP/1.0, which does not know them (RFC 9112 section 6.1)",
    request: "HEAD / HTTP/1.0\r\n\r\n",
    said: ["HTTP/1.1 200 OK", CHUNKED, "Trailer: X-Sum", "X: y"],
    arrives: ["HTTP/1.1 200 OK", "X: y"],
  },
  {
    why: "304 with chunks to a client of HTTP/1.0",
    request: "GET / HTTP/1.0\r\n\r\n",
    said: ["HTTP/1.1 304 Not Modified", CHUNKED, "X: y"],
    arrives: ["HTTP/1.1 304 Not Modified", "X: y"],
  },
];

/** What the client gets on the last request of its connection. */
async function lastAnswer(proxy: Proxy, request = LAST_GET): Promise<string> {
  const client = await proxy.connect();
  await client.send(request);
  const { text, ending } = await client.readToEnd();
  strictEqual(ending, "fin");
  return text;
}

describe("answers are forwarded", () => {
  for (
    const { why, said, body = "", arrives = said, framed = body, request = LAST_GET, ends = false } of PASSED
  ) {
    const wire = wireOf(dated(said), body);
    const wanted = wireOf([...dated(arrives), "Connection: close"], framed);

    it(why, () =>
      withProxy(async (_, connection) => {
        await connection.send(wire);
        if (ends) connection.end();
      }, async (proxy) => {
        strictEqual(await lastAnswer(proxy, request), wanted);
        const [{ reason, status, down_bytes }] = await proxy.records(1);
        deepStrictEqual([reason, status, down_bytes], [
          "finished",
          Number(said[0].slice(9, 12)),
          wanted.length,
        ]);
      }));

    it(`${why}, byte by byte`, () =>
      withProxy(async (_, connection) => {
        for (const byte of wire) await connection.send(byte);
        if (ends) connection.end();
      }, async (proxy) => {
        strictEqual(await lastAnswer(proxy, request), wanted);
        strictEqual((await proxy.records(1))[0].down_bytes, wanted.length);
      }));
  }

  it("and the next request is understood", () => {
    let number = 0;
    const lasting = PASSED.filter(({ ends, request }) => !ends && request === undefined);
    const said = ({ said, body }: Passed) => wireOf(dated(said), body);
    return withProxy(() => said(lasting[number++]), async (proxy) => {
      const client = await proxy.connect();
      for (const { arrives, said, body = "", framed = body } of lasting) {
        const answer = await client.ask(GET);
        strictEqual(answer.head.text + answer.framed, wireOf(dated(arrives ?? said), framed));
      }
      strictEqual(proxy.origin.connections, 1);
    });
  });

  it("interim ones go before it (RFC 9110 section 15.2)", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(GET);
      using connection = await proxy.origin.accept();
      await connection.readRequest();
      const hints = ["HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload"];
      for (const interim of [["HTTP/1.1 100 Continue"], ["HTTP/1.1 102 Processing"], hints]) {
        await connection.send(wireOf(interim));
        strictEqual((await client.readHead()).text, wireOf(interim));
      }
      await connection.send(wireOf(hints) + wireOf(hints) + ok("hello"));
      strictEqual((await client.readHead()).text, wireOf(hints));
      strictEqual((await client.readHead()).text, wireOf(hints));
      strictEqual((await client.readAnswer()).body.toString(), "hello");
      strictEqual((await proxy.records(1))[0].status, 200);
    }));

  it("a client of HTTP/1.0 does not know interim ones", () =>
    withProxy(
      () => wireOf(["HTTP/1.1 103 Early Hints", "Link: </a>"]) + ok("hello", [DATE]),
      async (proxy) =>
        strictEqual(
          await lastAnswer(proxy, "GET / HTTP/1.0\r\n\r\n"),
          wireOf(["HTTP/1.1 200 OK", DATE, "Content-Length: 5", "Connection: close"], "hello"),
        ),
    ));

  it("what a server says unasked behind it belongs to nobody", () =>
    withProxy(() => ok("hello") + ok("smuggled"), async (proxy) => {
      for (let turn = 0; turn < 3; turn++) {
        const client = await proxy.connect();
        strictEqual((await client.ask(GET)).body.toString(), "hello");
        strictEqual((await client.ask(GET)).body.toString(), "hello");
      }
      strictEqual(proxy.origin.requests.length, 6);
    }));
});

describe("an answer without Date gets one (RFC 9110 section 6.6.1)", () => {
  /** Of now, in the only form that is to be written. */
  function assertNow(values: readonly string[]): void {
    strictEqual(values.length, 1, values.join());
    const at = Date.parse(values[0]);
    strictEqual(new Date(at).toUTCString(), values[0]);
    holds(Math.abs(Date.now() - at) < 60_000, values[0]);
  }

  for (
    const [why, line, ...fields] of [
      ["200", "200 OK", "Content-Length: 0"],
      ["204", "204 No Content"],
      ["304", "304 Not Modified"],
      ["an error", "503 Service Unavailable", "Content-Length: 0"],
      ["its Date is the connection's own", "200 OK", "Content-Length: 0", "Connection: date", DATE],
    ]
  ) {
    it(why, () =>
      withProxy(() => wireOf([`HTTP/1.1 ${line}`, ...fields]), async (proxy) => {
        const client = await proxy.connect();
        for (let turn = 0; turn < 2; turn++) {
          assertNow(valuesOf((await client.ask(GET)).head, "date"));
        }
      }));
  }

  const edits: [why: string, headers: object, want: readonly string[] | undefined][] = [
    ["removes it", { remove: ["date"] }, []],
    ["sets it", { set: { Date: "then" } }, ["then"]],
    ["sets another field", { set: { "X-A": "1" } }, undefined],
  ];
  for (const [why, response, want] of edits) {
    it(`unless its route says otherwise: one that ${why}`, () => {
      const routes = [{ match: { path: "/" }, headers: { response }, to: "app" }];
      return withConfiguredProxy(() => ok(), { listener: { routes } }, async (proxy) => {
        const client = await proxy.connect();
        const values = valuesOf((await client.ask(GET)).head, "date");
        if (want === undefined) assertNow(values);
        else deepStrictEqual(values, want);
      });
    });
  }
});

interface Bad {
  readonly why: string;
  readonly wire: string;
}

function answerOf(lines: readonly string[], body = ""): string {
  return wireOf(["HTTP/1.1 200 OK", ...lines], body);
}

const BAD: readonly Bad[] = [
  { why: "no HTTP", wire: "hello\r\n\r\n" },
  { why: "another version", wire: wireOf(["HTTP/2 200 OK", "Content-Length: 0"]) },
  { why: "a status of two digits", wire: wireOf(["HTTP/1.1 20 OK", "Content-Length: 0"]) },
  { why: "a status of four digits", wire: wireOf(["HTTP/1.1 2000 OK", "Content-Length: 0"]) },
  { why: "a status below 100", wire: wireOf(["HTTP/1.1 099 Low", "Content-Length: 0"]) },
  { why: "a status above 599", wire: wireOf(["HTTP/1.1 600 High", "Content-Length: 0"]) },
  { why: "bare LF", wire: "HTTP/1.1 200 OK\nContent-Length: 0\n\n" },
  { why: "bare LF in the head", wire: "HTTP/1.1 200 OK\r\nX: 1\nContent-Length: 0\r\n\r\n" },
  { why: "an empty line before it", wire: `\r\n${answerOf(["Content-Length: 0"])}` },
  { why: "obs-fold", wire: answerOf(["X: 1", " 2", "Content-Length: 0"]) },
  { why: "a space before the colon", wire: answerOf(["Content-Length : 0"]) },
  { why: "NUL in a value", wire: answerOf(["X: \0", "Content-Length: 0"]) },
  { why: "no colon", wire: answerOf(["X", "Content-Length: 0"]) },
  { why: "both lengths", wire: answerOf(["Content-Length: 5", CHUNKED], "0\r\n\r\n") },
  { why: "two lengths", wire: answerOf(["Content-Length: 5", "Content-Length: 6"], "hello!") },
  { why: "a length that is no number", wire: answerOf(["Content-Length: five"], "hello") },
  { why: "a signed length", wire: answerOf(["Content-Length: +5"], "hello") },
  { why: "a coding that we do not know", wire: answerOf(["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n") },
  { why: "chunked not at the end", wire: answerOf(["Transfer-Encoding: chunked, gzip"], "0\r\n\r\n") },
  { why: "chunked in HTTP/1.0", wire: wireOf(["HTTP/1.0 200 OK", CHUNKED], "0\r\n\r\n") },
  { why: "204 with a body", wire: wireOf(["HTTP/1.1 204 No Content", "Content-Length: 5"], "hello") },
  { why: "an interim one with a body", wire: wireOf(["HTTP/1.1 103 Hints", "Content-Length: 5"], "hello") },
  { why: "a head without end", wire: answerOf([`X: ${"a".repeat(16_384)}`, "Content-Length: 0"]) },
  { why: "fields without end", wire: answerOf(Array.from({ length: 129 }, (_, number) => `X-${number}: 1`)) },
];

function assertError(answer: { readonly head: HeadLike }, status: number, type: string): void {
  strictEqual(statusOf(answer.head), status);
  match(
    valuesOf(answer.head, "proxy-status").join(),
    new RegExp(`^sluice; error=${type}(; details="[^"]+")?$`),
  );
}
type HeadLike = Parameters<typeof statusOf>[0];

/** Asks once and expects an error of ours; the client may go on. */
async function assertFailed(proxy: Proxy, status: number, type: string): Promise<void> {
  using client = await proxy.connect();
  const answer = await client.ask(GET);
  assertError(answer, status, type);
  deepStrictEqual(valuesOf(answer.head, "connection"), []);
  match(answer.body.toString(), new RegExp(`^${status} [A-Z][A-Za-z ]+: .+\n$`));
}

describe("answers that are none", () => {
  it("a malformed head: 502, and nothing of it reaches the client", () => {
    let number = 0;
    return withProxy(async (_, connection) => {
      await connection.send(BAD[number].wire);
    }, async (proxy) => {
      for (; number < BAD.length; number++) {
        await assertFailed(proxy, 502, "http_protocol_error").catch((error) => {
          throw new Error(`${BAD[number].why}: ${(error as Error).message}`);
        });
      }
      for (const { reason, type, detail, server } of await proxy.records(BAD.length)) {
        deepStrictEqual([reason, type, server], ["bad_answer", "http_protocol_error", proxy.origin.address]);
        match(String(detail), /^[A-Z].*\.$/);
      }
      strictEqual(proxy.origin.connections, BAD.length);
    });
  });

  it("interim ones without end: 502", () =>
    withProxy(() => wireOf(["HTTP/1.1 103 Early Hints"]).repeat(100), async (proxy) => {
      const client = await proxy.connect();
      await client.send(GET);
      let head = await client.readHead(), interim = 0;
      for (; statusOf(head) === 103; interim++) head = await client.readHead();
      strictEqual(statusOf(head), 502);
      holds(interim <= 16, `${interim} interim answers`);
      strictEqual((await proxy.records(1))[0].reason, "bad_answer");
    }));

  for (
    const [why, body] of [
      ["a chunk size that is none", "zz\r\nhello\r\n0\r\n\r\n"],
      ["a chunk that is longer than it says", "4\r\nhello\r\n0\r\n\r\n"],
      ["a chunk size line that ends in LF", "5\nhello\r\n0\r\n\r\n"],
    ]
  ) {
    it(`${why}: the client is not told that this was all`, () =>
      withProxy(undefined, async (proxy) => {
        const client = await proxy.connect();
        await client.send(GET);
        using connection = await proxy.origin.accept();
        await connection.readRequest();
        await connection.send(answerOf([CHUNKED], "3\r\nabc\r\n"));
        await client.readHead();
        strictEqual(await client.readText(8), "3\r\nabc\r\n");
        await connection.send(body);
        const { text } = await client.readToEnd();
        holds(!text.includes("0\r\n\r\n"), text);
        strictEqual((await proxy.records(1))[0].reason, "bad_answer");
        strictEqual((await connection.readToEnd()).text, "");
      }));

    it(`${why}, together with the head: 502, nothing was sent yet`, () =>
      withProxy(() => answerOf([CHUNKED], `3\r\nabc\r\n${body}`), async (proxy) => {
        await assertFailed(proxy, 502, "http_protocol_error");
        const [{ reason, status, detail }] = await proxy.records(1);
        deepStrictEqual([reason, status], ["bad_answer", 502]);
        match(String(detail), /^[A-Z].*\.$/);
      }));
  }
});

describe("answers that end too early", () => {
  for (
    const [why, wire, arrives] of [
      ["Content-Length", answerOf(["Content-Length: 10"], "01234"), "01234"],
      ["in a chunk", answerOf([CHUNKED], "a\r\n01234"), "a\r\n01234"],
      ["between chunks", answerOf([CHUNKED], "5\r\n01234\r\n"), "5\r\n01234\r\n"],
      ["in the trailers", answerOf([CHUNKED], "5\r\n01234\r\n0\r\nX: "), "5\r\n01234\r\n"],
    ]
  ) {
    it(`${why}: the client sees that it is incomplete`, () =>
      withProxy(undefined, async (proxy) => {
        const client = await proxy.connect();
        await client.send(GET);
        using connection = await proxy.origin.accept();
        await connection.readRequest();
        await connection.send(wire);
        strictEqual(statusOf(await client.readHead()), 200);
        strictEqual(await client.readText(arrives.length), arrives);
        connection.end();
        const { text } = await client.readToEnd();
        holds(!text.endsWith("\r\n\r\n"), JSON.stringify(text));
        const [{ reason, type, status }] = await proxy.records(1);
        deepStrictEqual([reason, type, status], ["answer_cut", "http_response_incomplete", 200]);
      }));
  }

  it("within the head: 502", () =>
    withProxy(async (_, connection) => {
      await connection.send("HTTP/1.1 200 OK\r\nContent-Le");
      connection.end();
    }, async (proxy) => {
      await assertFailed(proxy, 502, "http_response_incomplete");
      strictEqual((await proxy.records(1))[0].reason, "answer_cut");
    }));

  it("behind an interim one: 502", () =>
    withProxy(async (_, connection) => {
      await connection.send(wireOf(["HTTP/1.1 103 Early Hints"]));
      connection.end();
    }, async (proxy) => {
      const client = await proxy.connect();
      strictEqual(statusOf((await client.ask(GET)).head), 103);
      strictEqual(statusOf((await client.readAnswer()).head), 502);
    }));

  it("before the first byte: 502, and a first connection is not tried twice", () =>
    withProxy((_, connection) => connection.end(), async (proxy) => {
      await assertFailed(proxy, 502, "connection_terminated");
      strictEqual((await proxy.records(1))[0].reason, "server_reset");
      strictEqual(proxy.origin.requests.length, 1);
    }));

  it("with a reset before the first byte: 502", () =>
    withProxy((_, connection) => connection.reset(), async (proxy) => {
      await assertFailed(proxy, 502, "connection_terminated");
      const [{ reason, errno }] = await proxy.records(1);
      deepStrictEqual([reason, errno], ["server_reset", "ECONNRESET"]);
      strictEqual(proxy.origin.requests.length, 1);
    }));

  it("a reset until which an answer goes is no end of it", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(GET);
      using connection = await proxy.origin.accept();
      await connection.readRequest();
      await connection.send(answerOf([], "until a reset"));
      await client.readHead();
      strictEqual(await client.readText(13), "until a reset");
      connection.reset();
      deepStrictEqual(await client.readToEnd(), { text: "", ending: "reset" });
      strictEqual((await proxy.records(1))[0].reason, "answer_cut");
    }));
});

/** Runs with the targets given instead of a server of its own. */
async function withTargets(
  targets: readonly string[],
  test: (sluice: Sluice) => Promise<void>,
  flags: readonly string[] = ALONE,
): Promise<void> {
  await withSluice([...flags, `http://127.0.0.1:0=${targets.join()}`], test);
}

describe("proxy-status: all", () => {
  it("names the server that answered", () =>
    withConfiguredProxy(() => ok(), { listener: { "proxy-status": "all" } }, async (proxy) => {
      const client = await proxy.connect();
      const { head } = await client.ask(GET);
      deepStrictEqual(valuesOf(head, "proxy-status"), [`sluice; next-hop="${proxy.origin.address}"`]);
    }));
});

describe("servers that cannot be reached", () => {
  it("one that refuses is passed over, whatever the method: nothing was sent", async () => {
    await using origin = await HttpOrigin.listen(({ body }) => ok(`got ${body}`));
    const closed = `127.0.0.1:${await freePort()}`;
    await withTargets([closed, origin.address], async (sluice) => {
      for (const body of ["a", "b", "c", "d"]) {
        using client = await HttpPeer.connect(sluice.port());
        const answer = await client.ask(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n${body}`);
        strictEqual(answer.body.toString(), `got ${body}`);
      }
      const records = await sluice.ended(4) as RequestLine[];
      deepStrictEqual(records.map(({ tried }) => tried).sort(), [1, 1, 2, 2]);
      deepStrictEqual(records.map(({ status }) => status), [200, 200, 200, 200]);
      await origin.kill();
    });
  });

  it("all refuse: 502, and the client may ask again", async () => {
    const closed = [await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`);
    await withTargets(closed, async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      for (let turn = 0; turn < 3; turn++) {
        assertError(await client.ask(GET), 502, "connection_refused");
        assertError(await client.ask(GET.replace("GET", "DELETE")), 502, "connection_refused");
      }
      // Its body may not have come yet: then it is the connection's last.
      using other = await HttpPeer.connect(sluice.port());
      const post = await other.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
      assertError(post, 502, "connection_refused");
      if (valuesOf(post.head, "connection").includes("close")) {
        deepStrictEqual(await other.readToEnd(), { text: "", ending: "fin" });
      } else assertError(await other.ask(GET), 502, "connection_refused");
      for (const { reason, tried, errno } of await sluice.ended(7)) {
        deepStrictEqual([reason, tried, errno], ["connection_refused", 2, "ECONNREFUSED"]);
      }
    });
  });

  it("the error has the form that the client asks for", async () => {
    await withTargets([`127.0.0.1:${await freePort()}`], async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      const forms: readonly (readonly [accept: string, type: string, body: RegExp])[] = [
        ["*/*", "text/plain; charset=utf-8", /^502 Bad Gateway: .+\n$/],
        ["text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", /^<!doctype html>/],
        ["application/json", "application/json", /^\{"status":502,/],
        ["application/problem+json, application/json", "application/problem+json", /^\{"status":502,/],
      ];
      for (const [accept, type, body] of forms) {
        const answer = await client.ask(`GET / HTTP/1.1\r\nHost: a\r\nAccept: ${accept}\r\n\r\n`);
        deepStrictEqual(valuesOf(answer.head, "content-type"), [type]);
        match(answer.body.toString(), body);
        if (type.includes("json")) strictEqual(JSON.parse(answer.body.toString()).title, "Bad Gateway");
      }
      const { head, body } = await client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD");
      strictEqual(statusOf(head), 502);
      strictEqual(body.length, 0);
      assertError(await client.ask(GET), 502, "connection_refused");
    });
  });

  it("one that does not answer the connect: 504 after --connect-timeout", async () => {
    using hole = await BlackHole.open();
    await withTargets([hole.address], async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      assertError(await client.ask(GET), 504, "connection_timeout");
      const [{ reason, duration_ms }] = await sluice.ended(1);
      strictEqual(reason, "connection_timeout");
      holds(duration_ms! >= 190 && duration_ms! < 2_000, `after ${duration_ms} ms`);
    }, [...ALONE, "--connect-timeout", "200ms"]);
  });

  it("one that does not answer the connect is passed over", async () => {
    using hole = await BlackHole.open();
    await using origin = await HttpOrigin.listen(({ body }) => ok(`got ${body}`));
    await withTargets([hole.address, origin.address], async (sluice) => {
      for (let turn = 0; turn < 2; turn++) {
        using client = await HttpPeer.connect(sluice.port());
        await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
        await client.send("world");
        strictEqual((await client.readAnswer()).body.toString(), "got helloworld");
      }
      await origin.kill();
    }, [...ALONE, "--connect-timeout", "200ms"]);
  });

  it("none is healthy: 503 at once, nobody is tried", async () => {
    const closed = `127.0.0.1:${await freePort()}`;
    const checks = ["--reactors", "1", "--health-interval", "100ms", "--health-fall", "1"];
    await withTargets([closed], async (sluice) => {
      await sluice.until(
        "the server to be down",
        ({ upstreams: [{ servers }] }) => servers[0].health === "down",
      );
      using client = await HttpPeer.connect(sluice.port());
      assertError(await client.ask(GET), 503, "destination_unavailable");
      const [{ reason, tried, server }] = await sluice.ended(1);
      deepStrictEqual([reason, tried, server], ["no_server", 0, null]);
      assertError(await client.ask(GET), 503, "destination_unavailable");
    }, checks);
  });
});

describe("servers that take too long", () => {
  it("to begin their answer: 504", () =>
    withConfiguredProxy(undefined, { upstream: { timeouts: { answer: "300ms" } } }, async (proxy) => {
      const client = await proxy.connect();
      await client.send(GET);
      using connection = await proxy.origin.accept();
      await connection.readRequest();
      assertError(await client.readAnswer(), 504, "http_response_timeout");
      strictEqual((await connection.readToEnd()).text, "");
      const [{ reason, duration_ms }] = await proxy.records(1);
      strictEqual(reason, "answer_timeout");
      holds(duration_ms! >= 290 && duration_ms! < 2_000, `after ${duration_ms} ms`);
    }));

  it("within its head, a byte now and then: 504", () =>
    withConfiguredProxy(
      async (_, connection) => {
        await connection.send("HTTP/1.1 200 OK\r\nX: ");
        for (;;) {
          await connection.send("x");
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      },
      { upstream: { timeouts: { answer: "300ms" } } },
      async (proxy) => {
        const client = await proxy.connect();
        assertError(await client.ask(GET), 504, "http_response_timeout");
      },
    ));

  it("within its body: the client sees that it is incomplete", () =>
    withConfiguredProxy(
      () => answerOf(["Content-Length: 10"], "01234"),
      { upstream: { timeouts: { "server-idle": "300ms" } } },
      async (proxy) => {
        const client = await proxy.connect();
        await client.send(GET);
        strictEqual(statusOf(await client.readHead()), 200);
        strictEqual((await client.readToEnd()).text, "01234");
        strictEqual((await proxy.records(1))[0].reason, "answer_timeout");
      },
    ));

  it("is measured from the end of the request: a slow upload is not the server's fault", () =>
    withConfiguredProxy(
      ({ body }) => ok(body.toString()),
      { upstream: { timeouts: { answer: "300ms" } } },
      async (proxy) => {
        const client = await proxy.connect();
        await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
        for (const byte of "0123456789") {
          await client.send(byte);
          await new Promise((resolve) => setTimeout(resolve, 80));
        }
        strictEqual((await client.readAnswer()).body.toString(), "0123456789");
      },
    ));
});

it("a redirect that is longer than a head may be: 414, and the next request is served", () => {
  const routes = [
    { match: { path: "/old/" }, redirect: { to: "/new/{rest}/{rest}" } },
    { match: { path: "/ping" }, respond: { body: "pong" } },
  ];
  return withConfiguredProxy(undefined, { listener: { to: undefined, routes } }, async (proxy) => {
    const client = await proxy.connect();
    const quotes = '"'.repeat(8_000); // each becomes three octets, twice
    const { head } = await client.ask(`GET /old/${quotes} HTTP/1.1\r\nHost: a\r\n\r\n`);
    strictEqual(statusOf(head), 414);
    strictEqual((await client.ask("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")).body.toString(), "pong");
    const [record] = await proxy.records(2);
    deepStrictEqual([record.status, record.reason], [414, "bad_request"]);
  });
});
