// From raw values, whoever gathered them, to a Config: the schema, then what holds between keys. All
// findings come at once, each with the path of its key; the caller knows where that key was written.
import type * as z from "zod";
import { LISTENERS_MAX, SERVERS_PER_UPSTREAM_MAX, UPSTREAMS_MAX } from "../../base/limits.ts";
import { type Address, addressText, isLoopback, isWildcard, readUnixPath } from "./address.ts";
import { didYouMean, NOT_SUPPORTED, quoted, shown } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import { findLoops } from "./loops.ts";
import type { Disk } from "./disk.ts";
import { readPageFiles } from "./page_files.ts";
import { checkProtocols } from "./protocols.ts";
import { checkRoutes, upstreamsOf } from "./route_specs.ts";
import { type Admin, type Config, configSchema, type Key, KEYS } from "./schema.ts";
import { formatDuration } from "./units.ts";

/** What a configuration depends on besides itself. `uid` is that of the process, 0 for root. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  /** How files that the configuration names are read; the machine's own if not given. */
  readonly disk?: Disk;
}

/** A token beyond loopback that is shorter than this is warned about. */
const TOKEN_CHARACTERS_FEW = 16;

/**
 * Checks a whole raw configuration, named and shaped as in the file.
 * @returns `config` if no finding is an error; otherwise `config` is undefined. Warnings come either way.
 */
export function checkConfig(
  raw: unknown,
  surroundings: Surroundings,
): { config: Config | undefined; findings: Finding[] } {
  const result = configSchema.safeParse(raw);
  if (!result.success) {
    const findings = result.error.issues.flatMap((issue) => findingsOf(issue, [], raw));
    return { config: undefined, findings: [...findings, ...checkRest(raw, findings)] };
  }
  const { files, findings: unread } = readPageFiles(result.data.listeners, surroundings.disk);
  const config: Config = {
    ...result.data,
    admin: result.data.admin ?? defaultAdmin(surroundings),
    "page-files": files,
  };
  const findings = [...crossCheck(config, raw), ...unread];
  // Next to a name that leads nowhere, whoever was meant by it is no news.
  if (!findings.some(({ severity }) => severity === "error")) findings.push(...findUnused(config));
  if (config.admin.kind === "off" && config.admin.byDefault) {
    findings.push({
      path: ["admin"],
      what: "no admin socket, because XDG_RUNTIME_DIR gives no path for it",
      remedy: "give an admin address, or off",
      severity: "warning",
    });
  }
  return { config: findings.some((finding) => finding.severity === "error") ? undefined : config, findings };
}

/** How often what is bad is taken out, until the rest is a configuration. */
const ROUNDS_MAX = 8;

/** What is wrong between keys in that part of a configuration which is good by itself: all mistakes come at once.
 * Only such findings as the rest bears out: what was taken out may be what is missed. */
function checkRest(raw: unknown, findings: readonly Finding[]): Finding[] {
  const rest = structuredClone(raw);
  let bad: readonly Path[] = findings.map(({ path }) => path);
  for (let round = 0; round < ROUNDS_MAX; round++) {
    for (const path of bad) takeOut(rest, path);
    const result = configSchema.safeParse(rest);
    if (result.success) {
      const config = { ...result.data, admin: result.data.admin ?? OFF, "page-files": new Map() };
      const all = [...checkReferences(config), ...checkBinds(config), ...checkRoutes(config, rest)];
      return all.filter(({ path, orPath, severity, missing }) =>
        severity === "error" && (missing === undefined || valueAt(raw, missing) === undefined) &&
        isUntouched(raw, rest, path) && (orPath === undefined || isUntouched(raw, rest, orPath))
      );
    }
    bad = result.error.issues.flatMap((issue) => findingsOf(issue, [], rest)).map(({ path }) => path);
  }
  return [];
}

const OFF: Admin = { kind: "off", byDefault: true };

