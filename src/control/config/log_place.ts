// Where access records go, as people write it: off, stderr, stdout, a PATH, or a syslog.
import { type Address, readHostPort, readUnixPath } from "./address.ts";
import { nearest, quoted, type Reading, refused, shown, taken } from "./errors.ts";

export interface SyslogTarget {
  readonly kind: "syslog";
  /** As the user wrote it. */
  readonly text: string;
  readonly transport: "unix" | "udp" | "tcp";
  readonly address: Address;
}

export type AccessLogTarget =
  | { readonly kind: "off" }
  | { readonly kind: "stderr" | "stdout" }
  | { readonly kind: "file"; readonly path: string }
  | SyslogTarget;

const WORDS = ["stderr", "stdout", "off"] as const;
/** A relative path that begins so is meant for something else; a file of that name is ./syslog. */
const SYSLOG = /^syslog(:|$)/;
const SYSLOG_HERE = "/dev/log";
const SYSLOG_PORT = 514;
const SYSLOG_FORMS = "write syslog, syslog:unix:/PATH, syslog:udp://HOST:PORT or syslog:tcp://HOST:PORT";
const PATH_CHARACTERS_MAX = 4_000;

/** Reads `off`, `stderr`, `stdout`, `syslog`, `syslog:unix:/PATH`, `syslog:udp://HOST:PORT`,
 * `syslog:tcp://HOST:PORT` (port 514 if there is none), or the path of a file. */
export function readAccessLog(input: string): Reading<AccessLogTarget> {
  const word = WORDS.find((known) => known === input);
  if (word !== undefined) return taken({ kind: word });
  if (input === "") return refused("empty", "write off, stderr, stdout, syslog or a PATH");
  if (input.length > PATH_CHARACTERS_MAX) {
    return refused(`a path of ${input.length} characters`, `write at most ${PATH_CHARACTERS_MAX}`);
  }
  if (/[\p{Cc}\p{Cs}]/u.test(input)) {
    return refused(`${quoted(input)} holds a control character`, "write a path in printable characters");
  }
  if (SYSLOG.test(input)) return readSyslog(input);
  const meant = /^[a-zA-Z]+$/.test(input) ? nearest(input, [...WORDS, "syslog"]) : undefined;
  if (meant !== undefined) {
    return refused(
      `${quoted(input)} is neither off, stderr, stdout nor syslog`,
      `did you mean ${quoted(meant)}? A file of that name is ./${shown(input)}`,
    );
  }
  return taken({ kind: "file", path: input });
}

function readSyslog(text: string): Reading<SyslogTarget> {
  const place = text === "syslog" ? `unix:${SYSLOG_HERE}` : text.slice("syslog:".length);
  if (place.startsWith("unix:")) {
    const address = readUnixPath(place.slice("unix:".length));
    return address.ok ? taken({ kind: "syslog", text, transport: "unix", address: address.value }) : address;
  }
  const [, transport, rest] = /^(udp|tcp):\/\/(.*)$/.exec(place) ?? [];
  if (transport === undefined) return refused(`${quoted(text)} is no place of a syslog`, SYSLOG_FORMS);
  const authority = /^(\[[^[\]]*\]|[^:[\]]+)$/.test(rest) ? `${rest}:${SYSLOG_PORT}` : rest;
  const address = readHostPort(authority, "target");
  return address.ok
    ? taken({ kind: "syslog", text, transport: transport as "udp" | "tcp", address: address.value })
    : address;
}
