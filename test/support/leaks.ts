// Finds what a test process left behind. A process belongs to a test run if it carries the run's mark in
// its environment or is in its session: a child keeps at least one of the two unless it drops both on
// purpose. Linux only, like Sluice.
import { readdirSync, readFileSync } from "node:fs";

/** In the environment of every process a test starts; its value is unique to one test process. */
export const MARK = "SLUICE_TEST_MARK";

export type Left = { pid: number; command: string };

/** Every living process of that run; a zombie has ended and only waits for its parent. */
export function findLeft(mark: string, session: number): Left[] {
  const left: Left[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      // "PID (NAME) STATE PPID PGRP SESSION ...", and NAME may hold anything, parentheses too.
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [state, , , itsSession] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state === "Z" || state === "X") continue;
      if (Number(itsSession) !== session && !hasMark(pid, mark)) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      left.push({ pid, command });
    } catch {
      continue; // it ended while we looked
    }
  }
  return left;
}

/** False for a process whose environment is not ours to read: it is another user's. */
function hasMark(pid: number, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(`${MARK}=${mark}`);
  } catch {
    return false;
  }
}
