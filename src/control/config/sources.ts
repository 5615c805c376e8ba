// The files of a configuration: the one that was named, and those that it includes, put together into one tree
// of raw values. Sections are joined key by key; anything else may stand in one file only.
import { dirname, isAbsolute, join, normalize } from "node:path";
import { bytesOfFile, type Disk, unreadable } from "./disk.ts";
import { type ConfigProblem, quoted, shown, type Spot } from "./errors.ts";
import { type ConfigFile, FILE_BYTES_MAX, pathText, readConfigFile, whereOf } from "./file.ts";
import type { Finding, Path } from "./finding.ts";
import { type Sources, substitute } from "./substitution.ts";

/** Files of one configuration. */
const FILES_MAX = 1_000;
/** Paths that a pattern may mean on its way. */
const PATHS_MAX = 10_000;
/** How deep files include one another. */
const DEPTH_MAX = 8;

/** A configuration as its files have it. */
export interface ConfigSource {
  /** All files together, nothing substituted. */
  readonly raw: unknown;
  /** What a finding is about; `order` puts places in the order in which somebody reads the files. */
  readonly place: (
    finding: Pick<Finding, "path" | "isKey">,
  ) => { readonly spot: Spot; readonly order: number };
  readonly warnings: readonly ConfigProblem[];
}

type Section = Record<string, unknown>;

/** Reads a configuration's files. @returns them, or all that keeps them from being read */
export function readSources(
  path: string,
  { env, disk }: Sources,
): ConfigSource | { problems: ConfigProblem[] } {
  const reader = new SourceReader(env, disk);
  reader.read(path, [], 0);
  const { files, problems, warnings } = reader;
  if (problems.length > 0) return { problems };
  if (files.length === 1 && reader.includes === 0) {
    const [{ raw, place }] = files;
    return { raw, place: (finding) => ordered(place(finding), 0), warnings };
  }
  const place: ConfigSource["place"] = (finding) => {
    const at = fileOf(files, finding.path);
    return ordered(files[at].place(finding), at);
  };
  const raw = joined(files, problems);
  return problems.length > 0 ? { problems } : { raw, place, warnings };
}

function ordered({ spot, offset }: ReturnType<ConfigFile["place"]>, file: number) {
  return { spot, order: file * (FILE_BYTES_MAX + 1) + offset };
}

class SourceReader {
  readonly files: ConfigFile[] = [];
  readonly problems: ConfigProblem[] = [];
  readonly warnings: ConfigProblem[] = [];
  /** Patterns that were followed. */
  includes = 0;
  readonly #env: Sources["env"];
  readonly #disk: Disk;
  /** By path: where it was included first. */
  readonly #seen = new Map<string, string>();
  #bytes = 0;

  constructor(env: Sources["env"], disk: Disk) {
    this.#env = env;
    this.#disk = disk;
  }

