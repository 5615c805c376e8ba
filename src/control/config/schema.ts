// The one source of Sluice's configuration: names, defaults, bounds, and the words that --help and
// other documentation are made of. A file and the command line both come through here. Values leave
// converted (durations in milliseconds, texts as bytes); names stay as they are in the file.
// Every key has a default or says that it is required; every value has a bound.
import * as z from "zod";
import { REACTORS_MAX } from "../../base/limits.ts";
import { type IpAddress, readAdminHostPort, readUnixPath, type UnixAddress } from "./address.ts";
import { readCidr } from "./cidr.ts";
import { errorPages } from "./error_pages.ts";
import { didYouMean, NOT_SUPPORTED, quoted, type Reading, refused, taken } from "./errors.ts";
import { forwarded } from "./forwarding_schema.ts";
import {
  count,
  countDoc,
  docs,
  duration,
  durationDoc,
  give,
  key,
  type KeyDoc,
  oneOrList,
  text,
} from "./keys.ts";
import { allow, deny, limits } from "./limits_schema.ts";
import { type Listen, readListen } from "./listen.ts";
import { healthByDefault } from "./health_schema.ts";
import { ledToBy, onlyByDatagrams } from "./leads.ts";
import type { ListFiles } from "./list_files.ts";
import { log } from "./log_schema.ts";
import type { PageFiles } from "./page_files.ts";
import { proxies } from "./proxy_schema.ts";
import { route } from "./route_schema.ts";
import { CONNECT_MS, defaultTimeout, IDLE_MS, ownTimeout, stallOf } from "./timeouts_schema.ts";
import { sni } from "./sni_schema.ts";
import { onRemove, onRemoveDefault } from "./remove_schema.ts";
import { listenerSocket, ownerKey } from "./socket_schema.ts";
import { hsts, listenerTls } from "./tls_schema.ts";
import { readFilePath } from "./tls_values.ts";
import { udp } from "./udp_schema.ts";
import { type Range, readCount } from "./units.ts";
import { upstream } from "./upstream_schema.ts";

/** Where the admin API listens. `byDefault`: nobody asked, so a failure is only a warning. */
export type Admin =
  | { readonly kind: "off"; readonly byDefault: boolean }
  | { readonly kind: "unix"; readonly address: UnixAddress; readonly byDefault: boolean }
  | { readonly kind: "http"; readonly address: IpAddress; readonly byDefault: false };

/** Client connections at once. `byDefault`: nobody asked for so many, so fewer will do. */
export interface MaxConnections {
  readonly most: number;
  readonly byDefault: boolean;
}

/** A configuration is read once: compiling its checks takes longer than doing them. */
z.config({ jitless: true });

const NAME_CHARACTERS_MAX = 512;
const TOKEN_CHARACTERS_MAX = 512;

/** The control plane's own. */
const DRAIN_MS: Range = { min: 0, max: 86_400_000 };
const CONNECTIONS: Range = { min: 1, max: 1_000_000 };
const CONNECTIONS_DEFAULT = 100_000;
const REACTORS: Range = { min: 1, max: REACTORS_MAX };

function readReactors(input: string | number): Reading<number | "auto"> {
  if (input === "auto") return taken("auto");
  const reading = readCount(input, REACTORS);
  if (reading.ok) return reading;
  const remedy = `write auto or a number from ${REACTORS.min} to ${REACTORS.max}`;
  return refused(reading.what, typeof input === "string" ? didYouMean(input, ["auto"], remedy) : remedy);
}

/** Reads where the admin API is: `unix:/PATH`, `http://HOST:PORT` (an IP address or localhost), `off`. */
export function readAdmin(input: string): Reading<Admin> {
  const forms = "write unix:/PATH, http://HOST:PORT or off";
  if (input === "off") return taken({ kind: "off", byDefault: false });
  if (input.startsWith("unix:")) {
    const address = readUnixPath(input.slice("unix:".length));
    return address.ok ? taken({ kind: "unix", address: address.value, byDefault: false }) : address;
  }
  if (input.startsWith("http://")) {
    const address = readAdminHostPort(input.slice("http://".length).replace(/\/$/, ""));
    return address.ok ? taken({ kind: "http", address: address.value, byDefault: false }) : address;
  }
  if (input.startsWith("https://")) return refused(`https:// is ${NOT_SUPPORTED}`, forms);
  return refused(`${quoted(input)} is no admin address`, forms);
}

