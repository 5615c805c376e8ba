import { deepEqual, equal, match, ok, throws } from "node:assert/strict";
import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AccessLog } from "../../src/control/access_log.ts";
import type { AccessRecord } from "../../src/control/access_record.ts";
import { Output, OutputError } from "../../src/control/output.ts";
import { Reason } from "../../src/shared/reason.ts";
import { ECONNREFUSED } from "../../src/sys/errno.ts";
import { Kept, keptLog } from "./sight_fixture.ts";

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

async function written(format: "text" | "json", records: readonly AccessRecord[]): Promise<string[]> {
  const kept = new Kept();
  const accessLog = new AccessLog({ format, log: keptLog().log }, kept.output);
  for (const record of records) accessLog.add(record);
  await accessLog.close(1_000);
  return kept.lines;
}

test("text has every field in a fixed order", async () => {
  deepEqual(await written("text", [RECORD, REFUSED, LOST]), [
    '2026-01-02T03:04:05.678Z 192.0.2.7:40000 -> 10.0.0.1:9001 listener="web" upstream="app" up=517 down=20480 ' +
    "ms=12.3 tried=1 reason=finished",
    '2026-01-02T03:04:05.678Z 192.0.2.7:40000 -> 10.0.0.1:9001 listener="web" upstream="app" up=517 down=0 ' +
    'ms=12.3 tried=3 reason=connection_refused type=connection_refused errno="ECONNREFUSED"',
    '2026-01-02T03:04:05.678Z - -> - listener="web" upstream="app" up=517 down=20480 ' +
    "ms=- tried=1 reason=reactor_died type=proxy_internal_error",
  ]);
});

test("JSON has the same as fields, null for what is not known", async () => {
  const [finished, refused, lost] = (await written("json", [RECORD, REFUSED, LOST])).map((line) =>
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
    tried: 1,
  });
  deepEqual([refused.reason, refused.type, refused.errno], [
    "connection_refused",
    "connection_refused",
    "ECONNREFUSED",
  ]);
  deepEqual([lost.client, lost.server, lost.duration_ms], [null, null, null]);
});

test("times are those of the records, however they cross seconds", async () => {
  const base = Date.UTC(2026, 0, 2, 3, 4, 5);
  const offsets = [0, 7.9, 99, 999.99, 1000, 60_000, 500];
  const lines = await written("text", offsets.map((ms) => ({ ...RECORD, atMs: base + ms })));
  deepEqual(
    lines.map((line) => line.slice(0, 24)),
    offsets.map((ms) => new Date(Math.floor(base + ms)).toISOString()),
  );
});

test("durations have one decimal", async () => {
  const cases: [ms: number, text: string][] = [[0, "0.0"], [0.04, "0.0"], [0.05, "0.1"], [9.96, "10.0"], [
    3_600_000.5,
    "3600000.5",
  ]];
  const lines = await written("text", cases.map(([durationMs]) => ({ ...RECORD, durationMs })));
  cases.forEach(([ms, text], index) => ok(lines[index].includes(` ms=${text} `), `${ms}: ${lines[index]}`));
});

test("names cannot break a line apart", async () => {
  const nasty = 'a"b\\c\nd\x1b';
  const [text] = await written("text", [{ ...RECORD, listener: nasty }]);
  ok(text.includes('listener="a\\"b\\\\c\\nd\\x1B" upstream='), text);
  const [json] = await written("json", [{ ...RECORD, listener: nasty }]);
  equal(JSON.parse(json).listener, nasty);
});

test("all records between two flushes are one write", async () => {
  let writes = 0;
  const output = new Output((bytes) => {
    writes++;
    return Promise.resolve(bytes.length);
  });
  const accessLog = new AccessLog({ format: "text", log: keptLog().log }, output);
  for (let record = 0; record < 100; record++) accessLog.add(RECORD);
  equal(writes, 0);
  accessLog.flush();
  await output.flush(1_000);
  equal(writes, 1);
});

test("dropped records are counted, one by one", () => {
  const stuck = new Output(() => new Promise(() => {}));
  const accessLog = new AccessLog({ format: "text", log: keptLog().log }, stuck);
  for (let record = 0; record < 20_000; record++) accessLog.add(RECORD);
  accessLog.flush();
  const kept = Math.floor((1 << 20) / 160);
  ok(
    accessLog.droppedLines > 20_000 - 1.3 * kept && accessLog.droppedLines < 20_000 - 0.5 * kept,
    `${accessLog.droppedLines}`,
  );
});

test("a file is opened at once, and again by reopen", async () => {
  const { log } = keptLog();
  throws(
    () => AccessLog.open({ to: { kind: "file", path: "/nonexistent-directory/a.log" }, format: "text", log }),
    OutputError,
  );
  const directory = mkdtempSync(join(tmpdir(), "sluice-access-"));
  const path = join(directory, "access.log");
  const accessLog = AccessLog.open({ to: { kind: "file", path }, format: "text", log });
  accessLog.add(RECORD);
  accessLog.flush();
  await new Promise((resolve) => setTimeout(resolve, 50));
  renameSync(path, `${path}.1`);
  accessLog.reopen();
  accessLog.add(REFUSED);
  await accessLog.close(1_000);
  match(readFileSync(`${path}.1`, "utf8"), /^\S+ 192\.0\.2\.7:40000 .* reason=finished\n$/);
  match(readFileSync(path, "utf8"), /reason=connection_refused .*\n$/);
  rmSync(directory, { recursive: true });
});

test("a reopen that fails is logged, and the old file stays in use", async () => {
  const { log, kept } = keptLog();
  const directory = mkdtempSync(join(tmpdir(), "sluice-access-"));
  const accessLog = AccessLog.open({
    to: { kind: "file", path: join(directory, "a.log") },
    format: "text",
    log,
  });
  rmSync(directory, { recursive: true });
  accessLog.reopen();
  accessLog.add(RECORD);
  await accessLog.close(1_000);
  await log.output.flush(1_000);
  match(
    kept.text,
    /error access-log: cannot open .*directory does not exist.*; the old file stays in use\n$/,
  );
  equal(accessLog.droppedLines, 0);
});

test("a disk that is full is told once, and so is its end", async () => {
  const { log, kept } = keptLog();
  let full = true;
  const output = new Output((bytes) =>
    full
      ? Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" }))
      : Promise.resolve(bytes.length)
  );
  const accessLog = new AccessLog({ format: "text", log }, output);
  const write = async () => {
    accessLog.add(RECORD);
    accessLog.flush();
    await output.flush(1_000);
  };
  for (let round = 0; round < 5; round++) await write();
  full = false;
  for (let round = 0; round < 5; round++) await write();
  await log.output.flush(1_000);
  equal(kept.lines.length, 2, kept.text);
  match(kept.lines[0], /error access-log: cannot write: ENOSPC; records are lost until it works again$/);
  match(kept.lines[1], /info {2}access-log: records are written again$/);
  equal(accessLog.droppedLines, 5);
});

test("off: failures are told by the log, five a second for each reason, then how many more", async () => {
  const { log, kept } = keptLog();
  const accessLog = AccessLog.open({ to: { kind: "off" }, format: "text", log });
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
