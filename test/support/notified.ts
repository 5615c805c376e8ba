// A service manager's ear: what a process tells it, in its order (notified.c). Takes gcc.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { ROOT } from "./executable.ts";
import { Folder } from "./folder.ts";
import { within } from "./waiting.ts";

export interface Notice {
  /** The process that it is from. */
  readonly pid: number;
  readonly text: string;
  readonly atMs: number;
}

const folder = new Folder();
let program = "", opened = 0;

function compiled(): string {
  if (program !== "") return program;
  const made = folder.at("notified");
  execFileSync("gcc", ["-O1", "-o", made, `${ROOT}test/support/notified.c`], { timeout: 60_000 });
  return program = made;
}

export class Notified {
  readonly #child: ChildProcess;
  readonly #heard: Notice[] = [];
  #read = 0;
  #look: () => void = () => {};
  /** Of the process that is to tell. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
    this.#child = spawn(compiled(), [path], { stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      const space = line.indexOf(" ");
      this.#heard.push({
        pid: Number(line.slice(0, space)),
        text: line.slice(space + 1),
        atMs: performance.now(),
      });
      this.#look();
    });
  }

  /** At a path of its own, or in the abstract namespace. */
  static async listen(where: "path" | "abstract" = "path"): Promise<Notified> {
    const name = `notify-${process.pid}-${++opened}`;
    const notified = new Notified(where === "path" ? folder.at(name) : `@sluice-${name}`);
    await notified.next(/listening/);
    return notified;
  }

  /** Everything so far. */
  get all(): readonly Notice[] {
    return this.#heard;
  }

  /** The next one that says so, behind those that were asked for before. */
  async next(text: RegExp, deadlineMs?: number): Promise<Notice> {
    let found = -1;
    const came = new Promise<void>((resolve) => {
      this.#look = () => {
        found = this.#heard.findIndex((notice, at) => at >= this.#read && text.test(notice.text));
        if (found >= 0) resolve();
      };
    });
    this.#look();
    try {
      await within(`a notice ${text}`, came, deadlineMs);
    } catch (error) {
      throw new Error(
        `${(error as Error).message}; heard: ${this.#heard.map(({ text }) => text).join("; ")}`,
      );
    }
    this.#read = found + 1;
    return this.#heard[found];
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}