  /** @param from where it is included, none for the first */
  read(path: string, from: readonly Spot[], depth: number): void {
    const error = (what: string, remedy: string) =>
      this.problems.push(this.#problem(path, from, what, remedy));
    const id = normalize(path), before = this.#seen.get(id);
    if (before !== undefined) {
      error(`${quoted(path)} is part of the configuration already, by ${before}`, "include it once");
      return;
    }
    this.#seen.set(id, from.length === 0 ? "the command line" : whereOf(from[0]));
    if (this.#seen.size > FILES_MAX) {
      if (this.#seen.size === FILES_MAX + 1) {
        error(`more than ${FILES_MAX} files`, "put some of them together");
      }
      return;
    }
    const bytes = bytesOfFile(path, this.#disk, FILE_BYTES_MAX + 1 - this.#bytes);
    if (!(bytes instanceof Uint8Array)) return void error(bytes.what, bytes.remedy);
    this.#bytes += bytes.length;
    if (this.#bytes > FILE_BYTES_MAX) {
      return void error(`the configuration is longer than ${FILE_BYTES_MAX} bytes`, "write a shorter one");
    }
    const file = readConfigFile(path, bytes);
    if ("problems" in file) return void this.problems.push(...file.problems);
    this.files.push(file);
    this.#include(path, file, depth);
  }

  #problem(path: string, from: readonly Spot[], what: string, remedy: string): ConfigProblem {
    if (from.length === 0) return { where: shown(path), what, remedy, severity: "error" };
    const told = what.startsWith('"') ? what : `${quoted(path)}: ${what}`;
    remedy = remedy.replace(", from the working directory on", ", from the directory of this one on");
    return { where: whereOf(from[0]), what: `include: ${told}`, remedy, severity: "error", spot: from[0] };
  }

  /** Reads what a file includes, in the order of the patterns, each one's files by name. */
  #include(path: string, file: ConfigFile, depth: number): void {
    if (!isSection(file.raw) || !Object.hasOwn(file.raw, "include")) return;
    const { values, findings, hide } = substitute(file.raw.include, { env: this.#env, disk: this.#disk });
    const tell = (at: Path, what: string, remedy: string, severity: "error" | "warning" = "error") => {
      const { spot } = file.place({ path: ["include", ...at] });
      const problem: ConfigProblem = {
        where: whereOf(spot),
        what: `include: ${hide(what)}`,
        remedy,
        severity,
        spot,
      };
      (severity === "error" ? this.problems : this.warnings).push(problem);
    };
    for (const { path, what, remedy } of findings) tell(path, what, remedy);
    if (findings.length > 0) return;
    const patterns = Array.isArray(values) ? values : [values];
    for (const [at, pattern] of patterns.entries()) {
      const where: Path = Array.isArray(values) ? [at] : [];
      if (typeof pattern !== "string" || pattern === "") {
        tell(where, "no path", "write a path, such as conf.d/*.yaml, or a list of them");
        continue;
      }
      if (depth === DEPTH_MAX) {
        tell(
          where,
          `files include one another more than ${DEPTH_MAX} deep`,
          "include them from the first file",
        );
        continue;
      }
      this.includes++;
      const full = isAbsolute(pattern) ? pattern : join(dirname(path), pattern);
      const found = expand(full, this.#disk);
      if ("what" in found) tell(where, `${quoted(full)}: ${found.what}`, found.remedy);
      else if (found.paths.length === 0) {
        tell(where, `no file is called ${quoted(full)}`, "leave it out if there will be none", "warning");
      } else {
        for (const one of found.paths) {
          this.read(one, [file.place({ path: ["include", ...where] }).spot], depth + 1);
        }
      }
    }
  }
}

/** The paths that a pattern means: `*`, `?` and `[...]` stand for characters of one name, but for no dot at its
 * beginning. A path without any is itself. */
export function expand(
  pattern: string,
  disk: Disk,
): { readonly paths: string[] } | { readonly what: string; readonly remedy: string } {
  let paths = [pattern.startsWith("/") ? "/" : ""];
  const steps = pattern.split("/").filter((step) => step !== "");
  for (const [at, step] of steps.entries()) {
    if (!/[*?[]/.test(step)) {
      paths = paths.map((path) => `${path}${step}${at < steps.length - 1 ? "/" : ""}`);
      continue;
    }
    if (step.includes("**")) {
      return { what: '"**" is not supported', remedy: "write one * for each directory" };
    }
    const next: string[] = [];
    for (const path of paths) {
      let listed: readonly string[];
      try {
        listed = disk.list(path === "" ? "." : path);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const isOneOfMany = paths.length > 1; // others may be what was meant
        if (code === "ENOENT" || code === "ENOTDIR" || isOneOfMany) continue;
        return { ...unreadable(error, path), remedy: "write a path that this user may read" };
      }
      const good = listed.filter((name) => fits(name, step)).sort();
      for (const name of good) next.push(`${path}${name}${at < steps.length - 1 ? "/" : ""}`);
      if (next.length > PATHS_MAX) {
        return { what: `it means more than ${PATHS_MAX} paths`, remedy: "write one that means fewer" };
      }
    }
    paths = next;
  }
  return { paths };
}

/** Whether a name is one that a step of a pattern means. One look back at the last `*` is enough: what an earlier
 * one could give up, this one can take. */
function fits(name: string, step: string): boolean {
  if (name.startsWith(".") && !step.startsWith(".")) return false;
  const pattern = piecesOf(step), characters = [...name];
  let at = 0, piece = 0, starPiece = -1, starAt = 0;
  while (at < characters.length) {
    const one = pattern[piece];
    if (one === "*") {
      starPiece = piece++;
      starAt = at;
    } else if (one !== undefined && takes(one, characters[at])) {
      piece++;
      at++;
    } else if (starPiece >= 0) {
      piece = starPiece + 1;
      at = ++starAt;
    } else return false;
  }
  while (pattern[piece] === "*") piece++;
  return piece === pattern.length;
}

/** A step cut into characters, `*`, `?` and classes. A "[" without end is itself. */
function piecesOf(step: string): string[] {
  return step.match(/\[!?\]?[^\]]*\]|[^]/gu) ?? [];
}

function takes(piece: string, character: string): boolean {
  if (piece === "?") return true;
  if (piece.length < 3 || !piece.startsWith("[")) return piece === character;
  const isNot = piece[1] === "!", members = [...piece.slice(isNot ? 2 : 1, -1)];
  let isIn = false;
  for (let at = 0; at < members.length; at++) {
    const isRange = members[at + 1] === "-" && at + 2 < members.length;
    if (isRange) {
      isIn ||= members[at] <= character && character <= members[at + 2];
      at += 2;
    } else isIn ||= members[at] === character;
  }
  return isIn !== isNot;
}

/** The file that has the longest part of a path, the first of those. */
function fileOf(files: readonly ConfigFile[], path: Path): number {
  let best = 0, deepest = -1;
  for (const [at, { raw }] of files.entries()) {
    const depth = depthOf(raw, path);
    if (depth > deepest) [best, deepest] = [at, depth];
  }
  return best;
}

function depthOf(raw: unknown, path: Path): number {
  let value = raw, depth = 0;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) break;
    value = (value as Record<string | number, unknown>)[step];
    depth++;
  }
  return depth;
}

