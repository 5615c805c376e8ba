// Certificates of clients: whom a bundle of authorities and its lists let in, what those hear who stay outside, and
// what the log and the counters say of them. See tls_test.ts for the modes, https_test.ts for what servers are told.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates, type Made } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import type { Sluice } from "../support/executable.ts";
import type { RequestLine } from "../support/http_proxy.ts";
import { Peer } from "../support/peer.ts";
import { sClient } from "../support/s_client.ts";
import { echo, Server } from "../support/servers.ts";
import { TlsEnd } from "../support/tls_end.ts";
import { until } from "../support/waiting.ts";

const DAY_MS = 86_400_000;
const world = new Certificates();
after(() => world[Symbol.dispose]());
const site = world.leaf("site.example");

/** An authority beside the root. */
const authority = (name: string): Made =>
  world.make({ names: [name], by: "itself", isAuthority: true, isNameless: true });
const second = authority("Second Root"), third = authority("Third Root");

const client = (name: string, by?: Made): Made =>
  world.make({ names: [name], use: "client", isNameless: true, ...(by === undefined ? {} : { by }) });

function joined(name: string, ...paths: string[]): string {
  const path = world.at(name);
  writeFileSync(path, paths.map((path) => readFileSync(path, "utf8")).join(""));
  return path;
}

const bundle = joined("bundle.pem", world.root.cert, second.cert);

/** A Sluice that asks for certificates, before an echo server. */
async function asking(
  clients: object,
  test: (sluice: Sluice) => Promise<void>,
): Promise<void> {
  await using server = await Server.listen(echo);
  const { chain, key } = site;
  const tls = { certificates: [{ cert: chain, key }], client: { mode: "require", ca: bundle, ...clients } };
  const config = {
    listeners: { it: { bind: "tls://127.0.0.1:0", to: "app", tls } },
    upstreams: { app: { servers: [server.address], health: "off" } },
  };
  await withConfig(config, test);
}

/** Whether who connects there hears what it said. */
async function isLetIn(port: number): Promise<boolean> {
  using peer = await Peer.connect(port);
  const heard = await peer.ask("hello").catch(() => "");
  peer.end();
  await peer.ending();
  return heard === "hello";
}

function identity(shown: Made | undefined): string[] {
  return shown === undefined ? [] : ["-cert", shown.cert, "-key", shown.key, "-cert_chain", shown.chain];
}

/** What a client hears: "ok" for what it said itself, or the number of an alert. */
async function heard(sluice: Sluice, version: string, shown: Made | undefined): Promise<string> {
  const flag = version === "1.2" ? "-tls1_2" : "-tls1_3";
  const said = await sClient(sluice.port(), [flag, ...identity(shown)], "let me in\n", /^let me in$/m);
  if (/^let me in$/m.test(said)) return "ok";
  return /alert number ([0-9]+)/.exec(said)?.[1] ?? said;
}

const FAILED = "client_certificate";
/** Of a certificate that ends within a test. */
const LIFE_MS = 3_000;

