/**
 * What does a crowd cost that talks now and then? Each of many connections sends 800 bytes every one to ten
 * seconds and has them back.
 *
 * All-in is what the machine has less of (MemAvailable): the proxy, its two sockets for each connection, and what
 * they hold. The same crowd is asked without a proxy first, and what it costs, its ends' sockets included, is
 * taken off.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Figure, inRounds, type Line } from "../line.ts";
import { availableBytes, cpu, cpuSince, end, memoryBytes, nextLine, numbers, start } from "../measure.ts";
import { fileLimit, haproxy, nginx, type Proxy, sluice } from "../peers.ts";
import { LOAD_CORE, withOrigin, withProxy } from "../stage.ts";
import { tool } from "../tools.ts";

// The proxy needs two files for each.
const CROWD = Math.min(9_500, Math.floor((fileLimit - 1_000) / 2));
const OPENING_S = 15;
/** They talk for so long before it is looked, then while it is. */
const SETTLING_MS = 10_000; // not a wait for an event: everybody has spoken once by then
const ROUNDS_MAX = 3;

/** Looks every second, for so many seconds, and takes the mean. */
async function meanAvailable(seconds: number): Promise<number> {
  let sum = 0;
  for (let second = 0; second < seconds; second++) {
    sum += availableBytes();
    await sleep(1_000);
  }
  return sum / seconds;
}

type Crowd = { bytes: number; messages: number };

/** What the machine has less of while a crowd talks to `port`, from before it came; `look` is called meanwhile. */
async function crowd(port: number, seconds: number, look: () => void): Promise<Crowd> {
  const before = await meanAvailable(3);
  const whole = OPENING_S + SETTLING_MS / 1_000 + seconds;
  const words = ["--port", String(port), "--connections", String(CROWD), "--seconds", String(whole)];
  const child = start([tool("chatter"), ...words], { deadlineMs: (whole + 10) * 1_000, core: LOAD_CORE });
  try {
    await nextLine(child);
    await sleep(SETTLING_MS);
    const meanwhile = await meanAvailable(seconds - 1);
    look();
    const said = numbers(await nextLine(child));
    if (said.failed + said.lost > 0) throw new Error(`${said.failed} failed, ${said.lost} lost`);
    return { bytes: before - meanwhile, messages: said.messages };
  } finally {
    await end(child);
  }
}

async function measure(proxy: Proxy, seconds: number) {
  const deadline = seconds + 60;
  const direct = await withOrigin(LOAD_CORE, deadline, (port) => crowd(port, seconds, () => {}), "echo");
  const how = { pinned: true, threads: 1, seconds: deadline, origin: "echo" } as const;
  return await withProxy(proxy, how, async (pid, port) => {
    const fresh = memoryBytes(pid, "Rss"), began = cpu(pid);
    let rss = 0, cpuS = 0;
    const through = await crowd(port, seconds, () => {
      rss = memoryBytes(pid, "Rss");
      cpuS = cpuSince(pid, began).totalS;
    });
    return {
      allIn: (through.bytes - direct.bytes) / CROWD,
      user: (rss - fresh) / CROWD,
      rssMiB: rss / 2 ** 20,
      cpuUs: cpuS * 1e6 / through.messages,
    };
  });
}

const FIGURES: Figure<"allIn" | "user" | "rssMiB" | "cpuUs">[] = [
  { key: "allIn", question: "all-in, per connection", unit: "bytes", better: "less", digits: 0 },
  { key: "user", question: "of it in user space", unit: "bytes", better: "less", digits: 0 },
  { key: "rssMiB", question: "Rss of the proxy", unit: "MiB", better: "less", digits: 0 },
  {
    key: "cpuUs",
    question: "CPU per message, its connection's start included",
    unit: "us",
    better: "less",
    digits: 1,
  },
];

export const line: Line = {
  name: "echo",
  question: `memory of ${CROWD} connections that each echo 800 bytes every 1 to 10 s`,
  proxies: [sluice, haproxy, nginx],
  run(setting) {
    const seconds = setting.quick ? 15 : 60;
    return inRounds(
      line,
      setting,
      Math.min(ROUNDS_MAX, setting.rounds),
      FIGURES,
      (proxy) => measure(proxy, seconds),
    );
  },
};
