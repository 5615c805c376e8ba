import { deepEqual, equal, match, ok } from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { AccessLog } from "../../src/control/access_log.ts";
import { tellAcceptPaused, tellHealth } from "../../src/control/events.ts";
import { Records } from "../../src/control/records.ts";
import { Field, Heard, HEARD_UNIT, LogRing, RecordKind } from "../../src/shared/log_ring.ts";
import { Reason } from "../../src/shared/reason.ts";
import { Verdict } from "../../src/shared/servers.ts";
import { ECONNREFUSED, EMFILE, ENFILE, ENOBUFS, ETIMEDOUT } from "../../src/sys/errno.ts";
import { LOG_RECORDS } from "../../src/base/limits.ts";
import { Refusal } from "../../src/proto/refusal.ts";
import { asks, expectOf, pattern, text } from "./checks_fixture.ts";
import {
  type Fixture,
  keptLog,
  LISTENER,
  makeFixture,
  PROBES,
  pushRecord,
  SERVERS,
  UPSTREAM,
} from "./sight_fixture.ts";

const NOW_MS = 50_000; // the reactors' clock

interface Setup {
  readonly fixture: Fixture;
  readonly records: Records;
  readonly rings: readonly LogRing[];
  readonly accessLog: AccessLog;
}

function setup(): Setup {
  const fixture = makeFixture();
  const { directory, health, log, maxConnections } = fixture.sight;
  const accessLog = new AccessLog({ to: { kind: "stdout" }, format: "json", log });
  const records = new Records({
    rings: fixture.reactors,
    directory,
    health,
    accessLog,
    log,
    maxConnections,
    asked: () => {},
    monotonicMs: () => NOW_MS,
  });
  return { fixture, records, rings: fixture.reactors.map(({ log }) => log), accessLog };
}

function accessRecord(overrides: Partial<Record<Field, number>> = {}): Partial<Record<Field, number>> {
  return {
    [Field.Kind]: RecordKind.Access,
    [Field.AtMs]: NOW_MS - 1_000,
    [Field.Listener]: LISTENER,
    [Field.Upstream]: UPSTREAM,
    [Field.Server]: SERVERS[1],
    [Field.Reason]: Reason.Finished,
    [Field.Errno]: 0,
    [Field.UpBytes]: 11,
    [Field.DownBytes]: 2 ** 40,
    [Field.DurationMs]: 25.55,
    [Field.Tried]: 2,
    ...overrides,
  };
}

function probeRecord(
  probe: number,
  reason: Reason,
  errno: number,
  streak: number,
  before: Verdict,
  after: Verdict,
  atMs = NOW_MS,
): Partial<Record<Field, number>> {
  return {
    [Field.Kind]: RecordKind.Probe,
    [Field.AtMs]: atMs,
    [Field.Server]: probe,
    [Field.Reason]: reason,
    [Field.Errno]: errno,
    [Field.DurationMs]: 1.25,
    [Field.Tried]: streak,
    [Field.Detail]: after | (before << 8),
  };
}

/** Lines of the access log since the last call. */
function accessLines({ accessLog }: Setup): string[] {
  let text = "";
  accessLog.ring.drainLines((bytes) => text += Buffer.from(bytes).toString());
  return text.split("\n").slice(0, -1);
}

/** Messages of the log, without their times. */
async function messages({ fixture }: Setup): Promise<string[]> {
  await fixture.kept.output.flush(1_000);
  return fixture.kept.lines.map((line) => line.slice(25));
}

