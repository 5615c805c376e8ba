// Connections under requests: kept and used again on both sides, given up when either side wants it, and
// what happens to a request whose connection ends under it.
import { deepStrictEqual, match, ok as holds, rejects, strictEqual } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Sluice } from "../support/executable.ts";
import { HttpOrigin, ok } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { ALONE, type Proxy, withConfiguredProxy, withProxy } from "../support/http_proxy.ts";
import { Peer } from "../support/peer.ts";
import type { Status } from "../support/status.ts";
import { sendStream } from "../support/stream.ts";
import { until, within } from "../support/waiting.ts";

const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const LAST_GET = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

function postOf(body: string, ...fields: string[]): string {
  const lines = ["POST / HTTP/1.1", "Host: shop.example", ...fields, `Content-Length: ${body.length}`];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

/** The whole answer to the last request of a client's connection, which then ends well. */
async function lastAnswer(client: HttpPeer): Promise<{ status: number; body: string }> {
  const { head, body } = await client.readAnswer();
  deepStrictEqual(valuesOf(head, "connection"), ["close"]);
  deepStrictEqual(await client.readToEnd(), { text: "", ending: "fin" });
  return { status: statusOf(head), body: body.toString() };
}

describe("connections are kept", () => {
  it("a hundred requests of one client: one connection to the server", () =>
    withProxy(({ body }) => ok(`got ${body}`), async (proxy) => {
      const client = await proxy.connect();
      for (let turn = 0; turn < 100; turn++) {
        strictEqual((await client.ask(postOf(`${turn}`))).body.toString(), `got ${turn}`);
      }
      strictEqual(proxy.origin.connections, 1);
      strictEqual((await proxy.sluice.status()).totals.connections.total, 1);
      const records = await proxy.records(100);
      deepStrictEqual(records.map(({ reused }) => reused), records.map((_, turn) => turn > 0));
    }));

  it("a hundred clients, one after the other: one connection to the server", () =>
    withProxy(() => ok("hello"), async (proxy) => {
      for (let turn = 0; turn < 100; turn++) {
        using client = await proxy.connect();
        await client.send(LAST_GET);
        deepStrictEqual(await lastAnswer(client), { status: 200, body: "hello" });
      }
      strictEqual(proxy.origin.connections, 1);
    }));

  it("ten clients at once: at most ten connections to the server", () =>
    withProxy(({ body }) => ok(`got ${body}`), async (proxy) => {
      const clients = await Promise.all(Array.from({ length: 10 }, () => proxy.connect()));
      for (let turn = 0; turn < 20; turn++) {
        await Promise.all(clients.map(async (client, number) => {
          const said = `${number} ${turn}`;
          strictEqual((await client.ask(postOf(said))).body.toString(), `got ${said}`);
        }));
      }
      holds(proxy.origin.connections <= 10, `${proxy.origin.connections} connections`);
    }));

  it("the one used last is used first", () =>
    withProxy(undefined, async (proxy) => {
      const [one, two] = [await proxy.connect(), await proxy.connect()];
      await one.send(GET);
      using first = await proxy.origin.accept();
      await two.send(GET);
      using second = await proxy.origin.accept();
      for (const [connection, client] of [[second, two], [first, one]]) {
        await connection.readRequest();
        await connection.send(ok("hello"));
        await client.readAnswer();
      }
      for (const client of [one, two, one]) {
        await client.send(GET);
        await first.readRequest();
        await first.send(ok("hello"));
        await client.readAnswer();
      }
      strictEqual(proxy.origin.connections, 2);
    }));

  it("not when they are not wanted: keep-alive off", () =>
    withConfiguredProxy(() => ok("hello"), { upstream: { "keep-alive": "off" } }, async (proxy) => {
      const client = await proxy.connect();
      for (let turn = 0; turn < 5; turn++) strictEqual((await client.ask(GET)).body.toString(), "hello");
      strictEqual(proxy.origin.connections, 5);
    }));

  it("not for longer than keep-alive.idle", () =>
    withConfiguredProxy(undefined, { upstream: { "keep-alive": { idle: "300ms" } } }, async (proxy) => {
      const client = await proxy.connect();
      await client.send(GET);
      using connection = await proxy.origin.accept();
      await connection.readRequest();
      await connection.send(ok("hello"));
      await client.readAnswer();
      const begun = performance.now();
      deepStrictEqual(await connection.readToEnd(), { text: "", ending: "fin" });
      const after = performance.now() - begun;
      holds(after > 250 && after < 2_000, `after ${after} ms`);
    }));
});

describe("a server's connection ends", () => {
  it("between two requests: the next one takes a new connection", () =>
    withProxy(async (_, connection) => {
      await connection.send(ok("hello"));
      connection.end();
      await connection.ending();
    }, async (proxy) => {
      const client = await proxy.connect();
      for (let turn = 0; turn < 20; turn++) strictEqual((await client.ask(GET)).body.toString(), "hello");
      holds(proxy.origin.connections >= 20 && proxy.origin.connections <= 40);
      for (const { status, reason } of await proxy.records(20)) {
        deepStrictEqual([status, reason], [200, "finished"]);
      }
    }));

  it("as it says: Connection: close is not passed on, and the connection is not used again", () =>
    withProxy(async (_, connection) => {
      await connection.send(ok("hello", ["Connection: close", "Date: then"]));
      strictEqual(await connection.ending(), "fin");
    }, async (proxy) => {
      const client = await proxy.connect();
      for (let turn = 0; turn < 5; turn++) {
        const { head } = await client.ask(GET);
        strictEqual(head.text, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 5\r\n\r\n");
      }
      strictEqual(proxy.origin.connections, 5);
      deepStrictEqual((await proxy.records(5)).map(({ reused }) => reused), Array(5).fill(false));
    }));

  for (const how of ["fin", "reset"] as const) {
    const leave = (connection: HttpPeer) => how === "fin" ? connection.end() : connection.reset();

    it(`with a ${how}, exactly when the next GET arrives: asked once more, and nobody notices`, () => {
      let turn = 0;
      return withProxy(
        (_, connection) => ++turn === 2 ? leave(connection) : ok(`answer ${turn}`),
        async (proxy) => {
          const client = await proxy.connect();
          strictEqual((await client.ask(GET)).body.toString(), "answer 1");
          strictEqual((await client.ask(GET)).body.toString(), "answer 3");
          strictEqual(proxy.origin.connections, 2);
          const [, { status, reason }] = await proxy.records(2);
          deepStrictEqual([status, reason], [200, "finished"]);
          const [, lost, again] = proxy.origin.requests;
          strictEqual(lost.head.line, again.head.line);
        },
      );
    });

    it(`with a ${how}, exactly when the next POST arrives: it may have been obeyed, so 502`, () => {
      let turn = 0;
      return withProxy(
        (_, connection) => ++turn % 2 === 0 ? leave(connection) : ok(`answer ${turn}`),
        async (proxy) => {
          const client = await proxy.connect();
          strictEqual((await client.ask(GET)).body.toString(), "answer 1");
          strictEqual(statusOf((await client.ask(postOf("order"))).head), 502);
          strictEqual((await client.ask(GET)).body.toString(), "answer 3");
          strictEqual(statusOf((await client.ask(postOf(""))).head), 502);
          strictEqual(proxy.origin.requests.length, 4);
          strictEqual((await proxy.records(4))[1].reason, "server_reset");
        },
      );
    });

    it(`with a ${how}, again and again: asked twice, not more`, () => {
      let turn = 0;
      return withProxy((_, connection) => ++turn > 1 ? leave(connection) : ok("hello"), async (proxy) => {
        const client = await proxy.connect();
        strictEqual((await client.ask(GET)).body.toString(), "hello");
        strictEqual(statusOf((await client.ask(GET)).head), 502);
        strictEqual(proxy.origin.requests.length, 3);
      });
    });
  }

  it("after the first byte of an answer: not asked again", () => {
    let turn = 0;
    return withProxy(async (_, connection) => {
      if (++turn === 1) return ok("hello");
      await connection.send("H");
      return connection.end();
    }, async (proxy) => {
      const client = await proxy.connect();
      strictEqual((await client.ask(GET)).body.toString(), "hello");
      strictEqual(statusOf((await client.ask(GET)).head), 502);
      strictEqual(proxy.origin.requests.length, 2);
    });
  });

  it("goes to the next server: this one may be ending", async () => {
    await using well = await HttpOrigin.listen(() => ok("well"));
    let requests = 0;
    await using dying = await HttpOrigin.listen((_, connection) => {
      if (++requests > 1) connection.reset();
      return requests > 1 ? undefined : ok("dying");
    });
    const targets = `${dying.address},${well.address}`;
    using sluice = await Sluice.start([...ALONE, `http://127.0.0.1:0=${targets}`]);
    using client = await HttpPeer.connect(sluice.port());
    const said: string[] = [];
    for (let turn = 0; turn < 3; turn++) said.push((await client.ask(GET)).body.toString());
    deepStrictEqual(said, ["dying", "well", "well"]);
    strictEqual((await sluice.status()).totals.repeats, 1);
    deepStrictEqual([requests, dying.connections], [2, 1], "the dying one is not asked once more");
    client[Symbol.dispose]();
    await Promise.all([well.kill(), dying.kill()]);
    await sluice.finish();
  });

  it("when the server is gone for good: 502", () =>
    withProxy(() => ok("hello"), async (proxy) => {
      const client = await proxy.connect();
      strictEqual((await client.ask(GET)).body.toString(), "hello");
      await proxy.origin.kill();
      strictEqual(statusOf((await client.ask(GET)).head), 502);
      strictEqual((await proxy.records(2))[1].reason, "connection_refused");
    }));
});

describe("a client's connection ends", () => {
  it("as it says: Connection: close in any case, among others", () =>
    withProxy(() => ok("hello"), async (proxy) => {
      for (const value of ["close", "Close", "x-other, CLOSE", "keep-alive, close"]) {
        using client = await proxy.connect();
        await client.send(`GET / HTTP/1.1\r\nHost: a\r\nConnection: ${value}\r\n\r\n`);
        deepStrictEqual(await lastAnswer(client), { status: 200, body: "hello" });
      }
      strictEqual(proxy.origin.connections, 1);
    }));

  it("what it sends behind its last request is not looked at", () =>
    withProxy(() => ok("hello"), async (proxy) => {
      const client = await proxy.connect();
      await client.send(LAST_GET + GET);
      deepStrictEqual(await lastAnswer(client), { status: 200, body: "hello" });
      strictEqual(proxy.origin.requests.length, 1);
    }));

  for (
    const [how, request] of [["HTTP/1.1 with Connection: close", LAST_GET], [
      "HTTP/1.0",
      "GET / HTTP/1.0\r\n\r\n",
    ]]
  ) {
    it(`half, after its last request: ${how}`, () =>
      withProxy(undefined, async (proxy) => {
        const client = await proxy.connect();
        await client.send(request);
        using connection = await proxy.origin.accept();
        await connection.readRequest();
        const { reactors: [before] } = await proxy.sluice.status();
        client.end();
        await proxy.sluice.until("the end to be seen", ({ reactors: [now] }) => now.events > before.events);
        await connection.send(ok("hello"));
        deepStrictEqual(await lastAnswer(client), { status: 200, body: "hello" });
        strictEqual((await proxy.records(1))[0].reason, "finished");
      }));
  }

  it("half, with several requests under way: all are answered", () =>
    withProxy(({ head }) => ok(head.line), async (proxy) => {
      const client = await proxy.connect();
      for (const number of [1, 2, 3]) await client.send(GET.replace("/", `/${number}`));
      await client.send(LAST_GET.replace("/", "/4"));
      client.end();
      for (const number of [1, 2, 3]) {
        strictEqual((await client.readAnswer()).body.toString(), `GET /${number} HTTP/1.1`);
      }
      strictEqual((await lastAnswer(client)).body, "GET /4 HTTP/1.1");
    }));

  for (const how of ["fin", "reset"] as const) {
    it(`with a ${how} while its answer is awaited: the server is told at once`, () =>
      withProxy(undefined, async (proxy) => {
        const client = await proxy.connect();
        await client.send(GET);
        using connection = await proxy.origin.accept();
        await connection.readRequest();
        if (how === "fin") client.end();
        else client.reset();
        strictEqual((await connection.readToEnd()).text, "");
        const [{ reason, status }] = await proxy.records(1);
        deepStrictEqual([reason, status], [how === "fin" ? "client_gone" : "client_reset", null]);
      }));
  }

  describe("with a fin that comes with its request", () => {
    /** Whether the end of a client's stream has arrived: /proc/net/tcp has its state, FIN_WAIT2. */
    function hasEnded(client: HttpPeer): boolean {
      const port = client.peer.socket.localPort!.toString(16).toUpperCase().padStart(4, "0");
      const line = new RegExp(`^ *[0-9]+: 0100007F:${port} [0-9A-F]{8}:[0-9A-F]{4} 05 `, "m");
      return line.test(readFileSync("/proc/net/tcp", "latin1"));
    }

    /** Whether every thread of Sluice is stopped. */
    function isStopped(pid: number): boolean {
      return readdirSync(`/proc/${pid}/task`).every((thread) =>
        / T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1"))
      );
    }

    /** Sends bytes and an end of stream while Sluice is stopped: it hears of both in one event. */
    async function sendAtOnce(proxy: Proxy, client: HttpPeer | undefined, bytes: string): Promise<HttpPeer> {
      process.kill(proxy.sluice.pid, "SIGSTOP");
      try {
        await until("Sluice to be stopped", () => isStopped(proxy.sluice.pid));
        const sender = client ?? await proxy.connect();
        await sender.send(bytes);
        sender.end();
        await until("the kernel to have taken the end of the stream", () => hasEnded(sender));
        return sender;
      } finally {
        process.kill(proxy.sluice.pid, "SIGCONT");
      }
    }

    /** A server's connection that is kept. */
    async function keptConnection(proxy: Proxy): Promise<HttpPeer> {
      const client = await proxy.connect();
      await client.send(GET);
      const connection = await proxy.origin.accept();
      await connection.readRequest();
      await connection.send(ok());
      await client.readAnswer();
      return connection;
    }

    it("the server is told at once", () =>
      withProxy(undefined, async (proxy) => {
        using connection = await keptConnection(proxy);
        await sendAtOnce(proxy, undefined, GET);
        await connection.readRequest();
        strictEqual((await connection.readToEnd()).text, "");
        const [, { reason, status }] = await proxy.records(2);
        deepStrictEqual([reason, status], ["client_gone", null]);
      }));

    it("or with the end of its body", () =>
      withProxy(undefined, async (proxy) => {
        const client = await proxy.connect();
        await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
        using connection = await proxy.origin.accept();
        await connection.readHead();
        await sendAtOnce(proxy, client, "0123456789");
        strictEqual((await connection.readToEnd()).text, "0123456789");
        const [{ reason, status }] = await proxy.records(1);
        deepStrictEqual([reason, status], ["client_gone", null]);
      }));

    it("while its server is not there yet: it is not waited for", () =>
      withProxy(undefined, async (proxy) => {
        await sendAtOnce(proxy, undefined, GET);
        const [{ reason, status }] = await proxy.records(1);
        deepStrictEqual([reason, status], ["client_gone", null]);
      }));

    it("and Connection: close: it has half-closed, and is answered", () =>
      withProxy(() => ok("hello"), async (proxy) => {
        const client = await sendAtOnce(proxy, undefined, LAST_GET);
        deepStrictEqual(await lastAnswer(client), { status: 200, body: "hello" });
      }));
  });

  it("with a reset within its answer: the server is told at once", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(GET);
      using connection = await proxy.origin.accept();
      await connection.readRequest();
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
      await client.readHead();
      client.reset();
      strictEqual((await connection.readToEnd()).text, "");
      const [{ reason, status }] = await proxy.records(1);
      deepStrictEqual([reason, status], ["client_reset", 200]);
    }));

  it("within its request: the server sees that it is incomplete", () =>
    withProxy(undefined, async (proxy) => {
      for (
        const [fields, body] of [["Content-Length: 10", "01234"], [
          "Transfer-Encoding: chunked",
          "5\r\n01234\r\n",
        ]]
      ) {
        const client = await proxy.connect();
        await client.send(`POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`);
        using connection = await proxy.origin.accept();
        await connection.readHead();
        strictEqual(await connection.readText(body.length), body);
        client.end();
        strictEqual((await connection.readToEnd()).text, "");
      }
      for (const { reason } of await proxy.records(2)) strictEqual(reason, "client_gone");
    }));

  it("within a head, or before one: no server is asked", () =>
    withProxy(() => ok(), async (proxy) => {
      for (const start of ["", "GET / HTT", GET.slice(0, -2)]) {
        using client = await proxy.connect();
        await client.send(start);
        client.end();
        await client.readToEnd();
      }
      strictEqual(proxy.origin.connections, 0);
      // Two within a head: counted, though there is no request to tell of.
      deepStrictEqual((await proxy.sluice.status()).totals.ended, { client_gone: 2 });
      deepStrictEqual(proxy.sluice.records, []);
    }));

  it("many, in the midst of whatever they were doing: everything is given back", () =>
    withProxy(async (_, connection) => {
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
      await sendStream(connection.peer, 8 << 20).catch(() => {});
    }, async (proxy) => {
      const clients = await Promise.all(Array.from({ length: 60 }, () => proxy.connect()));
      await Promise.all(clients.map(async (client, number) => {
        if (number % 3 === 0) await client.send(GET.slice(0, number));
        else if (number % 3 === 1) await client.send(GET + GET + GET);
        else await client.send(postOf("x".repeat(100_000)).slice(0, 50_000));
        if (number % 3 === 1) await client.readHead();
      }));
      for (const client of clients) client.reset();
      await proxy.origin.kill();
      await proxy.sluice.assertQuiet();
    }));
});

