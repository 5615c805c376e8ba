import { deepEqual, equal, notEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { randomBits, randomSeed } from "../../src/base/random.ts";
import { Balance } from "../../src/plan/plan.ts";
import {
  cursorCommit,
  isHashed,
  turnOf,
  walked,
  walkFrom,
  walkNext,
  walkTo,
} from "../../src/policy/balance.ts";
import { isSpare } from "../../src/policy/candidates.ts";
import { latencySample } from "../../src/policy/latency.ts";
import { mix } from "../../src/policy/hash.ts";
import { chiSquare, chiSquareMax, UPSTREAM, Upstream } from "./balance_fixture.ts";

const RULES: readonly [Balance, string][] = [
  [Balance.RoundRobin, "round-robin"],
  [Balance.LeastConnections, "least-connections"],
  [Balance.RandomTwo, "random-two"],
  [Balance.PeakEwma, "peak-ewma"],
  [Balance.SourceHash, "source-hash"],
  [Balance.ConsistentHash, "consistent-hash"],
  [Balance.First, "first"],
];

describe("round robin", () => {
  const even: [count: number, down: number[], picks: number, want: number[], why: string][] = [
    [3, [], 9, [3, 3, 3], "each in turn"],
    [3, [1], 8, [4, 0, 4], "the share of one that is down is spread over all others, not its neighbour"],
    [1, [], 5, [5], "one server takes all"],
    [4, [0, 3], 4, [0, 2, 2, 0], "the ends may be down"],
  ];
  for (const [count, down, picks, want, why] of even) {
    it(why, () => deepEqual(new Upstream(count).down(...down).spread(picks), want));
  }

  it("is one division where all weigh the same, whatever that is", () => {
    const upstream = new Upstream(3, { weights: [7, 7, 7] });
    equal(upstream.candidates.step[UPSTREAM], 0);
    deepEqual(upstream.spread(6), [2, 2, 2]);
  });

  it("goes on evenly when the cursor passes 2^31", () => {
    const upstream = new Upstream(2);
    upstream.shared.upstreamCursor[UPSTREAM] = 2 ** 31 - 5;
    deepEqual(upstream.spread(10), [5, 5]);
    equal(cursorCommit(Int32Array.of(0, -1), UPSTREAM), -1);
  });

  const weighted: [weights: number[], why: string][] = [
    [[2, 1], "two and one"],
    [[5, 1, 1], "one heavy, two light"],
    [[1, 2, 3, 4], "all different"],
    [[256, 1], "the extremes"],
    [[3, 0, 1], "weight 0 gets nothing"],
    [[100, 99, 98, 97, 1], "large ones"],
  ];
  for (const [weights, why] of weighted) {
    it(`gives each its weight in every round, from any cursor on: ${why}`, () => {
      const upstream = new Upstream(weights.length, { weights });
      const whole = weights.reduce((sum, weight) => sum + weight, 0);
      for (const from of [0, 1, 5, whole * 1000 + 3]) {
        upstream.shared.upstreamCursor[UPSTREAM] = from;
        deepEqual(upstream.spread(whole), weights, `from ${from}`);
      }
    });
  }

  it("is smooth: the heavy one's turns are spread, and nobody waits longer than it must by much", () => {
    const weights = [5, 1, 1], upstream = new Upstream(3, { weights });
    const turns = Array.from({ length: 14 }, () => upstream.pick());
    for (let at = 0; at < 9; at++) {
      ok(turns.slice(at, at + 5).some((member) => member !== 0), `only the heavy one: ${turns.join()}`);
    }
    const large = new Upstream(4, { weights: [40, 30, 20, 10] });
    const seen = [0, 0, 0, 0];
    for (let picked = 1; picked <= 100; picked++) {
      seen[large.pick()]++;
      [40, 30, 20, 10].forEach((weight, member) => {
        const due = picked * weight / 100;
        ok(Math.abs(seen[member] - due) < 3, `after ${picked} picks ${seen.join()}`);
      });
    }
  });

  it("tells its turns from the cursor alone", () => {
    const upstream = new Upstream(3, { weights: [1, 2, 3] });
    const told = Array.from(
      { length: 12 },
      (_, turn) => upstream.candidates.member[turnOf(upstream.candidates, UPSTREAM, turn)],
    );
    deepEqual(Array.from({ length: 12 }, () => upstream.pick()), told);
  });
});

describe("least connections", () => {
  it("goes where the fewest are, by weight", () => {
    const upstream = new Upstream(3, { rule: Balance.LeastConnections, weights: [1, 2, 1] });
    upstream.shared.serverInUse.set([1, 2, 3], 1);
    equal(upstream.pick(), 0, "1/1, 2/2, 3/1: the first of equals by turn is one of two");
    upstream.shared.serverInUse.set([2, 3, 3], 1);
    equal(upstream.pick(), 1, "2/1, 3/2, 3/1");
  });

  it("goes in turns, by weight, while nobody is there", () => {
    const upstream = new Upstream(3, { rule: Balance.LeastConnections, weights: [1, 2, 3] });
    deepEqual(upstream.spread(60), [10, 20, 30]);
  });

  it("keeps connections that stay in proportion to the weights", () => {
    for (const count of [3, 200]) {
      const weights = Array.from({ length: count }, (_, member) => 1 + member % 3);
      const upstream = new Upstream(count, { rule: Balance.LeastConnections, weights });
      const whole = weights.reduce((sum, weight) => sum + weight, 0);
      const seen = upstream.spread(4 * whole, () => upstream.take());
      seen.forEach((used, member) =>
        ok(
          Math.abs(used - 4 * weights[member]) <= 1,
          `${count} servers, ${member}: ${used} of ${4 * weights[member]}`,
        )
      );
    }
  });

  it("of many, finds those that others have left within as many picks as it takes to look at all", () => {
    const count = 1_000, upstream = new Upstream(count, { rule: Balance.LeastConnections });
    for (let member = 0; member < count; member++) upstream.shared.serverInUse[member + 1] = 10;
    upstream.refresh();
    upstream.shared.serverInUse[778] = 2; // unseen: another reactor's
    const seen = upstream.spread(200, () => upstream.take());
    equal(seen[777], 8, "it is filled up to the others, and no further");
  });

  it("of many, never believes what is no longer so", () => {
    const count = 100, upstream = new Upstream(count, { rule: Balance.LeastConnections });
    upstream.shared.serverInUse.fill(5, 1, count + 1);
    upstream.shared.serverInUse[4] = 0;
    upstream.refresh();
    upstream.shared.serverInUse[4] = 50; // others came meanwhile
    notEqual(upstream.pick(), 3);
  });

  it("passes over who is full", () => {
    const upstream = new Upstream(3, { rule: Balance.LeastConnections, most: 2, weights: [100, 1, 1] });
    upstream.shared.serverInUse.set([2, 1, 1], 1);
    for (let picked = 0; picked < 20; picked++) notEqual(upstream.pick(), 0);
  });
});

describe("first", () => {
  it("fills the first server, then the next", () => {
    for (const count of [4, 100]) {
      const upstream = new Upstream(count, { rule: Balance.First, most: 3 });
      const order = Array.from({ length: 12 }, () => upstream.take());
      deepEqual(order, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], `${count} servers`);
      upstream.give(1);
      const next = Array.from({ length: 8 }, () => upstream.pick());
      equal(next.at(-1), 1, "who has a place again is found");
    }
  });

  it("goes to the next when one is down, and back", () => {
    const upstream = new Upstream(3, { rule: Balance.First });
    deepEqual([upstream.pick(), upstream.down(0).pick(), upstream.down().pick()], [0, 1, 0]);
  });
});

