// What a CA may answer, and what follows from it: CAs that pebble is not.
import { deepEqual, match, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { newKeyPem, selfSigned } from "../../../src/control/acme/x509.ts";
import { Folder } from "../../support/folder.ts";
import { until } from "../../support/waiting.ts";
import { Instance } from "./acme_fixture.ts";
import { FakeCa, problem } from "./fake_ca.ts";

const HOUR_MS = 3_600_000;

describe("Acme and what a CA says", () => {
  it("Retry-After of a rate limit is waited for, and other names wait a minute", async () => {
    await using ca = await FakeCa.open();
    using storage = new Folder();
    ca.says.order = () => problem(429, "rateLimited", { "retry-after": "7200" });
    const options = { storage: storage.at("acme"), names: ["a.example"] };
    {
      await using instance = await Instance.start(options, ca);
      const { failure, nextMs } = await instance.failed("a.example");
      match(failure!.why, /an order for a\.example: the CA answered 429 rateLimited: rateLimited it is/);
      const waitMs = nextMs - failure!.atMs;
      ok(waitMs >= 2 * HOUR_MS && waitMs < 2.1 * HOUR_MS, `${waitMs} ms`);
      await instance.acme.setNames(["a.example", "b.example"]);
      strictEqual(ca.times("order"), 1);
      ok(instance.acme.status().held!.untilMs <= instance.clock.nowMs() + 60_000);
      instance.clock.jump(61_000);
      await instance.failed("b.example");
      strictEqual(ca.times("order"), 2);
    }
    await using next = await Instance.start(options, ca); // what the CA has told binds the next start too
    const { nextMs } = await next.failed("a.example");
    ok(nextMs - next.clock.nowMs() > 1.9 * HOUR_MS);
    strictEqual(ca.times("order"), 2);
  });

  it("Retry-After as a date, and 503: the CA is left alone until then", async () => {
    await using ca = await FakeCa.open();
    using storage = new Folder();
    const at = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 3 * HOUR_MS);
    ca.says.order = () => ({ status: 503, headers: { "retry-after": at.toUTCString() }, value: "busy" });
    await using instance = await Instance.start({ storage: storage.at("acme"), names: ["a.example"] }, ca);
    const { nextMs, failures } = await instance.failed("a.example");
    ok(nextMs >= at.getTime() - 1_000, new Date(nextMs).toISOString());
    deepEqual([failures, instance.acme.status().held?.untilMs], [0, nextMs]);
  });

  it("a nonce that is refused is replaced by the one that came with the refusal; not for ever", async () => {
    await using ca = await FakeCa.open();
    using storage = new Folder();
    ca.says.account = (_, times) =>
      times < 4
        ? problem(400, "badNonce")
        : { status: 201, headers: { location: ca.at("account/1") }, value: {} };
    ca.says.order = () => problem(400, "badNonce");
    await using instance = await Instance.start({ storage: storage.at("acme"), names: ["a.example"] }, ca);
    match((await instance.failed("a.example")).failure!.why, /badNonce/);
    deepEqual([ca.times("account"), ca.times("order"), ca.times("nonce")], [4, 10, 1]);
    const nonces = ca.posted.flatMap(({ head: { nonce } }) => (nonce === undefined ? [] : [nonce]));
    strictEqual(new Set(nonces).size, nonces.length, "none is used twice");
  });

  const directories: [value: unknown, status: number, why: RegExp][] = [
    ["<html>", 200, /is no directory of a CA: it has no newNonce/],
    [{ newNonce: "x", newAccount: "y" }, 200, /it has no newOrder/],
    [[], 200, /it has no newNonce/],
    ["gone", 404, /the CA answered 404/],
    ["", 302, /the CA answered 302/],
  ];
  for (const [value, status, why] of directories) {
    it(`a directory that is none: ${why.source}`, async () => {
      await using ca = await FakeCa.open();
      using storage = new Folder();
      ca.says.dir = () => ({ status, value, headers: { location: "http://127.0.0.1:1/" } });
      await using instance = await Instance.start({ storage: storage.at("acme"), names: ["a.example"] }, ca);
      const { failure, failures } = await instance.failed("a.example");
      match(failure!.why, why);
      deepEqual([failures, ca.asked], [0, ["dir"]]);
    });
  }

  it("an account that is refused is nobody's name's fault", async () => {
    await using ca = await FakeCa.open();
    using storage = new Folder();
    ca.says.account = () => problem(403, "malformed");
    await using instance = await Instance.start({ storage: storage.at("acme"), names: ["a.example"] }, ca);
    const { failure, failures } = await instance.failed("a.example");
    match(failure!.why, /an account: the CA answered 403 malformed/);
    strictEqual(failures, 0);
    ok(instance.acme.status().held !== undefined);
  });

  it("another e-mail address is told to the account that is there", async () => {
    await using ca = await FakeCa.open();
    using storage = new Folder();
    ca.says.order = () => problem(403, "rejectedIdentifier");
    const options = { storage: storage.at("acme"), names: ["a.example"] };
    {
      await using instance = await Instance.start({ ...options, email: "a@example.org" }, ca);
      await instance.failed("a.example");
    }
    strictEqual(ca.times("account"), 1);
    deepEqual(ca.posted.find(({ head }) => head.jwk !== undefined)!.payload, {
      termsOfServiceAgreed: true,
      contact: ["mailto:a@example.org"],
    });
    await using instance = await Instance.start(
      { ...options, names: ["b.example"], email: "b@example.org" },
      ca,
    );
    await instance.failed("b.example");
    deepEqual([ca.times("account"), ca.times("account/1")], [1, 1]);
    const contacts = ca.posted.find(({ payload }) => JSON.stringify(payload)?.includes("mailto:b@"));
    deepEqual(contacts?.payload, { contact: ["mailto:b@example.org"] });
    strictEqual(contacts?.head.kid, ca.at("account/1"));
  });

  it("a look that fails by itself is followed by another; an order that is refused is not", async () => {
    await using ca = await FakeCa.open();
    using storage = new Folder();
    ca.says["order/1"] = (_, times) =>
      times === 1 ? { status: 502, headers: { "retry-after": "0" }, value: "" } : {
        value: {
          status: "invalid",
          error: { type: "urn:ietf:params:acme:error:caa", detail: "CAA says no" },
        },
      };
    await using instance = await Instance.start({ storage: storage.at("acme"), names: ["a.example"] }, ca);
    const { failure, failures } = await instance.failed("a.example");
    match(failure!.why, /the CA refuses the order: caa: CAA says no/);
    strictEqual(failures, 1);
    strictEqual(ca.times("order"), 1, "another proof would not help");
  });

  it("a certificate that is not for our key or our name is not used", async () => {
    await using ca = await FakeCa.open();
    using storage = new Folder();
    const fromMs = Date.now();
    const foreign = selfSigned("a.example", newKeyPem(), { fromMs, untilMs: fromMs + HOUR_MS });
    ca.says.finalize = () => ({ value: { status: "processing" } });
    ca.says["order/1"] = (_, times) => ({
      value: times === 1
        ? { status: "ready", finalize: ca.at("finalize") }
        : { status: "valid", certificate: ca.at("certificate") },
    });
    ca.says.certificate = () => ({ value: foreign });
    await using instance = await Instance.start({ storage: storage.at("acme"), names: ["a.example"] }, ca);
    match(
      (await instance.failed("a.example")).failure!.why,
      /of no use: the private key is not the certificate's/,
    );
    strictEqual(instance.installed.size, 0);
  });

  const odd: [path: string, value: unknown, why: RegExp][] = [
    ["order", "[]x", /no object/],
    ["order", { status: "pending", authorizations: "no" }, /does not say where to go on/],
    ["order", { status: "pending", authorizations: [] }, /does not say where to go on/],
    ["authorization", { status: "revoked" }, /its authorization is revoked/],
    ["authorization", { status: "pending", challenges: "none" }, /the CA offers no challenge/],
    ["authorization", { status: "pending", challenges: [{ type: "dns-01" }, null] }, /the CA offers dns-01/],
    [
      "authorization",
      { status: "pending", challenges: [{ type: "http-01", token: "../x", url: "y" }] },
      /without a proper token/,
    ],
    ["order/1", { status: "ready" }, /does not say where to go on/],
  ];
  for (const [path, value, why] of odd) {
    it(`${path} that says ${JSON.stringify(value)} is told`, async () => {
      await using ca = await FakeCa.open();
      using storage = new Folder();
      ca.says[path] = () => ({ headers: { location: ca.at("order/1") }, value });
      await using instance = await Instance.start({ storage: storage.at("acme"), names: ["a.example"] }, ca);
      match((await instance.failed("a.example")).failure!.why, why);
      ok(ca.asked.length < 20);
    });
  }

  it("no more than four orders are under way, however many names there are", async () => {
    await using ca = await FakeCa.open();
    using storage = new Folder();
    let most = 0;
    const names = Array.from({ length: 12 }, (_, at) => `n${at}.example`);
    const instance = await Instance.open({ storage: storage.at("acme"), names }, ca);
    await using _ = instance;
    ca.says.order = () => {
      const states = instance.acme.status().names.map(({ state }) => state);
      most = Math.max(most, states.filter((state) => state === "issuing").length);
      return problem(403, "rejectedIdentifier");
    };
    await instance.acme.start();
    await until("all to be refused", () => ca.times("order") === 12);
    strictEqual(most, 4);
  });
});
