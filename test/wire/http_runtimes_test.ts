// HTTP on every runtime: a core of what a user relies on, against the executable and against the sources on
// Bun and on Deno, with two reactors.
import { deepStrictEqual, match, ok as holds, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { command, type Launcher, Sluice } from "../support/executable.ts";
import { type AnswerTo, HttpOrigin, ok } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { masked, Proxy, told } from "../support/http_proxy.ts";
import { freePort } from "../support/servers.ts";
import { sendStream } from "../support/stream.ts";
import { echo, Talk, WebSocketOrigin } from "../support/web_sockets.ts";

const LAUNCHERS: readonly Launcher[] = ["executable", "bun", "deno"];
const WORDS = ["--reactors", "2", "--health", "off"];
const GET = "GET /a?b HTTP/1.1\r\nHost: shop.example\r\n\r\n";

for (const launcher of LAUNCHERS) {
  const options = { command: command(launcher) };

  const withProxy = async (answer: AnswerTo | undefined, test: (proxy: Proxy) => Promise<void>) => {
    await using origin = await HttpOrigin.listen(answer);
    using sluice = await Sluice.start([...WORDS, `http://127.0.0.1:0=${origin.address}`], options);
    const proxy = new Proxy(sluice, origin);
    await test(proxy);
    await proxy.finish();
  };

  describe(`HTTP on ${launcher}`, () => {
    it("requests of many clients, whole and in order", () =>
      withProxy(({ head, body }) => ok(`${head.line} ${body}`), async (proxy) => {
        const clients = await Promise.all(Array.from({ length: 20 }, () => proxy.connect()));
        await Promise.all(clients.map(async (client, number) => {
          for (let turn = 0; turn < 20; turn++) {
            const body = `${number}.${turn}`, chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
            const request = turn % 2 === 0
              ? `POST /${turn} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`
              : `POST /${turn} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`;
            const answer = await client.ask(request);
            strictEqual(answer.body.toString(), `POST /${turn} HTTP/1.1 ${body}`);
          }
        }));
        holds(proxy.origin.connections <= 20, `${proxy.origin.connections} connections`);
        strictEqual((await proxy.records(400)).length, 400);
      }));

    it("what a server is told", () =>
      withProxy(() => ok(), async (proxy) => {
        const client = await proxy.connect();
        await client.ask(GET);
        const text = `GET /a?b HTTP/1.1\r\nHost: shop.example\r\n${told(proxy.port, "shop.example")}\r\n`;
        strictEqual(masked(proxy.origin.requests[0].head.text), text);
      }));

    it("32 MiB each way", () =>
      withProxy(undefined, async (proxy) => {
        const many = 32 << 20;
        const client = await proxy.connect();
        await client.send(
          `PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${many}\r\n\r\n`,
        );
        const sending = sendStream(client.peer, many);
        using connection = await proxy.origin.accept();
        const head = await connection.readHead();
        let seen = 0;
        for await (const part of connection.parts(head)) seen += part.length;
        await sending;
        strictEqual(seen, many);
        const answering = connection.send("HTTP/1.1 200 OK\r\n\r\n").then(() =>
          sendStream(connection.peer, many)
        )
          .then(() => connection.end());
        const answer = await client.readHead();
        strictEqual(statusOf(answer), 200);
        seen = 0;
        for await (const part of client.parts(answer)) seen += part.length;
        strictEqual(seen, many);
        await answering;
      }));

    it("errors of its own: 400, 502, and a server that is passed over", async () => {
      await using origin = await HttpOrigin.listen(() => ok("hello"));
      const closed = `127.0.0.1:${await freePort()}`;
      const targets = [`${closed}`, `${closed},${origin.address}`];
      const words = targets.map((target) => `http://127.0.0.1:0=${target}`);
      using sluice = await Sluice.start([...WORDS, ...words], options);
      for (
        const [listener, request, status] of [
          [0, GET, 502],
          [0, GET.replace("\r\n\r\n", "\r\nX : y\r\n\r\n"), 400],
          [1, GET, 200],
          [1, GET, 200],
        ] as const
      ) {
        using client = await HttpPeer.connect(sluice.port(listener));
        const { head } = await client.ask(request);
        strictEqual(statusOf(head), status);
        if (status !== 200) match(valuesOf(head, "proxy-status").join(), /^sluice; error=/);
      }
      await origin.kill();
      await sluice.finish();
    });

    it("WebSockets", async () => {
      using origin = await WebSocketOrigin.listen(echo);
      using sluice = await Sluice.start([...WORDS, `http://127.0.0.1:0=${origin.address}`], options);
      const talks = await Promise.all(Array.from({ length: 20 }, () => Talk.connect(sluice.port())));
      for (const [number, talk] of talks.entries()) {
        talk.sendFrames(["frame ", String(number), "x".repeat(70_000)]);
        strictEqual(await talk.next(), `frame ${number}${"x".repeat(70_000)}`);
        deepStrictEqual(await talk.close(4_000 + number, "done"), { code: 4_000 + number, reason: "done" });
      }
      origin[Symbol.dispose]();
      await sluice.finish();
    });
  });
}
