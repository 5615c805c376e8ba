import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Reading } from "../../../src/control/config/errors.ts";
import {
  counted,
  formatDuration,
  formatSize,
  readByteRate,
  readCount,
  readDuration,
  readRate,
  readShare,
  readSize,
} from "../../../src/control/config/units.ts";

test("counted knows one from many", () => {
  deepEqual([0, 1, 2].map((count) => counted(count, "connection")), [
    "0 connections",
    "1 connection",
    "2 connections",
  ]);
});

const WIDE = { min: 0, max: Number.MAX_SAFE_INTEGER };

/** The value, or what is wrong. */
function told<T>(reading: Reading<T>): T | string {
  if (reading.ok) return reading.value;
  ok(reading.remedy.length > 0, "every refusal says what to do");
  return reading.what;
}

test("readDuration", () => {
  const cases: [text: string, want: number | string, why: string][] = [
    ["500ms", 500, "milliseconds"],
    ["2s", 2_000, "seconds"],
    ["1m30s", 90_000, "two units"],
    ["1h", 3_600_000, "hours"],
    ["2d", 172_800_000, "days"],
    ["1d2h3m4s5ms", 93_784_005, "all units"],
    ["0s", 0, "zero with a unit"],
    ["90s", 90_000, "more than the next unit holds is fine"],
    ["5", '"5" has no unit', "seconds or milliseconds?"],
    ["0", '"0" has no unit', "even zero"],
    ["", '"" is no duration', "empty"],
    ["s", '"s" is no duration', "no number"],
    ["1.5s", '"1.5s" is not whole', "no fractions"],
    ["-1s", '"-1s" is no duration', "no sign"],
    ["+1s", '"+1s" is no duration', "no sign"],
    ["1 s", '"1 s" is no duration', "no space"],
    ["1s ", '"1s " is no duration', "no space"],
    ["1S", '"1S" has an unknown unit "S"', "case counts"],
    ["1y", '"1y" has an unknown unit "y"', "no years"],
    ["1toString", '"1toString" has an unknown unit "toString"', "no property of Object"],
    ["30s1m", '"30s1m" has its units out of order', "larger first"],
    ["1s1s", '"1s1s" has its units out of order', "each once"],
    ["1e3s", '"1e3s" has an unknown unit "e"', "no exponent"],
    ["0x10s", '"0x10s" has an unknown unit "x"', "no hexadecimal"],
    ["１s", '"１s" is no duration', "a full-width digit"],
    ["99999999999999999999d", '"99999999999999999999d" is too large', "past any bound"],
    ["9".repeat(100) + "s", `"${"9".repeat(72)}..." is no duration`, "huge"],
    ["1s\0", '"1s\\x00" is no duration', "NUL"],
    ["1s\n", '"1s\\n" is no duration', "a line end"],
  ];
  for (const [text, want, why] of cases) equal(told(readDuration(text, WIDE)), want, why);
  const range = { min: 100, max: 3_600_000 };
  equal(told(readDuration("100ms", range)), 100, "the bounds are inclusive");
  equal(told(readDuration("1h", range)), 3_600_000, "the bounds are inclusive");
  equal(told(readDuration("99ms", range)), '"99ms" is too small', "below");
  equal(told(readDuration("1h1ms", range)), '"1h1ms" is too large', "above");
  deepEqual(
    readDuration("2h", range),
    { ok: false, what: '"2h" is too large', remedy: "write a value from 100ms to 1h" },
    "the remedy names the range",
  );
});

