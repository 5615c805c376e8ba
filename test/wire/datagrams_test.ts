// UDP as clients and servers see it: what is sent arrives, whole and from the address that was asked; sessions
// begin, end by their idle time, by the answers that are expected, by ICMP; and each end has its record.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { Datagrams, freeUdpPort } from "../support/datagrams.ts";
import { run, Sluice, withSluice } from "../support/executable.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";

const ALONE = ["--reactors", "1"];
const QUICK = ["--udp-idle", "300ms"];

describe("datagrams", () => {
  it("of every size go to the server and back, whole", async () => {
    using server = await Datagrams.echo();
    await withSluice([...ALONE, ...QUICK, `udp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using client = await Datagrams.open();
      let sum = 0;
      for (const size of [0, 1, 512, 1_472, 1_473, 9_000, 65_507]) {
        const bytes = randomBytes(size);
        client.send(bytes, sluice.port());
        const answer = await client.next();
        ok(answer.bytes.equals(bytes), `${size} bytes`);
        deepStrictEqual(answer.from, { address: "127.0.0.1", port: sluice.port() });
        sum += size;
      }
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "session_idle");
      strictEqual(record.type, null);
      strictEqual(record.server, server.address);
      match(record.client!, new RegExp(`:${client.port}$`));
      deepStrictEqual([record.up_bytes, record.down_bytes], [sum, sum]);
      deepStrictEqual([record.up_datagrams, record.down_datagrams], [7, 7]);
      ok(record.duration_ms! >= 300 && record.duration_ms! < 5_000, `ended after ${record.duration_ms} ms`);
      const { listeners: [listener], totals } = await sluice.status();
      deepStrictEqual(listener.connections, { now: 0, total: 1 });
      deepStrictEqual(listener.bytes, { up: sum, down: sum });
      deepStrictEqual(listener.datagrams, { up: 7, down: 7 });
      deepStrictEqual(totals.datagrams.dropped, { cut: 0, unsent: 0, refused: 0, full: 0 });
    });
  });

  it("are answered from the address that was asked, on a socket for all of IPv4 and IPv6", async () => {
    using server = await Datagrams.echo();
    await withSluice([...ALONE, ...QUICK, `udp://:0=${server.address}`], async (sluice) => {
      using four = await Datagrams.open();
      for (const address of ["127.0.0.1", "127.0.0.2", "127.9.8.7"]) {
        four.send("who?", sluice.port(), address);
        deepStrictEqual((await four.next()).from, { address, port: sluice.port() });
      }
      using six = await Datagrams.open("::1");
      six.send("who?", sluice.port(), "::1");
      deepStrictEqual((await six.next()).from, { address: "::1", port: sluice.port() });
      // Each address that a client asks is a session of its own.
      const records = await sluice.ended(4);
      deepStrictEqual(records.map(({ client }) => client!.replace(/:[0-9]+$/, "")).sort(), [
        "127.0.0.1",
        "127.0.0.1",
        "127.0.0.1",
        "[::1]",
      ]);
    });
  });

  it("go to servers of IPv6", async () => {
    using server = await Datagrams.echo("::1");
    await withSluice([...ALONE, ...QUICK, `udp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using client = await Datagrams.open();
      strictEqual(await client.ask("hello", sluice.port()), "hello");
    });
  });

  it("in bursts keep their borders and their order", async () => {
    using server = await Datagrams.open();
    // Each question is a count: so many answers, of sizes that join and sizes that do not.
    const sizeOf = (nth: number) => nth % 47 === 0 ? 9_000 : nth % 13 === 0 ? 31 : nth % 7 === 0 ? 0 : 1_200;
    server.reply = ({ bytes }) =>
      Array.from({ length: Number(bytes.toString()) }, (_, nth) => Buffer.alloc(sizeOf(nth), nth));
    await withSluice([...ALONE, ...QUICK, `udp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using client = await Datagrams.open();
      client.send("50", sluice.port());
      const answers = await client.take(50);
      answers.forEach(({ bytes }, nth) => ok(bytes.equals(Buffer.alloc(sizeOf(nth), nth)), `answer ${nth}`));
      server.reply = () => [];
      await server.next();
      for (let nth = 0; nth < 50; nth++) client.send(Buffer.alloc(sizeOf(nth), nth), sluice.port());
      const asked = await server.take(50);
      asked.forEach(({ bytes }, nth) => ok(bytes.equals(Buffer.alloc(sizeOf(nth), nth)), `question ${nth}`));
      const [record] = await sluice.ended(1);
      deepStrictEqual([record.up_datagrams, record.down_datagrams], [51, 50]);
    });
  });
});

