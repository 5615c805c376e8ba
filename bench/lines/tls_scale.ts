/**
 * What does a handshake cost with two threads, against one? What they wait for each other, or take from each
 * other's caches, is in the difference.
 *
 * Nothing is pinned and the load has the same cores, so the rate says little: CPU per handshake is the figure.
 * Each of the two is asked first in every other measurement.
 */
import { type Figure, inRounds, type Line } from "../line.ts";
import { cpu, cpuSince } from "../measure.ts";
import { haproxyHttps, nginxHttps, type Proxy, sluiceHttps } from "../peers.ts";
import { type Load, loadOf, withProxy } from "../stage.ts";
import { LEAST, shake } from "./tls_handshake.ts";

/** CPU microseconds per full handshake, TLS 1.3, P-256: the least arithmetic, so the most of everything else. */
function cpuPerHandshakeUs(proxy: Proxy, load: Load, threads: number): Promise<number> {
  const seconds = load.seconds + load.warmupSeconds + 40;
  return withProxy(proxy, { pinned: false, threads, seconds }, async (pid, port) => {
    await shake(port, { tls: 13 }, load.warmupSeconds, undefined);
    const before = cpu(pid);
    const count = await shake(port, { tls: 13 }, load.seconds, undefined);
    return cpuSince(pid, before).totalS * 1e6 / count;
  });
}

const MOST = 1 / LEAST;
const ONE = { unit: "us", better: "less", digits: 1, must: Number(MOST.toFixed(2)) } as const;

const FIGURES: Figure<"oneUs" | "twoUs" | "ratio">[] = [
  { key: "oneUs", question: "CPU per handshake, one thread", ...ONE },
  { key: "twoUs", question: "CPU per handshake, two threads", ...ONE },
  { key: "ratio", question: "two threads / one", ...ONE, unit: "x", digits: 2 },
];

export const line: Line = {
  name: "tls-scale",
  question: "full handshakes, nothing pinned: CPU of one with two threads against one thread",
  proxies: [sluiceHttps, haproxyHttps, nginxHttps],
  run(setting) {
    const turns = new Map<Proxy, number>();
    return inRounds(line, setting, setting.rounds, FIGURES, async (proxy) => {
      const turn = turns.get(proxy) ?? 0;
      turns.set(proxy, turn + 1);
      const ask = (threads: number) => cpuPerHandshakeUs(proxy, loadOf(setting.quick), threads);
      const first = turn % 2 === 1 ? await ask(2) : undefined;
      const oneUs = await ask(1);
      const twoUs = first ?? await ask(2);
      return { oneUs, twoUs, ratio: twoUs / oneUs };
    });
  },
};
