// Reloads that change where logs go and what they look like, under traffic: each record is in one place, once.
import { deepStrictEqual, match, ok as yes, strictEqual } from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { HttpOrigin, ok } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import { withReloads } from "../support/reloading.ts";
import { Syslog } from "../support/syslog.ts";
import { until } from "../support/waiting.ts";

const MARK = /\/number-([0-9]+)/;

/** The numbers of requests in lines. */
function numbersIn(text: string): number[] {
  return text.split("\n").flatMap((line) => {
    const found = MARK.exec(line);
    return found === null ? [] : [Number(found[1])];
  });
}

function linesOf(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

describe("a reload of the access log", () => {
  it("each record is in the place of its time: file, another, stdout, syslog and back", async () => {
    await using origin = await HttpOrigin.listen(() => ok("hello"));
    const config = (access: object) => ({
      log: { format: "json", access },
      listeners: { web: { bind: "http://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers: [origin.address], health: "off" } },
    });
    await withReloads((folder) => config({ to: folder.at("zero.log") }), async (reloads) => {
      const { sluice, folder } = reloads;
      await using syslog = await Syslog.listen("unix", folder.at("log.sock"));
      const one = folder.at("one.log"), two = folder.at("two.log");
      using client = await HttpPeer.connect(sluice.port());
      let next = 0;
      const ask = async (count: number): Promise<number[]> => {
        const asked = Array.from({ length: count }, () => next++);
        for (const number of asked) {
          const { head } = await client.ask(`GET /number-${number} HTTP/1.1\r\nHost: a\r\n\r\n`);
          strictEqual(statusOf(head), 200);
        }
        return asked;
      };
      const inSyslog = () => syslog.messages.map(({ text }) => text).join("\n");
      const places: [to: string, read: () => string][] = [
        [one, () => linesOf(one)],
        [two, () => linesOf(two)],
        ["stdout", () => sluice.stdout],
        [syslog.place, inSyslog],
      ];
      const expected = new Map<string, number[]>(places.map(([to]) => [to, []]));
      await ask(5);
      for (const to of [one, two, "stdout", syslog.place, one, "stdout", two]) {
        const { settings, changed } = await reloads.take(config({ to }));
        deepStrictEqual([changed, settings], [true, ["log"]]);
        const mine = expected.get(to)!;
        mine.push(...await ask(10));
        const read = places.find(([place]) => place === to)![1];
        await until(`the records in ${to}`, () => numbersIn(read()).length >= mine.length);
      }
      await reloads.take(config({ to: "off" }));
      await ask(5);
      await reloads.take(config({ to: one }));
      expected.get(one)!.push(...await ask(1));
      await until("the last", () => numbersIn(linesOf(one)).length >= expected.get(one)!.length);
      for (const [to, read] of places) deepStrictEqual(numbersIn(read()), expected.get(to), to);
      await origin.kill();
    });
  });

  it("its form; a file that cannot be refuses", async () => {
    await using origin = await HttpOrigin.listen(() => ok("hello"));
    const config = (log: object) => ({
      log,
      listeners: { web: { bind: "http://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers: [origin.address], health: "off" } },
    });
    await withReloads(
      (folder) => config({ format: "json", access: { to: folder.at("a.log"), format: "text" } }),
      async (reloads) => {
        const { sluice, folder } = reloads, to = folder.at("a.log");
        using client = await HttpPeer.connect(sluice.port());
        const line = async (count: number): Promise<string> => {
          await client.ask("GET /it HTTP/1.1\r\nHost: a\r\n\r\n");
          return await until("a line", () => linesOf(to).split("\n").slice(0, -1)[count - 1]);
        };
        yes(!(await line(1)).startsWith("{"));
        await reloads.take(config({ format: "json", access: { to, format: "json" } }));
        strictEqual(typeof JSON.parse(await line(2)), "object");
        const refused = await reloads.refuse(
          config({ format: "json", access: { to: folder.at("none/a.log") } }),
        );
        match(refused.why.join(), /none\/a\.log/);
        strictEqual(typeof JSON.parse(await line(3)), "object", "it goes on where it went");
        await reloads.take(config({ level: "warn", access: { to, format: "text" } }));
        yes(!(await line(4)).startsWith("{"));
        await origin.kill();
      },
    );
  });
});
