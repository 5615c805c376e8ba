// `sluice doctor` and `sluice why` as a user runs them.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { AS_NOBODY, command, EXECUTABLE, type Launcher, type Outcome, run } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";

interface Report {
  readonly checks: readonly {
    name: string;
    found: string;
    verdict: string;
    limits: string;
    change: unknown[];
  }[];
  readonly summary: Readonly<Record<"ok" | "note" | "warn" | "fail", number>>;
}

const LAUNCHERS: readonly Launcher[] = ["executable", "bun", "deno"];
const FILE = `max-connections: 1000
listeners: { web: { bind: "http://127.0.0.1:8080", to: app } }
upstreams: { app: { servers: ["localhost:3000", "10.0.0.1:3000"] } }
`;

function reportOf({ stdout, stderr }: Outcome): Report {
  strictEqual(stderr, "");
  return JSON.parse(stdout);
}

function verdictOf({ checks }: Report, name: string): string | undefined {
  return checks.find((check) => check.name === name)?.verdict;
}

/** A shell that lowers a limit and then is the executable. */
const underLimit = (limit: string): string[] => ["sh", "-c", `ulimit ${limit} && exec "$0" "$@"`, EXECUTABLE];

describe("sluice doctor", () => {
  for (const launcher of LAUNCHERS) {
    it(`on ${launcher}: every check, as text and as JSON, status by the failures`, async () => {
      const options = { command: command(launcher) };
      const text = await run(["doctor"], options), json = await run(["doctor", "--format", "json"], options);
      const { checks, summary } = reportOf(json);
      strictEqual(json.status, summary.fail > 0 ? 1 : 0);
      strictEqual(text.status, json.status);
      for (const { name } of checks) {
        ok(text.stdout.includes(`  ${name} `) || text.stdout.includes(`  ${name}\n`), name);
      }
      match(text.stdout, new RegExp(`^${checks.length} checks: .* ${summary.fail} failures?\\.$`, "m"));
      ok(!text.stdout.includes("\x1b"), "no colour where no terminal is");
      for (const name of ["kernel", "glibc", "library", "kernel features"]) {
        strictEqual(verdictOf({ checks, summary }, name), "ok", name);
      }
    });
  }

  it("with a file: its names, ports and sizes", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("sluice.yaml"), FILE);
    const report = reportOf(await run(["doctor", "-c", folder.at("sluice.yaml"), "--format=json"]));
    const names = report.checks.find(({ name }) => name === "names of the file");
    match(names?.found ?? "", /^1 of 1 name resolves/);
    strictEqual(verdictOf(report, "open files (nofile)"), "ok");
  });

  it("a limit on fds that is too low to work: status 1", async () => {
    const outcome = await run(["doctor", "--format", "json"], { command: underLimit("-n 128") });
    strictEqual(verdictOf(reportOf(outcome), "open files (nofile)"), "fail");
    strictEqual(outcome.status, 1);
  });

  it(
    "a privileged port without the privilege: status 1",
    { skip: process.getuid?.() !== 0 && "needs root, to become somebody else" },
    async () => {
      using folder = new Folder();
      chmodSync(folder.path, 0o755);
      writeFileSync(folder.at("sluice.yaml"), FILE.replace("8080", "80"));
      const words = ["doctor", "-c", folder.at("sluice.yaml"), "--format", "json"];
      const outcome = await run(words, { command: [...AS_NOBODY, EXECUTABLE] });
      const start = Number(
        await run([], { command: ["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"] })
          .then(({ stdout }) => stdout),
      );
      strictEqual(verdictOf(reportOf(outcome), "privileged ports"), start > 80 ? "fail" : "ok");
      strictEqual(outcome.status, start > 80 ? 1 : 0);
    },
  );

  it("mistakes: status 2, a line each, no report", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("bad.yaml"), "listners: {}\n");
    const cases: [words: string[], says: RegExp][] = [
      [["-c", folder.at("none.yaml")], /none\.yaml: there is no such file/],
      [["-c", folder.at("bad.yaml")], /bad\.yaml:1:1: .*did you mean "listeners"\?/],
      [["tcp://:0=127.0.0.1:1"], /tcp:\/\/:0=127\.0\.0\.1:1: neither a flag nor a file; write sluice doctor/],
      [["--formt", "json"], /--formt: unknown flag; did you mean "--format"\?/],
    ];
    for (const [words, says] of cases) {
      const { status, stdout, stderr } = await run(["doctor", ...words]);
      deepStrictEqual([status, stdout], [2, ""], words.join(" "));
      match(stderr, says);
    }
  });
});

describe("sluice why", () => {
  for (const launcher of LAUNCHERS) {
    it(`on ${launcher}: explains a reason; refuses what is none`, async () => {
      const options = { command: command(launcher) };
      const good = await run(["why", "Connection-Refused"], options);
      deepStrictEqual([good.status, good.stderr], [0, ""]);
      match(good.stdout, /^connection_refused: /);
      const bad = await run(["why", "conection_refused"], options);
      deepStrictEqual([bad.status, bad.stdout], [2, ""]);
      match(bad.stderr, /did you mean "connection_refused"\?\n$/);
    });
  }

  it("says all of it into a pipe that is nearly full", async () => {
    // Nobody reads at first: who ended without waiting for a reader would leave a part unsaid.
    const late = '{ "$0" why --format json; "$0" why --format json; } | { sleep 0.5; wc -c; }';
    const { stdout } = await run([], { command: ["sh", "-c", late, EXECUTABLE] });
    const { length } = (await run(["why", "--format", "json"])).stdout;
    ok(2 * length > 1 << 16, "both do not fit into a pipe");
    strictEqual(Number(stdout), 2 * length);
  });
});
