// The same Sluice on every runtime: a core of what a user relies on, against the executable and against the
// sources on Bun and on Deno.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { command, type Launcher, run, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { knock, Peer } from "../support/peer.ts";
import { echo, freePort, sayAndEnd, Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";

const LAUNCHERS: readonly Launcher[] = ["executable", "bun", "deno"];
const ALONE = ["--reactors", "2", "--health", "off"];

for (const launcher of LAUNCHERS) {
  const options = { command: command(launcher) };

  describe(`on ${launcher}`, () => {
    it("round robin over servers on TCP and unix sockets", async () => {
      using folder = new Folder();
      await using one = await Server.listen(sayAndEnd("1"));
      await using two = await Server.listen(sayAndEnd("2"), { path: folder.at("two.sock") });
      await using three = await Server.listen(sayAndEnd("3"), { host: "::1", port: 0 });
      const targets = [one, two, three].map(({ address }) => address).join();
      await withSluice([...ALONE, `tcp://:0=${targets}`], async (sluice) => {
        let answers = "";
        for (let turn = 0; turn < 9; turn++) {
          using client = await Peer.connect(sluice.port());
          answers += await client.readAll();
          client.end();
        }
        strictEqual(answers, answers.slice(0, 3).repeat(3));
        strictEqual([...answers.slice(0, 3)].sort().join(""), "123");
        strictEqual((await sluice.status()).runtime.name, launcher === "deno" ? "deno" : "bun");
      }, options);
    });

    it("64 MiB both ways, then half-close, then the other half", async () => {
      await using server = await Server.listen();
      await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        using client = await Peer.connect(sluice.port());
        using accepted = await server.accept();
        const [, up] = await Promise.all([
          sendStream(client, 64 << 20).then(() => client.end()),
          readStream(accepted),
        ]);
        const [, down] = await Promise.all([
          sendStream(accepted, 64 << 20).then(() => accepted.end()),
          readStream(client),
        ]);
        deepStrictEqual([up, down], [64 << 20, 64 << 20]);
        const [record] = await sluice.ended(1);
        deepStrictEqual([record.reason, record.up_bytes, record.down_bytes], [
          "finished",
          64 << 20,
          64 << 20,
        ]);
        ok((await sluice.status()).totals.bytes.spliced > 100 << 20);
      }, options);
    });

    it("resets in both directions", async () => {
      await using server = await Server.listen();
      await withSluice([...ALONE, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        for (const leaver of ["client", "server"]) {
          using client = await Peer.connect(sluice.port());
          using accepted = await server.accept();
          const [from, to] = leaver === "client" ? [client, accepted] : [accepted, client];
          from.reset();
          strictEqual(await to.ending(), "reset");
        }
        deepStrictEqual((await sluice.ended(2)).map(({ reason }) => reason), [
          "client_reset",
          "server_reset",
        ]);
      }, options);
    });

    it("a refusing server is passed over, checked, ejected and brought back", async () => {
      const port = await freePort();
      await using server = await Server.listen(echo);
      const checks = ["--health-interval", "100ms", "--health-timeout", "100ms"];
      const targets = `127.0.0.1:${port},${server.address}`;
      await withSluice(["--reactors", "2", ...checks, `tcp://127.0.0.1:0=${targets}`], async (sluice) => {
        for (let turn = 0; turn < 2; turn++) {
          using client = await Peer.connect(sluice.port());
          strictEqual(await client.ask("hello"), "hello");
          client.end();
        }
        match(
          (await sluice.line("health", / is down: /)).message,
          /connection_refused \(ECONNREFUSED\), 3 checks in a row/,
        );
        await using _back = await Server.listen(echo, port);
        await sluice.line("health", / is up again: /);
      }, options);
    });

    it("a check with a text to send and an expression to expect", async () => {
      await using server = await Server.listen(async (peer) => {
        await peer.readText(5);
        await peer.send("+PONG 7\r\n");
      });
      const checks = [
        "--health-send",
        "PING\\n",
        "--health-expect",
        "/^\\+PONG [0-9]/",
        "--health-interval",
        "100ms",
      ];
      await withSluice(
        ["--reactors", "1", ...checks, `tcp://127.0.0.1:0=${server.address}`],
        async (sluice) => {
          await sluice.line("health", / is up: /);
        },
        options,
      );
    });

    it("SIGTERM drains, SIGINT ends", async () => {
      await using server = await Server.listen(echo);
      for (const signal of ["SIGTERM", "SIGINT"] as const) {
        using sluice = await Sluice.start([...ALONE, `tcp://127.0.0.1:0=${server.address}`], options);
        using client = await Peer.connect(sluice.port());
        strictEqual(await client.ask("hello"), "hello");
        sluice.signal(signal);
        if (signal === "SIGTERM") {
          await sluice.line("drain", /^stopped accepting/);
          strictEqual(await client.ask("still here"), "still here");
          client.end();
        }
        strictEqual(await client.ending(), signal === "SIGTERM" ? "fin" : "reset");
        strictEqual(await sluice.exit(), 0);
        strictEqual(sluice.records[0].reason, signal === "SIGTERM" ? "finished" : "drained");
      }
    });

    it("nobody left: refused with a reset", async () => {
      const closed = `127.0.0.1:${await freePort()}`;
      await withSluice([...ALONE, `tcp://127.0.0.1:0=${closed}`], async (sluice) => {
        strictEqual(await knock(sluice.port()), "reset");
        strictEqual((await sluice.ended(1))[0].reason, "connection_refused");
      }, options);
    });

    it("mistakes, problems and questions have their status", async () => {
      const unknown = await run(["--unknown"], options);
      deepStrictEqual([unknown.status, unknown.stdout], [2, ""]);
      match(unknown.stderr, /--unknown: unknown flag/);
      await using other = await Server.listen(echo);
      const inUse = await run(["--admin", "off", `tcp://127.0.0.1:${other.port}=127.0.0.1:1`], options);
      deepStrictEqual([inUse.status, inUse.stdout], [1, ""]);
      match(inUse.stderr, /^sluice: .*already in use/m);
      const version = await run(["--version"], options);
      deepStrictEqual([version.status, version.stderr], [0, ""]);
      match(version.stdout, /^sluice [0-9.]+\n$/);
    });
  });
}
