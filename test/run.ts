// Runs everything that must hold, on both runtimes, and ends with one line: `N passed, N failed`.
//   npm test [-- [--runtime bun|deno] FILTER...]     a filter is a part of a path, or fmt, lint, types
// One process per file, so that a crash, a hang or a leftover process has an address. What is counted is
// a test that stands alone: a describe is none, and where the runtime reports subtests they count
// instead of the test around them (Bun does not report them: there the test around them counts).
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { findLeft, MARK } from "./support/leaks.ts";

/** For the whole run: what has not started by then fails. */
const RUN_DEADLINE_MS = 40 * 60_000;
/** For one process, from outside: a runtime's own timeout does not interrupt a loop. */
const JOB_DEADLINE_MS = 5 * 60_000;
/** For one test that sets no timeout of its own. */
const TEST_TIMEOUT_MS = 60_000;
/** How long after a test process children may take to be gone; they were told before it ended. */
const LEFT_GRACE_MS = 1000;
/** More output than this is cut in the middle. */
const OUTPUT_CHARS_MAX = 40_000;

/** These need the machine to themselves: they use the executable, real sockets and time. */
const ALONE = /^test\/(wire|bench)\//;
/** Of these, so many may fail once and pass when they run again: real time, on a machine that others use too. Each is
 * named at the end with what it said, for a test that does so twice is wrong. */
const UNSTEADY_MAX = 2;
/** A test file that says this in a comment runs on Bun only; the reason follows the colon. */
const BUN_ONLY = /^\/\/ Bun only: \S/m;

type Runtime = "bun" | "deno";
type Job = { title: string; command: string[]; report: string };
type Outcome = {
  title: string;
  passed: number;
  failed: number;
  skipped: number;
  output: string;
  unsteady?: boolean;
};

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const started = performance.now();
const running = new Map<ChildProcess, string>();

if (process.env[MARK] !== undefined) {
  console.error("a test has started the test runner; it would run itself without end");
  process.exit(1);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    for (const [child, mark] of running) endAll(child, mark);
    process.exit(1);
  });
}

const { filters, runtimes } = readArguments(process.argv.slice(2));
const scratch = mkdtempSync(join(tmpdir(), "sluice-test-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const files = findTests("test").filter((path) => matches(path));
const together = files.filter((path) => !ALONE.test(path));
const alone = files.filter((path) => ALONE.test(path));
const outcomes = [
  ...await runAll(checks(), 1),
  ...await runAll(together.flatMap(jobsOf), availableParallelism()),
  ...await runSteady(alone.filter(() => runtimes.includes("bun")).map((path) => testJob("bun", path))),
];
summarize(outcomes);

function readArguments(words: string[]): { filters: string[]; runtimes: Runtime[] } {
  const filters: string[] = [];
  let runtimes: Runtime[] = ["bun", "deno"];
  for (let index = 0; index < words.length; index++) {
    const [option, value] = words[index].split("=", 2);
    if (!option.startsWith("-")) {
      filters.push(words[index]);
      continue;
    }
    const runtime = value ?? words[++index];
    if (option !== "--runtime" || (runtime !== "bun" && runtime !== "deno")) {
      console.error("usage: npm test [-- [--runtime bun|deno] FILTER...]");
      process.exit(2);
    }
    runtimes = [runtime];
  }
  return { filters, runtimes };
}

function matches(name: string): boolean {
  return filters.length === 0 || filters.some((filter) => name.includes(filter));
}

function findTests(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) return findTests(path);
    return entry.name.endsWith("_test.ts") ? [path] : [];
  }).sort();
}

/** With --runtime one asks about tests; the checks belong to neither runtime. */
function checks(): Job[] {
  const all: Job[] = [
    { title: "fmt", command: ["deno", "fmt", "--check"], report: "" },
    { title: "lint", command: ["deno", "lint"], report: "" },
    { title: "types", command: ["tsc", "-p", "."], report: "" },
  ];
  if (filters.length === 0) return runtimes.length === 2 ? all : [];
  return all.filter(({ title }) => filters.includes(title));
}

function jobsOf(path: string): Job[] {
  const bunOnly = BUN_ONLY.test(readFileSync(path, "utf8"));
  return runtimes.filter((runtime) => runtime === "bun" || !bunOnly).map((runtime) => testJob(runtime, path));
}

function testJob(runtime: Runtime, path: string): Job {
  const report = join(scratch, `${runtime}-${path.replaceAll("/", "-")}.xml`);
  const command = runtime === "bun"
    ? ["bun", "test", `--timeout=${TEST_TIMEOUT_MS}`, "--reporter=junit", `--reporter-outfile=${report}`]
    : ["deno", "test", "-A", "--no-check", `--junit-path=${report}`];
  return { title: `${runtime.padEnd(4)} ${path}`, command: [...command, `./${path}`], report };
}

async function runAll(jobs: Job[], lanes: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const waiting = [...jobs];
  async function lane(): Promise<void> {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      outcomes.push(await runJob(job));
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane));
  return outcomes;
}

/** One after the other; who fails runs once more. */
async function runSteady(jobs: Job[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const job of jobs) {
    let outcome = await runJob(job);
    const unsteady = outcomes.filter((other) => other.unsteady).length;
    if (outcome.failed > 0 && unsteady < UNSTEADY_MAX) {
      rmSync(job.report, { force: true });
      outcome = { ...await runJob(job), unsteady: true };
    }
    outcomes.push(outcome);
  }
  return outcomes;
}

