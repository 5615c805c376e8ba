// Lines of the access log, printed where a request or a connection ended: at a hundred thousand a second
// there is no time to hand numbers to another thread and make texts of them there. The control plane only
// writes what it finds. What a line is made of is in the Plan (plan/log_lines.ts), escaped and in order.
import {
  ARENA_PRINT,
  ARENA_SCRATCH,
  FIELD_BYTES_TOLD,
  HOST_BYTES_TOLD,
  LOG_LINE_BYTES_MAX,
  NONE,
  TARGET_BYTES_TOLD,
} from "../base/limits.ts";
import { slotMovedBytes } from "../net/slots.ts";
import { Line, OpAt, Told } from "../plan/log_lines.ts";
import type { Plan } from "../plan/plan.ts";
import {
  FULL,
  isMapped,
  print,
  printBegin,
  printBytes,
  printDecimal,
  printEnd,
  printIp,
  printQuoted,
  printTenths,
  printWords,
  text,
} from "../proto/http1_print.ts";
import { clfStampOf, stampOf } from "../proto/http_date.ts";
import { lower, Octet, skipBlanks, trimEnd } from "../proto/octet.ts";
import { Reason } from "../shared/reason.ts";
import { ExFlag } from "../shared/tables.ts";
import { EBUG } from "../sys/errno.ts";
import { arenaBytes, clockMs, wallMs } from "../sys/sys.ts";
import { log } from "./context.ts";
import {
  exConnectMs,
  exDown,
  exDownBytes,
  exErrno,
  exFirstMs,
  exFlags,
  exHost,
  exHostEnd,
  exKept,
  exKeptBytes,
  exListener,
  exMethodEnd,
  exQueuedMs,
  exReason,
  exRoute,
  exServer,
  exStartMs,
  exStatus,
  exTargetEnd,
  exTried,
  exUnqueuedMs,
  exUp,
  exUpBytes,
  exUpstream,
} from "./exchanges.ts";
import { believedId, REQUEST_ID_BYTES, settledId } from "./request_id.ts";

const COLON = text(":");
const BRACKET = text("[");
const BRACKET_CLOSE = text("]");
const PERCENT = text("%");
const UNIX = text("unix:");
const SPACE = text(" ");
const HTTP_11 = text("HTTP/1.1");
const HTTP_10 = text("HTTP/1.0");
const PROTOCOL_11 = text("http/1.1");
const PROTOCOL_10 = text("http/1.0");

/** Where an address record has the interface of a link-local address. */
const SCOPE_AT = 20;

/** What lines of requests, of connections and of newcomers have from different places. */
let json = false;
let listener = NONE;
let reason = Reason.None;
let errno = 0;
let upBytes = 0;
let downBytes = 0;
let durationMs = 0;

/** Prints the line of an exchange that has ended and hands it on; false when there was no room for it. The
 * client's address record is in the scratch page. */
export function accessLine(ex: number, plan: Plan): boolean {
  listener = exListener[ex];
  reason = exReason[ex];
  errno = exErrno[ex];
  durationMs = clockMs() - exStartMs[ex];
  if (exFlags[ex] & ExFlag.Http) {
    upBytes = exUpBytes[ex];
    downBytes = exDownBytes[ex];
    return put(ex, plan, Line.Http);
  }
  upBytes = slotMovedBytes[exDown[ex]];
  downBytes = exUp[ex] === NONE ? 0 : slotMovedBytes[exUp[ex]];
  return put(ex, plan, Line.Tcp);
}

/** The same of a newcomer that got no exchange. Nobody knows its address, and it said nothing. */
export function refusedLine(from: number, why: Reason, plan: Plan): boolean {
  arenaBytes[ARENA_SCRATCH] = 0;
  listener = from;
  reason = why;
  errno =
    upBytes =
    downBytes =
    durationMs =
      0;
  return put(NONE, plan, Line.Tcp);
}

function put(ex: number, plan: Plan, line: Line): boolean {
  const { lineFirst, lineEnd, lineJson } = plan.lines;
  json = lineJson[line] === 1;
  printBegin(ARENA_PRINT, ARENA_PRINT + LOG_LINE_BYTES_MAX);
  for (let op = lineFirst[line], end = lineEnd[line]; op < end; op += OpAt.Length) tell(ex, plan, op);
  const end = printEnd();
  return end !== FULL && log.putLine(arenaBytes, printWords(), ARENA_PRINT, end);
}

/** One of an operation's texts. */
function printText({ lines: { op }, arenaWords }: Plan, at: number): void {
  const bytes = op[at + 1];
  if (bytes > 0) printBytes(arenaWords, op[at], op[at] + bytes);
}

