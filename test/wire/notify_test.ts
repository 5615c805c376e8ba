// What a service manager is told (sd_notify(3)): ready once everything listens, stopping, and alive, for as long as
// everything turns. It listens on a real socket; what it hears is from the process that it started.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { command, run, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Notified } from "../support/notified.ts";
import { PatchedSluice } from "../support/patched.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";

const ALONE = ["--reactors", "2", "--health", "off"];

describe("a service manager", () => {
  for (const where of ["path", "abstract"] as const) {
    it(`is told ready and stopping, at a socket with ${where === "path" ? "a path" : "an abstract name"}`, async () => {
      await using server = await Server.listen(echo);
      using manager = await Notified.listen(where);
      using sluice = await Sluice.startWithoutAdmin([...ALONE, `tcp://127.0.0.1:0=${server.address}`], {
        env: { NOTIFY_SOCKET: manager.path },
      });
      const ready = await manager.next(/^READY=1\|STATUS=serving 1 listener$/);
      strictEqual(ready.pid, sluice.pid);
      sluice.signal("SIGTERM");
      await manager.next(
        /^STOPPING=1\|EXTEND_TIMEOUT_USEC=45000000\|STATUS=stopped accepting; 0 connections have 30s/,
      );
      strictEqual(await sluice.exit(), 0);
      ok(!manager.all.some(({ text }) => text.includes("WATCHDOG")));
    });
  }

  it("is told ready only when clients are served", async () => {
    await using server = await Server.listen(echo);
    using manager = await Notified.listen();
    using sluice = await Sluice.startWithoutAdmin([...ALONE, `tcp://127.0.0.1:0=${server.address}`], {
      env: { NOTIFY_SOCKET: manager.path },
    });
    await manager.next(/^READY=1/);
    using client = await Peer.connect(sluice.port());
    strictEqual(await client.ask("at once"), "at once");
    client.end();
    sluice.signal("SIGINT");
    await manager.next(/^STOPPING=1.*STATUS=(closing|ending)/);
    strictEqual(await sluice.exit(), 0);
  });

  it("is told when a reload begins, and that it is over, whether or not it took", async () => {
    await using server = await Server.listen(echo);
    using manager = await Notified.listen();
    using folder = new Folder();
    const file = folder.at("sluice.yaml");
    const write = (more: object) =>
      writeFileSync(
        file,
        JSON.stringify({
          reactors: 1,
          listeners: { it: { bind: "tcp://127.0.0.1:0", to: "echo" } },
          upstreams: { echo: { servers: [server.address], health: "off" } },
          ...more,
        }),
      );
    write({});
    using sluice = await Sluice.start([], {
      command: [...command("executable"), "run", "-c", file],
      env: { NOTIFY_SOCKET: manager.path },
    });
    await manager.next(/^READY=1/);
    for (
      const [more, told] of [[{}, /listener$/], [
        { reactors: 2 },
        /; the last reload was refused: reactors: it is 1, /,
      ]] as const
    ) {
      write(more);
      process.kill(sluice.pid, "SIGHUP");
      const { text } = await manager.next(/^RELOADING=1\|MONOTONIC_USEC=\d+\|STATUS=reloading$/);
      const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1e6;
      ok(Math.abs(Number(/USEC=(\d+)/.exec(text)![1]) - uptime) < 60e6, text); // the kernel's own clock
      const ready = await manager.next(/^READY=1\|STATUS=serving 1 listener/);
      match(ready.text, told);
    }
    await sluice.finish();
  });

  it("is told why there is no start", async () => {
    await using server = await Server.listen(echo);
    using manager = await Notified.listen();
    const words = ["--admin", "off", `tcp://127.0.0.1:${server.port}=127.0.0.1:1`, "--health", "off"];
    const { status } = await run(words, { env: { NOTIFY_SOCKET: manager.path } });
    strictEqual(status, 1);
    await manager.next(/^STATUS=cannot start: .*the address is already in use/);
    ok(!manager.all.some(({ text }) => text.includes("READY=1")));
  });

  it("that is gone does not keep anybody from starting", async () => {
    await using server = await Server.listen(echo);
    for (const path of ["/nonexistent/notify", "@sluice-test-nobody", "nowhere", "vsock:2:9999"]) {
      using sluice = await Sluice.startWithoutAdmin([...ALONE, `tcp://127.0.0.1:0=${server.address}`], {
        env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: "400000" },
      });
      const told = await sluice.line("service", /^the service manager cannot be told anything/);
      match(told.message, /nobody listens there$|no path of a unix socket, nor a name after @$/);
      sluice.signal("SIGTERM");
      strictEqual(await sluice.exit(), 0);
      strictEqual(sluice.log("service").length, 1);
    }
  });
});

describe("a watchdog", () => {
  const WATCHDOG_MS = 1_200;
  const env = (manager: Notified) => ({
    NOTIFY_SOCKET: manager.path,
    WATCHDOG_USEC: String(WATCHDOG_MS * 1_000),
  });

  it("hears that idle reactors are alive, twice in its time", async () => {
    await using server = await Server.listen(echo);
    using manager = await Notified.listen();
    using sluice = await Sluice.startWithoutAdmin([...ALONE, `tcp://127.0.0.1:0=${server.address}`], {
      env: env(manager),
    });
    await manager.next(/^READY=1/);
    for (let times = 0; times < 6; times++) strictEqual((await manager.next(/^WATCHDOG=1$/)).pid, sluice.pid);
    const beats = manager.all.filter(({ text }) => text === "WATCHDOG=1").map(({ atMs }) => atMs);
    const gaps = beats.slice(1).map((atMs, at) => atMs - beats[at]).sort((a, b) => a - b);
    ok(gaps[gaps.length >> 1] < WATCHDOG_MS / 2, `${gaps}`); // of a machine that is busy, most of them
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
  });

  it("of another process is not ours", async () => {
    await using server = await Server.listen(echo);
    using manager = await Notified.listen();
    using sluice = await Sluice.startWithoutAdmin([...ALONE, `tcp://127.0.0.1:0=${server.address}`], {
      env: { ...env(manager), WATCHDOG_PID: "1" },
    });
    await manager.next(/^READY=1/);
    sluice.signal("SIGTERM");
    await manager.next(/^STOPPING=1/);
    ok(!manager.all.some(({ text }) => text.includes("WATCHDOG")));
    strictEqual(await sluice.exit(), 0);
  });

  it("hears nothing more once one reactor hangs, and all the others turn", async () => {
    await using server = await Server.listen(echo);
    using manager = await Notified.listen();
    using patched = new PatchedSluice([{
      file: "proxy/accept.ts",
      find: "    const token = sys.accept(socket);",
      replace: `    const token = sys.accept(socket);
    if (token > 0) for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);`,
    }]);
    using sluice = await Sluice.startWithoutAdmin([...ALONE, `tcp://127.0.0.1:0=${server.address}`], {
      env: env(manager),
      command: patched.command("bun"),
    });
    await manager.next(/^READY=1/);
    await manager.next(/^WATCHDOG=1$/);
    await manager.next(/^WATCHDOG=1$/);
    using _client = await Peer.connect(sluice.port());
    // Its accept hangs at once: at most what the look before it had seen is still told.
    const hung = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 3 * WATCHDOG_MS));
    const late = manager.all.filter(({ text, atMs }) => text === "WATCHDOG=1" && atMs > hung + WATCHDOG_MS);
    deepStrictEqual(late, []);
    match(readFileSync(`/proc/${sluice.pid}/status`, "utf8"), /^State:/m); // and yet it runs
  });
});
