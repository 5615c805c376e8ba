// `sluice drain` of a process that runs: the server gets nothing new, what it has goes on; and back.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { command, run, type Sluice, withSluice } from "../support/executable.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";

const ALONE = ["--reactors", "2", "--health", "off"];

async function verb(sluice: Sluice, ...words: string[]) {
  return await run(["drain", ...words, "--admin", sluice.admin], { command: command("executable") });
}

async function trips(sluice: Sluice, count: number): Promise<void> {
  for (let nth = 0; nth < count; nth++) {
    using client = await Peer.connect(sluice.port());
    strictEqual(await client.ask("hello"), "hello");
    client.end();
    strictEqual(await client.ending(), "fin");
  }
}

describe("sluice drain", () => {
  it("sends nothing new to a server, lets go on what it has, and undoes it", async () => {
    await using one = await Server.listen(echo), two = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${one.address},${two.address}`], async (sluice) => {
      const held = [await Peer.connect(sluice.port()), await Peer.connect(sluice.port())];
      for (const peer of held) strictEqual(await peer.ask("before"), "before");
      const drained = await verb(sluice, one.address);
      strictEqual(drained.stderr, "");
      strictEqual(drained.status, 0);
      strictEqual(
        drained.stdout,
        `${one.address} of upstream tcp://127.0.0.1:0 is drained: it gets nothing new, 1 connection goes on\n`,
      );
      await trips(sluice, 6);
      deepStrictEqual([one.connections, two.connections], [1, 7]);
      for (const peer of held) strictEqual(await peer.ask("still"), "still");

      const [first] = (await sluice.status()).upstreams[0].servers;
      const listed = await run([
        "servers",
        "--admin",
        sluice.admin,
        "--state",
        "drained",
        "--format",
        "json",
      ]);
      deepStrictEqual(
        JSON.parse(listed.stdout).servers.map(({ address }: { address: string }) => address),
        [first.address],
      );
      deepStrictEqual([first.drained, first.connections.now], [true, 1]);
      const metrics = await sluice.metrics(),
        labels = `{upstream="tcp://127.0.0.1:0",server="${one.address}"}`;
      strictEqual(metrics.get(`sluice_server_drained${labels}`), 1);
      strictEqual(metrics.get(`sluice_server_weight${labels}`), 0);
      const { upstream } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}`);
      strictEqual(upstream!.servers[0].text, "not a candidate: it is drained");
      match((await verb(sluice, one.address)).stdout, /is drained already/);

      const undone = await verb(sluice, "127.0.0.1", "--undo", "--format", "json");
      deepStrictEqual(
        JSON.parse(undone.stdout).servers.map(({ changed }: { changed: boolean }) => changed),
        [true, false],
      );
      await trips(sluice, 6);
      deepStrictEqual([one.connections, two.connections], [4, 10]);
      for (const peer of held) peer.end();
      ok(
        sluice.log("audit").some(({ message }) =>
          message.includes(": in use -> drained, 1 connection at it; by")
        ),
      );
    });
  });

  it("lets a request go on, and sends the client's next one elsewhere", async () => {
    let go = () => {};
    await using one = await HttpOrigin.listen(async () => {
      await new Promise<void>((resolve) => go = resolve);
      return answered("one");
    });
    await using two = await HttpOrigin.listen(() => answered("two"));
    const config = {
      listeners: { web: { bind: "http://127.0.0.1:0", to: "app" } },
      upstreams: {
        app: {
          servers: [one.address, `${two.address};backup`],
          health: "off",
          "keep-alive": { idle: "300ms" },
        },
      },
    };
    await withConfig(config, async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", first = client.ask(get);
      while (one.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
      strictEqual((await verb(sluice, one.address, "--upstream", "app")).status, 0);
      go();
      strictEqual((await first).body.toString(), "one");
      strictEqual((await client.ask(get)).body.toString(), "two");
      await verb(sluice, two.address);
      strictEqual((await client.ask(get)).head.line, "HTTP/1.1 503 Service Unavailable");
      strictEqual((await sluice.get("/readyz")).status, 503);
    });
  });

  it("says what is wrong with a question", async () => {
    await using one = await Server.listen(echo);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=${one.address}`], async (sluice) => {
      const cases: [words: string[], said: RegExp][] = [
        [[], /^sluice: drain: no server; write its address; sluice servers lists them\n$/],
        [["a:1", "b:1"], /^sluice: b:1: a second server; drain one at a time\n$/],
        [["nobody:1"], /^sluice: server: there is no server nobody:1; sluice servers lists them\n$/],
        [[one.address, "--upstream", "x"], /there is no upstream x/],
      ];
      for (const [words, said] of cases) {
        const { status, stdout, stderr } = await verb(sluice, ...words);
        deepStrictEqual([status, stdout], [2, ""], words.join(" "));
        match(stderr, said);
      }
      // What a page in a browser could send without asking first.
      const headers = { "Content-Type": "text/plain" }, body = JSON.stringify({ server: one.address });
      strictEqual((await fetch(`${sluice.admin}/drain`, { method: "POST", headers, body })).status, 415);
      strictEqual((await sluice.get("/drain")).status, 405);
      strictEqual((await sluice.status()).upstreams[0].servers[0].drained, false);
    });
  });
});
