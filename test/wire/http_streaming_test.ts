// Bodies on their way: nothing waits for what comes behind it, nothing is kept, every byte arrives in its
// place; and a thousand clients whose requests do not mix.
import { createHash } from "node:crypto";
import { deepStrictEqual, ok as holds, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Head, HttpPeer, valuesOf } from "../support/http_peer.ts";
import { type Proxy, withConfiguredProxy, withProxy } from "../support/http_proxy.ts";
import { ok } from "../support/http_origin.ts";
import { residentBytes } from "../support/status.ts";
import { within } from "../support/waiting.ts";

const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const MIB = 1 << 20;
const MANY = 200 * MIB;
/** What may grow on the way: code that runs for the first time, a block or two. */
const GROWTH_BYTES_MAX = 16 * MIB;
/** The kernel's own buffers between a sender and a reader that does not read. */
const IN_FLIGHT_BYTES_MAX = 64 * MIB;
const BULK_DEADLINE_MS = 50_000;

type Kind = "length" | "chunked" | "close";

/** The field that says how a body of `count` bytes ends. */
function framingField(kind: Kind, count: number): string {
  const fields = {
    length: `Content-Length: ${count}\r\n`,
    chunked: "Transfer-Encoding: chunked\r\n",
    close: "",
  };
  return fields[kind];
}

/** Parts of many lengths, prime to the buffers of anybody. */
const PARTS = [65_521, 7, 16_384, 250_007, 1, 4_093].map((length, seed) =>
  Buffer.from(Array.from({ length }, (_, at) => (at * 31 + (at >> 8) * 7 + seed) & 255))
);

/** Sends `count` bytes as a body. @returns their hash */
async function sendBody(peer: HttpPeer, kind: Kind, count: number): Promise<string> {
  const hash = createHash("sha256");
  for (let left = count, turn = 0; left > 0; turn++) {
    const part = PARTS[turn % PARTS.length].subarray(0, left);
    hash.update(part);
    left -= part.length;
    const wire = kind === "chunked"
      ? Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")])
      : part;
    await peer.send(wire);
  }
  if (kind === "chunked") await peer.send("0\r\n\r\n");
  if (kind === "close") peer.end();
  return hash.digest("hex");
}

interface Read {
  readonly hash: string;
  readonly count: number;
}

/** Reads the body behind a head; `between` is awaited after each part. */
async function readBody(
  peer: HttpPeer,
  head: Head,
  between?: (count: number) => Promise<void> | void,
): Promise<Read> {
  const hash = createHash("sha256");
  let count = 0;
  for await (const part of peer.parts(head)) {
    hash.update(part);
    count += part.length;
    await between?.(count);
  }
  return { hash: hash.digest("hex"), count };
}

/** A reader that stops for a moment after every few MiB. */
function slowly(): (count: number) => Promise<void> | void {
  let next = 2 * MIB;
  return (count) => {
    if (count < next) return;
    next = count + 2 * MIB;
    return sleep(5);
  };
}

/** A request under way: the client's end, and the server's, which has read its head. */
async function open(
  proxy: Proxy,
  head: string,
): Promise<{ client: HttpPeer; connection: HttpPeer; head: Head }> {
  const client = await proxy.connect();
  await client.send(head);
  const connection = await proxy.origin.accept();
  return { client, connection, head: await connection.readHead() };
}

async function assertFlat<T>(proxy: Proxy, what: Promise<T>): Promise<T> {
  const before = residentBytes(proxy.sluice.pid);
  const value = await within("a large body", what, BULK_DEADLINE_MS);
  const growth = residentBytes(proxy.sluice.pid) - before;
  holds(growth < GROWTH_BYTES_MAX, `grew by ${growth} bytes`);
  return value;
}