describe("answers that come early", () => {
  it("an error before the upload ends reaches a client that sends until it hears of it", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
      let heard = false;
      const sending = (async () => {
        while (!heard) await sendStream(client.peer, 65_536);
      })().catch(() => {});
      using connection = await proxy.origin.accept();
      await connection.readHead();
      await connection.send(
        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge",
      );
      connection.peer.socket.destroy(); // with unread bytes: the kernel sends a reset behind the answer
      const answer = await client.readAnswer();
      heard = true;
      strictEqual(statusOf(answer.head), 413);
      strictEqual(answer.body.toString(), "large");
      deepStrictEqual(valuesOf(answer.head, "connection"), ["close"], "no other request is read behind it");
      await sending;
      strictEqual((await proxy.records(1))[0].status, 413);
    }));

  it("a client that still sends a little gets it without a reset", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n");
      using connection = await proxy.origin.accept();
      await connection.readHead();
      await connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope");
      strictEqual((await client.readAnswer()).body.toString(), "nope");
      await client.send(Buffer.alloc(600_000));
      client.end();
      deepStrictEqual(await client.readToEnd(), { text: "", ending: "fin" });
    }));

  it("so does one whose request is refused", () =>
    withProxy(() => ok(), async (proxy) => {
      const client = await proxy.connect();
      await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\n");
      await client.send(Buffer.alloc(600_000));
      const { status } = await lastAnswer(client);
      strictEqual(status, 400);
    }));

  it("answer and upload go on side by side", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
      using connection = await proxy.origin.accept();
      await connection.readHead();
      await connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      await client.readHead();
      for (let turn = 0; turn < 50; turn++) {
        const chunk = "8\r\nping" + String(turn).padStart(4, "0") + "\r\n";
        await client.send(chunk);
        strictEqual(await connection.readText(chunk.length), chunk);
        await connection.send(chunk);
        strictEqual(await client.readText(chunk.length), chunk);
      }
      await client.send("0\r\n\r\n");
      strictEqual(await connection.readText(5), "0\r\n\r\n");
      await connection.send("0\r\n\r\n");
      strictEqual(await client.readText(5), "0\r\n\r\n");
      await client.send(GET);
      await connection.readRequest();
      await connection.send(ok("same connections"));
      strictEqual((await client.readAnswer()).body.toString(), "same connections");
      strictEqual(proxy.origin.connections, 1);
    }));
});

