// `sluice upgrade [PATH]`: the running process starts an executable, hands everything over to it, and ends when its own
// connections have.
import { resolve } from "node:path";
import { shown } from "../config/errors.ts";
import { counted } from "../config/units.ts";
import type { VerbArguments } from "../config/verbs.ts";
import type { UpgradeAnswer } from "../upgrade/answer.ts";
import { post, START_TIMEOUT_MS } from "./post.ts";
import { type Said, saidNo } from "./said.ts";

/** Status 0: the new process serves; 1: it does not, or the running one cannot be asked; 2: a mistake. */
export async function upgrade(given: VerbArguments): Promise<Said> {
  const [path, more] = given.rest;
  if (more !== undefined) {
    return saidNo({ where: shown(more), what: "a second executable", remedy: "name one, or none" });
  }
  return await post<UpgradeAnswer>(given, {
    path: "/upgrade",
    body: path === undefined ? {} : { path: resolve(path) },
    isAnswer: ({ upgraded }) => typeof upgraded === "boolean",
    text: textOf,
    refusal: (answer) => answer.upgraded ? undefined : { status: 1, why: whyOf(answer) },
    timeoutMs: START_TIMEOUT_MS,
  });
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
