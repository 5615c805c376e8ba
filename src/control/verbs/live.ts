// What the verbs have in common that ask the running process: their flags are the parameters of a path, the answer is
// shown to people or handed on as it is.
import { askJson, LiveError } from "../admin_client.ts";
import type { ConfigProblem } from "../config/errors.ts";
import { shown } from "../config/errors.ts";
import type { VerbArguments } from "../config/verbs.ts";
import type { Given } from "../parameters.ts";
import { doorOf } from "./door.ts";
import { refused, type Said, said, saidNo } from "./said.ts";

/** A flag as a parameter, and back. */
export const flagOf = (parameter: string): string => `--${parameter}`;

/** The parameters among the flags of a verb. */
export function givenOf(values: VerbArguments["values"], parameters: readonly string[]): Given[] {
  return parameters.flatMap((parameter) =>
    (values.get(flagOf(parameter)) ?? []).map((value): Given => [parameter, value])
  );
}

export interface LiveQuestion<T> {
  readonly path: string;
  readonly given: readonly Given[];
  /** Reads them here first, where the flags' names are known. */
  readonly check: (given: readonly Given[]) => object | { problems: ConfigProblem[] };
  readonly isAnswer: (answer: Partial<T>) => boolean;
  readonly text: (answer: T) => string;
}

/** Asks and says the answer. Status 1: the process cannot be asked; 2: a mistake. */
export async function askLive<T>({ values, rest }: VerbArguments, question: LiveQuestion<T>): Promise<Said> {
  if (rest.length > 0) {
    return saidNo({
      where: shown(rest[0]),
      what: "neither a flag nor a value of one",
      remedy: "the running process is asked; say what for by flags",
    });
  }
  const { path, given, check, isAnswer, text } = question;
  const checked = check(given);
  if ("problems" in checked) return refused(checked.problems as ConfigProblem[]);
  const door = doorOf(values);
  if ("problems" in door) return refused(door.problems);
  const query = new URLSearchParams(given.map(([name, value]): [string, string] => [name, value]));
  try {
    const answer = await askJson<T>(door, given.length === 0 ? path : `${path}?${query}`, isAnswer);
    const [format] = values.get("--format") ?? ["text"];
    return said(format === "json" ? JSON.stringify(answer, null, 2) + "\n" : text(answer));
  } catch (error) {
    if (!(error instanceof LiveError)) throw error;
    // What the process finds wrong with a parameter is wrong with its flag.
    const message = error.status === 2 ? flagOf(error.message) : error.message;
    return { status: error.status, stdout: "", stderr: `sluice: ${message}\n` };
  }
}