/** What an HTTP Authorization field can carry. The text itself is never repeated. */
export function readToken(input: string): Reading<string> {
  if (input === "") return refused("empty", "write the token");
  if (input.length > TOKEN_CHARACTERS_MAX) {
    return refused(`longer than ${TOKEN_CHARACTERS_MAX} characters`, "choose a shorter token");
  }
  if (!/^[\x21-\x7e]+$/.test(input)) {
    return refused("holds a character that HTTP cannot carry", "write printable ASCII without spaces");
  }
  return taken(input);
}

/** The name of a listener or an upstream. */
const name = z.string().refine(
  (input) => input !== "" && input.length <= NAME_CHARACTERS_MAX && !/[\p{Cc}\p{Cf}\p{Cs}]/u.test(input),
  {
    message: "is no name",
    params: { remedy: `write 1 to ${NAME_CHARACTERS_MAX} printable characters` },
  },
);

const defaults = z.strictObject({
  timeouts: key(
    z.strictObject({
      connect: key(duration(CONNECT_MS).prefault("3s"), {
        description: "longest wait for one server to accept a connection, TLS included",
        ...durationDoc(CONNECT_MS),
      }),
      "tunnel-idle": key(duration(IDLE_MS).prefault("1h"), {
        description: "a connection that moves no byte for so long is closed",
        ...durationDoc(IDLE_MS),
      }),
      "client-idle": defaultTimeout("client-idle"),
      "request-head": defaultTimeout("request-head"),
      "body-stall": defaultTimeout("body-stall"),
      exchange: defaultTimeout("exchange"),
      answer: defaultTimeout("answer"),
      "server-idle": defaultTimeout("server-idle"),
      "write-stall": defaultTimeout("write-stall"),
      "half-closed": defaultTimeout("half-closed"),
      queue: defaultTimeout("queue"),
      handshake: defaultTimeout("handshake"),
    }).prefault({}),
    { description: "timeouts of every listener and upstream that has no own" },
  ),
  "on-remove": onRemoveDefault,
});

const bind = text(readListen);

const listener = z.strictObject({
  bind: key(
    z.union([bind, z.array(bind).min(1)]).transform((value): Listen[] =>
      Array.isArray(value) ? value : [value]
    ),
    {
      description: "where to listen; one or a list",
      placeholder: "LISTEN",
      example: "tcp://:5432",
    },
  ),
  to: key(z.string().optional(), {
    description: "name of the upstream that gets the connections, or the requests that no route takes",
    placeholder: "UPSTREAM",
  }),
  sni: key(sni.optional(), {
    description: "where connections of TLS go by the name that they ask for, without it being ended; " +
      "instead of to",
    placeholder: "NAME: UPSTREAM",
  }),
  tls: key(listenerTls.optional(), { description: "TLS of https:// and tls://, and where sni ends it" }),
  "redirect-to-https": key(z.boolean().prefault(false), {
    description:
      "sends requests that come over http:// to https://, unless a proxy that is trusted says by " +
      "X-Forwarded-Proto that they came to it so",
    placeholder: "true|false",
    defaultText: "false",
  }),
  hsts: key(hsts.optional(), {
    description: "tells browsers to keep to https:// (Strict-Transport-Security)",
    short: "max-age",
  }),
  udp: key(udp, { description: "sessions of udp://: the datagrams of one client, and those sent back" }),
  routes: key(z.array(route).prefault([]), {
    description: "what becomes of which requests: the most specific match wins, then the first",
  }),
  trust: key(oneOrList(text(readCidr)).optional(), {
    description: "proxies before this one: whose X-Forwarded-*, Forwarded, X-Real-IP and X-Request-ID are " +
      "believed; one prefix or a list",
    placeholder: "CIDR",
    example: "10.0.0.0/8",
  }),
  allow,
  deny,
  limits: key(limits.prefault({}), {
    description: "how many connections clients may have, and how fast",
  }),
  "accept-proxy": key(proxies.optional(), {
    description:
      "proxies that tell by a PROXY header whose connection, or datagram, it is; all others are refused",
    placeholder: "CIDR",
    flag: "--accept-proxy",
    many: true,
    commas: true,
    example: "10.0.0.0/8",
  }),
  forwarded: key(forwarded, { description: "what servers are told of the client" }),
  "proxy-status": key(z.enum(["on", "off", "all"]).prefault("on"), {
    description:
      "Proxy-Status (RFC 9209): on Sluice's own answers, on none, or on all with the server's address",
    placeholder: "on|off|all",
  }),
  "error-pages": key(errorPages, {
    description: "what Sluice says when there is no answer to forward, in place of its own words",
    placeholder: "STATUS: { html: TEXT }",
  }),
  "on-remove": onRemove("that came by this listener"),
  socket: key(listenerSocket.prefault({}), {
    description: "what its sockets are made with; those that are accepted inherit it",
  }),
  timeouts: key(
    z.strictObject({
      "tunnel-idle": key(duration(IDLE_MS).optional(), {
        description: "close a connection that moves no byte for so long",
        flag: "--tunnel-idle",
        defaultText: "1h",
        ...durationDoc(IDLE_MS),
      }),
      "client-idle": ownTimeout("client-idle", "--client-idle"),
      "request-head": ownTimeout("request-head"),
      "body-stall": ownTimeout("body-stall"),
      exchange: ownTimeout("exchange"),
      "write-stall": ownTimeout("write-stall", undefined, stallOf("client")),
      "half-closed": ownTimeout("half-closed"),
      handshake: ownTimeout("handshake"),
    }).prefault({}),
    { description: "timeouts of this listener" },
  ),
});

