// The one source of Sluice's configuration: names, defaults, bounds, and the words that --help and
// other documentation are made of. A file and the command line both come through here. Values leave
// converted (durations in milliseconds, texts as bytes); names stay as they are in the file.
// Every key has a default or says that it is required; every value has a bound.
import * as z from "zod";
import { REACTORS_MAX } from "../../base/limits.ts";
import {
  type Address,
  type IpAddress,
  type Listen,
  readAdminHostPort,
  readListen,
  readTarget,
  readUnixPath,
  type UnixAddress,
} from "./address.ts";
import { didYouMean, nearest, NOT_SUPPORTED, quoted, type Reading, refused, shown, taken } from "./errors.ts";
import { type Expectation, readEscapes, readExpectation } from "./escapes.ts";
import { formatDuration, type Range, readCount, readDuration } from "./units.ts";

/** What is said about a key wherever it is documented. */
export interface KeyDoc {
  readonly description: string;
  /** How the value is written: `DURATION`, `auto|N`. */
  readonly placeholder?: string;
  /** The flag of the quick mode that gives this value, with its dashes. */
  readonly flag?: string;
  readonly example?: string;
  /** The unit of the converted value. */
  readonly unit?: "ms" | "count" | "bytes";
  readonly range?: string;
  /** The default in words, where it is no plain value of the schema. */
  readonly defaultText?: string;
  /** Keys or values that are designed but not supported in this version. */
  readonly later?: readonly string[];
  /** The value is never shown, not in an error either. */
  readonly secret?: boolean;
}

/** The documentation of every key, found by the key's own schema. */
export const docs = z.registry<KeyDoc>();

/** Where the admin API listens. `byDefault`: nobody asked, so a failure is only a warning. */
export type Admin =
  | { readonly kind: "off"; readonly byDefault: boolean }
  | { readonly kind: "unix"; readonly address: UnixAddress; readonly byDefault: boolean }
  | { readonly kind: "http"; readonly address: IpAddress; readonly byDefault: false };

/** Where access records go. */
export type AccessLogTarget =
  | { readonly kind: "stderr" | "stdout" | "off" }
  | { readonly kind: "file"; readonly path: string };

/** How the servers of an upstream are checked; durations in milliseconds. */
export interface HealthCheck {
  /** Only the connect is checked: nothing is sent, no answer is waited for. */
  readonly tcp: boolean;
  /** Sent once connected; empty if the server speaks first. */
  readonly send: Uint8Array;
  /** What the answer must hold; undefined exactly if `tcp`. */
  readonly expect: Expectation | undefined;
  readonly interval: number;
  readonly timeout: number;
  /** Failures in a row that eject a server. */
  readonly fall: number;
  /** Successes in a row that bring it back. */
  readonly rise: number;
}

/** One server of an upstream. */
export interface Server {
  readonly address: Address;
}

const NAME_CHARACTERS_MAX = 512;
const PATH_CHARACTERS_MAX = 4_000;
const TOKEN_CHARACTERS_MAX = 512;

const CONNECT_MS: Range = { min: 10, max: 3_600_000 };
const TUNNEL_IDLE_MS: Range = { min: 100, max: 7 * 86_400_000 };
const DRAIN_MS: Range = { min: 0, max: 86_400_000 };
const INTERVAL_MS: Range = { min: 100, max: 3_600_000 };
const PROBE_TIMEOUT_MS: Range = { min: 10, max: 3_600_000 };
const FALL_RISE: Range = { min: 1, max: 100 };
const CONNECTIONS: Range = { min: 1, max: 1_000_000 };
const REACTORS: Range = { min: 1, max: REACTORS_MAX };

/** Attaches a key's documentation to its schema, which must be this key's alone. */
function key<S extends z.ZodType>(schema: S, doc: KeyDoc): S {
  docs.add(schema, doc);
  return schema;
}

/** A text that `reader` converts; its error and remedy become the issue. */
function text<T>(reader: (text: string) => Reading<T>) {
  return z.string().transform((input, context): T => give(reader(input), context));
}

/** A whole number, written as a number or as digits. */
function count(range: Range) {
  return z.union([z.number(), z.string()]).transform((input, context): number =>
    give(readCount(input, range), context)
  );
}

function duration(range: Range) {
  return text((input) => readDuration(input, range));
}

function give<T>(reading: Reading<T>, context: z.RefinementCtx): T {
  if (reading.ok) return reading.value;
  context.addIssue({ code: "custom", message: reading.what, params: { remedy: reading.remedy } });
  return z.NEVER;
}

function durationDoc(range: Range): Pick<KeyDoc, "placeholder" | "unit" | "range"> {
  const words = `${formatDuration(range.min)} to ${formatDuration(range.max)}`;
  return { placeholder: "DURATION", unit: "ms", range: words };
}

function countDoc(range: Range): Pick<KeyDoc, "placeholder" | "unit" | "range"> {
  return { placeholder: "N", unit: "count", range: `${range.min} to ${range.max}` };
}

