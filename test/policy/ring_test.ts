import { deepEqual, equal, ok } from "node:assert/strict";
import { describe, it } from "node:test";
import { randomBits, randomSeed } from "../../src/base/random.ts";
import { Balance } from "../../src/plan/plan.ts";
import { clientKey, mix, NO_KEY } from "../../src/policy/hash.ts";
import { maglevTable } from "../../src/policy/maglev.ts";
import { chiSquare, chiSquareMax, type Given, planOf, UPSTREAM, Upstream } from "./balance_fixture.ts";

const KEYS = 20_000;

/** The server of each key, by name. */
function placed(upstream: Upstream, names: readonly string[]): string[] {
  return Array.from({ length: KEYS }, (_, nth) => names[upstream.pick(mix(nth + 1))]);
}

function moved(before: readonly string[], after: readonly string[]): number {
  return before.filter((name, nth) => name !== after[nth]).length / before.length;
}

const namesOf = (count: number) => Array.from({ length: count }, (_, at) => `10.0.${at >> 8}.${at & 255}:80`);
const hashed = (names: readonly string[], more: Given = {}) =>
  new Upstream(names.length, { rule: Balance.ConsistentHash, names, ...more });

describe("consistent hash", () => {
  for (const count of [2, 3, 10, 100, 650, 1_000]) {
    it(
      `of ${count} servers: taking one out of the list moves 1/N + 2% of the keys, adding it brings them back`,
      {
        timeout: 20_000,
      },
      () => {
        const names = namesOf(count), whole = placed(hashed(names), names);
        for (const gone of count > 100 ? [count >> 1] : [0, count >> 1, count - 1]) {
          const rest = names.filter((_, at) => at !== gone), without = placed(hashed(rest), rest);
          const share = moved(whole, without);
          ok(
            share <= 1 / count + 0.02,
            `${(100 * share).toFixed(2)}% moved, ${(100 / count).toFixed(2)}% were its own`,
          );
        }
        deepEqual(placed(hashed(names), names), whole);
      },
    );

    it(`of ${count} servers: one that is down moves its own keys and no other, spread over all`, () => {
      const names = namesOf(count), upstream = hashed(names), whole = placed(upstream, names);
      const down = placed(upstream.down(1), names);
      const lost = whole.filter((name) => name === names[1]).length;
      equal(moved(whole, down), lost / KEYS);
      deepEqual(placed(upstream.down(), names), whole);
      if (count !== 10) return;
      const heirs = names.map((name) =>
        down.filter((now, nth) => now === name && whole[nth] === names[1]).length
      );
      const found = chiSquare(heirs, names.map((_, at) => at === 1 ? 0 : 1));
      ok(found < chiSquareMax(count - 2), `heirs ${heirs.join()}: ${found}`);
    });
  }

  it("gives each server its share of the keys, by weight", () => {
    const places = 65_537;
    for (const weights of [[1, 1], [1, 2, 3], [10, 1, 1, 1], [256, 1]]) {
      const seats = weights.map((weight, member) => ({
        member,
        weight,
        offset: mix(member + 1),
        stride: mix(member + 77),
      }));
      const table = maglevTable(seats), seen = weights.map(() => 0);
      for (let place = 0; place < places; place++) seen[table[2 * place] | (table[2 * place + 1] << 8)]++;
      const whole = weights.reduce((sum, weight) => sum + weight, 0);
      seen.forEach((count, at) => {
        const due = places * weights[at] / whole;
        ok(Math.abs(count - due) <= Math.max(2, due * 0.02), `${weights.join()}: ${count}, due ${due}`);
      });
    }
  });

  it("does not care in which order servers are listed", () => {
    const names = namesOf(20), turned = [...names].reverse();
    const share = moved(placed(hashed(names), names), placed(hashed(turned), turned));
    ok(share < 0.01, `${share}`);
  });

  it("bounds the load: nobody has more than its share of the average, and few keys move for it", () => {
    randomSeed(3);
    for (const load of [110, 125, 200]) {
      const names = namesOf(20), upstream = hashed(names, { load }), free = hashed(names);
      // Half of all exchanges are of one key.
      const keys = Array.from({ length: 2_000 }, (_, nth) => nth % 2 === 0 ? mix(1) : mix(randomBits()));
      keys.forEach((key) => upstream.take(key));
      const used = [...upstream.shared.serverInUse.subarray(1, 21)];
      equal(used.reduce((sum, count) => sum + count), 2_000);
      ok(Math.max(...used) <= Math.ceil(2_000 / 20 * load / 100), `${load}%: ${used.join()}`);
      const unbounded = free.spread(2_000, (nth) => free.pick(keys[nth]));
      ok(Math.max(...unbounded) >= 1_000);
    }
  });

  it("bounds the load by weight", () => {
    const upstream = hashed(namesOf(3), { load: 125, weights: [1, 1, 2] });
    for (let nth = 0; nth < 400; nth++) upstream.take(mix(9));
    const used = [...upstream.shared.serverInUse.subarray(1, 4)];
    [125, 125, 250].forEach((most, at) => ok(used[at] <= most, used.join()));
  });

  it("asks the loaded ones, too, when all others fail", () => {
    const upstream = hashed(namesOf(3), { load: 125 });
    upstream.shared.serverInUse[1 + upstream.pick(mix(5))] = 100;
    upstream.shared.upstreamInUse[UPSTREAM] = 100;
    const walk = upstream.walk(mix(5));
    equal(new Set(walk).size, 3, walk.join());
    equal(walk.length, 3);
  });

  it("asks the same next server when a connect fails as when that server is known to be down", () => {
    const upstream = hashed(namesOf(8));
    for (let nth = 0; nth < 200; nth++) {
      const [first, second] = upstream.down().walk(mix(nth));
      equal(upstream.down(first).pick(mix(nth)), second);
    }
  });

  it("sends keys to those that are left when most are gone", () => {
    const upstream = hashed(namesOf(100)).down(...Array.from({ length: 98 }, (_, at) => at));
    const seen = upstream.spread(4_000, (nth) => upstream.pick(mix(nth)));
    ok(seen[98] > 1_000 && seen[99] > 1_000, `${seen[98]}, ${seen[99]}`);
  });

  it("in slow start gets its keys bit by bit, and keeps those it has", () => {
    const names = namesOf(4), upstream = hashed(names, { slowStartMs: 10_000 });
    const whole = placed(upstream, names), own = whole.filter((name) => name === names[2]).length;
    upstream.shared.serverUpMs[3] = upstream.nowMs;
    let before = new Set<number>();
    for (const [afterMs, share] of [[0, 0.1], [2_500, 0.25], [5_000, 0.5], [9_000, 0.9], [10_000, 1]]) {
      upstream.nowMs = 1_000_000 + afterMs;
      upstream.refresh();
      const now = placed(upstream, names), has = new Set(now.keys().filter((nth) => now[nth] === names[2]));
      ok(Math.abs(has.size / own - share) < 0.03, `after ${afterMs} ms ${has.size} of ${own}`);
      for (const nth of before) ok(has.has(nth), "a key went back");
      before = has;
    }
    deepEqual(placed(upstream, names), whole);
  });
});

