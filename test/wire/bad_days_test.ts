// Bad days of the servers: some come and go, all are gone and come back. Every connection ends with the right
// reason, none hangs, what the health checks find is told, and nothing is left behind.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { withConfig } from "../support/configured.ts";
import type { Sluice } from "../support/executable.ts";
import type { Where } from "../support/peer.ts";
import { echo, type Serve, Server } from "../support/servers.ts";
import { assertGaugesZero, type Kind, KINDS, SERVES, Traffic, tryOnce, web } from "../support/traffic.ts";
import { until } from "../support/waiting.ts";

/** No socket of a client is ever given a port of these: it is free again when a server comes back. */
const HOST = "127.0.5.1";
const CHECKS = { tcp: true, interval: "100ms", timeout: "100ms", fall: 2, rise: 2 };

/** A server that comes and goes, always at the same place. */
class Flapping implements AsyncDisposable {
  readonly #serve: Serve;
  readonly #where: Where;
  #server: Server;
  readonly address: string;

  private constructor(serve: Serve, server: Server) {
    this.#serve = serve;
    this.#server = server;
    this.#where = { host: HOST, port: server.port };
    this.address = server.address;
  }

  static async start(kind: Kind): Promise<Flapping> {
    return new Flapping(SERVES[kind], await Server.listen(SERVES[kind], { host: HOST, port: 0 }));
  }

  down(): Promise<void> {
    return this.#server.kill();
  }

