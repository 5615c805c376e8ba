// `sluice upgrade`: the process that runs goes on in a new one. Nothing is cut: what is open goes on in the old one until
// it ends, what is new is the new one's, and what both must know goes along.
import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { AS_NOBODY, command, EXECUTABLE, run, Sluice, withSluice } from "../support/executable.ts";
import { Datagrams } from "../support/datagrams.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { Notified } from "../support/notified.ts";
import { Peer } from "../support/peer.ts";
import { sClient } from "../support/s_client.ts";
import { echo, Server } from "../support/servers.ts";
import { openFds } from "../support/status.ts";
import { until } from "../support/waiting.ts";
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
const skip = process.getuid?.() === 0 ? false : "takes root";
const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());

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

  it("a server that is down stays down, one that is drained drained, a weight what it was set to", async () => {
    await using one = await Server.listen(echo), two = await Server.listen(echo);
    const gone = await Server.listen(echo), { address } = gone;
    await gone[Symbol.asyncDispose]();
    const config = {
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app" } },
      upstreams: {
        app: { servers: [one.address, address, two.address], health: { interval: "1h", fall: 1 } },
      },
    };
    await withConfig(config, async (sluice) => {
      const standing = async () => {
        const { upstreams: [{ servers }] } = await sluice.status();
        return servers.map(({ health, drained, weight }) => `${health} ${drained} ${weight}`);
      };
      for (const words of [["drain", two.address], ["weight", one.address, "7"]]) {
        strictEqual((await run([...words, "--admin", sluice.admin])).status, 0);
      }
      const wanted = ["up false 7", "down false 1", "up true 1"];
      await until("verdicts", async () => (await standing()).join() === wanted.join() ? true : undefined);
      for (let nth = 0; nth < 2; nth++) {
        strictEqual((await sluice.upgrade()).why, null);
        deepStrictEqual(await standing(), wanted);
      }
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ask("hello"), "hello");
      client.end();
      strictEqual(await client.ending(), "fin");
    });
  });

  it("sessions and sets of sockets are kept whole, whatever the number of reactors becomes", async () => {
    using folder = new Folder(), server = await Datagrams.echo();
    const config = folder.at("sluice.yaml");
    const write = (reactors: number) =>
      writeFileSync(
        config,
        JSON.stringify({
          reactors,
          accept: "reuseport",
          listeners: {
            datagrams: { bind: "udp://127.0.0.1:0", to: "app", udp: { idle: "2s" } },
            others: { bind: "udp://127.0.0.1:0", to: "app", udp: { idle: "2s" } },
            streams: { bind: "tcp://127.0.0.1:0", to: "none" },
          },
          upstreams: {
            app: { servers: [server.address], health: "off" },
            none: { servers: ["127.0.0.1:1"], health: "off" },
          },
        }),
      );
    write(3);
    using sluice = await Sluice.start([], { command: [EXECUTABLE, "run", "-c", config] });
    const clients: Datagrams[] = [];
    try {
      for (let nth = 0; nth < 24; nth++) clients.push(await Datagrams.open());
      const ports = [sluice.port(0), sluice.port(1)], froms = new Map<number, number>();
      for (const reactors of [3, 1, 4, 2]) {
        write(reactors);
        const { why, sessions } = await sluice.upgrade();
        deepStrictEqual([why, sessions], [null, froms.size]);
        for (const [nth, client] of clients.entries()) {
          strictEqual(await client.ask(`${nth}`, ports[nth % 2]), `${nth}`);
        }
        for (const { bytes, from } of await server.take(clients.length)) {
          const nth = Number(bytes.toString());
          strictEqual(froms.get(nth) ?? from.port, from.port, `client ${nth} after ${reactors} reactors`);
          froms.set(nth, from.port);
        }
      }
    } finally {
      for (const client of clients) client[Symbol.dispose]();
    }
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
  });

  it("by default to what is there now under the path that it was started by", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const link = folder.at("sluice"), next = folder.at("next");
    symlinkSync(EXECUTABLE, link);
    const admin = ["--admin", `unix:${folder.at("admin.sock")}`];
    const config = [...ALONE, ...admin, `tcp://127.0.0.1:0=${server.address}`];
    await withSluice(config, async (sluice) => {
      copyFileSync(EXECUTABLE, next);
      renameSync(next, link);
      strictEqual((await sluice.upgrade()).why, null);
      strictEqual(readlinkSync(`/proc/${sluice.pid}/exe`), link);
      strictEqual((await sluice.upgrade(EXECUTABLE)).why, null);
      strictEqual(readlinkSync(`/proc/${sluice.pid}/exe`), EXECUTABLE);
    }, { command: [link] });
  });

  it("a service manager is told who it is now, before that one says that it is ready", async () => {
    await using server = await Server.listen(echo);
    using manager = await Notified.listen();
    const env = { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: "30000000" };
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const old = sluice.pid;
      strictEqual((await manager.next(/^READY=1/)).pid, old);
      const { pid } = await sluice.upgrade();
      deepStrictEqual(await manager.next(/^MAINPID=/).then(({ pid, text }) => [pid, text]), [
        old,
        `MAINPID=${pid}`,
      ]);
      strictEqual((await manager.next(/^READY=1/)).pid, pid);
      strictEqual((await manager.next(/^WATCHDOG=1/)).pid, pid);
      await ended(old);
      ok(!manager.all.some(({ text }) => text.includes("STOPPING")), "the service goes on");
    }, { env });
  });

  it("by SIGUSR2, where nobody can be asked", async () => {
    await using server = await Server.listen(echo);
    using sluice = await Sluice.startWithoutAdmin([...ALONE, `tcp://127.0.0.1:0=${server.address}`]);
    const old = sluice.pid;
    sluice.signal("SIGUSR2");
    const { pid } = await sluice.line("upgrade", /has taken over/);
    await ended(old);
    using client = await Peer.connect(sluice.port());
    strictEqual(await client.ask("hello"), "hello");
    process.kill(Number(pid), "SIGTERM");
    strictEqual(await client.ask("still"), "still");
    client.end();
    strictEqual(await sluice.exit(), 0);
  });

  for (const launcher of ["bun", "deno"] as const) {
    it(`of the sources, on ${launcher}`, async () => {
      await using server = await Server.listen(echo);
      await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        strictEqual((await sluice.upgrade()).why, null);
        using client = await Peer.connect(sluice.port());
        strictEqual(await client.ask("hello"), "hello");
        client.end();
        strictEqual(await client.ending(), "fin");
      }, { command: command(launcher) });
    });
  }

  it(
    "as a user without any privilege",
    { skip },
    async () => {
      await using server = await Server.listen(echo);
      await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        strictEqual((await sluice.upgrade()).why, null);
        using client = await Peer.connect(sluice.port());
        strictEqual(await client.ask("hello"), "hello");
        client.end();
        strictEqual(await client.ending(), "fin");
      }, { command: [...AS_NOBODY, EXECUTABLE] });
    },
  );

  it("as whom user: made it: on a port of root's, and with another one", { skip }, async () => {
    await using server = await Server.listen(echo);
    using folder = new Folder();
    chmodSync(folder.path, 0o755);
    const config = folder.at("sluice.yaml"), ip = "127.77.0.1"; // others may have the ports on 127.0.0.1
    const write = (...ports: number[]) =>
      writeFileSync(
        config,
        JSON.stringify({
          reactors: 2,
          user: "nobody",
          listeners: Object.fromEntries(
            ports.map((port) => [`p${port}`, { bind: `tcp://${ip}:${port}`, to: "app" }]),
          ),
          upstreams: { app: { servers: [server.address], health: "off" } },
        }),
      );
    write(801);
    using sluice = await Sluice.start([], { command: [EXECUTABLE, "run", "-c", config] });
    write(801, 802);
    strictEqual((await sluice.upgrade()).why, null);
    strictEqual(statSync(`/proc/${sluice.pid}/task`).uid, 65_534);
    for (const port of [801, 802]) {
      using client = await Peer.connect({ host: ip, port });
      strictEqual(await client.ask("hello"), "hello");
      client.end();
      strictEqual(await client.ending(), "fin");
    }
    strictEqual((await sluice.upgrade()).why, null, "and once more");
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
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
