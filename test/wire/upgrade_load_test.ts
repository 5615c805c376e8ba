// Upgrades while clients come without a pause: none of them notices. `npm run soak` asks for many more.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { Datagrams } from "../support/datagrams.ts";
import { withSluice } from "../support/executable.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { PATIENCE_MS, until } from "../support/waiting.ts";

const ALONE = ["--reactors", "2", "--health", "off"];
/** More than one message between the processes carries. */
const SESSIONS = 300;
/** Of connect, request, close; and how many upgrades pass meanwhile. */
const REQUESTS = Number(process.env.SLUICE_SOAK_UPGRADED ?? 5_000);
const UPGRADES = Number(process.env.SLUICE_SOAK_UPGRADES ?? 3);
const ASK_ONCE = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

/** Connections to the server are not kept: at the end there are none. */
const configured = (server: string) => ({
  reactors: 2,
  listeners: { it: { bind: "http://127.0.0.1:0", to: "app" } },
  upstreams: { app: { servers: [server], health: "off", "keep-alive": "off" } },
});

/** What becomes of a client that connects, asks, and reads to the end: "served", or what else. */
function requestOnce(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = "", broken = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(ASK_ONCE));
    socket.setEncoding("latin1").on("data", (more: string) => text += more);
    socket.on("error", (error: NodeJS.ErrnoException) => broken = error.code ?? error.message);
    socket.on("close", () => {
      const served = broken === "" && text.startsWith("HTTP/1.1 200 ") && text.endsWith("\r\n\r\nhello");
      resolve(served ? "served" : `${broken} ${JSON.stringify(text.slice(0, 60))}`);
    });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("silence")));
  });
}

describe("upgrades under load", () => {
  it("who waits in a queue, or is about to ask, is served: connect, request, close while upgrades pass", async () => {
    await using origin = await HttpOrigin.listen(() => answered("hello"));
    const deadlineMs = 60_000 + 20 * REQUESTS;
    await withConfig(configured(origin.address), async (sluice) => {
      const port = sluice.port(), outcomes = new Map<string, number>();
      let done = 0, passed = 0;
      const client = async () => {
        while (done < REQUESTS || passed < UPGRADES) {
          const outcome = await requestOnce(port);
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
          done++;
        }
      };
      const clients = Array.from({ length: 16 }, client);
      for (; passed < UPGRADES; passed++) {
        const enough = () => Promise.resolve(done >= passed * REQUESTS / UPGRADES ? true : undefined);
        await until("some requests", enough, deadlineMs);
        strictEqual((await sluice.upgrade()).why, null);
      }
      await Promise.all(clients);
      deepStrictEqual([...outcomes.keys()], ["served"], `${[...outcomes].join("; ")}, of ${done}`);
      strictEqual((await sluice.status()).upgrades.count, UPGRADES);
    }, { deadlineMs });
  });

  it("a session keeps its socket to the server, and its record tells of all of it", async () => {
    await using server = { [Symbol.asyncDispose]: async () => {}, it: await Datagrams.echo() };
    await withSluice(
      [...ALONE, "--udp-idle", "3s", `udp://127.0.0.1:0=${server.it.address}`],
      async (sluice) => {
        const port = sluice.port(), clients: Datagrams[] = [];
        for (let nth = 0; nth < SESSIONS; nth++) clients.push(await Datagrams.open());
        for (const client of clients) strictEqual(await client.ask("before", port), "before");
        const before = (await server.it.take(SESSIONS)).map(({ from }) => from.port);
        const answer = await sluice.upgrade();
        deepStrictEqual([answer.why, answer.sessions, answer.sessions_lost], [null, SESSIONS, 0]);
        strictEqual((await sluice.status()).totals.connections.now, SESSIONS);
        for (const client of clients) strictEqual(await client.ask("after", port), "after");
        deepStrictEqual((await server.it.take(SESSIONS)).map(({ from }) => from.port), before);
        const records = await sluice.ended(SESSIONS);
        strictEqual(records.length, SESSIONS);
        for (const { up_datagrams, down_bytes, reason } of records) {
          deepStrictEqual([up_datagrams, down_bytes, reason], [2, 11, "session_idle"]);
        }
        for (const client of clients) client[Symbol.dispose]();
        server.it[Symbol.dispose]();
      },
    );
  });

  it("datagrams that come while nobody reads are answered: a client that never pauses loses none", async () => {
    using server = await Datagrams.echo();
    await withSluice(
      [...ALONE, "--udp-idle", "1s", `udp://127.0.0.1:0=${server.address}`],
      async (sluice) => {
        using client = await Datagrams.open();
        let sent = 0, over = false;
        const sending = (async () => {
          while (!over) {
            client.send(`${sent++}`, sluice.port());
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
        })();
        for (let nth = 0; nth < 2; nth++) strictEqual((await sluice.upgrade()).why, null);
        over = true;
        await sending;
        const answers = (await client.take(sent)).map(({ bytes }) => Number(bytes.toString()));
        deepStrictEqual(
          answers.sort((one, other) => one - other),
          Array.from({ length: sent }, (_, nth) => nth),
        );
        strictEqual(new Set((await server.take(sent)).map(({ from }) => from.port)).size, 1);
      },
    );
  });
});
