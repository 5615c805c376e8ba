// What is told of a connection when it has ended, with names in place of numbers.
import type { Reason } from "../shared/reason.ts";

/** A connection that ended. Names are "" where there is none. */
export interface AccessRecord {
  /** Wall clock at its end. */
  readonly atMs: number;
  /** The client's address; "" when it is not known. */
  readonly client: string;
  readonly listener: string;
  readonly upstream: string;
  /** The address of the server that had it last. */
  readonly server: string;
  /** Read from the client, and read from the server. */
  readonly upBytes: number;
  readonly downBytes: number;
  /** From accept to end; negative when it is not known. */
  readonly durationMs: number;
  readonly reason: Reason;
  /** Behind the reason, or 0. */
  readonly errno: number;
  /** Servers tried or passed over. */
  readonly tried: number;
  /** Of a request by HTTP: what it was, and what became of it. */
  readonly request?: RequestRecord;
}

export interface RequestRecord {
  /** As they came, one character for each byte; "" where the request could not be read. */
  readonly method: string;
  readonly target: string;
  readonly host: string;
  /** Of the answer; 0: none was sent. */
  readonly status: number;
  /** The route that was taken, or "". */
  readonly route: string;
  /** Since its head had come: when a server's connection was there, and the answer's head; negative: never. */
  readonly connectMs: number;
  readonly firstMs: number;
  /** Its server's connection had carried others before. */
  readonly reused: boolean;
  /** Why it was refused, or "". */
  readonly detail: string;
}
