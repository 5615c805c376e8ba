import { equal, match } from "node:assert/strict";
import { test } from "node:test";
import { kernelChecks } from "../../../src/control/doctor/kernel.ts";
import { EAFNOSUPPORT, EINVAL, ENOSYS, EPERM } from "../../../src/sys/errno.ts";
import { MachineFact } from "../../../src/sys/symbols.ts";
import { type Changes, checkOf, commandsOf, loadOn, machineWith } from "./machine_fixture.ts";

function look(name: string, changes: Changes = {}, file?: string, given = true) {
  const machine = machineWith(changes);
  return checkOf(kernelChecks(machine, loadOn(machine, file, given)), name);
}

test("a machine without faults has five checks, all well", () => {
  const machine = machineWith(), checks = kernelChecks(machine, loadOn(machine));
  equal(checks.map(({ name }) => name).join(), "kernel,glibc,processor,library,kernel features");
  for (const { name, verdict } of checks) equal(verdict, "ok", name);
  match(look("kernel features").found, /^epoll, splice, memfd, IPv6, SO_REUSEPORT, openat2, RWF_NOWAIT$/);
});

test("floors: kernel, glibc, processor", () => {
  const old = { files: { "/proc/sys/kernel/osrelease": "5.5.19", "/proc/cpuinfo": "flags\t\t: fpu sse2" } };
  equal(look("kernel", old).verdict, "fail");
  equal(look("processor", old).verdict, "fail");
  match(look("processor", old).found, /sse4_2 and popcnt/);
  equal(look("processor", { files: { "/proc/cpuinfo": "CPU architecture: 8" } }).verdict, "ok", "arm64");
  equal(look("kernel", { files: { "/proc/sys/kernel/osrelease": undefined } }).verdict, "note");
  equal(look("glibc", { facts: { [MachineFact.Glibc]: 2_033 } }).verdict, "fail");
  match(look("glibc").found, /^2\.36$/);
});

test("without the library that is the failure, and what hangs on it is not known", () => {
  const broken: Changes = { libraryFlaw: "glibc 2.34 or newer is needed", fact: () => undefined };
  equal(look("library", broken).verdict, "fail");
  match(look("library", broken).found, /^glibc 2\.34/);
  equal(look("glibc", broken).verdict, "note");
  equal(look("kernel features", broken).verdict, "note");
});

test("what does not work has a check of its own", () => {
  const reuseport =
    'accept: reuseport\nlisteners: { a: { bind: "tcp://10.0.0.9:9", to: u } }\nupstreams: { u: { servers: 10.0.0.1:9 } }\n';
  const four = reuseport.replace("reuseport", "balanced");
  const cases: [
    fact: MachineFact,
    name: string,
    file: string | undefined,
    given: boolean,
    verdict: string,
  ][] = [
    [MachineFact.Epoll, "epoll", undefined, false, "fail"],
    [MachineFact.Splice, "splice", undefined, false, "fail"],
    [MachineFact.Memfd, "memfd", undefined, false, "fail"],
    [MachineFact.DualStack, "IPv6", undefined, false, "warn"],
    [MachineFact.DualStack, "IPv6", undefined, true, "fail"],
    [MachineFact.DualStack, "IPv6", four, true, "warn"],
    [MachineFact.ReusePort, "SO_REUSEPORT", four, true, "note"],
    [MachineFact.ReusePort, "SO_REUSEPORT", reuseport, true, "fail"],
    [MachineFact.OpenAt2, "openat2", undefined, true, "note"],
    [MachineFact.ReadNoWait, "RWF_NOWAIT", undefined, true, "note"],
  ];
  for (const [fact, name, file, given, verdict] of cases) {
    const check = look(name, { facts: { [fact]: -EINVAL } }, file, given);
    equal(check.verdict, verdict, name);
    equal(check.found, "does not work: EINVAL");
    equal(look("kernel features", { facts: { [fact]: -EINVAL } }).found.includes(name), false);
  }
});

test("why it does not work decides what to do: a filter, no IPv6, an old kernel", () => {
  const filtered = { "/proc/self/status": "CapEff:\t0\nSeccomp:\t2" };
  const splice = (errno: number, files = {}) =>
    commandsOf(look("splice", { facts: { [MachineFact.Splice]: -errno }, files }));
  match(splice(EPERM, filtered), /seccomp filter pass splice, pipe2:/);
  match(splice(ENOSYS, filtered), /seccomp filter pass/);
  match(splice(EPERM), /^instead: a kernel that has it/);
  match(
    commandsOf(look("IPv6", { facts: { [MachineFact.DualStack]: -EAFNOSUPPORT } })),
    /^for good: no ipv6\.disable=1/,
  );
});

test("what only some configurations ask for is looked at for them alone", () => {
  const file = (listener: string, upstream: string) =>
    `listeners: { a: { bind: "tcp://10.0.0.9:9", to: u, socket: { ${listener} } } }\n` +
    `upstreams: { u: { servers: 10.0.0.1:9, ${upstream} } }\n`;
  const cases: [
    fact: MachineFact,
    errno: number,
    file: string,
    name: string,
    verdict: string,
    change: RegExp,
  ][] = [
    [MachineFact.Mptcp, EINVAL, file("mptcp: true", ""), "MPTCP", "warn", /sysctl -w net\.mptcp\.enabled=1/],
    [MachineFact.Transparent, EPERM, file("", "source: client"), "IP_TRANSPARENT", "fail", /CAP_NET_ADMIN/],
    [
      MachineFact.Transparent,
      EPERM,
      file("transparent: true", ""),
      "IP_TRANSPARENT",
      "fail",
      /cap_net_admin=\+ep/,
    ],
    [MachineFact.Device, EPERM, file("interface: eth0", ""), "SO_BINDTODEVICE", "fail", /./],
  ];
  for (const [fact, errno, text, name, verdict, change] of cases) {
    const check = look(name, { facts: { [fact]: -errno } }, text);
    equal(check.verdict, verdict, name);
    match(commandsOf(check), change);
    equal(look("kernel features", { facts: { [fact]: -errno } }).verdict, "ok", "nobody asked");
    match(look("kernel features", {}, text).found, new RegExp(name));
  }
});
