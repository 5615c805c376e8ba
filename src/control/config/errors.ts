// What can be wrong with a configuration, and how that is said: one line that names the argument (or
// the place in a file), what is wrong with it, and what to do about it. All problems are told at once.
// This file knows no flag and no key. Nothing a user typed reaches the terminal unescaped.

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

/** One line without its newline: `sluice: --helth-send: unknown flag; did you mean "--health-send"?` */
export function formatProblem(problem: ConfigProblem): string {
  const kind = problem.severity === "warning" ? "warning: " : "";
  const where = problem.where === "" ? "" : `${problem.where}: `;
  return `sluice: ${kind}${where}${problem.what}; ${problem.remedy}`;
}

/** All problems, one line each with its newline, errors first, otherwise in the order given. */
export function formatProblems(problems: readonly ConfigProblem[]): string {
  const errors = problems.filter((problem) => problem.severity === "error");
  const warnings = problems.filter((problem) => problem.severity === "warning");
  return [...errors, ...warnings].map((problem) => formatProblem(problem) + "\n").join("");
}
