// The part of the schema that is about TLS: what a listener presents and asks of its clients, and what is
// asked of servers. Files are named here and read elsewhere; what holds between keys is tls_checks.ts's.
import * as z from "zod";
import { duration, durationDoc, key, text } from "./keys.ts";
import {
  readAllowUrl,
  readAlpn,
  readDirectory,
  readDirectoryUrl,
  readEmail,
  readFilePath,
  readHmacKey,
  readKeyId,
  readPin,
  readServerName,
} from "./tls_values.ts";
import type { Range } from "./units.ts";

/** A certificate and its key. */
export interface CertificateFiles {
  /** The path of the chain, as it was written. */
  readonly cert: string;
  /** The same path if that file holds both. */
  readonly key: string;
  /** An answer of the authority, in DER. */
  readonly ocsp?: string;
}

/** What certificates are proved by (RFC 8555 section 8). */
export const CHALLENGES = ["http-01", "tls-alpn-01"] as const;
export type Challenge = typeof CHALLENGES[number];

/** Where certificates come from if nobody says it. */
export const ACME_DIRECTORY = "https://acme-v02.api.letsencrypt.org/directory";
/** Stands for the directory of whoever starts Sluice, until that is known (check.ts). */
export const STORAGE_OF_USER = "";
/** As defaultStorage in check.ts has it. */
const STORAGE_TEXT = "/var/lib/sluice/acme as root, else $XDG_STATE_HOME/sluice/acme or " +
  "~/.local/state/sluice/acme";

const PINS_MAX = 32;
/** Protocols that one place may name. */
export const ALPN_MAX = 16;
const HSTS_MS: Range = { min: 0, max: 3_650 * 86_400_000 };
const SECOND_MS = 1_000;
/** Certificates of one listener. */
const CERTIFICATES_MAX = 16_384;

function path(description: string, example: string) {
  return key(text(readFilePath).optional(), { description, placeholder: "FILE", example });
}

export function atMost(max: number) {
  return (list: readonly unknown[], context: z.RefinementCtx): void => {
    if (list.length <= max) return;
    const params = { remedy: `give at most ${max}` };
    context.addIssue({ code: "custom", message: `${list.length} of them`, params });
  };
}

const certificate = key(
  z.strictObject({
    cert: key(text(readFilePath), {
      description: "PEM: the certificate, then those that lead to its authority; one of several",
      placeholder: "FILE",
      flag: "--cert",
      many: true,
      example: "/etc/sluice/shop.example.pem",
    }),
    key: key(text(readFilePath).optional(), {
      description: "PEM: its private key",
      placeholder: "FILE",
      flag: "--key",
      many: true,
      example: "/etc/sluice/shop.example.key",
      defaultText: "the file of the certificate holds it",
    }),
    ocsp: path(
      "DER: what the authority says of the certificate, to be passed on (OCSP)",
      "shop.example.ocsp",
    ),
  }).transform(({ cert, key, ocsp }): CertificateFiles => ({
    cert,
    key: key ?? cert,
    ...(ocsp === undefined ? {} : { ocsp }),
  })),
  { description: "a certificate and its key", short: "cert" },
);

const acme = z.strictObject({
  email: key(text(readEmail).optional(), {
    description: "where the authority writes to that issues certificates (ACME)",
    placeholder: "EMAIL",
    flag: "--acme-email",
    example: "ops@shop.example",
  }),
  storage: key(text(readDirectory).optional(), {
    description: "the directory of the account and of what was issued; several Sluices may share it",
    placeholder: "DIRECTORY",
    defaultText: STORAGE_TEXT,
  }),
  directory: key(text(readDirectoryUrl).prefault(ACME_DIRECTORY), {
    description: "who issues certificates: the URL of its directory",
    placeholder: "URL",
  }),
  ca: path(
    "PEM: the authorities of the directory's own server, instead of those that are built in",
    "internal.pem",
  ),
  challenges: key(
    z.array(key(z.enum(CHALLENGES), {
      description: "a way to prove that a name is ours",
      placeholder: CHALLENGES.join("|"),
      later: ["dns-01"],
    })).min(1).optional(),
    {
      description: "how a name is proved to be ours; http-01 on port 80, tls-alpn-01 on port 443",
      placeholder: "[http-01, tls-alpn-01]",
      defaultText: "whichever can be answered",
    },
  ),
  "external-account": key(
    z.strictObject({
      "key-id": key(text(readKeyId), { description: "the name of the key", placeholder: "ID" }),
      "hmac-key": key(text(readHmacKey), {
        description: "the key, in base64url",
        placeholder: "KEY",
        secret: true,
      }),
    }).optional(),
    { description: "an account with the authority that was made elsewhere" },
  ),
  "on-demand": key(
    z.strictObject({
      allow: key(text(readAllowUrl), {
        description: "asked with ?domain=NAME before a certificate is; yes is a status of 200",
        placeholder: "URL",
        example: "http://127.0.0.1:9000/allowed",
      }),
    }).optional(),
    {
      description: "certificates for names that stand in no route, when a client asks for one",
      short: "allow",
    },
  ),
  "while-issuing": key(z.enum(["self-signed", "refuse"]).prefault("self-signed"), {
    description: "what a client gets before there is a certificate: one that nobody vouches for, or none",
    placeholder: "self-signed|refuse",
  }),
}).transform((given) => ({ ...given, storage: given.storage ?? STORAGE_OF_USER }));

