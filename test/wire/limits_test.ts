// Limits on connections at the wire: of a source, of its prefix, of a listener, at once and by rate, with one reactor
// and with two, which accept for all or each for itself. What is counted is counted once, and given back at the end,
// however it comes.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import {
  come,
  LAYOUTS,
  NEIGHBOUR,
  ONE,
  OTHER,
  refusedOf,
  served,
  told,
  untilNobody,
  withEcho,
} from "../support/limited.ts";
import { knock, Peer } from "../support/peer.ts";
import { freePort } from "../support/servers.ts";

for (const layout of LAYOUTS) {
  describe(`${layout.reactors} reactors, ${layout.accept}`, () => {
    it("connections of a source: exactly so many, and others are not touched", async () => {
      await withEcho({ limits: { "connections-per-source": 3 } }, async (sluice) => {
        const coming = await Promise.all(Array.from({ length: 12 }, () => come(sluice)));
        const held = coming.filter((one) => one instanceof Peer);
        deepStrictEqual([held.length, coming.filter((one) => one === "reset").length], [3, 9]);
        await served(sluice, OTHER);
        deepStrictEqual(await refusedOf(sluice), { source_limit: 9 });
        held[0].end();
        await sluice.until("a place to be free", ({ listeners }) => listeners[0].connections.now === 3);
        const again = await served(sluice);
        strictEqual(await come(sluice), "reset");
        for (const client of [...held, again]) client.end();
        const metrics = await sluice.metrics();
        const refused = [...metrics].filter(([name]) => name.startsWith("sluice_listener_refused_total{"));
        deepStrictEqual(refused.map(([name, count]) => [/reason="(\w+)"/.exec(name)?.[1], count]), [[
          "source_limit",
          10,
        ]]);
      }, { layout });
    });

    it("connections of a listener: exactly so many, whoever they are of", async () => {
      await withEcho({ limits: { connections: 4 } }, async (sluice) => {
        const sources = Array.from({ length: 12 }, (_, nth) => `127.0.0.${nth % 3 + 1}`);
        const coming = await Promise.all(sources.map((from) => come(sluice, from)));
        strictEqual(coming.filter((one) => one instanceof Peer).length, 4);
        deepStrictEqual(await refusedOf(sluice), { listener_limit: 8 });
      }, { layout });
    });

    it("new connections of a source, and of the listener: so many at once", async () => {
      const limits = { "new-connections": { rate: "20/h", burst: 6 }, "new-connections-per-source": "4/h" };
      await withEcho({ limits }, async (sluice) => {
        const coming = await Promise.all(Array.from({ length: 10 }, () => come(sluice)));
        strictEqual(coming.filter((one) => one instanceof Peer).length, 4);
        const others = await Promise.all(
          Array.from({ length: 4 }, (_, nth) => come(sluice, `127.0.0.${nth + 2}`)),
        );
        strictEqual(
          others.filter((one) => one instanceof Peer).length,
          2,
          "what its source refused took no place",
        );
        deepStrictEqual(await refusedOf(sluice), { source_rate: 6, listener_rate: 2 });
      }, { layout });
    });

    it("give back what they had, whatever the end", async () => {
      const limits = { connections: 100, "connections-per-source": 50 };
      await withEcho({ limits, timeouts: { "tunnel-idle": "300ms" } }, async (sluice) => {
        const ends: ((client: Peer) => void)[] = [
          (client) => client.end(),
          (client) => client.reset(),
          () => {}, // it is idle for too long
        ];
        for (const end of ends) for (let nth = 0; nth < 4; nth++) end(await served(sluice));
        await untilNobody(sluice);
        const counts = await told(sluice);
        deepStrictEqual(counts, {
          "connections-per-source": "127.0.0.1 has 0 of 50",
          connections: "the listener has 0 of 100",
        });
      }, { layout });
    });
  });
}