test("an access record is named and put on the wall clock", () => {
  const it = setup();
  pushRecord(it.rings[0], accessRecord());
  pushRecord(
    it.rings[1],
    accessRecord({ [Field.Server]: 0, [Field.Upstream]: 0, [Field.Reason]: Reason.DestinationUnavailable }),
  );
  const before = Date.now();
  it.records.drainNow();
  const [first, second] = accessLines(it).map((line) => JSON.parse(line));
  const { time, ...rest } = first;
  const atMs = Date.parse(time);
  ok(atMs >= before - 1_001 && atMs <= Date.now() - 999, `a second ago: ${time}`);
  deepEqual(rest, {
    client: "192.0.2.7:40000",
    listener: "web",
    upstream: "app",
    server: "10.0.0.2:9001",
    up_bytes: 11,
    down_bytes: 2 ** 40,
    duration_ms: 25.6,
    reason: "finished",
    type: null,
    errno: null,
    detail: null,
    tried: 2,
  });
  deepEqual([second.upstream, second.server, second.type], [null, null, "destination_unavailable"]);
});

test("clients have addresses of every family, or none", () => {
  const it = setup();
  pushRecord(it.rings[0], accessRecord(), [
    6,
    0,
    0,
    80,
    0x20,
    1,
    0xd,
    0xb8,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
  ]);
  pushRecord(it.rings[0], accessRecord(), [1, 0]);
  pushRecord(it.rings[0], accessRecord(), [0]);
  it.records.drainNow();
  deepEqual(accessLines(it).map((line) => JSON.parse(line).client), ["[2001:db8::1]:80", "unix:", null]);
});

test("a server goes down and comes back: two lines and the history", async () => {
  const it = setup();
  const [probe] = PROBES, ring = it.rings[2];
  const { health } = it.fixture.sight;
  pushRecord(ring, probeRecord(probe, Reason.Healthy, 0, 0, Verdict.Unchecked, Verdict.Up, NOW_MS - 30_000));
  pushRecord(
    ring,
    probeRecord(probe, Reason.ConnectionRefused, ECONNREFUSED, 1, Verdict.Up, Verdict.Up, NOW_MS - 20_000),
  );
  pushRecord(
    ring,
    probeRecord(probe, Reason.NoAnswer, ETIMEDOUT, 2, Verdict.Up, Verdict.Up, NOW_MS - 19_000),
  );
  pushRecord(
    ring,
    probeRecord(probe, Reason.ConnectionRefused, ECONNREFUSED, 0, Verdict.Up, Verdict.Down, NOW_MS - 18_000),
  );
  it.records.drainNow();
  const down = health.of(probe);
  equal(down?.verdict, Verdict.Down);
  equal(down?.change?.from, Verdict.Up);
  equal(down?.change?.cause.reason, Reason.ConnectionRefused);
  ok(Math.abs((down?.sinceMs ?? 0) - (Date.now() - 18_000)) < 1_000);

  pushRecord(ring, probeRecord(probe, Reason.Healthy, 0, 1, Verdict.Down, Verdict.Down, NOW_MS - 6_000));
  pushRecord(ring, probeRecord(probe, Reason.Healthy, 0, 0, Verdict.Down, Verdict.Up, NOW_MS - 5_600));
  it.records.drainNow();
  deepEqual(await messages(it), [
    'info  health: server 10.0.0.1:9001 of upstream "app" is up: its first check passed',
    'debug health: server 10.0.0.1:9001 of upstream "app": first failure: connection_refused (ECONNREFUSED)',
    'debug health: server 10.0.0.1:9001 of upstream "app": failure 2: no_answer (ETIMEDOUT)',
    'warn  health: server 10.0.0.1:9001 of upstream "app" is down: connection_refused (ECONNREFUSED), 3 checks in a row',
    'debug health: server 10.0.0.1:9001 of upstream "app": a check passed',
    'info  health: server 10.0.0.1:9001 of upstream "app" is up again: 2 checks in a row passed, after 12s down',
  ]);
  const up = health.of(probe);
  equal(up?.verdict, Verdict.Up);
  equal(up?.change?.from, Verdict.Down);
  equal(up?.lastFailure?.reason, Reason.ConnectionRefused);
  ok(Math.abs((up?.sinceMs ?? 0) - (Date.now() - 5_600)) < 1_000);
});

