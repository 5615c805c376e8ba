// Every reason with its help: the table that `sluice why` and the page of all reasons are made of, and how a
// word of a log is found in it.
import { PROXY_FLAWS } from "../../proto/proxy_flaw.ts";
import { Refusal, REFUSALS } from "../../proto/refusal.ts";
import { TLS_FAULTS } from "../../proto/tls_fault.ts";
import { Reason, REASONS, type ReasonText } from "../../shared/reason.ts";
import { ADMISSION_HELP } from "./admission.ts";
import { CONNECTION_HELP } from "./connections.ts";
import type { ReasonHelp } from "./help.ts";
import { PROXY_HELP } from "./proxy.ts";
import { REQUEST_HELP } from "./requests.ts";
import { SESSION_HELP } from "./sessions.ts";
import { TLS_HELP } from "./tls.ts";

const HELP: Readonly<Record<Reason, ReasonHelp>> = {
  ...CONNECTION_HELP,
  ...REQUEST_HELP,
  ...TLS_HELP,
  ...ADMISSION_HELP,
  ...PROXY_HELP,
  ...SESSION_HELP,
};

/** A reason with all that is known of it. */
export interface Explained extends ReasonText {
  readonly help: ReasonHelp;
  /** Every status that a client may get with it, in order; none: no status is said. */
  readonly statuses: readonly number[];
  /** Each sentence that `detail=` may say beside it. */
  readonly details: readonly DetailText[];
}

export interface DetailText {
  /** That the client gets; 0: that of the reason, if it has one. */
  readonly status: number;
  readonly text: string;
}

/** Refusals that are about a status line, a request's first line, its Host, and so on, never the other. */
const OF_ANSWERS: readonly Refusal[] = [Refusal.BadStatusLine, Refusal.BadStatus];
const OF_REQUESTS: readonly Refusal[] = [
  Refusal.TooManyEmptyLines,
  Refusal.TlsOnPlain,
  Refusal.BadMethod,
  Refusal.MethodTooLong,
  Refusal.BadTarget,
  Refusal.TargetTooLong,
  Refusal.BadTargetForm,
  Refusal.BadVersion,
  Refusal.OldVersion,
  Refusal.NoHost,
  Refusal.SeveralHost,
  Refusal.BadHost,
  Refusal.BadPort,
  Refusal.UserInfo,
  Refusal.HostConflict,
  Refusal.UnknownExpectation,
  Refusal.PathAboveRoot,
  Refusal.BadEscape,
];
/** It has a reason of its own, and no detail. */
const OF_NEITHER: readonly Refusal[] = [Refusal.None, Refusal.BodyTooLong];

/** By code. */
export const EXPLAINED: readonly Explained[] = REASONS.map((reason, code) => {
  const help = HELP[code as Reason];
  const details = detailsOf(help.details);
  const ofDetails = help.details === "request" ? details.map(({ status }) => status) : [];
  const all = new Set([...ofDetails, ...(reason.status === 0 ? [] : [reason.status])]);
  return { ...reason, help, details, statuses: [...all].sort((one, other) => one - other) };
});

function detailsOf(whose: ReasonHelp["details"]): readonly DetailText[] {
  if (whose === undefined) return [];
  if (typeof whose !== "string") {
    return TLS_FAULTS.filter(({ fault }) => whose.includes(fault)).map(({ text }) => ({ status: 0, text }));
  }
  if (whose === "proxy") return PROXY_FLAWS.slice(1).map((text) => ({ status: 0, text }));
  const others = whose === "request" ? OF_ANSWERS : OF_REQUESTS;
  return REFUSALS.filter((_, code) => !others.includes(code) && !OF_NEITHER.includes(code));
}

/** What somebody asked `why` about, and the reasons that it is. */
export type Answer =
  | { readonly kind: "reason" | "type"; readonly word: string; readonly reasons: readonly Explained[] }
  | { readonly kind: "status"; readonly status: number; readonly reasons: readonly Explained[] }
  | { readonly kind: "errno" | "detail"; readonly word: string; readonly told: readonly Told[] };

/** What an errno or a detail is, beside a reason. */
export interface Told {
  readonly reason: Explained;
  readonly text: string;
}

/**
 * Finds what a word of a log means: a reason's name or a type of RFC 9209, in any case, with - or _; an HTTP
 * status; an errno; words of a detail, such as the name of an alert. @returns undefined when it is none of these
 */
export function findReasons(word: string): Answer | undefined {
  const name = word.toLowerCase().replaceAll("-", "_").replace(/^(reason|type|error|errno|detail)=/, "");
  const reason = EXPLAINED.find((reason) => reason.name === name);
  if (reason !== undefined) return { kind: "reason", word: name, reasons: [reason] };
  const reasons = EXPLAINED.filter(({ type }) => type === name);
  if (reasons.length > 0) return { kind: "type", word: name, reasons };
  if (/^[1-9][0-9]{2}$/.test(name) && Number(name) <= 599) {
    const status = Number(name);
    return { kind: "status", status, reasons: EXPLAINED.filter(({ statuses }) => statuses.includes(status)) };
  }
  return ofErrno(name.toUpperCase()) ?? ofDetail(name);
}

function ofErrno(word: string): Answer | undefined {
  const told = EXPLAINED.flatMap((reason) =>
    (reason.help.errnos ?? []).filter(([name]) => name === word).map(([, text]) => ({ reason, text }))
  );
  return told.length === 0 ? undefined : { kind: "errno", word, told };
}

/** Fewer characters are in too many sentences. */
const DETAIL_CHARACTERS_MIN = 5;

function ofDetail(name: string): Answer | undefined {
  const word = asWords(name);
  if (word.length < DETAIL_CHARACTERS_MIN) return undefined;
  const told = EXPLAINED.flatMap((reason) =>
    reason.details.filter(({ text }) => ` ${asWords(text)} `.includes(` ${word} `))
      .map(({ text }) => ({ reason, text }))
  );
  return told.length === 0 ? undefined : { kind: "detail", word: name, told };
}

/** Without case, and whatever stands between words. */
function asWords(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, " ").trim();
}

/** Every word that `findReasons` knows, statuses and those of details aside. */
export function reasonWords(): readonly string[] {
  return [
    ...new Set(EXPLAINED.flatMap(({ name, type, help }) => [
      name,
      ...(type === null ? [] : [type]),
      ...(help.errnos ?? []).map(([errno]) => errno),
    ])),
  ];
}

/** They come before any answer could have begun. */
const EARLY: readonly Reason[] = [
  Reason.NoRoute,
  Reason.Loop,
  Reason.PatternLimit,
  Reason.QueueTimeout,
];
const OF_CHECKS: readonly Reason[] = [
  Reason.None,
  Reason.UnexpectedAnswer,
  Reason.NoAnswer,
  Reason.Healthy,
];

/** What a client notices: a status, a reset, an end. */
export function seenByClient(reason: Explained): string {
  const code = EXPLAINED.indexOf(reason), { statuses } = reason;
  if (code === Reason.Finished) return "the answer, or the other side's end of stream";
  if (code === Reason.Answered) return "what the configuration says";
  if (OF_CHECKS.includes(code)) return "nothing: no client has to do with it";
  const ends = reason.reset ? "its connection is reset" : "its connection ends";
  if (statuses.length === 0 || code === Reason.LimitReached) return ends;
  const status = `status ${statuses.join(", ")}`;
  return EARLY.includes(code) ? status : `${status}; once an answer has begun, and without HTTP, ${ends}`;
}
