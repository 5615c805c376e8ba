/** What does a small message cost the proxy, one core, saturated? */
import { type Figure, inRounds, type Line } from "../line.ts";
import { haproxy, nginx, sluice } from "../peers.ts";
import { type SmallMessages, smallMessages } from "../small_messages.ts";
import { loadOf } from "../stage.ts";

export const CPU_FIGURES: Figure<keyof SmallMessages>[] = [
  { key: "cpuUs", question: "CPU per request", unit: "us", better: "less", digits: 2 },
  { key: "userUs", question: "user part of it", unit: "us", better: "less", digits: 2 },
  { key: "perSecond", question: "requests, pinned", unit: "1/s", better: "more", digits: 0 },
];

export const line: Line = {
  name: "cpu",
  question: "small messages, proxy pinned to one core: CPU per request, requests per second",
  proxies: [sluice, haproxy, nginx],
  run: (setting) =>
    inRounds(
      line,
      setting,
      setting.rounds,
      CPU_FIGURES,
      (proxy) => smallMessages(proxy, loadOf(setting.quick), { pinned: true, threads: 1 }),
    ),
};
