// Bodies that are long enough to find what grows: gigabytes each way with memory flat, and ends that send as
// fast as they can to one that does not read. `npm run soak` makes them ten gigabytes.
import { deepStrictEqual, ok as holds, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { BLOCK_BYTES, PIPE_BYTES } from "../../src/base/limits.ts";
import { framingField, type Kind, PART_BYTES, type Progress, readBody, sendBody } from "../support/bodies.ts";
import { Sluice } from "../support/executable.ts";
import { HttpOrigin, ok } from "../support/http_origin.ts";
import type { Head, HttpPeer } from "../support/http_peer.ts";
import { ALONE, Proxy } from "../support/http_proxy.ts";
import { residentBytes } from "../support/status.ts";
import { within } from "../support/waiting.ts";

const MIB = 1 << 20;
/** Of each body; `npm run soak` asks for many more. */
const COUNT = Number(process.env.SLUICE_SOAK_BYTES ?? 256 * MIB);
/** Where the reader stops: far more than can be on the way. */
const COUNT_STOPPED = Math.max(COUNT, 1024 * MIB);
/** As slow as a busy machine may be. */
const DEADLINE_MS = 40_000 + COUNT / 20_000;
const TEST = { timeout: DEADLINE_MS + 20_000 };

/** Until then code runs for the first time and buffers find their size; what grows later is a leak. */
const WARM_UP_BYTES = 100_000_000;
const GROWTH_BYTES_MAX = 32 * MIB;
const LOOK_EVERY_BYTES = 8 * MIB;
/** What a slow reader reads before it stops. */
const FIRST_BYTES = 64 << 10;

/**
 * What can have left a sender whose reader does not read: it is in two pairs of sockets' buffers, each no
 * larger than the kernel lets it grow, in a pipe, in a block, and one part is waiting to be taken.
 */
const IN_FLIGHT_BYTES_MAX = 2 * (socketBytesMax("tcp_wmem") + socketBytesMax("tcp_rmem")) + PIPE_BYTES +
  BLOCK_BYTES + 2 * PART_BYTES;

function socketBytesMax(name: string): number {
  return Number(readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8").trim().split(/\s+/)[2]);
}

/** The proxy's memory while bytes go through it. */
class Memory {
  readonly #pid: number;
  #next = 0;
  #base = NaN;
  #most = 0;
  /** How often it was looked at after the warm-up. */
  looks = 0;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** After so many bytes. */
  look(count: number): void {
    if (count < this.#next) return;
    this.#next = count + LOOK_EVERY_BYTES;
    const now = residentBytes(this.#pid);
    if (count < WARM_UP_BYTES) return;
    if (this.looks++ === 0) this.#base = now;
    this.#most = Math.max(this.#most, now);
  }

  assertFlat(): void {
    holds(this.looks >= 10, `looked ${this.looks} times: the body is too short to tell`);
    const growth = this.#most - this.#base;
    holds(growth <= GROWTH_BYTES_MAX, `grew by ${growth} bytes from ${this.#base}`);
  }
}

async function withLongProxy(test: (proxy: Proxy) => Promise<void>): Promise<void> {
  await using origin = await HttpOrigin.listen();
  const words = [...ALONE, `http://127.0.0.1:0=${origin.address}`];
  using sluice = await Sluice.start(words, { deadlineMs: DEADLINE_MS + 20_000 });
  const proxy = new Proxy(sluice, origin);
  await test(proxy);
  await proxy.finish();
}

/** A request under way: the client's end, and the server's, which has read its head. */
async function open(
  proxy: Proxy,
  request: string,
): Promise<{ client: HttpPeer; server: HttpPeer; head: Head }> {
  const client = await proxy.connect();
  await client.send(request);
  const server = await proxy.origin.accept();
  return { client, server, head: await server.readHead() };
}

const REQUESTS = {
  down: () => "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
  up: (kind: Kind, count: number) =>
    `PUT / HTTP/1.1\r\nHost: shop.example\r\n${framingField(kind, count)}\r\n`,
};
type Way = keyof typeof REQUESTS;

/** Both ends of one body; its head has arrived. */
interface Body {
  readonly proxy: Proxy;
  readonly from: HttpPeer;
  readonly to: HttpPeer;
}

/**
 * Opens the way of a body, has `transfer` move it, which says how many bytes it was with its framing, and sees
 * that they were counted and that the connections are as good as before.
 */
async function withBody(
  way: Way,
  kind: Kind,
  count: number,
  transfer: (body: Body) => Promise<number>,
): Promise<void> {
  await withLongProxy(async (proxy) => {
    const { client, server, head } = await open(proxy, REQUESTS[way](kind, count));
    let framed: number, headBytes: number;
    if (way === "down") {
      await server.send(`HTTP/1.1 200 OK\r\n${framingField(kind, count)}\r\n`);
      headBytes = (await client.readHead()).text.length;
      framed = await transfer({ proxy, from: server, to: client });
    } else {
      headBytes = head.text.length;
      framed = await transfer({ proxy, from: client, to: server });
      await server.send(ok("done"));
      strictEqual((await client.readAnswer()).body.toString(), "done");
    }
    await client.send(REQUESTS.down());
    await server.readHead();
    await server.send(ok("next"));
    strictEqual((await client.readAnswer()).body.toString(), "next");
    strictEqual(proxy.origin.connections, 1);
    const [{ reason, status, up_bytes, down_bytes }] = await proxy.records(2);
    deepStrictEqual([reason, status], ["finished", 200]);
    strictEqual(way === "down" ? down_bytes : up_bytes, headBytes + framed);
  });
}

/** Resolves when no byte has left the sender for a while, and none went through. */
async function untilStuck(proxy: Proxy, sender: HttpPeer, progress: Progress): Promise<void> {
  let last = "", same = 0;
  await proxy.sluice.until("the sender to be stuck", ({ totals: { bytes } }) => {
    const now = [progress.begun, sender.peer.socket.bytesWritten, bytes.up, bytes.down].join();
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 20 && progress.begun > FIRST_BYTES;
  });
}

const WAYS = ["down", "up"] as const, KINDS = ["length", "chunked", "one chunk"] as const;
const mebibytes = (count: number) => `${Math.round(count / MIB)} MiB`;

describe("long bodies leave memory where it was", () => {
  for (const way of WAYS) {
    for (const kind of KINDS) {
      it(
        `${mebibytes(COUNT)} ${way}: ${kind}`,
        TEST,
        () =>
          withBody(way, kind, COUNT, async ({ proxy, from, to }) => {
            const memory = new Memory(proxy.sluice.pid);
            const [framed] = await within(
              "a long body",
              Promise.all([
                readBody(to.peer, kind, COUNT, (count) => memory.look(count)),
                sendBody(from.peer, kind, COUNT),
              ]),
              DEADLINE_MS,
            );
            memory.assertFlat();
            return framed;
          }),
      );
    }
  }
});

describe("a reader that stops stops its sender", () => {
  for (const way of WAYS) {
    for (const kind of ["length", "chunked"] as const) {
      it(
        `${mebibytes(COUNT_STOPPED)} ${way}, of which ${FIRST_BYTES} bytes are read at first: ${kind}`,
        TEST,
        () =>
          withBody(way, kind, COUNT_STOPPED, async ({ proxy, from, to }) => {
            const memory = new Memory(proxy.sluice.pid);
            const progress: Progress = { begun: 0 };
            const { promise: mayReadOn, resolve: readOn } = Promise.withResolvers<void>();
            let read = 0;
            const reading = readBody(to.peer, kind, COUNT_STOPPED, (count) => {
              memory.look(count);
              const stops = read < FIRST_BYTES && count >= FIRST_BYTES;
              read = count;
              return stops ? mayReadOn : undefined;
            });
            const sending = sendBody(from.peer, kind, COUNT_STOPPED, progress);
            const both = Promise.all([reading, sending]);
            both.catch(() => {}); // told when it is awaited
            const before = residentBytes(proxy.sluice.pid);
            await untilStuck(proxy, from, progress);
            const inFlight = progress.begun - read;
            holds(inFlight <= IN_FLIGHT_BYTES_MAX, `${inFlight} bytes are in flight`);
            const growth = residentBytes(proxy.sluice.pid) - before;
            holds(growth <= GROWTH_BYTES_MAX, `grew by ${growth} bytes`);
            readOn();
            const [framed] = await within("the rest of a long body", both, DEADLINE_MS);
            memory.assertFlat();
            return framed;
          }),
      );
    }
  }
});
