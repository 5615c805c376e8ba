// The parameters of a question to the running process, as an admin API's query and a verb's flags write them: one
// reader for both, so that they cannot differ. What is wrong is told all at once.
import {
  type ConfigProblem,
  didYouMean,
  quoted,
  type Reading,
  refused,
  shown,
  taken,
} from "./config/errors.ts";

/** Values of one parameter. */
const VALUES_MAX = 64;
/** Names that are suggested at most. */
const NAMES_TOLD_MAX = 8;

/** A parameter as it was given. */
export type Given = readonly [name: string, value: string];

/** How a parameter is named to whom it is told: as it is, or as a flag. */
export type NameOf = (parameter: string) => string;

export class Parameters {
  readonly problems: ConfigProblem[] = [];
  readonly #values = new Map<string, string[]>();
  readonly #nameOf: NameOf;

  /** @param known the parameters that there are */
  constructor(given: Iterable<Given>, known: readonly string[], nameOf: NameOf = (parameter) => parameter) {
    this.#nameOf = nameOf;
    for (const [name, value] of given) {
      const values = this.#values.get(name) ?? [];
      if (!known.includes(name)) {
        this.error(shown(name), "no such parameter", didYouMean(name, known, `there are ${known.join(" ")}`));
      } else if (values.length === VALUES_MAX) {
        this.error(name, `more than ${VALUES_MAX} values`, "ask for fewer at a time");
      } else this.#values.set(name, [...values, value]);
    }
  }

  error(parameter: string, what: string, remedy: string): void {
    this.problems.push({ where: this.#nameOf(parameter), what, remedy, severity: "error" });
  }

  /** A parameter that may be given more than once. */
  all<T>(parameter: string, read: (text: string) => Reading<T>): T[] {
    return (this.#values.get(parameter) ?? []).flatMap((text) => this.#read(parameter, text, read));
  }

  one<T>(parameter: string, read: (text: string) => Reading<T>): T | undefined {
    const [first, second] = this.#values.get(parameter) ?? [];
    if (second !== undefined) this.error(parameter, "given twice", "leave one of them out");
    return first === undefined ? undefined : this.#read(parameter, first, read)[0];
  }

  /** By which column, and whether the largest comes first: `age`, `age:asc`, `age:desc`. `columns` says of each which
   * of the two holds unless it is said. */
  sort(
    columns: Readonly<Record<string, boolean>>,
  ): readonly [column: string, descending: boolean] | undefined {
    return this.one("sort", (text) => readSort(text, columns));
  }

  #read<T>(parameter: string, text: string, read: (text: string) => Reading<T>): T[] {
    const reading = read(text);
    if (reading.ok) return [reading.value];
    this.error(parameter, reading.what, reading.remedy);
    return [];
  }
}

function readSort(
  text: string,
  columns: Readonly<Record<string, boolean>>,
): Reading<readonly [column: string, descending: boolean]> {
  const [column, order, ...more] = text.split(":");
  if (!Object.hasOwn(columns, column)) {
    const names = Object.keys(columns);
    return refused(`no column ${quoted(column)}`, didYouMean(column, names, `there are ${names.join(", ")}`));
  }
  if (more.length > 0 || (order !== undefined && order !== "asc" && order !== "desc")) {
    return refused(`no order ${quoted(order)}`, `write ${column}:asc or ${column}:desc`);
  }
  return taken([column, order === undefined ? columns[column] : order === "desc"]);
}

/** One of some words. @param what what they are: `no WHAT "text"` */
export function readWord<T extends string>(text: string, words: readonly T[], what: string): Reading<T> {
  const found = words.find((word) => word === text);
  if (found !== undefined) return taken(found);
  return refused(`no ${what} ${quoted(text)}`, didYouMean(text, words, `there are ${words.join(", ")}`));
}

/** There is none of that name: what there is. */
export function noSuch<T>(what: string, name: string, names: readonly string[]): Reading<T> {
  const told = [...new Set(names)].slice(0, NAMES_TOLD_MAX).map((name) => shown(name));
  const more = names.length > NAMES_TOLD_MAX ? ", ..." : "";
  const otherwise = told.length === 0 ? "there is none" : `there are ${told.join(", ")}${more}`;
  return refused(`no ${what} ${quoted(name)}`, didYouMean(name, names, otherwise));
}
