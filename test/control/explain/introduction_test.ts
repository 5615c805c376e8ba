// What explain says of listeners that expect a PROXY header, and of upstreams that are sent one.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { before, describe, it } from "node:test";
import { explanationText } from "../../../src/control/explain/text.ts";
import { answerTo, openRoom, worldOf } from "./explain_fixture.ts";

const CONFIG = `listeners:
  db:
    bind: tcp://127.0.0.1:5432
    to: db
    accept-proxy: [10.0.0.0/8, 2001:db8::/32]
  web:
    bind: http://127.0.0.1:8080
    accept-proxy: 127.0.0.1
    trust: 192.0.2.0/24
    routes:
      - match: { client: 198.51.100.0/24 }
        to: db
      - respond: { status: 403 }
  dns:
    bind: udp://127.0.0.1:53
    to: dns
    accept-proxy: 10.0.0.0/8
    deny: [192.0.2.0/24, 10.6.6.6]
    limits: { connections-per-source: 10 }
  local:
    bind: unix:/run/it.sock?protocol=tcp
    to: plain
    accept-proxy: unix
  plain:
    bind: tcp://127.0.0.1:5433
    to: plain
upstreams:
  db:
    servers: 10.0.0.5:5432
    send-proxy: { version: v2, unique-id: true, crc32c: true }
  plain:
    servers: 10.0.0.6:5432
  dns:
    servers: 10.0.0.7:53
    send-proxy: v2
`;
before(openRoom);

const DB = "tcp://127.0.0.1:5432", WEB = "http://127.0.0.1:8080/";

describe("explain of a listener with accept-proxy", () => {
  it("refuses who may introduce nobody, whatever he tells", async () => {
    for (const words of [[DB], [DB, "--from", "192.0.2.1", "--proxied", "10.1.2.3"]]) {
      const { decision, introduction, timeouts } = answerTo(await worldOf(CONFIG), words);
      deepStrictEqual([decision.kind, decision.reason], ["unavailable", "proxy_untrusted"]);
      strictEqual(introduction?.by, null);
      deepStrictEqual(timeouts.map(({ name }) => name), ["handshake"]);
    }
  });

  it("tells the same of datagrams", async () => {
    const cases: [words: string[], kind: string, reason: string | null, text: RegExp][] = [
      [[], "unavailable", "proxy_untrusted", /^the datagram is dropped \(proxy_untrusted\)/],
      [["--from", "10.1.2.3"], "ask", null, /proxy_missing.*--proxied/],
      [
        ["--from", "10.1.2.3", "--proxied", "192.0.2.1"],
        "refused",
        "denied",
        /^the datagram is dropped \(denied\)/,
      ],
      [["--from", "10.6.6.6", "--proxied", "203.0.113.7"], "refused", "denied", /^the datagram is dropped/],
      [["--from", "10.1.2.3", "--proxied", "203.0.113.7"], "server", null, /10\.0\.0\.7:53/],
      [["--from", "10.1.2.3", "--proxied", "local"], "server", null, /10\.0\.0\.7:53/],
    ];
    for (const [words, kind, reason, text] of cases) {
      const answer = answerTo(await worldOf(CONFIG), ["udp://127.0.0.1:53", ...words]), { decision } = answer;
      deepStrictEqual([decision.kind, decision.reason], [kind, reason], words.join(" "));
      match(decision.text, text);
      if (kind !== "server") continue;
      strictEqual(answer.upstream?.send_proxy, "v2");
      const { by, client } = answer.introduction!;
      deepStrictEqual([by, client?.replace(/:[0-9]+$/, "")], [
        "10.0.0.0/8",
        words[3] === "local" ? "10.1.2.3" : words[3],
      ]);
    }
  });

  it("asks for the header that a proxy must send", async () => {
    const { decision, introduction } = answerTo(await worldOf(CONFIG), [DB, "--from", "10.1.2.3:7"]);
    strictEqual(decision.kind, "ask");
    match(decision.text, /proxy_missing.*--proxied/);
    deepStrictEqual(introduction, { proxy: "10.1.2.3:7", by: "10.0.0.0/8", client: null });
  });

  it("goes by whom the header tells", async () => {
    const words = [DB, "--from", "10.1.2.3", "--proxied", "203.0.113.7:80"];
    const answer = answerTo(await worldOf(CONFIG), words), said = explanationText(answer);
    strictEqual(answer.decision.server, "10.0.0.5:5432");
    strictEqual(answer.upstream?.send_proxy, "v2 with unique-id, crc32c");
    ok(
      said.includes("PROXY header: from 10.1.2.3:50000, in 10.0.0.0/8: the client is 203.0.113.7:80\n"),
      said,
    );
    ok(said.includes("  its servers are told of the client first: PROXY v2 with unique-id, crc32c\n"), said);
  });

  it("tells the steps in their order: the proxy, its header, the client", async () => {
    const world = await worldOf(CONFIG), dns = "udp://127.0.0.1:53";
    const said = (...words: string[]) =>
      explanationText(answerTo(world, [dns, ...words])).split("\n").filter((line) =>
        /^(the (proxy|client) is|PROXY header| {2}[-+] (deny|allow|conn))/.test(line)
      ).map((line) => line.replace(/ \([^()]*\)$/, ""));
    deepStrictEqual(said("--from", "10.1.2.3", "--proxied", "203.0.113.7:80"), [
      "the proxy is let in:",
      "  + deny: 10.1.2.3 is not in it",
      "PROXY header: from 10.1.2.3:50000, in 10.0.0.0/8: the client is 203.0.113.7:80",
      "the client is let in:",
      "  + deny: 203.0.113.7 is not in it",
      "  + connections-per-source: 203.0.113.7 has 0 of 10",
    ]);
    deepStrictEqual(said("--from", "10.1.2.3", "--proxied", "192.0.2.1:80"), [
      "the proxy is let in:",
      "  + deny: 10.1.2.3 is not in it",
      "PROXY header: from 10.1.2.3:50000, in 10.0.0.0/8: the client is 192.0.2.1:80",
      "the client is refused:",
      "  - deny: 192.0.2.1 is in 192.0.2.0/24",
    ]);
    deepStrictEqual(said("--from", "203.0.113.7"), [
      "the proxy is refused:",
      "  + deny: 203.0.113.7 is not in it",
      "PROXY header: not from 203.0.113.7:50000, which is in no prefix of accept-proxy",
    ]);
  });

  it("for routes by client, and whose fields are believed", async () => {
    const world = await worldOf(CONFIG);
    strictEqual(answerTo(world, [WEB, "--proxied", "198.51.100.9"]).decision.kind, "server");
    const other = answerTo(world, [WEB, "--proxied", "192.0.2.9"]);
    deepStrictEqual([other.decision.status, other.client?.trusted], [403, true]);
    const own = answerTo(world, [WEB, "--proxied", "local"]);
    deepStrictEqual([own.client?.ip, own.introduction?.client], ["127.0.0.1", "127.0.0.1:50000"]);
  });

  it("behind a unix socket", async () => {
    const words = ["unix:/run/it.sock", "--proxied", "203.0.113.7"];
    const { introduction, decision, upstream } = answerTo(await worldOf(CONFIG), words);
    deepStrictEqual(introduction, { proxy: "unix", by: "unix", client: "203.0.113.7:50000" });
    deepStrictEqual([decision.kind, upstream?.send_proxy], ["server", null]);
  });
});
