/**
 * How long from exec to the first byte answered through the proxy, and how much memory then?
 *
 * Two threads each. Nothing is pinned and nothing runs before the command, so its exec is the start.
 */
import { inRounds, type Line } from "../line.ts";
import { end, freePort, memoryBytes, start } from "../measure.ts";
import { haproxy, nginx, type Proxy, sluice } from "../peers.ts";
import { firstAnswer, withOrigin } from "../stage.ts";
import { setTimeout as sleep } from "node:timers/promises";

const SETTLE_MS = 1_000; // for threads that are still starting after the first answer

function startUp(proxy: Proxy) {
  return withOrigin(undefined, 60, async (origin) => {
    const port = await freePort("PORT");
    const command = proxy.command({ port, origin, threads: 2 });
    const beginMs = performance.now();
    const child = start(command, { deadlineMs: 30_000, bare: true });
    try {
      await firstAnswer(port, child);
      const firstByteMs = performance.now() - beginMs;
      await sleep(SETTLE_MS);
      return { firstByteMs, rssMib: memoryBytes(child.pid, "Rss") / 2 ** 20 };
    } finally {
      await end(child);
    }
  });
}

export const line: Line = {
  name: "start",
  question: "from exec to the first byte answered, and resident memory then, two threads",
  proxies: [sluice, haproxy, nginx],
  run: (setting) =>
    inRounds(
      line,
      setting,
      setting.rounds,
      [
        { key: "firstByteMs", question: "exec to first byte", unit: "ms", better: "less", digits: 1 },
        { key: "rssMib", question: "RSS at start", unit: "MiB", better: "less", digits: 1 },
      ],
      startUp,
    ),
};