const client = z.strictObject({
  mode: key(z.enum(["off", "ask", "require"]).prefault("off"), {
    description: "whether clients show a certificate: none is asked for, one may be shown, or must",
    placeholder: "off|ask|require",
  }),
  ca: path("PEM: the authorities whose certificates are taken", "clients.pem"),
  crl: path("PEM: the lists of those that are revoked, one of each authority in their chains", "clients.crl"),
});

/** What a listener's TLS is. */
export const listenerTls = z.strictObject({
  certificates: key(z.array(certificate).prefault([]).superRefine(atMost(CERTIFICATES_MAX)), {
    description: "which is presented is decided by name, then by what the client takes: RSA or ECDSA; the " +
      "first is for names that no other has",
  }),
  acme: key(acme.optional(), {
    description:
      "has certificates issued and renewed (ACME, RFC 8555) for the hosts of the routes; the same " +
      "wherever it stands",
    short: "email",
  }),
  policy: key(z.enum(["modern", "compatible"]).prefault("modern"), {
    description:
      "modern: TLS 1.2 and 1.3 with forward secrecy and AEAD; compatible: CBC for old clients as well",
    placeholder: "modern|compatible",
  }),
  client: key(client.prefault({}), { description: "certificates of clients", short: "mode" }),
  alpn: key(
    z.array(key(text(readAlpn), { description: "a protocol", placeholder: "PROTOCOL" })).min(1)
      .superRefine(atMost(ALPN_MAX)).optional(),
    {
      description: "protocols behind tls://, preferred first; HTTP's are known",
      placeholder: "[PROTOCOL]",
    },
  ),
});
export type ListenerTls = z.output<typeof listenerTls>;
export type Acme = z.output<typeof acme>;

/** How long browsers keep to https:// (RFC 6797). */
export const hsts = z.strictObject({
  "max-age": key(duration(HSTS_MS).prefault("365d"), {
    description: "how long a browser keeps to it; 0s takes it back",
    ...durationDoc(HSTS_MS),
  }),
  subdomains: key(z.boolean().prefault(false), {
    description: "for every name below as well",
    placeholder: "true|false",
    defaultText: "false",
  }),
  preload: key(z.boolean().prefault(false), {
    description: "agrees to be built into browsers, which is hard to take back",
    placeholder: "true|false",
    defaultText: "false",
  }),
}).superRefine((given, context) => {
  if (context.issues.length > 0 || given["max-age"] % SECOND_MS === 0) return;
  const params = { remedy: "write a duration such as 365d" };
  context.addIssue({ code: "custom", path: ["max-age"], message: "no whole seconds", params });
});

const serverTls = z.strictObject({
  ca: path("PEM: the authorities whose certificates are taken, instead of the system's", "internal.pem"),
  "server-name": key(text(readServerName).optional(), {
    description: "the name that is asked for and that the certificate must have",
    placeholder: "NAME",
    example: "api.internal",
    defaultText: "the server's own, from its address",
  }),
  cert: path("PEM: the certificate that Sluice shows to servers", "client.pem"),
  key: path("PEM: its private key; if not given, that file holds it", "client.key"),
  pins: key(
    z.array(key(text(readPin), { description: "one of them", placeholder: "BASE64" })).prefault([])
      .superRefine(atMost(PINS_MAX)),
    {
      description:
        "SHA-256 of public keys, in base64: the certificate, or one that leads to it, must have one",
      placeholder: "[BASE64]",
    },
  ),
  crl: path(
    "PEM: the lists of certificates that are revoked, one of each authority in their chains",
    "internal.crl",
  ),
  verify: key(z.enum(["on", "off"]).prefault("on"), {
    description: "whether servers must prove who they are",
    placeholder: "on|off",
  }),
});
export type ServerTls = z.output<typeof serverTls>;

/** What TLS to servers is if only their addresses ask for it. */
export const SERVER_TLS: ServerTls = { pins: [], verify: "on" };

/** What an upstream's TLS is. */
export const upstreamTls = serverTls.superRefine(({ cert, key }, context) => {
  if (key === undefined || cert !== undefined) return;
  const params = { remedy: "write cert: FILE as well" };
  context.addIssue({ code: "custom", path: ["key"], message: "a key without a certificate", params });
}).transform((given): ServerTls => ({ ...given, ...(given.cert ? { key: given.key ?? given.cert } : {}) }));
