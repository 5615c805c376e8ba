// A head on its way to the other side: printed behind its edits into one place, with the bytes of the body
// that came along, and sent by one call. What the sink does not take is held for it like any bytes.
import { assert } from "../base/assert.ts";
import { ARENA_PRINT, ARENA_SCRATCH, NONE, PRINT_BYTES } from "../base/limits.ts";
import { holdLeftover, holdsLeft } from "../net/holds.ts";
import { Ready, readyAdd } from "../net/ready.ts";
import { slotBody } from "../net/slots.ts";
import { unreadKeep } from "../net/unread.ts";
import { linesNeed, Needs } from "../plan/log_lines.ts";
import { type Plan, ProxyStatus } from "../plan/plan.ts";
import { OwnField } from "../plan/routing.ts";
import { asksForCertificate } from "../policy/certificate_fields.ts";
import { dropped, editAnswer, keepsDate } from "../policy/edit.ts";
import { markEdited, printEdited } from "../policy/field_edits.ts";
import { needsPath, printRequest, tellsId } from "../policy/request_head.ts";
import { hasHsts, printHsts } from "../policy/secure.ts";
import { HeadFlag } from "../proto/head.ts";
import { dateField } from "../proto/http_date.ts";
import {
  FULL,
  print,
  printBegin,
  printBytes,
  printEnd,
  printFields,
  printLeft,
  printRun,
  text,
} from "../proto/http1_print.ts";
import { Body, ExFlag } from "../shared/tables.ts";
import { EAGAIN, EBUG } from "../sys/errno.ts";
import { arenaBytes, sys, wallMs } from "../sys/sys.ts";
import { bodyRefusal, bodyTake } from "./body.ts";
import { planOf } from "./context.ts";
import {
  exDown,
  exDownBytes,
  exFlags,
  exGeneration,
  exListener,
  exRoute,
  exServer,
  exUp,
  exUpBytes,
} from "./exchanges.ts";
import { recallHead } from "./kept_head.ts";
import { prepareAnswerTemplates, settleId } from "./request_id.ts";
import { inputs, prepareTemplates, readPath } from "./routing.ts";
import { readCertificate } from "./session.ts";
import { answer, request, restAt, restBytes } from "./wire_h1.ts";

/** What became of a head. */
export const enum Forwarded {
  /** It is out, or held for its sink. */
  Sent,
  SinkBroken,
  /** With its edits it is longer than there is room for. */
  TooLong,
  /** The Host that its route gives it is none. */
  NoHost,
  /** Its path would leave its server's base, or is none (`wayRefusal`). */
  BadPath,
  /** What came behind the head is no body. */
  Malformed,
  /** There is no block for what could not be sent or used yet. */
  NoRoom,
}

/** The errno behind the last SinkBroken. */
export let forwardErrno = 0;

const PRINT_END = ARENA_PRINT + PRINT_BYTES;

const HTTP_11 = text("HTTP/1.1");
const CRLF = text("\r\n");
const NEXT_HOP = text('Proxy-Status: sluice; next-hop="');
const QUOTE_CRLF = text('"\r\n');
const CONNECTION_CLOSE = text("Connection: close\r\n");
const CONNECTION_KEEP_ALIVE = text("Connection: keep-alive\r\n");
const CONNECTION_UPGRADE = text("Connection: upgrade\r\n");

/** Sends the request in `request` to the exchange's server. `fresh`: what came behind it is still where
 * `restAt` says; else it is unread, and the pump's. */
export function forwardRequest(ex: number, held: Plan, fresh: boolean): Forwarded {
  if (!holdsLeft()) return Forwarded.NoRoom;
  const listener = exListener[ex], down = exDown[ex], server = exServer[ex], route = exRoute[ex];
  sys.client(down, ARENA_SCRATCH);
  if (needsPath(held, server, route) && !readPath(request)) return Forwarded.BadPath;
  inputs.bytes = inputs.client = arenaBytes;
  const numbered = tellsId(held, route) || linesNeed(held.lines, Needs.Id);
  if (route !== NONE) prepareTemplates(ex, held);
  if (asksForCertificate(held, listener)) readCertificate(down, inputs);
  if (numbered) settleId(ex, held);
  printBegin(ARENA_PRINT, PRINT_END);
  if (!printRequest(held, listener, server, route, numbered, inputs)) return Forwarded.NoHost;
  return send(ex, down, exUp[ex], fresh);
}

