import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import type { NameView } from "../../src/control/discovery.ts";
import { metricsText } from "../../src/control/metrics.ts";
import { Family } from "../../src/control/prometheus.ts";
import { LATENCY_BUCKETS, LIFE_BUCKETS } from "../../src/shared/histogram.ts";
import { Reason, REASON_COUNT } from "../../src/shared/reason.ts";
import { PER_LINE, Verdict } from "../../src/shared/servers.ts";
import { Count } from "../../src/shared/stats.ts";
import { scrape } from "../support/prometheus.ts";
import { CERTIFICATE, LISTENER, makeFixture, SERVERS, UPSTREAM } from "./sight_fixture.ts";

test("the strict reader refuses what is wrong", () => {
  const head = "# HELP a_total x\n# TYPE a_total counter\n", histogram = "# HELP h x\n# TYPE h histogram\n";
  const bad: [text: string, why: string][] = [
    [`${head}a_total 1`, "no newline at the end"],
    [`${head}a_total{x="1"} 1\na_total{x="1"} 2\n`, "a label set twice"],
    [`${head}a_total{x="1",y="2"} 1\na_total{y="2",x="1"} 2\n`, "a label set twice, in another order"],
    [`${head}a_total{x="a"b"} 1\n`, "a quote that is not escaped"],
    [`${head}a_total{x="a\\d"} 1\n`, "an unknown escape"],
    [`${head}b_total 1\n`, "a sample of another family"],
    [`${head}${head}`, "a family twice"],
    ["# TYPE a gauge\na 1\n", "no HELP"],
    ["# HELP a x\n# TYPE a counter\na 1\n", "a counter without _total"],
    [`${head}a_total -1\n`, "a counter below 0"],
    [`${head}a_total x\n`, "no number"],
    [`${histogram}h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n`, "a histogram without +Inf"],
    [`${histogram}h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`, "buckets that fall"],
    [`${histogram}h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n`, "a count that is not the last bucket"],
    [`${histogram}h_bucket{le="+Inf"} 1\nh_count 1\n`, "no sum"],
    [`${histogram}h 1\n`, "a histogram with a sample of its own name"],
  ];
  for (const [text, why] of bad) throws(() => scrape(text), Error, why);
  equal(scrape(`${head}a_total{x="a\\"\\\\\\n,}"} 1e+21\n`).samples.get('a_total{x="a\\"\\\\\\n,}"}'), 1e21);
});

test("counters are summed over reactors, gauges too", () => {
  const { sight, reactors } = makeFixture({ acceptQueue: { waiting: 3, max: 4_096, fullest: 3 / 4_096 } });
  const [first, second, health] = reactors;
  first.stats.listenerOpened[LISTENER] = 3;
  second.stats.listenerOpened[LISTENER] = 4;
  second.stats.listenerCurrent[LISTENER] = 2;
  first.stats.listenerUpBytes[LISTENER] = 2 ** 52;
  second.stats.listenerDownBytes[LISTENER] = 7;
  first.stats.serverOpened[SERVERS[0]] = 5;
  second.stats.serverFailed[SERVERS[0]] = 1;
  second.stats.serverDownBytes[SERVERS[2]] = 9;
  first.stats.ended[Reason.ConnectionRefused] = 1;
  second.stats.ended[Reason.ConnectionRefused] = 1;
  first.stats.count[Count.Bugs] = 1;
  second.stats.count[Count.Redispatches] = 6;
  health.stats.count[Count.ProbesLate] = 8;
  health.stats.count[Count.Turns] = 12;
  sight.shared.serverVerdict[SERVERS[1]] = Verdict.Down;
  sight.shared.reactorHanded[2 * PER_LINE] = 10;
  sight.shared.reactorEnded[2 * PER_LINE] = 8;
  const { samples } = scrape(metricsText(sight));
  const expected: [key: string, value: number][] = [
    ['sluice_listener_connections_total{bind="[::]:9000",listener="web"}', 7],
    ['sluice_listener_connections{bind="[::]:9000",listener="web"}', 2],
    ['sluice_listener_accept_queue{bind="[::]:9000",listener="web"}', 3],
    ['sluice_listener_accept_queue_max{bind="[::]:9000",listener="web"}', 4_096],
    ['sluice_listener_bytes_total{bind="[::]:9000",direction="up",listener="web"}', 2 ** 52],
    ['sluice_listener_bytes_total{bind="[::]:9000",direction="down",listener="web"}', 7],
    ['sluice_server_connects_total{server="10.0.0.1:9001",upstream="app"}', 5],
    ['sluice_server_connect_failures_total{server="10.0.0.1:9001",upstream="app"}', 1],
    ['sluice_server_bytes_total{direction="down",server="10.0.0.3:9001",upstream="app"}', 9],
    ['sluice_server_up{server="10.0.0.1:9001",upstream="app"}', 1],
    ['sluice_server_up{server="10.0.0.2:9001",upstream="app"}', 0],
    ['sluice_connections_ended_total{reason="connection_refused",type="connection_refused"}', 2],
    ['sluice_connections_ended_total{reason="finished",type=""}', 0],
    ["sluice_bugs_total{}", 1],
    ["sluice_redispatches_total{}", 6],
    ["sluice_checks_late_total{}", 8],
    ["sluice_reactor_deaths_total{}", 1],
    ["sluice_log_worker_deaths_total{}", 0],
    ["sluice_ready{}", 1],
    ["sluice_connections_max{}", 1000],
    ['sluice_reactor_turns_total{reactor="3",role="health"}', 12],
    ['sluice_reactor_connections{reactor="2",role="reactor"}', 2],
    ["process_start_time_seconds{}", Date.UTC(2026, 0, 2, 3, 4, 5, 678) / 1000],
  ];
  for (const [key, value] of expected) equal(samples.get(key), value, key);
  ok(
    !samples.has('sluice_reactor_connections{reactor="3",role="health"}'),
    "the health Worker has no clients",
  );
});

