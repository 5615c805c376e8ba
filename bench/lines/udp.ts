/**
 * How many datagrams does a proxy forward with a second of CPU?
 *
 * Three loads: flows that go on (64 clients with 8 datagrams of 200 bytes each on the way), few flows of 1,200 bytes
 * that come in bursts, as QUIC's do, and clients that ask once (a session for each datagram, ended by its answer).
 * A datagram counts when its answer is back, so each was forwarded twice.
 */
import { inRounds, type Line } from "../line.ts";
import { cpu, cpuSince, end, freePort, nextLine, numbers, start } from "../measure.ts";
import { nginxUdp, nginxUdpOnce, type Proxy, sluiceUdp, sluiceUdpOnce } from "../peers.ts";
import { type Load, LOAD_CORE, loadOf, PROXY_CORE } from "../stage.ts";
import { tool } from "../tools.ts";

async function measure(proxy: Proxy, words: string[], load: Load) {
  const whole = load.seconds + load.warmupSeconds + 20, deadlineMs = whole * 1_000;
  const origin = await freePort("ORIGIN"), port = await freePort("PROXY");
  const serving = [tool("datagrams"), "--serve", "1", "--port", String(origin), "--seconds", String(whole)];
  const server = start(serving, { deadlineMs, core: LOAD_CORE });
  const child = start(proxy.command({ port, origin, threads: 1 }), { deadlineMs, core: PROXY_CORE });
  const times = ["--seconds", String(load.seconds), "--warmup", String(load.warmupSeconds)];
  const asking = [tool("datagrams"), "--port", String(port), ...times, ...words];
  const client = start(asking, { deadlineMs, core: LOAD_CORE });
  try {
    await nextLine(client); // it is warm
    const before = cpu(child.pid);
    const said = numbers(await nextLine(client)), { totalS } = cpuSince(child.pid, before);
    return { perCpu: said.answers / totalS, lost: 100 * said.lost / (said.answers + said.lost) };
  } finally {
    await end(client);
    await end(child);
    await end(server);
  }
}

function udpLine(name: string, question: string, proxies: Proxy[], words: string[]): Line {
  const line: Line = {
    name,
    question,
    proxies,
    run: (setting) =>
      inRounds(
        line,
        setting,
        setting.rounds,
        [
          { key: "perCpu", question: `${question}, per CPU second`, unit: "1/s", better: "more", digits: 0 },
          { key: "lost", question: `${question}, lost`, unit: "%", better: "less", digits: 2 },
        ],
        (proxy) => measure(proxy, words, loadOf(setting.quick)),
      ),
  };
  return line;
}

export const lines: Line[] = [
  udpLine("udp", "datagrams there and back, 64 clients", [sluiceUdp, nginxUdp], [
    ...["--flows", "64", "--window", "8", "--bytes", "200"],
  ]),
  udpLine("udp-burst", "datagrams there and back, 4 clients in bursts", [sluiceUdp, nginxUdp], [
    ...["--flows", "4", "--window", "64", "--bytes", "1200"],
  ]),
  udpLine("udp-once", "sessions of one datagram and its answer", [sluiceUdpOnce, nginxUdpOnce], [
    ...["--flows", "64", "--fresh", "1", "--bytes", "50"],
  ]),
];
