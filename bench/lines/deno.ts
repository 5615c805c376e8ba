/** What does a small message cost when the same sources run on Deno? The cpu line again. */
import { inRounds, type Line } from "../line.ts";
import { haproxy, nginx, sluiceOnDeno } from "../peers.ts";
import { smallMessages } from "../small_messages.ts";
import { loadOf } from "../stage.ts";
import { CPU_FIGURES } from "./cpu.ts";

export const line: Line = {
  name: "deno",
  question: "the cpu line with Sluice's sources run by Deno",
  proxies: [sluiceOnDeno, haproxy, nginx],
  run: (setting) =>
    inRounds(
      line,
      setting,
      setting.rounds,
      CPU_FIGURES.map((figure) => ({ ...figure, question: `${figure.question}, on Deno` })),
      (proxy) => smallMessages(proxy, loadOf(setting.quick), { pinned: true, threads: 1 }),
    ),
};
