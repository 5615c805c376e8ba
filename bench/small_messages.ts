/**
 * Small messages through a proxy, as fast as it can: `wrk`, 64 connections, 128-byte bodies. Several
 * lines ask this, each with its own pinning and threads.
 */
import { cpu, cpuSince, run } from "./measure.ts";
import type { Proxy } from "./peers.ts";
import { type Load, LOAD_CORE, withProxy } from "./stage.ts";

async function wrk(port: number, seconds: number, core: number | undefined) {
  const command = ["wrk", "-t1", "-c64", `-d${seconds}s`, `http://127.0.0.1:${port}/`];
  const said = await run(command, { deadlineMs: (seconds + 10) * 1000, core });
  const requests = Number(/(\d+) requests in/.exec(said)?.[1]);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(said)?.[1]);
  if (/Socket errors|Non-2xx/.test(said) || !(requests > 0)) throw new Error(`wrk: ${said.trim()}`);
  return { requests, perSecond };
}

export type SmallMessages = { cpuUs: number; userUs: number; perSecond: number };

/** CPU microseconds per request, the user part of it, and requests per second at saturation. */
export function smallMessages(
  proxy: Proxy,
  load: Load,
  how: { pinned: boolean; threads: number },
): Promise<SmallMessages> {
  const seconds = load.seconds + load.warmupSeconds + 30;
  const loadCore = how.pinned ? LOAD_CORE : undefined;
  return withProxy(proxy, { ...how, seconds }, async (pid, port) => {
    await wrk(port, load.warmupSeconds, loadCore);
    const before = cpu(pid);
    const { requests, perSecond } = await wrk(port, load.seconds, loadCore);
    const used = cpuSince(pid, before);
    return {
      cpuUs: used.totalS * 1e6 / requests,
      userUs: used.userS * 1e6 / requests,
      perSecond,
    };
  });
}
