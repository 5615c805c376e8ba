// The command line of `sluice run`: a configuration file, and flags of the process that go before what it
// says.
import process from "node:process";
import { checkConfig, checkKey, type Surroundings } from "./check.ts";
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
import { DISK, remembering } from "./disk.ts";
import { bounded, type ConfigProblem, quoted, shown } from "./errors.ts";
import { pathText, whereOf } from "./file.ts";
import { type Finding, type Tell, valueAt } from "./finding.ts";
import { keyAt } from "./known_keys.ts";
import type { Config } from "./schema.ts";
import { type ConfigSource, readSources } from "./sources.ts";
import { type Hide, refers, substitute } from "./substitution.ts";

/** A configuration that may start, and where it came from. */
export interface RunConfig {
  readonly config: Config;
  /** The values that it was made of. */
  readonly raw: unknown;
  readonly warnings: ConfigProblem[];
  readonly tell: Tell;
  readonly source: ConfigSource;
  /** Puts references in place of what files gave, in a text that somebody may read. */
  readonly hide: Hide;
  /** What was read: the files of the configuration, and those that they name. */
  readonly files: ReadonlySet<string>;
  /** Flags that go before what the files say. */
  readonly flags: readonly Given[];
}

const USAGE = "write sluice run -c FILE";
const CONFIG_FLAGS = ["-c", "--config"];
/** Of \`run\` alone: the file is read again when it changes. */
export const WATCH_FLAG = "--watch";

/**
 * Reads `run -c FILE [FLAGS]`, without the program's name, the file, and the files that it names.
 * @returns the Config, the values that it was made of, its warnings, and how findings of later are told; or all problems, at least one of them
 * an error.
 */
export function parseRun(
  argv: readonly string[],
  { env, uid, disk: real = DISK, now }: Surroundings = hereAndNow(),
): RunConfig | { problems: ConfigProblem[] } {
  const files = new Set<string>(), disk = remembering(real, files);
  const line = emptyCommandLine();
  const path = readArguments(argv, line);
  const problems = [...line.problems, ...dropBadValues(line.processFlags), ...misplaced(line)];
  if (path === undefined) {
    if (problems.length === 0) {
      problems.push({ where: argv[0], what: "no file", remedy: USAGE, severity: "error" });
    }
    return { problems };
  }
  const source = readSources(path, { env, disk });
  if ("problems" in source) return { problems: [...problems, ...source.problems] };
  const flags = [...line.processFlags.values()];
  const { values, findings: unresolved, hide, hideSecrets } = substitute(source.raw, { env, disk });
  // What the file says is looked at, even where a flag goes before it.
  const overridden = flags.flatMap(({ flag: { key } }) =>
    valueAt(values, key.path) === undefined ? [] : checkKey(key, valueAt(values, key.path))
  );
  for (const flag of flags) override(values, flag);
  const { config, findings } = checkConfig(values, { env, uid, disk, ...(now === undefined ? {} : { now }) });
  const later: Tell = (findings) => tell(findings, source, values, flags, hide);
  // What could not be substituted is not told once more as a bad value.
  const resolved = findings.filter((one) => !unresolved.some((other) => isWithin(one.path, other.path)));
  const inFile = overridden.filter((one) => !unresolved.some((other) => isWithin(one.path, other.path)));
  const ofFile = new Set([...inFile, ...unresolved]);
  const told = [...source.warnings, ...tell([...ofFile, ...resolved], source, values, flags, hide, ofFile)];
  const isGood = config !== undefined && problems.length === 0 &&
    told.every(({ severity }) => severity === "warning");
  return isGood
    ? { config, raw: values, warnings: told, tell: later, source, flags, files, hide: hideSecrets }
    : { problems: [...problems, ...told] };
}

/** Who started the process: defaults stay what they are when it becomes another user. */
const UID = process.getuid?.() ?? 0;

