import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import type { Path } from "../../../src/control/config/finding.ts";
import { keysIn, meantBy, unknownKey } from "../../../src/control/config/known_keys.ts";

const L = ["listeners", "web"], R = [...L, "routes", 0], U = ["upstreams", "api"];

test("an unknown key is a slip, a key of another place, another's word, one of later, or nothing known", () => {
  const cases: [path: Path, key: string, what: string, remedy: string][] = [
    [[], "listners", 'unknown key "listners"', 'did you mean "listeners"?'],
    [[], "drain_timeout", 'unknown key "drain_timeout"', 'did you mean "drain-timeout"?'],
    [[], "stores", '"stores" is not supported in this version', "leave it out"],
    [[], "level", '"level" belongs to log', "write it under log"],
    [[], "body-max", '"body-max" belongs to a route', "write it under listeners.NAME.routes"],
    [L, "access", '"access" belongs to log', "write it under log"],
    [L, "servers", '"servers" belongs to an upstream', "write it under upstreams.NAME"],
    [L, "redirect", '"redirect" belongs to a route', "write it under routes"],
    [L, "host", '"host" belongs to match', "write it under routes.match"],
    [L, "listen", 'unknown key "listen"', 'did you mean "bind"?'],
    [
      [...L, "timeouts"],
      "connect",
      '"connect" belongs to an upstream',
      "write it under upstreams.NAME.timeouts",
    ],
    [R, "strip-prefix", '"strip-prefix" belongs to rewrite', "write it under rewrite"],
    [R, "proxy_pass", 'unknown key "proxy_pass"', 'did you mean "to"?'],
    [[...R, "match"], "headers", 'unknown key "headers"', 'did you mean "header"?'],
    [U, "timeout", 'unknown key "timeout"', 'did you mean "timeouts"?'],
    [U, "interval", '"interval" belongs to health', "write it under health"],
    [U, "weight", '"weight" belongs to a server', "write it under servers"],
    [
      U,
      "colour",
      'unknown key "colour"',
      "the keys here are balance, servers, slow-start, health, keep-alive, send-proxy, tls, source, socket, on-remove, timeouts",
    ],
  ];
  for (const [path, key, what, remedy] of cases) {
    const found = unknownKey(path, key, { [key]: 1 });
    deepEqual([found.what, found.remedy, found.path], [what, remedy, [...path, key]], key);
  }
});

test("a key that is not indented is part of the section above, if it could be", () => {
  const section = { log: null, level: "info", listeners: null, web: { bind: "http://:80" }, colour: 1 };
  const remedies = ["level", "web", "colour"].map((key) => unknownKey([], key, section).remedy);
  deepEqual(remedies.map((remedy) => remedy.slice(0, 34)), [
    "indent it, to be a part of log",
    "indent it, to be a part of listene",
    "the keys here are include, reactor",
  ]);
});

test("meantBy takes what is near, or else the one that begins alike", () => {
  const cases: [word: string, candidates: string[], want: string | undefined][] = [
    ["wran", ["debug", "warn"], "warn"],
    ["warning", ["debug", "warn"], "warn"],
    ["conn", ["connections", "other"], "connections"],
    ["health-up", ["health", "health-check"], "health"],
    ["serv", ["servers", "service"], undefined],
    ["war", ["warnings"], undefined],
  ];
  for (const [word, candidates, want] of cases) deepEqual(meantBy(word, candidates), want, word);
});

test("keysIn", () => {
  deepEqual(keysIn([...L, "routes", 3, "redirect"]), ["to", "status"]);
  deepEqual(keysIn(["listeners"]), []);
});
