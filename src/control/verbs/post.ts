// What the verbs have in common that change the running process: a body is posted, and what has become of it is shown to
// people or handed on as it is.
import { askJson, LiveError } from "../admin_client.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { doorOf } from "./door.ts";
import { refused, type Said, said } from "./said.ts";

export interface Order<T> {
  readonly path: string;
  readonly body: object;
  readonly isAnswer: (answer: Partial<T>) => boolean;
  readonly text: (answer: T) => string;
}

/** Posts and says the answer. Status 0: it is so now; 1: the process cannot be asked; 2: a mistake. */
export async function post<T>(
  { values }: VerbArguments,
  { path, body, isAnswer, text }: Order<T>,
): Promise<Said> {
  const door = doorOf(values);
  if ("problems" in door) return refused(door.problems);
  try {
    const answer = await askJson<T>(door, path, isAnswer, body);
    const [format] = values.get("--format") ?? ["text"];
    return said(format === "json" ? JSON.stringify(answer, null, 2) + "\n" : text(answer));
  } catch (error) {
    if (!(error instanceof LiveError)) throw error;
    return { status: error.status, stdout: "", stderr: `sluice: ${error.message}\n` };
  }
}
