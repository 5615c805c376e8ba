// The verbs of the command line as data: what each is for and which flags it takes. The help texts, the
// completion of shells and the reading of a verb's arguments are made of this. Everything that is no verb
// is the quick mode.
import { COLUMNS, GROUP_COLUMNS, GROUPINGS, ROWS_SHOWN, ROWS_SHOWN_MAX } from "../connections/columns.ts";
import { DOINGS } from "../connections/row.ts";
import { HEALTH, SERVER_COLUMNS, SERVERS_SHOWN_MAX, STATES } from "../server_columns.ts";
import { type ConfigProblem, didYouMean, quoted, shown } from "./errors.ts";

/** A flag of one verb. */
export interface VerbFlag {
  /** With its dashes. */
  readonly name: string;
  /** A second name of one letter, with its dash. */
  readonly short?: string;
  /** How its value is written; none: it takes no value. */
  readonly placeholder?: string;
  readonly description: string;
  /** It may be given more than once. */
  readonly many?: true;
  /** The only values it may have. */
  readonly values?: readonly string[];
}

export interface Verb {
  readonly name: string;
  /** What it does, a few words after its name. */
  readonly summary: string;
  /** What follows the name, one line for each way to use it. */
  readonly usage: readonly string[];
  readonly flags: readonly VerbFlag[];
  readonly examples: readonly string[];
  /** Whether what it does not know itself is a configuration: LISTEN=TARGETS and flags of the quick mode. */
  readonly takesConfig?: true;
}

/** The arguments of a verb, in order. */
export interface VerbArguments {
  /** By the flag's name. A flag without value has "". */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** What is no flag of the verb's own. */
  readonly rest: readonly string[];
}

const CONFIG: VerbFlag = {
  name: "--config",
  short: "-c",
  placeholder: "FILE",
  description: "the configuration file",
};
const FORMAT: VerbFlag = {
  name: "--format",
  placeholder: "text|json",
  description: "for people, or for programs",
  values: ["text", "json"],
};
const ADMIN: VerbFlag = {
  name: "--admin",
  placeholder: "URL",
  description: "where the running Sluice's admin API is: unix:/PATH or http://HOST:PORT",
};
const ADMIN_TOKEN: VerbFlag = {
  name: "--admin-token",
  placeholder: "TOKEN",
  description: "the admin API's token; SLUICE_ADMIN_TOKEN in the environment shows it to nobody",
};
/** Of every verb that asks the running process. */
const LIVE: readonly VerbFlag[] = [
  { ...CONFIG, description: "the running Sluice's file: where its admin API is, and the token" },
  ADMIN,
  ADMIN_TOKEN,
  FORMAT,
];
const UPSTREAM: VerbFlag = {
  name: "--upstream",
  placeholder: "NAME",
  description: "only those of this upstream",
  many: true,
};
const SERVER: VerbFlag = {
  name: "--server",
  placeholder: "ADDRESS",
  description: "only this server, by its address or as it is configured",
  many: true,
};

/** Of every verb that changes a server. */
const OF_UPSTREAM: VerbFlag = {
  ...UPSTREAM,
  description: "only that of this upstream; else of all that have it",
  many: undefined,
};
/** Which connections. */
const FILTERS: readonly VerbFlag[] = [
  {
    name: "--listener",
    placeholder: "NAME",
    description: "only those of this listener",
    many: true,
  },
  UPSTREAM,
  SERVER,
  {
    name: "--client",
    placeholder: "IP[/BITS][:PORT]",
    description: "only clients of this address or prefix; unix for those of unix sockets",
    many: true,
  },
  {
    name: "--state",
    placeholder: "STATE",
    description: "only those in this state, such as connecting or open",
    many: true,
    values: DOINGS.map(([name]) => name),
  },
  { name: "--min-age", placeholder: "DURATION", description: "only those that are as old" },
];

