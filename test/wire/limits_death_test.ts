// Limits when a reactor dies: what its connections had is given back, wherever they were on their way, and nothing of
// the others'.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { clients, come, LAYOUTS, served, told, untilNobody, withEcho } from "../support/limited.ts";
import { onWords, PatchedSluice } from "../support/patched.ts";

describe("a reactor that dies", () => {
  const patched = new PatchedSluice(onWords({ "die!": 'throw new TableError("a planted death");' }));
  after(() => patched[Symbol.dispose]());

  it("gives back what its connections had, and nothing of the others'", async () => {
    const limits = { connections: 50, "connections-per-source": 20 };
    await withEcho({ limits }, async (sluice) => {
      for (let nth = 0; nth < 8; nth++) await served(sluice);
      await clients[0].send("die!");
      await sluice.until(
        "the dead one to be replaced",
        ({ totals, reactors }) => totals.reactor_deaths === 1 && reactors.every(({ alive }) => alive),
      );
      const { listeners } = await sluice.status(), left = listeners[0].connections.now;
      ok(left < 8, `${left} are left`);
      deepStrictEqual(await told(sluice), {
        "connections-per-source": `127.0.0.1 has ${left} of 20`,
        connections: `the listener has ${left} of 50`,
      });
      for (const client of clients) client.reset();
      await untilNobody(sluice);
      strictEqual((await told(sluice)).connections, "the listener has 0 of 50");
      (await served(sluice)).end();
    }, { layout: LAYOUTS[1], command: patched.command("bun") });
  });

  /** Dies at its third connection, just before it does `find`, in each of its lives. */
  const deathBefore = (find: string): PatchedSluice =>
    new PatchedSluice([
      {
        file: "proxy/accept.ts",
        find: "let nextChoice: number;",
        replace: "let nextChoice: number;\nlet coming = 0;",
      },
      {
        file: "proxy/accept.ts",
        find,
        replace: `if (++coming === 3) throw new TypeError("a planted death");\n  ${find}`,
      },
    ]);

  const moments: [when: string, find: string][] = [
    ["before a client is handed over", "if (sys.hand(token, to) < 0) {"],
    ["when C has its source", "if (full) giveWay();"],
    ["before a newcomer is adopted", "const adopted = sys.adopt(token, slot, slotGen[slot]);"],
    ["before a newcomer has a slot", "slotFlags[slot] = SlotFlag.Down;"],
    ["between a newcomer's slot and its exchange", "exchangeOpen(slot, listener, bits, source);"],
  ];
  for (const [when, find] of moments) {
    it(`dies ${when}: nobody is counted for ever`, async () => {
      using dying = deathBefore(find);
      await withEcho({ limits: { connections: 50, "connections-per-source": 20 } }, async (sluice) => {
        await served(sluice);
        await served(sluice);
        await come(sluice); // its reactor dies; it may be taken in by the next
        await sluice.until(
          "the dead one to be replaced",
          ({ totals, reactors }) => totals.reactor_deaths === 1 && reactors.every(({ alive }) => alive),
        );
        for (const client of clients.splice(0)) client.reset();
        await untilNobody(sluice);
        deepStrictEqual(await told(sluice), {
          "connections-per-source": "127.0.0.1 has 0 of 20",
          connections: "the listener has 0 of 50",
        });
      }, { command: dying.command("bun") });
    });
  }
});
