/**
 * How many TLS handshakes does a CPU second of the proxy carry? `handshake`, 64 connections at once.
 *
 * No request is asked, so nothing but the connection and its TLS is in the figure; in one row there is, as a
 * client does that comes once. A certificate of one kind at a time: each proxy is started with each, and
 * warmed up, before it is measured.
 */
import type { Certificate } from "../certificates.ts";
import { type Figure, inRounds, type Line } from "../line.ts";
import { cpu, cpuSince, numbers, run } from "../measure.ts";
import { haproxyHttps, nginxHttps, type Proxy, sluiceHttps } from "../peers.ts";
import { type Load, LOAD_CORE, loadOf, withProxy } from "../stage.ts";
import { tool } from "../tools.ts";

/** What every TLS figure of which more is better must reach, over the best peer. */
export const LEAST = 0.97;

export type Shake = { tls: 12 | 13; resume?: boolean; request?: boolean };

/** Shakes hands for some seconds and returns how many were done. A run in which one failed, or that resumed
 * what it should not or did not what it should, is an error. */
export async function shake(
  port: number,
  what: Shake,
  seconds: number,
  core: number | undefined,
): Promise<number> {
  const flags = { port, tls: what.tls, resume: what.resume ? 1 : 0, request: what.request ? 1 : 0, seconds };
  const words = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const said = await run([tool("handshake"), ...words], { deadlineMs: (seconds + 10) * 1000, core });
  const { handshakes, resumed } = numbers(said);
  // The first one fetches the ticket. A proxy may change its ticket key meanwhile.
  const wanted = what.resume ? resumed >= 0.99 * (handshakes - 1) : resumed === 0;
  if (!wanted) throw new Error(`${resumed} of ${handshakes} handshakes were resumed`);
  return handshakes;
}

const ASKED = {
  ecdsa13: { certificate: "ecdsa", tls: 13 },
  ecdsa12: { certificate: "ecdsa", tls: 12 },
  resumed13: { certificate: "ecdsa", tls: 13, resume: true },
  resumed12: { certificate: "ecdsa", tls: 12, resume: true },
  request13: { certificate: "ecdsa", tls: 13, request: true },
  rsa13: { certificate: "rsa", tls: 13 },
  rsa12: { certificate: "rsa", tls: 12 },
} satisfies Record<string, Shake & { certificate: Certificate }>;

type Key = keyof typeof ASKED;

const QUESTIONS: [key: Key, question: string][] = [
  ["ecdsa13", "handshakes, ECDSA P-256, TLS 1.3"],
  ["ecdsa12", "handshakes, ECDSA P-256, TLS 1.2"],
  ["rsa13", "handshakes, RSA 2048, TLS 1.3"],
  ["rsa12", "handshakes, RSA 2048, TLS 1.2"],
  ["resumed13", "handshakes, resumed, TLS 1.3"],
  ["resumed12", "handshakes, resumed, TLS 1.2"],
  ["request13", "handshake-request-close, ECDSA P-256, TLS 1.3"],
];

const FIGURES: Figure<Key>[] = QUESTIONS.map(([key, question]) => ({
  ...{ key, question, unit: "1/CPU s" },
  ...{ better: "more", digits: 0, must: LEAST },
}));

/** Handshakes per CPU second, of every kind that is asked with this certificate. */
function handshakes(proxy: Proxy, load: Load, certificate: Certificate): Promise<[Key, number][]> {
  const asked = (Object.keys(ASKED) as Key[]).filter((key) => ASKED[key].certificate === certificate);
  const seconds = (asked.length + 1) * (load.seconds + 10) + load.warmupSeconds;
  return withProxy(proxy, { pinned: true, threads: 1, seconds, certificate }, async (pid, port) => {
    await shake(port, { tls: 13, request: true }, load.warmupSeconds, LOAD_CORE);
    const done: [Key, number][] = [];
    for (const key of asked) {
      const before = cpu(pid);
      const count = await shake(port, ASKED[key], load.seconds, LOAD_CORE);
      done.push([key, count / cpuSince(pid, before).totalS]);
    }
    return done;
  });
}

export const line: Line = {
  name: "tls-handshake",
  question: "full and resumed handshakes, TLS 1.2 and 1.3: handshakes per CPU second of the proxy",
  proxies: [sluiceHttps, haproxyHttps, nginxHttps],
  run: (setting) =>
    inRounds(line, setting, setting.rounds, FIGURES, async (proxy) => {
      const load = loadOf(setting.quick);
      const ecdsa = await handshakes(proxy, load, "ecdsa");
      const rsa = await handshakes(proxy, load, "rsa");
      return Object.fromEntries([...ecdsa, ...rsa]) as Record<Key, number>;
    }),
};
