// `sluice drain|disable|enable|weight ADDRESS`: what an operator says of a server of the running process.
import type { ServerChanged, ServersChanged } from "../admin_changes.ts";
import { SERVER_WEIGHT } from "../config/address.ts";
import { didYouMean, quoted, shown } from "../config/errors.ts";
import { counted, readCount } from "../config/units.ts";
import type { VerbArguments } from "../config/verbs.ts";
import type { ServerChange } from "../overrides.ts";
import { post } from "./post.ts";
import { type Said, saidNo } from "./said.ts";

/** For the configured weight, or level, again. */
export const RESET = "reset";

export async function changeServer(verb: ServerChange["kind"], given: VerbArguments): Promise<Said> {
  const { values, rest } = given, [server, ...words] = rest, [upstream] = values.get("--upstream") ?? [];
  if (server === undefined) {
    return saidNo({ where: verb, what: "no server", remedy: "write its address; sluice servers lists them" });
  }
  const weight = verb === "weight" ? weightIn(words, values.has("--undo")) : undefined;
  if (weight !== undefined && "status" in weight) return weight;
  const more = words[weight?.words ?? 0];
  if (more !== undefined) {
    return saidNo({ where: shown(more), what: "a second server", remedy: `${verb} one at a time` });
  }
  const own = weight === undefined
    ? { undo: verb === "drain" ? values.has("--undo") : undefined }
    : { weight: weight.weight };
  return await post<ServersChanged>(given, {
    path: `/${verb}`,
    body: { server, upstream, ...own },
    isAnswer: ({ servers }) => servers !== undefined,
    text: ({ servers }) =>
      servers.map((changed) =>
        `${changed.address} of upstream ${shown(changed.upstream)} ${textOf(verb, changed)}\n`
      )
        .join(""),
  });
}

/** The weight, null for the configured one, and how many words it took. */
function weightIn(
  [word]: readonly string[],
  isUndo: boolean,
): { weight: number | null; words: number } | Said {
  if (isUndo) return { weight: null, words: word === RESET ? 1 : 0 };
  const { min, max } = SERVER_WEIGHT;
  if (word === undefined) {
    return saidNo({
      where: "weight",
      what: "no weight",
      remedy: `write a number from ${min} to ${max}, or ${RESET}`,
    });
  }
  if (word === RESET) return { weight: null, words: 1 };
  const reading = readCount(word, SERVER_WEIGHT);
  if (reading.ok) return { weight: reading.value, words: 1 };
  if (/^[0-9]/.test(word)) return saidNo({ where: "weight", what: reading.what, remedy: reading.remedy });
  const otherwise = `write a number from ${min} to ${max}, or ${RESET}`;
  return saidNo({
    where: "weight",
    what: `${quoted(word)} is no weight`,
    remedy: didYouMean(word, [RESET], otherwise),
  });
}

function textOf(verb: ServerChange["kind"], server: ServerChanged): string {
  const { drained, disabled, weight, configured_weight, changed, connections } = server;
  const already = changed ? "" : " already";
  const goOn = `${counted(connections, "connection")} ${connections === 1 ? "goes" : "go"} on`;
  switch (verb) {
    case "disable":
      return `is disabled${already}: it gets nothing new and is not checked, ${goOn}`;
    case "enable":
      return `is enabled${already}: it may get connections`;
    case "weight":
      return weight === configured_weight
        ? `has weight ${weight}${already}, as configured`
        : `has weight ${weight}${already}, in place of the configured ${configured_weight}`;
    case "drain": {
      if (drained) return `is drained${already}: it gets nothing new, ${goOn}`;
      const still = disabled ? "; it is disabled: sluice enable undoes that" : "";
      return `is not drained${changed ? " any more" : ""}${still}`;
    }
  }
}
