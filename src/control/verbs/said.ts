// What a verb that only answers has to say, and the process's exit status.
import { type ConfigProblem, formatProblems } from "../config/errors.ts";
import { Output } from "../output.ts";

/** A reader may take its time, as one who pages does. */
const READ_DEADLINE_MS = 60_000;

export interface Said {
  readonly status: 0 | 1 | 2;
  readonly stdout: string;
  readonly stderr: string;
}

export function said(stdout: string, status: 0 | 1 = 0): Said {
  return { status, stdout, stderr: "" };
}

/** A mistake on the command line. */
export function saidNo(problem: Omit<ConfigProblem, "severity">): Said {
  return { status: 2, stdout: "", stderr: formatProblems([{ ...problem, severity: "error" }]) };
}

/** Writes it, whole even into a pipe that takes a part: the process ends behind it. @returns the status */
export async function tell({ stdout, stderr, status }: Said): Promise<number> {
  const outputs = [[Output.standard("stdout"), stdout], [Output.standard("stderr"), stderr]] as const;
  for (const [output, text] of outputs) output.put(text, 1);
  await Promise.all(outputs.map(([output]) => output.flush(READ_DEADLINE_MS)));
  return status;
}