test("readSize", () => {
  const cases: [text: string, want: number | string, why: string][] = [
    ["64KiB", 65_536, "binary"],
    ["10MiB", 10_485_760, "binary"],
    ["1GiB", 2 ** 30, "binary"],
    ["10kB", 10_000, "decimal"],
    ["512B", 512, "bytes"],
    ["0B", 0, "zero"],
    ["64", '"64" has no unit', "bytes or KiB?"],
    ["64K", '"64K" has an unknown unit "K"', "1000 or 1024?"],
    ["64kib", '"64kib" has an unknown unit "kib"', "case counts"],
    ["1.5MiB", '"1.5MiB" is not whole', "no fractions"],
    ["-1B", '"-1B" is no size', "no sign"],
    ["1KiB1B", '"1KiB1B" is no size', "one unit"],
    ["", '"" is no size', "empty"],
    ["9999999999TiB", '"9999999999TiB" is too large', "past any bound"],
  ];
  for (const [text, want, why] of cases) equal(told(readSize(text, WIDE)), want, why);
  const wrongCase = readSize("10mb", WIDE);
  equal(wrongCase.ok ? "" : wrongCase.remedy, "write 10MB", "a wrong case is put right");
});

test("readRate and readByteRate", () => {
  deepEqual(told(readRate("100/s", WIDE)), { amount: 100, windowMs: 1_000 });
  deepEqual(told(readRate("20/m", WIDE)), { amount: 20, windowMs: 60_000 });
  deepEqual(told(readRate("10000/d", WIDE)), { amount: 10_000, windowMs: 86_400_000 });
  deepEqual(told(readByteRate("10MiB/s", WIDE)), { amount: 10_485_760, windowMs: 1_000 });
  const refusals: [text: string, want: string, why: string][] = [
    ["100", '"100" is no rate', "no window"],
    ["100/", '"100/" has an unknown window ""', "empty window"],
    ["100/w", '"100/w" has an unknown window "w"', "no weeks"],
    ["/s", '"" is no whole number', "no amount"],
    ["1/s/s", '"1/s/s" is no rate', "two windows"],
    ["1.5/s", '"1.5" is no whole number', "no fractions"],
    ["0/s", '"0" is too small', "the range holds for the amount"],
  ];
  for (const [text, want, why] of refusals) equal(told(readRate(text, { min: 1, max: 1e9 })), want, why);
  equal(told(readByteRate("10/s", WIDE)), '"10" has no unit', "bytes need a unit");
});

test("readByteRate: the range is of bytes per second, and what was meant is said", () => {
  const range = { min: 1_000, max: 2 ** 30 };
  const cases: [text: string, want: unknown, remedy: string][] = [
    ["64kB/s", { amount: 64_000, windowMs: 1_000 }, ""],
    ["1GB/h", { amount: 1e9, windowMs: 3_600_000 }, ""],
    ["1MB/h", '"1MB/h" is too small', "write a value from 1kB/s to 1GiB/s"],
    ["999B/s", '"999B/s" is too small', "write a value from 1kB/s to 1GiB/s"],
    ["2GiB/s", '"2GiB/s" is too large', "write a value from 1kB/s to 1GiB/s"],
    ["10MiB", '"10MiB" is no rate', "write 10MiB/s"],
    ["10M/s", '"10M" has an unknown unit "M"', "write 10MiB/s or 10MB/s"],
    ["10mb/s", '"10mb" has an unknown unit "mb"', "write 10MB/s"],
    ["10/s", '"10" has no unit', "write 10B/s or 10KiB/s"],
    ["1000", '"1000" is no rate', "write a rate such as 10MiB/s or 500kB/s"],
    ["10Mbit/s", '"10Mbit/s" is no rate of bytes', "write 1250kB/s"],
    ["10Mbps", '"10Mbps" is no rate of bytes', "write 1250kB/s"],
    ["1Gbit", '"1Gbit" is no rate of bytes', "write 125MB/s"],
    ["8b/s", '"8b/s" is no rate of bytes', "write 1B/s"],
    ["unlimited", '"unlimited" is no rate', "leave it out for no limit"],
    ["1.5MB/s", '"1.5MB" is not whole', "write whole numbers: 1500kB/s"],
    ["x".repeat(500), `"${"x".repeat(72)}..." is no rate`, "write a rate such as 10MiB/s or 500kB/s"],
  ];
  for (const [text, want, remedy] of cases) {
    const reading = readByteRate(text, range);
    deepEqual(reading.ok ? reading.value : reading.what, want, text);
    equal(reading.ok ? "" : reading.remedy, remedy, text);
  }
});