/** Prints one operation: what it tells with the texts around it, or the one instead. */
function tell(ex: number, plan: Plan, op: number): void {
  const told: Told = plan.lines.op[op];
  if (!isThere(ex, plan, op, told)) return printText(plan, op + OpAt.NoneAt);
  printText(plan, op + OpAt.BeforeAt);
  if (told >= Told.Method) printOfRequest(ex, plan, told);
  else printOfAny(ex, plan, told);
  printText(plan, op + OpAt.BehindAt);
}

/** What `isThere` found of the head or the arena: [foundAt, foundEnd). */
let foundAt = 0;
let foundEnd = 0;

/** Whether there is anything to tell. */
function isThere(ex: number, plan: Plan, op: number, told: Told): boolean {
  switch (told) {
    case Told.Client:
    case Told.ClientAddress:
      return arenaBytes[ARENA_SCRATCH] !== 0;
    case Told.ClientPort:
      return arenaBytes[ARENA_SCRATCH] > 1;
    case Told.Listener:
      return isNamed(plan.listenerNameAt[listener], plan.listenerNameBytes[listener]);
    case Told.Upstream:
      return isNamed(plan.upstreamNameAt[exUpstream[ex]], plan.upstreamNameBytes[exUpstream[ex]]);
    case Told.Server:
      return isNamed(plan.serverNameAt[exServer[ex]], plan.serverNameBytes[exServer[ex]]);
    case Told.Route:
      if (exRoute[ex] === NONE) return false;
      return isNamed(plan.routing.routeNameAt[exRoute[ex]], plan.routing.routeNameBytes[exRoute[ex]]);
    case Told.Type:
      return isNamed(plan.lines.typeAt[reason], plan.lines.typeBytes[reason]);
    case Told.Errno: {
      if (isRefusal()) return false;
      const { errnoAt, errnoBytes } = plan.lines, most = errnoAt.length - 1;
      const row = errno === EBUG ? most : Math.min(errno, most - 1);
      return isNamed(errnoAt[row], errnoBytes[row]);
    }
    case Told.Detail:
      if (!isRefusal()) return false;
      return isNamed(plan.lines.detailAt[errno], plan.lines.detailBytes[errno]);
    case Told.Method:
    case Told.Target:
    case Told.Path:
    case Told.Request:
    case Told.RequestLine:
    case Told.Protocol:
      return exKept[ex] !== NONE;
    case Told.Host:
      return exKept[ex] !== NONE && exHostEnd[ex] > exHost[ex];
    case Told.RequestField:
      return exKept[ex] !== NONE && findNamed(ex, plan, op);
    case Told.RequestId:
      return exKept[ex] !== NONE && findId(ex, plan, op);
    case Told.Status:
      return exStatus[ex] !== 0;
    case Told.QueueMs:
      return exQueuedMs[ex] !== 0;
    case Told.ConnectMs:
      return exConnectMs[ex] !== 0;
    case Told.FirstByteMs:
      return exFirstMs[ex] !== 0;
    case Told.Reused:
      return (exFlags[ex] & ExFlag.Reused) !== 0;
    default:
      return true;
  }
}

/** Row NONE of every column is zero: nobody has no name. */
function isNamed(at: number, bytes: number): boolean {
  foundAt = at;
  foundEnd = at + bytes;
  return bytes > 0;
}

/** Then what stands for the errno is a Refusal. */
function isRefusal(): boolean {
  return reason === Reason.BadRequest || reason === Reason.BadAnswer;
}

/** What every line may tell. */
function printOfAny(ex: number, plan: Plan, told: Told): void {
  switch (told) {
    case Told.Literal:
      return;
    case Told.Time:
      return print(stampOf(wallMs()));
    case Told.ClfTime:
      return print(clfStampOf(wallMs()));
    case Told.Client:
      return printClient();
    case Told.ClientAddress:
      return printAddress();
    case Told.ClientPort:
      return printDecimal(clientPort());
    case Told.UpBytes:
      return printDecimal(upBytes);
    case Told.DownBytes:
      return printDecimal(downBytes);
    case Told.DurationMs:
      return printTenths(durationMs);
    case Told.Tried:
      return printDecimal(exTried[ex]);
    case Told.Reason: {
      const { reasonAt, reasonBytes } = plan.lines;
      return printBytes(plan.arenaWords, reasonAt[reason], reasonAt[reason] + reasonBytes[reason]);
    }
    default:
      return printBytes(plan.arenaWords, foundAt, foundEnd);
  }
}

