import { deepEqual, equal, ok } from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readCidr } from "../../../src/control/config/cidr.ts";
import { LIST_ENTRIES_MAX, ListEntries, readList } from "../../../src/control/config/list_entries.ts";

const SEED = 9_214;

function entriesOf(text: string): ListEntries {
  const read = readList(text);
  if ("flaws" in read) throw new Error(read.flaws.map(({ line, what }) => `${line}: ${what}`).join("\n"));
  return read;
}

/** Everything of each entry. */
function told({ count, ip, family, bits, line }: ListEntries): unknown[] {
  return Array.from({ length: count }, (_, entry) => [
    [...ip.subarray(4 * entry, 4 * entry + 4)],
    family[entry],
    bits[entry],
    line[entry],
  ]);
}

/** What the reader of one prefix makes of it. */
function slow(text: string, line: number): unknown[] | undefined {
  const cidr = readCidr(text), entries = new ListEntries();
  if (!cidr.ok) return undefined;
  entries.add(cidr.value, line);
  return told(entries);
}

describe("readList", () => {
  it("takes a prefix on each line, comments, empty lines and ends of Windows", () => {
    const text = "\ufeff192.0.2.1\r\n# a comment\n\n  10.0.0.0/8  # ours\r\n\t2001:db8::/32\nunix\n::1";
    deepEqual(told(entriesOf(text)).map((entry) => (entry as unknown[]).slice(1)), [
      [4, 32, 1],
      [4, 8, 4],
      [6, 32, 5],
      [1, 0, 6],
      [6, 128, 7],
    ]);
    equal(entriesOf("").count, 0);
    equal(entriesOf("# nobody").count, 0);
  });

  it("tells every line that is wrong, as far as that is of use", () => {
    const read = readList(["10.0.0.0/8", "11.0.0.0/7", "nobody", "1.2.3", "1.2.3.4 5.6.7.8"].join("\n"));
    ok("flaws" in read);
    deepEqual(read.flaws.map(({ line }) => line), [2, 3, 4, 5]);
    const all = readList("x\n".repeat(1_000));
    ok("flaws" in all);
    equal(all.flaws.length, 10);
  });

  it("bounds what it takes", () => {
    const read = readList("192.0.2.1\n".repeat(LIST_ENTRIES_MAX + 1));
    ok("flaws" in read);
    equal(read.flaws[0].line, LIST_ENTRIES_MAX + 1);
  });

  const part = fc.oneof(
    fc.nat({ max: 300 }).map(String),
    fc.constantFrom("", "0", "00", "01", "256", "1a", "-1"),
  );
  const group = fc.oneof(
    fc.nat({ max: 0x1ffff }).map((value) => value.toString(16)),
    fc.constantFrom("", "0", "0000", "00000", "FFFF", "g", "1.2.3.4", "ffff"),
  );
  const length = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom("", "/0", "/8", "/24", "/32", "/48", "/64", "/128") },
    { weight: 1, arbitrary: fc.constantFrom("/", "/129", "/33", "/08", "/1000", "/x", "/8/8", "/-1") },
  );
  const text = fc.oneof(
    fc.tuple(fc.array(part, { minLength: 3, maxLength: 5 }), length).map(([parts, end]) =>
      parts.join(".") + end
    ),
    fc.tuple(fc.array(group, { minLength: 1, maxLength: 9 }), length).map(([parts, end]) =>
      parts.join(":") + end
    ),
    fc.tuple(fc.ipV4(), length).map(([ip, end]) => ip + end),
    fc.tuple(fc.ipV6(), length).map(([ip, end]) => ip + end),
    fc.tuple(fc.ipV6(), fc.constantFrom("::", ":::", ":")).map(([ip, more]) => ip.replace(":", more)),
  );

  it("reads a line as the reader of one prefix does, however it is written", () => {
    fc.assert(
      fc.property(text, (given) => {
        const read = readList(given), known = slow(given, 1);
        if (given.trim() === "") return;
        deepEqual("flaws" in read ? undefined : told(read), known, given);
      }),
      { seed: SEED, numRuns: 6_000 },
    );
  });
});
