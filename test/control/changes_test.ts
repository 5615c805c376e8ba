import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { type Changes, changesBetween, isNothing } from "../../src/control/changes.ts";
import { parseRun } from "../../src/control/config/run.ts";
import type { Config } from "../../src/control/config/schema.ts";
import { among } from "./config/files.ts";

function configOf(text: string): Config {
  const parsed = parseRun(["run", "-c", "f", "--admin", "off"], among({ f: text }));
  if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

const BEFORE = `
listeners:
  a: { bind: "tcp://:1", to: one }
  b: { bind: "tcp://:2", to: two }
upstreams:
  one: { servers: [10.0.0.1:80, 10.0.0.1:80] }
  two: { servers: 10.0.0.2:80 }
`;

/** Signs before names: what came, what is gone, what is other than it was. */
function told({ listeners, upstreams, servers, settings }: Changes): Record<string, string[]> {
  const all = Object.entries({ listeners, upstreams, servers }).map(([kind, { added, removed, changed }]) => [
    kind,
    [
      ...added.map((name) => `+${name}`),
      ...removed.map((name) => `-${name}`),
      ...changed.map((name) => `~${name}`),
    ],
  ]);
  return Object.fromEntries([...all, ["settings", settings]].filter(([, names]) => names.length > 0));
}

describe("changesBetween", () => {
  const CASES: [what: string, before: string, after: string, told: Record<string, string[]>][] = [
    ["the same text", BEFORE, BEFORE, {}],
    [
      "another order of keys, and what is the default",
      BEFORE,
      BEFORE.replace('bind: "tcp://:2", to: two', 'to: two, on-remove: drain 30s, bind: "tcp://:2"'),
      {},
    ],
    [
      "a listener more",
      BEFORE,
      BEFORE.replace("upstreams:", '  c: { bind: "tcp://:3", to: one }\nupstreams:'),
      {
        listeners: ["+c"],
      },
    ],
    ["a listener less", BEFORE, BEFORE.replace(/ {2}b: .*\n/, '  a2: { bind: "tcp://:2", to: two }\n'), {
      listeners: ["+a2", "-b"],
    }],
    ["one that leads elsewhere", BEFORE, BEFORE.replace("to: one }", "to: two }"), { listeners: ["~a"] }],
    [
      "a server more is no change of its upstream",
      BEFORE,
      BEFORE.replace("[10.0.0.1:80, ", "[10.0.0.9:80, 10.0.0.1:80, "),
      {
        servers: ["+10.0.0.9:80 of one"],
      },
    ],
    ["one of two that are the same", BEFORE, BEFORE.replace("[10.0.0.1:80, 10.0.0.1:80]", "10.0.0.1:80"), {
      servers: ["-10.0.0.1:80 of one (2)"],
    }],
    ["a weight", BEFORE, BEFORE.replace("10.0.0.2:80", "10.0.0.2:80;weight=3"), {
      servers: ["~10.0.0.2:80 of two"],
    }],
    [
      "an upstream's own",
      BEFORE,
      BEFORE.replace("{ servers: 10.0.0.2:80", "{ health: off, servers: 10.0.0.2:80"),
      {
        upstreams: ["~two"],
      },
    ],
    ["defaults are told by those who inherit them", BEFORE, `${BEFORE}defaults: { on-remove: keep }\n`, {
      listeners: ["~a", "~b"],
      upstreams: ["~one", "~two"],
    }],
    ["a key of the process", BEFORE, `${BEFORE}log: { level: debug }\n`, { settings: ["log"] }],
  ];
  for (const [what, before, after, expected] of CASES) {
    it(what, () => {
      const changes = changesBetween(configOf(before), configOf(after));
      deepEqual(told(changes), expected);
      strictEqual(isNothing(changes), Object.keys(expected).length === 0);
    });
  }

  it("backwards, what came is gone", () => {
    const more = BEFORE.replace("upstreams:", '  c: { bind: "tcp://:3", to: one }\nupstreams:');
    deepEqual(told(changesBetween(configOf(more), configOf(BEFORE))), { listeners: ["-c"] });
  });
});
