// Which rows of a table are taken. Free rows are linked through a column that is of no other use on a
// free row; rows never used are only counted, so their memory is not touched before they are needed.
// Invariant: every row below `end` is either taken or on the free list; row 0 is neither.
import { assertTable } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";

export class Rows {
  /** Rows taken now. */
  taken = 0;
  /** First row that was never used: no scan need go further. */
  end = 1;
  readonly #links: Uint32Array;
  readonly #count: number;
  #free = NONE;

  /** @param links a column with `count` rows */
  constructor(links: Uint32Array, count: number) {
    this.#links = links;
    this.#count = count;
  }

  /** Rows that can still be taken. */
  get left(): number {
    return this.#count - 1 - this.taken;
  }

  /** Takes a row, its link zeroed; NONE when all are taken. */
  take(): number {
    let row = this.#free;
    if (row !== NONE) {
      this.#free = this.#links[row];
      this.#links[row] = NONE;
    } else {
      if (this.end === this.#count) return NONE;
      row = this.end++;
    }
    this.taken++;
    return row;
  }

  give(row: number): void {
    assertTable(row > NONE && row < this.end, "rows: gave a row that was never taken");
    assertTable(this.taken > 0, "rows: gave more rows than were taken");
    this.#links[row] = this.#free;
    this.#free = row;
    this.taken--;
  }

  /** The free list is whole, and `isFree` says the same of each row on it. For tests. */
  check(isFree: (row: number) => boolean): void {
    let length = 0;
    for (let row = this.#free; row !== NONE; row = this.#links[row]) {
      assertTable(isFree(row), "rows: a row on the free list is in use");
      assertTable(++length < this.#count, "rows: the free list is a ring");
    }
    assertTable(length + this.taken === this.end - 1, "rows: taken and free do not add up");
  }
}
