// A connection as it is listed: numbers, as the tables have them. What they mean is told for those alone that are
// shown. Whoever keeps another table of connections is one more `Source`.
import { PEER_BYTES } from "../../base/limits.ts";
import type { ClosingRow } from "../../shared/closing.ts";

/** What a connection is doing, for people. */
export const enum Doing {
  Introduction,
  Handshake,
  Idle,
  Queued,
  Connecting,
  Forwarding,
  Answering,
  Lingering,
  Open,
  ClientFinished,
  ServerFinished,
}

/** By Doing: the word, and what it says. */
export const DOINGS: readonly (readonly [name: string, text: string])[] = [
  ["introduction", "the PROXY header of the proxy before it is awaited"],
  ["handshake", "its TLS is being agreed on"],
  ["idle", "its next request is awaited"],
  ["queued", "it waits for a place at a server"],
  ["connecting", "its server is being connected"],
  ["forwarding", "request and answer are on their way"],
  ["answering", "Sluice itself answers"],
  ["lingering", "the answer is out; what the client still sends is dropped"],
  ["open", "both ends may send"],
  ["client-finished", "the client has sent its end of stream, the server has not"],
  ["server-finished", "the server has sent its end of stream, the client has not"],
];

/** Looks at one row before it is given up. */
export const LOOKS_MAX = 4;

/** Of a slot and its generation, which has 32 bits: another connection has another one. */
export function identityOf(slot: number, gen: number): number {
  return slot * 2 ** 32 + gen;
}

/** The slot and the generation again. */
export function slotOf(identity: number): ClosingRow {
  return { slot: Math.floor(identity / 2 ** 32), gen: identity % 2 ** 32 };
}

/** What is spoken. */
export const enum Speaks {
  Tcp,
  Http,
  Udp,
}

/** By Speaks. */
export const SPOKEN: readonly string[] = ["tcp", "http", "udp"];

/** One connection. A source fills the same object for each; whoever keeps one copies it. */
export interface Row {
  /** Whose it is, and the tag of his tables (tags.ts). */
  room: number;
  tag: string;
  /** Its place there, and what tells it from all others that had this place. */
  at: number;
  identity: number;
  doing: Doing;
  speaks: Speaks;
  /** Numbers; NONE where there is none (yet). */
  listener: number;
  upstream: number;
  server: number;
  /** Clocks of the reactors, in milliseconds. */
  openedMs: number;
  seenMs: number;
  /** What the client has sent, and what it was sent. */
  upBytes: number;
  downBytes: number;
  /** Requests that began; -1 where there are none. */
  requests: number;
  /** A peer record (see ffi/sluice.h). */
  readonly peer: Uint8Array;
}

/** What became of reading a row. */
export const enum Seen {
  /** It is a connection, and all that the row says was true of it at one time. */
  One,
  /** Nobody is there, or somebody who is leaving. */
  Nobody,
  /** It changed as fast as it was read. */
  Changed,
}

/** A table of connections that somebody else writes while it is read. */
export interface Source {
  readonly room: number;
  /** One more than the last row that may be in use. */
  readonly end: () => number;
  /** Whether it is still the table of those who write. */
  readonly isCurrent: () => boolean;
  /** Reads row `at` into `row`. */
  readonly read: (at: number, row: Row) => Seen;
}

export function emptyRow(): Row {
  return {
    room: 0,
    tag: "",
    at: 0,
    identity: 0,
    doing: Doing.Open,
    speaks: Speaks.Tcp,
    listener: 0,
    upstream: 0,
    server: 0,
    openedMs: 0,
    seenMs: 0,
    upBytes: 0,
    downBytes: 0,
    requests: -1,
    peer: new Uint8Array(PEER_BYTES),
  };
}

export function copyOf(row: Row): Row {
  return { ...row, peer: row.peer.slice() };
}
