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
  /** Where it was understood and not done: why, for people, and the exit status; undefined: it was done. */
  readonly refusal?: (answer: T) => { readonly status: 1 | 2; readonly why: string } | undefined;
  /** Of what may take longer than other answers. */
  readonly timeoutMs?: number;
}

/** For what takes as long as a start may: the running process has deadlines of its own, which end before. */
export const START_TIMEOUT_MS = 60_000;

/** Posts and says the answer. Status 0: it is so now; 1: the process cannot be asked; 2: a mistake; that of a refusal. */
export async function post<T>(
  { values }: VerbArguments,
  { path, body, isAnswer, text, refusal, timeoutMs }: Order<T>,
): Promise<Said> {
  const door = doorOf(values);
  if ("problems" in door) return refused(door.problems);
  try {
    const answer = await askJson<T>(door, path, isAnswer, body, timeoutMs), refused = refusal?.(answer);
    const [format] = values.get("--format") ?? ["text"], status = refused?.status ?? 0;
    if (format === "json") return said(JSON.stringify(answer, null, 2) + "\n", status);
    return refused === undefined ? said(text(answer)) : { status, stdout: "", stderr: refused.why };
  } catch (error) {
    if (!(error instanceof LiveError)) throw error;
    return { status: error.status, stdout: "", stderr: `sluice: ${error.message}\n` };
  }
}
