// When connections or file descriptors run out: what cannot be served yet waits in the kernel, nothing is lost,
// the log says so once, and all goes on when there is room again.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { EXECUTABLE, run, Sluice, withSluice } from "../support/executable.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { openFds } from "../support/status.ts";

const ALONE = ["--reactors", "1", "--health", "off"];

/** Clients that have said something and been answered, or not yet. */
interface Asking {
  readonly client: Peer;
  readonly answer: Promise<string>;
  answered: boolean;
}

async function ask(port: number, text: string): Promise<Asking> {
  const client = await Peer.connect(port);
  const asking: Asking = { client, answered: false, answer: client.ask(text) };
  asking.answer.then(() => asking.answered = true, () => {});
  return asking;
}

const pausesOf = (sluice: Sluice) => sluice.log("accept").map(({ message }) => message.split(":")[0]);

describe("--max-connections", () => {
  for (const reactors of ["1", "2"]) {
    for (const accept of ["balanced", "reuseport"]) {
      it(`10 with 30 clients, --reactors ${reactors}, --accept ${accept}: the rest waits and is served`, async () => {
        await using server = await Server.listen(echo);
        const words = [
          "--health",
          "off",
          "--reactors",
          reactors,
          "--accept",
          accept,
          "--max-connections",
          "10",
        ];
        await withSluice([...words, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
          const all: Asking[] = [];
          for (let number = 0; number < 30; number++) all.push(await ask(sluice.port(), `client ${number}`));
          const status = await sluice.until("accepting to pause", ({ totals }) => totals.accept_pauses > 0);
          ok(
            status.totals.connections.now <= 10 + Number(reactors) - 1,
            `${status.totals.connections.now} at once`,
          );
          strictEqual(status.totals.connections.max, 10);
          strictEqual((await sluice.line("accept", /^paused/)).level, "warn");
          let left = all;
          while (left.length > 0) {
            await Promise.race(left.map(({ answer }) => answer));
            for (const { client } of left.filter(({ answered }) => answered)) client.end();
            left = left.filter(({ answered }) => !answered);
          }
          for (const [number, { answer }] of all.entries()) strictEqual(await answer, `client ${number}`);
          const records = await sluice.ended(30);
          deepStrictEqual(new Set(records.map(({ reason }) => reason)), new Set(["finished"]));
        });
      });
    }
  }

  it("is told once, however long it lasts, and once when it is over", async () => {
    await using server = await Server.listen(echo);
    await withSluice(
      [...ALONE, "--max-connections", "2", `tcp://127.0.0.1:0=${server.address}`],
      async (sluice) => {
        const first = [await ask(sluice.port(), "1"), await ask(sluice.port(), "2")];
        for (const { answer } of first) await answer;
        const waiting = await ask(sluice.port(), "3");
        await sluice.until("many pauses", ({ totals }) => totals.accept_pauses >= 20);
        deepStrictEqual(pausesOf(sluice), ["paused"]);
        match(sluice.log("accept")[0].message, /limit of 2 connections.*--max-connections/);
        strictEqual(waiting.answered, false);
        first[0].client.end();
        strictEqual(await waiting.answer, "3");
        first[1].client.end();
        waiting.client.end();
        await sluice.ended(3);
        const later = await ask(sluice.port(), "4");
        strictEqual(await later.answer, "4");
        await sluice.line("accept", /^goes on/);
        deepStrictEqual(pausesOf(sluice), ["paused", "goes on"]);
        later.client.end();
        await sluice.ended(4);
      },
    );
  });

  it("a client that waits and gives up costs nobody anything", async () => {
    await using server = await Server.listen(echo);
    await withSluice(
      [...ALONE, "--max-connections", "1", `tcp://127.0.0.1:0=${server.address}`],
      async (sluice) => {
        const first = await ask(sluice.port(), "1");
        await first.answer;
        const gone = await ask(sluice.port(), "gone");
        const patient = await ask(sluice.port(), "patient");
        gone.answer.catch(() => {});
        gone.client.reset();
        first.client.end();
        strictEqual(await patient.answer, "patient");
        patient.client.end();
        await sluice.until("all to be over", ({ totals }) => totals.connections.now === 0);
      },
    );
  });
});

