// The part of the Plan with the lines of the access log: a list of operations for requests, one for plain
// connections and one for sessions of datagrams, and the texts that stand for reasons and errors, escaped for the log. Filled by
// control/config/compile_log.ts, read by proxy/access_line.ts. Row 0 of every table is nobody.
import { assert } from "../base/assert.ts";
import type { Part, Sizes } from "./part.ts";

/** Whose line: a row of "lines". */
export const enum Line {
  Http = 1,
  Tcp,
  Udp,
}
export const LINES = 4;

/** What an operation tells. */
export const enum Told {
  /** Nothing: the text before it is all. */
  Literal,
  /** How it ended, if no errno is behind it: a text for each reason, in place of the operations that follow. */
  Ending,
  /** RFC 3339 in UTC, to the millisecond, without its zone. */
  Time,
  /** 10/Oct/2000:13:55:36, without its zone. */
  ClfTime,
  /** Address and port: 192.0.2.7:40000, [2001:db8::1]:80, unix:. */
  Client,
  ClientAddress,
  ClientPort,
  /** Who introduced the client by a PROXY header. */
  Proxy,
  Listener,
  Upstream,
  Server,
  UpBytes,
  DownBytes,
  DurationMs,
  Tried,
  Reason,
  Type,
  Errno,
  /** Of the reason: why a message was refused, or a handshake failed. */
  Detail,
  /** Of a session of datagrams. */
  UpDatagrams,
  DownDatagrams,
  // Of the client's TLS.
  Tls,
  Cipher,
  /** The name that was asked for. */
  Sni,
  /** The protocol that was agreed on. */
  Alpn,
  /** Prints nothing: the text before it, or the one instead, tells whether. */
  Resumed,
  /** The subject of the client's certificate. */
  ClientCertificate,
  // The rest is for requests alone.
  Method,
  Target,
  Path,
  Host,
  /** Method and target. */
  Request,
  /** Method, target and version. */
  RequestLine,
  /** A field of the request's head; the argument is its name in lower case. */
  RequestField,
  /** The argument is the name of the field that a trusted proxy gives it in. */
  RequestId,
  Protocol,
  Status,
  Route,
  QueueMs,
  ConnectMs,
  FirstByteMs,
  /** Prints nothing: the text before it, or the one instead, tells whether. */
  Reused,
}
/** The last one. */
const TOLD_LAST: Told = Told.Reused;
/** The first that plain connections do not have. */
export const TOLD_OF_REQUESTS: Told = Told.Method;

/** Integers of an operation: what it tells, the texts before and behind it and the one instead of all three
 * when there is nothing to tell, and its argument. All but the first lie in the Plan's arena. */
export const enum OpAt {
  Told,
  BeforeAt,
  BeforeBytes,
  BehindAt,
  BehindBytes,
  NoneAt,
  NoneBytes,
  ArgumentAt,
  ArgumentBytes,
  Length,
}
/** Integers of Told.Ending: where its texts begin in "endings", and the operation behind those it stands for,
 * counted from itself. */
export const enum EndingAt {
  First = OpAt.BeforeAt,
  Skip,
}

/** What a line needs that is not there by itself. */
export const enum Needs {
  /** The whole head of the request, to its end. */
  Head = 1,
  /** The request's number, settled when it is forwarded. */
  Id = 2,
}

export const LOG_LINES = {
  tables: ["lines", "ops", "reasons", "errnos", "details", "endings"],
  columns: {
    lineFirst: "lines", // op[first .. end)
    lineEnd: "lines",
    lineJson: "lines", // 1: what came from a client is escaped for JSON
    lineNeeds: "lines", // Needs
    op: "ops", // OpAt.Length integers for each operation, in one line of the cache
    reasonAt: "reasons", // by Reason
    reasonBytes: "reasons",
    typeAt: "reasons", // of RFC 9209; no bytes: no error
    typeBytes: "reasons",
    errnoAt: "errnos", // by errno; no bytes: none. The last is C's own, EBUG
    errnoBytes: "errnos",
    detailAt: "details", // by Refusal; no bytes: none
    detailBytes: "details",
    endingAt: "endings", // by EndingAt.First + Reason
    endingBytes: "endings",
  },
} as const;
type LogTable = typeof LOG_LINES.tables[number];

export type LogLinesSizes = Sizes<LogTable>;
export type LogLines = Part<LogTable, keyof typeof LOG_LINES.columns>;

/** Whether the lines of requests need this. Without an access log they need nothing. */
export function linesNeed({ lineNeeds }: LogLines, needs: Needs): boolean {
  return lineNeeds.length > 0 && (lineNeeds[Line.Http] & needs) !== 0;
}

/** What must hold of the lines of any Plan before it is published. */
export function checkLogLines(lines: LogLines, logged: boolean, arenaBytes: number): void {
  const { sizes, lineFirst, lineEnd, op } = lines;
  assert(sizes.lines === 0 || sizes.lines === LINES, "plan: a line of the log is missing");
  assert(!logged || sizes.lines === LINES, "plan: an access log without lines");
  for (let line = 1; line < sizes.lines; line++) {
    const first = lineFirst[line], end = lineEnd[line];
    assert(first >= 0 && first < end && end <= op.length, "plan: a line of the log is out of range");
    assert((end - first) % OpAt.Length === 0, "plan: a line of the log ends within an operation");
  }
  for (let at = 0; at < op.length; at += OpAt.Length) {
    assert(op[at] >= Told.Literal && op[at] <= TOLD_LAST, "plan: the log tells what nobody knows");
    if (op[at] === Told.Ending) {
      checkEnding(lines, at);
      continue;
    }
    for (let span = at + OpAt.BeforeAt; span < at + OpAt.Length; span += 2) {
      assert(isWithin(op[span], op[span + 1], arenaBytes), "plan: a text of the log is out of range");
    }
  }
  checkTexts(lines.reasonAt, lines.reasonBytes, arenaBytes);
  checkTexts(lines.typeAt, lines.typeBytes, arenaBytes);
  checkTexts(lines.errnoAt, lines.errnoBytes, arenaBytes);
  checkTexts(lines.detailAt, lines.detailBytes, arenaBytes);
  checkTexts(lines.endingAt, lines.endingBytes, arenaBytes);
}

function checkEnding({ sizes, op }: LogLines, at: number): void {
  const first = op[at + EndingAt.First], skip = op[at + EndingAt.Skip];
  assert(
    first >= 0 && first + sizes.reasons <= sizes.endings,
    "plan: an ending without a text for each reason",
  );
  assert(skip > 0 && skip % OpAt.Length === 0 && at + skip <= op.length, "plan: an ending leads nowhere");
}

function checkTexts(at: Int32Array, bytes: Int32Array, arenaBytes: number): void {
  for (let row = 0; row < at.length; row++) {
    assert(isWithin(at[row], bytes[row], arenaBytes), "plan: a word of the log is out of range");
  }
}

function isWithin(at: number, bytes: number, arenaBytes: number): boolean {
  return at >= 0 && bytes >= 0 && at + bytes <= arenaBytes;
}
