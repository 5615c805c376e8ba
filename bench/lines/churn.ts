/** What does a connection cost that carries one request and is closed? */
import { type Figure, inRounds, type Line } from "../line.ts";
import { cpu, cpuSince, numbers, run } from "../measure.ts";
import { haproxy, nginx, type Proxy, sluice } from "../peers.ts";
import { LOAD_CORE, withProxy } from "../stage.ts";
import { tool } from "../tools.ts";

// Warm-up as in stage.ts. The origin closes first, so the proxy's ports are free again at once. Each
// measurement has an origin and a proxy on ports of their own.
const WARMUP_CONNECTIONS = 20_000;
const CONNECTIONS = 20_000;
const CONNECTIONS_QUICK = 8_000;

function churn(proxy: Proxy, count: number) {
  return withProxy(proxy, { pinned: true, threads: 1, seconds: 90 }, async (pid, port) => {
    const command = (connections: number) => [
      ...[tool("churn"), "--port", String(port), "--count", String(connections)],
      ...["--concurrency", "64", "--seconds", "30"],
    ];
    await run(command(WARMUP_CONNECTIONS), { deadlineMs: 40_000, core: LOAD_CORE });
    const before = cpu(pid);
    const said = await run(command(count), { deadlineMs: 40_000, core: LOAD_CORE });
    const used = cpuSince(pid, before);
    return { perCpuS: count / used.totalS, perS: numbers(said).rate };
  });
}

const FIGURES: Figure<"perCpuS" | "perS">[] = [
  { key: "perCpuS", question: "connect-request-close", unit: "1/CPU s", better: "more", digits: 0 },
  { key: "perS", question: "connect-request-close", unit: "1/s", better: "more", digits: 0 },
];

export function churnLine(name: string, question: string, proxies: Proxy[]): Line {
  const line: Line = {
    name,
    question,
    proxies,
    run: (setting) =>
      inRounds(
        line,
        setting,
        setting.rounds,
        FIGURES,
        (proxy) => churn(proxy, setting.quick ? CONNECTIONS_QUICK : CONNECTIONS),
      ),
  };
  return line;
}

export const line = churnLine(
  "churn",
  "connect, one request, close: connections per CPU second of the proxy",
  [sluice, haproxy, nginx],
);
