// Every rule of balancing for requests, through the executable: who gets what, and that explain says the same.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { HttpOrigin, ok as answered } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import { until } from "../support/waiting.ts";
import { countsOf } from "../support/counts.ts";

describe("balance: requests", () => {
  /** Origins that call themselves a, b, c, ... */
  async function origins(count: number, before: (name: string) => Promise<void> = async () => {}) {
    const all: HttpOrigin[] = [];
    for (let at = 0; at < count; at++) {
      const name = String.fromCharCode(97 + at);
      all.push(
        await HttpOrigin.listen(async () => {
          await before(name);
          return answered(name);
        }),
      );
    }
    return {
      all,
      addresses: all.map(({ address }) => address),
      [Symbol.asyncDispose]: async () => {
        for (const origin of all) await origin.kill().catch(() => {});
      },
    };
  }

  const config = (servers: readonly unknown[], upstream: object) => ({
    listeners: { web: { bind: "http://127.0.0.1:0", to: "u" } },
    upstreams: { u: { servers, health: "off", "keep-alive": { idle: "300ms" }, ...upstream } },
  });

  async function ask(client: HttpPeer, fields = "", path = "/"): Promise<string> {
    const { head, body } = await client.ask(`GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`);
    strictEqual(statusOf(head), 200);
    return body.toString();
  }

  const keys: [by: string, field: (key: number) => string, path: (key: number) => string, header: string][] =
    [
      ["header:X-User", (key) => `x-user: ${key}\r\n`, () => "/", "X-User"],
      ["cookie:id", (key) => `Cookie: other=1; id=u${key}; idx=9\r\n`, () => "/", "Cookie"],
      ["path", () => "", (key) => `/${key}?query=${Math.random()}`, ""],
    ];
  for (const [by, field, path] of keys) {
    it(`consistent hash by ${by}: a key stays, whatever client has it, and explain says where`, async () => {
      await using servers = await origins(5);
      const balance = { "consistent-hash": { by, load: "off" } };
      await withConfig(config(servers.addresses, { balance }), async (sluice) => {
        using one = await HttpPeer.connect(sluice.port()), two = await HttpPeer.connect(sluice.port());
        const seen = new Set<string>();
        for (let key = 0; key < 20; key++) {
          const name = await ask(one, field(key), path(key));
          strictEqual(await ask(two, field(key), path(key)), name);
          seen.add(name);
          const headers = field(key) === "" ? "" : `&header=${encodeURIComponent(field(key).trim())}`;
          const to = encodeURIComponent(`http://127.0.0.1:${sluice.port()}${path(key)}`);
          const { decision, upstream } = await sluice.explain(`to=${to}${headers}`);
          strictEqual(decision.server, servers.addresses[name.charCodeAt(0) - 97]);
          ok(upstream!.by?.startsWith("the "), upstream!.by ?? "");
        }
        ok(seen.size >= 4, [...seen].join());
      });
    });
  }

  it("consistent hash: who has no such header goes by its address", async () => {
    await using servers = await origins(5);
    const balance = { "consistent-hash": { by: "header:x-user", load: "off" } };
    await withConfig(config(servers.addresses, { balance }), async (sluice) => {
      using one = await HttpPeer.connect(sluice.port()), two = await HttpPeer.connect(sluice.port());
      const name = await ask(one);
      for (let nth = 0; nth < 5; nth++) strictEqual(await ask(two, "x-other: 1\r\n"), name);
    });
  });

  it("peak ewma: a slow server gets little", async () => {
    await using servers = await origins(3, async (name) => {
      if (name === "b") await new Promise((resolve) => setTimeout(resolve, 60));
    });
    await withConfig(config(servers.addresses, { balance: "peak-ewma" }), async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      let names = "";
      for (let nth = 0; nth < 60; nth++) names += await ask(client);
      const { a = 0, b = 0, c = 0 } = countsOf(names);
      ok(b <= 3, names);
      ok(a > 10 && c > 10, names);
    });
  });

  it("first fills one server after the other", async () => {
    const held: (() => void)[] = [];
    await using servers = await origins(3, () => new Promise((resolve) => held.push(resolve)));
    const limited = servers.addresses.map((address) => `${address};max-connections=2`);
    await withConfig(config(limited, { balance: "first" }), async (sluice) => {
      const clients: HttpPeer[] = [], counts = () => servers.all.map(({ requests }) => requests.length);
      for (const want of [[1, 0, 0], [2, 0, 0], [2, 1, 0], [2, 2, 0], [2, 2, 1]]) {
        const client = await HttpPeer.connect(sluice.port());
        clients.push(client);
        await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await until(`${want.join()}, not ${counts().join()}`, () => counts().join() === want.join());
      }
      for (const go of held) go();
      for (const client of clients) strictEqual(statusOf((await client.readAnswer()).head), 200);
      for (const client of clients) client.end();
    });
  });

  it("a backup takes nothing while others are only full: who comes waits for them", async () => {
    const held: (() => void)[] = [];
    await using servers = await origins(
      2,
      (name) => name === "a" ? new Promise((resolve) => held.push(resolve)) : Promise.resolve(),
    );
    const [a, b] = servers.addresses;
    await withConfig(config([`${a};max-connections=1`, `${b};backup`], {}), async (sluice) => {
      using one = await HttpPeer.connect(sluice.port()), two = await HttpPeer.connect(sluice.port());
      await one.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await until("the first to be there", () => held.length === 1);
      await two.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await until("the second to wait", async () => (await sluice.status()).reactors[0].queued === 1);
      held[0]();
      strictEqual((await one.readAnswer()).body.toString(), "a");
      await until("the second to be there", () => held.length === 2);
      held[1]();
      strictEqual((await two.readAnswer()).body.toString(), "a");
      await servers.all[0].kill();
      strictEqual(await ask(two), "b");
    });
  });

  it("least connections counts requests, not connections that are kept", async () => {
    await using servers = await origins(2);
    await withConfig(config(servers.addresses, { balance: "least-connections" }), async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      let names = "";
      for (let nth = 0; nth < 10; nth++) names += await ask(client);
      deepStrictEqual(countsOf(names), { a: 5, b: 5 });
      ok(servers.all.every(({ connections }) => connections === 1));
    });
  });
});
