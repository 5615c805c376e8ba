// Bytes on their way: a queue of views, so that what is spliced is moved and never copied; and what the
// streams are made of: pieces of one sea of random bytes, each beginning somewhere else, so that a byte
// that is lost, doubled, out of order or another stream's is seen at once.
import { Random } from "./random.ts";

export const STREAM_BYTES_MAX = 8 << 20;

const sea = new Uint8Array(STREAM_BYTES_MAX + (1 << 20));
const random = new Random(0x5eed);
const words = new Uint32Array(sea.buffer);
for (let word = 0; word < words.length; word++) words[word] = random.next();

/** A stream's whole content. */
export function someBytes(random: Random, bytes: number): Uint8Array {
  const from = random.below(sea.length - bytes);
  return sea.subarray(from, from + bytes);
}

export class Bytes {
  length = 0;
  #views: Uint8Array[] = [];

  /** How many pieces they are in. */
  get pieces(): number {
    return this.#views.length;
  }

  push(view: Uint8Array): void {
    if (view.length === 0) return;
    this.#views.push(view);
    this.length += view.length;
  }

  /** Hands over up to `most` bytes in up to `pieces` pieces. */
  take(most: number, give: (view: Uint8Array) => void, pieces = Infinity): number {
    let taken = 0, whole = 0;
    while (taken < most && whole < this.#views.length && whole < pieces) {
      const view = this.#views[whole];
      if (view.length <= most - taken) {
        whole++;
        taken += view.length;
        give(view);
      } else {
        const part = most - taken;
        this.#views[whole] = view.subarray(part);
        taken += part;
        give(view.subarray(0, part));
      }
    }
    if (whole > 0) this.#views.splice(0, whole);
    this.length -= taken;
    return taken;
  }

  /** Shows up to `most` bytes, and keeps them. */
  peek(most: number, show: (view: Uint8Array) => void): number {
    let shown = 0;
    for (const view of this.#views) {
      if (shown === most) break;
      const part = view.subarray(0, most - shown);
      show(part);
      shown += part.length;
    }
    return shown;
  }

  clear(): void {
    this.#views = [];
    this.length = 0;
  }
}
