// The head of a request in its block, in a reactor on the fake kernel: what of it stays, and for how long.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import {
  ARENA_RECEIVE,
  BLOCKS_MAX,
  NONE,
  SMALL_BLOCK_BYTES,
  TARGET_BYTES_TOLD,
} from "../../src/base/limits.ts";
import { blocksLeft, blocksTaken, takeBlock, takeBlockFor } from "../../src/net/blocks.ts";
import {
  exGeneration,
  exHost,
  exHostEnd,
  exKept,
  exMethodEnd,
  exTargetEnd,
  takeExchange,
} from "../../src/proxy/exchanges.ts";
import { ArenaWriter } from "../../src/control/config/arena.ts";
import { placeLines } from "../../src/control/config/compile_log.ts";
import { accessLines } from "../../src/control/config/log_templates.ts";
import { makePlan, NO_SIZES, type Plan } from "../../src/plan/plan.ts";
import { forgetHead, keepHead, recallHead, trimHead } from "../../src/proxy/kept_head.ts";
import { request } from "../../src/proxy/wire_h1.ts";
import { parseRequest } from "../../src/proto/http1_head.ts";
import { ExState } from "../../src/shared/tables.ts";
import { arenaBytes } from "../../src/sys/sys.ts";
import { openReactor } from "../net/tables.ts";

let ex: number;

beforeEach(() => open());

/** A reactor with an exchange that works by this Plan. */
function open(plan = makePlan(1, NO_SIZES)): void {
  openReactor({ slots: 8, exchanges: 8 }, plan);
  ex = takeExchange(ExState.Head);
  exGeneration[ex] = plan.generation;
  exKept[ex] = NONE;
}

/** A Plan whose access log has lines of this template. */
function logging(template: string): Plan {
  const arena = new ArenaWriter();
  const lines = placeLines(arena, accessLines({ format: "text", template }), true);
  const plan = makePlan(1, { ...NO_SIZES, accessAll: 1, arenaBytes: arena.bytes, lines: lines.sizes });
  arena.copyTo(plan.arena);
  lines.fill(plan.lines);
  return plan;
}

/** Reads a head and keeps it. */
function keep(target: string, host: string, fields = ""): boolean {
  const text = Buffer.from(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`, "latin1");
  arenaBytes.set(text, ARENA_RECEIVE);
  strictEqual(parseRequest(arenaBytes, ARENA_RECEIVE, ARENA_RECEIVE + text.length, request), text.length);
  return keepHead(ex);
}

/** What a record tells. */
function told(): string[] {
  const at = exKept[ex];
  const text = (from: number, end: number) =>
    Buffer.from(arenaBytes.subarray(at + from, at + end)).toString("latin1");
  return [
    text(0, exMethodEnd[ex]),
    text(exMethodEnd[ex] + 1, exTargetEnd[ex]),
    text(exHost[ex], exHostEnd[ex]),
  ];
}

const LARGE = `Cookie: ${"c".repeat(3_000)}\r\n`;

describe("a kept head", () => {
  it("is recalled as it was, wherever others were read since", () => {
    keep("/a?b", "shop.example:81", "X-A: 1\r\n");
    arenaBytes.fill(0, ARENA_RECEIVE, ARENA_RECEIVE + 1_000);
    recallHead(ex);
    strictEqual(request.fieldCount, 2);
    deepStrictEqual(told(), ["GET", "/a?b", "shop.example:81"]);
    forgetHead(ex);
    strictEqual(blocksTaken(), 0);
    forgetHead(ex);
  });

  it("that is small stays as it is until it is forgotten", () => {
    keep("/a", "a.example");
    const [at] = [exKept[ex]];
    trimHead(ex);
    strictEqual(exKept[ex], at);
    recallHead(ex);
  });

  const cases: [why: string, target: string, host: string, want: [string, string]][] = [
    ["its line and host stay", "/path?q", "a.example:80", ["/path?q", "a.example:80"]],
    [
      "a long target is cut",
      `/${"t".repeat(5_000)}`,
      "a.example",
      [`/${"t".repeat(TARGET_BYTES_TOLD - 1)}`, "a.example"],
    ],
  ];
  for (const [why, target, host, want] of cases) {
    it(`that is large gives its block back: ${why}`, () => {
      const left = blocksLeft();
      keep(target, host, LARGE);
      strictEqual(blocksLeft(), left - 1);
      trimHead(ex);
      strictEqual(blocksLeft(), left);
      deepStrictEqual(told(), ["GET", ...want]);
      forgetHead(ex);
      strictEqual(blocksTaken(), 0);
    });
  }

  const needs: [template: string, why: string][] = [
    ["{request.cookie}", "a field"],
    ["{request_id}", "its number, which lies behind it"],
  ];
  for (const [template, why] of needs) {
    it(`that is large stays whole where the log tells ${why}`, () => {
      open(logging(template));
      const left = blocksLeft();
      keep("/a", "a.example", LARGE);
      trimHead(ex);
      strictEqual(blocksLeft(), left - 1);
      recallHead(ex);
      strictEqual(request.fieldCount, 2);
      forgetHead(ex);
      strictEqual(blocksTaken(), 0);
    });
  }

  it("that is large is cut where the log tells its line and its host alone", () => {
    open(logging("{method} {target} {path} {request_line} {host}"));
    const left = blocksLeft();
    keep("/a", "a.example", LARGE);
    trimHead(ex);
    strictEqual(blocksLeft(), left);
  });

  it("that is large stays where it is when there is no small block", () => {
    keep("/a", "a.example", LARGE);
    while (takeBlockFor(SMALL_BLOCK_BYTES) !== NONE);
    trimHead(ex);
    recallHead(ex);
    deepStrictEqual(told(), ["GET", "/a", "a.example"]);
  });

  it("finds no room when all blocks are taken: leftovers keep theirs", () => {
    while (takeBlockFor(SMALL_BLOCK_BYTES) !== NONE);
    strictEqual(keep("/a", "a.example"), false);
    strictEqual(exKept[ex], NONE);
    for (let block = takeBlock(); block !== NONE; block = takeBlock());
    strictEqual(blocksTaken() >= BLOCKS_MAX - 1, true);
  });
});
