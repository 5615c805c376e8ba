/**
 * How long does a small message take at a load every proxy carries?
 *
 * The same rate for all: half of what the slowest of them reaches when saturated, found by a short
 * trial of each. The load does not wait for answers (openloop.c), so a stall is charged to every
 * request it delayed.
 */
import { inRounds, type Line, type Setting } from "../line.ts";
import { numbers, run } from "../measure.ts";
import { haproxy, nginx, type Proxy, sluice } from "../peers.ts";
import { smallMessages } from "../small_messages.ts";
import { type Load, LOAD_CORE, loadOf, withProxy } from "../stage.ts";
import { tool } from "../tools.ts";

/** Half the lowest saturated rate, to the hundred. */
async function offeredRate(setting: Setting, proxies: Proxy[]): Promise<number> {
  const load = { seconds: setting.quick ? 1 : 2, warmupSeconds: 1 };
  let lowest = Infinity;
  for (const proxy of setting.present(proxies)) {
    const { perSecond } = await smallMessages(proxy, load, { pinned: true, threads: 1 });
    lowest = Math.min(lowest, perSecond);
  }
  return Math.floor(lowest / 200) * 100;
}

function latencies(proxy: Proxy, rate: number, load: Load) {
  const seconds = load.seconds + load.warmupSeconds + 30;
  return withProxy(proxy, { pinned: true, threads: 1, seconds }, async (_, port) => {
    const command = [
      ...[tool("openloop"), "--port", String(port), "--rate", String(rate)],
      ...["--connections", "64", "--seconds", String(load.seconds)],
      ...["--warmup", String(load.warmupSeconds)],
    ];
    const said = numbers(await run(command, { deadlineMs: seconds * 1000, core: LOAD_CORE }));
    return { p50: said.p50_us, p99: said.p99_us, p999: said.p999_us };
  });
}

export function latencyLine(name: string, question: string, proxies: Proxy[]): Line {
  const line: Line = {
    name,
    question,
    proxies,
    async run(setting) {
      const rate = await offeredRate(setting, proxies);
      const at = `at ${rate}/s`;
      return await inRounds(
        line,
        setting,
        setting.rounds,
        [
          { key: "p50", question: `latency p50 ${at}`, unit: "us", better: "less", digits: 0 },
          { key: "p99", question: `latency p99 ${at}`, unit: "us", better: "less", digits: 0 },
          { key: "p999", question: `latency p99.9 ${at}`, unit: "us", better: "less", digits: 0 },
        ],
        (proxy) => latencies(proxy, rate, loadOf(setting.quick)),
      );
    },
  };
  return line;
}

export const line = latencyLine(
  "latency",
  "small messages at half of the lowest saturated rate: latency, open loop",
  [sluice, haproxy, nginx],
);
