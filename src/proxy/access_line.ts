// Lines of the access log, printed where a request or a connection ended: at a hundred thousand a second
// there is no time to hand numbers to another thread and make texts of them there. The control plane only
// writes what it finds. What a line is made of is in the Plan (plan/log_lines.ts), escaped and in order.
import {
  ADDRESS_BYTES,
  ARENA_PRINT,
  ARENA_SCRATCH,
  FIELD_BYTES_TOLD,
  HOST_BYTES_TOLD,
  LOG_LINE_BYTES_MAX,
  NONE,
  TARGET_BYTES_TOLD,
} from "../base/limits.ts";
import {
  flowDownBytes,
  flowDownDatagrams,
  flowFlags,
  flowListener,
  flowSender,
  flowServer,
  flowStartMs,
  flowTried,
  flowUpBytes,
  flowUpDatagrams,
  flowUpstream,
} from "../net/flows.ts";
import { slotMovedBytes } from "../net/slots.ts";
import { EndingAt, Line, OpAt, Told } from "../plan/log_lines.ts";
import type { Plan } from "../plan/plan.ts";
import { chooserOf } from "../plan/sni.ts";
import {
  FULL,
  isMapped,
  print,
  printBegin,
  printDecimal,
  printEnd,
  printIp,
  printQuoted,
  printTenths,
  printText,
  printTook,
  printWords,
  text,
  TEXT_SLACK_BYTES,
} from "../proto/http1_print.ts";
import { clfStampOf, stampOf } from "../proto/http_date.ts";
import { lower, Octet, skipBlanks, trimEnd } from "../proto/octet.ts";
import { Reason, tellsDetail } from "../shared/reason.ts";
import { ExFlag, FlowFlag } from "../shared/tables.ts";
import { EBUG } from "../sys/errno.ts";
import { TlsFact } from "../sys/symbols.ts";
import { arenaBytes, arenaInts, clockMs, sys, wallMs } from "../sys/sys.ts";
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
const SPACE_HTTP_11 = text(" HTTP/1.1");
const SPACE_HTTP_10 = text(" HTTP/1.0");
const PROTOCOL_11 = text("http/1.1");
const PROTOCOL_10 = text("http/1.0");

/** Where an address record has the interface of a link-local address. */
const SCOPE_AT = 20;
/** Where C writes what it knows of a session: the client's address is before it. */
const ARENA_FACT = ARENA_SCRATCH + ADDRESS_BYTES;

/** What lines of requests, of connections, of flows and of newcomers have from different places. */
let json = false;
let flow = NONE;
let listener = NONE;
let upstream = NONE;
let server = NONE;
let tried = 0;
let reason = Reason.None;
let errno = 0;
let upBytes = 0;
let downBytes = 0;
let durationMs = 0;

/** Prints the line of an exchange that has ended and hands it on; false when there was no room for it. The
 * client's address record is in the scratch page. */
