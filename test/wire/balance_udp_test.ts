// Rules of balancing for sessions of datagrams: they are those of connections.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Datagrams } from "../support/datagrams.ts";
import { withSluice } from "../support/executable.ts";

const ALONE = ["--reactors", "1", "--udp-idle", "400ms"];

/** How many sessions each server had, by the records. */
async function sessionsOf(
  words: readonly string[],
  servers: readonly Datagrams[],
  clients: number,
  options: readonly string[] = [],
): Promise<number[]> {
  const targets = servers.map(({ address }, at) => address + (options[at] ?? "")).join(",");
  let counts: number[] = [];
  await withSluice([...ALONE, ...words, `udp://127.0.0.1:0=${targets}`], async (sluice) => {
    for (let nth = 0; nth < clients; nth++) {
      using client = await Datagrams.open();
      strictEqual(await client.ask("hello", sluice.port()), "hello");
    }
    const records = await sluice.ended(clients);
    counts = servers.map(({ address }) => records.filter(({ server }) => server === address).length);
  });
  return counts;
}

describe("balance: datagrams", () => {
  it("weights, and backups only when no other is there", async () => {
    using a = await Datagrams.echo(), b = await Datagrams.echo(), c = await Datagrams.echo();
    const counts = await sessionsOf([], [a, b, c], 8, [";weight=3", "", ";backup"]);
    deepStrictEqual(counts, [6, 2, 0]);
  });

  it("least connections counts sessions", async () => {
    using a = await Datagrams.echo(), b = await Datagrams.echo();
    deepStrictEqual(await sessionsOf(["--balance", "least-connections"], [a, b], 8), [4, 4]);
  });

  it("source hash keeps a client's sessions together, whatever its port", async () => {
    using a = await Datagrams.echo(), b = await Datagrams.echo(), c = await Datagrams.echo();
    const counts = await sessionsOf(["--balance", "source-hash"], [a, b, c], 9);
    deepStrictEqual(counts.sort(), [0, 0, 9]);
  });
});
