// The command line of the quick mode: argv becomes the raw values that a file would hold, and the one
// schema makes a Config of them. Here is only what is special about a command line: which flag holds
// for which LISTEN=TARGETS, what contradicts what, and which argument a finding is about.
import { parseArgs } from "node:util";
import process from "node:process";
import { readListen, splitListenTargets, splitTargets } from "./address.ts";
import { checkConfig, checkKey, type Finding, type Path, type Surroundings } from "./check.ts";
import { type ConfigProblem, didYouMean, NOT_SUPPORTED, quoted, shown } from "./errors.ts";
import { type Config, type Key, type KeyDoc, KEYS } from "./schema.ts";

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

/** Flags that are designed but not supported in this version. All take a value. */
export const FLAGS_LATER: readonly string[] = [
  "--client-idle",
  "--server-idle",
  "--health-http",
  "--accept-proxy",
  "--send-proxy",
  "--allow",
  "--deny",
  "--max-connections-per-source",
  "--new-connections-per-source",
  "--bandwidth-per-connection",
  "--udp-idle",
  "--responses",
  "--cert",
  "--key",
  "--acme-email",
];

/** The verbs of the command line; everything else is the quick mode. */
export const VERBS: Readonly<Record<string, string>> = {
  demo: "its own servers, a load balancer in front, traffic; --for DURATION ends it",
  help: "this text, as --help",
};

/** Verbs that are designed but not supported in this version. */
export const VERBS_LATER: readonly string[] = [
  "run",
  "check",
  "explain",
  "status",
  "connections",
  "servers",
  "drain",
  "reload",
  "upgrade",
  "top",
  "trace",
  "why",
  "print",
  "doctor",
  "diff",
  "apply",
  "schema",
  "completion",
];

const FLAG_BY_NAME: ReadonlyMap<string, Flag> = new Map(FLAGS.map((flag) => [flag.name, flag]));
const QUESTIONS = ["--help", "--version"];

/** One flag as given: its value, and the argument that gave it. */
interface Given {
  readonly flag: Flag;
  readonly value: string;
  readonly argument: Argument;
}

/** An argument as typed: what messages call it, and its position, 1 for the first. */
interface Argument {
  readonly text: string;
  readonly position: number;
}

/** A LISTEN=TARGETS and the flags after it. Flags before the first one hold for all. */
interface Group {
  readonly argument: Argument;
  readonly text: string;
  readonly flags: Map<string, Given>;
}

/** The arguments put in order, before any value is looked into. */
interface CommandLine {
  readonly processFlags: Map<string, Given>;
  readonly sharedFlags: Map<string, Given>;
  readonly groups: Group[];
  readonly problems: ConfigProblem[];
  /** Arguments that are no flags, whether or not they could be read. */
  positionals: number;
}

/** Where a raw value came from. */
interface Origin {
  readonly path: Path;
  readonly argument: Argument;
}

/**
 * Reads the command line of the quick mode: `LISTEN=TARGETS` and flags, without the program's name.
 *
 * @param argv the arguments; `--help`, `-h`, `--version`, `-V` among them are left to `asksFor`.
 * @param env the environment; only XDG_RUNTIME_DIR is looked at, for the default of --admin.
 * @param uid the user of the process; decides the default of --admin.
 * @returns the Config and its warnings; or all problems, at least one of them an error.
 * Listener and upstream are both named by LISTEN as written; if LISTEN with port 0 is repeated, the
 * later ones get `#2`, `#3`. Never throws on what a user typed.
 */
