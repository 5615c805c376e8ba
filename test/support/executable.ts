// Sluice as a user runs it: a process of its own, known by its command line, its log, its admin API, its
// signals and its exit status. Every process has a deadline, and none outlives its test.
import { type ChildProcess, spawn } from "node:child_process";
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Explanation } from "../../src/control/explain/explanation.ts";
import { PIPES_KEPT_MAX } from "../../src/base/limits.ts";
import type { UpgradeAnswer } from "../../src/control/upgrade/answer.ts";
import { type Answer, ask, openFds, parseMetrics, type Status } from "./status.ts";
import { PATIENCE_MS, until, within } from "./waiting.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const EXECUTABLE = `${ROOT}dist/sluice`;

/** What Sluice runs on: the built executable, or its sources. */
export type Launcher = "executable" | "bun" | "deno";

/** The command that is Sluice; `sources` is the folder that holds src/. */
export function command(launcher: Launcher, sources: string = ROOT): string[] {
  switch (launcher) {
    case "executable":
      return [EXECUTABLE];
    case "bun":
      return [`${ROOT}node_modules/.bin/bun`, `${sources}src/main.ts`];
    case "deno":
      return [`${ROOT}node_modules/.bin/deno`, "run", "-A", `${sources}src/main.ts`];
  }
}

/** Before a command: runs it as a user without any privilege. Takes root. */
export const AS_NOBODY: readonly string[] =
  "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all".split(" ");

export interface RunOptions {
  /** The whole command; the executable if not given. */
  readonly command?: readonly string[];
  /** Added to the environment of the test. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The process is killed after this. */
  readonly deadlineMs?: number;
}

/** For one process. */
const DEADLINE_MS = 90_000;

/** A process that runs, and those that followed it by upgrades: they share its output. */
class Running {
  readonly child: ChildProcess;
  /** Of those that followed. Nobody waits for them but whoever their parent's end left them to. */
  readonly followers: number[] = [];
  /** Nobody has its output any more: all of them have ended. */
  over = false;
  /** In the environment of each of them. */
  readonly #mark = `SLUICE_TEST_RUN=${randomUUID()}`;
  stdout = "";
  stderr = "";
  /** Exit status, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  /** Called at every piece of output and at the end. */
  changed: () => void = () => {};

  constructor(words: readonly string[], options: RunOptions) {
    const [program, ...rest] = [...(options.command ?? command("executable")), ...words];
    const child = spawn(program, rest, {
      env: {
        ...process.env,
        NO_COLOR: "1",
        DENO_NO_UPDATE_CHECK: "1",
        ...options.env,
        SLUICE_TEST_RUN: this.#mark.split("=")[1],
      },
      cwd: options.cwd ?? ROOT,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child = child;
    const end = () => this.kill();
    const timer = setTimeout(end, options.deadlineMs ?? DEADLINE_MS);
    process.on("exit", end);
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.changed();
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.changed();
    });
    this.ended = new Promise((resolve, reject) => {
      child.on("error", (error) => {
        this.over = true;
        reject(error);
      });
      child.on("close", (status, signal) => {
        this.over = true;
        clearTimeout(timer);
        process.off("exit", end);
        resolve(status ?? signal ?? "no status");
        this.changed();
      });
    });
    this.ended.catch(() => {});
  }

  kill(): void {
    this.child.kill("SIGKILL");
    for (const pid of this.over ? [] : this.#marked()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // it has ended
      }
    }
  }

  /** All that came of it, known or not. */
  #marked(): number[] {
    return readdirSync("/proc").map(Number).filter((pid) => {
      try {
        return pid > 1 && readFileSync(`/proc/${pid}/environ`, "utf8").includes(this.#mark);
      } catch {
        return false; // it has ended, or is nobody of ours
      }
    });
  }
}

export interface Outcome {
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs what ends by itself. */
export async function run(words: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const running = new Running(words, { deadlineMs: PATIENCE_MS, ...options });
  const status = await running.ended;
  return { status, stdout: running.stdout, stderr: running.stderr };
}

/** A line of the log; as text it has no further fields. */
export interface LogLine {
  readonly time: string;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly topic: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** An access record, as JSON has it. */
export interface AccessLine {
  readonly time: string;
  readonly client: string | null;
  readonly listener: string | null;
  readonly upstream: string | null;
  readonly server: string | null;
  readonly up_bytes: number;
  readonly down_bytes: number;
  /** Of sessions of datagrams alone. */
  readonly up_datagrams?: number | null;
  readonly down_datagrams?: number | null;
  readonly duration_ms: number | null;
  readonly reason: string;
  readonly type: string | null;
  readonly errno: string | null;
  readonly detail: string | null;
  readonly tried: number;
}

/** What must be as before once traffic is over. */
interface Held {
  readonly connections: number;
  readonly slots: number;
  readonly blocks: number;
  /** More pipes than reactors keep open for the next stream. */
  readonly pipes: number;
  /** Without those of the pipes that reactors keep. */
  readonly fds: number;
}

/** A Sluice that listens. Its log is JSON unless asked otherwise; its admin API is on a port of its own unless --admin is given. */
export class Sluice {
  readonly #running: Running;
  readonly #lines: (LogLine | AccessLine)[] = [];
  #parsed = 0;
  #waiting = new Set<() => void>();
  #before!: Held;
  /** `http://127.0.0.1:PORT`, `unix:/PATH`; "" when it has none. */
  admin = "";

