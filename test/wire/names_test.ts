// Host names as targets: looked up in the hosts file and in DNS, again as their answers age; what an answer
// adds is served, what it takes away gets nothing new, and no answer changes nothing.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { withFiles } from "../support/etc_files.ts";
import { type Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { NameServer } from "../support/name_server.ts";
import { knock, Peer } from "../support/peer.ts";
import { echo, Server, silent } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

const ALONE = ["--reactors", "1", "--health", "off"];
const skip = process.getuid?.() !== 0 && "needs root, to give a process a hosts file of its own";

const addressesOf = async (sluice: Sluice) =>
  (await sluice.status()).upstreams[0].servers.map(({ address }) => address).sort();

async function untilServers(sluice: Sluice, addresses: readonly string[]): Promise<void> {
  const wanted = [...addresses].sort().join();
  await until(`the servers to be ${wanted}`, async () => (await addressesOf(sluice)).join() === wanted);
  await sluice.adopted();
}

async function serverOf(sluice: Sluice): Promise<string | null> {
  const before = sluice.records.length;
  using client = await Peer.connect(sluice.port());
  strictEqual(await client.ask("hello"), "hello");
  client.end();
  return (await sluice.ended(before + 1))[before].server;
}

describe("names in the hosts file", { skip }, () => {
  it("every address of a name is a server of its own; a change is taken up", async () => {
    using folder = new Folder();
    await using one = await Server.listen(echo, { host: "127.0.1.1", port: 0 });
    await using _two = await Server.listen(echo, { host: "127.0.1.2", port: one.port });
    await using _three = await Server.listen(echo, { host: "127.0.1.3", port: one.port });
    const hosts = folder.at("hosts"), at = (ip: string) => `${ip}:${one.port}`;
    writeFileSync(hosts, "127.0.1.1 db.test # the first\n127.0.1.2 DB.Test other.test\n");
    await withSluice([...ALONE, `tcp://127.0.0.1:0=db.test:${one.port}`], async (sluice) => {
      deepStrictEqual(await addressesOf(sluice), [at("127.0.1.1"), at("127.0.1.2")]);
      const both = [await serverOf(sluice), await serverOf(sluice)];
      deepStrictEqual(both.sort(), [at("127.0.1.1"), at("127.0.1.2")]);
      using staying = await Peer.connect(sluice.port());
      strictEqual(await staying.ask("hello"), "hello");
      writeFileSync(hosts, "127.0.1.3 db.test\n");
      await untilServers(sluice, [at("127.0.1.3")]);
      match((await sluice.line("discovery", /^db\.test is now /)).message, /is now 127\.0\.1\.3$/);
      for (let turn = 0; turn < 3; turn++) strictEqual(await serverOf(sluice), at("127.0.1.3"));
      strictEqual(await staying.ask("as before"), "as before");
      staying.end();
      await sluice.ended(6);
      strictEqual((await sluice.status()).upstreams[0].servers[0].target, `db.test:${one.port}`);
    }, withFiles({ hosts }));
  });
});

describe("names in DNS", { skip }, () => {
  it("are asked again when their TTL is over; new servers are checked", async () => {
    using folder = new Folder();
    using names = await NameServer.open();
    await using one = await Server.listen(silent, { host: "127.0.1.1", port: 0 });
    await using _two = await Server.listen(silent, { host: "127.0.1.2", port: one.port });
    const conf = folder.at("resolv.conf"), at = (ip: string) => `${ip}:${one.port}`;
    writeFileSync(conf, `nameserver ${names.address}\n`);
    names.names.set("db.sluice.test", ["127.0.1.1"]);
    const words = [
      "--reactors",
      "1",
      "--health-interval",
      "100ms",
      `tcp://127.0.0.1:0=db.sluice.test:${one.port}`,
    ];
    await withSluice(words, async (sluice) => {
      deepStrictEqual(await addressesOf(sluice), [at("127.0.1.1")]);
      names.names.set("db.sluice.test", ["127.0.1.2", "127.0.1.1"]);
      await untilServers(sluice, [at("127.0.1.1"), at("127.0.1.2")]);
      await sluice.until(
        "both to be up",
        ({ upstreams: [{ servers }] }) => servers.every(({ health }) => health === "up"),
      );
    }, withFiles({ "resolv.conf": conf }));
  });

  it("that fail later keep their last answer; that is said once, and their return is taken up", async () => {
    using folder = new Folder();
    using names = await NameServer.open();
    await using one = await Server.listen(echo, { host: "127.0.1.1", port: 0 });
    await using _two = await Server.listen(echo, { host: "127.0.1.2", port: one.port });
    const conf = folder.at("resolv.conf");
    writeFileSync(conf, `nameserver ${names.address}\n`);
    names.names.set("db.sluice.test", ["127.0.1.1"]);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=db.sluice.test:${one.port}`], async (sluice) => {
      names.names.set("db.sluice.test", "fail");
      const line = await sluice.line("discovery", /^cannot resolve db\.sluice\.test: .*keeping 127\.0\.1\.1/);
      strictEqual(line.level, "warn");
      strictEqual(await serverOf(sluice), `127.0.1.1:${one.port}`);
      const [kept] = (await sluice.status()).upstreams[0].names;
      deepStrictEqual([kept.name, kept.resolves, kept.addresses], ["db.sluice.test", false, ["127.0.1.1"]]);
      ok(kept.last_answer! <= kept.since! && kept.since! <= kept.last_failure!.at);
      strictEqual((await sluice.metrics()).get('sluice_discovery_up{name="db.sluice.test"}'), 0);
      names.names.set("db.sluice.test", ["127.0.1.2"]);
      await untilServers(sluice, [`127.0.1.2:${one.port}`]);
      const [back] = (await sluice.status()).upstreams[0].names;
      deepStrictEqual([back.resolves, back.addresses], [true, ["127.0.1.2"]]);
      strictEqual((await sluice.metrics()).get('sluice_discovery_up{name="db.sluice.test"}'), 1);
      strictEqual(await serverOf(sluice), `127.0.1.2:${one.port}`);
      strictEqual(sluice.log("discovery").filter(({ level }) => level === "warn").length, 1);
    }, withFiles({ "resolv.conf": conf }));
  });

  it("that appear after the start are taken up", async () => {
    using folder = new Folder();
    using names = await NameServer.open();
    await using one = await Server.listen(echo, { host: "127.0.1.1", port: 0 });
    const conf = folder.at("resolv.conf");
    writeFileSync(conf, `nameserver ${names.address}\n`);
    await withSluice([...ALONE, `tcp://127.0.0.1:0=late.sluice.test:${one.port}`], async (sluice) => {
      await sluice.line("discovery", /^cannot resolve late\.sluice\.test/);
      strictEqual(await knock(sluice.port()), "reset");
      strictEqual((await sluice.ended(1))[0].reason, "no_server");
      names.names.set("late.sluice.test", ["127.0.1.1"]);
      await untilServers(sluice, [`127.0.1.1:${one.port}`]);
      strictEqual(await serverOf(sluice), `127.0.1.1:${one.port}`);
      strictEqual((await sluice.get("/readyz")).status, 200);
    }, withFiles({ "resolv.conf": conf }));
  });
});