export function parseFlags(
  argv: readonly string[],
  env: Surroundings["env"],
  uid: number = process.getuid?.() ?? 0,
): { config: Config; warnings: ConfigProblem[] } | { problems: ConfigProblem[] } {
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
  const { config, findings } = checkConfig(raw, { env, uid });
  const repeated = repeatedTexts(argv, line);
  const told = findings.map((finding) => problemOf(finding, origins, names));
  if (config !== undefined && problems.length === 0) return { config, warnings: distinct(told, repeated) };
  // What is not about an argument may only follow from a value that was already refused.
  const listens = new Set(line.groups.map((group) => group.argument.position));
  const direct = told.filter(({ severity, argument }) =>
    severity === "error" && (problems.length === 0 || listens.has(argument ?? 0))
  );
  return { problems: distinct([...problems, ...direct], repeated) };
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

function tokensOf(argv: readonly string[]) {
  const names = [...FLAGS.map((flag) => flag.name), ...FLAGS_LATER];
  const valued = names.map((name) => [name.slice("--".length), { type: "string", multiple: true }] as const);
  const options = {
    ...Object.fromEntries(valued),
    help: { type: "boolean", short: "h" },
    version: { type: "boolean", short: "V" },
  } as const;
  return parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

function readCommandLine(argv: readonly string[]): CommandLine {
  const line: CommandLine = {
    processFlags: new Map(),
    sharedFlags: new Map(),
    groups: [],
    problems: [],
    positionals: 0,
  };
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

function isListen(text: string): boolean {
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
  } else if (Object.hasOwn(VERBS, text)) {
    error("a command among other arguments", `write sluice ${text}`);
  } else if (VERBS_LATER.includes(text)) {
    error(`this command is ${NOT_SUPPORTED}`, "see sluice --help");
  } else if (/^[a-z]+$/.test(text)) {
    error("neither a command nor LISTEN=TARGETS", didYouMean(text, Object.keys(VERBS), "see sluice --help"));
  } else {
    error("not LISTEN=TARGETS", "write tcp://:PORT=HOST:PORT, or see sluice --help");
  }
}

/** Puts one flag into its place. @returns whether the flag is known and its value is its own. */
function readFlag(
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
  if (flag === undefined && !FLAGS_LATER.includes(name)) {
    const word = isShort ? `--${typed.text.replace(/^-+|=.*$/g, "")}` : name;
    error(
      "unknown flag",
      didYouMean(word, [...FLAG_BY_NAME.keys(), ...FLAGS_LATER, ...QUESTIONS], "see sluice --help"),
    );
    return false;
  }
  if (flag === undefined) {
    error(NOT_SUPPORTED, "leave it out");
    return !(value ?? "").startsWith("--") || isInline;
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
  place(line, { flag, value, argument });
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

/** Takes out of one place the flags that its --health excludes: no details of a check that is not made. */
function dropContradictions(flags: Map<string, Given>): ConfigProblem[] {
  const health = flags.get("--health");
  if (health === undefined) return [];
  const excluded: Readonly<Record<string, (name: string) => boolean>> = {
    off: (name) => name.startsWith("--health-"),
    tcp: (name) => name === "--health-send" || name === "--health-expect",
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
function dropBadValues(flags: Map<string, Given>): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [name, { flag, value, argument }] of [...flags]) {
    const findings = checkKey(flag.key, value);
    if (findings.length === 0) continue;
    flags.delete(name);
    for (const { what, remedy } of findings) problems.push(problem(argument, what, remedy));
  }
  return problems;
}

/** The raw configuration that a file would hold, where each value came from, and what listeners are called. */
function assemble(
  line: CommandLine,
  problems: ConfigProblem[],
): { raw: unknown; origins: Origin[]; names: Map<string, Argument> } {
  const raw: Record<string, unknown> = {};
  const origins: Origin[] = [];
  const names = new Map<string, Argument>();
  const put = (path: readonly string[], value: unknown, argument: Argument): void => {
    origins.push({ path, argument });
    let section = raw;
    for (const step of path.slice(0, -1)) {
      if (!Object.hasOwn(section, step)) section[step] = {};
      section = section[step] as Record<string, unknown>;
    }
    section[path[path.length - 1]] = value;
  };
  for (const { flag, value, argument } of line.processFlags.values()) put(flag.key.path, value, argument);
  for (const { argument, text, flags } of line.groups) {
    const parts = splitListenTargets(text);
    if (!parts.ok) continue;
    const name = nameOf(parts.value.listen, argument, names);
    if (name === undefined) {
      const what = `${quoted(parts.value.listen)} is given twice`;
      problems.push(problem(argument, what, "put all targets behind one LISTEN, or choose another port"));
      continue;
    }
    names.set(name, argument);
    put(["listeners", name, "bind"], parts.value.listen, argument);
    put(["listeners", name, "to"], name, argument);
    const targets = splitTargets(parts.value.targets);
    if (!targets.ok) problems.push(problem(argument, targets.what, targets.remedy));
    const servers = targets.ok
      ? targets.value
      : parts.value.targets.split(",").filter((target) => target !== "");
    put(["upstreams", name, "servers"], servers.length === 0 ? ["127.0.0.1:1"] : servers, argument);
    for (const given of effective(line.sharedFlags, flags)) putListenFlag(name, given, put);
  }
  return { raw, origins, names };
}

/** The name for a LISTEN, or undefined if it is taken. Port 0 is another port each time. */
function nameOf(text: string, argument: Argument, names: ReadonlyMap<string, Argument>): string | undefined {
  const listen = readListen(text);
  if (!listen.ok) return `argument ${argument.position}`;
  if (!names.has(text)) return text;
  const { address } = listen.value;
  if (address.kind === "unix" || address.port !== 0) return undefined;
  let number = 2;
  while (names.has(`${text}#${number}`)) number += 1;
  return `${text}#${number}`;
}

/** The flags that hold for one LISTEN=TARGETS: its own before the shared ones; its own kind of check wins whole. */
function effective(shared: ReadonlyMap<string, Given>, own: ReadonlyMap<string, Given>): Given[] {
  const flags = new Map([...shared, ...own]);
  const ownCheck = [...own.keys()].some((name) => name.startsWith("--health-"));
  if (!own.has("--health") && ownCheck) flags.delete("--health");
  const kind = flags.get("--health")?.value;
  const excluded = [...flags.keys()].filter((name) => name.startsWith("--health-"));
  for (const name of excluded) {
    const isText = name === "--health-send" || name === "--health-expect";
    if (kind === "off" || (kind === "tcp" && isText)) flags.delete(name);
  }
  return [...flags.values()];
}

function putListenFlag(
  name: string,
  given: Given,
  put: (path: readonly string[], value: unknown, argument: Argument) => void,
): void {
  const [section, , ...rest] = given.flag.key.path;
  if (given.flag.name !== "--health") {
    put([section, name, ...rest], given.value, given.argument);
  } else if (given.value === "off") {
    put([section, name, "health"], "off", given.argument);
  } else {
    put([section, name, "health", "tcp"], true, given.argument);
  }
}

function problem(argument: Argument, what: string, remedy: string): ConfigProblem {
  return { where: argument.text, what, remedy, severity: "error", argument: argument.position };
}

/** Names the argument a finding is about: the one that gave the value, or a part of it, or the LISTEN. */
function problemOf(
  finding: Finding,
  origins: readonly Origin[],
  names: ReadonlyMap<string, Argument>,
): ConfigProblem {
  const { path, orPath = path, what, remedy, severity } = finding;
  const listen = typeof path[1] === "string" ? names.get(path[1]) : undefined;
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
