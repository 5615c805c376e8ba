// What a server is told of the certificate that its client has shown (RFC 9440): fields that nobody but us may
// say, where clients are asked for one, or a listener beside asks them. Only there does anything of this happen. The head lies in the bytes that
// are printed into.
import { ForwardedShift, Forwarding, type Plan } from "../plan/plan.ts";
import { FieldAt, type Head } from "../proto/head.ts";
import {
  FULL,
  print,
  printEnd,
  printLeft,
  printTook,
  putEscaped,
  type Text,
  text,
} from "../proto/http1_print.ts";
import { ascii, likeText } from "../proto/octet.ts";
import { Drop, dropped, forwardingOf } from "./edit.ts";
import type { TemplateInputs } from "./template.ts";

const CLIENT_CERT = text("Client-Cert: ");
const SUBJECT = text("X-Client-Cert-Subject: ");
const FINGERPRINT = text("X-Client-Cert-Fingerprint: ");
const CRLF = text("\r\n");

/** In lower case. The chain is not told; a server might believe one that came. */
const NAMES = ["client-cert", "client-cert-chain", "x-client-cert-subject", "x-client-cert-fingerprint"].map(
  ascii,
);

/** Whether a listener asks its clients for certificates: these fields are its own to say then, or its route's. */
export function asksForCertificate(plan: Plan, listener: number): boolean {
  return forwardingOf(plan.listenerForwarded[listener], ForwardedShift.ClientCert) >= Forwarding.Replace;
}

/** Whether such fields go on as they came, of a client that is trusted or not. */
export function leavesCertificateFields(plan: Plan, listener: number, trusted: boolean): boolean {
  const how = forwardingOf(plan.listenerForwarded[listener], ForwardedShift.ClientCert);
  return how === Forwarding.Leave || (how === Forwarding.Append && trusted);
}

/** Marks the fields that a client wrote in our place, and those that a server behind CGI takes for them. */
export function dropCertificateFields(bytes: Uint8Array, head: Head): void {
  for (let field = 0; field < head.fieldCount; field++) {
    const row = field * FieldAt.Length;
    const from = head.at + head.fields[row + FieldAt.Name],
      end = head.at + head.fields[row + FieldAt.NameEnd];
    if (isOurs(bytes, from, end)) dropped[field] = Drop.Dropped;
  }
}

function isOurs(bytes: Uint8Array, from: number, end: number): boolean {
  for (let name = 0; name < NAMES.length; name++) if (likeText(bytes, from, end, NAMES[name])) return true;
  return false;
}

/** Prints what the client's certificate says, but for fields that its route sets itself; nothing without one. */
export function printCertificateFields(forwarded: number, inputs: TemplateInputs): void {
  const { certificateAt, certificateEnd, subjectAt, subjectEnd, fingerprintAt, fingerprintEnd } = inputs;
  printFact(forwarded, ForwardedShift.ClientCert, CLIENT_CERT, inputs, certificateAt, certificateEnd);
  printFact(forwarded, ForwardedShift.ClientCertSubject, SUBJECT, inputs, subjectAt, subjectEnd);
  printFact(
    forwarded,
    ForwardedShift.ClientCertFingerprint,
    FINGERPRINT,
    inputs,
    fingerprintAt,
    fingerprintEnd,
  );
}

function printFact(
  forwarded: number,
  shift: ForwardedShift,
  name: Text,
  { bytes, facts }: TemplateInputs,
  from: number,
  end: number,
): void {
  if (from === end || forwardingOf(forwarded, shift) !== Forwarding.Replace) return;
  print(name);
  const at = printEnd();
  if (at === FULL) return;
  printTook(putEscaped(bytes, at, at + printLeft(), facts, from, end));
  print(CRLF);
}
