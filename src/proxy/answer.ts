// What Sluice says itself: errors, redirects, fixed replies. Printed into the same place as forwarded
// heads; what the client does not take at once is held by its own slot (state Answer).
import { ARENA_PRINT, NONE, PRINT_BYTES } from "../base/limits.ts";
import { holdLeftover, holdsLeft } from "../net/holds.ts";
import { slotFlags } from "../net/slots.ts";
import { PAGE_FORMS, PageForm, pageOf } from "../plan/pages.ts";
import { type Plan, ProxyStatus } from "../plan/plan.ts";
import { FieldAt, type Head, makeHead } from "../proto/head.ts";
import {
  FULL,
  print,
  printBegin,
  printBytes,
  printDecimal,
  printEnd,
  printRun,
  type Text,
  text,
} from "../proto/http1_print.ts";
import { ascii, sameText } from "../proto/octet.ts";
import { dateField } from "../proto/http_date.ts";
import { Refusal, REFUSALS } from "../proto/refusal.ts";
import { Reason, REASONS } from "../shared/reason.ts";
import { ExFlag, SlotFlag } from "../shared/tables.ts";
import { EAGAIN } from "../sys/errno.ts";
import { arenaBytes, sys, wallMs } from "../sys/sys.ts";
import { OwnField } from "../plan/routing.ts";
import { preferred } from "../proto/accept.ts";
import { exDown, exDownBytes, exFlags, exListener, exReason, exRoute, exStatus } from "./exchanges.ts";
import { paceSaid } from "./pace.ts";
import { printEdited, printTemplate } from "../policy/field_edits.ts";
import { printHsts, printToHttps, TO_HTTPS_STATUS } from "../policy/secure.ts";
import { TOKEN_AT } from "../policy/way.ts";
import { prepareAnswerTemplates } from "./request_id.ts";
import { request } from "./wire_h1.ts";
import { inputs } from "./routing.ts";

const PRINT_END = ARENA_PRINT + PRINT_BYTES;

/** Reason phrases of RFC 9110 section 15; a status without one gets none. */
const PHRASES: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  410: "Gone",
  413: "Content Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  421: "Misdirected Request",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  451: "Unavailable For Legal Reasons",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

const STATUS_MAX = 999;
const STATUS_DIGITS = 3;
const EMPTY = text("");
/** By status. */
const PHRASE: Text[] = Array.from({ length: STATUS_MAX + 1 }, () => EMPTY);
for (const status in PHRASES) PHRASE[status] = text(PHRASES[status]);

/** By reason: its sentence, and its Proxy-Status parameters (RFC 9209 section 2.3). */
const SENTENCES = REASONS.map((reason) => text(reason.text));
/** By Refusal: what is wrong with a message. */
const FAULTS = REFUSALS.map((refusal) => text(refusal?.text ?? ""));
const ERRORS = REASONS.map((reason) =>
  text(
    reason.type === null ? "" : `Proxy-Status: sluice; error=${reason.type}; details="${reason.text}"\r\n`,
  )
);

const VERSION = text("HTTP/1.1 ");
const SPACE = text(" ");
const CRLF = text("\r\n");
const CONTENT_LENGTH = text("Content-Length: ");
const CONTENT_TYPE = text("Content-Type: ");
const LOCATION = text("Location: ");
const VARY = text("Vary: Accept\r\n");
const CONNECTION_CLOSE = text("Connection: close\r\n");
const CONNECTION_KEEP_ALIVE = text("Connection: keep-alive\r\n");

/** By PageForm. */
const TYPES = [
  text("Content-Type: text/plain; charset=utf-8\r\n"),
  text("Content-Type: text/html; charset=utf-8\r\n"),
  text("Content-Type: application/json\r\n"),
  text("Content-Type: application/problem+json\r\n"),
];

const DOT = text(".");
const COLON = text(": ");
const NEWLINE = text("\n");
const HTML = [
  text('<!doctype html>\n<html lang="en"><head><title>'),
  text("</title></head>\n<body><h1>"),
  text("</h1>\n<p>"),
  text("</p></body></html>\n"),
];
const HTML_BYTES = HTML.reduce((sum, part) => sum + part.length, 0);
const JSON_TEXT = [text('{"status":'), text(',"title":"'), text('","detail":"'), text('"}\n')];
const JSON_BYTES = JSON_TEXT.reduce((sum, part) => sum + part.length, 0);

/** Says why there is no answer from a server; `refusal`: what is wrong with the request, or 0. `head`: the
 * request, if it was understood: its Accept chooses the form. @returns as `say` */
