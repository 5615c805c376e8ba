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
  Answered,
  BadRequest,
  NoRoute,
  RequestTooLong,
  RequestTimeout,
  ClientIdle,
  ClientGone,
  BadAnswer,
  AnswerCut,
  AnswerTimeout,
  UpgradeFailed,
  WriteTimeout,
  QueueTimeout,
  QueueFull,
  Loop,
  ExchangeTimeout,
  PatternLimit,
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
  /** The status that a request gets which ends so before its answer has begun; 0: none, it only ends. */
  readonly status: number;
}

/** By code. */
export const REASONS: readonly ReasonText[] = [
  { name: "none", type: null, text: "has not ended", reset: false, status: 0 },
  { name: "finished", type: null, text: "both sides sent their end of stream", reset: false, status: 0 },
  { name: "client_reset", type: null, text: "the client reset the connection", reset: true, status: 0 },
  {
    name: "server_reset",
    type: "connection_terminated",
    text: "the server reset the connection",
    reset: true,
    status: 502,
  },
  {
    name: "connection_refused",
    type: "connection_refused",
    text: "the server refused the connection",
    reset: true,
    status: 502,
  },
  {
    name: "connection_timeout",
    type: "connection_timeout",
    text: "the server did not accept the connection in time",
    reset: true,
    status: 504,
  },
  {
    name: "unroutable",
    type: "destination_ip_unroutable",
    text: "there is no route to the server",
    reset: true,
    status: 502,
  },
  {
    name: "no_server",
    type: "destination_unavailable",
    text: "no healthy server was left to try",
    reset: true,
    status: 503,
  },
  {
    name: "tunnel_idle",
    type: "connection_read_timeout",
    text: "neither side sent anything for too long",
    reset: false,
    status: 0,
  },
  {
    name: "limit_reached",
    type: "connection_limit_reached",
    text: "a limit on connections was reached",
    reset: true,
    status: 503,
  },
  {
    name: "out_of_resources",
    type: "proxy_internal_error",
    text: "out of fds, ports or memory",
    reset: true,
    status: 503,
  },
  {
    name: "drained",
    type: "connection_terminated",
    text: "Sluice stopped before the connection ended",
    reset: true,
    status: 503,
  },
  {
    name: "bug",
    type: "proxy_internal_error",
    text: "a bug in Sluice; please report it",
    reset: true,
    status: 500,
  },
  {
    name: "reactor_died",
    type: "proxy_internal_error",
    text: "its reactor died by a bug; please report it",
    reset: true,
    status: 0,
  },
  {
    name: "unexpected_answer",
    type: "connection_terminated",
    text: "the answer was not the expected one",
    reset: true,
    status: 0,
  },
  { name: "no_answer", type: "connection_read_timeout", text: "no answer in time", reset: true, status: 0 },
  { name: "healthy", type: null, text: "the check passed", reset: false, status: 0 },
  {
    name: "answered",
    type: null,
    text: "Sluice answered by its configuration",
    reset: false,
    status: 0,
  },
  {
    name: "bad_request",
    type: "http_request_error",
    text: "the request is not valid HTTP, or not one that Sluice understands",
    reset: false,
    status: 400,
  },
  {
    name: "no_route",
    type: "destination_not_found",
    text: "no route matches the request",
    reset: false,
    status: 404,
  },
  {
    name: "request_too_long",
    type: "http_request_error",
    text: "the body of the request is longer than allowed",
    reset: false,
    status: 413,
  },
  {
    name: "request_timeout",
    type: "http_request_error",
    text: "the client took too long to send its request",
    reset: false,
    status: 408,
  },
  {
    name: "client_idle",
    type: null,
    text: "the client sent no further request",
    reset: false,
    status: 0,
  },
  {
    name: "client_gone",
    type: null,
    text: "the client left before its answer was complete",
    reset: true,
    status: 0,
  },
  {
    name: "bad_answer",
    type: "http_protocol_error",
    text: "the answer is not valid HTTP",
    reset: true,
    status: 502,
  },
  {
    name: "answer_cut",
    type: "http_response_incomplete",
    text: "the server ended the connection before its answer was complete",
    reset: true,
    status: 502,
  },
  {
    name: "answer_timeout",
    type: "http_response_timeout",
    text: "the server took too long to answer",
    reset: true,
    status: 504,
  },
  {
    name: "upgrade_failed",
    type: "http_upgrade_failed",
    text: "the server switched protocols without being asked",
    reset: true,
    status: 502,
  },
  {
    name: "write_timeout",
    type: "connection_write_timeout",
    text: "the client took too long to read its answer",
    reset: true,
    status: 0,
  },
  {
    name: "queue_timeout",
    type: "connection_limit_reached",
    text: "no server had a place for the request in time",
    reset: true,
    status: 503,
  },
  {
    name: "queue_full",
    type: "connection_limit_reached",
    text: "no server has a place for the request, and too many wait for one",
    reset: true,
    status: 503,
  },
  {
    name: "loop",
    type: "proxy_loop_detected",
    text: "the request has passed Sluice too often: it goes in circles",
    reset: true,
    status: 502,
  },
  {
    name: "exchange_timeout",
    type: "http_response_timeout",
    text: "request and answer took longer than they may in all",
    reset: true,
    status: 504,
  },
  {
    name: "pattern_limit",
    type: "proxy_configuration_error",
    text: "a route's expression took too many steps on the path",
    reset: true,
    status: 500,
  },
];

/** How many codes there are: the width of counters by reason. */
export const REASON_COUNT = REASONS.length;
