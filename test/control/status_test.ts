import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { NameView } from "../../src/control/discovery.ts";
import { statusOf } from "../../src/control/status.ts";
import { statusText } from "../../src/control/verbs/status.ts";
import { VERSION } from "../../src/control/version.ts";
import { Heard } from "../../src/shared/log_ring.ts";
import { Reason, REASON_COUNT } from "../../src/shared/reason.ts";
import { PER_LINE, Verdict } from "../../src/shared/servers.ts";
import { Count } from "../../src/shared/stats.ts";
import { ECONNREFUSED } from "../../src/sys/errno.ts";
import { asks, expectOf, text } from "./checks_fixture.ts";
import { CERTIFICATE, LISTENER, makeFixture, PROBES, SERVERS } from "./sight_fixture.ts";

const AT_MS = Date.UTC(2026, 0, 2, 4, 0, 0);
const RESULT = { clockMs: 0, durationMs: 1, streak: 0, errno: 0, heard: Heard.Nothing, heardNumber: 0 };

test("statusOf names the version, the process and the runtime", () => {
  const { sight } = makeFixture();
  const status = statusOf(sight);
  const root = new URL("../../package.json", import.meta.url);
  equal(status.version, JSON.parse(readFileSync(root, "utf8")).version);
  equal(status.version, VERSION);
  equal(status.pid, process.pid);
  equal(status.phase, "ready");
  equal(status.started, "2026-01-02T03:04:05.678Z");
  ok(status.uptime_seconds > 0);
  equal(status.runtime.name, "Deno" in globalThis ? "deno" : "bun");
  match(status.runtime.version, /^\d+\.\d+\.\d+/);
  equal(status.generation, 5);
  deepEqual(JSON.parse(JSON.stringify(status)), status, "nothing that JSON would lose");
});

test("statusOf lists certificates, with how long they last", () => {
  deepEqual(statusOf(makeFixture().sight).certificates, []);
  const now = Date.now(), day = 86_400_000;
  const certificates = [
    { ...CERTIFICATE, notAfter: now + 2.5 * day },
    { ...CERTIFICATE, file: undefined, upstreams: ["app"], notAfter: now - day / 2, problem: "gone" },
  ];
  const [first, second] = statusOf(makeFixture({ certificates }).sight).certificates;
  deepEqual(first, {
    names: ["shop.example", "*.shop.example"],
    listeners: ["web"],
    upstreams: [],
    file: "/etc/sluice/shop.pem",
    issuer: "An Authority",
    fingerprint: "ab".repeat(32),
    until: new Date(now + 2.5 * day).toISOString(),
    days_left: 2,
    problem: null,
  });
  deepEqual([second.file, second.upstreams, second.days_left, second.problem], [null, ["app"], -1, "gone"]);
});

test("statusOf tells who waits to be accepted, and what helps before there is no place", () => {
  const cases: [waiting: number, max: number, trouble: RegExp | undefined][] = [
    [0, 64, undefined],
    [57, 64, undefined],
    [
      58,
      64,
      /"web" \(\[::\]:9000\): 58 connections of at most 64 wait .* socket\.backlog .* net\.core\.somaxconn$/,
    ],
    [65, 64, /65 connections of at most 64 wait/], // the kernel takes one more
    [1, 1, /: 1 connection of at most 1 wait/],
  ];
  for (const [waiting, max, trouble] of cases) {
    const status = statusOf(makeFixture({ acceptQueue: { waiting, max, fullest: waiting / max } }).sight);
    deepEqual(status.listeners[0].accept_queue, { waiting, max, fullest: waiting / max });
    const told = status.trouble.filter((line) => line.includes("to be accepted"));
    equal(told.length, trouble === undefined ? 0 : 1, `${waiting} of ${max}`);
    if (trouble !== undefined) match(told[0], trouble);
    equal(
      /^LISTENER .* NOW +WAITING +TOTAL /m.test(statusText(status)),
      waiting > 0,
      "a column if anybody waits",
    );
  }
  const { trouble } = statusOf(makeFixture({ acceptQueue: { waiting: 64, max: 1_024, fullest: 1 } }).sight);
  ok(trouble.some((line) => line.includes("one reactor's queue is full")), trouble.join("\n"));
  const { listeners: [{ accept_queue }] } = statusOf(makeFixture().sight);
  equal(accept_queue, null, "the kernel does not tell");
});

