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

  it("who is gone rests, with the first generation that did not have it", () => {
    const numbers = new Numbers(10);
    for (const key of ["a", "b", "c"]) numbers.take(key);
    numbers.retain(new Set(["b", "c"]), 4);
    numbers.retain(new Set(["c"]), 5);
    numbers.retain(new Set(["c"]), 6); // who rests already is not gone anew
    deepEqual([...numbers.resting], [["a", { number: 1, since: 4 }], ["b", { number: 2, since: 5 }]]);
    strictEqual(numbers.end, 4, "their rows are there still");
  });

  it("however often one goes and comes back, it is one number", () => {
    const numbers = new Numbers(2);
    for (let generation = 1; generation < 1_000; generation += 2) {
      strictEqual(numbers.take("a"), 1);
      numbers.retain(new Set(), generation);
      strictEqual(numbers.take("a"), 1);
      deepEqual(numbers.release(generation + 1, () => true), [], "who is back is not freed");
      strictEqual(numbers.resting.size, 0);
      numbers.retain(new Set(), generation + 1);
    }
    deepEqual([numbers.end, numbers.resting.size], [2, 1]);
  });

  it("numbers become free in the order in which they went, and as their generations end", () => {
    const numbers = new Numbers(10);
    for (const key of ["a", "b", "c", "d"]) numbers.take(key);
    numbers.retain(new Set(["a", "b", "d"]), 2); // c
    numbers.retain(new Set(["b", "d"]), 3); // a
    numbers.retain(new Set(["b"]), 4); // d
    deepEqual(numbers.release(3, () => true), [3, 1]);
    deepEqual(numbers.release(4, (number) => number !== 4), []);
    deepEqual([...numbers.resting.keys()], ["d"]);
    deepEqual(numbers.release(4, () => true), [4]);
    deepEqual(numbers.release(9, () => true), [], "each once");
    const again = ["e", "f", "g", "h"].map((key) => numbers.take(key));
    deepEqual(again.toSorted(), [1, 3, 4, 5], "a new one only when none is free");
    strictEqual(numbers.take("a"), 6, "who comes back too late is somebody new");
  });
});
