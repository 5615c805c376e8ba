// Every rule of balancing for connections, through the executable: who gets what, and that explain says the same.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { run, type Sluice, withSluice } from "../support/executable.ts";
import { Peer } from "../support/peer.ts";
import { freePort, type Serve, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";
import { countsOf } from "../support/counts.ts";

/** Says one letter, and ends when its client does. */
const named = (name: string): Serve => async (peer) => {
  await peer.send(name);
  peer.socket.pipe(peer.socket);
};

/** Servers that call themselves a, b, c, ... and what stops them. */
class Named {
  readonly servers: Server[] = [];

  static async listen(count: number): Promise<Named> {
    const all = new Named();
    for (let at = 0; at < count; at++) {
      all.servers.push(await Server.listen(named(String.fromCharCode(97 + at))));
    }
    return all;
  }

  /** As targets, each with what is behind it. */
  targets(...options: string[]): string {
    return this.servers.map(({ address }, at) => address + (options[at] ?? "")).join(",");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.servers) await server[Symbol.asyncDispose]();
  }
}

const ALONE = ["--reactors", "1", "--health", "off"];

/** A connection, and the letter of its server. */
async function open(port: number, from?: string): Promise<{ peer: Peer; name: string }> {
  const peer = await Peer.connect(port, from);
  return { peer, name: (await peer.read(1)).toString() };
}

/** The servers of so many connections, one after the other. */
async function visit(sluice: Sluice, count: number, from?: string): Promise<string> {
  let names = "";
  for (let nth = 0; nth < count; nth++) {
    const { peer, name } = await open(sluice.port(), from);
    names += name;
    peer.end();
    strictEqual(await peer.ending(), "fin");
  }
  return names;
}

