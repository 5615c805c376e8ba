// `sluice disable`, `enable`, `weight`, `log-level` of a process that runs, and what the log says of it.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { command, run, Sluice, withSluice } from "../support/executable.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { Folder } from "../support/folder.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

const CHECK = { interval: "100ms", timeout: "1s", fall: 1, rise: 1 };

async function verb(sluice: Sluice, ...words: string[]) {
  return await run([...words, "--admin", sluice.admin], { command: command("executable") });
}

async function well(sluice: Sluice, ...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await verb(sluice, ...words);
  deepStrictEqual([status, stderr], [0, ""], words.join(" "));
  return stdout;
}

async function trips(sluice: Sluice, count: number): Promise<void> {
  for (let nth = 0; nth < count; nth++) {
    using client = await Peer.connect(sluice.port());
    strictEqual(await client.ask("hello"), "hello");
    client.end();
    strictEqual(await client.ending(), "fin");
  }
}

describe("sluice disable and enable", () => {
  it("take a server out of traffic and checks, and back; what it has goes on", async () => {
    let isBroken = false;
    await using one = await Server.listen((peer) => isBroken ? peer.reset() : echo(peer));
    await using two = await Server.listen(echo);
    const config = {
      listeners: { in: { bind: "tcp://127.0.0.1:0", to: "app" } },
      upstreams: {
        app: { servers: [one.address, two.address], health: { ...CHECK, send: "hi", expect: "hi" } },
      },
    };
    await withConfig(config, async (sluice) => {
      const server = async () => (await sluice.status()).upstreams[0].servers[0];
      await until("checks of it", async () => (await server()).health === "up" ? true : undefined);
      using held = await Peer.connect(sluice.port()), other = await Peer.connect(sluice.port());
      for (const peer of [held, other]) strictEqual(await peer.ask("before"), "before");
      strictEqual(
        await well(sluice, "disable", one.address),
        `${one.address} of upstream app is disabled: it gets nothing new and is not checked, 1 connection goes on\n`,
      );
      match(await well(sluice, "disable", one.address), /is disabled already/);
      // Checks that were under way end; then nobody comes any more, though many checks would have been due.
      await sluice.until(
        "no verdict of it",
        ({ upstreams }) => upstreams[0].servers[0].health === "unchecked",
      );
      const before = one.connections, others = two.connections;
      await until(
        "checks of the other",
        () => Promise.resolve(two.connections >= others + 10 ? true : undefined),
      );
      await trips(sluice, 4);
      strictEqual(one.connections, before);
      for (const peer of [held, other]) strictEqual(await peer.ask("still"), "still");

      const { disabled, drained, health } = await server();
      deepStrictEqual({ disabled, drained, health }, { disabled: true, drained: false, health: "unchecked" });
      const labels = `{upstream="app",server="${one.address}"}`, metrics = await sluice.metrics();
      deepStrictEqual(
        ["disabled", "drained", "up", "weight"].map((name) => metrics.get(`sluice_server_${name}${labels}`)),
        [1, 0, 0, 0],
      );
      const { upstream } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}`);
      strictEqual(upstream!.servers[0].text, "not a candidate: it is disabled");
      match(await well(sluice, "servers", "--state", "disabled"), / 1 disabled +1 /);
      strictEqual((await sluice.get("/readyz")).status, 200);
      await well(sluice, "disable", two.address, "--upstream", "app");
      const readyz = await sluice.get("/readyz");
      deepStrictEqual([readyz.status, readyz.body], [
        503,
        'listener "in": upstream "app" takes nothing: all 2 servers are disabled\n',
      ]);
      await well(sluice, "enable", two.address);

      // A drain is undone by itself; enable undoes both.
      await well(sluice, "drain", one.address);
      strictEqual(
        await well(sluice, "drain", one.address, "--undo"),
        `${one.address} of upstream app is not drained any more; it is disabled: sluice enable undoes that\n`,
      );
      isBroken = true;
      await well(sluice, "enable", one.address);
      await sluice.until("it is checked again", ({ upstreams }) => upstreams[0].servers[0].health === "down");
      isBroken = false;
      await sluice.until("and well", ({ upstreams }) => upstreams[0].servers[0].health === "up");
      const mine = one.connections;
      await until("traffic to it", async () => {
        await trips(sluice, 1);
        return one.connections > mine ? true : undefined;
      });
      for (const peer of [held, other]) peer.end();
      const said = sluice.log("audit").map(({ message }) => message.replace(/; by .*/, ""));
      deepStrictEqual(said, [
        `${one.address} of upstream app: in use -> disabled, 1 connection at it`,
        `${two.address} of upstream app: in use -> disabled, 1 connection at it`,
        `${two.address} of upstream app: disabled -> in use, 1 connection at it`,
        `${one.address} of upstream app: disabled -> drained and disabled, 1 connection at it`,
        `${one.address} of upstream app: drained and disabled -> disabled, 1 connection at it`,
        `${one.address} of upstream app: disabled -> in use, 1 connection at it`,
      ]);
    });
  });

  it("one address is checked as long as one of its upstreams wants it", async () => {
    await using one = await Server.listen(echo);
    const app = { servers: [one.address], health: { ...CHECK, tcp: true } };
    const config = {
      listeners: {
        in: { bind: "tcp://127.0.0.1:0", to: "app" },
        other: { bind: "tcp://127.0.0.1:0", to: "db" },
      },
      upstreams: { app, db: app },
    };
    await withConfig(config, async (sluice) => {
      const health = ({ upstreams }: Awaited<ReturnType<Sluice["status"]>>) =>
        upstreams.map(({ servers: [{ health }] }) => health).join();
      await sluice.until("both up", (status) => health(status) === "up,up");
      await well(sluice, "disable", one.address, "--upstream", "db");
      await sluice.until("one of them", (status) => health(status) === "up,unchecked");
      await one.kill();
      await sluice.until("down", (status) => health(status) === "down,unchecked");
      await well(sluice, "enable", one.address, "--upstream", "db");
      await sluice.until("both down", (status) => health(status) === "down,down");
    });
  });
});

describe("sluice weight", () => {
  it("gives a server another share, and the configured one again", async () => {
    await using one = await HttpOrigin.listen(() => answered("one")),
      two = await HttpOrigin.listen(() => answered("two"));
    const config = {
      listeners: { web: { bind: "http://127.0.0.1:0", to: "app" } },
      upstreams: {
        app: {
          servers: [`${one.address};weight=3`, `${two.address};weight=3`],
          health: "off",
          "keep-alive": { idle: "300ms" },
        },
      },
    };
    await withConfig(config, async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      const share = async (requests: number): Promise<number> => {
        let ones = 0;
        for (let nth = 0; nth < requests; nth++) {
          const { body } = await client.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
          if (body.toString() === "one") ones++;
        }
        return ones;
      };
      /** Each reactor works by the new Plan at its next turn. */
      const settled = async () => {
        const { generation } = await sluice.status();
        await sluice.until(
          "the new Plan",
          ({ reactors }) => reactors.every((each) => each.generation === generation),
        );
      };
      strictEqual(await share(12), 6);
      strictEqual(
        await well(sluice, "weight", one.address, "9"),
        `${one.address} of upstream app has weight 9, in place of the configured 3\n`,
      );
      await settled();
      strictEqual(await share(12), 9);
      const [first] = (await sluice.status()).upstreams[0].servers;
      deepStrictEqual([first.weight, first.configured_weight], [9, 3]);
      match(await well(sluice, "servers", "--state", "reweighted"), / 9 \(not 3\) /);
      const metrics = await sluice.metrics(), labels = `{upstream="app",server="${one.address}"}`;
      strictEqual(metrics.get(`sluice_server_weight${labels}`), 9);
      strictEqual(metrics.get(`sluice_server_weight_configured${labels}`), 3);

      await well(sluice, "weight", one.address, "0");
      await settled();
      strictEqual(await share(6), 0);
      strictEqual(
        await well(sluice, "weight", one.address, "reset"),
        `${one.address} of upstream app has weight 3, as configured\n`,
      );
      match(await well(sluice, "weight", one.address, "--undo"), /has weight 3 already, as configured/);
      await settled();
      strictEqual(await share(12), 6);
      const said = sluice.log("audit").map(({ message }) => message.replace(/; by .*/, ""));
      deepStrictEqual(said, [
        `${one.address} of upstream app: weight 3 as configured -> weight 9`,
        `${one.address} of upstream app: weight 9 -> weight 0`,
        `${one.address} of upstream app: weight 0 -> weight 3 as configured`,
      ]);
    });
  });
});

describe("sluice log-level", () => {
  it("sets the log's level, and the configured one again; who did it is in the log", async () => {
    await withSluice(
      ["tcp://127.0.0.1:0=127.0.0.1:9", "--health", "off"],
      async (sluice) => {
        strictEqual(
          await well(sluice, "log-level", "error"),
          "the log's level is error, in place of the configured info\n",
        );
        strictEqual(
          await well(sluice, "log-level", "error"),
          "the log's level is error already, in place of the configured info\n",
        );
        deepStrictEqual((await sluice.status()).log_level, { now: "error", configured: "info" });
        match(await well(sluice, "status"), /, log level error \(not info\)\n/);
        strictEqual(await well(sluice, "log-level", "reset"), "the log's level is info, as configured\n");
        deepStrictEqual((await sluice.status()).log_level, { now: "info", configured: "info" });
        const [line, back] = sluice.log("audit");
        const uid = process.getuid?.() ?? 0;
        match(
          line.message,
          new RegExp(
            `^the log's level: info -> error; by 127\\.0\\.0\\.1:[0-9]+ \\(sluice/[0-9.]+\\S* \\(uid ${uid}.*, pid [0-9]+\\)\\)$`,
          ),
        );
        match(back.message, /^the log's level: error -> info as configured; by /);
        match(String(line.client), /^127\.0\.0\.1:[0-9]+$/);
        strictEqual(sluice.log("audit").length, 2);
      },
      {},
    );
  });
});

