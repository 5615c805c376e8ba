// Bad days of the ways to the servers: one takes connections and never answers, one does not even take them, and
// routers tell that nobody can be reached, all at once. Every connection ends in its time and with its reason.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { BlackHole } from "../support/black_hole.ts";
import { withConfig } from "../support/configured.ts";
import { type AccessLine, command, type Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import { NOWHERE, Nowhere, openNowhere } from "../support/nowhere.ts";
import { Peer } from "../support/peer.ts";
import { Server, silent } from "../support/servers.ts";
import { sendStream } from "../support/stream.ts";
import { assertGaugesZero, GET, KINDS, SERVES, tryOnce } from "../support/traffic.ts";
import { until } from "../support/waiting.ts";

/** More than the buffers on the way hold. */
const MUCH = 64 << 20;

/** Each of many at the same time. */
const all = <T>(count: number, one: (number: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, number) => one(number)));

/** How many records have this in common, by what is asked of them. */
function tally(records: readonly AccessLine[], key: (record: AccessLine) => string): Record<string, number> {
  const groups = Map.groupBy(records, key);
  return Object.fromEntries([...groups].map(([name, { length }]) => [name, length] as const).sort());
}

const byReason = (records: readonly AccessLine[]) => tally(records, ({ reason }) => reason);

/** It fired in its time: not before, and not much later on a busy machine. */
function assertTook(records: readonly AccessLine[], ms: number): void {
  for (const { duration_ms: took, reason } of records) {
    ok(took! >= ms - 20 && took! < ms + 3_000, `${reason} after ${took} ms, not ${ms}`);
  }
}

async function assertNothingLeft(sluice: Sluice): Promise<void> {
  await sluice.assertQuiet();
  await assertGaugesZero(sluice);
}