describe("client's key", () => {
  const four = (...ip: number[]) => Uint8Array.from([4, 0, 1, 2, ...ip, ...Array(16).fill(0)]);
  const six = (...ip: number[]) => Uint8Array.from([6, 0, 1, 2, ...ip, ...Array(20 - ip.length).fill(0)]);
  const plan = (four: number, six: number) => {
    const made = planOf(1, { rule: Balance.SourceHash });
    made.upstreamPrefix4[UPSTREAM] = four;
    made.upstreamPrefix6[UPSTREAM] = six;
    return made;
  };
  const key = (record: Uint8Array, bits4 = 32, bits6 = 128) =>
    clientKey(plan(bits4, bits6), UPSTREAM, record, 0);
  const same: [a: Uint8Array, b: Uint8Array, bits4: number, bits6: number, same: boolean, why: string][] = [
    [four(10, 0, 0, 1), four(10, 0, 0, 1), 32, 128, true, "one address"],
    [four(10, 0, 0, 1), four(10, 0, 0, 2), 32, 128, false, "two"],
    [four(10, 0, 0, 1), four(10, 0, 0, 2), 24, 128, true, "one /24"],
    [four(10, 0, 0, 1), four(10, 0, 1, 1), 24, 128, false, "two /24"],
    [four(10, 0, 0, 1), four(10, 0, 1, 1), 23, 128, true, "bits within a byte"],
    [four(10, 0, 0, 1), four(10, 0, 2, 1), 23, 128, false, "bits within a byte"],
    [six(0x20, 1, 0, 0, 0, 0, 0, 1, 5), six(0x20, 1, 0, 0, 0, 0, 0, 1, 6), 32, 64, true, "one /64"],
    [six(0x20, 1, 0, 0, 0, 0, 0, 1, 5), six(0x20, 1, 0, 0, 0, 0, 0, 2, 5), 32, 64, false, "two /64"],
    [
      six(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1),
      four(10, 0, 0, 1),
      32,
      128,
      true,
      "mapped IPv4",
    ],
    [
      six(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 9),
      four(10, 0, 0, 1),
      24,
      1,
      true,
      "mapped, by v4's bits",
    ],
  ];
  for (const [a, b, bits4, bits6, want, why] of same) {
    it(`${why} (/${bits4}, /${bits6})`, () => equal(key(a, bits4, bits6) === key(b, bits4, bits6), want));
  }

  it("goes by the address, not by the port", () => {
    const other = four(10, 0, 0, 1);
    other[2] = 99;
    equal(key(four(10, 0, 0, 1)), key(other));
  });

  it("is none for a client of a unix socket", () => equal(key(Uint8Array.from([1, 0, 0, 0])), NO_KEY));

  it("spreads the addresses of one network over all servers", () => {
    const upstream = new Upstream(8, { rule: Balance.SourceHash }), made = plan(32, 128);
    const seen = upstream.spread(
      8_000,
      (nth) => upstream.pick(clientKey(made, UPSTREAM, four(10, 7, nth >> 8, nth & 255), 0)),
    );
    const found = chiSquare(seen, seen.map(() => 1));
    ok(found < 3 * chiSquareMax(7), `${seen.join()}: ${found}`); // the table's own shares differ by 1%
  });
});
