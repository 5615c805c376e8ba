// Rows against a set: whatever is taken and given in whatever order.
import { strictEqual, throws } from "node:assert/strict";
import { it } from "node:test";
import { NONE } from "../../src/base/limits.ts";
import { Rows } from "../../src/net/rows.ts";
import { Random } from "../sim/random.ts";

const COUNT = 9;

it("gives each row to one taker, and NONE when all are taken", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed),
      rows = new Rows(new Uint32Array(COUNT), COUNT),
      taken = new Set<number>();
    for (let step = 0; step < 200; step++) {
      if (random.oneIn(2)) {
        const row = rows.take();
        strictEqual(row === NONE, taken.size === COUNT - 1, `seed ${seed} step ${step}`);
        strictEqual(taken.has(row), false, `seed ${seed} step ${step}: row ${row} was taken`);
        if (row !== NONE) taken.add(row);
      } else if (taken.size > 0) {
        const row = random.pick([...taken]);
        taken.delete(row);
        rows.give(row);
      }
      strictEqual(rows.taken, taken.size);
      strictEqual(rows.left, COUNT - 1 - taken.size);
      rows.check((row) => !taken.has(row));
    }
  }
});

it("does not take back what was never taken", () => {
  const rows = new Rows(new Uint32Array(COUNT), COUNT);
  throws(() => rows.give(NONE), { name: "TableError" });
  throws(() => rows.give(1), { name: "TableError" });
  rows.give(rows.take());
  throws(() => rows.give(1), { name: "TableError" });
});
