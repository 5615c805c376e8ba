// What our own code promises. Nothing that a peer, a file or a DNS server sent may trip an assertion:
// that is an answer, a counter and a log line. Kept in release; the message is a constant string,
// because building one costs even when the promise holds.

/** A broken promise about one connection: that pair is closed, the reactor goes on. */
export class BugError extends Error {
  override name = "BugError";
}

/** A broken promise about a table (free list, generation, count): the Worker ends and is replaced. */
export class TableError extends Error {
  override name = "TableError";
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new BugError(message);
}

export function assertTable(condition: boolean, message: string): asserts condition {
  if (!condition) throw new TableError(message);
}

/** For the `default` of a switch that names every case. */
export function unreachable(message: string): never {
  throw new BugError(message);
}
