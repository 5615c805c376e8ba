/** What does a request cost an HTTP proxy, one core, saturated, access log on? With a small head. */
import { type Figure, inRounds, type Line } from "../line.ts";
import { haproxyHttp, nginxHttp, sluiceHttp } from "../peers.ts";
import { type Ask, type SmallMessages, smallMessages } from "../small_messages.ts";
import { loadOf } from "../stage.ts";
import { CPU_FIGURES } from "./cpu.ts";

/** A line about the cost of one kind of request head. */
export function headLine(name: string, heads: string, ask: Ask): Line {
  const figures: Figure<keyof SmallMessages>[] = [
    ...CPU_FIGURES.map((figure) => ({ ...figure, question: `${figure.question}, ${heads}` })),
    { key: "loggedPercent", question: "requests in the log", unit: "%", better: "more", digits: 1 },
  ];
  const line: Line = {
    name,
    question: `http with ${heads}, access log on, pinned to one core: CPU per request, requests per second`,
    proxies: [sluiceHttp, haproxyHttp, nginxHttp],
    run: (setting) =>
      inRounds(
        line,
        setting,
        setting.rounds,
        figures,
        (proxy) => smallMessages(proxy, loadOf(setting.quick), { pinned: true, threads: 1, ask }),
      ),
  };
  return line;
}

export const line = headLine("http-small", "small heads", { path: "/", arguments: [] });
