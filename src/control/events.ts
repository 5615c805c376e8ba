// What the data plane's news sound like in the log: one sentence each, with the cause, and the remedy
// where there is one.
import { PROBE_TEXT_BYTES_MAX } from "../base/limits.ts";
import { DETAILS } from "../proto/detail.ts";
import { Refusal, REFUSALS } from "../proto/refusal.ts";
import { Heard } from "../shared/log_ring.ts";
import { Reason, REASONS, tellsDetail } from "../shared/reason.ts";
import { Verdict } from "../shared/servers.ts";
import { EMFILE, ENFILE, errnoName } from "../sys/errno.ts";
import { quoted, shown } from "./config/errors.ts";
import type { Expectation } from "./config/escapes.ts";
import type { HealthCheck } from "./config/health_schema.ts";
import { counted } from "./config/units.ts";
import type { Directory, ProbeEntry } from "./directory.ts";
import type { ProbeHealth, ProbeResult } from "./health_history.ts";
import type { Fields, Log } from "./log.ts";

/** Upstreams that a line names; more are counted. */
const UPSTREAMS_NAMED_MAX = 4;

/** Result of a check: a change of verdict is news, everything else detail. `before` is what was known. */
export function tellHealth(
  log: Log,
  directory: Directory,
  before: ProbeHealth | undefined,
  result: ProbeResult,
): void {
  const entry = directory.probes.get(result.probe);
  if (entry === undefined) return;
  const upstreams = [
    ...new Set(entry.servers.flatMap((server) => directory.servers.get(server)?.upstream ?? [])),
  ];
  const who = `server ${entry.address}${ofUpstreams(upstreams)}`;
  const cause = causeOf(result, entry);
  const fields: Fields = {
    server: entry.address,
    upstreams,
    reason: REASONS[result.reason].name,
    errno: errnoOf(result),
    status: statusHeard(result),
    check_ms: Math.round(result.durationMs * 10) / 10,
  };
  const was = before?.verdict ?? Verdict.Unchecked;
  if (result.verdict === Verdict.Down && was !== Verdict.Down) {
    const message = `${who} is down: ${cause}, ${checks(entry.fall)}`;
    log.write("warn", "health", message, { ...fields, verdict: "down" }, result.atMs);
  } else if (result.verdict === Verdict.Up && was === Verdict.Down) {
    const downMs = result.clockMs - (before?.change?.cause.clockMs ?? result.clockMs);
    const message = `${who} is up again: ${passed(entry.rise)}, after ${seconds(downMs)} down`;
    log.write(
      "info",
      "health",
      message,
      { ...fields, verdict: "up", down_ms: Math.round(downMs) },
      result.atMs,
    );
  } else if (result.verdict === Verdict.Up && was === Verdict.Unchecked && result.reason === Reason.Healthy) {
    log.write(
      "info",
      "health",
      `${who} is up: its first check passed`,
      { ...fields, verdict: "up" },
      result.atMs,
    );
  } else if (result.reason === Reason.OutOfResources) {
    const message = `${who} was not checked, which says nothing about it: ${cause}`;
    log.write("debug", "health", message, fields, result.atMs);
  } else if (result.reason !== Reason.Healthy) {
    const failure = result.streak === 1
      ? "first failure"
      : result.streak > 1
      ? `failure ${result.streak}`
      : "fails still";
    log.write("debug", "health", `${who}: ${failure}: ${cause}`, fields, result.atMs);
  } else {
    log.write("debug", "health", `${who}: a check passed`, fields, result.atMs);
  }
}

/** `connection_refused (ECONNREFUSED)`, `unexpected_answer (status 500, expected 200-299)` */
function causeOf(result: ProbeResult, entry: ProbeEntry): string {
  const { reason } = result;
  const details = [errnoOf(result) ?? detailOf(result), heardText(result, entry)].filter((text) =>
    text !== ""
  );
  return REASONS[reason].name + (details.length === 0 ? "" : ` (${details.join("; ")})`);
}

/** A result of a check as a sentence: what it heard, or its reason's. */
export function resultText(result: ProbeResult, entry: ProbeEntry | undefined): string {
  const { text } = REASONS[result.reason];
  const heard = heardText(result, entry), detail = detailOf(result);
  if (detail !== "") return `${text}: ${detail}`;
  if (heard === "") return text;
  return result.reason === Reason.UnexpectedAnswer ? heard : `${text}: ${heard}`;
}

/** The errno behind a result's reason, by name; null where there is none. */
export function errnoOf({ reason, errno }: ProbeResult): string | null {
  return errno === 0 || tellsDetail(reason) ? null : errnoName(errno);
}

/** Why its TLS failed, without a full stop; "" where that is not why. */
function detailOf({ reason, errno }: ProbeResult): string {
  return tellsDetail(reason) ? DETAILS[errno].replace(/\.$/, "") : "";
}

