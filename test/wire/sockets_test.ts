// What sockets are made with: each option is asked of the kernel, behind Sluice's back, on listening sockets, on those
// that were accepted, and on those to servers. Where connections come from is what the other end sees.
import { deepStrictEqual, match, ok as holds, strictEqual } from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { AS_NOBODY, command, EXECUTABLE, type Outcome, run, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import {
  CLIENT,
  CLIENT_6,
  MIDDLE_OF_CLIENT,
  MIDDLE_OF_CLIENT_6,
  MIDDLE_OF_SERVER,
  openNetworks,
  SERVER,
  SERVER_6,
} from "../support/networks.ts";
import { knock, Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { type SocketOptions, socketOptions } from "../support/socket_options.ts";
import { until } from "../support/waiting.ts";

const MPTCP = 262;
const TCP = 6;

interface Settings {
  readonly listener?: object;
  readonly upstream?: object;
  readonly source?: string;
  readonly bind?: string;
}

/** One connection through a Sluice with these settings, and what its three sockets are made with. */
async function sockets(
  { listener = {}, upstream = {}, source, bind = "tcp://127.0.0.1:0" }: Settings,
  test: (
    of: { listening: SocketOptions; down: SocketOptions; up: SocketOptions; sluice: Sluice },
  ) => Promise<void> | void,
): Promise<void> {
  await using server = await Server.listen(echo);
  const config = {
    listeners: { a: { bind, to: "b", socket: listener } },
    upstreams: {
      b: {
        servers: [server.address],
        health: "off",
        socket: upstream,
        ...(source === undefined ? {} : { source }),
      },
    },
  };
  await withConfig(config, async (sluice) => {
    const client = await Peer.connect(sluice.port());
    strictEqual(await client.ask("hello"), "hello");
    const all = socketOptions(sluice.pid), port = sluice.port();
    const listening = all.find((one) => one.port === port && one.listens === 1)!;
    const down = all.find((one) => one.port === port && one.listens === 0)!;
    const up = all.find(({ peer }) => peer === server.port)!;
    await test({ listening, down, up, sluice });
    client.end();
    strictEqual(await client.ending(), "fin");
    client[Symbol.dispose]();
  });
}

const isRoot = process.getuid?.() === 0;

describe("sockets", { skip: isRoot ? false : "needs root, to look at another process's sockets" }, () => {
  it("are as they always were where nothing is set", () =>
    sockets({}, ({ listening, down, up }) => {
      for (const socket of [listening, down, up]) {
        const { protocol, nodelay, keep_alive, user_timeout, transparent, device } = socket;
        deepStrictEqual({ protocol, nodelay, keep_alive, user_timeout, transparent, device }, {
          protocol: TCP,
          nodelay: 1,
          keep_alive: 0,
          user_timeout: 0,
          transparent: 0,
          device: "",
        });
      }
      strictEqual(listening.defer_accept, 0);
      strictEqual(listening.fast_open, 0);
    }));

  it("of clients inherit what their listener has", () =>
    sockets({
      listener: {
        "keep-alive": { idle: "33s", interval: "7s", count: 4 },
        "user-timeout": "40s",
        nodelay: false,
        interface: "lo",
        transparent: true,
        "receive-buffer": "32KiB",
        "send-buffer": "64KiB",
        "defer-accept": "3s",
        "fast-open": 16,
      },
    }, ({ listening, down, up }) => {
      for (const socket of [listening, down]) {
        const {
          nodelay,
          keep_alive,
          idle,
          interval,
          count,
          user_timeout,
          transparent,
          device,
          rcvbuf,
          sndbuf,
        } = socket;
        deepStrictEqual(
          { nodelay, keep_alive, idle, interval, count, user_timeout, transparent, device, rcvbuf, sndbuf },
          {
            nodelay: 0,
            keep_alive: 1,
            idle: 33,
            interval: 7,
            count: 4,
            user_timeout: 40_000,
            transparent: 1,
            device: "lo",
            rcvbuf: 2 * 32_768, // the kernel counts its own part as well
            sndbuf: 2 * 65_536,
          },
        );
      }
      holds(listening.defer_accept >= 3, "in steps of retransmissions");
      strictEqual(listening.fast_open, 16);
      strictEqual(up.keep_alive, 0, "the server's side has its own");
      strictEqual(up.nodelay, 1);
    }));

  it("to servers are as their upstream says", () =>
    sockets({
      upstream: {
        "keep-alive": "44s",
        "user-timeout": "7s",
        nodelay: false,
        interface: "lo",
        "receive-buffer": "16KiB",
        "send-buffer": "128KiB",
      },
    }, ({ down, up }) => {
      const { nodelay, keep_alive, idle, user_timeout, device, rcvbuf, sndbuf } = up;
      deepStrictEqual({ nodelay, keep_alive, idle, user_timeout, device, rcvbuf, sndbuf }, {
        nodelay: 0,
        keep_alive: 1,
        idle: 44,
        user_timeout: 7_000,
        device: "lo",
        rcvbuf: 2 * 16_384,
        sndbuf: 2 * 131_072,
      });
      strictEqual(down.keep_alive, 0);
    }));

  it("of MPTCP are so where that is asked for; a peer without it gets TCP", () =>
    sockets({ listener: { mptcp: true }, upstream: { mptcp: true } }, ({ listening, up, sluice }) => {
      const has = sluice.log("sockets").length === 0; // else it is told that the kernel has none
      strictEqual(listening.protocol, has ? MPTCP : TCP);
      strictEqual(up.protocol, has ? MPTCP : TCP);
    }));

  it("v6only leaves IPv4 to another listener", async () => {
    const config = (v6only: boolean) => ({
      listeners: {
        six: { bind: "tcp://[::]:0", to: "b", socket: { v6only } },
      },
      upstreams: { b: { servers: ["127.0.0.1:1"], health: "off" } },
    });
    await withConfig(config(true), async (sluice) => {
      strictEqual(await knock({ host: "::1", port: sluice.port() }), "reset"); // it has no server
      const refused = await Peer.connect(sluice.port()).catch((error) =>
        (error as NodeJS.ErrnoException).code
      );
      strictEqual(refused, "ECONNREFUSED");
      await sluice.ended(1);
    });
    await withConfig(config(false), async (sluice) => {
      strictEqual(await knock(sluice.port()), "reset");
      strictEqual(await knock({ host: "::1", port: sluice.port() }), "reset");
      await sluice.ended(2);
    });
  });
});

describe("a listener's queue", () => {
  it("keeps those who have said nothing, with defer-accept", async () => {
    await using server = await Server.listen(echo);
    const config = {
      listeners: { a: { bind: "tcp://127.0.0.1:0", to: "b", socket: { "defer-accept": "20s" } } },
      upstreams: { b: { servers: [server.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      using silent = await Peer.connect(sluice.port());
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ask("hello"), "hello");
      strictEqual((await sluice.status()).totals.connections.now, 1, "of the two");
      strictEqual(await silent.ask("late"), "late");
      silent.reset();
      client.reset();
      await sluice.ended(2);
    });
  });

  it("is as long as backlog says", async () => {
    using folder = new Folder();
    const path = folder.at("a.sock");
    const config = {
      listeners: { a: { bind: `unix:${path}`, to: "b", socket: { backlog: 7 } } },
      upstreams: { b: { servers: ["127.0.0.1:1"], health: "off" } },
    };
    await withConfig(config, async () => {
      const { stdout } = await run(["-lxn", "src", path], { command: ["ss"] });
      match(stdout, /LISTEN +0 +7 /);
    });
  });
});

describe("a unix listener's file", () => {
  it(
    "has the mode and the owner that are asked for, before anybody can connect",
    { skip: !isRoot },
    async () => {
      using folder = new Folder();
      const path = folder.at("a.sock");
      const config = {
        listeners: {
          a: { bind: `unix:${path}`, to: "b", socket: { mode: "0606", user: "65534", group: "nogroup" } },
        },
        upstreams: { b: { servers: ["127.0.0.1:1"], health: "off" } },
      };
      await withConfig(config, () => {
        const { mode, uid, gid } = statSync(path);
        deepStrictEqual([(mode & 0o777).toString(8), uid, gid], ["606", 65_534, 65_534]);
        return Promise.resolve();
      });
    },
  );
});

/** `sluice check` of a configuration, or a start with it, by whoever `command` makes one. */
async function checked(config: object, verb = "check", words: readonly string[] = []): Promise<Outcome> {
  using folder = new Folder();
  writeFileSync(folder.at("s.yaml"), JSON.stringify({ admin: "off", ...config }), { mode: 0o644 });
  await run(["755", folder.path], { command: ["chmod"] });
  return await run([verb, "-c", folder.at("s.yaml")], { command: [...words, EXECUTABLE] });
}

describe("what this machine refuses", () => {
  const upstreams = { b: { servers: ["127.0.0.1:1"], health: "off" } };
  const cases: [why: string, config: object, what: RegExp, status: number, words: readonly string[]][] = [
    [
      "an interface that is not there",
      {
        listeners: { a: { bind: "tcp://127.0.0.1:0", to: "b", socket: { interface: "nowhere9" } } },
        upstreams,
      },
      /listeners\.a\.socket\.interface: this machine has no such interface; `ip link` lists/,
      1,
      [],
    ],
    [
      "the same on the way to servers: it may come",
      {
        listeners: { a: { bind: "tcp://127.0.0.1:0", to: "b" } },
        upstreams: { b: { ...upstreams.b, socket: { interface: "nowhere9" } } },
      },
      /warning: upstreams\.b\.socket\.interface: this machine has no such interface/,
      0,
      [],
    ],
    [
      "what MPTCP lacks, at a listener",
      {
        listeners: {
          a: { bind: "tcp://127.0.0.1:0", to: "b", socket: { mptcp: true, "user-timeout": "5s" } },
        },
        upstreams,
      },
      /listeners\.a\.socket\.user-timeout: the kernel does not have it with mptcp: true; leave user-timeout or mptcp out/,
      1,
      [],
    ],
    [
      "what MPTCP lacks, to servers",
      {
        listeners: { a: { bind: "tcp://127.0.0.1:0", to: "b" } },
        upstreams: { b: { ...upstreams.b, socket: { mptcp: true, "user-timeout": "5s" } } },
      },
      /upstreams\.b\.socket\.user-timeout: the kernel does not have it with mptcp: true; leave user-timeout or mptcp out/,
      1,
      [],
    ],
    [
      "a source that is not there",
      {
        listeners: { a: { bind: "tcp://127.0.0.1:0", to: "b" } },
        upstreams: { b: { ...upstreams.b, source: "192.0.2.77" } },
      },
      /warning: upstreams\.b\.source: this machine has no such address/,
      0,
      [],
    ],
    [
      "a user that is not there",
      {
        listeners: { a: { bind: "unix:/tmp/sluice-nobody.sock", to: "b", socket: { user: "no-such-user" } } },
        upstreams,
      },
      /listeners\.a\.socket\.user: "no-such-user" is no user of this machine/,
      1,
      [],
    ],
    [
      "addresses of others without the right to them",
      {
        listeners: { a: { bind: "tcp://127.0.0.1:0", to: "b" } },
        upstreams: { b: { ...upstreams.b, source: "client" } },
      },
      /upstreams\.b\.source: this user may not take addresses that are not its own; .*CAP_NET_ADMIN/,
      1,
      AS_NOBODY,
    ],
    [
      "the same of a listener",
      { listeners: { a: { bind: "tcp://127.0.0.1:0", to: "b", socket: { transparent: true } } }, upstreams },
      /listeners\.a\.socket\.transparent: this user may not take addresses that are not its own/,
      1,
      AS_NOBODY,
    ],
  ];
  for (const [why, config, what, status, words] of cases) {
    it(why, { skip: words.length > 0 && !isRoot }, async () => {
      const check = await checked(config, "check", words);
      match(check.stdout + check.stderr, what);
      strictEqual(check.status, status, check.stdout + check.stderr);
      if (status === 0) return;
      const start = await checked(config, "run", words); // what a check says, a start finds
      match(start.stderr, /socket\.|source|no user/);
      strictEqual(start.status, 1);
    });
  }
});

it("an address to come from that is not there is trouble, with what to do, before anybody asks why", async () => {
  const config = {
    listeners: { a: { bind: "tcp://127.0.0.1:0", to: "b" }, c: { bind: "tcp://127.0.0.1:0", to: "d" } },
    upstreams: {
      b: { servers: ["127.0.0.1:1"], health: "off", source: "192.0.2.77" },
      d: { servers: ["127.0.0.1:1"], health: "off", socket: { interface: "nowhere9" } },
    },
  };
  await withConfig(config, async (sluice) => {
    const { upstreams, trouble } = await sluice.status();
    const problems = [
      "source 192.0.2.77: this machine has no such address, or not of the servers' family; " +
      "`ip addr` lists those it has",
      "socket.interface nowhere9: this machine has no such interface; `ip link` lists those it has",
    ];
    deepStrictEqual(upstreams.map(({ problem }) => problem), problems);
    deepStrictEqual(trouble, [
      `upstream "b": its servers cannot be connected to: ${problems[0]}`,
      `upstream "d": its servers cannot be connected to: ${problems[1]}`,
    ]);
    strictEqual(await knock(sluice.port()), "reset");
    const [{ reason, errno }] = await sluice.ended(1);
    strictEqual(`${reason} ${errno}`, "no_source ENODEV");
  });
});

const networks = openNetworks();
after(() => typeof networks === "string" || networks[Symbol.dispose]());

/** A client that says something and ends, at once or once it has heard something; what it heard until the end. */
const SAYS = `const [host, port, text, ends] = process.argv.slice(1);
  const socket = require("node:net").connect({ host, port: Number(port), allowHalfOpen: true });
  let heard = "";
  socket.on("connect", () => {
    const said = text.replace("\\\\r\\\\n", "\\r\\n");
    if (ends === "true") socket.end(said);
    else socket.write(said);
  });
  socket.on("data", (bytes) => {
    heard += bytes;
    if (ends !== "true") socket.end();
  });
  socket.on("error", (error) => heard += error.code);
  socket.on("close", () => process.stdout.write(heard));
  socket.setTimeout(4_000, () => socket.destroy());`;

/** Runs Sluice in the middle; its admin API is a unix socket, which no namespace keeps from us. */
async function inTheMiddle(config: object, test: (sluice: Sluice) => Promise<void>): Promise<void> {
  if (typeof networks === "string") return;
  using folder = new Folder();
  writeFileSync(folder.at("s.yaml"), JSON.stringify({ reactors: 1, ...config }));
  using sluice = await Sluice.start(["--admin", `unix:${folder.at("admin.sock")}`], {
    command: [...networks.inside("middle"), ...command("executable"), "run", "-c", folder.at("s.yaml")],
  });
  await test(sluice);
}

describe("where connections come from", { skip: typeof networks === "string" ? networks : false }, () => {
  if (typeof networks === "string") return;
  const said = (to: string, port: number, bytes = 0) =>
    networks.run(
      "client",
      `exec 3<>/dev/tcp/${to}/${port}; read -t 5 line <&3; echo $line; ` +
        (bytes === 0 ? "" : `head -c ${bytes} /dev/zero >&3 & head -c ${bytes} <&3 | wc -c`),
    ).trim().split("\n");
  const upstream = { servers: [`${SERVER}:7000`], health: "off" };

  it("is the proxy's own address unless told otherwise, and the one that source names", async () => {
    await networks.serve(7_000);
    networks.run("middle", "ip address add 10.79.2.9/32 dev eth2");
    const config = {
      listeners: {
        plain: { bind: "tcp://:8000", to: "plain" },
        named: { bind: "tcp://:8001", to: "named" },
      },
      upstreams: { plain: upstream, named: { ...upstream, source: "10.79.2.9" } },
    };
    await inTheMiddle(config, async (sluice) => {
      deepStrictEqual(said(MIDDLE_OF_CLIENT, 8_000), [MIDDLE_OF_SERVER]);
      deepStrictEqual(said(MIDDLE_OF_CLIENT, 8_001), ["10.79.2.9"]);
      await sluice.ended(2);
      const problems = async () => (await sluice.status()).upstreams.map(({ problem }) => problem);
      deepStrictEqual(await problems(), [null, null]);
      networks.run("middle", "ip address del 10.79.2.9/32 dev eth2");
      const [, gone] = await problems();
      match(gone!, /^source 10\.79\.2\.9: this machine has no such address/, "it went while we ran");
    });
  });

  it("is the client's address, transparent, both families, bulk included", async () => {
    const config = {
      listeners: { a: { bind: "tcp://:8000", to: "four" }, b: { bind: "tcp://:8001", to: "six" } },
      upstreams: {
        four: { ...upstream, source: "client" },
        six: { servers: [`[${SERVER_6}]:7000`], health: "off", source: "client" },
      },
    };
    await inTheMiddle(config, async (sluice) => {
      const bytes = 8 << 20;
      deepStrictEqual(said(MIDDLE_OF_CLIENT, 8_000, bytes), [CLIENT, String(bytes)]);
      deepStrictEqual(said(MIDDLE_OF_CLIENT_6, 8_001, bytes), [CLIENT_6, String(bytes)]);
      await sluice.ended(2);
      networks.run("client", `exec 3<>/dev/tcp/${MIDDLE_OF_CLIENT}/8001; cat <&3 || true`);
      const [, , other] = await sluice.ended(3);
      strictEqual(`${other.reason} ${other.errno}`, "no_source ENODEV", "an IPv4 client to an IPv6 server");
      const { trouble } = await sluice.status();
      match(
        trouble.join(),
        /^1 connection had no address to come from in the last .*; sluice why no_source$/,
      );
    });
  });

  it("is so of datagrams, too", async () => {
    await networks.serveDatagrams(7_000);
    networks.run("middle", "ip address replace 10.79.2.9/32 dev eth2");
    const seen = (to: string, port: number) =>
      networks.run(
        "client",
        `exec 3<>/dev/udp/${to}/${port}; echo hi >&3; timeout 2 dd bs=100 count=1 status=none <&3 || true`,
      ).trim();
    const four = { servers: [`${SERVER}:7000`], health: "off" };
    const six = { servers: [`[${SERVER_6}]:7000`], health: "off" };
    const cases: [name: string, upstream: object, to: string, seen: string][] = [
      ["plain", four, MIDDLE_OF_CLIENT, MIDDLE_OF_SERVER],
      ["named", { ...four, source: "10.79.2.9" }, MIDDLE_OF_CLIENT, "10.79.2.9"],
      ["device", { ...four, socket: { interface: "eth2" } }, MIDDLE_OF_CLIENT, MIDDLE_OF_SERVER],
      ["client", { ...four, source: "client" }, MIDDLE_OF_CLIENT, CLIENT],
      ["client6", { ...six, source: "client" }, MIDDLE_OF_CLIENT_6, CLIENT_6],
      ["other", { ...six, source: "client" }, MIDDLE_OF_CLIENT, ""], // an IPv4 client, an IPv6 server
      ["gone", { ...four, source: "10.79.2.77" }, MIDDLE_OF_CLIENT, ""],
    ];
    const config = {
      listeners: Object.fromEntries(
        cases.map(([name], at) => [name, { bind: `udp://:${8_000 + at}`, to: name }]),
      ),
      upstreams: Object.fromEntries(cases.map(([name, upstream]) => [name, upstream])),
    };
    await inTheMiddle(config, async (sluice) => {
      cases.forEach(([name, , to, address], at) => strictEqual(seen(to, 8_000 + at), address, name));
      const { totals, upstreams } = await sluice.status();
      strictEqual(totals.ended.no_source, 2);
      const failed = upstreams.flatMap(({ servers }) => servers).map(({ connections }) => connections.failed);
      deepStrictEqual(failed, cases.map(() => 0), "no server is to blame");
    });
  });

  it("answers by the way that it came: a transparent listener takes what is meant for others", async () => {
    networks.run(
      "middle",
      "ip rule add iif eth1 lookup 101; ip route add local 10.99.0.0/16 dev lo table 101",
    );
    const config = {
      listeners: { a: { bind: "tcp://0.0.0.0:8000", to: "b", socket: { transparent: true } } },
      upstreams: { b: upstream },
    };
    await inTheMiddle(config, async (sluice) => {
      deepStrictEqual(said("10.99.1.2", 8_000), [MIDDLE_OF_SERVER]);
      await sluice.ended(1);
    });
  });

  it("hears one interface alone", async () => {
    const config = {
      listeners: { a: { bind: "tcp://:8000", to: "b", socket: { interface: "eth2" } } },
      upstreams: { b: upstream },
    };
    await inTheMiddle(config, () => {
      const shut = networks.run(
        "client",
        `exec 3<>/dev/tcp/${MIDDLE_OF_CLIENT}/8000 2>/dev/null || echo refused`,
      );
      strictEqual(shut.trim(), "refused");
      return Promise.resolve();
    });
  });

  it("sends the first bytes with the SYN, both sides", async () => {
    networks.run(
      "middle",
      "sysctl -qw net.ipv4.tcp_fastopen=3 net.ipv4.tcp_fastopen_blackhole_timeout_sec=0",
    );
    const config = {
      listeners: {
        front: { bind: "http://127.0.0.1:8000", to: "back" },
        back: {
          bind: "http://127.0.0.1:8001",
          socket: { "fast-open": 16 },
          routes: [{ respond: { status: 200, body: "pong" } }],
        },
      },
      upstreams: {
        back: {
          servers: ["127.0.0.1:8001"],
          health: "off",
          "keep-alive": "off",
          socket: { "fast-open": true },
        },
      },
    };
    await inTheMiddle(config, async () => {
      const counted = () => {
        const told = networks.run("middle", "nstat -asz TcpExtTCPFastOpenActive TcpExtTCPFastOpenPassive");
        return [...told.matchAll(/FastOpen(?:Active|Passive) +([0-9]+)/g)].map(([, count]) => Number(count));
      };
      const ask = () => networks.run("middle", "curl -s --max-time 5 http://127.0.0.1:8000/");
      strictEqual(ask(), "pong"); // has the cookie for those to come
      strictEqual(ask(), "pong");
      await until("a SYN with bytes", () => counted().every((count) => count > 0));
    });
  });

  it("connects at once for a client that has nothing to say: a FIN, or a PROXY header alone", async () => {
    const server = 7_001;
    networks.run(
      "middle",
      "sysctl -qw net.ipv4.tcp_fastopen=1 net.ipv4.tcp_fastopen_blackhole_timeout_sec=0",
    );
    networks.run("server", "sysctl -qw net.ipv4.tcp_fastopen=1027"); // for all that listen
    await networks.serve(server);
    const config = {
      listeners: {
        plain: { bind: "tcp://:8000", to: "back", socket: { "defer-accept": "5s" } }, // so that what comes is there
        proxied: { bind: "tcp://:8001", to: "back", "accept-proxy": `${CLIENT}/32` },
      },
      upstreams: {
        back: { servers: [`${SERVER}:${server}`], health: "off", socket: { "fast-open": true } },
      },
    };
    await inTheMiddle(config, async (sluice) => {
      const header = "PROXY UNKNOWN\r\n", greeting = `${MIDDLE_OF_SERVER}\n`;
      const says = (port: number, text: string, ends = true) =>
        networks.run(
          "client",
          `${process.execPath} -e '${SAYS}' ${MIDDLE_OF_CLIENT} ${port} ${JSON.stringify(text)} ${ends}`,
        );
      for (let nth = 0; nth < 2; nth++) strictEqual(says(8_000, "hello"), `${greeting}hello`);
      const active = networks.run("middle", "nstat -asz TcpExtTCPFastOpenActive");
      match(active, /FastOpenActive +[1-9]/, "a SYN with bytes");
      for (let nth = 0; nth < 5; nth++) strictEqual(says(8_000, ""), greeting);
      for (const ends of [true, false]) strictEqual(says(8_001, header, ends), greeting);
      strictEqual(says(8_001, `${header}hello`), `${greeting}hello`);
      const reasons = (await sluice.ended(10)).map(({ reason }) => reason);
      deepStrictEqual([...new Set(reasons)], ["finished"]);
    });
  });
});
