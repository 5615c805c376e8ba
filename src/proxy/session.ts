// What a client's TLS tells about it: whether a request is for the host that its connection is for, and the
// certificate that servers are told of. Facts are C's; they are asked for where somebody needs them.
import { assert } from "../base/assert.ts";
import { ARENA_CERTIFICATE, CERTIFICATE_BYTES } from "../base/limits.ts";
import type { TemplateInputs } from "../policy/template.ts";
import type { Head } from "../proto/head.ts";
import { Octet } from "../proto/octet.ts";
import { TlsFact } from "../sys/symbols.ts";
import { arenaBytes, sys } from "../sys/sys.ts";

/** Whether the host of a request is one that its connection is for (RFC 9110 section 15.5.20): the name that the
 * client asked for, or another that the same certificate is good for, or that no certificate here is for. Who named
 * none has no other choice. */
export function isForUs(slot: number, head: Head): boolean {
  const from = head.at + head.host;
  let bytes = head.hostEnd - head.host;
  if (bytes > 1 && arenaBytes[from + bytes - 1] === Octet.Dot) bytes--; // the root's: the same name
  if (bytes === 0) return true; // of HTTP/1.0
  const covers = sys.tls_covers(slot, from, bytes);
  assert(covers >= 0, "session: tls_covers broke its contract");
  return covers === 1;
}

const FINGERPRINT_BYTES_MAX = 129;
const SUBJECT_BYTES_MAX = 2_048;
const CERTIFICATE_BYTES_MAX = CERTIFICATE_BYTES - SUBJECT_BYTES_MAX - FINGERPRINT_BYTES_MAX;

/** Makes `inputs` know the certificate that the client has shown; without one, that there is none. */
export function readCertificate(slot: number, inputs: TemplateInputs): void {
  inputs.facts = arenaBytes;
  inputs.certificateAt = ARENA_CERTIFICATE;
  inputs.certificateEnd = read(slot, TlsFact.Certificate, inputs.certificateAt, CERTIFICATE_BYTES_MAX);
  inputs.subjectAt = ARENA_CERTIFICATE + CERTIFICATE_BYTES_MAX;
  inputs.subjectEnd = read(slot, TlsFact.Subject, inputs.subjectAt, SUBJECT_BYTES_MAX);
  inputs.fingerprintAt = inputs.subjectAt + SUBJECT_BYTES_MAX;
  inputs.fingerprintEnd = read(slot, TlsFact.Fingerprint, inputs.fingerprintAt, FINGERPRINT_BYTES_MAX);
}

/** Reads a fact. @returns where it ends; one that fills its place may have been cut, and is left out */
function read(slot: number, which: TlsFact, at: number, most: number): number {
  const count = sys.tls_fact(slot, which, at, most);
  assert(count >= 0, "session: tls_fact broke its contract");
  return count === most ? at : at + count;
}
