// What happens after the first certificate: its renewal, and bad days at the CA or on the way to us.
import { deepEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, it } from "node:test";
import { Folder } from "../../support/folder.ts";
import { Pebble } from "../../support/pebble.ts";
import { until } from "../../support/waiting.ts";
import { Instance, MovableClock, Site } from "./acme_fixture.ts";

const MINUTE_MS = 60_000;

/** How long the CA's certificates are good for. */
function lifetimeMs({ installed }: Instance, name: string): number {
  const leaf = new X509Certificate(installed.get(name)!.chainPem);
  return Date.parse(leaf.validTo) - Date.parse(leaf.validFrom);
}

describe("Acme, renewal", () => {
  it("two thirds of its time on, a certificate is replaced, with a new key; not before", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    await using instance = await Instance.start(
      { storage: storage.at("acme"), names: ["a.example"] },
      pebble,
      site,
    );
    const { nextMs } = await instance.valid("a.example");
    const before = instance.installed.get("a.example")!;
    const lifeMs = lifetimeMs(instance, "a.example");
    const part = (nextMs - instance.clock.nowMs()) / lifeMs;
    ok(part > 2 / 3 - 1 / 20 - 0.001 && part <= 2 / 3, `renewed after ${part} of its life`);
    instance.clock.jump(nextMs - instance.clock.nowMs() - MINUTE_MS);
    strictEqual(instance.of("a.example")!.state, "valid");
    strictEqual(pebble.orders, 1);
    instance.clock.jump(2 * MINUTE_MS);
    await until("a second certificate", () => instance.installed.get("a.example")!.times === 2);
    const after = await instance.valid("a.example");
    notStrictEqual(instance.installed.get("a.example")!.keyPem, before.keyPem);
    strictEqual(pebble.orders, 2);
    // By this clock the new one is old already. It is not replaced over and over for that.
    ok(after.nextMs >= instance.clock.nowMs() + lifeMs / 10 - MINUTE_MS);
  });

  it("CA down: the old certificate goes on, everything waits for the CA alone, and its return is seen", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const names = ["b.example", "c.example"];
    await using instance = await Instance.start({ storage: storage.at("acme"), names }, pebble, site);
    for (const name of names) await instance.valid(name);
    const { chainPem } = instance.installed.get("b.example")!;
    await pebble.kill();
    instance.clock.jump(lifetimeMs(instance, "b.example") * 0.67);
    for (const name of names) {
      const status = await instance.failed(name);
      match(status.failure!.why, /ECONNREFUSED|refused/i);
      deepEqual([status.serving, status.failures], ["issued", 0], "it is not the name that has failed");
      const waitMs = status.nextMs - instance.clock.nowMs();
      ok(waitMs > 0 && waitMs <= MINUTE_MS, `next attempt in ${waitMs} ms`);
    }
    const held = instance.acme.status().held!;
    match(held.why, /https:\/\/127\.0\.0\.1/);
    strictEqual(instance.installed.get("b.example")!.chainPem, chainPem);
    match(
      instance.text,
      /warn no new certificate for b\.example: .*; the old certificate, which ends .*, goes on; next/,
    );

    // Each failure of the CA doubles the wait, and counts once however many names have met it.
    instance.clock.jump(held.untilMs - instance.clock.nowMs() + 1);
    const second = await until("another attempt", () => {
      const now = instance.acme.status().held;
      return now !== undefined && now.untilMs !== held.untilMs && now;
    });
    const waitMs = second.untilMs - instance.clock.nowMs();
    ok(waitMs > MINUTE_MS && waitMs <= 2 * MINUTE_MS, `next attempt in ${waitMs} ms`);

    await pebble.start(); // without memory: it knows neither our account nor its URL
    instance.clock.jump(second.untilMs - instance.clock.nowMs() + 1);
    for (const name of names) {
      await until(`a new certificate of ${name}`, () => instance.installed.get(name)!.times === 2);
      await instance.valid(name);
    }
    strictEqual(instance.acme.status().held, undefined);
    strictEqual(instance.text.match(/info account /g)?.length, 2, "the same key was made known again");
  });

  it("a site that answers wrongly: every kind is tried, the reason is told, the name backs off", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    site.http = "wrong";
    site.tls = false;
    const options = { storage: storage.at("acme"), names: ["d.example"] };
    await using instance = await Instance.start(options, pebble, site);
    const first = await instance.failed("d.example");
    match(first.failure!.why, /http-01: .*could not verify.*unauthorized.*; tls-alpn-01: .*could not verify/);
    strictEqual(first.failures, 1);
    deepEqual(instance.acme.status().held, undefined, "other names need not wait");
    const firstWaitMs = first.nextMs - first.failure!.atMs;
    ok(firstWaitMs >= 45_000 && firstWaitMs <= 75_000, `${firstWaitMs} ms`);
    deepEqual(instance.challenged, ["d.example", "-d.example"], "what was shown is taken back");

    instance.clock.jump(firstWaitMs + 1_000);
    const second = await instance.until("d.example", ({ failures }) => failures === 2, "a second failure");
    const secondWaitMs = second.nextMs - second.failure!.atMs;
    ok(secondWaitMs > 1.9 * firstWaitMs, `${secondWaitMs} ms`);
    const orders = pebble.orders;

    // Another instance, started meanwhile, is bound by it for some minutes: not by hours, for things get mended.
    const clock = new MovableClock();
    clock.jump(instance.clock.nowMs() - clock.nowMs());
    await using other = await Instance.start(options, pebble, site, clock);
    const heard = await other.until("d.example", ({ state }) => state === "failed", "the other's failure");
    deepEqual([heard.failures, heard.failure?.why, pebble.orders], [2, second.failure!.why, orders]);
    ok(heard.nextMs - clock.nowMs() <= 12 * MINUTE_MS);

    site.http = "right";
    instance.clock.jump(secondWaitMs + 1_000);
    const mended = await instance.valid("d.example");
    deepEqual([mended.failures, mended.failure], [0, undefined]);
    clock.jump(13 * MINUTE_MS);
    await other.valid("d.example");
    strictEqual(pebble.issued, 1, "the other one took it from the disk");
  });

  it("a placeholder is served until there is a certificate, where that is wanted", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const options = {
      storage: storage.at("acme"),
      names: ["e.example"],
      whileIssuing: "self-signed" as const,
    };
    await using instance = await Instance.open(options, pebble, site);
    const started = instance.acme.start();
    await started;
    const placeholder = new X509Certificate(instance.installed.get("e.example")!.chainPem);
    match(placeholder.issuer, /not issued by a CA/);
    strictEqual(placeholder.checkHost("e.example"), "e.example");
    ok(placeholder.verify(placeholder.publicKey));
    strictEqual(instance.of("e.example")!.serving, "placeholder");
    strictEqual((await instance.valid("e.example")).serving, "issued");
    await using refusing = await Instance.open({
      ...options,
      storage: storage.at("2"),
      whileIssuing: "refuse",
    }, {
      directory: "https://127.0.0.1:1/dir",
      ca: pebble.ca,
    });
    await refusing.acme.start();
    deepEqual([refusing.installed.size, refusing.of("e.example")!.serving], [0, "nothing"]);
  });

  it("names come and go with the configuration; those that cannot be had are told", async () => {
    await using pebble = await Pebble.start({ blocked: ["blocked.example"] });
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const names = ["F.example", "*.wild.example", "10.0.0.1", "blocked.example"];
    await using instance = await Instance.start({ storage: storage.at("acme"), names }, pebble, site);
    await instance.valid("f.example");
    match(
      (await instance.failed("blocked.example")).failure!.why,
      /the CA answered 4\d\d (rejectedIdentifier|malformed)/,
    );
    match(instance.text, /error no certificate for \*\.wild\.example: wildcards need a DNS challenge/);
    match(instance.text, /error no certificate for 10\.0\.0\.1: that is an address/);
    await instance.acme.setNames(["g.example"]);
    await instance.valid("g.example");
    deepEqual([...instance.installed.keys()], ["g.example"]);
    deepEqual(instance.acme.status().names.map(({ name }) => name), ["g.example"]);
    await instance.acme.setNames(["g.example", "f.example"]);
    strictEqual(instance.of("f.example")!.state, "valid", "from the disk");
  });

  it("stop ends an order that nobody answers, and gives its lock back", async () => {
    await using pebble = await Pebble.start();
    using storage = new Folder();
    const options = { storage: storage.at("acme"), names: ["h.example"] };
    const instance = await Instance.start(options, pebble); // no site: tls-alpn-01 and http-01 fail slowly or not at all
    await instance.until("h.example", ({ state }) => state === "issuing", "an order");
    const beganMs = performance.now();
    await instance.acme.stop();
    ok(performance.now() - beganMs < 2_000);
    await using site = await Site.open(pebble);
    await using next = await Instance.start(options, pebble, site);
    await next.valid("h.example");
  });
});
