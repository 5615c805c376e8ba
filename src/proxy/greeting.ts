// What a server's connection begins with where its upstream is told of clients (PROXY protocol): before TLS, before
// the client's first byte. Whoever was introduced to us is introduced in the same words: its addresses, and the
// fields (TLV) that came with them. A health check has no client, and says so.
import {
  ADDRESS_BYTES,
  ARENA_PRINT,
  ARENA_RECEIVE,
  ARENA_SCRATCH,
  NONE,
  PEER_BYTES,
  PRINT_BYTES,
  PROXY_BYTES_MAX,
} from "../base/limits.ts";
import { randomBits } from "../base/random.ts";
import { slotGen } from "../net/slots.ts";
import { SendProxy } from "../plan/plan.ts";
import { putHex } from "../proto/http1_print.ts";
import {
  INTRODUCTION_DESTINATION,
  INTRODUCTION_REST,
  PROXY_PATHS_BYTES,
  Tlv,
  TLV_HEADER_BYTES,
} from "../proto/proxy_header.ts";
import { beginProxy, beginTlv, finishProxy, finishTlv, printProxyLine } from "../proto/proxy_print.ts";
import { Reason } from "../shared/reason.ts";
import { EAGAIN, ENOBUFS } from "../sys/errno.ts";
import { TlsFact } from "../sys/symbols.ts";
import { arenaBytes, sys, wallMs } from "../sys/sys.ts";

/** Where the introduction is put, and the header behind which it is made. */
const INTRODUCTION = ARENA_RECEIVE;
const HEADER = ARENA_PRINT;
const HEADER_END = ARENA_PRINT + PRINT_BYTES;

/** A unix path of a socket, as an address record has it, and as a header does. */
const FAMILY_UNIX = 1;
const PATH_LENGTH = 1;
const PATH = 4;
const HALF_OF_PATHS = PROXY_PATHS_BYTES / 2;

/** Bits of the field about TLS: it came by TLS; a certificate came with this connection, with its session. */
const CLIENT_SSL = 1;
const CLIENT_CERTIFICATE = 2;
const SESSION_CERTIFICATE = 4;
const FACT_BYTES_MAX = 256;

/** The errno behind the reason that `greet` gave. */
export let greetErrno = 0;

/**
 * Tells the server at slot `up`, whose connection is new, of the client at slot `down`; NONE: there is none.
 * `sends`: SendProxy.
 *
 * @returns Reason.None, or why the connection is of no use: a part of a header is none
 */
export function greet(up: number, down: number, sends: number): Reason {
  const from = down === NONE ? -1 : INTRODUCTION, most = down === NONE ? 0 : introduction(down);
  const end = (sends & SendProxy.Version) === SendProxy.V1
    ? printProxyLine(HEADER, HEADER_END, arenaBytes, from)
    : printHeader(down, from, most, sends, false);
  const bytes = end - HEADER, sent = sys.send(up, HEADER, bytes, 0);
  if (sent === bytes) return Reason.None;
  greetErrno = sent < 0 && sent !== -EAGAIN ? -sent : ENOBUFS;
  return greetErrno === ENOBUFS ? Reason.OutOfResources : Reason.ServerReset;
}

/**
 * Tells the server at slot `flow`, a socket of datagrams, of its client: before each datagram from here on. The
 * introduction is in [from, end) of the arena; `sends`: SendProxy, of which version 1 and TLS are not for datagrams.
 *
 * @returns whether there is memory for it
 */
export function greetDatagrams(flow: number, from: number, end: number, sends: number): boolean {
  const bytes = printHeader(flow, from, end, sends & ~SendProxy.Tls, true) - HEADER;
  return sys.udp_preface(flow, HEADER, bytes) === 0;
}

/** Puts what is known of the client's addresses at INTRODUCTION. @returns where it ends */
function introduction(down: number): number {
  const kept = sys.introduction(down, INTRODUCTION, 2 * PROXY_BYTES_MAX);
  if (kept > 0) return INTRODUCTION + kept;
  const destination = INTRODUCTION + INTRODUCTION_DESTINATION, rest = INTRODUCTION + INTRODUCTION_REST;
  sys.client(down, INTRODUCTION);
  if (sys.sockname(down, ARENA_SCRATCH) < 0) {
    arenaBytes.fill(0, ARENA_SCRATCH, ARENA_SCRATCH + ADDRESS_BYTES);
  }
  arenaBytes.copyWithin(destination, ARENA_SCRATCH, ARENA_SCRATCH + PEER_BYTES);
  if (arenaBytes[INTRODUCTION] !== FAMILY_UNIX) return rest;
  const path = rest + HALF_OF_PATHS;
  arenaBytes.fill(0, rest, rest + PROXY_PATHS_BYTES);
  arenaBytes.copyWithin(
    path,
    ARENA_SCRATCH + PATH,
    ARENA_SCRATCH + PATH + arenaBytes[ARENA_SCRATCH + PATH_LENGTH],
  );
  return rest + PROXY_PATHS_BYTES;
}

