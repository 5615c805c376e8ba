// The command line of `sluice run`: a configuration file, and flags of the process that go before what it
// says.
import { readFileSync } from "node:fs";
import process from "node:process";
import { checkConfig, type Surroundings } from "./check.ts";
import {
  type Argument,
  type CommandLine,
  dropBadValues,
  emptyCommandLine,
  type Given,
  isListen,
  problem,
  readFlag,
  tokensOf,
} from "./command_line.ts";
import { type ConfigProblem, shown } from "./errors.ts";
import { type ConfigFile, findSubstitutions, pathText, readConfigFile } from "./file.ts";
import type { Finding, Tell } from "./finding.ts";
import type { ReadBytes } from "./page_files.ts";
import type { Config } from "./schema.ts";

type Outcome = { config: Config; raw: unknown; warnings: ConfigProblem[]; tell: Tell } | {
  problems: ConfigProblem[];
};

const USAGE = "write sluice run -c FILE";
const CONFIG_FLAGS = ["-c", "--config"];

/**
 * Reads `run -c FILE [FLAGS]`, without the program's name, the file, and the files that it names.
 * @returns the Config, the values that it was made of, its warnings, and how findings of later are told; or all problems, at least one of them
 * an error.
 */
export function parseRun(
  argv: readonly string[],
  env: Surroundings["env"],
  uid: number = process.getuid?.() ?? 0,
  read: (path: string) => string = (path) => readFileSync(path, "utf8"),
  readBytes?: ReadBytes,
): Outcome {
  const line = emptyCommandLine();
  const path = readArguments(argv, line);
  const problems = [...line.problems, ...dropBadValues(line.processFlags), ...misplaced(line)];
  if (path === undefined) {
    if (problems.length === 0) {
      problems.push({ where: "run", what: "no file", remedy: USAGE, severity: "error" });
    }
    return { problems };
  }
  const file = open(path, read);
  if ("problems" in file) return { problems: [...problems, ...file.problems] };
  const flags = [...line.processFlags.values()];
  for (const flag of flags) override(file.raw, flag);
  const { config, findings } = checkConfig(file.raw, { env, uid, readBytes });
  const told = tell([...findSubstitutions(file.raw), ...findings], file, flags);
  const isGood = config !== undefined && problems.length === 0 &&
    told.every(({ severity }) => severity === "warning");
  const later: Tell = (findings) => tell(findings, file, flags);
  return isGood
    ? { config, raw: file.raw, warnings: told, tell: later }
    : { problems: [...problems, ...told] };
}

/** Puts the arguments into `line`. @returns the path of the file */
function readArguments(argv: readonly string[], line: CommandLine): string | undefined {
  let path: string | undefined;
  let unknownEnd = -1; // what follows may be the value of a flag that nobody knows
  for (const token of tokensOf(argv, true)) {
    if (token.kind === "option-terminator") continue;
    const argument: Argument = { text: shown(argv[token.index]) || '""', position: token.index + 1 };
    const error = (what: string, remedy: string) => line.problems.push(problem(argument, what, remedy));
    if (token.kind === "positional") {
      if (token.index === 0) continue; // the verb
      if (token.index - 1 === unknownEnd && !isListen(token.value)) continue;
      if (isListen(token.value)) error("LISTEN=TARGETS besides a file", "write a listener in the file");
      else error("neither a flag nor the file", `${USAGE}; see sluice --help`);
    } else if (!CONFIG_FLAGS.includes(token.rawName.split("=", 1)[0])) {
      if (token.index === unknownEnd) continue;
      const isKnown = readFlag(line, argument, token.rawName, token.value, token.inlineValue === true);
      const tookNext = token.value !== undefined && token.inlineValue === false;
      if (!isKnown) unknownEnd = tookNext ? token.index + 1 : token.index;
    } else if (token.value === undefined || token.value === "") {
      error("no value", `write ${token.rawName} FILE`);
    } else if (path !== undefined && path !== token.value) {
      error("a second file", "leave one of them out");
    } else {
      path = token.value;
    }
  }
  return path;
}

/** Flags that hold for a LISTEN=TARGETS, of which there are none here. */
function misplaced({ sharedFlags }: CommandLine): ConfigProblem[] {
  return [...sharedFlags.values()].map(({ flag, argument }) => {
    const [section, , ...rest] = flag.key.path;
    const place = pathText([section, "NAME", ...rest]);
    return problem(argument, "holds for a LISTEN=TARGETS, not for a file", `write ${place} in the file`);
  });
}

function open(path: string, read: (path: string) => string): ConfigFile | { problems: ConfigProblem[] } {
  let text: string;
  try {
    text = read(path);
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    const what = code === "ENOENT" ? "there is no such file" : `cannot be read: ${shown(code)}`;
    return {
      problems: [{ where: shown(path), what, remedy: "write the path of a file", severity: "error" }],
    };
  }
  return readConfigFile(path, text);
}

/** Puts a flag's value over that of the file, as far as the file has the shape for it. */
function override(raw: unknown, { flag, value }: Given): void {
  let section = raw;
  const path = flag.key.path;
  for (const step of path.slice(0, -1)) {
    if (!isSection(section)) return;
    if (!Object.hasOwn(section, step) || section[step] === null) section[step] = {};
    section = section[step];
  }
  if (isSection(section)) section[path[path.length - 1]] = value;
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Findings with their place in the file, or the flag that gave the value; each once, in the file's order. */
function tell(findings: readonly Finding[], file: ConfigFile, flags: readonly Given[]): ConfigProblem[] {
  const told = new Map<string, { problem: ConfigProblem; offset: number }>();
  for (const finding of findings) {
    const { path, what, remedy, severity } = finding;
    const given = flags.find(({ flag }) => flag.key.path.join("\n") === path.join("\n"));
    if (given !== undefined) {
      const { text, position } = given.argument;
      const found = { where: text, what, remedy, severity, argument: position };
      told.set(`${text}\n${what}`, { problem: found, offset: -1 });
      continue;
    }
    const { where, offset } = file.place(finding);
    const place = pathText(finding.isKey ? path.slice(0, -1) : path);
    const text = place === "" ? what : `${place}: ${what}`;
    told.set(`${where}\n${text}`, { problem: { where, what: text, remedy, severity }, offset });
  }
  return [...told.values()].sort((a, b) => a.offset - b.offset).map(({ problem }) => problem);
}
