// Certificates of files, while Sluice runs: replaced in all the ways in which people and their tools do it, broken
// and mended again, ending. Connections that are there never notice.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates, type Made, openssl } from "../support/certificates.ts";
import { run, type Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { fingerprint, linesOf, put, read, shown, withEcho } from "../support/live.ts";
import { Peer } from "../support/peer.ts";
import { residentBytes } from "../support/status.ts";
import { TlsEnd } from "../support/tls_end.ts";
import { until } from "../support/waiting.ts";

const DAY_MS = 86_400_000;
const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const { root } = certificates;
const renewed = (days: number): Made =>
  certificates.make({
    names: ["site.example"],
    until: new Date(Math.ceil(Date.now() / DAY_MS + days) * DAY_MS),
  });
const first = renewed(100), second = renewed(200);

/** What the folder `at` has become by now: who made it, and how it changes. */
interface Way {
  readonly name: string;
  readonly cert: string;
  readonly key: string;
  /** Puts the pair there, as number 1, 2, ... */
  place(at: (name: string) => string, made: Made, number: number): void;
}

const ways: readonly Way[] = [
  {
    name: "renamed over",
    cert: "cert.pem",
    key: "key.pem",
    place(at, { chain, key }) {
      put(chain, at("cert.pem"));
      put(key, at("key.pem"));
    },
  },
  {
    name: "written in place, a piece at a time",
    cert: "cert.pem",
    key: "key.pem",
    place(at, { chain, key }) {
      for (const [from, to] of [[chain, "cert.pem"], [key, "key.pem"]]) {
        const text = readFileSync(from, "utf8");
        writeFileSync(at(to), text.slice(0, 100));
        writeFileSync(at(to), text.slice(100), { flag: "a" });
      }
    },
  },
  {
    name: "removed and made anew",
    cert: "cert.pem",
    key: "key.pem",
    place(at, { chain, key }) {
      rmSync(at("cert.pem"), { force: true });
      rmSync(at("key.pem"), { force: true });
      copyFileSync(chain, at("cert.pem"));
      copyFileSync(key, at("key.pem"));
    },
  },
  {
    name: "links that are turned, as certbot does",
    cert: "live/cert.pem",
    key: "live/key.pem",
    place(at, { chain, key }, number) {
      mkdirSync(at("archive"), { recursive: true });
      mkdirSync(at("live"), { recursive: true });
      for (const [from, to] of [[chain, "cert"], [key, "key"]]) {
        copyFileSync(from, at(`archive/${to}${number}.pem`));
        rmSync(at(`live/${to}.pem`), { force: true });
        symlinkSync(`../archive/${to}${number}.pem`, at(`live/${to}.pem`));
      }
    },
  },
  {
    name: "a link in the middle, as Kubernetes does",
    cert: "cert.pem",
    key: "key.pem",
    place(at, { chain, key }, number) {
      mkdirSync(at(`..${number}`));
      copyFileSync(chain, at(`..${number}/cert.pem`));
      copyFileSync(key, at(`..${number}/key.pem`));
      symlinkSync(`..${number}`, at("..data_tmp"));
      renameSync(at("..data_tmp"), at("..data"));
      if (number > 1) return rmSync(at(`..${number - 1}`), { recursive: true });
      symlinkSync("..data/cert.pem", at("cert.pem"));
      symlinkSync("..data/key.pem", at("key.pem"));
    },
  },
  {
    name: "a folder behind a link, and then the file behind that",
    cert: "now/cert.pem",
    key: "now/key.pem",
    place(at, { chain, key }, number) {
      const folder = number === 3 ? "release2" : `release${number}`;
      mkdirSync(at(folder), { recursive: true });
      put(chain, at(`${folder}/cert.pem`));
      put(key, at(`${folder}/key.pem`));
      if (number === 3) return;
      symlinkSync(folder, at("now.new"));
      renameSync(at("now.new"), at("now"));
    },
  },
  {
    name: "a folder that another one takes the place of",
    cert: "tls/cert.pem",
    key: "tls/key.pem",
    place(at, { chain, key }, number) {
      mkdirSync(at("tls.new"));
      copyFileSync(chain, at("tls.new/cert.pem"));
      copyFileSync(key, at("tls.new/key.pem"));
      if (number > 1) renameSync(at("tls"), at(`tls.${number}`));
      renameSync(at("tls.new"), at("tls"));
    },
  },
];

describe("files that are replaced", () => {
  for (const { name, cert, key, place } of ways) {
    it(name, async () => {
      using folder = new Folder();
      const at = (file: string) => folder.at(file);
      place(at, first, 1);
      await withEcho({ certificates: [{ cert: at(cert), key: at(key) }] }, async (sluice) => {
        strictEqual(await shown(sluice), fingerprint(first));
        using end = await TlsEnd.client(sluice.port());
        using client = await Peer.connect(end.port);
        strictEqual(await client.ask("hello"), "hello");
        for (const [index, made] of [second, first].entries()) {
          place(at, made, index + 2);
          await read(sluice, index + 1);
          strictEqual(await shown(sluice), fingerprint(made), `replaced ${index + 1} times`);
          strictEqual(await client.ask("still there"), "still there");
        }
        deepStrictEqual(linesOf(sluice, "warn"), []);
        client.end();
        strictEqual(await client.ending(), "fin");
        const { certificates: [told] } = await sluice.status();
        strictEqual(told.fingerprint, fingerprint(first).replaceAll(":", "").toLowerCase());
      });
    });
  }
});

describe("keys", () => {
  const rsa = certificates.rsa("site.example"), text = (path: string): string => readFileSync(path, "utf8");
  const ed = certificates.make({ names: ["site.example"], kind: "ed25519" });
  /** As another command of openssl writes it. */
  const written = (...words: string[]): string => {
    const path = certificates.at(`${crypto.randomUUID()}.key`);
    openssl(...words, "-out", path);
    return text(path);
  };
  const cases: [made: Made, key: string, why: string][] = [
    [rsa, text(rsa.key), "PKCS #8, of RSA"],
    [second, text(second.key), "PKCS #8, of EC"],
    [rsa, written("rsa", "-in", rsa.key, "-traditional"), "as RSA keys were written before"],
    [second, written("ec", "-in", second.key), "as EC keys were written before"],
    [rsa, text(rsa.chain) + text(rsa.key), "behind its certificate"],
    [second, text(root.cert) + text(second.key) + text(second.chain), "between certificates"],
    [ed, text(ed.key), "PKCS #8, of Ed25519"],
    [
      second,
      written("ecparam", "-name", "prime256v1") + written("ec", "-in", second.key),
      "behind the parameters of its curve",
    ],
    [
      rsa,
      `for people to read\n${text(rsa.key).replaceAll("\n", "\r\n")}`,
      "behind a text, lines as Windows has them",
    ],
  ];
  it("in all forms, one after the other", () =>
    withPair(async (sluice, write, at) => {
      for (const [number, [made, key, why]] of cases.entries()) {
        write(text(made.chain), key);
        await until(`a key ${why}`, () => linesOf(sluice, "info").length > number);
        match(linesOf(sluice, "info")[number], new RegExp(`^${at} was read again`), why);
        strictEqual(await shown(sluice), fingerprint(made), why);
        const locked = written("pkcs8", "-topk8", "-in", made.key, "-passout", "pass:secret");
        const others = [locked, written("pkey", "-in", made.key, "-pubout"), text(root.cert)];
        write(text(first.chain), others[number % others.length]);
        await until("its refusal", () => linesOf(sluice, "warn").length > number);
        match(
          linesOf(sluice, "warn")[number],
          /cert\.pem: no private key in PEM, or one behind a password; /,
        );
        strictEqual(await shown(sluice), fingerprint(made), why);
      }
    }));
});

/** A pair in a folder of its own, and a Sluice that shows it. */
async function withPair(
  test: (sluice: Sluice, put: (cert: string | Uint8Array, key?: string) => void, at: string) => Promise<void>,
): Promise<void> {
  using folder = new Folder();
  const cert = folder.at("cert.pem"), key = folder.at("key.pem");
  put(first.chain, cert);
  put(first.key, key);
  await withEcho({ certificates: [{ cert, key }] }, (sluice) =>
    test(sluice, (one, other) => {
      writeFileSync(cert, one);
      if (other !== undefined) writeFileSync(key, other);
    }, cert));
}

describe("files that are broken", () => {
  const weak = certificates.make({ names: ["site.example"], kind: "rsa", bits: 1_024 });
  const pem = (path: string): string => readFileSync(path, "utf8");
  const cases: [cert: string, key: string, said: RegExp, why: string][] = [
    ["no certificate at all", pem(second.key), /cert\.pem: no certificate in PEM/, "garbage"],
    ["", "", /cert\.pem: no certificate in PEM/, "empty files"],
    [
      pem(second.chain).slice(0, 300),
      pem(second.key),
      /cert\.pem: no certificate in PEM/,
      "half a certificate",
    ],
    [
      pem(second.chain) + pem(root.cert).slice(0, 300),
      pem(second.key),
      /cert\.pem: .*bad end line/,
      "half of the second certificate",
    ],
    [pem(second.chain), pem(first.key), /cert\.pem: the key is not the certificate's/, "the key of before"],
    [pem(second.chain), "", /cert\.pem: no private key in PEM/, "a key that is not written yet"],
    [pem(second.chain), pem(second.key).slice(0, 100), /cert\.pem: no private key in PEM/, "half a key"],
    [
      pem(second.chain),
      pem(second.key).replace(/^.*\n.*\n/, "-----BEGIN PRIVATE KEY-----\nAAAA"),
      /cert\.pem: no private key in PEM/,
      "a key of rubbish",
    ],
    [
      pem(weak.chain),
      pem(weak.key),
      /cert\.pem: an RSA key of 1024 bits.*; make one of 2048 bits/,
      "a key that no client would take",
    ],
  ];
  it("change nothing, are told with a name and a reason, and are mended by the next ones", () =>
    withPair(async (sluice, write, at) => {
      using end = await TlsEnd.client(sluice.port());
      using client = await Peer.connect(end.port);
      strictEqual(await client.ask("hello"), "hello");
      const labels = `{name="site.example",file="${at}"}`;
      const warned = () => sluice.log("certificates").filter(({ level }) => level === "warn");
      const mended = () =>
        linesOf(sluice, "info").filter((text) => text === `${at} is in order again`).length;
      for (const [number, [cert, key, said, why]] of cases.entries()) {
        write(cert, key);
        await until(`a warning about ${why}`, () => warned().length > number);
        const line = warned()[number];
        match(line.message, said, why);
        strictEqual(line.file, at, why);
        ok(
          line.message.startsWith(at) && line.message.endsWith("; the certificate before stays in use"),
          line.message,
        );
        strictEqual(await shown(sluice), fingerprint(first), why);
        strictEqual((await sluice.metrics()).get(`sluice_certificate_problem${labels}`), 1, why);
        const { certificates: [{ problem }] } = await sluice.status();
        ok(problem !== null && line.message.startsWith(problem), why);
        write(pem(first.chain), pem(first.key));
        await until("the files to be in order again", () => mended() > number);
        strictEqual((await sluice.status()).certificates[0].problem, null, why);
      }
      write(pem(second.chain), pem(second.key));
      await read(sluice, 1);
      strictEqual(await shown(sluice), fingerprint(second));
      strictEqual((await sluice.metrics()).get(`sluice_certificate_problem${labels}`), 0);
      strictEqual(warned().length, cases.length, "each is told once");
      strictEqual(await client.ask("still there"), "still there");
    }));

  it("that are none: a pipe that nobody writes to, one without an end, a directory", () =>
    withPair(async (sluice, write, at) => {
      const kinds: [make: () => void, said: RegExp][] = [
        [() => execFileSync("mkfifo", [at]), /cert\.pem: no certificate in PEM; /],
        [() => symlinkSync("/dev/zero", at), /cert\.pem: longer than [0-9]+ bytes; /],
        [() => mkdirSync(at), /cert\.pem: EISDIR; /],
      ];
      for (const [number, [make, said]] of kinds.entries()) {
        rmSync(at, { recursive: true });
        make();
        await until("a warning", () => linesOf(sluice, "warn").length > number);
        match(linesOf(sluice, "warn")[number], said);
        strictEqual(await shown(sluice), fingerprint(first));
      }
      rmSync(at, { recursive: true });
      write(pem(second.chain), pem(second.key));
      await read(sluice, 1);
      strictEqual(await shown(sluice), fingerprint(second));
    }));

  it("that are not there", () =>
    withPair(async (sluice, write, at) => {
      rmSync(at);
      await sluice.line("certificates", /cert\.pem: ENOENT; the certificate before stays in use/);
      strictEqual(await shown(sluice), fingerprint(first));
      write(pem(second.chain), pem(second.key));
      await read(sluice, 1);
      strictEqual(await shown(sluice), fingerprint(second));
    }));

  it("replaced again and again, broken or not, leave nothing behind", () =>
    withPair(async (sluice, write) => {
      const many = async (from: number, to: number) => {
        for (let times = from; times < to; times++) {
          const { chain, key } = times % 2 === 0 ? second : first;
          write("", "");
          write(pem(chain), pem(key));
          await read(sluice, times + 1);
          await shown(sluice);
        }
      };
      await many(0, 8);
      const before = residentBytes(sluice.pid);
      await many(8, 20);
      ok(residentBytes(sluice.pid) - before < 8 << 20);
    }));
});

describe("certificates that end", () => {
  it("are told at start, by the metrics, the status and the doctor", async () => {
    const late = certificates.expired("late.example"), early = certificates.notYetValid("early.example");
    const soon = certificates.make({
      names: ["soon.example"],
      from: new Date(Date.now() - 30 * DAY_MS),
      until: new Date(Date.now() + 3 * DAY_MS),
    });
    const all = [first, late, early, soon];
    const tls = { certificates: all.map(({ chain, key }) => ({ cert: chain, key })) };
    await withEcho(tls, async (sluice) => {
      const warned = [...sluice.log("config"), ...sluice.log("certificates")]
        .filter(({ level }) => level === "warn").map(({ message }) => message);
      const about = (made: Made) => warned.filter((message) => message.includes(made.chain));
      strictEqual(about(first).length, 0);
      match(about(late).join("\n"), /expired 24 hours ago/);
      match(
        about(early).join("\n"),
        /is not valid before .*, in 23 hours/,
      );
      match(about(soon).join("\n"), /ends in 2 days|ends in 71 hours/);
      for (const made of [late, early, soon]) strictEqual(about(made).length, 1, about(made).join("\n"));

      const metrics = await sluice.metrics(), { certificates: told } = await sluice.status();
      for (const made of all) {
        const { validTo, subjectAltName } = new X509Certificate(readFileSync(made.cert));
        const name = subjectAltName!.slice("DNS:".length);
        strictEqual(
          metrics.get(`sluice_certificate_not_after_seconds{name="${name}",file="${made.chain}"}`),
          Date.parse(validTo) / 1_000,
        );
        const view = told.find(({ file }) => file === made.chain)!;
        deepStrictEqual([Date.parse(view.until), view.names], [Date.parse(validTo), [name]]);
      }
      deepStrictEqual(
        [late, early, soon].map((made) => told.find(({ file }) => file === made.chain)!.days_left),
        [-2, 29, 2],
      );
      for (
        const { made, name } of [{ made: late, name: "late.example" }, { made: early, name: "early.example" }]
      ) {
        strictEqual(await shown(sluice, "-servername", name), fingerprint(made), "who asks for it gets it");
      }
    });

    using folder = new Folder();
    const config = {
      listeners: { it: { bind: "tls://127.0.0.1:0", to: "app", tls } },
      upstreams: { app: { servers: ["127.0.0.1:9"] } },
    };
    writeFileSync(folder.at("sluice.yaml"), JSON.stringify(config));
    const { stdout } = await run(["doctor", "-c", folder.at("sluice.yaml"), "--format", "json"]);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; found: string; verdict: string }[] };
    const { found, verdict } = checks.find(({ name }) => name === "certificates of the file")!;
    strictEqual(verdict, "fail");
    match(found, /^4 certificates: .*late\.example\) ended .*; .*soon\.example\) ends in /);
  });
});
