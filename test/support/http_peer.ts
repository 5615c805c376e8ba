// One end of an HTTP/1 connection in the hands of a test: it sends exact bytes, and reads messages with a
// small reader of its own that knows nothing of src/. What it reads is kept as it came: tests compare bytes.
import type { Buffer as Bytes } from "node:buffer";
import { type Ending, Peer, type Where } from "./peer.ts";

/** A head as it came. */
export interface Head {
  /** From the first line through the empty one. */
  readonly text: string;
  /** The first line. */
  readonly line: string;
  /** In their order, names in lower case. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

export interface Message {
  readonly head: Head;
  /** Without chunk framing. */
  readonly body: Bytes;
  /** What stood behind the head, chunk framing and all, as latin-1. */
  readonly framed: string;
}

/** How a body ends. */
type Framing = { readonly kind: "length"; readonly length: number } | { readonly kind: "chunked" | "close" };

/** All values of a field, in their order. */
export function valuesOf(head: Head, name: string): string[] {
  return head.fields.filter(([known]) => known === name).map(([, value]) => value);
}

export function statusOf(head: Head): number {
  return Number(/^HTTP\/1\.[01] ([0-9]{3})/.exec(head.line)?.[1] ?? NaN);
}

function parseHead(text: string): Head {
  const [line, ...lines] = text.slice(0, -4).split("\r\n");
  const fields = lines.map((field) => {
    const colon = field.indexOf(":");
    return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const;
  });
  return { text, line, fields };
}

function framingOf(head: Head, otherwise: Framing): Framing {
  if (valuesOf(head, "transfer-encoding").length > 0) return { kind: "chunked" };
  const [length] = valuesOf(head, "content-length");
  return length === undefined ? otherwise : { kind: "length", length: Number(length) };
}

export class HttpPeer {
  readonly peer: Peer;
  #rest: Bytes = Buffer.alloc(0);

  constructor(peer: Peer) {
    this.peer = peer;
  }

  static async connect(where: Where): Promise<HttpPeer> {
    return new HttpPeer(await Peer.connect(where));
  }

  send(bytes: string | Uint8Array): Promise<void> {
    return this.peer.send(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Ends this side; reading goes on. */
  end(): void {
    this.peer.end();
  }

  reset(): void {
    this.peer.reset();
  }

  /** How the other end leaves; what it sends until then stays to be read. */
  ending(): Promise<Ending> {
    return this.peer.ending();
  }

  /** The next head. @throws when the other end leaves before it is whole */
  async readHead(): Promise<Head> {
    for (let from = 0;;) {
      const end = this.#rest.indexOf("\r\n\r\n", from);
      if (end >= 0) return parseHead((await this.read(end + 4)).toString("latin1"));
      from = Math.max(0, this.#rest.length - 3);
      if (!await this.#more()) throw new Error(`${this.peer.left} within a head: ${this.#shown()}`);
    }
  }

  /** The next request. */
  async readRequest(): Promise<Message> {
    const head = await this.readHead();
    return await this.#readBody(head, framingOf(head, { kind: "length", length: 0 }));
  }

  /** The next answer; an interim one (1xx) is one. */
  async readAnswer(method = "GET"): Promise<Message> {
    const head = await this.readHead();
    const status = statusOf(head);
    const bodiless = method === "HEAD" || status < 200 || status === 204 || status === 304;
    return await this.#readBody(
      head,
      bodiless ? { kind: "length", length: 0 } : framingOf(head, { kind: "close" }),
    );
  }

  async ask(request: string | Uint8Array, method?: string): Promise<Message> {
    await this.send(request);
    return await this.readAnswer(method);
  }

  /** Exactly `count` bytes. @throws when the other end leaves before */
  async read(count: number): Promise<Bytes> {
    while (this.#rest.length < count) {
      if (!await this.#more()) throw new Error(`${this.peer.left} before ${count} bytes: ${this.#shown()}`);
    }
    const bytes = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return bytes;
  }

  async readText(count: number): Promise<string> {
    return (await this.read(count)).toString("latin1");
  }

  /** Everything until the other end leaves, and how it does. */
  async readToEnd(): Promise<{ readonly text: string; readonly ending: Ending }> {
    while (await this.#more());
    const text = this.#rest.toString("latin1");
    this.#rest = Buffer.alloc(0);
    return { text, ending: await this.ending() };
  }

  /** The parts of the body that follows `head`, without chunk framing, as they come. */
  async *parts(head: Head): AsyncGenerator<Bytes> {
    const framing = framingOf(head, { kind: "close" });
    if (framing.kind === "close") {
      for (;;) {
        if (this.#rest.length === 0 && !await this.#more()) break;
        yield await this.read(this.#rest.length);
      }
      if (await this.ending() !== "fin") throw new Error("reset within a body");
    } else if (framing.kind === "length") {
      yield* this.#run(framing.length);
    } else {
      for (let size = await this.#chunkSize(); size > 0; size = await this.#chunkSize()) {
        yield* this.#run(size);
        await this.#line();
      }
      while (await this.#line() !== "");
    }
  }

  /** `count` bytes in parts. */
  async *#run(count: number): AsyncGenerator<Bytes> {
    for (let left = count; left > 0;) {
      if (this.#rest.length === 0 && !await this.#more()) {
        throw new Error(`${left} bytes of a body are missing`);
      }
      const part = await this.read(Math.min(left, this.#rest.length));
      left -= part.length;
      yield part;
    }
  }

  async #chunkSize(): Promise<number> {
    const line = await this.#line();
    const size = parseInt(line, 16);
    if (!Number.isSafeInteger(size)) throw new Error(`no chunk size: ${JSON.stringify(line)}`);
    return size;
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf("\r\n");
      if (end >= 0) return (await this.readText(end + 2)).slice(0, -2);
      if (!await this.#more()) throw new Error(`${this.peer.left} within a line: ${this.#shown()}`);
    }
  }

  async #readBody(head: Head, framing: Framing): Promise<Message> {
    if (framing.kind === "length") {
      const body = await this.read(framing.length);
      return { head, body, framed: body.toString("latin1") };
    }
    if (framing.kind === "close") {
      const { text, ending } = await this.readToEnd();
      if (ending !== "fin") throw new Error(`reset within a body: ${text.slice(0, 200)}`);
      return { head, body: Buffer.from(text, "latin1"), framed: text };
    }
    const parts: Bytes[] = [];
    let framed = "";
    for (;;) {
      const line = await this.#line();
      framed += `${line}\r\n`;
      const size = parseInt(line, 16);
      if (!Number.isSafeInteger(size)) throw new Error(`no chunk size: ${JSON.stringify(line)}`);
      if (size === 0) break;
      parts.push(await this.read(size));
      framed += parts.at(-1)!.toString("latin1") + await this.readText(2);
    }
    for (let line = " "; line !== "";) {
      line = await this.#line();
      framed += `${line}\r\n`;
    }
    return { head, body: Buffer.concat(parts), framed };
  }

  /** Takes in what comes next. False: the other end has left. */
  async #more(): Promise<boolean> {
    try {
      const first = await this.peer.read(1);
      this.#rest = Buffer.concat([this.#rest, first, this.peer.taken()]);
      return true;
    } catch (error) {
      if (this.peer.left === undefined) throw error;
      return false;
    }
  }

  #shown(): string {
    return JSON.stringify(this.#rest.toString("latin1").slice(-500));
  }

  [Symbol.dispose](): void {
    this.peer[Symbol.dispose]();
  }
}
