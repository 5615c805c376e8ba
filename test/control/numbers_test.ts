import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Numbers } from "../../src/control/numbers.ts";

describe("Numbers", () => {
  it("a key keeps its number, and no two share one", () => {
    const numbers = new Numbers(10);
    const a = numbers.take("a"), b = numbers.take("b");
    strictEqual(numbers.take("a"), a);
    strictEqual(a !== b && a > 0 && b > 0, true);
    strictEqual(numbers.end, 3);
  });

  it("there are no more than were asked for; 0 says so", () => {
    const numbers = new Numbers(3);
    deepEqual([numbers.take("a"), numbers.take("b"), numbers.take("c")], [1, 2, 0]);
    strictEqual(numbers.take("a"), 1, "a refusal costs nobody his number");
  });

  it("a number is given again only when its last generation is gone and nothing hangs on it", () => {
    const numbers = new Numbers(3);
    const a = numbers.take("a");
    numbers.take("b");
    numbers.retain(new Set(["b"]), 7); // generation 7 is the first without "a"
    strictEqual(numbers.take("c"), 0, "resting is not free");
    deepEqual(numbers.release(6, () => true), [], "somebody still works by generation 6, which had it");
    deepEqual(numbers.release(7, () => false), [], "a connection still hangs on it");
    deepEqual(numbers.release(7, () => true), [a]);
    strictEqual(numbers.take("c"), a);
  });

  it("what comes back before its number was given to another is who it was", () => {
    const numbers = new Numbers(10);
    const first = numbers.take("a");
    numbers.retain(new Set(), 2);
    strictEqual(numbers.take("b") === first, false);
    strictEqual(numbers.take("a"), first);
    deepEqual(numbers.release(9, () => true), [], "and its number is not free");
  });
});
