// `sluice close` of a process that runs: connections of every kind end with it, those that were meant and no others.
import { deepStrictEqual, match, notStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import type { CloseAnswer } from "../../src/control/connections/close.ts";
import type { ConnectionsAnswer, ConnectionView } from "../../src/control/connections/answer.ts";
import { withConfig } from "../support/configured.ts";
import { command, run, type Sluice, withSluice } from "../support/executable.ts";
import { Datagrams } from "../support/datagrams.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";
import { echo as echoed, Talk, WebSocketOrigin } from "../support/web_sockets.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

async function close(sluice: Sluice, ...words: string[]): Promise<CloseAnswer> {
  const { status, stdout, stderr } = await run([
    "close",
    ...words,
    "--admin",
    sluice.admin,
    "--format",
    "json",
  ], {
    command: command("executable"),
  });
  deepStrictEqual([status, stderr], [0, ""], words.join(" "));
  return JSON.parse(stdout);
}

async function rows(sluice: Sluice, query = ""): Promise<readonly ConnectionView[]> {
  const answer: ConnectionsAnswer = JSON.parse((await sluice.get(`/connections?${query}`)).body);
  return answer.connections!;
}

async function idOf(sluice: Sluice, what: string, is: (row: ConnectionView) => boolean): Promise<string> {
  return await until(what, async () => (await rows(sluice)).find(is)?.id);
}

const DONE = { closed: 1, gone: 0, gone_connections: [], unanswered: 0 };

describe("sluice close", () => {
  it("ends a TCP connection at both sides, and no later user of its place", async () => {
    const atServer: Peer[] = [];
    await using server = await Server.listen((peer) => {
      atServer.push(peer);
      return echo(peer);
    });
    await withSluice(
      ["--reactors", "2", "--health", "off", `tcp://127.0.0.1:0=${server.address}`],
      async (sluice) => {
        using one = await Peer.connect(sluice.port()), two = await Peer.connect(sluice.port());
        for (const peer of [one, two]) strictEqual(await peer.ask("hello"), "hello");
        const listed = await rows(sluice), ids = listed.map(({ id }) => id);
        strictEqual(new Set(ids).size, 2);
        const id = await idOf(sluice, "the first", ({ client }) => client === one.address);
        deepStrictEqual(await close(sluice, id), DONE);
        strictEqual(await one.ending(), "reset");
        strictEqual(await atServer[0].ending(), "reset", "the server knows as well");
        strictEqual(await two.ask("still"), "still");
        const [record] = await sluice.ended(1);
        deepStrictEqual([record.reason, record.type, record.client], [
          "closed_by_operator",
          "connection_terminated",
          one.address,
        ]);
        deepStrictEqual(await close(sluice, id), {
          closed: 0,
          gone: 1,
          gone_connections: [id],
          unanswered: 0,
        });

        // Whoever has the place now is somebody else.
        const later: Peer[] = [];
        while (!(await rows(sluice)).some((row) => row.id !== id && placeOf(row.id) === placeOf(id))) {
          later.push(await Peer.connect(sluice.port()));
          strictEqual(await later.at(-1)!.ask("later"), "later");
        }
        strictEqual((await close(sluice, id)).gone, 1);
        for (const peer of later) strictEqual(await peer.ask("untouched"), "untouched");
        match(
          sluice.log("audit")[0].message,
          new RegExp(`^closed 1 connection \\(${id}\\); by 127\\.0\\.0\\.1:`),
        );
        strictEqual(sluice.log("audit").length, 1, "who was gone is no change");
        strictEqual((await close(sluice, "--all")).closed, later.length + 1);
        for (const peer of [two, ...later]) strictEqual(await peer.ending(), "reset");
      },
    );
  });

  it("ends HTTP with its request under way, or between two, and WebSockets", async () => {
    let isFirst = true;
    await using origin = await HttpOrigin.listen(() => {
      const answer = isFirst ? answered("first") : new Promise<string>(() => {});
      isFirst = false;
      return answer;
    });
    using sockets = await WebSocketOrigin.listen(echoed);
    const config = {
      listeners: {
        web: { bind: "http://127.0.0.1:0", to: "app" },
        talk: { bind: "http://127.0.0.1:0", to: "talk" },
      },
      upstreams: {
        app: { servers: [origin.address], health: "off" },
        talk: { servers: [sockets.address], health: "off" },
      },
    };
    await withConfig(config, async (sluice) => {
      using busy = await HttpPeer.connect(sluice.port()), idle = await HttpPeer.connect(sluice.port());
      strictEqual((await busy.ask(GET)).body.toString(), "first");
      await busy.send(GET);
      const id = await idOf(
        sluice,
        "its request",
        ({ state, requests }) => state === "forwarding" && requests === 2,
      );
      const waiting = await idOf(sluice, "one between requests", ({ state }) => state === "idle");
      deepStrictEqual(await close(sluice, id), DONE);
      strictEqual(await busy.ending(), "reset");
      deepStrictEqual(await close(sluice, waiting), DONE);
      strictEqual(await idle.ending(), "reset");
      const [, record] = await sluice.ended(2);
      strictEqual(record.reason, "closed_by_operator");

      const talk = await Talk.connect(sluice.port(1)), other = await Talk.connect(sluice.port(1));
      for (const each of [talk, other]) {
        await each.send("hello");
        strictEqual(await each.next(), "hello");
      }
      const [{ id: open, client }] = await rows(sluice, "listener=talk&state=open");
      const meant = portOf(talk) === client!.split(":")[1] ? talk : other,
        left = meant === talk ? other : talk;
      deepStrictEqual(await close(sluice, open), DONE);
      strictEqual((await meant.closed).code, 1_006);
      await left.send("still");
      strictEqual(await left.next(), "still");
      deepStrictEqual(await close(sluice, "--listener", "talk", "--state", "open"), DONE);
      strictEqual((await left.closed).code, 1_006);
      match(sluice.log("audit").at(-1)!.message, /^closed 1 connection \(listener talk, state open\); by /);
    });
  });

  it("ends sessions of datagrams: the client's next one begins another", async () => {
    const server = await Datagrams.echo(), one = await Datagrams.open(), two = await Datagrams.open();
    try {
      await withSluice(
        ["--reactors", "2", "--health", "off", `udp://127.0.0.1:0=${server.address}`],
        async (sluice) => {
          for (const client of [one, two]) strictEqual(await client.ask("hello", sluice.port()), "hello");
          const id = await idOf(sluice, "its session", ({ client }) => client === one.address);
          deepStrictEqual(await close(sluice, id), DONE);
          const [record] = await sluice.ended(1);
          deepStrictEqual([record.reason, record.client], ["closed_by_operator", one.address]);
          strictEqual(await one.ask("again", sluice.port()), "again");
          notStrictEqual(await idOf(sluice, "another session", ({ client }) => client === one.address), id);
          strictEqual((await close(sluice, "--server", server.address)).closed, 2);
          await sluice.until("none", ({ totals }) => totals.connections.now === 0);
        },
      );
    } finally {
      for (const each of [server, one, two]) each.close();
    }
  });

  it("ends many at once by a filter, and leaves the others alone", async () => {
    await using server = await Server.listen(echo);
    const config = {
      reactors: 2,
      listeners: {
        many: { bind: "tcp://127.0.0.1:0", to: "app" },
        few: { bind: "tcp://127.0.0.1:0", to: "app" },
      },
      upstreams: { app: { servers: [server.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      const many = await Promise.all(Array.from({ length: 300 }, () => Peer.connect(sluice.port(0))));
      using other = await Peer.connect(sluice.port(1));
      for (const peer of [...many, other]) strictEqual(await peer.ask("hello"), "hello");
      const { stdout } = await run(["close", "--listener", "many", "--admin", sluice.admin], {
        command: command("executable"),
      });
      strictEqual(stdout, "closed 300 connections\n");
      for (const peer of many) strictEqual(await peer.ending(), "reset");
      strictEqual(await other.ask("still"), "still");
      strictEqual((await sluice.status()).totals.ended.closed_by_operator, 300);
      other.end();
      strictEqual(await other.ending(), "fin");
    });
  });
});

/** Tables and slot of an id, without the generation. */
function placeOf(id: string): string {
  return id.replace(/-[0-9]+$/, "");
}

function portOf({ socket }: Talk): string {
  return String((socket as unknown as { _socket: { localPort: number } })._socket.localPort);
}