  private constructor(words: readonly string[], options: RunOptions) {
    this.#running = new Running(words, options);
    this.#running.changed = () => this.#read();
  }

  /** Starts one and waits until it listens everywhere. */
  static async start(words: readonly string[], options: RunOptions = {}): Promise<Sluice> {
    const own = [
      ...(words.includes("--admin") ? [] : ["--admin", "http://127.0.0.1:0"]),
      ...(words.includes("--log-format") ? [] : ["--log-format", "json"]),
    ];
    const verb = words[0] === "run" ? 1 : 0;
    const sluice = new Sluice([...words.slice(0, verb), ...own, ...words.slice(verb)], options);
    try {
      const admin = await sluice.line("admin", /^admin API on /, 2 * PATIENCE_MS);
      sluice.admin = admin.message.slice("admin API on ".length);
      await sluice.get("/healthz"); // whatever the first request opens for good is open now
      sluice.#before = await sluice.#settled();
    } catch (error) {
      sluice.#running.kill();
      throw error;
    }
    return sluice;
  }

  /** Starts one whose admin API is off, or is left alone: nothing but traffic opens fds. */
  static async startWithoutAdmin(words: readonly string[], options: RunOptions = {}): Promise<Sluice> {
    const own = words.includes("--admin") ? [] : ["--admin", "off"];
    const sluice = new Sluice([...own, "--log-format", "json", ...words], options);
    await sluice.line("listen", /^listening on /, 2 * PATIENCE_MS);
    return sluice;
  }

  /** Of the one that serves. */
  get pid(): number {
    return this.#running.followers.at(-1) ?? this.#running.child.pid!;
  }

  /** Asks for an upgrade, and goes on with the new process if it came to one. */
  async upgrade(...words: string[]): Promise<UpgradeAnswer> {
    const asked = await run(["upgrade", ...words, "--admin", this.admin, "--format", "json"]);
    if (asked.stdout === "") throw new Error(asked.stderr);
    const answer = JSON.parse(asked.stdout) as UpgradeAnswer;
    strictEqual(asked.status, answer.upgraded ? 0 : 1, asked.stderr);
    if (answer.pid === null) return answer;
    this.#running.followers.push(answer.pid);
    await this.until("the log Worker", ({ totals }) => totals.log_worker?.alive !== false);
    return answer;
  }

  get stdout(): string {
    return this.#running.stdout;
  }

  get stderr(): string {
    return this.#running.stderr;
  }

  /** The port that the kernel chose for the listener of that number, in the order given. */
  port(listener = 0): number {
    return Number(/:([0-9]+)$/.exec(this.binds[listener])?.[1]);
  }

  /** Where it listens. */
  get binds(): string[] {
    return this.log("listen").map(({ message }) => message.slice("listening on ".length));
  }

  /** Lines of the log about a topic. */
  log(topic: string): LogLine[] {
    return this.#lines.filter((line): line is LogLine => "topic" in line && line.topic === topic);
  }

  /** Access records so far. */
  get records(): AccessLine[] {
    return this.#lines.filter((line): line is AccessLine => !("topic" in line));
  }

  /** The first line of a topic that says this; waits for it. */
  line(topic: string, message: RegExp, deadlineMs?: number): Promise<LogLine> {
    return this.#until(
      `the log to say ${message}`,
      () => this.log(topic).find((line) => message.test(line.message)),
      deadlineMs,
    );
  }

  /** The access records, once there are so many. */
  ended(count: number): Promise<AccessLine[]> {
    return this.#until(
      `${count} access records`,
      () => this.records.length >= count ? this.records : undefined,
    );
  }

  async get(path: string): Promise<Answer> {
    return await ask(this.admin, path);
  }

  /** What it explains, asked as `query`. */
  async explain(query: string): Promise<Explanation> {
    const { status, body } = await this.get(`/explain?${query}`);
    strictEqual(status, 200, body);
    return JSON.parse(body);
  }

  async status(): Promise<Status> {
    return JSON.parse((await this.get("/status")).body);
  }

  async metrics(): Promise<Map<string, number>> {
    return parseMetrics((await this.get("/metrics")).body);
  }

