// What a reload leaves where it is: what is back, what others still lead to; and what it must not leave: connections to a
// server that are made otherwise now.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { type AnswerTo, HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { withReloads } from "../support/reloading.ts";
import { echo, freePort, Server } from "../support/servers.ts";

const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

describe("a kept connection to a server", () => {
  const from = (port: number, web: HttpOrigin, own: object) => ({
    reactors: 1,
    listeners: { site: { bind: `http://127.0.0.1:${port}`, to: "web" } },
    upstreams: { web: { servers: [web.address], health: "off", ...own } },
  });

  it("goes on where nothing about it has changed, and serves nobody where it has", async () => {
    await using web = await HttpOrigin.listen(() => answered("hello"));
    const port = await freePort();
    await withReloads(from(port, web, {}), async (reloads) => {
      using client = await HttpPeer.connect(port);
      const asks = async () => strictEqual(statusOf((await client.ask(GET)).head), 200);
      await asks();
      await reloads.take(from(port, web, { timeouts: { connect: "3s" } }));
      await reloads.sluice.adopted();
      await asks();
      strictEqual(web.connections, 1, "the same connection");
      await reloads.take(from(port, web, { source: "127.0.0.2" }));
      await reloads.sluice.adopted();
      await asks();
      strictEqual(web.connections, 2);
      await web.kill();
    });
  });

  it("is not kept if it was busy when that changed", async () => {
    const held = Promise.withResolvers<void>(), asked = Promise.withResolvers<void>();
    let first = true;
    const answers: AnswerTo = async () => {
      if (first) {
        first = false;
        asked.resolve();
        await held.promise;
      }
      return answered("hello");
    };
    await using web = await HttpOrigin.listen(answers);
    const port = await freePort();
    await withReloads(from(port, web, {}), async (reloads) => {
      using client = await HttpPeer.connect(port);
      const answer = client.ask(GET);
      await asked.promise;
      await reloads.take(from(port, web, { source: "127.0.0.2" }));
      held.resolve();
      strictEqual(statusOf((await answer).head), 200);
      strictEqual(statusOf((await client.ask(GET)).head), 200);
      strictEqual(web.connections, 2);
      await web.kill();
    });
  });
});

describe("an upstream to which a listener led that is gone", () => {
  it("is there as before if another listener leads to it", async () => {
    await using tcp = await Server.listen(echo);
    const port = await freePort(), otherPort = await freePort();
    const upstreams = { app: { servers: [tcp.address], health: "off" } };
    const stays = { bind: `tcp://127.0.0.1:${port}`, to: "app" };
    const leaves = { bind: `tcp://127.0.0.1:${otherPort}`, to: "app", "on-remove": "keep" };
    await withReloads({ listeners: { stays, leaves }, upstreams }, async (reloads) => {
      using client = await Peer.connect(otherPort);
      strictEqual(await client.ask("one"), "one");
      await reloads.take({ listeners: { stays }, upstreams });
      strictEqual((await reloads.sluice.get("/readyz")).status, 200);
      const { servers } = JSON.parse((await reloads.sluice.get("/servers")).body);
      deepStrictEqual(servers.map(({ address }: { address: string }) => address), [tcp.address]);
      strictEqual(await client.ask("two"), "two");
      client.end();
    });
  });
});

describe("a server that comes back before its time is over", () => {
  it("has all of its time when it is gone once more", async () => {
    await using one = await Server.listen(echo);
    await using other = await Server.listen(echo);
    const port = await freePort();
    const to = (servers: readonly string[]) => ({
      listeners: { site: { bind: `tcp://127.0.0.1:${port}`, to: "app" } },
      upstreams: { app: { servers, health: "off", "on-remove": "drain 1s" } },
    });
    await withReloads(to([one.address]), async (reloads) => {
      using client = await Peer.connect(port);
      strictEqual(await client.ask("one"), "one");
      await reloads.take(to([other.address]));
      const first = performance.now();
      await reloads.take(to([one.address, other.address]));
      await reloads.sluice.until("half of its time", () => performance.now() - first > 600);
      await reloads.take(to([other.address]));
      const second = performance.now();
      await client.ending();
      strictEqual(
        performance.now() - second > 900,
        true,
        "the time that it was given the first time is over",
      );
    });
  });
});
