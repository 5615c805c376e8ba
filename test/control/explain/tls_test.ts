// What explain says about TLS, word for word: which certificate for which name, what is asked of the client, where
// a name leads, what is asked of servers; and what helps where a server's TLS is why it is down.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { readQuestion } from "../../../src/control/explain/question.ts";
import { explanationText } from "../../../src/control/explain/text.ts";
import type { World } from "../../../src/control/explain/world.ts";
import { DETAILS } from "../../../src/proto/detail.ts";
import { detailOfFault, Fault } from "../../../src/proto/tls_fault.ts";
import { Heard } from "../../../src/shared/log_ring.ts";
import { Reason } from "../../../src/shared/reason.ts";
import { Verdict } from "../../../src/shared/servers.ts";
import { Certificates, type Made } from "../../support/certificates.ts";
import { answerTo, openRoom, worldOf } from "./explain_fixture.ts";

const CONFIG = `listeners:
  web:
    bind: [https://:8443, http://:8080]
    tls:
      certificates:
        - { cert: shop.pem, key: shop.key }
        - { cert: shop_rsa.pem, key: shop_rsa.key }
        - { cert: star.pem, key: star.key }
      client: { mode: ask, ca: clients.pem }
    hsts: { max-age: 365d, subdomains: true }
    redirect-to-https: true
    routes:
      - match: { host: [shop.example, a.star.example, star.example, other.example] }
        to: api
  db:
    bind: tls://:6432
    tls: { policy: compatible, alpn: [postgresql], certificates: [{ cert: star.pem, key: star.key }] }
    to: db
  by-name:
    bind: tcp://:9443
    tls: { certificates: [{ cert: shop.pem, key: shop.key }] }
    sni: { a.example: db, "*.b.example": raw, shop.example: { terminate: db } }
  issued:
    bind: https://:7443
    tls: { acme: { email: ops@shop.example, storage: /var/lib/acme } }
    routes:
      - match: { host: issued.example }
        to: raw
upstreams:
  api:
    servers: [https://10.0.0.1, https://10.0.0.2:8443]
    tls: { ca: clients.pem, pins: ["${"A".repeat(43)}="], cert: shop.pem, key: shop.key }
  db:
    servers: [tls://10.0.0.5:5432]
    tls: { server-name: db.internal, verify: off }
  raw: { servers: [10.0.0.7:443] }
`;

const made = new Certificates();
const files: Record<string, string> = {};
after(() => made[Symbol.dispose]());
before(async () => {
  await openRoom();
  const times = { from: new Date(Date.UTC(2025, 0, 1)), until: new Date(Date.UTC(2125, 0, 1)) };
  const place = (name: string, { cert, key }: Made) => {
    files[`${name}.pem`] = readFileSync(cert, "utf8");
    files[`${name}.key`] = readFileSync(key, "utf8");
  };
  const names = ["shop.example", "www.shop.example"];
  place("shop", made.make({ names, ...times }));
  place("shop_rsa", made.make({ names, kind: "rsa", ...times }));
  place("star", made.make({ names: ["*.star.example", "star.example"], ...times }));
  files["clients.pem"] = readFileSync(made.root.cert, "utf8");
});

const world = () => worldOf(CONFIG, files);

/** The file that has the answer, and what is asked. */
const GOLDEN: readonly (readonly [file: string, words: readonly string[]])[] = [
  ["tls_exact", ["https://shop.example:8443/cart"]],
  ["tls_wildcard", ["https://a.star.example:8443/", "-H", "X-Forwarded-For: 203.0.113.9"]],
  ["tls_first", ["https://127.0.0.1:8443/", "-H", "Host: other.example"]],
  ["tls_misdirected", ["https://shop.example:8443/", "-H", "Host: a.star.example"]],
  ["tls_plain", ["http://shop.example:8443/"]],
  ["tls_on_plain", ["https://shop.example:8080/"]],
  ["tls_redirect", ["http://shop.example:8080/a?b"]],
  ["tls_ask", ["tls://127.0.0.1:8443", "--sni", "shop.example"]],
  ["tls_issued", ["https://issued.example:7443/"]],
  ["tls_none", ["https://other.example:7443/"]],
  ["tls_ended", ["tls://127.0.0.1:6432", "--sni", "x.star.example"]],
  ["tls_without", ["tcp://127.0.0.1:6432"]],
  ["sni_exact", ["tcp://127.0.0.1:9443", "--sni", "a.example"]],
  ["sni_wildcard", ["tls://x.b.example:9443"]],
  ["sni_terminate", ["tls://127.0.0.1:9443", "--sni", "SHOP.example"]],
  ["sni_none", ["tcp://127.0.0.1:9443"]],
  ["alpn_none", ["tls://127.0.0.1:6432", "--alpn", "imap,smtp"]],
];

