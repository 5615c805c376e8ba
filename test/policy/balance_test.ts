import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { makePlan, NO_SIZES, type Plan } from "../../src/plan/plan.ts";
import { candidatesOf, redispatch, roundRobin, roundRobinCommit } from "../../src/policy/balance.ts";
import { Verdict } from "../../src/shared/servers.ts";

/** A Plan with one upstream (number 1) of `count` servers, numbered 1, 2, ... behind another's two. */
function planOf(count: number): Plan {
  const sizes = {
    ...NO_SIZES,
    sockets: 0,
    listeners: 1,
    upstreams: 3,
    probes: 0,
    probeMembers: 0,
    arenaBytes: 8,
  };
  const plan = makePlan(1, { ...sizes, servers: count + 3, members: count + 2 });
  plan.upstreamFirst[2] = 0;
  plan.upstreamCount[2] = 2;
  plan.upstreamFirst[1] = 2;
  plan.upstreamCount[1] = count;
  plan.upstreamMember.set(Array.from({ length: count }, (_, member) => member + 1), 2);
  return plan;
}

function verdicts(down: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(300);
  for (const server of down) bytes[server] = Verdict.Down;
  return bytes;
}

/** How often each member was picked in `picks` picks. */
function spread(
  count: number,
  down: readonly number[],
  picks: number,
  cursors = new Int32Array(2),
): number[] {
  const plan = planOf(count), candidates = new Uint32Array(plan.members);
  const found = candidatesOf(plan, 1, verdicts(down), candidates);
  const seen: number[] = Array(count).fill(0);
  for (let pick = 0; pick < picks; pick++) {
    seen[roundRobin(candidates, 2, found, roundRobinCommit(cursors, 1))]++;
  }
  return seen;
}

describe("roundRobin", () => {
  const cases: [count: number, down: number[], picks: number, want: number[], why: string][] = [
    [3, [], 9, [3, 3, 3], "each in turn"],
    [3, [2], 8, [4, 0, 4], "the share of one that is down is spread over all others, not its neighbour"],
    [1, [], 5, [5], "one server takes all"],
    [4, [1, 4], 4, [0, 2, 2, 0], "the ends may be down"],
  ];
  for (const [count, down, picks, want, why] of cases) {
    it(why, () => deepEqual(spread(count, down, picks), want));
  }

  it("goes on evenly when the cursor passes 2^31", () => {
    deepEqual(spread(2, [], 10, Int32Array.of(0, 2 ** 31 - 5)), [5, 5]);
  });

  it("an upstream whose servers are all down has no candidates", () => {
    const plan = planOf(2);
    strictEqual(candidatesOf(plan, 1, verdicts([1, 2]), new Uint32Array(plan.members)), 0);
  });

  it("writes its candidates into its own part of the list", () => {
    const plan = planOf(2), candidates = new Uint32Array(plan.members).fill(99);
    candidatesOf(plan, 1, verdicts([]), candidates);
    deepEqual([...candidates], [99, 99, 0, 1]);
  });
});

describe("redispatch", () => {
  const cases: [down: number[], first: number, tried: number, want: number, why: string][] = [
    [[], 0, 1, 1, "the neighbour"],
    [[2], 0, 1, 2, "one that is down is passed over"],
    [[], 2, 1, 1, "around the end of the list"],
    [[], 1, 3, -1, "each at most once"],
    [[1, 2, 3], 0, 0, -1, "nobody is left"],
    [[1, 2], 2, 1, -1, "never the first one again"],
  ];
  for (const [down, first, tried, want, why] of cases) {
    it(why, () => strictEqual(redispatch(planOf(3), 1, verdicts(down), first, tried), want));
  }

  it("from any start, whatever is down, visits each server that is up exactly once", () => {
    for (let bits = 0; bits < 32; bits++) {
      const down = [1, 2, 3, 4, 5].filter((server) => bits & (1 << (server - 1)));
      for (let first = 0; first < 5; first++) {
        const plan = planOf(5), seen: number[] = [];
        for (
          let tried = 0, place;
          (place = redispatch(plan, 1, verdicts(down), first, tried)) >= 0;
          tried = place + 1
        ) {
          seen.push((first + place) % 5 + 1);
        }
        deepEqual(seen.sort(), [1, 2, 3, 4, 5].filter((server) => !down.includes(server)));
      }
    }
  });
});
