import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { NameView } from "../../src/control/discovery.ts";
import { statusOf } from "../../src/control/status.ts";
import { VERSION } from "../../src/control/version.ts";
import { Reason } from "../../src/shared/reason.ts";
import { PER_LINE, Verdict } from "../../src/shared/servers.ts";
import { Count } from "../../src/shared/stats.ts";
import { ECONNREFUSED } from "../../src/sys/errno.ts";
import { LISTENER, makeFixture, PROBES, SERVERS } from "./sight_fixture.ts";

const AT_MS = Date.UTC(2026, 0, 2, 4, 0, 0);

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

test("statusOf sums counters over reactors", () => {
  const { sight, reactors } = makeFixture();
  const [first, second] = reactors;
  first.stats.count[Count.Opened] = 10;
  second.stats.count[Count.Opened] = 5;
  first.stats.listenerOpened[LISTENER] = 10;
  second.stats.listenerOpened[LISTENER] = 5;
  second.stats.listenerCurrent[LISTENER] = 1;
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
    bytes: { up: 101, down: 0 },
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
  const result = { probe: PROBES[0], durationMs: 1, streak: 0, errno: 0 };
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
    },
    last_check: {
      since: "2026-01-02T04:00:09.000Z",
      reason: "no_answer",
      text: "no answer in time",
      errno: null,
    },
    connections: 0,
    bytes: 0,
  });
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
    sight.health.note({
      probe,
      atMs: AT_MS,
      reason: Reason.Healthy,
      errno: 0,
      durationMs: 1,
      streak: 0,
      verdict: Verdict.Up,
    });
  }
  sight.health.retain(new Set([PROBES[1]]));
  deepEqual(PROBES.map((probe) => sight.health.of(probe) !== undefined), [false, true, false]);
});
