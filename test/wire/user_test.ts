// `user:`: started as root, Sluice is somebody else in all its threads once it has what only root can get; what it needs
// later it has as well. Takes root.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { describe, it } from "node:test";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { AS_NOBODY, command, ROOT, run, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

const skip = process.getuid?.() === 0 ? false : "takes root";
/** nobody, who has no further groups on Debian. */
const NOBODY = 65_534;
const CAP_NET_BIND_SERVICE = "0000000000000400";
const CAP_NET_RAW_TOO = "0000000000002400";

/** What the kernel says of each thread of a process. */
function threads(pid: number): Record<string, string>[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    return Object.fromEntries(
      [...text.matchAll(/^(\w+):\t(.*)$/gm)].map(([, name, value]) => [name, value.trim()]),
    );
  });
}

/** A folder that others may look into, and write to if it is theirs. */
function openFolder(owner = 0): Folder {
  const folder = new Folder();
  chmodSync(folder.path, 0o755);
  chownSync(folder.path, owner, owner);
  return folder;
}

async function withUser(
  config: object,
  test: (sluice: Sluice) => Promise<void> | void,
  words: readonly string[] = [],
): Promise<void> {
  await using server = await Server.listen(echo);
  await withConfig(
    {
      user: "nobody",
      reactors: 2,
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "echo" } },
      upstreams: { echo: { servers: [server.address], health: "off" } },
      ...config,
    },
    async (sluice) => await test(sluice),
    { words },
  );
}

