// Answers that are silent for long, as those of server-sent events and long polls are: how long is a matter of
// one timeout and no other, and a client that goes away takes its request with it. That each event arrives
// before the next is sent is in http_streaming_test.ts.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { Agent, request } from "node:http";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ok } from "../support/http_origin.ts";
import { type HttpPeer, statusOf } from "../support/http_peer.ts";
import { type Proxy, withConfiguredProxy, withProxy } from "../support/http_proxy.ts";
import { within } from "../support/waiting.ts";

const GET = "GET /events HTTP/1.1\r\nHost: shop.example\r\nAccept: text/event-stream\r\n\r\n";
const SHORT = "300ms", LONG = "20s";
/** Beyond SHORT by more than the deadline wheel may be late. */
const SILENCE_MS = 800;
/** Every timeout that might end a request or its answer. */
const SHORT_OF_LISTENER = { "client-idle": SHORT, "request-head": SHORT, "body-stall": SHORT };

const KINDS = ["chunked", "close"] as const;
type Kind = typeof KINDS[number];

function headOf(kind: Kind): string {
  const framing = kind === "chunked" ? "Transfer-Encoding: chunked\r\n" : "";
  return `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n${framing}\r\n`;
}

function eventOf(kind: Kind, text: string): string {
  const event = `data: ${text}\n\n`;
  return kind === "chunked" ? `${event.length.toString(16)}\r\n${event}\r\n` : event;
}

/** Sends an event and waits until it has arrived. */
async function tell(server: HttpPeer, client: HttpPeer, kind: Kind, text: string): Promise<void> {
  const event = eventOf(kind, text);
  await server.send(event);
  strictEqual(await client.readText(event.length), event);
}

/** A stream of events that has begun. */
async function subscribe(proxy: Proxy, kind: Kind): Promise<{ client: HttpPeer; server: HttpPeer }> {
  const client = await proxy.connect();
  await client.send(GET);
  const server = await proxy.origin.accept();
  await server.readRequest();
  await server.send(headOf(kind));
  await client.readHead();
  return { client, server };
}

describe("a silence", () => {
  for (const kind of KINDS) {
    it(`between events may be as long as server-idle, whatever the other timeouts are: ${kind}`, () =>
      withConfiguredProxy(
        undefined,
        {
          listener: { timeouts: SHORT_OF_LISTENER },
          upstream: { timeouts: { answer: SHORT, "server-idle": LONG } },
        },
        async (proxy) => {
          const { client, server } = await subscribe(proxy, kind);
          await tell(server, client, kind, "before");
          await sleep(SILENCE_MS);
          await tell(server, client, kind, "after");
        },
      ));
  }

  it("of more than server-idle ends the stream, however long events came before", () =>
    withConfiguredProxy(undefined, { upstream: { timeouts: { "server-idle": "500ms" } } }, async (proxy) => {
      const { client, server } = await subscribe(proxy, "chunked");
      const until = performance.now() + 1_200;
      while (performance.now() < until) {
        await tell(server, client, "chunked", "again");
        await sleep(50);
      }
      strictEqual((await client.readToEnd()).text, "");
      strictEqual((await server.readToEnd()).text, "");
      strictEqual((await proxy.records(1))[0].reason, "answer_timeout");
    }));

  it("before an answer may be as long as answer says, whatever the other timeouts are", () =>
    withConfiguredProxy(
      undefined,
      {
        listener: { timeouts: SHORT_OF_LISTENER },
        upstream: { timeouts: { answer: LONG, "server-idle": SHORT } },
      },
      async (proxy) => {
        const client = await proxy.connect();
        await client.send(GET);
        const server = await proxy.origin.accept();
        for (const text of ["first", "second"]) {
          await server.readRequest();
          await sleep(SILENCE_MS);
          await server.send(ok(text));
          const { head, body } = await client.readAnswer();
          deepStrictEqual([statusOf(head), body.toString()], [200, text]);
          await client.send(GET); // the next poll, at once, as such clients do
        }
        strictEqual(proxy.origin.connections, 1);
      },
    ));
});

describe("a client that goes away while its server is silent", () => {
  for (const kind of KINDS) {
    it(`between events: the server is told at once: ${kind}`, () =>
      withProxy(undefined, async (proxy) => {
        const { client, server } = await subscribe(proxy, kind);
        await tell(server, client, kind, "the only one");
        client[Symbol.dispose]();
        strictEqual((await server.readToEnd()).text, "");
        const [{ status, reason }] = await proxy.records(1);
        deepStrictEqual([status, reason], [200, "client_gone"]);
      }));
  }

  it("is often a program that aborts its request", () =>
    withProxy(undefined, async (proxy) => {
      // With "Connection: close" it might have half-closed; programs that stream keep connections.
      const agent = new Agent({ keepAlive: true });
      const asked = request({ port: proxy.port, host: "127.0.0.1", path: "/events", agent });
      const heard = new Promise<string>((resolve, reject) => {
        asked.on("response", (response) => {
          response.on("error", () => {}); // it was aborted here
          response.once("data", (part: Buffer) => resolve(part.toString()));
        });
        asked.once("error", reject);
      });
      asked.end();
      const server = await proxy.origin.accept();
      await server.readRequest();
      await server.send(headOf("chunked") + eventOf("chunked", "hello"));
      strictEqual(await within("an event", heard), "data: hello\n\n");
      asked.on("error", () => {});
      asked.destroy();
      strictEqual((await server.readToEnd()).text, "");
      const [{ status, reason }] = await proxy.records(1);
      deepStrictEqual([status, reason], [200, "client_gone"]);
    }));

  it("takes nobody with it: of a hundred subscribers the other half hears on", () =>
    withProxy(undefined, async (proxy) => {
      const all: { client: HttpPeer; server: HttpPeer }[] = [];
      for (let number = 0; number < 100; number++) all.push(await subscribe(proxy, "chunked"));
      const tellAll = (some: typeof all, text: string) =>
        Promise.all(
          some.map(({ server, client }, number) => tell(server, client, "chunked", `${text} ${number}`)),
        );
      await tellAll(all, "to all");
      const leaving = all.filter((_, number) => number % 2 === 0);
      const staying = all.filter((_, number) => number % 2 === 1);
      for (const { client } of leaving) client[Symbol.dispose]();
      for (const { server } of leaving) strictEqual((await server.readToEnd()).text, "");
      await tellAll(staying, "to those who stayed");
      const { totals } = await proxy.sluice.until(
        "the others to be over",
        ({ totals }) => totals.connections.now === staying.length,
      );
      deepStrictEqual(totals.ended, { client_gone: leaving.length });
    }));
});
