// From the arguments of the quick mode to the raw configuration that a file would hold: every
// LISTEN=TARGETS is a listener and an upstream, but those of HTTP on one address are one listener, whose
// routes tell them apart by host and path. Remembers which argument gave what.
import { addressText, splitTargets } from "./address.ts";
import { type Argument, type CommandLine, FLAGS, type Given, type Group, problem } from "./command_line.ts";
import { type ConfigProblem, quoted } from "./errors.ts";
import type { Path } from "./finding.ts";
import { type Listen, readListen, splitHttpListen, splitListenTargets } from "./listen.ts";

/** Where a raw value came from. */
export interface Origin {
  readonly path: Path;
  readonly argument: Argument;
}

/** A raw configuration, and which argument gave what. */
export interface Assembled {
  readonly raw: unknown;
  readonly origins: readonly Origin[];
  /** By section and name. */
  readonly names: ReadonlyMap<string, Argument>;
}

/** What a LISTEN asks of a request. */
interface Match {
  readonly host?: string;
  readonly path?: string;
}

/** A listener of HTTP, and what the LISTENs on its address ask of a request, each once. */
interface Shared {
  readonly name: string;
  readonly matches: Set<string>;
  routes: number;
}

/** Stands for servers that could not be read, so that the rest can be looked at (RFC 5737). */
const NOWHERE = "192.0.2.1:1";
/** Flags that only UDP has, and those that it has not: shared ones are for the others. */
const UDP_FLAGS = ["--udp-idle", "--responses"];
const STREAM_FLAGS = [
  "--tunnel-idle",
  "--client-idle",
  "--server-idle",
  "--connect-timeout",
  "--bandwidth-per-connection",
];
/** Flags for those that have TLS, and for those of HTTP among them: shared ones are for these alone. */
const CERTIFICATE_FLAGS = ["--cert", "--key"];
/** Flags whose values are entries of a list. */
const LIST_FLAGS = FLAGS.filter(({ doc }) => doc.commas).map(({ name }) => name);
const ACME_FLAG = "--acme-email";
/** Flags that tell one kind of check from another. */
const TEXT_FLAGS = ["--health-send", "--health-expect"];
const KIND_FLAGS = [...TEXT_FLAGS, "--health-http"];

export function nameKey(section: string, name: string): string {
  return `${section}\n${name}`;
}

/** Puts it together; what contradicts across arguments is added to `problems`. */
export function assemble(line: CommandLine, problems: ConfigProblem[]): Assembled {
  const assembly = new Assembly(problems);
  for (const { flag, value, argument } of line.processFlags.values()) {
    assembly.put(flag.key.path, value, argument);
  }
  const listens = line.groups.map(({ text }) => listenOf(text));
  const hasTls = listens.some((listen) => listen?.tls);
  const hasHttps = listens.some((listen) => listen?.tls && listen.protocol === "http");
  const hasUdp = listens.some((listen) => listen?.protocol === "udp");
  const hasStream = listens.some((listen) => listen !== undefined && listen.protocol !== "udp");
  line.groups.forEach((group, at) => {
    const protocol = listens[at]?.protocol, isPlain = listens[at]?.tls === false;
    const isOther = protocol === "tcp" || protocol === "udp", isUdp = protocol === "udp";
    const shared = [...line.sharedFlags].filter(([, { flag: { name } }]) =>
      !(hasTls && isPlain && CERTIFICATE_FLAGS.includes(name)) &&
      !(hasHttps && (isOther || isPlain) && name === ACME_FLAG) &&
      !(hasUdp && protocol !== undefined && !isUdp && UDP_FLAGS.includes(name)) &&
      !(hasStream && isUdp && STREAM_FLAGS.includes(name))
    );
    assembly.addGroup(group, new Map(shared));
  });
  return assembly.finish();
}

/** Where a LISTEN=TARGETS listens; undefined if that cannot be read. */
function listenOf(text: string): Listen | undefined {
  const parts = splitListenTargets(text);
  const listen = parts.ok ? readListen(splitHttpListen(parts.value.listen).bind) : parts;
  return listen.ok ? listen.value : undefined;
}

class Assembly {
  readonly #raw: Record<string, unknown> = {};
  readonly #origins: Origin[] = [];
  readonly #names = new Map<string, Argument>();
  readonly #problems: ConfigProblem[];
  /** Listeners of HTTP by address. */
  readonly #shared = new Map<string, Shared[]>();
  /** By listener: the certificates that it has. */
  readonly #certificates = new Map<string, Set<string>>();
  /** By the path of a list: the entries that it has. */
  readonly #lists = new Map<string, Set<string>>();
  /** What flags gave to a listener, which may be that of several groups. */
  readonly #listenerFlags = new Map<string, { readonly given: Given; readonly isOwn: boolean }>();

