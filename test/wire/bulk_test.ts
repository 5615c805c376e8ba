// A hundred megabytes each way: every byte arrives in its place, most of them are never copied, and memory
// stays flat however slow a reader is.
import { ok, strictEqual } from "node:assert/strict";
import { chmodSync, copyFileSync } from "node:fs";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AS_NOBODY, EXECUTABLE, type Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Peer, type Where } from "../support/peer.ts";
import { Server } from "../support/servers.ts";
import { residentBytes } from "../support/status.ts";
import { readStream, sendStream } from "../support/stream.ts";

const ALONE = ["--reactors", "2", "--health", "off"];
const MANY = 100 << 20;
/** What may grow on the way of a hundred megabytes: code that runs for the first time, a block or two. */
const GROWTH_BYTES_MAX = 16 << 20;
/** The kernel's own buffers between a sender and a reader that does not read. */
const IN_FLIGHT_BYTES_MAX = 32 << 20;

const isRoot = process.getuid?.() === 0;

async function sendAll(peer: Peer, count: number): Promise<void> {
  await sendStream(peer, count);
  peer.end();
}

/** A reader that stops for a moment after every few MiB. */
function slowly(everyBytes: number, ms: number): (count: number) => Promise<void> | void {
  let next = everyBytes;
  return (count) => {
    if (count < next) return;
    next = count + everyBytes;
    return sleep(ms);
  };
}

interface Ends {
  readonly sluice: Sluice;
  readonly client: Peer;
  readonly server: Peer;
}

async function withPair(test: (ends: Ends) => Promise<void>): Promise<void> {
  await using server = await Server.listen();
  await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
    using client = await Peer.connect(sluice.port());
    using accepted = await server.accept();
    await test({ sluice, client, server: accepted });
  });
}

/** Nearly everything went through a pipe, and all of it was counted. */
async function assertSpliced(sluice: Sluice, up: number, down: number): Promise<void> {
  const [record] = await sluice.ended(1);
  strictEqual(record.reason, "finished");
  strictEqual(record.up_bytes, up);
  strictEqual(record.down_bytes, down);
  const { totals: { bytes } } = await sluice.status();
  strictEqual(bytes.up, up);
  strictEqual(bytes.down, down);
  ok(bytes.spliced > 0.9 * (up + down), `${bytes.spliced} of ${up + down} bytes were spliced`);
}

describe("bulk", () => {
  it("100 MiB from client to server", () =>
    withPair(async ({ sluice, client, server }) => {
      server.end();
      const [, count] = await Promise.all([sendAll(client, MANY), readStream(server)]);
      strictEqual(count, MANY);
      await assertSpliced(sluice, MANY, 0);
    }));

  it("100 MiB from server to client", () =>
    withPair(async ({ sluice, client, server }) => {
      client.end();
      const [, count] = await Promise.all([sendAll(server, MANY), readStream(client)]);
      strictEqual(count, MANY);
      await assertSpliced(sluice, 0, MANY);
    }));

  it("100 MiB both ways at once", () =>
    withPair(async ({ sluice, client, server }) => {
      const counts = await Promise.all([
        readStream(server),
        readStream(client),
        sendAll(client, MANY),
        sendAll(server, MANY),
      ]);
      strictEqual(counts[0], MANY);
      strictEqual(counts[1], MANY);
      await assertSpliced(sluice, MANY, MANY);
    }));

  for (const [path, count] of [["client.sock", 32 << 20], ["server.sock", 32 << 20]] as const) {
    it(`32 MiB both ways with a unix socket at one end: ${path}`, async () => {
      using folder = new Folder();
      const isListener = path === "client.sock";
      const at: Where = isListener ? 0 : { path: folder.at(path) };
      await using server = await Server.listen(undefined, at);
      const listen = isListener ? `unix:${folder.at(path)}` : "tcp://127.0.0.1:0";
      await withSluice([...ALONE, `${listen}=${server.address}`], async (sluice) => {
        using client = await Peer.connect(isListener ? { path: folder.at(path) } : sluice.port());
        using accepted = await server.accept();
        const counts = await Promise.all([
          readStream(accepted),
          readStream(client),
          sendAll(client, count),
          sendAll(accepted, count),
        ]);
        strictEqual(counts[0], count);
        strictEqual(counts[1], count);
        const [record] = await sluice.ended(1);
        strictEqual(record.up_bytes, count);
        strictEqual(record.down_bytes, count);
      });
    });
  }

  it("eight streams at once", async () => {
    await using server = await Server.listen(async (peer) => {
      await sendAll(peer, 16 << 20);
    });
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const clients = await Promise.all(Array.from({ length: 8 }, () => Peer.connect(sluice.port())));
      const counts = await Promise.all(clients.map((client) => readStream(client)));
      for (const count of counts) strictEqual(count, 16 << 20);
      for (const client of clients) client.end();
      await sluice.ended(8);
    });
  });

  it("small messages, then bulk, then small messages again", () =>
    withPair(async ({ sluice, client, server }) => {
      const both = async (text: string) => {
        await client.send(text);
        strictEqual(await server.readText(text.length), text);
        await server.send(text);
        strictEqual(await client.readText(text.length), text);
      };
      for (let round = 0; round < 3; round++) {
        for (let message = 0; message < 200; message++) await both(`small ${message}`);
        const megabytes = "m".repeat(4 << 20);
        const [, text] = await Promise.all([client.send(megabytes), server.readText(megabytes.length)]);
        ok(text === megabytes);
      }
      client.end();
      server.end();
      await sluice.ended(1);
    }));

  it("more streams than an unprivileged user has pipes for", {
    skip: !isRoot && "needs root, to become nobody",
  }, async () => {
    using folder = new Folder();
    copyFileSync(EXECUTABLE, folder.at("sluice"));
    chmodSync(folder.at("sluice"), 0o755);
    chmodSync(folder.path, 0o755);
    const count = 6 << 20, streams = 100;
    await using server = await Server.listen((peer) => sendAll(peer, count));
    const words = [...ALONE, `tcp://127.0.0.1:0=${server.address}`];
    await withSluice(words, async (sluice) => {
      const clients = await Promise.all(Array.from({ length: streams }, () => Peer.connect(sluice.port())));
      const { reactors } = await sluice.until(
        "pipes and blocks to be in use",
        ({ reactors }) =>
          reactors.some(({ pipes }) => pipes > 0) && reactors.some(({ blocks }) => blocks > 0),
      );
      ok(reactors.reduce((sum, { pipes }) => sum + pipes, 0) < streams);
      const counts = await Promise.all(clients.map((client) => readStream(client)));
      for (const received of counts) strictEqual(received, count);
      for (const client of clients) client.end();
      await sluice.ended(streams);
    }, { command: [...AS_NOBODY, folder.at("sluice")], cwd: folder.path });
  });
});

