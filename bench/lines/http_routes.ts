/** What do many routes cost? Sluice alone: the last of 10,000 against the only one. */
import { type Figure, inRounds, type Line } from "../line.ts";
import { lastRoute, ROUTES_MAX, sluiceWithRoutes } from "../peers.ts";
import { type Ask, smallMessages } from "../small_messages.ts";
import { loadOf } from "../stage.ts";

const ASK: Ask = { path: lastRoute.path, arguments: ["-H", `Host: ${lastRoute.host}`] };

const one = sluiceWithRoutes(1);
const many = sluiceWithRoutes(ROUTES_MAX);

type Key = "oneUs" | "manyUs" | "ratio";

const FIGURES: Figure<Key>[] = [
  { key: "oneUs", question: "CPU per request, 1 route", unit: "us", better: "less", digits: 2 },
  { key: "manyUs", question: `CPU per request, ${ROUTES_MAX} routes`, unit: "us", better: "less", digits: 2 },
  { key: "ratio", question: `${ROUTES_MAX} routes / 1 route`, unit: "x", better: "less", digits: 2 },
];

export const line: Line = {
  name: "http-routes",
  question: `http, Sluice alone: the last of ${ROUTES_MAX} routes against the only one`,
  proxies: [many],
  run(setting) {
    let round = 0;
    return inRounds(line, setting, setting.rounds, FIGURES, async () => {
      const cpuUs = async (proxy: typeof one) => {
        const how = { pinned: true, threads: 1, ask: ASK };
        return (await smallMessages(proxy, loadOf(setting.quick), how)).cpuUs;
      };
      // Each goes first in every other round.
      const manyFirst = round++ % 2 === 1 ? await cpuUs(many) : undefined;
      const oneUs = await cpuUs(one);
      const manyUs = manyFirst ?? await cpuUs(many);
      return { oneUs, manyUs, ratio: manyUs / oneUs };
    });
  },
};
