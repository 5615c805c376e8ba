/**
 * What does a limit of bandwidth cost, and is it kept? Sluice alone: `iperf3` through it, one connection, down, at a
 * limit; without one but with a sender that keeps to the same rate by itself, since a wake-up costs the same whoever
 * makes the pauses; and without, as fast as it goes. The first second, which has the burst, is left out.
 */
import { type Figure, inRounds, type Line } from "../line.ts";
import { slowed, sluice } from "../peers.ts";
import { loadOf } from "../stage.ts";
import { through } from "./bulk.ts";

type Key = "freeMs" | "calmMs" | "slowedMs" | "ratio" | "fastOffPercent" | "slowOffPercent";

const FIGURES: Figure<Key>[] = [
  { key: "freeMs", question: "CPU per Gbit, no limit", unit: "ms", better: "less", digits: 2 },
  { key: "calmMs", question: "CPU per Gbit, no limit, 1 Gbit/s sent", unit: "ms", better: "less", digits: 2 },
  { key: "slowedMs", question: "CPU per Gbit, limit of 1 Gbit/s", unit: "ms", better: "less", digits: 2 },
  { key: "ratio", question: "the limit over none, both at 1 Gbit/s", unit: "", better: "less", digits: 2 },
  { key: "fastOffPercent", question: "off 1 Gbit/s by", unit: "%", better: "less", digits: 2 },
  { key: "slowOffPercent", question: "off 64 kB/s by", unit: "%", better: "less", digits: 2 },
];

const FAST = { rate: "125MB/s", gbitPerS: 1 };
const SLOW = { rate: "64kB/s", gbitPerS: 64e3 * 8 / 1e9 };
const SKIP_S = 1;
/** A block of the sender's is far less than a second's worth, at whatever rate. */
const shape = (block: string, rate = "0") => {
  const one = ["-P", "1", "-l", block, "-b", rate];
  return { warmUp: one, measured: [...one, "-O", String(SKIP_S)] };
};

const offPercent = (got: number, asked: number): number => 100 * Math.abs(got / asked - 1);

export const line: Line = {
  name: "bandwidth",
  question: "Sluice alone: many bytes at a limit of 1 Gbit/s against none; how well rates are kept",
  proxies: [sluice],
  run: (setting) =>
    inRounds(line, setting, setting.rounds, FIGURES, async () => {
      const load = loadOf(setting.quick);
      const ask = (proxy: typeof sluice, ...how: Parameters<typeof shape>) =>
        through(proxy, load, "down", shape(...how));
      const free = await ask(sluice, "128K");
      // There and back: what the machine does meanwhile, slower or faster, is with both.
      const before = await ask(sluice, "128K", "1G"), fast = await ask(slowed(FAST.rate), "128K");
      const again = await ask(slowed(FAST.rate), "128K"), after = await ask(sluice, "128K", "1G");
      const slow = await ask(slowed(SLOW.rate), "1K");
      const calmMs = (1e3 / before.perCpuS + 1e3 / after.perCpuS) / 2;
      const slowedMs = (1e3 / fast.perCpuS + 1e3 / again.perCpuS) / 2;
      return {
        freeMs: 1e3 / free.perCpuS,
        calmMs,
        slowedMs,
        ratio: slowedMs / calmMs,
        fastOffPercent: offPercent((fast.perS + again.perS) / 2, FAST.gbitPerS),
        slowOffPercent: offPercent(slow.perS, SLOW.gbitPerS),
      };
    }),
};
