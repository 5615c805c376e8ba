// `sluice why REASON`: what a word of the access log means, why it happens, what to look at, what to change; of
// an errno or a detail, beside which reasons it stands. Without a word: all of them, a line each.
import { wrap } from "../config/help.ts";
import { didYouMean, shown } from "../config/errors.ts";
import type { VerbArguments } from "../config/verbs.ts";
import {
  type Answer,
  EXPLAINED,
  type Explained,
  findReasons,
  reasonWords,
  seenByClient,
  type Told,
} from "../reasons/explained.ts";
import { type Said, said, saidNo } from "./said.ts";

const LINE_CHARACTERS_MAX = 110;

/** Answers; status 2 when nobody knows the word. */
export function why({ values, rest }: VerbArguments): Said {
  const json = values.get("--format")?.[0] === "json";
  if (rest.length > 1) {
    return saidNo({ where: shown(rest[1]), what: "a second word", remedy: "ask for one at a time" });
  }
  if (rest.length === 0) return said(json ? jsonOf(EXPLAINED) : allText());
  const answer = findReasons(rest[0]);
  if (answer !== undefined) return said(json ? jsonOf(reasonsOf(answer)) : answerText(answer));
  const otherwise = "sluice why lists them all";
  const word = rest[0].replaceAll("-", "_");
  return saidNo({
    where: shown(rest[0]),
    what: "neither a reason, a type of RFC 9209, an HTTP status, an errno nor words of a detail",
    remedy: didYouMean(word, reasonWords(), otherwise),
  });
}

/** A status that Sluice never says is somebody else's word. */
function reasonsOf(answer: Answer): readonly Explained[] {
  if ("told" in answer) return [...new Set(answer.told.map(({ reason }) => reason))];
  if (answer.kind !== "status") return answer.reasons;
  const others = EXPLAINED.filter(({ name }) => name === "finished" || name === "answered");
  return [...answer.reasons, ...others];
}

function answerText(answer: Answer): string {
  if (answer.kind === "status") return statusText(answer.status, answer.reasons);
  if ("told" in answer) return toldText(answer.kind, answer.word, answer.told);
  if (answer.reasons.length === 1) return reasonText(answer.reasons[0]);
  return [
    `${answer.word} is the type (RFC 9209) of several reasons:`,
    "",
    ...table(answer.reasons),
    "",
    "sluice why REASON explains one.",
    "",
  ].join("\n");
}

/** Of one reason all that is known, of several what the word says of each. */
function toldText(kind: "errno" | "detail", word: string, told: readonly Told[]): string {
  const width = Math.max(...told.map(({ reason: { name } }) => name.length));
  const lines = told.flatMap(({ reason: { name }, text }) =>
    wrap(text, LINE_CHARACTERS_MAX - width - 4).map((line, at) =>
      `  ${(at === 0 ? name : "").padEnd(width)}  ${line}`
    )
  );
  const isOne = told.every(({ reason }) => reason === told[0].reason);
  return [
    kind === "errno" ? `${word} is the errno of` : `${shown(word)} is said in the detail of`,
    "",
    ...lines,
    "",
    isOne ? reasonText(told[0].reason) : "sluice why REASON explains one.\n",
  ].join("\n");
}

function statusText(status: number, reasons: readonly Explained[]): string {
  const told = reasons.length === 0
    ? [`Sluice never says ${status} by itself. Where a client got it, the record says who did:`]
    : [
      `${status} is what Sluice says with one of these reasons:`,
      "",
      ...table(reasons),
      "",
      "or somebody else's word, with another reason in the record:",
    ];
  return [
    ...told,
    "",
    ...bullets([
      "finished: the server that the record names behind -> said it",
      "answered: the configuration says so, by a route's respond or redirect",
    ]),
    "",
    "sluice why REASON explains one.",
    "",
  ].join("\n");
}

function allText(): string {
  return [
    "Reasons, as the access log and the metrics have them:",
    "",
    ...table(EXPLAINED),
    "",
    "sluice why REASON explains one; a type of RFC 9209, a status, an errno or the name of an alert will do:",
    "sluice why 502, sluice why ECONNREFUSED, sluice why unknown_ca.",
    "",
  ].join("\n");
}

/** A line for each: name, status, sentence. */
function table(reasons: readonly Explained[]): string[] {
  const width = Math.max(...reasons.map(({ name }) => name.length));
  return reasons.map(({ name, statuses, text }) => {
    const code = statuses.length > 1 ? `${statuses[0]}+` : statuses.join();
    return `  ${name.padEnd(width)}  ${code.padEnd(4)}  ${text}`;
  });
}

/** Everything about one reason, for a person. */
function reasonText(reason: Explained): string {
  const { name, type, text, help, details } = reason;
  const errnos = help.errnos ?? [];
  const errnoWidth = Math.max(0, ...errnos.map(([name]) => name.length));
  return [
    `${name}: ${text}`,
    "",
    ...indented(help.means),
    ...section("Why", help.causes),
    ...section("Look at", help.look),
    ...section("Change", help.change),
    ...heading("errno", errnos.map(([name, text]) => `  ${name.padEnd(errnoWidth)}  ${text}`)),
    ...heading(
      "detail",
      details.flatMap(({ status, text }) =>
        wrap(help.details === "request" ? `${status}  ${text}` : text, LINE_CHARACTERS_MAX - 4)
          .map((line, at) => (at === 0 ? "  " : "    ") + line)
      ),
    ),
    "",
    ...indented(`The client gets: ${seenByClient(reason)}.`),
    ...(type === null ? [] : indented(`Type (RFC 9209): ${type}.`)),
    "",
  ].join("\n");
}

function section(title: string, points: readonly string[]): string[] {
  return heading(title, bullets(points));
}

function heading(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", title, ...lines];
}

function bullets(points: readonly string[]): string[] {
  return points.flatMap((point) =>
    wrap(point, LINE_CHARACTERS_MAX - 4).map((line, at) => (at === 0 ? "  - " : "    ") + line)
  );
}

function indented(text: string): string[] {
  return wrap(text, LINE_CHARACTERS_MAX - 2).map((line) => `  ${line}`);
}

/** `{ "reasons": [...] }`, whatever was asked. */
function jsonOf(reasons: readonly Explained[]): string {
  const told = reasons.map(({ name, type, text, statuses, reset, help, details }) => ({
    reason: name,
    type,
    text,
    statuses,
    resets: reset,
    means: help.means,
    causes: help.causes,
    look_at: help.look,
    change: help.change,
    errnos: Object.fromEntries(help.errnos ?? []),
    details: details.map(({ text }) => text),
  }));
  return JSON.stringify({ reasons: told }, null, 2) + "\n";
}
