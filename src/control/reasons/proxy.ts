// What the PROXY protocol ends: connections to a listener with accept-proxy, before anything of the client's own was
// looked at. See help.ts.
import { Reason } from "../../shared/reason.ts";
import type { ReasonHelp } from "./help.ts";

const CAPTURE = "what the proxy sends first: `tcpdump -A` on its port";
const AT_THE_PROXY =
  "the proxy's own setting: `send-proxy` or `send-proxy-v2` of HAProxy, `proxy_protocol on` of " +
  "nginx, the PROXY protocol of a cloud's balancer";

export const PROXY_HELP = {
  [Reason.ProxyUntrusted]: {
    means:
      "The client is in none of the prefixes of `listeners.NAME.accept-proxy`. Whoever may write a PROXY header may " +
      "say that he is anybody, so nothing of it was read.",
    causes: [
      "a client that connects directly, past the proxy before Sluice",
      "a proxy whose address is missing in the list: a new one, or its second network",
      "somebody who tries to pass for another client",
    ],
    look: ["the client's address in the record: it is the connection's own", "the listener in the record"],
    change: [
      "`listeners.NAME.accept-proxy`: every address that the proxies have, and no other",
      "another listener without it for those who come directly",
      "a firewall that lets only the proxies through",
    ],
  },
  [Reason.ProxyMissing]: {
    means:
      "A proxy of `listeners.NAME.accept-proxy` began with something else than a PROXY header of version 1 or 2. For " +
      "udp:// each datagram needs one of its own, of version 2.",
    causes: [
      "the proxy does not send it",
      "its health checks come without it",
      "of UDP: it sends the header before the first datagram alone",
      "a client on the proxy's own machine",
    ],
    look: [CAPTURE, "whether all connections of that proxy end so, or some"],
    change: [AT_THE_PROXY, "the same for its checks: `check-send-proxy` of HAProxy"],
  },
  [Reason.ProxyMalformed]: {
    means: "A PROXY header began as one, and breaks the rules of its version; the detail says which.",
    causes: [
      "a proxy with a mistake in it, or something between that changes bytes",
      "a protocol that is not what comes: a header for UDP before a connection, one for TCP before a datagram",
      "a header that was cut out of a longer one",
    ],
    look: ["the detail in the record", CAPTURE],
    change: ["the other version at the proxy", "the proxy's own version, if it is an old one"],
    details: "proxy",
  },
  [Reason.ProxyTooLong]: {
    means: "The PROXY header has more than 4096 bytes, or a line of version 1 more than 107.",
    causes: ["fields (TLV) with certificates or texts in them", "a line of version 1 that never ends"],
    look: [CAPTURE],
    change: ["fewer or shorter fields at the proxy"],
  },
  [Reason.ProxyTimeout]: {
    means:
      "A proxy of `listeners.NAME.accept-proxy` connected, and did not send the whole PROXY header within " +
      "`listeners.NAME.timeouts.handshake`, 10 s by default.",
    causes: [
      "the proxy does not send it, and its client waits for the server to speak first",
      "a health check of the proxy that only connects, and keeps the connection open",
    ],
    look: ["the client's address in the record: it is the proxy's", CAPTURE],
    change: [AT_THE_PROXY, "`listeners.NAME.timeouts.handshake`"],
  },
} as const satisfies Partial<Record<Reason, ReasonHelp>>;
