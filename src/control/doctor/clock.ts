// Clocks: the time of day, which logs and later certificates go by; the steady one, which deadlines do.
import { CLOCK_ASTRAY, MachineFact } from "../../sys/symbols.ts";
import { counted } from "../config/units.ts";
import type { Check } from "./check.ts";
import type { Machine } from "./machine.ts";

/** This program was not there before. */
const EARLIEST_MS = Date.UTC(2026, 0, 1);
/** Written by systemd-timesyncd once the time is right. */
const TIMESYNC = "/run/systemd/timesync/synchronized";
/** Reads of the steady clock that must never go back. */
const READS = 1_000;
/** Clock sources that a process reads without asking the kernel. */
const QUICK_SOURCES = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];
const SOURCES = "/sys/devices/system/clocksource/clocksource0";

export function clockChecks(machine: Machine): Check[] {
  return [timeOfDay(machine), steady(machine), source(machine)];
}

function timeOfDay({ wallMs, fact, read }: Machine): Check {
  const name = "time of day", now = wallMs(), state = fact(MachineFact.Clock);
  const early = now < EARLIEST_MS, kept = read(TIMESYNC) !== undefined || state !== CLOCK_ASTRAY;
  const unknown = read(TIMESYNC) === undefined && (state === undefined || state < 0);
  const how = unknown
    ? "whether something keeps it right is not to be seen"
    : kept
    ? "kept right"
    : "kept by nothing";
  return {
    name,
    found: `${new Date(now).toISOString().slice(0, 19)}Z, ${how}`,
    verdict: early || (!kept && !unknown) ? "warn" : "ok",
    limits: early
      ? "it is in the past: every line of a log is dated wrong, and certificates are not valid yet"
      : "lines of the log and of the access log are compared with those of other machines",
    change: [
      { when: "for good", command: "timedatectl set-ntp true    # or: apt-get install chrony" },
      ...(early ? [{ when: "now", command: "date -u -s 'YYYY-MM-DD HH:MM:SS'" } as const] : []),
    ],
  };
}

function steady({ monotonicMs }: Machine): Check {
  const first = monotonicMs();
  let last = first, back = 0;
  for (let read = 0; read < READS; read++) {
    const now = monotonicMs();
    if (now < last) back++;
    last = now;
  }
  const still = last === first;
  return {
    name: "steady clock",
    found: back > 0
      ? `went back ${counted(back, "time")} in ${READS} reads`
      : still
      ? "stands still"
      : "goes forward",
    verdict: back > 0 || still ? "fail" : "ok",
    limits: "every deadline goes by it",
    change: [{ when: "for good", command: "another clocksource= on the kernel's command line, see below" }],
  };
}

function source({ read }: Machine): Check {
  const name = "clock source", current = read(`${SOURCES}/current_clocksource`);
  const limits = "each turn of a reactor reads two clocks";
  if (current === undefined) {
    return { name, found: "not to be seen from here", verdict: "ok", limits, change: [] };
  }
  const others = (read(`${SOURCES}/available_clocksource`) ?? "").split(" ");
  const quick = QUICK_SOURCES.includes(current),
    better = QUICK_SOURCES.find((other) => others.includes(other));
  return {
    name,
    found: current,
    verdict: quick ? "ok" : "note",
    limits: quick ? limits : `${limits}: by this source each is a system call, about a microsecond`,
    change: better === undefined ? [] : [
      { when: "now", command: `echo ${better} > ${SOURCES}/current_clocksource` },
      { when: "for good", command: `clocksource=${better}    # on the kernel's command line` },
    ],
  };
}