/** The status of the answer that a failed check heard, or null. */
export function statusHeard({ heard, heardNumber }: ProbeResult): number | null {
  return heard === Heard.Refused || heardNumber === 0 ? null : heardNumber;
}

/** What a failed check heard, and what it should have; "" when there is nothing to tell. */
function heardText({ reason, heard, heardNumber }: ProbeResult, entry: ProbeEntry | undefined): string {
  const subject = heardNumber === 0 ? "the answer" : `status ${heardNumber}, but its body`;
  const lacks = `${subject} ${lackText(entry?.check.expect)}`;
  switch (heard) {
    case Heard.Nothing:
      return "";
    case Heard.End:
      return "the server ended the connection without an answer";
    case Heard.HeadPart:
      return "the head of the answer is not whole";
    case Heard.HeadTooLong:
      return `the head of the answer is longer than ${PROBE_TEXT_BYTES_MAX} bytes`;
    case Heard.Refused:
      return heardNumber === Refusal.BadStatusLine
        ? "the answer is not HTTP"
        : `the answer is not valid HTTP: ${REFUSALS[heardNumber].text.replace(/\.$/, "")}`;
    case Heard.Status:
      return `status ${heardNumber}${statusesText(entry?.check.http?.statuses)}`;
    case Heard.Without:
      return reason === Reason.NoAnswer ? `${lacks} as far as it came` : lacks;
    case Heard.WithoutLong:
      return `${lacks} within the first ${PROBE_TEXT_BYTES_MAX} bytes of the answer`;
    default:
      return heardNumber === 0
        ? "the expression took too many steps on the answer"
        : `status ${heardNumber}, but the expression took too many steps on its body`;
  }
}

/** `, expected 200-299,404` */
function statusesText(statuses: NonNullable<HealthCheck["http"]>["statuses"] | undefined): string {
  if (statuses === undefined) return "";
  const ranges = statuses.map(([first, last]) => first === last ? `${first}` : `${first}-${last}`);
  return `, expected ${shown(ranges.join())}`;
}

/** `does not contain "PONG"` */
function lackText(expect: Expectation | undefined): string {
  if (expect === undefined) return "is not the expected one";
  return expect.kind === "pattern"
    ? `does not fit /${shown(new TextDecoder().decode(expect.source))}/`
    : `does not contain ${quoted(new TextDecoder().decode(expect.bytes))}`;
}

function ofUpstreams(names: readonly string[]): string {
  const named = names.slice(0, UPSTREAMS_NAMED_MAX).map((name) => `"${name}"`).join(", ");
  const more = names.length > UPSTREAMS_NAMED_MAX ? ` and ${names.length - UPSTREAMS_NAMED_MAX} more` : "";
  if (names.length === 0) return "";
  return ` of upstream${names.length === 1 ? "" : "s"} ${named}${more}`;
}

function checks(count: number): string {
  return count === 1 ? "1 check" : `${count} checks in a row`;
}

function passed(count: number): string {
  return count === 1 ? "1 check passed" : `${count} checks in a row passed`;
}

/** `0.8s`, `12s` */
function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1_000).toFixed(1)}s` : `${Math.round(ms / 1_000)}s`;
}

/** Accepting stopped for a while: the errno of what ran out, 0 for the limit on connections. */
export function tellAcceptPaused(
  log: Log,
  atMs: number,
  room: number,
  errno: number,
  maxConnections: number,
): void {
  const [cause, remedy] = pauseOf(errno, maxConnections);
  const message = `paused: ${cause}; new connections wait in the kernel's queue; ${remedy}`;
  log.write("warn", "accept", message, { reactor: room, errno: errno === 0 ? null : errnoName(errno) }, atMs);
}

export function tellAcceptResumed(log: Log, atMs: number, room: number): void {
  log.write("info", "accept", "goes on: there is room for new connections again", { reactor: room }, atMs);
}

function pauseOf(errno: number, maxConnections: number): [cause: string, remedy: string] {
  switch (errno) {
    case 0:
      return [
        `the limit of ${counted(maxConnections, "connection")} is reached`,
        "raise --max-connections if there should be more",
      ];
    case EMFILE:
      return ["out of file descriptors (EMFILE)", "raise the limit (ulimit -n, or LimitNOFILE= of a unit)"];
    case ENFILE:
      return ["the system is out of file descriptors (ENFILE)", "raise the sysctl fs.file-max"];
    default:
      return [
        `the kernel is out of memory for sockets (${errnoName(errno)})`,
        "see net.ipv4.tcp_mem and free memory",
      ];
  }
}

/** A broken promise of ours ended one connection. */
export function tellBug(log: Log, atMs: number, room: number, slot: number): void {
  const message =
    `a bug ended one connection of reactor ${room} (slot ${slot}); the others go on; please report it`;
  log.write("error", "bug", message, { reactor: room, slot }, atMs);
}
