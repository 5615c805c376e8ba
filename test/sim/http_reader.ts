// What Sluice sends, read as HTTP/1.1 by somebody who is not Sluice: its own codec is what is tested. As
// strict as a sender's promises are: no extensions, no bare LF, nothing that two readers take in two ways.
import { Mismatch } from "./peer.ts";

/** How a body ends: its length, by chunks, at the end of the stream, or there is no next message. */
export type Ending = number | "chunked" | "close" | "raw";

export interface Spoken {
  /** The first line. */
  readonly first: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** Who listens to a stream of messages. */
export interface Listener {
  /** A first line is whole. */
  line(first: string): void;
  /** A head is whole: how its body ends. "skip": it was an interim one, another head follows. */
  head(spoken: Spoken): Ending | "skip";
  body(view: Uint8Array): void;
  /** A message is whole. */
  end(): void;
}

const enum Phase {
  Line,
  Fields,
  Length,
  Size,
  Data,
  DataEnd,
  Trailer,
  Close,
  Raw,
}

const LINE_BYTES_MAX = 20_000;
const LF = 0x0a;

export class Reader {
  /** Bytes of the stream so far, and up to the end of the last head. */
  seen = 0;
  headEnd = 0;
  readonly #name: string;
  readonly #listener: Listener;
  #phase: Phase = Phase.Line;
  #line = "";
  #first = "";
  #fields = new Map<string, string>();
  #left = 0;

  constructor(name: string, listener: Listener) {
    this.#name = name;
    this.#listener = listener;
  }

  /** Nothing of a message has come, or all of it. */
  get isBetween(): boolean {
    return this.#phase === Phase.Line && this.#line === "";
  }

  /** The end of the stream would end the message. */
  get lastsUntilClose(): boolean {
    return this.#phase === Phase.Close;
  }

  see(view: Uint8Array): void {
    for (let at = 0; at < view.length;) {
      const taken = this.#see(view.subarray(at));
      at += taken;
    }
  }

  /** From here on it is no HTTP any more. */
  becomeRaw(): void {
    if (!this.isBetween) this.fail("switches in the middle of a message");
    this.#phase = Phase.Raw;
  }

  fail(what: string): never {
    throw new Mismatch(`${this.#name}, byte ${this.seen}: ${what}`);
  }

  #see(view: Uint8Array): number {
    switch (this.#phase) {
      case Phase.Length:
      case Phase.Data:
        return this.#seeCounted(view.subarray(0, this.#left));
      case Phase.Close:
      case Phase.Raw:
        this.seen += view.length;
        this.#listener.body(view);
        return view.length;
      default:
        return this.#seeLine(view);
    }
  }

  #seeCounted(view: Uint8Array): number {
    this.seen += view.length;
    this.#left -= view.length;
    this.#listener.body(view);
    if (this.#left === 0) {
      if (this.#phase === Phase.Data) this.#phase = Phase.DataEnd;
      else this.#end();
    }
    return view.length;
  }

  #seeLine(view: Uint8Array): number {
    const end = view.indexOf(LF) + 1, taken = end === 0 ? view.length : end;
    this.#line += Buffer.from(view.buffer, view.byteOffset, taken).toString("latin1");
    this.seen += taken;
    if (this.#line.length > LINE_BYTES_MAX) this.fail("a line without an end");
    if (end === 0) return taken;
    if (!this.#line.endsWith("\r\n")) this.fail(`a bare LF behind ${JSON.stringify(this.#line)}`);
    const line = this.#line.slice(0, -2);
    this.#line = "";
    this.#takeLine(line);
    return taken;
  }

  #takeLine(line: string): void {
    switch (this.#phase) {
      case Phase.Line:
        this.#first = line;
        this.#fields = new Map();
        this.#phase = Phase.Fields;
        return this.#listener.line(line);
      case Phase.Fields:
        if (line === "") return this.#takeHead();
        return this.#takeField(line);
      case Phase.Size:
        if (!/^[0-9a-fA-F]{1,13}$/.test(line)) this.fail(`no chunk's size: ${JSON.stringify(line)}`);
        this.#left = parseInt(line, 16);
        this.#phase = this.#left === 0 ? Phase.Trailer : Phase.Data;
        return;
      case Phase.DataEnd:
        if (line !== "") this.fail("a chunk's data is not followed by CRLF");
        this.#phase = Phase.Size;
        return;
      default:
        if (line === "") this.#end();
    }
  }

  #takeField(line: string): void {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (match === null) this.fail(`no field: ${JSON.stringify(line)}`);
    const name = match[1].toLowerCase(), before = this.#fields.get(name);
    this.#fields.set(name, before === undefined ? match[2] : `${before}, ${match[2]}`);
  }

  #takeHead(): void {
    this.headEnd = this.seen;
    const ending = this.#listener.head({ first: this.#first, fields: this.#fields });
    this.#phase = Phase.Line;
    if (ending === "skip") return;
    if (ending === "chunked") this.#phase = Phase.Size;
    else if (ending === "close") this.#phase = Phase.Close;
    else if (ending === "raw") this.#phase = Phase.Raw;
    else if (ending === 0) this.#listener.end();
    else {
      this.#left = ending;
      this.#phase = Phase.Length;
    }
  }

  #end(): void {
    this.#phase = Phase.Line;
    this.#listener.end();
  }
}

/** How the body of a message ends that is no answer to HEAD, no 1xx, 204 or 304. */
export function endingOf({ fields }: Spoken, isAnswer: boolean): Ending {
  const length = fields.get("content-length"), coding = fields.get("transfer-encoding");
  if (length !== undefined && coding !== undefined) throw new Mismatch("both a length and a coding");
  if (coding !== undefined) {
    if (coding.toLowerCase() !== "chunked") throw new Mismatch(`a coding that nobody sent: ${coding}`);
    return "chunked";
  }
  if (length === undefined) return isAnswer ? "close" : 0;
  if (!/^\d+$/.test(length)) throw new Mismatch(`no length: ${length}`);
  return Number(length);
}