describe("what an operator said", () => {
  it("survives reloads, unless the file changes that very value", async () => {
    await using one = await Server.listen(echo),
      two = await Server.listen(echo),
      three = await Server.listen(echo);
    using folder = new Folder();
    const write = (weight: number, level: string, more: object = {}) =>
      writeFileSync(
        folder.at("sluice.yaml"),
        JSON.stringify({
          reactors: 1,
          log: { level },
          listeners: { in: { bind: "tcp://127.0.0.1:0", to: "app" } },
          upstreams: {
            app: {
              servers: [{ address: one.address, weight }, two.address, three.address],
              health: { ...CHECK, tcp: true },
              ...more,
            },
          },
        }),
      );
    write(2, "info");
    using sluice = await Sluice.start(["run", "-c", folder.at("sluice.yaml")]);
    let reloads = 0;
    const reload = async () => {
      process.kill(sluice.pid, "SIGHUP");
      reloads++;
      const done = () => sluice.log("reload").filter(({ message }) => /generation [0-9]+, in/.test(message));
      await until("a reload", () => Promise.resolve(done().length >= reloads ? true : undefined));
    };
    const now = async () => {
      const { upstreams: [{ servers }], log_level } = await sluice.status();
      return [
        ...servers.map(({ weight, drained, disabled }) => [weight, drained, disabled].join()),
        log_level.now,
      ];
    };
    await well(sluice, "weight", one.address, "5");
    await well(sluice, "drain", two.address);
    await well(sluice, "disable", three.address);
    await well(sluice, "log-level", "debug");
    const said = ["5,false,false", "1,true,false", "1,false,true", "debug"];
    deepStrictEqual(await now(), said);
    await reload();
    deepStrictEqual(await now(), said, "the same file");
    write(2, "info", { "slow-start": "1s", timeouts: { connect: "2s" } });
    await reload();
    deepStrictEqual(await now(), said, "other values of it");
    const checked = two.connections, unchecked = three.connections;
    await trips(sluice, 4);
    strictEqual(three.connections, unchecked, "nothing new, and no checks");
    await until(
      "checks of who is drained",
      () => Promise.resolve(two.connections > checked ? true : undefined),
    );
    write(3, "warn");
    process.kill(sluice.pid, "SIGHUP");
    match(
      (await sluice.line("overrides", /has ended/)).message,
      new RegExp(
        `^${one.address} of upstream app has weight 3, as configured now: weight 5, set at run time, has ended$`,
      ),
    );
    match(
      (await sluice.line("log", /has ended/)).message,
      /^the level is warn, as configured now: debug, set at run time/,
    );
    deepStrictEqual(await now(), ["3,false,false", "1,true,false", "1,false,true", "warn"]);
    await well(sluice, "enable", three.address);
    await sluice.until(
      "all checked",
      ({ upstreams: [{ servers }] }) => servers.every(({ health }) => health === "up"),
    );
    await sluice.finish();
  });
});