describe("nothing waits for what comes behind it", () => {
  for (const kind of ["chunked", "close"] as const) {
    it(`events of a server arrive one by one: ${kind}`, () =>
      withProxy(undefined, async (proxy) => {
        const { client, connection } = await open(proxy, GET);
        await connection.send(
          `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n${framingField(kind, 0)}\r\n`,
        );
        await client.readHead();
        for (let turn = 0; turn < 100; turn++) {
          const event = `data: ${String(turn).padStart(4, "0")}\n\n`;
          const wire = kind === "chunked" ? `${event.length.toString(16)}\r\n${event}\r\n` : event;
          await connection.send(wire);
          strictEqual(await client.readText(wire.length), wire);
        }
        client.reset();
        strictEqual((await connection.readToEnd()).text, "");
        strictEqual((await proxy.records(1))[0].reason, "client_reset");
      }));
  }

  it("a head arrives before its body, and a byte before the next", () =>
    withProxy(undefined, async (proxy) => {
      const { client, connection } = await open(proxy, GET);
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
      await client.readHead();
      for (const byte of "hello") {
        await connection.send(byte);
        strictEqual(await client.readText(1), byte);
      }
    }));

  it("the first bytes of a chunk arrive before its last", () =>
    withProxy(undefined, async (proxy) => {
      const { client, connection } = await open(proxy, GET);
      await connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n01234567");
      await client.readHead();
      strictEqual(await client.readText(12), "10\r\n01234567");
      await connection.send("89abcdef\r\n0\r\n\r\n");
      strictEqual(await client.readText(15), "89abcdef\r\n0\r\n\r\n");
    }));

  for (const kind of ["length", "chunked"] as const) {
    it(`parts of an upload arrive one by one: ${kind}`, () =>
      withProxy(undefined, async (proxy) => {
        const head = `POST / HTTP/1.1\r\nHost: a\r\n${framingField(kind, 400)}\r\n`;
        const { client, connection } = await open(proxy, head);
        for (let turn = 0; turn < 100; turn++) {
          const wire = kind === "chunked"
            ? `4\r\n${String(turn).padStart(4, "0")}\r\n`
            : String(turn).padStart(4);
          await client.send(wire);
          strictEqual(await connection.readText(wire.length), wire);
        }
        if (kind === "chunked") await client.send("0\r\n\r\n");
        await connection.send(ok("done"));
        strictEqual((await client.readAnswer()).body.toString(), "done");
      }));
  }

  it("a long silence is no end: an answer that pauses for longer than a second", () =>
    withProxy(undefined, async (proxy) => {
      const { client, connection } = await open(proxy, GET);
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
      await client.readHead();
      strictEqual(await client.readText(2), "ab");
      await sleep(1_500);
      await connection.send("cd");
      strictEqual(await client.readText(2), "cd");
    }));
});

describe("large bodies", () => {
  for (const kind of ["length", "chunked", "close"] as const) {
    it(`200 MiB down: ${kind}`, () =>
      withProxy(undefined, async (proxy) => {
        const { client, connection } = await open(proxy, GET);
        await connection.send(`HTTP/1.1 200 OK\r\n${framingField(kind, MANY)}\r\n`);
        const head = await client.readHead();
        const [hash, read] = await assertFlat(
          proxy,
          Promise.all([sendBody(connection, kind, MANY), readBody(client, head)]),
        );
        deepStrictEqual(read, { hash, count: MANY });
        const [{ reason, down_bytes }] = await proxy.records(1);
        strictEqual(reason, "finished");
        holds(down_bytes > MANY && down_bytes < 1.02 * MANY, `${down_bytes} bytes`);
      }));
  }

  for (const kind of ["length", "chunked"] as const) {
    it(`200 MiB up: ${kind}`, () =>
      withProxy(undefined, async (proxy) => {
        const request = `PUT / HTTP/1.1\r\nHost: a\r\n${framingField(kind, MANY)}\r\n`;
        const { client, connection, head } = await open(proxy, request);
        const [hash, read] = await assertFlat(
          proxy,
          Promise.all([sendBody(client, kind, MANY), readBody(connection, head)]),
        );
        deepStrictEqual(read, { hash, count: MANY });
        await connection.send(ok("done"));
        strictEqual((await client.readAnswer()).body.toString(), "done");
        const [{ reason, up_bytes }] = await proxy.records(1);
        strictEqual(reason, "finished");
        holds(up_bytes > MANY && up_bytes < 1.02 * MANY, `${up_bytes} bytes`);
      }));
  }

  it("most of a body of known length is spliced", () =>
    withProxy(undefined, async (proxy) => {
      const { client, connection } = await open(proxy, GET);
      await connection.send(`HTTP/1.1 200 OK\r\n${framingField("length", 64 * MIB)}\r\n`);
      const head = await client.readHead();
      const [hash, read] = await Promise.all([
        sendBody(connection, "length", 64 * MIB),
        readBody(client, head),
      ]);
      deepStrictEqual(read, { hash, count: 64 * MIB });
      const { totals: { bytes } } = await proxy.sluice.status();
      holds(bytes.spliced > 0.9 * 64 * MIB, `${bytes.spliced} bytes were spliced`);
    }));

  it("and the next request on the same connections: nothing of a body is left behind", () =>
    withProxy(undefined, async (proxy) => {
      const { client, connection } = await open(proxy, GET);
      for (const count of [3 * MIB, 1, 16_383, 16_384, 16_385, 65_536, 65_537, 8 * MIB]) {
        for (const kind of ["length", "chunked"] as const) {
          const what = `${count} bytes, ${kind}`;
          await connection.send(`HTTP/1.1 200 OK\r\n${framingField(kind, count)}\r\n`);
          const head = await client.readHead();
          const down = Promise.all([sendBody(connection, kind, count), readBody(client, head)]);
          const [hash, read] = await within(`${what} down`, down, 10_000);
          deepStrictEqual(read, { hash, count }, `${what} down`);
          await client.send(`PUT / HTTP/1.1\r\nHost: a\r\n${framingField(kind, count)}\r\n`);
          const request = await connection.readHead();
          const up = Promise.all([sendBody(client, kind, count), readBody(connection, request)]);
          const [sent, seen] = await within(`${what} up`, up, 10_000);
          deepStrictEqual(seen, { hash: sent, count }, `${what} up`);
        }
      }
      await connection.send(ok("done"));
      strictEqual((await client.readAnswer()).body.toString(), "done");
      strictEqual(proxy.origin.connections, 1);
    }));

  it("chunks behind a body that was spliced are read, and what follows them is a request of its own", () =>
    withProxy(undefined, async (proxy) => {
      const { client, connection, head } = await open(
        proxy,
        `PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${4 * MIB}\r\n\r\n`,
      );
      await Promise.all([sendBody(client, "length", 4 * MIB), readBody(connection, head)]);
      await connection.send(ok("first"));
      strictEqual((await client.readAnswer()).body.toString(), "first");
      await client.send(`PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`);
      await connection.readHead();
      await client.send(`5;x=y\r\nhello\r\n0\r\n\r\n${GET}`);
      strictEqual(await connection.readText(15), "5\r\nhello\r\n0\r\n\r\n");
      await connection.send(ok("second"));
      strictEqual((await client.readAnswer()).body.toString(), "second");
      deepStrictEqual(valuesOf(await connection.readHead(), "via"), ["1.1 sluice"]);
      await connection.send(ok("third"));
      strictEqual((await client.readAnswer()).body.toString(), "third");
    }));

  it("one after the other, each to a new connection: what came with a head stays before the rest", () =>
    withProxy(undefined, async (proxy) => {
      const client = await proxy.connect();
      const count = 4 * MIB;
      for (let turn = 0; turn < 5; turn++) {
        const sending = client.send(`PUT / HTTP/1.1\r\nHost: a\r\n${framingField("length", count)}\r\n`)
          .then(() => sendBody(client, "length", count));
        using connection = await proxy.origin.accept();
        const [hash, read] = await Promise.all([sending, readBody(connection, await connection.readHead())]);
        deepStrictEqual(read, { hash, count });
        await connection.send(ok("done", ["Connection: close"]));
        strictEqual((await client.readAnswer()).body.toString(), "done");
      }
    }));
});