/** A failed check that heard this. */
function heardRecord(probe: number, reason: Reason, heard: Heard, number = 0, verdict = Verdict.Up) {
  const errno = reason === Reason.NoAnswer ? ETIMEDOUT : 0;
  const record = probeRecord(probe, reason, errno, 1, Verdict.Up, verdict);
  return { ...record, [Field.Heard]: heard + number * HEARD_UNIT };
}

const NO_TEXT = { http: undefined, expect: undefined };
const PONG = { http: undefined, expect: text("PONG") };
const UP = { http: asks([200, 299], [404, 404]), expect: text("up") };
const heards: [expected: Parameters<typeof expectOf>[2], heard: Heard, number: number, told: string][] = [
  [PONG, Heard.End, 0, "the server ended the connection without an answer"],
  [UP, Heard.HeadPart, 0, "the head of the answer is not whole"],
  [UP, Heard.HeadTooLong, 0, "the head of the answer is longer than 4096 bytes"],
  [UP, Heard.Refused, Refusal.BadStatusLine, "the answer is not HTTP"],
  [
    UP,
    Heard.Refused,
    Refusal.NoColon,
    "the answer is not valid HTTP: A line of the head has no colon",
  ],
  [UP, Heard.Status, 500, "status 500, expected 200-299,404"],
  [UP, Heard.Status, 999, "status 999, expected 200-299,404"],
  [UP, Heard.Without, 404, 'status 404, but its body does not contain "up"'],
  [{ ...UP, expect: pattern("^up$") }, Heard.Without, 200, "status 200, but its body does not fit /^up$/"],
  [
    UP,
    Heard.WithoutLong,
    200,
    'status 200, but its body does not contain "up" within the first 4096 bytes of the answer',
  ],
  [PONG, Heard.Without, 0, 'the answer does not contain "PONG"'],
  [
    { ...PONG, expect: text("é\r\n\x00\u202e") },
    Heard.Without,
    0,
    'the answer does not contain "é\\r\\n\\x00\\u{202E}"',
  ],
  [
    { ...PONG, expect: pattern("(a*)*b") },
    Heard.Steps,
    0,
    "the expression took too many steps on the answer",
  ],
  [NO_TEXT, Heard.Without, 0, "the answer is not the expected one"],
];
for (const [expected, heard, number, told] of heards) {
  test(`a check that heard so is told by that: ${told}`, async () => {
    const it = setup(), [probe] = PROBES;
    expectOf(it.fixture.sight.directory, probe, expected);
    pushRecord(it.rings[2], heardRecord(probe, Reason.UnexpectedAnswer, heard, number));
    pushRecord(it.rings[2], heardRecord(probe, Reason.UnexpectedAnswer, heard, number, Verdict.Down));
    it.records.drainNow();
    deepEqual(await messages(it), [
      `debug health: server 10.0.0.1:9001 of upstream "app": first failure: unexpected_answer (${told})`,
      `warn  health: server 10.0.0.1:9001 of upstream "app" is down: unexpected_answer (${told}), 3 checks in a row`,
    ]);
    const cause = it.fixture.sight.health.of(probe)?.change?.cause;
    deepEqual([cause?.heard, cause?.heardNumber], [heard, number]);
  });
}

test("a check whose time was up is told by what had come", async () => {
  const it = setup(), [probe] = PROBES, ring = it.rings[2];
  expectOf(it.fixture.sight.directory, probe, PONG);
  pushRecord(ring, heardRecord(probe, Reason.NoAnswer, Heard.Nothing));
  pushRecord(ring, heardRecord(probe, Reason.NoAnswer, Heard.Without));
  it.records.drainNow();
  deepEqual((await messages(it)).map((line) => line.slice(line.indexOf("no_answer"))), [
    "no_answer (ETIMEDOUT)",
    'no_answer (ETIMEDOUT; the answer does not contain "PONG" as far as it came)',
  ]);
});

