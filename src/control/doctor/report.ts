// What the doctor found, for people and for programs.
import { wrap } from "../config/help.ts";
import { counted } from "../config/units.ts";
import type { Check, Verdict } from "./check.ts";

const LINE_CHARACTERS_MAX = 110;
const NAME_CHARACTERS = 27;
const VERDICT_CHARACTERS = 6;
const INDENT = " ".repeat(VERDICT_CHARACTERS + NAME_CHARACTERS);
const COLOUR: Readonly<Record<Verdict, string>> = {
  ok: "\x1b[32m",
  note: "\x1b[36m",
  warn: "\x1b[33m",
  fail: "\x1b[1;31m",
};
const PLAIN = "\x1b[0m";

/** Lines of at most 110 characters, as far as commands allow; ends in a newline. */
export function reportText(checks: readonly Check[], colour: boolean): string {
  return [
    ...checks.flatMap((check) => linesOf(check, colour)),
    "",
    `${summaryText(checks)}.`,
    "Limits are those that this command was started with: a service has its own.",
    "",
  ].join("\n");
}

function linesOf({ name, found, verdict, limits, change }: Check, colour: boolean): string[] {
  const words = colour ? `${COLOUR[verdict]}${verdict}${PLAIN}` : verdict;
  const mark = words + " ".repeat(VERDICT_CHARACTERS - verdict.length);
  const wide = LINE_CHARACTERS_MAX - INDENT.length;
  const [first, ...more] = [...wrap(found, wide), ...(limits === "" ? [] : wrap(limits, wide))];
  const heading = name.length < NAME_CHARACTERS
    ? [mark + name.padEnd(NAME_CHARACTERS) + first]
    : [mark + name, INDENT + first];
  const remedies = verdict === "ok"
    ? []
    : change.map(({ when, command }) => `  ${`${when}:`.padEnd(10)} ${command}`);
  return [...heading, ...[...more, ...remedies].map((line) => INDENT + line)];
}

/** How many checks came out how. */
export function summaryOf(checks: readonly Check[]): Record<Verdict, number> {
  const counts: Record<Verdict, number> = { ok: 0, note: 0, warn: 0, fail: 0 };
  for (const { verdict } of checks) counts[verdict]++;
  return counts;
}

function summaryText(checks: readonly Check[]): string {
  const { ok, note, warn, fail } = summaryOf(checks);
  return `${counted(checks.length, "check")}: ${ok} ok, ${counted(note, "note")}, ${
    counted(warn, "warning")
  }, ` +
    counted(fail, "failure");
}

/** `{ "checks": [...], "summary": { "ok": 20, ... } }` */
export function reportJson(checks: readonly Check[]): string {
  return JSON.stringify({ checks, summary: summaryOf(checks) }, null, 2) + "\n";
}
