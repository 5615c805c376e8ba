// Help for the reasons that connections have, HTTP or not, and for those of health checks.
import { Reason } from "../../shared/reason.ts";
import type { ReasonHelp } from "./help.ts";

const REPORT = "report it, with the version, the log and, if you can, the configuration";

export const CONNECTION_HELP = {
  [Reason.None]: {
    means: "Nothing has ended yet, or no check of a server has had a result. No record has it.",
    causes: [],
    look: [],
    change: [],
  },
  [Reason.Finished]: {
    means: "All went well: the whole answer is with the client, or both sides of a connection sent their " +
      "end of stream.",
    causes: [
      "a status of 4xx or 5xx beside it is what the server itself said: `->` names it",
      "a TCP server that was killed ends its stream like one that is done: TCP shows no difference",
    ],
    look: ["`first=` and `ms=`: how long the server took to begin, and to end"],
    change: [],
  },
  [Reason.ClientReset]: {
    means: "The client's side of the connection broke: a reset came from it, or what was sent to it was " +
      "refused. What its server was doing for it is cancelled.",
    causes: [
      "the client's program was closed or gave up: a user who went elsewhere, a timeout of its own",
      "it closed without reading all that was sent to it, which TCP tells as a reset",
      "a load balancer, a firewall or a NAT before Sluice forgot the connection",
    ],
    look: [
      "`ms=` of several such records: always the same number is somebody's timeout",
      "`down=`: 0 while waiting for an answer, more in the midst of one",
      "`sluice_connections_ended_total` by reason: some of it is the ordinary life of the Internet",
    ],
    change: [
      "a slow server: what takes it so long (`first=`)",
      "the timeout of whoever stands before Sluice, to more than `upstreams.NAME.timeouts.answer`",
    ],
    errnos: [
      ["ECONNRESET", "the client sent a reset"],
      ["EPIPE", "the client had sent a reset before, and more was to be sent to it"],
      ["ETIMEDOUT", "the client vanished without a word: what was sent to it was never confirmed"],
      ["EPROTO", "it broke off its TLS, by an alert or against the rules, after the handshake"],
    ],
  },
  [Reason.ServerReset]: {
    means: "The server's side of the connection broke. Of a request: before a byte of its answer came, and " +
      "it could not be sent again (a new connection, a body, POST, PATCH).",
    causes: [
      "the server's process crashed, was restarted, or was killed for its memory",
      "with `reused=1`: the server closed an idle connection just when the request came (a race that only " +
      "the server's keep-alive timeout decides)",
      "it takes no more connections and closes new ones at once",
      "it expects TLS, or another protocol, on that port",
      "it ends a request whose body is too long for it without an answer",
    ],
    look: [
      "`errno=`: none is an orderly end without an answer",
      "`reused=`, and the server's own log at that time",
      "`sluice_repeats_total`: how often the race was won by sending again",
      "`curl -v http://SERVER/` from this machine",
    ],
    change: [
      "with `reused=1`: `upstreams.NAME.keep-alive.idle` to less than the server's own timeout, or have the " +
      "server say `Keep-Alive: timeout=N`, which Sluice follows",
      "a server that takes only so many: `upstreams.NAME.servers[N].max-connections`",
    ],
    errnos: [
      ["ECONNRESET", "the server sent a reset"],
      ["EPIPE", "the server had closed, and more was to be sent to it"],
      ["ETIMEDOUT", "the server vanished: what was sent to it was never confirmed"],
      ["EPROTO", "it broke off its TLS after the handshake; does it want a client certificate?"],
    ],
  },
  [Reason.ConnectionRefused]: {
    means:
      "The last server tried refused the connection, and no other took it: `tried=` says how many were " +
      "asked, each once.",
    causes: [
      "nothing listens on that address and port: the server is down, still starting, or on another port",
      "it listens on its loopback address only",
      "a firewall answers with a reset (REJECT)",
      "of a unix socket: the file is not there, or its queue is full",
      "of UDP: the server's machine said by ICMP that nobody listens there; new sessions pass it over for 10 s",
    ],
    look: [
      "`->`: the server; there: `ss -ltnp`; from here: `nc -vz HOST PORT`",
      "`sluice_server_up` and `sluice_server_connect_failures_total`, by server",
      "the log's lines about health, and `/status`: since when it is down, and why",
    ],
    change: [
      "start the server, or mend its address in `upstreams.NAME.servers`",
      "a second server in `upstreams.NAME.servers`: a connect that fails goes on to the next",
      "`upstreams.NAME.health`, if it is `off`: a server that is down is not asked at all",
    ],
    errnos: [
      ["ECONNREFUSED", "a reset came back, or nobody listens at the unix socket"],
      ["ENOENT", "there is no file of the unix socket's path"],
      ["EAGAIN", "the queue of the unix socket is full: its server does not accept fast enough"],
    ],
  },
  [Reason.ConnectionTimeout]: {
    means:
      "The last server tried did not accept within `upstreams.NAME.timeouts.connect`; each server that " +
      "is tried has that long.",
    causes: [
      "a firewall drops the packets without a word",
      "the host is down, or the address is not its any more",
      "the server's accept queue is full: it is overloaded or hangs, and its kernel drops what comes",
      "the table of connections (conntrack) of a machine on the way is full",
    ],
    look: [
      "`ms=` about `tried=` times the timeout: all servers are silent",
      "on the server: `ss -ltn` (Recv-Q at Send-Q: its queue is full), `nstat -az TcpExtListenOverflows`",
      "`nc -vz -w 3 HOST PORT` and `ip route get ADDRESS` from here",
      "`sluice doctor`: this machine's conntrack",
    ],
    change: [
      "the firewall or the address; a larger backlog and `net.core.somaxconn` at the server",
      "`upstreams.NAME.timeouts.connect`, 3s by default: within one site 500ms finds the next server sooner",
      "`upstreams.NAME.health`: what hangs is taken out before requests find it",
    ],
    errnos: [["ETIMEDOUT", "no answer came in time; nobody said no"]],
  },
  [Reason.Unroutable]: {
    means:
      "The last server tried cannot be reached from this machine: its own kernel, or a router, said so " +
      "at once.",
    causes: [
      "no route to that network, a link that is down, a host that does not answer on its own network",
      "an IPv6 address on a machine without IPv6",
      "a firewall of this machine forbids it; the unix socket is not for this user",
    ],
    look: [
      "`ip route get ADDRESS`, `ip addr`, `ip neigh`",
      "`nft list ruleset`, or `iptables -L OUTPUT -n`",
      "of a unix socket: `ls -l PATH`, and as which user Sluice runs",
    ],
    change: ["the route, the firewall, the socket's owner, or the address in `upstreams.NAME.servers`"],
    errnos: [
      ["EHOSTUNREACH", "a router, or the last network, does not find the host"],
      ["ENETUNREACH", "this machine has no route to that network"],
      ["ENETDOWN", "the interface is down"],
      ["EACCES", "a firewall says no; of a unix socket: the user may not write to it"],
      ["EPERM", "a local firewall (iptables, nftables, a policy of the container) says no"],
      ["EAFNOSUPPORT", "this machine does not speak that family: IPv6 is switched off"],
    ],
  },
  [Reason.DestinationUnavailable]: {
    means:
      "No server could be asked: at that moment every server of the upstream was down by its checks, drained, " +
      "disabled, or of weight 0, or its names stand for no address. Nothing was tried (`tried=0`).",
    causes: [
      "all servers fail their health check, by a fault of theirs or of the check",
      "all are drained or disabled, by `sluice drain` or `sluice disable`, or have weight 0; backups, too",
      "no name in `upstreams.NAME.servers` has resolved since the start",
    ],
    look: [
      "`sluice servers`: who is down, who is drained or disabled, whose weight is 0; `sluice explain tcp://HOST:PORT` says it as well",
      "`/status`: each server's health, what its last check heard, what its names resolve to",
      "`sluice_server_up` and `sluice_discovery_up`",
      "`/readyz`: 503 with the listeners concerned, for who stands before Sluice",
    ],
    change: [
      "what the check asks and expects: `upstreams.NAME.health.http`, `upstreams.NAME.health.expect`, " +
      "`upstreams.NAME.health.host`",
      "a check that is too strict: `upstreams.NAME.health.timeout`, `upstreams.NAME.health.fall`",
      "`sluice enable ADDRESS` for one that is drained or disabled; `sluice weight ADDRESS reset`, " +
      "`upstreams.NAME.servers[N].weight`",
      "DNS: `sluice doctor -c FILE` asks for every name in the file",
    ],
  },
  [Reason.TunnelIdle]: {
    means: "No byte went either way for `listeners.NAME.timeouts.tunnel-idle`: a TCP connection, or what a " +
      "request became by 101 (WebSocket).",
    causes: [
      "both sides are quiet by nature: a pool of database connections, a WebSocket without pings",
      "one side vanished without a word (a cable, a NAT, a sleeping laptop), and the other waits for it",
    ],
    look: ["`ms=`, `up=` and `down=`: did it ever work?"],
    change: [
      "`listeners.NAME.timeouts.tunnel-idle`, 1h by default, for all: `defaults.timeouts.tunnel-idle`",
      "pings of the application, or its TCP keep-alive, more often than that",
    ],
  },
  [Reason.ServerIdle]: {
    means: "A connection without HTTP: the last bytes were the client's, and the server said nothing for " +
      "`upstreams.NAME.timeouts.server-idle`, which holds there only where it is set.",
    causes: [
      "the server hangs, or takes longer for its answer than was thought",
      "a protocol in which the client may speak for long before the server does",
    ],
    look: ["`up=` and `down=`: was it the first question?", "the server's own log at that time"],
    change: ["`upstreams.NAME.timeouts.server-idle`: longer, or not at all"],
  },
  [Reason.WriteStall]: {
    means:
      "A connection without HTTP: what the server had sent was held for the client, who took nothing of it " +
      "for `listeners.NAME.timeouts.write-stall`. What fits the kernel's buffers is not seen from here: " +
      "`listeners.NAME.socket.user-timeout` looks after that.",
    causes: [
      "a client that stopped reading: a program that hangs, a paused transfer",
      "it vanished without a word in the midst of a transfer",
      "an attack by reading slowly",
    ],
    look: ["`down=`: how much was read for it", "`ss -tni` while it lasts: the Send-Q of the client"],
    change: [
      "`listeners.NAME.timeouts.write-stall`, 60s by default, for all: `defaults.timeouts.write-stall`",
    ],
  },
  [Reason.ServerWriteStall]: {
    means:
      "A connection without HTTP: what the client had sent was held for the server, which took nothing of " +
      "it for `upstreams.NAME.timeouts.write-stall`.",
    causes: ["the server hangs: it reads no more", "its machine or the way to it is gone, without a word"],
    look: ["`up=`: how much was read for it", "the server's own log at that time"],
    change: ["`upstreams.NAME.timeouts.write-stall`, 60s by default", "the server"],
  },
  [Reason.HalfClosed]: {
    means:
      "One side had ended its stream, as it may, and the other one neither said anything nor ended its own " +
      "for `listeners.NAME.timeouts.half-closed`.",
    causes: [
      "a server that does not look for the end of what it reads",
      "a client that says all it has to say, ends its stream, and waits long for its answer",
    ],
    look: ["`up=` and `down=`", "`ss -tn state fin-wait-2` and `close-wait` while it lasts"],
    change: [
      "`listeners.NAME.timeouts.half-closed`, 60s by default, for all: `defaults.timeouts.half-closed`",
    ],
  },
  [Reason.NoSource]: {
    means:
      "Connections or datagrams to this server are to come from an address or through an interface that this machine does " +
      "not have now, or from the client's own address, which is of another family than the server's.",
    causes: [
      "`source` or `socket.interface` names what is not there (any more): `ip addr` shows what is",
      "`source: client` where the client came by IPv6 and the server has IPv4, or the client by a unix socket",
    ],
    look: [
      "`errno=`",
      "`sluice status` tries it and tells it under Trouble, `sluice check -c FILE` before a start",
      "`ip addr`, `ip link`",
    ],
    change: [
      "`upstreams.NAME.source` and `upstreams.NAME.socket.interface`",
      "a listener of the servers' family (`tcp://0.0.0.0:PORT`), or servers with addresses of both",
    ],
    errnos: [
      [
        "ENODEV",
        "the address or the interface is not there, or the address is of another family than the server's",
      ],
    ],
  },
  [Reason.LimitReached]: {
    means: "A connection was accepted, and its reactor had no row left in its tables for it. At " +
      "`max-connections` itself nobody is refused: accepting pauses, and clients wait in the kernel's queue. " +
      "Datagrams cannot wait: there the oldest session that its server has not answered gives way, and " +
      "without one the newcomer's datagram is dropped; where listeners take connections too, at three quarters " +
      "of it.",
    causes: [
      "`max-connections`, or the limit on file descriptors which it is cut to, is too low for the load",
      "kept connections to servers fill the table",
    ],
    look: [
      "`sluice_connections_max` beside `sluice_listener_connections`",
      "`sluice_reactor_slots`, `sluice_reactor_idle_servers`, `sluice_accept_pauses_total`",
    ],
    change: [
      "`max-connections`, and the limit on file descriptors: `sluice doctor` has the number and the command",
      "`upstreams.NAME.keep-alive.max-idle`",
    ],
  },
  [Reason.OutOfResources]: {
    means:
      "This machine, or Sluice's share of it, lacked something: a port, a file descriptor, memory of the " +
      "kernel, or (without an errno) a block of memory in the reactor's own pool.",
    causes: [
      "many short connections to one server: its ports are all in use, or wait a minute in TIME-WAIT",
      "the limit on file descriptors",
      "without an errno: very many large heads, or clients that send and read slowly, at once",
    ],
    look: [
      "`sluice doctor -c FILE`: what the limits come to in connections",
      "`ss -s` (timewait), `process_open_fds` beside `process_max_fds`",
      "`sluice_reactor_blocks` and `sluice_peeked_reads_total`",
    ],
    change: [
      "EADDRNOTAVAIL: `net.ipv4.ip_local_port_range`, `net.ipv4.tcp_tw_reuse`, more servers, " +
      "`upstreams.NAME.keep-alive` on",
      "EMFILE: `LimitNOFILE=` of the unit; ENFILE: `fs.file-max`",
      "without an errno: more `reactors` (each has blocks of its own), or fewer `max-connections`",
    ],
    errnos: [
      ["EADDRNOTAVAIL", "no local port is left for that server"],
      ["EMFILE", "no file descriptor, or no row of a table, is left to this process"],
      ["ENFILE", "no file descriptor is left on the whole machine"],
      ["ENOBUFS", "the kernel has no memory for sockets"],
      ["ENOMEM", "the kernel has no memory"],
      ["ENOSPC", "the kernel watches as many descriptors as it may (`fs.epoll.max_user_watches`)"],
    ],
  },
  [Reason.Drained]: {
    means: "Sluice was stopped: the connection was still open when `drain-timeout` was over, or a second " +
      "signal or SIGINT ended it at once.",
    causes: ["a long transfer, a WebSocket or a TCP session outlived the time that a stop gives"],
    look: ["the log's lines about `drain`: how many had to finish, how many were closed"],
    change: [
      "`drain-timeout`, 30s by default; and the service manager's own (`TimeoutStopSec=`) to more than that",
    ],
  },
  [Reason.Removed]: {
    means:
      "A reload took away what the connection was made by: its listener, the route that its request took, or " +
      "its server. It had the time that `on-remove` gives, and was not done by then.",
    causes: [
      "the file has the listener, route or server no more; a WebSocket or a TCP session outlived `on-remove`",
    ],
    look: ["the log's lines of `reload`: what went away, and how many connections had how long"],
    change: [
      "`on-remove` of that listener, route or upstream, or in `defaults`: `keep`, or `drain` with a longer time",
      "put it back: what is there again before the time is over is touched by nobody",
    ],
  },
  [Reason.ClosedByOperator]: {
    means:
      "Somebody who may use the admin API closed the connection, or the session, with `sluice close`: both sides " +
      "got a reset, and a request that was under way ended with it.",
    causes: [
      "an operator at work: a client that misbehaves, a server that is to be rid of its last connections",
    ],
    look: ["the log's line about `audit` at that time: which connections were meant, and who asked"],
    change: ["nothing: clients may connect again; to keep one out, `listeners.NAME.deny`"],
  },
  [Reason.Bug]: {
    means: "Sluice broke a promise to itself about this one connection, which it ended. The others go on.",
    causes: ["a bug in Sluice, and never the fault of a client or server"],
    look: ["the log's line about `bug`, and `sluice_bugs_total`"],
    change: [REPORT],
  },
  [Reason.ReactorDied]: {
    means: "The thread that served the connection died by a bug and was replaced; what it had open is lost.",
    causes: ["a bug in Sluice"],
    look: [
      "the log's line about `reactors`, and `sluice_reactor_deaths_total`",
      "more than ten in a minute end the process with status 1, for its service manager to see",
    ],
    change: [REPORT],
  },
  [Reason.UnexpectedAnswer]: {
    means: "A health check was answered, and not with what it expects; or the connection ended before that.",
    causes: [
      "the server says that it is not well",
      "the check asks for a path, or with a Host, that the server does not have",
      "it speaks TLS or another protocol on that port",
    ],
    look: [
      "the log's line about `health` and `/status` say what was heard: the status, that it is no HTTP, that " +
      "the text is missing",
      "`curl -v http://SERVER/PATH` with the check's Host",
    ],
    change: [
      "`upstreams.NAME.health.http`, `upstreams.NAME.health.host`, `upstreams.NAME.health.expect`, " +
      "`upstreams.NAME.health.body`",
    ],
  },
  [Reason.NoAnswer]: {
    means: "A health check was connected, and the expected answer was not there within " +
      "`upstreams.NAME.health.timeout`.",
    causes: [
      "the server hangs or is overloaded",
      "the check's page is slow: it asks databases of its own",
      "a text protocol whose server waits for more than `upstreams.NAME.health.send` says",
    ],
    look: ["`/status`: what came as far as it came", "`sluice_checks_late_total`: whether checks start late"],
    change: [
      "`upstreams.NAME.health.timeout`, 1s by default; a cheaper page for `upstreams.NAME.health.http`",
    ],
  },
  [Reason.Healthy]: {
    means: "A health check passed. Only `/status` and the log at level debug tell of it.",
    causes: [],
    look: [],
    change: [],
  },
} as const satisfies Partial<Record<Reason, ReasonHelp>>;
