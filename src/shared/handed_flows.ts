// Flows on their way from one process to the next: a row of doubles each, with all that its datagrams and its record
// need. Times are CLOCK_MONOTONIC in milliseconds, which both processes share. What the numbers of a row stand for is
// said by whoever sends it: in a process its own, on the way places in lists of names (control/upgrade/sessions.ts).
// The rows go from process to process as they are: a field is added at the end, and then the format has a new number.

/** Where a row has what. */
export const enum HandedFlow {
  /** Its socket to its server. */
  Fd,
  /** The listening socket that it came through. */
  Socket,
  Listener,
  Upstream,
  Server,
  /** Of FlowFlag those that are about its datagrams: Answered, Joined, Introduced. */
  Flags,
  Tried,
  HeardMs,
  /** When it is ended, unless a datagram comes. */
  DueMs,
  UpDatagrams,
  DownDatagrams,
  UpBytes,
  DownBytes,
  StartMs,
  /** Its client's and our own address, HANDED_ADDRESS_INTS as in flowAddress. */
  Address,
  /** The client that a proxy introduced, HANDED_TOLD_INTS as in flowTold. */
  Told = Address + 12,
  /** Doubles of a row. */
  Row = Told + 6,
}

export const HANDED_ADDRESS_INTS = 12;
export const HANDED_TOLD_INTS = 6;
