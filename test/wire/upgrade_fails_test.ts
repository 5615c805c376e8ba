// Upgrades that come to nothing: whatever the reason, all is as it was, and it is said why.
import { match, ok, strictEqual } from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { Datagrams } from "../support/datagrams.ts";
import { command, EXECUTABLE, run, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { type Patch, PatchedSluice } from "../support/patched.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

const ALONE = ["--reactors", "2", "--health", "off"];
const folder = new Folder();
after(() => folder[Symbol.dispose]());

/** A program at a path of its own. */
function program(name: string, text: string, mode = 0o755): string {
  const path = folder.at(name);
  writeFileSync(path, text, { mode });
  return path;
}

/** A script that is a Sluice as far as its version goes. */
function pretender(name: string, text: string): string {
  return program(name, `#!/bin/sh\nif [ "$1" = --version ]; then echo sluice 9.9.9; exit 0; fi\n${text}\n`);
}

/** A Sluice of sources with a fault. */
function faulty(name: string, patches: readonly Patch[]): { path: string } & Disposable {
  const patched = new PatchedSluice(patches);
  const path = program(name, `#!/bin/sh\nexec ${patched.command("bun").join(" ")} "$@"\n`);
  return { path, [Symbol.dispose]: () => patched[Symbol.dispose]() };
}

/** A connection and a session that go on, whatever is tried. */
async function withBoth(test: (sluice: Sluice, still: () => Promise<void>) => Promise<void>): Promise<void> {
  await using server = await Server.listen(echo);
  using datagrams = await Datagrams.echo();
  const words = [`tcp://127.0.0.1:0=${server.address}`, `udp://127.0.0.1:0=${datagrams.address}`];
  const admin = ["--admin", `unix:${folder.at("admin.sock")}`]; // others may not name an executable
  await withSluice([...ALONE, ...admin, "--udp-idle", "2s", ...words], async (sluice) => {
    using held = await Peer.connect(sluice.port(0)), client = await Datagrams.open();
    const old = sluice.pid, froms = new Set<number>();
    const still = async () => {
      strictEqual(await held.ask("still"), "still");
      strictEqual(await client.ask("still", sluice.port(1)), "still");
      froms.add((await datagrams.next()).from.port);
      using fresh = await Peer.connect(sluice.port(0));
      strictEqual(await fresh.ask("new"), "new");
      fresh.end();
      strictEqual(await fresh.ending(), "fin");
      strictEqual((await sluice.status()).pid, old);
      strictEqual(froms.size, 1, "it is the same session");
    };
    await still();
    await test(sluice, still);
    held.end();
    strictEqual(await held.ending(), "fin");
  });
}

describe("an upgrade that fails", () => {
  it("to what is no Sluice", () =>
    withBoth(async (sluice, still) => {
      const cases: [path: string, why: RegExp][] = [
        [folder.at("nowhere"), /^there is no file /],
        [folder.path, / is no file$/],
        [
          program("text", "", 0o644),
          / cannot be executed by this user \(EACCES\); chmod \+x it, or name another$/,
        ],
        [program("garbage", "\0\0\0\0garbage"), / is no Sluice: /],
        ["/bin/cat", / is no Sluice: asked for its --version it says cat /],
        [program("mute", "#!/bin/sh\n"), / is no Sluice: asked for its --version it says nothing$/],
        [program("fails", "#!/bin/sh\nexit 3\n"), / is no Sluice: --version ends with 3$/],
      ];
      for (const [path, why] of cases) {
        const answer = await sluice.upgrade(path);
        match(answer.why ?? "", why);
        await still();
      }
      match(sluice.log("upgrade")[0].message, /^no upgrade: there is no file .*; this process goes on$/);
    }));

  it("to one that does not start", () =>
    withBoth(async (sluice, still) => {
      using other = faulty("other", [
        { file: "control/upgrade/format.ts", find: "FORMAT = 1;", replace: "FORMAT = 8;" },
        { file: "control/upgrade/format.ts", find: "FORMAT_OLDEST = 1;", replace: "FORMAT_OLDEST = 7;" },
      ]);
      using broken = faulty("broken", [{
        file: "control/upgrade/succession.ts",
        find: "const byFd = new Map(",
        replace: 'if (came.length > 0) throw new ChannelError("staged");\n    const byFd = new Map(',
      }]);
      using dying = faulty("dying", [{
        file: "control/upgrade/succession.ts",
        find: "const byFd = new Map(",
        replace: 'if (came.length > 0) process.kill(process.pid, "SIGKILL");\n    const byFd = new Map(',
      }]);
      const cases: [path: string, why: RegExp][] = [
        [pretender("exits", "exit 7"), /^it ended with status 7$/],
        [pretender("dies", "kill -9 $$"), /^it ended with signal 9$/],
        [other.path, /^version \S+ reads states of format 7 to 8, and this one writes 1: restart instead$/],
        [broken.path, /^staged$/],
        [dying.path, /^it ended with signal 9$/],
      ];
      for (const [path, why] of cases) {
        const answer = await sluice.upgrade(path);
        match(answer.why ?? "", why);
        await still();
      }
    }));

  it("by a configuration that has become wrong: its lines are told, with their places", async () => {
    await using server = await Server.listen(echo), taken = await Server.listen(echo);
    const config = folder.at("sluice.yaml"), listeners = { it: { bind: "tcp://127.0.0.1:0", to: "app" } };
    const write = (more: object) =>
      writeFileSync(
        config,
        JSON.stringify({
          listeners,
          upstreams: { app: { servers: [server.address], health: "off" } },
          ...more,
        }),
      );
    write({});
    using sluice = await Sluice.start([], { command: [EXECUTABLE, "run", "-c", config] });
    write({ reactors: "many" });
    const { upgraded, why, lines } = await sluice.upgrade();
    strictEqual(upgraded, false);
    match([why, ...lines].join("\n"), /sluice\.yaml:1:\d+: reactors: .*many/);
    write({ listeners: { ...listeners, other: { bind: `tcp://127.0.0.1:${taken.port}`, to: "app" } } });
    match((await sluice.upgrade()).why ?? "", /the address is already in use/);
    write({ reactors: 3 });
    strictEqual((await sluice.upgrade()).why, null);
    strictEqual((await sluice.status()).reactors.length, 4, "with that of the health checks");
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
  });

  it("as it hangs: there is one at a time, and the end of the process ends it", async () => {
    await using server = await Server.listen(echo);
    const admin = `unix:${folder.at("hanging.sock")}`;
    using sluice = await Sluice.start(["--admin", admin, ...ALONE, `tcp://127.0.0.1:0=${server.address}`]);
    const pid = folder.at("pid"),
      hanging = pretender("hangs", `echo $$ >${pid}.new; mv ${pid}.new ${pid}; exec sleep 60`);
    const first = sluice.upgrade(hanging);
    await until("it to start", () => Promise.resolve(existsSync(pid) ? true : undefined));
    strictEqual((await sluice.upgrade()).why, "another upgrade is under way");
    sluice.signal("SIGTERM");
    strictEqual((await first).why, "this process was told to end");
    strictEqual(await sluice.exit(), 0);
  });

  it("to an executable that anybody on this machine may have named", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const asked = await run(["upgrade", EXECUTABLE, "--admin", sluice.admin]);
      strictEqual(asked.status, 2);
      match(asked.stderr, /^sluice: path: anybody on this machine can ask here, .*; ask by a unix socket/);
      match((await sluice.line("audit", /upgrade/)).message, /is refused/);
      strictEqual((await sluice.upgrade()).why, null);
    });
  });

  it(
    "in a container, where it is process 1",
    { skip: process.getuid?.() !== 0 ? "takes root" : false },
    async () => {
      await using server = await Server.listen(echo);
      const inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", ...command("executable")];
      using sluice = await Sluice.start([...ALONE, `tcp://127.0.0.1:0=${server.address}`], {
        command: inside,
      });
      match(
        (await sluice.upgrade()).why ?? "",
        /^this is process 1 of a container: .*start a new container instead$/,
      );
      ok((await sluice.status()).phase === "ready");
    },
  );
});
