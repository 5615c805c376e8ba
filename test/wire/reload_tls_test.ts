// Reloads that change TLS: who is there goes on under what it was greeted with, who comes is greeted otherwise, and no server
// is spoken to under what the file says no more.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates, type Made } from "../support/certificates.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import { connectSecurely } from "../support/https_peer.ts";
import { withReloads } from "../support/reloading.ts";
import { sClient } from "../support/s_client.ts";
import { get, shows } from "../support/secured_servers.ts";
import { freePort } from "../support/servers.ts";
import { TlsEnd } from "../support/tls_end.ts";

const world = new Certificates(), abroad = new Certificates();
after(() => {
  world[Symbol.dispose]();
  abroad[Symbol.dispose]();
});
const site = world.leaf("site.example"), shop = world.leaf("shop.example");

/** What the modern policy has not. */
const CBC = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"];

const pair = ({ chain, key }: Made) => ({ cert: chain, key });

/** Who a listener says it is. */
async function shownBy(port: number, ...words: string[]): Promise<string> {
  const said = await sClient(port, words);
  return /^ 0 s:CN = (.*)$/m.exec(said)?.[1] ?? /alert number ([0-9]+)/.exec(said)?.[0] ?? said;
}

describe("a reload of a listener's TLS", () => {
  it("is for the next handshake; whoever was greeted before goes on; what is broken changes nothing", async () => {
    await using web = await HttpOrigin.listen(() => answered("hello"));
    const port = await freePort();
    const showing = (tls: object) => ({
      listeners: { site: { bind: `https://127.0.0.1:${port}`, to: "web", tls } },
      upstreams: { web: { servers: [web.address], health: "off", "keep-alive": "off" } },
    });
    await withReloads(showing({ certificates: [pair(site)], policy: "compatible" }), async (reloads) => {
      using before = await connectSecurely(port, { name: "site.example", world });
      strictEqual(statusOf((await before.ask(get())).head), 200);
      const { listeners } = await reloads.take(showing({ certificates: [pair(shop)], policy: "compatible" }));
      deepStrictEqual(listeners.changed.names, ["site"]);
      strictEqual(await shownBy(port, "-servername", "shop.example"), "shop.example");
      strictEqual(statusOf((await before.ask(get())).head), 200, "the connection from before");
      const broken = reloads.folder.at("broken.pem");
      writeFileSync(broken, "no certificate\n");
      const refused = await reloads.refuse(showing({ certificates: [{ cert: broken, key: shop.key }] }));
      match(refused.why.join(), /broken\.pem/);
      strictEqual(await shownBy(port, "-servername", "shop.example"), "shop.example");
      strictEqual(await shownBy(port, ...CBC), "shop.example");
      await reloads.take(showing({ certificates: [pair(shop)], policy: "modern" }));
      match(await shownBy(port, ...CBC), /alert number 40/, "handshake_failure");
      strictEqual(await shownBy(port, "-tls1_3"), "shop.example");
      strictEqual(statusOf((await before.ask(get())).head), 200, "the connection from before");
      const { certificates } = await reloads.take();
      deepStrictEqual(certificates, []);
      before.end();
    });
  });

  it("speaks it from the next connection on where there was none, and the other way round", async () => {
    await using web = await HttpOrigin.listen(() => answered("hello"));
    const port = await freePort();
    const upstreams = { web: { servers: [web.address], health: "off", "keep-alive": "off" } };
    const plain = { listeners: { site: { bind: `http://127.0.0.1:${port}`, to: "web" } }, upstreams };
    const secured = {
      listeners: {
        site: { bind: `https://127.0.0.1:${port}`, to: "web", tls: { certificates: [pair(site)] } },
      },
      upstreams,
    };
    await withReloads(secured, async (reloads) => {
      await reloads.take(plain);
      await reloads.take(secured);
      using client = await connectSecurely(port, { name: "site.example", world });
      strictEqual(statusOf((await client.ask(get())).head), 200);
      client.end();
      await reloads.take(plain);
      using other = await HttpPeer.connect(port);
      strictEqual(statusOf((await other.ask(get())).head), 200);
      other.end();
    });
  });
});

describe("a reload of an upstream's TLS", () => {
  it("no request goes over a connection that the file would not make any more", async () => {
    await using origin = await HttpOrigin.listen(() => answered("hello"));
    using secured = await TlsEnd.server(origin.port, ...shows(site));
    const port = await freePort();
    const by = (tls: object) => ({
      reactors: 1,
      listeners: { site: { bind: `http://127.0.0.1:${port}`, to: "web" } },
      upstreams: { web: { servers: [`https://${secured.address}`], health: "off", tls } },
    });
    const own = { ca: world.root.cert, "server-name": "site.example" };
    await withReloads(by(own), async (reloads) => {
      using client = await HttpPeer.connect(port);
      const status = async () => statusOf((await client.ask(get())).head);
      strictEqual(await status(), 200);
      strictEqual(await status(), 200);
      strictEqual(origin.connections, 1, "it is kept");
      const changes: [tls: object, reason: string][] = [
        [{ ...own, ca: abroad.root.cert }, "server_certificate_authority"],
        [{ ...own, "server-name": "shop.example" }, "server_certificate_name"],
      ];
      for (const [tls, reason] of changes) {
        await reloads.take(by(tls));
        strictEqual(await status(), 502);
        strictEqual(reloads.sluice.records.length > 0, true);
        await reloads.sluice.until(reason, () => reloads.sluice.records.at(-1)!.reason === reason);
        await reloads.take(by(own));
        strictEqual(await status(), 200);
      }
      client.end();
      await origin.kill();
    });
  });
});
