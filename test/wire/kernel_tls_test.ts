// Where the kernel may do TLS's records (kTLS) OpenSSL has a BIO of its own. A kernel that does them is not to be had
// everywhere; one that says so and then does not take a connection is (kernel_tls.c): all is as it is without.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, describe, it } from "node:test";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { ROOT, type Sluice } from "../support/executable.ts";
import { HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import type { RequestLine } from "../support/http_proxy.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";
import { TlsEnd } from "../support/tls_end.ts";

const world = new Certificates();
after(() => world[Symbol.dispose]());
const site = world.leaf("site.example"), root = world.root.cert;
const shown = ["--cert", site.chain, "--key", site.key];

const shim = world.at("kernel_tls.so");
const words = ["-shared", "-fPIC", "-O1", "-o", shim, `${ROOT}test/support/kernel_tls.c`, "-ldl"];
execFileSync("gcc", words, { timeout: 60_000 });
const env = { LD_PRELOAD: shim };

/** A Sluice that ends TLS, before a server that has it (`servers` "https", "tls") or has it not. */
async function between(
  kind: "https" | "tls",
  server: string,
  test: (sluice: Sluice) => Promise<void>,
): Promise<void> {
  const tls = { certificates: [{ cert: site.chain, key: site.key }] };
  const secured = server.includes("://") ? { tls: { ca: root, "server-name": "site.example" } } : {};
  const config = {
    listeners: { it: { bind: `${kind}://127.0.0.1:0`, to: "app", tls } },
    upstreams: { app: { servers: [server], health: "off", ...secured } },
  };
  await withConfig(config, test, { env });
}

const GET = "GET / HTTP/1.1\r\nHost: site.example\r\n\r\n";

describe("a kernel that knows TLS and does not take ours", () => {
  for (const version of ["1.2", "1.3"]) {
    it(`TLS ${version}: much both ways, TLS on both sides, half-close`, async () => {
      await using server = await Server.listen();
      using back = await TlsEnd.server(server.port, ...shown, "--version", version, "--pieces", "3");
      await between("tls", `tls://${back.address}`, async (sluice) => {
        using end = await TlsEnd.client(sluice.port(), "--version", version, "--resume");
        for (let turn = 0; turn < 2; turn++) {
          using client = await Peer.connect(end.port);
          using accepted = await server.accept();
          const bytes = 3 << 20;
          const [, , up] = await Promise.all([
            sendStream(client, bytes).then(() => client.end()),
            sendStream(accepted, bytes),
            readStream(accepted),
            client.read(bytes),
          ]);
          strictEqual(up, bytes);
          await accepted.send("the last word");
          accepted.end();
          strictEqual((await client.readAll()).toString(), "the last word");
        }
        deepStrictEqual((await sluice.ended(2)).map(({ reason }) => reason), ["finished", "finished"]);
        for (const one of [end, back]) {
          deepStrictEqual((await one.handshakes(2)).map(({ resumed }) => resumed), ["0", "1"]);
        }
      });
    });
  }

  it("a body that is cut off is no whole one", async () => {
    const answer = `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${"x".repeat(5_000)}`;
    for (const [word, reason] of [["--cut", "answer_cut"], ["--fin", "finished"]]) {
      await using server = await Server.listen(async (peer) => {
        const connection = new HttpPeer(peer);
        await connection.readRequest();
        await connection.send(answer);
        connection.end();
      });
      using back = await TlsEnd.server(server.port, ...shown, word);
      await between("https", `https://${back.address}`, async (sluice) => {
        using end = await TlsEnd.client(sluice.port());
        using peer = await Peer.connect(end.port);
        await peer.send(GET);
        strictEqual(await peer.ending(), reason === "finished" ? "fin" : "reset");
        strictEqual((await sluice.ended(1))[0].reason, reason);
        peer.end();
      });
    }
  });

  it("plain HTTP is told so, whatever its method; other noise is none", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk());
    await between("https", origin.address, async (sluice) => {
      for (const method of ["GET", "OPTIONS", "PATCH"]) {
        const client = await HttpPeer.connect(sluice.port());
        const { head } = await client.ask(`${method} / HTTP/1.1\r\nHost: site.example\r\n\r\n`);
        strictEqual(statusOf(head), 400);
        client.end();
        await client.ending();
      }
      using client = await Peer.connect(sluice.port());
      await client.send("SSH-2.0-OpenSSH_9.2\r\n");
      await client.ending();
      const reasons = (await sluice.ended(4)).map(({ reason }) => reason);
      deepStrictEqual(reasons, ["plain_http", "plain_http", "plain_http", "not_tls"]);
    });
  });

  it("resets and ends within a handshake are what they are, on either side", async () => {
    await using resetting = await Server.listen(async (peer) => {
      await peer.read(1);
      peer.reset();
    });
    await using ending = await Server.listen((peer) => peer.end());
    for (const server of [resetting, ending]) {
      await between("https", `https://${server.address}`, async (sluice) => {
        using reset = await Peer.connect(sluice.port());
        await reset.send(Uint8Array.of(22, 3, 1));
        reset.reset();
        strictEqual((await sluice.ended(1))[0].reason, "client_reset");
        using gone = await Peer.connect(sluice.port());
        await gone.send(Uint8Array.of(22, 3, 1));
        gone.end();
        await gone.ending();
        strictEqual((await sluice.ended(2))[1].reason, "client_reset");
        using end = await TlsEnd.client(sluice.port());
        const client = await HttpPeer.connect(end.port);
        strictEqual(statusOf((await client.ask(GET)).head), 502);
        strictEqual((await sluice.ended(3) as RequestLine[])[2].reason, "server_reset");
        client.end();
        await client.ending();
      });
    }
  });

  it("who only ever changes keys is left", async () => {
    await using server = await Server.listen(echo);
    await between("tls", server.address, async (sluice) => {
      using flood = await TlsEnd.client(sluice.port(), "--version", "1.3", "--flood", "200000");
      using client = await Peer.connect(flood.port);
      strictEqual(await client.ending(), "reset");
      const [{ reason, errno }] = await sluice.ended(1);
      deepStrictEqual([reason, errno], ["client_reset", "EPROTO"]);
    });
  });
});
