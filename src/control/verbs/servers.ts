// `sluice servers`: every server of every upstream, what its checks say of it, and what it has carried.
import type { VerbArguments } from "../config/verbs.ts";
import { counted } from "../config/units.ts";
import { SERVER_PARAMETERS } from "../server_columns.ts";
import { readServersQuery, type ServersAnswer, type ServerView } from "../servers.ts";
import { askLive, flagOf, givenOf } from "./live.ts";
import type { Said } from "./said.ts";
import { ageText, bytesText, type Column, countText, sinceText, tableLines } from "./table.ts";

export async function servers(given: VerbArguments): Promise<Said> {
  return await askLive<ServersAnswer>(given, {
    path: "/servers",
    given: givenOf(given.values, SERVER_PARAMETERS),
    check: (given) => readServersQuery(given, undefined, flagOf),
    isAnswer: ({ servers }) => servers !== undefined,
    text: serversText,
  });
}

/** The columns of servers as of some time. */
export function serverColumns(nowMs: number): readonly Column<ServerView>[] {
  return [
    { title: "UPSTREAM", of: ({ upstream }) => upstream },
    { title: "SERVER", of: ({ address }) => address },
    { title: "HEALTH", of: ({ health }) => health },
    { title: "SINCE", of: ({ since }) => sinceText(since, nowMs), right: true },
    { title: "WEIGHT", of: (server) => weightText(server, nowMs) },
    { title: "NOW", of: ({ connections }) => countText(connections.now), right: true },
    { title: "TOTAL", of: ({ connections }) => countText(connections.total), right: true },
    { title: "FAILED", of: ({ connections }) => countText(connections.failed), right: true },
    { title: "UP", of: ({ bytes }) => bytesText(bytes.up), right: true },
    { title: "DOWN", of: ({ bytes }) => bytesText(bytes.down), right: true },
    { title: "LAST CHECK", of: lastCheck },
  ];
}

/** What it counts in balancing, and why not as configured: `3 20% for 25s`, `1 backup drained`, `5 (not 1) avoided for
 * 4s`. */
function weightText(server: ServerView, nowMs: number): string {
  const { weight, slow_start: share, slow_start_until, backup, drained, disabled, avoided_until, full } =
    server;
  const forLong = (until: string | null) =>
    until === null ? "" : ` for ${ageText(Math.max(0, Date.parse(until) - nowMs) / 1_000)}`;
  const words = [
    ...(weight === server.configured_weight ? [] : [`(not ${server.configured_weight})`]),
    ...(share === null ? [] : [`${Math.round(share * 100)}%${forLong(slow_start_until)}`]),
    ...(backup ? ["backup"] : []),
    ...(drained ? ["drained"] : []),
    ...(disabled ? ["disabled"] : []),
    ...(avoided_until === null ? [] : [`avoided${forLong(avoided_until)}`]),
    ...(full ? ["full"] : []),
  ];
  return [String(weight), ...words].join(" ");
}

/** Why it is down, else what the last check heard. */
function lastCheck({ health, why, last_check }: ServerView): string {
  return (health === "down" ? why?.text ?? last_check?.text : last_check?.text) ?? "-";
}

export function serversText(answer: ServersAnswer): string {
  const { at, total, matched, shown, truncated, servers } = answer;
  const lines = servers.length === 0 ? [] : [...tableLines(serverColumns(Date.parse(at)), servers), ""];
  const all = `${counted(total, "server")}${matched === total ? "" : `, ${matched} of them as asked`}`;
  return [...lines, truncated ? `${all}; the first ${shown} are shown: --limit N shows more` : all, ""].join(
    "\n",
  );
}
