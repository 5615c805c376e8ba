import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { METER_UNITS_PER_MS, NONE, QUANTUM_BYTES_MAX } from "../../../src/base/limits.ts";
import type { Pace } from "../../../src/control/config/bandwidth_schema.ts";
import { placePaces, quantumOf } from "../../../src/control/config/compile_paces.ts";
import { makePlan, NO_SIZES } from "../../../src/plan/plan.ts";
import { checkPaces, PaceOf, paceRow, PaceWay } from "../../../src/plan/paces.ts";

const pace = (amount: number, burst = amount / 10, windowMs = 1_000): Pace => ({
  rate: { amount, windowMs },
  burst,
});

test("quantumOf: smooth where it is slow, worth a call where it is fast", () => {
  const cases: [given: Pace, want: number, why: string][] = [
    [pace(64_000), 1_448, "one segment, 23 ms"],
    [pace(1e6), 8_000, "8 ms"],
    [pace(125e6), 1_000_000, "8 ms of 1 Gbit/s"],
    [pace(12.5e9), QUANTUM_BYTES_MAX, "no more than a pipe holds"],
    [pace(1_000), 50, "half of the burst"],
    [pace(1_000, 1_000), 100, "no more than comes in a tenth of a second"],
    [pace(125e6, 1_250_000), 625_000, "half of the least burst"],
    [pace(1e9, 1e7, 3_600_000), 2_222, "by the hour"],
  ];
  for (const [given, want, why] of cases) equal(quantumOf(given, PaceOf.Connection), want, why);
  equal(quantumOf(pace(125e6), PaceOf.Listener), 500_000, "many share it");
});

test("addresses of one listener have the same rows, and one without limits none", () => {
  const given = { "bandwidth-per-connection": { down: pace(1e6), up: undefined } };
  const limited = { limits: { ...given, bandwidth: { down: pace(64_000), up: pace(5e9) } } };
  const placed = placePaces([
    { number: 4, name: "web", configured: limited },
    { number: 2, name: "plain", configured: { limits: {} } },
    { number: 7, name: "web", configured: limited },
  ]);
  const { paces } = makePlan(1, { ...NO_SIZES, paces: placed.sizes });
  placed.fill(paces);
  checkPaces(paces);
  const down = paceRow(paces, 4, PaceWay.ToClient), up = paceRow(paces, 4, PaceWay.FromClient);
  ok(down !== NONE && up !== NONE);
  equal(paceRow(paces, 7, PaceWay.ToClient), down);
  for (const listener of [1, 2, 3, 100]) equal(paceRow(paces, listener, PaceWay.ToClient), NONE);
  const row = (at: number) => [paces.paceBytes[at], paces.paceMs[at], paces.paceMost[at]];
  deepEqual(row(down + PaceOf.Connection), [1e6, 1_000, 100 * METER_UNITS_PER_MS]);
  deepEqual(row(down + PaceOf.Source), [0, 0, 0]);
  deepEqual(row(down + PaceOf.Listener), [64_000, 1_000, 100 * METER_UNITS_PER_MS]);
  equal(paces.paceQuantum[down], 1_448, "the least of both");
  deepEqual(row(up + PaceOf.Connection), [0, 0, 0]);
  deepEqual(row(up + PaceOf.Listener), [5e8, 100, 100 * METER_UNITS_PER_MS], "more than 32 bits have");
});

test("where nothing is limited the Plan has nothing of it", () => {
  equal(placePaces([]).sizes, undefined);
  const { paces } = makePlan(1, { ...NO_SIZES, paces: undefined });
  equal(paceRow(paces, 1, PaceWay.ToClient), NONE);
});
