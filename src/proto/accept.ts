// Which of the media types that we have an Accept field prefers (RFC 9110 sections 12.4.2 and 12.5.1). It is
// asked about errors: nothing is refused for what it says, and what makes no sense in it names nothing.
import { lower, Octet, OCTETS, Of, skipBlanks, trimEnd } from "./octet.ts";

const STAR = 42;
/** A weight of 1, in thousandths. */
const FULL = 1000;

/** How closely a range names a type. The closest decides that type's quality. */
const enum Rank {
  None,
  /** "text/*". */
  Wild,
  /** With parameters. What we have has none of them; it is meant where no plainer range names the type. */
  Narrow,
  Exact,
}

/** What the last `weigh` found: the range that decides, where it begins, and its weight. */
let rank: Rank = Rank.None;
let rangeAt = 0;
let quality = 0;

/** The index of the type that the Accept value [from, end) prefers; -1: it names none. `types` are in lower
 * case. The highest quality wins; then a type in full before one meant by "text/*", then what stands first,
 * then the first of `types`. Who takes everything, "*" for both, names none: the choice is left to us. */
export function preferred(
  bytes: Uint8Array,
  from: number,
  end: number,
  types: readonly Uint8Array[],
): number {
  let best = -1, bestQuality = 0, bestInFull = false, bestAt = end;
  for (let index = 0; index < types.length; index++) {
    weigh(bytes, from, end, types[index]);
    if (quality === 0 || quality < bestQuality) continue; // 0: not acceptable
    const inFull = rank > Rank.Wild;
    const behind = inFull === bestInFull ? rangeAt >= bestAt : bestInFull;
    if (quality === bestQuality && behind) continue;
    best = index;
    bestQuality = quality;
    bestInFull = inFull;
    bestAt = rangeAt;
  }
  return best;
}

/** Finds the range that decides about a type: the closest, of several as close the one with the highest
 * weight. The value is read once per type: there are few, and so nothing need be kept of each. */
function weigh(bytes: Uint8Array, from: number, end: number, type: Uint8Array): void {
  rank = Rank.None;
  quality = 0;
  for (let at = from; at < end; at++) {
    const range = skipBlanks(bytes, at, end);
    at = partEnd(bytes, range, end);
    let found = rankOf(bytes, range, trimEnd(bytes, range, at), type);
    let weight = FULL;
    while (at < end && bytes[at] === Octet.Semicolon) {
      const parameter = skipBlanks(bytes, at + 1, end);
      at = partEnd(bytes, parameter, end);
      const parameterEnd = trimEnd(bytes, parameter, at);
      // A weight is one wherever it stands (section 12.5.1); of several, the last.
      if (isWeight(bytes, parameter, parameterEnd)) weight = readWeight(bytes, parameter + 2, parameterEnd);
      else if (found === Rank.Exact && parameterEnd > parameter) found = Rank.Narrow;
    }
    const closer = found > rank || (found === rank && weight > quality);
    if (found === Rank.None || !closer) continue;
    rank = found;
    rangeAt = range;
    quality = weight;
  }
}

/** How closely the range [from, end), without parameters, names a type. */
function rankOf(bytes: Uint8Array, from: number, end: number, type: Uint8Array): Rank {
  const length = end - from;
  let same = 0;
  while (same < length && same < type.length && lower(bytes[from + same]) === type[same]) same++;
  if (same === length) return same === type.length ? Rank.Exact : Rank.None;
  const star = same === length - 1 && bytes[from + same] === STAR;
  return star && same > 0 && type[same - 1] === Octet.Slash ? Rank.Wild : Rank.None;
}

function isWeight(bytes: Uint8Array, from: number, end: number): boolean {
  return end - from >= 2 && lower(bytes[from]) === 0x71 && bytes[from + 1] === Octet.Equals;
}

/** A weight in thousandths (section 12.4.2); more decimals are cut off, and ".5" is taken, as an old client
 * writes it. A malformed one is as if there were none, so 1: the range was named all the same. */
function readWeight(bytes: Uint8Array, from: number, end: number): number {
  let at = from, digits = 0, weight = 0, unit = FULL;
  if (at < end && bytes[at] === Octet.Zero) {
    at++;
    digits++;
  }
  if (at < end && bytes[at] === Octet.Dot) {
    for (at++; at < end && (OCTETS[bytes[at]] & Of.Digit) !== 0; at++) {
      unit = (unit / 10) | 0;
      weight += (bytes[at] - Octet.Zero) * unit;
      digits++;
    }
  }
  return at === end && digits > 0 ? weight : FULL;
}

/** Where a range or a parameter ends: at the next ";" or "," outside a quoted string (section 5.6.4). One
 * that is not closed goes on to the end. */
function partEnd(bytes: Uint8Array, from: number, end: number): number {
  let quoted = false;
  for (let at = from; at < end; at++) {
    const octet = bytes[at];
    if (octet === Octet.Quote) quoted = !quoted;
    else if (quoted) at += octet === Octet.Backslash ? 1 : 0;
    else if (octet === Octet.Semicolon || octet === Octet.Comma) return at;
  }
  return end;
}
