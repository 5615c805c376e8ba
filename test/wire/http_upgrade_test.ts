// Upgrades (RFC 9110 section 7.8): after 101 the two are a tunnel. WebSockets by an implementation that is not
// ours at both ends, and the agreement itself byte by byte.
import { deepStrictEqual, ok as holds, strictEqual } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { type Sluice, withSluice } from "../support/executable.ts";
import { ok } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { ALONE, masked, told, withConfiguredProxy, withProxy } from "../support/http_proxy.ts";
import { readStream, sendStream } from "../support/stream.ts";
import { echo, Talk, WebSocketOrigin } from "../support/web_sockets.ts";

const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const ASKS = "GET /chat HTTP/1.1\r\nHost: shop.example\r\nUpgrade: thing/1\r\nConnection: Upgrade\r\n\r\n";
const AGREES = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: thing/1\r\n";

async function withWebSockets(
  serve: (talk: Talk) => void,
  test: (sluice: Sluice, origin: WebSocketOrigin) => Promise<void>,
  flags: readonly string[] = [],
): Promise<void> {
  using origin = await WebSocketOrigin.listen(serve);
  await withSluice([...ALONE, ...flags, `http://127.0.0.1:0=${origin.address}`], async (sluice) => {
    await test(sluice, origin);
    origin[Symbol.dispose]();
  });
}

