import { equal, match } from "node:assert/strict";
import { test } from "node:test";
import { descriptorChecks } from "../../../src/control/doctor/descriptors.ts";
import { MachineFact } from "../../../src/sys/symbols.ts";
import { type Changes, checkOf, commandsOf, loadOn, machineWith } from "./machine_fixture.ts";

const NOFILE = "open files (nofile)", SYSTEM = "open files, system-wide", PIPES = "pipes for bulk streams";
const ASKING =
  'max-connections: 20000\nlisteners: { a: { bind: "tcp://:9", to: u } }\nupstreams: { u: { servers: 10.0.0.1:9 } }\n';

function look(name: string, changes: Changes = {}, file?: string) {
  const machine = machineWith(changes);
  return checkOf(descriptorChecks(machine, loadOn(machine, file)), name);
}

const limits = (soft: string, hard: string) => ({
  "/proc/self/limits": `Max open files            ${soft.padEnd(20)} ${hard.padEnd(20)} files`,
});

test("nofile: all, fewer than by default, fewer than asked for, none", () => {
  const cases: [soft: string, hard: string, file: string | undefined, verdict: string, says: RegExp][] = [
    ["1048576", "1048576", undefined, "ok", /1,048,576 fds carry 100,000 connections/],
    ["unlimited", "unlimited", undefined, "ok", /16,777,216 fds carry 100,000/],
    [
      "1024",
      "20000",
      undefined,
      "note",
      /20,000 fds carry [89],\d\d\d connections at once of the 100,000 .* by default/,
    ],
    ["1024", "20000", ASKING, "warn", /of the 20,000 that max-connections is$/],
    ["64", "64", undefined, "fail", /64 fds carry 0 connections/],
  ];
  for (const [soft, hard, file, verdict, says] of cases) {
    const check = look(NOFILE, { files: limits(soft, hard) }, file);
    equal(check.verdict, verdict, hard);
    match(check.limits, says);
  }
  match(look(NOFILE, { files: limits("1024", "20000") }).found, /^20,000 \(the hard limit, .* 1,024 to\)$/);
});

test("nofile: the commands give all that is asked for", () => {
  const check = look(NOFILE, { files: limits("1024", "20000") }, ASKING);
  const needed = Number(/LimitNOFILE=([0-9]+)/.exec(commandsOf(check))?.[1]);
  equal(look(NOFILE, { files: limits(`${needed}`, `${needed}`) }, ASKING).verdict, "ok");
  match(commandsOf(check), new RegExp(`ulimit -Hn ${needed};`));
  match(commandsOf(check), /for good: printf '\* - nofile [0-9]+\\nroot - nofile/);
  equal(commandsOf(check).includes("fs.nr_open"), false);
  const few = { ...limits("1024", "20000"), "/proc/sys/fs/nr_open": "20000" };
  match(commandsOf(look(NOFILE, { files: few }, ASKING)), /sysctl -w fs\.nr_open=[0-9]+/);
});

test("what cannot be read is a note, never a failure", () => {
  const check = look(NOFILE, { files: { "/proc/self/limits": undefined } });
  equal(check.verdict, "note");
  match(check.found, /\/proc\/self\/limits cannot be read here/);
  equal(look(SYSTEM, { files: { "/proc/sys/fs/file-max": undefined } }).verdict, "note");
  equal(look(PIPES, { files: { "/proc/sys/fs/pipe-max-size": undefined } }).verdict, "note");
});

test("fs.file-max: enough, too few, none left", () => {
  const cases: [max: string, used: string, verdict: string][] = [
    ["9223372036854775807", "2048\t0\t1", "ok"],
    ["100000", "2048\t0\t1", "warn"],
    ["100000", "99999\t0\t1", "fail"],
  ];
  for (const [max, used, verdict] of cases) {
    const files = { "/proc/sys/fs/file-max": max, "/proc/sys/fs/file-nr": used };
    equal(look(SYSTEM, { files }).verdict, verdict, max);
  }
});

test("pipes: privileged users have as many as they like, others by their pages", () => {
  const soft = { "/proc/sys/fs/pipe-user-pages-soft": "16384" };
  const root = { "/proc/self/status": "CapEff:\t000001ffffffffff" };
  const few = look(PIPES, { files: soft });
  equal(few.verdict, "note");
  match(few.found, /^1 MiB each, 64 of that size for this user$/);
  match(commandsOf(few), /sysctl -w fs\.pipe-user-pages-soft=[0-9]+/);
  equal(look(PIPES, { files: { ...soft, ...root } }).verdict, "ok");
  const larger = look(PIPES, { files: soft, facts: { [MachineFact.PageBytes]: 65_536 } });
  match(larger.found, /1,024 of that size/, "64 KiB a page");
});

test("pipes: smaller ones, by the limit on all or by what is left of a user's", () => {
  const small = look(PIPES, { files: { "/proc/sys/fs/pipe-max-size": "65536" } });
  equal(small.verdict, "note");
  match(small.found, /^64 KiB each/);
  match(commandsOf(small), /sysctl -w fs\.pipe-max-size=1048576/);
  equal(look(PIPES, { facts: { [MachineFact.PipeBytes]: 4_096 } }).verdict, "note");
});