test("every host name has a gauge and a counter; without any, neither family is there", () => {
  const { sight } = makeFixture();
  ok(!metricsText(sight).includes("sluice_discovery"));
  const name = { ips: [], sinceMs: undefined, answeredAtMs: undefined, failure: undefined };
  const names = sight.names as Map<string, NameView>;
  names.set("a.example", { ...name, name: "a.example", resolves: true, failures: 2 });
  names.set("b.example", { ...name, name: "b.example", resolves: false, failures: 7 });
  names.set("c.example", { ...name, name: "c.example", resolves: undefined, failures: 0 });
  const { samples, types } = scrape(metricsText(sight));
  const of = (family: string) =>
    ["a", "b", "c"].map((host) => samples.get(`${family}{name="${host}.example"}`));
  deepEqual(of("sluice_discovery_up"), [1, 0, 0]);
  deepEqual(of("sluice_discovery_failures_total"), [2, 7, 0]);
  deepEqual([types.get("sluice_discovery_up"), types.get("sluice_discovery_failures_total")], [
    "gauge",
    "counter",
  ]);
});

test("every certificate says when it ends, and whether its files can be used", () => {
  ok(!metricsText(makeFixture().sight).includes("sluice_certificate"));
  const certificates = [
    CERTIFICATE,
    { ...CERTIFICATE, file: undefined, names: [], notAfter: CERTIFICATE.notAfter + 1_500 },
    { ...CERTIFICATE, file: "b.pem", names: ['b"'], problem: "the key is not the certificate's" },
  ];
  const { samples } = scrape(metricsText(makeFixture({ certificates }).sight));
  const until = Date.UTC(2026, 2, 1) / 1_000, shop = '{file="/etc/sluice/shop.pem",name="shop.example"}';
  equal(samples.get(`sluice_certificate_not_after_seconds${shop}`), until);
  equal(samples.get(`sluice_certificate_problem${shop}`), 0);
  equal(samples.get('sluice_certificate_not_after_seconds{file="",name=""}'), until + 1.5);
  equal(samples.get('sluice_certificate_problem{file="b.pem",name="b\\""}'), 1);
});

test("TLS handshakes are counted for both sides", () => {
  const { sight, reactors } = makeFixture();
  reactors[0].stats.count[Count.Handshakes] = 3;
  reactors[1].stats.count[Count.Handshakes] = 4;
  reactors[1].stats.count[Count.ServerHandshakes] = 5;
  const { samples } = scrape(metricsText(sight));
  equal(samples.get('sluice_tls_handshakes_total{side="client"}'), 7);
  equal(samples.get('sluice_tls_handshakes_total{side="server"}'), 5);
});

test("figures of the process are there and make sense", () => {
  const { samples } = scrape(metricsText(makeFixture().sight));
  const between: [key: string, min: number, max: number][] = [
    ["process_resident_memory_bytes{}", 10e6, 10e9],
    ["process_cpu_seconds_total{}", 0.001, 10_000],
    ["process_open_fds{}", 3, 100_000],
    ["process_max_fds{}", 64, Infinity],
  ];
  for (const [key, min, max] of between) {
    const value = samples.get(key) ?? NaN;
    ok(value >= min && value <= max, `${key} ${value}`);
  }
});

test("a server given twice is one label set: counts are added, up is the least", () => {
  const { sight, reactors } = makeFixture();
  const { directory, shared } = sight;
  for (const number of SERVERS) {
    directory.add("servers", {
      number,
      upstream: "app",
      target: "x",
      address: "10.0.0.1:9001",
      probe: 0,
      weight: 1,
      configuredWeight: 1,
      disabled: false,
      backup: false,
    });
    reactors[0].stats.serverOpened[number] = 10;
  }
  shared.serverVerdict[SERVERS[1]] = Verdict.Down;
  const { samples } = scrape(metricsText(sight));
  equal(samples.get('sluice_server_connects_total{server="10.0.0.1:9001",upstream="app"}'), 30);
  equal(samples.get('sluice_server_up{server="10.0.0.1:9001",upstream="app"}'), 0);
});

