// Lists and limits where a client is not who connects: whom a PROXY header tells, and who sends datagrams.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { IP4, LOCAL, PROXIED, v2 } from "../proto/proxy_fixture.ts";
import { withConfig } from "../support/configured.ts";
import { Datagrams } from "../support/datagrams.ts";
import type { Sluice } from "../support/executable.ts";
import { type Ending, Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";

const PROXY = "127.0.0.1";

/** Sluice before an echo server, whose clients a proxy on 127.0.0.1 tells. */
async function withProxied(listener: object, test: (sluice: Sluice) => Promise<void>): Promise<void> {
  await using server = await Server.listen(echo);
  await withConfig({
    reactors: 2,
    listeners: { in: { bind: "tcp://127.0.0.1:0", to: "u", "accept-proxy": PROXY, ...listener } },
    upstreams: { u: { servers: [server.address], health: "off" } },
  }, test);
}

/** Comes through the proxy, as a client of that address; served, or how it ended. */
async function comeAs(sluice: Sluice, client: string, from = PROXY): Promise<Peer | Ending> {
  const peer = await Peer.connect(sluice.port(), from).catch(() => "reset" as const);
  if (peer === "reset") return peer;
  await peer.send(`PROXY TCP4 ${client} 127.0.0.1 50000 80\r\nhi`).catch(() => {});
  return await peer.readText(2).then(() => peer, () => peer.ending());
}

function isServed(came: Peer | Ending): boolean {
  return came instanceof Peer;
}

describe("who comes through a proxy", () => {
  it("is counted as whom the proxy tells, and the proxy is nobody's source", async () => {
    await withProxied({ limits: { connections: 50, "connections-per-source": 2 } }, async (sluice) => {
      const coming: (Peer | Ending)[] = [];
      for (const client of ["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.2"]) {
        coming.push(await comeAs(sluice, client));
      }
      deepStrictEqual(coming.map(isServed), [true, true, false, true, true]);
      const told = async (client: string) => {
        const query = `to=tcp://127.0.0.1:${sluice.port()}&from=${PROXY}&proxied=${client}`;
        const { admission } = await sluice.explain(query);
        return admission!.steps.map(({ text }) => text);
      };
      deepStrictEqual(await told("203.0.113.1"), ["the listener has 4 of 50", "203.0.113.1 has 2 of 2"]);
      for (const came of coming) if (came instanceof Peer) came.reset();
      await sluice.until("nobody to be there", ({ listeners }) => listeners[0].connections.now === 0);
      deepStrictEqual(await told("203.0.113.1"), ["the listener has 0 of 50", "203.0.113.1 has 0 of 2"]);
      deepStrictEqual((await sluice.status()).listeners[0].refused, { source_limit: 1 });
    });
  });

  it("goes by the lists as whom the proxy tells; deny is about the proxy, too", async () => {
    const listener = {
      "accept-proxy": "127.0.0.0/8",
      allow: "203.0.113.0/24",
      deny: ["203.0.113.9", "127.0.0.5"],
    };
    await withProxied(listener, async (sluice) => {
      const cases: [client: string, from: string, want: boolean][] = [
        ["203.0.113.1", PROXY, true],
        ["203.0.113.9", PROXY, false],
        ["198.51.100.1", PROXY, false],
        ["203.0.113.1", "127.0.0.5", false],
      ];
      for (const [client, from, want] of cases) {
        const came = await comeAs(sluice, client, from);
        strictEqual(isServed(came), want, `${client} through ${from}`);
        if (came instanceof Peer) came.reset();
      }
      deepStrictEqual((await sluice.status()).listeners[0].refused, { denied: 2, not_allowed: 1 });
      const lines = await sluice.ended(4);
      deepStrictEqual(lines.map(({ reason, client }) => [reason, client?.replace(/:\d+$/, "")]).sort(), [
        ["client_reset", "203.0.113.1"],
        ["denied", "127.0.0.5"],
        ["denied", "203.0.113.9"],
        ["not_allowed", "198.51.100.1"],
      ]);
    });
  });

  it("is told that it is no proxy of the list, and not that it is not allowed", async () => {
    const [allow, stranger] = ["203.0.113.0/24", "127.0.0.2"];
    const cases: [listener: object, reason: string][] = [
      [{ allow }, "proxy_untrusted"],
      [{ allow: "0.0.0.0/0" }, "proxy_untrusted"],
      [{ limits: { connections: 1, refuse: "close" } }, "proxy_untrusted"],
      [{}, "proxy_untrusted"],
      [{ allow, deny: stranger }, "denied"],
    ];
    for (const [listener, reason] of cases) {
      await withProxied(listener, async (sluice) => {
        const to = `to=tcp://127.0.0.1:${sluice.port()}&from=${stranger}`;
        for (const proxied of ["", "&proxied=203.0.113.1"]) {
          const { decision, admission } = await sluice.explain(to + proxied);
          strictEqual(decision.reason, reason);
          strictEqual(admission?.admitted ?? false, false);
        }
        strictEqual(await comeAs(sluice, "203.0.113.1", stranger), "reset");
        const [line] = await sluice.ended(1);
        deepStrictEqual([line.reason, line.client?.replace(/:\d+$/, "")], [reason, stranger]);
        deepStrictEqual((await sluice.status()).listeners[0].refused, { [reason]: 1 });
        const served = await comeAs(sluice, "203.0.113.1");
        strictEqual(isServed(served), true);
        if (served instanceof Peer) served.reset();
      });
    }
  });

  it("the proxy's own connections are let in", async () => {
    await withProxied(
      { allow: "203.0.113.0/24", limits: { "connections-per-source": 1 } },
      async (sluice) => {
        for (let nth = 0; nth < 2; nth++) {
          using peer = await Peer.connect(sluice.port(), PROXY);
          await peer.send("PROXY UNKNOWN\r\nhi");
          strictEqual(await peer.readText(2), "hi");
          peer.end();
          await peer.ending();
        }
      },
    );
  });
});

describe("who sends datagrams", () => {
  async function withUdp(listener: object, test: (sluice: Sluice) => Promise<void>): Promise<void> {
    using server = await Datagrams.echo();
    await withConfig({
      reactors: 1,
      listeners: { in: { bind: "udp://127.0.0.1:0", to: "u", udp: { idle: "400ms" }, ...listener } },
      upstreams: { u: { servers: [server.address] } },
    }, test);
  }

  it("goes by the lists", async () => {
    await withUdp({ deny: "127.0.0.2" }, async (sluice) => {
      using good = await Datagrams.open("127.0.0.1");
      using bad = await Datagrams.open("127.0.0.2");
      bad.send("hello?", sluice.port());
      strictEqual(await good.ask("hello", sluice.port()), "hello");
      strictEqual(bad.count, 0);
      await sluice.until("it to be refused", ({ listeners }) => listeners[0].refused.denied === 1);
      match((await sluice.ended(1))[0].client ?? "", /^127\.0\.0\.2:/);
    });
  });

  it("is asked for accept-proxy before allow, and allow is not about a proxy", async () => {
    const listener = { "accept-proxy": PROXY, allow: "203.0.113.0/24", deny: "127.0.0.3" };
    await withUdp(listener, async (sluice) => {
      const cases: [from: string, header: Uint8Array, reason: string][] = [
        ["127.0.0.2", v2(PROXIED, 0x12, IP4), "proxy_untrusted"],
        ["127.0.0.3", v2(PROXIED, 0x12, IP4), "denied"],
        [PROXY, v2(PROXIED, 0x12, IP4), "not_allowed"],
      ];
      const counts: Record<string, number> = {};
      for (const [from, header, reason] of cases) {
        using sender = await Datagrams.open(from);
        sender.send(Uint8Array.from([...header, 104, 105]), sluice.port());
        counts[reason] = 1;
        await sluice.until(reason, ({ listeners }) => listeners[0].refused[reason] === 1);
        deepStrictEqual((await sluice.status()).listeners[0].refused, counts);
      }
      using proxy = await Datagrams.open(PROXY);
      const local = Buffer.from([...v2(LOCAL, 0, []), 104, 105]);
      proxy.send(local, sluice.port());
      strictEqual((await proxy.next()).bytes.toString(), "hi");
    });
  });

  it("has so many sessions, which end as they do", async () => {
    await withUdp({ limits: { "connections-per-source": 2, connections: 9 } }, async (sluice) => {
      using one = await Datagrams.open(), two = await Datagrams.open(), three = await Datagrams.open();
      using other = await Datagrams.open("127.0.0.3");
      for (const client of [one, two, other]) strictEqual(await client.ask("hi", sluice.port()), "hi");
      three.send("hi", sluice.port());
      await sluice.until("one too many", ({ listeners }) => listeners[0].refused.source_limit === 1);
      await sluice.until("their end", ({ listeners }) => listeners[0].connections.now === 0);
      strictEqual(await three.ask("again", sluice.port()), "again");
    });
  });
});
