// What a reload takes away: listeners, servers, routes, and what becomes of those who came by them.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Datagrams, freeUdpPort } from "../support/datagrams.ts";
import type { Sluice } from "../support/executable.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { withReloads } from "../support/reloading.ts";
import { echo, freePort, sayAndEnd, Server } from "../support/servers.ts";
import { echo as echoTalk, Talk, WebSocketOrigin } from "../support/web_sockets.ts";

const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const OFF = { health: "off", "keep-alive": "off" };
const STREAM = { health: "off" };
const EMPTY = { bind: "tcp://127.0.0.1:0", to: "other" };

/** Nobody is there any more, and what is gone has left the Plan. */
async function assertLeft(sluice: Sluice, listeners: number): Promise<void> {
  await sluice.until("what is gone to have left", (status) => status.listeners.length === listeners);
}

describe("a listener that is there under another name", () => {
  it("keeps its socket; who came by the old name is served until he ends", async () => {
    await using web = await HttpOrigin.listen(() => answered("hello"));
    using talkers = await WebSocketOrigin.listen(echoTalk);
    await using tcp = await Server.listen(echo);
    const port = await freePort(), streamPort = await freePort();
    const upstreams = {
      web: { servers: [web.address], ...OFF },
      talk: { servers: [talkers.address], ...OFF },
      tcp: { servers: [tcp.address], ...STREAM },
    };
    const routes = [{ match: { path: "/talk" }, to: "talk" }];
    const named = (site: string, stream: string, policy: string) => ({
      defaults: { "on-remove": policy },
      listeners: {
        [site]: { bind: `http://127.0.0.1:${port}`, to: "web", routes },
        [stream]: { bind: `tcp://127.0.0.1:${streamPort}`, to: "tcp" },
      },
      upstreams,
    });
    await withReloads(named("site", "stream", "keep"), async (reloads) => {
      const { sluice } = reloads;
      using kept = await HttpPeer.connect(port), stream = await Peer.connect(streamPort);
      strictEqual(statusOf((await kept.ask(GET)).head), 200);
      strictEqual(await stream.ask("one"), "one");
      using talk = await Talk.connect(port, "/talk");
      const { listeners } = await reloads.take(named("shop", "flow", "keep"));
      deepStrictEqual([listeners.added.names, listeners.removed.names], [["shop", "flow"], [
        "site",
        "stream",
      ]]);
      strictEqual(await stream.ask("two"), "two");
      await talk.send("two");
      strictEqual(await talk.next(), "two");
      using fresh = await HttpPeer.connect(port);
      strictEqual(statusOf((await fresh.ask(GET)).head), 200);
      strictEqual((await kept.readToEnd()).ending, "fin", "it waited for nothing");
      for (const peer of [stream, fresh, kept]) peer.end();
      await talk.close(1_000, "");
      await sluice.until("all records", () => sluice.records.length >= 4);
      deepStrictEqual([...new Set(sluice.records.map(({ listener }) => listener))].sort(), [
        "shop",
        "site",
        "stream",
      ]);
      await assertLeft(sluice, 2);
    });
  });

  it("speaks another protocol on the same port from the next connection on", async () => {
    await using web = await HttpOrigin.listen(() => answered("hello"));
    await using tcp = await Server.listen(echo);
    const port = await freePort();
    const upstreams = { web: { servers: [web.address], ...OFF }, tcp: { servers: [tcp.address], ...STREAM } };
    const speaking = (protocol: string, to: string) => ({
      defaults: { "on-remove": "keep" },
      listeners: { it: { bind: `${protocol}://127.0.0.1:${port}`, to } },
      upstreams,
    });
    await withReloads(speaking("tcp", "tcp"), async (reloads) => {
      using stream = await Peer.connect(port);
      strictEqual(await stream.ask("one"), "one");
      await reloads.take(speaking("http", "web"));
      strictEqual(await stream.ask("two"), "two");
      using client = await HttpPeer.connect(port);
      strictEqual(statusOf((await client.ask(GET)).head), 200);
      await reloads.take(speaking("tcp", "tcp"));
      using again = await Peer.connect(port);
      strictEqual(await again.ask("again"), "again");
      strictEqual(await stream.ask("three"), "three");
      for (const peer of [stream, client, again]) peer.end();
      await assertLeft(reloads.sluice, 1);
    });
  });

  it("has moved to another port with another protocol, and who came there goes on", async () => {
    await using web = await HttpOrigin.listen(() => answered("hello"));
    await using tcp = await Server.listen(echo);
    const ports = [await freePort(), await freePort(), await freePort()];
    const upstreams = { web: { servers: [web.address], ...OFF }, tcp: { servers: [tcp.address], ...STREAM } };
    const at = (bind: string, to: string) => ({
      defaults: { "on-remove": "keep" },
      listeners: { it: { bind, to } },
      upstreams,
    });
    await withReloads(at(`tcp://127.0.0.1:${ports[0]}`, "tcp"), async (reloads) => {
      using stream = await Peer.connect(ports[0]);
      strictEqual(await stream.ask("one"), "one");
      await reloads.take(at(`http://127.0.0.1:${ports[1]}`, "web"));
      strictEqual(await stream.ask("two"), "two");
      using client = await HttpPeer.connect(ports[1]);
      strictEqual(statusOf((await client.ask(GET)).head), 200);
      await reloads.take(at(`tcp://127.0.0.1:${ports[2]}`, "tcp"));
      strictEqual(await stream.ask("three"), "three");
      strictEqual((await client.readToEnd()).ending, "fin");
      for (const peer of [stream, client]) peer.end();
      await assertLeft(reloads.sluice, 1);
    });
  });
});

