/**
 * What do health checks and a scrape of the metrics do to those who are served? Sluice alone: small messages at a fixed
 * rate, in open loop, with nothing checked and nobody asking, and with 1,000 servers checked every two seconds by HTTP and
 * /metrics asked for every second. All of it on one core.
 */
import { request } from "node:http";
import { type Figure, inRounds, type Line } from "../line.ts";
import { ADMIN, CHECKED, type Proxy, sluiceChecked } from "../peers.ts";
import { type Load, loadOf, withProxy } from "../stage.ts";
import { openLoop, RATE } from "./reload.ts";

const DEADLINE_S = 120;
const SCRAPE_MS = 1_000;

type Key = "quietP99" | "busyP99" | "ratio" | "quietP999" | "busyP999";

const FIGURES: Figure<Key>[] = [
  { key: "quietP99", question: `latency p99 at ${RATE}/s, quiet`, unit: "us", better: "less", digits: 0 },
  { key: "busyP99", question: `${CHECKED} servers checked, scraped`, unit: "us", better: "less", digits: 0 },
  { key: "ratio", question: "busy / quiet", unit: "x", better: "less", digits: 2 },
  { key: "quietP999", question: "latency p99.9, quiet", unit: "us", better: "less", digits: 0 },
  { key: "busyP999", question: "the same, busy", unit: "us", better: "less", digits: 0 },
];

/** Asks for the metrics; resolves with how many bytes they are. */
function scrape(): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = {
      socketPath: ADMIN.slice("unix:".length),
      path: "/metrics",
      headers: { Host: "localhost" },
    };
    const sent = request({ ...asked, agent: false }, (answer) => {
      let bytes = 0;
      answer.on("data", (part: Uint8Array) => bytes += part.length);
      answer.on("end", () => resolve(bytes));
    });
    sent.on("error", reject);
    sent.end();
  });
}

function latencies(proxy: Proxy, load: Load, isScraped: boolean): Promise<Record<string, number>> {
  return withProxy(proxy, { pinned: true, threads: 1, seconds: DEADLINE_S }, async (_, port) => {
    const errors: unknown[] = [];
    const timer = isScraped
      ? setInterval(() => void scrape().catch((error) => errors.push(error)), SCRAPE_MS)
      : undefined;
    try {
      const said = await openLoop(port, { ...load, seconds: 2 * load.seconds });
      if (errors.length > 0) throw errors[0];
      return said;
    } finally {
      clearInterval(timer);
    }
  });
}

async function measure(load: Load): Promise<Record<Key, number>> {
  const quiet = await latencies(sluiceChecked(0), load, false);
  const busy = await latencies(sluiceChecked(CHECKED), load, true);
  return {
    quietP99: quiet.p99_us,
    busyP99: busy.p99_us,
    ratio: busy.p99_us / quiet.p99_us,
    quietP999: quiet.p999_us,
    busyP999: busy.p999_us,
  };
}

export const line: Line = {
  name: "checks",
  question:
    `Sluice alone: latency with ${CHECKED} servers checked every 2 s and metrics scraped every second`,
  proxies: [sluiceChecked(CHECKED)],
  run: (setting) => inRounds(line, setting, setting.rounds, FIGURES, () => measure(loadOf(setting.quick))),
};
