// `sluice log-level LEVEL`: the running process's log says more, or less, until it is undone.
import type { LevelChanged } from "../admin_changes.ts";
import { didYouMean, quoted, shown } from "../config/errors.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { LEVELS } from "../log.ts";
import { RESET } from "./change.ts";
import { post } from "./post.ts";
import { type Said, saidNo } from "./said.ts";

const WORDS: readonly string[] = [...LEVELS, RESET];

export async function logLevel(given: VerbArguments): Promise<Said> {
  const isUndo = given.values.has("--undo"), [word = isUndo ? RESET : undefined, more] = given.rest;
  const forms = `write ${WORDS.slice(0, -1).join(", ")} or ${RESET}`;
  if (word === undefined) return saidNo({ where: "log-level", what: "no level", remedy: forms });
  if (more !== undefined) return saidNo({ where: shown(more), what: "a second level", remedy: "write one" });
  if (!WORDS.includes(word)) {
    const what = `${quoted(word)} is no level`;
    return saidNo({ where: "log-level", what, remedy: didYouMean(word, WORDS, forms) });
  }
  return await post<LevelChanged>(given, {
    path: "/log-level",
    body: { level: isUndo || word === RESET ? null : word },
    isAnswer: ({ level }) => level !== undefined,
    text: ({ level, configured_level, before }) => {
      const already = level === before ? " already" : "";
      const why = level === configured_level
        ? ", as configured"
        : `, in place of the configured ${configured_level}`;
      return `the log's level is ${level}${already}${why}\n`;
    },
  });
}