describe("a Sluice that root started, with user:", { skip }, () => {
  it("is that user in every thread, with one right of root's in those that open sockets", async () => {
    await withUser({}, async (sluice) => {
      await sluice.line("user", /^is user "nobody" from here on$/);
      const all = threads(sluice.pid), id = Array(4).fill(NOBODY).join("\t");
      ok(all.length > 4, `${all.length} threads`);
      for (const { Name, Uid, Gid, Groups, CapEff, CapPrm, CapAmb } of all) {
        deepStrictEqual([Uid, Gid, Groups], [id, id, String(NOBODY)], Name);
        for (const set of [CapEff, CapPrm, CapAmb]) {
          ok(set === CAP_NET_BIND_SERVICE || /^0+$/.test(set), `${Name}: ${set}`);
        }
      }
      const [main] = all;
      deepStrictEqual([main.CapEff, main.CapAmb], [CAP_NET_BIND_SERVICE, CAP_NET_BIND_SERVICE]);
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ask("served by nobody"), "served by nobody");
    });
  });

  it("opened a port first that is root's alone, and may open another", () => {
    // In a network of its own: nobody else has these ports there.
    const script = `${ROOT}test/support/become.ts`;
    const told = execFileSync("unshare", ["--net", command("bun")[0], script], {
      timeout: 30_000,
      encoding: "utf8",
    });
    deepStrictEqual(JSON.parse(told), {
      before: 0,
      became: 1 << 10,
      uid: NOBODY,
      port: 0, // 81, as nobody
      root: -1, // there is no way back
      child: { Uid: Array(4).fill(NOBODY).join("\t"), CapEff: CAP_NET_BIND_SERVICE },
    });
  });

  it("opens another port of root's with a reload, and stays who it is", async () => {
    await using server = await Server.listen(echo);
    using folder = openFolder(NOBODY);
    const file = folder.at("sluice.yaml");
    const write = (user: string, ...ports: number[]) =>
      writeFileSync(
        file,
        JSON.stringify({
          user,
          reactors: 2,
          listeners: { it: { bind: ports.map((port) => `tcp://127.0.0.1:${port}`), to: "echo" } },
          upstreams: { echo: { servers: [server.address], health: "off" } },
        }),
      );
    const inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"'];
    write("nobody", 80);
    using sluice = await Sluice.start(["--admin", `unix:${folder.at("admin.sock")}`], {
      command: [...inside, ...command("executable"), "run", "-c", file],
    });
    const listens = (port: number) =>
      new RegExp(`0100007F:00${port.toString(16)} 00000000:0000 0A`, "i")
        .test(readFileSync(`/proc/${sluice.pid}/net/tcp`, "utf8"));
    deepStrictEqual([listens(80), listens(81)], [true, false]);
    write("nobody", 80, 81);
    process.kill(sluice.pid, "SIGHUP");
    await until("the port to be listened on", () => listens(81));
    write("daemon", 80);
    process.kill(sluice.pid, "SIGHUP");
    await sluice.line("reload", /^user: it has changed, and Sluice is for good who it is; restart Sluice$/);
    deepStrictEqual([listens(80), listens(81)], [true, true]);
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
  });

  it("keeps CAP_NET_RAW as well where sockets have a client's address", async () => {
    await withUser({
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "echo", socket: { transparent: true } } },
    }, (sluice) => {
      strictEqual(threads(sluice.pid)[0].CapEff, CAP_NET_RAW_TOO);
    });
  });

  it("has a group of its own, if asked", async () => {
    await withUser({ user: String(NOBODY), group: "1" }, (sluice) => {
      for (const { Gid } of threads(sluice.pid)) strictEqual(Gid, "1\t1\t1\t1");
    });
  });

  it("gives its admin socket to that user", async () => {
    using folder = openFolder(NOBODY);
    const path = folder.at("admin.sock");
    await withUser({}, async (sluice) => {
      const { uid, mode } = statSync(path);
      deepStrictEqual([uid, mode & 0o777], [NOBODY, 0o600]);
      strictEqual((await sluice.get("/healthz")).status, 200);
      const asked = await run(["status", "--admin", `unix:${path}`], {
        command: [...AS_NOBODY, ...command("executable")],
      });
      strictEqual(asked.status, 0, asked.stderr);
    }, ["--admin", `unix:${path}`]);
  });

  it("gives its access log to that user, who opens it again after a rotation", async () => {
    using folder = openFolder();
    const logs = folder.at("logs"), path = `${logs}/access.log`;
    mkdirSync(logs);
    await withUser({ log: { access: { to: path } } }, async (sluice) => {
      strictEqual(statSync(path).uid, NOBODY);
      chownSync(logs, NOBODY, NOBODY); // as logrotate's "create" would make the file for it
      renameSync(path, `${path}.1`);
      sluice.signal("SIGUSR1");
      await until(
        "the file to be opened again",
        () => statSync(path, { throwIfNoEntry: false }) !== undefined,
      );
      strictEqual(statSync(path).uid, NOBODY);
      using client = await Peer.connect(sluice.port());
      await client.ask("one line");
      client.end();
      await until("a line in it", () => readFileSync(path, "utf8").includes("127.0.0.1"));
    });
  });

  it("does not give away what others can have put there", async () => {
    using folder = openFolder();
    chmodSync(folder.path, 0o777);
    const path = folder.at("access.log");
    writeFileSync(path, "", { mode: 0o600 });
    await withUser({ log: { access: { to: path } } }, async (sluice) => {
      strictEqual(statSync(path).uid, 0);
      const [told] = sluice.log("user").filter(({ level, message }) =>
        level === "warn" && /log\.access/.test(message)
      );
      match(told.message, /"nobody" cannot open it again: after a rotation lines go on into the old file; /);
      renameSync(path, `${path}.1`);
      writeFileSync(path, "", { mode: 0o600 });
      sluice.signal("SIGUSR1");
      await sluice.line("access-log", /permission denied; .*the old file stays in use$/);
    });
  });

  it("gives what ACME keeps to that user", async () => {
    using folder = openFolder();
    const storage = folder.at("acme");
    const acme = { email: "ops@example.org", directory: "https://127.0.0.1:1/", storage };
    await withUser({
      listeners: {
        it: {
          bind: "https://127.0.0.1:0",
          tls: { acme },
          routes: [{ match: { host: "a.example" }, to: "echo" }],
        },
      },
    }, () => {
      const all = readdirSync(storage, { recursive: true }).map((name) => `${storage}/${name}`);
      ok(all.length > 0);
      for (const path of [storage, ...all]) strictEqual(statSync(path).uid, NOBODY, path);
    });
  });

  it("says which files that user cannot read again; so does check", async () => {
    using folder = openFolder();
    using certificates = new Certificates();
    const { cert, key } = certificates.leaf("a.example");
    const config = {
      user: "nobody",
      admin: "off",
      listeners: { it: { bind: "tls://127.0.0.1:0", to: "echo", tls: { certificates: [{ cert, key }] } } },
      upstreams: { echo: { servers: ["127.0.0.1:1"], health: "off" } },
    };
    const file = folder.at("sluice.yaml");
    writeFileSync(file, JSON.stringify(config));
    const checked = await run(["check", "-c", file]);
    strictEqual(checked.status, 0, checked.stderr);
    const said = checked.stdout + checked.stderr;
    match(said, /user: "nobody" cannot read .*\.key.*: what changes there later is not seen; let it \(chgrp/);
    ok(!/cannot read [^;]*sluice\.yaml/.test(said), said);
  });

  it("does not start as a user whom nobody knows", async () => {
    using folder = new Folder();
    const file = folder.at("sluice.yaml");
    const start = async (more: object) => {
      writeFileSync(
        file,
        JSON.stringify({
          listeners: { it: { bind: "tcp://127.0.0.1:0", to: "echo" } },
          upstreams: { echo: { servers: ["127.0.0.1:1"], health: "off" } },
          admin: "off",
          ...more,
        }),
      );
      const { status, stderr } = await run(["run", "-c", file]);
      return `${status} ${stderr}`;
    };
    match(
      await start({ user: "no-such-user" }),
      /^1 .*user: "no-such-user" is no user of this machine; make one \(useradd/,
    );
    match(
      await start({ user: "424242" }),
      /^1 .*user: user 424242 has no group in \/etc\/passwd; write group as well/,
    );
    match(
      await start({ user: "nobody", group: "no-such" }),
      /^1 .*group: "no-such" is no group of this machine/,
    );
    match(await start({ group: "nogroup" }), /^1 .*group: no user for this group; write user as well/);
  });
});

describe("a Sluice that somebody else started, with user:", { skip }, () => {
  const asNobody = async (user: string) => {
    using folder = openFolder();
    const file = folder.at("sluice.yaml");
    writeFileSync(
      file,
      JSON.stringify({
        user,
        listeners: { it: { bind: "tcp://127.0.0.1:0", to: "echo" } },
        upstreams: { echo: { servers: ["127.0.0.1:1"], health: "off" } },
        admin: "off",
      }),
    );
    return await run(["check", "-c", file], { command: [...AS_NOBODY, ...command("executable")] });
  };

  it("cannot become another", async () => {
    const { status, stdout, stderr } = await asNobody("daemon");
    strictEqual(status, 1);
    match(
      stdout + stderr,
      /user: user "nobody" cannot become "daemon"; start as root, start as daemon \(systemd: User=\), or leave user out/,
    );
  });

  it("is fine as that user", async () => {
    const { status, stdout, stderr } = await asNobody("nobody");
    strictEqual(status, 0, stdout + stderr);
  });
});
