// What a verb that only answers has to say, and the process's exit status.
import process from "node:process";
import { type ConfigProblem, formatProblems } from "../config/errors.ts";
import { Output } from "../output.ts";

/** A reader may take its time with a piece, as one who pages does. */
const READ_DEADLINE_MS = 60_000;
/** Less than an Output keeps for a slow reader. */
const PIECE_CHARACTERS = 64 << 10;

export interface Said {
  readonly status: 0 | 1 | 2;
  readonly stdout: string;
  readonly stderr: string;
}

export function said(stdout: string, status: Said["status"] = 0): Said {
  return { status, stdout, stderr: "" };
}

/** A mistake on the command line. */
export function saidNo(problem: Omit<ConfigProblem, "severity">): Said {
  return refused([{ ...problem, severity: "error" }]);
}

/** What is wrong with a command line or a configuration. */
export function refused(problems: readonly ConfigProblem[]): Said {
  return { status: 2, stdout: "", stderr: formatProblems(problems, inColour(process.stderr)) };
}

/** Whether a person is looking who has not asked for plain text (no-color.org). */
export function inColour(stream: { isTTY?: boolean }): boolean {
  return stream.isTTY === true && (process.env.NO_COLOR ?? "") === "";
}

/** Writes it, whole even into a pipe that takes a part: the process ends behind it. @returns the status; 1 if it
 * could not be written. Who closes a pipe has read enough. */
export async function tell({ stdout, stderr, status }: Said): Promise<number> {
  const output = Output.standard("stdout");
  await Promise.all([write(output, stdout), write(Output.standard("stderr"), stderr)]);
  if (output.failure === undefined || output.failure === "EPIPE") return status;
  await write(Output.standard("stderr"), `sluice: cannot write the answer: ${output.failure}\n`);
  return status === 0 ? 1 : status;
}

async function write(output: Output, text: string): Promise<void> {
  for (let at = 0; at < text.length; at += PIECE_CHARACTERS) {
    output.put(text.slice(at, at + PIECE_CHARACTERS), 1);
    await output.flush(READ_DEADLINE_MS);
    if (output.failure !== undefined) return; // nobody reads any more
  }
}
