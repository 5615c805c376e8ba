// How a connection ends: an end of stream is passed on as such, a reset as a reset, in either direction and
// at any moment; what was sent before is delivered.
import { ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { type Sluice, withSluice } from "../support/executable.ts";
import { DROWSY, PatchedSluice } from "../support/patched.ts";
import { Peer } from "../support/peer.ts";
import { Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";
import { until } from "../support/waiting.ts";

const ALONE = ["--reactors", "1", "--health", "off"];

interface Pair {
  readonly sluice: Sluice;
  readonly client: Peer;
  readonly server: Peer;
}

/** A connection through a Sluice of its own, both ends in hand. */
async function withPair(test: (pair: Pair) => Promise<void>, flags: readonly string[] = []): Promise<void> {
  await using server = await Server.listen();
  await withSluice([...ALONE, ...flags, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
    using client = await Peer.connect(sluice.port());
    using accepted = await server.accept();
    await test({ sluice, client, server: accepted });
  });
}

/** Nobody reads after an end of stream: only who sends hears of a reset. */
async function untilReset(peer: Peer): Promise<void> {
  await until("a reset", async () => {
    await peer.send("x").catch(() => {});
    return peer.left === "reset";
  });
}

describe("half-close", () => {
  it("the client ends first and hears the whole answer", () =>
    withPair(async ({ sluice, client, server }) => {
      await client.send("a request");
      client.end();
      strictEqual((await server.readAll()).toString(), "a request");
      await server.send("part one, ");
      await server.send("part two");
      server.end();
      strictEqual((await client.readAll()).toString(), "part one, part two");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "finished");
      strictEqual(record.type, null);
      strictEqual(record.up_bytes, 9);
      strictEqual(record.down_bytes, 18);
    }));

  it("the client ends first, and eight MiB of answer still come", () =>
    withPair(async ({ client, server }) => {
      client.end();
      strictEqual(await server.ending(), "fin");
      const [, count] = await Promise.all([
        sendStream(server, 8 << 20).then(() => server.end()),
        readStream(client),
      ]);
      strictEqual(count, 8 << 20);
    }));

  it("the server ends first and hears what the client still has to say", () =>
    withPair(async ({ sluice, client, server }) => {
      await server.send("I am done");
      server.end();
      strictEqual((await client.readAll()).toString(), "I am done");
      await client.send("but I am not");
      strictEqual(await server.readText(12), "but I am not");
      const [, count] = await Promise.all([
        sendStream(client, 8 << 20).then(() => client.end()),
        readStream(server),
      ]);
      strictEqual(count, 8 << 20);
      strictEqual((await sluice.ended(1))[0].reason, "finished");
    }));

  it("a client that ends before its server is connected", () =>
    withPair(async ({ client, server }) => {
      client.end();
      strictEqual(await server.ending(), "fin");
      await server.send("late");
      server.end();
      strictEqual((await client.readAll()).toString(), "late");
    }));

  it("both end at the same moment", () =>
    withPair(async ({ sluice, client, server }) => {
      client.end();
      server.end();
      strictEqual(await client.ending(), "fin");
      strictEqual(await server.ending(), "fin");
      strictEqual((await sluice.ended(1))[0].reason, "finished");
    }));

  it("is no end: a half-closed connection stays for as long as the other half is used", () =>
    withPair(async ({ sluice, client, server }) => {
      client.end();
      strictEqual(await server.ending(), "fin");
      for (let word = 0; word < 50; word++) {
        await server.send("word");
        strictEqual(await client.readText(4), "word");
      }
      strictEqual((await sluice.status()).totals.connections.now, 1);
      server.end();
      strictEqual(await client.ending(), "fin");
    }));
});

describe("resets", () => {
  it("of the client reach the server as a reset", () =>
    withPair(async ({ sluice, client, server }) => {
      strictEqual(
        await Promise.all([client.send("hello"), server.readText(5)]).then(([, text]) => text),
        "hello",
      );
      client.reset();
      strictEqual(await server.ending(), "reset");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "client_reset");
      strictEqual(record.type, null);
      strictEqual(record.errno, "ECONNRESET");
      strictEqual(record.up_bytes, 5);
    }));

  it("of the server reach the client as a reset", () =>
    withPair(async ({ sluice, client, server }) => {
      await server.send("hello");
      strictEqual(await client.readText(5), "hello");
      server.reset();
      strictEqual(await client.ending(), "reset");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "server_reset");
      strictEqual(record.type, "connection_terminated");
      strictEqual(record.errno, "ECONNRESET");
      strictEqual(record.down_bytes, 5);
    }));

  it("of the client after its end of stream reach the server as a reset", () =>
    withPair(async ({ sluice, client, server }) => {
      client.end();
      strictEqual(await server.ending(), "fin");
      client.reset();
      strictEqual((await sluice.ended(1))[0].reason, "client_reset");
      await untilReset(server);
    }));

  it("of the server after its end of stream reach the client as a reset", () =>
    withPair(async ({ sluice, client, server }) => {
      server.end();
      strictEqual(await client.ending(), "fin");
      server.reset();
      strictEqual((await sluice.ended(1))[0].reason, "server_reset");
      await untilReset(client);
    }));

  it("of a server in mid-stream: the client is not told it was the end", () =>
    withPair(async ({ sluice, client, server }) => {
      const sending = sendStream(server, 64 << 20).catch(() => {});
      await client.read(4 << 20);
      server.reset();
      strictEqual(await client.ending(), "reset");
      await sending;
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "server_reset");
      ok(record.down_bytes >= 4 << 20);
    }));

  it("of a client in mid-stream, one that does not read: the server is told", () =>
    withPair(async ({ sluice, client, server }) => {
      const sending = sendStream(server, 64 << 20).then(() => "all taken", () => "broken");
      await client.read(1 << 20);
      client.reset();
      strictEqual(await sending, "broken");
      strictEqual((await sluice.ended(1))[0].reason, "client_reset");
    }));

  it("of a client that sent more than the server takes: nothing waits for the server", () =>
    withPair(async ({ sluice, client, server }) => {
      const sending = sendStream(client, 64 << 20).then(() => "all taken", () => "broken");
      await sluice.until("the client's bytes to be stuck", ({ totals }) => totals.bytes.up > 0);
      client.reset();
      strictEqual(await sending, "broken");
      strictEqual((await sluice.ended(1))[0].reason, "client_reset");
      strictEqual(await server.ending(), "reset");
    }));

  for (const leaver of ["clients", "servers"]) {
    it(`of forty ${leaver} in mid-stream give every pipe back`, async () => {
      const accepted: Peer[] = [];
      await using server = await Server.listen(async (peer) => {
        accepted.push(peer);
        await sendStream(peer, 64 << 20);
      });
      await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        const clients = await Promise.all(Array.from({ length: 40 }, () => Peer.connect(sluice.port())));
        for (const client of clients) await client.read(1 << 20);
        await sluice.until("a pipe for each stream", ({ reactors }) => reactors[0].pipes >= 40);
        for (const peer of leaver === "clients" ? clients : accepted) peer.reset();
        // What a server had sent is delivered first: the client must take it.
        if (leaver === "servers") {
          for (const client of clients) strictEqual(await client.ending(), "reset");
        }
        const records = await sluice.ended(40);
        const reason = leaver === "clients" ? "client_reset" : "server_reset";
        for (const record of records) strictEqual(record.reason, reason);
        for (const client of clients) client.reset();
        await sluice.assertQuiet();
      });
    });
  }

  it("a server that answers and closes without reading the request: its answer arrives", () =>
    withPair(async ({ sluice, client, server }) => {
      client.socket.write(Buffer.alloc(8 << 20)); // more than will ever be taken
      await sluice.until("the server's buffers to be full", ({ totals }) => totals.bytes.up > 500_000);
      await server.send("413 too large");
      server.socket.destroy(); // close(2) with unread bytes: the kernel sends a reset after the answer
      strictEqual(await client.readText(13), "413 too large");
      strictEqual((await sluice.ended(1))[0].reason, "server_reset");
    }));

  it("of a server that is found out by sending to it: what it had said is delivered first", async () => {
    using drowsy = new PatchedSluice(DROWSY);
    await using server = await Server.listen();
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using client = await Peer.connect(sluice.port());
      using accepted = await server.accept();
      await client.send("first");
      strictEqual(await accepted.readText(5), "first");
      const { reactors: [before] } = await sluice.status();
      await client.send("second");
      await sluice.until("the reactor to nap", ({ reactors }) => reactors[0].turns > before.turns);
      await accepted.send("last words");
      accepted.reset();
      strictEqual(await client.readText(10), "last words");
      strictEqual(await client.ending(), "reset");
      strictEqual((await sluice.ended(1))[0].reason, "server_reset");
    }, { command: drowsy.command("bun") });
  });
});

