// How Sluice stops: SIGTERM lets connections finish, a second one or SIGINT does not; nobody is cut without a
// reason in the log.
import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Sluice } from "../support/executable.ts";
import { DROWSY, PatchedSluice } from "../support/patched.ts";
import { knock, Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";

const ALONE = ["--reactors", "2", "--health", "off"];

async function untilDraining(sluice: Sluice): Promise<void> {
  await sluice.line("drain", /^stopped accepting/);
}

describe("SIGTERM", () => {
  it("without connections: ends at once with 0", async () => {
    await using server = await Server.listen(echo);
    using sluice = await Sluice.start([...ALONE, `tcp://127.0.0.1:0=${server.address}`]);
    const from = performance.now();
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
    ok(performance.now() - from < 3_000);
    match(sluice.log("drain")[0].message, /^stopped accepting; 0 connections have /);
  });

  it("open connections finish, new ones are refused, then it ends with 0", async () => {
    await using server = await Server.listen();
    using sluice = await Sluice.start([...ALONE, `tcp://127.0.0.1:0=${server.address}`]);
    using client = await Peer.connect(sluice.port());
    using accepted = await server.accept();
    sluice.signal("SIGTERM");
    await untilDraining(sluice);
    await rejects(Peer.connect(sluice.port()), { code: "ECONNREFUSED" });
    strictEqual((await sluice.get("/readyz")).status, 503);
    strictEqual((await sluice.get("/healthz")).status, 200);
    strictEqual((await sluice.status()).phase, "draining");
    await client.send("still a question");
    strictEqual(await accepted.readText(16), "still a question");
    const [, count] = await Promise.all([
      sendStream(accepted, 8 << 20).then(() => accepted.end()),
      readStream(client),
    ]);
    strictEqual(count, 8 << 20);
    client.end();
    strictEqual(await sluice.exit(), 0);
    deepStrictEqual(sluice.records.map(({ reason }) => reason), ["finished"]);
  });

  it("connections that wait in the kernel's queue are served", async () => {
    await using server = await Server.listen(echo);
    using sluice = await Sluice.start([...ALONE, `tcp://127.0.0.1:0=${server.address}`]);
    process.kill(sluice.pid, "SIGSTOP");
    const clients = await Promise.all(Array.from({ length: 200 }, () => Peer.connect(sluice.port())));
    sluice.signal("SIGTERM");
    process.kill(sluice.pid, "SIGCONT");
    for (const client of clients) strictEqual(await client.ask("in time"), "in time");
    for (const client of clients) client.end();
    strictEqual(await sluice.exit(), 0);
    deepStrictEqual(sluice.records.map(({ reason }) => reason), clients.map(() => "finished"));
  });

  it("more of them than a reactor takes in one turn, and it was busy when told", async () => {
    using slow = new PatchedSluice(DROWSY);
    await using server = await Server.listen(echo);
    const words = ["--reactors", "1", "--health", "off", `tcp://127.0.0.1:0=${server.address}`];
    using sluice = await Sluice.start(words, { command: slow.command("bun") });
    const clients = await Promise.all(Array.from({ length: 200 }, () => Peer.connect(sluice.port())));
    sluice.signal("SIGTERM");
    const answers = await Promise.allSettled(clients.map((client) => client.ask("in time")));
    strictEqual(answers.filter(({ status }) => status === "fulfilled").length, clients.length);
    for (const client of clients) client.end();
    strictEqual(await sluice.exit(), 0);
  });

  it("one connection is one connection", async () => {
    await using server = await Server.listen(echo);
    const words = [...ALONE, "--drain-timeout", "100ms", `tcp://127.0.0.1:0=${server.address}`];
    using sluice = await Sluice.start(words);
    using client = await Peer.connect(sluice.port());
    strictEqual(await client.ask("hello"), "hello");
    sluice.signal("SIGTERM");
    await client.ending();
    strictEqual(await sluice.exit(), 0);
    deepStrictEqual(sluice.log("drain").map(({ message }) => message), [
      "stopped accepting; 1 connection has 100ms to finish",
      "closing 1 connection",
    ]);
  });

  it("what is left after --drain-timeout is closed, with the reason drained", async () => {
    await using server = await Server.listen(echo);
    using sluice = await Sluice.start([
      ...ALONE,
      "--drain-timeout",
      "300ms",
      `tcp://127.0.0.1:0=${server.address}`,
    ]);
    const clients = await Promise.all([1, 2, 3].map(() => Peer.connect(sluice.port())));
    for (const client of clients) strictEqual(await client.ask("hello"), "hello");
    clients[0].end();
    await sluice.ended(1);
    const from = performance.now();
    sluice.signal("SIGTERM");
    for (const client of clients.slice(1)) await client.ending();
    ok(performance.now() - from > 280, "not before the timeout");
    strictEqual(await sluice.exit(), 0);
    deepStrictEqual(sluice.records.map(({ reason }) => reason), ["finished", "drained", "drained"]);
    for (const { client, type, up_bytes } of sluice.records.slice(1)) {
      ok(clients.some(({ address }) => address === client));
      strictEqual(type, "connection_terminated");
      strictEqual(up_bytes, 5);
    }
    match(sluice.log("drain")[1].message, /^closing 2 connections/);
  });

  it("--drain-timeout 0s: at once", async () => {
    await using server = await Server.listen(echo);
    using sluice = await Sluice.start([
      ...ALONE,
      "--drain-timeout",
      "0s",
      `tcp://127.0.0.1:0=${server.address}`,
    ]);
    using client = await Peer.connect(sluice.port());
    strictEqual(await client.ask("hello"), "hello");
    sluice.signal("SIGTERM");
    await client.ending();
    strictEqual(await sluice.exit(), 0);
    deepStrictEqual(sluice.records.map(({ reason }) => reason), ["drained"]);
  });
});

describe("ending now", () => {
  for (
    const [what, signals] of [["a second SIGTERM", ["SIGTERM", "SIGTERM"]], ["SIGINT", ["SIGINT"]], [
      "SIGINT while it drains",
      ["SIGTERM", "SIGINT"],
    ]] as const
  ) {
    it(`${what}: connections are closed, each with its record, exit 0`, async () => {
      await using server = await Server.listen(echo);
      using sluice = await Sluice.start([
        ...ALONE,
        "--drain-timeout",
        "1h",
        `tcp://127.0.0.1:0=${server.address}`,
      ]);
      const clients = await Promise.all([1, 2, 3, 4].map(() => Peer.connect(sluice.port())));
      for (const client of clients) strictEqual(await client.ask("hello"), "hello");
      const from = performance.now();
      for (const [turn, signal] of signals.entries()) {
        if (turn > 0) await untilDraining(sluice);
        sluice.signal(signal);
      }
      const ended = Promise.all(clients.map((client) => client.ending()));
      const first = signals[0], second = signals.at(1);
      // The same one within a second is no second one: it comes until it counts.
      const again = setInterval(() => second === first && sluice.signal(first), 200);
      await ended;
      clearInterval(again);
      strictEqual(await sluice.exit(), 0);
      ok(performance.now() - from < 5_000, "at once");
      const told = sluice.log("drain").filter(({ message }) => message.startsWith("a second signal"));
      const expected = signals.slice(1).map((signal) => `a second signal, ${signal}, ends it now`);
      deepStrictEqual(told.map(({ message }) => message), expected);
      deepStrictEqual(sluice.records.map(({ reason }) => reason), [
        "drained",
        "drained",
        "drained",
        "drained",
      ]);
    });
  }

  it("SIGTERM twice at once is one: connections have their time", async () => {
    await using server = await Server.listen(echo);
    using sluice = await Sluice.start([...ALONE, `tcp://127.0.0.1:0=${server.address}`]);
    using client = await Peer.connect(sluice.port());
    strictEqual(await client.ask("hello"), "hello");
    sluice.signal("SIGTERM");
    sluice.signal("SIGTERM");
    await untilDraining(sluice);
    sluice.signal("SIGTERM");
    strictEqual(await client.ask("still there"), "still there");
    client.end();
    strictEqual(await sluice.exit(), 0);
    deepStrictEqual(sluice.records.map(({ reason }) => reason), ["finished"]);
  });

  it("a client that takes nothing does not hold the end up", async () => {
    await using server = await Server.listen((peer) => sendStream(peer, 64 << 20));
    using sluice = await Sluice.start([...ALONE, `tcp://127.0.0.1:0=${server.address}`]);
    using client = await Peer.connect(sluice.port());
    await client.read(1);
    const from = performance.now();
    sluice.signal("SIGINT");
    strictEqual(await sluice.exit(), 0);
    ok(performance.now() - from < 4_000, "at once");
    deepStrictEqual(sluice.records.map(({ reason }) => reason), ["drained"]);
  });

  it("the port is free as soon as it has ended", async () => {
    await using server = await Server.listen(echo);
    using first = await Sluice.start([...ALONE, `tcp://127.0.0.1:0=${server.address}`]);
    const port = first.port();
    using client = await Peer.connect(port);
    strictEqual(await client.ask("hello"), "hello");
    first.signal("SIGINT");
    strictEqual(await first.exit(), 0);
    using second = await Sluice.start([...ALONE, `tcp://127.0.0.1:${port}=${server.address}`]);
    strictEqual(second.port(), port);
    await second.finish();
    await rejects(knock(port), { code: "ECONNREFUSED" });
  });
});