test("names with quotes, backslashes and newlines are escaped", () => {
  const upstream = 'a"b\\c\nd}';
  const { samples } = scrape(metricsText(makeFixture({ upstream }).sight));
  const key = `sluice_server_up{server="10.0.0.1:9001",upstream=${JSON.stringify(upstream)}}`;
  equal(samples.get(key), 1, [...samples.keys()].join("\n"));
});

test("a Family without values is not there at all", () => {
  equal(new Family("gauge", "x", "help").toString(), "");
  deepEqual(
    new Family("gauge", "x", "a\\b\nc").set({}, Infinity).set({ l: "1" }, -0.5).toString(),
    '# HELP x a\\\\b\\nc\n# TYPE x gauge\nx +Inf\nx{l="1"} -0.5\n',
  );
});

test("sluice_ready is what /readyz says", () => {
  const { sight } = makeFixture();
  const ready = () => /^sluice_ready (.*)$/m.exec(metricsText(sight))?.[1];
  equal(ready(), "1");
  for (const server of SERVERS) sight.shared.serverVerdict[server] = Verdict.Down;
  equal(ready(), "0");
});

test("times are told as histograms, by listener and upstream", () => {
  const { sight, reactors: [first, second] } = makeFixture();
  first.stats.upstreamConnects[UPSTREAM * LATENCY_BUCKETS + 2] = 3; // up to 1 ms
  second.stats.upstreamConnects[UPSTREAM * LATENCY_BUCKETS + 2] = 1;
  second.stats.upstreamConnects[UPSTREAM * LATENCY_BUCKETS + LATENCY_BUCKETS - 1] = 1;
  first.stats.upstreamConnectMs[UPSTREAM] = 2.5;
  second.stats.upstreamConnectMs[UPSTREAM] = 40_000;
  first.stats.listenerLives[LISTENER * LIFE_BUCKETS] = 2;
  const { samples, types } = scrape(metricsText(sight));
  equal(types.get("sluice_upstream_connect_seconds"), "histogram");
  const connects = (le: string) =>
    samples.get(`sluice_upstream_connect_seconds_bucket{le="${le}",upstream="app"}`);
  deepEqual([connects("0.0005"), connects("0.001"), connects("32.768"), connects("+Inf")], [0, 4, 4, 5]);
  equal(samples.get('sluice_upstream_connect_seconds_sum{upstream="app"}'), 40.0025);
  const lives = 'sluice_listener_connection_seconds_count{bind="[::]:9000",listener="web"}';
  equal(samples.get(lives), 2);
  ok(!types.has("sluice_listener_request_seconds"), "nobody speaks HTTP");
});

test("histograms of more listeners and upstreams than have their own are told together", () => {
  const { sight, reactors: [first] } = makeFixture();
  for (let number = 1; number <= 300; number++) {
    sight.directory.add("upstreams", { number, name: `u${number}`, servers: [], names: [] });
    first.stats.upstreamConnects[number * LATENCY_BUCKETS] = 1;
  }
  const { samples } = scrape(metricsText(sight));
  const counts = [...samples].filter(([key]) => key.startsWith("sluice_upstream_connect_seconds_count"));
  equal(counts.length, 257);
  equal(samples.get('sluice_upstream_connect_seconds_count{upstream="(others)"}'), 44);
  equal(samples.get('sluice_upstream_connect_seconds_count{upstream="u256"}'), 1);
});

test("reasons are told by listener as far as they have come, and which of them are refusals", () => {
  const { sight, reactors: [first, second] } = makeFixture();
  const at = LISTENER * REASON_COUNT;
  first.stats.listenerEnded[at + Reason.LimitReached] = 3;
  second.stats.listenerEnded[at + Reason.OutOfResources] = 1;
  second.stats.listenerEnded[at + Reason.ServerReset] = 4;
  const { samples } = scrape(metricsText(sight));
  const labels = 'bind="[::]:9000",listener="web"';
  const ended = [...samples.keys()].filter((key) => key.startsWith("sluice_listener_ended_total"));
  equal(ended.length, 3);
  equal(samples.get(`sluice_listener_ended_total{${labels},reason="server_reset"}`), 4);
  const refused = [...samples].filter(([key]) => key.startsWith("sluice_listener_refused_total"));
  deepEqual(refused.map(([, count]) => count), [3, 1]);
});

test("upstreams tell who waits, and how many of their servers are up", () => {
  const { sight } = makeFixture(), { shared } = sight;
  shared.upstreamWaiting[UPSTREAM] = 7;
  shared.serverVerdict[SERVERS[0]] = Verdict.Down;
  shared.serverVerdict[SERVERS[1]] = Verdict.Up;
  const { samples } = scrape(metricsText(sight));
  equal(samples.get('sluice_upstream_queued{upstream="app"}'), 7);
  const servers = ["up", "down", "unchecked"].map((health) =>
    samples.get(`sluice_upstream_servers{health="${health}",upstream="app"}`)
  );
  deepEqual(servers, [1, 1, 1]);
});
