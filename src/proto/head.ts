// The neutral head of a message: what a codec found, what policy decides on, what a printer writes.
// Names and values are never copied: a head is offsets into the bytes it was parsed from, relative to
// `at`, so that moving the bytes changes one number. Knows no protocol, no socket, no clock.
// Invariant: offsets lie in [0, bytes), the parsed head itself.
import { FIELDS_MAX } from "../base/limits.ts";

/** Methods that framing or policy must tell apart (RFC 9110 section 9); all others are Other. */
export const enum Method {
  Other,
  Get,
  Head,
  Post,
  Put,
  Delete,
  Connect,
  Options,
  Trace,
  Patch,
}

/** The form of a request target (RFC 9112 section 3.2). */
export const enum Form {
  Origin,
  Absolute,
  Authority,
  Asterisk,
}

/** How the end of a body is known (RFC 9112 section 6.3). */
export const enum Framing {
  /** No body. */
  None,
  Length,
  Chunked,
  /** Answers only: until the server closes. */
  UntilClose,
}

/** Fields that framing, forwarding or policy must know by name; all others are Other. */
export const enum Name {
  Other,
  Host,
  ContentLength,
  TransferEncoding,
  Connection,
  KeepAlive,
  ProxyConnection,
  ProxyAuthenticate,
  ProxyAuthorization,
  Te,
  Trailer,
  Upgrade,
  Expect,
  Cookie,
  Date,
  Server,
  Via,
  Forwarded,
  XForwardedFor,
  XForwardedProto,
  XForwardedHost,
  XForwardedPort,
  XRealIp,
  XRequestId,
  Traceparent,
  ProxyStatus,
  Referer,
  UserAgent,
  MaxForwards,
  /** Like one of those above, but for underscores where it has hyphens: CGI and WSGI read both alike. */
  Lookalike,
}

/** What a head says besides its fields. */
export const enum HeadFlag {
  /** HTTP/1.0. */
  Old = 1,
  /** The connection may be used again after this message (RFC 9112 section 9.3). */
  Persistent = 2,
  /** Expect: 100-continue. */
  Continue = 4,
  /** Upgrade is among the options of Connection, and there is an Upgrade field. */
  Upgrade = 8,
  /** A Connection field names other fields. */
  ConnectionNames = 16,
  /** TE: trailers. */
  Trailers = 32,
  /** The host is an IPv6 or IPv4 literal. */
  HostLiteral = 64,
}

/** Integers of a field in `Head.fields`. */
export const enum FieldAt {
  Name,
  NameEnd,
  Value,
  ValueEnd, // without white space at either end
  Known, // Name
  Length = 8,
}

/** One head. Made once, filled by each parse. */
export interface Head {
  /** Where the head begins in the bytes it was parsed from; every other offset is relative to it. */
  at: number;
  /** Its length, the empty line included. */
  bytes: number;
  flags: number; // HeadFlag
  framing: Framing;
  /** Bytes of the body when framing is Length; 0 otherwise. */
  length: number;
  /** `fields[field * FieldAt.Length + FieldAt.Name]`, ... */
  readonly fields: Int32Array;
  fieldCount: number;
  /** First line, without its CRLF: [0, lineEnd). */
  lineEnd: number;

  /** Requests. */
  method: Method;
  methodEnd: number;
  form: Form;
  target: number;
  targetEnd: number;
  /** The path within the target; in absolute form it may be empty, in authority form it is, in asterisk form
   * it is the asterisk. */
  path: number;
  pathEnd: number;
  /** The query, without its "?"; empty when there is none. */
  query: number;
  queryEnd: number;
  /** The name the request is for: absolute form's authority, else Host; without the port. Empty: none. */
  host: number;
  hostEnd: number;
  /** The whole authority, port included. */
  authority: number;
  authorityEnd: number;

  /** Answers. */
  status: number;
}

export function makeHead(): Head {
  return {
    at: 0,
    bytes: 0,
    flags: 0,
    framing: Framing.None,
    length: 0,
    fields: new Int32Array(FIELDS_MAX * FieldAt.Length),
    fieldCount: 0,
    lineEnd: 0,
    method: Method.Other,
    methodEnd: 0,
    form: Form.Origin,
    target: 0,
    targetEnd: 0,
    path: 0,
    pathEnd: 0,
    query: 0,
    queryEnd: 0,
    host: 0,
    hostEnd: 0,
    authority: 0,
    authorityEnd: 0,
    status: 0,
  };
}

/** The first field of that name at or after `from`, or -1. */
export function findField(head: Head, known: Name, from = 0): number {
  for (let field = from; field < head.fieldCount; field++) {
    if (head.fields[field * FieldAt.Length + FieldAt.Known] === known) return field;
  }
  return -1;
}
