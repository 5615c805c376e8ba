// A request as the data plane would read it: its bytes lie in this thread's arena where a reactor has them,
// and the parser, the path's decoder and the printer of heads are those of the data plane. One request at a
// time: whoever explains does so without waiting in between.
import {
  ARENA_CERTIFICATE,
  ARENA_FACT,
  ARENA_PATH,
  ARENA_PRINT,
  ARENA_RECEIVE,
  ARENA_SCRATCH,
  NONE,
  PATH_BYTES,
  PEER_BYTES,
  PRINT_BYTES,
  RECEIVE_BYTES,
} from "../../base/limits.ts";
import type { Plan } from "../../plan/plan.ts";
import { asksForCertificate } from "../../policy/certificate_fields.ts";
import { capture } from "../../policy/route.ts";
import { keepsId, printRequest } from "../../policy/request_head.ts";
import { printToHttps } from "../../policy/secure.ts";
import { type TemplateInputs, writeTemplate } from "../../policy/template.ts";
import { FieldAt, findField, makeHead, Name } from "../../proto/head.ts";
import { parseRequest } from "../../proto/http1_head.ts";
import { FULL, printBegin, printEnd, printOpen } from "../../proto/http1_print.ts";
import { decodePath, refusalOf } from "../../proto/path.ts";
import { Refusal } from "../../proto/refusal.ts";
import { TlsFact } from "../../sys/symbols.ts";
import { arenaBytes } from "../../sys/sys.ts";
import { encodeAddress, type IpAddress } from "../config/address.ts";
import { type LineView, NEW_NUMBER, type RequestView } from "./explanation.ts";
import { clientOf, type Question, requestBytes, type RequestQuestion } from "./question.ts";

const REQUEST_BYTES_MAX = 2 * RECEIVE_BYTES;
const PRINT_END = ARENA_PRINT + PRINT_BYTES;
/** Where the number of a request is, behind the client's record. */
const ARENA_ID = ARENA_SCRATCH + PEER_BYTES;
const FAMILY_UNIX = 1;

const head = makeHead();

/** What the templates and the printer of the present request read. */
export const inputs: TemplateInputs = {
  bytes: new Uint8Array(),
  head,
  path: new Uint8Array(),
  pathAt: ARENA_PATH,
  pathEnd: ARENA_PATH,
  client: new Uint8Array(),
  clientAt: ARENA_SCRATCH,
  id: new Uint8Array(),
  idAt: ARENA_ID,
  idEnd: ARENA_ID,
  port: 0,
  secure: 0,
  fact: (_, which, at, bytes) =>
    new TextEncoder().encodeInto(session[which] ?? "", arenaBytes.subarray(at, at + bytes)).written,
  slot: NONE,
  facts: new Uint8Array(),
  factAt: ARENA_FACT,
  certificateAt: 0,
  certificateEnd: 0,
  subjectAt: 0,
  subjectEnd: 0,
  fingerprintAt: 0,
  fingerprintEnd: 0,
};

/** What is known of the client's TLS, by TlsFact: words stand for what each connection has of its own. */
let session: Partial<Record<number, string>> = {};

/** The same of a certificate that the client must show. */
const CERTIFICATE: Partial<Record<number, string>> = {
  [TlsFact.Certificate]: ":a-certificate:",
  [TlsFact.Subject]: "a-subject",
  [TlsFact.Issuer]: "an-issuer",
  [TlsFact.Serial]: "a-serial-number",
  [TlsFact.Fingerprint]: "a-fingerprint",
};

/** Makes the TLS of a question's client known. `certified`: it must show a certificate; where it may, it shows none. */
function placeSession(question: Question, certified: boolean): void {
  if (question.kind !== "request" || !question.secure) {
    session = {};
    return;
  }
  session = {
    [TlsFact.Version]: "a-version",
    [TlsFact.Cipher]: "a-cipher",
    ...(question.sni === null ? {} : { [TlsFact.Name]: question.sni }),
    ...(certified ? CERTIFICATE : {}),
  };
}

/** Puts the client of a question into the arena. `certified`: it must show a certificate. */
export function placeClient(question: Question, certified: boolean): void {
  const client = clientOf(question);
  inputs.bytes =
    inputs.path =
    inputs.client =
    inputs.id =
    inputs.facts =
      arenaBytes;
  placeSession(question, certified);
  arenaBytes.fill(0, ARENA_SCRATCH, ARENA_SCRATCH + PEER_BYTES);
  if (client === null) arenaBytes[ARENA_SCRATCH] = FAMILY_UNIX;
  else arenaBytes.set(clientRecord(client), ARENA_SCRATCH);
}

/** Without its scope: policy does not look at it. */
function clientRecord(from: IpAddress): Uint8Array {
  return encodeAddress({ ...from, scope: "" }).subarray(0, PEER_BYTES);
}

/** Reads the request of a question into `inputs`. @returns why it is refused, or Refusal.None */
export function readRequest(question: RequestQuestion): Refusal {
  const bytes = requestBytes(question).subarray(0, REQUEST_BYTES_MAX);
  arenaBytes.set(bytes, ARENA_RECEIVE);
  const taken = parseRequest(arenaBytes, ARENA_RECEIVE, ARENA_RECEIVE + bytes.length, head);
  if (taken > 0) return Refusal.None;
  return taken === 0 ? Refusal.HeadTooLong : -taken;
}

