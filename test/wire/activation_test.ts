// Socket activation: what a service manager has opened is listened on as it is, for TCP, UDP and unix sockets; what it
// gives besides is told. Who waits in a queue between two starts is served.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { activating, Holder } from "../support/activated.ts";
import { type ConfiguredOptions, withConfig } from "../support/configured.ts";
import { Datagrams } from "../support/datagrams.ts";
import { run, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Notified } from "../support/notified.ts";
import { Peer } from "../support/peer.ts";
import { echo, freePort, Server } from "../support/servers.ts";

/** A Sluice with these sockets, whose listeners `binds` all lead to one server that sends everything back. */
async function withSockets(
  sockets: readonly string[],
  binds: readonly string[],
  test: (sluice: Sluice) => Promise<void> | void,
  more: { readonly config?: object } & ConfiguredOptions = {},
): Promise<void> {
  await using server = await Server.listen(echo);
  using datagrams = await Datagrams.echo();
  const listeners = Object.fromEntries(
    binds.map((bind, at) => [
      `l${at}`,
      bind.startsWith("udp:") ? { bind, to: "datagrams", udp: { idle: "1s" } } : { bind, to: "echo" },
    ]),
  );
  const upstreams = {
    echo: { servers: [server.address], health: "off" },
    datagrams: { servers: [datagrams.address], health: "off" },
  };
  const { config, ...options } = more;
  await withConfig({ listeners, upstreams, ...config }, async (sluice) => await test(sluice), {
    ...options,
    command: activating(sockets),
  });
}

/** inode numbers of the process's listening sockets of TCP, by port. */
function inodes(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return readFileSync("/proc/net/tcp", "utf8").split("\n").map((line) => line.trim().split(/\s+/))
    .filter(([, local = "", , state]) => local.endsWith(`:${hex}`) && state === "0A").map((row) => row[9]);
}

const warnings = (sluice: Sluice) =>
  sluice.log("sockets").filter(({ level }) => level === "warn").map(({ message }) => message);

describe("sockets that a service manager opened", () => {
  it("are listened on, each by the listener that is bound there", async () => {
    using folder = new Folder();
    const tcp = await freePort(), udp = await freePort(), path = folder.at("a.sock");
    const sockets = [`unix:${path}`, `udp:${udp}`, `tcp:${tcp}`];
    const binds = [`tcp://127.0.0.1:${tcp}`, `udp://127.0.0.1:${udp}`, `unix:${path}?protocol=tcp`];
    await withSockets(sockets, binds, async (sluice) => {
      deepStrictEqual(warnings(sluice), []);
      strictEqual(inodes(tcp).length, 1);
      for (const where of [tcp, { path }]) {
        using client = await Peer.connect(where);
        strictEqual(await client.ask("by the socket that was there"), "by the socket that was there");
      }
      using client = await Datagrams.open();
      strictEqual(await client.ask("datagram", udp), "datagram");
      strictEqual(
        readFileSync(`/proc/${sluice.pid}/fdinfo/5`, "utf8").match(/flags:\s*(\d+)/)![1],
        "02004002",
      );
    });
    strictEqual(existsSync(path), true); // it is the service manager's
  });

  it("that no listener wants are told, and closed", async () => {
    using folder = new Folder();
    const [port, other] = [await freePort(), await freePort()], path = folder.at("d.sock");
    const sockets = [
      "--names",
      "web:stray::odd",
      `tcp:${port}`,
      `tcp:${other}`,
      "idle:",
      `datagrams:${path}`,
    ];
    await withSockets([...sockets, "file:/dev/null"], [`tcp://127.0.0.1:${port}`], (sluice) => {
      const told = warnings(sluice);
      strictEqual(told.length, 4);
      match(told[0], /^the service manager's socket 5 is not used: it is a socket that does not listen/);
      match(
        told[1],
        /^the service manager's socket 6 \("odd"\) is not used: it is a kind of socket that no listener/,
      );
      match(told[2], /^the service manager's socket 7 is not used: it is no socket$/);
      match(
        told[3],
        new RegExp(
          `^the service manager's socket 4 \\("stray"\\) is not used and closed: no listener has tcp://127.0.0.1:${other}; write`,
        ),
      );
      deepStrictEqual(inodes(other), []);
    });
  });

  it("are left alone when they are meant for another process", async () => {
    using folder = new Folder();
    const port = await freePort(), file = folder.at("sluice.yaml");
    const config = {
      admin: "off",
      listeners: { it: { bind: `tcp://127.0.0.1:${port}`, to: "app" } },
      upstreams: { app: { servers: ["127.0.0.1:1"], health: "off" } },
    };
    writeFileSync(file, JSON.stringify(config));
    const { status, stderr } = await run(["run", "-c", file], {
      command: activating(["--pid", "1", `tcp:${port}`]),
    });
    strictEqual(status, 1);
    match(stderr, /the address is already in use/);
  });

  it("are shared out among the reactors, and missing ones are opened where the port may be shared", async () => {
    const port = await freePort();
    const config = { reactors: 3, accept: "reuseport" };
    await withSockets([`shared:${port}`, `shared:${port}`], [`tcp://127.0.0.1:${port}`], async (sluice) => {
      deepStrictEqual(warnings(sluice), []);
      strictEqual(inodes(port).length, 3);
      for (let round = 0; round < 12; round++) {
        using client = await Peer.connect(port);
        strictEqual(await client.ask("any of them"), "any of them");
      }
    }, { config });
  });

  it("serve alone, with a warning, where the port may not be shared", async () => {
    const port = await freePort();
    const config = { reactors: 2, accept: "reuseport" };
    await withSockets([`tcp:${port}`], [`tcp://127.0.0.1:${port}`], async (sluice) => {
      strictEqual(inodes(port).length, 1);
      match(warnings(sluice)[0], /: one reactor of 2 will serve it, .*ReusePort=yes$/);
      using client = await Peer.connect(port);
      strictEqual(await client.ask("alone"), "alone");
    }, { config });
  });

  it("are all kept when there are more than reactors", async () => {
    const port = await freePort(), sockets = [`shared:${port}`, `shared:${port}`, `shared:${port}`];
    await withSockets(sockets, [`tcp://127.0.0.1:${port}`], async (sluice) => {
      deepStrictEqual(warnings(sluice), []);
      for (let round = 0; round < 24; round++) {
        using client = await Peer.connect(port);
        strictEqual(await client.ask("each is heard"), "each is heard");
      }
    });
  });

  it("take clients while nobody runs, who are served by the next start", async () => {
    const port = await freePort(), bind = `tcp://127.0.0.1:${port}`;
    using holder = await Holder.open([`tcp:${port}`]);
    await withSockets([holder.socket()], [bind], async () => {
      using client = await Peer.connect(port);
      strictEqual(await client.ask("first"), "first");
    }); // it has drained and ended
    const waiting = await Promise.all([1, 2, 3].map(() => Peer.connect(port)));
    for (const client of waiting) await client.send("waited");
    await using server = await Server.listen(echo);
    using manager = await Notified.listen();
    using next = await Sluice.startWithoutAdmin([`${bind}=${server.address}`, "--health", "off"], {
      command: activating([holder.socket()]),
      env: { NOTIFY_SOCKET: manager.path },
    });
    await manager.next(/^READY=1/);
    for (const client of waiting) strictEqual(await client.readText(6), "waited");
    for (const client of waiting) client.end();
    next.signal("SIGTERM");
    strictEqual(await next.exit(), 0);
  });
});
