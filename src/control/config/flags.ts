// The command line of the quick mode: argv becomes the raw values that a file would hold, and the one
// schema makes a Config of them. Here is only which argument a finding is about, and how that is told.
import process from "node:process";
import { assemble, nameKey, type Origin } from "./assembly.ts";
import { checkConfig, type Surroundings } from "./check.ts";
import {
  type Argument,
  type CommandLine,
  dropBadValues,
  dropContradictions,
  readCommandLine,
} from "./command_line.ts";
import { type ConfigProblem, shown } from "./errors.ts";
import type { Finding, Path, Tell } from "./finding.ts";
import type { Config } from "./schema.ts";

/**
 * Reads the command line of the quick mode: `LISTEN=TARGETS` and flags, without the program's name.
 *
 * @param argv the arguments; `--help`, `-h`, `--version`, `-V` among them are left to `asksFor`.
 * @param env the environment: XDG_RUNTIME_DIR for the default of --admin, XDG_STATE_HOME and HOME for where ACME
 * keeps what it issues.
 * @param uid the user of the process; decides the default of --admin.
 * @param files how files that are named are read, and when their certificates must be valid.
 * @returns the Config, the values that it was made of, its warnings, and how findings of later are told; or all problems, at least one of them
 * an error.
 * An upstream is named by LISTEN as written, a listener too, http:// by where it is bound; if LISTEN with
 * port 0 is repeated, the later ones get `#2`, `#3`. Never throws on what a user typed.
 */
export function parseFlags(
  argv: readonly string[],
  env: Surroundings["env"],
  uid: number = process.getuid?.() ?? 0,
  files: Pick<Surroundings, "disk" | "now"> = {},
): { config: Config; raw: unknown; warnings: ConfigProblem[]; tell: Tell } | { problems: ConfigProblem[] } {
  const line = readCommandLine(argv);
  const problems = [...line.problems];
  for (const flags of [line.processFlags, line.sharedFlags, ...line.groups.map((group) => group.flags)]) {
    problems.push(...dropContradictions(flags), ...dropBadValues(flags));
  }
  if (line.positionals === 0) {
    problems.push({
      where: "",
      what: "no LISTEN=TARGETS",
      remedy: "write sluice tcp://:5432=10.0.0.1:5432, or see sluice --help",
      severity: "error",
    });
  }
  const { raw, origins, names } = assemble(line, problems);
  const { config, findings } = checkConfig(raw, { env, uid, ...files });
  const repeated = repeatedTexts(argv, line);
  const tell: Tell = (findings) =>
    distinct(findings.map((finding) => problemOf(finding, origins, names)), repeated);
  if (config !== undefined && problems.length === 0) return { config, raw, warnings: tell(findings), tell };
  const told = findings.map((finding) => problemOf(finding, origins, names));
  // What is not about an argument may only follow from a value that was already refused.
  const listens = new Set(line.groups.map((group) => group.argument.position));
  const direct = told.filter(({ severity, argument }) =>
    severity === "error" && (problems.length === 0 || listens.has(argument ?? 0))
  );
  return { problems: distinct([...problems, ...direct], repeated) };
}

/** Names the argument a finding is about: the one that gave the value, or a part of it, or the LISTEN. */
function problemOf(
  finding: Finding,
  origins: readonly Origin[],
  names: ReadonlyMap<string, Argument>,
): ConfigProblem {
  const { path, orPath = path, what, remedy, severity } = finding;
  const listen = names.get(nameKey(String(path[0]), String(path[1])));
  const argument = argumentOf(path, origins) ?? argumentOf(orPath, origins) ?? listen;
  if (argument === undefined) return { where: "", what, remedy, severity };
  return { where: argument.text, what, remedy, severity, argument: argument.position };
}

function argumentOf(path: Path, origins: readonly Origin[]): Argument | undefined {
  const whole = origins.find((origin) => startsWith(path, origin.path));
  return (whole ?? origins.find((origin) => startsWith(origin.path, path)))?.argument;
}

function startsWith(path: Path, beginning: Path): boolean {
  return beginning.length <= path.length && beginning.every((step, at) => step === path[at]);
}

/** Texts of arguments that occur more than once, so that messages must say which. */
function repeatedTexts(argv: readonly string[], line: CommandLine): ReadonlySet<string> {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  const count = (text: string): void => {
    (seen.has(text) ? repeated : seen).add(text);
  };
  for (const argument of argv) count(shown(argument.startsWith("--") ? argument.split("=", 1)[0] : argument));
  for (const { argument } of line.groups) count(`${argument.text}\0`);
  return repeated;
}

/** Each problem once, in the order of the arguments; an argument typed twice gets its position. */
function distinct(problems: readonly ConfigProblem[], repeated: ReadonlySet<string>): ConfigProblem[] {
  const byLine = new Map<string, ConfigProblem>();
  for (const found of problems) {
    const isRepeated = found.argument !== undefined && repeated.has(found.where);
    const where = isRepeated ? `${found.where} (argument ${found.argument})` : found.where;
    const id = `${where}\0${found.what}`;
    if (!byLine.has(id)) byLine.set(id, { ...found, where });
  }
  return [...byLine.values()].sort((a, b) => (a.argument ?? 0) - (b.argument ?? 0));
}
