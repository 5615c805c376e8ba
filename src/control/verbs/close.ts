// `sluice close ID...`, or filters as `sluice connections` has them, or --all: connections of the running process end now.
import { shown } from "../config/errors.ts";
import { counted } from "../config/units.ts";
import type { VerbArguments } from "../config/verbs.ts";
import type { CloseAnswer } from "../connections/close.ts";
import { FILTERS } from "../connections/columns.ts";
import { readQuery } from "../connections/query.ts";
import { readId } from "../connections/tags.ts";
import { flagOf, givenOf } from "./live.ts";
import { post } from "./post.ts";
import { refused, type Said, saidNo } from "./said.ts";

export async function close(given: VerbArguments): Promise<Said> {
  const { values, rest } = given, filters = givenOf(values, FILTERS), isAll = values.has("--all");
  const wrong = rest.find((id) => readId(id) === undefined);
  if (wrong !== undefined) {
    return saidNo({
      where: shown(wrong),
      what: "no connection's id",
      remedy: "sluice connections lists them; filters are flags",
    });
  }
  const ways = [rest.length > 0, filters.length > 0, isAll].filter((way) => way).length;
  if (ways === 0) {
    return saidNo({
      where: "close",
      what: "nothing says which connections",
      remedy: "write ids that sluice connections lists, filters such as --client, or --all",
    });
  }
  if (ways > 1) {
    return saidNo({
      where: "close",
      what: "ids, filters and --all exclude each other",
      remedy: "give one of the three",
    });
  }
  const checked = readQuery(filters, undefined, flagOf);
  if ("problems" in checked) return refused(checked.problems);
  return await post<CloseAnswer>(given, {
    path: "/close",
    body: rest.length > 0 ? { connections: rest } : isAll ? { all: true } : bodyOf(filters),
    isAnswer: ({ closed }) => closed !== undefined,
    text: closedText,
  });
}

/** By filter all its values. */
function bodyOf(filters: ReturnType<typeof givenOf>): Record<string, string[]> {
  const body: Record<string, string[]> = {};
  for (const [filter, value] of filters) body[filter] = [...(body[filter] ?? []), value];
  return body;
}

function closedText({ closed, gone, gone_connections, unanswered }: CloseAnswer): string {
  const which = gone_connections.length === 0 ? "" : `: ${gone_connections.join(" ")}`;
  return [
    `closed ${counted(closed, "connection")}`,
    ...(gone === 0 ? [] : [`${gone} had ended before${which}`]),
    ...(unanswered === 0 ? [] : [`of ${unanswered} a reactor did not say in time whether they are closed`]),
    "",
  ].join("\n");
}
