// Memory and cores: what the machine has, what the control group leaves of it, what Sluice may take.
import { ARENA_BYTES } from "../../base/limits.ts";
import { tableBytes } from "../../shared/columns.ts";
import { EXCHANGES, SLOTS, TIMERS } from "../../shared/tables.ts";
import { type Check, grouped, roundedSize, sysctlChange, unseen } from "./check.ts";
import type { Load } from "./load.ts";
import { cgroupTexts, limitOf, type Machine, sysctl } from "./machine.ts";

/** Resident memory of a Sluice that has just started, its runtime included. */
const START_BYTES = 100 << 20;
/** Of the kernel, for one idle TCP socket: measured at Linux 6.18. */
const KERNEL_SOCKET_BYTES = 5 << 10;
/** Less than this, and the first burst of traffic may be the last. */
const BYTES_FEW = 256 << 20;
/** Version 1 of control groups writes "no limit" as a number beyond any machine. */
const BYTES_UNLIMITED = 2 ** 60;
/** A table large enough that the alignment of its columns does not count. */
const ROWS = 1_000;

export function memoryChecks(machine: Machine, load: Load): Check[] {
  return [memory(machine, load), addressSpace(machine, load), hugePages(machine), cores(machine, load)];
}

/** Of the tables, for one proxied connection: two sockets, an exchange, their deadlines. */
export function tableBytesOfConnection(): number {
  const rows = tableBytes(SLOTS, 2 * ROWS) + tableBytes(EXCHANGES, ROWS) + tableBytes(TIMERS, 2 * ROWS);
  return Math.ceil(rows / ROWS);
}

/** Bytes of /proc/meminfo. */
function meminfo({ read }: Machine, name: string): number | undefined {
  const kib = new RegExp(`^${name}: +([0-9]+) kB`, "m").exec(read("/proc/meminfo") ?? "")?.[1];
  return kib === undefined ? undefined : Number(kib) * 1_024;
}

/** The lowest limit of the control group and those above it; Infinity without one. */
function cgroupBytes(machine: Machine): number {
  const files = { unified: "memory.max", controller: "memory", legacy: "memory.limit_in_bytes" };
  const limits = cgroupTexts(machine, files).map(Number).filter((bytes) => bytes < BYTES_UNLIMITED);
  return Math.min(Infinity, ...limits);
}

function memory(machine: Machine, { capacity, reactors, byDefault }: Load): Check {
  const name = "memory", free = meminfo(machine, "MemAvailable");
  const each = tableBytesOfConnection() + 2 * KERNEL_SOCKET_BYTES;
  const connections = Math.max(0, capacity.connections), needed = START_BYTES + connections * each;
  const limits =
    `${grouped(connections)} idle connections take ${roundedSize(connections * each)}, the kernel's ` +
    `part included, besides ${roundedSize(START_BYTES)} at the start; what clients are slow to take, up to ` +
    `${roundedSize(ARENA_BYTES)} in each of ${grouped(reactors)} reactors`;
  if (free === undefined) return unseen(name, "/proc/meminfo", limits);
  const group = cgroupBytes(machine), have = Math.min(free, group);
  const few = have < BYTES_FEW, short = have < needed;
  const fitting = Math.max(1, Math.floor((have - START_BYTES) / each));
  return {
    name,
    found: `${roundedSize(free)} available` +
      (group < Infinity ? `, ${roundedSize(group)} for this control group` : ""),
    verdict: have < START_BYTES ? "fail" : few ? "warn" : short ? byDefault ? "note" : "warn" : "ok",
    limits,
    change: [
      ...(group <= free
        ? [
          {
            when: "systemd",
            command: `MemoryMax=${
              Math.ceil(needed / (1 << 20))
            }M    # under [Service]; of a container --memory`,
          } as const,
        ]
        : []),
      { when: "instead", command: `max-connections: ${fitting}    # in the file, or --max-connections` },
    ],
  };
}

/** What is only reserved counts where the kernel promises no more than it has. */
function addressSpace(machine: Machine, { reactors }: Load): Check {
  const name = "address space", mode = sysctl(machine, "vm.overcommit_memory")?.[0];
  const limit = limitOf(machine, "Max address space")?.soft ?? Infinity;
  const limits =
    `each of ${grouped(reactors)} reactors and the health Worker reserves ${roundedSize(ARENA_BYTES)} ` +
    "and its tables, and touches what it needs";
  const strict = mode === 2, bounded = limit < Infinity;
  return {
    name,
    found: `vm.overcommit_memory ${mode ?? "unknown"}, ` +
      (bounded ? `${roundedSize(limit)} for the process (ulimit -v)` : "no limit for the process"),
    verdict: strict || bounded ? "warn" : "ok",
    limits: strict ? `${limits}: here all of it counts as taken, and the start may fail` : limits,
    change: [
      ...(strict ? sysctlChange("vm.overcommit_memory", 0) : []),
      ...(bounded ? [{ when: "now", command: "ulimit -v unlimited" } as const] : []),
    ],
  };
}

function hugePages({ read }: Machine): Check {
  const name = "transparent huge pages", path = "/sys/kernel/mm/transparent_hugepage/enabled";
  const text = read(path), mode = /\[(\w+)\]/.exec(text ?? "")?.[1];
  const limits = "tables are committed by touch, 4 KiB at a time";
  if (mode === undefined) return { name, found: "none", verdict: "ok", limits, change: [] };
  const always = mode === "always";
  return {
    name,
    found: mode,
    verdict: always ? "note" : "ok",
    limits: always
      ? "tables are committed by touch: in pieces of 2 MiB, more memory for fewer connections"
      : limits,
    change: [
      { when: "now", command: `echo madvise > ${path}` },
      { when: "for good", command: "transparent_hugepage=madvise    # on the kernel's command line" },
    ],
  };
}

/** CPUs' worth of time that the control group leaves; Infinity without a limit. */
function quota(machine: Machine): number {
  const unified = { unified: "cpu.max", controller: "cpu", legacy: "cpu.cfs_quota_us" };
  const period = { unified: "cpu.max", controller: "cpu", legacy: "cpu.cfs_period_us" };
  const periods = cgroupTexts(machine, period);
  const shares = cgroupTexts(machine, unified).map((text, at) => {
    const [most, per = periods[at]] = text.split(" ");
    return Number(most) > 0 ? Number(most) / Number(per) : Infinity; // "max", -1: no limit
  });
  return Math.min(Infinity, ...shares);
}

function cores(machine: Machine, { reactors }: Load): Check {
  const name = "cores", limit = quota(machine);
  const text = (count: number) => String(Math.round(count * 10) / 10);
  const found = `${machine.cores}` +
    (limit < Infinity ? `, of which the control group leaves ${text(limit)}` : "");
  const over = limit < reactors, many = reactors > machine.cores;
  return {
    name,
    found,
    verdict: over ? "warn" : many ? "note" : "ok",
    limits: over
      ? `${reactors} reactors share the time of ${
        text(limit)
      }: when it is used up, all stand still for the rest ` +
        "of a period, mostly 100 ms"
      : many
      ? `${reactors} reactors take turns on ${machine.cores}`
      : `${reactors} reactors move traffic, each on a core of its own`,
    change: [
      {
        when: "instead",
        command: `reactors: ${
          Math.max(1, Math.floor(Math.min(limit, machine.cores)))
        }    # in the file, or --reactors`,
      },
      ...(over
        ? [{ when: "systemd", command: `CPUQuota=${reactors * 100}%    # of a container --cpus` } as const]
        : []),
    ],
  };
}
