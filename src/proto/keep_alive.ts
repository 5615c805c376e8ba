// The Keep-Alive field of an answer: how long its server keeps a connection that says nothing. An old
// habit that RFC 9112 (appendix C.2.2) only mentions, and that many servers follow.
import { FieldAt, findField, type Head, Name } from "./head.ts";
import { ascii, findText, Octet, OCTETS, Of } from "./octet.ts";

const TIMEOUT = ascii("timeout=");
const DIGITS_MAX = 9;

/** Seconds of the parameter `timeout`; 0: there is none, or it is no number. */
export function keepAliveSeconds(bytes: Uint8Array, head: Head): number {
  const field = findField(head, Name.KeepAlive);
  if (field < 0) return 0;
  const row = field * FieldAt.Length;
  const end = head.at + head.fields[row + FieldAt.ValueEnd];
  const at = findText(bytes, head.at + head.fields[row + FieldAt.Value], end, TIMEOUT);
  if (at < 0) return 0;
  let seconds = 0, digits = 0;
  for (let place = at + TIMEOUT.length; place < end && OCTETS[bytes[place]] & Of.Digit; place++) {
    if (++digits > DIGITS_MAX) return 0;
    seconds = seconds * 10 + bytes[place] - Octet.Zero;
  }
  return seconds;
}