test("statusOf sums counters over reactors", () => {
  const { sight, reactors } = makeFixture();
  const [first, second] = reactors;
  first.stats.count[Count.Opened] = 10;
  second.stats.count[Count.Opened] = 5;
  first.stats.listenerOpened[LISTENER] = 10;
  second.stats.listenerOpened[LISTENER] = 5;
  second.stats.listenerCurrent[LISTENER] = 1;
  second.stats.listenerEnded[LISTENER * REASON_COUNT + Reason.LimitReached] = 3;
  first.stats.listenerUpBytes[LISTENER] = 100;
  second.stats.listenerUpBytes[LISTENER] = 1;
  second.stats.serverFailed[SERVERS[1]] = 3;
  first.stats.ended[Reason.Finished] = 9;
  second.stats.ended[Reason.Finished] = 1;
  sight.shared.reactorHanded[1 * PER_LINE] = 4;
  sight.shared.reactorEnded[1 * PER_LINE] = 1;
  sight.shared.reactorGeneration[1] = 5;
  const status = statusOf(sight);
  deepEqual(status.totals.connections, { now: 3, max: 1000, total: 15 });
  deepEqual(status.totals.bytes, { up: 101, down: 0, spliced: 0 });
  deepEqual(status.totals.ended, { finished: 10 });
  equal(status.totals.reactor_deaths, 1);
  deepEqual(status.listeners, [{
    name: "web",
    bind: "[::]:9000",
    upstream: "app",
    connections: { now: 1, total: 15 },
    accept_queue: null,
    refused: { limit_reached: 3 },
    requests: 0,
    bytes: { up: 101, down: 0 },
    datagrams: { up: 0, down: 0 },
  }]);
  equal(status.upstreams[0].servers[1].connections.failed, 3);
  deepEqual(
    status.reactors.map(({ room, role, generation, connections }) => [room, role, generation, connections]),
    [
      [1, "reactor", 5, { now: 3, total: 10 }],
      [2, "reactor", 0, { now: 0, total: 5 }],
      [3, "health", 0, { now: 0, total: 0 }],
    ],
  );
});

test("statusOf says why a server is down, since when, and what was last heard", () => {
  const { sight } = makeFixture();
  const { health, shared } = sight;
  const result = { ...RESULT, probe: PROBES[0] };
  health.note({ ...result, atMs: AT_MS, reason: Reason.Healthy, verdict: Verdict.Up });
  const [before] = statusOf(sight).upstreams[0].servers;
  equal(before.health, "unchecked", "what the reactors go by counts");
  shared.serverVerdict[SERVERS[0]] = Verdict.Up;
  const [up, unchecked] = statusOf(sight).upstreams[0].servers;
  deepEqual([up.health, up.since, up.why], ["up", "2026-01-02T04:00:00.000Z", null]);
  deepEqual([unchecked.health, unchecked.since, unchecked.why, unchecked.last_check], [
    "unchecked",
    null,
    null,
    null,
  ]);

  const refused = { ...result, reason: Reason.ConnectionRefused, errno: ECONNREFUSED };
  health.note({ ...refused, atMs: AT_MS + 500, verdict: Verdict.Up });
  shared.serverVerdict[SERVERS[0]] = Verdict.Down;
  const [told] = statusOf(sight).upstreams[0].servers;
  equal(told.why?.reason, "connection_refused", "the verdict is there before the word of what made it");
  health.note({ ...refused, atMs: AT_MS + 1_000, verdict: Verdict.Down });
  health.note({ ...result, atMs: AT_MS + 9_000, reason: Reason.NoAnswer, verdict: Verdict.Down });
  shared.serverVerdict[SERVERS[0]] = Verdict.Down;
  const [down] = statusOf(sight).upstreams[0].servers;
  deepEqual({ ...down, connections: 0, bytes: 0 }, {
    address: "10.0.0.1:9001",
    target: "app1:9001",
    health: "down",
    since: "2026-01-02T04:00:01.000Z",
    why: {
      at: "2026-01-02T04:00:01.000Z",
      reason: "connection_refused",
      text: "the server refused the connection",
      errno: "ECONNREFUSED",
      status: null,
    },
    last_check: {
      since: "2026-01-02T04:00:09.000Z",
      reason: "no_answer",
      text: "no answer in time",
      errno: null,
      status: null,
    },
    weight: 1,
    configured_weight: 1,
    slow_start: null,
    slow_start_until: null,
    backup: false,
    drained: false,
    disabled: false,
    avoided_until: null,
    full: false,
    latency_ms: null,
    connections: 0,
    requests: 0,
    bytes: 0,
  });
});

