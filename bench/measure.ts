/**
 * Processes under a deadline, and what the kernel says of them: CPU time, memory, listening ports.
 *
 * Every process is the leader of its own group, so ending it by its id ends its children too; all of
 * them are ended when the bench exits, is interrupted or fails. Nothing here knows what a proxy is.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

export type Child = {
  pid: number;
  stdin: ChildProcessWithoutNullStreams["stdin"];
  stdout: ChildProcessWithoutNullStreams["stdout"];
  /** Exit code, or the signal's name; set once it has ended. */
  ended: number | string | undefined;
  exited: Promise<void>;
  /** What it has written so far. */
  written: { stdout: string; stderr: string };
};

export type StartOptions = {
  deadlineMs: number;
  /** Pins it and its children to this core. */
  core?: number;
  /** Nothing is put before the command: for measuring its start. */
  bare?: boolean;
};

const running = new Set<Child>();

/** The commands started so far, ports named instead of numbered: what RESULTS.md prints. */
export const commandsUsed = new Set<string>();
const portLabels = new Map<number, string>();

process.on("exit", endAllNow);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => process.exit(130)); // the exit handler ends the children
}

function endAllNow(): void {
  for (const child of running) killGroup(child.pid);
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // ESRCH: the whole group is gone already
  }
}

/** Raises our own soft limit of open files to the hard one, which children inherit; returns it. */
export function raiseFileLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const hard = Number(/^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1]);
  if (!Number.isInteger(hard)) return 1024;
  execFileSync("prlimit", ["--pid", String(process.pid), `--nofile=${hard}:${hard}`]);
  return hard;
}

export function start(command: string[], options: StartOptions): Child {
  const pin = options.core === undefined ? [] : ["taskset", "-c", String(options.core)];
  // Should the bench itself be killed outright, the kernel tells the child.
  const whole = options.bare ? command : ["setpriv", "--pdeathsig", "TERM", ...pin, ...command];
  commandsUsed.add(withoutPorts([...pin, ...command].join(" ")));

  const spawned = spawn(whole[0], whole.slice(1), { detached: true, stdio: "pipe" });
  const written = { stdout: "", stderr: "" };
  spawned.stdout.on("data", (bytes) => written.stdout += bytes);
  spawned.stderr.on("data", (bytes) => written.stderr += bytes);
  spawned.stdin.on("error", () => {}); // it ended before it read: its exit says so
  let settle: () => void;
  const child: Child = {
    pid: spawned.pid ?? -1,
    stdin: spawned.stdin,
    stdout: spawned.stdout,
    ended: undefined,
    exited: new Promise((resolve) => settle = resolve),
    written,
  };
  const finish = (ended: number | string) => {
    clearTimeout(deadline);
    running.delete(child);
    if (child.pid > 0) killGroup(child.pid); // a leader that died may leave workers
    child.ended ??= ended;
    settle();
  };
  const deadline = setTimeout(() => {
    child.ended = "its deadline";
    killGroup(child.pid);
  }, options.deadlineMs);
  spawned.on("error", (error) => finish(error.message));
  spawned.on("close", (code, signal) => finish(code ?? signal ?? "unknown"));
  if (child.pid > 0) running.add(child);
  return child;
}

export async function end(child: Child): Promise<void> {
  if (child.ended === undefined && child.pid > 0) killGroup(child.pid);
  await child.exited;
}

/** Runs a command to its end and returns its stdout; anything but exit code 0 is an error. */
export async function run(command: string[], options: StartOptions): Promise<string> {
  const child = start(command, options);
  await child.exited;
  if (child.ended !== 0) {
    const said = (child.written.stderr + child.written.stdout).trim().slice(-600);
    throw new Error(`${command.join(" ")}: ended by ${child.ended}: ${said}`);
  }
  return child.written.stdout;
}

/** Resolves with the next whole line of stdout; rejects when the process ends first. */
export function nextLine(child: Child): Promise<string> {
  const from = child.written.stdout.length;
  return new Promise((resolve, reject) => {
    const look = () => {
      const line = child.written.stdout.slice(from);
      if (!line.includes("\n")) return;
      child.stdout.off("data", look);
      resolve(line.slice(0, line.indexOf("\n")));
    };
    child.stdout.on("data", look);
    child.exited.then(() => reject(new Error(`ended early: ${child.written.stderr.trim()}`)));
  });
}

/** The numbers of a line of key=value pairs. */
export function numbers(line: string): Record<string, number> {
  const pairs = [...line.matchAll(/(\w+)=([\d.]+)/g)];
  return Object.fromEntries(pairs.map(([, key, value]) => [key, Number(value)]));
}

// Ports below the ephemeral range, or an outgoing connection could hold one before it is listened on.
let nextPort = 20000 + process.pid % 8000;

/** A port of 127.0.0.1 that nobody listens on; `label` stands for it in `commandsUsed`. */
export async function freePort(label: string): Promise<number> {
  for (;;) {
    const port = nextPort++;
    if (nextPort > 32000) nextPort = 20000;
    if (await canListen(port)) {
      portLabels.set(port, label);
      return port;
    }
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

function withoutPorts(command: string): string {
  return command.replace(/(?<=:|-p |--port )\d{5}/g, (port) => portLabels.get(Number(port)) ?? port);
}

/**
 * Resolves once 127.0.0.1:`port`, or that port of all addresses, is listened on. Read from the kernel's table, not tried: a trial
 * connection would reach the server behind the proxy, and iperf3 takes one for a test.
 */
export async function listening(port: number, child: Child, withinMs = 10_000): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const listens = new RegExp(`(0100007F|00000000):${hex} 00000000:0000 0A`);
  const until = performance.now() + withinMs;
  while (!listens.test(readFileSync("/proc/net/tcp", "utf8"))) {
    if (child.ended !== undefined) {
      const said = (child.written.stderr + child.written.stdout).trim().slice(-600);
      throw new Error(`ended by ${child.ended} before it listened: ${said}`);
    }
    if (performance.now() > until) throw new Error(`does not listen after ${withinMs} ms`);
    await sleep(2);
  }
}

/** A process and all its descendants. */
function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  const own = children === "" ? [] : children.split(" ").map(Number);
  return [pid, ...own.flatMap(family)];
}

const ticksPerS = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

export type Cpu = { totalS: number; userS: number };

/** CPU time of the process and its descendants so far, all threads. */
export function cpu(pid: number): Cpu {
  let user = 0, system = 0;
  for (const member of family(pid)) {
    const stat = readFileSync(`/proc/${member}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from field 3, the state
    user += Number(fields[11]);
    system += Number(fields[12]);
  }
  return { totalS: (user + system) / ticksPerS, userS: user / ticksPerS };
}

export function cpuSince(pid: number, before: Cpu): Cpu {
  const now = cpu(pid);
  return { totalS: now.totalS - before.totalS, userS: now.userS - before.userS };
}

/** One field of smaps_rollup in bytes, over the process and its descendants. */
export function memoryBytes(pid: number, field: "Rss" | "Private_Dirty"): number {
  let kib = 0;
  for (const member of family(pid)) {
    const rollup = readFileSync(`/proc/${member}/smaps_rollup`, "utf8");
    kib += Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]);
  }
  return kib * 1024;
}

/** What the kernel could still give out (MemAvailable, proc(5)): its own buffers count as taken. */
export function availableBytes(): number {
  return Number(/^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024;
}
