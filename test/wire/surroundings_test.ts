// The executable alone: no environment, no other program, a disk it cannot write to; it leaves nothing behind.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { describe, it } from "node:test";
import { AS_NOBODY, EXECUTABLE, run, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { ask, openFds, type Status } from "../support/status.ts";
import { until } from "../support/waiting.ts";

const ALONE = ["--reactors", "2", "--health", "off"];
const isRoot = process.getuid?.() === 0;

async function serves(sluice: Sluice): Promise<void> {
  using client = await Peer.connect(sluice.port());
  strictEqual(await client.ask("hello"), "hello");
  client.end();
  await sluice.ended(1);
}

/** Every file below the places where temporary files go, but for those of this test. */
function temporaryFiles(): string[] {
  return [tmpdir(), "/tmp", "/var/tmp", "/dev/shm"].flatMap((folder) => {
    try {
      return readdirSync(folder).map((name) => `${folder}/${name}`);
    } catch {
      return [];
    }
  }).filter((path) => !/\/sluice-(wire|test)-/.test(path)).sort();
}

describe("surroundings", () => {
  it("an empty environment", async () => {
    await using server = await Server.listen(echo);
    const words = [...ALONE, `tcp://127.0.0.1:0=${server.address}`];
    await withSluice(words, async (sluice) => {
      await serves(sluice);
      strictEqual(readFileSync(`/proc/${sluice.pid}/environ`, "latin1"), "");
    }, { command: ["/usr/bin/env", "-i", EXECUTABLE] });
  });

  it("what the environment says to other programs is none of its business", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const env = { NODE_OPTIONS: "--require /nowhere.js", DENO_DIR: "/nowhere", NODE_ENV: "test", PORT: "1" };
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], serves, { env, cwd: folder.path });
  });

  it("files of a project in the current folder are not read", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("bunfig.toml"), 'preload = ["./evil.ts"]\n');
    writeFileSync(folder.at("evil.ts"), 'console.log("loaded"); process.exit(9);\n');
    writeFileSync(folder.at(".env"), "BUN_DEBUG=1\n");
    writeFileSync(folder.at("package.json"), "{ this is no JSON");
    writeFileSync(folder.at("tsconfig.json"), "{ neither is this");
    const { status, stdout, stderr } = await run(["--version"], { cwd: folder.path });
    strictEqual(stderr, "");
    match(stdout, /^sluice [0-9.]+\n$/);
    strictEqual(status, 0);
  });

  it("leaves no file behind, when stopped and when killed", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const before = temporaryFiles();
    const words = [...ALONE, `tcp://127.0.0.1:0=${server.address}`];
    const options = { cwd: folder.path, env: { HOME: folder.path, TMPDIR: folder.path } };
    await withSluice(words, serves, options);
    using killed = await Sluice.start(words, options);
    await serves(killed);
    process.kill(killed.pid, "SIGKILL");
    strictEqual(await killed.exit(), "SIGKILL");
    deepStrictEqual(readdirSync(folder.path), []);
    deepStrictEqual(temporaryFiles().filter((path) => !before.includes(path)), []);
  });

  it("nothing but /dev, /proc and one's own fds is open for writing", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      await serves(sluice);
      const files = openFds(sluice.pid).filter((path) =>
        !/^(socket|pipe|anon_inode):|^\/dev\/|^\/memfd:/.test(path)
      );
      const own = files.filter((path) => path !== EXECUTABLE);
      deepStrictEqual(own.filter((path) => !path.startsWith("/proc/")), []);
    });
  });

  it(
    "a read-only disk, and no other program on the machine",
    { skip: !isRoot && "needs root, to mount" },
    async () => {
      using folder = new Folder();
      await using server = await Server.listen(echo);
      mkdirSync(folder.at("bin"));
      copyFileSync(EXECUTABLE, folder.at("bin/sluice"));
      chmodSync(folder.at("bin/sluice"), 0o555);
      // Everything is remounted read-only for this process alone, and then hidden behind an empty PATH.
      const script =
        'mount --make-rprivate / && mount -o remount,bind,ro / 2>/dev/null; mount --bind "$0" "$0" && ' +
        'mount -o remount,bind,ro "$0" && cd "$0/bin" && ! touch file 2>/dev/null && exec env -i ./sluice "$@"';
      const words = [...ALONE, `tcp://127.0.0.1:0=${server.address}`];
      await withSluice(words, serves, {
        command: ["unshare", "-m", "sh", "-c", script, folder.path],
        cwd: folder.path,
      });
    },
  );

  it("a disk that forbids to execute what is on it cannot stop the library", {
    skip: !isRoot && "needs root",
  }, async () => {
    await using server = await Server.listen(echo);
    // The executable may itself lie on one of the disks that are covered: it is started from another place.
    const script = 'mount --bind "$(dirname "$0")" /mnt || exit 9; for at in /tmp /dev/shm /var/tmp; do ' +
      'mount -t tmpfs -o noexec,ro none $at || exit 9; done; cd / && exec /mnt/sluice "$@"';
    const words = [...ALONE, `tcp://127.0.0.1:0=${server.address}`];
    await withSluice(words, serves, { command: ["unshare", "-m", "sh", "-c", script, EXECUTABLE] });
  });

  it("another user than root, in a folder that is not his", { skip: !isRoot && "needs root" }, async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    copyFileSync(EXECUTABLE, folder.at("sluice"));
    chmodSync(folder.at("sluice"), 0o755);
    chmodSync(folder.path, 0o755);
    const words = [...ALONE, `tcp://127.0.0.1:0=${server.address}`];
    await withSluice(words, serves, { command: [...AS_NOBODY, folder.at("sluice")], cwd: folder.path });
    deepStrictEqual(readdirSync(folder.path), ["sluice"]);
  });

  it("a standard error that nobody reads stops neither traffic nor the end", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const fifo = folder.at("stderr"),
      listen = folder.at("listen.sock"),
      admin = `unix:${folder.at("admin.sock")}`;
    execFileSync("mkfifo", [fifo]);
    const reader = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    const running = run([...ALONE, "--admin", admin, `unix:${listen}=${server.address}`], {
      command: ["sh", "-c", 'exec "$0" "$@" 2>"$STDERR"', EXECUTABLE],
      env: { STDERR: fifo },
      deadlineMs: 60_000,
    });
    const ready = async () => (await ask(admin, "/readyz")).status === 200;
    await until("Sluice to be ready", () => ready().catch(() => false));
    for (let turn = 0; turn < 1_000; turn++) {
      using client = await Peer.connect({ path: listen });
      strictEqual(await client.ask("hello"), "hello");
    }
    const status: Status = JSON.parse((await ask(admin, "/status")).body);
    strictEqual(status.totals.connections.total, 1_000);
    process.kill(status.pid, "SIGTERM");
    strictEqual((await running).status, 0);
    closeSync(reader);
  });
});
