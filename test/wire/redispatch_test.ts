// A server that cannot be reached is passed over: the client never notices, and who watches does. Only when
// none is left is the client refused, with the reason in the record, in the metrics and in the status.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { withSluice } from "../support/executable.ts";
import { BlackHole } from "../support/black_hole.ts";
import { Folder } from "../support/folder.ts";
import { knock, Peer } from "../support/peer.ts";
import { echo, freePort, Server } from "../support/servers.ts";

const ALONE = ["--reactors", "1", "--health", "off"];

async function roundTrips(port: number, count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    using client = await Peer.connect(port);
    strictEqual(await client.ask("hello"), "hello");
    client.end();
    strictEqual(await client.ending(), "fin");
  }
}

describe("redispatch", () => {
  it("a server that refuses is passed over, and counted", async () => {
    await using server = await Server.listen(echo);
    const closed = `127.0.0.1:${await freePort()}`;
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${closed},${server.address}`], async (sluice) => {
      await roundTrips(sluice.port(), 10);
      const records = await sluice.ended(10);
      for (const record of records) {
        strictEqual(record.server, server.address);
        strictEqual(record.reason, "finished");
        strictEqual(record.errno, null);
      }
      deepStrictEqual(records.map(({ tried }) => tried).sort(), [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
      const { totals, upstreams: [{ servers }] } = await sluice.status();
      strictEqual(totals.redispatches, 5);
      deepStrictEqual(servers.map(({ connections }) => connections.failed), [5, 0]);
      const metrics = await sluice.metrics();
      strictEqual(metrics.get("sluice_redispatches_total"), 5);
      const labels = `{upstream="tcp://127.0.0.1:0",server="${closed}"}`;
      strictEqual(metrics.get(`sluice_server_connect_failures_total${labels}`), 5);
    });
  });

  it("what the client has sent meanwhile reaches the server that answers", async () => {
    using hole = await BlackHole.open();
    await using server = await Server.listen();
    const words = [
      ...ALONE,
      "--connect-timeout",
      "300ms",
      `tcp://127.0.0.1:0=${hole.address},${server.address}`,
    ];
    await withSluice(words, async (sluice) => {
      using client = await Peer.connect(sluice.port());
      await client.send("sent into the dark");
      client.end();
      using accepted = await server.accept();
      strictEqual((await accepted.readAll()).toString(), "sent into the dark");
      accepted.end();
      strictEqual(await client.ending(), "fin");
      const [record] = await sluice.ended(1);
      strictEqual(record.tried, 2);
      ok(record.duration_ms! >= 290, `after ${record.duration_ms} ms`);
    });
  });

  it("servers that refuse over TCP and over unix sockets: each is tried once", async () => {
    using folder = new Folder();
    const closed = [await freePort(), await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`);
    const targets = [...closed, `unix:${folder.at("missing.sock")}`].join();
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${targets}`], async (sluice) => {
      strictEqual(await knock(sluice.port()), "reset");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "connection_refused");
      strictEqual(record.type, "connection_refused");
      strictEqual(record.tried, 4);
      const { totals, upstreams: [{ servers }] } = await sluice.status();
      deepStrictEqual(totals.ended, { connection_refused: 1 });
      strictEqual(totals.redispatches, 3);
      deepStrictEqual(servers.map(({ connections }) => connections.failed), [1, 1, 1, 1]);
      deepStrictEqual(servers.map(({ connections }) => connections.now), [0, 0, 0, 0]);
    });
  });

  it("all refuse: a reset, with the reason in the record, the metrics and the status", async () => {
    const closed = `127.0.0.1:${await freePort()}`;
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${closed}`], async (sluice) => {
      for (let turn = 0; turn < 20; turn++) {
        strictEqual(await knock(sluice.port()), "reset");
      }
      for (const record of await sluice.ended(20)) {
        strictEqual(record.reason, "connection_refused");
        strictEqual(record.errno, "ECONNREFUSED");
        strictEqual(record.server, closed);
        match(String(record.client), /^127\.0\.0\.1:[0-9]+$/);
      }
      const metrics = await sluice.metrics();
      const labels = '{reason="connection_refused",type="connection_refused"}';
      strictEqual(metrics.get(`sluice_connections_ended_total${labels}`), 20);
      strictEqual((await sluice.status()).totals.ended.connection_refused, 20);
    });
  });

  it("a server that does not answer costs --connect-timeout, then the next one serves", async () => {
    using hole = await BlackHole.open();
    await using server = await Server.listen(echo);
    const words = [
      ...ALONE,
      "--connect-timeout",
      "200ms",
      `tcp://127.0.0.1:0=${hole.address},${server.address}`,
    ];
    await withSluice(words, async (sluice) => {
      await roundTrips(sluice.port(), 4);
      const records = await sluice.ended(4);
      for (const record of records) strictEqual(record.server, server.address);
      strictEqual((await sluice.status()).totals.redispatches, 2);
    });
  });

  it("none answers: connection_timeout", async () => {
    using hole = await BlackHole.open();
    await withSluice(
      [...ALONE, "--connect-timeout", "200ms", `tcp://127.0.0.1:0=${hole.address}`],
      async (sluice) => {
        strictEqual(await knock(sluice.port()), "reset");
        const [record] = await sluice.ended(1);
        strictEqual(record.reason, "connection_timeout");
        strictEqual(record.type, "connection_timeout");
        strictEqual(record.errno, "ETIMEDOUT");
        ok(record.duration_ms! >= 190 && record.duration_ms! < 2_000, `after ${record.duration_ms} ms`);
      },
    );
  });

  it("a client that leaves while its server is being connected", async () => {
    using hole = await BlackHole.open();
    await withSluice(
      [...ALONE, "--connect-timeout", "1h", `tcp://127.0.0.1:0=${hole.address}`],
      async (sluice) => {
        using client = await Peer.connect(sluice.port());
        await client.send("anybody there?");
        await sluice.until(
          "the connect to be under way",
          ({ upstreams }) => upstreams[0].servers[0].connections.now === 1,
        );
        client.reset();
        const [record] = await sluice.ended(1);
        strictEqual(record.reason, "client_reset");
        strictEqual((await sluice.status()).upstreams[0].servers[0].connections.now, 0);
      },
    );
  });

  it("no healthy server: refused at once, nobody is tried", async () => {
    const closed = [await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`);
    const checks = ["--health-interval", "100ms", "--health-fall", "1"];
    await withSluice(["--reactors", "1", ...checks, `tcp://127.0.0.1:0=${closed.join()}`], async (sluice) => {
      await sluice.until(
        "both servers to be down",
        ({ upstreams: [{ servers }] }) => servers.every(({ health }) => health === "down"),
      );
      strictEqual(await knock(sluice.port()), "reset");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "no_server");
      strictEqual(record.type, "destination_unavailable");
      strictEqual(record.server, null);
      strictEqual(record.tried, 0);
      const metrics = await sluice.metrics();
      const labels = '{reason="no_server",type="destination_unavailable"}';
      strictEqual(metrics.get(`sluice_connections_ended_total${labels}`), 1);
      strictEqual((await sluice.status()).totals.ended.no_server, 1);
      const ready = await sluice.get("/readyz");
      strictEqual(ready.status, 503);
      match(ready.body, /takes nothing: all 2 servers are down/);
    });
  });

  it("a server that dies with connections: those are reset, new ones go to the other", async () => {
    await using one = await Server.listen(echo);
    await using two = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${one.address},${two.address}`], async (sluice) => {
      const clients = await Promise.all(Array.from({ length: 10 }, () => Peer.connect(sluice.port())));
      for (const client of clients) strictEqual(await client.ask("hello"), "hello");
      strictEqual(one.connections, 5);
      await one.kill();
      const lost = (await sluice.ended(5)).map(({ client }) => client);
      for (const client of clients) {
        if (lost.includes(client.address)) strictEqual(await client.ending(), "reset");
        else strictEqual(await client.ask("still here"), "still here");
      }
      for (const record of sluice.records) {
        strictEqual(record.reason, "server_reset");
        strictEqual(record.server, one.address);
      }
      await roundTrips(sluice.port(), 6);
      for (const client of clients) client.end();
      await sluice.ended(16);
    });
  });
});
