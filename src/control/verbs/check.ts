// `sluice check`: whether a configuration is good, and whether this machine has what it asks for. Nothing is
// taken or changed: addresses are bound for a moment, never listened on.
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, resolve } from "node:path";
import { CONTROL_ARENA_BYTES, CONTROL_ROOM, REACTORS_MAX } from "../../base/limits.ts";
import { errnoName } from "../../sys/errno.ts";
import { enterRoom, openLibrary, sys } from "../../sys/sys.ts";
import { capacityOf } from "../capacity.ts";
import { type ConfigProblem, formatProblems, problemsJson, quoted } from "../config/errors.ts";
import type { Address } from "../config/address.ts";
import type { Finding, Path } from "../config/finding.ts";
import { parseFlags } from "../config/flags.ts";
import { hereAndNow, parseRun } from "../config/run.ts";
import type { Config } from "../config/schema.ts";
import { counted } from "../config/units.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { Discovery, namesOf } from "../discovery.ts";
import { addressFlaw } from "../listen_flaw.ts";
import { openSettings, OwnerError, settingFindings } from "../sockets.ts";
import type { SocketNumbers } from "../config/compile_sockets.ts";
import { patternFindings } from "../patterns.ts";
import { userFindings } from "../user.ts";
import { inColour, type Said, said } from "./said.ts";

/** What was found. */
export interface Checked {
  readonly problems: readonly ConfigProblem[];
  /** Undefined if the configuration is none. */
  readonly config: Config | undefined;
}

/** Status 0 when a start would find nothing wrong, warnings or not. @param library path of the C library */
export async function check(given: VerbArguments, library: () => string): Promise<Said> {
  const [format] = given.values.get("--format") ?? ["text"];
  const { text, status } = checkReport(await look(given, library), format, inColour(process.stdout));
  return said(text, status);
}

/** What the verb says: it was asked, so all of it is its answer. */
export function checkReport(
  { problems, config }: Checked,
  format: string,
  colour: boolean,
): { text: string; status: Said["status"] } {
  const isSure = problems.some(({ severity }) => severity === "error");
  const status = config === undefined ? 2 : isSure ? 1 : 0;
  if (format === "json") return { text: problemsJson(problems), status };
  const told = formatProblems(problems, colour);
  return { text: status === 0 ? told + summary(problems, config!) : told, status };
}

/** Reads the configuration and looks at the machine. */
async function look({ values, rest }: VerbArguments, library: () => string): Promise<Checked> {
  const [file] = values.get("--config") ?? [];
  const { env, uid } = hereAndNow();
  const parsed = file === undefined ? parseFlags(rest, env, uid) : parseRun(["check", "-c", file, ...rest]);
  if ("problems" in parsed) return { problems: parsed.problems, config: undefined };
  const { config, warnings, tell } = parsed;
  await openLibrary(library());
  const fds = sys.setup();
  sys.room_open(CONTROL_ROOM, 1, 1, CONTROL_ARENA_BYTES);
  enterRoom(CONTROL_ROOM);
  const patterns = patternFindings(config);
  if (patterns.length > 0) return { problems: [...warnings, ...tell(patterns)], config: undefined };
  const machine = await machineFindings(config, fds), files = "files" in parsed ? parsed.files : [];
  return { problems: [...warnings, ...tell([...machine, ...userFindings(config, uid, files)])], config };
}

function summary(problems: readonly ConfigProblem[], config: Config): string {
  const warnings = problems.filter(({ severity }) => severity === "warning").length;
  const listeners = Object.values(config.listeners), upstreams = Object.values(config.upstreams);
  const routes = listeners.reduce((sum, { routes }) => sum + routes.length, 0);
  const servers = upstreams.reduce((sum, { servers }) => sum + servers.length, 0);
  const parts = [
    counted(listeners.length, "listener"),
    ...(routes > 0 ? [counted(routes, "route")] : []),
    counted(upstreams.length, "upstream"),
    counted(servers, "server"),
  ];
  const end = warnings === 0 ? "" : `; ${counted(warnings, "warning")}`;
  return `good: ${parts.join(", ")}${end}\n`;
}

/** What a start on this machine would meet. What may be otherwise by then is a warning: names, addresses in use. */
async function machineFindings(config: Config, fds: number): Promise<Finding[]> {
  const findings: Finding[] = [];
  const warn = (path: Path, what: string, remedy: string, isSure = false): void => {
    findings.push({ path, what, remedy, severity: isSure ? "error" : "warning" });
  };
  const places = [...addressesOf(config)];
  const discovery = new Discovery({
    changed: () => {},
    failed: (name, why) => {
      for (const { path, address } of places) {
        if (address.kind !== "name" || address.name !== name) continue;
        warn(path, `${quoted(name)} does not resolve: ${why}`, WITHOUT[path[0]] ?? "a start fails");
      }
    },
  });
  await discovery.start(namesOf(config));
  const settings = openedSettings(config, warn);
  if (settings !== undefined) findings.push(...settingFindings(config, settings));
  for (const { path, address, datagrams = false } of places) {
    if (!path.includes("bind") && path[0] !== "admin") continue;
    for (const literal of discovery.resolve(address)) {
      const listener = path[0] === "listeners" ? String(path[1]) : "";
      const mptcp = config.listeners[listener]?.socket.mptcp;
      const flaw = addressFlaw(literal, { number: settings?.listeners.get(listener), datagrams, mptcp });
      if (flaw === undefined) continue;
      const place = flaw.key === undefined ? path : ["listeners", String(path[1]), "socket", flaw.key];
      warn(place, flaw.what, flaw.remedy, !flaw.inUse);
    }
  }
  discovery.stop();
  const { to } = config.log.access;
  const flaw = to.kind === "file" ? fileFlaw(to.path) : undefined;
  if (flaw !== undefined) warn(["log", "access", "to"], flaw.what, flaw.remedy, true);
  for (const [name, { tls }] of Object.entries(config.listeners)) {
    const storage = tls?.acme === undefined ? undefined : storageFlaw(tls.acme.storage);
    if (storage !== undefined) {
      warn(["listeners", name, "tls", "acme", "storage"], storage.what, storage.remedy, true);
    }
  }
  return [...findings, ...fdFindings(config, fds)];
}

