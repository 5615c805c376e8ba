// What TLS ends: handshakes with clients, and with servers. See help.ts.
import { Fault } from "../../proto/tls_fault.ts";
import { Reason } from "../../shared/reason.ts";
import type { ReasonHelp } from "./help.ts";

const CHECK_IT = "`openssl s_client -connect HOST:PORT -servername NAME` as the client or as Sluice does it";

export const TLS_HELP = {
  [Reason.HandshakeTimeout]: {
    means:
      "The client did not finish its TLS handshake within `listeners.NAME.timeouts.handshake`, 10 s by default.",
    causes: [
      "a port scanner, or a balancer's check, that connects and says nothing",
      "a client that speaks another protocol and waits for the server to begin",
      "clients far away behind a bad line; many at once are an attack",
    ],
    look: [
      "the client's address in the record",
      "`sluice_connections_ended_total` by reason, over time, beside `sluice_tls_handshakes_total`",
    ],
    change: ["`listeners.NAME.timeouts.handshake`", "a `tcp://` listener if no TLS is meant here"],
  },
  [Reason.NotTls]: {
    means: "The first bytes of the client are no TLS record, on a `tls://` or `https://` listener.",
    causes: ["another protocol: SSH, plain SMTP, a PROXY header", "a scanner"],
    look: ["the client's address in the record"],
    change: [
      "the port that the client uses",
      "`listeners.NAME.bind`: `tcp://` or `http://` where no TLS is meant",
    ],
    details: [Fault.NotTls],
  },
  [Reason.PlainHttp]: {
    means:
      "The client sent an HTTP request where TLS is spoken. On `https://` it is told so, with status 400; on " +
      "`tls://` its connection ends.",
    causes: ["`http://` with the port of https in a link or a setting", "a balancer's check without TLS"],
    look: ["the client's address in the record"],
    change: [
      "the URL that the client uses",
      "an `http://` listener beside it with `redirect-to-https`, which brings such clients to the right place",
    ],
    details: [Fault.PlainHttp],
  },
  [Reason.HandshakeFailed]: {
    means:
      "Client and Sluice found no TLS version, cipher or protocol (ALPN) that both have, or the client broke the rules of TLS.",
    causes: [
      "a client of before 2014: it speaks TLS 1.1 at most, or no cipher with forward secrecy",
      "a client that offers other protocols than this listener's (ALPN)",
      "a scanner that tries what does not work",
    ],
    look: ["the detail in the record", CHECK_IT],
    change: ["a newer client", "`listeners.NAME.tls.policy: compatible`, for old ciphers of TLS 1.2"],
    details: [Fault.Version, Fault.Cipher, Fault.Alpn, Fault.Protocol],
  },
  [Reason.ClientAlert]: {
    means:
      "The client ended the TLS handshake with an alert, which the detail names: most often it does not trust the certificate.",
    causes: [
      "the chain is not complete: `cert` has the server's certificate without the intermediate ones",
      "a certificate of an own authority that the client does not know, or for another name",
      "the certificate has expired",
    ],
    look: ["the detail in the record", "`sluice check -c FILE`, which reads the certificates", CHECK_IT],
    change: [
      "`listeners.NAME.tls.certificates[N].cert`: the whole chain, the server's own first",
      "the client's authorities",
    ],
    details: [Fault.Alert],
  },
  [Reason.ClientCertificate]: {
    means:
      "The listener asks for client certificates, and the client gave none (`require`), or one that does not hold.",
    causes: [
      "a client without certificate",
      "one that another authority signed, that has expired or is revoked",
    ],
    look: ["the detail in the record", "`openssl verify -CAfile CA CERT`"],
    change: [
      "`listeners.NAME.tls.client.ca`, `.crl`",
      "`listeners.NAME.tls.client.mode: ask`, to let clients without one in",
    ],
    details: [
      Fault.NoCertificateGiven,
      Fault.Expired,
      Fault.NotYetValid,
      Fault.Authority,
      Fault.Name,
      Fault.Revoked,
      Fault.Certificate,
    ],
  },
  [Reason.NoCertificate]: {
    means:
      "No certificate of the listener is for the name that the client asked for, and there is none for any name.",
    causes: [
      "ACME has not got one yet: the log says why",
      "a name that is in no route of a listener with `acme`",
    ],
    look: ["`sni=` in the record", "`/status`, which lists certificates and what is wrong with them"],
    change: [
      "`listeners.NAME.tls.certificates`, or the `host` of a route",
      "`listeners.NAME.tls.acme.while-issuing: self-signed`",
    ],
    details: [Fault.NoCertificateForName],
  },
  [Reason.Misdirected]: {
    means:
      "The request's Host is another name than the one that the connection was opened for, and the certificate " +
      "that was shown is not for it (RFC 9110 section 15.5.20). Clients open another connection then.",
    causes: [
      "a client that takes a connection for another host, because both have one address",
      "a Host that was set by hand, or by a proxy before, and not the name of TLS with it",
    ],
    look: ["host and name in the record"],
    change: ["the client, so that both are one name", "a certificate for both names"],
  },
  [Reason.ServerTls]: {
    means: "The server's TLS and ours have nothing in common, or what it sent is no TLS.",
    causes: [
      "the server speaks plain HTTP or TCP on that port",
      "it speaks TLS 1.1 at most",
      "something before it cuts connections in their handshake",
    ],
    look: ["the detail in the record", CHECK_IT],
    change: [
      "`upstreams.NAME.servers`: the port, or `http://` for `https://`",
      "`upstreams.NAME.tls`, if no TLS is meant",
    ],
    details: [Fault.PlainHttp, Fault.NotTls, Fault.Version, Fault.Cipher, Fault.Alpn, Fault.Protocol],
  },
  [Reason.ServerAlert]: {
    means:
      "The server ended TLS with an alert, which the detail names. With TLS 1.3 it looks at our certificate only " +
      "after the handshake: its alert may come where its answer was awaited.",
    causes: [
      "it wants a client certificate, or does not trust ours",
      "it has no host of the name that we asked for",
    ],
    look: ["the detail in the record", CHECK_IT, "the server's own log"],
    change: ["`upstreams.NAME.tls.cert` and `.key`", "`upstreams.NAME.tls.server-name`"],
    details: [Fault.Alert],
  },
  [Reason.ServerCertificateExpired]: {
    means: "The server's certificate has expired or is not valid yet, so that nobody can say who it is.",
    causes: ["nobody renewed it", "a clock that is wrong, here or there"],
    look: [CHECK_IT, "`sluice doctor`, which looks at the clock"],
    change: [
      "the server's certificate",
      "`upstreams.NAME.tls.crl`, where the list of revoked ones has expired",
    ],
    details: [Fault.Expired, Fault.NotYetValid],
  },
  [Reason.ServerCertificateName]: {
    means: "The server's certificate is valid, but for another name than the one that the target has.",
    causes: [
      "the target is an IP address, and the certificate has names only",
      "another server answers there",
    ],
    look: [`${CHECK_IT}: its subjectAltName`],
    change: ["`upstreams.NAME.tls.server-name`: the name in the certificate"],
    details: [Fault.Name],
  },
  [Reason.ServerCertificateAuthority]: {
    means: "No authority that is trusted has signed the server's certificate.",
    causes: [
      "an own authority, which Sluice was not told of",
      "a self-signed certificate",
      "the server does not send the certificates between its own and the authority's",
    ],
    look: ["the detail in the record", CHECK_IT],
    change: [
      "`upstreams.NAME.tls.ca`: the authority's certificate",
      "`upstreams.NAME.tls.pins` with `verify: off`, for one that nobody signed",
    ],
    details: [Fault.Authority],
  },
  [Reason.ServerCertificate]: {
    means:
      "The server's certificate does not hold for a reason that the detail names: revoked, not pinned, too weak.",
    causes: [
      "it was revoked",
      "its key is not one of `pins`",
      "its key or its signature is too weak for today",
    ],
    look: ["the detail in the record", CHECK_IT],
    change: ["the server's certificate", "`upstreams.NAME.tls.pins`, `.crl`"],
    details: [Fault.Revoked, Fault.Certificate, Fault.Pin],
  },
  [Reason.ServerHandshakeTimeout]: {
    means: "The server accepted the connection, and did not finish its TLS handshake within " +
      "`upstreams.NAME.timeouts.connect`, 3 s by default, which is for both.",
    causes: [
      "another protocol is spoken on that port, where the server waits for the client to go on",
      "the server has no time left for handshakes: it is overloaded, or signs with a large RSA key",
      "something before it takes connections that it cannot pass on",
    ],
    look: [CHECK_IT, "the server's processor time"],
    change: [
      "`upstreams.NAME.servers`: the port, or `http://` for `https://`",
      "`upstreams.NAME.timeouts.connect`",
    ],
  },
} as const satisfies Partial<Record<Reason, ReasonHelp>>;