describe("slow readers", () => {
  for (const kind of ["length", "chunked"] as const) {
    it(`a client that stops now and then: memory is flat, ${kind}`, () =>
      withProxy(undefined, async (proxy) => {
        const { client, connection } = await open(proxy, GET);
        await connection.send(`HTTP/1.1 200 OK\r\n${framingField(kind, 100 * MIB)}\r\n`);
        const head = await client.readHead();
        const [hash, read] = await assertFlat(
          proxy,
          Promise.all([sendBody(connection, kind, 100 * MIB), readBody(client, head, slowly())]),
        );
        deepStrictEqual(read, { hash, count: 100 * MIB });
      }));

    it(`a client that does not read at all stops the server: ${kind}`, () =>
      withProxy(undefined, async (proxy) => {
        const { client, connection } = await open(proxy, GET);
        await connection.send(`HTTP/1.1 200 OK\r\n${framingField(kind, 100 * MIB)}\r\n`);
        const head = await client.readHead();
        const before = residentBytes(proxy.sluice.pid);
        const sending = sendBody(connection, kind, 100 * MIB);
        sending.catch(() => {}); // told when it is awaited
        await untilStuck(proxy, connection);
        const written = connection.peer.socket.bytesWritten;
        holds(written < IN_FLIGHT_BYTES_MAX, `${written} bytes are in flight`);
        const growth = residentBytes(proxy.sluice.pid) - before;
        holds(growth < GROWTH_BYTES_MAX, `grew by ${growth} bytes`);
        const read = await readBody(client, head);
        deepStrictEqual(read, { hash: await sending, count: 100 * MIB });
      }));

    it(`a server that does not read at all stops the client: ${kind}`, () =>
      withProxy(undefined, async (proxy) => {
        const request = `PUT / HTTP/1.1\r\nHost: a\r\n${framingField(kind, 100 * MIB)}\r\n`;
        const { client, connection, head } = await open(proxy, request);
        const sending = sendBody(client, kind, 100 * MIB);
        sending.catch(() => {}); // told when it is awaited
        await untilStuck(proxy, client);
        const written = client.peer.socket.bytesWritten;
        holds(written < IN_FLIGHT_BYTES_MAX, `${written} bytes are in flight`);
        const read = await readBody(connection, head);
        deepStrictEqual(read, { hash: await sending, count: 100 * MIB });
        await connection.send(ok("done"));
        strictEqual((await client.readAnswer()).body.toString(), "done");
      }));
  }

  /** Until what a sender could send has not grown for a while. */
  async function untilStuck(proxy: Proxy, sender: HttpPeer): Promise<void> {
    let last = -1, same = 0;
    await proxy.sluice.until("the sender to be stuck", () => {
      const { bytesWritten } = sender.peer.socket;
      same = bytesWritten === last ? same + 1 : 0;
      last = bytesWritten;
      return same >= 20 && bytesWritten > 100_000;
    });
  }
});