describe("limits", () => {
  it("a prefix is one source, and what lies beside it another", async () => {
    const limits = { "connections-per-source": { count: 2, "prefix-v4": 24 } };
    await withEcho({ limits }, async (sluice) => {
      const held = [await served(sluice, ONE), await served(sluice, OTHER)];
      strictEqual(await come(sluice, "127.0.0.3"), "reset");
      held.push(await served(sluice, NEIGHBOUR));
      deepStrictEqual(await told(sluice, "127.0.0.9"), {
        "connections-per-source": "127.0.0.0/24 has 2 of 2",
      });
    });
  });

  it("a rate fills up again", async () => {
    await withEcho(
      { limits: { "new-connections-per-source": { rate: "20/s", burst: 2 } } },
      async (sluice) => {
        for (const client of [await served(sluice), await served(sluice)]) client.end();
        const began = performance.now();
        let refused = 0;
        for (
          let client = await come(sluice);
          !(client instanceof Peer);
          client = await come(sluice)
        ) refused++;
        ok(performance.now() - began < 5_000);
        deepStrictEqual(await refusedOf(sluice), refused === 0 ? {} : { source_rate: refused });
      },
    );
  });

  it("refused connections are closed instead of reset, if that is asked for", async () => {
    await withEcho({ limits: { "connections-per-source": 1, refuse: "close" } }, async (sluice) => {
      await served(sluice);
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ending(), "fin");
    });
  });

  it("a server that nobody reaches gives back what its clients had", async () => {
    const dead = await freePort();
    await withConfig({
      listeners: { in: { bind: "tcp://127.0.0.1:0", to: "u", limits: { "connections-per-source": 2 } } },
      upstreams: { u: { servers: [`127.0.0.1:${dead}`], health: "off" } },
    }, async (sluice) => {
      for (let nth = 0; nth < 8; nth++) {
        strictEqual(await knock(sluice.port()), "reset");
        await sluice.ended(nth + 1);
      }
      const { totals } = await sluice.status();
      deepStrictEqual([totals.ended.connection_refused, totals.ended.source_limit], [8, undefined]);
    });
  });

  it("an HTTP listener's connections count, not its requests", async () => {
    await using origin = await HttpOrigin.listen(() => answered("here"));
    await withConfig({
      listeners: { in: { bind: "http://127.0.0.1:0", to: "u", limits: { "connections-per-source": 1 } } },
      upstreams: { u: { servers: [origin.address], health: "off", "keep-alive": "off" } },
    }, async (sluice) => {
      const client = new HttpPeer(await Peer.connect(sluice.port()));
      for (let nth = 0; nth < 3; nth++) {
        strictEqual(statusOf((await client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")).head), 200);
      }
      strictEqual(await knock(sluice.port()), "reset");
      await client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      await client.readAnswer();
      await untilNobody(sluice);
      const next = new HttpPeer(await Peer.connect(sluice.port()));
      await next.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      strictEqual(statusOf((await next.readAnswer()).head), 200);
    });
  });

  it("all addresses of a listener count together", async () => {
    await withEcho({
      bind: ["tcp://127.0.0.1:0", "tcp://127.0.0.2:0"],
      limits: { connections: 2 },
    }, async (sluice) => {
      using one = await Peer.connect(sluice.port(0));
      const second = { host: OTHER, port: sluice.port(1) };
      using two = await Peer.connect(second);
      deepStrictEqual([await one.ask("a"), await two.ask("b")], ["a", "b"]);
      strictEqual(await knock(second), "reset");
    });
  });

  it("a flood from one source is refused, told in samples, and another one is served meanwhile", async () => {
    await withEcho({ limits: { "new-connections-per-source": "10/s" } }, async (sluice) => {
      const flood = async (): Promise<number> => {
        let refused = 0;
        for (let nth = 0; nth < 250; nth++) {
          const client = await come(sluice, OTHER);
          if (client instanceof Peer) client.reset();
          else refused++;
        }
        return refused;
      };
      const flooding = Promise.all(Array.from({ length: 8 }, flood));
      for (let nth = 0; nth < 8; nth++) (await served(sluice)).end();
      const refused = (await flooding).reduce((sum, count) => sum + count, 0);
      ok(refused > 1_500, `${refused} of 2,000 were refused`);
      deepStrictEqual(await refusedOf(sluice), { source_rate: refused }, "counters are exact");
      const lines = sluice.records.filter(({ reason }) => reason === "source_rate");
      ok(lines.length > 0 && lines.length < refused / 4, `${lines.length} lines of ${refused}`);
      match(lines[0].client ?? "", /^127\.0\.0\.2:/);
    });
  });
});
