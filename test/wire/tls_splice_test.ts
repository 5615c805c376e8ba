// Bytes that go by splice pass nobody who could seal or open them: with TLS on either side they do so only where the
// kernel does its records (kTLS). Most machines have no such kernel, and there everything must come through us.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";
import { TlsEnd } from "../support/tls_end.ts";

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const site = certificates.leaf("site.example");
const shown = { certificates: [{ cert: site.chain, key: site.key }] };
const believed = { ca: certificates.root.cert, "server-name": "site.example" };
const ends = ["--cert", site.chain, "--key", site.key];

const BYTES = 16 << 20;
/** The kernel may learn it with the first connection that asks. */
const hasKernelTls = (): boolean =>
  readFileSync("/proc/sys/net/ipv4/tcp_available_ulp", "utf8").split(/\s+/).includes("tls");

describe("splice", () => {
  const sides: [down: boolean, up: boolean][] = [[false, false], [true, false], [false, true], [true, true]];
  for (const [down, up] of sides) {
    const said = (tls: boolean) => tls ? "TLS" : "plain";
    it(`a stream, ${said(down)} to client, ${said(up)} to server: spliced only past no session`, async () => {
      await using server = await Server.listen();
      using back = up ? await TlsEnd.server(server.port, ...ends) : undefined;
      const address = up ? `tls://${back!.address}` : server.address;
      const config = {
        listeners: {
          it: { bind: `${down ? "tls" : "tcp"}://127.0.0.1:0`, to: "app", ...(down ? { tls: shown } : {}) },
        },
        upstreams: { app: { servers: [address], ...(up ? { tls: believed } : {}), health: "off" } },
      };
      await withConfig(config, async (sluice) => {
        using end = down ? await TlsEnd.client(sluice.port()) : undefined;
        using client = await Peer.connect(end?.port ?? sluice.port());
        await client.send("!");
        using accepted = await server.accept();
        strictEqual(await accepted.readText(1), "!");
        const [, , there, back] = await Promise.all([
          sendStream(client, BYTES).then(() => client.end()),
          sendStream(accepted, BYTES).then(() => accepted.end()),
          readStream(accepted),
          readStream(client),
        ]);
        deepStrictEqual([there, back], [BYTES, BYTES]);
        const [record] = await sluice.ended(1);
        deepStrictEqual([record.reason, record.up_bytes, record.down_bytes], ["finished", BYTES + 1, BYTES]);
        const { spliced } = (await sluice.status()).totals.bytes;
        strictEqual(spliced > 0, !(down || up) || hasKernelTls(), `${spliced} bytes were spliced`);
      });
    });
  }

  it("a large body behind https: not spliced, and whole", async () => {
    const body = "0123456789abcdef".repeat(BYTES / 16);
    await using origin = await HttpOrigin.listen(() => answerOk(body));
    const config = {
      listeners: { it: { bind: "https://127.0.0.1:0", to: "app", tls: shown } },
      upstreams: { app: { servers: [origin.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      using end = await TlsEnd.client(sluice.port());
      const client = await HttpPeer.connect(end.port);
      const answer = await client.ask("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
      strictEqual(answer.body.toString("latin1") === body, true);
      const { spliced } = (await sluice.status()).totals.bytes;
      strictEqual(spliced > 0, hasKernelTls(), `${spliced} bytes were spliced`);
      client.end();
      await client.ending();
      await origin[Symbol.asyncDispose]();
    });
  });
});
