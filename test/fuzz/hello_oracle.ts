// What a hello says, read the plain way: whole vectors, exceptions, texts. What `readHello` says must be the
// same, but that it may refuse before all bytes have come.
import { isIPv4 } from "node:net";
import { HELLO_BYTES_MAX, HELLO_RECORDS_MAX } from "../../src/base/limits.ts";
import { Hello } from "../../src/proto/client_hello.ts";
import { textOf } from "../proto/hello_fixture.ts";

export interface Expected {
  readonly verdict: Hello;
  readonly name: string;
  readonly alpn: readonly string[];
  readonly version: number;
  /** The hello in one piece, if all of it came. */
  readonly message: Uint8Array;
}

class Ended extends Error {
  readonly verdict: Hello;
  constructor(verdict: Hello) {
    super(`verdict ${verdict}`);
    this.verdict = verdict;
  }
}

/** Takes from the front; with nothing left it ends with a verdict. */
class Reader {
  #bytes: Uint8Array;
  readonly #short: Hello;

  constructor(bytes: Uint8Array, short: Hello) {
    this.#bytes = bytes;
    this.#short = short;
  }

  get left(): number {
    return this.#bytes.length;
  }

  take(count: number): Uint8Array {
    if (count > this.left) throw new Ended(this.#short);
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  number(bytes: number): number {
    return this.take(bytes).reduce((sum, byte) => 256 * sum + byte, 0);
  }

  vector(lengthBytes: number): Uint8Array {
    return this.take(this.number(lengthBytes));
  }
}

function must(condition: boolean, verdict = Hello.Malformed): asserts condition {
  if (!condition) throw new Ended(verdict);
}

export function expected(stream: Uint8Array): Expected {
  let message = new Uint8Array(0);
  const none = { name: "", alpn: [], version: 0 };
  try {
    message = messageOf(stream);
    return { verdict: Hello.Found, message, ...helloIn(message) };
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
    return { verdict: error.verdict, message, ...none };
  }
}

const METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PRI"];

function messageOf(stream: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = textOf(stream);
  if (METHODS.some((method) => text.startsWith(`${method} `))) throw new Ended(Hello.PlainHttp);
  if (METHODS.some((method) => `${method} `.startsWith(text))) throw new Ended(Hello.NeedMore);
  if (text[0] !== "\x16" || (text.length > 1 && text[1] !== "\x03")) throw new Ended(Hello.NotTls);

  const outer = new Reader(stream, Hello.NeedMore), gathered = new Uint8Array(stream.length);
  for (let records = 1, end = 0;; records++) {
    must(outer.number(1) === 22);
    must(outer.number(1) === 3);
    outer.number(1);
    const length = outer.number(2);
    must(length > 0 && length <= 2 ** 14);
    gathered.set(outer.take(length), end);
    const message = gathered.subarray(0, end += length);
    must(message[0] === 1);
    if (message.length < 4) continue;
    const bytes = 4 + 65_536 * message[1] + 256 * message[2] + message[3];
    must(bytes <= HELLO_BYTES_MAX, Hello.TooLarge);
    must(message.length <= bytes);
    if (message.length === bytes) return message;
    must(records < HELLO_RECORDS_MAX, Hello.TooLarge);
  }
}

function helloIn(message: Uint8Array): Omit<Expected, "verdict" | "message"> {
  const reader = new Reader(message.subarray(4), Hello.Malformed);
  const legacy = reader.number(2);
  must(legacy >> 8 === 3);
  reader.take(32);
  must(reader.vector(1).length <= 32);
  const ciphers = reader.vector(2);
  must(ciphers.length > 0 && ciphers.length % 2 === 0);
  must(reader.vector(1).length > 0);
  let name = "", alpn: string[] = [], version = Math.min(legacy, 0x0303);
  if (reader.left === 0) return { name, alpn, version };

  const extensions = new Reader(reader.vector(2), Hello.Malformed), seen = new Set<number>();
  must(reader.left === 0);
  while (extensions.left > 0) {
    const type = extensions.number(2), body = new Reader(extensions.vector(2), Hello.Malformed);
    if (![0, 16, 43].includes(type)) continue;
    must(!seen.has(type));
    seen.add(type);
    if (type === 0) name = nameIn(body);
    else if (type === 16) alpn = protocolsIn(body);
    else version = versionIn(body);
  }
  return { name, alpn, version };
}

function nameIn(body: Reader): string {
  const list = new Reader(body.vector(2), Hello.Malformed);
  must(list.number(1) === 0);
  const name = textOf(list.vector(2));
  must(name !== "" && list.left === 0 && body.left === 0);
  const text = name.replace(/\.$/, "");
  const legal = /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i.test(text) && text.length <= 253;
  must(legal && !isIPv4(text), Hello.BadName);
  return text.toLowerCase();
}

function protocolsIn(body: Reader): string[] {
  const list = new Reader(body.vector(2), Hello.Malformed), names: string[] = [];
  while (list.left > 0) names.push(textOf(list.vector(1)));
  must(names.length > 0 && !names.includes("") && body.left === 0);
  return names;
}

function versionIn(body: Reader): number {
  const list = new Reader(body.vector(1), Hello.Malformed), offered = [0];
  must(list.left > 0 && body.left === 0);
  while (list.left > 0) offered.push(list.number(2));
  return Math.max(...offered.filter((version) => version === 0 || version >> 8 === 3));
}
