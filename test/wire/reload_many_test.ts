// Many reloads in a row while thousands of connections stay: none is closed, none that is new fails, nothing grows.
// `npm run soak` makes a thousand of them.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { openFds, residentBytes } from "../support/status.ts";
import { Peer } from "../support/peer.ts";
import { withReloads } from "../support/reloading.ts";
import { freePort, Server } from "../support/servers.ts";
import { SERVES, Traffic } from "../support/traffic.ts";
import { echo as echoTalk, Talk, WebSocketOrigin } from "../support/web_sockets.ts";

const RELOADS = Number(process.env.SLUICE_SOAK_RELOADS ?? 30);
/** Of each kind. */
const HELD = Number(process.env.SLUICE_SOAK_HELD ?? 150);
/** Until then code runs for the first time; what grows later is a leak. */
const WARM_UP = 100;
const GROWTH_MAX = 1.05;
const AT_ONCE = 50;
const DEADLINE_MS = 60_000 + RELOADS * 1_000 + HELD * 20;

/** `count` of them, some at once. */
async function opened<T>(count: number, open: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  while (all.length < count) {
    const some = Math.min(AT_ONCE, count - all.length);
    all.push(...await Promise.all(Array.from({ length: some }, open)));
  }
  return all;
}

describe("many reloads", () => {
  it(`${RELOADS} with ${HELD} connections and ${HELD} WebSockets`, { timeout: DEADLINE_MS }, async () => {
    await using tcp = await Server.listen(SERVES.tcp), other = await Server.listen(SERVES.tcp);
    await using web = await Server.listen(SERVES.http);
    using talkers = await WebSocketOrigin.listen(echoTalk);
    const ports = { tcp: await freePort(), web: await freePort() };
    const STAY = {
      tcp: { bind: `tcp://127.0.0.1:${ports.tcp}`, to: "tcp" },
      web: {
        bind: `http://127.0.0.1:${ports.web}`,
        to: "web",
        routes: [{ match: { path: "/talk" }, to: "talk" }],
      },
    };
    const stay = {
      tcp: { servers: [tcp.address], health: "off" },
      web: { servers: [web.address], health: "off", "keep-alive": "off" },
      talk: { servers: [talkers.address], health: "off", "keep-alive": "off" },
    };
    const passing = { passing: { servers: [other.address], health: "off" } };
    const before = { match: { path: "/before", method: "GET" }, to: "talk" };
    const configs = [
      { listeners: STAY, upstreams: stay },
      {
        listeners: {
          passing: { bind: "tcp://127.0.0.1:0", to: "passing" },
          datagrams: { bind: "udp://127.0.0.1:0", to: "passing" },
          ...STAY,
        },
        upstreams: { ...passing, ...stay },
      },
      {
        listeners: { ...STAY, web: { ...STAY.web, routes: [before, ...STAY.web.routes] } },
        upstreams: {
          ...stay,
          tcp: { ...stay.tcp, balance: "least-connections", timeouts: { connect: "3s" } },
        },
      },
      {
        defaults: { "on-remove": "reset" },
        listeners: { ...STAY, passing: { bind: "http://127.0.0.1:0", to: "web" } },
        upstreams: { ...stay, web: { ...stay.web, servers: [{ address: web.address, weight: 3 }] } },
      },
    ];
    await withReloads(configs[0], async (reloads) => {
      const { sluice } = reloads;
      const streams = await opened(HELD, () => Peer.connect(ports.tcp));
      const talks = await opened(HELD, () => Talk.connect(ports.web, "/talk"));
      for (const stream of streams) strictEqual(await stream.ask("first"), "first");
      const traffics = [
        new Traffic("tcp", sluice, "tcp", ports.tcp, 2),
        new Traffic("http", sluice, "web", ports.web, 2),
      ];
      let warm = NaN;
      for (let nth = 1; nth <= RELOADS; nth++) {
        await reloads.take(configs[nth % configs.length]);
        if (nth === WARM_UP) warm = residentBytes(sluice.pid);
      }
      await reloads.take(configs[0]);
      for (const traffic of traffics) {
        await traffic.stop({}, [...streams.map(({ address }) => address)]);
        ok(traffic.total > 0);
        strictEqual(traffic.count("served"), traffic.total);
      }
      for (const stream of streams) strictEqual(await stream.ask("last"), "last");
      for (const talk of talks) {
        await talk.send("last");
        strictEqual(await talk.next(), "last");
      }
      const { listeners, upstreams, totals } = await sluice.until(
        "only what stays",
        (status) => status.listeners.length === 2 && status.totals.connections.now === 2 * HELD,
      );
      deepStrictEqual([listeners.length, upstreams.length, totals.connections.now], [2, 3, 2 * HELD]);
      if (RELOADS > 2 * WARM_UP) {
        const now = residentBytes(sluice.pid);
        ok(now <= warm * GROWTH_MAX, `${now} bytes, ${warm} after ${WARM_UP} reloads`);
      }
      strictEqual(openFds(sluice.pid).length > 4 * HELD, true);
      for (const stream of streams) stream.end();
      await Promise.all(talks.map((talk) => talk.close(1_000, "")));
    }, { deadlineMs: DEADLINE_MS });
  });
});
