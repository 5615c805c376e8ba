/**
 * What does a reload do to those who are served meanwhile? Sluice alone, with 10,000 upstreams of 10 servers: small
 * messages at a fixed rate, in open loop, quiet and while the file is read again, over and over. Control plane and reactor
 * share one core, as on a machine that is busy: the longest that a message took is more than the reactor stood still.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { type Figure, inRounds, type Line } from "../line.ts";
import { numbers, run } from "../measure.ts";
import { ADMIN, SERVERS, sluiceReloaded, UPSTREAMS, UPSTREAMS_FILE } from "../peers.ts";
import { type Load, LOAD_CORE, loadOf, withProxy } from "../stage.ts";
import { tool } from "../tools.ts";

interface ReloadSaid {
  readonly took_ms: number;
  /** Undefined: it was refused. */
  readonly upstreams?: { readonly added: { readonly count: number } };
}

/** Requests a second: a fraction of what goes. */
export const RATE = 2_000;
const DEADLINE_S = 180;

type Key = "quietP99" | "reloadP99" | "ratio" | "longest" | "failed" | "took" | "reloads";

const FIGURES: Figure<Key>[] = [
  { key: "quietP99", question: `latency p99 at ${RATE}/s, quiet`, unit: "us", better: "less", digits: 0 },
  { key: "reloadP99", question: "the same while it reloads", unit: "us", better: "less", digits: 0 },
  { key: "ratio", question: "reloading / quiet", unit: "x", better: "less", digits: 2 },
  { key: "longest", question: "the longest of them", unit: "ms", better: "less", digits: 1 },
  { key: "failed", question: "failed or unanswered", unit: "", better: "less", digits: 0 },
  { key: "took", question: "one reload", unit: "s", better: "less", digits: 2 },
  { key: "reloads", question: "reloads meanwhile", unit: "", better: "more", digits: 0 },
];

/** What a load in open loop says of itself. */
export async function openLoop(
  port: number,
  { seconds, warmupSeconds }: Load,
): Promise<Record<string, number>> {
  const command = [
    ...[tool("openloop"), "--port", String(port), "--rate", String(RATE), "--connections", "64"],
    ...["--seconds", String(seconds), "--warmup", String(warmupSeconds)],
  ];
  return numbers(await run(command, { deadlineMs: (seconds + warmupSeconds + 20) * 1000, core: LOAD_CORE }));
}

/** One reload after the other until the load is over, each of a file with another upstream; how long each took, in
 * seconds. */
async function reloads(isOver: () => boolean): Promise<number[]> {
  const command = ["dist/sluice", "reload", "--admin", ADMIN, "--format", "json"], took: number[] = [];
  const file = readFileSync(UPSTREAMS_FILE, "utf8");
  while (!isOver()) {
    writeFileSync(
      UPSTREAMS_FILE,
      `${file}  more${took.length}: { servers: ["10.255.0.1:80"], health: off }\n`,
    );
    const said = await run(command, { deadlineMs: 60_000, core: LOAD_CORE });
    const { took_ms, upstreams } = JSON.parse(said) as ReloadSaid;
    if (upstreams?.added.count !== 1) throw new Error(`not reloaded as it should be: ${said.slice(0, 400)}`);
    took.push(took_ms / 1_000);
  }
  return took;
}

function measure(load: Load): Promise<Record<Key, number>> {
  return withProxy(sluiceReloaded, { pinned: true, threads: 1, seconds: DEADLINE_S }, async (_, port) => {
    const long = { ...load, seconds: 2 * load.seconds };
    const quiet = await openLoop(port, long);
    let isOver = false;
    const [busy, took] = await Promise.all([
      openLoop(port, long).finally(() => isOver = true),
      reloads(() => isOver),
    ]);
    return {
      quietP99: quiet.p99_us,
      reloadP99: busy.p99_us,
      ratio: busy.p99_us / quiet.p99_us,
      longest: busy.max_us / 1_000,
      failed: busy.failed + busy.unanswered,
      took: took.reduce((sum, s) => sum + s, 0) / took.length,
      reloads: took.length,
    };
  });
}

export const line: Line = {
  name: "reload",
  question: `Sluice alone: latency while it reloads ${UPSTREAMS} upstreams of ${SERVERS} servers`,
  proxies: [sluiceReloaded],
  run: (setting) => inRounds(line, setting, setting.rounds, FIGURES, () => measure(loadOf(setting.quick))),
};