/** Sends the answer in `answer`, with what came behind it, to the exchange's client. */
export function forwardAnswer(ex: number): Forwarded {
  if (!holdsLeft()) return Forwarded.NoRoom;
  const up = exUp[ex], flags = exFlags[ex];
  const switches = answer.status === 101;
  const interim = answer.status < 200 && !switches;
  editAnswer(arenaBytes, answer, (flags & ExFlag.Old) !== 0);
  const route = exRoute[ex], held = planOf(exGeneration[ex]);
  const edits = route === NONE || interim ? 0 : held.routing.routeAnswerEditCount[route];
  if (edits > 0) prepareAnswer(ex, held, route, edits);
  printBegin(ARENA_PRINT, PRINT_END);
  print(HTTP_11);
  printFields(answer, dropped, HTTP_11.length);
  if (edits > 0) printEdited(held, held.routing.routeAnswerEditFirst[route], edits, answer, inputs);
  if (held.listenerProxyStatus[exListener[ex]] === ProxyStatus.All && !interim) {
    printNextHop(held, exServer[ex]);
  }
  if (answer.flags & HeadFlag.Upgrade) print(CONNECTION_UPGRADE);
  if (answer.status >= 200) {
    // RFC 9110 section 6.6.1: who has a clock adds what the server left out.
    const ownDate = edits > 0 && (held.routing.routeOwnOff[route] & OwnField.Date) !== 0;
    if (!keepsDate && !ownDate) print(dateField(wallMs()));
    if (held.listenerHstsBytes[exListener[ex]] !== 0) addHsts(ex, held, edits > 0 ? route : NONE);
    if (flags & ExFlag.Last) print(CONNECTION_CLOSE);
    else if (flags & ExFlag.Old) print(CONNECTION_KEEP_ALIVE);
  }
  print(CRLF);
  return send(ex, up, exDown[ex], true);
}

/** The listener's Strict-Transport-Security, unless the server has said one, or the route sets or removes it. */
function addHsts(ex: number, held: Plan, edited: number): void {
  if (edited !== NONE && (held.routing.routeOwnOff[edited] & OwnField.StrictTransport) !== 0) return;
  if (!hasHsts(arenaBytes, answer)) printHsts(held, exListener[ex]);
}

/** Which server answered (RFC 9209 section 2.1.2). */
function printNextHop(held: Plan, server: number): void {
  print(NEXT_HOP);
  const at = held.serverNameAt[server];
  printBytes(held.arenaWords, at, at + held.serverNameBytes[server]);
  print(QUOTE_CRLF);
}

/** Templates of an answer are made from its request, which is kept. */
function prepareAnswer(ex: number, held: Plan, route: number, edits: number): void {
  recallHead(ex);
  prepareAnswerTemplates(ex, held);
  markEdited(held, held.routing.routeAnswerEditFirst[route], edits, answer, arenaBytes, false);
}

/** Sends what was printed, with what lies behind the head that was read last. */
function send(ex: number, from: number, to: number, fresh: boolean): Forwarded {
  if (printEnd() === FULL) return Forwarded.TooLong;
  if (fresh && restBytes > 0) {
    const expectsHead = slotBody[from] === Body.Ended || slotBody[from] === Body.Head;
    if (expectsHead || restBytes > printLeft()) {
      if (!unreadKeep(from, restAt, restBytes, false)) return Forwarded.NoRoom;
    } else {
      const bytes = slotBody[from] === Body.Raw ? restBytes : bodyTake(from, restAt, restBytes);
      if (bytes < 0) return bodyRefusal === 0 ? Forwarded.NoRoom : Forwarded.Malformed;
      printRun(restAt, restAt + bytes);
    }
  }
  const bytes = printEnd() - ARENA_PRINT;
  const sent = sys.send(to, ARENA_PRINT, bytes, 0);
  if (from === exUp[ex]) exDownBytes[ex] += bytes;
  else exUpBytes[ex] += bytes;
  if (sent === bytes) return Forwarded.Sent;
  if (sent < 0 && sent !== -EAGAIN) {
    assert(sent !== -EBUG, "forward: a send broke its contract");
    readyAdd(to, Ready.In | Ready.Err);
    forwardErrno = -sent;
    return Forwarded.SinkBroken;
  }
  const taken = sent < 0 ? 0 : sent;
  holdLeftover(from, ARENA_PRINT + taken, bytes - taken);
  return Forwarded.Sent;
}
