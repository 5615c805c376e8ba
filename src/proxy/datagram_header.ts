// PROXY headers of datagrams: each has its own in front, by which a proxy says whose it is, and by which servers are
// told of it in turn. There is no stream that one header could be at the beginning of: a datagram may be the first
// that arrives, or the only one. One that came without is refused.
import {
  ARENA_ASKING,
  ARENA_INTRODUCED,
  DATAGRAM_BYTES,
  DATAGRAM_INTS,
  DATAGRAMS_PER_CALL,
  NONE,
} from "../base/limits.ts";
import { isSameFlow } from "../net/flows.ts";
import { socketVerdict } from "../policy/guard.ts";
import { mayIntroduce } from "../policy/trust.ts";
import { detailOfFlaw } from "../proto/detail.ts";
import {
  INTRODUCTION_DESTINATION,
  INTRODUCTION_REST,
  Proxy,
  proxyBytes,
  proxyEnd,
  proxyFlaw,
  readProxy,
} from "../proto/proxy_header.ts";
import { Reason } from "../shared/reason.ts";
import { DatagramAt } from "../sys/symbols.ts";
import { arenaBytes, arenaInts } from "../sys/sys.ts";
import { admitted, admittedTold } from "./admission.ts";
import { plan } from "./context.ts";
import { greetDatagrams } from "./greeting.ts";

/** Of a peer record. */
const PORT = 2;
const ASKING_INTS = ARENA_ASKING / 4;
const ASKING_BUFFERS = ARENA_ASKING + DATAGRAMS_PER_CALL * DATAGRAM_INTS * 4;

/** After `unwrap`: where the peer record of the client is that was introduced, in integers of the arena; NONE: the
 * proxy sends for itself. */
export let introducedAt: number = NONE;
/** After a refusal: what `tellsDetail` says. */
export let unwrapDetail = 0;
/** Where the introduction at ARENA_INTRODUCED ends. */
let introductionEnd = 0;
/** Of the header that was read last. */
let headerBytes = 0;

/**
 * Reads the header of the datagram in record `record` of those that were asked, which begins `skip` behind the
 * beginning of its buffer and has `bytes`; from here on the record is of what is behind it.
 *
 * @returns None, or why the datagram is refused
 */
export function unwrap(listener: number, record: number, skip: number, bytes: number): Reason {
  const at = ASKING_INTS + record * DATAGRAM_INTS, from = bufferOf(record) + skip;
  unwrapDetail = 0;
  const senderAt = (at + DatagramAt.Client) * 4;
  if (!mayIntroduce(plan, listener, arenaBytes, senderAt)) {
    return socketVerdict(plan, listener, arenaBytes, senderAt); // denied, maybe
  }
  switch (readProxy(arenaBytes, from, from + bytes, ARENA_INTRODUCED, true)) {
    case Proxy.Found:
      break;
    case Proxy.Missing:
      return Reason.ProxyMissing;
    case Proxy.TooLong:
      return Reason.ProxyTooLong;
    default:
      unwrapDetail = detailOfFlaw(proxyFlaw);
      return Reason.ProxyMalformed;
  }
  headerBytes = proxyBytes;
  introductionEnd = proxyEnd;
  introducedAt = proxyEnd === 0 ? NONE : ARENA_INTRODUCED / 4;
  arenaInts[at + DatagramAt.Bytes] = bytes - headerBytes;
  arenaInts[at + DatagramAt.Skip] = skip + headerBytes;
  return Reason.None;
}

/** Unwraps the datagrams behind record `from`, which was unwrapped last, as long as they have the very same header
 * from the same sender. @returns the record behind them */
export function unwrapAlike(from: number, came: number): number {
  const first = ASKING_INTS + from * DATAGRAM_INTS;
  let record = from + 1;
  for (; record < came; record++) {
    const at = ASKING_INTS + record * DATAGRAM_INTS, bytes = arenaInts[at + DatagramAt.Bytes];
    if (arenaInts[at + DatagramAt.Cut] !== 0 || arenaInts[at + DatagramAt.Segment] !== 0) break;
    if (bytes < headerBytes || !isSameFlow(arenaInts, first, at) || !hasHeaderOf(from, record)) break;
    arenaInts[at + DatagramAt.Bytes] = bytes - headerBytes;
    arenaInts[at + DatagramAt.Skip] = headerBytes;
  }
  return record;
}

function hasHeaderOf(from: number, record: number): boolean {
  const one = bufferOf(from), other = bufferOf(record);
  for (let byte = 0; byte < headerBytes; byte++) {
    if (arenaBytes[one + byte] !== arenaBytes[other + byte]) return false;
  }
  return true;
}

function bufferOf(record: number): number {
  return ASKING_BUFFERS + record * DATAGRAM_BYTES;
}

/** Asks the guard of a listener about a client, and, where a proxy introduced it, about the proxy before that: what
 * denies the proxy denies all that it brings. Whoever is admitted is counted (admission.ts). */
export function admittedThrough(listener: number, senderAt: number, clientAt: number): Reason {
  if (senderAt === clientAt) return admitted(listener, clientAt);
  const verdict = socketVerdict(plan, listener, arenaBytes, senderAt);
  return verdict === Reason.None ? admittedTold(listener, clientAt) : verdict;
}

/** Nobody introduced the client whose datagram's record is at `at`: it stands for itself, and asked our address, at
 * `port`. */
export function introduceItself(at: number, port: number): void {
  const source = ARENA_INTRODUCED, destination = source + INTRODUCTION_DESTINATION;
  const client = (at + DatagramAt.Client) * 4, own = (at + DatagramAt.Own) * 4;
  arenaBytes.copyWithin(source, client, own);
  arenaBytes.copyWithin(destination, own, own + INTRODUCTION_REST - INTRODUCTION_DESTINATION);
  arenaBytes[destination + PORT] = port >> 8;
  arenaBytes[destination + PORT + 1] = port & 255;
  introductionEnd = source + INTRODUCTION_REST;
  if (arenaBytes[destination] !== 0) return;
  arenaBytes[destination] = arenaBytes[source]; // the kernel told none: that of a multicast is nobody's
}

/** What each datagram of a flow to its server begins with, from the introduction that was made or read last. False:
 * there is no memory for it. `sends`: SendProxy. */
export function preface(slot: number, sends: number): boolean {
  return greetDatagrams(slot, ARENA_INTRODUCED, introductionEnd, sends);
}
