// Requests on their way to a server: what arrives there, byte by byte; and those that are refused, of which
// nothing arrives.
import { deepStrictEqual, match, notStrictEqual, ok as holds, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { HttpOrigin, ok } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { ALONE, masked, type Proxy, told, withConfiguredProxy, withProxy } from "../support/http_proxy.ts";
import { Sluice } from "../support/executable.ts";

const HOST = "Host: shop.example";

interface Forwarded {
  readonly why: string;
  readonly sent: readonly string[];
  readonly body?: string;
  /** What arrives of the head, before what is told of the client. `ORIGIN`: the server's address. */
  readonly arrives: readonly string[];
  /** What arrives of the body, if not the same. */
  readonly framed?: string;
  /** The host that is told; "": none. */
  readonly host?: string;
  /** A Via that came. */
  readonly via?: string;
  /** Lines behind what is told. */
  readonly last?: readonly string[];
}

const AS_IT_CAME: readonly { readonly why: string; readonly lines: string[]; readonly body?: string }[] = [
  { why: "GET", lines: ["GET / HTTP/1.1", HOST] },
  {
    why: "nothing of a target is normalised",
    lines: ["GET /a/../%2e%2F//b;c?x=%20&y={z}|?/ HTTP/1.1", HOST],
  },
  { why: "a method nobody knows", lines: ["BREW /pot HTTP/1.1", HOST] },
  { why: "DELETE", lines: ["DELETE /1 HTTP/1.1", HOST] },
  {
    why: "names, spaces and order of fields",
    lines: ["GET / HTTP/1.1", "aCCept:*/*", "hOST:   shop.example"],
  },
  { why: "fields that come twice", lines: ["GET / HTTP/1.1", HOST, "X-A: 1", "X-B: ", "X-A: 2", "x-a: 1"] },
  { why: "bytes above 127 in a value", lines: ["GET / HTTP/1.1", HOST, "X-Name: J\xf6rg\xff"] },
  { why: "POST with Content-Length", lines: ["POST / HTTP/1.1", HOST, "Content-Length: 5"], body: "hello" },
  { why: "PUT of nothing", lines: ["PUT /x HTTP/1.1", HOST, "Content-Length: 0"] },
  { why: "GET with a body", lines: ["GET /x HTTP/1.1", HOST, "Content-Length: 2"], body: "\r\n" },
  {
    why: "POST in chunks",
    lines: ["POST / HTTP/1.1", HOST, "Transfer-Encoding: chunked"],
    body: "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
  },
  {
    why: "POST in chunks with trailers",
    lines: ["POST / HTTP/1.1", HOST, "Transfer-Encoding: chunked", "Trailer: X-Sum"],
    body: "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
  },
  { why: "a Max-Forwards of another method", lines: ["GET / HTTP/1.1", HOST, "Max-Forwards: 0"] },
  { why: "a Max-Forwards that is no number", lines: ["OPTIONS / HTTP/1.1", HOST, "Max-Forwards: x"] },
  { why: "OPTIONS of the whole server", lines: ["OPTIONS * HTTP/1.1", HOST] },
  { why: "a trace that goes on", lines: ["GET / HTTP/1.1", HOST, `traceparent: 00-${"1".repeat(32)}-01`] },
  {
    why: "as many fields as fit",
    lines: [
      "GET / HTTP/1.1",
      HOST,
      ...Array.from({ length: 127 }, (_, number) => `X-${number}: ${"v".repeat(number % 120)}`),
    ],
  },
];

const CHANGED: readonly Forwarded[] = [
  {
    why: "an empty line before it is no part of it (RFC 9112 section 2.2)",
    sent: ["", "GET / HTTP/1.1", HOST],
    arrives: ["GET / HTTP/1.1", HOST],
  },
  {
    why: "absolute-form becomes origin-form",
    sent: ["GET http://shop.example/a?b=/ HTTP/1.1", HOST],
    arrives: ["GET /a?b=/ HTTP/1.1", HOST],
  },
  {
    why: "absolute-form without a path",
    sent: ["GET http://shop.example:80 HTTP/1.1", "Host: shop.example:80"],
    arrives: ["GET / HTTP/1.1", "Host: shop.example:80"],
    host: "shop.example:80",
  },
  {
    why: "absolute-form with a query and no path",
    sent: ["GET http://shop.example?q HTTP/1.1", HOST],
    arrives: ["GET /?q HTTP/1.1", HOST],
  },
  {
    why: "absolute-form of OPTIONS for the whole server (RFC 9112 section 3.2.4)",
    sent: ["OPTIONS http://shop.example HTTP/1.1", HOST],
    arrives: ["OPTIONS * HTTP/1.1", HOST],
  },
  {
    why: "absolute-form of OPTIONS with a query and no path",
    sent: ["OPTIONS http://shop.example?a HTTP/1.1", HOST],
    arrives: ["OPTIONS /?a HTTP/1.1", HOST],
  },
  {
    why: "OPTIONS with a Max-Forwards (RFC 9110 section 7.6.2)",
    sent: ["OPTIONS * HTTP/1.1", "max-forwards: 10", HOST],
    arrives: ["OPTIONS * HTTP/1.1", HOST, "Max-Forwards: 9"],
  },
  {
    why: "OPTIONS with two of them: neither reaches the server as it came",
    sent: ["OPTIONS * HTTP/1.1", "Max-Forwards: 5", HOST, "Max-Forwards: 0"],
    arrives: ["OPTIONS * HTTP/1.1", HOST, "Max-Forwards: 4"],
  },
  {
    why: "TRACE with a Max-Forwards",
    sent: ["TRACE / HTTP/1.1", HOST, "Max-Forwards: 1"],
    arrives: ["TRACE / HTTP/1.1", HOST, "Max-Forwards: 0"],
  },
  {
    why: "chunk extensions belong to one hop (RFC 9112 section 7.1.1)",
    sent: ["POST / HTTP/1.1", HOST, "Transfer-Encoding: chunked"],
    body: '5;a=b\r\nhello\r\n1;c="\\"d;"\r\n!\r\n0;e\r\n\r\n',
    arrives: ["POST / HTTP/1.1", HOST, "Transfer-Encoding: chunked"],
    framed: "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
  },
  {
    why: "fields of one connection (RFC 9110 section 7.6.1)",
    sent: [
      "GET / HTTP/1.1",
      "Keep-Alive: timeout=5",
      HOST,
      "Proxy-Connection: keep-alive",
      "Connection: keep-alive",
      "Upgrade: websocket",
      "Accept: */*",
    ],
    arrives: ["GET / HTTP/1.1", HOST, "Accept: */*"],
  },
  {
    why: "fields that Connection names, in any case and several lists",
    sent: [
      "GET / HTTP/1.1",
      HOST,
      "X-Hop: 1",
      "Connection: x-HOP ,, foo",
      "x-hop: 2",
      "X-End: 3",
      "connection: X-End",
    ],
    arrives: ["GET / HTTP/1.1", HOST],
  },
  {
    why: "what Connection cannot take away",
    sent: [
      "POST / HTTP/1.1",
      HOST,
      "Content-Length: 2",
      "Connection: host, content-length, via",
      "Via: 1.1 a",
    ],
    body: "ok",
    arrives: ["POST / HTTP/1.1", HOST, "Content-Length: 2"],
    via: "1.1 a",
  },
  {
    why: "TE is said anew, of what we pass on (RFC 9110 section 10.1.4)",
    sent: ["GET / HTTP/1.1", HOST, "TE: gzip;q=0.5, trailers", "Connection: TE"],
    arrives: ["GET / HTTP/1.1", HOST],
    last: ["Connection: TE", "TE: trailers"],
  },
  {
    why: "TE without trailers",
    sent: ["GET / HTTP/1.1", HOST, "TE: gzip", "Connection: TE"],
    arrives: ["GET / HTTP/1.1", HOST],
  },
  {
    why: "what a client says of itself that nobody trusts",
    sent: [
      "GET / HTTP/1.1",
      "X-Forwarded-For: 6.6.6.6",
      "X-Forwarded-Proto: https",
      "x-forwarded-for: 7.7.7.7",
      "X-Forwarded-Host: evil.example",
      "X-Forwarded-Port: 443",
      HOST,
      "X-Real-IP: 6.6.6.6",
      "Forwarded: for=6.6.6.6",
      "X-REQUEST-ID: spoofed",
      "X-Forwarded-Other: stays",
    ],
    arrives: ["GET / HTTP/1.1", HOST, "X-Forwarded-Other: stays"],
  },
  {
    why: "Via is a list that grows",
    sent: ["GET / HTTP/1.1", "Via: 1.0 fred", HOST, "via: 1.1 wilma (x, y)"],
    arrives: ["GET / HTTP/1.1", HOST],
    via: "1.0 fred, 1.1 wilma (x, y)",
  },
  {
    why: "HTTP/1.0 is forwarded as HTTP/1.1 (RFC 9112 section 2.3)",
    sent: ["GET /old HTTP/1.0", HOST],
    arrives: ["GET /old HTTP/1.1", HOST],
  },
  {
    why: "HTTP/1.0 without Host",
    sent: ["GET /old?x HTTP/1.0"],
    arrives: ["GET /old?x HTTP/1.1", "Host: ORIGIN"],
    host: "",
  },
  {
    why: "HTTP/1.0 with a body",
    sent: ["POST /old HTTP/1.0", "Content-Length: 3"],
    body: "abc",
    arrives: ["POST /old HTTP/1.1", "Content-Length: 3", "Host: ORIGIN"],
    host: "",
  },
];

const cases: readonly Forwarded[] = [
  ...AS_IT_CAME.map(({ why, lines, body }) => ({
    why: `as it came: ${why}`,
    sent: lines,
    arrives: lines,
    ...(body === undefined ? {} : { body }),
  })),
  ...CHANGED,
];

function wireOf(lines: readonly string[], body = ""): string {
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

/** Sends a request, and holds what its server saw against what it should see. */
async function assertForwarded(proxy: Proxy, request: Forwarded): Promise<void> {
  const { sent, body, arrives, framed = body ?? "", host = "shop.example", via, last = [] } = request;
  const client = await proxy.connect();
  const answer = await client.ask(wireOf(sent, body));
  strictEqual(answer.head.line, "HTTP/1.1 200 OK");
  const lines = arrives.map((line) => line.replace("ORIGIN", proxy.origin.address));
  const behind = last.map((line) => `${line}\r\n`).join("");
  const seen = proxy.origin.requests.at(-1)!;
  strictEqual(masked(seen.head.text), `${lines.join("\r\n")}\r\n${told(proxy.port, host, via)}${behind}\r\n`);
  strictEqual(seen.framed, framed);
}

describe("requests are forwarded", () => {
  for (const request of cases) {
    it(request.why, () => withProxy(() => ok("hello"), (proxy) => assertForwarded(proxy, request)));
  }

  it("one after the other on one connection, whatever they are", () =>
    withProxy(() => ok("hello"), async (proxy) => {
      const client = await proxy.connect();
      const lasting = cases.filter(({ sent }) => sent.every((line) => !line.endsWith("HTTP/1.0")));
      for (const { sent, body } of lasting) {
        strictEqual((await client.ask(wireOf(sent, body))).head.line, "HTTP/1.1 200 OK");
      }
      deepStrictEqual(
        proxy.origin.requests.map(({ framed }) => framed),
        lasting.map((
          { body = "", framed = body },
        ) => framed),
      );
      strictEqual(proxy.origin.connections, 1);
    }));

  it("all at once: answers come in the order of requests (RFC 9112 section 9.3.2)", () =>
    withProxy(({ head, body }) => ok(`${head.line} ${body}`), async (proxy) => {
      const client = await proxy.connect();
      const requests = Array.from(
        { length: 50 },
        (_, number) =>
          number % 3 === 0
            ? wireOf([`GET /${number} HTTP/1.1`, HOST])
            : number % 3 === 1
            ? wireOf([`POST /${number} HTTP/1.1`, HOST, "Content-Length: 9"], "GET / HTT")
            : wireOf(
              [`PUT /${number} HTTP/1.1`, HOST, "Transfer-Encoding: chunked"],
              "3\r\nabc\r\n0\r\n\r\n",
            ),
      );
      await client.send(requests.join(""));
      for (let number = 0; number < requests.length; number++) {
        const wanted = [
          `GET /${number} HTTP/1.1 `,
          `POST /${number} HTTP/1.1 GET / HTT`,
          `PUT /${number} HTTP/1.1 abc`,
        ];
        strictEqual((await client.readAnswer()).body.toString(), wanted[number % 3]);
      }
      strictEqual(proxy.origin.connections, 1);
      strictEqual((await proxy.records(50)).length, 50);
    }));

  it("a second one waits for the first one's answer", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(wireOf(["GET /1 HTTP/1.1", HOST]) + wireOf(["GET /2 HTTP/1.1", HOST]));
      using connection = await proxy.origin.accept();
      match((await connection.readRequest()).head.line, /^GET \/1 /);
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\non");
      strictEqual((await client.readHead()).line, "HTTP/1.1 200 OK");
      strictEqual(await client.readText(2), "on");
      await connection.send("e.");
      strictEqual(await client.readText(2), "e.");
      match((await connection.readRequest()).head.line, /^GET \/2 /);
      await connection.send(ok("two"));
      strictEqual((await client.readAnswer()).body.toString(), "two");
    }));

  it("byte by byte", () =>
    withProxy(() => ok("hello"), async (proxy) => {
      const client = await proxy.connect();
      const head = [
        "POST /drip HTTP/1.1",
        HOST,
        "Transfer-Encoding: chunked",
        "Connection: x-hop",
        "X-Hop: 1",
      ];
      for (const byte of wireOf(head, "5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")) await client.send(byte);
      strictEqual((await client.readAnswer()).body.toString(), "hello");
      const [seen] = proxy.origin.requests;
      strictEqual(
        masked(seen.head.text),
        wireOf([...head.slice(0, 3), told(proxy.port, "shop.example").trimEnd()]),
      );
      strictEqual(seen.framed, "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
    }));

  it("cut in two anywhere", () =>
    withProxy(() => ok("hello"), async (proxy) => {
      const client = await proxy.connect();
      const wire = wireOf(
        ["POST /cut HTTP/1.1", HOST, "Transfer-Encoding: chunked"],
        "5;x\r\nhello\r\n0\r\n\r\n",
      );
      for (let cut = 1; cut < wire.length; cut++) {
        const { reactors: [before] } = await proxy.sluice.status();
        await client.send(wire.slice(0, cut));
        await proxy.sluice.until("the first part to be read", ({ reactors: [now] }) =>
          now.events > before.events);
        strictEqual((await client.ask(wire.slice(cut))).body.toString(), "hello", `cut at ${cut}`);
      }
      for (const { head, framed } of proxy.origin.requests) {
        strictEqual(head.line, "POST /cut HTTP/1.1");
        strictEqual(framed, "5\r\nhello\r\n0\r\n\r\n");
      }
      strictEqual(proxy.origin.requests.length, wire.length - 1);
    }));

  it("each has a number of its own", () =>
    withProxy(() => ok(), async (proxy) => {
      const client = await proxy.connect();
      for (let turn = 0; turn < 20; turn++) await client.ask(wireOf(["GET / HTTP/1.1", HOST]));
      const numbers = proxy.origin.requests.map(({ head }) => valuesOf(head, "x-request-id")[0]);
      for (const number of numbers) match(number, /^[0-9a-f]{32}$/);
      strictEqual(new Set(numbers).size, 20);
    }));

  it("HEAD: an answer without its body, and the next request is understood", () =>
    withProxy(
      ({ head }) => head.line.startsWith("HEAD") ? ok().replace(": 0", ": 5") : ok("hello"),
      async (proxy) => {
        const client = await proxy.connect();
        for (let turn = 0; turn < 3; turn++) {
          const { head } = await client.ask(wireOf(["HEAD / HTTP/1.1", HOST]), "HEAD");
          deepStrictEqual(valuesOf(head, "content-length"), ["5"]);
          strictEqual((await client.ask(wireOf(["GET / HTTP/1.1", HOST]))).body.toString(), "hello");
        }
        strictEqual(proxy.origin.connections, 1);
      },
    ));

  it("HTTP/1.0: one request for each connection, or more if it asks for that", () =>
    withProxy(() => ok("hello", ["Date: then"]), async (proxy) => {
      const start = "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 5\r\n";
      using once = await proxy.connect();
      await once.send(wireOf(["GET / HTTP/1.0"]));
      const { text, ending } = await once.readToEnd();
      strictEqual(text, `${start}Connection: close\r\n\r\nhello`);
      strictEqual(ending, "fin");
      using often = await proxy.connect();
      for (let turn = 0; turn < 3; turn++) {
        const { head } = await often.ask(wireOf(["GET / HTTP/1.0", "Connection: keep-alive"]));
        strictEqual(head.text, `${start}Connection: keep-alive\r\n\r\n`);
      }
      strictEqual(proxy.origin.connections, 1);
    }));

  it("what a trusted proxy says in part is not completed with what we see", () =>
    withConfiguredProxy(() => ok(), { listener: { trust: "127.0.0.0/8" } }, async (proxy) => {
      const client = await proxy.connect();
      const ask = async (...fields: string[]) => {
        await client.ask(wireOf(["GET / HTTP/1.1", HOST, ...fields]));
        const { fields: came } = proxy.origin.requests.at(-1)!.head;
        return came.filter(([name]) => /^x-(forwarded|real)/.test(name)).map(([name, value]) =>
          `${name}: ${value}`
        );
      };
      deepStrictEqual(await ask("X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.1"), [
        "x-forwarded-proto: https",
        "x-forwarded-for: 192.0.2.1, 127.0.0.1",
      ], "neither a port that is not https's, nor a client that is a proxy");
      deepStrictEqual(await ask("X-Forwarded-Host: www.example"), [
        "x-forwarded-host: www.example",
        "x-forwarded-for: 127.0.0.1",
        "x-real-ip: 127.0.0.1",
      ]);
      await proxy.records(2);
    }));

  it("what a trusted proxy says of its client is kept, and we are added", () =>
    withConfiguredProxy(() => ok(), { listener: { trust: "127.0.0.0/8" } }, async (proxy) => {
      const client = await proxy.connect();
      const said = [
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: www.example",
        "X-Forwarded-Port: 443",
        "X-Real-IP: 192.0.2.1",
        "X-Request-ID: chosen-before",
      ];
      await client.ask(wireOf(["GET / HTTP/1.1", HOST, "X-Forwarded-For: 192.0.2.1, 192.0.2.2", ...said]));
      strictEqual(
        proxy.origin.requests[0].head.text,
        wireOf([
          "GET / HTTP/1.1",
          HOST,
          ...said,
          "X-Forwarded-For: 192.0.2.1, 192.0.2.2, 127.0.0.1",
          "Via: 1.1 sluice",
        ]),
      );
    }));
});

interface Refused {
  readonly why: string;
  readonly wire: string;
  readonly status: number;
}

function headOf(...lines: string[]): string {
  return wireOf(["GET / HTTP/1.1", HOST, ...lines]);
}

function postOf(lines: string[], body = ""): string {
  return wireOf(["POST / HTTP/1.1", HOST, ...lines], body);
}

const CHUNKED = "Transfer-Encoding: chunked";
/** A request of HTTP/0.9. */
const SIMPLE = "GET /\r\n";

const REFUSED: readonly Refused[] = [
  { why: "bare LF", wire: "GET / HTTP/1.1\nHost: shop.example\n\n", status: 400 },
  { why: "bare LF in the head", wire: `GET / HTTP/1.1\r\n${HOST}\nX: 1\r\n\r\n`, status: 400 },
  { why: "bare CR in a value", wire: headOf("X: 1\r2"), status: 400 },
  { why: "NUL in a value", wire: headOf("X: \0"), status: 400 },
  { why: "a control character in a value", wire: headOf("X: \x7f"), status: 400 },
  { why: "obs-fold (RFC 9112 section 5.2)", wire: headOf("X: 1", " 2"), status: 400 },
  {
    why: "a line that begins with a space before any field",
    wire: "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    status: 400,
  },
  { why: "space before the colon (section 5.1)", wire: headOf("X : 1"), status: 400 },
  { why: "no name", wire: headOf(": 1"), status: 400 },
  { why: "no colon", wire: headOf("X"), status: 400 },
  { why: "a name that is no token", wire: headOf("X[]: 1"), status: 400 },
  { why: "empty lines before it, more than one", wire: `\r\n\r\n${headOf()}`, status: 400 },
  {
    why: "both Content-Length and Transfer-Encoding",
    wire: postOf(["Content-Length: 5", CHUNKED], "0\r\n\r\n"),
    status: 400,
  },
  {
    why: "Content-Length twice, different",
    wire: postOf(["Content-Length: 5", "Content-Length: 6"], "hello!"),
    status: 400,
  },
  {
    why: "Content-Length twice, the same",
    wire: postOf(["Content-Length: 5", "Content-Length: 5"], "hello"),
    status: 400,
  },
  { why: "a list of Content-Length", wire: postOf(["Content-Length: 5, 5"], "hello"), status: 400 },
  { why: "a signed Content-Length", wire: postOf(["Content-Length: +5"], "hello"), status: 400 },
  { why: "a negative Content-Length", wire: postOf(["Content-Length: -5"], "hello"), status: 400 },
  { why: "a hexadecimal Content-Length", wire: postOf(["Content-Length: 0x5"], "hello"), status: 400 },
  { why: "an empty Content-Length", wire: postOf(["Content-Length:"]), status: 400 },
  { why: "a Content-Length without end", wire: postOf([`Content-Length: ${"9".repeat(30)}`]), status: 400 },
  { why: "chunked twice", wire: postOf(["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n"), status: 400 },
  { why: "chunked not at the end", wire: postOf(["Transfer-Encoding: chunked, gzip"]), status: 400 },
  { why: "identity", wire: postOf(["Transfer-Encoding: identity"]), status: 400 },
  {
    why: "a coding that is almost chunked",
    wire: postOf(["Transfer-Encoding: xchunked"], "0\r\n\r\n"),
    status: 400,
  },
  {
    why: "chunked with a vertical tab",
    wire: postOf(["Transfer-Encoding: \vchunked"], "0\r\n\r\n"),
    status: 400,
  },
  {
    why: "a coding that we do not know before chunked",
    wire: postOf(["Transfer-Encoding: gzip, chunked"]),
    status: 501,
  },
  { why: "chunked in HTTP/1.0", wire: wireOf(["POST / HTTP/1.0", CHUNKED], "0\r\n\r\n"), status: 400 },
  { why: "a chunk size that is none", wire: postOf([CHUNKED], "x\r\n\r\n"), status: 400 },
  { why: "a signed chunk size", wire: postOf([CHUNKED], "+5\r\nhello\r\n0\r\n\r\n"), status: 400 },
  { why: "a chunk size with 0x", wire: postOf([CHUNKED], "0x5\r\nhello\r\n0\r\n\r\n"), status: 400 },
  {
    why: "a chunk that is longer than it says",
    wire: postOf([CHUNKED], "4\r\nhello\r\n0\r\n\r\n"),
    status: 400,
  },
  {
    why: "a chunk whose size line ends in LF",
    wire: postOf([CHUNKED], "5\nhello\r\n0\r\n\r\n"),
    status: 400,
  },
  { why: "a chunk size beyond all bounds", wire: postOf([CHUNKED], `${"f".repeat(17)}\r\n`), status: 400 },
  { why: "no Host", wire: wireOf(["GET / HTTP/1.1"]), status: 400 },
  { why: "two Hosts", wire: headOf("Host: other.example"), status: 400 },
  { why: "a Host with a path", wire: wireOf(["GET / HTTP/1.1", "Host: a.example/b"]), status: 400 },
  { why: "a Host with a user", wire: wireOf(["GET / HTTP/1.1", "Host: me@a.example"]), status: 400 },
  {
    why: "a Host with a port that is none",
    wire: wireOf(["GET / HTTP/1.1", "Host: a.example:x"]),
    status: 400,
  },
  {
    why: "a Host with two words",
    wire: wireOf(["GET / HTTP/1.1", "Host: a.example b.example"]),
    status: 400,
  },
  {
    why: "absolute-form and Host differ",
    wire: wireOf(["GET http://other.example/ HTTP/1.1", HOST]),
    status: 400,
  },
  {
    why: "absolute-form of another scheme",
    wire: wireOf(["GET ftp://shop.example/ HTTP/1.1", HOST]),
    status: 400,
  },
  { why: "a target without a slash", wire: wireOf(["GET index.html HTTP/1.1", HOST]), status: 400 },
  { why: "a target with a fragment", wire: wireOf(["GET /#top HTTP/1.1", HOST]), status: 400 },
  { why: "a target with a space", wire: wireOf(["GET /a b HTTP/1.1", HOST]), status: 400 },
  { why: "a target with a byte above 127", wire: wireOf(["GET /\xfc HTTP/1.1", HOST]), status: 400 },
  { why: "an asterisk for GET", wire: wireOf(["GET * HTTP/1.1", HOST]), status: 400 },
  { why: "two spaces in the request line", wire: wireOf(["GET  / HTTP/1.1", HOST]), status: 400 },
  { why: "a space behind the version", wire: wireOf(["GET / HTTP/1.1 ", HOST]), status: 400 },
  { why: "a version in lower case", wire: wireOf(["GET / http/1.1", HOST]), status: 400 },
  { why: "a method that is no token", wire: wireOf(["G@T / HTTP/1.1", HOST]), status: 400 },
  { why: "a body of TRACE", wire: wireOf(["TRACE / HTTP/1.1", HOST, "Content-Length: 1"], "x"), status: 400 },
  { why: "the first bytes of TLS", wire: "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", status: 400 },
  { why: "HTTP/0.9", wire: SIMPLE, status: 505 },
  { why: "HTTP/1.2", wire: wireOf(["GET / HTTP/1.2", HOST]), status: 505 },
  { why: "HTTP/2", wire: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", status: 505 },
  { why: "a method without end", wire: wireOf([`${"M".repeat(40)} / HTTP/1.1`, HOST]), status: 501 },
  { why: "a target without end", wire: wireOf([`GET /${"a".repeat(8_192)} HTTP/1.1`, HOST]), status: 414 },
  { why: "a head without end", wire: headOf(`X: ${"a".repeat(16_384)}`), status: 431 },
  {
    why: "fields without end",
    wire: headOf(...Array.from({ length: 128 }, (_, number) => `X-${number}: 1`)),
    status: 431,
  },
  {
    why: "an expectation that nobody knows",
    wire: postOf(["Expect: 200-ok", "Content-Length: 1"], "x"),
    status: 417,
  },
];

/** An error that Sluice says itself, to a client that is let go. */
async function assertRefused(proxy: Proxy, wire: string, status: number): Promise<void> {
  using client = await proxy.connect();
  await client.send(wire);
  const { head, body } = await client.readAnswer();
  strictEqual(statusOf(head), status);
  deepStrictEqual(valuesOf(head, "connection"), ["close"]);
  deepStrictEqual(valuesOf(head, "content-length"), [String(body.length)]);
  deepStrictEqual(valuesOf(head, "content-type"), ["text/plain; charset=utf-8"]);
  match(valuesOf(head, "proxy-status").join(), /^sluice; error=http_request_error(; details="[^"]+")?$/);
  match(body.toString(), new RegExp(`^${status} [A-Z][A-Za-z ]+: .+\n$`));
  deepStrictEqual(await client.readToEnd(), { text: "", ending: "fin" });
}

describe("requests are refused", () => {
  it("each for its reason, and nothing of them reaches the server", () =>
    withProxy(undefined, async (proxy) => {
      for (const { why, wire, status } of REFUSED) {
        await assertRefused(proxy, wire, status).catch((error) => {
          throw new Error(`${why}: ${(error as Error).message}`);
        });
      }
      const records = await proxy.records(REFUSED.length);
      deepStrictEqual(records.map(({ status }) => status), REFUSED.map(({ status }) => status));
      for (const { reason, type, detail } of records) {
        deepStrictEqual([reason, type], ["bad_request", "http_request_error"]);
        match(String(detail), /^[A-Z].*\.$/);
      }
      // A server may have been connected for a head before its body was seen to be none.
      holds(proxy.origin.connections <= REFUSED.filter(({ wire }) => wire.includes(CHUNKED)).length);
      for (let count = proxy.origin.connections; count > 0; count--) {
        using connection = await proxy.origin.accept();
        strictEqual((await connection.readToEnd()).text, "");
      }
    }));

  it("byte by byte as well", () =>
    withProxy(() => ok(), async (proxy) => {
      // HTTP/0.9 has no end of a head by which to notice it: that one takes too long instead.
      for (
        const { why, wire, status } of REFUSED.filter(({ wire }) => wire.length < 200 && wire !== SIMPLE)
      ) {
        const client = await proxy.connect();
        // The answer may come, and the connection end, before all is sent.
        for (const byte of wire) await client.send(byte).catch(() => {});
        strictEqual(statusOf((await client.readAnswer()).head), status, why);
      }
      strictEqual(proxy.origin.requests.length, 0);
    }));

  it("of no more hops: OPTIONS is answered here, TRACE is not repeated", () =>
    withProxy(() => ok(), async (proxy) => {
      const client = await proxy.connect();
      const ask = async (method: string) =>
        await client.ask(`${method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n`);
      const options = await ask("OPTIONS");
      deepStrictEqual([statusOf(options.head), options.body.length], [200, 0]);
      strictEqual(statusOf((await ask("TRACE")).head), 501);
      strictEqual(proxy.origin.requests.length, 0);
      deepStrictEqual((await proxy.records(2)).map(({ reason }) => reason), ["answered", "bad_request"]);
    }));

  it("what a route sets or removes does not come by a name that CGI takes for the same", () => {
    const request = { set: { "X-User": "guest" }, remove: ["X-Admin"], rename: { "X-Old-Name": "X-New" } };
    const routes = [{ headers: { request }, to: "app" }];
    return withConfiguredProxy(() => ok(), { listener: { to: undefined, routes } }, async (proxy) => {
      const client = await proxy.connect();
      const sent = [
        "X_User: root",
        "x-user: root",
        "X_ADMIN: 1",
        "X-Old_Name: a",
        "X-Old-Name: b",
        "X_Else: 1",
      ];
      await client.ask(wireOf(["GET / HTTP/1.1", HOST, ...sent]));
      const { fields } = proxy.origin.requests[0].head;
      const ours = fields.filter(([name]) => /user|admin|old|new|else/.test(name));
      deepStrictEqual(ours.sort(), [["x-new", "b"], ["x-user", "guest"], ["x_else", "1"]]);
      await proxy.records(1);
    });
  });

  it("whose rewritten host is none: 400", () => {
    const routes = [{ match: { path: "/{name}/x" }, rewrite: { host: "{name}.example" }, to: "app" }];
    return withConfiguredProxy(() => ok(), { listener: { to: undefined, routes } }, async (proxy) => {
      const client = await proxy.connect();
      strictEqual(statusOf((await client.ask(wireOf(["GET /a/x HTTP/1.1", HOST]))).head), 200);
      deepStrictEqual(valuesOf(proxy.origin.requests[0].head, "host"), ["a.example"]);
      strictEqual(statusOf((await client.ask(wireOf(["GET /a%20b/x HTTP/1.1", HOST]))).head), 400);
      const [, { detail }] = await proxy.records(2);
      strictEqual(detail, "The host is neither a name nor an IP address.");
      strictEqual(proxy.origin.requests.length, 1);
    });
  });

  it("a base path is not left by what comes behind it: 400", async () => {
    await using origin = await HttpOrigin.listen(() => ok());
    using sluice = await Sluice.start([...ALONE, `http://127.0.0.1:0=http://${origin.address}/base`]);
    using client = await HttpPeer.connect(sluice.port());
    const ask = async (path: string) =>
      statusOf((await client.ask(wireOf([`GET ${path} HTTP/1.1`, HOST]))).head);
    const leaving = ["/../admin", "/a/../../admin", "/%2e%2e/admin", "/.%2E", "/%zz"];
    const ambiguous = [
      "/..%2fadmin",
      "/x//../../admin",
      "/x%2f..%2f..%2fadmin",
      "/x%2fy/../../admin",
      "/..\\x",
    ];
    for (const path of [...leaving, ...ambiguous]) {
      strictEqual(await ask(path), 400, path);
    }
    strictEqual(origin.requests.length, 0);
    for (const path of ["/a/../b", "/..a", "/a/%2e"]) strictEqual(await ask(path), 200, path);
    deepStrictEqual(origin.requests.map(({ head }) => head.line.split(" ")[1]), [
      "/base/a/../b",
      "/base/..a",
      "/base/a/%2e",
    ]);
    client[Symbol.dispose]();
    await origin.kill();
    await sluice.finish();
  });

  it("CONNECT: this is no forward proxy", () =>
    withProxy(() => ok(), async (proxy) => {
      const client = await proxy.connect();
      await client.send("CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n");
      const status = statusOf((await client.readAnswer()).head);
      holds([400, 403, 404, 405, 501].includes(status), `status ${status}`);
      strictEqual(proxy.origin.connections, 0);
    }));

  it("what came before is answered first", () =>
    withProxy(() => ok("good"), async (proxy) => {
      const client = await proxy.connect();
      await client.send(headOf() + headOf("X : 1") + headOf());
      strictEqual((await client.readAnswer()).body.toString(), "good");
      strictEqual(statusOf((await client.readAnswer()).head), 400);
      deepStrictEqual(await client.readToEnd(), { text: "", ending: "fin" });
      strictEqual(proxy.origin.requests.length, 1);
    }));

  it("a body that turns out to be none: the server sees that it is incomplete", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(postOf([CHUNKED], "5\r\nhello\r\n"));
      using connection = await proxy.origin.accept();
      await connection.readHead();
      strictEqual(await connection.readText(10), "5\r\nhello\r\n");
      await client.send("oops\r\n\r\n");
      strictEqual(statusOf((await client.readAnswer()).head), 400);
      strictEqual((await connection.readToEnd()).text, "");
      deepStrictEqual(await client.readToEnd(), { text: "", ending: "fin" });
    }));

  it("a body larger than body-max: 413", () =>
    withConfiguredProxy(
      () => ok(),
      { listener: { to: undefined, routes: [{ to: "app", "body-max": "10B" }] } },
      async (proxy) => {
        const client = await proxy.connect();
        strictEqual(statusOf((await client.ask(postOf(["Content-Length: 10"], "0123456789"))).head), 200);
        strictEqual(statusOf((await client.ask(postOf(["Content-Length: 11"], "0123456789a"))).head), 413);
        strictEqual(proxy.origin.requests.length, 1);
        const other = await proxy.connect();
        await other.send(postOf([CHUNKED], "b\r\n0123456789a\r\n0\r\n\r\n"));
        strictEqual(statusOf((await other.readAnswer()).head), 413);
        strictEqual(proxy.origin.requests.length, 1);
      },
    ));
});

describe("a request that goes in circles", () => {
  const passes = (count: number): string => `Via: ${Array(count).fill("1.1 sluice").join(", ")}`;

  it("is refused once it has passed too often: 502, with its reason", () =>
    withProxy(() => ok(), async (proxy) => {
      const client = await proxy.connect();
      strictEqual(statusOf((await client.ask(wireOf(["GET / HTTP/1.1", HOST, passes(16)]))).head), 200);
      const { head } = await client.ask(wireOf(["GET / HTTP/1.1", HOST, passes(17)]));
      strictEqual(statusOf(head), 502);
      match(valuesOf(head, "proxy-status").join(), /error=proxy_loop_detected/);
      strictEqual(proxy.origin.requests.length, 1);
    }));
});

describe("clients that take too long", () => {
  const TIMES = { "request-head": "300ms", "body-stall": "300ms", "client-idle": "300ms" };

  it("with a head: 408", () =>
    withConfiguredProxy(() => ok(), { listener: { timeouts: TIMES } }, async (proxy) => {
      for (const start of ["G", headOf().slice(0, -2)]) {
        const client = await proxy.connect();
        await client.send(start);
        const { head } = await client.readAnswer();
        strictEqual(statusOf(head), 408);
        deepStrictEqual(valuesOf(head, "connection"), ["close"]);
        deepStrictEqual(await client.readToEnd(), { text: "", ending: "fin" });
      }
      for (const { reason, duration_ms } of await proxy.records(2)) {
        strictEqual(reason, "request_timeout");
        notStrictEqual(duration_ms, null);
      }
      strictEqual(proxy.origin.connections, 0);
    }));

  it("with a drip of a head: its time does not begin anew", () =>
    withConfiguredProxy(() => ok(), { listener: { timeouts: TIMES } }, async (proxy) => {
      const client = await proxy.connect();
      const begun = performance.now();
      let answered = false;
      const answer = client.readAnswer().finally(() => answered = true);
      await client.send("GET / HTTP/1.1\r\nX: ");
      while (!answered && performance.now() - begun < 5_000) {
        await client.send("x").catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      strictEqual(statusOf((await answer).head), 408);
      holds(performance.now() - begun < 2_000);
    }));

  it("with a body: 408", () =>
    withConfiguredProxy(undefined, { listener: { timeouts: TIMES } }, async (proxy) => {
      const client = await proxy.connect();
      await client.send(postOf(["Content-Length: 10"], "01234"));
      using connection = await proxy.origin.accept();
      await connection.readHead();
      strictEqual(await connection.readText(5), "01234");
      strictEqual(statusOf((await client.readAnswer()).head), 408);
      strictEqual((await connection.readToEnd()).text, "");
      strictEqual((await proxy.records(1))[0].reason, "request_timeout");
    }));

  it("with a further request, or a first one: let go without a word", () =>
    withConfiguredProxy(() => ok(), { listener: { timeouts: TIMES } }, async (proxy) => {
      const client = await proxy.connect();
      await client.ask(headOf());
      deepStrictEqual(await client.readToEnd(), { text: "", ending: "fin" });
      const other = await proxy.connect();
      deepStrictEqual(await other.readToEnd(), { text: "", ending: "fin" });
      // Both are counted; only the request has a record.
      deepStrictEqual((await proxy.sluice.status()).totals.ended, { finished: 1, client_idle: 2 });
      strictEqual((await proxy.records(1)).length, 1);
    }));
});

describe("a record says how many bytes went to the server, heads included", () => {
  const LONG = "x".repeat(10_000);
  const BODIES: readonly (readonly [why: string, request: string])[] = [
    ["none", headOf()],
    ["of known length", postOf([`Content-Length: ${LONG.length}`], LONG)],
    ["in chunks, extensions taken out", postOf([CHUNKED], `2710;a=b\r\n${LONG}\r\n0;c\r\n\r\n`)],
  ];
  for (const [why, request] of BODIES) {
    it(`a body ${why}: to a new connection or a kept one, with the next request behind it or without`, () =>
      withProxy(() => ok(), async (proxy) => {
        const client = await proxy.connect();
        await client.ask(request);
        await client.ask(request);
        await client.send(request + request);
        await client.readAnswer();
        await client.readAnswer();
        const records = await proxy.records(4);
        deepStrictEqual(records.map(({ reused }) => reused), [false, true, true, true]);
        const came = proxy.origin.requests.map(({ head, framed }) => head.text.length + framed.length);
        deepStrictEqual(records.map(({ up_bytes }) => up_bytes), came);
      }));
  }

  it("and behind them, when it has become a tunnel", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(`${headOf("Connection: upgrade", "Upgrade: echo")}hello`);
      using connection = await proxy.origin.accept();
      const { text } = await connection.readHead();
      await connection.send("HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
      strictEqual(await connection.readText(5), "hello");
      await client.readHead();
      await client.send(" world");
      strictEqual(await connection.readText(6), " world");
      client.end();
      connection.end();
      strictEqual((await proxy.records(1))[0].up_bytes, text.length + 11);
    }));
});

describe("what a route says about the client itself", () => {
  const HEX = /^[0-9a-f]{32}$/;

  /** What a server sees of these fields when its only route has such edits. */
  async function seen(
    headers: object,
    sent: readonly string[],
    names: readonly string[],
    options: { readonly trust?: readonly string[]; readonly forwarded?: object } = {},
  ): Promise<string[][]> {
    let values: string[][] = [];
    const listener = { to: undefined, routes: [{ headers, to: "app" }], ...options };
    await withConfiguredProxy(() => ok(), { listener }, async (proxy) => {
      const client = await proxy.connect();
      strictEqual(statusOf((await client.ask(wireOf(["GET / HTTP/1.1", HOST, ...sent]))).head), 200);
      values = names.map((name) => valuesOf(proxy.origin.requests[0].head, name));
    });
    return values;
  }

  it("goes before what the listener says: set, once", async () => {
    const set = { "x-forwarded-proto": "https", "X-Forwarded-For": "192.0.2.1", "X-Real-IP": "192.0.2.2" };
    deepStrictEqual(
      await seen({ request: { set } }, [], ["x-forwarded-proto", "x-forwarded-for", "x-real-ip"]),
      [
        ["https"],
        ["192.0.2.1"],
        ["192.0.2.2"],
      ],
    );
  });

  it("also where a trusted client said something else", async () => {
    const set = { "X-Forwarded-For": "192.0.2.1" };
    const sent = ["X-Forwarded-For: 198.51.100.1", "X-Real-IP: 198.51.100.1"];
    const trust = ["127.0.0.0/8"];
    deepStrictEqual(await seen({ request: { set } }, sent, ["x-forwarded-for", "x-real-ip"], { trust }), [
      ["192.0.2.1"],
      ["198.51.100.1"],
    ]);
  });

  it("removed, and made of another field", async () => {
    const request = { remove: ["X-Forwarded-For", "X-Request-ID"], rename: { "X-Client": "X-Real-IP" } };
    const names = ["x-forwarded-for", "x-request-id", "x-real-ip", "x-client"];
    deepStrictEqual(await seen({ request }, ["X-Client: 192.0.2.9"], names), [[], [], ["192.0.2.9"], []]);
  });

  it("added besides", async () => {
    const add = { "X-Forwarded-Proto": "https" };
    deepStrictEqual(await seen({ request: { add } }, [], ["x-forwarded-proto"]), [["http", "https"]]);
  });

  it("{request-id} is the number that is forwarded", async () => {
    const set = { "X-Trace": "{request-id}" };
    const [[trace], [id]] = await seen({ request: { set } }, [], ["x-trace", "x-request-id"]);
    match(id, HEX);
    strictEqual(trace, id);
  });

  for (
    const [why, request, options] of [
      ["as X-Request-ID itself", { set: { "X-Trace": "{request-id}", "X-Request-ID": "{request-id}" } }, {}],
      ["where none is forwarded", { set: { "X-Trace": "{request-id}" } }, {
        forwarded: { "x-request-id": "off" },
      }],
    ] as const
  ) {
    it(`{request-id} is one of our own: ${why}`, async () => {
      const [[trace], ids] = await seen(
        { request },
        ["X-Request-ID: of nobody"],
        ["x-trace", "x-request-id"],
        options,
      );
      match(trace, HEX);
      deepStrictEqual(ids, "forwarded" in options ? [] : [trace]);
    });
  }

  it("{request-id} is the same in request and answer, and in answers of our own", async () => {
    const headers = {
      request: { set: { "X-Trace": "{request-id}" } },
      response: { set: { "X-Id": "{request-id}" } },
    };
    const routes = [
      {
        match: { path: "/own" },
        headers: { response: headers.response },
        respond: { status: 200, body: "" },
      },
      {
        match: { path: "/moved" },
        headers: { response: headers.response },
        redirect: { to: "/to/{request-id}" },
      },
      { headers, to: "app" },
    ];
    const listener = { to: undefined, routes, trust: ["127.0.0.0/8"] };
    await withConfiguredProxy(() => ok(), { listener }, async (proxy) => {
      const client = await proxy.connect();
      const ask = async (path: string, ...fields: string[]) =>
        (await client.ask(wireOf([`GET ${path} HTTP/1.1`, HOST, ...fields]))).head;
      for (const [fields, want] of [[[], HEX], [["X-Request-ID: mine/1"], /^mine\/1$/]] as const) {
        const [id] = valuesOf(await ask("/", ...fields), "x-id"), server = proxy.origin.requests.at(-1)!.head;
        match(id, want);
        deepStrictEqual(valuesOf(server, "x-trace"), [id]);
        deepStrictEqual(valuesOf(server, "x-request-id"), [id]);
        match(valuesOf(await ask("/own", ...fields), "x-id")[0], want);
        const moved = await ask("/moved", ...fields);
        deepStrictEqual(valuesOf(moved, "location"), [`/to/${valuesOf(moved, "x-id")[0]}`]);
      }
    });
  });
});