const file = key(
  z.strictObject({
    include: key(oneOrList(z.string()).optional(), {
      description:
        "further files of this configuration, by path or pattern; relative ones from this file's " +
        "directory on. Sections are joined, anything else stands in one file only",
      placeholder: "PATH",
      example: "conf.d/*.yaml",
    }),
    reactors: key(
      z.union([z.number(), z.string()]).transform((input, context) => give(readReactors(input), context))
        .prefault("auto"),
      {
        description: "threads that move traffic; auto is one per core",
        flag: "--reactors",
        ...countDoc(REACTORS),
        placeholder: "auto|N",
      },
    ),
    accept: key(z.enum(["balanced", "reuseport"]).prefault("balanced"), {
      description: "one reactor accepts and hands over, or each accepts for itself",
      placeholder: "balanced|reuseport",
      flag: "--accept",
    }),
    admin: key(text(readAdmin).optional(), {
      description: "metrics, status and health of Sluice itself",
      placeholder: "unix:/PATH|http://HOST:PORT|off",
      flag: "--admin",
      example: "http://127.0.0.1:9900",
      defaultText: "unix:/run/sluice.sock as root, with user unix:/run/sluice/sluice.sock, else in " +
        "$RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR",
    }),
    "admin-token": key(text(readToken).optional(), {
      description: "asked of admin clients; needed beyond loopback",
      placeholder: "TOKEN",
      flag: "--admin-token",
      range: "1 to 512 characters",
      secret: true,
    }),
    log: key(log.prefault({}), { description: "logging" }),
    "drain-timeout": key(duration(DRAIN_MS).prefault("30s"), {
      description: "time that connections have to finish at a stop",
      flag: "--drain-timeout",
      ...durationDoc(DRAIN_MS),
    }),
    "max-connections": key(count(CONNECTIONS).optional(), {
      description: "client connections at once; sizes the tables",
      flag: "--max-connections",
      defaultText: String(CONNECTIONS_DEFAULT),
      ...countDoc(CONNECTIONS),
    }),
    "tls-ticket-keys": key(text(readFilePath).optional(), {
      description:
        "keys of session tickets, 80 bytes each, the first of which new tickets get; for those who " +
        "share them between machines",
      placeholder: "FILE",
      example: "/etc/sluice/tickets.key",
      defaultText: "made at start, and anew from time to time",
    }),
    user: ownerKey({
      description:
        "who Sluice is once it has opened its sockets and read its keys, when it is started as root",
      example: "sluice",
      defaultText: "who started it",
    }),
    group: ownerKey({
      description: "its group, instead of that user's own",
      defaultText: "that of the user",
    }),
    defaults: key(defaults.prefault({}), {
      description: "inherited by every listener and upstream",
    }),
    listeners: key(
      z.record(
        name,
        key(listener, {
          description: "a listener, by name",
          short: "bind",
          later: [
            "forward-proxy",
            "ban",
          ],
        }),
      ).prefault({}),
      { description: "where clients connect" },
    ),
    upstreams: key(
      z.record(
        name,
        key(upstream, {
          description: "a group of servers, by name",
          short: "servers",
          later: [
            "outlier",
            "retry",
            "sticky",
            "protocol",
            "circuit-breaker",
            "concurrency",
          ],
        }),
      ).prefault({}),
      { description: "where connections go" },
    ),
  }),
  { description: "the configuration", later: ["stores", "caches"] },
);