/** The letter that explain says the next connection gets. */
async function foretold(sluice: Sluice, { servers }: Named, from = "127.0.0.1"): Promise<string> {
  const { decision } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}&from=${from}`);
  return String.fromCharCode(97 + servers.findIndex(({ address }) => address === decision.server));
}

describe("balance: connections", () => {
  it("round robin gives each its weight, and nothing to weight 0", async () => {
    await using all = await Named.listen(3);
    const words = [...ALONE, `tcp://127.0.0.1:0=${all.targets(";weight=3", ";weight=1", ";weight=0")}`];
    await withSluice(words, async (sluice) => {
      deepStrictEqual(countsOf(await visit(sluice, 12)), { a: 9, b: 3 });
      const { upstream } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}`);
      deepStrictEqual(upstream!.servers.map(({ weight }) => weight), [3, 1, 0]);
      strictEqual(upstream!.servers[2].text, "not a candidate: it has weight 0");
    });
  });

  it("least connections goes where the fewest are, and explain says so", async () => {
    await using all = await Named.listen(3);
    const words = [...ALONE, "--balance", "least-connections", `tcp://127.0.0.1:0=${all.targets()}`];
    await withSluice(words, async (sluice) => {
      const held: { peer: Peer; name: string }[] = [];
      for (let nth = 0; nth < 9; nth++) {
        const said = await foretold(sluice, all);
        held.push(await open(sluice.port()));
        strictEqual(held[nth].name, said);
      }
      deepStrictEqual(countsOf(held.map(({ name }) => name).join("")), { a: 3, b: 3, c: 3 });
      for (const { peer } of held.filter(({ name }) => name === "b")) {
        peer.end();
        await peer.ending();
      }
      await until("two to have no connection", async () => {
        const { upstream } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}`);
        return upstream!.servers[1].in_use === 0;
      });
      for (let nth = 0; nth < 3; nth++) {
        held.push(await open(sluice.port()));
        strictEqual(held.at(-1)!.name, "b");
      }
      for (const { peer } of held) peer.end();
    });
  });

  it("least connections goes on with the least of the rest when a connect fails", async () => {
    await using all = await Named.listen(3);
    const dead = `127.0.0.1:${await freePort()}`;
    const words = [...ALONE, "--balance", "least-connections", `tcp://127.0.0.1:0=${dead},${all.targets()}`];
    await withSluice(words, async (sluice) => {
      const names: string[] = [], peers: Peer[] = [];
      for (let nth = 0; nth < 9; nth++) {
        const { peer, name } = await open(sluice.port());
        names.push(name);
        peers.push(peer);
      }
      deepStrictEqual(countsOf(names.join("")), { a: 3, b: 3, c: 3 });
      for (const peer of peers) peer.end();
      const tried = (await sluice.ended(9)).map((record) => record.tried);
      ok(tried.every((count) => count === 1 || count === 2) && tried.includes(2), tried.join());
    });
  });

  it("random two takes the better of two, and explain knows which", async () => {
    await using all = await Named.listen(4);
    const words = [...ALONE, "--balance", "random-two", `tcp://127.0.0.1:0=${all.targets()}`];
    await withSluice(words, async (sluice) => {
      const peers: Peer[] = [], names: string[] = [];
      for (let nth = 0; nth < 24; nth++) {
        const said = await foretold(sluice, all), { peer, name } = await open(sluice.port());
        strictEqual(name, said);
        peers.push(peer);
        names.push(name);
      }
      const counts = Object.values(countsOf(names.join("")));
      ok(Math.max(...counts) - Math.min(...counts) <= 3, names.join(""));
      for (const peer of peers) peer.end();
    });
  });

  it("peak ewma leaves a server alone whose connects fail", async () => {
    await using all = await Named.listen(1);
    const dead = `127.0.0.1:${await freePort()}`;
    const words = [...ALONE, "--balance", "peak-ewma", `tcp://127.0.0.1:0=${dead},${all.targets()}`];
    await withSluice(words, async (sluice) => {
      strictEqual(await visit(sluice, 30), "a".repeat(30));
      const { upstreams: [{ servers }] } = await sluice.status();
      ok(servers[0].connections.failed <= 2, `${servers[0].connections.failed} failed`);
    });
  });

  it("source hash keeps each client at its server, over reactors and failures, and brings it back", async () => {
    await using all = await Named.listen(4);
    const words = ["--reactors", "2", "--health", "off", "--balance", "source-hash"];
    await withSluice([...words, `tcp://127.0.0.1:0=${all.targets()}`], async (sluice) => {
      const clients = Array.from({ length: 24 }, (_, at) => `127.0.${at}.7`);
      const of = new Map<string, string>();
      for (const client of clients) {
        const names = await visit(sluice, 3, client);
        strictEqual(names, names[0].repeat(3), client);
        strictEqual(await foretold(sluice, all, client), names[0]);
        of.set(client, names[0]);
      }
      strictEqual(new Set(of.values()).size, 4, "all servers are somebody's");
      const { port } = all.servers[1];
      await all.servers[1].kill();
      for (const client of clients) {
        const [name, again] = await visit(sluice, 2, client);
        strictEqual(again, name);
        if (of.get(client) !== "b") strictEqual(name, of.get(client), `${client} was moved`);
        else ok(name !== "b");
      }
      await using _back = await Server.listen(named("b"), port);
      for (const client of clients) strictEqual(await visit(sluice, 1, client), of.get(client));
    });
  });

  it("source hash may go by a network", async () => {
    await using all = await Named.listen(4);
    const servers = all.servers.map(({ address }) => address);
    const config = {
      listeners: { l: { bind: "tcp://127.0.0.1:0", to: "u" } },
      upstreams: { u: { balance: { "source-hash": { "prefix-v4": 24 } }, servers, health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      for (const network of ["127.0.1", "127.0.2", "127.0.3"]) {
        const names = await visit(sluice, 1, `${network}.1`) + await visit(sluice, 1, `${network}.200`);
        strictEqual(names[0], names[1], network);
      }
      const { upstream } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}`);
      strictEqual(upstream!.by, "the client's address, of which /24 counts");
    });
  });

  it("consistent hash bounds the load of one client's server", async () => {
    await using all = await Named.listen(4);
    const words = [...ALONE, "--balance", "consistent-hash", `tcp://127.0.0.1:0=${all.targets()}`];
    await withSluice(words, async (sluice) => {
      const held = [];
      for (let nth = 0; nth < 40; nth++) {
        const said = await foretold(sluice, all);
        held.push(await open(sluice.port()));
        strictEqual(held[nth].name, said);
      }
      const counts = Object.values(countsOf(held.map(({ name }) => name).join("")));
      ok(Math.max(...counts) <= Math.ceil(40 / 4 * 1.25), counts.join());
      for (const { peer } of held) peer.end();
    });
  });

  it("first goes to the first, and to the next one while it refuses", async () => {
    await using all = await Named.listen(2);
    const words = [...ALONE, "--balance", "first", `tcp://127.0.0.1:0=${all.targets()}`];
    await withSluice(words, async (sluice) => {
      strictEqual(await visit(sluice, 5), "aaaaa");
      const { port } = all.servers[0];
      await all.servers[0].kill();
      strictEqual(await visit(sluice, 3), "bbb");
      await using _back = await Server.listen(named("a"), port);
      strictEqual(await visit(sluice, 3), "aaa");
    });
  });

  it("backups come when no other can be reached, and go when one can", async () => {
    await using all = await Named.listen(3);
    const words = [...ALONE, `tcp://127.0.0.1:0=${all.targets("", ";backup", ";backup")}`];
    await withSluice(words, async (sluice) => {
      strictEqual(await visit(sluice, 4), "aaaa");
      const { upstream } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}`);
      strictEqual(upstream!.servers[1].text, "not a candidate: a backup, and others are there");
      deepStrictEqual(upstream!.then, [all.servers[1].address, all.servers[2].address]);
      const { port } = all.servers[0];
      await all.servers[0].kill();
      const names = await visit(sluice, 4);
      ok(!names.includes("a"), names);
      await using _back = await Server.listen(named("a"), port);
      strictEqual(await visit(sluice, 3), "aaa");
    });
  });

  it("a server that comes back has a tenth of its weight at first", async () => {
    await using all = await Named.listen(2);
    const servers = all.servers.map(({ address }) => address), { port } = all.servers[1];
    const health = { tcp: true, interval: "100ms", timeout: "100ms", fall: 1, rise: 1 };
    const config = {
      listeners: { l: { bind: "tcp://127.0.0.1:0", to: "u" } },
      upstreams: { u: { servers, health, "slow-start": "1h" } },
    };
    const isUp = async (sluice: Sluice, want: string) =>
      (await sluice.status()).upstreams[0].servers[1].health === want;
    await withConfig(config, async (sluice) => {
      await until("its first check", () => isUp(sluice, "up"));
      deepStrictEqual(countsOf(await visit(sluice, 10)), { a: 5, b: 5 });
      await all.servers[1].kill();
      await until("it to be down", () => isUp(sluice, "down"));
      await using _back = await Server.listen(named("b"), port);
      await until("it to be up", () => isUp(sluice, "up"));
      deepStrictEqual(countsOf(await visit(sluice, 110)), { a: 100, b: 10 });
      const { upstream } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}`);
      strictEqual(upstream!.servers[1].slow_start, 0.1);
      const { stdout } = await run(["servers", "--admin", sluice.admin, "--state", "slow-start"]);
      match(
        stdout,
        new RegExp(
          `\n\\S+ +127\\.0\\.0\\.1:${port} +up +\\S+ +1 10% for [0-9hms]+[^\n]*\n\n2 servers, 1 of them as asked\n`,
        ),
      );
    });
  });
});
