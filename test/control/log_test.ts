import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { keptLog } from "./sight_fixture.ts";

const AT_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

test("text is time, level, topic and message", async () => {
  const { log, kept } = keptLog();
  log.write("info", "health", "server 10.0.0.1:9001 is up", { server: "10.0.0.1:9001" }, AT_MS);
  log.write("warn", "accept", "paused", {}, AT_MS);
  log.write("error", "bug", "a bug", {}, AT_MS);
  log.write("debug", "health", "detail", {}, AT_MS);
  await log.output.flush(1_000);
  deepEqual(kept.lines, [
    "2026-01-02T03:04:05.678Z info  health: server 10.0.0.1:9001 is up",
    "2026-01-02T03:04:05.678Z warn  accept: paused",
    "2026-01-02T03:04:05.678Z error bug: a bug",
    "2026-01-02T03:04:05.678Z debug health: detail",
  ]);
});

test("JSON is one object a line, with the fields", async () => {
  const { log, kept } = keptLog({ format: "json" });
  const fields = { server: 'a"\n', fall: 3, errno: null, ok: true, upstreams: ["a", "b"] };
  log.write("warn", "health", "down {x}", fields, AT_MS);
  log.write("info", "health", "mine", { time: "no", message: "no", level: "no" }, AT_MS);
  await log.output.flush(1_000);
  deepEqual(kept.lines.map((line) => JSON.parse(line)), [
    { time: "2026-01-02T03:04:05.678Z", level: "warn", topic: "health", message: "down {x}", ...fields },
    { time: "2026-01-02T03:04:05.678Z", level: "info", topic: "health", message: "mine" },
  ]);
});

test("lines below the level are not written", async () => {
  for (const [level, count] of [["debug", 4], ["info", 3], ["warn", 2], ["error", 1]] as const) {
    const { log, kept } = keptLog({ level });
    log.debug("x", "1");
    log.info("x", "2");
    log.warn("x", "3");
    log.error("x", "4");
    await log.output.flush(1_000);
    equal(kept.lines.length, count, level);
  }
});

test("a message is one line without control characters, and braces mean nothing", async () => {
  const { log, kept } = keptLog();
  log.error("x", "stack\n at {file}\t\x1b[31m\u202e", { file: "secret" });
  await log.output.flush(1_000);
  equal(kept.lines.length, 1);
  ok(kept.text.endsWith("error x: stack\\n at {file}\\t\\x1B[31m\\u{202E}\n"), kept.text);
});

test("colour is for terminals that want it", async () => {
  const { log, kept } = keptLog({ colour: true });
  log.warn("x", "message");
  await log.output.flush(1_000);
  match(kept.text, / \x1b\[33mwarn \x1b\[0m x: message\n$/);
  const plain = keptLog();
  plain.log.warn("x", "message");
  await plain.log.output.flush(1_000);
  ok(!plain.kept.text.includes("\x1b"), "not a terminal");
});

test("a stuck output drops lines and counts them", () => {
  const { log } = keptLog();
  for (let line = 0; line < 200_000; line++) log.info("x", "0123456789");
  // Nothing has been awaited: the first write is under way, the rest waits.
  ok(log.droppedLines > 150_000, `${log.droppedLines} dropped`);
  ok(log.droppedLines < 199_000, `${log.droppedLines} dropped`);
});

test("a level set at run time holds until the configuration says another; audits are written at any", async () => {
  const { log, kept } = keptLog({ level: "warn" });
  log.info("x", "no");
  log.set("debug");
  log.debug("x", "yes");
  deepEqual(log.override, { level: "debug", replaced: "warn" });
  log.configured("warn");
  equal(log.level, "debug", "the same configuration again");
  log.set("error");
  log.warn("x", "no");
  log.audit("audit", "yes");
  log.configured("info");
  equal(log.level, "info");
  equal(log.override, undefined);
  log.info("x", "yes");
  log.set("warn");
  log.set(undefined);
  log.configured("debug");
  log.debug("x", "yes");
  await log.output.flush(1_000);
  const end = " log: the level is info, as configured now: error, set at run time, has ended";
  deepEqual(kept.lines.map((line) => line.replace(/^.*? (debug|info|warn|error) +/, " ")), [
    " x: yes",
    " audit: yes",
    end,
    " x: yes",
    " x: yes",
  ]);
  log.restore({ level: "error", replaced: "info" });
  equal(log.level, "debug", "it was set in place of another");
  log.restore({ level: "error", replaced: "debug" });
  equal(log.level, "error");
});
