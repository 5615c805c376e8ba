/** How many small messages pass when the scheduler places everything and each proxy has two threads? */
import { inRounds, type Line } from "../line.ts";
import { haproxy, nginx, sluice } from "../peers.ts";
import { smallMessages } from "../small_messages.ts";
import { loadOf } from "../stage.ts";

export const line: Line = {
  name: "unpinned",
  question: "small messages, nothing pinned, two threads each: requests per second",
  proxies: [sluice, haproxy, nginx],
  run: (setting) =>
    inRounds(
      line,
      setting,
      setting.rounds,
      [{ key: "perSecond", question: "requests, unpinned", unit: "1/s", better: "more", digits: 0 }],
      (proxy) => smallMessages(proxy, loadOf(setting.quick), { pinned: false, threads: 2 }),
    ),
};
