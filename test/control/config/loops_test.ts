import { deepEqual, equal, ok } from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { LISTENERS_MAX } from "../../../src/base/limits.ts";
import { findLoops } from "../../../src/control/config/loops.ts";
import { type Config, configSchema } from "../../../src/control/config/schema.ts";

/** The addresses of a machine with one interface. */
const LOCAL = new Set(["127.0.0.1", "::1", "192.0.2.7", "2001:db8::7", "fe80::7%eth0", "fe80::7%2"]);

type Given = readonly [bind: string, ...targets: string[]];

/** Listeners a, b, c, ..., each with an upstream of its own. Binds are joined by commas. */
function configOf(...listeners: Given[]): Config {
  const named = listeners.map((given, at) => [String.fromCharCode(97 + at), given] as const);
  return configSchema.parse({
    listeners: Object.fromEntries(named.map(([name, [bind]]) => [name, { bind: bind.split(","), to: name }])),
    upstreams: Object.fromEntries(named.map(([name, [, ...servers]]) => [name, { servers }])),
  }) as Config;
}

test("findLoops knows a listener that is its own target, and only what is certain", () => {
  const cases: [given: Given, loops: boolean, why: string][] = [
    [["tcp://127.0.0.1:9000", "127.0.0.1:9000"], true, "the very address"],
    [["tcp://127.0.0.1:9000", "127.0.0.1:9001"], false, "another port"],
    [["tcp://127.0.0.1:9000", "127.0.0.2:9000"], false, "another address of loopback"],
    [["tcp://127.0.0.1:0", "127.0.0.1:1"], false, "a port that is not known yet"],
    [["tcp://localhost:9000", "127.0.0.1:9000"], true, "localhost where one listens"],
    [["tcp://127.0.0.1:9000", "localhost:9000"], true, "localhost as a target"],
    [["tcp://[::1]:9000", "localhost:9000"], false, "localhost need not be ::1"],
    [["tcp://[::1]:9000", "[0:0::1]:9000"], true, "IPv6, otherwise written"],
    [["tcp://127.0.0.1:9000", "[::ffff:127.0.0.1]:9000"], true, "IPv4-mapped target"],
    [["tcp://[::ffff:127.0.0.1]:9000", "127.0.0.1:9000"], true, "IPv4-mapped listener"],
    [["tcp://:9000", "127.0.0.1:9000"], true, "the IPv6 wildcard takes IPv4"],
    [["tcp://:9000", "127.1.2.3:9000"], true, "all of 127/8 is this machine"],
    [["tcp://:9000", "[::1]:9000"], true, "the IPv6 wildcard"],
    [["tcp://0.0.0.0:9000", "127.0.0.1:9000"], true, "the IPv4 wildcard"],
    [["tcp://0.0.0.0:9000", "[::1]:9000"], false, "the IPv4 wildcard takes no IPv6"],
    [["tcp://:9000", "192.0.2.7:9000"], true, "an address of an interface"],
    [["tcp://:9000", "[2001:db8::7]:9000"], true, "an IPv6 address of an interface"],
    [["tcp://:9000", "[fe80::7%eth0]:9000"], true, "a link-local address of an interface"],
    [["tcp://:9000", "[fe80::7%2]:9000"], true, "the same, its scope as a number"],
    [["tcp://:9000", "[fe80::7%eth1]:9000"], false, "somebody else on another link"],
    [["tcp://:9000", "192.0.2.8:9000"], false, "another machine"],
    [["tcp://192.0.2.7:9000", "127.0.0.1:9000"], false, "another address of this machine"],
    [["tcp://127.0.0.1:9000", "0.0.0.0:9000"], true, "a connect to the wildcard goes to loopback"],
    [["tcp://[::1]:9000", "[::]:9000"], true, "a connect to the IPv6 wildcard as well"],
    [["tcp://192.0.2.7:9000", "0.0.0.0:9000"], false, "but not to an interface"],
    [["tcp://:9000", "a.example:9000"], false, "a name may be anybody"],
    [["tcp://a.example:9000", "a.example:9000"], true, "the same name at both ends"],
    [["tcp://a.example:9000", "b.example:9000"], false, "another name"],
    [["tcp://a.example:9000", "127.0.0.1:9000"], false, "a name as listener"],
    [["unix:/run/a", "unix:/run/a"], true, "the same path"],
    [["unix:/run/a?protocol=tcp", "unix:/run/./a"], true, "the same path, otherwise written"],
    [["unix:a", `unix:${process.cwd()}/a`], true, "a relative path"],
    [["unix:/run/a", "unix:/run/b"], false, "another path"],
    [["unix:/run/a", "unix:/run/x/../a"], false, "x may be a link to elsewhere"],
    [["tcp://:1,unix:/run/a", "10.0.0.1:1", "unix:/run/a"], true, "one of several binds and targets"],
  ];
  for (const [given, loops, why] of cases) {
    equal(findLoops(configOf(given), LOCAL).length, loops ? 1 : 0, `${given.join(" -> ")}: ${why}`);
  }
});

