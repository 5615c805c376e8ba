import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import type { NameView } from "../../src/control/discovery.ts";
import { metricsText } from "../../src/control/metrics.ts";
import { Family } from "../../src/control/prometheus.ts";
import { Reason } from "../../src/shared/reason.ts";
import { PER_LINE, Verdict } from "../../src/shared/servers.ts";
import { Count } from "../../src/shared/stats.ts";
import { CERTIFICATE, LISTENER, makeFixture, SERVERS } from "./sight_fixture.ts";

interface Scrape {
  readonly types: Map<string, string>;
  /** By `name{labels}` with the labels sorted. */
  readonly samples: Map<string, number>;
}

/** A strict reader of the text format 0.0.4: one HELP, one TYPE, then the family's samples, each label set
 * once. Throws at anything else. */
function scrape(text: string): Scrape {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const types = new Map<string, string>(), samples = new Map<string, number>();
  let family = "", helped = "";
  for (const line of text.split("\n").slice(0, -1)) {
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\\n]|\\\\|\\n)*)$/.exec(line);
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (help !== null) {
      if (types.has(help[1])) throw new Error(`a family twice: ${line}`);
      helped = help[1];
    } else if (type !== null) {
      if (types.has(type[1]) || helped !== type[1]) throw new Error(`TYPE out of place: ${line}`);
      family = type[1];
      types.set(family, type[2]);
      if (type[2] === "counter" && !family.endsWith("_total")) {
        throw new Error(`a counter without _total: ${line}`);
      }
    } else {
      const [key, value] = sample(line, family);
      if (samples.has(key)) throw new Error(`a label set twice: ${line}`);
      if (types.get(family) === "counter" && !(value >= 0)) throw new Error(`a counter below 0: ${line}`);
      samples.set(key, value);
    }
  }
  return { types, samples };
}

function sample(line: string, family: string): [key: string, value: number] {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null || match[1] !== family) throw new Error(`not a sample of ${family}: ${line}`);
  const labels: [string, string][] = [];
  let rest = match[2] ?? "";
  while (rest !== "") {
    const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,(?=.)|$)/.exec(rest);
    if (pair === null) throw new Error(`bad labels: ${line}`);
    if (labels.some(([name]) => name === pair[1])) throw new Error(`a label twice: ${line}`);
    labels.push([pair[1], pair[2].replace(/\\(.)/g, (_, next: string) => next === "n" ? "\n" : next)]);
    rest = rest.slice(pair[0].length);
  }
  if (!/^([+-]Inf|NaN|-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)$/.test(match[3])) {
    throw new Error(`bad value: ${line}`);
  }
  const value = match[3].endsWith("Inf") ? Infinity * (match[3][0] === "-" ? -1 : 1) : Number(match[3]);
  const sorted = labels.sort(([a], [b]) => a < b ? -1 : 1).map(([name, text]) =>
    `${name}=${JSON.stringify(text)}`
  );
  return [`${family}{${sorted.join(",")}}`, value];
}

test("the strict reader refuses what is wrong", () => {
  const head = "# HELP a_total x\n# TYPE a_total counter\n";
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
  ];
  for (const [text, why] of bad) throws(() => scrape(text), Error, why);
  equal(scrape(`${head}a_total{x="a\\"\\\\\\n,}"} 1e+21\n`).samples.get('a_total{x="a\\"\\\\\\n,}"}'), 1e21);
});

test("counters are summed over reactors, gauges too", () => {
  const { sight, reactors } = makeFixture();
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
