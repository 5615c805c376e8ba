// Why a TLS handshake failed, as ffi/tls.c tells it: a fault, and behind it the number of the peer's alert
// or of OpenSSL's verification. Each that has words of its own is a row of TLS_FAULTS; logs keep its number.
import { Refusal } from "./refusal.ts";

/** As ffi/tls.h has them. */
export const enum Fault {
  None,
  PlainHttp,
  NotTls,
  Version,
  Cipher,
  Alert,
  NoCertificateGiven,
  Expired,
  NotYetValid,
  Authority,
  Name,
  Revoked,
  Certificate,
  Pin,
  Alpn,
  NoCertificateForName,
  Protocol,
  Gone,
}

/** Bits of a fault; the number is above. */
const FAULT_BITS = 8;
export const FAULT_MASK = 255;

export interface FaultText {
  readonly fault: Fault;
  /** Of the alert or the verification; 0: any without words of its own. */
  readonly number: number;
  readonly text: string;
}

/** Alerts: RFC 8446 section 6; numbers of verifications: X509_verify_cert_error_string(3). */
export const TLS_FAULTS: readonly FaultText[] = [
  [Fault.PlainHttp, 0, "It is plain HTTP."],
  [Fault.NotTls, 0, "It does not begin as TLS does."],
  [Fault.Version, 0, "There is no TLS version that both speak: Sluice speaks 1.2 and 1.3."],
  [Fault.Cipher, 0, "There is no cipher, group or signature that both know."],
  [Fault.Alert, 0, "An alert came that has no name here."],
  [Fault.Alert, 10, "Alert unexpected_message."],
  [Fault.Alert, 20, "Alert bad_record_mac."],
  [Fault.Alert, 22, "Alert record_overflow."],
  [Fault.Alert, 40, "Alert handshake_failure: it found nothing in common, or wants a client certificate."],
  [Fault.Alert, 42, "Alert bad_certificate."],
  [Fault.Alert, 43, "Alert unsupported_certificate."],
  [Fault.Alert, 44, "Alert certificate_revoked."],
  [Fault.Alert, 45, "Alert certificate_expired."],
  [Fault.Alert, 46, "Alert certificate_unknown: it does not trust the certificate."],
  [Fault.Alert, 47, "Alert illegal_parameter."],
  [Fault.Alert, 48, "Alert unknown_ca: it does not know who signed the certificate."],
  [Fault.Alert, 49, "Alert access_denied."],
  [Fault.Alert, 50, "Alert decode_error."],
  [Fault.Alert, 51, "Alert decrypt_error."],
  [Fault.Alert, 70, "Alert protocol_version: it speaks none of our TLS versions."],
  [Fault.Alert, 71, "Alert insufficient_security."],
  [Fault.Alert, 80, "Alert internal_error."],
  [Fault.Alert, 90, "Alert user_canceled."],
  [Fault.Alert, 109, "Alert missing_extension."],
  [Fault.Alert, 110, "Alert unsupported_extension."],
  [Fault.Alert, 112, "Alert unrecognized_name: it has no such host."],
  [Fault.Alert, 113, "Alert bad_certificate_status_response."],
  [Fault.Alert, 116, "Alert certificate_required: it wants a client certificate."],
  [Fault.Alert, 120, "Alert no_application_protocol: it speaks none of the protocols offered."],
  [Fault.NoCertificateGiven, 0, "No certificate was given."],
  [Fault.Expired, 0, "The certificate has expired."],
  [Fault.Expired, 12, "The revocation list has expired."],
  [Fault.NotYetValid, 0, "The certificate is not valid yet."],
  [Fault.NotYetValid, 11, "The revocation list is not valid yet."],
  [Fault.Authority, 0, "The certificate was signed by nobody who is trusted."],
  [Fault.Authority, 18, "The certificate is self-signed, and not one that is trusted."],
  [Fault.Authority, 19, "The certificate's chain ends in a self-signed one that is not trusted."],
  [Fault.Name, 0, "The certificate is for another name."],
  [Fault.Revoked, 0, "The certificate is revoked."],
  [Fault.Certificate, 0, "The certificate does not hold."],
  [Fault.Certificate, 3, "There is no revocation list of one of the authorities in its chain."],
  [Fault.Certificate, 7, "The certificate's signature is wrong."],
  [Fault.Certificate, 8, "The revocation list's signature is wrong."],
  [Fault.Certificate, 26, "The certificate is not for this purpose."],
  [Fault.Certificate, 66, "The certificate's key is too short."],
  [Fault.Certificate, 68, "The certificate is signed with a digest that is too weak."],
  [Fault.Pin, 0, "The key is none of the pinned ones."],
  [Fault.Alpn, 0, "There is no application protocol (ALPN) that both speak."],
  [Fault.NoCertificateForName, 0, "There is no certificate for that name."],
  [Fault.Protocol, 0, "TLS was broken off in a way that has no name here."],
  [Fault.Gone, 0, "The connection ended within the handshake."],
].map(([fault, number, text]) => ({ fault, number, text }) as FaultText);

/** By fault: its row for any number, and for each number that has one. */
const rows: number[][] = [];
TLS_FAULTS.forEach(({ fault, number }, row) => (rows[fault] ??= [])[number] = row);

/** The detail that stands for a fault in tables and logs (see DETAILS in detail.ts): at most 16 bits. */
export function detailOfFault(told: number): number {
  const of = rows[told & FAULT_MASK];
  return of === undefined ? 0 : Refusal.Count + (of[told >> FAULT_BITS] ?? of[0]);
}
