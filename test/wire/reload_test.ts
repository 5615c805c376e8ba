// A configuration that is read again under traffic: what it says as before is not touched, what is wrong with it
// changes nothing, and what it has no more ends as it was told to.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { command, run } from "../support/executable.ts";
import { Datagrams } from "../support/datagrams.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { assertNothing, withReloads } from "../support/reloading.ts";
import { echo, sayAndEnd, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";
import { echo as echoTalk, Talk, WebSocketOrigin } from "../support/web_sockets.ts";

const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const OFF = { health: "off", "keep-alive": "off" };

/** What a server says, and when it is let go. */
function held(): { readonly answer: () => Promise<string>; readonly letGo: () => void } {
  let letGo = (): void => {};
  const free = new Promise<void>((resolve) => letGo = resolve);
  return { letGo: () => letGo(), answer: () => free.then(() => answered("late")) };
}

describe("a reload of what is as it was", () => {
  it("touches no connection, no request, no WebSocket, no session, no verdict and no counter", async () => {
    const late = held();
    await using tcp = await Server.listen(echo);
    await using web = await HttpOrigin.listen(({ head }) =>
      head.line.includes("/late") ? late.answer() : answered("now")
    );
    using talkers = await WebSocketOrigin.listen(echoTalk);
    using udp = await Datagrams.echo(), client = await Datagrams.open();
    const health = { tcp: true, interval: "200ms", timeout: "100ms", rise: 1, fall: 1 };
    const config = {
      listeners: {
        tcp: { bind: "tcp://127.0.0.1:0", to: "tcp" },
        web: { bind: "http://127.0.0.1:0", to: "web" },
        talk: { bind: "http://127.0.0.1:0", to: "talk" },
        udp: { bind: "udp://127.0.0.1:0", to: "udp" },
      },
      upstreams: {
        tcp: { servers: [tcp.address], health },
        web: { servers: [{ address: web.address, "max-connections": 1 }], ...OFF },
        talk: { servers: [talkers.address], ...OFF },
        udp: { servers: [udp.address], health: "off" },
      },
    };
    await withReloads(config, async (reloads) => {
      const { sluice } = reloads;
      using stream = await Peer.connect(sluice.port(0));
      strictEqual(await stream.ask("one"), "one");
      using busy = await HttpPeer.connect(sluice.port(1)), queued = await HttpPeer.connect(sluice.port(1));
      await busy.send(GET.replace("/", "/late"));
      await until("the request to be at the server", () => web.requests.length === 1);
      await queued.send(GET);
      await sluice.until("one to wait", ({ reactors }) => reactors.some((reactor) => reactor.queued === 1));
      using talk = await Talk.connect(sluice.port(2));
      strictEqual(await client.ask("one", sluice.port(3)), "one");
      await sluice.until("a verdict", ({ upstreams }) => upstreams[0].servers[0].since !== null);
      const before = await sluice.status();

      const { stdout, stderr, status } = await run(["reload", "--admin", sluice.admin], {
        command: command("executable"),
      });
      deepStrictEqual([status, stderr], [0, ""]);
      match(stdout, /^reloaded: nothing has changed; generation [0-9]+, in [0-9]+ ms\n$/);
      sluice.signal("SIGHUP");
      await sluice.line("reload", /SIGHUP/);
      for (const answer of await Promise.all(Array.from({ length: 10 }, () => reloads.take()))) {
        assertNothing(answer);
      }

      const after = await sluice.status();
      strictEqual(after.upstreams[0].servers[0].since, before.upstreams[0].servers[0].since);
      deepStrictEqual(
        after.listeners.map(({ connections }) => connections),
        before.listeners.map(({ connections }) => connections),
      );
      deepStrictEqual(sluice.binds.length, 4);
      strictEqual(await stream.ask("two"), "two");
      await talk.send("two");
      strictEqual(await talk.next(), "two");
      strictEqual(await client.ask("two", sluice.port(3)), "two");
      strictEqual(JSON.parse((await sluice.get("/connections?listener=udp")).body).total >= 1, true);
      late.letGo();
      strictEqual((await busy.readAnswer()).body.toString(), "late");
      strictEqual((await queued.readAnswer()).body.toString(), "now");
      strictEqual((await busy.ask(GET)).body.toString(), "now");
      for (const peer of [stream, busy, queued]) peer.end();
      await talk.close(1_000, "");
      await run(["close", "--all", "--admin", sluice.admin]);
    });
  });
});

describe("a reload of what is wrong", () => {
  it("changes nothing, says why, and leaves nothing behind; the next good one goes", async () => {
    await using server = await Server.listen(echo), other = await Server.listen(sayAndEnd("other"));
    await using foreign = await Server.listen(echo);
    const listeners = { tcp: { bind: "tcp://127.0.0.1:0", to: "app" } };
    const good = { listeners, upstreams: { app: { servers: [server.address], health: "off" } } };
    await withReloads(good, async (reloads) => {
      const { sluice, folder } = reloads;
      writeFileSync(folder.at("no.pem"), "nothing of a certificate");
      const more = (bind: string, rest: object = {}) => ({
        ...good,
        listeners: {
          more: { bind: `tcp://127.0.0.1:${0}`, to: "app" },
          ...listeners,
          it: { bind, to: "app", ...rest },
        },
      });
      const bad = { cert: folder.at("no.pem"), key: folder.at("no.pem") };
      const cases: [config: object | string, status: number, why: RegExp][] = [
        ["listeners:\n  tcp: {bind: tcp://127.0.0.1:0, to: nobody}\n", 2, /sluice\.yaml:2/],
        ["listeners: [", 2, /sluice\.yaml:1/],
        [
          { ...good, reactors: 3 },
          1,
          /reactors: it is 2, the file says 3; it needs a new process: sluice upgrade/,
        ],
        [{ ...good, accept: "reuseport" }, 1, /accept: .*sluice upgrade/],
        [{ ...good, "max-connections": 77 }, 1, /max-connections: .*sluice upgrade/],
        [more(`tcp://${foreign.address}`), 1, new RegExp(String(foreign.port))],
        [more("tls://127.0.0.1:0", { tls: { certificates: [bad] } }), 2, /no\.pem/],
        [more("tcp://127.0.0.1:0", { allow: [`file:${folder.at("none.txt")}`] }), 2, /none\.txt/],
        [
          { ...more("tcp://127.0.0.1:0"), log: { access: { to: folder.at("none/access.log") } } },
          1,
          /none\/access\.log/,
        ],
        [{ ...good, listeners: { tcp: { ...listeners.tcp, socket: { interface: "lo" } } } }, 1, /interface/],
      ];
      using client = await Peer.connect(sluice.port());
      for (const [config, status, why] of cases) {
        const answer = await reloads.refuse(config);
        match(answer.why.join("\n"), why);
        strictEqual(answer.status, status, answer.why.join("\n"));
        strictEqual(await client.ask("goes on"), "goes on");
      }
      reloads.write(cases[0][0]);
      const { status, stderr } = await run(["reload", "--admin", sluice.admin]);
      deepStrictEqual([status, stderr.includes("sluice.yaml:2")], [2, true], stderr);
      match(stderr, /not reloaded, the running process goes on as before/);
      client.end();
      strictEqual(await client.ending(), "fin");
      await sluice.assertQuiet();
      const { upstreams, changed, servers } = await reloads.take({
        ...good,
        upstreams: { app: { servers: [other.address], health: "off" } },
      });
      deepStrictEqual([changed, upstreams.changed.count, servers.added.count, servers.removed.count], [
        true,
        0,
        1,
        1,
      ]);
      using next = await Peer.connect(sluice.port());
      strictEqual(String(await next.readAll()), "other");
    });
  });
});
