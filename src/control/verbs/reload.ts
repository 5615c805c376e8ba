// `sluice reload`: the running process reads its file again. Says what has changed, or why nothing has.
import { shown } from "../config/errors.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { changeLines, type ReloadAnswer, summaryOf } from "../reload_answer.ts";
import { post, START_TIMEOUT_MS } from "./post.ts";
import { type Said, saidNo } from "./said.ts";

/** Status 0: the file is in force; 1: it cannot be now, or the process cannot be asked; 2: the file is none. */
export async function reload(given: VerbArguments): Promise<Said> {
  const { rest } = given;
  if (rest.length > 0) {
    const remedy = "the running process knows its file; -c FILE says only where its admin API is";
    return saidNo({ where: shown(rest[0]), what: "neither a flag nor a value of one", remedy });
  }
  return await post<ReloadAnswer>(given, {
    path: "/reload",
    body: {},
    isAnswer: ({ reloaded }) => typeof reloaded === "boolean",
    text: (answer) => answer.reloaded ? textOf(answer) : "",
    refusal: (answer) => answer.reloaded ? undefined : { status: answer.status, why: whyOf(answer) },
    timeoutMs: START_TIMEOUT_MS,
  });
}

function textOf(answer: Extract<ReloadAnswer, { reloaded: true }>): string {
  const warnings = answer.warnings.map((warning) => `warning: ${warning}`);
  return [summaryOf(answer), ...changeLines(answer), ...warnings, ""].join("\n");
}

function whyOf({ text }: Extract<ReloadAnswer, { reloaded: false }>): string {
  return `${text}sluice: not reloaded, the running process goes on as before\n`;
}