export const VERBS: readonly Verb[] = [
  {
    name: "run",
    summary: "a configuration file: -c FILE, and flags for the process over it",
    usage: ["-c FILE [--watch] [FLAGS]"],
    flags: [CONFIG, {
      name: "--watch",
      description: "reload when the file, or what it is made of, changes",
    }],
    examples: ["sluice run -c sluice.yaml --log-level debug", "sluice run -c sluice.yaml --watch"],
    takesConfig: true,
  },
  {
    name: "check",
    summary: "whether a configuration is good: its text, and what it needs of this machine",
    usage: ["-c FILE", "LISTEN=TARGETS [FLAGS]..."],
    flags: [CONFIG, FORMAT],
    examples: ["sluice check -c sluice.yaml", "sluice check tcp://:5432=10.0.0.1:5432"],
    takesConfig: true,
  },
  {
    name: "print",
    summary: "the whole configuration that a file or a command line comes to, as a file",
    usage: ["-c FILE [--origins]", "LISTEN=TARGETS [FLAGS]..."],
    flags: [
      CONFIG,
      { name: "--origins", description: "say of each value where it comes from" },
      { name: "--all", description: "defaults as well" },
    ],
    examples: [
      "sluice print http://:8080=127.0.0.1:3000 > sluice.yaml",
      "sluice print -c sluice.yaml --origins",
    ],
    takesConfig: true,
  },
  {
    name: "explain",
    summary: "what would become of a connection or a request, step by step, and why",
    usage: [
      "-c FILE tcp://HOST:PORT|udp://HOST:PORT|tls://HOST:PORT [--sni NAME] [--alpn PROTOCOL] [--from IP[:PORT]]",
      "-c FILE [METHOD] URL [-H 'NAME: VALUE']... [--from IP[:PORT]]",
      "... --from PROXY --proxied IP[:PORT]|local",
      "--live [--admin URL] ...",
    ],
    flags: [
      CONFIG,
      { name: "--from", placeholder: "IP[:PORT]", description: "the client; 127.0.0.1 if not given" },
      {
        name: "--proxied",
        placeholder: "IP[:PORT]|local",
        description: "--from is a proxy before Sluice, and its PROXY header tells this client",
      },
      {
        name: "--sni",
        placeholder: "NAME",
        description: "the name that the client asks for by TLS; that of the URL if not given",
      },
      {
        name: "--alpn",
        placeholder: "PROTOCOL[,PROTOCOL]",
        description: "the protocols that the client of tls:// offers; none if not given",
      },
      {
        name: "--header",
        short: "-H",
        placeholder: "FIELD",
        description: "a field of the request",
        many: true,
      },
      {
        name: "--live",
        description: "ask the running Sluice: its configuration, its servers as they are now",
      },
      ADMIN,
      ADMIN_TOKEN,
      FORMAT,
    ],
    examples: [
      "sluice explain -c sluice.yaml tcp://127.0.0.1:5432 --from 10.1.2.3:55555",
      "sluice explain -c sluice.yaml GET http://shop.example/cart -H 'Cookie: x=1'",
      "sluice explain -c sluice.yaml tls://127.0.0.1:8443 --sni a.example",
      "sluice explain --live https://shop.example/api/",
    ],
    takesConfig: true,
  },
  {
    name: "status",
    summary: "how the running Sluice does: listeners, servers, reasons of the last minutes, trouble",
    usage: ["[--admin URL]"],
    flags: LIVE,
    examples: ["sluice status", "sluice status --admin http://127.0.0.1:9900 --format json"],
  },
  {
    name: "connections",
    summary: "who is connected to the running Sluice, what they move; filtered, sorted, counted",
    usage: [
      "[FILTERS] [--sort COLUMN[:asc|desc]] [--limit N]",
      "--by source|listener|upstream|server|state [FILTERS]",
    ],
    flags: [
      ...FILTERS,
      {
        name: "--by",
        placeholder: GROUPINGS.join("|"),
        description: "count them by this, in place of listing them",
        values: GROUPINGS,
      },
      {
        name: "--sort",
        placeholder: "COLUMN[:asc|desc]",
        description: `by ${Object.keys(COLUMNS).join(", ")}; with --by ${
          Object.keys(GROUP_COLUMNS).join(", ")
        }`,
      },
      {
        name: "--limit",
        placeholder: "N",
        description: `rows that are shown, up to ${ROWS_SHOWN_MAX}; ${ROWS_SHOWN} if not given`,
      },
      {
        name: "--rates",
        placeholder: "on|off",
        description: "bytes in a second, which takes one to measure; on if not given",
        values: ["on", "off"],
      },
      ...LIVE,
    ],
    examples: [
      "sluice connections --sort down-rate --limit 20",
      "sluice connections --client 10.1.0.0/16 --state open --min-age 5m",
      "sluice connections --by source --sort bytes",
    ],
  },
  {
    name: "servers",
    summary: "the running Sluice's servers: health, since when and why, connections, bytes",
    usage: ["[--upstream NAME] [--health up|down|unchecked] [--state STATE] [--sort COLUMN[:asc|desc]]"],
    flags: [
      UPSTREAM,
      SERVER,
      {
        name: "--health",
        placeholder: "up|down|unchecked",
        description: "only servers of which the checks say this",
        many: true,
        values: HEALTH,
      },
      {
        name: "--state",
        placeholder: STATES.join("|"),
        description: "only servers that get nothing new, or less than usual, for this reason",
        many: true,
        values: STATES,
      },
      {
        name: "--sort",
        placeholder: "COLUMN[:asc|desc]",
        description: `by ${Object.keys(SERVER_COLUMNS).join(", ")}; as configured if not given`,
      },
      {
        name: "--limit",
        placeholder: "N",
        description: `servers that are shown, up to ${SERVERS_SHOWN_MAX}`,
      },
      ...LIVE,
    ],
    examples: [
      "sluice servers --health down",
      "sluice servers --state drained",
      "sluice servers --upstream app --sort failed",
    ],
  },
  {
    name: "drain",
    summary: "a server of the running Sluice gets nothing new, what it has goes on; or --undo",
    usage: ["ADDRESS|TARGET|HOST [--upstream NAME] [--undo]"],
    flags: [
      OF_UPSTREAM,
      { name: "--undo", description: "it gets connections again" },
      ...LIVE,
    ],
    examples: ["sluice drain 10.0.0.1:8080", "sluice drain 10.0.0.1 --undo"],
  },
  {
    name: "upgrade",
    summary: "the running Sluice goes on in a new process, of the executable as it is now",
    usage: ["[PATH]"],
    flags: [...LIVE],
    examples: ["sluice upgrade", "sluice upgrade /opt/sluice-2/sluice"],
  },
  {
    name: "disable",
    summary: "a server of the running Sluice gets nothing new and is not checked any more",
    usage: ["ADDRESS|TARGET|HOST [--upstream NAME]"],
    flags: [OF_UPSTREAM, ...LIVE],
    examples: ["sluice disable 10.0.0.1:8080"],
  },
  {
    name: "enable",
    summary: "a server of the running Sluice is neither drained nor disabled any more",
    usage: ["ADDRESS|TARGET|HOST [--upstream NAME]"],
    flags: [OF_UPSTREAM, ...LIVE],
    examples: ["sluice enable 10.0.0.1:8080"],
  },
  {
    name: "weight",
    summary: "a server of the running Sluice has another weight, or again the configured one",
    usage: ["ADDRESS|TARGET|HOST N|reset [--upstream NAME]"],
    flags: [
      OF_UPSTREAM,
      { name: "--undo", description: "the configured weight again, as reset" },
      ...LIVE,
    ],
    examples: ["sluice weight 10.0.0.1:8080 10", "sluice weight 10.0.0.1:8080 reset"],
  },
  {
    name: "close",
    summary: "connections of the running Sluice end now, by their ids or by filters",
    usage: ["ID...", "FILTERS", "--all"],
    flags: [
      ...FILTERS,
      { name: "--all", description: "every connection there is" },
      ...LIVE,
    ],
    examples: [
      "sluice close k3f9-17-3",
      "sluice close --client 10.1.2.3",
      "sluice close --server 10.0.0.1:8080 --min-age 1h",
    ],
  },
  {
    name: "reload",
    summary: "the running Sluice reads its file again: what has changed, or why nothing has",
    usage: [""],
    flags: [...LIVE],
    examples: ["sluice reload", "sluice reload --format json"],
  },
  {
    name: "log-level",
    summary: "the running Sluice's log has another level, or again the configured one",
    usage: ["debug|info|warn|error|reset"],
    flags: [{ name: "--undo", description: "the configured level again, as reset" }, ...LIVE],
    examples: ["sluice log-level debug", "sluice log-level reset"],
  },
  {
    name: "why",
    summary: "what a reason of the access log means: cause, what to look at, what to change",
    usage: ["[REASON|STATUS|ERRNO|ALERT]"],
    flags: [FORMAT],
    examples: ["sluice why connection_refused", "sluice why unknown_ca", "sluice why"],
  },
  {
    name: "doctor",
    summary: "what of this machine limits Sluice, and the command that changes it",
    usage: ["[-c FILE]"],
    flags: [CONFIG, FORMAT],
    examples: ["sluice doctor"],
  },
  {
    name: "schema",
    summary: "the JSON Schema of the file, for editors",
    usage: [""],
    flags: [],
    examples: ["sluice schema > sluice.schema.json"],
  },
  {
    name: "completion",
    summary: "completion for a shell: bash, zsh or fish",
    usage: ["bash|zsh|fish"],
    flags: [],
    examples: ["source <(sluice completion bash)"],
  },
  {
    name: "demo",
    summary: "its own servers, a load balancer in front, traffic",
    usage: ["[--for DURATION] [--port N]"],
    flags: [
      { name: "--for", placeholder: "DURATION", description: "how long; until Ctrl-C if not given" },
      { name: "--port", placeholder: "N", description: "where it listens" },
    ],
    examples: ["sluice demo --for 10s"],
  },
  { name: "help", summary: "this text, or that of a verb", usage: ["[VERB]"], flags: [], examples: [] },
];