describe("random two", () => {
  it("draws by weight while nobody is there", () => {
    for (const weights of [[1, 1, 1, 1, 1], [1, 2, 3, 4], [50, 1, 1]]) {
      const upstream = new Upstream(weights.length, { rule: Balance.RandomTwo, weights });
      upstream.shared.upstreamCursor[UPSTREAM] = 12_345;
      const found = chiSquare(upstream.spread(20_000), weights);
      ok(found < chiSquareMax(weights.length - 1), `${weights.join()}: ${found}`);
    }
  });

  it("takes the one with fewer of two different ones", () => {
    const upstream = new Upstream(2, { rule: Balance.RandomTwo });
    upstream.shared.serverInUse.set([7, 6], 1);
    deepEqual(upstream.spread(50), [0, 50]);
    const four = new Upstream(4, { rule: Balance.RandomTwo });
    four.shared.serverInUse.set([9, 0, 0, 0], 1);
    equal(four.spread(1_000)[0], 0, "the worst of all is never the better of two");
  });

  it("keeps the highest load near the average, as drawing one does not", () => {
    const upstream = new Upstream(100, { rule: Balance.RandomTwo });
    const seen = upstream.spread(10_000, () => upstream.take());
    ok(Math.max(...seen) <= 105, `most ${Math.max(...seen)} of 100 on average`);
    ok(Math.min(...seen) >= 94, `least ${Math.min(...seen)}`);
  });
});

