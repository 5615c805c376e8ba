// `sluice status`: one page that says how it goes. What is wrong stands last, where a person looks first.
import type { VerbArguments } from "../config/verbs.ts";
import { REASONS } from "../../shared/reason.ts";
import type { ServerView } from "../servers.ts";
import type { ListenerStatus, ReactorStatus, Status } from "../status_view.ts";
import { minutes } from "../trouble.ts";
import { askLive } from "./live.ts";
import type { Said } from "./said.ts";
import { serverColumns } from "./servers.ts";
import { ageText, bytesText, type Column, countText, tableLines } from "./table.ts";

/** Servers of the page; `sluice servers` has all. Those that are down come first. */
const SERVERS_SHOWN_MAX = 40;
const LISTENERS_SHOWN_MAX = 40;
const ENDED_SHOWN_MAX = 12;

const LISTENERS: readonly Column<ListenerStatus>[] = [
  { title: "LISTENER", of: ({ name }) => name },
  { title: "ON", of: ({ bind }) => bind },
  { title: "TO", of: ({ upstream }) => upstream === "" ? "-" : upstream },
  { title: "NOW", of: ({ connections }) => countText(connections.now), right: true },
  { title: "TOTAL", of: ({ connections }) => countText(connections.total), right: true },
  { title: "REFUSED", of: ({ refused }) => countText(all(refused)), right: true },
  { title: "REQUESTS", of: ({ requests }) => countText(requests), right: true },
  { title: "UP", of: ({ bytes }) => bytesText(bytes.up), right: true },
  { title: "DOWN", of: ({ bytes }) => bytesText(bytes.down), right: true },
];

/** Worth a place only while somebody waits. */
const WAITING: Column<ListenerStatus> = {
  title: "WAITING",
  of: ({ accept_queue }) => accept_queue === null ? "-" : countText(accept_queue.waiting),
  right: true,
};

function listenerColumns(listeners: readonly ListenerStatus[]): readonly Column<ListenerStatus>[] {
  if (!listeners.some(({ accept_queue }) => (accept_queue?.waiting ?? 0) > 0)) return LISTENERS;
  const at = LISTENERS.findIndex(({ title }) => title === "TOTAL");
  return LISTENERS.toSpliced(at, 0, WAITING);
}

const REACTORS: readonly Column<ReactorStatus>[] = [
  { title: "REACTOR", of: ({ room, role }) => role === "health" ? `${room} (health)` : String(room) },
  { title: "NOW", of: ({ connections }) => countText(connections.now), right: true },
  { title: "TOTAL", of: ({ connections }) => countText(connections.total), right: true },
  { title: "QUEUED", of: ({ queued }) => countText(queued), right: true },
  { title: "SOCKETS", of: ({ slots }) => countText(slots), right: true },
  { title: "PIPES", of: ({ pipes }) => countText(pipes), right: true },
  { title: "BLOCKS", of: ({ blocks }) => countText(blocks), right: true },
  { title: "TURNS", of: ({ turns }) => countText(turns), right: true },
  { title: "EVENTS", of: ({ events }) => countText(events), right: true },
];

function all(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

export async function status(given: VerbArguments): Promise<Said> {
  return await askLive<Status>(given, {
    path: "/status",
    given: [],
    check: () => ({}),
    isAnswer: ({ totals }) => totals !== undefined,
    text: statusText,
  });
}

export function statusText(status: Status): string {
  const { reactors, listeners, trouble } = status;
  return [
    ...head(status),
    "",
    ...some(listenerColumns(listeners), listeners, LISTENERS_SHOWN_MAX, "sluice status --format json"),
    "",
    ...serverLines(status),
    "",
    ...tableLines(REACTORS, reactors),
    "",
    ...endedLines(status),
    "",
    ...(trouble.length === 0 ? ["No trouble."] : ["Trouble:", ...trouble.map((line) => `  ${line}`)]),
    "",
  ].join("\n");
}

function upgradesText({ count, from }: Status["upgrades"]): string {
  return count === 0 ? "" : ` since upgrade ${count} (from ${from})`;
}

function head(
  { version, pid, phase, uptime_seconds, upgrades, runtime, generation, totals, recent, log_level }: Status,
): string[] {
  const { connections, bytes, requests } = totals;
  const perSecond = (count: number) => (count / Math.max(1, recent.seconds)).toFixed(1);
  return [
    `sluice ${version} (${runtime.name} ${runtime.version}), process ${pid}: ${phase}, up for ` +
    `${ageText(uptime_seconds)}${upgradesText(upgrades)}, configuration ${generation}, log level ${
      levelText(log_level)
    }`,
    `connections  ${countText(connections.now)} of ${countText(connections.max)} now, ` +
    `${countText(connections.total)} so far, ${perSecond(recent.connections)}/s`,
    ...(requests === 0
      ? []
      : [`requests     ${countText(requests)} so far, ${perSecond(recent.requests)}/s`]),
    `bytes        ${bytesText(bytes.up)} from clients, ${bytesText(bytes.down)} to them`,
  ];
}

function levelText({ now, configured }: Status["log_level"]): string {
  return now === configured ? now : `${now} (not ${configured})`;
}

/** The servers that are down, then the others. */
function serverLines({ upstreams }: Status): string[] {
  const all = upstreams.flatMap(({ name, servers }) =>
    servers.map((server): ServerView => ({ upstream: name, ...server }))
  );
  const isDown = ({ health }: ServerView): boolean => health === "down";
  const ordered = [...all.filter(isDown), ...all.filter((server) => !isDown(server))];
  return some(serverColumns(Date.now()), ordered, SERVERS_SHOWN_MAX, "sluice servers");
}

function some<T>(columns: readonly Column<T>[], rows: readonly T[], most: number, where: string): string[] {
  const more = rows.length - most;
  return [
    ...tableLines(columns, rows.slice(0, most)),
    ...(more > 0 ? [`and ${countText(more)} more: ${where}`] : []),
  ];
}

/** How connections and requests ended of late, the most frequent reason first. */
function endedLines({ recent }: Status): string[] {
  const ended = Object.entries(recent.ended).sort(([, one], [, other]) => other - one);
  const during = `in the last ${minutes(recent.seconds)}`;
  if (ended.length === 0) return [`Nothing ended ${during}.`];
  const columns: Column<[string, number]>[] = [
    { title: "ENDED", of: ([, count]) => countText(count), right: true },
    { title: `REASON, ${during}`, of: ([name]) => name },
    { title: "", of: ([name]) => textOf(name) },
  ];
  return [
    ...some(columns, ended, ENDED_SHOWN_MAX, "sluice status --format json"),
    ...(ended.some(([name]) => isError(name)) ? ["sluice why REASON explains one."] : []),
  ];
}

function textOf(name: string): string {
  return REASONS.find((reason) => reason.name === name)?.text ?? "";
}

function isError(name: string): boolean {
  return (REASONS.find((reason) => reason.name === name)?.type ?? null) !== null;
}
