// Who is connected, as the API and the verb tell it while connections come and go: every row is true of one of them,
// and nobody waits because somebody looks.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConnectionsAnswer, ConnectionView } from "../../src/control/connections/answer.ts";
import { BlackHole } from "../support/black_hole.ts";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { Datagrams } from "../support/datagrams.ts";
import { run, type Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok as httpOk } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server, silent } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

const ALONE = ["--reactors", "2", "--health", "off"];

async function ask(sluice: Sluice, query = ""): Promise<ConnectionsAnswer> {
  const { status, body } = await sluice.get(`/connections${query}`);
  strictEqual(status, 200, body);
  return JSON.parse(body);
}

/** The only row that there is, once it is as it should be. */
function rowOf(
  sluice: Sluice,
  what: string,
  isSo: (row: ConnectionView) => boolean,
  query = "",
): Promise<ConnectionView> {
  return until(what, async () => (await ask(sluice, query)).connections!.find(isSo));
}

describe("a row", () => {
  it("says who is connected to whom, for how long, and what was moved", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const before = Date.now();
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ask("x".repeat(70_000)), "x".repeat(70_000));
      const row = await rowOf(sluice, "all of it", ({ bytes }) => bytes.down === 70_000);
      const { id, opened, age_seconds, idle_seconds, reactor, ...rest } = row;
      match(id, /^[0-9a-z]{4}-[0-9]+-[0-9]+$/);
      deepStrictEqual(rest, {
        client: client.address,
        listener: "tcp://127.0.0.1:0",
        upstream: "tcp://127.0.0.1:0",
        server: server.address,
        protocol: "tcp",
        state: "open",
        bytes: { up: 70_000, down: 70_000 },
        rates: null,
        requests: null,
      });
      ok(Date.parse(opened) >= before - 50 && Date.parse(opened) <= Date.now() + 50, opened);
      ok(age_seconds >= 0 && age_seconds < 15 && idle_seconds <= age_seconds);
      ok(reactor === 1 || reactor === 2);
      const older = await rowOf(sluice, "a moment to pass", (row) => row.idle_seconds >= 0.2);
      strictEqual(older.opened.slice(0, 22), opened.slice(0, 22), "the same moment, to 10 ms");
      ok(older.age_seconds > age_seconds);
      strictEqual(await client.ask("y"), "y");
      await rowOf(
        sluice,
        "activity",
        (row) => row.bytes.up === 70_001 && row.idle_seconds < older.idle_seconds,
      );
    });
  });

  it("says what it is doing: its streams' ends, a server that does not answer", async () => {
    await using server = await Server.listen();
    using hole = await BlackHole.open();
    const words = [`tcp://127.0.0.1:0=${server.address}`, `tcp://127.0.0.1:0=${hole.address}`];
    await withSluice([...ALONE, ...words], async (sluice) => {
      using client = await Peer.connect(sluice.port(0));
      const peer = await server.accept();
      await rowOf(sluice, "it to be open", ({ state }) => state === "open");
      client.end();
      const row = await rowOf(sluice, "the client's end", ({ state }) => state === "client-finished");
      strictEqual(row.server, server.address);
      peer.end();
      await client.ending();
      using other = await Peer.connect(sluice.port(0));
      (await server.accept()).end();
      await rowOf(sluice, "the server's end", ({ state }) => state === "server-finished");
      other.end();
      using waiting = await Peer.connect(sluice.port(1));
      const connecting = await rowOf(sluice, "a connect", ({ state }) => state === "connecting");
      strictEqual(connecting.client, waiting.address);
      strictEqual(connecting.server, hole.address);
      strictEqual((await ask(sluice, "?state=connecting")).matched, 1);
      waiting.reset();
      await sluice.until("it to end", ({ totals }) => totals.connections.now === 0);
      deepStrictEqual((await ask(sluice)).connections, []);
    });
  });

  it("of HTTP has all requests of its connection; of TLS its handshake", async () => {
    using certificates = new Certificates();
    const { cert, key } = certificates.leaf("shop.example");
    let answer = () => {};
    const held = new Promise<void>((resolve) => answer = resolve);
    await using origin = await HttpOrigin.listen(async () => {
      if (origin.requests.length === 2) await held;
      return httpOk("hello");
    });
    const config = {
      listeners: {
        plain: { bind: "http://127.0.0.1:0", to: "app" },
        secure: { bind: "tls://127.0.0.1:0", to: "app", tls: { certificates: [{ cert, key }] } },
      },
      upstreams: { app: { servers: [origin.address], health: "off", "keep-alive": "off" } },
    };
    await withConfig(config, async (sluice) => {
      const client = await HttpPeer.connect(sluice.port(0));
      await rowOf(
        sluice,
        "a client that asks nothing",
        ({ state, requests }) => state === "idle" && requests === 0,
      );
      const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
      strictEqual((await client.ask(request)).body.toString(), "hello");
      const idle = await rowOf(
        sluice,
        "its answer",
        ({ state, requests }) => state === "idle" && requests === 1,
      );
      deepStrictEqual([idle.protocol, idle.server, idle.upstream], ["http", null, null]);
      ok(idle.bytes.down >= 5, `${idle.bytes.down} of the answer`);
      await client.send(request);
      const busy = await rowOf(sluice, "the second request", ({ state }) => state === "forwarding");
      deepStrictEqual([busy.server, busy.upstream, busy.requests], [origin.address, "app", 2]);
      ok(busy.bytes.down >= idle.bytes.down, "never less than before");
      strictEqual(
        busy.opened.slice(0, 22),
        idle.opened.slice(0, 22),
        "the connection's age, not the request's",
      );
      answer();
      await client.readAnswer();
      const after = await rowOf(
        sluice,
        "its answer",
        ({ state, requests }) => state === "idle" && requests === 2,
      );
      strictEqual(after.bytes.down, 2 * idle.bytes.down);
      using shaking = await Peer.connect(sluice.port(1));
      const row = await rowOf(
        sluice,
        "a handshake",
        ({ state }) => state === "handshake",
        "?listener=secure",
      );
      strictEqual(row.client, shaking.address);
      shaking.reset();
      client.end();
      strictEqual(await client.ending(), "fin");
    });
  });

  it("comes through a unix socket, and over IPv6", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const words = [`unix:${folder.at("in.sock")}=${server.address}`, `tcp://[::1]:0=${server.address}`];
    await withSluice([...ALONE, ...words], async (sluice) => {
      using one = await Peer.connect({ path: folder.at("in.sock") });
      using two = await Peer.connect({ host: "::1", port: sluice.port(1) });
      await until("both", async () => (await ask(sluice)).total === 2);
      const [unix] = (await ask(sluice, "?client=unix")).connections!;
      strictEqual(unix.client, "unix:");
      const [six] = (await ask(sluice, "?client=::1")).connections!;
      strictEqual(six.client, two.address);
      for (const client of [one, two]) client.end();
      for (const client of [one, two]) strictEqual(await client.ending(), "fin");
    });
  });
});