/** Version 2. `introductionEnd`: where the introduction at `from` ends. */
function printHeader(
  down: number,
  from: number,
  introductionEnd: number,
  sends: number,
  datagram: boolean,
): number {
  let end = beginProxy(arenaBytes, HEADER, HEADER_END, from, datagram);
  if (from >= 0) {
    const isSealed = (sends & SendProxy.Tls) !== 0 && fact(down, TlsFact.Version, ARENA_SCRATCH) > 0;
    const paths = arenaBytes[from] === FAMILY_UNIX ? PROXY_PATHS_BYTES : 0;
    const wantsId = (sends & SendProxy.UniqueId) !== 0;
    end = keepFields(from + INTRODUCTION_REST + paths, introductionEnd, end, isSealed, wantsId ? down : NONE);
    if (sends & SendProxy.Tls) end = tellTls(down, end, isSealed);
  }
  return finishProxy(arenaBytes, HEADER, end, (sends & SendProxy.Checksum) !== 0);
}

/** Copies the fields of [at, until) behind `end`, but those about a TLS that ended before ours, if ours ends here
 * (`isSealed`). Adds a unique id of the client at slot `down` if none came; NONE: none is wanted. */
function keepFields(at: number, until: number, end: number, isSealed: boolean, down: number): number {
  let into = end, hasId = false;
  for (let field = at; field < until;) {
    const type: Tlv = arenaBytes[field];
    const next = field + TLV_HEADER_BYTES + (arenaBytes[field + 1] << 8 | arenaBytes[field + 2]);
    const isOurs = isSealed && (type === Tlv.Ssl || type === Tlv.Alpn || type === Tlv.Authority);
    if (type === Tlv.UniqueId) hasId = true;
    if (!isOurs) {
      arenaBytes.copyWithin(into, field, next);
      into += next - field;
    }
    field = next;
  }
  if (down === NONE || hasId) return into;
  const value = beginTlv(arenaBytes, into, Tlv.UniqueId);
  return finishTlv(arenaBytes, into, putUniqueId(down, value));
}

/** The first half of every unique id of this reactor. */
let own: readonly [number, number] = [0, 0];

/** A reactor begins: its unique ids are like nobody's. */
export function greetingsOpen(): void {
  own = [randomBits(), wallMs() | 0];
}

/** 32 hexadecimal digits: the same for every server that this client's connection is led to. */
function putUniqueId(down: number, at: number): number {
  putHex(arenaBytes, at, own[0]);
  putHex(arenaBytes, at + 8, own[1]);
  putHex(arenaBytes, at + 16, slotGen[down]);
  putHex(arenaBytes, at + 24, down);
  return at + 32;
}

/** Adds what is known of the client's TLS: the name that it asked for, even if its TLS is passed on; and of a TLS that
 * ends here (`isSealed`) the protocol, the version, the cipher, and whose certificate came. */
function tellTls(down: number, at: number, isSealed: boolean): number {
  let end = tellFact(down, at, Tlv.Authority, TlsFact.Name);
  if (!isSealed) return end;
  end = tellFact(down, end, Tlv.Alpn, TlsFact.Protocol);
  const field = end, value = beginTlv(arenaBytes, field, Tlv.Ssl);
  const certified = fact(down, TlsFact.Fingerprint, ARENA_SCRATCH) > 0;
  const resumed = fact(down, TlsFact.Resumed, ARENA_SCRATCH) > 0;
  arenaBytes[value] = CLIENT_SSL |
    (certified ? SESSION_CERTIFICATE | (resumed ? 0 : CLIENT_CERTIFICATE) : 0);
  arenaBytes.fill(0, value + 1, value + 5);
  if (!certified) arenaBytes[value + 4] = 1; // not verified
  end = tellFact(down, value + 5, Tlv.SslVersion, TlsFact.Version);
  if (certified) end = tellFact(down, end, Tlv.SslCommonName, TlsFact.CommonName);
  end = tellFact(down, end, Tlv.SslCipher, TlsFact.Cipher);
  return finishTlv(arenaBytes, field, end);
}

/** A field with a fact of a session, if there is one. */
function tellFact(down: number, at: number, type: Tlv, which: TlsFact): number {
  const value = beginTlv(arenaBytes, at, type), bytes = fact(down, which, value);
  return bytes === 0 ? at : finishTlv(arenaBytes, at, value + bytes);
}

/** One that fills its place may have been cut, and counts as none. */
function fact(down: number, which: TlsFact, at: number): number {
  const bytes = sys.tls_fact(down, which, at, FACT_BYTES_MAX);
  return bytes === FACT_BYTES_MAX ? 0 : bytes;
}
