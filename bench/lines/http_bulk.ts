/**
 * What do large bodies cost an HTTP proxy? `transfer` through it, bodies of 1 GiB, two connections.
 *
 * Both ends throw the bytes away unread (transfer.c, origin.c), but share a core all the same, which bounds
 * Gbit/s: Gbit per CPU second of the proxy is the figure.
 */
import { inRounds, type Line } from "../line.ts";
import { cpu, cpuSince, numbers, run } from "../measure.ts";
import { haproxyHttp, haproxyHttpSplice, nginxHttpBulk, type Proxy, sluiceHttp } from "../peers.ts";
import { type Load, LOAD_CORE, loadOf, withProxy } from "../stage.ts";
import { tool } from "../tools.ts";
import { BULK_FIGURES } from "./bulk.ts";

const MEASURED = ["--connections", "2", "--body", String(2 ** 30)];
/** Many bodies: the proxy does in seconds as often what the measurement asks for in minutes. */
const WARM_UP = ["--connections", "8", "--body", String(2 ** 20)];

function through(proxy: Proxy, load: Load, mode: "down" | "up") {
  const seconds = load.seconds + load.warmupSeconds + 30;
  return withProxy(proxy, { pinned: true, threads: 1, seconds }, async (pid, port) => {
    const transfer = async (lastsS: number, shape: string[]) => {
      const command = [tool("transfer"), "--port", String(port), "--mode", mode, ...shape];
      if (proxy.tls) command.push("--tls", "13");
      command.push("--seconds", String(lastsS));
      return numbers(await run(command, { deadlineMs: (lastsS + 10) * 1000, core: LOAD_CORE }));
    };
    await transfer(load.warmupSeconds, WARM_UP);
    const before = cpu(pid);
    const moved = await transfer(load.seconds, MEASURED);
    const used = cpuSince(pid, before);
    const gbit = moved.bytes * 8 / 1e9;
    return { perCpuS: gbit / used.totalS, perS: gbit / moved.seconds };
  });
}

/** All of BULK_FIGURES. */
export async function bodies(proxy: Proxy, load: Load) {
  const up = await through(proxy, load, "up");
  const down = await through(proxy, load, "down");
  return {
    upPerCpuS: up.perCpuS,
    downPerCpuS: down.perCpuS,
    upPerS: up.perS,
    downPerS: down.perS,
  };
}

export const line: Line = {
  name: "http-bulk",
  question: "http, bodies of 1 GiB, up and down: Gbit per CPU second of the proxy, and Gbit per second",
  proxies: [sluiceHttp, haproxyHttp, haproxyHttpSplice, nginxHttpBulk],
  run: (setting) =>
    inRounds(line, setting, setting.rounds, BULK_FIGURES, (proxy) => bodies(proxy, loadOf(setting.quick))),
};
