import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { nameChecks } from "../../../src/control/doctor/names.ts";
import { type Changes, checkOf, commandsOf, loadOn, machineWith } from "./machine_fixture.ts";

const NAMES = "names of the file";

async function look(name: string, changes: Changes, servers: string, given = true) {
  const machine = machineWith(changes);
  const file = `listeners: { a: { bind: "tcp://:9", to: u } }\nupstreams: { u: { servers: [${servers}] } }\n`;
  return checkOf(await nameChecks(machine, loadOn(machine, file, given)), name);
}

const fails = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));

test("name servers: listed; none matters where names are", async () => {
  const none = { files: { "/etc/resolv.conf": "search example.org" } };
  const listed = await look("name servers", {}, '"10.0.0.1:9"');
  deepEqual([listed.found, listed.verdict], ["192.0.2.53, 192.0.2.54", "ok"]);
  equal((await look("name servers", none, '"10.0.0.1:9"')).verdict, "note");
  equal((await look("name servers", none, '"a.example:9"')).verdict, "warn");
});

test("names: each is asked once; none is asked without a file", async () => {
  const asked: string[] = [];
  const addressesOf = (name: string) => {
    asked.push(name);
    return Promise.resolve(["192.0.2.1"]);
  };
  const check = await look(
    NAMES,
    { addressesOf },
    '"a.example:9", "b.example:9", "a.example:8", "10.0.0.1:9"',
  );
  deepEqual(asked, ["a.example", "b.example"]);
  equal(check.verdict, "ok");
  match(check.found, /^2 of 2 names resolve, the slowest, [ab]\.example, took \d+ ms$/);
  const unasked = look(NAMES, { addressesOf }, '"c.example:9"', false);
  await rejects(unasked, /0 checks are called/);
  equal(asked.length, 2);
});

test("names that do not resolve, or have no address: which, and why", async () => {
  const lost = await look(NAMES, { addressesOf: fails("ENOTFOUND") }, '"a.example:9", "b.example:9"');
  equal(lost.verdict, "warn");
  match(lost.found, /^0 of 2 names resolve/);
  match(lost.limits, /^a\.example: ENOTFOUND; b\.example: ENOTFOUND\. Sluice starts without those servers/);
  match(commandsOf(lost), /^now: getent ahosts a\.example /);
  const empty = await look(NAMES, { addressesOf: () => Promise.resolve([]) }, '"a.example:9"');
  match(empty.limits, /^a\.example: no address\./);
  const many = Array.from({ length: 9 }, (_, at) => `"n${at}.example:9"`).join(", ");
  match(
    (await look(NAMES, { addressesOf: fails("ESERVFAIL") }, many)).limits,
    /n3\.example: ESERVFAIL; and 5 more\./,
  );
});

test("a name without an answer is given up after two seconds, all at the same time", async () => {
  const startMs = performance.now();
  const check = await look(
    NAMES,
    { addressesOf: () => new Promise(() => {}) },
    '"a.example:9", "b.example:9"',
  );
  const tookMs = performance.now() - startMs;
  ok(tookMs > 1_900 && tookMs < 3_900, `${tookMs} ms`);
  match(check.limits, /a\.example: no answer within 2 s; b\.example: no answer within 2 s/);
});

test("a slow answer is told", async () => {
  let ms = 0;
  const check = await look(NAMES, { monotonicMs: () => ms += 900 }, '"a.example:9"');
  deepEqual([check.verdict, /took 900 ms$/.test(check.found)], ["note", true]);
});
