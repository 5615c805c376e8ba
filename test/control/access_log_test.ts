import { deepEqual, equal, match, ok } from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { LOG_LINES_BYTES } from "../../src/base/limits.ts";
import { AccessLog } from "../../src/control/access_log.ts";
import type { AccessRecord } from "../../src/control/access_record.ts";
import { Reason } from "../../src/shared/reason.ts";
import { ECONNREFUSED } from "../../src/sys/errno.ts";
import { keptLog } from "./sight_fixture.ts";

const RECORD: AccessRecord = {
  atMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678) + 0.4,
  client: "192.0.2.7:40000",
  listener: "web",
  upstream: "app",
  server: "10.0.0.1:9001",
  upBytes: 517,
  downBytes: 20480,
  durationMs: 12.34,
  reason: Reason.Finished,
  errno: 0,
  tried: 1,
  detail: "",
};
const REFUSED: AccessRecord = {
  ...RECORD,
  reason: Reason.ConnectionRefused,
  errno: ECONNREFUSED,
  tried: 3,
  downBytes: 0,
};
/** As records of connections that died with their reactor are. */
const LOST: AccessRecord = { ...RECORD, client: "", server: "", durationMs: -1, reason: Reason.ReactorDied };

/** One whose log Worker is not started: what it says stays in its ring. */
function openLog(format: "text" | "json"): AccessLog {
  return new AccessLog({ to: { kind: "stdout" }, format, log: keptLog().log });
}

function linesOf(accessLog: AccessLog): string[] {
  let text = "";
  accessLog.ring.drainLines((bytes) => text += Buffer.from(bytes).toString());
  return text.split("\n").slice(0, -1);
}

function written(format: "text" | "json", records: readonly AccessRecord[]): string[] {
  const accessLog = openLog(format);
  for (const record of records) accessLog.add(record);
  accessLog.flush();
  return linesOf(accessLog);
}

test("text has every field in a fixed order", () => {
  deepEqual(written("text", [RECORD, REFUSED, LOST]), [
    '2026-01-02T03:04:05.678Z 192.0.2.7:40000 -> 10.0.0.1:9001 listener="web" upstream="app" up=517 down=20480 ' +
    "ms=12.3 tried=1 reason=finished",
    '2026-01-02T03:04:05.678Z 192.0.2.7:40000 -> 10.0.0.1:9001 listener="web" upstream="app" up=517 down=0 ' +
    'ms=12.3 tried=3 reason=connection_refused type=connection_refused errno="ECONNREFUSED"',
    '2026-01-02T03:04:05.678Z - -> - listener="web" upstream="app" up=517 down=20480 ' +
    "ms=- tried=1 reason=reactor_died type=proxy_internal_error",
  ]);
});

test("JSON has the same as fields, null for what is not known", () => {
  const [finished, refused, lost] = (written("json", [RECORD, REFUSED, LOST])).map((line) =>
    JSON.parse(line)
  );
  deepEqual(finished, {
    time: "2026-01-02T03:04:05.678Z",
    client: "192.0.2.7:40000",
    listener: "web",
    upstream: "app",
    server: "10.0.0.1:9001",
    up_bytes: 517,
    down_bytes: 20480,
    duration_ms: 12.3,
    reason: "finished",
    type: null,
    errno: null,
    detail: null,
    tried: 1,
  });
  deepEqual([refused.reason, refused.type, refused.errno], [
    "connection_refused",
    "connection_refused",
    "ECONNREFUSED",
  ]);
  deepEqual([lost.client, lost.server, lost.duration_ms], [null, null, null]);
});

test("times are those of the records, however they cross seconds", () => {
  const base = Date.UTC(2026, 0, 2, 3, 4, 5);
  const offsets = [0, 7.9, 99, 999.99, 1000, 60_000, 500];
  const lines = written("text", offsets.map((ms) => ({ ...RECORD, atMs: base + ms })));
  deepEqual(
    lines.map((line) => line.slice(0, 24)),
    offsets.map((ms) => new Date(Math.floor(base + ms)).toISOString()),
  );
});

test("durations have one decimal", () => {
  const cases: [ms: number, text: string][] = [[0, "0.0"], [0.04, "0.0"], [0.05, "0.1"], [9.96, "10.0"], [
    3_600_000.5,
    "3600000.5",
  ]];
  const lines = written("text", cases.map(([durationMs]) => ({ ...RECORD, durationMs })));
  cases.forEach(([ms, text], index) => ok(lines[index].includes(` ms=${text} `), `${ms}: ${lines[index]}`));
});

test("names cannot break a line apart", () => {
  const nasty = 'a"b\\c\nd\x1b';
  const [text] = written("text", [{ ...RECORD, listener: nasty }]);
  ok(text.includes('listener="a\\"b\\\\c\\nd\\x1B" upstream='), text);
  const [json] = written("json", [{ ...RECORD, listener: nasty }]);
  equal(JSON.parse(json).listener, nasty);
});

test("what finds no room in the ring is dropped, and counted one by one", () => {
  const accessLog = openLog("text");
  const batch = 10_000, bytes = batch * (written("text", [RECORD])[0].length + 1);
  const fit = Math.floor(LOG_LINES_BYTES / bytes);
  for (let round = 0; round < fit + 3; round++) {
    for (let record = 0; record < batch; record++) accessLog.add(RECORD);
    accessLog.flush();
  }
  const kept = linesOf(accessLog).length;
  ok(kept >= fit * batch, `${kept} of ${fit * batch}`);
  equal(accessLog.droppedLines, (fit + 3) * batch - kept);
  accessLog.add(RECORD);
  accessLog.flush();
  equal(linesOf(accessLog).length, 1, "there is room again");
});

test("off: failures are told by the log, five a second for each reason, then how many more", async () => {
  const { log, kept } = keptLog();
  const accessLog = new AccessLog({ to: { kind: "off" }, format: "text", log });
  for (let record = 0; record < 42; record++) accessLog.add(REFUSED);
  for (let record = 0; record < 3; record++) accessLog.add({ ...LOST, server: "" });
  accessLog.add(RECORD); // no error: nothing to tell
  await log.output.flush(1_000);
  equal(kept.lines.filter((line) => line.includes("connection_refused")).length, 5);
  equal(kept.lines.length, 8);
  equal(
    kept.lines[0],
    '2026-01-02T03:04:05.678Z warn  connection: client 192.0.2.7:40000 of listener "web": connection_refused ' +
      "(ECONNREFUSED): the server refused the connection; last server 10.0.0.1:9001",
  );
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  equal(kept.lines.length, 9, kept.text);
  match(kept.lines[8], /warn {2}connection: and 37 more within a second: connection_refused$/);
  accessLog.add(REFUSED);
  await accessLog.close(1_000);
  await log.output.flush(1_000);
  equal(kept.lines.length, 10, "the next second tells again, and has no more");
});
