/**
 * Small messages through a proxy, as fast as it can: `wrk`, 64 connections, 128-byte bodies. Several
 * lines ask this, each with its own pinning, threads and request.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cpu, cpuSince, run } from "./measure.ts";
import type { Proxy } from "./peers.ts";
import { type Load, LOAD_CORE, withProxy } from "./stage.ts";
import { root } from "./tools.ts";

/** What is asked for: a path, and more of wrk's arguments. */
export type Ask = { path: string; arguments: string[] };

const PLAIN: Ask = { path: "/", arguments: [] };

/** What wrk offers over TLS; it has no flag for that. */
const WRK_TLS = ["env", "OPENSSL_CONF=bench/wrk_openssl.cnf"];

type Target = { port: number; tls?: boolean };

async function wrk({ port, tls }: Target, ask: Ask, seconds: number, core: number | undefined) {
  const url = `${tls ? "https" : "http"}://127.0.0.1:${port}${ask.path}`;
  const command = ["wrk", "-t1", "-c64", `-d${seconds}s`, ...ask.arguments, url];
  if (tls) command.unshift(...WRK_TLS);
  const said = await run(command, { deadlineMs: (seconds + 10) * 1000, core });
  const requests = Number(/(\d+) requests in/.exec(said)?.[1]);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(said)?.[1]);
  if (/Socket errors|Non-2xx/.test(said) || !(requests > 0)) throw new Error(`wrk: ${said.trim()}`);
  return { requests, perSecond };
}

const LOG_WAIT_MS = 3_000; // nginx flushes once a second

/** Percent of `requests` that the access log tells of, once it has had the time; 0 without a log. */
async function loggedPercent(proxy: Proxy, requests: number, core: number | undefined): Promise<number> {
  if (proxy.log === undefined || !existsSync(join(root, proxy.log))) return 0;
  const until = performance.now() + LOG_WAIT_MS;
  for (;;) {
    const lines = parseInt(await run(["wc", "-l", proxy.log], { deadlineMs: 10_000, core }));
    if (lines >= requests) return 100;
    if (performance.now() > until) return 100 * lines / requests;
    await sleep(200);
  }
}

export type SmallMessages = {
  cpuUs: number;
  userUs: number;
  perCpuS: number;
  perSecond: number;
  loggedPercent: number;
};

/** CPU microseconds per request, the user part of it, and requests per second at saturation. */
export function smallMessages(
  proxy: Proxy,
  load: Load,
  how: { pinned: boolean; threads: number; ask?: Ask },
): Promise<SmallMessages> {
  const seconds = load.seconds + load.warmupSeconds + 30;
  const loadCore = how.pinned ? LOAD_CORE : undefined;
  const ask = how.ask ?? PLAIN;
  return withProxy(proxy, { ...how, seconds }, async (pid, port) => {
    const target = { port, tls: proxy.tls };
    const warmUp = await wrk(target, ask, load.warmupSeconds, loadCore);
    const before = cpu(pid);
    const { requests, perSecond } = await wrk(target, ask, load.seconds, loadCore);
    const used = cpuSince(pid, before);
    return {
      cpuUs: used.totalS * 1e6 / requests,
      userUs: used.userS * 1e6 / requests,
      perCpuS: requests / used.totalS,
      perSecond,
      loggedPercent: await loggedPercent(proxy, warmUp.requests + requests, loadCore),
    };
  });
}