/** What a key inherits is written into it, so nobody has to know where it came from. */
function inherit(config: z.output<typeof file>) {
  const { timeouts } = config.defaults, all = Object.values(config.listeners);
  const byDatagrams = onlyByDatagrams(all), byStreams = ledToBy(all, "tcp");
  const listeners = Object.entries(config.listeners).map(([name, listener]) => {
    const own = {
      "tunnel-idle": listener.timeouts["tunnel-idle"] ?? timeouts["tunnel-idle"],
      "client-idle": listener.timeouts["client-idle"] ??
        (listener.bind[0].protocol === "http" ? timeouts["client-idle"] : 0),
      "write-stall": listener.timeouts["write-stall"] ?? timeouts["write-stall"],
      "half-closed": listener.timeouts["half-closed"] ?? timeouts["half-closed"],
      "request-head": listener.timeouts["request-head"] ?? timeouts["request-head"],
      "body-stall": listener.timeouts["body-stall"] ?? timeouts["body-stall"],
      exchange: listener.timeouts.exchange ?? timeouts.exchange,
      handshake: listener.timeouts.handshake ?? timeouts.handshake,
    };
    const proxies = listener["accept-proxy"] ?? [];
    return [name, {
      ...listener,
      trust: listener.trust ?? [],
      "accept-proxy": proxies,
      "on-remove": listener["on-remove"] ?? config.defaults["on-remove"],
      timeouts: own,
    }] as const;
  });
  const upstreams = Object.entries(config.upstreams).map(([name, upstream]) => {
    const own = {
      connect: upstream.timeouts.connect ?? timeouts.connect,
      answer: upstream.timeouts.answer ?? timeouts.answer,
      "server-idle": upstream.timeouts["server-idle"] ?? timeouts["server-idle"],
      /** The same without HTTP, where the default has no say; 0: no limit. */
      silence: byStreams.has(name) ? upstream.timeouts["server-idle"] ?? 0 : 0,
      "write-stall": upstream.timeouts["write-stall"] ?? timeouts["write-stall"],
      queue: upstream.timeouts.queue ?? timeouts.queue,
    };
    const health = upstream.health ?? healthByDefault(byDatagrams.has(name));
    const policy = upstream["on-remove"] ?? config.defaults["on-remove"];
    return [name, { ...upstream, health, "on-remove": policy, timeouts: own }] as const;
  });
  const access = { ...config.log.access, format: config.log.access.format ?? config.log.format };
  const most = config["max-connections"];
  const maxConnections: MaxConnections = { most: most ?? CONNECTIONS_DEFAULT, byDefault: most === undefined };
  return {
    ...config,
    "max-connections": maxConnections,
    log: { ...config.log, access },
    listeners: Object.fromEntries(listeners),
    upstreams: Object.fromEntries(upstreams),
  };
}

/** The schema of a whole configuration, as a file has it or flags put it together. */
export const configSchema = file.transform(inherit);

/**
 * A checked configuration: kebab-case keys as in the file, every default and every inherited value
 * filled in, durations in milliseconds, files that it names read.
 */
export type Config = z.output<typeof configSchema> & {
  readonly admin: Admin;
  readonly "page-files": PageFiles;
  readonly "list-files": ListFiles;
};

/** A documented key: its path with `*` for a name or an index, its documentation, default and schema. */
export interface Key {
  readonly path: readonly string[];
  readonly doc: KeyDoc;
  /** The default as it would be written; undefined if there is none or it is no plain value. */
  readonly default: string | undefined;
  readonly schema: z.core.$ZodType;
}

/** Every documented key of the schema, sections before what they hold; the whole has the path []. */
export const KEYS: readonly Key[] = [...keysOf(file, [], undefined)];

function* keysOf(
  schema: z.core.$ZodType,
  path: readonly string[],
  outerDefault: string | undefined,
): Generator<Key> {
  const fallback = schema instanceof z.ZodPrefault ? plain(schema.def.defaultValue) : outerDefault;
  const doc = docs.get(schema as z.ZodType);
  if (doc !== undefined) yield { path, doc, default: doc.defaultText ?? fallback, schema };
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    yield* keysOf(schema.def.innerType, path, fallback);
  } else if (schema instanceof z.ZodPipe) {
    yield* keysOf(schema.def.in, path, fallback);
  } else if (schema instanceof z.ZodUnion) {
    for (const option of schema.def.options) yield* keysOf(option, path, fallback);
  } else if (schema instanceof z.ZodArray) {
    yield* keysOf(schema.def.element, [...path, "*"], undefined);
  } else if (schema instanceof z.ZodRecord) {
    yield* keysOf(schema.def.valueType, [...path, "*"], undefined);
  } else if (schema instanceof z.ZodObject) {
    for (const [key, value] of Object.entries(schema.def.shape)) {
      yield* keysOf(value, [...path, key], undefined);
    }
  }
}

function plain(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}