test("statusOf says which answer took a server out, and which one came last", () => {
  const { sight: { directory, health, shared }, sight } = makeFixture();
  expectOf(directory, PROBES[0], { http: asks([200, 299]), expect: undefined });
  const result = { ...RESULT, probe: PROBES[0], reason: Reason.UnexpectedAnswer, verdict: Verdict.Down };
  health.note({ ...result, atMs: AT_MS, heard: Heard.Status, heardNumber: 500 });
  health.note({ ...result, atMs: AT_MS + 1_000, heard: Heard.Status, heardNumber: 503 });
  shared.serverVerdict[SERVERS[0]] = Verdict.Down;
  const [{ since, why, last_check }] = statusOf(sight).upstreams[0].servers;
  equal(since, "2026-01-02T04:00:00.000Z");
  const heard = { reason: "unexpected_answer", errno: null };
  deepEqual(why, {
    at: "2026-01-02T04:00:00.000Z",
    ...heard,
    text: "status 500, expected 200-299",
    status: 500,
  });
  deepEqual(last_check, {
    since: "2026-01-02T04:00:01.000Z",
    ...heard,
    text: "status 503, expected 200-299",
    status: 503,
  });
});

test("statusOf tells of an answer that did not come whole in time that there was one", () => {
  const { sight: { directory, health }, sight } = makeFixture();
  expectOf(directory, PROBES[0], { http: undefined, expect: text("PONG") });
  const result = { ...RESULT, probe: PROBES[0], reason: Reason.NoAnswer, verdict: Verdict.Down };
  health.note({ ...result, atMs: AT_MS, heard: Heard.Without });
  const [{ last_check }] = statusOf(sight).upstreams[0].servers;
  equal(last_check?.text, 'no answer in time: the answer does not contain "PONG" as far as it came');
});

test("statusOf shows the host names of an upstream: what holds, since when, and the last failure", () => {
  const { sight } = makeFixture();
  deepEqual(statusOf(sight).upstreams[0].names, [], "one that Discovery does not know yet");
  const name = { name: "app1", ips: ["10.0.0.1"], failures: 0, failure: undefined };
  const names = sight.names as Map<string, NameView>;
  const show = (view: NameView) => {
    names.set("app1", view);
    names.set("another.upstreams", { ...view, name: "another.upstreams" });
    return statusOf(sight).upstreams[0].names;
  };
  const nothing = { resolves: undefined, sinceMs: undefined, answeredAtMs: undefined };
  const unknown = {
    name: "app1",
    addresses: [],
    resolves: null,
    since: null,
    last_answer: null,
    last_failure: null,
  };
  deepEqual(show({ ...name, ...nothing, ips: [] }), [unknown]);
  const answered = { resolves: false, sinceMs: AT_MS + 1_000, answeredAtMs: AT_MS };
  deepEqual(show({ ...name, ...answered, failure: { atMs: AT_MS + 3_000, why: "ESERVFAIL" } }), [{
    name: "app1",
    addresses: ["10.0.0.1"],
    resolves: false,
    since: "2026-01-02T04:00:01.000Z",
    last_answer: "2026-01-02T04:00:00.000Z",
    last_failure: { at: "2026-01-02T04:00:03.000Z", why: "ESERVFAIL" },
  }]);
});

test("retain forgets checks whose numbers are free again", () => {
  const { sight } = makeFixture();
  for (const probe of PROBES) {
    sight.health.note({ ...RESULT, probe, atMs: AT_MS, reason: Reason.Healthy, verdict: Verdict.Up });
  }
  sight.health.retain(new Set([PROBES[1]]));
  deepEqual(PROBES.map((probe) => sight.health.of(probe) !== undefined), [false, true, false]);
});