describe("slow readers", () => {
  it("a client that stops now and then: memory is flat", () =>
    withPair(async ({ sluice, client, server }) => {
      const before = residentBytes(sluice.pid);
      client.end();
      const [, count] = await Promise.all([
        sendAll(server, MANY),
        readStream(client, { between: slowly(2 << 20, 10) }),
      ]);
      strictEqual(count, MANY);
      const growth = residentBytes(sluice.pid) - before;
      ok(growth < GROWTH_BYTES_MAX, `grew by ${growth} bytes`);
    }));

  it("a server that stops now and then: memory is flat", () =>
    withPair(async ({ sluice, client, server }) => {
      const before = residentBytes(sluice.pid);
      server.end();
      const [, count] = await Promise.all([
        sendAll(client, MANY),
        readStream(server, { between: slowly(2 << 20, 10) }),
      ]);
      strictEqual(count, MANY);
      const growth = residentBytes(sluice.pid) - before;
      ok(growth < GROWTH_BYTES_MAX, `grew by ${growth} bytes`);
    }));

  it("one that does not read at all stops the sender, and others go on", async () => {
    await using server = await Server.listen(async (peer) => {
      const wish = await peer.readText(4);
      if (wish === "bulk") await sendAll(peer, MANY);
      else await peer.send("pong");
    });
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const before = residentBytes(sluice.pid);
      const stuck = await Promise.all(Array.from({ length: 8 }, () => Peer.connect(sluice.port())));
      for (const client of stuck) await client.send("bulk");
      let last = -1;
      const still = await sluice.until("the senders to be stuck", ({ totals: { bytes } }) => {
        const same = bytes.down === last && bytes.down > 0;
        last = bytes.down;
        return same;
      });
      ok(still.totals.bytes.down < 8 * IN_FLIGHT_BYTES_MAX, `${still.totals.bytes.down} bytes are in flight`);
      using other = await Peer.connect(sluice.port());
      await other.send("ping");
      strictEqual(await other.readText(4), "pong");
      const growth = residentBytes(sluice.pid) - before;
      ok(growth < GROWTH_BYTES_MAX, `grew by ${growth} bytes`);
      const counts = await Promise.all(stuck.map((client) => readStream(client)));
      for (const count of counts) strictEqual(count, MANY);
      for (const client of [...stuck, other]) client.reset();
      await sluice.ended(9);
    });
  });
});
