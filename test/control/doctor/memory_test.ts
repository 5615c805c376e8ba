import { equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { memoryChecks, tableBytesOfConnection } from "../../../src/control/doctor/memory.ts";
import { checkOf, commandsOf, type Files, loadOn, machineWith } from "./machine_fixture.ts";

function look(name: string, files: Files = {}, file?: string) {
  const machine = machineWith({ files });
  return checkOf(memoryChecks(machine, loadOn(machine, file)), name);
}

const GROUP = "/sys/fs/cgroup/system.slice/sluice.service";
const ASKING =
  'max-connections: 100000\nlisteners: { a: { bind: "tcp://:9", to: u } }\nupstreams: { u: { servers: 10.0.0.1:9 } }\n';
const reactors = (count: number) => `reactors: ${count}\n${ASKING}`;

test("memory: what is there, what a control group leaves of it", () => {
  const cases: [files: Files, file: string | undefined, verdict: string][] = [
    [{}, undefined, "ok"],
    [{ "/proc/meminfo": "MemAvailable:     512000 kB" }, undefined, "note"],
    [{ "/proc/meminfo": "MemAvailable:     512000 kB" }, ASKING, "warn"],
    [{ "/proc/meminfo": "MemAvailable:     200000 kB" }, undefined, "warn"],
    [{ "/proc/meminfo": "MemAvailable:      50000 kB" }, undefined, "fail"],
    [{ [`${GROUP}/memory.max`]: "max" }, undefined, "ok"],
    [{ [`${GROUP}/memory.max`]: "536870912" }, undefined, "note"],
    [
      { [`${GROUP}/memory.max`]: "max", "/sys/fs/cgroup/system.slice/memory.max": "536870912" },
      undefined,
      "note",
    ],
    [{ "/proc/meminfo": undefined }, undefined, "note"],
  ];
  for (const [files, file, verdict] of cases) {
    equal(look("memory", files, file).verdict, verdict, JSON.stringify(files));
  }
  const bound = look("memory", { [`${GROUP}/memory.max`]: "536870912" });
  match(bound.found, /^12 GiB available, 512 MiB for this control group$/);
  match(commandsOf(bound), /^systemd: MemoryMax=[0-9]+M/);
  match(commandsOf(bound), /instead: max-connections: [0-9]+ /);
});

test("memory: control groups of version 1", () => {
  const files = {
    "/proc/self/cgroup": "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "75000",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000",
  };
  match(look("memory", files).found, /512 MiB for this control group/);
  match(look("cores", files).found, /leaves 1\.5$/);
  const none = { ...files, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712" };
  equal(look("memory", none).found, "12 GiB available");
});

test("a connection's part of the tables is what the tables are made of", () => {
  const bytes = tableBytesOfConnection();
  ok(bytes > 100 && bytes < 1_000, `${bytes}`);
});

test("address space: strict accounting and ulimit -v", () => {
  equal(look("address space").verdict, "ok");
  const strict = look("address space", { "/proc/sys/vm/overcommit_memory": "2" });
  equal(strict.verdict, "warn");
  match(commandsOf(strict), /sysctl -w vm\.overcommit_memory=0/);
  const limit = "Max open files            1048576              1048576              files\n" +
    "Max address space         4294967296           unlimited            bytes";
  const bounded = look("address space", { "/proc/self/limits": limit });
  equal(bounded.verdict, "warn");
  match(bounded.found, /4 GiB for the process/);
});

test("huge pages and cores", () => {
  const always = { "/sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never" };
  equal(look("transparent huge pages", always).verdict, "note");
  equal(look("transparent huge pages").verdict, "ok");
  equal(look("cores").verdict, "ok");
  equal(look("cores", {}, reactors(8)).verdict, "note");
  const over = look("cores", { [`${GROUP}/cpu.max`]: "150000 100000" });
  equal(over.verdict, "warn");
  match(over.found, /^4, of which the control group leaves 1\.5$/);
  match(commandsOf(over), /instead: reactors: 1 /);
  equal(look("cores", { [`${GROUP}/cpu.max`]: "max 100000" }).verdict, "ok");
  equal(look("cores", { [`${GROUP}/cpu.max`]: "200000 100000" }, reactors(2)).verdict, "ok");
});