export function sayReason(
  ex: number,
  held: Plan,
  reason: Reason,
  status: number,
  refusal: Refusal,
  head: Head | null,
): number {
  const { pageForms, pageFirst, textAt, textBytes } = held.pages;
  const page = pageOf(held.pages, exListener[ex], status); // of the user's own
  let form = head === null ? NO_FORM : formAsked(head);
  if (form === NO_FORM) form = page === NONE ? PageForm.Text : pageFirst[page];
  const own = page !== NONE && (pageForms[page] >> form & 1) !== 0;
  const given = page * PAGE_FORMS + form;
  const detail = refusal === 0 ? SENTENCES[reason] : FAULTS[refusal];
  const shows = held.listenerProxyStatus[exListener[ex]] !== ProxyStatus.Off;
  const ordered = reason === Reason.Answered, off = ordered ? held.routing.routeOwnOff[exRoute[ex]] : 0;
  printHead(ex, held, status, own ? textBytes[given] : pageBytes(form, status, detail), off);
  if (!(off & OwnField.ContentType)) print(TYPES[form]);
  print(VARY);
  if (shows) print(ERRORS[reason]);
  if (ordered) printRouteEdits(ex, held);
  print(CRLF);
  if (!(exFlags[ex] & ExFlag.Bodiless)) {
    if (own) printBytes(held.arenaWords, textAt[given], textAt[given] + textBytes[given]);
    else printPage(form, status, detail);
  }
  return send(ex);
}

/** First line and the fields that every answer of ours has; `off`: OwnField bits of those that its route sets
 * or removes. */
function printHead(ex: number, held: Plan, status: number, bodyBytes: number, off = 0): void {
  exStatus[ex] = status;
  printBegin(ARENA_PRINT, PRINT_END);
  print(VERSION);
  printDecimal(status);
  print(SPACE);
  print(PHRASE[status]);
  print(CRLF);
  if (!(off & OwnField.Date)) print(dateField(wallMs()));
  // Who spoke plain HTTP where TLS is spoken is told so in plain HTTP, where the field must not be.
  const secure = held.listenerHstsBytes[exListener[ex]] !== 0 && exReason[ex] !== Reason.PlainHttp;
  if (secure && !(off & OwnField.StrictTransport)) printHsts(held, exListener[ex]);
  if (status !== 204 && status !== 304) {
    print(CONTENT_LENGTH);
    printDecimal(bodyBytes);
    print(CRLF);
  }
  if (exFlags[ex] & ExFlag.Last) print(CONNECTION_CLOSE);
  else if (exFlags[ex] & ExFlag.Old) print(CONNECTION_KEEP_ALIVE);
}

/** Says a route's fixed reply. @returns as `send` */
export function sayFixed(ex: number, held: Plan): number {
  const { routeStatus, routeBodyAt, routeBodyBytes, routeTypeAt, routeTypeBytes } = held.routing;
  const route = exRoute[ex], status = routeStatus[route];
  const silent = exFlags[ex] & ExFlag.Bodiless || status === 204 || status === 304;
  const off = held.routing.routeOwnOff[route];
  printHead(ex, held, status, routeBodyBytes[route], off);
  if (routeTypeBytes[route] > 0 && status !== 204 && !(off & OwnField.ContentType)) {
    print(CONTENT_TYPE);
    printBytes(held.arenaWords, routeTypeAt[route], routeTypeAt[route] + routeTypeBytes[route]);
    print(CRLF);
  }
  printRouteEdits(ex, held);
  print(CRLF);
  if (!silent) printBytes(held.arenaWords, routeBodyAt[route], routeBodyAt[route] + routeBodyBytes[route]);
  return send(ex);
}

/** Says a route's error page. @returns as `send` */
export function sayPage(ex: number, held: Plan): number {
  return sayReason(ex, held, Reason.Answered, held.routing.routeStatus[exRoute[ex]], Refusal.None, request);
}

/** Says that all is well, and no more. @returns as `send` */
export function sayNothing(ex: number, held: Plan): number {
  printHead(ex, held, 200, 0);
  print(CRLF);
  return send(ex);
}

/** Says what an authority asks for: the token of the request's path with our account's thumbprint (RFC 8555 section
 * 8.3). Nobody has to remember tokens for that. @returns as `send` */
export function sayChallenge(ex: number, held: Plan): number {
  const listener = exListener[ex];
  const at = held.listenerThumbprintAt[listener], bytes = held.listenerThumbprintBytes[listener];
  const from = request.at + request.path + TOKEN_AT, end = request.at + request.pathEnd;
  printHead(ex, held, 200, end - from + DOT.length + bytes);
  print(TYPES[PageForm.Text]);
  print(CRLF);
  if (!(exFlags[ex] & ExFlag.Bodiless)) {
    printRun(from, end);
    print(DOT);
    printBytes(held.arenaWords, at, at + bytes);
  }
  return send(ex);
}