describe("a session of datagrams", () => {
  it("is a row like any other, and is gone when it is over", async () => {
    using server = await Datagrams.echo();
    await withSluice(
      [...ALONE, "--udp-idle", "1s", `udp://127.0.0.1:0=${server.address}`],
      async (sluice) => {
        using client = await Datagrams.open();
        using other = await Datagrams.open("127.0.0.1");
        strictEqual(await client.ask("hello", sluice.port()), "hello");
        strictEqual(await other.ask("twelve bytes", sluice.port()), "twelve bytes");
        const row = await rowOf(sluice, "one of them", (row) => row.client === client.address);
        const { id: _, opened, age_seconds, idle_seconds, reactor, ...rest } = row;
        ok(Math.abs(Date.parse(opened) - Date.now()) < 5_000 && reactor >= 1);
        ok(age_seconds < 5 && idle_seconds <= age_seconds);
        deepStrictEqual(rest, {
          client: client.address,
          listener: "udp://127.0.0.1:0",
          upstream: "udp://127.0.0.1:0",
          server: server.address,
          protocol: "udp",
          state: "open",
          bytes: { up: 5, down: 5 },
          rates: null,
          requests: null,
        });
        const sorted = await ask(sluice, "?sort=bytes&rates=on");
        deepStrictEqual(sorted.matched, sorted.connections!.length);
        await until("their end", async () => (await ask(sluice)).total === 0);
      },
    );
  });
});