describe("file descriptors", () => {
  it("a low limit that nobody asked to exceed is no warning", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const line = await sluice.line("limits", /^256 file descriptors carry [0-9]+ connections; .*ulimit -n/);
      strictEqual(line.level, "info");
      const { max } = (await sluice.status()).totals.connections;
      strictEqual(line.connections, max);
    }, { command: ["sh", "-c", 'ulimit -n 256; exec "$0" "$@"', EXECUTABLE] });
  });

  it("a low limit is said at start, and holds as a limit on connections", async () => {
    await using server = await Server.listen(echo);
    const words = [...ALONE, "--max-connections", "1000", `tcp://127.0.0.1:0=${server.address}`];
    await withSluice(words, async (sluice) => {
      const line = await sluice.line(
        "limits",
        /^256 file descriptors carry [0-9]+ connections, not 1000; .*ulimit -n.*--max-connections/,
      );
      strictEqual(line.level, "warn");
      const { max } = (await sluice.status()).totals.connections;
      strictEqual(line.connections, max);
      ok(max >= 10);
      const all: Asking[] = [];
      for (let number = 0; number < 3 * max; number++) all.push(await ask(sluice.port(), `client ${number}`));
      await sluice.line("accept", /^paused/);
      let left = all;
      while (left.length > 0) {
        await Promise.race(left.map(({ answer }) => answer));
        for (const { client } of left.filter(({ answered }) => answered)) client.end();
        left = left.filter(({ answered }) => !answered);
      }
      for (const [number, { answer }] of all.entries()) strictEqual(await answer, `client ${number}`);
      for (const { reason } of await sluice.ended(3 * max)) strictEqual(reason, "finished");
      strictEqual(pausesOf(sluice).filter((what) => what === "paused").length, 1);
    }, { command: ["sh", "-c", 'ulimit -n 256; exec "$0" "$@"', EXECUTABLE] });
  });

  it("the soft limit is raised to the hard one", async () => {
    await using server = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      strictEqual((await sluice.metrics()).get("process_max_fds"), 4_096);
    }, { command: ["sh", "-c", 'ulimit -Sn 128 && ulimit -Hn 4096 && exec "$0" "$@"', EXECUTABLE] });
  });

  it("a limit too low to work: status 1 and one line", async () => {
    const { status, stdout, stderr } = await run([
      ...ALONE,
      "--admin",
      "off",
      "tcp://127.0.0.1:0=127.0.0.1:1",
    ], {
      command: ["sh", "-c", 'ulimit -n 128; exec "$0" "$@"', EXECUTABLE],
    });
    strictEqual(stdout, "");
    match(stderr, /^sluice: .*128 file descriptors.*ulimit -n.*\n$/);
    strictEqual(status, 1);
  });

  it("when they run out all the same, accepting pauses, is told once, and goes on", async () => {
    await using server = await Server.listen(echo);
    const words = [...ALONE, "--access-log", "off"];
    using sluice = await Sluice.startWithoutAdmin([...words, `tcp://127.0.0.1:0=${server.address}`]);
    const first = await ask(sluice.port(), "first");
    await first.answer;
    // Room for two more connections; nobody counted on that.
    const fds = openFds(sluice.pid).length + 4;
    execFileSync("prlimit", [`--pid=${sluice.pid}`, `--nofile=${fds}:20000`]);
    const served = [await ask(sluice.port(), "second")];
    await served[0].answer;
    served.push(await ask(sluice.port(), "third"));
    await served[1].answer;
    const waiting = await ask(sluice.port(), "fourth");
    const line = await sluice.line("accept", /^paused: out of file descriptors \(EMFILE\)/);
    strictEqual(line.level, "warn");
    strictEqual(await first.client.ask("others go on"), "others go on");
    strictEqual(waiting.answered, false);
    for (const { client } of served) client.end();
    strictEqual(await waiting.answer, "fourth");
    await sluice.line("accept", /^goes on/);
    deepStrictEqual(pausesOf(sluice), ["paused", "goes on"]);
    for (const { client } of [first, waiting]) client.end();
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
    strictEqual(sluice.log("connection").length, 0);
  });
});