describe("peak ewma", () => {
  it("goes to the faster one, and by load when it is not fast enough", () => {
    const upstream = new Upstream(2, { rule: Balance.PeakEwma });
    latencySample(upstream.shared, 1, 10, upstream.nowMs);
    latencySample(upstream.shared, 2, 30, upstream.nowMs);
    deepEqual(upstream.spread(10), [10, 0]);
    deepEqual(upstream.spread(16, () => upstream.take()), [12, 4]);
  });

  it("rises at once and sinks slowly", () => {
    const upstream = new Upstream(2, { rule: Balance.PeakEwma }), { shared } = upstream;
    latencySample(shared, 1, 10, 0);
    latencySample(shared, 1, 500, 1);
    equal(shared.serverLatencyMs[1], 500, "a peak counts whole");
    for (let sample = 0; sample < 10; sample++) latencySample(shared, 1, 10, 1 + sample);
    ok(shared.serverLatencyMs[1] > 450, "ten fast answers within 10 ms are no reason to forget it");
    latencySample(shared, 1, 10, 60_000);
    ok(shared.serverLatencyMs[1] < 15, "a minute later they are");
  });

  it("sends one exchange to a server that nothing is known of, and waits for what comes of it", () => {
    const upstream = new Upstream(2, { rule: Balance.PeakEwma });
    latencySample(upstream.shared, 1, 5, upstream.nowMs);
    deepEqual(upstream.spread(20, () => upstream.take()), [19, 1]);
  });

  it("comes back to a server that was slow", () => {
    const upstream = new Upstream(2, { rule: Balance.PeakEwma });
    latencySample(upstream.shared, 2, 3_000, upstream.nowMs);
    latencySample(upstream.shared, 1, 10, upstream.nowMs);
    let picks = 0;
    while (upstream.pick() === 0) {
      upstream.nowMs += 1_000;
      latencySample(upstream.shared, 1, 10, upstream.nowMs);
      picks++;
    }
    ok(picks > 20 && picks < 90, `after ${picks} s`);
  });
});

