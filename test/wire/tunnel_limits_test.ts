// How long connections without HTTP may be silent, stalled or half-closed, each limit with its own reason; and
// places at servers, which connections wait for as requests do. Deadlines are late by at most two ticks of the
// wheel: one test takes the time.
import { ok as holds, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { TICK_MS } from "../../src/base/limits.ts";
import { withConfig } from "../support/configured.ts";
import type { AccessLine, Sluice } from "../support/executable.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server, silent } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

interface Limits {
  readonly listener?: Readonly<Record<string, string>>;
  readonly upstream?: Readonly<Record<string, string>>;
  readonly servers?: readonly (string | object)[];
  readonly reactors?: number;
}

/** A Sluice in front of a server, with these timeouts. */
async function through(
  { listener = {}, upstream = {}, servers, reactors = 1 }: Limits,
  test: (parts: { sluice: Sluice; server: Server }) => Promise<void>,
): Promise<void> {
  await using server = await Server.listen();
  const config = {
    reactors,
    listeners: { db: { bind: "tcp://127.0.0.1:0", to: "db", timeouts: listener } },
    upstreams: { db: { servers: servers ?? [server.address], health: "off", timeouts: upstream } },
  };
  await withConfig(config, async (sluice) => {
    await test({ sluice, server });
    await server[Symbol.asyncDispose]();
  });
}

async function pairThrough({ sluice, server }: { sluice: Sluice; server: Server }): Promise<[Peer, Peer]> {
  const client = await Peer.connect(sluice.port());
  return [client, await server.accept()];
}

async function reasonOf(sluice: Sluice): Promise<AccessLine> {
  const [line] = await sluice.ended(1);
  return line;
}

describe("a connection without HTTP ends", () => {
  it("client_idle: the client says nothing, though nobody has", () =>
    through({ listener: { "client-idle": "300ms" } }, async (parts) => {
      const [client, server] = await pairThrough(parts);
      strictEqual(await client.ending(), "fin");
      strictEqual(await server.ending(), "fin");
      const { reason, type } = await reasonOf(parts.sluice);
      strictEqual(`${reason} ${type}`, "client_idle null");
      client[Symbol.dispose]();
    }));

  it("client_idle: the last bytes were the server's; and not while they are the client's", () =>
    through({ listener: { "client-idle": "500ms" } }, async (parts) => {
      const [client, server] = await pairThrough(parts);
      await client.send("ask");
      strictEqual(await server.readText(3), "ask");
      await new Promise((resolve) => setTimeout(resolve, 1_000)); // twice the client's limit: it is not its turn
      strictEqual(client.left, undefined);
      await server.send("answer");
      strictEqual(await client.readText(6), "answer");
      strictEqual(await client.ending(), "fin");
      strictEqual((await reasonOf(parts.sluice)).reason, "client_idle");
      client[Symbol.dispose]();
    }));

  it("server_idle: it was asked and says nothing; the client is reset", () =>
    through({ upstream: { "server-idle": "300ms" } }, async (parts) => {
      const [client, server] = await pairThrough(parts);
      await client.send("ask");
      strictEqual(await server.readText(3), "ask");
      strictEqual(await client.ending(), "reset");
      const { reason, type } = await reasonOf(parts.sluice);
      strictEqual(`${reason} ${type}`, "server_idle connection_read_timeout");
    }));

  it("tunnel_idle: where it is less than the others", () =>
    through({
      listener: { "tunnel-idle": "300ms", "client-idle": "1m", "half-closed": "1m" },
      upstream: { "server-idle": "1m" },
    }, async (parts) => {
      const [client] = await pairThrough(parts);
      strictEqual(await client.ending(), "fin");
      strictEqual((await reasonOf(parts.sluice)).reason, "tunnel_idle");
      client[Symbol.dispose]();
    }));

  it("half_closed: the client has ended its stream, and the server neither speaks nor ends its own", () =>
    through({ listener: { "half-closed": "300ms" } }, async (parts) => {
      const [client, server] = await pairThrough(parts);
      client.end();
      strictEqual(await server.ending(), "fin");
      strictEqual(await client.ending(), "reset");
      const { reason, type } = await reasonOf(parts.sluice);
      strictEqual(`${reason} ${type}`, "half_closed connection_read_timeout");
    }));

  it("half_closed: not while the other half is used", () =>
    through({ listener: { "half-closed": "600ms" } }, async (parts) => {
      const [client, server] = await pairThrough(parts);
      server.end();
      strictEqual(await client.ending(), "fin");
      for (let word = 0; word < 6; word++) {
        await client.send("word");
        strictEqual(await server.readText(4), "word");
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      client.end();
      strictEqual(await server.ending(), "fin");
      strictEqual((await reasonOf(parts.sluice)).reason, "finished");
    }));

  for (const talks of [false, true]) {
    const how = talks ? ", though it speaks all the time" : "";
    it(`write_stall: the client takes nothing of what is held for it${how}`, () =>
      through({ listener: { "write-stall": "500ms" } }, async (parts) => {
        const [client, server] = await pairThrough(parts);
        const flood = server.send(Buffer.alloc(64 << 20)).catch(() => {});
        const talk = talks ? setInterval(() => void client.send(".").catch(() => {}), 50) : undefined;
        const { reason, type, down_bytes: down } = await reasonOf(parts.sluice);
        clearInterval(talk);
        strictEqual(`${reason} ${type}`, "write_stall connection_write_timeout");
        holds(down > 0);
        server.reset();
        client.reset();
        await flood;
      }));
  }

  it("server_write_stall: the server takes nothing of what is held for it", () =>
    through({ upstream: { "write-stall": "500ms" } }, async (parts) => {
      const [client, server] = await pairThrough(parts);
      const flood = client.send(Buffer.alloc(64 << 20)).catch(() => {});
      const { reason, type } = await reasonOf(parts.sluice);
      strictEqual(`${reason} ${type}`, "server_write_stall connection_write_timeout");
      client.reset();
      server.reset();
      await flood;
    }));

  it("not by write-stall while a slow reader takes some of it now and then", () =>
    through({ listener: { "write-stall": "700ms" } }, async (parts) => {
      const [client, server] = await pairThrough(parts);
      const bytes = 24 << 20;
      const flood = server.send(Buffer.alloc(bytes));
      for (let read = 0; read < bytes; read += 4 << 20) {
        await client.read(4 << 20);
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      await flood;
      server.end();
      client.end();
      strictEqual((await reasonOf(parts.sluice)).reason, "finished");
      client[Symbol.dispose]();
    }));

  it("late by at most two ticks", () =>
    through({ listener: { "client-idle": "700ms" } }, async (parts) => {
      let least = Infinity;
      for (let time = 0; time < 3; time++) { // the machine may be late itself, not three times
        const [client] = await pairThrough(parts);
        const begun = performance.now();
        await client.ending();
        const took = performance.now() - begun;
        holds(took >= 700 - 20, `ended after ${took} ms`); // it began before its connection was known here
        least = Math.min(least, took);
        client[Symbol.dispose]();
      }
      holds(least <= 700 + 2 * TICK_MS + 50, `never before ${least} ms`);
    }));

  it("by nothing of that where nothing is set: their defaults are for HTTP", () =>
    through({}, async (parts) => {
      const [client, server] = await pairThrough(parts);
      await client.send("x");
      strictEqual(await server.readText(1), "x");
      await new Promise((resolve) => setTimeout(resolve, 500));
      strictEqual(client.left, undefined);
      client.end();
      server.end();
      strictEqual((await reasonOf(parts.sluice)).reason, "finished");
    }));
});

describe("a server with max-connections", () => {
  for (const reactors of [1, 2]) {
    it(`has no more of them, and each gets its turn: ${reactors} reactors`, async () => {
      let now = 0, most = 0;
      await using origin = await Server.listen(async (peer) => {
        most = Math.max(most, ++now);
        await peer.send(await peer.readText(4));
        now--; // its place is free when both sides have ended, no sooner
        peer.end();
      });
      const servers = [{ address: origin.address, "max-connections": 2 }];
      await through({ servers, reactors, upstream: { queue: "20s" } }, async ({ sluice }) => {
        const clients = await Promise.all(Array.from({ length: 20 }, () => Peer.connect(sluice.port())));
        const answers = clients.map(async (client) => {
          const text = await client.ask("ping");
          client.end();
          return text;
        });
        for (const answer of answers) strictEqual(await answer, "ping");
        const lines = await sluice.ended(20);
        strictEqual(lines.every(({ reason }) => reason === "finished"), true);
        holds(most <= 2, `${most} at once`);
        strictEqual(origin.connections, 20);
        for (const client of clients) client[Symbol.dispose]();
      });
    });
  }

  it("queue_timeout: nobody leaves in time", async () => {
    await using origin = await Server.listen(silent);
    const servers = [{ address: origin.address, "max-connections": 1 }];
    await through({ servers, upstream: { queue: "400ms" } }, async ({ sluice }) => {
      using first = await Peer.connect(sluice.port());
      await until("the place to be taken", () => origin.connections === 1);
      const second = await Peer.connect(sluice.port());
      strictEqual(await second.ending(), "reset");
      const { reason, type } = await reasonOf(sluice);
      strictEqual(`${reason} ${type}`, "queue_timeout connection_limit_reached");
      first.reset();
      await sluice.ended(2);
    });
  });

  it("forgets who leaves the queue, and keeps what one who stays has said and ended", async () => {
    await using origin = await Server.listen(echo);
    const servers = [{ address: origin.address, "max-connections": 1 }];
    await through({ servers, upstream: { queue: "20s" } }, async ({ sluice }) => {
      const first = await Peer.connect(sluice.port());
      strictEqual(await first.ask("a"), "a");
      const gone = await Peer.connect(sluice.port());
      const patient = await Peer.connect(sluice.port());
      await patient.send("all that I have to say");
      patient.end();
      await sluice.until("two to wait", ({ totals }) => totals.connections.now === 3);
      gone.reset();
      strictEqual((await reasonOf(sluice)).reason, "client_reset");
      strictEqual(origin.connections, 1);
      first.end();
      strictEqual((await patient.readAll()).toString(), "all that I have to say");
      await sluice.ended(3);
      first[Symbol.dispose]();
    });
  });
});
