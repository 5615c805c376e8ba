// Names that strangers bring: an endpoint of the user's decides, and everything about it is bounded.
import { deepEqual, match, ok, strictEqual } from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { Allow } from "../../../src/control/acme/allow.ts";
import { Folder } from "../../support/folder.ts";
import { Pebble } from "../../support/pebble.ts";
import { freePort } from "../../support/servers.ts";
import { until, within } from "../../support/waiting.ts";
import { Instance, MovableClock, Site } from "./acme_fixture.ts";

type Answer = (response: ServerResponse, name: string) => void;

/** An allow endpoint that answers as the test wants. */
class Endpoint {
  asked: string[] = [];
  answer: Answer = (response) => response.end();
  readonly #server = createServer((request, response) => {
    const name = new URL(request.url!, "http://x").searchParams.get("domain") ?? "";
    this.asked.push(name);
    this.answer(response, name);
  });

  static async open(): Promise<Endpoint> {
    const endpoint = new Endpoint();
    await within(
      "an endpoint to listen",
      new Promise<void>((resolve) => endpoint.#server.listen(0, "127.0.0.1", resolve)),
    );
    return endpoint;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/allow?by=sluice`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await within("an endpoint to close", new Promise((resolve) => this.#server.close(resolve)));
  }
}

const status = (code: number): Answer => (response) => {
  response.statusCode = code;
  response.end();
};

describe("Acme, on demand", () => {
  it("a name that is allowed gets a certificate, once for all who wait; others get none", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    await using endpoint = await Endpoint.open();
    using storage = new Folder();
    endpoint.answer = (response, name) => status(name.startsWith("yes") ? 200 : 403)(response, name);
    const options = { storage: storage.at("acme"), names: ["listed.example"], allow: endpoint.url };
    await using instance = await Instance.start(options, pebble, site);
    const asked = ["yes.example", "YES.example.", "yes.example", "no.example"].map((name) =>
      instance.acme.ask(name)
    );
    deepEqual(await Promise.all(asked), [
      { ok: true },
      { ok: true },
      { ok: true },
      { ok: false, why: "the allow endpoint answered 403" },
    ]);
    deepEqual([...endpoint.asked].sort(), ["no.example", "yes.example"]);
    ok(instance.installed.has("yes.example") && !instance.installed.has("no.example"));
    deepEqual(await instance.acme.ask("yes.example"), { ok: true });
    deepEqual(await instance.acme.ask("listed.example"), { ok: true }, "a listed name needs no leave");
    strictEqual(pebble.orders, 2);
    const names = instance.acme.status().names.map(({ name, isOnDemand }) => [name, isOnDemand]);
    deepEqual(names, [["listed.example", false], ["yes.example", true]], "a refused name is not kept");

    await pebble.kill();
    await using next = await Instance.start(options, pebble);
    strictEqual(next.installed.has("yes.example"), false);
    const before = endpoint.asked.length;
    deepEqual(await next.acme.ask("yes.example"), { ok: true }, "from the disk");
    strictEqual(endpoint.asked.length, before, "it was allowed when it was issued");
  });

  it("its renewal asks anew: no ends it", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    await using endpoint = await Endpoint.open();
    using storage = new Folder();
    await using instance = await Instance.start(
      { storage: storage.at("acme"), allow: endpoint.url },
      pebble,
      site,
    );
    deepEqual(await instance.acme.ask("a.example"), { ok: true });
    endpoint.answer = status(404);
    const { nextMs } = await instance.valid("a.example");
    instance.clock.jump(nextMs - instance.clock.nowMs() + 1_000);
    await until("the name to be gone", () => instance.of("a.example") === undefined);
    strictEqual(instance.installed.has("a.example"), false);
    match(instance.text, /info a\.example is not renewed: the allow endpoint answered 404/);
    strictEqual(pebble.orders, 1);
  });

  it("a renewal that another instance has made meanwhile is taken from the disk", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    await using quick = await Endpoint.open();
    await using slow = await Endpoint.open();
    using storage = new Folder();
    await using first = await Instance.start({ storage: storage.at("acme"), allow: quick.url }, pebble, site);
    await using second = await Instance.start({ storage: storage.at("acme"), allow: slow.url }, pebble, site);
    for (const { acme } of [first, second]) deepEqual(await acme.ask("d.example"), { ok: true });
    strictEqual(pebble.orders, 1);
    const { nextMs } = first.of("d.example")!;
    const held: ServerResponse[] = [];
    slow.answer = (response) => held.push(response);
    second.clock.jump(nextMs - second.clock.nowMs() + 1_000);
    await until("the second one to have looked, and to ask", () => held.length === 1);
    first.clock.jump(nextMs - first.clock.nowMs() + 1_000);
    await until("the first one to be done", () => first.installed.get("d.example")!.times === 2);
    await first.acme.stop(); // its lock is given back
    held[0].end();
    await until("the second one to have it", () => second.installed.get("d.example")!.times === 2);
    strictEqual(pebble.orders, 2);
  });

  it("its renewal, with the endpoint down: the certificate goes on, and it is asked again", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    await using endpoint = await Endpoint.open();
    using storage = new Folder();
    await using instance = await Instance.start(
      { storage: storage.at("acme"), allow: endpoint.url },
      pebble,
      site,
    );
    deepEqual(await instance.acme.ask("b.example"), { ok: true });
    endpoint.answer = status(503);
    const { nextMs } = await instance.valid("b.example");
    instance.clock.jump(nextMs - instance.clock.nowMs() + 1_000);
    const failed = await instance.failed("b.example");
    match(failed.failure!.why, /answered 503/);
    deepEqual([failed.serving, await instance.acme.ask("b.example")], ["issued", { ok: true }]);
    endpoint.answer = status(200);
    instance.clock.jump(failed.nextMs - instance.clock.nowMs() + 1_000);
    await until("the renewal", () => instance.installed.get("b.example")!.times === 2);
  });

  it("a name that cannot be had is refused with the reason until its time is over, on the disk too", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    await using endpoint = await Endpoint.open();
    using storage = new Folder();
    site.http = "missing";
    const options = { storage: storage.at("acme"), allow: endpoint.url, challenges: ["http-01" as const] };
    await using instance = await Instance.start(options, pebble, site);
    const said = await instance.acme.ask("c.example");
    match(said.ok ? "" : said.why, /http-01: .*404/);
    const orders = pebble.orders;
    const again = await instance.acme.ask("c.example");
    match(again.ok ? "" : again.why, /http-01: .*404/);
    strictEqual(pebble.orders, orders, "nothing is ordered for who comes too early");
    site.http = "right";
    instance.clock.jump(90_000);
    deepEqual(await instance.acme.ask("c.example"), { ok: true });
  });

  it("no endpoint, no names; and what is no name is not asked about", async () => {
    using storage = new Folder();
    const nowhere = { directory: "https://127.0.0.1:1/dir", ca: "/nowhere" };
    await using without = await Instance.start({ storage: storage.at("1") }, nowhere);
    deepEqual(await without.acme.ask("a.example"), {
      ok: false,
      why: "no certificates are issued on demand",
    });
    await using endpoint = await Endpoint.open();
    await using instance = await Instance.start({ storage: storage.at("2"), allow: endpoint.url }, nowhere);
    for (
      const name of [
        "",
        "*.a.example",
        "127.0.0.1",
        "a..example",
        "../../etc/passwd",
        "a/b",
        `${"a".repeat(64)}.x`,
        `${Array(63).fill("abc").join(".")}.a`,
      ]
    ) {
      strictEqual((await instance.acme.ask(name)).ok, false, name);
    }
    deepEqual(endpoint.asked, []);
    deepEqual(instance.lines, [], "strangers cannot fill the log");
  });

  it("stop answers whoever waits", async () => {
    await using endpoint = await Endpoint.open();
    using storage = new Folder();
    endpoint.answer = () => {};
    const instance = await Instance.start({ storage: storage.at("acme"), allow: endpoint.url }, {
      directory: "https://127.0.0.1:1/dir",
      ca: "/nowhere",
    });
    const waiting = instance.acme.ask("a.example");
    await until("the question", () => endpoint.asked.length === 1);
    await instance.acme.stop();
    strictEqual((await within("an answer", waiting)).ok, false);
  });
});

describe("Allow", () => {
  const never = new AbortController().signal;

  it("asks with the name beside what the URL had, and keeps each answer for a minute", async () => {
    await using endpoint = await Endpoint.open();
    const clock = new MovableClock();
    const allow = new Allow(endpoint.url, clock, never);
    deepEqual((await allow.ask("a.example")).kind, "yes");
    endpoint.answer = status(404);
    deepEqual([(await allow.ask("a.example")).kind, (await allow.ask("b.example")).kind], ["yes", "no"]);
    clock.jump(61_000);
    deepEqual([(await allow.ask("a.example")).kind, endpoint.asked.length], ["no", 3]);
  });

  const answers: [code: number, want: string, why: string][] = [
    [200, "yes", "only this one"],
    [204, "no", "200 and nothing else"],
    [301, "no", "redirects are not followed"],
    [404, "no", ""],
    [500, "unknown", "it could not say"],
  ];
  for (const [code, want, why] of answers) {
    it(`${code} is ${want} ${why}`, async () => {
      await using endpoint = await Endpoint.open();
      endpoint.answer = status(code);
      strictEqual((await new Allow(endpoint.url, new MovableClock(), never).ask("a.example")).kind, want);
    });
  }

  it("an endpoint that is down or never answers is a no for some seconds", async () => {
    const clock = new MovableClock();
    const down = new Allow(`http://127.0.0.1:${await freePort()}/`, clock, never);
    const said = await down.ask("a.example");
    strictEqual(said.kind, "unknown");
    match(said.why, /the allow endpoint cannot be asked: .*refused/i);
    await using endpoint = await Endpoint.open();
    endpoint.answer = () => {};
    const silent = new Allow(endpoint.url, clock, never);
    match((await silent.ask("a.example")).why, /no answer within 3 s/);
    endpoint.answer = status(200);
    strictEqual((await silent.ask("a.example")).kind, "unknown", "left alone for a while");
    clock.jump(6_000);
    strictEqual((await silent.ask("a.example")).kind, "yes");
  });

  it("questions under way are bounded", async () => {
    await using endpoint = await Endpoint.open();
    const held: ServerResponse[] = [];
    endpoint.answer = (response) => held.push(response);
    const allow = new Allow(endpoint.url, new MovableClock(), never);
    const first = Array.from({ length: 16 }, (_, at) => allow.ask(`n${at}.example`));
    const [late] = await Promise.all([allow.ask("late.example")]);
    deepEqual(late, { kind: "unknown", why: "16 names are being asked for already" });
    await until("all questions", () => held.length === 16);
    for (const response of held) response.end();
    strictEqual((await Promise.all(first)).every(({ kind }) => kind === "yes"), true);
    endpoint.answer = status(200);
    strictEqual((await allow.ask("late.example")).kind, "yes", "being refused for the crowd is not kept");
  });
});