/** Takes the value at a path out, or what holds it if it is not there, or is one of a list. */
function takeOut(raw: unknown, path: Path): void {
  for (let depth = path.length; depth > 0; depth--) {
    const holder = valueAt(raw, path.slice(0, depth - 1)), step = path[depth - 1];
    if (typeof holder !== "object" || holder === null || Array.isArray(holder)) continue;
    if (!Object.hasOwn(holder, step)) continue;
    delete (holder as Record<string, unknown>)[step];
    return;
  }
}

/** Whether nothing was taken out at or around a path. */
function isUntouched(raw: unknown, rest: unknown, path: Path): boolean {
  const holder = path.slice(0, 2);
  return JSON.stringify(valueAt(raw, path)) === JSON.stringify(valueAt(rest, path)) &&
    valueAt(rest, holder) !== undefined;
}

/** Checks the raw value of one key by itself; the paths of the findings begin with that of the key. */
export function checkKey(key: Key, raw: unknown): Finding[] {
  const result = (key.schema as z.ZodType).safeParse(raw);
  if (result.success) return [];
  return result.error.issues.flatMap((issue) => findingsOf(issue, key.path, raw, key.path.length));
}

/** Where the admin API is when nobody says it. */
export function defaultAdmin({ env, uid }: Surroundings): Admin {
  if (uid === 0) {
    return { kind: "unix", address: { kind: "unix", path: "/run/sluice.sock" }, byDefault: true };
  }
  const directory = env.XDG_RUNTIME_DIR ?? "";
  const address = readUnixPath(`${directory}/sluice.sock`);
  if (!directory.startsWith("/") || !address.ok) return { kind: "off", byDefault: true };
  return { kind: "unix", address: address.value, byDefault: true };
}

/** What the schema's issue means to a user. `raw` is the value whose path has `rawDepth` steps. */
function findingsOf(issue: z.core.$ZodIssue, base: Path, raw: unknown, rawDepth = 0): Finding[] {
  const path: Path = [...base, ...issue.path.map((step) => typeof step === "number" ? step : String(step))];
  const input = valueAt(raw, path.slice(rawDepth));
  const error = (what: string, remedy: string): Finding[] => [{ path, what, remedy, severity: "error" }];
  switch (issue.code) {
    case "custom":
      return error(issue.message, String(issue.params?.remedy ?? "see sluice --help"));
    case "unrecognized_keys":
      return issue.keys.map((unknown) => unknownKey(path, unknown));
    case "invalid_union":
      return bestOption(issue.errors).flatMap((inner) => findingsOf(inner, path, raw, rawDepth));
    case "invalid_key":
      return issue.issues.flatMap((inner) => findingsOf(inner, path, raw, rawDepth)).map((finding) => ({
        ...finding,
        what: `${quoted(String(path[path.length - 1]))} ${finding.what}`,
        isKey: true,
      }));
    case "invalid_value":
      return error(...invalidValue(path, input, issue.values.map(String)));
    case "too_small":
      return error("empty", "give at least one");
    case "invalid_type":
      if (input === undefined) return error("missing", `write ${keyAt(path)?.doc.placeholder ?? "a value"}`);
      if (path.length === 0 && input === null) {
        return error("nothing is in it", remedyFor(path, input, issue));
      }
      return (issue.expected === "string" ? flawOfText(path, input) : undefined) ??
        error(`${kindOf(input)} where ${issue.expected} is expected`, remedyFor(path, input, issue));
    default:
      return error(issue.message, "see sluice --help");
  }
}

/** Of a union's failures the one that came closest: the option that accepted the value's kind. */
function bestOption(options: readonly z.core.$ZodIssue[][]): readonly z.core.$ZodIssue[] {
  const isKind = (issue: z.core.$ZodIssue): boolean =>
    issue.code === "invalid_type" && issue.path.length === 0;
  const isValue = (issue: z.core.$ZodIssue): boolean =>
    issue.code === "invalid_value" && issue.path.length === 0;
  return options.find((issues) => !issues.some((issue) => isKind(issue) || isValue(issue))) ??
    options.find((issues) => !issues.some(isKind)) ?? options[0];
}

