// The part of the schema that is about what a server learns of its client, and a client of the server.
import * as z from "zod";
import { ForwardedShift } from "../../plan/plan.ts";
import { key } from "./keys.ts";

/** What becomes of one field: see Forwarding in the Plan. */
export type ForwardingWord = "append" | "replace" | "leave" | "off";

const WORDS = ["append", "replace", "leave", "off"] as const;

function field(fallback: ForwardingWord, description: string) {
  return key(z.enum(WORDS).prefault(fallback), { description, placeholder: WORDS.join("|") });
}

/** The fields of a request that tell about its client. What somebody says who is not trusted is never kept. */
export const forwarded = z.strictObject({
  "x-forwarded-for": field(
    "append",
    "X-Forwarded-For, the client's address: append puts it behind what came, replace says it alone, " +
      "leave passes on what came, off removes the field; what came is kept only from trust",
  ),
  "x-forwarded-proto": field("append", "X-Forwarded-Proto; append: unless it came"),
  "x-forwarded-host": field("append", "X-Forwarded-Host; append: unless it came"),
  "x-forwarded-port": field("append", "X-Forwarded-Port; append: unless it came"),
  "x-real-ip": field("append", "X-Real-IP; append: unless it came"),
  forwarded: field("off", "Forwarded (RFC 7239)"),
  via: field("append", "Via (RFC 9110), by which loops are found"),
  "x-request-id": field("append", "X-Request-ID; append: unless it came"),
  traceparent: field("leave", "traceparent (W3C Trace Context), whoever says it; append: unless it came"),
}).prefault({});

/** Where in the Plan each field's way is. */
export const FORWARDED_SHIFTS: Readonly<Record<keyof z.infer<typeof forwarded>, ForwardedShift>> = {
  "x-forwarded-for": ForwardedShift.XForwardedFor,
  "x-forwarded-proto": ForwardedShift.XForwardedProto,
  "x-forwarded-host": ForwardedShift.XForwardedHost,
  "x-forwarded-port": ForwardedShift.XForwardedPort,
  "x-real-ip": ForwardedShift.XRealIp,
  forwarded: ForwardedShift.Forwarded,
  via: ForwardedShift.Via,
  "x-request-id": ForwardedShift.XRequestId,
  traceparent: ForwardedShift.Traceparent,
};

/** Fields of requests that tell of a client's certificate, in lower case: where clients are asked for one, they are
 * always ours. */
export const CERTIFICATE_SHIFTS: Readonly<Record<string, ForwardedShift>> = {
  "client-cert": ForwardedShift.ClientCert,
  "x-client-cert-subject": ForwardedShift.ClientCertSubject,
  "x-client-cert-fingerprint": ForwardedShift.ClientCertFingerprint,
};

/** The fields of requests that are written anew at each hop, in lower case. */
export const FORWARDED_NAMES = Object.keys(FORWARDED_SHIFTS) as (keyof typeof FORWARDED_SHIFTS)[];
