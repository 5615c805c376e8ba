// A machine that a test makes up: the files of a good one, and what the test puts in their place.
import { diskOf } from "../config/files.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import type { Config } from "../../../src/control/config/schema.ts";
import type { Check } from "../../../src/control/doctor/check.ts";
import { type Load, loadOf } from "../../../src/control/doctor/load.ts";
import type { Machine } from "../../../src/control/doctor/machine.ts";
import { MachineFact } from "../../../src/sys/symbols.ts";

export type Files = Readonly<Record<string, string | undefined>>;

/** Nothing is wrong with it: 4 cores, 16 GiB, a service user. */
const GOOD: Files = {
  "/proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \n" +
    "Max open files            1048576              1048576              files     \n" +
    "Max address space         unlimited            unlimited            bytes     ",
  "/proc/self/status": "Name:\tsluice\nCapEff:\t0000000000000000\nSeccomp:\t0",
  "/proc/self/cgroup": "0::/system.slice/sluice.service",
  "/proc/sys/kernel/osrelease": "6.1.0-18-amd64",
  "/proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu sse4_2 popcnt avx2\n\nprocessor\t: 1",
  "/proc/meminfo": "MemTotal:       16384000 kB\nMemFree:         1024000 kB\nMemAvailable:   12288000 kB",
  "/proc/sys/fs/nr_open": "1048576",
  "/proc/sys/fs/file-max": "9223372036854775807",
  "/proc/sys/fs/file-nr": "2048\t0\t9223372036854775807",
  "/proc/sys/fs/pipe-max-size": "1048576",
  "/proc/sys/fs/pipe-user-pages-soft": "0",
  "/proc/sys/net/core/somaxconn": "65535",
  "/proc/sys/net/ipv4/tcp_syncookies": "1",
  "/proc/sys/net/ipv4/tcp_max_syn_backlog": "4096",
  "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999",
  "/proc/sys/net/ipv4/ip_local_reserved_ports": "",
  "/proc/sys/net/ipv4/tcp_tw_reuse": "1",
  "/proc/sys/net/ipv4/tcp_timestamps": "1",
  "/proc/sys/net/ipv4/ip_unprivileged_port_start": "1024",
  "/proc/sys/net/ipv6/bindv6only": "0",
  "/proc/sys/vm/overcommit_memory": "0",
  "/proc/net/netstat":
    "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 0 0\nIpExt: InNoRoutes\nIpExt: 0",
  "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
  "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
  "/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm",
  "/etc/ssl/certs/ca-certificates.crt": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".repeat(
    140,
  ),
  "/etc/resolv.conf": "# made by hand\nnameserver 192.0.2.53\nnameserver 192.0.2.54",
};

/** By MachineFact; what is not here works. */
const FACTS: Readonly<Partial<Record<MachineFact, number>>> = {
  [MachineFact.PageBytes]: 4_096,
  [MachineFact.Glibc]: 2_036,
  [MachineFact.Clock]: 0,
  [MachineFact.PipeBytes]: 1 << 20,
};

export interface Changes extends Partial<Omit<Machine, "read">> {
  /** undefined: not there. */
  readonly files?: Files;
  readonly facts?: Readonly<Partial<Record<MachineFact, number>>>;
}

export function machineWith({ files = {}, facts = {}, ...rest }: Changes = {}): Machine {
  const all = { ...GOOD, ...files }, told = { ...FACTS, ...facts };
  let ms = 0;
  return {
    read: (path) => all[path],
    mayCreateIn: () => true,
    env: {},
    uid: 999,
    cores: 4,
    program: "/usr/local/bin/sluice",
    libraryFlaw: "",
    fact: (which) => told[which] ?? 1,
    wallMs: () => Date.UTC(2026, 6, 1),
    monotonicMs: () => ms++,
    addressesOf: () => Promise.resolve(["192.0.2.1"]),
    ...rest,
  };
}

/** The configuration of a file's text. */
export function configOf(text: string): Config {
  const env = { XDG_RUNTIME_DIR: "/run/user/999" };
  const parsed = parseRun(["run", "-c", "sluice.yaml"], {
    env,
    uid: 999,
    disk: diskOf({ "sluice.yaml": text }),
  });
  if ("problems" in parsed) throw new Error(parsed.problems.map(({ what }) => what).join("; "));
  return parsed.config;
}

const SIMPLE =
  'listeners: { db: { bind: "tcp://:5432", to: db } }\nupstreams: { db: { servers: 10.0.0.1:5432 } }\n';

/** What a file, or the simplest one, asks of a machine; `given` false: nobody gave a file. */
export function loadOn(machine: Machine, text: string = SIMPLE, given = true): Load {
  return loadOf(configOf(text), given, machine);
}

/** The one check of that name. */
export function checkOf(checks: readonly Check[], name: string): Check {
  const found = checks.filter((check) => check.name === name);
  if (found.length !== 1) throw new Error(`${found.length} checks are called ${name}`);
  return found[0];
}

/** All that a check tells people to do, a line each. */
export function commandsOf({ change }: Check): string {
  return change.map(({ when, command }) => `${when}: ${command}`).join("\n");
}
