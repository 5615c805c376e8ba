// `sluice connections`: who is connected now, to whom, for how long, and what they move; or all of them counted by
// source, listener, upstream, server or state.
import type { VerbArguments } from "../config/verbs.ts";
import { counted } from "../config/units.ts";
import type { ConnectionsAnswer, ConnectionView, GroupView } from "../connections/answer.ts";
import { PARAMETERS } from "../connections/columns.ts";
import { readQuery } from "../connections/query.ts";
import { askLive, flagOf, givenOf } from "./live.ts";
import type { Said } from "./said.ts";
import { ageText, bytesText, type Column, countText, rateText, tableLines } from "./table.ts";

const CONNECTIONS: readonly Column<ConnectionView>[] = [
  { title: "ID", of: ({ id }) => id },
  { title: "CLIENT", of: ({ client }) => client ?? "-" },
  { title: "LISTENER", of: ({ listener }) => listener ?? "-" },
  { title: "UPSTREAM", of: ({ upstream }) => upstream ?? "-" },
  { title: "SERVER", of: ({ server }) => server ?? "-" },
  { title: "STATE", of: ({ state }) => state },
  { title: "AGE", of: ({ age_seconds }) => ageText(age_seconds), right: true },
  { title: "IDLE", of: ({ idle_seconds }) => ageText(idle_seconds), right: true },
  { title: "UP", of: ({ bytes }) => bytesText(bytes.up), right: true },
  { title: "DOWN", of: ({ bytes }) => bytesText(bytes.down), right: true },
];
const CONNECTION_RATES: readonly Column<ConnectionView>[] = [
  { title: "UP/S", of: ({ rates }) => rateText(rates?.up), right: true },
  { title: "DOWN/S", of: ({ rates }) => rateText(rates?.down), right: true },
];
const REQUESTS: Column<ConnectionView> = {
  title: "REQUESTS",
  of: ({ requests }) => requests === null ? "-" : countText(requests),
  right: true,
};

const GROUPS: readonly Column<GroupView>[] = [
  { title: "CONNECTIONS", of: ({ connections }) => countText(connections), right: true },
  { title: "UP", of: ({ bytes }) => bytesText(bytes.up), right: true },
  { title: "DOWN", of: ({ bytes }) => bytesText(bytes.down), right: true },
];
const GROUP_RATES: readonly Column<GroupView>[] = [
  { title: "UP/S", of: ({ rates }) => rateText(rates?.up), right: true },
  { title: "DOWN/S", of: ({ rates }) => rateText(rates?.down), right: true },
];

/** Rates are asked for unless they are not wanted: a person waits a second for them. */
export async function connections(given: VerbArguments): Promise<Said> {
  const parameters = givenOf(given.values, PARAMETERS);
  const hasRates = parameters.some(([name]) => name === "rates");
  return await askLive<ConnectionsAnswer>(given, {
    path: "/connections",
    given: hasRates ? parameters : [...parameters, ["rates", "on"]],
    check: (given) => readQuery(given, undefined, flagOf),
    isAnswer: ({ matched }) => matched !== undefined,
    text: connectionsText,
  });
}

export function connectionsText(answer: ConnectionsAnswer): string {
  const { connections = [], groups = [], by } = answer;
  const lines = by === undefined ? connectionLines(answer, connections) : groupLines(answer, by, groups);
  return [...lines, ...(lines.length > 0 ? [""] : []), ...foot(answer), ""].join("\n");
}

function connectionLines(
  { rates_over_seconds }: ConnectionsAnswer,
  connections: readonly ConnectionView[],
): string[] {
  if (connections.length === 0) return [];
  const columns = [
    ...CONNECTIONS,
    ...(rates_over_seconds === null ? [] : CONNECTION_RATES),
    ...(connections.some(({ requests }) => requests !== null) ? [REQUESTS] : []),
  ];
  return tableLines(columns, connections);
}

function groupLines(
  { rates_over_seconds, others }: ConnectionsAnswer,
  by: string,
  groups: readonly GroupView[],
): string[] {
  if (groups.length === 0) return [];
  const name: Column<GroupView> = { title: by.toUpperCase(), of: ({ name }) => name ?? "-" };
  const rest = others == null ? [] : [{ ...others, name: "(others)" }];
  const columns = [name, ...GROUPS, ...(rates_over_seconds === null ? [] : GROUP_RATES)];
  return tableLines(columns, [...groups, ...rest]);
}

/** How much of all there is this is. */
function foot({ total, matched, shown, truncated, by, rows_changed, sort }: ConnectionsAnswer): string[] {
  const all = `${counted(total, "connection")}${matched === total ? "" : `, ${matched} of them as asked`}`;
  const [column, order] = sort.split(":");
  const what = by === undefined
    ? `the first ${shown} by ${column} (${order})`
    : `the first ${shown} by ${column}`;
  return [
    truncated ? `${all}; ${what} are shown: --limit N shows more, filters and --sort others` : all,
    ...(rows_changed > 0 ? [`${counted(rows_changed, "row")} changed too fast to be told`] : []),
  ];
}