describe("what changes something", () => {
  it("says what is wrong with a command", async () => {
    await using one = await Server.listen(echo);
    await withSluice([`tcp://127.0.0.1:0=${one.address}`, "--health", "off"], async (sluice) => {
      const cases: [words: string[], said: RegExp][] = [
        [["disable"], /^sluice: disable: no server; write its address; sluice servers lists them\n$/],
        [["enable", "a:1", "b:1"], /^sluice: b:1: a second server; enable one at a time\n$/],
        [
          ["enable", "nobody:1"],
          /^sluice: server: there is no server nobody:1; sluice servers lists them\n$/,
        ],
        [["disable", one.address, "--upstream", "x"], /there is no upstream x/],
        [["weight", one.address], /^sluice: weight: no weight; write a number from 0 to 256, or reset\n$/],
        [["weight", one.address, "257"], /^sluice: weight: .*256/],
        [["weight", one.address, "rest"], /^sluice: weight: "rest" is no weight; did you mean "reset"\?\n$/],
        [["weight", one.address, "1", "2"], /^sluice: 2: a second server; weight one at a time\n$/],
        [["log-level"], /^sluice: log-level: no level; write debug, info, warn, error or reset\n$/],
        [["log-level", "wran"], /^sluice: log-level: "wran" is no level; did you mean "warn"\?\n$/],
        [["log-level", "info", "warn"], /a second level/],
        [["close"], /^sluice: close: nothing says which connections; write ids .* --client, or --all\n$/],
        [
          ["close", "17"],
          /^sluice: 17: no connection's id; sluice connections lists them; filters are flags\n$/,
        ],
        [["close", "abcd-1-1", "--all"], /exclude each other/],
        [["close", "--client", "x"], /^sluice: --client: /],
        [["close", "--listener", "x"], /no listener "x"/],
      ];
      for (const [words, said] of cases) {
        const { status, stdout, stderr } = await verb(sluice, ...words);
        deepStrictEqual([status, stdout], [2, ""], words.join(" "));
        match(stderr, said, words.join(" "));
      }
      ok(sluice.log("audit").length === 0);
      const { disabled, weight } = (await sluice.status()).upstreams[0].servers[0];
      deepStrictEqual([disabled, weight], [false, 1]);
    });
  });
});
