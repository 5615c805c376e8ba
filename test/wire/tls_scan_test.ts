// Others' judgement of the default policy: Debian's testssl finds nothing that is of medium severity or worse,
// OpenSSL's s_client gets nothing that it should not, curl is served.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { needProgram } from "../support/debian.ts";
import { type Outcome, run, type Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { sClient } from "../support/s_client.ts";

const SCAN_DEADLINE_MS = 120_000;

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const { root } = certificates;

before(() => {
  needProgram("testssl", "testssl.sh");
  needProgram("openssl", "openssl");
  needProgram("curl", "curl");
  needProgram("h2load", "nghttp2-client");
});

/** A Sluice as its users have it: https with certificates of both kinds, HSTS, all else by default. */
async function withSite(test: (sluice: Sluice) => Promise<void>): Promise<void> {
  await using origin = await HttpOrigin.listen(({ head }) => answerOk(head.line));
  const both = [certificates.leaf("site.example"), certificates.rsa("site.example")];
  const shown = both.map(({ chain, key }) => ({ cert: chain, key }));
  const config = {
    listeners: {
      it: {
        bind: "https://127.0.0.1:0",
        to: "app",
        tls: { certificates: shown },
        hsts: { "max-age": "365d" },
      },
    },
    upstreams: { app: { servers: [origin.address], health: "off" } },
  };
  await withConfig(config, async (sluice) => {
    await test(sluice);
    await origin[Symbol.asyncDispose]();
  });
}

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** What is not Sluice's to mend. */
const OTHERS: Readonly<Record<string, string>> = {
  "cert_revocation <cert#1>": "the tests' authority has no server that tells what it revoked",
  "cert_revocation <cert#2>": "the same",
  security_headers: "are of the site that is served",
};
const SEVERE = ["MEDIUM", "HIGH", "CRITICAL"];

/** Scans beside each other, each with what it must have looked at and found good: much of their time they wait. */
const scans: readonly { readonly checks: readonly string[]; readonly good: readonly string[] }[] = [
  {
    checks: ["--protocols", "--server-defaults", "--headers"],
    good: [
      "SSLv2",
      "SSLv3",
      "TLS1_2",
      "TLS1_3",
      "cert_trust <cert#1>",
      "cert_chain_of_trust <cert#1>",
      "cert_chain_of_trust <cert#2>",
      "HSTS_time",
    ],
  },
  {
    checks: ["--std", "--server-preference", "--grease"],
    good: [
      "GREASE",
      "cipherlist_NULL",
      "cipherlist_aNULL",
      "cipherlist_EXPORT",
      "cipherlist_LOW",
      "cipherlist_STRONG",
      "cipher_order",
      "protocol_negotiated",
      "cipher_negotiated",
    ],
  },
  {
    checks: ["--vulnerable", "--pfs"],
    good: [
      "PFS",
      "PFS_ECDHE_curves",
      "heartbleed",
      "CCS",
      "ticketbleed",
      "ROBOT",
      "secure_renego",
      "secure_client_renego",
      "CRIME_TLS",
      "BREACH",
      "POODLE_SSL",
      "fallback_SCSV",
      "SWEET32",
      "FREAK",
      "DROWN",
      "LOGJAM",
      "BEAST",
      "LUCKY13",
    ],
  },
];

async function scan(port: number, checks: readonly string[]): Promise<Finding[]> {
  using folder = new Folder();
  const report = folder.at("report.json");
  const quiet = ["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--fast"];
  const waits = ["--connect-timeout", "10", "--openssl-timeout", "10"];
  const to = ["--ip", "127.0.0.1", "--add-ca", root.cert, "--jsonfile", report, `site.example:${port}`];
  const { stdout, stderr } = await run([...quiet, ...waits, ...checks, ...to], {
    command: ["testssl"],
    env: { MAX_WAITSOCK: "3", CCS_MAX_WAITSOCK: "3", HEARTBLEED_MAX_WAITSOCK: "3" }, // for an answer: s
    deadlineMs: SCAN_DEADLINE_MS,
  });
  try {
    return JSON.parse(readFileSync(report, "utf8"));
  } catch (error) {
    throw new Error(`testssl has left no report (${(error as Error).message}):\n${stdout}${stderr}`);
  }
}

describe("testssl", () => {
  it(
    "finds nothing of medium severity or worse in the default policy",
    { timeout: SCAN_DEADLINE_MS },
    () =>
      withSite(async (sluice) => {
        const found = await Promise.all(scans.map(({ checks }) => scan(sluice.port(), checks)));
        for (const [number, { good }] of scans.entries()) {
          const severe = found[number].filter(({ id, severity }) =>
            SEVERE.includes(severity) && !(id in OTHERS)
          );
          deepStrictEqual(severe, []);
          const verdicts = new Map(found[number].map(({ id, severity }) => [id, severity]));
          deepStrictEqual(good.filter((id) => verdicts.get(id) !== "OK"), [], "looked at, and good");
        }
      }),
  );
});

describe("s_client", () => {
  it("gets no compression and no renegotiation; its way to ask for both is safe", () =>
    withSite(async (sluice) => {
      const said = await sClient(sluice.port(), ["-tls1_2", "-comp"]);
      match(said, /^Compression: NONE$/m);
      match(said, /^Secure Renegotiation IS supported$/m);
      // R asks for a renegotiation.
      const asked = await sClient(
        sluice.port(),
        ["-tls1_2"],
        "R\n",
        /no renegotiation|RENEGOTIATING[^]*:error:/,
      );
      match(asked, /RENEGOTIATING/);
      match(asked, /no renegotiation/);
      match(await sClient(sluice.port(), ["-tls1_2"]), /^ +Extended master secret: yes$/m);
    }));
});

describe("curl", () => {
  const curl = (sluice: Sluice, ...words: string[]): Promise<Outcome> =>
    run(["--silent", "--show-error", "--connect-to", `::127.0.0.1:${sluice.port()}`, ...words], {
      command: ["curl"],
    });
  const ca = ["--cacert", root.cert];

  it("is served, by TLS 1.2 and 1.3, on one connection", () =>
    withSite(async (sluice) => {
      const urls = ["https://site.example/one", "https://site.example/two"];
      const told = ["--write-out", " %{http_version} %{ssl_verify_result} %{num_connects}\n"];
      for (const version of [["--tls-max", "1.2"], ["--tlsv1.3"]]) {
        const { status, stdout } = await curl(sluice, ...ca, ...told, ...version, ...urls);
        strictEqual(status, 0);
        strictEqual(stdout, "GET /one HTTP/1.1 1.1 0 1\nGET /two HTTP/1.1 1.1 0 0\n");
      }
      const { stdout } = await curl(sluice, ...ca, "--head", urls[0]);
      match(stdout, /^strict-transport-security: max-age=31536000\r$/im);
    }));

  it("is refused what it should not have, and refuses who it should not believe", () =>
    withSite(async (sluice) => {
      const cases: [words: string[], status: number, why: string][] = [
        [["--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0"], 35, "too old"],
        [["--tls-max", "1.2", "--ciphers", "AES128-SHA"], 35, "no forward secrecy"],
      ];
      for (const [words, status, why] of cases) {
        const ended = await curl(sluice, ...ca, ...words, "https://site.example/");
        strictEqual(ended.status, status, `${why}: ${ended.stderr}`);
      }
      strictEqual(
        (await curl(sluice, "https://site.example/")).status,
        60,
        "an authority that it does not know",
      );
      strictEqual((await curl(sluice, ...ca, "https://other.example/")).status, 60, "another name");
      // Who looked at the name saw it after its handshake, and left without a word.
      const reasons = (await sluice.ended(3)).map(({ reason }) => reason);
      deepStrictEqual(reasons, ["handshake_failed", "handshake_failed", "client_alert"]);
    }));
});

describe("h2load", () => {
  it("gets an answer to each request of several clients", () =>
    withSite(async (sluice) => {
      const words = ["--h1", "--requests=400", "--clients=8", `https://127.0.0.1:${sluice.port()}/`];
      const { status, stdout } = await run(words, { command: ["h2load"] });
      strictEqual(status, 0);
      match(
        stdout,
        /^requests: 400 total, 400 started, 400 done, 400 succeeded, 0 failed, 0 errored, 0 timeout$/m,
      );
      match(stdout, /^TLS Protocol: TLSv1\.3$/m);
    }));
});
