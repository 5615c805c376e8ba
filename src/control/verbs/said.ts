// What a verb that only answers has to say, and the process's exit status.
import { type ConfigProblem, formatProblems } from "../config/errors.ts";

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
