// `sluice check`: whether a configuration is good, and whether this machine has what it asks for. Nothing is
// taken or changed: addresses are bound for a moment, never listened on.
import { availableParallelism } from "node:os";
import process from "node:process";
import { CONTROL_ARENA_BYTES, CONTROL_ROOM, REACTORS_MAX } from "../../base/limits.ts";
import { errnoName } from "../../sys/errno.ts";
import { enterRoom, openLibrary, sys } from "../../sys/sys.ts";
import { capacityOf } from "../capacity.ts";
import { type ConfigProblem, formatProblems, problemsJson } from "../config/errors.ts";
import type { Finding, Path } from "../config/finding.ts";
import { parseFlags } from "../config/flags.ts";
import { hereAndNow, parseRun } from "../config/run.ts";
import type { Config } from "../config/schema.ts";
import { counted } from "../config/units.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { Discovery } from "../discovery.ts";
import { addressFlaw } from "../listeners.ts";
import { patternFindings } from "../patterns.ts";
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
): { text: string; status: 0 | 2 } {
  const status = config === undefined ? 2 : 0;
  if (format === "json") return { text: problemsJson(problems), status };
  const told = formatProblems(problems, colour);
  return { text: config === undefined ? told : told + summary(problems, config), status };
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
  const machine = await machineFindings(config, fds);
  return { problems: [...warnings, ...tell(machine)], config };
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

/** What a start on this machine would meet. All of it may be otherwise by then: these are warnings. */
async function machineFindings(config: Config, fds: number): Promise<Finding[]> {
  const findings: Finding[] = [];
  const warn = (path: Path, what: string, remedy: string): void => {
    findings.push({ path, what, remedy, severity: "warning" });
  };
  const names = new Map<string, Path>();
  for (const [name, { servers }] of Object.entries(config.upstreams)) {
    servers.forEach(({ address }, at) => {
      if (address.kind === "name") names.set(address.name, ["upstreams", name, "servers", at]);
    });
  }
  for (const [name, { bind }] of Object.entries(config.listeners)) {
    bind.forEach(({ address }, at) => {
      if (address.kind === "name") names.set(address.name, ["listeners", name, "bind", at]);
    });
  }
  const discovery = new Discovery({
    changed: () => {},
    failed: (name, why) => {
      const then = names.get(name)![0] === "listeners"
        ? "a start fails"
        : "its servers are missing until it does";
      warn(names.get(name)!, `${name} does not resolve: ${why}`, then);
    },
  });
  await discovery.start([...names.keys()]);
  for (const [name, { bind }] of Object.entries(config.listeners)) {
    bind.forEach(({ address }, at) => {
      for (const literal of discovery.resolve(address)) {
        const flaw = addressFlaw(literal);
        if (flaw !== undefined) warn(["listeners", name, "bind", at], flaw.what, flaw.remedy);
      }
    });
  }
  discovery.stop();
  return [...findings, ...fdFindings(config, fds)];
}

function fdFindings(config: Config, fds: number): Finding[] {
  const error = (what: string, remedy: string): Finding[] => [
    { path: ["max-connections"], what, remedy, severity: "warning" },
  ];
  if (fds < 0) return error(`cannot set up the process: ${errnoName(-fds)}`, "see sluice doctor");
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
  return error(carried, "raise the limit (ulimit -n, LimitNOFILE=) or lower max-connections");
}
