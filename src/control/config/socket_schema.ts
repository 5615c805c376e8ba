// The part of the schema that is about sockets: what listening ones are made with, which accepted ones inherit,
// and what connections to servers are.
import * as z from "zod";
import { quoted, type Reading, refused, taken } from "./errors.ts";
import { count, countDoc, duration, durationDoc, key, type KeyDoc, size, sizeDoc, text } from "./keys.ts";
import {
  BACKLOG,
  BUFFER_BYTES,
  DEFER_ACCEPT_MS,
  KEEP_ALIVE_COUNT,
  KEEP_ALIVE_MS,
  type Owner,
  readInterface,
  readMode,
  readOwner,
  readSeconds,
  readSource,
  type Source,
  USER_TIMEOUT_MS,
} from "./socket_values.ts";
import type { Range } from "./units.ts";

/** How a silent peer is asked whether it is there: after how long, how often, and how many times in vain. */
export interface KeepAliveProbes {
  readonly idle: number;
  readonly interval: number | undefined;
  readonly count: number | undefined;
}

function seconds(range: Range) {
  return text((input): Reading<number> => readSeconds(input, range));
}

/** A silence, or off. */
function readAsks(input: string): Reading<KeepAliveProbes | "off"> {
  if (input === "off") return taken("off");
  if (["0", "0s", "no", "none", "never", "false"].includes(input)) {
    return refused(`${quoted(input)} is no silence`, 'did you mean "off"?');
  }
  const idle = readSeconds(input, KEEP_ALIVE_MS);
  return idle.ok ? taken({ idle: idle.value, interval: undefined, count: undefined }) : idle;
}

const probes = z.union([
  text(readAsks),
  z.strictObject({
    idle: key(seconds(KEEP_ALIVE_MS), {
      description: "silence after which the first question is asked",
      ...durationDoc(KEEP_ALIVE_MS),
      example: "60s",
    }),
    interval: key(seconds(KEEP_ALIVE_MS).optional(), {
      description: "time between two questions",
      defaultText: "net.ipv4.tcp_keepalive_intvl",
      ...durationDoc(KEEP_ALIVE_MS),
    }),
    count: key(count(KEEP_ALIVE_COUNT).optional(), {
      description: "questions without an answer after which the peer is gone",
      defaultText: "net.ipv4.tcp_keepalive_probes",
      ...countDoc(KEEP_ALIVE_COUNT),
    }),
  }).transform(({ idle, interval, count }): KeepAliveProbes => ({ idle, interval, count })),
]);

/** What both sides have: each call documents keys of its own. */
function common(whom: string) {
  return {
    "keep-alive": key(probes.optional(), {
      description:
        `TCP keep-alive: asks a silent ${whom} whether it is there; the silence before it, or its keys`,
      placeholder: "off|DURATION",
      defaultText: "off",
      short: "idle",
    }),
    "user-timeout": key(duration(USER_TIMEOUT_MS).optional(), {
      description:
        `TCP_USER_TIMEOUT: ends a connection whose ${whom} confirms nothing of what was sent for so long`,
      defaultText: "the kernel's, some 15 minutes",
      ...durationDoc(USER_TIMEOUT_MS),
    }),
    nodelay: key(z.boolean().optional(), {
      description: "TCP_NODELAY: small pieces are sent at once, not gathered",
      placeholder: "true|false",
      defaultText: "true",
    }),
    interface: key(text(readInterface).optional(), {
      description: "the one interface that is used (SO_BINDTODEVICE)",
      placeholder: "NAME",
      example: "eth0",
    }),
    mptcp: key(z.boolean().optional(), {
      description: "Multipath TCP, where the kernel has it; peers without it get TCP",
      placeholder: "true|false",
      defaultText: "false",
    }),
    "receive-buffer": key(size(BUFFER_BYTES).optional(), {
      description: "SO_RCVBUF; the kernel cuts it to net.core.rmem_max, and tunes it no more",
      defaultText: "tuned by the kernel",
      ...sizeDoc(BUFFER_BYTES),
    }),
    "send-buffer": key(size(BUFFER_BYTES).optional(), {
      description: "SO_SNDBUF; the kernel cuts it to net.core.wmem_max, and tunes it no more",
      defaultText: "tuned by the kernel",
      ...sizeDoc(BUFFER_BYTES),
    }),
  };
}

/** A user or a group, of a file or of the process. */
export function ownerKey(doc: KeyDoc) {
  const read = (input: string): Reading<Owner> =>
    input === "root" ? { ok: true, value: { id: 0 } } : readOwner(input);
  return key(text(read).optional(), { placeholder: "NAME", ...doc });
}

function owner(what: string) {
  return ownerKey({ description: `${what} of a unix socket's file`, defaultText: "that of the process" });
}

export const listenerSocket = z.strictObject({
  backlog: key(count(BACKLOG).optional(), {
    description: "connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn",
    defaultText: String(BACKLOG.max),
    ...countDoc(BACKLOG),
  }),
  "defer-accept": key(seconds(DEFER_ACCEPT_MS).optional(), {
    description:
      "TCP_DEFER_ACCEPT: a connection comes with its first bytes, or after about so long without any; " +
      "not for protocols in which the server speaks first",
    defaultText: "off",
    ...durationDoc(DEFER_ACCEPT_MS),
  }),
  "fast-open": key(count(BACKLOG).optional(), {
    description:
      "TCP_FASTOPEN: bytes that come with the SYN, for so many connections at once that are not yet confirmed",
    defaultText: "off",
    ...countDoc(BACKLOG),
  }),
  ...common("client"),
  transparent: key(z.boolean().optional(), {
    description:
      "IP_TRANSPARENT: takes connections to addresses that are not this machine's, where routes bring them here",
    placeholder: "true|false",
    defaultText: "false",
  }),
  v6only: key(z.boolean().optional(), {
    description: "an IPv6 address takes no IPv4, so that another listener can have that",
    placeholder: "true|false",
    defaultText: "false",
  }),
  mode: key(
    z.union([z.string(), z.number()]).transform((value, context) => {
      const reading = typeof value === "number"
        ? refused(`${value} is a number`, 'write it in quotes, such as "0660"')
        : readMode(value);
      if (reading.ok) return reading.value;
      context.addIssue({ code: "custom", message: reading.what, params: { remedy: reading.remedy } });
      return z.NEVER;
    }).optional(),
    {
      description: "mode of a unix socket's file: who may connect",
      placeholder: '"0660"',
      defaultText: "by the umask",
    },
  ),
  user: owner("owner"),
  group: owner("group"),
});

export const upstreamSocket = z.strictObject({
  "fast-open": key(z.boolean().optional(), {
    description:
      "TCP_FASTOPEN_CONNECT: a client's first bytes go with the SYN, where they are there; a server that " +
      "refuses is then noticed too late for another to be tried",
    placeholder: "true|false",
    defaultText: "false",
  }),
  ...common("server"),
});

export const source = key(text((input): Reading<Source> => readSource(input)).optional(), {
  description:
    "where connections and datagrams to the servers come from: an address of this machine, or client, which is " +
    "the client's own (transparent: needs CAP_NET_ADMIN, and routes that bring the answers back here)",
  placeholder: "IP|client",
  example: "10.0.0.9",
});

export type ListenerSocket = z.output<typeof listenerSocket>;
export type UpstreamSocket = z.output<typeof upstreamSocket>;
