/**
 * How many requests pass with 25,000 connections at once?
 *
 * A process has 20,000 files at most here, and a proxied connection takes two: three processes of each proxy share
 * one port (SO_REUSEPORT), five of wrk and five origins the connections, each
 * of them by an address or a port of its own: the kernel looks long for a free port when many are taken. All of a
 * proxy's processes are pinned to one core.
 */
import { inRounds, type Line } from "../line.ts";
import { cpu, cpuSince, run } from "../measure.ts";
import { haproxyCrowd, nginxCrowd, type Proxy, sluiceCrowd } from "../peers.ts";
import { LOAD_CORE, withOrigin, withProxy } from "../stage.ts";
import { setTimeout as sleep } from "node:timers/promises";

const CONNECTIONS = 25_000;
const CLIENTS = 5;
const ROUNDS_MAX = 3;

/** What wrk says of one of the client processes. */
async function wrk(address: string, seconds: number) {
  const command = [
    "wrk",
    "-t1",
    `-c${CONNECTIONS / CLIENTS}`,
    `-d${seconds}s`,
    "--timeout",
    "10s",
    "--latency",
  ];
  const said = await run([...command, `http://${address}/`], {
    deadlineMs: (seconds + 30) * 1000,
    core: LOAD_CORE,
  });
  const requests = Number(/(\d+) requests in/.exec(said)?.[1]);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(said)?.[1]);
  const [, p99, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(said) ?? [];
  const errors = /Socket errors: (.*)/.exec(said)?.[1] ?? "";
  const bad = [...errors.matchAll(/\d+/g)].reduce((sum, [count]) => sum + Number(count), 0);
  if (!(requests > 0)) throw new Error(`wrk: ${said.trim()}`);
  return {
    requests,
    perSecond,
    bad,
    p99Ms: Number(p99) * { us: 0.001, ms: 1, s: 1_000 }[unit as "us" | "ms" | "s"],
  };
}

/** Starts so many more origins, gives their ports to `use`, and ends them. */
function withOrigins<T>(count: number, seconds: number, use: (ports: number[]) => Promise<T>): Promise<T> {
  if (count === 0) return use([]);
  return withOrigin(
    LOAD_CORE,
    seconds,
    (port) => withOrigins(count - 1, seconds, (ports) => use([port, ...ports])),
  );
}

function measure(proxy: Proxy, seconds: number) {
  const deadline = seconds * 2 + 90;
  return withOrigins(CLIENTS - 1, deadline, (more) => {
    const beside: Proxy = { ...proxy, command: (place) => proxy.command({ ...place, more }) };
    return withProxy(beside, { pinned: true, threads: 1, seconds: deadline }, async (pid, port) => {
      await sleep(1_000); // all of them listen: one that joins later changes whose connections are whose
      const crowd = () =>
        Promise.all(Array.from({ length: CLIENTS }, (_, at) => wrk(`127.0.0.${at + 1}:${port}`, seconds)));
      await crowd(); // warms up
      const before = cpu(pid);
      const said = await crowd();
      const used = cpuSince(pid, before);
      const sum = (of: (one: (typeof said)[number]) => number) => said.reduce((sum, one) => sum + of(one), 0);
      return {
        perSecond: sum(({ perSecond }) => perSecond),
        cpuUs: used.totalS * 1e6 / sum(({ requests }) => requests),
        p99Ms: Math.max(...said.map(({ p99Ms }) => p99Ms)),
        bad: sum(({ bad }) => bad),
      };
    });
  });
}

export const line: Line = {
  name: "crowd",
  question: `${CONNECTIONS} connections at once, three processes on one port: wrk's figures`,
  proxies: [sluiceCrowd, haproxyCrowd, nginxCrowd],
  run(setting) {
    const seconds = setting.quick ? 10 : 20;
    return inRounds(line, setting, Math.min(ROUNDS_MAX, setting.rounds), [
      { key: "perSecond", question: "requests, pinned", unit: "1/s", better: "more", digits: 0 },
      { key: "cpuUs", question: "CPU per request, connects included", unit: "us", better: "less", digits: 2 },
      { key: "p99Ms", question: "p99, closed loop", unit: "ms", better: "less", digits: 0 },
      { key: "bad", question: "timeouts and errors", unit: "", better: "less", digits: 0 },
    ], (proxy) => measure(proxy, seconds));
  },
};
