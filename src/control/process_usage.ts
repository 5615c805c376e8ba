// What the process takes of the machine, as /proc tells it.
import { readdirSync, readFileSync, statSync } from "node:fs";
import process from "node:process";

export interface ProcessUsage {
  /** User and system time of all threads. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly openFds: number;
  /** The soft limit; Infinity without one. */
  readonly maxFds: number;
}

/** As of now; takes well below a millisecond. A figure that /proc does not give is NaN. */
export function processUsage(): ProcessUsage {
  const { user, system } = process.cpuUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage().rss,
    openFds: openFds(),
    maxFds: maxFds(),
  };
}

/** From Linux 6.2 the directory's size is the number of its entries: no list of many thousands is made. */
function openFds(): number {
  try {
    const { size } = statSync("/proc/self/fd");
    return size > 0 ? size : readdirSync("/proc/self/fd").length;
  } catch {
    return NaN;
  }
}

function maxFds(): number {
  const soft = /^Max open files\s+(\S+)/m.exec(read("/proc/self/limits"))?.[1];
  return soft === "unlimited" ? Infinity : Number(soft ?? NaN);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