async function runJob(job: Job): Promise<Outcome> {
  const begun = performance.now();
  const deadlineMs = Math.min(JOB_DEADLINE_MS, RUN_DEADLINE_MS - (begun - started));
  const outcome: Outcome = { title: job.title, passed: 0, failed: 0, skipped: 0, output: "" };
  const complaints: string[] = [];
  if (deadlineMs <= 0) {
    complaints.push("not started: the whole run is out of time");
  } else {
    const { status, output } = await runProcess(job, deadlineMs, complaints);
    outcome.output = output;
    if (job.report === "") {
      if (status === 0) outcome.passed++;
      else complaints.push(`ended with ${status}`);
    } else {
      count(job.report, outcome);
      if (status !== 0 && outcome.failed === 0) complaints.push(`ended with ${status}`);
      else if (outcome.passed + outcome.failed + outcome.skipped === 0) complaints.push("ran no test");
    }
  }
  // However many complaints there are about a process, they are one failure beside those of its tests.
  if (complaints.length > 0) outcome.failed++;
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  const skipped = outcome.skipped === 0 ? "" : `, ${outcome.skipped} skipped`;
  const tally = `${outcome.passed} passed, ${outcome.failed} failed${skipped}`;
  console.log(`${outcome.failed === 0 ? "ok  " : "FAIL"} ${job.title}: ${tally}, ${seconds} s`);
  if (outcome.failed > 0) {
    for (const line of [...cut(outcome.output).trimEnd().split("\n"), ...complaints]) {
      console.log(`  | ${line}`);
    }
  }
  return outcome;
}

/** Resolves with the exit status, or the signal that ended it; what is left of it is ended too. */
async function runProcess(
  { command: [program, ...words] }: Job,
  deadlineMs: number,
  complaints: string[],
): Promise<{ status: number | string; output: string }> {
  const mark = crypto.randomUUID();
  const env = {
    ...process.env,
    PATH: `${root}/node_modules/.bin:${process.env.PATH ?? ""}`,
    NO_COLOR: "1",
    DENO_NO_UPDATE_CHECK: "1",
    [MARK]: mark,
  };
  const child = spawn(program, words, { env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => output.push(text));
  }
  running.set(child, mark);
  const ended = new Promise<number | string>((resolve) => {
    child.on("exit", (status, signal) => resolve(status ?? signal ?? "no status"));
    child.on("error", (error) => resolve(error.message));
  });
  const closed = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const timer = setTimeout(() => {
    complaints.push(`ended after ${Math.round(deadlineMs / 1000)} s: out of time`);
    endAll(child, mark);
  }, deadlineMs);
  const status = await ended;
  clearTimeout(timer);
  if (child.pid !== undefined) complaints.push(...await endLeft(mark, child.pid));
  running.delete(child);
  await Promise.race([closed, sleep(LEFT_GRACE_MS)]); // the last of the output
  return { status, output: output.join("") };
}

/** One complaint for each process that outlived its test. */
async function endLeft(mark: string, session: number): Promise<string[]> {
  const until = performance.now() + LEFT_GRACE_MS;
  let left = findLeft(mark, session);
  while (left.length > 0 && performance.now() < until) {
    await sleep(20);
    left = findLeft(mark, session);
  }
  for (const { pid } of left) end(pid);
  return left.map(({ pid, command }) => `left a process behind (now ended): ${pid} ${command}`);
}

function endAll(child: ChildProcess, mark: string): void {
  if (child.pid === undefined) return;
  for (const { pid } of findLeft(mark, child.pid)) end(pid);
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it was faster
  }
}

/** Adds up a JUnit report. Without one the process has crashed, which its status tells. */
function count(report: string, outcome: Outcome): void {
  let xml: string;
  try {
    xml = readFileSync(report, "utf8");
  } catch {
    return;
  }
  const cases = [...xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(
    ([, attributes, body = ""]) => ({ name: /\bname="([^"]*)"/.exec(attributes)?.[1] ?? "", body }),
  );
  for (const { name, body } of cases) {
    // Deno reports a group as a case of its own beside its members, whose names begin with the group's.
    const isGroup = cases.some((other) => other.name.startsWith(`${name} &gt; `));
    const failed = /<(failure|error)\b/.test(body);
    if (isGroup && (!failed || /message="\d+ test steps? failed"/.test(body))) continue;
    if (failed) outcome.failed++;
    else if (/<skipped\b/.test(body)) outcome.skipped++;
    else outcome.passed++;
  }
}

function cut(output: string): string {
  if (output.length <= OUTPUT_CHARS_MAX) return output;
  const half = OUTPUT_CHARS_MAX / 2;
  return `${output.slice(0, half)}\n[...]\n${output.slice(-half)}`;
}

function summarize(outcomes: Outcome[]): void {
  const sum = (of: (outcome: Outcome) => number) =>
    outcomes.reduce((total, outcome) => total + of(outcome), 0);
  const [passed, failed] = [sum((outcome) => outcome.passed), sum((outcome) => outcome.failed)];
  const skipped = sum((outcome) => outcome.skipped);
  console.log("");
  for (const { title, failed, unsteady } of outcomes) {
    if (failed > 0) console.log(`failed: ${title}`);
    else if (unsteady) console.log(`unsteady: ${title} failed, and passed when it ran again: see above`);
  }
  if (skipped > 0) console.log(`skipped: ${skipped}`);
  if (passed + failed === 0) console.log("nothing ran");
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
  console.log(`${passed} passed, ${failed} failed`);
}
