// What a running Sluice shows of itself: records, metrics and status say exactly what happened on the wire.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { type AccessLine, command, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Peer } from "../support/peer.ts";
import { echo, freePort, Server } from "../support/servers.ts";
import { ask, parseMetrics } from "../support/status.ts";
import { until } from "../support/waiting.ts";

const ALONE = ["--reactors", "2", "--health", "off"];
const RFC_3339 = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/;

/** One connection that sends and receives `text`, and ends politely. */
async function roundTrip(port: number, text: string): Promise<string> {
  using client = await Peer.connect(port);
  strictEqual(await client.ask(text), text);
  client.end();
  strictEqual(await client.ending(), "fin");
  return client.address;
}

/** What an access log of text says of one connection, by name; the rest under `""`. */
function fieldsOf(line: string): Record<string, string> {
  const fields = [...line.matchAll(/ ([a-z]+)=("(?:[^"\\]|\\.)*"|[^ ]*)/g)].map((
    [, name, value],
  ) => [name, value]);
  return { "": line.slice(0, line.indexOf(" listener=")), ...Object.fromEntries(fields) };
}

describe("access records", () => {
  it("as JSON: every field, and nothing else", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const client = await roundTrip(sluice.port(), "twelve bytes");
      const [{ time, duration_ms, ...rest }] = await sluice.ended(1);
      match(time, RFC_3339);
      ok(duration_ms! >= 0 && duration_ms! < 5_000);
      const expected: Omit<AccessLine, "time" | "duration_ms"> = {
        client,
        listener: "tcp://127.0.0.1:0",
        upstream: "tcp://127.0.0.1:0",
        server: server.address,
        up_bytes: 12,
        down_bytes: 12,
        reason: "finished",
        type: null,
        errno: null,
        detail: null,
        tried: 1,
      };
      deepStrictEqual(rest, expected);
    });
  });

  it("as text, into a file, which is opened again at SIGUSR1", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const path = folder.at("access.log");
    const words = ["--access-log", path, "--log-format", "text", "--reactors", "1", "--health", "off"];
    await withSluice([...words, `unix:${folder.at("in.sock")}=${server.address}`], async (sluice) => {
      using client = await Peer.connect({ path: folder.at("in.sock") });
      strictEqual(await client.ask("hello"), "hello");
      client.end();
      await until("a record", () => readFileSync(path, "utf8").includes("\n"));
      const fields = fieldsOf(readFileSync(path, "utf8"));
      match(fields[""], new RegExp(`^[0-9T:.-]+Z unix:.* -> ${server.address}$`));
      strictEqual(fields.listener, `"unix:${folder.at("in.sock")}"`);
      strictEqual(fields.up, "5");
      strictEqual(fields.down, "5");
      strictEqual(fields.reason.trim(), "finished");
      strictEqual(fields.tried, "1");
      renameSync(path, `${path}.1`);
      sluice.signal("SIGUSR1");
      await until("a new file", () => existsSync(path));
      const before = readFileSync(`${path}.1`, "utf8");
      using other = await Peer.connect({ path: folder.at("in.sock") });
      strictEqual(await other.ask("again"), "again");
      other.end();
      await until("a record in the new file", () => readFileSync(path, "utf8").includes("\n"));
      strictEqual(readFileSync(`${path}.1`, "utf8"), before);
    });
  });

  it("on standard output, where nothing else is", async () => {
    await using server = await Server.listen(echo);
    await withSluice(
      [...ALONE, "--access-log", "stdout", `tcp://127.0.0.1:0=${server.address}`],
      async (sluice) => {
        const client = await roundTrip(sluice.port(), "hello");
        await until("a record", () => sluice.stdout.endsWith("\n"));
        const lines = sluice.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
        deepStrictEqual(lines.map((line) => line.client), [client]);
      },
    );
  });

  it("off: what went wrong is told in the log, as samples", async () => {
    const closed = `127.0.0.1:${await freePort()}`;
    await withSluice([...ALONE, "--access-log", "off", `tcp://127.0.0.1:0=${closed}`], async (sluice) => {
      const clients = await Promise.allSettled(Array.from({ length: 20 }, () => Peer.connect(sluice.port())));
      await sluice.until("all to have ended", ({ totals }) => totals.ended.connection_refused === 20);
      const line = await sluice.line("connection", /connection_refused/);
      strictEqual(line.level, "warn");
      strictEqual(line.server, closed);
      await sluice.line("connection", /^and 15 more within a second: connection_refused/);
      for (const client of clients) if (client.status === "fulfilled") client.value.reset();
    });
  });
});

