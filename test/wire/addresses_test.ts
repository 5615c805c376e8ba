// Every kind of address at either end: IPv4, IPv6, both on one socket, host names, unix sockets.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { run, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { knock, Peer, type Where } from "../support/peer.ts";
import { echo, freePort, Server } from "../support/servers.ts";

const ALONE = ["--reactors", "1", "--health", "off"];

/** One round trip, then the connection's end. */
async function roundTrip(where: Where, from?: string): Promise<string> {
  using client = await Peer.connect(where, from);
  strictEqual(await client.ask("there and back"), "there and back");
  const { address } = client;
  client.end();
  strictEqual(await client.ending(), "fin");
  return address;
}

describe("addresses", () => {
  it("IPv4 to IPv4: the record names client and server", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const client = await roundTrip({ host: "127.0.0.1", port: sluice.port() }, "127.0.0.9");
      const [record] = await sluice.ended(1);
      match(client, /^127\.0\.0\.9:/);
      strictEqual(record.client, client);
      strictEqual(record.server, server.address);
    });
  });

  it("IPv6 to IPv6", async () => {
    await using server = await Server.listen(echo, { host: "::1", port: 0 });
    await withSluice([...ALONE, `tcp://[::1]:0=${server.address}`], async (sluice) => {
      const client = await roundTrip({ host: "::1", port: sluice.port() });
      const [record] = await sluice.ended(1);
      strictEqual(record.client, client);
      match(server.address, /^\[::1\]:[0-9]+$/);
      strictEqual(record.server, server.address);
    });
  });

  it("one socket for both: an IPv4 client is logged as IPv4", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://:0=${server.address}`], async (sluice) => {
      match(sluice.binds[0], /^\[::\]:[0-9]+$/);
      const four = await roundTrip({ host: "127.0.0.1", port: sluice.port() });
      strictEqual((await sluice.ended(1))[0].client, four);
      const six = await roundTrip({ host: "::1", port: sluice.port() });
      strictEqual((await sluice.ended(2))[1].client, six);
      match(six, /^\[::1\]:/);
    });
  });

  it("a host name as target: the server is its address, the target stays the name", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=localhost:${server.port}`], async (sluice) => {
      await roundTrip(sluice.port());
      strictEqual((await sluice.ended(1))[0].server, server.address);
      const known = (await sluice.status()).upstreams[0].servers.find(({ address }) =>
        address === server.address
      );
      strictEqual(known?.target, `localhost:${server.port}`);
    });
  });

  it("a name that does not resolve is a warning; the other servers serve", async () => {
    await using server = await Server.listen(echo);
    const targets = `no-such-host.invalid:80,${server.address}`;
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${targets}`], async (sluice) => {
      const line = await sluice.line("discovery", /cannot resolve no-such-host\.invalid/);
      strictEqual(line.level, "warn");
      const [name, ...others] = (await sluice.status()).upstreams[0].names;
      deepStrictEqual([name.name, name.resolves, name.addresses, name.last_answer, others], [
        "no-such-host.invalid",
        false,
        [],
        null,
        [],
      ]);
      strictEqual(name.last_failure?.why, line.why);
      const metrics = await sluice.metrics();
      strictEqual(metrics.get('sluice_discovery_up{name="no-such-host.invalid"}'), 0);
      ok(metrics.get('sluice_discovery_failures_total{name="no-such-host.invalid"}')! >= 1);
      await roundTrip(sluice.port());
      await roundTrip(sluice.port());
      strictEqual((await sluice.ended(2))[1].server, server.address);
    });
  });

  it("only names that do not resolve: it starts, and refuses with a reason", async () => {
    await withSluice([...ALONE, "tcp://127.0.0.1:0=no-such-host.invalid:80"], async (sluice) => {
      await sluice.line("discovery", /cannot resolve/);
      strictEqual(await knock(sluice.port()), "reset");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "no_server");
      strictEqual(record.server, null);
      strictEqual((await sluice.get("/readyz")).status, 503);
    });
  });
});

describe("unix sockets", () => {
  it("at both ends; the listener's file goes with Sluice", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo, { path: folder.at("server.sock") });
    const path = folder.at("listen.sock");
    await withSluice([...ALONE, `unix:${path}=${server.address}`], async (sluice) => {
      ok(statSync(path).isSocket());
      strictEqual(sluice.binds[0], `unix:${path}`);
      await roundTrip({ path });
      strictEqual((await sluice.ended(1))[0].server, server.address);
    });
    ok(!existsSync(path));
  });

  it("with ?protocol=tcp, to a TCP server", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const path = folder.at("listen.sock");
    await withSluice([...ALONE, `unix:${path}?protocol=tcp=${server.address}`], async () => {
      await roundTrip({ path });
    });
  });

  it("a TCP listener to a unix server that is missing: refused, with the errno", async () => {
    using folder = new Folder();
    await withSluice([...ALONE, `tcp://127.0.0.1:0=unix:${folder.at("nobody.sock")}`], async (sluice) => {
      strictEqual(await knock(sluice.port()), "reset");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "connection_refused");
      strictEqual(record.errno, "ENOENT");
    });
  });

  it("a file that a killed process left is replaced", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const path = folder.at("listen.sock");
    const words = [...ALONE, `unix:${path}=${server.address}`];
    using killed = await Sluice.start(words);
    process.kill(killed.pid, "SIGKILL");
    strictEqual(await killed.exit(), "SIGKILL");
    ok(statSync(path).isSocket());
    await withSluice(words, async () => {
      await roundTrip({ path });
    });
    ok(!existsSync(path));
  });

  it("a socket that somebody listens on is left alone", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    await using _live = await Server.listen(echo, { path: folder.at("live.sock") });
    const words = [`unix:${folder.at("live.sock")}=${server.address}`, "--admin", "off"];
    const { status, stdout, stderr } = await run(words);
    strictEqual(status, 1);
    strictEqual(stdout, "");
    match(stderr, /live\.sock.*already in use.*ss -lxp.*another path/);
    using client = await Peer.connect({ path: folder.at("live.sock") });
    strictEqual(await client.ask("still here"), "still here");
  });

  it("a file that is no socket is left alone", async () => {
    using folder = new Folder();
    const path = folder.at("notes.txt");
    writeFileSync(path, "mine");
    const { status, stderr } = await run([`unix:${path}=127.0.0.1:${await freePort()}`, "--admin", "off"]);
    strictEqual(status, 1);
    match(stderr, /notes\.txt/);
    strictEqual(stderr.trimEnd().split("\n").length, 1);
    ok(statSync(path).isFile());
  });
});