/** Sends the client to https://. @returns as `send` */
export function sayToHttps(ex: number, held: Plan): number {
  printHead(ex, held, TO_HTTPS_STATUS, 0);
  print(LOCATION);
  printToHttps(held, exListener[ex], request);
  print(CRLF);
  print(CRLF);
  return send(ex);
}

/** Says a route's redirect. @returns as `send` */
export function sayRedirect(ex: number, held: Plan): number {
  const route = exRoute[ex], off = held.routing.routeOwnOff[route];
  printHead(ex, held, held.routing.routeStatus[route], 0, off);
  prepareAnswerTemplates(ex, held);
  if (!(off & OwnField.Location)) {
    print(LOCATION);
    printTemplate(held, held.routing.routeLocation[route], inputs);
    print(CRLF);
  }
  printOwnEdits(held, route);
  print(CRLF);
  return send(ex);
}

/** The same, if there are any; templates are prepared for them. */
function printRouteEdits(ex: number, held: Plan): void {
  const route = exRoute[ex];
  if (held.routing.routeAnswerEditCount[route] === 0) return;
  prepareAnswerTemplates(ex, held);
  printOwnEdits(held, route);
}

/** What the route sets on its answers, it sets on ours; templates are prepared. */
function printOwnEdits(held: Plan, route: number): void {
  const { routeAnswerEditFirst, routeAnswerEditCount } = held.routing;
  printEdited(held, routeAnswerEditFirst[route], routeAnswerEditCount[route], NOTHING, inputs);
}

const NOTHING = makeHead();

/** No block for what the client did not take. */
export const UNHELD = 2;

/** Sends what was printed. @returns 0: it is out; 1: the rest is held; UNHELD; -errno: the client is gone; FULL:
 * it does not fit, and nothing was sent */
function send(ex: number): number {
  const end = printEnd();
  if (end === FULL) return FULL;
  const down = exDown[ex], bytes = end - ARENA_PRINT;
  exDownBytes[ex] += bytes;
  if (slotFlags[down] & SlotFlag.Shaped) paceSaid(ex, bytes);
  const sent = sys.send(down, ARENA_PRINT, bytes, 0);
  if (sent === bytes) return 0;
  if (sent < 0 && sent !== -EAGAIN) return sent;
  if (!holdsLeft()) return UNHELD;
  const taken = sent < 0 ? 0 : sent;
  holdLeftover(down, ARENA_PRINT + taken, bytes - taken);
  return 1;
}

function printPage(form: PageForm, status: number, detail: Text): void {
  switch (form) {
    case PageForm.Text:
      printTitle(status);
      print(COLON);
      print(detail);
      return print(NEWLINE);
    case PageForm.Html:
      print(HTML[0]);
      printTitle(status);
      print(HTML[1]);
      printTitle(status);
      print(HTML[2]);
      print(detail);
      return print(HTML[3]);
    default:
      print(JSON_TEXT[0]);
      printDecimal(status);
      print(JSON_TEXT[1]);
      print(PHRASE[status]);
      print(JSON_TEXT[2]);
      print(detail);
      return print(JSON_TEXT[3]);
  }
}

/** The words for a person: 502 Bad Gateway. */
function printTitle(status: number): void {
  printDecimal(status);
  if (PHRASE[status] === EMPTY) return;
  print(SPACE);
  print(PHRASE[status]);
}

/** How long `printPage` gets. */
function pageBytes(form: PageForm, status: number, detail: Text): number {
  const phrase = PHRASE[status].length, title = STATUS_DIGITS + (phrase === 0 ? 0 : SPACE.length + phrase);
  const texts = title + detail.length;
  switch (form) {
    case PageForm.Text:
      return texts + COLON.length + NEWLINE.length;
    case PageForm.Html:
      return texts + title + HTML_BYTES;
    default:
      return detail.length + phrase + STATUS_DIGITS + JSON_BYTES;
  }
}

/** The form that the request's Accept prefers, of what we have. NO_FORM: it names none of them. */
function formAsked(head: Head): PageForm | -1 {
  for (let field = 0; field < head.fieldCount; field++) {
    const row = field * FieldAt.Length;
    const name = head.at + head.fields[row + FieldAt.Name];
    if (!sameText(arenaBytes, name, head.at + head.fields[row + FieldAt.NameEnd], ACCEPT)) continue;
    const from = head.at + head.fields[row + FieldAt.Value],
      end = head.at + head.fields[row + FieldAt.ValueEnd];
    const form = preferred(arenaBytes, from, end, MEDIA);
    if (form >= 0) return form;
  }
  return NO_FORM;
}

const NO_FORM = -1;
const ACCEPT = ascii("accept");
const MEDIA = [
  ascii("text/plain"),
  ascii("text/html"),
  ascii("application/json"),
  ascii("application/problem+json"),
];
