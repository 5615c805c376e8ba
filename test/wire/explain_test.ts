// `sluice explain` as a user runs it: what it prints, its exit status, and what the running process says.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { Explanation } from "../../src/control/explain/explanation.ts";
import { command, type Launcher, run, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Peer } from "../support/peer.ts";
import { freePort, sayAndEnd, Server, silent } from "../support/servers.ts";
import { ask } from "../support/status.ts";

const ALONE = ["--reactors", "1", "--health", "off"];
const RFC_3339 = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/;
const QUICK = ["explain", "tcp://127.0.0.1:5432=10.0.0.1:1,10.0.0.2:1"];

describe("sluice explain", () => {
  it("answers from a file, with the place of everything in it", async () => {
    using folder = new Folder();
    const file = folder.at("s.yaml");
    writeFileSync(
      file,
      "listeners:\n  web:\n    bind: http://:8080\n    routes:\n      - match: { path: { regex: '^/a' } }\n" +
        "        to: app\nupstreams:\n  app: { servers: 10.0.0.1:80 }\n",
    );
    const { status, stdout, stderr } = await run(["explain", "-c", file, "PUT", "http://x:8080/a?b=c"]);
    deepEqual([status, stderr], [0, ""]);
    ok(
      stdout.startsWith(
        "PUT http://x:8080/a?b=c from 127.0.0.1:50000\n-> 10.0.0.1:80, by route listeners.web",
      ),
    );
    ok(stdout.includes(`  + web#1 (listeners.web.routes[0], ${file}:5:9): takes the request\n`), stdout);
  });

  it("answers of the quick mode, as JSON", async () => {
    const { status, stdout } = await run([
      ...QUICK,
      "--connect-timeout",
      "2s",
      "tcp://127.0.0.1:5432",
      "--format",
      "json",
    ]);
    equal(status, 0);
    const { decision, timeouts, state } = JSON.parse(stdout) as Explanation;
    deepEqual([decision.kind, decision.server], ["server", "10.0.0.1:1"]);
    deepEqual(state, { source: "configuration", generation: null, at: null, phase: null });
    deepEqual([timeouts[0].name, timeouts[0].ms, timeouts[0].from?.where], [
      "connect",
      2_000,
      "--connect-timeout",
    ]);
  });

  it("has an answer where nobody listens, too", async () => {
    const { status, stdout } = await run([...QUICK, "tcp://127.0.0.1:5433"]);
    equal(status, 0);
    match(stdout, /\nnobody listens on 127\.0\.0\.1:5433\n[^]*tcp on 127\.0\.0\.1:5432/);
  });

  const mistakes: readonly (readonly [words: readonly string[], says: RegExp])[] = [
    [["explain"], /^sluice: explain: no question; write tcp:\/\/HOST:PORT/],
    [["explain", "tcp://:1"], /^sluice: no LISTEN=TARGETS; /],
    [[...QUICK, "tcp://:1", "tcp://:2"], /^sluice: tcp:\/\/:2: a second question; ask one at a time\n$/],
    [[...QUICK, "tcp://:1", "--from", "x"], /^sluice: --from: "x" is no address of a client; write an IP/],
    [[...QUICK, "tcp://:1", "--admin", "off"], /^sluice: --admin: nobody is asked there; add --live/],
    [["explain", "-c", "/nowhere.yaml", "tcp://:1"], /^sluice: \/nowhere\.yaml: there is no such file/],
    [
      [...QUICK, "--live", "tcp://:1"],
      /^sluice: tcp:\/\/127\.0\.0\.1:5432=\S+: a configuration besides --live; leave it out/,
    ],
    [
      ["explain", "--live", "--reactors", "1", "tcp://:1"],
      /^sluice: --reactors: a configuration besides --live/,
    ],
    [["explain", "--live", "--admin", "off", "tcp://:1"], /^sluice: --admin: no admin API to ask; say where/],
    [
      ["explain", "--live", "--admin", "x", "tcp://:1"],
      /^sluice: --admin: "x" is no admin address; write unix/,
    ],
    [
      ["explain", "--format", "xml", "tcp://:1"],
      /^sluice: --format: unknown value "xml"; write text or json/,
    ],
  ];
  for (const [words, says] of mistakes) {
    it(`refuses ${words.join(" ")}`, async () => {
      const { status, stdout, stderr } = await run(words);
      deepEqual([status, stdout], [2, ""], stderr);
      match(stderr, says);
    });
  }

  it("says where nobody answers, with status 1", async () => {
    const port = await freePort();
    const words = ["explain", "--live", "--admin", `http://127.0.0.1:${port}`, "tcp://:1"];
    const { status, stdout, stderr } = await run(words);
    deepEqual([status, stdout], [1, ""]);
    equal(
      stderr,
      `sluice: nobody answers on http://127.0.0.1:${port} (ECONNREFUSED); ` +
        "start Sluice, or say where it is with --admin\n",
    );
  });

  it("gives up on who takes the connection and says nothing", async () => {
    await using server = await Server.listen(silent);
    const words = ["explain", "--live", "--admin", `http://127.0.0.1:${server.port}`, "tcp://:1"];
    const { status, stderr } = await run(words, { deadlineMs: 20_000 });
    equal(status, 1, stderr);
    match(stderr, /does not answer within 10 s/);
  });

  it("tells an older Sluice, or another server, by its 404", async () => {
    await using server = await Server.listen(
      sayAndEnd("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    );
    const { status, stderr } = await run([
      "explain",
      "--live",
      "--admin",
      `http://${server.address}`,
      "tcp://:1",
    ]);
    equal(status, 1);
    match(stderr, /has no \/explain; is it an older Sluice\?/);
  });
});

describe("sluice explain --live", () => {
  for (const launcher of ["executable", "bun", "deno"] as const satisfies Launcher[]) {
    it(`on ${launcher}: has the process answer, through a unix socket`, async () => {
      using folder = new Folder();
      await using one = await Server.listen(sayAndEnd("1"));
      await using two = await Server.listen(sayAndEnd("2"));
      const admin = `unix:${folder.at("admin.sock")}`, options = { command: command(launcher) };
      const words = [...ALONE, "--admin", admin, `tcp://127.0.0.1:0=${one.address},${two.address}`];
      await withSluice(words, async (sluice) => {
        const question = `tcp://127.0.0.1:${sluice.port()}`;
        for (const server of [one, two, one]) {
          const asked = ["explain", "--live", "--admin", admin, question, "--format", "json"];
          const { status, stdout, stderr } = await run(asked, options);
          equal(status, 0, stderr);
          const { decision, state } = JSON.parse(stdout) as Explanation;
          equal(decision.server, server.address);
          deepEqual([state.source, state.generation, state.phase], ["running", 1, "ready"]);
          match(state.at!, RFC_3339);
          using client = await Peer.connect(sluice.port());
          equal((await client.readAll()).toString(), server === one ? "1" : "2");
          client.end();
        }
        const { stdout } = await run(["explain", "--live", "--admin", admin, question], options);
        match(stdout, /\nby the running process, ready, generation 1, at 2[0-9T:.-]+Z\n/);
      }, options);
    });
  }

  it("finds the process, and its token, by the file that it runs", async () => {
    using folder = new Folder();
    const file = folder.at("s.yaml"), token = "a-token-that-is-long";
    const text = (admin: string) =>
      `admin: ${admin}\nadmin-token: ${token}\nlisteners: { a: { bind: "tcp://127.0.0.1:0", to: u } }\n` +
      "upstreams: { u: { servers: 127.0.0.1:1, health: off } }\n";
    writeFileSync(file, text("unix:" + folder.at("admin.sock")));
    using sluice = await Sluice.startWithoutAdmin(["--admin", "unix:" + folder.at("admin.sock")], {
      command: [...command("executable"), "run", "-c", file],
    });
    const [bind] = sluice.binds;
    const asked = ["explain", "--live", "-c", file, `tcp://${bind}`];
    const { status, stdout, stderr } = await run(asked);
    equal(status, 0, stderr);
    ok(!stdout.includes(token) && !stderr.includes(token));
    const without = await run([
      "explain",
      "--live",
      "--admin",
      "unix:" + folder.at("admin.sock"),
      `tcp://${bind}`,
    ]);
    equal(without.status, 1);
    match(without.stderr, /asks for the admin token; give --admin-token, SLUICE_ADMIN_TOKEN, or the file/);
    sluice.signal("SIGTERM");
    equal(await sluice.exit(), 0);
  });

  it("says since when and why a server is down", async () => {
    const port = await freePort();
    const flags = [
      "--health",
      "tcp",
      "--health-interval",
      "100ms",
      "--health-timeout",
      "100ms",
      "--health-fall",
      "2",
    ];
    await withSluice(["--reactors", "1", `tcp://127.0.0.1:0=127.0.0.1:${port}`, ...flags], async (sluice) => {
      await sluice.until(
        "the server to be down",
        ({ upstreams }) => upstreams[0].servers[0].health === "down",
      );
      const { body } = await ask(sluice.admin, `/explain?to=tcp://127.0.0.1:${sluice.port()}&format=text`);
      match(
        body,
        /\nthe connection is reset \(no_server\): upstream \S+ has no server to ask: its only server is down\n/,
      );
      match(
        body,
        /: not a candidate: down since 2[0-9T:.-]+Z, 2 failed checks: the server refused the connection\n/,
      );
    });
  });

  it("is refused with the reason, and status 2, where the question is no good to the process", async () => {
    await withSluice([...ALONE, "tcp://127.0.0.1:0=127.0.0.1:1"], async (sluice) => {
      const { status, body } = await ask(sluice.admin, "/explain");
      deepEqual([status, body.split(";")[0]], [400, "sluice: neither an address nor a URL"]);
    });
    const port = await freePort();
    const flags = [`tcp://127.0.0.1:${port}=127.0.0.1:1`, `tcp://127.0.0.2:${port}=127.0.0.1:1`];
    await withSluice([...ALONE, ...flags], async (sluice) => {
      const asked = ["explain", "--live", "--admin", sluice.admin, `tcp://db.example:${port}`];
      const { status, stderr } = await run(asked);
      equal(status, 2, stderr);
      match(
        stderr,
        /^sluice: tcp:\/\/db\.example:[0-9]+: several listen on port [0-9]+: .*; ask with one of these/,
      );
    });
  });

  it("bounds what may be asked", async () => {
    await withSluice([...ALONE, "http://127.0.0.1:0=127.0.0.1:1"], async (sluice) => {
      const long = await ask(sluice.admin, `/explain?to=http://x/${"a".repeat(9_000)}`);
      equal(long.status, 431);
      const most = await ask(
        sluice.admin,
        `/explain?to=http://x:${sluice.port()}/${"a".repeat(7_000)}&format=text`,
      );
      equal(most.status, 200);
    });
  });
});
