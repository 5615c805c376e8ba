import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { DemoView, type Row } from "../../src/control/demo_view.ts";
import { Output } from "../../src/control/output.ts";
import { Kept } from "./sight_fixture.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const ROWS: Row[] = [
  { name: "red", address: "127.0.0.1:1001", health: "up", isRunning: true, answers: 10 },
  { name: "green", address: "127.0.0.1:1002", health: "down", isRunning: false, answers: 5 },
];

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

/** Runs the demo by this very runtime; `during` may end it. */
function runDemo(
  argv: readonly string[],
  during: (kill: () => void, stdout: () => string) => void = () => {},
): Promise<Ended> {
  const runtime = "Deno" in globalThis ? ["run", "-A", MAIN] : [MAIN];
  const child = spawn(process.execPath, [...runtime, "demo", ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  const began = performance.now();
  let stdout = "", stderr = "";
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`the demo did not end: ${stdout}${stderr}`));
    }, 25_000);
    child.stdout.on("data", (part) => {
      stdout += part;
      during(() => process.kill(child.pid!, "SIGINT"), () => stdout);
    });
    child.stderr.on("data", (part) => stderr += part);
    child.on("close", (status) => {
      clearTimeout(late);
      resolve({ status, stdout, stderr, ms: performance.now() - began });
    });
  });
}

test(
  "demo --for 10s tells the whole story without control characters and ends well",
  { timeout: 30_000 },
  async () => {
    const { status, stdout, stderr, ms } = await runDemo(["--for", "10s"]);
    equal(stderr, "");
    equal(status, 0);
    ok(ms > 9_500 && ms < 14_000, `${ms} ms`);
    // deno-lint-ignore no-control-regex -- that there are none
    ok(!/[\x00-\x09\x0b-\x1f\x7f]/.test(stdout), "no control characters");
    const events = stdout.split("\n").filter((line) => /^ *\d+\.\ds {2}/.test(line));
    const story = [
      /traffic begins/,
      /green stops/,
      /green is ejected: connection_refused, 3 checks in a row/,
      /green starts again/,
      /green is back: 2 checks in a row passed/,
      /the demo ends/,
    ];
    equal(events.length, story.length, stdout);
    story.forEach((event, index) => match(events[index], event));
    for (const line of events) match(line, / failed 0\]$/, "no client noticed");
    const counts = (line: string) =>
      [...line.matchAll(/(?:red|green|blue) (\d+)/g)].map(([, count]) => Number(count));
    equal(counts(events[3])[1], counts(events[2])[1], "an ejected server gets nothing");
    ok(counts(events[5])[1] > counts(events[4])[1] + 20, "one that is back gets its share again");
    match(stdout, /^ {2}curl http:\/\/127\.0\.0\.1:\d+\/$/m);
  },
);

test("an interrupt ends the demo at once, after its counts", { timeout: 30_000 }, async () => {
  let atMs = 0;
  const { status, stdout } = await runDemo([], (kill, stdout) => {
    if (atMs !== 0 || !stdout().includes("traffic begins")) return;
    atMs = performance.now();
    kill();
  });
  const took = performance.now() - atMs;
  equal(status, 0);
  ok(took < 2_000, `${took} ms`);
  match(stdout, / the demo ends \[red \d+, green \d+, blue \d+, failed 0\]\n$/);
});

test("a port that is taken is one clear line", { timeout: 30_000 }, async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as { port: number };
  const { status, stdout, stderr } = await runDemo(["--port", String(port)]);
  taken.close();
  deepEqual([status, stdout], [1, ""]);
  equal(stderr, `sluice: --port: ${port} is in use or not for this user; choose another one\n`);
});

test("mistakes on the command line are one line each, status 2", { timeout: 30_000 }, async () => {
  const cases: [argv: string[], stderr: string][] = [
    [["--for", "5"], 'sluice: --for: "5" has no unit; write 5s\n'],
    [["--for"], "sluice: --for: no value; write --for 10s\n"],
    [["--prot=1"], 'sluice: "--prot" is not known to demo; did you mean "--port"?\n'],
    [["--port=70000"], 'sluice: --port: "70000" is too large; write a value from 1 to 65535\n'],
  ];
  const ended = await Promise.all(cases.map(([argv]) => runDemo(argv)));
  ended.forEach(({ status, stdout, stderr }, index) =>
    deepEqual([status, stdout, stderr], [2, "", cases[index][1]])
  );
});

test("DemoView tells events as lines where there is no terminal, and draws nothing", async () => {
  const kept = new Kept();
  const view = new DemoView(kept.output, ["intro", ""]);
  view.draw(ROWS, 0);
  view.happened("green is ejected", ROWS, 1);
  await kept.output.flush(1_000);
  equal(kept.text, "intro\n\n  0.0s  green is ejected [red 10, green 5, failed 1]\n");
});

test("DemoView redraws one block in place on a terminal", async () => {
  let text = "";
  const output = new Output((bytes) => {
    text += new TextDecoder().decode(bytes);
    return Promise.resolve(bytes.length);
  }, { isTerminal: true });
  const view = new DemoView(output, ["intro"]);
  view.draw(ROWS, 0);
  view.happened("green is ejected", ROWS, 0);
  await output.flush(1_000);
  const block = [
    "intro",
    "  red    127.0.0.1:1001   up             10  ########################",
    "  green  127.0.0.1:1002   ejected         5  ############",
    "  failed requests: 0",
    "",
    "",
  ].join("\n");
  equal(text, `\x1b[J${block}\x1b[5A\r\x1b[J${block}  0.0s  green is ejected\n`);
});