describe("a session", () => {
  it("ends at once with the answers that are expected, for all that its client asked", async () => {
    using server = await Datagrams.open();
    const words = [...ALONE, "--responses", "1", `udp://127.0.0.1:0=${server.address}`];
    await withSluice(words, async (sluice) => {
      using client = await Datagrams.open();
      client.send("A?", sluice.port());
      client.send("AAAA?", sluice.port()); // as resolvers of libc ask
      const [first, second] = await server.take(2);
      strictEqual(first.from.port, second.from.port, "one session");
      server.send("A", first.from.port);
      strictEqual((await client.next()).bytes.toString(), "A");
      server.send("AAAA", first.from.port);
      strictEqual((await client.next()).bytes.toString(), "AAAA");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "session_done");
      deepStrictEqual([record.up_datagrams, record.down_datagrams], [2, 2]);
      client.send("again", sluice.port());
      server.send("yes", (await server.next()).from.port);
      strictEqual((await client.next()).bytes.toString(), "yes");
      await sluice.ended(2);
    });
  });

  it("without the answers that are expected is a failure of its server", async () => {
    using server = await Datagrams.open();
    const words = [...ALONE, ...QUICK, "--responses", "1", `udp://127.0.0.1:0=${server.address}`];
    await withSluice(words, async (sluice) => {
      using client = await Datagrams.open();
      client.send("anybody?", sluice.port());
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "session_unanswered");
      strictEqual(record.type, "connection_read_timeout");
      const { upstreams: [{ servers: [{ connections }] }] } = await sluice.status();
      deepStrictEqual(connections, { now: 0, total: 1, failed: 1 });
    });
  });

  it("with a server that refuses ends, and the client's next datagram goes to another", async () => {
    using server = await Datagrams.echo();
    const closed = `127.0.0.1:${await freeUdpPort()}`;
    await withSluice(
      [...ALONE, ...QUICK, `udp://127.0.0.1:0=${closed},${server.address}`],
      async (sluice) => {
        using client = await Datagrams.open();
        client.send("lost", sluice.port());
        const [refused] = await sluice.ended(1);
        strictEqual(refused.reason, "connection_refused");
        strictEqual(refused.server, closed);
        strictEqual(refused.errno, "ECONNREFUSED");
        const listed = async (...words: string[]) =>
          (await run(["servers", "--admin", sluice.admin, "--state", "avoided", ...words])).stdout;
        match(
          await listed(),
          new RegExp(`\n\\S+ +${closed} +unchecked +- +1 avoided for [0-9.]+s [^\n]*\n\n2 servers, 1 of`),
        );
        const { servers: [avoided] } = JSON.parse(await listed("--format", "json"));
        ok(Date.parse(avoided.avoided_until) > Date.now() - 1_000, avoided.avoided_until);
        for (let turn = 0; turn < 6; turn++) { // it is passed over from now on, whoever asks
          using other = await Datagrams.open();
          strictEqual(await other.ask(`turn ${turn}`, sluice.port()), `turn ${turn}`);
        }
        strictEqual(await client.ask("once more", sluice.port()), "once more");
        const { upstreams: [{ servers }] } = await sluice.status();
        deepStrictEqual(servers.map(({ connections }) => connections.failed), [1, 0]);
        await sluice.ended(8);
      },
    );
  });

  it("with a server whose health check fails goes on with another, however often its client sends", async () => {
    const replyAll: Datagrams["reply"] = ({ bytes }) => [`${bytes}!`];
    using one = await Datagrams.open(), other = await Datagrams.open();
    one.reply = other.reply = replyAll;
    const upstreams = {
      u: {
        servers: [one.address, other.address],
        health: { send: "well?", expect: "well?!", interval: "100ms", timeout: "100ms", fall: 1, rise: 1 },
      },
    };
    const listeners = { in: { bind: "udp://127.0.0.1:0", to: "u", udp: { idle: "2s" } } };
    await withConfig({ listeners, upstreams }, async (sluice) => {
      using client = await Datagrams.open();
      strictEqual(await client.ask("1", sluice.port()), "1!");
      const [row] = (await sluice.status()).upstreams[0].servers.filter(({ connections }) =>
        connections.total === 1
      );
      const [dead, alive] = row.address === one.address ? [one, other] : [other, one];
      dead.reply = () => []; // nothing tells that it is gone
      await sluice.until(
        "it to be down",
        ({ upstreams: [{ servers }] }) =>
          servers.some(({ address, health }) => address === dead.address && health === "down"),
      );
      strictEqual(await client.ask("2", sluice.port()), "2!");
      const [record] = await sluice.ended(1);
      deepStrictEqual([record.reason, record.server], ["session_moved", dead.address]);
      // With nobody else to go to it stays where it is.
      alive.reply = () => [];
      await sluice.until(
        "all to be down",
        ({ upstreams: [{ servers }] }) => servers.every(({ health }) => health === "down"),
      );
      client.send("3", sluice.port());
      strictEqual((await sluice.ended(2))[1].reason, "session_idle");
    });
  });

  it("comes from where its upstream says, as checks do; explain tells it, and why it is not", async () => {
    using server = await Datagrams.open();
    const seen = new Set<string>();
    server.reply = ({ bytes, from }) => {
      seen.add(`${bytes} of ${from.address}`);
      return [from.address];
    };
    const health = { send: "well?", expect: "127.0.0.9", interval: "100ms", rise: 1 };
    const config = {
      listeners: {
        here: { bind: "udp://127.0.0.1:0", to: "here", udp: { responses: 1 } },
        gone: { bind: "udp://127.0.0.1:0", to: "gone" },
      },
      upstreams: {
        here: { servers: [server.address], source: "127.0.0.9", health },
        gone: { servers: [server.address], source: "192.0.2.9", health: "off" },
      },
    };
    await withConfig(config, async (sluice) => {
      match(sluice.log("sockets").map(({ message }) => message).join(), /gone.*no such address/);
      await sluice.until("a check", ({ upstreams }) => upstreams[0].servers[0].health === "up");
      using client = await Datagrams.open();
      strictEqual(await client.ask("hello", sluice.port()), "127.0.0.9");
      deepStrictEqual([...seen].sort(), ["hello of 127.0.0.9", "well? of 127.0.0.9"]);
      client.send("hello", sluice.port(1));
      const [, gone] = await sluice.ended(2);
      strictEqual(`${gone.reason} ${gone.errno}`, "no_source ENODEV");
      const explained = (listener: number) =>
        run(["explain", "--live", "--admin", sluice.admin, `udp://127.0.0.1:${sluice.port(listener)}`]);
      match((await explained(0)).stdout, /\n-> 127\.0\.0\.1[^]*come from 127\.0\.0\.9\n/);
      match(
        (await explained(1)).stdout,
        /the datagram is dropped \(no_source\)[^]*come from 192\.0\.2\.9, which cannot be: .* no such address/,
      );
    });
  });

  it("whose every server refuses is begun anew for each datagram, and nothing hangs", async () => {
    const closed = [await freeUdpPort(), await freeUdpPort()].map((port) => `127.0.0.1:${port}`);
    await withSluice([...ALONE, ...QUICK, `udp://127.0.0.1:0=${closed.join()}`], async (sluice) => {
      using client = await Datagrams.open();
      for (let turn = 0; turn < 5; turn++) {
        client.send("anybody?", sluice.port());
        await sluice.ended(turn + 1);
      }
      for (const { reason } of sluice.records) strictEqual(reason, "connection_refused");
    });
  });

  it("is not begun where there is no server: the datagrams are dropped and counted", async () => {
    const words = [...ALONE, ...QUICK, "--health", "tcp", "--health-fall", "1", "--health-interval", "100ms"];
    const closed = `127.0.0.1:${await freeUdpPort()}`;
    await withSluice([...words, `udp://127.0.0.1:0=${closed}`], async (sluice) => {
      await sluice.until(
        "the server to be down",
        ({ upstreams: [{ servers: [{ health }] }] }) => health === "down",
      );
      using client = await Datagrams.open();
      client.send("anybody?", sluice.port());
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "no_server");
      match(record.client!, new RegExp(`:${client.port}$`));
      deepStrictEqual([record.server, record.up_datagrams], [null, null]);
      const metrics = await sluice.metrics();
      strictEqual(metrics.get('sluice_datagrams_dropped_total{why="refused"}'), 1);
    });
  });
});