function unknownKey(path: Path, unknown: string): Finding {
  const known = KEYS.filter((key) => key.path.length === path.length + 1 && matches(key.path, path))
    .map((key) => key.path[path.length]);
  const later = KEYS.filter((key) => key.path.length === path.length && matches(key.path, path))
    .flatMap((key) => key.doc.later ?? []);
  const found: Omit<Finding, "what" | "remedy"> = {
    path: [...path, unknown],
    severity: "error",
    isKey: true,
  };
  if (later.includes(unknown)) {
    return { ...found, what: `${quoted(unknown)} is ${NOT_SUPPORTED}`, remedy: "leave it out" };
  }
  const owner = path[path.length - 1] === "timeouts" ? ownerOfTimeout(unknown) : undefined;
  if (owner !== undefined && owner !== path[0]) {
    return {
      ...found,
      what: `${quoted(unknown)} belongs to ${owner === "listeners" ? "a listener" : "an upstream"}`,
      remedy: `write it under ${owner}.NAME.timeouts`,
    };
  }
  const otherwise = `the keys here are ${known.join(", ")}`;
  return {
    ...found,
    what: `unknown key ${quoted(unknown)}`,
    remedy: didYouMean(unknown, [...known, ...later], otherwise),
  };
}

/** The section whose entries have a timeout of that name. */
function ownerOfTimeout(name: string): string | undefined {
  return KEYS.find(({ path: [, , timeouts, key] }) => timeouts === "timeouts" && key === name)?.path[0];
}

function invalidValue(path: Path, input: unknown, values: readonly string[]): [what: string, remedy: string] {
  const short = shortForm(path, input);
  const forms = short === undefined ? values : [...values, short];
  const form = `write ${forms.join(", ").replace(/, ([^,]*)$/, " or $1")}`;
  const later = keyAt(path)?.doc.later ?? [];
  const word = typeof input === "object" && input !== null ? Object.keys(input)[0] ?? "" : String(input);
  if (input === undefined) return ["missing", form];
  if (later.includes(word)) return [`${quoted(word)} is ${NOT_SUPPORTED}`, form];
  if (typeof input === "object") return [`${kindOf(input)} is not expected here`, form];
  return [`unknown value ${quoted(word)}`, didYouMean(word, values, form)];
}

function keyAt(path: Path): Key | undefined {
  return KEYS.find((key) => key.path.length === path.length && matches(key.path, path));
}

/** Whether `pattern` (with `*` for any step) fits `path` as far as both go. */
function matches(pattern: readonly string[], path: Path): boolean {
  return path.every((step, at) => at >= pattern.length || pattern[at] === "*" || pattern[at] === step);
}

function remedyFor(path: Path, input: unknown, { expected }: { readonly expected: string }): string {
  if (path.length === 0) return "write listeners and upstreams";
  if (expected === "string") {
    const meant = textMeant(path, input);
    if (meant !== undefined) return meant;
  }
  const { placeholder } = keyAt(path)?.doc ?? {};
  const otherwise = expected === "object" ? "its keys" : expected;
  return `write ${shortForm(path, input) ?? placeholder ?? otherwise}`;
}

/** What YAML took for a number, a word of its own or a section, where a text was meant. */
function textMeant(path: Path, input: unknown): string | undefined {
  if (typeof input === "number" || typeof input === "boolean") {
    return keyAt(path)?.doc.secret ? "write it in quotes" : `write ${quoted(String(input))}, in quotes`;
  }
  if (typeof input !== "object" || input === null || Array.isArray(input)) return undefined;
  const [[name, value] = ["", undefined], ...more] = Object.entries(input);
  return value === null && more.length === 0 ? `write ${quoted(`{${name}}`)}, in quotes` : undefined;
}

/** What is wrong with a number where a text is expected, beyond being a number: 5 that should be 5s. */
function flawOfText(path: Path, input: unknown): Finding[] | undefined {
  if (typeof input !== "number") return undefined;
  const isEntry = typeof path[path.length - 1] === "number";
  const key = keyAt(path) ?? (isEntry ? keyAt(path.slice(0, -1)) : undefined);
  if (key === undefined || key.doc.secret) return undefined;
  const result = (key.schema as z.ZodType).safeParse(String(input));
  const issue = result.success ? undefined : innermost(result.error.issues[0]);
  if (issue?.code !== "custom") return undefined;
  return [{ path, what: issue.message, remedy: String(issue.params?.remedy), severity: "error" }];
}

