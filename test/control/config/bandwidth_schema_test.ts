import { equal } from "node:assert/strict";
import { test } from "node:test";
import { BANDWIDTHS } from "../../../src/control/config/bandwidth_schema.ts";

test("a burst is from what comes in 10 ms at the faster rate to what comes in an hour at the slower", () => {
  const cases: [given: object, want: string | undefined, why: string][] = [
    [{ down: "1MB/s", burst: "10kB" }, undefined, "the least"],
    [{ down: "1MB/s", burst: "9999B" }, "less than comes in 10ms", "less"],
    [{ down: "1MB/s", up: "1kB/s", burst: "9999B" }, "less than comes in 10ms", "the faster one counts"],
    [{ down: "1MB/s", up: "1kB/s", burst: "3600kB" }, undefined, "the most: the slower one counts"],
    [{ down: "1MB/s", up: "1kB/s", burst: "3601kB" }, "more than comes in an hour", "more"],
    [{ down: "100GiB/s", burst: "1TiB" }, undefined, "the most that there is"],
    [{ down: "100GiB/s", burst: "2TiB" }, String.raw`\"2TiB\" is too large`, "more than that"],
    [{ down: "3600kB/h", burst: "10B" }, undefined, "by the hour, the least"],
  ];
  for (const [given, want, why] of cases) {
    const { error } = BANDWIDTHS.bandwidth.safeParse(given);
    const said = [...JSON.stringify(error?.issues ?? []).matchAll(/"message":"((?:[^"\\]|\\.)*)"/g)].map((
      one,
    ) => one[1]);
    equal(said.find((message) => !message.startsWith("Invalid input")), want, why);
  }
});