describe("the verb", () => {
  it("lists, filters, sorts and counts, for people and for programs", async () => {
    await using one = await Server.listen(echo);
    await using two = await Server.listen(echo);
    const words = [`tcp://127.0.0.1:0=${one.address}`, `tcp://127.0.0.1:0=${two.address}`];
    await withSluice([...ALONE, ...words], async (sluice) => {
      const clients: Peer[] = [];
      for (let number = 1; number <= 4; number++) {
        const client = await Peer.connect(sluice.port(number % 2), `127.0.0.${number}`);
        clients.push(client);
        await client.ask("z".repeat(number * 1_000));
      }
      const verb = async (...words: string[]) => {
        const { status, stdout, stderr } = await run(["connections", "--admin", sluice.admin, ...words]);
        strictEqual(status, 0, stderr);
        return stdout;
      };
      const lines = (await verb("--sort", "up", "--limit", "2")).split("\n");
      match(lines[0], /^ID +CLIENT +LISTENER +UPSTREAM +SERVER +STATE +AGE +IDLE +UP +DOWN +UP\/S +DOWN\/S$/);
      match(
        lines[1],
        /^[0-9a-z]{4}-[0-9]+-[0-9]+ +127\.0\.0\.4:[0-9]+ +tcp:\S+ +tcp:\S+ +127\.0\.0\.1:[0-9]+ +open .* 3\.9 KiB +3\.9 KiB +0 B\/s +0 B\/s$/,
      );
      match(lines[2], /^\S+ +127\.0\.0\.3:/);
      match(lines[4], /^4 connections; the first 2 by up \(desc\) are shown: --limit N shows more/);
      const json = JSON.parse(
        await verb("--server", two.address, "--sort", "client", "--rates", "off", "--format", "json"),
      ) as ConnectionsAnswer;
      deepStrictEqual(json.connections!.map(({ client }) => client), [
        clients[0].address,
        clients[2].address,
      ]);
      const bySource = (await verb("--by", "source", "--sort", "bytes", "--rates", "off")).split("\n");
      match(bySource[0], /^SOURCE +CONNECTIONS +UP +DOWN$/);
      match(bySource[1], /^127\.0\.0\.4 +1 +3\.9 KiB +3\.9 KiB$/);
      match(bySource[4], /^127\.0\.0\.1 +1 +1000 B +1000 B$|^127\.0\.0\.1 +1 +1\.0 KiB +1\.0 KiB$/);
      match(
        await verb("--client", "127.0.0.4/31", "--rates", "off"),
        /\n4 connections, 1 of them as asked\n$/,
      );
      strictEqual(await verb("--min-age", "1h", "--rates", "off"), "4 connections, 0 of them as asked\n");
      for (const client of clients) client.end();
      for (const client of clients) strictEqual(await client.ending(), "fin");
    });
  });

  it("says what is wrong with a question, by flag, and exits with 2", async () => {
    await withSluice([...ALONE, "tcp://127.0.0.1:0=127.0.0.1:1"], async (sluice) => {
      const cases: [words: string[], said: RegExp][] = [
        [["--sort", "colour"], /^sluice: --sort: no column "colour"; there are client, /],
        [["--state", "opn"], /^sluice: --state: unknown value "opn"; did you mean "open"\?/],
        [["--limit", "0"], /^sluice: --limit: "0" is too small; write a value from 1 to 10000/],
        [
          ["--listener", "nobody"],
          /^sluice: --listener: no listener "nobody"; there are tcp:\/\/127\.0\.0\.1:0/,
        ],
        [["--rates", "off", "--sort", "rate"], /^sluice: --sort: rate needs rates; set --rates on/],
        [["10.0.0.1"], /^sluice: 10\.0\.0\.1: neither a flag nor a value of one/],
        [["--clint", "x"], /^sluice: --clint: unknown flag; did you mean "--client"\?/],
      ];
      for (const [words, said] of cases) {
        const { status, stdout, stderr } = await run(["connections", "--admin", sluice.admin, ...words]);
        match(stderr, said, words.join(" "));
        deepStrictEqual([status, stdout], [2, ""], words.join(" "));
      }
    });
  });

  it("shows the admin token that a flag, the environment or the file has", async () => {
    const token = "a-token-that-is-long", flags = ["--admin-token", token, ...ALONE];
    using folder = new Folder();
    const admin = `unix:${folder.at("admin.sock")}`;
    // Who starts it asks without the token: it must be waited for otherwise.
    const { Sluice } = await import("../support/executable.ts");
    using sluice = await Sluice.startWithoutAdmin([
      "--admin",
      admin,
      ...flags,
      "tcp://127.0.0.1:0=127.0.0.1:1",
    ]);
    const verbs = [["connections", "--rates", "off"], ["servers"], ["status"], [
      "explain",
      "--live",
      `tcp://${sluice.binds[0]}`,
    ]];
    for (const verb of verbs) {
      const asked = [...verb, "--admin", admin], what = verb[0];
      const given = await run([...asked, "--admin-token", token]);
      strictEqual(given.status, 0, `${what}: ${given.stderr}`);
      const inherited = await run(asked, { env: { SLUICE_ADMIN_TOKEN: token } });
      strictEqual(inherited.status, 0, `${what}: ${inherited.stderr}`);
      const none = await run(asked);
      strictEqual(none.status, 1, what);
      match(none.stderr, /asks for the admin token; give --admin-token, SLUICE_ADMIN_TOKEN/, what);
      const wrong = await run([...asked, "--admin-token", "another"], { env: { SLUICE_ADMIN_TOKEN: token } });
      strictEqual(wrong.status, 1, what);
      match(wrong.stderr, /has another admin token than the one given/, what);
      const bad = await run(asked, { env: { SLUICE_ADMIN_TOKEN: "two words" } });
      strictEqual(bad.status, 2, what);
      match(bad.stderr, /^sluice: SLUICE_ADMIN_TOKEN: holds a character that HTTP cannot carry/, what);
    }
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
  });

  it("says so when nobody is there, or somebody else", async () => {
    await using server = await Server.listen(async (peer) => {
      await peer.read(1);
      await peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
      peer.end();
    });
    for (const verb of ["connections", "servers", "status"]) {
      const nobody = await run([verb, "--admin", "unix:/nowhere/sluice.sock"]);
      strictEqual(nobody.status, 1);
      match(nobody.stderr, /^sluice: nobody answers on unix:\/nowhere\/sluice.sock \(ENOENT\); start Sluice/);
      const other = await run([verb, "--admin", `http://${server.address}`]);
      strictEqual(other.status, 1);
      match(other.stderr, /answers, but not as an admin API does/, verb);
    }
  });
});

