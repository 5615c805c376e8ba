// `sluice completion SHELL`: the script that a shell reads.
import { completionScript, SHELLS } from "../config/completion.ts";
import { shown } from "../config/errors.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { type Said, said, saidNo } from "./said.ts";

export function completion({ rest }: VerbArguments): Said {
  const shell = SHELLS.find((shell) => shell === rest[0]);
  if (shell !== undefined && rest.length === 1) return said(completionScript(shell));
  const what = rest.length === 0
    ? "no shell"
    : rest.length > 1
    ? "more than one shell"
    : "no shell that is known";
  const remedy = `write sluice completion ${SHELLS.join("|")}`;
  return saidNo({ where: shown(rest[0] ?? "completion"), what, remedy });
}
