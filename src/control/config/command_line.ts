// The arguments of a command line put in order: which of them are flags, whose value is whose, and which
// LISTEN=TARGETS a flag holds for. What the values mean together is flags.ts's and run.ts's.
import { parseArgs } from "node:util";
import { checkKey } from "./check.ts";
import { type ConfigProblem, didYouMean, NOT_SUPPORTED, quoted, shown } from "./errors.ts";
import type { KeyDoc } from "./keys.ts";
import { FILE } from "./limits_schema.ts";
import { splitListenTargets } from "./listen.ts";
import { type Key, KEYS } from "./schema.ts";
import { VERBS, VERBS_LATER } from "./verbs.ts";

/** A flag of the quick mode: every one takes a value, `--flag value` or `--flag=value`. */
export interface Flag {
  /** With its dashes. */
  readonly name: string;
  /** "process": one value for the whole process, given anywhere. "listen": for one LISTEN=TARGETS, or all. */
  readonly scope: "process" | "listen";
  readonly doc: KeyDoc;
  /** As it would be written; undefined if there is none. */
  readonly default: string | undefined;
  readonly key: Key;
}

/** Every supported flag that takes a value, in the order of the schema. */
export const FLAGS: readonly Flag[] = KEYS.flatMap((key) => {
  if (key.doc.flag === undefined) return [];
  const isPerListen = key.path[0] === "listeners" || key.path[0] === "upstreams";
  const scope = isPerListen ? "listen" : "process";
  return [{ name: key.doc.flag, scope, doc: key.doc, default: key.default, key }];
});

const FLAG_BY_NAME: ReadonlyMap<string, Flag> = new Map(FLAGS.map((flag) => [flag.name, flag]));
const QUESTIONS = ["--help", "--version"];
/** One flag as given: its value, and the argument that gave it. */
export interface Given {
  readonly flag: Flag;
  readonly value: string;
  readonly argument: Argument;
}

/** An argument as typed: what messages call it, and its position, 1 for the first. */
export interface Argument {
  readonly text: string;
  readonly position: number;
}

/** A LISTEN=TARGETS and the flags after it. Flags before the first one hold for all. */
export interface Group {
  readonly argument: Argument;
  readonly text: string;
  /** By name; those that may be given more than once by name and number. */
  readonly flags: Map<string, Given>;
}

/** The arguments put in order, before any value is looked into. */
export interface CommandLine {
  readonly processFlags: Map<string, Given>;
  readonly sharedFlags: Map<string, Given>;
  readonly groups: Group[];
  readonly problems: ConfigProblem[];
  /** Arguments that are no flags, whether or not they could be read. */
  positionals: number;
}

/** Whether `argv` asks for the help text or the version instead of a start. The first one counts. */
export function asksFor(argv: readonly string[]): "help" | "version" | undefined {
  for (const token of tokensOf(argv)) {
    if (token.kind !== "option") continue;
    const isWhole = token.rawName.startsWith("--") || argv[token.index] === token.rawName;
    if (isWhole && (token.name === "help" || token.name === "version")) return token.name;
  }
  return undefined;
}

