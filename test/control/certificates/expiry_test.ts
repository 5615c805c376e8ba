import { equal } from "node:assert/strict";
import { test } from "node:test";
import { DAY_MS, daysLeft, endsSoon, endText, namesText } from "../../../src/control/certificates/expiry.ts";

const NOW = Date.UTC(2026, 6, 1);
const lasting = (days: number, left: number) => ({
  notBefore: NOW + (left - days) * DAY_MS,
  notAfter: NOW + left * DAY_MS,
});

test("endsSoon: within 14 days, or within a quarter of a short life", () => {
  const cases: [days: number, left: number, soon: boolean, why: string][] = [
    [365, 14.1, false, "more than 14 days"],
    [365, 13.9, true, "less"],
    [90, 29, false, "a third of 90 days is left: it is being renewed"],
    [90, 13, true, "and should have been"],
    [6, 2, false, "six days, of which a third is left"],
    [6, 1.4, true, "less than a quarter of six days"],
    [365, 0, true, "now"],
    [365, -400, true, "long ago"],
  ];
  for (const [days, left, soon, why] of cases) equal(endsSoon(lasting(days, left), NOW), soon, why);
});

test("daysLeft and endText: whole days, and what they are called", () => {
  const cases: [left: number, days: number, text: string][] = [
    [5.9, 5, "ends in 5 days, on 2026-07-06 21:36 UTC"],
    [0.5, 0, "ends in 12 hours, on 2026-07-01 12:00 UTC"],
    [-0.5, -1, "ended 12 hours ago, on 2026-06-30 12:00 UTC"],
    [-3, -3, "ended 3 days ago, on 2026-06-28 00:00 UTC"],
  ];
  for (const [left, days, text] of cases) {
    equal(daysLeft(lasting(90, left), NOW), days, text);
    equal(endText(lasting(90, left), NOW), text);
  }
});

test("namesText: three of them, others are counted", () => {
  equal(namesText(["a"]), "a");
  equal(namesText(["a", "b", "c"]), "a, b, c");
  equal(namesText(["a", "b", "c", "d"]), "a, b, c and 1 more name");
  equal(namesText(["a", "b", "c", "d", "e"]), "a, b, c and 2 more names");
});
