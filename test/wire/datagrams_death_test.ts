// A reactor that dies by a bug while it serves datagrams, and a bug that is about one session. Faults are built into
// a copy of the sources. The other reactor never notices; what is lost is told; the listening socket goes on.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Datagrams } from "../support/datagrams.ts";
import { type Sluice, withSluice } from "../support/executable.ts";
import { type Patch, PatchedSluice } from "../support/patched.ts";

const SEND = "    const sent = sys.udp_send(slot, ARENA_ASKING, at, end - at);";

/** A client that says `die!` ends its reactor, one that says `bug!` its session. */
const FAULTS: readonly Patch[] = [
  {
    file: "proxy/datagram.ts",
    find: "const ASKING_INTS = ",
    replace: `import { DATAGRAM_BYTES } from "../base/limits.ts";
import { arenaBytes } from "../sys/sys.ts";
function said(record: number, word: string): boolean {
  const at = ARENA_ASKING + DATAGRAMS_PER_CALL * DATAGRAM_INTS * 4 + record * DATAGRAM_BYTES;
  for (let byte = 0; byte < word.length; byte++) if (arenaBytes[at + byte] !== word.charCodeAt(byte)) return false;
  return true;
}
const ASKING_INTS = `,
  },
  {
    file: "proxy/datagram.ts",
    find: SEND,
    replace:
      `    assertTable(!said(at, "die!"), "a planted death");\n    assert(!said(at, "bug!"), "a planted bug");\n${SEND}`,
  },
];
const patched = new PatchedSluice(FAULTS);
after(() => patched[Symbol.dispose]());

function withFaults(words: readonly string[], test: (sluice: Sluice) => Promise<void>): Promise<void> {
  return withSluice(["--udp-idle", "2s", ...words], test, { command: patched.command("executable") });
}

/** A client in each of both rooms: the kernel's hash says which. */
async function clientsOfBoth(sluice: Sluice): Promise<Map<number, Datagrams>> {
  const clients = new Map<number, Datagrams>(), spare: Datagrams[] = [];
  while (clients.size < 2) {
    const before = (await sluice.status()).reactors;
    const client = await Datagrams.open();
    strictEqual(await client.ask("hello", sluice.port()), "hello");
    const { reactors } = await sluice.status();
    const room = reactors.find(({ connections }, at) => connections.now > before[at].connections.now)!.room;
    if (clients.has(room)) spare.push(client);
    else clients.set(room, client);
  }
  for (const client of spare) client.close();
  return clients;
}

describe("a reactor of datagrams that dies", () => {
  it("loses its sessions, which is told; its clients begin anew with the replacement", async () => {
    using server = await Datagrams.echo();
    await withFaults(["--reactors", "2", `udp://127.0.0.1:0=${server.address}`], async (sluice) => {
      const clients = await clientsOfBoth(sluice), dying = clients.get(1)!, living = clients.get(2)!;
      const others = (await sluice.status()).reactors[0].connections.now - 1;
      dying.send("die!", sluice.port());
      await sluice.until(
        "the replacement to live",
        ({ totals, reactors }) => totals.reactor_deaths === 1 && reactors.every(({ alive }) => alive),
      );
      strictEqual(await living.ask("never noticed", sluice.port()), "never noticed");
      const line = await sluice.line("reactors", /^the reactor Worker in room/);
      match(
        line.message,
        /room 1 died and is replaced; [0-9]+ connections? (is|are) lost: .*a planted death/s,
      );
      const records = await sluice.ended(1 + others);
      const lost = records.find(({ client }) => client?.endsWith(`:${dying.port}`));
      ok(lost !== undefined);
      deepStrictEqual(
        [lost.reason, lost.server, lost.up_bytes, lost.down_bytes, lost.tried],
        ["reactor_died", server.address, 5, 5, 1],
      );
      deepStrictEqual([lost.up_datagrams, lost.down_datagrams], [1, 1]);
      strictEqual(await dying.ask("once more", sluice.port()), "once more");
      const { totals, listeners: [listener] } = await sluice.status();
      strictEqual(totals.connections.now, listener.connections.now);
      for (const client of clients.values()) client.close();
    });
  });

  it("datagrams that come meanwhile wait for the replacement", async () => {
    using server = await Datagrams.echo();
    await withFaults(["--reactors", "1", `udp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using client = await Datagrams.open();
      strictEqual(await client.ask("hello", sluice.port()), "hello");
      client.send("die!", sluice.port());
      await sluice.line("reactors", /^the reactor Worker in room/);
      const waiting = await Promise.all(Array.from({ length: 20 }, () => Datagrams.open()));
      const answers = await Promise.all(
        waiting.map((other, nth) => other.ask(`client ${nth}`, sluice.port())),
      );
      deepStrictEqual(answers, waiting.map((_, nth) => `client ${nth}`));
      for (const other of waiting) other.close();
    });
  });
});

describe("sources of sessions", () => {
  it("are given back what a reactor counted for them that died", async () => {
    using server = await Datagrams.echo();
    const words = [
      "--reactors",
      "1",
      "--max-connections-per-source",
      "1",
      `udp://127.0.0.1:0=${server.address}`,
    ];
    await withFaults(words, async (sluice) => {
      using client = await Datagrams.open();
      using other = await Datagrams.open();
      strictEqual(await client.ask("hello", sluice.port()), "hello");
      other.send("too many", sluice.port());
      strictEqual((await sluice.ended(1))[0].reason, "source_limit");
      client.send("die!", sluice.port());
      await sluice.line("reactors", /^the reactor Worker in room/);
      strictEqual(await other.ask("now", sluice.port()), "now");
      strictEqual(server.count, 2);
    });
  });
});

describe("a bug about one session", () => {
  it("ends that session alone", async () => {
    using server = await Datagrams.echo();
    await withFaults(["--reactors", "1", `udp://127.0.0.1:0=${server.address}`], async (sluice) => {
      using victim = await Datagrams.open();
      using other = await Datagrams.open();
      strictEqual(await other.ask("hello", sluice.port()), "hello");
      victim.send("bug!", sluice.port());
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "bug");
      strictEqual(await other.ask("never noticed", sluice.port()), "never noticed");
      strictEqual(await victim.ask("again", sluice.port()), "again");
      const { totals } = await sluice.status();
      deepStrictEqual([totals.bugs, totals.reactor_deaths], [1, 0]);
      await sluice.line("bug", /^a bug ended one connection of reactor 1/);
    });
  });
});
