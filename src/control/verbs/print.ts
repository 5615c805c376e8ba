// `sluice print`: what a file or a command line comes to, as a file.
import { assemble } from "../config/assembly.ts";
import { readCommandLine } from "../config/command_line.ts";
import { whereOf } from "../config/file.ts";
import type { Path } from "../config/finding.ts";
import { parseFlags } from "../config/flags.ts";
import { printConfig } from "../config/print.ts";
import { hereAndNow, override, parseRun } from "../config/run.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { refused, type Said, said } from "./said.ts";

export function print({ values, rest }: VerbArguments): Said {
  const all = values.has("--all"), withOrigins = values.has("--origins");
  const [file] = values.get("--config") ?? [];
  if (file === undefined) {
    const { env, uid } = hereAndNow();
    const parsed = parseFlags(rest, env, uid);
    if ("problems" in parsed) return refused(parsed.problems);
    const { raw, origins } = assemble(readCommandLine(rest), []);
    const byPath = new Map(origins.map(({ path, argument }) => [path.join("\n"), argument.text]));
    const originOf = (path: Path) => byPath.get(path.join("\n"));
    return said(printConfig(raw, { all, originOf: withOrigins ? originOf : undefined }));
  }
  const parsed = parseRun(["print", "-c", file, ...rest]);
  if ("problems" in parsed) return refused(parsed.problems);
  const { source, flags } = parsed;
  const raw = structuredClone(source.raw);
  for (const flag of flags) override(raw, flag);
  const byFlag = new Map(flags.map(({ flag, argument }) => [flag.key.path.join("\n"), argument.text]));
  const originOf = (path: Path) => byFlag.get(path.join("\n")) ?? whereOf(source.place({ path }).spot);
  return said(printConfig(raw, { all, originOf: withOrigins ? originOf : undefined }, parsed.raw));
}
