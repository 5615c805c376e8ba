// Several instances on one storage: one order between them, whoever dies.
import { deepEqual, match, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Folder } from "../../support/folder.ts";
import { Pebble } from "../../support/pebble.ts";
import { until, within } from "../../support/waiting.ts";
import { Instance, Site } from "./acme_fixture.ts";

describe("Acme, several instances on one storage", () => {
  it("at the same time they make one account key and one order; the others take it from the disk", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const options = { storage: storage.at("acme"), names: ["a.example", "b.example"] };
    const instances = await Promise.all([1, 2, 3].map(() => Instance.open(options, pebble, site)));
    await using first = instances[0];
    await using second = instances[1];
    await using third = instances[2];
    strictEqual(new Set(instances.map(({ acme }) => acme.thumbprint)).size, 1);
    await Promise.all(instances.map(({ acme }) => acme.start()));
    for (const name of options.names) {
      // Whoever waits looks again every few seconds: here they are spared that.
      await until(`${name} everywhere`, () => {
        for (const { clock } of instances) clock.jump(1_000);
        return instances.every((instance) => instance.of(name)!.state === "valid");
      }, 30_000);
      const chains = [first, second, third].map(({ installed }) => installed.get(name)!.chainPem.trim());
      strictEqual(new Set(chains).size, 1);
    }
    deepEqual([pebble.orders, pebble.issued], [2, 2]);
    strictEqual(instances.reduce((sum, { acme }) => sum + acme.status().issued, 0), 2);
  });

  it("of two renewals that are due, one orders", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const options = { storage: storage.at("acme"), names: ["c.example"] };
    await using first = await Instance.start(options, pebble, site);
    const { nextMs } = await first.valid("c.example");
    await using second = await Instance.start(options, pebble, site);
    strictEqual(second.of("c.example")!.state, "valid");
    for (const { clock } of [first, second]) clock.jump(nextMs - clock.nowMs() + 60_000);
    await until("both to have the new one", () => {
      for (const { clock } of [first, second]) clock.jump(1_000);
      return [first, second].every(({ installed }) => installed.get("c.example")!.times === 2);
    }, 30_000);
    strictEqual(
      first.installed.get("c.example")!.chainPem.trim(),
      second.installed.get("c.example")!.chainPem.trim(),
    );
    strictEqual(pebble.orders, 2);
  });

  it("an instance that is killed while it orders is not waited for", async () => {
    await using pebble = await Pebble.start();
    using storage = new Folder();
    const folder = storage.at("acme");
    // A site where the CA gets no answer: the order stays open until its holder is killed.
    const asked = Promise.withResolvers<void>();
    const silent = createServer(() => asked.resolve());
    await within(
      "a port",
      new Promise<void>((resolve) => silent.listen(pebble.httpPort, "127.0.0.1", resolve)),
    );
    const script = fileURLToPath(new URL("holder.ts", import.meta.url));
    const words = process.versions.bun === undefined ? ["run", "-A", "--no-check", script] : [script];
    const holder = spawn(process.execPath, [...words, folder, pebble.directory, pebble.ca, "d.example"], {
      stdio: ["ignore", "inherit", "inherit"],
      timeout: 60_000,
    });
    try {
      await within("the CA to come", asked.promise);
      await using waiting = await Instance.start({ storage: folder, names: ["d.example"] }, pebble);
      await waiting.until("d.example", ({ state }) => state === "elsewhere", "the other's lock");
      const gone = new Promise((resolve) => holder.once("exit", resolve));
      holder.kill("SIGKILL");
      await within("the holder to be gone", gone);
      silent.closeAllConnections();
      await within("a port to be free", new Promise((resolve) => silent.close(resolve)));
      await using site = await Site.open(pebble);
      site.thumbprint = waiting.acme.thumbprint;
      waiting.clock.jump(10_000); // to the next look; the lock itself would have lasted for two minutes
      await waiting.valid("d.example");
      match(waiting.text, /debug d\.example is being ordered by another instance/);
    } finally {
      holder.kill("SIGKILL");
      silent.closeAllConnections();
      silent.close();
    }
  });
});
