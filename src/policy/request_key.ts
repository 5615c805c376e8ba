// What rules that hash go by of a request: its path, a field, a cookie. Who has none of it goes by its client.
import { HashKey, type Plan } from "../plan/plan.ts";
import { FieldAt, type Head, Name } from "../proto/head.ts";
import { Octet, OCTETS, Of } from "../proto/octet.ts";
import { clientKey, hashBytes, NO_KEY } from "./hash.ts";
import { sameFolded } from "./route.ts";

/**
 * The key of the request whose head is in `bytes`; the client's address record (see ffi/sluice.h) is at
 * client[clientAt].
 *
 * @returns 32 bits; NO_KEY: it has nothing of what is asked for, and its client no address.
 */
export function requestKey(
  plan: Plan,
  upstream: number,
  bytes: Uint8Array,
  head: Head,
  client: Uint8Array,
  clientAt: number,
): number {
  return valueKey(plan, upstream, bytes, head) || clientKey(plan, upstream, client, clientAt);
}

/** Without the client. */
function valueKey(plan: Plan, upstream: number, bytes: Uint8Array, head: Head): number {
  switch (plan.upstreamKey[upstream]) {
    case HashKey.Path:
      return keyOf(bytes, head.at + head.path, head.at + head.pathEnd);
    case HashKey.Field:
      return fieldKey(plan, upstream, bytes, head);
    case HashKey.Cookie:
      return cookieKey(plan, upstream, bytes, head);
    default:
      return NO_KEY;
  }
}

function keyOf(bytes: Uint8Array, from: number, end: number): number {
  return hashBytes(bytes, from, end) || 1;
}

/** Of the first field of that name. */
function fieldKey(
  { arena, upstreamKeyAt, upstreamKeyBytes }: Plan,
  upstream: number,
  bytes: Uint8Array,
  head: Head,
): number {
  const name = upstreamKeyAt[upstream], length = upstreamKeyBytes[upstream], { fields } = head;
  for (let field = 0; field < head.fieldCount; field++) {
    const at = field * FieldAt.Length;
    if (fields[at + FieldAt.NameEnd] - fields[at + FieldAt.Name] !== length) continue;
    if (!sameFolded(bytes, head.at + fields[at + FieldAt.Name], arena, name, length)) continue;
    return keyOf(bytes, head.at + fields[at + FieldAt.Value], head.at + fields[at + FieldAt.ValueEnd]);
  }
  return NO_KEY;
}

/** Of the first cookie of that name (RFC 6265 section 4.2.1), whose names differ by case. */
function cookieKey(
  { arena, upstreamKeyAt, upstreamKeyBytes }: Plan,
  upstream: number,
  bytes: Uint8Array,
  head: Head,
): number {
  const name = upstreamKeyAt[upstream], length = upstreamKeyBytes[upstream];
  for (let field = 0; field < head.fieldCount; field++) {
    const fieldAt = field * FieldAt.Length;
    if (head.fields[fieldAt + FieldAt.Known] !== Name.Cookie) continue;
    const end = head.at + head.fields[fieldAt + FieldAt.ValueEnd];
    for (let at = head.at + head.fields[fieldAt + FieldAt.Value], next; at < end; at = next) {
      let pairEnd = at;
      while (pairEnd < end && bytes[pairEnd] !== Octet.Semicolon) pairEnd++;
      next = pairEnd + 1;
      while (at < pairEnd && OCTETS[bytes[at]] & Of.Blank) at++;
      while (pairEnd > at && OCTETS[bytes[pairEnd - 1]] & Of.Blank) pairEnd--;
      let same = 0;
      while (same < length && at + same < pairEnd && bytes[at + same] === arena[name + same]) same++;
      if (same === length && at + same < pairEnd && bytes[at + same] === Octet.Equals) {
        return keyOf(bytes, at + same + 1, pairEnd);
      }
    }
  }
  return NO_KEY;
}
