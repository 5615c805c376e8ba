// A pipe as Linux keeps it: full when its bytes are, or its buffers, one to a piece however small.
import { Bytes } from "./bytes.ts";

const BUFFER_BYTES = 4096;

export class Pipe {
  readonly bytes = new Bytes();
  readonly capacity: number;
  readonly fds: readonly number[];

  constructor(capacity: number, fds: readonly number[]) {
    this.capacity = capacity;
    this.fds = fds;
  }

  /** How many more pieces fit. */
  get buffersLeft(): number {
    return Math.max(0, this.capacity / BUFFER_BYTES - this.bytes.pieces);
  }

  /** How many more bytes fit; 0: full. */
  get room(): number {
    return this.buffersLeft === 0 ? 0 : Math.max(0, this.capacity - this.bytes.length);
  }
}
