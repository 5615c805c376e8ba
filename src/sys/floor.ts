// What a machine must have before Sluice starts. Below the floor the symptoms are a failing dlopen or
// SIGILL far from their cause; here each becomes one line. Checked once, on the main thread, by
// library.ts; build.ts refuses to build a library that needs more than is promised here.
import { closeSync, openSync, readSync } from "node:fs";
import { release } from "node:os";

/** The newest symbols the C library may use: Debian 12 builds against 2.36 and needs no more than this. */
export const GLIBC_FLOOR = "2.34";
/** Older kernels have what Sluice itself calls (4.18 would do); 5.6 is where its runtime is supported. */
export const KERNEL_FLOOR = "5.6";
/** As /proc/cpuinfo spells them: the runtime in the executable is compiled for x86-64 with SSE4.2. */
export const CPU_FLOOR = ["sse4_2", "popcnt"];
/** The first processor's flags end well within this; one read, however many processors there are. */
const CPUINFO_BYTES = 4096;

/** What this machine lacks, as one line to show, or "" when it has everything. */
export function findMissing(glibcVersion: string, kernelVersion: string, cpuFlags: string[]): string {
  if (isOlder(glibcVersion, GLIBC_FLOOR)) {
    return `glibc ${GLIBC_FLOOR} or newer is needed, this system has ${glibcVersion}`;
  }
  if (isOlder(kernelVersion, KERNEL_FLOOR)) {
    return `Linux ${KERNEL_FLOOR} or newer is needed, this is ${kernelVersion}`;
  }
  const lacking = cpuFlags.length === 0 ? [] : CPU_FLOOR.filter((flag) => !cpuFlags.includes(flag));
  return lacking.length === 0 ? "" : `a processor with ${lacking.join(" and ")} is needed`;
}

/** The same, for this machine. The caller has glibc's version, since it has glibc open. */
export function findMissingHere(glibcVersion: string): string {
  return findMissing(glibcVersion, release(), readCpuFlags());
}

/** Empty where there is nothing to check: not x86-64, or no /proc. */
function readCpuFlags(): string[] {
  if (process.arch !== "x64") return [];
  try {
    const fd = openSync("/proc/cpuinfo", "r");
    const bytes = new Uint8Array(CPUINFO_BYTES);
    const count = readSync(fd, bytes, 0, bytes.length, 0);
    closeSync(fd);
    const line = /^flags\s*:(.*)$/m.exec(new TextDecoder().decode(bytes.subarray(0, count)));
    return line === null ? [] : line[1].trim().split(" ");
  } catch {
    return [];
  }
}

/** Compares the first two numbers of versions such as "2.36" and "6.1.0-18-amd64". */
function isOlder(version: string, floor: string): boolean {
  const [major, minor] = version.split(".").map((part) => parseInt(part, 10));
  const [floorMajor, floorMinor] = floor.split(".").map((part) => parseInt(part, 10));
  return major < floorMajor || (major === floorMajor && minor < floorMinor);
}
