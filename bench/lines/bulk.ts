/**
 * What does moving many bytes cost? `iperf3 -P 2` through the proxy, up and down.
 *
 * Its control connection goes through the proxy as well; its few bytes count for nothing. Gbit/s is
 * bounded by the core that both iperf3 share: Gbit per CPU second of the proxy is the figure.
 */
import { type Figure, inRounds, type Line } from "../line.ts";
import { cpu, cpuSince, end, freePort, listening, run, start } from "../measure.ts";
import { haproxy, haproxySplice, nginxBulk, type Proxy, sluice, startProxy } from "../peers.ts";
import { type Load, LOAD_CORE, loadOf, PROXY_CORE } from "../stage.ts";
import { setTimeout as sleep } from "node:timers/promises";

export type Direction = "up" | "down";

const MEASURED = ["-P", "2"];
/** Many small writes: the proxy does in seconds as often what the measurement asks for in minutes. */
const WARM_UP = ["-P", "8", "-l", "20K"];

/** Bytes received in one test. The server takes one test at a time, and a proxy's health check for
 * the start of one: then it says "busy" and is asked again. */
export async function iperf3(
  port: number,
  seconds: number,
  direction: Direction,
  shape: string[],
): Promise<number> {
  const reverse = direction === "down" ? ["-R"] : [];
  const command = ["iperf3", "-c", "127.0.0.1", "-p", String(port), "-J", ...reverse, ...shape];
  command.push("-t", String(seconds));
  for (let attempt = 1;; attempt++) {
    try {
      const said = await run(command, { deadlineMs: (seconds + 10) * 1000, core: LOAD_CORE });
      return JSON.parse(said).end.sum_received.bytes;
    } catch (error) {
      if (attempt === 3) throw error;
      await sleep(500); // nothing tells when the server is free again
    }
  }
}

export async function through(
  proxy: Proxy,
  load: Load,
  direction: Direction,
  shape: { readonly warmUp: string[]; readonly measured: string[] } = { warmUp: WARM_UP, measured: MEASURED },
) {
  const origin = await freePort("ORIGIN");
  const deadlineMs = (load.seconds + load.warmupSeconds + 60) * 1000;
  const serve = ["iperf3", "-s", "-B", "127.0.0.1", "-p", String(origin)];
  const server = start(serve, { deadlineMs, core: LOAD_CORE });
  try {
    await listening(origin, server);
    const started = await startProxy(proxy, origin, 1, { deadlineMs, core: PROXY_CORE });
    const { child, port } = started;
    try {
      await iperf3(port, load.warmupSeconds, direction, shape.warmUp);
      const before = cpu(child.pid);
      const gbit = await iperf3(port, load.seconds, direction, shape.measured) * 8 / 1e9;
      const used = cpuSince(child.pid, before);
      return { perCpuS: gbit / used.totalS, perS: gbit / load.seconds };
    } finally {
      await started.end();
    }
  } finally {
    await end(server);
  }
}

type Key = "upPerCpuS" | "downPerCpuS" | "upPerS" | "downPerS";

export const BULK_FIGURES: Figure<Key>[] = [
  { key: "upPerCpuS", question: "bulk up", unit: "Gbit/CPU s", better: "more", digits: 1 },
  { key: "downPerCpuS", question: "bulk down", unit: "Gbit/CPU s", better: "more", digits: 1 },
  { key: "upPerS", question: "bulk up", unit: "Gbit/s", better: "more", digits: 1 },
  { key: "downPerS", question: "bulk down", unit: "Gbit/s", better: "more", digits: 1 },
];

export const line: Line = {
  name: "bulk",
  question: "many bytes, up and down: Gbit per CPU second of the proxy, and Gbit per second",
  proxies: [sluice, haproxy, haproxySplice, nginxBulk],
  run: (setting) =>
    inRounds(line, setting, setting.rounds, BULK_FIGURES, async (proxy) => {
      const up = await through(proxy, loadOf(setting.quick), "up");
      const down = await through(proxy, loadOf(setting.quick), "down");
      return {
        upPerCpuS: up.perCpuS,
        downPerCpuS: down.perCpuS,
        upPerS: up.perS,
        downPerS: down.perS,
      };
    }),
};