describe("Expect: 100-continue (RFC 9110 section 10.1.1)", () => {
  const HEAD = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n";

  it("the server says when the body shall come", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(HEAD);
      using connection = await proxy.origin.accept();
      deepStrictEqual(valuesOf(await connection.readHead(), "expect"), ["100-Continue"]);
      await connection.send("HTTP/1.1 100 Continue\r\n\r\n");
      strictEqual((await client.readHead()).text, "HTTP/1.1 100 Continue\r\n\r\n");
      await client.send("hello");
      strictEqual(await connection.readText(5), "hello");
      await connection.send(ok("thanks"));
      strictEqual((await client.readAnswer()).body.toString(), "thanks");
      await client.send(GET);
      await connection.readRequest();
      await connection.send(ok("again"));
      strictEqual((await client.readAnswer()).body.toString(), "again");
    }));

  it("a server that does not want the body says so at once", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(HEAD);
      using connection = await proxy.origin.accept();
      await connection.readHead();
      await connection.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nwho");
      const { head, body } = await client.readAnswer();
      strictEqual(statusOf(head), 401);
      strictEqual(body.toString(), "who");
      deepStrictEqual(valuesOf(head, "connection"), ["close"], "nobody waits for a body that may never come");
      client.end();
      await client.readToEnd();
      await connection.readToEnd();
    }));

  const TIMES = {
    listener: { timeouts: { "body-stall": "200ms" } },
    upstream: { timeouts: { answer: "600ms" } },
  };

  it("a server that says nothing took too long, not its client: 504 after its own time", () =>
    withConfiguredProxy(undefined, TIMES, async (proxy) => {
      const client = await proxy.connect();
      strictEqual(statusOf((await client.ask(HEAD)).head), 504);
      const [{ reason, duration_ms }] = await proxy.records(1);
      strictEqual(reason, "answer_timeout");
      holds(duration_ms! >= 590, `after ${duration_ms} ms`);
    }));

  it("a server that says anything but 100 has not given leave", () =>
    withConfiguredProxy(undefined, TIMES, async (proxy) => {
      const client = await proxy.connect();
      await client.send(HEAD);
      using connection = await proxy.origin.accept();
      await connection.readHead();
      await connection.send("HTTP/1.1 102 Processing\r\n\r\n");
      strictEqual(statusOf(await client.readHead()), 102);
      strictEqual(statusOf((await client.readAnswer()).head), 504);
      strictEqual((await proxy.records(1))[0].reason, "answer_timeout");
    }));

  it("a client that has leave, and does not use it: 408", () =>
    withConfiguredProxy(undefined, TIMES, async (proxy) => {
      const client = await proxy.connect();
      await client.send(HEAD);
      using connection = await proxy.origin.accept();
      await connection.readHead();
      await connection.send("HTTP/1.1 100 Continue\r\n\r\n");
      strictEqual(statusOf(await client.readHead()), 100);
      strictEqual(statusOf((await client.readAnswer()).head), 408);
      strictEqual((await proxy.records(1))[0].reason, "request_timeout");
    }));

  for (const how of ["with its head", "later"]) {
    it(`a client that begins without leave, and goes no further: 408, ${how}`, () =>
      withConfiguredProxy(undefined, TIMES, async (proxy) => {
        const client = await proxy.connect();
        await client.send(how === "later" ? HEAD : `${HEAD}h`);
        using connection = await proxy.origin.accept();
        await connection.readHead();
        if (how === "later") await client.send("h");
        strictEqual(await connection.readText(1), "h");
        strictEqual(statusOf((await client.readAnswer()).head), 408);
        strictEqual((await proxy.records(1))[0].reason, "request_timeout");
      }));
  }

  it("a client that does not wait for it", () =>
    withProxy(async (_, connection) => {
      await connection.send("HTTP/1.1 100 Continue\r\n\r\n");
      return ok("thanks");
    }, async (proxy) => {
      const client = await proxy.connect();
      for (let turn = 0; turn < 3; turn++) {
        await client.send(`${HEAD}hello`);
        let answer = await client.readAnswer();
        while (statusOf(answer.head) === 100) answer = await client.readAnswer();
        strictEqual(answer.body.toString(), "thanks");
      }
    }));
});

