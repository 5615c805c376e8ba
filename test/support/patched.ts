// Sluice with a fault built in: a copy of the sources in a folder of its own, with some lines replaced. A
// replacement that does not fit exactly once fails the test: it would prove nothing.
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { command, type Launcher, ROOT } from "./executable.ts";
import { Folder } from "./folder.ts";

export interface Patch {
  /** Below src/. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export class PatchedSluice {
  readonly #folder = new Folder();

  constructor(patches: readonly Patch[]) {
    cpSync(`${ROOT}src`, this.#folder.at("src"), { recursive: true });
    symlinkSync(`${ROOT}node_modules`, this.#folder.at("node_modules"));
    symlinkSync(`${ROOT}package.json`, this.#folder.at("package.json"));
    symlinkSync(`${ROOT}tsconfig.json`, this.#folder.at("tsconfig.json"));
    mkdirSync(this.#folder.at("dist"));
    symlinkSync(`${ROOT}dist/libsluice.so`, this.#folder.at("dist/libsluice.so"));
    for (const { file, find, replace } of patches) {
      const path = this.#folder.at(`src/${file}`), text = readFileSync(path, "utf8");
      const found = text.split(find).length - 1;
      if (found !== 1) throw new Error(`a patch fits ${found} times, not once: ${find}`);
      writeFileSync(path, text.replace(find, () => replace));
    }
  }

  /** The command that runs it. */
  command(launcher: Launcher): string[] {
    return command(launcher, `${this.#folder.path}/`);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}
