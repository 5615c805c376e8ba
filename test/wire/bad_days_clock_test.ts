// Bad days of the clock: the time of day leaps by hours, forth and back, while everything goes on. Times that are told
// leap with it. What lasts does not: no deadline comes early or late, nothing that happens again and again stops or
// happens in a rush. Certificates are judged by the new time; whoever is connected stays.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BlackHole } from "../support/black_hole.ts";
import { Certificates } from "../support/certificates.ts";
import { Clock } from "../support/clock.ts";
import { withConfig } from "../support/configured.ts";
import { withFiles } from "../support/etc_files.ts";
import { type AccessLine, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { NameServer } from "../support/name_server.ts";
import { knock, Peer } from "../support/peer.ts";
import { echo, Server, silent } from "../support/servers.ts";
import { TlsEnd } from "../support/tls_end.ts";
import { assertGaugesZero, GET, KINDS, Traffic, tryOnce, web } from "../support/traffic.ts";
import { until } from "../support/waiting.ts";

const clock = new Clock();
after(() => clock[Symbol.dispose]());
const { env } = clock;

/** Years away, so that every certificate is judged otherwise. */
const YEARS = 24 * 365 * 3;
const DEADLINES_MS = 1_200;

/** A time that was told now is by the clock. */
function assertNow(told: string): void {
  const offMs = new Date(told).getTime() - clock.nowMs;
  ok(offMs > -5_000 && offMs < 2_000, `${told}, ${offMs} ms off`);
}

describe("a clock that leaps", () => {
  it("times that are told leap with it; what lasted is told as it was", async () => {
    clock.hours = 0;
    const host = "127.0.5.2";
    let server = await Server.listen(web, { host, port: 0 });
    const config = {
      listeners: { it: { bind: "http://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers: [server.address], health: { tcp: true, interval: "100ms", fall: 1 } } },
    };
    await withConfig(config, async (sluice) => {
      const age = async () => (await sluice.status()).uptime_seconds;
      const untilTold = (since: number, verdict: "up" | "down") =>
        until(
          `"${verdict}" to be told`,
          () => sluice.log("health").slice(since).find((line) => line.verdict === verdict),
        );
      await untilTold(0, "up");
      for (const hours of [5, -3, 0]) {
        const said = sluice.log("health").length;
        await server.kill();
        const down = await untilTold(said, "down");
        const from = performance.now(), before = await age();
        clock.hours = hours;
        const records = sluice.records.length;
        using client = await HttpPeer.connect(sluice.port());
        const { head } = await client.ask(GET);
        assertNow(valuesOf(head, "date")[0]);
        const [record] = (await sluice.ended(records + 1)).slice(records);
        assertNow(record.time);
        ok(record.duration_ms! >= 0 && record.duration_ms! < 2_000, `${record.duration_ms} ms`);
        server = await Server.listen(web, { host, port: server.port });
        const up = await untilTold(said, "up");
        assertNow(up.time);
        ok(down.time !== up.time);
        const tookMs = performance.now() - from, downMs = Number(up.down_ms);
        ok(downMs > 0 && downMs < tookMs + 1_000, `down for ${downMs} ms, after ${tookMs}`);
        const grown = await age() - before;
        ok(grown >= 0 && grown < tookMs / 1_000 + 1, `${grown} s older`);
      }
      await server.kill();
      await assertGaugesZero(sluice);
    }, { env });
  });

  it("lines of the access log go on while it goes back and back", async () => {
    clock.hours = 0;
    await using server = await Server.listen(echo);
    const config = {
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers: [server.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      for (let count = 1; count <= 20; count++) {
        strictEqual(await tryOnce("tcp", sluice.port()), "served");
        assertNow((await sluice.ended(count))[count - 1].time);
        clock.hours = -count; // just when a line was written, and more are waited for
      }
    }, { env });
  });

  const skip = process.getuid?.() !== 0 && "needs root, for a name server of its own";
  it("deadlines, checks, names, logs and traffic go on in their time", { skip }, async () => {
    clock.hours = 0;
    using folder = new Folder();
    using names = await NameServer.open();
    using hole = await BlackHole.open();
    await using tcp = await Server.listen(echo, { host: "127.0.5.2", port: 0 });
    await using http = await Server.listen(web);
    await using mute = await Server.listen(silent);
    names.names.set("app.sluice.test", ["127.0.5.2"]);
    writeFileSync(folder.at("resolv.conf"), `nameserver ${names.address}\n`);
    const bind = (kind: string, to: string, timeouts: object = {}) => ({
      bind: `${kind}://127.0.0.1:0`,
      to,
      timeouts,
    });
    const health = { tcp: true, interval: "100ms", timeout: "1s" };
    const config = {
      reactors: 2,
      listeners: {
        tcp: bind("tcp", "tcp"),
        http: bind("http", "http"),
        idle: bind("tcp", "mute", { "tunnel-idle": `${DEADLINES_MS}ms` }),
        late: bind("http", "mute"),
        hole: bind("tcp", "hole"),
        head: bind("http", "http", { "request-head": `${DEADLINES_MS}ms` }),
      },
      upstreams: {
        tcp: { servers: [`app.sluice.test:${tcp.port}`], health },
        http: { servers: [http.address], health: "off" },
        mute: { servers: [mute.address], health: "off", timeouts: { answer: `${DEADLINES_MS}ms` } },
        hole: { servers: [hole.address], health: "off", timeouts: { connect: `${DEADLINES_MS}ms` } },
      },
    };
    await withConfig(config, async (sluice) => {
      const port = (name: string) => sluice.port(Object.keys(config.listeners).indexOf(name));
      const traffic = KINDS.map((kind) => new Traffic(kind, sluice, kind, port(kind), 4));
      using staying = await Peer.connect(port("tcp"));
      const recordOf = (listener: string, count: number): Promise<AccessLine> =>
        until(
          `record ${count} of ${listener}`,
          () => sluice.records.filter((record) => record.listener === listener)[count - 1],
        );
      /** Everything that has a deadline; each must end by it. */
      const deadlines = async (count: number): Promise<void> => {
        const idle = async () => {
          using client = await Peer.connect(port("idle"));
          await client.send("anybody there?");
          strictEqual(await client.ending(), "fin");
        };
        const late = async () => {
          using client = await HttpPeer.connect(port("late"));
          strictEqual(statusOf((await client.ask(GET)).head), 504);
        };
        const head = async () => {
          using client = await HttpPeer.connect(port("head"));
          await client.send("GET / HT");
          const from = performance.now();
          strictEqual(statusOf((await client.readAnswer()).head), 408);
          const took = performance.now() - from; // its record begins with the request, which never came
          ok(took >= DEADLINES_MS - 100 && took < DEADLINES_MS + 1_500, `408 after ${took} ms`);
        };
        const lost = async () => strictEqual(await knock(port("hole")), "reset");
        const ends = Promise.all([idle(), late(), head(), lost()]);
        await Promise.race([ends, sleep(DEADLINES_MS / 3)]);
        clock.hours = LEAPS[count - 1];
        await ends;
        const reasons = { idle: "tunnel_idle", late: "answer_timeout", hole: "connection_timeout" };
        for (const [listener, reason] of Object.entries(reasons)) {
          const record = await recordOf(listener, count);
          strictEqual(record.reason, reason);
          const took = record.duration_ms!;
          ok(took >= DEADLINES_MS - 20 && took < DEADLINES_MS + 1_500, `${reason} after ${took} ms`);
          assertNow(record.time);
        }
      };
      const LEAPS = [26, -3, 0];
      for (let count = 1; count <= LEAPS.length; count++) {
        const from = performance.now(),
          checks = tcp.connections - traffic[0].total,
          questions = names.questions;
        const served = traffic.map(({ total }) => total);
        await deadlines(count);
        // A check each 90 to 110 ms, but for those of traffic that are just open (4 at most); A and AAAA each second.
        const checked = () => tcp.connections - traffic[0].total - checks;
        const asked = () => names.questions - questions;
        await until("checks and questions to go on", () => checked() > 4 && asked() >= 2);
        const tookMs = performance.now() - from;
        ok(checked() < tookMs / 85 + 8, `${checked()} checks in ${tookMs} ms`);
        ok(asked() < tookMs / 450 + 4, `${asked()} questions in ${tookMs} ms`);
        traffic.forEach(({ total }, at) =>
          ok(total > served[at] + 2, `only ${total - served[at]} came through`)
        );
        strictEqual(await staying.ask("still here?"), "still here?");
      }
      staying.end();
      await staying.ending();
      await recordOf("tcp", traffic[0].total + 1);
      await traffic[1].stop({});
      for (const { reason, duration_ms: ms, listener } of sluice.records) {
        ok(ms! >= 0 && ms! < 20_000, `${listener}: ${reason} after ${ms} ms`);
      }
      await traffic[0].stop({}, [staying.address]);
      strictEqual(sluice.log("health").filter(({ verdict }) => verdict === "down").length, 0);
      clock.hours = -6; // the end comes in its time, too
      await http.kill();
      await sluice.assertQuiet();
      await assertGaugesZero(sluice);
    }, { env, ...withFiles({ "resolv.conf": folder.at("resolv.conf") }) });
  });

  it("a drain lasts as long as it may", async () => {
    clock.hours = 0;
    await using server = await Server.listen(echo);
    for (const hours of [4, -4]) {
      const words = ["--reactors", "1", "--drain-timeout", "700ms", `tcp://127.0.0.1:0=${server.address}`];
      using sluice = await Sluice.start(words, { env });
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ask("hello"), "hello");
      const from = performance.now();
      sluice.signal("SIGTERM");
      await sluice.line("drain", /^stopped accepting/);
      clock.hours = hours;
      strictEqual(await sluice.exit(), 0);
      const tookMs = performance.now() - from;
      ok(tookMs > 650 && tookMs < 5_000, `stopped after ${tookMs} ms`);
      strictEqual((await sluice.ended(1))[0].reason, "drained");
    }
  });

  it("certificates are judged by it, and whoever is connected stays", async () => {
    clock.hours = 0;
    using world = new Certificates();
    const site = world.leaf("site.example"), shown = ["--cert", site.chain, "--key", site.key];
    await using server = await Server.listen(echo);
    using back = await TlsEnd.server(server.port, ...shown);
    const tls = { certificates: [{ cert: site.chain, key: site.key }] };
    const config = {
      listeners: { it: { bind: "tls://127.0.0.1:0", to: "app", tls } },
      upstreams: {
        app: {
          servers: [`tls://${back.address}`],
          health: "off",
          tls: { ca: world.root.cert, "server-name": "site.example" },
        },
      },
    };
    await withConfig(config, async (sluice) => {
      using end = await TlsEnd.client(sluice.port(), "--resume");
      using staying = await Peer.connect(end.port);
      let count = 0;
      for (const hours of [0, 5, YEARS, 0, -YEARS, 0]) {
        clock.hours = hours;
        strictEqual(await staying.ask("still here?"), "still here?");
        const valid = Math.abs(hours) < YEARS;
        strictEqual(await tryOnce("tcp", end.port), valid ? "served" : "reset");
        const record = (await sluice.ended(++count))[count - 1];
        strictEqual(record.reason, valid ? "finished" : "server_certificate_expired");
        assertNow(record.time);
      }
      staying.end();
      strictEqual(await staying.ending(), "fin");
      deepStrictEqual((await sluice.ended(count + 1))[count].reason, "finished");
    }, { env });
  });
});
