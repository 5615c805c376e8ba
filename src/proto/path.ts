// The path of a request as routing sees it: decoded once, so that one spelling of a path cannot pass where
// another is refused. What is forwarded is what arrived, unless a rewrite says otherwise.
//
// - %XX is decoded, but for "%2F", "%5C" and "%25", which stay as they are (in upper case): an encoded slash
//   or backslash never separates, and decoding twice is the same as decoding once.
// - "." and ".." segments are resolved (RFC 3986 section 5.2.4), spelled as "%2e" or not. ".." above the
//   root, %00 and a "%" without two hexadecimal digits are refused (400).
// - Where two readers could take ".." in two ways, the path is refused: when it takes away an empty segment
//   (who merges slashes takes another), or one that holds an encoded slash or a backslash; and when it stands
//   beside one of those within a segment ("..%2Fx").
// - Slashes are not merged, letters keep their case, ";" and what follows is part of its segment ("..;" is
//   no dot segment), "\" is a character like any other.
// - An empty path (absolute form) is "/". What does not begin with "/" ("*", an authority) stays as it is.
import { assert } from "../base/assert.ts";
import { hexValue, Octet, OCTETS, Of } from "./octet.ts";
import { Refusal } from "./refusal.ts";

/** Why a path is refused; the answer is 400. */
export const enum BadPath {
  Escape = -1,
  Nul = -2,
  AboveRoot = -3,
  Ambiguous = -4,
}

/** What a message whose path is refused is told. */
export function refusalOf(bad: number): Refusal {
  switch (bad) {
    case BadPath.AboveRoot:
      return Refusal.PathAboveRoot;
    case BadPath.Ambiguous:
      return Refusal.AmbiguousPath;
    default:
      return Refusal.BadEscape;
  }
}

const PERCENT = 0x25;
const BACKSLASH = 0x5c;

/** Whether a path is its own decoded form, as nearly all are: no "%", no "\\", no "/.", not empty. */
export function isDecoded(bytes: Uint8Array, from: number, end: number): boolean {
  let before = 0;
  for (let at = from; at < end; at++) {
    const byte = bytes[at];
    if (byte === PERCENT || byte === BACKSLASH || (byte === Octet.Dot && before === Octet.Slash)) {
      return false;
    }
    before = byte;
  }
  return from < end;
}

/**
 * Writes the decoded form of the path [from, end) to `out` at `outAt`, which needs room for one byte, or for
 * as many as the path has.
 *
 * @returns where it ends, or a BadPath (< 0).
 */
export function decodePath(
  bytes: Uint8Array,
  from: number,
  end: number,
  out: Uint8Array,
  outAt: number,
): number {
  assert(outAt + Math.max(end - from, 1) <= out.length, "path: no room for a decoded path");
  if (from === end) {
    out[outAt] = Octet.Slash;
    return outAt + 1;
  }
  if (bytes[from] !== Octet.Slash) {
    for (let at = from; at < end; at++) out[outAt + at - from] = bytes[at];
    return outAt + end - from;
  }
  out[outAt] = Octet.Slash;
  const root = outAt + 1;
  let to = root, segment = root;
  for (let at = from + 1; at < end; at++) {
    const byte = bytes[at];
    if (byte === Octet.Slash) {
      const resolved = resolveDots(out, root, segment, to);
      if (resolved < 0) return resolved;
      if (resolved === to) out[to++] = Octet.Slash; // a dot segment takes its slash with it
      else to = resolved;
      segment = to;
    } else if (byte === PERCENT) {
      to = decodeEscape(bytes, at, end, out, to);
      if (to < 0) return to;
      at += 2;
    } else {
      out[to++] = byte;
    }
  }
  return resolveDots(out, root, segment, to);
}

/** The end of the path when its last segment, [segment, to), is a dot segment and goes; else `to`. */
function resolveDots(out: Uint8Array, root: number, segment: number, to: number): number {
  const length = to - segment;
  if (length > 2) return hidesParent(out, segment, to) ? BadPath.Ambiguous : to;
  if (length === 0 || out[segment] !== Octet.Dot) return to;
  if (length === 1) return segment;
  if (out[segment + 1] !== Octet.Dot) return to;
  if (segment === root) return BadPath.AboveRoot;
  let parent = segment - 1;
  while (out[parent - 1] !== Octet.Slash) {
    if (isHiddenSlash(out, parent - 1, segment)) return BadPath.Ambiguous;
    parent--;
  }
  return parent === segment - 1 ? BadPath.Ambiguous : parent;
}

/** Whether ".." is a part of a segment, between what other readers may take for slashes. */
function hidesParent(out: Uint8Array, segment: number, to: number): boolean {
  for (let at = segment, from = segment; at <= to; at++) {
    if (at < to && !isHiddenSlash(out, at, to)) continue;
    const isWhole = from === segment && at === to;
    if (!isWhole && at - from === 2 && out[from] === Octet.Dot && out[from + 1] === Octet.Dot) return true;
    if (at < to && out[at] === PERCENT) at += 2;
    from = at + 1;
  }
  return false;
}

/** "%2F", "%5C" as they are left, or "\\". */
function isHiddenSlash(out: Uint8Array, at: number, end: number): boolean {
  if (out[at] === BACKSLASH) return true;
  if (out[at] !== PERCENT || at + 2 >= end) return false;
  return (out[at + 1] === 0x32 && out[at + 2] === LETTER_F) ||
    (out[at + 1] === 0x35 && out[at + 2] === LETTER_C);
}

/** Writes what the escape at `at` stands for; returns the new end, or a BadPath. */
function decodeEscape(bytes: Uint8Array, at: number, end: number, out: Uint8Array, to: number): number {
  if (at + 2 >= end || !(OCTETS[bytes[at + 1]] & OCTETS[bytes[at + 2]] & Of.Hex)) return BadPath.Escape;
  const byte = (hexValue(bytes[at + 1]) << 4) | hexValue(bytes[at + 2]);
  if (byte === 0) return BadPath.Nul;
  if (byte !== Octet.Slash && byte !== BACKSLASH && byte !== PERCENT) {
    out[to] = byte;
    return to + 1;
  }
  out[to] = PERCENT;
  out[to + 1] = bytes[at + 1]; // a decimal digit: these three are 2F, 5C and 25
  out[to + 2] = byte === Octet.Slash ? LETTER_F : byte === BACKSLASH ? LETTER_C : bytes[at + 2];
  return to + 3;
}

const LETTER_C = 0x43;
const LETTER_F = 0x46;