/** `withFile`: -c and --config take a value. */
export function tokensOf(argv: readonly string[], withFile = false) {
  const names = FLAGS.map((flag) => flag.name);
  const valued = names.map((name) => [name.slice("--".length), { type: "string", multiple: true }] as const);
  const options = {
    ...Object.fromEntries(valued),
    help: { type: "boolean", short: "h" },
    version: { type: "boolean", short: "V" },
    ...(withFile ? { config: { type: "string", short: "c", multiple: true } } as const : {}),
  } as const;
  return parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

export function emptyCommandLine(): CommandLine {
  return { processFlags: new Map(), sharedFlags: new Map(), groups: [], problems: [], positionals: 0 };
}

export function readCommandLine(argv: readonly string[]): CommandLine {
  const line = emptyCommandLine();
  // Where an argument that could not be read ends: what follows may be its value.
  const unknownAt = new Set<number>();
  for (const token of tokensOf(argv)) {
    const argument: Argument = { text: shown(argv[token.index]) || '""', position: token.index + 1 };
    if (token.kind === "positional") {
      // The value of an unknown flag is not one more mistake.
      if (unknownAt.has(token.index - 1) && !isListen(token.value)) continue;
      line.positionals += 1;
      readPositional(line, argument, token.value);
      // What follows a command is that command's.
      if (token.index === 0 && VERBS_LATER.includes(token.value)) break;
    } else if (token.kind === "option" && !unknownAt.has(token.index)) {
      const isKnown = readFlag(line, argument, token.rawName, token.value, token.inlineValue === true);
      const tookNext = token.value !== undefined && token.inlineValue === false;
      if (!isKnown) unknownAt.add(tookNext ? token.index + 1 : token.index);
    }
  }
  return line;
}

export function isListen(text: string): boolean {
  return /^([a-zA-Z]+:\/\/|unix:)/.test(text);
}

function readPositional(line: CommandLine, argument: Argument, text: string): void {
  const error = (what: string, remedy: string): void => {
    line.problems.push(problem(argument, what, remedy));
  };
  if (text.includes("=") || isListen(text)) {
    const parts = splitListenTargets(text);
    if (!parts.ok) return error(parts.what, parts.remedy);
    line.groups.push({ argument, text, flags: new Map() });
  } else if (VERBS.some(({ name }) => name === text)) {
    error("a command among other arguments", `write sluice ${text}`);
  } else if (VERBS_LATER.includes(text)) {
    error(`this command is ${NOT_SUPPORTED}`, "see sluice --help");
  } else if (/^[a-z]+$/.test(text)) {
    error(
      "neither a command nor LISTEN=TARGETS",
      didYouMean(text, VERBS.map(({ name }) => name), "see sluice --help"),
    );
  } else {
    error("not LISTEN=TARGETS", "write tcp://:PORT=HOST:PORT, or see sluice --help");
  }
}

/** Puts one flag into its place. @returns whether the flag is known and its value is its own. */
export function readFlag(
  line: CommandLine,
  typed: Argument,
  rawName: string,
  value: string | undefined,
  isInline: boolean,
): boolean {
  const isShort = !rawName.startsWith("--");
  const name = rawName.split("=", 1)[0];
  const argument: Argument = { text: isShort ? typed.text : shown(name), position: typed.position };
  const error = (what: string, remedy: string): void => {
    line.problems.push(problem(argument, what, remedy));
  };
  if (QUESTIONS.includes(name) || rawName === "-h" || rawName === "-V") return true;
  const flag = FLAG_BY_NAME.get(name);
  if (flag === undefined) {
    const word = isShort ? `--${typed.text.replace(/^-+|=.*$/g, "")}` : name;
    error(
      "unknown flag",
      didYouMean(word, [...FLAG_BY_NAME.keys(), ...QUESTIONS], "see sluice --help"),
    );
    return false;
  }
  const placeholder = flag.doc.placeholder ?? "VALUE";
  if (value === undefined || (!isInline && isListen(value) && isListen(splitValue(value)))) {
    error("no value", `write ${name} ${placeholder}`);
    if (value === undefined) return true;
    line.positionals += 1;
    readPositional(line, { text: shown(value), position: typed.position + 1 }, value);
    return true;
  }
  if (!isInline && value.startsWith("--")) {
    error("no value", `write ${name} ${placeholder}, or ${name}=${shown(value)} if the value begins with --`);
    return false;
  }
  const values = flag.doc.commas && !value.startsWith(FILE) ? value.split(",") : [value]; // a path may have commas
  if (values.length > 1 && values.includes("")) {
    error(`${quoted(value)} has a comma with nothing beside it`, "leave it out");
    return true;
  }
  for (const one of values) place(line, { flag, value: one, argument });
  return true;
}

/** LISTEN of a LISTEN=TARGETS that stands where a value should, "" otherwise. */
function splitValue(value: string): string {
  const parts = splitListenTargets(value);
  return parts.ok ? parts.value.listen : "";
}

/** Keeps a flag where it holds; a second, different value for the same place is a contradiction. */
function place(line: CommandLine, given: Given): void {
  const group = line.groups[line.groups.length - 1];
  const listenFlags = group === undefined ? line.sharedFlags : group.flags;
  const flags = given.flag.scope === "process" ? line.processFlags : listenFlags;
  if (given.flag.doc.many) {
    flags.set(nthName(given.flag.name, flags), given);
    return;
  }
  const before = flags.get(given.flag.name);
  if (before !== undefined && before.value !== given.value) {
    const values = given.flag.doc.secret
      ? "two values"
      : `${quoted(before.value)} and ${quoted(given.value)}`;
    const where = given.flag.scope === "process" ? "for the whole process" : "for the same LISTEN=TARGETS";
    line.problems.push(problem(given.argument, `given twice ${where}, ${values}`, "leave one of them out"));
    return;
  }
  flags.set(given.flag.name, given);
}

/** What a flag is kept by that may be given more than once. */
function nthName(name: string, flags: ReadonlyMap<string, Given>): string {
  let nth = 1;
  while (flags.has(`${name}#${nth}`)) nth += 1;
  return `${name}#${nth}`;
}

/** Takes out of one place the flags that its --health excludes: no details of a check that is not made. */
export function dropContradictions(flags: Map<string, Given>): ConfigProblem[] {
  const health = flags.get("--health");
  if (health === undefined) return [];
  const excluded: Readonly<Record<string, (name: string) => boolean>> = {
    off: (name) => name.startsWith("--health-"),
    tcp: (name) => ["--health-send", "--health-expect", "--health-http"].includes(name),
  };
  const excludes = Object.hasOwn(excluded, health.value) ? excluded[health.value] : () => false;
  const problems: ConfigProblem[] = [];
  for (const [name, given] of [...flags]) {
    if (!excludes(name)) continue;
    flags.delete(name);
    const remedy = `leave out ${name}, or --health ${health.value}`;
    problems.push(problem(given.argument, `contradicts --health ${health.value}`, remedy));
  }
  return problems;
}

/** Takes out the flags whose value is refused, so that the rest can be looked at without them. */
export function dropBadValues(flags: Map<string, Given>): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [name, { flag, value, argument }] of [...flags]) {
    const findings = checkKey(flag.key, value);
    if (findings.length === 0) continue;
    flags.delete(name);
    for (const { what, remedy } of findings) problems.push(problem(argument, what, remedy));
  }
  return problems;
}

export function problem(argument: Argument, what: string, remedy: string): ConfigProblem {
  return { where: argument.text, what, remedy, severity: "error", argument: argument.position };
}
