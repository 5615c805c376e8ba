/** What does a request cost an HTTP proxy whose client speaks TLS and keeps its connection? */
import { type Figure, inRounds, type Line } from "../line.ts";
import { haproxyHttps, nginxHttps, sluiceHttps } from "../peers.ts";
import { type SmallMessages, smallMessages } from "../small_messages.ts";
import { loadOf } from "../stage.ts";
import { LEAST } from "./tls_handshake.ts";

const FIGURES: Figure<keyof SmallMessages>[] = [
  { key: "perCpuS", question: "requests over TLS", unit: "1/CPU s", better: "more", digits: 0, must: LEAST },
  { key: "userUs", question: "user part of one", unit: "us", better: "less", digits: 2 },
  { key: "perSecond", question: "requests over TLS, pinned", unit: "1/s", better: "more", digits: 0 },
  { key: "loggedPercent", question: "requests in the log", unit: "%", better: "more", digits: 1 },
];

export const line: Line = {
  name: "tls-small",
  question: "https, small heads, connections kept, saturated: requests per CPU second of the proxy",
  proxies: [sluiceHttps, haproxyHttps, nginxHttps],
  run: (setting) =>
    inRounds(
      line,
      setting,
      setting.rounds,
      FIGURES,
      (proxy) => smallMessages(proxy, loadOf(setting.quick), { pinned: true, threads: 1 }),
    ),
};
