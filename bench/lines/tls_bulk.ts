/** What do large bodies cost an HTTP proxy whose client speaks TLS? The server behind it does not. */
import { inRounds, type Line } from "../line.ts";
import { haproxyHttpsBulk, nginxHttpsBulk, sluiceHttps } from "../peers.ts";
import { loadOf } from "../stage.ts";
import { BULK_FIGURES } from "./bulk.ts";
import { bodies } from "./http_bulk.ts";
import { LEAST } from "./tls_handshake.ts";

const FIGURES = BULK_FIGURES.map((figure) => ({
  ...figure,
  question: `${figure.question}, over TLS`,
  must: figure.key === "downPerCpuS" || figure.key === "upPerCpuS" ? LEAST : undefined,
}));

export const line: Line = {
  name: "tls-bulk",
  question: "https, bodies of 1 GiB, up and down: Gbit per CPU second of the proxy, and Gbit per second",
  proxies: [sluiceHttps, haproxyHttpsBulk, nginxHttpsBulk],
  run: (setting) =>
    inRounds(line, setting, setting.rounds, FIGURES, (proxy) => bodies(proxy, loadOf(setting.quick))),
};
