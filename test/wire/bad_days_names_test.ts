// Bad days of names: what a name stands for changes under traffic, shrinks to nothing, is denied, its name server is
// away, and all of it comes back. Whoever is connected goes on, who comes goes where the name points now, and
// while it points nowhere, where it pointed last. Nobody is refused for it.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { withConfig } from "../support/configured.ts";
import { withFiles } from "../support/etc_files.ts";
import type { Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { NameServer } from "../support/name_server.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { assertGaugesZero, KINDS, Traffic, tryOnce, web } from "../support/traffic.ts";
import { until } from "../support/waiting.ts";

const skip = process.getuid?.() !== 0 && "needs root, to give a process a name server of its own";
const NAME = "app.sluice.test";
const ONE = "127.0.6.1", TWO = "127.0.6.2", THREE = "127.0.6.3";

/** Both upstreams have exactly these servers now, and every reactor works by that. */
async function untilServers(sluice: Sluice, ips: readonly string[]): Promise<void> {
  const wanted = [...ips].sort().join();
  await sluice.until(
    `the servers to be at ${wanted}`,
    ({ upstreams }) =>
      upstreams.every(({ servers }) =>
        servers.map(({ address }) => address.split(":")[0]).sort().join() === wanted
      ),
  );
  await sluice.adopted();
}

describe("a name whose answers change under traffic", { skip }, () => {
  it("to others, to none, to a denial, to silence, and back", async () => {
    using folder = new Folder();
    let names = await NameServer.open();
    try {
      const hosts = [ONE, TWO, THREE];
      const tcp = [await Server.listen(echo, { host: ONE, port: 0 })];
      const http = [await Server.listen(web, { host: ONE, port: 0 })];
      for (const host of [TWO, THREE]) {
        tcp.push(await Server.listen(echo, { host, port: tcp[0].port }));
        http.push(await Server.listen(web, { host, port: http[0].port }));
      }
      await using servers = new AsyncDisposableStack();
      for (const server of [...tcp, ...http]) servers.use(server);
      writeFileSync(folder.at("resolv.conf"), `nameserver ${names.address}\n`);
      names.names.set(NAME, [ONE]);
      const config = {
        reactors: 2,
        listeners: {
          tcp: { bind: "tcp://127.0.0.1:0", to: "tcp" },
          http: { bind: "http://127.0.0.1:0", to: "http" },
          ...Object.fromEntries(
            KINDS.map((kind) => [`probe-${kind}`, { bind: `${kind}://127.0.0.1:0`, to: kind }]),
          ),
        },
        upstreams: {
          tcp: { servers: [`${NAME}:${tcp[0].port}`], health: { tcp: true, interval: "200ms" } },
          http: { servers: [`${NAME}:${http[0].port}`], health: { tcp: true, interval: "200ms" } },
        },
      };
      await withConfig(config, async (sluice) => {
        /** Where those go that come now. */
        const reached = async (): Promise<string[]> => {
          const before = sluice.records.length;
          for (const kind of KINDS) {
            const port = sluice.port(2 + KINDS.indexOf(kind));
            for (const _ of hosts) strictEqual(await tryOnce(kind, port), "served");
          }
          const ours = () =>
            sluice.records.slice(before).filter(({ listener }) => listener!.startsWith("probe-"));
          await until("their records", () => ours().length >= 2 * hosts.length);
          return [...new Set(ours().map(({ server }) => server!.split(":")[0]))].sort();
        };
        await untilServers(sluice, [ONE]);
        const traffic = [
          new Traffic("tcp", sluice, "tcp", sluice.port(0), 5),
          new Traffic("http", sluice, "http", sluice.port(1), 5),
        ];
        using staying = await Peer.connect(sluice.port(2));
        const goesOn = async (): Promise<void> =>
          strictEqual(await staying.ask("still here?"), "still here?");
        await goesOn();

        names.names.set(NAME, [TWO]);
        await untilServers(sluice, [TWO]);
        deepStrictEqual(await reached(), [TWO]);
        await goesOn();
        names.names.set(NAME, [THREE, ONE]);
        await untilServers(sluice, [ONE, THREE]);
        deepStrictEqual(await reached(), [ONE, THREE]);

        // No address, no such name, trouble, no server: what was known holds, which is told once. Then it comes back.
        const warnings = () => sluice.log("discovery").filter(({ level }) => level === "warn");
        let known = [ONE, THREE];
        for (const [turn, trouble] of ["none", "denied", "fail", "away"].entries()) {
          if (trouble === "none") names.names.set(NAME, []);
          else if (trouble === "denied") names.names.delete(NAME);
          else if (trouble === "fail") names.names.set(NAME, "fail");
          else names[Symbol.dispose]();
          await until(`${trouble} to be told`, () => warnings().length > turn);
          const { message } = warnings()[turn];
          match(message, /^cannot resolve app\.sluice\.test: /);
          ok(message.includes(`keeping ${known.join(", ")}`), message);
          deepStrictEqual(await reached(), known, trouble);
          await goesOn();
          known = turn % 2 === 0 ? [TWO] : [ONE, THREE];
          if (trouble === "away") names = await NameServer.open();
          names.names.set(NAME, known);
          await untilServers(sluice, known);
          deepStrictEqual(await reached(), known);
          await goesOn();
          strictEqual(warnings().length, turn + 1);
        }
        staying.end();
        strictEqual(await staying.ending(), "fin");
        for (const each of traffic) {
          await each.stop({});
          ok(each.total > 50, `${each.total}`);
        }
        const [stayed] = sluice.records.filter(({ client, listener }) =>
          client === staying.address && listener === "probe-tcp"
        );
        strictEqual(`${stayed.server} ${stayed.reason}`, `${ONE}:${tcp[0].port} finished`);
        for (const server of http) await server.kill();
        await sluice.assertQuiet();
        await assertGaugesZero(sluice);
      }, withFiles({ "resolv.conf": folder.at("resolv.conf") }));
    } finally {
      names[Symbol.dispose]();
    }
  });
});