describe("status and metrics", () => {
  it("equal what was sent, to the byte", async () => {
    await using one = await Server.listen(echo);
    await using two = await Server.listen(echo);
    const words = [`tcp://127.0.0.1:0=${one.address},${two.address}`, `tcp://127.0.0.1:0=${one.address}`];
    await withSluice([...ALONE, ...words], async (sluice) => {
      for (let turn = 1; turn <= 6; turn++) await roundTrip(sluice.port(0), "x".repeat(turn * 1_000));
      for (let turn = 1; turn <= 3; turn++) await roundTrip(sluice.port(1), "y".repeat(100_000));
      const status = await sluice.until("all to have ended", ({ totals }) => totals.ended.finished === 9);
      const [first, second] = status.listeners;
      deepStrictEqual(first.bytes, { up: 21_000, down: 21_000 });
      deepStrictEqual(first.connections, { now: 0, total: 6 });
      deepStrictEqual(second.bytes, { up: 300_000, down: 300_000 });
      deepStrictEqual(second.connections, { now: 0, total: 3 });
      deepStrictEqual(status.upstreams[0].servers.map(({ connections }) => connections.total), [3, 3]);
      strictEqual(status.upstreams[0].servers.reduce((sum, { bytes }) => sum + bytes.down, 0), 21_000);
      deepStrictEqual(status.totals.connections, { now: 0, max: status.totals.connections.max, total: 9 });
      strictEqual(status.totals.bytes.up, 321_000);
      strictEqual(status.totals.bytes.down, 321_000);
      strictEqual(status.pid, sluice.pid);
      strictEqual(status.runtime.name, "bun");
      const metrics = await sluice.metrics();
      const bind = `bind="${first.bind}"`;
      strictEqual(metrics.get(`sluice_listener_connections_total{listener="tcp://127.0.0.1:0",${bind}}`), 6);
      strictEqual(
        metrics.get(`sluice_listener_bytes_total{listener="tcp://127.0.0.1:0",${bind},direction="up"}`),
        21_000,
      );
      strictEqual(
        metrics.get(`sluice_listener_bytes_total{listener="tcp://127.0.0.1:0",${bind},direction="down"}`),
        21_000,
      );
      strictEqual(metrics.get('sluice_connections_ended_total{reason="finished",type=""}'), 9);
      strictEqual(
        metrics.get(`sluice_server_connects_total{upstream="tcp://127.0.0.1:0#2",server="${one.address}"}`),
        3,
      );
    });
  });

  it("gauges follow connections that are open", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const clients = await Promise.all(Array.from({ length: 6 }, () => Peer.connect(sluice.port())));
      for (const client of clients) strictEqual(await client.ask("hello"), "hello");
      const status = await sluice.status();
      strictEqual(status.totals.connections.now, 6);
      strictEqual(status.listeners[0].connections.now, 6);
      strictEqual(status.upstreams[0].servers[0].connections.now, 6);
      deepStrictEqual(status.reactors.map(({ role, connections, slots }) => [role, connections.now, slots]), [
        ["reactor", 3, 6],
        ["reactor", 3, 6],
        ["health", 0, 0],
      ]);
      const metrics = await sluice.metrics();
      strictEqual(metrics.get('sluice_reactor_slots{reactor="1",role="reactor"}'), 6);
      strictEqual(
        metrics.get('sluice_reactor_connections{reactor="2"}') ??
          metrics.get('sluice_reactor_connections{reactor="2",role="reactor"}'),
        3,
      );
      for (const client of clients) client.end();
      await sluice.ended(6);
    });
  });

  it("counters never go back, and a scrape reads whole", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const answer = await sluice.get("/metrics");
      match(String(answer.headers["content-type"]), /^text\/plain; version=0\.0\.4/);
      const before = parseMetrics(answer.body);
      await roundTrip(sluice.port(), "hello");
      await sluice.ended(1);
      const after = await sluice.metrics();
      deepStrictEqual([...before.keys()].filter((name) => !after.has(name)), []);
      for (const [name, value] of before) {
        if (/_total(\{|$)/.test(name)) ok(after.get(name)! >= value, name);
      }
    });
  });
});

