// Trouble on our own side: files that are broken, a disk that takes nothing, a certificate that nobody wants,
// and the end of the process.
import { deepEqual, match, ok, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { SYSTEM_CLOCK } from "../../../src/control/acme/clock.ts";
import { Folder } from "../../support/folder.ts";
import { Pebble } from "../../support/pebble.ts";
import { until, within } from "../../support/waiting.ts";
import { Instance, Site } from "./acme_fixture.ts";

/** The one folder of a CA below a room. */
function below(storage: string, room: string): string {
  const [ca] = readdirSync(join(storage, room));
  return join(storage, room, ca);
}

describe("Acme, trouble on our side", () => {
  it("broken files are told, set aside and replaced; what is good stays", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const options = { storage: storage.at("acme"), names: ["a.example", "b.example"] };
    {
      await using instance = await Instance.start(options, pebble, site);
      for (const name of options.names) await instance.valid(name);
    }
    const place = below(options.storage, "certificates");
    writeFileSync(join(place, "a.example.pem"), "what a disk makes of it");
    writeFileSync(join(below(options.storage, "accounts"), "account.json"), "{");
    await using instance = await Instance.start(options, pebble, site);
    strictEqual(instance.of("b.example")!.state, "valid");
    await instance.valid("a.example");
    match(instance.text, /warn .*a\.example\.pem is broken and now called .*: there is no certificate in it/);
    match(instance.text, /warn .*account\.json is broken/);
    const aside = readdirSync(place).filter((name) => name.startsWith("a.example.pem.broken-"));
    strictEqual(readFileSync(join(place, aside[0]), "utf8"), "what a disk makes of it");
    deepEqual([aside.length, pebble.orders], [1, 3]);
  });

  it("a certificate that cannot be written is used, and written when the disk takes it", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const options = { storage: storage.at("acme"), names: ["c.example"], challenges: ["http-01" as const] };
    await using instance = await Instance.open(options, pebble, site);
    const place = below(options.storage, "certificates");
    site.onAsked = () => {
      site.onAsked = () => {};
      renameSync(place, `${place}.away`);
    };
    await instance.acme.start();
    const status = await instance.valid("c.example");
    strictEqual(status.serving, "issued");
    match(
      instance.text,
      /error the new certificate of c\.example is in use and cannot be written to the disk: .*ENOENT/,
    );
    renameSync(`${place}.away`, place);
    instance.clock.jump(61_000);
    const path = join(place, "c.example.pem");
    const kept = await until("the file", () => {
      try {
        return readFileSync(path, "utf8");
      } catch {
        return undefined;
      }
    });
    ok(kept.includes(instance.installed.get("c.example")!.keyPem.trim()));
    await until("rest", () => instance.of("c.example")!.nextMs > instance.clock.nowMs() + 3_600_000);
    strictEqual(pebble.orders, 1, "nothing was ordered again for it");
  });

  it("a storage that cannot be used keeps from ordering", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const options = { storage: storage.at("acme"), names: ["d.example"] };
    await using instance = await Instance.open(options, pebble, site);
    const place = below(options.storage, "locks");
    renameSync(place, `${place}.away`);
    writeFileSync(place, "a file where a folder was");
    await instance.acme.start();
    const { failure } = await instance.failed("d.example");
    match(failure!.why, /EEXIST|ENOTDIR|[Nn]ot a directory/);
    strictEqual(pebble.orders, 0);
  });

  it("a certificate that cannot be installed is told, kept, and not ordered over and over", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const options = { storage: storage.at("acme"), names: ["e.example"] };
    {
      await using instance = await Instance.open(options, pebble, site);
      instance.refusal = new Error("no room for it");
      await instance.acme.start();
      const status = await instance.valid("e.example");
      deepEqual([status.serving, pebble.orders], ["nothing", 1]);
      match(instance.text, /error the certificate of e\.example cannot be used: no room for it/);
    }
    await using next = await Instance.start(options, pebble, site);
    deepEqual([next.of("e.example")!.serving, pebble.orders], ["issued", 1]);
  });

  it("the proof that worked is the first one at the renewal", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    site.http = "wrong";
    await using instance = await Instance.start(
      { storage: storage.at("acme"), names: ["f.example"] },
      pebble,
      site,
    );
    const { nextMs } = await instance.valid("f.example");
    strictEqual(pebble.orders, 2);
    instance.clock.jump(nextMs - instance.clock.nowMs() + 1_000);
    await until("the renewal", () => instance.installed.get("f.example")!.times === 2);
    strictEqual(pebble.orders, 3);
  });

  it("a process that has nothing else to do ends, whatever waits for its renewal", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const folder = storage.at("acme");
    {
      await using instance = await Instance.start({ storage: folder, names: ["g.example"] }, pebble, site);
      await instance.valid("g.example");
    }
    const script = fileURLToPath(new URL("idle.ts", import.meta.url));
    const words = process.versions.bun === undefined ? ["run", "-A", "--no-check", script] : [script];
    const child = spawn(process.execPath, [...words, folder, pebble.directory, "g.example"], {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 60_000,
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    const status = await within("it to end", new Promise((resolve) => child.once("close", resolve)));
    deepEqual([status, output.trim()], [0, "valid"]);
  });
});

describe("SYSTEM_CLOCK", () => {
  it("a wait of months is no wait of a millisecond", async () => {
    let fired = false;
    const cancel = SYSTEM_CLOCK.after(90 * 24 * 3_600_000, () => fired = true);
    const waited = new Promise<void>((resolve) => SYSTEM_CLOCK.after(20, resolve));
    await within("a timer that keeps no process alive", waited); // within's own timer does
    cancel();
    strictEqual(fired, false);
  });
});