/** What only a request has. */
function printOfRequest(ex: number, plan: Plan, told: Told): void {
  switch (told) {
    case Told.Method:
      return printMethod(ex);
    case Told.Target:
      return printTarget(ex, false);
    case Told.Path:
      return printTarget(ex, true);
    case Told.Request:
    case Told.RequestLine:
      printMethod(ex);
      print(SPACE);
      printTarget(ex, false);
      if (told === Told.Request) return;
      print(SPACE);
      return print(exFlags[ex] & ExFlag.Old ? HTTP_10 : HTTP_11);
    case Told.Host: {
      const host = exKept[ex] + exHost[ex];
      return printQuoted(host, Math.min(exKept[ex] + exHostEnd[ex], host + HOST_BYTES_TOLD), json);
    }
    case Told.RequestField:
    case Told.RequestId:
      return printQuoted(foundAt, Math.min(foundEnd, foundAt + FIELD_BYTES_TOLD), json);
    case Told.Protocol:
      return print(exFlags[ex] & ExFlag.Old ? PROTOCOL_10 : PROTOCOL_11);
    case Told.Status:
      return printDecimal(exStatus[ex]);
    case Told.QueueMs:
      return printTenths((exUnqueuedMs[ex] === 0 ? clockMs() : exUnqueuedMs[ex]) - exQueuedMs[ex]);
    case Told.ConnectMs:
      return printTenths(exConnectMs[ex] - exStartMs[ex]);
    case Told.FirstByteMs:
      return printTenths(exFirstMs[ex] - exStartMs[ex]);
    case Told.Reused:
      return;
    default:
      return printBytes(plan.arenaWords, foundAt, foundEnd);
  }
}

function printClient(): void {
  const six = isSix();
  if (six) print(BRACKET);
  printAddress();
  if (six) print(BRACKET_CLOSE);
  if (arenaBytes[ARENA_SCRATCH] === 1) return;
  print(COLON);
  printDecimal(clientPort());
}

function printAddress(): void {
  if (arenaBytes[ARENA_SCRATCH] === 1) return print(UNIX);
  printIp(arenaBytes, ARENA_SCRATCH);
  const at = ARENA_SCRATCH + SCOPE_AT;
  if (!isSix()) return;
  const scope = arenaBytes[at] | (arenaBytes[at + 1] << 8) | (arenaBytes[at + 2] << 16) |
    (arenaBytes[at + 3] << 24);
  if (scope === 0) return;
  print(PERCENT);
  printDecimal(scope >>> 0);
}

function isSix(): boolean {
  return arenaBytes[ARENA_SCRATCH] === 6 && !isMapped(arenaBytes, ARENA_SCRATCH);
}

function clientPort(): number {
  return (arenaBytes[ARENA_SCRATCH + 2] << 8) | arenaBytes[ARENA_SCRATCH + 3];
}

function printMethod(ex: number): void {
  printQuoted(exKept[ex], exKept[ex] + exMethodEnd[ex], json);
}

/** As it came, up to its query or with it. */
function printTarget(ex: number, onlyPath: boolean): void {
  const from = exKept[ex] + exMethodEnd[ex] + 1;
  let end = Math.min(exKept[ex] + exTargetEnd[ex], from + TARGET_BYTES_TOLD);
  if (onlyPath) {
    let at = from;
    while (at < end && arenaBytes[at] !== Octet.Question) at++;
    end = at;
  }
  printQuoted(from, end, json);
}

/** Finds the first field of the kept head that an operation names. It is looked for in the bytes: nothing
 * else is left of the head by now. One that was cut (kept_head.ts) has no lines behind its first. */
function findNamed(ex: number, plan: Plan, op: number): boolean {
  const end = exKept[ex] + exKeptBytes[ex];
  const name = plan.lines.op[op + OpAt.ArgumentAt], length = plan.lines.op[op + OpAt.ArgumentBytes];
  let line = lineEndOf(exKept[ex] + exTargetEnd[ex], end);
  while (line < end) {
    const next = lineEndOf(line, end);
    if (isField(plan, name, length, line, next)) {
      foundAt = skipBlanks(arenaBytes, line + length + 1, next);
      foundEnd = trimEnd(arenaBytes, foundAt, next - CRLF_BYTES);
      return foundEnd > foundAt;
    }
    line = next;
  }
  return false;
}

const CRLF_BYTES = 2;

/** Behind the line that `at` is in. */
function lineEndOf(at: number, end: number): number {
  let next = at;
  while (next < end && arenaBytes[next] !== Octet.Lf) next++;
  return next + 1;
}

/** Whether the line at [from, end) is a field of that name, which is in lower case in the Plan. */
function isField({ arena }: Plan, name: number, length: number, from: number, end: number): boolean {
  if (from + length >= end || arenaBytes[from + length] !== Octet.Colon) return false;
  for (let index = 0; index < length; index++) {
    if (lower(arenaBytes[from + index]) !== arena[name + index]) return false;
  }
  return true;
}

/** Finds the number of a request that was forwarded: the one that we gave it, or a trusted proxy. */
function findId(ex: number, plan: Plan, op: number): boolean {
  if (believedId(ex)) return findNamed(ex, plan, op);
  if (!settledId(ex)) return false;
  foundAt = exKept[ex] + exKeptBytes[ex];
  foundEnd = foundAt + REQUEST_ID_BYTES;
  return true;
}