describe("who is let in", () => {
  const upper = world.intermediate, own = client("own"), foreign = client("foreign", second);
  const below = client("below", upper), stranger = client("stranger", third);
  const gone = client("gone");
  const late = world.make({
    names: ["late"],
    use: "client",
    isNameless: true,
    from: new Date(Date.now() - 2 * DAY_MS),
    until: new Date(Date.now() - DAY_MS),
  });
  const early = world.make({
    names: ["early"],
    use: "client",
    isNameless: true,
    from: new Date(Date.now() + DAY_MS),
  });
  const self = world.make({ names: ["self"], by: "itself", use: "client", isNameless: true });
  const lists = joined(
    "lists.pem",
    world.revoked(world.root, [gone]),
    world.revoked(upper, []),
    world.revoked(second, []),
    world.revoked(third, []),
    third.cert,
  );
  const noUpper = joined("no_upper.pem", world.revoked(upper, []), world.revoked(world.root, [upper]));
  const stale = joined(
    "stale.pem",
    world.revoked(world.root, [], {
      from: new Date(Date.now() - 2 * DAY_MS),
      until: new Date(Date.now() - DAY_MS),
    }),
  );

  const cases: [why: string, shown: Made | undefined, alert: string, detail: string | null, crl?: string][] =
    [
      ["of the first authority", own, "ok", null],
      ["of the second", foreign, "ok", null],
      ["of one below the first, which it sends along", below, "ok", null],
      ["none is shown", undefined, "", "No certificate was given."],
      [
        "of an authority that nobody named",
        stranger,
        "48",
        "The certificate's chain ends in a self-signed one that is not trusted.",
      ],
      [
        "of nobody but itself",
        self,
        "48",
        "The certificate is self-signed, and not one that is trusted.",
      ],
      ["signed by nobody", world.forged(own), "51", "The certificate's signature is wrong."],
      ["expired", late, "45", "The certificate has expired."],
      ["not yet valid", early, "42", "The certificate is not valid yet."],
      ["a server's", site, "43", "The certificate is not for this purpose."],
      ["on no list", own, "ok", null, lists],
      ["on none of another's either", foreign, "ok", null, lists],
      ["nor is who signed it", below, "ok", null, lists],
      [
        "whose authority stands among the lists, not in the bundle",
        stranger,
        "48",
        "The certificate's chain ends in a self-signed one that is not trusted.",
        lists,
      ],
      ["on a list", gone, "44", "The certificate is revoked.", lists],
      ["who signed it is on one", below, "44", "The certificate is revoked.", noUpper],
      [
        "there is no list of its authority",
        foreign,
        "48",
        "There is no revocation list of one of the authorities in its chain.",
        noUpper,
      ],
      ["the list is too old to say", own, "45", "The revocation list has expired.", stale],
    ];
  for (const version of ["1.2", "1.3"]) {
    for (const crl of new Set(cases.map((row) => row[4]))) {
      const name = crl === undefined ? "no lists" : crl.split("/").at(-1)!.replace(".pem", "");
      it(`TLS ${version}, ${name}`, async () => {
        await asking(crl === undefined ? {} : { crl }, async (sluice) => {
          let count = 0, failed = 0;
          for (const [why, shown, alert, detail, of] of cases) {
            if (of !== crl) continue;
            // RFC 8446 has a word for "none"; before that it was a handshake that failed.
            const want = alert !== "" ? alert : version === "1.3" ? "116" : "40";
            strictEqual(await heard(sluice, version, shown), want, why);
            const record = (await sluice.ended(++count))[count - 1] as RequestLine;
            deepStrictEqual(
              [record.reason, record.detail],
              [detail === null ? "finished" : FAILED, detail],
              why,
            );
            if (detail !== null) {
              failed++;
              deepStrictEqual([record.type, record.server, record.up_bytes], [
                "tls_certificate_error",
                null,
                0,
              ], why);
            }
          }
          const { totals } = await sluice.status(), metrics = await sluice.metrics();
          strictEqual(totals.ended[FAILED] ?? 0, failed);
          const [name] = [...metrics.keys()].filter((name) =>
            name.startsWith("sluice_connections_ended_total") && name.includes(`"${FAILED}"`)
          );
          strictEqual(name === undefined ? 0 : metrics.get(name), failed);
        });
      });
    }
  }

  it("clients are told whose certificates are taken", async () => {
    await asking({}, async (sluice) => {
      const said = await sClient(sluice.port(), ["-tls1_2"]);
      match(said, /Acceptable client certificate CA names\nCN = Test Root\nCN = Second Root\n/);
    });
  });

  it("whoever was let in once is known by its session as well", async () => {
    for (const version of ["1.2", "1.3"]) {
      await asking({}, async (sluice) => {
        const shown = ["--cert", own.cert, "--key", own.key];
        using end = await TlsEnd.client(sluice.port(), "--version", version, "--resume", ...shown);
        for (let turn = 0; turn < 3; turn++) {
          using peer = await Peer.connect(end.port);
          strictEqual(await peer.ask("hello"), "hello");
          peer.end();
          await peer.ending();
        }
        strictEqual((await end.handshakes(3)).map(({ resumed }) => resumed).join(""), "011");
        const records = await sluice.ended(3) as unknown as { readonly client_cert: string }[];
        deepStrictEqual(records.map(({ client_cert }) => client_cert), ["CN=own", "CN=own", "CN=own"]);
      });
    }
  });

  it("but not when the certificate has ended since", async () => {
    await asking({}, async (sluice) => {
      const ends = new Date(Date.now() + LIFE_MS);
      const brief = world.make({ names: ["brief"], use: "client", isNameless: true, until: ends });
      const shown = ["--cert", brief.cert, "--key", brief.key];
      using older = await TlsEnd.client(sluice.port(), "--version", "1.2", "--resume", ...shown);
      using newer = await TlsEnd.client(sluice.port(), "--version", "1.3", "--resume", ...shown);
      for (const { port } of [older, older, newer, newer]) strictEqual(await isLetIn(port), true);
      await until("the end of the certificate", () => Date.now() > ends.getTime() + 1_000);
      for (const { port } of [older, newer]) strictEqual(await isLetIn(port), false);
      for (const end of [older, newer]) {
        const [first, second] = await end.handshakes(2);
        deepStrictEqual([first.resumed, second.resumed], ["0", "1"], "before that it was resumed");
      }
      deepStrictEqual((await sluice.ended(6)).slice(4).map(({ reason }) => reason), [FAILED, FAILED]);
    });
  });
});
