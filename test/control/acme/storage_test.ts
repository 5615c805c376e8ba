import { deepEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { AccountKey } from "../../../src/control/acme/account_key.ts";
import { nameFlaw } from "../../../src/control/acme/names.ts";
import { Storage } from "../../../src/control/acme/storage.ts";
import { newKeyPem, selfSigned } from "../../../src/control/acme/x509.ts";
import { Folder } from "../../support/folder.ts";

const CA = "https://acme.example:14000/dir";
const DAY_MS = 24 * 3_600_000;

function pairOf(name: string) {
  const keyPem = newKeyPem(), fromMs = Date.now();
  return { keyPem, chainPem: selfSigned(name, keyPem, { fromMs, untilMs: fromMs + DAY_MS }) };
}

async function opened(path: string, directory = CA) {
  const told: string[] = [];
  return { storage: await Storage.open(path, directory, (what) => told.push(what)), told };
}

/** The one folder of a CA below a room. */
function below(path: string, room: string): string {
  const [ca] = readdirSync(join(path, room));
  return join(path, room, ca);
}

const checkKey = (text: string) => void new AccountKey(text);

describe("Storage", () => {
  it("gives back what it was given, in files 0600 and folders 0700; each CA has its own", async () => {
    using folder = new Folder();
    const path = folder.at("deep/er/acme");
    const { storage, told } = await opened(path);
    const pair = pairOf("a.example");
    strictEqual(await storage.pair("a.example"), undefined);
    await storage.keepPair("a.example", pair);
    const back = (await storage.pair("a.example"))!;
    deepEqual([back.chainPem.trim(), back.keyPem.trim()], [pair.chainPem.trim(), pair.keyPem.trim()]);
    ok(back.notAfterMs > Date.now());
    const account = { directory: CA, url: "https://acme.example/acct/1", contact: ["mailto:a@example.org"] };
    await storage.keepAccount(account);
    deepEqual(await storage.account(), account);
    const attempts = { failures: 2, error: "why", atMs: 1, nextMs: 2, toldMs: 0 };
    await storage.keepAttempts("a.example", attempts);
    deepEqual(await storage.attempts("a.example"), attempts);
    await storage.forgetAttempts("a.example");
    await storage.forgetAttempts("a.example");
    strictEqual(await storage.attempts("a.example"), undefined);
    for (const name of readdirSync(path, { recursive: true, encoding: "utf8" })) {
      const stat = statSync(join(path, name));
      strictEqual(stat.mode & 0o777, stat.isDirectory() ? 0o700 : 0o600, name);
    }
    strictEqual(statSync(path).mode & 0o777, 0o700);
    const { storage: trials } = await opened(path, "https://acme.example:14000/trials");
    strictEqual(await trials.pair("a.example"), undefined);
    deepEqual(told, []);
  });

  it("whatever is kept of the longest name has a file name that disks take", async () => {
    using folder = new Folder();
    const path = folder.at("acme"), { storage, told } = await opened(path);
    const name = longestName();
    const failed = { failures: 1, error: "no", atMs: 1, nextMs: 2, toldMs: 0 };
    await storage.keepPair(name, pairOf(name));
    await storage.keepAttempts(name, failed);
    ok(await storage.pair(name));
    deepEqual(await storage.attempts(name), failed);
    for (const file of readdirSync(path, { recursive: true, encoding: "utf8" })) {
      if (/\.(pem|json)$/.test(file) && file.includes(name)) writeFileSync(join(path, file), "broken");
    }
    strictEqual(await storage.pair(name), undefined);
    strictEqual(await storage.attempts(name), undefined);
    strictEqual(told.length, 2, "both are set aside");
  });

  const broken: [text: (name: string) => string, why: RegExp][] = [
    [() => "", /no certificate in it/],
    [() => "\0\xff garbage", /no certificate in it/],
    [(name) => pairOf(name).chainPem, /private key cannot be read/],
    [(name) => `${pairOf(name).keyPem}${pairOf(name).chainPem}`, /private key is not the certificate's/],
    [() => Object.values(pairOf("other.example")).join(""), /not for a\.example/],
    [(name) => Object.values(pairOf(name)).join("").slice(0, -40), /no certificate in it/],
    [
      (name) =>
        Object.values(pairOf(name)).join("").replace(/(BEGIN CERT[^\n]+\n).{20}/, "$1AAAAAAAAAAAAAAAAAAAA"),
      /cannot be read/,
    ],
  ];
  for (const [text, why] of broken) {
    it(`sets a broken pair aside and tells: ${why.source}`, async () => {
      using folder = new Folder();
      const { storage, told } = await opened(folder.at("acme"));
      const path = join(below(folder.at("acme"), "certificates"), "a.example.pem");
      const content = text("a.example");
      writeFileSync(path, content);
      strictEqual(await storage.pair("a.example"), undefined);
      strictEqual(told.length, 1);
      match(told[0], why);
      const aside = readdirSync(join(path, "..")).find((name) => name.includes(".broken-"))!;
      strictEqual(readFileSync(join(path, "..", aside), "utf8"), content, "not lost");
      ok(!existsSync(path));
      strictEqual(await storage.pair("a.example"), undefined);
      strictEqual(told.length, 1, "told once");
    });
  }

  it("broken accounts and attempts are set aside like that", async () => {
    using folder = new Folder();
    const { storage, told } = await opened(folder.at("acme"));
    writeFileSync(join(below(folder.at("acme"), "accounts"), "account.json"), '{"directory":1}');
    writeFileSync(join(below(folder.at("acme"), "attempts"), "a.example.json"), '{"failures":"many"}');
    deepEqual([await storage.account(), await storage.attempts("a.example")], [undefined, undefined]);
    strictEqual(told.length, 2);
  });

  it("the account's key is made once, by whoever is first; a broken one is set aside", async () => {
    using folder = new Folder();
    const { storage } = await opened(folder.at("acme"));
    const { storage: other } = await opened(folder.at("acme"));
    const keys = await Promise.all(
      [storage, other, storage, other].map((each) => each.accountKey(newKeyPem, checkKey)),
    );
    strictEqual(new Set(keys).size, 1);
    const place = below(folder.at("acme"), "accounts");
    deepEqual(readdirSync(place), ["key.pem"]);
    writeFileSync(join(place, "key.pem"), "no key");
    const { storage: again, told } = await opened(folder.at("acme"));
    ok(await again.accountKey(newKeyPem, checkKey) !== keys[0]);
    match(told.join(), /key\.pem is broken and now called .*broken-\d+/);
    strictEqual(readdirSync(place).length, 2);
  });

  it("what others may look into is told; what killed instances were writing is removed", async () => {
    using folder = new Folder();
    mkdirSync(folder.at("acme"), { mode: 0o755 });
    chmodSync(folder.at("acme"), 0o755);
    const { told } = await opened(folder.at("acme"));
    match(told.join(), /has mode 755: .*chmod 700/);
    const place = below(folder.at("acme"), "certificates");
    for (const name of [".unfinished-old", ".unfinished-new"]) writeFileSync(join(place, name), "half");
    utimesSync(join(place, ".unfinished-old"), 1, 1);
    await opened(folder.at("acme"));
    deepEqual(readdirSync(place), [".unfinished-new"]);
  });

  it("a place where nothing can be written is an error with its name", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("file"), "");
    await rejects(opened(folder.at("file/acme")), /ENOTDIR|EEXIST|[Nn]ot a directory/);
  });

  it("what is too large to be ours is not read", async () => {
    using folder = new Folder();
    const { storage } = await opened(folder.at("acme"));
    writeFileSync(join(below(folder.at("acme"), "certificates"), "a.example.pem"), "x".repeat((1 << 20) + 1));
    await rejects(storage.pair("a.example"), /at most 1048576 are read/);
  });
});

/** As long as a name can be that one is ordered for. */
function longestName(): string {
  let longest = "a";
  while (nameFlaw(`${longest}a`) === undefined || nameFlaw(`${longest}.a`) === undefined) {
    longest += nameFlaw(`${longest}a`) === undefined ? "a" : ".a";
  }
  return longest;
}