describe("a thousand clients at once", () => {
  const CLIENTS = 1_000, REQUESTS = 10;

  /** A stream of numbers below a bound, by seed. */
  function dice(seed: number): (below: number) => number {
    let state = seed * 2_654_435_761 >>> 0 || 1;
    return (below) => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
  }

  function requestOf(
    client: number,
    turn: number,
    random: (below: number) => number,
  ): { wire: string; echo: string } {
    const method = ["GET", "POST", "PUT", "DELETE"][random(4)];
    const body = method === "GET" || method === "DELETE"
      ? ""
      : `${client}.${turn}.`.repeat(1 + random(2_000));
    const path = `/${client}/${turn}/${"p".repeat(random(300))}`;
    const fields = [`Host: c${client}.example`, `X-Client: ${client}`, `X-Junk: ${"j".repeat(random(500))}`];
    const chunked = random(2) === 1;
    if (body !== "") fields.push(chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`);
    const half = random(body.length + 1);
    const chunks = [body.slice(0, half), body.slice(half)].filter((part) => part !== "");
    const framed = chunked && body !== ""
      ? chunks.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("") + "0\r\n\r\n"
      : body;
    const wire = `${method} ${path} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n${framed}`;
    return { wire, echo: echoOf(method, path, String(client), `c${client}.example`, body) };
  }

  /** What a server answers: what it saw, and a body whose length depends on that. */
  function echoOf(method: string, path: string, client: string, host: string, body: string): string {
    const digest = createHash("sha256").update([method, path, client, host, body].join("\n")).digest("hex");
    return digest.repeat(1 + parseInt(digest.slice(0, 2), 16));
  }

  it("every answer is the one to its request, and the server saw each once", () =>
    withConfiguredProxy(
      ({ head, body }) => {
        const [method, path] = head.line.split(" ");
        const client = valuesOf(head, "x-client"), host = valuesOf(head, "host");
        const echo = echoOf(method, path, client.join(), host.join(), body.toString("latin1"));
        const chunked = echo.startsWith("a") || echo.startsWith("5");
        return chunked
          ? `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${
            echo.length.toString(16)
          }\r\n${echo}\r\n0\r\n\r\n`
          : ok(echo);
      },
      { upstream: { "keep-alive": { "max-idle": CLIENTS } } },
      async (proxy) => {
        const clients = await Promise.all(Array.from({ length: CLIENTS }, () => proxy.connect()));
        const wanted = new Set<string>();
        await within(
          "all answers",
          Promise.all(clients.map(async (peer, client) => {
            const random = dice(client + 1);
            for (let turn = 0; turn < REQUESTS; turn++) {
              const { wire, echo } = requestOf(client, turn, random);
              wanted.add(wire.slice(0, wire.indexOf(" HTTP")));
              const cut = random(4) === 0 ? random(wire.length) : wire.length;
              await peer.send(wire.slice(0, cut));
              if (cut < wire.length) await peer.send(wire.slice(cut));
              strictEqual(
                (await peer.readAnswer()).body.toString(),
                echo,
                `client ${client}, request ${turn}`,
              );
            }
          })),
          BULK_DEADLINE_MS,
        );
        const seen = proxy.origin.requests.map(({ head }) => head.line.slice(0, head.line.indexOf(" HTTP")));
        strictEqual(seen.length, CLIENTS * REQUESTS);
        deepStrictEqual(new Set(seen), wanted);
        holds(proxy.origin.connections <= CLIENTS, `${proxy.origin.connections} connections`);
        for (const { status, reason } of await proxy.records(CLIENTS * REQUESTS)) {
          deepStrictEqual([status, reason], [200, "finished"]);
        }
      },
    ));
});
