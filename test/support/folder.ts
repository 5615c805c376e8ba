// A folder of a test's own, gone with it, or at the latest with its process.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Folder {
  readonly path: string = mkdtempSync(join(tmpdir(), "sluice-wire-"));

  constructor() {
    process.on("exit", this.#remove);
  }

  /** A path in it. */
  at(name: string): string {
    return join(this.path, name);
  }

  readonly #remove = (): void => rmSync(this.path, { recursive: true, force: true });

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    this.#remove();
  }
}
