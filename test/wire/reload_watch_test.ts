// --watch: the file, and whatever it is made of, is read again when it changes. And how the process may be asked, or
// may not.
import { match, ok, strictEqual } from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { run, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Peer } from "../support/peer.ts";
import { withReloads } from "../support/reloading.ts";
import { sayAndEnd, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

async function hears(port: number, name: string): Promise<void> {
  await until(`a client to hear ${name}`, async () => {
    using client = await Peer.connect(port);
    return String(await client.readAll()) === name;
  });
}

describe("--watch", () => {
  it("takes what is written in place, what a rename puts there, included files, and files of values", async () => {
    await using one = await Server.listen(sayAndEnd("one")), two = await Server.listen(sayAndEnd("two"));
    await using three = await Server.listen(sayAndEnd("three"));
    using folder = new Folder();
    const at = (name: string) => folder.at(name);
    const file = (server: string) =>
      `include: [conf.d/*.yaml]\nreactors: 1\nlisteners: {it: {bind: "tcp://127.0.0.1:0", to: app}}\n` +
      `upstreams: {app: {servers: ["${server}"], health: off}}\n`;
    mkdirSync(at("conf.d"));
    writeFileSync(at("sluice.yaml"), file(one.address));
    writeFileSync(at("server"), one.address);
    const words = ["run", "-c", at("sluice.yaml"), "--watch"];
    using sluice = await Sluice.start(words);
    const refusals = () =>
      sluice.log("reload").filter(({ message }) => /: not reloaded/.test(message)).length;
    await hears(sluice.port(), "one");
    writeFileSync(at("sluice.yaml"), file(two.address));
    await hears(sluice.port(), "two");
    writeFileSync(at("new"), file(`\${file:${at("server")}}`));
    renameSync(at("new"), at("sluice.yaml"));
    await hears(sluice.port(), "one");
    writeFileSync(at("server"), three.address);
    await hears(sluice.port(), "three");
    writeFileSync(at("conf.d/10.yaml"), `listeners: {more: {bind: "tcp://127.0.0.1:0", to: app}}\n`);
    await sluice.until("the second listener", ({ listeners }) => listeners.length === 2);
    const told = refusals();
    writeFileSync(at("broken"), "listeners: [");
    renameSync(at("broken"), at("conf.d/10.yaml"));
    await until("a refusal", () => refusals() > told);
    await hears(sluice.port(), "three");
    strictEqual(refusals(), told + 1, "once");
    writeFileSync(at("good"), `listeners: {other: {bind: "tcp://127.0.0.1:0", to: app}}\n`);
    renameSync(at("good"), at("conf.d/10.yaml"));
    await sluice.until(
      "the other listener",
      ({ listeners }) => listeners.some(({ name }) => name === "other"),
    );
    rmSync(at("conf.d/10.yaml"));
    await sluice.until("the first listener alone", ({ listeners }) => listeners.length === 1);
    await sluice.finish();
  });
});

describe("a reload that cannot be", () => {
  it("of what came from the command line: it says how to write that down", async () => {
    await using server = await Server.listen(sayAndEnd("one"));
    await withSluice([`tcp://127.0.0.1:0=${server.address}`, "--health", "off"], async (sluice) => {
      const { status, stderr } = await run(["reload", "--admin", sluice.admin]);
      strictEqual(status, 2);
      match(stderr, /came from the command line; write it to a file \(sluice print/);
      sluice.signal("SIGHUP");
      await sluice.line("reload", /SIGHUP: not reloaded/);
      using client = await Peer.connect(sluice.port());
      strictEqual(String(await client.readAll()), "one");
    });
  });

  it("while it drains: it goes on as before", async () => {
    await using server = await Server.listen(() => {});
    const config = {
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers: [server.address], health: "off" } },
    };
    await withReloads({ ...config, "drain-timeout": "60s" }, async (reloads) => {
      const { sluice } = reloads;
      using client = await Peer.connect(sluice.port());
      await sluice.until("it to be there", ({ totals }) => totals.connections.now === 1);
      sluice.signal("SIGTERM");
      await sluice.line("drain", /./);
      const { status, why } = await reloads.refuse();
      strictEqual(status, 1);
      ok(why[0].length > 0);
      client.end();
      client.reset();
      await sluice.exit();
    }).catch((error) => {
      if (!/ECONNREFUSED|socket/.test(String(error))) throw error; // it has ended, as it should
    });
  });
});