describe("the admin API", () => {
  it("on a unix socket that only its owner may open, and that goes with Sluice", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const path = folder.at("admin.sock");
    await withSluice(
      [...ALONE, "--admin", `unix:${path}`, `tcp://127.0.0.1:0=${server.address}`],
      async (sluice) => {
        strictEqual(sluice.admin, `unix:${path}`);
        strictEqual(statSync(path).mode & 0o777, 0o600);
        strictEqual((await sluice.get("/healthz")).status, 200);
        strictEqual((await sluice.status()).phase, "ready");
        ok((await sluice.metrics()).size > 20);
      },
    );
    ok(!existsSync(path));
  });

  it("/healthz, /readyz, and what is not there", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      deepStrictEqual(await answer(sluice, "/healthz"), [200, "ok\n"]);
      deepStrictEqual(await answer(sluice, "/readyz"), [200, "ready\n"]);
      strictEqual((await sluice.get("/nowhere")).status, 404);
    });
  });

  it("/readyz looks at every upstream that a listener leads to, and asks for none of who answers itself", async () => {
    using folder = new Folder();
    await using one = await Server.listen(echo);
    await using two = await Server.listen(echo);
    const health = "{ interval: 100ms, timeout: 100ms, fall: 1, rise: 1 }";
    const closed = `127.0.0.1:${await freePort()}`;
    writeFileSync(
      folder.at("sluice.yaml"),
      `
listeners:
  none: { bind: "http://127.0.0.1:0", routes: [{ respond: {} }] }
  many: { bind: "http://127.0.0.1:0", routes: [{ match: { path: /two/ }, to: two }], to: one }
upstreams:
  one: { servers: ["${one.address}", "${closed}"], health: ${health} }
  two: { servers: "${two.address}", health: ${health} }
`,
    );
    const words = [...command("executable"), "run", "-c", folder.at("sluice.yaml")];
    using sluice = await Sluice.start(["--reactors", "1"], { command: words });
    const downs = async (count: number) =>
      await sluice.until(
        `${count} servers to be down`,
        ({ upstreams }) =>
          upstreams.flatMap(({ servers }) => servers).filter(({ health }) => health === "down").length ===
            count,
      );
    const status = await downs(1);
    deepStrictEqual(status.listeners.map(({ upstream }) => upstream), ["", "two, one"]);
    deepStrictEqual(await answer(sluice, "/readyz"), [200, "ready\n"]);
    await two.kill();
    await downs(2);
    deepStrictEqual(await answer(sluice, "/readyz"), [
      503,
      'listener "many": upstream "two" takes nothing: its only server is down\n',
    ]);
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
  });

  it("with a token", async () => {
    await using server = await Server.listen(echo);
    const words = [...ALONE, "--admin", "http://127.0.0.1:0", "--admin-token", "a-long-enough-token"];
    using sluice = await Sluice.startWithoutAdmin([...words, `tcp://127.0.0.1:0=${server.address}`]);
    const { message } = await sluice.line("admin", /^admin API on /);
    const admin = message.slice("admin API on ".length);
    strictEqual((await ask(admin, "/status")).status, 401);
    strictEqual((await ask(admin, "/status", { authorization: "Bearer a-long-enough-tokem" })).status, 401);
    strictEqual((await ask(admin, "/status", { authorization: "Bearer a-long-enough-token" })).status, 200);
    strictEqual((await ask(admin, "/healthz")).status, 200);
    ok(!sluice.stderr.includes("a-long-enough-token"));
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
  });

  it("refuses a page that came by DNS rebinding", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      strictEqual((await ask(sluice.admin, "/status", { host: "evil.example" })).status, 403);
    });
  });
});

async function answer(sluice: Sluice, path: string): Promise<[number, string]> {
  const { status, body } = await sluice.get(path);
  return [status, body];
}