  async up(): Promise<void> {
    this.#server = await Server.listen(this.#serve, this.#where);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}

/** How often the log has told of a server's going or coming. */
const told = (sluice: Sluice, address: string, verdict: "up" | "down") =>
  sluice.log("health").filter((line) => line.server === address && line.verdict === verdict).length;

const isUp = (sluice: Sluice, address: string, up: boolean) =>
  sluice.until(
    `${address} to be ${up ? "up" : "down"}`,
    ({ upstreams }) =>
      upstreams.flatMap(({ servers }) => servers).every((server) =>
        server.address !== address || server.health === (up ? "up" : "down")
      ),
  );

describe("servers that come and go every second", () => {
  it("beside others: who was there is cut off, nobody else notices; each time it is told", async () => {
    await using tcp = await Flapping.start("tcp");
    await using http = await Flapping.start("http");
    await using unchecked = await Flapping.start("tcp");
    await using steadyTcp = await Server.listen(echo);
    await using steadyHttp = await Server.listen(web);
    const config = {
      reactors: 2,
      listeners: {
        tcp: { bind: "tcp://127.0.0.1:0", to: "tcp" },
        http: { bind: "http://127.0.0.1:0", to: "http" },
        unchecked: { bind: "tcp://127.0.0.1:0", to: "unchecked" },
        crowded: { bind: "http://127.0.0.1:0", to: "crowded" },
      },
      upstreams: {
        tcp: { servers: [tcp.address, steadyTcp.address], health: CHECKS },
        http: { servers: [http.address, steadyHttp.address], health: CHECKS },
        unchecked: { servers: [unchecked.address, steadyTcp.address], health: "off" },
        crowded: {
          servers: [http.address, steadyHttp.address].map((address) => ({ address, "max-connections": 1 })),
          health: CHECKS,
        },
      },
    };
    await withConfig(config, async (sluice) => {
      const traffic = [
        new Traffic("tcp", sluice, "tcp", sluice.port(0), 6),
        new Traffic("http", sluice, "http", sluice.port(1), 6),
        new Traffic("tcp", sluice, "unchecked", sluice.port(2), 6),
        new Traffic("http", sluice, "crowded", sluice.port(3), 6),
      ];
      const flapping = [tcp, http, unchecked], checked = [tcp, http];
      const TIMES = 3;
      for (let time = 1; time <= TIMES; time++) {
        await Promise.all([sleep(500), ...checked.map(({ address }) => isUp(sluice, address, true))]);
        await Promise.all(flapping.map((server) => server.down()));
        await Promise.all([sleep(500), ...checked.map(({ address }) => isUp(sluice, address, false))]);
        await Promise.all(flapping.map((server) => server.up()));
      }
      await Promise.all(checked.map(({ address }) => isUp(sluice, address, true)));
      const why = { reset: ["server_reset"], "502": ["server_reset", "answer_cut"] };
      const records = [];
      for (const each of traffic) {
        records.push(await each.stop(why));
        ok(each.count("served") > 20, `${each.count("served")} served of ${each.total}`);
      }
      const steady = [steadyTcp.address, steadyHttp.address];
      for (const { server, reason } of records.flat()) {
        if (reason !== "finished") ok(!steady.includes(server!), `${server}: ${reason}`);
      }
      // Not one server's word alone: both had their share, and a refused connect was only a detour.
      for (const each of records) {
        ok(each.some(({ server, reason }) => steady.includes(server!) && reason === "finished"));
        ok(each.some(({ server, reason }) => !steady.includes(server!) && reason === "finished"));
      }
      ok(records[2].some(({ tried }) => tried === 2));
      for (const { address } of checked) {
        await until("the last return to be told", () => told(sluice, address, "up") > TIMES);
        strictEqual(told(sluice, address, "down"), TIMES);
        strictEqual(told(sluice, address, "up"), TIMES + 1);
      }
      // The only place at each server is free again, whatever became of those who had it.
      const later = sluice.records.length;
      await Promise.all(Array.from({ length: 12 }, () => tryOnce("http", sluice.port(3))));
      const served = (await sluice.ended(later + 12)).slice(later);
      deepStrictEqual(
        [...new Set(served.map(({ server }) => server))].sort(),
        [http.address, steadyHttp.address].sort(),
      );
      for (const { reason } of served) strictEqual(reason, "finished");
      for (const server of flapping) await server.down();
      for (const server of [steadyTcp, steadyHttp]) await server.kill();
      await sluice.assertQuiet();
      await assertGaugesZero(sluice);
    });
  });
});

describe("all servers are gone, and come back", () => {
  for (const kind of KINDS) {
    /** What one comes to that is not served, and the reason in its record; it is there at once. */
    const refused = async (sluice: Sluice, port: number): Promise<string> => {
      const before = sluice.records.length;
      const outcome = await tryOnce(kind, port);
      const record = (await sluice.ended(before + 1))[before];
      ok(record.duration_ms! < 1_000, `after ${record.duration_ms} ms`);
      return `${outcome} ${record.reason} ${record.tried}`;
    };
    const served = async (sluice: Sluice, port: number): Promise<void> => {
      const before = sluice.records.length;
      strictEqual(await tryOnce(kind, port), "served");
      strictEqual((await sluice.ended(before + 1))[before].reason, "finished");
    };
    const [toRefused, toNobody] = kind === "tcp" ? ["reset", "reset"] : ["502", "503"];

    it(`${kind}, checked: refused at once, by reason; the first one after the return is told is served`, async () => {
      await using one = await Flapping.start(kind);
      await using two = await Flapping.start(kind);
      const servers = [one.address, two.address];
      const config = {
        listeners: { it: { bind: `${kind}://127.0.0.1:0`, to: "app" } },
        upstreams: { app: { servers, health: { ...CHECKS, interval: "500ms", fall: 6 } } },
      };
      await withConfig(config, async (sluice) => {
        const port = sluice.port();
        for (const server of servers) await isUp(sluice, server, true);
        await served(sluice, port);
        await Promise.all([one.down(), two.down()]);
        strictEqual(await refused(sluice, port), `${toRefused} connection_refused 2`);
        for (const server of servers) await isUp(sluice, server, false);
        for (let time = 0; time < 3; time++) {
          strictEqual(await refused(sluice, port), `${toNobody} no_server 0`);
        }
        strictEqual((await sluice.get("/readyz")).status, 503);
        await two.up();
        await isUp(sluice, two.address, true);
        await served(sluice, port);
        strictEqual((await sluice.get("/readyz")).status, 200);
        await two.down();
        await sluice.assertQuiet();
        await assertGaugesZero(sluice);
      });
    });

    it(`${kind}, unchecked, under traffic: refused at once; the first one after the return is served`, async () => {
      await using one = await Flapping.start(kind);
      await using two = await Flapping.start(kind);
      const config = {
        reactors: 2,
        listeners: {
          it: { bind: `${kind}://127.0.0.1:0`, to: "app" },
          probed: { bind: `${kind}://127.0.0.1:0`, to: "app" },
        },
        upstreams: { app: { servers: [one.address, two.address], health: "off" } },
      };
      await withConfig(config, async (sluice) => {
        const traffic = new Traffic(kind, sluice, "it", sluice.port(0), 8);
        for (let turn = 0; turn < 3; turn++) {
          await until("traffic to be served", () => traffic.count("served") > 20 * (turn + 1));
          await Promise.all([one.down(), two.down()]);
          const before = traffic.count(toRefused);
          await until("traffic to be refused", () => traffic.count(toRefused) > before + 20);
          await Promise.all([one.up(), two.up()]);
          strictEqual(await tryOnce(kind, sluice.port(1)), "served");
        }
        const reasons = ["server_reset", "connection_refused"];
        const records = await traffic.stop({ reset: reasons, "502": [...reasons, "answer_cut"] });
        for (const { reason, duration_ms: ms } of records) {
          if (reason === "connection_refused") ok(ms! < 1_000, `refused after ${ms} ms`);
        }
        await Promise.all([one.down(), two.down()]);
        await sluice.assertQuiet();
        await assertGaugesZero(sluice);
      });
    });
  }
});
