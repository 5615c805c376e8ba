// What can be wrong with a configuration, and how that is said: one line that names the argument (or
// the place in a file), what is wrong with it, and what to do about it. All problems are told at once.
// This file knows no flag and no key. Nothing a user typed reaches the terminal unescaped.

/** A place in a file, and its line to show. */
export interface Spot {
  /** As messages name it. */
  readonly file: string;
  /** Both count from 1; a column is a character. */
  readonly line: number;
  readonly column: number;
  /** Characters, at least 1, all in this line. */
  readonly length: number;
  /** The line as it stands in the file, of a long one the part around the place. */
  readonly text: string;
  /** Characters of the line before that part; none if not given. */
  readonly cut?: number;
}

/** One thing wrong with a configuration. The process must not start on an error; a warning is only said. */
export interface ConfigProblem {
  /** The argument as typed (escaped and shortened), or a place in a file; "" when it is about the whole. */
  readonly where: string;
  /** What is wrong, in words that follow `where` and a colon. */
  readonly what: string;
  /** What to do about it: a question ("did you mean ...?") or an order ("write ..."). */
  readonly remedy: string;
  readonly severity: "error" | "warning";
  /** The argument's position on the command line, 1 for the first after the program's name. */
  readonly argument?: number;
  /** Where in a file it is. */
  readonly spot?: Spot;
}

/** What a reader of one value returns: the value, or what is wrong with the text and how to mend it. */
export type Reading<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly what: string; readonly remedy: string };

/** A reading that succeeded. */
export function taken<T>(value: T): Reading<T> {
  return { ok: true, value };
}

/** A reading that failed: what is wrong, and the remedy. */
export function refused(what: string, remedy: string): Reading<never> {
  return { ok: false, what, remedy };
}

/** The answer to everything that is designed but not built yet. */
export const NOT_SUPPORTED = "not supported in this version";

/** Characters of the user's text that a message repeats. */
const SHOWN_CHARACTERS_MAX = 72;

/**
 * `text` as it may stand in a message: control characters, lone surrogates, formatting characters
 * (bidirectional overrides among them) and line separators as `\xHH` or `\u{H}`, longer than
 * `charactersMax` cut with "...".
 */
export function shown(text: string, charactersMax: number = SHOWN_CHARACTERS_MAX): string {
  let out = "";
  let count = 0;
  for (const character of text) {
    if (count === charactersMax) return out + "...";
    count += 1;
    out += /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u.test(character) ? escaped(character) : character;
  }
  return out;
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code === 10) return "\\n";
  if (code === 13) return "\\r";
  if (code === 9) return "\\t";
  const hex = code.toString(16).toUpperCase();
  return code < 256 ? `\\x${hex.padStart(2, "0")}` : `\\u{${hex}}`;
}

/** `text` in double quotes, as `shown` gives it. */
export function quoted(text: string): string {
  return `"${shown(text)}"`;
}

/** Words longer than this are compared by their beginning only, so a huge argument costs no time. */
const COMPARED_CHARACTERS_MAX = 48;

/**
 * The Damerau-Levenshtein distance (optimal string alignment): how many insertions, deletions,
 * substitutions and swaps of neighbours turn `from` into `to`. Looks at the first 48 characters.
 */
export function editDistance(from: string, to: string): number {
  const a = from.slice(0, COMPARED_CHARACTERS_MAX);
  const b = to.slice(0, COMPARED_CHARACTERS_MAX);
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let best = Math.min(last[column] + 1, current[column - 1] + 1, last[column - 1] + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) best = Math.min(best, beforeLast[column - 2] + 1);
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length];
}

/**
 * The candidate that `word` was most likely meant to be, or undefined if none is near: at most one
 * edit for every three characters, at most three. Case does not count.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.max(1, Math.floor(word.length / 3))) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/** `did you mean "..."?`, or `otherwise` when no candidate is near to `word`. */
export function didYouMean(word: string, candidates: Iterable<string>, otherwise: string): string {
  const candidate = nearest(word, candidates);
  return candidate === undefined ? otherwise : `did you mean ${quoted(candidate)}?`;
}

/**
 * One line without its newline: `sluice: --helth-send: unknown flag; did you mean "--health-send"?`, or as
 * compilers write it when it is in a file: `sluice.yaml:14:9: unknown key "helth"; did you mean "health"?`
 */
export function formatProblem(problem: ConfigProblem): string {
  return firstLine(problem, false);
}

function firstLine(problem: ConfigProblem, colour: boolean): string {
  const paint = colour ? painted : (_: Paint, text: string) => text;
  const kind = problem.severity === "warning" ? `${paint("warning", "warning:")} ` : "";
  const where = problem.where === "" ? "" : `${paint("place", `${problem.where}:`)} `;
  const error = problem.severity === "error" && colour ? `${paint("error", "error:")} ` : "";
  const program = problem.spot === undefined ? "sluice: " : "";
  const place = problem.spot === undefined ? kind + where : where + kind;
  return `${program}${place}${error}${problem.what}; ${problem.remedy}`;
}

