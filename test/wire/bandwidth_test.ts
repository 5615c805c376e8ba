// How fast bytes may go: by connection, by source, by listener, each way, whatever they are. Rates are held against
// the clock: never faster, and not much slower where the machine has other things to do as well.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { run, type Sluice } from "../support/executable.ts";
import { HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";
import { TlsEnd } from "../support/tls_end.ts";

const KIB = 1 << 10, MIB = 1 << 20;
const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/** Connections to servers are soon closed, so that nothing is left at the end. */
const KEPT = { idle: "300ms" };

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const site = certificates.leaf("site.example");

/** A TCP listener before one server. */
function limited(address: string, limits: object, more: object = {}): object {
  return {
    listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app", limits, ...more } },
    upstreams: { app: { servers: [address], health: "off" } },
  };
}

interface Pair {
  readonly client: Peer;
  readonly server: Peer;
}

async function pair(sluice: Sluice, server: Server): Promise<Pair> {
  const client = await Peer.connect(sluice.port());
  return { client, server: await server.accept() };
}

/** Sends so much one way and the end of the stream, which goes back. @returns how long that took */
async function transfer(from: Peer, to: Peer, bytes: number): Promise<number> {
  const startMs = performance.now();
  const sent = sendStream(from, bytes).then(() => from.end());
  strictEqual(await readStream(to), bytes);
  const ms = performance.now() - startMs;
  await sent;
  to.end();
  strictEqual(await from.ending(), "fin");
  return ms;
}

/** Bytes beyond the burst came no faster than `perSecond`, by 5% at most, and not much slower. */
function assertPace(ms: number, bytes: number, perSecond: number, burst = perSecond / 10): void {
  const expectedMs = (bytes - burst) / perSecond * 1_000;
  ok(ms >= expectedMs / 1.05 - 1, `${bytes} bytes took ${ms} ms, at least ${expectedMs} were due`);
  ok(ms <= expectedMs * 1.25 + 250, `${bytes} bytes took ${ms} ms, ${expectedMs} were due`);
}

async function turns(sluice: Sluice): Promise<number> {
  return (await sluice.status()).reactors.reduce((sum, reactor) => sum + reactor.turns, 0);
}

describe("bandwidth of a connection", () => {
  for (const way of ["down", "up"] as const) {
    it(`64 kB/s ${way}: smoothly, by splice, and nobody turns round meanwhile`, async () => {
      await using server = await Server.listen();
      const limits = { "bandwidth-per-connection": { [way]: "64kB/s" } };
      await withConfig(limited(server.address, limits), async (sluice) => {
        const both = await pair(sluice, server), before = await turns(sluice);
        const [from, to] = way === "up" ? [both.client, both.server] : [both.server, both.client];
        const bytes = 70_000, ms = await transfer(from, to, bytes);
        assertPace(ms, bytes, 64_000);
        const [record] = await sluice.ended(1), { totals } = await sluice.status();
        deepStrictEqual([record.reason, record[`${way}_bytes`]], ["finished", bytes]);
        ok(totals.bytes.spliced > 0.8 * bytes, `${totals.bytes.spliced} of ${bytes} bytes were spliced`);
        // 1,448 bytes at a time are 45 wake-ups a second.
        const used = await turns(sluice) - before;
        ok(used < 45 * ms / 1_000 * 1.5 + 100, `${used} turns in ${ms} ms`);
      });
    });

    it(`100 MB/s ${way}: some turns a millisecond would be too many`, async () => {
      await using server = await Server.listen();
      const limits = { "bandwidth-per-connection": { [way]: "100MB/s" } };
      await withConfig(limited(server.address, limits), async (sluice) => {
        const both = await pair(sluice, server), before = await turns(sluice);
        const [from, to] = way === "up" ? [both.client, both.server] : [both.server, both.client];
        const bytes = 70 * MIB, ms = await transfer(from, to, bytes);
        assertPace(ms, bytes, 100e6);
        const { totals } = await sluice.status();
        ok(totals.bytes.spliced > 0.9 * bytes, `${totals.bytes.spliced} of ${bytes} bytes were spliced`);
        const used = await turns(sluice) - before;
        ok(used < 2 * ms, `${used} turns in ${ms} ms`);
      });
    });
  }

  it("each way has its own, and the one does not slow the other", async () => {
    await using server = await Server.listen();
    const limits = { "bandwidth-per-connection": { down: "2MB/s", up: "500kB/s", burst: "100kB" } };
    await withConfig(limited(server.address, limits), async (sluice) => {
      const { client, server: accepted } = await pair(sluice, server);
      const startMs = performance.now();
      const timed = async (peer: Peer) => {
        strictEqual(await readStream(peer), 600_000);
        return performance.now() - startMs;
      };
      const [down, up] = await Promise.all([
        timed(client),
        timed(accepted),
        sendStream(client, 600_000).then(() => client.end()),
        sendStream(accepted, 600_000).then(() => accepted.end()),
      ]);
      assertPace(down, 600_000, 2_000_000, 100_000);
      assertPace(up, 600_000, 500_000, 100_000);
      strictEqual((await sluice.ended(1))[0].reason, "finished");
    });
  });

  it("small messages within it wait for nothing", async () => {
    await using server = await Server.listen((peer) => void peer.socket.pipe(peer.socket));
    const limits = { "bandwidth-per-connection": "10kB/s" };
    await withConfig(limited(server.address, limits), async (sluice) => {
      using client = await Peer.connect(sluice.port());
      const startMs = performance.now();
      for (let message = 0; message < 20; message++) {
        await client.send(`message ${String(message).padStart(3)}`);
        strictEqual(await client.readText(11), `message ${String(message).padStart(3)}`);
      }
      ok(performance.now() - startMs < 400, `they took ${performance.now() - startMs} ms`);
      client.end();
      await sluice.ended(1);
    });
  });

  it("a client that goes while its bytes are kept back", async () => {
    await using server = await Server.listen();
    const limits = { "bandwidth-per-connection": "20kB/s" };
    await withConfig(limited(server.address, limits), async (sluice) => {
      const { client, server: accepted } = await pair(sluice, server);
      const sent = accepted.send(new Uint8Array(MIB)).catch(() => {});
      await client.read(2_000);
      client.reset();
      strictEqual(await accepted.ending(), "reset");
      await sent;
      strictEqual((await sluice.ended(1))[0].reason, "client_reset");
    });
  });

  for (const protocol of ["tls", "http"] as const) {
    it(`of ${protocol}: the same`, async () => {
      const bytes = 400_000, limits = { "bandwidth-per-connection": "500kB/s" };
      if (protocol === "http") return await http(bytes, limits);
      await using server = await Server.listen();
      const shown = { certificates: [{ cert: site.chain, key: site.key }] };
      const config = limited(server.address, limits, { bind: "tls://127.0.0.1:0", tls: shown });
      await withConfig(config, async (sluice) => {
        using end = await TlsEnd.client(sluice.port());
        using client = await Peer.connect(end.port);
        await client.send("!");
        using accepted = await server.accept();
        strictEqual(await accepted.readText(1), "!");
        const startMs = performance.now();
        await Promise.all([sendStream(accepted, bytes).then(() => accepted.end()), readStream(client)]);
        assertPace(performance.now() - startMs, bytes, 500_000);
        client.end();
        strictEqual((await sluice.ended(1))[0].reason, "finished");
      });
    });
  }

  async function http(bytes: number, limits: object): Promise<void> {
    await using origin = await HttpOrigin.listen(({ body }) =>
      answerOk("b".repeat(body.length > 0 ? 2 : bytes))
    );
    const config = {
      listeners: { it: { bind: "http://127.0.0.1:0", to: "app", limits } },
      upstreams: { app: { servers: [origin.address], health: "off", "keep-alive": KEPT } },
    };
    await withConfig(config, async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      let startMs = performance.now();
      strictEqual((await client.ask(GET)).body.length, bytes);
      assertPace(performance.now() - startMs, bytes, 500_000);
      startMs = performance.now();
      const post = `POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: ${bytes}\r\n\r\n`;
      const [answer] = await Promise.all([client.ask(post + "u".repeat(bytes))]);
      strictEqual(answer.body.length, 2);
      assertPace(performance.now() - startMs, bytes, 500_000);
      client.end();
      await client.ending();
    });
  }
});

