// What is told of a connection when it has ended, with names in place of numbers.
import type { Reason } from "../shared/reason.ts";

/** A request that ended with its connection. Times are negative where there are none. */
export interface RequestRecord {
  /** Of the answer; 0: it had not begun. */
  readonly status: number;
  readonly queueMs: number;
  readonly connectMs: number;
  readonly firstMs: number;
  /** Its server's connection had carried others before. */
  readonly reused: boolean;
}

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
  /** Why a request or an answer was refused; "" where that is not the reason. */
  readonly detail: string;
  /** Of a session of datagrams: how many came from its client, and from its server. */
  readonly datagrams?: { readonly up: number; readonly down: number };
  /** What is known of the request that was under way; not given for a plain connection. */
  readonly http?: RequestRecord;
}
