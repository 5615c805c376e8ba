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
import {
  Drop,
  dropped,
  editAnswer,
  editRequest,
  hopsLeft,
  keepsDate,
  keptNames,
  withoutAddress,
} from "../policy/edit.ts";
import { NO_HOST, rewritesPath, writePath } from "../policy/template.ts";
import { isTrusted } from "../policy/trust.ts";
import { FieldAt, Form, type Head, HeadFlag, Method, Name } from "../proto/head.ts";
import { dateField } from "../proto/http_date.ts";
import {
  FULL,
  print,
  printBegin,
  printBytes,
  printDecimal,
  printEnd,
  printFields,
  printLeft,
  printRun,
  printTook,
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
import { markEdited, printEdited, printTemplate } from "./field_edits.ts";
import { printForwarded } from "./forwarded.ts";
import { recallHead } from "./kept_head.ts";
import { prepareAnswerTemplates, settleId } from "./request_id.ts";
import { inputs, prepareTemplates, readPath } from "./routing.ts";
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

/** Families of address records below it have no IP (see ffi/sluice.h). */
const FAMILY_IP4 = 4;
const PRINT_END = ARENA_PRINT + PRINT_BYTES;

const HTTP_11 = text("HTTP/1.1");
const SPACE_HTTP_11_CRLF = text(" HTTP/1.1\r\n");
const CRLF = text("\r\n");
const SPACE = text(" ");
const SLASH = text("/");
const ASTERISK = text("*");
const QUESTION = text("?");
const HOST = text("Host: ");
const MAX_FORWARDS = text("Max-Forwards: ");
const NEXT_HOP = text('Proxy-Status: sluice; next-hop="');
const QUOTE_CRLF = text('"\r\n');
const CONNECTION_CLOSE = text("Connection: close\r\n");
const CONNECTION_KEEP_ALIVE = text("Connection: keep-alive\r\n");
const CONNECTION_UPGRADE = text("Connection: upgrade\r\n");
const CONNECTION_TE = text("Connection: TE\r\nTE: trailers\r\n");

/** Sends the request in `request` to the exchange's server. `fresh`: what came behind it is still where
 * `restAt` says; else it is unread, and the pump's. */
export function forwardRequest(ex: number, held: Plan, fresh: boolean): Forwarded {
  if (!holdsLeft()) return Forwarded.NoRoom;
  const listener = exListener[ex], down = exDown[ex];
  sys.client(down, ARENA_SCRATCH);
  const trusted = isTrusted(held, listener, arenaBytes, ARENA_SCRATCH);
  const route = exRoute[ex], edits = route === NONE ? 0 : held.routing.routeRequestEditCount[route];
  // A base path is not left by what comes behind it. Where there are routes, they have looked.
  if (route === NONE && held.serverBaseBytes[exServer[ex]] > 0 && !readPath(request)) {
    return Forwarded.BadPath;
  }
  const off = route === NONE ? 0 : held.routing.routeForwardedOff[route];
  const ways = held.listenerForwarded[listener] | off;
  const forwarded = arenaBytes[ARENA_SCRATCH] < FAMILY_IP4 ? withoutAddress(ways) : ways;
  editRequest(arenaBytes, request, forwarded, trusted);
  const numbered = (route !== NONE && (edits | held.routing.routeAnswerEditCount[route]) > 0) ||
    linesNeed(held.lines, Needs.Id);
  if (route !== NONE) prepareTemplates(ex, held);
  if (numbered) settleId(ex, held);
  if (edits > 0) markEdited(held, held.routing.routeRequestEditFirst[route], edits, request, true);
  const hops = hopsLeft(arenaBytes, request);
  if (hops > 0) dropFields(request, Name.MaxForwards);
  printBegin(ARENA_PRINT, PRINT_END);
  if (!printRequestLine(held, exServer[ex], route)) return Forwarded.NoHost;
  if (hops > 0) printHops(hops - 1);
  printForwarded(held, listener, forwarded, numbered);
  if (edits > 0) printEdited(held, held.routing.routeRequestEditFirst[route], edits, request);
  if (request.flags & HeadFlag.Upgrade) print(CONNECTION_UPGRADE);
  else if (request.flags & HeadFlag.Trailers) print(CONNECTION_TE);
  print(CRLF);
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
  if (edits > 0) printEdited(held, held.routing.routeAnswerEditFirst[route], edits, answer);
  if (held.listenerProxyStatus[exListener[ex]] === ProxyStatus.All && !interim) {
    printNextHop(held, exServer[ex]);
  }
  if (answer.flags & HeadFlag.Upgrade) print(CONNECTION_UPGRADE);
  if (answer.status >= 200) {
    // RFC 9110 section 6.6.1: who has a clock adds what the server left out.
    const ownDate = edits > 0 && (held.routing.routeOwnOff[route] & OwnField.Date) !== 0;
    if (!keepsDate && !ownDate) print(dateField(wallMs()));
    if (flags & ExFlag.Last) print(CONNECTION_CLOSE);
    else if (flags & ExFlag.Old) print(CONNECTION_KEEP_ALIVE);
  }
  print(CRLF);
  return send(ex, up, exDown[ex], true);
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
  markEdited(held, held.routing.routeAnswerEditFirst[route], edits, answer, false);
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

/** Method, target, version and the fields that are kept; as it came, in one run, when nothing changes. False:
 * its Host would be none. */
function printRequestLine(held: Plan, server: number, route: number): boolean {
  const head = request;
  const rewrites = route !== NONE && rewritesPath(held, route);
  const host = route === NONE ? NONE : held.routing.routeHostTemplate[route];
  if (host !== NONE) dropFields(head, Name.Host); // it is written anew
  const asItCame = !rewrites && held.serverBaseBytes[server] === 0 && head.form !== Form.Absolute &&
    !(head.flags & HeadFlag.Old);
  if (asItCame) {
    printFields(head, dropped, 0);
  } else {
    printRun(head.at, head.at + head.methodEnd);
    print(SPACE);
    printTarget(head, held, server, rewrites ? route : NONE);
    print(SPACE_HTTP_11_CRLF);
    printFields(head, dropped, head.lineEnd + 2);
  }
  if (host !== NONE) {
    print(HOST);
    if (printTemplate(held, host) === NO_HOST) return false;
    print(CRLF);
  } else if (!(keptNames & (1 << Name.Host))) printHost(head, held, server);
  return true;
}

function dropFields(head: Head, name: Name): void {
  for (let field = 0; field < head.fieldCount; field++) {
    if (head.fields[field * FieldAt.Length + FieldAt.Known] === name) dropped[field] = Drop.Dropped;
  }
}

function printHops(hops: number): void {
  print(MAX_FORWARDS);
  printDecimal(hops);
  print(CRLF);
}

function printTarget(head: Head, held: Plan, server: number, rewriting: number): void {
  if (head.form === Form.Asterisk || head.form === Form.Authority) {
    return printRun(head.at + head.target, head.at + head.targetEnd);
  }
  const baseAt = held.serverBaseAt[server];
  printBytes(held.arenaWords, baseAt, baseAt + held.serverBaseBytes[server]);
  if (rewriting !== NONE) {
    const at = printEnd();
    if (at !== FULL) printTook(writePath(held, rewriting, arenaBytes, at, PRINT_END, inputs));
  } else {
    // Of a whole server (RFC 9112 section 3.2.4): the last proxy turns the form.
    const isAll = head.method === Method.Options && head.path === head.targetEnd;
    if (head.path === head.pathEnd) print(isAll && held.serverBaseBytes[server] === 0 ? ASTERISK : SLASH);
    printRun(head.at + head.path, head.at + head.pathEnd);
  }
  if (head.pathEnd === head.targetEnd) return;
  print(QUESTION);
  printRun(head.at + head.query, head.at + head.queryEnd);
}

/** HTTP/1.1 needs a Host: the target's own, or the server's address. */
function printHost(head: Head, held: Plan, server: number): void {
  print(HOST);
  if (head.authorityEnd > head.authority) {
    printRun(head.at + head.authority, head.at + head.authorityEnd);
  } else {
    const at = held.serverAuthorityAt[server];
    printBytes(held.arenaWords, at, at + held.serverAuthorityBytes[server]);
  }
  print(CRLF);
}
