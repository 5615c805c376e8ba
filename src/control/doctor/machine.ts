// The machine as the doctor sees it: files of /proc and /sys, what the C library can do here, clocks and
// names. Everything is asked through this, so that a test can put another machine in its place. Nothing
// here changes anything.
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { openLibrary, sys } from "../../sys/sys.ts";
import type { MachineFact } from "../../sys/symbols.ts";
import { askSystem } from "../discovery.ts";

export interface Machine {
  /** The text of a file, without white space at its ends; undefined when it is not there or not for us. */
  readonly read: (path: string) => string | undefined;
  /** Whether this user may make files in a directory; undefined when there is none. */
  readonly mayCreateIn: (directory: string) => boolean | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** 0 for root. */
  readonly uid: number;
  /** Threads that run at once, as `reactors: auto` counts them. */
  readonly cores: number;
  /** The file that is this program. */
  readonly program: string;
  /** Why the C library could not be opened; "" when it was, and its ABI is ours. */
  readonly libraryFlaw: string;
  /** A fact, or -errno for what does not work; undefined without the library. */
  readonly fact: (which: MachineFact) => number | undefined;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  /** Milliseconds, never backwards. */
  readonly monotonicMs: () => number;
  /** Rejects when it does not resolve; may take its time. */
  readonly addressesOf: (name: string) => Promise<readonly string[]>;
}

/** This very machine. @param library where the C library is; throws when there is no way to have one */
export async function thisMachine(library: () => string): Promise<Machine> {
  let libraryFlaw = "";
  try {
    await openLibrary(library());
  } catch (error) {
    libraryFlaw = error instanceof Error ? error.message : String(error);
  }
  return {
    read,
    mayCreateIn,
    env: process.env,
    uid: process.getuid?.() ?? 0,
    cores: availableParallelism(),
    program: process.execPath,
    libraryFlaw,
    fact: (which) => libraryFlaw === "" ? sys.machine(which) : undefined,
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    addressesOf: async (name) => (await askSystem(name)).ips,
  };
}

/** A file of /sys beyond this is none that we know. */
const TEXT_CHARACTERS_MAX = 1 << 20;

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").slice(0, TEXT_CHARACTERS_MAX).trim();
  } catch {
    return undefined;
  }
}

function mayCreateIn(directory: string): boolean | undefined {
  try {
    if (!statSync(directory).isDirectory()) return undefined;
    accessSync(directory, constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : false;
  }
}

/** The numbers of a sysctl, by its dotted name; undefined when it cannot be read. */
export function sysctl({ read }: Machine, key: string): readonly number[] | undefined {
  const text = read(`/proc/sys/${key.replaceAll(".", "/")}`);
  if (text === undefined) return undefined;
  const numbers = text.split(/\s+/).map(Number);
  return numbers.some(Number.isNaN) ? undefined : numbers;
}

/** A line of /proc/self/limits: what holds now and what it may be raised to. Infinity: no limit. */
export function limitOf({ read }: Machine, name: string): { soft: number; hard: number } | undefined {
  const found = new RegExp(`^${name} +(\\S+) +(\\S+)`, "m").exec(read("/proc/self/limits") ?? "");
  if (found === null) return undefined;
  const [soft, hard] = found.slice(1).map((text) => text === "unlimited" ? Infinity : Number(text));
  return { soft, hard };
}

/** Bits of CAPABILITIES(7). */
export const CAP_NET_BIND_SERVICE = 10;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_RESOURCE = 24;

/** Whether the process has a capability; undefined when nobody says. */
export function hasCapability({ read }: Machine, bit: number): boolean | undefined {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(read("/proc/self/status") ?? "")?.[1];
  return hex === undefined ? undefined : (BigInt(`0x${hex}`) >> BigInt(bit) & 1n) === 1n;
}

/** Whether a filter of system calls is on, as containers have it. */
export function isFiltered({ read }: Machine): boolean {
  return /^Seccomp:\s*2$/m.test(read("/proc/self/status") ?? "");
}

/** Most levels of control groups that are looked through. */
const CGROUP_LEVELS_MAX = 32;

/**
 * What a file of the process's control group, or of one above it, says: of version 2 by `unified`, of
 * version 1 by `controller` and `legacy`. The group's own comes first.
 */
export function cgroupTexts(
  { read }: Machine,
  { unified, controller, legacy }: { unified: string; controller: string; legacy: string },
): string[] {
  const groups = (read("/proc/self/cgroup") ?? "").split("\n").flatMap((line): [string, string, string][] => {
    const [, controllers = "", path = ""] = /^[0-9]+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === "") return [];
    if (controllers === "") return [["/sys/fs/cgroup", path, unified]];
    return controllers.split(",").includes(controller)
      ? [[`/sys/fs/cgroup/${controller}`, path, legacy]]
      : [];
  });
  return groups.flatMap(([root, path, file]) => {
    const steps = path.split("/").filter((step) => step !== "").slice(0, CGROUP_LEVELS_MAX);
    return Array.from({ length: steps.length + 1 }, (_, up) => {
      const below = steps.slice(0, steps.length - up).map((step) => `/${step}`).join("");
      return read(`${root}${below}/${file}`);
    });
  }).filter((text): text is string => text !== undefined);
}
