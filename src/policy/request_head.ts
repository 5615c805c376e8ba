// The head of a request as its server gets it: first line, the fields that stay, and what is new. The very
// bytes that are sent; whoever explains a request prints them as well. The head lies in the bytes that are
// printed into, which are those of the inputs.
import { NONE } from "../base/limits.ts";
import { ForwardedShift, Forwarding, type Plan } from "../plan/plan.ts";
import { FieldAt, findField, Form, type Head, HeadFlag, Method, Name } from "../proto/head.ts";
import {
  FULL,
  print,
  printBytes,
  printDecimal,
  printEnd,
  printFields,
  printLeft,
  printRun,
  printTook,
  text,
} from "../proto/http1_print.ts";
import { Drop, dropped, editRequest, forwardingOf, hopsLeft, keptNames, withoutAddress } from "./edit.ts";
import {
  asksForCertificate,
  dropCertificateFields,
  leavesCertificateFields,
  printCertificateFields,
} from "./certificate_fields.ts";
import { markEdited, printEdited, printTemplate } from "./field_edits.ts";
import { printForwarded } from "./forwarded.ts";
import { NO_HOST, rewritesPath, type TemplateInputs, writePath } from "./template.ts";
import { isTrusted } from "./trust.ts";

/** Families of address records below it have no IP (see ffi/sluice.h). */
const FAMILY_IP4 = 4;

const SPACE_HTTP_11_CRLF = text(" HTTP/1.1\r\n");
const CRLF = text("\r\n");
const SPACE = text(" ");
const SLASH = text("/");
const ASTERISK = text("*");
const QUESTION = text("?");
const HOST = text("Host: ");
const MAX_FORWARDS = text("Max-Forwards: ");
const CONNECTION_UPGRADE = text("Connection: upgrade\r\n");
const CONNECTION_TE = text("Connection: TE\r\nTE: trailers\r\n");

/** Whether the path must be one before the request is forwarded: a base path is not left by what comes behind
 * it. Where there are routes, they have looked. */
export function needsPath(plan: Plan, server: number, route: number): boolean {
  return route === NONE && plan.serverBaseBytes[server] > 0;
}

/** Whether templates of the route may tell the request's number. */
export function tellsId({ routing }: Plan, route: number): boolean {
  return route !== NONE && (routing.routeRequestEditCount[route] | routing.routeAnswerEditCount[route]) > 0;
}

/** Whether the request's own number is kept: a trusted client says it, and the listener lets it stand. */
export function keepsId(plan: Plan, listener: number, { head, client, clientAt }: TemplateInputs): boolean {
  const how = forwardingOf(plan.listenerForwarded[listener], ForwardedShift.XRequestId);
  const kept = how === Forwarding.Leave || how === Forwarding.Append;
  return kept && findField(head, Name.XRequestId) >= 0 && isTrusted(plan, listener, client, clientAt);
}

/**
 * Prints the whole head for `server`, the empty line included, into a print that has begun. `settled`: the
 * request's number is in `inputs`. What a template needs is there when the request has a route.
 *
 * @returns false: its Host would be none, and there is no print.
 */
export function printRequest(
  plan: Plan,
  listener: number,
  server: number,
  route: number,
  settled: boolean,
  inputs: TemplateInputs,
): boolean {
  const { bytes, head, client, clientAt } = inputs;
  const trusted = isTrusted(plan, listener, client, clientAt);
  const edits = route === NONE ? 0 : plan.routing.routeRequestEditCount[route];
  const off = route === NONE ? 0 : plan.routing.routeForwardedOff[route];
  const ways = plan.listenerForwarded[listener] | off;
  const forwarded = client[clientAt] < FAMILY_IP4 ? withoutAddress(ways) : ways;
  editRequest(bytes, head, forwarded, trusted);
  if (!leavesCertificateFields(plan, listener, trusted)) dropCertificateFields(bytes, head);
  if (edits > 0) markEdited(plan, plan.routing.routeRequestEditFirst[route], edits, head, bytes, true);
  const hops = hopsLeft(bytes, head);
  if (hops > 0) dropFields(head, Name.MaxForwards);
  if (!printRequestLine(plan, server, route, inputs)) return false;
  if (hops > 0) printHops(hops - 1);
  printForwarded(plan, listener, forwarded, settled, inputs);
  if (asksForCertificate(plan, listener)) printCertificateFields(forwarded, inputs);
  if (edits > 0) printEdited(plan, plan.routing.routeRequestEditFirst[route], edits, head, inputs);
  if (head.flags & HeadFlag.Upgrade) print(CONNECTION_UPGRADE);
  else if (head.flags & HeadFlag.Trailers) print(CONNECTION_TE);
  print(CRLF);
  return true;
}

/** Method, target, version and the fields that are kept; as it came, in one run, when nothing changes. False:
 * its Host would be none. */
function printRequestLine(held: Plan, server: number, route: number, inputs: TemplateInputs): boolean {
  const { head } = inputs;
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
    printTarget(head, held, server, rewrites ? route : NONE, inputs);
    print(SPACE_HTTP_11_CRLF);
    printFields(head, dropped, head.lineEnd + 2);
  }
  if (host !== NONE) {
    print(HOST);
    if (printTemplate(held, host, inputs) === NO_HOST) return false;
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

function printTarget(
  head: Head,
  held: Plan,
  server: number,
  rewriting: number,
  inputs: TemplateInputs,
): void {
  if (head.form === Form.Asterisk || head.form === Form.Authority) {
    return printRun(head.at + head.target, head.at + head.targetEnd);
  }
  const baseAt = held.serverBaseAt[server];
  printBytes(held.arenaWords, baseAt, baseAt + held.serverBaseBytes[server]);
  if (rewriting !== NONE) {
    const at = printEnd();
    if (at !== FULL) printTook(writePath(held, rewriting, inputs.bytes, at, at + printLeft(), inputs));
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
