// A reactor that dies by a bug. Faults are built into a copy of the sources: four bytes from a client break a
// promise about a table, or about that one connection. The others never notice, what was lost is told, what the
// dead one held is given back, and its replacement serves.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Sluice, withSluice } from "../support/executable.ts";
import { onWords, type Patch, PatchedSluice } from "../support/patched.ts";
import { knock, Peer } from "../support/peer.ts";
import { echo, freePort, sayAndEnd, Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";
import { until } from "../support/waiting.ts";

/** A client that says `die!` ends its reactor, or after a moment in which others may come; `bug!` only itself. */
const faults = onWords({
  "bug!": 'throw new BugError("a planted bug");',
  "die!": 'throw new TableError("a planted death");',
  "wait!": `{
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
    throw new TableError("a planted death, late");
  }`,
});
const patched = new PatchedSluice(faults);
after(() => patched[Symbol.dispose]());

const ALONE = ["--health", "off"];

/** A reactor that dies at its newcomer of that number, just before it does `find`, in each of its lives. */
function deathAtNewcomer(number: number, find: string): Patch[] {
  const fault = `if (++newcomers === ${number}) throw new TypeError("a planted death");`;
  return [
    {
      file: "proxy/accept.ts",
      find: "let nextChoice: number;",
      replace: "let nextChoice: number;\nlet newcomers = 0;",
    },
    { file: "proxy/accept.ts", find, replace: `${fault}\n  ${find}` },
  ];
}

function withFaults(words: readonly string[], test: (sluice: Sluice) => Promise<void>): Promise<void> {
  return withSluice([...ALONE, ...words], test, { command: patched.command("executable") });
}

interface Placed {
  readonly client: Peer;
  /** The room of the reactor that has it. */
  readonly room: number;
}

/** A client that is served, and who serves it. */
async function place(sluice: Sluice): Promise<Placed> {
  const before = (await sluice.status()).reactors;
  const client = await Peer.connect(sluice.port());
  strictEqual(await client.ask("hello"), "hello");
  const { reactors } = await sluice.status();
  const room = reactors.find(({ connections }, at) => connections.now > before[at].connections.now)?.room;
  ok(room !== undefined);
  return { client, room };
}

/** A client in each of two rooms, whichever comes first. */
async function placeInBoth(sluice: Sluice): Promise<Record<1 | 2, Peer>> {
  const first = await place(sluice), second = await place(sluice);
  strictEqual(first.room + second.room, 3);
  return first.room === 1 ? { 1: first.client, 2: second.client } : { 1: second.client, 2: first.client };
}

async function untilReplaced(sluice: Sluice, deaths: number): Promise<void> {
  await sluice.until(
    "the replacement to live",
    ({ totals, reactors }) => totals.reactor_deaths === deaths && reactors.every(({ alive }) => alive),
  );
}

describe("a reactor that dies", () => {
  it("with it those who were introduced by a proxy, under their own names, and those who waited to be", async () => {
    await using server = await Server.listen(echo);
    const words = ["--reactors", "1", "--accept-proxy", "127.0.0.0/8", "--send-proxy", "v1"];
    await withFaults([...words, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const header = "PROXY TCP4 192.0.2.1 198.51.100.7 7 8\r\n";
      using served = await Peer.connect(sluice.port());
      await served.send(header);
      strictEqual(await served.readText(header.length), header); // of an echo
      using waiting = await Peer.connect(sluice.port());
      await waiting.send(header.slice(0, 20));
      await sluice.until("both to be there", ({ totals }) => totals.connections.now === 2);
      await served.send("die!");
      deepStrictEqual([await served.ending(), await waiting.ending()], ["reset", "reset"]);
      await untilReplaced(sluice, 1);
      const told = (await sluice.ended(2)).map(({ client, reason }) => `${client} ${reason}`).sort();
      deepStrictEqual(told, [`${waiting.address} reactor_died`, "192.0.2.1:7 reactor_died"].sort());
      using next = await Peer.connect(sluice.port());
      await next.send(header);
      strictEqual(await next.readText(header.length), header);
      strictEqual(await next.ask("hello"), "hello");
    });
  });

  for (const room of [1, 2] as const) {
    it(`room ${room}${room === 1 ? ", which accepts" : ""}: its connections are lost and told, the other's never notice`, async () => {
      await using server = await Server.listen(echo);
      await withFaults(["--reactors", "2", `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        const clients = await placeInBoth(sluice);
        const dying = clients[room], living = clients[room === 1 ? 2 : 1];
        await dying.send("die!");
        strictEqual(await dying.ending(), "reset");
        strictEqual(await living.ask("never noticed"), "never noticed");
        await untilReplaced(sluice, 1);

        const line = await sluice.line("reactors", /^the reactor Worker in room/);
        strictEqual(line.level, "error");
        match(
          line.message,
          new RegExp(`room ${room} died and is replaced; 1 connection is lost: .*a planted death`, "s"),
        );
        const [record] = await sluice.ended(1);
        strictEqual(record.reason, "reactor_died");
        strictEqual(record.type, "proxy_internal_error");
        strictEqual(record.client, dying.address);
        strictEqual(record.listener, "tcp://127.0.0.1:0");
        strictEqual(record.server, server.address);
        strictEqual(record.up_bytes, 5);
        strictEqual(record.down_bytes, 5);

        const status = await sluice.status();
        strictEqual(status.totals.connections.now, 1);
        strictEqual(status.listeners[0].connections.now, 1);
        strictEqual(status.upstreams[0].servers[0].connections.now, 1);
        deepStrictEqual(status.totals.ended, { reactor_died: 1 });
        const metrics = await sluice.metrics();
        strictEqual(metrics.get("sluice_reactor_deaths_total"), 1);
        strictEqual(metrics.get("sluice_bugs_total"), 0);

        const after = await Promise.all(Array.from({ length: 20 }, () => Peer.connect(sluice.port())));
        for (const client of after) strictEqual(await client.ask("anew"), "anew");
        const shares = (await sluice.status()).reactors.map(({ connections }) => connections.now);
        ok(shares[0] >= 8 && shares[1] >= 8, `shares ${shares.join()}`);
        strictEqual(await living.ask("still here"), "still here");
        for (const client of [living, ...after]) client.end();
        await sluice.ended(22);
      });
    });
  }

  for (
    const [what, words] of [
      ["the only one", ["--reactors", "1"]],
      ["one that accepts for itself", ["--reactors", "2", "--accept", "reuseport"]],
    ] as const
  ) {
    it(`${what}: new connections are served`, async () => {
      await using server = await Server.listen(echo);
      await withFaults([...words, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        for (let death = 1; death <= 3; death++) {
          const { client } = await place(sluice);
          await client.send("die!");
          strictEqual(await client.ending(), "reset");
          await untilReplaced(sluice, death);
        }
        const clients = await Promise.all(Array.from({ length: 20 }, () => Peer.connect(sluice.port())));
        for (const client of clients) strictEqual(await client.ask("hello"), "hello");
        for (const client of clients) client.end();
        await sluice.ended(23);
        strictEqual((await sluice.status()).totals.ended.reactor_died, 3);
      });
    });
  }

  it("fds, pipes and blocks return to the truth, streams under way included", async () => {
    await using server = await Server.listen(async (peer) => {
      const wish = await peer.readText(5);
      if (wish === "bulk!") await sendStream(peer, 64 << 20);
      else {
        await peer.send(wish);
        echo(peer);
      }
    });
    await withFaults(["--reactors", "2", `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const stuck = await Promise.all(Array.from({ length: 12 }, () => Peer.connect(sluice.port())));
      for (const client of stuck) {
        await client.send("bulk!");
        await client.read(1 << 20);
      }
      ok((await sluice.status()).reactors.reduce((sum, { pipes }) => sum + pipes, 0) >= 12);
      const { client: dying, room } = await place(sluice);
      const mine = (await sluice.status()).reactors[room - 1].connections.now;
      await dying.send("die!");
      strictEqual(await dying.ending(), "reset");
      await untilReplaced(sluice, 1);
      const records = await sluice.ended(mine);
      strictEqual(records.filter(({ reason }) => reason === "reactor_died").length, mine);
      for (const { client, down_bytes } of records) {
        if (client !== dying.address) ok(down_bytes >= 1 << 20, `${client} had ${down_bytes} bytes`);
      }
      const lost = new Set(records.map(({ client }) => client));
      for (const client of stuck) {
        if (lost.has(client.address)) strictEqual(await client.ending(), "reset");
        else client.reset();
      }
      await sluice.ended(13);
    });
  });

  it("newcomers that wait for it are served by its replacement", async () => {
    await using server = await Server.listen(echo);
    await withFaults(["--reactors", "2", `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const { 1: living, 2: dying } = await placeInBoth(sluice);
      await dying.send("wait!");
      // Asleep, it is handed every second one.
      const waiting = await Promise.all(Array.from({ length: 10 }, () => Peer.connect(sluice.port())));
      const answers = waiting.map((client, number) => client.ask(`newcomer ${number}`));
      strictEqual(await dying.ending(), "reset");
      for (const [number, answer] of answers.entries()) strictEqual(await answer, `newcomer ${number}`);
      strictEqual((await sluice.status()).totals.reactor_deaths, 1);
      strictEqual(await living.ask("still here"), "still here");
      for (const client of [living, ...waiting]) client.end();
      const records = await sluice.ended(12);
      deepStrictEqual(records.map(({ reason }) => reason).sort(), [
        ...Array(11).fill("finished"),
        "reactor_died",
      ]);
    });
  });

  it("clients that wait for the one that accepts are served by its replacement", async () => {
    await using server = await Server.listen(echo);
    await withFaults(["--reactors", "2", `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const { 1: dying, 2: living } = await placeInBoth(sluice);
      await dying.send("wait!");
      const waiting = await Promise.all(Array.from({ length: 10 }, () => Peer.connect(sluice.port())));
      const answers = waiting.map((client, number) => client.ask(`in the queue ${number}`));
      strictEqual(await dying.ending(), "reset");
      for (const [number, answer] of answers.entries()) strictEqual(await answer, `in the queue ${number}`);
      for (const client of [living, ...waiting]) client.end();
      await sluice.ended(12);
    });
  });

  it("a newcomer at whose sight it dies is served by its replacement", async () => {
    using dying = new PatchedSluice(deathAtNewcomer(5, "const socket = sys.newcomer(token);"));
    await using server = await Server.listen(echo);
    const words = [...ALONE, "--reactors", "1", `tcp://127.0.0.1:0=${server.address}`];
    await withSluice(words, async (sluice) => {
      const lost = await Promise.all(Array.from({ length: 4 }, () => Peer.connect(sluice.port())));
      for (const client of lost) strictEqual(await client.ask("hello"), "hello");
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ask("fatal"), "fatal");
      for (const client of lost) strictEqual(await client.ending(), "reset");
      const status = await sluice.status();
      deepStrictEqual([status.totals.reactor_deaths, status.totals.connections.now], [1, 1]);
      client.end();
      const records = await sluice.ended(5);
      deepStrictEqual(records.map(({ reason }) => reason), [...Array(4).fill("reactor_died"), "finished"]);
    }, { command: dying.command("bun") });
  });

  it("a death between a slot and its exchange leaves no connection counted", async () => {
    using dying = new PatchedSluice(deathAtNewcomer(3, "exchangeOpen(slot, listener, bits, source);"));
    await using server = await Server.listen(echo);
    const words = [...ALONE, "--reactors", "1", `tcp://127.0.0.1:0=${server.address}`];
    await withSluice(words, async (sluice) => {
      const lost = await Promise.all(Array.from({ length: 2 }, () => Peer.connect(sluice.port())));
      for (const client of lost) strictEqual(await client.ask("hello"), "hello");
      strictEqual(await knock(sluice.port()), "reset");
      for (const client of lost) strictEqual(await client.ending(), "reset");
      await untilReplaced(sluice, 1);
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ask("anew"), "anew");
      client.end();
      await sluice.until("nobody to be counted", ({ totals }) => totals.connections.now === 0);
    }, { command: dying.command("bun") });
  });

  it("at the limit on connections: its places are free again", async () => {
    await using server = await Server.listen(echo);
    const words = ["--reactors", "2", "--max-connections", "4", `tcp://127.0.0.1:0=${server.address}`];
    await withFaults(words, async (sluice) => {
      const { 1: living, 2: dying } = await placeInBoth(sluice);
      const others = [await place(sluice), await place(sluice)];
      const waiting = await Promise.all([Peer.connect(sluice.port()), Peer.connect(sluice.port())]);
      const answers = waiting.map((client) => client.ask("patient"));
      await sluice.line("accept", /^paused: the limit of 4 connections/);
      await dying.send("die!");
      for (const answer of answers) strictEqual(await answer, "patient");
      strictEqual((await sluice.status()).totals.connections.now, 4);
      const survivors = [
        living,
        ...others.filter(({ room }) => room === 1).map(({ client }) => client),
        ...waiting,
      ];
      for (const client of survivors) strictEqual(await client.ask("still here"), "still here");
      for (const client of survivors) client.end();
      const records = await sluice.ended(6);
      strictEqual(records.filter(({ reason }) => reason === "reactor_died").length, 2);
    });
  });

  it("a drain that waits for it ends all the same", async () => {
    await using server = await Server.listen(echo);
    const words = [
      ...ALONE,
      "--reactors",
      "2",
      "--drain-timeout",
      "30s",
      `tcp://127.0.0.1:0=${server.address}`,
    ];
    using sluice = await Sluice.start(words, { command: patched.command("executable") });
    const { 1: one, 2: two } = await placeInBoth(sluice);
    sluice.signal("SIGTERM");
    await sluice.line("drain", /^stopped accepting/);
    await one.send("die!");
    strictEqual(await one.ending(), "reset");
    strictEqual(await two.ask("still here"), "still here");
    two.end();
    strictEqual(await sluice.exit(), 0);
    deepStrictEqual(sluice.records.map(({ reason }) => reason).sort(), ["finished", "reactor_died"]);
  });

  it("more than ten times a minute: Sluice ends with 1, for a service manager to see", async () => {
    await using server = await Server.listen(echo);
    using sluice = await Sluice.start([...ALONE, "--reactors", "1", `tcp://127.0.0.1:0=${server.address}`], {
      command: patched.command("executable"),
    });
    for (let death = 1; death <= 11; death++) {
      using client = await Peer.connect(sluice.port());
      await client.send("die!");
      strictEqual(await client.ending(), "reset");
    }
    strictEqual(await sluice.exit(), 1);
    match(sluice.log("reactors").at(-1)!.message, /11 Workers died within a minute; Sluice ends/);
  });
});

