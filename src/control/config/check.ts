// From raw values, whoever gathered them, to a Config: the schema, then what holds between keys. All
// findings come at once, each with the path of its key; the caller knows where that key was written.
import type * as z from "zod";
import { LISTENERS_MAX, UPSTREAMS_MAX } from "../../base/limits.ts";
import { type Address, addressText, isLoopback, isWildcard, readTarget, readUnixPath } from "./address.ts";
import { certificateFindings } from "./certificate_files.ts";
import { didYouMean, quoted, shown } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import { findingsOfIssues } from "./issues.ts";
import { findLoops } from "./loops.ts";
import { DISK, type Disk } from "./disk.ts";
import { readListFiles } from "./list_files.ts";
import { listWarnings } from "./list_warnings.ts";
import { readPageFiles } from "./page_files.ts";
import { checkProtocols } from "./protocols.ts";
import { upstreamsOf } from "./leads.ts";
import { checkRoutes } from "./route_specs.ts";
import { type Admin, type Config, configSchema, type Key } from "./schema.ts";
import { checkSockets } from "./socket_checks.ts";
import { checkTls } from "./tls_checks.ts";
import { STORAGE_OF_USER } from "./tls_schema.ts";
import { sniTargets } from "./sni_schema.ts";
import { checkUpstreams } from "./upstream_checks.ts";

/** What a configuration depends on besides itself. `uid` is that of the process, 0 for root. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  /** How files that the configuration names are read; the machine's own if not given. */
  readonly disk?: Disk;
  /** When certificates are looked at, in milliseconds since 1970; now if not given. */
  readonly now?: number;
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
    const findings = findingsOfIssues(result.error.issues, [], raw);
    return { config: undefined, findings: [...findings, ...checkRest(raw, findings)] };
  }
  const { files, findings: unread } = readPageFiles(result.data.listeners, surroundings.disk);
  const lists = readListFiles(result.data.listeners, surroundings.disk);
  const config: Config = {
    ...result.data,
    admin: result.data.admin ?? defaultAdmin(surroundings, result.data.user !== undefined),
    listeners: withStorage(
      result.data.listeners,
      defaultStorage(surroundings, result.data.user !== undefined),
    ),
    "page-files": files,
    "list-files": lists.files,
  };
  const findings = [
    ...crossCheck(config, raw),
    ...unread,
    ...lists.findings,
    ...listWarnings(result.data.listeners, lists.files),
    ...certificateFindings(config, raw, surroundings.disk ?? DISK, surroundings.now ?? Date.now()),
  ];
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
      const config = {
        ...result.data,
        admin: result.data.admin ?? OFF,
        "page-files": new Map(),
        "list-files": new Map(),
      };
      const all = [...checkReferences(config), ...checkBinds(config), ...checkRoutes(config, rest)];
      return all.filter(({ path, orPath, severity, missing }) =>
        severity === "error" && (missing === undefined || valueAt(raw, missing) === undefined) &&
        isUntouched(raw, rest, path) && (orPath === undefined || isUntouched(raw, rest, orPath))
      );
    }
    bad = findingsOfIssues(result.error.issues, [], rest).map(({ path }) => path);
  }
  return [];
}

const OFF: Admin = { kind: "off", byDefault: true };

/** What may stand where something bad was taken out that nobody can do without. */
const STAND_INS: readonly (readonly [path: readonly string[], value: unknown])[] = [
  [["listeners", "*", "bind"], "http://:0"],
  [["listeners", "*", "routes", "*"], { respond: {} }],
  [["upstreams", "*", "servers"], ["192.0.2.1:1"]], // nowhere (RFC 5737)
];