describe("sessions by the thousand", () => {
  it("each have their server and their answers, on both reactors, and leave nothing behind", async () => {
    using one = await Datagrams.echo();
    using two = await Datagrams.echo();
    const words = ["--reactors", "2", "--udp-idle", "1s", "--access-log", "off"];
    await withSluice([...words, `udp://127.0.0.1:0=${one.address},${two.address}`], async (sluice) => {
      const clients: Datagrams[] = [];
      const lost: number[] = [];
      for (let first = 0; first < 2_000; first += 100) {
        const some = await Promise.all(Array.from({ length: 100 }, () => Datagrams.open()));
        clients.push(...some);
        await Promise.all(some.map(async (client, nth) => {
          const answer = await client.ask(`client ${first + nth}`, sluice.port());
          if (answer !== `client ${first + nth}`) lost.push(first + nth);
        }));
      }
      deepStrictEqual(lost, []);
      const { totals, reactors, upstreams: [{ servers }] } = await sluice.status();
      strictEqual(totals.connections.total, 2_000);
      for (const { role, connections } of reactors) {
        if (role === "reactor") ok(connections.total > 500, `${connections.total} on one of two`);
      }
      deepStrictEqual(servers.map(({ connections }) => connections.total), [1_000, 1_000]);
      for (const client of clients) client.close();
    });
  });

  it("beyond the limit: who was never answered gives way, who was keeps its session", async () => {
    using quiet = await Datagrams.open();
    quiet.reply = ({ bytes }) => bytes.toString() === "answer me" ? ["answered"] : [];
    const words = [...ALONE, "--udp-idle", "2s", "--max-connections", "20"];
    await withSluice([...words, `udp://127.0.0.1:0=${quiet.address}`], async (sluice) => {
      using friend = await Datagrams.open();
      strictEqual(await friend.ask("answer me", sluice.port()), "answered");
      await quiet.next(); // the friend's
      const strangers = await Promise.all(Array.from({ length: 100 }, () => Datagrams.open()));
      for (const stranger of strangers) {
        stranger.send("anybody?", sluice.port());
        await quiet.next();
      }
      for (const stranger of strangers) stranger.close();
      const { totals } = await sluice.status();
      ok(totals.connections.now <= 20, `${totals.connections.now} sessions`);
      strictEqual(totals.ended.limit_reached, 81);
      const before = (await sluice.status()).totals.connections.total;
      strictEqual(await friend.ask("answer me", sluice.port()), "answered");
      strictEqual((await sluice.status()).totals.connections.total, before, "the same session");
    });
  });

  it("beyond the limit: who was never answered gives way to connections, too", async () => {
    using quiet = await Datagrams.open();
    await using server = await Server.listen(echo);
    const words = [...ALONE, "--udp-idle", "2s", "--max-connections", "5"];
    const udp = `udp://127.0.0.1:0=${quiet.address}`, tcp = `tcp://127.0.0.1:0=${server.address}`;
    await withSluice([...words, udp, tcp], async (sluice) => {
      const strangers = await Promise.all(Array.from({ length: 5 }, () => Datagrams.open()));
      for (const stranger of strangers) {
        stranger.send("anybody?", sluice.port());
        await quiet.next();
      }
      for (const stranger of strangers) stranger.close();
      using one = await Peer.connect(sluice.port(1));
      using other = await Peer.connect(sluice.port(1));
      strictEqual(await one.ask("hello"), "hello");
      strictEqual(await other.ask("hello"), "hello");
      using third = await Peer.connect(sluice.port(1));
      strictEqual(await third.ask("hello"), "hello");
      const { totals } = await sluice.status();
      strictEqual(totals.connections.now, 5);
      strictEqual(totals.ended.limit_reached, 3, "two to other sessions, one to a connection");
    });
  });

  it("beyond three quarters of the limit, beside a listener for connections, though all were answered", async () => {
    using server = await Datagrams.echo();
    await using stream = await Server.listen(echo);
    const udp = `udp://127.0.0.1:0=${server.address}`, tcp = `tcp://127.0.0.1:0=${stream.address}`;
    const words = ["--reactors", "2", "--udp-idle", "1s", "--max-connections", "8"];
    await withSluice([...words, udp, tcp], async (sluice) => {
      const friends = await Promise.all(Array.from({ length: 6 }, () => Datagrams.open()));
      for (const friend of friends) strictEqual(await friend.ask("hello", sluice.port()), "hello");
      using seventh = await Datagrams.open();
      seventh.send("and me?", sluice.port());
      strictEqual((await sluice.ended(1))[0].reason, "limit_reached");
      using one = await Peer.connect(sluice.port(1));
      using other = await Peer.connect(sluice.port(1));
      for (const client of [one, other]) strictEqual(await client.ask("hello"), "hello");
      for (const friend of friends) strictEqual(await friend.ask("still", sluice.port()), "still");
      for (const friend of friends) friend.close();
      await sluice.until("their sessions to end", ({ totals }) => totals.connections.now === 2);
      strictEqual(await seventh.ask("now?", sluice.port()), "now?");
    });
  });

  it("beyond the limit, when all were answered: the newcomer is dropped and counted", async () => {
    using server = await Datagrams.echo();
    const words = [...ALONE, "--udp-idle", "1s", "--max-connections", "3"];
    await withSluice([...words, `udp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const friends = await Promise.all([1, 2, 3].map(() => Datagrams.open()));
      for (const friend of friends) strictEqual(await friend.ask("hello", sluice.port()), "hello");
      using fourth = await Datagrams.open();
      fourth.send("and me?", sluice.port());
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "limit_reached");
      for (const friend of friends) strictEqual(await friend.ask("still", sluice.port()), "still");
      for (const friend of friends) friend.close();
      await sluice.until("their sessions to end", ({ totals }) => totals.connections.now === 0);
      strictEqual(await fourth.ask("now?", sluice.port()), "now?");
    });
  });
});

describe("lists and limits", () => {
  it("hold for whoever begins a session: who is denied is dropped, counted, and told", async () => {
    using server = await Datagrams.echo();
    const words = [...ALONE, ...QUICK, `udp://:0=${server.address}`, "--deny", "127.0.0.2"];
    await withSluice(words, async (sluice) => {
      using stranger = await Datagrams.open("127.0.0.2");
      stranger.send("let me in", sluice.port());
      const [record] = await sluice.ended(1);
      deepStrictEqual([record.reason, record.up_datagrams], ["denied", null]);
      match(record.client!, /^127\.0\.0\.2:/);
      using friend = await Datagrams.open();
      strictEqual(await friend.ask("hello", sluice.port()), "hello");
      strictEqual((await sluice.metrics()).get('sluice_datagrams_dropped_total{why="refused"}'), 1);
      strictEqual(server.count, 1);
    });
  });

  it("count the sessions of a source, and give them back", async () => {
    using server = await Datagrams.echo();
    const words = [
      ...ALONE,
      ...QUICK,
      `udp://127.0.0.1:0=${server.address}`,
      "--max-connections-per-source",
      "2",
    ];
    await withSluice(words, async (sluice) => {
      const clients = await Promise.all([1, 2, 3].map(() => Datagrams.open()));
      const port = sluice.port();
      for (const client of clients.slice(0, 2)) strictEqual(await client.ask("hello", port), "hello");
      clients[2].send("too many", port);
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "source_limit");
      await sluice.ended(3); // the others' sessions are over
      strictEqual(await clients[2].ask("now", port), "now");
      for (const client of clients) client.close();
    });
  });
});

describe("a port of UDP", () => {
  it("is not shared with a second Sluice, and the message says who to ask", async () => {
    using server = await Datagrams.echo();
    const words = ["--reactors", "2", ...QUICK];
    await withSluice([...words, `udp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const listen = `udp://127.0.0.1:${sluice.port()}`;
      const second = await run([...words, "--admin", "off", `${listen}=${server.address}`]);
      strictEqual(second.status, 1);
      match(second.stderr, /: the address is already in use; stop what listens there \(ss -lunp shows it\)/);
    });
  });

  it("may be that of a TCP listener as well", async () => {
    using server = await Datagrams.echo();
    using other = await Datagrams.open("127.77.0.1"); // an address of which nobody else has ports
    const port = other.port;
    other.close();
    const words = [...ALONE, ...QUICK, `udp://127.77.0.1:${port}=${server.address}`];
    await withSluice([...words, `tcp://127.77.0.1:${port}=${server.address}`], async (sluice) => {
      using client = await Datagrams.open();
      strictEqual(await client.ask("hello", port, "127.77.0.1"), "hello");
      deepStrictEqual(sluice.binds, [`127.77.0.1:${port}`, `127.77.0.1:${port}`]);
    });
  });
});

describe("a stop", () => {
  it("lets sessions go on until they are idle, and takes no new ones", async () => {
    using server = await Datagrams.echo();
    using sluice = await Sluice.start([...ALONE, "--udp-idle", "1s", `udp://127.0.0.1:0=${server.address}`]);
    using friend = await Datagrams.open();
    const port = sluice.port();
    strictEqual(await friend.ask("before", port), "before");
    sluice.signal("SIGTERM");
    await sluice.line("drain", /^stopped accepting; 1 connection has /);
    strictEqual(await friend.ask("while it drains", port), "while it drains");
    using stranger = await Datagrams.open();
    stranger.send("too late", port);
    strictEqual(await friend.ask("still", port), "still");
    strictEqual(await sluice.exit(), 0);
    strictEqual(server.count, 3);
    deepStrictEqual(sluice.records.map(({ reason }) => reason), ["drained", "session_idle"]);
  });

  it("at once ends sessions with their reason", async () => {
    using server = await Datagrams.echo();
    const words = [...ALONE, "--drain-timeout", "0s", `udp://127.0.0.1:0=${server.address}`];
    using sluice = await Sluice.start(words);
    using friend = await Datagrams.open();
    strictEqual(await friend.ask("before", sluice.port()), "before");
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
    deepStrictEqual(sluice.records.map(({ reason }) => reason), ["drained"]);
  });
});
