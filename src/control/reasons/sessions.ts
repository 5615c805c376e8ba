// Help for the reasons that sessions of datagrams have, and nothing else has.
import { Reason } from "../../shared/reason.ts";
import type { ReasonHelp } from "./help.ts";

export const SESSION_HELP = {
  [Reason.SessionDone]: {
    means:
      "All went well: the server sent as many answers as `listeners.NAME.udp.responses` expects for what " +
      "the client sent. Its next datagram begins another session.",
    causes: [],
    look: ["`up_datagrams=` and `down_datagrams=`: how many came from each side"],
    change: ["answers that come in more than one datagram: a larger `udp.responses`, or none"],
  },
  [Reason.SessionIdle]: {
    means:
      "Neither side sent a datagram for `listeners.NAME.udp.idle`, 30 s by default. UDP has no end of its " +
      "own: so sessions end. The client's next datagram begins another one, maybe with another server.",
    causes: [],
    look: ["`down_datagrams=`: 0 for a server that never answered, or for a protocol without answers"],
    change: [
      "`udp.idle`, to more than the longest pause of the protocol",
      "`udp.responses`, where the number of answers is known (1 for DNS): sessions end at once then",
    ],
  },
  [Reason.SessionUnanswered]: {
    means: "The server sent nothing at all for `listeners.NAME.udp.idle`, though `udp.responses` expects " +
      "answers. It counts as a failure of that server.",
    causes: [
      "the server is down, and a firewall drops what comes for it without a word",
      "it dropped the datagram: too busy, or no valid question for it",
      "its answer was lost, or left from another address than the one that was asked",
    ],
    look: [
      "`->`: the server; there: `ss -lunp`, and its own log",
      "`sluice_server_connect_failures_total`, by server",
    ],
    change: [
      "`upstreams.NAME.health` with `send` and `expect`: they go by UDP where only udp:// leads, and a server " +
      "that does not answer gets no clients",
      "`udp.responses: 0`, or none, for a protocol without answers",
    ],
  },
  [Reason.SessionMoved]: {
    means:
      "The health check says that the session's server is down, and others are up; or the server is no longer one " +
      "of its upstream's, since its name has other addresses now, and has not answered for the session's idle time. " +
      "UDP tells nobody that a host is gone: so the client's next datagram ended the session, and began another one " +
      "with another server.",
    causes: [
      "what the health check of the server tells; the log says why it is down",
      "the name of the server has other addresses now; the log says which",
    ],
    look: ["`->`: the server; the lines of `health` in the log about it"],
    change: ["nothing, if the server is down; else its `upstreams.NAME.health`"],
  },
} satisfies Partial<Record<Reason, ReasonHelp>>;
