import { equal } from "node:assert/strict";
import { test } from "node:test";
import {
  didYouMean,
  editDistance,
  formatProblem,
  formatProblems,
  nearest,
  shown,
} from "../../../src/control/config/errors.ts";
import type { ConfigProblem } from "../../../src/control/config/errors.ts";

test("editDistance counts insertions, deletions, substitutions and swaps of neighbours", () => {
  const cases: [from: string, to: string, want: number, why: string][] = [
    ["", "", 0, "nothing to do"],
    ["", "abc", 3, "insertions"],
    ["abc", "", 3, "deletions"],
    ["abc", "abd", 1, "substitution"],
    ["--helth", "--health", 1, "a letter left out"],
    ["abc", "acb", 1, "a swap is one edit, not two"],
    ["ca", "abc", 3, "optimal string alignment does not edit inside a swap"],
  ];
  for (const [from, to, want, why] of cases) equal(editDistance(from, to), want, why);
});

test("nearest takes the closest word, and none rather than a far one", () => {
  const flags = ["--health-send", "--health-expect", "--reactors"];
  const cases: [word: string, want: string | undefined, why: string][] = [
    ["--helth-send", "--health-send", "one letter left out"],
    ["--HEALTH-SEND", "--health-send", "case does not count"],
    ["--reactor", "--reactors", "singular"],
    ["--color", undefined, "nothing like it"],
    ["", undefined, "nothing was typed"],
    ["x".repeat(1_000_000), undefined, "a huge word costs no time"],
  ];
  for (const [word, want, why] of cases) equal(nearest(word, flags), want, why);
  equal(didYouMean("x", flags, "see --help"), "see --help", "otherwise");
});

test("shown leaves nothing that could move a terminal", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["plain", "plain", "as it is"],
    ["größe", "größe", "letters of any language"],
    ["a\nb\tc\rd", "a\\nb\\tc\\rd", "line ends"],
    ["\x1b[2J\x00\x7f\x9b", "\\x1B[2J\\x00\\x7F\\x9B", "escape sequences, NUL, DEL, C1"],
    ["\u202egnp", "\\u{202E}gnp", "a bidirectional override"],
    ["\ud800", "\\u{D800}", "a lone surrogate"],
    ["x".repeat(1000), "x".repeat(72) + "...", "shortened"],
  ];
  for (const [text, want, why] of cases) equal(shown(text), want, why);
});

test("formatProblem is one line; formatProblems puts errors first", () => {
  const error: ConfigProblem = {
    where: "--helth-send",
    what: "unknown flag",
    remedy: 'did you mean "--health-send"?',
    severity: "error",
  };
  const warning: ConfigProblem = { where: "", what: "odd", remedy: "change it", severity: "warning" };
  equal(formatProblem(error), 'sluice: --helth-send: unknown flag; did you mean "--health-send"?');
  equal(formatProblem(warning), "sluice: warning: odd; change it");
  equal(formatProblems([warning, error]), `${formatProblem(error)}\n${formatProblem(warning)}\n`);
  equal(formatProblems([]), "");
});