/** Decodes its path. @returns why it is none, or Refusal.None */
export function readPath(): Refusal {
  const from = head.at + head.path, end = head.at + head.pathEnd;
  inputs.pathEnd = decodePath(arenaBytes, from, end, arenaBytes, ARENA_PATH);
  return inputs.pathEnd < 0 || inputs.pathEnd > ARENA_PATH + PATH_BYTES
    ? refusalOf(inputs.pathEnd)
    : Refusal.None;
}

export function requestView({ method }: RequestQuestion, hasPath: boolean): RequestView {
  return {
    method,
    target: visible(head.at + head.target, head.at + head.targetEnd),
    path: hasPath ? visible(inputs.pathAt, inputs.pathEnd) : null,
    host: visible(head.at + head.host, head.at + head.hostEnd),
  };
}

/** Bytes of the arena as text, what is not printable ASCII as \xHH. */
function visible(from: number, end: number): string {
  return latin1(from, end).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

function latin1(from: number, end: number): string {
  return new TextDecoder("latin1").decode(arenaBytes.slice(from, end));
}

/** Makes the templates of a route ready. Its path is read. */
function prepare(plan: Plan, listener: number, route: number): void {
  inputs.port = plan.listenerPort[listener];
  inputs.secure = plan.listenerTls[listener] === NONE ? 0 : 1;
  capture(plan, route, arenaBytes, inputs.pathAt, inputs.pathEnd);
  if (keepsId(plan, listener, inputs)) {
    const row = findField(head, Name.XRequestId) * FieldAt.Length;
    inputs.idAt = head.at + head.fields[row + FieldAt.Value];
    inputs.idEnd = head.at + head.fields[row + FieldAt.ValueEnd];
  } else placeNewId();
}

/** It is drawn for each request: a word stands for it. */
function placeNewId(): void {
  const { written } = new TextEncoder().encodeInto(NEW_NUMBER, arenaBytes.subarray(ARENA_ID));
  inputs.idAt = ARENA_ID;
  inputs.idEnd = ARENA_ID + written;
}

/** The head that a server gets, line by line; or why there is none. */
export function forwardedHead(
  plan: Plan,
  listener: number,
  server: number,
  route: number,
): { line: string; fields: LineView[] } | { refusal: Refusal } {
  if (route === NONE) placeNewId();
  else prepare(plan, listener, route);
  if (asksForCertificate(plan, listener)) placeCertificate();
  printOpen(arenaBytes);
  printBegin(ARENA_PRINT, PRINT_END);
  if (!printRequest(plan, listener, server, route, true, inputs)) return { refusal: Refusal.BadHost };
  const end = printEnd();
  if (end === FULL) return { refusal: Refusal.HeadTooLong };
  const [line, ...printed] = linesOf(ARENA_PRINT, end);
  const [, ...came] = linesOf(head.at, head.at + head.bytes);
  return { line: shownLine(line), fields: compared(came, printed) };
}

/** What servers are told of the client's certificate. */
function placeCertificate(): void {
  const place = (which: TlsFact, at: number): number => at + inputs.fact(NONE, which, at, PATH_BYTES);
  inputs.certificateAt = ARENA_CERTIFICATE;
  inputs.certificateEnd = inputs.subjectAt = place(TlsFact.Certificate, inputs.certificateAt);
  inputs.subjectEnd = inputs.fingerprintAt = place(TlsFact.Subject, inputs.subjectAt);
  inputs.fingerprintEnd = place(TlsFact.Fingerprint, inputs.fingerprintAt);
}

/** Where a request is sent that came without TLS. */
export function toHttps(plan: Plan, listener: number): string {
  printOpen(arenaBytes);
  printBegin(ARENA_PRINT, PRINT_END);
  printToHttps(plan, listener, head);
  return visible(ARENA_PRINT, printEnd());
}

function linesOf(from: number, end: number): string[] {
  return latin1(from, end).slice(0, -"\r\n\r\n".length).split("\r\n");
}

/** What came and what is sent, in the order of what is sent; what is removed comes last. */
function compared(came: readonly string[], printed: readonly string[]): LineView[] {
  const left = new Map<string, number>();
  for (const line of came) left.set(line, (left.get(line) ?? 0) + 1);
  const sent = printed.map((line): LineView => {
    const count = left.get(line) ?? 0;
    if (count > 0) left.set(line, count - 1);
    return count > 0 ? { how: "kept", text: shownLine(line) } : { how: "new", text: shownLine(drawn(line)) };
  });
  const removed = came.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count > 0;
  });
  return [...sent, ...removed.map((line): LineView => ({ how: "removed", text: shownLine(line) }))];
}

/** A trace of ours has random numbers. */
function drawn(line: string): string {
  return line.replace(/^(traceparent: ).*$/, `$1${NEW_NUMBER}`);
}

function shownLine(line: string): string {
  return line.replace(
    /[^\x20-\x7e]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

/** The text of a route's template. Null: there is no room for it. */
export function templateText(plan: Plan, listener: number, route: number, template: number): string | null {
  prepare(plan, listener, route);
  const end = writeTemplate(plan, template, arenaBytes, ARENA_PRINT, PRINT_END, inputs);
  return end < 0 ? null : visible(ARENA_PRINT, end);
}