describe("bandwidth that is shared", () => {
  for (const [key, of] of [["bandwidth", "listener"], ["bandwidth-per-source", "source"]]) {
    it(`of a ${of}: four connections have it together, each its part`, async () => {
      const each = 600_000;
      await using server = await Server.listen(async (peer) => {
        await sendStream(peer, each);
        peer.end();
      });
      await withConfig(limited(server.address, { [key]: { down: "2MB/s" } }), async (sluice) => {
        const clients = await Promise.all(Array.from({ length: 4 }, () => Peer.connect(sluice.port())));
        const startMs = performance.now(),
          times = await Promise.all(clients.map(async (client) => {
            strictEqual(await readStream(client), each);
            client.end();
            return performance.now() - startMs;
          }));
        assertPace(Math.max(...times), 4 * each, 2_000_000);
        ok(Math.min(...times) > 0.6 * Math.max(...times), `they took ${times.join(", ")} ms`);
        await sluice.ended(4);
      });
    });
  }

  it("of a source: another one has its own", async () => {
    await using server = await Server.listen(async (peer) => {
      await sendStream(peer, 500_000);
      peer.end();
    });
    const limits = { "bandwidth-per-source": { down: "500kB/s" } };
    await withConfig(limited(server.address, limits), async (sluice) => {
      const startMs = performance.now();
      const times = await Promise.all(["127.0.0.2", "127.0.0.3"].map(async (from) => {
        using client = await Peer.connect(sluice.port(), from);
        strictEqual(await readStream(client), 500_000);
        client.end();
        await client.ending();
        return performance.now() - startMs;
      }));
      for (const ms of times) assertPace(ms, 500_000, 500_000);
      await sluice.ended(2);
    });
  });

  it("by reactors that share nothing else", async () => {
    const each = 500_000;
    await using server = await Server.listen(async (peer) => {
      await sendStream(peer, each);
      peer.end();
    });
    const config = { ...limited(server.address, { bandwidth: { down: "2MB/s" } }), reactors: 2 };
    await withConfig(config, async (sluice) => {
      const clients = await Promise.all(Array.from({ length: 4 }, () => Peer.connect(sluice.port())));
      const startMs = performance.now();
      await Promise.all(clients.map(async (client) => {
        strictEqual(await readStream(client), each);
        client.end();
      }));
      assertPace(performance.now() - startMs, 4 * each, 2_000_000);
      await sluice.ended(4);
    });
  });

  it("who waits for it is not blamed: no deadline of a request passes", async () => {
    const bytes = 30 * KIB;
    await using origin = await HttpOrigin.listen(() => answerOk("b".repeat(bytes)));
    const config = {
      listeners: {
        it: {
          bind: "http://127.0.0.1:0",
          to: "app",
          limits: { bandwidth: "60kB/s" },
          timeouts: { "body-stall": "100ms", "client-idle": "100ms" },
        },
      },
      upstreams: {
        app: {
          servers: [origin.address],
          health: "off",
          "keep-alive": KEPT,
          timeouts: { "server-idle": "100ms", answer: "100ms" },
        },
      },
    };
    await withConfig(config, async (sluice) => {
      const startMs = performance.now();
      await Promise.all(Array.from({ length: 4 }, async () => {
        using client = await HttpPeer.connect(sluice.port());
        const { body } = await client.ask(GET);
        strictEqual(body.length, bytes);
        client.end();
        await client.ending();
      }));
      assertPace(performance.now() - startMs, 4 * bytes, 60_000);
    });
  });

  it("small answers count as well", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk("b".repeat(2_000)));
    const config = {
      listeners: { it: { bind: "http://127.0.0.1:0", to: "app", limits: { bandwidth: "100kB/s" } } },
      upstreams: { app: { servers: [origin.address], health: "off", "keep-alive": KEPT } },
    };
    await withConfig(config, async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      const startMs = performance.now(), count = 60;
      for (let request = 0; request < count; request++) await client.ask(GET);
      const bytes = count * answerOk("b".repeat(2_000)).length;
      assertPace(performance.now() - startMs, bytes, 100_000);
      client.end();
      await client.ending();
    });
  });
});

describe("what is said of it", () => {
  it("explain tells the limits, by flag too", async () => {
    const words = ["tcp://127.0.0.1:5432=10.0.0.1:1", "--bandwidth-per-connection", "10MiB/s"];
    const { stdout, status } = await run(["explain", ...words, "tcp://127.0.0.1:5432"]);
    strictEqual(status, 0);
    match(stdout, /^bandwidth:\n {2}each connection: to clients 10MiB\/s, 1MiB at once; from clients 10MiB/m);
  });

  it("a rate of bits is put into bytes", async () => {
    const words = ["tcp://127.0.0.1:5432=10.0.0.1:1", "--bandwidth-per-connection", "10Mbit/s"];
    const { stdout, status } = await run(["check", ...words]);
    strictEqual(status, 2);
    match(stdout, /--bandwidth-per-connection: "10Mbit\/s" is no rate of bytes; write 1250kB\/s/);
  });
});
