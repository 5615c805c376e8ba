// `sluice upgrade`: the process that runs goes on in a new one. Nothing is cut: what is open goes on in the old one until
// it ends, what is new is the new one's, and what both must know goes along.
import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { existsSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { after, describe, it } from "node:test";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { Datagrams } from "../support/datagrams.ts";
import { EXECUTABLE, run, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { sClient } from "../support/s_client.ts";
import { echo, Server } from "../support/servers.ts";
import { openFds } from "../support/status.ts";
import { PATIENCE_MS, until } from "../support/waiting.ts";
import { echo as echoTalk, Talk, WebSocketOrigin } from "../support/web_sockets.ts";

const ALONE = ["--reactors", "2", "--health", "off"];

/** HTTP listeners, each before one server. Connections to those are not kept: at the end of a test there are none. */
function web(...servers: readonly string[]): object {
  const named = (nth: number) => `app${nth}`;
  const listeners = servers.map((_, nth) => [named(nth), { bind: "http://127.0.0.1:0", to: named(nth) }]);
  const upstreams = servers.map((server, nth) => [
    named(nth),
    { servers: [server], health: "off", "keep-alive": "off" },
  ]);
  return { reactors: 2, listeners: Object.fromEntries(listeners), upstreams: Object.fromEntries(upstreams) };
}

const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
/** Of connect, request, close; and how many upgrades pass meanwhile. */
const REQUESTS = Number(process.env.SLUICE_SOAK_UPGRADED ?? 5_000);
const UPGRADES = Number(process.env.SLUICE_SOAK_UPGRADES ?? 3);
const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());

const ASK_ONCE = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");

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

/** Whether a process is there. */
function lives(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

async function ended(pid: number): Promise<void> {
  await until(`process ${pid} to end`, () => Promise.resolve(lives(pid) ? undefined : true));
}

describe("sluice upgrade", () => {
  it("connections go on in the old process until they end, new ones are the new one's", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const old = sluice.pid, port = sluice.port();
      using held = await Peer.connect(port);
      strictEqual(await held.ask("before"), "before");
      const answer = await sluice.upgrade();
      deepStrictEqual([answer.upgraded, answer.why, answer.sessions], [true, null, 0]);
      notStrictEqual(answer.pid, old);
      strictEqual(await held.ask("still"), "still");
      using fresh = await Peer.connect(port);
      strictEqual(await fresh.ask("new"), "new");
      const { pid, upgrades, totals } = await sluice.status();
      deepStrictEqual([pid, upgrades.count, totals.connections.now], [answer.pid, 1, 1]);
      ok(lives(old), "it has a connection");
      held.end();
      strictEqual(await held.ending(), "fin");
      await ended(old);
      strictEqual(await fresh.ask("alone"), "alone");
      match(
        (await sluice.line("upgrade", /^took over/)).message,
        /^took over 1 listening socket from process /,
      );
    });
  });

  it("of HTTP: the next answer on a kept connection is its last, a WebSocket goes on", async () => {
    using talkers = await WebSocketOrigin.listen(echoTalk);
    await using origin = await HttpOrigin.listen(() => answered("hello"));
    await withConfig(web(origin.address, talkers.address), async (sluice) => {
      const old = sluice.pid;
      using kept = await HttpPeer.connect(sluice.port(0)), busy = await HttpPeer.connect(sluice.port(0));
      strictEqual(statusOf((await kept.ask(GET)).head), 200);
      busy.peer.socket.write(GET.slice(0, 20));
      using talk = await Talk.connect(sluice.port(1));
      await talk.send("before");
      strictEqual(await talk.next(), "before");
      await sluice.upgrade();
      strictEqual((await kept.readToEnd()).ending, "fin", "it had nothing under way");
      const last = await busy.ask(GET.slice(20));
      strictEqual(statusOf(last.head), 200);
      deepStrictEqual(valuesOf(last.head, "connection"), ["close"]);
      strictEqual((await busy.readToEnd()).ending, "fin");
      for (const { peer } of [kept, busy]) peer.end();
      await talk.send("still");
      strictEqual(await talk.next(), "still");
      ok(lives(old));
      await talk.close(1000, "");
      await ended(old);
      using fresh = await HttpPeer.connect(sluice.port(0));
      strictEqual(statusOf((await fresh.ask(GET)).head), 200);
      deepStrictEqual(valuesOf((await fresh.ask(GET)).head, "connection"), []);
    });
  });

  it("who waits in a queue, or is about to ask, is served: connect, request, close while upgrades pass", async () => {
    await using origin = await HttpOrigin.listen(() => answered("hello"));
    const deadlineMs = 60_000 + 20 * REQUESTS;
    await withConfig(web(origin.address), async (sluice) => {
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
        for (let nth = 0; nth < 40; nth++) clients.push(await Datagrams.open());
        for (const client of clients) strictEqual(await client.ask("before", port), "before");
        const before = (await server.it.take(40)).map(({ from }) => from.port);
        const answer = await sluice.upgrade();
        deepStrictEqual([answer.why, answer.sessions, answer.sessions_lost], [null, 40, 0]);
        strictEqual((await sluice.status()).totals.connections.now, 40);
        for (const client of clients) strictEqual(await client.ask("after", port), "after");
        deepStrictEqual((await server.it.take(40)).map(({ from }) => from.port), before);
        const records = await sluice.ended(40);
        strictEqual(records.length, 40);
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

  it("unix listeners, sets of sockets, and the admin API by its path stay where they are", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const path = folder.at("in.sock"), admin = folder.at("admin.sock");
    const words = [`unix:${path}?protocol=tcp=${server.address}`, `tcp://127.0.0.1:0=${server.address}`];
    await withSluice(
      ["--accept", "reuseport", "--admin", `unix:${admin}`, ...ALONE, ...words],
      async (sluice) => {
        const inode = statSync(path).ino, old = sluice.pid;
        using held = await Peer.connect({ path });
        strictEqual(await held.ask("before"), "before");
        strictEqual((await sluice.upgrade()).why, null);
        held.end();
        strictEqual(await held.ending(), "fin");
        await ended(old);
        strictEqual(statSync(path).ino, inode, "it was not bound anew");
        strictEqual(statSync(admin).mode & 0o777, 0o600);
        for (let nth = 0; nth < 20; nth++) {
          for (const where of [{ path }, sluice.port(1)]) {
            using fresh = await Peer.connect(where);
            strictEqual(await fresh.ask("new"), "new");
            fresh.end();
            strictEqual(await fresh.ending(), "fin");
          }
        }
        strictEqual((await sluice.status()).upgrades.count, 1);
      },
    );
    ok(!existsSync(path) && !existsSync(admin), "whoever ended last has removed them");
  });

  for (const version of ["-tls1_2", "-tls1_3"]) {
    it(`sessions of TLS are resumed (${version})`, async () => {
      using folder = new Folder();
      await using server = await Server.listen(echo);
      const { chain: cert, key } = certificates.leaf("site.example"), ticket = folder.at("ticket");
      const config = {
        listeners: { it: { bind: "tls://127.0.0.1:0", to: "app", tls: { certificates: [{ cert, key }] } } },
        upstreams: { app: { servers: [server.address], health: "off" } },
      };
      await withConfig(config, async (sluice) => {
        await sClient(sluice.port(), [version, "-sess_out", ticket], "hello\n", /^hello$/m);
        for (let nth = 0; nth < 2; nth++) {
          strictEqual((await sluice.upgrade()).why, null);
          match(await sClient(sluice.port(), [version, "-sess_in", ticket]), /^Reused, /m);
        }
      });
    });
  }

  it("a server that is down stays down, one that is drained drained", async () => {
    await using up = await Server.listen(echo), drained = await Server.listen(echo);
    const gone = await Server.listen(echo), { address } = gone;
    await gone[Symbol.asyncDispose]();
    const servers = [up.address, address, drained.address];
    const health = { interval: "1h", fall: 1 };
    const config = {
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers, health } },
    };
    await withConfig(config, async (sluice) => {
      const standing = async () => {
        const { upstreams: [{ servers }] } = await sluice.status();
        return servers.map(({ health }) => health);
      };
      await until("verdicts", async () => (await standing()).join() === "up,down,up" ? true : undefined);
      strictEqual((await sluice.upgrade()).why, null);
      deepStrictEqual(await standing(), ["up", "down", "up"]);
    });
  });

  it("nothing of the old process is open in the new one", async () => {
    await using server = await Server.listen(echo);
    using folder = new Folder();
    const words = ["--access-log", folder.at("access.log"), `tcp://127.0.0.1:0=${server.address}`];
    await withSluice([...ALONE, ...words], async (sluice) => {
      using held = await Peer.connect(sluice.port());
      strictEqual(await held.ask("held"), "held");
      const kinds = () => openFds(sluice.pid).map((name) => name.replace(/[0-9]+/g, "N")).sort();
      held.end();
      strictEqual(await held.ending(), "fin");
      await sluice.assertQuiet();
      const before = kinds();
      for (let nth = 0; nth < 3; nth++) strictEqual((await sluice.upgrade()).why, null);
      await sluice.assertQuiet();
      deepStrictEqual(kinds(), before);
    });
  });
});