describe("SIGTERM", () => {
  it("lets requests finish, says that they were the last, and lets idle clients go", async () => {
    await using origin = await HttpOrigin.listen();
    using sluice = await Sluice.start([...ALONE, `http://127.0.0.1:0=${origin.address}`]);
    using busy = await HttpPeer.connect(sluice.port());
    await busy.send(GET);
    using connection = await origin.accept();
    await connection.readRequest();
    using idle = await HttpPeer.connect(sluice.port());
    await idle.send(GET);
    using other = await origin.accept();
    await other.readRequest();
    await other.send(ok("hello"));
    await idle.readAnswer();
    sluice.signal("SIGTERM");
    await sluice.line("drain", /^stopped accepting/);
    deepStrictEqual(await idle.readToEnd(), { text: "", ending: "fin" });
    await rejects(Peer.connect(sluice.port()), { code: "ECONNREFUSED" });
    await connection.send(ok("in time"));
    const { head, body } = await busy.readAnswer();
    strictEqual(body.toString(), "in time");
    deepStrictEqual(valuesOf(head, "connection"), ["close"]);
    deepStrictEqual(await busy.readToEnd(), { text: "", ending: "fin" });
    strictEqual(await sluice.exit(), 0);
    match(sluice.log("drain")[0].message, /^stopped accepting/);
  });
});

