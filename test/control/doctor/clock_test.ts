import { equal, match } from "node:assert/strict";
import { test } from "node:test";
import { clockChecks } from "../../../src/control/doctor/clock.ts";
import { ENOSYS } from "../../../src/sys/errno.ts";
import { CLOCK_ASTRAY, MachineFact } from "../../../src/sys/symbols.ts";
import { type Changes, checkOf, commandsOf, machineWith } from "./machine_fixture.ts";

const look = (name: string, changes: Changes = {}) => checkOf(clockChecks(machineWith(changes)), name);

test("time of day: kept right by somebody, by nobody, not to be seen, in the past", () => {
  const astray = { [MachineFact.Clock]: CLOCK_ASTRAY };
  const timesync = { "/run/systemd/timesync/synchronized": "" };
  const cases: [changes: Changes, verdict: string, found: RegExp][] = [
    [{}, "ok", /^2026-07-01T00:00:00Z, kept right$/],
    [{ facts: astray }, "warn", /kept by nothing$/],
    [{ facts: astray, files: timesync }, "ok", /kept right$/],
    [{ facts: { [MachineFact.Clock]: -ENOSYS } }, "ok", /not to be seen$/],
    [{ fact: () => undefined }, "ok", /not to be seen$/],
    [{ wallMs: () => 1_000 }, "warn", /^1970-01-01T00:00:01Z/],
  ];
  for (const [changes, verdict, found] of cases) {
    const check = look("time of day", changes);
    equal(check.verdict, verdict, `${found}`);
    match(check.found, found);
  }
  match(look("time of day", { wallMs: () => 1_000 }).limits, /^it is in the past/);
});

test("a steady clock that goes back, or stands still, fails", () => {
  const reads = [5, 4];
  let read = 0;
  equal(look("steady clock").verdict, "ok");
  equal(look("steady clock", { monotonicMs: () => 7 }).found, "stands still");
  const back = look("steady clock", { monotonicMs: () => reads[read++] ?? read + 5 });
  equal(back.found, "went back 1 time in 1000 reads");
  equal(back.verdict, "fail");
});

test("clock source: a slow one is told, and the quick one that the machine has", () => {
  const sources = "/sys/devices/system/clocksource/clocksource0";
  const slow = look("clock source", { files: { [`${sources}/current_clocksource`]: "hpet" } });
  equal(slow.verdict, "note");
  match(commandsOf(slow), /now: echo tsc > \/sys\/.*\nfor good: clocksource=tsc /);
  const stuck = { [`${sources}/current_clocksource`]: "hpet", [`${sources}/available_clocksource`]: "hpet" };
  equal(commandsOf(look("clock source", { files: stuck })), "");
  equal(look("clock source", { files: { [`${sources}/current_clocksource`]: undefined } }).verdict, "ok");
});
