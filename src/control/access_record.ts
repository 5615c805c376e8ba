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
  /** Why a request or an answer was refused; "" where that is not the reason. */
  readonly detail: string;
}
