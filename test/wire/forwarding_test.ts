// Bytes between a client and a server: whoever speaks first, in whatever pieces, over whatever sockets.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Sluice, withSluice } from "../support/executable.ts";
import { Peer } from "../support/peer.ts";
import { echo, sayAndEnd, Server } from "../support/servers.ts";

/** Where nothing is said about it, servers are not checked: every connection is a client's. */
const ALONE = ["--reactors", "2", "--health", "off"];

describe("forwarding", () => {
  it("what the client says first reaches the server, and its answer the client", async () => {
    await using server = await Server.listen();
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using client = await Peer.connect(sluice.port());
      await client.send("question");
      using other = await server.accept();
      strictEqual(await other.readText(8), "question");
      await other.send("the answer");
      strictEqual(await client.readText(10), "the answer");
      client.end();
      strictEqual(await other.ending(), "fin");
      other.end();
      strictEqual(await client.ending(), "fin");
    });
  });

  it("a server that speaks first is heard by a silent client", async () => {
    await using server = await Server.listen(sayAndEnd("220 ready\r\n"));
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using client = await Peer.connect(sluice.port());
      strictEqual((await client.readAll()).toString(), "220 ready\r\n");
      client.end();
      const [record] = await sluice.ended(1);
      strictEqual(record.down_bytes, 11);
      strictEqual(record.up_bytes, 0);
      strictEqual(record.reason, "finished");
    });
  });

  it("round robin gives every server exactly its share", async () => {
    await using one = await Server.listen(sayAndEnd("1"));
    await using two = await Server.listen(sayAndEnd("2"));
    await using three = await Server.listen(sayAndEnd("3"));
    const targets = [one, two, three].map(({ address }) => address).join();
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${targets}`], async (sluice) => {
      let answers = "";
      for (let turn = 0; turn < 30; turn++) {
        using client = await Peer.connect(sluice.port());
        answers += await client.readAll();
        client.end();
      }
      const start = answers.slice(0, 3);
      strictEqual([...start].sort().join(""), "123");
      strictEqual(answers, start.repeat(10));
      const [{ servers }] = (await sluice.until("30 ends", ({ totals }) =>
        totals.ended.finished === 30)).upstreams;
      deepStrictEqual(servers.map(({ connections }) => connections.total), [10, 10, 10]);
    });
  });

  it("ten thousand small messages go back and forth in order", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using client = await Peer.connect(sluice.port());
      for (let message = 0; message < 10_000; message++) {
        const text = `message ${message}\n`;
        strictEqual(await client.ask(text), text);
      }
    });
  });

  it("bytes that come one by one arrive one by one", async () => {
    await using server = await Server.listen();
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using client = await Peer.connect(sluice.port());
      using other = await server.accept();
      for (const byte of "slowly") {
        await client.send(byte);
        strictEqual(await other.readText(1), byte);
      }
    });
  });

  it("forty connections at once do not mix", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const clients = await Promise.all(Array.from({ length: 40 }, () => Peer.connect(sluice.port())));
      for (let round = 0; round < 20; round++) {
        await Promise.all(clients.map(async (client, number) => {
          const text = `client ${number} round ${round} ${"x".repeat(number * 100)}`;
          strictEqual(await client.ask(text), text);
        }));
      }
      const { reactors } = await sluice.status();
      deepStrictEqual(reactors.map(({ connections }) => connections.now), [20, 20, 0]);
      for (const client of clients) client.end();
      await sluice.ended(40);
    });
  });

  it("several LISTEN=TARGETS, with options for all and for one", async () => {
    await using first = await Server.listen(sayAndEnd("first"));
    await using second = await Server.listen(sayAndEnd("second"));
    await using third = await Server.listen();
    using sluice = await Sluice.start([
      ...["--reactors", "1", "--health", "off"],
      `tcp://127.0.0.1:0=${first.address}`,
      `tcp://127.0.0.1:0=${second.address}`,
      `tcp://127.0.0.1:0=${third.address}`,
      ...["--tunnel-idle", "200ms"],
    ]);
    for (const [listener, text] of ["first", "second"].entries()) {
      using client = await Peer.connect(sluice.port(listener));
      strictEqual((await client.readAll()).toString(), text);
      client.end();
    }
    using idle = await Peer.connect(sluice.port(2));
    strictEqual(await idle.ending(), "fin");
    const record = (await sluice.ended(3))[2];
    strictEqual(record.reason, "tunnel_idle");
    strictEqual(record.listener, "tcp://127.0.0.1:0#3");
    idle.end();
    await sluice.finish();
  });
});
