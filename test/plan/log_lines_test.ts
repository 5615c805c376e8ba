import { doesNotThrow, strictEqual, throws } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { ArenaWriter } from "../../src/control/config/arena.ts";
import { placeLines } from "../../src/control/config/compile_log.ts";
import { accessLines } from "../../src/control/config/log_templates.ts";
import { EndingAt, Line, linesNeed, Needs, OpAt, Told } from "../../src/plan/log_lines.ts";
import { ACCESS_SHARE_ALL, checkPlan, makePlan, NO_SIZES, openPlan, type Plan } from "../../src/plan/plan.ts";

let plan: Plan;

beforeEach(() => {
  const arena = new ArenaWriter();
  const lines = placeLines(arena, accessLines({ format: "json" }), true);
  plan = makePlan(1, {
    ...NO_SIZES,
    accessAll: 1,
    accessShare: ACCESS_SHARE_ALL,
    arenaBytes: arena.bytes,
    lines: lines.sizes,
  });
  arena.copyTo(plan.arena);
  lines.fill(plan.lines);
});

/** Where the last ending is. */
function endingOf({ lines: { op } }: Plan): number {
  for (let at = op.length - OpAt.Length; at >= 0; at -= OpAt.Length) if (op[at] === Told.Ending) return at;
  throw new Error("no ending");
}

describe("the lines of a Plan", () => {
  it("are found again in its memory", () => {
    doesNotThrow(() => checkPlan(plan));
    const opened = openPlan(plan.memory);
    strictEqual(opened.lines.op.join(), plan.lines.op.join());
    strictEqual(opened.lines.lineJson[Line.Tcp], 1);
    strictEqual(linesNeed(opened.lines, Needs.Head), false);
  });

  const broken: [why: string, breaks: (plan: Plan) => void][] = [
    ["a line without operations", ({ lines }) => lines.lineEnd[Line.Tcp] = lines.lineFirst[Line.Tcp]],
    ["a line behind the last operation", ({ lines }) => lines.lineEnd[Line.Udp] += OpAt.Length],
    ["a line that ends within an operation", ({ lines }) => lines.lineEnd[Line.Http] -= 1],
    ["an operation that nobody knows", ({ lines }) => lines.op[OpAt.Length + OpAt.Told] = 99],
    ["a text behind the arena", ({ lines, arenaBytes }) => lines.op[OpAt.BeforeAt] = arenaBytes],
    ["an ending without texts", (plan) => plan.lines.op[endingOf(plan) + EndingAt.First] += 1],
    ["an ending that leads nowhere", (plan) => plan.lines.op[endingOf(plan) + EndingAt.Skip] = 1 << 20],
    ["an ending that leads to itself", (plan) => plan.lines.op[endingOf(plan) + EndingAt.Skip] = 0],
    ["a text of no length", ({ lines }) => lines.op[OpAt.NoneBytes] = -1],
    ["a reason behind the arena", ({ lines, arenaBytes }) => lines.reasonAt[1] = arenaBytes],
    ["an errno behind the arena", ({ lines, arenaBytes }) => lines.errnoAt[1] = arenaBytes],
  ];
  for (const [why, breaks] of broken) {
    it(`are not published broken: ${why}`, () => {
      breaks(plan);
      throws(() => checkPlan(plan), /plan: /);
    });
  }

  it("are there when there is an access log, and its share is one", () => {
    throws(() => checkPlan(makePlan(1, { ...NO_SIZES, accessAll: 1 })), /without lines/);
    throws(() => checkPlan(makePlan(1, { ...NO_SIZES, accessShare: -1 })), /share/);
    throws(() => checkPlan(makePlan(1, { ...NO_SIZES, accessShare: ACCESS_SHARE_ALL + 1 })), /share/);
    doesNotThrow(() => checkPlan(makePlan(1, NO_SIZES)));
  });
});
