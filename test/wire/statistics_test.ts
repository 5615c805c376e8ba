// What an operator watches: histograms of what happened on the wire, servers and their health, one page of it all;
// and counters that never go backwards, whoever dies.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServersAnswer } from "../../src/control/servers.ts";
import { withConfig } from "../support/configured.ts";
import { run, type Sluice, withSluice } from "../support/executable.ts";
import { HttpOrigin, ok as httpOk } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { onWords, PatchedSluice } from "../support/patched.ts";
import { knock, Peer } from "../support/peer.ts";
import { type Scrape, scrape } from "../support/prometheus.ts";
import { echo, freePort, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

const ALONE = ["--reactors", "2", "--health", "off"];

async function scraped(sluice: Sluice): Promise<Scrape> {
  return scrape((await sluice.get("/metrics")).body);
}

/** How many values of a histogram are at most `le`, over all its label sets. */
function atMost({ samples }: Scrape, family: string, le: string): number {
  const buckets = [...samples].filter(([key]) =>
    key.startsWith(`${family}_bucket{`) && key.includes(`le="${le}"`)
  );
  return buckets.reduce((total, [, value]) => total + value, 0);
}

async function visit(port: number): Promise<void> {
  using client = await Peer.connect(port);
  strictEqual(await client.ask("hello"), "hello");
  client.end();
  strictEqual(await client.ending(), "fin");
}

describe("those who wait in the kernel to be accepted", () => {
  it("are told while accepting is paused by a limit, with what a longer queue takes", async () => {
    await using server = await Server.listen(echo);
    const config = {
      "max-connections": 2,
      listeners: { web: { bind: "tcp://127.0.0.1:0", socket: { backlog: 3 }, to: "app" } },
      upstreams: { app: { servers: [server.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      const { listeners: [idle] } = await sluice.status();
      deepStrictEqual(idle.accept_queue, { waiting: 0, max: 3, fullest: 0 });
      const taken = [await Peer.connect(sluice.port()), await Peer.connect(sluice.port())];
      for (const client of taken) await client.ask("hello");
      const late = [await Peer.connect(sluice.port()), await Peer.connect(sluice.port())];
      const { trouble } = await sluice.until(
        "two to wait",
        ({ listeners }) => listeners[0].accept_queue?.waiting === 2,
      );
      ok(trouble.every((line) => !line.includes("to be accepted")), trouble.join());
      late.push(await Peer.connect(sluice.port()));
      const full = await sluice.until(
        "a full queue",
        ({ listeners }) => listeners[0].accept_queue?.waiting === 3,
      );
      match(full.trouble.join("\n"), /listener "web" .*3 connections of at most 3 wait .*socket\.backlog/);
      const { samples } = await scraped(sluice);
      const labels = `{bind="127.0.0.1:${sluice.port()}",listener="web"}`;
      deepStrictEqual(
        ["", "_max"].map((which) => samples.get(`sluice_listener_accept_queue${which}${labels}`)),
        [3, 3],
      );
      const { stdout } = await run(["status", "--admin", sluice.admin]);
      match(stdout, /^LISTENER .* WAITING /m);
      for (const client of taken) client.end();
      for (const client of late.slice(0, 2)) strictEqual(await client.ask("at last"), "at last");
      for (const client of late) client.end();
      await sluice.until(
        "nobody to wait",
        ({ listeners, totals }) => listeners[0].accept_queue?.waiting === 0 && totals.connections.now === 0,
      );
    });
  });

  it("are of all sockets that share a port; datagrams and unix sockets have no such queue", async () => {
    const config = {
      reactors: 2,
      accept: "reuseport",
      listeners: {
        web: { bind: "tcp://127.0.0.1:0", socket: { backlog: 50 }, to: "app" },
        dns: { bind: "udp://127.0.0.1:0", to: "app" },
      },
      upstreams: { app: { servers: ["127.0.0.1:1"] } },
    };
    await withConfig(config, async (sluice) => {
      const { listeners } = await sluice.status();
      deepStrictEqual(listeners.map(({ accept_queue }) => accept_queue), [{
        waiting: 0,
        max: 100,
        fullest: 0,
      }, null]);
    });
  });
});

describe("histograms", () => {
  it("have each connect and each connection, where they belong", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const [connects, lives] = ["sluice_upstream_connect_seconds", "sluice_listener_connection_seconds"];
      const fresh = await scraped(sluice);
      deepStrictEqual([atMost(fresh, connects, "+Inf"), atMost(fresh, lives, "+Inf")], [0, 0]);
      for (let turn = 0; turn < 5; turn++) await visit(sluice.port());
      using long = await Peer.connect(sluice.port());
      await long.ask("hello");
      await sleep(1_100); // longer than any of the others, however slow the machine: they end when they are served
      long.end();
      await sluice.until("all to have ended", ({ totals }) => totals.ended.finished === 6);
      const all = await scraped(sluice);
      strictEqual(atMost(all, connects, "+Inf"), 6);
      strictEqual(atMost(all, lives, "+Inf"), 6);
      ok(atMost(all, lives, "1.024") <= 5, "the long one is not among the short ones");
      const labels = `{bind="127.0.0.1:${sluice.port()}",listener="tcp://127.0.0.1:0"}`;
      ok(all.samples.get(`${lives}_sum${labels}`)! >= 1.1);
      strictEqual(all.samples.get(`${lives}_count${labels}`), 6);
      strictEqual(
        all.samples.get("sluice_listener_ended_total" + labels.replace("}", ',reason="finished"}')),
        6,
      );
    });
  });

  it("leave out connects that failed", async () => {
    await withSluice([...ALONE, `tcp://127.0.0.1:0=127.0.0.1:${await freePort()}`], async (sluice) => {
      strictEqual(await knock(sluice.port()), "reset");
      await sluice.until("it to have ended", ({ totals }) => totals.ended.connection_refused === 1);
      const all = await scraped(sluice);
      strictEqual(atMost(all, "sluice_upstream_connect_seconds", "+Inf"), 0);
      strictEqual(atMost(all, "sluice_listener_connection_seconds", "+Inf"), 1);
    });
  });

  it("of HTTP have each first byte and each request; a kept connection is one connect", async () => {
    await using origin = await HttpOrigin.listen(async () => {
      if (origin.requests.length === 3) await sleep(300);
      return httpOk("hello");
    });
    const config = {
      listeners: { web: { bind: "http://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers: [origin.address], health: "off", "keep-alive": { idle: "500ms" } } },
    };
    await withConfig(config, async (sluice) => {
      const client = await HttpPeer.connect(sluice.port());
      for (let turn = 0; turn < 3; turn++) await client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      const all = await until("three requests", async () => {
        const all = await scraped(sluice);
        return atMost(all, "sluice_listener_request_seconds", "+Inf") === 3 ? all : undefined;
      });
      strictEqual(atMost(all, "sluice_upstream_connect_seconds", "+Inf"), 1);
      strictEqual(atMost(all, "sluice_upstream_first_byte_seconds", "+Inf"), 3);
      ok(atMost(all, "sluice_upstream_first_byte_seconds", "0.256") <= 2, "one took 300 ms");
      ok(atMost(all, "sluice_listener_request_seconds", "0.256") <= 2);
      strictEqual(atMost(all, "sluice_listener_connection_seconds", "+Inf"), 0, "it goes on");
      client.end();
      await client.ending();
      await until(
        "its end",
        async () => atMost(await scraped(sluice), "sluice_listener_connection_seconds", "+Inf") === 1,
      );
    });
  });
});

describe("counters", () => {
  it("never go backwards, though a reactor dies", async () => {
    using patched = new PatchedSluice(onWords({ "die!": 'throw new TableError("a planted death");' }));
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      for (let turn = 0; turn < 4; turn++) await visit(sluice.port());
      const before = await scraped(sluice);
      const clients = await Promise.all(Array.from({ length: 6 }, () => Peer.connect(sluice.port())));
      for (const client of clients) await client.ask("hello");
      await clients[0].send("die!");
      strictEqual(await clients[0].ending(), "reset");
      await sluice.until(
        "the replacement",
        ({ totals, reactors }) => totals.reactor_deaths === 1 && reactors.every(({ alive }) => alive),
      );
      const after = await scraped(sluice);
      for (const [key, value] of before.samples) {
        const isCounted = /_(total|bucket|count|sum)\{/.test(key) && !key.startsWith("process_");
        if (isCounted) {
          ok((after.samples.get(key) ?? -1) >= value, `${key}: ${value}, ${after.samples.get(key)}`);
        }
      }
      const died = after.samples.get(
        'sluice_connections_ended_total{reason="reactor_died",type="proxy_internal_error"}',
      )!;
      ok(died >= 1);
      const lives = atMost(after, "sluice_listener_connection_seconds", "+Inf");
      strictEqual(lives, 4 + died, "the lost ones have lived as well");
      const { body } = await sluice.get("/connections");
      strictEqual(JSON.parse(body).total, 6 - died, "who was lost is listed no more");
      for (const client of clients) client.reset();
    }, { command: patched.command("bun") });
  });
});

describe("servers and status", () => {
  const CHECKS = [
    "--reactors",
    "1",
    "--health-interval",
    "100ms",
    "--health-timeout",
    "100ms",
    "--health-fall",
    "2",
  ];

  it("tell of each server: health, since when and why, what it carried", async () => {
    await using server = await Server.listen(echo);
    const closed = `127.0.0.1:${await freePort()}`;
    await withSluice([...CHECKS, `tcp://127.0.0.1:0=${server.address},${closed}`], async (sluice) => {
      await sluice.until(
        "one to be down, one up",
        ({ upstreams: [{ servers }] }) => servers[0].health === "up" && servers[1].health === "down",
      );
      await visit(sluice.port());
      const answer: ServersAnswer = JSON.parse((await sluice.get("/servers")).body);
      const [up, down] = answer.servers;
      deepStrictEqual([answer.total, answer.matched, answer.shown, answer.truncated], [2, 2, 2, false]);
      deepStrictEqual(Object.keys(up).sort(), [
        "address",
        "avoided_until",
        "backup",
        "bytes",
        "configured_weight",
        "connections",
        "disabled",
        "drained",
        "full",
        "health",
        "last_check",
        "latency_ms",
        "requests",
        "since",
        "slow_start",
        "slow_start_until",
        "target",
        "upstream",
        "weight",
        "why",
      ]);
      deepStrictEqual([up.upstream, up.address, up.health], ["tcp://127.0.0.1:0", server.address, "up"]);
      deepStrictEqual([up.connections.total, up.bytes], [1, { up: 5, down: 5 }]);
      deepStrictEqual([down.address, down.health, down.why!.reason], [closed, "down", "connection_refused"]);
      ok(Date.parse(down.since!) <= Date.now());
      const verb = async (...words: string[]) =>
        (await run(["servers", "--admin", sluice.admin, ...words])).stdout;
      const lines = (await verb()).split("\n");
      match(lines[0], /^UPSTREAM +SERVER +HEALTH +SINCE +WEIGHT +NOW +TOTAL +FAILED +UP +DOWN +LAST CHECK$/);
      match(
        lines[1],
        new RegExp(`^tcp:\\S+ +${server.address} +up +\\S+ +1 +0 +1 +0 +5 B +5 B +the check passed$`),
      );
      match(lines[2], new RegExp(`^tcp:\\S+ +${closed} +down +\\S+ .* the server refused the connection$`));
      strictEqual(lines[4], "2 servers");
      match(
        await verb("--health", "down"),
        new RegExp(`^UPSTREAM[^\n]*\n[^\n]*${closed}[^\n]*\n\n2 servers, 1 of them as asked\n$`),
      );
      const sorted = JSON.parse(await verb("--sort", "server:desc", "--limit", "1", "--format", "json"));
      deepStrictEqual([sorted.shown, sorted.truncated], [1, true]);
      strictEqual(sorted.servers[0].address, [server.address, closed].sort()[1]);
      const wrong = await run(["servers", "--admin", sluice.admin, "--server", "10.0.0.1:1"]);
      strictEqual(wrong.status, 2);
      match(wrong.stderr, /^sluice: --server: no server "10\.0\.0\.1:1"; there are /);
    });
  });

  it("come to a page: what runs, what happened, what is wrong", async () => {
    await using server = await Server.listen(echo);
    const closed = `127.0.0.1:${await freePort()}`;
    const words = [`tcp://127.0.0.1:0=${server.address},${closed}`, `tcp://127.0.0.1:0=${closed}`];
    await withSluice([...CHECKS, ...words], async (sluice) => {
      await sluice.until(
        "one to be down everywhere",
        ({ upstreams }) => upstreams.every(({ servers }) => servers.some(({ health }) => health === "down")),
      );
      for (let turn = 0; turn < 3; turn++) await visit(sluice.port());
      strictEqual(await knock(sluice.port(1)), "reset");
      await sluice.until("its end", ({ totals }) => totals.ended.no_server === 1);
      const { status, stdout } = await run(["status", "--admin", sluice.admin]);
      strictEqual(status, 0);
      const said: RegExp[] = [
        /^sluice [0-9.]+ \(bun [0-9.]+\), process [0-9]+: ready, up for \S+, configuration 1, log level info\n/,
        /\nconnections {2}0 of [0-9,]+ now, 4 so far, [0-9.]+\/s\n/,
        /\nbytes {8}15 B from clients, 15 B to them\n/,
        /\nLISTENER +ON +TO +NOW +TOTAL +REFUSED +REQUESTS +UP +DOWN\n/,
        /\ntcp:\/\/127\.0\.0\.1:0 +127\.0\.0\.1:[0-9]+ +tcp:\S+ +0 +3 +0 +0 +15 B +15 B\n/,
        /\nUPSTREAM +SERVER +HEALTH +SINCE/,
        /\nREACTOR +NOW +TOTAL +QUEUED +SOCKETS +PIPES +BLOCKS +TURNS +EVENTS\n1 /,
        /\n *ENDED +REASON, in the last [0-9]+ s\n +3 +finished +both sides sent their end of stream\n/,
        /\n +1 +no_server +no server to ask: each is down, drained, disabled or of weight 0\nsluice why REASON explains one\.\n/,
        /\nTrouble:\n {2}listener "tcp:[^\n]* takes nothing: its only server is down\n/,
        /\n {2}upstream "tcp:[^\n]*: 1 of 2 servers is down: 127\.0\.0\.1:[0-9]+ \(the server refused the connection\)\n/,
        /\n {2}upstream "tcp:[^\n]*: its only server is down: 127/,
      ];
      for (const what of said) match(stdout, what);
      const json = JSON.parse((await run(["status", "--admin", sluice.admin, "--format", "json"])).stdout);
      deepStrictEqual(json.recent.ended, { finished: 3, no_server: 1 });
      strictEqual(json.recent.connections, 4);
      strictEqual(json.trouble.length, 3);
      deepStrictEqual([json.listeners[0].connections, json.listeners[0].refused], [{ now: 0, total: 3 }, {}]);
    });
  });

  it("say that there is no trouble, while there is none", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const { stdout } = await run(["status", "--admin", sluice.admin]);
      match(stdout, /\nNothing ended in the last [0-9]+ s\.\n\nNo trouble\.\n$/);
    });
  });
});
