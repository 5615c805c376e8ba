// The part of the schema that is about upstreams: their servers, and how they are used.
import * as z from "zod";
import { type Address, readTarget, SERVER_CONNECTIONS, type Target } from "./address.ts";
import { backup, balance, RULES, slowStart, weight } from "./balance_schema.ts";
import { type Reading, refused, taken } from "./errors.ts";
import { health } from "./health_schema.ts";
import { count, countDoc, duration, durationDoc, key, text } from "./keys.ts";
import { sendProxy } from "./proxy_schema.ts";
import { onRemove } from "./remove_schema.ts";
import { source, upstreamSocket } from "./socket_schema.ts";
import { CONNECT_MS, IDLE_MS, ownTimeout, stallOf } from "./timeouts_schema.ts";
import { SERVER_TLS, upstreamTls } from "./tls_schema.ts";
import { type Range, readDuration } from "./units.ts";

/** One server of an upstream. */
export interface Server {
  readonly address: Address;
  /** Whether connections to it are TLS, by its scheme or because the upstream has tls. */
  readonly tls: boolean;
  /** See Target. */
  readonly base: string;
  /** Of all reactors; 0: no limit. */
  readonly "max-connections": number;
  /** 0: it gets nothing new. */
  readonly weight: number;
  readonly backup: boolean;
}

/** Connections to servers that are kept for the next request. */
export interface KeepAlive {
  /** By each reactor for each server; 0: none. */
  readonly "max-idle": number;
  /** For how long; auto: as long as the server says or shows. */
  readonly idle: number | "auto";
}

const KEEP_MAX: Range = { min: 1, max: 65_535 };
const KEEP_MAX_DEFAULT = 256;

function readIdle(input: string): Reading<number | "auto"> {
  if (input === "auto") return taken("auto");
  const reading = readDuration(input, IDLE_MS);
  return reading.ok ? reading : refused(reading.what, `${reading.remedy}, or auto`);
}

const keepAlive = z.union([
  z.literal("off").transform((): KeepAlive => ({ "max-idle": 0, idle: 0 })),
  z.strictObject({
    "max-idle": key(count(KEEP_MAX).prefault(KEEP_MAX_DEFAULT), {
      description: "idle connections kept by each reactor for each server",
      ...countDoc(KEEP_MAX),
    }),
    idle: key(text(readIdle).prefault("auto"), {
      description: "how long one is kept; auto is as long as the server says or shows",
      ...durationDoc(IDLE_MS),
      placeholder: "auto|DURATION",
    }),
  }).transform((value): KeepAlive => value),
]).prefault({});

function serverOf({ address, tls, base, maxConnections, weight, backup }: Target): Server {
  return { address, tls, base, "max-connections": maxConnections, weight, backup };
}

const serverText = text(readTarget).transform(serverOf);

const server = key(
  z.union([
    serverText,
    z.strictObject({
      address: key(text(readTarget), {
        description: "the server's address",
        placeholder: "TARGET",
        example: "10.0.0.1:8080",
      }),
      "max-connections": key(count(SERVER_CONNECTIONS).optional(), {
        description: "connections in use at once, by all reactors; more clients wait",
        defaultText: "no limit",
        ...countDoc(SERVER_CONNECTIONS),
      }),
      weight,
      backup,
    }).transform(({ address, "max-connections": most, weight, backup }): Server => {
      return serverOf({
        ...address,
        maxConnections: most ?? address.maxConnections,
        weight: weight ?? address.weight,
        backup: backup ?? address.backup,
      });
    }),
  ]),
  { description: "one server", placeholder: "TARGET" },
);

const fields = z.strictObject({
  balance: key(balance, {
    description: "how a server is chosen",
    placeholder: RULES.join("|"),
    flag: "--balance",
  }),
  servers: key(
    z.union([serverText, z.array(server).min(1)]).transform((value): Server[] =>
      Array.isArray(value) ? value : [value]
    ),
    { description: "the servers; one or a list", placeholder: "TARGETS", example: "10.0.0.1:8080" },
  ),
  "slow-start": slowStart,
  health: key(health.optional(), {
    description:
      "how servers are checked: by a connect, or, where only udp:// leads, not if nothing is said; " +
      "send and expect go by UDP there",
    placeholder: "off|tcp",
    short: "http",
    flag: "--health",
  }),
  "keep-alive": key(keepAlive, {
    description: "connections to HTTP servers that are kept for the next request; or off",
    placeholder: "off",
    short: "max-idle",
  }),
  "send-proxy": key(sendProxy.optional(), {
    description: "tell servers by a PROXY header whose connection it is; by UDP before each datagram (v2)",
    placeholder: "v1|v2",
    flag: "--send-proxy",
    example: "v2",
    short: "version",
  }),
  tls: key(upstreamTls.optional(), {
    description: "TLS to all of the servers; https:// and tls:// servers imply it",
  }),
  source,
  socket: key(upstreamSocket.prefault({}), { description: "what connections to the servers are made with" }),
  "on-remove": onRemove("to one of its servers"),
  timeouts: key(
    z.strictObject({
      connect: key(duration(CONNECT_MS).optional(), {
        description: "longest wait for one server to accept, TLS included",
        flag: "--connect-timeout",
        defaultText: "3s",
        ...durationDoc(CONNECT_MS),
      }),
      answer: ownTimeout("answer"),
      "server-idle": ownTimeout("server-idle", "--server-idle"),
      "write-stall": ownTimeout("write-stall", undefined, stallOf("server")),
      queue: ownTimeout("queue"),
    }).prefault({}),
    { description: "timeouts of this upstream" },
  ),
});

/** An upstream; wherever a server has TLS, there is what it asks of it. */
export const upstream = fields.transform(({ tls: given, servers: written, ...rest }) => {
  const servers = given === undefined ? written : written.map((server) => ({ ...server, tls: true }));
  const tls = given ?? (servers.some((server) => server.tls) ? SERVER_TLS : undefined);
  return { ...rest, servers, ...(tls === undefined ? {} : { tls }) };
});