describe("thousands of connections", () => {
  const MANY = 2_000;

  it("are listed whole, cut and counted, and what is read is told", async () => {
    await using server = await Server.listen(silent);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const clients: Peer[] = [];
      while (clients.length < MANY) {
        const some = Array.from({ length: 100 }, (_, at) => {
          return Peer.connect(sluice.port(), `127.0.${1 + clients.length / 1_000 | 0}.${1 + at}`);
        });
        clients.push(...await Promise.all(some));
      }
      await until("all", async () => (await ask(sluice, "?limit=1&state=open")).matched === MANY);
      const answer = await ask(sluice, "?limit=10000&sort=client");
      deepStrictEqual([answer.total, answer.shown, answer.truncated, answer.rows_changed], [
        MANY,
        MANY,
        false,
        0,
      ]);
      strictEqual(answer.rows_read, MANY, "no row that nobody ever used");
      const told = answer.connections!.map(({ client }) => client);
      deepStrictEqual(new Set(told), new Set(clients.map(({ address }) => address)));
      const cut = await ask(sluice, "?limit=10");
      deepStrictEqual([cut.matched, cut.shown, cut.truncated], [MANY, 10, true]);
      const { groups } = await ask(sluice, "?by=source&limit=10000");
      strictEqual(groups!.length, 200);
      ok(groups!.every(({ connections }) => connections === 10));
      const prefix = await ask(sluice, "?client=127.0.1.0/24&limit=1");
      strictEqual(prefix.matched, MANY / 2);
      for (const client of clients) client.reset();
    });
  });

  /** What a client sends is told by its port: a row that mixed two connections would show. */
  const amountOf = (address: string): number => 100 + Number(address.split(":")[1]) % 7_919;

  it("come and go while somebody reads in a loop: every row is true, and reactors go on", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      let over = false, served = 0;
      const come = async () => {
        while (!over) {
          using client = await Peer.connect(sluice.port());
          const text = "x".repeat(amountOf(client.address));
          strictEqual(await client.ask(text), text);
          served++;
          client.end();
          await client.ending();
        }
      };
      const coming = Promise.all(Array.from({ length: 16 }, come));
      let seen = 0, turns = 0, quiet = 0;
      for (let look = 0; look < 60 || seen < 100; look++) {
        const before = served;
        const { connections, rows_changed, rows_read } = await ask(sluice, "?limit=1000");
        ok(rows_changed <= rows_read);
        for (const row of connections!) {
          seen++;
          const { client, bytes, age_seconds, idle_seconds, server: to } = row, what = JSON.stringify(row);
          ok(bytes.up === 0 || bytes.up === amountOf(client!), what);
          ok(bytes.down <= bytes.up, what);
          ok(to === server.address || to === null, what);
          ok(row.listener === "tcp://127.0.0.1:0" && age_seconds < 15 && idle_seconds < 15, what);
        }
        const { reactors } = await sluice.status();
        const now = reactors.reduce((sum, { turns }) => sum + turns, 0);
        ok(now >= turns, "turns never go back");
        if (served === before) quiet++;
        turns = now;
        if (look > 2_000) throw new Error(`only ${seen} rows`);
      }
      over = true;
      await coming;
      ok(
        served > 100 && quiet < 55,
        `${served} served while somebody read; ${quiet} looks saw nobody served`,
      );
    });
  });
});