describe("WebSockets", () => {
  it("texts and bytes, to and fro", () =>
    withWebSockets(echo, async (sluice, origin) => {
      using talk = await Talk.connect(sluice.port(), "/chat?room=1", ["one", "two"]);
      strictEqual(talk.socket.protocol, "two");
      deepStrictEqual(origin.targets, ["/chat?room=1"]);
      for (
        const text of [
          "",
          "hello",
          "gr\u00fc\u00dfe \u{1f600}",
          "x".repeat(125),
          "x".repeat(126),
          "x".repeat(65_536),
        ]
      ) {
        await talk.send(text);
        strictEqual(await talk.next(), text);
      }
      const bytes = randomBytes(100_000);
      await talk.send(bytes);
      holds(bytes.equals(await talk.next() as Buffer));
    }));

  it("a message in many frames", () =>
    withWebSockets(echo, async (sluice) => {
      using talk = await Talk.connect(sluice.port());
      const parts = Array.from({ length: 200 }, (_, number) => `part ${number} ${"x".repeat(number * 10)};`);
      talk.sendFrames(parts);
      strictEqual(await talk.next(), parts.join(""));
      // A ping may stand between the frames of a message (RFC 6455 section 5.4).
      talk.socket.send("a", { fin: false });
      strictEqual(await talk.ping("are you there"), "are you there");
      talk.socket.send("b", { fin: true });
      strictEqual(await talk.next(), "ab");
    }));

  it("frames of 16 MiB", () =>
    withWebSockets(echo, async (sluice) => {
      using talk = await Talk.connect(sluice.port());
      const bytes = randomBytes(16 << 20);
      for (let turn = 0; turn < 3; turn++) {
        await talk.send(bytes);
        holds(bytes.equals(await talk.next() as Buffer));
      }
    }));

  it("codes and reasons of a close, from either side", () =>
    withWebSockets((talk) => {
      talk.socket.on("message", () => talk.socket.close(4_321, "enough"));
    }, async (sluice, origin) => {
      for (const [code, reason] of [[1_000, "bye"], [4_001, "because"], [1_001, ""]] as const) {
        using talk = await Talk.connect(sluice.port());
        deepStrictEqual(await talk.close(code, reason), { code, reason });
        deepStrictEqual(await origin.talks.at(-1)!.closed, { code, reason });
      }
      using talk = await Talk.connect(sluice.port());
      await talk.send("are you done?");
      deepStrictEqual(await talk.closed, { code: 4_321, reason: "enough" });
      deepStrictEqual(await origin.talks.at(-1)!.closed, { code: 4_321, reason: "enough" });
      for (const { reason } of await sluice.ended(4)) strictEqual(reason, "finished");
    }));

  it("one that breaks breaks the other end", () =>
    withWebSockets(echo, async (sluice, origin) => {
      using talk = await Talk.connect(sluice.port());
      talk.socket.terminate();
      strictEqual((await origin.talks[0].closed).code, 1_006);
      using other = await Talk.connect(sluice.port());
      origin.talks[1].socket.terminate();
      strictEqual((await other.closed).code, 1_006);
    }));

  it("are recorded with their status and bytes, and other requests go on beside them", () =>
    withWebSockets(echo, async (sluice) => {
      const talks = await Promise.all(Array.from({ length: 50 }, () => Talk.connect(sluice.port())));
      await Promise.all(talks.map((talk, number) => talk.send(`hello ${number}`)));
      using client = await HttpPeer.connect(sluice.port());
      strictEqual((await client.ask(GET)).body.toString(), "no WebSocket");
      for (const [number, talk] of talks.entries()) strictEqual(await talk.next(), `hello ${number}`);
      await Promise.all(talks.map((talk) => talk.close(1_000, "")));
      const records = await sluice.ended(51) as unknown as {
        status: number;
        reason: string;
        down_bytes: number;
      }[];
      const upgraded = records.filter(({ status }) => status === 101);
      strictEqual(upgraded.length, 50);
      for (const { reason, down_bytes } of upgraded) {
        strictEqual(reason, "finished");
        holds(down_bytes > 100, `${down_bytes} bytes`);
      }
    }));

  it("silence ends them after --tunnel-idle, not before", () =>
    withWebSockets(echo, async (sluice) => {
      using talk = await Talk.connect(sluice.port());
      const end = performance.now() + 1_500;
      while (performance.now() < end) {
        await talk.send(".");
        strictEqual(await talk.next(), ".");
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const begun = performance.now();
      strictEqual((await talk.closed).code, 1_006);
      const after = performance.now() - begun;
      holds(after > 300 && after < 3_000, `after ${after} ms`);
      strictEqual((await sluice.ended(1))[0].reason, "tunnel_idle");
    }, ["--tunnel-idle", "600ms"]));

  it("the timeouts of answers do not hold for them", () =>
    withConfiguredProxy(
      undefined,
      {
        listener: { timeouts: { "client-idle": "200ms", "request-head": "200ms", "body-stall": "200ms" } },
        upstream: { timeouts: { answer: "200ms", "server-idle": "200ms" } },
      },
      async (proxy) => {
        const client = await proxy.connect();
        await client.send(ASKS);
        using connection = await proxy.origin.accept();
        await connection.readHead();
        await connection.send(`${AGREES}Connection: Upgrade\r\n\r\n`);
        await client.readHead();
        await new Promise((resolve) => setTimeout(resolve, 800));
        await client.send("still");
        strictEqual(await connection.readText(5), "still");
        await connection.send("here");
        strictEqual(await client.readText(4), "here");
      },
    ));
});

describe("an upgrade", () => {
  it("is asked for and agreed to as it was meant", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(
        "GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: thing/1\r\n\r\n",
      );
      using connection = await proxy.origin.accept();
      strictEqual(
        masked((await connection.readHead()).text),
        `GET /chat HTTP/1.1\r\nHost: shop.example\r\nUpgrade: thing/1\r\n${
          told(proxy.port, "shop.example")
        }Connection: upgrade\r\n\r\n`,
      );
      await connection.send(`${AGREES}Connection: Upgrade, x-hop\r\nX-Hop: 2\r\nX-End: 1\r\n\r\n`);
      strictEqual((await client.readHead()).text, `${AGREES}X-End: 1\r\nConnection: upgrade\r\n\r\n`);
      await connection.send("first words");
      strictEqual(await client.readText(11), "first words");
      await client.send("GET / HTTP/1.1\r\n\r\n");
      strictEqual(await connection.readText(18), "GET / HTTP/1.1\r\n\r\n");
      client.end();
      strictEqual((await connection.readToEnd()).ending, "fin");
      await connection.send("last words");
      connection.end();
      deepStrictEqual(await client.readToEnd(), { text: "last words", ending: "fin" });
      const [{ status, reason }] = await proxy.records(1);
      deepStrictEqual([status, reason], [101, "finished"]);
    }));

  it("bytes that come with the heads are the first of the tunnel", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(`${ASKS}early from the client`);
      using connection = await proxy.origin.accept();
      await connection.readHead();
      await connection.send(`${AGREES}Connection: Upgrade\r\n\r\nearly from the server`);
      await client.readHead();
      strictEqual(await client.readText(21), "early from the server");
      strictEqual(await connection.readText(21), "early from the client");
      await client.send("later");
      strictEqual(await connection.readText(5), "later");
    }));

  it("a tunnel carries much, both ways at once", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      await client.send(ASKS);
      using connection = await proxy.origin.accept();
      await connection.readHead();
      await connection.send(`${AGREES}Connection: Upgrade\r\n\r\n`);
      await client.readHead();
      const many = 32 << 20;
      const [up, down] = await Promise.all([
        readStream(connection.peer),
        readStream(client.peer),
        sendStream(client.peer, many).then(() => client.end()),
        sendStream(connection.peer, many).then(() => connection.end()),
      ]);
      deepStrictEqual([up, down], [many, many]);
      const [{ up_bytes, down_bytes }] = await proxy.records(1);
      holds(up_bytes >= many && down_bytes >= many, `${up_bytes} up, ${down_bytes} down`);
      holds((await proxy.sluice.status()).totals.bytes.spliced > many);
    }));

  it("that the server does not want is an ordinary request", () =>
    withProxy(() => ok("ordinary"), async (proxy) => {
      const client = await proxy.connect();
      for (let turn = 0; turn < 3; turn++) {
        const { head, body } = await client.ask(ASKS);
        strictEqual(statusOf(head), 200);
        deepStrictEqual(valuesOf(head, "upgrade"), []);
        strictEqual(body.toString(), "ordinary");
      }
      strictEqual((await client.ask(GET)).body.toString(), "ordinary");
      strictEqual(proxy.origin.connections, 1);
    }));

  it("that the server demands: 426 says to what", () =>
    withProxy(
      () =>
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: thing/1\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
      async (proxy) => {
        const client = await proxy.connect();
        const { head } = await client.ask(GET);
        strictEqual(statusOf(head), 426);
        deepStrictEqual(valuesOf(head, "upgrade"), ["thing/1"]);
        deepStrictEqual(valuesOf(head, "connection"), ["upgrade"]); // RFC 9110 section 7.8
      },
    ));

  for (
    const [why, request] of [
      ["nobody has asked for", GET],
      ["Connection does not name", ASKS.replace("Connection: Upgrade\r\n", "")],
      ["HTTP/1.0 asks for", ASKS.replace("HTTP/1.1", "HTTP/1.0")],
    ]
  ) {
    it(`that ${why}: 502`, () =>
      withProxy(undefined, async (proxy) => {
        const client = await proxy.connect();
        await client.send(request);
        using connection = await proxy.origin.accept();
        deepStrictEqual(valuesOf(await connection.readHead(), "upgrade"), []);
        await connection.send(`${AGREES}Connection: Upgrade\r\n\r\nsmuggled`);
        const { head, body } = await client.readAnswer();
        strictEqual(statusOf(head), 502);
        deepStrictEqual(
          valuesOf(head, "proxy-status").map((value) => value.split(";")[1].trim()),
          ["error=http_upgrade_failed"],
        );
        holds(!body.includes("smuggled"));
        strictEqual((await connection.readToEnd()).text, "");
        strictEqual((await proxy.records(1))[0].reason, "upgrade_failed");
      }));
  }

  it("whose server leaves before it answers: 502", () =>
    withProxy((_, connection) => connection.end(), async (proxy) => {
      const client = await proxy.connect();
      strictEqual(statusOf((await client.ask(ASKS)).head), 502);
    }));
});

describe("an upgrade to h2c", () => {
  it("counts as not asked for: behind it requests would pass unseen", () =>
    withProxy(() => ok(), async (proxy) => {
      const client = await proxy.connect();
      const fields =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
      strictEqual(statusOf((await client.ask(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)).head), 200);
      const [{ head }] = proxy.origin.requests;
      for (const name of ["connection", "upgrade", "http2-settings"]) {
        deepStrictEqual(valuesOf(head, name), []);
      }
    }));
});
