// Help for the reasons of those who are not let in: lists of addresses, and limits on connections.
import { Reason } from "../../shared/reason.ts";
import type { ReasonHelp } from "./help.ts";

const EXPLAIN = "`sluice explain ADDRESS --from IP --live`: what the lists and limits say of that client now";
const LINES = "the log has a sample of them; `sluice_connections_ended_total` has all";

export const ADMISSION_HELP = {
  [Reason.Denied]: {
    means:
      "The client's address is in `listeners.NAME.deny`, in a prefix or in one of its files. That is looked " +
      "at before anything is spent on the connection, and `listeners.NAME.allow` does not change it.",
    causes: ["what the list is for", "a prefix that is too wide", "everybody behind one NAT has its address"],
    look: [EXPLAIN + ", with the entry and its file and line", LINES],
    change: ["the list: its files are read again by themselves when they change"],
  },
  [Reason.NotAllowed]: {
    means: "The listener has `listeners.NAME.allow`, and the client's address is not in it.",
    causes: [
      "what the list is for",
      "the client comes over IPv6, and the list has its IPv4 address alone, or the other way round",
      "it comes through a proxy or a NAT that is not in the list",
      'it comes through a unix socket, and the list has no entry "unix"',
    ],
    look: [EXPLAIN, LINES],
    change: ["`listeners.NAME.allow`, or the files that it names"],
  },
  [Reason.SourceLimit]: {
    means:
      "The client's address, or the prefix that counts as one source, had as many connections to the listener " +
      "as `listeners.NAME.limits.connections-per-source` says, over all reactors.",
    causes: [
      "a client that opens connections and does not close them",
      "many users behind one address: a company's NAT, a mobile network, a proxy",
      "HTTP clients that keep more connections than they need",
    ],
    look: [EXPLAIN + ", with how many it has", "how many clients stand behind the address", LINES],
    change: [
      "`listeners.NAME.limits.connections-per-source`, or its `prefix-v4` and `prefix-v6`",
      "`listeners.NAME.timeouts.client-idle` or `tunnel-idle`, so that idle connections end sooner",
    ],
  },
  [Reason.SourceRate]: {
    means: "New connections came from the client's address, or from its prefix, faster than " +
      "`listeners.NAME.limits.new-connections-per-source` says. Those that it has are not touched.",
    causes: [
      "a flood, or a scanner",
      "a client that connects anew for each request, or tries again at once when it fails",
      "many users behind one address",
    ],
    look: [EXPLAIN, LINES],
    change: ["the rate, or its `burst`: how many may come at once after a time without any"],
  },
  [Reason.ListenerLimit]: {
    means:
      "The listener had as many connections as `listeners.NAME.limits.connections` says, on all of its " +
      "addresses. At `max-connections`, that of the process, nobody is refused: clients wait in the kernel's queue.",
    causes: [
      "more clients than it was made for",
      "connections that nobody uses and nobody closes",
    ],
    look: ["`sluice_listener_connections`", LINES],
    change: [
      "`listeners.NAME.limits.connections`",
      "`listeners.NAME.limits.connections-per-source`, if a few have most of them",
    ],
  },
  [Reason.ListenerRate]: {
    means:
      "New connections came to the listener faster than `listeners.NAME.limits.new-connections` says, whoever " +
      "they came from. Who was refused by a limit of its own source has taken nothing of this one.",
    causes: ["a flood from many addresses", "all clients connect again at once, after an outage"],
    look: ["`sluice_listener_connections_total`", LINES],
    change: [
      "the rate, or its `burst`",
      "`listeners.NAME.limits.new-connections-per-source`, so that a few cannot take it all",
    ],
  },
} satisfies Partial<Record<Reason, ReasonHelp>>;
