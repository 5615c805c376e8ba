// Lists of addresses at the wire: who is let in, what a change of a file does while connections are open, and what a
// broken file does not.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import type { Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { knock, Peer } from "../support/peer.ts";
import { echo, freePort, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

async function withEcho(listener: object, test: (sluice: Sluice) => Promise<void>): Promise<void> {
  await using server = await Server.listen(echo);
  await withConfig({
    reactors: 2,
    listeners: { in: { bind: "tcp://127.0.0.1:0", to: "u", ...listener } },
    upstreams: { u: { servers: [server.address], health: "off" } },
  }, test);
}

/** Whether a client from there is served. */
async function isServed(sluice: Sluice, from: string): Promise<boolean> {
  const client = await Peer.connect(sluice.port(), from).catch(() => undefined);
  if (client === undefined) return false;
  using peer = client;
  return await peer.ask("hi").then(() => true, () => false);
}

async function served(sluice: Sluice, ...from: string[]): Promise<boolean[]> {
  const all: boolean[] = [];
  for (const one of from) all.push(await isServed(sluice, one));
  return all;
}

async function told(sluice: Sluice, from: string): Promise<{ text: string; steps: string[] }> {
  const { decision, admission } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}&from=${from}`);
  return { text: decision.text, steps: admission!.steps.map(({ text }) => text) };
}

describe("lists", () => {
  it("deny goes before allow, and who is in neither is refused where there is an allow", async () => {
    const listener = { allow: ["127.0.0.0/30", "127.0.0.9"], deny: ["127.0.0.2", "198.51.100.0/24"] };
    await withEcho(listener, async (sluice) => {
      deepStrictEqual(
        await served(sluice, "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9"),
        [true, false, true, false, true],
      );
      const { listeners, totals } = await sluice.status();
      deepStrictEqual(listeners[0].refused, { denied: 1, not_allowed: 1 });
      strictEqual(totals.connections.total, 3, "who is refused is no connection");
    });
  });

  it("an HTTP listener over IPv6 knows a mapped address as IPv4", async () => {
    await withConfig({
      listeners: {
        in: {
          bind: "http://[::]:0",
          routes: [{ respond: { status: 200, body: "in" } }],
          deny: "127.0.0.0/8",
        },
      },
    }, async (sluice) => {
      strictEqual(await knock(sluice.port()), "reset");
      using client = await Peer.connect({ host: "::1", port: sluice.port() });
      await client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      match((await client.readAll()).toString(), /^HTTP\/1\.1 200 /);
    });
  });

  it('who comes through a unix socket is "unix"', async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const yes = folder.at("yes"), no = folder.at("no");
    await withConfig({
      listeners: {
        yes: { bind: `unix:${yes}`, to: "u", allow: "unix" },
        no: { bind: `unix:${no}`, to: "u", allow: ["0.0.0.0/0", "::/0"] },
      },
      upstreams: { u: { servers: [server.address], health: "off" } },
    }, async () => {
      using client = await Peer.connect({ path: yes });
      strictEqual(await client.ask("hi"), "hi");
      using other = await Peer.connect({ path: no });
      ok(["reset", "fin"].includes(await other.ending()));
    });
  });

  it("a file that changes is read again; who is in stays in; a broken one changes nothing", async () => {
    using folder = new Folder();
    const file = folder.at("deny.txt"), linked = folder.at("real.txt");
    writeFileSync(linked, "127.0.0.2 # somebody\n");
    symlinkSync(linked, file);
    await withEcho({ deny: ["127.0.0.7", `file:${file}`] }, async (sluice) => {
      deepStrictEqual(await served(sluice, "127.0.0.1", "127.0.0.2", "127.0.0.7"), [true, false, false]);
      using before = await Peer.connect(sluice.port(), "127.0.0.3");
      strictEqual(await before.ask("hi"), "hi");

      writeFileSync(folder.at("next"), "# all of them\n127.0.0.2\n127.0.0.3/32\n");
      renameSync(folder.at("next"), linked);
      await sluice.line("lists", /deny\.txt was read again: 2 entries$/);
      await sluice.adopted();
      await until("the file to be in use", async () => !await isServed(sluice, "127.0.0.3"));
      deepStrictEqual(await served(sluice, "127.0.0.1", "127.0.0.2", "127.0.0.7"), [true, false, false]);
      strictEqual(await before.ask("still here"), "still here");
      match((await told(sluice, "127.0.0.3")).steps[0], /is in 127\.0\.0\.3, .*deny\.txt line 3$/);

      writeFileSync(linked, "127.0.0.9\n127.0.0.256\nlocalhost\n10.1.2.3/8\n");
      await sluice.line(
        "lists",
        /deny\.txt cannot be used as it is: what was read before stays in use, 2 entries/,
      );
      const lines = sluice.log("lists").map(({ message }) => message);
      for (const [line, what] of [[2, "is no prefix"], [3, "is a name"], [4, "has bits behind"]]) {
        ok(
          lines.some((said) => said.includes(`line ${line}: `) && said.includes(`${what}`)),
          lines.join("\n"),
        );
      }
      deepStrictEqual(await served(sluice, "127.0.0.9", "127.0.0.3"), [true, false]);
      const { lists, trouble } = await sluice.status();
      deepStrictEqual([lists[0].file, lists[0].entries], [file, 2]);
      match(lists[0].problem ?? "", /line 2: /);
      match(
        trouble.join(),
        /list .* cannot be used as it is now, and what was read before stays in use: .*line 2: /,
      );
      strictEqual((await sluice.metrics()).get(`sluice_list_problem{file="${file}"}`), 1);

      rmSync(file);
      await sluice.line("lists", /deny\.txt"?: there is no such file/);
      strictEqual(await isServed(sluice, "127.0.0.3"), false);

      writeFileSync(file, "");
      await sluice.line("lists", /deny\.txt was read again: 0 entries$/);
      await sluice.adopted();
      await until("the empty file to be in use", () => isServed(sluice, "127.0.0.3"));
      deepStrictEqual(await served(sluice, "127.0.0.2", "127.0.0.7"), [true, false]);
      strictEqual((await sluice.status()).lists[0].problem, null);
    });
  });

  it("a hundred thousand entries, changed while connections come", async () => {
    using folder = new Folder();
    const file = folder.at("deny.txt");
    const many = Array.from(
      { length: 100_000 },
      (_, nth) => `10.${nth >> 16}.${(nth >> 8) & 255}.${nth & 255}`,
    );
    writeFileSync(file, many.join("\n"));
    await withEcho({ deny: `file:${file}` }, async (sluice) => {
      strictEqual((await sluice.status()).lists[0].entries, 100_000);
      match((await told(sluice, "10.1.134.159")).text, /\(denied\)/);
      writeFileSync(folder.at("next"), [...many, "127.0.0.2"].join("\n"));
      renameSync(folder.at("next"), file);
      let refusals = 0;
      await until("the new entry to count", async () => {
        if (!await isServed(sluice, "127.0.0.1")) refusals++;
        return !await isServed(sluice, "127.0.0.2");
      });
      strictEqual(refusals, 0, "who is not in it is served all the time");
    });
  });
});

describe("a start with a broken file", () => {
  it("says which lines, and ends with status 2", async () => {
    using folder = new Folder();
    const file = folder.at("deny.txt");
    writeFileSync(file, "10.0.0.0/8\nnobody\n");
    const { run } = await import("../support/executable.ts");
    const port = await freePort();
    const outcome = await run([`tcp://127.0.0.1:${port}=127.0.0.1:1`, "--deny", `file:${file}`]);
    strictEqual(outcome.status, 2);
    match(
      outcome.stderr,
      /--deny: ".*deny\.txt" line 2: "nobody" is no prefix of IP addresses; write a prefix/,
    );
  });
});