describe("explain of TLS, word for word", () => {
  for (const [file, words] of GOLDEN) {
    it(words.join(" "), async () => {
      const said = explanationText(answerTo(await world(), words));
      equal(said, readFileSync(new URL(`golden/${file}.txt`, import.meta.url), "utf8"));
    });
  }
});

describe("explain of TLS", () => {
  it("tells programs which certificates a name gets, and why", async () => {
    const { tls } = answerTo(await world(), ["https://www.shop.example:8443/"]);
    deepEqual([tls?.at, tls?.name, tls?.by, tls?.policy], [
      "listener",
      "www.shop.example",
      "exact",
      "modern",
    ]);
    deepEqual(tls?.certificates.map(({ file, key, until }) => [file, key, until]), [
      ["shop.pem", "EC", "2125-01-01T00:00:00.000Z"],
      ["shop_rsa.pem", "RSA", "2125-01-01T00:00:00.000Z"],
    ]);
    const unknown = answerTo(await world(), ["tls://127.0.0.1:8443", "--sni", "a.b.star.example"]).tls;
    deepEqual([unknown?.by, unknown?.certificates[0].file], ["first", "shop.pem"], "a star is one label");
    equal(answerTo(await world(), ["http://shop.example:8080/"]).tls, null);
  });

  it("sends nobody to https:// who came by it to a proxy that is trusted", async () => {
    const trusting = await worldOf(CONFIG.replace("    hsts:", "    trust: 10.0.0.0/8\n    hsts:"), files);
    const words = ["http://shop.example:8080/", "-H", "X-Forwarded-Proto: https", "--from"];
    equal(answerTo(trusting, [...words, "10.1.1.1"]).decision.kind, "server");
    equal(answerTo(trusting, [...words, "192.0.2.1"]).decision.kind, "redirect");
  });

  it("lets a request be for another host that its certificate is good for", async () => {
    const decisionOf = async (...words: string[]) => answerTo(await world(), words).decision;
    const other = await decisionOf("https://shop.example:8443/", "-H", "Host: www.shop.example.:8443");
    equal(other.reason, "no_route");
    const wrong = await decisionOf("https://shop.example:8443/", "--sni", "a.star.example");
    deepEqual([wrong.kind, wrong.status, wrong.reason], ["refused", 421, "misdirected"]);
    const none = await decisionOf("https://127.0.0.1:8443/", "-H", "Host: shop.example");
    equal(none.kind, "server", "who asks for no name");
  });

  it("says what to change where a server's TLS is why it is down", async () => {
    const asked = await world(), server = serverNumber(asked, "10.0.0.1:443");
    const detail = detailOfFault(Fault.Authority | (18 << 8));
    asked.shared.serverVerdict[server] = Verdict.Down;
    asked.health.note({
      probe: asked.directory.servers.get(server)!.probe,
      atMs: Date.UTC(2026, 0, 2, 3, 4, 5),
      clockMs: 0,
      reason: Reason.ServerCertificateAuthority,
      errno: detail,
      heard: Heard.Nothing,
      heardNumber: 0,
      durationMs: 1,
      streak: 0,
      verdict: Verdict.Down,
    });
    const answer = answerTo(asked, ["https://shop.example:8443/"]);
    const down = answer.upstream!.servers.find(({ address }) => address === "10.0.0.1:443")!;
    ok(down.why!.endsWith(DETAILS[detail].replace(/\.$/, "")), down.why!);
    ok(!/errno|EOVERFLOW/.test(down.why!));
    match(down.change.join("\n"), /^`upstreams\.NAME\.tls\.ca`: the authority's certificate/);
    match(explanationText(answer), /\n {6}change: `upstreams\.NAME\.tls\.ca`/);
  });

  const mistakes: readonly (readonly [what: string, sni: string, says: RegExp])[] = [
    ["http://a.example/", "b.example", /^a name of TLS, and no TLS; ask with https:\/\/$/],
    ["tls://:1", "*.example", /^"\*\.example" is no name; write a name such as/],
    ["tls://:1", "a b", /^"a b" is no name; /],
    [
      "tls://:1",
      "192.0.2.1",
      /^"192\.0\.2\.1" is an address, which no client asks for by name; leave it out$/,
    ],
    ["tls://:1", "::1", /is an address/],
  ];
  for (const [what, sni, says] of mistakes) {
    it(`refuses ${what} --sni ${sni}`, () => {
      const question = readQuestion({ what, sni, headers: [] });
      ok("problems" in question);
      deepEqual(question.problems.map(({ where }) => where), ["--sni"]);
      match(`${question.problems[0].what}; ${question.problems[0].remedy}`, says);
    });
  }
});

function serverNumber({ directory }: World, address: string): number {
  const entry = [...directory.servers.values()].find((server) => server.address === address);
  ok(entry !== undefined, [...directory.servers.values()].map(({ address }) => address).join());
  return entry.number;
}
