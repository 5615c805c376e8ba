// Pipes for splice, borrowed only while bytes are in flight. A few empty ones are kept open; opening
// may fail (fds) or give a small pipe (pipe-user-pages-soft): then bytes are copied for a while, which
// is slower and never wrong.
// Invariant: a pipe that is given back is empty, or is closed.
import { assertTable } from "../base/assert.ts";
import { NONE, PIPE_BYTES, PIPE_BYTES_MIN, PIPES_KEPT_MAX } from "../base/limits.ts";
import { clockMs, sys } from "../sys/sys.ts";

/** After a failure to open one, do not ask the kernel again for this long. */
const REFUSED_MS = 1_000;

let pipeBytes: Int32Array; // capacity of an open pipe; 0: not open
let kept: Uint16Array; // stack of open, empty pipes
let keptCount: number;
let closed: Uint16Array; // stack of numbers without a pipe
let closedCount: number;
let rows: number;
let taken: number;
let refusedUntilMs: number;

export function pipesOpen(pipes: number): void {
  rows = pipes;
  pipeBytes = new Int32Array(pipes);
  kept = new Uint16Array(pipes);
  closed = new Uint16Array(pipes);
  keptCount = 0;
  closedCount = 0;
  for (let pipe = pipes - 1; pipe > NONE; pipe--) closed[closedCount++] = pipe;
  taken = 0;
  refusedUntilMs = 0;
}

/** Takes an empty pipe; NONE when there is none to be had. */
export function takePipe(): number {
  if (keptCount > 0) {
    taken++;
    return kept[--keptCount];
  }
  if (closedCount === 0 || clockMs() < refusedUntilMs) return NONE;
  const pipe = closed[closedCount - 1];
  const bytes = sys.pipe_open(pipe, PIPE_BYTES);
  if (bytes < PIPE_BYTES_MIN) {
    if (bytes > 0) sys.pipe_close(pipe);
    refusedUntilMs = clockMs() + REFUSED_MS;
    return NONE;
  }
  closedCount--;
  pipeBytes[pipe] = bytes;
  taken++;
  return pipe;
}

/** Gives a pipe back; one that still has bytes (its connection ended) is closed. */
export function givePipe(pipe: number, empty: boolean): void {
  assertTable(pipeBytes[pipe] > 0, "pipes: gave a pipe that is not open");
  taken--;
  if (empty && keptCount < PIPES_KEPT_MAX) {
    kept[keptCount++] = pipe;
    return;
  }
  sys.pipe_close(pipe);
  pipeBytes[pipe] = 0;
  closed[closedCount++] = pipe;
}

/** What fits into a pipe, in bytes. */
export function pipeCapacity(pipe: number): number {
  return pipeBytes[pipe];
}

export function pipesTaken(): number {
  return taken;
}

/** Pipes open now, taken or kept. */
export function pipesOpenCount(): number {
  return taken + keptCount;
}

/** Closes the kept pipes: a reactor that ends leaves none. */
export function pipesClose(): void {
  while (keptCount > 0) {
    const pipe = kept[--keptCount];
    sys.pipe_close(pipe);
    pipeBytes[pipe] = 0;
    closed[closedCount++] = pipe;
  }
}

/** Every pipe is taken, kept or closed. For tests. */
export function pipesCheck(): void {
  assertTable(taken + keptCount + closedCount === rows - 1, "pipes: taken, kept and closed do not add up");
}