  constructor(problems: ConfigProblem[]) {
    this.#problems = problems;
  }

  put(path: Path, value: unknown, argument: Argument): void {
    this.#origins.push({ path, argument });
    let section = this.#raw as Record<string | number, unknown>;
    path.slice(0, -1).forEach((step, at) => {
      if (!Object.hasOwn(section, step)) section[step] = typeof path[at + 1] === "number" ? [] : {};
      section = section[step] as Record<string | number, unknown>;
    });
    section[path[path.length - 1]] = value;
  }

  addGroup({ argument, text, flags }: Group, shared: ReadonlyMap<string, Given>): void {
    const parts = splitListenTargets(text);
    if (!parts.ok) return;
    const { listen, targets } = parts.value;
    const listener = this.#addListener(listen, argument);
    if (listener === undefined) {
      const what = `${quoted(listen)} is given twice`;
      this.#problems.push(
        problem(argument, what, "put all targets behind one LISTEN, or choose another port"),
      );
      return;
    }
    const { name, upstream } = listener;
    const split = splitTargets(targets);
    if (!split.ok) this.#problems.push(problem(argument, split.what, split.remedy));
    const servers = split.ok ? split.value : targets.split(",").filter((target) => target !== "");
    this.put(["upstreams", upstream, "servers"], servers.length === 0 ? [NOWHERE] : servers, argument);
    const all = effective(shared, flags);
    this.#giveCertificates(name, all.filter(({ flag }) => CERTIFICATE_FLAGS.includes(flag.name)));
    for (const given of all) {
      if (CERTIFICATE_FLAGS.includes(given.flag.name)) continue;
      if (LIST_FLAGS.includes(given.flag.name)) {
        this.#giveList(name, given);
      } else if (given.flag.key.path[0] === "listeners") {
        this.#giveListener(name, given, flags.get(given.flag.name) === given);
      } else {
        this.#giveUpstream(upstream, given);
      }
    }
  }

  finish(): Assembled {
    for (const [key, { given }] of this.#listenerFlags) {
      const name = key.slice(0, key.lastIndexOf("\n"));
      this.put(["listeners", name, ...given.flag.key.path.slice(2)], given.value, given.argument);
    }
    return { raw: this.#raw, origins: this.#origins, names: this.#names };
  }

  /** The names of what a LISTEN leads to; undefined if that was given before. */
  #addListener(text: string, argument: Argument): { name: string; upstream: string } | undefined {
    const { bind, ...match } = splitHttpListen(text);
    const listen = readListen(bind);
    if (listen.ok && listen.value.protocol === "http") {
      return this.#addHttp(text, listen.value, match, argument);
    }
    const whole = readListen(text);
    const name = whole.ok ? this.#nameFor(text, isAnyPort(whole.value)) : `argument ${argument.position}`;
    if (name === undefined) return undefined;
    this.#name(["listeners", "upstreams"], name, argument);
    this.put(["listeners", name, "bind"], text, argument);
    this.put(["listeners", name, "to"], name, argument);
    return { name, upstream: name };
  }

  /** Port 0 is another port each time, unless the match is another one: then it is the same port. */
  #addHttp(
    text: string,
    listen: Listen,
    match: Match,
    argument: Argument,
  ): { name: string; upstream: string } | undefined {
    const place = `${listen.tls ? "https" : "http"} ${addressText(listen.address)}`;
    const others = this.#shared.get(place) ?? [];
    const asked = `${(match.host ?? "").toLowerCase()}\n${match.path ?? ""}`;
    let shared = others.find(({ matches }) => !matches.has(asked));
    if (shared === undefined) {
      const name = this.#freeName("listeners", listen.text);
      if (others.length > 0 && !isAnyPort(listen)) return undefined;
      shared = { name, matches: new Set(), routes: 0 };
      this.#shared.set(place, [...others, shared]);
      this.#name(["listeners"], name, argument);
      this.put(["listeners", name, "bind"], listen.text, argument);
    }
    shared.matches.add(asked);
    const upstream = this.#freeName("upstreams", text);
    this.#name(["upstreams"], upstream, argument);
    if (asked === "\n") this.put(["listeners", shared.name, "to"], upstream, argument);
    else this.put(["listeners", shared.name, "routes", shared.routes++], { match, to: upstream }, argument);
    return { name: shared.name, upstream };
  }

  /** The name for a LISTEN, or undefined if it is taken. */
  #nameFor(text: string, isAnyPort: boolean): string | undefined {
    const isTaken = this.#names.has(nameKey("listeners", text));
    return isTaken && !isAnyPort ? undefined : this.#freeName("listeners", text);
  }

  #freeName(section: string, text: string): string {
    if (!this.#names.has(nameKey(section, text))) return text;
    let number = 2;
    while (this.#names.has(nameKey(section, `${text}#${number}`))) number += 1;
    return `${text}#${number}`;
  }

  #name(sections: readonly string[], name: string, argument: Argument): void {
    for (const section of sections) this.#names.set(nameKey(section, name), argument);
  }

  /** A group's own flag holds for its listener, and with it for the others there, if they have no other. */
  #giveListener(name: string, given: Given, isOwn: boolean): void {
    const key = `${name}\n${given.flag.name}`, before = this.#listenerFlags.get(key);
    if (before?.isOwn && isOwn && before.given.value !== given.value) {
      const what = `given twice for the same listener, ${quoted(before.given.value)} and ${
        quoted(given.value)
      }`;
      this.#problems.push(problem(given.argument, what, "leave one of them out"));
    } else if (before === undefined || (isOwn && !before.isOwn)) {
      this.#listenerFlags.set(key, { given, isOwn });
    }
  }

  /** What all groups of a listener give is one list. */
  #giveList(name: string, { flag, value, argument }: Given): void {
    const path = ["listeners", name, ...flag.key.path.slice(2)], key = path.join("\n");
    const known = this.#lists.get(key) ?? new Set();
    this.#lists.set(key, known);
    if (!known.has(value)) this.put([...path, known.size], value, argument);
    known.add(value);
  }

  /** The n-th key is that of the n-th certificate; where there is none, the certificate's file holds it. Those of
   * all groups of a listener are its own, each once. */
  #giveCertificates(name: string, given: readonly Given[]): void {
    const certs = given.filter(({ flag }) => flag.name === "--cert");
    const keys = given.filter(({ flag }) => flag.name === "--key");
    const known = this.#certificates.get(name) ?? new Set();
    this.#certificates.set(name, known);
    for (const { argument } of keys.slice(certs.length)) {
      this.#problems.push(problem(argument, "a key without a certificate", "give --cert FILE as well"));
    }
    certs.forEach((cert, nth) => {
      const key = keys.at(nth), pair = `${cert.value}\n${key?.value ?? cert.value}`;
      if (known.has(pair)) return;
      const path = ["listeners", name, "tls", "certificates", known.size];
      known.add(pair);
      this.put([...path, "cert"], cert.value, cert.argument);
      if (key !== undefined) this.put([...path, "key"], key.value, key.argument);
    });
  }

  #giveUpstream(name: string, given: Given): void {
    const path = ["upstreams", name, ...given.flag.key.path.slice(2)];
    if (given.flag.name !== "--health") this.put(path, given.value, given.argument);
    else if (given.value === "off") this.put(path, "off", given.argument);
    else this.put([...path, "tcp"], true, given.argument);
  }
}