test("the status that a check heard is a field of its line; a Refusal is none", async () => {
  const { directory } = makeFixture().sight, [probe] = PROBES;
  const { log, kept } = keptLog({ format: "json" });
  const result = {
    probe,
    atMs: NOW_MS,
    clockMs: 0,
    reason: Reason.UnexpectedAnswer,
    errno: 0,
    durationMs: 1,
    streak: 1,
    verdict: Verdict.Up,
  };
  const heards = [[Heard.Status, 500], [Heard.Without, 200], [Heard.Refused, Refusal.NoColon], [
    Heard.Without,
    0,
  ]];
  for (const [heard, heardNumber] of heards) {
    tellHealth(log, directory, undefined, { ...result, heard, heardNumber });
  }
  await log.close(1_000);
  deepEqual(kept.lines.map((line) => JSON.parse(line).status), [500, 200, null, null]);
});

test("a replaced health Worker that begins anew changes no verdict and tells none twice", async () => {
  const it = setup();
  const [probe] = PROBES, ring = it.rings[2];
  pushRecord(ring, probeRecord(probe, Reason.ConnectionRefused, ECONNREFUSED, 0, Verdict.Up, Verdict.Down));
  pushRecord(
    ring,
    probeRecord(probe, Reason.ConnectionRefused, ECONNREFUSED, 1, Verdict.Unchecked, Verdict.Unchecked),
  );
  it.records.drainNow();
  equal(it.fixture.sight.health.of(probe)?.verdict, Verdict.Down);
  pushRecord(
    ring,
    probeRecord(probe, Reason.ConnectionRefused, ECONNREFUSED, 0, Verdict.Unchecked, Verdict.Down),
  );
  it.records.drainNow();
  const levels = (await messages(it)).map((line) => line.slice(0, 5));
  deepEqual(levels, ["warn ", "debug", "debug"]);
});

test("what our own machine lacked is not said of the server", async () => {
  const it = setup();
  pushRecord(it.rings[2], probeRecord(PROBES[0], Reason.OutOfResources, EMFILE, 0, Verdict.Up, Verdict.Up));
  it.records.drainNow();
  deepEqual(await messages(it), [
    'debug health: server 10.0.0.1:9001 of upstream "app" was not checked, which says nothing about it: ' +
    "out_of_resources (EMFILE)",
  ]);
});

test("a check that is no longer there is not told and not kept", async () => {
  const it = setup();
  pushRecord(it.rings[2], probeRecord(99, Reason.Healthy, 0, 0, Verdict.Unchecked, Verdict.Up));
  it.records.drainNow();
  deepEqual(await messages(it), []);
  equal(it.fixture.sight.health.of(99), undefined);
});