/** All problems with the lines they are about, errors first, otherwise in the order given. */
export function formatProblems(problems: readonly ConfigProblem[], colour = false): string {
  const errors = problems.filter((problem) => problem.severity === "error");
  const warnings = problems.filter((problem) => problem.severity === "warning");
  return [...errors, ...warnings].map((problem) => {
    const line = firstLine(problem, colour) + "\n";
    return problem.spot === undefined ? line : line + frameOf(problem.spot, problem.severity, colour);
  }).join("");
}

/** The same for programs: one object, each problem with its place as far as there is one. */
export function problemsJson(problems: readonly ConfigProblem[]): string {
  const told = problems.map(({ severity, where, what, remedy, argument, spot }) => ({
    severity,
    where,
    message: what,
    remedy,
    ...(argument === undefined ? {} : { argument }),
    ...(spot === undefined
      ? {}
      : { file: spot.file, line: spot.line, column: spot.column, length: spot.length }),
  }));
  return JSON.stringify({ problems: told }, null, 2) + "\n";
}

/** Problems that are told; of more than these their number. */
const TOLD_MAX = 100;

/** The first problems, errors before warnings, and how many there are besides. */
export function bounded(problems: readonly ConfigProblem[]): ConfigProblem[] {
  if (problems.length <= TOLD_MAX) return [...problems];
  const errors = problems.filter(({ severity }) => severity === "error");
  const first = [...errors, ...problems.filter(({ severity }) => severity === "warning")].slice(0, TOLD_MAX);
  const severity = errors.length > TOLD_MAX ? "error" : "warning";
  const what = `${problems.length - TOLD_MAX} more problems`;
  return [...first, { where: "", what, remedy: "mend these first", severity }];
}

/** A key that is called like a secret, or nearly so, and whatever follows it in its line. */
const SECRET = /((?:^|[\s{,"'])[\w-]*(?:tok|passw|pwd|secret|hmac)[\w-]*["']?\s*[:=\s]\s*)(\S.*)$/gimu;

/** A text of a file, or about one, without what a secret may be; as long as before. */
export function withoutSecrets(text: string): string {
  return text.replace(SECRET, (_, key: string, value: string) => {
    return key + (REFERENCE.test(value) ? value : "*".repeat([...value].length));
  });
}

const REFERENCE = /^["']?\$\{[^}]*\}["']?\s*$/;

type Paint = "error" | "warning" | "place" | "frame";

/** SGR codes. */
const PAINT: Readonly<Record<Paint, string>> = { error: "1;31", warning: "1;33", place: "1", frame: "2" };

function painted(paint: Paint, text: string): string {
  return `\x1b[${PAINT[paint]}m${text}\x1b[0m`;
}

/** Of a long line this much before the place and behind it. */
const BEFORE_CHARACTERS = 60;
const LINE_CHARACTERS = 110;

/** The line, and a caret below each character that it is about; nothing for a line without any. */
function frameOf(
  { line, column, length, text, cut: missing = 0 }: Spot,
  severity: Paint,
  colour: boolean,
): string {
  if (text.trim() === "") return "";
  const characters = [...text];
  const at = column - 1 - missing;
  const cut = at > BEFORE_CHARACTERS + 19 ? at - BEFORE_CHARACTERS : 0;
  const part = characters.slice(cut, cut + LINE_CHARACTERS);
  const before = part.slice(0, at - cut);
  const many = Math.min(length, Math.max(part.length - before.length, 1));
  const number = String(line).padStart(5);
  const lead = cut + missing > 0 ? "..." : "";
  const shownLine = lead + part.map((one) => one === "\t" ? one : shown(one)).join("") +
    (cut + part.length < characters.length ? "..." : "");
  // Tabs stay tabs, and what takes more room takes it here too: the caret stands below its character.
  const indent = " ".repeat(lead.length) +
    before.map((one) => one === "\t" ? one : " ".repeat(columnsOf(shown(one)))).join("");
  const caret = "^".repeat(
    Math.max(
      columnsOf(
        part.slice(before.length, before.length + many).map((one) => one === "\t" ? " " : shown(one)).join(
          "",
        ),
      ),
      1,
    ),
  );
  const paint = colour ? painted : (_: Paint, text: string) => text;
  return `${paint("frame", `${number} |`)} ${shownLine}\n${paint("frame", "      |")} ${indent}${
    paint(severity, caret)
  }\n`;
}

/** Columns that a terminal gives a text: two for the wide characters of East Asia and for pictures. */
function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue;
    columns +=
      /[\u1100-\u115f\u2e80-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u
          .test(character)
        ? 2
        : 1;
  }
  return columns;
}