describe("requests that are in line", () => {
  it("five thousand at once: each is answered, one after the other", () =>
    withProxy(({ head }) => ok(head.line), async (proxy) => {
      const client = await proxy.connect();
      const count = 5_000;
      const sent = client.send(
        Array.from({ length: count }, (_, number) => GET.replace("/", `/${number}`)).join(""),
      );
      for (let number = 0; number < count; number++) {
        strictEqual((await client.readAnswer()).body.toString(), `GET /${number} HTTP/1.1`);
      }
      await sent;
      strictEqual(proxy.origin.connections, 1);
    }));

  it("of a client that does not read our own answers: none of them comes back to it", () => {
    const body = "p".repeat(16_000), count = 2_000;
    const respond = { match: { path: "/ping" }, respond: { status: 200, body } };
    return withConfiguredProxy(() => ok(), { listener: { routes: [respond] } }, async (proxy) => {
      const client = await proxy.connect();
      const sending = (async () => {
        for (let number = 0; number < count; number++) await client.send(GET.replace("/", "/ping"));
      })();
      sending.catch(() => {}); // told when it is awaited
      await untilStill(proxy, ({ reactors: [{ events }] }) => events);
      for (let number = 0; number < count; number++) {
        const answer = await within(`answer ${number}`, client.readAnswer(), 5_000);
        strictEqual(answer.head.line, "HTTP/1.1 200 OK");
        holds(answer.body.toString() === body, `answer ${number}`);
      }
      await sending;
    });
  });

  it("behind a body that its server does not read: none of them goes where the body goes", () =>
    withProxy(undefined, async (proxy) => {
      const fills = await takenUnread(proxy);
      // The body ends about where the buffers of the server's connection do: its last bytes wait here.
      for (let step = -8; step < 24; step++) await assertParted(proxy, fills - step * (64 << 10));
    }));
});

