// `sluice upgrade [PATH]`: the running process starts an executable, hands everything over to it, and ends when its own
// connections have.
import { resolve } from "node:path";
import { askJson, LiveError } from "../admin_client.ts";
import { shown } from "../config/errors.ts";
import { counted } from "../config/units.ts";
import type { VerbArguments } from "../config/verbs.ts";
import type { UpgradeAnswer } from "../upgrade/answer.ts";
import { doorOf } from "./door.ts";
import { refused, type Said, saidNo } from "./said.ts";

/** The running process has deadlines of its own, which end before. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Status 0: the new process serves; 1: it does not, or the running one cannot be asked; 2: a mistake. */
export async function upgrade({ values, rest }: VerbArguments): Promise<Said> {
  const [path, more] = rest;
  if (more !== undefined) {
    return saidNo({ where: shown(more), what: "a second executable", remedy: "name one, or none" });
  }
  const door = doorOf(values);
  if ("problems" in door) return refused(door.problems);
  try {
    const isAnswer = ({ upgraded }: Partial<UpgradeAnswer>) => typeof upgraded === "boolean";
    const question = path === undefined ? {} : { path: resolve(path) };
    const answer = await askJson<UpgradeAnswer>(door, "/upgrade", isAnswer, question, ANSWER_TIMEOUT_MS);
    const status = answer.upgraded ? 0 : 1;
    const [format] = values.get("--format") ?? ["text"];
    if (format === "json") return { status, stdout: JSON.stringify(answer, null, 2) + "\n", stderr: "" };
    return answer.upgraded
      ? { status, stdout: textOf(answer), stderr: "" }
      : { status, stdout: "", stderr: whyOf(answer) };
  } catch (error) {
    if (!(error instanceof LiveError)) throw error;
    return { status: error.status, stdout: "", stderr: `sluice: ${error.message}\n` };
  }
}

function textOf({ pid, version, sessions, sessions_lost, took_ms }: UpgradeAnswer): string {
  const lost = sessions_lost === 0 ? "" : `, ${sessions_lost} did not`;
  const went = sessions + sessions_lost === 0
    ? ""
    : `; ${counted(sessions, "session")} of datagrams went over${lost}`;
  return `process ${pid}, version ${version}, has taken over after ${took_ms} ms${went}\n` +
    "the one before it ends when its connections have, after drain-timeout at the latest\n";
}

function whyOf({ why, lines }: UpgradeAnswer): string {
  return [
    `sluice: no upgrade: ${why}`,
    ...lines.map((line) => `sluice: ${line}`),
    "sluice: the running process goes on",
    "",
  ]
    .join("\n");
}
