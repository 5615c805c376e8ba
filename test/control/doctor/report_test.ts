import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { type Check, grouped, roundedSize, sysctlChange } from "../../../src/control/doctor/check.ts";
import { reportJson, reportText } from "../../../src/control/doctor/report.ts";
import { checksOf } from "../../../src/control/verbs/doctor.ts";
import { loadOn, machineWith } from "./machine_fixture.ts";

const CHECKS: readonly Check[] = [
  {
    name: "kernel",
    found: "Linux 6.1",
    verdict: "ok",
    limits: "5.6 is needed",
    change: sysctlChange("a.b", 1),
  },
  {
    name: "queue",
    found: "128",
    verdict: "warn",
    limits: "x ".repeat(60).trim(),
    change: sysctlChange("a.b", "1 2"),
  },
];

test("reportText: a check in two columns, its commands unless all is well, a sum at the end", () => {
  const lines = reportText(CHECKS, false).split("\n");
  deepEqual(lines.slice(0, 3), [
    "ok    kernel                     Linux 6.1",
    "                                 5.6 is needed",
    "warn  queue                      128",
  ]);
  deepEqual(lines.slice(5, 9), [
    '                                   now:       sysctl -w a.b="1 2"',
    "                                   for good:  echo 'a.b = 1 2' >> /etc/sysctl.d/60-sluice.conf",
    "",
    "2 checks: 1 ok, 0 notes, 1 warning, 0 failures.",
  ]);
  ok(lines.every((line) => line.length <= 110));
});

test("reportText: in colour the words are the same", () => {
  const colours = new RegExp("\x1b\\[[0-9;]*m", "g"), text = reportText(CHECKS, true);
  match(text, /^\x1b\[32mok\x1b\[0m {4}kernel/);
  equal(text.replace(colours, ""), reportText(CHECKS, false));
});

test("reportJson: every check, and the sum", () => {
  const { checks, summary } = JSON.parse(reportJson(CHECKS));
  deepEqual(checks, CHECKS);
  deepEqual(summary, { ok: 1, note: 0, warn: 1, fail: 0 });
});

test("a good machine and one of which nothing can be read: no check fails, each has its name once", async () => {
  const blind = machineWith({ files: Object.fromEntries(EVERY_FILE.map((path) => [path, undefined])) });
  for (const machine of [machineWith(), blind]) {
    const checks = await checksOf(machine, loadOn(machine, undefined, false));
    deepEqual(checks.filter(({ verdict }) => verdict === "fail"), []);
    equal(new Set(checks.map(({ name }) => name)).size, checks.length);
    const bare = checks.filter(({ verdict, change }) => verdict === "warn" && change.length === 0);
    deepEqual(bare, [], "a warning says what changes it");
    for (const line of reportText(checks, false).split("\n")) ok(!/undefined|NaN|Infinity/.test(line), line);
  }
});

/** Whatever the checks read of a good machine. */
const EVERY_FILE: string[] = await (async () => {
  const seen = new Set<string>(), good = machineWith();
  const read = (path: string) => (seen.add(path), good.read(path));
  await checksOf({ ...good, read }, loadOn({ ...good, read }, undefined, false));
  return [...seen];
})();

test("numbers and sizes for people", () => {
  deepEqual([0, 999, 1_000, 28_232, 1_048_576].map(grouped), ["0", "999", "1,000", "28,232", "1,048,576"]);
  const sizes: [bytes: number, text: string][] = [
    [0, "0 B"],
    [1_023, "1023 B"],
    [1_536, "1.5 KiB"],
    [100 << 20, "100 MiB"],
    [2 ** 31, "2 GiB"],
    [2 ** 53, "8192 TiB"],
  ];
  for (const [bytes, text] of sizes) equal(roundedSize(bytes), text);
});