/** How much Sluice takes of a body that its server does not read. */
async function takenUnread(proxy: Proxy): Promise<number> {
  const client = await proxy.connect();
  await client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
  const sending = sendStream(client.peer, 100 << 20).catch(() => {});
  using connection = await proxy.origin.accept();
  await connection.readHead();
  const fills = await untilStill(proxy, ({ totals }) => totals.bytes.spliced);
  client.reset();
  await sending;
  return fills;
}

/** A body of that length, unread for a while, and requests behind it: each arrives as a request of its own. */
async function assertParted(proxy: Proxy, bytes: number): Promise<void> {
  const behind = 20;
  const before = (await proxy.sluice.status()).totals.bytes.spliced;
  const client = await proxy.connect();
  const sending = (async () => {
    await client.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`);
    await sendStream(client.peer, bytes);
    for (let number = 1; number <= behind; number++) await client.send(GET.replace("/", `/${number}`));
  })();
  sending.catch(() => {}); // told when it is awaited
  using connection = await proxy.origin.accept();
  const head = await connection.readHead();
  holds(await untilStill(proxy, ({ totals }) => totals.bytes.spliced - before) > 0);
  for await (const part of connection.parts(head)) holds(part.length > 0);
  for (let number = 0;; number++) {
    await connection.send(ok(`${number}`));
    strictEqual((await client.readAnswer()).body.toString(), `${number}`);
    if (number === behind) break;
    const { head: next } = await connection.readRequest();
    strictEqual(next.line, `GET /${number + 1} HTTP/1.1`);
    deepStrictEqual(valuesOf(next, "via"), ["1.1 sluice"]);
  }
  await sending;
  client.end();
  await client.ending();
}

/** A number that has not changed for a while. */
async function untilStill(proxy: Proxy, look: (status: Status) => number): Promise<number> {
  let last = -1, same = 0;
  await proxy.sluice.until("everything to stand still", (status) => {
    const now = look(status);
    same = now === last && now > 0 ? same + 1 : 0;
    last = now;
    return same >= 10;
  });
  return last;
}

describe("what one client leaves", () => {
  it("a head that was cut is nothing to whoever gets its row next", () =>
    withProxy(() => ok("whole"), async (proxy) => {
      const cut = await Promise.all([1, 2, 3, 4].map(() => proxy.connect()));
      for (const client of cut) {
        await client.send(`GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${"x".repeat(600)}`);
        await client.end();
        strictEqual((await client.readToEnd()).text, "");
      }
      const client = await proxy.connect();
      strictEqual((await client.ask("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")).body.toString(), "whole");
    }));

  it("what came behind a request that could not be forwarded is no request of its own", () => {
    const set = Object.fromEntries(["A", "B", "C", "D"].map((name) => [`X-${name}`, "{path}"]));
    const routes = [{ to: "app", headers: { request: { set } } }];
    return withConfiguredProxy(() => ok(), { listener: { to: undefined, routes } }, async (proxy) => {
      const client = await proxy.connect();
      strictEqual(statusOf((await client.ask("GET /warm HTTP/1.1\r\nHost: a\r\n\r\n")).head), 200);
      const smuggled = "DELETE /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
      const long = `GET /${"p".repeat(7_900)} HTTP/1.1\r\nHost: a\r\n\r\n`;
      const behind = (pad: number): string =>
        `POST /upload HTTP/1.1\r\nHost: a\r\nX-Pad: ${
          "y".repeat(pad)
        }\r\nContent-Length: ${smuggled.length}\r\n\r\n`;
      // The first read ends where the body of the second request begins.
      const pad = 16_384 - long.length - behind(0).length;
      await client.send(long + behind(pad) + smuggled);
      strictEqual(statusOf((await client.readAnswer()).head), 431);
      strictEqual(statusOf((await client.readAnswer()).head), 200);
      await client.send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      await client.readToEnd();
      const lines = proxy.origin.requests.map(({ head }) => head.line.slice(0, 12));
      deepStrictEqual(lines, ["GET /warm HT", "POST /upload", "GET /last HT"]);
    });
  });
});
