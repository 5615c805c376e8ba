// What the checks of a configuration find, by the path of the key it is about. Whoever gathered the values
// knows where that key was written.

import type { ConfigProblem } from "./errors.ts";

export type Path = readonly (string | number)[];

/** One thing wrong with the value at `path`. */
export interface Finding {
  readonly path: Path;
  /** Another value that it is as much about; the one that somebody wrote is the one to name. */
  readonly orPath?: Path;
  readonly what: string;
  readonly remedy: string;
  readonly severity: "error" | "warning";
  /** It is about the key at the end of the path, not about its value. */
  readonly isKey?: true;
  /** Of an unknown key: the key of that section that was probably meant. */
  readonly meant?: string;
  /** What it misses. */
  readonly missing?: Path;
}

/** Says what findings are about: the arguments, or the places in a file, that they come from. */
export type Tell = (findings: readonly Finding[]) => ConfigProblem[];

/** The value at a path of a raw configuration; undefined if there is none. */
export function valueAt(raw: unknown, path: Path): unknown {
  let value = raw;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}