/** Verbs that are designed but not supported in this version. */
export const VERBS_LATER: readonly string[] = [
  "top",
  "trace",
  "diff",
  "apply",
];

export function verbOf(name: string): Verb | undefined {
  return VERBS.find((verb) => verb.name === name);
}

/**
 * Reads what follows a verb: its own flags, `--flag value` or `--flag=value`; the rest in order. Behind `--`
 * everything is rest.
 */
export function readVerb(
  verb: Verb,
  argv: readonly string[],
): VerbArguments | { problems: ConfigProblem[] } {
  const values = new Map<string, string[]>();
  const rest: string[] = [];
  const problems: ConfigProblem[] = [];
  const error = (where: string, what: string, remedy: string): void => {
    problems.push({ where: shown(where), what, remedy, severity: "error" });
  };
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at];
    if (argument === "--") {
      rest.push(...argv.slice(verb.takesConfig ? at : at + 1));
      break;
    }
    const equals = argument.startsWith("--") ? argument.indexOf("=") : -1;
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const flag = verb.flags.find((flag) => flag.name === name || flag.short === name);
    if (flag === undefined) {
      if (argument.startsWith("-") && argument !== "-" && !verb.takesConfig) {
        const otherwise = `see sluice help ${verb.name}`;
        error(name, "unknown flag", didYouMean(name, verb.flags.map((flag) => flag.name), otherwise));
      } else rest.push(argument);
      continue;
    }
    const before = values.get(flag.name) ?? [];
    if (flag.placeholder === undefined) {
      if (equals >= 0) error(name, "takes no value", `write ${name}`);
      values.set(flag.name, [""]);
      continue;
    }
    const value = equals < 0 ? argv[++at] : argument.slice(equals + 1);
    if (value === undefined || value === "") {
      error(name, "no value", `write ${name} ${flag.placeholder}`);
    } else if (flag.values !== undefined && !flag.values.includes(value)) {
      const otherwise = `write ${flag.values.join(" or ")}`;
      error(name, `unknown value ${quoted(value)}`, didYouMean(value, flag.values, otherwise));
    } else if (before.length > 0 && flag.many === undefined && before[0] !== value) {
      error(name, `given twice, ${quoted(before[0])} and ${quoted(value)}`, "leave one of them out");
    } else {
      values.set(flag.name, flag.many ? [...before, value] : [value]);
    }
  }
  return problems.length > 0 ? { problems } : { values, rest };
}
