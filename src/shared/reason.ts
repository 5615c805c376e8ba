// Why a connection ended: one table for counters, access log, explanations. A reason that is an error
// has the type that RFC 9209 section 2.3 gives it; one that is no error has none. The order is the
// code stored in the tables: append, never insert.

export const enum Reason {
  None,
  Finished,
  ClientReset,
  ServerReset,
  ConnectionRefused,
  ConnectionTimeout,
  Unroutable,
  DestinationUnavailable,
  TunnelIdle,
  LimitReached,
  OutOfResources,
  Drained,
  Bug,
  ReactorDied,
  UnexpectedAnswer,
  NoAnswer,
  Healthy,
}

export interface ReasonText {
  /** Snake case, as in the log and in metrics. */
  readonly name: string;
  /** RFC 9209 type, or null where nothing went wrong. */
  readonly type: string | null;
  /** One sentence for a person. */
  readonly text: string;
  /** What is left of the connection is closed with a reset: nobody shall take it for a complete one. */
  readonly reset: boolean;
}

/** By code. */
export const REASONS: readonly ReasonText[] = [
  { name: "none", type: null, text: "has not ended", reset: false },
  { name: "finished", type: null, text: "both sides sent their end of stream", reset: false },
  { name: "client_reset", type: null, text: "the client reset the connection", reset: true },
  {
    name: "server_reset",
    type: "connection_terminated",
    text: "the server reset the connection",
    reset: true,
  },
  {
    name: "connection_refused",
    type: "connection_refused",
    text: "the server refused the connection",
    reset: true,
  },
  {
    name: "connection_timeout",
    type: "connection_timeout",
    text: "the server did not answer in time",
    reset: true,
  },
  {
    name: "unroutable",
    type: "destination_ip_unroutable",
    text: "there is no route to the server",
    reset: true,
  },
  {
    name: "no_server",
    type: "destination_unavailable",
    text: "no healthy server was left to try",
    reset: true,
  },
  {
    name: "tunnel_idle",
    type: "connection_read_timeout",
    text: "neither side sent anything for too long",
    reset: false,
  },
  {
    name: "limit_reached",
    type: "connection_limit_reached",
    text: "a limit on connections was reached",
    reset: true,
  },
  {
    name: "out_of_resources",
    type: "proxy_internal_error",
    text: "out of fds, ports or memory",
    reset: true,
  },
  {
    name: "drained",
    type: "connection_terminated",
    text: "Sluice stopped before the connection ended",
    reset: true,
  },
  { name: "bug", type: "proxy_internal_error", text: "a bug in Sluice; please report it", reset: true },
  {
    name: "reactor_died",
    type: "proxy_internal_error",
    text: "its reactor died by a bug; please report it",
    reset: true,
  },
  {
    name: "unexpected_answer",
    type: "connection_terminated",
    text: "the answer was not the expected one",
    reset: true,
  },
  { name: "no_answer", type: "connection_read_timeout", text: "no answer in time", reset: true },
  { name: "healthy", type: null, text: "the check passed", reset: false },
];

/** How many codes there are: the width of counters by reason. */
export const REASON_COUNT = REASONS.length;
