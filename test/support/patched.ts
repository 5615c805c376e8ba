// Sluice with a fault built in: a copy of the sources in a folder of its own, with some lines replaced. A
// replacement that does not fit exactly once fails the test: it would prove nothing.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { command, type Launcher, ROOT } from "./executable.ts";
import { Folder } from "./folder.ts";

const BUILD_DEADLINE_MS = 60_000;

export interface Patch {
  /** Below src/. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** Its reactors take a nap of 300 ms after each poll that brings something: meanwhile anything may happen. */
export const DROWSY: readonly Patch[] = [{
  file: "proxy/reactor.ts",
  find: "count(Count.Turns);",
  replace: `count(Count.Turns);
  if (events > 0 && !health) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);`,
}];

/** Where bytes of a tunnel are read, in pump.ts. */
export const RECEIVE = "const most = readBytes(from), read = sys.recv(from, ARENA_RECEIVE, most);";

/** What happens when a client says just that word, by statements with BugError and TableError at hand. */
export function onWords(words: Readonly<Record<string, string>>): readonly Patch[] {
  const tests = Object.entries(words).map(([word, what]) => `  if (said(read, "${word}")) ${what}`);
  return [
    {
      file: "proxy/pump.ts",
      find: 'import { clockMs, sys } from "../sys/sys.ts";',
      replace: `import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { BugError, TableError } from "../base/assert.ts";

function said(read: number, word: string): boolean {
  if (read !== word.length) return false;
  for (let at = 0; at < read; at++) if (arenaBytes[ARENA_RECEIVE + at] !== word.charCodeAt(at)) return false;
  return true;
}`,
    },
    { file: "proxy/pump.ts", find: RECEIVE, replace: [RECEIVE, ...tests].join("\n") },
  ];
}

export class PatchedSluice {
  readonly #folder = new Folder();

  constructor(patches: readonly Patch[]) {
    for (const name of ["src", "ffi", "build.ts", "package.json", "package-lock.json", "tsconfig.json"]) {
      cpSync(`${ROOT}${name}`, this.#folder.at(name), { recursive: true });
    }
    symlinkSync(`${ROOT}node_modules`, this.#folder.at("node_modules"));
    mkdirSync(this.#folder.at("dist"));
    cpSync(`${ROOT}dist/libsluice.so`, this.#folder.at("dist/libsluice.so"));
    for (const { file, find, replace } of patches) {
      const path = this.#folder.at(`src/${file}`), text = readFileSync(path, "utf8");
      const found = text.split(find).length - 1;
      if (found !== 1) throw new Error(`a patch fits ${found} times, not once: ${find}`);
      writeFileSync(path, text.replace(find, () => replace));
    }
  }

  /** The command that runs it. The executable is built when it is first asked for. */
  command(launcher: Launcher): string[] {
    if (launcher !== "executable") return command(launcher, `${this.#folder.path}/`);
    const executable = this.#folder.at("dist/sluice");
    if (!existsSync(executable)) {
      execFileSync(command("bun")[0], [this.#folder.at("build.ts")], { timeout: BUILD_DEADLINE_MS });
    }
    return [executable];
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}
