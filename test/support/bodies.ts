// Bodies of any length, by Content-Length, in chunks or in one chunk, whose every byte is known by its place. The reader
// looks at each piece as it comes and keeps none of them: ten gigabytes need no more room than ten bytes.
import type { Peer } from "./peer.ts";

export type Kind = "length" | "chunked" | "one chunk";

/** Prime, so that no buffer of anybody is a multiple of it. */
const PERIOD_BYTES = 65_521;
/** What is sent at once where no chunks of their own sizes are, and what is compared at once. */
export const PART_BYTES = 256 << 10;
/** Chunks from less than a size line to more than a receive block. */
const CHUNKS_BYTES = [65_536, 7, 16_384, 250_007, 1, 4_093];

/** One period and a part after it: any part of a body lies in here in one piece. */
const pattern = makePattern();

function makePattern(): Buffer {
  const bytes = Buffer.alloc(PERIOD_BYTES + PART_BYTES);
  let state = 2_463_534_242;
  for (let at = 0; at < bytes.length; at++) {
    if (at >= PERIOD_BYTES) {
      bytes[at] = bytes[at - PERIOD_BYTES];
      continue;
    }
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state;
  }
  return bytes;
}

/** Bytes `at..at + count` of any body. */
function bytesAt(at: number, count: number): Buffer {
  const from = at % PERIOD_BYTES;
  return pattern.subarray(from, from + count);
}

/** The field that says how a body of `count` bytes ends. */
export function framingField(kind: Kind, count: number): string {
  return kind === "length" ? `Content-Length: ${count}\r\n` : "Transfer-Encoding: chunked\r\n";
}

/** What `sendBody` counts while it sends. */
export interface Progress {
  /** Bytes that were handed to the kernel, or are waiting to be. */
  begun: number;
}

/** Sends a body of `count` bytes as fast as it is taken; `progress` tells how far that has come. */
export async function sendBody(
  peer: Peer,
  kind: Kind,
  count: number,
  progress: Progress = { begun: 0 },
): Promise<void> {
  const send = (bytes: string | Uint8Array) => {
    progress.begun += bytes.length;
    return new Promise<void>((resolve, reject) => {
      peer.socket.write(bytes, (error) => error ? reject(error) : resolve());
    });
  };
  if (kind === "one chunk") await send(`${count.toString(16)}\r\n`);
  for (let at = 0, turn = 0; at < count; turn++) {
    const most = kind === "chunked" ? CHUNKS_BYTES[turn % CHUNKS_BYTES.length] : PART_BYTES;
    const part = bytesAt(at, Math.min(most, count - at));
    at += part.length;
    await send(
      kind === "chunked"
        ? Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")])
        : part,
    );
  }
  if (kind === "one chunk") await send("\r\n");
  if (kind !== "length") await send("0\r\n\r\n");
}

/** Takes the bytes of one body apart. */
class BodyReader {
  readonly #kind: Kind;
  readonly #count: number;
  /** Bytes of the body so far, and of its part (a chunk, or all of it) to come. */
  #at = 0;
  #left: number;
  /** A line of the chunk framing as far as it has come, and what it is. */
  #line = "";
  #expects: "size" | "end of chunk" | "end of trailers" = "size";
  done: boolean;

  constructor(kind: Kind, count: number) {
    this.#kind = kind;
    this.#count = count;
    this.#left = kind === "length" ? count : 0;
    this.done = kind === "length" && count === 0;
  }

  get count(): number {
    return this.#at;
  }

  /** @throws at the first byte that is not the right one */
  take(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) {
      if (this.done) throw new Error(`${bytes.length - from} bytes behind the end of a body`);
      if (this.#left > 0) from += this.#data(bytes.subarray(from, from + Math.min(this.#left, PART_BYTES)));
      else from += this.#framing(bytes.subarray(from, from + 1));
    }
  }

  #data(piece: Uint8Array): number {
    if (bytesAt(this.#at, piece.length).compare(piece) !== 0) {
      throw new Error(`a wrong byte behind byte ${this.#at} of a body`);
    }
    this.#at += piece.length;
    this.#left -= piece.length;
    if (this.#left === 0) {
      if (this.#kind === "length") this.#end();
      else this.#expects = "end of chunk";
    }
    return piece.length;
  }

  #framing(byte: Uint8Array): number {
    this.#line += String.fromCharCode(byte[0]);
    if (this.#line.length > 100) throw new Error(`no chunk framing: ${JSON.stringify(this.#line)}`);
    if (!this.#line.endsWith("\r\n")) return 1;
    const line = this.#line.slice(0, -2);
    this.#line = "";
    if (this.#expects === "size") {
      if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`no chunk size: ${JSON.stringify(line)}`);
      this.#left = parseInt(line, 16);
      if (this.#left === 0) this.#expects = "end of trailers";
    } else {
      if (line !== "") throw new Error(`${JSON.stringify(line)} where the ${this.#expects} should be`);
      if (this.#expects === "end of trailers") this.#end();
      this.#expects = "size";
    }
    return 1;
  }

  #end(): void {
    if (this.#at !== this.#count) throw new Error(`a body of ${this.#at} bytes, not ${this.#count}`);
    this.done = true;
  }
}

/**
 * Reads a body of `count` bytes; `between` is awaited, and nothing is read meanwhile, after each piece. No
 * byte of the body may have been read before: the sender waits until its head has arrived.
 *
 * @returns bytes with all framing. @throws at the first byte that is not the right one
 */
export async function readBody(
  peer: Peer,
  kind: Kind,
  count: number,
  between: (count: number) => Promise<void> | void = () => {},
): Promise<number> {
  const { socket } = peer;
  const body = new BodyReader(kind, count);
  const listeners = socket.listeners("data") as ((part: Buffer) => void)[];
  let framed = 0, told: Promise<void> = Promise.resolve();
  let leave: () => void = () => {};
  const take = (part: Buffer) => {
    body.take(part);
    framed += part.length;
  };
  take(peer.taken());
  socket.removeAllListeners("data");
  try {
    await new Promise<void>((resolve, reject) => {
      if (body.done) resolve();
      socket.on("data", (part: Buffer) => {
        try {
          take(part);
        } catch (error) {
          reject(error);
          return;
        }
        if (body.done) resolve();
        const answer = between(body.count);
        if (answer === undefined) return;
        socket.pause();
        // One answer after the other: a piece may still come after the pause.
        told = told.then(() => answer);
        told.then(() => socket.resume(), reject);
      });
      leave = () => reject(new Error(`the other end left after ${body.count} of ${count} bytes`));
      socket.once("end", leave);
      socket.once("close", leave);
      socket.resume();
    });
  } finally {
    socket.off("end", leave);
    socket.off("close", leave);
    socket.removeAllListeners("data");
    for (const listener of listeners) socket.on("data", listener);
    socket.pause(); // a listener sets it flowing
  }
  return framed;
}
