// A configuration compiled as if it ran: its listeners where they would be bound, its names asked once, its
// servers unchecked, nobody served yet. No socket is opened.
import { CONTROL_ARENA_BYTES, CONTROL_ROOM } from "../../base/limits.ts";
import { makeShared, openShared } from "../../shared/servers.ts";
import { makeSources, openSources } from "../../shared/sources.ts";
import { errnoName } from "../../sys/errno.ts";
import { enterRoom, openLibrary, sys } from "../../sys/sys.ts";
import { FILE_BYTES_MAX } from "../certificates/pair.ts";
import { firstOf, type Presented } from "../certificates/presented.ts";
import { addressText } from "../config/address.ts";
import { compile } from "../config/compile.ts";
import { Identities, type OpenSocket } from "../config/parts.ts";
import { bytesOfFile, DISK, type Disk } from "../config/disk.ts";
import type { ConfigProblem } from "../config/errors.ts";
import { pathText } from "../config/file.ts";
import type { Path, Tell } from "../config/finding.ts";
import type { Config } from "../config/schema.ts";
import { Directory } from "../directory.ts";
import { Discovery, namesOf } from "../discovery.ts";
import { HealthHistory } from "../health_history.ts";
import { patternFindings, patternNumber } from "../patterns.ts";
import type { Hide } from "../config/substitution.ts";
import { timeoutsWritten, type World } from "./world.ts";

/** A configuration as it was read. */
export interface Parsed {
  readonly config: Config;
  /** What it was made of. */
  readonly raw: unknown;
  readonly tell: Tell;
  /** Nothing to hide where there are no files. */
  readonly hide?: Hide;
  /** Where its certificates are; this machine's if not given. */
  readonly disk?: Disk;
}

/** Opens the library, so that expressions can be compiled. Once in a process. */
export async function openOffline(library: string): Promise<void> {
  await openLibrary(library);
  const opened = sys.room_open(CONTROL_ROOM, 1, 1, CONTROL_ARENA_BYTES);
  if (opened < 0) throw new Error(`explain: cannot open a room: ${errnoName(-opened)}`);
  enterRoom(CONTROL_ROOM);
}

/** Compiles it; the library is open. @returns what is wrong with its expressions, otherwise */
export async function offlineWorld(
  { config, raw, tell, hide = (text) => text, disk = DISK }: Parsed,
): Promise<World | { problems: ConfigProblem[] }> {
  const findings = patternFindings(config);
  if (findings.length > 0) return { problems: tell(findings) };
  const discovery = new Discovery({ changed: () => {}, failed: () => {} });
  await discovery.start(namesOf(config));
  discovery.stop();
  const directory = new Directory();
  const sockets = socketsOf(config, discovery.resolve);
  const input = {
    config,
    generation: 1,
    sockets,
    resolve: discovery.resolve,
    patternOf: patternNumber,
    acmeThumbprint: hasAcme(config) ? THUMBPRINT : "",
  };
  const { plan } = compile(input, new Identities(), directory);
  return {
    plan,
    config,
    directory,
    shared: openShared(makeShared()),
    sources: openSources(makeSources(1, 1)),
    monotonicMs: 0,
    health: new HealthHistory(),
    certificates: (listener) => presentedBy(config, listener, disk),
    state: { source: "configuration", generation: null, at: null, phase: null },
    written: timeoutsWritten(raw),
    hide,
    sourceFlaw: () => null,
    whereIs: (path) => whereIs(tell, path),
  };
}

/** Stands for that of an account which nobody has looked for. */
const THUMBPRINT = "a-thumbprint";

function hasAcme({ listeners }: Config): boolean {
  return Object.values(listeners).some(({ tls }) => tls?.acme !== undefined);
}

/** The certificates of a listener's files, which were read and judged with the configuration. */
function presentedBy({ listeners }: Config, listener: string, disk: Disk): Presented[] {
  return (listeners[listener]?.tls?.certificates ?? []).flatMap(({ cert }) => {
    const bytes = bytesOfFile(cert, disk, FILE_BYTES_MAX);
    const certificate = bytes instanceof Uint8Array
      ? firstOf(new TextDecoder("latin1").decode(bytes))
      : undefined;
    return certificate === undefined ? [] : [{ file: cert, certificate }];
  });
}

/** Listeners where they would be bound. */
function socketsOf(config: Config, resolve: Discovery["resolve"]): OpenSocket[] {
  return Object.entries(config.listeners).flatMap(([listener, { bind }]) =>
    bind.flatMap(({ text, address }) =>
      resolve(address).map((literal) => ({
        listener,
        bind: text,
        bound: addressText(literal),
        port: literal.kind === "ip" ? literal.port : 0,
      }))
    )
  ).map((socket, index) => ({ socket: index, ...socket }));
}

/** FILE:LINE:COLUMN of a key, or the argument that gave it. */
function whereIs(tell: Tell, path: Path): string | null {
  const [problem] = tell([{ path, what: "", remedy: "", severity: "warning", isKey: isName(path) }]);
  return problem === undefined || problem.where === "" || problem.where === pathText(path)
    ? null
    : problem.where;
}

/** A listener or an upstream stands where its name does. */
function isName(path: Path): true | undefined {
  return path.length === 2 ? true : undefined;
}
