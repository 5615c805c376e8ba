// End to end against pebble: both kinds of proof, what lies on the disk, refused nonces, external accounts.
import { deepEqual, match, ok, strictEqual } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Folder } from "../../support/folder.ts";
import { Pebble } from "../../support/pebble.ts";
import { Instance, Site } from "./acme_fixture.ts";

const EAB_KEY = Buffer.from("a secret of thirty-two bytes 0123").toString("base64url");

describe("Acme with a CA", () => {
  it("http-01: a name gets a certificate, which is installed and kept, 0600 in folders 0700", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const names = ["a.example", "www.a.example"];
    await using instance = await Instance.start(
      { storage: storage.at("acme"), names, challenges: ["http-01"], email: "ops@example.org" },
      pebble,
      site,
    );
    for (const name of names) {
      const status = await instance.valid(name);
      deepEqual([status.serving, status.failures, status.failure], ["issued", 0, undefined]);
      const { chainPem, keyPem } = instance.installed.get(name)!;
      const leaf = new X509Certificate(chainPem);
      strictEqual(leaf.checkHost(name), name);
      strictEqual(status.notAfterMs, Date.parse(leaf.validTo));
      ok(keyPem.includes("PRIVATE KEY"));
      ok((chainPem.match(/BEGIN CERTIFICATE/g)?.length ?? 0) >= 2, "the chain comes with it");
    }
    strictEqual(pebble.orders, 2, "one order for each name");
    match(instance.text, /info certificate for a\.example issued \(http-01\), valid until 20/);
    match(instance.text, /info account https:.* at https:.*, whose terms are at /);
    deepEqual(modes(storage.path).filter((line) => !/^(700 .*\/|600 .*[^/])$/.test(line)), []);
    strictEqual(modes(storage.path).filter((line) => /\/(a|www\.a)\.example\.pem$/.test(line)).length, 2);
    deepEqual(modes(storage.path).filter((line) => line.includes("unfinished")), []);
  });

  it("tls-alpn-01: the proof's certificate is handed over, and taken back", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    await using instance = await Instance.start(
      { storage: storage.at("acme"), names: ["b.example"], challenges: ["tls-alpn-01"] },
      pebble,
      site,
    );
    await instance.valid("b.example");
    deepEqual(instance.challenged, ["b.example", "-b.example"]);
    match(instance.text, /issued \(tls-alpn-01\)/);
    strictEqual(site.asked, 0);
  });

  it("where one kind of proof fails the next one is tried, in an order of its own", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    site.http = "wrong";
    await using instance = await Instance.start(
      { storage: storage.at("acme"), names: ["c.example"] },
      pebble,
      site,
    );
    await instance.valid("c.example");
    match(instance.text, /issued \(tls-alpn-01\)/);
    deepEqual([pebble.orders, site.asked > 0], [2, true]);
  });

  it("nonces that are refused are replaced", async () => {
    await using pebble = await Pebble.start({ refusedNonces: 30 });
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const names = ["d.example", "e.example", "f.example"];
    await using instance = await Instance.start({ storage: storage.at("acme"), names }, pebble, site);
    for (const name of names) await instance.valid(name);
    match(pebble.output, /badNonce|nonce/i);
  });

  it("an external account is bound; without one, or with a wrong key, the reason is told", async () => {
    await using pebble = await Pebble.start({ externalAccounts: { "kid-1": EAB_KEY } });
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const names = ["g.example"];
    await using without = await Instance.start({ storage: storage.at("1"), names }, pebble, site);
    match(
      (await without.failed("g.example")).failure!.why,
      /write its key-id and hmac-key as external-account/,
    );
    const wrong = { keyId: "kid-1", hmacKey: Buffer.alloc(32).toString("base64url") };
    await using refused = await Instance.start(
      { storage: storage.at("2"), names, externalAccount: wrong },
      pebble,
      site,
    );
    match((await refused.failed("g.example")).failure!.why, /an account: the CA answered 4\d\d /);
    await using bound = await Instance.start(
      { storage: storage.at("3"), names, externalAccount: { keyId: "kid-1", hmacKey: EAB_KEY } },
      pebble,
      site,
    );
    await bound.valid("g.example");
  });

  it("another start takes what is on the disk and asks nobody", async () => {
    await using pebble = await Pebble.start();
    await using site = await Site.open(pebble);
    using storage = new Folder();
    const options = { storage: storage.at("acme"), names: ["h.example"] };
    let thumbprint: string, chainPem: string;
    {
      await using first = await Instance.start(options, pebble, site);
      await first.valid("h.example");
      thumbprint = first.acme.thumbprint;
      chainPem = first.installed.get("h.example")!.chainPem;
    }
    await pebble.kill();
    await using second = await Instance.start(options, pebble);
    const { state, serving } = second.of("h.example")!;
    deepEqual([state, serving, second.acme.thumbprint], ["valid", "issued", thumbprint]);
    strictEqual(second.installed.get("h.example")!.chainPem.trim(), chainPem.trim());
    const account = readdirSync(join(storage.at("acme"), "accounts"))[0];
    const { url } = JSON.parse(
      readFileSync(join(storage.at("acme"), "accounts", account, "account.json"), "utf8"),
    );
    match(url, /^https:/);
  });
});

/** `600 /path` of files, `700 /path/` of folders, all below a folder. */
function modes(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => {
    const stat = statSync(join(folder, name));
    return `${(stat.mode & 0o777).toString(8)} ${name}${stat.isDirectory() ? "/" : ""}`;
  });
}
