// What HTTP says about TLS itself: where a request is sent that came without (RFC 9110 section 15.4.9), and the
// field that keeps browsers to it (RFC 6797).
import { NONE } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { FieldAt, findField, Form, type Head, Name } from "../proto/head.ts";
import { print, printBytes, printDecimal, printRun, text } from "../proto/http1_print.ts";
import { ascii, sameText } from "../proto/octet.ts";
import { Drop, dropped } from "./edit.ts";
import { isTrusted } from "./trust.ts";

/** Of the answer to a request that is to come by https://. 301 is older and as lasting, but lets a client make a GET of
 * a POST, and it does; 308 keeps method and body, and every client of today knows it. */
export const TO_HTTPS_STATUS = 308;

const HTTPS = text("https://");
const COLON = text(":");
const SLASH = text("/");
const QUESTION = text("?");
const PORT_HTTPS = 443;

/** Whether a request that came without TLS needs not be sent to https://: a trusted proxy before us says that it ended
 * TLS, and would end it once more for whoever comes back, without end. Who has nowhere else to go is sent all the same. */
export function cameByHttps(
  plan: Plan,
  listener: number,
  bytes: Uint8Array,
  head: Head,
  client: Uint8Array,
  clientAt: number,
): boolean {
  if (plan.listenerUpstream[listener] === NONE && plan.listenerRouter[listener] === NONE) return false;
  const field = findField(head, Name.XForwardedProto);
  if (field < 0 || findField(head, Name.XForwardedProto, field + 1) >= 0) return false;
  const row = field * FieldAt.Length;
  const from = head.at + head.fields[row + FieldAt.Value],
    end = head.at + head.fields[row + FieldAt.ValueEnd];
  return sameText(bytes, from, end, HTTPS_SCHEME) && isTrusted(plan, listener, client, clientAt);
}

const HTTPS_SCHEME = ascii("https");

/** Prints where a request is to go: its host at the listener's port for https://, with its target as it came. Its
 * head lies in the bytes that are printed into. */
export function printToHttps(plan: Plan, listener: number, head: Head): void {
  const port = plan.listenerToHttps[listener];
  print(HTTPS);
  printRun(head.at + head.host, head.at + head.hostEnd);
  if (port !== PORT_HTTPS) {
    print(COLON);
    printDecimal(port);
  }
  if (head.path === head.pathEnd || head.form === Form.Asterisk) print(SLASH);
  else printRun(head.at + head.path, head.at + head.pathEnd);
  if (head.pathEnd === head.targetEnd) return;
  print(QUESTION);
  printRun(head.at + head.query, head.at + head.queryEnd);
}

/** Prints Strict-Transport-Security as the listener has it. */
export function printHsts(plan: Plan, listener: number): void {
  const at = plan.listenerHstsAt[listener];
  printBytes(plan.arenaWords, at, at + plan.listenerHstsBytes[listener]);
}

/** Whether an answer has one of its own that is passed on. It stays: a browser goes by the first of two (RFC 6797
 * section 8.1), and the server knows its names best; only it can take back what it said. */
export function hasHsts(bytes: Uint8Array, head: Head): boolean {
  for (let field = 0; field < head.fieldCount; field++) {
    if (dropped[field] !== Drop.Kept) continue;
    const row = field * FieldAt.Length;
    const from = head.at + head.fields[row + FieldAt.Name],
      end = head.at + head.fields[row + FieldAt.NameEnd];
    if (sameText(bytes, from, end, HSTS)) return true;
  }
  return false;
}

const HSTS = ascii("strict-transport-security");
