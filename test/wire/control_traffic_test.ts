// What an operator does to servers while all kinds of traffic flow: nobody notices, but who was closed.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { command, run, type Sluice } from "../support/executable.ts";
import { Datagrams } from "../support/datagrams.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { Server } from "../support/servers.ts";
import { SERVES, Traffic } from "../support/traffic.ts";
import { until } from "../support/waiting.ts";
import { echo as echoed, Talk, WebSocketOrigin } from "../support/web_sockets.ts";

async function well(sluice: Sluice, ...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await run([...words, "--admin", sluice.admin], {
    command: command("executable"),
  });
  deepStrictEqual([status, stderr], [0, ""], words.join(" "));
  return stdout;
}

describe("run-time control under traffic", () => {
  it("drains, disables, weighs and enables servers, and nothing fails", async () => {
    await using one = await Server.listen(SERVES.tcp), two = await Server.listen(SERVES.tcp);
    await using web = await Server.listen(SERVES.http), site = await Server.listen(SERVES.http);
    using talkOne = await WebSocketOrigin.listen(echoed), talkTwo = await WebSocketOrigin.listen(echoed);
    const udpOne = await Datagrams.echo(), udpTwo = await Datagrams.echo(), client = await Datagrams.open();
    const health = { tcp: true, interval: "200ms", timeout: "2s", fall: 3, rise: 1 };
    const keep = { "keep-alive": { idle: "300ms" } };
    const config = {
      reactors: 2,
      listeners: {
        tcp: { bind: "tcp://127.0.0.1:0", to: "tcp" },
        web: { bind: "http://127.0.0.1:0", to: "web" },
        talk: { bind: "http://127.0.0.1:0", to: "talk" },
        udp: { bind: "udp://127.0.0.1:0", to: "udp" },
      },
      upstreams: {
        tcp: { servers: [one.address, two.address], health },
        web: { servers: [web.address, site.address], health, ...keep },
        talk: { servers: [talkOne.address, talkTwo.address], health, ...keep },
        udp: { servers: [udpOne.address, udpTwo.address], health: "off" },
      },
    };
    try {
      await withConfig(config, async (sluice) => {
        const traffics = [
          new Traffic("tcp", sluice, "tcp", sluice.port(0), 4),
          new Traffic("http", sluice, "web", sluice.port(1), 4),
        ];
        const talks = [await Talk.connect(sluice.port(2)), await Talk.connect(sluice.port(2))];
        strictEqual(await client.ask("hello", sluice.port(3)), "hello");
        const firsts = [one, web, talkOne, udpOne].map(({ address }) => address);
        for (
          const words of [
            ...firsts.flatMap((server) => [["disable", server], ["weight", server, "7"]]),
            ["servers"],
            ...firsts.map((server) => ["enable", server]),
            ...firsts.map((server) => ["drain", server]),
            ...firsts.flatMap((server) => [["enable", server], ["weight", server, "reset"]]),
          ]
        ) {
          await well(sluice, ...words);
          for (const talk of talks) {
            await talk.send(words.join());
            strictEqual(await talk.next(), words.join());
          }
          strictEqual(await client.ask(words.join(), sluice.port(3)), words.join());
        }
        strictEqual((await sluice.status()).totals.connections.total > 4, true);
        // A session was never moved: one client's datagrams had one session all along.
        const sessions = JSON.parse((await sluice.get("/connections?listener=udp")).body);
        strictEqual(sessions.total >= 1 && sessions.matched, 1);
        for (const traffic of traffics) {
          await traffic.stop({});
          ok(traffic.total > 20, `${traffic.total} of them`);
          strictEqual(traffic.count("served"), traffic.total);
        }
        for (const talk of talks) await talk.close(1_000, "");
        await well(sluice, "close", "--all");
      });
    } finally {
      for (const each of [udpOne, udpTwo, client]) each.close();
    }
  });

  it("lets in who waits for a place when a server is enabled, or drained no more", async () => {
    const release: (() => void)[] = [];
    await using full = await HttpOrigin.listen(async () => {
      await new Promise<void>((resolve) => release.push(resolve));
      return answered("full");
    });
    await using free = await HttpOrigin.listen(() => answered("free"));
    const config = {
      listeners: { web: { bind: "http://127.0.0.1:0", to: "app" } },
      upstreams: {
        app: {
          servers: [{ address: full.address, "max-connections": 1 }, free.address],
          health: "off",
          timeouts: { queue: "1m" },
          "keep-alive": { idle: "300ms" },
        },
      },
    };
    const ways = [
      [["drain", free.address], ["drain", free.address, "--undo"]],
      [["disable", free.address], ["enable", free.address]],
    ];
    await withConfig(config, async (sluice) => {
      for (const [out, back] of ways) {
        const got = full.requests.length;
        await well(sluice, ...out);
        using busy = await HttpPeer.connect(sluice.port()), waiting = await HttpPeer.connect(sluice.port());
        const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", first = busy.ask(get);
        await until("a full server", () => Promise.resolve(full.requests.length > got ? true : undefined));
        const second = waiting.ask(get);
        await sluice.until("somebody to wait", ({ upstreams }) => upstreams[0].queued === 1);
        await well(sluice, ...back);
        strictEqual((await second).body.toString(), "free", back[0]);
        release.pop()!();
        strictEqual((await first).body.toString(), "full");
      }
    });
  });

  it("closes what flows, and its client comes again", async () => {
    await using server = await Server.listen(SERVES.tcp);
    const config = {
      reactors: 2,
      listeners: { tcp: { bind: "tcp://127.0.0.1:0", to: "tcp" } },
      upstreams: { tcp: { servers: [server.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      const traffic = new Traffic("tcp", sluice, "tcp", sluice.port(), 8);
      using quiet = await Peer.connect(sluice.port());
      strictEqual(await quiet.ask("hello"), "hello");
      for (let turn = 0; turn < 5; turn++) {
        await until("traffic", () => Promise.resolve(traffic.total > 10 * turn ? true : undefined));
        await well(sluice, "close", "--state", "open", "--client", "127.0.0.0/8");
      }
      strictEqual(await quiet.ending(), "reset");
      await traffic.stop({ reset: ["closed_by_operator"] }, [quiet.address]);
      ok(traffic.count("served") > 0 && traffic.count("reset") > 0);
      strictEqual(traffic.count("served") + traffic.count("reset"), traffic.total);
    });
  });
});