describe("a bug about one connection", () => {
  it("ends that pair alone, counted and told", async () => {
    await using server = await Server.listen(echo);
    await withFaults(["--reactors", "1", `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const { client: other } = await place(sluice);
      for (let bug = 1; bug <= 3; bug++) {
        const { client } = await place(sluice);
        await client.send("bug!");
        strictEqual(await client.ending(), "reset");
        const record = (await sluice.ended(bug))[bug - 1];
        strictEqual(record.reason, "bug");
        strictEqual(record.type, "proxy_internal_error");
        strictEqual(record.client, client.address);
        strictEqual((await sluice.metrics()).get("sluice_bugs_total"), bug);
      }
      strictEqual(await other.ask("never noticed"), "never noticed");
      const line = await sluice.line("bug", /^a bug ended one connection of reactor 1/);
      strictEqual(line.level, "error");
      const { totals } = await sluice.status();
      deepStrictEqual([totals.reactor_deaths, totals.bugs, totals.connections.now], [0, 3, 1]);
      other.end();
      await sluice.ended(4);
    });
  });
});

describe("a health Worker that dies", () => {
  it("is replaced; verdicts hold meanwhile, and are kept up afterwards", async () => {
    const deadly: readonly Patch[] = [
      {
        file: "proxy/probe.ts",
        find: "slotHoldBytes[slot] = had + read;",
        replace: `slotHoldBytes[slot] = had + read;
      if (arenaBytes[at] === "!".charCodeAt(0)) throw new TypeError("a planted death");`,
      },
    ];
    using dying = new PatchedSluice(deadly);
    let answer = "ok", checks = 0;
    await using server = await Server.listen((peer) => {
      checks++;
      return sayAndEnd(answer)(peer);
    });
    const port = await freePort();
    const words = [
      "--reactors",
      "1",
      "--health-interval",
      "300ms",
      "--health-timeout",
      "100ms",
      "--health-expect",
      "ok",
    ];
    await withSluice([...words, `tcp://127.0.0.1:0=${server.address},127.0.0.1:${port}`], async (sluice) => {
      await sluice.line("health", new RegExp(`server 127\\.0\\.0\\.1:${port} .* is down`));
      answer = "!";
      const line = await sluice.line(
        "reactors",
        /^the health Worker in room 2 died and is replaced; 0 connections/,
      );
      match(line.message, /a planted death/);
      [answer, checks] = ["ok", 0];
      await until("the replacement to check", () => checks > 0);
      const { upstreams: [{ servers }], totals } = await sluice.status();
      deepStrictEqual(servers.map(({ health }) => health), ["up", "down"]);
      strictEqual(totals.reactor_deaths, 1);
      await using _back = await Server.listen(sayAndEnd("ok"), port);
      await sluice.line("health", new RegExp(`server 127\\.0\\.0\\.1:${port} .* is up again`));
    }, { command: dying.command("bun") });
  });
});

describe("on the runtimes", () => {
  for (const launcher of ["bun", "deno"] as const) {
    it(`${launcher}: a reactor that dies is replaced, and nothing leaks`, async () => {
      await using server = await Server.listen(echo);
      const words = [...ALONE, "--reactors", "2", `tcp://127.0.0.1:0=${server.address}`];
      await withSluice(words, async (sluice) => {
        for (let death = 1; death <= 2; death++) {
          const clients = await placeInBoth(sluice);
          await clients[1].send("die!");
          strictEqual(await clients[1].ending(), "reset");
          strictEqual(await clients[2].ask("never noticed"), "never noticed");
          await untilReplaced(sluice, death);
          clients[2].end();
          await sluice.ended(2 * death);
        }
        using client = await Peer.connect(sluice.port());
        client.end();
        strictEqual(await readStream(client), 0);
      }, { command: patched.command(launcher) });
    });
  }
});
