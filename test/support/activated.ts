// Commands started as a service manager with socket activation does it, by a small program (activate.c). Takes gcc.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { command, ROOT } from "./executable.ts";
import { Folder } from "./folder.ts";
import { within } from "./waiting.ts";

const folder = new Folder();
let program = "";

/** The command that gives `sockets` to Sluice: see activate.c for how they are written. */
export function activating(
  sockets: readonly string[],
  words: readonly string[] = command("executable"),
): string[] {
  if (program === "") {
    const made = folder.at("activate");
    execFileSync("gcc", ["-O1", "-o", made, `${ROOT}test/support/activate.c`], { timeout: 60_000 });
    program = made;
  }
  return [program, ...sockets, "--", ...words];
}

/** A process that holds sockets open and does nothing else, as a service manager does between two starts. */
export class Holder {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves once they are open. */
  static async open(sockets: readonly string[]): Promise<Holder> {
    const [program, ...words] = activating(sockets, ["sh", "-c", "echo open; exec sleep 60"]);
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
    await within("sockets to be open", new Promise((resolve) => child.stdout.once("data", resolve)));
    return new Holder(child);
  }

  /** Its socket of that number, for whom is started. */
  socket(index = 0): string {
    return `from:${this.#child.pid}:${3 + index}`;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}