describe("an upgrade that fails", () => {
  it("leaves everything as it was, and says why", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    using datagrams = await Datagrams.echo();
    const words = [`tcp://127.0.0.1:0=${server.address}`, `udp://127.0.0.1:0=${datagrams.address}`];
    await withSluice([...ALONE, "--udp-idle", "2s", ...words], async (sluice) => {
      const old = sluice.pid;
      using held = await Peer.connect(sluice.port(0)), client = await Datagrams.open();
      strictEqual(await client.ask("before", sluice.port(1)), "before");
      const write = (name: string, text: string, mode = 0o755) => {
        const path = folder.at(name);
        writeFileSync(path, text, { mode });
        return path;
      };
      const version = 'if [ "$1" = --version ]; then echo sluice 9.9.9; exit 0; fi\n';
      const cases: [path: string, why: RegExp][] = [
        [folder.at("nowhere"), /^there is no file /],
        [folder.path, / is no file$/],
        [write("unreadable", "", 0o644), / cannot be executed by this user \(EACCES\)/],
        [write("garbage", "\0\0\0\0garbage"), / is no Sluice: /],
        ["/bin/true", / is no Sluice: /],
        [write("exits", `#!/bin/sh\n${version}exit 7\n`), /^it ended with status 7$/],
        [write("killed", `#!/bin/sh\n${version}kill -9 $$\n`), /^it ended with signal 9$/],
      ];
      for (const [path, why] of cases) {
        const answer = await sluice.upgrade(path);
        strictEqual(answer.upgraded, false, path);
        match(answer.why!, why);
        strictEqual(await held.ask("still"), "still");
        strictEqual(await client.ask("still", sluice.port(1)), "still");
      }
      deepStrictEqual([(await sluice.status()).pid, sluice.log("upgrade").length > 0], [old, true]);
      strictEqual((await datagrams.take(cases.length + 1)).length, cases.length + 1);
      held.end();
      strictEqual(await held.ending(), "fin");
    });
  });
});
void [EXECUTABLE, run, Sluice, symlinkSync, unlinkSync];
