// What is started: the executable, with the arguments of this process; and what must not be.
import { execFile } from "node:child_process";
import { accessSync, constants, readFileSync, readlinkSync, statSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import process from "node:process";
import { shown } from "../config/errors.ts";

/** Tells a new process which of its descriptors leads to the one before it. It is in nobody's environment but during a
 * start. */
export const UPGRADE_VARIABLE = "SLUICE_UPGRADE_FD";

/** For `PATH --version`. */
const VERSION_DEADLINE_MS = 5_000;
const VERSION_BYTES_MAX = 64 << 10;
/** PID 1 of containers that ends when the process does that it started. */
const INITS = ["tini", "docker-init", "dumb-init", "catatonit", "podman-init", "s6-svscan"];

/** A program: its path, and its arguments, beginning with its own name. */
export interface Program {
  readonly path: string;
  readonly words: readonly string[];
  readonly version: string;
}

/** It cannot be started, or must not: one line. */
export class ProgramError extends Error {
  override name = "ProgramError";
}

/** How this process was started: noted at the start, since the file may be another one later. */
interface Origin {
  readonly path: string;
  /** Behind the name, before the user's own arguments: of a runtime that runs the sources. */
  readonly script: readonly string[];
  readonly words: readonly string[];
}

let origin: Origin | undefined;

/** To be called at the start, before a directory or a file changes. */
export function noteOrigin(): void {
  const words = process.argv.slice(2);
  let all: string[] = [];
  try {
    all = readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1);
  } catch {
    // no /proc: only the runtime's word is left
  }
  const isWhole = all.length > words.length && words.every((word, at) => all.at(at - words.length) === word);
  const [name, ...script] = isWhole ? all.slice(0, all.length - words.length) : [process.execPath];
  origin = { path: pathOf(name), script, words };
}

/** The path that a program was started by: a link stays one, so that whoever makes it lead elsewhere upgrades. */
function pathOf(name: string): string {
  const paths = name.includes("/")
    ? [resolve(name)]
    : (process.env.PATH ?? "").split(delimiter).map((directory) => resolve(directory, name));
  let real = process.execPath;
  try {
    real = readlinkSync("/proc/self/exe");
  } catch {
    // as the runtime says
  }
  return paths.find((path) => isSame(path, real)) ?? real;
}

function isSame(path: string, other: string): boolean {
  try {
    const one = statSync(path), two = statSync(other);
    return one.dev === two.dev && one.ino === two.ino;
  } catch {
    return false;
  }
}

/** Why no upgrade is possible here, whatever the program; undefined: it is. */
export function refusal(): string | undefined {
  if (process.pid === 1) {
    return "this is process 1 of a container: when it ends, so does the container, and the new process with it; " +
      "start a new container instead";
  }
  const init = process.ppid === 1 ? nameOf(1) : "";
  if (!INITS.includes(init)) return undefined;
  return `it was started by ${init}, which ends the container when it ends, and the new process with it; start a new ` +
    "container instead";
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

/** The program to be started: the one at `path`, or the one that this was started as, as its file is now. It is asked for
 * its version, so that nothing else is started with our arguments. @throws ProgramError */
export async function findProgram(path: string | undefined): Promise<Program> {
  const { script, words, path: own } = origin!;
  const program = path === undefined ? own : resolve(path);
  const before = path === undefined ? script : [];
  try {
    if (!statSync(program).isFile()) throw new ProgramError(`${shown(program)} is no file`);
    accessSync(program, constants.X_OK);
  } catch (error) {
    if (error instanceof ProgramError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new ProgramError(
      code === "ENOENT"
        ? `there is no file ${shown(program)}`
        : `${shown(program)} cannot be executed by this user (${code}); chmod +x it, or name another`,
    );
  }
  const version = await versionOf(program, before);
  return { path: program, words: [program, ...before, ...words], version };
}

/** Asks a program which Sluice it is. @throws ProgramError: it is none */
function versionOf(program: string, script: readonly string[]): Promise<string> {
  return new Promise((done, fail) => {
    const options = {
      timeout: VERSION_DEADLINE_MS,
      killSignal: "SIGKILL",
      maxBuffer: VERSION_BYTES_MAX,
    } as const;
    const no = (why: string) => fail(new ProgramError(`${shown(program)} is no Sluice: ${why}`));
    try {
      const child = execFile(program, [...script, "--version"], options, (error, stdout, stderr) => {
        const version = /^sluice (\S+)\s*$/.exec(stdout)?.[1];
        if (error === null && version !== undefined) return done(version);
        no(error?.killed === true ? SILENT : flawOf(error, stderr || stdout));
      });
      child.stdin?.end();
    } catch (error) {
      no(`it cannot be started: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
    }
  });
}

const SILENT = `asked for its --version it says nothing within ${VERSION_DEADLINE_MS / 1_000} s`;

function flawOf(error: { readonly code?: unknown } | null, text: string): string {
  const said = shown(text.trim().split("\n")[0], 200);
  if (said !== "") return `asked for its --version it says ${said}`;
  return error === null
    ? "asked for its --version it says nothing"
    : `--version ends with ${error.code ?? "a signal"}`;
}
