import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { capacityOf, fdsFor } from "../../src/control/capacity.ts";

const asked = { connections: 100_000, reactors: 2, listeners: 1, servers: 4 };

describe("capacityOf", () => {
  const cases: [fds: number, reactors: number, least: number, most: number, why: string][] = [
    [1_048_576, 2, 100_000, 100_000, "plenty: what was asked"],
    [20_000, 2, 9_000, 9_950, "two fds for each connection, some for pipes"],
    [1_024, 2, 300, 450, "the usual soft limit still works"],
    [200, 2, -100, 10, "too low: says so by having none"],
    [1_024, 64, -2_000, 200, "many reactors eat the limit"],
  ];
  for (const [fds, reactors, least, most, why] of cases) {
    it(`${fds} fds, ${reactors} reactors: ${why}`, () => {
      const { connections, pipes } = capacityOf(fds, { ...asked, reactors });
      strictEqual(connections >= least && connections <= most, true, `${connections} connections`);
      strictEqual(pipes >= 1, true);
      if (connections > 0) strictEqual(connections * 2 + pipes * 2 * reactors < fds, true, "all fit at once");
    });
  }
});

describe("fdsFor", () => {
  it("is the least that carries all the connections", () => {
    for (const connections of [1, 100, 1_000, 20_000, 100_000, 1_000_000]) {
      for (const reactors of [1, 2, 64]) {
        const needs = { ...asked, connections, reactors }, fds = fdsFor(needs);
        strictEqual(capacityOf(fds, needs).connections, connections, `${connections}, ${reactors}`);
        strictEqual(
          capacityOf(fds - 1, needs).connections < connections,
          true,
          `${connections}, ${reactors}`,
        );
      }
    }
  });
});
