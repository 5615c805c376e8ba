// `sluice print`: what a file or a command line comes to, as a file.
import { assemble } from "../config/assembly.ts";
import { readCommandLine } from "../config/command_line.ts";
import type { ConfigProblem } from "../config/errors.ts";
import { whereOf } from "../config/file.ts";
import { parseFlags } from "../config/flags.ts";
import { printConfig } from "../config/print.ts";
import { hereAndNow, override, parseRun } from "../config/run.ts";
import type { VerbArguments } from "../config/verbs.ts";

/** @returns the text; or why the configuration is none */
export function printed({ values, rest }: VerbArguments): string | { problems: ConfigProblem[] } {
  const all = values.has("--all"), withOrigins = values.has("--origins");
  const [file] = values.get("--config") ?? [];
  if (file === undefined) {
    const { env, uid } = hereAndNow();
    const parsed = parseFlags(rest, env, uid);
    if ("problems" in parsed) return parsed;
    const { raw, origins } = assemble(readCommandLine(rest), []);
    const byPath = new Map(origins.map(({ path, argument }) => [path.join("\n"), argument.text]));
    const originOf = (path: readonly (string | number)[]) => byPath.get(path.join("\n"));
    return printConfig(raw, { all, originOf: withOrigins ? originOf : undefined });
  }
  const parsed = parseRun(["print", "-c", file, ...rest]);
  if ("problems" in parsed) return parsed;
  const { source, flags } = parsed;
  const raw = structuredClone(source.raw);
  for (const flag of flags) override(raw, flag);
  const byFlag = new Map(flags.map(({ flag, argument }) => [flag.key.path.join("\n"), argument.text]));
  return printConfig(raw, {
    all,
    originOf: withOrigins
      ? (path) => byFlag.get(path.join("\n")) ?? whereOf(source.place({ path }).spot)
      : undefined,
  });
}