/** The settings of sockets, as a start has them; undefined: one could not be made, which is told. */
function openedSettings(
  config: Config,
  warn: (path: Path, what: string, remedy: string, isSure: boolean) => void,
): SocketNumbers | undefined {
  try {
    return openSettings(config);
  } catch (error) {
    if (!(error instanceof OwnerError)) throw error;
    const file = error.kind === "user" ? "/etc/passwd" : "/etc/group";
    const [name] = Object.entries(config.listeners).find(([, { socket }]) =>
      socket[error.kind] !== undefined
    ) ?? [""];
    warn(
      ["listeners", name, "socket", error.kind],
      error.message,
      `${file} has those it knows; or write a number`,
      true,
    );
    return undefined;
  }
}

/** What becomes of a start where a name does not resolve, by section. */
const WITHOUT: Readonly<Record<string, string>> = {
  upstreams: "its servers are missing until it does",
  log: "records wait for it, and are lost when there is no room",
};

/** Every address of a configuration, with its place. */
function* addressesOf(config: Config): Generator<{ path: Path; address: Address; datagrams?: boolean }> {
  const { to } = config.log.access;
  if (to.kind === "syslog") yield { path: ["log", "access", "to"], address: to.address };
  if (config.admin.kind !== "off" && !config.admin.byDefault) {
    yield { path: ["admin"], address: config.admin.address };
  }
  for (const [name, { bind }] of Object.entries(config.listeners)) {
    for (const [at, { address, protocol }] of bind.entries()) {
      yield { path: ["listeners", name, "bind", at], address, datagrams: protocol === "udp" };
    }
  }
  for (const [name, { servers }] of Object.entries(config.upstreams)) {
    for (const [at, { address }] of servers.entries()) {
      yield { path: ["upstreams", name, "servers", at], address };
    }
  }
}

/** Why lines could not be appended to a file, found without opening it. */
function fileFlaw(path: string): { what: string; remedy: string } | undefined {
  const directory = dirname(path), found = statSync(path, { throwIfNoEntry: false });
  try {
    if (found === undefined) accessSync(directory, constants.W_OK | constants.X_OK);
    else accessSync(path, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR"
      ? { what: "the directory of that file does not exist", remedy: "create it first" }
      : { what: "this user may not write there", remedy: "change the owner or the mode" };
  }
  return found?.isDirectory() ? { what: "a directory", remedy: "write the path of a file" } : undefined;
}

/** Why nothing could be kept in a directory, which need not be there yet. */
function storageFlaw(path: string): { what: string; remedy: string } | undefined {
  let nearest = resolve(path);
  while (!existsSync(nearest) && nearest !== "/") nearest = dirname(nearest);
  if (!statSync(nearest).isDirectory()) {
    return { what: `${quoted(nearest)} is no directory`, remedy: "write the path of one" };
  }
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK);
    return undefined;
  } catch {
    const what = `this user may not write to ${quoted(nearest)}`;
    return { what, remedy: "change its owner or its mode, or write another path" };
  }
}

function fdFindings(config: Config, fds: number): Finding[] {
  const tell = (what: string, remedy: string, severity: Finding["severity"]): Finding[] => [
    { path: ["max-connections"], what, remedy, severity },
  ];
  if (fds < 0) return tell(`cannot set up the process: ${errnoName(-fds)}`, "see sluice doctor", "error");
  const reactors = config.reactors === "auto"
    ? Math.min(availableParallelism(), REACTORS_MAX)
    : config.reactors;
  const { most, byDefault } = config["max-connections"];
  const { connections } = capacityOf(fds, {
    connections: most,
    reactors,
    listeners: Object.values(config.listeners).reduce((sum, { bind }) => sum + bind.length, 0),
    servers: Object.values(config.upstreams).reduce((sum, { servers }) => sum + servers.length, 0),
  });
  if (connections >= most || (byDefault && connections > 0)) return [];
  const carried = `${fds} file descriptors carry ${
    counted(Math.max(connections, 0), "connection")
  }, not ${most}`;
  const remedy = "raise the limit (ulimit -n, LimitNOFILE=) or lower max-connections";
  return tell(carried, remedy, connections < 1 ? "error" : "warning");
}
