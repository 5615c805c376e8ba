// What we tell a server about its client: the fields by which a proxy passes on where a request came
// from. Which of them are written, and what of those that came is believed, is the listener's to say
// (edit.ts has decided what is kept). The head lies in the bytes that are printed into.
import { NONE } from "../base/limits.ts";
import { randomBits } from "../base/random.ts";
import { ForwardedShift, Forwarding, type Plan } from "../plan/plan.ts";
import { Drop, dropped, forwardingOf, joinedNames, keptNames } from "./edit.ts";
import type { TemplateInputs } from "./template.ts";
import { FieldAt, type Head, Name } from "../proto/head.ts";
import { isMapped, print, printDecimal, printHex, printIp, printRun, text } from "../proto/http1_print.ts";

const CRLF = text("\r\n");
const COMMA_SPACE = text(", ");
const X_FORWARDED_FOR = text("X-Forwarded-For: ");
const X_FORWARDED_PROTO = text("X-Forwarded-Proto: http\r\n");
const X_FORWARDED_PROTO_HTTPS = text("X-Forwarded-Proto: https\r\n");
const X_FORWARDED_HOST = text("X-Forwarded-Host: ");
const X_FORWARDED_PORT = text("X-Forwarded-Port: ");
const X_REAL_IP = text("X-Real-IP: ");
const X_REQUEST_ID = text("X-Request-ID: ");
const TRACEPARENT = text("traceparent: 00-");
const DASH = text("-");
const SAMPLED = text("-01\r\n");
const VIA = text("Via: ");
const VIA_US = text("1.1 sluice\r\n");
const FORWARDED = text("Forwarded: ");
const FOR = text("for=");
const QUOTED_BRACKET = text('"[');
const BRACKET_QUOTE = text(']"');
const UNKNOWN = text("unknown");
const FORWARDED_HOST = text(';host="');
const QUOTE = text('"');
const FORWARDED_PROTO = text(";proto=http\r\n");
const FORWARDED_PROTO_HTTPS = text(";proto=https\r\n");

/** Prints the fields that are added to the request of `inputs`. `forwarded`: the listener's ways, without
 * those of fields that its route sets itself; `settled`: its number is in `inputs`, else any will do. */
export function printForwarded(
  held: Plan,
  listener: number,
  forwarded: number,
  settled: boolean,
  inputs: TemplateInputs,
): void {
  const { head, client, clientAt } = inputs, secure = held.listenerTls[listener] !== NONE;
  if (appends(forwarded, ForwardedShift.XForwardedFor)) {
    print(X_FORWARDED_FOR);
    printJoined(head, Name.XForwardedFor);
    printIp(client, clientAt);
    print(CRLF);
  }
  if (sets(forwarded, ForwardedShift.XForwardedProto, WAY)) {
    print(secure ? X_FORWARDED_PROTO_HTTPS : X_FORWARDED_PROTO);
  }
  const hasHost = head.authorityEnd > head.authority;
  if (hasHost && sets(forwarded, ForwardedShift.XForwardedHost, WAY)) {
    print(X_FORWARDED_HOST);
    printRun(head.at + head.authority, head.at + head.authorityEnd);
    print(CRLF);
  }
  const port = held.listenerPort[listener];
  if (port !== 0 && sets(forwarded, ForwardedShift.XForwardedPort, WAY)) {
    print(X_FORWARDED_PORT);
    printDecimal(port);
    print(CRLF);
  }
  if (sets(forwarded, ForwardedShift.XRealIp, CLIENT)) {
    print(X_REAL_IP);
    printIp(client, clientAt);
    print(CRLF);
  }
  if (appends(forwarded, ForwardedShift.Forwarded)) printForwardedField(inputs, secure);
  printTraces(forwarded, settled, inputs);
}

/** By which way it came, and which request it is. */
function printTraces(forwarded: number, settled: boolean, { head, idAt, idEnd }: TemplateInputs): void {
  if (appends(forwarded, ForwardedShift.Via)) {
    print(VIA);
    printJoined(head, Name.Via);
    print(VIA_US);
  }
  if (sets(forwarded, ForwardedShift.XRequestId, 1 << Name.XRequestId)) {
    print(X_REQUEST_ID);
    if (settled) printRun(idAt, idEnd);
    else printRandom(4);
    print(CRLF);
  }
  if (sets(forwarded, ForwardedShift.Traceparent, 1 << Name.Traceparent)) {
    print(TRACEPARENT);
    printRandom(4);
    print(DASH);
    printRandom(2);
    print(SAMPLED);
  }
}

/** RFC 7239: for, host and proto of this hop. */
function printForwardedField({ head, client, clientAt }: TemplateInputs, secure: boolean): void {
  print(FORWARDED);
  printJoined(head, Name.Forwarded);
  print(FOR);
  const family = client[clientAt];
  const bracketed = family === 6 && !isMapped(client, clientAt);
  if (bracketed) print(QUOTED_BRACKET);
  if (family === 4 || family === 6) printIp(client, clientAt);
  else print(UNKNOWN);
  if (bracketed) print(BRACKET_QUOTE);
  if (head.authorityEnd > head.authority) {
    print(FORWARDED_HOST);
    printRun(head.at + head.authority, head.at + head.authorityEnd);
    print(QUOTE);
  }
  print(secure ? FORWARDED_PROTO_HTTPS : FORWARDED_PROTO);
}

/** Whether a list gets our entry; what is kept of it is printed before, not where it stood. */
function appends(forwarded: number, shift: ForwardedShift): boolean {
  const how = forwardingOf(forwarded, shift);
  return how === Forwarding.Append || how === Forwarding.Replace;
}

/** Fields that tell of one thing, as bits: what a trusted proxy has told in part is not completed with what we
 * see, which would contradict it. */
const WAY = (1 << Name.XForwardedProto) | (1 << Name.XForwardedHost) | (1 << Name.XForwardedPort);
const CLIENT = (1 << Name.XRealIp) | (1 << Name.XForwardedFor);

/** Whether a single value is ours to set: always, or when none of `names` was kept. */
function sets(forwarded: number, shift: ForwardedShift, names: number): boolean {
  const how = forwardingOf(forwarded, shift);
  return how === Forwarding.Replace || (how === Forwarding.Append && !((keptNames | joinedNames) & names));
}

/** Values of a list that were kept, each with a comma behind it. */
function printJoined(head: Head, name: Name): void {
  if (!(joinedNames & (1 << name))) return;
  for (let field = 0; field < head.fieldCount; field++) {
    const row = field * FieldAt.Length;
    if (dropped[field] !== Drop.Joined || head.fields[row + FieldAt.Known] !== name) continue;
    printRun(
      head.at + head.fields[row + FieldAt.Value],
      head.at + head.fields[row + FieldAt.ValueEnd],
    );
    print(COMMA_SPACE);
  }
}

function printRandom(words: number): void {
  for (let word = 0; word < words; word++) printHex(randomBits());
}