describe("every rule", () => {
  for (const [rule, name] of RULES) {
    const keys = () => mix(randomBits());

    it(`${name}: asks each server at most once, those that are up all, backups last`, () => {
      randomSeed(7);
      for (let run = 0; run < 120; run++) {
        const count = 1 + run % 40,
          bits = () => Array.from({ length: count }, (_, at) => at).filter(() => randomBits() & 4);
        const backups = run % 3 === 0 ? bits() : [], gone = run % 2 === 0 ? bits() : [];
        const weights = Array.from({ length: count }, () => run % 5 === 0 ? randomBits() % 4 : 1);
        const upstream = new Upstream(count, {
          rule,
          backups,
          weights,
          load: rule === Balance.ConsistentHash ? 125 : 0,
        });
        upstream.down(...gone);
        for (let member = 0; member < count; member++) {
          upstream.shared.serverInUse[member + 1] = randomBits() % 5;
          upstream.shared.upstreamInUse[UPSTREAM] += upstream.shared.serverInUse[member + 1];
        }
        const walk = upstream.walk(keys());
        const there = Array.from({ length: count }, (_, at) => at).filter((at) =>
          !gone.includes(at) && weights[at] > 0
        );
        deepEqual([...walk].sort((a, b) => a - b), there, `run ${run}: ${walk.join()}`);
        const isBackup = walk.map((member) => backups.includes(member) ? 1 : 0);
        deepEqual(isBackup, [...isBackup].sort(), `run ${run}: a backup before others`);
      }
    });

    it(`${name}: goes on behind a server that was granted, without asking it again`, () => {
      randomSeed(11);
      for (let run = 0; run < 50; run++) {
        const count = 2 + run % 9,
          upstream = new Upstream(count, { rule, backups: run % 2 === 0 ? [count - 1] : [] });
        const key = keys(), granted = randomBits() % count, { plan, shared } = upstream;
        const start = isHashed(plan, UPSTREAM) ? key : granted;
        let walk = walkTo(plan, UPSTREAM, granted, key);
        const seen = [granted];
        for (let member; (member = walkNext(plan, UPSTREAM, shared, start, walk, 0)) >= 0; walk = walked) {
          seen.push(member);
        }
        equal(new Set(seen).size, seen.length, seen.join());
        if (
          rule !== Balance.SourceHash && rule !== Balance.ConsistentHash && !plan.serverBackup[granted + 1]
        ) {
          equal(seen.length, count);
        }
      }
    });

    it(`${name}: has nobody when all are down, drained or without weight`, () => {
      const upstream = new Upstream(3, { rule, weights: [1, 1, 0] });
      upstream.shared.serverDrained[1] = 1;
      equal(upstream.down(1).pick(keys()), -1);
      equal(walkNext(upstream.plan, UPSTREAM, upstream.shared, 1, 0, 0), -1);
    });

    it(`${name}: sends nothing to a drained server, and again when it is not`, () => {
      const upstream = new Upstream(2, { rule });
      upstream.shared.serverDrained[1] = 1;
      upstream.refresh();
      for (let nth = 0; nth < 20; nth++) equal(upstream.pick(keys()), 1);
      upstream.shared.serverDrained[1] = 0;
      upstream.refresh();
      const seen = upstream.spread(40, () => upstream.pick(keys()));
      ok(seen[0] > 0);
    });

    it(`${name}: sends to backups while no other is up, and not when others are full`, () => {
      const upstream = new Upstream(4, { rule, backups: [1, 3], most: 1 });
      for (let nth = 0; nth < 20; nth++) equal(upstream.pick(keys()) % 2, 0);
      equal(isSpare(upstream.plan, UPSTREAM, 2, upstream.shared), true);
      upstream.down(0, 2);
      for (let nth = 0; nth < 20; nth++) equal(upstream.pick(keys()) % 2, 1);
      equal(isSpare(upstream.plan, UPSTREAM, 2, upstream.shared), false);
      upstream.down(0);
      for (let nth = 0; nth < 20; nth++) equal(upstream.pick(keys()), 2);
    });
  }

  it("walks from a backup without coming back to it", () => {
    const upstream = new Upstream(3, { backups: [1, 2] }).down(0);
    equal(walkNext(upstream.plan, UPSTREAM, upstream.shared, 1, walkFrom(upstream.plan, UPSTREAM, 1), 0), 2);
    strictEqual(walkNext(upstream.plan, UPSTREAM, upstream.shared, 1, walked, 0), -1);
  });

  it("that compares goes to the least of the rest when a connect fails", () => {
    const upstream = new Upstream(4, { rule: Balance.LeastConnections });
    upstream.shared.serverInUse.set([3, 0, 2, 1], 1);
    deepEqual(upstream.walk(), [1, 3, 2, 0]);
  });
});
