import { ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { backOffMs, renewAtMs } from "../../../src/control/acme/back_off.ts";
import { canonical, nameFlaw } from "../../../src/control/acme/names.ts";
import { readProblem, refusal, retryAfterMs } from "../../../src/control/acme/problem.ts";

const MINUTE_MS = 60_000, HOUR_MS = 3_600_000, DAY_MS = 24 * HOUR_MS;

describe("backOffMs", () => {
  const name = { scope: "name", type: "challenge", retryAfterMs: undefined } as const;
  const cases: [
    failures: number,
    error: Parameters<typeof backOffMs>[1],
    leastMs: number,
    mostMs: number,
    why: string,
  ][] = [
    [1, name, 45_000, 75_000, "the first waits about a minute"],
    [2, name, 90_000, 150_000, "twice that"],
    [6, name, 24 * MINUTE_MS, 40 * MINUTE_MS, "and so on"],
    [20, name, 18 * HOUR_MS, DAY_MS, "at most a day"],
    [1e9, name, 18 * HOUR_MS, DAY_MS, "whatever the count"],
    [20, { ...name, scope: "authority" }, 45 * MINUTE_MS, HOUR_MS, "the CA is asked every hour"],
    [1, { ...name, retryAfterMs: 3 * HOUR_MS }, 3 * HOUR_MS, 3 * HOUR_MS + MINUTE_MS, "never before it says"],
    [1, { ...name, retryAfterMs: 1_000 }, 45_000, 75_000, "nor as soon as it says"],
    [
      1,
      { ...name, retryAfterMs: 365 * DAY_MS },
      8 * DAY_MS,
      8 * DAY_MS + MINUTE_MS,
      "a year is not believed",
    ],
    [1, { ...name, type: "rateLimited" }, HOUR_MS, HOUR_MS + MINUTE_MS, "a limit without a time is an hour"],
  ];
  for (const [failures, error, leastMs, mostMs, why] of cases) {
    it(why, () => {
      for (const random of [0, 0.3, 0.999]) {
        const waitMs = backOffMs(failures, error, random);
        ok(waitMs >= leastMs && waitMs <= mostMs, `${waitMs} ms`);
      }
    });
  }
});

describe("renewAtMs", () => {
  it("a third of the time is left, or a little more", () => {
    const facts = { notBeforeMs: 0, notAfterMs: 90 * DAY_MS };
    strictEqual(renewAtMs(facts, 0), 60 * DAY_MS);
    strictEqual(Math.round(renewAtMs(facts, 1)), 55.5 * DAY_MS);
  });
});

describe("nameFlaw", () => {
  const cases: [name: string, isGood: boolean, why: string][] = [
    ["a.example", true, ""],
    ["localhost", true, "a private CA may know it"],
    ["xn--bcher-kva.example", true, "as DNS has it"],
    ["1a.2.example", true, "digits"],
    [`${"a".repeat(63)}.example`, true, "63 in a label"],
    [`${"a".repeat(64)}.example`, false, "64 in a label"],
    [Array(57).fill("abc").join("."), true, "227 in all"],
    [Array(58).fill("abc").join("."), false, "231 in all: no file can be called so"],
    ["*.example", false, "wildcards need another challenge"],
    ["10.0.0.1", false, "an address"],
    ["::1", false, "an address"],
    ["a.1", false, "what looks like an address"],
    ["-a.example", false, "a hyphen first"],
    ["a_b.example", false, "CAs refuse underscores"],
    ["a..example", false, "an empty label"],
    ["", false, "nothing"],
    ["bücher.example", false, "not as DNS has it"],
    ["a/../b", false, "no path gets anywhere near the disk"],
  ];
  for (const [name, isGood, why] of cases) {
    it(`${JSON.stringify(name.slice(0, 30))} ${isGood} ${why}`, () =>
      strictEqual(nameFlaw(name) === undefined, isGood));
  }
  it("case and a dot at the end do not matter", () => strictEqual(canonical("A.Example."), "a.example"));
});

describe("retryAfterMs", () => {
  const nowMs = Date.parse("2026-01-02T03:04:05Z");
  const cases: [value: string | undefined, want: number | undefined][] = [
    ["120", 120_000],
    ["0", 0],
    ["Fri, 02 Jan 2026 03:05:05 GMT", 60_000],
    ["Fri, 02 Jan 2026 03:00:00 GMT", 0],
    ["-1", undefined],
    ["1e9", undefined],
    ["99999999999", undefined],
    ["soon", undefined],
    ["", undefined],
    [undefined, undefined],
  ];
  for (const [value, want] of cases) it(`${value}`, () => strictEqual(retryAfterMs(value, nowMs), want));
});

describe("refusal", () => {
  const urn = "urn:ietf:params:acme:error:";
  it("tells what was asked, the type and all details, bounded", () => {
    const problem = readProblem({
      type: `${urn}compound`,
      detail: "two",
      subproblems: [{ type: `${urn}caa`, detail: "one" }, 7, { detail: "no type" }],
    });
    strictEqual(
      refusal("an order", 403, problem, 5).message,
      "an order: the CA answered 403 compound: two; one",
    );
    ok(readProblem({ type: "x", detail: "y".repeat(9_000) })!.detail.length <= 500);
    strictEqual(readProblem("text"), undefined);
    strictEqual(refusal("an order", 403, undefined, 5).message, "an order: the CA answered 403");
  });
  it("knows whose fault it is", () => {
    const scope = (status: number, type: string) =>
      refusal("x", status, { type, detail: "" }, undefined).scope;
    strictEqual(scope(403, "rejectedIdentifier"), "name");
    strictEqual(scope(400, "malformed"), "name");
    strictEqual(scope(429, "rateLimited"), "name");
    strictEqual(scope(400, "userActionRequired"), "authority");
    strictEqual(scope(500, "caa"), "authority");
  });
});