  /** Looks at /status until it is so. */
  async until(what: string, condition: (status: Status) => boolean): Promise<Status> {
    return await until(what, async () => {
      const status = await this.status();
      return condition(status) ? status : undefined;
    });
  }

  /** Every reactor works by what /status shows: it shows what is published, and they take it up in their next turn. */
  async adopted(): Promise<void> {
    await this.until(
      "every reactor to work by the last generation",
      ({ generation, reactors }) => reactors.every((reactor) => reactor.generation === generation),
    );
  }

  signal(signal: "SIGTERM" | "SIGINT" | "SIGUSR1" | "SIGUSR2" | "SIGHUP"): void {
    if (this.pid === this.#running.child.pid) this.#running.child.kill(signal);
    else process.kill(this.pid, signal);
  }

  /** The exit status of the process that was started, once it and all that followed it have ended. */
  exit(): Promise<number | string> {
    return within("Sluice to end", this.#running.ended);
  }

  /** Traffic is over: everything it took is back where it was, to the last fd. */
  async assertQuiet(): Promise<void> {
    const same = (now: Held) =>
      now.connections + now.slots + now.blocks + now.pipes === 0 && now.fds <= this.#before.fds;
    try {
      await until("everything to be given back", async () => same(await this.#held()));
    } catch {
      deepStrictEqual(await this.#held(), {
        connections: 0,
        slots: 0,
        blocks: 0,
        pipes: 0,
        fds: this.#before.fds,
      });
    }
  }

  /** Nothing leaked, and SIGTERM ends it with status 0. */
  async finish(): Promise<void> {
    await this.assertQuiet();
    this.signal("SIGTERM");
    strictEqual(await this.exit(), 0, this.stderr);
  }

  /** At the end of a block: gone, if it is still there. */
  [Symbol.dispose](): void {
    if (!this.#running.over) this.#running.kill();
  }

  /** Health checks come and go: fds are counted when none is under way, and once the log Worker has its own. */
  async #settled(): Promise<Held> {
    await this.until("the log Worker", ({ totals }) => totals.log_worker?.alive !== false);
    return await until("a moment without connections", async () => {
      const held = await this.#held();
      return held.slots === 0 && held.connections === 0 ? held : undefined;
    });
  }

  async #held(): Promise<Held> {
    const { reactors, totals } = await this.status();
    const total = (field: "slots" | "blocks" | "pipes") =>
      reactors.reduce((sum, reactor) => sum + reactor[field], 0);
    const fds = openFds(this.pid).length - 2 * total("pipes");
    const pipes = Math.max(...reactors.map(({ pipes }) => Math.max(0, pipes - PIPES_KEPT_MAX)));
    return {
      connections: totals.connections.now,
      slots: total("slots"),
      blocks: total("blocks"),
      pipes,
      fds,
    };
  }

  #read(): void {
    const text = this.stderr;
    for (let end = text.indexOf("\n", this.#parsed); end >= 0; end = text.indexOf("\n", this.#parsed)) {
      const line = text.slice(this.#parsed, end);
      this.#parsed = end + 1;
      const parsed = line.startsWith("{") ? JSON.parse(line) : textLine(line);
      if (parsed !== undefined) this.#lines.push(parsed);
    }
    for (const look of this.#waiting) look();
  }

  async #until<T>(what: string, look: () => T | undefined, deadlineMs?: number): Promise<T> {
    let settle: () => void = () => {};
    const seen = new Promise<T>((resolve, reject) => {
      settle = () => {
        const value = look();
        if (value !== undefined) resolve(value);
        else if (this.#running.over) reject(new Error(`Sluice ended before ${what}:\n${this.stderr}`));
      };
    });
    this.#waiting.add(settle);
    settle();
    try {
      return await within(what, seen, deadlineMs);
    } catch (error) {
      throw new Error(`${(error as Error).message}; its log:\n${this.stderr.slice(-4_000)}`);
    } finally {
      this.#waiting.delete(settle);
    }
  }
}

/** `2026-01-02T03:04:05.678Z info  health: message`; undefined for anything else. */
function textLine(line: string): LogLine | undefined {
  const match = /^([0-9T:.-]+Z) (debug|info|warn|error) +([a-z-]+): (.*)$/.exec(line);
  if (match === null) return undefined;
  return { time: match[1], level: match[2] as LogLine["level"], topic: match[3], message: match[4] };
}

/** Starts a Sluice for a test: at the end of it nothing may have leaked, and SIGTERM ends it well. */
export async function withSluice(
  words: readonly string[],
  test: (sluice: Sluice) => Promise<void>,
  options: RunOptions = {},
): Promise<void> {
  using sluice = await Sluice.start(words, options);
  await test(sluice);
  await sluice.finish();
}
