// Long streams whose every byte is known by its place: what arrives is compared with what must be there, so
// a lost, doubled or exchanged piece is found where it happened, and nothing is kept.
import type { Peer } from "./peer.ts";
import { within } from "./waiting.ts";

/** Prime, so that no block size of anybody is a multiple of it. */
const PERIOD_BYTES = 65_521;
const PART_BYTES = 256 * 1024;
const STREAM_DEADLINE_MS = 45_000;

/** One period and a part after it: any part of the stream lies in here in one piece. */
const pattern = makePattern();

function makePattern(): Buffer {
  const bytes = Buffer.alloc(PERIOD_BYTES + PART_BYTES);
  let state = 1;
  for (let at = 0; at < bytes.length; at++) {
    if (at >= PERIOD_BYTES) bytes[at] = bytes[at - PERIOD_BYTES];
    else {
      state = Math.imul(state, 1_103_515_245) + 12_345 | 0;
      bytes[at] = state >>> 16;
    }
  }
  return bytes;
}

/** Sends bytes `0..count` of the stream, as fast as they are taken; does not end. */
export async function sendStream(peer: Peer, count: number): Promise<void> {
  for (let at = 0; at < count; at += PART_BYTES) {
    const from = at % PERIOD_BYTES;
    const part = pattern.subarray(from, from + Math.min(PART_BYTES, count - at));
    const taken = new Promise<void>((resolve, reject) => {
      peer.socket.write(part, (error) => error ? reject(error) : resolve());
    });
    await within(`byte ${at} of a stream to be taken`, taken, STREAM_DEADLINE_MS);
  }
}

export interface ReadStreamOptions {
  /** Called after each piece with the bytes so far; reading goes on when it resolves. */
  readonly between?: (count: number) => Promise<void> | void;
}

/** Reads to the end of the stream and returns its length. @throws at the first byte that is not the right one */
export async function readStream(peer: Peer, { between }: ReadStreamOptions = {}): Promise<number> {
  let count = 0;
  const check = (part: Buffer): void => {
    for (let at = 0; at < part.length; at += PART_BYTES) {
      const piece = part.subarray(at, at + PART_BYTES);
      const from = count % PERIOD_BYTES;
      if (piece.compare(pattern, from, from + piece.length) !== 0) {
        throw new Error(`a wrong byte after ${count}`);
      }
      count += piece.length;
    }
  };
  check(peer.taken());
  const { socket } = peer;
  const done = new Promise<void>((resolve, reject) => {
    socket.removeAllListeners("data");
    socket.on("data", (part: Buffer) => {
      try {
        check(part);
      } catch (error) {
        reject(error);
        return;
      }
      if (between === undefined) return;
      socket.pause();
      Promise.resolve(between(count)).then(() => socket.resume(), reject);
    });
    socket.on("end", () => resolve());
    socket.on("error", reject);
    if (peer.left === "fin") resolve();
    else socket.resume();
  });
  await within(`the end of a stream, at byte ${count}`, done, STREAM_DEADLINE_MS);
  return count;
}