describe("on-remove", () => {
  for (const policy of ["keep", "drain 300ms", "reset"] as const) {
    it(`${policy}, of listeners`, async () => {
      let letGo = (): void => {};
      const free = new Promise<void>((resolve) => letGo = resolve);
      await using web = await HttpOrigin.listen(async ({ head }) => {
        if (head.line.includes("/late")) await free;
        return answered("hello");
      });
      using talkers = await WebSocketOrigin.listen(echoTalk);
      await using tcp = await Server.listen(echo);
      using udp = await Datagrams.echo(), client = await Datagrams.open();
      const udpPort = await freeUdpPort(), own = { "on-remove": policy };
      const upstreams = {
        web: { servers: [web.address], ...OFF },
        talk: { servers: [talkers.address], ...OFF },
        tcp: { servers: [tcp.address], ...STREAM },
        udp: { servers: [udp.address], health: "off" },
        other: { servers: [tcp.address], ...STREAM },
      };
      const listeners = {
        stays: EMPTY,
        tcp: { bind: "tcp://127.0.0.1:0", to: "tcp", ...own },
        web: { bind: "http://127.0.0.1:0", to: "web", ...own },
        talk: { bind: "http://127.0.0.1:0", to: "talk", ...own },
        udp: { bind: `udp://127.0.0.1:${udpPort}`, to: "udp", ...own },
      };
      await withReloads({ listeners, upstreams }, async (reloads) => {
        const { sluice } = reloads;
        using stream = await Peer.connect(sluice.port(1));
        strictEqual(await stream.ask("one"), "one");
        using idle = await HttpPeer.connect(sluice.port(2)), busy = await HttpPeer.connect(sluice.port(2));
        strictEqual(statusOf((await idle.ask(GET)).head), 200);
        await busy.send(GET.replace("/", "/late"));
        await sluice.until("the request to be there", () => web.connections >= 2);
        using talk = await Talk.connect(sluice.port(3));
        strictEqual(await client.ask("one", udpPort), "one");
        const { gone } = await reloads.take({
          listeners: { stays: EMPTY },
          upstreams: { other: upstreams.other },
        });
        // (an HTTP client that only waits has gone already, or is on its way)
        deepStrictEqual(gone.filter(({ kind }) => kind === "listener").map(({ on_remove }) => on_remove), [
          policy,
          policy,
          policy,
          policy,
        ]);
        strictEqual(await idle.ending(), "fin", "no reset for who waits");
        if (policy === "keep") {
          strictEqual(await stream.ask("two"), "two");
          await talk.send("two");
          strictEqual(await talk.next(), "two");
          strictEqual(await client.ask("two", udpPort), "two");
          letGo();
          const { head } = await busy.readAnswer();
          deepStrictEqual([statusOf(head), valuesOf(head, "connection")], [200, ["close"]]);
          stream.end();
          strictEqual(await stream.ending(), "fin");
          await talk.close(1_000, "");
        } else {
          await stream.ending();
          await talk.closed;
          const { head } = await busy.readAnswer();
          deepStrictEqual([statusOf(head), valuesOf(head, "connection")], [503, ["close"]]);
          const removed = () =>
            sluice.records.filter(({ reason }) => reason === "removed").map(({ listener }) => listener);
          await sluice.until("records", () => removed().length >= 4);
          deepStrictEqual(removed().sort(), ["talk", "tcp", "udp", "web"]);
          letGo();
        }
        const refused = await Peer.connect(sluice.port(1)).then(() => false, () => true);
        ok(refused, "nobody listens there");
        if (policy !== "keep") await assertLeft(sluice, 1);
        if (policy === "keep") {
          // Back while a session of its is open: it is the same one.
          await reloads.take({ listeners: { stays: EMPTY, udp: listeners.udp }, upstreams });
          strictEqual(await client.ask("three", udpPort), "three");
          strictEqual(udp.count, 3);
          await reloads.take({
            listeners: { stays: EMPTY, udp: { ...listeners.udp, "on-remove": "reset" } },
            upstreams,
          });
          await reloads.take({ listeners: { stays: EMPTY }, upstreams: { other: upstreams.other } });
          await assertLeft(sluice, 1);
        }
      });
    });
  }

  it("of a server, and of a route; what is back in time is untouched", async () => {
    await using one = await Server.listen(echo), two = await Server.listen(sayAndEnd("two"));
    using talkers = await WebSocketOrigin.listen(echoTalk);
    await using web = await HttpOrigin.listen(() => answered("hello"));
    const config = (servers: readonly string[], routes: readonly object[], policy: string) => ({
      listeners: {
        tcp: { bind: "tcp://127.0.0.1:0", to: "tcp" },
        web: { bind: "http://127.0.0.1:0", to: "web", routes },
      },
      upstreams: {
        tcp: { servers, ...STREAM, "on-remove": policy },
        talk: { servers: [talkers.address], ...OFF },
        web: { servers: [web.address], ...OFF },
      },
    });
    const route = { match: { path: "/talk" }, to: "talk", "on-remove": "drain 400ms" };
    const other = { match: { path: "/other" }, to: "web" };
    await withReloads(config([one.address], [route], "drain 400ms"), async (reloads) => {
      const { sluice } = reloads;
      using stream = await Peer.connect(sluice.port(0));
      strictEqual(await stream.ask("one"), "one");
      using talk = await Talk.connect(sluice.port(1), "/talk");
      const first = await reloads.take(config([two.address], [other], "drain 400ms"));
      deepStrictEqual(
        first.gone.map(({ kind, connections, on_remove }) => [kind, connections, on_remove]).sort(),
        [["route", 1, "drain 400ms"], ["server", 1, "drain 400ms"]],
      );
      await reloads.take(config([one.address], [other, route], "drain 400ms"));
      using fresh = await Peer.connect(sluice.port(0));
      strictEqual(await fresh.ask("fresh"), "fresh");
      fresh.end();
      await new Promise((resolve) => setTimeout(resolve, 900)); // what was due has come to nothing
      strictEqual(await stream.ask("still"), "still");
      await talk.send("still");
      strictEqual(await talk.next(), "still");
      await reloads.take(config([two.address], [other], "reset"));
      await reloads.take(config([two.address], [other], "reset"));
      await stream.ending();
      await talk.closed;
      await sluice.until(
        "records",
        () => sluice.records.filter(({ reason }) => reason === "removed").length === 2,
      );
    });
  });
});
