/**
 * What does a connection cost in memory while it says nothing?
 *
 * The growth of Private_Dirty between few and many held connections, each of which has carried one
 * small message, after a time of quiet. Connections that came and went before warm everybody up: a
 * proxy that has just started still settles (compilation, heaps). Kernel memory is not in it.
 */
import { inRounds, type Line } from "../line.ts";
import { end, memoryBytes, nextLine, numbers, run, start } from "../measure.ts";
import { fileLimit, haproxy, nginx, type Proxy, sluice } from "../peers.ts";
import { LOAD_CORE, withProxy } from "../stage.ts";
import { tool } from "../tools.ts";
import { setTimeout as sleep } from "node:timers/promises";

const WARM_UP = 20_000;
const FEW = 1_000;
// The proxy needs two files for each.
const MANY = Math.min(9_000, Math.floor((fileLimit - 1_000) / 2));
const QUIET_MS = 5_000; // not a wait for an event: the question is what remains after it
const ROUNDS_MAX = 3;

function bytesPerConnection(proxy: Proxy) {
  return withProxy(proxy, { pinned: true, threads: 1, seconds: 120 }, async (pid, port) => {
    const command = [tool("idle"), "--port", String(port), "--seconds", "90"];
    if (proxy.tls) command.push("--tls", "13");
    const holder = start(command, { deadlineMs: 95_000, core: LOAD_CORE });
    const hold = async (count: number) => {
      const answer = nextLine(holder);
      holder.stdin.write(`${count}\n`);
      const said = numbers(await answer);
      if (said.failed + said.lost > 0) throw new Error(`${said.failed} failed, ${said.lost} lost`);
    };
    try {
      const churn = proxy.tls
        ? [tool("handshake"), "--request", "1"]
        : [tool("churn"), "--concurrency", "64"];
      await run([...churn, "--port", String(port), "--count", String(WARM_UP), "--seconds", "30"], {
        deadlineMs: 35_000,
        core: LOAD_CORE,
      });
      await sleep(QUIET_MS);
      await hold(FEW);
      await sleep(QUIET_MS);
      const few = memoryBytes(pid, "Private_Dirty");
      await hold(MANY);
      await sleep(QUIET_MS);
      const many = memoryBytes(pid, "Private_Dirty");
      await hold(MANY); // none was lost meanwhile
      return { bytes: (many - few) / (MANY - FEW) };
    } finally {
      await end(holder);
    }
  });
}

export function idleLine(name: string, question: string, proxies: Proxy[], must?: number): Line {
  const line: Line = {
    name,
    question: `${question}, between ${FEW} and ${MANY}`,
    proxies,
    run(setting) {
      if (MANY < 2 * FEW) throw new Error(`${fileLimit} open files are too few`);
      return inRounds(
        line,
        setting,
        Math.min(ROUNDS_MAX, setting.rounds),
        [{ key: "bytes", question: "per idle connection", unit: "bytes", better: "less", digits: 0, must }],
        bytesPerConnection,
      );
    },
  };
  return line;
}

export const line = idleLine("idle", "user-space bytes per idle connection", [sluice, haproxy, nginx]);