function isAnyPort({ address }: Listen): boolean {
  return address.kind !== "unix" && address.port === 0;
}

/** The flags that hold for one LISTEN=TARGETS: its own before the shared ones; its own kind of check wins whole, and
 * so do its own certificates and its own lists. */
function effective(shared: ReadonlyMap<string, Given>, own: ReadonlyMap<string, Given>): Given[] {
  const isCertificate = ({ flag }: Given): boolean => CERTIFICATE_FLAGS.includes(flag.name);
  const hasOwn = [...own.values()].some(isCertificate);
  const lists = new Set(
    [...own.values()].map(({ flag: { name } }) => name).filter((name) => LIST_FLAGS.includes(name)),
  );
  const flags = new Map([
    ...[...shared].filter(([, given]) => !(hasOwn && isCertificate(given)) && !lists.has(given.flag.name)),
    ...own,
  ]);
  const drop = (names: readonly string[]): void => {
    for (const name of names) if (!own.has(name)) flags.delete(name);
  };
  if ([...own.keys()].some((name) => name.startsWith("--health-"))) drop(["--health"]);
  if (own.has("--health-http")) drop(TEXT_FLAGS);
  else if (own.has("--health-send") && shared.has("--health-http")) {
    drop(["--health-http", "--health-expect"]);
  }
  const kind = flags.get("--health")?.value;
  for (const name of [...flags.keys()].filter((name) => name.startsWith("--health-"))) {
    if (kind === "off" || (kind === "tcp" && KIND_FLAGS.includes(name))) flags.delete(name);
  }
  return [...flags.values()];
}