describe("stalls", () => {
  it("a connection that moves no byte is closed after --tunnel-idle", () =>
    withPair(async ({ sluice, client, server }) => {
      strictEqual(await client.ending(), "fin");
      strictEqual(await server.ending(), "fin");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "tunnel_idle");
      strictEqual(record.type, "connection_read_timeout");
      ok(record.duration_ms! >= 290 && record.duration_ms! < 2_000, `after ${record.duration_ms} ms`);
    }, ["--tunnel-idle", "300ms"]));

  it("a connection that moves a byte now and then is not", () =>
    withPair(async ({ sluice, client, server }) => {
      const end = performance.now() + 1_500;
      while (performance.now() < end) {
        await client.send(".");
        strictEqual(await server.readText(1), ".");
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      strictEqual((await sluice.status()).totals.connections.now, 1);
      client.end();
      server.end();
      strictEqual((await sluice.ended(1))[0].reason, "finished");
    }, ["--tunnel-idle", "600ms"]));

  it("a server that hangs in mid-stream is closed after --tunnel-idle", () =>
    withPair(async ({ sluice, client, server }) => {
      await server.send("the beginning of");
      strictEqual(await client.readText(16), "the beginning of");
      strictEqual(await client.ending(), "fin");
      strictEqual((await sluice.ended(1))[0].reason, "tunnel_idle");
    }, ["--tunnel-idle", "300ms"]));
});
