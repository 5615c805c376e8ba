/**
 * The bench: Sluice and its peers, side by side on this machine. README.md says what each line asks.
 *
 *   bun bench/run.ts [--quick] [--only LINE,...] [--rounds N]
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { makeCertificates } from "./certificates.ts";
import type { Line, Row, Setting } from "./line.ts";
import type { Proxy } from "./peers.ts";
import { report, writeResults } from "./report.ts";
import { withProxy } from "./stage.ts";
import { table } from "./table.ts";
import { buildTools, needPackages, root } from "./tools.ts";
import { line as bandwidth } from "./lines/bandwidth.ts";
import { line as bulk } from "./lines/bulk.ts";
import { line as checks } from "./lines/checks.ts";
import { line as churn } from "./lines/churn.ts";
import { line as cpu } from "./lines/cpu.ts";
import { line as crowd } from "./lines/crowd.ts";
import { line as deno } from "./lines/deno.ts";
import { line as echo } from "./lines/echo.ts";
import { line as flood } from "./lines/flood.ts";
import { line as httpBrowser } from "./lines/http_browser.ts";
import { line as httpBulk } from "./lines/http_bulk.ts";
import { line as httpClose } from "./lines/http_close.ts";
import { line as httpIdle } from "./lines/http_idle.ts";
import { line as httpLatency } from "./lines/http_latency.ts";
import { line as httpLog } from "./lines/http_log.ts";
import { line as httpRoutes } from "./lines/http_routes.ts";
import { line as httpSmall } from "./lines/http_small.ts";
import { line as idle } from "./lines/idle.ts";
import { line as large } from "./lines/large.ts";
import { line as latency } from "./lines/latency.ts";
import { line as picks } from "./lines/picks.ts";
import { line as reload } from "./lines/reload.ts";
import { line as start } from "./lines/start.ts";
import { line as tlsBulk } from "./lines/tls_bulk.ts";
import { line as tlsHandshake } from "./lines/tls_handshake.ts";
import { line as tlsIdle } from "./lines/tls_idle.ts";
import { line as tlsScale } from "./lines/tls_scale.ts";
import { line as tlsSmall } from "./lines/tls_small.ts";
import { lines as udp } from "./lines/udp.ts";
import { line as unpinned } from "./lines/unpinned.ts";

const LINES: Line[] = [
  ...[cpu, unpinned, latency, bulk, bandwidth, churn, idle, echo, crowd, flood, start, large, picks, deno],
  ...[httpSmall, httpBrowser, httpLatency, httpClose, httpIdle, httpBulk, httpRoutes, httpLog],
  ...[tlsHandshake, tlsScale, tlsSmall, tlsBulk, tlsIdle],
  ...udp,
  ...[reload, checks],
];

const NOTE_CHARS_MAX = 300;

const HELP = `usage: bun bench/run.ts [--quick] [--only LINE,...] [--rounds N]

  --quick     3 rounds of 2 s instead of 5 of 5 s: a look, not a result
  --only      some of the lines below; prints, and leaves RESULTS.md as it is
  --rounds N  that many rounds

${LINES.map((line) => `  ${line.name.padEnd(13)}  ${line.question}`).join("\n")}`;

type Call = { quick: boolean; lines: Line[]; partial: boolean; rounds: number };

function readCall(): Call {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      rounds: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const rounds = Number(values.rounds ?? (values.quick ? 3 : 5));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
    throw new Error("--rounds is a whole number from 1 to 100");
  }
  const names = values.only?.split(",");
  const lines = names?.map((name) => {
    const line = LINES.find((line) => line.name === name);
    if (line === undefined) throw new Error(`no line is called "${name}"\n\n${HELP}`);
    return line;
  });
  return { quick: values.quick, lines: lines ?? LINES, partial: lines !== undefined, rounds };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Why a proxy cannot take part: it does not start, or a request through it is not answered. */
async function absence(proxy: Proxy): Promise<string | undefined> {
  const missing = proxy.missing();
  if (missing !== undefined || proxy.datagrams) return missing; // those are asked by their line alone
  try {
    await withProxy(proxy, { pinned: false, threads: 1, seconds: 30 }, () => Promise.resolve());
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

async function main(): Promise<number> {
  const call = readCall();
  process.chdir(root);
  needPackages();
  buildTools();
  makeCertificates();

  const notes: string[] = [];
  const note = (text: string) => {
    console.error(`NOTE ${text}`);
    notes.push(text.replaceAll(/\s+/g, " ").slice(0, NOTE_CHARS_MAX)); // one line of the report
  };
  const absent = new Set<Proxy>();
  for (const proxy of new Set(call.lines.flatMap((line) => line.proxies))) {
    const reason = await absence(proxy);
    if (reason === undefined) continue;
    if (proxy.column !== "sluice") throw new Error(`${proxy.name}: ${reason}`);
    absent.add(proxy);
    note(`${proxy.name} is skipped: ${reason}`);
  }
  // A line asked for by name is a question about Sluice: without Sluice it has no answer.
  const unanswered = call.partial && absent.size > 0;

  const noted = notes.length;
  const setting: Setting = {
    rounds: call.rounds,
    quick: call.quick,
    present: (proxies) => proxies.filter((proxy) => !absent.has(proxy)),
    note,
  };
  const rows: Row[] = [];
  for (const line of call.lines) {
    try {
      rows.push(...await line.run(setting));
    } catch (error) { // one line that cannot be asked does not cost the others
      note(`${line.name}: ${messageOf(error)}`);
    }
  }
  const failures = notes.length - noted;

  console.log(table(rows));
  for (const text of notes) console.log(`note: ${text}`);
  if (!call.partial) {
    const called = ["bun bench/run.ts", ...process.argv.slice(2)].join(" ");
    writeResults(report(table(rows), called, notes));
    console.log("written to bench/RESULTS.md");
  }
  return unanswered || failures > 0 ? 1 : 0;
}

try {
  process.exit(await main());
} catch (error) {
  console.error(messageOf(error));
  process.exit(1);
}