test("readCount", () => {
  const range = { min: 1, max: 64 };
  const cases: [text: string | number, want: number | string, why: string][] = [
    ["1", 1, "the bounds are inclusive"],
    ["64", 64, "the bounds are inclusive"],
    [4, 4, "a number of a file"],
    ["0", '"0" is too small', "below"],
    ["65", '"65" is too large', "above"],
    ["-5", '"-5" is too small', "negative"],
    ["04", '"04" begins with 0', "octal or decimal?"],
    ["4.0", '"4.0" is no whole number', "no fractions"],
    [4.5, '"4.5" is no whole number', "no fractions"],
    [Number.NaN, '"NaN" is no whole number', "no number at all"],
    [1e21, '"1e+21" is no whole number', "past what prints as digits"],
    ["1e1", '"1e1" is no whole number', "no exponent"],
    ["0x4", '"0x4" is no whole number', "no hexadecimal"],
    ["4 ", '"4 " is no whole number', "no space"],
    ["", '"" is no whole number', "empty"],
    ["9".repeat(500), `"${"9".repeat(72)}..." is too large`, "huge"],
  ];
  for (const [text, want, why] of cases) equal(told(readCount(text, range)), want, why);
});

test("readShare", () => {
  const cases: [text: string, want: number | string, why: string][] = [
    ["10%", 0.1, "whole"],
    ["0.5%", 0.005, "a part of one"],
    ["0%", 0, "none"],
    ["100%", 1, "all"],
    ["100.1%", '"100.1%" is too large', "more than all"],
    ["10", '"10" has no unit', "ten of what?"],
    ["0.1", '"0.1" has no unit', "a tenth, or a tenth of a percent?"],
    ["-1%", '"-1%" is no share', "negative"],
    [".5%", '".5%" is no share', "no digit before the point"],
    ["1/10", '"1/10" is no share', "one in ten"],
    ["10 %", '"10 %" is no share', "no space"],
    ["", '"" is no share', "empty"],
    ["1".repeat(40) + "%", `"${"1".repeat(40)}%" is no share`, "huge"],
  ];
  for (const [text, want, why] of cases) equal(told(readShare(text)), want, why);
});

test("formatDuration and formatSize are read back as they were", () => {
  equal(formatDuration(90_000), "1m30s");
  equal(formatDuration(0), "0s");
  equal(formatSize(65_536), "64KiB");
  equal(formatSize(10_000), "10kB");
  equal(formatSize(1_001), "1001B");
  fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 40 }), (value) => {
    equal(told(readDuration(formatDuration(value), WIDE)), value);
    equal(told(readSize(formatSize(value), WIDE)), value);
  }));
});

test("a number without its unit is kept where a unit makes a value of it", () => {
  const remedy = (reading: Reading<number>) => reading.ok ? "" : reading.remedy;
  const SHORT = { min: 100, max: 3_600_000 }, SOME = { min: 1, max: 2 ** 50 };
  const durations: [text: string, want: string][] = [
    ["5", "write 5s"],
    ["500", "write 500s or 500ms"],
    ["5000", "write 5000ms"],
    ["0", "write a value from 100ms to 1h"],
    ["99999999", "write a value from 100ms to 1h"],
  ];
  for (const [text, want] of durations) equal(remedy(readDuration(text, SHORT)), want);
  const sizes: [text: string, want: string][] = [
    ["1024", "write 1024B or 1KiB"],
    ["10", "write 10B or 10KiB"],
    ["0", "write a value from 1B to 1024TiB"],
  ];
  for (const [text, want] of sizes) equal(remedy(readSize(text, SOME)), want);
});