describe("a server that takes connections and never answers", () => {
  it("tcp: who loses patience leaves, who has it ends by tunnel-idle; the server hears of both", async () => {
    await using server = await Server.listen();
    const config = {
      reactors: 2,
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app", timeouts: { "tunnel-idle": "1s" } } },
      upstreams: { app: { servers: [server.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      const heard = all(40, async () => {
        using accepted = await server.accept();
        await accepted.readText(5);
        return await accepted.ending();
      });
      const endings = await all(40, async (number) => {
        using client = await Peer.connect(sluice.port());
        await client.send("hello");
        if (number % 2 === 1) return await client.ending();
        await sluice.until("it to be there", ({ totals }) => totals.connections.total >= 40);
        client.reset();
        return "left";
      });
      deepStrictEqual(endings, endings.map((_, number) => number % 2 === 1 ? "fin" : "left"));
      const records = await sluice.ended(40);
      deepStrictEqual(byReason(records), { client_reset: 20, tunnel_idle: 20 });
      assertTook(records.filter(({ reason }) => reason === "tunnel_idle"), 1_000);
      deepStrictEqual((await heard).sort(), [...Array(20).fill("fin"), ...Array(20).fill("reset")]);
      await assertNothingLeft(sluice);
    });
  });

  it("http: who loses patience leaves, the others hear 504 when the answer is due", async () => {
    await using server = await Server.listen(silent);
    const config = {
      reactors: 2,
      listeners: { it: { bind: "http://127.0.0.1:0", to: "app" } },
      upstreams: {
        app: { servers: [server.address], health: "off", timeouts: { answer: "1s", "write-stall": "1s" } },
      },
    };
    await withConfig(config, async (sluice) => {
      const statuses = await all(40, async (number) => {
        using client = await HttpPeer.connect(sluice.port());
        await client.send(GET);
        if (number % 2 === 1) return statusOf((await client.readAnswer()).head);
        await sluice.until("it to be there", ({ totals }) => totals.connections.total >= 40);
        client.end();
        return 0;
      });
      deepStrictEqual(statuses, statuses.map((_, number) => number % 2 === 1 ? 504 : 0));
      const records = await sluice.ended(40);
      deepStrictEqual(byReason(records), { answer_timeout: 20, client_gone: 20 });
      assertTook(records.filter(({ reason }) => reason === "answer_timeout"), 1_000);
      await assertNothingLeft(sluice);
    });
  });

  it("tcp: it does not even read, and much is on the way: the end comes all the same", async () => {
    await using server = await Server.listen(silent);
    const config = {
      reactors: 2,
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app", timeouts: { "tunnel-idle": "1s" } } },
      upstreams: { app: { servers: [server.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      await all(8, async () => {
        using client = await Peer.connect(sluice.port());
        const sent = sendStream(client, MUCH).then(() => "sent", () => "broken");
        strictEqual(await client.ending(), "reset");
        strictEqual(await sent, "broken");
      });
      const records = await sluice.ended(8);
      deepStrictEqual(byReason(records), { tunnel_idle: 8 });
      for (const { up_bytes: bytes } of records) ok(bytes > 0 && bytes < MUCH);
      await assertNothingLeft(sluice);
    });
  });

  it("http: it does not even read: 504, and not the client's fault", async () => {
    await using server = await Server.listen(silent);
    const timeouts = { "body-stall": "1s" };
    const config = {
      reactors: 2,
      listeners: { it: { bind: "http://127.0.0.1:0", to: "app", timeouts } },
      upstreams: {
        app: { servers: [server.address], health: "off", timeouts: { answer: "1s", "write-stall": "1s" } },
      },
    };
    await withConfig(config, async (sluice) => {
      await all(8, async () => {
        using client = await HttpPeer.connect(sluice.port());
        await client.send(`POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: ${MUCH}\r\n\r\n`);
        const sent = sendStream(client.peer, MUCH).catch(() => {});
        strictEqual(statusOf((await client.readAnswer()).head), 504);
        client.reset();
        await sent;
      });
      const records = await sluice.ended(8);
      deepStrictEqual(byReason(records), { answer_timeout: 8 });
      await assertNothingLeft(sluice);
    });
  });

  for (const kind of KINDS) {
    it(`${kind}: a check that expects an answer takes it out, and nobody meets it any more`, async () => {
      await using mute = await Server.listen(silent);
      await using server = await Server.listen(SERVES[kind]);
      const check = kind === "http" ? { http: "GET /up" } : { send: "PING\n", expect: "PING" };
      const health = { ...check, interval: "200ms", timeout: "100ms", fall: 2 };
      const config = {
        listeners: {
          it: { bind: `${kind}://127.0.0.1:0`, to: "app" },
          mute: { bind: `${kind}://127.0.0.1:0`, to: "mute" },
        },
        upstreams: {
          app: { servers: [mute.address, server.address], health },
          mute: { servers: [mute.address], health },
        },
      };
      await withConfig(config, async (sluice) => {
        const line = await sluice.line("health", / is down: no_answer /);
        strictEqual(line.server, mute.address);
        const known = mute.connections;
        deepStrictEqual(await all(20, () => tryOnce(kind, sluice.port(0))), Array(20).fill("served"));
        strictEqual(await tryOnce(kind, sluice.port(1)), kind === "tcp" ? "reset" : "503");
        await sluice.ended(21);
        for (const { listener, reason, tried } of sluice.records) {
          strictEqual(`${reason} ${tried}`, listener === "it" ? "finished 1" : "no_server 0");
        }
        ok(mute.connections - known < 20, "only checks go there");
        await server.kill();
        await assertNothingLeft(sluice);
      });
    });
  }
});

describe("a server that does not take connections: no word comes back", () => {
  for (const kind of KINDS) {
    it(`${kind}: connect timeouts of many, then the next server; or the end, if there is none`, async () => {
      using hole = await BlackHole.open();
      await using server = await Server.listen(SERVES[kind]);
      const upstream = { health: "off", timeouts: { connect: "500ms" } };
      const config = {
        reactors: 2,
        listeners: {
          it: { bind: `${kind}://127.0.0.1:0`, to: "app" },
          hole: { bind: `${kind}://127.0.0.1:0`, to: "hole" },
        },
        upstreams: {
          app: { servers: [hole.address, server.address], ...upstream },
          hole: { servers: [hole.address], ...upstream },
        },
      };
      await withConfig(config, async (sluice) => {
        const [served, lost] = await Promise.all([
          all(60, () => tryOnce(kind, sluice.port(0))),
          all(60, () => tryOnce(kind, sluice.port(1))),
        ]);
        deepStrictEqual(served, Array(60).fill("served"));
        deepStrictEqual(lost, Array(60).fill(kind === "tcp" ? "reset" : "504"));
        const records = await sluice.ended(120);
        const told = tally(
          records,
          ({ listener, reason, tried, errno }) => `${listener} ${reason} ${tried} ${errno}`,
        );
        deepStrictEqual(told, {
          "hole connection_timeout 1 ETIMEDOUT": 60,
          "it finished 1 null": 30,
          "it finished 2 null": 30,
        });
        assertTook(records.filter(({ reason }) => reason === "connection_timeout"), 500);
        assertTook(records.filter(({ listener, tried }) => listener === "it" && tried === 2), 500);
        strictEqual((await sluice.metrics()).get("sluice_redispatches_total"), 30);
        await server.kill();
        await assertNothingLeft(sluice);
      });
    });
  }
});

const nowhere = openNowhere();
after(() => nowhere instanceof Nowhere && nowhere[Symbol.dispose]());

describe("routers that say nobody can be reached", { skip: typeof nowhere === "string" && nowhere }, () => {
  /** What is recorded of those that nobody serves, by server. */
  const WHY: Readonly<Record<keyof typeof NOWHERE, string>> = {
    networkUnreachable: "unroutable ENETUNREACH",
    hostUnreachable: "unroutable EHOSTUNREACH",
    portUnreachable: "connection_refused ECONNREFUSED",
    prohibited: "unroutable EHOSTUNREACH",
    silent: "connection_timeout ETIMEDOUT",
    noHost: "unroutable EHOSTUNREACH",
    forbidden: "unroutable EACCES",
    swallowed: "unroutable EINVAL",
    noNetwork: "unroutable ENETUNREACH",
  };
  const names = Object.keys(NOWHERE) as (keyof typeof NOWHERE)[];

  for (const kind of KINDS) {
    it(`${kind}: a storm of connects, each with its reason, beside those who reach a server`, async () => {
      if (!(nowhere instanceof Nowhere)) return;
      using folder = new Folder();
      await nowhere.start();
      await using server = await Server.listen(SERVES[kind], { path: folder.at("server.sock") });
      const at = (name: string) => ({ path: folder.at(`${name}.sock`) });
      const listen = (name: string) => [name, { bind: `unix:${at(name).path}?protocol=${kind}`, to: name }];
      const upstream = { health: "off", timeouts: { connect: "500ms" } };
      const lost = names.map((name) => [name, { ...upstream, servers: [NOWHERE[name]] }]);
      const told = Object.values(NOWHERE).filter((address) => address !== NOWHERE.silent);
      const config = {
        reactors: 2,
        listeners: Object.fromEntries([...names, "found"].map(listen)),
        upstreams: {
          ...Object.fromEntries(lost),
          found: { ...upstream, servers: [...told, server.address] },
        },
      };
      const EACH = 30;
      const running = {
        command: [...nowhere.inside, ...command("executable")],
        words: ["--admin", `unix:${folder.at("admin.sock")}`],
      };
      await withConfig(config, async (sluice) => {
        const outcomes = await Promise.all([
          ...names.map((name) => all(EACH, () => tryOnce(kind, at(name)))),
          all(EACH, () => tryOnce(kind, at("found"))),
        ]);
        names.forEach((name, number) => {
          const status = kind === "tcp" ? "reset" : name === "silent" ? "504" : "502";
          deepStrictEqual(outcomes[number], Array(EACH).fill(status), name);
        });
        deepStrictEqual(outcomes[names.length], Array(EACH).fill("served"));
        const records = await sluice.ended(EACH * (names.length + 1));
        const lost = records.filter(({ listener }) => listener !== "found");
        deepStrictEqual(
          tally(lost, ({ listener, reason, errno, server }) => `${listener} ${reason} ${errno} ${server}`),
          Object.fromEntries(
            names.map((name) => [`${name} ${WHY[name]} ${NOWHERE[name]}`, EACH] as const).sort(),
          ),
        );
        assertTook(records.filter(({ listener }) => listener === "silent"), 500);
        for (const { listener, duration_ms: ms } of records) {
          ok(listener === "silent" || ms! < 5_000, `${listener}: ${ms} ms`);
        }
        const found = records.filter(({ listener }) => listener === "found");
        strictEqual(
          found.every(({ server: to, reason }) => to === server.address && reason === "finished"),
          true,
        );
        const failed = (await sluice.status()).upstreams.find(({ name }) => name === "found")!.servers;
        const tries = found.reduce((sum, { tried }) => sum + tried, 0);
        strictEqual(failed.reduce((sum, { connections }) => sum + connections.failed, 0), tries - EACH);
        await server.kill();
        await assertNothingLeft(sluice);
      }, running);
    });
  }

  it("checks find it out, by reason, and nobody tries them any more", async () => {
    if (!(nowhere instanceof Nowhere)) return;
    using folder = new Folder();
    await nowhere.start();
    await using server = await Server.listen(SERVES.tcp, { path: folder.at("server.sock") });
    const path = folder.at("it.sock"), gone = Object.values(NOWHERE);
    const health = { tcp: true, interval: "200ms", timeout: "150ms", fall: 2 };
    const config = {
      listeners: { it: { bind: `unix:${path}?protocol=tcp`, to: "app" } },
      upstreams: { app: { servers: [...gone, server.address], health } },
    };
    await withConfig(config, async (sluice) => {
      for (const name of names) {
        const line = await until(
          `${name} to be down`,
          () => sluice.log("health").find((line) => line.server === NOWHERE[name] && line.verdict === "down"),
        );
        strictEqual(`${line.reason} ${line.errno}`, WHY[name]);
      }
      deepStrictEqual(await all(20, () => tryOnce("tcp", { path })), Array(20).fill("served"));
      for (const { tried } of await sluice.ended(20)) strictEqual(tried, 1);
      await server.kill();
      await assertNothingLeft(sluice);
    }, {
      command: [...nowhere.inside, ...command("executable")],
      words: ["--admin", `unix:${folder.at("admin.sock")}`],
    });
  });
});