test("pauses of accepting are told with cause and remedy", async () => {
  const it = setup();
  for (const errno of [EMFILE, ENFILE, ENOBUFS, 0]) {
    pushRecord(it.rings[0], {
      [Field.Kind]: RecordKind.AcceptPaused,
      [Field.AtMs]: NOW_MS,
      [Field.Errno]: errno,
    });
  }
  pushRecord(it.rings[0], { [Field.Kind]: RecordKind.AcceptResumed, [Field.AtMs]: NOW_MS, [Field.Errno]: 0 });
  it.records.drainNow();
  const lines = await messages(it);
  match(
    lines[0],
    /^warn {2}accept: paused: out of file descriptors \(EMFILE\); new connections wait .*; raise the limit \(ulimit -n/,
  );
  match(lines[1], /^warn {2}accept: paused: the system is out of file descriptors \(ENFILE\).*fs\.file-max$/);
  match(lines[2], /^warn {2}accept: paused: the kernel is out of memory for sockets \(ENOBUFS\)/);
  match(
    lines[3],
    /^warn {2}accept: paused: the limit of 1000 connections is reached; .*raise --max-connections/,
  );
  equal(lines[4], "info  accept: goes on: there is room for new connections again");
});

test("a limit of one connection is told as one", async () => {
  const { log, kept } = keptLog();
  tellAcceptPaused(log, NOW_MS, 1, 0, 1);
  await log.close(1_000);
  match(kept.text, /the limit of 1 connection is reached/);
});

test("a contained bug is an error line with its row", async () => {
  const it = setup();
  pushRecord(it.rings[1], { [Field.Kind]: RecordKind.Bug, [Field.AtMs]: NOW_MS, [Field.Detail]: 17 });
  it.records.drainNow();
  deepEqual(await messages(it), [
    "error bug: a bug ended one connection of reactor 2 (slot 17); the others go on; please report it",
  ]);
});

test("connections that died with their reactor come after what it had told", () => {
  const it = setup();
  pushRecord(it.rings[0], accessRecord());
  const peer = new Uint8Array(24);
  peer.set([4, 0, 0, 80, 192, 0, 2, 9]);
  it.records.lost([
    {
      room: 1,
      listener: LISTENER,
      upstream: UPSTREAM,
      server: SERVERS[0],
      peer,
      upBytes: 5,
      downBytes: 6,
      tried: 1,
      durationMs: 7.5,
    },
    {
      room: 1,
      listener: LISTENER,
      upstream: UPSTREAM,
      server: 0,
      peer: new Uint8Array(24),
      upBytes: 0,
      downBytes: 0,
      tried: 0,
      durationMs: 0,
    },
  ]);
  const lines = accessLines(it).map((line) => JSON.parse(line));
  deepEqual(lines.map(({ reason }) => reason), ["finished", "reactor_died", "reactor_died"]);
  deepEqual([lines[1].server, lines[1].up_bytes, lines[1].down_bytes, lines[1].client], [
    "10.0.0.1:9001",
    5,
    6,
    "192.0.2.9:80",
  ]);
  deepEqual([lines[1].tried, lines[1].duration_ms], [1, 7.5]);
  deepEqual([lines[2].server, lines[2].tried, lines[2].client], [null, 0, null]);
});

test("start drains soon after a bell, many records in few writes, and stops when it is told to", async () => {
  const it = setup();
  const stop = new AbortController();
  let writes = 0;
  const { ring } = it.accessLog, put = ring.putLines.bind(ring);
  ring.putLines = (lines) => {
    writes++;
    return put(lines);
  };
  it.records.start(stop.signal);
  await sleep(50);
  const began = performance.now();
  let pushed = 0;
  while (performance.now() - began < 500) {
    if (pushRecord(it.rings[pushed % 2], accessRecord())) pushed++;
    it.rings[0].ring();
    it.rings[1].ring();
    await sleep(1);
  }
  const ms = performance.now() - began;
  await sleep(100);
  equal(accessLines(it).length, pushed);
  ok(writes <= ms / 20 + 5, `${writes} writes in ${ms} ms`);
  ok(writes > 3, `${writes} writes`);

  pushRecord(it.rings[2], probeRecord(PROBES[0], Reason.Healthy, 0, 0, Verdict.Unchecked, Verdict.Up));
  it.rings[2].ring();
  await sleep(60);
  equal((await messages(it)).length, 1, "another ring after a sleep");

  stop.abort();
  pushRecord(it.rings[0], accessRecord());
  it.rings[0].ring();
  await sleep(60);
  equal(accessLines(it).length, 0, "nobody looks any more");
  it.records.drainNow();
  equal(accessLines(it).length, 1, "but drainNow does");
});

test("a bell that nobody rang does not hold records back for long", async () => {
  const it = setup();
  const stop = new AbortController();
  it.records.start(stop.signal);
  await sleep(20);
  pushRecord(it.rings[0], accessRecord()); // the reactor dies before the end of its turn
  await sleep(1_500);
  equal(accessLines(it).length, 1);
  stop.abort();
});

test("a ring that was full is drained whole and used again", () => {
  const it = setup();
  for (let round = 0; round < 3; round++) {
    let pushed = 0;
    while (pushRecord(it.rings[0], accessRecord({ [Field.UpBytes]: pushed }))) pushed++;
    equal(pushed, LOG_RECORDS);
    it.records.drainNow();
    const bytes = accessLines(it).map((line) => JSON.parse(line).up_bytes);
    deepEqual(bytes, Array.from({ length: LOG_RECORDS }, (_, index) => index));
  }
});

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
