/** What does the access log cost? Sluice alone: with its log in a file against none. */
import { type Figure, inRounds, type Line } from "../line.ts";
import { sluiceHttp, sluiceHttpSilent } from "../peers.ts";
import { type SmallMessages, smallMessages } from "../small_messages.ts";
import { loadOf } from "../stage.ts";

type Key = "silentUs" | "loggedUs" | "costUs" | "loggedPercent";

const FIGURES: Figure<Key>[] = [
  { key: "silentUs", question: "CPU per request, no log", unit: "us", better: "less", digits: 2 },
  { key: "loggedUs", question: "CPU per request, log in a file", unit: "us", better: "less", digits: 2 },
  { key: "costUs", question: "the log, per request", unit: "us", better: "less", digits: 2 },
  { key: "loggedPercent", question: "requests in the log", unit: "%", better: "more", digits: 2 },
];

export const line: Line = {
  name: "http-log",
  question: "http, Sluice alone: its access log in a file against none",
  proxies: [sluiceHttp],
  run(setting) {
    return inRounds(line, setting, setting.rounds, FIGURES, async () => {
      const ask = (proxy: typeof sluiceHttp): Promise<SmallMessages> =>
        smallMessages(proxy, loadOf(setting.quick), { pinned: true, threads: 1 });
      // There and back: what the machine does meanwhile, slower or faster, is with both.
      const before = await ask(sluiceHttpSilent);
      const logged = [await ask(sluiceHttp), await ask(sluiceHttp)];
      const after = await ask(sluiceHttpSilent);
      const silentUs = (before.cpuUs + after.cpuUs) / 2, loggedUs = (logged[0].cpuUs + logged[1].cpuUs) / 2;
      return {
        silentUs,
        loggedUs,
        costUs: loggedUs - silentUs,
        loggedPercent: Math.min(...logged.map(({ loggedPercent }) => loggedPercent)),
      };
    });
  },
};