export function hereAndNow(): Surroundings {
  return { env: process.env, uid: UID };
}

function isWithin(path: Finding["path"], outer: Finding["path"]): boolean {
  return outer.length <= path.length && outer.every((step, at) => step === path[at]);
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
    } else if (token.rawName === WATCH_FLAG && argv[0] === "run") {
      if (token.value !== undefined) error("takes no value", `write ${WATCH_FLAG}`);
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
    const place = pathText([section, "NAME", ...rest.map((step) => step === "*" ? 0 : step)]);
    return problem(argument, "holds for a LISTEN=TARGETS, not for a file", `write ${place} in the file`);
  });
}

/** Puts a flag's value over that of the file, as far as the file has the shape for it. */
export function override(raw: unknown, { flag, value }: Given): void {
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

/** What is said of a finding. Where the value came from elsewhere, it is said of the reference: a part of the value
 * may be all that is wrong with it, and that is shown as little as the whole. */
function wordsOf(
  { path, what, remedy }: Finding,
  raw: unknown,
  values: unknown,
  hide: (text: string) => string,
): [what: string, remedy: string] {
  const doc = keyAt(path)?.doc, given = valueAt(raw, path);
  if (doc?.secret && given !== undefined && typeof given !== "string") {
    return [hide(what), `write ${doc.placeholder ?? "a value"}, in quotes`];
  }
  const value = String(valueAt(values, path)).toLowerCase();
  if (typeof given !== "string" || !refers(given)) return [hide(what), hide(remedy)];
  const reference = quoted(given), placeholder = doc?.placeholder;
  if (what.startsWith("${") || what.startsWith('"${"')) return [what, remedy]; // it is about the reference
  const told = hide(what.replace(/"((?:[^"\\]|\\.)*)"/g, (whole, part: string) => {
    const word = part.replace(/\.\.\.$/, "").toLowerCase();
    return value.includes(word) || word.includes(value) ? reference : whole;
  }));
  const gives = placeholder === undefined ? "mend what that gives" : `let that give ${placeholder}`;
  return [told.includes(reference) ? told : `${reference}: ${told}`, gives];
}

/** Findings whose place is looked for: of a file that is wrong from end to end, the first. */
const PLACED_MAX = 1_000;

/** Findings with their place in the file, or the flag that gave the value; each once, in the files' order.
 * @param ofFile findings about what the file says, although a flag says otherwise
 */
function tell(
  findings: readonly Finding[],
  source: ConfigSource,
  values: unknown,
  flags: readonly Given[],
  hide: (text: string) => string,
  ofFile: ReadonlySet<Finding> = new Set(),
): ConfigProblem[] {
  const told = new Map<string, { problem: ConfigProblem; order: number }>();
  for (const finding of findings.slice(0, PLACED_MAX)) {
    const { path, severity } = finding;
    const [what, remedy] = wordsOf(finding, source.raw, values, hide);
    const given = flags.find(({ flag }) => flag.key.path.join("\n") === path.join("\n"));
    if (given !== undefined && !ofFile.has(finding)) {
      const { text, position } = given.argument;
      const found = { where: text, what, remedy, severity, argument: position };
      told.set(`${text}\n${what}`, { problem: found, order: -1 });
      continue;
    }
    const isSecret = keyAt(path)?.doc.secret === true;
    const { spot, order } = source.place(isSecret ? { path, isKey: true } : finding);
    // A value alone where a list may stand is no entry of one.
    const isEntry = typeof path[path.length - 1] !== "number" || valueAt(source.raw, path) !== undefined;
    const place = pathText(finding.isKey || !isEntry ? path.slice(0, -1) : path);
    const text = place === "" ? what : `${place}: ${what}`, where = whereOf(spot);
    told.set(`${where}\n${text}`, { problem: { where, what: text, remedy, severity, spot }, order });
  }
  return bounded([...told.values()].sort((a, b) => a.order - b.order).map(({ problem }) => problem));
}
