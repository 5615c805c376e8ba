import { deepEqual, equal, ok } from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import {
  CAP_NET_BIND_SERVICE,
  cgroupTexts,
  hasCapability,
  isFiltered,
  limitOf,
  sysctl,
  thisMachine,
} from "../../../src/control/doctor/machine.ts";
import { libraryPath } from "../../../src/sys/library.ts";
import { MachineFact } from "../../../src/sys/symbols.ts";
import { Folder } from "../../support/folder.ts";
import { machineWith } from "./machine_fixture.ts";

test("this machine: files, facts, clocks", async () => {
  const machine = await thisMachine(libraryPath);
  equal(machine.libraryFlaw, "");
  equal(machine.fact(MachineFact.Epoll), 1);
  ok((limitOf(machine, "Max open files")?.hard ?? 0) > 0);
  ok((sysctl(machine, "net.ipv4.ip_local_port_range") ?? []).length === 2);
  equal(machine.read("/proc/self/no-such-file"), undefined);
  ok(machine.wallMs() > Date.UTC(2025, 0, 1));
  deepEqual(await machine.addressesOf("localhost").then((ips) => ips.length > 0), true);
});

test("a library that cannot be had is told, and nothing else breaks", async () => {
  const none = await thisMachine(() => {
    throw new Error("glibc 2.34 or newer is needed");
  });
  equal(none.libraryFlaw, "glibc 2.34 or newer is needed");
  equal(none.fact(MachineFact.Epoll), undefined);
  using folder = new Folder();
  writeFileSync(folder.at("libsluice.so"), "no library");
  const broken = await thisMachine(() => folder.at("libsluice.so"));
  ok(broken.libraryFlaw.length > 0);
});

test("mayCreateIn: a directory, one that is not ours, a file, nothing", async () => {
  const { mayCreateIn } = await thisMachine(libraryPath);
  using folder = new Folder();
  equal(mayCreateIn(folder.path), true);
  equal(mayCreateIn(folder.at("no/such")), undefined);
  writeFileSync(folder.at("file"), "");
  equal(mayCreateIn(folder.at("file")), undefined);
  if (process.getuid?.() === 0) return; // root may everything
  mkdirSync(folder.at("closed"));
  chmodSync(folder.at("closed"), 0o500);
  equal(mayCreateIn(folder.at("closed")), false);
});

test("limits, capabilities, filters", () => {
  const machine = machineWith({
    files: {
      "/proc/self/limits": "Max open files            1024                 unlimited            files",
      "/proc/self/status": "CapEff:\t0000000000000400\nSeccomp:\t2\n",
    },
  });
  deepEqual(limitOf(machine, "Max open files"), { soft: 1_024, hard: Infinity });
  equal(limitOf(machine, "Max address space"), undefined);
  equal(hasCapability(machine, CAP_NET_BIND_SERVICE), true);
  equal(hasCapability(machine, CAP_NET_BIND_SERVICE + 1), false);
  equal(hasCapability(machineWith({ files: { "/proc/self/status": undefined } }), 0), undefined);
  deepEqual([isFiltered(machine), isFiltered(machineWith())], [true, false]);
});

test("sysctl: one number, several, none, no number", () => {
  const files = { "/proc/sys/a/b": "1", "/proc/sys/a/c": "32768\t60999", "/proc/sys/a/d": "cubic" };
  const machine = machineWith({ files });
  deepEqual(["a.b", "a.c", "a.d", "a.e"].map((key) => sysctl(machine, key)), [
    [1],
    [32_768, 60_999],
    undefined,
    undefined,
  ]);
});

test("cgroupTexts: the group's own first, then those above it, of both versions", () => {
  const files = {
    "/proc/self/cgroup": "3:cpu,cpuacct:/a\n0::/x/y",
    "/sys/fs/cgroup/x/y/cpu.max": "1",
    "/sys/fs/cgroup/cpu.max": "2",
    "/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "3",
  };
  const which = { unified: "cpu.max", controller: "cpu", legacy: "cpu.cfs_quota_us" };
  deepEqual(cgroupTexts(machineWith({ files }), which), ["3", "1", "2"]);
  deepEqual(cgroupTexts(machineWith({ files: { "/proc/self/cgroup": undefined } }), which), []);
});