function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  return issue.code === "invalid_union" ? innermost(bestOption(issue.errors)[0]) : issue;
}

/** The section that a value alone stands for: { to: /new } for /new, or with the default of that key. */
function shortForm(path: Path, input: unknown): string | undefined {
  const { short } = keyAt(path)?.doc ?? {};
  const key = short === undefined ? undefined : keyAt([...path, short]);
  if (key === undefined) return undefined;
  const isGood = (key.schema as z.ZodType).safeParse(input).success;
  const value = isGood ? String(input) : key.default ?? "";
  if (value === "") return undefined;
  return `{ ${short}: ${/^[A-Za-z0-9/._-]+$/.test(value) ? shown(value) : quoted(value)} }`;
}

function kindOf(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a section of keys";
  return typeof value === "string" ? "text" : `a ${typeof value}`;
}

/** What holds between keys, each of them good by itself. */
function crossCheck(config: Config, raw: unknown): Finding[] {
  return [
    ...checkCounts(config),
    ...checkProtocols(config, raw),
    ...checkReferences(config),
    ...checkRoutes(config, raw),
    ...checkBinds(config),
    ...checkLoops(config),
    ...checkAdmin(config),
    ...Object.entries(config.upstreams).flatMap(([name, upstream]) => checkUpstream(name, upstream)),
  ];
}

function checkCounts(config: Config): Finding[] {
  const findings: Finding[] = [];
  const listeners = Object.values(config.listeners);
  const binds = listeners.reduce((sum, listener) => sum + listener.bind.length, 0);
  const upstreams = Object.keys(config.upstreams).length;
  if (listeners.length === 0) {
    findings.push({
      path: ["listeners"],
      what: "nothing to listen on",
      remedy: "give at least one listener",
      severity: "error",
    });
  }
  if (binds > LISTENERS_MAX) {
    findings.push(tooMany(["listeners"], binds, "addresses to listen on", LISTENERS_MAX));
  }
  if (upstreams > UPSTREAMS_MAX) findings.push(tooMany(["upstreams"], upstreams, "upstreams", UPSTREAMS_MAX));
  return findings;
}

function tooMany(path: Path, count: number, of: string, max: number): Finding {
  return { path, what: `${count} ${of}`, remedy: `give at most ${max}`, severity: "error" };
}

function checkReferences(config: Config): Finding[] {
  const upstreams = Object.keys(config.upstreams);
  const findings: Finding[] = [];
  const see = (listener: string, to: string, path: Path): void => {
    if (Object.hasOwn(config.upstreams, to)) return;
    const otherwise = upstreams.length === 0
      ? "give it under upstreams"
      : `the upstreams are ${list(upstreams)}`;
    findings.push({
      path,
      what: `listener ${quoted(listener)} goes to upstream ${quoted(to)}, which does not exist`,
      remedy: didYouMean(to, upstreams, otherwise),
      severity: "error",
      missing: ["upstreams", to],
    });
  };
  for (const [name, { to, routes }] of Object.entries(config.listeners)) {
    if (to !== undefined) see(name, to, ["listeners", name, "to"]);
    routes.forEach(({ action }, at) => {
      if (action.kind === "upstream") see(name, action.to, ["listeners", name, "routes", at, "to"]);
    });
  }
  return findings;
}

/** Upstreams that nobody leads to: a slip, or what is left of something. */
function findUnused({ listeners, upstreams }: Config): Finding[] {
  const used = new Set(Object.values(listeners).flatMap(upstreamsOf));
  return Object.keys(upstreams).filter((name) => !used.has(name)).map((name) => ({
    path: ["upstreams", name],
    what: `no listener leads to upstream ${quoted(name)}`,
    remedy: "leave it out",
    severity: "warning",
    isKey: true,
  }));
}

