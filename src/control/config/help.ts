// The text of `sluice --help`, made from the schema and the table of flags, so that it cannot say
// anything else than what holds. Pages for single verbs are further functions beside helpText.
import { type Flag, FLAGS } from "./command_line.ts";
import { type Verb, VERBS } from "./verbs.ts";

const LINE_CHARACTERS_MAX = 110;

/** What a status of the process means, as scripts see it. */
export const EXIT_STATUS: Readonly<Record<number, string>> = {
  0: "all went well",
  1: "a problem at run time, such as a port in use",
  2: "a mistake on the command line or in the file",
};

const EXAMPLES = [
  "sluice tcp://:5432=10.0.0.1:5432,10.0.0.2:5432",
  "sluice http://shop.example:8080/api/=127.0.0.1:3000 http://:8080=127.0.0.1:4000 --health-http 'GET /up'",
  "sluice https://shop.example=127.0.0.1:3000 --acme-email ops@shop.example http://shop.example=127.0.0.1:3000",
  "sluice tls://:6380=127.0.0.1:6379 --cert redis.pem --key redis.key",
  "sluice --connect-timeout 1s tcp://:80=a.example:80,[2001:db8::1]:80 unix:/run/app.sock=unix:/run/app-1.sock",
];

/** The general help text, lines of at most 110 characters, ending in a newline. */
export function helpText(): string {
  const processFlags = FLAGS.filter((flag) => flag.scope === "process");
  const listenFlags = FLAGS.filter((flag) => flag.scope === "listen");
  const statuses = Object.entries(EXIT_STATUS).map(([status, what]) => `${status} ${what}`);
  const isHealth = (flag: Flag): boolean => flag.name.startsWith("--health");
  return [
    "Sluice balances TCP connections, UDP datagrams and HTTP requests over servers.",
    "",
    "Usage: sluice [FLAGS] LISTEN=TARGETS [FLAGS] [LISTEN=TARGETS [FLAGS]]...",
    ...VERBS.map(({ name, summary }) => `       sluice ${name.padEnd(10)} ${summary}`),
    "       sluice --help, -h | --version, -V",
    "",
    "LISTEN   tcp://:PORT (all addresses, IPv4 and IPv6), tcp://HOST:PORT, tcp://[IPV6]:PORT,",
    "         http:// likewise, where a name and a path are what requests must have: http://NAME:PORT/PATH/,",
    "         tls:// and https://, which are these two behind TLS, udp:// like tcp://,",
    "         unix:/PATH[?protocol=tcp], unix:/PATH?protocol=http, ?protocol=tls, ?protocol=https",
    "TARGETS  HOST:PORT, [IPV6]:PORT or unix:/PATH, joined by commas; for HTTP also http://HOST:PORT/BASE and",
    "         HOST:PORT;max-connections=N; to servers with TLS https://HOST:PORT/BASE, tls://HOST:PORT;",
    "         HOST:PORT;weight=3 for three times the share, HOST:PORT;backup for when no other is to be had",
    "",
    "Examples:",
    ...EXAMPLES.map((example) => `  ${example}`),
    "",
    "Flags for the process, anywhere:",
    ...rows(processFlags),
    "",
    "Flags for every LISTEN=TARGETS if given before the first one, else for the one before them:",
    ...rows(listenFlags.filter((flag) => !isHealth(flag))),
    ...rows(listenFlags.filter(isHealth)),
    "",
    `Durations: 500ms, 2s, 1m30s, 1h. A value may follow its flag after a space or a "=".`,
    ...wrap(`Exit status: ${statuses.join("; ")}.`, LINE_CHARACTERS_MAX),
    "",
  ].join("\n");
}

/** The help text of one verb. */
export function verbHelp(verb: Verb): string {
  const flags = verb.flags.map(({ name, short, placeholder, description }) => {
    const names = short === undefined ? name : `${short}, ${name}`;
    return {
      head: placeholder === undefined ? `  ${names}` : `  ${names} ${placeholder}`,
      text: description,
    };
  });
  return [
    `sluice ${verb.name}: ${verb.summary}.`,
    "",
    ...verb.usage.map((usage, at) =>
      `${at === 0 ? "Usage:" : "      "} sluice ${verb.name} ${usage}`.trimEnd()
    ),
    ...(flags.length === 0 ? [] : ["", "Flags:", ...flags.flatMap(({ head, text }) => row(head, text))]),
    ...(verb.takesConfig ? ["", "Flags of the configuration: see sluice --help."] : []),
    ...(verb.examples.length === 0
      ? []
      : ["", "Examples:", ...verb.examples.map((example) => `  ${example}`)]),
    "",
  ].join("\n");
}

/** `--flag VALUE   what it is (range; default)`, wrapped below itself. */
function rows(flags: readonly Flag[]): string[] {
  return flags.flatMap((flag) => {
    const head = `  ${flag.name} ${flag.doc.placeholder ?? "VALUE"}`;
    const several = flag.doc.commas ? "several with commas, or by one flag each" : undefined;
    const notes = [
      several,
      flag.doc.range,
      flag.default === undefined ? undefined : `default ${flag.default}`,
    ];
    const note = notes.filter((text) => text !== undefined).join("; ");
    return row(head, `${flag.doc.description}${note === "" ? "" : ` (${note})`}`);
  });
}

const HEAD_WIDTH = 32;

function row(head: string, text: string): string[] {
  const lines = wrap(text, LINE_CHARACTERS_MAX - HEAD_WIDTH);
  const all = head.length < HEAD_WIDTH
    ? [head.padEnd(HEAD_WIDTH) + lines[0], ...lines.slice(1)]
    : [head, ...lines];
  return all.map((line, at) => at === 0 ? line : " ".repeat(HEAD_WIDTH) + line);
}

/** Cuts a text at spaces into lines of at most `width` characters, as far as words allow. */
export function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1];
    if (last === "") lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