test("findLoops follows targets from listener to listener", () => {
  const cases: [given: Given[], want: string[], why: string][] = [
    [[["tcp://:1", "127.0.0.1:2"], ["tcp://:2", "10.0.0.1:2"]], [], "a chain is none"],
    [
      [["tcp://:1", "127.0.0.1:3"], ["tcp://:2", "127.0.0.1:3"], ["tcp://:3", "10.0.0.1:2"]],
      [],
      "two that lead to one",
    ],
    [
      [["tcp://:1", "127.0.0.1:2"], ["tcp://:2", "10.0.0.1:2", "127.0.0.1:1"]],
      ['upstreams/b/servers/1 "127.0.0.1:1" is listener "a", which leads back here'],
      "there and back",
    ],
    [
      [["tcp://:1", "unix:/b"], ["unix:/b", "127.0.0.1:3"], ["tcp://:3", "unix:/d"], ["unix:/d", "[::1]:1"]],
      ['upstreams/d/servers/0 "[::1]:1" is listener "a", which leads back here by "b" and "c"'],
      "a long way",
    ],
    [
      [["tcp://:1", "127.0.0.1:2"], ["tcp://:2", "127.0.0.1:2", "127.0.0.1:1"]],
      [
        'upstreams/b/servers/0 "127.0.0.1:2" is listener "b" itself',
        'upstreams/b/servers/1 "127.0.0.1:1" is listener "a", which leads back here',
      ],
      "two circles",
    ],
  ];
  for (const [given, want, why] of cases) {
    const found = findLoops(configOf(...given), LOCAL);
    const told = found.map(({ path, what }) => `${path.join("/")} ${what.replace(/: a connection.*/, "")}`);
    deepEqual(told, want, why);
  }
});

test("findLoops asks the system for its addresses", () => {
  for (const entry of Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])) {
    if (entry.family !== "IPv4") continue;
    equal(findLoops(configOf(["tcp://:9000", `${entry.address}:9000`])).length, 1, entry.address);
  }
});

test("as many listeners as there may be, in one circle, are followed in a moment and not all named", () => {
  const row = Array.from({ length: LISTENERS_MAX }, (_, at): Given => [
    `tcp://:${at + 1}`,
    `127.0.0.1:${(at + 1) % LISTENERS_MAX + 1}`,
  ]);
  const raw = {
    listeners: Object.fromEntries(row.map(([bind], at) => [`l${at}`, { bind, to: `u${at}` }])),
    upstreams: Object.fromEntries(row.map(([, ...servers], at) => [`u${at}`, { servers }])),
  };
  const config = configSchema.parse(raw) as Config;
  const from = performance.now();
  deepEqual(findLoops(config, LOCAL).map(({ what }) => what.replace(/: a connection.*/, "")), [
    `"127.0.0.1:1" is listener "l0", which leads back here by ${LISTENERS_MAX - 2} others`,
  ]);
  ok(performance.now() - from < 5_000, `${performance.now() - from} ms`);
});
