// `sluice reload`: the running process reads its file again. Says what has changed, or why nothing has.
import { askJson, LiveError } from "../admin_client.ts";
import { shown } from "../config/errors.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { changeLines, type ReloadAnswer, summaryOf } from "../reload_answer.ts";
import { doorOf } from "./door.ts";
import { refused, type Said, saidNo } from "./said.ts";

/** The running process has deadlines of its own, which end before. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Status 0: the file is in force; 1: it cannot be now, or the process cannot be asked; 2: the file is none. */
export async function reload({ values, rest }: VerbArguments): Promise<Said> {
  if (rest.length > 0) {
    const remedy = "the running process knows its file; -c FILE says only where its admin API is";
    return saidNo({ where: shown(rest[0]), what: "neither a flag nor a value of one", remedy });
  }
  const door = doorOf(values);
  if ("problems" in door) return refused(door.problems);
  try {
    const isAnswer = ({ reloaded }: Partial<ReloadAnswer>) => typeof reloaded === "boolean";
    const answer = await askJson<ReloadAnswer>(door, "/reload", isAnswer, {}, ANSWER_TIMEOUT_MS);
    const [format] = values.get("--format") ?? ["text"], status = answer.reloaded ? 0 : answer.status;
    if (format === "json") return { status, stdout: JSON.stringify(answer, null, 2) + "\n", stderr: "" };
    return answer.reloaded
      ? { status, stdout: textOf(answer), stderr: "" }
      : { status, stdout: "", stderr: whyOf(answer) };
  } catch (error) {
    if (!(error instanceof LiveError)) throw error;
    return { status: error.status, stdout: "", stderr: `sluice: ${error.message}\n` };
  }
}

function textOf(answer: Extract<ReloadAnswer, { reloaded: true }>): string {
  const warnings = answer.warnings.map((warning) => `warning: ${warning}`);
  return [summaryOf(answer), ...changeLines(answer), ...warnings, ""].join("\n");
}

function whyOf({ text }: Extract<ReloadAnswer, { reloaded: false }>): string {
  return `${text}sluice: not reloaded, the running process goes on as before\n`;
}