export function accessLine(ex: number, plan: Plan): boolean {
  flow = NONE;
  listener = exListener[ex];
  upstream = exUpstream[ex];
  server = exServer[ex];
  tried = exTried[ex];
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

/** The same of a flow. */
export function flowLine(slot: number, why: Reason, behind: number, plan: Plan): boolean {
  flow = slot;
  listener = flowListener[slot];
  upstream = flowUpstream[slot];
  server = flowServer[slot];
  tried = flowTried[slot];
  reason = why;
  errno = behind;
  upBytes = flowUpBytes[slot];
  downBytes = flowDownBytes[slot];
  durationMs = clockMs() - flowStartMs[slot];
  return put(NONE, plan, Line.Udp);
}

/** The same of a newcomer that got no exchange, and said nothing. Its address record, or one of nobody, is in the
 * scratch page. */
export function refusedLine(from: number, why: Reason, plan: Plan): boolean {
  return putRefused(from, NONE, why, 0, plan, Line.Tcp);
}

/** The same of a client that got no flow. */
export function unservedLine(from: number, to: number, why: Reason, behind: number, plan: Plan): boolean {
  return putRefused(from, to, why, behind, plan, Line.Udp);
}

function putRefused(from: number, to: number, why: Reason, behind: number, plan: Plan, line: Line): boolean {
  flow = NONE;
  listener = from;
  upstream = to;
  server = NONE;
  reason = why;
  errno = behind;
  tried =
    upBytes =
    downBytes =
    durationMs =
      0;
  return put(NONE, plan, line);
}

/** The Plan of the line that is being printed: its operations, and the texts they name. */
let ops: Int32Array;
let texts: DataView;

function put(ex: number, plan: Plan, line: Line): boolean {
  const { lineFirst, lineEnd, lineJson } = plan.lines, last = lineEnd[line];
  json = lineJson[line] === 1;
  const op = plan.lines.op, words = plan.arenaWords;
  ops = op;
  texts = words;
  printBegin(ARENA_PRINT, ARENA_PRINT + LOG_LINE_BYTES_MAX - TEXT_SLACK_BYTES);
  for (let at = lineFirst[line]; at < last; at += OpAt.Length) {
    const told: Told = op[at];
    if (told === Told.Ending) {
      if (errno === 0) at += tellEnding(plan, at);
      continue;
    }
    const mark = printEnd();
    printText(words, op[at + OpAt.BeforeAt], op[at + OpAt.BeforeBytes]);
    const isThere = told < Told.Method ? tell(ex, plan, told) : tellOfRequest(ex, plan, told, at);
    if (!isThere) {
      printTook(mark); // the text instead takes the place of the one before
      printText(words, op[at + OpAt.NoneAt], op[at + OpAt.NoneBytes]);
    } else if (op[at + OpAt.BehindBytes] > 0) {
      printText(words, op[at + OpAt.BehindAt], op[at + OpAt.BehindBytes]);
    }
  }
  const end = printEnd();
  return end !== FULL && log.putLine(arenaBytes, printWords(), ARENA_PRINT, end);
}

/** How it ended, in one piece; returns how many integers stand for the same piece by piece. */
function tellEnding({ lines: { endingAt, endingBytes } }: Plan, op: number): number {
  const row = ops[op + EndingAt.First] + reason;
  printText(texts, endingAt[row], endingBytes[row]);
  return ops[op + EndingAt.Skip] - OpAt.Length;
}

/** A text of the Plan. Row NONE of every column is zero: nobody has no name. */
function tellText(at: number, bytes: number): boolean {
  if (bytes === 0) return false;
  printText(texts, at, bytes);
  return true;
}

function tellNumber(value: number): boolean {
  printDecimal(value);
  return true;
}

function tellMs(ms: number): boolean {
  printTenths(ms);
  return true;
}

/** What every line may tell. False: there is nothing, and nothing was printed. */
function tell(ex: number, plan: Plan, told: Told): boolean {
  switch (told) {
    case Told.Literal:
      return true;
    case Told.Time:
      print(stampOf(wallMs()));
      return true;
    case Told.ClfTime:
      print(clfStampOf(wallMs()));
      return true;
    case Told.Client:
    case Told.ClientAddress:
    case Told.ClientPort:
      return tellClient(told);
    case Told.Proxy:
      return tellProxy(ex, plan);
    case Told.Listener:
      return tellText(plan.listenerNameAt[listener], plan.listenerNameBytes[listener]);
    case Told.Upstream:
      return tellText(plan.upstreamNameAt[upstream], plan.upstreamNameBytes[upstream]);
    case Told.Server:
      return tellText(plan.serverNameAt[server], plan.serverNameBytes[server]);
    case Told.UpBytes:
      return tellNumber(upBytes);
    case Told.DownBytes:
      return tellNumber(downBytes);
    case Told.UpDatagrams:
      return flow !== NONE && tellNumber(flowUpDatagrams[flow]);
    case Told.DownDatagrams:
      return flow !== NONE && tellNumber(flowDownDatagrams[flow]);
    case Told.DurationMs:
      return tellMs(durationMs);
    case Told.Tried:
      return tellNumber(tried);
    case Told.Reason:
      return tellText(plan.lines.reasonAt[reason], plan.lines.reasonBytes[reason]);
    case Told.Type:
      return tellText(plan.lines.typeAt[reason], plan.lines.typeBytes[reason]);
    case Told.Errno:
      return errno !== 0 && tellErrno(plan);
    case Told.Detail: {
      const { detailAt, detailBytes } = plan.lines;
      return errno !== 0 && tellsDetail(reason) && tellText(detailAt[errno], detailBytes[errno]);
    }
    default: // of TLS; newcomers have had none
      if (ex === NONE) return false;
      if (plan.listenerTls[listener] === NONE && chooserOf(plan.sni, listener) === NONE) return false;
      return tellTls(exDown[ex], told);
  }
}

/** Of the client's session. A handshake that failed may have a name, and has nothing else; nor has TLS that is passed
 * on. */
function tellTls(down: number, told: Told): boolean {
  const bytes = sys.tls_fact(down, factOf(told), ARENA_FACT, FIELD_BYTES_TOLD);
  if (bytes <= 0) return false;
  if (told !== Told.Resumed) printQuoted(ARENA_FACT, ARENA_FACT + bytes, json);
  return true;
}

function factOf(told: Told): TlsFact {
  switch (told) {
    case Told.Tls:
      return TlsFact.Version;
    case Told.Cipher:
      return TlsFact.Cipher;
    case Told.Sni:
      return TlsFact.Name;
    case Told.Alpn:
      return TlsFact.Protocol;
    case Told.Resumed:
      return TlsFact.Resumed;
    default:
      return TlsFact.Subject;
  }
}

function tellErrno({ lines: { errnoAt, errnoBytes } }: Plan): boolean {
  if (tellsDetail(reason)) return false;
  const last = errnoAt.length - 1, row = errno === EBUG ? last : Math.min(errno, last - 1);
  return tellText(errnoAt[row], errnoBytes[row]);
}

/** What only a request has. */
function tellOfRequest(ex: number, plan: Plan, told: Told, op: number): boolean {
  switch (told) {
    case Told.Method:
    case Told.Target:
    case Told.Path:
    case Told.Request:
    case Told.RequestLine:
    case Told.Protocol:
      return exKept[ex] !== NONE && tellLine(ex, told);
    case Told.Host:
    case Told.RequestField:
    case Told.RequestId:
      return exKept[ex] !== NONE && tellFound(ex, plan, told, op);
    case Told.Status:
      return exStatus[ex] !== 0 && tellNumber(exStatus[ex]);
    case Told.Route: {
      const { routeNameAt, routeNameBytes } = plan.routing, route = exRoute[ex];
      return route !== NONE && tellText(routeNameAt[route], routeNameBytes[route]);
    }
    case Told.QueueMs:
      if (exQueuedMs[ex] === 0) return false;
      return tellMs((exUnqueuedMs[ex] === 0 ? clockMs() : exUnqueuedMs[ex]) - exQueuedMs[ex]);
    case Told.ConnectMs:
      return exConnectMs[ex] !== 0 && tellMs(exConnectMs[ex] - exStartMs[ex]);
    case Told.FirstByteMs:
      return exFirstMs[ex] !== 0 && tellMs(exFirstMs[ex] - exStartMs[ex]);
    default: // Reused
      return (exFlags[ex] & ExFlag.Reused) !== 0;
  }
}

/** Of the request's first line. */
function tellLine(ex: number, told: Told): boolean {
  const old = (exFlags[ex] & ExFlag.Old) !== 0;
  switch (told) {
    case Told.Method:
      printMethod(ex);
      return true;
    case Told.Target:
      printTarget(ex, false);
      return true;
    case Told.Path:
      printTarget(ex, true);
      return true;
    case Told.Protocol:
      print(old ? PROTOCOL_10 : PROTOCOL_11);
      return true;
    default: // Request, RequestLine
      printMethod(ex);
      print(SPACE);
      printTarget(ex, false);
      if (told === Told.RequestLine) print(old ? SPACE_HTTP_10 : SPACE_HTTP_11);
      return true;
  }
}

/** What was found in the kept head: [foundAt, foundEnd). */
let foundAt = 0;
let foundEnd = 0;

/** Of the request's fields. */
function tellFound(ex: number, plan: Plan, told: Told, op: number): boolean {
  let most = FIELD_BYTES_TOLD;
  if (told === Told.Host) {
    foundAt = exKept[ex] + exHost[ex];
    foundEnd = exKept[ex] + exHostEnd[ex];
    most = HOST_BYTES_TOLD;
  } else if (told === Told.RequestField) findNamed(ex, plan, op);
  else findId(ex, plan, op);
  if (foundEnd <= foundAt) return false;
  printQuoted(foundAt, Math.min(foundEnd, foundAt + most), json);
  return true;
}

function tellClient(told: Told): boolean {
  const family = arenaBytes[ARENA_SCRATCH];
  if (family === 0 || (family === 1 && told === Told.ClientPort)) return false;
  if (told === Told.Client) printPeer(ARENA_SCRATCH);
  else if (told === Told.ClientAddress) printAddress(ARENA_SCRATCH);
  else printDecimal(portOf(ARENA_SCRATCH));
  return true;
}

/** The proxy that has introduced the client, if one has. */
function tellProxy(ex: number, plan: Plan): boolean {
  if (flow !== NONE) {
    if (!(flowFlags[flow] & FlowFlag.Introduced)) return false;
    flowSender(flow, arenaInts, ARENA_FACT / 4);
  } else if (ex === NONE || plan.listenerProxyCount[listener] === 0) return false;
  else if (sys.introducer(exDown[ex], ARENA_FACT) === 0) return false;
  printPeer(ARENA_FACT);
  return true;
}

/** An address record, with its port. */
function printPeer(at: number): void {
  const six = isSix(at);
  if (six) print(BRACKET);
  printAddress(at);
  if (six) print(BRACKET_CLOSE);
  if (arenaBytes[at] === 1) return;
  print(COLON);
  printDecimal(portOf(at));
}

function printAddress(at: number): void {
  if (arenaBytes[at] === 1) return print(UNIX);
  printIp(arenaBytes, at);
  if (!isSix(at)) return;
  const from = at + SCOPE_AT;
  const scope = arenaBytes[from] | (arenaBytes[from + 1] << 8) | (arenaBytes[from + 2] << 16) |
    (arenaBytes[from + 3] << 24);
  if (scope === 0) return;
  print(PERCENT);
  printDecimal(scope >>> 0);
}

function isSix(at: number): boolean {
  return arenaBytes[at] === 6 && !isMapped(arenaBytes, at);
}

function portOf(at: number): number {
  return (arenaBytes[at + 2] << 8) | arenaBytes[at + 3];
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
function findNamed(ex: number, { arena }: Plan, op: number): void {
  const end = exKept[ex] + exKeptBytes[ex];
  const name = ops[op + OpAt.ArgumentAt], length = ops[op + OpAt.ArgumentBytes];
  let line = lineEndOf(exKept[ex] + exTargetEnd[ex], end);
  foundAt = foundEnd = 0;
  while (line < end) {
    const next = lineEndOf(line, end);
    if (isField(arena, name, length, line, next)) {
      foundAt = skipBlanks(arenaBytes, line + length + 1, next);
      foundEnd = trimEnd(arenaBytes, foundAt, next - CRLF_BYTES);
      return;
    }
    line = next;
  }
}

const CRLF_BYTES = 2;

/** Behind the line that `at` is in. */
function lineEndOf(at: number, end: number): number {
  let next = at;
  while (next < end && arenaBytes[next] !== Octet.Lf) next++;
  return next + 1;
}

/** Whether the line at [from, end) is a field of that name, which is in lower case in the Plan. */
function isField(arena: Uint8Array, name: number, length: number, from: number, end: number): boolean {
  if (from + length >= end || arenaBytes[from + length] !== Octet.Colon) return false;
  for (let index = 0; index < length; index++) {
    if (lower(arenaBytes[from + index]) !== arena[name + index]) return false;
  }
  return true;
}

/** Finds the number of a request that was forwarded: the one that we gave it, or a trusted proxy. */
function findId(ex: number, plan: Plan, op: number): void {
  if (believedId(ex)) return findNamed(ex, plan, op);
  foundAt = exKept[ex] + exKeptBytes[ex];
  foundEnd = settledId(ex) ? foundAt + REQUEST_ID_BYTES : foundAt;
}
