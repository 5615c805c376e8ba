// Help for the reasons that only HTTP has.
import { Reason } from "../../shared/reason.ts";
import type { ReasonHelp } from "./help.ts";

export const REQUEST_HELP = {
  [Reason.Answered]: {
    means: "Sluice gave the answer that the configuration has for the request: a route's `respond` or " +
      "`redirect`. No server was asked. So does OPTIONS with `Max-Forwards: 0`.",
    causes: [],
    look: [
      "`route=`: which route, by listener and number",
      "`sluice explain -c FILE GET URL`: why that one",
    ],
    change: [
      "`listeners.NAME.routes[N].match`, `listeners.NAME.routes[N].respond`, `listeners.NAME.routes[N].redirect`",
    ],
  },
  [Reason.BadRequest]: {
    means: "The request is not valid HTTP/1.1 (RFC 9110, 9112), or asks for what Sluice does not do; " +
      "`detail=` says what is wrong. Nothing is mended on its way, and where the next request would begin is " +
      "not guessed: the connection ends.",
    causes: [
      "TLS on a port of plain HTTP: the client's URL says https",
      "another protocol, a scanner, or an attempt at request smuggling",
      "a head over 16 KiB or 128 fields, mostly cookies (431); a target over 8 KiB (414)",
      "CONNECT: Sluice is no forward proxy; TRACE with `Max-Forwards: 0` (501, without a detail)",
      "fields that Sluice and the route add made the head longer than 32 KiB (431)",
    ],
    look: [
      "`detail=`, and the client, the second word of the line: always the same one?",
      'the request as it is sent: `curl -v`, or `tcpdump -A -s0 "port PORT"`',
    ],
    change: [
      "the client; the limits and the strictness are not settings",
      "too many cookies: fewer or shorter ones, by the application that sets them",
      "`listeners.NAME.error-pages`, if clients should read other words",
    ],
    details: "request",
  },
  [Reason.NoRoute]: {
    means: "No route of the listener takes the request, and the listener has no `to`.",
    causes: [
      "another host than the routes name, or an address in its place (a health check of a balancer before)",
      "`/api/` takes what is below it and not `/api`; `{ prefix: /api }` takes both",
      "the path is compared decoded, with letters in their case and slashes as they came",
      "a method, field, query, cookie or client address that the only fitting route does not want",
    ],
    look: [
      "`sluice explain -c FILE GET URL`: each route, and why not",
      "in the record: the method, the target, the host behind it, `listener=`",
    ],
    change: [
      "`listeners.NAME.routes[N].match.host`, `listeners.NAME.routes[N].match.path`",
      "`listeners.NAME.to`: an upstream for what no route takes",
    ],
  },
  [Reason.RequestTooLong]: {
    means:
      "The body of the request is longer than its route allows: by its Content-Length, before any server " +
      "was asked, or as its chunks came.",
    causes: ["an upload that is larger than expected", "a client that sends what it should not"],
    look: ["`route=` and `up=`", "`sluice explain -c FILE POST URL`"],
    change: ["`listeners.NAME.routes[N].body-max`; without it there is no limit"],
  },
  [Reason.RequestTimeout]: {
    means: "The client took too long to send: the rest of its head within " +
      "`listeners.NAME.timeouts.request-head`, or more of its body within `listeners.NAME.timeouts.body-stall`.",
    causes: [
      "a slow or broken network on the client's side",
      "a client that announces a longer body than it sends",
      "an attack that holds connections open by dripping bytes",
    ],
    look: [
      "the target: `-` is a head that was never whole, else it is the body",
      "`up=`: how much came",
    ],
    change: [
      "`listeners.NAME.timeouts.request-head`, 30s by default, and `listeners.NAME.timeouts.body-stall`, 60s",
    ],
  },
  [Reason.ClientIdle]: {
    means: "The client sent no further request within `listeners.NAME.timeouts.client-idle`, or, newly " +
      "connected, not a byte within `listeners.NAME.timeouts.request-head`. It is only counted: there was no " +
      "request to record. Without HTTP: the last bytes were the server's (or there were none yet), and the " +
      "client said nothing for `listeners.NAME.timeouts.client-idle`, which holds there only where it is set.",
    causes: ["keep-alive as it should be", "browsers connect ahead of their needs"],
    look: ["`sluice_connections_ended_total`", "`sluice_listener_connections`: how many are open"],
    change: [
      "`listeners.NAME.timeouts.client-idle`, 60s by default; more than the idle timeout of a balancer before " +
      "Sluice, or that one will send requests into connections that just end",
    ],
  },
  [Reason.ClientGone]: {
    means:
      "The client ended its stream before its answer was complete, or in the midst of its request. Its " +
      "server is let go at once.",
    causes: [
      "a timeout of the client, or its user went elsewhere",
      "a program that shuts its sending half and still listens, as with `nc`; only HTTP/1.0 and " +
      "`Connection: close` may do so",
      "in the midst of a body: the client's program broke off",
    ],
    look: [
      "`ms=` of several such records: always the same number is the client's timeout",
      "`first=`: `-` means that the server had not answered",
    ],
    change: [
      "a slow server; or the client's timeout",
      "clients that half-close: have them send `Connection: close`",
    ],
  },
  [Reason.BadAnswer]: {
    means:
      "What the server said is not valid HTTP/1.1; `detail=` says what is wrong. Without a detail: more " +
      "than 16 heads of 1xx, or a head over 32 KiB with what the route adds.",
    causes: [
      "the server speaks another protocol on that port: TLS, HTTP/2 without upgrade, gRPC",
      "an application that writes its head by hand: bare LF, spaces before colons, two lengths",
      "a body behind an answer that cannot have one (204), so that later answers would be mistaken",
      "cookies beyond 16 KiB",
    ],
    look: [
      "`detail=` and `->`",
      "the answer as it is: `curl -v --http1.1 http://SERVER/PATH`, or `nc` for its very bytes",
    ],
    change: [
      "the application or its address in `upstreams.NAME.servers`; Sluice does not mend what a client might " +
      "read otherwise than we do",
    ],
    details: "answer",
  },
  [Reason.AnswerCut]: {
    means:
      "The server ended or reset the connection within its answer: within the head (502), or within a body " +
      "whose length was told (the client is reset, lest it take the part for the whole).",
    causes: [
      "the server's process crashed, was restarted, or a timeout of its own ended a long answer",
      "its Content-Length is more than what it sends (a length before compression)",
      "a machine between it and Sluice cut the connection",
    ],
    look: [
      "`errno=`: none is an orderly end, too early; ECONNRESET a crash or a kill",
      "`down=` beside the Content-Length; `ms=`: always the same is a timeout",
      "the server's own log, and its kernel's (`dmesg`) for the OOM killer",
    ],
    change: ["the server: its time limits (worker timeouts), its memory, its Content-Length"],
    errnos: [
      ["ECONNRESET", "the server, or somebody between, sent a reset"],
      ["ETIMEDOUT", "the server vanished: nothing it was sent was confirmed"],
    ],
  },
  [Reason.AnswerTimeout]: {
    means:
      "The server took too long: to the head of its answer, `upstreams.NAME.timeouts.answer` (504), or " +
      "between two pieces of its body, `upstreams.NAME.timeouts.server-idle` (the client is reset).",
    causes: [
      "the application is slow or hangs: a database, a lock, a pool without workers",
      "a stream that is silent by nature: server-sent events without comments, long polling",
    ],
    look: [
      "`first=`: `-` means that no head came, a number that the body stalled",
      "`connect=`: the connection was there so early; all the rest is the server's",
      "`sluice_server_connections`: are they piling up at one server?",
    ],
    change: [
      "`upstreams.NAME.timeouts.answer` and `upstreams.NAME.timeouts.server-idle`, 60s by default; for all: " +
      "`defaults.timeouts.answer`",
      "an upstream of its own, with its own timeouts, for the slow paths",
      "`upstreams.NAME.servers[N].max-connections`: more wait here, fewer there",
    ],
  },
  [Reason.UpgradeFailed]: {
    means: "The server answered 101 (Switching Protocols), and the request had not asked to switch.",
    causes: ["a server that mistakes a plain request for a WebSocket", "bytes of an earlier answer"],
    look: ["`curl -v --http1.1 http://SERVER/PATH`, without an Upgrade"],
    change: ["the server"],
  },
  [Reason.WriteTimeout]: {
    means: "The client took nothing of its answer for `listeners.NAME.timeouts.write-stall`.",
    causes: [
      "a client that stopped reading: a paused download, a program that hangs",
      "it vanished without a word",
      "an attack by reading slowly",
    ],
    look: ["`down=`: how much it took", "the client, the second word of the line: always the same one?"],
    change: [
      "`listeners.NAME.timeouts.write-stall`, 60s by default, for all: `defaults.timeouts.write-stall`",
    ],
  },
  [Reason.QueueTimeout]: {
    means: "Every server that could take it had as many connections in use as it may have, for all of " +
      "`upstreams.NAME.timeouts.queue`.",
    causes: [
      "more load than the servers carry within their `max-connections`",
      "servers became slower: each place is taken for longer",
      "some are down, and the others have no places to spare",
    ],
    look: [
      "`queue=`: how long it waited; of requests that went well, too",
      "`sluice_reactor_queued` and `sluice_server_connections`",
      "`first=` minus `connect=`: the time that a server needs for one",
    ],
    change: [
      "more servers, or more places: `upstreams.NAME.servers[N].max-connections`",
      "`upstreams.NAME.timeouts.queue`, 5s by default: less fails sooner, more waits longer",
    ],
  },
  [Reason.QueueFull]: {
    means:
      "Every server had as many connections as it may have, and 1,024 requests and connections waited for a " +
      "place in this reactor already.",
    causes: [
      "far more load than the servers carry within their `max-connections`",
      "they hang, and keep every place",
    ],
    look: ["`sluice_reactor_queued`: 1,024 is full", "`sluice_server_connections`"],
    change: [
      "more servers, or more places: `upstreams.NAME.servers[N].max-connections`",
      "`upstreams.NAME.timeouts.queue`, shorter: who waits in vain makes room",
    ],
  },
  [Reason.Loop]: {
    means: "The request has passed a Sluice more than 16 times, as its Via says: it goes in circles.",
    causes: [
      "a target that leads back here: a name that is this machine, a balancer before that is also behind",
      "more than 16 of them, one behind the other",
    ],
    look: [
      "`->` and what that name resolves to; `sluice explain -c FILE GET URL`",
      "the Via that arrives at the last server",
    ],
    change: ["the address in `upstreams.NAME.servers`, or `listeners.NAME.routes[N].rewrite.host`"],
  },
  [Reason.ExchangeTimeout]: {
    means:
      "Request and answer took longer than `listeners.NAME.timeouts.exchange` in all, time in the queue " +
      "included. Once the answer has begun, the client is reset.",
    causes: ["a slow server", "a large body either way", "a stream, which never ends by nature"],
    look: ["`queue=`, `connect=`, `first=`, `ms=`: where the time went"],
    change: [
      "`listeners.NAME.timeouts.exchange`, off by default: the other timeouts watch for silence and leave long " +
      "transfers alone",
    ],
  },
  [Reason.PatternLimit]: {
    means:
      "A route's expression took more than its limit of steps on this path, so that nobody can say which " +
      "route is the request's.",
    causes: [
      "an expression that repeats what repeats: `(a+)+$`",
      "a client that sends just the path for it",
    ],
    look: ["the target in the record", "`sluice explain -c FILE GET URL`"],
    change: [
      "`listeners.NAME.routes[N].match.path.regex`: without nested repeats, anchored with `^`",
      "`listeners.NAME.routes[N].match.path.pattern`, which needs no expression: `/users/{id}`",
    ],
  },
} as const satisfies Partial<Record<Reason, ReasonHelp>>;
