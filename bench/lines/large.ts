/**
 * What does a large configuration cost at start: 10,000 upstreams of 10 servers, none checked?
 *
 * Each proxy reads it from its own file, and is asked through one more upstream. Two threads each, nothing is
 * pinned. The file is written before the clock starts.
 */
import { inRounds, type Line } from "../line.ts";
import { cpu, end, freePort, memoryBytes, start } from "../measure.ts";
import { haproxyLarge, nginxLarge, type Proxy, SERVERS, sluiceLarge, UPSTREAMS } from "../peers.ts";
import { firstAnswer, withOrigin } from "../stage.ts";
import { setTimeout as sleep } from "node:timers/promises";

const SETTLE_MS = 3_000; // for what is given back after the start
const PATIENCE_MS = 60_000;

function startUp(proxy: Proxy) {
  return withOrigin(undefined, 2 * PATIENCE_MS / 1_000, async (origin) => {
    const port = await freePort("PORT");
    const command = proxy.command({ port, origin, threads: 2 });
    const beginMs = performance.now();
    const child = start(command, { deadlineMs: PATIENCE_MS, bare: true });
    try {
      await firstAnswer(port, child, { withinMs: PATIENCE_MS });
      const firstByteMs = performance.now() - beginMs;
      await sleep(SETTLE_MS);
      return {
        firstByteMs,
        cpuS: cpu(child.pid).totalS,
        rssMib: memoryBytes(child.pid, "Rss") / 2 ** 20,
      };
    } finally {
      await end(child);
    }
  });
}

export const line: Line = {
  name: "large",
  question: `start with ${UPSTREAMS} upstreams of ${SERVERS} servers, none checked`,
  proxies: [sluiceLarge, haproxyLarge, nginxLarge],
  run: (setting) =>
    inRounds(
      line,
      setting,
      Math.min(setting.rounds, 3),
      [
        { key: "firstByteMs", question: "exec to first byte", unit: "ms", better: "less", digits: 0 },
        { key: "cpuS", question: "CPU until then and 3 s on", unit: "s", better: "less", digits: 2 },
        { key: "rssMib", question: "RSS then", unit: "MiB", better: "less", digits: 0 },
      ],
      startUp,
    ),
};