/** Takes the value at a path out, or what holds it if it is not there, or is one of a list. */
function takeOut(raw: unknown, path: Path): void {
  for (let depth = path.length; depth > 0; depth--) {
    const holder = valueAt(raw, path.slice(0, depth - 1)), step = path[depth - 1];
    if (typeof holder !== "object" || holder === null) continue;
    const standIn = STAND_INS.find(([pattern]) =>
      pattern.length === depth && pattern.every((one, at) => one === "*" || one === path[at])
    )?.[1];
    const values = holder as Record<string | number, unknown>;
    if (standIn !== undefined && JSON.stringify(values[step]) !== JSON.stringify(standIn)) {
      values[step] = structuredClone(standIn);
      return;
    }
    if (Array.isArray(holder) || !Object.hasOwn(holder, step)) continue;
    delete values[step];
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
  return findingsOfIssues(result.error.issues, key.path, raw, key.path.length);
}

/** Of a Sluice that is no longer root, which may not make another socket in /run. */
export const RUN_DIRECTORY = "/run/sluice";

/** Where the admin API is when nobody says it. `becomes`: started as root it becomes another user; an upgrade is that
 * user already, and has the same place. */
export function defaultAdmin({ env, uid }: Surroundings, becomes = false): Admin {
  if (uid === 0 || becomes) {
    const path = becomes ? `${RUN_DIRECTORY}/sluice.sock` : "/run/sluice.sock";
    return { kind: "unix", address: { kind: "unix", path }, byDefault: true };
  }
  // systemd's RuntimeDirectory=, the first of them; else the user's own.
  const directory = env.RUNTIME_DIRECTORY?.split(":")[0] || (env.XDG_RUNTIME_DIR ?? "");
  const address = readUnixPath(`${directory}/sluice.sock`);
  if (!directory.startsWith("/") || !address.ok) return { kind: "off", byDefault: true };
  return { kind: "unix", address: address.value, byDefault: true };
}

/** Where what ACME gives is kept when nobody says it; empty: there is no place for it. */
export function defaultStorage({ env, uid }: Surroundings, becomes = false): string {
  if (uid === 0 || becomes) return "/var/lib/sluice/acme";
  const { STATE_DIRECTORY: kept = "", XDG_STATE_HOME: state = "", HOME: home = "" } = env;
  if (kept.startsWith("/")) return `${kept.split(":")[0]}/acme`; // systemd's StateDirectory=, the first of them
  if (state.startsWith("/")) return `${state}/sluice/acme`;
  return home.startsWith("/") ? `${home}/.local/state/sluice/acme` : "";
}

function withStorage(listeners: Config["listeners"], storage: string): Config["listeners"] {
  return Object.fromEntries(
    Object.entries(listeners).map(([name, listener]) => {
      const { tls } = listener;
      if (tls?.acme === undefined || tls.acme.storage !== STORAGE_OF_USER) return [name, listener];
      return [name, { ...listener, tls: { ...tls, acme: { ...tls.acme, storage } } }];
    }),
  );
}

/** What holds between keys, each of them good by itself. */
function crossCheck(config: Config, raw: unknown): Finding[] {
  return [
    ...checkCounts(config),
    ...checkProtocols(config, raw),
    ...checkSockets(config, raw),
    ...checkTls(config, raw),
    ...checkReferences(config),
    ...checkRoutes(config, raw),
    ...checkBinds(config),
    ...checkLoops(config),
    ...checkAdmin(config),
    ...checkUpstreams(config, raw),
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
    const [bare] = to.split("#", 1);
    const otherwise = Object.hasOwn(config.upstreams, bare)
      ? `write ${shown(bare)}, with a space before the "#" of a comment`
      : /[.:]/.test(to) && readTarget(to).ok
      ? "write the name of an upstream that has it among its servers"
      : upstreams.length === 0
      ? "give it under upstreams"
      : `the upstreams are ${list(upstreams)}`;
    findings.push({
      path,
      what: `listener ${quoted(listener)} goes to upstream ${quoted(to)}, which does not exist`,
      remedy: didYouMean(to.replace(/[,;]$/, ""), upstreams, otherwise),
      severity: "error",
      missing: ["upstreams", to],
    });
  };
  for (const [name, { to, routes, sni }] of Object.entries(config.listeners)) {
    if (to !== undefined) see(name, to, ["listeners", name, "to"]);
    routes.forEach(({ action }, at) => {
      if (action.kind === "upstream") see(name, action.to, ["listeners", name, "routes", at, "to"]);
    });
    for (const { to, path } of sniTargets({ sni })) see(name, to, ["listeners", name, "sni", ...path]);
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
  const see = (address: Address, owner: string, path: Path, kind = "port"): void => {
    if (address.kind !== "unix" && address.port === 0) return;
    const place = address.kind === "unix" ? `unix:${address.path}` : `${kind} ${address.port}`;
    const others = seen.get(place) ?? [];
    const other = others.find((before) => overlap(before.address, address));
    seen.set(place, [...others, { address, owner }]);
    if (other === undefined) return;
    findings.push({
      path,
      what: other.owner === owner && addressText(other.address) === addressText(address)
        ? `${owner} listens on ${quoted(addressText(address))} twice`
        : `${owner} listens on ${quoted(addressText(address))}, taken by ${other.owner}`,
      remedy: address.kind === "unix" ? "choose another path" : "choose another port or address",
      severity: "error",
    });
  };
  for (const [name, { bind }] of Object.entries(config.listeners)) {
    bind.forEach(({ address, protocol }, at) => {
      const kind = protocol === "udp" ? "UDP port" : "port"; // their ports are others than those of TCP
      see(address, `listener ${quoted(name)}`, ["listeners", name, "bind", at], kind);
    });
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