function readReactors(input: string | number): Reading<number | "auto"> {
  if (input === "auto") return taken("auto");
  const reading = readCount(input, REACTORS);
  if (reading.ok) return reading;
  const remedy = `write auto or a number from ${REACTORS.min} to ${REACTORS.max}`;
  return refused(reading.what, typeof input === "string" ? didYouMean(input, ["auto"], remedy) : remedy);
}

function readAdmin(input: string): Reading<Admin> {
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

function readAccessLog(input: string): Reading<AccessLogTarget> {
  const words = ["stderr", "stdout", "off"] as const;
  const word = words.find((known) => known === input);
  if (word !== undefined) return taken({ kind: word });
  if (input === "") return refused("empty", "write off, stderr, stdout or a PATH");
  if (input.length > PATH_CHARACTERS_MAX) {
    return refused(`a path of ${input.length} characters`, `write at most ${PATH_CHARACTERS_MAX}`);
  }
  if (/[\p{Cc}\p{Cs}]/u.test(input)) {
    return refused(`${quoted(input)} holds a control character`, "write a path in printable characters");
  }
  const meant = /^[a-zA-Z]+$/.test(input) ? nearest(input, words) : undefined;
  if (meant !== undefined) {
    return refused(
      `${quoted(input)} is neither off, stderr nor stdout`,
      `did you mean ${quoted(meant)}? A file of that name is ./${shown(input)}`,
    );
  }
  return taken({ kind: "file", path: input });
}

/** What an HTTP Authorization field can carry. The text itself is never repeated. */
function readToken(input: string): Reading<string> {
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

const logFormats = z.enum(["text", "json"]);

const log = z.strictObject({
  level: key(z.enum(["debug", "info", "warn", "error"]).prefault("info"), {
    description: "the least severe messages that are logged",
    placeholder: "debug|info|warn|error",
    flag: "--log-level",
  }),
  format: key(logFormats.prefault("text"), {
    description: "format of the log and the access log",
    placeholder: "text|json",
    flag: "--log-format",
  }),
  access: key(
    z.strictObject({
      to: key(text(readAccessLog).prefault("stderr"), {
        description: "one record for each connection, at its end",
        placeholder: "off|stderr|stdout|PATH",
        flag: "--access-log",
        example: "/var/log/sluice/access.log",
      }),
      format: key(logFormats.optional(), {
        description: "format of access records",
        placeholder: "text|json",
        defaultText: "as log.format",
      }),
    }).prefault({}),
    { description: "access records", later: ["template", "sample"] },
  ),
});

const defaults = z.strictObject({
  timeouts: key(
    z.strictObject({
      connect: key(duration(CONNECT_MS).prefault("3s"), {
        description: "longest wait for one server to accept a connection",
        ...durationDoc(CONNECT_MS),
      }),
      "tunnel-idle": key(duration(TUNNEL_IDLE_MS).prefault("1h"), {
        description: "a connection that moves no byte for so long is closed",
        ...durationDoc(TUNNEL_IDLE_MS),
      }),
    }).prefault({}),
    {
      description: "timeouts of every listener and upstream that has no own",
      later: [
        "client-idle",
        "server-idle",
        "request-head",
        "answer",
        "body-stall",
        "exchange",
        "write-stall",
        "half-closed",
        "queue",
        "handshake",
      ],
    },
  ),
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
  to: key(z.string(), {
    description: "name of the upstream that gets the connections",
    placeholder: "UPSTREAM",
  }),
  timeouts: key(
    z.strictObject({
      "tunnel-idle": key(duration(TUNNEL_IDLE_MS).optional(), {
        description: "close a connection that moves no byte for so long",
        flag: "--tunnel-idle",
        defaultText: "1h",
        ...durationDoc(TUNNEL_IDLE_MS),
      }),
    }).prefault({}),
    {
      description: "timeouts of this listener",
      later: ["client-idle", "request-head", "handshake", "half-closed"],
    },
  ),
});

const check = z.strictObject({
  tcp: key(z.literal(true).optional(), {
    description: "check only that the server accepts a connection",
    placeholder: "true",
  }),
  send: key(text(readEscapes).optional(), {
    description: "what a check sends; \\n \\r \\t \\\\ \\xHH",
    placeholder: "TEXT",
    flag: "--health-send",
    example: "PING\\r\\n",
    range: "1 to 4096 bytes",
  }),
  expect: key(text(readExpectation).optional(), {
    description: "text in a good answer, or /REGEX/ (PCRE2)",
    placeholder: "TEXT|/REGEX/",
    flag: "--health-expect",
    example: "+PONG",
    range: "1 to 4096 bytes",
  }),
  interval: key(duration(INTERVAL_MS).prefault("2s"), {
    description: "time between two checks of a server",
    flag: "--health-interval",
    ...durationDoc(INTERVAL_MS),
  }),
  timeout: key(duration(PROBE_TIMEOUT_MS).prefault("1s"), {
    description: "a check that takes longer has failed",
    flag: "--health-timeout",
    ...durationDoc(PROBE_TIMEOUT_MS),
  }),
  fall: key(count(FALL_RISE).prefault(3), {
    description: "failures in a row that eject a server",
    flag: "--health-fall",
    ...countDoc(FALL_RISE),
  }),
  rise: key(count(FALL_RISE).prefault(2), {
    description: "successes in a row that bring it back",
    flag: "--health-rise",
    ...countDoc(FALL_RISE),
  }),
}).superRefine((value, context) => {
  if (value.tcp === true && (value.send !== undefined || value.expect !== undefined)) {
    context.addIssue({
      code: "custom",
      path: ["tcp"],
      message: "a check of the connection alone contradicts send and expect",
      params: { remedy: "give either tcp, or send and expect" },
    });
  } else if (value.send !== undefined && value.expect === undefined) {
    context.addIssue({
      code: "custom",
      path: ["send"],
      message: "nothing says what a good answer is",
      params: { remedy: "give the text to expect as well" },
    });
  }
});

function healthOf(value: "off" | "tcp" | z.output<typeof check>): "off" | HealthCheck {
  if (value === "off") return "off";
  const { send, expect, interval, timeout, fall, rise } = value === "tcp" ? check.parse({}) : value;
  return {
    tcp: expect === undefined,
    send: send ?? new Uint8Array(0),
    expect,
    interval,
    timeout,
    fall,
    rise,
  };
}

const upstream = z.strictObject({
  balance: key(z.enum(["round-robin"]).prefault("round-robin"), {
    description: "how a server is chosen",
    placeholder: "round-robin",
    flag: "--balance",
    later: ["least-connections", "random-two", "peak-ewma", "source-hash", "consistent-hash", "first"],
  }),
  servers: key(
    z.array(
      key(
        z.union([
          text(readTarget).transform((address): Server => ({ address })),
          z.strictObject({
            address: key(text(readTarget), {
              description: "the server's address",
              placeholder: "TARGET",
              example: "10.0.0.1:8080",
            }),
          }),
        ]),
        { description: "one server", placeholder: "TARGET", later: ["weight", "backup", "max-connections"] },
      ),
    ).min(1),
    { description: "the servers", placeholder: "TARGETS", example: "10.0.0.1:8080" },
  ),
  health: key(z.union([z.enum(["off", "tcp"]), check]).transform(healthOf).prefault("tcp"), {
    description: "how servers are checked",
    placeholder: "off|tcp",
    flag: "--health",
    later: ["http"],
  }),
  timeouts: key(
    z.strictObject({
      connect: key(duration(CONNECT_MS).optional(), {
        description: "longest wait for one server to accept",
        flag: "--connect-timeout",
        defaultText: "3s",
        ...durationDoc(CONNECT_MS),
      }),
    }).prefault({}),
    { description: "timeouts of this upstream", later: ["server-idle", "answer", "queue"] },
  ),
});

const file = key(
  z.strictObject({
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
      defaultText: "unix:/run/sluice.sock as root, else unix:$XDG_RUNTIME_DIR/sluice.sock",
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
    "max-connections": key(count(CONNECTIONS).prefault(100_000), {
      description: "client connections at once; sizes the tables",
      flag: "--max-connections",
      ...countDoc(CONNECTIONS),
    }),
    defaults: key(defaults.prefault({}), {
      description: "inherited by every listener and upstream",
      later: ["on-remove"],
    }),
    listeners: key(
      z.record(
        name,
        key(listener, {
          description: "a listener, by name",
          later: [
            "accept-proxy",
            "allow",
            "deny",
            "limits",
            "on-remove",
            "udp",
            "tls",
            "sni",
            "forward-proxy",
            "redirect-to-https",
            "hsts",
            "trust",
            "routes",
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
          later: [
            "slow-start",
            "outlier",
            "retry",
            "sticky",
            "keep-alive",
            "tls",
            "protocol",
            "circuit-breaker",
            "concurrency",
            "send-proxy",
            "on-remove",
          ],
        }),
      ).prefault({}),
      { description: "where connections go" },
    ),
  }),
  { description: "the configuration", later: ["user", "stores", "caches"] },
);

/** What a key inherits is written into it, so nobody has to know where it came from. */
function inherit(config: z.output<typeof file>) {
  const { connect, "tunnel-idle": tunnelIdle } = config.defaults.timeouts;
  const listeners = Object.entries(config.listeners).map(([name, listener]) => {
    const timeouts = { "tunnel-idle": listener.timeouts["tunnel-idle"] ?? tunnelIdle };
    return [name, { ...listener, timeouts }] as const;
  });
  const upstreams = Object.entries(config.upstreams).map(([name, upstream]) => {
    const timeouts = { connect: upstream.timeouts.connect ?? connect };
    return [name, { ...upstream, timeouts }] as const;
  });
  const access = { ...config.log.access, format: config.log.access.format ?? config.log.format };
  return {
    ...config,
    log: { ...config.log, access },
    listeners: Object.fromEntries(listeners),
    upstreams: Object.fromEntries(upstreams),
  };
}

/** The schema of a whole configuration, as a file has it or flags put it together. */
export const configSchema = file.transform(inherit);

/**
 * A checked configuration: kebab-case keys as in the file, every default and every inherited value
 * filled in, durations in milliseconds.
 */
export type Config = z.output<typeof configSchema> & { readonly admin: Admin };

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