function list(names: readonly string[]): string {
  const first = names.slice(0, 8).map((name) => quoted(name)).join(", ");
  return names.length > 8 ? `${first}, ...` : first;
}

/** No two sockets can listen on one address; a wildcard takes its port from every other address. */
function checkBinds(config: Config): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<string, { address: Address; owner: string }[]>();
  const see = (address: Address, owner: string, path: Path): void => {
    if (address.kind !== "unix" && address.port === 0) return;
    const place = address.kind === "unix" ? `unix:${address.path}` : `port ${address.port}`;
    const others = seen.get(place) ?? [];
    const other = others.find((before) => overlap(before.address, address));
    seen.set(place, [...others, { address, owner }]);
    if (other === undefined) return;
    findings.push({
      path,
      what: `${owner} listens on ${quoted(addressText(address))}, taken by ${other.owner}`,
      remedy: address.kind === "unix" ? "choose another path" : "choose another port or address",
      severity: "error",
    });
  };
  for (const [name, { bind }] of Object.entries(config.listeners)) {
    bind.forEach(({ address }, at) =>
      see(address, `listener ${quoted(name)}`, ["listeners", name, "bind", at])
    );
  }
  if (config.admin.kind !== "off") see(config.admin.address, "the admin API", ["admin"]);
  return findings;
}

/** Whether two addresses of one port (or one path) cannot both be listened on. */
function overlap(a: Address, b: Address): boolean {
  if (a.kind !== b.kind) return false;
  if (a.kind !== "ip" || b.kind !== "ip") return addressText(a) === addressText(b);
  if (a.ip === "::" || b.ip === "::") return true;
  if (a.family !== b.family) return false;
  return isWildcard(a) || isWildcard(b) || (a.ip === b.ip && a.scope === b.scope);
}

/** No target leads back to its own listener. */
function checkLoops(config: Config): Finding[] {
  if (Object.keys(config.listeners).length > LISTENERS_MAX) return []; // too many to follow, and refused anyway
  return findLoops(config).map((loop) => ({
    ...loop,
    remedy: "write the address of a server, or listen on another port or path",
    severity: "error",
  }));
}

function checkAdmin(config: Config): Finding[] {
  const { admin, "admin-token": token } = config;
  if (admin.kind !== "http" || isLoopback(admin.address)) return [];
  if (token === undefined) {
    return [{
      path: ["admin"],
      what: `${
        quoted(addressText(admin.address))
      } can be reached from other machines, and there is no admin token`,
      remedy: "give an admin token, or listen on 127.0.0.1",
      severity: "error",
    }];
  }
  if (token.length >= TOKEN_CHARACTERS_FEW) return [];
  return [{
    path: ["admin-token"],
    what: `shorter than ${TOKEN_CHARACTERS_FEW} characters, and other machines can try to guess it`,
    remedy: "choose a longer token",
    severity: "warning",
  }];
}

function checkUpstream(name: string, upstream: Config["upstreams"][string]): Finding[] {
  const findings: Finding[] = [];
  const { health, servers } = upstream;
  if (health !== "off" && health.timeout > health.interval) {
    findings.push({
      path: ["upstreams", name, "health", "timeout"],
      orPath: ["upstreams", name, "health", "interval"],
      what: `the timeout of a check, ${formatDuration(health.timeout)}, is longer than its interval, ` +
        formatDuration(health.interval),
      remedy: "a check that hangs delays the next; choose a shorter timeout or a longer interval",
      severity: "warning",
    });
  }
  if (servers.length > SERVERS_PER_UPSTREAM_MAX) {
    findings.push(
      tooMany(["upstreams", name, "servers"], servers.length, "servers", SERVERS_PER_UPSTREAM_MAX),
    );
  }
  const seen = new Set<string>();
  servers.forEach(({ address, base }, at) => {
    const text = addressText(address) + base;
    if (seen.has(text)) {
      findings.push({
        path: ["upstreams", name, "servers", at],
        what: `${quoted(text)} is given twice and gets twice the share`,
        remedy: "leave one of them out",
        severity: "warning",
      });
    }
    seen.add(text);
  });
  return findings;
}