/** All files in one tree, without their `include`. */
function joined(files: readonly ConfigFile[], problems: ConfigProblem[]): unknown {
  const all: Section = {};
  for (const [at, file] of files.entries()) {
    if (file.raw === null || file.raw === undefined) continue; // nothing but comments
    if (!isSection(file.raw)) {
      const { spot } = file.place({ path: [] });
      const what = "no section of keys";
      problems.push({
        where: whereOf(spot),
        what,
        remedy: "write listeners and upstreams",
        severity: "error",
        spot,
      });
      continue;
    }
    const { include: _, ...rest } = file.raw;
    const twice = (path: Path): void => {
      const { spot } = file.place({ path, isKey: true });
      const before = files.slice(0, at).find((other) => depthOf(other.raw, path) === path.length);
      const other = before === undefined ? "another file" : whereOf(before.place({ path, isKey: true }).spot);
      const what = `${pathText(path)} is given in ${other} as well`;
      problems.push({ where: whereOf(spot), what, remedy: "leave one of them out", severity: "error", spot });
    };
    joinSections(all, rest, [], twice);
  }
  return all;
}

/** Puts the keys of one section into another. */
function joinSections(into: Section, from: Section, path: Path, twice: (path: Path) => void): void {
  for (const [key, value] of Object.entries(from)) {
    if (!Object.hasOwn(into, key) || into[key] === null) {
      Object.defineProperty(into, key, {
        value: structuredClone(value), // what is joined to it is not its file's
        enumerable: true,
        writable: true,
        configurable: true,
      });
    } else if (isSection(into[key]) && isSection(value)) {
      joinSections(into[key], value, [...path, key], twice);
    } else if (value !== null) twice([...path, key]);
  }
}

function isSection(value: unknown): value is Section {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
